/*
 * The local drive: operations, the way of a record into memtable and log,
 * what waits for what.
 */

#include "storage/s3_local_int.h"
#include "storage/s3_settle.h"
#include <stdlib.h>

#define S3_LOCAL_POLL_MS 1
#define S3_LOCAL_STALL_MS 5
#define S3_LOCAL_FREE_OPS 64


static void s3_op_find(s3_op_t *op);
static void s3_op_decide(s3_op_t *op);


void
s3_local_lock(s3_local_t *l)
{
    if (l->locked++ == 0) {
        s3_zone_lock(l->zd);
    }
}


static void
s3_write_done(s3_log_waiter_t *waiter, int rc)
{
    s3_write_t *w = s3_container(waiter, s3_write_t, waiter);
    s3_local_t *l = w->l;
    s3_op_t *op = w->op;

    l->writes--;

    if (rc != S3_OK) {
        /* on the drive or not: nobody knows before a scan */
        __atomic_fetch_add(&l->zd->failed, 1, __ATOMIC_ACQ_REL);
        s3_local_fail(l, S3_DRIVE_FAILING, "log write", rc);
    }

    if (w->node) {
        s3_memnode_set(w->node, rc == S3_OK ? S3_MEM_DURABLE : S3_MEM_FAILED);

        if (l->waiting) {
            l->loop->defer(l->loop, &l->wake);
        }
    }

    if (w->done) {
        w->done(w, rc);
    }

    free(w);

    if (op) {
        op->writes--;

        if (rc != S3_OK) {
            op->rc = rc;
        }

        if (op->decided && op->writes == 0) {
            op->finish(op);
        }
    }
}


void
s3_local_unlock(s3_local_t *l)
{
    int rc;
    s3_write_t *w, *next;

    if (l->locked > 1) {
        l->locked--;
        return;
    }

    if (l->encode && l->confirms) {
        s3_local_flush_confirms(l);
    }

    l->locked = 0;
    s3_zone_unlock(l->zd);

    w = l->encode;
    l->encode = NULL;
    l->encode_last = &l->encode;

    for (/* void */; w; w = next) {
        next = w->next;

        rc = s3_record_encode(w->place.p, w->size, &w->record, w->place.nonce);

        if (rc != S3_OK) {
            /* sizes were checked when it was reserved; a scan skips it */
            memset(w->place.p, 0, w->size);
            l->loop->log(l->loop, S3_LOG_ERR, "drive %u: record: %s", l->index,
                         s3_strerror(rc));
        }

        memset(&w->record, 0, sizeof(w->record));
        s3_log_on_durable(l->log, &w->place, &w->waiter);
    }
}


void
s3_local_fail(s3_local_t *l, s3_drive_state_t state, const char *why, int rc)
{
    uint32_t was;

    s3_zone_count(&l->zd->errors);
    l->drive.errors++;

    was = __atomic_load_n(&l->zd->state, __ATOMIC_ACQUIRE);

    if (was == (uint32_t) state || was == S3_DRIVE_MISSING) {
        return;
    }

    __atomic_store_n(&l->zd->state, (uint32_t) state, __ATOMIC_RELEASE);
    l->drive.state = state;

    l->loop->log(l->loop, S3_LOG_ERR, "drive %u: %s: %s", l->index, why,
                 s3_strerror(rc));
}


int
s3_local_may_read(s3_local_t *l)
{
    l->drive.state = (s3_drive_state_t) s3_zone_state(l->zd);

    if (l->log == NULL || !s3_drive_readable(&l->drive)
        || l->arrival != __atomic_load_n(&l->zd->arrivals, __ATOMIC_ACQUIRE))
    {
        return S3_EUNAVAIL;
    }

    return S3_OK;
}


int
s3_local_may_write(s3_local_t *l, int essential)
{
    int rc;

    rc = s3_local_may_read(l);
    if (rc != S3_OK) {
        return rc;
    }

    switch (l->drive.state) {

    case S3_DRIVE_READONLY:
        return S3_EROFS;

    case S3_DRIVE_FAILING:
        return S3_EIO;

    case S3_DRIVE_FULL:
        return essential ? S3_OK : S3_ENOSPC;

    default:
        return S3_OK;
    }
}


/* Operations. */

s3_op_t *
s3_op_create(s3_local_t *l, uint64_t bucket, s3_str_t key,
             int (*decide)(s3_op_t *), void (*finish)(s3_op_t *), void *req)
{
    s3_op_t *op;

    op = l->free_ops;

    if (op) {
        l->free_ops = op->next;
        l->n_free_ops--;

    } else {
        op = malloc(sizeof(*op));
        if (op == NULL) {
            return NULL;
        }
    }

    memset(op, 0, offsetof(s3_op_t, cause));
    memset(&op->cause, 0, sizeof(op->cause));
    op->aux = 0;
    op->l = l;
    op->decide = decide;
    op->finish = finish;
    op->req = req;
    op->bucket = bucket;
    op->key = key;

    l->ops++;

    return op;
}


void
s3_op_free(s3_op_t *op)
{
    s3_local_t *l = op->l;

    s3_find_end(&op->find);
    s3_find_end(&op->closed);
    l->ops--;

    if (l->n_free_ops < S3_LOCAL_FREE_OPS) {
        op->next = l->free_ops;
        l->free_ops = op;
        l->n_free_ops++;
        return;
    }

    free(op);
}


int
s3_op_answer(s3_op_t *op, int rc, s3_answer_t answer)
{
    op->rc = rc;
    op->answer = answer;

    return S3_OP_ANSWERED;
}


static void
s3_op_found(s3_find_t *find, int rc)
{
    s3_op_t *op = find->ctx;

    if (rc != S3_OK) {
        op->rc = rc;
    }

    op->phase++;
    s3_op_find(op);
}


static void
s3_op_find(s3_op_t *op)
{
    int rc;
    s3_find_t *find;

    while (op->phase < 2 && op->rc == S3_OK) {

        if (op->phase == 0) {
            find = &op->find;
            find->done = s3_op_found;
            find->ctx = op;
            rc = s3_find_start(find, &op->l->ix, op->bucket, op->key);

        } else if (op->check) {
            find = &op->closed;
            find->done = s3_op_found;
            find->ctx = op;
            rc = s3_find_start(find, &op->l->ix, S3_BUCKET_CLOSED,
                               s3_str(op->closed_key, 8));

        } else {
            break;
        }

        if (rc == S3_AGAIN) {
            return;
        }

        if (rc != S3_OK) {
            op->rc = rc;
        }

        op->phase++;
    }

    s3_op_decide(op);
}


/* From the start: finds are as of now. */

void
s3_op_run(s3_op_t *op)
{
    s3_find_end(&op->find);
    s3_find_end(&op->closed);

    op->phase = 0;
    op->node = NULL;

    s3_op_find(op);
}


static void
s3_local_stall(s3_local_t *l, s3_op_t *op)
{
    s3_op_t **p;

    for (p = &l->stalled; *p; p = &(*p)->next) {
        /* void */
    }

    op->next = NULL;
    *p = op;

    if (!l->stall.set) {
        l->loop->set_timer(l->loop, &l->stall, S3_LOCAL_STALL_MS);
    }

    if (l->log_full && !l->room_set) {
        l->room_set = 1;
        s3_log_wait(l->log, &l->room);
    }
}


static void
s3_op_decide(s3_op_t *op)
{
    int rc, decided;
    s3_local_t *l = op->l;

    if (op->rc != S3_OK) {
        decided = S3_OP_ANSWERED;

    } else {
        s3_local_lock(l);
        decided = op->decide(op);

        if (decided != S3_OP_ASYNC) {
            /* a set that is held keeps memtables from being reused */
            s3_find_end(&op->find);
            s3_find_end(&op->closed);
        }

        s3_local_unlock(l);
    }

    switch (decided) {

    case S3_OP_ANSWERED:
        op->decided = 1;

        if (op->writes == 0) {
            op->finish(op);
        }

        break;

    case S3_OP_WAIT:
        op->next = l->waiting;
        l->waiting = op;

        if (op->node->owner != l->slot
            || op->node->incarnation != l->incarnation)
        {
            if (!l->poll.set) {
                l->loop->set_timer(l->loop, &l->poll, S3_LOCAL_POLL_MS);
            }
        }

        break;

    case S3_OP_STALL:
        rc = s3_local_may_write(l, 1);

        if (rc != S3_OK) {
            op->rc = rc;
            op->decided = 1;

            if (op->writes == 0) {
                op->finish(op);
            }

            break;
        }

        s3_local_stall(l, op);
        break;

    default: /* S3_OP_ASYNC */
        break;
    }
}


int
s3_op_wait(s3_op_t *op, const s3_item_state_t *item)
{
    if (item->pending == NULL) {
        /* a write of it failed: neither yes nor no can be said */
        return s3_op_answer(op, S3_EIO, S3_ANSWER_NONE);
    }

    op->node = item->pending;
    op->arena = item->pending_arena;
    op->arena_seq = item->pending_seq;

    return S3_OP_WAIT;
}


/* Runs again whoever waits for a node that is pending no more. */

void
s3_local_wake(s3_local_t *l)
{
    int foreign;
    s3_op_t *op, *next, *ready, **last;
    s3_zarena_t *a;

    op = l->waiting;
    l->waiting = NULL;
    ready = NULL;
    last = &ready;
    foreign = 0;

    for (/* void */; op; op = next) {
        next = op->next;
        a = &l->zd->arenas[op->arena];

        if (a->used && a->seq == op->arena_seq
            && s3_memnode_state(op->node) == S3_MEM_PENDING)
        {
            op->next = l->waiting;
            l->waiting = op;

            if (op->node->owner != l->slot
                || op->node->incarnation != l->incarnation)
            {
                foreign = 1;
            }

            continue;
        }

        op->next = NULL;
        *last = op;
        last = &op->next;
    }

    if (foreign && !l->poll.set) {
        l->loop->set_timer(l->loop, &l->poll, S3_LOCAL_POLL_MS);
    }

    for (op = ready; op; op = next) {
        next = op->next;
        s3_op_run(op);
    }
}


static void
s3_local_poll(s3_timer_t *timer)
{
    s3_local_wake(timer->ctx);
}


static void
s3_local_wake_deferred(s3_defer_t *defer)
{
    s3_local_wake(defer->ctx);
}


static void
s3_local_drop_deferred(s3_defer_t *defer)
{
    s3_local_next_drop(defer->ctx);
}


static void
s3_local_unstall(s3_local_t *l)
{
    s3_op_t *op, *next;

    l->log_full = 0;

    op = l->stalled;
    l->stalled = NULL;

    for (/* void */; op; op = next) {
        next = op->next;
        s3_op_run(op);
    }
}


static void
s3_local_stall_timer(s3_timer_t *timer)
{
    s3_local_t *l = timer->ctx;

    s3_maintain_tick(l->maintain);
    s3_local_unstall(l);
}


static void
s3_local_log_room(s3_log_waiter_t *w, int rc)
{
    s3_local_t *l = w->ctx;

    l->room_set = 0;

    (void) rc; /* whoever tries again finds out */

    s3_local_unstall(l);
}


/* Records. */

void
s3_record_of(s3_record_t *r, uint64_t bucket, s3_str_t key,
             const s3_version_t *version, s3_kind_t kind)
{
    memset(r, 0, sizeof(*r));
    r->bucket = bucket;
    r->key = key;
    r->entry.version = *version;
    r->entry.kind = (uint8_t) kind;
}


int
s3_local_freeze(s3_local_t *l)
{
    int next;

    next = s3_zone_free_arena(l->zone, l->index);
    if (next < 0) {
        return S3_AGAIN;
    }

    s3_memtable_reset(s3_zone_arena(l->zone, l->index, (unsigned) next),
                      l->zone->arena_size);
    s3_zone_freeze(l->zone, l->index, (unsigned) next);

    return S3_OK;
}


int
s3_local_room(s3_local_t *l, size_t key_len, size_t extra_len)
{
    s3_memtable_t *m;

    m = s3_zone_arena(l->zone, l->index, l->zd->active);

    if (s3_memtable_room(m, s3_memtable_need(key_len, extra_len))) {
        return S3_OK;
    }

    return s3_local_freeze(l);
}


static int
s3_local_reserve(s3_local_t *l, const s3_record_t *r, s3_write_t **out)
{
    int rc;
    size_t size;
    s3_write_t *w;
    s3_zseg_t *seg;

    size = s3_record_size(r);
    if (size == 0) {
        return S3_EINVAL;
    }

    w = calloc(1, sizeof(*w));
    if (w == NULL) {
        return S3_ENOMEM;
    }

    rc = s3_log_reserve(l->log, size, &w->place);
    if (rc != S3_OK) {
        l->log_full = rc == S3_AGAIN;
        free(w);
        return rc;
    }

    w->l = l;
    w->size = size;
    w->record = *r;
    w->waiter.done = s3_write_done;
    w->waiter.ctx = w;

    *l->encode_last = w;
    l->encode_last = &w->next;
    l->writes++;

    seg = s3_zone_segment(l->zone, l->index, w->place.segment);

    if (seg) {
        seg->batch = w->place.batch_offset;
        seg->end = w->place.offset + (uint32_t) size;
    }

    *out = w;

    return S3_OK;
}


int
s3_local_append(s3_local_t *l, s3_op_t *op, const s3_record_t *r,
                s3_write_t **out)
{
    int rc;
    s3_entry_t e;
    s3_write_t *w;
    s3_zseg_t *seg;
    s3_memtable_t *m;

    rc = s3_local_room(l, r->key.len, r->entry.extra_len);
    if (rc != S3_OK) {
        return rc;
    }

    rc = s3_local_reserve(l, r, &w);
    if (rc != S3_OK) {
        return rc;
    }

    e = r->entry;
    e.segment = w->place.segment;
    e.offset = w->place.offset;
    e.length = (uint32_t) w->size;

    m = s3_zone_arena(l->zone, l->index, l->zd->active);
    w->node = s3_memtable_insert(m, r->bucket, r->key, &e, S3_MEM_PENDING,
                                 l->slot, l->incarnation);
    w->op = op;

    if (op) {
        op->writes++;
    }

    seg = s3_zone_segment(l->zone, l->index, w->place.segment);

    if (seg) {
        seg->live += (int64_t) w->size;
    }

    if (out) {
        *out = w;
    }

    return S3_OK;
}


int
s3_local_append_log(s3_local_t *l, const s3_record_t *r,
                    void (*done)(s3_write_t *w, int rc), void *ctx)
{
    int rc;
    s3_write_t *w;

    rc = s3_local_reserve(l, r, &w);
    if (rc != S3_OK) {
        return rc;
    }

    w->done = done;
    w->ctx = ctx;

    return S3_OK;
}


int
s3_local_copy(s3_local_t *l, uint64_t bucket, s3_str_t key, const s3_entry_t *e)
{
    int rc;
    s3_memtable_t *m;

    rc = s3_local_room(l, key.len, e->extra_len);
    if (rc != S3_OK) {
        return rc;
    }

    m = s3_zone_arena(l->zone, l->index, l->zd->active);

    if (s3_memtable_insert(m, bucket, key, e, S3_MEM_DURABLE, l->slot,
                           l->incarnation)
        == NULL)
    {
        return S3_AGAIN;
    }

    return S3_OK;
}


void
s3_local_dead_bytes(s3_local_t *l, uint32_t segment, uint32_t bytes)
{
    s3_zseg_t *seg;

    s3_local_lock(l);

    seg = s3_zone_segment(l->zone, l->index, segment);

    if (seg) {
        seg->live -= bytes;
        if (seg->live < 0) {
            seg->live = 0;
        }
    }

    s3_local_unlock(l);
}


/* The log's hooks. */

static int
s3_local_new_segment(void *ctx, uint32_t *id, uint32_t *recycle)
{
    unsigned i;
    s3_zseg_t *s, *segs, *old;
    s3_local_t *l = ctx;

    switch (s3_zone_state(l->zd)) {
    case S3_DRIVE_MISSING:
        return S3_EUNAVAIL;
    case S3_DRIVE_READONLY:
        return S3_EROFS;
    default:
        break;
    }

    s3_local_lock(l);

    segs = s3_zone_segments(l->zone, l->index);
    old = NULL;

    for (i = 0; i < l->zone->max_segments; i++) {
        if (segs[i].id && segs[i].state == S3_SEG_FREE
            && segs[i].size == l->segment_size)
        {
            old = &segs[i];
            break;
        }
    }

    *recycle = 0;

    if (old) {
        *recycle = old->id;
        old->state = S3_SEG_NONE;
        old->id = 0;
    }

    s = s3_zone_segment_new(l->zone, l->index);

    if (s) {
        s->owner = (uint8_t) l->slot;
        s->incarnation = l->incarnation;
        s->recycle = *recycle;
        s->size = l->segment_size;
        s->state = S3_SEG_PREPARING;
        *id = s->id;
    }

    s3_local_unlock(l);

    return s ? S3_OK : S3_ENOSPC;
}


static void
s3_local_segment_failed(void *ctx, uint32_t id, uint32_t recycle)
{
    s3_zseg_t *s;
    s3_local_t *l = ctx;

    (void) recycle; /* kept in the slot */

    s3_local_lock(l);

    s = s3_zone_segment(l->zone, l->index, id);

    if (s) {
        s->state = S3_SEG_GARBAGE;
    }

    s3_local_unlock(l);
}


static void
s3_local_segment_opened(void *ctx, const s3_segment_t *seg)
{
    s3_zseg_t *s;
    s3_local_t *l = ctx;

    s3_local_lock(l);

    s = s3_zone_segment(l->zone, l->index, seg->id);

    if (s) {
        s->recycle = 0;
        s->size = seg->size;
        s->state = S3_SEG_OPEN;
    }

    s3_local_unlock(l);
}


static void
s3_local_segment_closed(void *ctx, uint32_t id, uint32_t end)
{
    s3_zseg_t *s;
    s3_local_t *l = ctx;

    if (l->dead) {
        return;
    }

    s3_local_lock(l);

    s = s3_zone_segment(l->zone, l->index, id);

    if (s && s->state == S3_SEG_OPEN) {
        s->end = s3_max(s->end, end);
        s->state = S3_SEG_SEALED;

        if (s->end == S3_SEGMENT_START) {
            s->replay_from = s->end;
        }
    }

    s3_local_unlock(l);
}


static void
s3_local_log_state(void *ctx, int rc)
{
    uint32_t state;
    s3_local_t *l = ctx;

    switch (rc) {

    case S3_OK:
        state = s3_zone_state(l->zd);

        if ((state == S3_DRIVE_FAILING || state == S3_DRIVE_FULL)
            && __atomic_load_n(&l->zd->failed, __ATOMIC_ACQUIRE) == 0)
        {
            __atomic_store_n(&l->zd->state,
                             l->zd->refilling ? S3_DRIVE_REFILLING
                                              : S3_DRIVE_OK,
                             __ATOMIC_RELEASE);
            l->loop->log(l->loop, S3_LOG_NOTICE, "drive %u: writes again",
                         l->index);
        }

        break;

    case S3_ENOSPC:
        s3_local_fail(l, S3_DRIVE_FULL, "log", rc);
        break;

    case S3_EROFS:
        s3_local_fail(l, S3_DRIVE_READONLY, "log", rc);
        break;

    case S3_ENOMEM:
    case S3_EUNAVAIL:
        break;

    default:
        s3_local_fail(l, S3_DRIVE_FAILING, "log", rc);
    }
}


static const s3_log_hooks_t s3_local_log_hooks = {
    s3_local_new_segment,    s3_local_segment_failed, s3_local_segment_opened,
    s3_local_segment_closed, s3_local_log_state,
};


static const s3_drive_ops_t s3_local_ops = {
    s3_local_vote,         s3_local_push,        s3_local_fence,
    s3_local_status,       s3_local_confirm,     s3_local_dead,
    s3_local_read,         s3_local_fetch,       s3_local_list,
    s3_local_blob_create,  s3_local_blob_write,  s3_local_blob_finish,
    s3_local_blob_abort,   s3_local_blob_read,   s3_local_blob_remove,
    s3_local_close_bucket, s3_local_note,        s3_local_unnote,
};


static void
s3_local_timer(s3_timer_t *t, void (*handler)(s3_timer_t *), s3_local_t *l)
{
    t->handler = handler;
    t->ctx = l;
}


/* Everything that needs the drive itself. */

static int
s3_local_start(s3_local_t *l, s3_fs_t *fs)
{
    int rc;
    s3_log_conf_t lc;
    s3_blobs_conf_t bc;

    l->fs = fs;
    l->arrival = __atomic_load_n(&l->zd->arrivals, __ATOMIC_ACQUIRE);

    rc = s3_index_open(&l->ix, l->zone, l->index, l->slot, l->loop, fs);
    if (rc != S3_OK) {
        return rc;
    }

    memset(&lc, 0, sizeof(lc));
    lc.loop = l->loop;
    lc.fs = fs;
    lc.drive = l->index;
    lc.segment_size = l->segment_size;
    lc.hooks = &s3_local_log_hooks;
    lc.ctx = l;

    memset(&bc, 0, sizeof(bc));
    bc.loop = l->loop;
    bc.fs = fs;
    bc.drive = l->index;

    l->maintain = s3_maintain_create(l);
    l->blobs = s3_blobs_create(&bc);
    l->log = s3_log_create(&lc);

    if (l->maintain == NULL || l->blobs == NULL || l->log == NULL) {
        return S3_ENOMEM;
    }

    l->freed_seen = __atomic_load_n(&l->zd->freed_count, __ATOMIC_ACQUIRE);
    l->drive.state = (s3_drive_state_t) s3_zone_state(l->zd);

    return S3_OK;
}


int
s3_local_create(const s3_local_conf_t *conf, s3_local_t **out)
{
    int rc;
    s3_local_t *l;

    l = calloc(1, sizeof(*l));
    if (l == NULL) {
        return S3_ENOMEM;
    }

    l->drive.ops = &s3_local_ops;
    l->drive.impl = l;
    l->drive.index = conf->drive;
    l->drive.state = S3_DRIVE_MISSING;
    l->loop = conf->loop;
    l->zone = conf->zone;
    l->zd = &conf->zone->drives[conf->drive];
    l->index = conf->drive;
    l->slot = conf->slot;
    l->incarnation = conf->zone->procs[conf->slot].incarnation;
    l->segment_size = conf->segment_size;
    l->encode_last = &l->encode;
    l->confirms_last = &l->confirms;
    l->drops_last = &l->drops;
    s3_local_timer(&l->poll, s3_local_poll, l);
    s3_local_timer(&l->stall, s3_local_stall_timer, l);
    s3_local_timer(&l->confirm_timer, s3_local_confirm_timer, l);
    l->wake.handler = s3_local_wake_deferred;
    l->wake.ctx = l;
    l->confirm_defer.handler = s3_local_drop_deferred;
    l->confirm_defer.ctx = l;
    l->room.done = s3_local_log_room;
    l->room.ctx = l;

    if (conf->fs && s3_zone_state(l->zd) != S3_DRIVE_MISSING) {
        rc = s3_local_start(l, conf->fs);

        if (rc != S3_OK) {
            s3_local_destroy(l, 0);
            return rc;
        }

    } else {
        /* nothing of it is read here: memtables may be reused */
        __atomic_store_n(&l->zone->procs[l->slot].seen[l->index], UINT64_MAX,
                         __ATOMIC_RELEASE);
    }

    *out = l;

    return S3_OK;
}


int
s3_local_arrive(s3_local_t *l, s3_fs_t *fs)
{
    if (l->log) {
        return S3_EEXIST;
    }

    l->fs = fs;

    return s3_local_start(l, fs);
}


/* The counterpart of start. */

static void
s3_local_stop(s3_local_t *l, int died)
{
    if (l->log && died) {
        s3_log_abandon(l->log);

    } else if (l->log) {
        s3_log_destroy(l->log);
    }

    l->log = NULL;

    if (l->blobs) {
        s3_blobs_destroy(l->blobs);
        l->blobs = NULL;
    }

    if (l->maintain) {
        s3_maintain_destroy(l->maintain);
        l->maintain = NULL;
    }

    s3_local_close_segments(l);
    s3_index_close(&l->ix);
}


void
s3_local_destroy(s3_local_t *l, int died)
{
    s3_op_t *op;

    l->dead = died != 0;

    s3_local_stop(l, died);
    s3_local_drop_free(l);

    while (l->free_ops) {
        op = l->free_ops;
        l->free_ops = op->next;
        free(op);
    }

    free(l);
}


static void
s3_local_settled(void *ctx)
{
    s3_local_t *l = ctx;
    uint32_t state = S3_DRIVE_FAILING;

    if (__atomic_load_n(&l->zd->failed, __ATOMIC_ACQUIRE) == 0) {
        __atomic_compare_exchange_n(&l->zd->state, &state,
                                    l->zd->refilling ? S3_DRIVE_REFILLING
                                                     : S3_DRIVE_OK,
                                    0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
    }
}


/* The drive was away and is back: what is open belongs to what went away. */

static void
s3_local_reopen(s3_local_t *l)
{
    int rc;

    if (s3_local_busy(l)) {
        return; /* the next tick */
    }

    s3_local_stop(l, 0);
    rc = s3_local_start(l, l->fs);

    if (rc != S3_OK) {
        l->arrival = 0;
        l->loop->log(l->loop, S3_LOG_ERR, "drive %u: cannot be opened: %s",
                     l->index, s3_strerror(rc));
        s3_local_stop(l, 0);
        return;
    }

    s3_local_settle(l, l->slot, l->incarnation, s3_local_settled, l);
}


s3_drive_t *
s3_local_drive(s3_local_t *l)
{
    return &l->drive;
}


unsigned
s3_local_busy(const s3_local_t *l)
{
    if (l->log == NULL) {
        return 0;
    }

    return l->ops + l->writes + l->picks + l->n_confirms + l->dropping
           + l->n_drops + (unsigned) s3_index_busy(&l->ix)
           + (unsigned) s3_maintain_busy(l->maintain)
           + !s3_log_idle(l->log) + !s3_blobs_idle(l->blobs);
}


void
s3_local_quiesce(s3_local_t *l)
{
    l->quiet = 1;
    l->ix.quiet = 1;
}


void
s3_local_tick(s3_local_t *l)
{
    l->drive.state = (s3_drive_state_t) s3_zone_state(l->zd);

    if (l->log == NULL) {
        return;
    }

    if (l->arrival != __atomic_load_n(&l->zd->arrivals, __ATOMIC_ACQUIRE)) {
        s3_local_reopen(l);
        return;
    }

    s3_local_forget_freed(l);
    s3_index_refresh(&l->ix);
    s3_maintain_tick(l->maintain);

    if (l->waiting && !l->poll.set) {
        s3_local_wake(l);
    }
}
