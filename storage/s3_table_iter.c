/*
 * Iterating over a table, on the loop or blocking.
 *
 * One buffer holds a window of consecutive blocks; the block in view is one of
 * them, verified when it is entered.  A window that is being read is empty.
 */

#include "s3_table.h"
#include "s3_table_read.h"


/* After a read of the window at `off`: how many whole blocks came? */

static int
s3_table_iter_came(s3_table_iter_t *it, uint32_t first, ssize_t n)
{
    if (n < 0) {
        return (int) n;
    }

    it->first = first;
    it->loaded = (uint32_t) ((size_t) n / S3_TABLE_BLOCK);

    return it->loaded ? S3_OK : S3_ECORRUPT;
}


/*
 * Blocks for what the caller still lacks, if it needs as many of them for an
 * item as it has needed so far.
 */

static uint32_t
s3_table_iter_lacks(const s3_table_iter_t *it, uint32_t number)
{
    uint64_t took = number - it->start;
    unsigned have = *it->have;

    if (have == 0) {
        return it->ahead * 4;
    }

    if (have >= it->goal) {
        return 1;
    }

    took = took * (it->goal - have) / have + 1;

    return (uint32_t) s3_min(took, (uint64_t) S3_TABLE_AHEAD);
}


/* How many blocks to read, beginning with `number`. */

static uint32_t
s3_table_iter_ahead(s3_table_iter_t *it, uint32_t number)
{
    uint32_t ahead = 1, low, mid;
    s3_str_t sep;

    if (it->expect) {
        ahead = it->expect;

    } else if (it->seeking) {
        ahead = it->ahead;

    } else if (it->loaded && number == it->first + it->loaded) {
        ahead = it->have ? s3_table_iter_lacks(it, number) : it->ahead * 4;
    }

    ahead = s3_min(ahead, S3_TABLE_AHEAD);
    ahead = s3_min(ahead, it->table->stats.blocks - number);
    it->expect -= s3_min(ahead, it->expect);

    if (it->have == NULL) {
        return ahead;
    }

    /* none that begins behind what is wanted */

    for (low = 1; low < ahead; /* void */) {
        mid = low + (ahead - low) / 2;
        sep = s3_table_separator(it->table, number + mid);

        if (memcmp(sep.data, it->target, s3_min(sep.len, it->within)) > 0) {
            ahead = mid;

        } else {
            low = mid + 1;
        }
    }

    return ahead;
}


/* Has block `number` in the window; S3_AGAIN on the loop. */

static int
s3_table_iter_fill(s3_table_iter_t *it, uint32_t number)
{
    s3_block_t *block = &it->block;
    s3_table_t *table = it->table;
    uint64_t off = (uint64_t) number * S3_TABLE_BLOCK;
    uint32_t ahead;
    size_t len;
    ssize_t n;

    if (number - it->first < it->loaded) {
        return S3_OK;
    }

    if (block->waiting) {
        block->waiting = 0;
        return s3_table_iter_came(it, number, block->have);
    }

    ahead = s3_table_iter_ahead(it, number);
    len = (size_t) ahead * S3_TABLE_BLOCK;

    it->ahead = ahead;
    it->loaded = 0;

    if (s3_block_room(block, len) != S3_OK) {
        return S3_ENOMEM;
    }

    if (it->fs) {
        n = it->fs->pread(it->fs, table->file, block->buf, len, off);
        return s3_table_iter_came(it, number, n);
    }

    n = it->loop->read_now(it->loop, table->file, block->buf, len, off);

    if (n >= S3_TABLE_BLOCK || (n < 0 && n != S3_AGAIN)) {
        return s3_table_iter_came(it, number, n);
    }

    block->file = table->file;
    block->off = off;
    block->len = len;
    block->have = 0;
    block->waiting = 1;

    return S3_AGAIN;
}


/* Has block `number` in view. */

static int
s3_table_iter_view(s3_table_iter_t *it, uint32_t number)
{
    const uint8_t *data;
    int rc;

    if (it->valid && it->current == number) {
        return S3_OK;
    }

    it->valid = 0;

    rc = s3_table_iter_fill(it, number);
    if (rc != S3_OK) {
        return rc;
    }

    data = it->block.buf + (size_t) (number - it->first) * S3_TABLE_BLOCK;

    rc = s3_table_verify(it->table, data, number, &it->view);
    if (rc != S3_OK) {
        return rc;
    }

    it->current = number;
    it->valid = 1;

    return S3_OK;
}


/* Makes it->item of the block in view the current entry.  `fresh`: what ikey
 * holds behind the block's prefix is not the entry before. */

static int
s3_table_iter_set(s3_table_iter_t *it, int fresh)
{
    s3_source_t *src = &it->source;
    s3_table_item_t item;
    size_t prefix = it->view.prefix.len;

    if (s3_table_block_item(&it->view, it->item, &item) != S3_OK) {
        it->valid = 0;
        return S3_ECORRUPT;
    }

    if (fresh || !item.same) {
        memcpy(it->ikey + prefix, item.suffix.data, item.suffix.len);
        src->key = s3_str(it->ikey + 8, prefix + item.suffix.len - 8);
        src->bucket = s3_table_ikey_bucket(it->ikey);
    }

    src->same = item.same;
    src->raw = item.entry.data;
    src->raw_len = item.entry.len;

    return S3_OK;
}


/* Goes on at block it->want: at its beginning, or where the target is. */

static int
s3_table_iter_enter(s3_table_iter_t *it)
{
    int rc;

    if (it->table->broken) {
        return S3_ECORRUPT;
    }

    for (;;) {
        if (it->want >= it->table->stats.blocks) {
            it->valid = 0;
            return S3_DONE;
        }

        rc = s3_table_iter_view(it, it->want);
        if (rc != S3_OK) {
            return rc;
        }

        if (it->seeking) {
            rc = s3_table_block_seek(&it->view,
                                     s3_str(it->target, it->target_len));
            if (rc < 0) {
                it->valid = 0;
                return rc;
            }
        }

        it->item = (uint32_t) rc;

        if (it->item < it->view.n) {
            break;
        }

        it->want++;
    }

    memcpy(it->ikey, it->view.prefix.data, it->view.prefix.len);

    it->seeking = 0;

    return s3_table_iter_set(it, 1);
}


static int
s3_table_iter_resume(s3_source_t *src)
{
    s3_table_iter_t *it = (s3_table_iter_t *) src;

    if (it->rc == S3_AGAIN) {
        it->rc = s3_table_iter_enter(it);
    }

    return it->rc;
}


static int
s3_table_iter_next(s3_source_t *src)
{
    s3_table_iter_t *it = (s3_table_iter_t *) src;

    if (it->rc != S3_OK) {
        return it->rc;
    }

    if (it->item + 1 < it->view.n) {
        it->item++;
        it->rc = s3_table_iter_set(it, 0);

    } else {
        it->want = it->current + 1;
        it->rc = s3_table_iter_enter(it);
    }

    return it->rc;
}


static int
s3_table_iter_seek(s3_source_t *src, uint64_t bucket, s3_str_t key)
{
    s3_table_iter_t *it = (s3_table_iter_t *) src;
    s3_str_t ikey;

    if (key.len > S3_MAX_KEY) {
        it->rc = S3_EINVAL;
        return it->rc;
    }

    ikey = s3_table_ikey(it->target, bucket, key);

    it->target_len = (uint32_t) ikey.len;
    it->want = s3_table_locate(it->table, ikey, it->first);

    /* one short skip is likely to be followed by others */

    it->ahead = it->loaded && it->want - it->current <= 2 ? 4 : 1;
    it->seeking = 1;
    it->start = it->want;
    it->block.waiting = 0;

    it->rc = s3_table_iter_enter(it);

    return it->rc;
}


static const s3_source_ops_t s3_table_iter_ops = {
    s3_table_iter_seek,
    s3_table_iter_next,
    s3_table_iter_resume,
};


void
s3_table_iter_init(s3_table_iter_t *it, s3_table_t *table, s3_loop_t *loop,
                   s3_fs_t *fs)
{
    memset(it, 0, sizeof(s3_table_iter_t));

    it->source.ops = &s3_table_iter_ops;
    it->source.block = &it->block;
    it->table = table;
    it->loop = loop;
    it->fs = fs;
    it->rc = S3_DONE;
}


void
s3_table_iter_expect(s3_table_iter_t *it, uint32_t first, uint32_t blocks,
                     size_t prefix, const unsigned *have, unsigned goal)
{
    if (it->loaded == 0) {
        it->first = first;
    }

    it->expect = blocks;
    it->within = (uint32_t) (8 + s3_min(prefix, (size_t) S3_MAX_KEY));
    it->have = have;
    it->goal = goal;
}


void
s3_table_iter_done(s3_table_iter_t *it)
{
    s3_block_release(&it->block);
}
