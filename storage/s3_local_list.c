#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memmem() */
#endif

/*
 * LIST: memtables and tables merged, in key order.
 *
 * Everything that is handed out lies in chunks that hang off scan->mem and go
 * with s3_scan_release().
 */

#include "storage/s3_local_int.h"
#include <stdlib.h>

#define S3_LIST_CHUNK 16384
#define S3_LIST_SOURCES (S3_ZONE_ARENAS + S3_ZONE_TABLES)


typedef struct s3_chunk_s s3_chunk_t;

struct s3_chunk_s {
    s3_chunk_t *next;
    size_t used;
    size_t size;
    uint64_t data[];
};


typedef struct {
    s3_local_t *l;
    s3_scan_t *scan;
    s3_tabset_t *set;
    s3_merge_t merge;
    s3_memsource_t memory[S3_ZONE_ARENAS];
    s3_table_iter_t *tables;
    s3_source_t *sources[S3_LIST_SOURCES];
    unsigned n_memory;
    unsigned n_tables;
    unsigned inside : 1; /* past `from` */
    s3_task_t task;
    uint8_t seek[S3_MAX_KEY + 1];
} s3_listing_t;


static void s3_list_run(s3_listing_t *li);


static void *
s3_list_alloc(s3_scan_t *scan, size_t len)
{
    size_t size;
    s3_chunk_t *c = scan->mem;

    len = s3_align(len, (size_t) 8);

    if (c == NULL || c->size - c->used < len) {
        size = s3_max(len, (size_t) S3_LIST_CHUNK);
        c = malloc(sizeof(*c) + size);
        if (c == NULL) {
            return NULL;
        }

        c->next = scan->mem;
        c->used = 0;
        c->size = size;
        scan->mem = c;
    }

    c->used += len;

    return (uint8_t *) c->data + c->used - len;
}


void
s3_scan_release(s3_scan_t *scan)
{
    s3_chunk_t *c, *next;

    for (c = scan->mem; c; c = next) {
        next = c->next;
        free(c);
    }

    scan->mem = NULL;
    scan->items = NULL;
    scan->n = 0;
}


static void
s3_list_end(s3_listing_t *li, int rc)
{
    unsigned i;
    s3_scan_t *scan = li->scan;
    s3_local_t *l = li->l;

    s3_merge_done(&li->merge);

    for (i = 0; i < li->n_tables; i++) {
        s3_table_iter_done(&li->tables[i]);
    }

    s3_tabset_release(&l->ix, li->set);
    free(li->tables);
    free(li);
    l->ops--;

    if (rc != S3_OK) {
        if (rc != S3_ENOMEM) {
            s3_zone_count(&l->zd->errors);
        }

        if (rc == S3_ECORRUPT) {
            s3_index_damaged(&l->ix);
        }

        s3_scan_release(scan);
    }

    scan->req.rc = rc;
    scan->req.answer = rc == S3_OK ? S3_ANSWER_YES : S3_ANSWER_NONE;
    scan->req.done(&scan->req);
}


static int
s3_list_prefixed(s3_str_t key, s3_str_t prefix)
{
    return key.len >= prefix.len
           && (prefix.len == 0
               || memcmp(key.data, prefix.data, prefix.len) == 0);
}


/* Length up to and with the first delimiter after the prefix, or 0. */

static size_t
s3_list_common(const s3_scan_t *scan, s3_str_t key)
{
    const uint8_t *p;

    if (scan->delimiter.len == 0) {
        return 0;
    }

    p = memmem(key.data + scan->prefix.len, key.len - scan->prefix.len,
               scan->delimiter.data, scan->delimiter.len);

    return p ? (size_t) (p - key.data) + scan->delimiter.len : 0;
}


/* The entries that READ would give. */

static int
s3_list_add(s3_listing_t *li, s3_item_t **out)
{
    unsigned i, n;
    uint8_t *key;
    s3_item_t *item;
    s3_scan_t *scan = li->scan;
    s3_merge_t *m = &li->merge;
    s3_entry_t *e;

    *out = NULL;
    item = &scan->items[scan->n];
    e = NULL;
    key = NULL;

    for (i = 0, n = 0; i < m->n; i++) {

        if (m->entries[i].kind == S3_KIND_UNNOTE) {
            break;
        }

        if (m->entries[i].kind == S3_KIND_FENCE) {
            continue;
        }

        if (e == NULL) {
            e = s3_list_alloc(scan, (m->n - i) * sizeof(*e) + m->key.len);
            if (e == NULL) {
                return S3_ENOMEM;
            }

            key = (uint8_t *) (e + (m->n - i));
        }

        e[n++] = m->entries[i];

        if (s3_entry_is_record(&e[n - 1]) && e[n - 1].flags & S3_F_CONFIRMED) {
            break;
        }
    }

    if (n == 0) {
        return S3_OK;
    }

    memcpy(key, m->key.data, m->key.len);
    item->key = s3_str(key, m->key.len);
    item->common = 0;
    item->n = n;
    item->entries = e;
    scan->n++;
    *out = item;

    return S3_OK;
}


/* Goes on after all keys that begin with the first len bytes of key; S3_DONE
 * where there are none. */

static int
s3_list_skip(s3_listing_t *li, s3_str_t key, size_t len)
{
    while (len && key.data[len - 1] == 0xff) {
        len--;
    }

    if (len == 0) {
        return S3_DONE;
    }

    memcpy(li->seek, key.data, len);
    li->seek[len - 1]++;

    return s3_merge_seek(&li->merge, li->scan->bucket, s3_str(li->seek, len));
}


/* One key; S3_DONE at the end. */

static int
s3_list_key(s3_listing_t *li)
{
    int rc, cmp;
    size_t common;
    s3_item_t *item;
    s3_scan_t *scan = li->scan;
    s3_merge_t *m = &li->merge;

    if (m->bucket != scan->bucket) {
        scan->end = 1;
        scan->following = m->bucket;
        return S3_DONE;
    }

    if (!s3_list_prefixed(m->key, scan->prefix)) {

        if (s3_str_cmp(m->key, scan->prefix) > 0) {
            scan->end = 1;
            return S3_DONE;
        }

        return S3_OK;
    }

    if (!li->inside) {
        cmp = s3_str_cmp(m->key, scan->from);

        if (cmp < 0 || (cmp == 0 && scan->after)) {
            return S3_OK;
        }

        li->inside = 1;
    }

    rc = s3_list_add(li, &item);
    if (rc != S3_OK || item == NULL) {
        return rc;
    }

    if (item->entries[0].kind != S3_KIND_OBJECT
        || !(item->entries[0].flags & S3_F_CONFIRMED))
    {
        return S3_OK;
    }

    common = s3_list_common(scan, item->key);
    if (common == 0) {
        return S3_OK;
    }

    item->common = (uint32_t) common;
    rc = s3_list_skip(li, item->key, common);

    if (rc == S3_DONE) {
        scan->end = 1;
    }

    return rc;
}


static void
s3_list_task(s3_task_t *task)
{
    s3_listing_t *li = task->ctx;

    s3_block_read(li->l->fs, li->merge.waiting->block);
}


static void
s3_list_read(s3_task_t *task)
{
    s3_list_run(task->ctx);
}


static void
s3_list_run(s3_listing_t *li)
{
    int rc;
    s3_scan_t *scan = li->scan;
    s3_local_t *l = li->l;

    while (scan->n < scan->max) {

        rc = s3_merge_next(&li->merge);

        if (rc == S3_AGAIN) {
            li->task.run = s3_list_task;
            li->task.done = s3_list_read;
            li->task.ctx = li;
            li->task.drive = l->index;
            l->loop->post(l->loop, &li->task);
            return;
        }

        if (rc == S3_DONE) {
            scan->end = 1;
            break;
        }

        if (rc == S3_OK) {
            rc = s3_list_key(li);
        }

        if (rc == S3_DONE) {
            break;
        }

        if (rc != S3_OK) {
            s3_list_end(li, rc);
            return;
        }
    }

    s3_list_end(li, S3_OK);
}


/*
 * Blocks of each table that the page will take if its keys are spread as all
 * are.  With a delimiter most of what follows a key is skipped, not read.
 */

static void
s3_list_expect(s3_listing_t *li)
{
    unsigned i;
    uint64_t all, blocks;
    s3_scan_t *scan = li->scan;
    const s3_table_stats_t *stats;

    if (scan->delimiter.len || !s3_list_prefixed(scan->from, scan->prefix)) {
        return;
    }

    for (i = 0, all = 1; i < li->n_tables; i++) {
        all += li->set->tables[i]->stats.keys;
    }

    for (i = 0; i < li->n_tables; i++) {
        stats = &li->set->tables[i]->stats;
        blocks = (uint64_t) stats->blocks * scan->max / all;
        blocks += blocks / 8 + 2;

        s3_table_iter_expect(&li->tables[i],
                             (uint32_t) s3_min(blocks, UINT32_MAX),
                             scan->prefix.len);
    }
}


static int
s3_list_sources(s3_listing_t *li)
{
    unsigned i, n, arenas[S3_ZONE_ARENAS];
    s3_local_t *l = li->l;
    s3_memtable_t *mem[S3_ZONE_ARENAS];

    n = 0;
    li->n_memory =
        s3_index_memtables(l->zone, l->index, li->set->generation, mem, arenas);

    for (i = 0; i < li->n_memory; i++) {
        s3_memsource_init(&li->memory[i], mem[i]);
        li->sources[n++] = &li->memory[i].source;
    }

    if (li->set->n) {
        li->tables = malloc(li->set->n * sizeof(*li->tables));
        if (li->tables == NULL) {
            return S3_ENOMEM;
        }
    }

    for (i = 0; i < li->set->n; i++) {
        s3_table_iter_init(&li->tables[i], li->set->tables[i], l->loop, NULL);
        li->n_tables++;
        li->sources[n++] = &li->tables[i].source;
    }

    s3_list_expect(li);

    return s3_merge_init(&li->merge, li->sources, n, 0);
}


void
s3_local_list(s3_drive_t *d, s3_scan_t *scan)
{
    int rc;
    s3_str_t from;
    s3_local_t *l = d->impl;
    s3_listing_t *li;

    scan->items = NULL;
    scan->n = 0;
    scan->end = 0;
    scan->following = 0;
    scan->mem = NULL;
    scan->floor = s3_version_none;

    rc = s3_local_may_read(l);

    if (rc == S3_OK
        && (scan->prefix.len > S3_MAX_KEY || scan->from.len > S3_MAX_KEY))
    {
        rc = S3_EINVAL;
    }

    li = rc == S3_OK ? calloc(1, sizeof(*li)) : NULL;

    if (li == NULL) {
        scan->req.rc = rc == S3_OK ? S3_ENOMEM : rc;
        scan->req.answer = S3_ANSWER_NONE;
        scan->req.done(&scan->req);
        return;
    }

    s3_index_refresh(&l->ix);

    li->l = l;
    li->scan = scan;
    li->set = s3_tabset_hold(&l->ix);
    l->ops++;

    scan->floor = l->zd->floor;
    scan->max = s3_min(scan->max, (unsigned) S3_SCAN_MAX);
    scan->items = s3_list_alloc(scan, (scan->max + 1) * sizeof(s3_item_t));

    rc = scan->items ? s3_list_sources(li) : S3_ENOMEM;

    if (rc == S3_OK) {
        from = s3_str_cmp(scan->from, scan->prefix) < 0 ? scan->prefix
                                                        : scan->from;
        rc = s3_merge_seek(&li->merge, scan->bucket, from);
    }

    if (rc != S3_OK) {
        s3_list_end(li, rc);
        return;
    }

    s3_list_run(li);
}
