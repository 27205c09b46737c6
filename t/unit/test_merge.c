/*
 * Merging against the rules said in another way: random entries of few keys
 * and few versions in several sources, some of which wait at every step.
 */

#include "storage/s3_merge.h"
#include "storage/s3_bloom.h"
#include "s3_ramfs.h"
#include "s3_test.h"


/* A source over an array; wait: S3_AGAIN before every result. */

typedef struct {
    uint64_t bucket;
    char key[12];
    s3_entry_t e;
} ent_t;

typedef struct {
    s3_source_t source;
    ent_t *ents;
    unsigned n;
    unsigned at;
    int wait;
    int waiting;
    unsigned fail_at; /* that entry can't be read */
    s3_block_t block;
    uint8_t raw[S3_ENTRY_FIXED + S3_MAX_EXTRA];
} mem_t;


static int
mem_set(mem_t *m)
{
    if (m->wait && !m->waiting) {
        m->waiting = 1;
        return S3_AGAIN;
    }

    m->waiting = 0;

    if (m->at >= m->n) {
        m->source.key = s3_str(NULL, 1000); /* must not be looked at */
        return S3_DONE;
    }

    if (m->at == m->fail_at) {
        return S3_ECORRUPT;
    }

    s3_entry_encode(m->raw, &m->ents[m->at].e);
    m->source.bucket = m->ents[m->at].bucket;
    m->source.key = s3_str(m->ents[m->at].key, strlen(m->ents[m->at].key));
    m->source.raw = m->raw;
    m->source.raw_len = s3_entry_size(&m->ents[m->at].e);

    return S3_OK;
}


static int
mem_seek(s3_source_t *src, uint64_t bucket, s3_str_t key)
{
    mem_t *m = (mem_t *) src;

    m->waiting = 0;

    for (m->at = 0; m->at < m->n; m->at++) {
        ent_t *e = &m->ents[m->at];

        if (s3_key_cmp(e->bucket, s3_str(e->key, strlen(e->key)), bucket, key)
            >= 0) {
            break;
        }
    }

    return mem_set(m);
}


static int
mem_next(s3_source_t *src)
{
    ((mem_t *) src)->at++;

    return mem_set((mem_t *) src);
}


static int
mem_resume(s3_source_t *src)
{
    return mem_set((mem_t *) src);
}


static const s3_source_ops_t mem_ops = {mem_seek, mem_next, mem_resume};


static void
mem_init(mem_t *m, ent_t *ents, unsigned n, int wait)
{
    memset(m, 0, sizeof(mem_t));
    m->source.ops = &mem_ops;
    m->source.block = &m->block;
    m->ents = ents;
    m->n = n;
    m->wait = wait;
    m->fail_at = UINT32_MAX;
}


/* S3_AGAIN served. */

static int
next(s3_merge_t *m, unsigned *again)
{
    int rc;

    while ((rc = s3_merge_next(m)) == S3_AGAIN) {
        REQUIRE(m->waiting != NULL && m->waiting->block != NULL);
        (*again)++;
    }

    return rc;
}


static uint64_t seed = 1;

static unsigned
rnd(unsigned n)
{
    return (unsigned) (ram_random(&seed) >> 16) % n;
}


static s3_entry_t
entry(uint64_t version, int kind, int flags, unsigned where)
{
    s3_entry_t e;

    memset(&e, 0, sizeof(e));
    e.version.time = version;
    e.kind = (uint8_t) kind;
    e.flags = (uint8_t) flags;
    e.segment = where;
    e.offset = where * 8;
    e.length = 8;

    return e;
}


static int
ent_cmp(const void *a, const void *b)
{
    const ent_t *x = a, *y = b;
    int cmp = s3_key_cmp(x->bucket, s3_str(x->key, strlen(x->key)), y->bucket,
                         s3_str(y->key, strlen(y->key)));

    return cmp ? cmp : s3_version_cmp(&y->e.version, &x->e.version);
}


#define SOURCES 6
#define PER_SOURCE 60

static ent_t ents[SOURCES][PER_SOURCE];
static unsigned n_ents[SOURCES];
static unsigned where;


static void
make_source(unsigned s)
{
    static const uint64_t buckets[] = {S3_BUCKET_CLOSED, S3_BUCKET_NOTES, 1024,
                                       1028};
    static const int kinds[] = {S3_KIND_OBJECT, S3_KIND_TOMBSTONE,
                                S3_KIND_FENCE, S3_KIND_DEAD};
    unsigned i, k, n = rnd(PER_SOURCE + 1);
    ent_t *e;

    for (i = 0; i < n; i++) {
        e = &ents[s][i];
        e->bucket = buckets[rnd(4)];
        (void) snprintf(e->key, sizeof(e->key), "%.*s%u", (int) rnd(4), "kkk",
                        rnd(3));

        if (e->bucket < S3_BUCKET_FIRST) {
            e->e = entry(1 + rnd(4), S3_KIND_NOTE + (int) rnd(2), 0, where++);

        } else {
            k = rnd(4);
            e->e = entry(1 + rnd(8), kinds[k],
                         k < 2 && rnd(3) == 0 ? S3_F_CONFIRMED : 0, where++);
            e->e.flags |= rnd(8) ? 0 : S3_F_TIED;

            if (rnd(3) == 0) { /* as where a copy was flagged */
                e->e.segment = 7000;
                e->e.offset = 8;
            }
        }
    }

    /* one version once in a source */

    qsort(ents[s], n, sizeof(ent_t), ent_cmp);

    for (i = 1, k = n ? 1 : 0; i < n; i++) {
        if (ent_cmp(&ents[s][i], &ents[s][k - 1]) != 0) {
            ents[s][k++] = ents[s][i];
        }
    }

    n_ents[s] = k;
}


/* The rules, the slow way: is this entry in the result? */

static int
rank(const s3_entry_t *e)
{
    switch (e->kind) {
    case S3_KIND_OBJECT:
    case S3_KIND_TOMBSTONE:
        return e->flags & S3_F_CONFIRMED ? 9 : 5;
    case S3_KIND_DEAD:
        return 7;
    default:
        return 0;
    }
}


static int
stays(unsigned s, unsigned i, unsigned sources, int bottom)
{
    const ent_t *e = &ents[s][i], *o;
    int local = e->bucket < S3_BUCKET_FIRST, cmp;
    unsigned t, j;

    if (local && bottom && e->e.kind == S3_KIND_UNNOTE) {
        return 0;
    }

    for (t = 0; t < sources; t++) {
        for (j = 0; j < n_ents[t]; j++) {
            o = &ents[t][j];

            if (o == e || o->bucket != e->bucket || strcmp(o->key, e->key)) {
                continue;
            }

            cmp = s3_version_cmp(&o->e.version, &e->e.version);

            if (cmp == 0
                && ((!local && rank(&o->e) > rank(&e->e))
                    || ((local || rank(&o->e) == rank(&e->e)) && t < s)))
            {
                return 0;
            }

            if (cmp > 0
                && (local || (rank(&o->e) == 9 && !(e->e.flags & S3_F_TIED)))) {
                return 0;
            }
        }
    }

    return 1;
}


typedef struct {
    unsigned why[8];
    unsigned total;
} drops_t;

static void
drop(void *ctx, s3_drop_t why, uint64_t bucket, s3_str_t key,
     const s3_entry_t *e)
{
    drops_t *d = ctx;

    CHECK(bucket && key.len && e->version.time);
    d->why[why]++;
    d->total++;
}


static int
no_filter(void *ctx, uint64_t bucket, s3_str_t key, const s3_entry_t *e)
{
    (void) ctx;
    (void) key;

    return bucket == 1028 && e->kind == S3_KIND_TOMBSTONE;
}


static void
test_random(int wait, int bottom, int filter)
{
    unsigned sources = 1 + rnd(SOURCES), s, i, n = 0, total = 0, again = 0;
    static ent_t want[SOURCES * PER_SOURCE];
    s3_source_t *srcs[SOURCES];
    mem_t mems[SOURCES];
    drops_t drops = {0};
    s3_merge_t m;
    ent_t from;
    int rc;

    where = 1;

    for (s = 0; s < sources; s++) {
        make_source(s);
        mem_init(&mems[s], ents[s], n_ents[s], wait ? (int) rnd(2) : 0);
        srcs[s] = &mems[s].source;
        total += n_ents[s];
    }

    /* all, or from somewhere on */

    memset(&from, 0, sizeof(from));
    if (rnd(2)) {
        from.bucket = 1024;
        (void) snprintf(from.key, sizeof(from.key), "kk%u", rnd(3));
    }

    from.e.version.time = UINT64_MAX;

    for (s = 0; s < sources; s++) {
        for (i = 0; i < n_ents[s]; i++) {
            if (stays(s, i, sources, bottom) && ent_cmp(&ents[s][i], &from) > 0
                && !(filter
                     && no_filter(NULL, ents[s][i].bucket, s3_null_str,
                                  &ents[s][i].e)))
            {
                want[n++] = ents[s][i];
            }
        }
    }

    qsort(want, n, sizeof(ent_t), ent_cmp);

    REQUIRE(s3_merge_init(&m, srcs, sources, bottom ? S3_MERGE_BOTTOM : 0)
            == S3_OK);
    m.drop = drop;
    m.ctx = &drops;
    m.filter = filter ? no_filter : NULL;

    CHECK_INT(s3_merge_next(&m), S3_EINVAL);

    if (rnd(2)) { /* a seek in the middle of things */
        (void) s3_merge_seek(&m, 0, s3_null_str);
        (void) s3_merge_next(&m);
        (void) s3_merge_next(&m);
        memset(&drops, 0, sizeof(drops));
    }

    REQUIRE(s3_merge_seek(&m, from.bucket, s3_str(from.key, strlen(from.key)))
            == S3_OK);

    for (i = 0; (rc = next(&m, &again)) == S3_OK;) {
        CHECK(m.n > 0);

        for (s = 0; s < m.n; s++, i++) {
            REQUIRE(i < n);
            CHECK_INT(m.bucket, want[i].bucket);
            CHECK(s3_str_eq(m.key, s3_str(want[i].key, strlen(want[i].key))));
            CHECK(memcmp(&m.entries[s], &want[i].e, sizeof(s3_entry_t)) == 0);
        }

        if (i < n && rnd(4) == 0) { /* on to a key behind this one */
            i += rnd(n - i);

            while (want[i].bucket == want[i - 1].bucket
                   && strcmp(want[i].key, want[i - 1].key) == 0)
            {
                i--;
            }

            REQUIRE(s3_merge_seek(&m, want[i].bucket,
                                  s3_str(want[i].key, strlen(want[i].key)))
                    == S3_OK);
        }
    }

    CHECK_INT(rc, S3_DONE);
    CHECK_INT(s3_merge_next(&m), S3_DONE);
    CHECK_INT(i, n);

    /* what came in came out, or was reported, or was a copy in place */

    CHECK(n + drops.total <= total);
    CHECK(filter || drops.why[S3_DROP_FILTERED] == 0);

    s3_merge_done(&m);
}


/* Single cases, by name. */

static drops_t case_drops;

static unsigned
merge2(s3_merge_t *m, mem_t *mems, ent_t *a, unsigned na, ent_t *b, unsigned nb,
       unsigned flags)
{
    static s3_source_t *srcs[2];
    int rc;

    mem_init(&mems[0], a, na, 0);
    mem_init(&mems[1], b, nb, 0);
    srcs[0] = &mems[0].source;
    srcs[1] = &mems[1].source;
    memset(&case_drops, 0, sizeof(case_drops));

    REQUIRE(s3_merge_init(m, srcs, 2, flags) == S3_OK);
    m->drop = drop;
    m->ctx = &case_drops;
    REQUIRE(s3_merge_seek(m, 0, s3_null_str) == S3_OK);
    rc = s3_merge_next(m);

    return rc == S3_OK ? m->n : 0;
}


static void
test_cases(void)
{
    s3_merge_t m;
    mem_t mems[2];
    ent_t a[2], b[2];
    unsigned i;

    memset(a, 0, sizeof(a));
    memset(b, 0, sizeof(b));

    for (i = 0; i < 2; i++) {
        a[i].bucket = b[i].bucket = 1024;
        strcpy(a[i].key, "k");
        strcpy(b[i].key, "k");
    }

    /* a flag was added in place: one entry, nothing free */

    a[0].e = entry(5, S3_KIND_OBJECT, S3_F_CONFIRMED, 1);
    b[0].e = entry(5, S3_KIND_OBJECT, 0, 1);
    CHECK_INT(merge2(&m, mems, a, 1, b, 1, 0), 1);
    CHECK(m.entries[0].flags == S3_F_CONFIRMED);
    CHECK_INT(case_drops.total, 0);
    s3_merge_done(&m);

    /* the same, the confirmed one being in the older source */

    CHECK_INT(merge2(&m, mems, b, 1, a, 1, 0), 1);
    CHECK(m.entries[0].flags == S3_F_CONFIRMED);
    CHECK_INT(case_drops.total, 0);
    s3_merge_done(&m);

    /* moved: the newer location, the old bytes free */

    a[0].e = entry(5, S3_KIND_OBJECT, S3_F_CONFIRMED, 2);
    b[0].e = entry(5, S3_KIND_OBJECT, S3_F_CONFIRMED, 1);
    CHECK_INT(merge2(&m, mems, a, 1, b, 1, 0), 1);
    CHECK_INT(m.entries[0].segment, 2);
    CHECK_INT(case_drops.why[S3_DROP_MOVED], 1);
    s3_merge_done(&m);

    /* dead, at the location of the record: its blobs go all the same */

    a[0].e = entry(5, S3_KIND_DEAD, 0, 1);
    b[0].e = entry(5, S3_KIND_OBJECT, 0, 1);
    CHECK_INT(merge2(&m, mems, a, 1, b, 1, 0), 1);
    CHECK_INT(m.entries[0].kind, S3_KIND_DEAD);
    CHECK_INT(case_drops.why[S3_DROP_DEAD], 1);
    s3_merge_done(&m);

    /* nothing is older than an unconfirmed record; a tied one stays */

    a[0].e = entry(5, S3_KIND_OBJECT, 0, 1);
    b[0].e = entry(4, S3_KIND_OBJECT, S3_F_CONFIRMED, 2);
    CHECK_INT(merge2(&m, mems, a, 1, b, 1, 0), 2);
    CHECK_INT(case_drops.total, 0);
    s3_merge_done(&m);

    a[0].e = entry(5, S3_KIND_TOMBSTONE, S3_F_CONFIRMED, 1);
    b[0].e = entry(4, S3_KIND_FENCE, S3_F_TIED, 2);
    b[1].e = entry(3, S3_KIND_OBJECT, S3_F_CONFIRMED, 3);
    CHECK_INT(merge2(&m, mems, a, 1, b, 2, 0), 2);
    CHECK_INT(m.entries[1].kind, S3_KIND_FENCE);
    CHECK_INT(case_drops.why[S3_DROP_SUPERSEDED], 1);
    s3_merge_done(&m);

    /* notes: unnote hides, vanishes at the bottom; a later note comes back */

    a[0].bucket = b[0].bucket = S3_BUCKET_NOTES;
    a[0].e = entry(5, S3_KIND_UNNOTE, 0, 1);
    b[0].e = entry(5, S3_KIND_NOTE, 0, 2);
    CHECK_INT(merge2(&m, mems, a, 1, b, 1, 0), 1);
    CHECK_INT(m.entries[0].kind, S3_KIND_UNNOTE);
    CHECK_INT(case_drops.why[S3_DROP_LOCAL], 1);
    CHECK_INT(case_drops.total, 1);
    s3_merge_done(&m);
    CHECK_INT(merge2(&m, mems, a, 1, b, 1, S3_MERGE_BOTTOM), 0);
    CHECK_INT(case_drops.why[S3_DROP_LOCAL], 2);
    s3_merge_done(&m);
    CHECK_INT(merge2(&m, mems, b, 1, a, 1, S3_MERGE_BOTTOM), 1);
    CHECK_INT(m.entries[0].kind, S3_KIND_NOTE);
    s3_merge_done(&m);

    /* an unnote of an older version does not undo a newer note */

    b[0].e = entry(6, S3_KIND_NOTE, 0, 2);
    CHECK_INT(merge2(&m, mems, a, 1, b, 1, S3_MERGE_BOTTOM), 1);
    CHECK_INT(m.entries[0].kind, S3_KIND_NOTE);
    s3_merge_done(&m);

    /* an error of a source stays until the next seek */

    CHECK_INT(merge2(&m, mems, a, 1, b, 1, 0), 1);
    mems[1].fail_at = 0;
    REQUIRE(s3_merge_seek(&m, 0, s3_null_str) == S3_OK);
    CHECK_INT(s3_merge_next(&m), S3_ECORRUPT);
    CHECK_INT(s3_merge_next(&m), S3_ECORRUPT);
    mems[1].fail_at = UINT32_MAX;
    REQUIRE(s3_merge_seek(&m, 0, s3_null_str) == S3_OK);
    CHECK_INT(s3_merge_next(&m), S3_OK);
    s3_merge_done(&m);

    CHECK_INT(s3_merge_init(&m, NULL, S3_MERGE_MAX + 1, 0), S3_EINVAL);
    REQUIRE(s3_merge_init(&m, NULL, 0, 0) == S3_OK);
    REQUIRE(s3_merge_seek(&m, 0, s3_null_str) == S3_OK);
    CHECK_INT(s3_merge_next(&m), S3_DONE);
}


/* Many entries of one key: the array grows. */

static void
test_many(void)
{
    static ent_t many[2][300];
    mem_t mems[2];
    s3_merge_t m;
    unsigned i, s;

    for (s = 0; s < 2; s++) {
        for (i = 0; i < 300; i++) {
            many[s][i].bucket = 1024;
            strcpy(many[s][i].key, "k");
            many[s][i].e = entry(700 - 2 * i - s, S3_KIND_OBJECT, 0, 1);
        }
    }

    CHECK_INT(merge2(&m, mems, many[0], 300, many[1], 300, 0), 600);

    for (i = 0; i < 600; i++) {
        CHECK_INT(m.entries[i].version.time, 700 - i);
    }

    s3_merge_done(&m);
}


/* Tables into one: every I/O failing once, cancelling, and the result. */

static int
write_table(s3_fs_t *fs, uint32_t id, unsigned first, unsigned step, unsigned n,
            uint64_t version)
{
    s3_table_writer_t *w;
    s3_table_stats_t st;
    s3_entry_t e = entry(version, S3_KIND_OBJECT, S3_F_CONFIRMED, id);
    char key[16];
    unsigned i;
    int rc, len;

    rc = s3_table_writer_create(fs, id, n, &w);

    for (i = 0; rc == S3_OK && i < n; i++) {
        len = snprintf(key, sizeof(key), "%08u", first + i * step);
        rc = s3_table_writer_add(w, 1024, s3_str(key, (size_t) len), &e);
    }

    return rc == S3_OK ? s3_table_writer_finish(w, &st) : rc;
}


static int
count_found(void *ctx, const s3_entry_t *e)
{
    *(uint64_t *) ctx = e->version.time;

    return 0;
}


static void
test_compact(void)
{
    ram_t ram;
    s3_fs_t *fs = ram_init(&ram);
    s3_table_t *tables[3], *out;
    s3_block_t block = {0};
    drops_t drops = {0};
    s3_compact_t c;
    ram_loop_t rl;
    s3_loop_t *loop = ram_loop_init(&rl, 0);
    uint64_t version;
    char key[16];
    unsigned i, wrong = 0;
    long at, total;
    unsigned char cancelled = 0;

    /* newest: every third key; older: every second; oldest: all */

    REQUIRE(write_table(fs, 3, 0, 3, 1000, 30) == S3_OK);
    REQUIRE(write_table(fs, 2, 0, 2, 1500, 20) == S3_OK);
    REQUIRE(write_table(fs, 1, 0, 1, 3000, 10) == S3_OK);

    for (i = 0; i < 3; i++) {
        REQUIRE(s3_table_open(fs, 3 - i, &tables[i]) == S3_OK);
    }

    memset(&c, 0, sizeof(c));
    c.fs = fs;
    c.id = 4;
    c.flags = S3_MERGE_BOTTOM;
    c.drop = drop;
    c.ctx = &drops;
    c.cancelled = &cancelled;

    ram.calls = 0;
    CHECK_INT(s3_compact_tables(&c, tables, 3), S3_OK);
    total = ram.calls;
    CHECK_INT(c.stats.entries, 3000);
    CHECK_INT(c.estimate, 5500);
    CHECK_INT(drops.why[S3_DROP_SUPERSEDED], 2500);
    CHECK_INT(drops.total, 2500);

    REQUIRE(s3_table_open(fs, 4, &out) == S3_OK);

    for (i = 0; i < 3000; i++) {
        s3_str_t k = s3_str(key, (size_t) snprintf(key, 16, "%08u", i));

        version = 0;
        wrong += s3_table_get(out, loop, 1024, k, s3_bloom_hash(1024, k),
                              &block, count_found, &version)
                 != S3_OK;
        wrong += version != (i % 3 == 0 ? 30 : i % 2 == 0 ? 20 : 10);
    }

    CHECK_INT(wrong, 0);
    s3_table_release(out);
    s3_block_release(&block);

    for (at = 0; at < total; at++) {
        ram.calls = 0;
        ram.fail_at = at;
        c.id = 5;
        CHECK_INT(s3_compact_tables(&c, tables, 3), S3_EIO);
        CHECK(ram_find(&ram, "index/00000005.tab") == NULL);
        CHECK_INT(ram.open, 3);
    }

    ram.fail_at = -1;
    cancelled = 1;
    CHECK_INT(s3_compact_tables(&c, tables, 3), S3_DONE);
    CHECK(ram_find(&ram, "index/00000005.tab") == NULL);
    CHECK_INT(s3_compact_tables(&c, tables, 0), S3_EINVAL);

    for (i = 0; i < 3; i++) {
        s3_table_release(tables[i]);
    }

    CHECK_INT(ram.open, 0);
    ram_done(&ram);
}


/* A large table is synced on the way, and that may fail like the last one. */

static void
test_compact_large(void)
{
    ram_t ram;
    s3_fs_t *fs = ram_init(&ram);
    s3_table_t *table;
    s3_compact_t c;
    long at, total;

    REQUIRE(write_table(fs, 1, 0, 1, 200000, 10) == S3_OK);
    REQUIRE(s3_table_open(fs, 1, &table) == S3_OK);

    memset(&c, 0, sizeof(c));
    c.fs = fs;
    c.id = 2;

    ram.syncs = 0;
    CHECK_INT(s3_compact_tables(&c, &table, 1), S3_OK);
    CHECK_INT(c.stats.entries, 200000);
    total = ram.syncs;
    CHECK(total > 1);

    for (at = 0; at < total; at++) {
        ram.syncs = 0;
        ram.fail_sync = at;
        c.id = 3;
        CHECK_INT(s3_compact_tables(&c, &table, 1), S3_EIO);
        CHECK(ram_find(&ram, "index/00000003.tab") == NULL);
        CHECK_INT(ram.open, 1);
    }

    s3_table_release(table);
    ram_done(&ram);
}


/* The policy over many flushes: few tables, few rewrites. */

static void
test_pick(unsigned flushes, uint64_t jitter)
{
    uint64_t bytes[64] = {0}, all = 0, written = 0, sum, one;
    unsigned i, j, n = 0, most = 0, count, first;

    for (i = 0; i < flushes; i++) {
        memmove(bytes + 1, bytes, n * sizeof(bytes[0]));
        one = 1000 + (jitter ? ram_random(&seed) % jitter : 0);
        bytes[0] = one;
        all += one;
        n++;

        while ((count = s3_compact_pick(bytes, n, &first)) != 0) {
            REQUIRE(count >= 2 && first + count <= n);

            for (sum = 0, j = first; j < first + count; j++) {
                sum += bytes[j];
            }

            written += sum;
            bytes[first] = sum;
            n -= count - 1;
            memmove(bytes + first + 1, bytes + first + count,
                    (n - first - 1) * sizeof(bytes[0]));
        }

        most = s3_max(most, n);
    }

    CHECK(most <= S3_COMPACT_TABLES);
    CHECK(written / all <= 12);
    CHECK(n == 0 || s3_compact_pick(bytes, 1, &first) == 0);
    CHECK_INT(s3_compact_pick(bytes, 0, &first), 0);
}


/* The same with rest after each: one table, or much less beside it. */

static void
test_pick_rest(unsigned flushes)
{
    uint64_t bytes[64] = {0}, all = 0, written = 0, sum;
    unsigned i, j, n = 0, most = 0, count;

    for (i = 0; i < flushes; i++) {
        memmove(bytes + 1, bytes, n * sizeof(bytes[0]));
        bytes[0] = 1000;
        all += bytes[0];
        n++;

        while ((count = s3_compact_pick_rest(bytes, n)) != 0) {
            REQUIRE(count >= 2 && count <= n);

            for (sum = 0, j = 0; j < count; j++) {
                sum += bytes[j];
            }

            written += sum;
            bytes[0] = sum;
            n -= count - 1;
            memmove(bytes + 1, bytes + count, (n - 1) * sizeof(bytes[0]));
        }

        for (j = 1; j < n; j++) {
            CHECK(bytes[j] > S3_COMPACT_REST * bytes[j - 1]);
        }

        most = s3_max(most, n);
    }

    CHECK(n >= 1 && most <= 4);
    CHECK(written / all <= 3 * S3_COMPACT_REST);
    CHECK_INT(s3_compact_pick_rest(bytes, 1), 0);
    CHECK_INT(s3_compact_pick_rest(bytes, 0), 0);
}


int
main(void)
{
    unsigned i;

    for (i = 0; i < 3000; i++) {
        test_random(i % 2, i / 2 % 2, i % 5 == 0);
    }

    test_cases();
    test_many();
    test_compact();
    test_compact_large();
    test_pick(10, 0);
    test_pick(5000, 0);
    test_pick(5000, 500);
    test_pick(5000, 20000);
    test_pick_rest(100);
    test_pick_rest(5000);

    return S3_TEST_END();
}
