#include "storage/s3_heal_int.h"
#include "storage/s3_bucket.h"

#include <stdlib.h>


/*
 * The pages of one listing after the other:
 *
 *   list of buckets ─┬─► id + 2 ──► id + 1 ──► id ─┬─► next id ...
 *                    └── ids, from the entries ────┘
 *
 * Buckets made later need nothing: what is written while a drive is away or
 * new is noted for it.
 */

#define S3_WALK_PAGE 64


struct s3_walk_s {
    s3_store_t *store;
    unsigned drive;
    void (*ready)(void *ctx);
    void *ctx;
    unsigned refs;

    uint64_t *ids;
    size_t n_ids;
    size_t room;
    size_t id;      /* the one being walked */
    unsigned space; /* of it; 3: the list of buckets */
    uint64_t bucket;

    s3_scan_t scan;
    unsigned valid : 1; /* scan has a page */
    unsigned scanning : 1;
    unsigned inside : 1; /* of next() */
    unsigned closed : 1;
    unsigned next;
    int rc;
    size_t from_len;
    uint8_t from[S3_MAX_KEY];
};


static void
s3_walk_release(s3_walk_t *walk)
{
    if (--walk->refs) {
        return;
    }

    if (walk->valid) {
        s3_scan_release(&walk->scan);
    }

    s3_store_release(walk->store);
    free(walk->ids);
    free(walk);
}


s3_walk_t *
s3_walk_create(s3_store_t *store, unsigned drive, void (*ready)(void *ctx),
               void *ctx)
{
    s3_walk_t *walk;

    walk = calloc(1, sizeof(s3_walk_t));
    if (walk == NULL) {
        return NULL;
    }

    store->refs++;
    walk->store = store;
    walk->drive = drive;
    walk->ready = ready;
    walk->ctx = ctx;
    walk->refs = 1;
    walk->bucket = S3_BUCKET_BUCKETS;

    return walk;
}


void
s3_walk_destroy(s3_walk_t *walk)
{
    if (walk) {
        walk->closed = 1;
        s3_walk_release(walk);
    }
}


static int
s3_walk_id(s3_walk_t *walk, uint64_t id)
{
    size_t i, room;
    uint64_t *ids;

    if (id < S3_BUCKET_FIRST || id & 3 || id > UINT64_MAX - 3) {
        return S3_OK;
    }

    /* those of one name come together */

    for (i = walk->n_ids; i > 0 && walk->n_ids - i < 8; i--) {
        if (walk->ids[i - 1] == id) {
            return S3_OK;
        }
    }

    if (walk->n_ids == walk->room) {
        room = walk->room ? walk->room * 2 : 64;
        ids = realloc(walk->ids, room * sizeof(uint64_t));
        if (ids == NULL) {
            return S3_ENOMEM;
        }

        walk->ids = ids;
        walk->room = room;
    }

    walk->ids[walk->n_ids++] = id;

    return S3_OK;
}


/* Ids of all versions that may still count. */

static int
s3_walk_bucket(s3_walk_t *walk, const s3_item_t *item)
{
    int rc;
    unsigned i;
    uint64_t id;
    s3_str_t region;

    for (i = 0; i < item->n; i++) {
        if (item->entries[i].kind == S3_KIND_OBJECT
            && s3_bucket_entry(&item->entries[i], &id, &region) == S3_OK)
        {
            rc = s3_walk_id(walk, id);
            if (rc != S3_OK) {
                return rc;
            }
        }
    }

    return S3_OK;
}


static void
s3_walk_scanned(s3_req_t *req)
{
    s3_scan_t *scan = s3_container(req, s3_scan_t, req);
    s3_walk_t *walk = s3_container(scan, s3_walk_t, scan);

    walk->scanning = 0;
    walk->rc = req->rc;
    walk->next = 0;

    if (req->rc == S3_OK) {
        walk->valid = 1;

    } else {
        s3_scan_release(scan);
    }

    if (!walk->closed && !walk->inside) {
        walk->ready(walk->ctx);
    }

    s3_walk_release(walk);
}


/* Where the next page begins; 0: nowhere. */

static int
s3_walk_forward(s3_walk_t *walk)
{
    s3_str_t key;

    if (walk->valid) {
        walk->valid = 0;

        if (walk->scan.n && !walk->scan.end) {
            key = walk->scan.items[walk->scan.n - 1].key;
            walk->from_len = s3_min(key.len, sizeof(walk->from));
            memcpy(walk->from, key.data, walk->from_len);
            s3_scan_release(&walk->scan);
            return 1;
        }

        s3_scan_release(&walk->scan);
        walk->from_len = 0;

        if (walk->bucket == S3_BUCKET_BUCKETS) {
            walk->id = 0;
            walk->space = S3_SPACE_PARTS;

        } else if (walk->space == S3_SPACE_OBJECTS) {
            walk->id++;
            walk->space = S3_SPACE_PARTS;

        } else {
            walk->space--;
        }

        if (walk->id == walk->n_ids) {
            return 0;
        }

        walk->bucket = walk->ids[walk->id] + walk->space;
    }

    return 1;
}


int
s3_walk_next(s3_walk_t *walk, uint64_t *bucket, const s3_item_t **item)
{
    int rc;
    s3_drive_t *d;
    const s3_item_t *p;

    for (;;) {

        if (walk->rc != S3_OK) {
            return walk->rc;
        }

        if (walk->scanning) {
            return S3_AGAIN;
        }

        if (walk->valid && walk->next < walk->scan.n) {
            p = &walk->scan.items[walk->next++];

            if (walk->bucket == S3_BUCKET_BUCKETS) {
                rc = s3_walk_bucket(walk, p);
                if (rc != S3_OK) {
                    walk->rc = rc;
                    return rc;
                }
            }

            if (p->n == 0) {
                continue;
            }

            *bucket = walk->bucket;
            *item = p;
            return S3_OK;
        }

        if (!s3_walk_forward(walk)) {
            walk->rc = S3_DONE;
            return S3_DONE;
        }

        d = walk->store->conf.drives[walk->drive];

        if (walk->store->closed || !s3_drive_readable(d)) {
            walk->rc = S3_EUNAVAIL;
            return walk->rc;
        }

        memset(&walk->scan, 0, sizeof(walk->scan));
        walk->scan.req.done = s3_walk_scanned;
        walk->scan.req.ctx = walk;
        walk->scan.req.drive = walk->drive;
        walk->scan.bucket = walk->bucket;
        walk->scan.from = s3_str(walk->from, walk->from_len);
        walk->scan.after = walk->from_len != 0;
        walk->scan.max = S3_WALK_PAGE;

        walk->scanning = 1;
        walk->refs++;
        walk->inside = 1;
        d->ops->list(d, &walk->scan);
        walk->inside = 0;
    }
}
