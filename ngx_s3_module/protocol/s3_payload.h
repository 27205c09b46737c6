/*
 * x-amz-content-sha256: what a signature says about the body.
 *
 * Source: Amazon S3 API reference, "Authenticating Requests: Using the
 * Authorization Header", payload options.
 */

#ifndef S3_PAYLOAD_H
#define S3_PAYLOAD_H

#include "storage/s3_core.h"

#include "s3_error.h"

#pragma GCC visibility push(hidden)

typedef enum {
    S3_PAYLOAD_UNSIGNED = 0,     /* UNSIGNED-PAYLOAD, or anonymous */
    S3_PAYLOAD_SIGNED,           /* by the SHA-256 of the whole body */
    S3_PAYLOAD_CHUNKED,          /* aws-chunked, each chunk signed */
    S3_PAYLOAD_CHUNKED_TRAILER,  /* the same, with a signed trailer */
    S3_PAYLOAD_UNSIGNED_TRAILER, /* aws-chunked, unsigned, with a trailer */
} s3_payload_t;

#define s3_payload_is_chunked(p) ((p) >= S3_PAYLOAD_CHUNKED)

/*
 * S3_ERR_NONE; S3_ERR_NOT_IMPLEMENTED for chunks signed with SigV4A;
 * S3_ERR_INVALID_ARGUMENT for anything else that is no form of it.
 */

s3_err_t s3_payload_parse(s3_fault_t *f, s3_str_t value, s3_payload_t *payload);

/*
 * x-amz-decoded-content-length: nothing but digits, or S3_EINVAL, with 0 in
 * *length.
 */

int s3_payload_length(s3_str_t value, uint64_t *length);

#pragma GCC visibility pop

#endif /* S3_PAYLOAD_H */
