#include "storage/s3_writer_int.h"

#include <stdlib.h>


/*
 * Bytes in, shards out.
 *
 *   write() ──► small buffer ──(more than fits in a record)──► stripe in fill
 *                                                                  │ full
 *            a drive that fails is left out as long as             ▼
 *            k + 1 are left (without parity: none)      encode, seal, blob_write
 *                                                       at most S3_STRIPES - 1
 *
 * The reference's mask is that of the start, whatever fails later: shard
 * numbers come from it.
 */


void
s3_writer_unref(s3_writer_impl_t *w)
{
    if (--w->refs) {
        return;
    }

    if (w->timer.set) {
        w->store->loop->del_timer(w->store->loop, &w->timer);
    }

    s3_buf_release(w->small);
    s3_store_release(w->store);
    free(w);
}


void
s3_writer_fail(s3_writer_impl_t *w, int rc)
{
    if (w->pub.rc == S3_OK) {
        w->pub.rc = rc;
    }
}


/* The drive is left out; its blob is taken back when all is over. */

void
s3_writer_drop(s3_writer_impl_t *w, unsigned drive, int rc)
{
    if (!(w->alive & s3_bit(drive))) {
        return;
    }

    w->alive &= ~s3_bit(drive);

    if (s3_count(w->alive) < s3_writer_need(w)) {
        s3_writer_fail(w, rc == S3_ENOSPC ? S3_ENOSPC : S3_EUNAVAIL);
    }
}


/* After the end: what no record lists is taken away. */

static void
s3_writer_cleaned(s3_req_t *req)
{
    s3_writer_unref(req->ctx);
}


void
s3_writer_clean(s3_writer_impl_t *w)
{
    unsigned d;
    uint32_t left;
    s3_drive_t *drive;
    s3_blob_req_t *req;

    if (!w->closed || w->pins || w->cleaned || w->pending || w->flight) {
        return;
    }

    w->cleaned = 1;
    w->refs++;

    for (left = w->have | w->durable; left; left &= left - 1) {
        d = s3_lowest(left);

        /* that of a drive that was late is whole as well, or was repaired
         * meanwhile: the same file */
        if ((w->durable & s3_bit(d)) && w->listed) {
            continue;
        }

        /* nothing else uses it any more, and no memory is asked for */
        req = &w->reqs[d];
        req->req.done = s3_writer_cleaned;
        w->refs++;
        drive = w->store->conf.drives[d];

        if (w->durable & s3_bit(d)) {
            drive->ops->blob_remove(drive, req);

        } else {
            drive->ops->blob_abort(drive, req);
        }
    }

    s3_writer_unref(w);
}


static void
s3_writer_begin(s3_writer_impl_t *w, unsigned storage_class)
{
    unsigned m, up;
    s3_ref_t *ref;

    m = s3_store_parity(w->store, storage_class);
    w->m0 = m == 0;
    ref = &w->pub.ref;
    ref->mask = s3_store_voters(w->store, 0);
    ref->slot = (uint16_t) w->slot;
    w->store->loop->random(w->store->loop, ref->id, sizeof(ref->id));

    up = s3_count(ref->mask);

    if (m == 0) {
        w->k = w->store->n;

    } else {
        w->k = up ? s3_min(w->store->n - m, up - 1) : 0;
    }

    w->n = up;
    ref->k = (uint8_t) w->k;
    w->alive = ref->mask;

    if (w->k == 0 || up < s3_writer_need(w) || up < w->store->w) {
        s3_writer_fail(w, s3_store_too_few(w->store));
    }
}


s3_writer_t *
s3_writer_open(s3_store_t *store, uint64_t bucket, s3_str_t key,
               unsigned storage_class, int64_t size, unsigned flags)
{
    size_t cap;
    s3_writer_impl_t *w;

    w = calloc(1, sizeof(s3_writer_impl_t));
    if (w == NULL) {
        return NULL;
    }

    store->refs++;
    w->store = store;
    w->refs = 1;
    w->slot = s3_place_slot(&store->place, bucket, key);
    w->always = (flags & S3_WRITER_BLOB) || size > S3_INLINE_MAX;
    w->expect = size > 0 ? (size_t) size : 0;
    w->timer.handler = s3_writer_late;
    w->timer.ctx = w;
    w->pub.layout = S3_LAYOUT_NONE;

    s3_writer_begin(w, storage_class);

    cap = size > 0 && size <= S3_INLINE_MAX ? (size_t) size : 4096;

    if (!w->always) {
        w->small = s3_buf_create(cap);
        if (w->small == NULL) {
            s3_writer_unref(w);
            return NULL;
        }
    }

    return &w->pub;
}


/* Small data; 0: it has become too much for a record. */

static int
s3_writer_keep(s3_writer_impl_t *w, const uint8_t *data, size_t len)
{
    size_t cap;
    s3_buf_t *buf;

    if (w->small->len + len > S3_INLINE_MAX) {
        return 0;
    }

    if (w->small->len + len > w->small->cap - S3_BUF_SPARE) {
        cap = s3_max(w->small->len + len, 2 * w->small->cap);
        cap = s3_min(cap, (size_t) S3_INLINE_MAX);

        buf = s3_buf_create(cap);
        if (buf == NULL) {
            s3_writer_fail(w, S3_ENOMEM);
            return S3_ENOMEM;
        }

        memcpy(buf->data, w->small->data, w->small->len);
        buf->len = w->small->len;
        s3_buf_release(w->small);
        w->small = buf;
    }

    memcpy(w->small->data + w->small->len, data, len);
    w->small->len += len;

    return 1;
}


static void
s3_writer_begin_blobs(s3_writer_impl_t *w)
{
    if (!w->blobs) {
        w->blobs = 1;
        s3_writer_create(w);
    }
}


ssize_t
s3_writer_write(s3_writer_t *pub, const uint8_t *data, size_t len)
{
    int rc;
    ssize_t n;
    s3_writer_impl_t *w = s3_container(pub, s3_writer_impl_t, pub);

    if (pub->rc != S3_OK) {
        return pub->rc;
    }

    if (w->finishing) {
        return S3_EINVAL;
    }

    if (len == 0) {
        return 0;
    }

    if (w->small && !w->blobs) {
        rc = s3_writer_keep(w, data, len);

        if (rc != 0) {
            pub->size += rc > 0 ? len : 0;
            return rc > 0 ? (ssize_t) len : rc;
        }
    }

    w->refs++;
    w->busy = 1;

    s3_writer_begin_blobs(w);

    if (w->small && pub->rc == S3_OK) {
        /* never more than a stripe and a bit: takes all of it, or the rest
         * stays where it is */

        n = s3_writer_take(w, w->small->data, w->small->len);

        if (n >= 0 && (size_t) n < w->small->len) {
            memmove(w->small->data, w->small->data + n,
                    w->small->len - (size_t) n);
            w->small->len -= (size_t) n;

        } else {
            s3_buf_release(w->small);
            w->small = NULL;
        }
    }

    n = pub->rc;

    if (n == S3_OK && w->small == NULL) {
        n = s3_writer_take(w, data, len);
    }

    if (n >= 0) {
        pub->size += (size_t) n;
        w->blocked = (size_t) n < len;
    }

    w->busy = 0;
    s3_writer_unref(w);

    return n;
}


int
s3_writer_space(s3_writer_t *pub, s3_space_t *spaces, unsigned max)
{
    int n;
    s3_writer_impl_t *w = s3_container(pub, s3_writer_impl_t, pub);

    if (pub->rc != S3_OK) {
        return pub->rc;
    }

    if (w->finishing || w->small) {
        return S3_EINVAL;
    }

    w->refs++;
    w->busy = 1;

    s3_writer_begin_blobs(w);

    n = pub->rc != S3_OK ? pub->rc : s3_writer_spaces(w, spaces, max);
    w->blocked = n == 0;

    w->busy = 0;
    s3_writer_unref(w);

    return n;
}


/* Everything written: make it durable. */

static void
s3_writer_synced(s3_req_t *req)
{
    s3_writer_impl_t *w = req->ctx;

    w->pending &= ~s3_bit(req->drive);
    w->have &= ~s3_bit(req->drive);

    if (req->rc == S3_OK) {
        w->durable |= s3_bit(req->drive);

    } else {
        s3_writer_drop(w, req->drive, req->rc);
    }

    s3_writer_go(w);
    s3_writer_unref(w);
}


static void
s3_writer_sync(s3_writer_impl_t *w)
{
    unsigned d;
    uint32_t left;
    s3_drive_t *drive;

    w->syncing = 1;
    w->pending |= w->alive;

    for (left = w->alive; left; left &= left - 1) {
        d = s3_lowest(left);
        w->reqs[d].req.done = s3_writer_synced;
        w->refs++;
        drive = w->store->conf.drives[d];
        drive->ops->blob_finish(drive, &w->reqs[d]);
    }

    w->age = 0;
    s3_writer_watch(w);
}


static void
s3_writer_end(s3_writer_impl_t *w)
{
    w->finished = 1;

    if (w->timer.set) {
        w->store->loop->del_timer(w->store->loop, &w->timer);
    }

    if (w->pub.rc == S3_OK) {
        w->pub.ref.size = w->pub.size;

        if (w->pub.size == 0) {
            w->pub.layout = S3_LAYOUT_NONE;

        } else if (w->blobs) {
            w->pub.layout = S3_LAYOUT_BLOBS;

        } else {
            w->pub.layout = !w->m0 && w->pub.size <= S3_COPIES_MAX
                                ? S3_LAYOUT_COPIES
                                : S3_LAYOUT_INLINE;

            /* shards are cut in place: what lies behind must be zero */

            memset(w->small->data + w->small->len, 0,
                   w->small->cap - w->small->len);
        }
    }

    if (!w->closed && w->pub.finished) {
        w->pub.finished(&w->pub);
    }
}


/* Moves the end on: flushes, syncs, ends. */

static void
s3_writer_finishing(s3_writer_impl_t *w)
{
    if (w->pub.rc != S3_OK || !w->blobs) {
        s3_writer_end(w);
        return;
    }

    if (w->pending & w->alive) {
        return;
    }

    if (!w->syncing) {
        if (w->small && w->small->len) {
            ssize_t n;

            n = s3_writer_take(w, w->small->data, w->small->len);

            if (n >= 0 && (size_t) n < w->small->len) {
                memmove(w->small->data, w->small->data + n,
                        w->small->len - (size_t) n);
                w->small->len -= (size_t) n;
                return;
            }

            w->small->len = 0;
        }

        if (w->early && w->pub.size != w->expect) {
            s3_writer_fail(w, S3_EINVAL);
            s3_writer_end(w);
            return;
        }

        if (w->fill) {
            if (!s3_writer_room(w)) {
                return;
            }

            s3_writer_flush(w, 1);
            s3_writer_settle_flight(w);
        }

        if (w->pub.rc == S3_OK) {
            if (w->n_flight) {
                return;
            }

            s3_writer_sync(w);
        }
    }

    if (w->pub.rc != S3_OK || (w->pending & w->alive) == 0) {
        s3_writer_end(w);
    }
}


void
s3_writer_go(s3_writer_impl_t *w)
{
    s3_writer_settle_flight(w);

    if (w->busy) {
        return;
    }

    if (w->closed) {
        s3_writer_clean(w);
        return;
    }

    w->busy = 1;
    w->refs++;

    if (w->finishing) {
        if (!w->finished) {
            s3_writer_finishing(w);
        }

    } else if (w->blocked && (w->pub.rc != S3_OK || s3_writer_room(w))) {
        w->blocked = 0;
        w->busy = 0;

        if (w->pub.writable) {
            w->pub.writable(&w->pub);
        }
    }

    w->busy = 0;

    if (w->closed) {
        s3_writer_clean(w);
    }

    s3_writer_unref(w);
}


void
s3_writer_finish(s3_writer_t *pub)
{
    s3_writer_impl_t *w = s3_container(pub, s3_writer_impl_t, pub);

    if (w->finishing) {
        return;
    }

    w->finishing = 1;
    s3_writer_go(w);
}


void
s3_writer_close(s3_writer_t *pub)
{
    s3_writer_impl_t *w = s3_container(pub, s3_writer_impl_t, pub);

    if (w->closed) {
        return;
    }

    w->closed = 1;

    if (w->timer.set) {
        w->store->loop->del_timer(w->store->loop, &w->timer);
    }

    s3_fill_release(w->fill);
    w->fill = NULL;

    if (!w->busy) {
        s3_writer_clean(w);
    }

    s3_writer_unref(w);
}


void
s3_writer_result(s3_writer_t *pub, s3_writer_result_t *result)
{
    s3_writer_impl_t *w = s3_container(pub, s3_writer_impl_t, pub);

    result->data = w->small;
    result->alive = w->alive;
    result->m0 = w->m0;
}


void
s3_writer_pin(s3_writer_t *pub)
{
    s3_writer_impl_t *w = s3_container(pub, s3_writer_impl_t, pub);

    w->pins++;
    w->refs++;
}


void
s3_writer_unpin(s3_writer_t *pub, int listed)
{
    s3_writer_impl_t *w = s3_container(pub, s3_writer_impl_t, pub);

    w->pins--;
    w->listed |= listed != 0;
    s3_writer_clean(w);
    s3_writer_unref(w);
}
