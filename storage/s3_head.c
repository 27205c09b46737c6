#include "storage/s3_commit.h"

#include <stdlib.h>


/* Newest version, then its record from a drive that showed it.  A record that
 * is gone by then was superseded: from the start. */

#define S3_HEAD_TRIES 3


typedef struct {
    s3_head_t *head;
    s3_store_t *store;
    s3_object_t *object;
    unsigned tries;
} s3_head_op_t;


static void s3_head_newest(s3_head_op_t *op);


void
s3_object_release(s3_object_t *object)
{
    if (object == NULL || --object->refs) {
        return;
    }

    s3_buf_release(object->data);
    free(object->buf);
    free(object);
}


static void
s3_head_finish(s3_head_op_t *op, int rc)
{
    s3_head_t *head;

    head = op->head;
    head->rc = rc;
    head->object = NULL;

    if (rc == S3_OK) {
        head->object = op->object;
        op->object = NULL;
    }

    s3_object_release(op->object);
    s3_store_release(op->store);
    free(op);

    head->done(head);
}


static void
s3_head_gathered(s3_gather_t *g)
{
    s3_entry_t entry;
    s3_head_op_t *op = g->ctx;

    if (g->bad) {
        s3_store_damaged(g->store, g->bad);
        (void) s3_notes_start(g->store, g->bad, g->store->all & ~g->bad,
                              g->bucket, g->key, &g->entry.version, NULL, NULL);
    }

    if (g->rc == S3_ENOENT && ++op->tries < S3_HEAD_TRIES) {
        s3_object_release(op->object);
        op->object = NULL;
        s3_head_newest(op);
        return;
    }

    if (g->rc != S3_OK) {
        s3_head_finish(op, g->rc == S3_ENOENT ? S3_EUNAVAIL : g->rc);
        return;
    }

    entry = op->object->entry;
    op->object->record = *g->record;
    op->object->buf = s3_gather_take(g);
    op->object->entry = entry;
    op->object->data = g->data ? s3_buf_ref(g->data) : NULL;

    if (entry.layout != S3_LAYOUT_COPIES) {
        op->object->record.data = s3_null_str;
    }

    s3_head_finish(op, S3_OK);
}


static void
s3_head_found(s3_newest_t *nw)
{
    unsigned what;
    s3_head_op_t *op = nw->ctx;

    op->head->newest = nw->rc == S3_OK ? nw->entry.version : s3_version_none;

    if (nw->rc != S3_OK || nw->entry.kind == S3_KIND_TOMBSTONE) {
        s3_head_finish(op, nw->rc == S3_OK ? S3_ENOENT : nw->rc);
        return;
    }

    op->object = calloc(1, sizeof(s3_object_t));
    if (op->object == NULL) {
        s3_head_finish(op, S3_ENOMEM);
        return;
    }

    op->object->refs = 1;
    op->object->bucket = nw->bucket;
    op->object->entry = nw->entry;

    if (op->head->brief) {
        s3_head_finish(op, S3_OK);
        return;
    }

    what = S3_GATHER_META;

    if (nw->entry.layout == S3_LAYOUT_COPIES) {
        what = S3_GATHER_RECORD;

    } else if (nw->entry.layout == S3_LAYOUT_INLINE && op->head->data) {
        what = S3_GATHER_DATA;
    }

    if (s3_gather_start(nw->store, nw->bucket, nw->key, &nw->entry, nw->held,
                        nw, what, s3_head_gathered, op)
        != S3_OK)
    {
        s3_head_finish(op, S3_ENOMEM);
    }
}


static void
s3_head_newest(s3_head_op_t *op)
{
    if (s3_newest_start(op->store, op->head->bucket, op->head->key, 0,
                        s3_head_found, op)
        != S3_OK)
    {
        s3_head_finish(op, S3_ENOMEM);
    }
}


void
s3_store_head(s3_head_t *head)
{
    s3_head_op_t *op;

    head->object = NULL;
    head->newest = s3_version_none;

    op = calloc(1, sizeof(s3_head_op_t));
    if (op == NULL) {
        head->rc = S3_ENOMEM;
        head->done(head);
        return;
    }

    head->store->refs++;
    op->head = head;
    op->store = head->store;

    s3_head_newest(op);
}
