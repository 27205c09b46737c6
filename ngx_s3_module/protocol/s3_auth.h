/*
 * Who sends this request, and is it what they signed?
 *
 * s3_auth_verify() is the one gate.  It fails closed: until the last check
 * has passed, the result holds an error.
 *
 * Sources: as s3_sigv4.h; the codes of refusal from the Amazon S3 API
 * reference, "Error responses", and from what AWS answers.
 */

#ifndef S3_AUTH_H
#define S3_AUTH_H

#include "storage/s3_core.h"

#include "s3_error.h"
#include "s3_payload.h"
#include "s3_sigv4.h"

#pragma GCC visibility push(hidden)


#define S3_AUTH_MAX_SKEW 900 /* seconds, either way */

#define S3_AUTH_MAX_HEADERS 256 /* more in one request are refused */


typedef enum {
    S3_AUTH_ANONYMOUS = 0,
    S3_AUTH_HEADER,
    S3_AUTH_PRESIGNED,
} s3_auth_kind_t;


/*
 * A credential.  The token is empty for long-term keys; otherwise the
 * request must bring the same one (x-amz-security-token).  The slices live
 * until s3_auth_verify() returns.
 */

typedef struct {
    s3_str_t secret;
    s3_str_t token;
} s3_credential_t;

/* S3_OK, or S3_ENOENT: no such access key. */

typedef int (*s3_credential_pt)(void *data, s3_str_t akid, s3_credential_t *c);


typedef struct {
    s3_str_t method;
    s3_str_t path;  /* raw, as on the request line */
    s3_str_t query; /* raw, without '?' */

    const s3_header_t *headers;
    size_t nheaders;

    int64_t now;     /* seconds since the epoch */
    s3_str_t region; /* the one that scopes must name */

    s3_credential_pt credential;
    void *credential_data;
    s3_sigv4_cache_t *cache;

    /* Memory for the result; the caller frees it all at once, later. */
    void *(*alloc)(void *data, size_t size);
    void *alloc_data;

    unsigned express : 1; /* scopes may name the service s3express */
} s3_auth_request_t;


/*
 * Slices point into the request or into memory of its allocator.  With an
 * error, only kind, fault and akid (which may be empty) mean anything.  The
 * fault quotes what the client sent, in any bytes: escape it.
 *
 * An anonymous request is an error too, with kind S3_AUTH_ANONYMOUS and
 * AccessDenied: whoever lets one through must decide to.  Its payload fields
 * are valid.  (Other errors of an anonymous request are none to let through.)
 */

typedef struct {
    s3_auth_kind_t kind;
    s3_fault_t fault; /* fault.err is S3_ERR_NONE: the signature holds */

    s3_str_t akid;
    s3_str_t region;
    s3_str_t service;
    int64_t date; /* of the signature, seconds since the epoch */

    s3_payload_t payload;
    s3_str_t payload_sha256; /* 64 hex, lower case, with S3_PAYLOAD_SIGNED */
    int has_decoded_length;  /* x-amz-decoded-content-length was there */
    uint64_t decoded_length; /* of the body without its chunk framing */
    s3_str_t trailer;        /* x-amz-trailer, trimmed, as sent */

    /* What chunk signatures go on with. */
    uint8_t signature[S3_SHA256_HEX];
    uint8_t key[S3_SHA256_LEN]; /* secret: not for logs */
    uint8_t amz_date[S3_SIGV4_DATE_LEN];
    size_t scope_len;
    uint8_t scope[S3_SIGV4_SCOPE_SIZE];
} s3_auth_result_t;


/*
 * S3_OK: the request is what the holder of akid signed.  S3_EINVAL: it is
 * not, see res->fault.  S3_ENOMEM: neither is known, and res->fault is
 * InternalError.  A body signed by its hash, and chunks, are for the caller
 * to check, against payload_sha256 or with s3_chunked.h.
 */

int s3_auth_verify(const s3_auth_request_t *req, s3_auth_result_t *res);

#pragma GCC visibility pop

#endif /* S3_AUTH_H */
