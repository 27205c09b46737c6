#include "storage/s3_commit.h"

#include <stdlib.h>


/*
 * read_newest().  Every answer is younger than the question, so nothing of it
 * may be kept for another operation.  `tick` orders what this coordinator
 * sends and gets: an answer whose question was sent after another's arrival
 * is certainly the later one.
 */


static void s3_newest_eval(s3_newest_t *nw);


/* With the lookups and a copy of the key behind it. */

static size_t
s3_newest_size(const s3_store_t *store, size_t key_len)
{
    return sizeof(s3_newest_t) + store->n * sizeof(s3_lookup_t) + key_len;
}


static void
s3_newest_release(s3_newest_t *nw)
{
    unsigned d;
    s3_store_t *store;

    if (--nw->refs) {
        return;
    }

    for (d = 0; d < nw->store->n; d++) {
        if (nw->answered & s3_bit(d)) {
            s3_lookup_release(&nw->lookups[d]);
        }
    }

    store = nw->store;
    s3_scratch_put(store, nw, s3_newest_size(store, nw->key.len));
    s3_store_release(store);
}


static void
s3_newest_finish(s3_newest_t *nw, int rc)
{
    nw->finished = 1;
    nw->rc = rc;

    if (nw->timer.set) {
        nw->store->loop->del_timer(nw->store->loop, &nw->timer);
    }

    nw->done(nw);
    s3_newest_release(nw);
}


static void
s3_newest_answer(s3_req_t *req)
{
    unsigned d;
    s3_lookup_t *lookup = s3_container(req, s3_lookup_t, req);
    s3_newest_t *nw = req->ctx;

    d = req->drive;
    nw->pending &= ~s3_bit(d);

    if (req->rc == S3_OK) {
        nw->answered |= s3_bit(d);
        nw->came[d] = ++nw->tick;

        if (nw->first[d] == 0) {
            nw->first[d] = nw->came[d];
        }

    } else {
        s3_lookup_release(lookup);
    }

    s3_newest_eval(nw);
    s3_newest_release(nw);
}


/* What an answer that is asked for again had shown. */

static void
s3_newest_remember(s3_newest_t *nw, unsigned drive)
{
    unsigned i;
    s3_entry_t *e;

    for (i = 0; i < nw->lookups[drive].n; i++) {
        e = &nw->lookups[drive].entries[i];

        if (!s3_entry_is_record(e)) {
            continue;
        }

        if (nw->n_had == S3_NEWEST_HAD) {
            nw->had_more = 1;
            return;
        }

        nw->had[nw->n_had].drive = drive;
        nw->had[nw->n_had++].version = e->version;
    }
}


/* When a drive, by its answers, lacked the version for the first time: that it
 * lacks it now, too, adds nothing, and takes nothing away. */

static uint64_t
s3_newest_lacked(s3_newest_t *nw, unsigned drive, const s3_version_t *version)
{
    unsigned i;

    if (nw->had_more) {
        return nw->came[drive];
    }

    for (i = 0; i < nw->n_had; i++) {
        if (nw->had[i].drive == drive
            && s3_version_cmp(&nw->had[i].version, version) == 0)
        {
            return nw->came[drive];
        }
    }

    return nw->first[drive];
}


/* Where any answer will do: what a drive has as its newest, if it is an object;
 * else NULL. */

static s3_entry_t *
s3_newest_object(s3_newest_t *nw)
{
    uint32_t left;
    s3_lookup_t *lookup;

    for (left = nw->any ? nw->answered : 0; left; left &= left - 1) {
        lookup = &nw->lookups[s3_lowest(left)];

        if (lookup->n && lookup->entries[0].kind == S3_KIND_OBJECT) {
            return &lookup->entries[0];
        }
    }

    return NULL;
}


static void
s3_newest_ask(s3_newest_t *nw, uint32_t drives)
{
    unsigned d, i, starting;
    const uint8_t *order;
    s3_drive_t *drive;
    s3_lookup_t *lookup;

    order = nw->store->place
                .order[s3_place_slot(&nw->store->place, nw->bucket, nw->key)];
    starting = nw->starting;
    nw->starting = 1;

    for (i = 0; i < nw->store->n; i++) {
        d = order[i];

        if (!(drives & s3_bit(d))) {
            continue;
        }

        lookup = &nw->lookups[d];

        if (nw->answered & s3_bit(d)) {
            s3_newest_remember(nw, d);
            s3_lookup_release(lookup);
            nw->answered &= ~s3_bit(d);
        }

        lookup->req.done = s3_newest_answer;
        lookup->req.ctx = nw;
        lookup->req.rc = S3_OK;
        lookup->req.answer = S3_ANSWER_NONE;
        lookup->req.drive = d;
        lookup->bucket = nw->bucket;
        lookup->key = nw->key;
        lookup->entries = NULL;
        lookup->n = 0;
        lookup->floor = s3_version_none;

        nw->asked |= s3_bit(d);
        nw->pending |= s3_bit(d);
        nw->sent[d] = ++nw->tick;
        nw->refs++;

        drive = nw->store->conf.drives[d];
        drive->ops->read(drive, lookup);

        if (s3_newest_object(nw)) {
            break;
        }
    }

    nw->starting = starting;
}


/* Asks everybody who was not asked.  0: there is nobody left. */

static int
s3_newest_ask_rest(s3_newest_t *nw)
{
    uint32_t rest;

    rest = s3_store_counted(nw->store) & ~nw->asked;

    if (rest) {
        s3_newest_ask(nw, rest);
    }

    return rest != 0;
}


/* What the answers say about one version. */

typedef struct {
    s3_version_t version;
    s3_entry_t *entry; /* a record of it, or NULL */
    uint32_t held;
    unsigned dead : 1;
    unsigned confirmed : 1;
} s3_newest_look_t;


/* The newest version below `below` (NULL: of all) in the answers. */

static int
s3_newest_look(s3_newest_t *nw, const s3_version_t *below,
               s3_newest_look_t *look)
{
    int found;
    unsigned d, i;
    uint32_t left;
    s3_entry_t *e;

    found = 0;

    for (left = nw->answered; left; left &= left - 1) {
        d = s3_lowest(left);

        for (i = 0; i < nw->lookups[d].n; i++) {
            e = &nw->lookups[d].entries[i];

            if ((!s3_entry_is_record(e) && e->kind != S3_KIND_DEAD)
                || (below && s3_version_cmp(&e->version, below) >= 0))
            {
                continue;
            }

            if (!found || s3_version_cmp(&e->version, &look->version) > 0) {
                memset(look, 0, sizeof(s3_newest_look_t));
                look->version = e->version;
                found = 1;
            }

            if (s3_version_cmp(&e->version, &look->version) != 0) {
                continue;
            }

            if (e->kind == S3_KIND_DEAD) {
                look->dead = 1;

            } else {
                look->held |= s3_bit(d);
                look->confirmed |= (e->flags & S3_F_CONFIRMED) != 0;
                look->entry = e;
            }
        }
    }

    return found;
}


/* Holders whose answer must be younger than that of a drive which lacks v and
 * may have collected it. */

static uint32_t
s3_newest_again(s3_newest_t *nw, s3_newest_look_t *look)
{
    unsigned a, h;
    uint32_t left, held, again;

    again = 0;

    for (left = nw->answered & ~look->held; left; left &= left - 1) {
        a = s3_lowest(left);

        if (s3_version_cmp(&nw->lookups[a].floor, &look->version) < 0) {
            continue;
        }

        for (held = look->held; held; held &= held - 1) {
            h = s3_lowest(held);

            if (nw->sent[h] < s3_newest_lacked(nw, a, &look->version)) {
                again |= s3_bit(h);
            }
        }
    }

    return again;
}


static void
s3_newest_summary(s3_newest_t *nw)
{
    unsigned d, i;
    uint32_t left;
    s3_entry_t *e;

    for (left = nw->answered; left; left &= left - 1) {
        d = s3_lowest(left);

        for (i = 0; i < nw->lookups[d].n; i++) {
            e = &nw->lookups[d].entries[i];

            if (s3_version_cmp(&e->version, &nw->seen) > 0) {
                nw->seen = e->version;
            }

            if (s3_entry_is_record(e) && !(e->flags & S3_F_CONFIRMED)) {
                nw->doubt = 1;

                if (!nw->quiet) {
                    s3_heal_doubt(nw->store, nw->bucket, nw->key, &e->version);
                }
            }
        }
    }
}


static void
s3_newest_return(s3_newest_t *nw, s3_newest_look_t *look)
{
    s3_newest_summary(nw);

    if (look) {
        nw->entry = *look->entry;
        nw->held = look->held;
        nw->confirmed = look->confirmed;
    }

    s3_newest_finish(nw, look ? S3_OK : S3_ENOENT);
}


static void
s3_newest_completed(s3_settle_t *settle)
{
    s3_newest_t *nw = settle->ctx;

    nw->starting = 0;

    if (settle->rc == S3_OK) {
        /* the version stays committed, whatever the answers say by now */

        if (settle->known) {
            nw->entry = settle->entry;
        }

        nw->held |= settle->tally.yes;
        s3_newest_summary(nw);
        s3_newest_finish(nw, S3_OK);

    } else if ((settle->rc == S3_ENOENT || settle->rc == S3_AGAIN)
               && nw->n_skip < S3_NEWEST_SKIP)
    {
        nw->skip[nw->n_skip++] = settle->version;
        s3_newest_eval(nw);

    } else {
        s3_newest_summary(nw);
        s3_newest_finish(nw, S3_EUNAVAIL);
    }

    s3_newest_release(nw);
}


static void
s3_newest_complete(s3_newest_t *nw, s3_newest_look_t *look)
{
    nw->entry = *look->entry;
    nw->held = look->held;
    nw->starting = 1; /* answers wait */
    nw->refs++;

    if (s3_settle_start(nw->store, nw->bucket, nw->key, &look->version, NULL,
                        S3_SETTLE_READ, s3_newest_completed, nw)
        != S3_OK)
    {
        nw->starting = 0;
        nw->refs--;
        s3_newest_finish(nw, S3_ENOMEM);
    }
}


static int
s3_newest_skipped(s3_newest_t *nw, const s3_version_t *version)
{
    unsigned i;

    for (i = 0; i < nw->n_skip; i++) {
        if (s3_version_cmp(&nw->skip[i], version) == 0) {
            return 1;
        }
    }

    return 0;
}


/*
 * One version by the rules.  1: go on with the next older one; 0: something
 * was returned or asked.
 */

static int
s3_newest_judge(s3_newest_t *nw, s3_newest_look_t *look)
{
    uint32_t again;

    if (look->held == 0 || s3_newest_skipped(nw, &look->version)) {
        return 1;
    }

    again = s3_newest_again(nw, look);

    if (again) {
        if (nw->again++ < 5) {
            /* all of them, so that one round is enough for every version; and
             * none is late yet */
            nw->hedged = 0;
            nw->store->loop->set_timer(nw->store->loop, &nw->timer,
                                       nw->store->conf.hedge_ms);
            s3_newest_ask(nw, nw->answered);
            s3_newest_eval(nw);

        } else if (s3_newest_ask_rest(nw)) {
            s3_newest_eval(nw);

        } else {
            s3_newest_finish(nw, S3_EUNAVAIL);
        }

        return 0;
    }

    if (look->confirmed || s3_break(READ_RAW)) {
        s3_newest_return(nw, look);
        return 0;
    }

    if (look->dead || s3_break(SKIP_UNCONFIRMED)) {
        return 1;
    }

    if (s3_committed(nw->store, look->entry, look->held)) {
        s3_newest_return(nw, look);
        return 0;
    }

    if (!s3_possible(nw->store, look->entry, nw->answered & ~look->held)) {
        return 1;
    }

    if (s3_newest_ask_rest(nw)) {
        s3_newest_eval(nw);
        return 0;
    }

    if (nw->pending && !nw->final) {
        return 0; /* the timer, or an answer */
    }

    if (s3_break(SKIP_UNKNOWN)) {
        return 1;
    }

    if (nw->passive) {
        nw->uncertain = 1;
        s3_newest_return(nw, look);
        return 0;
    }

    if (s3_readable(look->entry, look->held)) {
        s3_newest_complete(nw, look);

    } else {
        s3_newest_summary(nw);
        s3_newest_finish(nw, S3_EUNAVAIL);
    }

    return 0;
}


static void
s3_newest_eval(s3_newest_t *nw)
{
    s3_version_t last;
    s3_newest_look_t look;

    if (nw->finished || nw->starting) {
        return;
    }

    memset(&look, 0, sizeof(look));
    look.entry = s3_newest_object(nw);

    if (look.entry) {
        s3_newest_return(nw, &look);
        return;
    }

    if (s3_count(nw->answered) < nw->store->r) {
        if (nw->pending && !nw->hedged) {
            return;
        }

        if (s3_newest_ask_rest(nw)) {
            s3_newest_eval(nw);

        } else if (nw->pending == 0 || nw->final) {
            s3_newest_finish(nw, S3_EUNAVAIL);
        }

        return;
    }

    if (nw->pending && !nw->hedged) {
        return;
    }

    if (!s3_newest_look(nw, NULL, &look)) {
        s3_newest_return(nw, NULL);
        return;
    }

    for (;;) {
        if (!s3_newest_judge(nw, &look)) {
            return;
        }

        last = look.version;

        if (!s3_newest_look(nw, &last, &look)) {
            s3_newest_return(nw, NULL);
            return;
        }
    }
}


static void
s3_newest_timeout(s3_timer_t *timer)
{
    s3_newest_t *nw = timer->ctx;

    if (nw->hedged) {
        nw->final = 1;

    } else {
        nw->hedged = 1;
    }

    nw->refs++;
    s3_newest_eval(nw);

    if (!nw->finished && !nw->final && !nw->timer.set) {
        nw->store->loop->set_timer(nw->store->loop, &nw->timer,
                                   4 * nw->store->conf.hedge_ms);
    }

    s3_newest_release(nw);
}


int
s3_newest_start(s3_store_t *store, uint64_t bucket, s3_str_t key,
                unsigned flags, void (*done)(s3_newest_t *newest), void *ctx)
{
    uint8_t *copy;
    s3_newest_t *nw;

    nw = s3_scratch_get(store, s3_newest_size(store, key.len));
    if (nw == NULL) {
        return S3_ENOMEM;
    }

    memset(nw, 0, sizeof(s3_newest_t));
    copy = (uint8_t *) &nw->lookups[store->n];

    if (key.len) {
        memcpy(copy, key.data, key.len);
    }

    store->refs++;
    nw->store = store;
    nw->bucket = bucket;
    nw->key = s3_str(copy, key.len);
    nw->passive = (flags & S3_NEWEST_PASSIVE) != 0;
    nw->quiet = (flags & S3_NEWEST_QUIET) != 0;
    nw->any = (flags & S3_NEWEST_ANY) != 0;
    nw->done = done;
    nw->ctx = ctx;
    nw->refs = 2;
    nw->timer.handler = s3_newest_timeout;
    nw->timer.ctx = nw;

    s3_newest_ask(nw, s3_place_first(&store->place,
                                     s3_place_slot(&store->place, bucket, key),
                                     s3_store_counted(store), store->ask));
    s3_newest_eval(nw);

    if (!nw->finished && !nw->timer.set) {
        store->loop->set_timer(store->loop, &nw->timer, store->conf.hedge_ms);
    }

    s3_newest_release(nw);

    return S3_OK;
}


s3_entry_t *
s3_newest_hint(s3_newest_t *nw, unsigned drive)
{
    unsigned i;
    s3_entry_t *e;

    if (!(nw->answered & s3_bit(drive))) {
        return NULL;
    }

    for (i = 0; i < nw->lookups[drive].n; i++) {
        e = &nw->lookups[drive].entries[i];

        if (s3_entry_is_record(e)
            && s3_version_cmp(&e->version, &nw->entry.version) == 0)
        {
            return e;
        }
    }

    return NULL;
}
