/*
 * A cache of verified table blocks.
 */

#include "storage/s3_cache.h"
#include <stdlib.h>

#define S3_CACHE_BLOCKS (S3_CACHE_SETS * S3_CACHE_WAYS)


s3_cache_t *
s3_cache_create(void)
{
    s3_cache_t *cache;

    cache = calloc(1, sizeof(*cache));
    if (cache == NULL) {
        return NULL;
    }

    cache->blocks = malloc((size_t) S3_CACHE_BLOCKS * S3_TABLE_BLOCK);
    if (cache->blocks == NULL) {
        free(cache);
        return NULL;
    }

    return cache;
}


void
s3_cache_destroy(s3_cache_t *cache)
{
    if (cache) {
        free(cache->blocks);
        free(cache);
    }
}


static unsigned
s3_cache_set(uint64_t table, uint32_t block)
{
    uint64_t hash = (table << 32 ^ block) * 0x9e3779b97f4a7c15;

    return (unsigned) (hash >> 32) % S3_CACHE_SETS;
}


static uint8_t *
s3_cache_at(s3_cache_t *cache, unsigned set, unsigned way)
{
    return cache->blocks
           + (size_t) (set * S3_CACHE_WAYS + way) * S3_TABLE_BLOCK;
}


const uint8_t *
s3_cache_find(s3_cache_t *cache, uint64_t table, uint32_t block)
{
    unsigned way, set = s3_cache_set(table, block);

    for (way = 0; way < S3_CACHE_WAYS; way++) {
        if (cache->tags[set][way].block == block
            && cache->tags[set][way].table == table)
        {
            cache->tags[set][way].used = 1;
            return s3_cache_at(cache, set, way);
        }
    }

    return NULL;
}


uint8_t *
s3_cache_room(s3_cache_t *cache, uint64_t table, uint32_t block)
{
    unsigned i, way = 0, set = s3_cache_set(table, block);

    /* after a round that cleared all marks the first one gives way */
    for (i = 0; i <= S3_CACHE_WAYS; i++) {
        way = cache->hand++ % S3_CACHE_WAYS;

        if (!cache->tags[set][way].used) {
            break;
        }

        cache->tags[set][way].used = 0;
    }

    cache->tags[set][way].table = 0;

    return s3_cache_at(cache, set, way);
}


void
s3_cache_keep(s3_cache_t *cache, uint8_t *room, uint64_t table, uint32_t block)
{
    size_t i = (size_t) (room - cache->blocks) / S3_TABLE_BLOCK;
    unsigned set = (unsigned) (i / S3_CACHE_WAYS);
    unsigned way = (unsigned) (i % S3_CACHE_WAYS);

    cache->tags[set][way].table = table;
    cache->tags[set][way].block = block;
    cache->tags[set][way].used = 0;
}
