/*
 * A loop: poll(), and the module's own threads and asynchronous I/O.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "ngx_s3_module/ngx_s3_aio.h"
#include "ngx_s3_module/ngx_s3_fs.h"
#include "race_loop.h"


typedef struct race_timer_s race_timer_t;

struct race_timer_s {
    uint64_t due;
    race_timer_t *next;
    s3_timer_t *timer;
};

typedef struct {
    s3_loop_t loop;
    unsigned drives;
    ngx_s3_threads_t *threads;
    ngx_s3_aio_t *aio;
    s3_defer_t *defers, **last;
    race_timer_t *timers;
    uint64_t state;
    int dead;
} race_loop_t;

typedef struct {
    ngx_s3_job_t job; /* first */
    race_loop_t *l;
    s3_task_t *task;
} race_job_t;

typedef struct {
    s3_aio_t aio; /* first */
    race_loop_t *l;
    s3_aio_t *outer;
} race_aio_t;


_Static_assert(sizeof(race_timer_t) <= sizeof(((s3_timer_t *) 0)->impl), "");


static void *
race_alloc(size_t size)
{
    void *p;

    p = calloc(1, size);

    if (p == NULL) {
        abort();
    }

    return p;
}


uint64_t
race_random(s3_loop_t *loop, uint64_t below)
{
    race_loop_t *l = loop->impl;
    uint64_t x = l->state;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    l->state = x;

    return below ? (x >> 11) % below : x;
}


static uint64_t
race_time_us(clockid_t clock)
{
    struct timespec ts;

    clock_gettime(clock, &ts);

    return (uint64_t) ts.tv_sec * 1000000 + (uint64_t) ts.tv_nsec / 1000;
}


static uint64_t
race_wall_us(s3_loop_t *loop)
{
    (void) loop;
    return race_time_us(CLOCK_REALTIME);
}


static uint64_t
race_mono_ms(s3_loop_t *loop)
{
    (void) loop;
    return race_time_us(CLOCK_MONOTONIC) / 1000;
}


static void
race_fill(s3_loop_t *loop, void *buf, size_t len)
{
    size_t i;

    for (i = 0; i < len; i++) {
        ((uint8_t *) buf)[i] = (uint8_t) race_random(loop, 256);
    }
}


static void
race_log(s3_loop_t *loop, int level, const char *fmt, ...)
{
    char line[512];
    va_list args;

    (void) loop;

    if (level > S3_LOG_WARN && getenv("RACE_VERBOSE") == NULL) {
        return;
    }

    va_start(args, fmt);
    vsnprintf(line, sizeof(line), fmt, args);
    va_end(args);

    fprintf(stderr, "log: %s\n", line);
}


static ssize_t
race_read_now(s3_loop_t *loop, s3_file_t *f, void *buf, size_t len,
              uint64_t off)
{
    ssize_t n;

    if (race_random(loop, 2)) {
        return S3_AGAIN;
    }

    n = pread(f->fd, buf, len, (off_t) off);

    return n < 0 ? S3_EIO : n;
}


static void
race_aio_done(s3_aio_t *aio)
{
    race_aio_t *ra = (race_aio_t *) aio;

    if (!ra->l->dead) {
        ra->outer->result = aio->result;
        ra->outer->done(ra->outer);
    }

    free(ra);
}


static void
race_submit(s3_loop_t *loop, s3_aio_t *aio)
{
    race_loop_t *l = loop->impl;
    race_aio_t *ra;

    ra = race_alloc(sizeof(*ra));
    ra->aio = *aio;
    ra->aio.done = race_aio_done;
    ra->l = l;
    ra->outer = aio;

    ngx_s3_aio_submit(l->aio, &ra->aio);
}


static void
race_job_run(ngx_s3_job_t *job)
{
    race_job_t *rj = (race_job_t *) job;

    rj->task->run(rj->task);
}


static void
race_job_done(ngx_s3_job_t *job)
{
    race_job_t *rj = (race_job_t *) job;
    s3_task_t *task = rj->task;
    int dead = rj->l->dead;

    free(rj);

    if (!dead) {
        task->done(task);
    }
}


static void
race_job(race_loop_t *l, s3_task_t *task, unsigned pool)
{
    race_job_t *rj;

    rj = race_alloc(sizeof(*rj));
    rj->job.run = race_job_run;
    rj->job.done = race_job_done;
    rj->job.drive = pool;
    rj->l = l;
    rj->task = task;

    ngx_s3_threads_post(l->threads, &rj->job);
}


static void
race_post(s3_loop_t *loop, s3_task_t *task)
{
    race_job(loop->impl, task, task->drive);
}


static void
race_post_background(s3_loop_t *loop, s3_task_t *task)
{
    race_loop_t *l = loop->impl;

    race_job(l, task, l->drives + task->drive);
}


static void
race_del_timer(s3_loop_t *loop, s3_timer_t *timer)
{
    race_loop_t *l = loop->impl;
    race_timer_t **p;

    timer->set = 0;

    for (p = &l->timers; *p; p = &(*p)->next) {
        if ((*p)->timer == timer) {
            *p = (*p)->next;
            return;
        }
    }
}


static void
race_set_timer(s3_loop_t *loop, s3_timer_t *timer, uint64_t ms)
{
    race_loop_t *l = loop->impl;
    race_timer_t *rt = (race_timer_t *) timer->impl, **p;

    race_del_timer(loop, timer);

    rt->due = race_mono_ms(loop) + ms;
    rt->timer = timer;
    timer->set = 1;

    for (p = &l->timers; *p && (*p)->due <= rt->due; p = &(*p)->next) {
        /* the place in the order */
    }

    rt->next = *p;
    *p = rt;
}


static void
race_defer(s3_loop_t *loop, s3_defer_t *defer)
{
    race_loop_t *l = loop->impl;

    if (defer->queued) {
        return;
    }

    defer->queued = 1;
    defer->next = NULL;
    *l->last = defer;
    l->last = &defer->next;
}


s3_loop_t *
race_loop_create(unsigned drives, uint64_t seed)
{
    race_loop_t *l;

    l = race_alloc(sizeof(*l));
    l->state = seed * 0x9e3779b97f4a7c15ULL + 1;
    l->last = &l->defers;
    l->drives = drives;
    l->threads = ngx_s3_threads_create(2 * drives, 2);

    if (l->threads == NULL) {
        abort();
    }

    l->aio = ngx_s3_aio_create(drives, 64, 8, l->threads);

    if (l->aio == NULL) {
        abort();
    }

    l->loop.read_now = race_read_now;
    l->loop.submit = race_submit;
    l->loop.post = race_post;
    l->loop.post_background = race_post_background;
    l->loop.set_timer = race_set_timer;
    l->loop.del_timer = race_del_timer;
    l->loop.defer = race_defer;
    l->loop.wall_us = race_wall_us;
    l->loop.mono_ms = race_mono_ms;
    l->loop.random = race_fill;
    l->loop.log = race_log;
    l->loop.impl = l;

    return &l->loop;
}


void
race_loop_kill(s3_loop_t *loop)
{
    race_loop_t *l = loop->impl;

    l->dead = 1;
    ngx_s3_aio_destroy(l->aio);
    ngx_s3_threads_destroy(l->threads);
}


void
race_loop_destroy(s3_loop_t *loop)
{
    free(loop->impl);
}


static void
race_loop_defers(race_loop_t *l)
{
    s3_defer_t *d, *next;

    d = l->defers;
    l->defers = NULL;
    l->last = &l->defers;

    for (; d; d = next) {
        next = d->next;
        d->queued = 0;
        d->handler(d);
    }
}


void
race_loop_turn(s3_loop_t *loop, int ms)
{
    uint64_t now;
    race_loop_t *l = loop->impl;
    s3_timer_t *timer;
    struct pollfd fds[2];

    now = race_mono_ms(loop);

    if (l->defers) {
        ms = 0;

    } else if (l->timers) {
        ms = l->timers->due <= now
                 ? 0
                 : (int) s3_min((uint64_t) ms, l->timers->due - now);
    }

    if (ngx_s3_aio_flush(l->aio) != S3_OK) {
        ms = s3_min(ms, 1);
    }

    fds[0] = (struct pollfd){ngx_s3_threads_fd(l->threads), POLLIN, 0};
    fds[1] = (struct pollfd){ngx_s3_aio_fd(l->aio), POLLIN, 0};

    (void) poll(fds, ngx_s3_aio_error(l->aio) ? 1 : 2, ms);

    (void) ngx_s3_threads_reap(l->threads);
    (void) ngx_s3_aio_reap(l->aio);

    now = race_mono_ms(loop);

    while (l->timers && l->timers->due <= now) {
        timer = l->timers->timer;
        race_del_timer(loop, timer);
        timer->handler(timer);
    }

    race_loop_defers(l);
}
