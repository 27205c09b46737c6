#include "storage/s3_commit.h"

#include <stdlib.h>


/*
 * One machine for the three ways to end a doubt:
 *
 *   STATUS of all ──► committed ─────────────────────────────► CONFIRM to all
 *        │            dead ──────────────────────────────────► DEAD to all
 *        ▼
 *   VOTE to those that lack it, where that may be (settle) or can be (own)
 *   what makes it committed
 *        │
 *        ▼
 *   FENCE to all, never by a reader, and only where it decides
 */


static void s3_settle_judge(s3_settle_t *st);
static void s3_settle_rebuild(s3_settle_t *st);


static void
s3_settle_release(s3_settle_t *st)
{
    if (--st->refs) {
        return;
    }

    s3_payload_release(st->payload);
    free((uint8_t *) st->key.data);
    s3_store_release(st->store);
    free(st);
}


static void
s3_settle_confirm(s3_settle_t *st)
{
    (void) s3_round_start(st->store, S3_CONFIRM, st->store->all, st->bucket,
                          st->key, &st->version, st->entry.flags & S3_F_KEEP,
                          NULL, NULL);
}


static void
s3_settle_noted(s3_notes_t *notes)
{
    s3_settle_t *st = notes->ctx;

    s3_settle_confirm(st);
    st->done(st);
    s3_settle_release(st);
}


/* Committed.  Nobody looks again at what is confirmed: what has missed it is
 * put down first, and the writer does both itself.  1: done() comes after that,
 * so that who asks next, or lists, finds it confirmed. */

static int
s3_settle_committed(s3_settle_t *st)
{
    uint32_t lack;

    if (st->flags & S3_SETTLE_OWN) {
        return 0;
    }

    lack = st->store->all & ~st->tally.yes;

    /* a voter may have the record and no data */
    if (st->known && st->entry.need && st->entry.layout == S3_LAYOUT_BLOBS) {
        lack |= st->store->all & ~st->entry.holders;
    }

    if (lack && st->tally.yes) {
        if (s3_notes_start(st->store, lack, st->tally.yes, st->bucket, st->key,
                           &st->version, s3_settle_noted, st)
            == S3_OK)
        {
            return 1;
        }

        return 0; /* whoever looks next */
    }

    s3_settle_confirm(st);

    return 0;
}


static void
s3_settle_finish(s3_settle_t *st, int rc)
{
    s3_store_t *store;

    store = st->store;
    st->rc = rc;

    if (rc == S3_OK) {
        if (s3_settle_committed(st)) {
            return;
        }

    } else if (rc == S3_ENOENT && !(st->flags & S3_SETTLE_OWN)) {
        (void) s3_round_start(store, S3_DEAD, store->all, st->bucket, st->key,
                              &st->version, 0, NULL, NULL);
    }

    st->done(st);
    s3_settle_release(st);
}


static void
s3_settle_learn(s3_settle_t *st, s3_round_t *round)
{
    s3_tally_t *t;

    t = &st->tally;

    if (s3_entry_is_record(&round->entry) && !st->known) {
        st->entry = round->entry;
        st->known = 1;
    }

    /* YES and NO are for ever; the rest is what was said last */

    t->yes |= round->tally.yes;
    t->no |= round->tally.no & ~t->yes;
    t->not_held = round->tally.not_held & ~(t->yes | t->no);
    t->gone = round->tally.gone & ~(t->yes | t->no);
    t->later = round->tally.later;
    st->confirmed |= round->confirmed;
    st->dead |= round->dead;
}


static void
s3_settle_probed(s3_round_t *round)
{
    s3_settle_t *st = round->ctx;

    /* still held and unconfirmed after the others said GONE: nothing above it
     * was collected anywhere, so they never had it and their floor refuses */

    st->confirmed |= round->confirmed;

    if (round->tally.yes & ~round->confirmed) {
        st->tally.no |= st->tally.gone;
        st->tally.gone = 0;
    }

    s3_settle_judge(st);
}


static void
s3_settle_answered(s3_round_t *round)
{
    s3_settle_t *st = round->ctx;

    s3_settle_learn(st, round);
    s3_settle_judge(st);
}


static void
s3_settle_round(s3_settle_t *st, s3_mark_kind_t kind, uint32_t drives,
                void (*done)(s3_round_t *round))
{
    if (s3_round_start(st->store, kind, drives, st->bucket, st->key,
                       &st->version, 0, done, st)
        != S3_OK)
    {
        s3_settle_finish(st, S3_EDOUBT);
    }
}


/*
 * Dead by count, and so for ever; but what counts may be lost with a drive.  A
 * writer is going to say that nothing was written.  So before it does, all
 * voters know that it is dead, or have something newer; or more of them than
 * may be lost.
 */

static void
s3_settle_buried(s3_round_t *round)
{
    int rc;
    uint32_t sure;
    s3_settle_t *st = round->ctx;

    sure = (round->tally.no | round->tally.later) & st->entry.voters;

    rc = S3_EDOUBT;

    if (!(st->entry.voters & ~sure)
        || s3_count(sure) > s3_store_parity(st->store, 0))
    {
        rc = S3_ENOENT;
    }

    s3_settle_finish(st, rc);
}


static void
s3_settle_dead(s3_settle_t *st)
{
    if (!(st->flags & S3_SETTLE_OWN)) {
        s3_settle_finish(st, S3_ENOENT);
        return;
    }

    s3_settle_round(st, S3_DEAD, st->store->all, s3_settle_buried);
}


/* Votes for somebody else, or again for oneself. */

static void
s3_settle_counted(s3_ballot_t *ballot)
{
    s3_settle_t *st = ballot->ctx;
    s3_tally_t *t;

    t = &st->tally;
    t->yes |= ballot->tally.yes;
    t->no |= ballot->tally.no;
    t->not_held &= ~(t->yes | t->no);

    if (s3_version_cmp(&ballot->newer, &st->newer) > 0) {
        st->newer = ballot->newer;
    }

    if (ballot->tally.nodata && !st->rebuilt
        && st->entry.layout == S3_LAYOUT_BLOBS) {
        st->rebuilt = 1;
        st->missing = ballot->tally.nodata;
        st->ref = 0;
        s3_settle_rebuild(st);
        return;
    }

    s3_settle_judge(st);
}


static void
s3_settle_vote(s3_settle_t *st, uint32_t drives)
{
    s3_tally_t before;

    memset(&before, 0, sizeof(before));
    before.yes = st->tally.yes;
    before.no = st->tally.no;

    if (s3_ballot_start(st->store, st->payload, drives, &before, NULL, 0, 0,
                        s3_settle_counted, st)
        != S3_OK)
    {
        s3_settle_judge(st);
    }
}


static void
s3_settle_rebuilt(void *ctx, int rc)
{
    s3_settle_t *st = ctx;

    if (rc != S3_OK) {
        st->missing &= st->missing - 1;
        st->ref = 0;

    } else {
        st->ref++;
    }

    s3_settle_rebuild(st);
}


/* Every blob of every drive that said NODATA, one after the other; then these
 * drives are asked again. */

static void
s3_settle_rebuild(s3_settle_t *st)
{
    unsigned n_refs;
    s3_ref_t ref;
    s3_str_t refs;

    refs = st->payload->record.refs;
    n_refs = (unsigned) (refs.len / S3_REF_SIZE);

    if (st->missing && st->ref == n_refs) {
        s3_settle_vote(st, s3_bit(s3_lowest(st->missing)));
        return;
    }

    if (st->missing == 0) {
        s3_settle_judge(st);
        return;
    }

    if (s3_ref_decode(refs.data + st->ref * S3_REF_SIZE, &ref) != S3_OK
        || s3_rebuild_start(st->store, &ref, s3_lowest(st->missing), 1,
                            s3_settle_rebuilt, st)
               != S3_OK)
    {
        st->missing = 0;
        s3_settle_judge(st);
    }
}


static void
s3_settle_gathered(s3_gather_t *g)
{
    s3_settle_t *st = g->ctx;
    s3_record_t record;

    if (g->rc == S3_OK) {
        record = *g->record;
        record.entry.flags &= S3_F_TIED | S3_F_KEEP;
        record.entry.segment = 0;
        record.entry.offset = 0;
        record.entry.length = 0;

        st->payload = s3_payload_create(st->store, &record, g->data);
    }

    if (st->payload) {
        s3_settle_vote(st, st->entry.voters & st->tally.not_held);

    } else {
        s3_settle_judge(st);
    }
}


static void
s3_settle_complete(s3_settle_t *st)
{
    st->voted = 1;

    if (st->payload) {
        s3_settle_vote(st, st->entry.voters & st->tally.not_held);
        return;
    }

    if (s3_gather_start(st->store, st->bucket, st->key, &st->entry,
                        st->tally.yes, NULL, S3_GATHER_DATA, s3_settle_gathered,
                        st)
        != S3_OK)
    {
        s3_settle_judge(st);
    }
}


/*
 * In doubt for good: all voters have answered but drives that were replaced by
 * empty ones, and what these had said would decide.  It is taken for
 * committed, by what its client may have been told.
 *
 *  - That it was written: then it has to be.
 *  - Nothing, or that the outcome is unknown (the writer died, 500, 503): then
 *    it may be.
 *  - That it was not written (412, 409): not then.  But before a writer says
 *    so it has DEAD put down on all voters, or on more of them than may be lost
 *    (s3_settle_buried()), and one of those has answered here.
 *
 * But for one that was written under a condition which another has broken: that
 * one may have been told to its client.
 */

static int
s3_settle_lost(s3_settle_t *st)
{
    uint32_t lost, answered;
    s3_tally_t *t;
    s3_store_t *store;

    store = st->store;
    t = &st->tally;
    lost = s3_store_reachable(store) & ~s3_store_counted(store);
    lost &= st->entry.voters & ~t->no;
    answered = t->yes | t->no | t->not_held;

    return lost && st->known && !(st->entry.voters & ~(answered | lost))
           && s3_committed(store, &st->entry, t->yes | lost)
           && s3_readable(&st->entry, t->yes);
}


static void
s3_settle_rival(void *ctx, int rc)
{
    s3_settle_t *st = ctx;

    if (rc == S3_ECONFLICT) {
        s3_settle_dead(st);
        return;
    }

    s3_settle_finish(st, rc);
}


static void
s3_settle_judge(s3_settle_t *st)
{
    int may;
    s3_tally_t *t;
    s3_entry_t *e;
    s3_store_t *store;

    store = st->store;
    t = &st->tally;
    e = &st->entry;

    if (st->confirmed || (st->known && s3_committed(store, e, t->yes))
        || (s3_break(COMPLETE_AT_W) && s3_count(t->yes) >= store->w))
    {
        s3_settle_finish(st, S3_OK);
        return;
    }

    if (st->dead
        || !s3_possible(store, e,
                        t->no | (s3_break(WEAK_KILL) ? t->not_held : 0)))
    {
        s3_settle_dead(st);
        return;
    }

    if (t->gone && t->yes && !st->probed) {
        st->probed = 1;
        s3_settle_round(st, S3_STATUS, t->yes, s3_settle_probed);
        return;
    }

    if (st->known && !st->voted && !(st->flags & S3_SETTLE_FENCE)) {
        may = st->flags & S3_SETTLE_OWN
                  ? s3_committed(store, e, t->yes | t->not_held)
                  : s3_possible(store, e, t->no | t->not_held);

        if (may && (t->not_held & e->voters)) {
            s3_settle_complete(st);
            return;
        }
    }

    if (s3_settle_lost(st)) {
        if (s3_rival_start(store, st->bucket, st->key, e, t->yes, st->flags,
                           s3_settle_rival, st)
            != S3_OK)
        {
            s3_settle_finish(st, S3_EDOUBT);
        }
        return;
    }

    if (s3_possible(store, e, t->no | t->not_held)) {
        s3_settle_finish(st, S3_EDOUBT);
        return;
    }

    if (st->flags & S3_SETTLE_READ) {
        s3_settle_finish(st, S3_AGAIN);
        return;
    }

    if (st->fenced) {
        s3_settle_finish(st, S3_EDOUBT);
        return;
    }

    st->fenced = 1;
    s3_settle_round(st, S3_FENCE, s3_store_counted(store), s3_settle_answered);
}


int
s3_settle_start(s3_store_t *store, uint64_t bucket, s3_str_t key,
                const s3_version_t *version, s3_payload_t *payload,
                unsigned flags, void (*done)(s3_settle_t *settle), void *ctx)
{
    uint8_t *copy;
    s3_settle_t *st;

    st = calloc(1, sizeof(s3_settle_t));
    copy = malloc(key.len + 1);

    if (st == NULL || copy == NULL) {
        free(st);
        free(copy);
        return S3_ENOMEM;
    }

    if (key.len) {
        memcpy(copy, key.data, key.len);
    }

    store->refs++;
    st->store = store;
    st->bucket = bucket;
    st->key = s3_str(copy, key.len);
    st->version = *version;
    st->flags = flags;
    st->done = done;
    st->ctx = ctx;
    st->refs = 1;

    if (payload) {
        payload->refs++;
        st->payload = payload;
        st->entry = payload->record.entry;
        st->known = 1;

    } else {
        /* nothing shows its voters: all of them, no data */

        st->entry.version = *version;
        st->entry.voters = store->all;
    }

    s3_settle_round(st, S3_STATUS, s3_store_counted(store), s3_settle_answered);

    return S3_OK;
}
