/*
 * The way of a record into memtable and log; the segments of the log in the
 * zone.
 */

#include "storage/s3_local_int.h"
#include <stdlib.h>

#define S3_LOCAL_FREE_WRITES 256


void
s3_local_lock(s3_local_t *l)
{
    if (l->locked++ == 0) {
        s3_zone_lock(l->zd);
    }
}


static s3_write_t *
s3_write_create(s3_local_t *l)
{
    s3_write_t *w;

    w = l->free_writes;

    if (w) {
        l->free_writes = w->next;
        l->n_free_writes--;

    } else {
        w = malloc(sizeof(*w));
        if (w == NULL) {
            return NULL;
        }
    }

    memset(w, 0, offsetof(s3_write_t, record));
    w->l = l;

    return w;
}


static void
s3_write_free(s3_write_t *w)
{
    s3_local_t *l = w->l;

    if (l->n_free_writes < S3_LOCAL_FREE_WRITES) {
        w->next = l->free_writes;
        l->free_writes = w;
        l->n_free_writes++;
        return;
    }

    free(w);
}


static void
s3_write_done(s3_log_waiter_t *waiter, int rc)
{
    s3_write_t *w = s3_container(waiter, s3_write_t, waiter);
    s3_local_t *l = w->l;
    s3_op_t *op = w->op;
    s3_mem_state_t state;

    l->writes--;

    if (rc != S3_OK) {
        /* on the drive or not: nobody knows before a scan */
        if (w->node) {
            __atomic_fetch_add(&l->zd->failed, 1, __ATOMIC_ACQ_REL);
        }

        s3_local_fail(l, S3_DRIVE_FAILING, "log write", rc);
        state = S3_MEM_FAILED;

    } else if (w->rc != S3_OK) {
        rc = w->rc;
        state = S3_MEM_REMOVED; /* certainly not on the drive */

    } else {
        state = S3_MEM_DURABLE;
    }

    if (w->node) {
        s3_memnode_set(w->node, state);

        if (w->node->bucket == S3_BUCKET_BUCKETS) {
            s3_zone_changed(l->zone);
        }

        if (l->waiting) {
            l->loop->defer(l->loop, &l->wake);
        }
    }

    if (w->done) {
        w->done(w, rc);
    }

    s3_write_free(w);

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

        w->rc =
            s3_record_encode(w->place.p, w->size, &w->record, w->place.nonce);

        if (w->rc != S3_OK) {
            /* a scan skips it, whoever waits for it hears of it */
            memset(w->place.p, 0, w->size);
            l->loop->log(l->loop, S3_LOG_ERR, "drive %u: record: %s",
                         l->index + 1, s3_strerror(w->rc));
        }

        s3_log_on_durable(l->log, &w->place, &w->waiter);
    }
}


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

    w = s3_write_create(l);
    if (w == NULL) {
        return S3_ENOMEM;
    }

    rc = s3_log_reserve(l->log, size, &w->place);
    if (rc != S3_OK) {
        l->log_full = rc == S3_AGAIN;
        s3_write_free(w);
        return rc;
    }

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
                const s3_memplace_t *place, s3_write_t **out)
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
    w->node = s3_memtable_insert_at(m, place, r->bucket, r->key, &e,
                                    S3_MEM_PENDING, l->slot, l->incarnation);
    w->op = op;

    if (e.flags & S3_F_CONFIRMED && w->node) {
        s3_memnode_flag(w->node, S3_MEM_SURE); /* the record says it, too */
    }

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

    if (bucket == S3_BUCKET_BUCKETS) {
        s3_zone_changed(l->zone);
    }

    return S3_OK;
}


/* The log's hooks. */

static int
s3_local_new_segment(void *ctx, uint32_t *size, uint32_t *id, uint32_t *recycle)
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
        *size = old->size;
        old->state = S3_SEG_NONE;
        old->id = 0;
    }

    s = s3_zone_segment_new(l->zone, l->index);

    if (s) {
        s->owner = (uint8_t) l->slot;
        s->incarnation = l->incarnation;
        s->recycle = *recycle;
        s->size = *size;
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
        s->batch = end;
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
            && s3_local_mend(l, (s3_drive_state_t) state) == S3_OK)
        {
            l->loop->log(l->loop, S3_LOG_NOTICE, "drive %u: writes again",
                         l->index + 1);
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


const s3_log_hooks_t s3_local_log_hooks = {
    s3_local_new_segment,    s3_local_segment_failed, s3_local_segment_opened,
    s3_local_segment_closed, s3_local_log_state,
};
