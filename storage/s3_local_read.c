/*
 * READ, FETCH, and the reading of records from segments.
 */

#include "storage/s3_local_int.h"
#include <stdlib.h>

#define S3_FETCH_TRIES 4


/* Segments that are open. */

static void
s3_segfile_release(s3_local_t *l, s3_segfile_t *f)
{
    if (--f->refs == 0 && !f->cached) {
        l->fs->close(l->fs, f->file);
        free(f);
    }
}


static void
s3_segfile_uncache(s3_local_t *l, unsigned slot)
{
    s3_segfile_t *f = l->segfiles[slot];

    if (f) {
        l->segfiles[slot] = NULL;
        f->cached = 0;
        f->refs++;
        s3_segfile_release(l, f);
    }
}


void
s3_local_forget_segment(s3_local_t *l, uint32_t id)
{
    unsigned slot = id % S3_SEGFILES;

    if (l->segfiles[slot] && l->segfiles[slot]->seg.id == id) {
        s3_segfile_uncache(l, slot);
    }
}


void
s3_local_close_segments(s3_local_t *l)
{
    unsigned i;

    for (i = 0; i < S3_SEGFILES; i++) {
        s3_segfile_uncache(l, i);
    }
}


static void
s3_segfile_cache(s3_local_t *l, s3_segfile_t *f)
{
    unsigned slot = f->seg.id % S3_SEGFILES;

    s3_segfile_uncache(l, slot);
    l->segfiles[slot] = f;
    f->cached = 1;
}


/* One record. */

static void
s3_pick_run(s3_task_t *task)
{
    ssize_t n;
    s3_pick_t *pick = task->ctx;
    s3_fs_t *fs = pick->l->fs;
    s3_segfile_t *f = pick->file;

    pick->rc = S3_OK;

    if (f->file == NULL) {
        pick->rc = s3_segment_open(fs, pick->segment, &f->file, &f->seg);

        if (pick->rc != S3_OK) {
            f->file = NULL;
            return;
        }
    }

    n = fs->pread(fs, f->file, pick->buf, pick->span, pick->from);

    pick->rc = n < 0 ? (int) n
                     : s3_segment_pick(pick->buf, (size_t) n, pick->offset,
                                       pick->length, &f->seg, &pick->record);
}


static void
s3_pick_end(s3_pick_t *pick)
{
    s3_local_t *l = pick->l;

    if (pick->rc != S3_OK) {
        free(pick->buf);
        pick->buf = NULL;

        /* it may be another segment's file by now */
        s3_local_forget_segment(l, pick->segment);
    }

    s3_segfile_release(l, pick->file);
    pick->file = NULL;
}


static void
s3_pick_done(s3_task_t *task)
{
    s3_pick_t *pick = task->ctx;
    s3_local_t *l = pick->l;
    s3_segfile_t *f = pick->file;

    l->picks--;

    if (f->file == NULL) {
        free(f);
        free(pick->buf);
        pick->buf = NULL;
        pick->file = NULL;

    } else {
        if (!f->cached && pick->rc == S3_OK) {
            s3_segfile_cache(l, f);
        }

        s3_pick_end(pick);
    }

    pick->done(pick, pick->rc);
}


/* S3_OK: pick->record, buf; S3_AGAIN: done() will be called; or an error. */

int
s3_pick_start(s3_pick_t *pick, s3_local_t *l, uint32_t segment, uint32_t offset,
              uint32_t length)
{
    ssize_t n;
    s3_segfile_t *f;

    pick->l = l;
    pick->segment = segment;
    pick->offset = offset;
    pick->length = length;
    pick->span = s3_segment_span(offset, length, &pick->from);
    pick->file = NULL;

    if (length < S3_RECORD_HEADER || length > S3_RECORD_MAX) {
        return S3_ECORRUPT;
    }

    pick->buf = aligned_alloc(S3_SECTOR, pick->span);
    if (pick->buf == NULL) {
        return S3_ENOMEM;
    }

    f = l->segfiles[segment % S3_SEGFILES];

    if (f && f->seg.id == segment) {
        f->refs++;
        pick->file = f;

        n = l->loop->read_now(l->loop, f->file, pick->buf, pick->span,
                              pick->from);

        if (n == (ssize_t) pick->span) {
            pick->rc = s3_segment_pick(pick->buf, pick->span, offset, length,
                                       &f->seg, &pick->record);

            if (pick->rc == S3_OK) {
                s3_pick_end(pick);
                return S3_OK;
            }
        }

    } else {
        f = calloc(1, sizeof(*f));
        if (f == NULL) {
            free(pick->buf);
            pick->buf = NULL;
            return S3_ENOMEM;
        }

        f->refs = 1;
        pick->file = f;
    }

    l->picks++;
    pick->task.run = s3_pick_run;
    pick->task.done = s3_pick_done;
    pick->task.ctx = pick;
    pick->task.drive = l->index;
    l->loop->post(l->loop, &pick->task);

    return S3_AGAIN;
}


/* READ. */

static int
s3_read_collect(s3_lookup_t *lookup, s3_view_t *view)
{
    unsigned i, n, room;
    s3_entry_t *e;

    room = S3_LOOKUP_INLINE;

    for (i = 0, n = 0; i < view->n; i++) {
        e = &view->items[i].e;

        if (!view->items[i].durable || e->kind == S3_KIND_FENCE
            || e->kind == S3_KIND_UNNOTE)
        {
            if (view->items[i].durable && e->kind == S3_KIND_UNNOTE) {
                break;
            }

            continue;
        }

        if (n == room) {
            room = view->n;
            lookup->entries = malloc(room * sizeof(*e));
            if (lookup->entries == NULL) {
                lookup->entries = lookup->fixed;
                return S3_ENOMEM;
            }

            memcpy(lookup->entries, lookup->fixed, n * sizeof(*e));
        }

        lookup->entries[n++] = *e;

        if (e->kind == S3_KIND_NOTE
            || (s3_entry_is_record(e) && e->flags & S3_F_CONFIRMED))
        {
            break;
        }
    }

    lookup->n = n;

    return S3_OK;
}


static int
s3_read_decide(s3_op_t *op)
{
    int rc;
    s3_view_t view;
    s3_lookup_t *lookup = op->req;

    s3_view_init(&view);
    rc = s3_view_load_to(&view, op->l->zone, op->l->index, &op->find, 0,
                         op->bucket, op->key, &s3_version_last);

    if (rc == S3_OK) {
        rc = s3_read_collect(lookup, &view);
    }

    s3_view_done(&view);
    lookup->floor = op->l->zd->floor;

    return s3_op_answer(op, rc, S3_ANSWER_YES);
}


static void
s3_read_finish(s3_op_t *op)
{
    s3_lookup_t *lookup = op->req;

    lookup->req.rc = op->rc;
    lookup->req.answer = op->rc == S3_OK ? op->answer : S3_ANSWER_NONE;

    s3_op_free(op);
    lookup->req.done(&lookup->req);
}


void
s3_local_read(s3_drive_t *d, s3_lookup_t *lookup)
{
    int rc;
    s3_op_t *op;
    s3_local_t *l = d->impl;

    lookup->entries = lookup->fixed;
    lookup->n = 0;
    lookup->floor = s3_version_none;

    rc = s3_local_may_read(l);

    if (rc == S3_OK && !s3_zone_mended(l->zd, l->ix.current->generation)) {
        s3_index_refresh(&l->ix);
        rc = S3_EUNAVAIL;
    }

    op = rc == S3_OK ? s3_op_create(l, lookup->bucket, lookup->key,
                                    s3_read_decide, s3_read_finish, lookup)
                     : NULL;

    if (op == NULL) {
        lookup->req.rc = rc == S3_OK ? S3_ENOMEM : rc;
        lookup->req.answer = S3_ANSWER_NONE;
        lookup->req.done(&lookup->req);
        return;
    }

    op->shared = 1;
    s3_op_run(op);
}


/* FETCH. */

typedef struct {
    s3_local_t *l;
    s3_fetch_t *fetch;
    s3_entry_t at;
    unsigned tries;
    unsigned hinted : 1;
    s3_pick_t pick;
} s3_fetching_t;


static void s3_fetch_find(s3_fetching_t *f);


static void
s3_fetch_end(s3_fetching_t *f, int rc)
{
    s3_fetch_t *fetch = f->fetch;

    f->l->ops--;
    free(f);

    fetch->req.rc = rc;
    fetch->req.answer = rc == S3_OK ? S3_ANSWER_YES : S3_ANSWER_NONE;
    fetch->req.done(&fetch->req);
}


static void
s3_fetch_picked(s3_pick_t *pick, int rc)
{
    s3_record_t *r = &pick->record;
    s3_fetching_t *f = pick->ctx;
    s3_local_t *l = f->l;

    if (rc == S3_OK
        && (r->bucket != f->fetch->bucket || !s3_str_eq(r->key, f->fetch->key)
            || s3_version_cmp(&r->entry.version, &f->fetch->version) != 0
            || !s3_entry_is_record(&r->entry)))
    {
        free(pick->buf);
        pick->buf = NULL;
        rc = S3_ECORRUPT;
    }

    if (rc == S3_OK) {
        r->entry.flags = f->at.flags;
        r->entry.segment = f->at.segment;
        r->entry.offset = f->at.offset;
        r->entry.length = f->at.length;
        f->fetch->record = *r;
        f->fetch->buf = pick->buf;
        s3_fetch_end(f, S3_OK);
        return;
    }

    /* moved meanwhile?  the index knows */
    if (f->tries++ < S3_FETCH_TRIES && rc != S3_ENOMEM) {
        s3_fetch_find(f);
        return;
    }

    s3_zone_count(&l->zd->errors);
    l->drive.errors++;
    s3_local_read_ended(l, rc);

    /* a drive that gives nothing back would fill the log */
    if (rc != S3_EIO) {
        l->loop->log(l->loop, S3_LOG_ERR,
                     "drive %u: record at %u of segment %08x: %s", l->index + 1,
                     (unsigned) f->at.offset, (unsigned) f->at.segment,
                     s3_strerror(rc));
    }

    s3_fetch_end(f, rc == S3_ENOENT ? S3_ECORRUPT : rc);
}


static void
s3_fetch_pick(s3_fetching_t *f)
{
    int rc;

    f->pick.done = s3_fetch_picked;
    f->pick.ctx = f;

    rc = s3_pick_start(&f->pick, f->l, f->at.segment, f->at.offset,
                       f->at.length);

    if (rc != S3_AGAIN) {
        s3_fetch_picked(&f->pick, rc);
    }
}


static int
s3_fetch_decide(s3_op_t *op)
{
    int rc;
    s3_view_t view;
    s3_fetching_t *f = op->req;
    s3_item_state_t *x;

    s3_view_init(&view);
    rc = s3_view_load_to(&view, op->l->zone, op->l->index, &op->find, 0,
                         op->bucket, op->key, &op->version);

    if (rc == S3_OK) {
        x = s3_view_version(&view, &op->version);

        if (x == NULL || !x->durable || !s3_entry_is_record(&x->e)) {
            rc = S3_ENOENT;

        } else {
            if (f->tries && x->e.segment == f->at.segment
                && x->e.offset == f->at.offset) {
                f->tries = S3_FETCH_TRIES; /* damaged, not moved */
            }

            f->at = x->e;
        }
    }

    s3_view_done(&view);

    return s3_op_answer(op, rc, S3_ANSWER_NONE);
}


static void
s3_fetch_found(s3_op_t *op)
{
    int rc = op->rc;
    s3_fetching_t *f = op->req;

    s3_op_free(op);

    if (rc != S3_OK) {
        s3_fetch_end(f, rc);
        return;
    }

    s3_fetch_pick(f);
}


static void
s3_fetch_find(s3_fetching_t *f)
{
    s3_op_t *op;

    op = s3_op_create(f->l, f->fetch->bucket, f->fetch->key, s3_fetch_decide,
                      s3_fetch_found, f);
    if (op == NULL) {
        s3_fetch_end(f, S3_ENOMEM);
        return;
    }

    op->version = f->fetch->version;
    op->shared = 1;
    s3_op_run(op);
}


void
s3_local_fetch(s3_drive_t *d, s3_fetch_t *fetch)
{
    int rc;
    s3_fetching_t *f;
    s3_local_t *l = d->impl;

    fetch->buf = NULL;
    memset(&fetch->record, 0, sizeof(fetch->record));

    rc = s3_local_may_read(l);
    f = rc == S3_OK ? calloc(1, sizeof(*f)) : NULL;

    if (f == NULL) {
        fetch->req.rc = rc == S3_OK ? S3_ENOMEM : rc;
        fetch->req.answer = S3_ANSWER_NONE;
        fetch->req.done(&fetch->req);
        return;
    }

    f->l = l;
    f->fetch = fetch;
    l->ops++;

    if (fetch->hint && fetch->hint->length
        && s3_version_cmp(&fetch->hint->version, &fetch->version) == 0)
    {
        f->at = *fetch->hint;
        s3_fetch_pick(f);
        return;
    }

    s3_fetch_find(f);
}
