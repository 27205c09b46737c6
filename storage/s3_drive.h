/*
 * A drive, as the commit protocol sees it: something reached through a table
 * of asynchronous operations.  Whether it is a disk of this machine, a disk
 * behind a peer or a simulation is nobody's business above this line.
 *
 * Every request embeds s3_req_t.  The caller owns request, record and buffers
 * and keeps them until done() is called; done() is called exactly once, on
 * the loop, and MAY be called before the submitting call returns (an index
 * lookup that finds everything in memory is common): callers count what is
 * outstanding before they submit.
 *
 * rc is S3_OK when the drive answered; then `answer` says what.  Any other rc
 * (S3_EIO, S3_EUNAVAIL, ...) is silence in the protocol's sense, never a NO.
 *
 * Names and rules: VOTE, FENCE, READ, STATUS, CONFIRM, DEAD, PUSH as in the
 * description of the commit protocol.
 */

#ifndef S3_DRIVE_H
#define S3_DRIVE_H

#include "storage/s3_core.h"
#include "storage/s3_io.h"
#include "storage/s3_entry.h"
#include "storage/s3_leaks.h"

#pragma GCC visibility push(hidden)


typedef struct s3_drive_s s3_drive_t;
typedef struct s3_req_s s3_req_t;


typedef enum {
    S3_ANSWER_NONE = 0,
    S3_ANSWER_YES,
    S3_ANSWER_NO,
    S3_ANSWER_NOT_HELD, /* STATUS only: neither YES nor fenced */
    S3_ANSWER_BUSY,     /* an unconfirmed x stands between e and v */
    S3_ANSWER_BEHIND,   /* e is not here and may be collected */
    S3_ANSWER_GONE,     /* may have been held once: no vote */
    S3_ANSWER_STALE,    /* bucket closed for this generation */
    S3_ANSWER_NODATA,   /* its blob is not durable here */
    S3_ANSWER_CLOCK     /* version too far in the future */
} s3_answer_t;


struct s3_req_s {
    void (*done)(s3_req_t *req);
    void *ctx;
    int rc;
    s3_answer_t answer;
    unsigned drive; /* set by the caller for its own use: index in the store */
};


/*
 * What a drive wants to be reminded of: out of its YES to a VOTE, in to the
 * CONFIRM of that version.  Nobody else reads it; lost or all zero, it costs
 * the drive a look-up.
 */

typedef struct {
    uint64_t seq; /* of the arena, 0: nothing */
    uint32_t arena;
    uint32_t node;    /* s3_memtable_number() */
    uint32_t known;   /* what it replaces is: */
    uint32_t segment; /* place and length of the record, length 0: nothing */
    uint32_t length;
} s3_reminder_t;


/* VOTE and PUSH. */

typedef struct {
    s3_req_t req;
    const s3_record_t *record; /* entry.version = v, P_v, D_v, k_v, ... */
    const s3_version_t *dead;  /* versions known to be dead, may be NULL */
    unsigned n_dead;
    unsigned pull : 1; /* PUSH, done for a drive that asked: below its floor,
                        * too */
    unsigned bare : 1; /* the blobs are gone for good: not asked for */

    s3_entry_t cause;       /* NO, BUSY: the entry that caused it */
    uint64_t clock;         /* the drive's logical clock after this */
    s3_reminder_t reminder; /* VOTE, YES */
} s3_vote_t;


/* FENCE, STATUS, CONFIRM, DEAD: something about one version of one key. */

typedef struct {
    s3_req_t req;
    uint64_t bucket;
    s3_str_t key;
    s3_version_t version;
    unsigned keep : 1; /* CONFIRM of a tombstone: predecessor's data stays */
    s3_reminder_t reminder; /* CONFIRM */

    unsigned newer_confirmed : 1; /* something newer is confirmed here */
    unsigned confirmed : 1;
    s3_entry_t entry; /* FENCE, STATUS, YES: what is held */
} s3_mark_t;


/*
 * READ.  Entries newest first: every durable OBJECT, TOMBSTONE and DEAD from
 * the newest down to and including the newest confirmed record.
 */

#define S3_LOOKUP_INLINE 4

typedef struct {
    s3_req_t req;
    uint64_t bucket;
    s3_str_t key;

    s3_entry_t *entries; /* `fixed`, or malloc()ed: s3_lookup_release() */
    unsigned n;
    s3_version_t floor;
    s3_entry_t fixed[S3_LOOKUP_INLINE];
} s3_lookup_t;

void s3_lookup_release(s3_lookup_t *lookup);


/* The record of one version: metadata, references, data. */

typedef struct {
    s3_req_t req;
    uint64_t bucket;
    s3_str_t key;
    s3_version_t version;
    s3_entry_t *hint; /* as read() gave it for this drive, or NULL */

    s3_record_t record; /* slices into buf */
    void *buf;          /* the caller free()s it */
} s3_fetch_t;


/*
 * LIST: entries in key order.  Each item is one key with its entries as READ
 * would give them.  With a delimiter, after an item whose newest entry is a
 * confirmed OBJECT and whose key has the delimiter after `prefix`, the drive
 * skips the other keys with the same common prefix: `common` is the length of
 * that prefix, and the caller may only rely on the drive having said nothing
 * about the keys skipped.
 */

typedef struct {
    s3_str_t key;
    uint32_t common; /* 0, or length of the common prefix that was skipped */
    uint32_t n;
    const s3_entry_t *entries;
} s3_item_t;

typedef struct {
    s3_req_t req;
    uint64_t bucket;
    s3_str_t from;      /* first key wanted, or after it */
    unsigned after : 1; /* from itself is not wanted */
    s3_str_t prefix;
    s3_str_t delimiter;
    unsigned max; /* items, at most S3_SCAN_MAX; fewer may come */

    s3_item_t *items; /* valid until s3_scan_release() */
    unsigned n;
    unsigned end : 1; /* nothing with this prefix after the last item */
    /* with end, where prefix is empty: the next bucket id that has entries
     * here, 0 for none */
    uint64_t following;
    s3_version_t floor;
    void *mem; /* the drive's */
} s3_scan_t;

#define S3_SCAN_MAX 1001

void s3_scan_release(s3_scan_t *scan);


/*
 * IN DOUBT: versions that are not confirmed here and that nobody may be about
 * to confirm: their writer is gone, or they are older than `before`.  Of what
 * the drive has in memory, that is of what was written last; the rest is found
 * by the scrub.  A hint: whoever gets it looks at the key's entries.
 */

#define S3_IN_DOUBT_MAX 1024

typedef struct {
    uint64_t bucket;
    s3_str_t key;
    s3_version_t version;
} s3_in_doubt_key_t;

typedef struct {
    s3_req_t req;
    uint64_t before; /* of version.time; 0: only whose writer is gone */
    /* As it was given out the last time: nothing comes if no writer has gone
     * since, and `before` is 0.  0: look. */
    uint64_t seen;

    s3_in_doubt_key_t *keys; /* valid until s3_in_doubt_release() */
    unsigned n;
    unsigned more : 1; /* there were more than S3_IN_DOUBT_MAX */
} s3_in_doubt_t;

void s3_in_doubt_release(s3_in_doubt_t *in);


/*
 * Blobs.  A shard is a file of units, each S3_BLOB_UNIT bytes on disk but the
 * last, which is as small as its payload (rounded up to S3_SECTOR):
 *
 *   0        64                                              131072
 *   ┌────────┬────────────────────────────────────────────────┐
 *   │ header │ payload, at most S3_BLOB_PAYLOAD bytes          │
 *   └────────┴────────────────────────────────────────────────┘
 *
 * The header says whose bytes these are (data id, shard, block number, length)
 * and carries XXH3-64 over all the rest, so that a unit proves itself wherever
 * it is found; see s3_blob.h.
 */

#define S3_BLOB_UNIT 131072
#define S3_BLOB_HEADER 64
#define S3_BLOB_PAYLOAD (S3_BLOB_UNIT - S3_BLOB_HEADER)

typedef struct s3_blob_s s3_blob_t; /* one being written, the drive's */

typedef struct {
    s3_req_t req;
    uint8_t id[16];
    uint64_t size;      /* expected bytes of this shard's units, 0 if unknown */
    s3_blob_t *blob;    /* out of blob_create, in to the others */
    unsigned again : 1; /* finish: takes the place of one that may be in use */
} s3_blob_req_t;

typedef struct {
    s3_req_t req;
    s3_blob_t *blob;     /* write */
    uint8_t id[16];      /* read */
    uint32_t block;      /* unit number */
    void *buf;           /* S3_SECTOR aligned; a whole unit with its header */
    size_t len;          /* write: bytes of the unit, padded; read: room */
    size_t done_len;     /* read: bytes that came */
    unsigned cached : 1; /* read: the page cache will do; else from the disk */
} s3_unit_t;


/* A durable note that drive `target` has missed `version` of a key. */

typedef struct {
    s3_req_t req;
    unsigned target;
    uint64_t bucket;
    s3_str_t key;
    s3_version_t version;
} s3_note_t;

typedef struct {
    s3_req_t req;
    uint64_t bucket;
    uint32_t generation;
} s3_close_t;


/* Removes finished blobs that are not in `known` and that were last written
 * before that time (seconds, wall clock). */

typedef struct {
    s3_req_t req;
    const s3_known_t *known;
    uint64_t before;
    uint64_t removed;
} s3_leaks_t;


typedef enum {
    S3_DRIVE_OK = 0,
    S3_DRIVE_MISSING,
    S3_DRIVE_READONLY,
    S3_DRIVE_FULL,
    S3_DRIVE_FAILING,
    S3_DRIVE_HUNG,
    S3_DRIVE_REFILLING
} s3_drive_state_t;


typedef struct {
    void (*vote)(s3_drive_t *d, s3_vote_t *vote);
    void (*push)(s3_drive_t *d, s3_vote_t *push);
    void (*fence)(s3_drive_t *d, s3_mark_t *mark);
    void (*status)(s3_drive_t *d, s3_mark_t *mark);
    void (*confirm)(s3_drive_t *d, s3_mark_t *mark);
    void (*dead)(s3_drive_t *d, s3_mark_t *mark);
    void (*read)(s3_drive_t *d, s3_lookup_t *lookup);
    void (*fetch)(s3_drive_t *d, s3_fetch_t *fetch);
    void (*list)(s3_drive_t *d, s3_scan_t *scan);
    void (*in_doubt)(s3_drive_t *d, s3_in_doubt_t *in); /* NULL: can't tell */

    void (*blob_create)(s3_drive_t *d, s3_blob_req_t *blob);
    void (*blob_write)(s3_drive_t *d, s3_unit_t *unit);
    void (*blob_finish)(s3_drive_t *d, s3_blob_req_t *blob); /* durable */
    void (*blob_abort)(s3_drive_t *d, s3_blob_req_t *blob);  /* forget it */
    void (*blob_read)(s3_drive_t *d, s3_unit_t *unit); /* unverified bytes */
    /* a finished blob that no record lists: a write that failed after it */
    void (*blob_remove)(s3_drive_t *d, s3_blob_req_t *blob);

    void (*close_bucket)(s3_drive_t *d, s3_close_t *close);

    void (*note)(s3_drive_t *d, s3_note_t *note);
    void (*unnote)(s3_drive_t *d, s3_note_t *note);
    /* notes are listed by list() of bucket S3_BUCKET_NOTES; their keys are
     * target 1 byte | bucket id 8 bytes big-endian | key */

    void (*leaks)(s3_drive_t *d, s3_leaks_t *leaks); /* NULL: can't be told */

    /* It is time that the drive reads through what it keeps beside the records:
     * in the background, and mends what it finds.  NULL: there is nothing. */
    void (*verify)(s3_drive_t *d);
} s3_drive_ops_t;


/*
 * What is known of a drive by those who use it, in memory that all processes
 * share: to be looked at, nothing depends on it.  All atomic.
 *
 * Pending repairs are noted - worked.  `noted` goes up by one with every note
 * and starts at 1, for as long as nobody has counted what a drive has missed
 * before; `worked` is the healer's alone.
 */

typedef struct {
    uint64_t noted;
    uint64_t worked;
    uint64_t objects;  /* live ones that it has records of, when last counted */
    uint64_t repaired; /* keys brought to it, shards made anew on it */
    uint64_t corrupt;  /* damage found on it: records, shards, files */
    uint64_t scrub_done; /* of the present or last pass; weights */
    uint64_t scrub_total;
    uint64_t refill_done;  /* keys looked at */
    uint64_t refill_total; /* an estimate, 0: unknown */
} s3_drive_stats_t;


#define s3_drive_count(d, what)                                         \
    do {                                                                \
        if ((d)->stats) {                                               \
            __atomic_fetch_add(&(d)->stats->what, 1, __ATOMIC_RELAXED); \
        }                                                               \
    } while (0)

#define s3_drive_show(d, what, n)                                     \
    do {                                                              \
        if ((d)->stats) {                                             \
            __atomic_store_n(&(d)->stats->what, n, __ATOMIC_RELAXED); \
        }                                                             \
    } while (0)


struct s3_drive_s {
    const s3_drive_ops_t *ops;
    void *impl;
    s3_drive_stats_t *stats; /* NULL: nobody counts */
    unsigned index;          /* position in the store, 0.. */
    s3_drive_state_t state;  /* reads go on unless MISSING or HUNG */
    unsigned refilling : 1;  /* REFILLING, or would be, were it not FULL, ... */
    unsigned lost : 1;       /* what its index lists may be damaged */
    uint64_t errors;
};

/* May it be asked to vote?  (FULL drives still take tombstones.) */

static inline int
s3_drive_writable(const s3_drive_t *d)
{
    return d->state == S3_DRIVE_OK || d->state == S3_DRIVE_REFILLING;
}

static inline int
s3_drive_readable(const s3_drive_t *d)
{
    return d->state != S3_DRIVE_MISSING && d->state != S3_DRIVE_HUNG;
}

#pragma GCC visibility pop

#endif /* S3_DRIVE_H */
