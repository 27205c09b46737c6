/*
 * s3_fs_t over POSIX: one drive, rooted at its directory.
 *
 * This file knows no nginx.  Everything is relative to a descriptor of the
 * drive's directory, so that a mount that slides over the path, or away from
 * it, never mixes two drives.  A drive that is not there gives S3_EIO to every
 * call (never S3_ENOENT: an absent drive must not look like an empty one).
 *
 * Calls block.  They may come from any thread; ngx_s3_fs_attach() while other
 * threads work on the drive is safe.
 */

#ifndef NGX_S3_FS_H
#define NGX_S3_FS_H

#include "storage/s3_io.h"

#pragma GCC visibility push(hidden)


struct s3_file_s {
    int       fd;
    unsigned  write:1;
    unsigned  direct:1;        /* O_DIRECT took effect */
    unsigned  slow:1;          /* io_submit() may block: ngx_s3_fs_slow() */
};


/* Never touches the drive; NULL where memory is out.  `path` is copied. */
s3_fs_t *ngx_s3_fs_create(const char *path, unsigned drive);
void ngx_s3_fs_destroy(s3_fs_t *fs);

const char *ngx_s3_fs_path(s3_fs_t *fs);

/* For a start as root: whatever is created from now on belongs to them. */
void ngx_s3_fs_owner(s3_fs_t *fs, uid_t uid, gid_t gid);

/*
 * A call on a detached drive tries to attach it first, if admit() returns
 * S3_OK.  admit() runs in whatever thread makes the call, and says whether
 * what the path leads to is the drive in question.
 */
void ngx_s3_fs_lazy(s3_fs_t *fs, int (*admit)(void *ctx), void *ctx);

/*
 * Opens the directory as the path leads to it now; whatever was open before
 * is left to the files that are open in it.  S3_OK, S3_ENOENT (no such
 * directory), S3_EROFS (may not be written), S3_EIO.
 */
int ngx_s3_fs_attach(s3_fs_t *fs);
void ngx_s3_fs_detach(s3_fs_t *fs);
int ngx_s3_fs_attached(s3_fs_t *fs);

/*
 * Is it still what was attached?  S3_OK; S3_ENOENT: the directory is gone;
 * S3_EFOREIGN: the path leads to another directory or mount; S3_EROFS; S3_EIO.
 */
int ngx_s3_fs_check(s3_fs_t *fs);

/*
 * Writes a small file in tmp/, syncs it, reads it back, removes it.  S3_OK, or
 * what went wrong.  _at: of the directory of a drive.
 */
int ngx_s3_fs_probe(s3_fs_t *fs);
int ngx_s3_fs_probe_at(int dir);

/* The file system hands requests to a process or to another machine, and may
 * keep whoever makes them waiting, asynchronous ones, too. */
int ngx_s3_fs_slow(int fd);

/* An errno as a negative code of s3_core.h. */
int ngx_s3_fs_error(int err);

/* Within ngx_s3_fs*.c: the drive's directory; s3_fs_t's mtime() and pause(). */
int ngx_s3_fs_dir(s3_fs_t *fs);
int ngx_s3_fs_mtime(s3_fs_t *fs, const char *path, uint64_t *seconds);
void ngx_s3_fs_pause(s3_fs_t *fs, unsigned ms);


#pragma GCC visibility pop

#endif /* NGX_S3_FS_H */
