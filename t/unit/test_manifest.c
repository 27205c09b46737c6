/*
 * The MANIFEST: what is saved is loaded, nothing else ever is: with each I/O
 * failing, each byte corrupted, each of the two files lost.
 */

#include <xxhash.h>

#include "storage/s3_manifest.h"
#include "s3_ramfs.h"
#include "s3_test.h"


#define MAIN "index/MANIFEST"
#define COPY "index/MANIFEST.copy"


static void
fill(s3_manifest_t *m, unsigned tables, unsigned segments)
{
    unsigned i;

    s3_manifest_init(m);
    m->next_table_id = tables + 1;
    m->next_segment_id = UINT32_MAX;
    m->clock = UINT64_MAX;
    m->floor = (s3_version_t){UINT64_MAX - 1, 0x8000000000000001, UINT32_MAX};

    for (i = 0; i < tables; i++) {
        s3_manifest_table_t t = {i + 1, 1000 * i, (uint64_t) i << 40};

        REQUIRE(s3_manifest_add_table(m, i % 2 ? m->n_tables : 0, &t) == S3_OK);
    }

    for (i = 0; i < segments; i++) {
        s3_manifest_segment_t s = {UINT32_MAX - 1 - i, i * 4096, i, i % 2};

        REQUIRE(s3_manifest_add_segment(m, &s) == S3_OK);
    }
}


static int
same(const s3_manifest_t *a, const s3_manifest_t *b)
{
    unsigned i;

    if (a->version != b->version || a->generation != b->generation
        || a->n_tables != b->n_tables || a->n_segments != b->n_segments
        || s3_version_cmp(&a->floor, &b->floor) != 0 || a->clock != b->clock
        || a->next_table_id != b->next_table_id
        || a->next_segment_id != b->next_segment_id)
    {
        return 0;
    }

    for (i = 0; i < a->n_tables; i++) {
        if (a->tables[i].id != b->tables[i].id
            || a->tables[i].bytes != b->tables[i].bytes
            || a->tables[i].entries != b->tables[i].entries)
        {
            return 0;
        }
    }

    for (i = 0; i < a->n_segments; i++) {
        if (a->segments[i].id != b->segments[i].id
            || a->segments[i].replay_from != b->segments[i].replay_from
            || a->segments[i].live != b->segments[i].live
            || a->segments[i].sealed != b->segments[i].sealed)
        {
            return 0;
        }
    }

    return 1;
}


static void
test_roundtrip(unsigned tables, unsigned segments)
{
    ram_t ram;
    s3_fs_t *fs = ram_init(&ram);
    s3_manifest_t m, got;

    CHECK_INT(s3_manifest_load(fs, &got), S3_ENOENT);

    fill(&m, tables, segments);
    CHECK_INT(s3_manifest_save(fs, &m), S3_OK);
    CHECK_INT(m.generation, 1);
    REQUIRE(s3_manifest_load(fs, &got) == S3_OK);
    CHECK(same(&m, &got));
    CHECK(!got.repair);

    s3_manifest_free(&got);
    s3_manifest_free(&m);
    CHECK_INT(ram.open, 0);
    ram_done(&ram);
}


static void
test_arrays(void)
{
    s3_manifest_t m;
    s3_manifest_table_t t = {7, 1, 1};
    s3_manifest_segment_t s = {9, 1, 1, 0};
    unsigned i;

    fill(&m, 3, 3);
    CHECK_INT(s3_manifest_add_table(&m, 4, &t), S3_EINVAL);
    CHECK_INT(s3_manifest_add_table(&m, 1, &t), S3_OK);
    CHECK_INT(m.tables[1].id, 7);
    CHECK_INT(s3_manifest_add_table(&m, 0, &t), S3_EEXIST);
    s3_manifest_del_table(&m, 7);
    s3_manifest_del_table(&m, 77);
    CHECK_INT(m.n_tables, 3);
    CHECK_INT(m.tables[1].id, 1);

    CHECK_INT(s3_manifest_add_segment(&m, &s), S3_OK);
    CHECK_INT(s3_manifest_add_segment(&m, &s), S3_EEXIST);
    CHECK(s3_manifest_segment(&m, 9) != NULL);
    s3_manifest_del_segment(&m, 9);
    s3_manifest_del_segment(&m, 9);
    CHECK(s3_manifest_segment(&m, 9) == NULL);
    CHECK_INT(m.n_segments, 3);

    for (i = 0; m.n_tables < S3_MANIFEST_TABLES; i++) {
        t.id = 100 + i;
        REQUIRE(s3_manifest_add_table(&m, 0, &t) == S3_OK);
    }

    t.id = 99;
    CHECK_INT(s3_manifest_add_table(&m, 0, &t), S3_ENOMEM);
    s3_manifest_free(&m);
    CHECK(m.tables == NULL && m.n_tables == 0);
}


/* What must not be written is not. */

static void
test_refuses(void)
{
    s3_manifest_t m;
    size_t len;
    char *text;

#define REFUSES(change)                                            \
    do {                                                           \
        fill(&m, 2, 2);                                            \
        change;                                                    \
        CHECK_INT(s3_manifest_format(&m, &text, &len), S3_EINVAL); \
        s3_manifest_free(&m);                                      \
    } while (0)

    REFUSES(m.tables[0].id = 0);
    REFUSES(m.tables[0].id = m.tables[1].id);
    REFUSES(m.next_table_id = 2);
    REFUSES(m.next_table_id = 0);
    REFUSES(m.tables[1].bytes = UINT64_MAX);
    REFUSES(m.tables[1].entries = UINT64_MAX);
    REFUSES(m.segments[1].id = m.segments[0].id);
    REFUSES(m.segments[1].id = 0);
    REFUSES(m.segments[1].live = UINT64_MAX);
    REFUSES(m.next_segment_id = 1);
    REFUSES(m.generation = UINT64_MAX);
}


static int
parse(const char *json, s3_manifest_t *m)
{
    char text[2048];
    int n;

    n = snprintf(text, sizeof(text) - 32, "%s\n", json);
    n += snprintf(text + n, 32, "#%016llx\n",
                  (unsigned long long) XXH3_64bits(text, (size_t) n));

    return s3_manifest_parse(text, (size_t) n, m);
}


/* One manifest with a part of it replaced. */

#define HEAD "\"version\":1,\"generation\":3"
#define FLOOR                                            \
    "\"floor\":{\"time\":\"00000000000000ff\",\"rand\":" \
    "\"0000000000000001\",\"node\":2}"
#define REST                                              \
    "\"clock\":\"0000000000000007\",\"next_table_id\":5," \
    "\"next_segment_id\":6"
#define TABLES "\"tables\":[{\"id\":4,\"bytes\":10,\"entries\":1}]"
#define SEGMENTS "\"segments\":[{\"id\":5,\"replay_from\":4096,\"live\":0}]"
#define ALL(h, f, r, t, s) "{" h "," f "," r "," t "," s "}"


static void
test_parse(void)
{
    static const struct {
        const char *json;
        int rc;
    } cases[] = {
        {ALL(HEAD, FLOOR, REST, TABLES, SEGMENTS), S3_OK},
        {ALL(HEAD, FLOOR, REST, "\"tables\":[]", "\"segments\":[]"), S3_OK},
        {ALL("\"version\":2", FLOOR, REST, TABLES, SEGMENTS), S3_EVERSION},
        {"{\"version\":2}", S3_EVERSION},
        {"{\"version\":0}", S3_ECORRUPT},
        {"{\"version\":-1}", S3_ECORRUPT},
        {"{\"version\":\"1\"}", S3_ECORRUPT},
        {"{}", S3_ECORRUPT},
        {"[]", S3_ECORRUPT},
        {"", S3_ECORRUPT},
        {ALL("\"version\":1", FLOOR, REST, TABLES, SEGMENTS), S3_ECORRUPT},
        {ALL(HEAD, "\"floor\":0", REST, TABLES, SEGMENTS), S3_ECORRUPT},
        {ALL(HEAD, FLOOR, REST, TABLES, SEGMENTS) "x", S3_ECORRUPT},
        {ALL(HEAD, FLOOR, REST, "\"tables\":{}", SEGMENTS), S3_ECORRUPT},
        {ALL(HEAD, FLOOR, REST, "\"tables\":[1]", SEGMENTS), S3_ECORRUPT},
        {ALL(HEAD, FLOOR, REST,
             "\"tables\":[{\"id\":5,\"bytes\":10,\"entries\":1}]", SEGMENTS),
         S3_ECORRUPT},
        {ALL(HEAD, FLOOR, REST,
             "\"tables\":[{\"id\":4294967300,\"bytes\":1,\"entries\":1}]",
             SEGMENTS),
         S3_ECORRUPT},
        {ALL(HEAD, FLOOR, REST,
             "\"tables\":[{\"id\":4,\"bytes\":-1,\"entries\":1}]", SEGMENTS),
         S3_ECORRUPT},
        {ALL(HEAD, FLOOR, REST,
             "\"tables\":[{\"id\":4,\"bytes\":1.5,\"entries\":1}]", SEGMENTS),
         S3_ECORRUPT},
        {ALL(HEAD, FLOOR, REST, TABLES,
             "\"segments\":[{\"id\":5,\"replay_from\":0,\"live\":0},"
             "{\"id\":5,\"replay_from\":0,\"live\":0}]"),
         S3_ECORRUPT},
        {ALL(HEAD, FLOOR, REST, TABLES,
             "\"segments\":[{\"id\":5,\"replay_from\":4294967296,"
             "\"live\":0}]"),
         S3_ECORRUPT},
        {ALL(HEAD, FLOOR,
             "\"clock\":7,\"next_table_id\":5,"
             "\"next_segment_id\":6",
             TABLES, SEGMENTS),
         S3_ECORRUPT},
        {ALL(HEAD, FLOOR,
             "\"clock\":\"000000000000000G\","
             "\"next_table_id\":5,\"next_segment_id\":6",
             TABLES, SEGMENTS),
         S3_ECORRUPT},
        {ALL(HEAD "," HEAD, FLOOR, REST, TABLES, SEGMENTS), S3_ECORRUPT},
    };
    s3_manifest_t m;
    unsigned i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int rc = parse(cases[i].json, &m);

        if (rc != cases[i].rc) {
            fprintf(stderr, "case %u: %s\n", i, cases[i].json);
        }

        CHECK_INT(rc, cases[i].rc);

        if (i == 0 && rc == S3_OK) {
            CHECK_INT(m.generation, 3);
            CHECK_INT(m.floor.time, 255);
            CHECK_INT(m.floor.rand, 1);
            CHECK_INT(m.floor.node, 2);
            CHECK_INT(m.clock, 7);
            CHECK_INT(m.next_table_id, 5);
            CHECK_INT(m.next_segment_id, 6);
            CHECK_INT(m.tables[0].id, 4);
            CHECK_INT(m.tables[0].bytes, 10);
            CHECK_INT(m.segments[0].replay_from, 4096);
        }

        CHECK(rc == S3_OK || (m.n_tables == 0 && m.tables == NULL));
        s3_manifest_free(&m);
    }

    CHECK_INT(s3_manifest_parse("", 0, &m), S3_ECORRUPT);
}


/* Each byte of one file, each length: the other one serves. */

static void
test_corrupt(void)
{
    ram_t ram;
    s3_fs_t *fs = ram_init(&ram);
    const char *names[] = {MAIN, COPY};
    s3_manifest_t m, got;
    s3_file_t *f, *g;
    uint64_t seed = 7;
    unsigned which;
    size_t i, len;
    uint8_t bit;

    fill(&m, 2, 3);
    REQUIRE(s3_manifest_save(fs, &m) == S3_OK);

    for (which = 0; which < 2; which++) {
        f = *ram_find(&ram, names[which]);
        g = *ram_find(&ram, names[!which]);
        len = f->len;

        for (i = 0; i < len; i++) {
            bit = (uint8_t) (1 << ram_random(&seed) % 8);
            f->data[i] ^= bit;
            CHECK_INT(s3_manifest_load(fs, &got), S3_OK);
            CHECK(same(&m, &got));
            CHECK(got.repair);
            s3_manifest_free(&got);

            g->data[(i * 31) % len] ^= bit;
            CHECK_INT(s3_manifest_load(fs, &got), S3_ECORRUPT);
            CHECK(got.tables == NULL && got.segments == NULL);
            g->data[(i * 31) % len] ^= bit;
            f->data[i] ^= bit;
        }

        for (i = 0; i < len; i++) {
            f->len = i;
            CHECK_INT(s3_manifest_load(fs, &got), S3_OK);
            CHECK(same(&m, &got) && got.repair);
            s3_manifest_free(&got);
            f->len = len;
        }
    }

    /* one lost, or of a newer format; then repaired by save() */

    REQUIRE(ram_unlink(fs, MAIN) == S3_OK);
    REQUIRE(s3_manifest_load(fs, &got) == S3_OK);
    CHECK(got.repair);
    CHECK_INT(s3_manifest_save(fs, &got), S3_OK);
    CHECK(!got.repair);
    s3_manifest_free(&got);
    REQUIRE(ram_unlink(fs, COPY) == S3_OK);
    REQUIRE(s3_manifest_load(fs, &got) == S3_OK);
    CHECK_INT(got.generation, 2);
    s3_manifest_free(&got);
    s3_manifest_free(&m);

    ram_done(&ram);
}


/* Each I/O of save fails: old or new, never anything else; then save again. */

static void
test_faults(void)
{
    ram_t ram;
    s3_fs_t *fs;
    s3_manifest_t old, m, got;
    long at;
    int rc, fresh = 0, stale = 0, whole = 0;

    for (at = 0; !whole; at++) {
        fs = ram_init(&ram);
        fill(&old, 1, 1);
        REQUIRE(s3_manifest_save(fs, &old) == S3_OK);

        fill(&m, 2, 2);
        m.generation = old.generation;
        ram.calls = 0;
        ram.fail_at = at;
        rc = s3_manifest_save(fs, &m);
        ram.fail_at = -1;
        whole = ram.calls <= at;
        CHECK_INT(rc, whole ? S3_OK : S3_EIO);

        REQUIRE(s3_manifest_load(fs, &got) == S3_OK);
        CHECK(same(&got, &m) || (rc != S3_OK && same(&got, &old)));
        fresh += same(&got, &m);
        stale += same(&got, &old);
        s3_manifest_free(&got);

        CHECK_INT(s3_manifest_save(fs, &m), S3_OK);
        REQUIRE(s3_manifest_load(fs, &got) == S3_OK);
        CHECK(same(&got, &m) && !got.repair);
        CHECK_INT(s3_manifest_clean(fs, &got), S3_OK);
        CHECK(ram_find(&ram, MAIN ".tmp") == NULL);
        CHECK(ram_find(&ram, COPY ".tmp") == NULL);
        s3_manifest_free(&got);

        s3_manifest_free(&m);
        s3_manifest_free(&old);
        CHECK_INT(ram.open, 0);
        ram_done(&ram);
    }

    CHECK(stale > 3 && fresh > 3);

    /* a drive that fails to read is no new drive */

    fs = ram_init(&ram);
    fill(&m, 1, 1);
    REQUIRE(s3_manifest_save(fs, &m) == S3_OK);

    for (at = 0; at < 3; at++) {
        ram.calls = 0;
        ram.fail_at = at;
        REQUIRE(s3_manifest_load(fs, &got) == S3_OK);
        CHECK(same(&got, &m) && got.repair);
        s3_manifest_free(&got);
    }

    ram.fail_at = 0;
    ram.calls = 0;
    REQUIRE(ram_unlink(fs, COPY) == S3_EIO);
    REQUIRE(ram_unlink(fs, COPY) == S3_OK);
    ram.calls = 0;
    CHECK_INT(s3_manifest_load(fs, &got), S3_EIO);

    s3_manifest_free(&m);
    ram_done(&ram);
}


static void
put(s3_fs_t *fs, const char *name)
{
    s3_file_t *f;

    REQUIRE(fs->open(fs, name, S3_O_WRITE | S3_O_CREATE, &f) == S3_OK);
    fs->close(fs, f);
}


static void
test_clean(void)
{
    static const char *stay[] = {
        MAIN,
        COPY,
        "index/00000001.tab",
        "index/00000002.tab",
        "index/0000000g.tab",
        "index/0000000A.tab",
        "index/00000003.tab.old",
        "index/000000003.tab",
        "index/-0000001.tab",
        "index/notes.txt",
        "log/00000009.seg",
    };
    static const char *go[] = {"index/00000003.tab", "index/ffffffff.tab",
                               "index/MANIFEST.tmp", "index/MANIFEST.copy.tmp"};
    ram_t ram;
    s3_fs_t *fs = ram_init(&ram);
    s3_manifest_t m;
    char name[32];
    unsigned i;

    fill(&m, 2, 0);
    REQUIRE(s3_manifest_save(fs, &m) == S3_OK);

    for (i = 2; i < sizeof(stay) / sizeof(stay[0]); i++) {
        put(fs, stay[i]);
    }

    for (i = 0; i < sizeof(go) / sizeof(go[0]); i++) {
        put(fs, go[i]);
    }

    for (i = 0; i < 40; i++) {
        (void) snprintf(name, sizeof(name), "index/%08x.tab", 100 + i);
        put(fs, name);
    }

    CHECK_INT(s3_manifest_clean(fs, &m), S3_OK);

    for (i = 0; i < sizeof(stay) / sizeof(stay[0]); i++) {
        CHECK(ram_find(&ram, stay[i]) != NULL);
    }

    for (i = 0; i < sizeof(go) / sizeof(go[0]); i++) {
        CHECK(ram_find(&ram, go[i]) == NULL);
    }

    for (i = 0; i < 40; i++) {
        (void) snprintf(name, sizeof(name), "index/%08x.tab", 100 + i);
        CHECK(ram_find(&ram, name) == NULL);
    }

    s3_manifest_free(&m);
    ram_done(&ram);
}


int
main(void)
{
    test_roundtrip(0, 0);
    test_roundtrip(1, 1);
    test_roundtrip(8, 5000);
    test_arrays();
    test_refuses();
    test_parse();
    test_corrupt();
    test_faults();
    test_clean();

    return S3_TEST_END();
}
