#include "t/unit/s3_test.h"
#include "t/unit/s3_nodebed.h"
#include "storage/s3_manifest.h"
#include "storage/s3_segment.h"


/*
 * Drives that have lost records of what they had voted for: older copies of
 * themselves, and a segment of the log that is gone.  Whatever is away at that
 * time, and however often all is started anew, they get what the others have,
 * and until then their answers do not count.
 */

S3_TEST_KILLS


#define SECOND S3_NODEBED_SECOND
#define KEYS 40
#define LEN 100000 /* in the log */

static bed_t b;
static s3_nodebed_t nb;


static void
make(uint64_t seed, unsigned n, unsigned m)
{
    s3_nodebed_init(&nb, &b, seed, n, m, 1024 * 1024);
    nb.nc.partial = 1;
    s3_nodebed_start(&nb, 0);
}


/* Ends, and starts with these missing. */

static void
again(uint32_t missing)
{
    s3_nodebed_quit(&nb);
    s3_nodebed_start(&nb, missing);
}


/* A drive comes, for both processes. */

static void
come(unsigned d)
{
    CHECK_INT(s3_nodebed_come(&nb, 0, d, 0), S3_OK);
    CHECK_INT(s3_nodebed_come(&nb, 1, d, 0), S3_OK);
}


static s3_str_t
key_of(unsigned i)
{
    static char text[16];

    return s3_str(text, (size_t) snprintf(text, sizeof(text), "k%03u", i));
}


static void
put_all(unsigned salt)
{
    unsigned i;
    uint8_t *data;

    CHECK_INT(bed_put_bucket(&b), S3_OK);

    for (i = 0; i < KEYS; i++) {
        data = bed_data(LEN, i + salt);
        CHECK_INT(bed_put(&b, 0, key_of(i), 0, data, LEN, 0, 60000), S3_OK);
        free(data);
    }
}


static void
get_all(unsigned salt)
{
    unsigned i;
    uint8_t *data;

    for (i = 0; i < KEYS; i++) {
        data = bed_data(LEN, i + salt);
        CHECK_INT(bed_get(&b, 0, key_of(i), data, LEN), S3_OK);
        free(data);
    }
}


static int
lost(unsigned d)
{
    return nb.zone->drives[d].lost == S3_ZLOST_RECORDS;
}


/* What the first drive has is whole: all is there without two of the others. */

static void
check_first(unsigned salt)
{
    CHECK_INT(s3_nodebed_state(&nb, 0), S3_DRIVE_OK);
    CHECK_INT(nb.zone->drives[0].lost, S3_ZLOST_NONE);
    get_all(salt);
    again(0);
    CHECK_INT(s3_nodebed_state(&nb, 0), S3_DRIVE_OK);
    CHECK_INT(nb.zone->drives[0].lost, S3_ZLOST_NONE);
    again(0x6);
    get_all(salt);
}


/* It was put back as it was before all was written once more; what shows it are
 * the MANIFESTs of the others. */

static void
first_is_older(uint64_t seed)
{
    unsigned i;
    s3_memfs_t *old;

    make(seed, 4, 2);
    put_all(0);
    s3_nodebed_quit(&nb);
    old = s3_nodebed_copy(&nb, 0);
    s3_nodebed_start(&nb, 0);
    put_all(7);

    for (i = 0; i < 2; i++) {
        again(0);
    }

    s3_nodebed_quit(&nb);
    nb.disks[0] = old;
}


static void
test_older(void)
{
    first_is_older(23);
    s3_nodebed_start(&nb, 0xe);
    CHECK_INT(s3_nodebed_state(&nb, 0), S3_DRIVE_OK);
    come(1);
    CHECK(lost(0));
    come(2);
    s3_sim_sleep(b.sim, 20 * SECOND);
    CHECK_INT(s3_nodebed_state(&nb, 0), S3_DRIVE_REFILLING);
    come(3);
    s3_nodebed_heal(&nb, 60 * SECOND);
    check_first(7);
    s3_nodebed_quit(&nb);
    s3_nodebed_free(&nb);
}


/* All ends before enough of the others are there, and when it starts again there
 * is nothing left that shows it but what the drive says of itself. */

static void
test_older_restart(uint64_t seed)
{
    s3_manifest_t m;

    first_is_older(seed);
    s3_nodebed_start(&nb, 0xe);
    CHECK_INT(s3_nodebed_come(&nb, 0, 1, 0), S3_OK);
    s3_sim_sleep(b.sim, 20 * SECOND);
    CHECK_INT(s3_nodebed_state(&nb, 0), S3_DRIVE_OK);

    again(0xc);
    CHECK(lost(0));
    CHECK_INT(s3_manifest_load(s3_memfs_fs(nb.disks[0]), &m), S3_OK);
    CHECK(m.lost);
    s3_manifest_free(&m);

    come(2);
    s3_sim_sleep(b.sim, 12 * SECOND);
    CHECK_INT(s3_nodebed_state(&nb, 0), S3_DRIVE_REFILLING);
    come(3);
    s3_nodebed_heal(&nb, 120 * SECOND);
    check_first(7);

    CHECK_INT(s3_manifest_load(s3_memfs_fs(nb.disks[0]), &m), S3_OK);
    CHECK(!m.lost);
    s3_manifest_free(&m);
    s3_nodebed_quit(&nb);
    s3_nodebed_free(&nb);
}


/* A segment is gone whose records are in a table: the index lists what the
 * drive cannot read. */

static void
test_segment(uint64_t seed, int late)
{
    unsigned i;
    char path[S3_SEGMENT_PATH];
    s3_fs_t *fs;
    s3_zseg_t *s, *most = NULL;

    make(seed, 4, 2);
    put_all(0);
    again(0);

    for (i = 0; i < nb.zone->max_segments; i++) {
        s = &s3_zone_segments(nb.zone, 0)[i];

        if (s->id && s->state == S3_SEG_SEALED
            && (most == NULL || s->live > most->live))
        {
            most = s;
        }
    }

    REQUIRE(most);
    s3_segment_path(path, most->id);
    s3_nodebed_quit(&nb);
    fs = s3_memfs_fs(nb.disks[0]);
    CHECK_INT(fs->unlink(fs, path), S3_OK);

    if (late) {
        /* twice, with too few to fill it */
        s3_nodebed_start(&nb, 0xc);
        CHECK(lost(0));
        again(0xc);
        CHECK(lost(0));
        again(0);

    } else {
        s3_nodebed_start(&nb, 0);
    }

    CHECK_INT(s3_nodebed_state(&nb, 0), S3_DRIVE_REFILLING);
    s3_nodebed_heal(&nb, 120 * SECOND);
    check_first(0);
    s3_nodebed_quit(&nb);
    s3_nodebed_free(&nb);
}


/* Two are found at the same moment, and the third can fill but one of them: the
 * other one has to count meanwhile, or there is no quorum to fill it from. */

static void
test_two(uint64_t seed)
{
    unsigned i, refilling;
    s3_memfs_t *old[2];

    make(seed, 3, 1);
    put_all(0);
    s3_nodebed_quit(&nb);
    old[0] = s3_nodebed_copy(&nb, 0);
    old[1] = s3_nodebed_copy(&nb, 1);

    for (i = 0; i < 3; i++) { /* nothing is written, MANIFESTs go on */
        s3_nodebed_start(&nb, 0);
        s3_nodebed_quit(&nb);
    }

    nb.disks[0] = old[0];
    nb.disks[1] = old[1];
    s3_nodebed_start(&nb, 0x4);
    come(2);
    CHECK(lost(0) && lost(1));

    for (i = 0; i < 60; i++) {
        s3_sim_sleep(b.sim, SECOND / 4);
        refilling = (s3_nodebed_state(&nb, 0) == S3_DRIVE_REFILLING)
                    + (s3_nodebed_state(&nb, 1) == S3_DRIVE_REFILLING);
        CHECK(refilling < 2);
    }

    get_all(0);
    s3_nodebed_heal(&nb, 120 * SECOND);

    for (i = 0; i < 3; i++) {
        CHECK_INT(s3_nodebed_state(&nb, i), S3_DRIVE_OK);
        CHECK_INT(nb.zone->drives[i].lost, S3_ZLOST_NONE);
    }

    get_all(0);
    s3_nodebed_quit(&nb);
    s3_nodebed_free(&nb);
}


int
main(void)
{
    uint64_t seed;

    test_older();
    test_older_restart(5);
    test_older_restart(6);
    test_segment(5, 0);
    test_segment(6, 1);

    for (seed = 1; seed <= 6; seed++) {
        test_two(seed);
    }

    return S3_TEST_END();
}
