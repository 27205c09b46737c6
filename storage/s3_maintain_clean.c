/*
 * Cleaning of one segment: what is live in it is appended again.
 *
 *   scan (task) ─► for each record: live? ─► read ─► still live? ─► append
 *   again, until a look at all of them finds nothing live ─► EMPTY
 *
 * "Live" is what the index says under the lock: the entry of that version has
 * this very place.  A flag set meanwhile may have copied the old place once
 * more, which is why a pass that moved something is followed by another.  What
 * the index has in another place, or something newer has taken the place of,
 * stays dead: later passes leave it out.
 */

#include "storage/s3_maintain.h"
#include <stdlib.h>

#define S3_CLEAN_JOBS 16
#define S3_CLEAN_PASSES 10
#define S3_CLEAN_BLOB_AGE (3600ULL * 1000000)


typedef struct s3_clean_item_s s3_clean_item_t;

struct s3_clean_item_s {
    s3_clean_item_t *next;
    uint64_t bucket;
    s3_version_t version;
    uint32_t offset;
    uint32_t length;
    uint8_t kind;
    uint8_t layout;
    uint8_t need;
    uint8_t dead; /* and always will be */
    uint16_t key_len;
    uint8_t key[];
};


typedef struct {
    s3_cleaning_t *c;
    s3_clean_item_t *item;
    s3_pick_t pick;
    s3_entry_t old;
    s3_version_t from;
    unsigned live : 1;
    unsigned blobs : 1;
    unsigned read : 1;
} s3_clean_job_t;


struct s3_cleaning_s {
    s3_maintain_t *m;
    s3_task_t task;
    int rc;
    uint32_t segment;
    uint32_t end;
    s3_clean_item_t *items;
    s3_clean_item_t **last;
    s3_clean_item_t *at;
    unsigned jobs;
    unsigned pass;
    unsigned moved;
    unsigned starting : 1;
    s3_scan_result_t result;
};


static void s3_clean_go(s3_cleaning_t *c);


void
s3_clean_free(s3_cleaning_t *c)
{
    s3_clean_item_t *item, *next;

    if (c == NULL) {
        return;
    }

    for (item = c->items; item; item = next) {
        next = item->next;
        free(item);
    }

    free(c);
}


static int
s3_clean_record(void *ctx, const s3_record_t *r)
{
    s3_cleaning_t *c = ctx;
    s3_clean_item_t *item;

    if (r->entry.kind == S3_KIND_CONFIRM || r->entry.kind == S3_KIND_FLOOR
        || r->entry.kind == S3_KIND_DROP)
    {
        return S3_OK; /* what it said is in the tables */
    }

    item = malloc(sizeof(*item) + r->key.len);
    if (item == NULL) {
        return S3_ENOMEM;
    }

    item->next = NULL;
    item->bucket = r->bucket;
    item->version = r->entry.version;
    item->offset = r->entry.offset;
    item->length = r->entry.length;
    item->kind = r->entry.kind;
    item->layout = r->entry.layout;
    item->need = r->entry.need;
    item->dead = 0;
    item->key_len = (uint16_t) r->key.len;
    memcpy(item->key, r->key.data, r->key.len);

    *c->last = item;
    c->last = &item->next;

    return S3_OK;
}


static void
s3_clean_scan(s3_task_t *task)
{
    s3_cleaning_t *c = task->ctx;

    c->rc = s3_segment_scan(c->m->l->fs, c->segment, 0, s3_clean_record, c,
                            &c->result);
}


/* Over: with S3_OK the segment is empty. */

static void
s3_clean_end(s3_cleaning_t *c, int rc)
{
    s3_zseg_t *s;
    s3_maintain_t *m = c->m;
    s3_local_t *l = m->l;

    s3_local_lock(l);

    s = s3_zone_segment(l->zone, l->index, c->segment);

    if (s && s->state == S3_SEG_SEALED) {

        if (rc == S3_OK) {
            s->live = 0;
            s->state = S3_SEG_EMPTY;
            m->save = 1;
            s3_zone_count(&l->zd->cleaned);

        } else if (rc == S3_ECORRUPT || rc == S3_EIO || rc == S3_EVERSION
                   || rc == S3_ENOENT || rc == S3_EFOREIGN)
        {
            /* others have to get their turn; a start looks at it again */
            s->flags |= S3_ZSEG_NOCLEAN;
        }
    }

    s3_local_unlock(l);

    if (rc == S3_OK) {
        s3_local_forget_segment(l, c->segment);

    } else if (rc != S3_AGAIN) {
        l->loop->log(l->loop, S3_LOG_WARN, "drive %u: cleaning %08x: %s",
                     l->index + 1, (unsigned) c->segment, s3_strerror(rc));
    }

    m->cleaning = NULL;
    s3_clean_free(c);
}


static void
s3_clean_scanned(s3_task_t *task)
{
    s3_cleaning_t *c = task->ctx;

    /* an end before the one that is known: something was lost since */
    if (c->rc == S3_OK
        && (c->result.corrupt
            || s3_align(c->result.end, (uint32_t) S3_SECTOR)
                   < s3_align(c->end, (uint32_t) S3_SECTOR)))
    {
        c->rc = S3_ECORRUPT;
    }

    if (c->rc != S3_OK) {
        s3_clean_end(c, c->rc);
        return;
    }

    c->at = c->items;
    s3_clean_go(c);
}


/* Jobs: one record each. */

static void
s3_clean_job_end(s3_clean_job_t *job, int rc)
{
    s3_cleaning_t *c = job->c;

    if (rc != S3_OK && c->rc == S3_OK) {
        c->rc = rc;
    }

    if (job->read) {
        free(job->pick.buf);
    }

    free(job);
    c->jobs--;
    s3_clean_go(c);
}


static void
s3_clean_freed(void *ctx)
{
    s3_clean_job_end(ctx, S3_OK);
}


/* May the blobs of a record that is not live go?  job->from: they stay if a
 * record from there on lists them. */

static void
s3_clean_blobs(s3_op_t *op, s3_view_t *view, s3_clean_job_t *job)
{
    uint64_t now;
    unsigned i;
    s3_clean_item_t *item = job->item;
    s3_item_state_t *nc, *x;
    s3_local_t *l = op->l;

    if (item->kind != S3_KIND_OBJECT || item->layout != S3_LAYOUT_BLOBS
        || (item->bucket >= S3_BUCKET_FIRST
            && (item->bucket & 3) == S3_SPACE_PARTS)
        || job->c->pass > 1)
    {
        return;
    }

    /* it only points at data of others, as an attempt to complete an upload
     * does at its parts': they may be alive, whatever becomes of it */
    if (item->need == 0) {
        return;
    }

    /* an attempt under way may still use blobs of an earlier one */
    now = l->loop->wall_us(l->loop);

    if (item->version.time + S3_CLEAN_BLOB_AGE > now) {
        return;
    }

    nc = s3_view_dropper(view);
    x = s3_view_version(view, &item->version);
    job->from = s3_version_none;

    if (nc && s3_version_cmp(&item->version, &nc->e.version) < 0) {
        job->from = nc->e.version;

    } else if (x == NULL || !x->durable || x->e.kind != S3_KIND_DEAD) {
        return; /* moved, or never known here */
    }

    for (i = 0; i < view->n; i++) {
        if (view->items[i].e.flags & S3_F_KEEP) {
            return;
        }
    }

    memset(&job->old, 0, sizeof(job->old));
    job->old.segment = job->c->segment;
    job->old.offset = item->offset;
    job->old.length = item->length;
    job->blobs = 1;
}


static int
s3_clean_is_live(s3_view_t *view, const s3_item_state_t *x,
                 const s3_clean_job_t *job)
{
    s3_item_state_t *nc;

    if (x == NULL || !x->durable || x->e.segment != job->c->segment
        || x->e.offset != job->item->offset)
    {
        return 0;
    }

    if (job->item->bucket == S3_BUCKET_NOTES
        || job->item->bucket == S3_BUCKET_CLOSED)
    {
        return x == &view->items[0];
    }

    nc = s3_view_dropper(view);

    return nc == NULL || s3_version_cmp(&x->e.version, &nc->e.version) >= 0
           || x->e.flags & S3_F_TIED;
}


static int
s3_clean_move(s3_op_t *op, s3_clean_job_t *job, const s3_item_state_t *x)
{
    int rc;
    s3_zseg_t *s;
    s3_record_t r;
    s3_local_t *l = op->l;

    r = job->pick.record;
    r.entry.flags = x->e.flags;

    if (r.bucket != op->bucket || !s3_str_eq(r.key, op->key)
        || s3_version_cmp(&r.entry.version, &op->version) != 0
        || r.entry.kind != x->e.kind)
    {
        return s3_op_answer(op, S3_ECORRUPT, S3_ANSWER_NONE);
    }

    rc = s3_local_append(l, op, &r, NULL, NULL);

    if (rc == S3_AGAIN) {
        return S3_OP_STALL;
    }

    if (rc == S3_OK) {
        job->c->moved++;
        s = s3_zone_segment(l->zone, l->index, job->c->segment);

        if (s) {
            s->live -= s3_min((int64_t) job->item->length, s->live);
        }
    }

    return s3_op_answer(op, rc, S3_ANSWER_NONE);
}


static int
s3_clean_decide(s3_op_t *op)
{
    int rc;
    s3_view_t view;
    s3_clean_job_t *job = op->req;
    s3_item_state_t *x;

    job->live = 0;
    job->blobs = 0;

    s3_view_init(&view);
    rc = s3_view_load(&view, op->l->zone, op->l->index, &op->find, 0,
                      op->bucket, op->key);

    if (rc != S3_OK) {
        rc = s3_op_answer(op, rc, S3_ANSWER_NONE);
        goto done;
    }

    x = s3_view_version(&view, &op->version);

    if (s3_clean_is_live(&view, x, job)) {

        if (x->pending) {
            rc = s3_op_wait(op, x);

        } else if (job->read) {
            rc = s3_clean_move(op, job, x);

        } else {
            job->live = 1;
            rc = s3_op_answer(op, S3_OK, S3_ANSWER_NONE);
        }

        goto done;
    }

    /* what failed may turn out to be there after all */
    job->item->dead = x == NULL || x->durable;

    if (!job->read) {
        s3_clean_blobs(op, &view, job);
    }

    rc = s3_op_answer(op, S3_OK, S3_ANSWER_NONE);

done:

    s3_view_done(&view);

    return rc;
}


static void s3_clean_decided(s3_op_t *op);


static void
s3_clean_job_run(s3_clean_job_t *job)
{
    s3_op_t *op;
    s3_clean_item_t *item = job->item;

    op = s3_op_create(job->c->m->l, item->bucket,
                      s3_str(item->key, item->key_len), s3_clean_decide,
                      s3_clean_decided, job);
    if (op == NULL) {
        s3_clean_job_end(job, S3_ENOMEM);
        return;
    }

    op->version = item->version;
    s3_op_run(op);
}


static void
s3_clean_picked(s3_pick_t *pick, int rc)
{
    s3_clean_job_t *job = pick->ctx;

    if (rc != S3_OK) {
        s3_clean_job_end(job, rc);
        return;
    }

    job->read = 1;
    s3_clean_job_run(job);
}


static void
s3_clean_decided(s3_op_t *op)
{
    int rc = op->rc;
    s3_clean_job_t *job = op->req;
    s3_local_t *l = op->l;
    s3_clean_item_t *item = job->item;

    s3_op_free(op);

    if (rc != S3_OK || job->read) {
        s3_clean_job_end(job, rc);
        return;
    }

    if (job->blobs) {
        s3_local_free_blobs(l, item->bucket, s3_str(item->key, item->key_len),
                            &job->from, &job->old, 1, s3_clean_freed, job);
        return;
    }

    if (!job->live) {
        s3_clean_job_end(job, S3_OK);
        return;
    }

    job->pick.done = s3_clean_picked;
    job->pick.ctx = job;
    rc = s3_pick_start(&job->pick, l, job->c->segment, item->offset,
                       item->length);

    if (rc != S3_AGAIN) {
        s3_clean_picked(&job->pick, rc);
    }
}


/* Starts as many jobs as may run; the end of a pass, or of all. */

static void
s3_clean_go(s3_cleaning_t *c)
{
    s3_clean_job_t *job;
    s3_local_t *l = c->m->l;

    if (c->starting) {
        return;
    }

    c->starting = 1;

    if (c->rc == S3_OK && l->quiet) {
        c->rc = S3_AGAIN;
    }

    for (;;) {

        while (c->at && c->jobs < S3_CLEAN_JOBS && c->rc == S3_OK) {
            if (c->at->dead) {
                c->at = c->at->next;
                continue;
            }

            job = calloc(1, sizeof(*job));
            if (job == NULL) {
                c->rc = S3_ENOMEM;
                break;
            }

            job->c = c;
            job->item = c->at;
            c->at = c->at->next;
            c->jobs++;
            s3_clean_job_run(job);
        }

        if (c->jobs) {
            c->starting = 0;
            return;
        }

        if (c->rc != S3_OK || (c->moved == 0 && c->at == NULL)) {
            break;
        }

        if (c->at == NULL) {
            if (++c->pass > S3_CLEAN_PASSES) {
                c->rc = S3_AGAIN;
                break;
            }

            c->moved = 0;
            c->at = c->items;
        }
    }

    s3_clean_end(c, c->rc);
}


void
s3_clean_start(s3_maintain_t *m, uint32_t segment)
{
    s3_zseg_t *s;
    s3_local_t *l = m->l;
    s3_cleaning_t *c;

    c = calloc(1, sizeof(*c));
    if (c == NULL) {
        return;
    }

    s3_local_lock(l);
    s = s3_zone_segment(l->zone, l->index, segment);
    c->end = s ? s->end : 0;
    s3_local_unlock(l);

    c->m = m;
    c->segment = segment;
    c->pass = 1;
    c->last = &c->items;
    m->cleaning = c;

    c->task.run = s3_clean_scan;
    c->task.done = s3_clean_scanned;
    c->task.ctx = c;
    c->task.drive = l->index;
    l->loop->post_background(l->loop, &c->task);
}
