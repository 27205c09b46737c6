#include "storage/s3_heal_int.h"

#include <stdlib.h>


#define S3_PENDING_PAGE 256
#define S3_PENDING_PAUSE 1 /* ms between pages */


struct s3_pending_count_s {
    s3_store_t *store;
    unsigned drive;
    unsigned going : 1;
    unsigned scanning : 1; /* or between pages */
    unsigned stopped : 1;
    int rc;
    void (*done)(void *ctx);
    void *ctx;
    s3_pending_t pending;
    s3_timer_t timer;
    s3_scan_t scan;
    size_t from_len;
    uint8_t from[S3_MAX_KEY];
};


void
s3_pending_noted(s3_store_t *store, uint32_t targets)
{
    for (targets &= store->all; targets; targets &= targets - 1) {
        s3_drive_count(store->conf.drives[s3_lowest(targets)], noted);
    }
}


void
s3_store_damaged(s3_store_t *store, uint32_t drives)
{
    for (drives &= store->all; drives; drives &= drives - 1) {
        s3_drive_count(store->conf.drives[s3_lowest(drives)], corrupt);
    }
}


void
s3_pending_worked(s3_store_t *store, unsigned target)
{
    uint64_t noted, worked;
    s3_drive_stats_t *stats;

    stats = store->conf.drives[target]->stats;

    if (stats == NULL) {
        return;
    }

    noted = __atomic_load_n(&stats->noted, __ATOMIC_RELAXED);
    worked = __atomic_load_n(&stats->worked, __ATOMIC_RELAXED);

    if ((int64_t) (noted - worked) > 1) {
        __atomic_store_n(&stats->worked, worked + 1, __ATOMIC_RELAXED);
    }
}


void
s3_pending_begin(s3_pending_t *p, s3_store_t *store)
{
    unsigned d;
    s3_drive_stats_t *stats;

    memset(p, 0, sizeof(s3_pending_t));
    p->store = store;

    for (d = 0; d < store->n; d++) {
        stats = store->conf.drives[d]->stats;

        if (stats) {
            p->noted[d] = __atomic_load_n(&stats->noted, __ATOMIC_RELAXED);
        }
    }
}


void
s3_pending_add(s3_pending_t *p, unsigned target)
{
    p->here[target]++;
}


void
s3_pending_next_holder(s3_pending_t *p)
{
    unsigned d;

    for (d = 0; d < p->store->n; d++) {
        p->most[d] = s3_max(p->most[d], p->here[d]);
        p->here[d] = 0;
    }
}


void
s3_pending_end(s3_pending_t *p, uint32_t targets)
{
    unsigned d;

    s3_pending_next_holder(p);

    for (targets &= p->store->all; targets; targets &= targets - 1) {
        d = s3_lowest(targets);
        s3_drive_show(p->store->conf.drives[d], worked,
                      p->noted[d] - p->most[d]);
    }
}


/* The count */

static int s3_pending_go(s3_pending_count_t *c);


static void
s3_pending_over(s3_pending_count_t *c)
{
    void *ctx = c->ctx;
    s3_store_t *store = c->store;
    void (*done)(void *) = c->done;

    if (c->rc == S3_OK && !c->stopped) {
        s3_pending_end(&c->pending, store->all);
    }

    free(c);
    done(ctx);
    s3_store_release(store);
}


static void
s3_pending_timer(s3_timer_t *timer)
{
    (void) s3_pending_go(timer->ctx);
}


static void
s3_pending_holder(s3_pending_count_t *c)
{
    s3_pending_next_holder(&c->pending);
    c->drive++;
    c->from_len = 0;
}


/* 1: there is another page, after a while. */

static int
s3_pending_page(s3_pending_count_t *c)
{
    int more;
    unsigned i;
    s3_item_t *item;

    for (i = 0; i < c->scan.n; i++) {
        item = &c->scan.items[i];

        if (item->n && item->key.len >= 9 && item->key.data[0] < c->store->n) {
            s3_pending_add(&c->pending, item->key.data[0]);
        }
    }

    more = c->scan.n && !c->scan.end;

    if (more) {
        item = &c->scan.items[c->scan.n - 1];
        c->from_len = s3_min(item->key.len, sizeof(c->from));
        memcpy(c->from, item->key.data, c->from_len);

    } else {
        s3_pending_holder(c);
    }

    s3_scan_release(&c->scan);

    return more;
}


static void
s3_pending_scanned(s3_req_t *req)
{
    s3_scan_t *scan = s3_container(req, s3_scan_t, req);
    s3_pending_count_t *c = s3_container(scan, s3_pending_count_t, scan);

    c->scanning = 0;

    if (req->rc != S3_OK) {
        s3_scan_release(scan);
        c->rc = req->rc;
        s3_pending_holder(c);

    } else if (s3_pending_page(c) && !c->stopped) {
        c->scanning = 1;
        c->store->loop->set_timer(c->store->loop, &c->timer, S3_PENDING_PAUSE);
        return;
    }

    if (!c->going) {
        (void) s3_pending_go(c);
    }
}


/* 0: it is over, and c gone. */

static int
s3_pending_go(s3_pending_count_t *c)
{
    s3_drive_t *d;
    s3_store_t *store;

    store = c->store;
    c->going = 1;
    c->scanning = 0;

    while (!c->scanning && c->drive < store->n && !c->stopped) {
        d = store->conf.drives[c->drive];

        if (!s3_drive_readable(d)) {
            s3_pending_holder(c);
            continue;
        }

        memset(&c->scan, 0, sizeof(c->scan));
        c->scan.req.done = s3_pending_scanned;
        c->scan.req.ctx = c;
        c->scan.req.drive = c->drive;
        c->scan.bucket = S3_BUCKET_NOTES;
        c->scan.from = s3_str(c->from, c->from_len);
        c->scan.after = c->from_len != 0;
        c->scan.max = S3_PENDING_PAGE;
        c->scanning = 1;
        d->ops->list(d, &c->scan);
    }

    c->going = 0;

    if (c->scanning) {
        return 1;
    }

    s3_pending_over(c);

    return 0;
}


s3_pending_count_t *
s3_pending_count(s3_store_t *store, void (*done)(void *ctx), void *ctx)
{
    s3_pending_count_t *c;

    c = calloc(1, sizeof(s3_pending_count_t));
    if (c == NULL) {
        done(ctx);
        return NULL;
    }

    store->refs++;
    c->store = store;
    c->done = done;
    c->ctx = ctx;
    c->timer.handler = s3_pending_timer;
    c->timer.ctx = c;
    c->timer.background = 1;

    s3_pending_begin(&c->pending, store);

    return s3_pending_go(c) ? c : NULL;
}


void
s3_pending_stop(s3_pending_count_t *c)
{
    c->stopped = 1;

    if (c->timer.set) {
        c->store->loop->del_timer(c->store->loop, &c->timer);
        s3_pending_over(c);
    }
}
