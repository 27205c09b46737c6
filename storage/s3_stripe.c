#include "storage/s3_writer_int.h"

#include "storage/s3_blob.h"

#include <stdlib.h>


/*
 * Stripes, read and written.
 *
 * Reading: first the units that are wanted; as soon as one of them fails, or
 * is late, as many others as it takes to compute it.
 * Writing: filled, coded, sealed, sent to all drives at once.
 */

#define S3_WRITER_LATE 10 /* hedge delays until a drive is left behind */


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
    unsigned i, counted;
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

    s3_stripe_finish(stripe, stripe->corrupt ? S3_ECORRUPT : S3_EUNAVAIL);
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


/* Written ones */

void
s3_fill_release(s3_fill_t *fill)
{
    unsigned i;

    if (fill == NULL || --fill->refs) {
        return;
    }

    for (i = 0; i < fill->w->n; i++) {
        s3_unit_free(fill->w->store, fill->bufs[i], fill->size);
    }

    free(fill);
}


/* Stripes in flight */

void
s3_writer_settle_flight(s3_writer_impl_t *w)
{
    s3_fill_t **p, *fill;

    for (p = &w->flight; *p;) {
        fill = *p;

        if (!fill->written && (fill->waiting & w->alive) == 0) {
            fill->written = 1;
            w->n_flight--;
        }

        /* memory and order of requests: until every drive has answered */

        if (fill->waiting == 0) {
            *p = fill->next;
            s3_fill_release(fill);
            continue;
        }

        p = &fill->next;
    }
}


static void
s3_writer_wrote(s3_req_t *req)
{
    s3_fill_t *fill = req->ctx;
    s3_writer_impl_t *w = fill->w;

    fill->waiting &= ~s3_bit(req->drive);

    if (req->rc != S3_OK) {
        s3_writer_drop(w, req->drive, req->rc);
    }

    s3_writer_go(w);
    s3_fill_release(fill);
    s3_writer_unref(w);
}


void
s3_writer_late(s3_timer_t *timer)
{
    unsigned d;
    uint32_t late;
    s3_fill_t *fill;
    s3_writer_impl_t *w = timer->ctx;

    for (fill = w->flight; fill; fill = fill->next) {
        if (fill->written || ++fill->age < S3_WRITER_LATE) {
            continue;
        }

        for (late = fill->waiting & w->alive; late; late &= late - 1) {
            d = s3_lowest(late);
            s3_writer_drop(w, d, S3_EUNAVAIL);
        }
    }

    w->refs++;
    s3_writer_go(w);

    if (w->n_flight && !w->timer.set && !w->closed) {
        w->store->loop->set_timer(w->store->loop, &w->timer,
                                  w->store->conf.hedge_ms);
    }

    s3_writer_unref(w);
}


/* The last stripe lies as if it were whole: its units are cut to what there
 * is, padded with zeros. */

static int
s3_writer_shrink(s3_writer_impl_t *w, s3_fill_t *fill, size_t unit)
{
    size_t size, at, end, part, in;
    unsigned i;
    uint8_t *bufs[S3_MAX_DRIVES];

    size = s3_blob_unit_size(unit);

    if (size == fill->size && unit == S3_BLOB_PAYLOAD) {
        return S3_OK;
    }

    for (i = 0; i < w->k; i++) {
        bufs[i] = s3_unit_alloc(w->store, size);

        if (bufs[i] == NULL) {
            while (i--) {
                s3_unit_free(w->store, bufs[i], size);
            }

            return S3_ENOMEM;
        }
    }

    for (i = 0; i < w->k; i++) {
        at = s3_min((size_t) fill->len, i * unit);
        end = s3_min((size_t) fill->len, at + unit);
        in = S3_BLOB_HEADER;

        while (at < end) {
            part = s3_min(end - at, S3_BLOB_PAYLOAD - at % S3_BLOB_PAYLOAD);
            memcpy(bufs[i] + in,
                   fill->bufs[at / S3_BLOB_PAYLOAD] + S3_BLOB_HEADER
                       + at % S3_BLOB_PAYLOAD,
                   part);
            at += part;
            in += part;
        }

        memset(bufs[i] + in, 0, S3_BLOB_HEADER + unit - in);
    }

    for (i = 0; i < w->k; i++) {
        s3_unit_free(w->store, fill->bufs[i], fill->size);
        fill->bufs[i] = bufs[i];
    }

    fill->size = size;

    return S3_OK;
}


static int
s3_writer_encode(s3_writer_impl_t *w, s3_fill_t *fill, size_t unit)
{
    unsigned i;
    uint8_t *shards[S3_MAX_DRIVES];

    if (s3_writer_shrink(w, fill, unit) != S3_OK) {
        return S3_ENOMEM;
    }

    for (i = 0; i < w->n; i++) {
        if (i >= w->k) {
            fill->bufs[i] = s3_unit_alloc(w->store, fill->size);
            if (fill->bufs[i] == NULL) {
                return S3_ENOMEM;
            }
        }

        shards[i] = fill->bufs[i] + S3_BLOB_HEADER;
    }

    return s3_code_encode(w->store->code, w->k, w->n - w->k, unit, shards);
}


void
s3_writer_flush(s3_writer_impl_t *w, int last)
{
    int d, rc;
    size_t unit;
    unsigned i;
    s3_fill_t *fill;
    s3_unit_t *u;
    s3_drive_t *drive;
    s3_blob_unit_t head;

    fill = w->fill;
    w->fill = NULL;
    unit = s3_stripe_unit(w->k, fill->len);

    rc = s3_writer_encode(w, fill, unit);

    if (rc != S3_OK) {
        s3_writer_fail(w, rc);
        s3_fill_release(fill);
        return;
    }

    memset(&head, 0, sizeof(head));
    memcpy(head.id, w->pub.ref.id, 16);
    head.block = w->block++;
    head.length = (uint32_t) unit;
    head.k = (uint8_t) w->k;
    head.n = (uint8_t) w->n;
    head.last = last != 0;

    fill->block = head.block;
    fill->next = w->flight;
    w->flight = fill;
    w->n_flight++;
    fill->waiting = w->alive;
    fill->refs++;

    for (i = 0; i < w->n; i++) {
        d = s3_place_drive(&w->store->place, w->slot, w->pub.ref.mask, i);

        if (d < 0 || !(fill->waiting & s3_bit(d))) {
            continue;
        }

        head.shard = (uint8_t) i;
        u = &fill->units[i];
        u->req.done = s3_writer_wrote;
        u->req.ctx = fill;
        u->req.drive = (unsigned) d;
        u->blob = w->reqs[d].blob;
        memcpy(u->id, head.id, 16);
        u->block = head.block;
        u->buf = fill->bufs[i];
        u->len = s3_blob_unit_seal(fill->bufs[i], &head);

        fill->refs++;
        w->refs++;
        drive = w->store->conf.drives[d];
        drive->ops->blob_write(drive, u);
    }

    s3_fill_release(fill);

    if (!w->timer.set && w->n_flight) {
        w->store->loop->set_timer(w->store->loop, &w->timer,
                                  w->store->conf.hedge_ms);
    }
}


/* Blobs of all drives, made when it is clear that there will be data. */

static void
s3_writer_created(s3_req_t *req)
{
    s3_writer_impl_t *w = req->ctx;
    s3_blob_req_t *blob = s3_container(req, s3_blob_req_t, req);

    w->pending &= ~s3_bit(req->drive);

    if (req->rc == S3_OK && blob->blob) {
        w->have |= s3_bit(req->drive);

    } else {
        s3_writer_drop(w, req->drive, req->rc);
    }

    s3_writer_go(w);
    s3_writer_unref(w);
}


void
s3_writer_create(s3_writer_impl_t *w)
{
    unsigned d;
    uint32_t left;
    uint64_t size;
    s3_drive_t *drive;

    w->created = 1;
    w->pending = w->alive;
    size = 0;

    if (w->expect) {
        size = (w->expect + s3_stripe_size(w->k) - 1) / s3_stripe_size(w->k)
               * S3_BLOB_UNIT;
    }

    for (left = w->alive; left; left &= left - 1) {
        d = s3_lowest(left);
        w->reqs[d].req.done = s3_writer_created;
        w->reqs[d].req.ctx = w;
        w->reqs[d].req.drive = d;
        memcpy(w->reqs[d].id, w->pub.ref.id, 16);
        w->reqs[d].size = size;
        w->refs++;
        drive = w->store->conf.drives[d];
        drive->ops->blob_create(drive, &w->reqs[d]);
    }
}


static s3_fill_t *
s3_writer_fill(s3_writer_impl_t *w)
{
    unsigned i;
    s3_fill_t *fill;

    fill = calloc(1, sizeof(s3_fill_t));
    if (fill == NULL) {
        return NULL;
    }

    fill->w = w;
    fill->refs = 1;
    fill->size = S3_BLOB_UNIT;

    for (i = 0; i < w->k; i++) {
        fill->bufs[i] = s3_unit_alloc(w->store, fill->size);

        if (fill->bufs[i] == NULL) {
            s3_fill_release(fill);
            return NULL;
        }
    }

    return fill;
}


int
s3_writer_room(s3_writer_impl_t *w)
{
    return w->created && w->pending == 0 && w->n_flight < S3_STRIPES - 1;
}


/* A full stripe is kept until more comes: the last one has to be known. */

ssize_t
s3_writer_take(s3_writer_impl_t *w, const uint8_t *data, size_t len)
{
    size_t done, part, at;
    uint64_t full;

    full = s3_stripe_size(w->k);
    done = 0;

    while (done < len) {
        if (w->fill && w->fill->len == full) {
            if (!s3_writer_room(w)) {
                break;
            }

            s3_writer_flush(w, 0);

            if (w->pub.rc != S3_OK) {
                return w->pub.rc;
            }

            continue;
        }

        if (w->fill == NULL) {
            w->fill = s3_writer_fill(w);

            if (w->fill == NULL) {
                s3_writer_fail(w, S3_ENOMEM);
                return S3_ENOMEM;
            }
        }

        at = (size_t) w->fill->len % S3_BLOB_PAYLOAD;
        part = s3_min(len - done, S3_BLOB_PAYLOAD - at);
        memcpy(w->fill->bufs[w->fill->len / S3_BLOB_PAYLOAD] + S3_BLOB_HEADER
                   + at,
               data + done, part);
        w->fill->len += part;
        done += part;
    }

    return (ssize_t) done;
}
