/*
 * What the files of "check" share.
 */

#ifndef S3CTL_CHECK_H
#define S3CTL_CHECK_H

#include "s3ctl/s3ctl.h"

#pragma GCC visibility push(hidden)


/* Blobs that were looked at: ids, a hash table with open addressing. */

typedef struct {
    uint8_t (*ids)[16];
    uint8_t *used;
    size_t n;
    size_t room; /* a power of two */
} s3ctl_seen_t;

typedef struct {
    s3ctl_t *ctl;
    s3ctl_drive_t *drive;
    s3_fs_t *fs;
    s3_manifest_t manifest;
    int manifest_rc;
    unsigned placed : 1; /* format.json holds: place is valid */
    s3_place_t place;
    s3ctl_seen_t seen;
    char file[64]; /* of the blob under way */

    uint64_t problems;
    uint64_t notes;
    uint64_t tables;
    uint64_t entries; /* in tables */
    uint64_t segments;
    uint64_t batches;
    uint64_t records;
    uint64_t live; /* entries of the index whose record was read */
    uint64_t blobs;
    uint64_t units;
    uint64_t bytes;
    uint64_t unlisted; /* blobs */
} s3ctl_check_t;

/* One line; off: -1 where it is the file as a whole. */
void s3ctl_problem(s3ctl_check_t *c, const char *file, int64_t off,
                   const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* Worth a line, nothing wrong. */
void s3ctl_note(s3ctl_check_t *c, const char *file, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

void s3ctl_check_tables(s3ctl_check_t *c);
void s3ctl_check_log(s3ctl_check_t *c);
/* Every entry of the index has its record, every record its blobs. */
void s3ctl_check_index(s3ctl_check_t *c);
/* What is in blob/ and was not looked at yet. */
void s3ctl_check_blobs(s3ctl_check_t *c);

/* 1: was not in there; S3_ENOMEM. */
int s3ctl_seen_add(s3ctl_seen_t *seen, const uint8_t id[16]);

#pragma GCC visibility pop

#endif /* S3CTL_CHECK_H */
