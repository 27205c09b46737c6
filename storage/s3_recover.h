/*
 * One drive into the zone: MANIFEST, then the log from where it says.
 *
 * Everything that is replayed ends in tables on the spot, so that the drive
 * begins with empty memtables and its segments entirely covered; where it
 * cannot be written (a read-only file system) the entries stay in memory.
 *
 * Replay is a set union: any order, twice the same.  CONFIRM records are kept
 * for the end, when their RECORD has been seen wherever it was.  Files that no
 * MANIFEST names and that are older than it are removed; what cannot be read
 * is never removed.
 */

#ifndef S3_RECOVER_H
#define S3_RECOVER_H

#include "storage/s3_zone.h"
#include "storage/s3_io.h"

#pragma GCC visibility push(hidden)


typedef struct {
    s3_zone_t *zone;
    unsigned drive;
    s3_fs_t *fs;
    const char *name;   /* for messages, or NULL */
    s3_version_t floor; /* at least; a drive that is refilled starts with it */
    void (*log)(void *ctx, int level, const char *message);
    void *ctx;

    /* result */
    unsigned records;
    unsigned corrupt;
    unsigned torn;
    int readonly;
} s3_recover_t;

/* Blocking.  The drive's part of the zone is made anew; its state is left to
 * the caller.  S3_ECORRUPT: no MANIFEST is whole; S3_EVERSION, S3_EIO,
 * S3_ENOMEM, S3_ENOSPC (too many segments, or too little memory). */
int s3_recover_drive(s3_recover_t *r);

/* After all drives: what the drive may have forgotten is older than this.
 * Where records were damaged that is its floor, too. */
void s3_recover_done(s3_zone_t *zone, unsigned drive);

#pragma GCC visibility pop

#endif /* S3_RECOVER_H */
