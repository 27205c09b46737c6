/* protocol/s3_uri: coding, queries, UTF-8, and the canonical forms. */

#include "s3_test.h"

#include "s3_uri.h"

#define S(lit) s3_str((lit), sizeof(lit) - 1)


static char text[8192];


static const char *
cstr(const void *data, int64_t n)
{
    if (n < 0) {
        return "error";
    }

    memcpy(text, data, (size_t) n);
    text[n] = '\0';

    return text;
}


/* Exactly as much room as promised: the sanitizer watches the end. */

static const char *
decode(const char *s, unsigned flags)
{
    size_t len = strlen(s);
    uint8_t *dst = malloc(len ? len : 1);
    int64_t n = s3_uri_decode(dst, s3_str(s, len), flags);
    const char *r = cstr(dst, n);

    free(dst);

    return r;
}


static const char *
encode(const char *s, int slash)
{
    s3_str_t str = s3_str(s, strlen(s));
    size_t n = s3_uri_encoded_len(str, slash);
    uint8_t *dst = malloc(n ? n : 1);
    const char *r;

    CHECK_INT(s3_uri_encode(dst, str, slash), n);
    r = cstr(dst, (int64_t) n);
    free(dst);

    return r;
}


static const char *
path(const char *s)
{
    size_t len = strlen(s);
    uint8_t *dst = malloc(3 * len + 1);
    const char *r = cstr(dst, s3_uri_canonical_path(dst, s3_str(s, len)));

    free(dst);

    return r;
}


static const char *
query(const char *s, s3_str_t skip)
{
    s3_uri_query_t q;
    size_t len = strlen(s), n;
    uint8_t *buf = malloc(len ? len : 1), *dst;
    const char *r = "error";

    if (s3_uri_query_parse(&q, s3_str(s, len), buf) == S3_OK) {
        n = s3_uri_canonical_query_size(&q);
        dst = malloc(n ? n : 1);
        n = s3_uri_canonical_query(dst, &q, skip);
        r = cstr(dst, (int64_t) n);
        free(dst);
    }

    free(buf);

    return r;
}


static void
test_coding(void)
{
    int i;
    uint8_t all[256], enc[768], dec[768];

    CHECK_STR(decode("", 0), "");
    CHECK_STR(decode("a%20b+c", 0), "a b+c");
    CHECK_STR(decode("a%20b+c", S3_URI_PLUS), "a b c");
    CHECK_STR(decode("%2F%2f%7e", 0), "//~");
    CHECK_STR(decode("%", 0), "error");
    CHECK_STR(decode("a%2", 0), "error");
    CHECK_STR(decode("%2g", 0), "error");
    CHECK_STR(decode("%g2", 0), "error");
    CHECK_STR(decode("%%20", 0), "error");
    CHECK_STR(decode("a%00b", 0), "error");
    CHECK_INT(s3_uri_decode(dec, S("a\0b"), 0), S3_EINVAL);

    CHECK_STR(encode("azAZ09-._~", 0), "azAZ09-._~");
    CHECK_STR(encode("a/b c*'()!:@=+&\x7f\xc3\xa9", 1),
              "a/b%20c%2A%27%28%29%21%3A%40%3D%2B%26%7F%C3%A9");
    CHECK_STR(encode("a/b", 0), "a%2Fb");

    for (i = 0; i < 255; i++) {
        all[i] = (uint8_t) (i + 1);
    }

    i = (int) s3_uri_encode(enc, s3_str(all, 255), 0);
    CHECK_INT(s3_uri_decode(dec, s3_str(enc, (size_t) i), 0), 255);
    CHECK(memcmp(all, dec, 255) == 0);
}


static void
test_split(void)
{
    s3_str_t p, q;

    s3_uri_split(S("/b/k?a=1?b"), &p, &q);
    CHECK(s3_str_eq(p, S("/b/k")) && s3_str_eq(q, S("a=1?b")));

    s3_uri_split(S("/b/k"), &p, &q);
    CHECK(s3_str_eq(p, S("/b/k")) && q.len == 0);

    s3_uri_split(S("?acl"), &p, &q);
    CHECK(s3_str_eq(p, S("/")) && s3_str_eq(q, S("acl")));

    s3_uri_split(s3_null_str, &p, &q);
    CHECK(s3_str_eq(p, S("/")) && q.len == 0);

    s3_uri_split(S("/b/k?"), &p, &q);
    CHECK(s3_str_eq(p, S("/b/k")) && q.len == 0);
}


static void
test_query(void)
{
    int i;
    char many[S3_URI_MAX_PAIRS * 2 + 3];
    uint8_t buf[1024];
    s3_uri_query_t q;
    const s3_uri_pair_t *p;

    CHECK_INT(
        s3_uri_query_parse(&q, S("list-type=2&&prefix=a%2Fb+c&acl&x="), buf),
        S3_OK);
    CHECK_INT(q.n, 4);
    p = s3_uri_query_find(&q, S("prefix"));
    REQUIRE(p != NULL);
    CHECK(s3_str_eq(p->value, S("a/b c")));
    CHECK(s3_uri_query_find(&q, S("Prefix")) == NULL);
    CHECK(s3_uri_query_find_nocase(&q, S("PREFIX")) == p);
    CHECK(s3_uri_query_find_nocase(&q, S("PREFIXX")) == NULL);
    p = s3_uri_query_find(&q, S("acl"));
    REQUIRE(p != NULL);
    CHECK_INT(p->value.len, 0);

    CHECK_INT(s3_uri_query_parse(&q, S("a=b=c"), buf), S3_OK);
    CHECK(s3_str_eq(q.pair[0].value, S("b=c")));

    CHECK_INT(s3_uri_query_parse(&q, S("=a"), buf), S3_EINVAL);
    CHECK_INT(s3_uri_query_parse(&q, S("a=%zz"), buf), S3_EINVAL);
    CHECK_INT(s3_uri_query_parse(&q, S("a%0=b"), buf), S3_EINVAL);
    CHECK_INT(s3_uri_query_parse(&q, S("a=%00"), buf), S3_EINVAL);
    CHECK_INT(s3_uri_query_parse(&q, s3_null_str, buf), S3_OK);
    CHECK_INT(q.n, 0);

    for (i = 0; i <= S3_URI_MAX_PAIRS; i++) {
        memcpy(many + 2 * i, "a&", 2);
    }

    CHECK_INT(s3_uri_query_parse(&q, s3_str(many, S3_URI_MAX_PAIRS * 2), buf),
              S3_OK);
    CHECK_INT(q.n, S3_URI_MAX_PAIRS);
    CHECK_INT(
        s3_uri_query_parse(&q, s3_str(many, S3_URI_MAX_PAIRS * 2 + 1), buf),
        S3_EINVAL);
}


static void
test_utf8(void)
{
    CHECK(s3_utf8_valid(s3_null_str));
    CHECK(s3_utf8_valid(S("plain")));
    CHECK(s3_utf8_valid(S("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80")));
    CHECK(s3_utf8_valid(S("\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf")));
    CHECK(!s3_utf8_valid(S("\x80")));
    CHECK(!s3_utf8_valid(S("\xc3")));
    CHECK(!s3_utf8_valid(S("\xc0\x80")));
    CHECK(!s3_utf8_valid(S("\xc1\xbf")));
    CHECK(!s3_utf8_valid(S("\xe0\x9f\xbf")));
    CHECK(!s3_utf8_valid(S("\xed\xa0\x80")));
    CHECK(!s3_utf8_valid(S("\xf0\x8f\xbf\xbf")));
    CHECK(!s3_utf8_valid(S("\xf4\x90\x80\x80")));
    CHECK(!s3_utf8_valid(S("\xf5\x80\x80\x80")));
    CHECK(!s3_utf8_valid(S("\xe2\x82")));
    CHECK(!s3_utf8_valid(S("\xe2\x82z")));
    CHECK(!s3_utf8_valid(S("ok\xff")));
}


static void
test_canonical(void)
{
    CHECK_STR(path(""), "/");
    CHECK_STR(path("/b/.."), "/b/..");
    CHECK_STR(path("/b/a/../b"), "/b/a/../b");
    CHECK_STR(path("/b///x//"), "/b///x//");
    CHECK_STR(path("/b/%2e%2F%41"), "/b/./A");
    CHECK_STR(path("/b/a+b*%20(c)"), "/b/a%2Bb%2A%20%28c%29");
    CHECK_STR(path("/b/%25%32%30"), "/b/%2520");
    CHECK_STR(path("/b/\xc3\xa9"), "/b/%C3%A9");
    CHECK_STR(path("/***************"),
              "/%2A%2A%2A%2A%2A%2A%2A%2A%2A%2A%2A%2A%2A%2A%2A");
    CHECK_STR(path("/b/%"), "error");
    CHECK_STR(path("/b/%00"), "error");

    CHECK_STR(query("", s3_null_str), "");
    CHECK_STR(query("prefix=J&max-keys=2", s3_null_str), "max-keys=2&prefix=J");
    CHECK_STR(query("lifecycle", s3_null_str), "lifecycle=");
    CHECK_STR(query("b=2&a=1&b=1&a=%2F+x", s3_null_str),
              "a=%2F%20x&a=1&b=1&b=2");
    CHECK_STR(query("X-Amz-Signature=zz&X-Amz-Date=1", S("X-Amz-Signature")),
              "X-Amz-Date=1");
    CHECK_STR(query("X-Amz-Signature=zz&X-Amz-Date=1", s3_null_str),
              "X-Amz-Date=1&X-Amz-Signature=zz");

    /* Order is that of the encoded names: "~" is not encoded, e' is. */

    CHECK_STR(query("~=1&\xc3\xa9=2&a=3&A=4&-=5&ab=6", s3_null_str),
              "%C3%A9=2&-=5&A=4&a=3&ab=6&~=1");
}


int
main(void)
{
    test_coding();
    test_split();
    test_query();
    test_utf8();
    test_canonical();

    return S3_TEST_END();
}
