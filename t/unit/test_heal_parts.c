#include "t/unit/s3_test.h"
#include "t/unit/s3_nodebed.h"
#include "storage/s3_blob.h"
#include "storage/s3_commit.h"
#include "storage/s3_upload.h"


/*
 * Objects of many parts that were written while a drive was away.  There is a
 * note for each part, and the object is read and written about once.
 */

S3_TEST_KILLS


#define SECOND S3_NODEBED_SECOND
#define HOUR (3600 * SECOND)
#define PARTS 24
#define PART_SIZE 300000 /* two stripes of two shards each */
#define WHOLE (PARTS * PART_SIZE)
#define SHARD (2 * PARTS) /* units of the object on a drive */
#define KEY s3_string("dir/object")
#define ID s3_string("0123456789abcdef0123456789abcdef")
#define AWAY 3u

static bed_t b;
static s3_nodebed_t nb;
static s3_ref_t refs[PARTS];
static uint8_t *data;


/* What the first store asks its drives for. */

static s3_drive_ops_t ops;
static const s3_drive_ops_t *real;
static unsigned reads, writes;
static uint32_t broken; /* drives that do not take blobs */


static void
count_read(s3_drive_t *d, s3_unit_t *unit)
{
    reads++;
    real->blob_read(d, unit);
}


static void
count_write(s3_drive_t *d, s3_unit_t *unit)
{
    writes++;

    if (broken & s3_bit(d->index)) {
        unit->req.rc = S3_EIO;
        unit->req.done(&unit->req);
        return;
    }

    real->blob_write(d, unit);
}


static void
count(void)
{
    unsigned i;

    reads = writes = 0;
    real = b.drive[0][0]->ops;
    ops = *real;
    ops.blob_read = count_read;
    ops.blob_write = count_write;

    for (i = 0; i < b.n; i++) {
        b.drive[0][i]->ops = &ops;
    }
}


static void
start(uint32_t missing)
{
    s3_nodebed_start(&nb, missing);
    count();
}


static void
make(uint64_t seed, uint32_t missing)
{
    s3_nodebed_init(&nb, &b, seed, 4, 2, 1024 * 1024);
    data = bed_data(WHOLE, 7);
    start(0);
    CHECK_INT(bed_put_bucket(&b), S3_OK);
    s3_nodebed_quit(&nb);
    start(missing);
}


static void
unmake(void)
{
    s3_nodebed_quit(&nb);
    s3_nodebed_free(&nb);
    free(data);
}


static s3_heal_stats_t
stats(void)
{
    s3_heal_stats_t st;

    s3_store_heal_stats(b.store[0], &st);

    return st;
}


static int64_t
pending(unsigned d)
{
    s3_drive_stats_t *st = &nb.zone->drives[d].stats;

    return (int64_t) (st->noted - st->worked);
}


static s3_str_t
part_key(unsigned i)
{
    static uint8_t key[S3_MAX_KEY];

    return s3_upload_part_key(key, KEY, ID, i + 1,
                              (const uint8_t *) "tag tag ");
}


static s3_writer_t *
write_part(unsigned i)
{
    s3_writer_t *w;

    w = bed_write(&b, 0, KEY, 0, data + (size_t) i * PART_SIZE, PART_SIZE, -1,
                  S3_WRITER_BLOB, 60000);
    REQUIRE(w->rc == S3_OK);
    refs[i] = w->ref;

    return w;
}


static void
put_part(unsigned i)
{
    s3_put_t put;
    s3_writer_t *w = write_part(i);

    bed_init_put(&b, 0, &put, part_key(i), S3_KIND_OBJECT);
    put.bucket = BED_BUCKET + S3_SPACE_PARTS;
    put.writer = w;
    REQUIRE(s3_upload_part_set(&put.entry, &refs[i], s3_string("digest"))
            == S3_OK);
    CHECK_INT(bed_commit(&b, &put), S3_OK);
    s3_writer_close(w);
}


static void
remove_part(unsigned i)
{
    s3_put_t put;

    bed_init_put(&b, 0, &put, part_key(i), S3_KIND_TOMBSTONE);
    put.bucket = BED_BUCKET + S3_SPACE_PARTS;
    put.entry.flags = S3_F_KEEP;
    CHECK_INT(bed_commit(&b, &put), S3_OK);
}


static void
put_object(unsigned n, uint32_t lack)
{
    s3_put_t put;

    bed_init_put(&b, 0, &put, KEY, S3_KIND_OBJECT);
    put.refs = refs;
    put.n_refs = n;
    put.lack = lack;
    put.entry.etag_parts = (uint16_t) n;
    CHECK_INT(bed_commit(&b, &put), S3_OK);
}


/* An upload that is completed as s3_upload.h has it. */

static void
upload(void)
{
    unsigned i;

    for (i = 0; i < PARTS; i++) {
        put_part(i);
    }

    put_object(PARTS, 0);

    for (i = 0; i < PARTS; i++) {
        remove_part(i);
    }
}


static void
come_back(void)
{
    s3_nodebed_quit(&nb);
    start(0);
}


static void
check_healed(void)
{
    unsigned i;

    for (i = 0; i < b.n; i++) {
        CHECK_INT(pending(i), 0);
    }
}


static void
check_any_two(size_t size)
{
    uint32_t mask;

    for (mask = 1; mask < 16; mask++) {
        if (s3_count(mask) == 2) {
            s3_nodebed_quit(&nb);
            start(mask);
            CHECK_INT(bed_get(&b, 1, KEY, data, size), S3_OK);
        }
    }
}


/* Read by two shards, written to four drives, one shard looked through. */

static void
check_once(void)
{
    CHECK(reads <= 2 * SHARD + SHARD + 8);
    CHECK(writes <= 4 * SHARD);
    CHECK_INT(stats().recoded, 1);
    CHECK_INT(stats().failed, 0);
}


static void
unnote_object(void)
{
    s3_unnote(b.store[0], AWAY, b.store[0]->all, BED_BUCKET, KEY,
              &s3_version_last);
    s3_sim_sleep(b.sim, SECOND);
}


/* own: the object has a note of its own. */

static void
test_once(uint64_t seed, int own)
{
    make(seed, s3_bit(AWAY));
    upload();
    CHECK(pending(AWAY) > PARTS);

    if (!own) {
        unnote_object();
    }

    come_back();
    s3_nodebed_heal(&nb, 60 * SECOND);
    check_healed();
    check_once();
    check_any_two(WHOLE);
    unmake();
}


/* The object can't be written again: that is tried once in each pass, and the
 * notes stay. */

static void
test_failing(uint64_t seed)
{
    make(seed, s3_bit(AWAY));
    upload();
    come_back();
    broken = s3_bit(AWAY);
    s3_nodebed_heal(&nb, 3 * SECOND);
    CHECK(stats().failed >= PARTS);
    CHECK_INT(stats().recoded, 0);
    CHECK(pending(AWAY) >= PARTS);
    CHECK(reads > 0 && reads <= 2 * SHARD + SHARD);
    CHECK(writes <= 4 * SHARD);

    broken = 0;
    s3_nodebed_heal(&nb, 60 * SECOND);
    CHECK_INT(stats().recoded, 1);
    check_healed();
    check_any_two(WHOLE);
    unmake();
}


/* Until some of it is written again, not all. */

static void
heal_half(void)
{
    unsigned i;

    s3_store_heal(b.store[0], 1);

    for (i = 0; i < 100000 && writes < SHARD; i++) {
        s3_sim_sleep(b.sim, 100);
    }

    CHECK(writes >= SHARD && writes < 3 * SHARD);
}


/* Writing again takes too long: it stays as it is, for good. */

static void
test_slow(uint64_t seed)
{
    make(seed, s3_bit(AWAY));
    upload();
    come_back();
    heal_half();
    s3_sim_jump(b.sim, 13 * HOUR);
    s3_nodebed_heal(&nb, 60 * SECOND);
    CHECK_INT(stats().recoded, 0);
    CHECK_INT(stats().failed, 0);
    CHECK(writes < 4 * SHARD);
    check_healed();
    CHECK_INT(bed_get(&b, 1, KEY, data, WHOLE), S3_OK);

    s3_nodebed_quit(&nb);
    start(s3_bit(0));
    CHECK_INT(bed_get(&b, 1, KEY, data, WHOLE), S3_OK);
    unmake();
}


static void
lose_shard(const s3_ref_t *ref, unsigned drive)
{
    char path[S3_BLOB_PATH];
    s3_fs_t *fs = s3_memfs_fs(nb.disks[drive]);

    s3_blob_path(path, ref->id);
    CHECK_INT(fs->unlink(fs, path), S3_OK);
}


/* One part was written without the drive, and is written again; the other one
 * has lost its shard there on the way, and stays. */

static void
test_mixed(uint64_t seed)
{
    s3_writer_t *w[2];

    make(seed, s3_bit(AWAY));
    w[0] = write_part(0);
    s3_writer_pin(w[0]);
    s3_writer_unpin(w[0], 1);
    s3_writer_close(w[0]);
    come_back();
    w[1] = write_part(1);
    s3_writer_pin(w[1]);
    lose_shard(&refs[1], AWAY);
    put_object(2, s3_bit(AWAY));
    s3_writer_unpin(w[1], 1);
    s3_writer_close(w[1]);
    s3_nodebed_heal(&nb, 60 * SECOND);
    CHECK_INT(stats().recoded, 1);
    CHECK(stats().rebuilt >= 1);
    check_healed();
    check_any_two(2 * PART_SIZE);
    unmake();
}


/* The object is replaced by another upload while it is written again. */

static void
test_again(uint64_t seed)
{
    make(seed, s3_bit(AWAY));
    upload();
    come_back();
    heal_half();
    free(data);
    data = bed_data(WHOLE, 8);
    upload();
    s3_nodebed_heal(&nb, 60 * SECOND);
    check_healed();
    check_any_two(WHOLE);
    unmake();
}


/* The store goes while notes of parts wait for one that is at their object. */

static void
test_stop(uint64_t seed)
{
    make(seed, s3_bit(AWAY));
    upload();
    unnote_object();
    come_back();
    heal_half();
    s3_nodebed_stop(&nb, 0);
    start(0);
    s3_nodebed_heal(&nb, 60 * SECOND);
    check_healed();
    check_once();
    check_any_two(WHOLE);
    unmake();
}


int
main(void)
{
    test_once(1, 1);
    test_once(2, 0);
    test_failing(3);
    test_slow(4);
    test_mixed(5);
    test_again(6);
    test_stop(7);

    return S3_TEST_END();
}
