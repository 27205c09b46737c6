/*
 * The shared mapping: layout, clock, processes, segment registry, arenas.
 */

#include "storage/s3_zone.h"
#include "storage/s3_memtable.h"
#include "storage/s3_segment.h"
#include <errno.h>

#define S3_ZONE_MAGIC 0x31656e6f7a337333ULL /* "s3szone1" */


static size_t
s3_zone_fixed(unsigned n, unsigned max_segments, size_t *segments_off)
{
    size_t size;

    size = sizeof(s3_zone_t) + n * sizeof(s3_zdrive_t);
    size = s3_align(size, (size_t) 64);

    if (segments_off) {
        *segments_off = size;
    }

    size += (size_t) n * max_segments * sizeof(s3_zseg_t);

    return s3_align(size, (size_t) 4096);
}


size_t
s3_zone_min(unsigned n, unsigned max_segments)
{
    if (max_segments == 0) {
        max_segments = S3_ZONE_SEGMENTS;
    }

    return s3_zone_fixed(n, max_segments, NULL)
           + (size_t) n * S3_ZONE_ARENAS * S3_ZONE_ARENA_MIN;
}


static int
s3_zone_init_lock(pthread_mutex_t *lock)
{
    int rc;
    pthread_mutexattr_t attr;

    if (pthread_mutexattr_init(&attr) != 0) {
        return S3_ENOMEM;
    }

    rc = pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);

    if (rc == 0) {
        rc = pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    }

    if (rc == 0) {
        rc = pthread_mutex_init(lock, &attr);
    }

    pthread_mutexattr_destroy(&attr);

    return rc == 0 ? S3_OK : S3_ENOMEM;
}


int
s3_zone_init(void *base, size_t size, unsigned n, unsigned max_segments,
             const uint8_t store_id[16], const uint8_t instance[16])
{
    int rc;
    size_t fixed, seg_off;
    unsigned i;
    s3_zone_t *z = base;
    s3_zdrive_t *d;

    if (max_segments == 0) {
        max_segments = S3_ZONE_SEGMENTS;
    }

    if (base == NULL || n == 0 || n > S3_MAX_DRIVES
        || max_segments < S3_ZONE_PROBE || size < s3_zone_min(n, max_segments))
    {
        return S3_EINVAL;
    }

    fixed = s3_zone_fixed(n, max_segments, &seg_off);
    memset(base, 0, fixed);

    z->layout = S3_ZONE_LAYOUT;
    z->n = n;
    z->size = size;
    z->max_segments = max_segments;
    memcpy(z->instance, instance, 16);

    if (store_id) {
        memcpy(z->store_id, store_id, 16);
        z->named = 1;
    }

    z->segments_off = seg_off;
    z->arenas_off = fixed;
    z->arena_size = (size - fixed) / n / S3_ZONE_ARENAS & ~(size_t) 4095;
    z->arena_size = s3_min(z->arena_size, (uint64_t) S3_MEMTABLE_MAX);

    for (i = 0; i < n; i++) {
        d = &z->drives[i];
        rc = s3_zone_init_lock(&d->lock);
        if (rc != S3_OK) {
            return rc;
        }

        d->state = S3_DRIVE_MISSING;
        d->stats.noted = 1;
        d->arrivals = 1; /* 0: never open */
        d->generation = 1;
        d->lists[0].generation = 1;
        d->next_table_id = 1;
        d->next_segment_id = 1;
        d->probe = S3_ZONE_PROBE;
        d->arena_seq = 1;
        d->arenas[0].used = 1;
        d->arenas[0].seq = 1;
        s3_memtable_reset(s3_zone_arena(z, i, 0), z->arena_size);
    }

    return S3_OK;
}


void
s3_zone_seal(s3_zone_t *z)
{
    __atomic_store_n(&z->magic, S3_ZONE_MAGIC, __ATOMIC_RELEASE);
}


int
s3_zone_join(void *base, size_t size, unsigned n, const uint8_t instance[16],
             s3_zone_t **out)
{
    s3_zone_t *z = base;

    if (z == NULL || size < sizeof(s3_zone_t)
        || __atomic_load_n(&z->magic, __ATOMIC_ACQUIRE) != S3_ZONE_MAGIC)
    {
        return S3_EINVAL;
    }

    if (z->layout != S3_ZONE_LAYOUT) {
        return S3_EVERSION;
    }

    if (z->n != n || z->size > size || memcmp(z->instance, instance, 16) != 0) {
        return S3_EFOREIGN;
    }

    *out = z;

    return S3_OK;
}


void
s3_zone_suspect(s3_zone_t *z)
{
    unsigned i;

    for (i = 0; i < z->n; i++) {
        s3_zone_count(&z->drives[i].stats.noted);
    }
}


int
s3_zone_name(s3_zone_t *z, const uint8_t store_id[16])
{
    /* two drives may come at once */
    s3_zone_lock(&z->drives[0]);

    if (!z->named) {
        memcpy(z->store_id, store_id, 16);
        __atomic_store_n(&z->named, 1, __ATOMIC_RELEASE);
    }

    s3_zone_unlock(&z->drives[0]);

    return memcmp(z->store_id, store_id, 16) == 0;
}


const char *
s3_zone_fault_text(unsigned code)
{
    static const char *const texts[S3_ZFAULTS] = {
        [S3_ZFAULT_NONE] = "",
        [S3_ZFAULT_ABSENT] = "not there",
        [S3_ZFAULT_REPLACED] = "something else is at its place",
        [S3_ZFAULT_EMPTY] = "an empty directory is at its place",
        [S3_ZFAULT_FORMAT] = "format.json does not fit",
        [S3_ZFAULT_LOCKED] = "in use by another process",
        [S3_ZFAULT_RECOVER] = "its log or index cannot be read",
        [S3_ZFAULT_READONLY] = "read-only",
        [S3_ZFAULT_FULL] = "no space left",
        [S3_ZFAULT_PLACES] = "no place for more segments in s3_zone_size",
        [S3_ZFAULT_READ] = "a read failed",
        [S3_ZFAULT_WRITE] = "a write failed",
        [S3_ZFAULT_SYNC] = "a sync failed",
        [S3_ZFAULT_CORRUPT] = "a checksum did not hold",
        [S3_ZFAULT_HUNG] = "an operation does not end",
        [S3_ZFAULT_UNKNOWN] = "writes of unknown outcome: restart to read it",
        [S3_ZFAULT_NEW] = "new, being filled",
    };

    return code < S3_ZFAULTS ? texts[code] : "";
}


void
s3_zone_lock(s3_zdrive_t *d)
{
    /* whoever died inside has left everything whole */
    if (pthread_mutex_lock(&d->lock) == EOWNERDEAD && !s3_break(LOCK_LOST)) {
        pthread_mutex_consistent(&d->lock);
    }
}


void
s3_zone_unlock(s3_zdrive_t *d)
{
    pthread_mutex_unlock(&d->lock);
}


uint64_t
s3_zone_clock(s3_zone_t *z, uint64_t wall_us)
{
    uint64_t last, next;

    last = __atomic_load_n(&z->clock, __ATOMIC_RELAXED);

    do {
        next = s3_max(last + 1, wall_us);
    } while (!__atomic_compare_exchange_n(&z->clock, &last, next, 0,
                                          __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));

    return next;
}


void
s3_zone_saw(s3_zone_t *z, uint64_t time)
{
    uint64_t last;

    last = __atomic_load_n(&z->clock, __ATOMIC_RELAXED);

    while (last < time
           && !__atomic_compare_exchange_n(&z->clock, &last, time, 0,
                                           __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
    {
    }
}


uint64_t
s3_zone_time(const s3_zone_t *z)
{
    return __atomic_load_n(&z->clock, __ATOMIC_ACQUIRE);
}


void *
s3_zone_arena(s3_zone_t *z, unsigned drive, unsigned arena)
{
    return (uint8_t *) z + z->arenas_off
           + ((size_t) drive * S3_ZONE_ARENAS + arena) * z->arena_size;
}


s3_zseg_t *
s3_zone_segments(s3_zone_t *z, unsigned drive)
{
    return (s3_zseg_t *) (void *) ((uint8_t *) z + z->segments_off)
           + (size_t) drive * z->max_segments;
}


s3_zseg_t *
s3_zone_segment(s3_zone_t *z, unsigned drive, uint32_t id)
{
    unsigned i, probe;
    s3_zseg_t *segs, *s;

    segs = s3_zone_segments(z, drive);
    probe = z->drives[drive].probe;

    for (i = 0; id && i < probe; i++) {
        s = &segs[(id + i) % z->max_segments];

        if (s->id == id) {
            return s;
        }
    }

    return NULL;
}


static s3_zseg_t *
s3_zone_segment_put(s3_zone_t *z, unsigned drive, uint32_t id, unsigned probe)
{
    unsigned i;
    s3_zseg_t *segs, *s;
    s3_zdrive_t *d = &z->drives[drive];

    segs = s3_zone_segments(z, drive);

    for (i = 0; i < probe; i++) {
        s = &segs[(id + i) % z->max_segments];

        if (s->id == 0) {
            memset(s, 0, sizeof(*s));
            s->replay_from = S3_SEGMENT_START;
            s->end = S3_SEGMENT_START;
            s->batch = S3_SEGMENT_START;

            if (i >= d->probe) {
                __atomic_store_n(&d->probe, i + 1, __ATOMIC_RELEASE);
            }

            __atomic_store_n(&s->id, id, __ATOMIC_RELEASE);
            return s;
        }
    }

    return NULL;
}


s3_zseg_t *
s3_zone_segment_add(s3_zone_t *z, unsigned drive, uint32_t id)
{
    return s3_zone_segment_put(z, drive, id, z->max_segments);
}


s3_zseg_t *
s3_zone_segment_new(s3_zone_t *z, unsigned drive)
{
    unsigned i;
    uint32_t id, first;
    s3_zseg_t *s;
    s3_zdrive_t *d = &z->drives[drive];

    first = d->next_segment_id;

    for (i = 0; i < z->max_segments; i++) {
        id = d->next_segment_id;
        if (id == UINT32_MAX) {
            break;
        }

        d->next_segment_id = id + 1;

        s = s3_zone_segment_put(z, drive, id, d->probe);
        if (s) {
            return s;
        }
    }

    d->next_segment_id = first;

    return NULL;
}


void
s3_zone_freeze(s3_zone_t *z, unsigned drive, unsigned next)
{
    unsigned i, old;
    s3_zdrive_t *d = &z->drives[drive];
    s3_zseg_t *segs, *s;

    old = d->active;
    segs = s3_zone_segments(z, drive);

    for (i = 0; i < z->max_segments; i++) {
        s = &segs[i];

        if (s->id == 0) {
            continue;
        }

        /* later reservations share the batch of the last one, or come after */
        s->bound[old] = s->state == S3_SEG_OPEN ? s->batch : s->end;
        s->bound[next] = 0;
    }

    /* who has seen it used before it became free may find it not flushed: then
     * what is new of it has to be there already */
    d->arenas[next].seq = ++d->arena_seq;
    __atomic_store_n(&d->arenas[next].frozen, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&d->arenas[next].flushed, 0, __ATOMIC_RELEASE);

    /* a holder that dies between these leaves an empty arena behind */
    __atomic_store_n(&d->arenas[next].used, 1, __ATOMIC_RELEASE);
    __atomic_store_n(&d->active, next, __ATOMIC_RELEASE);
    __atomic_store_n(&d->arenas[old].frozen, 1, __ATOMIC_RELEASE);
}


int
s3_zone_free_arena(s3_zone_t *z, unsigned drive)
{
    unsigned i, p;
    uint64_t gen, least;
    s3_zdrive_t *d = &z->drives[drive];
    s3_zarena_t *a;

    least = UINT64_MAX;

    for (p = 0; p < S3_ZONE_PROCS; p++) {
        if (s3_zone_proc_state(z, p) == S3_PROC_ALIVE) {
            gen = __atomic_load_n(&z->procs[p].seen[drive], __ATOMIC_ACQUIRE);
            least = s3_min(least, gen);
        }
    }

    for (i = 0; i < S3_ZONE_ARENAS; i++) {
        a = &d->arenas[i];

        if (a->used && a->flushed && i != d->active && a->flushed <= least) {
            __atomic_store_n(&a->used, 0, __ATOMIC_RELEASE);
        }
    }

    for (i = 0; i < S3_ZONE_ARENAS; i++) {
        if (!d->arenas[i].used && i != d->active) {
            return (int) i;
        }
    }

    return S3_AGAIN;
}


int
s3_zone_oldest(s3_zdrive_t *d)
{
    int best;
    unsigned i;

    best = -1;

    for (i = 0; i < S3_ZONE_ARENAS; i++) {
        if (!d->arenas[i].used || d->arenas[i].flushed || i == d->active) {
            continue;
        }

        if (best < 0 || d->arenas[i].seq < d->arenas[best].seq) {
            best = (int) i;
        }
    }

    return best;
}


const s3_ztables_t *
s3_zone_tables(const s3_zdrive_t *d)
{
    return &d->lists[d->list & 1];
}


uint64_t
s3_zone_set_tables(s3_zdrive_t *d, const s3_ztable_t *tables, unsigned n,
                   int arena)
{
    uint64_t generation;
    s3_ztables_t *next;

    generation = s3_zone_tables(d)->generation + 1;
    next = &d->lists[~d->list & 1];

    next->generation = generation;
    next->n = n;

    if (n) {
        memmove(next->tables, tables, n * sizeof(*tables));
    }

    __atomic_store_n(&d->list, ~d->list & 1, __ATOMIC_RELEASE);

    /* a holder that dies here leaves an arena that is written once more */
    if (arena >= 0) {
        __atomic_store_n(&d->arenas[arena].flushed, generation,
                         __ATOMIC_RELEASE);
    }

    __atomic_store_n(&d->generation, generation, __ATOMIC_RELEASE);

    return generation;
}


void
s3_zone_ring_add(s3_zdrive_t *d, uint64_t key, const s3_version_t *v)
{
    s3_zring_t *r = &d->ring[d->ring_next];

    if (d->ring_used == S3_ZONE_RING) {
        if (s3_version_cmp(&r->version, &d->memory_since) > 0) {
            d->memory_since = r->version;
        }

    } else {
        d->ring_used++;
    }

    r->key = key;
    r->version = *v;
    d->ring_next = (d->ring_next + 1) % S3_ZONE_RING;
}


int
s3_zone_ring_has(const s3_zdrive_t *d, uint64_t key, const s3_version_t *v)
{
    unsigned i;

    for (i = 0; i < d->ring_used; i++) {
        if (d->ring[i].key == key
            && s3_version_cmp(&d->ring[i].version, v) == 0) {
            return 1;
        }
    }

    return 0;
}


void
s3_zone_freed(s3_zdrive_t *d, const uint8_t id[16])
{
    uint64_t n;

    s3_zone_lock(d);
    n = d->freed_count;
    memcpy(d->freed[n % S3_ZONE_FREED], id, 16);
    __atomic_store_n(&d->freed_count, n + 1, __ATOMIC_RELEASE);
    s3_zone_unlock(d);
}


unsigned
s3_zone_freed_since(s3_zdrive_t *d, uint64_t *seen,
                    uint8_t ids[S3_ZONE_FREED][16])
{
    unsigned n;

    if (__atomic_load_n(&d->freed_count, __ATOMIC_ACQUIRE) == *seen) {
        return 0;
    }

    s3_zone_lock(d);

    if (d->freed_count - *seen > S3_ZONE_FREED) {
        *seen = d->freed_count - S3_ZONE_FREED;
    }

    for (n = 0; *seen != d->freed_count; n++, ++*seen) {
        memcpy(ids[n], d->freed[*seen % S3_ZONE_FREED], 16);
    }

    s3_zone_unlock(d);

    return n;
}


uint32_t
s3_zone_proc_incarnation(const s3_zone_t *z, unsigned slot)
{
    return __atomic_load_n(&z->procs[slot].incarnation, __ATOMIC_ACQUIRE);
}


int
s3_zone_proc_gone(const s3_zone_t *z, unsigned slot, uint32_t incarnation)
{
    return s3_zone_proc_incarnation(z, slot) != incarnation
           || s3_zone_proc_state(z, slot) == S3_PROC_SETTLING;
}


int
s3_zone_proc_join(s3_zone_t *z, unsigned slot, int64_t pid, unsigned *got)
{
    unsigned i, first, last;
    uint64_t state;
    s3_zproc_t *p;

    first = slot >= S3_ZONE_PROCS ? 0 : slot;
    last = slot >= S3_ZONE_PROCS ? S3_ZONE_PROCS - 1 : slot;

    for (i = first; i <= last; i++) {
        p = &z->procs[i];
        state = S3_PROC_FREE;

        if (__atomic_load_n(&p->state, __ATOMIC_ACQUIRE) != S3_PROC_FREE) {
            continue;
        }

        /* seen[] is 0 in a free slot: nothing is freed under the newcomer */
        if (__atomic_compare_exchange_n(&p->state, &state,
                                        S3_PROC_ALIVE | (uint64_t) pid << 8, 0,
                                        __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
        {
            __atomic_store_n(
                &p->incarnation,
                __atomic_add_fetch(&z->incarnation, 1, __ATOMIC_RELAXED),
                __ATOMIC_RELEASE);
            *got = i;
            return S3_OK;
        }
    }

    return S3_EBUSY;
}


void
s3_zone_proc_leave(s3_zone_t *z, unsigned slot)
{
    unsigned i;
    s3_zproc_t *p = &z->procs[slot];

    s3_pins_clear(&z->pins, slot);

    for (i = 0; i < S3_MAX_DRIVES; i++) {
        __atomic_store_n(&p->seen[i], 0, __ATOMIC_RELAXED);
    }

    /* the next one is not taken for this one before it has its own */
    __atomic_store_n(&p->incarnation, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&p->state, S3_PROC_FREE, __ATOMIC_RELEASE);
}


static int64_t
s3_zone_proc_pid(uint64_t state)
{
    return (int64_t) (state >> 8);
}


int
s3_zone_proc_dead(const s3_zone_t *z, unsigned slot,
                  int (*alive)(void *ctx, int64_t pid), void *ctx)
{
    uint64_t state;

    state = __atomic_load_n(&z->procs[slot].state, __ATOMIC_ACQUIRE);

    switch (state & 0xff) {
    case S3_PROC_FREE:
        return 0;
    case S3_PROC_ALIVE:
        return !alive(ctx, s3_zone_proc_pid(state));
    default:
        return 1;
    }
}


int
s3_zone_proc_settle(s3_zone_t *z, unsigned slot, unsigned by,
                    int (*alive)(void *ctx, int64_t pid), void *ctx)
{
    uint64_t state, mine;
    unsigned settler;
    s3_zproc_t *p = &z->procs[slot];

    state = __atomic_load_n(&p->state, __ATOMIC_ACQUIRE);
    mine = S3_PROC_SETTLING | (uint64_t) by << 8
           | (uint64_t) s3_zone_proc_incarnation(z, by) << 16;

    if (state == S3_PROC_FREE || slot == by || state == mine) {
        return 0;
    }

    if ((state & 0xff) == S3_PROC_ALIVE) {
        if (alive(ctx, s3_zone_proc_pid(state))) {
            return 0;
        }

        __atomic_store_n(&p->pid, s3_zone_proc_pid(state), __ATOMIC_RELAXED);

    } else {
        settler = (state >> 8 & 0xff) % S3_ZONE_PROCS;

        if (s3_zone_proc_state(z, settler) == S3_PROC_ALIVE
            && s3_zone_proc_incarnation(z, settler) == state >> 16)
        {
            return 0;
        }
    }

    return __atomic_compare_exchange_n(&p->state, &state, mine, 0,
                                       __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}


unsigned
s3_zone_proc_state(const s3_zone_t *z, unsigned slot)
{
    return (unsigned) (__atomic_load_n(&z->procs[slot].state, __ATOMIC_ACQUIRE)
                       & 0xff);
}


int
s3_zone_left(const s3_zone_t *z, unsigned drive)
{
    unsigned i;

    for (i = 0; i < S3_ZONE_PROCS; i++) {
        if (s3_zone_proc_state(z, i) != S3_PROC_FREE
            && __atomic_load_n(&z->procs[i].seen[drive], __ATOMIC_SEQ_CST)
                   != UINT64_MAX)
        {
            return 0;
        }
    }

    return 1;
}


int
s3_zone_claim(s3_zone_t *z, uint64_t *word, unsigned slot)
{
    uint64_t mine, held;
    unsigned holder;

    mine = (uint64_t) s3_zone_proc_incarnation(z, slot) << 8 | (slot + 1);
    held = __atomic_load_n(word, __ATOMIC_ACQUIRE);

    if (held == mine) {
        return 1;
    }

    if (held) {
        holder = ((unsigned) (held & 0xff) - 1) % S3_ZONE_PROCS;

        if (s3_zone_proc_incarnation(z, holder) == held >> 8
            && s3_zone_proc_state(z, holder) == S3_PROC_ALIVE)
        {
            return 0;
        }
    }

    return __atomic_compare_exchange_n(word, &held, mine, 0, __ATOMIC_ACQ_REL,
                                       __ATOMIC_RELAXED);
}


void
s3_zone_unclaim(s3_zone_t *z, uint64_t *word, unsigned slot)
{
    uint64_t mine;

    mine = (uint64_t) s3_zone_proc_incarnation(z, slot) << 8 | (slot + 1);

    __atomic_compare_exchange_n(word, &mine, 0, 0, __ATOMIC_ACQ_REL,
                                __ATOMIC_RELAXED);
}


int
s3_zone_lease(s3_zone_t *z, unsigned drive, unsigned slot)
{
    return s3_zone_claim(z, &z->drives[drive].lease, slot);
}


void
s3_zone_lease_drop(s3_zone_t *z, unsigned drive, unsigned slot)
{
    s3_zone_unclaim(z, &z->drives[drive].lease, slot);
}
