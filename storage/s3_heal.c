#include "storage/s3_commit.h"

#include <stdlib.h>


/*
 * Background work of one process: notes of what drives have missed are worked
 * off, records in doubt are settled.
 *
 *   notes on drive 0, 1, ... ──► target is back? ──► newest ──► its blobs,
 *                                its record pushed ──► note gone everywhere
 *
 * One pass reads the notes of one drive after the other, a page at a time; at
 * most S3_HEAL_JOBS keys are being worked on.  A note that could not be worked
 * off stays for a later pass.
 */

#define S3_HEAL_JOBS 4
#define S3_HEAL_PAGE 64
#define S3_HEAL_DOUBTS 256
#define S3_HEAL_AGE (60 * 1000000ULL)
#define S3_HEAL_TICK 1000 /* ms, while there is something to do */
#define S3_HEAL_IDLE 5000


typedef struct s3_job_s s3_job_t;


typedef struct {
    uint64_t bucket;
    s3_version_t version;
    uint16_t key_len;
    uint8_t *key;
} s3_doubt_t;


struct s3_heal_s {
    s3_store_t *store; /* NULL: destroyed */
    unsigned refs;
    unsigned jobs;
    unsigned failed;
    unsigned on : 1;
    unsigned passing : 1;
    unsigned scanning : 1;
    unsigned walking : 1;
    s3_timer_t timer;

    unsigned drive; /* whose notes are being read */
    uint8_t target; /* and of what drive they are: the keys' first byte */
    unsigned next;  /* item of the page */
    unsigned valid : 1;
    s3_scan_t scan;
    size_t from_len;
    uint8_t from[S3_MAX_KEY + 16];

    unsigned n_doubts;
    s3_doubt_t doubts[S3_HEAL_DOUBTS];
};


struct s3_job_s {
    s3_heal_t *heal;
    s3_store_t *store;
    unsigned target;
    uint64_t bucket;
    s3_str_t key;
    s3_version_t version;
    s3_payload_t *payload;
    unsigned ref;
    uint8_t bytes[];
};


static void s3_heal_go(s3_heal_t *heal);
static void s3_job_blobs(s3_job_t *job);


static void
s3_heal_release(s3_heal_t *heal)
{
    unsigned i;

    if (--heal->refs) {
        return;
    }

    if (heal->valid) {
        s3_scan_release(&heal->scan);
    }

    for (i = 0; i < heal->n_doubts; i++) {
        free(heal->doubts[i].key);
    }

    free(heal);
}


/* Jobs */

static s3_job_t *
s3_job_create(s3_heal_t *heal, uint64_t bucket, s3_str_t key,
              const s3_version_t *version)
{
    s3_job_t *job;

    job = calloc(1, sizeof(s3_job_t) + key.len + 1);
    if (job == NULL) {
        return NULL;
    }

    if (key.len) {
        memcpy(job->bytes, key.data, key.len);
    }

    heal->refs++;
    heal->jobs++;
    heal->store->refs++;
    job->heal = heal;
    job->store = heal->store;
    job->bucket = bucket;
    job->key = s3_str(job->bytes, key.len);
    job->version = *version;

    return job;
}


static void
s3_job_end(s3_job_t *job, int rc)
{
    s3_heal_t *heal;

    heal = job->heal;
    heal->jobs--;

    if (rc == S3_OK) {
        s3_unnote(job->store, job->target, job->store->all, job->bucket,
                  job->key, &job->version);

    } else {
        heal->failed++;
    }

    s3_payload_release(job->payload);
    s3_store_release(job->store);
    free(job);

    s3_heal_go(heal);
    s3_heal_release(heal);
}


static void
s3_job_pushed(s3_ballot_t *ballot)
{
    s3_job_t *job = ballot->ctx;

    /* GONE: the drive has something newer by now */

    s3_job_end(job, (ballot->tally.yes | ballot->tally.no | ballot->tally.gone)
                            & s3_bit(job->target)
                        ? S3_OK
                        : S3_EUNAVAIL);
}


static void
s3_job_rebuilt(void *ctx, int rc)
{
    s3_job_t *job = ctx;

    if (rc != S3_OK) {
        s3_job_end(job, rc);
        return;
    }

    job->ref++;
    s3_job_blobs(job);
}


/* The target's blobs, one after the other, then its record. */

static void
s3_job_blobs(s3_job_t *job)
{
    s3_ref_t ref;
    s3_str_t refs;

    refs = job->payload->record.refs;

    if (((size_t) job->ref + 1) * S3_REF_SIZE > refs.len) {
        if (s3_ballot_start(job->store, job->payload, s3_bit(job->target), NULL,
                            NULL, 0, 1, s3_job_pushed, job)
            != S3_OK)
        {
            s3_job_end(job, S3_ENOMEM);
        }

        return;
    }

    if (s3_ref_decode(refs.data + (size_t) job->ref * S3_REF_SIZE, &ref)
        != S3_OK) {
        s3_job_end(job, S3_ECORRUPT);
        return;
    }

    if (s3_rebuild_start(job->store, &ref, job->target, 1, s3_job_rebuilt, job)
        != S3_OK)
    {
        s3_job_end(job, S3_ENOMEM);
    }
}


static void
s3_job_gathered(s3_gather_t *g)
{
    s3_record_t record;
    s3_job_t *job = g->ctx;

    if (g->rc != S3_OK) {
        s3_job_end(job, g->rc);
        return;
    }

    record = *g->record;
    record.entry.flags &= S3_F_TIED | S3_F_KEEP;
    record.entry.segment = 0;
    record.entry.offset = 0;
    record.entry.length = 0;

    job->payload = s3_payload_create(g->store, &record, g->data);

    if (job->payload == NULL) {
        s3_job_end(job, S3_ENOMEM);
        return;
    }

    s3_job_blobs(job);
}


static void
s3_job_newest(s3_newest_t *nw)
{
    s3_job_t *job = nw->ctx;

    if (nw->rc == S3_ENOENT) {
        s3_job_end(job, S3_OK); /* nothing is left to repair */
        return;
    }

    if (nw->rc != S3_OK) {
        s3_job_end(job, nw->rc);
        return;
    }

    if (s3_version_cmp(&nw->entry.version, &job->version) > 0) {
        job->version = nw->entry.version;
    }

    if (!nw->confirmed) {
        (void) s3_round_start(nw->store, S3_CONFIRM, nw->store->all, nw->bucket,
                              nw->key, &nw->entry.version,
                              nw->entry.flags & S3_F_KEEP, NULL, NULL);
    }

    /* the others' copy, not what the target may have of it */

    if (s3_gather_start(nw->store, nw->bucket, nw->key, &nw->entry,
                        nw->held & ~s3_bit(job->target), nw, 1, s3_job_gathered,
                        job)
        != S3_OK)
    {
        s3_job_end(job, S3_ENOMEM);
    }
}


static void
s3_heal_repair(s3_heal_t *heal, unsigned target, uint64_t bucket, s3_str_t key,
               const s3_version_t *version)
{
    s3_job_t *job;

    job = s3_job_create(heal, bucket, key, version);
    if (job == NULL) {
        return;
    }

    job->target = target;

    if (s3_newest_start(heal->store, bucket, job->key, S3_NEWEST_QUIET,
                        s3_job_newest, job)
        != S3_OK)
    {
        s3_job_end(job, S3_ENOMEM);
    }
}


static void
s3_job_settled(s3_settle_t *st)
{
    s3_job_t *job = st->ctx;
    s3_heal_t *heal;

    heal = job->heal;
    heal->jobs--;
    s3_store_release(job->store);
    free(job);

    s3_heal_go(heal);
    s3_heal_release(heal);
}


static void
s3_heal_settle(s3_heal_t *heal, s3_doubt_t *doubt)
{
    s3_job_t *job;

    job = s3_job_create(heal, doubt->bucket, s3_str(doubt->key, doubt->key_len),
                        &doubt->version);
    free(doubt->key);

    if (job == NULL) {
        return;
    }

    if (s3_settle_start(heal->store, job->bucket, job->key, &job->version, NULL,
                        0, s3_job_settled, job)
        != S3_OK)
    {
        heal->jobs--;
        heal->refs--;
        s3_store_release(job->store);
        free(job);
    }
}


/* Notes */

/* 1: a job was begun. */

static int
s3_heal_note(s3_heal_t *heal, const s3_item_t *item)
{
    int i;
    unsigned target;
    uint64_t bucket;
    s3_drive_t *d;
    s3_version_t version;

    if (item->key.len < 9 || item->n == 0) {
        return 0;
    }

    target = item->key.data[0];

    if (target >= heal->store->n) {
        return 0;
    }

    d = heal->store->conf.drives[target];

    if (!s3_drive_writable(d)) {
        return 0;
    }

    bucket = 0;

    for (i = 1; i < 9; i++) {
        bucket = bucket << 8 | item->key.data[i];
    }

    version = item->entries[0].version;

    s3_heal_repair(heal, target, bucket,
                   s3_str(item->key.data + 9, item->key.len - 9), &version);

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
        heal->drive++;
        heal->target = 0;
        heal->from_len = 0;
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
               || !s3_drive_writable(store->conf.drives[heal->target])))
    {
        if (heal->target >= store->n
            || !s3_drive_readable(store->conf.drives[heal->drive]))
        {
            heal->drive++;
            heal->target = 0;

        } else {
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
s3_heal_walk(s3_heal_t *heal)
{
    while (heal->on && heal->store) {

        if (heal->jobs >= S3_HEAL_JOBS || heal->scanning) {
            return;
        }

        if (heal->n_doubts) {
            heal->n_doubts--;
            s3_heal_settle(heal, &heal->doubts[heal->n_doubts]);
            continue;
        }

        if (!heal->passing) {
            return;
        }

        if (heal->valid && heal->next < heal->scan.n) {
            (void) s3_heal_note(heal, &heal->scan.items[heal->next++]);
            continue;
        }

        if (!s3_heal_scan(heal)) {
            heal->passing = 0;
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


static void
s3_heal_tick(s3_timer_t *timer)
{
    s3_heal_t *heal = timer->ctx;

    if (!heal->on || heal->store == NULL) {
        return;
    }

    heal->refs++;

    if (!heal->passing) {
        heal->passing = 1;
        heal->failed = 0;
        heal->drive = 0;
        heal->target = 0;
        heal->from_len = 0;
    }

    s3_heal_go(heal);

    if (heal->on && heal->store) {
        heal->store->loop->set_timer(
            heal->store->loop, &heal->timer,
            heal->failed || !heal->passing ? S3_HEAL_IDLE : S3_HEAL_TICK);
    }

    s3_heal_release(heal);
}


void
s3_heal_doubt(s3_store_t *store, uint64_t bucket, s3_str_t key,
              const s3_version_t *version)
{
    unsigned i;
    uint64_t now;
    s3_doubt_t *doubt;
    s3_heal_t *heal;

    heal = store->heal;

    if (heal == NULL || !heal->on || heal->n_doubts == S3_HEAL_DOUBTS
        || key.len > S3_MAX_KEY)
    {
        return;
    }

    now = store->loop->wall_us(store->loop);

    if (version->time + S3_HEAL_AGE > now) {
        return;
    }

    for (i = 0; i < heal->n_doubts; i++) {
        doubt = &heal->doubts[i];

        if (s3_version_cmp(&doubt->version, version) == 0
            && doubt->bucket == bucket) {
            return;
        }
    }

    doubt = &heal->doubts[heal->n_doubts];
    doubt->key = malloc(key.len + 1);

    if (doubt->key == NULL) {
        return;
    }

    if (key.len) {
        memcpy(doubt->key, key.data, key.len);
    }

    doubt->key_len = (uint16_t) key.len;
    doubt->bucket = bucket;
    doubt->version = *version;
    heal->n_doubts++;
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

        heal = calloc(1, sizeof(s3_heal_t));
        if (heal == NULL) {
            return;
        }

        heal->store = store;
        heal->refs = 1;
        heal->timer.handler = s3_heal_tick;
        heal->timer.ctx = heal;
        heal->timer.background = 1;
        store->heal = heal;
    }

    heal->on = on != 0;

    if (on && !heal->timer.set) {
        store->loop->set_timer(store->loop, &heal->timer, S3_HEAL_TICK);

    } else if (!on && heal->timer.set) {
        store->loop->del_timer(store->loop, &heal->timer);
    }
}


void
s3_heal_destroy(s3_heal_t *heal)
{
    heal->on = 0;
    heal->store = NULL;
    s3_heal_release(heal);
}
