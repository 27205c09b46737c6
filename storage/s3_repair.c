#include "storage/s3_heal_int.h"

#include <stdlib.h>


/*
 *   newest ──► gather, from the others ──┬─ gain? ──► recode ──┐
 *                                        ▼                     │
 *              blobs of the drive rebuilt, one after the other │  ──► orphan?
 *                                        ▼                     ▼
 *                           record pushed to the drive ─────► done
 *
 * The push is a PULL done for the drive: its answer is younger than the
 * question, so it is taken whatever the drive's floor says.
 */


static int s3_repair_ask(s3_repair_t *rep);
static void s3_repair_blobs(s3_repair_t *rep);
static void s3_repair_end(s3_repair_t *rep, int rc);


static void
s3_repair_judged(void *ctx, int rc)
{
    s3_repair_end(ctx, rc);
}


/* A part without data that nobody can complete: 1, it is looked after. */

static int
s3_repair_orphan(s3_repair_t *rep, int rc)
{
    if (rc != S3_ECORRUPT || rep->judged || rep->payload == NULL
        || rep->store->closed)
    {
        return 0;
    }

    rep->judged = 1;

    return s3_orphan_start(rep->store, rep->bucket, rep->key,
                           &rep->payload->record.entry.version,
                           s3_repair_judged, rep)
           == S3_OK;
}


static void
s3_repair_end(s3_repair_t *rep, int rc)
{
    if (s3_repair_orphan(rep, rc)) {
        return;
    }

    rep->rc = rc;
    rep->done(rep);

    s3_payload_release(rep->payload);
    s3_object_release(rep->object);
    s3_store_release(rep->store);
    free(rep);
}


static void
s3_repair_pushed(s3_ballot_t *ballot)
{
    int rc;
    s3_repair_t *rep = ballot->ctx;

    /* GONE: something newer is confirmed there */

    rc = (ballot->tally.yes | ballot->tally.gone) & s3_bit(rep->target)
             ? S3_OK
             : S3_EUNAVAIL;

    rep->known = rc == S3_OK;

    if (ballot->tally.gone & s3_bit(rep->target)) {
        rep->tried = s3_version_none;
    }

    if (rc == S3_OK) {
        rc = rep->lost ? S3_ECORRUPT : rep->recode_rc;
    }

    s3_repair_end(rep, rc);
}


static void
s3_repair_rebuilt(void *ctx, int rc)
{
    s3_repair_t *rep = ctx;

    /* a drive that has to know all versions is not kept from it by data that
     * nobody has any more */

    if (rc == S3_ECORRUPT) {
        rep->lost = 1;

    } else if (rc != S3_OK) {
        s3_repair_end(rep, rc);
        return;
    }

    rep->ref++;
    s3_repair_blobs(rep);
}


static void
s3_repair_blobs(s3_repair_t *rep)
{
    s3_ref_t ref;
    s3_str_t refs;

    if (rep->store->closed) {
        s3_repair_end(rep, S3_EUNAVAIL);
        return;
    }

    refs = rep->payload->record.refs;

    if (((size_t) rep->ref + 1) * S3_REF_SIZE > refs.len) {
        if (s3_ballot_start(rep->store, rep->payload, s3_bit(rep->target), NULL,
                            NULL, 0,
                            rep->lost ? S3_BALLOT_BARE : S3_BALLOT_PULL,
                            s3_repair_pushed, rep)
            != S3_OK)
        {
            s3_repair_end(rep, S3_ENOMEM);
        }

        return;
    }

    if (s3_ref_decode(refs.data + (size_t) rep->ref * S3_REF_SIZE, &ref)
        != S3_OK) {
        s3_repair_end(rep, S3_ECORRUPT);
        return;
    }

    if (s3_rebuild_start(rep->store, &ref, rep->target, 1, s3_repair_rebuilt,
                         rep)
        != S3_OK)
    {
        s3_repair_end(rep, S3_ENOMEM);
    }
}


/* A version whose blobs are partly old ones: the drive may lack those still. */

static void
s3_repair_again(s3_repair_t *rep)
{
    s3_payload_release(rep->payload);
    s3_object_release(rep->object);
    rep->payload = NULL;
    rep->object = NULL;
    rep->recode = 0;

    if (s3_repair_ask(rep) != S3_OK) {
        s3_repair_end(rep, S3_ENOMEM);
    }
}


static void
s3_repair_recoded(void *ctx, int rc, const s3_version_t *made)
{
    s3_repair_t *rep = ctx;

    if (rc == S3_OK) {
        rep->store->stats.recoded++;
    }

    if (rc == S3_OK || rc == S3_ECONFLICT || rep->store->closed) {
        rep->tried = *made;

        if (rep->store->closed) {
            s3_repair_end(rep, S3_EUNAVAIL);

        } else if (rc == S3_OK && s3_version_is_none(made)) {
            s3_repair_again(rep);

        } else {
            /* what came in between has notes of its own */
            s3_repair_end(rep, S3_OK);
        }

        return;
    }

    /* at least what was there before; the rest is tried again */

    rep->recode_rc = rc == S3_DONE ? S3_OK : rc;
    s3_repair_blobs(rep);
}


static void
s3_repair_gathered(s3_gather_t *g)
{
    s3_record_t record;
    s3_repair_t *rep = g->ctx;

    if (g->rc != S3_OK || rep->store->closed) {
        s3_repair_end(rep, g->rc != S3_OK ? g->rc : S3_EUNAVAIL);
        return;
    }

    record = *g->record;
    record.entry.flags &= S3_F_TIED | S3_F_KEEP;
    record.entry.segment = 0;
    record.entry.offset = 0;
    record.entry.length = 0;

    rep->tried = record.entry.version;
    rep->payload = s3_payload_create(g->store, &record, g->data);

    if (rep->payload == NULL) {
        s3_repair_end(rep, S3_ENOMEM);
        return;
    }

    if (!rep->recode || !(s3_store_voters(rep->store, 0) & s3_bit(rep->target))
        || !s3_recode_gain(rep->store, &record.entry, record.refs))
    {
        s3_repair_blobs(rep);
        return;
    }

    rep->object = calloc(1, sizeof(s3_object_t));
    if (rep->object == NULL) {
        s3_repair_end(rep, S3_ENOMEM);
        return;
    }

    rep->object->refs = 1;
    rep->object->bucket = rep->bucket;
    rep->object->entry = record.entry;
    rep->object->record = record;
    rep->object->record.data = s3_null_str;
    rep->object->buf = s3_gather_take(g);

    if (s3_recode_start(rep->store, rep->object, s3_repair_recoded, rep)
        != S3_OK) {
        s3_repair_end(rep, S3_ENOMEM);
    }
}


static void
s3_repair_settled(s3_settle_t *settle)
{
    (void) settle;
}


static void
s3_repair_newest(s3_newest_t *nw)
{
    int rc;
    s3_repair_t *rep = nw->ctx;

    if (nw->rc == S3_ENOENT) {
        s3_repair_end(rep, S3_OK); /* nothing is left to repair */
        return;
    }

    if (nw->rc != S3_OK || rep->store->closed) {
        s3_repair_end(rep, nw->rc != S3_OK ? nw->rc : S3_EUNAVAIL);
        return;
    }

    if (s3_version_cmp(&nw->entry.version, &rep->version) > 0) {
        rep->version = nw->entry.version;
    }

    /* others may have missed it, too */

    if (!nw->confirmed) {
        (void) s3_settle_start(nw->store, nw->bucket, nw->key,
                               &nw->entry.version, NULL, 0, s3_repair_settled,
                               NULL);
    }

    if (rep->healed
        && s3_healed_get(rep->healed, rep->target, rep->bucket,
                         &nw->entry.version, &rc))
    {
        s3_repair_end(rep, rc);
        return;
    }

    /* the others' copy, not what the target may have of it */

    if (s3_gather_start(nw->store, nw->bucket, nw->key, &nw->entry,
                        nw->held & ~s3_bit(rep->target), nw, S3_GATHER_DATA,
                        s3_repair_gathered, rep)
        != S3_OK)
    {
        s3_repair_end(rep, S3_ENOMEM);
    }
}


static int
s3_repair_ask(s3_repair_t *rep)
{
    return s3_newest_start(rep->store, rep->bucket, rep->key, S3_NEWEST_QUIET,
                           s3_repair_newest, rep);
}


int
s3_repair_start(s3_store_t *store, unsigned target, uint64_t bucket,
                s3_str_t key, const s3_version_t *version, int recode,
                const s3_healed_t *healed, void (*done)(s3_repair_t *repair),
                void *ctx)
{
    s3_repair_t *rep;

    rep = calloc(1, sizeof(s3_repair_t) + key.len + 1);
    if (rep == NULL) {
        return S3_ENOMEM;
    }

    if (key.len) {
        memcpy(rep->bytes, key.data, key.len);
    }

    store->refs++;
    rep->store = store;
    rep->target = target;
    rep->bucket = bucket;
    rep->key = s3_str(rep->bytes, key.len);
    rep->version = *version;
    rep->recode = recode != 0;
    rep->healed = healed;
    rep->done = done;
    rep->ctx = ctx;

    if (s3_repair_ask(rep) != S3_OK) {
        s3_store_release(store);
        free(rep);
        return S3_ENOMEM;
    }

    return S3_OK;
}
