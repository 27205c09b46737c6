/*
 * What clients did and saw, key by key, and whether it can have been.
 *
 * A history is linearizable where all operations that are known to have taken
 * effect, and any of those that may have, can be put in an order in which each
 * lies between its beginning and its end and sees what it saw.  The search is
 * depth first, with the states that were seen before.
 *
 * Writes that may have been, at any time, are what makes it long.  Where nobody
 * has seen their value they are all the same, and so are deletes: of those that
 * are left the first to begin is taken.
 */

#include <sys/mman.h>

#include "t/sim/s3_sim.h"

#define SEEN (1u << 18)
#define WORDS (SIM_EVENTS / 64)
#define UNSEEN UINT32_MAX /* the value of all writes that nobody has seen */

typedef struct {
    sim_event_t events[SIM_EVENTS];
    uint32_t values[SIM_EVENTS]; /* theirs, or UNSEEN */
    unsigned n;
} history_t;

typedef struct {
    uint64_t mask[WORDS];
    uint32_t state;
    uint32_t stamp;
} seen_t;

static history_t histories[SIM_KEYS];
static uint64_t ticks;
static seen_t *seen;    /* outlives seeds, */
static uint32_t *stamp; /* for this tells what is old */
static unsigned n_seen;
static int deadlines; /* some that may have been can no longer be */


void
sim_history_open(void)
{
    seen = mmap(NULL, (SEEN + 1) * sizeof(seen_t), PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (seen == MAP_FAILED) {
        abort();
    }

    stamp = &seen[SEEN].stamp;
}


void
sim_history_reset(void)
{
    unsigned k;

    for (k = 0; k < SIM_KEYS; k++) {
        histories[k].n = 0;
    }

    ticks = 0;
}


int
sim_history_full(unsigned key)
{
    return histories[key].n + 24 > SIM_EVENTS;
}


sim_event_t *
sim_event(unsigned key, int i)
{
    return &histories[key].events[i];
}


uint64_t
sim_events_total(void)
{
    unsigned k;
    uint64_t n = 0;

    for (k = 0; k < SIM_KEYS; k++) {
        n += histories[k].n;
    }

    return n;
}


int
sim_begin(unsigned key, sim_kind_t kind, unsigned client)
{
    history_t *h = &histories[key];
    sim_event_t *e;

    if (h->n == SIM_EVENTS) {
        sim_fail("too many events");
        exit(1);
    }

    e = &h->events[h->n];
    memset(e, 0, sizeof(*e));
    e->kind = kind;
    e->from = ++ticks;
    e->to = SIM_FOREVER;
    e->client = client;
    e->maybe = kind < SIM_GET;
    e->failed = kind >= SIM_GET;

    return (int) h->n++;
}


void
sim_end(unsigned key, int i, int rc)
{
    sim_event_t *e = sim_event(key, i);

    e->rc = rc;

    if (rc == S3_EDOUBT && e->kind < SIM_GET) {
        return;
    }

    e->to = ++ticks;
    e->maybe = 0;
    e->failed = rc != S3_OK && rc != S3_ENOENT && rc != S3_EPRECOND;
}


void
sim_end_maybe(unsigned key, int i)
{
    sim_event_t *e = sim_event(key, i);

    e->rc = S3_EDOUBT;
    e->to = ++ticks;
}


static int
was_seen(const uint64_t *mask, uint32_t state)
{
    unsigned w;
    uint64_t h = state;
    uint32_t i;

    for (w = 0; w < WORDS; w++) {
        h = (h ^ mask[w]) * 0x9e3779b97f4a7c15ull;
        h ^= h >> 29;
    }

    for (i = (uint32_t) (h >> 40) % SEEN; seen[i].stamp == *stamp;
         i = (i + 1) % SEEN)
    {
        if (seen[i].state == state
            && memcmp(seen[i].mask, mask, sizeof(seen[i].mask)) == 0)
        {
            return 1;
        }
    }

    if (n_seen < SEEN / 2) {
        n_seen++;
        memcpy(seen[i].mask, mask, sizeof(seen[i].mask));
        seen[i].state = state;
        seen[i].stamp = *stamp;
    }

    return 0;
}


/* Does the operation fit the state?  *next: the state after it. */

static int
fits(const history_t *h, unsigned i, uint32_t state, uint32_t *next)
{
    const sim_event_t *e = &h->events[i];

    *next = state;

    switch (e->kind) {

    case SIM_GET:
    case SIM_LIST:
        return e->value == state;

    case SIM_PUT:
        *next = h->values[i];
        return 1;

    case SIM_DELETE:
        *next = 0;
        return 1;

    case SIM_CAS:
        if (e->rc == S3_EPRECOND) {
            return e->expect != state;
        }

        *next = h->values[i];
        return e->expect == state;
    }

    return 0;
}


/* It may have been, at any time, and another one that began before would do
 * the same, or it would do nothing. */

static int
idle(const history_t *h, const uint64_t *mask, unsigned i, uint32_t state,
     uint32_t next)
{
    unsigned j;
    const sim_event_t *e = &h->events[i], *f;

    if (!e->maybe) {
        return 0;
    }

    if (next == state) {
        return 1;
    }

    for (j = 0; j < i && e->to == SIM_FOREVER; j++) {
        f = &h->events[j];

        if (!(mask[j / 64] >> (j % 64) & 1) && f->maybe && f->to == SIM_FOREVER
            && f->kind == e->kind && h->values[j] == h->values[i]
            && f->expect == e->expect)
        {
            return 1;
        }
    }

    return 0;
}


static int
search(const history_t *h, uint64_t *mask, uint32_t state, uint64_t now)
{
    int open;
    unsigned i, w;
    uint32_t next;
    uint64_t first;
    const sim_event_t *e;

    first = SIM_FOREVER;
    open = 0;

    for (i = 0; i < h->n; i++) {
        e = &h->events[i];

        if (!(mask[i / 64] >> (i % 64) & 1) && !e->maybe) {
            open = 1;
            first = s3_min(first, e->to);
        }
    }

    if (!open) {
        return 1;
    }

    if (was_seen(mask, state)) {
        return 0;
    }

    for (i = 0; i < h->n; i++) {
        e = &h->events[i];
        w = i / 64;

        if ((mask[w] >> (i % 64) & 1) || e->from > first || e->to < now
            || !fits(h, i, state, &next) || idle(h, mask, i, state, next))
        {
            continue;
        }

        mask[w] |= (uint64_t) 1 << (i % 64);

        if (search(h, mask, next, s3_max(now, e->from))) {
            return 1;
        }

        mask[w] &= ~((uint64_t) 1 << (i % 64));

        if ((e->kind >= SIM_GET || e->rc == S3_EPRECOND)
            && (!deadlines || e->from <= now))
        {
            return 0; /* a read that fits now loses nothing by being now */
        }
    }

    return 0;
}


/* Writes whose value nobody has seen, nor knew. */

static void
unseen(history_t *h)
{
    int known;
    unsigned i, j;
    const sim_event_t *e, *f;

    for (i = 0; i < h->n; i++) {
        e = &h->events[i];
        known = e->kind >= SIM_DELETE;

        for (j = 0; j < h->n && !known; j++) {
            f = &h->events[j];
            known = f->kind == SIM_CAS && f->expect == e->value;
            known |= f->kind >= SIM_GET && f->value == e->value;
        }

        h->values[i] = known ? e->value : UNSEEN;
    }
}


/*
 * A listing may show what is in doubt and comes to nothing in the end, be it
 * the first attempt of a write whose second one counts.  A
 * write that may have been and that nobody has seen need not have been.
 */

static void
prune(history_t *h, uint64_t *mask)
{
    int wanted, doubt;
    unsigned i, j;
    const sim_event_t *e, *f;

    deadlines = 0;

    for (i = 0; i < h->n; i++) {
        e = &h->events[i];
        wanted = !e->failed;
        deadlines |= e->maybe && e->to != SIM_FOREVER;

        if (e->kind == SIM_LIST) {
            doubt = 0;

            for (j = 0; j < h->n; j++) {
                f = &h->events[j];
                doubt |= (f->maybe || f->failed || f->rc == S3_EPRECOND
                          || f->to > e->from)
                         && f->from < e->to && f->value == e->value
                         && f->kind < SIM_GET;
            }

            wanted = wanted && !doubt;

        } else if (e->maybe && e->kind != SIM_DELETE) {
            wanted = 0;

            for (j = 0; j < h->n && !wanted; j++) {
                f = &h->events[j];
                wanted = j != i && !f->failed
                         && ((f->kind >= SIM_GET && f->value == e->value)
                             || (f->kind == SIM_CAS && f->expect == e->value
                                 && f->rc != S3_EPRECOND)
                             || (f->kind == SIM_CAS && f->rc == S3_EPRECOND
                                 && f->to > e->from));
            }
        }

        if (!wanted) {
            mask[i / 64] |= (uint64_t) 1 << (i % 64);
        }
    }
}


int
sim_histories_check(void)
{
    int good;
    unsigned k;
    uint64_t mask[WORDS];

    good = 1;

    for (k = 0; k < SIM_KEYS; k++) {
        memset(mask, 0, sizeof(mask));
        prune(&histories[k], mask);
        unseen(&histories[k]);
        ++*stamp;
        n_seen = 0;

        if (!search(&histories[k], mask, 0, 0)) {
            sim_fail("key %u is not linearizable", k);
            good = 0;
        }
    }

    return good;
}


void
sim_histories_print(void)
{
    static const char *names[] = {"put", "cas", "delete", "get", "list"};
    unsigned i, k;
    const sim_event_t *e;

    for (k = 0; k < SIM_KEYS; k++) {
        printf("key %u\n", k);

        for (i = 0; i < histories[k].n; i++) {
            e = &histories[k].events[i];
            printf("  %4llu %4lld client %u %s value %u", e->from + 0ull,
                   e->to == SIM_FOREVER ? -1LL : (long long) e->to, e->client,
                   names[e->kind], e->value);

            if (e->kind == SIM_CAS) {
                printf(" expects %u", e->expect);
            }

            printf(" rc %d%s%s\n", e->rc, e->maybe ? " maybe" : "",
                   e->failed ? " failed" : "");
        }
    }
}
