/*
 * Clients: a few of each process, on few keys.
 */

#include "t/sim/s3_sim.h"

#define OPS 14 /* of one client, and up to twice as many */

sim_client_t *sim_clients[SIM_CLIENTS];

static unsigned stopped;
static uint32_t last_seen; /* value, by anybody */


/* Beginning and end of operations. */

s3_store_t *
sim_client_store(sim_client_t *c)
{
    return sim_w.proc[c->proc]->store;
}


static void next(sim_client_t *c);


static void
on_timer(s3_timer_t *timer)
{
    next(timer->ctx);
}


void
sim_client_rest(sim_client_t *c)
{
    s3_loop_t *loop = sim_w.proc[c->proc]->loop;

    c->busy = 0;
    c->event = -1;
    c->timer.handler = on_timer;
    c->timer.ctx = c;
    loop->set_timer(loop, &c->timer,
                    sim_chance(sim_chance(8) ? 20
                               : sim_w.faults & (SIM_F_DUEL | SIM_F_BRIEF)
                                   ? 200
                                   : 2000));
}


static void
begin(sim_client_t *c, hist_kind_t kind)
{
    c->event = sim_begin(c->key, kind, c->id);
}


/* 1: its key has a bucket; else the operation is over. */

static int
at_home(sim_client_t *c, int rc)
{
    if (rc == S3_OK) {
        sim_event(c->key, c->event)->bucket = c->home.number;
        return 1;
    }

    sim_end(c->key, c->event, rc);
    sim_client_rest(c);

    return 0;
}


static void
finish(sim_client_t *c, int rc)
{
    hist_event_t *e = sim_event(c->key, c->event);

    sim_end(c->key, c->event, rc);

    if (rc == S3_OK || rc == S3_ENOENT) {
        c->seen[c->key] = e->value;
        last_seen = e->value;
    }

    if (rc == S3_EINVAL || rc == S3_EFOREIGN || rc == S3_EVERSION) {
        sim_fail("client %u: %s", c->id, s3_strerror(rc));
    }
}


/* Writing. */

static void
on_finished(s3_writer_t *w)
{
    sim_client_t *c = w->ctx;

    c->written(c);
}


static void
on_writable(s3_writer_t *w)
{
    size_t len;
    ssize_t n;
    sim_client_t *c = w->ctx;
    uint8_t buf[16384];

    while (c->off < c->end) {
        len = s3_min(sizeof(buf), (size_t) (c->end - c->off));
        sim_content(c->value, c->off, buf, len);
        n = s3_writer_write(w, buf, len);

        if (n < 0) {
            break;
        }

        c->off += (uint64_t) n;

        if ((size_t) n < len) {
            return;
        }
    }

    s3_writer_finish(w);
}


void
sim_client_write(sim_client_t *c, unsigned key, unsigned flags,
                 void (*written)(sim_client_t *c))
{
    c->written = written;
    c->writer =
        s3_writer_open(sim_client_store(c), c->home.id, sim_key(key), c->class,
                       sim_chance(2) ? -1 : (int64_t) (c->end - c->off), flags);
    c->writer->writable = on_writable;
    c->writer->finished = on_finished;
    c->writer->ctx = c;
    on_writable(c->writer);
}


void
sim_client_put(sim_client_t *c, unsigned space, s3_str_t key, s3_kind_t kind,
               void (*done)(s3_put_t *put))
{
    memset(&c->put, 0, sizeof(c->put));
    c->put.store = sim_client_store(c);
    c->put.bucket = c->home.id + space;
    c->put.generation = c->home.generation;
    c->put.key = key;
    c->put.entry.kind = (uint8_t) kind;
    c->put.meta = s3_string("meta");
    c->put.done = done;
    c->put.ctx = c;
}


static int
on_test(s3_put_t *put, const s3_entry_t *current)
{
    sim_client_t *c = put->ctx;
    hist_event_t *e = sim_event(c->key, c->event);
    uint32_t value = current ? sim_value_of(c->key, current) : 0;

    return value == e->expect ? S3_OK : S3_EPRECOND;
}


/* The bucket is being removed, or was. */

static void
on_stale(sim_client_t *c, int rc)
{
    if (rc == S3_ENOENT) {
        sim_event(c->key, c->event)->bucket = 0;
    }

    sim_end(c->key, c->event, rc == S3_ENOENT ? S3_ENOENT : S3_ESTALE);
    sim_client_rest(c);
}


static void
on_put(s3_put_t *put)
{
    s3_writer_t *w;
    sim_client_t *c = put->ctx;

    c->class = 0;
    w = c->writer;
    c->writer = NULL;

    if (w) {
        s3_writer_close(w);
    }

    if (put->rc == S3_ESTALE) {
        sim_client_home(c, c->key, on_stale);
        return;
    }

    finish(c, put->rc);
    sim_client_rest(c);
}


static void
put_written(sim_client_t *c)
{
    hist_event_t *e = sim_event(c->key, c->event);

    sim_client_put(c, S3_SPACE_OBJECTS, sim_key(c->key), S3_KIND_OBJECT,
                   on_put);
    sim_value_etag(c->put.entry.etag, e->value);
    c->put.entry.storage_class = (uint8_t) c->class;
    c->put.writer = c->writer;
    c->put.test = e->kind == HIST_CAS ? on_test : NULL;
    s3_store_put(&c->put);
}


static void
put_housed(sim_client_t *c, int rc)
{
    if (at_home(c, rc)) {
        sim_client_write(c, c->key, c->end ? c->flags : 0, put_written);
    }
}


static void
put(sim_client_t *c, int conditional)
{
    static const uint32_t sizes[] = {0, 10, 3000, 5000, 20000, 140000, 290000};
    uint32_t size;
    hist_event_t *e;

    c->flags = sim_chance(4) == 0 ? S3_WRITER_BLOB : 0;
    size = sizes[sim_chance(sim_chance(12) ? 5 : 7)];
    begin(c, conditional ? HIST_CAS : HIST_PUT);
    e = sim_event(c->key, c->event);
    e->value = sim_value_new(c->key, 1, &size);

    if (conditional) {
        e->expect = sim_chance(3) ? c->seen[c->key] : 0;

        if (sim_w.faults & SIM_F_DUEL && sim_chance(8)) {
            e->expect = last_seen; /* clients talk to each other */
        }
    }

    c->class = sim_w.classes ? sim_chance(2) : 0;
    c->value = e->value;
    c->off = 0;
    c->end = size;
    sim_client_home(c, c->key, put_housed);
}


static void
delete_housed(sim_client_t *c, int rc)
{
    if (!at_home(c, rc)) {
        return;
    }

    sim_client_put(c, S3_SPACE_OBJECTS, sim_key(c->key), S3_KIND_TOMBSTONE,
                   on_put);
    s3_store_put(&c->put);
}


static void delete (sim_client_t *c)
{
    begin(c, HIST_DELETE);
    sim_client_home(c, c->key, delete_housed);
}


/* Reading. */

static void
get_over(sim_client_t *c)
{
    s3_object_t *o = c->object;
    s3_reader_t *r = c->reader;

    c->object = NULL;
    c->reader = NULL;

    if (r) {
        s3_reader_close(r);
    }

    s3_object_release(o);
    sim_client_rest(c);
}


static void
on_ready(s3_reader_t *r)
{
    unsigned i;
    sim_client_t *c = r->ctx;

    if (r->rc != S3_OK) {

        if (r->rc == S3_DONE ? c->off != c->end : c->off > c->end) {
            sim_fail("key %u value %u: read ends at %llu of %llu", c->key,
                     c->value, (unsigned long long) c->off,
                     (unsigned long long) c->end);
        }

        get_over(c);
        return;
    }

    for (i = 0; i < r->n; i++) {
        if (!sim_content_is(c->value, c->off, r->slices[i].data,
                            r->slices[i].len)) {
            sim_fail("key %u value %u: wrong bytes after %llu", c->key,
                     c->value, (unsigned long long) c->off);
        }

        c->off += r->slices[i].len;
    }

    s3_reader_next(r);
}


static void
on_head(s3_head_t *head)
{
    uint64_t size;
    sim_client_t *c = head->ctx;
    hist_event_t *e = sim_event(c->key, c->event);

    if (head->rc == S3_OK) {
        e->value = sim_value_of(c->key, &head->object->entry);
    }

    finish(c, head->rc);

    if (head->rc != S3_OK) {
        sim_client_rest(c);
        return;
    }

    c->object = head->object;
    c->value = e->value;
    size = c->object->entry.size;
    c->off = 0;
    c->end = size;

    if (size && sim_chance(3) == 0) {
        c->off = s3_sim_random(sim_w.sim, size);
        c->end = c->off + 1 + s3_sim_random(sim_w.sim, size - c->off);
    }

    if (c->off == c->end || e->value == 0) {
        get_over(c);
        return;
    }

    c->reader =
        s3_reader_open(sim_client_store(c), c->object, c->off, c->end - c->off);
    c->reader->ready = on_ready;
    c->reader->ctx = c;
    s3_reader_next(c->reader);
}


static void
get_housed(sim_client_t *c, int rc)
{
    if (!at_home(c, rc)) {
        return;
    }

    memset(&c->head, 0, sizeof(c->head));
    c->head.store = sim_client_store(c);
    c->head.bucket = c->home.id;
    c->head.key = sim_key(c->key);
    c->head.done = on_head;
    c->head.ctx = c;
    s3_store_head(&c->head);
}


static void
get(sim_client_t *c)
{
    begin(c, HIST_GET);
    sim_client_home(c, c->key, get_housed);
}


/* Listing: a page says something of every key after the last page's end. */

static void list_page(sim_client_t *c);


static int
on_item(s3_list_t *list, s3_str_t key, const s3_entry_t *entry)
{
    int k;
    unsigned i;
    sim_client_t *c = list->ctx;

    if (key.len >= sizeof(c->after)
        || (*c->after
            && s3_str_cmp(key, s3_str(c->after, strlen(c->after))) <= 0))
    {
        sim_fail("a listing out of order");
        return 1;
    }

    memcpy(c->after, key.data, key.len);
    c->after[key.len] = '\0';

    if (entry == NULL) {
        for (i = c->first; i < c->end_key; i++) {
            if (sim_key(i).len > key.len
                && memcmp(sim_key(i).data, key.data, key.len) == 0) {
                c->prefixed |= 1u << i;
            }
        }

        return 0;
    }

    k = sim_key_index(key);

    if (k == -1 || (unsigned) k + c->first >= c->end_key) {
        sim_fail("a key is listed that nobody wrote");
        return 1;
    }

    k += (int) c->first;
    c->listed |= 1u << k;
    sim_event((unsigned) k, c->events[k])->value =
        sim_value_of((unsigned) k, entry);

    return 0;
}


static void
on_list(s3_list_t *list)
{
    unsigned k;
    s3_str_t after, key;
    sim_client_t *c = list->ctx;

    after = s3_str(c->after, strlen(c->after));

    for (k = c->first; k < c->end_key; k++) {
        if (c->events[k] == -1) {
            continue;
        }

        key = sim_key(k);

        if (list->rc != S3_OK || c->prefixed >> k & 1
            || key.len < list->prefix.len
            || (list->prefix.len
                && memcmp(key.data, list->prefix.data, list->prefix.len) != 0)
            || (list->truncated && s3_str_cmp(key, after) > 0))
        {
            sim_end(k, c->events[k], S3_EUNAVAIL);

        } else {
            sim_end(k, c->events[k], c->listed >> k & 1 ? S3_OK : S3_ENOENT);
        }
    }

    if (list->rc == S3_OK && list->truncated && c->pages++ < 5) {
        list_page(c);
        return;
    }

    sim_client_rest(c);
}


static void
list_housed(sim_client_t *c, int rc)
{
    unsigned k;

    for (k = c->first; k < c->end_key; k++) {
        if (c->events[k] != -1) {
            sim_event(k, c->events[k])->bucket =
                rc == S3_OK ? c->home.number : 0;

            if (rc != S3_OK) {
                sim_end(k, c->events[k], rc);
            }
        }
    }

    if (rc != S3_OK) {
        sim_client_rest(c);
        return;
    }

    c->list.bucket = c->home.id;
    s3_store_list(&c->list);
}


static void
list_page(sim_client_t *c)
{
    unsigned k;
    s3_str_t after = s3_str(c->after, strlen(c->after));

    for (k = c->first; k < c->end_key; k++) {
        c->events[k] = -1;

        /* what was said is not said again */
        if (!(c->prefixed >> k & 1)
            && (after.len == 0 || s3_str_cmp(sim_key(k), after) > 0))
        {
            c->events[k] = sim_begin(k, HIST_LIST, c->id);
        }
    }

    c->listed = 0;
    c->list.after = after;
    sim_client_home(c, c->first, list_housed);
}


static void
list(sim_client_t *c)
{
    unsigned k;

    c->first = c->key < SIM_KEYS ? 0 : SIM_KEYS;
    c->end_key = c->key < SIM_KEYS ? SIM_KEYS : SIM_ALL_KEYS;

    for (k = c->first; k < c->end_key; k++) {
        if (sim_history_full(k)) {
            sim_client_rest(c);
            return;
        }
    }

    memset(&c->list, 0, sizeof(c->list));
    c->list.store = sim_client_store(c);
    c->list.max = 1 + sim_chance(5);
    c->list.item = on_item;
    c->list.done = on_list;
    c->list.ctx = c;

    if (sim_chance(4) == 0) {
        c->list.prefix = s3_string("dir/");
    }

    if (sim_chance(4) == 0) {
        c->list.delimiter = s3_string("/");
    }

    c->after[0] = '\0';
    c->prefixed = 0;
    c->pages = 0;
    list_page(c);
}


/* At the short-lived bucket, which is to be empty now and then. */

static void
next_brief(sim_client_t *c)
{
    unsigned what = sim_chance(100);

    c->key = SIM_KEYS + sim_chance(SIM_SHORT_KEYS);

    if (sim_w.faults & SIM_F_BRIEF) {
        c->key = SIM_KEYS + (sim_chance(8) == 0);
    }

    if (sim_history_full(c->key)) {
        sim_client_rest(c);

    } else if (what < 12) {
        sim_bucket_make(c);

    } else if (what < 34) {
        sim_bucket_drop(c);

    } else if (what < 46) {
        get(c);

    } else if (what < 52) {
        list(c);

    } else if (what < 68) {
        delete (c);

    } else if (what < 74) {
        put(c, 1);

    } else if (what < 86) {
        put(c, 0);

    } else if (sim_w.faults & (SIM_F_REPLACE | SIM_F_ROT)
               || !sim_upload_step(c)) {
        sim_client_rest(c);
    }
}


static void
next(sim_client_t *c)
{
    unsigned what;

    if (c->left == 0 || stopped) {
        return;
    }

    c->left--;
    c->busy = 1;
    c->since = s3_sim_now(sim_w.sim);

    if (sim_w.faults & SIM_F_BRIEF || (sim_w.brief && sim_chance(2))) {
        next_brief(c);
        return;
    }

    c->key = sim_w.hot || sim_w.faults & SIM_F_DUEL ? 0 : sim_chance(SIM_KEYS);

    if (sim_history_full(c->key)) {
        sim_client_rest(c);
        return;
    }

    what = sim_chance(100);

    if (sim_w.faults & SIM_F_DUEL && what >= 35) {
        put(c, what < 90);

    } else if (what < 28) {
        get(c);

    } else if (what < 36) {
        list(c);

    } else if (what < 48) {
        delete (c);

    } else if (what < 68) {
        put(c, 1);

    } else if (what < 86) {
        put(c, 0);

    } else if (!sim_upload_step(c)) {
        sim_client_rest(c);
    }
}


/* Their lives. */

static sim_client_t *
create(unsigned id, unsigned left)
{
    sim_client_t *c;

    c = calloc(1, sizeof(*c));
    c->id = id;
    c->proc = id % sim_w.n_procs;
    c->left = left;
    c->event = -1;

    return c;
}


void
sim_clients_open(void)
{
    unsigned i;

    stopped = 0;
    last_seen = 0;
    sim_uploads_reset();
    sim_buckets_reset();

    for (i = 0; i < SIM_CLIENTS; i++) {
        sim_clients[i] = create(i, OPS + sim_chance(OPS));
        sim_client_rest(sim_clients[i]);
    }
}


/* Its memory belongs to the dead. */

void
sim_clients_died(unsigned p)
{
    unsigned i;
    sim_client_t *c;

    for (i = 0; i < SIM_CLIENTS; i++) {
        c = sim_clients[i];

        if (c && c->proc == p) {
            sim_clients[i] = create(i, c->left);
            memcpy(sim_clients[i]->seen, c->seen, sizeof(c->seen));
        }
    }
}


void
sim_clients_restart(unsigned p)
{
    unsigned i;

    for (i = 0; i < SIM_CLIENTS; i++) {
        if (sim_clients[i] && sim_clients[i]->proc == p) {
            sim_client_rest(sim_clients[i]);
        }
    }
}


void
sim_clients_stop(void)
{
    stopped = 1;
}


unsigned
sim_clients_busy(void)
{
    unsigned i, n;

    for (i = 0, n = 0; i < SIM_CLIENTS; i++) {
        n += sim_clients[i]->busy;
    }

    return n;
}


uint64_t
sim_clients_oldest(void)
{
    unsigned i;
    uint64_t oldest = s3_sim_now(sim_w.sim);

    for (i = 0; i < SIM_CLIENTS; i++) {
        if (sim_clients[i]->busy) {
            oldest = s3_min(oldest, sim_clients[i]->since);
        }
    }

    return s3_sim_now(sim_w.sim) - oldest;
}
