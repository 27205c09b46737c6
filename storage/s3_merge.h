/*
 * Merging of sources into the state of each key, and of tables into one.
 *
 * Sources are given newest first: where two hold the same version, and neither
 * outranks the other, the newer source wins (its location is the current one).
 *
 * For one version, whatever the order of the sources (commit-protocol,
 * "State of a drive"):
 *
 *   confirmed OBJECT or TOMBSTONE > DEAD > OBJECT or TOMBSTONE > FENCE
 *
 * Then everything older than the newest confirmed record is dropped, but for
 * S3_F_TIED.  Keys of the drive-local buckets (S3_BUCKET_NOTES and _CLOSED)
 * keep a single entry: the one with the greatest version, at equal versions
 * that of the newer source.  An UNNOTE hides the notes below it and stays,
 * unless the merge includes the oldest source (S3_MERGE_BOTTOM).
 */

#ifndef S3_MERGE_H
#define S3_MERGE_H

#include "storage/s3_core.h"
#include "storage/s3_io.h"
#include "storage/s3_entry.h"
#include "storage/s3_source.h"
#include "storage/s3_table.h"

#pragma GCC visibility push(hidden)


#define S3_MERGE_MAX 64 /* sources */

/* Flags. */
#define S3_MERGE_BOTTOM 1 /* nothing older exists: UNNOTE may vanish */


/*
 * Why an entry is not in the result.  An entry at the location (segment,
 * offset) of the one of its version that stays is not reported: nothing became
 * free (but S3_DROP_DEAD always is, for the sake of the blobs).
 *
 * What becomes free is a hint: where copies of one entry lie in several tables
 * each of the merges that drops one reports it.  Removing blobs twice does no
 * harm; counters of live bytes must be taken as estimates, and a segment must
 * not be freed by them alone.
 */

typedef enum {
    S3_DROP_SUPERSEDED = 1, /* older than the newest confirmed record */
    S3_DROP_DEAD = 2,       /* a RECORD that turned out DEAD */
    S3_DROP_MOVED = 3,      /* the version stays, at another location: the old
                             * record's bytes are free, its blobs are not */
    S3_DROP_LOCAL = 4,      /* NOTE, UNNOTE, CLOSED: replaced, or vanished */
    S3_DROP_FILTERED = 5    /* filter() said so */
} s3_drop_t;

typedef void (*s3_merge_drop_pt)(void *ctx, s3_drop_t why, uint64_t bucket,
                                 s3_str_t key, const s3_entry_t *e);

/* Non-zero drops the entry from the result (tombstones below the floor, keys
 * of deleted buckets, ...); asked for each entry that would stay. */
typedef int (*s3_merge_filter_pt)(void *ctx, uint64_t bucket, s3_str_t key,
                                  const s3_entry_t *e);


typedef struct {
    /* the result of s3_merge_next() */
    uint64_t bucket;
    s3_str_t key;
    s3_entry_t *entries; /* newest first */
    unsigned n;

    s3_source_t *waiting; /* after S3_AGAIN: waiting->block */

    /* optional, set after init */
    s3_merge_drop_pt drop;
    s3_merge_filter_pt filter;
    void *ctx;

    /* of the merge code */
    s3_source_t **sources;
    unsigned n_sources;
    unsigned flags;
    uint8_t heap[S3_MERGE_MAX]; /* sources that have an entry, least first */
    unsigned n_heap;
    unsigned second;  /* which of heap[1] and [2] is less, 0: unknown */
    unsigned started; /* sources that have been positioned */
    unsigned gathering : 1;
    unsigned pending : 1; /* `waiting` owes a resume() */
    unsigned forward : 1; /* what is before the target still has to move */
    int rc;               /* an error: final until the next seek */
    unsigned room;        /* of entries */
    s3_entry_t *grown;    /* entries, where they had to be made room for */
    s3_entry_t fixed[4];
    uint64_t seek_bucket;
    size_t seek_len;
    uint8_t seek_key[S3_MAX_KEY];
    uint8_t keybuf[S3_MAX_KEY];
} s3_merge_t;

/* sources: newest first, at most S3_MERGE_MAX; array and sources stay the
 * caller's and must stay where they are. */
int
s3_merge_init(s3_merge_t *m, s3_source_t **sources, unsigned n, unsigned flags);
void s3_merge_done(s3_merge_t *m); /* frees what the merge owns */

/* From the next key on, and until it is called again, entries are put there
 * (as long as they fit, so look at m->entries).  Not between an S3_AGAIN and
 * the result that it keeps waiting. */
void s3_merge_into(s3_merge_t *m, s3_entry_t *entries, unsigned room);

/*
 * Positions before the first key that is (bucket, key) or after it.  Never
 * waits: what must be read is read by next().  May be called again at any time
 * but while the read of an S3_AGAIN is under way.  Going on behind the key that
 * next() has returned moves only those sources that are before the target.
 */
int s3_merge_seek(s3_merge_t *m, uint64_t bucket, s3_str_t key);

/*
 * The next key that has an entry.  S3_OK: bucket, key, entries, n are valid
 * until the next call.  S3_DONE.  S3_AGAIN: do the read of waiting->block,
 * call again.  S3_ECORRUPT, S3_EIO, S3_ENOMEM: final until the next seek.
 */
int s3_merge_next(s3_merge_t *m);


/*
 * Sources into one new table, blocking, in a task.  Serves the flush of a
 * memtable (one source) and the merging of tables alike.
 */

typedef struct {
    s3_fs_t *fs;
    uint32_t id;           /* of the new table */
    uint64_t estimate;     /* keys at most: the sum of what goes in */
    unsigned flags;        /* S3_MERGE_ */
    s3_merge_drop_pt drop; /* optional, called in the task */
    s3_merge_filter_pt filter;
    void *ctx;
    const unsigned char *cancelled; /* optional, atomic: non-zero gives S3_DONE
                                       soon */

    s3_table_stats_t stats; /* result; entries == 0: no table was made */
} s3_compact_t;

/* S3_OK, or an error (S3_DONE: cancelled) and no file.  Drops have been
 * reported even then: act on them only after S3_OK. */
int s3_compact(s3_compact_t *c, s3_source_t **sources, unsigned n);

/* The same with blocking iterators over tables, newest first; sets estimate. */
int s3_compact_tables(s3_compact_t *c, s3_table_t **tables, unsigned n);


/*
 * Which tables to merge: sizes in bytes, newest first.  Returns how many,
 * beginning with *first; 0: none.  Always neighbours in age, or "newer wins"
 * would stop being true.  Keeps about S3_COMPACT_TABLES tables; each entry is
 * rewritten about log2(all / one flush) times.
 */

#define S3_COMPACT_TABLES 8
#define S3_COMPACT_MIN 4 /* small ones are gathered */

unsigned s3_compact_pick(const uint64_t *bytes, unsigned n, unsigned *first);

/*
 * The same where nothing else is to be done: how many of the newest.  One joins
 * that is at most S3_COMPACT_REST times what is newer, so what stays apart is
 * little beside its neighbour.  With rest after each flush an entry is
 * rewritten about 8 times whenever all has grown 16-fold.
 */

#define S3_COMPACT_REST 16

unsigned s3_compact_pick_rest(const uint64_t *bytes, unsigned n);

#pragma GCC visibility pop

#endif /* S3_MERGE_H */
