/* Ranges, dates, entity tags, conditions, numbers. */

#include "s3_http.h"
#include "s3_xml_out.h"

#include "s3_test.h"

#define STR(lit) s3_string(lit)


static s3_str_t
cstr(const char *s)
{
    return s == NULL ? s3_null_str : s3_str(s, strlen(s));
}


static void
test_uint(void)
{
    static const struct {
        const char *s;
        uint64_t max, want;
        int rc;
    } t[] = {
        {"0", 10, 0, S3_OK},
        {"10", 10, 10, S3_OK},
        {"11", 10, 0, S3_EINVAL},
        {"007", 10, 7, S3_OK},
        {"9", 5, 0, S3_EINVAL},
        {"5", 5, 5, S3_OK},
        {"", 10, 0, S3_EINVAL},
        {"-1", 10, 0, S3_EINVAL},
        {"+1", 10, 0, S3_EINVAL},
        {"1 ", 10, 0, S3_EINVAL},
        {"18446744073709551615", UINT64_MAX, UINT64_MAX, S3_OK},
        {"18446744073709551616", UINT64_MAX, 0, S3_EINVAL},
        {"99999999999999999999999", UINT64_MAX, 0, S3_EINVAL},
    };
    size_t i;
    uint64_t v;

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        v = 12345;
        CHECK_INT(s3_parse_uint(cstr(t[i].s), t[i].max, &v), t[i].rc);

        if (t[i].rc == S3_OK) {
            CHECK(v == t[i].want);
        }
    }
}


static void
test_range(void)
{
    static const struct {
        const char *s;
        uint64_t size;
        int err, partial;
        uint64_t first, end;
    } t[] = {
        {NULL, 10, 0, 0, 0, 10},
        {"bytes=0-4", 10, 0, 1, 0, 5},
        {"bytes=0-0", 10, 0, 1, 0, 1},
        {"bytes=4-", 10, 0, 1, 4, 10},
        {"bytes=0-", 10, 0, 1, 0, 10},
        {"bytes=4-100", 10, 0, 1, 4, 10},
        {"bytes=-3", 10, 0, 1, 7, 10},
        {"bytes=-30", 10, 0, 1, 0, 10},
        {"Bytes=1-2", 10, 0, 1, 1, 3},
        {" bytes=1-2 ", 10, 0, 1, 1, 3},
        {"bytes=1 - 2", 10, 0, 0, 0, 10},
        {"bytes= 1-2", 10, 0, 0, 0, 10},
        {"bytes= -1", 10, 0, 0, 0, 10},
        {"bytes=9-9", 10, 0, 1, 9, 10},
        {"bytes=10-10", 10, 416, 0, 0, 0},
        {"bytes=10-", 10, 416, 0, 0, 0},
        {"bytes=-0", 10, 416, 0, 0, 0},
        {"bytes=0-0", 0, 416, 0, 0, 0},
        {"bytes=-5", 0, 0, 0, 0, 0},
        {"bytes=-0", 0, 416, 0, 0, 0},
        {"bytes=5-4", 10, 0, 0, 0, 10},
        {"bytes=0-1,3-4", 10, 0, 0, 0, 10},
        {"bytes=-", 10, 0, 0, 0, 10},
        {"bytes=", 10, 0, 0, 0, 10},
        {"bytes=a-b", 10, 0, 0, 0, 10},
        {"bytes=1", 10, 0, 0, 0, 10},
        {"lines=1-2", 10, 0, 0, 0, 10},
        {"", 10, 0, 0, 0, 10},
        {"bytes=0-18446744073709551615", 10, 0, 1, 0, 10},
        {"bytes=99999999999999999999999-", 10, 416, 0, 0, 0},
        {"bytes=-99999999999999999999999", 10, 0, 1, 0, 10},
    };
    size_t i;
    s3_range_t r;
    s3_err_t err;

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        err = s3_range_parse(&r, cstr(t[i].s), t[i].size);

        if (t[i].err) {
            CHECK_INT(err, S3_ERR_INVALID_RANGE);
            continue;
        }

        CHECK_INT(err, S3_ERR_NONE);
        CHECK_INT(r.partial, t[i].partial);
        CHECK_INT(r.first, t[i].first);
        CHECK_INT(r.end, t[i].end);
    }
}


static void
test_copy_range(void)
{
    static const char *const bad[] = {"bytes=1-",
                                      "bytes=-5",
                                      "1-2",
                                      "bytes=2-1",
                                      "bytes=1-2,4-5",
                                      "bytes=0-10",
                                      "",
                                      "bytes=a-1",
                                      "bytes=10-11",
                                      "bytes=0-99999999999999"};
    size_t i;
    s3_range_t r;
    s3_fault_t f;

    CHECK_INT(s3_copy_range_parse(&r, s3_null_str, 10, &f), S3_ERR_NONE);
    CHECK_INT(r.end, 10);

    CHECK_INT(s3_copy_range_parse(&r, STR("bytes=2-9"), 10, &f), S3_ERR_NONE);
    CHECK_INT(r.first, 2);
    CHECK_INT(r.end, 10);

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CHECK_INT(s3_copy_range_parse(&r, cstr(bad[i]), 10, &f),
                  S3_ERR_INVALID_ARGUMENT);
        CHECK_INT(f.nextra, 2);
    }

    (void) s3_copy_range_parse(&r, STR("bytes=0-10"), 10, &f);
    CHECK_STR(s3_fault_message(&f),
              "Range specified is not valid for source object of size: 10");
}


static void
test_dates(void)
{
    static const struct {
        const char *s;
        int64_t sec;
    } good[] = {
        {"Sun, 06 Nov 1994 08:49:37 GMT", 784111777},
        {"Sunday, 06-Nov-94 08:49:37 GMT", 784111777},
        {"Sun Nov  6 08:49:37 1994", 784111777},
        {"1994-11-06T08:49:37Z", 784111777},
        {"1994-11-06T08:49:37.999Z", 784111777},
        {"Thu, 01 Jan 1970 00:00:00 GMT", 0},
        {"Tue, 29 Feb 2000 23:59:59 GMT", 951868799},
        {" Sun, 06 Nov 1994 08:49:37 GMT ", 784111777},
        {"Tuesday, 19-Jan-38 03:14:08 GMT", 2147483648LL},
        {"Fri, 31 Dec 9999 23:59:59 GMT", 253402300799LL},
        {"1969-12-31T23:59:59.5Z", -1},
    };
    static const char *const bad[] = {"",
                                      "Sun",
                                      "Sun, 06 Nov 1994 08:49:37",
                                      "Sun, 06 Nov 1994 08:49:37 PST",
                                      "Sun, 32 Nov 1994 08:49:37 GMT",
                                      "Sun, 00 Nov 1994 08:49:37 GMT",
                                      "Sun, 30 Feb 1994 08:49:37 GMT",
                                      "Sun, 06 Foo 1994 08:49:37 GMT",
                                      "Sun, 06 Nov 1994 24:49:37 GMT",
                                      "Sun, 06 Nov 1994 08:60:37 GMT",
                                      "Sun, 06 Nov 19x4 08:49:37 GMT",
                                      "1994-13-06T08:49:37Z",
                                      "1994-11-06",
                                      "784111777"};
    size_t i;
    int64_t sec, step;
    char buf[S3_HTTP_DATE_LEN + 1];

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        sec = 42;
        CHECK_INT(s3_http_date_parse(cstr(good[i].s), &sec), S3_OK);
        CHECK_INT(sec, good[i].sec);
    }

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CHECK_INT(s3_http_date_parse(cstr(bad[i]), &sec), S3_EINVAL);
    }

    CHECK_INT(s3_http_date_parse(s3_null_str, &sec), S3_EINVAL);

    s3_http_date(784111777, buf);
    CHECK_STR(buf, "Sun, 06 Nov 1994 08:49:37 GMT");
    s3_http_date(0, buf);
    CHECK_STR(buf, "Thu, 01 Jan 1970 00:00:00 GMT");
    s3_http_date(-1, buf);
    CHECK_STR(buf, "Wed, 31 Dec 1969 23:59:59 GMT");
    s3_http_date(INT64_MAX, buf);
    CHECK_STR(buf, "Fri, 31 Dec 9999 23:59:59 GMT");

    /* there and back, over all the days of several centuries */

    for (step = -5000000000LL; step < 9000000000LL; step += 86400 + 3607) {
        s3_http_date(step, buf);
        CHECK_INT(s3_http_date_parse(s3_str(buf, S3_HTTP_DATE_LEN), &sec),
                  S3_OK);
        CHECK_INT(sec, step);
    }
}


static void
test_iso(void)
{
    char buf[S3_ISO_TIME_LEN + 1];
    int64_t ms;

    s3_iso_time(1138985109000LL, buf);
    CHECK_STR(buf, "2006-02-03T16:45:09.000Z");
    s3_iso_time(1138985109007LL, buf);
    CHECK_STR(buf, "2006-02-03T16:45:09.007Z");
    s3_iso_time(-1, buf);
    CHECK_STR(buf, "1969-12-31T23:59:59.999Z");
    s3_iso_time(INT64_MAX, buf);
    CHECK_STR(buf, "9999-12-31T23:59:59.999Z");
    s3_iso_time(INT64_MIN, buf);
    CHECK_STR(buf, "0000-01-01T00:00:00.000Z");

    CHECK_INT(s3_iso_time_parse(STR("2006-02-03T16:45:09.007Z"), &ms), S3_OK);
    CHECK_INT(ms, 1138985109007LL);
    CHECK_INT(s3_iso_time_parse(STR("2006-02-03T16:45:09.0079999Z"), &ms),
              S3_OK);
    CHECK_INT(ms, 1138985109007LL);
    CHECK_INT(s3_iso_time_parse(STR("2006-02-03T16:45:09"), &ms), S3_OK);
    CHECK_INT(ms, 1138985109000LL);
    CHECK_INT(s3_iso_time_parse(STR("2006-02-03 16:45:09"), &ms), S3_EINVAL);
    CHECK_INT(s3_iso_time_parse(STR("2006-02-03T16:45:09.1x"), &ms), S3_EINVAL);
}


static void
test_etags(void)
{
    s3_str_t e = STR("abc");

    CHECK(s3_etag_match(STR("\"abc\""), e));
    CHECK(s3_etag_match(STR("abc"), e));
    CHECK(s3_etag_match(STR("*"), e));
    CHECK(s3_etag_match(STR(" W/\"abc\" "), e));
    CHECK(s3_etag_match(STR("\"x\", \"abc\""), e));
    CHECK(s3_etag_match(STR("x,abc,y"), e));
    CHECK(s3_etag_match(STR("\"x\",*"), e));
    CHECK(s3_etag_match(STR("\"a,b\", \"abc\""), e));
    CHECK(s3_etag_match(STR("\"a,b\""), STR("a,b")));
    CHECK(!s3_etag_match(STR("\"ABC\""), e));
    CHECK(!s3_etag_match(STR("\"abcd\""), e));
    CHECK(!s3_etag_match(STR("\"x,abc,y\""), e));
    CHECK(!s3_etag_match(STR(""), e));
    CHECK(!s3_etag_match(STR(",,"), e));
    CHECK(!s3_etag_match(STR("\""), e));
    CHECK(s3_str_eq(s3_etag_strip(STR("W/\"q\"")), STR("q")));
    CHECK(s3_str_eq(s3_etag_strip(STR("\"")), STR("\"")));

    CHECK(s3_if_range(s3_null_str, e, 5));
    CHECK(s3_if_range(STR("\"abc\""), e, 5));
    CHECK(!s3_if_range(STR("W/\"abc\""), e, 5));
    CHECK(!s3_if_range(STR("\"x\""), e, 5));
    CHECK(s3_if_range(STR("Sun, 06 Nov 1994 08:49:37 GMT"), e, 784111777));
    CHECK(!s3_if_range(STR("Sun, 06 Nov 1994 08:49:37 GMT"), e, 784111778));
}


#define T0 "Sun, 06 Nov 1994 08:49:36 GMT" /* one second before mtime */
#define T1 "Sun, 06 Nov 1994 08:49:37 GMT" /* mtime */
#define TF "Sun, 06 Nov 2094 08:49:37 GMT" /* the future */

static void
test_conditions(void)
{
    static const struct {
        const char *m, *nm, *ms, *us;
        int read, copy; /* 0, 304, 412 */
    } t[] = {
        {NULL, NULL, NULL, NULL, 0, 0},
        {"\"e\"", NULL, NULL, NULL, 0, 0},
        {"\"x\"", NULL, NULL, NULL, 412, 412},
        {NULL, "\"e\"", NULL, NULL, 304, 412},
        {NULL, "\"x\"", NULL, NULL, 0, 0},
        {NULL, "*", NULL, NULL, 304, 412},
        {NULL, NULL, T0, NULL, 0, 0},
        {NULL, NULL, T1, NULL, 304, 412},
        {NULL, NULL, TF, NULL, 0, 0},
        {NULL, NULL, "junk", NULL, 0, 0},
        {NULL, NULL, NULL, T0, 412, 412},
        {NULL, NULL, NULL, T1, 0, 0},
        {NULL, NULL, NULL, "junk", 0, 0},
        /* If-Match true and If-Unmodified-Since false: served */
        {"\"e\"", NULL, NULL, T0, 0, 0},
        {"\"x\"", NULL, NULL, T1, 412, 412},
        /* If-None-Match false and If-Modified-Since true: 304 */
        {NULL, "\"e\"", T0, NULL, 304, 412},
        {NULL, "\"x\"", T1, NULL, 0, 0},
        {"\"x\"", "\"e\"", NULL, NULL, 412, 412},
        {"\"e\"", "\"e\"", NULL, NULL, 304, 412},
    };
    size_t i;
    s3_cond_t c;
    s3_fault_t f;
    s3_err_t err;
    int64_t mtime = 784111777, now = 1700000000;

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        c.match = cstr(t[i].m);
        c.none_match = cstr(t[i].nm);
        c.modified_since = cstr(t[i].ms);
        c.unmodified_since = cstr(t[i].us);

        err = s3_cond_read(&c, STR("e"), mtime, now, &f);
        CHECK_INT(err == S3_ERR_NONE ? 0 : s3_err_status(err), t[i].read);

        err = s3_cond_copy(&c, STR("e"), mtime, now, &f);
        CHECK_INT(err == S3_ERR_NONE ? 0 : s3_err_status(err), t[i].copy);

        if (err != S3_ERR_NONE) {
            CHECK_STR(f.extra[0].name, "Condition");
        }
    }
}


static void
test_write(void)
{
    s3_cond_t c;
    s3_write_cond_t w;
    s3_fault_t f;

    memset(&c, 0, sizeof(c));
    CHECK_INT(s3_cond_write(&c, 0, &w, &f), S3_ERR_NONE);
    CHECK_INT(w.kind, S3_WRITE_ALWAYS);

    c.none_match = STR("*");
    CHECK_INT(s3_cond_write(&c, 0, &w, &f), S3_ERR_NONE);
    CHECK_INT(w.kind, S3_WRITE_IF_ABSENT);

    c.match = STR("\"e\"");
    CHECK_INT(s3_cond_write(&c, 0, &w, &f), S3_ERR_NOT_IMPLEMENTED);
    CHECK_INT(f.nextra, 2);

    c.none_match = STR("\"e\"");
    c.match = s3_null_str;
    CHECK_INT(s3_cond_write(&c, 0, &w, &f), S3_ERR_NOT_IMPLEMENTED);
    CHECK_STR(f.extra[0].name, "Header");

    c.none_match = s3_null_str;
    c.match = STR("\"e\"");
    CHECK_INT(s3_cond_write(&c, 0, &w, &f), S3_ERR_NONE);
    CHECK_INT(w.kind, S3_WRITE_IF_ETAG);
    CHECK(s3_str_eq(w.etag, STR("e")));

    c.match = STR("*");
    CHECK_INT(s3_cond_write(&c, 1, &w, &f), S3_ERR_NONE);
    CHECK_INT(w.kind, S3_WRITE_IF_EXISTS);
}


static void
test_limits(void)
{
    uint32_t v;
    int url;
    unsigned int mask;
    s3_fault_t f;

    CHECK_INT(s3_parse_limit(S3_LIMIT_MAX_KEYS, s3_null_str, &v, &f), 0);
    CHECK_INT(v, 1000);
    CHECK_INT(s3_parse_limit(S3_LIMIT_MAX_KEYS, STR("5"), &v, &f), 0);
    CHECK_INT(v, 5);
    CHECK_INT(s3_parse_limit(S3_LIMIT_MAX_KEYS, STR("0"), &v, &f), 0);
    CHECK_INT(v, 0);
    CHECK_INT(s3_parse_limit(S3_LIMIT_MAX_KEYS, STR("2147483647"), &v, &f), 0);
    CHECK_INT(v, 1000);
    CHECK_INT(s3_parse_limit(S3_LIMIT_MAX_KEYS, STR("2147483648"), &v, &f),
              S3_ERR_INVALID_ARGUMENT);
    CHECK_INT(s3_parse_limit(S3_LIMIT_MAX_KEYS, STR("-5"), &v, &f),
              S3_ERR_INVALID_ARGUMENT);
    CHECK_STR(s3_fault_message(&f),
              "Argument -5 must be an integer between 0 and 2147483647");
    CHECK_INT(s3_parse_limit(S3_LIMIT_MAX_PARTS, STR("blah"), &v, &f),
              S3_ERR_INVALID_ARGUMENT);
    CHECK_STR(s3_fault_message(&f),
              "Provided blah not an integer or within integer range");
    CHECK(s3_str_eq(f.extra[0].value, STR("max-parts")));
    CHECK_INT(s3_parse_limit(S3_LIMIT_MAX_BUCKETS, STR("10001"), &v, &f),
              S3_ERR_INVALID_ARGUMENT);
    CHECK_INT(s3_parse_limit(S3_LIMIT_MAX_BUCKETS, STR("0"), &v, &f),
              S3_ERR_INVALID_ARGUMENT);
    CHECK_INT(s3_parse_limit(S3_LIMIT_MAX_BUCKETS, s3_null_str, &v, &f), 0);
    CHECK_INT(v, 10000);
    CHECK_INT(
        s3_parse_limit(S3_LIMIT_PART_NUMBER_MARKER, STR("123456"), &v, &f), 0);
    CHECK_INT(v, 123456);
    CHECK_INT(s3_parse_limit(S3_LIMIT_VERSIONS_MAX_KEYS, STR("-1"), &v, &f),
              S3_ERR_INVALID_ARGUMENT);
    CHECK_STR(s3_fault_message(&f), "max-keys cannot be negative");

    CHECK_INT(s3_parse_part_number(STR("1"), &v, &f), 0);
    CHECK_INT(s3_parse_part_number(STR("10000"), &v, &f), 0);
    CHECK_INT(v, 10000);
    CHECK_INT(s3_parse_part_number(STR("0"), &v, &f), S3_ERR_INVALID_ARGUMENT);
    CHECK_INT(s3_parse_part_number(STR("10001"), &v, &f),
              S3_ERR_INVALID_ARGUMENT);
    CHECK_INT(s3_parse_part_number(STR(""), &v, &f), S3_ERR_INVALID_ARGUMENT);

    CHECK_INT(s3_parse_encoding_type(s3_null_str, &url, &f), 0);
    CHECK_INT(url, 0);
    CHECK_INT(s3_parse_encoding_type(STR("url"), &url, &f), 0);
    CHECK_INT(url, 1);
    CHECK_INT(s3_parse_encoding_type(STR("xml"), &url, &f),
              S3_ERR_INVALID_ARGUMENT);

    CHECK_INT(s3_parse_attributes(STR("ETag, ObjectSize,,Checksum"), &mask, &f),
              0);
    CHECK_INT(mask, S3_ATTR_ETAG | S3_ATTR_OBJECT_SIZE | S3_ATTR_CHECKSUM);
    CHECK_INT(s3_parse_attributes(STR("ETag,Foo"), &mask, &f),
              S3_ERR_INVALID_ARGUMENT);
    CHECK_INT(s3_parse_attributes(STR(" , "), &mask, &f),
              S3_ERR_INVALID_REQUEST);
    CHECK_INT(s3_parse_attributes(s3_null_str, &mask, &f),
              S3_ERR_INVALID_REQUEST);
}


int
main(void)
{
    test_uint();
    test_range();
    test_copy_range();
    test_dates();
    test_iso();
    test_etags();
    test_conditions();
    test_write();
    test_limits();

    return S3_TEST_END();
}
