/*
 * VOTE and PUSH.
 */

#include "storage/s3_local_int.h"
#include <stdlib.h>

#define S3_VOTE_BLOBS 64 /* references whose blobs are looked for */


static int s3_vote_rules(s3_op_t *op, s3_view_t *view);


static void
s3_vote_finish(s3_op_t *op)
{
    s3_vote_t *vote = op->req;
    s3_local_t *l = op->l;

    vote->req.rc = op->rc;
    vote->req.answer = op->rc == S3_OK ? op->answer : S3_ANSWER_NONE;
    vote->cause = op->cause;
    vote->clock = s3_zone_time(l->zone);

    s3_op_free(op);
    vote->req.done(&vote->req);
}


/* An answer because of x, which is durable before the answer leaves. */

static int
s3_vote_because(s3_op_t *op, s3_answer_t answer, const s3_item_state_t *x)
{
    op->cause = x->e;

    return s3_op_answer(op, S3_OK, answer);
}


static int
s3_op_append_rc(s3_op_t *op, int rc, s3_answer_t answer)
{
    if (rc == S3_AGAIN) {
        return S3_OP_STALL;
    }

    return s3_op_answer(op, rc, answer);
}


/* NO because of a condition: the vote must never be accepted later. */

static int
s3_vote_fence(s3_op_t *op, const s3_item_state_t *x)
{
    s3_record_t r;

    op->cause = x->e;
    s3_record_of(&r, op->bucket, op->key, &op->version, S3_KIND_FENCE);

    return s3_op_append_rc(op, s3_local_append(op->l, op, &r, NULL, NULL),
                           S3_ANSWER_NO);
}


/* Closed for that generation, as far as anybody has said so. */

static int
s3_vote_closed(s3_op_t *op, uint32_t generation, int *closed)
{
    int rc;
    unsigned i;
    s3_find_t *find;
    s3_view_t view;
    s3_local_t *l = op->l;

    *closed = 0;

    if (!op->check) {
        return S3_OK;
    }

    /* none: the tables of the key's find are known to have nothing of it */
    find = op->closed.set ? &op->closed : NULL;

    s3_view_init(&view);
    rc = s3_view_load(&view, l->zone, l->index, find, op->find.set->generation,
                      S3_BUCKET_CLOSED, s3_str(op->closed_key, 8));

    for (i = 0; rc == S3_OK && i < view.n; i++) {
        if (view.items[i].durable || view.items[i].pending) {
            *closed |= view.items[i].e.version.time > generation;
        }
    }

    s3_view_done(&view);

    return rc;
}


/* Are the blobs here that a record refers to?  In a task. */

static void
s3_vote_blobs_run(s3_task_t *task)
{
    int rc;
    char path[S3_BLOB_PATH];
    size_t i, n;
    s3_ref_t ref;
    s3_op_t *op = task->ctx;
    s3_vote_t *vote = op->req;
    s3_file_t *f;
    s3_fs_t *fs = op->l->fs;

    op->aux = S3_OK;
    n = s3_min(vote->record->refs.len / S3_REF_SIZE, (size_t) S3_VOTE_BLOBS);

    for (i = 0; i < n; i++) {

        if (s3_ref_decode(vote->record->refs.data + i * S3_REF_SIZE, &ref)
            != S3_OK) {
            op->aux = S3_EINVAL;
            return;
        }

        if (!(ref.mask & 1u << op->l->index)) {
            continue;
        }

        s3_blob_path(path, ref.id);

        rc = fs->open(fs, path, S3_O_READ, &f);
        if (rc != S3_OK) {
            op->aux = rc;
            return;
        }

        fs->close(fs, f);
    }
}


static void
s3_vote_blobs_done(s3_task_t *task)
{
    s3_op_t *op = task->ctx;

    if (op->aux == S3_ENOENT) {
        op->aux = 1; /* NODATA, if it comes to that */

    } else if (op->aux != S3_OK) {
        op->rc = (int) op->aux;
        op->aux = 0;
    }

    s3_op_run(op);
}


/*
 * What its CONFIRM will want to know: where v is, and what goes when v is
 * confirmed, for that will not change.  Either nothing, or a record without
 * blobs that is confirmed; anything else is looked for when the time comes.
 */

static void
s3_vote_remind(s3_op_t *op, const s3_view_t *view, const s3_memnode_t *node)
{
    s3_vote_t *vote = op->req;
    s3_zdrive_t *zd = op->l->zd;
    s3_reminder_t *r = &vote->reminder;
    const s3_item_state_t *x = view->n ? &view->items[0] : NULL;

    r->arena = zd->active;
    r->seq = zd->arenas[r->arena].seq;
    r->node = s3_memtable_number(
        s3_zone_arena(op->l->zone, op->l->index, r->arena), node);

    if (x == NULL) {
        r->known = 1;

    } else if (x->durable && x->pending == NULL && s3_entry_is_record(&x->e)
               && x->e.flags & S3_F_CONFIRMED && x->e.layout != S3_LAYOUT_BLOBS)
    {
        r->known = 1;
        r->segment = x->e.segment;
        r->length = x->e.length;
    }
}


static int
s3_vote_insert(s3_op_t *op, const s3_view_t *view, uint8_t flags)
{
    int rc;
    s3_record_t r;
    s3_write_t *w;
    s3_vote_t *vote = op->req;
    s3_local_t *l = op->l;

    r = *vote->record;
    r.entry.flags &= S3_F_TIED | S3_F_KEEP;
    r.entry.flags |= flags;

    if (r.entry.kind == S3_KIND_OBJECT && r.entry.layout == S3_LAYOUT_BLOBS
        && r.entry.holders & 1u << l->index && !vote->bare)
    {
        if (!op->blobs) {
            op->blobs = 1;
            op->task.run = s3_vote_blobs_run;
            op->task.done = s3_vote_blobs_done;
            op->task.ctx = op;
            op->task.drive = l->index;
            l->loop->post(l->loop, &op->task);
            return S3_OP_ASYNC;
        }

        if (op->aux) {
            return s3_op_answer(op, S3_OK, S3_ANSWER_NODATA);
        }
    }

    s3_zone_count(&l->zd->votes);

    if (s3_break(DROP_EARLY)) {
        s3_local_queue_drop(l, op->bucket, op->key, &op->version, 0);
    }

    rc = s3_local_append(l, s3_break(EARLY_YES) ? NULL : op, &r, &view->place,
                         &w);

    if (rc == S3_OK && w->node) {
        s3_vote_remind(op, view, w->node);
    }

    return s3_op_append_rc(op, rc, S3_ANSWER_YES);
}


/* What expects e: a record between e and v stands in the way. */

static int
s3_vote_condition(s3_op_t *op, s3_view_t *view, int *decided)
{
    unsigned i;
    s3_vote_t *vote = op->req;
    const s3_version_t *e = &vote->record->expects;
    s3_item_state_t *x;

    *decided = 1;

    for (i = 0; i < view->n; i++) {
        x = &view->items[i];

        if (s3_version_cmp(&x->e.version, e) <= 0) {
            break;
        }

        if (x->pending || (!x->durable && x->failed)) {
            return s3_op_wait(op, x);
        }

        if (!s3_entry_is_record(&x->e)) {
            continue;
        }

        if (x->e.flags & S3_F_CONFIRMED) {
            return s3_vote_fence(op, x);
        }

        return s3_vote_because(op, S3_ANSWER_BUSY, x);
    }

    if (!s3_version_is_none(e) && s3_version_cmp(e, &op->l->zd->floor) < 0) {
        x = s3_view_version(view, e);

        if (x == NULL || !x->durable) {
            return s3_op_answer(op, S3_OK, S3_ANSWER_BEHIND);
        }
    }

    *decided = 0;

    return 0;
}


/* Not newer than what is confirmed, or than the floor. */

static int
s3_vote_old(s3_op_t *op, const s3_item_state_t *nc, int tied)
{
    s3_zdrive_t *zd = op->l->zd;

    if (nc) {
        op->cause = nc->e;
    }

    if (s3_zone_ring_has(zd, op->find.hash, &op->version) && !s3_break(NO_RING))
    {
        return s3_op_answer(op, S3_OK, S3_ANSWER_YES);
    }

    if (tied || s3_version_cmp(&op->version, &zd->memory_since) > 0) {
        return s3_op_answer(op, S3_OK, S3_ANSWER_NO);
    }

    return s3_op_answer(op, S3_OK, S3_ANSWER_GONE);
}


static int
s3_vote_rules(s3_op_t *op, s3_view_t *view)
{
    int rc, decided;
    s3_vote_t *vote = op->req;
    s3_local_t *l = op->l;
    const s3_entry_t *e = &vote->record->entry;
    s3_item_state_t *x, *nc;

    nc = s3_view_confirmed(view);
    x = s3_view_version(view, &op->version);

    if (x) {
        if (x->pending || !x->durable) {
            return s3_op_wait(op, x);
        }

        if (s3_entry_is_record(&x->e)) {
            return s3_op_answer(op, S3_OK, S3_ANSWER_YES);
        }

        return s3_vote_because(op, S3_ANSWER_NO, x);
    }

    if (!(e->voters & 1u << l->index)) {
        return s3_op_answer(op, S3_OK, S3_ANSWER_NO);
    }

    if ((nc && s3_version_cmp(&op->version, &nc->e.version) < 0)
        || s3_version_cmp(&op->version, &l->zd->floor) <= 0)
    {
        return s3_vote_old(op, nc, e->flags & S3_F_TIED);
    }

    if (view->n && s3_version_cmp(&view->items[0].e.version, &op->version) > 0
        && !s3_break(NO_ORDER))
    {
        x = &view->items[0];

        if (!x->durable && !s3_break(REFUSE_PENDING)) {
            return s3_op_wait(op, x);
        }

        return s3_vote_because(op, S3_ANSWER_NO, x);
    }

    if (vote->record->conditional && !s3_break(CAS_BLIND)) {
        rc = s3_vote_condition(op, view, &decided);
        if (decided) {
            return rc;
        }
    }

    return s3_vote_insert(op, view, 0);
}


/* Under the lock. */

static int
s3_vote_decide(s3_op_t *op)
{
    int rc, closed;
    unsigned i;
    uint64_t now;
    s3_view_t view;
    s3_version_t down_to;
    s3_vote_t *vote = op->req;
    s3_local_t *l = op->l;

    now = l->loop->wall_us(l->loop);

    if (op->version.time > now + S3_LOCAL_AHEAD_US) {
        return s3_op_answer(op, S3_OK, S3_ANSWER_CLOCK);
    }

    rc = s3_vote_closed(op, vote->record->generation, &closed);
    if (rc != S3_OK || closed) {
        return s3_op_answer(op, rc, S3_ANSWER_STALE);
    }

    down_to = op->version;

    for (i = 0; i < vote->n_dead; i++) {
        if (s3_version_cmp(&vote->dead[i], &down_to) < 0) {
            down_to = vote->dead[i];
        }
    }

    s3_view_init(&view);
    rc = s3_view_load_to(&view, l->zone, l->index, &op->find, 0, op->bucket,
                         op->key, &down_to);

    for (i = 0; rc == S3_OK && i < vote->n_dead; i++) {
        rc = s3_local_put_dead(op, &view, &vote->dead[i]);
    }

    if (rc == S3_OK && i && op->writes) {
        /* with what has just been declared dead */
        s3_view_done(&view);
        rc = s3_view_load_to(&view, l->zone, l->index, &op->find, 0, op->bucket,
                             op->key, &down_to);
    }

    if (rc == S3_OK) {
        rc = s3_vote_rules(op, &view);

    } else if (rc < 0) {
        rc = s3_op_append_rc(op, rc, S3_ANSWER_NONE);
    }

    s3_view_done(&view);

    return rc;
}


static int
s3_push_decide(s3_op_t *op)
{
    int rc;
    s3_view_t view;
    s3_local_t *l = op->l;
    s3_item_state_t *x, *nc;

    s3_view_init(&view);
    rc = s3_view_load_to(&view, l->zone, l->index, &op->find, 0, op->bucket,
                         op->key, &op->version);

    if (rc != S3_OK) {
        rc = s3_op_answer(op, rc, S3_ANSWER_NONE);
        goto done;
    }

    nc = s3_view_confirmed(&view);
    x = s3_view_version(&view, &op->version);

    if (x && x->pending) {
        rc = s3_op_wait(op, x);

    } else if (nc && s3_version_cmp(&op->version, &nc->e.version) < 0) {
        rc = s3_vote_because(op, S3_ANSWER_GONE, nc);

    } else if (x == NULL && !((s3_vote_t *) op->req)->pull
               && s3_version_cmp(&op->version, &l->zd->floor) <= 0)
    {
        rc = s3_op_answer(op, S3_OK, S3_ANSWER_GONE);

    } else {
        rc = s3_vote_insert(op, &view, S3_F_CONFIRMED | S3_F_PUSHED);

        if (rc == S3_OP_ANSWERED && op->rc == S3_OK
            && op->answer == S3_ANSWER_YES) {
            s3_local_queue_drop(l, op->bucket, op->key, &op->version, 0);
        }
    }

done:

    s3_view_done(&view);

    return rc;
}


static void
s3_vote_start(s3_drive_t *d, s3_vote_t *vote, int (*decide)(s3_op_t *))
{
    int rc;
    s3_op_t *op;
    s3_local_t *l = d->impl;
    const s3_record_t *r = vote->record;

    memset(&vote->cause, 0, sizeof(vote->cause));
    memset(&vote->reminder, 0, sizeof(vote->reminder));

    rc = s3_local_may_write(l, r->entry.kind == S3_KIND_TOMBSTONE);

    if (rc == S3_OK
        && (!s3_entry_is_record(&r->entry)
            || s3_version_is_none(&r->entry.version) || r->key.len == 0
            || s3_record_size(r) == 0
            || s3_record_size(r) > s3_segment_room(l->segment_size)))
    {
        rc = S3_EINVAL;
    }

    op = rc == S3_OK
             ? s3_op_create(l, r->bucket, r->key, decide, s3_vote_finish, vote)
             : NULL;

    if (op == NULL) {
        vote->req.rc = rc == S3_OK ? S3_ENOMEM : rc;
        vote->req.answer = S3_ANSWER_NONE;
        vote->clock = s3_zone_time(l->zone);
        vote->req.done(&vote->req);
        return;
    }

    op->version = r->entry.version;

    if (r->entry.version.time <= l->loop->wall_us(l->loop) + S3_LOCAL_AHEAD_US)
    {
        s3_zone_saw(l->zone, r->entry.version.time);
    }

    if (decide == s3_vote_decide && r->bucket >= S3_BUCKET_FIRST) {
        op->check = 1;
        s3_put64(op->closed_key, __builtin_bswap64(r->bucket));
    }

    s3_op_run(op);
}


void
s3_local_vote(s3_drive_t *d, s3_vote_t *vote)
{
    s3_vote_start(d, vote, s3_vote_decide);
}


void
s3_local_push(s3_drive_t *d, s3_vote_t *push)
{
    s3_vote_start(d, push, s3_push_decide);
}
