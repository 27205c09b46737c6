/*
 * Buckets.  A bucket is an object of the system's own: key = its name in
 * S3_BUCKET_BUCKETS, the metadata a JSON text; coded, quorum-written, healed
 * like any other.
 *
 *   absent ──create──► ACTIVE(g) ──delete──► DELETING(g) ──empty──► absent
 *                         ▲                      │     │             ▲
 *                         └──────ACTIVE(g+1)◄────┘     └─PURGING(g)──┘
 *                                        not empty     but for uploads
 *
 * The id is new at every creation: what a late writer leaves in a deleted
 * bucket can never come back.  The generation travels in every vote; deleting
 * closes it on the drives, so that later PUTs fail, and those that may have
 * been acknowledged, or may be yet, are seen or made impossible
 * (s3_bucket_empty.c; commit-protocol, "DeleteBucket").
 *
 * Each process keeps the parsed records of the buckets it uses.  A cached
 * record is used only after a quorum read showed that it still is the newest.
 */

#ifndef S3_BUCKET_H
#define S3_BUCKET_H

#include "storage/s3_store.h"

#pragma GCC visibility push(hidden)


#define S3_BUCKET_NAME_MAX 63
#define S3_BUCKET_TAGS_MAX 50


typedef enum {
    S3_BUCKET_ACTIVE = 1,
    S3_BUCKET_DELETING = 2,
    S3_BUCKET_PURGING = 3 /* for good: its uploads are being removed */
} s3_bucket_state_t;


typedef struct {
    s3_str_t key;
    s3_str_t value;
} s3_bucket_tag_t;


/* Counted; immutable but for `changes`.  Strings belong to it. */

typedef struct {
    unsigned refs;
    uint64_t id;
    uint32_t generation;
    s3_bucket_state_t state;
    uint64_t created; /* milliseconds */
    s3_str_t name;
    s3_str_t region;
    s3_bucket_tag_t *tags;
    unsigned n_tags;
    s3_version_t version; /* of the record */
    uint64_t changes;     /* it still was the newest when conf.bucket_changes
                           * had this value */
} s3_bucket_t;

void s3_bucket_release(s3_bucket_t *bucket);


typedef struct s3_buckets_s s3_buckets_t; /* one a process */

s3_buckets_t *s3_buckets_create(s3_store_t *store, s3_loop_t *loop);
void s3_buckets_destroy(s3_buckets_t *buckets);


/*
 * One operation on a bucket; the structure and its strings stay put until
 * done(), which may be called before the starting call returns.
 */

typedef struct s3_bucket_op_s s3_bucket_op_t;

struct s3_bucket_op_s {
    s3_buckets_t *buckets;
    s3_str_t name;
    void (*done)(s3_bucket_op_t *op);
    void *ctx;

    /* create, set_tags; the strings are copied */
    s3_str_t region;
    const s3_bucket_tag_t *tags;
    unsigned n_tags;

    int rc;
    s3_bucket_t *bucket; /* get, create: the caller's to release */

    void *impl; /* the operation's state while it runs */
};

/* S3_ENOENT: no such bucket. */
void s3_bucket_get(s3_bucket_op_t *op);

/* S3_EEXIST: is there already (and `bucket` is set). */
void s3_bucket_create(s3_bucket_op_t *op);

/* S3_ENOENT; S3_EEXIST: not empty; S3_ECONFLICT: somebody else is at it. */
void s3_bucket_delete(s3_bucket_op_t *op);

/* Replaces the tags (none: removes them). */
void s3_bucket_set_tags(s3_bucket_op_t *op);

/*
 * What an entry of the list of buckets tells without its record: mtime is the
 * time of creation, extra is the id (8 bytes, little-endian), then the region.
 * S3_ECORRUPT: neither.
 */
static inline int
s3_bucket_entry(const s3_entry_t *e, uint64_t *id, s3_str_t *region)
{
    if (e->extra_len < 8) {
        return S3_ECORRUPT;
    }

    *id = s3_get64(e->extra);
    *region = s3_str(e->extra + 8, e->extra_len - 8u);

    return S3_OK;
}

#pragma GCC visibility pop

#endif /* S3_BUCKET_H */
