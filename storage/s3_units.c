#include "storage/s3_units.h"

#include <stdlib.h>
#include <sys/mman.h>

#pragma GCC visibility push(hidden)


#define S3_UNITS_PER_SLAB (S3_UNITS_SLAB / S3_UNITS_SIZE)
#define S3_UNITS_ALL ((1u << S3_UNITS_PER_SLAB) - 1)
#define S3_UNITS_EMPTY 4 /* slabs that are kept whatever is in use */


struct s3_slab_s {
    uint8_t *mem;
    unsigned free; /* a bit for each unit */
};


/* More than is needed is mapped, so that an aligned slab lies in it. */

static uint8_t *
s3_units_map(void)
{
    size_t head;
    uint8_t *p;

    p = mmap(NULL, 2 * S3_UNITS_SLAB, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        return NULL;
    }

    head = (size_t) (-(uintptr_t) p & (S3_UNITS_SLAB - 1));

    if (head) {
        (void) munmap(p, head);
    }

    (void) munmap(p + head + S3_UNITS_SLAB, S3_UNITS_SLAB - head);

    /* a wish: small pages do, too */

#ifdef MADV_HUGEPAGE
    (void) madvise(p + head, S3_UNITS_SLAB, MADV_HUGEPAGE);
#endif

    return p + head;
}


static s3_slab_t *
s3_units_grow(s3_units_t *units)
{
    unsigned room;
    s3_slab_t *slab, **slabs;

    if (units->n == units->room) {
        room = units->room ? 2 * units->room : 16;

        slabs = realloc(units->slabs, room * sizeof(s3_slab_t *));
        if (slabs == NULL) {
            return NULL;
        }

        units->slabs = slabs;
        units->room = room;
    }

    slab = malloc(sizeof(s3_slab_t));
    if (slab == NULL) {
        return NULL;
    }

    slab->mem = s3_units_map();
    if (slab->mem == NULL) {
        free(slab);
        return NULL;
    }

    slab->free = S3_UNITS_ALL;
    units->slabs[units->n++] = slab;
    units->empty++;

    return slab;
}


void *
s3_units_get(s3_units_t *units)
{
    unsigned i, bit;
    s3_slab_t *slab = NULL;

    for (i = 0; i < units->n; i++) {
        if (units->slabs[i]->free) {
            slab = units->slabs[i];
            break;
        }
    }

    if (slab == NULL) {
        slab = s3_units_grow(units);
        if (slab == NULL) {
            return NULL;
        }
    }

    if (slab->free == S3_UNITS_ALL) {
        units->empty--;
        units->spare = s3_min(units->spare, units->empty);
    }

    bit = (unsigned) __builtin_ctz(slab->free);
    slab->free &= ~(1u << bit);

    return slab->mem + bit * S3_UNITS_SIZE;
}


static void
s3_units_drop(s3_units_t *units, unsigned i)
{
    (void) munmap(units->slabs[i]->mem, S3_UNITS_SLAB);
    free(units->slabs[i]);

    units->n--;
    memmove(units->slabs + i, units->slabs + i + 1,
            (units->n - i) * sizeof(s3_slab_t *));
    units->empty--;
}


void
s3_units_put(s3_units_t *units, void *unit)
{
    size_t at;
    unsigned i;
    s3_slab_t *slab;

    for (i = 0; i < units->n; i++) {
        slab = units->slabs[i];
        at = (size_t) ((uint8_t *) unit - slab->mem);

        if (at >= S3_UNITS_SLAB) {
            continue;
        }

        slab->free |= 1u << (at / S3_UNITS_SIZE);

        if (slab->free == S3_UNITS_ALL) {
            units->empty++;
        }

        return;
    }
}


/* Those that are used last go first. */

void
s3_units_trim(s3_units_t *units)
{
    unsigned i, n;

    if (++units->calls < S3_UNITS_QUIET) {
        return;
    }

    n = s3_min(units->spare, units->empty);
    n = n > S3_UNITS_EMPTY ? n - S3_UNITS_EMPTY : 0;

    for (i = units->n; i-- && n;) {
        if (units->slabs[i]->free == S3_UNITS_ALL) {
            s3_units_drop(units, i);
            n--;
        }
    }

    units->calls = 0;
    units->spare = units->empty;
}


void
s3_units_free(s3_units_t *units)
{
    while (units->n) {
        units->slabs[units->n - 1]->free = S3_UNITS_ALL;
        s3_units_drop(units, units->n - 1);
    }

    free(units->slabs);
    memset(units, 0, sizeof(*units));
}

#pragma GCC visibility pop
