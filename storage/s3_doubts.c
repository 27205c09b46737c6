/*
 * Versions that nobody decides any more, settled in the background.
 *
 *   seen by a read, old ──► queue ──────────────┐
 *                                               ▼
 *   drive 0, 1, ... ──► keys in doubt ──► still? ──► settle
 *
 * Drives are asked when a writer was lost, when drives have come or gone, and
 * from time to time.  What can't be settled now is found again then.
 */

#include "storage/s3_heal_int.h"

#include <limits.h>
#include <stdlib.h>

#define S3_DOUBTS_QUEUE 256
#define S3_DOUBTS_AGE 60 /* s: a writer has long given up by then */


typedef struct {
    uint64_t bucket;
    s3_version_t version;
    uint16_t key_len;
    uint8_t *key;
} s3_doubt_t;


struct s3_doubts_s {
    s3_store_t *store; /* NULL: destroyed */
    unsigned refs;
    unsigned jobs;
    unsigned ticks;
    uint32_t up; /* drives that could be written to at the last tick */
    unsigned on : 1;
    unsigned sweeping : 1;
    unsigned asking : 1;
    unsigned walking : 1;

    unsigned drive; /* that is being asked, and what it said */
    unsigned next;  /* of its keys */
    uint64_t before;
    s3_in_doubt_t in;
    uint64_t seen[S3_MAX_DRIVES];

    unsigned n;
    s3_doubt_t queue[S3_DOUBTS_QUEUE];
};


typedef struct {
    s3_doubts_t *doubts;
    const s3_in_doubt_key_t *key; /* lives as long as there are jobs */
    s3_lookup_t lookup;
} s3_doubt_look_t;


static void s3_doubts_go(s3_doubts_t *d);


static void
s3_doubts_release(s3_doubts_t *d)
{
    if (--d->refs) {
        return;
    }

    while (d->n) {
        free(d->queue[--d->n].key);
    }

    s3_in_doubt_release(&d->in);
    free(d);
}


static void
s3_doubts_job_end(s3_doubts_t *d)
{
    d->jobs--;
    s3_doubts_go(d);
    s3_doubts_release(d);
}


static void
s3_doubts_settled(s3_settle_t *st)
{
    s3_doubts_job_end(st->ctx);
}


/* Is a job, or ends the caller's. */

static void
s3_doubts_settle(s3_doubts_t *d, uint64_t bucket, s3_str_t key,
                 const s3_version_t *version)
{
    if (d->store == NULL
        || s3_settle_start(d->store, bucket, key, version, NULL, 0,
                           s3_doubts_settled, d)
               != S3_OK)
    {
        s3_doubts_job_end(d);
    }
}


/* A drive's hint.  What has come to an end meanwhile, or has a newer version
 * before it, is somebody else's. */

static void
s3_doubts_looked(s3_req_t *req)
{
    int doubt;
    const s3_entry_t *top;
    s3_lookup_t *lookup = s3_container(req, s3_lookup_t, req);
    s3_doubt_look_t *look = s3_container(lookup, s3_doubt_look_t, lookup);
    s3_doubts_t *d = look->doubts;
    const s3_in_doubt_key_t *key = look->key;

    top = req->rc == S3_OK ? s3_entry_top(lookup->entries, lookup->n) : NULL;
    doubt = top && !(top->flags & S3_F_CONFIRMED)
            && s3_version_cmp(&top->version, &key->version) == 0;

    s3_lookup_release(lookup);
    free(look);

    if (doubt) {
        s3_doubts_settle(d, key->bucket, key->key, &key->version);

    } else {
        s3_doubts_job_end(d);
    }
}


static void
s3_doubts_look(s3_doubts_t *d, const s3_in_doubt_key_t *key)
{
    s3_drive_t *drive = d->store->conf.drives[d->drive];
    s3_doubt_look_t *look;

    look = calloc(1, sizeof(*look));
    if (look == NULL) {
        return; /* found again later */
    }

    d->refs++;
    d->jobs++;
    look->doubts = d;
    look->key = key;
    look->lookup.req.done = s3_doubts_looked;
    look->lookup.req.drive = d->drive;
    look->lookup.bucket = key->bucket;
    look->lookup.key = key->key;
    drive->ops->read(drive, &look->lookup);
}


static void
s3_doubts_asked(s3_req_t *req)
{
    s3_in_doubt_t *in = s3_container(req, s3_in_doubt_t, req);
    s3_doubts_t *d = s3_container(in, s3_doubts_t, in);

    d->asking = 0;

    if (req->rc == S3_OK) {
        d->seen[d->drive] = in->seen;
    }

    s3_doubts_go(d);
    s3_doubts_release(d);
}


/* Asks the next drive; 0: all were asked. */

static int
s3_doubts_ask(s3_doubts_t *d)
{
    s3_drive_t *drive;

    s3_in_doubt_release(&d->in);
    d->next = 0;

    for (d->drive++; d->drive < d->store->n; d->drive++) {
        drive = d->store->conf.drives[d->drive];

        if (drive->ops->in_doubt == NULL || !s3_drive_readable(drive)) {
            continue;
        }

        d->in.req.done = s3_doubts_asked;
        d->in.req.drive = d->drive;
        d->in.before = d->before;
        d->in.seen = d->seen[d->drive];
        d->asking = 1;
        d->refs++;
        drive->ops->in_doubt(drive, &d->in);

        return 1;
    }

    return 0;
}


static void
s3_doubts_walk(s3_doubts_t *d)
{
    s3_doubt_t doubt;

    while (d->on && d->store) {

        if (d->jobs >= S3_HEAL_JOBS || d->asking) {
            return;
        }

        if (d->n) {
            doubt = d->queue[--d->n];
            d->refs++;
            d->jobs++;
            s3_doubts_settle(d, doubt.bucket, s3_str(doubt.key, doubt.key_len),
                             &doubt.version);
            free(doubt.key);
            continue;
        }

        if (!d->sweeping) {
            return;
        }

        if (d->next < d->in.n) {
            s3_doubts_look(d, &d->in.keys[d->next++]);
            continue;
        }

        if (d->jobs) {
            return;
        }

        d->sweeping = s3_doubts_ask(d) != 0;
    }
}


static void
s3_doubts_go(s3_doubts_t *d)
{
    if (d->walking) {
        return;
    }

    d->walking = 1;
    s3_doubts_walk(d);
    d->walking = 0;
}


void
s3_doubts_tick(s3_doubts_t *d)
{
    uint32_t up;
    uint64_t now;

    up = s3_store_voters(d->store, 0);

    d->refs++;

    if (!d->sweeping) {
        d->before = 0;

        if (d->ticks == 0 || up != d->up) {
            now = d->store->loop->wall_us(d->store->loop);
            d->before = now - s3_min(now, S3_DOUBTS_AGE * 1000000ull);
            memset(d->seen, 0, sizeof(d->seen));
            d->ticks = S3_DOUBTS_AGE;
            d->up = up;
        }

        d->ticks--;
        d->drive = UINT_MAX; /* the first is next */
        d->sweeping = 1;
    }

    s3_doubts_go(d);
    s3_doubts_release(d);
}


void
s3_heal_doubt(s3_store_t *store, uint64_t bucket, s3_str_t key,
              const s3_version_t *version)
{
    unsigned i;
    s3_doubt_t *doubt;
    s3_doubts_t *d = store->doubts;

    if (d == NULL || !d->on || d->n == S3_DOUBTS_QUEUE || key.len > S3_MAX_KEY
        || version->time + S3_DOUBTS_AGE * 1000000ull
               > store->loop->wall_us(store->loop))
    {
        return;
    }

    for (i = 0; i < d->n; i++) {
        doubt = &d->queue[i];

        if (s3_version_cmp(&doubt->version, version) == 0
            && doubt->bucket == bucket) {
            return;
        }
    }

    doubt = &d->queue[d->n];
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
    d->n++;
}


s3_doubts_t *
s3_doubts_create(s3_store_t *store)
{
    s3_doubts_t *d;

    d = calloc(1, sizeof(*d));

    if (d) {
        d->store = store;
        d->refs = 1;
    }

    return d;
}


void
s3_doubts_on(s3_doubts_t *d, int on)
{
    d->on = on != 0;
}


void
s3_doubts_destroy(s3_doubts_t *d)
{
    d->on = 0;
    d->store = NULL;
    s3_doubts_release(d);
}
