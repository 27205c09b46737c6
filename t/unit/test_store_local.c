#include "t/unit/s3_test.h"
#include "t/unit/s3_nodebed.h"
#include "storage/s3_blob.h"
#include "storage/s3_store_int.h"


/* The store over real drives in memory: what the mock drives promise, these
 * must keep, through restarts and power cuts too. */

S3_TEST_KILLS


static bed_t b;
static s3_nodebed_t nb;


static void
start(uint32_t missing)
{
    s3_nodebed_start(&nb, missing);
}


static void
stop(unsigned how)
{
    s3_nodebed_stop(&nb, how);
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
    stop(0);
    s3_nodebed_free(&nb);
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
        stop((round % 2 ? 0 : S3_NODEBED_KILL)
             | (round > 2 ? S3_NODEBED_POWER : 0));
        start(0);
        check_all(30, round - 1, 0);
        put_all(30, round, 1);
        check_all(30, round, 0);
        CHECK_INT(count("/", 1), 3);
    }

    for (i = 0; i < 30; i += 2) {
        CHECK_INT(bed_delete(&b, i / 2 % 2, name_of(i)), S3_OK);
    }

    stop(S3_NODEBED_KILL | S3_NODEBED_POWER);
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
        stop(0);
        start(1u << d);
        check_all(24, d, 0);
        put_all(24, d + 1, 1);
        check_all(24, d + 1, 0);
        stop(S3_NODEBED_KILL | S3_NODEBED_POWER);
        start(0);
        check_all(24, d + 1, 1);
        s3_nodebed_heal(&nb, 60 * S3_NODEBED_SECOND);

        /* it has caught up: another may go */

        stop(0);
        start(1u << (d + 1) % n);
        check_all(24, d + 1, 0);
    }

    unmake();
}


static unsigned
damaged(void)
{
    unsigned d, n;

    for (d = 0, n = 0; d < nb.nc.n; d++) {
        n += (unsigned) nb.zone->drives[d].stats.corrupt;
    }

    return n;
}


/* A reader whose object was overwritten or deleted finds its data gone: that
 * is no damage.  What is gone of an object that is there is. */

static void
test_superseded(uint64_t seed)
{
    char path[S3_BLOB_PATH];
    size_t len = 500000;
    uint8_t *data, *out;
    unsigned first, round;
    s3_fs_t *fs;
    s3_object_t *o;
    s3_place_t *place;

    make(seed, 4, 2);
    data = bed_data(len, 1);
    out = malloc(len);

    for (round = 0; round < 3; round++) {
        CHECK_INT(bed_put(&b, 0, name_of(1), 0, data, len, 0, 60000), S3_OK);
        CHECK_INT(bed_head(&b, 1, name_of(1), &o), S3_OK);

        if (round == 0) {
            CHECK_INT(bed_put(&b, 0, name_of(1), 0, data, len, 0, 60001),
                      S3_OK);
        } else if (round == 1) {
            CHECK_INT(bed_delete(&b, 0, name_of(1)), S3_OK);
        }

        s3_sim_sleep(b.sim, 5 * S3_NODEBED_SECOND);

        if (round < 2) {
            o->stamp = 0; /* it is not asked before */
            CHECK_INT(bed_read(&b, 1, o, 0, len, out, len), S3_EUNAVAIL);
            CHECK_INT(damaged(), 0);

        } else {
            place = &b.store[1]->place;
            first =
                place->order[s3_place_slot(place, BED_BUCKET, name_of(1))][0];
            fs = s3_memfs_fs(nb.disks[first]);
            s3_blob_path(path, o->record.refs.data);
            CHECK_INT(fs->unlink(fs, path), S3_OK);
            CHECK_INT(bed_read(&b, 1, o, 0, len, out, len), len);
            CHECK(memcmp(data, out, len) == 0);
            s3_sim_sleep(b.sim, S3_NODEBED_SECOND);
            CHECK_INT(damaged(), 1);
        }

        s3_object_release(o);
    }

    free(data);
    free(out);
    unmake();
}


/* CONFIRMs of one process that are late: held back, and all sent at once. */

static s3_drive_ops_t late_ops;
static const s3_drive_ops_t *real_ops;
static s3_mark_t *late[64];
static s3_drive_t *late_at[64];
static unsigned n_late;


static void
late_confirm(s3_drive_t *d, s3_mark_t *mark)
{
    REQUIRE(n_late < 64);
    late_at[n_late] = d;
    late[n_late++] = mark;
}


/* What is confirmed after its successor was goes all the same. */

static void
test_late(uint64_t seed)
{
    size_t len = 500000;
    uint8_t *data;
    unsigned i;
    s3_store_t *store;

    make(seed, 4, 2);
    data = bed_data(len, 1);
    store = b.store[0];
    real_ops = store->conf.drives[0]->ops;
    late_ops = *real_ops;
    late_ops.confirm = late_confirm;
    n_late = 0;

    CHECK_INT(bed_put(&b, 1, name_of(1), 0, data, len, 0, 60000), S3_OK);
    s3_sim_sleep(b.sim, S3_NODEBED_SECOND);
    CHECK_INT(s3_nodebed_blobs(&nb), 4);

    for (i = 0; i < 4; i++) {
        store->conf.drives[i]->ops = &late_ops;
    }

    CHECK_INT(bed_put(&b, 0, name_of(1), 0, data, len, 0, 60001), S3_OK);
    CHECK_INT(bed_put(&b, 1, name_of(1), 0, data, len, 0, 60002), S3_OK);
    s3_sim_sleep(b.sim, S3_NODEBED_SECOND);
    CHECK_INT(n_late, 4);

    for (i = 0; i < 4; i++) {
        store->conf.drives[i]->ops = real_ops;
    }

    for (i = 0; i < n_late; i++) {
        real_ops->confirm(late_at[i], late[i]);
    }

    s3_sim_sleep(b.sim, 5 * S3_NODEBED_SECOND);
    CHECK_INT(s3_nodebed_blobs(&nb), 4);
    CHECK_INT(bed_get(&b, 0, name_of(1), data, len), S3_OK);
    free(data);
    unmake();
}


int
main(void)
{
    test_superseded(6);
    test_late(7);
    test_life(1, 4, 2);
    test_life(2, 1, 0);
    test_life(3, 3, 1);
    test_missing(4, 4, 2);
    test_missing(5, 3, 1);

    return S3_TEST_END();
}
