#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memmem() */
#endif

#include "storage/s3_commit.h"

#include <stdlib.h>


/*
 * One page: the scans of R drives merged by key, key by key.
 *
 *   drive A  a ─ b/1 ~~~~~~~~~~ c        ~ skipped: A says nothing about it
 *   drive B  a ─ b/1 ─ b/2 ─ b/3 ─ c
 *   merge    a   b/             c
 *
 * What a drive skipped after its own visible key is only passed over if that
 * key is visible to all; else the drive is asked again from there.  A key that
 * R answers do not settle gets a question of its own to all drives.
 */


typedef struct {
    s3_scan_t scan;
    uint8_t *from;
    unsigned next; /* item */
    unsigned active : 1;
    unsigned pending : 1;
    unsigned valid : 1; /* scan holds a page */
    unsigned failed : 1;
} s3_cursor_t;


typedef struct {
    s3_list_t *list; /* NULL: it has its answer */
    s3_store_t *store;
    uint64_t bucket;
    s3_str_t prefix;
    s3_str_t delimiter;
    s3_str_t first; /* list's `after` */
    unsigned refs;
    unsigned count;
    unsigned late;
    unsigned busy : 1;
    unsigned asking : 1; /* a key's own question */
    unsigned after : 1;  /* pos itself is done */
    s3_timer_t timer;
    s3_str_t key;   /* being looked at: that of an item */
    uint32_t heads; /* drives whose next item has it */
    uint32_t ahead; /* drives whose next item is known to be behind pos */
    size_t pos_len;
    uint8_t *pos;
    size_t room;
    s3_cursor_t cursors[];
} s3_list_op_t;


static void s3_list_go(s3_list_op_t *op);


static void
s3_cursor_drop(s3_cursor_t *c)
{
    if (c->valid) {
        s3_scan_release(&c->scan);
        c->valid = 0;
    }

    c->next = 0;
}


static void
s3_list_release(s3_list_op_t *op)
{
    unsigned d;

    if (--op->refs) {
        return;
    }

    for (d = 0; d < op->store->n; d++) {
        s3_cursor_drop(&op->cursors[d]);
        free(op->cursors[d].from);
    }

    s3_store_release(op->store);
    free(op->pos);
    free(op);
}


static void
s3_list_finish(s3_list_op_t *op, int rc, int truncated)
{
    s3_list_t *list = op->list;

    if (list == NULL) {
        return;
    }

    op->list = NULL;

    if (op->timer.set) {
        op->store->loop->del_timer(op->store->loop, &op->timer);
    }

    list->rc = rc;
    list->truncated = truncated != 0;
    list->done(list);
    s3_list_release(op);
}


/* All keys up to this one are done; `after`: this one, too. */

static void
s3_list_move(s3_list_op_t *op, s3_str_t key, int after)
{
    op->pos_len = s3_min(key.len, op->room);

    if (op->pos_len) {
        memmove(op->pos, key.data, op->pos_len);
    }

    op->after = after != 0;
}


/* Behind every key with this prefix; 0: there can be none. */

static int
s3_list_move_behind(s3_list_op_t *op, s3_str_t prefix)
{
    size_t len;

    s3_list_move(op, prefix, 0);
    op->ahead = 0;

    len = op->pos_len;

    while (len && op->pos[len - 1] == 0xff) {
        len--;
    }

    if (len == 0) {
        return 0;
    }

    op->pos[len - 1]++;
    op->pos_len = len;

    return 1;
}


static int
s3_list_before(s3_list_op_t *op, s3_str_t key)
{
    return s3_str_cmp(key, s3_str(op->pos, op->pos_len)) < (int) op->after;
}


/* Length of the common prefix of a key, 0: it has none. */

static size_t
s3_list_common(s3_list_op_t *op, s3_str_t key)
{
    const uint8_t *p;

    if (op->delimiter.len == 0 || key.len < op->prefix.len) {
        return 0;
    }

    p = memmem(key.data + op->prefix.len, key.len - op->prefix.len,
               op->delimiter.data, op->delimiter.len);

    return p ? (size_t) (p - key.data) + op->delimiter.len : 0;
}


static void
s3_list_answer(s3_req_t *req)
{
    s3_scan_t *scan = s3_container(req, s3_scan_t, req);
    s3_cursor_t *c = s3_container(scan, s3_cursor_t, scan);
    s3_list_op_t *op = req->ctx;

    c->pending = 0;

    if (req->rc == S3_OK) {
        c->valid = 1;

    } else {
        s3_scan_release(scan);
        c->failed = 1;
        c->active = 0;
    }

    s3_list_go(op);
    s3_list_release(op);
}


static void
s3_list_scan(s3_list_op_t *op, unsigned drive)
{
    unsigned max;
    s3_drive_t *d = op->store->conf.drives[drive];
    s3_cursor_t *c = &op->cursors[drive];

    s3_cursor_drop(c);
    memset(&c->scan, 0, sizeof(c->scan));
    op->ahead &= ~s3_bit(drive);

    /* one more than wanted shows whether there is more */

    max = op->list->max - op->count;
    max = s3_min(max, (unsigned) S3_SCAN_MAX - 1) + 1;

    memcpy(c->from, op->pos, op->pos_len);

    c->scan.req.done = s3_list_answer;
    c->scan.req.ctx = op;
    c->scan.req.drive = drive;
    c->scan.bucket = op->bucket;
    c->scan.from = s3_str(c->from, op->pos_len);
    c->scan.after = op->after;
    c->scan.prefix = op->prefix;
    c->scan.delimiter = op->delimiter;
    c->scan.max = max;

    c->pending = 1;
    op->refs++;
    d->ops->list(d, &c->scan);
}


/* R drives are asked, or two; for one that fails or is late another one. */

static int
s3_list_choose(s3_list_op_t *op)
{
    unsigned i, d, active;
    uint32_t mask;
    s3_cursor_t *c;

    active = 0;

    for (d = 0; d < op->store->n; d++) {
        active += op->cursors[d].active;
    }

    if (active >= op->store->ask) {
        return S3_OK;
    }

    mask = s3_store_counted(op->store);

    for (i = 0; i < op->store->n && active < op->store->ask; i++) {
        d = (op->store->turn + i) % op->store->n;
        c = &op->cursors[d];

        if (!(mask & s3_bit(d)) || c->active || c->failed || c->pending) {
            continue;
        }

        if (c->from == NULL) {
            c->from = malloc(op->room + 1);
            if (c->from == NULL) {
                return S3_ENOMEM;
            }
        }

        c->active = 1;
        s3_cursor_drop(c);
        active++;
    }

    return active >= op->store->r ? S3_OK : S3_EUNAVAIL;
}


/* Has every drive said what its next key is?  S3_AGAIN: answers are out. */

static int
s3_list_fill(s3_list_op_t *op)
{
    int rc, again;
    unsigned d;
    s3_cursor_t *c;

    do {
        rc = s3_list_choose(op);

        if (rc != S3_OK) {
            return rc;
        }

        again = 0;
        rc = S3_OK;

        for (d = 0; d < op->store->n; d++) {
            c = &op->cursors[d];

            if (!c->active) {
                continue;
            }

            while (c->valid && c->next < c->scan.n && !(op->ahead & s3_bit(d))
                   && s3_list_before(op, c->scan.items[c->next].key))
            {
                c->next++;
            }

            if (c->valid && (c->next < c->scan.n || c->scan.end)) {
                op->ahead |= s3_bit(d);
                continue;
            }

            if (!c->pending) {
                s3_list_scan(op, d);
                again |= !c->pending;
            }

            if (c->pending) {
                rc = S3_AGAIN;
            }
        }

    } while (again);

    return rc;
}


/*
 * The state of one key by the answers at hand: S3_OK (visible: *entry),
 * S3_ENOENT, S3_AGAIN (it takes a question of its own).
 */

typedef struct {
    const s3_entry_t *entry;
    uint32_t held;
    unsigned confirmed : 1;
    unsigned dead : 1;
} s3_list_look_t;


static int
s3_list_look(s3_list_op_t *op, const s3_version_t *below, s3_version_t *found,
             s3_list_look_t *look)
{
    int any;
    unsigned d, i;
    const s3_item_t *item;
    const s3_entry_t *e;

    any = 0;

    for (d = 0; d < op->store->n; d++) {
        if (!(op->heads & s3_bit(d))) {
            continue;
        }

        item = &op->cursors[d].scan.items[op->cursors[d].next];

        for (i = 0; i < item->n; i++) {
            e = &item->entries[i];

            if ((!s3_entry_is_record(e) && e->kind != S3_KIND_DEAD)
                || (below && s3_version_cmp(&e->version, below) >= 0))
            {
                continue;
            }

            if (!any || s3_version_cmp(&e->version, found) > 0) {
                memset(look, 0, sizeof(s3_list_look_t));
                *found = e->version;
                any = 1;
            }

            if (s3_version_cmp(&e->version, found) != 0) {
                continue;
            }

            if (e->kind == S3_KIND_DEAD) {
                look->dead = 1;

            } else {
                look->held |= s3_bit(d);
                look->entry = e;
                look->confirmed |= (e->flags & S3_F_CONFIRMED) != 0;
            }
        }
    }

    return any;
}


static int
s3_list_judge(s3_list_op_t *op, const s3_entry_t **entry)
{
    unsigned d;
    uint32_t lack;
    s3_cursor_t *c;
    s3_version_t version, last;
    const s3_version_t *below;
    s3_list_look_t look;

    below = NULL;
    memset(&version, 0, sizeof(version));
    memset(&look, 0, sizeof(look));

    while (s3_list_look(op, below, &version, &look)) {
        last = version;
        below = &last;

        if (look.held == 0) {
            continue;
        }

        lack = 0;

        for (d = 0; d < op->store->n; d++) {
            c = &op->cursors[d];

            if (!c->active || (look.held & s3_bit(d))) {
                continue;
            }

            lack |= s3_bit(d);

            if (s3_version_cmp(&c->scan.floor, &version) >= 0) {
                return S3_AGAIN;
            }
        }

        if (!look.confirmed) {
            if (look.dead
                || (!s3_committed(op->store, look.entry, look.held)
                    && !s3_possible(op->store, look.entry, lack)))
            {
                continue;
            }

            if (!s3_committed(op->store, look.entry, look.held)) {
                return S3_AGAIN;
            }

            s3_heal_doubt(op->store, op->bucket, op->key, &version);
        }

        *entry = look.entry;

        return look.entry->kind == S3_KIND_OBJECT ? S3_OK : S3_ENOENT;
    }

    return S3_ENOENT;
}


/* The key is done, and with it the items that have it. */

static void
s3_list_pass(s3_list_op_t *op, int hidden)
{
    unsigned d;
    s3_cursor_t *c;

    s3_list_move(op, op->key, 1);

    for (d = 0; d < op->store->n; d++) {
        c = &op->cursors[d];

        if (op->heads & s3_bit(d)) {
            c->next++;

            if (hidden && c->scan.items[c->next - 1].common) {
                s3_cursor_drop(c);
            }
        }
    }
}


/* The key's state is known; 0: the page has ended. */

static int
s3_list_emit(s3_list_op_t *op, const s3_entry_t *entry)
{
    size_t common;
    s3_str_t shown;

    if (entry == NULL) {
        s3_list_pass(op, 1);
        return 1;
    }

    common = s3_list_common(op, op->key);
    shown = common ? s3_str(op->key.data, common) : op->key;

    if (common == 0 || op->list->inclusive || s3_str_cmp(shown, op->first) > 0)
    {
        if (op->count == op->list->max
            || op->list->item(op->list, shown, common ? NULL : entry) != 0)
        {
            s3_list_finish(op, S3_OK, 1);
            return 0;
        }

        op->count++;
    }

    if (common == 0) {
        s3_list_pass(op, 0);

    } else if (!s3_list_move_behind(op, shown)) {
        s3_list_finish(op, S3_OK, 0);
        return 0;
    }

    return 1;
}


static void
s3_list_asked(s3_newest_t *nw)
{
    unsigned busy;
    s3_list_op_t *op = nw->ctx;
    const s3_entry_t *e = nw->rc == S3_OK ? &nw->entry : NULL;

    op->asking = 0;
    busy = op->busy; /* the loop that asked is still there */

    if (op->list) {
        if (nw->rc != S3_OK && nw->rc != S3_ENOENT) {
            s3_list_finish(op, nw->rc, 0);

        } else {
            op->busy = 1;
            (void) s3_list_emit(op, e && e->kind == S3_KIND_OBJECT ? e : NULL);
            op->busy = busy;

            if (!busy) {
                s3_list_go(op);
            }
        }
    }

    s3_list_release(op);
}


/* Looks at the least of all next keys.  0: the page has ended, or waits. */

static int
s3_list_step(s3_list_op_t *op)
{
    int rc;
    unsigned d;
    s3_str_t key;
    s3_cursor_t *c;
    const s3_entry_t *entry;

    op->heads = 0;

    for (d = 0; d < op->store->n; d++) {
        c = &op->cursors[d];

        if (!c->active || !c->valid || c->next == c->scan.n) {
            continue;
        }

        key = c->scan.items[c->next].key;
        rc = op->heads ? s3_str_cmp(key, op->key) : -1;

        if (rc < 0) {
            op->key = key;
            op->heads = 0;
        }

        if (rc <= 0) {
            op->heads |= s3_bit(d);
        }
    }

    if (op->heads == 0) {
        s3_list_finish(op, S3_OK, 0);
        return 0;
    }

    entry = NULL;
    rc = s3_list_judge(op, &entry);

    if (rc != S3_AGAIN) {
        return s3_list_emit(op, rc == S3_OK ? entry : NULL);
    }

    op->asking = 1;
    op->refs++;

    rc = s3_newest_start(op->store, op->bucket, op->key, S3_NEWEST_PASSIVE,
                         s3_list_asked, op);
    if (rc != S3_OK) {
        op->asking = 0;
        op->refs--;
        s3_list_finish(op, S3_ENOMEM, 0);
        return 0;
    }

    return !op->asking && op->list != NULL;
}


static void
s3_list_go(s3_list_op_t *op)
{
    int rc;

    if (op->busy || op->asking || op->list == NULL) {
        return;
    }

    op->busy = 1;
    op->refs++;

    for (;;) {
        rc = s3_list_fill(op);

        if (rc == S3_AGAIN) {
            if (!op->timer.set) {
                op->store->loop->set_timer(op->store->loop, &op->timer,
                                           op->store->conf.hedge_ms);
            }

            break;
        }

        if (rc != S3_OK) {
            s3_list_finish(op, rc, 0);
            break;
        }

        if (!s3_list_step(op)) {
            break;
        }
    }

    op->busy = 0;
    s3_list_release(op);
}


/* Late drives are replaced, or left out, where R others are there. */

static void
s3_list_timeout(s3_timer_t *timer)
{
    int spare;
    unsigned d;
    uint32_t mask;
    s3_cursor_t *c;
    s3_list_op_t *op = timer->ctx;

    if (++op->late > 10) {
        s3_list_finish(op, S3_EUNAVAIL, 0);
        return;
    }

    mask = s3_store_counted(op->store);
    spare = -(int) op->store->r;

    for (d = 0; d < op->store->n; d++) {
        c = &op->cursors[d];
        spare += c->active || ((mask & s3_bit(d)) && !c->failed && !c->pending);
    }

    for (d = 0; d < op->store->n && spare > 0; d++) {
        c = &op->cursors[d];

        if (c->active && c->pending) {
            c->active = 0;
            c->failed = 1;
            spare--;
        }
    }

    op->refs++;
    op->store->loop->set_timer(op->store->loop, &op->timer,
                               op->store->conf.hedge_ms);
    s3_list_go(op);
    s3_list_release(op);
}


/* Where the page begins; 0: nowhere. */

static int
s3_list_begin(s3_list_op_t *op)
{
    size_t common;
    s3_str_t after = op->first;

    if (s3_str_cmp(op->prefix, after) > 0) {
        s3_list_move(op, op->prefix, 0);
        return 1;
    }

    if (!op->list->inclusive && after.len >= op->prefix.len
        && (op->prefix.len == 0
            || memcmp(after.data, op->prefix.data, op->prefix.len) == 0))
    {
        common = s3_list_common(op, after);

        if (common) {
            return s3_list_move_behind(op, s3_str(after.data, common));
        }
    }

    s3_list_move(op, after, !op->list->inclusive);

    return 1;
}


static s3_str_t
s3_list_copy(uint8_t **p, s3_str_t s)
{
    s3_str_t copy = s3_str(*p, s.len);

    if (s.len) {
        memcpy(*p, s.data, s.len);
    }

    *p += s.len;
    return copy;
}


void
s3_store_list(s3_list_t *list)
{
    size_t room;
    uint8_t *p;
    s3_store_t *store = list->store;
    s3_list_op_t *op;

    list->truncated = 0;

    if (list->max == 0) {
        list->rc = S3_OK;
        list->done(list);
        return;
    }

    room = s3_max(list->prefix.len, list->after.len);
    room = s3_max(room, (size_t) S3_MAX_KEY);

    op = calloc(1, sizeof(s3_list_op_t) + store->n * sizeof(s3_cursor_t));
    p = malloc(room + list->prefix.len + list->delimiter.len + list->after.len
               + 1);

    if (op == NULL || p == NULL) {
        free(op);
        free(p);
        list->rc = S3_ENOMEM;
        list->done(list);
        return;
    }

    store->refs++;
    op->list = list;
    op->store = store;
    op->bucket = list->bucket;
    op->refs = 2;
    op->room = room;
    op->pos = p;
    op->timer.handler = s3_list_timeout;
    op->timer.ctx = op;

    p += room;

    op->prefix = s3_list_copy(&p, list->prefix);
    op->delimiter = s3_list_copy(&p, list->delimiter);
    op->first = s3_list_copy(&p, list->after);

    store->turn++;

    if (s3_list_begin(op)) {
        s3_list_go(op);

    } else {
        s3_list_finish(op, S3_OK, 0);
    }

    s3_list_release(op);
}
