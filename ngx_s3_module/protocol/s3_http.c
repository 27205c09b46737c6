#include "s3_http.h"

#include <stdio.h>

#include "s3_xml_out.h"

#pragma GCC visibility push(hidden)


static int
s3_http_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}


static s3_str_t
s3_http_trim(s3_str_t s)
{
    while (s.len && s3_http_blank(s.data[0])) {
        s.data++;
        s.len--;
    }

    while (s.len && s3_http_blank(s.data[s.len - 1])) {
        s.len--;
    }

    return s;
}


static int
s3_http_caseeq(s3_str_t a, const char *lower)
{
    size_t i;
    uint8_t c;

    if (a.len != strlen(lower)) {
        return 0;
    }

    for (i = 0; i < a.len; i++) {
        c = a.data[i];

        if (c >= 'A' && c <= 'Z') {
            c |= 0x20;
        }

        if (c != (uint8_t) lower[i]) {
            return 0;
        }
    }

    return 1;
}


int
s3_parse_uint(s3_str_t s, uint64_t max, uint64_t *value)
{
    uint64_t v, d;
    size_t i;

    if (s.len == 0) {
        return S3_EINVAL;
    }

    for (i = 0, v = 0; i < s.len; i++) {
        if (s.data[i] < '0' || s.data[i] > '9') {
            return S3_EINVAL;
        }

        d = s.data[i] - '0';

        if (d > max || v > (max - d) / 10) {
            return S3_EINVAL;
        }

        v = v * 10 + d;
    }

    *value = v;

    return S3_OK;
}


/* Digits that may be larger than any object: they saturate. */

static int
s3_range_number(s3_str_t s, uint64_t *value)
{
    size_t i;

    if (s.len == 0) {
        return S3_EINVAL;
    }

    for (i = 0; i < s.len; i++) {
        if (s.data[i] < '0' || s.data[i] > '9') {
            return S3_EINVAL;
        }
    }

    if (s3_parse_uint(s, UINT64_MAX - 1, value) != S3_OK) {
        *value = UINT64_MAX - 1;
    }

    return S3_OK;
}


/* Splits "bytes=A-B"; the unit's case does not matter. */

static int
s3_range_split(s3_str_t s, s3_str_t *a, s3_str_t *b)
{
    const uint8_t *dash;

    if (s.len < 6 || !s3_http_caseeq(s3_str(s.data, 6), "bytes=")) {
        return S3_EINVAL;
    }

    s.data += 6;
    s.len -= 6;

    dash = s.len ? memchr(s.data, '-', s.len) : NULL;

    if (dash == NULL) {
        return S3_EINVAL;
    }

    *a = s3_str(s.data, (size_t) (dash - s.data));
    *b = s3_str(dash + 1, (size_t) (s.data + s.len - dash - 1));

    return S3_OK;
}


s3_err_t
s3_range_parse(s3_range_t *r, s3_str_t value, uint64_t size)
{
    s3_str_t a, b;
    uint64_t first, last;

    r->first = 0;
    r->end = size;
    r->partial = 0;

    if (value.data == NULL
        || s3_range_split(s3_http_trim(value), &a, &b) != S3_OK) {
        return S3_ERR_NONE;
    }

    if (a.len == 0) {
        if (s3_range_number(b, &last) != S3_OK) {
            return S3_ERR_NONE;
        }

        if (last == 0) {
            return S3_ERR_INVALID_RANGE;
        }

        if (size == 0) {
            /* satisfiable (RFC 9110, 14.1.2), but no Content-Range fits */
            return S3_ERR_NONE;
        }

        r->first = size - s3_min(last, size);
        r->partial = 1;

        return S3_ERR_NONE;
    }

    if (s3_range_number(a, &first) != S3_OK) {
        return S3_ERR_NONE;
    }

    last = UINT64_MAX - 1;

    if (b.len != 0 && (s3_range_number(b, &last) != S3_OK || last < first)) {
        return S3_ERR_NONE;
    }

    if (first >= size) {
        return S3_ERR_INVALID_RANGE;
    }

    r->first = first;
    r->end = s3_min(last + 1, size);
    r->partial = 1;

    return S3_ERR_NONE;
}


s3_err_t
s3_copy_range_parse(s3_range_t *r, s3_str_t value, uint64_t size, s3_fault_t *f)
{
    s3_str_t a, b;
    uint64_t first, last;

    r->first = 0;
    r->end = size;
    r->partial = 0;

    if (value.data == NULL) {
        return S3_ERR_NONE;
    }

    if (s3_range_split(value, &a, &b) != S3_OK
        || s3_range_number(a, &first) != S3_OK
        || s3_range_number(b, &last) != S3_OK || last < first)
    {
        return s3_fault_arg(f,
                            "The x-amz-copy-source-range value must be of "
                            "the form bytes=first-last where first and last "
                            "are the zero-based offsets of the first and "
                            "last bytes to copy",
                            "x-amz-copy-source-range", value);
    }

    if (last >= size) {
        s3_faultf(f, S3_ERR_INVALID_ARGUMENT,
                  "Range specified is not valid for source object of size: "
                  "%llu",
                  (unsigned long long) size);
        s3_fault_add(f, "ArgumentName", s3_string("x-amz-copy-source-range"));
        s3_fault_add(f, "ArgumentValue", value);

        return S3_ERR_INVALID_ARGUMENT;
    }

    r->first = first;
    r->end = last + 1;
    r->partial = 1;

    return S3_ERR_NONE;
}


s3_str_t
s3_etag_strip(s3_str_t s)
{
    s = s3_http_trim(s);

    if (s.len >= 2 && s.data[0] == 'W' && s.data[1] == '/') {
        s.data += 2;
        s.len -= 2;
    }

    if (s.len >= 2 && s.data[0] == '"' && s.data[s.len - 1] == '"') {
        s.data++;
        s.len -= 2;
    }

    return s;
}


int
s3_etag_match(s3_str_t list, s3_str_t etag)
{
    size_t i, from;
    int quoted;
    s3_str_t one;

    list = s3_http_trim(list);

    /* The whole value first: a bare ETag may contain a comma. */

    if (s3_str_eq(s3_etag_strip(list), etag)) {
        return 1;
    }

    for (i = 0, from = 0, quoted = 0; i <= list.len; i++) {
        if (i < list.len && list.data[i] == '"') {
            quoted = !quoted;
        }

        if (i < list.len && (list.data[i] != ',' || quoted)) {
            continue;
        }

        one = list.len ? s3_http_trim(s3_str(list.data + from, i - from))
                       : s3_null_str;
        from = i + 1;

        if (s3_str_eq(one, s3_string("*"))) {
            return 1;
        }

        if (one.len != 0 && s3_str_eq(s3_etag_strip(one), etag)) {
            return 1;
        }
    }

    return 0;
}


int
s3_if_range(s3_str_t value, s3_str_t etag, int64_t mtime)
{
    int64_t sec;

    if (value.data == NULL) {
        return 1;
    }

    value = s3_http_trim(value);

    if (s3_http_date_parse(value, &sec) == S3_OK) {
        return sec == mtime;
    }

    /* RFC 9110, 13.1.5: a weak tag never matches. */

    if (value.len >= 2 && value.data[0] == 'W' && value.data[1] == '/') {
        return 0;
    }

    return s3_str_eq(s3_etag_strip(value), etag);
}


static s3_err_t
s3_cond_failed(s3_fault_t *f, const char *name)
{
    s3_fault(f, S3_ERR_PRECONDITION_FAILED, NULL);
    s3_fault_add(f, "Condition", s3_str(name, strlen(name)));

    return S3_ERR_PRECONDITION_FAILED;
}


/*
 * RFC 9110, 13.2.2: If-Match, else If-Unmodified-Since; then If-None-Match,
 * else If-Modified-Since.
 */

s3_err_t
s3_cond_read(const s3_cond_t *c, s3_str_t etag, int64_t mtime, int64_t now,
             s3_fault_t *f)
{
    int64_t sec;

    if (c->match.data != NULL) {
        if (!s3_etag_match(c->match, etag)) {
            return s3_cond_failed(f, "If-Match");
        }

    } else if (c->unmodified_since.data != NULL
               && s3_http_date_parse(c->unmodified_since, &sec) == S3_OK
               && mtime > sec)
    {
        return s3_cond_failed(f, "If-Unmodified-Since");
    }

    if (c->none_match.data != NULL) {
        if (s3_etag_match(c->none_match, etag)) {
            return s3_fault(f, S3_ERR_NOT_MODIFIED, NULL);
        }

    } else if (c->modified_since.data != NULL
               && s3_http_date_parse(c->modified_since, &sec) == S3_OK
               && sec <= now && mtime <= sec)
    {
        return s3_fault(f, S3_ERR_NOT_MODIFIED, NULL);
    }

    return S3_ERR_NONE;
}


s3_err_t
s3_cond_copy(const s3_cond_t *c, s3_str_t etag, int64_t mtime, int64_t now,
             s3_fault_t *f)
{
    s3_err_t err;

    err = s3_cond_read(c, etag, mtime, now, f);

    if (err == S3_ERR_NOT_MODIFIED) {
        return s3_cond_failed(f, c->none_match.data != NULL
                                     ? "x-amz-copy-source-If-None-Match"
                                     : "x-amz-copy-source-If-Modified-Since");
    }

    if (err == S3_ERR_PRECONDITION_FAILED) {
        return s3_cond_failed(f, c->match.data != NULL
                                     ? "x-amz-copy-source-If-Match"
                                     : "x-amz-copy-source-If-Unmodified-Since");
    }

    return err;
}


static s3_err_t
s3_cond_refused(s3_fault_t *f, const char *header, const char *why)
{
    s3_fault(f, S3_ERR_NOT_IMPLEMENTED, NULL);
    s3_fault_add(f, "Header", s3_str(header, strlen(header)));
    s3_fault_add(f, "additionalMessage", s3_str(why, strlen(why)));

    return S3_ERR_NOT_IMPLEMENTED;
}


s3_err_t
s3_cond_write(const s3_cond_t *c, int del, s3_write_cond_t *w, s3_fault_t *f)
{
    s3_str_t v;

    w->kind = S3_WRITE_ALWAYS;
    w->etag = s3_null_str;

    if (c->none_match.data != NULL && !del) {
        v = s3_etag_strip(c->none_match);

        if (!s3_str_eq(v, s3_string("*"))) {
            return s3_cond_refused(
                f, "If-None-Match",
                "We don't accept the provided value of If-None-Match header "
                "for this API");
        }

        if (c->match.data != NULL) {
            return s3_cond_refused(
                f, "If-Match,If-None-Match",
                "Multiple conditional request headers present in the request");
        }

        w->kind = S3_WRITE_IF_ABSENT;
        return S3_ERR_NONE;
    }

    if (c->match.data != NULL) {
        w->etag = s3_etag_strip(c->match);
        w->kind = s3_str_eq(w->etag, s3_string("*")) ? S3_WRITE_IF_EXISTS
                                                     : S3_WRITE_IF_ETAG;
    }

    return S3_ERR_NONE;
}


static const struct {
    const char *name;
    uint32_t dflt;
    uint32_t cap;
} s3_limits[] = {
    {"max-keys", 1000, 1000},
    {"max-keys", 1000, 1000},
    {"max-uploads", 1000, 1000},
    {"max-parts", 1000, 1000},
    {"max-buckets", 10000, 10000},
    {"part-number-marker", 0, 0x7fffffff},
    {"x-amz-max-parts", 1000, 1000},
    {"x-amz-part-number-marker", 0, 0x7fffffff},
};


/* The value is quoted in the message, so it is cut and made printable. */

static void
s3_limit_quote(s3_str_t s, char buf[64])
{
    size_t i;

    for (i = 0; i < s.len && i < 63; i++) {
        buf[i] =
            (s.data[i] >= 0x20 && s.data[i] < 0x7f) ? (char) s.data[i] : '?';
    }

    buf[i] = '\0';
}


static s3_err_t
s3_limit_fault(s3_limit_e limit, s3_str_t s, int negative, s3_fault_t *f)
{
    char quote[64];
    const char *name;

    name = s3_limits[limit].name;
    s3_limit_quote(s, quote);

    if (limit == S3_LIMIT_MAX_BUCKETS && negative) {
        s3_fault(f, S3_ERR_INVALID_ARGUMENT,
                 "Argument max-buckets must be an integer between 1 and "
                 "10000.");

    } else if (limit == S3_LIMIT_VERSIONS_MAX_KEYS && negative) {
        s3_fault(f, S3_ERR_INVALID_ARGUMENT, "max-keys cannot be negative");
        name = "maxKeys";

    } else if (negative) {
        s3_faultf(f, S3_ERR_INVALID_ARGUMENT,
                  "Argument %s must be an integer between 0 and 2147483647",
                  quote);

    } else {
        s3_faultf(f, S3_ERR_INVALID_ARGUMENT,
                  "Provided %s not an integer or within integer range", quote);
    }

    s3_fault_add(f, "ArgumentName", s3_str(name, strlen(name)));
    s3_fault_add(f, "ArgumentValue", s);

    return S3_ERR_INVALID_ARGUMENT;
}


s3_err_t
s3_parse_limit(s3_limit_e limit, s3_str_t s, uint32_t *value, s3_fault_t *f)
{
    uint64_t v;

    if (s.len == 0) {
        *value = s3_limits[limit].dflt;
        return S3_ERR_NONE;
    }

    if (s.data[0] == '-'
        && s3_parse_uint(s3_str(s.data + 1, s.len - 1), 0x80000000, &v) == S3_OK
        && v != 0)
    {
        return s3_limit_fault(limit, s, 1, f);
    }

    if (s3_parse_uint(s, 0x7fffffff, &v) != S3_OK) {
        return s3_limit_fault(limit, s, 0, f);
    }

    if (limit == S3_LIMIT_MAX_BUCKETS && (v < 1 || v > 10000)) {
        return s3_limit_fault(limit, s, 1, f);
    }

    *value = (uint32_t) s3_min(v, s3_limits[limit].cap);

    return S3_ERR_NONE;
}


s3_err_t
s3_parse_part_number(s3_str_t s, uint32_t *value, s3_fault_t *f)
{
    uint64_t v;

    if (s3_parse_uint(s, S3_PART_MAX, &v) != S3_OK || v == 0) {
        return s3_fault_arg(f,
                            "Part number must be an integer between 1 and "
                            "10000, inclusive.",
                            "partNumber", s);
    }

    *value = (uint32_t) v;

    return S3_ERR_NONE;
}


s3_err_t
s3_parse_encoding_type(s3_str_t s, int *url, s3_fault_t *f)
{
    *url = 0;

    if (s.len == 0) {
        return S3_ERR_NONE;
    }

    if (s3_http_caseeq(s, "url")) {
        *url = 1;
        return S3_ERR_NONE;
    }

    return s3_fault_arg(f, "Invalid Encoding Method specified in Request",
                        "encoding-type", s);
}


s3_err_t
s3_parse_attributes(s3_str_t s, unsigned int *mask, s3_fault_t *f)
{
    static const char *const names[] = {"etag", "checksum", "objectparts",
                                        "storageclass", "objectsize"};
    size_t i, from, k;
    s3_str_t one;

    *mask = 0;

    for (i = 0, from = 0; i <= s.len; i++) {
        if (i < s.len && s.data[i] != ',') {
            continue;
        }

        one =
            s.len ? s3_http_trim(s3_str(s.data + from, i - from)) : s3_null_str;
        from = i + 1;

        if (one.len == 0) {
            continue;
        }

        for (k = 0; k < 5 && !s3_http_caseeq(one, names[k]); k++) {
            /* void */
        }

        if (k == 5) {
            return s3_fault_arg(f, "Invalid attribute name specified.",
                                "x-amz-object-attributes", one);
        }

        *mask |= 1u << k;
    }

    if (*mask == 0) {
        return s3_fault(f, S3_ERR_INVALID_REQUEST,
                        "The x-amz-object-attributes header specifying the "
                        "attributes to be retrieved is either missing or "
                        "empty");
    }

    return S3_ERR_NONE;
}

#pragma GCC visibility pop
