/*
 * Blobs that no record lists: what a crash between the blob's end and the
 * record's leaves.  A filter (Bloom, 1970) holds the ids of all blobs that are
 * listed; what it does not know, and is old, is a leak.  It may take a leak for
 * a blob that is listed, never the other way round.
 *
 * Ids are random: their bytes are the hash.
 */

#ifndef S3_LEAKS_H
#define S3_LEAKS_H

#include "storage/s3_core.h"

#pragma GCC visibility push(hidden)


#define S3_LEAKS_HASHES 5

typedef struct {
    uint64_t *words;
    unsigned log2; /* bits: 1 << log2 */
} s3_known_t;


static inline uint64_t
s3_known_bit(const s3_known_t *k, const uint8_t id[16], unsigned i)
{
    return (s3_get64(id) + i * (s3_get64(id + 8) | 1))
           & (((uint64_t) 1 << k->log2) - 1);
}

static inline void
s3_known_add(s3_known_t *k, const uint8_t id[16])
{
    unsigned i;
    uint64_t bit;

    for (i = 0; i < S3_LEAKS_HASHES; i++) {
        bit = s3_known_bit(k, id, i);
        k->words[bit / 64] |= (uint64_t) 1 << bit % 64;
    }
}

static inline int
s3_known_has(const s3_known_t *k, const uint8_t id[16])
{
    unsigned i;
    uint64_t bit;

    for (i = 0; i < S3_LEAKS_HASHES; i++) {
        bit = s3_known_bit(k, id, i);

        if (!(k->words[bit / 64] >> bit % 64 & 1)) {
            return 0;
        }
    }

    return 1;
}

#pragma GCC visibility pop

#endif /* S3_LEAKS_H */
