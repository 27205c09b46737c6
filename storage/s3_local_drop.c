/*
 * What follows a CONFIRM that is durable (s3_local_confirm.c): the older
 * entries of the key count as dropped, and blobs that nobody lists any more are
 * removed (s3_local_free.c).
 */

#include "storage/s3_local_int.h"
#include <stdlib.h>

#define S3_DROP_JOBS 8


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
                    const s3_version_t *v, int late)
{
    s3_confirm_t *c;

    c = s3_confirm_create(l, bucket, key, v);

    if (c) {
        c->late = late != 0;
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

    /* not from here: one after another could end at once */
    if (l->drops) {
        l->loop->defer(l->loop, &l->confirm_defer);
    }
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
                            0, s3_drop_end, c);
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


/* What is confirmed above v lists none of v's blobs, unless it keeps them. */

static void
s3_drop_late(s3_op_t *op, s3_view_t *view, unsigned i)
{
    unsigned j;
    s3_item_state_t *x = &view->items[i];
    s3_item_state_t *newer = s3_view_confirmed(view);

    if (newer == NULL || newer >= x || x->e.kind != S3_KIND_OBJECT
        || x->e.layout != S3_LAYOUT_BLOBS || x->e.flags & S3_F_CONFIRMED)
    {
        return;
    }

    for (j = 0; j < i; j++) {
        if (view->items[j].e.flags & S3_F_KEEP) {
            return;
        }
    }

    op->cause = x->e;
    op->version = newer->e.version;
    op->aux = 1;
}


static void
s3_drop_for(s3_op_t *op, s3_view_t *view, unsigned i)
{
    const s3_confirm_t *c = op->req;

    if (c->late) {
        s3_drop_late(op, view, i);

    } else if (view->items[i].e.flags & S3_F_CONFIRMED || s3_break(DROP_EARLY))
    {
        s3_drop_older(op, view, i);
    }
}


static int
s3_drop_decide(s3_op_t *op)
{
    int rc;
    s3_view_t view;
    s3_item_state_t *x;
    const s3_confirm_t *c = op->req;

    if (!c->late) {
        s3_confirm_sure(op->l, op->bucket, op->key, &op->version,
                        op->find.set->generation);
    }

    s3_view_init(&view);
    rc = s3_view_load_to(&view, op->l->zone, op->l->index, &op->find, 0,
                         op->bucket, op->key, &op->version);

    x = rc == S3_OK ? s3_view_version(&view, &op->version) : NULL;

    if (x && x->pending && !x->durable) {
        rc = s3_op_wait(op, x);

    } else {
        if (x && x->durable && s3_entry_is_record(&x->e)) {
            s3_drop_for(op, &view, (unsigned) (x - view.items));
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
