/*
 * A blocked Bloom filter.
 */

#include "storage/s3_xxh3.h"

#include "s3_bloom.h"


uint64_t
s3_bloom_hash(uint64_t bucket, s3_str_t key)
{
    return XXH3_64bits_withSeed(key.data, key.len, bucket);
}


size_t
s3_bloom_size(uint64_t keys)
{
    uint64_t lines, most = (SIZE_MAX / S3_BLOOM_LINE) / 2;

    if (keys > UINT64_MAX / (2 * S3_BLOOM_BITS)) {
        keys = UINT64_MAX / (2 * S3_BLOOM_BITS);
    }

    lines =
        (keys * S3_BLOOM_BITS + S3_BLOOM_LINE * 8 - 1) / (S3_BLOOM_LINE * 8);

    if (lines == 0) {
        lines = 1;
    }

    return (size_t) s3_min(lines, most) * S3_BLOOM_LINE;
}


/* The high bits choose the line, as if the hash were a fraction of 2^64; the
 * probes come from the hash mixed again, so that keys of one line differ. */

static size_t
s3_bloom_line(size_t size, uint64_t hash)
{
    size_t lines = size / S3_BLOOM_LINE;

    return (size_t) (((unsigned __int128) hash * lines) >> 64) * S3_BLOOM_LINE;
}


static uint64_t
s3_bloom_probes(uint64_t hash)
{
    hash ^= hash >> 32;
    hash *= 0x9e3779b97f4a7c15;

    return hash ^ hash >> 29;
}


void
s3_bloom_add(uint8_t *bits, size_t size, uint64_t hash)
{
    uint8_t *line = bits + s3_bloom_line(size, hash);
    uint64_t probes = s3_bloom_probes(hash);
    unsigned i, bit;

    for (i = 0; i < S3_BLOOM_PROBES; i++) {
        bit = probes & (S3_BLOOM_LINE * 8 - 1);
        line[bit / 8] = (uint8_t) (line[bit / 8] | 1 << bit % 8);
        probes >>= 9;
    }
}


int
s3_bloom_maybe(const uint8_t *bits, size_t size, uint64_t hash)
{
    const uint8_t *line = bits + s3_bloom_line(size, hash);
    uint64_t probes = s3_bloom_probes(hash);
    unsigned i, bit;

    for (i = 0; i < S3_BLOOM_PROBES; i++) {
        bit = probes & (S3_BLOOM_LINE * 8 - 1);

        if ((line[bit / 8] & 1 << bit % 8) == 0) {
            return 0;
        }

        probes >>= 9;
    }

    return 1;
}
