/*
 * A source: entries in the order of the index, one after another.
 *
 * Order: bucket id, key (byte order), version, newest first.  A source may
 * hold one version twice (the newer addition comes first); the merge sorts
 * that out.  Tables (s3_table.h), memtables and tests implement it; the merge
 * (s3_merge.h) consumes it.
 *
 * After seek(), next() or resume() returned S3_OK the fields below are the
 * current entry, valid until the next of those calls.  Other results:
 *
 *   S3_DONE      nothing more; the fields mean nothing
 *   S3_AGAIN     a block must be read first: do what `block` says (see
 *                s3_block_t), then call resume(), which finishes the seek() or
 *                next() that could not.  Only sources on the loop do this.
 *   S3_ECORRUPT, S3_EIO, S3_ENOMEM   final until the next seek()
 */

#ifndef S3_SOURCE_H
#define S3_SOURCE_H

#include "storage/s3_core.h"
#include "storage/s3_io.h"
#include "storage/s3_entry.h"
#include "storage/s3_cache.h"

#pragma GCC visibility push(hidden)


typedef struct s3_source_s s3_source_t;


/*
 * A read that somebody waits for.  Who gets S3_AGAIN reads [off, off + len)
 * of `file` into `buf` (buffered, in a task; any alignment), sets `have` to
 * the number of bytes or to the negative code, and calls again.  Fewer bytes
 * than `len` are fine where at least one block came.  The reading side neither
 * looks at anything else nor frees anything.
 *
 * Start with all zero; s3_block_release() frees the buffer, any time no read
 * is under way.  One s3_block_t serves one lookup or iterator at a time and
 * may be used for the next one after it.
 */

typedef struct {
    s3_file_t *file;
    uint64_t off;
    size_t len;
    uint8_t *buf;
    ssize_t have;

    s3_cache_t *cache; /* for lookups, or NULL */

    /* of the table code */
    size_t room;          /* bytes at buf */
    uint32_t next;        /* lookup: block that is waited for */
    unsigned waiting : 1; /* a read was asked for */
    unsigned hit : 1;     /* lookup: found() was called */
} s3_block_t;

void s3_block_release(s3_block_t *block);

/* At least so many bytes at buf, whose content is lost; S3_ENOMEM. */
int s3_block_room(s3_block_t *block, size_t len);

/* The read itself, for a task: blocking. */
void s3_block_read(s3_fs_t *fs, s3_block_t *block);


typedef struct {
    /* the first entry with (bucket, key) or after it */
    int (*seek)(s3_source_t *src, uint64_t bucket, s3_str_t key);
    int (*next)(s3_source_t *src);
    int (*resume)(s3_source_t *src);
} s3_source_ops_t;

struct s3_source_s {
    const s3_source_ops_t *ops;

    uint64_t bucket;
    s3_str_t key;
    const uint8_t *raw; /* encoded entry */
    size_t raw_len;
    unsigned same : 1; /* certain: same bucket and key as the entry before */

    s3_block_t *block; /* after S3_AGAIN; NULL where that never happens */
};


/*
 * Order of keys in the index.  Neighbours in it mostly begin alike for some ten
 * bytes: too little for a call of memcmp(), so words are compared as numbers.
 */

static inline uint64_t
s3_key_word(const uint8_t *p)
{
    return __builtin_bswap64(s3_get64(p));
}

static inline int
s3_key_cmp(uint64_t bucket_a, s3_str_t a, uint64_t bucket_b, s3_str_t b)
{
    size_t i, n = s3_min(a.len, b.len);
    uint64_t x, y;

    if (bucket_a != bucket_b) {
        return bucket_a < bucket_b ? -1 : 1;
    }

    for (i = 0; i + 8 <= n; i += 8) {
        x = s3_key_word(a.data + i);
        y = s3_key_word(b.data + i);

        if (x != y) {
            return x < y ? -1 : 1;
        }
    }

    for (/* void */; i < n; i++) {
        if (a.data[i] != b.data[i]) {
            return a.data[i] < b.data[i] ? -1 : 1;
        }
    }

    return (a.len > b.len) - (a.len < b.len);
}

#pragma GCC visibility pop

#endif /* S3_SOURCE_H */
