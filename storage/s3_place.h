/*
 * Placement: key -> slot -> ordered drives.
 *
 *   (bucket & ~3, key up to its first NUL) --XXH3-64, seeded--> slot 0..4095
 *   slot --rendezvous hashing--> order of all n drives
 *
 * The mask and the NUL rule put an object, its multipart uploads and their
 * parts into one slot.  The table is a pure function of n and the seed: it is
 * computed at start and never stored.  Rendezvous hashing (Thaler and
 * Ravishankar, 1998): each drive draws a number for the slot, the greatest
 * comes first; a drive that is added later moves only what it wins.
 */

#ifndef S3_PLACE_H
#define S3_PLACE_H

#include "storage/s3_core.h"
#include "storage/s3_entry.h"

#pragma GCC visibility push(hidden)


#define S3_SLOTS 4096

typedef struct {
    uint64_t seed;
    unsigned n;
    uint8_t order[S3_SLOTS][S3_MAX_DRIVES];
} s3_place_t;


/* n in 1..S3_MAX_DRIVES. */
void s3_place_init(s3_place_t *place, unsigned n, uint64_t seed);

unsigned s3_place_slot(const s3_place_t *place, uint64_t bucket, s3_str_t key);

/*
 * A drive's rank in the slot's order restricted to `mask`, which is its shard
 * index where mask is that of a reference or D_v; -1 where it is not in there.
 * And the other way round.  A slot out of range gives -1, too.
 */

int s3_place_rank(const s3_place_t *place, unsigned slot, uint32_t mask,
                  unsigned drive);
int s3_place_drive(const s3_place_t *place, unsigned slot, uint32_t mask,
                   unsigned rank);

/* The first `count` drives of `mask` in the slot's order, as a mask. */
uint32_t s3_place_first(const s3_place_t *place, unsigned slot, uint32_t mask,
                        unsigned count);

#pragma GCC visibility pop

#endif /* S3_PLACE_H */
