#include "storage/s3_store_int.h"

#include "storage/s3_commit.h"
#include "storage/s3_recent.h"

#include <stdlib.h>


s3_store_t *
s3_store_create(const s3_store_conf_t *conf)
{
    unsigned i, k;
    s3_store_t *store;

    if (conf->n == 0 || conf->n > S3_MAX_DRIVES || conf->loop == NULL
        || conf->clock == NULL)
    {
        return NULL;
    }

    for (i = 0; i < S3_CLASSES; i++) {
        if (conf->parity[i] >= conf->n) {
            return NULL;
        }
    }

    for (i = 0; i < conf->n; i++) {
        if (conf->drives[i] == NULL) {
            return NULL;
        }
    }

    store = calloc(1, sizeof(s3_store_t));
    if (store == NULL) {
        return NULL;
    }

    store->code = s3_code_create();
    if (store->code == NULL) {
        free(store);
        return NULL;
    }

    if (conf->recent) {
        store->recent = s3_recent_create(conf->recent);

        if (store->recent == NULL) {
            s3_code_destroy(store->code);
            free(store);
            return NULL;
        }
    }

    store->conf = *conf;
    store->loop = conf->loop;
    store->n = conf->n;
    store->all = conf->n == 32 ? UINT32_MAX : s3_bit(conf->n) - 1;
    store->refs = 1;

    if (store->conf.hedge_ms == 0) {
        store->conf.hedge_ms = 1000;
    }

    k = store->n - conf->parity[0];
    store->w = s3_max(k, store->n / 2 + !s3_break(HALF_QUORUM));
    store->r = store->n - store->w + 1;
    store->ask = s3_max(store->r, s3_min(store->n, 2u));

    s3_place_init(&store->place, store->n, conf->seed);

    return store;
}


void
s3_store_seed(s3_store_t *store, uint64_t seed)
{
    store->conf.seed = seed;
    s3_place_init(&store->place, store->n, seed);
}


void
s3_store_release(s3_store_t *store)
{
    if (--store->refs) {
        return;
    }

    s3_units_free(&store->units);

    while (store->n_scratch) {
        free(store->scratch[--store->n_scratch]);
    }

    s3_recent_destroy(store->recent);
    s3_code_destroy(store->code);
    free(store);
}


void
s3_store_destroy(s3_store_t *store)
{
    if (store == NULL || store->closed) {
        return;
    }

    store->closed = 1;
    s3_store_heal(store, 0);

    if (store->heal) {
        s3_heal_destroy(store->heal);
        store->heal = NULL;
    }

    if (store->doubts) {
        s3_doubts_destroy(store->doubts);
        store->doubts = NULL;
    }

    s3_store_release(store);
}


void
s3_store_trim(s3_store_t *store)
{
    s3_units_trim(&store->units);
}


uint32_t
s3_store_voters(s3_store_t *store, int tombstone)
{
    unsigned d;
    uint32_t mask;
    s3_drive_state_t state;

    mask = 0;

    for (d = 0; d < store->n; d++) {
        state = store->conf.drives[d]->state;

        if (state == S3_DRIVE_OK || (tombstone && state == S3_DRIVE_FULL)) {
            mask |= s3_bit(d);
        }
    }

    return mask;
}


int
s3_store_too_few(s3_store_t *store)
{
    uint32_t full, all = s3_store_voters(store, 1);

    full = all & ~s3_store_voters(store, 0);

    return full && s3_count(all) >= store->w ? S3_ENOSPC : S3_EUNAVAIL;
}


uint32_t
s3_store_reachable(s3_store_t *store)
{
    unsigned d;
    uint32_t mask;

    mask = 0;

    for (d = 0; d < store->n; d++) {
        if (s3_drive_readable(store->conf.drives[d])) {
            mask |= s3_bit(d);
        }
    }

    return mask;
}


uint32_t
s3_store_counted(s3_store_t *store)
{
    unsigned d;
    uint32_t mask;

    mask = s3_store_reachable(store);

    for (d = 0; d < store->n; d++) {
        if ((store->conf.drives[d]->state == S3_DRIVE_REFILLING
             || store->conf.drives[d]->refilling)
            && !s3_break(AMNESIA))
        {
            mask &= ~s3_bit(d);
        }
    }

    return mask;
}


unsigned
s3_store_parity(s3_store_t *store, unsigned storage_class)
{
    return store->conf.parity[storage_class < S3_CLASSES ? storage_class : 0];
}


s3_version_t
s3_store_version(s3_store_t *store, const s3_version_t *seen)
{
    s3_version_t v;

    v.time = store->conf.clock(store->conf.clock_ctx);
    v.node = store->conf.node;
    store->loop->random(store->loop, &v.rand, sizeof(v.rand));

    if (v.time <= seen->time && seen->time < UINT64_MAX) {
        v.time = seen->time + 1;
    }

    return v;
}


uint64_t
s3_store_random(s3_store_t *store, uint64_t below)
{
    uint64_t r;

    if (below == 0) {
        return 0;
    }

    store->loop->random(store->loop, &r, sizeof(r));

    return r % below;
}


/* AddressSanitizer shall see each use of what was given back. */

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define S3_SCRATCH_NONE 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define S3_SCRATCH_NONE 1
#endif

#ifndef S3_SCRATCH_NONE
#define S3_SCRATCH_NONE 0
#endif


void *
s3_scratch_get(s3_store_t *store, size_t size)
{
    if (S3_SCRATCH_NONE || size > S3_SCRATCH_SIZE) {
        return malloc(size);
    }

    return store->n_scratch ? store->scratch[--store->n_scratch]
                            : malloc(S3_SCRATCH_SIZE);
}


void
s3_scratch_put(s3_store_t *store, void *p, size_t size)
{
    if (p == NULL || S3_SCRATCH_NONE || size > S3_SCRATCH_SIZE
        || store->n_scratch == S3_SCRATCH_KEPT)
    {
        free(p);
        return;
    }

    store->scratch[store->n_scratch++] = p;
}


void *
s3_unit_alloc(s3_store_t *store, size_t size)
{
    if (size == S3_BLOB_UNIT) {
        return s3_units_get(&store->units);
    }

    return aligned_alloc(S3_SECTOR, size);
}


void
s3_unit_free(s3_store_t *store, void *unit, size_t size)
{
    if (unit && size == S3_BLOB_UNIT) {
        s3_units_put(&store->units, unit);
        return;
    }

    free(unit);
}


s3_buf_t *
s3_buf_create(size_t cap)
{
    s3_buf_t *buf;

    buf = malloc(sizeof(s3_buf_t) + cap + S3_BUF_SPARE);
    if (buf == NULL) {
        return NULL;
    }

    buf->refs = 1;
    buf->len = 0;
    buf->cap = cap + S3_BUF_SPARE;

    return buf;
}


void
s3_buf_release(s3_buf_t *buf)
{
    if (buf && --buf->refs == 0) {
        free(buf);
    }
}


/* CLOSE: W and the drives that have closed must meet, so n - W + 1 of them. */

typedef struct {
    s3_store_t *store;
    s3_shut_t *shut;
    unsigned waiting;
    uint32_t closed;
    unsigned refs;
    s3_timer_t timer;
    s3_close_t closes[];
} s3_shut_op_t;


static void
s3_shut_release(s3_shut_op_t *op)
{
    if (--op->refs) {
        return;
    }

    s3_store_release(op->store);
    free(op);
}


static void
s3_shut_finish(s3_shut_op_t *op)
{
    s3_shut_t *shut;

    shut = op->shut;

    if (shut == NULL) {
        return;
    }

    op->shut = NULL;

    if (op->timer.set) {
        op->store->loop->del_timer(op->store->loop, &op->timer);
    }

    shut->drives = op->closed;
    shut->rc = (unsigned) __builtin_popcount(op->closed) >= op->store->r
                   ? S3_OK
                   : S3_EUNAVAIL;
    shut->done(shut);
    s3_shut_release(op);
}


static void
s3_shut_answer(s3_req_t *req)
{
    s3_shut_op_t *op = req->ctx;

    if (req->rc == S3_OK) {
        op->closed |= s3_bit(req->drive);
    }

    if (--op->waiting == 0) {
        s3_shut_finish(op);
    }

    s3_shut_release(op);
}


static void
s3_shut_timeout(s3_timer_t *timer)
{
    s3_shut_finish(timer->ctx);
}


void
s3_store_close_bucket(s3_shut_t *shut)
{
    unsigned d;
    s3_drive_t *drive;
    s3_store_t *store;
    s3_shut_op_t *op;

    store = shut->store;

    op = calloc(1, sizeof(s3_shut_op_t) + store->n * sizeof(s3_close_t));
    if (op == NULL) {
        shut->rc = S3_ENOMEM;
        shut->done(shut);
        return;
    }

    store->refs++;
    op->store = store;
    op->shut = shut;
    op->refs = 2;
    op->waiting = 1;
    op->timer.handler = s3_shut_timeout;
    op->timer.ctx = op;

    for (d = 0; d < store->n; d++) {
        drive = store->conf.drives[d];

        if (!s3_drive_readable(drive)) {
            continue;
        }

        op->closes[d].req.done = s3_shut_answer;
        op->closes[d].req.ctx = op;
        op->closes[d].req.drive = d;
        op->closes[d].bucket = shut->bucket;
        op->closes[d].generation = shut->generation;

        op->refs++;
        op->waiting++;
        drive->ops->close_bucket(drive, &op->closes[d]);
    }

    if (--op->waiting == 0) {
        s3_shut_finish(op);

    } else {
        store->loop->set_timer(store->loop, &op->timer,
                               4 * store->conf.hedge_ms);
    }

    s3_shut_release(op);
}
