#include "storage/s3_heal_int.h"

#include <stdlib.h>


/*
 * A drive that is new at its place gets what the others have.
 *
 *   closed buckets of all ──► walk of drive 0 ──► walk of drive 1 ──► ...
 *                                │ key
 *                                ▼
 *                   the drive has it? ──no──► repair(drive, key)
 *                   and can read it, where it has lost records?
 *
 * A committed version that the old drive was needed for is on W - 1 of the
 * others, so one of any n - W + 1 of them shows it: so many have to be walked
 * through without a failure.  Until then the drive's answers do not count.
 * What is written meanwhile has other voters, and is noted for it.
 *
 * A second walk finds nearly everything there already and costs a look into
 * the drive's index for each key.  So does starting over.
 */

#define S3_REFILL_TICK 1     /* ms between bursts */
#define S3_REFILL_BURST 64   /* keys */
#define S3_REFILL_RETRY 5000 /* ms after a pass that failed */


typedef struct {
    s3_refill_t *refill;
    uint64_t bucket;
    s3_version_t version; /* newest record of the source */
    s3_lookup_t lookup;
    s3_entry_t held; /* as new or newer, on the drive */
    s3_fetch_t fetch;
    s3_str_t key;
    uint8_t bytes[];
} s3_refill_key_t;


typedef struct {
    s3_refill_t *refill;
    s3_close_t close;
} s3_refill_close_t;


struct s3_refill_s {
    s3_store_t *store;
    unsigned drive;
    unsigned refs;
    unsigned jobs;
    unsigned burst;
    uint64_t failed;
    unsigned on : 1;
    unsigned going : 1;
    unsigned again : 1;
    unsigned over : 1;
    unsigned told : 1;

    uint32_t sources; /* still to be walked in this pass */
    uint32_t walked;
    unsigned source;
    unsigned closing : 1; /* closed buckets come first */
    unsigned scanning : 1;
    unsigned valid : 1;
    unsigned next;
    s3_scan_t scan;
    size_t from_len;
    uint8_t from[S3_MAX_KEY];
    s3_walk_t *walk;
    s3_timer_t timer;
};


static void s3_refill_go(s3_refill_t *r);


static void
s3_refill_release(s3_refill_t *r)
{
    if (--r->refs) {
        return;
    }

    if (r->valid) {
        s3_scan_release(&r->scan);
    }

    s3_store_release(r->store);
    free(r);
}


static int
s3_refill_alive(s3_refill_t *r)
{
    return r->on && !r->store->closed
           && r->store->conf.drives[r->drive]->state == S3_DRIVE_REFILLING;
}


static void
s3_refill_pause(s3_refill_t *r, uint64_t ms)
{
    if (r->on) {
        r->store->loop->set_timer(r->store->loop, &r->timer, ms);
    }
}


static void
s3_refill_job_end(s3_refill_t *r, int rc)
{
    r->jobs--;

    if (rc != S3_OK) {
        r->failed++;
        r->store->stats.failed++;
    }

    s3_refill_go(r);
    s3_refill_release(r);
}


static void
s3_refill_repaired(s3_repair_t *rep)
{
    int rc = rep->rc;
    s3_refill_t *r = rep->ctx;

    /* the version is here, and its data nowhere: the healer's business */

    if (rc == S3_ECORRUPT && rep->known) {
        (void) s3_notes_start(r->store, s3_bit(r->drive),
                              r->store->all & ~s3_bit(r->drive), rep->bucket,
                              rep->key, &rep->version, NULL, NULL);
        rc = S3_OK;
    }

    if (rc == S3_OK) {
        r->store->stats.refilled++;
        s3_drive_count(r->store->conf.drives[r->drive], repaired);

    } else if (rc == S3_EDOUBT) {
        /* once it is settled the next pass finds it decided */
        s3_heal_doubt(r->store, rep->bucket, rep->key, &rep->version);
    }

    s3_refill_job_end(r, rc);
}


/* The drive lacks it. */

static void
s3_refill_repair(s3_refill_key_t *k)
{
    int rc;
    s3_refill_t *r = k->refill;

    rc = s3_refill_alive(r)
             ? s3_repair_start(r->store, r->drive, k->bucket, k->key,
                               &k->version, 0, NULL, s3_refill_repaired, r)
             : S3_EUNAVAIL;
    free(k);

    if (rc != S3_OK) {
        s3_refill_job_end(r, rc);
    }
}


static void
s3_refill_fetched(s3_req_t *req)
{
    int rc = req->rc;
    s3_fetch_t *fetch = s3_container(req, s3_fetch_t, req);
    s3_refill_key_t *k = s3_container(fetch, s3_refill_key_t, fetch);
    s3_refill_t *r = k->refill;

    if (rc == S3_ECORRUPT || rc == S3_EIO) {
        s3_refill_repair(k);
        return;
    }

    if (rc == S3_OK) {
        free(fetch->buf);
    }

    /* S3_ENOENT: something newer has come */
    free(k);
    s3_refill_job_end(r, rc == S3_ENOENT ? S3_OK : rc);
}


/* The index says that the drive has it. */

static void
s3_refill_held(s3_refill_key_t *k)
{
    s3_refill_t *r = k->refill;
    s3_drive_t *d = r->store->conf.drives[r->drive];

    if (!d->lost) {
        free(k);
        s3_refill_job_end(r, S3_OK);
        return;
    }

    k->fetch.req.done = s3_refill_fetched;
    k->fetch.req.drive = r->drive;
    k->fetch.bucket = k->bucket;
    k->fetch.key = k->key;
    k->fetch.version = k->held.version;
    k->fetch.hint = &k->held;
    d->ops->fetch(d, &k->fetch);
}


static void
s3_refill_looked(s3_req_t *req)
{
    int held, rc = req->rc;
    unsigned i;
    s3_entry_t *e;
    s3_lookup_t *lookup = s3_container(req, s3_lookup_t, req);
    s3_refill_key_t *k = s3_container(lookup, s3_refill_key_t, lookup);
    s3_refill_t *r = k->refill;

    if (rc != S3_OK) {
        free(k);
        s3_refill_job_end(r, rc);
        return;
    }

    held = 0;

    for (i = 0; i < lookup->n; i++) {
        e = &lookup->entries[i];

        if (s3_entry_is_record(e) && e->flags & S3_F_CONFIRMED
            && s3_version_cmp(&e->version, &k->version) >= 0)
        {
            k->held = *e;
            held = 1;
        }
    }

    s3_lookup_release(lookup);

    if (held) {
        s3_refill_held(k);

    } else {
        s3_refill_repair(k);
    }
}


static void
s3_refill_key(s3_refill_t *r, uint64_t bucket, const s3_item_t *item)
{
    s3_drive_t *d;
    const s3_entry_t *top;
    s3_refill_key_t *k;

    top = s3_entry_top(item->entries, item->n);

    if (top == NULL) {
        return;
    }

    k = calloc(1, sizeof(s3_refill_key_t) + item->key.len + 1);
    if (k == NULL) {
        r->failed++;
        return;
    }

    if (item->key.len) {
        memcpy(k->bytes, item->key.data, item->key.len);
    }

    k->refill = r;
    k->bucket = bucket;
    k->key = s3_str(k->bytes, item->key.len);
    k->version = top->version;
    k->lookup.req.done = s3_refill_looked;
    k->lookup.req.drive = r->drive;
    k->lookup.bucket = bucket;
    k->lookup.key = k->key;

    r->refs++;
    r->jobs++;
    d = r->store->conf.drives[r->drive];
    d->ops->read(d, &k->lookup);
}


/* Closed buckets: their keys are the bucket's id, the version's time is the
 * generation that may vote next. */

static void
s3_refill_closed(s3_req_t *req)
{
    s3_refill_close_t *c = req->ctx;
    s3_refill_t *r = c->refill;
    int rc = req->rc;

    free(c);
    s3_refill_job_end(r, rc);
}


static void
s3_refill_close(s3_refill_t *r, const s3_item_t *item)
{
    s3_drive_t *d;
    s3_refill_close_t *c;

    if (item->n == 0 || item->key.len != 8 || item->entries[0].version.time == 0
        || item->entries[0].version.time > UINT32_MAX)
    {
        return;
    }

    c = calloc(1, sizeof(s3_refill_close_t));
    if (c == NULL) {
        r->failed++;
        return;
    }

    c->refill = r;
    c->close.req.done = s3_refill_closed;
    c->close.req.ctx = c;
    c->close.req.drive = r->drive;
    c->close.bucket = __builtin_bswap64(s3_get64(item->key.data));
    c->close.generation = (uint32_t) (item->entries[0].version.time - 1);

    r->refs++;
    r->jobs++;
    d = r->store->conf.drives[r->drive];
    d->ops->close_bucket(d, &c->close);
}


static void
s3_refill_scanned(s3_req_t *req)
{
    s3_scan_t *scan = s3_container(req, s3_scan_t, req);
    s3_refill_t *r = s3_container(scan, s3_refill_t, scan);

    r->scanning = 0;

    if (req->rc == S3_OK) {
        r->valid = 1;
        r->next = 0;

    } else {
        s3_scan_release(scan);
        r->failed++;
        r->closing = 0;
    }

    s3_refill_go(r);
    s3_refill_release(r);
}


/* One step with the closed buckets of a source. */

static void
s3_refill_close_step(s3_refill_t *r)
{
    s3_str_t key;
    s3_drive_t *d;

    if (r->valid && r->next < r->scan.n) {
        s3_refill_close(r, &r->scan.items[r->next++]);
        return;
    }

    if (r->valid) {
        r->valid = 0;

        if (r->scan.n == 0 || r->scan.end) {
            s3_scan_release(&r->scan);
            r->closing = 0;
            r->from_len = 0;
            return;
        }

        key = r->scan.items[r->scan.n - 1].key;
        r->from_len = s3_min(key.len, sizeof(r->from));
        memcpy(r->from, key.data, r->from_len);
        s3_scan_release(&r->scan);
    }

    memset(&r->scan, 0, sizeof(r->scan));
    r->scan.req.done = s3_refill_scanned;
    r->scan.req.ctx = r;
    r->scan.req.drive = r->source;
    r->scan.bucket = S3_BUCKET_CLOSED;
    r->scan.from = s3_str(r->from, r->from_len);
    r->scan.after = r->from_len != 0;
    r->scan.max = S3_REFILL_BURST;

    r->scanning = 1;
    r->refs++;
    d = r->store->conf.drives[r->source];
    d->ops->list(d, &r->scan);
}


static void
s3_refill_ready(void *ctx)
{
    s3_refill_go(ctx);
}


/* The next source; 0: the pass is over. */

static int
s3_refill_source(s3_refill_t *r)
{
    s3_walk_destroy(r->walk);
    r->walk = NULL;

    if (r->sources == 0) {
        return 0;
    }

    r->source = s3_lowest(r->sources);
    r->sources &= r->sources - 1;
    r->closing = 1;
    r->from_len = 0;
    r->walk = s3_walk_create(r->store, r->source, s3_refill_ready, r);

    if (r->walk == NULL) {
        r->failed++;
    }

    return 1;
}


/* About how much there is to be done, for those who look. */

static void
s3_refill_show(s3_refill_t *r)
{
    uint32_t left;
    uint64_t total;
    s3_drive_t *d;

    total = 0;

    for (left = r->sources; left; left &= left - 1) {
        d = r->store->conf.drives[s3_lowest(left)];

        if (d->stats) {
            total += __atomic_load_n(&d->stats->objects, __ATOMIC_RELAXED);
        }
    }

    d = r->store->conf.drives[r->drive];
    s3_drive_show(d, refill_done, 0);
    s3_drive_show(d, refill_total, total);
}


static void
s3_refill_begin(s3_refill_t *r)
{
    r->failed = 0;
    r->walked = 0;
    r->sources = s3_store_counted(r->store) & ~s3_bit(r->drive);

    s3_refill_show(r);
}


static void
s3_refill_pass_over(s3_refill_t *r)
{
    s3_store_t *store;

    store = r->store;

    if (r->failed == 0 && s3_count(r->walked) >= store->r) {
        r->over = 1;

        store->loop->log(store->loop, S3_LOG_NOTICE,
                         "drive %u: is filled with what the others have",
                         r->drive + 1);

        if (store->conf.refilled) {
            store->conf.refilled(store->conf.refilled_ctx, r->drive);
        }

        return;
    }

    if (!r->told) {
        r->told = 1;
        store->loop->log(store->loop, S3_LOG_WARN,
                         "drive %u: cannot be filled yet: %llu keys failed, "
                         "%u drives of at least %u were read",
                         r->drive + 1, (unsigned long long) r->failed,
                         s3_count(r->walked), store->r);
    }

    s3_refill_begin(r);
    s3_refill_pause(r, S3_REFILL_RETRY);
    r->burst = UINT32_MAX; /* nothing before that */
}


/* 0: something has to be waited for. */

static int
s3_refill_step(s3_refill_t *r)
{
    int rc;
    uint64_t bucket;
    const s3_item_t *item;

    if (!s3_refill_alive(r) || r->over || r->scanning) {
        return 0;
    }

    if (r->jobs >= S3_HEAL_JOBS || r->burst >= S3_REFILL_BURST) {
        return 0;
    }

    if (r->walk == NULL) {
        if (r->jobs) {
            return 0;
        }

        if (!s3_refill_source(r)) {
            s3_refill_pass_over(r);
            return 0;
        }

        return 1;
    }

    if (r->closing) {
        s3_refill_close_step(r);
        return 1;
    }

    rc = s3_walk_next(r->walk, &bucket, &item);

    if (rc == S3_OK) {
        r->burst++;
        s3_drive_count(r->store->conf.drives[r->drive], refill_done);
        s3_refill_key(r, bucket, item);
        return 1;
    }

    if (rc == S3_AGAIN) {
        return 0;
    }

    if (rc == S3_DONE) {
        r->walked |= s3_bit(r->source);
    }

    /* a source that went away is no failure: enough of them have to be left */

    s3_walk_destroy(r->walk);
    r->walk = NULL;

    return 1;
}


static void
s3_refill_go(s3_refill_t *r)
{
    if (r->going) {
        r->again = 1;
        return;
    }

    r->going = 1;
    r->refs++;

    do {
        r->again = 0;

        while (s3_refill_step(r)) {
            /* void */
        }

    } while (r->again);

    r->going = 0;

    if (r->burst == S3_REFILL_BURST && !r->timer.set && s3_refill_alive(r)) {
        s3_refill_pause(r, S3_REFILL_TICK);

    } else if (!r->timer.set && !r->over && !r->store->closed
               && !s3_refill_alive(r))
    {
        /* it hangs, or has gone: maybe not for long enough to be stopped */
        s3_refill_pause(r, S3_REFILL_RETRY);
    }

    s3_refill_release(r);
}


static void
s3_refill_timer(s3_timer_t *timer)
{
    s3_refill_t *r = timer->ctx;

    r->burst = 0;
    s3_refill_go(r);
}


s3_refill_t *
s3_refill_start(s3_store_t *store, unsigned drive)
{
    s3_refill_t *r;

    r = calloc(1, sizeof(s3_refill_t));
    if (r == NULL) {
        return NULL;
    }

    store->refs++;
    r->store = store;
    r->drive = drive;
    r->refs = 1;
    r->on = 1;
    r->timer.handler = s3_refill_timer;
    r->timer.ctx = r;
    r->timer.background = 1;

    store->loop->log(store->loop, S3_LOG_NOTICE,
                     "drive %u: is new, gets what the others have", drive + 1);

    s3_refill_begin(r);
    s3_refill_pause(r, S3_REFILL_TICK);

    return r;
}


void
s3_refill_stop(s3_refill_t *r)
{
    r->on = 0;

    if (r->timer.set) {
        r->store->loop->del_timer(r->store->loop, &r->timer);
    }

    s3_walk_destroy(r->walk);
    r->walk = NULL;
    s3_refill_release(r);
}


int
s3_refill_over(const s3_refill_t *r)
{
    return r->over;
}
