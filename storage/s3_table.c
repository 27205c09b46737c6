/*
 * Tables being read: opening, and the lookup of one key.
 */

#include <stdio.h>
#include <stdlib.h>
#include "storage/s3_xxh3.h"

#include "s3_table.h"
#include "s3_table_read.h"
#include "s3_bloom.h"

/* tables that this process has opened; any thread may open one */
static uint64_t s3_table_opened;


void
s3_table_path(char path[S3_TABLE_PATH], uint32_t id)
{
    (void) snprintf(path, S3_TABLE_PATH, S3_TABLE_DIR "/%08x.tab", id);
}


int
s3_table_unlink(s3_fs_t *fs, uint32_t id)
{
    char path[S3_TABLE_PATH];

    s3_table_path(path, id);

    return fs->unlink(fs, path);
}


void
s3_table_release(s3_table_t *table)
{
    if (table == NULL || --table->refs) {
        return;
    }

    if (table->file) {
        table->fs->close(table->fs, table->file);
    }

    free(table->index);
    free(table->starts);
    free(table);
}


static int
s3_table_pread(s3_table_t *table, void *buf, size_t len, uint64_t off)
{
    ssize_t n = table->fs->pread(table->fs, table->file, buf, len, off);

    if (n < 0) {
        return (int) n;
    }

    return (size_t) n == len ? S3_OK : S3_ECORRUPT;
}


/* The footer's lengths and checksums are proved by its own. */

static int
s3_table_footer(s3_table_t *table, uint8_t *p)
{
    s3_table_stats_t *st = &table->stats;
    uint64_t index, bloom, rest;
    int rc;

    if (st->bytes < S3_TABLE_FOOTER) {
        return S3_ECORRUPT;
    }

    rc = s3_table_pread(table, p, S3_TABLE_FOOTER, st->bytes - S3_TABLE_FOOTER);
    if (rc != S3_OK) {
        return rc;
    }

    if (s3_get64(p) != S3_TABLE_MAGIC || s3_get32(p + 12) != st->id
        || s3_get64(p + 72) != XXH3_64bits_withSeed(p, 72, st->id))
    {
        return S3_ECORRUPT;
    }

    if (s3_get32(p + 8) != S3_TABLE_VERSION) {
        return S3_EVERSION;
    }

    st->blocks = s3_get32(p + 16);
    st->entries = s3_get64(p + 24);
    st->keys = s3_get64(p + 32);
    index = s3_get64(p + 40);
    bloom = s3_get64(p + 48);

    rest = (uint64_t) st->blocks * S3_TABLE_BLOCK + S3_TABLE_FOOTER;

    if (s3_get32(p + 20) != 0 || st->blocks == 0 || st->bytes <= rest
        || index > UINT32_MAX || bloom < S3_BLOOM_LINE || bloom % S3_BLOOM_LINE
        || bloom > st->bytes - rest || index != st->bytes - rest - bloom)
    {
        return S3_ECORRUPT;
    }

    table->bloom_size = (size_t) bloom;

    return S3_OK;
}


/* Finds where each handle begins; all of the section must be used up. */

static int
s3_table_handles(s3_table_t *table, size_t len)
{
    size_t at = 0, sep;
    uint32_t i, n = table->stats.blocks;
    uint8_t *p;

    for (i = 0; i <= n; i++) {
        if (len - at < S3_TABLE_HANDLE) {
            return S3_ECORRUPT;
        }

        p = table->index + at;
        sep = s3_get16(p + 8) & (S3_TABLE_SAME - 1);

        if (sep > len - at - S3_TABLE_HANDLE || sep > S3_TABLE_IKEY || sep == 0
            || (sep < 8 && (i == 0 || i == n)))
        {
            return S3_ECORRUPT;
        }

        table->starts[i] = (uint32_t) at;
        at += S3_TABLE_HANDLE + sep;
    }

    return at == len ? S3_OK : S3_ECORRUPT;
}


static int
s3_table_load(s3_table_t *table)
{
    uint8_t footer[S3_TABLE_FOOTER];
    s3_table_stats_t *st = &table->stats;
    s3_str_t ikey;
    uint64_t off;
    size_t len, both;
    int rc;

    rc = table->fs->size(table->fs, table->file, &st->bytes);

    if (rc == S3_OK) {
        rc = s3_table_footer(table, footer);
    }

    if (rc != S3_OK) {
        return rc;
    }

    off = (uint64_t) st->blocks * S3_TABLE_BLOCK;
    both = (size_t) (st->bytes - off - S3_TABLE_FOOTER);
    len = both - table->bloom_size;

    if (len / (S3_TABLE_HANDLE + 1) <= st->blocks) {
        return S3_ECORRUPT;
    }

    table->index = malloc(both);
    table->starts = malloc(((size_t) st->blocks + 1) * sizeof(uint32_t));

    if (table->index == NULL || table->starts == NULL) {
        return S3_ENOMEM;
    }

    table->bloom = table->index + len;

    rc = s3_table_pread(table, table->index, both, off);
    if (rc != S3_OK) {
        return rc;
    }

    if (XXH3_64bits(table->index, len) != s3_get64(footer + 56)
        || XXH3_64bits(table->bloom, table->bloom_size)
               != s3_get64(footer + 64))
    {
        return S3_ECORRUPT;
    }

    rc = s3_table_handles(table, len);
    if (rc != S3_OK) {
        return rc;
    }

    ikey = s3_table_separator(table, 0);
    table->min_bucket = s3_table_ikey_bucket(ikey.data);
    table->min_key = s3_str(ikey.data + 8, ikey.len - 8);

    ikey = s3_table_separator(table, st->blocks);
    table->max_bucket = s3_table_ikey_bucket(ikey.data);
    table->max_key = s3_str(ikey.data + 8, ikey.len - 8);

    return S3_OK;
}


int
s3_table_open(s3_fs_t *fs, uint32_t id, s3_table_t **table)
{
    char path[S3_TABLE_PATH];
    s3_table_t *t;
    int rc;

    t = calloc(1, sizeof(s3_table_t));
    if (t == NULL) {
        return S3_ENOMEM;
    }

    t->refs = 1;
    t->serial = __atomic_add_fetch(&s3_table_opened, 1, __ATOMIC_RELAXED);
    t->fs = fs;
    t->stats.id = id;

    s3_table_path(path, id);
    rc = fs->open(fs, path, S3_O_READ, &t->file);

    if (rc != S3_OK) {
        t->file = NULL;

    } else {
        rc = s3_table_load(t);
    }

    if (rc != S3_OK) {
        s3_table_release(t);
        return rc;
    }

    *table = t;

    return S3_OK;
}


int
s3_table_broken(s3_fs_t *fs, uint32_t id, s3_table_t **table)
{
    s3_table_t *t;

    t = calloc(1, sizeof(s3_table_t));
    if (t == NULL) {
        return S3_ENOMEM;
    }

    t->refs = 1;
    t->broken = 1;
    t->serial = __atomic_add_fetch(&s3_table_opened, 1, __ATOMIC_RELAXED);
    t->fs = fs;
    t->stats.id = id;
    *table = t;

    return S3_OK;
}


/*
 * Does block i begin before ikey, or with its first entry?  One that begins
 * with a later entry of it is not the place.
 */

static int
s3_table_begins(const s3_table_t *table, uint32_t i, s3_str_t ikey)
{
    int cmp = s3_str_cmp(s3_table_separator(table, i), ikey);

    return cmp < 0 || (cmp == 0 && !s3_table_continues(table, i));
}


uint32_t
s3_table_locate(const s3_table_t *table, s3_str_t ikey, uint32_t from)
{
    uint32_t low = 0, high = table->stats.blocks, mid, step;

    /* what is not far behind `from` is found without the cold middle */

    if (from && from < high && s3_table_begins(table, from, ikey)) {
        low = from;

        for (step = 1; step < high - low; step *= 2) {
            if (!s3_table_begins(table, low + step, ikey)) {
                high = low + step;
                break;
            }

            low += step;
        }
    }

    /* the last block that begins so; block 0 where there is none */

    while (high - low > 1) {
        mid = low + (high - low) / 2;

        if (s3_table_begins(table, mid, ikey)) {
            low = mid;

        } else {
            high = mid;
        }
    }

    return low;
}


int
s3_table_verify(const s3_table_t *table, const uint8_t *data, uint32_t number,
                s3_table_block_t *view)
{
    const uint8_t *handle = table->index + table->starts[number];

    if (XXH3_64bits(data, S3_TABLE_BLOCK) != s3_get64(handle)) {
        return S3_ECORRUPT;
    }

    return s3_table_block_open(view, data, table->stats.id, number);
}


/* Asks for the bytes of block->next, to come into block->buf. */

static int
s3_table_get_wait(s3_table_t *table, s3_block_t *block)
{
    if (s3_block_room(block, S3_TABLE_BLOCK) != S3_OK) {
        return S3_ENOMEM;
    }

    block->file = table->file;
    block->off = (uint64_t) block->next * S3_TABLE_BLOCK;
    block->len = S3_TABLE_BLOCK;
    block->have = 0;
    block->waiting = 1;

    return S3_AGAIN;
}


/* They came; the cache gets a copy. */

static int
s3_table_get_came(s3_table_t *table, s3_block_t *block, s3_table_block_t *view)
{
    uint8_t *room;
    int rc;

    block->waiting = 0;

    if (block->have < 0) {
        return (int) block->have;
    }

    if (block->have < S3_TABLE_BLOCK) {
        return S3_ECORRUPT;
    }

    rc = s3_table_verify(table, block->buf, block->next, view);

    if (rc == S3_OK && block->cache) {
        room = s3_cache_room(block->cache, table->serial, block->next);
        memcpy(room, block->buf, S3_TABLE_BLOCK);
        s3_cache_keep(block->cache, room, table->serial, block->next);
    }

    return rc;
}


/* Has block->next in view, from the cache or by a read; or S3_AGAIN. */

static int
s3_table_get_view(s3_table_t *table, s3_loop_t *loop, s3_block_t *block,
                  s3_table_block_t *view)
{
    uint64_t off = (uint64_t) block->next * S3_TABLE_BLOCK;
    const uint8_t *data;
    uint8_t *room;
    ssize_t n;
    int rc;

    if (block->waiting) {
        return s3_table_get_came(table, block, view);
    }

    if (block->cache) {
        data = s3_cache_find(block->cache, table->serial, block->next);

        if (data) {
            return s3_table_block_open(view, data, table->stats.id,
                                       block->next);
        }

        room = s3_cache_room(block->cache, table->serial, block->next);

    } else {
        if (s3_block_room(block, S3_TABLE_BLOCK) != S3_OK) {
            return S3_ENOMEM;
        }

        room = block->buf;
    }

    if (loop == NULL) {
        return s3_table_get_wait(table, block);
    }

    n = loop->read_now(loop, table->file, room, S3_TABLE_BLOCK, off);

    if (n < 0 && n != S3_AGAIN) {
        return (int) n;
    }

    if (n != S3_TABLE_BLOCK) {
        return s3_table_get_wait(table, block);
    }

    rc = s3_table_verify(table, room, block->next, view);

    if (rc == S3_OK && block->cache) {
        s3_cache_keep(block->cache, room, table->serial, block->next);
    }

    return rc;
}


/* Reports what the block has of ikey.  S3_AGAIN: it may go on in the next. */

static int
s3_table_get_report(s3_table_block_t *view, s3_block_t *block, s3_str_t ikey,
                    s3_table_found_pt found, void *ctx)
{
    s3_table_item_t item;
    s3_entry_t e;
    int i, rc;

    i = s3_table_block_seek(view, ikey);
    if (i < 0) {
        return i;
    }

    /* a separator is short: ikey may come before all that the block has */

    if (view->prefix.len > ikey.len
        || memcmp(view->prefix.data, ikey.data, view->prefix.len) != 0)
    {
        return S3_OK;
    }

    ikey.data += view->prefix.len;
    ikey.len -= view->prefix.len;

    for (/* void */; i < (int) view->n; i++) {
        rc = s3_table_block_item(view, (uint32_t) i, &item);
        if (rc != S3_OK) {
            return rc;
        }

        if (!s3_str_eq(item.suffix, ikey)) {
            return S3_OK;
        }

        if (s3_entry_decode(item.entry.data, item.entry.len, &e)
            != (ssize_t) item.entry.len)
        {
            return S3_ECORRUPT;
        }

        block->hit = 1;

        rc = found(ctx, &e);
        if (rc != 0) {
            return rc;
        }
    }

    return S3_OK;
}


int
s3_table_get(s3_table_t *table, s3_loop_t *loop, uint64_t bucket, s3_str_t key,
             uint64_t hash, s3_block_t *block, s3_table_found_pt found,
             void *ctx)
{
    uint8_t buf[S3_TABLE_IKEY];
    s3_table_block_t view;
    s3_str_t ikey;
    int rc;

    if (key.len > S3_MAX_KEY) {
        return S3_EINVAL;
    }

    if (table->broken) {
        return S3_ECORRUPT;
    }

    if (!block->waiting) {
        if (!s3_bloom_maybe(table->bloom, table->bloom_size, hash)
            || s3_key_cmp(bucket, key, table->min_bucket, table->min_key) < 0
            || s3_key_cmp(bucket, key, table->max_bucket, table->max_key) > 0)
        {
            return S3_ENOENT;
        }
    }

    ikey = s3_table_ikey(buf, bucket, key);

    if (!block->waiting) {
        block->next = s3_table_locate(table, ikey, 0);
        block->hit = 0;
    }

    for (;;) {
        rc = s3_table_get_view(table, loop, block, &view);

        if (rc == S3_OK) {
            rc = s3_table_get_report(&view, block, ikey, found, ctx);
        }

        if (rc != S3_OK) {
            return rc;
        }

        /* only the index knows whether the key goes on behind the block */

        if (!block->hit || ++block->next >= table->stats.blocks
            || !s3_table_continues(table, block->next)
            || !s3_str_eq(s3_table_separator(table, block->next), ikey))
        {
            break;
        }
    }

    return block->hit ? S3_OK : S3_ENOENT;
}
