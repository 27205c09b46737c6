/*
 * A drive that was missing comes back, or a new one in its place.
 *
 *   missing ──another drive──> forgotten ──nobody has it open──> replayed
 *      │                                                            │
 *      └────────────── the same drive: opened anew ──────────> in use
 */

#include "storage/s3_node_int.h"
#include "storage/s3_format.h"
#include "storage/s3_manifest.h"
#include "storage/s3_recover.h"
#include <stdlib.h>


typedef struct {
    s3_node_t *node;
    unsigned drive;
    s3_fs_t *fs;
    s3_format_t format;
    s3_format_t fresh; /* where the directory is empty */
    s3_recover_t recover;
    unsigned replace : 1; /* an empty directory may be taken */
    unsigned older : 1;   /* what is there is a copy of the drive as it was */
    int rc;
    s3_task_t task;
    void (*done)(void *ctx, int rc);
    void *ctx;
} s3_node_return_t;


static void
s3_node_return_log(void *ctx, int level, const char *message)
{
    (void) ctx;
    (void) level;
    (void) message; /* in a thread: what counts is in the result */
}


static int
s3_node_return_empty(s3_node_return_t *rt)
{
    if (!rt->replace || rt->node->zone->drives[rt->drive].known) {
        return S3_ENOENT;
    }

    if (!s3_zone_fillable(rt->node->zone, rt->drive, rt->node->parity)) {
        return S3_EUNAVAIL;
    }

    rt->format = rt->fresh;

    return s3_format_save(rt->fs, &rt->format);
}


static int
s3_node_return_format(s3_node_return_t *rt)
{
    int rc;
    s3_node_t *node = rt->node;
    s3_zone_t *z = node->zone;
    s3_format_t *f = &rt->format;
    s3_zdrive_t *d = &z->drives[rt->drive];

    rc = s3_format_load(rt->fs, f);

    if (rc == S3_EEXIST) {
        return S3_EFOREIGN;
    }

    if (rc == S3_ENOENT) {
        return s3_node_return_empty(rt);
    }

    if (rc != S3_OK) {
        return rc;
    }

    if (f->position != rt->drive || f->drives != node->n
        || (d->known && memcmp(f->drive, d->id, 16) != 0))
    {
        return S3_EFOREIGN;
    }

    if (f->state == S3_FORMAT_NEW
        && !__atomic_load_n(&z->named, __ATOMIC_ACQUIRE)) {
        /* whether the store was ever finished the others have to say */
        return S3_EUNAVAIL;
    }

    if (!s3_zone_name(z, f->store)) {
        return S3_EFOREIGN;
    }

    if (f->state == S3_FORMAT_NEW) {
        f->state = S3_FORMAT_READY;
        rc = s3_format_save(rt->fs, f);
    }

    return rc;
}


/*
 * All that memory has of the drive is about what it became after that copy was
 * made: it has to be forgotten, and the copy read.  It lacks what was promised
 * since, so it is filled, as one that has lost records.
 */

static int
s3_node_return_known(s3_node_return_t *rt)
{
    int rc;
    s3_manifest_t m;
    const s3_zdrive_t *d = &rt->node->zone->drives[rt->drive];

    rc = s3_manifest_load(rt->fs, &m);

    if (rc == S3_OK) {
        rt->older = m.generation < d->manifest_saved;
        s3_manifest_free(&m);
    }

    return rt->older ? S3_AGAIN : S3_OK;
}


static void
s3_node_return_run(s3_task_t *task)
{
    s3_node_return_t *rt = task->ctx;
    s3_zone_t *z = rt->node->zone;
    s3_zdrive_t *d = &z->drives[rt->drive];
    s3_recover_t *r = &rt->recover;

    rt->rc = s3_node_return_format(rt);

    if (rt->rc != S3_OK) {
        return;
    }

    if (d->known) {
        rt->rc = s3_node_return_known(rt);
        return;
    }

    if (memcmp(rt->format.drive, d->id, 16) != 0) {
        memcpy(d->id, rt->format.drive, 16);
        /* was another drive's */
        __atomic_store_n(&d->manifest_saved, 0, __ATOMIC_RELAXED);
    }

    r->zone = z;
    r->drive = rt->drive;
    r->fs = rt->fs;
    r->rebuild = 1;
    r->gentle = 1;
    r->log = s3_node_return_log;

    if (rt->format.state == S3_FORMAT_REFILL) {
        s3_zone_saw(z, rt->format.created * 1000000);
        r->floor = (s3_version_t){s3_zone_time(z), UINT64_MAX, UINT32_MAX};
    }

    rt->rc = s3_recover_drive(r);

    if (rt->rc == S3_OK && d->lost == S3_ZLOST_RECORDS
        && rt->format.state == S3_FORMAT_READY
        && s3_zone_fillable(z, rt->drive, rt->node->parity))
    {
        /* should that fail the MANIFEST says that records are lost */
        rt->format.state = S3_FORMAT_REFILL;
        (void) s3_format_save(rt->fs, &rt->format);
    }
}


/* Every process lets go of what it has of the drive. */

static void
s3_node_unknow(s3_zdrive_t *d)
{
    __atomic_add_fetch(&d->part, 1, __ATOMIC_ACQ_REL);
    __atomic_store_n(&d->known, 0, __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&d->arrivals, 1, __ATOMIC_ACQ_REL);
}


static void
s3_node_arrived(void *ctx, int rc)
{
    s3_node_return_t *rt = ctx;
    s3_node_t *node = rt->node;

    s3_zone_unclaim(node->zone, &node->zone->drives[rt->drive].returning,
                    node->slot);
    node->returning--;
    rt->done(rt->ctx, rc);
    free(rt);
}


static void
s3_node_returned(s3_task_t *task)
{
    int rc;
    uint32_t state;
    s3_node_return_t *rt = task->ctx;
    s3_node_t *node = rt->node;
    s3_zdrive_t *d = &node->zone->drives[rt->drive];

    rc = rt->rc;

    if (rt->older) {
        node->loop->log(node->loop, S3_LOG_ERR,
                        "drive %u: is an older copy of itself", rt->drive + 1);
        s3_node_unknow(d);
    }

    if (rc == S3_OK) {
        if (!d->known) {
            memcpy(d->id, rt->format.drive, 16);
            d->refilling = rt->format.state == S3_FORMAT_REFILL;
            s3_recover_done(node->zone, rt->drive);
            __atomic_store_n(&d->known, 1, __ATOMIC_SEQ_CST);
        }

        s3_node_name(node);

        state = d->failed              ? S3_DRIVE_FAILING
                : rt->recover.readonly ? S3_DRIVE_READONLY
                : d->refilling         ? S3_DRIVE_REFILLING
                                       : S3_DRIVE_OK;

        s3_zone_fault(d,
                      d->failed                     ? S3_ZFAULT_WRITE
                      : state == S3_DRIVE_READONLY  ? S3_ZFAULT_READONLY
                      : state == S3_DRIVE_REFILLING ? S3_ZFAULT_NEW
                                                    : S3_ZFAULT_NONE,
                      0);
        s3_zone_suspect(node->zone);
        __atomic_add_fetch(&d->arrivals, 1, __ATOMIC_ACQ_REL);
        s3_zone_changed(node->zone);
        __atomic_store_n(&d->state, state, __ATOMIC_RELEASE);

        if (rt->recover.rebuilt) {
            __atomic_fetch_add(&d->stats.corrupt, 1, __ATOMIC_RELAXED);
            s3_zone_last_fault(d, S3_ZFAULT_CORRUPT, 0);
        }

        node->loop->log(
            node->loop, S3_LOG_NOTICE, "drive %u: is %s, %u records replayed%s",
            rt->drive + 1, d->refilling ? "there" : "back", rt->recover.records,
            rt->recover.rebuilt ? ", its MANIFEST was lost: all of its log"
                                : "");

        rc = s3_local_arrive(node->locals[rt->drive], rt->fs, s3_node_arrived,
                             rt);
        if (rc == S3_OK) {
            return;
        }

        if (rc == S3_EEXIST) {
            rc = S3_OK; /* the next tick opens its files anew */
        }
    }

    s3_node_arrived(rt, rc);
}


static int
s3_node_come(s3_node_t *node, unsigned drive, s3_fs_t *fs, int replace,
             void (*done)(void *ctx, int rc), void *ctx)
{
    s3_zdrive_t *d;
    s3_node_return_t *rt;

    if (drive >= node->n || fs == NULL) {
        return S3_EINVAL;
    }

    d = &node->zone->drives[drive];

    if (s3_zone_state(d) != S3_DRIVE_MISSING) {
        s3_node_name(node);
        return s3_local_arrive(node->locals[drive], fs, done, ctx);
    }

    if (node->filled >> drive & 1
        || !s3_zone_claim(node->zone, &d->returning, node->slot))
    {
        return S3_EBUSY;
    }

    if (!__atomic_load_n(&d->known, __ATOMIC_SEQ_CST)
        && !s3_zone_left(node->zone, drive))
    {
        s3_zone_unclaim(node->zone, &d->returning, node->slot);
        return S3_AGAIN;
    }

    rt = calloc(1, sizeof(*rt));
    if (rt == NULL) {
        s3_zone_unclaim(node->zone, &d->returning, node->slot);
        return S3_ENOMEM;
    }

    rt->node = node;
    rt->drive = drive;
    rt->fs = fs;
    rt->replace = replace != 0;
    rt->done = done;
    rt->ctx = ctx;
    memcpy(rt->fresh.store, node->zone->store_id, 16);
    node->loop->random(node->loop, rt->fresh.drive, 16);
    rt->fresh.position = drive;
    rt->fresh.drives = node->n;
    rt->fresh.parity = node->parity;
    rt->fresh.created = node->loop->wall_us(node->loop) / 1000000;
    rt->fresh.state = S3_FORMAT_REFILL;
    rt->task.run = s3_node_return_run;
    rt->task.done = s3_node_returned;
    rt->task.ctx = rt;
    rt->task.drive = drive;
    node->returning++;
    node->loop->post_background(node->loop, &rt->task);

    return S3_OK;
}


int
s3_node_return(s3_node_t *node, unsigned drive, s3_fs_t *fs,
               void (*done)(void *ctx, int rc), void *ctx)
{
    return s3_node_come(node, drive, fs, 0, done, ctx);
}


int
s3_node_replace(s3_node_t *node, unsigned drive, s3_fs_t *fs,
                void (*done)(void *ctx, int rc), void *ctx)
{
    return s3_node_come(node, drive, fs, 1, done, ctx);
}


int
s3_node_forget(s3_node_t *node, unsigned drive)
{
    int rc;
    s3_zdrive_t *d = &node->zone->drives[drive];

    if (node->filled >> drive & 1
        || !s3_zone_claim(node->zone, &d->returning, node->slot))
    {
        return S3_AGAIN;
    }

    rc = S3_EEXIST;

    if (s3_zone_state(d) == S3_DRIVE_MISSING) {

        if (d->known) {
            s3_node_unknow(d);
        }

        rc = s3_zone_left(node->zone, drive) ? S3_OK : S3_AGAIN;
    }

    s3_zone_unclaim(node->zone, &d->returning, node->slot);

    return rc;
}


void
s3_node_recheck(s3_node_t *node, unsigned drive)
{
    s3_zdrive_t *d = &node->zone->drives[drive];

    if (s3_zone_state(d) == S3_DRIVE_FAILING) {
        __atomic_add_fetch(&d->arrivals, 1, __ATOMIC_ACQ_REL);
    }
}


int
s3_node_mend(s3_node_t *node, unsigned drive, s3_drive_state_t from)
{
    return s3_local_mend(node->locals[drive], from);
}
