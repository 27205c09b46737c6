
/*
 * What a drive is like: does it work, may it block?  See ngx_s3_fs.h.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "ngx_s3_fs.h"


#define NGX_S3_FS_PROBE  S3_SECTOR

/* f_type of statfs(2) */

#define NGX_S3_FS_9P     0x01021997
#define NGX_S3_FS_AFS    0x5346414f
#define NGX_S3_FS_CEPH   0x00c36400
#define NGX_S3_FS_CIFS   0xff534d42
#define NGX_S3_FS_FUSE   0x65735546
#define NGX_S3_FS_NFS    0x00006969
#define NGX_S3_FS_SMB2   0xfe534d42


static int ngx_s3_fs_probe_file(int fd, char *buf);


int
ngx_s3_fs_probe(s3_fs_t *fs)
{
    return ngx_s3_fs_probe_at(ngx_s3_fs_dir(fs));
}


int
ngx_s3_fs_probe_at(int dir)
{
    int    fd, rc;
    char  *buf, name[64];

    buf = aligned_alloc(S3_SECTOR, NGX_S3_FS_PROBE);
    if (buf == NULL) {
        return S3_ENOMEM;
    }

    (void) snprintf(name, sizeof(name), "tmp/probe-%ld", (long) getpid());

    fd = openat(dir, name, O_RDWR|O_CREAT|O_TRUNC|O_CLOEXEC|O_NOFOLLOW, 0600);

    if (fd == -1) {
        rc = ngx_s3_fs_error(errno);
        free(buf);
        return rc;
    }

    rc = ngx_s3_fs_probe_file(fd, buf);

    (void) close(fd);

    if (unlinkat(dir, name, 0) == -1 && rc == S3_OK) {
        rc = ngx_s3_fs_error(errno);
    }

    free(buf);

    return rc;
}


/* Past the page cache, where that can be had. */

static int
ngx_s3_fs_probe_file(int fd, char *buf)
{
    int      flags;
    ssize_t  n;

    flags = fcntl(fd, F_GETFL);

    if (flags != -1) {
        (void) fcntl(fd, F_SETFL, flags|O_DIRECT);
    }

    memset(buf, 0x5a, NGX_S3_FS_PROBE);

    n = pwrite(fd, buf, NGX_S3_FS_PROBE, 0);

    if (n == -1 || fdatasync(fd) == -1) {
        return ngx_s3_fs_error(errno);
    }

    memset(buf, 0, NGX_S3_FS_PROBE);

    n = pread(fd, buf, NGX_S3_FS_PROBE, 0);

    if (n == -1) {
        return ngx_s3_fs_error(errno);
    }

    return (n == NGX_S3_FS_PROBE && buf[0] == 0x5a
            && buf[NGX_S3_FS_PROBE - 1] == 0x5a)
           ? S3_OK : S3_EIO;
}


void
ngx_s3_fs_pause(s3_fs_t *fs, unsigned ms)
{
    struct timespec  ts;

    (void) fs;

    ts.tv_sec = ms / 1000;
    ts.tv_nsec = (long) (ms % 1000) * 1000000;

    (void) nanosleep(&ts, NULL);
}


int
ngx_s3_fs_slow(int fd)
{
    struct statfs  st;

    if (fstatfs(fd, &st) == -1) {
        return 0;
    }

    switch ((uint32_t) st.f_type) {

    case NGX_S3_FS_9P:
    case NGX_S3_FS_AFS:
    case NGX_S3_FS_CEPH:
    case NGX_S3_FS_CIFS:
    case NGX_S3_FS_FUSE:
    case NGX_S3_FS_NFS:
    case NGX_S3_FS_SMB2:
        return 1;

    default:
        return 0;
    }
}
