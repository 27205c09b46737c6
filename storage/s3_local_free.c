/*
 * Freeing of the blobs of a record that has been superseded: those that no
 * later record of the key lists.
 *
 *   its record ──► records that stay ──► pinned? ──no──► removed, one by one
 *                  strike what they list   │yes  ▲
 *                        ▲                 ▼     │ not any more: looks again
 *                        └────────────── held ───┘ (s3_local_tick())
 *
 * What is held is in this process' memory alone: if it dies, or ends, the blobs
 * are listed by nothing, and the scrub removes them (s3_local_leaks.c), as it
 * does where a process dies before the removal.
 */

#include "storage/s3_local_int.h"
#include <stdlib.h>

#define S3_HELD_MS 3600000 /* at most */
#define S3_HELD_MAX 4096   /* of a drive in a process */
#define S3_HELD_IDS 65536  /* that they have together */
#define S3_HELD_LOOK 64    /* so many of them in a tick */


struct s3_freeing_s {
    s3_freeing_t *next;
    s3_local_t *l;
    uint64_t bucket;
    s3_version_t from;
    s3_pick_t pick;

    uint8_t data[16]; /* the id that readers pin */
    uint8_t *ids;     /* 16 bytes each, sorted */
    size_t n;

    s3_entry_t *keep; /* records that stay */
    unsigned n_keep;
    unsigned at;

    s3_blob_req_t blob;
    unsigned removing : 1;
    unsigned again : 1;
    unsigned cleaning : 1;  /* gone already, most likely */
    unsigned announced : 1; /* s3_pins_announce() */
    uint64_t held;          /* since, of loop->mono_ms() */

    void (*done)(void *ctx); /* NULL: called already */
    void *ctx;
    size_t key_len;
    uint8_t key[];
};


static int
s3_freeing_cmp(const void *a, const void *b)
{
    return memcmp(a, b, 16);
}


static void
s3_freeing_free(s3_freeing_t *f)
{
    free(f->ids);
    free(f->keep);
    free(f);
}


static void
s3_freeing_end(s3_freeing_t *f)
{
    void (*done)(void *) = f->done;
    void *ctx = f->ctx;

    f->l->ops--;
    s3_freeing_free(f);

    if (done) {
        done(ctx);
    }
}


static void s3_freeing_remove(s3_freeing_t *f);


static void
s3_freeing_removed(s3_req_t *req)
{
    s3_freeing_t *f = req->ctx;

    if (req->rc == S3_OK) {
        s3_zone_freed(f->l->zd, f->blob.id);
    }

    if (f->removing) {
        f->again = 1; /* inside the call */
        return;
    }

    s3_freeing_remove(f);
}


static void
s3_freeing_remove(s3_freeing_t *f)
{
    do {
        if (f->n == 0) {
            s3_freeing_end(f);
            return;
        }

        f->n--;
        memset(&f->blob, 0, sizeof(f->blob));
        memcpy(f->blob.id, f->ids + f->n * 16, 16);
        f->blob.req.done = s3_freeing_removed;
        f->blob.req.ctx = f;

        f->removing = 1;
        f->again = 0;
        s3_blobs_remove(f->l->blobs, &f->blob);
        f->removing = 0;

    } while (f->again);
}


/* So many at the most, and so long; and none where the drive would be full
 * because of it. */

static int
s3_freeing_may_hold(const s3_freeing_t *f)
{
    const s3_local_t *l = f->l;
    const s3_zdrive_t *d = l->zd;

    if (s3_zone_state(d) == S3_DRIVE_FULL
        || __atomic_load_n(&d->bytes_free, __ATOMIC_RELAXED)
               < 2 * __atomic_load_n(&d->bytes_reserve, __ATOMIC_RELAXED))
    {
        return 0;
    }

    if (f->held) {
        return l->loop->mono_ms(l->loop) < f->held + S3_HELD_MS;
    }

    return l->n_held < S3_HELD_MAX && l->held_ids + f->n <= S3_HELD_IDS;
}


static void
s3_freeing_hold(s3_freeing_t *f)
{
    void (*done)(void *) = f->done;
    s3_local_t *l = f->l;

    if (f->held == 0) {
        f->held = l->loop->mono_ms(l->loop) + 1;
    }

    /* which they are is looked up again */
    free(f->keep);
    f->keep = NULL;

    f->done = NULL;
    f->next = NULL;
    *l->held_last = f;
    l->held_last = &f->next;
    l->n_held++;
    l->held_ids += f->n;
    l->ops--;

    if (done) {
        done(f->ctx);
    }
}


/* Ids that nothing lists. */

static void
s3_freeing_unlisted(s3_freeing_t *f)
{
    s3_pins_t *pins = &f->l->zone->pins;

    if (f->n && !f->announced && !f->cleaning) {
        s3_pins_announce(pins, f->data);
        f->announced = 1;
    }

    if (f->n && s3_pinned(pins, f->data)) {

        if (f->cleaning) {
            s3_freeing_end(f); /* if they are there the scrub finds them */
            return;
        }

        if (s3_freeing_may_hold(f)) {
            s3_freeing_hold(f);
            return;
        }
    }

    s3_freeing_remove(f);
}


static void s3_freeing_next(s3_freeing_t *f, int rc);


static void
s3_freeing_read(s3_pick_t *pick, int rc)
{
    s3_freeing_next(pick->ctx, rc);
}


/* Strikes what a record that stays lists. */

static void
s3_freeing_strike(s3_freeing_t *f, const s3_record_t *r)
{
    size_t i, j, n;
    uint8_t *marks, *p;

    n = r->refs.len / S3_REF_SIZE;
    marks = calloc(1, f->n + 1);

    if (marks == NULL) {
        f->n = 0;
        return;
    }

    for (i = 0; i < n; i++) {
        p = bsearch(r->refs.data + i * S3_REF_SIZE, f->ids, f->n, 16,
                    s3_freeing_cmp);
        if (p) {
            marks[(size_t) (p - f->ids) / 16] = 1;
        }
    }

    for (i = 0, j = 0; i < f->n; i++) {
        if (!marks[i]) {
            memmove(f->ids + j * 16, f->ids + i * 16, 16);
            j++;
        }
    }

    f->n = j;
    free(marks);
}


/* The records that stay, one after another; then the removal. */

static void
s3_freeing_next(s3_freeing_t *f, int rc)
{
    s3_entry_t *e;

    for (;;) {

        if (f->at) {
            if (rc != S3_OK) {
                s3_freeing_end(f); /* not known: nothing is freed */
                return;
            }

            s3_freeing_strike(f, &f->pick.record);
            free(f->pick.buf);
        }

        if (f->at == f->n_keep) {
            s3_freeing_unlisted(f);
            return;
        }

        e = &f->keep[f->at++];
        f->pick.done = s3_freeing_read;
        f->pick.ctx = f;
        rc = s3_pick_start(&f->pick, f->l, e->segment, e->offset, e->length);

        if (rc == S3_AGAIN) {
            return;
        }
    }
}


static void
s3_freeing_known(s3_op_t *op)
{
    int rc = op->rc;
    s3_freeing_t *f = op->req;

    s3_op_free(op);

    if (rc != S3_OK) {
        s3_freeing_end(f);
        return;
    }

    s3_freeing_next(f, S3_OK);
}


static int
s3_freeing_decide(s3_op_t *op)
{
    int rc;
    unsigned i;
    s3_view_t view;
    s3_freeing_t *f = op->req;
    s3_item_state_t *x;

    s3_view_init(&view);
    rc = s3_view_load(&view, op->l->zone, op->l->index, &op->find, 0,
                      op->bucket, op->key);

    free(f->keep);
    f->n_keep = 0;
    f->keep = calloc(view.n + 1, sizeof(*f->keep));

    if (rc == S3_OK && f->keep == NULL) {
        rc = S3_ENOMEM;
    }

    for (i = 0; rc == S3_OK && i < view.n; i++) {
        x = &view.items[i];

        if (s3_version_cmp(&x->e.version, &f->from) < 0) {
            break;
        }

        if (x->e.kind != S3_KIND_OBJECT || x->e.layout != S3_LAYOUT_BLOBS) {
            continue;
        }

        if (!x->durable) {
            rc = s3_op_wait(op, x);
            break;
        }

        f->keep[f->n_keep++] = x->e;
    }

    if (rc <= 0) {
        rc = s3_op_answer(op, rc, S3_ANSWER_NONE);
    }

    s3_view_done(&view);

    return rc;
}


/* Which records of the key stay? */

static void
s3_freeing_look(s3_freeing_t *f)
{
    s3_op_t *op;

    f->at = 0;
    op = s3_op_create(f->l, f->bucket, s3_str(f->key, f->key_len),
                      s3_freeing_decide, s3_freeing_known, f);
    if (op == NULL) {
        s3_freeing_end(f);
        return;
    }

    s3_op_run(op);
}


static void
s3_freeing_old(s3_pick_t *pick, int rc)
{
    size_t i, n;
    s3_ref_t ref;
    s3_freeing_t *f = pick->ctx;
    s3_local_t *l = f->l;

    if (rc != S3_OK) {
        s3_freeing_end(f);
        return;
    }

    n = pick->record.refs.len / S3_REF_SIZE;
    f->ids = malloc(n * 16 + 1);

    for (i = 0; f->ids && i < n; i++) {
        if (s3_ref_decode(pick->record.refs.data + i * S3_REF_SIZE, &ref)
                == S3_OK
            && ref.mask & 1u << l->index)
        {
            memcpy(f->ids + f->n++ * 16, ref.id, 16);
        }
    }

    if (n) {
        memcpy(f->data, pick->record.refs.data, 16);
    }

    free(pick->buf);

    if (f->n == 0) {
        s3_freeing_end(f);
        return;
    }

    qsort(f->ids, f->n, 16, s3_freeing_cmp);
    s3_freeing_look(f);
}


void
s3_local_free_blobs(s3_local_t *l, uint64_t bucket, s3_str_t key,
                    const s3_version_t *from, const s3_entry_t *old,
                    int cleaning, void (*done)(void *ctx), void *ctx)
{
    int rc;
    s3_freeing_t *f;

    f = calloc(1, sizeof(*f) + key.len);
    if (f == NULL) {
        done(ctx);
        return;
    }

    f->l = l;
    f->bucket = bucket;
    f->key_len = key.len;
    memcpy(f->key, key.data, key.len);
    f->from = *from;
    f->cleaning = cleaning != 0;
    f->done = done;
    f->ctx = ctx;
    f->pick.done = s3_freeing_old;
    f->pick.ctx = f;
    l->ops++;

    rc = s3_pick_start(&f->pick, l, old->segment, old->offset, old->length);

    if (rc != S3_AGAIN) {
        s3_freeing_old(&f->pick, rc);
    }
}


static s3_freeing_t *
s3_held_pop(s3_local_t *l)
{
    s3_freeing_t *f = l->held;

    l->held = f->next;

    if (l->held == NULL) {
        l->held_last = &l->held;
    }

    l->n_held--;
    l->held_ids -= f->n;
    l->ops++;

    return f;
}


/* Those that have waited longest for a look; who has to wait on is the last. */

void
s3_local_held(s3_local_t *l)
{
    unsigned i, n;
    s3_freeing_t *f;

    if (l->held == NULL || s3_local_may_write(l, 1) != S3_OK) {
        return;
    }

    n = s3_min(l->n_held, S3_HELD_LOOK);

    for (i = 0; i < n; i++) {
        f = s3_held_pop(l);

        if (s3_pinned(&l->zone->pins, f->data) && s3_freeing_may_hold(f)) {
            s3_freeing_hold(f);

        } else {
            s3_freeing_look(f);
        }
    }
}


void
s3_local_held_free(s3_local_t *l)
{
    s3_freeing_t *f;

    while (l->held) {
        f = s3_held_pop(l);
        l->ops--;
        s3_freeing_free(f);
    }
}
