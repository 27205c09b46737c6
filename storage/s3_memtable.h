/*
 * Memtable: a skiplist in an arena of the zone, sorted by (bucket, key,
 * version descending); a later addition of the same version comes first.
 *
 *   arena  ┌────────┬──────┬──────┬──────┬─ ─ ─┐
 *          │ header │ node │ node │ node │ free│   offsets in units of 8 bytes
 *          └────────┴──────┴──────┴──────┴─ ─ ─┘
 *   node   state, flags | next[height] | key | encoded entry
 *
 * One writer at a time (the drive's lock); readers take no lock.  A node is
 * complete before the store that links it, level by level from below, so a
 * writer that dies at any instruction leaves the list whole.  Nodes never go
 * and never change, but for two bytes:
 *
 *   state   PENDING ──► DURABLE            its log write is done
 *                 └───► FAILED             the write failed: may be on the
 *                 │                        drive or not; known at restart
 *                 └───► REMOVED            its process died, it never was
 *                                          durable
 *   flags   S3_F_CONFIRMED may be set later; S3_MEM_SURE: that is durable, too;
 *           S3_MEM_TOUCHED: another node of its key was put next to it later
 *
 * A pending node is seen by the next vote, by no reader.  An insert costs
 * about a microsecond; NULL (no room) tells the caller to freeze the table.
 */

#ifndef S3_MEMTABLE_H
#define S3_MEMTABLE_H

#include "storage/s3_core.h"
#include "storage/s3_entry.h"
#include "storage/s3_source.h"

#pragma GCC visibility push(hidden)


#define S3_MEMTABLE_LEVELS 14
#define S3_MEMTABLE_MAX (1024u * 1024 * 1024)

typedef enum {
    S3_MEM_PENDING = 1,
    S3_MEM_DURABLE = 2,
    S3_MEM_FAILED = 3,
    S3_MEM_REMOVED = 4
} s3_mem_state_t;

/* Beside S3_F_...; they never leave the memtable. */
#define S3_MEM_SURE 0x80
#define S3_MEM_TOUCHED 0x40
#define S3_MEM_FLAGS (S3_MEM_SURE | S3_MEM_TOUCHED)

typedef struct s3_memtable_s s3_memtable_t; /* lies at the arena's base */

typedef struct {
    uint8_t state; /* atomic */
    uint8_t flags; /* atomic */
    uint8_t height;
    uint8_t owner; /* slot of the process that writes it */
    uint32_t incarnation;
    uint64_t bucket;
    uint16_t key_len;
    uint16_t entry_len;
    uint32_t next[]; /* height; then key, entry */
} s3_memnode_t;


/* Where a search has ended: what comes there next need not search again, while
 * the lock is held and nothing else was inserted. */

typedef struct {
    const s3_memtable_t *table; /* NULL: nowhere */
    uint32_t count;
    uint32_t *links[S3_MEMTABLE_LEVELS];
} s3_memplace_t;


void s3_memtable_reset(void *arena, size_t size);

/* Most that a node can take. */
size_t s3_memtable_need(size_t key_len, size_t extra_len);

int s3_memtable_room(const s3_memtable_t *m, size_t need);
uint32_t s3_memtable_count(const s3_memtable_t *m);
/* Certainly nothing of that bucket: known of the system's, for each vote looks
 * into S3_BUCKET_CLOSED and hardly ever is anything there. */
int s3_memtable_lacks(const s3_memtable_t *m, uint64_t bucket);
size_t s3_memtable_used(const s3_memtable_t *m);

/* NULL: no room.  place: of that key, or NULL; one that does not fit is not
 * used. */
s3_memnode_t *
s3_memtable_insert_at(s3_memtable_t *m, const s3_memplace_t *place,
                      uint64_t bucket, s3_str_t key, const s3_entry_t *e,
                      s3_mem_state_t state, unsigned owner,
                      uint32_t incarnation);
s3_memnode_t *
s3_memtable_insert(s3_memtable_t *m, uint64_t bucket, s3_str_t key,
                   const s3_entry_t *e, s3_mem_state_t state, unsigned owner,
                   uint32_t incarnation);

/* The first node at (bucket, key) or after it, NULL: none. */
s3_memnode_t *
s3_memtable_seek(const s3_memtable_t *m, uint64_t bucket, s3_str_t key);
s3_memnode_t *s3_memtable_seek_place(const s3_memtable_t *m, uint64_t bucket,
                                     s3_str_t key, s3_memplace_t *place);

/* A node's number in its table, never 0; and the node, if there is one of that
 * version.  A number that was never given may crash. */
uint32_t s3_memtable_number(const s3_memtable_t *m, const s3_memnode_t *n);
s3_memnode_t *s3_memtable_node(const s3_memtable_t *m, uint32_t number,
                               const s3_version_t *v);
s3_memnode_t *s3_memtable_first(const s3_memtable_t *m);
s3_memnode_t *s3_memtable_next(const s3_memtable_t *m, const s3_memnode_t *n);

s3_str_t s3_memnode_key(const s3_memnode_t *n);
s3_version_t s3_memnode_version(const s3_memnode_t *n);

int s3_memnode_is(const s3_memnode_t *n, uint64_t bucket, s3_str_t key);

/* With the flags that were set later. */
int s3_memnode_entry(const s3_memnode_t *n, s3_entry_t *e);

static inline s3_mem_state_t
s3_memnode_state(const s3_memnode_t *n)
{
    return (s3_mem_state_t) __atomic_load_n(&n->state, __ATOMIC_ACQUIRE);
}

/* Not durable, and its writer or its settler has yet to say what becomes of
 * it. */
static inline int
s3_memnode_undone(const s3_memnode_t *n)
{
    s3_mem_state_t state = s3_memnode_state(n);

    return state == S3_MEM_PENDING || state == S3_MEM_FAILED;
}

static inline void
s3_memnode_set(s3_memnode_t *n, s3_mem_state_t state)
{
    __atomic_store_n(&n->state, (uint8_t) state, __ATOMIC_RELEASE);
}

static inline void
s3_memnode_flag(s3_memnode_t *n, uint8_t flag)
{
    __atomic_fetch_or(&n->flags, flag, __ATOMIC_ACQ_REL);
}

static inline int
s3_memnode_touched(const s3_memnode_t *n)
{
    return (__atomic_load_n(&n->flags, __ATOMIC_ACQUIRE) & S3_MEM_TOUCHED) != 0;
}


/* Durable nodes as a source for merges; never S3_AGAIN. */

typedef struct {
    s3_source_t source; /* first */
    const s3_memtable_t *table;
    const s3_memnode_t *node;
    uint8_t raw[S3_ENTRY_FIXED + S3_MAX_EXTRA];
} s3_memsource_t;

void s3_memsource_init(s3_memsource_t *src, const s3_memtable_t *m);

#pragma GCC visibility pop

#endif /* S3_MEMTABLE_H */
