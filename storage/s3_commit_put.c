#include "storage/s3_commit.h"

#include <stdlib.h>


/*
 * put() and conditional().  One version at a time is alive: the next is made
 * when the last is dead by count.
 *
 *   data ──► newest, test ──► attempt ──► ballot ──┬─ committed ──► notes, 200
 *              ▲   (conditional)   ▲               ├─ dead ──┐
 *              └───────────────────┴───────────────┼─────────┘
 *                                                  ├─ busy: settle x, again
 *                                                  └─ else: resolve_own
 */

#define S3_PUT_ATTEMPTS 8
#define S3_PUT_CONDITIONAL 5
#define S3_PUT_REVOTES 4


typedef struct {
    s3_store_t *store;
    s3_put_t *put; /* NULL once it has its answer */
    unsigned refs;

    unsigned attempt;
    unsigned revotes;
    unsigned stale : 1;
    unsigned full : 1;
    s3_version_t seen;
    s3_version_t busy;
    s3_version_t dead[S3_BALLOT_DEAD];
    unsigned n_dead;

    s3_entry_t current;
    unsigned conditional : 1;
    s3_str_t refs_bytes;
    s3_ref_t ref; /* of the writer */
    s3_writer_result_t result;
    s3_layout_t layout; /* of the data at hand */
    s3_buf_t *data;
    s3_writer_t *writer;

    s3_payload_t *payload;
    s3_tally_t tally;
    s3_timer_t timer;
    void (*resume)(void *op);
} s3_put_op_t;


static void s3_put_attempt(void *data);
static void s3_put_newest(void *data);
static void s3_put_judge(s3_put_op_t *op);


static void
s3_put_release(s3_put_op_t *op)
{
    if (--op->refs) {
        return;
    }

    s3_payload_release(op->payload);
    s3_buf_release(op->data);
    free((uint8_t *) op->refs_bytes.data);
    s3_store_release(op->store);
    free(op);
}


static void
s3_put_finish(s3_put_op_t *op, int rc)
{
    s3_put_t *put;

    put = op->put;
    op->put = NULL;
    put->rc = rc;

    if (op->writer) {
        s3_writer_unpin(op->writer, rc == S3_OK || rc == S3_EDOUBT);
        op->writer = NULL;
    }

    if (rc == S3_OK && op->payload) {
        put->version = op->payload->record.entry.version;
    }

    put->done(put);
    s3_put_release(op);
}


static void
s3_put_timeout(s3_timer_t *timer)
{
    s3_put_op_t *op = timer->ctx;

    op->resume(op);
}


/* Writers that got in each other's way try again at different times. */

static void
s3_put_pause(s3_put_op_t *op, unsigned from, unsigned to,
             void (*resume)(void *op))
{
    op->resume = resume;
    op->store->loop->set_timer(op->store->loop, &op->timer,
                               from + s3_store_random(op->store, to - from));
}


/* Committed: what has missed it is put down before the answer. */

static void
s3_put_acknowledge(s3_put_op_t *op)
{
    s3_payload_t *payload;

    payload = op->payload;
    payload->refs++;

    s3_put_finish(op, S3_OK);

    s3_payload_confirm(payload);
    s3_payload_release(payload);
}


static void
s3_put_noted(s3_notes_t *notes)
{
    s3_put_acknowledge(notes->ctx);
}


/* Drives without a shard of something that was written before, and without
 * them: parts, whose own notes go with them. */

static uint32_t
s3_put_bare(s3_put_op_t *op)
{
    size_t i;
    uint32_t bare;
    s3_ref_t ref;

    bare = 0;

    for (i = 0; i + S3_REF_SIZE <= op->refs_bytes.len; i += S3_REF_SIZE) {
        if (s3_ref_decode(op->refs_bytes.data + i, &ref) == S3_OK && ref.size) {
            bare |= op->store->all & ~ref.mask;
        }
    }

    return bare;
}


static void
s3_put_committed(s3_put_op_t *op)
{
    uint32_t lack;
    s3_entry_t *e;

    e = &op->payload->record.entry;
    lack = s3_break(NO_NOTES) ? 0 : op->store->all & ~op->tally.yes;

    /* a voter whose shard was lost on the way has a record and no data; so has
     * one that came back after the first byte was written */

    if (op->layout == S3_LAYOUT_BLOBS && op->put->writer) {
        lack |= op->store->all & ~(op->ref.mask & op->result.alive);

    } else if (op->layout == S3_LAYOUT_BLOBS) {
        lack |= s3_put_bare(op) | (op->put->lack & op->store->all);
    }

    if (lack
        && s3_notes_start(op->store, lack, op->tally.yes,
                          op->payload->record.bucket, op->payload->record.key,
                          &e->version, s3_put_noted, op)
               == S3_OK)
    {
        return;
    }

    s3_put_acknowledge(op);
}


static void
s3_put_dead(s3_put_op_t *op)
{
    unsigned limit;
    s3_version_t *v;

    v = &op->payload->record.entry.version;

    if (s3_version_cmp(v, &op->seen) > 0) {
        op->seen = *v;
    }

    if (op->n_dead == S3_BALLOT_DEAD) {
        memmove(op->dead, op->dead + 1,
                (S3_BALLOT_DEAD - 1) * sizeof(s3_version_t));
        op->n_dead--;
    }

    op->dead[op->n_dead++] = *v;

    s3_payload_release(op->payload);
    op->payload = NULL;
    op->attempt++;

    if (op->stale) {
        s3_put_finish(op, S3_ESTALE);
        return;
    }

    limit = op->conditional ? S3_PUT_CONDITIONAL : S3_PUT_ATTEMPTS;

    if (op->attempt >= limit) {
        s3_put_finish(op, op->full          ? S3_ENOSPC
                          : op->conditional ? S3_ECONFLICT
                                            : S3_EUNAVAIL);
        return;
    }

    s3_put_pause(op, op->attempt == 1 ? 0 : 1, 5u << op->attempt,
                 op->conditional ? s3_put_newest : s3_put_attempt);
}


static void
s3_put_resolved(s3_settle_t *st)
{
    s3_put_op_t *op = st->ctx;

    if (s3_version_cmp(&st->newer, &op->seen) > 0) {
        op->seen = st->newer;
    }

    op->tally = st->tally;

    switch (st->rc) {

    case S3_OK:
        s3_put_committed(op);
        break;

    case S3_ENOENT:
        s3_put_dead(op);
        break;

    default:
        s3_put_finish(op, S3_EDOUBT);
    }
}


static void
s3_put_resolve(s3_put_op_t *op, int lost)
{
    s3_payload_t *payload;

    payload = op->payload;

    if (s3_settle_start(op->store, payload->record.bucket, payload->record.key,
                        &payload->record.entry.version, payload,
                        S3_SETTLE_OWN | (lost ? S3_SETTLE_FENCE : 0),
                        s3_put_resolved, op)
        != S3_OK)
    {
        s3_put_finish(op, S3_EDOUBT);
    }
}


static void
s3_put_voted(s3_ballot_t *ballot)
{
    s3_put_op_t *op = ballot->ctx;

    op->tally = ballot->tally;
    op->busy = ballot->busy;

    if (s3_version_cmp(&ballot->newer, &op->seen) > 0) {
        op->seen = ballot->newer;
    }

    s3_put_judge(op);
}


/* x stood in the way of a conditional write. */

static void
s3_put_settled(s3_settle_t *st)
{
    uint32_t again;
    s3_put_op_t *op = st->ctx;
    s3_version_t dead[S3_BALLOT_DEAD];
    unsigned n;

    if (st->rc != S3_ENOENT || op->revotes++ >= S3_PUT_REVOTES) {
        s3_put_resolve(op, st->rc == S3_OK);
        return;
    }

    n = s3_min(op->n_dead, (unsigned) S3_BALLOT_DEAD - 1);
    memcpy(dead, op->dead + (op->n_dead - n), n * sizeof(s3_version_t));
    dead[n] = st->version;

    again = op->tally.busy;
    op->tally.busy = 0;

    if (s3_ballot_start(op->store, op->payload, again, &op->tally, dead, n + 1,
                        0, s3_put_voted, op)
        != S3_OK)
    {
        s3_put_finish(op, S3_EDOUBT);
    }
}


static void
s3_put_busy(void *data)
{
    s3_put_op_t *op = data;

    if (s3_settle_start(op->store, op->payload->record.bucket,
                        op->payload->record.key, &op->busy, NULL, 0,
                        s3_put_settled, op)
        != S3_OK)
    {
        s3_put_finish(op, S3_EDOUBT);
    }
}


static void
s3_put_judge(s3_put_op_t *op)
{
    s3_entry_t *e;

    e = &op->payload->record.entry;
    op->full |= op->tally.full != 0;
    op->stale |= op->tally.stale != 0;

    if (s3_committed(op->store, e, op->tally.yes)
        || (s3_break(ACK_AT_W) && s3_count(op->tally.yes) >= op->store->w))
    {
        s3_put_committed(op);
        return;
    }

    if (s3_break(RETRY) && op->tally.no) {
        s3_put_dead(op);
        return;
    }

    if (!s3_possible(op->store, e, op->tally.no)) {
        if (e->voters & ~op->tally.no) {
            s3_put_resolve(op, 1); /* where it is, or comes to be yet, it has
                                    * to be known as dead */
        } else {
            s3_put_dead(op);
        }

        return;
    }

    if (op->tally.busy && !s3_version_is_none(&op->busy) && !op->stale) {
        s3_put_pause(op, 5, 50, s3_put_busy);
        return;
    }

    if (op->tally.behind) {
        (void) s3_notes_start(
            op->store, op->tally.behind, op->store->all & ~op->tally.behind,
            op->put->bucket, op->put->key, &op->current.version, NULL, NULL);
    }

    /* where a drive's answer rules out a YES, only the fence is left */

    s3_put_resolve(op, op->stale || op->tally.clock || op->tally.behind);
}


/* P_v, k_v, D_v: by the data, the parity of the class, and who is there. */

static int
s3_put_shape(s3_put_op_t *op, s3_entry_t *e)
{
    unsigned m, k, up;
    uint32_t holders;
    s3_store_t *store;

    store = op->store;
    m = s3_store_parity(store, e->storage_class);

    e->voters = s3_store_voters(store, e->kind == S3_KIND_TOMBSTONE);
    e->holders = 0;
    e->need = 0;
    e->layout = (uint8_t) op->layout;
    up = s3_count(e->voters);

    if (up < store->w) {
        return s3_store_too_few(store);
    }

    if (op->layout == S3_LAYOUT_NONE) {
        return S3_OK;
    }

    if (op->layout == S3_LAYOUT_BLOBS) {
        if (op->writer == NULL) {
            return S3_OK; /* only points at data that is durable already */
        }

        holders = op->ref.mask & op->result.alive & e->voters;
        k = op->ref.k;

        if (s3_count(holders) < (op->result.m0 ? k : k + 1)) {
            return s3_store_too_few(store);
        }

        e->holders = holders;
        e->need = (uint8_t) k;
        return S3_OK;
    }

    if (m > 0 && e->size <= S3_COPIES_MAX) {
        e->layout = S3_LAYOUT_COPIES;
        e->need = 1;
        e->holders = s3_place_first(
            &store->place,
            s3_place_slot(&store->place, op->put->bucket, op->put->key),
            e->voters, s3_max(m + 1, 2u));
        return s3_count(e->holders) >= 2 ? S3_OK : S3_EUNAVAIL;
    }

    e->layout = S3_LAYOUT_INLINE;
    e->holders = e->voters;

    if (m == 0) {
        e->need = (uint8_t) store->n;
        return up == store->n ? S3_OK : s3_store_too_few(store);
    }

    e->need = (uint8_t) s3_min(store->n - m, up - 1);

    return e->need ? S3_OK : S3_EUNAVAIL;
}


static void
s3_put_attempt(void *data)
{
    int rc;
    s3_put_op_t *op = data;
    s3_put_t *put;
    s3_entry_t *e;
    s3_record_t record;

    put = op->put;

    memset(&record, 0, sizeof(record));
    record.bucket = put->bucket;
    record.generation = put->generation;
    record.key = put->key;
    record.meta = put->meta;
    record.refs = op->refs_bytes;

    e = &record.entry;
    *e = put->entry;
    e->flags &= S3_F_KEEP;
    e->segment = 0;
    e->offset = 0;
    e->length = 0;

    rc = s3_put_shape(op, e);

    if (rc != S3_OK) {
        s3_put_finish(op, rc);
        return;
    }

    e->version = s3_store_version(op->store, &op->seen);

    if (op->conditional) {
        record.conditional = 1;
        record.expects = op->current.version;
    }

    /* no entry that was copied brings another object's with it */

    if (put->bucket >= S3_BUCKET_FIRST && (put->bucket & 3) == S3_SPACE_OBJECTS)
    {
        s3_entry_lineage(e, put->origin,
                         op->conditional && !put->blind ? &put->root : NULL);
    }

    op->payload = s3_payload_create(op->store, &record, op->data);

    memset(&op->tally, 0, sizeof(op->tally));
    op->revotes = 0;

    if (op->payload == NULL
        || s3_ballot_start(op->store, op->payload, e->voters, NULL, op->dead,
                           op->n_dead, 0, s3_put_voted, op)
               != S3_OK)
    {
        s3_put_finish(op, S3_ENOMEM);
    }
}


static void
s3_put_read(s3_newest_t *nw)
{
    int rc, live;
    s3_put_t *put;
    s3_put_op_t *op = nw->ctx;

    put = op->put;

    if (nw->rc != S3_OK && nw->rc != S3_ENOENT) {
        s3_put_finish(op, nw->rc);
        return;
    }

    if (s3_version_cmp(&nw->seen, &op->seen) > 0) {
        op->seen = nw->seen;
    }

    live = nw->rc == S3_OK && nw->entry.kind == S3_KIND_OBJECT;
    memset(&op->current, 0, sizeof(op->current));

    if (nw->rc == S3_OK) {
        op->current = nw->entry;
    }

    put->newest = op->current.version;
    put->root = s3_entry_root(&op->current);

    if (put->test) {
        rc = put->test(put, live ? &op->current : NULL);

        if (rc != S3_OK) {
            s3_put_finish(op, rc);
            return;
        }
    }

    if (put->entry.kind == S3_KIND_TOMBSTONE && !op->conditional && !live
        && !nw->doubt)
    {
        s3_put_finish(op, S3_OK);
        return;
    }

    s3_put_attempt(op);
}


static void
s3_put_newest(void *data)
{
    s3_put_op_t *op = data;

    if (s3_newest_start(op->store, op->put->bucket, op->put->key,
                        op->conditional ? 0 : S3_NEWEST_ANY, s3_put_read, op)
        != S3_OK)
    {
        s3_put_finish(op, S3_ENOMEM);
    }
}


static void
s3_put_begin(s3_put_op_t *op)
{
    op->conditional = op->put->test != NULL;

    if (op->conditional || op->put->entry.kind == S3_KIND_TOMBSTONE) {
        s3_put_newest(op);

    } else {
        s3_put_attempt(op);
    }
}


static void
s3_put_gathered(s3_gather_t *g)
{
    s3_put_op_t *op = g->ctx;

    if (g->rc != S3_OK) {
        s3_put_finish(op, g->rc == S3_ENOENT ? S3_EUNAVAIL : g->rc);
        return;
    }

    op->data = s3_buf_ref(g->data);
    s3_put_begin(op);
}


static int
s3_put_refs(s3_put_op_t *op, const s3_ref_t *refs, unsigned n)
{
    unsigned i;
    uint8_t *p;

    p = malloc((size_t) n * S3_REF_SIZE + 1);
    if (p == NULL) {
        return S3_ENOMEM;
    }

    for (i = 0; i < n; i++) {
        s3_ref_encode(p + (size_t) i * S3_REF_SIZE, &refs[i]);
    }

    op->refs_bytes = s3_str(p, (size_t) n * S3_REF_SIZE);
    op->layout = n ? S3_LAYOUT_BLOBS : S3_LAYOUT_NONE;

    return S3_OK;
}


static int
s3_put_from_writer(s3_put_op_t *op)
{
    s3_put_t *put;
    s3_writer_t *w;

    put = op->put;
    w = put->writer;

    if (w->rc != S3_OK) {
        return w->rc;
    }

    s3_writer_result(w, &op->result);
    s3_writer_pin(w);
    op->writer = w;
    put->entry.size = w->size;

    if (w->layout == S3_LAYOUT_BLOBS) {
        op->ref = w->ref;
        return s3_put_refs(op, &w->ref, 1);
    }

    op->layout = w->size ? S3_LAYOUT_INLINE : S3_LAYOUT_NONE;
    op->data = s3_buf_ref(op->result.data);

    return S3_OK;
}


/* S3_AGAIN: the data has to be fetched first. */

static int
s3_put_from_object(s3_put_op_t *op)
{
    uint8_t *p;
    s3_put_t *put;
    s3_object_t *o;

    put = op->put;
    o = put->object;
    put->entry.size = o->entry.size;

    switch (o->entry.layout) {

    case S3_LAYOUT_NONE:
        op->layout = S3_LAYOUT_NONE;
        return S3_OK;

    case S3_LAYOUT_BLOBS:
        p = malloc(o->record.refs.len + 1);
        if (p == NULL) {
            return S3_ENOMEM;
        }

        if (o->record.refs.len) {
            memcpy(p, o->record.refs.data, o->record.refs.len);
        }

        op->refs_bytes = s3_str(p, o->record.refs.len);
        op->layout = S3_LAYOUT_BLOBS;
        return S3_OK;

    default:
        op->layout = S3_LAYOUT_INLINE;
        return S3_AGAIN;
    }
}


static int
s3_put_source(s3_put_op_t *op)
{
    int rc;
    unsigned i;
    s3_put_t *put;

    put = op->put;

    if (put->key.len == 0 || put->key.len > S3_MAX_KEY
        || put->meta.len > S3_MAX_META || put->n_refs > S3_MAX_REFS
        || put->entry.extra_len > S3_MAX_EXTRA
        || (put->entry.kind != S3_KIND_OBJECT
            && put->entry.kind != S3_KIND_TOMBSTONE))
    {
        return S3_EINVAL;
    }

    if (put->entry.kind == S3_KIND_TOMBSTONE) {
        put->entry.size = 0;
        return S3_OK;
    }

    if (put->writer) {
        return s3_put_from_writer(op);
    }

    if (put->object) {
        return s3_put_from_object(op);
    }

    put->entry.size = 0;

    if (put->n_refs) {
        rc = s3_put_refs(op, put->refs, put->n_refs);

        for (i = 0; i < put->n_refs; i++) {
            put->entry.size += put->refs[i].size;
        }

        return rc;
    }

    return S3_OK;
}


void
s3_store_put(s3_put_t *put)
{
    int rc;
    s3_put_op_t *op;

    put->version = s3_version_none;

    op = calloc(1, sizeof(s3_put_op_t));
    if (op == NULL) {
        put->rc = S3_ENOMEM;
        put->done(put);
        return;
    }

    put->store->refs++;
    op->store = put->store;
    op->put = put;
    op->refs = 1;
    op->layout = S3_LAYOUT_NONE;
    op->timer.handler = s3_put_timeout;
    op->timer.ctx = op;

    rc = s3_put_source(op);

    if (rc == S3_AGAIN) {
        rc = s3_gather_start(op->store, put->bucket, put->key,
                             &put->object->entry, put->object->entry.voters,
                             NULL, S3_GATHER_DATA, s3_put_gathered, op);
        if (rc == S3_OK) {
            return;
        }
    }

    if (rc != S3_OK) {
        s3_put_finish(op, rc);
        return;
    }

    s3_put_begin(op);
}
