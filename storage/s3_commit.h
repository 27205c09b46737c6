/*
 * The commit protocol of a slot, coordinator's side.  The description of the
 * protocol decides; names are its names.
 *
 *   s3_round_t    FENCE, STATUS, CONFIRM or DEAD to some drives
 *   s3_ballot_t   VOTE or PUSH to some drives
 *   s3_notes_t    durable notes of what a drive has missed
 *   s3_newest_t   read_newest()
 *   s3_gather_t   record and data of one version
 *   s3_settle_t   settle(), complete(), resolve_own()
 *   s3_rebuild_t  one drive's shard of a blob, from the others
 *
 * All of them are counted, live as long as a drive has a request of theirs,
 * and copy key and data.  done() is called once, maybe before start returns;
 * results are read inside of it, the owner's reference ends with it.
 */

#ifndef S3_COMMIT_H
#define S3_COMMIT_H

#include "storage/s3_store_int.h"

#pragma GCC visibility push(hidden)


/*
 * Predicates.  need(v) follows from the record alone: k_v + 1 shards, but
 * never more than there are (no parity).
 */

static inline unsigned
s3_need(const s3_entry_t *e)
{
    return e->need ? s3_min((unsigned) e->need + 1, s3_count(e->holders)) : 0;
}

static inline int
s3_committed(const s3_store_t *store, const s3_entry_t *e, uint32_t yes)
{
    return s3_count(yes & e->voters) >= store->w
           && s3_count(yes & e->holders) >= s3_need(e);
}

static inline int
s3_possible(const s3_store_t *store, const s3_entry_t *e, uint32_t no)
{
    return s3_committed(store, e, store->all & ~no);
}

static inline int
s3_readable(const s3_entry_t *e, uint32_t held)
{
    return s3_count(held & e->holders) >= e->need;
}


/*
 * What drives said about one version.  A drive is in at most one of them; in
 * none: silence.
 */

typedef struct {
    uint32_t yes;
    uint32_t no;
    uint32_t not_held;
    uint32_t gone;  /* and nothing newer is confirmed there */
    uint32_t later; /* gone, something newer is confirmed */
    uint32_t busy;
    uint32_t behind;
    uint32_t stale;
    uint32_t nodata;
    uint32_t clock;
    uint32_t full; /* rc was S3_ENOSPC */
    uint32_t failed;
} s3_tally_t;


/* Rounds. */

typedef enum { S3_FENCE, S3_STATUS, S3_CONFIRM, S3_DEAD } s3_mark_kind_t;

typedef struct s3_round_s s3_round_t;

struct s3_round_s {
    s3_store_t *store;
    s3_tally_t tally;
    uint32_t confirmed; /* YES, and it knows that it is committed */
    unsigned dead : 1;  /* some drive knows that it is */
    s3_entry_t entry;   /* where yes: what is held */

    void (*done)(s3_round_t *round);
    void *ctx;
    unsigned refs;
    unsigned waiting;
    unsigned starting : 1;
    unsigned finished : 1;
    s3_timer_t timer;
    s3_mark_kind_t kind;
    uint8_t *key; /* behind the marks */
    size_t key_len;
    s3_mark_t marks[];
};

/* done() may be NULL: nobody waits.  S3_ENOMEM: done() won't be called. */
int s3_round_start(s3_store_t *store, s3_mark_kind_t kind, uint32_t drives,
                   uint64_t bucket, s3_str_t key, const s3_version_t *version,
                   int keep, void (*done)(s3_round_t *round), void *ctx);


/* Notes: each drive of `targets` has missed the version; put down on drives of
 * `on`, as many of them as make it survive what the data survives. */

typedef struct s3_notes_s s3_notes_t;

struct s3_notes_s {
    s3_store_t *store;
    unsigned refs;
    unsigned waiting;
    unsigned starting : 1;
    void (*done)(s3_notes_t *notes);
    void *ctx;
    uint8_t *key;
    s3_note_t notes[];
};

int s3_notes_start(s3_store_t *store, uint32_t targets, uint32_t on,
                   uint64_t bucket, s3_str_t key, const s3_version_t *version,
                   void (*done)(s3_notes_t *notes), void *ctx);

/* A note gone from every drive of `on`; nobody waits. */
void s3_unnote(s3_store_t *store, unsigned target, uint32_t on, uint64_t bucket,
               s3_str_t key, const s3_version_t *version);


/*
 * What is voted on: a record with its data, cut for each drive as its layout
 * says.  Immutable but for the reminders, counted.
 */

typedef struct {
    unsigned refs;
    unsigned slot;
    s3_store_t *store;
    s3_record_t record; /* of no drive in particular: data is empty */
    s3_buf_t *data;
    uint8_t *parity; /* INLINE */
    size_t shard_len;
    s3_reminder_t reminders[]; /* by drive, of its YES; then key, refs, meta */
} s3_payload_t;

/* Copies record's slices; data is the object's, NULL where the layout keeps
 * none in records.  NULL: out of memory. */
s3_payload_t *
s3_payload_create(s3_store_t *store, const s3_record_t *record, s3_buf_t *data);
void s3_payload_release(s3_payload_t *payload);
void
s3_payload_record(s3_payload_t *payload, unsigned drive, s3_record_t *record);

/* CONFIRM to all drives; nobody waits. */
void s3_payload_confirm(s3_payload_t *payload);


/* Ballots. */

#define S3_BALLOT_DEAD 8

#define S3_BALLOT_PUSH 1
#define S3_BALLOT_PULL 2 /* a push whose version read_newest() has just given */
#define S3_BALLOT_BARE 3 /* the same of one whose data is gone for good */

typedef struct s3_ballot_s s3_ballot_t;

typedef struct {
    s3_vote_t vote;
    s3_record_t record;
} s3_ballot_item_t;

struct s3_ballot_s {
    s3_store_t *store;
    s3_payload_t *payload;
    s3_tally_t tally;   /* adds to what it was given */
    s3_version_t newer; /* newest version that any answer showed */
    s3_version_t busy;  /* newest x of a BUSY */

    void (*done)(s3_ballot_t *ballot);
    void *ctx;
    unsigned refs;
    unsigned waiting;
    unsigned late; /* hedge periods that went by */
    unsigned starting : 1;
    unsigned finished : 1;
    unsigned push : 1;
    s3_timer_t timer;
    unsigned n_dead;
    s3_version_t dead[S3_BALLOT_DEAD];
    s3_ballot_item_t items[];
};

/*
 * VOTE (or PUSH) to `drives`.  Ends when all have answered, when the version is dead by
 * the tally, when it is committed and the hedge delay is over, or when ten of
 * them are.  `before`: what is known already, or NULL.
 */

int s3_ballot_start(s3_store_t *store, s3_payload_t *payload, uint32_t drives,
                    const s3_tally_t *before, const s3_version_t *dead,
                    unsigned n_dead, int push,
                    void (*done)(s3_ballot_t *ballot), void *ctx);


/* read_newest. */

#define S3_NEWEST_SKIP 8
#define S3_NEWEST_HAD 32

#define S3_NEWEST_PASSIVE 1
#define S3_NEWEST_QUIET 2
#define S3_NEWEST_ANY 4

typedef struct s3_newest_s s3_newest_t;

struct s3_newest_s {
    s3_store_t *store;
    uint64_t bucket;
    s3_str_t key;

    int rc;                 /* S3_OK, S3_ENOENT (nothing, ever), S3_EUNAVAIL */
    s3_entry_t entry;       /* a tombstone, too */
    uint32_t held;          /* drives that showed it */
    s3_version_t seen;      /* newest of any kind in any answer, or none */
    unsigned doubt : 1;     /* some answer had an unconfirmed record */
    unsigned confirmed : 1; /* entry is known to be confirmed somewhere */
    unsigned uncertain : 1; /* passive: it may not be committed */

    unsigned passive : 1; /* completes nothing */
    unsigned quiet : 1;   /* asked by the healer itself */
    unsigned any : 1;     /* an object in any drive's answer will do; it may be
                           * an old one, or one that was never committed */
    unsigned hedged : 1;
    unsigned final : 1;
    unsigned starting : 1;
    unsigned finished : 1;
    unsigned again;
    uint32_t asked;
    uint32_t pending;
    uint32_t answered;
    uint64_t tick;
    s3_version_t skip[S3_NEWEST_SKIP];
    unsigned n_skip;
    s3_version_t completing;

    void (*done)(s3_newest_t *newest);
    void *ctx;
    unsigned refs;
    s3_timer_t timer;
    uint64_t sent[S3_MAX_DRIVES];
    uint64_t came[S3_MAX_DRIVES];
    uint64_t first[S3_MAX_DRIVES]; /* answer */
    unsigned n_had;
    unsigned had_more : 1;
    struct {
        unsigned drive;
        s3_version_t version;
    } had[S3_NEWEST_HAD]; /* in answers that were asked for again */
    s3_lookup_t lookups[];
};

int
s3_newest_start(s3_store_t *store, uint64_t bucket, s3_str_t key,
                unsigned flags, void (*done)(s3_newest_t *newest), void *ctx);

/* What a drive of `held` said, for fetch(). */
s3_entry_t *s3_newest_hint(s3_newest_t *newest, unsigned drive);


/*
 * Record, and data that lies in records, of one version.
 */

typedef struct s3_gather_s s3_gather_t;

typedef struct {
    s3_fetch_t fetch;
    s3_entry_t hint;
    int rank; /* of its shard, -1: none */
    unsigned good : 1;
} s3_gather_item_t;

#define S3_GATHER_META 0   /* a record; its data may be anything */
#define S3_GATHER_RECORD 1 /* a record with its data */
#define S3_GATHER_DATA 2   /* all of the data that lies in records, as one */
#define S3_GATHER_SHARDS 3 /* the same, in pieces where nothing is missing */

struct s3_gather_s {
    s3_store_t *store;
    uint64_t bucket;
    s3_str_t key;
    s3_entry_t entry;
    unsigned what; /* S3_GATHER_... */

    int rc; /* S3_OK; S3_ENOENT: gone everywhere; S3_EUNAVAIL, S3_ECORRUPT */
    s3_record_t *record; /* of any drive, data as that drive has it */
    unsigned source;     /* that drive */
    s3_buf_t *data;      /* S3_GATHER_DATA, and _SHARDS without pieces */
    uint32_t bad;        /* should have had it and did not */

    void (*done)(s3_gather_t *gather);
    void *ctx;
    unsigned refs;
    unsigned waiting;
    unsigned good;
    unsigned needed;
    unsigned next;
    unsigned n;
    unsigned absent;
    unsigned corrupt;
    unsigned starting : 1;
    unsigned finished : 1;
    unsigned whole : 1; /* all data shards are there */
    s3_timer_t timer;
    uint8_t order[S3_MAX_DRIVES];
    s3_gather_item_t items[];
};

/* `newest` gives hints, may be NULL; `held`: who is asked first. */
int
s3_gather_start(s3_store_t *store, uint64_t bucket, s3_str_t key,
                const s3_entry_t *entry, uint32_t held, s3_newest_t *newest,
                unsigned what, void (*done)(s3_gather_t *gather), void *ctx);

/* The record's memory, the caller's to free(); once, inside of done(). */
void *s3_gather_take(s3_gather_t *gather);

/* Before that, S3_GATHER_SHARDS: the data as `entry.need` pieces whose memory
 * is the caller's to free(), but for what goes with the record; their number,
 * or 0: see `data`. */
unsigned s3_gather_pieces(s3_gather_t *gather, s3_piece_t *pieces);


/*
 * Whether a version in doubt may be taken for committed, by what else there is
 * of the key.  S3_OK; S3_ECONFLICT: never, it was written under a condition that
 * a committed one had broken; S3_EDOUBT: not now, not all have answered.  A
 * newer one in doubt has been settled with these flags before.  held: who has
 * its record.  key stays the caller's until done().
 */

typedef struct s3_rival_s s3_rival_t;

int s3_rival_start(s3_store_t *store, uint64_t bucket, s3_str_t key,
                   const s3_entry_t *entry, uint32_t held, unsigned flags,
                   void (*done)(void *ctx, int rc), void *ctx);


/*
 * The fate of one version: S3_OK committed, S3_ENOENT dead, S3_EDOUBT, and
 * S3_AGAIN: provably not committed a moment ago, nothing decided
 * (S3_SETTLE_READ only).  For S3_SETTLE_OWN dead is what stays so whatever drive
 * is lost.
 */

#define S3_SETTLE_READ 1  /* never fences */
#define S3_SETTLE_OWN 2   /* the writer itself: prefers completing */
#define S3_SETTLE_FENCE 4 /* completes only what may be committed */

typedef struct s3_settle_s s3_settle_t;

struct s3_settle_s {
    s3_store_t *store;
    uint64_t bucket;
    s3_str_t key;
    s3_version_t version;
    unsigned flags;
    int rc;
    s3_entry_t entry; /* of the version, where known */
    s3_tally_t tally;
    s3_version_t newer;

    void (*done)(s3_settle_t *settle);
    void *ctx;
    unsigned refs;
    unsigned known : 1; /* entry is */
    unsigned dead : 1;  /* some drive knows that it is */
    unsigned voted : 1;
    unsigned rebuilt : 1;
    unsigned probed : 1;
    unsigned fenced : 1;
    unsigned asked : 1;
    s3_payload_t *payload;
    uint32_t confirmed;
    uint32_t missing; /* drives whose blobs have to be rebuilt */
    unsigned ref;
};

/* payload: the record, if the caller has it, else NULL. */
int
s3_settle_start(s3_store_t *store, uint64_t bucket, s3_str_t key,
                const s3_version_t *version, s3_payload_t *payload,
                unsigned flags, void (*done)(s3_settle_t *settle), void *ctx);


/* Units of one stripe of coded data. */

typedef struct s3_stripe_s s3_stripe_t;

typedef struct {
    s3_unit_t unit;
    uint8_t *buf;
    uint8_t *late; /* where a drive may still write after decoding */
} s3_stripe_item_t;

struct s3_stripe_s {
    s3_store_t *store;
    s3_ref_t ref;
    uint32_t block;
    size_t unit; /* payload bytes of each */
    unsigned n;  /* shards */

    int rc;
    uint32_t want; /* shards that are there after S3_OK */
    uint32_t have;
    uint32_t bad; /* drives whose unit is missing or does not hold */

    uint32_t exclude;
    uint32_t asked;
    uint32_t pending;
    unsigned cached : 1; /* caller's, before read: the page cache will do */
    unsigned corrupt : 1;
    unsigned starting : 1;
    unsigned finished : 1;
    unsigned hedged : 1;
    void (*done)(s3_stripe_t *stripe);
    void *ctx;
    unsigned refs;
    s3_timer_t timer;
    s3_stripe_item_t items[];
};

/*
 * Reads (and, if it must, decodes) the shards of `want`; those of `exclude`
 * are not read.  The owner's reference stays with the caller, who reads
 * payloads until s3_stripe_release(), at any time.  NULL: out of memory, or a
 * reference that cannot be.
 */

s3_stripe_t *s3_stripe_create(s3_store_t *store, const s3_ref_t *ref,
                              uint32_t block, uint32_t want, uint32_t exclude,
                              void (*done)(s3_stripe_t *stripe), void *ctx);
void s3_stripe_read(s3_stripe_t *stripe);
void s3_stripe_release(s3_stripe_t *stripe);

static inline const uint8_t *
s3_stripe_payload(const s3_stripe_t *stripe, unsigned shard)
{
    return stripe->items[shard].buf + S3_BLOB_HEADER;
}

/* Number of stripes, 0 where the reference makes no sense in this store. */
uint64_t s3_ref_stripes(const s3_store_t *store, const s3_ref_t *ref);


/*
 * Rebuilds the shard of one drive under the same data id.  With `check` it is
 * first read through, and left alone where every unit holds; SCRUB: what does
 * not was not known to be missing.
 */

#define S3_REBUILD_CHECK 1
#define S3_REBUILD_SCRUB 2

typedef struct s3_rebuild_s s3_rebuild_t;

int s3_rebuild_start(s3_store_t *store, const s3_ref_t *ref, unsigned drive,
                     int check, void (*done)(void *ctx, int rc), void *ctx);

#pragma GCC visibility pop

#endif /* S3_COMMIT_H */
