#include "storage/s3_commit.h"
#include "storage/s3_recent.h"

#include <stdlib.h>


/* Newest version, then its record from a drive that showed it.  A record that
 * is gone by then was superseded: from the start. */

#define S3_HEAD_TRIES 3


typedef struct {
    s3_head_t *head;
    s3_store_t *store;
    s3_object_t *object;
    unsigned what; /* S3_GATHER_... */
    unsigned tries;
    uint64_t stamp;
} s3_head_op_t;


static void s3_head_newest(s3_head_op_t *op);


void
s3_object_release(s3_object_t *object)
{
    if (object == NULL || --object->refs) {
        return;
    }

    while (object->n_pieces) {
        free(object->pieces[--object->n_pieces].buf);
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
        head->object->stamp = op->stamp;
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
    op->object->n_pieces = s3_gather_pieces(g, op->object->pieces);
    op->object->buf = s3_gather_take(g);
    op->object->entry = entry;
    op->object->data = g->data ? s3_buf_ref(g->data) : NULL;

    if (entry.layout != S3_LAYOUT_COPIES || op->what == S3_GATHER_META) {
        op->object->record.data = s3_null_str;
    }

    if (op->what == S3_GATHER_META && op->store->recent) {
        s3_recent_keep(op->store->recent, op->object);
    }

    s3_head_finish(op, S3_OK);
}


/* What of the record is wanted. */

static unsigned
s3_head_what(const s3_head_t *head, const s3_entry_t *e)
{
    if (e->layout == S3_LAYOUT_COPIES && !head->meta) {
        return S3_GATHER_RECORD;
    }

    return e->layout == S3_LAYOUT_INLINE && head->data ? S3_GATHER_SHARDS
                                                       : S3_GATHER_META;
}


static void
s3_head_found(s3_newest_t *nw)
{
    s3_head_op_t *op = nw->ctx;

    if (nw->rc == S3_OK) {
        op->head->newest = nw->entry.version;
        op->head->root = s3_entry_root(&nw->entry);
    }

    if (nw->rc != S3_OK || nw->entry.kind == S3_KIND_TOMBSTONE) {
        s3_head_finish(op, nw->rc == S3_OK ? S3_ENOENT : nw->rc);
        return;
    }

    op->what = s3_head_what(op->head, &nw->entry);

    if (op->what == S3_GATHER_META && op->store->recent && !op->head->brief) {
        op->object =
            s3_recent_find(op->store->recent, nw->bucket, nw->key, &nw->entry);

        if (op->object) {
            s3_head_finish(op, S3_OK);
            return;
        }
    }

    op->object =
        s3_zalloc(sizeof(s3_object_t) + nw->entry.need * sizeof(s3_piece_t));
    if (op->object == NULL) {
        s3_head_finish(op, S3_ENOMEM);
        return;
    }

    op->object->refs = 1;
    op->object->pieces = (s3_piece_t *) (op->object + 1);
    op->object->bucket = nw->bucket;
    op->object->entry = nw->entry;

    if (op->head->brief) {
        s3_head_finish(op, S3_OK);
        return;
    }

    if (s3_gather_start(nw->store, nw->bucket, nw->key, &nw->entry, nw->held,
                        nw, op->what, s3_head_gathered, op)
        != S3_OK)
    {
        s3_head_finish(op, S3_ENOMEM);
    }
}


static void
s3_head_newest(s3_head_op_t *op)
{
    const s3_pins_t *pins = op->store->conf.pins;

    op->stamp = pins ? s3_pins_stamp(pins) : 0;

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
    head->root = s3_version_none;

    op = s3_zalloc(sizeof(s3_head_op_t));
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
