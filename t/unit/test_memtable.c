/*
 * The skiplist: order, same versions, states, flags, room, the source.
 */

#include "storage/s3_memtable.h"
#include "s3_test.h"

#define ARENA (1024 * 1024)


static s3_entry_t
entry(uint64_t time, s3_kind_t kind)
{
    s3_entry_t e;

    memset(&e, 0, sizeof(e));
    e.version.time = time;
    e.version.rand = time * 7;
    e.kind = (uint8_t) kind;
    e.layout = S3_LAYOUT_NONE;

    return e;
}


static void
test_order(void *arena)
{
    char key[32];
    unsigned i, n;
    s3_entry_t e;
    s3_memnode_t *node, *prev;
    s3_memtable_t *m = arena;

    s3_memtable_reset(arena, ARENA);
    CHECK(s3_memtable_first(m) == NULL);
    CHECK(s3_memtable_seek(m, 0, s3_null_str) == NULL);

    for (i = 0; i < 3000; i++) {
        n = i * 2654435761u % 1000;
        snprintf(key, sizeof(key), "key-%u", n);
        e = entry(i + 1, S3_KIND_TOMBSTONE);
        node = s3_memtable_insert(m, 1024 + n % 3, s3_str(key, strlen(key)), &e,
                                  S3_MEM_DURABLE, 1, 2);
        REQUIRE(node != NULL);
        CHECK_INT(node->owner, 1);
        CHECK_INT(node->incarnation, 2);
    }

    CHECK_INT(s3_memtable_count(m), 3000);

    prev = NULL;
    n = 0;

    for (node = s3_memtable_first(m); node; node = s3_memtable_next(m, node)) {
        int cmp;
        s3_entry_t a, b;

        n++;

        if (prev) {
            cmp = s3_key_cmp(prev->bucket, s3_memnode_key(prev), node->bucket,
                             s3_memnode_key(node));
            CHECK(cmp <= 0);

            if (cmp == 0) {
                CHECK(s3_memnode_entry(prev, &a) == S3_OK);
                CHECK(s3_memnode_entry(node, &b) == S3_OK);
                CHECK(s3_version_cmp(&a.version, &b.version) >= 0);
            }
        }

        prev = node;
    }

    CHECK_INT(n, 3000);

    /* every key is found, and what is not there is not */
    for (i = 0; i < 1000; i++) {
        snprintf(key, sizeof(key), "key-%u", i);
        node = s3_memtable_seek(m, 1024 + i % 3, s3_str(key, strlen(key)));
        REQUIRE(node != NULL);
        CHECK(s3_str_eq(s3_memnode_key(node), s3_str(key, strlen(key))));
        CHECK_INT(node->bucket, 1024 + i % 3);
    }

    node = s3_memtable_seek(m, 2000, s3_null_str);
    CHECK(node == NULL);
}


/* Keys that have much in common, and every length: what a search knows of its
 * neighbours must not lead it astray. */

static s3_str_t
alike(uint8_t key[40], unsigned n)
{
    memset(key, 'a', 40);
    key[n % 37] = (uint8_t) ("a\0b\377"[n / 37 % 4]);
    key[n / 148 % 37] ^= (uint8_t) (n / 5476 % 2);

    return s3_str(key, n % 41);
}


static void
test_alike(void *arena)
{
    uint8_t key[40];
    unsigned i, n;
    s3_str_t k;
    s3_entry_t e;
    s3_memnode_t *node, *next;
    s3_memtable_t *m = arena;
    s3_memplace_t place;

    s3_memtable_reset(arena, ARENA);

    for (i = 0; i < 4000; i++) {
        n = i * 2654435761u >> 8;
        k = alike(key, n);
        e = entry(i + 1, S3_KIND_TOMBSTONE);
        (void) s3_memtable_seek_place(m, 1024 + n % 3, k, &place);
        node = s3_memtable_insert_at(m, i % 2 ? &place : NULL, 1024 + n % 3, k,
                                     &e, S3_MEM_DURABLE, 1, 2);
        REQUIRE(node != NULL);
        CHECK(s3_memtable_seek(m, 1024 + n % 3, k) == node);
    }

    for (node = s3_memtable_first(m); node; node = next) {
        k = s3_memnode_key(node);
        next = s3_memtable_next(m, node);
        i = (unsigned) s3_memnode_version(node).time - 1;
        CHECK(s3_str_eq(k, alike(key, i * 2654435761u >> 8)));

        if (next) {
            CHECK(
                s3_key_cmp(node->bucket, k, next->bucket, s3_memnode_key(next))
                <= 0);
        }
    }
}


/* A place that was found before, and what hears of what comes next to it. */

static void
test_place(void *arena)
{
    uint32_t number;
    s3_str_t k = s3_string("k"), l = s3_string("l");
    s3_entry_t e;
    s3_version_t v;
    s3_memnode_t *a, *b, *c, *d;
    s3_memtable_t *m = arena;
    s3_memplace_t place;

    s3_memtable_reset(arena, ARENA);

    CHECK(s3_memtable_seek_place(m, 1024, k, &place) == NULL);
    e = entry(2, S3_KIND_OBJECT);
    a = s3_memtable_insert_at(m, &place, 1024, k, &e, S3_MEM_DURABLE, 0, 0);
    CHECK(s3_memtable_seek(m, 1024, k) == a);

    /* another key tells nobody; the old place is none any more */
    d = s3_memtable_insert_at(m, &place, 1024, l, &e, S3_MEM_DURABLE, 0, 0);
    CHECK(!s3_memnode_touched(a) && !s3_memnode_touched(d));
    CHECK(s3_memtable_next(m, a) == d);

    /* an older version does not belong where the key begins */
    (void) s3_memtable_seek_place(m, 1024, k, &place);
    e = entry(1, S3_KIND_OBJECT);
    b = s3_memtable_insert_at(m, &place, 1024, k, &e, S3_MEM_DURABLE, 0, 0);
    CHECK(s3_memtable_next(m, a) == b);
    CHECK(s3_memnode_touched(a) && !s3_memnode_touched(b));
    CHECK(!s3_memnode_touched(d));

    (void) s3_memtable_seek_place(m, 1024, l, &place);
    e = entry(3, S3_KIND_OBJECT);
    c = s3_memtable_insert_at(m, &place, 1024, l, &e, S3_MEM_DURABLE, 0, 0);
    CHECK(s3_memtable_next(m, b) == c && s3_memtable_next(m, c) == d);
    CHECK(!s3_memnode_touched(c) && s3_memnode_touched(d));

    /* the flag is the memtable's own */
    CHECK_INT(s3_memnode_entry(d, &e), S3_OK);
    CHECK_INT(e.flags, 0);

    number = s3_memtable_number(m, c);
    v = entry(3, S3_KIND_OBJECT).version;
    CHECK(number != 0 && s3_memtable_node(m, number, &v) == c);
    v = entry(2, S3_KIND_OBJECT).version;
    CHECK(s3_memtable_node(m, number, &v) == NULL);
    CHECK(s3_memtable_node(m, 0, &v) == NULL);
    CHECK(s3_memtable_node(m, ARENA, &v) == NULL);
}


static void
test_same(void *arena)
{
    s3_str_t key = s3_string("k");
    s3_entry_t e, got;
    s3_memnode_t *a, *b, *n;
    s3_memtable_t *m = arena;
    s3_memsource_t src;

    s3_memtable_reset(arena, ARENA);

    e = entry(5, S3_KIND_TOMBSTONE);
    e.segment = 1;
    a = s3_memtable_insert(m, 1024, key, &e, S3_MEM_DURABLE, 0, 0);
    e.segment = 2;
    b = s3_memtable_insert(m, 1024, key, &e, S3_MEM_PENDING, 0, 0);

    /* the later addition first */
    n = s3_memtable_seek(m, 1024, key);
    CHECK(n == b);
    CHECK(s3_memtable_next(m, n) == a);

    /* readers do not see what is pending */
    s3_memsource_init(&src, m);
    CHECK_INT(src.source.ops->seek(&src.source, 0, s3_null_str), S3_OK);
    REQUIRE(s3_entry_decode(src.source.raw, src.source.raw_len, &got) > 0);
    CHECK_INT(got.segment, 1);
    CHECK_INT(src.source.ops->next(&src.source), S3_DONE);

    s3_memnode_set(b, S3_MEM_DURABLE);
    s3_memnode_flag(b, S3_F_CONFIRMED);

    CHECK_INT(src.source.ops->seek(&src.source, 1024, key), S3_OK);
    REQUIRE(s3_entry_decode(src.source.raw, src.source.raw_len, &got) > 0);
    CHECK_INT(got.segment, 2);
    CHECK_INT(got.flags, S3_F_CONFIRMED);
    CHECK_INT(src.source.ops->next(&src.source), S3_OK);
    CHECK(src.source.same);

    s3_memnode_set(b, S3_MEM_REMOVED);
    CHECK_INT(src.source.ops->seek(&src.source, 1024, key), S3_OK);
    REQUIRE(s3_entry_decode(src.source.raw, src.source.raw_len, &got) > 0);
    CHECK_INT(got.segment, 1);

    CHECK(s3_memnode_entry(b, &got) == S3_OK);
    CHECK_INT(got.flags, S3_F_CONFIRMED);
}


static void
test_full(void *arena)
{
    char key[S3_MAX_KEY];
    unsigned n;
    s3_entry_t e = entry(1, S3_KIND_FENCE);
    s3_memtable_t *m = arena;

    memset(key, 'x', sizeof(key));
    s3_memtable_reset(arena, 64 * 1024);

    for (n = 0; n < 1000; n++) {
        e.version.time = n + 1;

        if (s3_memtable_insert(m, 1024, s3_str(key, sizeof(key)), &e,
                               S3_MEM_DURABLE, 0, 0)
            == NULL)
        {
            break;
        }
    }

    CHECK(n > 40 && n < 64);
    CHECK(s3_memtable_used(m) <= 64 * 1024);
    CHECK(!s3_memtable_room(m, s3_memtable_need(sizeof(key), 0)));

    /* longer than any key */
    s3_memtable_reset(arena, 64 * 1024);
    CHECK(s3_memtable_insert(m, 1,
                             (s3_str_t){S3_MAX_KEY + 1, (const uint8_t *) key},
                             &e, S3_MEM_DURABLE, 0, 0)
          == NULL);
}


int
main(void)
{
    void *arena = malloc(ARENA);

    REQUIRE(arena != NULL);

    test_order(arena);
    test_alike(arena);
    test_place(arena);
    test_same(arena);
    test_full(arena);

    free(arena);

    return S3_TEST_END();
}
