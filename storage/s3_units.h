/*
 * Memory of units: pieces of 128 KiB out of slabs of 2 MiB.
 *
 *     slab  │ unit │ unit │ ... 16 of them │   aligned to its own size
 *
 * A slab is what a processor maps with one entry, where the kernel has such a
 * page to give.  For direct I/O the kernel looks up, references and releases
 * each page of a buffer, and makes a segment of each run of pages: with small
 * pages that is half of what a write costs.
 *
 * Slabs that are empty are kept for the next units, for a page of 2 MiB has to
 * be cleared each time the kernel gives one.  s3_units_trim(), called once a
 * second, gives back what nobody has needed for S3_UNITS_QUIET calls, but for
 * a few.  For one thread.
 */

#ifndef S3_UNITS_H
#define S3_UNITS_H

#include "storage/s3_core.h"

#pragma GCC visibility push(hidden)


#define S3_UNITS_SIZE ((size_t) 128 * 1024)
#define S3_UNITS_SLAB ((size_t) 2 * 1024 * 1024)
#define S3_UNITS_QUIET 16

typedef struct s3_slab_s s3_slab_t;

typedef struct {
    s3_slab_t **slabs; /* by use of their units: the first are used first */
    unsigned n;
    unsigned room;
    unsigned empty; /* slabs without a unit in use */
    unsigned spare; /* the fewest of them since some was given back */
    unsigned calls; /* of s3_units_trim() since then */
} s3_units_t;

/* All zero is a pool without memory. */

/* NULL: no memory.  Content is undefined. */
void *s3_units_get(s3_units_t *units);

void s3_units_put(s3_units_t *units, void *unit);

void s3_units_trim(s3_units_t *units);

/* No unit may be in use. */
void s3_units_free(s3_units_t *units);

#pragma GCC visibility pop

#endif /* S3_UNITS_H */
