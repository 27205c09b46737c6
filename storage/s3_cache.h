/*
 * A small cache of verified table blocks, of one drive in one process.
 *
 * A request reads its bucket's record before its own key, a DELETE asks for the
 * key and then votes, neighbours follow each other: the same few blocks, which
 * would be copied from the page cache and hashed each time.
 *
 *   set = hash of (table, block)      way 0   way 1   way 2   way 3
 *                                   ┌───────┬───────┬───────┬───────┐
 *   4 ways; one that was not used   │ block │ block │ block │ block │
 *   since the last search gives way └───────┴───────┴───────┴───────┘
 *
 * Only look-ups of single keys use it: a listing would wash it out.  Tables
 * are told apart by the number that each gets when it is opened, which no
 * other of this process has had.  Not thread safe: for the loop alone.
 */

#ifndef S3_CACHE_H
#define S3_CACHE_H

#include "storage/s3_core.h"
#include "storage/s3_table_block.h"

#pragma GCC visibility push(hidden)


#define S3_CACHE_SETS 64
#define S3_CACHE_WAYS 4

typedef struct s3_cache_s s3_cache_t;

struct s3_cache_s {
    uint8_t *blocks; /* S3_CACHE_SETS * S3_CACHE_WAYS of them */
    struct {
        uint64_t table; /* 0: nothing here */
        uint32_t block;
        uint32_t used;
    } tags[S3_CACHE_SETS][S3_CACHE_WAYS];
    unsigned hand;
};


/* 1 MiB, of which only what is used takes memory; NULL: out of memory. */
s3_cache_t *s3_cache_create(void);
void s3_cache_destroy(s3_cache_t *cache); /* NULL is fine */

/* S3_TABLE_BLOCK bytes, valid until the next room(); NULL: not here. */
const uint8_t *s3_cache_find(s3_cache_t *cache, uint64_t table, uint32_t block);

/* Room for a block, which nobody finds until it is kept: read into it, verify,
 * then keep.  What was there is gone. */
uint8_t *s3_cache_room(s3_cache_t *cache, uint64_t table, uint32_t block);
void
s3_cache_keep(s3_cache_t *cache, uint8_t *room, uint64_t table, uint32_t block);

#pragma GCC visibility pop

#endif /* S3_CACHE_H */
