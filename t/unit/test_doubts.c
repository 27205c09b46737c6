#include "t/unit/s3_test.h"
#include "t/unit/s3_nodebed.h"
#include "storage/s3_index.h"


/*
 * Versions whose writer is killed at any turn of its loop, and which nobody
 * asks for: somebody decides them within seconds.
 */

S3_TEST_KILLS

#define SECOND S3_NODEBED_SECOND
#define SOON (4 * SECOND)

static bed_t b;
static s3_nodebed_t nb;
static uint8_t *data;


static void
make(uint64_t seed)
{
    s3_nodebed_init(&nb, &b, seed, 4, 2, 1024 * 1024);
    s3_nodebed_start(&nb, 0);

    CHECK_INT(bed_put_bucket(&b), S3_OK);
    CHECK_INT(bed_put(&b, 0, s3_string("key"), 0, data, 100, 0, 100), S3_OK);
    s3_sim_sleep(b.sim, 2 * SECOND);
}


static void
end(int healing)
{
    if (healing) {
        s3_store_heal(b.store[1], 0);
        s3_sim_sleep(b.sim, SECOND);
    }

    s3_nodebed_stop(&nb, 0);
    s3_nodebed_free(&nb);
}


static void
flag_read(s3_req_t *req)
{
    *(int *) req->ctx = 1;
}


/* Drives where the newest version of the key is not confirmed. */

static uint32_t
in_doubt(unsigned store)
{
    int flag;
    unsigned d;
    uint32_t found;
    const s3_entry_t *top;
    s3_drive_t *drive;
    s3_lookup_t lookup;

    found = 0;

    for (d = 0; d < b.n; d++) {
        drive = b.drive[store][d];
        flag = 0;
        memset(&lookup, 0, sizeof(lookup));
        lookup.req.done = flag_read;
        lookup.req.ctx = &flag;
        lookup.bucket = BED_BUCKET;
        lookup.key = s3_string("key");
        drive->ops->read(drive, &lookup);
        REQUIRE(flag || s3_sim_until(b.sim, &flag));
        CHECK_INT(lookup.req.rc, S3_OK);

        top = s3_entry_top(lookup.entries, lookup.n);

        if (top && !(top->flags & S3_F_CONFIRMED)) {
            found |= 1u << d;
        }

        s3_lookup_release(&lookup);
    }

    return found;
}


static void
flag_put(s3_put_t *put)
{
    *(int *) put->ctx = 1;
}


/* Process 0 is killed `turns` turns after it began to write the key.  0: it
 * has its answer by then. */

static int
killed(unsigned turns, s3_kind_t kind)
{
    int flag = 0;
    s3_writer_t *w;
    static s3_put_t put; /* the dead keep it */

    w = NULL;

    if (kind == S3_KIND_OBJECT) {
        w = bed_write(&b, 0, s3_string("key"), 0, data, 200, 200, 0, 200);
    }

    bed_init_put(&b, 0, &put, s3_string("key"), kind);
    put.writer = w;
    put.done = flag_put;
    put.ctx = &flag;
    s3_store_put(&put);

    while (turns-- && !flag) {
        s3_sim_step(b.sim);
    }

    s3_nodebed_kill(&nb, 0);

    return !flag;
}


/* Returns how often doubt was left. */

static unsigned
kill_at_all(s3_kind_t kind, int healing)
{
    int more;
    unsigned turns, left;

    left = 0;

    for (turns = 0, more = 1; more; turns++) {
        make(turns + 1);

        if (healing) {
            s3_store_heal(b.store[1], 1);
        }

        more = killed(turns, kind);
        s3_sim_sleep(b.sim, SOON);
        left += in_doubt(1) != 0;
        end(healing);
    }

    CHECK(turns > 2);
    return left;
}


static void
test_killed(s3_kind_t kind)
{
    CHECK(kill_at_all(kind, 0) > 0);
    CHECK_INT(kill_at_all(kind, 1), 0);
}


/* All are killed and started again: what was in doubt has no writer. */

static void
test_started(void)
{
    unsigned turns, before;

    before = 0;

    for (turns = 0; turns < 12; turns++) {
        make(100 + turns);
        (void) killed(turns, S3_KIND_TOMBSTONE);
        s3_nodebed_stop(&nb, S3_NODEBED_KILL);
        s3_nodebed_start(&nb, 0);
        before += in_doubt(1) != 0;
        s3_store_heal(b.store[1], 1);
        s3_sim_sleep(b.sim, SOON);
        CHECK_INT(in_doubt(1), 0);
        end(1);
    }

    CHECK(before > 0);
}


/* Too few drives to decide it: a minute after they are back. */

static void
test_drives(void)
{
    unsigned turns, waited;

    waited = 0;

    for (turns = 0; turns < 12; turns++) {
        make(200 + turns);
        s3_store_heal(b.store[1], 1);
        (void) killed(turns, S3_KIND_TOMBSTONE);

        s3_memfs_set_hung(nb.disks[2], 1);
        s3_memfs_set_hung(nb.disks[3], 1);
        s3_sim_sleep(b.sim, 30 * SECOND);
        waited += in_doubt(1) != 0;

        s3_memfs_set_hung(nb.disks[2], 0);
        s3_memfs_set_hung(nb.disks[3], 0);
        s3_sim_sleep(b.sim, 60 * SECOND + SOON);
        CHECK_INT(in_doubt(1), 0);
        end(1);
    }

    CHECK(waited > 0);
}


int
main(void)
{
    data = bed_data(200, 1);

    test_killed(S3_KIND_OBJECT);
    test_killed(S3_KIND_TOMBSTONE);
    test_started();
    test_drives();

    free(data);

    return S3_TEST_END();
}
