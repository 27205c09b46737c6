#include "s3_uri.h"

#pragma GCC visibility push(hidden)


/* 1: unreserved in RFC 3986, never encoded. */

static const uint8_t s3_uri_unreserved[256] = {
    ['-'] = 1,         ['.'] = 1,         ['_'] = 1,         ['~'] = 1,
    ['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1,
};


static int
s3_uri_hex(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }

    c |= 0x20;

    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}


int64_t
s3_uri_decode(uint8_t *dst, s3_str_t src, unsigned flags)
{
    int hi, lo;
    uint8_t c, *p;
    size_t i;

    p = dst;

    for (i = 0; i < src.len; i++) {
        c = src.data[i];

        if (c == '%') {
            if (src.len - i < 3) {
                return S3_EINVAL;
            }

            hi = s3_uri_hex(src.data[i + 1]);
            lo = s3_uri_hex(src.data[i + 2]);

            if (hi < 0 || lo < 0) {
                return S3_EINVAL;
            }

            c = (uint8_t) (hi << 4 | lo);
            i += 2;

        } else if (c == '+' && (flags & S3_URI_PLUS)) {
            c = ' ';
        }

        if (c == '\0') {
            return S3_EINVAL;
        }

        *p++ = c;
    }

    return p - dst;
}


static uint8_t *
s3_uri_encode_byte(uint8_t *p, uint8_t c, int keep_slash)
{
    static const char digits[] = "0123456789ABCDEF";

    if (s3_uri_unreserved[c] || (c == '/' && keep_slash)) {
        *p++ = c;
        return p;
    }

    *p++ = '%';
    *p++ = (uint8_t) digits[c >> 4];
    *p++ = (uint8_t) digits[c & 15];

    return p;
}


size_t
s3_uri_encode(uint8_t *dst, s3_str_t src, int keep_slash)
{
    uint8_t *p;
    size_t i;

    p = dst;

    for (i = 0; i < src.len; i++) {
        p = s3_uri_encode_byte(p, src.data[i], keep_slash);
    }

    return (size_t) (p - dst);
}


size_t
s3_uri_encoded_len(s3_str_t src, int keep_slash)
{
    uint8_t c;
    size_t i, n;

    n = src.len;

    for (i = 0; i < src.len; i++) {
        c = src.data[i];

        if (!s3_uri_unreserved[c] && !(c == '/' && keep_slash)) {
            n += 2;
        }
    }

    return n;
}


void
s3_uri_split(s3_str_t target, s3_str_t *path, s3_str_t *query)
{
    size_t n;
    const uint8_t *p;

    p = target.len ? memchr(target.data, '?', target.len) : NULL;

    if (p == NULL) {
        *path = target;
        *query = s3_null_str;

    } else {
        n = (size_t) (p - target.data);
        *path = s3_str(target.data, n);
        *query = s3_str(p + 1, target.len - n - 1);
    }

    if (path->len == 0) {
        *path = s3_string("/");
    }
}


int
s3_uri_query_parse(s3_uri_query_t *q, s3_str_t raw, uint8_t *buf)
{
    size_t len, nlen;
    int64_t n;
    s3_str_t name, value;
    const uint8_t *p, *eq, *end, *last;

    q->n = 0;

    if (raw.len == 0) {
        return S3_OK;
    }

    p = raw.data;
    last = raw.data + raw.len;

    for (; p < last; p = end + 1) {
        end = memchr(p, '&', (size_t) (last - p));

        if (end == NULL) {
            end = last;
        }

        len = (size_t) (end - p);

        if (len == 0) {
            continue;
        }

        if (q->n == S3_URI_MAX_PAIRS) {
            return S3_EINVAL;
        }

        eq = memchr(p, '=', len);
        nlen = eq ? (size_t) (eq - p) : len;

        if (nlen == 0) {
            return S3_EINVAL;
        }

        n = s3_uri_decode(buf, s3_str(p, nlen), S3_URI_PLUS);

        if (n < 0) {
            return S3_EINVAL;
        }

        name = s3_str(buf, (size_t) n);
        buf += n;
        value = s3_str(buf, 0);

        if (eq) {
            n = s3_uri_decode(buf, s3_str(eq + 1, len - nlen - 1), S3_URI_PLUS);

            if (n < 0) {
                return S3_EINVAL;
            }

            value.len = (size_t) n;
            buf += n;
        }

        q->pair[q->n++] = (s3_uri_pair_t){name, value};
    }

    return S3_OK;
}


const s3_uri_pair_t *
s3_uri_query_find(const s3_uri_query_t *q, s3_str_t name)
{
    size_t i;

    for (i = 0; i < q->n; i++) {
        if (s3_str_eq(q->pair[i].name, name)) {
            return &q->pair[i];
        }
    }

    return NULL;
}


const s3_uri_pair_t *
s3_uri_query_find_nocase(const s3_uri_query_t *q, s3_str_t name)
{
    size_t i;

    for (i = 0; i < q->n; i++) {
        if (s3_str_caseeq(q->pair[i].name, name)) {
            return &q->pair[i];
        }
    }

    return NULL;
}


/*
 * The ranges of the second byte are what excludes overlong forms, surrogates
 * and code points above U+10FFFF (RFC 3629, section 4).
 */

int
s3_utf8_valid(s3_str_t s)
{
    size_t i, k, n;
    uint8_t c, lo, hi;

    for (i = 0; i < s.len; i += n + 1) {
        c = s.data[i];
        lo = 0x80;
        hi = 0xbf;

        if (c < 0x80) {
            n = 0;
            continue;
        }

        if (c >= 0xc2 && c <= 0xdf) {
            n = 1;

        } else if (c >= 0xe0 && c <= 0xef) {
            n = 2;
            lo = c == 0xe0 ? 0xa0 : 0x80;
            hi = c == 0xed ? 0x9f : 0xbf;

        } else if (c >= 0xf0 && c <= 0xf4) {
            n = 3;
            lo = c == 0xf0 ? 0x90 : 0x80;
            hi = c == 0xf4 ? 0x8f : 0xbf;

        } else {
            return 0;
        }

        if (s.len - i <= n) {
            return 0;
        }

        if (s.data[i + 1] < lo || s.data[i + 1] > hi) {
            return 0;
        }

        for (k = 2; k <= n; k++) {
            if ((s.data[i + k] & 0xc0) != 0x80) {
                return 0;
            }
        }
    }

    return 1;
}


int64_t
s3_uri_canonical_path(uint8_t *dst, s3_str_t raw)
{
    int64_t n;
    s3_str_t decoded;
    uint8_t *tail;

    if (raw.len == 0) {
        dst[0] = '/';
        return 1;
    }

    /*
     * Decoded into the last third, encoded from there towards the front: n
     * decoded bytes become at most 3n, so the writer stays behind the reader.
     */

    tail = dst + 2 * raw.len + 1;
    n = s3_uri_decode(tail, raw, 0);

    if (n < 0) {
        return S3_EINVAL;
    }

    memmove(dst + 3 * raw.len + 1 - n, tail, (size_t) n);
    decoded = s3_str(dst + 3 * raw.len + 1 - n, (size_t) n);

    return (int64_t) s3_uri_encode(dst, decoded, 1);
}


size_t
s3_uri_canonical_query_size(const s3_uri_query_t *q)
{
    size_t i, n;

    for (i = 0, n = 0; i < q->n; i++) {
        n += s3_uri_encoded_len(q->pair[i].name, 0);
        n += s3_uri_encoded_len(q->pair[i].value, 0) + 2;
    }

    return n;
}


/*
 * Compares as the encoded forms would: not the order of the raw bytes, since
 * '%' is below every unreserved character.
 */

static int
s3_uri_encoded_cmp(s3_str_t a, s3_str_t b)
{
    size_t i, n;
    uint8_t x[3], y[3];
    int rc;

    n = s3_min(a.len, b.len);

    for (i = 0; i < n; i++) {
        if (a.data[i] == b.data[i]) {
            continue;
        }

        memset(x, 0, 3);
        memset(y, 0, 3);
        (void) s3_uri_encode_byte(x, a.data[i], 0);
        (void) s3_uri_encode_byte(y, b.data[i], 0);

        rc = memcmp(x, y, 3);

        if (rc) {
            return rc;
        }
    }

    return (a.len > b.len) - (a.len < b.len);
}


size_t
s3_uri_canonical_query(uint8_t *dst, const s3_uri_query_t *q, s3_str_t skip)
{
    int rc;
    size_t i, j, n;
    uint8_t *p, order[S3_URI_MAX_PAIRS];
    const s3_uri_pair_t *a, *b;

    for (i = 0, n = 0; i < q->n; i++) {
        a = &q->pair[i];

        if (skip.len && s3_str_eq(a->name, skip)) {
            continue;
        }

        /* Insertion sort: few pairs, and SDKs send them sorted. */

        for (j = n; j > 0; j--) {
            b = &q->pair[order[j - 1]];
            rc = s3_uri_encoded_cmp(b->name, a->name);

            if (rc == 0) {
                rc = s3_uri_encoded_cmp(b->value, a->value);
            }

            if (rc <= 0) {
                break;
            }

            order[j] = order[j - 1];
        }

        order[j] = (uint8_t) i;
        n++;
    }

    p = dst;

    for (i = 0; i < n; i++) {
        a = &q->pair[order[i]];

        if (i) {
            *p++ = '&';
        }

        p += s3_uri_encode(p, a->name, 0);
        *p++ = '=';
        p += s3_uri_encode(p, a->value, 0);
    }

    return (size_t) (p - dst);
}

#pragma GCC visibility pop
