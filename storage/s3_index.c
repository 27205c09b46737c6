/*
 * Tabsets and finds.
 */

#include "storage/s3_index.h"
#include "storage/s3_bloom.h"
#include <stdlib.h>

#define S3_INDEX_RETRY_MS 1000


static int s3_find_run(s3_find_t *find);


/* The oldest generation that is in use here, for all to see. */

static void
s3_index_publish(s3_index_t *ix)
{
    uint64_t least;
    s3_tabset_t *set;

    least = ix->current->generation;

    for (set = ix->old; set; set = set->next) {
        least = s3_min(least, set->generation);
    }

    __atomic_store_n(&ix->zone->procs[ix->slot].seen[ix->drive], least,
                     __ATOMIC_RELEASE);
}


static void
s3_tabset_free(s3_tabset_t *set)
{
    unsigned i;

    for (i = 0; i < set->n; i++) {
        s3_table_release(set->tables[i]);
    }

    free(set);
}


s3_tabset_t *
s3_tabset_hold(s3_index_t *ix)
{
    ix->current->refs++;
    return ix->current;
}


void
s3_tabset_release(s3_index_t *ix, s3_tabset_t *set)
{
    s3_tabset_t **p;

    if (--set->refs) {
        return;
    }

    for (p = &ix->old; *p; p = &(*p)->next) {
        if (*p == set) {
            *p = set->next;
            break;
        }
    }

    s3_tabset_free(set);

    if (ix->current) {
        s3_index_publish(ix);
    }
}


/* The list as it is now, with what is open here already and whole. */

static int
s3_index_plan(s3_index_t *ix)
{
    unsigned i, j;
    s3_tabset_t *set;
    s3_zdrive_t *d = &ix->zone->drives[ix->drive];
    const s3_ztables_t *list;

    set = calloc(1, sizeof(*set));
    if (set == NULL) {
        return S3_ENOMEM;
    }

    set->refs = 1;
    ix->n_missing = 0;

    s3_zone_lock(d);

    list = s3_zone_tables(d);
    set->generation = list->generation;
    set->n = s3_min(list->n, (uint32_t) S3_ZONE_TABLES);

    for (i = 0; i < set->n; i++) {

        for (j = 0; ix->current && j < ix->current->n; j++) {
            if (ix->current->tables[j]->stats.id == list->tables[i].id
                && !ix->current->tables[j]->broken)
            {
                set->tables[i] = s3_table_hold(ix->current->tables[j]);
                break;
            }
        }

        if (set->tables[i] == NULL) {
            ix->places[ix->n_missing] = i;
            ix->ids[ix->n_missing++] = list->tables[i].id;
        }
    }

    s3_zone_unlock(d);

    ix->next = set;

    return S3_OK;
}


/* Is a file that is not there one of those that count? */

static int
s3_index_lists(s3_index_t *ix, uint32_t id)
{
    int found;
    unsigned i;
    s3_zdrive_t *d = &ix->zone->drives[ix->drive];
    const s3_ztables_t *list;

    found = 0;

    s3_zone_lock(d);

    list = s3_zone_tables(d);

    for (i = 0; i < list->n && i < S3_ZONE_TABLES; i++) {
        found |= list->tables[i].id == id;
    }

    s3_zone_unlock(d);

    return found;
}


static int
s3_index_open_table(s3_index_t *ix, uint32_t id, s3_table_t **table)
{
    int rc;

    rc = s3_table_open(ix->fs, id, table);

    if (rc == S3_ECORRUPT || (rc == S3_ENOENT && s3_index_lists(ix, id))) {
        s3_index_damaged(ix);
        rc = s3_table_broken(ix->fs, id, table);
    }

    return rc;
}


static void
s3_index_task(s3_task_t *task)
{
    unsigned i;
    s3_index_t *ix = task->ctx;

    ix->rc = S3_OK;

    for (i = 0; i < ix->n_missing; i++) {
        ix->opened[i] = NULL;
    }

    for (i = 0; i < ix->n_missing && ix->rc == S3_OK; i++) {
        ix->rc = s3_index_open_table(ix, ix->ids[i], &ix->opened[i]);
    }
}


/* Takes what the task has opened; the set becomes the current one. */

static int
s3_index_take(s3_index_t *ix)
{
    unsigned i;
    s3_tabset_t *set = ix->next, *was = ix->current;

    ix->next = NULL;

    for (i = 0; i < ix->n_missing; i++) {
        set->tables[ix->places[i]] = ix->opened[i];
        set->broken += ix->opened[i] && ix->opened[i]->broken;
        ix->opened[i] = NULL;
    }

    if (ix->rc != S3_OK) {
        s3_tabset_free(set);
        return ix->rc;
    }

    ix->current = set;

    if (was) {
        was->next = ix->old;
        ix->old = was;
        s3_tabset_release(ix, was);
    }

    s3_index_publish(ix);

    return S3_OK;
}


int
s3_index_open(s3_index_t *ix, s3_zone_t *zone, unsigned drive, unsigned slot,
              s3_loop_t *loop, s3_fs_t *fs)
{
    int rc, tries;

    memset(ix, 0, sizeof(*ix));
    ix->zone = zone;
    ix->drive = drive;
    ix->slot = slot;
    ix->loop = loop;
    ix->fs = fs;
    ix->task.ctx = ix;

    rc = S3_OK;

    /* a table that has been merged away meanwhile is no longer there */
    for (tries = 0; tries < 8; tries++) {
        rc = s3_index_plan(ix);
        if (rc != S3_OK) {
            return rc;
        }

        s3_index_task(&ix->task);

        rc = s3_index_take(ix);
        if (rc != S3_ENOENT) {
            break;
        }
    }

    if (rc == S3_OK) {
        ix->cache = s3_cache_create();
    }

    return rc;
}


void
s3_index_close(s3_index_t *ix)
{
    s3_tabset_t *set = ix->current;

    if (set) {
        ix->current = NULL;
        s3_tabset_release(ix, set);
    }

    while (ix->old) {
        set = ix->old;
        ix->old = set->next;
        s3_tabset_free(set);
    }

    if (ix->next) {
        s3_tabset_free(ix->next);
        ix->next = NULL;
    }

    s3_cache_destroy(ix->cache);
    ix->cache = NULL;
}


static void
s3_index_opened(s3_task_t *task)
{
    int rc;
    s3_index_t *ix = task->ctx;
    s3_zdrive_t *d = &ix->zone->drives[ix->drive];

    ix->opening = 0;

    rc = s3_index_take(ix);

    if (rc == S3_OK || rc == S3_ENOENT) {
        ix->retry = 0;
        ix->reopen = ix->loop->mono_ms(ix->loop) + S3_INDEX_RETRY_MS;
        s3_index_refresh(ix);

    } else {
        /* the old set goes on to be right */
        s3_zone_count(&d->errors);

        if (ix->retry == 0) {
            /* of a drive that fails one line will tell, not each worker's */
            ix->loop->log(ix->loop, rc == S3_EIO ? S3_LOG_INFO : S3_LOG_ERR,
                          "drive %u: opening a table: %s", ix->drive + 1,
                          s3_strerror(rc));
        }

        ix->retry = ix->loop->mono_ms(ix->loop) + S3_INDEX_RETRY_MS;
    }
}


/* Is there something to open? */

static int
s3_index_due(s3_index_t *ix)
{
    s3_zdrive_t *d = &ix->zone->drives[ix->drive];

    if (ix->opening || ix->quiet || ix->current == NULL) {
        return 0;
    }

    if (__atomic_load_n(&d->generation, __ATOMIC_ACQUIRE)
        != ix->current->generation)
    {
        return 1;
    }

    return ix->current->broken && ix->loop->mono_ms(ix->loop) >= ix->reopen;
}


void
s3_index_refresh(s3_index_t *ix)
{
    if (!s3_index_due(ix)) {
        return;
    }

    if (ix->retry && ix->loop->mono_ms(ix->loop) < ix->retry) {
        return;
    }

    if (s3_index_plan(ix) != S3_OK) {
        return;
    }

    if (ix->n_missing == 0) {
        ix->rc = S3_OK;
        s3_index_take(ix);
        return;
    }

    ix->opening = 1;
    ix->task.run = s3_index_task;
    ix->task.done = s3_index_opened;
    ix->task.drive = ix->drive;
    ix->loop->post(ix->loop, &ix->task);
}


unsigned
s3_index_memtables(s3_zone_t *z, unsigned drive, uint64_t generation,
                   s3_memtable_t *tables[S3_ZONE_ARENAS], unsigned *arena)
{
    unsigned i, j, n;
    uint64_t seq[S3_ZONE_ARENAS], flushed;
    s3_zarena_t *a;
    s3_zdrive_t *d = &z->drives[drive];

    n = 0;

    for (i = 0; i < S3_ZONE_ARENAS; i++) {
        a = &d->arenas[i];

        if (!__atomic_load_n(&a->used, __ATOMIC_ACQUIRE)) {
            continue;
        }

        flushed = __atomic_load_n(&a->flushed, __ATOMIC_ACQUIRE);

        if (flushed && flushed <= generation) {
            continue;
        }

        for (j = n; j > 0 && seq[j - 1] < a->seq; j--) {
            seq[j] = seq[j - 1];
            tables[j] = tables[j - 1];
            arena[j] = arena[j - 1];
        }

        seq[j] = a->seq;
        tables[j] = s3_zone_arena(z, drive, i);
        arena[j] = i;
        n++;
    }

    return n;
}


void
s3_memtables_hold(s3_index_t *ix, s3_memtables_t *m)
{
    unsigned arenas[S3_ZONE_ARENAS];

    m->set = s3_tabset_hold(ix);
    m->n = s3_index_memtables(ix->zone, ix->drive, m->set->generation,
                              m->tables, arenas);
}


void
s3_memtables_release(s3_index_t *ix, s3_memtables_t *m)
{
    s3_tabset_release(ix, m->set);
}


static int
s3_find_found(void *ctx, const s3_entry_t *e)
{
    unsigned room;
    s3_entry_t *p;
    s3_find_t *find = ctx;

    if (find->n == find->room) {
        room = find->room * 2 + 8;
        p = malloc(room * sizeof(*p));
        if (p == NULL) {
            return S3_ENOMEM;
        }

        memcpy(p, find->entries, find->n * sizeof(*p));

        if (find->entries != find->fixed) {
            free(find->entries);
        }

        find->entries = p;
        find->room = room;
    }

    find->entries[find->n++] = *e;

    return S3_OK;
}


static void
s3_find_task(s3_task_t *task)
{
    s3_find_t *find = task->ctx;

    s3_block_read(find->ix->fs, &find->block);
}


static void
s3_find_read(s3_task_t *task)
{
    int rc;
    s3_find_t *find = task->ctx;

    rc = s3_find_run(find);

    if (rc != S3_AGAIN) {
        find->done(find, rc);
    }
}


static int
s3_find_run(s3_find_t *find)
{
    int rc;
    s3_index_t *ix = find->ix;

    while (find->at < find->set->n) {

        rc = s3_table_get(find->set->tables[find->at], ix->loop, find->bucket,
                          find->key, find->hash, &find->block, s3_find_found,
                          find);

        if (rc == S3_AGAIN) {
            find->task.run = s3_find_task;
            find->task.done = s3_find_read;
            find->task.ctx = find;
            find->task.drive = ix->drive;
            ix->loop->post(ix->loop, &find->task);
            return S3_AGAIN;
        }

        if (rc != S3_OK && rc != S3_ENOENT) {
            s3_zone_count(&ix->zone->drives[ix->drive].errors);

            if (rc == S3_ECORRUPT) {
                s3_index_damaged(ix);
            }

            return rc;
        }

        find->at++;
    }

    return S3_OK;
}


int
s3_find_start(s3_find_t *find, s3_index_t *ix, uint64_t bucket, s3_str_t key)
{
    s3_index_refresh(ix);

    find->ix = ix;
    find->bucket = bucket;
    find->key = key;
    find->hash = s3_bloom_hash(bucket, key);
    find->set = s3_tabset_hold(ix);
    find->at = 0;
    memset(&find->block, 0, sizeof(find->block));
    find->block.cache = ix->cache;
    find->entries = find->fixed;
    find->n = 0;
    find->room = sizeof(find->fixed) / sizeof(find->fixed[0]);

    return s3_find_run(find);
}


void
s3_find_end(s3_find_t *find)
{
    if (find->set == NULL) {
        return;
    }

    s3_block_release(&find->block);

    if (find->entries != find->fixed) {
        free(find->entries);
    }

    find->entries = find->fixed;
    find->n = 0;

    s3_tabset_release(find->ix, find->set);
    find->set = NULL;
}
