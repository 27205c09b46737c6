#include "storage/s3_writer_int.h"

#include "storage/s3_blob.h"

#include <stdlib.h>


/*
 * Stripes, written: filled, coded, sealed, sent to all drives at once.
 */

#define S3_WRITER_LATE 10 /* hedge delays until a drive is left behind */


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


/* Drives that are too late, or known to be out of order. */

static void
s3_writer_leave(s3_writer_impl_t *w, uint32_t waiting, unsigned age)
{
    unsigned d;
    uint32_t late;

    for (late = waiting & w->alive; late; late &= late - 1) {
        d = s3_lowest(late);

        if (age >= S3_WRITER_LATE
            || !s3_drive_readable(w->store->conf.drives[d])) {
            s3_writer_drop(w, d, S3_EUNAVAIL);
        }
    }
}


void
s3_writer_watch(s3_writer_impl_t *w)
{
    if ((w->n_flight || (w->pending & w->alive)) && !w->timer.set && !w->closed
        && !w->finished)
    {
        w->store->loop->set_timer(w->store->loop, &w->timer,
                                  w->store->conf.hedge_ms);
    }
}


void
s3_writer_late(s3_timer_t *timer)
{
    s3_fill_t *fill;
    s3_writer_impl_t *w = timer->ctx;

    for (fill = w->flight; fill; fill = fill->next) {
        if (!fill->written) {
            s3_writer_leave(w, fill->waiting, ++fill->age);
        }
    }

    s3_writer_leave(w, w->pending, ++w->age);

    w->refs++;
    s3_writer_go(w);
    s3_writer_watch(w);

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


/* Parity, headers, checksums. */

static int
s3_writer_seal(s3_writer_impl_t *w, s3_fill_t *fill, const s3_blob_unit_t *head)
{
    int rc;
    unsigned i;
    uint8_t *scratch;

    if (s3_writer_shrink(w, fill, head->length) != S3_OK) {
        return S3_ENOMEM;
    }

    for (i = w->k; i < w->n; i++) {
        fill->bufs[i] = s3_unit_alloc(w->store, fill->size);
        if (fill->bufs[i] == NULL) {
            return S3_ENOMEM;
        }
    }

    scratch = s3_unit_alloc(w->store, S3_BLOB_UNIT);
    if (scratch == NULL) {
        return S3_ENOMEM;
    }

    rc = s3_blob_stripe_seal(w->store->code, fill->bufs, head, scratch);

    s3_unit_free(w->store, scratch, S3_BLOB_UNIT);

    return rc;
}


void
s3_writer_flush(s3_writer_impl_t *w, int last)
{
    int d, rc;
    unsigned i;
    s3_fill_t *fill;
    s3_unit_t *u;
    s3_drive_t *drive;
    s3_blob_unit_t head;

    fill = w->fill;
    w->fill = NULL;

    memset(&head, 0, sizeof(head));
    memcpy(head.id, w->pub.ref.id, 16);
    head.block = w->block++;
    head.length = (uint32_t) s3_stripe_unit(w->k, fill->len);
    head.k = (uint8_t) w->k;
    head.n = (uint8_t) w->n;
    head.last = last != 0;

    rc = s3_writer_seal(w, fill, &head);

    if (rc != S3_OK) {
        s3_writer_fail(w, rc);
        s3_fill_release(fill);
        return;
    }

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

        u = &fill->units[i];
        u->req.done = s3_writer_wrote;
        u->req.ctx = fill;
        u->req.drive = (unsigned) d;
        u->blob = w->reqs[d].blob;
        memcpy(u->id, head.id, 16);
        u->block = head.block;
        u->buf = fill->bufs[i];
        u->len = s3_blob_unit_size(head.length);

        fill->refs++;
        w->refs++;
        drive = w->store->conf.drives[d];
        drive->ops->blob_write(drive, u);
    }

    s3_fill_release(fill);
    s3_writer_watch(w);
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
    uint64_t size, rest;
    s3_drive_t *drive;

    w->created = 1;
    w->pending = w->alive;

    rest = w->expect % s3_stripe_size(w->k);
    size = w->expect / s3_stripe_size(w->k) * S3_BLOB_UNIT;

    if (rest) {
        size += s3_blob_unit_size(s3_stripe_unit(w->k, rest));
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

    w->age = 0;
    s3_writer_watch(w);
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
    return w->created && (w->pending & w->alive) == 0
           && w->n_flight < S3_STRIPES - 1;
}


/*
 * Where the next bytes go: 0, nowhere yet, or the error.  A full stripe is kept
 * until more comes: the last one has to be known.
 */

int
s3_writer_spaces(s3_writer_impl_t *w, s3_space_t *spaces, unsigned max)
{
    size_t at;
    unsigned i, n;

    if (w->fill && w->fill->len == s3_stripe_size(w->k)) {
        if (!s3_writer_room(w)) {
            return 0;
        }

        s3_writer_flush(w, 0);

        if (w->pub.rc != S3_OK) {
            return w->pub.rc;
        }
    }

    if (w->fill == NULL) {
        w->fill = s3_writer_fill(w);

        if (w->fill == NULL) {
            s3_writer_fail(w, S3_ENOMEM);
            return S3_ENOMEM;
        }
    }

    at = (size_t) w->fill->len % S3_BLOB_PAYLOAD;
    i = (unsigned) (w->fill->len / S3_BLOB_PAYLOAD);

    for (n = 0; n < max && i < w->k; n++, i++) {
        spaces[n].data = w->fill->bufs[i] + S3_BLOB_HEADER + at;
        spaces[n].len = S3_BLOB_PAYLOAD - at;
        at = 0;
    }

    return (int) n;
}


/* While it is in the processor's cache, where more is certain to come. */

static void
s3_writer_flush_early(s3_writer_impl_t *w)
{
    uint64_t full;

    full = s3_stripe_size(w->k);

    if (w->fill && w->fill->len == full && (w->block + 1) * full < w->expect
        && s3_writer_room(w))
    {
        w->early = 1;
        s3_writer_flush(w, 0);
    }
}


ssize_t
s3_writer_take(s3_writer_impl_t *w, const uint8_t *data, size_t len)
{
    size_t done, part;
    int n;
    s3_space_t space;

    done = 0;

    while (done < len) {
        n = s3_writer_spaces(w, &space, 1);

        if (n < 0) {
            return n;
        }

        if (n == 0) {
            break;
        }

        part = s3_min(len - done, space.len);

        if (data + done != space.data) {
            memcpy(space.data, data + done, part);
        }

        w->fill->len += part;
        done += part;
    }

    s3_writer_flush_early(w);

    return w->pub.rc != S3_OK ? w->pub.rc : (ssize_t) done;
}
