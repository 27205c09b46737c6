/*
 * The cache of table blocks: what it keeps, what gives way, and that look-ups
 * put nothing into it that does not hold.
 */

#include "t/unit/s3_ramfs.h"
#include "t/unit/s3_test.h"
#include "storage/s3_cache.h"
#include "storage/s3_bloom.h"
#include "storage/s3_table.h"

#define ALL (S3_CACHE_SETS * S3_CACHE_WAYS)


static uint8_t
pattern(uint64_t table, uint32_t block)
{
    return (uint8_t) (table * 37 + block * 5 + 1);
}


static void
put(s3_cache_t *cache, uint64_t table, uint32_t block)
{
    uint8_t *room = s3_cache_room(cache, table, block);

    memset(room, pattern(table, block), S3_TABLE_BLOCK);
    s3_cache_keep(cache, room, table, block);
}


/* Is it there, and what was put there? */

static int
has(s3_cache_t *cache, uint64_t table, uint32_t block)
{
    const uint8_t *p = s3_cache_find(cache, table, block);

    if (p) {
        CHECK_INT(p[0], pattern(table, block));
        CHECK(memcmp(p, p + 1, S3_TABLE_BLOCK - 1) == 0);
    }

    return p != NULL;
}


/* Blocks of table 1 that lie in the same set, from the first on. */

static void
neighbours(uint32_t *blocks, unsigned n)
{
    size_t set, first = 0;
    unsigned found = 0;
    uint32_t block;
    s3_cache_t *cache = s3_cache_create();

    REQUIRE(cache != NULL);

    for (block = 0; found < n; block++) {
        set = (size_t) (s3_cache_room(cache, 1, block) - cache->blocks)
              / S3_TABLE_BLOCK / S3_CACHE_WAYS;
        first = block ? first : set;

        if (set == first) {
            blocks[found++] = block;
        }
    }

    s3_cache_destroy(cache);
}


static void
test_keep(void)
{
    uint8_t *room;
    s3_cache_t *a = s3_cache_create(), *b = s3_cache_create();

    REQUIRE(a != NULL && b != NULL);

    CHECK(!has(a, 1, 0));

    /* nobody finds what is not kept */

    room = s3_cache_room(a, 1, 0);
    memset(room, pattern(1, 0), S3_TABLE_BLOCK);
    CHECK(!has(a, 1, 0));
    s3_cache_keep(a, room, 1, 0);
    CHECK(has(a, 1, 0));
    CHECK(has(a, 1, 0));

    /* neither another block, nor another table, nor another drive has it */

    CHECK(!has(a, 1, 1));
    CHECK(!has(a, 2, 0));
    CHECK(!has(a, (uint64_t) 1 << 32 | 1, 0));
    CHECK(!has(b, 1, 0));

    put(b, 1, 7);
    CHECK(!has(a, 1, 7));
    CHECK(has(b, 1, 7));

    s3_cache_destroy(a);
    CHECK(has(b, 1, 7));
    s3_cache_destroy(b);
    s3_cache_destroy(NULL);
}


/* However much is put there, so much stays; and it does not crowd together. */

static void
test_bound(void)
{
    unsigned i, here, there;
    s3_cache_t *cache = s3_cache_create();

    REQUIRE(cache != NULL);

    for (i = 0; i < 20 * ALL; i++) {
        put(cache, 1 + i % 5, i / 5);
        REQUIRE(has(cache, 1 + i % 5, i / 5));
    }

    for (i = 0, here = there = 0; i < 20 * ALL; i++) {
        here += has(cache, 1 + i % 5, i / 5) != 0;
        there += has(cache, 6, i) != 0;
    }

    CHECK_INT(here, ALL);
    CHECK_INT(there, 0);

    s3_cache_destroy(cache);
}


static void
test_evict(void)
{
    unsigned i, here;
    uint32_t b[32];
    s3_cache_t *cache = s3_cache_create();

    REQUIRE(cache != NULL);
    neighbours(b, 32);

    for (i = 0; i < S3_CACHE_WAYS; i++) {
        put(cache, 1, b[i]);
    }

    for (i = 0; i < S3_CACHE_WAYS; i++) {
        CHECK(has(cache, 1, b[i]));
    }

    /* all were used: still one gives way, and one only */

    put(cache, 1, b[4]);
    CHECK(has(cache, 1, b[4]));

    for (i = 0, here = 0; i < S3_CACHE_WAYS; i++) {
        here += has(cache, 1, b[i]) != 0;
    }

    CHECK_INT(here, S3_CACHE_WAYS - 1);

    /* what is used again and again stays while others come and go */

    for (i = 5; i < 32; i++) {
        CHECK(has(cache, 1, b[4]));
        put(cache, 1, b[i]);
    }

    CHECK(has(cache, 1, b[4]));

    /* and is forgotten when it is not used any more */

    for (i = 5; i < 5 + 2 * S3_CACHE_WAYS; i++) {
        put(cache, 1, b[i]);
    }

    CHECK(!has(cache, 1, b[4]));

    /* room that is not kept: what was there is gone, the others are not */

    for (i = 0, here = 0; i < 32; i++) {
        here += has(cache, 1, b[i]) != 0;
    }

    CHECK_INT(here, S3_CACHE_WAYS);
    (void) s3_cache_room(cache, 1, b[4]);

    for (i = 0, here = 0; i < 32; i++) {
        here += has(cache, 1, b[i]) != 0;
    }

    CHECK_INT(here, S3_CACHE_WAYS - 1);

    s3_cache_destroy(cache);
}


/* Look-ups of tables through it. */

static int
found(void *ctx, const s3_entry_t *e)
{
    *(uint64_t *) ctx = e->size;

    return 0;
}


static int
get(s3_table_t *table, s3_loop_t *loop, s3_block_t *block, unsigned i)
{
    int rc;
    char key[16];
    s3_str_t name;
    uint64_t size = 0;

    (void) snprintf(key, sizeof(key), "key%06u", i);
    name = s3_str(key, strlen(key));

    while ((rc = s3_table_get(table, loop, 5, name, s3_bloom_hash(5, name),
                              block, found, &size))
           == S3_AGAIN)
    {
        s3_block_read(table->fs, block);
    }

    CHECK_INT(size, rc == S3_OK ? i : 0);

    return rc;
}


static void
test_lookups(int refuse)
{
    unsigned i;
    char key[16];
    uint8_t *byte;
    ram_t ram;
    ram_loop_t loop;
    s3_fs_t *fs = ram_init(&ram);
    s3_entry_t e;
    s3_block_t block;
    s3_cache_t *cache = s3_cache_create();
    s3_table_t *table;
    s3_table_stats_t st;
    s3_table_writer_t *w;
    unsigned long reads;

    REQUIRE(cache != NULL);
    REQUIRE(s3_table_writer_create(fs, 3, 1000, &w) == S3_OK);

    for (i = 0; i < 1000; i++) {
        memset(&e, 0, sizeof(e));
        e.version.time = 1 + i;
        e.kind = S3_KIND_OBJECT;
        e.size = i;
        (void) snprintf(key, sizeof(key), "key%06u", i);
        REQUIRE(s3_table_writer_add(w, 5, s3_str(key, strlen(key)), &e)
                == S3_OK);
    }

    REQUIRE(s3_table_writer_finish(w, &st) == S3_OK);
    REQUIRE(st.blocks > 2);
    REQUIRE(s3_table_open(fs, 3, &table) == S3_OK);

    ram_loop_init(&loop, refuse);
    memset(&block, 0, sizeof(block));
    block.cache = cache;

    /* one that does not hold is not kept, and no one is served from it */

    byte = &table->file->data[100];
    *byte ^= 1;
    CHECK_INT(get(table, &loop.loop, &block, 0), S3_ECORRUPT);
    CHECK_INT(get(table, &loop.loop, &block, 0), S3_ECORRUPT);
    *byte ^= 1;

    /* read once, then found, whatever becomes of the file */

    CHECK_INT(get(table, &loop.loop, &block, 0), S3_OK);
    reads = loop.reads;
    *byte ^= 1;
    CHECK_INT(get(table, &loop.loop, &block, 0), S3_OK);
    CHECK_INT(get(table, &loop.loop, &block, 1), S3_OK);
    CHECK_INT(loop.reads, reads);
    CHECK_INT(get(table, &loop.loop, &block, 999), S3_OK);
    CHECK_INT(loop.reads, reads + 1);

    /* the same file, opened once more, is another table */

    *byte ^= 1;
    s3_table_release(table);
    REQUIRE(s3_table_open(fs, 3, &table) == S3_OK);
    *byte ^= 1;
    CHECK_INT(get(table, &loop.loop, &block, 0), S3_ECORRUPT);

    s3_table_release(table);
    s3_block_release(&block);
    s3_cache_destroy(cache);
    ram_done(&ram);
}


int
main(void)
{
    test_keep();
    test_bound();
    test_evict();
    test_lookups(0);
    test_lookups(1);

    return S3_TEST_END();
}
