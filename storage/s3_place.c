#include "storage/s3_place.h"

#include "storage/s3_xxh3.h"


void
s3_place_init(s3_place_t *place, unsigned n, uint64_t seed)
{
    unsigned slot, i, j;
    uint64_t weight[S3_MAX_DRIVES], w;
    uint8_t *order, in[8];

    place->seed = seed;
    place->n = n;

    for (slot = 0; slot < S3_SLOTS; slot++) {
        order = place->order[slot];

        for (i = 0; i < n; i++) {
            s3_put32(in, slot);
            s3_put32(in + 4, i);
            w = XXH3_64bits_withSeed(in, sizeof(in), seed);

            /* insertion sort, greatest first; equal weights by number */

            for (j = i; j > 0 && weight[j - 1] < w; j--) {
                weight[j] = weight[j - 1];
                order[j] = order[j - 1];
            }

            weight[j] = w;
            order[j] = (uint8_t) i;
        }
    }
}


unsigned
s3_place_slot(const s3_place_t *place, uint64_t bucket, s3_str_t key)
{
    size_t len;
    uint8_t in[8 + S3_MAX_KEY];
    const uint8_t *nul;

    len = s3_min(key.len, (size_t) S3_MAX_KEY);

    if (len) {
        nul = memchr(key.data, 0, len);

        if (nul) {
            len = (size_t) (nul - key.data);
        }

        memcpy(in + 8, key.data, len);
    }

    s3_put64(in, bucket & ~(uint64_t) 3);

    return (unsigned) (XXH3_64bits_withSeed(in, 8 + len, place->seed)
                       % S3_SLOTS);
}


int
s3_place_rank(const s3_place_t *place, unsigned slot, uint32_t mask,
              unsigned drive)
{
    int rank;
    unsigned i;

    if (slot >= S3_SLOTS) {
        return -1;
    }

    rank = 0;

    for (i = 0; i < place->n; i++) {
        if (!(mask >> place->order[slot][i] & 1)) {
            continue;
        }

        if (place->order[slot][i] == drive) {
            return rank;
        }

        rank++;
    }

    return -1;
}


int
s3_place_drive(const s3_place_t *place, unsigned slot, uint32_t mask,
               unsigned rank)
{
    unsigned i;

    if (slot >= S3_SLOTS) {
        return -1;
    }

    for (i = 0; i < place->n; i++) {
        if (!(mask >> place->order[slot][i] & 1)) {
            continue;
        }

        if (rank-- == 0) {
            return place->order[slot][i];
        }
    }

    return -1;
}


uint32_t
s3_place_first(const s3_place_t *place, unsigned slot, uint32_t mask,
               unsigned count)
{
    unsigned i;
    uint32_t bit, first;

    first = 0;

    for (i = 0; i < place->n && count; i++) {
        bit = (uint32_t) 1 << place->order[slot][i];

        if (mask & bit) {
            first |= bit;
            count--;
        }
    }

    return first;
}
