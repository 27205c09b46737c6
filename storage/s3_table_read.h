/*
 * What lookup and iterator of tables share; for s3_table*.c, and
 * for s3ctl, which checks block by block.
 */

#ifndef S3_TABLE_READ_H
#define S3_TABLE_READ_H

#include "storage/s3_table.h"

#pragma GCC visibility push(hidden)


/* The separator of block i; i == blocks: the greatest ikey of the table. */

static inline s3_str_t
s3_table_separator(const s3_table_t *table, uint32_t i)
{
    const uint8_t *p = table->index + table->starts[i];

    return s3_str(p + S3_TABLE_HANDLE, s3_get16(p + 8) & (S3_TABLE_SAME - 1));
}

/* Does block i begin with the key that the block before it ends with? */

static inline int
s3_table_continues(const s3_table_t *table, uint32_t i)
{
    return (s3_get16(table->index + table->starts[i] + 8) & S3_TABLE_SAME) != 0;
}

/* The block where the first entry not less than ikey is; or it is the first
 * of the block after it.  from: a block that is probably near, 0: unknown. */
uint32_t s3_table_locate(const s3_table_t *table, s3_str_t ikey, uint32_t from);

/* Checks the bytes against the index and opens them. */
int s3_table_verify(const s3_table_t *table, const uint8_t *data,
                    uint32_t number, s3_table_block_t *view);

#pragma GCC visibility pop

#endif /* S3_TABLE_READ_H */
