#include "t/sim/s3_mockdrive_int.h"

#include <stdlib.h>


/* LIST.  A page is a chain of blocks, as a real drive gives it. */

typedef struct s3_mock_block_s s3_mock_block_t;

struct s3_mock_block_s {
    s3_mock_block_t *next;
    uint64_t align;
};


static void *
s3_mock_block(s3_scan_t *scan, size_t size)
{
    s3_mock_block_t *b;

    b = s3_mock_need(calloc(1, sizeof(*b) + size));
    b->next = scan->mem;
    scan->mem = b;

    return b + 1;
}


/* Where no real drive is linked. */

__attribute__((weak)) void
s3_scan_release(s3_scan_t *scan)
{
    s3_mock_block_t *b, *next;

    for (b = scan->mem; b; b = next) {
        next = b->next;
        free(b);
    }

    scan->mem = NULL;
    scan->items = NULL;
    scan->n = 0;
}


static size_t
s3_mock_common(s3_scan_t *scan, const uint8_t *key, size_t len)
{
    size_t i;

    if (scan->delimiter.len == 0) {
        return 0;
    }

    for (i = scan->prefix.len; i + scan->delimiter.len <= len; i++) {
        if (memcmp(key + i, scan->delimiter.data, scan->delimiter.len) == 0) {
            return i + scan->delimiter.len;
        }
    }

    return 0;
}


void
s3_mock_do_list(s3_mock_t *m, s3_req_t *req)
{
    int found;
    size_t i, common;
    uint8_t *copy;
    unsigned max;
    s3_scan_t *scan = s3_container(req, s3_scan_t, req);
    s3_mock_key_t *k;
    s3_item_t *item;
    s3_entry_t *entries;

    max = s3_min(scan->max, (unsigned) S3_SCAN_MAX);
    max = s3_max(max, 1u);

    /* now and then less than asked for, as the contract allows */

    if (max > 2 && s3_sim_random(m->sim, 4) == 0) {
        max = 1 + (unsigned) s3_sim_random(m->sim, max);
    }

    scan->mem = NULL;
    scan->items = s3_mock_block(scan, max * sizeof(s3_item_t));
    scan->n = 0;
    scan->end = 0;
    scan->following = 0;
    scan->floor = m->floor;
    common = 0;

    i = s3_mock_at(m, scan->bucket, scan->from, &found);

    if (found && scan->after) {
        i++;
    }

    for (;; i++) {
        k = &m->keys[i];

        if (i == m->n_keys || k->bucket != scan->bucket) {
            scan->end = 1;
            scan->following = i == m->n_keys ? 0 : k->bucket;
            break;
        }

        if (k->len < scan->prefix.len
            || (scan->prefix.len
                && memcmp(k->key, scan->prefix.data, scan->prefix.len) != 0))
        {
            if (s3_str_cmp(s3_str(k->key, k->len), scan->prefix) > 0) {
                scan->end = 1;
                break;
            }

            continue;
        }

        if (scan->n && common && k->len >= common
            && memcmp(k->key, scan->items[scan->n - 1].key.data, common) == 0)
        {
            continue;
        }

        if (k->n == 0) {
            continue;
        }

        if (scan->n == max) {
            break;
        }

        entries = s3_mock_block(scan, k->n * sizeof(s3_entry_t));
        item = &scan->items[scan->n];
        item->n = s3_mock_entries(k, entries);

        if (item->n == 0) {
            continue;
        }

        copy = s3_mock_block(scan, k->len + 1);
        memcpy(copy, k->key, k->len);
        item->key = s3_str(copy, k->len);
        item->entries = entries;
        scan->n++;

        common = s3_mock_common(scan, k->key, k->len);

        if (entries[0].kind != S3_KIND_OBJECT
            || !(entries[0].flags & S3_F_CONFIRMED)) {
            common = 0;
        }

        item->common = (uint32_t) common;
    }
}
