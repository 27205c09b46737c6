/*
 * protocol/s3_chunked: the examples of the Amazon S3 API reference, every
 * split point, every way to be refused.
 */

#include "s3_test.h"

#include "s3_chunked.h"

#define S(lit) s3_str((lit), sizeof(lit) - 1)

#define SECRET "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
#define CREDENTIAL "AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request"

#define SEED "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
#define SEED_TRAILER \
    "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e"

#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


static s3_sigv4_cache_t *cache;
static uint8_t body[300000], decoded[300000];
static size_t body_len;

/* How it ended: S3_OK (complete) or S3_EINVAL, with the error. */

static s3_chunked_t last;
static size_t decoded_len;


static s3_auth_result_t
auth(s3_payload_t payload, uint64_t length, s3_str_t trailer, const char *seed)
{
    s3_auth_result_t r;
    s3_sigv4_auth_t a;

    memset(&r, 0, sizeof(r));
    REQUIRE(s3_sigv4_parse_credential(&a, S(CREDENTIAL), 0) == S3_SIGV4_OK);
    REQUIRE(s3_sigv4_key(cache, S(SECRET), &a.credential, r.key, NULL)
            == S3_OK);
    r.scope_len = a.credential.scope.len;
    memcpy(r.scope, a.credential.scope.data, r.scope_len);
    memcpy(r.amz_date, "20130524T000000Z", 16);
    memcpy(r.signature, seed, 64);
    r.payload = payload;
    r.has_decoded_length = 1;
    r.decoded_length = length;
    r.trailer = trailer;

    return r;
}


/*
 * Feeds body in pieces of the given sizes, the last one repeated; every
 * piece is a block of its own, so that the sanitizer sees its end.
 */

static int
feed(const s3_auth_result_t *a, size_t first, size_t step)
{
    int rc;
    size_t n, off;
    s3_str_t in, out;
    uint8_t *piece;

    decoded_len = 0;
    rc = s3_chunked_init(&last, a);

    for (off = 0; rc == S3_OK && off < body_len; off += n) {
        n = s3_min(off ? step : first, body_len - off);
        piece = malloc(n ? n : 1);
        memcpy(piece, body + off, n);
        in = s3_str(piece, n);

        while ((rc = s3_chunked_next(&last, &in, &out)) == S3_OK) {
            REQUIRE(out.len > 0 && out.data >= piece
                    && out.data + out.len <= piece + n);
            REQUIRE(decoded_len + out.len <= sizeof(decoded));
            memcpy(decoded + decoded_len, out.data, out.len);
            decoded_len += out.len;
        }

        if (rc == S3_DONE && in.len) {
            rc = s3_chunked_next(&last, &in, &out);
        }

        free(piece);

        if (rc == S3_AGAIN || rc == S3_DONE) {
            rc = S3_OK;
        }

        n = n ? n : 1;
    }

    if (rc == S3_OK) {
        rc = s3_chunked_end(&last);
    }

    CHECK_INT(last.decoded, decoded_len);
    s3_chunked_free(&last);

    return rc;
}


static void
put(const void *data, size_t len)
{
    REQUIRE(body_len + len <= sizeof(body));
    memcpy(body + body_len, data, len);
    body_len += len;
}


static void
set(const char *text)
{
    body_len = 0;
    put(text, strlen(text));
}


static void
fill(uint8_t byte, size_t len)
{
    REQUIRE(body_len + len <= sizeof(body));
    memset(body + body_len, byte, len);
    body_len += len;
}


#define put_str(lit) put(lit, sizeof(lit) - 1)


/* The example: 66560 times 'a', in chunks of 65536 and 1024 bytes. */

static void
example(const char *one, const char *two, const char *three)
{
    body_len = 0;
    put_str("10000;chunk-signature=");
    put(one, 64);
    put_str("\r\n");
    fill('a', 65536);
    put_str("\r\n400;chunk-signature=");
    put(two, 64);
    put_str("\r\n");
    fill('a', 1024);
    put_str("\r\n0;chunk-signature=");
    put(three, 64);
    put_str("\r\n");
}


static void
test_example(void)
{
    int bad;
    size_t i;
    s3_auth_result_t a;

    a = auth(S3_PAYLOAD_CHUNKED, 66560, s3_null_str, SEED);

    example("ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
            "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
            "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9");
    put_str("\r\n");
    CHECK_INT(body_len, 66824);

    CHECK_INT(feed(&a, body_len, 1), S3_OK);
    CHECK_INT(decoded_len, 66560);

    for (i = 0, bad = 0; i < decoded_len; i++) {
        bad += decoded[i] != 'a';
    }

    CHECK_INT(bad, 0);
    CHECK_INT(feed(&a, 1, 1), S3_OK);
    CHECK_INT(feed(&a, 1000, 4096), S3_OK);

    /* One bit anywhere in the data or a signature. */

    body[1000] ^= 1;
    CHECK_INT(feed(&a, body_len, 1), S3_EINVAL);
    CHECK_INT(last.fault.err, S3_ERR_SIGNATURE_DOES_NOT_MATCH);
    body[1000] ^= 1;
    body[66000] ^= 1;
    CHECK_INT(feed(&a, body_len, 1), S3_EINVAL);
    CHECK_INT(last.fault.err, S3_ERR_SIGNATURE_DOES_NOT_MATCH);
    body[66000] ^= 1;
    body[body_len - 5] ^= 1;
    CHECK_INT(feed(&a, body_len, 1), S3_EINVAL);
    CHECK_INT(last.fault.err, S3_ERR_SIGNATURE_DOES_NOT_MATCH);
    body[body_len - 5] ^= 1;

    /* Another seed, key, date or scope. */

    a.signature[3] ^= 1;
    CHECK_INT(feed(&a, body_len, 1), S3_EINVAL);
    a.signature[3] ^= 1;
    a.key[3] ^= 1;
    CHECK_INT(feed(&a, body_len, 1), S3_EINVAL);
    a.key[3] ^= 1;
    a.amz_date[15] ^= 1;
    CHECK_INT(feed(&a, body_len, 1), S3_EINVAL);
    a.amz_date[15] ^= 1;
    a.scope[3] ^= 1;
    CHECK_INT(feed(&a, body_len, 1), S3_EINVAL);
    a.scope[3] ^= 1;
    CHECK_INT(feed(&a, body_len, 1), S3_OK);

    /* Cut short at the end of a chunk. */

    body_len -= 2;
    CHECK_INT(feed(&a, body_len, 1), S3_EINVAL);
    CHECK_INT(last.fault.err, S3_ERR_INCOMPLETE_BODY);
    body_len = 85 + 1 + 65536 + 2;
    CHECK_INT(feed(&a, body_len, 1), S3_EINVAL);
    CHECK_INT(last.fault.err, S3_ERR_INCOMPLETE_BODY);
}


static void
test_trailer_example(void)
{
    size_t end;
    s3_auth_result_t a;

    a = auth(S3_PAYLOAD_CHUNKED_TRAILER, 66560, S("x-amz-checksum-crc32c"),
             SEED_TRAILER);

    example("b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
            "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
            "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992");
    end = body_len;
    put_str("x-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-trailer-signature:"
            "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435"
            "\r\n\r\n");

    CHECK_INT(feed(&a, body_len, 1), S3_OK);
    CHECK_INT(decoded_len, 66560);
    CHECK(s3_str_eq(s3_str(last.trailer_name, last.trailer_name_len),
                    S("x-amz-checksum-crc32c")));
    CHECK(s3_str_eq(s3_str(last.trailer_value, last.trailer_value_len),
                    S("sOO8/Q==")));
    CHECK_INT(feed(&a, 1, 1), S3_OK);

    /* As old clients end the line; and another value. */

    body_len = end;
    put_str("x-amz-checksum-crc32c:sOO8/Q==\n\r\nx-amz-trailer-signature:"
            "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435"
            "\r\n\r\n");
    CHECK_INT(feed(&a, body_len, 1), S3_OK);

    body_len = end;
    put_str("x-amz-checksum-crc32c:sOO9/Q==\r\nx-amz-trailer-signature:"
            "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435"
            "\r\n\r\n");
    CHECK_INT(feed(&a, body_len, 1), S3_EINVAL);
    CHECK_INT(last.fault.err, S3_ERR_SIGNATURE_DOES_NOT_MATCH);

    body_len = end;
    put_str("x-amz-checksum-crc32c:sOO8/Q==\r\n\r\n");
    CHECK_INT(feed(&a, body_len, 1), S3_EINVAL);
    CHECK_INT(last.fault.err, S3_ERR_INCOMPLETE_BODY);

    body_len = end;
    put_str("\r\n");
    CHECK_INT(feed(&a, body_len, 1), S3_EINVAL);
    CHECK_INT(last.fault.err, S3_ERR_MALFORMED_TRAILER_ERROR);

    body_len = end;
    put_str("x-amz-checksum-crc32:sOO8/Q==\r\n");
    CHECK_INT(feed(&a, body_len, 1), S3_EINVAL);
    CHECK_INT(last.fault.err, S3_ERR_MALFORMED_TRAILER_ERROR);

    body_len = end;
    put_str("x-amz-checksum-crc32c:sOO8/Q==\r\nx-aminvalid-signature:00\r\n");
    CHECK_INT(feed(&a, body_len, 1), S3_EINVAL);
    CHECK_INT(last.fault.err, S3_ERR_INCOMPLETE_BODY);

    /* Not announced. */

    a.trailer = s3_null_str;
    body_len = end;
    put_str("x-amz-checksum-crc32c:sOO8/Q==\r\n");
    CHECK_INT(feed(&a, body_len, 1), S3_EINVAL);
    CHECK_INT(last.fault.err, S3_ERR_MALFORMED_TRAILER_ERROR);
}


/* A small signed body of this chain, one chunk. */

static void
sign_small(const s3_auth_result_t *a, const char *data, const char *trailer)
{
    int n;
    char text[1024], value[200];
    uint8_t hash[32], hex[64], sig[64];
    s3_sha256_t *h;

    h = s3_sigv4_cache_hash(cache);
    body_len = 0;
    REQUIRE(s3_sha256(h, s3_str(data, strlen(data)), hash) == S3_OK);
    s3_hex(hex, hash, 32);
    n = snprintf(text, sizeof(text),
                 "AWS4-HMAC-SHA256-PAYLOAD\n%.16s\n%.*s\n%.64s\n" EMPTY
                 "\n%.64s",
                 a->amz_date, (int) a->scope_len, a->scope, a->signature, hex);
    REQUIRE(s3_sigv4_sign(a->key, s3_str(text, (size_t) n), sig) == S3_OK);
    n = snprintf(text, sizeof(text), "%zx;chunk-signature=%.64s\r\n%s\r\n",
                 strlen(data), sig, data);
    put(text, (size_t) n);

    n = snprintf(text, sizeof(text),
                 "AWS4-HMAC-SHA256-PAYLOAD\n%.16s\n%.*s\n%.64s\n" EMPTY
                 "\n" EMPTY,
                 a->amz_date, (int) a->scope_len, a->scope, sig);
    REQUIRE(s3_sigv4_sign(a->key, s3_str(text, (size_t) n), sig) == S3_OK);
    n = snprintf(text, sizeof(text), "0;chunk-signature=%.64s\r\n", sig);
    put(text, (size_t) n);

    if (trailer) {
        snprintf(value, sizeof(value), "%s\n", trailer);
        REQUIRE(s3_sha256(h, s3_str(value, strlen(value)), hash) == S3_OK);
        s3_hex(hex, hash, 32);
        n = snprintf(text, sizeof(text),
                     "AWS4-HMAC-SHA256-TRAILER\n%.16s\n%.*s\n%.64s\n%.64s",
                     a->amz_date, (int) a->scope_len, a->scope, sig, hex);
        REQUIRE(s3_sigv4_sign(a->key, s3_str(text, (size_t) n), sig) == S3_OK);
        n = snprintf(text, sizeof(text),
                     "%s\r\nx-amz-trailer-signature:%.64s\r\n", trailer, sig);
        put(text, (size_t) n);
    }

    put_str("\r\n");
}


/* Replaces bytes from..to of body. */

static void
replace(size_t from, size_t to, const char *with)
{
    size_t n = strlen(with);

    memmove(body + from + n, body + to, body_len - to);
    memcpy(body + from, with, n);
    body_len = body_len - (to - from) + n;
}


static void
test_broken_signed(void)
{
    static const struct {
        size_t from, to;
        const char *with;
    } plain[] =
        {
            {0, 2, "j"},
            {83, 85, ""},
            {83, 85, "dd"},
            {103, 105, ""},
            {103, 105, "something invalid"},
            {187, 191, "bbbb"},
            {190, 191, "s"},
            {2, 3, ":"},
            {3, 19, ""},
            {19, 24, ""},
            {0, 2, "fffffffffffffffff"},
            {191, 191, "x"},
        },
      trailer[] = {
          {175, 176, "k"},       {175, 177, "cc"},   {215, 216, "bcd"},
          {220, 223, "invalid"}, {230, 235, "abcd"}, {241, 245, "abcde"},
          {306, 308, "pp"},      {304, 308, "erty"},
      };
    size_t i;
    s3_auth_result_t a;

    a = auth(S3_PAYLOAD_CHUNKED, 18, s3_null_str, SEED);
    sign_small(&a, "dummy data paylaod", NULL);
    CHECK_INT(feed(&a, 1, 1), S3_OK);

    for (i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
        sign_small(&a, "dummy data paylaod", NULL);
        replace(plain[i].from, plain[i].to, plain[i].with);
        CHECK_INT(feed(&a, body_len, 1), S3_EINVAL);
        CHECK_INT(last.fault.err, S3_ERR_INCOMPLETE_BODY);
        CHECK_INT(feed(&a, 1, 1), S3_EINVAL);
        CHECK_INT(last.fault.err, S3_ERR_INCOMPLETE_BODY);
    }

    a = auth(S3_PAYLOAD_CHUNKED_TRAILER, 7, S("X-Amz-Checksum-CRC64NVME"),
             SEED);
    sign_small(&a, "abcdefg", "x-amz-checksum-crc64nvme:SmzZ/LTp1CA=");
    CHECK_INT(feed(&a, 1, 1), S3_OK);

    for (i = 0; i < sizeof(trailer) / sizeof(trailer[0]); i++) {
        sign_small(&a, "abcdefg", "x-amz-checksum-crc64nvme:SmzZ/LTp1CA=");
        replace(trailer[i].from, trailer[i].to, trailer[i].with);
        CHECK_INT(feed(&a, body_len, 1), S3_EINVAL);
        CHECK_INT(last.fault.err, S3_ERR_INCOMPLETE_BODY);
    }

    sign_small(&a, "abcdefg", "x-amz-checksum-crc64nvme:invalid");
    CHECK_INT(feed(&a, body_len, 1), S3_EINVAL);
    CHECK_INT(last.fault.err, S3_ERR_INVALID_REQUEST);
    CHECK_STR(s3_fault_message(&last.fault),
              "Value for x-amz-checksum-crc64nvme trailing header is "
              "invalid.");

    /* All lengths that are not the announced one. */

    for (i = 0; i < 14; i++) {
        a = auth(S3_PAYLOAD_CHUNKED, i, s3_null_str, SEED);
        sign_small(&a, "abcdefg", NULL);
        CHECK_INT(feed(&a, body_len, 1), i == 7 ? S3_OK : S3_EINVAL);
        CHECK_INT(last.fault.err,
                  i == 7 ? S3_ERR_NONE : S3_ERR_INCOMPLETE_BODY);
        CHECK(decoded_len <= i);
    }
}


/* Every pair of split points of a small body, each form. */

static void
test_splits(void)
{
    static const char *const values[] = {
        NULL, "x-amz-checksum-crc64nvme:SmzZ/LTp1CA="};
    size_t i, j, k;
    s3_auth_result_t a;

    for (k = 0; k < 2; k++) {
        a = auth(k ? S3_PAYLOAD_CHUNKED_TRAILER : S3_PAYLOAD_CHUNKED, 7,
                 k ? S("x-amz-checksum-crc64nvme") : s3_null_str, SEED);
        sign_small(&a, "abcdefg", values[k]);

        for (i = 1; i < body_len; i += 1 + i / 100) {
            CHECK_INT(feed(&a, i, body_len), S3_OK);
            CHECK(decoded_len == 7 && memcmp(decoded, "abcdefg", 7) == 0);
        }
    }

    a = auth(S3_PAYLOAD_UNSIGNED_TRAILER, 2, S("x-amz-checksum-crc32"), SEED);
    set("2\r\nhi\r\n0\r\nx-amz-checksum-crc32:2JMqrA==\r\n\r\n");

    for (i = 1; i < body_len; i++) {
        for (j = 1; j < body_len; j++) {
            CHECK_INT(feed(&a, i, j), S3_OK);
            CHECK(decoded_len == 2 && memcmp(decoded, "hi", 2) == 0);
        }
    }

    CHECK(s3_str_eq(s3_str(last.trailer_value, last.trailer_value_len),
                    S("2JMqrA==")));
}


static void
test_unsigned(void)
{
    static const struct {
        const char *body, *trailer;
        uint64_t length;
        s3_err_t err;
    } t[] = {
        {"B\r\nhello world\r\n0\r\n\r\n", "", 11, S3_ERR_NONE},
        {"b\r\nhello world\r\n0\r\n\r\n", "", 11, S3_ERR_NONE},
        {"0\r\n\r\n", "", 0, S3_ERR_NONE},
        {"5\r\nhello\r\n0\r\nX-Amz-Checksum-CRC64NVME: M3eFcAZSQlc= \r\n\r\n",
         "crc64nvme", 5, S3_ERR_NONE},
        {"5\r\nhello\r\n0\r\nx-amz-checksum-crc64nvme:M3eFcAZSQlc=\n\r\n\r\n",
         "crc64nvme", 5, S3_ERR_NONE},
        {"5\r\nhello\r\n0\r\nx-amz-checksum-crc64nvme:M3eFcAZSQlc=\n\r\n",
         "crc64nvme", 5, S3_ERR_NONE},
        {"5\r\nhello\r\n0\r\nx-amz-checksum-crc64nvme:M3eFcAZSQlc=\n\r\nx",
         "crc64nvme", 5, S3_ERR_INCOMPLETE_BODY},

        {"5\r\nhello\r\n0\r\n\r\n", "crc64nvme", 5,
         S3_ERR_MALFORMED_TRAILER_ERROR},
        {"5\r\nhello\r\n0\r\n:M3eFcAZSQlc=\r\n\r\n", "crc64nvme", 5,
         S3_ERR_MALFORMED_TRAILER_ERROR},
        {"5\r\nhello\r\n0\r\nx-amz-checksum-crc64nvme:M3eFcAZSQlc=\r\n\r\n", "",
         5, S3_ERR_MALFORMED_TRAILER_ERROR},
        {"5\r\nhello\r\n0\r\ninvalid_trailer:M3eFcAZSQlc=\r\n\r\n", "crc64nvme",
         5, S3_ERR_MALFORMED_TRAILER_ERROR},
        {"5\r\nhello\r\n0\r\nno colon\r\n\r\n", "crc64nvme", 5,
         S3_ERR_MALFORMED_TRAILER_ERROR},
        {"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n"
         "x-amz-checksum-crc32:NhCmhg==\r\n\r\n",
         "crc32", 5, S3_ERR_MALFORMED_TRAILER_ERROR},
        {"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg\r\n\r\n", "crc32", 5,
         S3_ERR_INVALID_REQUEST},

        {"A\ndummy data\r\n0\r\n\r\n", "", 10, S3_ERR_INCOMPLETE_BODY},
        {"A\r\ndummy data0\r\n\r\n", "", 10, S3_ERR_INCOMPLETE_BODY},
        {"A\r\nXYZ\r\ndummy data\r\n0\r\n\r\n", "", 10, S3_ERR_INCOMPLETE_BODY},
        {"B\r\ndummy data\r\n0\r\n\r\n", "", 10, S3_ERR_INCOMPLETE_BODY},
        {"A\r\ndummy data\r\n0\r\n", "", 10, S3_ERR_INCOMPLETE_BODY},
        {"A\r\ndummy data\r\n0\r\nx-amz-checksum-crc64nvme:dPVWc2vU1+Q=\r\n",
         "crc64nvme", 10, S3_ERR_INCOMPLETE_BODY},
        {"A\r\n", "", 10, S3_ERR_INCOMPLETE_BODY},
        {"", "", 0, S3_ERR_INCOMPLETE_BODY},
        {"invalid_chunk_size\r\ndummy data\r\n0\r\n\r\n", "", 10,
         S3_ERR_INCOMPLETE_BODY},
        {"A\r\ndummy data\r\nJ\r\n\r\n", "", 10, S3_ERR_INCOMPLETE_BODY},
        {"\r\n", "", 0, S3_ERR_INCOMPLETE_BODY},
        {" 0\r\n\r\n", "", 0, S3_ERR_INCOMPLETE_BODY},
        {"-1\r\n\r\n", "", 0, S3_ERR_INCOMPLETE_BODY},
        {"140000001\r\n", "", 0, S3_ERR_INCOMPLETE_BODY},
        {"ffffffffffffffffffffffff\r\n", "", 0, S3_ERR_INCOMPLETE_BODY},
        {"0\r\n\n", "", 0, S3_ERR_INCOMPLETE_BODY},
        {"0\r\n\r\nx", "", 0, S3_ERR_INCOMPLETE_BODY},

        {"b\r\nabcdefghijk\r\n0\r\n\r\n", "", 5, S3_ERR_INCOMPLETE_BODY},
        {"b\r\nabcdefghijk\r\n0\r\n\r\n", "", 200, S3_ERR_INCOMPLETE_BODY},
        {"1\r\na\r\n1\r\nb\r\n0\r\n\r\n", "", 2,
         S3_ERR_INVALID_CHUNK_SIZE_ERROR},
    };
    char name[64];
    size_t i, step;
    s3_auth_result_t a;

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        snprintf(name, sizeof(name), "x-amz-checksum-%s", t[i].trailer);
        a = auth(S3_PAYLOAD_UNSIGNED_TRAILER, t[i].length,
                 s3_str(name, t[i].trailer[0] ? strlen(name) : 0), SEED);
        set(t[i].body);

        for (step = 1; step < 10; step++) {
            CHECK_INT(feed(&a, step == 9 ? body_len : step, step),
                      t[i].err == S3_ERR_NONE ? S3_OK : S3_EINVAL);
            CHECK_INT(last.fault.err, t[i].err);
        }

        if (last.fault.err != t[i].err) {
            fprintf(stderr, "case %zu\n", i);
        }
    }

    /* The texts tell a wrong length from a broken frame. */

    a = auth(S3_PAYLOAD_UNSIGNED_TRAILER, 5, s3_null_str, SEED);
    set("b\r\nabcdefghijk\r\n0\r\n\r\n");
    CHECK_INT(feed(&a, body_len, 1), S3_EINVAL);
    CHECK(strstr(s3_fault_message(&last.fault), "number of bytes") != NULL);
    a = auth(S3_PAYLOAD_UNSIGNED_TRAILER, 10, s3_null_str, SEED);
    set("B\r\ndummy data\r\n0\r\n\r\n");
    CHECK_INT(feed(&a, body_len, 1), S3_EINVAL);
    CHECK(strstr(s3_fault_message(&last.fault), "terminated") != NULL);
}


static void
test_chunk_sizes(void)
{
    static const struct {
        size_t sizes[7];
        unsigned chunk, bad;
    } t[] = {
        {{8192, 8192, 100}, 0, 0},  {{100}, 0, 0},
        {{10000, 9500, 20}, 0, 0},  {{100, 8192, 100}, 1, 100},
        {{8192, 10, 100}, 2, 10},   {{10000, 8191, 8192}, 2, 8191},
        {{8192, 8192, 8192}, 0, 0},
    };
    char line[32];
    size_t i, j, n, total;
    s3_auth_result_t a;

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        body_len = 0;
        total = 0;

        for (j = 0; t[i].sizes[j]; j++) {
            n = (size_t) snprintf(line, sizeof(line), "%zx\r\n", t[i].sizes[j]);
            put(line, n);
            fill('x', t[i].sizes[j]);
            put_str("\r\n");
            total += t[i].sizes[j];
        }

        put_str("0\r\n\r\n");
        a = auth(S3_PAYLOAD_UNSIGNED_TRAILER, total, s3_null_str, SEED);
        CHECK_INT(feed(&a, body_len, 1), t[i].chunk ? S3_EINVAL : S3_OK);

        if (t[i].chunk) {
            CHECK_INT(last.fault.err, S3_ERR_INVALID_CHUNK_SIZE_ERROR);
            REQUIRE(last.fault.nextra == 2);
            CHECK_INT(last.fault.extra[0].number, t[i].chunk);
            CHECK_INT(last.fault.extra[1].number, t[i].bad);

        } else {
            CHECK_INT(decoded_len, total);
        }
    }
}


static void
test_bounds(void)
{
    s3_auth_result_t a;

    /* A line without an end. */

    a = auth(S3_PAYLOAD_UNSIGNED_TRAILER, 1, s3_null_str, SEED);
    body_len = 0;
    fill('0', S3_CHUNKED_MAX_LINE + 1);
    CHECK_INT(feed(&a, body_len, 1), S3_EINVAL);
    CHECK_INT(last.fault.err, S3_ERR_INCOMPLETE_BODY);
    CHECK_INT(feed(&a, 1, 1), S3_EINVAL);

    body_len = 0;
    put_str("1\r\na\r\n0\r\n");
    fill('t', S3_CHUNKED_MAX_LINE);
    put_str("\r\n\r\n");
    CHECK_INT(feed(&a, 1, 1), S3_EINVAL);
    CHECK_INT(last.fault.err, S3_ERR_INCOMPLETE_BODY);

    /* What init refuses. */

    body_len = 0;
    a.has_decoded_length = 0;
    CHECK_INT(feed(&a, 1, 1), S3_EINVAL);
    CHECK_INT(last.fault.err, S3_ERR_MISSING_CONTENT_LENGTH);

    a = auth(S3_PAYLOAD_SIGNED, 1, s3_null_str, SEED);
    CHECK_INT(feed(&a, 1, 1), S3_EINVAL);
    CHECK_INT(last.fault.err, S3_ERR_INVALID_REQUEST);

    a = auth(S3_PAYLOAD_UNSIGNED_TRAILER, 1, S("x-amz-checksum-sha512"), SEED);
    CHECK_INT(feed(&a, 1, 1), S3_EINVAL);
    CHECK_INT(last.fault.err, S3_ERR_INVALID_REQUEST);

    a = auth(S3_PAYLOAD_CHUNKED_TRAILER, 1, S("x-amz-meta-a"), SEED);
    CHECK_INT(feed(&a, 1, 1), S3_EINVAL);
    CHECK_INT(last.fault.err, S3_ERR_INVALID_REQUEST);
}


int
main(void)
{
    cache = s3_sigv4_cache_create();
    REQUIRE(cache != NULL);

    test_example();
    test_trailer_example();
    test_broken_signed();
    test_splits();
    test_unsigned();
    test_chunk_sizes();
    test_bounds();

    s3_sigv4_cache_destroy(cache);

    return S3_TEST_END();
}
