#include "storage/s3_commit.h"

#include <stdlib.h>


/* A drive that is gone, or can't be asked: silence. */

static int
s3_reachable(s3_store_t *store, unsigned drive)
{
    return drive < store->n && s3_drive_readable(store->conf.drives[drive]);
}


static uint8_t *
s3_key_copy(s3_str_t key)
{
    uint8_t *p;

    p = malloc(key.len + 1);

    if (p && key.len) {
        memcpy(p, key.data, key.len);
    }

    return p;
}


/* Rounds */

/* With the marks and a copy of the key behind it. */

static size_t
s3_round_size(const s3_store_t *store, size_t key_len)
{
    return sizeof(s3_round_t) + store->n * sizeof(s3_mark_t) + key_len;
}


static void
s3_round_release(s3_round_t *round)
{
    s3_store_t *store = round->store;

    if (--round->refs) {
        return;
    }

    s3_scratch_put(store, round, s3_round_size(store, round->key_len));
    s3_store_release(store);
}


static void
s3_round_finish(s3_round_t *round)
{
    if (round->finished || round->starting) {
        return;
    }

    round->finished = 1;

    if (round->timer.set) {
        round->store->loop->del_timer(round->store->loop, &round->timer);
    }

    if (round->done) {
        round->done(round);
    }

    s3_round_release(round);
}


static void
s3_round_timeout(s3_timer_t *timer)
{
    s3_round_finish(timer->ctx);
}


static void
s3_round_count(s3_round_t *round, s3_mark_t *mark)
{
    uint32_t bit;

    bit = s3_bit(mark->req.drive);

    if (mark->req.rc != S3_OK) {
        round->tally.failed |= bit;
        round->tally.no |= s3_break(SILENCE_IS_NO) ? bit : 0;
        return;
    }

    switch (mark->req.answer) {

    case S3_ANSWER_YES:
        round->tally.yes |= bit;

        if (s3_entry_is_record(&mark->entry)) {
            round->entry = mark->entry;
        }

        if (mark->confirmed) {
            round->confirmed |= bit;
        }

        break;

    case S3_ANSWER_NO:
        round->tally.no |= bit;
        round->dead |= mark->entry.kind == S3_KIND_DEAD;
        break;

    case S3_ANSWER_NOT_HELD:
        round->tally.not_held |= bit;
        break;

    case S3_ANSWER_GONE:
        if (mark->newer_confirmed) {
            round->tally.later |= bit;

        } else {
            round->tally.gone |= bit;
        }

        break;

    case S3_ANSWER_STALE:
        round->tally.stale |= bit;
        break;

    default:
        break;
    }
}


static void
s3_round_answer(s3_req_t *req)
{
    s3_mark_t *mark = s3_container(req, s3_mark_t, req);
    s3_round_t *round = req->ctx;

    if (!round->finished) {
        s3_round_count(round, mark);
    }

    if (--round->waiting == 0) {
        s3_round_finish(round);
    }

    s3_round_release(round);
}


static void
s3_mark_submit(s3_drive_t *d, s3_mark_kind_t kind, s3_mark_t *mark)
{
    switch (kind) {

    case S3_FENCE:
        d->ops->fence(d, mark);
        break;

    case S3_STATUS:
        d->ops->status(d, mark);
        break;

    case S3_CONFIRM:
        d->ops->confirm(d, mark);
        break;

    case S3_DEAD:
        d->ops->dead(d, mark);
        break;
    }
}


static int
s3_round_send(s3_store_t *store, s3_mark_kind_t kind, uint32_t drives,
              uint64_t bucket, s3_str_t key, const s3_version_t *version,
              int keep, const s3_reminder_t *reminders,
              void (*done)(s3_round_t *round), void *ctx)
{
    unsigned d;
    s3_mark_t *mark;
    s3_round_t *round;

    round = s3_scratch_get(store, s3_round_size(store, key.len));
    if (round == NULL) {
        return S3_ENOMEM;
    }

    memset(round, 0, sizeof(s3_round_t) + store->n * sizeof(s3_mark_t));
    round->key = (uint8_t *) &round->marks[store->n];
    round->key_len = key.len;

    if (key.len) {
        memcpy(round->key, key.data, key.len);
    }

    store->refs++;
    round->store = store;
    round->done = done;
    round->ctx = ctx;
    round->kind = kind;
    round->refs = 1;
    round->starting = 1;
    round->timer.handler = s3_round_timeout;
    round->timer.ctx = round;

    for (d = 0; d < store->n; d++) {
        if (!(drives & s3_bit(d)) || !s3_reachable(store, d)) {
            continue;
        }

        mark = &round->marks[d];
        mark->req.done = s3_round_answer;
        mark->req.ctx = round;
        mark->req.drive = d;
        mark->bucket = bucket;
        mark->key = s3_str(round->key, key.len);
        mark->version = *version;
        mark->keep = keep != 0;

        if (reminders) {
            mark->reminder = reminders[d];
        }

        round->refs++;
        round->waiting++;
        s3_mark_submit(store->conf.drives[d], kind, mark);
    }

    round->starting = 0;

    if (round->waiting == 0) {
        s3_round_finish(round);

    } else if (done) {
        store->loop->set_timer(store->loop, &round->timer,
                               store->conf.hedge_ms);
    }

    return S3_OK;
}


int
s3_round_start(s3_store_t *store, s3_mark_kind_t kind, uint32_t drives,
               uint64_t bucket, s3_str_t key, const s3_version_t *version,
               int keep, void (*done)(s3_round_t *round), void *ctx)
{
    return s3_round_send(store, kind, drives, bucket, key, version, keep, NULL,
                         done, ctx);
}


void
s3_payload_confirm(s3_payload_t *payload)
{
    s3_record_t *r = &payload->record;

    (void) s3_round_send(payload->store, S3_CONFIRM, payload->store->all,
                         r->bucket, r->key, &r->entry.version,
                         r->entry.flags & S3_F_KEEP, payload->reminders, NULL,
                         NULL);
}


/* Notes */

static void
s3_notes_release(s3_notes_t *notes)
{
    if (--notes->refs) {
        return;
    }

    s3_store_release(notes->store);
    free(notes->key);
    free(notes);
}


static void
s3_notes_finish(s3_notes_t *notes)
{
    if (notes->starting) {
        return;
    }

    if (notes->done) {
        notes->done(notes);
    }

    s3_notes_release(notes);
}


static void
s3_notes_answer(s3_req_t *req)
{
    s3_notes_t *notes = req->ctx;

    if (--notes->waiting == 0) {
        s3_notes_finish(notes);
    }

    s3_notes_release(notes);
}


static int
s3_notes_send(s3_store_t *store, int un, uint32_t targets, uint32_t on,
              uint64_t bucket, s3_str_t key, const s3_version_t *version,
              void (*done)(s3_notes_t *notes), void *ctx)
{
    unsigned d, t;
    uint32_t to, left;
    s3_drive_t *drive;
    s3_note_t *note;
    s3_notes_t *notes;

    notes =
        calloc(1, sizeof(s3_notes_t)
                      + s3_count(targets) * s3_count(on) * sizeof(s3_note_t));
    if (notes == NULL) {
        return S3_ENOMEM;
    }

    notes->key = s3_key_copy(key);
    if (notes->key == NULL) {
        free(notes);
        return S3_ENOMEM;
    }

    store->refs++;
    notes->store = store;
    notes->done = done;
    notes->ctx = ctx;
    notes->refs = 1;
    notes->starting = 1;
    note = notes->notes;

    for (left = targets; left; left &= left - 1) {
        t = s3_lowest(left);

        for (to = on & ~s3_bit(t); to; to &= to - 1) {
            d = s3_lowest(to);

            if (!s3_reachable(store, d)) {
                continue;
            }

            drive = store->conf.drives[d];
            note->req.done = s3_notes_answer;
            note->req.ctx = notes;
            note->req.drive = d;
            note->target = t;
            note->bucket = bucket;
            note->key = s3_str(notes->key, key.len);
            note->version = *version;

            notes->refs++;
            notes->waiting++;

            if (un) {
                drive->ops->unnote(drive, note++);

            } else {
                drive->ops->note(drive, note++);
            }
        }
    }

    notes->starting = 0;

    if (notes->waiting == 0) {
        s3_notes_finish(notes);
    }

    return S3_OK;
}


int
s3_notes_start(s3_store_t *store, uint32_t targets, uint32_t on,
               uint64_t bucket, s3_str_t key, const s3_version_t *version,
               void (*done)(s3_notes_t *notes), void *ctx)
{
    uint32_t to;
    unsigned count;

    /* one more than can be lost; drives that miss it themselves are no place
     * for the note as long as there are others */

    s3_pending_noted(store, targets);

    count = s3_store_parity(store, 0) + 1;
    to =
        s3_place_first(&store->place, s3_place_slot(&store->place, bucket, key),
                       on & ~targets, count);

    return s3_notes_send(store, 0, targets, to, bucket, key, version, done,
                         ctx);
}


void
s3_unnote(s3_store_t *store, unsigned target, uint32_t on, uint64_t bucket,
          s3_str_t key, const s3_version_t *version)
{
    (void) s3_notes_send(store, 1, s3_bit(target), on, bucket, key, version,
                         NULL, NULL);
}


/* Ballots */

static size_t
s3_ballot_size(const s3_store_t *store)
{
    return sizeof(s3_ballot_t) + store->n * sizeof(s3_ballot_item_t);
}


static void
s3_ballot_release(s3_ballot_t *ballot)
{
    s3_store_t *store = ballot->store;

    if (--ballot->refs) {
        return;
    }

    s3_payload_release(ballot->payload);
    s3_scratch_put(store, ballot, s3_ballot_size(store));
    s3_store_release(store);
}


static void
s3_ballot_check(s3_ballot_t *ballot)
{
    int end;
    s3_store_t *store;
    const s3_entry_t *e;

    if (ballot->finished || ballot->starting) {
        return;
    }

    store = ballot->store;
    e = &ballot->payload->record.entry;
    end = ballot->waiting == 0 || ballot->late >= 10;

    if (!end && !ballot->push) {
        end = !s3_possible(store, e, ballot->tally.no)
              || (ballot->late && s3_committed(store, e, ballot->tally.yes));
    }

    if (!end) {
        if (!ballot->timer.set) {
            store->loop->set_timer(store->loop, &ballot->timer,
                                   store->conf.hedge_ms);
        }

        return;
    }

    ballot->finished = 1;

    if (ballot->timer.set) {
        store->loop->del_timer(store->loop, &ballot->timer);
    }

    ballot->done(ballot);
    s3_ballot_release(ballot);
}


static void
s3_ballot_timeout(s3_timer_t *timer)
{
    s3_ballot_t *ballot = timer->ctx;

    ballot->late++;
    s3_ballot_check(ballot);
}


static void
s3_ballot_count(s3_ballot_t *ballot, s3_vote_t *vote)
{
    uint32_t bit;
    s3_tally_t *t;

    bit = s3_bit(vote->req.drive);
    t = &ballot->tally;

    if (vote->req.rc == S3_ENOSPC) {
        t->full |= bit;
        return;
    }

    if (vote->req.rc != S3_OK) {
        t->failed |= bit;
        t->no |= s3_break(SILENCE_IS_NO) ? bit : 0;
        return;
    }

    if (s3_version_cmp(&vote->cause.version, &ballot->newer) > 0) {
        ballot->newer = vote->cause.version;
    }

    switch (vote->req.answer) {

    case S3_ANSWER_YES:
        t->yes |= bit;
        ballot->payload->reminders[vote->req.drive] = vote->reminder;
        break;

    case S3_ANSWER_NO:
        t->no |= bit;
        break;

    case S3_ANSWER_BUSY:
        t->busy |= bit;

        if (s3_version_cmp(&vote->cause.version, &ballot->busy) > 0) {
            ballot->busy = vote->cause.version;
        }

        break;

    case S3_ANSWER_BEHIND:
        t->behind |= bit;
        break;

    case S3_ANSWER_GONE:
        t->gone |= bit;
        break;

    case S3_ANSWER_STALE:
        t->stale |= bit;
        break;

    case S3_ANSWER_NODATA:
        t->nodata |= bit;
        break;

    case S3_ANSWER_CLOCK:
        t->clock |= bit;
        break;

    default:
        t->failed |= bit;
    }
}


static void
s3_ballot_answer(s3_req_t *req)
{
    s3_vote_t *vote = s3_container(req, s3_vote_t, req);
    s3_ballot_t *ballot = req->ctx;

    if (!ballot->finished) {
        s3_ballot_count(ballot, vote);
    }

    ballot->waiting--;
    s3_ballot_check(ballot);
    s3_ballot_release(ballot);
}


int
s3_ballot_start(s3_store_t *store, s3_payload_t *payload, uint32_t drives,
                const s3_tally_t *before, const s3_version_t *dead,
                unsigned n_dead, int push, void (*done)(s3_ballot_t *ballot),
                void *ctx)
{
    unsigned d;
    uint32_t left;
    s3_drive_t *drive;
    s3_ballot_t *ballot;
    s3_ballot_item_t *item;

    ballot = s3_scratch_get(store, s3_ballot_size(store));
    if (ballot == NULL) {
        return S3_ENOMEM;
    }

    memset(ballot, 0, sizeof(s3_ballot_t));

    store->refs++;
    payload->refs++;
    ballot->store = store;
    ballot->payload = payload;
    ballot->done = done;
    ballot->ctx = ctx;
    ballot->push = push != 0;
    ballot->refs = 1;
    ballot->starting = 1;
    ballot->timer.handler = s3_ballot_timeout;
    ballot->timer.ctx = ballot;

    if (before) {
        ballot->tally = *before;
    }

    ballot->n_dead = s3_min(n_dead, (unsigned) S3_BALLOT_DEAD);

    if (ballot->n_dead) {
        memcpy(ballot->dead, dead + (n_dead - ballot->n_dead),
               ballot->n_dead * sizeof(s3_version_t));
    }

    for (left = drives & store->all; left; left &= left - 1) {
        d = s3_lowest(left);

        if (!s3_reachable(store, d)) {
            continue;
        }

        drive = store->conf.drives[d];
        item = &ballot->items[d];
        s3_payload_record(payload, d, &item->record);

        memset(&item->vote, 0, sizeof(s3_vote_t));
        item->vote.req.done = s3_ballot_answer;
        item->vote.req.ctx = ballot;
        item->vote.req.drive = d;
        item->vote.record = &item->record;
        item->vote.dead = ballot->n_dead ? ballot->dead : NULL;
        item->vote.n_dead = ballot->n_dead;
        item->vote.pull = push >= S3_BALLOT_PULL;
        item->vote.bare = push == S3_BALLOT_BARE;

        ballot->refs++;
        ballot->waiting++;

        if (push) {
            drive->ops->push(drive, &item->vote);

        } else {
            drive->ops->vote(drive, &item->vote);
        }
    }

    ballot->starting = 0;
    s3_ballot_check(ballot);

    return S3_OK;
}
