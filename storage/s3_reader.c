#include "storage/s3_commit.h"

#include <stdlib.h>


/*
 * The bytes of an object.  What lies in records comes at once; blobs stripe by
 * stripe, the next one on its way while the caller is busy with this one:
 *
 *   refs   ┌──────── 0 ────────┐┌───── 1 ─────┐┌── 2 ──┐
 *   range        ├─────────────────────┤
 *   runs         ├─┼────┼────┼─┼──┼────┤      one stripe of one ref each
 */


typedef struct {
    s3_stripe_t *stripe;
    uint64_t end; /* of the run, in the object */
    size_t from;  /* in the stripe's data */
    size_t len;
    unsigned done : 1;
    int rc;
} s3_run_t;


typedef struct {
    s3_reader_t pub;
    s3_store_t *store;
    s3_object_t *object;
    uint64_t pos; /* where the next run to be fetched begins */
    uint64_t end;
    unsigned ref;  /* the reference that holds pos */
    uint64_t base; /* where its data begins in the object */

    s3_run_t current;
    s3_run_t ahead;
    s3_gather_t *gather;
    s3_buf_t *data;
    uint32_t noted;
    uint32_t suspect;   /* noted, if the object still is what its key has */
    unsigned asked : 1; /* next() waits */
    unsigned busy : 1;
    unsigned closed : 1;
    unsigned gathering : 1;
    unsigned judging : 1;    /* is it? */
    unsigned superseded : 1; /* it is not */
    unsigned pinned : 1;
    unsigned unsure : 1; /* the data may have been going when it was pinned: */
    unsigned late : 1;   /* it was */
    unsigned refs;
} s3_reader_impl_t;


static void s3_reader_go(s3_reader_impl_t *r);


static void
s3_reader_release(s3_reader_impl_t *r)
{
    if (--r->refs) {
        return;
    }

    s3_stripe_release(r->current.stripe);
    s3_stripe_release(r->ahead.stripe);
    s3_buf_release(r->data);
    s3_object_release(r->object);
    s3_store_release(r->store);
    free(r);
}


/* The id that the data goes by, or NULL: it lies in records. */

static const uint8_t *
s3_reader_id(const s3_reader_impl_t *r)
{
    const s3_object_t *o = r->object;

    return r->store->conf.pins && o->entry.layout == S3_LAYOUT_BLOBS
                   && o->record.refs.len >= S3_REF_SIZE
               ? o->record.refs.data
               : NULL;
}


static void
s3_reader_pin(s3_reader_impl_t *r)
{
    unsigned bits;
    const uint8_t *id = s3_reader_id(r);
    const s3_store_conf_t *conf = &r->store->conf;

    if (id) {
        bits = s3_pin(conf->pins, conf->proc, id, r->object->stamp);
        r->pinned = (bits & S3_PIN_HELD) != 0;
        r->unsure = (bits & S3_PIN_SURE) == 0;
    }
}


s3_reader_t *
s3_reader_open(s3_store_t *store, s3_object_t *object, uint64_t off,
               uint64_t len)
{
    s3_reader_impl_t *r;

    r = s3_zalloc(sizeof(s3_reader_impl_t));
    if (r == NULL) {
        return NULL;
    }

    store->refs++;
    object->refs++;
    r->store = store;
    r->object = object;
    r->refs = 1;
    r->pos = s3_min(off, object->entry.size);
    r->end = r->pos + s3_min(len, object->entry.size - r->pos);
    s3_reader_pin(r);

    return &r->pub;
}


void
s3_reader_close(s3_reader_t *pub)
{
    s3_reader_impl_t *r = s3_container(pub, s3_reader_impl_t, pub);

    r->closed = 1;

    if (r->pinned) {
        s3_unpin(r->store->conf.pins, r->store->conf.proc, s3_reader_id(r));
    }

    s3_reader_release(r);
}


static void
s3_reader_ready(s3_reader_impl_t *r, int rc)
{
    r->asked = 0;
    r->pub.rc = rc;

    if (!r->closed) {
        r->pub.ready(&r->pub);
    }
}


/*
 * Damage is put down for the healer, once for a drive.  But the blobs of what
 * was overwritten or deleted meanwhile are gone because of that.
 */

static void
s3_reader_damaged(s3_reader_impl_t *r)
{
    uint32_t bad = r->suspect;

    r->suspect = 0;
    s3_store_damaged(r->store, bad);
    (void) s3_notes_start(r->store, bad, r->store->all & ~bad,
                          r->object->bucket, r->object->record.key,
                          &r->object->entry.version, NULL, NULL);
}


static void
s3_reader_judged(s3_newest_t *nw)
{
    s3_reader_impl_t *r = nw->ctx;

    r->judging = 0;

    if (nw->rc == S3_ENOENT
        || (nw->rc == S3_OK && nw->confirmed
            && s3_version_cmp(&nw->entry.version, &r->object->entry.version)
                   > 0))
    {
        r->superseded = 1;
        r->late = r->unsure;

    } else if (r->suspect) {
        s3_reader_damaged(r);
    }

    r->unsure = 0;

    if (!r->closed) {
        s3_reader_go(r);
    }

    s3_reader_release(r);
}


/* S3_OK: s3_reader_judged() will be called, or was. */

static int
s3_reader_judge(s3_reader_impl_t *r)
{
    int rc;

    if (r->judging) {
        return S3_OK;
    }

    r->judging = 1;
    r->refs++;

    rc = s3_newest_start(r->store, r->object->bucket, r->object->record.key,
                         S3_NEWEST_PASSIVE, s3_reader_judged, r);

    if (rc != S3_OK) {
        r->judging = 0;
        r->refs--;
    }

    return rc;
}


static void
s3_reader_note(s3_reader_impl_t *r, uint32_t bad)
{
    bad &= ~r->noted;

    if (bad == 0 || r->superseded) {
        return;
    }

    r->noted |= bad;
    r->suspect |= bad;

    if (s3_reader_judge(r) != S3_OK) {
        s3_reader_damaged(r);
    }
}


static void
s3_reader_stripe(s3_stripe_t *stripe)
{
    s3_reader_impl_t *r = stripe->ctx;
    s3_run_t *run;

    run = r->current.stripe == stripe ? &r->current : &r->ahead;
    run->done = 1;
    run->rc = stripe->rc;

    if (!r->closed) {
        if (stripe->bad) {
            s3_reader_note(r, stripe->bad);
        }

        if (!r->closed) {
            s3_reader_go(r);
        }
    }

    s3_reader_release(r);
}


/* Fetches the run at pos. */

static int
s3_reader_fetch(s3_reader_impl_t *r, s3_run_t *run)
{
    size_t unit;
    uint64_t block, in, size, left;
    unsigned first, last;
    s3_ref_t ref;
    s3_str_t refs;

    refs = r->object->record.refs;

    for (;;) {
        if (refs.len < ((size_t) r->ref + 1) * S3_REF_SIZE
            || s3_ref_decode(refs.data + (size_t) r->ref * S3_REF_SIZE, &ref)
                   != S3_OK)
        {
            return S3_ECORRUPT;
        }

        if (r->pos - r->base < ref.size) {
            break;
        }

        r->base += ref.size;
        r->ref++;
    }

    if (s3_ref_stripes(r->store, &ref) == 0) {
        return S3_ECORRUPT;
    }

    size = s3_stripe_size(ref.k);
    in = r->pos - r->base;
    block = in / size;
    left = s3_min(ref.size - block * size, size);
    unit = s3_stripe_unit(ref.k, left);

    memset(run, 0, sizeof(s3_run_t));
    run->from = (size_t) (in - block * size);
    run->len = (size_t) s3_min(left - run->from, r->end - r->pos);
    run->end = r->pos + run->len;

    first = (unsigned) (run->from / unit);
    last = (unsigned) ((run->from + run->len - 1) / unit);

    run->stripe = s3_stripe_create(
        r->store, &ref, (uint32_t) block,
        (uint32_t) ((((uint64_t) 1 << (last - first + 1)) - 1) << first), 0,
        s3_reader_stripe, r);
    if (run->stripe == NULL) {
        return S3_ENOMEM;
    }

    r->pos = run->end;
    r->refs++;
    run->stripe->cached = 1;
    s3_stripe_read(run->stripe);

    return S3_OK;
}


static void
s3_reader_deliver(s3_reader_impl_t *r)
{
    size_t from, len, unit, part;
    unsigned shard;
    s3_run_t *run;

    run = &r->current;
    unit = run->stripe->unit;
    from = run->from;
    len = run->len;
    r->pub.n = 0;

    while (len) {
        shard = (unsigned) (from / unit);
        part = s3_min(len, unit - from % unit);
        r->pub.slices[r->pub.n++] =
            s3_str(s3_stripe_payload(run->stripe, shard) + from % unit, part);
        from += part;
        len -= part;
    }

    s3_reader_ready(r, S3_OK);
}


static void
s3_reader_gathered(s3_gather_t *g)
{
    s3_reader_impl_t *r = g->ctx;

    r->gathering = 0;

    if (!r->closed) {
        if (g->bad) {
            s3_reader_note(r, g->bad);
        }

        if (g->rc == S3_OK && g->data) {
            r->data = s3_buf_ref(g->data);
            s3_reader_go(r);

        } else {
            s3_reader_ready(r,
                            g->rc == S3_ECORRUPT ? S3_ECORRUPT : S3_EUNAVAIL);
        }
    }

    s3_reader_release(r);
}


/* What of the pieces lies from pos to end. */

static void
s3_reader_pieces(s3_reader_impl_t *r)
{
    unsigned i;
    uint64_t base, from, to;
    s3_object_t *o;

    o = r->object;
    base = 0;

    for (i = 0; i < o->n_pieces; i++) {
        from = s3_max(r->pos, base);
        to = s3_min(r->end, base + o->pieces[i].data.len);

        if (from < to) {
            r->pub.slices[r->pub.n++] =
                s3_str(o->pieces[i].data.data + (from - base), to - from);
        }

        base += o->pieces[i].data.len;
    }

    r->pos = r->end;
    s3_reader_ready(r, S3_OK);
}


/* Data that lies in records: one run. */

static void
s3_reader_small(s3_reader_impl_t *r)
{
    const uint8_t *p;
    s3_object_t *o;

    o = r->object;

    if (r->pos == r->end) {
        s3_reader_ready(r, S3_DONE);
        return;
    }

    if (o->n_pieces) {
        s3_reader_pieces(r);
        return;
    }

    if (r->data) {
        p = r->data->data;

    } else if (o->data) {
        p = o->data->data;

    } else if (o->entry.layout == S3_LAYOUT_COPIES
               && o->record.data.len == o->entry.size)
    {
        p = o->record.data.data;

    } else {
        if (r->gathering) {
            return;
        }

        r->gathering = 1;
        r->refs++;

        if (s3_gather_start(r->store, o->bucket, o->record.key, &o->entry,
                            o->entry.voters, NULL, S3_GATHER_DATA,
                            s3_reader_gathered, r)
            != S3_OK)
        {
            r->gathering = 0;
            r->refs--;
            s3_reader_ready(r, S3_ENOMEM);
        }

        return;
    }

    r->pub.slices[0] = s3_str(p + r->pos, (size_t) (r->end - r->pos));
    r->pub.n = 1;
    r->pos = r->end;
    s3_reader_ready(r, S3_OK);
}


static void
s3_reader_go(s3_reader_impl_t *r)
{
    int rc, at_once;

    if (r->busy || !r->asked) {
        return;
    }

    if (r->object->entry.layout != S3_LAYOUT_BLOBS) {
        s3_reader_small(r);
        return;
    }

    if (r->unsure) {
        rc = s3_reader_judge(r);

        if (rc != S3_OK) {
            s3_reader_ready(r, rc);
        }

        return;
    }

    if (r->late) {
        s3_reader_ready(r, S3_EUNAVAIL);
        return;
    }

    r->busy = 1;
    rc = S3_OK;
    at_once = 0;

    if (r->current.stripe == NULL) {
        if (r->pos == r->end) {
            r->busy = 0;
            s3_reader_ready(r, S3_DONE);
            return;
        }

        rc = s3_reader_fetch(r, &r->current);
        at_once = rc == S3_OK && r->current.done;
    }

    /* what came without waiting is sent while it is in the processor's cache */

    if (rc == S3_OK && !at_once && r->ahead.stripe == NULL && r->pos < r->end) {
        /* a failure will be found again when its turn comes */
        (void) s3_reader_fetch(r, &r->ahead);
    }

    r->busy = 0;

    if (rc != S3_OK) {
        s3_reader_ready(r, rc);

    } else if (r->current.done) {
        if (r->current.rc == S3_OK) {
            s3_reader_deliver(r);

        } else if (!r->judging) {
            s3_reader_ready(r, r->superseded ? S3_EUNAVAIL : r->current.rc);
        }
    }
}


void
s3_reader_next(s3_reader_t *pub)
{
    s3_reader_impl_t *r = s3_container(pub, s3_reader_impl_t, pub);

    if (r->asked) {
        return;
    }

    r->refs++;
    r->asked = 1;
    r->pub.n = 0;

    /* what was delivered makes room; an error stays */

    if (r->current.stripe && r->current.done && r->current.rc == S3_OK) {
        s3_stripe_release(r->current.stripe);
        r->current = r->ahead;
        memset(&r->ahead, 0, sizeof(s3_run_t));
    }

    s3_reader_go(r);
    s3_reader_release(r);
}
