/*
 * What the files of "rebuild" share.
 */

#ifndef S3CTL_REBUILD_H
#define S3CTL_REBUILD_H

#include "s3ctl/s3ctl.h"

#pragma GCC visibility push(hidden)


typedef struct {
    uint32_t id;
    s3_manifest_segment_t *segment; /* of m, or NULL: not listed there */
    uint64_t bytes;
} s3ctl_live_t;

typedef struct {
    s3ctl_t *ctl;
    s3ctl_drive_t *drive;
    s3_manifest_t was; /* where was_rc is S3_OK */
    int was_rc;
    s3_fs_t *fs;     /* where the new index lies, in memory */
    s3_manifest_t m; /* of it */
    s3ctl_index_t old;
    s3ctl_index_t log;
    unsigned partial : 1; /* old is not the whole index */
    unsigned written : 1;

    s3ctl_live_t *live; /* of each segment of m, by id */
    unsigned n_live;

    uint64_t lost; /* segments, and records that the index has a place of */
    uint64_t keys;
    uint64_t entries;
    uint64_t carried; /* are confirmed by a table alone */
    uint64_t same;
    uint64_t lesser; /* fences and notes that only one side has */
    uint64_t differences;
} s3ctl_rebuild_t;

/* old against log; what a table alone confirms goes into one more table of fs:
 * *added. */
int s3ctl_rebuild_compare(s3ctl_rebuild_t *b, s3_table_stats_t *added);

void s3ctl_differs(s3ctl_rebuild_t *b, uint64_t bucket, s3_str_t key,
                   const s3_entry_t *e, const char *what);

/* Tables and MANIFEST onto the drive. */
int s3ctl_rebuild_write(s3ctl_rebuild_t *b);

#pragma GCC visibility pop

#endif /* S3CTL_REBUILD_H */
