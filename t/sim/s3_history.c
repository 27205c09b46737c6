/*
 * Linearizability of a history; see s3_history.h.
 *
 * The search is depth first.  Writes that may have been, at any time, are what
 * makes it long.  Where nobody has seen their value they are all the same, and
 * so are deletes: of those that are left the first to begin is taken.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "storage/s3_core.h"
#include "t/sim/s3_history.h"

#define SEEN (1u << 18)
#define WORDS (HIST_EVENTS / 64)
#define MASK ((1u << HIST_VALUE_BITS) - 1)
#define UNSEEN MASK /* the value of all writes that nobody has seen */

typedef struct {
    uint64_t mask[WORDS];
    uint64_t state;
    uint32_t stamp;
} seen_t;

static uint64_t ticks;
static seen_t *seen;    /* outlives seeds, */
static uint32_t *stamp; /* for this tells what is old */
static unsigned n_seen;
static int deadlines; /* some that may have been can no longer be */


void
hist_open(void)
{
    seen = mmap(NULL, (SEEN + 1) * sizeof(seen_t), PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (seen == MAP_FAILED) {
        abort();
    }

    stamp = &seen[SEEN].stamp;
}


void
hist_reset(hist_t *h, uint32_t bucket)
{
    h->n = 0;
    h->bucket = bucket;
    ticks = 0;
}


int
hist_begin(hist_t *h, hist_kind_t kind, unsigned key, unsigned client)
{
    hist_event_t *e;

    if (h->n == HIST_EVENTS || key >= HIST_KEYS) {
        abort();
    }

    e = &h->events[h->n];
    memset(e, 0, sizeof(*e));
    e->kind = kind;
    e->key = key;
    e->bucket = h->bucket;
    e->from = ++ticks;
    e->to = HIST_FOREVER;
    e->client = client & 0xff;
    e->maybe = kind < HIST_GET;
    e->failed = kind >= HIST_GET;

    return (int) h->n++;
}


void
hist_end(hist_t *h, int i, int rc)
{
    hist_event_t *e = &h->events[i];

    e->rc = rc;

    if (rc == S3_EDOUBT && e->kind < HIST_GET) {
        return;
    }

    e->to = ++ticks;
    e->maybe = 0;

    switch (rc) {

    case S3_OK:
    case S3_ENOENT:
    case S3_EPRECOND:
        e->failed = 0;
        break;

    case S3_EEXIST:
        e->failed = e->kind != HIST_MAKE && e->kind != HIST_DROP;
        break;

    default:
        e->failed = 1;
    }
}


void
hist_end_maybe(hist_t *h, int i)
{
    hist_event_t *e = &h->events[i];

    e->rc = S3_EDOUBT;
    e->to = ++ticks;
}


static int
was_seen(const uint64_t *mask, uint64_t state)
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


/* A state: the bucket, and each key's value. */

static uint32_t
part_of(uint64_t state, unsigned field)
{
    return (uint32_t) (state >> field * HIST_VALUE_BITS) & MASK;
}


static uint64_t
with_part(uint64_t state, unsigned field, uint32_t value)
{
    field *= HIST_VALUE_BITS;

    return (state & ~((uint64_t) MASK << field)) | (uint64_t) value << field;
}


#define BUCKET HIST_KEYS /* its field */


static int
fits_bucket(const hist_t *h, unsigned i, uint64_t state, uint64_t *next)
{
    const hist_event_t *e = &h->events[i];
    uint32_t bucket = part_of(state, BUCKET);
    int keys = (state & (((uint64_t) 1 << BUCKET * HIST_VALUE_BITS) - 1)) != 0;

    if (e->kind == HIST_MAKE) {
        if (e->rc == S3_EEXIST) {
            return bucket && bucket == e->value;
        }

        *next = with_part(state, BUCKET, h->values[i]);
        return bucket == 0;
    }

    if (e->rc == S3_ENOENT || e->rc == S3_EEXIST) {
        return e->rc == S3_EEXIST ? bucket && keys : bucket == 0;
    }

    *next = 0;

    return bucket && !keys;
}


/* Does the operation fit the state?  *next: the state after it. */

static int
fits(const hist_t *h, unsigned i, uint64_t state, uint64_t *next)
{
    const hist_event_t *e = &h->events[i];
    uint32_t value = part_of(state, e->key);

    *next = state;

    if (e->kind == HIST_MAKE || e->kind == HIST_DROP) {
        return fits_bucket(h, i, state, next);
    }

    if (part_of(state, BUCKET) != e->bucket || (e->bucket == 0 && e->maybe)) {
        return 0;
    }

    if (e->bucket == 0) {
        return 1;
    }

    switch (e->kind) {

    case HIST_PUT:
        *next = with_part(state, e->key, h->values[i]);
        return 1;

    case HIST_DELETE:
        *next = with_part(state, e->key, 0);
        return 1;

    case HIST_CAS:
        if (e->rc == S3_EPRECOND) {
            return e->expect != value;
        }

        *next = with_part(state, e->key, h->values[i]);
        return e->expect == value;

    default:
        return e->value == value;
    }
}


/* It changes nothing wherever it fits. */

static int
reads(const hist_event_t *e)
{
    return e->kind >= HIST_GET || e->rc == S3_EPRECOND || e->rc == S3_ENOENT
           || e->rc == S3_EEXIST;
}


/* It may have been, at any time, and another one that began before would do
 * the same, or it would do nothing. */

static int
idle(const hist_t *h, const uint64_t *mask, unsigned i, uint64_t state,
     uint64_t next)
{
    unsigned j;
    const hist_event_t *e = &h->events[i], *f;

    if (!e->maybe) {
        return 0;
    }

    if (next == state) {
        return 1;
    }

    for (j = 0; j < i && e->to == HIST_FOREVER; j++) {
        f = &h->events[j];

        if (!(mask[j / 64] >> (j % 64) & 1) && f->maybe && f->to == HIST_FOREVER
            && f->kind == e->kind && f->key == e->key && f->bucket == e->bucket
            && h->values[j] == h->values[i] && f->expect == e->expect)
        {
            return 1;
        }
    }

    return 0;
}


static int
search(const hist_t *h, uint64_t *mask, uint64_t state, uint64_t now)
{
    int open;
    unsigned i, w;
    uint64_t first, next;
    const hist_event_t *e;

    first = HIST_FOREVER;
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

        if (reads(e) && (!deadlines || e->from <= now)) {
            return 0; /* a read that fits now loses nothing by being now */
        }
    }

    return 0;
}


/* Writes whose value nobody has seen, nor knew. */

static void
unseen(hist_t *h)
{
    int known;
    unsigned i, j;
    const hist_event_t *e, *f;

    for (i = 0; i < h->n; i++) {
        e = &h->events[i];
        known = e->kind == HIST_DELETE || e->kind >= HIST_DROP;

        for (j = 0; j < h->n && !known; j++) {
            f = &h->events[j];

            if (e->kind == HIST_MAKE) {
                known = f->bucket == e->value
                        || (f->kind == HIST_MAKE && f->rc == S3_EEXIST
                            && f->value == e->value);
                continue;
            }

            known = f->kind == HIST_CAS && f->expect == e->value;
            known |= f->kind >= HIST_GET && f->value == e->value;
        }

        h->values[i] = known ? e->value : UNSEEN;
    }
}


/* What a listing shows may be in doubt and come to nothing in the end, be it
 * the first attempt of a write whose second one counts. */

static int
doubtful(const hist_t *h, const hist_event_t *e)
{
    unsigned j;
    const hist_event_t *f;

    for (j = 0; j < h->n; j++) {
        f = &h->events[j];

        if (f->kind < HIST_MAKE && f->from < e->to
            && (f->maybe || f->failed || f->rc == S3_EPRECOND
                || f->to > e->from)
            && (e->kind == HIST_DROP
                || (f->key == e->key && f->value == e->value)))
        {
            return 1;
        }
    }

    return 0;
}


/* Somebody has seen, or may have, what the write may have written. */

static int
needed(const hist_t *h, unsigned i)
{
    unsigned j;
    const hist_event_t *e = &h->events[i], *f;

    for (j = 0; j < h->n; j++) {
        f = &h->events[j];

        if (j == i || f->failed) {
            continue;
        }

        if (f->kind >= HIST_GET && f->value == e->value) {
            return 1;
        }

        if (f->kind == HIST_CAS
            && (f->rc == S3_EPRECOND ? f->to > e->from : f->expect == e->value))
        {
            return 1;
        }
    }

    return 0;
}


/* Those that need not be placed: mask. */

static void
prune(hist_t *h, uint64_t *mask)
{
    int wanted;
    unsigned i;
    const hist_event_t *e;

    deadlines = 0;

    for (i = 0; i < h->n; i++) {
        e = &h->events[i];
        wanted = !e->failed;
        deadlines |= e->maybe && e->to != HIST_FOREVER;

        if (e->kind == HIST_LIST
            || (e->kind == HIST_DROP && e->rc == S3_EEXIST)) {
            wanted = wanted && !doubtful(h, e);

        } else if (e->maybe && e->kind < HIST_DELETE) {
            wanted = needed(h, i);
        }

        if (!wanted) {
            mask[i / 64] |= (uint64_t) 1 << (i % 64);
        }
    }
}


int
hist_check(hist_t *h)
{
    uint64_t mask[WORDS];

    memset(mask, 0, sizeof(mask));
    prune(h, mask);
    unseen(h);
    ++*stamp;
    n_seen = 0;

    return search(h, mask, with_part(0, BUCKET, h->bucket), 0);
}


void
hist_print(const hist_t *h)
{
    static const char *names[] = {"put",  "cas", "delete", "make",
                                  "drop", "get", "list"};
    unsigned i;
    const hist_event_t *e;

    for (i = 0; i < h->n; i++) {
        e = &h->events[i];
        printf("  %4llu %4lld client %u %s", e->from + 0ull,
               e->to == HIST_FOREVER ? -1LL : (long long) e->to, e->client,
               names[e->kind]);

        if (e->kind != HIST_DROP) {
            printf(" value %u", e->value);
        }

        if (h->bucket != HIST_SAME && e->kind != HIST_MAKE
            && e->kind != HIST_DROP) {
            printf(" key %u of bucket %u", e->key, e->bucket);
        }

        if (e->kind == HIST_CAS) {
            printf(" expects %u", e->expect);
        }

        printf(" rc %d%s%s\n", e->rc, e->maybe ? " maybe" : "",
               e->failed ? " failed" : "");
    }
}
