/*
 * A blocked Bloom filter: "is this key possibly in that table?"
 *
 * The filter is a row of 64-byte lines.  A key's hash picks one line and
 * S3_BLOOM_PROBES bits in it, so a question costs one cache miss.  With 10 bits
 * a key about one answer in a hundred is a false "maybe"; a "no" is always
 * right.  (Putze, Sanders, Singler: Cache-, Hash- and Space-Efficient Bloom
 * Filters, 2007.)
 */

#ifndef S3_BLOOM_H
#define S3_BLOOM_H

#include "storage/s3_core.h"

#pragma GCC visibility push(hidden)


#define S3_BLOOM_LINE 64
#define S3_BLOOM_BITS 10  /* a key */
#define S3_BLOOM_PROBES 6 /* 9 bits of hash each */

/* XXH3-64 of the key, seeded with the bucket id: the same for all tables. */
uint64_t s3_bloom_hash(uint64_t bucket, s3_str_t key);

/* Bytes of a filter for so many keys: a multiple of S3_BLOOM_LINE, at least
 * one line.  More keys than that make it less selective, never wrong. */
size_t s3_bloom_size(uint64_t keys);

/* bits: s3_bloom_size() bytes, zeroed at first; size as there. */
void s3_bloom_add(uint8_t *bits, size_t size, uint64_t hash);
int s3_bloom_maybe(const uint8_t *bits, size_t size, uint64_t hash);

#pragma GCC visibility pop

#endif /* S3_BLOOM_H */
