/*
 * Inside of the writer: s3_writer.c takes bytes and brings them to an end,
 * s3_writer_stripe.c codes and writes stripes.
 */

#ifndef S3_WRITER_INT_H
#define S3_WRITER_INT_H

#include "storage/s3_commit.h"

#pragma GCC visibility push(hidden)


typedef struct s3_writer_impl_s s3_writer_impl_t;
typedef struct s3_fill_s s3_fill_t;


/* A stripe: filled, then written. */

struct s3_fill_s {
    s3_writer_impl_t *w;
    s3_fill_t *next;
    uint64_t len;
    uint32_t block;
    uint32_t waiting; /* drives that have not answered */
    unsigned refs;
    unsigned age;
    unsigned written : 1; /* by all that are alive */
    size_t size;          /* bytes of each unit's memory */
    uint8_t *bufs[S3_MAX_DRIVES];
    s3_unit_t units[S3_MAX_DRIVES]; /* by shard */
};


struct s3_writer_impl_s {
    s3_writer_t pub;
    s3_store_t *store;
    unsigned slot;
    unsigned k;
    unsigned n; /* shards */
    unsigned m0 : 1;
    unsigned always : 1; /* blobs, however small */
    unsigned blobs : 1;  /* begun */
    unsigned created : 1;
    unsigned blocked : 1; /* write() took less than all */
    unsigned finishing : 1;
    unsigned syncing : 1; /* blob_finish is out */
    unsigned finished : 1;
    unsigned closed : 1;
    unsigned listed : 1;
    unsigned cleaned : 1;
    unsigned busy : 1;
    unsigned early : 1; /* a stripe went since more was said to come */
    unsigned pins;
    unsigned refs;

    s3_buf_t *small;
    size_t expect;

    uint32_t alive;
    uint32_t have;    /* drives with a blob that is being written */
    uint32_t durable; /* finished there */
    uint32_t pending; /* create, then finish */
    uint32_t block;
    s3_fill_t *fill;
    s3_fill_t *flight;
    unsigned n_flight;
    unsigned age; /* of what is pending, in hedge delays */
    s3_timer_t timer;
    s3_blob_req_t reqs[S3_MAX_DRIVES];
};


/* Whatever has happened: moves on what can be moved on. */
void s3_writer_go(s3_writer_impl_t *w);

void s3_writer_unref(s3_writer_impl_t *w);
void s3_writer_fail(s3_writer_impl_t *w, int rc);

/* The drive is left out; its blob is taken back when all is over. */
void s3_writer_drop(s3_writer_impl_t *w, unsigned drive, int rc);

/* After the end: what no record lists is taken away. */
void s3_writer_clean(s3_writer_impl_t *w);

static inline unsigned
s3_writer_need(s3_writer_impl_t *w)
{
    return w->m0 ? w->k : w->k + 1;
}


/* Stripes. */

void s3_fill_release(s3_fill_t *fill);
void s3_writer_create(s3_writer_impl_t *w); /* blobs of all drives */
void s3_writer_late(s3_timer_t *timer);
void s3_writer_watch(s3_writer_impl_t *w); /* that no drive keeps it waiting */
void s3_writer_settle_flight(s3_writer_impl_t *w);
int s3_writer_room(s3_writer_impl_t *w); /* for one more in flight */
void s3_writer_flush(s3_writer_impl_t *w, int last);

/* Places of the stripe being filled, at most max, at least one; 0: no room for
 * another stripe yet; or the error. */
int s3_writer_spaces(s3_writer_impl_t *w, s3_space_t *spaces, unsigned max);

/* Bytes taken into the stripe being filled, or the error. */
ssize_t s3_writer_take(s3_writer_impl_t *w, const uint8_t *data, size_t len);

#pragma GCC visibility pop

#endif /* S3_WRITER_INT_H */
