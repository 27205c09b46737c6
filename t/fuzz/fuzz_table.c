/*
 * Tables from the outside.  First byte: how.
 *
 *   0  the bytes are a block, its checksum is made right: taken apart, sought
 *   1  the bytes are a file: opened
 *   2  the bytes patch a good table, footer and checksums made right again:
 *      opened, iterated, looked up (positions, values alternate)
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "storage/s3_table.h"
#include "storage/s3_bloom.h"
#include "t/unit/s3_ramfs.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static int
found(void *ctx, const s3_entry_t *e)
{
    *(uint64_t *) ctx += e->version.time;

    return 0;
}


static void
look(s3_fs_t *fs)
{
    s3_table_iter_t it;
    s3_block_t block = {0};
    s3_table_t *t;
    s3_entry_t e;
    s3_str_t key;
    uint64_t bucket, sum = 0;
    uint8_t copy[S3_MAX_KEY];
    unsigned n = 0;
    int rc;

    if (s3_table_open(fs, 1, &t) != S3_OK) {
        return;
    }

    s3_table_iter_init(&it, t, NULL, fs);
    rc = it.source.ops->seek(&it.source, 0, s3_null_str);

    while (rc == S3_OK && n++ < 1000) {
        if (it.source.key.len > S3_MAX_KEY) {
            abort();
        }

        (void) s3_entry_decode(it.source.raw, it.source.raw_len, &e);

        if (n % 64 == 1) {
            bucket = it.source.bucket;
            key = s3_str(copy, it.source.key.len);
            memcpy(copy, it.source.key.data, key.len);

            rc = s3_table_get(t, NULL, bucket, key, s3_bloom_hash(bucket, key),
                              &block, found, &sum);

            while (rc == S3_AGAIN) {
                s3_block_read(fs, &block);
                rc = s3_table_get(t, NULL, bucket, key,
                                  s3_bloom_hash(bucket, key), &block, found,
                                  &sum);
            }
        }

        rc = it.source.ops->next(&it.source);
    }

    s3_table_iter_done(&it);
    s3_block_release(&block);
    s3_table_release(t);
}


/* A block alone: all items, and a search for some of the bytes. */

static void
fuzz_block(const uint8_t *data, size_t size)
{
    s3_table_block_t b;
    s3_table_item_t item;
    s3_entry_t e;
    uint8_t *block;
    uint32_t i;

    block = calloc(1, S3_TABLE_BLOCK);
    if (block == NULL) {
        return;
    }

    size = s3_min(size, S3_TABLE_BLOCK);
    memcpy(block, data, size);
    s3_put32(block, S3_TABLE_BLOCK_MAGIC);
    s3_put32(block + 4, 1);
    s3_put32(block + 8, 0);

    if (s3_table_block_open(&b, block, 1, 0) == S3_OK) {
        for (i = 0; i < b.n; i++) {
            if (s3_table_block_item(&b, i, &item) == S3_OK) {
                (void) s3_entry_decode(item.entry.data, item.entry.len, &e);
            }
        }

        for (i = 0; i + 16 < size; i += 37) {
            if (s3_table_block_seek(&b, s3_str(data + i, 8 + i % 8))
                > (int) b.n) {
                abort();
            }
        }
    }

    free(block);
}


/* Two blocks' worth of entries; some keys have several. */

static void
good_table(s3_fs_t *fs)
{
    s3_table_writer_t *w;
    s3_table_stats_t st;
    s3_entry_t e;
    char key[32];
    unsigned i;
    int n;

    memset(&e, 0, sizeof(e));
    e.kind = S3_KIND_OBJECT;

    if (s3_table_writer_create(fs, 1, 200, &w) != S3_OK) {
        abort();
    }

    for (i = 0; i < 250; i++) {
        n = snprintf(key, sizeof(key), "key/%05u", i / 3);
        e.version.time = 1000 - i;

        if (s3_table_writer_add(w, 1024, s3_str(key, (size_t) n), &e) != S3_OK)
        {
            abort();
        }
    }

    if (s3_table_writer_finish(w, &st) != S3_OK) {
        abort();
    }
}


/* Makes all checksums right as far as the lengths in the footer allow. */

static void
seal(s3_file_t *f)
{
    uint8_t *footer = f->data + f->len - S3_TABLE_FOOTER, *p;
    uint64_t blocks = s3_get32(footer + 16), index = s3_get64(footer + 40);
    uint64_t bloom = s3_get64(footer + 48), i, at, off;

    off = blocks * S3_TABLE_BLOCK;

    if (off < f->len && index < f->len && bloom < f->len
        && off + index + bloom + S3_TABLE_FOOTER == f->len)
    {
        p = f->data + off;

        for (i = 0, at = 0; i < blocks && at + S3_TABLE_HANDLE <= index; i++) {
            s3_put64(p + at,
                     XXH3_64bits(f->data + i * S3_TABLE_BLOCK, S3_TABLE_BLOCK));
            at +=
                S3_TABLE_HANDLE + (s3_get16(p + at + 8) & (S3_TABLE_SAME - 1));
        }

        s3_put64(footer + 56, XXH3_64bits(p, index));
        s3_put64(footer + 64, XXH3_64bits(p + index, bloom));
    }

    s3_put64(footer + 72, XXH3_64bits_withSeed(footer, 72, 1));
}


static void
fuzz_file(const uint8_t *data, size_t size, int patch)
{
    ram_t ram;
    s3_fs_t *fs = ram_init(&ram);
    s3_file_t *f;
    size_t at;

    if (patch) {
        good_table(fs);
        f = *ram_find(&ram, "index/00000001.tab");

        for (/* void */; size >= 4; data += 4, size -= 4) {
            at = s3_get16(data) | (size_t) data[2] << 16;

            /* the end, where lengths are, gets most of it */

            at = at & 1 ? f->len - 1 - (at >> 1) % 1024 : (at >> 1) % f->len;
            f->data[at] = data[3];
        }

        seal(f);

    } else {
        if (fs->open(fs, "index/00000001.tab", S3_O_CREATE, &f) != S3_OK
            || fs->pwrite(fs, f, data, size, 0) != S3_OK)
        {
            abort();
        }

        if (size >= S3_TABLE_FOOTER) {
            s3_put64(f->data + size - S3_TABLE_FOOTER, S3_TABLE_MAGIC);
            s3_put32(f->data + size - S3_TABLE_FOOTER + 12, 1);
            seal(f);
        }

        fs->close(fs, f);
    }

    look(fs);

    if (ram.open) {
        abort();
    }

    ram_done(&ram);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }

    switch (data[0] % 3) {

    case 0:
        fuzz_block(data + 1, size - 1);
        break;

    case 1:
        fuzz_file(data + 1, size - 1, 0);
        break;

    default:
        fuzz_file(data + 1, size - 1, 1);
    }

    return 0;
}
