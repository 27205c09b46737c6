/*
 * Entries and records.
 *
 * A drive keeps, for each key, a set of entries, each of one version
 * (commit-protocol, "State of a drive").  An entry is what the index holds:
 * the state of the version, all that LIST shows, and where in this drive's log
 * the record lies.  The record is the truth: entry, metadata, blob references
 * and, while the object is small, the data itself (or this drive's shard).
 *
 *   bucket id ┐                         record in the log
 *   key       ├─ entry ── location ───► ┌────────┬─────┬──────┬──────┬──────┐
 *   version   ┘                         │ header │ key │ refs │ meta │ data │
 *                                       └────────┴─────┴──────┴──────┴──────┘
 *                                                         └► blob/xx/<data id>
 *
 * Name space: a key is (bucket id, bytes).  Ids below S3_BUCKET_FIRST belong
 * to the system; a client's bucket has a block of four ids.
 */

#ifndef S3_ENTRY_H
#define S3_ENTRY_H

#include "storage/s3_core.h"

#pragma GCC visibility push(hidden)


#define S3_MAX_DRIVES 32
#define S3_MAX_KEY 1200 /* an S3 key, a NUL, an upload id, a part number */
#define S3_MAX_EXTRA 96 /* bytes beside the fixed ones that LIST shows */
#define S3_MAX_META (2 * 1024 * 1024)
#define S3_MAX_REFS 10000

#define S3_BUCKET_BUCKETS 1 /* key: bucket name; the store's list of buckets */
#define S3_BUCKET_CLOSED 2  /* drive-local: bucket ids that take no votes */
#define S3_BUCKET_NOTES 3   /* drive-local: what other drives have missed */
#define S3_BUCKET_FIRST 1024

/* A client's bucket id is a multiple of 4; the other three are its own. */

#define S3_SPACE_OBJECTS 0
#define S3_SPACE_UPLOADS 1 /* key NUL upload-id */
#define S3_SPACE_PARTS 2   /* key NUL upload-id NUL number (2, BE) tag */


typedef enum {
    S3_KIND_OBJECT = 1,    /* a live record: this drive said YES to it */
    S3_KIND_TOMBSTONE = 2, /* a deletion: a record too, k_v = 0 */
    S3_KIND_FENCE = 3,     /* this drive said NO and always will */
    S3_KIND_DEAD = 4,      /* known never to have been committed */
    S3_KIND_CONFIRM = 5,   /* log only: the version is committed */
    S3_KIND_FLOOR = 6,     /* log only: raises the drive's floor */
    S3_KIND_NOTE = 7,      /* drive-local entry, S3_BUCKET_NOTES and _CLOSED */
    S3_KIND_UNNOTE = 8,    /* drive-local: removes the NOTE of that key */
    S3_KIND_DROP = 9       /* log only: the local entry of that version is gone
                            * (its batch was never durable, or was repaired) */
} s3_kind_t;

#define S3_F_CONFIRMED 1 /* known to be committed */
#define S3_F_TIED 2      /* its fate decides another key's; kept */
#define S3_F_KEEP 4      /* tombstone whose predecessor's data lives on */
#define S3_F_PUSHED 8    /* came by PUSH, not by a vote */


typedef enum {
    S3_LAYOUT_NONE = 0,   /* no data: empty object, tombstone */
    S3_LAYOUT_COPIES = 1, /* whole data in the record of each drive in D_v */
    S3_LAYOUT_INLINE = 2, /* one shard in each voter's record */
    S3_LAYOUT_BLOBS = 3   /* shards in blobs, the record lists references */
} s3_layout_t;


/* What the index keeps of one version of one key on one drive. */

typedef struct {
    s3_version_t version;
    uint8_t kind;
    uint8_t flags;
    uint8_t need; /* k_v: shards needed to read; 0 where there is no data */
    uint8_t layout;

    uint32_t voters;  /* P_v, one bit per drive of the store */
    uint32_t holders; /* D_v */

    /* all that LIST shows */
    uint64_t size;
    uint64_t mtime; /* milliseconds, wall clock: Last-Modified */
    uint8_t etag[16];
    uint32_t etag_parts; /* "-N" where not 0 */
    uint8_t storage_class;
    uint8_t checksum; /* protocol's algorithm in the low 4 bits, type above */
    uint8_t extra_len;
    uint8_t extra[S3_MAX_EXTRA]; /* of parts: reference and checksum */

    /* where the record lies in this drive's log */
    uint32_t segment;
    uint32_t offset; /* in bytes, a multiple of 8 */
    uint32_t length; /* of the whole record */
} s3_entry_t;


/*
 * Encoded form, the same in memtable nodes and table blocks:
 *
 *   version 20 | kind 1 | flags 1 | need 1 | layout 1 | voters 4 | holders 4 |
 *   size 8 | mtime 8 | etag 16 | parts 4 | class 1 | checksum 1 | extra_len 1 |
 *   0 1 | segment 4 | offset 4 | length 4 | extra
 */

#define S3_ENTRY_FIXED 84

size_t s3_entry_size(const s3_entry_t *e);

/* Every field in its range: what encoding it gives can be decoded. */
int s3_entry_valid(const s3_entry_t *e);

/* What a write leaves: other kinds say something about versions. */

static inline int
s3_entry_is_record(const s3_entry_t *e)
{
    return e->kind == S3_KIND_OBJECT || e->kind == S3_KIND_TOMBSTONE;
}

/* The newest record among a key's entries, which are newest first, or NULL. */

static inline const s3_entry_t *
s3_entry_top(const s3_entry_t *entries, unsigned n)
{
    unsigned i;

    for (i = 0; i < n; i++) {
        if (s3_entry_is_record(&entries[i])) {
            return &entries[i];
        }
    }

    return NULL;
}

/*
 * What `extra` is in a bucket's objects and their tombstones: nothing, or the
 * origin, or origin and root.
 *
 *  - Which write of a client's it is: its version, or, where the healer has
 *    written the object again as it was, the version that it had at first.
 *  - From which write on each has followed the one before: the newest that
 *    was made whatever was there, or none, where all began with nothing.  Two
 *    with the same root have no such write in between.
 */

static inline s3_version_t
s3_entry_origin(const s3_entry_t *e)
{
    s3_version_t v;

    v = e->extra_len < S3_VERSION_SIZE ? s3_version_none
                                       : s3_get_version(e->extra);

    return s3_version_is_none(&v) ? e->version : v;
}

static inline s3_version_t
s3_entry_root(const s3_entry_t *e)
{
    return e->extra_len == 2 * S3_VERSION_SIZE
               ? s3_get_version(e->extra + S3_VERSION_SIZE)
               : s3_entry_origin(e);
}

/* NULL: the write itself. */
void s3_entry_lineage(s3_entry_t *e, const s3_version_t *origin,
                      const s3_version_t *root);

/* Writes s3_entry_size() bytes. */
void s3_entry_encode(uint8_t *p, const s3_entry_t *e);

/* In encoded form: lies nowhere (yet). */
void s3_entry_unplace(uint8_t *p);

/* Bytes consumed, or S3_ECORRUPT; every field is checked against its range. */
ssize_t s3_entry_decode(const uint8_t *p, size_t len, s3_entry_t *e);


/*
 * A reference to coded data in blobs.  The shards lie on the drives of `mask`;
 * a drive's shard index is its rank in the slot's drive order restricted to
 * `mask`.  Shards 0..k-1 carry the data itself, the rest parity (Cauchy).
 */

typedef struct {
    uint8_t id[16]; /* random; the blob's file name in hex */
    uint64_t size;  /* bytes of the data */
    uint32_t mask;
    uint16_t slot; /* whose drive order */
    uint8_t k;
} s3_ref_t;

#define S3_REF_SIZE 32 /* id 16 | size 8 | mask 4 | slot 2 | k 1 | 0 1 */

void s3_ref_encode(uint8_t *p, const s3_ref_t *ref);
int s3_ref_decode(const uint8_t *p, s3_ref_t *ref); /* S3_ECORRUPT */


/*
 * A record, taken apart.  Slices point into whatever it was decoded from, or
 * to what the builder of a new one owns.
 */

typedef struct {
    uint64_t bucket;
    uint32_t generation; /* of the bucket */
    uint32_t epoch;
    s3_str_t key;
    s3_entry_t entry; /* segment, offset, length: set by log and index */
    s3_version_t expects;
    uint8_t conditional; /* expects is meant */
    s3_str_t refs;       /* S3_REF_SIZE each */
    s3_str_t meta;       /* the protocol's, opaque here */
    s3_str_t data;       /* whole, or this drive's shard */
} s3_record_t;

#pragma GCC visibility pop

#endif /* S3_ENTRY_H */
