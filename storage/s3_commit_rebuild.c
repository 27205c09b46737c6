#include "storage/s3_commit.h"

#include "storage/s3_blob.h"

#include <stdlib.h>


/*
 * One drive's shard of a blob, unit by unit: a stripe of the others, the unit
 * computed from it, written.  The new file takes the place of the old one when
 * it is finished, so that a reader finds one or the other.
 */


struct s3_rebuild_s {
    s3_store_t *store;
    s3_ref_t ref;
    unsigned drive;
    unsigned rank;
    uint64_t stripes;
    uint64_t block;
    unsigned scrub : 1;
    int rc;

    void (*done)(void *ctx, int rc);
    void *ctx;
    s3_stripe_t *stripe;
    s3_blob_req_t blob;
    s3_unit_t unit;
    void *buf; /* of the check */
    size_t buf_size;
};


static void s3_rebuild_check(s3_rebuild_t *rb);
static void s3_rebuild_next(s3_rebuild_t *rb);


static void
s3_rebuild_end(s3_rebuild_t *rb, int rc)
{
    void (*done)(void *ctx, int rc) = rb->done;
    void *ctx = rb->ctx;

    s3_stripe_release(rb->stripe);
    s3_unit_free(rb->store, rb->buf, rb->buf_size);
    s3_store_release(rb->store);
    free(rb);

    done(ctx, rc);
}


static void
s3_rebuild_finished(s3_req_t *req)
{
    s3_rebuild_t *rb = req->ctx;

    if (rb->scrub && rb->rc == S3_OK && req->rc == S3_OK) {
        s3_drive_count(rb->store->conf.drives[rb->drive], repaired);
    }

    s3_rebuild_end(rb, rb->rc != S3_OK ? rb->rc : req->rc);
}


/* The blob is the drive's: it has to be finished or aborted. */

static void
s3_rebuild_fail(s3_rebuild_t *rb, int rc)
{
    s3_drive_t *d;

    d = rb->store->conf.drives[rb->drive];
    rb->rc = rc;
    rb->blob.req.done = s3_rebuild_finished;
    d->ops->blob_abort(d, &rb->blob);
}


static void
s3_rebuild_written(s3_req_t *req)
{
    s3_rebuild_t *rb = req->ctx;

    s3_stripe_release(rb->stripe);
    rb->stripe = NULL;

    if (req->rc != S3_OK) {
        s3_rebuild_fail(rb, req->rc);
        return;
    }

    rb->block++;
    s3_rebuild_next(rb);
}


static void
s3_rebuild_read(s3_stripe_t *stripe)
{
    uint8_t *buf;
    s3_drive_t *d;
    s3_rebuild_t *rb = stripe->ctx;
    s3_blob_unit_t unit;

    if (stripe->rc != S3_OK) {
        s3_rebuild_fail(rb, stripe->rc);
        return;
    }

    memset(&unit, 0, sizeof(unit));
    memcpy(unit.id, rb->ref.id, 16);
    unit.block = (uint32_t) rb->block;
    unit.length = (uint32_t) stripe->unit;
    unit.shard = (uint8_t) rb->rank;
    unit.k = rb->ref.k;
    unit.n = (uint8_t) s3_count(rb->ref.mask);
    unit.last = rb->block + 1 == rb->stripes;

    buf = stripe->items[rb->rank].buf;

    rb->unit.req.done = s3_rebuild_written;
    rb->unit.blob = rb->blob.blob;
    rb->unit.block = unit.block;
    rb->unit.buf = buf;
    rb->unit.len = s3_blob_unit_seal(buf, &unit);

    d = rb->store->conf.drives[rb->drive];
    d->ops->blob_write(d, &rb->unit);
}


static void
s3_rebuild_next(s3_rebuild_t *rb)
{
    s3_drive_t *d;

    if (rb->block == rb->stripes) {
        d = rb->store->conf.drives[rb->drive];
        rb->blob.req.done = s3_rebuild_finished;
        d->ops->blob_finish(d, &rb->blob);
        return;
    }

    rb->stripe = s3_stripe_create(rb->store, &rb->ref, (uint32_t) rb->block,
                                  s3_bit(rb->rank), s3_bit(rb->rank),
                                  s3_rebuild_read, rb);
    if (rb->stripe == NULL) {
        s3_rebuild_fail(rb, S3_ENOMEM);
        return;
    }

    s3_stripe_read(rb->stripe);
}


static void
s3_rebuild_created(s3_req_t *req)
{
    s3_rebuild_t *rb = req->ctx;

    if (req->rc != S3_OK) {
        s3_rebuild_end(rb, req->rc);
        return;
    }

    rb->block = 0;
    s3_rebuild_next(rb);
}


static void
s3_rebuild_create(s3_rebuild_t *rb)
{
    s3_drive_t *d;

    d = rb->store->conf.drives[rb->drive];
    rb->blob.req.done = s3_rebuild_created;
    rb->blob.size = rb->stripes * S3_BLOB_UNIT;
    d->ops->blob_create(d, &rb->blob);
}


static void
s3_rebuild_checked(s3_req_t *req)
{
    int rc;
    size_t payload;
    s3_rebuild_t *rb = req->ctx;

    rc = req->rc;

    if (rc == S3_OK) {
        rc = s3_blob_unit_check(rb->buf, rb->unit.done_len, rb->ref.id,
                                rb->rank, (uint32_t) rb->block, &payload);
    }

    if (rc == S3_OK) {
        rb->block++;
        s3_rebuild_check(rb);

    } else if (rc == S3_ENOENT || rc == S3_ECORRUPT || rc == S3_EIO) {
        if (rc != S3_ENOENT) {
            rb->store->loop->log(rb->store->loop, S3_LOG_WARN,
                                 "drive %u: a blob is damaged (%s), made anew",
                                 rb->drive + 1, s3_strerror(rc));
        }

        /* others come here because it is known to be missing */

        if (rb->scrub) {
            s3_store_damaged(rb->store, s3_bit(rb->drive));
        }

        rb->store->stats.rebuilt++;
        s3_rebuild_create(rb);

    } else {
        s3_rebuild_end(rb, rc);
    }
}


static void
s3_rebuild_check(s3_rebuild_t *rb)
{
    uint64_t off, size;
    s3_drive_t *d;

    if (rb->block == rb->stripes) {
        s3_rebuild_end(rb, S3_OK);
        return;
    }

    size = s3_stripe_size(rb->ref.k);
    off = rb->block * size;

    rb->unit.req.done = s3_rebuild_checked;
    memcpy(rb->unit.id, rb->ref.id, 16);
    rb->unit.block = (uint32_t) rb->block;
    rb->unit.buf = rb->buf;
    rb->unit.len = s3_blob_unit_size(
        s3_stripe_unit(rb->ref.k, s3_min(rb->ref.size - off, size)));

    d = rb->store->conf.drives[rb->drive];
    d->ops->blob_read(d, &rb->unit);
}


int
s3_rebuild_start(s3_store_t *store, const s3_ref_t *ref, unsigned drive,
                 int check, void (*done)(void *ctx, int rc), void *ctx)
{
    int rank;
    uint64_t stripes;
    s3_rebuild_t *rb;

    stripes = s3_ref_stripes(store, ref);
    rank = s3_place_rank(&store->place, ref->slot, ref->mask, drive);

    if (stripes == 0 || rank < 0) {
        /* nothing of it belongs there */
        done(ctx, S3_OK);
        return S3_OK;
    }

    rb = calloc(1, sizeof(s3_rebuild_t));
    if (rb == NULL) {
        return S3_ENOMEM;
    }

    rb->buf_size = S3_BLOB_UNIT;
    rb->buf = s3_unit_alloc(store, rb->buf_size);

    if (rb->buf == NULL) {
        free(rb);
        return S3_ENOMEM;
    }

    store->refs++;
    rb->store = store;
    rb->ref = *ref;
    rb->drive = drive;
    rb->rank = (unsigned) rank;
    rb->stripes = stripes;
    rb->scrub = check == S3_REBUILD_SCRUB;
    rb->done = done;
    rb->ctx = ctx;
    memcpy(rb->blob.id, ref->id, 16);
    rb->blob.again = 1;
    rb->blob.req.ctx = rb;
    rb->blob.req.drive = drive;
    rb->unit.req.ctx = rb;
    rb->unit.req.drive = drive;

    if (check) {
        s3_rebuild_check(rb);

    } else {
        s3_rebuild_create(rb);
    }

    return S3_OK;
}
