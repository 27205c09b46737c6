/* The canonical request and the string to sign, of s3_sigv4.h. */

#include "s3_sigv4.h"

#pragma GCC visibility push(hidden)


int
s3_sigv4_next_name(s3_str_t *list, s3_str_t *name)
{
    const uint8_t *p;

    if (list->data == NULL) {
        return 0;
    }

    p = list->len ? memchr(list->data, ';', list->len) : NULL;

    if (p == NULL) {
        *name = *list;
        *list = s3_null_str;
        return 1;
    }

    *name = s3_str(list->data, (size_t) (p - list->data));
    *list = s3_str(p + 1, list->len - name->len - 1);

    return 1;
}


int
s3_sigv4_is_signed(s3_str_t list, s3_str_t name)
{
    s3_str_t s;

    while (s3_sigv4_next_name(&list, &s)) {
        if (s3_str_caseeq(s, name)) {
            return 1;
        }
    }

    return 0;
}


/*
 * No name is signed twice and a header matches one name at most: so all
 * headers once, and all names once, are enough, with a ':' or ',' and a
 * '\n' for each.
 */

size_t
s3_sigv4_canonical_size(const s3_sigv4_canonical_t *c)
{
    size_t i, n;

    n = c->method.len + 1 + 3 * c->path.len + 1 + 1;
    n += s3_uri_canonical_query_size(c->query) + 1;

    for (i = 0; i < c->nheaders; i++) {
        n += c->headers[i].value.len + 1;
    }

    for (i = 0; i < c->signed_headers.len; i++) {
        n += c->signed_headers.data[i] == ';' ? 2 : 0;
    }

    return n + 2 + 2 * c->signed_headers.len + 2 + c->payload.len;
}


static uint8_t *
s3_canonical_put(uint8_t *p, s3_str_t s)
{
    if (s.len) {
        memcpy(p, s.data, s.len);
    }

    return p + s.len;
}


/* Without spaces at its ends; a run of spaces inside counts as one. */

static uint8_t *
s3_canonical_value(uint8_t *p, s3_str_t s)
{
    size_t i;
    uint8_t c, *start;

    if (s.len && memchr(s.data, ' ', s.len) == NULL
        && memchr(s.data, '\t', s.len) == NULL)
    {
        return s3_canonical_put(p, s);
    }

    start = p;

    for (i = 0; i < s.len; i++) {
        c = s.data[i];

        if (c == '\t') {
            c = ' ';
        }

        if (c == ' ' && (p == start || p[-1] == ' ')) {
            continue;
        }

        *p++ = c;
    }

    if (p > start && p[-1] == ' ') {
        p--;
    }

    return p;
}


static uint8_t *
s3_canonical_header(uint8_t *p, const s3_sigv4_canonical_t *c, s3_str_t name)
{
    int more;
    size_t i;

    for (i = 0; i < name.len; i++) {
        *p++ = s3_lower(name.data[i]);
    }

    *p++ = ':';
    more = 0;

    for (i = 0; i < c->nheaders; i++) {
        if (!s3_str_caseeq(c->headers[i].name, name)) {
            continue;
        }

        if (more) {
            *p++ = ',';
        }

        p = s3_canonical_value(p, c->headers[i].value);
        more = 1;
    }

    *p++ = '\n';

    return p;
}


int64_t
s3_sigv4_canonical(uint8_t *dst, const s3_sigv4_canonical_t *c)
{
    int64_t n;
    uint8_t *p;
    s3_str_t list, name;

    p = s3_canonical_put(dst, c->method);
    *p++ = '\n';

    n = s3_uri_canonical_path(p, c->path);

    if (n < 0) {
        return S3_EINVAL;
    }

    p += n;
    *p++ = '\n';

    p += s3_uri_canonical_query(
        p, c->query, c->presigned ? s3_string("X-Amz-Signature") : s3_null_str);
    *p++ = '\n';

    list = c->signed_headers;

    while (s3_sigv4_next_name(&list, &name)) {
        p = s3_canonical_header(p, c, name);
    }

    *p++ = '\n';
    p = s3_canonical_put(p, c->signed_headers);
    *p++ = '\n';
    p = s3_canonical_put(p, c->payload);

    return p - dst;
}


int64_t
s3_sigv4_string_to_sign(uint8_t dst[S3_SIGV4_STRING_SIZE], s3_sha256_t *h,
                        const uint8_t date[S3_SIGV4_DATE_LEN], s3_str_t scope,
                        s3_str_t canonical)
{
    uint8_t *p, hash[S3_SHA256_LEN];

    if (scope.len > S3_SIGV4_SCOPE_SIZE
        || s3_sha256(h, canonical, hash) != S3_OK) {
        return S3_ENOMEM;
    }

    p = s3_canonical_put(dst, s3_string("AWS4-HMAC-SHA256\n"));
    p = s3_canonical_put(p, s3_str(date, S3_SIGV4_DATE_LEN));
    *p++ = '\n';
    p = s3_canonical_put(p, scope);
    *p++ = '\n';
    s3_hex(p, hash, S3_SHA256_LEN);
    p += S3_SHA256_HEX;

    return p - dst;
}

#pragma GCC visibility pop
