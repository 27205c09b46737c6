#include "storage/s3_heal_int.h"

#include <stdlib.h>


/*
 * Background work of one process: notes of what drives have missed are worked
 * off, versions in doubt are settled, drives that are new are filled, and
 * everything is read from time to time.
 *
 *   notes on drive 0, 1, ... ──► target is back? ──► repair ──► note gone
 *                                                               everywhere
 *
 * One pass reads the notes of one drive after the other, a page at a time; at
 * most S3_HEAL_JOBS keys are being worked on.  A note that could not be worked
 * off stays for a later pass: soon where drives have come back since, else
 * later each time.
 */

#define S3_HEAL_PAGE 64
#define S3_HEAL_TICK 1000 /* ms */
#define S3_HEAL_REST 4    /* ticks between passes over the notes */
#define S3_HEAL_REST_MAX 600


struct s3_heal_s {
    s3_store_t *store; /* NULL: destroyed */
    unsigned refs;
    unsigned n_jobs;
    unsigned failed; /* of this pass */
    unsigned rest;   /* ticks until the next pass */
    unsigned delay;  /* of the next rest, where the pass fails */
    uint32_t up;     /* drives that could be written to at its start */
    uint32_t up_now; /* ... at the last tick */
    unsigned on : 1;
    unsigned passing : 1;
    unsigned scanning : 1;
    unsigned walking : 1;
    unsigned counting : 1;
    unsigned due : 1; /* a pass, once it is counted */
    s3_pending_count_t *count;
    s3_timer_t timer;
    s3_pending_t pending;
    s3_note_jobs_t jobs;
    uint32_t unread; /* drives of which not all notes were read */

    unsigned drive; /* whose notes are being read */
    uint8_t target; /* and of what drive they are: the keys' first byte */
    unsigned next;  /* item of the page */
    unsigned valid : 1;
    s3_scan_t scan;
    size_t from_len;
    uint8_t from[S3_MAX_KEY];

    s3_refill_t *refill[S3_MAX_DRIVES];
    s3_scrub_t *scrub;
};


static void s3_heal_go(s3_heal_t *heal);


static void
s3_heal_release(s3_heal_t *heal)
{
    if (--heal->refs) {
        return;
    }

    if (heal->valid) {
        s3_scan_release(&heal->scan);
    }

    free(heal);
}


/* Each job counts on the healer, which outlives the store. */

static void
s3_heal_failed(s3_heal_t *heal, unsigned target)
{
    heal->failed++;
    s3_pending_add(&heal->pending, target);
}


static void
s3_heal_worked(void *ctx, unsigned target, int rc)
{
    s3_heal_t *heal = ctx;
    s3_store_t *store = heal->jobs.store;

    if (rc == S3_OK) {
        store->stats.repaired++;
        s3_drive_count(store->conf.drives[target], repaired);
        s3_pending_worked(store, target);

    } else {
        store->stats.failed++;
        s3_heal_failed(heal, target);
    }

    heal->n_jobs--;
    s3_heal_go(heal);
    s3_heal_release(heal);
}


/* Notes */

/* A drive that is being filled gets its notes later: the object may have to be
 * coded anew, over it too. */

static int
s3_heal_takes(s3_heal_t *heal, unsigned target)
{
    s3_drive_t *d;

    d = heal->store->conf.drives[target];

    return s3_drive_writable(d) && d->state != S3_DRIVE_REFILLING;
}


/* 1: a job was begun. */

static int
s3_heal_note(s3_heal_t *heal, const s3_item_t *item)
{
    int i;
    unsigned target;
    uint64_t bucket;
    s3_version_t version;

    if (item->key.len < 9 || item->n == 0) {
        return 0;
    }

    target = item->key.data[0];

    if (target >= heal->store->n) {
        return 0;
    }

    if (!s3_heal_takes(heal, target)) {
        return 0;
    }

    bucket = 0;

    for (i = 1; i < 9; i++) {
        bucket = bucket << 8 | item->key.data[i];
    }

    version = item->entries[0].version;

    heal->refs++;
    heal->n_jobs++;

    if (s3_note_job_start(&heal->jobs, target, bucket,
                          s3_str(item->key.data + 9, item->key.len - 9),
                          &version)
        != S3_OK)
    {
        s3_heal_failed(heal, target);
        heal->n_jobs--;
        heal->refs--;
        return 0;
    }

    return 1;
}


static void
s3_heal_scanned(s3_req_t *req)
{
    s3_scan_t *scan = s3_container(req, s3_scan_t, req);
    s3_heal_t *heal = s3_container(scan, s3_heal_t, scan);

    heal->scanning = 0;

    if (req->rc == S3_OK) {
        heal->valid = 1;
        heal->next = 0;

    } else {
        s3_scan_release(scan);
        heal->unread = UINT32_MAX;
        heal->drive++;
        heal->target = 0;
        heal->from_len = 0;
        s3_pending_next_holder(&heal->pending);
    }

    s3_heal_go(heal);
    s3_heal_release(heal);
}


/* The next page of notes; 0: the pass is over. */

static int
s3_heal_scan(s3_heal_t *heal)
{
    size_t len;
    s3_str_t key;
    s3_drive_t *d;
    s3_store_t *store;

    store = heal->store;

    if (heal->valid) {
        heal->valid = 0;

        if (heal->scan.n == 0 || heal->scan.end) {
            heal->target++;
            heal->from_len = 0;

        } else {
            key = heal->scan.items[heal->scan.n - 1].key;
            len = s3_min(key.len, sizeof(heal->from));
            memcpy(heal->from, key.data, len);
            heal->from_len = len;
        }

        s3_scan_release(&heal->scan);
    }

    /* notes of a drive that is still away can wait unread */

    while (heal->drive < store->n
           && (heal->target >= store->n
               || !s3_drive_readable(store->conf.drives[heal->drive])
               || !s3_heal_takes(heal, heal->target)))
    {
        if (heal->target >= store->n
            || !s3_drive_readable(store->conf.drives[heal->drive]))
        {
            heal->drive++;
            heal->target = 0;
            s3_pending_next_holder(&heal->pending);

        } else {
            heal->unread |= s3_bit(heal->target);
            heal->target++;
        }

        heal->from_len = 0;
    }

    if (heal->drive >= store->n) {
        return 0;
    }

    memset(&heal->scan, 0, sizeof(heal->scan));
    heal->scan.req.done = s3_heal_scanned;
    heal->scan.req.ctx = heal;
    heal->scan.req.drive = heal->drive;
    heal->scan.bucket = S3_BUCKET_NOTES;
    heal->scan.from = s3_str(heal->from, heal->from_len);
    heal->scan.after = heal->from_len != 0;
    heal->scan.prefix = s3_str(&heal->target, 1);
    heal->scan.max = S3_HEAL_PAGE;

    heal->scanning = 1;
    heal->refs++;
    d = store->conf.drives[heal->drive];
    d->ops->list(d, &heal->scan);

    return 1;
}


static void
s3_heal_pass_over(s3_heal_t *heal)
{
    heal->passing = 0;
    heal->rest = S3_HEAL_REST;
    s3_pending_end(&heal->pending, ~heal->unread);

    if (heal->failed == 0) {
        heal->delay = S3_HEAL_REST;
        return;
    }

    heal->rest = heal->delay;
    heal->delay = s3_min(heal->delay * 2, (unsigned) S3_HEAL_REST_MAX);
}


static void
s3_heal_walk(s3_heal_t *heal)
{
    while (heal->on && heal->store) {

        if (heal->n_jobs >= S3_HEAL_JOBS || heal->scanning) {
            return;
        }

        if (!heal->passing) {
            return;
        }

        if (heal->valid && heal->next < heal->scan.n) {
            (void) s3_heal_note(heal, &heal->scan.items[heal->next++]);
            continue;
        }

        if (!s3_heal_scan(heal)) {
            if (heal->n_jobs == 0) {
                s3_heal_pass_over(heal);
            }

            return;
        }
    }
}


static void
s3_heal_go(s3_heal_t *heal)
{
    if (heal->walking) {
        return;
    }

    heal->walking = 1;
    s3_heal_walk(heal);
    heal->walking = 0;
}


/* Drives that are new at their place. */

static void
s3_heal_refill(s3_heal_t *heal)
{
    unsigned d;
    s3_store_t *store;

    store = heal->store;
    store->stats.refilling = 0;

    for (d = 0; d < store->n; d++) {

        if (store->conf.drives[d]->state != S3_DRIVE_REFILLING) {
            if (heal->refill[d]) {
                s3_refill_stop(heal->refill[d]);
                heal->refill[d] = NULL;
            }

            continue;
        }

        store->stats.refilling |= s3_bit(d);

        if (heal->refill[d] == NULL) {
            heal->refill[d] = s3_refill_start(store, d);

        } else if (s3_refill_over(heal->refill[d]) && store->conf.refilled) {
            store->conf.refilled(store->conf.refilled_ctx, d);
        }
    }
}


static void
s3_heal_forget(s3_heal_t *heal)
{
    memset(&heal->jobs.healed, 0, sizeof(heal->jobs.healed));
}


static void
s3_heal_pass_begin(s3_heal_t *heal)
{
    heal->due = 0;
    heal->rest = 0;
    heal->unread = 0;
    heal->passing = 1;
    heal->failed = 0;
    heal->drive = 0;
    heal->target = 0;
    heal->from_len = 0;
    s3_pending_begin(&heal->pending, heal->store);
    s3_heal_forget(heal);
}


static void
s3_heal_counted(void *ctx)
{
    s3_heal_t *heal = ctx;

    heal->counting = 0;
    heal->count = NULL;

    if (heal->due && heal->on && heal->store) {
        s3_heal_pass_begin(heal);
        s3_heal_go(heal);
    }

    s3_heal_release(heal);
}


/* What nobody has counted yet passes for something pending. */

static void
s3_heal_count(s3_heal_t *heal)
{
    heal->counting = 1;
    heal->refs++;
    heal->count = s3_pending_count(heal->store, s3_heal_counted, heal);
}


static void
s3_heal_pass(s3_heal_t *heal)
{
    uint32_t up;

    up = s3_store_voters(heal->store, 0);

    /* what comes back need not be what has gone */

    if (up != heal->up_now) {
        heal->up_now = up;
        s3_heal_forget(heal);
    }

    if (heal->passing || heal->counting
        || (heal->rest && heal->rest-- && up == heal->up))
    {
        return;
    }

    if (up == heal->up) {
        s3_heal_pass_begin(heal);
        return;
    }

    heal->up = up;
    heal->delay = S3_HEAL_REST;
    heal->due = 1;
    s3_heal_count(heal);
}


static void
s3_heal_tick(s3_timer_t *timer)
{
    s3_heal_t *heal = timer->ctx;

    if (!heal->on || heal->store == NULL) {
        return;
    }

    heal->refs++;

    s3_heal_refill(heal);

    if (heal->store->conf.scrub_period && heal->scrub == NULL) {
        heal->scrub = s3_scrub_start(heal->store);
    }

    s3_doubts_tick(heal->store->doubts);
    s3_heal_pass(heal);
    s3_heal_go(heal);

    if (heal->on && heal->store) {
        heal->store->loop->set_timer(heal->store->loop, &heal->timer,
                                     S3_HEAL_TICK);
    }

    s3_heal_release(heal);
}


static void
s3_heal_stop(s3_heal_t *heal)
{
    unsigned d;

    for (d = 0; d < S3_MAX_DRIVES; d++) {
        if (heal->refill[d]) {
            s3_refill_stop(heal->refill[d]);
            heal->refill[d] = NULL;
        }
    }

    if (heal->scrub) {
        s3_scrub_stop(heal->scrub);
        heal->scrub = NULL;
    }

    if (heal->count) {
        s3_pending_stop(heal->count);
    }
}


void
s3_store_heal_stats(s3_store_t *store, s3_heal_stats_t *stats)
{
    *stats = store->stats;
}


void
s3_store_heal(s3_store_t *store, int on)
{
    s3_heal_t *heal;

    heal = store->heal;

    if (heal == NULL) {
        if (!on) {
            return;
        }

        if (store->doubts == NULL) {
            store->doubts = s3_doubts_create(store);
        }

        heal = store->doubts ? calloc(1, sizeof(s3_heal_t)) : NULL;
        if (heal == NULL) {
            return;
        }

        heal->store = store;
        heal->jobs.store = store;
        heal->jobs.done = s3_heal_worked;
        heal->jobs.ctx = heal;
        s3_pending_begin(&heal->pending, store);
        heal->refs = 1;
        heal->delay = S3_HEAL_REST;
        heal->timer.handler = s3_heal_tick;
        heal->timer.ctx = heal;
        heal->timer.background = 1;
        store->heal = heal;
    }

    heal->on = on != 0;
    s3_doubts_on(store->doubts, on);

    if (on && !heal->counting && !heal->passing) {
        s3_heal_count(heal);
    }

    if (on && !heal->timer.set) {
        store->loop->set_timer(store->loop, &heal->timer, S3_HEAL_TICK);

    } else if (!on && heal->timer.set) {
        store->loop->del_timer(store->loop, &heal->timer);
    }

    if (!on) {
        s3_heal_stop(heal);
    }
}


void
s3_heal_destroy(s3_heal_t *heal)
{
    heal->on = 0;
    heal->store = NULL;
    s3_heal_release(heal);
}
