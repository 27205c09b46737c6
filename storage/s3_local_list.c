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
#include "storage/s3_table_read.h"
#include <stdlib.h>

#define S3_LIST_CHUNK 32768
#define S3_LIST_ENTRIES 3 /* of a key: more are copied */
#define S3_LIST_ROOM (S3_LIST_ENTRIES * sizeof(s3_entry_t) + S3_MAX_KEY)
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
    unsigned placed : 1; /* entries come to where they will stay */
    uint64_t beyond; /* least bucket of the tables that were left out, or 0 */
    s3_task_t task;
    uint8_t seek[S3_MAX_KEY + 1];
} s3_listing_t;


static void s3_list_run(s3_listing_t *li);


/* Room behind what is used, for s3_list_alloc() to take some of. */

static void *
s3_list_room(s3_scan_t *scan, size_t len)
{
    size_t size;
    s3_chunk_t *c = scan->mem;

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

    return (uint8_t *) c->data + c->used;
}


static void *
s3_list_alloc(s3_scan_t *scan, size_t len)
{
    void *p;
    s3_chunk_t *c;

    len = s3_align(len, (size_t) 8);
    p = s3_list_room(scan, len);

    if (p) {
        c = scan->mem;
        c->used += len;
    }

    return p;
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


/* Entries of the next key are decoded where they will stay, if they are few. */

static int
s3_list_next(s3_listing_t *li)
{
    s3_entry_t *e;
    s3_merge_t *m = &li->merge;

    if (!li->placed) {
        e = s3_list_room(li->scan, S3_LIST_ROOM);
        if (e == NULL) {
            return S3_ENOMEM;
        }

        s3_merge_into(m, e, S3_LIST_ENTRIES);
        li->placed = 1;
    }

    return s3_merge_next(m);
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

    for (i = 0, n = 0; i < m->n; i++) {
        e = &m->entries[i];

        if (e->kind == S3_KIND_UNNOTE) {
            break;
        }

        if (e->kind == S3_KIND_FENCE) {
            continue;
        }

        if (n < i) {
            m->entries[n] = *e;
        }

        n++;

        if (s3_entry_is_record(e) && e->flags & S3_F_CONFIRMED) {
            break;
        }
    }

    if (n == 0) {
        return S3_OK;
    }

    e = s3_list_alloc(scan, n * sizeof(*e) + m->key.len);
    if (e == NULL) {
        return S3_ENOMEM;
    }

    if (e != m->entries) {
        memcpy(e, m->entries, n * sizeof(*e));
    }

    li->placed = 0;

    key = (uint8_t *) (e + n);
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
        scan->following =
            li->beyond ? s3_min(li->beyond, m->bucket) : m->bucket;
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

        rc = s3_list_next(li);

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
            scan->following = li->beyond;
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


/* Behind all keys of the bucket that begin with the prefix. */

static s3_str_t
s3_list_limit(const s3_scan_t *scan, uint8_t *buf)
{
    s3_str_t limit = s3_table_ikey(buf, scan->bucket, scan->prefix);

    while (limit.len > 1 && buf[limit.len - 1] == 0xff) {
        limit.len--;
    }

    buf[limit.len - 1]++;

    return limit;
}


/*
 * Blocks of each table that the page will take.  Tables differ in what they
 * have of a bucket, so the keys of each are counted, by its index, up to one
 * that is certainly behind the page: where the densest of the tables alone
 * would have filled it.
 *
 *   table 1   ├──┼──┼──┼──┤ .            3 of 4 blocks
 *   table 2      ├──────┼──.───┤         1 + a part
 *            from          end
 *
 * With a delimiter most of what follows a key is skipped, not read.
 */

static void
s3_list_expect(s3_listing_t *li, s3_str_t from)
{
    unsigned i;
    uint32_t at[S3_ZONE_TABLES];
    uint64_t blocks[S3_ZONE_TABLES], behind, all;
    uint8_t buf[S3_TABLE_IKEY], last[S3_TABLE_IKEY];
    s3_str_t ikey, end, sep;
    s3_table_t *t;
    s3_scan_t *scan = li->scan;

    if (scan->delimiter.len || !s3_list_prefixed(from, scan->prefix)) {
        return;
    }

    ikey = s3_table_ikey(buf, scan->bucket, from);
    end = s3_list_limit(scan, last);

    for (i = 0; i < li->n_tables; i++) {
        t = li->tables[i].table;

        if (t->broken) {
            return;
        }

        at[i] = s3_table_locate(t, ikey, 0);
        behind = at[i] + 1
                 + t->stats.blocks * (uint64_t) scan->max
                       / s3_max(t->stats.keys, (uint64_t) 1);

        if (behind < t->stats.blocks) {
            sep = s3_table_separator(t, (uint32_t) behind);

            if (s3_str_cmp(sep, end) < 0) {
                end = sep;
            }
        }
    }

    for (i = 0, all = 0; i < li->n_tables; i++) {
        t = li->tables[i].table;
        blocks[i] = s3_table_locate(t, end, at[i]) - at[i];
        all += blocks[i] * t->stats.keys / t->stats.blocks;
    }

    for (i = 0; i < li->n_tables; i++) {

        /* it begins in the middle of one and ends in another */

        if (blocks[i]) {
            blocks[i] = 2 + blocks[i] * scan->max / s3_max(all, scan->max);
        } else {
            blocks[i] = 1;
        }

        s3_table_iter_expect(&li->tables[i], at[i], (uint32_t) blocks[i],
                             scan->prefix.len, &scan->n, scan->max);
    }
}


/* May the table have any of what is wanted?  Its first and its last key are
 * known without a read. */

static int
s3_list_overlaps(s3_listing_t *li, const s3_table_t *t, s3_str_t from)
{
    const s3_scan_t *scan = li->scan;

    if (t->broken) {
        return 1;
    }

    if (t->min_bucket > scan->bucket) {
        li->beyond =
            li->beyond ? s3_min(li->beyond, t->min_bucket) : t->min_bucket;
        return 0;
    }

    if (t->min_bucket == scan->bucket && s3_str_cmp(t->min_key, from) > 0
        && !s3_list_prefixed(t->min_key, scan->prefix))
    {
        return 0;
    }

    return s3_key_cmp(t->max_bucket, t->max_key, scan->bucket, from) >= 0;
}


static int
s3_list_sources(s3_listing_t *li, s3_str_t from)
{
    unsigned i, n, arenas[S3_ZONE_ARENAS];
    s3_table_t *t;
    s3_table_iter_t *it;
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
        t = li->set->tables[i];

        if (s3_list_overlaps(li, t, from)) {
            it = &li->tables[li->n_tables++];
            s3_table_iter_init(it, t, l->loop, NULL);
            li->sources[n++] = &it->source;
        }
    }

    s3_list_expect(li, from);

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

    from = s3_str_cmp(scan->from, scan->prefix) < 0 ? scan->prefix : scan->from;
    rc = scan->items ? s3_list_sources(li, from) : S3_ENOMEM;

    if (rc == S3_OK) {
        rc = s3_merge_seek(&li->merge, scan->bucket, from);
    }

    if (rc != S3_OK) {
        s3_list_end(li, rc);
        return;
    }

    s3_list_run(li);
}
