#include "s3_checksum.h"

#include "s3_crc.h"
#include "s3_hash.h"

#pragma GCC visibility push(hidden)

#define S3_CHECKSUM_ROW(n, low, size, sup, full, comp)                     \
    {                                                                      \
        .name = s3_string(n), .header = s3_string("x-amz-checksum-" low),  \
        .element = s3_string("Checksum" n), .len = size, .supported = sup, \
        .full_object = full, .composite = comp                             \
    }


static const s3_checksum_info_t s3_checksum_infos[S3_CHECKSUM_LAST] = {
    [S3_CHECKSUM_CRC32] = S3_CHECKSUM_ROW("CRC32", "crc32", 4, 1, 1, 1),
    [S3_CHECKSUM_CRC32C] = S3_CHECKSUM_ROW("CRC32C", "crc32c", 4, 1, 1, 1),
    [S3_CHECKSUM_CRC64NVME] =
        S3_CHECKSUM_ROW("CRC64NVME", "crc64nvme", 8, 1, 1, 0),
    [S3_CHECKSUM_SHA1] = S3_CHECKSUM_ROW("SHA1", "sha1", 20, 1, 0, 1),
    [S3_CHECKSUM_SHA256] = S3_CHECKSUM_ROW("SHA256", "sha256", 32, 1, 0, 1),
    [S3_CHECKSUM_SHA512] = S3_CHECKSUM_ROW("SHA512", "sha512", 64, 0, 0, 1),
    [S3_CHECKSUM_MD5] = S3_CHECKSUM_ROW("MD5", "md5", 16, 0, 0, 1),
    [S3_CHECKSUM_XXHASH64] =
        S3_CHECKSUM_ROW("XXHASH64", "xxhash64", 8, 0, 0, 1),
    [S3_CHECKSUM_XXHASH3] = S3_CHECKSUM_ROW("XXHASH3", "xxhash3", 8, 0, 0, 1),
    [S3_CHECKSUM_XXHASH128] =
        S3_CHECKSUM_ROW("XXHASH128", "xxhash128", 16, 0, 0, 1),
};


const s3_checksum_info_t *
s3_checksum_info(s3_checksum_alg_t alg)
{
    unsigned i;

    i = (unsigned) alg;

    return &s3_checksum_infos[i < S3_CHECKSUM_LAST ? i : 0];
}


s3_checksum_alg_t
s3_checksum_by_name(s3_str_t name)
{
    int i;

    for (i = 1; i < S3_CHECKSUM_LAST; i++) {
        if (s3_str_caseeq(s3_checksum_infos[i].name, name)) {
            return (s3_checksum_alg_t) i;
        }
    }

    return S3_CHECKSUM_NONE;
}


s3_checksum_alg_t
s3_checksum_by_header(s3_str_t header)
{
    int i;

    for (i = 1; i < S3_CHECKSUM_LAST; i++) {
        if (s3_str_caseeq(s3_checksum_infos[i].header, header)) {
            return (s3_checksum_alg_t) i;
        }
    }

    return S3_CHECKSUM_NONE;
}


static const EVP_MD *
s3_checksum_md(s3_checksum_alg_t alg)
{
    switch (alg) {

    case S3_CHECKSUM_SHA1:
        return s3_hash_sha1();

    case S3_CHECKSUM_SHA256:
        return s3_hash_sha256();

    case S3_CHECKSUM_MD5:
        return s3_hash_md5();

    default:
        return NULL;
    }
}


int
s3_checksum_init(s3_checksum_t *c, s3_checksum_alg_t alg)
{
    const EVP_MD *md;

    c->alg = S3_CHECKSUM_NONE;
    c->crc = 0;
    c->ctx = NULL;

    switch (alg) {

    case S3_CHECKSUM_CRC32:
    case S3_CHECKSUM_CRC32C:
    case S3_CHECKSUM_CRC64NVME:
        break;

    case S3_CHECKSUM_SHA1:
    case S3_CHECKSUM_SHA256:
    case S3_CHECKSUM_MD5:
        md = s3_checksum_md(alg);
        c->ctx = md ? EVP_MD_CTX_new() : NULL;

        if (c->ctx == NULL || EVP_DigestInit_ex2(c->ctx, md, NULL) != 1) {
            s3_checksum_free(c);
            return S3_ENOMEM;
        }

        break;

    default:
        return S3_EINVAL;
    }

    c->alg = alg;

    return S3_OK;
}


int
s3_checksum_update(s3_checksum_t *c, s3_str_t data)
{
    if (data.len == 0) {
        return S3_OK;
    }

    switch (c->alg) {

    case S3_CHECKSUM_CRC32:
        c->crc = s3_crc32((uint32_t) c->crc, data);
        return S3_OK;

    case S3_CHECKSUM_CRC32C:
        c->crc = s3_crc32c((uint32_t) c->crc, data);
        return S3_OK;

    case S3_CHECKSUM_CRC64NVME:
        c->crc = s3_crc64nvme(c->crc, data);
        return S3_OK;

    default:
        break;
    }

    if (c->ctx == NULL) {
        return S3_EINVAL;
    }

    return EVP_DigestUpdate(c->ctx, data.data, data.len) == 1 ? S3_OK
                                                              : S3_ENOMEM;
}


static void
s3_checksum_put_be(uint8_t *p, uint64_t v, size_t len)
{
    while (len--) {
        p[len] = (uint8_t) v;
        v >>= 8;
    }
}


static uint64_t
s3_checksum_get_be(const uint8_t *p, size_t len)
{
    size_t i;
    uint64_t v;

    for (i = 0, v = 0; i < len; i++) {
        v = v << 8 | p[i];
    }

    return v;
}


int
s3_checksum_final(s3_checksum_t *c, uint8_t out[S3_CHECKSUM_MAX])
{
    size_t len;

    len = s3_checksum_info(c->alg)->len;

    if (len == 0) {
        return S3_EINVAL;
    }

    if (c->ctx == NULL) {
        s3_checksum_put_be(out, c->crc, len);

    } else if (EVP_DigestFinal_ex(c->ctx, out, NULL) != 1) {
        return S3_ENOMEM;
    }

    return (int) len;
}


void
s3_checksum_free(s3_checksum_t *c)
{
    EVP_MD_CTX_free(c->ctx);
    c->ctx = NULL;
    c->alg = S3_CHECKSUM_NONE;
}


int
s3_checksum_combine(s3_checksum_alg_t alg, uint8_t *out, const uint8_t *a,
                    const uint8_t *b, uint64_t b_len)
{
    size_t len;
    uint64_t x, y;

    len = s3_checksum_info(alg)->len;
    x = s3_checksum_get_be(a, s3_min(len, (size_t) 8));
    y = s3_checksum_get_be(b, s3_min(len, (size_t) 8));

    switch (alg) {

    case S3_CHECKSUM_CRC32:
        x = s3_crc32_combine((uint32_t) x, (uint32_t) y, b_len);
        break;

    case S3_CHECKSUM_CRC32C:
        x = s3_crc32c_combine((uint32_t) x, (uint32_t) y, b_len);
        break;

    case S3_CHECKSUM_CRC64NVME:
        x = s3_crc64nvme_combine(x, y, b_len);
        break;

    default:
        return S3_EINVAL;
    }

    s3_checksum_put_be(out, x, len);

    return S3_OK;
}


int
s3_checksum_parse(s3_checksum_alg_t alg, s3_str_t value,
                  uint8_t out[S3_CHECKSUM_MAX], uint32_t *parts)
{
    size_t len, n, i;
    uint32_t count;
    uint8_t buf[s3_base64_len(S3_CHECKSUM_MAX)];
    const uint8_t *tail;

    len = s3_checksum_info(alg)->len;
    n = s3_base64_len(len);

    if (len == 0 || value.len < n) {
        return S3_EINVAL;
    }

    tail = value.data + n;
    count = 0;

    if (value.len > n) {
        if (parts == NULL || tail[0] != '-' || value.len - n < 2
            || value.len - n > 6 || tail[1] == '0')
        {
            return S3_EINVAL;
        }

        for (i = 1; i < value.len - n; i++) {
            if (tail[i] < '0' || tail[i] > '9') {
                return S3_EINVAL;
            }

            count = count * 10 + (uint32_t) (tail[i] - '0');
        }
    }

    if (s3_base64_decode(buf, s3_str(value.data, n)) != (int64_t) len) {
        return S3_EINVAL;
    }

    memcpy(out, buf, len);

    if (parts != NULL) {
        *parts = count;
    }

    return S3_OK;
}


size_t
s3_checksum_value(uint8_t *dst, s3_checksum_alg_t alg, const uint8_t *digest,
                  uint32_t parts)
{
    size_t n;
    uint32_t v;
    uint8_t *p, digits[10], *d;

    n = s3_base64_encode(dst, s3_str(digest, s3_checksum_info(alg)->len));

    if (parts == 0) {
        return n;
    }

    p = dst + n;
    *p++ = '-';
    d = digits;

    for (v = parts; v; v /= 10) {
        *d++ = (uint8_t) ('0' + v % 10);
    }

    while (d > digits) {
        *p++ = *--d;
    }

    return (size_t) (p - dst);
}


int
s3_checksum_parts_init(s3_checksum_parts_t *p, s3_checksum_alg_t alg,
                       s3_checksum_type_t type)
{
    const s3_checksum_info_t *info;

    memset(p, 0, sizeof(*p));

    info = s3_checksum_info(alg);

    if (!info->supported || (type == S3_CHECKSUM_COMPOSITE && !info->composite)
        || (type == S3_CHECKSUM_FULL_OBJECT && !info->full_object)
        || type == S3_CHECKSUM_TYPE_NONE)
    {
        return S3_EINVAL;
    }

    p->alg = alg;
    p->type = type;

    return type == S3_CHECKSUM_COMPOSITE ? s3_checksum_init(&p->hash, alg)
                                         : S3_OK;
}


int
s3_checksum_parts_add(s3_checksum_parts_t *p, const uint8_t *digest,
                      uint64_t part_len)
{
    p->parts++;

    if (p->type == S3_CHECKSUM_COMPOSITE) {
        return s3_checksum_update(
            &p->hash, s3_str(digest, s3_checksum_info(p->alg)->len));
    }

    return s3_checksum_combine(p->alg, p->full, p->full, digest, part_len);
}


int
s3_checksum_parts_final(s3_checksum_parts_t *p, uint8_t out[S3_CHECKSUM_MAX])
{
    size_t len;

    if (p->type == S3_CHECKSUM_COMPOSITE) {
        return s3_checksum_final(&p->hash, out);
    }

    len = s3_checksum_info(p->alg)->len;

    if (len == 0) {
        return S3_EINVAL;
    }

    memcpy(out, p->full, len);

    return (int) len;
}


void
s3_checksum_parts_free(s3_checksum_parts_t *p)
{
    s3_checksum_free(&p->hash);
}

#pragma GCC visibility pop
