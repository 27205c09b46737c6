#include "storage/s3_scrub_int.h"

#include <stdlib.h>


/*
 * One key of one drive:
 *
 *   each of its records read ──► each blob's units read ──┬─ damaged: repair
 *         ▲                                               ├─ gain:    recode
 *         └── overwritten since: from the start           ▼
 *                                        the next drive has the newest, too?
 */

#define S3_SCRUB_TRIES 3 /* at a key that is being overwritten */


typedef struct {
    s3_scrub_t *scrub;
    s3_store_t *store;
    unsigned drive;
    uint64_t bucket;
    s3_str_t key;

    s3_entry_t *entries;
    unsigned n;
    unsigned i;
    unsigned tries;
    unsigned gain : 1;
    unsigned bad : 1; /* the drive's record, or its blobs */
    unsigned neighbour;
    unsigned target; /* of what is bad */
    unsigned ref;
    s3_fetch_t fetch;
    s3_lookup_t lookup;
    uint8_t bytes[];
} s3_check_t;


static void s3_check_entry(s3_check_t *c);
static void s3_check_blobs(s3_check_t *c);


static void
s3_check_end(s3_check_t *c)
{
    s3_scrub_t *s;

    s = c->scrub;
    s->jobs--;

    if (c->bad) {
        s->store->stats.damaged++;
        s3_store_damaged(s->store, s3_bit(c->target));
    }

    s->store->stats.scrubbed++;

    free(c->fetch.buf);
    free(c->entries);
    free(c);

    s3_scrub_go(s);
    s3_scrub_release(s);
}


static void
s3_check_repaired(s3_repair_t *rep)
{
    s3_check_t *c = rep->ctx;

    if (rep->rc == S3_OK) {
        rep->store->stats.repaired++;
        s3_drive_count(rep->store->conf.drives[rep->target], repaired);

    } else if (!rep->store->closed) {
        /* tried again with the notes */
        (void) s3_notes_start(rep->store, s3_bit(rep->target),
                              rep->store->all & ~s3_bit(rep->target),
                              rep->bucket, rep->key, &rep->version, NULL, NULL);
    }

    s3_check_end(c);
}


static void
s3_check_repair(s3_check_t *c, unsigned target)
{
    s3_version_t v;

    v = c->n ? c->entries[0].version : s3_version_none;

    if (c->store->closed
        || s3_repair_start(c->store, target, c->bucket, c->key, &v, 1, NULL,
                           s3_check_repaired, c)
               != S3_OK)
    {
        s3_check_end(c);
    }
}


/* The newest confirmed record, or NULL: something newer is not decided. */

static const s3_entry_t *
s3_check_top(s3_check_t *c)
{
    const s3_entry_t *top = s3_entry_top(c->entries, c->n);

    return top && top->flags & S3_F_CONFIRMED ? top : NULL;
}


static void
s3_check_status(s3_round_t *round)
{
    uint32_t bit;
    s3_check_t *c = round->ctx;
    s3_tally_t *t = &round->tally;

    bit = s3_bit(c->neighbour);

    if ((t->not_held | t->gone | t->no) & bit) {
        c->bad = 1;
        c->target = c->neighbour;
        s3_check_repair(c, c->neighbour);
        return;
    }

    if (t->yes & bit && !(round->confirmed & bit)) {
        (void) s3_round_start(c->store, S3_CONFIRM, bit, c->bucket, c->key,
                              &s3_check_top(c)->version,
                              s3_check_top(c)->flags & S3_F_KEEP, NULL, NULL);
    }

    s3_check_end(c);
}


/* What is not decided is settled, whatever else is wrong with it: blobs of a
 * write that came to nothing are gone, and cannot be repaired. */

static void
s3_check_doubt(s3_check_t *c)
{
    const s3_entry_t *top = s3_entry_top(c->entries, c->n);

    if (top && !(top->flags & S3_F_CONFIRMED)) {
        s3_heal_doubt(c->store, c->bucket, c->key, &top->version);
    }
}


static void
s3_check_neighbour(s3_check_t *c)
{
    unsigned d;
    uint32_t up;
    const s3_entry_t *top;

    top = s3_check_top(c);

    if (top == NULL) {
        s3_check_end(c);
        return;
    }

    up = s3_store_voters(c->store, 0) & ~s3_bit(c->drive);

    for (d = (c->drive + 1) % c->store->n; up && !(up & s3_bit(d));) {
        d = (d + 1) % c->store->n;
    }

    c->neighbour = d;

    if (up == 0
        || s3_round_start(c->store, S3_STATUS, s3_bit(d), c->bucket, c->key,
                          &top->version, 0, s3_check_status, c)
               != S3_OK)
    {
        s3_check_end(c);
    }
}


static void
s3_check_over(s3_check_t *c)
{
    if (c->store->closed) {
        s3_check_end(c);
        return;
    }

    s3_check_doubt(c);

    if (c->bad || c->gain) {
        s3_check_repair(c, c->drive);
        return;
    }

    s3_check_neighbour(c);
}


static void
s3_check_next(s3_check_t *c)
{
    free(c->fetch.buf);
    c->fetch.buf = NULL;
    c->i++;
    s3_check_entry(c);
}


static void
s3_check_rebuilt(void *ctx, int rc)
{
    s3_check_t *c = ctx;

    if (rc != S3_OK) {
        c->bad = 1;
    }

    c->ref++;
    s3_check_blobs(c);
}


static void
s3_check_blobs(s3_check_t *c)
{
    s3_ref_t ref;
    s3_str_t refs;

    refs = c->fetch.record.refs;

    if (c->store->closed || ((size_t) c->ref + 1) * S3_REF_SIZE > refs.len) {
        s3_check_next(c);
        return;
    }

    if (s3_ref_decode(refs.data + (size_t) c->ref * S3_REF_SIZE, &ref) != S3_OK
        || s3_rebuild_start(c->store, &ref, c->drive, S3_REBUILD_SCRUB,
                            s3_check_rebuilt, c)
               != S3_OK)
    {
        c->scrub->torn = 1;
        s3_check_next(c);
    }
}


static void
s3_check_looked(s3_req_t *req)
{
    s3_lookup_t *lookup = s3_container(req, s3_lookup_t, req);
    s3_check_t *c = s3_container(lookup, s3_check_t, lookup);

    free(c->entries);
    c->entries = NULL;
    c->n = 0;
    c->i = 0;
    c->gain = 0;

    if (req->rc == S3_OK) {
        c->entries = calloc(lookup->n + 1, sizeof(s3_entry_t));

        if (c->entries) {
            memcpy(c->entries, lookup->entries, lookup->n * sizeof(s3_entry_t));
            c->n = lookup->n;
        }

        s3_lookup_release(lookup);
    }

    if (c->entries == NULL) {
        c->scrub->torn = 1;
        s3_check_end(c);
        return;
    }

    s3_check_entry(c);
}


/* Overwritten since the page was read: from the start with what is there. */

static void
s3_check_again(s3_check_t *c)
{
    s3_drive_t *d;

    if (c->tries++ == S3_SCRUB_TRIES || c->store->closed) {
        c->scrub->torn = 1;
        s3_check_end(c);
        return;
    }

    memset(&c->lookup, 0, sizeof(c->lookup));
    c->lookup.req.done = s3_check_looked;
    c->lookup.req.ctx = c;
    c->lookup.req.drive = c->drive;
    c->lookup.bucket = c->bucket;
    c->lookup.key = c->key;
    d = c->store->conf.drives[c->drive];
    d->ops->read(d, &c->lookup);
}


static void
s3_check_fetched(s3_req_t *req)
{
    size_t i;
    s3_entry_t *e;
    s3_str_t refs;
    s3_fetch_t *fetch = s3_container(req, s3_fetch_t, req);
    s3_check_t *c = s3_container(fetch, s3_check_t, fetch);

    if (req->rc == S3_ENOENT) {
        fetch->buf = NULL;
        s3_check_again(c);
        return;
    }

    if (req->rc != S3_OK) {
        fetch->buf = NULL;
        c->scrub->torn = 1;
        c->bad |= req->rc == S3_ECORRUPT || req->rc == S3_EIO;
        s3_check_next(c);
        return;
    }

    e = &c->entries[c->i];
    refs = fetch->record.refs;

    if (e == s3_check_top(c)) {
        c->gain = s3_recode_gain(c->store, e, refs) != 0;
    }

    if (e->kind != S3_KIND_OBJECT || e->layout != S3_LAYOUT_BLOBS) {
        s3_check_next(c);
        return;
    }

    for (i = 0; i + S3_REF_SIZE <= refs.len; i += S3_REF_SIZE) {
        s3_known_add(&c->scrub->known, refs.data + i);
    }

    c->ref = 0;
    s3_check_blobs(c);
}


static void
s3_check_entry(s3_check_t *c)
{
    s3_drive_t *d;

    while (c->i < c->n && !s3_entry_is_record(&c->entries[c->i])) {
        c->i++;
    }

    if (c->i == c->n || c->store->closed) {
        s3_check_over(c);
        return;
    }

    memset(&c->fetch, 0, sizeof(c->fetch));
    c->fetch.req.done = s3_check_fetched;
    c->fetch.req.ctx = c;
    c->fetch.req.drive = c->drive;
    c->fetch.bucket = c->bucket;
    c->fetch.key = c->key;
    c->fetch.version = c->entries[c->i].version;
    c->fetch.hint = &c->entries[c->i];
    d = c->store->conf.drives[c->drive];
    d->ops->fetch(d, &c->fetch);
}


void
s3_scrub_check(s3_scrub_t *s, uint64_t bucket, const s3_item_t *item)
{
    s3_check_t *c;

    c = calloc(1, sizeof(s3_check_t) + item->key.len + 1);

    if (c) {
        c->entries = calloc(item->n + 1, sizeof(s3_entry_t));
    }

    if (c == NULL || c->entries == NULL) {
        free(c);
        s->torn = 1;
        return;
    }

    if (item->key.len) {
        memcpy(c->bytes, item->key.data, item->key.len);
    }

    memcpy(c->entries, item->entries, item->n * sizeof(s3_entry_t));
    c->n = item->n;
    c->scrub = s;
    c->store = s->store;
    c->drive = s->drive;
    c->target = s->drive;
    c->bucket = bucket;
    c->key = s3_str(c->bytes, item->key.len);

    s->refs++;
    s->jobs++;
    s3_check_entry(c);
}
