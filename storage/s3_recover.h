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
#include "storage/s3_table.h"

#pragma GCC visibility push(hidden)


typedef struct {
    s3_zone_t *zone;
    unsigned drive;
    s3_fs_t *fs;
    const char *name;   /* for messages, or NULL */
    s3_version_t floor; /* at least; a drive that is refilled starts with it */
    unsigned rebuild : 1; /* where no MANIFEST is whole: from all of the log */
    unsigned gentle : 1;  /* and slowly: others are at work */
    void (*log)(void *ctx, int level, const char *message);
    void *ctx;

    /* result */
    unsigned records;
    unsigned corrupt;
    unsigned torn;
    int readonly;
    int unsaved; /* not all is in tables: they could not be written */
    int rebuilt; /* no MANIFEST was whole */
} s3_recover_t;

/* Blocking.  The drive's part of the zone is made anew; its state is left to
 * the caller.  S3_ECORRUPT: no MANIFEST is whole, and `rebuild` is not set;
 * S3_EVERSION, S3_EIO, S3_ENOMEM, S3_ENOSPC (too many segments, or too little
 * memory).  Tables that are damaged are no error: they stay in the list until
 * they are made anew (s3_maintain.h). */
int s3_recover_drive(s3_recover_t *r);

/* After all drives: what the drive may have forgotten is older than this.
 * Where records were damaged that is its floor, too. */
void s3_recover_done(s3_zone_t *zone, unsigned drive);

/* Saves that floor, where it was raised: the next start may find no damage any
 * more; and how far the other drives have come.  Blocking, before the zone is
 * in use. */
int s3_recover_keep(s3_zone_t *zone, unsigned drive, s3_fs_t *fs);


/*
 * One table in the place of damaged ones, made from what holds of them and
 * from the log, while the drive is in use.  Blocking, in a task.  Meanwhile no
 * segment is freed, and no other table goes.
 *
 * What the log does not have: that a version is confirmed, where the segment
 * with the CONFIRM was freed.  And what was dropped because of it may be here
 * again.  So before the new table counts the drive's floor and memory_since
 * have to be raised to the present.
 */

typedef struct {
    uint32_t id;
    uint32_t end;      /* all before it is durable, and may be in tables only */
    unsigned open : 1; /* of the batch at `end`, where it begins, too, all but
                        * what memtables know to be under way */
} s3_rebuild_seg_t;

typedef struct {
    s3_zone_t *zone;
    unsigned drive;
    s3_fs_t *fs;
    uint64_t generation; /* of the tables: it is held, and keeps memtables */
    s3_table_t **bad;    /* held by the caller, as are the others */
    unsigned n_bad;
    s3_table_t **good;
    unsigned n_good;
    s3_rebuild_seg_t *segs; /* ascending */
    size_t n_segs;
    unsigned give_up : 1; /* a segment that cannot be read is lost, no error */
    const volatile int *cancelled;

    /* result */
    uint32_t id;
    s3_table_stats_t stats; /* entries == 0: there is no table */
    unsigned records;
    unsigned corrupt;
} s3_rebuild_t;

/* S3_OK; S3_EBUSY: cancelled; an error, and no file is left. */
int s3_rebuild_run(s3_rebuild_t *b);

/* For all that it does not have and that may be as old as now, the drive says
 * GONE from here on.  Under the lock, or before the zone is in use. */
void s3_recover_raise(s3_zone_t *z, s3_zdrive_t *d);

#pragma GCC visibility pop

#endif /* S3_RECOVER_H */
