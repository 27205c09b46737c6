#include "storage/s3_heal_int.h"

#include <stdlib.h>


/*
 * The pages of one listing after the other:
 *
 *   list of buckets ──► id + 2 ──► id + 1 ──► id ──► id + 3 ──┐
 *                         ▲                                  │
 *                         └──────── the next id that has keys ┘
 *
 * Which ids there are says the drive's index, not its list of buckets: a drive
 * that was away when a bucket was made may hold objects of it, and they count
 * as any other.  id + 3 has no keys; it is where to ask for the next one.
 *
 * Buckets made later need nothing: what is written while a drive is away or
 * new is noted for it.
 */

#define S3_WALK_PAGE 64
#define S3_WALK_GAP 3 /* the fourth id of a block */


struct s3_walk_s {
    s3_store_t *store;
    unsigned drive;
    void (*ready)(void *ctx);
    void *ctx;
    unsigned refs;

    uint64_t bucket; /* whose keys, with its space */

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


/* The listing after this one; 0: it was the last.  `following` is what the
 * drive said comes after it. */

static int
s3_walk_bucket(s3_walk_t *walk, uint64_t following)
{
    uint64_t base;

    base = walk->bucket & ~(uint64_t) S3_WALK_GAP;

    if (walk->bucket >= S3_BUCKET_FIRST) {

        switch (walk->bucket - base) {

        case S3_SPACE_PARTS:
        case S3_SPACE_UPLOADS:
            walk->bucket--;
            return 1;

        case S3_SPACE_OBJECTS:
            walk->bucket = base + S3_WALK_GAP;
            return 1;

        default:
            break;
        }
    }

    if (following == 0) {
        return 0;
    }

    if (following <= walk->bucket) {
        walk->rc = S3_ECORRUPT;
        return 0;
    }

    walk->bucket = following < S3_BUCKET_FIRST
                       ? S3_BUCKET_FIRST - 1
                       : (following & ~(uint64_t) S3_WALK_GAP) + S3_SPACE_PARTS;

    return 1;
}


/* Where the next page begins; 0: nowhere. */

static int
s3_walk_forward(s3_walk_t *walk)
{
    uint64_t following;
    s3_str_t key;

    if (!walk->valid) {
        return 1;
    }

    walk->valid = 0;

    if (walk->scan.n && !walk->scan.end) {
        key = walk->scan.items[walk->scan.n - 1].key;
        walk->from_len = s3_min(key.len, sizeof(walk->from));
        memcpy(walk->from, key.data, walk->from_len);
        s3_scan_release(&walk->scan);
        return 1;
    }

    following = walk->scan.following;
    s3_scan_release(&walk->scan);
    walk->from_len = 0;

    return s3_walk_bucket(walk, following);
}


int
s3_walk_next(s3_walk_t *walk, uint64_t *bucket, const s3_item_t **item)
{
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

            if (p->n == 0) {
                continue;
            }

            *bucket = walk->bucket;
            *item = p;
            return S3_OK;
        }

        if (!s3_walk_forward(walk)) {
            walk->rc = walk->rc == S3_OK ? S3_DONE : walk->rc;
            return walk->rc;
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
