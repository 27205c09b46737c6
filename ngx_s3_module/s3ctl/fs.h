/*
 * s3_fs_t over a directory that is never written: what is written, renamed or
 * removed is so in memory alone, for whoever looks through this s3_fs_t.
 * Blocking; one thread.
 *
 * A file of the directory that is opened for writing can be read and synced;
 * writing to it gives S3_EROFS, unless it was opened with S3_O_CREATE or has
 * been renamed: then a copy was taken into memory.
 */

#ifndef S3CTL_FS_H
#define S3CTL_FS_H

#include "storage/s3_io.h"

#pragma GCC visibility push(hidden)


/* S3_ENOENT: no such directory; S3_EIO, S3_ENOMEM. */
int s3ctl_fs_open(const char *path, unsigned drive, s3_fs_t **fs);
void s3ctl_fs_close(s3_fs_t *fs);

/* Reads into memory what is left of a file: *data is malloc()ed.  S3_EINVAL:
 * more than max bytes. */
int s3ctl_fs_load(s3_fs_t *fs, const char *path, size_t max, uint8_t **data,
                  size_t *len);

#pragma GCC visibility pop

#endif /* S3CTL_FS_H */
