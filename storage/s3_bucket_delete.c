#include <stdlib.h>

#include "storage/s3_break.h"
#include "storage/s3_bucket_int.h"
#include "storage/s3_store_int.h"


static void s3_bucket_purge(s3_bucket_work_t *w);
static void s3_bucket_close(s3_bucket_work_t *w);


/*
 * Deletion.  Crash after DELETING was written: the next DeleteBucket goes on
 * from there; until then the bucket's objects can be read and not written.
 *
 * Two at once close the same generation; one may open the bucket again while
 * the other has yet to list it, and then finds what was there before deleted.
 * So nothing is removed but in state PURGING, which no bucket comes back from.
 */

static int
s3_bucket_found(s3_list_t *list, s3_str_t key, const s3_entry_t *entry)
{
    s3_bucket_work_t *w;

    (void) key;
    (void) entry;

    w = list->ctx;
    w->found = 1;

    return S3_OK;
}


static void
s3_bucket_list(s3_bucket_work_t *w, unsigned space,
               int (*item)(s3_list_t *, s3_str_t, const s3_entry_t *),
               void (*done)(s3_list_t *))
{
    s3_list_t *list;

    list = &w->list;
    memset(list, 0, sizeof(s3_list_t));

    w->found = 0;

    list->store = w->op->buckets->store;
    list->bucket = w->bucket->id + space;
    list->after = s3_str(w->key, w->key_len);
    list->max = 1;
    list->item = item;
    list->done = done;
    list->ctx = w;

    s3_store_list(list);
}


static void
s3_bucket_delete_fail(s3_bucket_work_t *w, int rc)
{
    s3_bucket_release(w->bucket);
    w->bucket = NULL;

    s3_bucket_end(w, rc);
}


static void
s3_bucket_deleted(s3_put_t *put)
{
    s3_bucket_delete_fail(put->ctx, put->rc);
}


static void
s3_bucket_drop_record(s3_bucket_work_t *w)
{
    s3_put_t *put;

    put = &w->put;
    memset(put, 0, sizeof(s3_put_t));

    put->store = w->op->buckets->store;
    put->bucket = S3_BUCKET_BUCKETS;
    put->key = w->op->name;
    put->entry.kind = S3_KIND_TOMBSTONE;
    put->test = s3_bucket_test_same;
    put->done = s3_bucket_deleted;
    put->ctx = w;

    s3_store_put(put);
}


/* The record is ours in that state, or the operation has ended: 0. */

static int
s3_bucket_moved(s3_bucket_work_t *w, const s3_put_t *put,
                s3_bucket_state_t state)
{
    s3_bucket_t *bucket;

    if (put->rc != S3_OK) {
        s3_bucket_delete_fail(w, put->rc);
        return 0;
    }

    /* the cached record is immutable and no longer the newest */

    bucket = s3_bucket_alloc(w->bucket->name, w->bucket->region,
                             w->bucket->tags, w->bucket->n_tags);
    if (bucket == NULL) {
        s3_bucket_delete_fail(w, S3_ENOMEM);
        return 0;
    }

    bucket->id = w->bucket->id;
    bucket->generation = w->bucket->generation;
    bucket->created = w->bucket->created;
    bucket->state = state;
    bucket->version = put->version;

    s3_bucket_release(w->bucket);
    w->bucket = bucket;

    return 1;
}


static void
s3_bucket_purging(s3_put_t *put)
{
    s3_bucket_work_t *w;

    w = put->ctx;

    if (s3_bucket_moved(w, put, S3_BUCKET_PURGING)) {
        s3_bucket_purge(w);
    }
}


/*
 * What open multipart uploads left: parts first, then the uploads, under the
 * next generation, since this one is closed.  Each listing begins after the
 * last key, not at the tombstones of all that went; a space is done when a
 * whole pass found nothing.
 */

static int
s3_bucket_purge_item(s3_list_t *list, s3_str_t key, const s3_entry_t *entry)
{
    s3_bucket_work_t *w;

    (void) entry;

    w = list->ctx;

    free(w->last);
    w->last = malloc(key.len ? key.len : 1);
    if (w->last == NULL) {
        return S3_ENOMEM;
    }

    memcpy(w->last, key.data, key.len);
    w->last_len = key.len;
    w->found = 1;

    return S3_OK;
}


static void
s3_bucket_purge_removed(s3_put_t *put)
{
    s3_bucket_work_t *w;

    w = put->ctx;

    if (put->rc != S3_OK) {
        s3_bucket_delete_fail(w, put->rc);
        return;
    }

    s3_bucket_purge(w);
}


static void
s3_bucket_purge_passed(s3_bucket_work_t *w)
{
    if (w->purged) {
        w->purged = 0;
        s3_bucket_purge(w);
        return;
    }

    if (w->space == S3_SPACE_UPLOADS) {
        s3_bucket_drop_record(w);
        return;
    }

    w->space = S3_SPACE_UPLOADS;
    s3_bucket_purge(w);
}


static void
s3_bucket_purge_listed(s3_list_t *list)
{
    s3_put_t *put;
    s3_bucket_t next;
    s3_bucket_work_t *w;

    w = list->ctx;

    if (list->rc != S3_OK) {
        s3_bucket_delete_fail(w, list->rc);
        return;
    }

    free(w->key);
    w->key = NULL;
    w->key_len = 0;

    if (!w->found) {
        s3_bucket_purge_passed(w);
        return;
    }

    if (w->bucket->state != S3_BUCKET_PURGING && !s3_break(EARLY_PURGE)) {
        next = *w->bucket;
        next.state = S3_BUCKET_PURGING;

        s3_bucket_write(w, &next, s3_bucket_test_same, s3_bucket_purging);
        return;
    }

    w->key = w->last;
    w->key_len = w->last_len;
    w->last = NULL;
    w->purged = 1;

    put = &w->put;
    memset(put, 0, sizeof(s3_put_t));

    put->store = w->op->buckets->store;
    put->bucket = w->bucket->id + w->space;
    put->generation = w->bucket->generation + 1;
    put->key = s3_str(w->key, w->key_len);
    put->entry.kind = S3_KIND_TOMBSTONE;
    put->done = s3_bucket_purge_removed;
    put->ctx = w;

    s3_store_put(put);
}


static void
s3_bucket_purge(s3_bucket_work_t *w)
{
    s3_bucket_list(w, w->space, s3_bucket_purge_item, s3_bucket_purge_listed);
}


static void
s3_bucket_reopened(s3_put_t *put)
{
    s3_bucket_delete_fail(put->ctx, put->rc == S3_OK ? S3_EEXIST : put->rc);
}


static void
s3_bucket_delete_judged(s3_bucket_work_t *w, int rc)
{
    s3_bucket_t next;

    if (rc == S3_OK) {
        w->space = S3_SPACE_PARTS;
        s3_bucket_purge(w);
        return;
    }

    if (rc != S3_EEXIST) {
        s3_bucket_delete_fail(w, rc);
        return;
    }

    next = *w->bucket;
    next.state = S3_BUCKET_ACTIVE;
    next.generation++;

    s3_bucket_write(w, &next, s3_bucket_test_same, s3_bucket_reopened);
}


static void
s3_bucket_delete_closed(s3_shut_t *shut)
{
    s3_bucket_work_t *w;

    w = shut->ctx;

    if (shut->rc != S3_OK) {
        s3_bucket_delete_fail(w, shut->rc);
        return;
    }

    if (w->space == S3_SPACE_OBJECTS) {
        w->closed = shut->drives;
    }

    if (w->space != S3_SPACE_PARTS) {
        w->space++;
        s3_bucket_close(w);
        return;
    }

    s3_bucket_empty(w, s3_bucket_delete_judged);
}


/* Objects, uploads, parts: one after the other. */

static void
s3_bucket_close(s3_bucket_work_t *w)
{
    s3_shut_t *shut;

    shut = &w->shut;
    memset(shut, 0, sizeof(s3_shut_t));

    shut->store = w->op->buckets->store;
    shut->bucket = w->bucket->id + w->space;
    shut->generation = w->bucket->generation;
    shut->done = s3_bucket_delete_closed;
    shut->ctx = w;

    if (s3_break(BUCKET_OPEN)) {
        shut->drives = s3_bit(shut->store->n) - 1;
        s3_bucket_delete_closed(shut);
        return;
    }

    s3_store_close_bucket(shut);
}


static void
s3_bucket_deleting(s3_put_t *put)
{
    s3_bucket_work_t *w;

    w = put->ctx;

    if (s3_bucket_moved(w, put, S3_BUCKET_DELETING)) {
        s3_bucket_close(w);
    }
}


static void
s3_bucket_delete_checked(s3_list_t *list)
{
    s3_bucket_t next;
    s3_bucket_work_t *w;

    w = list->ctx;

    if (list->rc != S3_OK || w->found) {
        s3_bucket_delete_fail(w, w->found ? S3_EEXIST : list->rc);
        return;
    }

    next = *w->bucket;
    next.state = S3_BUCKET_DELETING;

    s3_bucket_write(w, &next, s3_bucket_test_same, s3_bucket_deleting);
}


static void
s3_bucket_delete_begin(s3_bucket_work_t *w, int rc)
{
    if (rc != S3_OK) {
        s3_bucket_end(w, rc);
        return;
    }

    if (w->bucket->state == S3_BUCKET_DELETING) {
        s3_bucket_close(w);
        return;
    }

    if (w->bucket->state == S3_BUCKET_PURGING) {
        w->space = S3_SPACE_PARTS;
        s3_bucket_purge(w);
        return;
    }

    s3_bucket_list(w, S3_SPACE_OBJECTS, s3_bucket_found,
                   s3_bucket_delete_checked);
}


void
s3_bucket_delete(s3_bucket_op_t *op)
{
    s3_bucket_work_t *w;

    w = s3_bucket_begin(op);
    if (w != NULL) {
        s3_bucket_load(w, s3_bucket_delete_begin);
    }
}
