/*
 * The parts of AWS Signature Version 4: credentials, canonical requests,
 * signing keys.  Who may come in is decided in s3_auth.h.
 *
 * Source: Amazon S3 API reference, "Authenticating Requests (AWS Signature
 * Version 4)".
 *
 *     canonical request -- SHA-256 --+
 *                                    +- string to sign -+
 *     x-amz-date, scope -------------+                  +- HMAC -- signature
 *     secret - date - region - service - signing key ---+
 */

#ifndef S3_SIGV4_H
#define S3_SIGV4_H

#include "storage/s3_core.h"

#include "s3_hash.h"
#include "s3_uri.h"

#pragma GCC visibility push(hidden)


#define S3_SIGV4_MAX_SIGNED 128 /* names in SignedHeaders */
#define S3_SIGV4_MAX_REGION 64
#define S3_SIGV4_MAX_SERVICE 16
#define S3_SIGV4_MAX_EXPIRES 604800 /* seconds, presigned */

/* "yyyymmdd/region/service/aws4_request" at its longest. */

#define S3_SIGV4_SCOPE_SIZE \
    (8 + 1 + S3_SIGV4_MAX_REGION + 1 + S3_SIGV4_MAX_SERVICE + 13)

/* "yyyymmddThhmmssZ" */

#define S3_SIGV4_DATE_LEN 16


/* A request header; names in any case, values as received. */

typedef struct {
    s3_str_t name;
    s3_str_t value;
} s3_header_t;


typedef struct {
    s3_str_t akid;
    s3_str_t date; /* yyyymmdd */
    s3_str_t region;
    s3_str_t service;
    s3_str_t scope; /* all after the akid's slash, contiguous */
} s3_sigv4_credential_t;

/* What is wrong with a credential, a header or a query. */

typedef enum {
    S3_SIGV4_OK = 0,
    S3_SIGV4_SPACE,      /* no scheme, space, parameters */
    S3_SIGV4_V2,         /* "AWS akid:signature" */
    S3_SIGV4_V4A,        /* AWS4-ECDSA-P256-SHA256 */
    S3_SIGV4_SCHEME,     /* any other */
    S3_SIGV4_COMPONENTS, /* not three of them, or doubled */
    S3_SIGV4_COMPONENT,  /* not name=value */
    S3_SIGV4_NO_CREDENTIAL,
    S3_SIGV4_NO_SIGNED_HEADERS, /* or too many, or one twice */
    S3_SIGV4_NO_SIGNATURE,
    S3_SIGV4_CREDENTIAL_FORM, /* not five parts, or an empty one */
    S3_SIGV4_SERVICE,
    S3_SIGV4_TERMINAL,        /* the last part is not aws4_request */
    S3_SIGV4_CREDENTIAL_DATE, /* not yyyymmdd */
    S3_SIGV4_PARAMETER,       /* presigned: one is missing or doubled */
    S3_SIGV4_DATE,
    S3_SIGV4_EXPIRES,
    S3_SIGV4_EXPIRES_NEGATIVE,
    S3_SIGV4_EXPIRES_TOO_LONG,
} s3_sigv4_reason_t;

typedef struct {
    s3_sigv4_credential_t credential;
    s3_str_t signed_headers;
    s3_str_t signature;
    s3_str_t amz_date; /* presigned only */
    int64_t date;      /* presigned only, seconds since the epoch */
    int64_t expires;   /* presigned only, seconds */
    s3_str_t bad;      /* the part that a reason is about */
} s3_sigv4_auth_t;

/*
 * Parse a credential, the value of an Authorization header, the parameters
 * of a presigned URL; the first reason found.  Components of the header come
 * in any order, with or without spaces.  An akid may hold '/', if the last
 * part is aws4_request.  The service is s3, or with express also s3express.
 * Slices point into the input.
 */

s3_sigv4_reason_t
s3_sigv4_parse_credential(s3_sigv4_auth_t *a, s3_str_t value, int express);
s3_sigv4_reason_t
s3_sigv4_parse_header(s3_sigv4_auth_t *a, s3_str_t value, int express);
s3_sigv4_reason_t
s3_sigv4_parse_query(s3_sigv4_auth_t *a, const s3_uri_query_t *q, int express);


/*
 * Takes the next name off a SignedHeaders list; 0 when there is none left.
 * s3_sigv4_is_signed(): whether the list holds a name, case ignored.
 */

int s3_sigv4_next_name(s3_str_t *list, s3_str_t *name);
int s3_sigv4_is_signed(s3_str_t list, s3_str_t name);


/*
 * The canonical request.  Of a presigned one, X-Amz-Signature is no part of
 * the query.  dst has room for s3_sigv4_canonical_size() bytes, which is a
 * bound.  Returns the length, or S3_EINVAL: the path is badly encoded.
 */

typedef struct {
    s3_str_t method;
    s3_str_t path; /* raw */
    const s3_uri_query_t *query;
    const s3_header_t *headers;
    size_t nheaders;
    s3_str_t signed_headers; /* no name twice */
    s3_str_t payload;        /* x-amz-content-sha256, verbatim */
    int presigned;
} s3_sigv4_canonical_t;

size_t s3_sigv4_canonical_size(const s3_sigv4_canonical_t *c);
int64_t s3_sigv4_canonical(uint8_t *dst, const s3_sigv4_canonical_t *c);

/*
 * "AWS4-HMAC-SHA256 \n date \n scope \n hex(SHA-256(canonical request))".
 * Returns the length, at most S3_SIGV4_STRING_SIZE, or S3_ENOMEM.  The scope
 * is no longer than S3_SIGV4_SCOPE_SIZE.
 */

#define S3_SIGV4_STRING_SIZE (17 + 17 + S3_SIGV4_SCOPE_SIZE + 1 + S3_SHA256_HEX)

int64_t
s3_sigv4_string_to_sign(uint8_t dst[S3_SIGV4_STRING_SIZE], s3_sha256_t *h,
                        const uint8_t date[S3_SIGV4_DATE_LEN], s3_str_t scope,
                        s3_str_t canonical);


/*
 * Signing keys that were derived before, and the hash context; one per
 * thread.  An entry holds only for the very secret it was derived from, so
 * a credential that changes needs no invalidation.
 */

typedef struct s3_sigv4_cache_s s3_sigv4_cache_t;

s3_sigv4_cache_t *s3_sigv4_cache_create(void); /* NULL: no memory */
void s3_sigv4_cache_destroy(s3_sigv4_cache_t *c);
s3_sha256_t *s3_sigv4_cache_hash(s3_sigv4_cache_t *c);

/*
 * The signing key, from the cache where possible; S3_OK or S3_ENOMEM.  mac, if
 * not NULL: the same, prepared, until the next use of the cache.
 */

int s3_sigv4_key(s3_sigv4_cache_t *cache, s3_str_t secret,
                 const s3_sigv4_credential_t *c, uint8_t key[S3_SHA256_LEN],
                 const s3_hmac_t **mac);

/* hex(HMAC(key, text)), as a signature is written; S3_OK or S3_ENOMEM. */

int s3_sigv4_sign(const uint8_t key[S3_SHA256_LEN], s3_str_t text,
                  uint8_t hex[S3_SHA256_HEX]);
int s3_sigv4_sign_with(const s3_hmac_t *mac, s3_str_t text,
                       uint8_t hex[S3_SHA256_HEX]);

/* Whether two signatures are equal, in time that does not tell where not. */

int s3_sigv4_equal(s3_str_t a, s3_str_t b);


/* Without spaces and tabs at its ends. */

s3_str_t s3_sigv4_trim(s3_str_t s);

/*
 * yyyymmddThhmmssZ from and to seconds since the epoch; parsing returns
 * S3_EINVAL for anything else, and for dates before 1970.
 */

int64_t s3_sigv4_date(s3_str_t s);
void s3_sigv4_format_date(uint8_t dst[S3_SIGV4_DATE_LEN], int64_t sec);

#pragma GCC visibility pop

#endif /* S3_SIGV4_H */
