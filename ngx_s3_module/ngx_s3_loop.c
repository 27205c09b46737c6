
/*
 * s3_loop_t over nginx; see ngx_s3_loop.h.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include <poll.h>
#include <sys/random.h>
#include <sys/uio.h>

#include "ngx_s3_aio.h"
#include "ngx_s3_fs.h"
#include "ngx_s3_loop.h"
#include "ngx_s3_threads.h"


#define NGX_S3_LOOP_ROUNDS  16
#define NGX_S3_LOOP_RETRY   2


typedef struct {
    s3_loop_t           loop;
    ngx_log_t          *log;
    ngx_uint_t          drives;
    char              **paths;

    ngx_s3_threads_t   *threads;
    ngx_s3_aio_t       *aio;
    ngx_connection_t   *threads_connection;
    ngx_connection_t   *aio_connection;

    ngx_event_t         turn;         /* posted: end of this turn */
    ngx_event_t         retry;        /* timer: the kernel was short */

    s3_defer_t         *defers;
    s3_defer_t        **last;

    size_t              entropy;      /* unused bytes at the end of */
    u_char              pool[256];
} ngx_s3_loop_t;


typedef struct {
    ngx_s3_job_t        job;
    s3_task_t          *task;
} ngx_s3_loop_job_t;


static void ngx_s3_loop_aio_handler(ngx_event_t *ev);
static void ngx_s3_loop_threads_handler(ngx_event_t *ev);
static void ngx_s3_loop_turn_handler(ngx_event_t *ev);
static void ngx_s3_loop_retry_handler(ngx_event_t *ev);
static ngx_uint_t ngx_s3_loop_run_defers(ngx_s3_loop_t *l);

static ssize_t ngx_s3_loop_read_now(s3_loop_t *loop, s3_file_t *f, void *buf,
    size_t len, uint64_t off);
static void ngx_s3_loop_submit(s3_loop_t *loop, s3_aio_t *aio);
static void ngx_s3_loop_post(s3_loop_t *loop, s3_task_t *task);
static void ngx_s3_loop_post_background(s3_loop_t *loop, s3_task_t *task);
static void ngx_s3_loop_job(s3_loop_t *loop, s3_task_t *task,
    ngx_uint_t pool);
static void ngx_s3_loop_job_run(ngx_s3_job_t *job);
static void ngx_s3_loop_job_done(ngx_s3_job_t *job);
static void ngx_s3_loop_set_timer(s3_loop_t *loop, s3_timer_t *timer,
    uint64_t ms);
static void ngx_s3_loop_del_timer(s3_loop_t *loop, s3_timer_t *timer);
static void ngx_s3_loop_timer_handler(ngx_event_t *ev);
static void ngx_s3_loop_defer(s3_loop_t *loop, s3_defer_t *defer);
static uint64_t ngx_s3_loop_wall_us(s3_loop_t *loop);
static uint64_t ngx_s3_loop_mono_ms(s3_loop_t *loop);
static void ngx_s3_loop_random(s3_loop_t *loop, void *buf, size_t len);
static void ngx_s3_loop_log(s3_loop_t *loop, int level, const char *fmt, ...);


s3_loop_t *
ngx_s3_loop_create(ngx_cycle_t *cycle, ngx_s3_loop_conf_t *conf)
{
    int             err;
    ngx_s3_loop_t  *l;

    l = ngx_calloc(sizeof(ngx_s3_loop_t), cycle->log);
    if (l == NULL) {
        return NULL;
    }

    l->log = cycle->log;
    l->last = &l->defers;
    l->drives = conf->drives;
    l->paths = conf->paths;

    l->loop.read_now = ngx_s3_loop_read_now;
    l->loop.submit = ngx_s3_loop_submit;
    l->loop.post = ngx_s3_loop_post;
    l->loop.post_background = ngx_s3_loop_post_background;
    l->loop.set_timer = ngx_s3_loop_set_timer;
    l->loop.del_timer = ngx_s3_loop_del_timer;
    l->loop.defer = ngx_s3_loop_defer;
    l->loop.wall_us = ngx_s3_loop_wall_us;
    l->loop.mono_ms = ngx_s3_loop_mono_ms;
    l->loop.random = ngx_s3_loop_random;
    l->loop.log = ngx_s3_loop_log;
    l->loop.impl = l;

    l->turn.handler = ngx_s3_loop_turn_handler;
    l->turn.data = l;
    l->turn.log = cycle->log;

    l->retry.handler = ngx_s3_loop_retry_handler;
    l->retry.data = l;
    l->retry.log = cycle->log;

    /*
     * Three pools for each drive: one for requests, one for those who watch
     * over the drives, and one for the background.  A merge or a scan takes
     * hundreds of milliseconds, and a read must not stand behind it.
     */

    l->threads = ngx_s3_threads_create(3 * conf->drives, conf->threads);
    if (l->threads == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, ngx_errno,
                      "s3: cannot create the thread pools");
        goto failed;
    }

    l->aio = ngx_s3_aio_create(conf->drives, conf->depth, conf->limit,
                               l->threads);
    if (l->aio == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, ngx_errno,
                      "s3: cannot create the asynchronous I/O context");
        goto failed;
    }

    err = ngx_s3_aio_error(l->aio);

    if (err) {
        ngx_log_error(NGX_LOG_WARN, cycle->log, err,
                      "s3: io_setup() failed, threads are used instead and "
                      "are slower: raise the sysctl fs.aio-max-nr");
    }

    l->threads_connection = ngx_s3_loop_connection(l,
                                            ngx_s3_threads_fd(l->threads),
                                            ngx_s3_loop_threads_handler,
                                            l->log);
    if (l->threads_connection == NULL) {
        goto failed;
    }

    l->aio_connection = ngx_s3_loop_connection(l, ngx_s3_aio_fd(l->aio),
                                               ngx_s3_loop_aio_handler,
                                               l->log);
    if (l->aio_connection == NULL) {
        goto failed;
    }

    return &l->loop;

failed:

    ngx_s3_loop_destroy(&l->loop);

    return NULL;
}


void
ngx_s3_loop_destroy(s3_loop_t *loop)
{
    ngx_s3_loop_t  *l = loop->impl;

    if (l->aio) {
        ngx_s3_aio_destroy(l->aio);
    }

    if (l->threads) {
        ngx_s3_threads_destroy(l->threads);
    }

    ngx_s3_loop_disconnect(l->aio_connection);
    ngx_s3_loop_disconnect(l->threads_connection);

    if (l->turn.posted) {
        ngx_delete_posted_event(&l->turn);
    }

    if (l->retry.timer_set) {
        ngx_del_timer(&l->retry);
    }

    ngx_free(l);
}


/* The eventfds look like channels, which nginx leaves open on exit. */

ngx_connection_t *
ngx_s3_loop_connection(void *data, ngx_socket_t fd,
    ngx_event_handler_pt handler, ngx_log_t *log)
{
    ngx_connection_t  *c;

    c = ngx_get_connection(fd, log);
    if (c == NULL) {
        return NULL;
    }

    c->data = data;

    c->read->log = log;
    c->write->log = log;
    c->read->channel = 1;
    c->write->channel = 1;
    c->read->handler = handler;

    if (ngx_add_event(c->read, NGX_READ_EVENT, NGX_CLEAR_EVENT) != NGX_OK) {
        c->fd = (ngx_socket_t) -1;
        ngx_free_connection(c);
        return NULL;
    }

    return c;
}


/* The descriptor has been closed by its owner, and left epoll with that. */

void
ngx_s3_loop_disconnect(ngx_connection_t *c)
{
    if (c == NULL) {
        return;
    }

    if (c->read->posted) {
        ngx_delete_posted_event(c->read);
    }

    if (c->read->active) {
        (void) ngx_del_event(c->read, NGX_READ_EVENT, NGX_CLOSE_EVENT);
    }

    c->read->closed = 1;
    c->fd = (ngx_socket_t) -1;

    ngx_free_connection(c);
}


ngx_uint_t
ngx_s3_loop_pending(s3_loop_t *loop)
{
    ngx_s3_loop_t  *l = loop->impl;

    /* what the threads do for the AIO is counted twice, which is no harm */

    return ngx_s3_aio_pending(l->aio) + ngx_s3_threads_pending(l->threads);
}


ngx_uint_t
ngx_s3_loop_load(s3_loop_t *loop, ngx_uint_t drive)
{
    ngx_s3_loop_t  *l = loop->impl;

    return ngx_s3_aio_load(l->aio, drive)
           + ngx_s3_threads_load(l->threads, drive)
           + ngx_s3_threads_load(l->threads, 2 * l->drives + drive);
}


ngx_msec_t
ngx_s3_loop_age(s3_loop_t *loop, ngx_uint_t drive)
{
    ngx_s3_loop_t  *l = loop->impl;

    return (ngx_msec_t) ngx_s3_aio_age(l->aio, drive);
}


ngx_int_t
ngx_s3_loop_drain(s3_loop_t *loop, ngx_msec_t timeout)
{
    ngx_msec_t      start;
    ngx_s3_loop_t  *l = loop->impl;
    struct pollfd   fds[2];

    fds[0].fd = ngx_s3_aio_fd(l->aio);
    fds[0].events = POLLIN;
    fds[1].fd = ngx_s3_threads_fd(l->threads);
    fds[1].events = POLLIN;

    ngx_time_update();
    start = ngx_current_msec;

    for ( ;; ) {
        (void) ngx_s3_loop_run_defers(l);
        (void) ngx_s3_aio_flush(l->aio);

        if (l->defers == NULL && ngx_s3_loop_pending(loop) == 0) {
            return NGX_OK;
        }

        if (ngx_current_msec - start >= timeout) {
            return NGX_AGAIN;
        }

        (void) poll(fds, 2, l->defers ? 0 : 10);

        ngx_time_update();

        (void) ngx_s3_aio_reap(l->aio);
        (void) ngx_s3_threads_reap(l->threads);
    }
}


static void
ngx_s3_loop_aio_handler(ngx_event_t *ev)
{
    ngx_connection_t  *c = ev->data;
    ngx_s3_loop_t     *l = c->data;

    (void) ngx_s3_aio_reap(l->aio);

    ngx_post_event(&l->turn, &ngx_posted_events);
}


static void
ngx_s3_loop_threads_handler(ngx_event_t *ev)
{
    ngx_connection_t  *c = ev->data;
    ngx_s3_loop_t     *l = c->data;

    (void) ngx_s3_threads_reap(l->threads);

    ngx_post_event(&l->turn, &ngx_posted_events);
}


static void
ngx_s3_loop_turn_handler(ngx_event_t *ev)
{
    ngx_s3_loop_t  *l = ev->data;

    if (ngx_s3_loop_run_defers(l)) {
        ngx_post_event(&l->turn, &ngx_posted_next_events);
    }

    if (ngx_s3_aio_flush(l->aio) == S3_AGAIN && !l->retry.timer_set) {
        ngx_add_timer(&l->retry, NGX_S3_LOOP_RETRY);
    }
}


static void
ngx_s3_loop_retry_handler(ngx_event_t *ev)
{
    ngx_s3_loop_t  *l = ev->data;

    ngx_post_event(&l->turn, &ngx_posted_events);
}


/*
 * Deferred calls defer further ones; those that go round in circles have to
 * leave room for other events.  Returns whether some are left.
 */

static ngx_uint_t
ngx_s3_loop_run_defers(ngx_s3_loop_t *l)
{
    ngx_uint_t   i;
    s3_defer_t  *defer, *next;

    for (i = 0; i < NGX_S3_LOOP_ROUNDS && l->defers; i++) {

        defer = l->defers;

        l->defers = NULL;
        l->last = &l->defers;

        for ( /* void */ ; defer; defer = next) {
            next = defer->next;

            defer->next = NULL;
            defer->queued = 0;
            defer->handler(defer);
        }
    }

    return l->defers != NULL;
}


static ssize_t
ngx_s3_loop_read_now(s3_loop_t *loop, s3_file_t *f, void *buf, size_t len,
    uint64_t off)
{
    size_t         done;
    ssize_t        n;
    struct iovec   iov;

    if (f->direct) {
        return S3_AGAIN;
    }

    for (done = 0; done < len; done += n) {

        iov.iov_base = (u_char *) buf + done;
        iov.iov_len = len - done;

        n = preadv2(f->fd, &iov, 1, off + done, RWF_NOWAIT);

        if (n == 0) {
            break;
        }

        if (n == -1) {

            if (ngx_errno == EINTR) {
                n = 0;
                continue;
            }

            if (ngx_errno == NGX_EAGAIN || ngx_errno == EOPNOTSUPP
                || ngx_errno == ENOSYS || ngx_errno == EINVAL)
            {
                return S3_AGAIN;
            }

            return ngx_s3_fs_error(ngx_errno);
        }
    }

    return done;
}


static void
ngx_s3_loop_submit(s3_loop_t *loop, s3_aio_t *aio)
{
    ngx_s3_loop_t  *l = loop->impl;

    ngx_s3_aio_submit(l->aio, aio);

    ngx_post_event(&l->turn, &ngx_posted_events);
}


static void
ngx_s3_loop_post(s3_loop_t *loop, s3_task_t *task)
{
    ngx_s3_loop_job(loop, task, task->drive);
}


static void
ngx_s3_loop_post_background(s3_loop_t *loop, s3_task_t *task)
{
    ngx_s3_loop_t  *l = loop->impl;

    ngx_s3_loop_job(loop, task, 2 * l->drives + task->drive);
}


static void
ngx_s3_loop_job(s3_loop_t *loop, s3_task_t *task, ngx_uint_t pool)
{
    ngx_s3_loop_t      *l = loop->impl;
    ngx_s3_loop_job_t  *j = (ngx_s3_loop_job_t *) (void *) task->impl;

    j->job.run = ngx_s3_loop_job_run;
    j->job.done = ngx_s3_loop_job_done;
    j->job.drive = pool;
    j->task = task;

    ngx_s3_threads_post(l->threads, &j->job);
}


static void
ngx_s3_loop_job_run(ngx_s3_job_t *job)
{
    ngx_s3_loop_job_t  *j = (ngx_s3_loop_job_t *) job;

    j->task->run(j->task);
}


static void
ngx_s3_loop_job_done(ngx_s3_job_t *job)
{
    ngx_s3_loop_job_t  *j = (ngx_s3_loop_job_t *) job;

    j->task->done(j->task);
}


static void
ngx_s3_loop_set_timer(s3_loop_t *loop, s3_timer_t *timer, uint64_t ms)
{
    ngx_s3_loop_t  *l = loop->impl;
    ngx_event_t    *ev = (ngx_event_t *) (void *) timer->impl;

    _Static_assert(sizeof(ngx_event_t) <= sizeof(timer->impl),
                   "s3_timer_t.impl is too small");
    _Static_assert(sizeof(ngx_s3_loop_job_t)
                   <= sizeof(((s3_task_t *) 0)->impl),
                   "s3_task_t.impl is too small");

    /* nginx would not move a timer by less than 300 ms */

    if (timer->set) {
        ngx_del_timer(ev);

    } else {
        ngx_memzero(ev, sizeof(ngx_event_t));
    }

    ev->handler = ngx_s3_loop_timer_handler;
    ev->data = timer;
    ev->log = l->log;
    ev->cancelable = timer->background;

    timer->set = 1;

    ngx_add_timer(ev, (ngx_msec_t) ngx_min(ms, 0x7fffffff));
}


static void
ngx_s3_loop_del_timer(s3_loop_t *loop, s3_timer_t *timer)
{
    (void) loop;

    if (timer->set) {
        timer->set = 0;
        ngx_del_timer((ngx_event_t *) (void *) timer->impl);
    }
}


static void
ngx_s3_loop_timer_handler(ngx_event_t *ev)
{
    s3_timer_t  *timer = ev->data;

    timer->set = 0;
    timer->handler(timer);
}


static void
ngx_s3_loop_defer(s3_loop_t *loop, s3_defer_t *defer)
{
    ngx_s3_loop_t  *l = loop->impl;

    if (defer->queued) {
        return;
    }

    defer->queued = 1;
    defer->next = NULL;

    *l->last = defer;
    l->last = &defer->next;

    ngx_post_event(&l->turn, &ngx_posted_events);
}


static uint64_t
ngx_s3_loop_wall_us(s3_loop_t *loop)
{
    ngx_time_t  *tp;

    (void) loop;

    tp = ngx_timeofday();

    return (uint64_t) tp->sec * 1000000 + tp->msec * 1000;
}


static uint64_t
ngx_s3_loop_mono_ms(s3_loop_t *loop)
{
    (void) loop;

    return ngx_current_msec;
}


static void
ngx_s3_loop_random(s3_loop_t *loop, void *buf, size_t len)
{
    size_t          n;
    u_char         *p;
    ssize_t         rc;
    ngx_s3_loop_t  *l = loop->impl;

    p = buf;

    while (len) {

        if (l->entropy == 0) {

            /* never short for up to 256 bytes once the kernel is seeded */

            do {
                rc = getrandom(l->pool, sizeof(l->pool), 0);
            } while (rc == -1 && ngx_errno == EINTR);

            if (rc <= 0) {
                ngx_log_error(NGX_LOG_ALERT, l->log, ngx_errno,
                              "s3: getrandom() failed");
                ngx_abort();
            }

            /* what came lies at the beginning, what is unused at the end */

            l->entropy = rc;
            ngx_memmove(l->pool + sizeof(l->pool) - rc, l->pool, rc);
        }

        n = ngx_min(len, l->entropy);

        ngx_memcpy(p, l->pool + sizeof(l->pool) - l->entropy, n);
        ngx_memzero(l->pool + sizeof(l->pool) - l->entropy, n);

        l->entropy -= n;
        p += n;
        len -= n;
    }
}


static void
ngx_s3_loop_log(s3_loop_t *loop, int level, const char *fmt, ...)
{
    int             rest;
    char            buf[1024];
    va_list         args;
    unsigned        drive;
    ngx_s3_loop_t  *l = loop->impl;

    if (l->log->log_level < (ngx_uint_t) level) {
        return;
    }

    va_start(args, fmt);
    (void) vsnprintf(buf, sizeof(buf), fmt, args);
    va_end(args);

    rest = 0;

    if (sscanf(buf, "drive %u: %n", &drive, &rest) == 1 && rest
        && drive >= 1 && drive <= l->drives && l->paths)
    {
        ngx_log_error((ngx_uint_t) level, l->log, 0, "s3: drive %ud (%s): %s",
                      drive, l->paths[drive - 1], buf + rest);
        return;
    }

    ngx_log_error((ngx_uint_t) level, l->log, 0, "s3: %s", buf);
}
