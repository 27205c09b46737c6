#include "storage/s3_scrub_int.h"

#include <stdlib.h>


/*
 * Everything is read once in a period, one drive after the other:
 *
 *   count ──► keys of the drive ──► leaks ──► next drive
 *                 │
 *                 ├─ its record, its units of every blob: what does not hold
 *                 │  is made anew from the others
 *                 ├─ the drive after it has the key, too?  (round the circle:
 *                 │  all of them have it)
 *                 └─ more drives up than when it was written?  recode
 *
 * Each drive has its share of the period, and each key its share of that by
 * what has to be read, so the load is even.  Progress is in memory: a new
 * process begins with a drive drawn by lot.
 */

#define S3_SCRUB_BURST 64  /* keys between breaths */
#define S3_SCRUB_NAP 60000 /* ms, at most */
#define S3_SCRUB_COUNT 5   /* ms between bursts of counting */
#define S3_SCRUB_AGE (24 * 60 * 60)
#define S3_SCRUB_BITS_MIN 16
#define S3_SCRUB_BITS_MAX 27


void
s3_scrub_release(s3_scrub_t *s)
{
    if (--s->refs) {
        return;
    }

    free(s->known.words);
    s3_store_release(s->store);
    free(s);
}


static void
s3_scrub_pause(s3_scrub_t *s, uint64_t ms)
{
    if (s->on) {
        s->store->loop->set_timer(s->store->loop, &s->timer, s3_max(ms, 1u));
    }
}


/* What a key costs: 1, and 1 for each unit of its blobs on this drive. */

static uint64_t
s3_scrub_weight(s3_scrub_t *s, const s3_item_t *item)
{
    unsigned i, k;
    uint64_t weight;
    const s3_entry_t *e;

    weight = 1;

    for (i = 0; i < item->n; i++) {
        e = &item->entries[i];

        if (e->kind == S3_KIND_OBJECT && e->layout == S3_LAYOUT_BLOBS) {
            k = s->store->n - s3_store_parity(s->store, e->storage_class);
            weight += e->size / s3_stripe_size(k) + 1;
        }
    }

    return weight;
}


static void
s3_scrub_leaks_done(s3_req_t *req)
{
    s3_leaks_t *leaks = s3_container(req, s3_leaks_t, req);
    s3_scrub_t *s = s3_container(leaks, s3_scrub_t, leaks);

    if (leaks->removed) {
        s->store->stats.leaks += leaks->removed;
        s->store->loop->log(s->store->loop, S3_LOG_NOTICE,
                            "drive %u: %llu blobs removed that no record lists",
                            req->drive + 1,
                            (unsigned long long) leaks->removed);
    }

    s->jobs--;
    s3_scrub_go(s);
    s3_scrub_release(s);
}


static void
s3_scrub_ready(void *ctx)
{
    s3_scrub_go(ctx);
}


static uint64_t
s3_scrub_now(s3_scrub_t *s)
{
    return s->store->loop->mono_ms(s->store->loop);
}


static int
s3_scrub_walk(s3_scrub_t *s, s3_scrub_phase_t phase)
{
    s3_walk_destroy(s->walk);
    s->walk = s3_walk_create(s->store, s->drive, s3_scrub_ready, s);
    s->phase = phase;

    return s->walk != NULL;
}


/* For those who look. */

static void
s3_scrub_show(s3_scrub_t *s, uint64_t done, uint64_t total)
{
    s3_drive_t *d;

    d = s->store->conf.drives[s->drive];
    s3_drive_show(d, scrub_done, done);
    s3_drive_show(d, scrub_total, total);
}


static void
s3_scrub_rest(s3_scrub_t *s)
{
    uint64_t elapsed;

    s3_walk_destroy(s->walk);
    s->walk = NULL;

    s->drive = (s->drive + 1) % s->store->n;
    s->turn++;

    if (s->turn == s->store->n) {
        s->turn = 0;
        s->store->stats.passes++;
    }

    elapsed = s3_scrub_now(s) - s->since;
    s->rest = elapsed < s->share ? s->share - elapsed : 0;
    s->since = s3_scrub_now(s);
    s->phase = S3_SCRUB_RESTING;
}


static void
s3_scrub_begin(s3_scrub_t *s)
{
    s3_store_t *store;
    s3_drive_t *d;

    store = s->store;
    d = store->conf.drives[s->drive];
    s3_scrub_show(s, 0, 0);
    s->since = s3_scrub_now(s);
    s->share = store->conf.scrub_period * 1000 / store->n;
    s->began = store->loop->wall_us(store->loop) / 1000000;
    s->total = 0;
    s->done = 0;
    s->blobs = 0;
    s->torn = 0;

    if (d->state == S3_DRIVE_OK && d->ops->verify) {
        d->ops->verify(d);
    }

    if (d->state != S3_DRIVE_OK || !s3_scrub_walk(s, S3_SCRUB_COUNTING)) {
        s3_scrub_rest(s);
    }
}


static int
s3_scrub_counted(s3_scrub_t *s)
{
    unsigned log2;

    for (log2 = S3_SCRUB_BITS_MIN;
         log2 < S3_SCRUB_BITS_MAX && (uint64_t) 1 << log2 < 16 * s->blobs;
         log2++)
    {
        /* void */
    }

    free(s->known.words);
    s->known.log2 = log2;
    s->known.words = calloc(((size_t) 1 << log2) / 64, sizeof(uint64_t));

    return s->known.words && s3_scrub_walk(s, S3_SCRUB_READING);
}


static void
s3_scrub_leaks(s3_scrub_t *s)
{
    s3_drive_t *d;

    s3_walk_destroy(s->walk);
    s->walk = NULL;
    s->phase = S3_SCRUB_LEAKS;
    d = s->store->conf.drives[s->drive];

    if (s->torn || d->ops->leaks == NULL || s->began < S3_SCRUB_AGE) {
        return;
    }

    memset(&s->leaks, 0, sizeof(s->leaks));
    s->leaks.req.done = s3_scrub_leaks_done;
    s->leaks.req.ctx = s;
    s->leaks.req.drive = s->drive;
    s->leaks.known = &s->known;
    s->leaks.before = s->began - S3_SCRUB_AGE;

    s->jobs++;
    s->refs++;
    d->ops->leaks(d, &s->leaks);
}


/* How long the next key has to wait: ms. */

static uint64_t
s3_scrub_due(s3_scrub_t *s)
{
    uint64_t due, elapsed;

    if (s->total == 0) {
        return 0;
    }

    elapsed = s3_scrub_now(s) - s->since;
    due = (uint64_t) ((double) s->share * 0.95 * (double) s->done
                      / (double) s->total);

    return due > elapsed ? s3_min(due - elapsed, (uint64_t) S3_SCRUB_NAP) : 0;
}


static int
s3_scrub_counting(s3_scrub_t *s)
{
    int rc;
    uint64_t bucket, weight;
    const s3_item_t *item;

    if (s->burst >= S3_SCRUB_BURST) {
        s3_scrub_pause(s, S3_SCRUB_COUNT);
        return 0;
    }

    rc = s3_walk_next(s->walk, &bucket, &item);

    if (rc == S3_OK) {
        weight = s3_scrub_weight(s, item);
        s->burst++;
        s->total += weight;
        s->blobs += weight - 1;
        return 1;
    }

    if (rc == S3_AGAIN) {
        return 0;
    }

    if (rc != S3_DONE || !s3_scrub_counted(s)) {
        s3_scrub_rest(s);
    }

    return 1;
}


static int
s3_scrub_reading(s3_scrub_t *s)
{
    int rc;
    uint64_t bucket, due;
    const s3_item_t *item;

    if (s->jobs >= S3_HEAL_JOBS) {
        return 0;
    }

    due = s3_scrub_due(s);

    if (due || s->burst >= S3_SCRUB_BURST) {
        s3_scrub_pause(s, due);
        return 0;
    }

    rc = s3_walk_next(s->walk, &bucket, &item);

    if (rc == S3_OK) {
        s->burst++;
        s->done += s3_scrub_weight(s, item);
        s3_scrub_show(s, s3_min(s->done, s->total), s->total);
        s3_scrub_check(s, bucket, item);
        return 1;
    }

    if (rc == S3_AGAIN || s->jobs) {
        return 0;
    }

    if (rc != S3_DONE) {
        s3_scrub_rest(s);

    } else {
        s3_scrub_leaks(s);
    }

    return 1;
}


/* 0: something has to be waited for. */

static int
s3_scrub_step(s3_scrub_t *s)
{
    uint64_t elapsed;

    if (!s->on || s->store->closed) {
        return 0;
    }

    switch (s->phase) {

    case S3_SCRUB_COUNTING:
        return s3_scrub_counting(s);

    case S3_SCRUB_READING:
        return s3_scrub_reading(s);

    case S3_SCRUB_LEAKS:
        if (s->jobs) {
            return 0;
        }

        s3_scrub_show(s, 1, 1);
        s3_scrub_rest(s);
        return 1;

    default:
        elapsed = s3_scrub_now(s) - s->since;

        if (elapsed < s->rest || s->burst) {
            s3_scrub_pause(s,
                           s3_min(elapsed < s->rest ? s->rest - elapsed : 1000,
                                  (uint64_t) S3_SCRUB_NAP));
            return 0;
        }

        s->burst = 1;
        s3_scrub_begin(s);
        return 1;
    }
}


void
s3_scrub_go(s3_scrub_t *s)
{
    if (s->going) {
        s->again = 1;
        return;
    }

    s->going = 1;
    s->refs++;

    do {
        s->again = 0;

        while (s3_scrub_step(s)) {
            /* void */
        }

    } while (s->again);

    s->going = 0;
    s3_scrub_release(s);
}


static void
s3_scrub_timer(s3_timer_t *timer)
{
    s3_scrub_t *s = timer->ctx;

    s->burst = 0;
    s3_scrub_go(s);
}


s3_scrub_t *
s3_scrub_start(s3_store_t *store)
{
    s3_scrub_t *s;

    s = calloc(1, sizeof(s3_scrub_t));
    if (s == NULL) {
        return NULL;
    }

    store->refs++;
    s->store = store;
    s->refs = 1;
    s->on = 1;
    s->phase = S3_SCRUB_RESTING;
    s->drive = (unsigned) s3_store_random(store, store->n);
    s->timer.handler = s3_scrub_timer;
    s->timer.ctx = s;
    s->timer.background = 1;
    s->since = s3_scrub_now(s);

    s3_scrub_pause(s, 1000);

    return s;
}


void
s3_scrub_stop(s3_scrub_t *s)
{
    s->on = 0;

    if (s->timer.set) {
        s->store->loop->del_timer(s->store->loop, &s->timer);
    }

    s3_walk_destroy(s->walk);
    s->walk = NULL;
    s3_scrub_release(s);
}
