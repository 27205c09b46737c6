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
 * Slabs that are empty are kept for the next units, as many as are in use and
 * a few.  For one thread.
 */

#ifndef S3_UNITS_H
#define S3_UNITS_H

#include "storage/s3_core.h"

#pragma GCC visibility push(hidden)


#define S3_UNITS_SIZE ((size_t) 128 * 1024)
#define S3_UNITS_SLAB ((size_t) 2 * 1024 * 1024)

typedef struct s3_slab_s s3_slab_t;

typedef struct {
    s3_slab_t **slabs; /* by use of their units: the first are used first */
    unsigned n;
    unsigned room;
    unsigned empty; /* slabs without a unit in use */
} s3_units_t;

/* All zero is a pool without memory. */

/* NULL: no memory.  Content is undefined. */
void *s3_units_get(s3_units_t *units);

void s3_units_put(s3_units_t *units, void *unit);

/* No unit may be in use. */
void s3_units_free(s3_units_t *units);

#pragma GCC visibility pop

#endif /* S3_UNITS_H */
