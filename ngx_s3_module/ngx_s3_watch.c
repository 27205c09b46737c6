
/*
 * Watching over the drives; see ngx_s3_watch.h.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "storage/s3_format.h"
#include "ngx_s3_fs.h"
#include "ngx_s3_lock.h"
#include "ngx_s3_loop.h"
#include "ngx_s3_watch.h"


#define NGX_S3_WATCH_HUNG   3000
#define NGX_S3_WATCH_LAST   15000    /* where too few would be left */
#define NGX_S3_WATCH_CALM   5000     /* without a hung I/O until it is OK */
#define NGX_S3_WATCH_RETRY  10000


static void ngx_s3_watch_elect(ngx_s3_process_t *ps);
static void ngx_s3_watch_drive(ngx_s3_process_t *ps, ngx_s3_watch_t *w,
    uint64_t now);
static void ngx_s3_watch_post(ngx_s3_watch_t *w, uint64_t now);
static void ngx_s3_watch_run(s3_task_t *task);
static void ngx_s3_watch_done(s3_task_t *task);
static int ngx_s3_watch_come_back(ngx_s3_watch_t *w);
static int ngx_s3_watch_lock(ngx_s3_watch_t *w);
static uint32_t ngx_s3_watch_others(ngx_s3_watch_t *w);
static void ngx_s3_watch_come_on(ngx_s3_watch_t *w);
static void ngx_s3_watch_returned(void *ctx, int rc);
static void ngx_s3_watch_refused(ngx_s3_watch_t *w, int rc);
static ngx_uint_t ngx_s3_watch_set(ngx_s3_watch_t *w, uint32_t from,
    uint32_t to);
static void ngx_s3_watch_keep_lock(ngx_s3_instance_t *in, ngx_uint_t drive,
    int fd);
static int ngx_s3_watch_admit(void *ctx);
static ngx_msec_t ngx_s3_watch_patience(ngx_s3_process_t *ps);
static void ngx_s3_watch_hangs(ngx_s3_watch_t *w, uint32_t state, uint64_t now,
    ngx_msec_t patience);
static void ngx_s3_watch_works(ngx_s3_watch_t *w, uint32_t state);
static uint64_t ngx_s3_watch_now(void);


void
ngx_s3_watch_init(ngx_s3_process_t *ps)
{
    uint32_t            state;
    ngx_uint_t          i;
    ngx_s3_watch_t     *w;
    ngx_s3_instance_t  *in = ps->in;

    for (i = 0; i < in->n; i++) {
        w = &ps->watch[i];
        state = s3_zone_state(&ps->zone->drives[i]);

        w->process = ps;
        w->drive = i;
        w->lock = -1;

        w->task.run = ngx_s3_watch_run;
        w->task.done = ngx_s3_watch_done;
        w->task.ctx = w;
        w->task.drive = in->n + i;

        /* drives may have gone and come since the master has opened them */

        if (state == S3_DRIVE_MISSING) {
            ngx_s3_fs_detach(in->fs[i]);
            w->absent = 1;

        } else if (state == S3_DRIVE_HUNG) {

            /* what the master has opened may be another one by now */

            ngx_s3_fs_detach(in->fs[i]);

        } else if (ngx_s3_fs_check(in->fs[i]) != S3_OK
                   && ngx_s3_watch_admit(w) == S3_OK)
        {
            (void) ngx_s3_fs_attach(in->fs[i]);
        }

        ngx_s3_fs_lazy(in->fs[i], ngx_s3_watch_admit, w);
    }
}


void
ngx_s3_watch(ngx_s3_process_t *ps)
{
    uint64_t    now;
    ngx_uint_t  i;

    ngx_s3_watch_elect(ps);

    now = ngx_s3_watch_now();

    for (i = 0; i < ps->in->n; i++) {
        ngx_s3_watch_drive(ps, &ps->watch[i], now);
    }
}


void
ngx_s3_watch_resign(ngx_s3_process_t *ps)
{
    int64_t  self;

    if (!ps->guardian) {
        return;
    }

    ps->guardian = 0;

    s3_store_heal(ps->store, 0);

    self = ps->self;

    (void) __atomic_compare_exchange_n(&ps->in->shared->guardian, &self, 0, 0,
                                       __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}


static void
ngx_s3_watch_elect(ngx_s3_process_t *ps)
{
    int64_t   guardian;
    int64_t  *p = &ps->in->shared->guardian;

    if (ngx_exiting || ngx_terminate || ngx_quit) {
        ngx_s3_watch_resign(ps);
        return;
    }

    guardian = __atomic_load_n(p, __ATOMIC_ACQUIRE);

    if (guardian == ps->self) {
        return;
    }

    if (guardian && ngx_s3_process_alive(guardian)) {
        return;
    }

    if (!__atomic_compare_exchange_n(p, &guardian, ps->self, 0,
                                     __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
    {
        return;
    }

    ps->guardian = 1;

    s3_store_heal(ps->store, 1);
}


static void
ngx_s3_watch_drive(ngx_s3_process_t *ps, ngx_s3_watch_t *w, uint64_t now)
{
    uint32_t            state;
    ngx_uint_t          late;
    ngx_msec_t          patience;
    ngx_s3_instance_t  *in = ps->in;

    state = s3_zone_state(&ps->zone->drives[w->drive]);

    s3_node_drive(ps->node, w->drive)->state = state;

    if (state == S3_DRIVE_MISSING && !w->busy && !w->returning
        && ngx_s3_fs_attached(in->fs[w->drive]))
    {
        ngx_s3_fs_detach(in->fs[w->drive]);
    }

    patience = (state == S3_DRIVE_HUNG) ? NGX_S3_WATCH_HUNG
                                        : ngx_s3_watch_patience(ps);

    late = ngx_s3_loop_age(ps->loop, w->drive) > patience
           || (w->busy && now - w->since > patience);

    if (late) {
        ngx_s3_watch_hangs(w, state, now, patience);
    }

    if (w->busy || w->returning) {
        return;
    }

    /* the guardian has brought it back: it has to be taken up here, too */

    if (w->absent && state != S3_DRIVE_MISSING && now >= w->retry) {
        w->returns = 1;
        w->replace = 0;
        ngx_s3_watch_post(w, now);
        return;
    }

    if (!ps->guardian) {
        return;
    }

    if (state == S3_DRIVE_MISSING && now < w->retry) {
        return;
    }

    w->returns = (state == S3_DRIVE_MISSING);
    w->replace = 0;

    ngx_s3_watch_post(w, now);
}


/*
 * A drive that is slow is no reason to be without more of them than there is
 * parity: the load may be what makes all of them slow.
 */

static ngx_msec_t
ngx_s3_watch_patience(ngx_s3_process_t *ps)
{
    uint32_t    state;
    ngx_uint_t  i, away;

    away = 0;

    for (i = 0; i < ps->in->n; i++) {
        state = s3_zone_state(&ps->zone->drives[i]);
        away += (state == S3_DRIVE_MISSING || state == S3_DRIVE_HUNG);
    }

    return away < ps->in->standard ? NGX_S3_WATCH_HUNG : NGX_S3_WATCH_LAST;
}


static void
ngx_s3_watch_hangs(ngx_s3_watch_t *w, uint32_t state, uint64_t now,
    ngx_msec_t patience)
{
    ngx_s3_process_t   *ps = w->process;
    ngx_s3_instance_t  *in = ps->in;

    __atomic_store_n(&in->shared->hung[w->drive], now + NGX_S3_WATCH_CALM,
                     __ATOMIC_RELEASE);

    if (state == S3_DRIVE_MISSING) {

        /* what is there does not answer */

        if (w->returns) {
            s3_zone_fault(&ps->zone->drives[w->drive], S3_ZFAULT_HUNG, 0);
        }

        return;
    }

    if (state == S3_DRIVE_HUNG || !ngx_s3_watch_set(w, state, S3_DRIVE_HUNG)) {
        return;
    }

    s3_zone_fault(&ps->zone->drives[w->drive], S3_ZFAULT_HUNG, 0);

    ngx_log_error(NGX_LOG_ALERT, ps->log, 0,
                  "s3: drive \"%s\" hangs: an operation takes longer than "
                  "%M ms", in->path[w->drive], patience);
}


static void
ngx_s3_watch_post(ngx_s3_watch_t *w, uint64_t now)
{
    w->busy = 1;
    w->since = now;
    w->state = s3_zone_state(&w->process->zone->drives[w->drive]);

    w->process->loop->post(w->process->loop, &w->task);
}


static void
ngx_s3_watch_run(s3_task_t *task)
{
    s3_fs_t         *fs;
    ngx_s3_watch_t  *w = task->ctx;

    fs = w->process->in->fs[w->drive];

    if (w->returns) {
        w->rc = ngx_s3_watch_come_back(w);
        return;
    }

    if (!ngx_s3_fs_attached(fs) && ngx_s3_watch_admit(w) == S3_OK) {
        (void) ngx_s3_fs_attach(fs);
    }

    w->rc = ngx_s3_fs_check(fs);
    w->probe = S3_OK;

    if (w->rc == S3_OK
        && (w->state == S3_DRIVE_READONLY || w->state == S3_DRIVE_FAILING
            || w->state == S3_DRIVE_HUNG))
    {
        w->probe = ngx_s3_fs_probe(fs);
    }
}


/*
 * In a thread.  An empty directory is perhaps the place where the drive is to
 * be mounted; what is certain to be a new drive is left alone until nobody has
 * anything of the old one.
 */

static int
ngx_s3_watch_come_back(ngx_s3_watch_t *w)
{
    int                 rc;
    ngx_s3_instance_t  *in = w->process->in;

    w->site = ngx_s3_drives_site(in, w->drive, ngx_s3_watch_others(w));

    switch (w->site) {

    case NGX_S3_SITE_DRIVE:
        break;

    case NGX_S3_SITE_OTHER:
        return S3_EFOREIGN;

    case NGX_S3_SITE_NEW:

        if (w->state != S3_DRIVE_MISSING) {
            return S3_ENOENT;
        }

        if (!w->replace) {
            return S3_OK;
        }

        break;

    default:
        return S3_ENOENT;
    }

    rc = ngx_s3_watch_lock(w);

    if (rc == S3_OK) {
        rc = ngx_s3_fs_attach(in->fs[w->drive]);
    }

    /* what was looked at has to be what was opened */

    if (rc == S3_OK && w->site == NGX_S3_SITE_NEW
        && (ngx_s3_drives_site(in, w->drive, ngx_s3_watch_others(w)) != w->site
            || ngx_s3_fs_check(in->fs[w->drive]) != S3_OK))
    {
        ngx_s3_fs_detach(in->fs[w->drive]);
        rc = S3_AGAIN;
    }

    if (rc != S3_OK && w->lock != -1) {
        (void) close(w->lock);
        w->lock = -1;
    }

    return rc;
}


static int
ngx_s3_watch_lock(ngx_s3_watch_t *w)
{
    int                 rc;
    ngx_s3_owner_t      owner;
    ngx_s3_instance_t  *in = w->process->in;

    rc = ngx_s3_lock_join(in->path[w->drive], in->instance, &w->lock);

    if (rc != S3_EFOREIGN && rc != S3_ENOENT) {
        return rc;
    }

    rc = ngx_s3_lock_take(in->path[w->drive], (uid_t) -1, (gid_t) -1,
                          &w->lock, &owner);

    if (rc == S3_OK) {
        ngx_memcpy(owner.instance, in->instance, 16);
        owner.pid = in->shared->master;

        rc = ngx_s3_lock_share(w->lock, &owner);
    }

    return rc;
}


/* Those that may be looked at: they answer. */

static uint32_t
ngx_s3_watch_others(ngx_s3_watch_t *w)
{
    uint32_t           mask, state;
    ngx_uint_t         i;
    ngx_s3_process_t  *ps = w->process;

    mask = 0;

    for (i = 0; i < ps->in->n; i++) {
        state = s3_zone_state(&ps->zone->drives[i]);

        if (i != w->drive && state != S3_DRIVE_MISSING
            && state != S3_DRIVE_HUNG)
        {
            mask |= (uint32_t) 1 << i;
        }
    }

    return mask;
}


/* The task has found something to come back, or a new drive. */

static void
ngx_s3_watch_come_on(ngx_s3_watch_t *w)
{
    int                 rc;
    s3_fs_t            *fs;
    ngx_s3_process_t   *ps = w->process;
    ngx_s3_instance_t  *in = ps->in;

    fs = in->fs[w->drive];

    if (w->site == NGX_S3_SITE_NEW && !w->replace) {

        rc = s3_node_forget(ps->node, w->drive);

        if (rc == S3_OK) {
            w->replace = 1;
            ngx_s3_watch_post(w, ngx_s3_watch_now());
            return;
        }

        ngx_s3_watch_returned(w, rc == S3_EEXIST ? S3_AGAIN : rc);
        return;
    }

    ngx_s3_watch_keep_lock(in, w->drive, w->lock);

    w->lock = -1;
    w->returning = 1;

    rc = w->replace
         ? s3_node_replace(ps->node, w->drive, fs, ngx_s3_watch_returned, w)
         : s3_node_return(ps->node, w->drive, fs, ngx_s3_watch_returned, w);

    if (rc != S3_OK) {
        ngx_s3_watch_returned(w, rc);
    }
}


static void
ngx_s3_watch_done(s3_task_t *task)
{
    uint32_t            state;
    ngx_s3_watch_t     *w = task->ctx;
    ngx_s3_process_t   *ps = w->process;
    ngx_s3_instance_t  *in = ps->in;

    w->busy = 0;

    state = s3_zone_state(&ps->zone->drives[w->drive]);

    if (w->returns) {

        if (w->rc != S3_OK) {
            ngx_s3_watch_returned(w, w->rc);
            return;
        }

        ngx_s3_watch_come_on(w);
        return;
    }

    switch (w->rc) {

    case S3_OK:

        if (state == w->state && (w->probe == S3_OK || w->probe == S3_ENOSPC)) {
            ngx_s3_watch_works(w, state);
        }

        break;

    case S3_EROFS:

        if (state != S3_DRIVE_MISSING && state != S3_DRIVE_HUNG
            && state != S3_DRIVE_READONLY
            && ngx_s3_watch_set(w, state, S3_DRIVE_READONLY))
        {
            s3_zone_fault(&ps->zone->drives[w->drive], S3_ZFAULT_READONLY, 0);

            ngx_log_error(NGX_LOG_ALERT, ps->log, 0,
                          "s3: drive \"%s\" has become read-only",
                          in->path[w->drive]);
        }

        break;

    default:

        if (state == S3_DRIVE_MISSING) {
            break;
        }

        ngx_log_error(NGX_LOG_ALERT, ps->log, 0,
                      "s3: drive \"%s\" has gone away: %s",
                      in->path[w->drive],
                      w->rc == S3_EFOREIGN ? "something else is mounted there"
                                           : s3_strerror(w->rc));

        (void) ngx_s3_watch_set(w, state, S3_DRIVE_MISSING);

        s3_zone_fault(&ps->zone->drives[w->drive],
                      w->rc == S3_EFOREIGN ? S3_ZFAULT_REPLACED
                                           : S3_ZFAULT_ABSENT, 0);

        ngx_s3_fs_detach(in->fs[w->drive]);

        w->told = S3_ENOENT;
        w->hinted = 0;
        w->retry = 0;
    }
}


/* It can be written; whether all that is on it is known is another matter. */

static void
ngx_s3_watch_works(ngx_s3_watch_t *w, uint32_t state)
{
    uint64_t            now;
    ngx_s3_process_t   *ps = w->process;
    ngx_s3_instance_t  *in = ps->in;

    now = ngx_s3_watch_now();

    switch (state) {

    case S3_DRIVE_HUNG:

        if (now <= __atomic_load_n(&in->shared->hung[w->drive],
                                   __ATOMIC_ACQUIRE))
        {
            return;
        }

        break;

    case S3_DRIVE_READONLY:
        break;

    case S3_DRIVE_FAILING:

        if (now >= w->retry) {
            w->retry = now + NGX_S3_WATCH_RETRY;
            s3_node_recheck(ps->node, w->drive);
        }

        return;

    default:
        return;
    }

    if (s3_node_mend(ps->node, w->drive, state) == S3_OK) {
        ngx_log_error(NGX_LOG_NOTICE, ps->log, 0,
                      "s3: drive \"%s\" works again", in->path[w->drive]);
    }
}


/* ctx: ngx_s3_watch_t.  A reason is told once and not with every attempt. */

static void
ngx_s3_watch_returned(void *ctx, int rc)
{
    ngx_uint_t         level;
    ngx_s3_watch_t    *w = ctx;
    ngx_s3_process_t  *ps = w->process;

    w->returning = 0;

    if (rc == S3_OK || rc == S3_EEXIST) {
        w->told = S3_OK;
        w->retry = 0;
        w->absent = 0;

        s3_node_drive(ps->node, w->drive)->state =
                                 s3_zone_state(&ps->zone->drives[w->drive]);

        level = ps->guardian ? NGX_LOG_NOTICE : NGX_LOG_INFO;

        ngx_log_error(level, ps->log, 0, "s3: drive \"%s\" is back",
                      ps->in->path[w->drive]);
        return;
    }

    if (rc != S3_AGAIN) {
        ngx_s3_watch_refused(w, rc);
    }
}


static void
ngx_s3_watch_refused(ngx_s3_watch_t *w, int rc)
{
    const char        *path;
    s3_zfault_t        fault;
    ngx_s3_process_t  *ps = w->process;

    path = ps->in->path[w->drive];

    switch (rc) {

    case S3_ENOENT:
        fault = (w->site == NGX_S3_SITE_EMPTY) ? S3_ZFAULT_EMPTY
                                               : S3_ZFAULT_ABSENT;
        break;

    case S3_EUNAVAIL:
        fault = S3_ZFAULT_EMPTY;
        break;

    case S3_EFOREIGN:
        fault = S3_ZFAULT_FORMAT;
        break;

    case S3_EBUSY:
        fault = S3_ZFAULT_LOCKED;
        break;

    case S3_EROFS:
        fault = S3_ZFAULT_READONLY;
        break;

    default:
        fault = S3_ZFAULT_RECOVER;
    }

    if (s3_zone_state(&ps->zone->drives[w->drive]) == S3_DRIVE_MISSING) {
        s3_zone_fault(&ps->zone->drives[w->drive], fault, 0);
    }

    if (w->site == NGX_S3_SITE_EMPTY && !w->hinted) {
        w->hinted = 1;

        ngx_log_error(NGX_LOG_WARN, ps->log, 0,
                      "s3: drive \"%s\" is an empty directory and perhaps not "
                      "mounted: if it is a new drive, put a file "
                      "\"" S3_FORMAT_MARK "\" in it", path);
    }

    if (rc != S3_ENOENT) {
        w->retry = ngx_s3_watch_now() + NGX_S3_WATCH_RETRY;

        if (rc != w->told) {
            ngx_log_error(NGX_LOG_ERR, ps->log, 0,
                          "s3: drive \"%s\" cannot be used%s: %s%s", path,
                          w->site == NGX_S3_SITE_NEW ? "" : " again",
                          s3_strerror(rc),
                          rc == S3_EROFS ? ", or not writable for the workers"
                                         : "");
        }
    }

    w->told = rc;
}


static ngx_uint_t
ngx_s3_watch_set(ngx_s3_watch_t *w, uint32_t from, uint32_t to)
{
    ngx_s3_process_t  *ps = w->process;

    if (!__atomic_compare_exchange_n(&ps->zone->drives[w->drive].state, &from,
                                     to, 0, __ATOMIC_ACQ_REL,
                                     __ATOMIC_RELAXED))
    {
        return 0;
    }

    s3_node_drive(ps->node, w->drive)->state = to;

    return 1;
}


static void
ngx_s3_watch_keep_lock(ngx_s3_instance_t *in, ngx_uint_t drive, int fd)
{
    fd = __atomic_exchange_n(&in->lock[drive], fd, __ATOMIC_ACQ_REL);

    if (fd != -1) {
        (void) close(fd);
    }
}


/*
 * In any thread: the path leads to a drive whose lock names this instance,
 * and so to one that was opened by it or has come back to it.
 */

static int
ngx_s3_watch_admit(void *ctx)
{
    int                 fd, rc;
    ngx_s3_watch_t     *w = ctx;
    ngx_s3_instance_t  *in = w->process->in;

    if (s3_zone_state(&w->process->zone->drives[w->drive])
        == S3_DRIVE_MISSING)
    {
        return S3_EUNAVAIL;
    }

    rc = ngx_s3_lock_join(in->path[w->drive], in->instance, &fd);

    if (rc == S3_OK) {
        ngx_s3_watch_keep_lock(in, w->drive, fd);
    }

    return rc;
}


/* The same in all processes. */

static uint64_t
ngx_s3_watch_now(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}
