#include "s3_base64.h"

#pragma GCC visibility push(hidden)

static const char s3_base64_chars[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";


size_t
s3_base64_encode(uint8_t *dst, s3_str_t src)
{
    size_t i;
    uint32_t v;
    uint8_t *p;

    p = dst;

    for (i = 0; i < src.len; i += 3) {
        v = (uint32_t) src.data[i] << 16;

        if (i + 1 < src.len) {
            v |= (uint32_t) src.data[i + 1] << 8;
        }

        if (i + 2 < src.len) {
            v |= src.data[i + 2];
        }

        *p++ = (uint8_t) s3_base64_chars[v >> 18];
        *p++ = (uint8_t) s3_base64_chars[v >> 12 & 63];
        *p++ = i + 1 < src.len ? (uint8_t) s3_base64_chars[v >> 6 & 63] : '=';
        *p++ = i + 2 < src.len ? (uint8_t) s3_base64_chars[v & 63] : '=';
    }

    return (size_t) (p - dst);
}


static int
s3_base64_value(uint8_t c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }

    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }

    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }

    return c == '+' ? 62 : c == '/' ? 63 : -1;
}


int64_t
s3_base64_decode(uint8_t *dst, s3_str_t src)
{
    int d;
    size_t i, j, pad;
    uint32_t v;
    uint8_t *p;

    if (src.len % 4) {
        return S3_EINVAL;
    }

    p = dst;
    pad = 0;

    for (i = 0; i < src.len; i += 4) {
        v = 0;

        if (i + 4 == src.len && src.data[i + 3] == '=') {
            pad = src.data[i + 2] == '=' ? 2 : 1;
        }

        for (j = 0; j < 4 - pad; j++) {
            d = s3_base64_value(src.data[i + j]);

            if (d < 0) {
                return S3_EINVAL;
            }

            v |= (uint32_t) d << (18 - 6 * j);
        }

        if ((pad == 1 && (v & 0xff)) || (pad == 2 && (v & 0xffff))) {
            return S3_EINVAL;
        }

        for (j = 0; j < 3 - pad; j++) {
            *p++ = (uint8_t) (v >> (16 - 8 * j));
        }
    }

    return p - dst;
}

#pragma GCC visibility pop
