/*
 * The shared memory itself, at close quarters: threads that stand in for
 * processes do nothing but read and change it, under ThreadSanitizer.
 *
 *   race_zone [seconds for each part]
 *   race_zone broken        a lock is not taken: must be found
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <unistd.h>

#include "storage/s3_index.h"
#include "storage/s3_memtable.h"
#include "storage/s3_node.h"
#include "storage/s3_zone.h"
#include "race.h"

#define THREADS 4
#define KEYS 40
#define BUCKET 1024
#define DRAWS 100000
#define FREEZES 12 /* at least */
#define MAX_PIDS 65536


static s3_zone_t *zone;
static size_t zone_size;
static uint64_t deadline;
static unsigned seconds = 1;
static int broken;
static uint64_t n_inserts, n_views, n_freezes, n_deaths, n_gone;
static uint64_t draws[THREADS];
static uint64_t guarded; /* by the lease: plain on purpose */
static int dead[MAX_PIDS];
static int64_t next_pid = 1;


static uint64_t
chance(uint64_t *state, uint64_t below)
{
    *state = *state * 6364136223846793005ULL + 1442695040888963407ULL;

    return (*state >> 33) % below;
}


static int
alive(void *ctx, int64_t pid)
{
    (void) ctx;
    return !__atomic_load_n(&dead[pid % MAX_PIDS], __ATOMIC_ACQUIRE);
}


static void
zone_make(void)
{
    const uint8_t id[16] = {1};

    free(zone);
    zone_size = s3_align(s3_zone_min(1, 64), (size_t) 4096);
    zone = aligned_alloc(4096, zone_size);
    REQUIRE(zone != NULL);
    memset(zone, 0, zone_size);
    REQUIRE(s3_zone_init(zone, zone_size, 1, 64, id, id) == S3_OK);
    s3_zone_seal(zone);
}


static void
together(void *(*run)(void *arg), unsigned n, unsigned for_seconds)
{
    unsigned i;
    pthread_t tids[THREADS + 1];

    deadline = race_now_ms() + for_seconds * 1000;

    for (i = 0; i < n; i++) {
        REQUIRE(pthread_create(&tids[i], NULL, run, (void *) (uintptr_t) i)
                == 0);
    }

    for (i = 0; i < n; i++) {
        pthread_join(tids[i], NULL);
    }
}


/* Arenas: frozen, flushed, reset and used again under those who read. */

static s3_str_t
make_key(char *buf, size_t room, unsigned k)
{
    return s3_str(buf, (size_t) snprintf(buf, room, "key-%04u", k));
}


static s3_memnode_t *
arena_insert(s3_zdrive_t *d, unsigned slot, unsigned k, s3_mem_state_t state)
{
    int next;
    char buf[16];
    s3_entry_t e;
    s3_memnode_t *n;

    memset(&e, 0, sizeof(e));
    e.version = (s3_version_t){s3_zone_clock(zone, 0), 1, slot};
    e.kind = S3_KIND_OBJECT;
    e.segment = (uint32_t) e.version.time + 1;
    e.offset = 1 << 14;
    e.length = 64;

    for (;;) {
        n = s3_memtable_insert(s3_zone_arena(zone, 0, d->active), BUCKET,
                               make_key(buf, sizeof(buf), k), &e, state, slot,
                               zone->procs[slot].incarnation);
        if (n) {
            return n;
        }

        next = s3_zone_free_arena(zone, 0);
        if (next < 0) {
            return NULL;
        }

        s3_memtable_reset(s3_zone_arena(zone, 0, (unsigned) next),
                          zone->arena_size);
        s3_zone_freeze(zone, 0, (unsigned) next);
        __atomic_add_fetch(&n_freezes, 1, __ATOMIC_RELAXED);
    }
}


static void
arena_write(s3_zdrive_t *d, unsigned slot, uint64_t *state)
{
    int old;
    unsigned i;
    s3_memnode_t *n[8];

    s3_zone_lock(d);

    for (i = 0; i < 8; i++) {
        n[i] = arena_insert(d, slot, (unsigned) chance(state, KEYS),
                            S3_MEM_PENDING);
        if (n[i] == NULL) {
            break;
        }
    }

    /* all of them wait for a table, which never is written: all is old */

    if (i < 8 || chance(state, 100) == 0) {
        old = s3_zone_oldest(d);
        if (old >= 0) {
            s3_zone_set_tables(d, NULL, 0, old);
        }
    }

    __atomic_add_fetch(&n_inserts, i, __ATOMIC_RELAXED);

    /* as when the log write is done: not under the lock, but before the arena
     * may go, which a pending node keeps from being flushed */

    while (i--) {
        s3_memnode_set(n[i],
                       chance(state, 8) ? S3_MEM_DURABLE : S3_MEM_REMOVED);
        s3_memnode_flag(n[i], S3_F_CONFIRMED);
    }

    s3_zone_unlock(d);
}


static void
arena_flags(uint64_t generation, unsigned k)
{
    char buf[16];
    unsigned i, n, arenas[S3_ZONE_ARENAS];
    s3_str_t key = make_key(buf, sizeof(buf), k);
    s3_memnode_t *node;
    s3_memtable_t *tables[S3_ZONE_ARENAS];

    n = s3_index_memtables(zone, 0, generation, tables, arenas);

    for (i = 0; i < n; i++) {
        node = s3_memtable_seek(tables[i], BUCKET, key);

        if (node && s3_memnode_state(node) == S3_MEM_DURABLE) {
            s3_memnode_flag(node, S3_MEM_SURE);
        }
    }
}


static void
arena_view(uint64_t generation, unsigned k)
{
    char buf[16];
    unsigned i;
    s3_view_t v;

    s3_view_init(&v);
    REQUIRE(s3_view_load(&v, zone, 0, NULL, generation, BUCKET,
                         make_key(buf, sizeof(buf), k))
            == S3_OK);

    for (i = 0; i < v.n; i++) {
        REQUIRE(v.items[i].e.segment
                == (uint32_t) v.items[i].e.version.time + 1);
        REQUIRE(i == 0
                || v.items[i].e.version.time < v.items[i - 1].e.version.time);
    }

    s3_view_done(&v);
    __atomic_add_fetch(&n_views, 1, __ATOMIC_RELAXED);
}


static void
arena_walk(uint64_t generation)
{
    unsigned i, n, arenas[S3_ZONE_ARENAS];
    s3_entry_t e;
    s3_version_t was, v;
    s3_memnode_t *node, *prev;
    s3_memtable_t *tables[S3_ZONE_ARENAS];
    s3_memsource_t src;

    n = s3_index_memtables(zone, 0, generation, tables, arenas);

    for (i = 0; i < n; i++) {
        prev = NULL;

        for (node = s3_memtable_first(tables[i]); node;
             node = s3_memtable_next(tables[i], node))
        {
            REQUIRE(s3_memnode_entry(node, &e) == S3_OK);

            if (prev && s3_str_eq(s3_memnode_key(prev), s3_memnode_key(node))) {
                was = s3_memnode_version(prev);
                v = s3_memnode_version(node);
                REQUIRE(s3_version_cmp(&was, &v) > 0);
            }

            prev = node;
        }

        s3_memsource_init(&src, tables[i]);

        if (src.source.ops->seek(&src.source, 0, s3_null_str) == S3_OK) {
            while (src.source.ops->next(&src.source) == S3_OK) {
                REQUIRE(src.source.raw_len >= S3_ENTRY_FIXED);
            }
        }
    }
}


static uint64_t
arena_generation(s3_zdrive_t *d, unsigned slot)
{
    uint64_t generation;

    s3_zone_lock(d);
    generation = s3_zone_tables(d)->generation;
    s3_zone_unlock(d);

    __atomic_store_n(&zone->procs[slot].seen[0], generation, __ATOMIC_RELEASE);

    return generation;
}


static void *
arena_thread(void *arg)
{
    unsigned i, k, slot;
    uint64_t generation, state = (uintptr_t) arg + 1;
    s3_zdrive_t *d = &zone->drives[0];

    REQUIRE(s3_zone_proc_join(
                zone, S3_ZONE_PROCS,
                __atomic_fetch_add(&next_pid, 1, __ATOMIC_RELAXED), &slot)
            == S3_OK);

    while (race_now_ms() < deadline
           || __atomic_load_n(&n_freezes, __ATOMIC_RELAXED) < FREEZES)
    {
        generation = arena_generation(d, slot);

        for (i = 0; i < 20; i++) {
            k = (unsigned) chance(&state, KEYS);

            if ((uintptr_t) arg < 2) {
                arena_write(d, slot, &state);
            }

            arena_view(generation, k);
            arena_flags(generation, k);
        }

        arena_walk(generation);
    }

    s3_zone_proc_leave(zone, slot);

    return NULL;
}


/* The clock: every draw is somebody's alone. */

static void *
clock_thread(void *arg)
{
    unsigned i;
    uint64_t t, last = 0;

    for (i = 0; i < DRAWS; i++) {
        t = s3_zone_clock(zone, 0);
        CHECK(t > last);
        last = t;
        draws[(uintptr_t) arg] += t;
        s3_zone_saw(zone, t);
    }

    return NULL;
}


static void
test_clock(void)
{
    unsigned i;
    uint64_t sum = 0;
    const uint64_t n = (uint64_t) THREADS * DRAWS;

    zone_make();
    together(clock_thread, THREADS, 0);

    for (i = 0; i < THREADS; i++) {
        sum += draws[i];
    }

    CHECK(sum == n * (n + 1) / 2);
    CHECK(s3_zone_time(zone) == n);
}


/* Processes come, go and die; one at a time has the lease of a drive. */

static void *
lease_thread(void *arg)
{
    int had;
    int64_t pid;
    unsigned slot, s;
    uint64_t state = (uintptr_t) arg + 77;

    while (race_now_ms() < deadline
           || __atomic_load_n(&n_deaths, __ATOMIC_RELAXED) < 10)
    {
        pid = __atomic_fetch_add(&next_pid, 1, __ATOMIC_RELAXED);
        REQUIRE(pid < MAX_PIDS);
        REQUIRE(s3_zone_proc_join(zone, S3_ZONE_PROCS, pid, &slot) == S3_OK);

        do {
            had = s3_zone_lease(zone, 0, slot);

            if (had) {
                guarded++;
            }

            for (s = 0; s < S3_ZONE_PROCS; s++) {
                if (s3_zone_proc_settle(zone, s, slot, alive, NULL)) {
                    s3_zone_proc_leave(zone, s);
                }
            }

            if (had && chance(&state, 4)) {
                s3_zone_lease_drop(zone, 0, slot);
                had = 0;
            }

        } while (chance(&state, 30));

        if (chance(&state, 2)) {
            if (had) {
                s3_zone_lease_drop(zone, 0, slot);
            }

            s3_zone_proc_leave(zone, slot);

        } else {
            __atomic_store_n(&dead[pid], 1, __ATOMIC_RELEASE);
            __atomic_add_fetch(&n_deaths, 1, __ATOMIC_RELAXED);
            usleep(500); /* nobody may find all slots taken by the dead */
        }
    }

    return NULL;
}


/* Notices of removed blobs come whole, and all of them, to everybody. */

static void *
freed_thread(void *arg)
{
    unsigned i, j, n, mine = 0;
    uint64_t seen, got = 0;
    uint8_t id[16], ids[S3_ZONE_FREED][16];
    s3_zdrive_t *d = &zone->drives[0];

    seen = 0;

    while (race_now_ms() < deadline || got == 0) {
        memset(id, (int) (mine % 251), sizeof(id));
        s3_zone_freed(d, id);
        mine++;

        n = s3_zone_freed_since(d, &seen, ids);
        got += n;

        for (i = 0; i < n; i++) {
            for (j = 1; j < 16 && ids[i][j] == ids[i][0]; j++) {
                /* the same in all of it */
            }

            REQUIRE(j == 16);
        }

        s3_zone_fault(d, S3_ZFAULT_READ, (int) (uintptr_t) arg);
        s3_zone_last_fault(d, S3_ZFAULT_SYNC, 5);
        s3_zone_count(&d->errors);
        s3_zone_suspect(zone);
        s3_zone_changed(zone);
    }

    __atomic_add_fetch(&n_views, mine, __ATOMIC_RELAXED);

    return NULL;
}


static void
test_freed(void)
{
    uint64_t before = n_views;

    zone_make();
    together(freed_thread, THREADS, seconds);

    CHECK(zone->drives[0].freed_count == n_views - before);
    CHECK(zone->drives[0].errors == n_views - before);
    CHECK(zone->drives[0].stats.noted == n_views - before + 1);
    CHECK(zone->bucket_changes == n_views - before);
}


/* What is under the lock stays whole though its holders die. */

static void *
robust_thread(void *arg)
{
    uint64_t h;
    s3_zdrive_t *d = &zone->drives[0];
    s3_version_t v = {(uintptr_t) arg + 1, 1, 1};

    for (h = 0; h < 200; h++) {
        if (!broken) {
            s3_zone_lock(d);

            /* the kernel gives the lock of the dead on: news to TSan */
            (void) __atomic_load_n(&n_gone, __ATOMIC_ACQUIRE);
        }

        s3_zone_ring_add(d, h, &v);
        REQUIRE(broken || s3_zone_ring_has(d, h, &v));
        guarded++;

        if (h == 150 && !broken) {
            __atomic_add_fetch(&n_gone, 1, __ATOMIC_ACQ_REL);
            return NULL; /* with the lock */
        }

        if (!broken) {
            s3_zone_unlock(d);
        }
    }

    return NULL;
}


int
main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "broken") == 0) {
        broken = 1;
        zone_make();
        together(robust_thread, THREADS, 0);
        return 0;
    }

    if (argc > 1) {
        seconds = (unsigned) atoi(argv[1]);
    }

    zone_make();
    together(arena_thread, THREADS, 2 * seconds);
    test_clock();

    zone_make();
    guarded = 0;
    together(lease_thread, THREADS, seconds);
    CHECK(guarded > 10);

    test_freed();

    zone_make();
    guarded = 0;
    together(robust_thread, THREADS, 0);
    CHECK(guarded == THREADS * 151);

    free(zone);
    printf("%llu inserts, %llu views, %llu freezes, %llu died; ",
           (unsigned long long) n_inserts, (unsigned long long) n_views,
           (unsigned long long) n_freezes, (unsigned long long) n_deaths);

    return RACE_END();
}
