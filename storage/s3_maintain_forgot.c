/*
 * A drive that has lost records of what it has voted for.  What it lacks is no
 * answer, so it is filled again, as one that is new, where so many others have
 * data as are needed:
 *
 *   found at a start, or when one came back that knows better
 *                    └─► others are away? looks again ─► taken out
 *   found when a table was made anew (s3_maintain_mend.c) ─► taken out
 *
 *   lost       its MANIFEST says so from the next save on, whether it can be
 *              filled yet or not: what has shown it may be gone by then
 *   taken out  in the zone: from then on its answers do not count
 *              in format.json: nor do they after a restart
 *   filled     format.json, the zone, and with the next save the MANIFEST
 *
 * All may end between two of these.  Then a start finds the drive lost, or to be
 * filled, or both, and at the worst fills one that has been filled.
 */

#include "storage/s3_maintain.h"
#include "storage/s3_format.h"
#include "storage/s3_recover.h"

#define S3_FORGOT_PAUSE 5000 /* ms between two looks at the others */


static void
s3_forgot_refill(s3_zdrive_t *d)
{
    uint32_t from = S3_DRIVE_OK;

    __atomic_store_n(&d->refilling, 1, __ATOMIC_RELEASE);

    if (__atomic_compare_exchange_n(&d->state, &from, S3_DRIVE_REFILLING, 0,
                                    __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
    {
        s3_zone_fault(d, S3_ZFAULT_NEW, 0);
    }
}


int
s3_forgot_take(s3_zone_t *z, unsigned drive, unsigned parity)
{
    int taken;
    s3_zdrive_t *d = &z->drives[drive];

    if (!s3_zone_fillable(z, drive, parity)) {
        return 0;
    }

    /* what it lacks is no NO either */
    s3_zone_lock(d);
    s3_recover_raise(z, d);
    __atomic_store_n(&d->lost, S3_ZLOST_RECORDS, __ATOMIC_RELEASE);
    s3_zone_unlock(d);

    /* One lock for all drives: of two that look at the same time each would
     * take the other for one that has what it lacks itself. */

    s3_zone_lock(&z->drives[0]);

    taken = s3_zone_fillable(z, drive, parity);

    if (taken) {
        s3_forgot_refill(d);
    }

    s3_zone_unlock(&z->drives[0]);

    if (taken) {
        s3_zone_suspect(z);
        s3_zone_changed(z);
    }

    return taken;
}


int
s3_forgot_save(s3_local_t *l)
{
    int rc;
    s3_format_t f;

    rc = s3_format_load(l->fs, &f);

    if (rc == S3_OK && f.state < S3_FORMAT_READY) {
        rc = S3_ECORRUPT;
    }

    if (rc != S3_OK || f.state == S3_FORMAT_REFILL) {
        return rc;
    }

    f.state = S3_FORMAT_REFILL;

    return s3_format_save(l->fs, &f);
}


void
s3_forgot_tell(s3_local_t *l)
{
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


static void
s3_forgot_done(s3_task_t *task)
{
    s3_maintain_t *m = task->ctx;

    if (m->rc == S3_OK) {
        m->forgot = 0;
        m->save = 1;
    }

    s3_maintain_end(m, m->rc);
}


/* Whether format.json has to be written. */

static int
s3_forgot_look(s3_maintain_t *m, uint64_t now)
{
    s3_local_t *l = m->l;

    if (__atomic_load_n(&l->zd->refilling, __ATOMIC_ACQUIRE)) {
        return m->forgot;
    }

    m->forgot = 0;

    if (now < m->forgot_next) {
        return 0;
    }

    m->forgot_next = now + S3_FORGOT_PAUSE;
    m->forgot = s3_forgot_take(l->zone, l->index, l->parity);

    if (m->forgot) {
        s3_forgot_tell(l);
    }

    return m->forgot;
}


int
s3_forgot_tick(s3_maintain_t *m, uint64_t now)
{
    uint32_t lost;

    lost = __atomic_load_n(&m->l->zd->lost, __ATOMIC_ACQUIRE);

    if (lost == S3_ZLOST_FILLED
        && __atomic_compare_exchange_n(&m->l->zd->lost, &lost, S3_ZLOST_NONE, 0,
                                       __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
    {
        m->save = 1;
    }

    if (lost != S3_ZLOST_RECORDS || !s3_forgot_look(m, now)) {
        return 0;
    }

    s3_maintain_begin(m);
    s3_maintain_post(m, s3_forgot_run, s3_forgot_done);

    return 1;
}
