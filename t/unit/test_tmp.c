#include "t/unit/s3_test.h"
#include "t/unit/s3_nodebed.h"

#include "storage/s3_blob.h"

/*
 * Blobs that a process was writing when it was killed go while others work, be
 * the drive usable at that time or not; those of the living stay.
 */

S3_TEST_KILLS

#define SECOND S3_NODEBED_SECOND
#define DRIVES 2

static bed_t b;
static s3_nodebed_t nb;

/* what nobody but a cold start removes: names that are no writer's, the former
 * one among them, and a slot that no zone has */

static const char *const strange[] = {
    "tmp/probe-1",
    "tmp/0a1b2c3d4e5f708192a3b4c5d6e7f809",
    "tmp/0a1b2c3d4e5f708192a3b4c5d6e7f809.92a3b4c5d6e7f809",
    "tmp/0a1b2c3d4e5f708192a3b4c5d6e7f809.92a3b4c5d6e7f809.400000004d",
};

#define STRANGE (sizeof(strange) / sizeof(strange[0]))


static int
name_counted(void *ctx, const char *name)
{
    (void) name;
    ++*(unsigned *) ctx;

    return S3_OK;
}


static unsigned
count(unsigned d, const char *dir)
{
    unsigned n = 0;
    s3_fs_t *fs = s3_memfs_fs(nb.disks[d]);
    int rc = fs->list(fs, dir, name_counted, &n);

    CHECK(rc == S3_OK || rc == S3_ENOENT);

    return n;
}


static void
make_file(unsigned d, const char *path)
{
    s3_file_t *f;
    s3_fs_t *fs = s3_memfs_fs(nb.disks[d]);

    REQUIRE(fs->open(fs, path, S3_O_WRITE | S3_O_CREATE, &f) == S3_OK);
    fs->close(fs, f);
}


static void
make(uint64_t seed)
{
    s3_nodebed_init(&nb, &b, seed, DRIVES, 1, 1024 * 1024);
    s3_nodebed_start(&nb, 0);
    s3_sim_sleep(b.sim, SECOND);
}


static void
unmake(void)
{
    s3_nodebed_stop(&nb, 0);
    s3_nodebed_free(&nb);
}


typedef struct {
    s3_blob_req_t req;
    int done;
} writer_t;


static void
writer_done(s3_req_t *req)
{
    s3_blob_req_t *blob = s3_container(req, s3_blob_req_t, req);

    s3_container(blob, writer_t, req)->done = 1;
}


/* Process j begins a blob on drive d. */

static void
open_blob(writer_t *w, unsigned j, unsigned d, uint8_t id)
{
    s3_drive_t *drive = b.drive[j][d];

    memset(w, 0, sizeof(*w));
    memset(w->req.id, id, 16);
    w->req.size = 8 * 4096;
    w->req.req.done = writer_done;
    drive->ops->blob_create(drive, &w->req);
    REQUIRE(s3_sim_until(b.sim, &w->done));
    REQUIRE(w->req.req.rc == S3_OK);
}


static void
finish_blob(writer_t *w, unsigned j, unsigned d)
{
    s3_drive_t *drive = b.drive[j][d];

    w->done = 0;
    drive->ops->blob_finish(drive, &w->req);
    REQUIRE(s3_sim_until(b.sim, &w->done));
    CHECK_INT(w->req.req.rc, S3_OK);
}


/* The other one goes on with its own, whoever looks after the drives. */

static void
test_killed(uint64_t seed, unsigned dies)
{
    unsigned d, i, other = !dies;
    writer_t w[DRIVES], left[DRIVES];

    make(seed);

    for (d = 0; d < DRIVES; d++) {
        for (i = 0; i < STRANGE; i++) {
            make_file(d, strange[i]);
        }

        open_blob(&w[d], other, d, 1);
        open_blob(&left[d], dies, d, 2);
        CHECK_INT(count(d, "tmp"), STRANGE + 2);
    }

    /* the living keep what they write for as long as it takes */
    s3_sim_sleep(b.sim, 150 * SECOND);

    for (d = 0; d < DRIVES; d++) {
        CHECK_INT(count(d, "tmp"), STRANGE + 2);
    }

    s3_nodebed_kill(&nb, dies);
    s3_sim_sleep(b.sim, 5 * SECOND);

    for (d = 0; d < DRIVES; d++) {
        CHECK_INT(count(d, "tmp"), STRANGE + 1);
        finish_blob(&w[d], other, d);
        CHECK_INT(count(d, "tmp"), STRANGE);
        CHECK_INT(count(d, "blob/01"), 1);
    }

    s3_nodebed_stop(&nb, 0);
    s3_nodebed_start(&nb, 0);

    for (d = 0; d < DRIVES; d++) {
        CHECK_INT(count(d, "tmp"), 0);
    }

    unmake();
}


/* Nothing can be done when the process dies, but later. */

static void
test_unusable(uint64_t seed, unsigned dies, s3_drive_state_t state)
{
    writer_t left;
    s3_zdrive_t *zd;

    make(seed);
    zd = &nb.zone->drives[0];
    open_blob(&left, dies, 0, 2);

    if (state == S3_DRIVE_HUNG) {
        s3_memfs_set_hung(nb.disks[0], 1);
    }

    __atomic_store_n(&zd->state, state, __ATOMIC_RELEASE);
    s3_nodebed_kill(&nb, dies);
    s3_sim_sleep(b.sim, 5 * SECOND);
    CHECK_INT(count(0, "tmp"), 1);

    if (state == S3_DRIVE_HUNG) {
        s3_memfs_set_hung(nb.disks[0], 0);
        __atomic_add_fetch(&zd->arrivals, 1, __ATOMIC_ACQ_REL);
    }

    __atomic_store_n(&zd->state, S3_DRIVE_OK, __ATOMIC_RELEASE);
    s3_sim_sleep(b.sim, 5 * SECOND);
    CHECK_INT(count(0, "tmp"), 0);

    unmake();
}


/* A look that fails is repeated, and so is one that found nothing yet: a file
 * of which nobody is told, for its process has left as it should. */

static void
test_again(uint64_t seed)
{
    writer_t left;

    make(seed);
    make_file(0, "tmp/0a1b2c3d4e5f708192a3b4c5d6e7f809.92a3b4c5d6e7f809."
                 "090000004d");
    s3_sim_sleep(b.sim, 61 * SECOND);
    CHECK_INT(count(0, "tmp"), 0);

    open_blob(&left, 1, 0, 2);
    s3_sim_fault_rate(b.sim, 0, S3_FAULT_EIO, 1000000);
    s3_nodebed_kill(&nb, 1);
    s3_sim_sleep(b.sim, 5 * SECOND);
    s3_sim_fault_clear(b.sim);
    CHECK_INT(count(0, "tmp"), 1);
    s3_sim_sleep(b.sim, 61 * SECOND);
    CHECK_INT(count(0, "tmp"), 0);

    unmake();
}


int
main(void)
{
    unsigned i;

    for (i = 0; i < 6; i++) {
        test_killed(1 + i, i & 1);
        test_unusable(100 + i, i & 1, S3_DRIVE_HUNG);
        test_unusable(200 + i, i & 1, S3_DRIVE_READONLY);
        test_again(300 + i);
    }

    return S3_TEST_END();
}
