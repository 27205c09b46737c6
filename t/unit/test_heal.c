#include "t/unit/s3_test.h"
#include "t/unit/s3_nodebed.h"
#include "storage/s3_bucket.h"
#include "storage/s3_blob.h"
#include "storage/s3_segment.h"
#include "storage/s3_store_int.h"
#include "storage/s3_upload.h"


/*
 * Healing over real drives in memory: after it, any m drives may be lost,
 * whatever the drives went through before.
 */

S3_TEST_KILLS


#define SECOND S3_NODEBED_SECOND
#define DAY (24 * 3600 * SECOND)

static bed_t b;
static s3_nodebed_t nb;


static void
start(uint32_t missing)
{
    s3_nodebed_start(&nb, missing);
}


static void
stop(void)
{
    s3_nodebed_quit(&nb);
}


static void
make(uint64_t seed, unsigned n, unsigned m)
{
    s3_nodebed_init(&nb, &b, seed, n, m, 1024 * 1024);
    start(0);
}


static void
unmake(void)
{
    stop();
    s3_nodebed_free(&nb);
}


static void
heal(uint64_t us)
{
    s3_nodebed_heal(&nb, us);
}


/* The objects: a bucket's record, so that walks find it, and keys of all
 * layouts; the last one has two references. */

static const size_t sizes[] = {0,      1,      16384,  16385,  131072,
                               131073, 262017, 500000, 1048576};
#define SIZES (sizeof(sizes) / sizeof(sizes[0]))
#define MULTI (2 * 700000)


static s3_str_t
name_of(unsigned i)
{
    static char name[32];

    return s3_str(name, (size_t) snprintf(name, sizeof(name), "k%03u", i));
}


static void
lose_blob(unsigned d, const uint8_t *id)
{
    char path[S3_BLOB_PATH];
    s3_fs_t *fs = s3_memfs_fs(nb.disks[d]);

    s3_blob_path(path, id);
    CHECK_INT(fs->unlink(fs, path), S3_OK);
}


/* lack: drives that have lost their shard of the first part on the way. */

static void
put_lacking(s3_str_t key, unsigned salt, uint32_t lack)
{
    uint8_t *data;
    s3_put_t put;
    s3_ref_t refs[2];
    s3_writer_t *w[2];

    data = bed_data(MULTI, salt);
    w[0] = bed_write(&b, 0, key, 0, data, 700000, -1, S3_WRITER_BLOB, 60000);
    w[1] = bed_write(&b, 0, key, 0, data + 700000, 700000, -1, S3_WRITER_BLOB,
                     60000);
    refs[0] = w[0]->ref;
    refs[1] = w[1]->ref;
    bed_init_put(&b, 0, &put, key, S3_KIND_OBJECT);
    put.refs = refs;
    put.n_refs = 2;
    put.lack = lack;
    put.entry.etag_parts = 2;
    put.entry.mtime = 12345;

    for (/* void */; lack; lack &= lack - 1) {
        lose_blob((unsigned) __builtin_ctz(lack), refs[0].id);
    }

    put.meta = s3_string("multi");
    s3_writer_pin(w[0]);
    s3_writer_pin(w[1]);
    CHECK_INT(bed_commit(&b, &put), S3_OK);
    s3_writer_unpin(w[0], 1);
    s3_writer_unpin(w[1], 1);
    s3_writer_close(w[0]);
    s3_writer_close(w[1]);
    free(data);
}


static void
put_multi(s3_str_t key, unsigned salt)
{
    put_lacking(key, salt, 0);
}


static void
put_all(unsigned salt)
{
    unsigned i;
    uint8_t *data;

    for (i = 0; i < SIZES; i++) {
        data = bed_data(sizes[i], i + salt);
        CHECK_INT(bed_put(&b, 0, name_of(i), 0, data, sizes[i], 0, 60000 + i),
                  S3_OK);
        free(data);
    }

    put_multi(s3_string("multi"), salt);
}


static void
read_by(unsigned store, unsigned salt)
{
    unsigned i;
    uint8_t *data;

    for (i = 0; i < SIZES; i++) {
        data = bed_data(sizes[i], i + salt);
        CHECK_INT(bed_get(&b, store, name_of(i), data, sizes[i]), S3_OK);
        free(data);
    }

    data = bed_data(MULTI, salt);
    CHECK_INT(bed_get(&b, store, s3_string("multi"), data, MULTI), S3_OK);
    free(data);
}


static void
check_all(unsigned salt)
{
    s3_object_t *object;

    read_by(1, salt);

    if (bed_head(&b, 0, s3_string("multi"), &object) == S3_OK) {
        CHECK_INT(object->entry.etag_parts, 2);
        CHECK_INT(object->entry.mtime, 12345);
        CHECK(s3_str_eq(object->record.meta, s3_string("multi")));
        s3_object_release(object);
    }
}


/* Any m of them away. */

static void
lose_any(unsigned salt)
{
    uint32_t mask;

    for (mask = 1; mask < 1u << b.n; mask++) {
        if ((unsigned) __builtin_popcount(mask) == b.m) {
            stop();
            start(mask);
            check_all(salt);
        }
    }

    stop();
    start(0);
}


static s3_heal_stats_t
stats(void)
{
    s3_heal_stats_t st;

    s3_store_heal_stats(b.store[0], &st);

    return st;
}


/* What is shown of a drive: keys that it lacks. */

static int64_t
pending(unsigned d)
{
    s3_zone_t *z = nb.zone;
    s3_drive_stats_t *st = &z->drives[d].stats;

    return (int64_t) (st->noted - st->worked);
}


/* Written while a drive was away: as good as any other when it is back. */

static void
test_recode(uint64_t seed, unsigned n, unsigned m)
{
    unsigned d, i;
    s3_object_t *object;
    s3_version_t was, origin;

    make(seed, n, m);
    CHECK_INT(bed_put_bucket(&b), S3_OK);

    for (d = 0; d < n; d++) {
        stop();
        start(1u << d);
        put_all(d);
        CHECK(pending(d) > (int64_t) SIZES);
        REQUIRE(bed_head(&b, 0, s3_string("multi"), &object) == S3_OK);
        was = object->entry.version;
        s3_object_release(object);

        stop();
        start(0);

        /* nobody has counted; counted, what is to be done; done */

        CHECK(pending(d) > 0);
        heal(SECOND / 2);
        CHECK(pending(d) >= (int64_t) SIZES);
        heal(60 * SECOND);

        for (i = 0; i < n; i++) {
            CHECK_INT(pending(i), 0);
        }

        /* a repair may find that recoding has just replaced the blobs */
        CHECK(stats().failed <= 2);

        if (m > 1) {
            CHECK(stats().recoded >= SIZES - 3);
            REQUIRE(bed_head(&b, 0, s3_string("multi"), &object) == S3_OK);
            CHECK(s3_version_cmp(&object->entry.version, &was) > 0);
            origin = s3_entry_origin(&object->entry);
            CHECK_INT(s3_version_cmp(&origin, &was), 0);
            s3_object_release(object);
        }

        lose_any(d);
    }

    unmake();
}


/* A new drive in the place of an old one. */

static void
test_refill(uint64_t seed, unsigned n, unsigned m)
{
    unsigned d, i;
    s3_zone_t *z;

    make(seed, n, m);
    CHECK_INT(bed_put_bucket(&b), S3_OK);
    put_all(7);

    for (i = 0; i < 3; i++) {
        CHECK_INT(bed_delete(&b, 0, s3_string("multi")), S3_OK);
        put_multi(s3_string("multi"), 7);
    }

    CHECK_INT(bed_put(&b, 0, s3_string("gone"), 0, (uint8_t *) "x", 1, 0, 9),
              S3_OK);
    CHECK_INT(bed_delete(&b, 0, s3_string("gone")), S3_OK);
    heal(5 * SECOND);

    for (d = 0; d < n; d++) {
        stop();
        nb.disks[d] = s3_memfs_create(b.sim, d, 0);
        start(0);
        z = nb.zone;
        CHECK_INT(s3_zone_state(&z->drives[d]), S3_DRIVE_REFILLING);
        check_all(7);

        if (d == 1) {
            /* restarted in the middle */
            s3_store_heal(b.store[0], 1);
            s3_sim_sleep(b.sim, SECOND + SECOND / 20);
            stop();
            start(0);
        }

        heal(30 * SECOND);
        z = nb.zone;
        CHECK_INT(s3_zone_state(&z->drives[d]), S3_DRIVE_OK);
        CHECK_INT(stats().failed, 0);
        CHECK_INT(stats().refilling, 0);

        lose_any(7);
        z = nb.zone;
        CHECK_INT(s3_zone_state(&z->drives[d]), S3_DRIVE_OK);
        CHECK_INT(bed_get(&b, 0, s3_string("gone"), NULL, 0), S3_ENOENT);
    }

    unmake();
}


/* What is written while a drive is being filled reaches it, too. */

static void
test_refill_busy(uint64_t seed)
{
    s3_zone_t *z;

    make(seed, 4, 2);
    CHECK_INT(bed_put_bucket(&b), S3_OK);
    put_all(1);
    stop();
    nb.disks[2] = s3_memfs_create(b.sim, 2, 0);
    start(0);
    put_all(2);
    heal(60 * SECOND);
    z = nb.zone;
    CHECK_INT(s3_zone_state(&z->drives[2]), S3_DRIVE_OK);
    CHECK(stats().recoded > 0);
    lose_any(2);
    unmake();
}


typedef struct {
    s3_memfs_t *disk;
    const char *dir;
    unsigned n;
} rot_t;


/* A bit in every 5000 bytes of a file. */

static int
rot_name(void *ctx, const char *name)
{
    uint64_t off;
    char path[128];
    rot_t *rot = ctx;

    snprintf(path, sizeof(path), "%s/%s", rot->dir, name);

    for (off = 4096 + 100; s3_memfs_rot(rot->disk, path, off, 3) == S3_OK;
         off += 5000)
    {
        rot->n++;
    }

    return 0;
}


static unsigned
rot_dir(unsigned drive, const char *dir)
{
    rot_t rot = {nb.disks[drive], dir, 0};
    s3_fs_t *fs = s3_memfs_fs(nb.disks[drive]);

    (void) fs->list(fs, dir, rot_name, &rot);

    return rot.n;
}


static void
test_scrub(uint64_t seed, unsigned n, unsigned m, int log)
{
    unsigned i, flips, d;
    char dir[16];

    make(seed, n, m);
    CHECK_INT(bed_put_bucket(&b), S3_OK);
    put_all(3);
    stop();

    d = (unsigned) seed % n;
    flips = 0;

    if (log) {
        /* in the log while it is in use: a start would find it */
        nb.sc.scrub_period = 60;
        start(0);
        put_all(4);
        s3_sim_sleep(b.sim, SECOND);
        flips = rot_dir(d, "log");

    } else {
        nb.sc.scrub_period = 60;
        start(0);
        check_all(3); /* the files are open then */

        for (i = 0; i < 256; i++) {
            snprintf(dir, sizeof(dir), "blob/%02x", i);
            flips += rot_dir(d, dir);
        }
    }

    CHECK(flips > 10);
    heal(200 * SECOND);

    CHECK(stats().passes >= 2);
    CHECK(stats().scrubbed > n * SIZES);
    CHECK_INT(stats().failed, 0);
    CHECK(log ? stats().damaged > 0 : stats().rebuilt >= 4);
    CHECK(stats().rebuilt < 100);
    CHECK_INT(stats().leaks, 0);

    /* nothing is left to be done, nor opened anew */
    i = (unsigned) stats().rebuilt;
    heal(200 * SECOND);
    CHECK_INT(stats().rebuilt, i);

    if (!log) {
        lose_any(3);

    } else {
        /* every pair, as they are: no start in between */
        for (i = 0; i < n; i++) {
            if (i != d) {
                nb.zone->drives[i].state = S3_DRIVE_MISSING;
                s3_sim_sleep(b.sim, SECOND);
                check_all(4);
                nb.zone->drives[i].state = S3_DRIVE_OK;
                s3_sim_sleep(b.sim, SECOND);
            }
        }
    }

    unmake();
}


/* A blob without a record, as a crash leaves it: gone when it is old, and no
 * other. */

static void
test_leaks(uint64_t seed)
{
    unsigned i;
    uint64_t used[4];
    uint8_t *data;
    s3_writer_t *w;

    make(seed, 4, 2);
    CHECK_INT(bed_put_bucket(&b), S3_OK);
    put_all(5);
    s3_sim_sleep(b.sim, SECOND);

    for (i = 0; i < 4; i++) {
        used[i] = s3_memfs_used(nb.disks[i]);
    }

    data = bed_data(500000, 99);
    w = bed_write(&b, 0, s3_string("lost"), 0, data, 500000, -1, 0, 70000);
    CHECK_INT(w->layout, S3_LAYOUT_BLOBS);
    s3_writer_pin(w);
    s3_writer_unpin(w, 1);
    s3_writer_close(w);
    free(data);

    for (i = 0; i < 4; i++) {
        CHECK(s3_memfs_used(nb.disks[i]) > used[i] + 200000);
    }

    stop();
    nb.sc.scrub_period = 3600;
    start(0);
    heal(4000 * SECOND);
    CHECK(stats().passes >= 1);
    CHECK_INT(stats().leaks, 0); /* too young */

    stop();
    s3_sim_sleep(b.sim, DAY);
    start(0);
    heal(8000 * SECOND);
    CHECK_INT(stats().leaks, 4);
    check_all(5);
    lose_any(5);
    unmake();
}


/*
 * Objects of a bucket that the drives' own lists do not have, as where they
 * missed its making: what their records list is no leak, and a new drive gets
 * it all the same.
 */

static void
test_unlisted(uint64_t seed)
{
    s3_zone_t *z;

    make(seed, 4, 2);
    put_all(6);

    stop();
    s3_sim_sleep(b.sim, 3 * DAY);
    nb.sc.scrub_period = 3600;
    start(0);
    heal(8000 * SECOND);
    CHECK(stats().passes >= 1);
    CHECK(stats().scrubbed >= 4 * (SIZES + 1));
    CHECK_INT(stats().leaks, 0);
    CHECK_INT(stats().rebuilt, 0);
    lose_any(6);

    stop();
    nb.sc.scrub_period = 0;
    nb.disks[1] = s3_memfs_create(b.sim, 1, 0);
    start(0);
    heal(30 * SECOND);
    z = nb.zone;
    CHECK_INT(s3_zone_state(&z->drives[1]), S3_DRIVE_OK);
    CHECK_INT(stats().failed, 0);
    lose_any(6);
    unmake();
}


/* A part has lost a shard on the way, and the object that it becomes is known
 * to all drives: it is made up for, without the scrub. */

static void
test_lack(uint64_t seed)
{
    uint8_t *data = bed_data(MULTI, 5);
    uint32_t mask;

    make(seed, 4, 2);
    CHECK_INT(bed_put_bucket(&b), S3_OK);
    put_lacking(s3_string("multi"), 5, 1u << 2);
    CHECK(pending(2) > 0);
    heal(30 * SECOND);
    CHECK_INT(pending(2), 0);
    CHECK(stats().rebuilt + stats().recoded > 0);

    for (mask = 1; mask < 16; mask++) {
        if (__builtin_popcount(mask) == 2) {
            stop();
            start(mask);
            CHECK_INT(bed_get(&b, 1, s3_string("multi"), data, MULTI), S3_OK);
        }
    }

    free(data);
    unmake();
}


/* One drive as it was some time ago.  `known`: others have seen a later state
 * of it, so it is filled; else nobody believes what it alone does not know. */

static void
test_older(uint64_t seed, unsigned n, unsigned m, unsigned d, int known)
{
    s3_str_t gone;
    s3_memfs_t *old;

    gone = s3_string("gone");
    make(seed, n, m);
    CHECK_INT(bed_put_bucket(&b), S3_OK);
    put_all(7);
    CHECK_INT(bed_put(&b, 0, gone, 0, (uint8_t *) "x", 1, 0, 9), S3_OK);
    heal(5 * SECOND);

    if (known) {
        stop();
        old = s3_nodebed_copy(&nb, d);
        start(0);

    } else {
        stop();
        start(0);
        old = s3_nodebed_copy(&nb, d);
    }

    put_all(8);
    CHECK_INT(bed_delete(&b, 0, gone), S3_OK);
    heal(SECOND);
    stop();
    nb.disks[d] = old;
    start(0);

    if (known) {
        CHECK_INT(s3_zone_state(&nb.zone->drives[d]), S3_DRIVE_REFILLING);
    }

    check_all(8);
    CHECK_INT(bed_get(&b, 0, gone, NULL, 0), S3_ENOENT);
    CHECK_INT(bed_get(&b, 1, gone, NULL, 0), S3_ENOENT);

    if (known) {
        heal(30 * SECOND);
        CHECK_INT(s3_zone_state(&nb.zone->drives[d]), S3_DRIVE_OK);
        lose_any(8);
        CHECK_INT(s3_zone_state(&nb.zone->drives[d]), S3_DRIVE_OK);
        CHECK_INT(bed_get(&b, 0, gone, NULL, 0), S3_ENOENT);
    }

    unmake();
}


static void
churn(unsigned rounds, unsigned salt)
{
    unsigned i, r;
    uint8_t *data;

    for (r = 0; r < rounds; r++) {
        for (i = 0; i < 8; i++) {
            data = bed_data(100000, r + salt);
            CHECK_INT(bed_put(&b, 0, name_of(i), 0, data, 100000, 0, 60000),
                      S3_OK);
            free(data);
        }
    }
}


/* A segment of the log whose file is lost can't be cleaned; all others are. */

static void
test_lost_segment(uint64_t seed)
{
    unsigned i;
    char path[S3_SEGMENT_PATH];
    s3_fs_t *fs;
    s3_zseg_t *seg, *lost;
    s3_zdrive_t *d;

    make(seed, 2, 1);
    churn(8, 0);
    d = &nb.zone->drives[0];
    fs = s3_memfs_fs(nb.disks[0]);
    seg = s3_zone_segments(nb.zone, 0);
    lost = NULL;

    for (i = 0; i < nb.zone->max_segments; i++) {
        if (seg[i].id && seg[i].state == S3_SEG_SEALED
            && (lost == NULL || seg[i].live < lost->live))
        {
            lost = &seg[i];
        }
    }

    REQUIRE(lost);
    s3_segment_path(path, lost->id);
    CHECK_INT(fs->unlink(fs, path), S3_OK);

    churn(20, 8);
    s3_sim_sleep(b.sim, 60 * SECOND);
    CHECK(lost->flags & S3_ZSEG_NOCLEAN);
    CHECK(d->cleaned > 0);

    unmake();
}


/* One that is lost while it is open is missed by the scrub. */

static void
test_open_segment(uint64_t seed)
{
    unsigned i;
    char path[S3_SEGMENT_PATH];
    s3_fs_t *fs;
    s3_zseg_t *seg, *lost;

    make(seed, 4, 2);
    CHECK_INT(bed_put_bucket(&b), S3_OK);
    put_all(9);
    stop();
    nb.sc.scrub_period = 60;
    start(0);
    read_by(0, 9);
    seg = s3_zone_segments(nb.zone, 0);
    lost = NULL;

    for (i = 0; i < nb.zone->max_segments; i++) {
        if (seg[i].id && seg[i].state == S3_SEG_SEALED
            && (lost == NULL || seg[i].live > lost->live))
        {
            lost = &seg[i];
        }
    }

    REQUIRE(lost && lost->live > 0);
    s3_segment_path(path, lost->id);
    fs = s3_memfs_fs(nb.disks[0]);
    CHECK_INT(fs->unlink(fs, path), S3_OK);
    read_by(0, 9);
    heal(200 * SECOND);
    CHECK(stats().damaged > 0);
    lose_any(9);
    unmake();
}


/* A part that was coded anew stays what it was among the parts of its number,
 * and an upload takes the object at its key for the same. */

static void
test_part(void)
{
    uint8_t digest[40];
    s3_ref_t ref, other, got;
    s3_str_t d;
    s3_entry_t e;
    s3_version_t v;

    memset(&e, 0, sizeof(e));
    memset(&ref, 1, sizeof(ref));
    memset(digest, 7, sizeof(digest));
    ref.mask = 0xf;
    ref.k = 2;
    other = ref;
    other.id[0] = 9;
    e.version = (s3_version_t){5, 6, 7};

    CHECK_INT(s3_upload_part_set(&e, &ref, s3_str(digest, 40)), S3_OK);
    v = s3_upload_part_version(&e);
    CHECK_INT(s3_version_cmp(&v, &e.version), 0);
    CHECK_INT(s3_upload_part_again(&e, &other), S3_OK);
    e.version = (s3_version_t){50, 6, 7};
    CHECK_INT(s3_upload_part_again(&e, &other), S3_OK);
    e.version = (s3_version_t){500, 6, 7};
    v = s3_upload_part_version(&e);
    CHECK_INT(v.time, 5);
    REQUIRE(s3_upload_part_get(&e, &got, &d) == S3_OK);
    CHECK_INT(got.id[0], 9);
    CHECK(s3_str_eq(d, s3_str(digest, 40)));
}


int
main(void)
{
    unsigned d;

    test_part();
    test_recode(1, 4, 2);
    test_recode(2, 3, 1);
    test_recode(3, 6, 3);
    test_refill(4, 4, 2);
    test_refill(5, 3, 1);
    test_refill_busy(6);
    test_scrub(7, 4, 2, 0);
    test_scrub(8, 4, 2, 1);
    test_scrub(9, 3, 1, 1);
    test_leaks(10);
    test_unlisted(11);

    test_lost_segment(16);
    test_open_segment(41);
    test_lack(42);

    for (d = 0; d < 2; d++) {
        test_older(12, 2, 1, d, 0);
        test_older(13, 2, 1, d, 1);
        test_older(14, 4, 2, 3 * d, 0);
        test_older(15, 4, 2, 3 * d, 1);
    }

    return S3_TEST_END();
}
