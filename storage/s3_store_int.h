/*
 * What the files behind s3_store.h share: the store itself, counted buffers,
 * masks of drives.
 *
 * Every operation has memory of its own with a count of references: one of
 * its owner's, one for each request that a drive still has.  Requests outlive
 * operations (a straggler answers after the client has its answer), so nothing
 * here may point into a caller's structure after the callback ran.
 */

#ifndef S3_STORE_INT_H
#define S3_STORE_INT_H

#include "storage/s3_store.h"
#include "storage/s3_place.h"
#include "storage/s3_code.h"
#include "storage/s3_units.h"

#include <stdlib.h>

#pragma GCC visibility push(hidden)


typedef struct s3_heal_s s3_heal_t;
typedef struct s3_doubts_s s3_doubts_t;
typedef struct s3_recent_s s3_recent_t;


#define S3_SCRATCH_SIZE 8192
#define S3_SCRATCH_KEPT 64

struct s3_store_s {
    s3_store_conf_t conf;
    s3_loop_t *loop;
    unsigned n;
    unsigned w;   /* metadata quorum of a write */
    unsigned r;   /* answers that make a read certain: n - w + 1 */
    unsigned ask; /* at first: r, but two at the least where they are there:
                   * one alone may be an old copy of what it was */
    uint32_t all;
    unsigned turn; /* spreads listings over the drives */

    s3_place_t place;
    s3_code_t *code;
    s3_heal_t *heal;
    s3_doubts_t *doubts;
    s3_heal_stats_t stats;
    s3_recent_t *recent; /* may be NULL */

    s3_units_t units;
    void *scratch[S3_SCRATCH_KEPT];
    unsigned n_scratch;

    unsigned refs; /* the owner's, and one for each operation */
    unsigned closed : 1;
};

void s3_store_release(s3_store_t *store);

#define s3_bit(drive) ((uint32_t) 1 << (drive))
#define s3_count(mask) ((unsigned) __builtin_popcount(mask))

/* Next drive of a mask that is not 0. */
#define s3_lowest(mask) ((unsigned) __builtin_ctz(mask))

/* Who may be asked to vote (full drives still take tombstones).  A drive that
 * is being refilled is no voter: it is filled by PUSH and counts as away until
 * it has everything, since its empty answers would be mistaken for NO. */
uint32_t s3_store_voters(s3_store_t *store, int tombstone);

/* What it is called that there are too few of them: S3_ENOSPC where with those
 * that are full there are enough, else S3_EUNAVAIL. */
int s3_store_too_few(s3_store_t *store);

/* Whose answers count. */
uint32_t s3_store_counted(s3_store_t *store);

/* Who can be reached at all. */
uint32_t s3_store_reachable(s3_store_t *store);

/* Parity and data shards of a storage class with all drives up. */
unsigned s3_store_parity(s3_store_t *store, unsigned storage_class);

/* A version later than `seen`. */
s3_version_t s3_store_version(s3_store_t *store, const s3_version_t *seen);

uint64_t s3_store_random(s3_store_t *store, uint64_t below);


/* Memory of units: S3_SECTOR aligned; whole ones come from s3_units.h. */

void *s3_unit_alloc(s3_store_t *store, size_t size);
void s3_unit_free(s3_store_t *store, void *unit, size_t size);


/*
 * Memory of one step of a request, a few KiB that the next request needs again:
 * kept in the store, for malloc() splits and joins what is so large each time.
 * Not zeroed.  put: the size that get had.
 */
void *s3_scratch_get(s3_store_t *store, size_t size);
void s3_scratch_put(s3_store_t *store, void *p, size_t size);


/* As calloc(), which in glibc passes over the thread's own free chunks: for
 * what each request needs, of less than a KiB. */

static inline void *
s3_zalloc(size_t size)
{
    void *p;

    p = malloc(size);

    return p ? memset(p, 0, size) : NULL;
}


/* A counted buffer, S3_BUF_SPARE zero bytes after its content: it can be cut
 * into up to 32 equal shards in place. */

#define S3_BUF_SPARE 32

struct s3_buf_s {
    unsigned refs;
    size_t len;
    size_t cap;
    uint8_t data[];
};

s3_buf_t *s3_buf_create(size_t cap);
void s3_buf_release(s3_buf_t *buf);

static inline s3_buf_t *
s3_buf_ref(s3_buf_t *buf)
{
    if (buf) {
        buf->refs++;
    }

    return buf;
}


/* Geometry of coded data: S3_BLOB_PAYLOAD bytes of each of k shards make a
 * stripe; the last is divided evenly, so that all its units are as small as
 * the data. */

static inline uint64_t
s3_stripe_size(unsigned k)
{
    return (uint64_t) k * S3_BLOB_PAYLOAD;
}

/* Payload of each unit of a stripe with that much data. */

static inline size_t
s3_stripe_unit(unsigned k, uint64_t data)
{
    return (size_t) ((data + k - 1) / k);
}


/* Writer, as the put sees it. */

typedef struct {
    s3_buf_t *data;  /* small data, not yet cut */
    uint32_t alive;  /* drives of ref.mask that have all of their shard */
    unsigned m0 : 1; /* no parity: every drive is needed */
} s3_writer_result_t;

void s3_writer_result(s3_writer_t *w, s3_writer_result_t *result);
void s3_writer_pin(s3_writer_t *w);
void s3_writer_unpin(s3_writer_t *w, int listed);


/* Healing. */

/* Somebody has met a version in doubt: settled in the background if it is old,
 * where healing is on. */
void s3_heal_doubt(s3_store_t *store, uint64_t bucket, s3_str_t key,
                   const s3_version_t *version);
void s3_heal_destroy(s3_heal_t *heal);
void s3_doubts_destroy(s3_doubts_t *d);

/* Something is about to be noted for these drives (s3_drive_stats_t). */
void s3_pending_noted(s3_store_t *store, uint32_t targets);

/* What should be there is missing on these drives, or does not hold. */
void s3_store_damaged(s3_store_t *store, uint32_t drives);

#pragma GCC visibility pop

#endif /* S3_STORE_INT_H */
