/*
 * The store: objects over drives.  This is the room's front door, and the only
 * header of storage/ that request handling needs.
 *
 *   s3_head_t    newest version of a key: entry, metadata, small data
 *   s3_reader_t  the bytes of an object, a stripe at a time, read ahead
 *   s3_writer_t  takes bytes, codes them over the drives as they come
 *   s3_put_t     commits a record: an object, a deletion; with a condition
 *   s3_list_t    one page of keys in order
 *
 * Every operation is a structure of the caller's that stays put until its
 * callback ran; there is no cancelling, an uninteresting result is thrown
 * away.  Callbacks run on the loop and MAY run before the starting call
 * returns.  All strings handed in must live until the callback, too.
 *
 * Errors of all of them: S3_EUNAVAIL (too few drives; nothing was written),
 * S3_EDOUBT (may take effect later), S3_ENOSPC, S3_ENOMEM, S3_EIO,
 * S3_ECORRUPT; others are named at each.
 *
 * Memory: a writer holds one stripe being filled and at most S3_STRIPES - 1
 * being written, a reader as many, each n * 128 KiB at most and as small as
 * the data; nothing grows with the size of the object.
 */

#ifndef S3_STORE_H
#define S3_STORE_H

#include "storage/s3_core.h"
#include "storage/s3_io.h"
#include "storage/s3_entry.h"
#include "storage/s3_drive.h"
#include "storage/s3_pins.h"

#pragma GCC visibility push(hidden)


#define S3_CLASSES 2 /* STANDARD, REDUCED_REDUNDANCY */
#define S3_STRIPES 3
#define S3_INLINE_MAX (128 * 1024) /* larger data goes to blobs */
#define S3_COPIES_MAX (16 * 1024)  /* up to here full copies, where m > 0 */

typedef struct s3_store_s s3_store_t;
typedef struct s3_buf_s s3_buf_t;
typedef struct s3_head_s s3_head_t;
typedef struct s3_put_s s3_put_t;
typedef struct s3_list_s s3_list_t;
typedef struct s3_reader_s s3_reader_t;
typedef struct s3_writer_s s3_writer_t;


typedef struct {
    s3_loop_t *loop;
    unsigned n; /* drives, 1..S3_MAX_DRIVES */
    s3_drive_t *drives[S3_MAX_DRIVES];
    unsigned parity[S3_CLASSES]; /* m by storage class; [0] gives the quorum */
    uint32_t node;
    uint64_t seed;     /* of the placement hash: from the store's id */
    uint32_t hedge_ms; /* how long a straggler is waited for, default 1000 */
    uint64_t (*clock)(void *ctx); /* draws a hybrid logical time, shared by
                                   * all workers of the node */
    void *clock_ctx;
    /* Changes (atomically) after each change of S3_BUCKET_BUCKETS on any of
     * the drives, so that a bucket need not be read for every request; NULL:
     * nobody counts, as where drives are remote. */
    const uint64_t *bucket_changes;
    /* What this process reads stays, s3_pins.h; NULL: as long as the drives
     * have it. */
    s3_pins_t *pins;
    unsigned proc; /* in there */

    /* bytes for what recently read records say (s3_recent.h), 0: read again */
    size_t recent;

    /* healing: every byte is read once in so many seconds, 0: never */
    uint64_t scrub_period;
    /* A drive in state REFILLING has all that the others have: may count again
     * (s3_node_refilled()).  Called once or more; NULL: nobody cares. */
    void (*refilled)(void *ctx, unsigned drive);
    void *refilled_ctx;
} s3_store_conf_t;

/* NULL where the numbers do not fit (m >= n, ...) or memory is out. */
s3_store_t *s3_store_create(const s3_store_conf_t *conf);

/* The seed of the placement, where it was not known before: as long as no
 * drive has been there. */
void s3_store_seed(s3_store_t *store, uint64_t seed);
void s3_store_destroy(s3_store_t *store);

/* Every second or so: gives back memory that nobody has needed since. */
void s3_store_trim(s3_store_t *store);

/* Starts (or stops) this process' share of the background work: settling of
 * what is in doubt, repair of what drives have missed.  One process a store
 * at a time should run it. */
void s3_store_heal(s3_store_t *store, int on);

/* What this process has healed so far. */

typedef struct {
    uint64_t repaired;  /* keys brought to a drive that lacked them */
    uint64_t rebuilt;   /* shards of blobs that were missing or damaged */
    uint64_t recoded;   /* objects written again with more parity */
    uint64_t failed;    /* attempts that will be repeated */
    uint64_t refilled;  /* keys brought to a new drive */
    uint64_t scrubbed;  /* records read and verified, with their blobs */
    uint64_t damaged;   /* of those: something was missing or did not hold */
    uint64_t passes;    /* of the scrub over all drives */
    uint64_t leaks;     /* blobs removed that no record lists */
    uint64_t orphans;   /* parts without data or use that were removed */
    uint32_t refilling; /* drives */
} s3_heal_stats_t;

void s3_store_heal_stats(s3_store_t *store, s3_heal_stats_t *stats);


/*
 * An object at rest, as head found it: immutable and counted.  The record's
 * slices belong to it.
 */

typedef struct {
    s3_str_t data;
    void *buf; /* that it lies in, or NULL */
} s3_piece_t;

typedef struct {
    unsigned refs;
    uint64_t bucket;
    uint64_t stamp;     /* s3_pins_stamp() before it was looked for, or 0 */
    s3_entry_t entry;   /* newest committed: version, size, etag, ... */
    s3_record_t record; /* key, refs, meta; data only where COPIES */
    void *buf;
    /* of shards in records, where it was asked for: one of them */
    s3_buf_t *data;
    s3_piece_t *pieces; /* in order; behind the object */
    unsigned n_pieces;
} s3_object_t;

void s3_object_release(s3_object_t *object);


struct s3_head_s {
    s3_store_t *store;
    uint64_t bucket;
    s3_str_t key;
    unsigned brief : 1; /* the entry is enough: object has no record */
    unsigned meta : 1;  /* no reader will follow: the record's data is empty */
    unsigned data : 1;  /* a reader will follow: what the records have, now */
    void (*done)(s3_head_t *head);
    void *ctx;

    int rc;              /* S3_ENOENT: absent, for certain */
    s3_object_t *object; /* the caller's to release */
    s3_version_t
        newest;        /* committed, of a tombstone too; none: never written */
    s3_version_t root; /* of the newest: s3_entry_root() */

    void *impl[4];
};

void s3_store_head(s3_head_t *head);


/*
 * Reader.  s3_reader_next() fetches the next run of bytes; ready() is called
 * with rc S3_OK and n slices that stay valid until the following
 * s3_reader_next() or close; S3_DONE after the last.  On S3_ECORRUPT,
 * S3_EUNAVAIL the bytes so far were right and the rest can't be had.
 * Every unit's checksum has been verified before its bytes are handed out.
 */

struct s3_reader_s {
    void (*ready)(s3_reader_t *r);
    void *ctx;
    int rc;
    s3_str_t slices[S3_MAX_DRIVES];
    unsigned n;
};

/* Bytes [off, off + len) of the object; takes its own reference.  NULL where
 * memory is out. */
s3_reader_t *s3_reader_open(s3_store_t *store, s3_object_t *object,
                            uint64_t off, uint64_t len);
void s3_reader_next(s3_reader_t *r);
void s3_reader_close(s3_reader_t *r); /* any time; ready() is not called */


/*
 * Writer.  Small data stays in memory and travels in the record; more than
 * S3_INLINE_MAX, or S3_WRITER_BLOB, goes to blobs while it comes in.
 */

#define S3_WRITER_BLOB 1 /* always blobs: parts of a multipart upload */

typedef struct {
    uint8_t *data;
    size_t len;
} s3_space_t;

struct s3_writer_s {
    void (*writable)(s3_writer_t *w); /* after write() took less than all */
    void (*finished)(s3_writer_t *w); /* after finish(): see rc */
    void *ctx;
    int rc;        /* sticky: the first error */
    uint64_t size; /* bytes taken */
    s3_ref_t ref;  /* S3_LAYOUT_BLOBS after finished() */
    s3_layout_t layout;
};

/* size: what will come, or -1 when unknown.  With less or more than that
 * finish() may fail. */
s3_writer_t *
s3_writer_open(s3_store_t *store, uint64_t bucket, s3_str_t key,
               unsigned storage_class, int64_t size, unsigned flags);

/* Bytes taken (copied), 0..len; less than len: stop until writable().  A
 * negative code is final. */
ssize_t s3_writer_write(s3_writer_t *w, const uint8_t *data, size_t len);

/* Where the next bytes are to lie, at most max places, one behind the other:
 * who puts them there himself and gives them to write(), place by place and as
 * the very next calls, saves a copy.  Places stay what they are until all of
 * that was given.  How many; 0: stop until writable(); negative: the error, or
 * S3_EINVAL for small data, which only write() takes. */
int s3_writer_space(s3_writer_t *w, s3_space_t *spaces, unsigned max);

/* No more bytes: everything durable (blobs), then finished(). */
void s3_writer_finish(s3_writer_t *w);

/* Any time, in any state; data that no record lists is removed. */
void s3_writer_close(s3_writer_t *w);


/*
 * Put.  What is stored is (entry, meta, data), the data one of
 *   writer   what it took
 *   object   that object's data again, under new metadata (same key; the
 *            blobs are shared with its record, which this one replaces: use a
 *            condition that the object is still the newest)
 *   refs     blobs of finished writers (parts), in order
 *   nothing  empty
 * Set of the entry: kind, size, mtime, etag, etag_parts, storage_class,
 * checksum, extra; S3_F_KEEP where the predecessor's blobs live on elsewhere.
 *
 * test(), if not NULL, makes the write conditional: it sees the newest
 * committed entry (NULL: absent) and returns S3_OK or any negative code, which
 * becomes rc (nothing was written then).  It may run several times.
 */

#define S3_ANY_GENERATION UINT32_MAX /* the bucket may be closed */

struct s3_put_s {
    s3_store_t *store;
    uint64_t bucket;
    uint32_t generation;
    s3_str_t key;
    s3_entry_t entry;
    s3_str_t meta;

    s3_writer_t *writer;
    s3_object_t *object;
    const s3_ref_t *refs;
    unsigned n_refs;
    uint32_t lack; /* of their drives: where a shard was lost on the way */

    const s3_version_t *origin; /* the healer's: see s3_entry_origin() */
    unsigned blind : 1; /* test() is none of the client's: s3_entry_root() */

    int (*test)(s3_put_t *put, const s3_entry_t *current);
    void (*done)(s3_put_t *put);
    void *ctx;

    int rc; /* S3_ECONFLICT: lost every race; S3_ESTALE: bucket is closed */
    s3_version_t version; /* of what was written */
    s3_version_t newest;  /* as of s3_head_t, set before test() is called */
    s3_version_t root;    /* ... too */

    void *impl[4];
};

/* A deletion is a put of kind S3_KIND_TOMBSTONE.  Where the key is absent and
 * nothing is in doubt, a blind one writes nothing and returns S3_OK. */
void s3_store_put(s3_put_t *put);


/*
 * List.  Committed objects of a bucket in key order after `after` (or from
 * it), with `prefix`; keys with `delimiter` after the prefix are reported once
 * as a common prefix.  A common prefix not greater than `after` is not
 * reported again.  `max` counts keys and prefixes.
 * item() is called in order during the operation; entry is NULL for a common
 * prefix; a non-zero return ends the page there (truncated).
 */

struct s3_list_s {
    s3_store_t *store;
    uint64_t bucket;
    s3_str_t prefix;
    s3_str_t delimiter; /* any length, or empty */
    s3_str_t after;
    unsigned inclusive : 1; /* `after` itself is wanted, too */
    unsigned max;           /* 0 lists nothing */
    int (*item)(s3_list_t *list, s3_str_t key, const s3_entry_t *entry);
    void (*done)(s3_list_t *list);
    void *ctx;

    int rc;
    unsigned truncated : 1; /* there is more after the last item */

    void *impl[4];
};

void s3_store_list(s3_list_t *list);


/*
 * CLOSE on as many drives as make it certain that no vote of this generation
 * can commit any more (commit-protocol, "DeleteBucket").
 */

typedef struct s3_shut_s s3_shut_t;

struct s3_shut_s {
    s3_store_t *store;
    uint64_t bucket;
    uint32_t generation;
    void (*done)(s3_shut_t *shut);
    void *ctx;
    int rc;
    uint32_t drives; /* that have closed it: no vote of before is pending */
    void *impl[4];
};

void s3_store_close_bucket(s3_shut_t *shut);

#pragma GCC visibility pop

#endif /* S3_STORE_H */
