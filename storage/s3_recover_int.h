/*
 * Inside of recovery: shared by s3_recover*.c only.
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
    uint32_t id;
    uint32_t end; /* what is before it counts */
} s3_replay_seg_t;

typedef struct {
    s3_recover_t *r;
    s3_zone_t *z;
    s3_zdrive_t *d;
    s3_fs_t *fs;
    s3_memtable_t *mem;
    size_t mem_size;
    s3_manifest_t manifest;
    unsigned lost : 1;   /* no MANIFEST is whole */
    unsigned again : 1;  /* from the beginning of the log */
    unsigned beside : 1; /* ... while the drive is in use */

    uint32_t *ids; /* of segment files */
    size_t n_ids;
    size_t room_ids;

    s3_zseg_t *seg; /* being scanned */
    s3_late_t *late;
    s3_table_t *tables[S3_ZONE_TABLES]; /* open, as the list has them */
    unsigned n_tables;
    s3_table_t **others; /* more of them, older */
    unsigned n_others;

    s3_replay_seg_t *known; /* by id: segments that count */
    size_t n_known;
    uint32_t first_id; /* of the tables that it writes, where `lost` */
} s3_replay_t;


/* ctx: an s3_replay_t, with `seg` set. */
int s3_replay_record(void *ctx, const s3_record_t *r);

/* The MANIFEST is loaded, or lost: numbers the ones to come.  1: the drive is
 * known to have had a newer one. */
int s3_replay_older(s3_replay_t *rp);

/* Of a damaged table what holds, where the log has the record. */
int s3_replay_salvage(s3_replay_t *rp, s3_table_t *table);

/* The same of all tables that are on the drive, for no MANIFEST is whole. */
int s3_replay_salvage_all(s3_replay_t *rp);

/* Numbers that no file has. */
int s3_replay_first_id(s3_replay_t *rp);

/* Is there anything of an index or a log? */
int s3_replay_any(s3_replay_t *rp, int *any);

/* So much has been read: the drive, and the processor, are for others a while,
 * so that it goes on at 200 MiB/s at the most. */
void s3_replay_pause(s3_replay_t *rp, uint64_t bytes);

/* Frees what the replay has, and it. */
void s3_replay_end(s3_replay_t *rp);

/* [0, count) of the tables, or what is left without broken ones, become one;
 * S3_ENOENT: there are no two of them. */
int s3_replay_merge(s3_replay_t *rp, unsigned count);

/* The list of tables, for the zone: S3_ZONE_TABLES of them. */
void s3_replay_list(s3_replay_t *rp, s3_ztable_t *list);

/* The memtable into a table; the memtable is empty then. */
int s3_replay_flush(s3_replay_t *rp);

/* The same at the end of the log.  What is not confirmed by then is in the
 * memtable, too, as far as S3_REPLAY_KEPT bytes go: nobody writes it any more,
 * and there it is looked for (s3_local_in_doubt()). */
#define S3_REPLAY_KEPT (1024 * 1024)
int s3_replay_flush_last(s3_replay_t *rp);

int s3_replay_insert(s3_replay_t *rp, uint64_t bucket, s3_str_t key,
                     const s3_entry_t *e);

/* Flags all records of that version in the memtable; how many. */
unsigned s3_replay_flag(s3_replay_t *rp, uint64_t bucket, s3_str_t key,
                        const s3_version_t *v, uint8_t flags);

/* The CONFIRMs that were kept for the end. */
int s3_replay_confirms(s3_replay_t *rp);

#pragma GCC visibility pop

#endif /* S3_RECOVER_INT_H */
