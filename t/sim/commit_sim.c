/*
 * Random histories of several coordinators over mock drives, from one seed:
 * requests late, lost and overtaken, drives away, hanging or full of errors,
 * coordinators that die anywhere, clocks hours apart, tombstones collected.
 * Every key's history must be linearizable, with the fate of what was in doubt
 * left open, and at the end, with everything back, every key readable.
 *
 *   commit_sim [seed] [count]
 */

#include <stdio.h>

#include "t/sim/s3_history.h"
#include "t/sim/s3_testbed.h"

#define KEYS 3
#define CLIENTS 5
#define OPS 26 /* of all clients, per key about a third of 3 * OPS */


const char *__asan_default_options(void);

/* a coordinator that was killed leaves its memory behind */

const char *
__asan_default_options(void)
{
    return "detect_leaks=0";
}


typedef struct {
    unsigned id;
    unsigned store;
    unsigned left;
    unsigned key;
    int event; /* -1: none */
    uint32_t seen[KEYS];
    s3_timer_t timer;
    s3_put_t put;
    s3_head_t head;
    s3_writer_t *writer;
    uint8_t *data;
    size_t len;
    size_t sent;
    uint8_t etag[16];
} client_t;

static bed_t bed;
static hist_t histories[KEYS];
static client_t *clients[CLIENTS];
static uint32_t values;
static unsigned stopped;
static unsigned verbose;


static s3_str_t
key_name(unsigned k)
{
    static const char *names[KEYS] = {"one", "two", "three"};

    return s3_str(names[k], strlen(names[k]));
}


static uint64_t
chance(uint64_t below)
{
    return s3_sim_random(bed.sim, below);
}


/* Clients */

static void client_next(client_t *c);


static uint32_t
value_of(const s3_entry_t *e)
{
    return e ? s3_get32(e->etag) : 0;
}


static hist_event_t *
begin(client_t *c, hist_kind_t kind)
{
    hist_t *h = &histories[c->key];

    c->event = hist_begin(h, kind, 0, c->id);

    return &h->events[c->event];
}


static void
end(client_t *c, int rc)
{
    hist_t *h = &histories[c->key];

    hist_end(h, c->event, rc);

    if (rc == S3_OK || rc == S3_ENOENT) {
        c->seen[c->key] = h->events[c->event].value;
    }

    c->event = -1;
}


static void
on_timer(s3_timer_t *timer)
{
    client_next(timer->ctx);
}


static void
rest(client_t *c)
{
    s3_loop_t *loop = bed.loop[c->store];

    c->timer.handler = on_timer;
    c->timer.ctx = c;
    loop->set_timer(loop, &c->timer, chance(chance(8) ? 20 : 3000));
}


static void
on_head(s3_head_t *head)
{
    client_t *c = head->ctx;
    hist_event_t *e = &histories[c->key].events[c->event];

    if (head->rc == S3_OK) {
        e->value = value_of(&head->object->entry);
        s3_object_release(head->object);
    }

    end(c, head->rc);
    rest(c);
}


static int
on_test(s3_put_t *put, const s3_entry_t *current)
{
    client_t *c = put->ctx;
    hist_event_t *e = &histories[c->key].events[c->event];

    return value_of(current) == e->expect ? S3_OK : S3_EPRECOND;
}


static void
on_put(s3_put_t *put)
{
    client_t *c = put->ctx;

    end(c, put->rc);

    if (c->writer) {
        s3_writer_close(c->writer);
        c->writer = NULL;
    }

    rest(c);
}


static void
on_finished(s3_writer_t *w)
{
    client_t *c = w->ctx;

    c->put.writer = w;
    s3_store_put(&c->put);
}


static void
on_writable(s3_writer_t *w)
{
    ssize_t n;
    client_t *c = w->ctx;

    while (c->sent < c->len) {
        n = s3_writer_write(w, c->data + c->sent, c->len - c->sent);

        if (n < 0) {
            break;
        }

        c->sent += (size_t) n;

        if (n == 0) {
            return;
        }
    }

    s3_writer_finish(w);
}


static void
client_write(client_t *c, hist_event_t *e)
{
    static const size_t sizes[] = {0, 10, 3000, 20000, 140000};

    e->value = ++values;
    memset(&c->put.entry, 0, sizeof(c->put.entry));
    c->put.entry.kind = S3_KIND_OBJECT;
    s3_put32(c->put.entry.etag, e->value);
    c->len = sizes[chance(chance(3) ? 3 : 5)];
    c->sent = 0;
    free(c->data);
    c->data = bed_data(c->len, e->value);
    c->writer = s3_writer_open(bed.store[c->store], BED_BUCKET,
                               key_name(c->key), 0, (int64_t) c->len, 0);
    c->writer->writable = on_writable;
    c->writer->finished = on_finished;
    c->writer->ctx = c;
    on_writable(c->writer);
}


static void
client_next(client_t *c)
{
    hist_event_t *e;
    unsigned what;

    if (c->left == 0 || stopped) {
        return;
    }

    c->left--;
    c->key = (unsigned) chance(KEYS);
    what = (unsigned) chance(10);

    if (what < 3) {
        begin(c, HIST_GET);
        memset(&c->head, 0, sizeof(c->head));
        c->head.store = bed.store[c->store];
        c->head.bucket = BED_BUCKET;
        c->head.key = key_name(c->key);
        c->head.brief = 1;
        c->head.done = on_head;
        c->head.ctx = c;
        s3_store_head(&c->head);
        return;
    }

    memset(&c->put, 0, sizeof(c->put));
    c->put.store = bed.store[c->store];
    c->put.bucket = BED_BUCKET;
    c->put.key = key_name(c->key);
    c->put.done = on_put;
    c->put.ctx = c;

    if (what < 5) {
        begin(c, HIST_DELETE);
        c->put.entry.kind = S3_KIND_TOMBSTONE;
        s3_store_put(&c->put);
        return;
    }

    e = begin(c, what < 8 ? HIST_CAS : HIST_PUT);

    if (e->kind == HIST_CAS) {
        e->expect = chance(3) ? c->seen[c->key] : 0;
        c->put.test = on_test;
    }

    client_write(c, e);
}


/* The world */

static void
attach(unsigned j)
{
    unsigned i;
    s3_store_conf_t conf;

    bed.loop[j] = s3_sim_loop(bed.sim);
    s3_sim_skew(bed.loop[j],
                chance(2) ? 0 : (int64_t) chance(7200000000ull) - 3600000000ll);
    memset(&conf, 0, sizeof(conf));
    conf.loop = bed.loop[j];
    conf.n = bed.n;
    conf.parity[0] = bed.m;
    conf.parity[1] = bed.m;
    conf.node = 1 + j;
    conf.seed = 42;
    conf.hedge_ms = 100;
    conf.clock = bed_clock;
    conf.clock_ctx = bed.loop[j];

    for (i = 0; i < bed.n; i++) {
        conf.drives[i] = s3_mock_attach(bed.mock[i], bed.loop[j]);
        conf.drives[i]->state =
            bed.drive[j][i] ? bed.drive[j][i]->state : S3_DRIVE_OK;
        bed.drive[j][i] = conf.drives[i];
    }

    bed.store[j] = s3_store_create(&conf);
}


static void
kill_one(void)
{
    unsigned i, j;
    client_t *c;

    j = (unsigned) chance(bed.n_stores);
    s3_sim_kill(bed.loop[j]);
    attach(j);

    for (i = 0; i < CLIENTS; i++) {
        c = clients[i];

        if (c->store != j) {
            continue;
        }

        /* its memory belongs to the dead */

        clients[i] = calloc(1, sizeof(client_t));
        clients[i]->id = i;
        clients[i]->store = j;
        clients[i]->left = c->left;
        clients[i]->event = -1;
        memcpy(clients[i]->seen, c->seen, sizeof(c->seen));
        rest(clients[i]);
    }
}


static void
disturb(unsigned *kills)
{
    unsigned i;
    s3_mock_knobs_t *k;

    i = (unsigned) chance(bed.n);
    k = s3_mock_knobs(bed.mock[i]);

    switch (chance(12)) {

    case 0:
    case 1:
        if (*kills < 6) {
            (*kills)++;
            kill_one();
        }
        break;

    case 2:
    case 3:
        bed_state(&bed, i, k->down ? S3_DRIVE_OK : S3_DRIVE_MISSING);
        break;

    case 4:
        if (k->hung) {
            s3_mock_unhang(bed.mock[i]);

        } else {
            k->hung = 1;
        }
        break;

    case 5:
        k->lost = chance(2) ? 0 : 200000;
        break;

    case 6:
        k->mute = chance(2) ? 0 : 200000;
        break;

    case 7:
        k->errors = chance(2) ? 0 : 100000;
        break;

    case 8:
        k->delay = 1 + (unsigned) chance(chance(2) ? 10 : 200);
        break;

    case 9:
        s3_mock_collect(bed.mock, bed.n, BED_BUCKET,
                        key_name((unsigned) chance(KEYS)),
                        (uint32_t) chance(1u << bed.n));
        break;

    case 10:
        s3_store_heal(bed.store[chance(bed.n_stores)], (int) chance(2));
        break;

    default:
        bed_down(&bed, 0);
    }
}


static int
final_reads(void)
{
    int rc, bad;
    unsigned k, i, tries;
    uint8_t *data;
    hist_event_t *e;
    s3_object_t *object;
    client_t c;
    static const size_t sizes[] = {0, 10, 3000, 20000, 140000};

    bad = 0;
    memset(&c, 0, sizeof(c));

    for (k = 0; k < KEYS; k++) {
        for (tries = 0; tries < 2; tries++) {
            c.key = k;
            e = begin(&c, HIST_GET);
            rc = bed_head(&bed, 0, key_name(k), &object);

            if (rc == S3_OK) {
                e->value = value_of(&object->entry);
                data = NULL;

                for (i = 0; i < 5; i++) {
                    if (sizes[i] == object->entry.size) {
                        data = bed_data(sizes[i], e->value);
                    }
                }

                if (data == NULL
                    || bed_get(&bed, 0, key_name(k), data, object->entry.size)
                           != S3_OK)
                {
                    printf("key %u: data of value %u is lost\n", k, e->value);
                    bad = 1;
                }

                free(data);
                s3_object_release(object);

            } else if (rc != S3_ENOENT) {
                printf("key %u: %d with everything back\n", k, rc);
                bad = 1;

                for (i = 0; i < bed.n; i++) {
                    s3_mock_dump(bed.mock[i], BED_BUCKET, key_name(k));
                }
            }

            end(&c, rc);
        }
    }

    return bad;
}


static int
run(uint64_t seed)
{
    static const struct {
        unsigned n, m;
    } shapes[] = {{1, 0}, {2, 1}, {3, 1}, {3, 1}, {4, 2},
                  {4, 2}, {5, 2}, {3, 0}, {6, 3}};
    int bad;
    unsigned i, j, kills, shape, steps;

    memset(&bed, 0, sizeof(bed));

    for (i = 0; i < KEYS; i++) {
        hist_reset(&histories[i], HIST_SAME);
    }

    values = 0;
    stopped = 0;

    bed.sim = s3_sim_create(seed);
    s3_sim_verbose(bed.sim, (int) verbose);
    bed.world = s3_sim_loop(bed.sim);
    shape = (unsigned) chance(sizeof(shapes) / sizeof(shapes[0]));
    bed.n = shapes[shape].n;
    bed.m = shapes[shape].m;
    bed.n_stores = 3;

    for (i = 0; i < bed.n; i++) {
        bed.mock[i] = s3_mock_create(bed.sim, bed.world, i);
        s3_mock_knobs(bed.mock[i])->delay = 1 + (unsigned) chance(20);
        s3_mock_knobs(bed.mock[i])->silence_ms = 5000;
    }

    for (j = 0; j < bed.n_stores; j++) {
        attach(j);
    }

    for (i = 0; i < CLIENTS; i++) {
        clients[i] = calloc(1, sizeof(client_t));
        clients[i]->id = i;
        clients[i]->store = i % bed.n_stores;
        clients[i]->left = OPS / 2 + (unsigned) chance(OPS / 2);
        clients[i]->event = -1;
        rest(clients[i]);
    }

    kills = 0;
    steps = 20 + (unsigned) chance(60);

    for (i = 0; i < steps; i++) {
        s3_sim_sleep(bed.sim, 1000 * (1 + chance(chance(4) ? 60 : 2000)));

        if (seed % 4) {
            disturb(&kills);
        }
    }

    /* everything comes back, clients go on to their end */

    for (i = 0; i < bed.n; i++) {
        s3_mock_knobs(bed.mock[i])->lost = 0;
        s3_mock_knobs(bed.mock[i])->mute = 0;
        s3_mock_knobs(bed.mock[i])->errors = 0;
        s3_mock_knobs(bed.mock[i])->delay = 10;
        s3_mock_unhang(bed.mock[i]);
    }

    bed_down(&bed, 0);
    s3_sim_sleep(bed.sim, 60000000);
    stopped = 1;
    s3_sim_run(bed.sim);

    bad = final_reads();
    s3_store_heal(bed.store[0], 1);
    s3_sim_sleep(bed.sim, 200000000);
    s3_store_heal(bed.store[0], 0);
    s3_sim_run(bed.sim);

    for (i = 0; i < bed.n; i++) {
        if (s3_mock_notes(bed.mock[i])) {
            printf("drive %u: notes are left\n", i);
            bad = 1;
        }
    }

    bad |= final_reads();

    for (i = 0; i < KEYS; i++) {
        if (!hist_check(&histories[i])) {
            printf("key %u is not linearizable\n", i);
            bad = 1;
        }

        if (bad || verbose) {
            hist_print(&histories[i]);
        }
    }

    for (j = 0; j < bed.n_stores; j++) {
        s3_store_destroy(bed.store[j]);
    }

    for (i = 0; i < CLIENTS; i++) {
        free(clients[i]->data);
        free(clients[i]);
    }

    for (i = 0; i < bed.n; i++) {
        s3_mock_destroy(bed.mock[i]);
    }

    s3_sim_destroy(bed.sim);

    return bad;
}


int
main(int argc, char **argv)
{
    uint64_t seed, count, i;

    seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
    count = argc > 2 ? strtoull(argv[2], NULL, 0) : 200;
    verbose = argc > 3;

    hist_open();

    for (i = seed; i < seed + count; i++) {
        if (run(i)) {
            printf("commit_sim: seed %llu failed; commit_sim %llu 1 shows it\n",
                   (unsigned long long) i, (unsigned long long) i);
            return 1;
        }
    }

    printf("commit_sim: %llu histories from seed %llu\n",
           (unsigned long long) count, (unsigned long long) seed);

    return 0;
}
