/*
 * What follows a CONFIRM that is durable (s3_local_confirm.c): the older
 * entries of the key count as dropped, and blobs that nobody lists any more are
 * removed.
 */

#include "storage/s3_local_int.h"
#include <stdlib.h>

#define S3_DROP_JOBS 8


typedef struct {
    s3_local_t *l;
    uint64_t bucket;
    s3_str_t key;
    s3_version_t from;
    s3_pick_t pick;

    uint8_t *ids; /* 16 bytes each, sorted */
    size_t n;

    s3_entry_t *keep; /* records that stay */
    unsigned n_keep;
    unsigned at;

    s3_blob_req_t blob;
    unsigned removing : 1;
    unsigned again : 1;

    void (*done)(void *ctx);
    void *ctx;
} s3_freeing_t;


/* Looked after at the end of the turn: not from inside a decision, whose writes
 * come first, and all of a batch together. */

void
s3_confirm_drop(s3_local_t *l, s3_confirm_t *c)
{
    c->next = NULL;
    *l->drops_last = c;
    l->drops_last = &c->next;
    l->n_drops++;
    l->n_known += c->node != NULL;

    l->loop->defer(l->loop, &l->confirm_defer);
}


void
s3_local_queue_drop(s3_local_t *l, uint64_t bucket, s3_str_t key,
                    const s3_version_t *v)
{
    s3_confirm_t *c;

    c = s3_confirm_create(l, bucket, key, v);

    if (c) {
        s3_confirm_drop(l, c);
    }
}


/* The CONFIRM of v is durable: its nodes may be relied on. */

static void
s3_confirm_sure(s3_local_t *l, uint64_t bucket, s3_str_t key,
                const s3_version_t *v, uint64_t generation)
{
    unsigned i, n, arenas[S3_ZONE_ARENAS];
    s3_entry_t e;
    s3_memnode_t *node;
    s3_memtable_t *tables[S3_ZONE_ARENAS];

    n = s3_index_memtables(l->zone, l->index, generation, tables, arenas);

    for (i = 0; i < n; i++) {
        node = s3_memtable_seek(tables[i], bucket, key);

        while (node && node->bucket == bucket
               && s3_str_eq(s3_memnode_key(node), key)) {
            if (s3_memnode_entry(node, &e) == S3_OK && s3_entry_is_record(&e)
                && s3_version_cmp(&e.version, v) == 0
                && e.flags & S3_F_CONFIRMED)
            {
                s3_memnode_flag(node, S3_MEM_SURE);
            }

            node = s3_memtable_next(tables[i], node);
        }
    }
}


void
s3_local_drop_free(s3_local_t *l)
{
    s3_confirm_t *c;

    while (l->drops) {
        c = l->drops;
        l->drops = c->next;
        free(c);
    }
}


/* Drops. */

static void
s3_drop_end(void *ctx)
{
    s3_confirm_t *c = ctx;
    s3_local_t *l = c->l;

    free(c);
    l->dropping--;
    s3_local_next_drop(l);
}


static void
s3_drop_finish(s3_op_t *op)
{
    s3_confirm_t *c = op->req;
    s3_local_t *l = op->l;
    s3_entry_t old = op->cause;
    s3_version_t v = op->version;
    int blobs = op->aux && op->rc == S3_OK;

    s3_op_free(op);

    if (blobs) {
        s3_local_free_blobs(l, c->bucket, s3_str(c->key, c->key_len), &v, &old,
                            s3_drop_end, c);
        return;
    }

    s3_drop_end(c);
}


/* The entries from below v to the one that was confirmed before it. */

static void
s3_drop_older(s3_op_t *op, s3_view_t *view, unsigned i)
{
    int keep;
    s3_zseg_t *seg;
    s3_item_state_t *x;
    s3_local_t *l = op->l;

    keep = view->items[i].e.flags & S3_F_KEEP;

    for (i++; i < view->n; i++) {
        x = &view->items[i];

        if (!x->durable) {
            continue;
        }

        seg = s3_zone_segment(l->zone, l->index, x->e.segment);

        if (seg) {
            seg->live -= s3_min((int64_t) x->e.length, seg->live);
        }

        if (!s3_entry_is_record(&x->e)) {
            continue;
        }

        if (x->e.flags & S3_F_CONFIRMED) {

            if (!keep && x->e.kind == S3_KIND_OBJECT
                && x->e.layout == S3_LAYOUT_BLOBS) {
                op->cause = x->e;
                op->aux = 1;
            }

            return;
        }

        keep |= x->e.flags & S3_F_KEEP;
    }
}


static int
s3_drop_decide(s3_op_t *op)
{
    int rc;
    s3_view_t view;
    s3_item_state_t *x;

    s3_confirm_sure(op->l, op->bucket, op->key, &op->version,
                    op->find.set->generation);

    s3_view_init(&view);
    rc = s3_view_load_to(&view, op->l->zone, op->l->index, &op->find, 0,
                         op->bucket, op->key, &op->version);

    x = rc == S3_OK ? s3_view_version(&view, &op->version) : NULL;

    if (x && x->pending && !x->durable) {
        rc = s3_op_wait(op, x);

    } else {
        if (x && x->durable && s3_entry_is_record(&x->e)
            && (x->e.flags & S3_F_CONFIRMED || s3_break(DROP_EARLY)))
        {
            s3_drop_older(op, &view, (unsigned) (x - view.items));
        }

        rc = s3_op_answer(op, rc, S3_ANSWER_NONE);
    }

    s3_view_done(&view);

    return rc;
}


/* Where all that has to be dropped was known when v was voted for, and nothing
 * was put next to v since; 0: it has to be looked for.  Under the lock. */

static int
s3_drop_known(s3_local_t *l, const s3_confirm_t *c)
{
    s3_zseg_t *seg;
    s3_zdrive_t *zd = l->zd;

    if (c->node == NULL || c->arena != zd->active
        || c->arena_seq != zd->arenas[c->arena].seq
        || s3_memnode_touched(c->node))
    {
        return 0;
    }

    s3_memnode_flag(c->node, S3_MEM_SURE);

    seg = c->length ? s3_zone_segment(l->zone, l->index, c->segment) : NULL;

    if (seg) {
        seg->live -= s3_min((int64_t) c->length, seg->live);
    }

    return 1;
}


static void
s3_drop_all_known(s3_local_t *l)
{
    s3_confirm_t *c, **p;

    s3_local_lock(l);

    for (p = &l->drops; *p; /* void */) {
        c = *p;

        if (!s3_drop_known(l, c)) {
            p = &c->next;
            continue;
        }

        *p = c->next;
        l->n_drops--;
        free(c);
    }

    l->drops_last = p;
    l->n_known = 0;

    s3_local_unlock(l);
}


void
s3_local_next_drop(s3_local_t *l)
{
    s3_op_t *op;
    s3_confirm_t *c;

    if (l->n_known && !l->dead) {
        s3_drop_all_known(l);
    }

    while (l->drops && l->dropping < S3_DROP_JOBS && !l->dead) {
        c = l->drops;
        l->drops = c->next;
        l->n_drops--;

        if (l->drops == NULL) {
            l->drops_last = &l->drops;
        }

        op = s3_op_create(l, c->bucket, s3_str(c->key, c->key_len),
                          s3_drop_decide, s3_drop_finish, c);
        if (op == NULL) {
            free(c);
            continue;
        }

        op->version = c->version;
        l->dropping++;
        s3_op_run(op);
    }
}


/* Freeing of blobs. */

static int
s3_freeing_cmp(const void *a, const void *b)
{
    return memcmp(a, b, 16);
}


static void
s3_freeing_end(s3_freeing_t *f)
{
    void (*done)(void *) = f->done;
    void *ctx = f->ctx;

    f->l->ops--;
    free(f->ids);
    free(f->keep);
    free(f);
    done(ctx);
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
            s3_freeing_remove(f);
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


static void
s3_freeing_old(s3_pick_t *pick, int rc)
{
    size_t i, n;
    s3_op_t *op;
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

    free(pick->buf);

    if (f->n == 0) {
        s3_freeing_end(f);
        return;
    }

    qsort(f->ids, f->n, 16, s3_freeing_cmp);

    op = s3_op_create(l, f->bucket, f->key, s3_freeing_decide, s3_freeing_known,
                      f);
    if (op == NULL) {
        s3_freeing_end(f);
        return;
    }

    s3_op_run(op);
}


void
s3_local_free_blobs(s3_local_t *l, uint64_t bucket, s3_str_t key,
                    const s3_version_t *from, const s3_entry_t *old,
                    void (*done)(void *ctx), void *ctx)
{
    int rc;
    s3_freeing_t *f;

    f = calloc(1, sizeof(*f));
    if (f == NULL) {
        done(ctx);
        return;
    }

    f->l = l;
    f->bucket = bucket;
    f->key = key;
    f->from = *from;
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
