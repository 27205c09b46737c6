#include "storage/s3_heal_int.h"
#include "storage/s3_upload.h"

#include <stdlib.h>


/*
 *   upload gone ──────────────────────────────────┬─► part removed, its data
 *          ABORTING ──────────────────────────────┤   kept
 *          COMPLETING(e) ─► the key has moved on? ┤
 *                                                 └─► not ours to judge
 *
 * An id is drawn once, and an upload that is gone never comes back: nobody can
 * complete the part any more.  One that is over, or has had its turn at the
 * key, does not need its parts (s3_upload.h): what was made of them is at the
 * key, or was overwritten, and the data went with it.  The record and what is
 * left of the data stay apart: an object may list it; where none does it is
 * found as a leak.
 */

typedef struct {
    s3_store_t *store;
    s3_put_t put;
    s3_version_t version;
    s3_version_t base; /* of the upload, with its root */
    s3_version_t root;
    s3_str_t upload; /* its key */
    void (*done)(void *ctx, int rc);
    void *ctx;
    uint8_t key[];
} s3_orphan_t;


static void
s3_orphan_end(s3_orphan_t *o, int rc)
{
    o->done(o->ctx, rc);

    s3_store_release(o->store);
    free(o);
}


static int
s3_orphan_test(s3_put_t *put, const s3_entry_t *current)
{
    s3_orphan_t *o = put->ctx;

    return current && s3_version_cmp(&current->version, &o->version) == 0
               ? S3_OK
               : S3_ECONFLICT;
}


static void
s3_orphan_removed(s3_put_t *put)
{
    s3_orphan_t *o = put->ctx;

    if (put->rc == S3_OK) {
        o->store->stats.orphans++;
    }

    s3_orphan_end(o, put->rc);
}


/* It replaces what is live: that the bucket is closed does not matter. */

static void
s3_orphan_remove(s3_orphan_t *o)
{
    if (o->store->closed) {
        s3_orphan_end(o, S3_EUNAVAIL);
        return;
    }

    o->put.store = o->store;
    o->put.generation = S3_ANY_GENERATION;
    o->put.entry.kind = S3_KIND_TOMBSTONE;
    o->put.entry.flags = S3_F_KEEP;
    o->put.test = s3_orphan_test;
    o->put.done = s3_orphan_removed;
    o->put.ctx = o;

    s3_store_put(&o->put);
}


/* What is at the object's key: e, or what followed it, and it can be completed
 * yet. */

static void
s3_orphan_looked(s3_newest_t *nw)
{
    s3_orphan_t *o = nw->ctx;
    s3_version_t at, root;

    if (nw->rc != S3_OK && nw->rc != S3_ENOENT) {
        s3_orphan_end(o, nw->rc);
        return;
    }

    at = s3_version_none;
    root = s3_version_none;

    if (nw->rc == S3_OK) {
        at = s3_upload_at(&nw->entry);
        root = s3_entry_root(&nw->entry);
    }

    if (s3_version_cmp(&at, &o->base) == 0
        || s3_version_cmp(&root, &o->root) == 0) {
        s3_orphan_end(o, S3_ECORRUPT);
        return;
    }

    s3_orphan_remove(o);
}


static void
s3_orphan_asked(s3_newest_t *nw)
{
    s3_str_t key, id;
    s3_orphan_t *o = nw->ctx;

    if (nw->rc != S3_OK && nw->rc != S3_ENOENT) {
        s3_orphan_end(o, nw->rc);
        return;
    }

    if (nw->rc == S3_ENOENT || nw->entry.kind == S3_KIND_TOMBSTONE
        || s3_upload_state(&nw->entry) == S3_UPLOAD_ABORTING)
    {
        s3_orphan_remove(o);
        return;
    }

    if (s3_upload_state(&nw->entry) != S3_UPLOAD_COMPLETING
        || !s3_upload_base(&nw->entry, &o->base, &o->root)
        || s3_upload_split(o->upload, &key, &id) != S3_OK)
    {
        s3_orphan_end(o, S3_ECORRUPT);
        return;
    }

    if (s3_newest_start(o->store, o->put.bucket - S3_SPACE_PARTS, key,
                        S3_NEWEST_QUIET, s3_orphan_looked, o)
        != S3_OK)
    {
        s3_orphan_end(o, S3_ENOMEM);
    }
}


int
s3_orphan_start(s3_store_t *store, uint64_t bucket, s3_str_t key,
                const s3_version_t *version, void (*done)(void *ctx, int rc),
                void *ctx)
{
    s3_orphan_t *o;

    if (bucket < S3_BUCKET_FIRST || (bucket & 3) != S3_SPACE_PARTS
        || s3_upload_part_number(key) == 0)
    {
        return S3_EINVAL;
    }

    o = calloc(1, sizeof(s3_orphan_t) + key.len);
    if (o == NULL) {
        return S3_ENOMEM;
    }

    memcpy(o->key, key.data, key.len);
    o->upload = s3_str(o->key, key.len - S3_UPLOAD_TAG_LEN - 3);

    store->refs++;
    o->store = store;
    o->version = *version;
    o->put.bucket = bucket;
    o->put.key = s3_str(o->key, key.len);
    o->done = done;
    o->ctx = ctx;

    if (s3_newest_start(store, bucket - S3_SPACE_PARTS + S3_SPACE_UPLOADS,
                        o->upload, S3_NEWEST_QUIET, s3_orphan_asked, o)
        != S3_OK)
    {
        s3_store_release(store);
        free(o);
        return S3_ENOMEM;
    }

    return S3_OK;
}
