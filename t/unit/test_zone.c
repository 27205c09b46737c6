/*
 * The zone: slots of processes that died, what they left on a drive that their
 * settler could not use, places for segments.
 */

#include "storage/s3_memtable.h"
#include "s3_nodebed.h"
#include "s3_test.h"

#define BUCKET 1024


static s3_nodebed_t nb;


static void
world(unsigned n)
{
    s3_nodebed_init(&nb, NULL, 7, n, n > 1 ? 1 : 0, 64 * 1024);
}


/* A slot that nothing but its word says anything of is settled, too. */

static void
test_slots(void)
{
    unsigned got, i;
    s3_zone_t *z;

    world(1);
    nb.killed = 77;
    s3_nodebed_up(&nb, 0);

    z = nb.zone;
    REQUIRE(s3_zone_proc_join(z, 5, 77, &got) == S3_OK);
    CHECK_INT(got, 5);
    z->procs[5].pid = 0;
    z->procs[5].incarnation = 0;
    CHECK(s3_zone_proc_dead(z, 5, s3_nodebed_alive, &nb));
    CHECK(
        !s3_zone_proc_dead(z, s3_node_slot(nb.node[0]), s3_nodebed_alive, &nb));

    for (i = 0; i < 40 && s3_zone_proc_state(z, 5) != S3_PROC_FREE; i++) {
        s3_sim_sleep(nb.sim, 100000);
    }

    CHECK_INT(s3_zone_proc_state(z, 5), S3_PROC_FREE);
    s3_nodebed_down(&nb);
    s3_nodebed_free(&nb);
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

    world(1);
    s3_nodebed_up(&nb, 0);
    z = nb.zone;

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
    s3_sim_sleep(nb.sim, 1000000);
    CHECK_INT(s3_memnode_state(n), S3_MEM_PENDING);

    nb.killed = 78;
    REQUIRE(s3_zone_proc_settle(z, 9, s3_node_slot(nb.node[0]),
                                s3_nodebed_alive, &nb));
    z->drives[0].orphans++;
    s3_sim_sleep(nb.sim, 1000000);
    CHECK_INT(s3_memnode_state(n), S3_MEM_PENDING); /* it is not over yet */
    CHECK_INT(z->drives[0].orphans, 1);

    s3_zone_proc_leave(z, 9);

    for (i = 0; i < 40 && z->drives[0].orphans; i++) {
        s3_sim_sleep(nb.sim, 100000);
    }

    CHECK_INT(z->drives[0].orphans, 0);
    CHECK_INT(s3_memnode_state(n), S3_MEM_REMOVED);
    s3_nodebed_down(&nb);
    s3_nodebed_free(&nb);
}


/* Places for segments: by the size of the drive, as the zone has room. */

static void
test_registry(void)
{
    s3_zone_t *z;

    world(1);
    s3_nodebed_zone(&nb, s3_node_zone_min(1, 0) + 4 * 1024 * 1024);
    z = nb.zone;

    s3_nodebed_drives(&nb, 0);
    nb.nc.max_segments = 0;

    s3_memfs_set_capacity(nb.disks[0], 9000 * nb.nc.segment_size);
    REQUIRE(s3_nodebed_recover(&nb) == S3_OK);
    CHECK_INT(z->max_segments, 9000);

    s3_memfs_set_capacity(nb.disks[0], 1ULL << 44);
    REQUIRE(s3_nodebed_recover(&nb) == S3_OK);
    CHECK(z->max_segments > 20000);
    CHECK(z->arena_size >= 256 * 1024);

    nb.nc.zone_size = s3_node_zone_min(1, 0);
    REQUIRE(s3_nodebed_recover(&nb) == S3_OK);
    CHECK_INT(z->max_segments, S3_ZONE_SEGMENTS);

    s3_nodebed_free(&nb);
}


/* Segments find a place again wherever they were. */

static void
test_places(void)
{
    unsigned i, n;
    uint32_t id;
    s3_zone_t *z;
    const unsigned all = 64;

    world(1);
    s3_nodebed_up(&nb, 0);
    s3_nodebed_down(&nb);
    z = nb.zone;
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
    s3_nodebed_free(&nb);
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
