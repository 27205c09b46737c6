/*
 * A drive that has lost records of what it has voted for.  What it lacks is no
 * answer, so it is filled again, as one that is new, where so many others have
 * data as are needed: format.json says so first, then the zone.
 *
 *   found at a start, or when one came back that knows better
 *                    └─► others are away? looks again ─► told
 *   found when a table was made anew (s3_maintain_mend.c) ─► told
 */

#include "storage/s3_maintain.h"
#include "storage/s3_format.h"
#include "storage/s3_recover.h"

#define S3_FORGOT_PAUSE 5000 /* ms between two looks at the others */


int
s3_forgot_save(s3_local_t *l)
{
    int rc;
    s3_format_t f;

    rc = s3_format_load(l->fs, &f);

    if (rc != S3_OK || f.state < S3_FORMAT_READY) {
        return rc != S3_OK ? rc : S3_ECORRUPT;
    }

    if (!s3_zone_fillable(l->zone, l->index, f.parity)) {
        return S3_AGAIN;
    }

    if (f.state != S3_FORMAT_READY) {
        return S3_OK;
    }

    f.state = S3_FORMAT_REFILL;

    return s3_format_save(l->fs, &f);
}


void
s3_forgot_tell(s3_local_t *l)
{
    s3_zone_refill(l->zd);
    s3_zone_suspect(l->zone);
    s3_zone_changed(l->zone);
    l->loop->log(l->loop, S3_LOG_ERR,
                 "drive %u: records are lost, it gets what the others have",
                 l->index + 1);
}


static void
s3_forgot_run(s3_task_t *task)
{
    s3_maintain_t *m = task->ctx;

    m->rc = s3_forgot_save(m->l);
}


/* It remembers nothing of what it had up to now. */

static void
s3_forgot_done(s3_task_t *task)
{
    int rc;
    s3_maintain_t *m = task->ctx;
    s3_local_t *l = m->l;

    rc = m->rc;

    if (rc == S3_OK) {
        s3_local_lock(l);
        s3_recover_raise(l->zone, l->zd);
        s3_local_unlock(l);

        s3_forgot_tell(l);
        m->save = 1;
    }

    s3_maintain_end(m, rc == S3_AGAIN ? S3_OK : rc);
}


int
s3_forgot_tick(s3_maintain_t *m, uint64_t now)
{
    s3_zdrive_t *d = m->l->zd;

    if (__atomic_load_n(&d->lost, __ATOMIC_ACQUIRE) != S3_ZLOST_RECORDS
        || __atomic_load_n(&d->refilling, __ATOMIC_ACQUIRE)
        || now < m->forgot_next)
    {
        return 0;
    }

    m->forgot_next = now + S3_FORGOT_PAUSE;
    s3_maintain_begin(m);
    s3_maintain_post(m, s3_forgot_run, s3_forgot_done);

    return 1;
}
