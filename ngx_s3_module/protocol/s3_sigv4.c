#include "s3_sigv4.h"

#include <stdlib.h>

#include <openssl/crypto.h>

#pragma GCC visibility push(hidden)

#define S3_SIGV4_ENTRIES 64
#define S3_SIGV4_WAYS 4 /* neighbours that one scope may lie in */
#define S3_SIGV4_MAX_PART 128


/* Longer access keys, secrets and regions are not cached. */

typedef struct {
    uint64_t used; /* 0: empty */
    uint8_t akid_len;
    uint8_t region_len;
    uint8_t service_len;
    uint8_t secret_len;
    uint8_t date[8];
    uint8_t akid[S3_SIGV4_MAX_PART];
    uint8_t region[S3_SIGV4_MAX_REGION];
    uint8_t service[S3_SIGV4_MAX_SERVICE];
    uint8_t secret[S3_SIGV4_MAX_PART];
    uint8_t key[S3_SHA256_LEN];
    s3_hmac_t mac;
} s3_sigv4_entry_t;

struct s3_sigv4_cache_s {
    s3_sha256_t hash;
    s3_hmac_t mac;  /* of a key that is not kept */
    uint64_t clock; /* orders the uses of entries */
    s3_sigv4_entry_t entry[S3_SIGV4_ENTRIES];
};


static int
s3_sigv4_digits(s3_str_t s, size_t from, size_t n, unsigned *value)
{
    size_t i;
    unsigned v;
    uint8_t c;

    for (i = from, v = 0; i < from + n; i++) {
        c = s.data[i];

        if (c < '0' || c > '9') {
            return 0;
        }

        v = v * 10 + (unsigned) (c - '0');
    }

    *value = v;

    return 1;
}


/* Days of the proleptic Gregorian calendar, 0 on 1970-01-01. */

static int64_t
s3_sigv4_days(unsigned year, unsigned month, unsigned day)
{
    int64_t y;

    /* A year that begins in March has its leap day last. */

    if (month <= 2) {
        month += 12;
        year--;
    }

    y = year;

    return 365 * y + y / 4 - y / 100 + y / 400 + (153 * (month - 3) + 2) / 5
           + day - 1 - 719468;
}


static int
s3_sigv4_day(s3_str_t s, int64_t *days)
{
    static const uint8_t len[] = {31, 29, 31, 30, 31, 30,
                                  31, 31, 30, 31, 30, 31};
    unsigned y, m, d;

    if (s.len != 8 || !s3_sigv4_digits(s, 0, 4, &y)
        || !s3_sigv4_digits(s, 4, 2, &m) || !s3_sigv4_digits(s, 6, 2, &d))
    {
        return 0;
    }

    if (y < 1970 || m < 1 || m > 12 || d < 1 || d > len[m - 1]
        || (m == 2 && d == 29 && (y % 4 || (y % 100 == 0 && y % 400))))
    {
        return 0;
    }

    *days = s3_sigv4_days(y, m, d);

    return 1;
}


int64_t
s3_sigv4_date(s3_str_t s)
{
    int64_t days;
    unsigned h, m, sec;

    if (s.len != S3_SIGV4_DATE_LEN || s.data[8] != 'T' || s.data[15] != 'Z'
        || !s3_sigv4_day(s3_str(s.data, 8), &days)
        || !s3_sigv4_digits(s, 9, 2, &h) || !s3_sigv4_digits(s, 11, 2, &m)
        || !s3_sigv4_digits(s, 13, 2, &sec) || h > 23 || m > 59 || sec > 59)
    {
        return S3_EINVAL;
    }

    return days * 86400 + h * 3600 + m * 60 + sec;
}


static uint8_t *
s3_sigv4_put_digits(uint8_t *p, unsigned v, int n)
{
    int i;

    for (i = n - 1; i >= 0; i--) {
        p[i] = (uint8_t) ('0' + v % 10);
        v /= 10;
    }

    return p + n;
}


void
s3_sigv4_format_date(uint8_t dst[S3_SIGV4_DATE_LEN], int64_t sec)
{
    int64_t days;
    unsigned y, m, s;

    sec = s3_max(sec, 0);
    sec = s3_min(sec, 253402300799); /* the end of year 9999 */

    days = sec / 86400;
    s = (unsigned) (sec % 86400);

    /* Counting every year as 365 days estimates a few years too high. */

    y = (unsigned) (days / 365 + 1970);

    while (s3_sigv4_days(y, 1, 1) > days) {
        y--;
    }

    m = 12;

    while (s3_sigv4_days(y, m, 1) > days) {
        m--;
    }

    dst = s3_sigv4_put_digits(dst, y, 4);
    dst = s3_sigv4_put_digits(dst, m, 2);
    dst = s3_sigv4_put_digits(
        dst, (unsigned) (days - s3_sigv4_days(y, m, 1)) + 1, 2);
    *dst++ = 'T';
    dst = s3_sigv4_put_digits(dst, s / 3600, 2);
    dst = s3_sigv4_put_digits(dst, s / 60 % 60, 2);
    dst = s3_sigv4_put_digits(dst, s % 60, 2);
    *dst = 'Z';
}


/* Cuts the part after the last '/' off s; 0 when there is no '/'. */

static int
s3_sigv4_cut_last(s3_str_t *s, s3_str_t *part)
{
    size_t i;

    for (i = s->len; i > 0; i--) {
        if (s->data[i - 1] == '/') {
            *part = s3_str(s->data + i, s->len - i);
            s->len = i - 1;
            return 1;
        }
    }

    return 0;
}


s3_sigv4_reason_t
s3_sigv4_parse_credential(s3_sigv4_auth_t *a, s3_str_t value, int express)
{
    int64_t day;
    s3_str_t rest, terminal;
    s3_sigv4_credential_t *c;

    c = &a->credential;
    rest = value;
    a->bad = value;

    if (!s3_sigv4_cut_last(&rest, &terminal)
        || !s3_sigv4_cut_last(&rest, &c->service)
        || !s3_sigv4_cut_last(&rest, &c->region)
        || !s3_sigv4_cut_last(&rest, &c->date) || rest.len == 0
        || c->date.len == 0 || c->region.len == 0
        || c->region.len > S3_SIGV4_MAX_REGION)
    {
        return S3_SIGV4_CREDENTIAL_FORM;
    }

    c->akid = rest;
    c->scope = s3_str(c->date.data, value.len - rest.len - 1);

    if (!s3_str_eq(terminal, s3_string("aws4_request"))
        && memchr(rest.data, '/', rest.len) != NULL)
    {
        return S3_SIGV4_CREDENTIAL_FORM;
    }

    if (!s3_str_eq(c->service, s3_string("s3"))
        && !(express && s3_str_eq(c->service, s3_string("s3express"))))
    {
        a->bad = c->service;
        return S3_SIGV4_SERVICE;
    }

    if (!s3_str_eq(terminal, s3_string("aws4_request"))) {
        a->bad = terminal;
        return S3_SIGV4_TERMINAL;
    }

    if (!s3_sigv4_day(c->date, &day)) {
        a->bad = c->date;
        return S3_SIGV4_CREDENTIAL_DATE;
    }

    return S3_SIGV4_OK;
}


s3_str_t
s3_sigv4_trim(s3_str_t s)
{
    while (s.len && (s.data[0] == ' ' || s.data[0] == '\t')) {
        s.data++;
        s.len--;
    }

    while (s.len && (s.data[s.len - 1] == ' ' || s.data[s.len - 1] == '\t')) {
        s.len--;
    }

    return s;
}


static s3_sigv4_reason_t
s3_sigv4_scheme(s3_str_t scheme)
{
    if (s3_str_eq(scheme, s3_string("AWS4-HMAC-SHA256"))) {
        return S3_SIGV4_OK;
    }

    if (s3_str_eq(scheme, s3_string("AWS4-ECDSA-P256-SHA256"))) {
        return S3_SIGV4_V4A;
    }

    return s3_str_eq(scheme, s3_string("AWS")) ? S3_SIGV4_V2 : S3_SIGV4_SCHEME;
}


/* One name=value of an Authorization header, into the slice it names. */

static s3_sigv4_reason_t
s3_sigv4_component(s3_sigv4_auth_t *a, s3_str_t part, s3_str_t *credential)
{
    size_t n;
    s3_str_t name, value, *dst;
    const uint8_t *eq;

    part = s3_sigv4_trim(part);
    a->bad = part;

    eq = part.len ? memchr(part.data, '=', part.len) : NULL;

    if (eq == NULL) {
        return S3_SIGV4_COMPONENT;
    }

    n = (size_t) (eq - part.data);
    name = s3_sigv4_trim(s3_str(part.data, n));
    value = s3_sigv4_trim(s3_str(eq + 1, part.len - n - 1));

    if (s3_str_eq(name, s3_string("Credential"))) {
        dst = credential;

    } else if (s3_str_eq(name, s3_string("SignedHeaders"))) {
        dst = &a->signed_headers;

    } else if (s3_str_eq(name, s3_string("Signature"))) {
        dst = &a->signature;

    } else {
        return S3_SIGV4_OK; /* its absence is what gets reported */
    }

    if (dst->data != NULL) {
        return S3_SIGV4_COMPONENTS;
    }

    *dst = value;

    return S3_SIGV4_OK;
}


/* No empty name, none twice, not too many. */

static int
s3_sigv4_check_names(s3_str_t list)
{
    size_t i, n;
    s3_str_t name, names[S3_SIGV4_MAX_SIGNED];

    n = 0;

    while (s3_sigv4_next_name(&list, &name)) {
        if (name.len == 0 || n == S3_SIGV4_MAX_SIGNED) {
            return 0;
        }

        for (i = 0; i < n; i++) {
            if (s3_str_caseeq(names[i], name)) {
                return 0;
            }
        }

        names[n++] = name;
    }

    return n > 0;
}


s3_sigv4_reason_t
s3_sigv4_parse_header(s3_sigv4_auth_t *a, s3_str_t value, int express)
{
    size_t n, parts;
    s3_str_t rest, part, credential;
    const uint8_t *p, *end;
    s3_sigv4_reason_t reason;

    memset(a, 0, sizeof(*a));

    rest = s3_sigv4_trim(value);
    a->bad = value;
    p = rest.len ? memchr(rest.data, ' ', rest.len) : NULL;

    if (p == NULL) {
        return S3_SIGV4_SPACE;
    }

    n = (size_t) (p - rest.data);
    a->bad = s3_str(rest.data, n);
    reason = s3_sigv4_scheme(a->bad);

    if (reason != S3_SIGV4_OK) {
        return reason;
    }

    rest = s3_str(p + 1, rest.len - n - 1);

    parts = 1;
    end = rest.data + rest.len;

    for (p = rest.data; (p = memchr(p, ',', (size_t) (end - p))); p++) {
        parts++;
    }

    if (parts != 3) {
        return S3_SIGV4_COMPONENTS;
    }

    credential = s3_null_str;

    while (parts--) {
        p = parts ? memchr(rest.data, ',', rest.len) : NULL;
        part = p ? s3_str(rest.data, (size_t) (p - rest.data)) : rest;

        if (p != NULL) {
            rest = s3_str(p + 1, rest.len - part.len - 1);
        }

        reason = s3_sigv4_component(a, part, &credential);

        if (reason != S3_SIGV4_OK) {
            return reason;
        }
    }

    if (credential.len == 0) {
        return S3_SIGV4_NO_CREDENTIAL;
    }

    if (!s3_sigv4_check_names(a->signed_headers)) {
        return S3_SIGV4_NO_SIGNED_HEADERS;
    }

    if (a->signature.len == 0) {
        return S3_SIGV4_NO_SIGNATURE;
    }

    return s3_sigv4_parse_credential(a, credential, express);
}


/* A parameter that must be there once, with a value. */

static int
s3_sigv4_param(const s3_uri_query_t *q, s3_str_t name, s3_str_t *value)
{
    size_t i, n;

    for (i = 0, n = 0; i < q->n; i++) {
        if (s3_str_eq(q->pair[i].name, name)) {
            *value = q->pair[i].value;
            n++;
        }
    }

    return n == 1 && value->len > 0;
}


static s3_sigv4_reason_t
s3_sigv4_expires(s3_sigv4_auth_t *a, s3_str_t s)
{
    size_t i;
    int minus;

    minus = s.data[0] == '-';
    i = (size_t) minus;

    if (i == s.len) {
        return S3_SIGV4_EXPIRES;
    }

    for (a->expires = 0; i < s.len; i++) {
        if (s.data[i] < '0' || s.data[i] > '9') {
            return S3_SIGV4_EXPIRES;
        }

        if (a->expires < INT32_MAX) {
            a->expires = a->expires * 10 + (s.data[i] - '0');
        }
    }

    if (minus) {
        return S3_SIGV4_EXPIRES_NEGATIVE;
    }

    return a->expires > S3_SIGV4_MAX_EXPIRES ? S3_SIGV4_EXPIRES_TOO_LONG
                                             : S3_SIGV4_OK;
}


s3_sigv4_reason_t
s3_sigv4_parse_query(s3_sigv4_auth_t *a, const s3_uri_query_t *q, int express)
{
    s3_str_t algorithm, credential, expires;
    s3_sigv4_reason_t reason;

    memset(a, 0, sizeof(*a));

    if (!s3_sigv4_param(q, s3_string("X-Amz-Algorithm"), &algorithm)) {
        return S3_SIGV4_PARAMETER;
    }

    a->bad = algorithm;
    reason = s3_sigv4_scheme(algorithm);

    if (reason != S3_SIGV4_OK) {
        return reason == S3_SIGV4_V4A ? reason : S3_SIGV4_SCHEME;
    }

    if (!s3_sigv4_param(q, s3_string("X-Amz-Credential"), &credential)) {
        return S3_SIGV4_PARAMETER;
    }

    reason = s3_sigv4_parse_credential(a, credential, express);

    if (reason != S3_SIGV4_OK) {
        return reason;
    }

    if (!s3_sigv4_param(q, s3_string("X-Amz-Date"), &a->amz_date)) {
        return S3_SIGV4_PARAMETER;
    }

    a->date = s3_sigv4_date(a->amz_date);

    if (a->date < 0) {
        return S3_SIGV4_DATE;
    }

    if (!s3_sigv4_param(q, s3_string("X-Amz-Signature"), &a->signature)
        || !s3_sigv4_param(q, s3_string("X-Amz-SignedHeaders"),
                           &a->signed_headers)
        || !s3_sigv4_check_names(a->signed_headers)
        || !s3_sigv4_param(q, s3_string("X-Amz-Expires"), &expires))
    {
        return S3_SIGV4_PARAMETER;
    }

    return s3_sigv4_expires(a, expires);
}


s3_sigv4_cache_t *
s3_sigv4_cache_create(void)
{
    return calloc(1, sizeof(s3_sigv4_cache_t));
}


void
s3_sigv4_cache_destroy(s3_sigv4_cache_t *c)
{
    if (c != NULL) {
        OPENSSL_cleanse(c, sizeof(*c));
        free(c);
    }
}


s3_sha256_t *
s3_sigv4_cache_hash(s3_sigv4_cache_t *c)
{
    return &c->hash;
}


static int
s3_sigv4_derive(s3_str_t secret, const s3_sigv4_credential_t *c,
                uint8_t key[S3_SHA256_LEN])
{
    int rc;
    uint8_t *first;
    s3_str_t k;

    first = malloc(secret.len + 4);

    if (first == NULL) {
        return S3_ENOMEM;
    }

    memcpy(first, "AWS4", 4);

    if (secret.len) {
        memcpy(first + 4, secret.data, secret.len);
    }

    k = s3_str(key, S3_SHA256_LEN);
    rc = s3_hmac_sha256(s3_str(first, secret.len + 4), c->date, key);

    OPENSSL_cleanse(first, secret.len + 4);
    free(first);

    if (rc == S3_OK) {
        rc = s3_hmac_sha256(k, c->region, key);
    }

    if (rc == S3_OK) {
        rc = s3_hmac_sha256(k, c->service, key);
    }

    if (rc == S3_OK) {
        rc = s3_hmac_sha256(k, s3_string("aws4_request"), key);
    }

    return rc;
}


/* FNV-1a, 64 bits: the scope of a credential is no secret. */

static uint64_t
s3_sigv4_fnv(uint64_t h, s3_str_t s)
{
    size_t i;

    for (i = 0; i < s.len; i++) {
        h = (h ^ s.data[i]) * 0x100000001b3ull;
    }

    return h;
}


static int
s3_sigv4_entry_is(const s3_sigv4_entry_t *e, s3_str_t secret,
                  const s3_sigv4_credential_t *c)
{
    return e->used && s3_str_eq(s3_str(e->date, 8), c->date)
           && s3_str_eq(s3_str(e->akid, e->akid_len), c->akid)
           && s3_str_eq(s3_str(e->region, e->region_len), c->region)
           && s3_str_eq(s3_str(e->service, e->service_len), c->service)
           && e->secret_len == secret.len
           && CRYPTO_memcmp(e->secret, secret.data, secret.len) == 0;
}


static void
s3_sigv4_entry_set(s3_sigv4_entry_t *e, s3_str_t secret,
                   const s3_sigv4_credential_t *c,
                   const uint8_t key[S3_SHA256_LEN])
{
    OPENSSL_cleanse(e, sizeof(*e));

    e->akid_len = (uint8_t) c->akid.len;
    e->region_len = (uint8_t) c->region.len;
    e->service_len = (uint8_t) c->service.len;
    e->secret_len = (uint8_t) secret.len;
    memcpy(e->date, c->date.data, 8);
    memcpy(e->akid, c->akid.data, c->akid.len);
    memcpy(e->region, c->region.data, c->region.len);
    memcpy(e->service, c->service.data, c->service.len);
    memcpy(e->secret, secret.data, secret.len);
    memcpy(e->key, key, S3_SHA256_LEN);
}


int
s3_sigv4_key(s3_sigv4_cache_t *cache, s3_str_t secret,
             const s3_sigv4_credential_t *c, uint8_t key[S3_SHA256_LEN],
             const s3_hmac_t **mac)
{
    int rc;
    size_t i;
    uint64_t h;
    s3_hmac_t prepared;
    s3_sigv4_entry_t *e, *oldest;

    if (c->akid.len == 0 || c->akid.len > S3_SIGV4_MAX_PART || secret.len == 0
        || secret.len > S3_SIGV4_MAX_PART || c->date.len != 8
        || c->region.len == 0 || c->region.len > S3_SIGV4_MAX_REGION
        || c->service.len == 0 || c->service.len > S3_SIGV4_MAX_SERVICE)
    {
        rc = s3_sigv4_derive(secret, c, key);

        if (rc == S3_OK && mac) {
            *mac = &cache->mac;
            rc = s3_hmac_init(&cache->mac, s3_str(key, S3_SHA256_LEN));
        }

        return rc;
    }

    h = s3_sigv4_fnv(0xcbf29ce484222325ull, c->akid);
    h = s3_sigv4_fnv(s3_sigv4_fnv(h, c->date), c->region);
    h = s3_sigv4_fnv(h, c->service);
    oldest = NULL;

    for (i = 0; i < S3_SIGV4_WAYS; i++) {
        e = &cache->entry[(h + i) % S3_SIGV4_ENTRIES];

        if (s3_sigv4_entry_is(e, secret, c)) {
            memcpy(key, e->key, S3_SHA256_LEN);
            e->used = ++cache->clock;

            if (mac) {
                *mac = &e->mac;
            }

            return S3_OK;
        }

        if (oldest == NULL || e->used < oldest->used) {
            oldest = e;
        }
    }

    rc = s3_sigv4_derive(secret, c, key);

    if (rc != S3_OK) {
        return rc;
    }

    rc = s3_hmac_init(&prepared, s3_str(key, S3_SHA256_LEN));

    if (rc == S3_OK) {
        s3_sigv4_entry_set(oldest, secret, c, key);
        oldest->mac = prepared;
        oldest->used = ++cache->clock;

        if (mac) {
            *mac = &oldest->mac;
        }
    }

    OPENSSL_cleanse(&prepared, sizeof(prepared));

    return rc;
}


int
s3_sigv4_sign(const uint8_t key[S3_SHA256_LEN], s3_str_t text,
              uint8_t hex[S3_SHA256_HEX])
{
    int rc;
    s3_hmac_t mac;

    rc = s3_hmac_init(&mac, s3_str(key, S3_SHA256_LEN));

    if (rc == S3_OK) {
        rc = s3_sigv4_sign_with(&mac, text, hex);
    }

    OPENSSL_cleanse(&mac, sizeof(mac));

    return rc;
}


int
s3_sigv4_sign_with(const s3_hmac_t *mac, s3_str_t text,
                   uint8_t hex[S3_SHA256_HEX])
{
    int rc;
    uint8_t digest[S3_SHA256_LEN];

    rc = s3_hmac(mac, text, digest);

    if (rc == S3_OK) {
        s3_hex(hex, digest, S3_SHA256_LEN);
    }

    return rc;
}


int
s3_sigv4_equal(s3_str_t a, s3_str_t b)
{
    return a.len == b.len && a.len > 0
           && CRYPTO_memcmp(a.data, b.data, a.len) == 0;
}

#pragma GCC visibility pop
