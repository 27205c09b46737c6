/*
 * The inside of a table's block: taking apart, searching, building.
 */

#include "s3_table_block.h"


int
s3_table_block_open(s3_table_block_t *b, const uint8_t *data, uint32_t id,
                    uint32_t number)
{
    size_t at, prefix;

    if (s3_get32(data) != S3_TABLE_BLOCK_MAGIC || s3_get32(data + 4) != id
        || s3_get32(data + 8) != number)
    {
        return S3_ECORRUPT;
    }

    b->data = data;
    b->n = s3_get16(data + 12);
    prefix = s3_get16(data + 14);
    at = S3_TABLE_BLOCK_HEADER + (size_t) b->n * 2;

    if (b->n == 0 || b->n > S3_TABLE_ITEMS || prefix > S3_TABLE_IKEY
        || at + prefix > S3_TABLE_BLOCK)
    {
        return S3_ECORRUPT;
    }

    b->prefix = s3_str(data + at, prefix);

    return S3_OK;
}


int
s3_table_block_item(const s3_table_block_t *b, uint32_t i,
                    s3_table_item_t *item)
{
    size_t at, suffix, entry, key;
    const uint8_t *p;

    at = s3_get16(b->data + S3_TABLE_BLOCK_HEADER + (size_t) i * 2);

    if (at > S3_TABLE_BLOCK - S3_TABLE_ITEM_HEADER) {
        return S3_ECORRUPT;
    }

    p = b->data + at;
    suffix = s3_get16(p);
    entry = s3_get16(p + 2);
    item->same = (suffix & S3_TABLE_SAME) != 0;
    suffix &= S3_TABLE_SAME - 1;
    key = b->prefix.len + suffix;

    if (at + S3_TABLE_ITEM_HEADER + suffix + entry > S3_TABLE_BLOCK
        || entry < S3_ENTRY_FIXED || key < 8 || key > S3_TABLE_IKEY)
    {
        return S3_ECORRUPT;
    }

    item->suffix = s3_str(p + S3_TABLE_ITEM_HEADER, suffix);
    item->entry = s3_str(p + S3_TABLE_ITEM_HEADER + suffix, entry);

    return S3_OK;
}


int
s3_table_block_seek(const s3_table_block_t *b, s3_str_t ikey)
{
    s3_table_item_t item;
    uint32_t low = 0, high = b->n, mid;
    s3_str_t head;
    int rc;

    head = s3_str(ikey.data, s3_min(ikey.len, b->prefix.len));
    rc = s3_str_cmp(head, b->prefix);

    if (rc != 0) {
        return rc < 0 ? 0 : (int) b->n;
    }

    ikey.data += head.len;
    ikey.len -= head.len;

    while (low < high) {
        mid = low + (high - low) / 2;

        if (s3_table_block_item(b, mid, &item) != S3_OK) {
            return S3_ECORRUPT;
        }

        if (s3_str_cmp(item.suffix, ikey) < 0) {
            low = mid + 1;

        } else {
            high = mid;
        }
    }

    return (int) low;
}


static uint32_t
s3_table_common(s3_str_t a, s3_str_t b)
{
    size_t n = s3_min(a.len, b.len), i;

    for (i = 0; i < n && a.data[i] == b.data[i]; i++) {
        /* void */
    }

    return (uint32_t) i;
}


int
s3_table_builder_add(s3_table_builder_t *b, s3_str_t ikey, const s3_entry_t *e,
                     int same)
{
    uint32_t prefix, n = b->n + 1;
    size_t size, entry = s3_entry_size(e);
    s3_str_t first;

    if (b->n == S3_TABLE_ITEMS) {
        return 0;
    }

    /* ikeys ascend: the first and the last have in common what all have */

    prefix = (uint32_t) ikey.len;

    if (b->n) {
        first = s3_str(b->keys, b->prefix);
        prefix = s3_table_common(first, ikey);
    }

    size = S3_TABLE_BLOCK_HEADER + n * (2 + S3_TABLE_ITEM_HEADER) + b->key_bytes
           + ikey.len - (size_t) (n - 1) * prefix + b->entry_bytes + entry;

    if (size > S3_TABLE_BLOCK) {
        return 0;
    }

    b->items[b->n].key = b->key_bytes;
    b->items[b->n].key_len = (uint16_t) ikey.len;
    b->items[b->n].entry = b->entry_bytes;
    b->items[b->n].entry_len = (uint16_t) entry;
    b->items[b->n].same = same != 0;

    memcpy(b->keys + b->key_bytes, ikey.data, ikey.len);
    s3_entry_encode(b->entries + b->entry_bytes, e);

    b->key_bytes += (uint32_t) ikey.len;
    b->entry_bytes += (uint32_t) entry;
    b->prefix = prefix;
    b->n = n;

    return 1;
}


void
s3_table_builder_seal(s3_table_builder_t *b, uint8_t *out, uint32_t id,
                      uint32_t number)
{
    size_t suffix;
    uint8_t *p, *offset;
    uint32_t i;

    s3_put32(out, S3_TABLE_BLOCK_MAGIC);
    s3_put32(out + 4, id);
    s3_put32(out + 8, number);
    s3_put16(out + 12, (uint16_t) b->n);
    s3_put16(out + 14, (uint16_t) b->prefix);

    offset = out + S3_TABLE_BLOCK_HEADER;
    p = offset + (size_t) b->n * 2;
    memcpy(p, b->keys, b->prefix);
    p += b->prefix;

    for (i = 0; i < b->n; i++) {
        suffix = b->items[i].key_len - b->prefix;

        s3_put16(offset, (uint16_t) (p - out));
        offset += 2;

        s3_put16(p,
                 (uint16_t) (suffix | (b->items[i].same ? S3_TABLE_SAME : 0)));
        s3_put16(p + 2, b->items[i].entry_len);
        p += S3_TABLE_ITEM_HEADER;

        memcpy(p, b->keys + b->items[i].key + b->prefix, suffix);
        p += suffix;

        memcpy(p, b->entries + b->items[i].entry, b->items[i].entry_len);
        p += b->items[i].entry_len;
    }

    memset(p, 0, (size_t) (out + S3_TABLE_BLOCK - p));

    b->n = 0;
    b->prefix = 0;
    b->key_bytes = 0;
    b->entry_bytes = 0;
}
