/*
 * Records in their stored form; s3_record.h has the layout.
 */

#include "storage/s3_xxh3.h"

#include "storage/s3_record.h"

#pragma GCC visibility push(hidden)


#define S3_RECORD_MAGIC 0x63723373 /* "s3rc" */
#define S3_RECORD_HASH 16
#define S3_RECORD_CHECK 76 /* offset of the header's own check */


size_t
s3_record_size(const s3_record_t *r)
{
    size_t size;

    if (r->key.len > S3_MAX_KEY || r->meta.len > S3_MAX_META
        || r->refs.len > (size_t) S3_MAX_REFS * S3_REF_SIZE
        || r->refs.len % S3_REF_SIZE || r->data.len > S3_MAX_DATA
        || r->entry.extra_len > S3_MAX_EXTRA)
    {
        return 0;
    }

    size = S3_RECORD_HEADER + s3_entry_size(&r->entry) + r->key.len
           + r->refs.len + r->meta.len + r->data.len;

    return s3_align(size, (size_t) 8);
}


static uint8_t *
s3_record_put(uint8_t *p, s3_str_t s)
{
    if (s.len) {
        memcpy(p, s.data, s.len);
    }

    return p + s.len;
}


static uint32_t
s3_record_check(const uint8_t *p, uint64_t nonce)
{
    return (uint32_t) XXH3_64bits_withSeed(
        p + S3_RECORD_HASH, S3_RECORD_CHECK - S3_RECORD_HASH, nonce);
}


static void
s3_record_hash(const uint8_t *p, size_t size, uint64_t nonce,
               uint8_t out[S3_RECORD_HASH])
{
    XXH128_hash_t h;

    h = XXH3_128bits_withSeed(p + S3_RECORD_HASH, size - S3_RECORD_HASH, nonce);

    s3_put64(out, h.low64);
    s3_put64(out + 8, h.high64);
}


int
s3_record_encode(uint8_t *p, size_t len, const s3_record_t *r, uint64_t nonce)
{
    size_t size, entry_len;
    uint8_t *q;

    size = s3_record_size(r);

    /* refuses here what decoding would refuse later */
    if (size == 0 || size > len || r->conditional > 1
        || !s3_entry_valid(&r->entry)) {
        return S3_EINVAL;
    }

    q = p + S3_RECORD_HEADER;
    entry_len = s3_entry_size(&r->entry);
    s3_entry_encode(q, &r->entry);
    s3_entry_unplace(q);

    q = s3_record_put(q + entry_len, r->key);
    q = s3_record_put(q, r->refs);
    q = s3_record_put(q, r->meta);
    q = s3_record_put(q, r->data);
    memset(q, 0, (size_t) (p + size - q));

    s3_put32(p + 16, S3_RECORD_MAGIC);
    s3_put32(p + 20, (uint32_t) size);
    s3_put64(p + 24, r->bucket);
    s3_put32(p + 32, r->generation);
    s3_put32(p + 36, r->epoch);
    s3_put_version(p + 40, &r->expects);
    s3_put16(p + 60, (uint16_t) r->key.len);
    p[62] = (uint8_t) entry_len;
    p[63] = r->conditional;
    s3_put32(p + 64, (uint32_t) r->refs.len);
    s3_put32(p + 68, (uint32_t) r->meta.len);
    s3_put32(p + 72, (uint32_t) r->data.len);
    s3_put32(p + S3_RECORD_CHECK, s3_record_check(p, nonce));
    s3_record_hash(p, size, nonce, p);

    return S3_OK;
}


size_t
s3_record_peek_length(const uint8_t *p, size_t len, uint64_t nonce)
{
    size_t size;

    if (len < S3_RECORD_HEADER || s3_get32(p + 16) != S3_RECORD_MAGIC
        || s3_get32(p + S3_RECORD_CHECK) != s3_record_check(p, nonce))
    {
        return 0;
    }

    size = s3_get32(p + 20);

    if (size < S3_RECORD_HEADER || size > S3_RECORD_MAX || size % 8) {
        return 0;
    }

    return size;
}


static s3_str_t
s3_record_take(const uint8_t **p, size_t len)
{
    s3_str_t s = {len, *p};

    *p += len;

    return s;
}


int
s3_record_decode(const uint8_t *p, size_t len, uint64_t nonce, s3_record_t *out)
{
    size_t size, entry_len, key_len, refs_len, meta_len, data_len;
    uint8_t hash[S3_RECORD_HASH];
    const uint8_t *q;

    size = s3_record_peek_length(p, len, nonce);

    if (size == 0 || size > len) {
        return S3_ECORRUPT;
    }

    s3_record_hash(p, size, nonce, hash);

    if (memcmp(hash, p, S3_RECORD_HASH) != 0 && !s3_break(NO_RECORD_SUM)) {
        return S3_ECORRUPT;
    }

    memset(out, 0, sizeof(*out));

    out->bucket = s3_get64(p + 24);
    out->generation = s3_get32(p + 32);
    out->epoch = s3_get32(p + 36);
    out->expects = s3_get_version(p + 40);
    key_len = s3_get16(p + 60);
    entry_len = p[62];
    out->conditional = p[63];
    refs_len = s3_get32(p + 64);
    meta_len = s3_get32(p + 68);
    data_len = s3_get32(p + 72);

    /* each is bounded before they are added up */
    if (key_len > S3_MAX_KEY || meta_len > S3_MAX_META || data_len > S3_MAX_DATA
        || refs_len % S3_REF_SIZE
        || refs_len > (size_t) S3_MAX_REFS * S3_REF_SIZE || out->conditional > 1
        || s3_align(S3_RECORD_HEADER + entry_len + key_len + refs_len + meta_len
                        + data_len,
                    (size_t) 8)
               != size)
    {
        return S3_ECORRUPT;
    }

    q = p + S3_RECORD_HEADER;

    if (s3_entry_decode(q, entry_len, &out->entry) != (ssize_t) entry_len) {
        return S3_ECORRUPT;
    }

    q += entry_len;
    out->key = s3_record_take(&q, key_len);
    out->refs = s3_record_take(&q, refs_len);
    out->meta = s3_record_take(&q, meta_len);
    out->data = s3_record_take(&q, data_len);

    out->entry.segment = 0;
    out->entry.offset = 0;
    out->entry.length = (uint32_t) size;

    return S3_OK;
}

#pragma GCC visibility pop
