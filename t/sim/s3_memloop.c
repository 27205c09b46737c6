/*
 * Time, chance and processes of the world in memory.
 *
 * What a process has asked for is an event that is due at a random later
 * time.  A turn of a loop takes a few events that are due together, then runs
 * what was deferred.
 */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "s3_memfs_impl.h"

#define S3_SIM_TURN 100     /* microseconds in one turn */
#define S3_SIM_ROUNDS 10000 /* of defers in one turn */
#define S3_SIM_STEPS 50000000


/* Chance: splitmix64. */

static uint64_t
s3_sim_next(s3_sim_t *sim)
{
    uint64_t z = (sim->state += 0x9e3779b97f4a7c15ull);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;

    return z ^ (z >> 31);
}


uint64_t
s3_sim_random(s3_sim_t *sim, uint64_t below)
{
    return below ? s3_sim_next(sim) % below : 0;
}


uint64_t
s3_sim_now(const s3_sim_t *sim)
{
    return sim->now;
}


/* Events. */

static s3_event_t *
s3_sim_event(s3_sim_t *sim, s3_event_kind_t kind, s3_simloop_t *l, void *what,
             uint64_t delay)
{
    s3_event_t *e;

    if (sim->n_events == sim->room_events) {
        sim->room_events = sim->room_events ? 2 * sim->room_events : 64;
        sim->events =
            s3_sim_need(realloc(sim->events, sim->room_events * sizeof(*e)));
    }

    e = &sim->events[sim->n_events++];
    memset(e, 0, sizeof(*e));
    e->kind = kind;
    e->due = sim->now + delay;
    e->seq = sim->seq++;
    e->loop = l;
    e->what = what;

    return e;
}


static void
s3_sim_remove(s3_sim_t *sim, s3_event_t *e)
{
    *e = sim->events[--sim->n_events];
}


/* A drive that hangs does nothing until it goes on. */

static int
s3_sim_hangs(const s3_sim_t *sim, const s3_event_t *e)
{
    unsigned drive;

    switch (e->kind) {

    case S3_EVENT_AIO:
        drive = ((const s3_aio_t *) e->what)->drive;
        break;

    case S3_EVENT_RUN:
        drive = ((const s3_task_t *) e->what)->drive;
        break;

    case S3_EVENT_ORPHAN:
        drive = e->m->drive;
        break;

    default:
        return 0;
    }

    return (int) (sim->hung >> drive & 1);
}


/* The first of loop l, or of all. */

static s3_event_t *
s3_sim_first(s3_sim_t *sim, s3_simloop_t *l)
{
    size_t i;
    s3_event_t *e, *first = NULL;

    for (i = 0; i < sim->n_events; i++) {
        e = &sim->events[i];

        if ((l == NULL || e->loop == l)
            && (first == NULL || e->due < first->due
                || (e->due == first->due && e->seq < first->seq))
            && !(sim->hung && s3_sim_hangs(sim, e)))
        {
            first = e;
        }
    }

    return first;
}


/* How long a drive or a thread takes: mostly little, now and then much. */

static uint64_t
s3_sim_delay(s3_sim_t *sim)
{
    return sim->slow
           * (10 + s3_sim_random(sim, s3_sim_random(sim, 16) ? 300 : 5000));
}


/* The calls of s3_loop_t. */

static ssize_t
s3_simloop_read_now(s3_loop_t *loop, s3_file_t *f, void *buf, size_t len,
                    uint64_t off)
{
    s3_simloop_t *l = loop->impl;

    if (s3_sim_random(l->sim, 2)) {
        return S3_AGAIN;
    }

    return s3_memfs_do_read(f, buf, len, off);
}


static void
s3_simloop_submit(s3_loop_t *loop, s3_aio_t *aio)
{
    s3_simloop_t *l = loop->impl;

    if (!l->dead) {
        s3_sim_event(l->sim, S3_EVENT_AIO, l, aio, s3_sim_delay(l->sim));
    }
}


static void
s3_simloop_post(s3_loop_t *loop, s3_task_t *task)
{
    s3_simloop_t *l = loop->impl;

    if (!l->dead) {
        s3_sim_event(l->sim, S3_EVENT_RUN, l, task, s3_sim_delay(l->sim));
    }
}


static void
s3_simloop_del_timer(s3_loop_t *loop, s3_timer_t *timer)
{
    size_t i;
    s3_simloop_t *l = loop->impl;
    s3_sim_t *sim = l->sim;

    timer->set = 0;

    for (i = 0; i < sim->n_events; i++) {
        if (sim->events[i].kind == S3_EVENT_TIMER
            && sim->events[i].what == timer) {
            s3_sim_remove(sim, &sim->events[i]);
            return;
        }
    }
}


static void
s3_simloop_set_timer(s3_loop_t *loop, s3_timer_t *timer, uint64_t ms)
{
    s3_simloop_t *l = loop->impl;

    if (l->dead) {
        return;
    }

    if (timer->set) {
        s3_simloop_del_timer(loop, timer);
    }

    timer->set = 1;
    s3_sim_event(l->sim, S3_EVENT_TIMER, l, timer,
                 1000 * ms + s3_sim_random(l->sim, 1000));
}


static void
s3_simloop_defer(s3_loop_t *loop, s3_defer_t *defer)
{
    s3_simloop_t *l = loop->impl;

    if (l->dead || defer->queued) {
        return;
    }

    defer->queued = 1;
    defer->next = NULL;

    if (l->first) {
        l->last->next = defer;

    } else {
        l->first = defer;
    }

    l->last = defer;
}


static uint64_t
s3_simloop_wall_us(s3_loop_t *loop)
{
    s3_simloop_t *l = loop->impl;

    return S3_SIM_EPOCH + l->sim->now + (uint64_t) l->skew;
}


static uint64_t
s3_simloop_mono_ms(s3_loop_t *loop)
{
    s3_simloop_t *l = loop->impl;

    return 1000 + l->sim->now / 1000;
}


static void
s3_simloop_random(s3_loop_t *loop, void *buf, size_t len)
{
    size_t n;
    uint8_t *p = buf;
    uint64_t v;
    s3_simloop_t *l = loop->impl;

    for (/* void */; len; len -= n, p += n) {
        v = s3_sim_next(l->sim);
        n = s3_min(len, sizeof(v));
        memcpy(p, &v, n);
    }
}


__attribute__((format(printf, 3, 4))) static void
s3_simloop_log(s3_loop_t *loop, int level, const char *fmt, ...)
{
    va_list args;
    s3_simloop_t *l = loop->impl;

    if (!l->sim->verbose) {
        return;
    }

    fprintf(stderr, "[%llu us] %d: ", (unsigned long long) l->sim->now, level);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
}


s3_loop_t *
s3_sim_loop(s3_sim_t *sim)
{
    s3_simloop_t *l;

    l = s3_sim_need(calloc(1, sizeof(*l)));
    l->sim = sim;
    l->next = sim->loops;
    sim->loops = l;

    l->loop = (s3_loop_t){.read_now = s3_simloop_read_now,
                          .submit = s3_simloop_submit,
                          .post = s3_simloop_post,
                          .post_background = s3_simloop_post,
                          .set_timer = s3_simloop_set_timer,
                          .del_timer = s3_simloop_del_timer,
                          .defer = s3_simloop_defer,
                          .wall_us = s3_simloop_wall_us,
                          .mono_ms = s3_simloop_mono_ms,
                          .random = s3_simloop_random,
                          .log = s3_simloop_log,
                          .impl = l};

    return &l->loop;
}


void
s3_sim_skew(s3_loop_t *loop, int64_t us)
{
    s3_simloop_t *l = loop->impl;

    l->skew = us;
}


/* A write that the kernel has is carried out without its process. */

static void
s3_sim_orphan(s3_sim_t *sim, s3_event_t *e)
{
    s3_aio_t *aio = e->what;

    e->kind = S3_EVENT_ORPHAN;
    e->loop = NULL;
    e->inode = aio->file->inode;
    e->inode->refs++;
    e->m = aio->file->m;
    e->buf = s3_sim_need(malloc(aio->len + 1));
    memcpy(e->buf, aio->buf, aio->len);
    e->len = aio->file->dead ? 0 : aio->len;
    e->off = aio->off;
    e->dsync = aio->dsync;
    e->what = NULL;

    (void) sim;
}


void
s3_sim_kill(s3_loop_t *loop)
{
    size_t i;
    s3_aio_t *aio;
    s3_event_t *e;
    s3_simloop_t *l = loop->impl;
    s3_sim_t *sim = l->sim;

    l->dead = 1;
    l->first = NULL;

    if (sim->running == l) {
        /* it may have died in the middle of a turn */
        sim->running = NULL;
        sim->in_turn = 0;
        sim->in_task = 0;
    }

    for (i = 0; i < sim->n_events; /* void */) {
        e = &sim->events[i];
        aio = e->what;

        if (e->loop != l) {
            i++;

        } else if (e->kind == S3_EVENT_AIO && aio->write
                   && s3_sim_random(sim, 2)) {
            s3_sim_orphan(sim, e);
            i++;

        } else {
            s3_sim_remove(sim, e);
        }
    }
}


/* Turns. */

static void
s3_sim_perform(s3_aio_t *aio)
{
    int rc;

    if (!aio->write) {
        aio->result = s3_memfs_do_read(aio->file, aio->buf, aio->len, aio->off);
        return;
    }

    rc = s3_memfs_do_write(aio->file, aio->buf, aio->len, aio->off, aio->dsync);
    aio->result = rc == S3_OK ? (ssize_t) aio->len : rc;
}


static void
s3_sim_defers(s3_sim_t *sim, s3_simloop_t *l)
{
    unsigned rounds;
    s3_defer_t *d;

    for (rounds = 0; l->first && !l->dead && !sim->stopped; rounds++) {
        if (rounds == S3_SIM_ROUNDS) {
            fprintf(stderr, "sim: deferred calls without end\n");
            abort();
        }

        d = l->first;
        l->first = d->next;
        d->queued = 0;
        d->handler(d);
    }
}


/* An event of a loop; its effect may be that the world stops. */

static void
s3_sim_happen(s3_sim_t *sim, s3_event_t ev)
{
    s3_aio_t *aio;
    s3_task_t *task;
    s3_timer_t *timer;

    switch (ev.kind) {

    case S3_EVENT_AIO:
        aio = ev.what;
        s3_sim_perform(aio);

        if (sim->stopped) {
            /* still in flight: a power cut may tear it */
            s3_sim_event(sim, S3_EVENT_AIO, ev.loop, aio, 0);
            break;
        }

        aio->done(aio);

        break;

    case S3_EVENT_DONE:
        task = ev.what;
        task->done(task);
        break;

    case S3_EVENT_TIMER:
        timer = ev.what;
        timer->set = 0;
        timer->handler(timer);
        break;

    default:
        abort();
    }
}


static void
s3_sim_turn(s3_sim_t *sim, s3_simloop_t *l, s3_event_t *e)
{
    unsigned n;
    uint64_t end;
    s3_event_t ev;

    n = 1 + (unsigned) s3_sim_random(sim, 4);
    end = sim->now + S3_SIM_TURN;
    sim->in_turn = 1;
    sim->running = l;

    while (e && n-- && !sim->stopped && !l->dead) {
        ev = *e;
        s3_sim_remove(sim, e);
        sim->now = s3_max(sim->now, ev.due);
        s3_sim_happen(sim, ev);

        e = s3_sim_first(sim, l);

        if (e && (e->due > end || e->kind == S3_EVENT_RUN)) {
            e = NULL;
        }
    }

    s3_sim_defers(sim, l);
    sim->in_turn = 0;
}


static void
s3_sim_thread(s3_sim_t *sim, s3_event_t ev)
{
    s3_task_t *task = ev.what;

    sim->running = ev.loop;
    sim->in_task = 1;
    task->run(task);
    sim->in_task = 0;

    s3_sim_event(sim, S3_EVENT_DONE, ev.loop, task, s3_sim_delay(sim));
}


static void
s3_sim_late(s3_sim_t *sim, s3_event_t ev)
{
    if (ev.len && !ev.m->dead && s3_sim_io(sim, ev.m->drive) == S3_FAULT_NONE) {
        s3_memfs_put(ev.m, ev.inode, ev.buf, ev.len, ev.off, ev.dsync, 100);
    }

    s3_inode_release(ev.inode);
    free(ev.buf);
}


void
s3_sim_wait(s3_sim_t *sim, const s3_inode_t *inode)
{
    size_t i;
    s3_event_t ev;

    for (i = 0; i < sim->n_events; /* void */) {
        ev = sim->events[i];

        if (ev.kind != S3_EVENT_ORPHAN || ev.inode != inode) {
            i++;
            continue;
        }

        s3_sim_remove(sim, &sim->events[i]);
        s3_sim_late(sim, ev);
    }
}


static int
s3_sim_pending(s3_sim_t *sim)
{
    size_t i;
    s3_event_t *e;

    for (i = 0; i < sim->n_events; i++) {
        e = &sim->events[i];

        if (e->kind != S3_EVENT_TIMER || !((s3_timer_t *) e->what)->background)
        {
            return 1;
        }
    }

    return 0;
}


static int
s3_sim_do(s3_sim_t *sim, uint64_t limit)
{
    s3_event_t *e, ev;
    s3_simloop_t *l;

    if (sim->stopped) {
        return 0;
    }

    for (l = sim->loops; l; l = l->next) {
        if (l->first) {
            s3_sim_turn(sim, l, NULL);
            return 1;
        }
    }

    e = s3_sim_first(sim, NULL);

    if (e == NULL || e->due > limit) {
        return 0;
    }

    sim->now = s3_max(sim->now, e->due);

    if (e->kind == S3_EVENT_RUN || e->kind == S3_EVENT_ORPHAN) {
        ev = *e;
        s3_sim_remove(sim, e);

        if (ev.kind == S3_EVENT_RUN) {
            s3_sim_thread(sim, ev);

        } else {
            s3_sim_late(sim, ev);
        }

        return 1;
    }

    s3_sim_turn(sim, e->loop, e);

    return 1;
}


int
s3_sim_step(s3_sim_t *sim)
{
    s3_simloop_t *l;

    for (l = sim->loops; l; l = l->next) {
        if (l->first) {
            return s3_sim_do(sim, UINT64_MAX);
        }
    }

    return s3_sim_pending(sim) ? s3_sim_do(sim, UINT64_MAX) : 0;
}


void
s3_sim_run(s3_sim_t *sim)
{
    while (s3_sim_step(sim)) {
        /* void */
    }
}


int
s3_sim_until(s3_sim_t *sim, int *flag)
{
    uint64_t n;

    for (n = 0; !*flag && n < S3_SIM_STEPS; n++) {
        if (!s3_sim_step(sim)) {
            break;
        }
    }

    return *flag != 0;
}


void
s3_sim_sleep(s3_sim_t *sim, uint64_t us)
{
    uint64_t end = sim->now + us;

    while (s3_sim_do(sim, end)) {
        /* void */
    }

    if (!sim->stopped) {
        sim->now = s3_max(sim->now, end);
    }
}


s3_loop_t *
s3_sim_running(s3_sim_t *sim)
{
    return sim->running ? &sim->running->loop : NULL;
}


void
s3_sim_slow(s3_sim_t *sim, unsigned factor)
{
    sim->slow = factor;
}


void
s3_sim_jump(s3_sim_t *sim, uint64_t us)
{
    sim->now += us;
}


void
s3_sim_verbose(s3_sim_t *sim, int on)
{
    sim->verbose = on;
}


s3_sim_t *
s3_sim_create(uint64_t seed)
{
    s3_sim_t *sim;

    sim = s3_sim_need(calloc(1, sizeof(*sim)));
    sim->state = seed;
    sim->slow = 1;

    return sim;
}


void
s3_sim_destroy(s3_sim_t *sim)
{
    size_t i;
    s3_simloop_t *l, *next;

    for (i = 0; i < sim->n_events; i++) {
        if (sim->events[i].kind == S3_EVENT_ORPHAN) {
            s3_inode_release(sim->events[i].inode);
            free(sim->events[i].buf);
        }
    }

    for (i = 0; i < sim->n_drives; i++) {
        s3_memfs_destroy(sim->drives[i]);
    }

    for (l = sim->loops; l; l = next) {
        next = l->next;
        free(l);
    }

    free(sim->events);
    free(sim);
}
