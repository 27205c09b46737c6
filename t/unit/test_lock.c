/*
 * Owner locks, the memory of an instance, names of processes.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "ngx_s3_module/ngx_s3_lock.c"

#include <sys/wait.h>

#include "s3_test.h"


static char root[64];


/* What another process sees. */

static int
in_child(int (*what)(void *), void *data)
{
    int status;
    pid_t pid;

    pid = fork();
    REQUIRE(pid != -1);

    if (pid == 0) {
        _exit(what(data) & 0x7f);
    }

    REQUIRE(waitpid(pid, &status, 0) == pid);

    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}


static int
take(void *data)
{
    int fd;
    ngx_s3_owner_t *owner = data, other;

    if (ngx_s3_lock_take(root, (uid_t) -1, (gid_t) -1, &fd, &other) != S3_EBUSY)
    {
        return 1;
    }

    if (memcmp(&other, owner, sizeof(other)) != 0) {
        return 2;
    }

    return fd == -1 ? 0 : 3;
}


static int
join(void *data)
{
    int fd;

    return -ngx_s3_lock_join(root, data, &fd);
}


static void
test_lock(void)
{
    int fd, fd2;
    char path[128];
    uint8_t other[16] = {9};
    ngx_s3_owner_t owner, none, got;

    memset(&none, 0, sizeof(none));
    memset(&owner, 0, sizeof(owner));
    memset(owner.instance, 0xa7, 16);
    owner.pid = 4711;
    strcpy(owner.nginx, "/run/nginx.pid");

    CHECK_INT(ngx_s3_lock_join(root, owner.instance, &fd), S3_ENOENT);
    CHECK_INT(ngx_s3_lock_inherited(root), -1);

    REQUIRE(ngx_s3_lock_take(root, (uid_t) -1, (gid_t) -1, &fd, &got) == S3_OK);
    CHECK_INT(ngx_s3_lock_read(fd, &got), S3_ECORRUPT);
    CHECK_INT(in_child(take, &none), 0);
    CHECK_INT(in_child(join, owner.instance), -S3_EBUSY);

    CHECK_INT(ngx_s3_lock_share(fd, &owner), S3_OK);
    CHECK_INT(ngx_s3_lock_read(fd, &got), S3_OK);
    CHECK(memcmp(&got, &owner, sizeof(got)) == 0);
    CHECK_INT(in_child(take, &owner), 0);
    CHECK_INT(in_child(join, owner.instance), S3_OK);
    CHECK_INT(in_child(join, other), -S3_EFOREIGN);

    /* found as inherited only where it would survive an exec */
    CHECK_INT(ngx_s3_lock_inherited(root), -1);
    ngx_s3_lock_inherit(fd, 1);
    CHECK_INT(ngx_s3_lock_inherited(root), fd);
    ngx_s3_lock_inherit(fd, 0);
    CHECK_INT(ngx_s3_lock_inherited(root), -1);

    /* a shorter text leaves nothing of the longer one */
    memset(owner.nginx, 0, sizeof(owner.nginx));
    owner.nginx[0] = 'x';
    CHECK_INT(ngx_s3_lock_write(fd, &owner), S3_OK);
    CHECK_INT(ngx_s3_lock_read(fd, &got), S3_OK);
    CHECK_STR(got.nginx, "x");

    /* two that share; when both are gone the next one may have it */
    REQUIRE(ngx_s3_lock_join(root, owner.instance, &fd2) == S3_OK);
    close(fd);
    CHECK_INT(in_child(take, &owner), 0);
    close(fd2);
    REQUIRE(ngx_s3_lock_take(root, (uid_t) -1, (gid_t) -1, &fd, &got) == S3_OK);

    /* nothing that is in the file can do harm */
    static const char *const bad[] = {
        "ngx_s3 lock 1\n",
        "ngx_s3 lock 1\ninstance ",
        "ngx_s3 lock 1\ninstance 0123456789abcdef0123456789abcdef",
        "ngx_s3 lock 1\ninstance 0123456789abcdef0123456789abcdeg\nprocess 1\n"
        "nginx x\n",
        "ngx_s3 lock 1\ninstance 0123456789abcdef0123456789abcdef\nprocess 1\n",
        "ngx_s3 lock 1\ninstance 0123456789abcdef0123456789abcdef\nprocess 1\n"
        "nginx no end",
        "ngx_s3 lock 2\ninstance 0123456789abcdef0123456789abcdef\nprocess 1\n"
        "nginx x\n"};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        REQUIRE(ftruncate(fd, 0) == 0);
        REQUIRE(pwrite(fd, bad[i], strlen(bad[i]), 0)
                == (ssize_t) strlen(bad[i]));
        CHECK_INT(ngx_s3_lock_read(fd, &got), S3_ECORRUPT);
    }

    close(fd);

    /* the lock is no way to reach another file */
    snprintf(path, sizeof(path), "%s/lock", root);
    REQUIRE(unlink(path) == 0 && symlink("/etc/passwd", path) == 0);
    CHECK(ngx_s3_lock_take(root, (uid_t) -1, (gid_t) -1, &fd, &got) < 0);
    REQUIRE(unlink(path) == 0);
}


static void
test_memory(void)
{
    int fd, found;
    char *p, *q;
    size_t size;
    uint8_t id[16] = {1, 2, 3}, other[16] = {1, 2, 4};

    REQUIRE(ngx_s3_memory_create(id, 65536, &fd) == S3_OK);
    CHECK_INT(ngx_s3_memory_inherited(id, &size), -1);
    ngx_s3_lock_inherit(fd, 1);
    CHECK_INT(ngx_s3_memory_inherited(other, &size), -1);

    found = ngx_s3_memory_inherited(id, &size);
    CHECK_INT(found, fd);
    CHECK_INT(size, 65536);

    p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    q = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, found, 0);
    REQUIRE(p != MAP_FAILED && q != MAP_FAILED);
    p[100] = 'x';
    CHECK_INT(q[100], 'x');
    munmap(p, size);
    munmap(q, size);
    close(fd);
}


static void
test_process(void)
{
    pid_t pid;
    int64_t self, child;

    self = ngx_s3_process_self();
    CHECK_INT(self & NGX_S3_PID_MASK, getpid());
    CHECK(ngx_s3_process_alive(self));
    CHECK(ngx_s3_process_alive(getpid()));

    /* the pid lives, but was started at another time */
    CHECK(!ngx_s3_process_alive(self + (1LL << NGX_S3_PID_BITS)));

    pid = fork();
    REQUIRE(pid != -1);

    if (pid == 0) {
        pause();
        _exit(0);
    }

    child = ngx_s3_process_name(pid);
    CHECK(ngx_s3_process_alive(child));
    REQUIRE(kill(pid, SIGKILL) == 0);
    usleep(50000);
    CHECK(ngx_s3_process_alive(child)); /* a zombie still */
    REQUIRE(waitpid(pid, NULL, 0) == pid);
    CHECK(!ngx_s3_process_alive(child));
}


int
main(void)
{
    strcpy(root, "/tmp/s3_test_lock.XXXXXX");
    REQUIRE(mkdtemp(root) != NULL);

    test_lock();
    test_memory();
    test_process();

    CHECK_INT(rmdir(root), 0);

    return S3_TEST_END();
}
