/*
 * s3_fs_t over POSIX, on real files.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "ngx_s3_module/ngx_s3_fs.c"
#include "ngx_s3_module/ngx_s3_fs_probe.c"
#include "ngx_s3_module/ngx_s3_fs_time.c"

#include "s3_test.h"


static char root[64];


static int
count(void *ctx, const char *name)
{
    (void) name;
    (*(unsigned *) ctx)++;

    return S3_OK;
}


static int
stop(void *ctx, const char *name)
{
    (void) ctx;
    (void) name;

    return S3_EBUSY;
}


static void
test_files(s3_fs_t *fs)
{
    char buf[8192];
    void *page;
    uint64_t size, total;
    unsigned n;
    s3_file_t *f, *g;

    CHECK_INT(fs->mkdir(fs, "log"), S3_OK);
    CHECK_INT(fs->mkdir(fs, "log"), S3_OK);
    CHECK_INT(fs->open(fs, "log/1", S3_O_READ, &f), S3_ENOENT);
    CHECK(f == NULL);
    CHECK_INT(fs->open(fs, "none/1", S3_O_WRITE | S3_O_CREATE, &f), S3_ENOENT);

    REQUIRE(fs->open(fs, "log/1",
                     S3_O_READ | S3_O_WRITE | S3_O_CREATE | S3_O_EXCL, &f)
            == S3_OK);
    CHECK_INT(fs->open(fs, "log/1", S3_O_WRITE | S3_O_CREATE | S3_O_EXCL, &g),
              S3_EEXIST);
    CHECK_INT(fs->mkdir(fs, "log/1"), S3_EEXIST);

    CHECK_INT(fs->pwrite(fs, f, "hello", 5, 3), S3_OK);
    CHECK_INT(fs->pread(fs, f, buf, sizeof(buf), 0), 8);
    CHECK(memcmp(buf, "\0\0\0hello", 8) == 0);
    CHECK_INT(fs->pread(fs, f, buf, sizeof(buf), 8), 0);
    CHECK_INT(fs->pread(fs, f, buf, 2, 4), 2);
    CHECK(memcmp(buf, "el", 2) == 0);

    CHECK_INT(fs->allocate(fs, f, 65536), S3_OK);
    CHECK_INT(fs->size(fs, f, &size), S3_OK);
    CHECK_INT(size, 65536);
    CHECK_INT(fs->pread(fs, f, buf, 5, 3), 5);
    CHECK(memcmp(buf, "hello", 5) == 0);
    CHECK_INT(fs->truncate(fs, f, 4096), S3_OK);
    CHECK_INT(fs->size(fs, f, &size), S3_OK);
    CHECK_INT(size, 4096);
    CHECK_INT(fs->sync(fs, f), S3_OK);
    CHECK_INT(fs->syncdir(fs, "log"), S3_OK);
    CHECK_INT(fs->syncdir(fs, ""), S3_OK);
    fs->close(fs, f);
    fs->close(fs, NULL);

    /* a file opened to be read is not written */
    REQUIRE(fs->open(fs, "log/1", S3_O_READ, &f) == S3_OK);
    CHECK(fs->pwrite(fs, f, "x", 1, 0) < 0);
    fs->close(fs, f);

    /* direct, aligned */
    REQUIRE(posix_memalign(&page, S3_SECTOR, 2 * S3_SECTOR) == 0);
    memset(page, 'z', 2 * S3_SECTOR);
    REQUIRE(
        fs->open(fs, "log/2",
                 S3_O_READ | S3_O_WRITE | S3_O_CREATE | S3_O_EXCL | S3_O_DIRECT,
                 &f)
        == S3_OK);
    CHECK_INT(fs->pwrite(fs, f, page, 2 * S3_SECTOR, 0), S3_OK);
    CHECK_INT(fs->truncate(fs, f, S3_SECTOR + 100), S3_OK);
    memset(page, 0, 2 * S3_SECTOR);
    CHECK_INT(fs->pread(fs, f, page, 2 * S3_SECTOR, 0), S3_SECTOR + 100);
    CHECK_INT(((char *) page)[S3_SECTOR + 99], 'z');
    fs->close(fs, f);
    free(page);

    n = 0;
    CHECK_INT(fs->list(fs, "log", count, &n), S3_OK);
    CHECK_INT(n, 2);
    CHECK_INT(fs->list(fs, "log", stop, NULL), S3_EBUSY);
    CHECK_INT(fs->list(fs, "none", count, &n), S3_ENOENT);

    CHECK_INT(fs->rename(fs, "log/2", "log/1"), S3_OK);
    CHECK_INT(fs->rename(fs, "log/2", "log/1"), S3_ENOENT);
    CHECK_INT(fs->unlink(fs, "log/1"), S3_OK);
    CHECK_INT(fs->unlink(fs, "log/1"), S3_ENOENT);

    /* a symbolic link is no file of ours */
    CHECK_INT(symlinkat("/etc/passwd", ((ngx_s3_fs_t *) fs->impl)->fd, "ln"),
              0);
    CHECK(fs->open(fs, "ln", S3_O_READ, &f) < 0);
    CHECK_INT(fs->unlink(fs, "ln"), S3_OK);

    CHECK_INT(fs->space(fs, &size, &total), S3_OK);
    CHECK(size > 0 && size <= total);
}


static int
admit(void *ctx)
{
    return *(int *) ctx;
}


/* A drive that is gone must never look like one that is empty. */

static void
test_presence(void)
{
    int allow;
    char path[128], other[128];
    uint64_t a, b;
    unsigned n;
    s3_fs_t *fs;
    s3_file_t *f;

    snprintf(path, sizeof(path), "%s/drive", root);
    snprintf(other, sizeof(other), "%s/other", root);

    fs = ngx_s3_fs_create(path, 7);
    REQUIRE(fs != NULL);
    CHECK_INT(fs->drive, 7);
    CHECK_STR(ngx_s3_fs_path(fs), path);

    CHECK_INT(ngx_s3_fs_attach(fs), S3_ENOENT);
    CHECK_INT(ngx_s3_fs_check(fs), S3_ENOENT);
    CHECK_INT(fs->open(fs, "x", S3_O_READ, &f), S3_EIO);
    CHECK_INT(fs->mkdir(fs, "x"), S3_EIO);
    CHECK_INT(fs->unlink(fs, "x"), S3_EIO);
    CHECK_INT(fs->rename(fs, "x", "y"), S3_EIO);
    CHECK_INT(fs->list(fs, "", count, &n), S3_EIO);
    CHECK_INT(fs->syncdir(fs, ""), S3_EIO);
    CHECK_INT(fs->space(fs, &a, &b), S3_EIO);

    /* a file is no drive */
    REQUIRE(close(creat(path, 0600)) == 0);
    CHECK_INT(ngx_s3_fs_attach(fs), S3_ENOENT);
    REQUIRE(unlink(path) == 0);

    REQUIRE(mkdir(path, 0700) == 0);
    CHECK_INT(ngx_s3_fs_attach(fs), S3_OK);
    CHECK_INT(ngx_s3_fs_check(fs), S3_OK);
    test_files(fs);

    /* another directory in its place: the old one is still the one used */
    CHECK_INT(fs->mkdir(fs, "mark"), S3_OK);
    REQUIRE(rename(path, other) == 0);
    CHECK_INT(ngx_s3_fs_check(fs), S3_ENOENT);
    REQUIRE(mkdir(path, 0700) == 0);
    CHECK_INT(ngx_s3_fs_check(fs), S3_EFOREIGN);
    CHECK_INT(fs->syncdir(fs, "mark"), S3_OK);

    /* and from attach() on the new one */
    CHECK_INT(ngx_s3_fs_attach(fs), S3_OK);
    CHECK_INT(ngx_s3_fs_check(fs), S3_OK);
    CHECK_INT(fs->syncdir(fs, "mark"), S3_ENOENT);

    /* removed while it is open */
    REQUIRE(rmdir(path) == 0);
    CHECK_INT(ngx_s3_fs_check(fs), S3_ENOENT);
    CHECK_INT(fs->open(fs, "x", S3_O_READ, &f), S3_EIO);
    CHECK_INT(fs->list(fs, "log", count, &n), S3_EIO);

    /* detached, and attaching itself when it may */
    REQUIRE(rename(other, path) == 0);
    ngx_s3_fs_detach(fs);
    CHECK(!ngx_s3_fs_attached(fs));
    allow = S3_EFOREIGN;
    ngx_s3_fs_lazy(fs, admit, &allow);
    CHECK_INT(fs->syncdir(fs, "mark"), S3_EIO);
    allow = S3_OK;
    CHECK_INT(fs->syncdir(fs, "mark"), S3_OK);
    CHECK(ngx_s3_fs_attached(fs));

    ngx_s3_fs_destroy(fs);
}


int
main(void)
{
    char cmd[128];

    CHECK_INT(ngx_s3_fs_error(ENOSPC), S3_ENOSPC);
    CHECK_INT(ngx_s3_fs_error(EDQUOT), S3_ENOSPC);
    CHECK_INT(ngx_s3_fs_error(EROFS), S3_EROFS);
    CHECK_INT(ngx_s3_fs_error(ENODEV), S3_EIO);
    CHECK_INT(ngx_s3_fs_error(0), S3_OK);

    strcpy(root, "/tmp/s3_test_fs.XXXXXX");
    REQUIRE(mkdtemp(root) != NULL);

    test_presence();

    snprintf(cmd, sizeof(cmd), "rm -rf %s", root);
    CHECK_INT(system(cmd), 0);

    return S3_TEST_END();
}
