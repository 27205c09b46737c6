/*
 * Writing a table: entries in order become blocks, the blocks' separators and
 * checksums the index, the keys' hashes the filter.
 */

#include <stdlib.h>
#include "storage/s3_xxh3.h"

#include "s3_table.h"
#include "s3_bloom.h"


#define S3_TABLE_BATCH 64 /* blocks written at once */

/* What the kernel may hold back.  All of a large table at once, at its end,
 * would keep everybody else from the drive for seconds. */

#define S3_TABLE_DIRTY (8 * 1024 * 1024)


struct s3_table_writer_s {
    s3_fs_t *fs;
    s3_file_t *file;
    s3_table_stats_t stats;

    uint8_t *index;
    size_t index_len;
    size_t index_room;
    uint8_t *bloom;
    size_t bloom_size;

    uint8_t *out;    /* S3_TABLE_BATCH blocks */
    uint32_t n_out;  /* sealed, not written */
    uint64_t offset; /* of the file: where they go */
    uint64_t synced; /* up to there */

    s3_version_t version; /* of the last entry */
    uint32_t last_len;    /* its ikey */
    uint8_t last[S3_TABLE_IKEY];

    size_t handle;     /* in the index: the open block's, hash missing */
    unsigned open : 1; /* the builder has items */
    s3_table_builder_t builder;
};


static void
s3_table_writer_free(s3_table_writer_t *w)
{
    free(w->index);
    free(w->bloom);
    free(w->out);
    free(w);
}


int
s3_table_writer_create(s3_fs_t *fs, uint32_t id, uint64_t estimate,
                       s3_table_writer_t **writer)
{
    s3_table_writer_t *w;
    char path[S3_TABLE_PATH];
    int rc;

    w = calloc(1, sizeof(s3_table_writer_t));
    if (w == NULL) {
        return S3_ENOMEM;
    }

    w->fs = fs;
    w->stats.id = id;
    w->bloom_size = s3_bloom_size(estimate);
    w->bloom = calloc(1, w->bloom_size);
    w->out = malloc(S3_TABLE_BATCH * S3_TABLE_BLOCK);

    if (w->bloom == NULL || w->out == NULL) {
        s3_table_writer_free(w);
        return S3_ENOMEM;
    }

    /* a crash may have left a file of this id that no MANIFEST names */

    s3_table_path(path, id);
    rc = fs->open(fs, path, S3_O_READ | S3_O_WRITE | S3_O_CREATE, &w->file);

    if (rc == S3_OK) {
        rc = fs->truncate(fs, w->file, 0);

        if (rc != S3_OK) {
            s3_table_writer_abort(w);
            return rc;
        }
    }

    if (rc != S3_OK) {
        s3_table_writer_free(w);
        return rc;
    }

    *writer = w;

    return S3_OK;
}


static int
s3_table_writer_handle(s3_table_writer_t *w, s3_str_t separator, int same)
{
    size_t need = w->index_len + S3_TABLE_HANDLE + separator.len, room;
    uint8_t *p;

    if (need > UINT32_MAX) {
        return S3_ENOMEM;
    }

    if (need > w->index_room) {
        room = s3_max(need, w->index_room * 2);
        room = s3_max(room, 4096);

        p = realloc(w->index, room);
        if (p == NULL) {
            return S3_ENOMEM;
        }

        w->index = p;
        w->index_room = room;
    }

    p = w->index + w->index_len;
    s3_put64(p, 0);
    s3_put16(p + 8, (uint16_t) (separator.len | (same ? S3_TABLE_SAME : 0)));
    memcpy(p + S3_TABLE_HANDLE, separator.data, separator.len);

    w->handle = w->index_len;
    w->index_len = need;

    return S3_OK;
}


static int
s3_table_writer_flush(s3_table_writer_t *w)
{
    size_t len = (size_t) w->n_out * S3_TABLE_BLOCK;
    int rc;

    if (len == 0) {
        return S3_OK;
    }

    rc = w->fs->pwrite(w->fs, w->file, w->out, len, w->offset);
    w->offset += len;
    w->n_out = 0;

    if (rc == S3_OK && w->offset - w->synced >= S3_TABLE_DIRTY) {
        rc = w->fs->sync(w->fs, w->file);
        w->synced = w->offset;
    }

    return rc;
}


static int
s3_table_writer_seal(s3_table_writer_t *w)
{
    uint8_t *out = w->out + (size_t) w->n_out * S3_TABLE_BLOCK;

    if (w->stats.blocks == UINT32_MAX) {
        return S3_ENOMEM;
    }

    s3_table_builder_seal(&w->builder, out, w->stats.id, w->stats.blocks);
    s3_put64(w->index + w->handle, XXH3_64bits(out, S3_TABLE_BLOCK));

    w->open = 0;
    w->stats.blocks++;
    w->n_out++;

    return w->n_out == S3_TABLE_BATCH ? s3_table_writer_flush(w) : S3_OK;
}


/* The block's first ikey, cut behind the first byte that tells it from the
 * last ikey of the block before. */

static s3_str_t
s3_table_writer_separator(const s3_table_writer_t *w, s3_str_t ikey)
{
    size_t i;

    if (w->stats.blocks == 0) {
        return ikey;
    }

    for (i = 0; i < ikey.len && i < w->last_len; i++) {
        if (ikey.data[i] != w->last[i]) {
            break;
        }
    }

    return s3_str(ikey.data, s3_min(i + 1, ikey.len));
}


/* Begins a block with ikey; the one before it is done. */

static int
s3_table_writer_begin(s3_table_writer_t *w, s3_str_t ikey, int same)
{
    int rc;

    if (w->open) {
        rc = s3_table_writer_seal(w);
        if (rc != S3_OK) {
            return rc;
        }
    }

    w->open = 1;

    return s3_table_writer_handle(w, s3_table_writer_separator(w, ikey), same);
}


int
s3_table_writer_add(s3_table_writer_t *w, uint64_t bucket, s3_str_t key,
                    const s3_entry_t *e)
{
    uint8_t buf[S3_TABLE_IKEY];
    s3_str_t ikey;
    int rc, cmp = 1;

    if (key.len > S3_MAX_KEY || e->extra_len > S3_MAX_EXTRA) {
        return S3_EINVAL;
    }

    ikey = s3_table_ikey(buf, bucket, key);

    if (w->stats.entries) {
        cmp = s3_str_cmp(ikey, s3_str(w->last, w->last_len));

        if (cmp < 0
            || (cmp == 0 && s3_version_cmp(&e->version, &w->version) >= 0)) {
            return S3_EINVAL;
        }
    }

    if (!w->open || !s3_table_builder_add(&w->builder, ikey, e, cmp == 0)) {
        rc = s3_table_writer_begin(w, ikey, cmp == 0);
        if (rc != S3_OK) {
            return rc;
        }

        /* an empty block takes any entry */

        (void) s3_table_builder_add(&w->builder, ikey, e, cmp == 0);
    }

    if (cmp != 0) {
        s3_bloom_add(w->bloom, w->bloom_size, s3_bloom_hash(bucket, key));
        memcpy(w->last, ikey.data, ikey.len);
        w->last_len = (uint32_t) ikey.len;
        w->stats.keys++;
    }

    w->version = e->version;
    w->stats.entries++;

    return S3_OK;
}


static void
s3_table_writer_footer(const s3_table_writer_t *w, uint8_t *p)
{
    s3_put64(p, S3_TABLE_MAGIC);
    s3_put32(p + 8, S3_TABLE_VERSION);
    s3_put32(p + 12, w->stats.id);
    s3_put32(p + 16, w->stats.blocks);
    s3_put32(p + 20, 0);
    s3_put64(p + 24, w->stats.entries);
    s3_put64(p + 32, w->stats.keys);
    s3_put64(p + 40, w->index_len);
    s3_put64(p + 48, w->bloom_size);
    s3_put64(p + 56, XXH3_64bits(w->index, w->index_len));
    s3_put64(p + 64, XXH3_64bits(w->bloom, w->bloom_size));
    s3_put64(p + 72, XXH3_64bits_withSeed(p, 72, w->stats.id));
}


static int
s3_table_writer_end(s3_table_writer_t *w)
{
    uint8_t footer[S3_TABLE_FOOTER];
    s3_fs_t *fs = w->fs;
    int rc;

    if (w->open) {
        rc = s3_table_writer_seal(w);
        if (rc != S3_OK) {
            return rc;
        }
    }

    rc = s3_table_writer_flush(w);

    if (rc == S3_OK) {
        rc = s3_table_writer_handle(w, s3_str(w->last, w->last_len), 0);
    }

    if (rc == S3_OK) {
        rc = fs->pwrite(fs, w->file, w->index, w->index_len, w->offset);
        w->offset += w->index_len;
    }

    if (rc == S3_OK) {
        rc = fs->pwrite(fs, w->file, w->bloom, w->bloom_size, w->offset);
        w->offset += w->bloom_size;
    }

    if (rc == S3_OK) {
        s3_table_writer_footer(w, footer);
        rc = fs->pwrite(fs, w->file, footer, S3_TABLE_FOOTER, w->offset);
        w->offset += S3_TABLE_FOOTER;
    }

    if (rc == S3_OK) {
        rc = fs->sync(fs, w->file);
    }

    if (rc == S3_OK) {
        rc = fs->syncdir(fs, S3_TABLE_DIR);
    }

    w->stats.bytes = w->offset;

    return rc;
}


int
s3_table_writer_finish(s3_table_writer_t *w, s3_table_stats_t *stats)
{
    int rc;

    memset(stats, 0, sizeof(s3_table_stats_t));

    if (w->stats.entries == 0) {
        s3_table_writer_abort(w);
        return S3_OK;
    }

    rc = s3_table_writer_end(w);

    if (rc != S3_OK) {
        s3_table_writer_abort(w);
        return rc;
    }

    *stats = w->stats;
    w->fs->close(w->fs, w->file);
    s3_table_writer_free(w);

    return S3_OK;
}


void
s3_table_writer_abort(s3_table_writer_t *w)
{
    char path[S3_TABLE_PATH];

    w->fs->close(w->fs, w->file);

    /* where this fails the next start removes it */

    s3_table_path(path, w->stats.id);
    (void) w->fs->unlink(w->fs, path);

    s3_table_writer_free(w);
}
