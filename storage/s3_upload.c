#include <stdlib.h>

#include "storage/s3_upload_int.h"


static void s3_upload_complete_state(s3_upload_work_t *w);
static void s3_upload_make_object(s3_upload_work_t *w);
static void s3_upload_abort_state(s3_upload_work_t *w);
static void s3_upload_fence(s3_upload_work_t *w);


static s3_upload_work_t *
s3_upload_begin(s3_upload_op_t *op)
{
    int rc;
    s3_upload_work_t *w;

    w = NULL;
    rc = S3_EINVAL;

    if (op->key.len > 0 && op->id.len == S3_UPLOAD_ID_LEN
        && op->key.len <= S3_MAX_KEY - S3_UPLOAD_ID_LEN - 4)
    {
        w = calloc(1, sizeof(s3_upload_work_t));
        rc = S3_ENOMEM;
    }

    if (w == NULL) {
        op->rc = rc;
        op->done(op);
        return NULL;
    }

    w->op = op;
    w->upload_key = s3_upload_key(w->key, op->key, op->id);
    w->prefix = s3_upload_parts_prefix(w->prefix_buf, op->key, op->id);
    w->upload = op->upload;
    w->upload->refs++;

    return w;
}


void
s3_upload_end(s3_upload_work_t *w, int rc)
{
    s3_upload_op_t *op;

    op = w->op;

    s3_object_release(w->upload);
    s3_object_release(w->object);
    free(w->kept);
    free(w->parts);
    free(w);

    op->rc = rc;
    op->done(op);
}


/* The upload's record: state, and while there is one the base. */

static s3_upload_state_t
s3_upload_look(s3_upload_work_t *w)
{
    const s3_entry_t *e;

    e = &w->upload->entry;

    w->known = e->version;
    w->based = e->extra_len >= 1 + S3_VERSION_SIZE;
    w->rooted = e->extra_len == 1 + 2 * S3_VERSION_SIZE;

    if (w->based) {
        w->base = s3_get_version(e->extra + 1);
    }

    if (w->rooted) {
        w->root = s3_get_version(e->extra + 1 + S3_VERSION_SIZE);
    }

    return s3_upload_state(e);
}


static void
s3_upload_reloaded(s3_head_t *head)
{
    s3_upload_work_t *w;

    w = head->ctx;

    if (head->rc != S3_OK) {
        s3_upload_end(w, head->rc);
        return;
    }

    s3_object_release(w->upload);
    w->upload = head->object;

    if (w->strict) {
        s3_upload_abort_state(w);

    } else {
        s3_upload_complete_state(w);
    }
}


/* Somebody else moved the upload on: from what it is now. */

static void
s3_upload_reload(s3_upload_work_t *w)
{
    if (++w->tries == S3_UPLOAD_TRIES) {
        s3_upload_end(w, S3_EUNAVAIL);
        return;
    }

    memset(&w->head, 0, sizeof(s3_head_t));

    w->head.store = w->op->store;
    w->head.bucket = w->op->bucket + S3_SPACE_UPLOADS;
    w->head.key = w->upload_key;
    w->head.done = s3_upload_reloaded;
    w->head.ctx = w;

    s3_store_head(&w->head);
}


/* The upload's record in another state, if it is still the one we know. */

static int
s3_upload_same(s3_put_t *put, const s3_entry_t *current)
{
    s3_upload_work_t *w;

    w = put->ctx;

    if (current == NULL) {
        return S3_ENOENT;
    }

    return s3_version_cmp(&current->version, &w->known) == 0 ? S3_OK
                                                             : S3_ECONFLICT;
}


static void
s3_upload_put_state(s3_upload_work_t *w, s3_upload_state_t state,
                    void (*done)(s3_put_t *))
{
    s3_put_t *put;
    s3_upload_op_t *op;

    op = w->op;
    put = &w->put;
    memset(put, 0, sizeof(s3_put_t));

    put->store = op->store;
    put->bucket = op->bucket + S3_SPACE_UPLOADS;
    put->generation = op->generation;
    put->key = w->upload_key;
    put->entry = w->upload->entry;
    put->entry.kind = S3_KIND_OBJECT;
    put->entry.flags = 0;
    s3_upload_set_state(&put->entry, state);

    if (w->based) {
        s3_put_version(put->entry.extra + 1, &w->base);
        put->entry.extra_len = 1 + S3_VERSION_SIZE;

        if (w->rooted) {
            s3_put_version(put->entry.extra + 1 + S3_VERSION_SIZE, &w->root);
            put->entry.extra_len += S3_VERSION_SIZE;
        }
    }

    put->meta = w->upload->record.meta;
    put->test = s3_upload_same;
    put->done = done;
    put->ctx = w;

    s3_store_put(put);
}


void
s3_upload_head(s3_upload_work_t *w, int brief, void (*done)(s3_head_t *))
{
    memset(&w->head, 0, sizeof(s3_head_t));

    w->head.store = w->op->store;
    w->head.bucket = w->op->bucket + S3_SPACE_OBJECTS;
    w->head.key = w->op->key;
    w->head.brief = brief != 0;
    w->head.done = done;
    w->head.ctx = w;

    s3_store_head(&w->head);
}


/* Completing. */

static void
s3_upload_completing(s3_put_t *put)
{
    s3_upload_work_t *w;

    w = put->ctx;

    if (put->rc == S3_ECONFLICT) {
        s3_upload_reload(w);
        return;
    }

    if (put->rc != S3_OK) {
        s3_upload_end(w, put->rc);
        return;
    }

    w->known = put->version;

    s3_upload_make_object(w);
}


static void
s3_upload_looked(s3_head_t *head)
{
    int rc;
    s3_version_t at;
    s3_upload_work_t *w;

    w = head->ctx;

    if (head->rc != S3_OK && head->rc != S3_ENOENT) {
        s3_upload_end(w, head->rc);
        return;
    }

    rc = S3_OK;

    if (w->op->test) {
        rc = w->op->test(w->op, head->object ? &head->object->entry : NULL);
    }

    at = head->object ? s3_upload_at(&head->object->entry) : head->newest;
    s3_object_release(head->object);

    if (rc != S3_OK) {
        s3_upload_end(w, rc);
        return;
    }

    w->base = at;
    w->based = 1;
    w->root = head->root;
    w->rooted = 1;

    s3_upload_put_state(w, S3_UPLOAD_COMPLETING, s3_upload_completing);
}


static void
s3_upload_complete_state(s3_upload_work_t *w)
{
    switch (s3_upload_look(w)) {

    case S3_UPLOAD_OPEN:
        s3_upload_head(w, 1, s3_upload_looked);
        return;

    case S3_UPLOAD_COMPLETING:
        s3_upload_make_object(w);
        return;

    default:
        s3_upload_end(w, S3_ENOENT);
    }
}


void
s3_upload_complete(s3_upload_op_t *op)
{
    s3_upload_work_t *w;

    w = s3_upload_begin(op);
    if (w != NULL) {
        s3_upload_complete_state(w);
    }
}


static int
s3_upload_object_test(s3_put_t *put, const s3_entry_t *current)
{
    int rc;
    s3_version_t at;
    s3_upload_work_t *w;

    w = put->ctx;
    w->verdict = S3_UPLOAD_PASSED;
    at = current ? s3_upload_at(current) : put->newest;

    if (s3_version_cmp(&at, &w->base) != 0) {
        w->verdict = S3_UPLOAD_MOVED;

        if (w->op->test == NULL && w->rooted
            && s3_version_cmp(&put->root, &w->root) == 0)
        {
            w->verdict = S3_UPLOAD_FOLLOWED;
            w->base = at;
        }

        return S3_EEXIST;
    }

    rc = w->op->test ? w->op->test(w->op, current) : S3_OK;

    if (rc != S3_OK) {
        w->verdict = S3_UPLOAD_REFUSED;
    }

    return rc;
}


static void
s3_upload_finished(s3_put_t *put)
{
    s3_upload_work_t *w;

    w = put->ctx;

    if (put->rc == S3_OK) {
        s3_upload_clean(w, w->result);
        return;
    }

    if (w->made) {
        /* whoever moved the upload on cleans up */
        s3_upload_end(w, S3_OK);
        return;
    }

    /* what is at the key may be an abort's fence: nothing can be claimed */

    if (put->rc == S3_ECONFLICT) {
        s3_upload_end(w, w->op->test ? S3_ECONFLICT : S3_ENOENT);
        return;
    }

    s3_upload_end(w, put->rc);
}


/* Nobody can commit the object any more, so there is no base. */

static void
s3_upload_finish(s3_upload_work_t *w, int result)
{
    w->result = result;
    w->based = 0;

    s3_upload_put_state(w, S3_UPLOAD_ABORTING, s3_upload_finished);
}


/* What is at the key now came of what was there, write by write, and the object
 * is none of them: it is the next one. */

static void
s3_upload_again(s3_upload_work_t *w)
{
    if (++w->tries == S3_UPLOAD_TRIES) {
        s3_upload_end(w, S3_EUNAVAIL);
        return;
    }

    s3_upload_put_state(w, S3_UPLOAD_COMPLETING, s3_upload_completing);
}


static void
s3_upload_object_done(s3_put_t *put)
{
    s3_upload_work_t *w;

    w = put->ctx;

    if (put->rc == S3_OK) {
        w->made = 1;
        s3_upload_finish(w, S3_OK);
        return;
    }

    if (w->verdict == S3_UPLOAD_MOVED) {
        s3_upload_finish(w, w->op->test ? S3_ECONFLICT : S3_OK);
        return;
    }

    if (w->verdict == S3_UPLOAD_FOLLOWED) {
        s3_upload_again(w);
        return;
    }

    if (w->verdict != S3_UPLOAD_REFUSED && put->rc == S3_ECONFLICT) {
        s3_upload_end(w, S3_EUNAVAIL);
        return;
    }

    s3_upload_end(w, put->rc);
}


static void
s3_upload_make_object(s3_upload_work_t *w)
{
    s3_put_t *put;
    s3_upload_op_t *op;

    if (!w->based) {
        s3_upload_end(w, S3_ECORRUPT);
        return;
    }

    op = w->op;
    put = &w->put;
    memset(put, 0, sizeof(s3_put_t));

    put->store = op->store;
    put->bucket = op->bucket + S3_SPACE_OBJECTS;
    put->generation = op->generation;
    put->key = op->key;
    put->entry = op->entry;
    put->entry.kind = S3_KIND_OBJECT;
    put->entry.flags = 0;
    put->meta = op->meta;
    put->refs = op->refs;
    put->n_refs = op->n_refs;
    put->lack = op->lack;
    put->blind = op->test == NULL;
    put->test = s3_upload_object_test;
    put->done = s3_upload_object_done;
    put->ctx = w;

    s3_store_put(put);
}


/* Aborting. */

static void
s3_upload_aborting(s3_put_t *put)
{
    s3_upload_work_t *w;

    w = put->ctx;

    if (put->rc == S3_ECONFLICT) {
        s3_upload_reload(w);
        return;
    }

    if (put->rc != S3_OK) {
        s3_upload_end(w, put->rc);
        return;
    }

    s3_upload_fence(w);
}


static void
s3_upload_abort_state(s3_upload_work_t *w)
{
    switch (s3_upload_look(w)) {

    case S3_UPLOAD_OPEN:
    case S3_UPLOAD_COMPLETING:
        s3_upload_put_state(w, S3_UPLOAD_ABORTING, s3_upload_aborting);
        return;

    default:
        s3_upload_fence(w);
    }
}


void
s3_upload_abort(s3_upload_op_t *op)
{
    s3_upload_work_t *w;

    w = s3_upload_begin(op);
    if (w != NULL) {
        w->strict = 1;
        s3_upload_abort_state(w);
    }
}


/* A completing attempt may be under way; what makes the key newer ends it. */

static int
s3_upload_fence_test(s3_put_t *put, const s3_entry_t *current)
{
    s3_version_t at;
    s3_upload_work_t *w;

    w = put->ctx;
    w->verdict = S3_UPLOAD_PASSED;
    at = current ? s3_upload_at(current) : put->newest;

    if (s3_version_cmp(&at, &w->base) != 0) {
        w->verdict = S3_UPLOAD_MOVED;
        return S3_EEXIST;
    }

    /* the blobs that are to be listed once more are those of this version */

    if (current != NULL
        && (w->object == NULL
            || s3_version_cmp(&current->version, &w->object->entry.version)
                   != 0))
    {
        w->verdict = S3_UPLOAD_RECODED;
        return S3_EUNAVAIL;
    }

    return S3_OK;
}


static void
s3_upload_fenced(s3_put_t *put)
{
    s3_upload_work_t *w;

    w = put->ctx;

    if (put->rc != S3_OK && w->verdict == S3_UPLOAD_RECODED
        && ++w->tries < S3_UPLOAD_TRIES)
    {
        s3_object_release(w->object);
        w->object = NULL;
        s3_upload_fence(w);
        return;
    }

    if (put->rc != S3_OK && w->verdict != S3_UPLOAD_MOVED) {
        s3_upload_end(w, put->rc == S3_ECONFLICT ? S3_EUNAVAIL : put->rc);
        return;
    }

    s3_upload_clean(w, S3_OK);
}


static void
s3_upload_fence_found(s3_head_t *head)
{
    s3_put_t *put;
    s3_upload_op_t *op;
    s3_version_t at;
    s3_upload_work_t *w;

    w = head->ctx;
    op = w->op;

    if (head->rc != S3_OK && head->rc != S3_ENOENT) {
        s3_upload_end(w, head->rc);
        return;
    }

    w->object = head->object;
    at = w->object ? s3_upload_at(&w->object->entry) : head->newest;

    if (s3_version_cmp(&at, &w->base) != 0) {
        s3_upload_clean(w, S3_OK);
        return;
    }

    put = &w->put;
    memset(put, 0, sizeof(s3_put_t));

    put->store = op->store;
    put->bucket = op->bucket + S3_SPACE_OBJECTS;
    put->generation = op->generation;
    put->key = op->key;
    put->test = s3_upload_fence_test;
    put->done = s3_upload_fenced;
    put->ctx = w;

    if (w->object == NULL) {
        put->entry.kind = S3_KIND_TOMBSTONE;

    } else {
        put->entry = w->object->entry;
        put->entry.flags = 0;
        put->object = w->object;
        put->meta = w->object->record.meta;
    }

    s3_store_put(put);
}


static void
s3_upload_fence(s3_upload_work_t *w)
{
    if (w->based) {
        s3_upload_head(w, 0, s3_upload_fence_found);
        return;
    }

    s3_upload_clean(w, S3_OK);
}
