#include "storage/s3_commit.h"

#include <stdlib.h>


/*
 * As many fetches at once as are needed, one more for each that fails or is
 * late.  A record that is not the version asked for, or whose data has not
 * the length that its entry implies, counts as damaged.
 */


static void s3_gather_go(s3_gather_t *g);


/* With the items and a copy of the key behind it. */

static size_t
s3_gather_size(const s3_store_t *store, size_t key_len)
{
    return sizeof(s3_gather_t) + store->n * sizeof(s3_gather_item_t) + key_len;
}


static void
s3_gather_release(s3_gather_t *g)
{
    unsigned d;
    s3_store_t *store;

    if (--g->refs) {
        return;
    }

    for (d = 0; d < g->store->n; d++) {
        if (g->items[d].good) {
            free(g->items[d].fetch.buf);
        }
    }

    s3_buf_release(g->data);
    store = g->store;
    s3_scratch_put(store, g, s3_gather_size(store, g->key.len));
    s3_store_release(store);
}


static size_t
s3_gather_shard_len(const s3_gather_t *g)
{
    return s3_stripe_unit(g->entry.need, g->entry.size);
}


static int
s3_gather_holds(s3_gather_t *g, unsigned drive)
{
    size_t len;
    s3_gather_item_t *item;
    const s3_record_t *rec;

    item = &g->items[drive];
    rec = &item->fetch.record;

    if (rec->bucket != g->bucket || !s3_str_eq(rec->key, g->key)
        || s3_version_cmp(&rec->entry.version, &g->entry.version) != 0
        || !s3_entry_is_record(&rec->entry)
        || rec->entry.layout != g->entry.layout
        || rec->entry.size != g->entry.size || rec->refs.len % S3_REF_SIZE != 0)
    {
        return 0;
    }

    if (g->what == S3_GATHER_META) {
        return 1;
    }

    switch (g->entry.layout) {

    case S3_LAYOUT_COPIES:
        len = g->entry.size;
        break;

    case S3_LAYOUT_INLINE:
        len = s3_gather_shard_len(g);
        break;

    default:
        return 1;
    }

    return rec->data.len == len;
}


/* All shards of an object that lies in records are wanted. */

static int
s3_gather_coded(const s3_gather_t *g)
{
    return g->what >= S3_GATHER_DATA && g->entry.layout == S3_LAYOUT_INLINE;
}


/* The data shards, by their place, and which of them are there. */

static uint32_t
s3_gather_shards(s3_gather_t *g, uint8_t *shards[S3_CODE_MAX])
{
    int rank;
    unsigned d;
    uint32_t present;

    present = 0;

    for (d = 0; d < g->store->n; d++) {
        rank = g->items[d].rank;

        if (g->items[d].good && rank >= 0) {
            shards[rank] = (uint8_t *) g->items[d].fetch.record.data.data;
            present |= s3_bit(rank);
        }
    }

    return present;
}


/* Data from the records: a copy, or k shards put together. */

static int
s3_gather_join(s3_gather_t *g)
{
    int rc;
    unsigned k, m, i;
    size_t len;
    uint8_t *shards[S3_CODE_MAX];
    uint32_t present, want, in_place;
    s3_buf_t *data;

    if (g->what < S3_GATHER_DATA
        || (g->entry.layout != S3_LAYOUT_COPIES
            && g->entry.layout != S3_LAYOUT_INLINE))
    {
        return S3_OK;
    }

    k = g->entry.need;
    present = 0;

    if (s3_gather_coded(g)) {
        present = s3_gather_shards(g, shards);
        want = k < 32 ? s3_bit(k) - 1 : UINT32_MAX;
        g->whole = (present & want) == want;

        if (g->whole && g->what == S3_GATHER_SHARDS) {
            return S3_OK;
        }
    }

    data = s3_buf_create(g->entry.size);
    if (data == NULL) {
        return S3_ENOMEM;
    }

    data->len = g->entry.size;

    if (g->entry.layout == S3_LAYOUT_COPIES) {
        memcpy(data->data, g->record->data.data, data->len);
        g->data = data;
        return S3_OK;
    }

    m = s3_count(g->entry.holders) - k;
    len = s3_gather_shard_len(g);
    want = 0;
    in_place = 0;

    for (i = 0; i < k; i++) {
        if (present & s3_bit(i)) {
            memcpy(data->data + i * len, shards[i], len);

        } else {
            shards[i] = data->data + i * len;
            want |= s3_bit(i);
        }

        in_place |= s3_bit(i);
    }

    rc = s3_code_rebuild(g->store->code, k, m, len, shards, present,
                         want & in_place);

    if (rc != S3_OK) {
        s3_buf_release(data);
        return rc;
    }

    /* padding of the last shards: the spare bytes are zero for the next cut */

    memset(data->data + data->len, 0, data->cap - data->len);
    g->data = data;

    return S3_OK;
}


static void
s3_gather_finish(s3_gather_t *g, int rc)
{
    g->finished = 1;

    if (g->timer.set) {
        g->store->loop->del_timer(g->store->loop, &g->timer);
    }

    if (rc == S3_OK) {
        rc = s3_gather_join(g);
    }

    g->rc = rc;
    g->done(g);
    s3_gather_release(g);
}


static void
s3_gather_answer(s3_req_t *req)
{
    unsigned d;
    s3_gather_t *g = req->ctx;
    s3_gather_item_t *item;

    d = req->drive;
    item = &g->items[d];
    g->waiting--;

    if (g->finished) {
        if (req->rc == S3_OK) {
            free(item->fetch.buf);
        }

        s3_gather_release(g);
        return;
    }

    if (req->rc == S3_OK && s3_gather_holds(g, d)) {
        item->good = 1;
        g->good++;

        if (g->record == NULL) {
            g->record = &item->fetch.record;
            g->source = d;
        }

    } else {
        if (req->rc == S3_OK) {
            free(item->fetch.buf);
            g->corrupt++;
            g->bad |= s3_bit(d);

        } else if (req->rc == S3_ENOENT) {
            g->absent++;

        } else if (req->rc == S3_ECORRUPT) {
            g->corrupt++;
            g->bad |= s3_bit(d);
        }

        g->needed++;
    }

    s3_gather_go(g);
    s3_gather_release(g);
}


/* Nobody is left to be asked.  It is damaged only where those that are away
 * could not help either. */

static int
s3_gather_lost(const s3_gather_t *g, unsigned enough)
{
    unsigned holders = g->store->n;

    if (s3_gather_coded(g)) {
        holders = s3_count(g->entry.holders & g->store->all);
    }

    if (g->corrupt && g->corrupt + g->absent + enough > holders) {
        return S3_ECORRUPT;
    }

    return g->absent && !g->corrupt ? S3_ENOENT : S3_EUNAVAIL;
}


/* `needed` counts the fetches to be sent in all. */

static void
s3_gather_go(s3_gather_t *g)
{
    unsigned d, enough;
    s3_drive_t *drive;
    s3_gather_item_t *item;

    if (g->finished || g->starting) {
        return;
    }

    g->starting = 1;

    while (g->next < g->needed && g->next < g->n) {
        d = g->order[g->next++];
        item = &g->items[d];

        item->fetch.req.done = s3_gather_answer;
        item->fetch.req.ctx = g;
        item->fetch.req.drive = d;
        item->fetch.bucket = g->bucket;
        item->fetch.key = g->key;
        item->fetch.version = g->entry.version;

        g->refs++;
        g->waiting++;
        drive = g->store->conf.drives[d];
        drive->ops->fetch(drive, &item->fetch);
    }

    g->starting = 0;

    enough = 1;

    if (s3_gather_coded(g)) {
        enough = g->entry.need;
    }

    if (g->good >= enough) {
        s3_gather_finish(g, S3_OK);
        return;
    }

    if (g->waiting) {
        if (!g->timer.set) {
            g->store->loop->set_timer(g->store->loop, &g->timer,
                                      g->store->conf.hedge_ms);
        }

        return;
    }

    s3_gather_finish(g, s3_gather_lost(g, enough));
}


static void
s3_gather_timeout(s3_timer_t *timer)
{
    s3_gather_t *g = timer->ctx;

    g->needed++;
    s3_gather_go(g);
}


/* Who may have it, the most promising first: those that showed it, then other
 * voters; data shards before parity (slot order is shard order). */

static void
s3_gather_candidates(s3_gather_t *g, uint32_t held)
{
    int data;
    unsigned i, pass, d, slot;
    uint32_t reach, mask;

    slot = s3_place_slot(&g->store->place, g->bucket, g->key);
    data = g->what != S3_GATHER_META
           && (g->entry.layout == S3_LAYOUT_COPIES
               || g->entry.layout == S3_LAYOUT_INLINE);
    reach = s3_store_reachable(g->store);

    if (data) {
        reach &= g->entry.holders;
    }

    for (pass = 0; pass < 2; pass++) {
        mask = pass == 0 ? reach & held : reach & ~held;

        for (i = 0; i < g->store->n; i++) {
            d = g->store->place.order[slot][i];

            if (mask & s3_bit(d)) {
                g->order[g->n++] = (uint8_t) d;
            }
        }
    }

    for (d = 0; d < g->store->n; d++) {
        g->items[d].rank = -1;

        if (g->entry.layout == S3_LAYOUT_INLINE) {
            g->items[d].rank =
                s3_place_rank(&g->store->place, slot, g->entry.holders, d);
        }
    }
}


int
s3_gather_start(s3_store_t *store, uint64_t bucket, s3_str_t key,
                const s3_entry_t *entry, uint32_t held, s3_newest_t *newest,
                unsigned what, void (*done)(s3_gather_t *gather), void *ctx)
{
    unsigned d;
    uint8_t *copy;
    s3_entry_t *hint;
    s3_gather_t *g;

    if (entry->layout == S3_LAYOUT_INLINE
        && (entry->need == 0 || entry->size > S3_INLINE_MAX
            || s3_count(entry->holders & store->all) < entry->need))
    {
        what = S3_GATHER_META;
    }

    g = s3_scratch_get(store, s3_gather_size(store, key.len));
    if (g == NULL) {
        return S3_ENOMEM;
    }

    memset(g, 0, sizeof(s3_gather_t));
    copy = (uint8_t *) &g->items[store->n];

    if (key.len) {
        memcpy(copy, key.data, key.len);
    }

    store->refs++;
    g->store = store;
    g->bucket = bucket;
    g->key = s3_str(copy, key.len);
    g->entry = *entry;
    g->what = what;
    g->done = done;
    g->ctx = ctx;
    g->refs = 2;
    g->timer.handler = s3_gather_timeout;
    g->timer.ctx = g;

    for (d = 0; d < store->n; d++) {
        memset(&g->items[d].fetch, 0, sizeof(s3_fetch_t));
        g->items[d].good = 0;
        hint = newest ? s3_newest_hint(newest, d) : NULL;

        if (hint) {
            g->items[d].hint = *hint;
            g->items[d].fetch.hint = &g->items[d].hint;
        }
    }

    s3_gather_candidates(g, held);

    g->needed = 1;

    if (s3_gather_coded(g)) {
        g->needed = entry->need;
    }

    s3_gather_go(g);
    s3_gather_release(g);

    return S3_OK;
}


unsigned
s3_gather_pieces(s3_gather_t *g, s3_piece_t *pieces)
{
    int rank;
    unsigned d;
    size_t len, from;
    s3_gather_item_t *item;

    if (g->what != S3_GATHER_SHARDS || !g->whole) {
        return 0;
    }

    len = s3_gather_shard_len(g);

    for (d = 0; d < g->store->n; d++) {
        item = &g->items[d];
        rank = item->rank;

        if (!item->good || rank < 0 || rank >= (int) g->entry.need) {
            continue;
        }

        /* padding may fill more than the last one */

        from = s3_min((size_t) rank * len, (size_t) g->entry.size);
        pieces[rank].data = s3_str(item->fetch.record.data.data,
                                   s3_min(len, g->entry.size - from));
        pieces[rank].buf = NULL;

        if (d != g->source) {
            pieces[rank].buf = item->fetch.buf;
            item->good = 0;
        }
    }

    return g->entry.need;
}


void *
s3_gather_take(s3_gather_t *g)
{
    void *buf;

    if (g->record == NULL) {
        return NULL;
    }

    buf = g->items[g->source].fetch.buf;
    g->items[g->source].good = 0;

    return buf;
}
