/*
 * Tables against a sorted array: lookups, iteration, seeks, on the loop with a
 * page cache that refuses, blocking, with faults, and with every byte of a
 * small table corrupted.
 */

#include "storage/s3_table.h"
#include "storage/s3_bloom.h"
#include "s3_ramfs.h"
#include "s3_test.h"


typedef struct {
    uint64_t bucket;
    char key[48];
    unsigned versions; /* 1, rarely more; v, v - 1, ... 1 */
} row_t;

static row_t *rows;
static unsigned n_rows;
static uint64_t seed = 42;


static s3_str_t
row_key(const row_t *r)
{
    return s3_str(r->key, strlen(r->key));
}


static int
row_cmp(const void *a, const void *b)
{
    const row_t *x = a, *y = b;

    return s3_key_cmp(x->bucket, row_key(x), y->bucket, row_key(y));
}


/* The entry follows from bucket, key and version: wrong ones are seen. */

static s3_entry_t
entry_of(uint64_t bucket, s3_str_t key, uint64_t version)
{
    s3_entry_t e;
    uint64_t h = s3_bloom_hash(bucket + version, key);

    memset(&e, 0, sizeof(e));
    e.version.time = version;
    e.version.rand = h;
    e.kind = h % 5 ? S3_KIND_OBJECT : S3_KIND_TOMBSTONE;
    e.flags = h % 7 ? S3_F_CONFIRMED : 0;
    e.layout = S3_LAYOUT_INLINE;
    e.need = 2;
    e.voters = 7;
    e.holders = 7;
    e.size = h;
    e.mtime = ~h;
    memcpy(e.etag, &h, 8);
    e.extra_len = h % 11 == 0 ? (uint8_t) (h % S3_MAX_EXTRA) : 0;
    memset(e.extra, (int) (h & 0xff), e.extra_len);
    e.segment = (uint32_t) h;
    e.offset = (uint32_t) (h >> 32);
    e.length = 100;

    return e;
}


static int
entry_same(const s3_entry_t *a, const s3_entry_t *b)
{
    uint8_t x[S3_ENTRY_FIXED + S3_MAX_EXTRA], y[sizeof(x)];

    if (s3_entry_size(a) != s3_entry_size(b)) {
        return 0;
    }

    s3_entry_encode(x, a);
    s3_entry_encode(y, b);

    return memcmp(x, y, s3_entry_size(a)) == 0;
}


/* About n different rows in order. */

static void
make_rows(unsigned n)
{
    unsigned i, k;

    free(rows);
    rows = calloc(n, sizeof(row_t));
    REQUIRE(rows != NULL);

    for (i = 0; i < n; i++) {
        uint64_t r = ram_random(&seed);

        rows[i].bucket = 1024 + 4 * (r % 5);
        rows[i].versions = r % 97 == 0 ? 1 + (unsigned) (r >> 8) % 6 : 1;
        (void) snprintf(rows[i].key, sizeof(rows[i].key), "%s%0*llx",
                        r % 3 ? "photos/2024/summer/" : "",
                        1 + (int) (r >> 20) % 20,
                        (unsigned long long) (ram_random(&seed) % (8 * n)));
    }

    qsort(rows, n, sizeof(row_t), row_cmp);

    for (i = 1, k = n ? 1 : 0; i < n; i++) {
        if (row_cmp(&rows[i], &rows[k - 1]) != 0) {
            rows[k++] = rows[i];
        }
    }

    n_rows = k;
}


static unsigned long
count_entries(void)
{
    unsigned long sum = 0;
    unsigned i;

    for (i = 0; i < n_rows; i++) {
        sum += rows[i].versions;
    }

    return sum;
}


static int
write_rows(s3_fs_t *fs, uint32_t id, s3_table_stats_t *stats)
{
    s3_table_writer_t *w;
    s3_entry_t e;
    unsigned i, v;
    int rc;

    rc = s3_table_writer_create(fs, id, n_rows, &w);

    for (i = 0; rc == S3_OK && i < n_rows; i++) {
        for (v = rows[i].versions; rc == S3_OK && v > 0; v--) {
            e = entry_of(rows[i].bucket, row_key(&rows[i]), v);
            rc = s3_table_writer_add(w, rows[i].bucket, row_key(&rows[i]), &e);

            if (rc != S3_OK) {
                s3_table_writer_abort(w);
            }
        }
    }

    return rc == S3_OK ? s3_table_writer_finish(w, stats) : rc;
}


/* What a lookup found: versions must descend to 1, each entry be right. */

typedef struct {
    uint64_t bucket;
    s3_str_t key;
    unsigned n;
    int wrong;
    uint64_t last;
} found_t;

static int
found(void *ctx, const s3_entry_t *e)
{
    found_t *f = ctx;
    s3_entry_t want = entry_of(f->bucket, f->key, e->version.time);

    if (!entry_same(e, &want) || (f->n && e->version.time + 1 != f->last)) {
        f->wrong = 1;
    }

    f->last = e->version.time;
    f->n++;

    return 0;
}


static int
get(s3_table_t *t, s3_loop_t *loop, s3_block_t *block, uint64_t bucket,
    s3_str_t key, found_t *f, unsigned *again)
{
    uint64_t hash = s3_bloom_hash(bucket, key);
    int rc;

    *f = (found_t){bucket, key, 0, 0, 0};

    for (;;) {
        rc = s3_table_get(t, loop, bucket, key, hash, block, found, f);

        if (rc != S3_AGAIN) {
            return rc;
        }

        (*again)++;
        s3_block_read(t->fs, block);
    }
}


static void
test_gets(s3_table_t *t, int refuse)
{
    ram_loop_t rl;
    s3_loop_t *loop = ram_loop_init(&rl, refuse);
    s3_block_t block = {0};
    unsigned i, again = 0, bad = 0, absent = 0;
    char key[64];
    found_t f;

    for (i = 0; i < n_rows; i++) {
        const row_t *r = &rows[(i * 7919UL) % n_rows];

        bad += get(t, loop, &block, r->bucket, row_key(r), &f, &again) != S3_OK
               || f.wrong || f.n != r->versions || f.last != 1;

        /* neighbours of a key that are not there */

        (void) snprintf(key, sizeof(key), "%s!", r->key);
        absent += get(t, loop, &block, r->bucket, s3_str(key, strlen(key)), &f,
                      &again)
                      == S3_ENOENT
                  && f.n == 0;
        bad += get(t, loop, &block, r->bucket + 1, row_key(r), &f, &again)
               != S3_ENOENT;
    }

    CHECK_INT(bad, 0);
    CHECK_INT(absent, n_rows);
    CHECK(refuse ? again >= n_rows / 2 : again == 0);

    CHECK_INT(get(t, loop, &block, 0, s3_null_str, &f, &again), S3_ENOENT);
    CHECK_INT(get(t, loop, &block, UINT64_MAX, s3_null_str, &f, &again),
              S3_ENOENT);

    s3_block_release(&block);
}


/* Steps with S3_AGAIN served. */

static int
settle(s3_table_iter_t *it, int rc, unsigned *again)
{
    while (rc == S3_AGAIN) {
        (*again)++;
        s3_block_read(it->table->fs, it->source.block);
        rc = it->source.ops->resume(&it->source);
    }

    return rc;
}


/* Is the current entry version v of row i? */

static int
at_row(const s3_source_t *src, unsigned i, unsigned v)
{
    s3_entry_t e, want;

    if (src->bucket != rows[i].bucket || !s3_str_eq(src->key, row_key(&rows[i]))
        || s3_entry_decode(src->raw, src->raw_len, &e)
               != (ssize_t) src->raw_len)
    {
        return 0;
    }

    want = entry_of(rows[i].bucket, row_key(&rows[i]), v);

    return entry_same(&e, &want);
}


static void
test_iterate(s3_table_t *t, s3_loop_t *loop, s3_fs_t *fs, int may_wait)
{
    s3_table_iter_t it;
    unsigned i = 0, v, again = 0, bad = 0, k, have;
    unsigned long seen = 0;
    int rc;

    s3_table_iter_init(&it, t, loop, fs);
    CHECK_INT(it.source.ops->next(&it.source), S3_DONE);

    rc = settle(&it, it.source.ops->seek(&it.source, 0, s3_null_str), &again);

    for (i = 0; i < n_rows; i++) {
        for (v = rows[i].versions; v > 0; v--) {
            bad += rc != S3_OK || !at_row(&it.source, i, v)
                   || it.source.same != (v != rows[i].versions);
            seen++;
            rc = settle(&it, it.source.ops->next(&it.source), &again);
        }
    }

    CHECK_INT(bad, 0);
    CHECK_INT(rc, S3_DONE);
    CHECK_INT(it.source.ops->next(&it.source), S3_DONE);
    CHECK_INT(seen, t->stats.entries);
    CHECK(may_wait ? again > 0 : again == 0);

    /* seeks: to a key, and between two; then some steps */

    for (k = 0; k < 2000; k++) {
        uint64_t r = ram_random(&seed);
        unsigned steps = (unsigned) (r >> 40) % 300;
        char key[64];

        i = (unsigned) (r % n_rows);
        (void) snprintf(key, sizeof(key), "%s%s", rows[i].key,
                        k % 2 ? "\x01" : "");
        have = 0;
        s3_table_iter_expect(&it, (uint32_t) (r >> 10) % 400,
                             (uint32_t) (r >> 20) % 50, (size_t) (r >> 30) % 8,
                             &have, (unsigned) (r >> 35) % 400);
        rc = settle(&it,
                    it.source.ops->seek(&it.source, rows[i].bucket,
                                        s3_str(key, strlen(key))),
                    &again);

        for (i += k % 2, v = i < n_rows ? rows[i].versions : 0;
             steps && i < n_rows; steps--)
        {
            have++;
            bad += rc != S3_OK || !at_row(&it.source, i, v)
                   || (v == rows[i].versions && it.source.same);

            if (--v == 0 && ++i < n_rows) {
                v = rows[i].versions;
            }

            rc = settle(&it, it.source.ops->next(&it.source), &again);
        }

        if (i == n_rows) {
            bad += rc != S3_DONE;
        }
    }

    CHECK_INT(bad, 0);
    CHECK_INT(
        settle(&it, it.source.ops->seek(&it.source, UINT64_MAX, s3_string("z")),
               &again),
        S3_DONE);

    s3_table_iter_done(&it);
}


static void
test_model(unsigned n)
{
    ram_t ram;
    ram_loop_t rl;
    s3_fs_t *fs = ram_init(&ram);
    s3_table_stats_t st;
    s3_table_t *t;
    int refuse;

    make_rows(n);
    REQUIRE(write_rows(fs, 3, &st) == S3_OK);
    CHECK_INT(st.id, 3);
    CHECK_INT(st.keys, n_rows);
    CHECK_INT(st.entries, count_entries());
    CHECK_INT(ram.open, 0);

    REQUIRE(s3_table_open(fs, 3, &t) == S3_OK);
    CHECK_INT(t->stats.keys, st.keys);
    CHECK_INT(t->stats.entries, st.entries);
    CHECK_INT(t->stats.bytes, st.bytes);
    CHECK_INT(t->stats.blocks, st.blocks);
    CHECK_INT(t->min_bucket, rows[0].bucket);
    CHECK(s3_str_eq(t->min_key, row_key(&rows[0])));
    CHECK_INT(t->max_bucket, rows[n_rows - 1].bucket);
    CHECK(s3_str_eq(t->max_key, row_key(&rows[n_rows - 1])));

    /* an open table outlives its name */

    CHECK_INT(s3_table_unlink(fs, 3), S3_OK);

    for (refuse = 0; refuse < 4; refuse++) {
        test_gets(t, refuse);
        test_iterate(t, ram_loop_init(&rl, refuse), NULL, refuse != 0);
    }

    test_iterate(t, NULL, fs, 0);

    s3_table_release(s3_table_hold(t));
    s3_table_release(t);
    CHECK_INT(ram.open, 0);
    ram_done(&ram);
}


/* Read-ahead: far fewer reads than blocks; a get is one read. */

static void
test_reads(void)
{
    ram_t ram;
    s3_fs_t *fs = ram_init(&ram);
    s3_table_stats_t st;
    s3_table_iter_t it;
    s3_block_t block = {0};
    s3_table_t *t;
    unsigned again = 0, more = 0;
    found_t f;
    int rc;

    make_rows(20000);
    REQUIRE(write_rows(fs, 1, &st) == S3_OK);
    REQUIRE(s3_table_open(fs, 1, &t) == S3_OK);

    ram.preads = 0;
    s3_table_iter_init(&it, t, NULL, fs);
    rc = it.source.ops->seek(&it.source, 0, s3_null_str);

    while (rc == S3_OK) {
        rc = it.source.ops->next(&it.source);
    }

    CHECK_INT(rc, S3_DONE);
    CHECK(st.blocks > 64);
    CHECK(ram.preads <= st.blocks / S3_TABLE_AHEAD + 4);
    s3_table_iter_done(&it);

    CHECK_INT(
        get(t, NULL, &block, rows[777].bucket, row_key(&rows[777]), &f, &again),
        S3_OK);
    CHECK_INT(again, rows[777].versions == 1 ? 1 : again);

    /* given up while it waits, then used for another key */

    CHECK_INT(s3_table_get(t, NULL, rows[5].bucket, row_key(&rows[5]),
                           s3_bloom_hash(rows[5].bucket, row_key(&rows[5])),
                           &block, found, &f),
              S3_AGAIN);
    block.waiting = 0;
    CHECK_INT(get(t, NULL, &block, rows[9999].bucket, row_key(&rows[9999]), &f,
                  &more),
              S3_OK);
    CHECK(!f.wrong);

    s3_block_release(&block);
    s3_table_release(t);
    ram_done(&ram);
}


/* One key whose entries fill several blocks, between two others. */

static void
test_wide(void)
{
    ram_t ram;
    s3_fs_t *fs = ram_init(&ram);
    s3_table_stats_t st;
    s3_table_t *t;

    n_rows = 0;
    make_rows(3);
    n_rows = 3;
    memset(rows, 0, 3 * sizeof(row_t));
    rows[0] = (row_t){1024, "a", 150};
    rows[1] = (row_t){1024, "b", 700};
    rows[2] = (row_t){1024, "b!x", 2};

    REQUIRE(write_rows(fs, 1, &st) == S3_OK);
    CHECK(st.blocks >= 5);
    REQUIRE(s3_table_open(fs, 1, &t) == S3_OK);
    test_iterate(t, NULL, fs, 0);
    s3_table_release(t);

    /* test_gets looks for "a!" and such, too: all three must be served */

    REQUIRE(s3_table_open(fs, 1, &t) == S3_OK);
    test_gets(t, 1);
    test_gets(t, 0);
    s3_table_release(t);
    ram_done(&ram);
}


/* Keys at the bounds: empty, longest, zero bytes; entries with most extra. */

static void
test_bounds(void)
{
    ram_t ram;
    s3_fs_t *fs = ram_init(&ram);
    s3_table_writer_t *w;
    s3_table_stats_t st;
    s3_table_iter_t it;
    s3_table_t *t;
    s3_entry_t e = entry_of(1, s3_null_str, 5);
    uint8_t key[S3_MAX_KEY + 1];
    unsigned i, n = 0;
    int rc;

    memset(key, 0xff, sizeof(key));
    e.extra_len = S3_MAX_EXTRA;

    REQUIRE(s3_table_writer_create(fs, 9, 1, &w) == S3_OK);
    CHECK_INT(s3_table_writer_add(w, 0, s3_null_str, &e), S3_OK);
    CHECK_INT(s3_table_writer_add(w, 0, s3_str("\0", 1), &e), S3_OK);
    CHECK_INT(s3_table_writer_add(w, 0, s3_str("\0\0", 2), &e), S3_OK);

    for (i = 1; i <= 100; i++) {
        key[S3_MAX_KEY - 1] = (uint8_t) i;
        CHECK_INT(s3_table_writer_add(w, i / 10, s3_str(key, S3_MAX_KEY), &e),
                  S3_OK);
    }

    key[0] = 0;
    CHECK_INT(s3_table_writer_add(w, UINT64_MAX, s3_str(key, S3_MAX_KEY), &e),
              S3_OK);
    REQUIRE(s3_table_writer_finish(w, &st) == S3_OK);
    CHECK_INT(st.entries, 104);

    REQUIRE(s3_table_open(fs, 9, &t) == S3_OK);
    s3_table_iter_init(&it, t, NULL, fs);

    for (rc = it.source.ops->seek(&it.source, 0, s3_null_str); rc == S3_OK;
         rc = it.source.ops->next(&it.source))
    {
        n++;
    }

    CHECK_INT(rc, S3_DONE);
    CHECK_INT(n, 104);
    CHECK_INT(it.source.ops->seek(&it.source, 0, s3_str(key, sizeof(key))),
              S3_EINVAL);
    s3_table_iter_done(&it);
    s3_table_release(t);

    /* what a writer refuses */

    REQUIRE(s3_table_writer_create(fs, 10, 1, &w) == S3_OK);
    CHECK_INT(s3_table_writer_add(w, 1, s3_str(key, sizeof(key)), &e),
              S3_EINVAL);
    CHECK_INT(s3_table_writer_add(w, 5, s3_string("b"), &e), S3_OK);
    CHECK_INT(s3_table_writer_add(w, 5, s3_string("b"), &e), S3_EINVAL);
    CHECK_INT(s3_table_writer_add(w, 5, s3_string("a"), &e), S3_EINVAL);
    CHECK_INT(s3_table_writer_add(w, 4, s3_string("c"), &e), S3_EINVAL);
    e.version.time++;
    CHECK_INT(s3_table_writer_add(w, 5, s3_string("b"), &e), S3_EINVAL);
    e.version.time = 1;
    CHECK_INT(s3_table_writer_add(w, 5, s3_string("b"), &e), S3_OK);
    e.extra_len = S3_MAX_EXTRA + 1;
    CHECK_INT(s3_table_writer_add(w, 6, s3_string("b"), &e), S3_EINVAL);
    s3_table_writer_abort(w);
    CHECK_INT(s3_table_open(fs, 10, &t), S3_ENOENT);

    /* nothing written: no file */

    REQUIRE(s3_table_writer_create(fs, 11, 0, &w) == S3_OK);
    CHECK_INT(s3_table_writer_finish(w, &st), S3_OK);
    CHECK_INT(st.entries, 0);
    CHECK_INT(s3_table_open(fs, 11, &t), S3_ENOENT);
    CHECK_INT(ram.open, 0);

    ram_done(&ram);
}


/* Every I/O of writing and opening fails once: an error, no leftover. */

static void
test_faults(void)
{
    ram_t ram;
    s3_fs_t *fs = ram_init(&ram);
    s3_table_stats_t st;
    s3_table_t *t;
    long at, total;

    make_rows(6000);
    REQUIRE(write_rows(fs, 1, &st) == S3_OK);
    total = ram.calls;
    CHECK(total > 6);

    for (at = 0; at < total; at++) {
        ram.calls = 0;
        ram.fail_at = at;
        CHECK_INT(write_rows(fs, 2, &st), S3_EIO);
        CHECK(ram_find(&ram, "index/00000002.tab") == NULL);
        CHECK_INT(ram.open, 0);
    }

    ram.fail_at = -1;
    ram.calls = 0;
    REQUIRE(s3_table_open(fs, 1, &t) == S3_OK);
    s3_table_release(t);
    total = ram.calls;

    for (at = 0; at < total; at++) {
        ram.calls = 0;
        ram.fail_at = at;
        CHECK_INT(s3_table_open(fs, 1, &t), S3_EIO);
        CHECK_INT(ram.open, 0);
    }

    ram_done(&ram);
}


/* All that a table says, or S3_ECORRUPT: never an entry that is not there. */

static void
scan_corrupt(s3_fs_t *fs, unsigned long *bad, unsigned long *noticed)
{
    s3_table_iter_t it;
    s3_block_t block = {0};
    s3_table_t *t;
    unsigned i = 0, v = rows[0].versions, again = 0;
    found_t f;
    int rc, seen = 0;

    rc = s3_table_open(fs, 1, &t);

    if (rc != S3_OK) {
        *bad += rc != S3_ECORRUPT;
        (*noticed)++;
        return;
    }

    s3_table_iter_init(&it, t, NULL, fs);

    for (rc = it.source.ops->seek(&it.source, 0, s3_null_str); rc == S3_OK;
         rc = it.source.ops->next(&it.source))
    {
        if (i >= n_rows || !at_row(&it.source, i, v)) {
            (*bad)++;
            break;
        }

        if (--v == 0 && ++i < n_rows) {
            v = rows[i].versions;
        }
    }

    seen |= rc == S3_ECORRUPT;
    *bad += rc != S3_ECORRUPT && rc != S3_DONE;
    s3_table_iter_done(&it);

    for (i = 0; i < n_rows; i += 17) {
        rc =
            get(t, NULL, &block, rows[i].bucket, row_key(&rows[i]), &f, &again);
        seen |= rc == S3_ECORRUPT;
        *bad += rc != S3_ECORRUPT
                && (rc != S3_OK || f.wrong || f.n != rows[i].versions);
    }

    *noticed += seen != 0;
    s3_block_release(&block);
    s3_table_release(t);
}


static void
test_corrupt(void)
{
    ram_t ram;
    s3_fs_t *fs = ram_init(&ram);
    s3_table_stats_t st;
    s3_file_t *f;
    unsigned long bad = 0, noticed = 0;
    size_t i, len;
    uint8_t old;

    make_rows(180);
    REQUIRE(write_rows(fs, 1, &st) == S3_OK);
    REQUIRE(st.blocks >= 2);
    f = *ram_find(&ram, "index/00000001.tab");
    len = f->len;

    for (i = 0; i < len; i++) {
        old = f->data[i];
        f->data[i] ^= (uint8_t) (1 << ram_random(&seed) % 8);
        scan_corrupt(fs, &bad, &noticed);
        f->data[i] = old;
    }

    CHECK_INT(bad, 0);
    CHECK_INT(noticed, len);

    /* cut short, or grown */

    for (i = 0; i < len; i += i < len - 300 ? 97 : 1) {
        f->len = i;
        scan_corrupt(fs, &bad, &noticed);
    }

    f->len = len;
    REQUIRE(ram_truncate(fs, f, len + 1) == S3_OK);
    noticed = 0;
    scan_corrupt(fs, &bad, &noticed);
    CHECK_INT(noticed, 1);
    f->len = len;

    /* under the name of another */

    REQUIRE(ram_rename(fs, "index/00000001.tab", "index/00000002.tab") == 0);
    {
        s3_table_t *t;
        CHECK_INT(s3_table_open(fs, 2, &t), S3_ECORRUPT);
    }
    REQUIRE(ram_rename(fs, "index/00000002.tab", "index/00000001.tab") == 0);

    noticed = 0;
    scan_corrupt(fs, &bad, &noticed);
    CHECK_INT(noticed, 0);
    CHECK_INT(bad, 0);

    ram_done(&ram);
}


/*
 * Keys that sort between a separator, which is short, and the first key of its
 * block, end like that one, and are taken for present by the filter: there are
 * none of them, wherever blocks begin.
 */

static void
test_between(void)
{
    ram_t ram;
    s3_fs_t *fs;
    s3_table_stats_t st;
    s3_table_t *t;
    s3_block_t block;
    ram_loop_t rl;
    s3_loop_t *loop = ram_loop_init(&rl, 0);
    unsigned before, i;
    found_t f;
    s3_str_t key;
    char absent[48];

    for (before = 1; before < 100; before++) {
        fs = ram_init(&ram);
        free(rows);
        n_rows = before + 100;
        rows = calloc(n_rows, sizeof(row_t));
        REQUIRE(rows != NULL);

        for (i = 0; i < n_rows; i++) {
            rows[i].bucket = 1024;
            rows[i].versions = 1;
            (void) snprintf(rows[i].key, sizeof(rows[i].key), "%s%03u/4",
                            i < before ? "few/" : "one/47.", i);
        }

        REQUIRE(write_rows(fs, 3, &st) == S3_OK);
        REQUIRE(s3_table_open(fs, 3, &t) == S3_OK);

        for (i = before; i < n_rows; i++) {
            memset(&block, 0, sizeof(block));
            memcpy(absent, rows[i].key, sizeof(absent));
            memcpy(absent + 4, "34", 2);
            key = s3_str(absent, strlen(absent));
            f = (found_t){1024, key, 0, 0, 0};

            CHECK_INT(s3_table_get(t, loop, 1024, key,
                                   s3_bloom_hash(1024, row_key(&rows[i])),
                                   &block, found, &f),
                      S3_ENOENT);
            CHECK_INT(f.n, 0);
            s3_block_release(&block);
        }

        s3_table_release(t);
        ram_done(&ram);
    }
}


int
main(void)
{
    test_model(1);
    test_model(300);
    test_model(20000);
    test_model(100000);
    test_reads();
    test_wide();
    test_bounds();
    test_between();
    test_faults();
    test_corrupt();

    free(rows);

    return S3_TEST_END();
}
