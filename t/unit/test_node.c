#include "t/unit/s3_test.h"
#include "t/unit/s3_nodebed.h"
#include "storage/s3_format.h"
#include "storage/s3_table.h"


/*
 * Drives that are not there at the start, that come while the processes run,
 * and that are replaced by empty ones.
 */

S3_TEST_KILLS


#define SECOND S3_NODEBED_SECOND
#define KEYS 40

static bed_t b;
static s3_nodebed_t nb;
static unsigned named;
static uint8_t name[16];


static void
on_named(void *ctx, const uint8_t id[16])
{
    (void) ctx;
    memcpy(name, id, 16);
    named++;
}


static void
make(uint64_t seed)
{
    s3_nodebed_init(&nb, &b, seed, 4, 2, 1024 * 1024);
    nb.nc.partial = 1;
    nb.nc.named = on_named;
    named = 0;
    s3_nodebed_start(&nb, 0);
}


static void
stop(void)
{
    s3_nodebed_quit(&nb);
}


static int
format_of(unsigned d, s3_format_t *f)
{
    return s3_format_load(s3_memfs_fs(nb.disks[d]), f);
}


static s3_str_t
key_of(unsigned i)
{
    static char text[16];

    return s3_str(text, (size_t) snprintf(text, sizeof(text), "k%03u", i));
}


static int
put(unsigned store, unsigned i, unsigned salt)
{
    int rc;
    size_t len = i % 3 ? 100 * i : 150000;
    uint8_t *data = bed_data(len, i + salt);

    rc = bed_put(&b, store, key_of(i), 0, data, len, 0, 60000);
    free(data);

    return rc;
}


static int
get(unsigned store, unsigned i, unsigned salt)
{
    int rc;
    size_t len = i % 3 ? 100 * i : 150000;
    uint8_t *data = bed_data(len, i + salt);

    rc = bed_get(&b, store, key_of(i), data, len);
    free(data);

    return rc;
}


static void
put_all(unsigned salt)
{
    unsigned i;

    CHECK_INT(bed_put_bucket(&b), S3_OK);

    for (i = 0; i < KEYS; i++) {
        CHECK_INT(put(0, i, salt), S3_OK);
    }
}


static void
get_all(unsigned store, unsigned salt)
{
    unsigned i;

    for (i = 0; i < KEYS; i++) {
        CHECK_INT(get(store, i, salt), S3_OK);
    }
}


/* It is gone for all that have it open. */

static void
lose(unsigned d)
{
    nb.zone->drives[d].state = S3_DRIVE_MISSING;
    s3_memfs_set_dead(nb.disks[d], 1);
    s3_sim_sleep(b.sim, SECOND);
}


static int
forget(unsigned j, unsigned d)
{
    int rc;
    unsigned i;

    rc = S3_AGAIN;

    for (i = 0; i < 100 && rc == S3_AGAIN; i++) {
        rc = s3_node_forget(nb.node[j], d);
        s3_sim_sleep(b.sim, SECOND / 20);
    }

    return rc;
}


static void
heal(void)
{
    s3_nodebed_heal(&nb, 30 * SECOND);
}


/* What becomes a drive of a store, and what does not. */

static void
test_formats(void)
{
    unsigned i;
    s3_format_t f;
    s3_memfs_t *old[4];

    s3_nodebed_init(&nb, NULL, 3, 4, 2, 1024 * 1024);
    nb.nc.partial = 1;

    /* a new store needs all of its drives */
    s3_nodebed_drives(&nb, 8);
    CHECK_INT(s3_nodebed_recover(&nb), S3_OK);
    CHECK_INT(format_of(0, &f), S3_ENOENT);
    CHECK_INT(nb.zone->named, 0);
    s3_nodebed_drives(&nb, 0);
    CHECK_INT(s3_nodebed_recover(&nb), S3_OK);
    CHECK_INT(nb.zone->named, 1);

    for (i = 0; i < 4; i++) {
        CHECK_INT(format_of(i, &f), S3_OK);
        CHECK_INT(f.state, S3_FORMAT_READY);
        CHECK_INT(s3_nodebed_state(&nb, i), S3_DRIVE_OK);
        old[i] = nb.disks[i];
    }

    /* an empty one alone is no new store */
    nb.disks[0] = s3_memfs_create(nb.sim, 0, 0);
    s3_nodebed_drives(&nb, 14);
    CHECK_INT(s3_nodebed_recover(&nb), S3_OK);
    CHECK_INT(format_of(0, &f), S3_ENOENT);
    CHECK_INT(s3_nodebed_state(&nb, 0), S3_DRIVE_MISSING);
    CHECK_INT(nb.zone->drives[0].fault_code, S3_ZFAULT_EMPTY);
    CHECK_INT(nb.zone->named, 0);

    /* nor is it a new drive, with one of two that would be needed */
    s3_nodebed_drives(&nb, 6);
    CHECK_INT(s3_nodebed_recover(&nb), S3_OK);
    CHECK_INT(format_of(0, &f), S3_ENOENT);
    CHECK_INT(s3_nodebed_state(&nb, 3), S3_DRIVE_OK);
    CHECK_INT(nb.zone->named, 1);

    /* with both it is */
    s3_nodebed_drives(&nb, 4);
    CHECK_INT(s3_nodebed_recover(&nb), S3_OK);
    CHECK_INT(format_of(0, &f), S3_OK);
    CHECK_INT(f.state, S3_FORMAT_REFILL);
    CHECK_INT(s3_nodebed_state(&nb, 0), S3_DRIVE_REFILLING);

    /* a store that was being made when the process ended */
    for (i = 0; i < 4; i++) {
        nb.disks[i] = old[i];
        CHECK_INT(format_of(i, &f), S3_OK);
        f.state = S3_FORMAT_NEW;
        CHECK_INT(s3_format_save(s3_memfs_fs(nb.disks[i]), &f), S3_OK);
    }

    s3_nodebed_drives(&nb, 2);
    CHECK_INT(s3_nodebed_recover(&nb), S3_OK);
    CHECK_INT(format_of(0, &f), S3_OK);
    CHECK_INT(f.state, S3_FORMAT_NEW);
    CHECK_INT(s3_nodebed_state(&nb, 0), S3_DRIVE_MISSING);
    s3_nodebed_drives(&nb, 0);
    CHECK_INT(s3_nodebed_recover(&nb), S3_OK);
    CHECK_INT(format_of(0, &f), S3_OK);
    CHECK_INT(f.state, S3_FORMAT_READY);

    s3_nodebed_free(&nb);
}


/* Without any drive, then with one after the other. */

static void
test_none(void)
{
    unsigned d, j;
    uint8_t id[16], no[16] = {0};
    s3_format_t f;

    make(5);
    put_all(0);
    memcpy(id, nb.zone->store_id, 16);
    CHECK_INT(named, 0);
    stop();

    s3_nodebed_start(&nb, 15);
    s3_node_store_id(&nb.nc, name);
    CHECK(memcmp(name, no, 16) == 0);
    CHECK_INT(get(0, 1, 0), S3_EUNAVAIL);
    CHECK_INT(put(0, 1, 0), S3_EUNAVAIL);

    for (d = 0; d < 4; d++) {
        CHECK_INT(s3_nodebed_come(&nb, 0, d, 0), S3_OK);
        CHECK_INT(s3_nodebed_come(&nb, 1, d, 0), S3_OK);
        CHECK_INT(named, 2); /* each of the processes, once */
        CHECK(memcmp(name, id, 16) == 0);

        for (j = 0; j < 2; j++) {
            CHECK_INT(get(j, 1, 0), d < 1 ? S3_EUNAVAIL : S3_OK);
            CHECK_INT(put(j, 1, 0), d < 2 ? S3_EUNAVAIL : S3_OK);
        }
    }

    heal();
    get_all(0, 0);

    /* one of another store is none of this one */
    lose(3);
    nb.disks[3] = s3_memfs_create(nb.sim, 3, 0);
    CHECK_INT(format_of(0, &f), S3_OK);
    f.position = 3;
    f.drive[0] ^= 1;
    f.store[0] ^= 1;
    CHECK_INT(s3_format_save(s3_memfs_fs(nb.disks[3]), &f), S3_OK);
    CHECK_INT(s3_nodebed_come(&nb, 0, 3, 0), S3_EFOREIGN);
    f.store[0] ^= 1;
    CHECK_INT(s3_format_save(s3_memfs_fs(nb.disks[3]), &f), S3_OK);
    CHECK_INT(s3_nodebed_come(&nb, 0, 3, 0),
              S3_EFOREIGN); /* of this one, but another drive */
    CHECK_INT(s3_nodebed_state(&nb, 3), S3_DRIVE_MISSING);
    stop();
    s3_nodebed_free(&nb);
}


static void
lose_any(unsigned salt)
{
    uint32_t mask;

    for (mask = 1; mask < 16; mask++) {
        if (__builtin_popcount(mask) == 2) {
            stop();
            s3_nodebed_start(&nb, mask);
            get_all(1, salt);
        }
    }
}


/* An empty drive in the place of one, with two processes at work; one of them
 * may die in between. */

static void
test_replace(unsigned killed)
{
    unsigned i;
    uint8_t was[16];
    s3_format_t f;
    s3_memfs_t *old;

    make(7 + killed);
    put_all(0);
    memcpy(was, nb.zone->drives[1].id, 16);
    CHECK_INT(s3_node_forget(nb.node[0], 1), S3_EEXIST);
    lose(1);
    CHECK_INT(put(0, 1, 500), S3_OK);

    /* an empty directory is not taken without a word */
    old = nb.disks[1];
    nb.disks[1] = s3_memfs_create(nb.sim, 1, 0);
    CHECK_INT(s3_nodebed_come(&nb, 0, 1, 0), S3_ENOENT);
    /* nor while it is in use */
    CHECK_INT(s3_nodebed_come(&nb, 0, 1, 1), S3_ENOENT);
    CHECK_INT(format_of(1, &f), S3_ENOENT);

    if (killed) {
        s3_sim_kill(nb.loop[1]);
        s3_node_abandon(nb.node[1]);
        nb.killed = nb.pid;
        b.n_stores = 1;
    }

    /* not before everybody has let go of the old one */
    CHECK_INT(s3_node_forget(nb.node[0], 1), S3_AGAIN);
    CHECK_INT(
        s3_node_replace(nb.node[0], 1, s3_memfs_fs(nb.disks[1]), NULL, NULL),
        S3_AGAIN);

    /* forgotten, but others that are needed are away */
    CHECK_INT(forget(0, 1), S3_OK);
    nb.zone->drives[2].state = S3_DRIVE_MISSING;
    nb.zone->drives[3].state = S3_DRIVE_MISSING;
    CHECK_INT(s3_nodebed_come(&nb, 0, 1, 1), S3_EUNAVAIL);
    CHECK_INT(format_of(1, &f), S3_ENOENT);
    nb.zone->drives[2].state = S3_DRIVE_OK;
    nb.zone->drives[3].state = S3_DRIVE_OK;

    CHECK_INT(s3_nodebed_come(&nb, 0, 1, 1), S3_OK);
    CHECK_INT(s3_nodebed_state(&nb, 1), S3_DRIVE_REFILLING);
    CHECK(memcmp(was, nb.zone->drives[1].id, 16) != 0);
    CHECK_INT(format_of(1, &f), S3_OK);
    CHECK_INT(f.state, S3_FORMAT_REFILL);
    CHECK_INT(f.position, 1);

    for (i = 1; i < b.n_stores; i++) {
        CHECK_INT(s3_nodebed_come(&nb, i, 1, 0), S3_OK);
    }

    CHECK_INT(put(b.n_stores - 1, 2, 500), S3_OK);
    heal();
    CHECK_INT(s3_nodebed_state(&nb, 1), S3_DRIVE_OK);
    CHECK_INT(format_of(1, &f), S3_OK);
    CHECK_INT(f.state, S3_FORMAT_READY);
    CHECK_INT(put(b.n_stores - 1, 3, 500), S3_OK);
    CHECK_INT(put(0, 1, 0), S3_OK);
    CHECK_INT(put(0, 2, 0), S3_OK);
    CHECK_INT(put(0, 3, 0), S3_OK);
    heal();

    /* the old one is not this drive any more */
    stop();
    b.n_stores = 2;
    s3_nodebed_start(&nb, 0);
    lose_any(0);
    lose(1);
    nb.disks[1] = old;
    s3_memfs_set_dead(old, 0);
    CHECK_INT(s3_nodebed_come(&nb, 0, 1, 0), S3_EFOREIGN);
    stop();
    s3_nodebed_free(&nb);
}


/* Forgotten because of an empty directory, and then it is back itself. */

static void
test_back(void)
{
    s3_memfs_t *old;

    make(11);
    put_all(0);
    lose(2);
    old = nb.disks[2];
    nb.disks[2] = s3_memfs_create(nb.sim, 2, 0);
    CHECK_INT(forget(1, 2), S3_OK);
    CHECK_INT(nb.zone->drives[2].known, 0);
    CHECK_INT(put(0, 4, 500), S3_OK);
    CHECK_INT(put(0, 4, 0), S3_OK);
    nb.disks[2] = old;
    s3_memfs_set_dead(old, 0);
    CHECK_INT(s3_nodebed_come(&nb, 0, 2, 0), S3_OK);
    CHECK_INT(s3_nodebed_come(&nb, 1, 2, 0), S3_OK);
    CHECK_INT(s3_nodebed_state(&nb, 2), S3_DRIVE_OK);
    heal();
    lose_any(0);
    stop();
    s3_nodebed_free(&nb);
}


/* A table that is made anew beside all else is made slowly. */

static unsigned paused;

static void
on_pause(s3_fs_t *fs, unsigned ms)
{
    (void) fs;
    paused += ms;
}


static void
test_gentle(void)
{
    unsigned i;
    uint32_t id;
    uint64_t bytes;
    char path[S3_TABLE_PATH];
    s3_zdrive_t *d;

    make(13);
    put_all(0);
    stop();
    s3_nodebed_start(&nb, 0);
    d = &nb.zone->drives[0];
    s3_memfs_fs(nb.disks[0])->pause = on_pause;
    REQUIRE(s3_zone_tables(d)->n >= 1);
    id = s3_zone_tables(d)->tables[0].id;
    bytes = s3_zone_tables(d)->tables[0].bytes;
    s3_table_path(path, id);

    for (i = 0; i * S3_TABLE_BLOCK < bytes; i++) {
        (void) s3_memfs_rot(nb.disks[0], path, i * S3_TABLE_BLOCK + 100, 3);
    }

    paused = 0;
    d->verify = S3_ZVERIFY_ASKED;
    s3_sim_sleep(b.sim, 30 * SECOND);
    CHECK_INT(d->verify, S3_ZVERIFY_NONE);
    CHECK(s3_zone_tables(d)->tables[0].id != id);
    CHECK(paused >= 5);
    get_all(0, 0);
    lose_any(0);
    stop();
    s3_nodebed_free(&nb);
}


/* What a start has put into tables the next one does not read, nor what was
 * never written of it. */

static ssize_t (*real_pread)(s3_fs_t *fs, s3_file_t *f, void *buf, size_t len,
                             uint64_t off);
static uint64_t bytes_read;


static ssize_t
count_pread(s3_fs_t *fs, s3_file_t *f, void *buf, size_t len, uint64_t off)
{
    ssize_t n = real_pread(fs, f, buf, len, off);

    bytes_read += n > 0 ? (uint64_t) n : 0;

    return n;
}


static uint64_t
start_read(void)
{
    s3_nodebed_stop(&nb, S3_NODEBED_KILL);
    bytes_read = 0;
    s3_nodebed_start(&nb, 0);

    return bytes_read;
}


static void
test_starts(void)
{
    uint64_t first;
    s3_fs_t *fs;

    make(17);
    put_all(0);
    fs = s3_memfs_fs(nb.disks[0]);
    real_pread = fs->pread;
    fs->pread = count_pread;
    first = start_read();
    CHECK(first > nb.nc.segment_size);
    CHECK(start_read() < nb.nc.segment_size / 4);
    get_all(0, 0);
    stop();
    s3_nodebed_free(&nb);
}


int
main(void)
{
    test_formats();
    test_none();
    test_replace(0);
    test_replace(1);
    test_back();
    test_gentle();
    test_starts();

    return S3_TEST_END();
}
