
/*
 * The store in a worker: joins the node, and leaves it.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "ngx_s3_fs.h"
#include "ngx_s3_lock.h"
#include "ngx_s3_loop.h"
#include "ngx_s3_memory.h"
#include "ngx_s3_watch.h"


/* nginx kills workers a second after TERM; a graceful exit may take longer */

#define NGX_S3_PROCESS_TERM  500
#define NGX_S3_PROCESS_QUIT  5000

#define NGX_S3_PROCESS_TICK      1000

#define NGX_S3_PROCESS_WAIT      100
#define NGX_S3_PROCESS_PATIENCE  10000

/* For what recently read records say: some 10,000 objects. */

#define NGX_S3_PROCESS_RECENT    (4 * 1024 * 1024)


static void ngx_s3_store_refilled(void *ctx, unsigned drive);
static ngx_int_t ngx_s3_process_join(ngx_s3_process_t *ps);
static void ngx_s3_process_leave(ngx_s3_process_t *ps, ngx_msec_t timeout);
static void ngx_s3_process_unlock(ngx_s3_process_t *ps);
static void ngx_s3_process_drop(ngx_s3_instance_t *in);
static void ngx_s3_process_sign(ngx_cycle_t *cycle, ngx_s3_instance_t *in);
static void ngx_s3_process_handler(ngx_event_t *ev);
static int ngx_s3_process_is_alive(void *ctx, int64_t process);
static void ngx_s3_process_log(void *ctx, int level, const char *message);
static void ngx_s3_process_named(void *ctx, const uint8_t id[16]);


static ngx_s3_process_t  *ngx_s3_process_current;


s3_store_t *
ngx_s3_store_get(void)
{
    return ngx_s3_process_current ? ngx_s3_process_current->store : NULL;
}


s3_loop_t *
ngx_s3_store_loop(void)
{
    return ngx_s3_process_current ? ngx_s3_process_current->loop : NULL;
}


ngx_int_t
ngx_s3_store_view(ngx_s3_store_view_t *view)
{
    ngx_s3_process_t  *ps = ngx_s3_process_current;

    if (ps == NULL) {
        return NGX_DECLINED;
    }

    view->zone = ps->zone;
    view->path = ps->in->path;
    view->uptime = ngx_s3_store_boottime() - ps->in->shared->started;
    view->counters = (u_char *) ps->in->shared + NGX_S3_SHARED_HEAD;

    return NGX_OK;
}


void *
ngx_s3_store_counters(void)
{
    ngx_s3_process_t  *ps = ngx_s3_process_current;

    if (ps == NULL || ps->node == NULL) {
        return NULL;
    }

    return (u_char *) ps->in->shared + NGX_S3_SHARED_HEAD
           + s3_node_slot(ps->node) * NGX_S3_COUNTERS;
}


ngx_int_t
ngx_s3_store_init_process(ngx_cycle_t *cycle)
{
    int                  rc;
    ngx_uint_t           i;
    ngx_s3_process_t    *ps;
    ngx_s3_loop_conf_t   lc;
    ngx_s3_instance_t   *in = &ngx_s3_instance;

    if (!in->opened) {
        return NGX_OK;
    }

    if ((ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE)
        || !in->active)
    {
        ngx_s3_process_drop(in);
        return NGX_OK;
    }

    /* what a worker starts must not keep the drives locked; see fork(2) */

    ngx_s3_lock_inherit(in->fd, 0);

    for (i = 0; i < in->n; i++) {
        if (in->lock[i] != -1) {
            ngx_s3_lock_inherit(in->lock[i], 0);
        }
    }

    ngx_s3_process_sign(cycle, in);

    ps = ngx_calloc(sizeof(ngx_s3_process_t), cycle->log);
    if (ps == NULL) {
        return NGX_ERROR;
    }

    ps->in = in;
    ps->log = cycle->log;
    ps->self = ngx_s3_process_self();

    rc = s3_zone_join(ngx_s3_instance_zone(in), in->size - NGX_S3_SHARED_SIZE,
                      in->n, in->instance, &ps->zone);

    if (rc != S3_OK) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                      "s3: cannot join the store's memory: %s",
                      s3_strerror(rc));
        ngx_free(ps);
        return NGX_ERROR;
    }

    lc.drives = in->n;
    lc.depth = in->aio_depth;
    lc.limit = ngx_max(in->aio_depth / ngx_min(in->n, 4), 8);
    lc.threads = in->threads;
    lc.paths = in->path;

    ngx_s3_memory_init();

    ps->loop = ngx_s3_loop_create(cycle, &lc);
    if (ps->loop == NULL) {
        ngx_free(ps);
        return NGX_ERROR;
    }

    ngx_s3_watch_init(ps);

    ngx_s3_process_current = ps;

    if (ngx_s3_process_join(ps) != NGX_OK) {
        return NGX_ERROR;
    }

    ps->tick.handler = ngx_s3_process_handler;
    ps->tick.data = ps;
    ps->tick.log = cycle->log;
    ps->tick.cancelable = 1;

    ngx_add_timer(&ps->tick, 1);

    return NGX_OK;
}


static ngx_int_t
ngx_s3_process_join(ngx_s3_process_t *ps)
{
    int                 rc;
    ngx_uint_t          i;
    s3_node_conf_t      nc;
    s3_store_conf_t     sc;
    ngx_s3_instance_t  *in = ps->in;

    ngx_s3_instance_node_conf(in, &nc, ps->log);

    /* an fs of an absent drive attaches itself when the drive is back */

    for (i = 0; i < in->n; i++) {
        nc.fs[i] = in->fs[i];
    }

    nc.log = ngx_s3_process_log;
    nc.named = ngx_s3_process_named;
    nc.ctx = ps;

    /* after a reload the slots may be taken by workers that are about to go */

    for (i = 0; /* void */ ; i++) {

        rc = s3_node_attach(&nc, ps->loop, S3_NODE_ANY_SLOT, ps->self,
                            ngx_s3_process_is_alive, &ps->node);

        if (rc != S3_EBUSY || ngx_terminate || ngx_quit) {
            break;
        }

        if (i * NGX_S3_PROCESS_WAIT > NGX_S3_PROCESS_PATIENCE) {

            ngx_log_error(NGX_LOG_ALERT, ps->log, 0,
                          "s3: %d processes serve the store already: too many "
                          "workers", S3_NODE_PROCS);

            /* the master starts another worker, unless the code is 2 */

            exit(1);
        }

        ngx_msleep(NGX_S3_PROCESS_WAIT);
    }

    if (rc != S3_OK) {
        ngx_log_error(NGX_LOG_EMERG, ps->log, 0,
                      "s3: cannot join the store: %s", s3_strerror(rc));
        return NGX_ERROR;
    }

    s3_node_store_id(&nc, in->id);

    ngx_memzero(&sc, sizeof(s3_store_conf_t));

    sc.loop = ps->loop;
    sc.n = in->n;

    for (i = 0; i < in->n; i++) {
        sc.drives[i] = s3_node_drive(ps->node, i);
    }

    for (i = 0; i < S3_CLASSES; i++) {
        sc.parity[i] = in->parity[i];
    }

    sc.node = in->node;
    sc.seed = s3_get64(in->id);
    sc.hedge_ms = in->hedge;
    sc.clock = s3_node_clock;
    sc.clock_ctx = ps->node;
    sc.bucket_changes = s3_node_bucket_changes(ps->node);
    sc.pins = s3_node_pins(ps->node);
    sc.proc = s3_node_slot(ps->node);
    sc.recent = NGX_S3_PROCESS_RECENT;
    sc.scrub_period = in->scrub;
    sc.refilled = ngx_s3_store_refilled;
    sc.refilled_ctx = ps->node;

    ps->store = s3_store_create(&sc);

    if (ps->store == NULL) {
        ngx_log_error(NGX_LOG_EMERG, ps->log, 0,
                      "s3: cannot create the store: out of memory, or parity "
                      "does not go with the number of drives");
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_s3_store_refilled(void *ctx, unsigned drive)
{
    s3_node_refilled(ctx, drive);
}


void
ngx_s3_store_exit_process(ngx_cycle_t *cycle)
{
    ngx_msec_t         timeout;
    ngx_s3_process_t  *ps = ngx_s3_process_current;

    (void) cycle;

    if (ps == NULL) {
        return;
    }

    timeout = ngx_terminate ? NGX_S3_PROCESS_TERM : NGX_S3_PROCESS_QUIT;

    if (ps->tick.timer_set) {
        ngx_del_timer(&ps->tick);
    }

    ngx_s3_watch_resign(ps);

    ngx_s3_process_leave(ps, timeout);
}


/*
 * Where the drives do not come to rest in time everything stays as it is:
 * others settle what a process leaves behind that just dies.
 */

static void
ngx_s3_process_leave(ngx_s3_process_t *ps, ngx_msec_t timeout)
{
    ngx_int_t    rc;
    ngx_uint_t   idle;
    ngx_msec_t   start;

    if (ps->node) {
        s3_node_quiesce(ps->node);
    }

    ngx_time_update();
    start = ngx_current_msec;

    idle = 0;

    for ( ;; ) {
        rc = ngx_s3_loop_drain(ps->loop, 50);

        if (rc == NGX_OK && (ps->node == NULL || s3_node_busy(ps->node) == 0)) {
            break;
        }

        /* what waits for a timer waits in vain here */

        idle = (rc == NGX_OK) ? idle + 1 : 0;

        ngx_time_update();

        if (idle > 10 || ngx_current_msec - start >= timeout) {
            ngx_log_error(NGX_LOG_INFO, ps->log, 0,
                          "s3: leaving with %ui operations under way",
                          (ngx_uint_t) (ps->node ? s3_node_busy(ps->node) : 0)
                          + ngx_s3_loop_pending(ps->loop));

            /* nothing is freed: it may still be in use */

            ngx_s3_process_unlock(ps);

            ngx_s3_process_current = NULL;
            return;
        }

        ngx_msleep(1);
    }

    if (ps->store) {
        s3_store_destroy(ps->store);
    }

    if (ps->node) {
        s3_node_detach(ps->node);
    }

    ngx_s3_loop_destroy(ps->loop);

    ngx_s3_process_current = NULL;

    ngx_free(ps);
}


/*
 * The kernel may keep a process for as long as a drive hangs.  Nobody has to
 * wait for it who wants the other drives.
 */

static void
ngx_s3_process_unlock(ngx_s3_process_t *ps)
{
    ngx_uint_t          i;
    ngx_s3_instance_t  *in = ps->in;

    for (i = 0; i < in->n; i++) {

        if (in->lock[i] != -1 && ngx_s3_loop_load(ps->loop, i) == 0) {
            (void) close(in->lock[i]);
            in->lock[i] = -1;
        }
    }
}


/* The cache manager, or a worker whose configuration has no store. */

static void
ngx_s3_process_drop(ngx_s3_instance_t *in)
{
    ngx_uint_t  i;

    for (i = 0; i < in->n; i++) {
        if (in->lock[i] != -1) {
            (void) close(in->lock[i]);
            in->lock[i] = -1;
        }
    }

    if (in->fd != -1) {
        (void) close(in->fd);
        in->fd = -1;
    }
}


/* The locks were taken before nginx went to the background. */

static void
ngx_s3_process_sign(ngx_cycle_t *cycle, ngx_s3_instance_t *in)
{
    int64_t         master, old;
    ngx_uint_t      i;
    ngx_s3_owner_t  owner;

    master = (ngx_process == NGX_PROCESS_SINGLE) ? ngx_pid : getppid();

    old = __atomic_exchange_n(&in->shared->master, master, __ATOMIC_RELAXED);

    if (old == master) {
        return;
    }

    ngx_s3_instance_owner(in, cycle, &owner);
    owner.pid = master;

    for (i = 0; i < in->n; i++) {
        if (in->lock[i] != -1) {
            (void) ngx_s3_lock_write(in->lock[i], &owner);
        }
    }
}


static void
ngx_s3_process_handler(ngx_event_t *ev)
{
    ngx_s3_process_t  *ps = ev->data;

    ngx_s3_watch(ps);
    ngx_s3_memory_tick(ps->loop);
    s3_store_trim(ps->store);

    ngx_add_timer(ev, NGX_S3_PROCESS_TICK);
}


static int
ngx_s3_process_is_alive(void *ctx, int64_t process)
{
    (void) ctx;

    return ngx_s3_process_alive(process);
}


static void
ngx_s3_process_log(void *ctx, int level, const char *message)
{
    ngx_s3_process_t  *ps = ctx;

    ngx_log_error((ngx_uint_t) level, ps->log, 0, "s3: %s", message);
}


/* The first drive of the store is here, after a start without any. */

static void
ngx_s3_process_named(void *ctx, const uint8_t id[16])
{
    ngx_s3_process_t  *ps = ctx;

    ngx_memcpy(ps->in->id, id, 16);

    if (ps->store != NULL) {
        s3_store_seed(ps->store, s3_get64(id));
    }
}
