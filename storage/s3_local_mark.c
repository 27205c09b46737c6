/*
 * FENCE, STATUS, DEAD, CONFIRM.
 */

#include "storage/s3_local_int.h"


static void
s3_mark_finish(s3_op_t *op)
{
    s3_mark_t *mark = op->req;

    mark->req.rc = op->rc;
    mark->req.answer = op->rc == S3_OK ? op->answer : S3_ANSWER_NONE;

    s3_op_free(op);
    mark->req.done(&mark->req);
}


static void
s3_mark_start(s3_drive_t *d, s3_mark_t *mark, int rc, int (*decide)(s3_op_t *))
{
    s3_op_t *op;
    s3_local_t *l = d->impl;

    mark->newer_confirmed = 0;
    mark->confirmed = 0;
    memset(&mark->entry, 0, sizeof(mark->entry));

    if (rc == S3_OK
        && (mark->key.len == 0 || mark->key.len > S3_MAX_KEY
            || s3_version_is_none(&mark->version)))
    {
        rc = S3_EINVAL;
    }

    op = rc == S3_OK ? s3_op_create(l, mark->bucket, mark->key, decide,
                                    s3_mark_finish, mark)
                     : NULL;

    if (op == NULL) {
        mark->req.rc = rc == S3_OK ? S3_ENOMEM : rc;
        mark->req.answer = S3_ANSWER_NONE;
        mark->req.done(&mark->req);
        return;
    }

    op->version = mark->version;
    s3_op_run(op);
}


static int
s3_mark_view(s3_op_t *op, s3_view_t *view)
{
    s3_view_init(view);

    return s3_view_load_to(view, op->l->zone, op->l->index, &op->find, 0,
                           op->bucket, op->key, &op->version);
}


/*
 * What FENCE and STATUS have in common; 0 where nothing is known of v and
 * nothing newer is confirmed.
 */

static int
s3_mark_known(s3_op_t *op, s3_view_t *view)
{
    s3_mark_t *mark = op->req;
    s3_zdrive_t *zd = op->l->zd;
    s3_item_state_t *x, *nc;

    nc = s3_view_confirmed(view);
    x = s3_view_version(view, &op->version);

    mark->newer_confirmed =
        nc && s3_version_cmp(&nc->e.version, &op->version) > 0;

    if (x) {
        if (x->pending || !x->durable) {
            return s3_op_wait(op, x);
        }

        mark->entry = x->e;
        mark->confirmed =
            s3_entry_is_record(&x->e) && (x->e.flags & S3_F_CONFIRMED) != 0;

        return s3_op_answer(op, S3_OK,
                            s3_entry_is_record(&x->e) ? S3_ANSWER_YES
                                                      : S3_ANSWER_NO);
    }

    if (!mark->newer_confirmed && s3_version_cmp(&op->version, &zd->floor) > 0)
    {
        return 0;
    }

    if (s3_zone_ring_has(zd, op->find.hash, &op->version) && !s3_break(NO_RING))
    {
        return s3_op_answer(op, S3_OK, S3_ANSWER_YES);
    }

    return s3_op_answer(op, S3_OK,
                        s3_version_cmp(&op->version, &zd->memory_since) > 0
                            ? S3_ANSWER_NO
                            : S3_ANSWER_GONE);
}


static int
s3_op_appended(s3_op_t *op, int rc, s3_answer_t answer)
{
    return rc == S3_AGAIN ? S3_OP_STALL : s3_op_answer(op, rc, answer);
}


static int
s3_fence_decide(s3_op_t *op)
{
    int rc;
    s3_view_t view;
    s3_record_t r;

    rc = s3_mark_view(op, &view);

    if (rc != S3_OK) {
        rc = s3_op_answer(op, rc, S3_ANSWER_NONE);

    } else {
        rc = s3_mark_known(op, &view);

        if (rc == 0 && s3_break(NO_FENCE)) {
            rc = s3_op_answer(op, S3_OK, S3_ANSWER_NO);
        }

        if (rc == 0) {
            s3_record_of(&r, op->bucket, op->key, &op->version, S3_KIND_FENCE);
            rc = s3_op_appended(op, s3_local_append(op->l, op, &r, NULL, NULL),
                                S3_ANSWER_NO);
        }
    }

    s3_view_done(&view);

    return rc;
}


static int
s3_status_decide(s3_op_t *op)
{
    int rc;
    s3_view_t view;

    rc = s3_mark_view(op, &view);

    if (rc != S3_OK) {
        rc = s3_op_answer(op, rc, S3_ANSWER_NONE);

    } else {
        rc = s3_mark_known(op, &view);

        if (rc == 0) {
            rc = s3_op_answer(op, S3_OK, S3_ANSWER_NOT_HELD);
        }
    }

    s3_view_done(&view);

    return rc;
}


/*
 * x is dead: RECORD, FENCE or nothing becomes DEAD, unless something newer (or
 * x itself) is confirmed.  S3_OK: so it is, or will be with op's writes;
 * S3_OP_...: decided; else an error.
 */

int
s3_local_put_dead(s3_op_t *op, s3_view_t *view, const s3_version_t *v)
{
    int rc;
    s3_zseg_t *seg;
    s3_record_t r;
    s3_local_t *l = op->l;
    s3_item_state_t *x, *nc;

    nc = s3_view_confirmed(view);

    if (nc && s3_version_cmp(v, &nc->e.version) <= 0) {
        return S3_OK;
    }

    x = s3_view_version(view, v);

    if (x) {
        if (x->pending || !x->durable) {
            return s3_op_wait(op, x);
        }

        if (x->e.kind == S3_KIND_DEAD) {
            return S3_OK;
        }
    }

    s3_record_of(&r, op->bucket, op->key, v, S3_KIND_DEAD);
    rc = s3_local_append(l, op, &r, NULL, NULL);

    if (rc == S3_OK && x) {
        seg = s3_zone_segment(l->zone, l->index, x->e.segment);

        if (seg) {
            seg->live -= s3_min((int64_t) x->e.length, seg->live);
        }
    }

    return rc;
}


static int
s3_dead_decide(s3_op_t *op)
{
    int rc;
    s3_view_t view;
    s3_mark_t *mark = op->req;
    s3_item_state_t *nc;

    rc = s3_mark_view(op, &view);

    if (rc != S3_OK) {
        rc = s3_op_answer(op, rc, S3_ANSWER_NONE);
        goto done;
    }

    nc = s3_view_confirmed(&view);

    if (nc && s3_version_cmp(&op->version, &nc->e.version) <= 0) {
        mark->newer_confirmed =
            s3_version_cmp(&op->version, &nc->e.version) < 0;
        mark->confirmed = !mark->newer_confirmed;
        rc = s3_op_answer(op, S3_OK,
                          mark->confirmed ? S3_ANSWER_YES : S3_ANSWER_GONE);
        goto done;
    }

    rc = s3_local_put_dead(op, &view, &op->version);

    if (rc <= 0) {
        rc = s3_op_appended(op, rc, S3_ANSWER_NO);
    }

done:

    s3_view_done(&view);

    return rc;
}


/* Sets the flag on the nodes of v in the active memtable, n being the first of
 * its key; 1: there are some.  Frozen ones may have been read for their table
 * already. */

static int
s3_confirm_active(s3_local_t *l, s3_memnode_t *n, uint64_t bucket, s3_str_t key,
                  const s3_version_t *v, uint8_t flags)
{
    int found;
    s3_entry_t e;
    s3_memtable_t *m;

    found = 0;
    m = s3_zone_arena(l->zone, l->index, l->zd->active);

    while (n && n->bucket == bucket && s3_str_eq(s3_memnode_key(n), key)) {
        if (s3_memnode_entry(n, &e) == S3_OK && s3_entry_is_record(&e)
            && s3_version_cmp(&e.version, v) == 0
            && s3_memnode_state(n) != S3_MEM_REMOVED)
        {
            s3_memnode_flag(n, flags);

            if (s3_memnode_state(n) != S3_MEM_FAILED) {
                found = 1;
            }
        }

        n = s3_memtable_next(m, n);
    }

    return found;
}


/*
 * v's node in the active memtable, where it is the newest of its key.  Nearly
 * always v was voted for a moment ago and that is so: a vote refuses what is
 * older than anything that the drive has, so nothing newer is anywhere else,
 * and neither tables nor other memtables have to be asked.  Where nothing was
 * put next to the node that the reminder names, the memtable need not be
 * searched either: *known.
 */

static s3_memnode_t *
s3_confirm_newest(s3_local_t *l, s3_mark_t *mark, int *known)
{
    s3_memnode_t *n;
    s3_version_t version;
    s3_memtable_t *m;
    const s3_reminder_t *r = &mark->reminder;

    *known = 0;
    m = s3_zone_arena(l->zone, l->index, l->zd->active);

    if (r->seq && r->arena == l->zd->active
        && r->seq == l->zd->arenas[r->arena].seq)
    {
        n = s3_memtable_node(m, r->node, &mark->version);

        if (n && !s3_memnode_touched(n)) {
            *known = r->known;
            return n;
        }
    }

    n = s3_memtable_seek(m, mark->bucket, mark->key);

    if (n && s3_memnode_is(n, mark->bucket, mark->key)) {
        version = s3_memnode_version(n);

        if (s3_version_cmp(&version, &mark->version) == 0) {
            return n;
        }
    }

    return NULL;
}


/* 1: done; 0: tables and other memtables have to be asked. */

static int
s3_confirm_at_once(s3_local_t *l, s3_mark_t *mark)
{
    int known;
    uint8_t flags;
    s3_entry_t e;
    s3_memnode_t *n;
    s3_mem_state_t state;

    n = s3_confirm_newest(l, mark, &known);

    if (n == NULL || s3_memnode_entry(n, &e) != S3_OK || !s3_entry_is_record(&e)
        || e.flags & (S3_F_CONFIRMED | S3_F_PUSHED))
    {
        return 0;
    }

    state = s3_memnode_state(n);

    if (state != S3_MEM_PENDING && state != S3_MEM_DURABLE) {
        return 0;
    }

    flags = S3_F_CONFIRMED;

    if (mark->keep && e.kind == S3_KIND_TOMBSTONE) {
        flags |= S3_F_KEEP;
    }

    if (known) {
        s3_memnode_flag(n, flags); /* there is no other */

    } else {
        (void) s3_confirm_active(l, n, mark->bucket, mark->key, &mark->version,
                                 flags);
    }

    mark->confirmed = 1;
    s3_local_queue_confirm(l, mark->bucket, mark->key, &mark->version,
                           flags & S3_F_KEEP, known ? n : NULL,
                           &mark->reminder);

    return 1;
}


static int
s3_confirm_decide(s3_op_t *op)
{
    int rc, known;
    uint8_t flags;
    s3_view_t view;
    s3_mark_t *mark = op->req;
    s3_local_t *l = op->l;
    s3_memnode_t *n;
    s3_item_state_t *x, *nc;

    rc = s3_mark_view(op, &view);

    if (rc != S3_OK) {
        rc = s3_op_answer(op, rc, S3_ANSWER_NONE);
        goto done;
    }

    nc = s3_view_confirmed(&view);
    x = s3_view_version(&view, &op->version);

    mark->newer_confirmed =
        nc && s3_version_cmp(&nc->e.version, &op->version) > 0;

    if (x == NULL || (!x->durable && !x->pending) || !s3_entry_is_record(&x->e))
    {
        /* a DEAD or FENCE here contradicts nothing: it lacks the record */
        rc = s3_op_answer(op, S3_OK, S3_ANSWER_NOT_HELD);
        goto done;
    }

    mark->entry = x->e;

    known = x->durable && (x->e.flags & S3_F_CONFIRMED);

    if (known || mark->newer_confirmed) {
        mark->confirmed = known != 0;

        if (!known) {
            s3_local_queue_drop(l, op->bucket, op->key, &op->version, 1);
        }

        rc = s3_op_answer(op, S3_OK, S3_ANSWER_YES);
        goto done;
    }

    flags = S3_F_CONFIRMED;

    if (mark->keep && x->e.kind == S3_KIND_TOMBSTONE) {
        flags |= S3_F_KEEP;
    }

    n = s3_memtable_seek(s3_zone_arena(l->zone, l->index, l->zd->active),
                         op->bucket, op->key);

    if (!s3_confirm_active(l, n, op->bucket, op->key, &op->version, flags)) {

        if (!x->durable) {
            rc = s3_op_wait(op, x);
            goto done;
        }

        x->e.flags |= flags;
        rc = s3_local_copy(l, op->bucket, op->key, &x->e);

        if (rc != S3_OK) {
            rc = s3_op_appended(op, rc, S3_ANSWER_NONE);
            goto done;
        }
    }

    mark->confirmed = 1;
    s3_local_queue_confirm(l, op->bucket, op->key, &op->version,
                           flags & S3_F_KEEP, NULL, NULL);
    rc = s3_op_answer(op, S3_OK, S3_ANSWER_YES);

done:

    s3_view_done(&view);

    return rc;
}


void
s3_local_fence(s3_drive_t *d, s3_mark_t *mark)
{
    s3_mark_start(d, mark, s3_local_may_write(d->impl, 1), s3_fence_decide);
}


void
s3_local_status(s3_drive_t *d, s3_mark_t *mark)
{
    s3_mark_start(d, mark, s3_local_may_read(d->impl), s3_status_decide);
}


void
s3_local_dead(s3_drive_t *d, s3_mark_t *mark)
{
    s3_mark_start(d, mark, s3_local_may_write(d->impl, 1), s3_dead_decide);
}


void
s3_local_confirm(s3_drive_t *d, s3_mark_t *mark)
{
    int rc, done;
    s3_local_t *l = d->impl;

    rc = s3_local_may_write(l, 1);

    if (rc == S3_OK && mark->key.len && mark->key.len <= S3_MAX_KEY) {
        mark->newer_confirmed = 0;

        s3_local_lock(l);
        done = s3_confirm_at_once(l, mark);
        s3_local_unlock(l);

        if (done) {
            mark->req.rc = S3_OK;
            mark->req.answer = S3_ANSWER_YES;
            mark->req.done(&mark->req);
            return;
        }
    }

    s3_mark_start(d, mark, rc, s3_confirm_decide);
}
