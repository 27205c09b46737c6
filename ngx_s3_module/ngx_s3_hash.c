
/*
 * Digests of large bodies; see ngx_s3_hash.h.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "ngx_s3_hash.h"
#include "ngx_s3_loop.h"


/* What the threads know as drives. */

#define NGX_S3_HASH_MD5    0
#define NGX_S3_HASH_OTHER  1

/* A batch of more would only make the first ones wait for the last ones. */

#define NGX_S3_HASH_BATCH  (2 * S3_MD5X_LANES)

/* How long a stream is expected, and how long others wait for it: ms. */

#define NGX_S3_HASH_EXPECT  4
#define NGX_S3_HASH_WAIT    2


typedef struct {
    ngx_s3_threads_t   *threads;
    ngx_connection_t   *connection;
    ngx_event_t         timer;        /* those who wait waited enough */

    ngx_s3_hash_t      *waiting;      /* for MD5 */
    ngx_s3_hash_t     **last;
    ngx_uint_t          n;

    ngx_msec_t          now;          /* expected, by when they were done */
    ngx_uint_t          expected[NGX_S3_HASH_EXPECT];

    ngx_s3_job_t        job;          /* the batch under way */
    ngx_s3_hash_t      *batch;
    ngx_uint_t          size;
    s3_md5x_job_t       md5[NGX_S3_HASH_BATCH];

    unsigned            running:1;
} ngx_s3_hash_engine_t;


typedef struct {
    ngx_event_t         event;        /* the end of the turn */
    ngx_s3_hash_t      *first;
    ngx_s3_hash_t     **last;
} ngx_s3_hash_turn_t;


static ngx_s3_hash_engine_t *ngx_s3_hash_engine(void);
static void ngx_s3_hash_handler(ngx_event_t *ev);
static void ngx_s3_hash_timer(ngx_event_t *ev);
static ngx_uint_t ngx_s3_hash_expected(ngx_s3_hash_engine_t *e);
static void ngx_s3_hash_next(ngx_s3_hash_engine_t *e);
static void ngx_s3_hash_start(ngx_s3_hash_engine_t *e);
static void ngx_s3_hash_batch_run(ngx_s3_job_t *job);
static void ngx_s3_hash_batch_done(ngx_s3_job_t *job);
static void ngx_s3_hash_other_run(ngx_s3_job_t *job);
static void ngx_s3_hash_other_done(ngx_s3_job_t *job);
static void ngx_s3_hash_complete(ngx_s3_hash_t *h);
static void ngx_s3_hash_turn_handler(ngx_event_t *ev);


static ngx_s3_hash_engine_t  *ngx_s3_hash_current;
static ngx_s3_hash_turn_t     ngx_s3_hash_turn;


static ngx_s3_hash_engine_t *
ngx_s3_hash_engine(void)
{
    ngx_log_t             *log;
    ngx_s3_hash_engine_t  *e;

    if (ngx_s3_hash_current != NULL) {
        return ngx_s3_hash_current;
    }

    log = ngx_cycle->log;

    e = ngx_calloc(sizeof(ngx_s3_hash_engine_t), log);
    if (e == NULL) {
        return NULL;
    }

    e->threads = ngx_s3_threads_create(2, 1);
    if (e->threads == NULL) {
        ngx_log_error(NGX_LOG_ERR, log, ngx_errno,
                      "s3: cannot create the threads that hash");
        ngx_free(e);
        return NULL;
    }

    e->connection = ngx_s3_loop_connection(e, ngx_s3_threads_fd(e->threads),
                                           ngx_s3_hash_handler, log);
    if (e->connection == NULL) {
        ngx_s3_threads_destroy(e->threads);
        ngx_free(e);
        return NULL;
    }

    e->last = &e->waiting;

    e->job.run = ngx_s3_hash_batch_run;
    e->job.done = ngx_s3_hash_batch_done;
    e->job.drive = NGX_S3_HASH_MD5;

    e->timer.handler = ngx_s3_hash_timer;
    e->timer.data = e;
    e->timer.log = log;

    ngx_s3_hash_current = e;

    return e;
}


void
ngx_s3_hash_exit(void)
{
    ngx_s3_hash_engine_t  *e = ngx_s3_hash_current;

    if (e == NULL) {
        return;
    }

    ngx_s3_hash_current = NULL;

    if (e->timer.timer_set) {
        ngx_del_timer(&e->timer);
    }

    ngx_s3_threads_destroy(e->threads);
    ngx_s3_loop_disconnect(e->connection);

    ngx_free(e);
}


ngx_int_t
ngx_s3_hash_submit(ngx_s3_hash_t *h)
{
    ngx_s3_hash_engine_t  *e;

    e = ngx_s3_hash_engine();
    if (e == NULL) {
        return NGX_ERROR;
    }

    h->rc = S3_OK;
    h->left = (h->md5 != NULL) + (h->run != NULL);

    if (h->run != NULL) {
        h->job.run = ngx_s3_hash_other_run;
        h->job.done = ngx_s3_hash_other_done;
        h->job.drive = NGX_S3_HASH_OTHER;

        ngx_s3_threads_post(e->threads, &h->job);
    }

    if (h->md5 == NULL) {
        return NGX_OK;
    }

    if (h->expected) {
        h->expected = 0;

        (void) ngx_s3_hash_expected(e);

        if (e->now - h->when < NGX_S3_HASH_EXPECT) {
            e->expected[h->when % NGX_S3_HASH_EXPECT]--;
        }
    }

    h->next = NULL;

    *e->last = h;
    e->last = &h->next;
    e->n++;

    ngx_s3_hash_next(e);

    return NGX_OK;
}


static void
ngx_s3_hash_handler(ngx_event_t *ev)
{
    ngx_connection_t      *c = ev->data;
    ngx_s3_hash_engine_t  *e = c->data;

    (void) ngx_s3_threads_reap(e->threads);
}


static void
ngx_s3_hash_timer(ngx_event_t *ev)
{
    ngx_s3_hash_engine_t  *e = ev->data;

    if (e->n && !e->running) {
        ngx_s3_hash_start(e);
    }
}


/* How many were done a moment ago, and are not here again. */

static ngx_uint_t
ngx_s3_hash_expected(ngx_s3_hash_engine_t *e)
{
    ngx_uint_t  i, n;

    if (ngx_current_msec - e->now >= NGX_S3_HASH_EXPECT) {
        e->now = ngx_current_msec;
        ngx_memzero(e->expected, sizeof(e->expected));
    }

    while (e->now != ngx_current_msec) {
        e->now++;
        e->expected[e->now % NGX_S3_HASH_EXPECT] = 0;
    }

    n = 0;

    for (i = 0; i < NGX_S3_HASH_EXPECT; i++) {
        n += e->expected[i];
    }

    return n;
}


static void
ngx_s3_hash_next(ngx_s3_hash_engine_t *e)
{
    if (e->running || e->n == 0) {
        return;
    }

    if (e->n >= S3_MD5X_LANES || ngx_s3_hash_expected(e) == 0) {
        ngx_s3_hash_start(e);

    } else if (!e->timer.timer_set) {
        ngx_add_timer(&e->timer, NGX_S3_HASH_WAIT);
    }
}


static void
ngx_s3_hash_start(ngx_s3_hash_engine_t *e)
{
    ngx_uint_t      i;
    ngx_s3_hash_t  *h;

    h = e->waiting;

    e->batch = h;

    for (i = 0; h != NULL && i < NGX_S3_HASH_BATCH; i++) {
        e->md5[i].ctx = h->md5;
        e->md5[i].data = h->pieces;
        e->md5[i].n = h->n;

        h = h->next;
    }

    e->waiting = h;

    if (h == NULL) {
        e->last = &e->waiting;
    }

    e->size = i;
    e->n -= i;
    e->running = 1;

    if (e->timer.timer_set) {
        ngx_del_timer(&e->timer);
    }

    ngx_log_debug2(NGX_LOG_DEBUG_EVENT, ngx_cycle->log, 0,
                   "s3 md5: %ui streams, %ui left", i, e->n);

    ngx_s3_threads_post(e->threads, &e->job);
}


static void
ngx_s3_hash_batch_run(ngx_s3_job_t *job)
{
    ngx_s3_hash_engine_t  *e;

    e = (ngx_s3_hash_engine_t *) ((u_char *) job
                                  - offsetof(ngx_s3_hash_engine_t, job));

    s3_md5x_update_many(e->md5, e->size);
}


static void
ngx_s3_hash_batch_done(ngx_s3_job_t *job)
{
    ngx_uint_t             n;
    ngx_s3_hash_t         *h, *next;
    ngx_s3_hash_engine_t  *e;

    e = (ngx_s3_hash_engine_t *) ((u_char *) job
                                  - offsetof(ngx_s3_hash_engine_t, job));

    if (ngx_s3_hash_current == NULL) {
        return;
    }

    e->running = 0;

    (void) ngx_s3_hash_expected(e);

    for (h = e->batch, n = e->size; n; h = h->next, n--) {
        h->when = e->now;
        h->expected = 1;
        e->expected[e->now % NGX_S3_HASH_EXPECT]++;
    }

    /* they come again, and the next batch may start, in between */

    for (h = e->batch, n = e->size; n; h = next, n--) {
        next = h->next;
        ngx_s3_hash_complete(h);
    }

    ngx_s3_hash_next(e);
}


static void
ngx_s3_hash_other_run(ngx_s3_job_t *job)
{
    ngx_s3_hash_t  *h;

    h = (ngx_s3_hash_t *) ((u_char *) job - offsetof(ngx_s3_hash_t, job));

    h->rc = h->run(h);
}


static void
ngx_s3_hash_other_done(ngx_s3_job_t *job)
{
    ngx_s3_hash_complete((ngx_s3_hash_t *) ((u_char *) job
                                            - offsetof(ngx_s3_hash_t, job)));
}


static void
ngx_s3_hash_complete(ngx_s3_hash_t *h)
{
    if (--h->left == 0 && ngx_s3_hash_current != NULL) {
        h->done(h);
    }
}


void
ngx_s3_hash_gather(ngx_s3_hash_t *h)
{
    ngx_s3_hash_turn_t  *t;

    t = &ngx_s3_hash_turn;

    if (t->first == NULL) {
        t->last = &t->first;

        t->event.handler = ngx_s3_hash_turn_handler;
        t->event.data = t;
        t->event.log = ngx_cycle->log;

        ngx_post_event(&t->event, &ngx_posted_events);
    }

    h->next = NULL;
    *t->last = h;
    t->last = &h->next;
}


static void
ngx_s3_hash_turn_handler(ngx_event_t *ev)
{
    ngx_uint_t           i, n;
    s3_md5x_job_t        jobs[NGX_S3_HASH_BATCH];
    ngx_s3_hash_t       *h, *next, *following;
    ngx_s3_hash_turn_t  *t;

    t = ev->data;

    /* done() brings new ones, for the next turn */

    next = t->first;
    t->first = NULL;

    while (next != NULL) {
        h = next;

        for (n = 0; next != NULL && n < NGX_S3_HASH_BATCH; n++) {
            jobs[n].ctx = next->md5;
            jobs[n].data = next->pieces;
            jobs[n].n = next->n;

            next = next->next;
        }

        s3_md5x_update_many(jobs, n);

        for (i = 0; i < n; i++) {
            following = h->next;

            h->rc = S3_OK;
            h->done(h);
            h = following;
        }
    }
}
