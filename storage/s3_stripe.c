#include "storage/s3_commit.h"

#include "storage/s3_blob.h"

#include <stdlib.h>


/*
 * Stripes, read: first the units that are wanted; as soon as one of them fails,
 * or is late, as many others as it takes to compute it.
 */

static void s3_stripe_go(s3_stripe_t *stripe);


uint64_t
s3_ref_stripes(const s3_store_t *store, const s3_ref_t *ref)
{
    unsigned n;
    uint64_t size, stripes;

    n = s3_count(ref->mask);

    if (ref->size == 0 || ref->k == 0 || n < ref->k || (ref->mask & ~store->all)
        || ref->slot >= S3_SLOTS)
    {
        return 0;
    }

    size = s3_stripe_size(ref->k);
    stripes = ref->size / size + (ref->size % size != 0);

    return stripes <= UINT32_MAX ? stripes : 0;
}


void
s3_stripe_release(s3_stripe_t *stripe)
{
    unsigned i;

    if (stripe == NULL || --stripe->refs) {
        return;
    }

    for (i = 0; i < stripe->n; i++) {
        s3_unit_free(stripe->store, stripe->items[i].buf,
                     s3_blob_unit_size(stripe->unit));
    }

    s3_store_release(stripe->store);
    free(stripe);
}


static void
s3_stripe_finish(s3_stripe_t *stripe, int rc)
{
    stripe->finished = 1;
    stripe->rc = rc;

    if (stripe->timer.set) {
        stripe->store->loop->del_timer(stripe->store->loop, &stripe->timer);
    }

    stripe->done(stripe);
}


static uint8_t *
s3_stripe_buf(s3_stripe_t *stripe, unsigned shard)
{
    s3_stripe_item_t *item;

    item = &stripe->items[shard];

    if (item->buf == NULL) {
        item->buf =
            s3_unit_alloc(stripe->store, s3_blob_unit_size(stripe->unit));
    }

    return item->buf;
}


static void
s3_stripe_decode(s3_stripe_t *stripe)
{
    int rc;
    unsigned i;
    uint8_t *shards[S3_CODE_MAX];
    uint32_t lack;

    lack = stripe->want & ~stripe->have;

    for (i = 0; i < stripe->n; i++) {
        shards[i] = NULL;

        if (((stripe->have | lack) & s3_bit(i)) == 0) {
            continue;
        }

        /* a late answer may still write to the item's own buffer */

        if ((lack & s3_bit(i)) && (stripe->pending & s3_bit(i))) {
            shards[i] =
                s3_unit_alloc(stripe->store, s3_blob_unit_size(stripe->unit));

        } else {
            shards[i] = s3_stripe_buf(stripe, i);
        }

        if (shards[i] == NULL) {
            s3_stripe_finish(stripe, S3_ENOMEM);
            return;
        }

        shards[i] += S3_BLOB_HEADER;
    }

    rc = s3_code_rebuild(stripe->store->code, stripe->ref.k,
                         stripe->n - stripe->ref.k, stripe->unit, shards,
                         stripe->have, lack);

    for (i = 0; i < stripe->n; i++) {
        if ((lack & s3_bit(i)) && (stripe->pending & s3_bit(i))) {
            stripe->items[i].late = stripe->items[i].buf;
            stripe->items[i].buf = shards[i] - S3_BLOB_HEADER;
        }
    }

    if (rc == S3_OK) {
        stripe->have |= lack;
    }

    s3_stripe_finish(stripe, rc);
}


static void
s3_stripe_answer(s3_req_t *req)
{
    size_t payload;
    unsigned i;
    s3_unit_t *unit = s3_container(req, s3_unit_t, req);
    s3_stripe_item_t *item = s3_container(unit, s3_stripe_item_t, unit);
    s3_stripe_t *stripe = req->ctx;

    i = (unsigned) (item - stripe->items);
    stripe->pending &= ~s3_bit(i);

    if (item->late) {
        s3_unit_free(stripe->store, item->late,
                     s3_blob_unit_size(stripe->unit));
        item->late = NULL;
    }

    if (!stripe->finished) {
        if (req->rc == S3_OK
            && s3_blob_unit_check(unit->buf, unit->done_len, unit->id, i,
                                  unit->block, &payload)
                   == S3_OK
            && payload == stripe->unit)
        {
            stripe->have |= s3_bit(i);

        } else if (req->rc == S3_OK || req->rc == S3_ENOENT
                   || req->rc == S3_ECORRUPT) {
            stripe->bad |= s3_bit(req->drive);
            stripe->corrupt = 1;
        }

        s3_stripe_go(stripe);
    }

    s3_stripe_release(stripe);
}


/* 0: the drive is not there. */

static int
s3_stripe_ask(s3_stripe_t *stripe, unsigned shard)
{
    int d;
    s3_drive_t *drive;
    s3_store_t *store;
    s3_stripe_item_t *item;

    store = stripe->store;
    stripe->asked |= s3_bit(shard);

    d = s3_place_drive(&store->place, stripe->ref.slot, stripe->ref.mask,
                       shard);

    if (d < 0 || !s3_drive_readable(store->conf.drives[d])
        || s3_stripe_buf(stripe, shard) == NULL)
    {
        return 0;
    }

    item = &stripe->items[shard];
    item->unit.req.done = s3_stripe_answer;
    item->unit.req.ctx = stripe;
    item->unit.req.drive = (unsigned) d;
    memcpy(item->unit.id, stripe->ref.id, 16);
    item->unit.block = stripe->block;
    item->unit.buf = item->buf;
    item->unit.len = s3_blob_unit_size(stripe->unit);
    item->unit.cached = stripe->cached;

    stripe->pending |= s3_bit(shard);
    stripe->refs++;

    drive = store->conf.drives[d];
    drive->ops->blob_read(drive, &item->unit);

    return 1;
}


static void
s3_stripe_timeout(s3_timer_t *timer)
{
    s3_stripe_t *stripe = timer->ctx;

    stripe->hedged = 1;
    stripe->refs++;
    s3_stripe_go(stripe);
    s3_stripe_release(stripe);
}


static void
s3_stripe_go(s3_stripe_t *stripe)
{
    unsigned i, counted, lost;
    uint32_t open, all;

    if (stripe->starting || stripe->finished) {
        return;
    }

    all = stripe->n == 32 ? UINT32_MAX : s3_bit(stripe->n) - 1;

    for (;;) {
        if ((stripe->want & ~stripe->have) == 0) {
            s3_stripe_finish(stripe, S3_OK);
            return;
        }

        if (s3_count(stripe->have) >= stripe->ref.k
            && (stripe->hedged
                || (stripe->want & stripe->pending & ~stripe->have) == 0))
        {
            s3_stripe_decode(stripe);
            return;
        }

        /* all wanted ones on their way and nothing late: wait for them */

        if (stripe->pending && !stripe->hedged
            && (stripe->want & ~(stripe->have | stripe->pending)) == 0)
        {
            break;
        }

        counted = s3_count(stripe->have)
                  + (stripe->hedged ? 0 : s3_count(stripe->pending));

        open = all & ~(stripe->asked | stripe->exclude);

        if (counted >= stripe->ref.k || open == 0) {
            break;
        }

        stripe->starting = 1;

        for (i = s3_lowest(open); i < stripe->n; i++) {
            if (!(open & s3_bit(i))) {
                continue;
            }

            if (s3_stripe_ask(stripe, i) && !stripe->hedged) {
                break;
            }
        }

        stripe->starting = 0;
    }

    if (stripe->pending) {
        if (!stripe->hedged && !stripe->timer.set) {
            stripe->store->loop->set_timer(stripe->store->loop, &stripe->timer,
                                           stripe->store->conf.hedge_ms);
        }

        return;
    }

    /* lost only where those that are away could not help either */
    lost = s3_count(stripe->bad) + s3_count(stripe->exclude);
    s3_stripe_finish(stripe, stripe->corrupt && lost + stripe->ref.k > stripe->n
                                 ? S3_ECORRUPT
                                 : S3_EUNAVAIL);
}


s3_stripe_t *
s3_stripe_create(s3_store_t *store, const s3_ref_t *ref, uint32_t block,
                 uint32_t want, uint32_t exclude,
                 void (*done)(s3_stripe_t *stripe), void *ctx)
{
    unsigned n;
    uint64_t off;
    s3_stripe_t *stripe;

    if (block >= s3_ref_stripes(store, ref)) {
        return NULL;
    }

    n = s3_count(ref->mask);

    stripe = calloc(1, sizeof(s3_stripe_t) + n * sizeof(s3_stripe_item_t));
    if (stripe == NULL) {
        return NULL;
    }

    off = block * s3_stripe_size(ref->k);

    store->refs++;
    stripe->store = store;
    stripe->ref = *ref;
    stripe->block = block;
    stripe->n = n;
    stripe->unit =
        s3_stripe_unit(ref->k, s3_min(ref->size - off, s3_stripe_size(ref->k)));
    stripe->want = want;
    stripe->exclude = exclude;
    stripe->done = done;
    stripe->ctx = ctx;
    stripe->refs = 1;
    stripe->timer.handler = s3_stripe_timeout;
    stripe->timer.ctx = stripe;

    return stripe;
}


void
s3_stripe_read(s3_stripe_t *stripe)
{
    unsigned i;

    stripe->refs++;
    stripe->starting = 1;

    for (i = 0; i < stripe->n; i++) {
        if (stripe->want & ~stripe->exclude & s3_bit(i)) {
            (void) s3_stripe_ask(stripe, i);
        }
    }

    stripe->starting = 0;
    s3_stripe_go(stripe);
    s3_stripe_release(stripe);
}
