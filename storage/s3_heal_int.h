/*
 * What the healer's files share.
 *
 *   s3_heal.c        the service: reads the notes, starts the others
 *   s3_heal_note.c   one note worked off
 *   s3_doubts.c      versions that nobody decides any more
 *   s3_pending.c     how much is left to do, for those who look
 *   s3_repair.c      one key for one drive: blobs rebuilt, record pushed
 *   s3_recode.c      one object written again, over all drives that are up
 *   s3_walk.c        all keys that one drive has, in an order that loses none
 *   s3_refill.c      everything for a drive that is new at its place
 *   s3_scrub.c       everything read in a period; leaks
 *
 *            notes ──┐
 *   refill: walk ────┼──► repair(drive, key) ──► shard and record there
 *   scrub:  walk ────┘        │
 *                             └──► recode: a new version, where the drives
 *                                  that are up give it more parity
 *
 * All run in one process of a store at a time.  Whatever they have begun ends
 * by itself when the store is destroyed.
 */

#ifndef S3_HEAL_INT_H
#define S3_HEAL_INT_H

#include "storage/s3_commit.h"

#pragma GCC visibility push(hidden)


#define S3_HEAL_JOBS 4 /* keys that each of the three works on at once */


typedef struct s3_repair_s s3_repair_t;
typedef struct s3_recode_s s3_recode_t;
typedef struct s3_walk_s s3_walk_t;
typedef struct s3_refill_s s3_refill_t;
typedef struct s3_pending_count_s s3_pending_count_t;
typedef struct s3_scrub_s s3_scrub_t;


/*
 * What the repairs of one pass have come to, by the version of the object: what
 * a version lists never changes, so a drive that has once got all of it has it.
 * Damage that is met later has notes of its own.  A few of them: one that is
 * not found any more is worked out again.
 */

#define S3_HEALED_MAX 256

typedef struct {
    s3_version_t version;
    uint64_t bucket;
    unsigned target;
    int rc;
} s3_healed_item_t;

typedef struct {
    s3_healed_item_t items[S3_HEALED_MAX];
} s3_healed_t;

/* 1: rc is what came of it. */
int s3_healed_get(const s3_healed_t *healed, unsigned target, uint64_t bucket,
                  const s3_version_t *version, int *rc);
void s3_healed_put(s3_healed_t *healed, unsigned target, uint64_t bucket,
                   const s3_version_t *version, int rc);


/*
 * The newest version of a key for the drive `target`.  rc S3_OK: the drive has
 * it, durable, with its shards; or something newer has it noted.  version is
 * the newest one then, not older than the one given.  tried is the one that rc
 * is about, with all that it lists, or none.
 */

struct s3_repair_s {
    s3_store_t *store;
    unsigned target;
    uint64_t bucket;
    s3_str_t key;
    s3_version_t version;
    s3_version_t tried;
    int rc;

    void (*done)(s3_repair_t *repair);
    void *ctx;
    const s3_healed_t *healed;

    unsigned recode : 1; /* where it gains something */
    unsigned judged : 1; /* whether the part is an orphan */
    unsigned lost : 1;   /* data that can't be made anew */
    unsigned known : 1;  /* the drive has the record */
    int recode_rc;
    unsigned ref;
    s3_payload_t *payload;
    s3_object_t *object;
    uint8_t bytes[];
};

/* healed: versions that need not be tried again, or NULL; it outlives this. */
int s3_repair_start(s3_store_t *store, unsigned target, uint64_t bucket,
                    s3_str_t key, const s3_version_t *version, int recode,
                    const s3_healed_t *healed,
                    void (*done)(s3_repair_t *repair), void *ctx);


/* Would the object be safer if it were written now?  Shards beyond those that
 * are needed count, of all drives it was written to. */
int s3_recode_gain(s3_store_t *store, const s3_entry_t *e, s3_str_t refs);

/*
 * Writes the object again under a new version, everything else as it is, if it
 * is still the newest.  Takes its own reference.  S3_OK, and `made` is the new
 * version where none of its blobs is an old one, else none; S3_ECONFLICT: there
 * is a newer one; S3_DONE: it takes too long, and stays as it is; else nothing
 * changed (S3_EDOUBT: perhaps it did).
 */
int s3_recode_start(s3_store_t *store, s3_object_t *object,
                    void (*done)(void *ctx, int rc, const s3_version_t *made),
                    void *ctx);


/*
 * Notes that are being worked off.  done() once for each: S3_OK, and the note
 * goes; else it stays.
 */

typedef struct s3_note_job_s s3_note_job_t;

typedef struct {
    s3_store_t *store;
    void (*done)(void *ctx, unsigned target, int rc);
    void *ctx;
    s3_note_job_t *jobs; /* that have come to their objects */
    s3_healed_t healed;
} s3_note_jobs_t;

/* S3_ENOMEM: done() won't be called. */
int s3_note_job_start(s3_note_jobs_t *jobs, unsigned target, uint64_t bucket,
                      s3_str_t key, const s3_version_t *version);


/*
 * A part whose data is gone for good: it is removed if its upload does not need
 * it any more.  S3_OK: it was; S3_ECORRUPT: it may be needed; or the error of
 * asking and removing.  S3_EINVAL: not a part, S3_ENOMEM; done() won't be
 * called then.
 */
int s3_orphan_start(s3_store_t *store, uint64_t bucket, s3_str_t key,
                    const s3_version_t *version,
                    void (*done)(void *ctx, int rc), void *ctx);


/*
 * All keys of one drive: the list of buckets; then parts, uploads, objects of
 * every bucket that it has keys of, be it in its list or not.  References move
 * from parts to objects, so none is missed.
 */

s3_walk_t *s3_walk_create(s3_store_t *store, unsigned drive,
                          void (*ready)(void *ctx), void *ctx);
void s3_walk_destroy(s3_walk_t *walk);

/* S3_OK: *item is valid until the next call; S3_AGAIN: ready() will be called;
 * S3_DONE; or the drive's error, final. */
int s3_walk_next(s3_walk_t *walk, uint64_t *bucket, const s3_item_t **item);


/*
 * Versions in doubt: those whose writer died are settled within seconds, all
 * others when they are a minute old; s3_heal_doubt() adds to them.
 */

s3_doubts_t *s3_doubts_create(s3_store_t *store);
void s3_doubts_on(s3_doubts_t *d, int on); /* off: what is begun still ends */
void s3_doubts_tick(s3_doubts_t *d);       /* once a second */


/*
 * How many keys each drive lacks: what is noted about it on the drive that has
 * most notes.  Several drives have the same note, so that number is not exact
 * where they differ, but it is 0 only where nothing is noted.
 *
 *   begin ──► add(target) for each note ──► next_holder ──► ... ──► end
 *
 * What is noted meanwhile counts in addition (s3_drive_stats_t).
 */

typedef struct {
    s3_store_t *store;
    uint64_t noted[S3_MAX_DRIVES]; /* at the beginning */
    uint64_t most[S3_MAX_DRIVES];
    uint64_t here[S3_MAX_DRIVES]; /* on the present holder */
} s3_pending_t;

void s3_pending_begin(s3_pending_t *p, s3_store_t *store);
void s3_pending_add(s3_pending_t *p, unsigned target);
void s3_pending_next_holder(s3_pending_t *p);

/* Becomes what is known of these drives. */
void s3_pending_end(s3_pending_t *p, uint32_t targets);

/* One note less.  The last one waits for the end of the pass. */
void s3_pending_worked(s3_store_t *store, unsigned target);

/* Reads all notes on all drives, and ends with what there is.  done(ctx) once;
 * NULL where that was before this returned. */
s3_pending_count_t *
s3_pending_count(s3_store_t *store, void (*done)(void *ctx), void *ctx);
void s3_pending_stop(s3_pending_count_t *c); /* done() soon, or now */


/* Refill of one drive; ends with store->conf.refilled(). */

s3_refill_t *s3_refill_start(s3_store_t *store, unsigned drive);
void s3_refill_stop(s3_refill_t *refill); /* any time */
int s3_refill_over(const s3_refill_t *refill);


s3_scrub_t *s3_scrub_start(s3_store_t *store);
void s3_scrub_stop(s3_scrub_t *scrub);

#pragma GCC visibility pop

#endif /* S3_HEAL_INT_H */
