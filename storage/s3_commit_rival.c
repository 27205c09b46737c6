#include "storage/s3_commit.h"

#include <stdlib.h>


/*
 * Two writes that exclude each other: the newer one expected e, and the older
 * one is newer than that.  No drive has said yes to both, so if the older one is
 * confirmed, the newer one was never committed.  A drive shows its newest
 * confirmed record with all that is newer, so each of them shows it who has it.
 *
 * Where both are in doubt the newer one is decided first, if it can be: the
 * older one, taken for committed on suspicion, would be what kills it.
 */

struct s3_rival_s {
    s3_store_t *store;
    uint64_t bucket;
    s3_str_t key;
    s3_version_t version;
    s3_version_t expects;
    s3_version_t newer; /* the newest in doubt */
    unsigned flags;
    int rc;
    unsigned waiting;

    void (*done)(void *ctx, int rc);
    void *ctx;
    s3_lookup_t lookups[];
};


static void
s3_rival_end(s3_rival_t *rv, int rc)
{
    void (*done)(void *ctx, int rc) = rv->done;
    void *ctx = rv->ctx;

    s3_store_release(rv->store);
    free(rv);
    done(ctx, rc);
}


static int
s3_rival_shown(s3_rival_t *rv, const s3_lookup_t *lookup)
{
    unsigned i;
    const s3_entry_t *e;

    for (i = 0; i < lookup->n; i++) {
        e = &lookup->entries[i];

        if (!s3_entry_is_record(e)) {
            continue;
        }

        if (e->flags & S3_F_CONFIRMED) {

            if (s3_version_cmp(&e->version, &rv->expects) > 0
                && s3_version_cmp(&e->version, &rv->version) < 0)
            {
                return S3_ECONFLICT;
            }

        } else if (s3_version_cmp(&e->version, &rv->version) > 0
                   && s3_version_cmp(&e->version, &rv->newer) > 0)
        {
            rv->newer = e->version;
        }
    }

    return S3_OK;
}


static void
s3_rival_settled(s3_settle_t *st)
{
    s3_rival_end(st->ctx, S3_OK);
}


static void
s3_rival_waited(s3_rival_t *rv)
{
    if (--rv->waiting) {
        return;
    }

    if (rv->rc != S3_OK || s3_version_is_none(&rv->newer)) {
        s3_rival_end(rv, rv->rc);
        return;
    }

    if (s3_settle_start(rv->store, rv->bucket, rv->key, &rv->newer, NULL,
                        rv->flags, s3_rival_settled, rv)
        != S3_OK)
    {
        s3_rival_end(rv, S3_EDOUBT);
    }
}


/* What one drive shows is enough; else all of them have to answer. */

static void
s3_rival_looked(s3_req_t *req)
{
    int rc = S3_EDOUBT;
    s3_rival_t *rv = req->ctx;
    s3_lookup_t *lookup = s3_container(req, s3_lookup_t, req);

    if (req->rc == S3_OK) {
        rc = s3_rival_shown(rv, lookup);
        s3_lookup_release(lookup);
    }

    if (rv->rc != S3_ECONFLICT && rc != S3_OK) {
        rv->rc = rc;
    }

    s3_rival_waited(rv);
}


static void
s3_rival_look(s3_rival_t *rv)
{
    uint32_t left;
    s3_drive_t *d;
    s3_lookup_t *lookup;

    rv->waiting = 1;

    for (left = s3_store_counted(rv->store); left; left &= left - 1) {
        lookup = &rv->lookups[s3_lowest(left)];
        lookup->req.done = s3_rival_looked;
        lookup->req.ctx = rv;
        lookup->req.drive = s3_lowest(left);
        lookup->bucket = rv->bucket;
        lookup->key = rv->key;

        rv->waiting++;
        d = rv->store->conf.drives[s3_lowest(left)];
        d->ops->read(d, lookup);
    }

    s3_rival_waited(rv);
}


static void
s3_rival_gathered(s3_gather_t *g)
{
    s3_rival_t *rv = g->ctx;

    if (g->rc != S3_OK) {
        s3_rival_end(rv, S3_EDOUBT);
        return;
    }

    /* without a condition nothing stands in between */
    rv->expects = g->record->conditional ? g->record->expects : rv->version;
    s3_rival_look(rv);
}


int
s3_rival_start(s3_store_t *store, uint64_t bucket, s3_str_t key,
               const s3_entry_t *entry, uint32_t held, unsigned flags,
               void (*done)(void *ctx, int rc), void *ctx)
{
    s3_rival_t *rv;

    rv = calloc(1, sizeof(*rv) + store->n * sizeof(s3_lookup_t));
    if (rv == NULL) {
        return S3_ENOMEM;
    }

    store->refs++;
    rv->store = store;
    rv->bucket = bucket;
    rv->key = key;
    rv->version = entry->version;
    rv->flags = flags & ~(unsigned) S3_SETTLE_OWN;
    rv->done = done;
    rv->ctx = ctx;

    if (s3_gather_start(store, bucket, key, entry, held, NULL, S3_GATHER_META,
                        s3_rival_gathered, rv)
        != S3_OK)
    {
        s3_store_release(store);
        free(rv);
        return S3_ENOMEM;
    }

    return S3_OK;
}
