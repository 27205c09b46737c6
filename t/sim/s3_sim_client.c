/*
 * Clients: a few of each process, on few keys.
 */

#include "t/sim/s3_sim.h"

#define OPS 14 /* of one client, and up to twice as many */

sim_client_t *sim_clients[SIM_CLIENTS];

static unsigned stopped;
static uint32_t last_seen; /* value, by anybody */


/* Content. */

static uint64_t
word(uint32_t salt, uint64_t i)
{
    uint64_t z = ((uint64_t) salt << 32) + i * 0x9e3779b97f4a7c15ull;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;

    return z ^ (z >> 27);
}


void
sim_content(uint32_t value, uint64_t off, uint8_t *p, size_t len)
{
    unsigned i;
    size_t n, done;
    uint64_t w, at, at_seg = off;
    const sim_value_t *v = &sim_w.values[value];

    for (i = 0; i < v->n && len; i++) {

        if (at_seg >= v->len[i]) {
            at_seg -= v->len[i];
            continue;
        }

        n = s3_min(len, (size_t) (v->len[i] - at_seg));

        for (done = 0; done < n; /* void */) {
            at = at_seg + done;
            w = word(v->salt[i], at / 8);

            if (at % 8 == 0 && n - done >= 8) {
                s3_put64(p + done, w);
                done += 8;

            } else {
                p[done++] = (uint8_t) (w >> 8 * (at % 8));
            }
        }

        p += n;
        len -= n;
        at_seg = 0;
    }
}


int
sim_content_is(uint32_t value, uint64_t off, const uint8_t *p, size_t len)
{
    size_t n;
    uint8_t buf[4096];

    for (/* void */; len; len -= n, p += n, off += n) {
        n = s3_min(len, sizeof(buf));
        sim_content(value, off, buf, n);

        if (memcmp(buf, p, n) != 0) {
            return 0;
        }
    }

    return 1;
}


uint32_t
sim_value_new(unsigned key, unsigned n, const uint32_t *lens)
{
    unsigned i;
    sim_value_t *v;

    if (sim_w.n_values + 1 >= SIM_VALUES) {
        sim_fail("too many values");
        exit(1);
    }

    v = &sim_w.values[++sim_w.n_values];
    v->key = key;
    v->n = n;

    for (i = 0; i < n; i++) {
        v->salt[i] = sim_w.n_values * SIM_SEGS + i;
        v->len[i] = lens[i];
        v->size += lens[i];
    }

    return sim_w.n_values;
}


void
sim_value_etag(uint8_t etag[16], uint32_t value)
{
    s3_put32(etag, value);
    s3_put32(etag + 4, ~value);
    s3_put64(etag + 8, word(value, 7));
}


uint32_t
sim_value_of(unsigned key, const s3_entry_t *e)
{
    uint32_t value;
    uint8_t etag[16];

    value = s3_get32(e->etag);

    if (value && value <= sim_w.n_values) {
        sim_value_etag(etag, value);

        if (memcmp(etag, e->etag, 16) == 0 && sim_w.values[value].key == key
            && sim_w.values[value].size == e->size)
        {
            return value;
        }
    }

    sim_fail("key %u: an object that nobody wrote, size %llu, value %u", key,
             (unsigned long long) e->size, value);

    return 0;
}


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
                    sim_chance(sim_chance(8)               ? 20
                               : sim_w.faults & SIM_F_DUEL ? 200
                                                           : 2000));
}


static void
begin(sim_client_t *c, sim_kind_t kind)
{
    c->event = sim_begin(c->key, kind, c->id);
}


static void
finish(sim_client_t *c, int rc)
{
    sim_event_t *e = sim_event(c->key, c->event);

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
        s3_writer_open(sim_client_store(c), SIM_BUCKET, sim_key(key), c->class,
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
    c->put.bucket = SIM_BUCKET + space;
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
    sim_event_t *e = sim_event(c->key, c->event);
    uint32_t value = current ? sim_value_of(c->key, current) : 0;

    return value == e->expect ? S3_OK : S3_EPRECOND;
}


static void
on_put(s3_put_t *put)
{
    s3_writer_t *w;
    sim_client_t *c = put->ctx;

    finish(c, put->rc);
    c->class = 0;
    w = c->writer;
    c->writer = NULL;

    if (w) {
        s3_writer_close(w);
    }

    sim_client_rest(c);
}


static void
put_written(sim_client_t *c)
{
    sim_event_t *e = sim_event(c->key, c->event);

    sim_client_put(c, S3_SPACE_OBJECTS, sim_key(c->key), S3_KIND_OBJECT,
                   on_put);
    sim_value_etag(c->put.entry.etag, e->value);
    c->put.entry.storage_class = (uint8_t) c->class;
    c->put.writer = c->writer;
    c->put.test = e->kind == SIM_CAS ? on_test : NULL;
    s3_store_put(&c->put);
}


static void
put(sim_client_t *c, int conditional)
{
    static const uint32_t sizes[] = {0, 10, 3000, 5000, 20000, 140000, 290000};
    uint32_t size;
    unsigned flags;
    sim_event_t *e;

    flags = sim_chance(4) == 0 ? S3_WRITER_BLOB : 0;
    size = sizes[sim_chance(sim_chance(12) ? 5 : 7)];
    begin(c, conditional ? SIM_CAS : SIM_PUT);
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
    sim_client_write(c, c->key, size ? flags : 0, put_written);
}


static void delete (sim_client_t *c)
{
    begin(c, SIM_DELETE);
    sim_client_put(c, S3_SPACE_OBJECTS, sim_key(c->key), S3_KIND_TOMBSTONE,
                   on_put);
    s3_store_put(&c->put);
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
    sim_event_t *e = sim_event(c->key, c->event);

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
get(sim_client_t *c)
{
    begin(c, SIM_GET);
    memset(&c->head, 0, sizeof(c->head));
    c->head.store = sim_client_store(c);
    c->head.bucket = SIM_BUCKET;
    c->head.key = sim_key(c->key);
    c->head.done = on_head;
    c->head.ctx = c;
    s3_store_head(&c->head);
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
        for (i = 0; i < SIM_KEYS; i++) {
            if (sim_key(i).len > key.len
                && memcmp(sim_key(i).data, key.data, key.len) == 0) {
                c->prefixed |= 1u << i;
            }
        }

        return 0;
    }

    k = sim_key_index(key);

    if (k == -1) {
        sim_fail("a key is listed that nobody wrote");
        return 1;
    }

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

    for (k = 0; k < SIM_KEYS; k++) {
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
list_page(sim_client_t *c)
{
    unsigned k;
    s3_str_t after = s3_str(c->after, strlen(c->after));

    for (k = 0; k < SIM_KEYS; k++) {
        c->events[k] = -1;

        /* what was said is not said again */
        if (!(c->prefixed >> k & 1)
            && (after.len == 0 || s3_str_cmp(sim_key(k), after) > 0))
        {
            c->events[k] = sim_begin(k, SIM_LIST, c->id);
        }
    }

    c->listed = 0;
    c->list.after = after;
    s3_store_list(&c->list);
}


static void
list(sim_client_t *c)
{
    unsigned k;

    for (k = 0; k < SIM_KEYS; k++) {
        if (sim_history_full(k)) {
            sim_client_rest(c);
            return;
        }
    }

    memset(&c->list, 0, sizeof(c->list));
    c->list.store = sim_client_store(c);
    c->list.bucket = SIM_BUCKET;
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
