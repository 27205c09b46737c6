/*
 * What a client hears whose credentials are not well formed: the words of
 * AWS, as far as they are known, for every reason of s3_sigv4.h.
 */

#ifndef S3_AUTH_FAULT_H
#define S3_AUTH_FAULT_H

#include "storage/s3_core.h"

#include "s3_error.h"
#include "s3_sigv4.h"

#pragma GCC visibility push(hidden)

/*
 * A reason, with the part of a that it is about, of a presigned URL or of an
 * Authorization header.
 */

void s3_auth_fault(s3_fault_t *f, int presigned, const s3_sigv4_auth_t *a,
                   s3_sigv4_reason_t reason);

/* A scope for another region; the fault points at want. */

void
s3_auth_fault_region(s3_fault_t *f, int presigned, s3_str_t got, s3_str_t want);

/* A scope of another day than the signature's. */

void
s3_auth_fault_day(s3_fault_t *f, int presigned, s3_str_t got, s3_str_t want);

/*
 * How error documents write a time, and what was signed: both return what
 * they wrote to dst, which for the bytes has room for 3 * s.len.
 *
 *     2013-05-24T00:00:00Z     41 57 53 34
 */

#define S3_AUTH_TIME_LEN 20

s3_str_t s3_auth_fault_time(uint8_t dst[S3_AUTH_TIME_LEN], int64_t sec);
s3_str_t s3_auth_fault_bytes(uint8_t *dst, s3_str_t s);

#pragma GCC visibility pop

#endif /* S3_AUTH_FAULT_H */
