/*
 * Strict base64 (RFC 4648, section 4): the standard alphabet, padded, no
 * line ends, unused bits zero.
 */

#ifndef S3_BASE64_H
#define S3_BASE64_H

#include "storage/s3_core.h"

#pragma GCC visibility push(hidden)

#define s3_base64_len(n) (((n) + 2) / 3 * 4)

/* Writes s3_base64_len(src.len) characters and returns that. */

size_t s3_base64_encode(uint8_t *dst, s3_str_t src);

/* Writes at most src.len / 4 * 3 bytes; their number, or S3_EINVAL. */

int64_t s3_base64_decode(uint8_t *dst, s3_str_t src);

#pragma GCC visibility pop

#endif /* S3_BASE64_H */
