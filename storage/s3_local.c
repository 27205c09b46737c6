/*
 * The local drive: its life, and what state it is in.
 */

#include "storage/s3_local_int.h"
#include "storage/s3_settle.h"
#include <stdlib.h>

#define S3_LOCAL_RETRY_TICKS 20
#define S3_LOCAL_FIRST_SEGMENT (1024 * 1024) /* processes may write little */
#define S3_LOCAL_UNREAD 8 /* reads in a row that fail, until it is FAILING */


static s3_zfault_t
s3_local_fault(s3_drive_state_t state, const char *why, int rc)
{
    if (state == S3_DRIVE_FULL) {
        return S3_ZFAULT_FULL;
    }

    if (state == S3_DRIVE_READONLY || rc == S3_EROFS) {
        return S3_ZFAULT_READONLY;
    }

    return why[0] == 'r' ? S3_ZFAULT_READ : S3_ZFAULT_WRITE;
}


void
s3_local_fail(s3_local_t *l, s3_drive_state_t state, const char *why, int rc)
{
    uint32_t was;
    s3_zfault_t fault;

    if (rc == S3_EROFS) {
        state = S3_DRIVE_READONLY;
    }

    fault = s3_local_fault(state, why, rc);

    s3_zone_count(&l->zd->errors);
    s3_zone_last_fault(l->zd, fault, 0);
    l->drive.errors++;

    was = __atomic_load_n(&l->zd->state, __ATOMIC_ACQUIRE);

    do {
        if (was == (uint32_t) state || was == S3_DRIVE_MISSING
            || was == S3_DRIVE_HUNG || was == S3_DRIVE_FAILING
            || was == S3_DRIVE_READONLY)
        {
            return;
        }

    } while (!__atomic_compare_exchange_n(&l->zd->state, &was, (uint32_t) state,
                                          0, __ATOMIC_ACQ_REL,
                                          __ATOMIC_ACQUIRE));

    l->drive.state = state;
    s3_zone_fault(l->zd, fault, 0);

    l->loop->log(l->loop, S3_LOG_ERR, "drive %u: %s: %s", l->index + 1, why,
                 s3_strerror(rc));
}


s3_drive_state_t
s3_local_good(const s3_zdrive_t *zd)
{
    if (__atomic_load_n(&zd->failed, __ATOMIC_ACQUIRE)) {
        return S3_DRIVE_FAILING;
    }

    return __atomic_load_n(&zd->refilling, __ATOMIC_ACQUIRE)
               ? S3_DRIVE_REFILLING
               : S3_DRIVE_OK;
}


int
s3_local_mend(s3_local_t *l, s3_drive_state_t from)
{
    uint32_t was = from;
    s3_drive_state_t good = s3_local_good(l->zd);

    if (good == from
        || !__atomic_compare_exchange_n(&l->zd->state, &was, (uint32_t) good, 0,
                                        __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
    {
        return S3_EEXIST;
    }

    s3_zone_suspect(l->zone);
    s3_zone_changed(l->zone);
    s3_zone_fault(l->zd,
                  good == S3_DRIVE_FAILING     ? S3_ZFAULT_WRITE
                  : good == S3_DRIVE_REFILLING ? S3_ZFAULT_NEW
                                               : S3_ZFAULT_NONE,
                  0);

    l->drive.state = good;

    return good == S3_DRIVE_FAILING ? S3_EIO : S3_OK;
}


/* One unreadable sector is repaired elsewhere; a drive that gives nothing back
 * is out of order, whatever it says to writes. */

void
s3_local_read_ended(void *ctx, int rc)
{
    s3_local_t *l = ctx;

    if (rc == S3_OK) {
        l->unread = 0;

    } else if (rc == S3_EIO && ++l->unread >= S3_LOCAL_UNREAD) {
        l->unread = 0;

        if (s3_drive_writable(&l->drive)) {
            s3_local_fail(l, S3_DRIVE_FAILING, "reads", rc);
        }
    }
}


/* Its state as all see it.  What a drive lacks while it is being filled is no
 * answer, whatever else becomes of it. */

static void
s3_local_look(s3_local_t *l)
{
    l->drive.state = (s3_drive_state_t) s3_zone_state(l->zd);
    l->drive.refilling =
        __atomic_load_n(&l->zd->refilling, __ATOMIC_ACQUIRE) != 0;
    l->drive.lost =
        __atomic_load_n(&l->zd->lost, __ATOMIC_ACQUIRE) == S3_ZLOST_RECORDS;
}


int
s3_local_may_read(s3_local_t *l)
{
    s3_local_look(l);

    if (l->log == NULL || !s3_drive_readable(&l->drive)
        || l->arrival != __atomic_load_n(&l->zd->arrivals, __ATOMIC_ACQUIRE))
    {
        return S3_EUNAVAIL;
    }

    return S3_OK;
}


int
s3_local_may_write(s3_local_t *l, int essential)
{
    int rc;

    rc = s3_local_may_read(l);
    if (rc != S3_OK) {
        return rc;
    }

    switch (l->drive.state) {

    case S3_DRIVE_READONLY:
        return S3_EROFS;

    case S3_DRIVE_FAILING:
        return S3_EIO;

    case S3_DRIVE_FULL:
        return essential ? S3_OK : S3_ENOSPC;

    default:
        return S3_OK;
    }
}


/* Whoever has the lease does it. */

static void
s3_local_verify(s3_drive_t *d)
{
    uint32_t none = S3_ZVERIFY_NONE;
    s3_local_t *l = d->impl;

    (void) __atomic_compare_exchange_n(&l->zd->verify, &none, S3_ZVERIFY_ASKED,
                                       0, __ATOMIC_RELEASE, __ATOMIC_RELAXED);

    /* one that is open would not be missed where it is gone */
    s3_local_close_segments(l);
}


static const s3_drive_ops_t s3_local_ops = {
    .vote = s3_local_vote,
    .push = s3_local_push,
    .fence = s3_local_fence,
    .status = s3_local_status,
    .confirm = s3_local_confirm,
    .dead = s3_local_dead,
    .read = s3_local_read,
    .fetch = s3_local_fetch,
    .list = s3_local_list,
    .in_doubt = s3_local_in_doubt,
    .blob_create = s3_local_blob_create,
    .blob_write = s3_local_blob_write,
    .blob_finish = s3_local_blob_finish,
    .blob_abort = s3_local_blob_abort,
    .blob_read = s3_local_blob_read,
    .blob_remove = s3_local_blob_remove,
    .close_bucket = s3_local_close_bucket,
    .note = s3_local_note,
    .unnote = s3_local_unnote,
    .leaks = s3_local_leaks,
    .verify = s3_local_verify,
};


/* Everything that needs the drive itself: the index first, which blocks ... */

static int
s3_local_open(s3_local_t *l)
{
    uint32_t part;

    l->opening = __atomic_load_n(&l->zd->arrivals, __ATOMIC_ACQUIRE);

    /* no memtable is reused between the look at the list of tables and the
     * word that it is in use here */
    __atomic_store_n(&l->zone->procs[l->slot].seen[l->index], 0,
                     __ATOMIC_SEQ_CST);

    /* whoever makes it anew has either seen that, or is seen here */
    if (!__atomic_load_n(&l->zd->known, __ATOMIC_SEQ_CST)) {
        return S3_EUNAVAIL;
    }

    part = __atomic_load_n(&l->zd->part, __ATOMIC_ACQUIRE);

    if (l->part != part) {
        l->part = part;

        if (l->fs->forget) {
            l->fs->forget(l->fs);
        }
    }

    return s3_index_open(&l->ix, l->zone, l->index, l->slot, l->loop, l->fs);
}


/* ... and then the rest. */

static int
s3_local_start(s3_local_t *l)
{
    s3_log_conf_t lc;
    s3_blobs_conf_t bc;

    memset(&lc, 0, sizeof(lc));
    lc.loop = l->loop;
    lc.fs = l->fs;
    lc.drive = l->index;
    lc.segment_size = l->segment_size;
    lc.first_size = S3_LOCAL_FIRST_SEGMENT;
    lc.hooks = &s3_local_log_hooks;
    lc.ctx = l;

    memset(&bc, 0, sizeof(bc));
    bc.loop = l->loop;
    bc.fs = l->fs;
    bc.drive = l->index;
    bc.slot = l->slot;
    bc.incarnation = l->incarnation;
    bc.read_ended = s3_local_read_ended;
    bc.ctx = l;

    l->maintain = s3_maintain_create(l);
    l->blobs = s3_blobs_create(&bc);
    l->log = s3_log_create(&lc);

    if (l->maintain == NULL || l->blobs == NULL || l->log == NULL) {
        return S3_ENOMEM;
    }

    l->arrival = l->opening;
    l->unclosed = 0;
    l->freed_seen = __atomic_load_n(&l->zd->freed_count, __ATOMIC_ACQUIRE);
    s3_local_look(l);

    return S3_OK;
}


/* Something may be opened on it. */

static int
s3_local_there(const s3_local_t *l)
{
    uint32_t state = s3_zone_state(l->zd);

    return state != S3_DRIVE_MISSING && state != S3_DRIVE_HUNG;
}


int
s3_local_create(const s3_local_conf_t *conf, s3_local_t **out)
{
    int rc;
    s3_local_t *l;

    l = calloc(1, sizeof(*l));
    if (l == NULL) {
        return S3_ENOMEM;
    }

    l->drive.ops = &s3_local_ops;
    l->drive.impl = l;
    l->drive.index = conf->drive;
    l->drive.state = S3_DRIVE_MISSING;
    l->loop = conf->loop;
    l->zone = conf->zone;
    l->zd = &conf->zone->drives[conf->drive];
    l->drive.stats = &l->zd->stats;
    l->index = conf->drive;
    l->slot = conf->slot;
    l->incarnation = conf->zone->procs[conf->slot].incarnation;
    l->parity = conf->parity;
    l->segment_size = conf->segment_size;
    l->part = __atomic_load_n(&l->zd->part, __ATOMIC_ACQUIRE);
    l->encode_last = &l->encode;
    l->confirms_last = &l->confirms;
    l->drops_last = &l->drops;
    l->held_last = &l->held;
    s3_local_init_waits(l);

    if (conf->fs && s3_local_there(l)) {
        l->fs = conf->fs;
        rc = s3_local_open(l);

        if (rc == S3_OK) {
            rc = s3_local_start(l);
        }

        if (rc != S3_OK) {
            s3_local_destroy(l, 0);
            return rc;
        }

    } else {
        /* nothing of it is read here: memtables may be reused */
        __atomic_store_n(&l->zone->procs[l->slot].seen[l->index], UINT64_MAX,
                         __ATOMIC_RELEASE);
    }

    *out = l;

    return S3_OK;
}


/* The counterpart of start. */

static void
s3_local_stop(s3_local_t *l, int died)
{
    if (l->log && died) {
        s3_log_abandon(l->log);

    } else if (l->log) {
        s3_log_destroy(l->log);
    }

    l->log = NULL;

    if (l->blobs) {
        s3_blobs_destroy(l->blobs);
        l->blobs = NULL;
    }

    if (l->maintain) {
        s3_maintain_destroy(l->maintain);
        l->maintain = NULL;
    }

    s3_local_close_segments(l);
    s3_index_close(&l->ix);
}


void
s3_local_destroy(s3_local_t *l, int died)
{
    s3_op_t *op;
    s3_write_t *w;

    l->dead = died != 0;

    s3_local_stop(l, died);
    s3_local_confirm_free(l);
    s3_local_drop_free(l);
    s3_local_held_free(l);

    while (l->free_ops) {
        op = l->free_ops;
        l->free_ops = op->next;
        free(op);
    }

    while (l->free_writes) {
        w = l->free_writes;
        l->free_writes = w->next;
        free(w);
    }

    free(l);
}


static void
s3_local_settled(void *ctx)
{
    s3_local_t *l = ctx;

    if (s3_local_mend(l, S3_DRIVE_FAILING) == S3_OK) {
        l->loop->log(l->loop, S3_LOG_NOTICE, "drive %u: works again",
                     l->index + 1);
    }
}


static void
s3_local_open_run(s3_task_t *task)
{
    s3_local_t *l = task->ctx;

    l->open_rc = s3_local_open(l);
}


static void
s3_local_open_done(s3_task_t *task)
{
    int rc, arriving;
    s3_local_t *l = task->ctx;
    void (*done)(void *, int) = l->open_done;

    arriving = l->open_done != NULL;
    l->open_done = NULL;
    l->open_set = 0;

    rc = l->open_rc;

    if (rc == S3_OK) {
        rc = s3_local_start(l);
    }

    if (rc != S3_OK) {
        l->loop->log(l->loop, S3_LOG_ERR, "drive %u: cannot be opened: %s",
                     l->index + 1, s3_strerror(rc));
        s3_local_stop(l, 0);
        __atomic_store_n(&l->zone->procs[l->slot].seen[l->index], UINT64_MAX,
                         __ATOMIC_RELEASE);

    } else {
        /* what failed when it went away, now that it can be read */
        s3_local_settle(l, l->slot, l->incarnation, s3_local_settled, l);
    }

    if (arriving) {
        done(l->open_ctx, rc);
    }
}


int
s3_local_arrive(s3_local_t *l, s3_fs_t *fs, void (*done)(void *ctx, int rc),
                void *ctx)
{
    if (l->open_set) {
        return S3_EBUSY;
    }

    if (l->log) {
        return S3_EEXIST;
    }

    l->fs = fs;
    l->open_set = 1;
    l->open_done = done;
    l->open_ctx = ctx;
    l->open_task.run = s3_local_open_run;
    l->open_task.done = s3_local_open_done;
    l->open_task.ctx = l;
    l->open_task.drive = l->index;
    l->loop->post(l->loop, &l->open_task);

    return S3_OK;
}


/* The drive was away and is back: what is open belongs to what went away. */

static void
s3_local_reopen(s3_local_t *l)
{
    /* nobody goes on with a merge until it is open again */
    s3_maintain_quiesce(l->maintain);

    /* who settles what the dead left is perhaps this one, once it is open */
    s3_local_wait_no_more(l);

    if (s3_local_busy(l)) {
        return; /* the next tick */
    }

    s3_local_stop(l, 0);

    if (!__atomic_load_n(&l->zd->known, __ATOMIC_ACQUIRE)) {
        /* another one is coming */
        __atomic_store_n(&l->zone->procs[l->slot].seen[l->index], UINT64_MAX,
                         __ATOMIC_SEQ_CST);
        return;
    }

    s3_local_arrive(l, l->fs, NULL, NULL);
}


s3_drive_t *
s3_local_drive(s3_local_t *l)
{
    return &l->drive;
}


void
s3_local_later(s3_local_t *l, s3_fs_t *fs)
{
    l->fs = fs;
}


s3_fs_t *
s3_local_fs(const s3_local_t *l)
{
    return l->fs;
}


int
s3_local_waits(const s3_local_t *l)
{
    return l->waiting != NULL;
}


unsigned
s3_local_busy(const s3_local_t *l)
{
    if (l->log == NULL) {
        return l->open_set;
    }

    return l->ops + l->writes + l->picks + l->n_confirms + l->dropping
           + l->n_drops + (unsigned) s3_index_busy(&l->ix)
           + (unsigned) s3_maintain_busy(l->maintain) + !s3_log_idle(l->log)
           + !s3_blobs_idle(l->blobs);
}


void
s3_local_quiesce(s3_local_t *l)
{
    __atomic_store_n(&l->quiet, 1, __ATOMIC_RELAXED);
    l->ix.quiet = 1;

    if (l->maintain) {
        s3_maintain_quiesce(l->maintain);
    }
}


void
s3_local_tick(s3_local_t *l)
{
    s3_local_look(l);

    if (l->log == NULL) {
        /* it could not be opened, be it again */
        if (l->fs && s3_local_there(l) && !l->quiet
            && ++l->missed % S3_LOCAL_RETRY_TICKS == 0)
        {
            s3_local_arrive(l, l->fs, NULL, NULL);
        }

        return;
    }

    if (l->arrival != __atomic_load_n(&l->zd->arrivals, __ATOMIC_ACQUIRE)) {
        s3_local_reopen(l);
        return;
    }

    if (l->drive.state == S3_DRIVE_HUNG) {
        return; /* nothing more for its threads */
    }

    s3_local_forget_freed(l);
    s3_local_held(l);
    s3_index_refresh(&l->ix);
    s3_maintain_tick(l->maintain);

    if (l->unsure) {
        s3_local_confirm_again(l);
    }

    if (l->waiting && !l->poll.set) {
        s3_local_wake(l);
    }
}
