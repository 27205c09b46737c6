/*
 * Request targets: what is decoded encodes back, canonical forms are their
 * own canonical forms, and nothing is written past the promised room.
 */

#include <stdlib.h>

#include "s3_uri.h"

#define MUST(cond)     \
    do {               \
        if (!(cond)) { \
            abort();   \
        }              \
    } while (0)


static void
check_coding(s3_str_t s)
{
    int64_t n;
    size_t len;
    uint8_t *dec, *enc, *again;

    dec = malloc(s.len + 1);
    n = s3_uri_decode(dec, s, 0);

    if (n >= 0) {
        MUST((size_t) n <= s.len);
        len = s3_uri_encoded_len(s3_str(dec, (size_t) n), 0);
        enc = malloc(len + 1);
        MUST(s3_uri_encode(enc, s3_str(dec, (size_t) n), 0) == len);
        again = malloc(len + 1);
        MUST(s3_uri_decode(again, s3_str(enc, len), 0) == n);
        MUST(memcmp(dec, again, (size_t) n) == 0);
        free(again);
        free(enc);
    }

    free(dec);
}


static void
check_path(s3_str_t s)
{
    int64_t n, m;
    uint8_t *one, *two;

    one = malloc(3 * s.len + 1);
    n = s3_uri_canonical_path(one, s);

    if (n >= 0) {
        MUST(n >= 1 && (size_t) n <= 3 * s.len + 1);
        two = malloc(3 * (size_t) n + 1);
        m = s3_uri_canonical_path(two, s3_str(one, (size_t) n));
        MUST(m == n && memcmp(one, two, (size_t) n) == 0);
        free(two);
    }

    free(one);
}


static void
check_query(s3_str_t s)
{
    size_t n, m;
    uint8_t *buf, *one, *two, *buf2;
    s3_uri_query_t q, r;

    buf = malloc(s.len + 1);

    if (s3_uri_query_parse(&q, s, buf) == S3_OK) {
        n = s3_uri_canonical_query_size(&q);
        one = malloc(n + 1);
        MUST(s3_uri_canonical_query(one, &q, s3_string("X-Amz-Signature"))
             <= n);
        m = s3_uri_canonical_query(one, &q, s3_null_str);
        MUST(m <= n);

        buf2 = malloc(m + 1);
        MUST(s3_uri_query_parse(&r, s3_str(one, m), buf2) == S3_OK);
        MUST(r.n == q.n);
        n = s3_uri_canonical_query_size(&r);
        two = malloc(n + 1);
        n = s3_uri_canonical_query(two, &r, s3_null_str);
        MUST(n == m && memcmp(one, two, n) == 0);
        free(two);
        free(buf2);
        free(one);
    }

    free(buf);
}


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    s3_str_t path, query;

    s3_uri_split(s3_str(data, size), &path, &query);
    MUST(path.len >= 1);

    check_coding(path);
    check_path(path);
    check_query(query);
    (void) s3_utf8_valid(s3_str(data, size));

    return 0;
}
