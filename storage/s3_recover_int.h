/*
 * Inside of recovery: shared by s3_recover.c and s3_recover_table.c only.
 */

#ifndef S3_RECOVER_INT_H
#define S3_RECOVER_INT_H

#include "storage/s3_recover.h"
#include "storage/s3_maintain.h"

#pragma GCC visibility push(hidden)


typedef struct s3_late_s s3_late_t;

/* A CONFIRM whose record is not (yet) in the memtable. */

struct s3_late_s {
    s3_late_t *next;
    uint64_t bucket;
    s3_version_t version;
    uint8_t flags;
    uint16_t key_len;
    uint8_t key[];
};

typedef struct {
    s3_recover_t *r;
    s3_zone_t *z;
    s3_zdrive_t *d;
    s3_fs_t *fs;
    s3_memtable_t *mem;
    s3_manifest_t manifest;

    uint32_t *ids; /* of segment files */
    size_t n_ids;
    size_t room_ids;

    s3_zseg_t *seg; /* being scanned */
    s3_late_t *late;
    s3_table_t *tables[S3_ZONE_TABLES]; /* open, as the list has them */
    unsigned n_tables;
} s3_replay_t;


/* The list of tables, for the zone: S3_ZONE_TABLES of them. */
void s3_replay_list(s3_replay_t *rp, s3_ztable_t *list);

/* The memtable into a table; the memtable is empty then. */
int s3_replay_flush(s3_replay_t *rp);

int s3_replay_insert(s3_replay_t *rp, uint64_t bucket, s3_str_t key,
                     const s3_entry_t *e);

/* Flags all records of that version in the memtable; how many. */
unsigned s3_replay_flag(s3_replay_t *rp, uint64_t bucket, s3_str_t key,
                        const s3_version_t *v, uint8_t flags);

/* The CONFIRMs that were kept for the end. */
int s3_replay_confirms(s3_replay_t *rp);

#pragma GCC visibility pop

#endif /* S3_RECOVER_INT_H */
