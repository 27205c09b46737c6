/*
 * Blobs, notes, closed buckets.
 */

#include "storage/s3_local_int.h"
#include <stdlib.h>

#define S3_NOTE_KEY (1 + 8 + S3_MAX_KEY)


/* Passed on where the drive takes part. */

#define S3_BLOB_PASS(name, type, call, allowed) \
    void name(s3_drive_t *d, type *req)         \
    {                                           \
        s3_local_t *l = d->impl;                \
        int rc = (allowed);                     \
                                                \
        if (rc != S3_OK) {                      \
            req->req.rc = rc;                   \
            req->req.answer = S3_ANSWER_NONE;   \
            req->req.done(&req->req);           \
            return;                             \
        }                                       \
                                                \
        call(l->blobs, req);                    \
    }


S3_BLOB_PASS(s3_local_blob_create, s3_blob_req_t, s3_blobs_open,
             s3_local_may_write(l, 0))


/* What was opened is finished or let go whatever the state. */

S3_BLOB_PASS(s3_local_blob_write, s3_unit_t, s3_blobs_write,
             l->blobs ? S3_OK : S3_EUNAVAIL)
S3_BLOB_PASS(s3_local_blob_abort, s3_blob_req_t, s3_blobs_abort,
             l->blobs ? S3_OK : S3_EUNAVAIL)
S3_BLOB_PASS(s3_local_blob_read, s3_unit_t, s3_blobs_read, s3_local_may_read(l))


/* The file that is replaced may be open in any process. */

typedef struct {
    s3_local_t *l;
    s3_blob_req_t *outer;
    s3_blob_req_t blob;
} s3_replace_t;


static void
s3_local_replaced(s3_req_t *req)
{
    s3_replace_t *p = req->ctx;
    s3_local_t *l = p->l;
    s3_blob_req_t *outer = p->outer;

    s3_blobs_forget(l->blobs, p->blob.id);
    s3_zone_freed(l->zd, p->blob.id);

    outer->blob = p->blob.blob;
    outer->req.rc = req->rc;
    outer->req.answer = req->answer;
    free(p);

    outer->req.done(&outer->req);
}


void
s3_local_blob_finish(s3_drive_t *d, s3_blob_req_t *blob)
{
    s3_local_t *l = d->impl;
    s3_replace_t *p;

    if (l->blobs == NULL) {
        blob->req.rc = S3_EUNAVAIL;
        blob->req.answer = S3_ANSWER_NONE;
        blob->req.done(&blob->req);
        return;
    }

    p = blob->again ? malloc(sizeof(*p)) : NULL;

    if (p == NULL) {
        s3_blobs_finish(l->blobs, blob);
        return;
    }

    p->l = l;
    p->outer = blob;
    p->blob = *blob;
    p->blob.req.done = s3_local_replaced;
    p->blob.req.ctx = p;

    s3_blobs_finish(l->blobs, &p->blob);
}


void
s3_local_blob_remove(s3_drive_t *d, s3_blob_req_t *blob)
{
    int rc;
    uint8_t id[16];
    s3_local_t *l = d->impl;

    rc = s3_local_may_write(l, 1);

    if (rc != S3_OK) {
        blob->req.rc = rc;
        blob->req.answer = S3_ANSWER_NONE;
        blob->req.done(&blob->req);
        return;
    }

    memcpy(id, blob->id, 16);
    s3_blobs_remove(l->blobs, blob);
    s3_zone_freed(l->zd, id);
}


/* Files of blobs that others have removed: their space comes back when the
 * last one closes them. */

void
s3_local_forget_freed(s3_local_t *l)
{
    unsigned i, n;
    uint8_t ids[S3_ZONE_FREED][16];

    n = s3_zone_freed_since(l->zd, &l->freed_seen, ids);

    for (i = 0; i < n; i++) {
        s3_blobs_forget(l->blobs, ids[i]);
    }
}


/* Drive-local entries: NOTE, UNNOTE, closed buckets. */

typedef struct {
    s3_req_t *req;
    uint8_t kind;
    unsigned inserted : 1;
    uint64_t wait_bucket; /* 0, or what must have nothing pending */
    uint16_t key_len;
    uint8_t key[S3_NOTE_KEY];
} s3_keep_t;


static void
s3_keep_finish(s3_op_t *op)
{
    s3_keep_t *k = op->req;
    s3_req_t *req = k->req;

    req->rc = op->rc;
    req->answer = op->rc == S3_OK ? op->answer : S3_ANSWER_NONE;

    s3_op_free(op);
    free(k);
    req->done(req);
}


/* A vote that was taken before the bucket was closed and is not durable. */

static int
s3_keep_pending(s3_op_t *op, uint64_t bucket)
{
    unsigned i, n, arenas[S3_ZONE_ARENAS];
    s3_local_t *l = op->l;
    s3_memnode_t *node;
    s3_memtable_t *tables[S3_ZONE_ARENAS];

    /* what is flushed is durable */
    n = s3_index_memtables(l->zone, l->index, UINT64_MAX, tables, arenas);

    for (i = 0; i < n; i++) {

        node = s3_memtable_seek(tables[i], bucket, s3_null_str);

        while (node && node->bucket == bucket) {

            if (s3_memnode_state(node) == S3_MEM_PENDING) {
                op->node = node;
                op->arena = arenas[i];
                op->arena_seq = l->zd->arenas[arenas[i]].seq;
                return 1;
            }

            node = s3_memtable_next(tables[i], node);
        }
    }

    return 0;
}


static int
s3_keep_decide(s3_op_t *op)
{
    int rc, cmp;
    s3_view_t view;
    s3_record_t r;
    s3_keep_t *k = op->req;
    s3_local_t *l = op->l;
    s3_item_state_t *x;

    s3_view_init(&view);
    rc = s3_view_load(&view, l->zone, l->index, &op->find, 0, op->bucket,
                      op->key);
    if (rc != S3_OK) {
        rc = s3_op_answer(op, rc, S3_ANSWER_NONE);
        goto done;
    }

    x = view.n ? &view.items[0] : NULL;
    cmp = x ? s3_version_cmp(&x->e.version, &op->version) : -1;

    if (x && cmp >= 0 && !x->durable && !x->pending) {
        rc = s3_op_answer(op, S3_EIO, S3_ANSWER_NONE);
        goto done;
    }

    if (x && x->pending && cmp >= 0) {
        rc = s3_op_wait(op, x);
        goto done;
    }

    if (cmp > 0 || (cmp == 0 && x->e.kind == k->kind)
        || (k->kind == S3_KIND_UNNOTE && x == NULL))
    {
        /* it is so already */
        if (k->wait_bucket && s3_keep_pending(op, k->wait_bucket)) {
            rc = S3_OP_WAIT;
            goto done;
        }

        rc = s3_op_answer(op, S3_OK, S3_ANSWER_YES);
        goto done;
    }

    s3_record_of(&r, op->bucket, op->key, &op->version, (s3_kind_t) k->kind);
    rc = s3_local_append(l, op, &r, NULL, NULL);

    if (rc == S3_AGAIN) {
        rc = S3_OP_STALL;

    } else if (rc != S3_OK || !k->wait_bucket) {
        rc = s3_op_answer(op, rc, S3_ANSWER_YES);

    } else {
        /* runs again when it is durable, and looks for what is pending */
        s3_view_done(&view);
        rc = s3_view_load(&view, l->zone, l->index, &op->find, 0, op->bucket,
                          op->key);
        rc = rc == S3_OK ? s3_op_wait(op, &view.items[0])
                         : s3_op_answer(op, rc, S3_ANSWER_NONE);
    }

done:

    s3_view_done(&view);

    return rc;
}


static void
s3_keep_start(s3_local_t *l, s3_req_t *req, uint64_t bucket,
              const uint8_t *prefix, size_t prefix_len, s3_str_t key,
              const s3_version_t *v, s3_kind_t kind, uint64_t wait_bucket)
{
    int rc;
    s3_op_t *op;
    s3_keep_t *k;

    rc = s3_local_may_write(l, 1);

    if (rc == S3_OK && prefix_len + key.len > S3_MAX_KEY) {
        rc = S3_EINVAL;
    }

    k = rc == S3_OK ? malloc(sizeof(*k)) : NULL;
    op = NULL;

    if (k) {
        k->req = req;
        k->kind = (uint8_t) kind;
        k->wait_bucket = wait_bucket;
        k->key_len = (uint16_t) (prefix_len + key.len);
        memcpy(k->key, prefix, prefix_len);

        if (key.len) {
            memcpy(k->key + prefix_len, key.data, key.len);
        }

        op = s3_op_create(l, bucket, s3_str(k->key, k->key_len), s3_keep_decide,
                          s3_keep_finish, k);
    }

    if (op == NULL) {
        free(k);
        req->rc = rc == S3_OK ? S3_ENOMEM : rc;
        req->answer = S3_ANSWER_NONE;
        req->done(req);
        return;
    }

    op->version = *v;
    s3_op_run(op);
}


void
s3_local_close_bucket(s3_drive_t *d, s3_close_t *close)
{
    uint8_t key[8];
    s3_version_t v = {(uint64_t) close->generation + 1, 0, 0};

    s3_put64(key, __builtin_bswap64(close->bucket));
    s3_keep_start(d->impl, &close->req, S3_BUCKET_CLOSED, key, 8, s3_null_str,
                  &v, S3_KIND_NOTE, close->bucket);
}


static void
s3_note_start(s3_drive_t *d, s3_note_t *note, s3_kind_t kind)
{
    uint8_t prefix[9];

    prefix[0] = (uint8_t) note->target;
    s3_put64(prefix + 1, __builtin_bswap64(note->bucket));
    s3_keep_start(d->impl, &note->req, S3_BUCKET_NOTES, prefix, 9, note->key,
                  &note->version, kind, 0);
}


void
s3_local_note(s3_drive_t *d, s3_note_t *note)
{
    s3_note_start(d, note, S3_KIND_NOTE);
}


void
s3_local_unnote(s3_drive_t *d, s3_note_t *note)
{
    s3_note_start(d, note, S3_KIND_UNNOTE);
}
