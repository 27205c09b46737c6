/*
 * Memory of the simulated world, all of it given back at once.
 *
 * What a killed process had in memory is nobody's to free, and what one seed
 * leaves behind must not decide how the next one runs.  So malloc() and its
 * family are here, over one region at one address, with a free list for each
 * size; sim_memory_reset() makes the region, and the variables of the program,
 * what they were at sim_memory_mark().  Pages that were touched stay: a seed
 * costs no page faults but the first one's.
 *
 * The linker puts two more in the place of others (--wrap): the slabs of units
 * are mapped here, and tables of s3_place_init() are kept, for every start of a
 * process draws up the same.
 *
 * One thread at a time runs (a doomed one, while the other waits for it), so
 * that nothing is locked.  Built without SIM_MEMORY, as under AddressSanitizer,
 * nothing of this is there: malloc() is that of the system, and memory is given
 * back by the end of the child process.
 */

#include <errno.h>
#include <sys/mman.h>

#include "storage/s3_json.h"
#include "storage/s3_place.h"
#include "storage/s3_units.h"
#include "t/sim/s3_sim.h"


/* What libraries keep for good, outside of the program's memory: jansson is
 * told once whose malloc() to call. */

static void
tell_libraries(void)
{
    if (s3_json_begin(0) == S3_OK) {
        s3_json_end();
    }

    json_object_seed(1);
}


#ifndef SIM_MEMORY


void
sim_memory_mark(void)
{
    tell_libraries();
}


void
sim_memory_reset(void)
{
}

#else

#define REGION ((uint8_t *) 0x200000000000)
#define ROOM ((size_t) 16 << 30)
#define HEAD 16 /* before each block */
#define FINE 64 /* classes of 16 bytes each; then four for each doubling */
#define CLASSES (FINE + 4 * 26)
#define SLABS ((uint8_t *) 0x300000000000)
#define SLAB_MAX 4096
#define SLAB_STEP (2 * S3_UNITS_SLAB) /* as much is mapped, half is used */

extern char __data_start[], _end[];

typedef struct {
    uint32_t class;
    uint32_t shift; /* of an aligned one: how far it is from the block */
} head_t;

typedef struct free_s free_t;

struct free_s {
    free_t *next;
};

/* At the region's beginning: the program's variables are put back. */

typedef struct {
    free_t *free[CLASSES];
    size_t used;
    size_t dirty; /* the region is zero from here on */
    size_t marked;
    uint8_t *variables;
    s3_place_t places[S3_MAX_DRIVES + 1];
    uint8_t slabs[SLAB_MAX]; /* in use */
} memory_t;

static memory_t *mem;


static unsigned
class_of(size_t size)
{
    unsigned log2;

    if (size <= FINE * 16) {
        return size ? (unsigned) ((size - 1) / 16) : 0;
    }

    /* 1024 < size: a quarter of a power of two */

    size--;
    log2 = 63 - (unsigned) __builtin_clzll(size);

    return FINE + 4 * (log2 - 10) + (unsigned) (size >> (log2 - 2) & 3);
}


static size_t
class_size(unsigned class)
{
    if (class < FINE) {
        return 16 * ((size_t) class + 1);
    }

    class -= FINE;

    return ((size_t) 5 + class % 4) << (class / 4 + 8);
}


static head_t *
head_of(void *p)
{
    return (head_t *) ((uint8_t *) p - HEAD);
}


void *__real_mmap(void *at, size_t len, int prot, int flags, int fd, off_t off);
void *__wrap_mmap(void *at, size_t len, int prot, int flags, int fd, off_t off);
int __real_munmap(void *at, size_t len);
int __wrap_munmap(void *at, size_t len);
void __real_s3_place_init(s3_place_t *place, unsigned n, uint64_t seed);
void __wrap_s3_place_init(s3_place_t *place, unsigned n, uint64_t seed);


static void *
region(uint8_t *at, size_t len)
{
    void *p;

    p = __real_mmap(at, len, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
                        | MAP_FIXED_NOREPLACE,
                    -1, 0);

    if (p != at) {
        abort();
    }

    return p;
}


static void
map(void)
{
    mem = region(REGION, ROOM);
    mem->used = s3_align(sizeof(memory_t), (size_t) S3_SECTOR);
    mem->dirty = mem->used;
    (void) region(SLABS, SLAB_MAX * SLAB_STEP);
}


/* *fresh: it is all zeros. */

static void *
take(size_t size, int *fresh)
{
    void *p;
    free_t *f;
    size_t end;
    unsigned class;

    *fresh = 0;
    class = class_of(size);

    if (class >= CLASSES) {
        errno = ENOMEM;
        return NULL;
    }

    if (mem == NULL) {
        map();
    }

    f = mem->free[class];

    if (f) {
        mem->free[class] = f->next;
        return f;
    }

    end = mem->used + HEAD + class_size(class);

    if (end > ROOM) {
        errno = ENOMEM;
        return NULL;
    }

    p = REGION + mem->used + HEAD;
    *fresh = mem->used >= mem->dirty;
    mem->used = end;
    mem->dirty = s3_max(mem->dirty, end);
    *head_of(p) = (head_t){class, 0};

    return p;
}


void *
malloc(size_t size)
{
    int fresh;

    return take(size, &fresh);
}


void *
calloc(size_t n, size_t size)
{
    int fresh;
    void *p;
    size_t len;

    if (__builtin_mul_overflow(n, size, &len)) {
        errno = ENOMEM;
        return NULL;
    }

    p = take(len, &fresh);

    if (p && !fresh) {
        memset(p, 0, len);
    }

    return p;
}


/* What was there at the mark stays as it is. */

void
free(void *p)
{
    free_t *f;
    unsigned class;

    if (p == NULL || (size_t) ((uint8_t *) p - REGION) < mem->marked) {
        return;
    }

    class = head_of(p)->class;
    f = (free_t *) ((uint8_t *) p - head_of(p)->shift);
    head_of(f)->class = class;
    head_of(f)->shift = 0;
    f->next = mem->free[class];
    mem->free[class] = f;
}


void *
realloc(void *p, size_t size)
{
    void *q;
    size_t room;

    if (p == NULL) {
        return malloc(size);
    }

    room = class_size(head_of(p)->class) - head_of(p)->shift;

    if (size <= room && size > room / 2) {
        return p;
    }

    q = malloc(size);

    if (q) {
        memcpy(q, p, s3_min(room, size));
        free(p);
    }

    return q;
}


void *
aligned_alloc(size_t align, size_t size)
{
    int fresh;
    uint8_t *p, *q;

    p = take(align > HEAD ? size + align : size, &fresh);

    if (p == NULL || align <= HEAD) {
        return p;
    }

    q = (uint8_t *) s3_align((uintptr_t) p, (uintptr_t) align);
    *head_of(q) = (head_t){head_of(p)->class, (uint32_t) (q - p)};

    return q;
}


void *
memalign(size_t align, size_t size)
{
    return aligned_alloc(align, size);
}


int
posix_memalign(void **p, size_t align, size_t size)
{
    *p = aligned_alloc(align, size);

    return *p ? 0 : ENOMEM;
}


size_t
malloc_usable_size(void *p)
{
    return p ? class_size(head_of(p)->class) - head_of(p)->shift : 0;
}


void *
__wrap_mmap(void *at, size_t len, int prot, int flags, int fd, off_t off)
{
    unsigned i;

    if (len != SLAB_STEP || flags != (MAP_PRIVATE | MAP_ANONYMOUS)) {
        return __real_mmap(at, len, prot, flags, fd, off);
    }

    for (i = 0; i < SLAB_MAX && mem->slabs[i]; i++) {
        /* void */
    }

    if (i == SLAB_MAX) {
        errno = ENOMEM;
        return MAP_FAILED;
    }

    mem->slabs[i] = 1;

    return SLABS + i * SLAB_STEP;
}


int
__wrap_munmap(void *at, size_t len)
{
    size_t off = (size_t) ((uint8_t *) at - SLABS);

    if (off >= SLAB_MAX * SLAB_STEP) {
        return __real_munmap(at, len);
    }

    /* not the half beside it, which nobody uses */

    if (off % SLAB_STEP == 0) {
        mem->slabs[off / SLAB_STEP] = 0;
    }

    return 0;
}


void
__wrap_s3_place_init(s3_place_t *place, unsigned n, uint64_t seed)
{
    s3_place_t *kept = &mem->places[n];

    if (kept->n != n || kept->seed != seed) {
        __real_s3_place_init(kept, n, seed);
    }

    *place = *kept;
}


void
sim_memory_mark(void)
{
    size_t len = (size_t) (_end - __data_start);

    tell_libraries();
    mem->variables = malloc(len);
    memset(mem->free, 0, sizeof(mem->free));
    mem->marked = mem->used;
    memcpy(mem->variables, __data_start, len);
}


void
sim_memory_reset(void)
{
    memset(mem->free, 0, sizeof(mem->free));
    memset(mem->slabs, 0, sizeof(mem->slabs));
    mem->used = mem->marked;
    memcpy(__data_start, mem->variables, (size_t) (_end - __data_start));
}

#endif
