/*
 * The read that a lookup or an iterator waits for.
 */

#include <stdlib.h>

#include "s3_source.h"


void
s3_block_release(s3_block_t *block)
{
    free(block->buf);
    memset(block, 0, sizeof(s3_block_t));
}


int
s3_block_room(s3_block_t *block, size_t len)
{
    uint8_t *buf;

    if (block->room >= len) {
        return S3_OK;
    }

    /* what the old one holds is not wanted any more: no realloc() */

    buf = malloc(len);
    if (buf == NULL) {
        return S3_ENOMEM;
    }

    free(block->buf);
    block->buf = buf;
    block->room = len;

    return S3_OK;
}


void
s3_block_read(s3_fs_t *fs, s3_block_t *block)
{
    block->have =
        fs->pread(fs, block->file, block->buf, block->len, block->off);
}
