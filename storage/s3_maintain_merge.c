/*
 * Tables to larger ones.  Flushes go on meanwhile and put their tables in
 * front.
 *
 * While there are writes a merge has to be worth what it rewrites, and several
 * tables stay side by side (s3_compact_pick()).  Each page of a listing reads
 * all of them, for as long as nothing else is written; so, once nothing was
 * written for S3_REST_MS, they are put together, and the memtable with them.
 */

#include "storage/s3_maintain.h"

#define S3_REST_MS 5000


static void
s3_maintain_merge_close(s3_maintain_t *m)
{
    while (m->n_merge) {
        s3_table_release(m->merge_tables[--m->n_merge]);
    }
}


void
s3_maintain_merge_free(s3_maintain_t *m)
{
    s3_maintain_merge_close(m);
    s3_forgotten_free(&m->merge_forgotten);
}


static void
s3_maintain_merge_run(s3_task_t *task)
{
    s3_maintain_t *m = task->ctx;

    m->merge_rc = s3_compact_tables(&m->merge, m->merge_tables, m->n_merge);
    s3_forgotten_sort(&m->merge_forgotten);
}


/* Nobody ticks any more: the new file goes with the next start. */

void
s3_maintain_quiesce(s3_maintain_t *m)
{
    if (m->merged) {
        m->merged = 0;
        m->merging = 0;
        s3_maintain_merge_free(m);
    }

    s3_mend_quiesce(m);
}


static void
s3_maintain_merge_done(s3_task_t *task)
{
    s3_maintain_t *m = task->ctx;

    m->merged = 1; /* the tick goes on */

    if (m->l->quiet) {
        s3_maintain_quiesce(m);
    }
}


void
s3_maintain_merged(s3_maintain_t *m)
{
    int rc;
    unsigned i, first;

    m->merged = 0;
    m->merging = 0;
    rc = m->merge_rc;

    s3_maintain_begin(m);

    for (first = 0; first < m->n_tables; first++) {
        if (m->tables[first].id == m->merge_tables[0]->stats.id) {
            break;
        }
    }

    if (rc == S3_OK && first + m->n_merge > m->n_tables) {
        rc = S3_EBUSY; /* somebody else had the lease meanwhile */
    }

    for (i = 0; rc == S3_OK && i < m->n_merge; i++) {
        m->files[i] = m->merge_tables[i]->stats.id;

        if (m->tables[first + i].id != m->files[i]) {
            rc = S3_EBUSY;
        }
    }

    if (rc == S3_ECORRUPT) {
        s3_index_damaged(&m->l->ix);
    }

    if (rc != S3_OK) {
        s3_maintain_merge_free(m);
        s3_maintain_end(m, rc);
        return;
    }

    m->n_files = m->n_merge;
    s3_maintain_splice(m, first, m->n_merge, &m->merge);
    s3_zone_count(&m->l->zd->merges);
    s3_maintain_merge_close(m);

    m->forgotten = &m->merge_forgotten;
    s3_maintain_save(m);
}


/* Changes with whatever is written; never 0. */

static uint64_t
s3_rest_mark(s3_maintain_t *m)
{
    uint64_t active;
    s3_local_t *l = m->l;

    active = __atomic_load_n(&l->zd->active, __ATOMIC_ACQUIRE);

    return (active + 1) << 32
           | s3_memtable_count(
               s3_zone_arena(l->zone, l->index, (unsigned) active));
}


static int
s3_rest_is(s3_maintain_t *m, uint64_t now)
{
    uint64_t mark;

    mark = s3_rest_mark(m);

    if (mark != m->rest_mark) {
        m->rest_mark = mark;
        m->rest_since = now;
    }

    return now - m->rest_since >= S3_REST_MS;
}


/* Is there room for the new table beside the old ones?  None of what a drive
 * that is almost full keeps for its own work is spent on this. */

static int
s3_rest_has_room(s3_maintain_t *m, const uint64_t *bytes, unsigned n)
{
    uint64_t need;
    s3_zdrive_t *d = m->l->zd;

    need = 2 * __atomic_load_n(&d->bytes_reserve, __ATOMIC_RELAXED);

    while (n) {
        need += bytes[--n];
    }

    return s3_zone_state(d) == S3_DRIVE_OK
           && need <= __atomic_load_n(&d->bytes_free, __ATOMIC_RELAXED);
}


/* The memtable is to be one of the tables that are put together, but first of
 * all a table: frozen, it becomes one.  0: it stays. */

static int
s3_rest_freeze(s3_maintain_t *m, const uint64_t *tables, unsigned n)
{
    int froze = 0;
    unsigned count;
    uint64_t bytes[S3_ZONE_TABLES + 1];
    s3_local_t *l = m->l;
    s3_memtable_t *t;

    memcpy(bytes + 1, tables, n * sizeof(bytes[0]));

    s3_local_lock(l);

    t = s3_maintain_freezable(l);

    if (t) {
        bytes[0] = s3_memtable_used(t);
        count = s3_compact_pick_rest(bytes, n + 1);

        froze = count && s3_rest_has_room(m, bytes, count)
                && s3_local_freeze(l) == S3_OK;
    }

    s3_local_unlock(l);

    if (froze) {
        m->rest_mark = s3_rest_mark(m); /* nobody has written for that */
    }

    return froze;
}


static unsigned
s3_rest_pick(s3_maintain_t *m, const uint64_t *bytes, unsigned n)
{
    unsigned count;

    if (s3_rest_freeze(m, bytes, n)) {
        return 0;
    }

    count = s3_compact_pick_rest(bytes, n);

    return s3_rest_has_room(m, bytes, count) ? count : 0;
}


void
s3_maintain_merge(s3_maintain_t *m, uint64_t now)
{
    int rest;
    unsigned i, n, first;
    uint64_t bytes[S3_ZONE_TABLES];
    s3_local_t *l = m->l;
    s3_tabset_t *set = l->ix.current;

    rest = s3_rest_is(m, now);

    /* all of them have to be open here */
    if (m->merging || set->broken || s3_mend_needed(m)
        || set->generation
               != __atomic_load_n(&l->zd->generation, __ATOMIC_ACQUIRE))
    {
        return;
    }

    for (i = 0; i < set->n; i++) {
        bytes[i] = set->tables[i]->stats.bytes;
    }

    n = s3_compact_pick(bytes, set->n, &first);

    if (n < 2 && set->n > S3_ZONE_TABLES - 8) {
        first = 0;
        n = set->n;
    }

    if (n < 2 && rest) {
        first = 0;
        n = s3_rest_pick(m, bytes, set->n);
    }

    if (n < 2) {
        return;
    }

    for (i = 0; i < n; i++) {
        m->merge_tables[i] = s3_table_hold(set->tables[first + i]);
    }

    m->n_merge = n;
    m->merging = 1;
    s3_maintain_compact(m, &m->merge, &m->merge_forgotten);
    m->merge.flags = first + n == set->n ? S3_MERGE_BOTTOM : 0;
    m->merge.cancelled = &l->quiet; /* a leaving process need not wait */

    m->merge_task.run = s3_maintain_merge_run;
    m->merge_task.done = s3_maintain_merge_done;
    m->merge_task.ctx = m;
    m->merge_task.drive = l->index;
    l->loop->post_background(l->loop, &m->merge_task);
}
