/*
 * The index read through, and what is damaged of it made anew.
 *
 *   asked, or damage was met
 *     ─► every block of every table, opened anew ─► MANIFEST and its copy
 *     ─► nothing, or: a table from the log in the place of the damaged ones
 *
 * Reads go in slices, one for each tick at most, so that they load the drive
 * no more than they have to.  Flushes go on meanwhile, merges while nothing
 * damaged is known; no segment is freed while the log is read.
 */

#include "storage/s3_maintain.h"
#include "storage/s3_format.h"
#include "storage/s3_recover.h"
#include "storage/s3_table_read.h"
#include <stdlib.h>

#define S3_MEND_BLOCKS 256 /* of tables, in one read */
#define S3_MEND_READS 8    /* in one slice */
#define S3_MEND_PAUSE 1000 /* ms after a look, or after what failed */
#define S3_MEND_TRIES 4    /* then unreadable segments are lost ones */
#define S3_MEND_MOST 60u   /* pauses at once */
#define S3_MEND_TELL 5000  /* ms: a question is older than that no more */


typedef enum {
    S3_MEND_TABLES,   /* being read */
    S3_MEND_MANIFEST, /* comes next */
    S3_MEND_WAIT,     /* something is damaged; merge or cleaning has to end */
    S3_MEND_LOG,      /* the task runs */
    S3_MEND_MADE      /* it is over */
} s3_mend_phase_t;


struct s3_mending_s {
    s3_maintain_t *m;
    s3_mend_phase_t phase;
    s3_task_t task;
    unsigned running : 1;
    volatile int cancelled;
    int rc;

    s3_tabset_t *set;
    unsigned at; /* table being read */
    uint32_t block;
    s3_table_t *table; /* opened anew, or NULL */
    uint8_t *buf;

    uint32_t bad[S3_ZONE_TABLES];
    unsigned n_bad;
    unsigned manifest : 2; /* 1: one of the two is damaged, 2: both are */

    s3_rebuild_t rebuild;
    unsigned forgot : 1; /* some records were found nowhere on this drive */
    uint64_t since;      /* ms: all know so; 0: not yet */
    s3_table_t *bad_tables[S3_ZONE_TABLES];
    s3_table_t *good_tables[S3_ZONE_TABLES];
};


static void
s3_mend_end(s3_maintain_t *m)
{
    s3_mending_t *x = m->mending;

    if (x->set) {
        s3_tabset_release(&m->l->ix, x->set);
    }

    s3_table_release(x->table);
    free(x->rebuild.segs);
    free(x->buf);
    free(x);

    m->mending = NULL;
    m->mend_next = m->l->loop->mono_ms(m->l->loop) + S3_MEND_PAUSE;
}


void
s3_mend_free(s3_maintain_t *m)
{
    if (m->mending) {
        s3_mend_end(m);
    }
}


int
s3_mend_busy(const s3_maintain_t *m)
{
    return m->mending && m->mending->running;
}


int
s3_mend_needed(const s3_maintain_t *m)
{
    return __atomic_load_n(&m->l->zd->verify, __ATOMIC_ACQUIRE)
               == S3_ZVERIFY_DAMAGE
           || (m->mending && m->mending->n_bad);
}


/* zd->verify stays as it is until all was found whole: so another process, or
 * this one later, begins anew. */

static void
s3_mend_again(s3_maintain_t *m)
{
    s3_mend_end(m);
    m->mend_next += S3_MEND_PAUSE * s3_min(m->mend_tries, S3_MEND_MOST);
}


void
s3_mend_quiesce(s3_maintain_t *m)
{
    s3_mending_t *x = m->mending;

    if (x == NULL) {
        return;
    }

    __atomic_store_n(&x->cancelled, 1, __ATOMIC_RELAXED);

    if (!x->running) {
        s3_mend_again(m);
    }
}


static void
s3_mend_post(s3_mending_t *x, void (*run)(s3_task_t *),
             void (*done)(s3_task_t *))
{
    s3_local_t *l = x->m->l;

    x->running = 1;
    x->task.run = run;
    x->task.done = done;
    x->task.ctx = x;
    x->task.drive = l->index;
    l->loop->post_background(l->loop, &x->task);
}


/* Reading. */

static void
s3_mend_found(s3_mending_t *x)
{
    x->bad[x->n_bad++] = x->set->tables[x->at]->stats.id;
}


/* A sector that cannot be read is as bad as a wrong one. */

static int
s3_mend_open(s3_mending_t *x)
{
    int rc;
    uint32_t id = x->set->tables[x->at]->stats.id;
    s3_fs_t *fs = x->m->l->fs;

    rc = s3_table_open(fs, id, &x->table);

    if (rc == S3_EIO) {
        rc = s3_table_open(fs, id, &x->table);
    }

    return rc == S3_EIO ? S3_ECORRUPT : rc;
}


/* Up to so many blocks; S3_ECORRUPT: one does not hold. */

static int
s3_mend_read(s3_mending_t *x)
{
    int tries;
    size_t len;
    ssize_t n;
    uint32_t i, blocks;
    s3_table_t *t = x->table;
    s3_table_block_t view;

    blocks = s3_min(t->stats.blocks - x->block, (uint32_t) S3_MEND_BLOCKS);
    len = (size_t) blocks * S3_TABLE_BLOCK;

    for (tries = 0, n = -1; n < 0 && tries < 2; tries++) {
        n = t->fs->pread(t->fs, t->file, x->buf, len,
                         (uint64_t) x->block * S3_TABLE_BLOCK);
    }

    if (n != (ssize_t) len) {
        return S3_ECORRUPT;
    }

    for (i = 0; i < blocks; i++) {
        if (s3_table_verify(t, x->buf + (size_t) i * S3_TABLE_BLOCK,
                            x->block + i, &view)
            != S3_OK)
        {
            return S3_ECORRUPT;
        }
    }

    x->block += blocks;

    return S3_OK;
}


static void
s3_mend_tables_run(s3_task_t *task)
{
    int rc;
    unsigned reads;
    s3_mending_t *x = task->ctx;

    for (reads = 0; reads < S3_MEND_READS && x->at < x->set->n; reads++) {
        rc = S3_OK;

        if (x->table == NULL) {
            x->block = 0;
            rc = s3_mend_open(x);
        }

        if (rc == S3_OK) {
            rc = s3_mend_read(x);
        }

        if (rc == S3_ECORRUPT || rc == S3_ENOENT) {
            s3_mend_found(x);

        } else if (rc != S3_OK) {
            x->rc = rc;
            return;
        }

        if (rc != S3_OK || x->block == x->table->stats.blocks) {
            s3_table_release(x->table);
            x->table = NULL;
            x->at++;
        }
    }
}


static void
s3_mend_manifest_run(s3_task_t *task)
{
    int rc;
    s3_manifest_t manifest;
    s3_mending_t *x = task->ctx;

    rc = s3_manifest_load(x->m->l->fs, &manifest);

    if (rc == S3_OK) {
        x->manifest = manifest.repair;
        s3_manifest_free(&manifest);

    } else if (rc == S3_ECORRUPT || rc == S3_ENOENT) {
        x->manifest = 2;

    } else {
        x->rc = rc;
    }
}


/* A table that was merged away meanwhile is not there, and need not be. */

static void
s3_mend_forget(s3_mending_t *x)
{
    unsigned i, j, n;
    const s3_ztables_t *list;
    s3_local_t *l = x->m->l;

    n = 0;
    s3_local_lock(l);
    list = s3_zone_tables(l->zd);

    for (i = 0; i < x->n_bad; i++) {
        for (j = 0; j < list->n && j < S3_ZONE_TABLES; j++) {
            if (list->tables[j].id == x->bad[i]) {
                x->bad[n++] = x->bad[i];
                break;
            }
        }
    }

    s3_local_unlock(l);
    x->n_bad = n;
}


static void
s3_mend_tell(s3_mending_t *x)
{
    unsigned i;
    s3_local_t *l = x->m->l;

    if (x->m->mend_tries) {
        return; /* has been said */
    }

    for (i = 0; i < x->n_bad; i++) {
        s3_drive_count(&l->drive, corrupt);
        l->loop->log(l->loop, S3_LOG_ERR,
                     "drive %u: table %08x is damaged, it is made anew from "
                     "the log",
                     l->index + 1, (unsigned) x->bad[i]);
    }

    if (x->n_bad) {
        s3_zone_last_fault(l->zd, S3_ZFAULT_CORRUPT, 0);
    }
}


static void
s3_mend_tables_done(s3_task_t *task)
{
    s3_mending_t *x = task->ctx;
    s3_maintain_t *m = x->m;

    x->running = 0;

    if (x->rc != S3_OK || x->cancelled) {
        m->mend_tries += x->rc != S3_OK;
        s3_mend_again(m);
        return;
    }

    if (x->at == x->set->n) {
        s3_tabset_release(&m->l->ix, x->set);
        x->set = NULL;
        x->phase = S3_MEND_MANIFEST;
    }
}


static void
s3_mend_manifest_done(s3_task_t *task)
{
    int rc;
    s3_mending_t *x = task->ctx;
    s3_maintain_t *m = x->m;
    s3_local_t *l = m->l;

    x->running = 0;
    rc = x->rc;

    if (rc == S3_OK && x->manifest) {
        m->save = 1;
        s3_drive_count(&l->drive, corrupt);
        s3_zone_last_fault(l->zd, S3_ZFAULT_CORRUPT, 0);
        l->loop->log(l->loop, S3_LOG_ERR,
                     x->manifest > 1 ? "drive %u: MANIFEST and its copy are "
                                       "damaged, both are written again"
                                     : "drive %u: one of MANIFEST and its copy "
                                       "is damaged, it is written again",
                     l->index + 1);
    }

    s3_mend_forget(x);

    if (rc != S3_OK || x->cancelled) {
        s3_mend_again(m);

    } else if (x->n_bad == 0) {
        __atomic_store_n(&l->zd->verify, S3_ZVERIFY_NONE, __ATOMIC_RELEASE);
        m->mend_tries = 0;
        s3_mend_end(m);

    } else {
        s3_index_damaged(&l->ix);
        s3_mend_tell(x);
        x->phase = S3_MEND_WAIT;
    }

    s3_maintain_end(m, rc);
}


static int
s3_mend_begin(s3_maintain_t *m)
{
    uint32_t why;
    s3_local_t *l = m->l;
    s3_mending_t *x;

    why = __atomic_load_n(&l->zd->verify, __ATOMIC_ACQUIRE);

    if (why == S3_ZVERIFY_NONE || m->merged
        || l->ix.current->generation
               != __atomic_load_n(&l->zd->generation, __ATOMIC_ACQUIRE))
    {
        return 0;
    }

    x = calloc(1, sizeof(*x));
    if (x == NULL) {
        return 0;
    }

    x->m = m;
    x->buf = malloc((size_t) S3_MEND_BLOCKS * S3_TABLE_BLOCK);

    if (x->buf == NULL) {
        free(x);
        return 0;
    }

    x->set = s3_tabset_hold(&l->ix);
    x->phase = x->set->n ? S3_MEND_TABLES : S3_MEND_MANIFEST;
    m->mending = x;

    if (x->phase == S3_MEND_MANIFEST) {
        s3_tabset_release(&l->ix, x->set);
        x->set = NULL;
    }

    return 1;
}


/* The log. */

static int
s3_mend_seg_cmp(const void *a, const void *b)
{
    const s3_rebuild_seg_t *x = a, *y = b;

    return (x->id > y->id) - (x->id < y->id);
}


/*
 * Segments, and how much of them may be in tables only.  A replay begins where
 * a batch does, and that batch was perhaps being filled when the memtable was
 * frozen: some of its records are in the table, others in the next memtable.
 */

static int
s3_mend_segments(s3_mending_t *x)
{
    unsigned i;
    s3_zseg_t *s;
    s3_local_t *l = x->m->l;
    s3_rebuild_t *b = &x->rebuild;
    s3_rebuild_seg_t *seg;

    b->n_segs = 0;
    b->segs = malloc(l->zone->max_segments * sizeof(*b->segs));

    if (b->segs == NULL) {
        return S3_ENOMEM;
    }

    s3_local_lock(l);

    for (i = 0; i < l->zone->max_segments; i++) {
        s = &s3_zone_segments(l->zone, l->index)[i];

        if (s->id == 0
            || (s->state != S3_SEG_OPEN && s->state != S3_SEG_SEALED)) {
            continue;
        }

        seg = &b->segs[b->n_segs++];
        seg->id = s->id;
        seg->open = s->state == S3_SEG_OPEN;
        seg->end = seg->open ? s->replay_from : s3_max(s->end, s->replay_from);
    }

    s3_local_unlock(l);

    qsort(b->segs, b->n_segs, sizeof(*b->segs), s3_mend_seg_cmp);

    return S3_OK;
}


/*
 * What is damaged both in a table and in the log is gone, and the drive is filled
 * again.  While one is away that may have it the damaged tables stay as they
 * are.
 */

static void
s3_mend_forgot(s3_mending_t *x)
{
    s3_local_t *l = x->m->l;

    if (s3_forgot_take(l->zone, l->index, l->parity)) {
        x->forgot = 1;
        x->rc = s3_forgot_save(l);

    } else if (s3_zone_absent(l->zone, l->index)) {
        x->rc = S3_EUNAVAIL;

    } else {
        /* as soon as another has been filled */
        __atomic_store_n(&l->zd->lost, S3_ZLOST_RECORDS, __ATOMIC_RELEASE);
    }
}


static void
s3_mend_log_run(s3_task_t *task)
{
    s3_mending_t *x = task->ctx;

    x->rc = s3_rebuild_run(&x->rebuild);

    if (x->rc == S3_OK && x->rebuild.corrupt) {
        s3_mend_forgot(x);
    }

    if (x->rc != S3_OK && x->rebuild.stats.entries) {
        s3_table_unlink(x->m->l->fs, x->rebuild.id);
    }
}


/* 1: all processes know, and nobody waits any more for an answer that he would
 * count. */

static int
s3_mend_told(s3_mending_t *x, uint64_t now)
{
    s3_local_t *l = x->m->l;

    if (!x->forgot || x->rc != S3_OK) {
        return 1;
    }

    if (x->since == 0) {
        x->since = now;
        __atomic_store_n(&l->zd->mended, S3_ZONE_MENDING, __ATOMIC_RELEASE);
        s3_forgot_tell(l);
    }

    return now - x->since >= S3_MEND_TELL;
}


static void
s3_mend_log_done(s3_task_t *task)
{
    s3_mending_t *x = task->ctx;
    s3_maintain_t *m = x->m;

    x->running = 0;
    x->phase = S3_MEND_MADE;

    if (x->cancelled) {
        s3_mend_again(m); /* the new file goes with the next start */
    }
}


static void
s3_mend_log(s3_mending_t *x)
{
    unsigned i, j;
    s3_maintain_t *m = x->m;
    s3_local_t *l = m->l;
    s3_table_t *t;
    s3_rebuild_t *b = &x->rebuild;

    x->set = s3_tabset_hold(&l->ix);
    b->zone = l->zone;
    b->drive = l->index;
    b->fs = l->fs;
    b->generation = x->set->generation;
    b->bad = x->bad_tables;
    b->good = x->good_tables;
    b->cancelled = &x->cancelled;
    b->give_up = m->mend_tries >= S3_MEND_TRIES;

    for (i = 0; i < x->set->n; i++) {
        t = x->set->tables[i];

        for (j = 0; j < x->n_bad && x->bad[j] != t->stats.id; j++) {
            /* void */
        }

        if (j < x->n_bad) {
            b->bad[b->n_bad++] = t;

        } else {
            b->good[b->n_good++] = t;
        }
    }

    if (b->n_bad != x->n_bad || s3_mend_segments(x) != S3_OK) {
        s3_mend_again(m);
        return;
    }

    x->phase = S3_MEND_LOG;
    s3_mend_post(x, s3_mend_log_run, s3_mend_log_done);
}


/* m->tables without the damaged ones, and with the new one in front. */

static int
s3_mend_list(s3_mending_t *x)
{
    unsigned i, j, n;
    s3_maintain_t *m = x->m;
    const s3_rebuild_t *b = &x->rebuild;

    m->n_files = 0;

    for (i = 0, n = 0; i < m->n_tables; i++) {
        for (j = 0; j < x->n_bad && x->bad[j] != m->tables[i].id; j++) {
            /* void */
        }

        if (j < x->n_bad) {
            m->files[m->n_files++] = x->bad[j];

        } else {
            m->tables[n++] = m->tables[i];
        }
    }

    m->n_tables = n;

    if (m->n_files != x->n_bad) {
        return S3_EBUSY; /* somebody else had the lease meanwhile */
    }

    if (b->stats.entries) {
        memmove(m->tables + 1, m->tables, n * sizeof(m->tables[0]));
        memset(&m->tables[0], 0, sizeof(m->tables[0]));
        m->tables[0].id = b->id;
        m->tables[0].bytes = b->stats.bytes;
        m->tables[0].entries = b->stats.entries;
        m->n_tables++;
    }

    return S3_OK;
}


/* Under the lock: what is not known any more is no NO. */

static void
s3_mend_raise(s3_local_t *l)
{
    unsigned i;
    s3_zseg_t *s;

    s3_recover_raise(l->zone, l->zd);
    l->zd->recount = 1;

    /* it was perhaps the index that kept them from being cleaned */
    for (i = 0; i < l->zone->max_segments; i++) {
        s = &s3_zone_segments(l->zone, l->index)[i];

        if (s->id && s->state == S3_SEG_SEALED && s->size
            && s->replay_from >= s->end) {
            s->flags &= (uint16_t) ~S3_ZSEG_NOCLEAN;
        }
    }
}


static void
s3_mend_made(s3_mending_t *x)
{
    int rc;
    s3_maintain_t *m = x->m;
    s3_local_t *l = m->l;

    s3_maintain_begin(m);

    rc = x->rc;

    if (rc == S3_OK) {
        rc = s3_mend_list(x);
    }

    if (rc != S3_OK) {
        m->n_files = 0;
        m->mend_tries++;
        s3_mend_again(m);
        s3_maintain_end(m, rc);
        return;
    }

    s3_local_lock(l);
    s3_mend_raise(l);
    s3_local_unlock(l);

    l->loop->log(l->loop, S3_LOG_NOTICE,
                 "drive %u: %u tables made anew from %u records of the log, %u "
                 "damaged",
                 l->index + 1, x->n_bad, x->rebuild.records,
                 x->rebuild.corrupt);

    s3_mend_end(m);

    /* all is read once more: should saving fail the damaged ones still count */
    s3_maintain_save(m);
}


int
s3_mend_tick(s3_maintain_t *m, uint64_t now)
{
    s3_mending_t *x = m->mending;

    if (x == NULL) {
        s3_zone_mend_over(m->l->zd);

        if (now < m->mend_next || !s3_mend_begin(m)) {
            return 0;
        }

        x = m->mending;
    }

    if (x->running) {
        return 0;
    }

    switch (x->phase) {

    case S3_MEND_TABLES:
        s3_mend_post(x, s3_mend_tables_run, s3_mend_tables_done);
        return 0;

    case S3_MEND_MANIFEST:
        m->busy = 1;
        s3_mend_post(x, s3_mend_manifest_run, s3_mend_manifest_done);
        return 1;

    case S3_MEND_WAIT:
        if (!m->merging && m->cleaning == NULL
            && m->l->ix.current->generation
                   == __atomic_load_n(&m->l->zd->generation, __ATOMIC_ACQUIRE))
        {
            s3_mend_log(x);
        }
        return 0;

    case S3_MEND_MADE:
        if (!s3_mend_told(x, now)) {
            return 0;
        }

        s3_mend_made(x);
        return 1;

    default:
        return 0;
    }
}
