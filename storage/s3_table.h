/*
 * Immutable sorted tables: <drive>/index/%08x.tab
 *
 *   0                                              bytes
 *   ┌─────────┬─────────┬───┬─────────┬───────┬───────┬────────┐
 *   │ block 0 │ block 1 │...│ block n │ index │ bloom │ footer │
 *   └─────────┴─────────┴───┴─────────┴───────┴───────┴────────┘
 *      4 KiB     4 KiB          4 KiB   first key and XXH3-64 of each block
 *
 * Block i lies at i * S3_TABLE_BLOCK: one page, for a look-up wants one
 * entry and pays for all bytes that it reads and hashes.  Index
 * and filter are held in memory while the table is open; every block is
 * verified against the checksum in the index when it has been read, so that
 * neither a flipped bit nor a block of another time or place passes.
 * s3_table_block.h has the inside of a block.
 *
 * index   for each block: XXH3-64 of the block 8 | length 2 (top bit: the
 *         block's first key is also the last of the block before) | separator;
 *         then once more with a hash of zero: the greatest ikey of all.
 *         A separator is as short as tells the block's first ikey from the
 *         last one of the block before; that of block 0 is its first ikey.
 * bloom   s3_bloom.h
 * footer  magic 8 | version 4 | id 4 | blocks 4 | 0 4 | entries 8 | keys 8 |
 *         length of the index 8 | of the bloom 8 | XXH3-64 of the index 8 |
 *         of the bloom 8 | XXH3-64 of all that, seeded with the id 8
 *
 * A table is written by one task, synced, named in the MANIFEST, and never
 * changed.  Blocking calls (s3_fs_t) are for tasks and for the start; lookups
 * and iterators on the loop never block: they return S3_AGAIN (s3_source.h).
 */

#ifndef S3_TABLE_H
#define S3_TABLE_H

#include "storage/s3_core.h"
#include "storage/s3_io.h"
#include "storage/s3_entry.h"
#include "storage/s3_source.h"
#include "storage/s3_table_block.h"

#pragma GCC visibility push(hidden)


#define S3_TABLE_VERSION 2
#define S3_TABLE_MAGIC 0x316c626174307333 /* "3s0tabl1" */
#define S3_TABLE_FOOTER 80
#define S3_TABLE_HANDLE 10 /* bytes before a separator */
#define S3_TABLE_DIR "index"
#define S3_TABLE_PATH 32  /* room for a path and its NUL */
#define S3_TABLE_AHEAD 32 /* blocks, at most, that an iterator reads at once */

/* "index/0000002a.tab" */
void s3_table_path(char path[S3_TABLE_PATH], uint32_t id);


/* What is known of a table without its blocks. */

typedef struct {
    uint32_t id;
    uint64_t bytes; /* of the file */
    uint64_t entries;
    uint64_t keys;
    uint32_t blocks;
} s3_table_stats_t;


/*
 * Writer.  In one task; memory: the sparse index (about 60 bytes a block), the
 * filter (10 bits a key of `estimate`) and 256 KiB.
 *
 * estimate  how many keys will come: an upper bound; with more of them than
 *           that the filter answers "maybe" more often, nothing worse
 */

typedef struct s3_table_writer_s s3_table_writer_t;

int s3_table_writer_create(s3_fs_t *fs, uint32_t id, uint64_t estimate,
                           s3_table_writer_t **writer);

/* In order; S3_EINVAL where key or version is out of order (the same version
 * twice, too) or out of bounds.  After any error only abort() makes sense. */
int s3_table_writer_add(s3_table_writer_t *w, uint64_t bucket, s3_str_t key,
                        const s3_entry_t *e);

/* Makes it durable (file and directory) and frees the writer, on success and
 * on error (the file is removed then).  Without a single entry there is no
 * file either: S3_OK and stats->entries == 0. */
int s3_table_writer_finish(s3_table_writer_t *w, s3_table_stats_t *stats);

/* Removes the file, frees the writer. */
void s3_table_writer_abort(s3_table_writer_t *w);


/*
 * A table being read.  Immutable once it is open, but for `refs`, which are
 * the loop's alone: whoever keeps a table across a turn of the loop, or gives
 * it to a task, holds it meanwhile.  `stats` to `max_key` may be read by anyone.
 */

typedef struct s3_table_s s3_table_t;

struct s3_table_s {
    s3_table_stats_t stats;
    unsigned refs;       /* 1 after open */
    unsigned broken : 1; /* by s3_table_broken() */

    uint64_t min_bucket;
    s3_str_t min_key;
    uint64_t max_bucket;
    s3_str_t max_key;

    /* of the table code */
    uint64_t serial; /* of no other table that this process has opened */
    s3_fs_t *fs;
    s3_file_t *file;
    uint8_t *index;   /* index section and filter, verified */
    uint32_t *starts; /* where the handle of block i begins in it */
    uint8_t *bloom;   /* in the same memory */
    size_t bloom_size;
};

/* Blocking.  S3_ENOENT, S3_ECORRUPT, S3_EVERSION, S3_ENOMEM, S3_EIO.  fs must
 * outlive the table. */
int s3_table_open(s3_fs_t *fs, uint32_t id, s3_table_t **table);

/*
 * In the place of one that cannot be opened for it is damaged, or gone: every
 * lookup and every iterator gives S3_ECORRUPT, for any key might be in it.
 */
int s3_table_broken(s3_fs_t *fs, uint32_t id, s3_table_t **table);

static inline s3_table_t *
s3_table_hold(s3_table_t *table)
{
    table->refs++;
    return table;
}

/* The last one closes the file (which may be unlinked already: what was read
 * through it stays readable) and frees the table.  NULL is fine. */
void s3_table_release(s3_table_t *table);

/* Blocking: removes the file of a table that no MANIFEST names any more. */
int s3_table_unlink(s3_fs_t *fs, uint32_t id);


/*
 * Lookup: every entry of (bucket, key) in this table, newest first, through
 * `found` (a non-zero return ends the lookup and is returned).
 *
 * hash   s3_bloom_hash(bucket, key), computed once for all tables
 * loop   tries read_now() first; NULL: S3_AGAIN for every block
 * block  the lookup's; all zero or used before, but for block->cache
 *
 * S3_OK       found() was called for all of them
 * S3_ENOENT   none here; mostly without a read
 * S3_AGAIN    read what `block` says, then call again with the same arguments:
 *             found() is not repeated for entries it has seen
 * S3_ECORRUPT, S3_EIO, S3_ENOMEM   what found() has seen means nothing: the
 *             drive is silent about this key
 *
 * To give up after S3_AGAIN set block->waiting = 0.  The loop must hold the
 * table as long.
 */

typedef int (*s3_table_found_pt)(void *ctx, const s3_entry_t *e);

int s3_table_get(s3_table_t *table, s3_loop_t *loop, uint64_t bucket,
                 s3_str_t key, uint64_t hash, s3_block_t *block,
                 s3_table_found_pt found, void *ctx);


/*
 * Iterator: a source over one table.  Exactly one of loop and fs is given:
 *
 *   loop  read_now() is tried, then S3_AGAIN
 *   fs    blocking reads, never S3_AGAIN: for tasks and for the start
 *
 * Reads grow from one block to S3_TABLE_AHEAD blocks while next() goes on and
 * start small again after a seek() to somewhere else, unless the caller has
 * said what it expects.  Begin with seek();
 * seek(0, empty key) is the beginning.  The caller holds the table.
 */

typedef struct {
    s3_source_t source; /* first */
    s3_table_t *table;
    s3_loop_t *loop;
    s3_fs_t *fs;
    s3_block_t block;

    uint32_t first; /* blocks [first, first + loaded) are in block.buf */
    uint32_t loaded;
    uint32_t ahead;  /* size of the last read, or of the next, in blocks */
    uint32_t expect; /* s3_table_iter_expect(): what has not come of it */
    uint32_t within;
    uint32_t start; /* block of the last seek() */
    const unsigned *have;
    unsigned goal;
    uint32_t current; /* number of the block in view, while valid */
    uint32_t item;    /* in it */
    uint32_t want;    /* number of the block to enter */
    s3_table_block_t view;
    int rc;               /* of the last call */
    unsigned valid : 1;   /* view is verified and open */
    unsigned seeking : 1; /* find the target in the block, not its beginning */
    uint32_t target_len;
    uint8_t target[S3_TABLE_IKEY];
    uint8_t ikey[S3_TABLE_IKEY];
} s3_table_iter_t;

void s3_table_iter_init(s3_table_iter_t *it, s3_table_t *table, s3_loop_t *loop,
                        s3_fs_t *fs);
void s3_table_iter_done(s3_table_iter_t *it); /* frees the buffer */

/*
 * What the caller of seek() is about to want, so that it need not grow: about
 * so many blocks, of keys that begin as the target does, with its bucket and
 * `prefix` more bytes; the target is in block `first`, or near it.  If that was
 * too little, more is read by how many of `goal` items it has: *have, which
 * stays where it is.  Nothing but the number of reads and their size depends
 * on any of this.
 */
void s3_table_iter_expect(s3_table_iter_t *it, uint32_t first, uint32_t blocks,
                          size_t prefix, const unsigned *have, unsigned goal);

#pragma GCC visibility pop

#endif /* S3_TABLE_H */
