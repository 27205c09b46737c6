/*
 * The event loop; see loop.h.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include "s3ctl/loop.h"
#include "s3ctl/s3ctl.h"


/* Links lie in impl[] of what is queued. */

typedef struct {
    s3_loop_t loop;
    s3_fs_t *const *fs;
    unsigned n;
    int verbose;
    s3_aio_t *aios;
    s3_aio_t *last_aio;
    s3_task_t *tasks;
    s3_task_t *last_task;
    s3_timer_t *timers;
    s3_defer_t *defers;
    s3_defer_t **last_defer;
    uint64_t busy; /* ms: when something was done last */
} s3ctl_loop_t;


#define s3ctl_next(x, type) ((type *) (uintptr_t) (x)->impl[0])
#define s3ctl_link(x, to) ((x)->impl[0] = (uintptr_t) (to))


uint64_t
s3ctl_wall_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);

    return (uint64_t) ts.tv_sec * 1000000 + (uint64_t) ts.tv_nsec / 1000;
}


void
s3ctl_random(void *buf, size_t len)
{
    ssize_t n;
    uint8_t *p = buf;

    while (len) {
        n = getrandom(p, len, 0);

        if (n > 0) {
            p += n;
            len -= (size_t) n;
        }
    }
}


static uint64_t
s3ctl_mono_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000 + (uint64_t) ts.tv_nsec / 1000000;
}


static ssize_t
s3ctl_loop_now(s3_loop_t *loop, s3_file_t *f, void *buf, size_t len,
               uint64_t off)
{
    (void) loop;
    (void) f;
    (void) buf;
    (void) len;
    (void) off;

    return S3_AGAIN;
}


static void
s3ctl_loop_submit(s3_loop_t *loop, s3_aio_t *aio)
{
    s3ctl_loop_t *l = loop->impl;

    s3ctl_link(aio, NULL);

    if (l->aios) {
        s3ctl_link(l->last_aio, aio);
    } else {
        l->aios = aio;
    }

    l->last_aio = aio;
}


static void
s3ctl_loop_post(s3_loop_t *loop, s3_task_t *task)
{
    s3ctl_loop_t *l = loop->impl;

    s3ctl_link(task, NULL);

    if (l->tasks) {
        s3ctl_link(l->last_task, task);
    } else {
        l->tasks = task;
    }

    l->last_task = task;
}


static void
s3ctl_loop_del_timer(s3_loop_t *loop, s3_timer_t *timer)
{
    s3_timer_t *t;
    s3ctl_loop_t *l = loop->impl;

    if (!timer->set) {
        return;
    }

    timer->set = 0;

    if (l->timers == timer) {
        l->timers = s3ctl_next(timer, s3_timer_t);
        return;
    }

    for (t = l->timers; s3ctl_next(t, s3_timer_t) != timer;
         t = s3ctl_next(t, s3_timer_t))
    {
        /* void */
    }

    s3ctl_link(t, s3ctl_next(timer, s3_timer_t));
}


static void
s3ctl_loop_set_timer(s3_loop_t *loop, s3_timer_t *timer, uint64_t ms)
{
    s3_timer_t *t, *before;
    s3ctl_loop_t *l = loop->impl;

    s3ctl_loop_del_timer(loop, timer);

    timer->set = 1;
    timer->impl[1] = s3ctl_mono_ms() + ms;
    before = NULL;

    for (t = l->timers; t && t->impl[1] <= timer->impl[1];
         t = s3ctl_next(t, s3_timer_t))
    {
        before = t;
    }

    s3ctl_link(timer, t);

    if (before) {
        s3ctl_link(before, timer);
    } else {
        l->timers = timer;
    }
}


static void
s3ctl_loop_defer(s3_loop_t *loop, s3_defer_t *defer)
{
    s3ctl_loop_t *l = loop->impl;

    if (defer->queued) {
        return;
    }

    defer->queued = 1;
    defer->next = NULL;
    *l->last_defer = defer;
    l->last_defer = &defer->next;
}


static uint64_t
s3ctl_loop_wall(s3_loop_t *loop)
{
    (void) loop;

    return s3ctl_wall_us();
}


static uint64_t
s3ctl_loop_mono(s3_loop_t *loop)
{
    (void) loop;

    return s3ctl_mono_ms();
}


static void
s3ctl_loop_random(s3_loop_t *loop, void *buf, size_t len)
{
    (void) loop;

    s3ctl_random(buf, len);
}


static void __attribute__((format(printf, 3, 4)))
s3ctl_loop_log(s3_loop_t *loop, int level, const char *fmt, ...)
{
    char line[1024];
    va_list ap;
    s3ctl_loop_t *l = loop->impl;

    if (level <= S3_LOG_WARN || l->verbose) {
        va_start(ap, fmt);
        vsnprintf(line, sizeof(line), fmt, ap);
        va_end(ap);
        s3ctl_say("%s", line);
    }
}


/* One read or write; without its drive it fails as on a dead one. */

static void
s3ctl_loop_io(s3ctl_loop_t *l, s3_aio_t *aio)
{
    int rc;
    s3_fs_t *fs = aio->drive < l->n ? l->fs[aio->drive] : NULL;

    if (fs == NULL) {
        aio->result = S3_EIO;

    } else if (aio->write) {
        rc = fs->pwrite(fs, aio->file, aio->buf, aio->len, aio->off);
        aio->result = rc == S3_OK ? (ssize_t) aio->len : rc;

    } else {
        aio->result = fs->pread(fs, aio->file, aio->buf, aio->len, aio->off);
    }

    aio->done(aio);
}


/* 0: there was nothing to do. */

static int
s3ctl_loop_turn(s3ctl_loop_t *l)
{
    int did;
    s3_aio_t *aio, *aios = l->aios;
    s3_task_t *task, *tasks = l->tasks;
    s3_timer_t *timer;
    s3_defer_t *defer, *defers;

    l->aios = NULL;
    l->tasks = NULL;
    did = aios || tasks;

    while ((aio = aios) != NULL) {
        aios = s3ctl_next(aio, s3_aio_t);
        s3ctl_loop_io(l, aio);
    }

    while ((task = tasks) != NULL) {
        tasks = s3ctl_next(task, s3_task_t);
        task->run(task);
        task->done(task);
    }

    while ((timer = l->timers) != NULL && timer->impl[1] <= s3ctl_mono_ms()) {
        l->timers = s3ctl_next(timer, s3_timer_t);
        timer->set = 0;
        timer->handler(timer);
    }

    defers = l->defers;
    l->defers = NULL;
    l->last_defer = &l->defers;
    did |= defers != NULL;

    while ((defer = defers) != NULL) {
        defers = defer->next;
        defer->queued = 0;
        defer->handler(defer);
    }

    return did;
}


int
s3ctl_loop_run(s3_loop_t *loop, const int *flag, unsigned seconds)
{
    uint64_t now;
    struct timespec ts;
    s3ctl_loop_t *l = loop->impl;

    l->busy = s3ctl_mono_ms();

    while (!*flag) {
        if (s3ctl_loop_turn(l) || *flag) {
            l->busy = s3ctl_mono_ms();
            continue;
        }

        now = s3ctl_mono_ms();

        if (l->timers == NULL || now - l->busy > 1000 * (uint64_t) seconds) {
            return S3_EIO;
        }

        if (l->timers->impl[1] > now) {
            now = s3_min(l->timers->impl[1] - now, (uint64_t) 100);
            ts.tv_sec = 0;
            ts.tv_nsec = (long) now * 1000000;
            nanosleep(&ts, NULL);
        }
    }

    return S3_OK;
}


s3_loop_t *
s3ctl_loop_create(s3_fs_t *const *fs, unsigned n, int verbose)
{
    s3ctl_loop_t *l;

    l = calloc(1, sizeof(*l));
    if (l == NULL) {
        return NULL;
    }

    l->fs = fs;
    l->n = n;
    l->verbose = verbose;
    l->last_defer = &l->defers;
    l->loop.read_now = s3ctl_loop_now;
    l->loop.submit = s3ctl_loop_submit;
    l->loop.post = s3ctl_loop_post;
    l->loop.post_background = s3ctl_loop_post;
    l->loop.set_timer = s3ctl_loop_set_timer;
    l->loop.del_timer = s3ctl_loop_del_timer;
    l->loop.defer = s3ctl_loop_defer;
    l->loop.wall_us = s3ctl_loop_wall;
    l->loop.mono_ms = s3ctl_loop_mono;
    l->loop.random = s3ctl_loop_random;
    l->loop.log = s3ctl_loop_log;
    l->loop.impl = l;

    return &l->loop;
}


void
s3ctl_loop_destroy(s3_loop_t *loop)
{
    free(loop ? loop->impl : NULL);
}
