#include <stdlib.h>

#include "storage/s3_upload_int.h"


#define S3_UPLOAD_SWEEP 64 /* parts removed at once */


static void s3_upload_sweep(s3_upload_work_t *w);


/* Cleaning up, when the upload's state does not allow the object to be
 * committed any more: parts, their blobs but what the object lists, upload. */

static void
s3_upload_left(s3_upload_work_t *w, int rc)
{
    s3_upload_end(w, w->strict ? rc : w->result);
}


/* Ids are compared as they are stored: a part without data has no reference
 * that could be decoded. */

static int
s3_upload_cmp_id(const void *a, const void *b)
{
    return memcmp(a, b, 16);
}


/* Which blobs does the object list that is there now? */

static void
s3_upload_clean_found(s3_head_t *head)
{
    unsigned i, n;
    s3_str_t refs;
    s3_upload_work_t *w;

    w = head->ctx;

    if (head->rc == S3_ENOENT) {
        s3_upload_sweep(w);
        return;
    }

    if (head->rc != S3_OK) {
        s3_upload_left(w, head->rc);
        return;
    }

    refs = head->object->record.refs;
    n = (unsigned) (refs.len / S3_REF_SIZE);

    w->kept = malloc((size_t) n * 16 + 1);
    if (w->kept == NULL) {
        s3_object_release(head->object);
        s3_upload_left(w, S3_ENOMEM);
        return;
    }

    for (i = 0; i < n; i++) {
        memcpy(w->kept + (size_t) i * 16, refs.data + (size_t) i * S3_REF_SIZE,
               16);
    }

    w->n_kept = n;
    qsort(w->kept, n, 16, s3_upload_cmp_id);

    s3_object_release(head->object);

    s3_upload_sweep(w);
}


void
s3_upload_clean(s3_upload_work_t *w, int result)
{
    w->result = result;

    w->parts = calloc(S3_UPLOAD_SWEEP, sizeof(s3_upload_part_t));
    if (w->parts == NULL) {
        s3_upload_left(w, S3_ENOMEM);
        return;
    }

    s3_upload_head(w, 0, s3_upload_clean_found);
}


static int
s3_upload_listed(const s3_upload_work_t *w, const s3_entry_t *entry)
{
    if (w->n_kept == 0) {
        return 0;
    }

    return bsearch(entry->extra, w->kept, w->n_kept, 16, s3_upload_cmp_id)
           != NULL;
}


static int
s3_upload_sweep_item(s3_list_t *list, s3_str_t key, const s3_entry_t *entry)
{
    s3_upload_part_t *part;
    s3_upload_work_t *w;

    w = list->ctx;

    if (entry == NULL || key.len > S3_MAX_KEY || w->n_parts == S3_UPLOAD_SWEEP)
    {
        return S3_EINVAL;
    }

    memcpy(w->after_buf, key.data, key.len);
    w->after_len = key.len;

    /* a longer one is of an upload whose key begins like this one's */

    if (key.len != w->prefix.len + 2 + S3_UPLOAD_TAG_LEN) {
        return S3_OK;
    }

    part = &w->parts[w->n_parts++];
    memset(&part->put, 0, sizeof(s3_put_t));

    memcpy(part->key, key.data, key.len);
    part->put.key = s3_str(part->key, key.len);
    part->put.entry.kind = S3_KIND_TOMBSTONE;

    if (entry->extra_len < S3_REF_SIZE || s3_upload_listed(w, entry)) {
        part->put.entry.flags = s3_break(PARTS_TAKEN) ? 0 : S3_F_KEEP;
    }

    return S3_OK;
}


static void
s3_upload_removed(s3_put_t *put)
{
    s3_upload_work_t *w;

    w = put->ctx;

    if (put->rc != S3_OK) {
        s3_upload_left(w, put->rc);
        return;
    }

    s3_upload_end(w, w->result);
}


static void
s3_upload_remove(s3_upload_work_t *w)
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
    put->entry.kind = S3_KIND_TOMBSTONE;
    put->done = s3_upload_removed;
    put->ctx = w;

    s3_store_put(put);
}


static void
s3_upload_sweep_part(s3_put_t *put)
{
    s3_upload_work_t *w;

    w = put->ctx;

    if (put->rc != S3_OK) {
        w->sweep_rc = put->rc;
    }

    if (--w->running != 0) {
        return;
    }

    if (w->sweep_rc != S3_OK) {
        s3_upload_left(w, w->sweep_rc);
        return;
    }

    s3_upload_sweep(w);
}


static void
s3_upload_sweep_listed(s3_list_t *list)
{
    unsigned i, n;
    s3_put_t *put;
    s3_upload_op_t *op;
    s3_upload_work_t *w;

    w = list->ctx;
    op = w->op;

    if (list->rc != S3_OK) {
        s3_upload_left(w, list->rc);
        return;
    }

    n = w->n_parts;

    if (n == 0 && !list->truncated) {

        if (!w->swept) {
            s3_upload_remove(w);
            return;
        }

        /* parts that came in behind this pass */

        w->swept = 0;
        w->after_len = 0;
        s3_upload_sweep(w);
        return;
    }

    w->swept |= n != 0;
    w->running = n + 1;

    for (i = 0; i < n; i++) {
        put = &w->parts[i].put;

        put->store = op->store;
        put->bucket = op->bucket + S3_SPACE_PARTS;
        put->generation = op->generation;
        put->done = s3_upload_sweep_part;
        put->ctx = w;

        s3_store_put(put);
    }

    /* ours: none of the answers that came at once was the last */

    w->put.rc = S3_OK;
    w->put.ctx = w;
    s3_upload_sweep_part(&w->put);
}


/* A page of parts after the last one, which skips the tombstones before. */

static void
s3_upload_sweep(s3_upload_work_t *w)
{
    s3_list_t *list;

    list = &w->list;
    memset(list, 0, sizeof(s3_list_t));

    w->n_parts = 0;
    w->sweep_rc = S3_OK;

    memcpy(w->list_from, w->after_buf, w->after_len);

    list->store = w->op->store;
    list->bucket = w->op->bucket + S3_SPACE_PARTS;
    list->prefix = w->prefix;
    list->after = s3_str(w->list_from, w->after_len);
    list->max = S3_UPLOAD_SWEEP;
    list->item = s3_upload_sweep_item;
    list->done = s3_upload_sweep_listed;
    list->ctx = w;

    s3_store_list(list);
}
