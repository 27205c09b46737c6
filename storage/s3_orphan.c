#include "storage/s3_heal_int.h"
#include "storage/s3_upload.h"

#include <stdlib.h>


/*
 *   part ──► upload there? ──┬─ yes ──► not ours to judge
 *                            └─ no ───► part removed, its data kept
 *
 * An id is drawn once, and an upload that is gone never comes back: nobody can
 * complete the part any more.  The data stays, for an object may list it; where
 * none does it is found as a leak.
 */

typedef struct {
    s3_store_t *store;
    s3_put_t put;
    s3_version_t version;
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


static void
s3_orphan_asked(s3_newest_t *nw)
{
    s3_orphan_t *o = nw->ctx;

    if (nw->rc == S3_OK && nw->entry.kind != S3_KIND_TOMBSTONE) {
        s3_orphan_end(o, S3_ECORRUPT);
        return;
    }

    if ((nw->rc != S3_OK && nw->rc != S3_ENOENT) || o->store->closed) {
        s3_orphan_end(o, nw->rc != S3_OK ? nw->rc : S3_EUNAVAIL);
        return;
    }

    /* it replaces what is live: that the bucket is closed does not matter */

    o->put.store = o->store;
    o->put.generation = S3_ANY_GENERATION;
    o->put.entry.kind = S3_KIND_TOMBSTONE;
    o->put.entry.flags = S3_F_KEEP;
    o->put.test = s3_orphan_test;
    o->put.done = s3_orphan_removed;
    o->put.ctx = o;

    s3_store_put(&o->put);
}


int
s3_orphan_start(s3_store_t *store, uint64_t bucket, s3_str_t key,
                const s3_version_t *version, void (*done)(void *ctx, int rc),
                void *ctx)
{
    s3_str_t upload;
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
    upload = s3_str(o->key, key.len - S3_UPLOAD_TAG_LEN - 3);

    store->refs++;
    o->store = store;
    o->version = *version;
    o->put.bucket = bucket;
    o->put.key = s3_str(o->key, key.len);
    o->done = done;
    o->ctx = ctx;

    if (s3_newest_start(store, bucket - S3_SPACE_PARTS + S3_SPACE_UPLOADS,
                        upload, S3_NEWEST_QUIET, s3_orphan_asked, o)
        != S3_OK)
    {
        s3_store_release(store);
        free(o);
        return S3_ENOMEM;
    }

    return S3_OK;
}
