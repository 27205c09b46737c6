#include "t/sim/s3_mockdrive_int.h"

#include <stdio.h>
#include <stdlib.h>


/* The way there and back */

static void s3_mock_arrive(s3_timer_t *timer);


static void
s3_mock_done(s3_timer_t *timer)
{
    s3_mock_op_t *op = timer->ctx;
    s3_req_t *req = op->req;

    free(op);
    req->done(req);
}


static uint64_t
s3_mock_delay(s3_mock_t *m)
{
    return s3_sim_random(m->sim, m->knobs.delay + 1);
}


static int
s3_mock_chance(s3_mock_t *m, unsigned per_million)
{
    return per_million && s3_sim_random(m->sim, 1000000) < per_million;
}


static void
s3_mock_reply(s3_mock_op_t *op, uint64_t delay)
{
    op->timer.handler = s3_mock_done;
    op->h->loop->set_timer(op->h->loop, &op->timer, delay);
}


static void
s3_mock_apply(s3_mock_t *m, s3_req_t *req,
              void (*apply)(s3_mock_t *m, s3_req_t *req))
{
    req->rc = S3_OK;
    req->answer = S3_ANSWER_NONE;

    if (m->knobs.down) {
        req->rc = S3_EUNAVAIL;

    } else if (s3_mock_chance(m, m->knobs.errors)) {
        req->rc = S3_EIO;

    } else {
        apply(m, req);
    }
}


static void
s3_mock_arrive(s3_timer_t *timer)
{
    s3_mock_op_t *op = timer->ctx;
    s3_mock_t *m = op->h->m;

    if (m->knobs.hung) {
        op->next = m->held;
        m->held = op;
        return;
    }

    s3_mock_apply(m, op->req, op->apply);
    s3_mock_reply(op, s3_mock_delay(m));
}


static int
s3_mock_is_blob(void (*apply)(s3_mock_t *m, s3_req_t *req))
{
    return apply == s3_mock_do_create || apply == s3_mock_do_write
           || apply == s3_mock_do_finish || apply == s3_mock_do_abort
           || apply == s3_mock_do_read || apply == s3_mock_do_fetch
           || apply == s3_mock_do_list;
}


static void
s3_mock_submit(s3_drive_t *d, s3_req_t *req,
               void (*apply)(s3_mock_t *m, s3_req_t *req))
{
    s3_mock_handle_t *h = d->impl;
    s3_mock_t *m = h->m;
    s3_mock_op_t *op;

    if (m->knobs.delay == 0 && !m->knobs.hung) {
        s3_mock_apply(m, req, apply);
        req->done(req);
        return;
    }

    op = s3_mock_need(calloc(1, sizeof(*op)));
    op->h = h;
    op->req = req;
    op->apply = apply;
    op->timer.ctx = op;

    /* silence: an error at last, long after everybody went on without it */

    if (s3_mock_chance(m, m->knobs.lost)) {
        req->rc = S3_EIO;
        req->answer = S3_ANSWER_NONE;
        s3_mock_reply(op, m->knobs.silence_ms);
        return;
    }

    if (s3_mock_chance(m, m->knobs.mute) && !s3_mock_is_blob(apply)) {
        s3_mock_apply(m, req, apply);
        req->rc = S3_EIO;
        req->answer = S3_ANSWER_NONE;
        s3_mock_reply(op, m->knobs.silence_ms);
        return;
    }

    op->timer.handler = s3_mock_arrive;
    m->world->set_timer(m->world, &op->timer, s3_mock_delay(m));
}


void
s3_mock_unhang(s3_mock_t *m)
{
    s3_mock_op_t *op;

    m->knobs.hung = 0;

    while ((op = m->held) != NULL) {
        m->held = op->next;
        op->timer.handler = s3_mock_arrive;
        m->world->set_timer(m->world, &op->timer, s3_mock_delay(m));
    }
}


/* ends where a semicolon is wanted */
#define s3_mock_op(name, type, apply)                  \
    static void s3_mock_##name(s3_drive_t *d, type *r) \
    {                                                  \
        s3_mock_submit(d, &r->req, apply);             \
    }                                                  \
    struct s3_mock_s

s3_mock_op(vote, s3_vote_t, s3_mock_do_vote);
s3_mock_op(push, s3_vote_t, s3_mock_do_push);
s3_mock_op(fence, s3_mark_t, s3_mock_do_fence);
s3_mock_op(status, s3_mark_t, s3_mock_do_status);
s3_mock_op(confirm, s3_mark_t, s3_mock_do_confirm);
s3_mock_op(dead, s3_mark_t, s3_mock_do_dead);
s3_mock_op(read, s3_lookup_t, s3_mock_do_read);
s3_mock_op(fetch, s3_fetch_t, s3_mock_do_fetch);
s3_mock_op(list, s3_scan_t, s3_mock_do_list);
s3_mock_op(blob_create, s3_blob_req_t, s3_mock_do_create);
s3_mock_op(blob_write, s3_unit_t, s3_mock_do_write);
s3_mock_op(blob_finish, s3_blob_req_t, s3_mock_do_finish);
s3_mock_op(blob_abort, s3_blob_req_t, s3_mock_do_abort);
s3_mock_op(blob_read, s3_unit_t, s3_mock_do_unit);
s3_mock_op(blob_remove, s3_blob_req_t, s3_mock_do_blob_remove);
s3_mock_op(close_bucket, s3_close_t, s3_mock_do_close);
s3_mock_op(note, s3_note_t, s3_mock_do_note);
s3_mock_op(unnote, s3_note_t, s3_mock_do_unnote);

static const s3_drive_ops_t s3_mock_ops = {
    .vote = s3_mock_vote,
    .push = s3_mock_push,
    .fence = s3_mock_fence,
    .status = s3_mock_status,
    .confirm = s3_mock_confirm,
    .dead = s3_mock_dead,
    .read = s3_mock_read,
    .fetch = s3_mock_fetch,
    .list = s3_mock_list,
    .blob_create = s3_mock_blob_create,
    .blob_write = s3_mock_blob_write,
    .blob_finish = s3_mock_blob_finish,
    .blob_abort = s3_mock_blob_abort,
    .blob_read = s3_mock_blob_read,
    .blob_remove = s3_mock_blob_remove,
    .close_bucket = s3_mock_close_bucket,
    .note = s3_mock_note,
    .unnote = s3_mock_unnote,
};


/* The test's side */

s3_mock_t *
s3_mock_create(s3_sim_t *sim, s3_loop_t *world, unsigned index)
{
    s3_mock_t *m;

    m = s3_mock_need(calloc(1, sizeof(*m)));
    m->sim = sim;
    m->world = world;
    m->index = index;
    m->knobs.silence_ms = 20000;

    return m;
}


void
s3_mock_wipe(s3_mock_t *m)
{
    size_t i;

    for (i = 0; i < m->n_keys; i++) {
        while (m->keys[i].n) {
            s3_mock_remove(&m->keys[i], m->keys[i].n - 1);
        }

        free(m->keys[i].e);
        free(m->keys[i].ring);
        free(m->keys[i].key);
    }

    m->n_keys = 0;

    while (m->blobs) {
        s3_mock_blob_free(m, m->blobs);
    }
}


void
s3_mock_destroy(s3_mock_t *m)
{
    unsigned i;

    s3_mock_wipe(m);

    for (i = 0; i < m->n_handles; i++) {
        free(m->handles[i]);
    }

    free(m->keys);
    free(m);
}


s3_mock_knobs_t *
s3_mock_knobs(s3_mock_t *m)
{
    return &m->knobs;
}


s3_drive_t *
s3_mock_attach(s3_mock_t *m, s3_loop_t *loop)
{
    s3_mock_handle_t *h;

    if (m->n_handles == 16) {
        abort();
    }

    h = s3_mock_need(calloc(1, sizeof(*h)));
    h->m = m;
    h->loop = loop;
    h->drive.ops = &s3_mock_ops;
    h->drive.impl = h;
    h->drive.index = m->index;
    m->handles[m->n_handles++] = h;

    return &h->drive;
}


int
s3_mock_rot_unit(s3_mock_t *m, const uint8_t id[16], uint32_t block)
{
    s3_blob_t *b;

    b = s3_mock_blob(m, id);

    if (b == NULL || block >= b->n || b->units[block] == NULL) {
        return 0;
    }

    b->units[block][S3_BLOB_HEADER] ^= 1;

    return 1;
}


int
s3_mock_lose_blob(s3_mock_t *m, const uint8_t id[16])
{
    s3_blob_t *b;

    b = s3_mock_blob(m, id);

    if (b) {
        s3_mock_blob_free(m, b);
    }

    return b != NULL;
}


unsigned
s3_mock_blobs(s3_mock_t *m)
{
    unsigned n = 0;
    s3_blob_t *b;

    for (b = m->blobs; b; b = b->next) {
        n++;
    }

    return n;
}


unsigned
s3_mock_notes(s3_mock_t *m)
{
    size_t i;
    unsigned n = 0;

    for (i = 0; i < m->n_keys; i++) {
        n += m->keys[i].bucket == S3_BUCKET_NOTES && m->keys[i].n;
    }

    return n;
}


const s3_entry_t *
s3_mock_entry(s3_mock_t *m, uint64_t bucket, s3_str_t key,
              const s3_version_t *version)
{
    s3_mock_entry_t *e;

    e = s3_mock_version(s3_mock_find(m, bucket, key), version);

    return e ? &e->rec.entry : NULL;
}


const s3_entry_t *
s3_mock_newest(s3_mock_t *m, uint64_t bucket, s3_str_t key)
{
    s3_mock_key_t *k;

    k = s3_mock_find(m, bucket, key);

    return k && k->n ? &k->e[0].rec.entry : NULL;
}


void
s3_mock_dump(s3_mock_t *m, uint64_t bucket, s3_str_t key)
{
    unsigned i;
    const s3_entry_t *e;
    s3_mock_key_t *k;

    k = s3_mock_find(m, bucket, key);
    printf("drive %u, floor %llu:", m->index,
           (unsigned long long) m->floor.time);

    for (i = 0; k && i < k->n; i++) {
        e = &k->e[i].rec.entry;
        printf(" [kind %u %llu/%08x%s voters %x holders %x need %u]", e->kind,
               (unsigned long long) e->version.time, (unsigned) e->version.rand,
               e->flags & S3_F_CONFIRMED ? " confirmed" : "", e->voters,
               e->holders, e->need);
    }

    for (i = 0; k && i < k->n_ring; i++) {
        printf(" (%llu/%08x)", (unsigned long long) k->ring[i].time,
               (unsigned) k->ring[i].rand);
    }

    printf("\n");
}


int
s3_mock_collect(s3_mock_t **drives, unsigned n, uint64_t bucket, s3_str_t key,
                uint32_t mask)
{
    unsigned i;
    s3_version_t v;
    s3_mock_key_t *k;
    s3_mock_entry_t *e;

    memset(&v, 0, sizeof(v));

    for (i = 0; i < n; i++) {
        k = s3_mock_find(drives[i], bucket, key);

        if (k == NULL || k->n == 0) {
            return 0;
        }

        e = &k->e[0];

        if (e->rec.entry.kind != S3_KIND_TOMBSTONE
            || !(e->rec.entry.flags & S3_F_CONFIRMED)
            || (i && s3_version_cmp(&v, &e->rec.entry.version) != 0))
        {
            return 0;
        }

        v = e->rec.entry.version;
    }

    for (i = 0; i < n; i++) {
        if (s3_version_cmp(&drives[i]->floor, &v) < 0) {
            drives[i]->floor = v;
        }
    }

    for (i = 0; i < n; i++) {
        if (!(mask & 1u << i)) {
            continue;
        }

        k = s3_mock_find(drives[i], bucket, key);
        k->ring = s3_mock_need(
            realloc(k->ring, (k->n_ring + 1) * sizeof(k->ring[0])));
        k->ring[k->n_ring++] = v;

        while (k->n) {
            s3_mock_remove(k, 0);
        }
    }

    return 1;
}
