#include "t/unit/s3_test.h"
#include "storage/s3_recent.h"


#define KEYS 400
#define RING 65536


/* Object i of generation g: everything in it follows from these two. */

static void
make(s3_object_t *o, uint8_t *bytes, unsigned i, unsigned g)
{
    unsigned k;
    size_t key, refs, meta;

    memset(o, 0, sizeof(*o));
    key = 1 + i % 50;
    refs = (size_t) (i % 3) * S3_REF_SIZE;
    meta = (i * 37 + g * 11) % 900;

    for (k = 0; k < key + refs + meta; k++) {
        bytes[k] = (uint8_t) (k < key ? i * 7 + k : i + g * 31 + k);
    }

    o->refs = 1;
    o->bucket = 1024 + i % 2 * 4;
    o->entry.version.time = 1000 + i % 5;
    o->entry.version.rand = (uint64_t) i << 32 | g;
    o->entry.version.node = 1;
    o->entry.size = i;
    o->entry.kind = S3_KIND_OBJECT;
    o->record.bucket = o->bucket;
    o->record.entry = o->entry;
    o->record.generation = g;
    o->record.epoch = i;
    o->record.conditional = i & 1;
    o->record.expects.time = g;
    o->record.key = s3_str(bytes, key);
    o->record.refs = s3_str(bytes + key, refs);
    o->record.meta = s3_str(bytes + key + refs, meta);
    o->record.data = s3_string("data that is not kept");
}


static int
same(const s3_object_t *a, const s3_object_t *b)
{
    return a->bucket == b->bucket && a->record.bucket == b->bucket
           && a->entry.size == b->entry.size
           && a->record.generation == b->record.generation
           && a->record.epoch == b->record.epoch
           && a->record.conditional == b->record.conditional
           && a->record.expects.time == b->record.expects.time
           && s3_str_eq(a->record.key, b->record.key)
           && s3_str_eq(a->record.refs, b->record.refs)
           && s3_str_eq(a->record.meta, b->record.meta)
           && a->record.data.len == 0 && a->data == NULL && a->n_pieces == 0;
}


static int
find(s3_recent_t *recent, const s3_object_t *o)
{
    int found;
    s3_object_t *got;

    got = s3_recent_find(recent, o->bucket, o->record.key, &o->entry);
    found = got != NULL;

    if (got) {
        CHECK(same(got, o));
        s3_object_release(got);
    }

    return found;
}


static void
test_one(void)
{
    uint8_t bytes[2048];
    s3_object_t o, other;
    s3_recent_t *recent;

    recent = s3_recent_create(1);
    REQUIRE(recent != NULL);
    make(&o, bytes, 7, 1);
    CHECK(!find(recent, &o));
    s3_recent_keep(recent, &o);
    CHECK(find(recent, &o));

    other = o;
    other.bucket = 9999;
    CHECK(!find(recent, &other));

    other = o;
    other.entry.version.rand++;
    CHECK(!find(recent, &other));

    other = o;
    other.entry.version.node++;
    CHECK(!find(recent, &other));

    other = o;
    other.record.key.len--;
    CHECK(!find(recent, &other));

    other = o;
    other.record.key = s3_string("\0\0\0\0\0\0\0\0");
    CHECK(!find(recent, &other));
    s3_recent_destroy(recent);
    s3_recent_destroy(NULL);
}


/* Nothing that is too large, and everything up to that. */

static void
test_large(void)
{
    size_t len;
    unsigned kept;
    static uint8_t bytes[2 * S3_RECENT_ITEM];
    uint8_t small[2048];
    s3_object_t o;
    s3_recent_t *recent;

    recent = s3_recent_create(RING);
    REQUIRE(recent != NULL);
    kept = 0;

    for (len = 0; len < sizeof(bytes); len++) {
        make(&o, small, 1, (unsigned) len);
        o.record.meta = s3_str(bytes, len);
        s3_recent_keep(recent, &o);

        if (find(recent, &o)) {
            CHECK_INT(kept, len);
            kept++;
        }
    }

    CHECK(kept > S3_RECENT_ITEM - 200 && kept < S3_RECENT_ITEM);
    s3_recent_destroy(recent);
}


/* Around the ring many times: what is found is right, the last few are found,
 * what was overwritten is not. */

static void
test_ring(void)
{
    unsigned i, g, k, last, found, all;
    uint8_t bytes[2048];
    s3_object_t o;
    s3_recent_t *recent;

    recent = s3_recent_create(RING);
    REQUIRE(recent != NULL);
    found = 0;
    all = 0;

    for (g = 0; g < 20; g++) {
        for (i = 0; i < KEYS; i++) {
            make(&o, bytes, i, g);
            CHECK(!find(recent, &o));
            s3_recent_keep(recent, &o);
            CHECK(find(recent, &o));

            for (k = 0; k < 20; k++) {
                last = g * KEYS + i - s3_min(k * 13, g * KEYS + i);
                make(&o, bytes, last % KEYS, last / KEYS);
                all++;
                found += (unsigned) find(recent, &o);
            }
        }
    }

    CHECK(found > all / 4 && found < all * 3 / 4);
    s3_recent_destroy(recent);
}


int
main(void)
{
    test_one();
    test_large();
    test_ring();

    return S3_TEST_END();
}
