/*
 * Blobs that no record lists are removed: one directory a task.
 */

#include "storage/s3_local_int.h"
#include <stdio.h>
#include <stdlib.h>

#define S3_LEAKS_DIRS 256
#define S3_LEAKS_MAX 1024 /* of one directory in one pass */


typedef struct {
    s3_local_t *l;
    s3_leaks_t *leaks;
    s3_task_t task;
    unsigned dir;
    int rc;
    unsigned n;
    uint8_t ids[S3_LEAKS_MAX][16];
} s3_leaking_t;


static void s3_leaks_next(s3_leaking_t *k);


/* A name that is not that of a blob is none of our business. */

static int
s3_leaks_name(void *ctx, const char *name)
{
    uint8_t id[16];
    s3_leaking_t *k = ctx;

    if (s3_blob_parse_name(name, id) != S3_OK) {
        return S3_OK;
    }

    if (id[0] == k->dir && k->n < S3_LEAKS_MAX
        && !s3_known_has(k->leaks->known, id))
    {
        memcpy(k->ids[k->n++], id, 16);
    }

    return S3_OK;
}


static void
s3_leaks_run(s3_task_t *task)
{
    char path[S3_BLOB_PATH];
    unsigned i, left;
    uint64_t written;
    s3_leaking_t *k = task->ctx;
    s3_fs_t *fs = k->l->fs;

    snprintf(path, sizeof(path), "blob/%02x", k->dir);

    k->n = 0;
    k->rc = fs->list(fs, path, s3_leaks_name, k);

    if (k->rc != S3_OK) {
        k->n = 0;

        if (k->rc == S3_ENOENT) {
            k->rc = S3_OK;
        }

        return;
    }

    for (i = 0, left = 0; i < k->n; i++) {
        s3_blob_path(path, k->ids[i]);

        /* one that was freed and waits for its readers goes by this id, too,
         * unless its object has many */
        if (s3_pinned(&k->l->zone->pins, k->ids[i])
            || fs->mtime(fs, path, &written) != S3_OK
            || written >= k->leaks->before || fs->unlink(fs, path) != S3_OK)
        {
            continue;
        }

        memmove(k->ids[left++], k->ids[i], 16);
    }

    k->n = left;
}


static void
s3_leaks_done(s3_task_t *task)
{
    unsigned i;
    s3_leaking_t *k = task->ctx;
    s3_local_t *l = k->l;

    for (i = 0; i < k->n; i++) {
        s3_blobs_forget(l->blobs, k->ids[i]);
        s3_zone_freed(l->zd, k->ids[i]);
    }

    k->leaks->removed += k->n;
    k->dir++;
    s3_leaks_next(k);
}


static void
s3_leaks_next(s3_leaking_t *k)
{
    int rc;
    s3_local_t *l = k->l;
    s3_leaks_t *leaks = k->leaks;

    rc = k->rc == S3_OK ? s3_local_may_write(l, 1) : k->rc;

    if (rc == S3_OK && k->dir < S3_LEAKS_DIRS) {
        l->loop->post_background(l->loop, &k->task);
        return;
    }

    l->ops--;
    free(k);

    leaks->req.rc = rc;
    leaks->req.answer = rc == S3_OK ? S3_ANSWER_YES : S3_ANSWER_NONE;
    leaks->req.done(&leaks->req);
}


void
s3_local_leaks(s3_drive_t *d, s3_leaks_t *leaks)
{
    int rc;
    s3_leaking_t *k;
    s3_local_t *l = d->impl;

    leaks->removed = 0;
    rc = s3_local_may_write(l, 1);
    k = NULL;

    if (rc == S3_OK && (l->fs == NULL || l->fs->mtime == NULL || !l->blobs)) {
        rc = S3_EUNAVAIL;
    }

    if (rc == S3_OK) {
        k = calloc(1, sizeof(*k));
        rc = k ? S3_OK : S3_ENOMEM;
    }

    if (rc != S3_OK) {
        leaks->req.rc = rc;
        leaks->req.answer = S3_ANSWER_NONE;
        leaks->req.done(&leaks->req);
        return;
    }

    k->l = l;
    k->leaks = leaks;
    k->task.run = s3_leaks_run;
    k->task.done = s3_leaks_done;
    k->task.ctx = k;
    k->task.drive = l->index;
    l->ops++;

    s3_leaks_next(k);
}
