/*
 * The zone: slots of processes that died, what they left on a drive that their
 * settler could not use, places for segments.
 */

#include "storage/s3_node.h"
#include "storage/s3_memtable.h"
#include "storage/s3_zone.h"
#include "s3_memfs.h"
#include "s3_test.h"

#define DRIVES 1
#define BUCKET 1024


static s3_sim_t *sim;
static s3_memfs_t *disks[DRIVES];
static s3_loop_t *loop;
static s3_node_t *node;
static void *zone;
static size_t zone_size;
static int64_t killed; /* pid */


static uint64_t
wall(void *ctx)
{
    (void) ctx;
    return 1700000000000000ULL + s3_sim_now(sim);
}


static void
fill(void *ctx, void *buf, size_t len)
{
    size_t i;

    (void) ctx;

    for (i = 0; i < len; i++) {
        ((uint8_t *) buf)[i] = (uint8_t) s3_sim_random(sim, 256);
    }
}


static int
alive(void *ctx, int64_t pid)
{
    (void) ctx;
    return pid > 0 && pid != killed;
}


static void
conf_init(s3_node_conf_t *conf, unsigned n)
{
    unsigned i;

    memset(conf, 0, sizeof(*conf));
    conf->n = n;

    for (i = 0; i < n; i++) {
        conf->fs[i] = s3_memfs_fs(disks[i]);
    }

    conf->zone = zone;
    conf->zone_size = zone_size;
    conf->fresh = 1;
    conf->parity = n > 1 ? 1 : 0;
    conf->segment_size = 64 * 1024;
    conf->max_segments = 64;
    conf->wall_us = wall;
    conf->random = fill;
}


static void
world(unsigned n)
{
    unsigned i;

    sim = s3_sim_create(7);

    for (i = 0; i < n; i++) {
        disks[i] = s3_memfs_create(sim, i, 0);
    }

    zone_size = s3_align(s3_node_zone_min(n, 64), (size_t) 4096);
    zone = aligned_alloc(4096, zone_size);
    memset(zone, 0, zone_size);
}


static void
up(s3_node_conf_t *conf)
{
    REQUIRE(s3_node_recover(conf) == S3_OK);
    loop = s3_sim_loop(sim);
    REQUIRE(s3_node_attach(conf, loop, S3_NODE_ANY_SLOT, 1, alive, &node)
            == S3_OK);
}


static void
down(void)
{
    unsigned i;

    s3_node_quiesce(node);

    for (i = 0; s3_node_busy(node) && i < 100000; i++) {
        if (!s3_sim_step(sim)) {
            s3_sim_sleep(sim, 1000);
        }
    }

    CHECK_INT(s3_node_busy(node), 0);
    s3_node_detach(node);
    s3_sim_kill(loop);
}


static void
world_end(void)
{
    s3_sim_destroy(sim);
    free(zone);
}


/* A slot that nothing but its word says anything of is settled, too. */

static void
test_slots(void)
{
    unsigned got, i;
    s3_zone_t *z;
    s3_node_conf_t conf;

    world(1);
    conf_init(&conf, 1);
    killed = 77;
    up(&conf);

    z = zone;
    REQUIRE(s3_zone_proc_join(z, 5, 77, &got) == S3_OK);
    CHECK_INT(got, 5);
    z->procs[5].pid = 0;
    z->procs[5].incarnation = 0;
    CHECK(s3_zone_proc_dead(z, 5, alive, NULL));
    CHECK(!s3_zone_proc_dead(z, s3_node_slot(node), alive, NULL));

    for (i = 0; i < 40 && s3_zone_proc_state(z, 5) != S3_PROC_FREE; i++) {
        s3_sim_sleep(sim, 100000);
    }

    CHECK_INT(s3_zone_proc_state(z, 5), S3_PROC_FREE);
    down();
    world_end();
}


/* The settler of a dead process is without the drive that others use. */

static void
test_orphans(void)
{
    unsigned i, got;
    s3_zone_t *z;
    s3_entry_t e;
    s3_memnode_t *n;
    s3_memtable_t *t;
    s3_node_conf_t conf;

    world(1);
    conf_init(&conf, 1);
    up(&conf);
    z = zone;

    /* a process that died with a vote under way, and is settled elsewhere */
    REQUIRE(s3_zone_proc_join(z, 9, 78, &got) == S3_OK);
    t = s3_zone_arena(z, 0, z->drives[0].active);
    memset(&e, 0, sizeof(e));
    e.version = (s3_version_t){1700000000000020ULL, 1, 1};
    e.kind = S3_KIND_OBJECT;
    e.segment = 1;
    e.offset = 1 << 14;
    e.length = 64;
    n = s3_memtable_insert(t, BUCKET, s3_str("o", 1), &e, S3_MEM_PENDING, 9,
                           z->procs[9].incarnation);
    REQUIRE(n != NULL);
    s3_sim_sleep(sim, 1000000);
    CHECK_INT(s3_memnode_state(n), S3_MEM_PENDING);

    killed = 78;
    REQUIRE(s3_zone_proc_settle(z, 9, s3_node_slot(node), alive, NULL));
    z->drives[0].orphans++;
    s3_sim_sleep(sim, 1000000);
    CHECK_INT(s3_memnode_state(n), S3_MEM_PENDING); /* it is not over yet */
    CHECK_INT(z->drives[0].orphans, 1);

    s3_zone_proc_leave(z, 9);

    for (i = 0; i < 40 && z->drives[0].orphans; i++) {
        s3_sim_sleep(sim, 100000);
    }

    CHECK_INT(z->drives[0].orphans, 0);
    CHECK_INT(s3_memnode_state(n), S3_MEM_REMOVED);
    down();
    world_end();
}


/* Places for segments: by the size of the drive, as the zone has room. */

static void
test_registry(void)
{
    s3_zone_t *z;
    s3_node_conf_t conf;

    world(1);
    free(zone);
    zone_size = s3_node_zone_min(1, 0) + 4 * 1024 * 1024;
    zone = aligned_alloc(4096, zone_size);
    memset(zone, 0, zone_size);
    z = zone;

    conf_init(&conf, 1);
    conf.max_segments = 0;

    s3_memfs_set_capacity(disks[0], 9000 * conf.segment_size);
    REQUIRE(s3_node_recover(&conf) == S3_OK);
    CHECK_INT(z->max_segments, 9000);

    s3_memfs_set_capacity(disks[0], 1ULL << 44);
    REQUIRE(s3_node_recover(&conf) == S3_OK);
    CHECK(z->max_segments > 20000);
    CHECK(z->arena_size >= 256 * 1024);

    conf.zone_size = s3_node_zone_min(1, 0);
    REQUIRE(s3_node_recover(&conf) == S3_OK);
    CHECK_INT(z->max_segments, S3_ZONE_SEGMENTS);

    world_end();
}


/* Segments find a place again wherever they were. */

static void
test_places(void)
{
    unsigned i, n;
    uint32_t id;
    s3_zone_t *z;
    s3_node_conf_t conf;
    const unsigned all = 64;

    world(1);
    conf_init(&conf, 1);
    up(&conf);
    down();
    z = zone;
    n = 0;

    for (i = 0; i < all; i++) {
        n += s3_zone_segments(z, 0)[i].id != 0;
    }

    /* all of them in the same place, as far as their ids go */
    for (id = 3 + all; n < all; n++, id += all) {
        REQUIRE(s3_zone_segment_add(z, 0, id) != NULL);
    }

    while (id > 3 + all) {
        id -= all;
        CHECK(s3_zone_segment(z, 0, id) != NULL);
    }

    /* full: and no ids are spent on that */
    CHECK(s3_zone_segment_add(z, 0, id) == NULL);
    id = z->drives[0].next_segment_id;
    CHECK(s3_zone_segment_new(z, 0) == NULL);
    CHECK_INT(z->drives[0].next_segment_id, id);
    s3_zone_segments(z, 0)[17].id = 0;
    CHECK(s3_zone_segment_new(z, 0) != NULL);
    world_end();
}


int
main(void)
{
    test_slots();
    test_orphans();
    test_registry();
    test_places();

    return S3_TEST_END();
}
