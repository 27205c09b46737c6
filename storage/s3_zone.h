/*
 * The zone: what the processes of a node share in memory.
 *
 *   ┌────────┬───────┬──────────┬───────────────────┬──────────────────────┐
 *   │ header │ procs │ drives   │ segments of drive │ memtable arenas      │
 *   │ clock  │  64   │ 0..n-1   │ 0, 1, ...         │ 4 of drive 0, 1, ... │
 *   └────────┴───────┴──────────┴───────────────────┴──────────────────────┘
 *
 * The mapping is the caller's and lies anywhere; nothing in it is a pointer.
 * It is as trusted as the process itself, and gone with the machine: all of
 * it can be made again from the drives.
 *
 * Rules
 *  - Fields marked [L] are changed under the drive's lock only; the lock is
 *    never held across I/O or a turn of the loop, and every single store
 *    leaves the structure whole: its holder may die at any instruction.
 *  - [A] are atomic.
 *
 * Memtables: of the four arenas of a drive one is active, others are frozen
 * (they wait to be written as a table) or flushed (their table is in the list
 * of generation `flushed`; they wait until every process has opened it), the
 * rest free:
 *
 *   free ──► active ──freeze──► frozen ──table written──► flushed ──► free
 *
 * A process that works with the tables of generation g reads every arena that
 * is used and not flushed at a generation <= g; proc.seen[drive] is the least
 * generation it still works with, so no arena is reused under its eyes.
 *
 * Segments are found by id in a window of slots: S3_ZONE_PROBE, more where a
 * recovery found it too narrow for what is on the drive.
 */

#ifndef S3_ZONE_H
#define S3_ZONE_H

#include "storage/s3_core.h"
#include "storage/s3_entry.h"
#include "storage/s3_drive.h"
#include "storage/s3_pins.h"
#include <pthread.h>

#pragma GCC visibility push(hidden)


#define S3_ZONE_LAYOUT 6
#define S3_ZONE_PROCS S3_PINS_PROCS
#define S3_ZONE_ARENAS 4
#define S3_ZONE_ARENA_MIN (64 * 1024)
#define S3_ZONE_TABLES 48
#define S3_ZONE_RING 2048
#define S3_ZONE_FREED 256
#define S3_ZONE_PROBE 16
#define S3_ZONE_SEGMENTS 8192
#define S3_ZSEG_SAVED 1   /* flags: the MANIFEST being saved leaves it out */
#define S3_ZSEG_NOCLEAN 2 /* holds what cannot be read */


typedef enum {
    S3_PROC_FREE = 0,
    S3_PROC_ALIVE = 1,
    S3_PROC_SETTLING = 2 /* dead; somebody settles what it left */
} s3_zproc_state_t;

typedef struct {
    /* [A] s3_zproc_state_t; ALIVE: pid << 8, so that no slot is taken by
     * nobody knows whom; SETTLING, by whom: slot << 8 | incarnation << 16 */
    uint64_t state;
    int64_t pid;          /* [A] for messages, of the one who is settled */
    uint32_t incarnation; /* [A] 0: not given out yet */
    uint32_t reserved;
    uint64_t seen[S3_MAX_DRIVES]; /* [A] table generation in use */
} s3_zproc_t;


typedef enum {
    S3_SEG_NONE = 0,
    S3_SEG_PREPARING, /* id given out, the file is being made */
    S3_SEG_OPEN,      /* its owner appends */
    S3_SEG_SEALED,
    S3_SEG_EMPTY,  /* nothing of it is needed; the MANIFEST may name it */
    S3_SEG_FREE,   /* no MANIFEST names it: may be recycled */
    S3_SEG_GARBAGE /* file may exist, to be removed */
} s3_zseg_state_t;

typedef struct {
    uint32_t id; /* 0: free slot */
    uint8_t state;
    uint8_t owner; /* slot of the process */
    uint16_t flags;
    uint32_t incarnation;
    uint32_t recycle; /* PREPARING: the file it is made of, or 0 */
    uint32_t size;
    uint32_t end;         /* what is reserved ends here */
    uint32_t batch;       /* where the batch of the last reservation begins;
                           * of a closed one: all before it is durable */
    uint32_t replay_from; /* all before it is in tables */
    uint32_t bound[S3_ZONE_ARENAS]; /* what replay_from becomes when that
                                     * arena is in a table */
    int64_t live;                   /* bytes not superseded, an estimate */
} s3_zseg_t;


typedef struct {
    uint32_t id;
    uint32_t reserved;
    uint64_t bytes;
    uint64_t entries;
} s3_ztable_t;

/* Two of them: one is written while the other counts. */

typedef struct {
    uint64_t generation;
    uint32_t n;
    uint32_t reserved;
    s3_ztable_t tables[S3_ZONE_TABLES]; /* newest first */
} s3_ztables_t;

typedef struct {
    uint64_t key; /* s3_bloom_hash() */
    s3_version_t version;
} s3_zring_t;

typedef struct {
    uint32_t used;    /* [A] */
    uint32_t frozen;  /* [A] */
    uint64_t seq;     /* age: greater is newer */
    uint64_t flushed; /* [A] generation of its table; 0: in none */
} s3_zarena_t;

/*
 * Why a drive is in its state, in s3_zdrive_t.fault_code, and what last went
 * wrong with it.  Numbers are of this mapping only and are stored nowhere.
 */

typedef enum {
    S3_ZFAULT_NONE = 0,
    S3_ZFAULT_ABSENT,   /* no such directory, or nothing of a drive in it */
    S3_ZFAULT_REPLACED, /* something else is at its place */
    S3_ZFAULT_EMPTY,    /* an empty directory is at its place */
    S3_ZFAULT_FORMAT,   /* format.json can't be read or is not this store's */
    S3_ZFAULT_LOCKED,   /* another process has it */
    S3_ZFAULT_RECOVER,  /* what is on it can't be read at start or return */
    S3_ZFAULT_READONLY, /* writes are refused: EROFS */
    S3_ZFAULT_FULL,     /* no space but the reserve, or ENOSPC */
    S3_ZFAULT_PLACES,   /* no place for another segment in the mapping */
    S3_ZFAULT_READ,     /* a read failed */
    S3_ZFAULT_WRITE,    /* a write failed */
    S3_ZFAULT_SYNC,     /* a sync failed */
    S3_ZFAULT_CORRUPT,  /* bytes came that do not hold their checksum */
    S3_ZFAULT_HUNG,     /* an operation does not end */
    S3_ZFAULT_UNKNOWN,  /* writes whose outcome nobody knows: until a start */
    S3_ZFAULT_NEW,      /* new at its place, being filled */
    S3_ZFAULTS
} s3_zfault_t;

typedef enum {
    S3_ZVERIFY_NONE = 0,
    S3_ZVERIFY_ASKED, /* it is time to */
    S3_ZVERIFY_DAMAGE /* some of it did not hold its checksum */
} s3_zverify_t;

typedef enum {
    S3_ZLOST_NONE = 0,
    S3_ZLOST_INDEX,   /* it was made anew from the log */
    S3_ZLOST_RECORDS, /* and some were damaged: it may lack what it has voted */
    S3_ZLOST_FILLED   /* it has got them; the MANIFEST does not say so yet */
} s3_zlost_t;

typedef struct {
    pthread_mutex_t lock;

    uint32_t state;       /* [A] s3_drive_state_t */
    uint32_t fault_code;  /* [A] of the state, by s3_zone_fault() */
    uint32_t fault_errno; /* [A] 0: none */
    uint32_t last_code;   /* [A] of the last that was no S3_ZFAULT_NONE */
    uint32_t last_errno;  /* [A] */
    uint32_t known;       /* [A] its part here was made from the drive */
    uint32_t part;        /* [A] times that it ceased to be so */
    uint32_t arrivals;    /* [A] times it came back: files are opened anew */
    uint64_t returning;   /* [A] who brings it back, as `lease` */
    uint32_t failed;      /* [A] entries that are FAILED: until a restart */
    uint32_t refilling;   /* new at its place: others have what it lacks */
    uint32_t orphans;     /* [A] times a settler could not read this drive */
    uint32_t lost;        /* [A] s3_zlost_t */
    uint32_t verify;      /* [A] s3_zverify_t: look at MANIFEST and tables */
    uint64_t settled;     /* [A] times that records have lost their writer */
    uint64_t mended;      /* [A] see s3_zone_mended() */
    uint8_t id[16];
    uint64_t errors; /* [A] counters, to be looked at only */
    uint64_t votes;
    uint64_t flushes;
    uint64_t merges;
    uint64_t cleaned;
    uint64_t bytes_free;
    uint64_t bytes_total;
    uint64_t bytes_reserve;
    s3_drive_stats_t stats;

    /* [L] tables */
    uint64_t generation; /* [A] of the list that counts, for a quick look */
    uint32_t list;       /* which one counts */
    uint32_t next_table_id;
    s3_ztables_t lists[2];
    uint64_t manifest_generation;
    uint64_t manifest_saved; /* [A] the newest that was on it for certain */
    uint64_t manifest_found; /* when it was read; greatest where none was */
    uint32_t next_segment_id;
    uint32_t recount; /* live bytes are unreliable */
    uint32_t probe;   /* [A] slots that a segment may be found in */

    /* [L] memtables */
    uint32_t active; /* [A] arena */
    uint64_t arena_seq;
    s3_zarena_t arenas[S3_ZONE_ARENAS];

    /* [L] commit protocol */
    s3_version_t floor;
    s3_version_t memory_since;
    uint32_t ring_next;
    uint32_t ring_used;
    s3_zring_t ring[S3_ZONE_RING];

    /* [L] blobs removed lately, so that others forget their open files */
    uint64_t freed_count; /* [A] for a quick look */
    uint8_t freed[S3_ZONE_FREED][16];

    uint64_t lease; /* [A] incarnation << 8 | slot + 1; 0: nobody's */
} s3_zdrive_t;


typedef struct {
    uint64_t magic; /* [A] set last */
    uint32_t layout;
    uint32_t n;
    uint64_t size;
    uint32_t max_segments;
    uint32_t node;
    uint8_t store_id[16];
    uint8_t instance[16];
    uint64_t arena_size;
    uint64_t segments_off;
    uint64_t arenas_off;
    uint64_t clock;          /* [A] */
    uint32_t incarnation;    /* [A] last one given out */
    uint32_t named;          /* [A] store_id is known: some drive was there */
    uint64_t bucket_changes; /* [A] see s3_zone_changed() */
    s3_zproc_t procs[S3_ZONE_PROCS];
    s3_pins_t pins;
    s3_zdrive_t drives[];
} s3_zone_t;


/* Least size; max_segments 0: S3_ZONE_SEGMENTS. */
size_t s3_zone_min(unsigned n, unsigned max_segments);

/* Makes a new one, all drives MISSING, arena 0 active and empty; s3_zone_seal()
 * makes it joinable.  S3_EINVAL: too small. */
int s3_zone_init(void *base, size_t size, unsigned n, unsigned max_segments,
                 const uint8_t store_id[16], const uint8_t instance[16]);
void s3_zone_seal(s3_zone_t *z);

/* The store that it is for, where s3_zone_init() was not told (store_id NULL)
 * and no drive has said so since: the first one decides.  0: it is another. */
int s3_zone_name(s3_zone_t *z, const uint8_t store_id[16]);

/* S3_EVERSION: another layout; S3_EFOREIGN: another instance, or size or n
 * differ; S3_EINVAL. */
int s3_zone_join(void *base, size_t size, unsigned n,
                 const uint8_t instance[16], s3_zone_t **z);

void s3_zone_lock(s3_zdrive_t *d);
void s3_zone_unlock(s3_zdrive_t *d);

/* max(last + 1, wall) */
uint64_t s3_zone_clock(s3_zone_t *z, uint64_t wall_us);
void s3_zone_saw(s3_zone_t *z, uint64_t time);
uint64_t s3_zone_time(const s3_zone_t *z); /* greatest so far */

/*
 * Something may be different in the list of buckets: called after a record of
 * S3_BUCKET_BUCKETS became durable on any drive, or may have.  Who finds the
 * counter as it was before a quorum read would read the same again.
 */

static inline void
s3_zone_changed(s3_zone_t *z)
{
    __atomic_add_fetch(&z->bucket_changes, 1, __ATOMIC_ACQ_REL);
}


/* Base of an arena. */
void *s3_zone_arena(s3_zone_t *z, unsigned drive, unsigned arena);


/* Segments; under the lock. */
s3_zseg_t *s3_zone_segments(s3_zone_t *z, unsigned drive); /* max_segments */
s3_zseg_t *s3_zone_segment(s3_zone_t *z, unsigned drive, uint32_t id);
/* A slot for that id, zeroed, the window made wider if need be; NULL: all
 * slots are taken. */
s3_zseg_t *s3_zone_segment_add(s3_zone_t *z, unsigned drive, uint32_t id);
/* The next id that finds a slot in the window; NULL: too many segments. */
s3_zseg_t *s3_zone_segment_new(s3_zone_t *z, unsigned drive);


/*
 * Freezes the active arena and makes `next`, which the caller has found free
 * and reset, the active one; notes for every segment where replay begins when
 * what is frozen now is in a table.  Under the lock.
 */
void s3_zone_freeze(s3_zone_t *z, unsigned drive, unsigned next);

/*
 * A drive whose tables are being made anew, and that is to be filled because of
 * what they have lost, still shows some of that: a process may have a lost file
 * open.  So nothing that it is asked meanwhile says what it has, nor afterwards
 * where it is asked over tables of before.
 */

#define S3_ZONE_MENDING UINT64_MAX

static inline int
s3_zone_mended(const s3_zdrive_t *d, uint64_t generation)
{
    return generation >= __atomic_load_n(&d->mended, __ATOMIC_ACQUIRE);
}

/* Nobody mends: tables are as they will be, or it begins anew, and then what is
 * lost is made up for anew. */

static inline void
s3_zone_mend_over(s3_zdrive_t *d)
{
    uint64_t mending = S3_ZONE_MENDING;

    (void) __atomic_compare_exchange_n(
        &d->mended, &mending, __atomic_load_n(&d->generation, __ATOMIC_ACQUIRE),
        0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

/* A free arena, or S3_AGAIN.  Under the lock; makes flushed ones free that
 * nobody looks at any more. */
int s3_zone_free_arena(s3_zone_t *z, unsigned drive);

/* The oldest frozen arena that is in no table, or -1. */
int s3_zone_oldest(s3_zdrive_t *d);


/* The list of tables; under the lock.  set: copies, and counts the generation,
 * which it returns; arena: it is in the tables now, or -1. */
const s3_ztables_t *s3_zone_tables(const s3_zdrive_t *d);
uint64_t s3_zone_set_tables(s3_zdrive_t *d, const s3_ztable_t *tables,
                            unsigned n, int arena);

/* Ring; under the lock. */
void s3_zone_ring_add(s3_zdrive_t *d, uint64_t key, const s3_version_t *v);
int s3_zone_ring_has(const s3_zdrive_t *d, uint64_t key, const s3_version_t *v);

/* Blobs removed by anybody; both take the lock.  since: what came after *seen,
 * which moves on; returns how many, the last S3_ZONE_FREED at most. */
void s3_zone_freed(s3_zdrive_t *d, const uint8_t id[16]);
unsigned s3_zone_freed_since(s3_zdrive_t *d, uint64_t *seen,
                             uint8_t ids[S3_ZONE_FREED][16]);


/*
 * Processes.  join: takes a free slot (S3_ZONE_PROCS: any); S3_EBUSY.
 * A slot goes FREE again by leave(), or once what a dead process left behind
 * is settled.
 */
int s3_zone_proc_join(s3_zone_t *z, unsigned slot, int64_t pid, unsigned *got);
void s3_zone_proc_leave(s3_zone_t *z, unsigned slot);

/* ALIVE -> SETTLING by one caller only; also takes over from a settler that
 * is dead, too.  1: the caller settles it. */
int s3_zone_proc_settle(s3_zone_t *z, unsigned slot, unsigned by,
                        int (*alive)(void *ctx, int64_t pid), void *ctx);

/* Neither free nor a living process'. */
int s3_zone_proc_dead(const s3_zone_t *z, unsigned slot,
                      int (*alive)(void *ctx, int64_t pid), void *ctx);

/* 1: the lease is the caller's (now, or already). */
int s3_zone_lease(s3_zone_t *z, unsigned drive, unsigned slot);
int s3_zone_claim(s3_zone_t *z, uint64_t *word, unsigned slot);
void s3_zone_unclaim(s3_zone_t *z, uint64_t *word, unsigned slot);
void s3_zone_lease_drop(s3_zone_t *z, unsigned drive, unsigned slot);

/* 1: no process reads anything of the drive's part, or ever will unless the
 * drive is `known` once more. */
int s3_zone_left(const s3_zone_t *z, unsigned drive);

/* S3_PROC_... of a slot, and who is in it. */
unsigned s3_zone_proc_state(const s3_zone_t *z, unsigned slot);
uint32_t s3_zone_proc_incarnation(const s3_zone_t *z, unsigned slot);

/* Has that process left its slot, or was it found dead? */
int s3_zone_proc_gone(const s3_zone_t *z, unsigned slot, uint32_t incarnation);

static inline uint32_t
s3_zone_state(const s3_zdrive_t *d)
{
    return __atomic_load_n(&d->state, __ATOMIC_ACQUIRE);
}

/* Is it there, with an index that is known? */
static inline int
s3_zone_there(const s3_zdrive_t *d)
{
    return s3_zone_state(d) != S3_DRIVE_MISSING
           && __atomic_load_n(&d->known, __ATOMIC_ACQUIRE);
}

/* Can a drive be filled, and is it all that is lost?  So many others have data
 * as an object needs at the most. */
static inline int
s3_zone_fillable(const s3_zone_t *z, unsigned drive, unsigned parity)
{
    unsigned i, ready;
    const s3_zdrive_t *d;

    ready = 0;

    for (i = 0; i < z->n; i++) {
        d = &z->drives[i];
        ready += i != drive && s3_zone_there(d)
                 && !__atomic_load_n(&d->refilling, __ATOMIC_ACQUIRE);
    }

    return ready && ready + parity >= z->n;
}

/* Is one of the other drives away, that may come back with what it has? */
static inline int
s3_zone_absent(const s3_zone_t *z, unsigned drive)
{
    unsigned i;

    for (i = 0; i < z->n; i++) {
        if (i != drive && !s3_zone_there(&z->drives[i])) {
            return 1;
        }
    }

    return 0;
}

static inline void
s3_zone_count(uint64_t *counter)
{
    __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}


/*
 * Why the drive is as it is, for those who look at it: an s3_zfault_t, and an
 * errno or 0.  S3_ZFAULT_NONE once it works again.  Nothing depends on it; who
 * reads while it is being written may see one half of each.
 */

static inline void
s3_zone_fault(s3_zdrive_t *d, s3_zfault_t code, int err)
{
    __atomic_store_n(&d->fault_errno, (uint32_t) err, __ATOMIC_RELAXED);
    __atomic_store_n(&d->fault_code, (uint32_t) code, __ATOMIC_RELAXED);

    if (code != S3_ZFAULT_NONE) {
        __atomic_store_n(&d->last_errno, (uint32_t) err, __ATOMIC_RELAXED);
        __atomic_store_n(&d->last_code, (uint32_t) code, __ATOMIC_RELAXED);
    }
}


/* Something went wrong that leaves the state as it is. */

static inline void
s3_zone_last_fault(s3_zdrive_t *d, s3_zfault_t code, int err)
{
    __atomic_store_n(&d->last_errno, (uint32_t) err, __ATOMIC_RELAXED);
    __atomic_store_n(&d->last_code, (uint32_t) code, __ATOMIC_RELAXED);
}


/* A drive is about to be readable again, and may have notes about the others
 * that nobody has seen: something is pending until they have been counted. */
void s3_zone_suspect(s3_zone_t *z);

/* In words, without the errno; "" for none.  Never NULL. */
const char *s3_zone_fault_text(unsigned code);

#pragma GCC visibility pop

#endif /* S3_ZONE_H */
