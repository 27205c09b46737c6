/*
 * Settling of a dead process' pending entries on one drive.
 *
 * Memtables may have a million nodes, and nobody's votes wait while they are
 * walked: the task finds the nodes, and only those are looked at again under
 * the lock.  Who owns them is dead, or has closed its log, so no node comes to
 * them after the start.
 */

#include "storage/s3_settle.h"
#include <stdlib.h>


typedef struct {
    uint32_t id;
    int rc;
    uint32_t end;
    uint32_t *offsets; /* of whole records, ascending */
    size_t n;
    size_t room;
    unsigned seal : 1; /* its writer is gone */
} s3_settle_seg_t;

typedef struct {
    s3_local_t *l;
    unsigned slot;
    uint32_t incarnation;
    s3_settle_seg_t *segs;
    unsigned n_segs;
    s3_memtables_t mem;
    size_t used[S3_ZONE_ARENAS]; /* of each, when this began */
    s3_memnode_t **nodes;
    size_t n_nodes;
    size_t room;
    int rc; /* of finding them */
    unsigned failed;
    unsigned removed;
    unsigned kept;
    unsigned orphans : 1; /* others' too, whom nobody settles any more */
    uint32_t told;        /* of orphans, when this began */
    s3_task_t task;
    void (*done)(void *ctx);
    void *ctx;
} s3_settle_t;


static void
s3_settle_end(s3_settle_t *st)
{
    unsigned i;
    void (*done)(void *) = st->done;
    void *ctx = st->ctx;

    s3_memtables_release(&st->l->ix, &st->mem);
    st->l->ops--;

    for (i = 0; i < st->n_segs; i++) {
        free(st->segs[i].offsets);
    }

    free(st->segs);
    free(st->nodes);
    free(st);
    done(ctx);
}


static int
s3_settle_record(void *ctx, const s3_record_t *r)
{
    size_t room;
    uint32_t *p;
    s3_settle_seg_t *seg = ctx;

    if (seg->n == seg->room) {
        room = seg->room * 2 + 256;
        p = realloc(seg->offsets, room * sizeof(*p));
        if (p == NULL) {
            return S3_ENOMEM;
        }

        seg->offsets = p;
        seg->room = room;
    }

    seg->offsets[seg->n++] = r->entry.offset;

    return S3_OK;
}


/*
 * What can be read now must not depend on a cache that a power cut empties, and
 * what cannot must not come later.  A process is gone when its writes are done,
 * but for one thing: who reads its /proc/PID/smaps or the like holds its
 * memory, and then the kernel may still be at them.  It does not allocate as
 * long as there are any (inode_dio_wait(); ext4 and XFS do so).
 */

static int
s3_settle_sync(s3_fs_t *fs, uint32_t id)
{
    int rc;
    char path[S3_SEGMENT_PATH];
    s3_file_t *f;

    s3_segment_path(path, id);

    rc = fs->open(fs, path, S3_O_READ | S3_O_WRITE, &f);
    if (rc != S3_OK) {
        return rc;
    }

    rc = fs->allocate(fs, f, S3_SECTOR);

    if (rc != S3_EIO) {
        rc = fs->sync(fs, f);
    }

    fs->close(fs, f);

    return rc;
}


static s3_settle_seg_t *
s3_settle_seg(s3_settle_t *st, uint32_t id)
{
    unsigned i;

    for (i = 0; i < st->n_segs; i++) {
        if (st->segs[i].id == id) {
            return &st->segs[i];
        }
    }

    return NULL;
}


static int
s3_settle_cmp(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *) a, y = *(const uint32_t *) b;

    return (x > y) - (x < y);
}


static void
s3_settle_node(s3_settle_t *st, s3_memnode_t *n)
{
    int rc;
    s3_entry_t e;
    s3_local_t *l = st->l;
    s3_settle_seg_t *seg;

    rc = s3_memnode_entry(n, &e);
    seg = rc == S3_OK ? s3_settle_seg(st, e.segment) : NULL;

    if (seg == NULL && rc == S3_OK && st->orphans) {
        return; /* newer than the look: its writer, or somebody else, ends it */
    }

    if (s3_memnode_state(n) == S3_MEM_FAILED) {
        __atomic_fetch_sub(&l->zd->failed, 1, __ATOMIC_ACQ_REL);
    }

    if (rc != S3_OK) {
        s3_memnode_set(n, S3_MEM_REMOVED);
        return;
    }

    if (seg == NULL || (seg->rc != S3_OK && seg->rc != S3_ENOENT)) {
        st->failed++;
        __atomic_fetch_add(&l->zd->failed, 1, __ATOMIC_ACQ_REL);
        s3_memnode_set(n, S3_MEM_FAILED);
        return;
    }

    if (s3_break(PENDING_KEPT)
        || (seg->n
            && bsearch(&e.offset, seg->offsets, seg->n, sizeof(uint32_t),
                       s3_settle_cmp)))
    {
        st->kept++;
        s3_memnode_set(n, S3_MEM_DURABLE);
        return;
    }

    st->removed++;
    s3_memnode_set(n, S3_MEM_REMOVED);
}


/* Left behind by whom this is about? */

static int
s3_settle_owned(const s3_settle_t *st, unsigned owner, uint32_t incarnation)
{
    const s3_zone_t *z = st->l->zone;

    if (owner == st->slot && incarnation == st->incarnation) {
        return 1;
    }

    /* the settler of that process could not use the drive */
    return st->orphans
           && (s3_zone_proc_incarnation(z, owner % S3_ZONE_PROCS) != incarnation
               || s3_zone_proc_state(z, owner % S3_ZONE_PROCS) == S3_PROC_FREE);
}


/* Calls for each node of the dead that is pending. */

static void
s3_settle_nodes(s3_settle_t *st, void (*call)(s3_settle_t *, s3_memnode_t *))
{
    unsigned i;
    s3_memnode_t *n;
    s3_memtable_t *m;

    for (i = 0; i < st->mem.n; i++) {
        m = st->mem.tables[i];

        for (n = s3_memtable_first(m); n; n = s3_memtable_next(m, n)) {
            if ((size_t) ((uint8_t *) n - (uint8_t *) m) < st->used[i]
                && s3_memnode_undone(n)
                && s3_settle_owned(st, n->owner, n->incarnation))
            {
                call(st, n);
            }
        }
    }
}


static int
s3_settle_add(s3_settle_t *st, uint32_t id)
{
    s3_settle_seg_t *p;

    if (s3_settle_seg(st, id)) {
        return S3_OK;
    }

    p = realloc(st->segs, (st->n_segs + 1) * sizeof(*p));
    if (p == NULL) {
        return S3_ENOMEM;
    }

    st->segs = p;
    memset(&p[st->n_segs], 0, sizeof(*p));
    p[st->n_segs++].id = id;

    return S3_OK;
}


static void
s3_settle_found(s3_settle_t *st, s3_memnode_t *n)
{
    size_t room;
    s3_entry_t e;
    s3_memnode_t **p;

    if (st->n_nodes == st->room) {
        room = st->room * 2 + 256;
        p = realloc(st->nodes, room * sizeof(*p));
        if (p == NULL) {
            st->rc = S3_ENOMEM;
            return;
        }

        st->nodes = p;
        st->room = room;
    }

    st->nodes[st->n_nodes++] = n;

    /* one whose segment finds no room here ends FAILED */
    if (s3_memnode_entry(n, &e) == S3_OK) {
        s3_settle_add(st, e.segment);
    }
}


static void
s3_settle_run(s3_task_t *task)
{
    unsigned i;
    s3_settle_t *st = task->ctx;
    s3_scan_result_t result;
    s3_settle_seg_t *seg;
    s3_fs_t *fs = st->l->fs;

    s3_settle_nodes(st, s3_settle_found);

    for (i = 0; i < st->n_segs; i++) {
        seg = &st->segs[i];
        seg->end = S3_SEGMENT_START;
        memset(&result, 0, sizeof(result));

        seg->rc = s3_settle_sync(fs, seg->id);

        if (seg->rc == S3_OK) {
            seg->rc =
                s3_segment_scan(fs, seg->id, 0, s3_settle_record, seg, &result);
        }

        if (seg->rc == S3_OK) {
            seg->end = s3_max(result.end, (uint32_t) S3_SEGMENT_START);
        }
    }
}


static void
s3_settle_done(s3_task_t *task)
{
    size_t k;
    unsigned i;
    s3_zseg_t *s;
    s3_settle_t *st = task->ctx;
    s3_local_t *l = st->l;
    s3_settle_seg_t *seg;

    s3_local_lock(l);

    if (st->rc != S3_OK) {
        /* no memory for a list of them: that takes longer */
        s3_settle_nodes(st, s3_settle_node);
    }

    for (k = 0; k < st->n_nodes && st->rc == S3_OK; k++) {
        if (s3_memnode_undone(st->nodes[k])) {
            s3_settle_node(st, st->nodes[k]);
        }
    }

    s3_zone_changed(l->zone);
    __atomic_add_fetch(&l->zd->settled, 1, __ATOMIC_ACQ_REL);

    for (i = 0; i < st->n_segs; i++) {
        seg = &st->segs[i];
        s = s3_zone_segment(l->zone, l->index, seg->id);

        if (s == NULL) {
            continue;
        }

        if (seg->seal && s->state == S3_SEG_OPEN) {
            s->batch = s->end;
            s->state = S3_SEG_SEALED;

            if (seg->rc == S3_OK) {
                s->end = seg->end;
                s->batch = seg->end;
            }

        } else if (s->state == S3_SEG_SEALED && seg->rc == S3_OK) {
            /* writes failed: what of them is there is known now */
            s->end = s3_max(seg->end, s->batch);

            for (k = 0; k < S3_ZONE_ARENAS; k++) {
                s->bound[k] = s3_min(s->bound[k], s->end);
            }
        }
    }

    s3_local_unlock(l);

    l->loop->log(l->loop, S3_LOG_NOTICE,
                 "drive %u: settled what a process left: %u kept, %u removed",
                 l->index + 1, st->kept, st->removed);

    if (st->failed) {
        s3_local_fail(l, S3_DRIVE_FAILING, "log of a dead process", S3_EIO);
    }

    if (st->told) {
        /* told once more meanwhile: one more look */
        __atomic_compare_exchange_n(&l->zd->orphans, &st->told, 0, 0,
                                    __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
    }

    l->unsure = 1; /* CONFIRM records waited in its memory, maybe */

    s3_local_wake(l);
    s3_settle_end(st);
}


static void
s3_settle_start(s3_settle_t *st)
{
    unsigned i;
    s3_zseg_t *s;
    s3_local_t *l = st->l;

    l->ops++;

    s3_memtables_hold(&l->ix, &st->mem);

    s3_local_lock(l);

    for (i = 0; i < st->mem.n; i++) {
        st->used[i] = s3_memtable_used(st->mem.tables[i]);
    }

    /* now: what is made after this has a writer again, under the same name
     * where a process settles what it left itself */

    for (i = 0; i < l->zone->max_segments; i++) {
        s = &s3_zone_segments(l->zone, l->index)[i];

        if (s->id == 0 || !s3_settle_owned(st, s->owner, s->incarnation)) {
            continue;
        }

        if (s->state == S3_SEG_PREPARING) {
            s->state = S3_SEG_GARBAGE;

        } else if (s->state == S3_SEG_SEALED && s->batch < s->end) {
            (void) s3_settle_add(st, s->id); /* writes to it failed */

        } else if (s->state != S3_SEG_OPEN) {
            continue;

        } else if (s3_settle_add(st, s->id) == S3_OK) {
            s3_settle_seg(st, s->id)->seal = 1;
        }
    }

    s3_local_unlock(l);

    st->task.run = s3_settle_run;
    st->task.done = s3_settle_done;
    st->task.ctx = st;
    st->task.drive = l->index;
    l->loop->post_background(l->loop, &st->task);
}


void
s3_local_settle(s3_local_t *l, unsigned slot, uint32_t incarnation,
                void (*done)(void *ctx), void *ctx)
{
    s3_settle_t *st;

    st = NULL;

    if (l->log && s3_zone_state(l->zd) != S3_DRIVE_HUNG) {
        st = calloc(1, sizeof(*st));
    }

    if (st == NULL) {
        /* before the slot is free: then a look finds what was pending */
        __atomic_add_fetch(&l->zd->orphans, 1, __ATOMIC_ACQ_REL);
        done(ctx);
        return;
    }

    st->l = l;
    st->slot = slot;
    st->incarnation = incarnation;
    st->orphans = slot == l->slot && incarnation == l->incarnation;
    st->done = done;
    st->ctx = ctx;

    s3_settle_start(st);
}


int
s3_local_settle_orphans(s3_local_t *l, void (*done)(void *ctx), void *ctx)
{
    unsigned i;
    uint32_t told;
    s3_settle_t *st;

    told = __atomic_load_n(&l->zd->orphans, __ATOMIC_ACQUIRE);

    if (told == 0) {
        return S3_DONE;
    }

    /* whoever told so has not let go of the slot yet, maybe */

    for (i = 0; i < S3_ZONE_PROCS; i++) {
        if (s3_zone_proc_state(l->zone, i) == S3_PROC_SETTLING) {
            return S3_AGAIN;
        }
    }

    st = calloc(1, sizeof(*st));
    if (st == NULL) {
        return S3_ENOMEM;
    }

    st->l = l;
    st->slot = S3_ZONE_PROCS; /* nobody's */
    st->orphans = 1;
    st->told = told;
    st->done = done;
    st->ctx = ctx;

    s3_settle_start(st);

    return S3_OK;
}
