/*
 * Entries, references, records: round trips, every flipped bit, every cut.
 */

#include "s3_test.h"

#include "storage/s3_drive.h"
#include "storage/s3_record.h"


static s3_record_t
sample(void)
{
    static uint8_t refs[3 * S3_REF_SIZE];
    s3_ref_t ref;
    s3_record_t r;
    unsigned i;

    memset(&r, 0, sizeof(r));
    memset(&ref, 0, sizeof(ref));

    for (i = 0; i < 3; i++) {
        memset(ref.id, (int) i + 1, 16);
        ref.size = 1000 * i;
        ref.mask = 0x0f;
        ref.slot = (uint16_t) (100 + i);
        ref.k = 3;
        s3_ref_encode(refs + i * S3_REF_SIZE, &ref);
    }

    r.bucket = 0x1122334455667788ull;
    r.generation = 7;
    r.epoch = 9;
    r.key = s3_string("photos/2024/cat.jpg");
    r.entry.version = (s3_version_t){123456789, 42, 3};
    r.entry.kind = S3_KIND_OBJECT;
    r.entry.flags = S3_F_CONFIRMED | S3_F_PUSHED;
    r.entry.need = 2;
    r.entry.layout = S3_LAYOUT_BLOBS;
    r.entry.voters = 0xf;
    r.entry.holders = 0x7;
    r.entry.size = 1ull << 40;
    r.entry.mtime = 1700000000123ull;
    memset(r.entry.etag, 0xab, 16);
    r.entry.etag_parts = 3;
    r.entry.storage_class = 1;
    r.entry.checksum = 0x12;
    r.entry.extra_len = 5;
    memcpy(r.entry.extra, "extra", 5);
    r.expects = (s3_version_t){5, 6, 7};
    r.conditional = 1;
    r.refs = s3_str(refs, sizeof(refs));
    r.meta = s3_string("content-type: image/jpeg");
    r.data = s3_string("some bytes of data");

    return r;
}


static void
test_round_trip(void)
{
    uint8_t buf[1024];
    size_t size;
    s3_ref_t ref;
    s3_record_t r = sample(), out;

    size = s3_record_size(&r);
    CHECK(size > 0 && size % 8 == 0);
    CHECK_INT(s3_record_encode(buf, size - 1, &r, 77), S3_EINVAL);
    CHECK_INT(s3_record_encode(buf, size, &r, 77), S3_OK);
    CHECK_INT(s3_record_peek_length(buf, sizeof(buf), 77), size);
    CHECK_INT(s3_record_peek_length(buf, sizeof(buf), 78), 0);
    CHECK_INT(s3_record_peek_length(buf, S3_RECORD_HEADER - 1, 77), 0);
    CHECK_INT(s3_record_decode(buf, sizeof(buf), 77, &out), S3_OK);

    CHECK(out.bucket == r.bucket && out.generation == 7 && out.epoch == 9);
    CHECK(s3_str_eq(out.key, r.key) && s3_str_eq(out.meta, r.meta));
    CHECK(s3_str_eq(out.refs, r.refs) && s3_str_eq(out.data, r.data));
    CHECK(s3_version_cmp(&out.expects, &r.expects) == 0);
    CHECK(out.conditional == 1);
    CHECK_INT(out.entry.length, size);
    CHECK_INT(out.entry.segment, 0);

    out.entry.length = 0;
    CHECK(memcmp(&out.entry.etag, &r.entry.etag, 16) == 0);
    CHECK(s3_version_cmp(&out.entry.version, &r.entry.version) == 0);
    CHECK(out.entry.kind == r.entry.kind && out.entry.flags == r.entry.flags
          && out.entry.need == 2 && out.entry.layout == S3_LAYOUT_BLOBS
          && out.entry.voters == 0xf && out.entry.holders == 7
          && out.entry.size == r.entry.size && out.entry.mtime == r.entry.mtime
          && out.entry.etag_parts == 3 && out.entry.storage_class == 1
          && out.entry.checksum == 0x12 && out.entry.extra_len == 5
          && memcmp(out.entry.extra, "extra", 5) == 0);

    CHECK_INT(s3_ref_decode(out.refs.data + S3_REF_SIZE, &ref), S3_OK);
    CHECK(ref.size == 1000 && ref.mask == 0xf && ref.slot == 101 && ref.k == 3
          && ref.id[0] == 2);
}


static void
test_damage(void)
{
    uint8_t buf[1024];
    size_t size, i;
    unsigned bit, passed = 0;
    s3_record_t r = sample(), out;

    size = s3_record_size(&r);
    REQUIRE(s3_record_encode(buf, sizeof(buf), &r, 1) == S3_OK);

    for (i = 0; i < size; i++) {
        for (bit = 0; bit < 8; bit++) {
            buf[i] ^= (uint8_t) (1 << bit);
            passed += s3_record_decode(buf, size, 1, &out) == S3_OK;
            buf[i] ^= (uint8_t) (1 << bit);
        }
    }

    for (i = 0; i < size; i++) {
        passed += s3_record_decode(buf, i, 1, &out) == S3_OK;
    }

    CHECK_INT(passed, 0);
    CHECK_INT(s3_record_decode(buf, size, 2, &out), S3_ECORRUPT);
    CHECK_INT(s3_record_decode(buf, size, 1, &out), S3_OK);
}


static void
test_limits(void)
{
    uint8_t *buf, *big;
    s3_record_t r = sample(), out;

    big = calloc(1, S3_MAX_META + 1);
    buf = malloc(S3_RECORD_MAX);
    REQUIRE(big && buf);

    r.key = s3_str(big, S3_MAX_KEY);
    r.meta = s3_str(big, S3_MAX_META);
    r.refs = s3_str(big, (size_t) S3_MAX_REFS * S3_REF_SIZE);
    r.data = s3_str(big, S3_MAX_DATA);
    r.entry.extra_len = S3_MAX_EXTRA;

    CHECK_INT(s3_record_size(&r), S3_RECORD_MAX);
    CHECK_INT(s3_record_encode(buf, S3_RECORD_MAX, &r, 5), S3_OK);
    CHECK_INT(s3_record_decode(buf, S3_RECORD_MAX, 5, &out), S3_OK);
    CHECK_INT(out.meta.len, S3_MAX_META);

    r.key.len++;
    CHECK_INT(s3_record_size(&r), 0);
    r.key.len--;
    r.meta.len++;
    CHECK_INT(s3_record_size(&r), 0);
    r.meta.len--;
    r.refs.len -= 1;
    CHECK_INT(s3_record_size(&r), 0);
    r.refs.len += 1 + S3_REF_SIZE;
    CHECK_INT(s3_record_size(&r), 0);
    r.refs.len -= S3_REF_SIZE;
    r.data.len++;
    CHECK_INT(s3_record_size(&r), 0);
    r.data.len = 0;
    r.entry.extra_len++;
    CHECK_INT(s3_record_size(&r), 0);
    r.entry.extra_len = 0;

    /* what decode would refuse is not written */
    r.entry.kind = 0;
    CHECK_INT(s3_record_encode(buf, S3_RECORD_MAX, &r, 5), S3_EINVAL);
    r.entry.kind = S3_KIND_DROP + 1;
    CHECK_INT(s3_record_encode(buf, S3_RECORD_MAX, &r, 5), S3_EINVAL);
    r.entry.kind = S3_KIND_FENCE;
    r.conditional = 2;
    CHECK_INT(s3_record_encode(buf, S3_RECORD_MAX, &r, 5), S3_EINVAL);

    /* no key, no data: confirmations and the like */
    memset(&r, 0, sizeof(r));
    r.entry.kind = S3_KIND_CONFIRM;
    CHECK_INT(s3_record_size(&r), 168);
    CHECK_INT(s3_record_encode(buf, 168, &r, 5), S3_OK);
    CHECK_INT(s3_record_decode(buf, 168, 5, &out), S3_OK);
    CHECK(out.key.len == 0 && out.data.len == 0);

    free(big);
    free(buf);
}


static void
test_entry(void)
{
    uint8_t buf[S3_ENTRY_FIXED + S3_MAX_EXTRA];
    s3_ref_t ref;
    s3_entry_t e = sample().entry, out;
    s3_lookup_t lookup;

    e.segment = 1;
    e.offset = 2;
    e.length = 3;
    s3_entry_encode(buf, &e);
    CHECK_INT(s3_entry_size(&e), 89);
    CHECK_INT(s3_entry_decode(buf, 89, &out), 89);
    CHECK(out.segment == 1 && out.offset == 2 && out.length == 3);
    CHECK_INT(s3_entry_decode(buf, 88, &out), S3_ECORRUPT);
    CHECK_INT(s3_entry_decode(buf, 10, &out), S3_ECORRUPT);

    buf[20] = 77;
    CHECK_INT(s3_entry_decode(buf, 89, &out), S3_ECORRUPT);
    buf[20] = S3_KIND_OBJECT;
    buf[21] = 16;
    CHECK_INT(s3_entry_decode(buf, 89, &out), S3_ECORRUPT);
    buf[21] = 0;
    buf[22] = S3_MAX_DRIVES + 1;
    CHECK_INT(s3_entry_decode(buf, 89, &out), S3_ECORRUPT);
    buf[22] = 0;
    buf[23] = 4;
    CHECK_INT(s3_entry_decode(buf, 89, &out), S3_ECORRUPT);
    buf[23] = 0;
    buf[70] = S3_MAX_EXTRA + 1;
    CHECK_INT(s3_entry_decode(buf, sizeof(buf), &out), S3_ECORRUPT);
    buf[70] = 0;
    CHECK_INT(s3_entry_decode(buf, sizeof(buf), &out), S3_ENTRY_FIXED);

    memset(&ref, 0, sizeof(ref));
    s3_ref_encode(buf, &ref);
    CHECK_INT(s3_ref_decode(buf, &ref), S3_ECORRUPT);
    ref.k = 2;
    ref.mask = 1;
    s3_ref_encode(buf, &ref);
    CHECK_INT(s3_ref_decode(buf, &ref), S3_ECORRUPT);
    ref.mask = 3;
    s3_ref_encode(buf, &ref);
    CHECK_INT(s3_ref_decode(buf, &ref), S3_OK);

    memset(&lookup, 0, sizeof(lookup));
    lookup.entries = lookup.fixed;
    s3_lookup_release(&lookup);
    lookup.entries = malloc(10 * sizeof(s3_entry_t));
    s3_lookup_release(&lookup);
    CHECK(lookup.entries == NULL);
}


static void
test_words(void)
{
    int rc;

    for (rc = S3_EBUSY; rc <= 0; rc++) {
        CHECK(s3_strerror(rc) && *s3_strerror(rc));
    }

    CHECK_STR(s3_strerror(S3_OK), "ok");
    CHECK_STR(s3_strerror(5), "ok");
    CHECK_STR(s3_strerror(S3_EBUSY - 1), "unknown error");
    CHECK_STR(s3_strerror(INT32_MIN), "unknown error");
}


int
main(void)
{
    test_round_trip();
    test_damage();
    test_limits();
    test_entry();
    test_words();

    return S3_TEST_END();
}
