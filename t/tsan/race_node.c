/*
 * Workers race: threads that stand in for processes, each with a node and a
 * store of its own over one zone and the same drives, under ThreadSanitizer.
 * They write, read, delete and list, freeze and flush small memtables, leave,
 * die with requests under way, and come again.  What was acknowledged must be
 * read, by everybody.
 *
 *   race_node [seconds [directory]]
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "ngx_s3_module/ngx_s3_fs.h"
#include "storage/s3_node.h"
#include "storage/s3_store.h"
#include "storage/s3_zone.h"
#include "race.h"
#include "race_loop.h"

#define DRIVES 3
#define WORKERS 3
#define KEYS 24
#define BUCKET 1024
#define MAX_PIDS 4096
#define MAX_SIZE (200 * 1024)
#define PATIENCE_S 120


typedef struct {
    unsigned index;
    int64_t pid;
    unsigned lives;
    s3_loop_t *loop;
    s3_fs_t *fs[DRIVES];
    s3_node_t *node;
    s3_store_t *store;
    uint8_t *data;
    uint64_t deadline;
} worker_t;

/* One key each worker writes; others only read it. */

typedef struct {
    uint64_t acked; /* atomic */
    uint64_t tried; /* atomic */
} claim_t;


static char root[200];
static void *zone;
static size_t zone_size;
static int dead[MAX_PIDS];
static int64_t next_pid = 1;
static int ended;
static claim_t claims[WORKERS][KEYS];
static uint64_t n_puts, n_gets, n_lists, n_deaths, n_leaves;


static uint64_t
wall(void *ctx)
{
    struct timespec ts;

    (void) ctx;
    clock_gettime(CLOCK_REALTIME, &ts);

    return (uint64_t) ts.tv_sec * 1000000 + (uint64_t) ts.tv_nsec / 1000;
}


static void
fill(void *ctx, void *buf, size_t len)
{
    size_t i;

    (void) ctx;

    for (i = 0; i < len; i++) {
        ((uint8_t *) buf)[i] = (uint8_t) rand();
    }
}


static void
say(void *ctx, int level, const char *message)
{
    (void) ctx;

    if (level <= S3_LOG_WARN || getenv("RACE_VERBOSE")) {
        fprintf(stderr, "log: %s\n", message);
    }
}


static int
alive(void *ctx, int64_t pid)
{
    (void) ctx;
    return pid > 0 && pid < MAX_PIDS
           && !__atomic_load_n(&dead[pid], __ATOMIC_ACQUIRE);
}


static void
conf_init(s3_node_conf_t *conf, s3_fs_t **fs)
{
    unsigned i;

    memset(conf, 0, sizeof(*conf));
    conf->n = DRIVES;
    conf->zone = zone;
    conf->zone_size = zone_size;
    conf->parity = 1;
    conf->segment_size = 1024 * 1024;
    conf->max_segments = 64;
    conf->wall_us = wall;
    conf->random = fill;
    conf->log = say;

    for (i = 0; i < DRIVES; i++) {
        conf->fs[i] = fs[i];
        conf->name[i] = "drive";
    }
}


static void
open_drives(s3_fs_t **fs)
{
    unsigned i;
    char path[256];

    for (i = 0; i < DRIVES; i++) {
        snprintf(path, sizeof(path), "%s/%u", root, i);
        mkdir(path, 0700);
        fs[i] = ngx_s3_fs_create(path, i);
        REQUIRE(fs[i] != NULL);
        REQUIRE(ngx_s3_fs_attach(fs[i]) == S3_OK);
    }
}


static void
close_drives(s3_fs_t **fs)
{
    unsigned i;

    for (i = 0; i < DRIVES; i++) {
        ngx_s3_fs_destroy(fs[i]);
    }
}


/* Life and death of a worker. */

static void
worker_start(worker_t *w)
{
    unsigned i;
    s3_node_conf_t nc;
    s3_store_conf_t conf;

    w->pid = __atomic_fetch_add(&next_pid, 1, __ATOMIC_RELAXED);
    REQUIRE(w->pid < MAX_PIDS);
    w->loop = race_loop_create(DRIVES, (uint64_t) w->pid);
    open_drives(w->fs);
    conf_init(&nc, w->fs);

    REQUIRE(s3_node_recover(&nc) == S3_OK); /* joins */
    REQUIRE(
        s3_node_attach(&nc, w->loop, S3_NODE_ANY_SLOT, w->pid, alive, &w->node)
        == S3_OK);

    memset(&conf, 0, sizeof(conf));
    conf.loop = w->loop;
    conf.n = DRIVES;
    conf.parity[0] = 1;
    conf.parity[1] = 1;
    conf.node = 1;
    conf.seed = 42;
    conf.hedge_ms = 200;
    conf.clock = s3_node_clock;
    conf.clock_ctx = w->node;
    conf.bucket_changes = s3_node_bucket_changes(w->node);
    conf.pins = s3_node_pins(w->node);
    conf.proc = s3_node_slot(w->node);

    for (i = 0; i < DRIVES; i++) {
        conf.drives[i] = s3_node_drive(w->node, i);
    }

    w->store = s3_store_create(&conf);
    REQUIRE(w->store != NULL);

    if (w->index == 0) {
        s3_store_heal(w->store, 1);
    }

    w->lives++;
}


static void
worker_leave(worker_t *w)
{
    uint64_t deadline = race_now_ms() + PATIENCE_S * 1000;

    s3_store_heal(w->store, 0);
    s3_store_destroy(w->store);
    s3_node_quiesce(w->node);

    while (s3_node_busy(w->node)) {
        race_loop_turn(w->loop, 10);
        REQUIRE(race_now_ms() < deadline);
    }

    s3_node_detach(w->node);
    race_loop_kill(w->loop);
    race_loop_destroy(w->loop);
    close_drives(w->fs);
    __atomic_add_fetch(&n_leaves, 1, __ATOMIC_RELAXED);
}


/* The store's memory is not to be freed: it may be anyhow, as in a process that
 * is killed. */

static void
worker_die(worker_t *w)
{
    race_loop_kill(w->loop);
    s3_node_abandon(w->node);
    race_loop_destroy(w->loop);
    close_drives(w->fs);
    __atomic_store_n(&dead[w->pid], 1, __ATOMIC_RELEASE);
    __atomic_add_fetch(&n_deaths, 1, __ATOMIC_RELAXED);
}


static void
until(worker_t *w, const int *flag)
{
    uint64_t deadline = race_now_ms() + PATIENCE_S * 1000;

    while (!*flag) {
        race_loop_turn(w->loop, 20);
        REQUIRE(race_now_ms() < deadline);
    }
}


/* Objects that tell which they are. */

static size_t
size_of(unsigned k, uint64_t seq)
{
    static const size_t sizes[] = {16,    300,     3000, 16 * 1024 + 1,
                                   60000, MAX_SIZE};

    return sizes[(k * 7 + seq) % (sizeof(sizes) / sizeof(sizes[0]))];
}


static void
make_data(uint8_t *data, size_t len, uint64_t seq)
{
    size_t i;

    for (i = 0; i + 8 <= len; i += 8) {
        memcpy(data + i, &seq, 8);
    }

    memset(data + i, 7, len - i);
}


static s3_str_t
make_key(char *buf, size_t room, unsigned owner, unsigned k)
{
    return s3_str(buf, (size_t) snprintf(buf, room, "w%u-%03u", owner, k));
}


static void
flag_writer(s3_writer_t *wr)
{
    *(int *) wr->ctx = 1;
}


static void
flag_put(s3_put_t *put)
{
    *(int *) put->ctx = 1;
}


static void
flag_head(s3_head_t *head)
{
    *(int *) head->ctx = 1;
}


static void
flag_reader(s3_reader_t *r)
{
    *(int *) r->ctx = 1;
}


static void
flag_list(s3_list_t *list)
{
    *(int *) list->ctx = 1;
}


static s3_writer_t *
write_data(worker_t *w, s3_str_t key, size_t len, int *flag)
{
    size_t done;
    ssize_t n;
    s3_writer_t *wr;

    wr = s3_writer_open(w->store, BUCKET, key, 0, (int64_t) len, 0);
    REQUIRE(wr != NULL);
    wr->writable = flag_writer;
    wr->finished = flag_writer;
    wr->ctx = flag;

    for (done = 0; done < len; done += (size_t) n) {
        *flag = 0;
        n = s3_writer_write(wr, w->data + done, len - done);
        REQUIRE(n >= 0);

        if ((size_t) n < len - done) {
            until(w, flag);
        }
    }

    *flag = 0;
    s3_writer_finish(wr);
    until(w, flag);

    return wr;
}


/* `die`: after so many turns of the loop, with the put under way; 0: not. */

static void
put(worker_t *w, unsigned k, s3_kind_t kind, unsigned die)
{
    int flag;
    char buf[32];
    size_t len;
    uint64_t seq;
    s3_put_t *put;
    s3_str_t key;
    claim_t *c = &claims[w->index][k];
    s3_writer_t *wr = NULL;

    seq = c->tried + 1;
    __atomic_store_n(&c->tried, seq, __ATOMIC_RELEASE);
    key = make_key(buf, sizeof(buf), w->index, k);
    len = size_of(k, seq);

    if (kind == S3_KIND_OBJECT) {
        make_data(w->data, len, seq);
        wr = write_data(w, key, len, &flag);
    }

    put = calloc(1, sizeof(*put));
    put->store = w->store;
    put->bucket = BUCKET;
    put->key = key;
    put->entry.kind = (uint8_t) kind;
    put->meta = s3_string("meta data");
    put->writer = wr;
    put->done = flag_put;
    put->ctx = &flag;
    flag = 0;
    s3_store_put(put);

    if (die) {
        while (--die && !flag) {
            race_loop_turn(w->loop, 2);
        }

        worker_die(w);
        free(put);
        worker_start(w);
        return;
    }

    until(w, &flag);

    /* where a worker has just died with it, its record may be in the way */

    if (put->rc == S3_OK) {
        __atomic_store_n(&c->acked, seq, __ATOMIC_RELEASE);

    } else {
        CHECK(put->rc == S3_EDOUBT || put->rc == S3_ECONFLICT
              || put->rc == S3_EUNAVAIL);
    }

    if (wr) {
        s3_writer_close(wr);
    }

    free(put);
    __atomic_add_fetch(&n_puts, 1, __ATOMIC_RELAXED);
}


/* Every byte of one write, no older than what had been acknowledged; what is
 * older than that may be gone by the time that it is read. */

static void
read_object(worker_t *w, s3_object_t *object, unsigned k, uint64_t acked,
            const claim_t *c)
{
    int flag, rc;
    size_t len;
    uint8_t *p;
    unsigned i;
    uint64_t seq;
    s3_reader_t *r;

    r = s3_reader_open(w->store, object, 0, object->entry.size);
    REQUIRE(r != NULL);
    r->ready = flag_reader;
    r->ctx = &flag;
    len = 0;
    p = w->data;

    for (;;) {
        flag = 0;
        s3_reader_next(r);
        until(w, &flag);

        if (r->rc != S3_OK) {
            break;
        }

        for (i = 0; i < r->n; i++) {
            REQUIRE(len + r->slices[i].len <= MAX_SIZE);
            memcpy(p + len, r->slices[i].data, r->slices[i].len);
            len += r->slices[i].len;
        }
    }

    rc = r->rc;
    s3_reader_close(r);

    if (rc != S3_DONE) {
        /* superseded meanwhile */
        CHECK(__atomic_load_n(&c->tried, __ATOMIC_ACQUIRE) > acked);
        return;
    }

    REQUIRE(len >= 16 && len == object->entry.size);
    memcpy(&seq, p, 8);
    CHECK(seq >= acked);
    CHECK(seq <= __atomic_load_n(&c->tried, __ATOMIC_ACQUIRE));
    CHECK(len == size_of(k, seq));

    for (i = 8; i + 8 <= len && memcmp(p + i, &seq, 8) == 0; i += 8) {
        /* as it was written */
    }

    CHECK(i + 8 > len);
}


static void
get(worker_t *w, unsigned owner, unsigned k)
{
    int flag;
    char buf[32];
    uint64_t acked;
    claim_t *c = &claims[owner][k];
    s3_head_t *head;

    acked = __atomic_load_n(&c->acked, __ATOMIC_ACQUIRE);

    head = calloc(1, sizeof(*head));
    head->store = w->store;
    head->bucket = BUCKET;
    head->key = make_key(buf, sizeof(buf), owner, k);
    head->data = 1;
    head->done = flag_head;
    head->ctx = &flag;
    flag = 0;
    s3_store_head(head);
    until(w, &flag);

    if (head->rc == S3_OK) {
        read_object(w, head->object, k, acked, c);
        s3_object_release(head->object);

    } else {
        /* every fourth key is deleted now and then */
        CHECK(head->rc != S3_ENOENT || acked == 0 || k % 4 == 0);
        CHECK(head->rc == S3_ENOENT || head->rc == S3_EDOUBT
              || head->rc == S3_EUNAVAIL);
    }

    free(head);
    __atomic_add_fetch(&n_gets, 1, __ATOMIC_RELAXED);
}


typedef struct {
    s3_list_t list; /* first */
    unsigned seen[WORKERS];
} page_t;


static int
item(s3_list_t *list, s3_str_t key, const s3_entry_t *entry)
{
    page_t *page = (page_t *) list;

    CHECK(entry != NULL);
    REQUIRE(key.len == 6 && key.data[0] == 'w');
    page->seen[(key.data[1] - '0') % WORKERS]++;

    return 0;
}


static void
list(worker_t *w)
{
    int flag;
    page_t *page;
    unsigned i, k, least[WORKERS];

    for (i = 0; i < WORKERS; i++) {
        for (least[i] = 0, k = 0; k < KEYS; k++) {
            least[i] +=
                k % 4 && __atomic_load_n(&claims[i][k].acked, __ATOMIC_ACQUIRE);
        }
    }

    page = calloc(1, sizeof(*page));
    page->list.store = w->store;
    page->list.bucket = BUCKET;
    page->list.max = 1000;
    page->list.item = item;
    page->list.done = flag_list;
    page->list.ctx = &flag;
    flag = 0;
    s3_store_list(&page->list);
    until(w, &flag);
    CHECK(page->list.rc == S3_OK);

    for (i = 0; i < WORKERS && page->list.rc == S3_OK; i++) {
        CHECK(page->seen[i] >= least[i]);
    }

    free(page);
    __atomic_add_fetch(&n_lists, 1, __ATOMIC_RELAXED);
}


static void *
worker(void *arg)
{
    unsigned k;
    worker_t *w = arg;

    w->data = malloc(MAX_SIZE);
    worker_start(w);

    while (race_now_ms() < w->deadline
           || __atomic_load_n(&n_puts, __ATOMIC_RELAXED) < 50
           || __atomic_load_n(&n_deaths, __ATOMIC_RELAXED) < 2)
    {
        k = (unsigned) race_random(w->loop, KEYS);

        switch (race_random(w->loop, 64)) {
        case 0:
            put(w, k, S3_KIND_OBJECT, 1 + (unsigned) race_random(w->loop, 12));
            break;
        case 1:
            worker_leave(w);
            worker_start(w);
            break;
        case 2:
        case 3:
            list(w);
            break;
        case 4:
        case 5:
            put(w, k & ~3u, S3_KIND_TOMBSTONE, 0);
            break;
        default:
            if (race_random(w->loop, 2)) {
                put(w, k, S3_KIND_OBJECT, 0);
            } else {
                get(w, (unsigned) race_random(w->loop, WORKERS), k);
            }
        }
    }

    for (k = 0; k < WORKERS * KEYS; k++) {
        get(w, k / KEYS, k % KEYS);
    }

    worker_leave(w);
    free(w->data);

    return NULL;
}


/* As whoever asks for the status page. */

static void *
watcher(void *arg)
{
    unsigned i;
    uint64_t sum = 0;
    s3_zdrive_t *d;
    s3_zone_t *z = zone;
    const uint64_t *p;

    while (!__atomic_load_n(&ended, __ATOMIC_ACQUIRE)) {
        for (i = 0; i < DRIVES; i++) {
            d = &z->drives[i];

            for (p = (uint64_t *) &d->stats; p < (uint64_t *) (&d->stats + 1);
                 p++) {
                sum += __atomic_load_n(p, __ATOMIC_RELAXED);
            }

            sum += s3_zone_state(d);
            sum += __atomic_load_n(&d->errors, __ATOMIC_RELAXED);
            sum += __atomic_load_n(&d->bytes_free, __ATOMIC_RELAXED);
            sum += __atomic_load_n(&d->bytes_total, __ATOMIC_RELAXED);
            sum += __atomic_load_n(&d->refilling, __ATOMIC_RELAXED);
            sum += __atomic_load_n(&d->last_code, __ATOMIC_RELAXED);
        }

        usleep(2000);
    }

    *(uint64_t *) arg = sum;

    return NULL;
}


int
main(int argc, char **argv)
{
    unsigned i;
    char cmd[300];
    uint64_t sum, flushes;
    s3_fs_t *fs[DRIVES];
    pthread_t tids[WORKERS], looker;
    s3_node_conf_t conf;
    static worker_t workers[WORKERS];
    const unsigned seconds = argc > 1 ? (unsigned) atoi(argv[1]) : 6;

    snprintf(root, sizeof(root), "%s/s3-race-XXXXXX",
             argc > 2 ? argv[2] : "/tmp");
    REQUIRE(mkdtemp(root) != NULL);

    zone_size = s3_align(s3_node_zone_min(DRIVES, 64), (size_t) 4096);
    zone = aligned_alloc(4096, zone_size);
    memset(zone, 0, zone_size);

    open_drives(fs);
    conf_init(&conf, fs);
    conf.fresh = 1;
    REQUIRE(s3_node_recover(&conf) == S3_OK);

    for (i = 0; i < WORKERS; i++) {
        workers[i].index = i;
        workers[i].deadline = race_now_ms() + seconds * 1000;
        REQUIRE(pthread_create(&tids[i], NULL, worker, &workers[i]) == 0);
    }

    REQUIRE(pthread_create(&looker, NULL, watcher, &sum) == 0);

    for (i = 0; i < WORKERS; i++) {
        pthread_join(tids[i], NULL);
    }

    __atomic_store_n(&ended, 1, __ATOMIC_RELEASE);
    pthread_join(looker, NULL);

    for (flushes = 0, i = 0; i < DRIVES; i++) {
        flushes += ((s3_zone_t *) zone)->drives[i].flushes;
    }

    close_drives(fs);
    free(zone);

    snprintf(cmd, sizeof(cmd), "rm -rf '%s'", root);
    CHECK(system(cmd) == 0);

    printf("%llu puts, %llu gets, %llu lists, %llu flushes, %llu left, "
           "%llu died; ",
           (unsigned long long) n_puts, (unsigned long long) n_gets,
           (unsigned long long) n_lists, (unsigned long long) flushes,
           (unsigned long long) n_leaves, (unsigned long long) n_deaths);

    return RACE_END();
}
