#include "s3_payload.h"

#pragma GCC visibility push(hidden)


static int
s3_payload_is_hash(s3_str_t s)
{
    size_t i;
    uint8_t c, bad;

    if (s.len != 64) {
        return 0;
    }

    /* without a branch, for compilers to take many digits at once */

    for (i = 0, bad = 0; i < 64; i++) {
        c = s.data[i];
        bad |= (uint8_t) ((uint8_t) (c - '0') > 9)
               & (uint8_t) ((uint8_t) ((c | 0x20) - 'a') > 5);
    }

    return !bad;
}


s3_err_t
s3_payload_parse(s3_fault_t *f, s3_str_t value, s3_payload_t *payload)
{
    if (s3_payload_is_hash(value)) {
        *payload = S3_PAYLOAD_SIGNED;
        return S3_ERR_NONE;
    }

    if (s3_str_eq(value, s3_string("UNSIGNED-PAYLOAD"))) {
        *payload = S3_PAYLOAD_UNSIGNED;
        return S3_ERR_NONE;
    }

    if (s3_str_eq(value, s3_string("STREAMING-UNSIGNED-PAYLOAD-TRAILER"))) {
        *payload = S3_PAYLOAD_UNSIGNED_TRAILER;
        return S3_ERR_NONE;
    }

    if (s3_str_eq(value, s3_string("STREAMING-AWS4-HMAC-SHA256-PAYLOAD"))) {
        *payload = S3_PAYLOAD_CHUNKED;
        return S3_ERR_NONE;
    }

    if (s3_str_eq(value,
                  s3_string("STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"))) {
        *payload = S3_PAYLOAD_CHUNKED_TRAILER;
        return S3_ERR_NONE;
    }

    if (s3_str_eq(value, s3_string("STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"))
        || s3_str_eq(
            value,
            s3_string("STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER")))
    {
        return s3_faultf(f, S3_ERR_NOT_IMPLEMENTED,
                         "The chunk encoding algorithm %.*s is not supported.",
                         (int) value.len, (const char *) value.data);
    }

    return s3_fault_arg(
        f,
        "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, "
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER, "
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD, "
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER, "
        "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD, "
        "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER or a valid sha256 "
        "value.",
        "x-amz-content-sha256", value);
}


int
s3_payload_length(s3_str_t value, uint64_t *length)
{
    size_t i;
    uint64_t n;

    *length = 0;

    for (i = 0, n = 0; i < value.len; i++) {
        if (value.data[i] < '0' || value.data[i] > '9'
            || n > UINT64_MAX / 10 - 1) {
            return S3_EINVAL;
        }

        n = n * 10 + (uint64_t) (value.data[i] - '0');
    }

    if (value.len == 0) {
        return S3_EINVAL;
    }

    *length = n;

    return S3_OK;
}

#pragma GCC visibility pop
