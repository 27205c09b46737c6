#include <stdlib.h>

#include "storage/s3_break.h"
#include "storage/s3_bucket_int.h"
#include "storage/s3_commit.h"


/*
 * Is a closed bucket empty for good?
 *
 *   drive A   closed, then read ─► k1: tombstone    passed over
 *                                  k2: in doubt     decided
 *   drive B   closed, then read ─► ...
 *
 * A drive says that it has closed the bucket when no vote of before is pending
 * there.  So of a PUT that may still be committed, which takes W drives, one
 * of any R that have closed it has the record, and these, not any others, have
 * to be asked.  A listing is not enough: it may leave out what is not
 * committed yet, and the votes that it lacks can come later.  Here everything
 * but a confirmed deletion is decided, by a deletion on the condition that
 * nothing is there: either it finds the object, or what was in doubt can never
 * be committed.
 */

struct s3_bucket_page_s {
    s3_bucket_work_t *w; /* NULL: it came too late */
    s3_store_t *store;
    s3_timer_t timer;
    unsigned item; /* next */
    s3_scan_t scan;
    uint8_t from[]; /* a drive that is late still looks at it */
};


static void s3_bucket_empty_drive(s3_bucket_work_t *w);
static void s3_bucket_empty_items(s3_bucket_work_t *w);


static void
s3_bucket_page_free(s3_bucket_page_t *page)
{
    if (page == NULL) {
        return;
    }

    s3_scan_release(&page->scan);
    s3_store_release(page->store);
    free(page);
}


static void
s3_bucket_empty_end(s3_bucket_work_t *w, int rc)
{
    s3_bucket_page_free(w->page);
    w->page = NULL;
    free(w->key);
    w->key = NULL;
    w->key_len = 0;

    w->next(w, rc);
}


/* A confirmed deletion, which whatever is older cannot undo, or no record. */

static int
s3_bucket_empty_gone(const s3_item_t *item)
{
    const s3_entry_t *newest = s3_entry_top(item->entries, item->n);

    if (newest == NULL) {
        return 1;
    }

    return newest->flags & S3_F_CONFIRMED ? newest->kind == S3_KIND_TOMBSTONE
                                          : s3_break(DOUBT_IS_EMPTY);
}


static int
s3_bucket_empty_test(s3_put_t *put, const s3_entry_t *current)
{
    (void) put;

    return current ? S3_EEXIST : S3_OK;
}


static void
s3_bucket_empty_decided(s3_put_t *put)
{
    s3_bucket_work_t *w = put->ctx;

    if (put->rc != S3_OK) {
        s3_bucket_empty_end(w, put->rc);
        return;
    }

    s3_bucket_empty_items(w);
}


static void
s3_bucket_page_came(s3_bucket_page_t *page)
{
    s3_bucket_work_t *w = page->w;

    if (page->timer.set) {
        page->store->loop->del_timer(page->store->loop, &page->timer);
    }

    if (w && page->scan.req.rc == S3_OK) {
        w->page = page;
        s3_bucket_empty_items(w);
        return;
    }

    s3_bucket_page_free(page);

    if (w) {
        s3_bucket_empty_drive(w);
    }
}


static void
s3_bucket_page_answer(s3_req_t *req)
{
    s3_bucket_page_came(req->ctx);
}


static void
s3_bucket_page_late(s3_timer_t *timer)
{
    s3_bucket_page_t *page = timer->ctx;
    s3_bucket_work_t *w = page->w;

    page->w = NULL;
    s3_bucket_empty_drive(w);
}


/* What the drive has after w->key. */

static void
s3_bucket_empty_page(s3_bucket_work_t *w)
{
    s3_store_t *store;
    s3_drive_t *drive;
    s3_bucket_page_t *page;

    store = w->op->buckets->store;
    drive = store->conf.drives[w->drive];

    /* a new one that is being filled has nothing because it is new */

    if (!(s3_store_counted(store) & s3_bit(w->drive))) {
        s3_bucket_empty_drive(w);
        return;
    }

    page = calloc(1, sizeof(s3_bucket_page_t) + w->key_len);
    if (page == NULL) {
        s3_bucket_empty_end(w, S3_ENOMEM);
        return;
    }

    if (w->key_len) {
        memcpy(page->from, w->key, w->key_len);
    }

    store->refs++;
    page->store = store;
    page->w = w;
    page->timer.handler = s3_bucket_page_late;
    page->timer.ctx = page;
    page->scan.req.done = s3_bucket_page_answer;
    page->scan.req.ctx = page;
    page->scan.req.drive = w->drive;
    page->scan.bucket = w->bucket->id + S3_SPACE_OBJECTS;
    page->scan.from = s3_str(page->from, w->key_len);
    page->scan.after = w->key_len != 0;
    page->scan.max = S3_SCAN_MAX;

    store->loop->set_timer(store->loop, &page->timer, 4 * store->conf.hedge_ms);
    drive->ops->list(drive, &page->scan);
}


static void
s3_bucket_empty_items(s3_bucket_work_t *w)
{
    s3_put_t *put;
    s3_bucket_page_t *page = w->page;
    const s3_item_t *item;

    while (page->item < page->scan.n) {
        item = &page->scan.items[page->item++];

        if (s3_bucket_empty_gone(item)) {
            continue;
        }

        put = &w->put;
        memset(put, 0, sizeof(s3_put_t));

        put->store = page->store;
        put->bucket = w->bucket->id + S3_SPACE_OBJECTS;
        put->generation = S3_ANY_GENERATION;
        put->key = item->key;
        put->entry.kind = S3_KIND_TOMBSTONE;
        put->test = s3_bucket_empty_test;
        put->done = s3_bucket_empty_decided;
        put->ctx = w;

        s3_store_put(put);
        return;
    }

    w->page = NULL;

    if (page->scan.end) {
        w->empty++;
        s3_bucket_page_free(page);
        s3_bucket_empty_drive(w);
        return;
    }

    if (page->scan.n == 0) {
        s3_bucket_page_free(page);
        s3_bucket_empty_end(w, S3_ECORRUPT);
        return;
    }

    item = &page->scan.items[page->scan.n - 1];
    free(w->key);
    w->key = malloc(item->key.len ? item->key.len : 1);

    if (w->key) {
        memcpy(w->key, item->key.data, item->key.len);
        w->key_len = item->key.len;
    }

    s3_bucket_page_free(page);

    if (w->key == NULL) {
        s3_bucket_empty_end(w, S3_ENOMEM);
        return;
    }

    s3_bucket_empty_page(w);
}


/* The next of those that have closed it, until R of them have nothing. */

static void
s3_bucket_empty_drive(s3_bucket_work_t *w)
{
    if (w->empty >= w->op->buckets->store->r) {
        s3_bucket_empty_end(w, S3_OK);
        return;
    }

    if (w->closed == 0) {
        s3_bucket_empty_end(w, S3_EUNAVAIL);
        return;
    }

    w->drive = (unsigned) __builtin_ctz(w->closed);
    w->closed &= w->closed - 1;

    free(w->key);
    w->key = NULL;
    w->key_len = 0;

    s3_bucket_empty_page(w);
}


void
s3_bucket_empty(s3_bucket_work_t *w, void (*next)(s3_bucket_work_t *w, int rc))
{
    w->empty = 0;
    w->next = next;

    s3_bucket_empty_drive(w);
}
