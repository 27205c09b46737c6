/*
 * "rebuild --write": what was made in memory, onto the drive.
 *
 * Until the MANIFEST is there the tables are files that none lists, which the
 * next start removes; so a crash leaves the old index, or the new one.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ngx_s3_module/ngx_s3_fs.h"
#include "s3ctl/rebuild.h"

#define S3CTL_CHUNK ((size_t) 1 << 20)


static int
s3ctl_copy_table(s3_fs_t *from, s3_fs_t *to, uint32_t id)
{
    int rc;
    char path[S3_TABLE_PATH];
    uint8_t *buf;
    ssize_t n;
    uint64_t off;
    s3_file_t *in, *out;

    s3_table_path(path, id);

    rc = from->open(from, path, S3_O_READ, &in);
    if (rc != S3_OK) {
        return rc;
    }

    rc = to->open(to, path, S3_O_READ | S3_O_WRITE | S3_O_CREATE, &out);

    if (rc != S3_OK) {
        from->close(from, in);
        return rc;
    }

    buf = malloc(S3CTL_CHUNK);
    rc = buf ? to->truncate(to, out, 0) : S3_ENOMEM;

    for (off = 0; rc == S3_OK; off += (uint64_t) n) {
        n = from->pread(from, in, buf, S3CTL_CHUNK, off);

        if (n <= 0) {
            rc = (int) n;
            break;
        }

        rc = to->pwrite(to, out, buf, (size_t) n, off);
    }

    if (rc == S3_OK) {
        rc = to->sync(to, out);
    }

    free(buf);
    from->close(from, in);
    to->close(to, out);

    return rc;
}


static int
s3ctl_rewrite(s3ctl_rebuild_t *b, s3_fs_t *fs)
{
    int rc;
    unsigned i;

    rc = fs->mkdir(fs, S3_TABLE_DIR);

    if (rc == S3_OK) {
        rc = fs->syncdir(fs, "");
    }

    for (i = 0; i < b->m.n_tables && rc == S3_OK; i++) {
        rc = s3ctl_copy_table(b->fs, fs, b->m.tables[i].id);
    }

    if (rc == S3_OK) {
        rc = fs->syncdir(fs, S3_TABLE_DIR);
    }

    if (rc == S3_OK) {
        rc = s3_manifest_save(fs, &b->m);
    }

    return rc == S3_OK ? s3_manifest_clean(fs, &b->m) : rc;
}


int
s3ctl_rebuild_write(s3ctl_rebuild_t *b)
{
    int rc;
    s3_fs_t *fs;
    struct stat st;

    if (stat(b->drive->path, &st) == -1) {
        return S3_EIO;
    }

    fs = ngx_s3_fs_create(b->drive->path, 0);
    if (fs == NULL) {
        return S3_ENOMEM;
    }

    if (geteuid() == 0) {
        ngx_s3_fs_owner(fs, st.st_uid, st.st_gid);
    }

    rc = ngx_s3_fs_attach(fs);

    if (rc == S3_OK) {
        rc = s3ctl_rewrite(b, fs);
    }

    ngx_s3_fs_destroy(fs);

    return rc;
}
