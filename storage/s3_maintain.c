/*
 * Lease, flush, merge, MANIFEST.
 */

#include "storage/s3_maintain.h"
#include "storage/s3_bloom.h"
#include "storage/s3_settle.h"
#include <stdlib.h>

#define S3_MAINTAIN_PAUSE 500 /* ms after an error; doubles, to a minute */


/* RECORDs that leave the index. */

void
s3_forgotten_drop(void *ctx, s3_drop_t why, uint64_t bucket, s3_str_t key,
                  const s3_entry_t *e)
{
    size_t room;
    s3_zring_t *p;
    s3_forgotten_t *f = ctx;

    if (why != S3_DROP_SUPERSEDED || !s3_entry_is_record(e)) {
        return;
    }

    if (f->n == f->room) {
        room = f->room * 2 + 256;
        p = realloc(f->items, room * sizeof(*p));
        if (p == NULL) {
            if (s3_version_cmp(&e->version, &f->lost) > 0) {
                f->lost = e->version;
            }

            return;
        }

        f->items = p;
        f->room = room;
    }

    f->items[f->n].key = s3_bloom_hash(bucket, key);
    f->items[f->n].version = e->version;
    f->n++;
}


static int
s3_forgotten_cmp(const void *a, const void *b)
{
    const s3_zring_t *x = a, *y = b;

    return s3_version_cmp(&x->version, &y->version);
}


void
s3_forgotten_sort(s3_forgotten_t *f)
{
    size_t over;

    if (f->n == 0) {
        return;
    }

    qsort(f->items, f->n, sizeof(*f->items), s3_forgotten_cmp);

    if (f->n > S3_ZONE_RING) {
        over = f->n - S3_ZONE_RING;

        if (s3_version_cmp(&f->items[over - 1].version, &f->lost) > 0) {
            f->lost = f->items[over - 1].version;
        }

        memmove(f->items, f->items + over, S3_ZONE_RING * sizeof(*f->items));
        f->n = S3_ZONE_RING;
    }
}


void
s3_forgotten_keep(s3_forgotten_t *f, s3_zdrive_t *d)
{
    size_t i;

    if (s3_version_cmp(&f->lost, &d->memory_since) > 0) {
        d->memory_since = f->lost;
    }

    for (i = 0; i < f->n; i++) {
        s3_zone_ring_add(d, f->items[i].key, &f->items[i].version);
    }
}


void
s3_forgotten_free(s3_forgotten_t *f)
{
    free(f->items);
    memset(f, 0, sizeof(*f));
}


/* The MANIFEST. */

int
s3_maintain_manifest(s3_zone_t *z, unsigned drive, int arena, s3_manifest_t *m)
{
    int rc;
    unsigned i;
    s3_zseg_t *s;
    s3_zdrive_t *d = &z->drives[drive];
    s3_manifest_segment_t seg;

    s3_manifest_init(m);
    m->generation = d->manifest_generation++;
    m->floor = d->floor;
    m->lost = __atomic_load_n(&d->lost, __ATOMIC_ACQUIRE) == S3_ZLOST_RECORDS;
    m->clock = s3_zone_time(z);
    m->next_table_id = d->next_table_id;
    m->next_segment_id = d->next_segment_id;

    for (i = 0; i < z->n; i++) {
        if (i != drive) {
            memcpy(m->peers[i].drive, z->drives[i].id, 16);
            m->peers[i].generation =
                __atomic_load_n(&z->drives[i].manifest_saved, __ATOMIC_RELAXED);
        }
    }

    for (i = 0; i < z->max_segments; i++) {
        s = &s3_zone_segments(z, drive)[i];
        s->flags &= (uint16_t) ~S3_ZSEG_SAVED;

        if (s->id == 0) {
            continue;
        }

        if (s->state == S3_SEG_EMPTY) {
            s->flags |= S3_ZSEG_SAVED;
        }

        /* one that is being made may be written before the next save */
        if (s->state != S3_SEG_PREPARING && s->state != S3_SEG_OPEN
            && s->state != S3_SEG_SEALED)
        {
            continue;
        }

        seg.id = s->id;
        seg.live = s->live > 0 ? (uint64_t) s->live : 0;
        seg.replay_from = s->replay_from;

        if (arena >= 0) {
            seg.replay_from = s3_max(seg.replay_from, s->bound[arena]);
        }

        if (s->state == S3_SEG_PREPARING) {
            seg.replay_from = 0; /* there may be no such file */
        }

        /* of a damaged one each start shall see the damage */
        seg.sealed = s->state == S3_SEG_SEALED && seg.replay_from >= s->end
                     && !(s->flags & S3_ZSEG_NOCLEAN);

        rc = s3_manifest_add_segment(m, &seg);
        if (rc != S3_OK) {
            return rc;
        }
    }

    return S3_OK;
}


void
s3_maintain_saved(s3_zone_t *z, unsigned drive, int arena)
{
    unsigned i;
    s3_zseg_t *s;
    s3_zdrive_t *d = &z->drives[drive];

    __atomic_store_n(&d->manifest_saved, d->manifest_generation,
                     __ATOMIC_RELAXED);

    for (i = 0; i < z->max_segments; i++) {
        s = &s3_zone_segments(z, drive)[i];

        if (s->id == 0) {
            continue;
        }

        if (s->state == S3_SEG_EMPTY && s->flags & S3_ZSEG_SAVED) {
            s->state = S3_SEG_FREE;
        }

        if (arena >= 0 && s->bound[arena] > s->replay_from) {
            s->replay_from = s->bound[arena];
        }
    }
}


int
s3_manifest_add_tables(s3_manifest_t *m, const s3_ztable_t *tables, unsigned n)
{
    int rc;
    unsigned i;
    s3_manifest_table_t t;

    for (i = 0; i < n; i++) {
        t.id = tables[i].id;
        t.bytes = tables[i].bytes;
        t.entries = tables[i].entries;

        rc = s3_manifest_add_table(m, i, &t);
        if (rc != S3_OK) {
            return rc;
        }
    }

    return S3_OK;
}


/* Pieces of work. */

s3_maintain_t *
s3_maintain_create(s3_local_t *l)
{
    s3_maintain_t *m;

    m = calloc(1, sizeof(*m));
    if (m) {
        m->l = l;
    }

    return m;
}


void
s3_maintain_destroy(s3_maintain_t *m)
{
    if (!m->l->dead) {
        s3_zone_lease_drop(m->l->zone, m->l->index, m->l->slot);
    }

    s3_forgotten_free(&m->flush_forgotten);
    s3_forgotten_free(&m->merge_forgotten);
    s3_manifest_free(&m->manifest);
    s3_maintain_merge_free(m);
    s3_clean_free(m->cleaning);
    s3_mend_free(m);

    if (m->set) {
        s3_tabset_release(&m->l->ix, m->set);
    }

    if (m->count_set) {
        s3_tabset_release(&m->l->ix, m->count_set);
    }

    free(m->counted);
    free(m->counted_ids);
    free(m);
}


int
s3_maintain_busy(const s3_maintain_t *m)
{
    return m->busy || m->merging || m->cleaning || m->counting || m->sweeping
           || s3_mend_busy(m);
}


void
s3_maintain_post(s3_maintain_t *m, void (*run)(s3_task_t *),
                 void (*done)(s3_task_t *))
{
    m->task.run = run;
    m->task.done = done;
    m->task.ctx = m;
    m->task.drive = m->l->index;
    m->l->loop->post_background(m->l->loop, &m->task);
}


void
s3_maintain_end(s3_maintain_t *m, int rc)
{
    uint64_t pause;
    s3_local_t *l = m->l;

    m->busy = 0;

    if (m->set) {
        s3_tabset_release(&l->ix, m->set);
        m->set = NULL;
    }

    if (m->forgotten) {
        s3_forgotten_free(m->forgotten);
        m->forgotten = NULL;
    }

    s3_manifest_free(&m->manifest);

    if (rc == S3_OK) {
        m->failures = 0;
        return;
    }

    pause = (uint64_t) S3_MAINTAIN_PAUSE << s3_min(m->failures, 7u);
    m->failures++;
    m->failed = l->loop->mono_ms(l->loop) + pause;
    s3_zone_count(&l->zd->errors);
    l->loop->log(l->loop, S3_LOG_WARN, "drive %u: maintenance: %s",
                 l->index + 1, s3_strerror(rc));
}


static void
s3_maintain_unlink_run(s3_task_t *task)
{
    unsigned i;
    s3_maintain_t *m = task->ctx;

    for (i = 0; i < m->n_files; i++) {
        s3_table_unlink(m->l->fs, m->files[i]);
    }
}


static void
s3_maintain_unlinked(s3_task_t *task)
{
    s3_maintain_end(task->ctx, S3_OK);
}


static void
s3_maintain_save_run(s3_task_t *task)
{
    s3_maintain_t *m = task->ctx;

    m->rc = s3_manifest_save(m->l->fs, &m->manifest);
}


/* What was saved becomes true for all. */

static void
s3_maintain_install(s3_task_t *task)
{
    s3_maintain_t *m = task->ctx;
    s3_local_t *l = m->l;

    if (m->rc != S3_OK) {
        /* either MANIFEST may be found: the files of both stay */
        s3_maintain_end(m, m->rc);
        return;
    }

    s3_local_lock(l);

    if (m->forgotten) {
        s3_forgotten_keep(m->forgotten, l->zd);
    }

    s3_zone_set_tables(l->zd, m->tables, m->n_tables, m->arena);
    s3_maintain_saved(l->zone, l->index, m->arena);
    s3_local_unlock(l);

    m->save = 0;
    s3_index_refresh(&l->ix);

    if (m->n_files) {
        s3_maintain_post(m, s3_maintain_unlink_run, s3_maintain_unlinked);
        return;
    }

    s3_maintain_end(m, S3_OK);
}


/* m->tables is the list to be. */

void
s3_maintain_save(s3_maintain_t *m)
{
    int rc;
    s3_local_t *l = m->l;

    s3_manifest_free(&m->manifest);

    s3_local_lock(l);
    rc = s3_maintain_manifest(l->zone, l->index, m->arena, &m->manifest);
    s3_local_unlock(l);

    if (rc == S3_OK) {
        rc = s3_manifest_add_tables(&m->manifest, m->tables, m->n_tables);
    }

    if (rc != S3_OK) {
        s3_maintain_end(m, rc);
        return;
    }

    s3_maintain_post(m, s3_maintain_save_run, s3_maintain_install);
}


void
s3_maintain_splice(s3_maintain_t *m, unsigned first, unsigned count,
                   const s3_compact_t *c)
{
    s3_ztable_t t;
    unsigned more = c->stats.entries != 0;

    memset(&t, 0, sizeof(t));
    t.id = c->id;
    t.bytes = c->stats.bytes;
    t.entries = c->stats.entries;

    memmove(&m->tables[first + more], &m->tables[first + count],
            (m->n_tables - first - count) * sizeof(t));
    m->n_tables = m->n_tables - count + more;

    if (more) {
        m->tables[first] = t;
    }
}


void
s3_maintain_begin(s3_maintain_t *m)
{
    s3_local_t *l = m->l;
    const s3_ztables_t *list;

    m->busy = 1;
    m->arena = -1;
    m->n_files = 0;
    m->forgotten = NULL;

    s3_local_lock(l);

    list = s3_zone_tables(l->zd);
    m->n_tables = s3_min(list->n, (uint32_t) S3_ZONE_TABLES);
    memcpy(m->tables, list->tables, m->n_tables * sizeof(m->tables[0]));

    s3_local_unlock(l);
}


void
s3_maintain_compact(s3_maintain_t *m, s3_compact_t *c, s3_forgotten_t *f)
{
    s3_local_t *l = m->l;

    memset(c, 0, sizeof(*c));
    c->fs = l->fs;
    c->drop = s3_forgotten_drop;
    c->ctx = f;

    s3_local_lock(l);
    c->id = l->zd->next_table_id++;
    s3_local_unlock(l);
}


/* Nothing pending and nothing failed in it?  In a task: a walk over a million
 * nodes takes a second. */

static int
s3_maintain_settled(const s3_memtable_t *t)
{
    s3_memnode_t *n;

    for (n = s3_memtable_first(t); n; n = s3_memtable_next(t, n)) {
        if (s3_memnode_undone(n)) {
            return 0;
        }
    }

    return 1;
}


static void
s3_maintain_flush_run(s3_task_t *task)
{
    s3_maintain_t *m = task->ctx;

    if (!s3_maintain_settled(m->source.table)) {
        m->rc = S3_AGAIN;
        return;
    }

    m->rc = s3_compact(&m->flush, m->sources, 1);
    s3_forgotten_sort(&m->flush_forgotten);
}


static void
s3_maintain_flushed(s3_task_t *task)
{
    s3_maintain_t *m = task->ctx;

    if (m->rc == S3_AGAIN) {
        m->unsettled = 1; /* the other work has its turn */
        s3_maintain_end(m, S3_OK);
        return;
    }

    if (m->rc != S3_OK) {
        s3_maintain_end(m, m->rc);
        return;
    }

    s3_maintain_splice(m, 0, 0, &m->flush);
    s3_zone_count(&m->l->zd->flushes);
    s3_maintain_save(m);
}


s3_memtable_t *
s3_maintain_freezable(s3_local_t *l)
{
    s3_memtable_t *t;

    t = s3_zone_arena(l->zone, l->index, l->zd->active);

    return s3_memtable_count(t) && s3_zone_oldest(l->zd) < 0 ? t : NULL;
}


static int
s3_maintain_flush(s3_maintain_t *m)
{
    int arena;
    s3_local_t *l = m->l;
    s3_memtable_t *t;

    arena = s3_zone_oldest(l->zd);

    if (arena < 0 || s3_zone_tables(l->zd)->n >= S3_ZONE_TABLES || m->unsettled)
    {
        m->unsettled = 0;
        return 0;
    }

    t = s3_zone_arena(l->zone, l->index, (unsigned) arena);

    s3_maintain_begin(m);
    m->arena = arena;
    m->forgotten = &m->flush_forgotten;
    s3_maintain_compact(m, &m->flush, m->forgotten);
    s3_memsource_init(&m->source, t);
    m->sources[0] = &m->source.source;
    m->flush.estimate = s3_memtable_count(t);

    /* a merge that reads the oldest tables is not finished yet */
    m->flush.flags = m->n_tables ? 0 : S3_MERGE_BOTTOM;

    s3_maintain_post(m, s3_maintain_flush_run, s3_maintain_flushed);

    return 1;
}


static void
s3_maintain_adopted(void *ctx)
{
    s3_maintain_end(ctx, S3_OK);
}


/* What dead processes left here while their settler was without the drive:
 * pending, it would keep its memtable from being flushed. */

static int
s3_maintain_orphans(s3_maintain_t *m)
{
    m->busy = 1;

    if (s3_local_settle_orphans(m->l, s3_maintain_adopted, m) == S3_OK) {
        return 1;
    }

    m->busy = 0;

    return 0;
}


void
s3_maintain_tick(s3_maintain_t *m)
{
    uint64_t now;
    s3_local_t *l = m->l;

    /* on the way out only what somebody waits for */
    if (m->busy || l->dead || (l->quiet && l->stalled == NULL)) {
        return;
    }

    switch (s3_zone_state(l->zd)) {
    case S3_DRIVE_OK:
    case S3_DRIVE_FULL:
    case S3_DRIVE_REFILLING:
        break;
    default:
        return;
    }

    now = l->loop->mono_ms(l->loop);

    if (now < m->failed || !s3_zone_lease(l->zone, l->index, l->slot)) {
        return;
    }

    s3_maintain_tmp(m, now); /* first: the space may be what the rest lacks */

    if (s3_maintain_orphans(m) || s3_maintain_flush(m) || l->quiet) {
        return;
    }

    if (m->merged) {
        s3_maintain_merged(m);
        return;
    }

    if (s3_mend_tick(m, now) || s3_forgot_tick(m, now)) {
        return;
    }

    s3_maintain_merge(m, now);
    s3_maintain_count(m, now);

    if (m->save) {
        s3_maintain_begin(m);
        s3_maintain_save(m);
        return;
    }

    s3_maintain_look(m, now);
}
