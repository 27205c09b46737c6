/*
 * The inside of a table's block.
 *
 *   0        16           16 + 2n       16 + 2n + p
 *   ┌────────┬────────────┬─────────────┬────────┬───┬──────────┬───────┐
 *   │ header │ offsets[n] │ prefix[p]   │ item 0 │...│ item n-1 │ zeros │
 *   └────────┴────────────┴─────────────┴────────┴───┴──────────┴───────┘
 *
 *   header   magic 4 | table id 4 | block number 4 | n 2 | p 2
 *   item     suffix length 2 (top bit: same key as the item before it, be that
 *            in the block before) | entry length 2 | suffix | encoded entry
 *
 * A key is stored as its internal form, "ikey": the bucket id, 8 bytes
 * big-endian, then the key; the order of ikeys as bytes is the order of the
 * index.  What all ikeys of a block begin with is stored once; offsets make
 * binary search direct.  Integers are little-endian.
 *
 * Nothing here trusts the bytes: every access is checked against the block,
 * although the checksum in the table's index has been verified before.
 */

#ifndef S3_TABLE_BLOCK_H
#define S3_TABLE_BLOCK_H

#include "storage/s3_core.h"
#include "storage/s3_entry.h"

#pragma GCC visibility push(hidden)


#define S3_TABLE_BLOCK 4096
#define S3_TABLE_IKEY (S3_MAX_KEY + 8)
#define S3_TABLE_BLOCK_HEADER 16
#define S3_TABLE_ITEM_HEADER 4
#define S3_TABLE_BLOCK_MAGIC 0x6b4c4233 /* "3BLk" */
#define S3_TABLE_SAME 0x8000

/* No more items than this fit, for an entry is never smaller than that. */
#define S3_TABLE_ITEMS                        \
    ((S3_TABLE_BLOCK - S3_TABLE_BLOCK_HEADER) \
     / (S3_ENTRY_FIXED + S3_TABLE_ITEM_HEADER + 2))


typedef struct {
    const uint8_t *data; /* S3_TABLE_BLOCK bytes */
    uint32_t n;
    s3_str_t prefix;
} s3_table_block_t;

typedef struct {
    s3_str_t suffix;
    s3_str_t entry; /* encoded */
    unsigned same : 1;
} s3_table_item_t;


/* Takes the block apart; S3_ECORRUPT where it is not block `number` of table
 * `id` or does not hold together. */
int s3_table_block_open(s3_table_block_t *b, const uint8_t *data, uint32_t id,
                        uint32_t number);

/* Item i < n, or S3_ECORRUPT. */
int s3_table_block_item(const s3_table_block_t *b, uint32_t i,
                        s3_table_item_t *item);

/* The first item whose ikey is not less: 0..n, or S3_ECORRUPT. */
int s3_table_block_seek(const s3_table_block_t *b, s3_str_t ikey);


/* ikey of (bucket, key): S3_TABLE_IKEY bytes of room; the slice of them. */

static inline s3_str_t
s3_table_ikey(uint8_t *buf, uint64_t bucket, s3_str_t key)
{
    uint64_t be = __builtin_bswap64(bucket);

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
    be = bucket;
#endif

    memcpy(buf, &be, 8);

    if (key.len) {
        memcpy(buf + 8, key.data, key.len);
    }

    return s3_str(buf, 8 + key.len);
}

static inline uint64_t
s3_table_ikey_bucket(const uint8_t *ikey)
{
    uint64_t be;

    memcpy(&be, ikey, 8);

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
    return be;
#else
    return __builtin_bswap64(be);
#endif
}


/*
 * Builder of blocks, one after another.  About 270 KiB; zeroed at first.
 */

typedef struct {
    uint32_t n;
    uint32_t prefix;    /* bytes that all have in common */
    uint32_t key_bytes; /* sum of the ikeys' lengths */
    uint32_t entry_bytes;
    struct {
        uint32_t key; /* offsets in the two buffers */
        uint32_t entry;
        uint16_t key_len;
        uint16_t entry_len;
        uint8_t same;
    } items[S3_TABLE_ITEMS];
    uint8_t keys[S3_TABLE_ITEMS * S3_TABLE_IKEY];
    uint8_t entries[S3_TABLE_BLOCK];
} s3_table_builder_t;

/* 1: taken; 0: the block is full, seal it and add again.  `ikey` is not less
 * than the one before it; same: it is equal to it. */
int s3_table_builder_add(s3_table_builder_t *b, s3_str_t ikey,
                         const s3_entry_t *e, int same);

/* Writes S3_TABLE_BLOCK bytes and starts over. */
void s3_table_builder_seal(s3_table_builder_t *b, uint8_t *out, uint32_t id,
                           uint32_t number);

#pragma GCC visibility pop

#endif /* S3_TABLE_BLOCK_H */
