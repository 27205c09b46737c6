/*
 * protocol/s3_checksum, s3_crc, s3_base64, s3_hash: published check values,
 * every way against every other.
 */

#include "s3_test.h"

#include "s3_checksum.h"
#include "s3_crc.h"
#include "s3_hash.h"

#define S(lit) s3_str((lit), sizeof(lit) - 1)

static const s3_checksum_alg_t algs[] = {S3_CHECKSUM_CRC32, S3_CHECKSUM_CRC32C,
                                         S3_CHECKSUM_CRC64NVME,
                                         S3_CHECKSUM_SHA1, S3_CHECKSUM_SHA256};

static uint8_t data[200000];


static const char *
value_of(s3_checksum_alg_t alg, s3_str_t s, size_t step)
{
    static char text[128];
    uint8_t raw[S3_CHECKSUM_MAX], out[S3_CHECKSUM_VALUE_SIZE];
    s3_checksum_t c;
    size_t n;
    int len;

    if (s3_checksum_init(&c, alg) != S3_OK) {
        return "error";
    }

    while (s.len) {
        n = s3_min(step, s.len);
        CHECK_INT(s3_checksum_update(&c, s3_str(s.data, n)), S3_OK);
        s = s3_str(s.data + n, s.len - n);
    }

    len = s3_checksum_final(&c, raw);
    CHECK_INT(len, s3_checksum_info(alg)->len);
    s3_checksum_free(&c);
    n = s3_checksum_value(out, alg, raw, 0);
    memcpy(text, out, n);
    text[n] = '\0';

    return text;
}


static void
test_values(void)
{
    CHECK(s3_crc32(0, S("123456789")) == 0xcbf43926);
    CHECK(s3_crc32c(0, S("123456789")) == 0xe3069283);
    CHECK(s3_crc64nvme(0, S("123456789")) == 0xae8b14860a799888ull);
    CHECK(s3_crc64nvme_base(0, S("123456789")) == 0xae8b14860a799888ull);
    CHECK(s3_crc32(0, s3_null_str) == 0);
    CHECK(s3_crc64nvme(0, s3_null_str) == 0);

    /* NVM Command Set specification, 4 KiB of zeroes and of ones. */

    memset(data, 0, 4096);
    CHECK(s3_crc64nvme(0, s3_str(data, 4096)) == 0x6482d367eb22b64eull);
    memset(data, 0xff, 4096);
    CHECK(s3_crc64nvme(0, s3_str(data, 4096)) == 0xc0ddba7302eca3acull);

    /* RFC 3720, B.4: 32 bytes of zeroes and of ones. */

    memset(data, 0, 32);
    CHECK(s3_crc32c(0, s3_str(data, 32)) == 0x8a9136aa);
    memset(data, 0xff, 32);
    CHECK(s3_crc32c(0, s3_str(data, 32)) == 0x62a8ab43);

    CHECK_STR(value_of(S3_CHECKSUM_CRC32, S("hello"), 2), "NhCmhg==");
    CHECK_STR(value_of(S3_CHECKSUM_CRC64NVME, S("hello"), 3), "M3eFcAZSQlc=");
    CHECK_STR(value_of(S3_CHECKSUM_CRC64NVME, S("hello world"), 100),
              "jSnVw/bqjr4=");
    CHECK_STR(value_of(S3_CHECKSUM_CRC32C, S("abcdefg"), 100), "5if0QQ==");
    CHECK_STR(value_of(S3_CHECKSUM_SHA1, S("abc"), 1),
              "qZk+NkcGgWq6PiVxeFDCbJzQ2J0=");
    CHECK_STR(value_of(S3_CHECKSUM_SHA256, S("abc"), 1),
              "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
    CHECK_STR(value_of(S3_CHECKSUM_MD5, S("abc"), 1),
              "kAFQmDzST7DWlj99KOF/cg==");
    CHECK_STR(value_of(S3_CHECKSUM_XXHASH3, S("abc"), 1), "error");
    CHECK_STR(value_of(S3_CHECKSUM_NONE, S("abc"), 1), "error");
}


/* Lengths and alignments around the limits of the fast path. */

static void
test_crc64(void)
{
    size_t len, off;
    int bad = 0;

    for (len = 0; len < 1400; len++) {
        off = len % 17;
        bad += s3_crc64nvme(5, s3_str(data + off, len))
               != s3_crc64nvme_base(5, s3_str(data + off, len));
    }

    CHECK_INT(bad, 0);
    CHECK(s3_crc64nvme(0, s3_str(data, sizeof(data)))
          == s3_crc64nvme_base(0, s3_str(data, sizeof(data))));
}


static void
test_combine(void)
{
    static const size_t cuts[] = {0, 1, 7, 4096, 65537, 199999, 200000};
    uint8_t a[S3_CHECKSUM_MAX], b[S3_CHECKSUM_MAX], whole[S3_CHECKSUM_MAX];
    size_t i, j;
    s3_checksum_t c;

    for (i = 0; i < 3; i++) {
        CHECK_INT(s3_checksum_init(&c, algs[i]), S3_OK);
        (void) s3_checksum_update(&c, s3_str(data, sizeof(data)));
        (void) s3_checksum_final(&c, whole);

        for (j = 0; j < sizeof(cuts) / sizeof(cuts[0]); j++) {
            (void) s3_checksum_init(&c, algs[i]);
            (void) s3_checksum_update(&c, s3_str(data, cuts[j]));
            (void) s3_checksum_final(&c, a);
            (void) s3_checksum_init(&c, algs[i]);
            (void) s3_checksum_update(
                &c, s3_str(data + cuts[j], sizeof(data) - cuts[j]));
            (void) s3_checksum_final(&c, b);

            CHECK_INT(
                s3_checksum_combine(algs[i], a, a, b, sizeof(data) - cuts[j]),
                S3_OK);
            CHECK(memcmp(a, whole, s3_checksum_info(algs[i])->len) == 0);
        }
    }

    CHECK_INT(s3_checksum_combine(S3_CHECKSUM_SHA1, a, a, b, 1), S3_EINVAL);

    /*
     * A length that memory cannot hold: appending 2^40 zero bytes is the
     * same as appending 2^39 twice.
     */

    CHECK(
        s3_crc32_combine(s3_crc32_combine(7, 9, 1ull << 39), 9, 1ull << 39)
        == s3_crc32_combine(7, s3_crc32_combine(9, 9, 1ull << 39), 1ull << 40));
    CHECK(s3_crc64nvme_combine(s3_crc64nvme_combine(7, 9, 1ull << 39), 9,
                               1ull << 39)
          == s3_crc64nvme_combine(7, s3_crc64nvme_combine(9, 9, 1ull << 39),
                                  1ull << 40));
}


static void
test_parts(void)
{
    size_t i, k, len;
    uint8_t digest[S3_CHECKSUM_MAX], all[3 * S3_CHECKSUM_MAX];
    uint8_t got[S3_CHECKSUM_MAX], want[S3_CHECKSUM_MAX];
    static const size_t lens[] = {100000, 99999, 1};
    s3_checksum_t c;
    s3_checksum_type_t t;
    s3_checksum_parts_t p;
    const uint8_t *part;

    for (k = 0; k < 5; k++) {
        for (t = S3_CHECKSUM_COMPOSITE; t <= S3_CHECKSUM_FULL_OBJECT; t++) {
            len = s3_checksum_info(algs[k])->len;

            if (s3_checksum_parts_init(&p, algs[k], t) != S3_OK) {
                CHECK(t == S3_CHECKSUM_COMPOSITE
                          ? algs[k] == S3_CHECKSUM_CRC64NVME
                          : algs[k] >= S3_CHECKSUM_SHA1);
                continue;
            }

            for (i = 0, part = data; i < 3; part += lens[i], i++) {
                (void) s3_checksum_init(&c, algs[k]);
                (void) s3_checksum_update(&c, s3_str(part, lens[i]));
                (void) s3_checksum_final(&c, digest);
                s3_checksum_free(&c);
                memcpy(all + i * len, digest, len);
                CHECK_INT(s3_checksum_parts_add(&p, digest, lens[i]), S3_OK);
            }

            CHECK_INT(s3_checksum_parts_final(&p, got), len);
            CHECK_INT(p.parts, 3);
            s3_checksum_parts_free(&p);

            (void) s3_checksum_init(&c, algs[k]);
            (void) s3_checksum_update(&c, t == S3_CHECKSUM_COMPOSITE
                                              ? s3_str(all, 3 * len)
                                              : s3_str(data, sizeof(data)));
            (void) s3_checksum_final(&c, want);
            s3_checksum_free(&c);
            CHECK(memcmp(got, want, len) == 0);
        }
    }

    CHECK_INT(
        s3_checksum_parts_init(&p, S3_CHECKSUM_SHA512, S3_CHECKSUM_COMPOSITE),
        S3_EINVAL);
    CHECK_INT(
        s3_checksum_parts_init(&p, S3_CHECKSUM_CRC32, S3_CHECKSUM_TYPE_NONE),
        S3_EINVAL);
}


static void
test_base64(void)
{
    static const char *const rfc[] = {"",         "Zg==",     "Zm8=",    "Zm9v",
                                      "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};
    static const char *const bad[] = {
        "Zg",   "Zg=",    "Z===", "====", "Zg==Zg==", "Zh==",  "Zm9=",
        "Z*==", "Zm9v\n", "Z=8=", "=m9v", "Zm-_",     " Zg==", "Zg== "};
    uint8_t out[16], dec[16];
    size_t i, n;

    for (i = 0; i < 7; i++) {
        n = s3_base64_encode(out, s3_str("foobar", i));
        CHECK_INT(n, strlen(rfc[i]));
        CHECK(memcmp(out, rfc[i], n) == 0);
        CHECK_INT(s3_base64_decode(dec, s3_str(out, n)), i);
        CHECK(memcmp(dec, "foobar", i) == 0);
    }

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CHECK_INT(s3_base64_decode(dec, s3_str(bad[i], strlen(bad[i]))),
                  S3_EINVAL);
    }
}


static void
test_names(void)
{
    int i;
    const s3_checksum_info_t *info;
    uint8_t raw[S3_CHECKSUM_MAX], value[S3_CHECKSUM_VALUE_SIZE];
    uint32_t parts;

    for (i = 1; i < S3_CHECKSUM_LAST; i++) {
        info = s3_checksum_info((s3_checksum_alg_t) i);
        CHECK(info->len > 0 && info->len <= S3_CHECKSUM_MAX);
        CHECK_INT(s3_checksum_by_name(info->name), i);
        CHECK_INT(s3_checksum_by_header(info->header), i);
        CHECK_INT(info->supported, i <= S3_CHECKSUM_SHA256);
    }

    CHECK_INT(s3_checksum_by_name(S("crc64nvme")), S3_CHECKSUM_CRC64NVME);
    CHECK_INT(s3_checksum_by_name(S("CRC")), S3_CHECKSUM_NONE);
    CHECK_INT(s3_checksum_by_header(S("X-Amz-Checksum-SHA1")),
              S3_CHECKSUM_SHA1);
    CHECK_INT(s3_checksum_by_header(S("x-amz-checksum-mode")),
              S3_CHECKSUM_NONE);
    CHECK_INT(s3_checksum_info((s3_checksum_alg_t) 99)->len, 0);

    CHECK_INT(s3_checksum_parse(S3_CHECKSUM_CRC32, S("NhCmhg=="), raw, NULL),
              S3_OK);
    CHECK(raw[0] == 0x36 && raw[3] == 0x86);
    CHECK_INT(s3_checksum_parse(S3_CHECKSUM_CRC32, S("NhCmhg=="), raw, &parts),
              S3_OK);
    CHECK_INT(parts, 0);
    CHECK_INT(
        s3_checksum_parse(S3_CHECKSUM_CRC32, S("NhCmhg==-31"), raw, &parts),
        S3_OK);
    CHECK_INT(parts, 31);
    CHECK_INT(s3_checksum_parse(S3_CHECKSUM_CRC32, S("NhCmhg==-3"), raw, NULL),
              S3_EINVAL);
    CHECK_INT(s3_checksum_parse(S3_CHECKSUM_CRC32, S("NhCmhg==-"), raw, &parts),
              S3_EINVAL);
    CHECK_INT(
        s3_checksum_parse(S3_CHECKSUM_CRC32, S("NhCmhg==-03"), raw, &parts),
        S3_EINVAL);
    CHECK_INT(
        s3_checksum_parse(S3_CHECKSUM_CRC32, S("NhCmhg==-999999"), raw, &parts),
        S3_EINVAL);
    CHECK_INT(s3_checksum_parse(S3_CHECKSUM_CRC32, S("NhCm"), raw, NULL),
              S3_EINVAL);
    CHECK_INT(s3_checksum_parse(S3_CHECKSUM_CRC32, S("NhCmhg=*"), raw, NULL),
              S3_EINVAL);
    CHECK_INT(s3_checksum_parse(S3_CHECKSUM_NONE, s3_null_str, raw, NULL),
              S3_EINVAL);

    (void) s3_checksum_parse(S3_CHECKSUM_CRC32, S("NhCmhg=="), raw, NULL);
    CHECK_INT(s3_checksum_value(value, S3_CHECKSUM_CRC32, raw, 10000), 14);
    CHECK(memcmp(value, "NhCmhg==-10000", 14) == 0);
    CHECK_INT(s3_checksum_value(value, S3_CHECKSUM_CRC32, raw, UINT32_MAX), 19);
}


/* RFC 4231, cases 1, 2 and 6 (a key longer than a block). */

static void
test_hmac(void)
{
    uint8_t key[131], mac[S3_SHA256_LEN], hex[S3_SHA256_HEX];

    memset(key, 0x0b, 20);
    CHECK_INT(s3_hmac_sha256(s3_str(key, 20), S("Hi There"), mac), S3_OK);
    s3_hex(hex, mac, S3_SHA256_LEN);
    CHECK(memcmp(hex,
                 "b0344c61d8db38535ca8afceaf0bf12b"
                 "881dc200c9833da726e9376c2e32cff7",
                 64)
          == 0);

    CHECK_INT(s3_hmac_sha256(S("Jefe"), S("what do ya want for nothing?"), mac),
              S3_OK);
    s3_hex(hex, mac, S3_SHA256_LEN);
    CHECK(memcmp(hex,
                 "5bdcc146bf60754e6a042426089575c7"
                 "5a003f089d2739839dec58b964ec3843",
                 64)
          == 0);

    memset(key, 0xaa, 131);
    CHECK_INT(s3_hmac_sha256(
                  s3_str(key, 131),
                  S("Test Using Larger Than Block-Size Key - Hash Key First"),
                  mac),
              S3_OK);
    s3_hex(hex, mac, S3_SHA256_LEN);
    CHECK(memcmp(hex,
                 "60e431591ee0b67f0d8a26aacbf5b77f"
                 "8e0bc6213728c5140546040f0ee37f54",
                 64)
          == 0);
}


int
main(void)
{
    size_t i;
    uint32_t x = 1;

    test_values();

    for (i = 0; i < sizeof(data); i++) {
        x = x * 1664525 + 1013904223;
        data[i] = (uint8_t) (x >> 24);
    }

    test_crc64();
    test_combine();
    test_parts();
    test_base64();
    test_names();
    test_hmac();

    return S3_TEST_END();
}
