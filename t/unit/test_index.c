#include "t/unit/s3_test.h"
#include "t/unit/s3_nodebed.h"
#include "storage/s3_manifest.h"
#include "storage/s3_table_read.h"


/*
 * The index of one drive damaged in each of its parts, while it is in use and
 * between a stop and a start: no wrong answer, and it is made anew from the
 * log without being asked.
 */

S3_TEST_KILLS


#define SECOND S3_NODEBED_SECOND
#define KEYS 120
#define OVER 10  /* of them are written twice */
#define GONE 110 /* and from here on they are deleted */
#define SIZE 300 /* so that segments are full, and stay as they are */
#define SALT 1000

static bed_t b;
static s3_nodebed_t nb;
static int confirmed; /* ... has to be on the drive itself, too */


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


static s3_str_t
name_of(unsigned i)
{
    static char name[64];

    return s3_str(name, (size_t) snprintf(name, sizeof(name),
                                          "a-directory/and-another/k%03u", i));
}


static void
put_keys(unsigned from, unsigned to, unsigned salt)
{
    unsigned i;
    uint8_t *data;

    for (i = from; i < to; i++) {
        data = bed_data(SIZE + i, i + salt);
        CHECK_INT(bed_put(&b, 0, name_of(i), 0, data, SIZE + i, 0, 60000),
                  S3_OK);
        free(data);
    }
}


static void
make(uint64_t seed, unsigned n, unsigned m)
{
    unsigned i;
    s3_put_t put;

    s3_nodebed_init(&nb, &b, seed, n, m, 64 * 1024);
    nb.sc.scrub_period = 3600;
    start(0);

    put_keys(0, KEYS, 0);
    stop();
    start(0); /* writes a table */
    put_keys(0, OVER, SALT);

    for (i = GONE; i < KEYS; i++) {
        bed_init_put(&b, 0, &put, name_of(i), S3_KIND_TOMBSTONE);
        CHECK_INT(bed_commit(&b, &put), S3_OK);
    }

    stop();
    start(0);
}


static void
unmake(void)
{
    stop();
    s3_nodebed_free(&nb);
}


static void
check_keys(void)
{
    int rc;
    unsigned i, salt;
    uint8_t *data;
    s3_object_t *object;

    for (i = 0; i < KEYS; i++) {
        if (i >= GONE) {
            rc = bed_head(&b, i % 2, name_of(i), &object);
            CHECK_INT(rc, S3_ENOENT);
            continue;
        }

        salt = i < OVER ? SALT : 0;
        data = bed_data(SIZE + i, i + salt);
        /* as GET reads: more reads of what is damaged would count more */
        CHECK_INT(bed_get_for(&b, i % 2, name_of(i), BED_DATA, data, SIZE + i),
                  S3_OK);
        free(data);
    }
}


static s3_zdrive_t *
zdrive(unsigned drive)
{
    return &nb.zone->drives[drive];
}


typedef struct {
    s3_lookup_t lookup;
    int flag;
} ask_t;


static void
asked(s3_req_t *req)
{
    ((ask_t *) req->ctx)->flag = 1;
}


/* The drive alone, 1: its newest record is what was written last; -1: it is
 * silent; 0: a wrong answer. */

static int
drive_has(unsigned store, unsigned drive, unsigned key)
{
    int good;
    ask_t a;
    s3_drive_t *d = b.drive[store][drive];

    memset(&a, 0, sizeof(a));
    a.lookup.req.done = asked;
    a.lookup.req.ctx = &a;
    a.lookup.req.drive = drive;
    a.lookup.bucket = BED_BUCKET;
    a.lookup.key = name_of(key);
    d->ops->read(d, &a.lookup);

    if (!a.flag && !s3_sim_until(b.sim, &a.flag)) {
        return 0;
    }

    good = a.lookup.req.rc == S3_OK && a.lookup.n
           && (!confirmed || a.lookup.entries[0].flags & S3_F_CONFIRMED)
           && a.lookup.entries[0].kind
                  == (key >= GONE ? S3_KIND_TOMBSTONE : S3_KIND_OBJECT);

    if (a.lookup.req.rc == S3_OK) {
        s3_lookup_release(&a.lookup);
    }

    return a.lookup.req.rc == S3_ECORRUPT ? -1 : good;
}


/* What is damaged is answered with silence, nothing else. */

static void
check_honest(void)
{
    unsigned i, j, wrong;

    wrong = 0;

    for (j = 0; j < b.n_stores; j++) {
        for (i = 0; i < KEYS; i++) {
            wrong += drive_has(j, 0, i) == 0;
        }
    }

    CHECK_INT(wrong, 0);
}


/* Tables of the list, opened anew, all blocks of them, and no other file. */

static int
table_whole(uint32_t id)
{
    int rc;
    uint32_t i;
    uint8_t block[S3_TABLE_BLOCK];
    s3_table_t *t;
    s3_table_block_t view;
    s3_fs_t *fs = s3_memfs_fs(nb.disks[0]);

    if (s3_table_open(fs, id, &t) != S3_OK) {
        return 0;
    }

    rc = S3_OK;

    for (i = 0; i < t->stats.blocks && rc == S3_OK; i++) {
        CHECK_INT(fs->pread(fs, t->file, block, S3_TABLE_BLOCK,
                            (uint64_t) i * S3_TABLE_BLOCK),
                  S3_TABLE_BLOCK);
        rc = s3_table_verify(t, block, i, &view);
    }

    s3_table_release(t);

    return rc == S3_OK;
}


static int
count_name(void *ctx, const char *name)
{
    (void) name;
    ++*(unsigned *) ctx;

    return S3_OK;
}


static void
check_mended(void)
{
    unsigned i, j, files, bad;
    const s3_ztables_t *list;
    s3_fs_t *fs = s3_memfs_fs(nb.disks[0]);
    s3_manifest_t m;

    for (i = 0; i < 100 && zdrive(0)->verify != S3_ZVERIFY_NONE; i++) {
        s3_sim_sleep(b.sim, SECOND / 10);
    }

    CHECK_INT(zdrive(0)->verify, S3_ZVERIFY_NONE);
    CHECK_INT(zdrive(0)->state, S3_DRIVE_OK);
    s3_sim_sleep(b.sim, SECOND);

    list = s3_zone_tables(zdrive(0));

    for (i = 0; i < list->n; i++) {
        CHECK(table_whole(list->tables[i].id));
    }

    CHECK_INT(s3_manifest_load(fs, &m), S3_OK);
    CHECK_INT(m.repair, 0);
    CHECK_INT(m.n_tables, list->n);
    s3_manifest_free(&m);

    files = 0;
    CHECK_INT(fs->list(fs, "index", count_name, &files), S3_OK);
    CHECK_INT(files, list->n + 2);

    bad = 0;

    for (j = 0; j < b.n_stores; j++) {
        for (i = 0; i < KEYS; i++) {
            bad += drive_has(j, 0, i) != 1;
        }
    }

    CHECK_INT(bad, 0);
    check_keys();
}


static void
lose_any(void)
{
    uint32_t mask;

    /* with the one that was damaged: it has to have all of its own */

    for (mask = 0; mask < 1u << b.n; mask += 2) {
        if ((unsigned) __builtin_popcount(mask) == b.m) {
            stop();
            start(mask);
            check_keys();
        }
    }

    stop();
    start(0);
}


static void
verify(void)
{
    b.drive[0][0]->ops->verify(b.drive[0][0]);
}


/* What was known to be confirmed by tables alone is known again. */

static void
scrub(void)
{
    s3_nodebed_heal(&nb, 3 * 3600 * SECOND);

    confirmed = 1;
    check_mended();
    confirmed = 0;
}


/* The oldest or the newest table: its path, blocks and size.  A start writes
 * one, where all that counts was in memory. */

typedef struct {
    char path[S3_TABLE_PATH];
    uint32_t id;
    uint32_t blocks;
    uint64_t bytes;
    size_t bloom;
} which_t;


static void
which(which_t *w, int oldest)
{
    s3_table_t *t;
    const s3_ztables_t *list = s3_zone_tables(zdrive(0));

    if (list->n == 0) {
        stop();
        start(0);
        list = s3_zone_tables(zdrive(0));
    }

    REQUIRE(list->n > 0);
    w->id = list->tables[oldest ? list->n - 1 : 0].id;
    REQUIRE(s3_table_open(s3_memfs_fs(nb.disks[0]), w->id, &t) == S3_OK);
    w->blocks = t->stats.blocks;
    w->bytes = t->stats.bytes;
    w->bloom = t->bloom_size;
    s3_table_path(w->path, w->id);
    s3_table_release(t);
}


/* Part 0.. of a table flips a bit; 0: there are no more parts. */

static int
flip(const which_t *w, unsigned part)
{
    uint64_t off, index;

    index = (uint64_t) w->blocks * S3_TABLE_BLOCK;

    if (part < 2 * w->blocks) {
        off = part / 2 * S3_TABLE_BLOCK + (part % 2 ? 1999 : part % 16);

    } else {
        switch (part - 2 * w->blocks) {
        case 0:
            off = index + 3;
            break;
        case 1:
            off = w->bytes - S3_TABLE_FOOTER - w->bloom - 2;
            break;
        case 2:
            off = w->bytes - S3_TABLE_FOOTER - w->bloom + 1;
            break;
        case 3:
            off = w->bytes - S3_TABLE_FOOTER + 1;
            break;
        case 4:
            off = w->bytes - S3_TABLE_FOOTER + 20;
            break;
        case 5:
            off = w->bytes - 1;
            break;
        default:
            return 0;
        }
    }

    CHECK_INT(s3_memfs_rot(nb.disks[0], w->path, off, part % 8), S3_OK);

    return 1;
}


static void
test_table_bits(int stopped)
{
    unsigned part;
    uint64_t found;
    which_t w;

    make(11 + (uint64_t) stopped, 4, 2);

    for (part = 0;; part++) {
        put_keys(0, 1, SALT); /* at rest the tables would become one */
        which(&w, part % 2);

        if (stopped) {
            stop();
        }

        if (!flip(&w, part)) {
            break;
        }

        if (stopped) {
            start(0);
        }

        found = zdrive(0)->stats.corrupt;
        check_honest();
        check_keys();
        verify();
        check_mended();
        CHECK_INT(zdrive(0)->stats.corrupt, found + 1);

        if (part % 4 == 0) {
            put_keys(0, OVER, SALT);
        }
    }

    if (stopped) {
        start(0);
    }

    scrub();
    lose_any();
    unmake();
}


/* Found by reading alone. */

static void
test_found_by_reads(void)
{
    unsigned i;
    which_t w;

    make(21, 4, 2);
    stop();
    start(0);
    which(&w, 1);

    for (i = 0; i < w.blocks; i++) {
        CHECK_INT(
            s3_memfs_rot(nb.disks[0], w.path, i * S3_TABLE_BLOCK + 100, 3),
            S3_OK);
    }

    for (i = 0; i < KEYS; i++) {
        (void) drive_has(0, 0, i);
    }

    CHECK_INT(zdrive(0)->verify, S3_ZVERIFY_DAMAGE);
    check_keys();
    check_mended();
    unmake();
}


/* Nothing is damaged, only a read was: whoever opened the table then uses it
 * all the same, and nobody makes it anew. */

static void
test_read_wrong(int merging)
{
    uint64_t found;
    which_t w;

    make(25, 4, 2);
    stop();
    start(0);
    which(&w, 1);
    stop();
    CHECK_INT(s3_memfs_rot(nb.disks[0], w.path, w.bytes - 1, 3), S3_OK);
    start(0);
    CHECK_INT(s3_memfs_rot(nb.disks[0], w.path, w.bytes - 1, 3), S3_OK);
    found = zdrive(0)->stats.corrupt;

    if (merging) {
        put_keys(0, OVER, SALT);

    } else {
        CHECK_INT(drive_has(0, 0, 0), -1);
    }

    check_mended();
    CHECK_INT(zdrive(0)->stats.corrupt, found);
    CHECK_INT(zdrive(0)->verify, S3_ZVERIFY_NONE);
    unmake();
}


/* All tables lost, or cut; the floor is raised. */

static void
test_table_lost(int stopped)
{
    unsigned i, how;
    uint64_t floor;
    s3_file_t *f;
    const s3_ztables_t *list;
    s3_fs_t *fs;
    char path[S3_TABLE_PATH];

    make(31 + (uint64_t) stopped, 4, 2);
    fs = s3_memfs_fs(nb.disks[0]);

    for (how = 0; how < 3; how++) {
        put_keys(0, OVER, SALT);
        stop();
        start(0);
        floor = zdrive(0)->floor.time;

        if (stopped) {
            stop();
        }

        list = s3_zone_tables(zdrive(0));

        for (i = 0; i < list->n; i++) {
            s3_table_path(path, list->tables[i].id);

            if (how == 0) {
                CHECK_INT(fs->unlink(fs, path), S3_OK);
                continue;
            }

            REQUIRE(fs->open(fs, path, S3_O_READ | S3_O_WRITE, &f) == S3_OK);
            CHECK_INT(fs->truncate(fs, f, how == 1 ? 0 : 5000), S3_OK);
            fs->close(fs, f);
        }

        if (stopped) {
            start(0);
        }

        check_honest();
        check_keys();
        verify();
        check_mended();
        CHECK(zdrive(0)->floor.time > floor);
    }

    lose_any();
    unmake();
}


static void
returned(void *ctx, int rc)
{
    (void) rc;
    *(int *) ctx = 1;
}


/* As the watch over the drives does it. */

static void
bring_back(void)
{
    int flag;
    unsigned j;

    for (j = 0; j < b.n_stores; j++) {
        flag = 0;

        if (s3_node_return(nb.node[j], 0, s3_memfs_fs(nb.disks[0]), returned,
                           &flag)
                == S3_OK
            && !flag)
        {
            CHECK(s3_sim_until(b.sim, &flag));
        }
    }
}


static void
spoil(const char *path, unsigned how)
{
    uint64_t size;
    s3_file_t *f;
    s3_fs_t *fs = s3_memfs_fs(nb.disks[0]);

    if (how == 0) {
        CHECK_INT(fs->unlink(fs, path), S3_OK);
        return;
    }

    REQUIRE(fs->open(fs, path, S3_O_READ | S3_O_WRITE, &f) == S3_OK);
    CHECK_INT(fs->size(fs, f, &size), S3_OK);

    if (how == 1) {
        CHECK_INT(fs->truncate(fs, f, size / 2), S3_OK);
    }

    fs->close(fs, f);

    if (how > 1) {
        CHECK_INT(
            s3_memfs_rot(nb.disks[0], path, (how - 2) * size / 12, how % 8),
            S3_OK);
    }
}


/* Both gone: the drive comes back by itself, with all that it had. */

static void
test_manifests(unsigned n, unsigned m)
{
    unsigned how;

    make(41, n, m);

    for (how = 0; how < 14; how++) {
        stop();
        spoil("index/MANIFEST", how);
        spoil("index/MANIFEST.copy", how < 2 ? how : 15 - how);
        start(0);

        if (m) {
            /* there are enough without it: it is read beside them */
            CHECK_INT(zdrive(0)->state, S3_DRIVE_MISSING);
            check_keys();
            bring_back();
        }

        s3_sim_sleep(b.sim, SECOND);
        check_mended();
        CHECK(zdrive(0)->lost);
        CHECK_INT(zdrive(0)->stats.corrupt, 1);
    }

    if (m) {
        lose_any();
    }

    unmake();
}


/* One of them, and while it runs: it is written again. */

static void
test_one_manifest(void)
{
    unsigned how;
    uint64_t found;

    make(51, 4, 2);

    for (how = 0; how < 8; how++) {
        found = zdrive(0)->stats.corrupt;
        spoil("index/MANIFEST", how);

        if (how % 4 == 3) {
            spoil("index/MANIFEST.copy", how);
        }

        verify();
        check_mended();

        /* it may have been saved before that for another reason */
        CHECK(zdrive(0)->stats.corrupt <= found + 1);
    }

    CHECK(zdrive(0)->stats.corrupt > 0);
    unmake();
}


/* Tables and MANIFESTs at once. */

static void
test_all_lost(void)
{
    which_t w;

    make(61, 4, 2);
    which(&w, 1);
    stop();
    spoil("index/MANIFEST", 0);
    spoil("index/MANIFEST.copy", 0);
    spoil(w.path, 0);
    start(0);
    bring_back();
    check_mended();
    lose_any();
    unmake();
}


int
main(void)
{
    test_table_bits(0);
    test_table_bits(1);
    test_found_by_reads();
    test_read_wrong(0);
    test_read_wrong(1);
    test_table_lost(0);
    test_table_lost(1);
    test_manifests(4, 2);
    test_manifests(1, 0);
    test_one_manifest();
    test_all_lost();

    return S3_TEST_END();
}
