#include "storage/s3_heal_int.h"

#include <stdlib.h>


/*
 * One note worked off.
 *
 *   note of an object ────────────────────────► its repair ──► note gone
 *   note of a part ──► the part's repair ──► the object's repair ──► note gone
 *
 * A part's blobs may be an object's by now, whose record says nothing of what
 * the part's note is about: so the object is repaired, too, and always after
 * the part, for it may become the object's at any time before.
 *
 * An upload leaves a note for each of its parts, and one look at its object is
 * enough for all of them.  So one repair of an object runs at a time; those who
 * have waited for it ask for the newest version, as all do, and where that is
 * one that a repair of the same drive in this pass has come to an end with,
 * that is their end, too (s3_healed_t).  What was written meanwhile has another
 * version.  A note of the object itself may be about damage: it takes nobody's
 * word.
 */


struct s3_note_job_s {
    s3_note_jobs_t *jobs;
    s3_note_job_t *next;
    unsigned target;
    unsigned part : 1;
    uint64_t bucket;
    s3_version_t version;
    s3_str_t key;
    uint64_t object_bucket;
    s3_str_t object_key; /* a piece of key */
    uint8_t bytes[];
};


/* What was found out about versions. */

static unsigned
s3_healed_slot(unsigned target, const s3_version_t *version)
{
    return (unsigned) ((version->rand ^ version->time) + target)
           % S3_HEALED_MAX;
}


int
s3_healed_get(const s3_healed_t *healed, unsigned target, uint64_t bucket,
              const s3_version_t *version, int *rc)
{
    const s3_healed_item_t *item;

    item = &healed->items[s3_healed_slot(target, version)];

    if (item->target != target || item->bucket != bucket
        || s3_version_cmp(&item->version, version) != 0)
    {
        return 0;
    }

    *rc = item->rc;

    return 1;
}


void
s3_healed_put(s3_healed_t *healed, unsigned target, uint64_t bucket,
              const s3_version_t *version, int rc)
{
    s3_healed_item_t *item;

    item = &healed->items[s3_healed_slot(target, version)];
    item->target = target;
    item->bucket = bucket;
    item->version = *version;
    item->rc = rc;
}


/* Jobs */

static void s3_note_job_run(s3_note_job_t *job);


static int
s3_note_job_same(const s3_note_job_t *a, const s3_note_job_t *b)
{
    return a->object_bucket == b->object_bucket
           && s3_str_eq(a->object_key, b->object_key);
}


/* The first that is at the same object: its repair runs, the others wait. */

static s3_note_job_t *
s3_note_job_other(const s3_note_job_t *job)
{
    s3_note_job_t *other;

    for (other = job->jobs->jobs; other; other = other->next) {
        if (other != job && s3_note_job_same(other, job)) {
            return other;
        }
    }

    return NULL;
}


static void
s3_note_job_over(s3_note_job_t *job, int rc)
{
    s3_note_jobs_t *jobs = job->jobs;

    if (rc == S3_OK) {
        s3_unnote(jobs->store, job->target, jobs->store->all, job->bucket,
                  job->key, &job->version);
    }

    jobs->done(jobs->ctx, job->target, rc);
    free(job);
}


/* Who comes next begins before done() does, which may start others. */

static void
s3_note_job_leave(s3_note_job_t *job, int rc)
{
    s3_note_job_t **link, *next;

    for (link = &job->jobs->jobs; *link != job; link = &(*link)->next) {
        /* void */
    }

    *link = job->next;
    next = s3_note_job_other(job);

    if (next) {
        s3_note_job_run(next);
    }

    s3_note_job_over(job, rc);
}


static void
s3_note_job_repaired(s3_repair_t *rep)
{
    s3_note_job_t *job = rep->ctx;

    if (!job->part) {
        job->version = rep->version;
    }

    /* small ones are quickly done again */

    if (rep->payload && rep->payload->record.refs.len
        && !s3_version_is_none(&rep->tried))
    {
        s3_healed_put(&job->jobs->healed, job->target, job->object_bucket,
                      &rep->tried, rep->rc);
    }

    s3_note_job_leave(job, rep->rc);
}


static void
s3_note_job_run(s3_note_job_t *job)
{
    s3_note_jobs_t *jobs = job->jobs;

    if (jobs->store->closed) {
        s3_note_job_leave(job, S3_EUNAVAIL);
        return;
    }

    if (s3_repair_start(
            jobs->store, job->target, job->object_bucket, job->object_key,
            job->part ? &s3_version_none : &job->version, 1,
            job->part ? &jobs->healed : NULL, s3_note_job_repaired, job)
        != S3_OK)
    {
        s3_note_job_leave(job, S3_ENOMEM);
    }
}


/* To its object, after those that are there: first come, first served. */

static void
s3_note_job_object(s3_note_job_t *job)
{
    s3_note_job_t **link, *other;

    other = s3_note_job_other(job);

    for (link = &job->jobs->jobs; *link; link = &(*link)->next) {
        /* void */
    }

    *link = job;

    if (other == NULL) {
        s3_note_job_run(job);
    }
}


static void
s3_note_job_part(s3_repair_t *rep)
{
    s3_note_job_t *job = rep->ctx;

    if (rep->rc != S3_OK) {
        s3_note_job_over(job, rep->rc);
        return;
    }

    job->version = rep->version;
    s3_note_job_object(job);
}


static s3_note_job_t *
s3_note_job_create(s3_note_jobs_t *jobs, unsigned target, uint64_t bucket,
                   s3_str_t key, const s3_version_t *version)
{
    size_t len;
    s3_note_job_t *job;

    job = calloc(1, sizeof(s3_note_job_t) + key.len + 1);
    if (job == NULL) {
        return NULL;
    }

    if (key.len) {
        memcpy(job->bytes, key.data, key.len);
    }

    job->jobs = jobs;
    job->target = target;
    job->bucket = bucket;
    job->version = *version;
    job->key = s3_str(job->bytes, key.len);
    job->object_bucket = bucket;
    job->object_key = job->key;

    if (bucket >= S3_BUCKET_FIRST && (bucket & 3) == S3_SPACE_PARTS) {
        for (len = 0; len < key.len && job->bytes[len]; len++) {
            /* void */
        }

        job->part = 1;
        job->object_bucket = bucket - S3_SPACE_PARTS + S3_SPACE_OBJECTS;
        job->object_key = s3_str(job->bytes, len);
    }

    return job;
}


int
s3_note_job_start(s3_note_jobs_t *jobs, unsigned target, uint64_t bucket,
                  s3_str_t key, const s3_version_t *version)
{
    s3_note_job_t *job;

    job = s3_note_job_create(jobs, target, bucket, key, version);
    if (job == NULL) {
        return S3_ENOMEM;
    }

    if (!job->part) {
        s3_note_job_object(job);
        return S3_OK;
    }

    if (s3_repair_start(jobs->store, target, bucket, job->key, version, 1, NULL,
                        s3_note_job_part, job)
        != S3_OK)
    {
        free(job);
        return S3_ENOMEM;
    }

    return S3_OK;
}
