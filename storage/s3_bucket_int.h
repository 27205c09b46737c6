/*
 * What the bucket files share: the state of one operation while it runs.
 */

#ifndef S3_BUCKET_INT_H
#define S3_BUCKET_INT_H

#include "storage/s3_bucket.h"

#pragma GCC visibility push(hidden)


#define S3_BUCKET_SLOTS 1024 /* of the cache; a power of two */

struct s3_buckets_s {
    s3_store_t *store;
    s3_loop_t *loop;
    s3_bucket_t *slot[S3_BUCKET_SLOTS];
};


typedef struct s3_bucket_work_s s3_bucket_work_t;
typedef struct s3_bucket_page_s s3_bucket_page_t; /* s3_bucket_empty.c */

struct s3_bucket_work_s {
    s3_bucket_op_t *op;
    void (*next)(s3_bucket_work_t *w, int rc);

    s3_head_t head;
    s3_put_t put;
    s3_list_t list;
    s3_shut_t shut;

    s3_bucket_t *bucket; /* as loaded; what the client gets at the end */
    uint64_t changes;    /* counted before it was read */
    char *meta;
    unsigned found : 1;

    unsigned space; /* being closed, or purged */

    /* whether there are objects */
    uint32_t closed; /* drives that have closed it and were not asked */
    unsigned empty;  /* have nothing */
    unsigned drive;  /* being asked */
    s3_bucket_page_t *page;

    /* purge: the key that is removed, and the one that was listed */
    unsigned char *key;
    size_t key_len;
    unsigned char *last;
    size_t last_len;
    unsigned purged : 1; /* this pass has removed something */
};


/* NULL: op->done() was called. */
s3_bucket_work_t *s3_bucket_begin(s3_bucket_op_t *op);

/* Every operation ends here, exactly once; frees w. */
void s3_bucket_end(s3_bucket_work_t *w, int rc);

/* The newest record into w->bucket, then next(). */
void
s3_bucket_load(s3_bucket_work_t *w, void (*next)(s3_bucket_work_t *w, int rc));

/* A new one with copies of the strings; NULL: no memory. */
s3_bucket_t *s3_bucket_alloc(s3_str_t name, s3_str_t region,
                             const s3_bucket_tag_t *tags, unsigned n_tags);

/* Writes bucket as the record of w's name, under the condition of test. */
void s3_bucket_write(s3_bucket_work_t *w, const s3_bucket_t *bucket,
                     int (*test)(s3_put_t *, const s3_entry_t *),
                     void (*done)(s3_put_t *));

/* Looks for objects in the closed bucket, on drives of w->closed, and decides
 * what is in doubt there.  next(): S3_OK: there are none, and never will be;
 * S3_EEXIST: there is one. */
void
s3_bucket_empty(s3_bucket_work_t *w, void (*next)(s3_bucket_work_t *w, int rc));

/* The record is still the one that w->bucket was read from. */
int s3_bucket_test_same(s3_put_t *put, const s3_entry_t *current);

#pragma GCC visibility pop

#endif /* S3_BUCKET_INT_H */
