/*
 * Recovery: what is replayed into tables, and CONFIRMs onto what is in them.
 */

#include "storage/s3_recover_int.h"
#include "storage/s3_bloom.h"
#include <stdlib.h>


void
s3_replay_list(s3_replay_t *rp, s3_ztable_t *list)
{
    unsigned i;

    memset(list, 0, S3_ZONE_TABLES * sizeof(*list));

    for (i = 0; i < rp->n_tables; i++) {
        list[i].id = rp->tables[i]->stats.id;
        list[i].bytes = rp->tables[i]->stats.bytes;
        list[i].entries = rp->tables[i]->stats.entries;
    }
}


static uint32_t
s3_replay_id(s3_replay_t *rp)
{
    uint32_t id;

    s3_zone_lock(rp->d);
    id = rp->d->next_table_id++;
    s3_zone_unlock(rp->d);

    return id;
}


/* What was dropped is not remembered: memory_since begins above all of them.
 * Without a MANIFEST the files stay until there is one. */

int
s3_replay_merge(s3_replay_t *rp, unsigned count)
{
    int rc;
    unsigned i;
    s3_table_t *t;
    s3_compact_t c;

    for (i = 0; i < count && !rp->tables[i]->broken; i++) {
        /* void */
    }

    count = i;

    if (count < 2) {
        return S3_ENOENT;
    }

    memset(&c, 0, sizeof(c));
    c.fs = rp->fs;
    c.id = s3_replay_id(rp);

    rc = s3_compact_tables(&c, rp->tables, count);

    if (rc != S3_OK) {
        return rc;
    }

    t = NULL;

    if (c.stats.entries) {
        rc = s3_table_open(rp->fs, c.id, &t);
        if (rc != S3_OK) {
            return rc;
        }
    }

    for (i = 0; i < count; i++) {
        if (rp->beside) {
            s3_table_unlink(rp->fs, rp->tables[i]->stats.id);
        }

        s3_table_release(rp->tables[i]);
    }

    memmove(rp->tables + (t != NULL), rp->tables + count,
            (rp->n_tables - count) * sizeof(t));
    rp->n_tables = rp->n_tables - count + (t != NULL);

    if (t) {
        rp->tables[0] = t;
    }

    return S3_OK;
}


int
s3_replay_flush(s3_replay_t *rp)
{
    int rc;
    s3_table_t *t;
    s3_source_t *sources[1];
    s3_compact_t c;
    s3_memsource_t src;

    if (s3_memtable_count(rp->mem) == 0) {
        return S3_OK;
    }

    if (rp->n_tables == S3_ZONE_TABLES) {
        rc = s3_replay_merge(rp, S3_ZONE_TABLES / 2);
        if (rc != S3_OK) {
            return rc;
        }
    }

    s3_memsource_init(&src, rp->mem);
    sources[0] = &src.source;

    memset(&c, 0, sizeof(c));
    c.fs = rp->fs;
    c.id = s3_replay_id(rp);
    c.estimate = s3_memtable_count(rp->mem);

    rc = s3_compact(&c, sources, 1);

    if (rc == S3_OK && c.stats.entries) {
        rc = s3_table_open(rp->fs, c.id, &t);

        if (rc == S3_OK) {
            memmove(rp->tables + 1, rp->tables, rp->n_tables * sizeof(t));
            rp->tables[0] = t;
            rp->n_tables++;
        }
    }

    if (rc == S3_OK) {
        s3_memtable_reset(rp->mem, rp->mem_size);
    }

    return rc;
}


/* Is it what counts of its version, and nobody has confirmed it?  last: the
 * node before; of one version the first counts, others lie where the record may
 * not be any more. */

static int
s3_replay_unsure(const s3_memnode_t *last, const s3_memnode_t *n, s3_entry_t *e)
{
    s3_version_t was;

    if (s3_memnode_entry(n, e) != S3_OK) {
        return 0;
    }

    if (last && s3_memnode_is(last, n->bucket, s3_memnode_key(n))) {
        was = s3_memnode_version(last);

        if (s3_version_cmp(&was, &e->version) == 0) {
            return 0;
        }
    }

    return s3_entry_is_record(e) && !(e->flags & S3_F_CONFIRMED);
}


int
s3_replay_flush_last(s3_replay_t *rp)
{
    int rc;
    s3_entry_t e;
    s3_memtable_t *kept;
    s3_memnode_t *n, *last;

    kept = malloc(S3_REPLAY_KEPT);
    if (kept == NULL) {
        return S3_ENOMEM;
    }

    s3_memtable_reset(kept, S3_REPLAY_KEPT);

    for (n = s3_memtable_first(rp->mem), last = NULL; n;
         last = n, n = s3_memtable_next(rp->mem, n))
    {
        if (s3_replay_unsure(last, n, &e)
            && s3_memtable_insert(kept, n->bucket, s3_memnode_key(n), &e,
                                  S3_MEM_DURABLE, 0, 0)
                   == NULL)
        {
            break;
        }
    }

    rc = s3_replay_flush(rp);

    for (n = s3_memtable_first(kept); n && rc == S3_OK;
         n = s3_memtable_next(kept, n))
    {
        rc = s3_memnode_entry(n, &e);

        if (rc == S3_OK) {
            rc = s3_replay_insert(rp, n->bucket, s3_memnode_key(n), &e);
        }
    }

    free(kept);

    return rc;
}


int
s3_replay_insert(s3_replay_t *rp, uint64_t bucket, s3_str_t key,
                 const s3_entry_t *e)
{
    int rc;

    if (!s3_memtable_room(rp->mem, s3_memtable_need(key.len, e->extra_len))) {
        rc = s3_replay_flush(rp);
        if (rc != S3_OK) {
            return rc;
        }
    }

    return s3_memtable_insert(rp->mem, bucket, key, e, S3_MEM_DURABLE, 0, 0)
               ? S3_OK
               : S3_ENOMEM;
}


/* Flags all records of that version in the memtable; how many. */

unsigned
s3_replay_flag(s3_replay_t *rp, uint64_t bucket, s3_str_t key,
               const s3_version_t *v, uint8_t flags)
{
    unsigned n;
    s3_entry_t e;
    s3_memnode_t *node;

    n = 0;
    node = s3_memtable_seek(rp->mem, bucket, key);

    while (node && node->bucket == bucket
           && s3_str_eq(s3_memnode_key(node), key)) {
        if (s3_memnode_entry(node, &e) == S3_OK && s3_entry_is_record(&e)
            && s3_version_cmp(&e.version, v) == 0)
        {
            s3_memnode_flag(node, flags);
            n++;
        }

        node = s3_memtable_next(rp->mem, node);
    }

    return n;
}


/* CONFIRMs whose record is in a table. */

static int
s3_replay_found(void *ctx, const s3_entry_t *e)
{
    s3_view_t *view = ctx;

    return s3_view_durable(view, e) ? S3_OK : S3_ENOMEM;
}


static int
s3_replay_get(s3_replay_t *rp, s3_view_t *view, uint64_t bucket, s3_str_t key,
              s3_block_t *block)
{
    int rc;
    unsigned i;
    uint64_t hash;
    s3_entry_t e;
    s3_table_t *t;
    s3_memnode_t *node;

    node = s3_memtable_seek(rp->mem, bucket, key);

    while (node && node->bucket == bucket
           && s3_str_eq(s3_memnode_key(node), key)) {
        if (s3_memnode_entry(node, &e) == S3_OK
            && s3_view_durable(view, &e) == NULL) {
            return S3_ENOMEM;
        }

        node = s3_memtable_next(rp->mem, node);
    }

    hash = s3_bloom_hash(bucket, key);

    for (i = 0; i < rp->n_tables + rp->n_others; i++) {
        t = i < rp->n_tables ? rp->tables[i] : rp->others[i - rp->n_tables];

        for (;;) {
            rc = s3_table_get(t, NULL, bucket, key, hash, block,
                              s3_replay_found, view);
            if (rc != S3_AGAIN) {
                break;
            }

            s3_block_read(rp->fs, block);
        }

        if (rc != S3_OK && rc != S3_ENOENT) {
            return rc;
        }
    }

    return S3_OK;
}


static int
s3_replay_confirm(s3_replay_t *rp, s3_late_t *late, s3_block_t *block)
{
    int rc;
    s3_str_t key = s3_str(late->key, late->key_len);
    s3_view_t view;
    s3_item_state_t *x;

    s3_view_init(&view);
    rc = s3_replay_get(rp, &view, late->bucket, key, block);

    x = rc == S3_OK ? s3_view_version(&view, &late->version) : NULL;

    if (rc == S3_ECORRUPT) {
        /* it is found again when the table is made anew from the log */
        __atomic_store_n(&rp->d->verify, S3_ZVERIFY_DAMAGE, __ATOMIC_RELEASE);
        rc = S3_OK;
    }

    if (x && s3_entry_is_record(&x->e)
        && (x->e.flags & late->flags) != late->flags) {
        x->e.flags |= late->flags;
        rc = s3_replay_insert(rp, late->bucket, key, &x->e);
    }

    s3_view_done(&view);

    return rc;
}


int
s3_replay_confirms(s3_replay_t *rp)
{
    int rc;
    s3_late_t *late;
    s3_block_t block;

    memset(&block, 0, sizeof(block));
    rc = S3_OK;

    while (rp->late && rc == S3_OK) {
        late = rp->late;
        rp->late = late->next;
        rc = s3_replay_confirm(rp, late, &block);
        free(late);
    }

    s3_block_release(&block);

    return rc;
}
