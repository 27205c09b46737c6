/*
 * What the segments and the file system look like: space, garbage, which
 * segment to clean.
 */

#include "storage/s3_maintain.h"
#include <stdlib.h>

#define S3_LOOK_MS 1000
#define S3_LOOK_FULL_MS 200
#define S3_SPACE_MS 5000
#define S3_KEEP_FREE 4     /* segments ready to be used again */
#define S3_UNCOVERED 16    /* segments' worth of log that no table covers */
#define S3_UNCOVERED_FEW 2 /* as much, after S3_UNCOVERED_MS without a table */
#define S3_UNCOVERED_MS 30000
#define S3_UNCOVERED_ANY_MS 120000 /* and anything at all after this */
#define S3_FEW_PLACES 64 /* full: one in so many is free in the registry */
#define S3_RESERVE_MAX (1024ULL * 1024 * 1024)


typedef struct {
    uint64_t uncovered;
    unsigned empty;
    unsigned free;
    s3_zseg_t *garbage;
    s3_zseg_t *best; /* to be cleaned */
    double best_share;
} s3_looked_t;


/* Garbage: files of segments that came to nothing, or are too many. */

static void
s3_garbage_run(s3_task_t *task)
{
    int rc;
    unsigned i;
    char path[S3_SEGMENT_PATH];
    s3_maintain_t *m = task->ctx;
    s3_fs_t *fs = m->l->fs;

    m->rc = S3_OK;

    for (i = 0; i < 2; i++) {
        if (m->garbage[i] == 0) {
            continue;
        }

        s3_segment_path(path, m->garbage[i]);
        rc = fs->unlink(fs, path);

        if (rc != S3_OK && rc != S3_ENOENT) {
            m->rc = rc;
        }
    }
}


static void
s3_garbage_done(s3_task_t *task)
{
    s3_zseg_t *s;
    s3_maintain_t *m = task->ctx;
    s3_local_t *l = m->l;

    s3_local_lock(l);

    s = s3_zone_segment(l->zone, l->index, m->garbage[0]);

    if (m->rc == S3_OK && s && s->state == S3_SEG_GARBAGE) {
        s->state = S3_SEG_NONE;
        s->id = 0;
    }

    s3_local_unlock(l);

    s3_maintain_end(m, m->rc);
}


/* Space. */

static void
s3_space_run(s3_task_t *task)
{
    s3_maintain_t *m = task->ctx;
    s3_fs_t *fs = m->l->fs;

    m->rc = fs->space(fs, &m->bytes_free, &m->bytes_total);
}


static uint64_t
s3_space_reserve(const s3_maintain_t *m)
{
    uint64_t reserve;

    reserve = s3_min(m->bytes_total / 50, S3_RESERVE_MAX);
    reserve = s3_max(reserve, 2 * (uint64_t) m->l->segment_size);

    return s3_min(reserve, m->bytes_total / 8);
}


/* Places for segments are space, too. */

static unsigned
s3_space_places(const s3_maintain_t *m)
{
    unsigned i, n;
    s3_local_t *l = m->l;

    n = 0;

    s3_zone_lock(l->zd);

    for (i = 0; i < l->zone->max_segments; i++) {
        n += s3_zone_segments(l->zone, l->index)[i].id == 0;
    }

    s3_zone_unlock(l->zd);

    return n;
}


static void
s3_space_done(s3_task_t *task)
{
    unsigned places, few;
    uint64_t reserve;
    s3_maintain_t *m = task->ctx;
    s3_local_t *l = m->l;
    s3_zdrive_t *d = l->zd;

    if (m->rc == S3_OK) {
        __atomic_store_n(&d->bytes_free, m->bytes_free, __ATOMIC_RELAXED);
        __atomic_store_n(&d->bytes_total, m->bytes_total, __ATOMIC_RELAXED);
        reserve = s3_space_reserve(m);
        __atomic_store_n(&d->bytes_reserve, reserve, __ATOMIC_RELAXED);
        places = s3_space_places(m);
        few = l->zone->max_segments / S3_FEW_PLACES;

        if ((m->bytes_free < reserve || places < few)
            && (s3_zone_state(d) == S3_DRIVE_OK
                || s3_zone_state(d) == S3_DRIVE_REFILLING))
        {
            __atomic_store_n(&d->state, S3_DRIVE_FULL, __ATOMIC_RELEASE);
            s3_zone_fault(
                d, m->bytes_free < reserve ? S3_ZFAULT_FULL : S3_ZFAULT_PLACES,
                0);
            l->loop->log(l->loop, S3_LOG_WARN,
                         "drive %u: full, deletions are still taken",
                         l->index + 1);

        } else if (m->bytes_free > reserve + reserve / 2 && places >= 2 * few
                   && s3_local_mend(l, S3_DRIVE_FULL) == S3_OK)
        {
            l->loop->log(l->loop, S3_LOG_NOTICE, "drive %u: has space again",
                         l->index + 1);
        }
    }

    s3_maintain_end(m, m->rc);
}


/* Live bytes, counted: after a start the estimate may be too high. */

static void
s3_recount_run(s3_task_t *task)
{
    int rc;
    unsigned i, j, n, probe;
    s3_merge_t merge;
    s3_maintain_t *m = task->ctx;
    s3_zone_t *z = m->l->zone;
    s3_table_iter_t *it;
    s3_source_t *sources[S3_ZONE_TABLES];
    const s3_entry_t *e;

    n = m->set->n;
    probe = __atomic_load_n(&m->l->zd->probe, __ATOMIC_ACQUIRE);
    it = malloc((n + 1) * sizeof(*it));

    if (it == NULL) {
        m->rc = S3_ENOMEM;
        return;
    }

    for (i = 0; i < n; i++) {
        s3_table_iter_init(&it[i], m->set->tables[i], NULL, m->l->fs);
        sources[i] = &it[i].source;
    }

    rc = s3_merge_init(&merge, sources, n, 0);

    if (rc == S3_OK) {
        rc = s3_merge_seek(&merge, 0, s3_null_str);
    }

    while (rc == S3_OK && !__atomic_load_n(&m->l->quiet, __ATOMIC_RELAXED)) {
        rc = s3_merge_next(&merge);

        for (i = 0; rc == S3_OK && i < merge.n; i++) {
            e = &merge.entries[i];

            for (j = 0; j < probe; j++) {
                if (m->counted_ids[(e->segment + j) % z->max_segments]
                    == e->segment) {
                    m->counted[(e->segment + j) % z->max_segments] += e->length;
                    break;
                }
            }
        }
    }

    m->rc = rc == S3_DONE ? S3_OK : rc == S3_OK ? S3_AGAIN : rc;

    s3_merge_done(&merge);

    for (i = 0; i < n; i++) {
        s3_table_iter_done(&it[i]);
    }

    free(it);
}


static void
s3_recount_done(s3_task_t *task)
{
    unsigned i;
    s3_zseg_t *s;
    s3_maintain_t *m = task->ctx;
    s3_local_t *l = m->l;

    if (m->rc == S3_OK) {
        s3_local_lock(l);

        for (i = 0; i < l->zone->max_segments; i++) {
            s = &s3_zone_segments(l->zone, l->index)[i];

            if (s->id && s->id == m->counted_ids[i]
                && s->state == S3_SEG_SEALED) {
                s->live =
                    m->counted[i]
                    + (s->end > s->replay_from ? s->end - s->replay_from : 0);
            }
        }

        l->zd->recount = 0;
        s3_local_unlock(l);
    }

    free(m->counted);
    free(m->counted_ids);
    m->counted = NULL;
    m->counted_ids = NULL;

    s3_maintain_end(m, m->rc);
}


static int
s3_recount_start(s3_maintain_t *m)
{
    unsigned i, n;
    s3_local_t *l = m->l;

    if (l->ix.current->generation
        != __atomic_load_n(&l->zd->generation, __ATOMIC_ACQUIRE))
    {
        return 0;
    }

    n = l->zone->max_segments;
    m->counted = calloc(n, sizeof(*m->counted));
    m->counted_ids = calloc(n, sizeof(*m->counted_ids));

    if (m->counted == NULL || m->counted_ids == NULL) {
        free(m->counted);
        free(m->counted_ids);
        m->counted = NULL;
        m->counted_ids = NULL;
        return 0;
    }

    for (i = 0; i < n; i++) {
        m->counted_ids[i] = s3_zone_segments(l->zone, l->index)[i].id;
    }

    m->busy = 1;
    m->set = s3_tabset_hold(&l->ix);
    s3_maintain_post(m, s3_recount_run, s3_recount_done);

    return 1;
}


/*
 * Under the lock: of so many bytes a segment's live ones are a share.  Processes
 * begin with small segments; where these take more than half of the places what
 * is in them is brought together in large ones.
 */

static uint32_t
s3_look_least(s3_local_t *l)
{
    unsigned i, used;

    for (i = 0, used = 0; i < l->zone->max_segments; i++) {
        used += s3_zone_segments(l->zone, l->index)[i].id != 0;
    }

    return 2 * used > l->zone->max_segments ? l->segment_size : 0;
}


/* Under the lock. */

static void
s3_look_segments(s3_maintain_t *m, s3_looked_t *k)
{
    double share;
    unsigned i;
    uint32_t least;
    s3_zseg_t *s;
    s3_local_t *l = m->l;

    memset(k, 0, sizeof(*k));
    least = s3_look_least(l);
    k->best_share = s3_zone_state(l->zd) == S3_DRIVE_FULL ? 0.9 : 0.5;

    for (i = 0; i < l->zone->max_segments; i++) {
        s = &s3_zone_segments(l->zone, l->index)[i];

        switch (s->id ? s->state : S3_SEG_NONE) {

        case S3_SEG_OPEN:
        case S3_SEG_SEALED:
            if (s->state == S3_SEG_SEALED && s->end == S3_SEGMENT_START
                && !(s->flags & S3_ZSEG_NOCLEAN))
            {
                s->state = S3_SEG_EMPTY; /* never written to */
                k->empty++;
                break;
            }

            if (s->end > s->replay_from) {
                k->uncovered += s->end - s->replay_from;

            } else if (s->state == S3_SEG_SEALED
                       && !(s->flags & S3_ZSEG_NOCLEAN) && s->size)
            {
                share = (double) s->live / (double) s3_max(s->size, least);

                if (share < k->best_share) {
                    k->best_share = share;
                    k->best = s;
                }
            }

            break;

        case S3_SEG_EMPTY:
            k->empty++;
            break;

        case S3_SEG_FREE:
            if (++k->free > S3_KEEP_FREE || s->size != l->segment_size) {
                s->state = S3_SEG_GARBAGE;
                s->recycle = 0;
            }
            break;

        case S3_SEG_GARBAGE:
            k->garbage = s;
            break;

        default:
            break;
        }
    }
}


/*
 * Only segments that tables cover can be cleaned.  Where little is written,
 * the memtable would take long to fill, and what was deleted would keep its
 * space as long.
 */

static void
s3_look_freeze(s3_maintain_t *m, const s3_looked_t *k, uint64_t now)
{
    uint64_t most;
    s3_local_t *l = m->l;

    most = S3_UNCOVERED;

    if (now - m->froze >= S3_UNCOVERED_MS) {
        most = S3_UNCOVERED_FEW;
    }

    if (now - m->froze >= S3_UNCOVERED_ANY_MS
        || s3_zone_state(l->zd) == S3_DRIVE_FULL)
    {
        most = 0;
    }

    if (k->uncovered == 0 || k->uncovered < most * l->segment_size) {
        return;
    }

    if (s3_maintain_freezable(l)) {
        s3_local_freeze(l);
        m->froze = now;
    }
}


void
s3_maintain_look(s3_maintain_t *m, uint64_t now)
{
    uint32_t clean;
    uint64_t every;
    s3_looked_t k;
    s3_local_t *l = m->l;

    if (now - m->spaced >= S3_SPACE_MS || m->spaced == 0) {
        m->spaced = now + 1;
        m->busy = 1;
        s3_maintain_post(m, s3_space_run, s3_space_done);
        return;
    }

    every =
        s3_zone_state(l->zd) == S3_DRIVE_FULL ? S3_LOOK_FULL_MS : S3_LOOK_MS;

    if (now - m->looked < every) {
        return;
    }

    m->looked = now;
    clean = 0;

    s3_local_lock(l);

    s3_look_segments(m, &k);
    s3_look_freeze(m, &k, now);

    if (k.best && m->cleaning == NULL && !s3_mend_needed(m)) {
        clean = k.best->id;
    }

    if (k.garbage) {
        m->garbage[0] = k.garbage->id;
        m->garbage[1] = k.garbage->recycle;
        m->looked = 0; /* there may be more */
    }

    s3_local_unlock(l);

    if (clean) {
        s3_clean_start(m, clean);
    }

    if (k.empty) {
        m->save = 1;
    }

    if (k.garbage) {
        m->busy = 1;
        s3_maintain_post(m, s3_garbage_run, s3_garbage_done);

    } else if (l->zd->recount && !m->save) {
        s3_recount_start(m);
    }
}
