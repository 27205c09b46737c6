#include "t/unit/s3_test.h"
#include "t/sim/s3_testbed.h"
#include "storage/s3_node.h"


/* The store over real drives in memory: what the mock drives promise, these
 * must keep, through restarts and power cuts too. */

const char *__asan_default_options(void);

/* what a killed process had in memory is nobody's to free */

const char *
__asan_default_options(void)
{
    return "detect_leaks=0";
}


#define SEGMENTS 64

static bed_t b;
static s3_memfs_t *disks[S3_MAX_DRIVES];
static void *zone;
static size_t zone_size;
static s3_node_t *nodes[BED_COORDINATORS];
static int64_t next_pid, dead_below;


static uint64_t
conf_wall(void *ctx)
{
    (void) ctx;

    return 1700000000000000ull + s3_sim_now(b.sim);
}


static void
conf_random(void *ctx, void *buf, size_t len)
{
    (void) ctx;
    b.world->random(b.world, buf, len);
}


static void
conf_log(void *ctx, int level, const char *message)
{
    (void) ctx;
    (void) level;
    (void) message;
}


static int
alive(void *ctx, int64_t pid)
{
    (void) ctx;

    return pid >= dead_below;
}


static void
start(uint32_t missing)
{
    unsigned i, j;
    s3_node_conf_t nc;
    s3_store_conf_t conf;

    memset(&nc, 0, sizeof(nc));
    nc.n = b.n;
    nc.zone = zone;
    nc.zone_size = zone_size;
    nc.fresh = 1;
    nc.parity = b.m;
    nc.node = 1;
    nc.segment_size = 1024 * 1024;
    nc.max_segments = SEGMENTS;
    nc.wall_us = conf_wall;
    nc.random = conf_random;
    nc.log = conf_log;

    for (i = 0; i < b.n; i++) {
        nc.fs[i] = missing >> i & 1 ? NULL : s3_memfs_fs(disks[i]);
        nc.name[i] = "drive";
    }

    REQUIRE(s3_node_recover(&nc) == S3_OK);

    for (j = 0; j < b.n_stores; j++) {
        b.loop[j] = s3_sim_loop(b.sim);
        REQUIRE(s3_node_attach(&nc, b.loop[j], S3_NODE_ANY_SLOT, ++next_pid,
                               alive, &nodes[j])
                == S3_OK);

        memset(&conf, 0, sizeof(conf));
        conf.loop = b.loop[j];
        conf.n = b.n;
        conf.parity[0] = b.m;
        conf.parity[1] = s3_min(b.m, 1u);
        conf.node = 1;
        conf.seed = 42;
        conf.clock = s3_node_clock;
        conf.clock_ctx = nodes[j];

        for (i = 0; i < b.n; i++) {
            conf.drives[i] = b.drive[j][i] = s3_node_drive(nodes[j], i);
        }

        b.store[j] = s3_store_create(&conf);
        REQUIRE(b.store[j] != NULL);
    }
}


/* A clean end, or kill -9 of all, perhaps with the power gone. */

static void
stop(int clean, int power)
{
    unsigned i, j, spins;

    for (j = 0; j < b.n_stores; j++) {
        if (clean) {
            s3_store_destroy(b.store[j]);
            s3_node_quiesce(nodes[j]);

            for (spins = 0; s3_node_busy(nodes[j]); spins++) {
                REQUIRE(spins < 10000);
                s3_sim_sleep(b.sim, 10000);
            }

            s3_node_detach(nodes[j]);
        }

        s3_sim_kill(b.loop[j]);

        if (!clean) {
            s3_node_abandon(nodes[j]);
        }
    }

    for (i = 0; i < b.n && power; i++) {
        s3_memfs_crash(disks[i]);
    }

    dead_below = next_pid + 1;
}


static void
make(uint64_t seed, unsigned n, unsigned m)
{
    unsigned i;

    memset(&b, 0, sizeof(b));
    b.sim = s3_sim_create(seed);
    b.world = s3_sim_loop(b.sim);
    b.n = n;
    b.m = m;
    b.n_stores = 2;

    for (i = 0; i < n; i++) {
        disks[i] = s3_memfs_create(b.sim, i, 0);
    }

    zone_size = s3_align(s3_node_zone_min(n, SEGMENTS) + 4 * 1024 * 1024,
                         (size_t) 4096);
    zone = aligned_alloc(4096, zone_size);
    memset(zone, 0, zone_size);
    start(0);
}


static void
unmake(void)
{
    stop(1, 0);
    s3_sim_destroy(b.sim);
    free(zone);
}


static const size_t sizes[] = {0,      1,      1000,   16384,  16385,  131071,
                               131072, 131073, 262016, 262017, 500000, 1048576};
#define SIZES (sizeof(sizes) / sizeof(sizes[0]))


static s3_str_t
name_of(unsigned i)
{
    static char name[32];

    return s3_str(
        name, (size_t) snprintf(name, sizeof(name), "dir%u/%03u", i % 3, i));
}


static void
check_all(unsigned n, unsigned salt, unsigned store)
{
    unsigned i;
    uint8_t *data;

    for (i = 0; i < n; i++) {
        data = bed_data(sizes[i % SIZES], i + salt);
        CHECK_INT(bed_get(&b, store, name_of(i), data, sizes[i % SIZES]),
                  S3_OK);
        free(data);
    }
}


static void
put_all(unsigned n, unsigned salt, unsigned store)
{
    unsigned i;
    uint8_t *data;

    for (i = 0; i < n; i++) {
        data = bed_data(sizes[i % SIZES], i + salt);
        CHECK_INT(bed_put(&b, store, name_of(i), 0, data, sizes[i % SIZES], 0,
                          60000 + i),
                  S3_OK);
        free(data);
    }
}


static int
count_item(s3_list_t *list, s3_str_t key, const s3_entry_t *entry)
{
    unsigned *n = list->ctx;

    (void) key;
    (void) entry;
    n[0]++;

    return 0;
}


static void
count_done(s3_list_t *list)
{
    unsigned *n = list->ctx;

    n[1] = 1;
}


static unsigned
count(const char *delimiter, unsigned store)
{
    unsigned n[2] = {0, 0};
    s3_list_t list;

    memset(&list, 0, sizeof(list));
    list.store = b.store[store];
    list.bucket = BED_BUCKET;
    list.delimiter = s3_str(delimiter, strlen(delimiter));
    list.max = 1000;
    list.inclusive = 1;
    list.item = count_item;
    list.done = count_done;
    list.ctx = n;
    s3_store_list(&list);

    if (!n[1]) {
        REQUIRE(s3_sim_until(b.sim, (int *) &n[1]));
    }

    CHECK_INT(list.rc, S3_OK);

    return n[0];
}


static int
must_be_new(s3_put_t *put, const s3_entry_t *current)
{
    (void) put;

    return current ? S3_EPRECOND : S3_OK;
}


static void
test_life(uint64_t seed, unsigned n, unsigned m)
{
    unsigned i, round;
    s3_put_t put;

    make(seed, n, m);
    put_all(30, 0, 0);
    check_all(30, 0, 1);
    CHECK_INT(count("", 1), 30);
    CHECK_INT(count("/", 0), 3);

    for (round = 1; round < 5; round++) {
        stop(round % 2, round > 2);
        start(0);
        check_all(30, round - 1, 0);
        put_all(30, round, 1);
        check_all(30, round, 0);
        CHECK_INT(count("/", 1), 3);
    }

    for (i = 0; i < 30; i += 2) {
        CHECK_INT(bed_delete(&b, i / 2 % 2, name_of(i)), S3_OK);
    }

    stop(0, 1);
    start(0);

    for (i = 0; i < 30; i += 2) {
        CHECK_INT(bed_get(&b, 0, name_of(i), NULL, 0), S3_ENOENT);

        bed_init_put(&b, 1, &put, name_of(i), S3_KIND_OBJECT);
        put.test = must_be_new;
        CHECK_INT(bed_commit(&b, &put), S3_OK);
        CHECK_INT(bed_commit(&b, &put), S3_EPRECOND);
        CHECK_INT(bed_delete(&b, 0, name_of(i)), S3_OK);
    }

    CHECK_INT(count("", 0), 15);
    unmake();
}


/* Drives missing at the start: reads decode, writes go on, and what they
 * missed comes to them. */

static void
test_missing(uint64_t seed, unsigned n, unsigned m)
{
    unsigned d;

    make(seed, n, m);
    put_all(24, 0, 0);
    s3_sim_sleep(b.sim, 2000000);

    for (d = 0; d < n; d++) {
        stop(1, 0);
        start(1u << d);
        check_all(24, d, 0);
        put_all(24, d + 1, 1);
        check_all(24, d + 1, 0);
        stop(0, 1);
        start(0);
        check_all(24, d + 1, 1);
        s3_store_heal(b.store[0], 1);
        s3_sim_sleep(b.sim, 60000000);
        s3_store_heal(b.store[0], 0);
        s3_sim_sleep(b.sim, 1000000);

        /* it has caught up: another may go */

        stop(1, 0);
        start(1u << (d + 1) % n);
        check_all(24, d + 1, 0);
    }

    unmake();
}


int
main(void)
{
    test_life(1, 4, 2);
    test_life(2, 1, 0);
    test_life(3, 3, 1);
    test_missing(4, 4, 2);
    test_missing(5, 3, 1);

    return S3_TEST_END();
}
