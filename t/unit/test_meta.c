/* Object metadata: what is built is read back, what is damaged is refused. */

#include "s3_meta.h"

#include "s3_test.h"

#define STR(lit) s3_string(lit)


static void
build(s3_meta_t *m)
{
    s3_meta_checksum_t c = {S3_CHECKSUM_CRC32, S3_CHECKSUM_COMPOSITE, 2,
                            STR("\x01\x02\x03\x04")};
    s3_meta_part_t parts[2] = {
        {1, 5 * 1024 * 1024, STR("aaaa")},
        {3, 7, STR("bbbb")},
    };

    s3_meta_init(m);
    s3_meta_add(m, S3_META_CONTENT_TYPE, STR("text/plain"));
    s3_meta_add(m, S3_META_STORAGE_CLASS, STR(""));
    s3_meta_add_user(m, STR("Color"), STR("red"));
    s3_meta_add_user(m, STR("empty"), STR(""));
    s3_meta_add_tag(m, STR("K"), STR("v"));
    s3_meta_add_checksum(m, &c);
    s3_meta_add_parts(m, parts, 2, 4);
    s3_meta_add_u64(m, S3_META_INITIATED, 0x0102030405060708ULL);
    s3_meta_add(m, S3_META_PRIVATE + 3, STR("mine"));
    CHECK_INT(m->rc, S3_OK);
}


static void
test_round_trip(void)
{
    s3_meta_t m;
    s3_str_t b, v;
    s3_meta_iter_t it;
    s3_meta_field_t f;
    s3_meta_checksum_t c;
    s3_meta_part_t part;
    size_t n, digest_len;
    uint64_t u, first;
    int count;

    build(&m);
    b = s3_meta_blob(&m);

    CHECK_INT(s3_meta_verify(b), S3_OK);
    CHECK_INT(s3_meta_find(b, S3_META_CONTENT_TYPE, &v), S3_OK);
    CHECK(s3_str_eq(v, STR("text/plain")));
    CHECK_INT(s3_meta_find(b, S3_META_STORAGE_CLASS, &v), S3_OK);
    CHECK_INT(v.len, 0);
    CHECK_INT(s3_meta_find(b, S3_META_EXPIRES, &v), S3_ENOENT);
    CHECK_INT(s3_meta_find_user(b, STR("color"), &v), S3_OK);
    CHECK(s3_str_eq(v, STR("red")));
    CHECK_INT(s3_meta_find_user(b, STR("COLOR"), &v), S3_OK);
    CHECK_INT(s3_meta_find_user(b, STR("colo"), &v), S3_ENOENT);
    CHECK_INT(s3_meta_count(b, S3_META_USER), 2);
    CHECK_INT(s3_meta_count(b, S3_META_TAG), 1);
    CHECK_INT(s3_meta_find_u64(b, S3_META_INITIATED, &u), S3_OK);
    CHECK(u == 0x0102030405060708ULL);
    CHECK_INT(s3_meta_find_u64(b, S3_META_CONTENT_TYPE, &u), S3_ECORRUPT);

    CHECK_INT(s3_meta_find_checksum(b, &c), S3_OK);
    CHECK_INT(c.alg, S3_CHECKSUM_CRC32);
    CHECK_INT(c.type, S3_CHECKSUM_COMPOSITE);
    CHECK_INT(c.parts, 2);
    CHECK(s3_str_eq(c.digest, STR("\x01\x02\x03\x04")));

    CHECK_INT(s3_meta_find(b, S3_META_PARTS, &v), S3_OK);
    CHECK_INT(s3_meta_parts(v, &n, &digest_len), S3_OK);
    CHECK_INT(n, 2);
    CHECK_INT(digest_len, 4);
    CHECK_INT(s3_meta_part(v, 1, &part), S3_OK);
    CHECK_INT(part.number, 3);
    CHECK_INT(part.size, 7);
    CHECK(s3_str_eq(part.digest, STR("bbbb")));
    CHECK_INT(s3_meta_part(v, 2, &part), S3_ENOENT);
    CHECK_INT(s3_meta_part_find(v, 3, &first, &part), S3_OK);
    CHECK_INT(first, 5 * 1024 * 1024);
    CHECK_INT(part.size, 7);
    CHECK(s3_str_eq(part.digest, STR("bbbb")));
    CHECK_INT(s3_meta_part_find(v, 2, &first, &part), S3_ENOENT);

    CHECK_INT(s3_meta_iter(&it, b), S3_OK);

    for (count = 0; s3_meta_next(&it, &f) == 1; count++) {
        if (f.type == S3_META_USER && count == 2) {
            CHECK(s3_str_eq(f.name, STR("color")));
        }
    }

    CHECK_INT(count, 9);
    CHECK_INT(s3_meta_next(&it, &f), S3_DONE);

    s3_meta_free(&m);
}


static void
test_user(void)
{
    s3_meta_t m;
    s3_str_t v;
    s3_fault_t f;
    uint8_t big[2048];

    memset(big, 'x', sizeof(big));

    s3_meta_init(&m);
    s3_meta_add_user(&m, STR("a"), STR("1"));
    s3_meta_add(&m, S3_META_CONTENT_TYPE, STR("t"));
    s3_meta_add_user(&m, STR("b"), STR(""));
    s3_meta_add_user(&m, STR("A"), STR("2"));
    s3_meta_add_user(&m, STR("B"), STR(""));
    CHECK_INT(m.rc, S3_OK);
    CHECK_INT(m.user_count, 2);
    CHECK_INT(m.user_bytes, 2 + 1 + 2 + 1);
    CHECK_INT(s3_meta_find_user(s3_meta_blob(&m), STR("a"), &v), S3_OK);
    CHECK(s3_str_eq(v, STR("1,2")));
    CHECK_INT(s3_meta_find_user(s3_meta_blob(&m), STR("b"), &v), S3_OK);
    CHECK(s3_str_eq(v, STR(",")));
    CHECK_INT(s3_meta_find(s3_meta_blob(&m), S3_META_CONTENT_TYPE, &v), S3_OK);
    CHECK_INT(s3_meta_verify(s3_meta_blob(&m)), S3_OK);
    CHECK_INT(s3_meta_check(&m, &f), S3_ERR_NONE);
    s3_meta_free(&m);

    /* 2048 bytes of names and values are the most */

    s3_meta_init(&m);
    s3_meta_add_user(&m, STR("n"), s3_str(big, 2047));
    CHECK_INT(s3_meta_check(&m, &f), S3_ERR_NONE);
    s3_meta_free(&m);

    s3_meta_init(&m);
    s3_meta_add_user(&m, STR("n"), s3_str(big, 2048));
    CHECK_INT(s3_meta_check(&m, &f), S3_ERR_METADATA_TOO_LARGE);
    CHECK_INT(f.extra[0].number, 2049);
    s3_meta_free(&m);

    s3_meta_init(&m);
    s3_meta_add_user(&m, STR(""), STR("v"));
    CHECK_INT(m.rc, S3_EINVAL);
    s3_meta_free(&m);
}


static void
test_bounds(void)
{
    s3_meta_t m;
    s3_meta_checksum_t c = {S3_CHECKSUM_CRC32, S3_CHECKSUM_FULL_OBJECT, 0,
                            STR("\x01\x02\x03")};
    s3_meta_part_t part = {10001, 1, s3_null_str};

    s3_meta_init(&m);
    CHECK_INT(s3_meta_blob(&m).len, 1);
    CHECK_INT(s3_meta_verify(s3_meta_blob(&m)), S3_OK);
    s3_meta_add_checksum(&m, &c);
    CHECK_INT(m.rc, S3_EINVAL);
    s3_meta_free(&m);

    s3_meta_init(&m);
    s3_meta_add_parts(&m, &part, 1, 0);
    CHECK_INT(m.rc, S3_EINVAL);
    s3_meta_free(&m);

    s3_meta_init(&m);
    s3_meta_add(&m, 0, STR("x"));
    CHECK_INT(m.rc, S3_EINVAL);
    s3_meta_free(&m);

    s3_meta_init(&m);
    s3_meta_add(&m, 256, STR("x"));
    CHECK_INT(m.rc, S3_EINVAL);
    s3_meta_free(&m);
}


static void
test_copy(void)
{
    s3_meta_t m, n;
    static const uint8_t without[] = {S3_META_USER, S3_META_PARTS};

    build(&m);
    s3_meta_init(&n);

    CHECK_INT(s3_meta_copy(&n, s3_meta_blob(&m), S3_META_USER), S3_OK);
    CHECK_INT(n.user_count, 2);
    CHECK_INT(n.user_bytes, m.user_bytes);
    CHECK_INT(s3_meta_copy_except(&n, s3_meta_blob(&m), without, 2), S3_OK);
    CHECK_INT(s3_meta_count(s3_meta_blob(&n), S3_META_USER), 2);
    CHECK_INT(s3_meta_count(s3_meta_blob(&n), S3_META_PARTS), 0);
    CHECK_INT(s3_meta_count(s3_meta_blob(&n), S3_META_TAG), 1);
    CHECK_INT(s3_meta_copy(&n, STR("\x01\x05\xff"), S3_META_USER), S3_ECORRUPT);

    s3_meta_free(&m);
    s3_meta_free(&n);
}


/* No prefix of a blob, and no blob with a byte changed, is read past. */

static void
test_damage(void)
{
    s3_meta_t m;
    s3_str_t b, v;
    uint8_t *copy;
    size_t i, corrupt;
    unsigned int bit;

    CHECK_INT(s3_meta_verify(s3_null_str), S3_OK);
    CHECK_INT(s3_meta_verify(STR("\x02")), S3_EVERSION);
    CHECK_INT(s3_meta_verify(STR("\x00")), S3_ECORRUPT);
    CHECK_INT(s3_meta_verify(STR("\x01\x01")), S3_ECORRUPT);
    CHECK_INT(s3_meta_verify(STR("\x01\x01\x05x")), S3_ECORRUPT);
    CHECK_INT(s3_meta_verify(STR("\x01\x01\xff\xff\xff\xff\xff\xff")),
              S3_ECORRUPT);
    CHECK_INT(s3_meta_verify(STR("\x01\x08\x01\x05")), S3_ECORRUPT);
    CHECK_INT(s3_meta_verify(STR("\x01\x00\x00")), S3_ECORRUPT);

    build(&m);
    b = s3_meta_blob(&m);
    corrupt = 0;

    for (i = 0; i < b.len; i++) {
        copy = malloc(i + 1);
        REQUIRE(copy != NULL);
        memcpy(copy, b.data, i);
        corrupt += s3_meta_verify(s3_str(copy, i)) != S3_OK;
        (void) s3_meta_find(s3_str(copy, i), S3_META_PARTS, &v);
        free(copy);
    }

    CHECK(corrupt > b.len / 2);

    for (i = 0; i < b.len; i++) {
        for (bit = 0; bit < 8; bit++) {
            copy = malloc(b.len);
            REQUIRE(copy != NULL);
            memcpy(copy, b.data, b.len);
            copy[i] ^= (uint8_t) (1u << bit);
            (void) s3_meta_verify(s3_str(copy, b.len));
            free(copy);
        }
    }

    s3_meta_free(&m);
}


int
main(void)
{
    test_round_trip();
    test_user();
    test_bounds();
    test_copy();
    test_damage();

    return S3_TEST_END();
}
