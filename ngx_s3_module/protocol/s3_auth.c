#include "s3_auth.h"

#include <openssl/crypto.h>

#include "s3_auth_fault.h"
#include "s3_http.h"

#pragma GCC visibility push(hidden)

/* Beyond this, an answer does not repeat the canonical request in hex. */

#define S3_AUTH_MAX_ECHO 8192

/* The headers that decide something here; each may be there once. */

typedef enum {
    S3_AUTH_H_AUTHORIZATION = 0,
    S3_AUTH_H_DATE,
    S3_AUTH_H_HOST,
    S3_AUTH_H_AMZ_DATE,
    S3_AUTH_H_SHA256,
    S3_AUTH_H_LENGTH,
    S3_AUTH_H_TRAILER,
    S3_AUTH_H_TOKEN,
    S3_AUTH_H_MAX
} s3_auth_header_t;

typedef struct {
    const s3_auth_request_t *req;
    s3_auth_result_t *res;
    s3_str_t header[S3_AUTH_H_MAX]; /* data is NULL where absent */
    s3_uri_query_t query;
    s3_sigv4_auth_t auth;
    s3_credential_t credential;
    s3_str_t payload; /* as it stands in the canonical request */
} s3_auth_ctx_t;


static int
s3_auth_no_memory(s3_auth_result_t *res)
{
    (void) s3_fault(&res->fault, S3_ERR_INTERNAL_ERROR, NULL);

    return S3_ENOMEM;
}


static uint8_t *
s3_auth_alloc(s3_auth_ctx_t *v, size_t size)
{
    return v->req->alloc(v->req->alloc_data, size ? size : 1);
}


static int
s3_auth_refuse(s3_auth_ctx_t *v, s3_err_t err, const char *message)
{
    (void) s3_fault(&v->res->fault, err, message);

    return S3_EINVAL;
}


static int
s3_auth_header_find(s3_str_t name)
{
    static const s3_str_t names[] = {
        [S3_AUTH_H_AUTHORIZATION] = s3_string("authorization"),
        [S3_AUTH_H_DATE] = s3_string("date"),
        [S3_AUTH_H_HOST] = s3_string("host"),
        [S3_AUTH_H_AMZ_DATE] = s3_string("x-amz-date"),
        [S3_AUTH_H_SHA256] = s3_string("x-amz-content-sha256"),
        [S3_AUTH_H_LENGTH] = s3_string("x-amz-decoded-content-length"),
        [S3_AUTH_H_TRAILER] = s3_string("x-amz-trailer"),
        [S3_AUTH_H_TOKEN] = s3_string("x-amz-security-token"),
    };
    int i;

    for (i = 0; i < S3_AUTH_H_MAX; i++) {
        if (s3_str_caseeq(names[i], name)) {
            return i;
        }
    }

    return -1;
}


/*
 * A header that decides must not be there twice: signer and server could
 * then mean different ones.
 */

static int
s3_auth_headers(s3_auth_ctx_t *v)
{
    int h;
    size_t i;
    const s3_header_t *header;

    if (v->req->nheaders > S3_AUTH_MAX_HEADERS) {
        return s3_auth_refuse(v, S3_ERR_REQUEST_HEADER_SECTION_TOO_LARGE, NULL);
    }

    for (i = 0; i < v->req->nheaders; i++) {
        header = &v->req->headers[i];
        h = s3_auth_header_find(header->name);

        if (h < 0) {
            continue;
        }

        if (v->header[h].data != NULL) {
            (void) s3_fault_arg(&v->res->fault,
                                "A header was provided more than once.",
                                "Header", header->name);
            return S3_EINVAL;
        }

        v->header[h] =
            header->value.data ? s3_sigv4_trim(header->value) : s3_string("");
    }

    return S3_OK;
}


static int
s3_auth_query(s3_auth_ctx_t *v)
{
    uint8_t *buf;

    v->query.n = 0;

    if (v->req->query.len == 0) {
        return S3_OK;
    }

    buf = s3_auth_alloc(v, v->req->query.len);

    if (buf == NULL) {
        return s3_auth_no_memory(v->res);
    }

    if (s3_uri_query_parse(&v->query, v->req->query, buf) != S3_OK) {
        return s3_auth_refuse(v, S3_ERR_INVALID_URI, NULL);
    }

    return S3_OK;
}


static int
s3_auth_bad(s3_auth_ctx_t *v, s3_sigv4_reason_t reason)
{
    s3_auth_fault(&v->res->fault, v->res->kind == S3_AUTH_PRESIGNED, &v->auth,
                  reason);

    return S3_EINVAL;
}


#define s3_auth_has(v, name) \
    (s3_uri_query_find(&(v)->query, s3_string(name)) != NULL)


/* Which mechanism the request uses; there may be one. */

static int
s3_auth_kind(s3_auth_ctx_t *v)
{
    int query4, query2;
    s3_str_t authorization;

    query4 = s3_auth_has(v, "X-Amz-Algorithm")
             || s3_auth_has(v, "X-Amz-Credential")
             || s3_auth_has(v, "X-Amz-Signature")
             || s3_auth_has(v, "X-Amz-SignedHeaders")
             || s3_auth_has(v, "X-Amz-Expires");
    query2 = s3_auth_has(v, "AWSAccessKeyId") || s3_auth_has(v, "Signature");
    authorization = v->header[S3_AUTH_H_AUTHORIZATION];

    if ((authorization.data != NULL) + query4 + query2 > 1) {
        (void) s3_fault_arg(
            &v->res->fault,
            "Only one auth mechanism allowed; only the X-Amz-Algorithm query "
            "parameter, Signature query string parameter or the Authorization "
            "header should be specified",
            "Authorization", authorization);
        return S3_EINVAL;
    }

    if (query2) {
        v->res->kind = S3_AUTH_PRESIGNED;
        return s3_auth_bad(v, S3_SIGV4_V2);
    }

    v->res->kind = query4               ? S3_AUTH_PRESIGNED
                   : authorization.data ? S3_AUTH_HEADER
                                        : S3_AUTH_ANONYMOUS;

    return S3_OK;
}


static s3_str_t
s3_auth_time(s3_auth_ctx_t *v, int64_t sec)
{
    uint8_t *p;

    p = s3_auth_alloc(v, S3_AUTH_TIME_LEN);

    return p ? s3_auth_fault_time(p, sec) : s3_null_str;
}


/* The time of a request signed in its header: there, valid, and near now. */

static int
s3_auth_header_date(s3_auth_ctx_t *v)
{
    s3_str_t s;
    s3_fault_t *f;
    int64_t date;

    s = v->header[S3_AUTH_H_AMZ_DATE];

    if (s.len == 0) {
        s = v->header[S3_AUTH_H_DATE];
    }

    date = s.len ? s3_sigv4_date(s) : S3_EINVAL;

    if (date >= 0) {
        memcpy(v->res->amz_date, s.data, S3_SIGV4_DATE_LEN);

    } else if (s.len && v->header[S3_AUTH_H_AMZ_DATE].len == 0
               && s3_http_date_parse(s, &date) == S3_OK)
    {
        s3_sigv4_format_date(v->res->amz_date, date);
    }

    if (date < 0) {
        return s3_auth_refuse(v, S3_ERR_ACCESS_DENIED,
                              "AWS authentication requires a valid Date or "
                              "x-amz-date header.");
    }

    v->res->date = date;

    if (date > v->req->now + S3_AUTH_MAX_SKEW
        || date < v->req->now - S3_AUTH_MAX_SKEW)
    {
        f = &v->res->fault;
        (void) s3_fault(f, S3_ERR_REQUEST_TIME_TOO_SKEWED, NULL);
        s3_fault_add(f, "RequestTime", s);
        s3_fault_add(f, "ServerTime", s3_auth_time(v, v->req->now));
        s3_fault_add_u64(f, "MaxAllowedSkewMilliseconds",
                         S3_AUTH_MAX_SKEW * 1000);
        return S3_EINVAL;
    }

    return S3_OK;
}


static int
s3_auth_region(s3_auth_ctx_t *v)
{
    if (s3_str_eq(v->auth.credential.region, v->req->region)) {
        return S3_OK;
    }

    s3_auth_fault_region(&v->res->fault, v->res->kind == S3_AUTH_PRESIGNED,
                         v->auth.credential.region, v->req->region);

    return S3_EINVAL;
}


/* The access key, and the token that belongs to it, or none to none. */

static int
s3_auth_akid(s3_auth_ctx_t *v)
{
    s3_str_t token;
    const s3_uri_pair_t *pair;

    v->res->akid = v->auth.credential.akid;
    memset(&v->credential, 0, sizeof(v->credential));

    if (v->req->credential(v->req->credential_data, v->res->akid,
                           &v->credential)
            != S3_OK
        || v->credential.secret.len == 0)
    {
        (void) s3_fault(&v->res->fault, S3_ERR_INVALID_ACCESS_KEY_ID, NULL);
        s3_fault_add(&v->res->fault, "AWSAccessKeyId", v->res->akid);
        return S3_EINVAL;
    }

    token = v->header[S3_AUTH_H_TOKEN];

    if (v->res->kind == S3_AUTH_PRESIGNED) {
        pair = s3_uri_query_find_nocase(&v->query,
                                        s3_string("X-Amz-Security-Token"));
        token = pair ? pair->value : token;
    }

    if ((token.len || v->credential.token.len)
        && !s3_sigv4_equal(token, v->credential.token))
    {
        return s3_auth_refuse(v, S3_ERR_INVALID_TOKEN, NULL);
    }

    return S3_OK;
}


/* The day of the scope is the day of the signature. */

static int
s3_auth_scope_date(s3_auth_ctx_t *v)
{
    s3_str_t day;

    day = s3_str(v->res->amz_date, 8);

    if (s3_str_eq(v->auth.credential.date, day)) {
        return S3_OK;
    }

    s3_auth_fault_day(&v->res->fault, v->res->kind == S3_AUTH_PRESIGNED,
                      v->auth.credential.date, day);

    return S3_EINVAL;
}


static int
s3_auth_expiry(s3_auth_ctx_t *v)
{
    int64_t end;
    s3_fault_t *f;

    f = &v->res->fault;

    if (v->res->date > v->req->now + S3_AUTH_MAX_SKEW) {
        (void) s3_fault(f, S3_ERR_ACCESS_DENIED, "Request is not valid yet");
        s3_fault_add(f, "ServerTime", s3_auth_time(v, v->req->now));
        return S3_EINVAL;
    }

    end = v->res->date + v->auth.expires;

    if (v->req->now > end) {
        (void) s3_fault(f, S3_ERR_ACCESS_DENIED, "Request has expired");
        s3_fault_add_u64(f, "X-Amz-Expires", (uint64_t) v->auth.expires);
        s3_fault_add(f, "Expires", s3_auth_time(v, end));
        s3_fault_add(f, "ServerTime", s3_auth_time(v, v->req->now));
        return S3_EINVAL;
    }

    return S3_OK;
}


/* x-amz-content-sha256, and what comes with the streaming forms. */

static int
s3_auth_payload(s3_auth_ctx_t *v)
{
    size_t i;
    uint8_t *p;

    v->res->has_decoded_length =
        s3_payload_length(v->header[S3_AUTH_H_LENGTH], &v->res->decoded_length)
        == S3_OK;
    v->res->trailer = v->header[S3_AUTH_H_TRAILER];

    if (s3_payload_parse(&v->res->fault, v->payload, &v->res->payload)
        != S3_ERR_NONE)
    {
        return S3_EINVAL;
    }

    if (v->res->payload == S3_PAYLOAD_SIGNED) {
        p = s3_auth_alloc(v, S3_SHA256_HEX);

        if (p == NULL) {
            return s3_auth_no_memory(v->res);
        }

        /* Hex digits: this bit makes letters lower case, digits have it. */

        for (i = 0; i < S3_SHA256_HEX; i++) {
            p[i] = v->payload.data[i] | 0x20;
        }

        v->res->payload_sha256 = s3_str(p, S3_SHA256_HEX);
    }

    return S3_OK;
}


static int
s3_auth_anonymous(s3_auth_ctx_t *v)
{
    int rc;

    v->payload = v->header[S3_AUTH_H_SHA256];

    if (v->payload.len) {
        rc = s3_auth_payload(v);

        if (rc != S3_OK) {
            return rc;
        }

        if (v->res->payload == S3_PAYLOAD_CHUNKED
            || v->res->payload == S3_PAYLOAD_CHUNKED_TRAILER)
        {
            return s3_auth_refuse(v, S3_ERR_INVALID_REQUEST,
                                  "Anonymous requests don't support this "
                                  "x-amz-content-sha256 value. Please use "
                                  "UNSIGNED-PAYLOAD or "
                                  "STREAMING-UNSIGNED-PAYLOAD-TRAILER.");
        }
    }

    return s3_auth_refuse(v, S3_ERR_ACCESS_DENIED, NULL);
}


/* host and every x-amz-* header, or an intermediary could add its own. */

static int
s3_auth_unsigned(s3_auth_ctx_t *v, s3_str_t name)
{
    return (s3_str_caseeq(s3_string("host"), name)
            || (name.len >= 6
                && s3_str_caseeq(s3_string("x-amz-"), s3_str(name.data, 6))))
           && !s3_sigv4_is_signed(v->auth.signed_headers, name);
}


static int
s3_auth_not_signed(s3_auth_ctx_t *v, s3_str_t names)
{
    (void) s3_fault(&v->res->fault, S3_ERR_ACCESS_DENIED,
                    "There were headers present in the request which were not "
                    "signed");
    s3_fault_add(&v->res->fault, "HeadersNotSigned", names);

    return S3_EINVAL;
}


static int
s3_auth_all_signed(s3_auth_ctx_t *v)
{
    size_t i, j, len;
    uint8_t *list, *p;
    s3_str_t name;

    if (v->header[S3_AUTH_H_HOST].data == NULL
        && !s3_sigv4_is_signed(v->auth.signed_headers, s3_string("host")))
    {
        return s3_auth_not_signed(v, s3_string("host"));
    }

    len = 0;

    for (i = 0; i < v->req->nheaders; i++) {
        name = v->req->headers[i].name;

        len += s3_auth_unsigned(v, name) ? name.len + 2 : 0;
    }

    if (len == 0) {
        return S3_OK;
    }

    list = s3_auth_alloc(v, len);

    if (list == NULL) {
        return s3_auth_no_memory(v->res);
    }

    p = list;

    for (i = 0; i < v->req->nheaders; i++) {
        name = v->req->headers[i].name;

        if (!s3_auth_unsigned(v, name)) {
            continue;
        }

        for (j = 0; j < name.len; j++) {
            *p++ = s3_lower(name.data[j]);
        }

        *p++ = ',';
        *p++ = ' ';
    }

    return s3_auth_not_signed(v, s3_str(list, len - 2));
}


static s3_str_t
s3_auth_bytes(s3_auth_ctx_t *v, s3_str_t s)
{
    uint8_t *p;

    p = s3_auth_alloc(v, 3 * s.len);

    return p ? s3_auth_fault_bytes(p, s) : s3_null_str;
}


static int
s3_auth_mismatch(s3_auth_ctx_t *v, s3_str_t text, s3_str_t canonical)
{
    uint8_t *p;
    s3_fault_t *f;

    f = &v->res->fault;
    (void) s3_fault(f, S3_ERR_SIGNATURE_DOES_NOT_MATCH, NULL);
    s3_fault_add(f, "AWSAccessKeyId", v->res->akid);

    p = s3_auth_alloc(v, text.len);

    if (p == NULL) {
        return S3_EINVAL;
    }

    memcpy(p, text.data, text.len);
    s3_fault_add(f, "StringToSign", s3_str(p, text.len));
    s3_fault_add(f, "SignatureProvided", v->auth.signature);
    s3_fault_add(f, "StringToSignBytes", s3_auth_bytes(v, text));
    s3_fault_add(f, "CanonicalRequest", canonical);

    if (canonical.len <= S3_AUTH_MAX_ECHO) {
        s3_fault_add(f, "CanonicalRequestBytes", s3_auth_bytes(v, canonical));
    }

    return S3_EINVAL;
}


static int
s3_auth_signature(s3_auth_ctx_t *v)
{
    int64_t n;
    s3_str_t text, canonical;
    uint8_t *p, buf[S3_SIGV4_STRING_SIZE];
    const s3_hmac_t *mac;
    s3_auth_result_t *res;
    s3_sigv4_canonical_t c;

    res = v->res;

    c.method = v->req->method;
    c.path = v->req->path;
    c.query = &v->query;
    c.headers = v->req->headers;
    c.nheaders = v->req->nheaders;
    c.signed_headers = v->auth.signed_headers;
    c.payload = v->payload;
    c.presigned = res->kind == S3_AUTH_PRESIGNED;

    p = s3_auth_alloc(v, s3_sigv4_canonical_size(&c));

    if (p == NULL) {
        return s3_auth_no_memory(res);
    }

    n = s3_sigv4_canonical(p, &c);

    if (n < 0) {
        return s3_auth_refuse(v, S3_ERR_INVALID_URI, NULL);
    }

    canonical = s3_str(p, (size_t) n);

    if (v->auth.credential.scope.len > sizeof(res->scope)) {
        return s3_auth_bad(v, S3_SIGV4_CREDENTIAL_FORM);
    }

    res->scope_len = v->auth.credential.scope.len;
    memcpy(res->scope, v->auth.credential.scope.data, res->scope_len);

    n = s3_sigv4_string_to_sign(buf, s3_sigv4_cache_hash(v->req->cache),
                                res->amz_date, v->auth.credential.scope,
                                canonical);

    if (n < 0) {
        return s3_auth_no_memory(res);
    }

    text = s3_str(buf, (size_t) n);

    if (s3_sigv4_key(v->req->cache, v->credential.secret, &v->auth.credential,
                     res->key, &mac)
            != S3_OK
        || s3_sigv4_sign_with(mac, text, res->signature) != S3_OK)
    {
        return s3_auth_no_memory(res);
    }

    if (!s3_sigv4_equal(s3_str(res->signature, S3_SHA256_HEX),
                        v->auth.signature)) {
        return s3_auth_mismatch(v, text, canonical);
    }

    return S3_OK;
}


/* Scheme, credential and times, as far as the mechanisms differ. */

static int
s3_auth_by_header(s3_auth_ctx_t *v)
{
    int rc;
    s3_sigv4_reason_t reason;

    rc = s3_auth_header_date(v);

    if (rc != S3_OK) {
        return rc;
    }

    reason = s3_sigv4_parse_header(&v->auth, v->header[S3_AUTH_H_AUTHORIZATION],
                                   v->req->express);

    if (reason != S3_SIGV4_OK) {
        return s3_auth_bad(v, reason);
    }

    rc = s3_auth_region(v);

    if (rc == S3_OK) {
        rc = s3_auth_akid(v);
    }

    if (rc == S3_OK) {
        rc = s3_auth_scope_date(v);
    }

    if (rc != S3_OK) {
        return rc;
    }

    v->payload = v->header[S3_AUTH_H_SHA256];

    if (v->payload.len == 0) {
        return s3_auth_refuse(v, S3_ERR_INVALID_REQUEST,
                              "Missing required header for this request: "
                              "x-amz-content-sha256");
    }

    return S3_OK;
}


static int
s3_auth_by_query(s3_auth_ctx_t *v)
{
    int rc;
    s3_sigv4_reason_t reason;
    const s3_uri_pair_t *pair;

    reason = s3_sigv4_parse_query(&v->auth, &v->query, v->req->express);

    if (reason != S3_SIGV4_OK) {
        return s3_auth_bad(v, reason);
    }

    rc = s3_auth_region(v);

    if (rc != S3_OK) {
        return rc;
    }

    v->res->date = v->auth.date;
    s3_sigv4_format_date(v->res->amz_date, v->auth.date);

    rc = s3_auth_scope_date(v);

    if (rc == S3_OK) {
        rc = s3_auth_expiry(v);
    }

    if (rc == S3_OK) {
        rc = s3_auth_akid(v);
    }

    if (rc != S3_OK) {
        return rc;
    }

    v->payload = v->header[S3_AUTH_H_SHA256];

    if (v->payload.len == 0) {
        pair = s3_uri_query_find_nocase(&v->query,
                                        s3_string("X-Amz-Content-Sha256"));
        v->payload = pair && pair->value.len ? pair->value
                                             : s3_string("UNSIGNED-PAYLOAD");
    }

    return S3_OK;
}


static int
s3_auth_check(s3_auth_ctx_t *v)
{
    int rc;

    rc = s3_auth_headers(v);

    if (rc == S3_OK) {
        rc = s3_auth_query(v);
    }

    if (rc == S3_OK) {
        rc = s3_auth_kind(v);
    }

    if (rc != S3_OK) {
        return rc;
    }

    switch (v->res->kind) {

    case S3_AUTH_HEADER:
        rc = s3_auth_by_header(v);
        break;

    case S3_AUTH_PRESIGNED:
        rc = s3_auth_by_query(v);
        break;

    default:
        return s3_auth_anonymous(v);
    }

    if (rc == S3_OK) {
        rc = s3_auth_payload(v);
    }

    if (rc == S3_OK) {
        rc = s3_auth_all_signed(v);
    }

    if (rc == S3_OK) {
        rc = s3_auth_signature(v);
    }

    return rc;
}


int
s3_auth_verify(const s3_auth_request_t *req, s3_auth_result_t *res)
{
    int rc;
    s3_auth_ctx_t v;

    memset(res, 0, sizeof(*res));
    (void) s3_fault(&res->fault, S3_ERR_ACCESS_DENIED, NULL);

    v.req = req;
    v.res = res;
    v.payload = s3_null_str;
    memset(v.header, 0, sizeof(v.header));

    rc = s3_auth_check(&v);

    if (rc != S3_OK) {
        OPENSSL_cleanse(res->key, sizeof(res->key));
        OPENSSL_cleanse(res->signature, sizeof(res->signature));
        return rc;
    }

    res->region = v.auth.credential.region;
    res->service = v.auth.credential.service;
    (void) s3_fault(&res->fault, S3_ERR_NONE, NULL);

    return S3_OK;
}

#pragma GCC visibility pop
