/*
 * The index of one drive in one process: the memtables of the zone and the
 * tables that this process has open.
 *
 *   s3_tabset_t   the open tables of one generation, counted; one that is
 *                 damaged has a placeholder, s3_table_broken(), and is opened
 *                 again from time to time: what did not hold was perhaps a
 *                 read, and then nobody makes the table anew
 *   s3_find_t     all entries of one key that the tables have; resumable
 *   s3_view_t     those and the memtables' together: one item a version,
 *                 newest first, with its state.  This is what votes decide on
 *
 * A tabset together with all arenas that are used and not flushed at its
 * generation or before is complete, whatever is flushed or merged meanwhile;
 * so a decision needs: a find over some tabset (no lock, may wait), then the
 * lock, then a view over that find and the memtables as they are now.
 *
 * The index keeps the zone's proc.seen[] at the least generation that is
 * still in use here, which is what keeps arenas from being reused.
 */

#ifndef S3_INDEX_H
#define S3_INDEX_H

#include "storage/s3_core.h"
#include "storage/s3_io.h"
#include "storage/s3_entry.h"
#include "storage/s3_table.h"
#include "storage/s3_merge.h"
#include "storage/s3_zone.h"
#include "storage/s3_memtable.h"

#pragma GCC visibility push(hidden)


typedef struct s3_index_s s3_index_t;
typedef struct s3_tabset_s s3_tabset_t;
typedef struct s3_find_s s3_find_t;


struct s3_tabset_s {
    unsigned refs;
    unsigned n;
    unsigned broken; /* placeholders among them */
    uint64_t generation;
    s3_tabset_t *next;
    s3_table_t *tables[S3_ZONE_TABLES]; /* newest first */
};


struct s3_index_s {
    s3_loop_t *loop;
    s3_fs_t *fs;
    s3_zone_t *zone;
    unsigned drive;
    unsigned slot;

    s3_cache_t *cache; /* or NULL where memory was short */
    s3_tabset_t *current;
    s3_tabset_t *old; /* still used by somebody */

    /* opening of a new generation */
    s3_task_t task;
    unsigned opening : 1;
    unsigned quiet : 1; /* opens no more */
    uint64_t retry;     /* ms: not before; opening failed */
    uint64_t reopen;    /* ms: placeholders not before */
    s3_tabset_t *next;
    unsigned n_missing;
    unsigned places[S3_ZONE_TABLES]; /* in next->tables */
    uint32_t ids[S3_ZONE_TABLES];
    s3_table_t *opened[S3_ZONE_TABLES];
    int rc;
};

/* Blocking: opens the tables of the present generation.  The process has
 * joined the zone. */
int s3_index_open(s3_index_t *ix, s3_zone_t *zone, unsigned drive,
                  unsigned slot, s3_loop_t *loop, s3_fs_t *fs);

/* Not opening, no set held but the current one. */
void s3_index_close(s3_index_t *ix);

/* Looks whether there is a newer generation, and opens it in a task. */
void s3_index_refresh(s3_index_t *ix);

/* Something of it did not hold its checksum: whoever maintains the drive is to
 * find out what, and make it anew. */
static inline void
s3_index_damaged(s3_index_t *ix)
{
    __atomic_store_n(&ix->zone->drives[ix->drive].verify, S3_ZVERIFY_DAMAGE,
                     __ATOMIC_RELEASE);
}

static inline int
s3_index_busy(const s3_index_t *ix)
{
    return ix->opening;
}

s3_tabset_t *s3_tabset_hold(s3_index_t *ix); /* the current one */
void s3_tabset_release(s3_index_t *ix, s3_tabset_t *set);

/* The memtables that complete `set`, newest first; *arena their numbers. */
unsigned
s3_index_memtables(s3_zone_t *z, unsigned drive, uint64_t generation,
                   s3_memtable_t *tables[S3_ZONE_ARENAS], unsigned *arena);

/*
 * The same for a walk that takes time, in a task: as long as they are held
 * none is used again for others.  Nodes may still be added to them.
 */

typedef struct {
    s3_tabset_t *set;
    unsigned n;
    s3_memtable_t *tables[S3_ZONE_ARENAS];
} s3_memtables_t;

void s3_memtables_hold(s3_index_t *ix, s3_memtables_t *m);
void s3_memtables_release(s3_index_t *ix, s3_memtables_t *m);


/*
 * start: S3_OK: all is there; S3_AGAIN: done() will be called; else an error,
 * also as rc of done().  The set stays held until s3_find_end(), which may be
 * called whenever no done() is owed.
 */

struct s3_find_s {
    s3_index_t *ix;
    uint64_t bucket;
    s3_str_t key; /* the caller's */
    uint64_t hash;
    s3_tabset_t *set;
    unsigned at; /* table */
    s3_block_t block;
    s3_task_t task;

    s3_entry_t *entries; /* newest table first */
    unsigned n;
    unsigned room;
    s3_entry_t fixed[2];

    void (*done)(s3_find_t *find, int rc);
    void *ctx;
};

int
s3_find_start(s3_find_t *find, s3_index_t *ix, uint64_t bucket, s3_str_t key);
void s3_find_end(s3_find_t *find);


typedef struct {
    s3_entry_t e;    /* what is durable; else what is not */
    uint8_t durable; /* e is */
    uint8_t failed;  /* somewhere a write of this version has failed */
    uint8_t memory;  /* e comes from a memtable */
    uint8_t active;  /* ... the active one */
    uint8_t sure;    /* that it is confirmed will be known after a crash */
    s3_memnode_t *pending; /* one that is pending, or NULL */
    uint64_t pending_seq;  /* of its arena */
    unsigned pending_arena;
} s3_item_state_t;

typedef struct {
    s3_item_state_t *items; /* newest version first */
    unsigned n;
    unsigned room;
    s3_memplace_t place; /* of the key in the active memtable */
    s3_item_state_t fixed[4];
} s3_view_t;

void s3_view_init(s3_view_t *v);
void s3_view_done(s3_view_t *v);

/* Memtables and what the find has; S3_OK, S3_ENOMEM, S3_ECORRUPT.  find NULL:
 * memtables alone, all that are not flushed at `generation`. */
int
s3_view_load(s3_view_t *v, s3_zone_t *z, unsigned drive, const s3_find_t *find,
             uint64_t generation, uint64_t bucket, s3_str_t key);

/*
 * The same, without what a key that is overwritten over and over has left in
 * the memtables: all that is not older than *down_to is there, the confirmed
 * record below that, and the two newest confirmed ones.
 */
int s3_view_load_to(s3_view_t *v, s3_zone_t *z, unsigned drive,
                    const s3_find_t *find, uint64_t generation, uint64_t bucket,
                    s3_str_t key, const s3_version_t *down_to);

/* Adds what is durable; the newest addition first.  NULL: S3_ENOMEM. */
s3_item_state_t *s3_view_durable(s3_view_t *v, const s3_entry_t *e);

s3_item_state_t *s3_view_version(s3_view_t *v, const s3_version_t *version);

/* The newest durable confirmed record, or NULL. */
s3_item_state_t *s3_view_confirmed(s3_view_t *v);

/* The newest one that is confirmed for certain, even after a crash: what is
 * older is dropped for good. */
s3_item_state_t *s3_view_dropper(s3_view_t *v);

/* Which of two entries of one version counts: the greater. */
int s3_entry_rank(const s3_entry_t *e);

#pragma GCC visibility pop

#endif /* S3_INDEX_H */
