/*
 * Who owns a drive, and the memory that the owners share; see ngx_s3_lock.h.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ngx_s3_lock.h"


#define NGX_S3_LOCK_MAX   1024
#define NGX_S3_LOCK_HEAD  "ngx_s3 lock 1\n"

#define NGX_S3_PID_BITS   22     /* PID_MAX_LIMIT of Linux */
#define NGX_S3_PID_MASK   ((1 << NGX_S3_PID_BITS) - 1)


static int ngx_s3_lock_open(const char *dir, int flags, int *fd);
static int ngx_s3_lock_flock(int fd, int how);
static int ngx_s3_descriptors(int (*match)(int fd, const void *data),
    const void *data);
static int ngx_s3_descriptor_is_file(int fd, const void *data);
static int ngx_s3_descriptor_is_memory(int fd, const void *data);
static void ngx_s3_hex(char *dst, const uint8_t *src, size_t len);
static int ngx_s3_unhex(uint8_t *dst, const char *src, size_t len);
static int64_t ngx_s3_process_name(int64_t pid);


static int
ngx_s3_lock_open(const char *dir, int flags, int *fd)
{
    int   len;
    char  path[PATH_MAX];

    len = snprintf(path, sizeof(path), "%s/lock", dir);

    if (len < 0 || (size_t) len >= sizeof(path)) {
        return S3_EINVAL;
    }

    *fd = open(path, O_RDWR|O_CLOEXEC|O_NOFOLLOW|flags, 0600);

    if (*fd != -1) {
        return S3_OK;
    }

    if (errno == ENOENT) {
        return S3_ENOENT;
    }

    return (errno == EACCES || errno == EPERM || errno == EROFS) ? S3_EROFS
                                                                 : S3_EIO;
}


static int
ngx_s3_lock_flock(int fd, int how)
{
    int  rc;

    do {
        rc = flock(fd, how|LOCK_NB);
    } while (rc == -1 && errno == EINTR);

    if (rc == -1) {
        return errno == EWOULDBLOCK ? S3_EBUSY : S3_EIO;
    }

    return S3_OK;
}


int
ngx_s3_lock_inherited(const char *dir)
{
    int          fd, rc;
    struct stat  st;

    if (ngx_s3_lock_open(dir, 0, &fd) != S3_OK) {
        return -1;
    }

    rc = fstat(fd, &st);

    (void) close(fd);

    if (rc == -1 || !S_ISREG(st.st_mode)) {
        return -1;
    }

    fd = ngx_s3_descriptors(ngx_s3_descriptor_is_file, &st);

    /* a shared lock it has already; who has not must not get one here */

    if (fd != -1 && ngx_s3_lock_flock(fd, LOCK_SH) != S3_OK) {
        return -1;
    }

    return fd;
}


int
ngx_s3_lock_take(const char *dir, uid_t uid, gid_t gid, int *fd,
    ngx_s3_owner_t *owner)
{
    int  rc;

    memset(owner, 0, sizeof(ngx_s3_owner_t));

    rc = ngx_s3_lock_open(dir, O_CREAT, fd);
    if (rc != S3_OK) {
        return rc;
    }

    if (uid != (uid_t) -1 && fchown(*fd, uid, gid) == -1) {
        rc = S3_EIO;
        goto failed;
    }

    rc = ngx_s3_lock_flock(*fd, LOCK_EX);
    if (rc == S3_OK) {
        return S3_OK;
    }

    if (rc == S3_EBUSY && ngx_s3_lock_read(*fd, owner) != S3_OK) {
        memset(owner, 0, sizeof(ngx_s3_owner_t));
    }

failed:

    (void) close(*fd);
    *fd = -1;

    return rc;
}


int
ngx_s3_lock_share(int fd, const ngx_s3_owner_t *owner)
{
    int  rc;

    rc = ngx_s3_lock_write(fd, owner);

    return rc == S3_OK ? ngx_s3_lock_flock(fd, LOCK_SH) : rc;
}


int
ngx_s3_lock_write(int fd, const ngx_s3_owner_t *owner)
{
    int   len;
    char  buf[NGX_S3_LOCK_MAX], id[33];

    ngx_s3_hex(id, owner->instance, 16);

    len = snprintf(buf, sizeof(buf),
                   NGX_S3_LOCK_HEAD "instance %s\nprocess %" PRId64 "\n"
                   "nginx %s\n",
                   id, owner->pid, owner->nginx);

    if (len < 0 || (size_t) len >= sizeof(buf)) {
        return S3_EINVAL;
    }

    /* in this order nobody reads an empty file meanwhile */

    if (pwrite(fd, buf, len, 0) != len || ftruncate(fd, len) == -1) {
        return S3_EIO;
    }

    return S3_OK;
}


int
ngx_s3_lock_join(const char *dir, const uint8_t instance[16], int *fd)
{
    int             rc;
    ngx_s3_owner_t  owner;

    rc = ngx_s3_lock_open(dir, 0, fd);
    if (rc != S3_OK) {
        return rc;
    }

    rc = ngx_s3_lock_flock(*fd, LOCK_SH);

    if (rc == S3_OK
        && (ngx_s3_lock_read(*fd, &owner) != S3_OK
            || memcmp(owner.instance, instance, 16) != 0))
    {
        rc = S3_EFOREIGN;
    }

    if (rc != S3_OK) {
        (void) close(*fd);
        *fd = -1;
    }

    return rc;
}


int
ngx_s3_lock_read(int fd, ngx_s3_owner_t *owner)
{
    char     *p, *end, buf[NGX_S3_LOCK_MAX];
    ssize_t   n;

    memset(owner, 0, sizeof(ngx_s3_owner_t));

    n = pread(fd, buf, sizeof(buf) - 1, 0);
    if (n <= 0) {
        return S3_ECORRUPT;
    }

    buf[n] = '\0';
    p = buf;

    if (strncmp(p, NGX_S3_LOCK_HEAD, sizeof(NGX_S3_LOCK_HEAD) - 1) != 0) {
        return S3_ECORRUPT;
    }

    p += sizeof(NGX_S3_LOCK_HEAD) - 1;

    if (strncmp(p, "instance ", 9) != 0
        || ngx_s3_unhex(owner->instance, p + 9, 16) != S3_OK
        || strncmp(p + 41, "\nprocess ", 9) != 0)
    {
        return S3_ECORRUPT;
    }

    owner->pid = strtoll(p + 50, &end, 10);

    if (strncmp(end, "\nnginx ", 7) != 0) {
        return S3_ECORRUPT;
    }

    p = end + 7;
    end = strchr(p, '\n');

    if (end == NULL || (size_t) (end - p) >= sizeof(owner->nginx)) {
        return S3_ECORRUPT;
    }

    memcpy(owner->nginx, p, end - p);

    return S3_OK;
}


void
ngx_s3_lock_inherit(int fd, int on)
{
    (void) fcntl(fd, F_SETFD, on ? 0 : FD_CLOEXEC);
}


/* Only what survived an exec: others are set close-on-exec. */

static int
ngx_s3_descriptors(int (*match)(int fd, const void *data), const void *data)
{
    int             fd, found;
    DIR            *dir;
    char           *end;
    struct dirent  *de;

    dir = opendir("/proc/self/fd");
    if (dir == NULL) {
        return -1;
    }

    found = -1;

    while ((de = readdir(dir)) != NULL) {

        fd = (int) strtol(de->d_name, &end, 10);

        if (end == de->d_name || *end != '\0' || fd == dirfd(dir)) {
            continue;
        }

        if ((fcntl(fd, F_GETFD) & FD_CLOEXEC) == 0 && match(fd, data)) {
            found = fd;
            break;
        }
    }

    (void) closedir(dir);

    return found;
}


static int
ngx_s3_descriptor_is_file(int fd, const void *data)
{
    struct stat         st;
    const struct stat  *want = data;

    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode)
           && st.st_dev == want->st_dev && st.st_ino == want->st_ino;
}


static int
ngx_s3_descriptor_is_memory(int fd, const void *data)
{
    int      len;
    char     link[64], target[128], want[128];
    ssize_t  n;

    len = snprintf(want, sizeof(want), "/memfd:ngx_s3.%s (deleted)",
                   (const char *) data);

    (void) snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);

    n = readlink(link, target, sizeof(target));

    return n == len && memcmp(target, want, n) == 0;
}


int
ngx_s3_memory_create(const uint8_t instance[16], size_t size, int *fd)
{
    char  id[33], name[64];

    ngx_s3_hex(id, instance, 16);

    (void) snprintf(name, sizeof(name), "ngx_s3.%s", id);

    *fd = memfd_create(name, MFD_CLOEXEC);
    if (*fd == -1) {
        return S3_ENOMEM;
    }

    if (ftruncate(*fd, size) == -1) {
        (void) close(*fd);
        *fd = -1;
        return S3_ENOMEM;
    }

    return S3_OK;
}


int
ngx_s3_memory_inherited(const uint8_t instance[16], size_t *size)
{
    int          fd;
    char         id[33];
    struct stat  st;

    ngx_s3_hex(id, instance, 16);

    fd = ngx_s3_descriptors(ngx_s3_descriptor_is_memory, id);

    if (fd == -1 || fstat(fd, &st) == -1) {
        return -1;
    }

    *size = st.st_size;

    return fd;
}


int64_t
ngx_s3_process_self(void)
{
    int64_t  pid, name;

    pid = getpid();
    name = ngx_s3_process_name(pid);

    return name > 0 ? name : pid;
}


int
ngx_s3_process_alive(int64_t process)
{
    int64_t  pid, name;

    pid = process & NGX_S3_PID_MASK;

    if (kill((pid_t) pid, 0) == -1 && errno == ESRCH) {
        return 0;
    }

    /* the pid is in use; by another process, if that was started later */

    if (process >> NGX_S3_PID_BITS) {
        name = ngx_s3_process_name(pid);

        if (name > 0 && name != process) {
            return 0;
        }
    }

    return 1;
}


/* From field 22 of /proc/PID/stat; the command (2) may contain anything. */

static int64_t
ngx_s3_process_name(int64_t pid)
{
    int                  fd, i;
    char                *p, buf[1024];
    ssize_t              n;
    unsigned long long   start;

    (void) snprintf(buf, sizeof(buf), "/proc/%" PRId64 "/stat", pid);

    fd = open(buf, O_RDONLY|O_CLOEXEC);
    if (fd == -1) {
        return -1;
    }

    n = read(fd, buf, sizeof(buf) - 1);

    (void) close(fd);

    if (n <= 0) {
        return -1;
    }

    buf[n] = '\0';

    p = strrchr(buf, ')');

    for (i = 2; p && i < 22; i++) {
        p = strchr(p + 1, ' ');
    }

    if (p == NULL) {
        return -1;
    }

    start = strtoull(p + 1, NULL, 10);

    if (start == 0 || start >= (1ULL << (63 - NGX_S3_PID_BITS))) {
        return -1;
    }

    return (int64_t) start << NGX_S3_PID_BITS | pid;
}


static void
ngx_s3_hex(char *dst, const uint8_t *src, size_t len)
{
    static const char  digits[] = "0123456789abcdef";

    while (len--) {
        *dst++ = digits[*src >> 4];
        *dst++ = digits[*src++ & 0xf];
    }

    *dst = '\0';
}


static int
ngx_s3_unhex(uint8_t *dst, const char *src, size_t len)
{
    int     i, v;
    size_t  n;

    for (n = 0; n < len; n++) {

        v = 0;

        for (i = 0; i < 2; i++, src++) {

            if (*src >= '0' && *src <= '9') {
                v = v << 4 | (*src - '0');

            } else if (*src >= 'a' && *src <= 'f') {
                v = v << 4 | (*src - 'a' + 10);

            } else {
                return S3_ECORRUPT;
            }
        }

        dst[n] = (uint8_t) v;
    }

    return S3_OK;
}
