/*
 * The log writer and the scan, over drives in memory: power cuts and errors at
 * every single I/O.  What was acknowledged is found, what is found is whole.
 */

#include "s3_test.h"

#include "storage/s3_log.h"
#include "t/sim/s3_memfs.h"

#define RECORDS 120
#define SEGMENT (128 * 1024)


typedef struct writer_s writer_t;

typedef struct {
    writer_t *w;
    uint32_t number;
    s3_log_waiter_t durable;
    s3_log_place_t place;
} item_t;

struct writer_s {
    s3_sim_t *sim;
    s3_memfs_t *m;
    s3_loop_t *loop;
    s3_log_t *log;
    s3_timer_t timer;
    s3_log_waiter_t room;
    int waiting;

    uint32_t *next_id; /* shared */
    uint32_t size;     /* of the segment that was asked for last */
    uint32_t recycle;  /* hand this one out once */
    uint32_t opened;
    uint32_t closed;
    uint32_t recycled;
    uint32_t last_acked;
    int in_order;
    int state;

    uint32_t first;
    uint32_t next; /* record number */
    uint32_t end;
    uint8_t *acked; /* by number */
    uint32_t failed;
    item_t *items;
};


static uint32_t
mix(uint32_t v)
{
    v = (v ^ (v >> 15)) * 0x2c1b3c6d;
    v = (v ^ (v >> 12)) * 0x297a2d39;
    return v ^ (v >> 15);
}


/* Record `number` is a function of its number. */

static void
make(uint32_t number, s3_record_t *r, char key[16], uint8_t *data)
{
    uint32_t i, len;

    len = mix(number) % 8 ? mix(number) % 300 : mix(number) % 20000;

    for (i = 0; i < len; i++) {
        data[i] = (uint8_t) (number + i * 7);
    }

    memset(r, 0, sizeof(*r));
    snprintf(key, 16, "%08x", number);
    r->bucket = 1024;
    r->key = s3_str(key, 8);
    r->entry.kind = S3_KIND_OBJECT;
    r->entry.version.time = number;
    r->data = s3_str(data, len);
}


static int
hook_new_segment(void *ctx, uint32_t *size, uint32_t *id, uint32_t *recycle)
{
    writer_t *w = ctx;

    CHECK(*size >= s3_max(w->size, S3_SEGMENT_MIN) && *size <= SEGMENT);
    w->size = *size;

    *id = (*w->next_id)++;
    *recycle = w->recycle;

    if (w->recycle) {
        w->recycle = 0;
        w->recycled++;
    }

    return S3_OK;
}


static void
hook_failed(void *ctx, uint32_t id, uint32_t recycle)
{
    writer_t *w = ctx;

    CHECK(id && id < *w->next_id && recycle < id);
}


static void
hook_opened(void *ctx, const s3_segment_t *seg)
{
    writer_t *w = ctx;

    CHECK_INT(seg->size, w->size);
    w->opened++;
}


static void
hook_closed(void *ctx, uint32_t id, uint32_t end)
{
    writer_t *w = ctx;

    CHECK(id && id < *w->next_id && end >= S3_SEGMENT_START && end < SEGMENT);
    w->closed++;
}


static void
hook_state(void *ctx, int rc)
{
    writer_t *w = ctx;

    CHECK(rc != w->state);
    w->state = rc;
}


static const s3_log_hooks_t hooks = {hook_new_segment, hook_failed, hook_opened,
                                     hook_closed, hook_state};


static void
on_durable(s3_log_waiter_t *waiter, int rc)
{
    item_t *item = waiter->ctx;
    writer_t *w = item->w;

    if (rc != S3_OK) {
        w->failed++;
        return;
    }

    if (item->number < w->last_acked) {
        w->in_order = 0;
    }

    w->last_acked = item->number;
    w->acked[item->number] = 1;
}


static void
on_room(s3_log_waiter_t *waiter, int rc)
{
    writer_t *w = waiter->ctx;

    (void) rc;
    w->waiting = 0;
}


/* A few records each millisecond. */

static void
on_timer(s3_timer_t *timer)
{
    int rc;
    char key[16];
    static uint8_t data[20000];
    item_t *item;
    writer_t *w = timer->ctx;
    unsigned n = 1 + (unsigned) s3_sim_random(w->sim, 12);
    s3_record_t r;

    while (n-- && w->next < w->end && !w->waiting) {
        make(w->next, &r, key, data);

        item = &w->items[w->next - w->first];
        rc = s3_log_reserve(w->log, s3_record_size(&r), &item->place);

        if (rc == S3_OK) {
            CHECK_INT(s3_record_encode(item->place.p, s3_record_size(&r), &r,
                                       item->place.nonce),
                      S3_OK);
            item->w = w;
            item->number = w->next++;
            item->durable.done = on_durable;
            item->durable.ctx = item;
            s3_log_on_durable(w->log, &item->place, &item->durable);
            continue;
        }

        CHECK(rc == S3_AGAIN || rc == S3_EIO || rc == S3_ENOSPC);

        if (rc == S3_AGAIN) {
            w->waiting = 1;
            w->room.done = on_room;
            w->room.ctx = w;
            s3_log_wait(w->log, &w->room);
        }

        break;
    }

    if (w->next < w->end) {
        w->loop->set_timer(w->loop, &w->timer,
                           w->state ? 100 : s3_sim_random(w->sim, 2));
    }
}


static void
start(writer_t *w, s3_sim_t *sim, s3_memfs_t *m, uint32_t *next_id,
      uint8_t *acked, uint32_t first, uint32_t n)
{
    s3_log_conf_t conf;

    memset(w, 0, sizeof(*w));
    w->sim = sim;
    w->m = m;
    w->loop = s3_sim_loop(sim);
    w->next_id = next_id;
    w->acked = acked;
    w->first = first;
    w->next = first;
    w->end = first + n;
    w->in_order = 1;
    w->items = calloc(n, sizeof(item_t));

    conf = (s3_log_conf_t){.loop = w->loop,
                           .fs = s3_memfs_fs(m),
                           .segment_size = SEGMENT,
                           .first_size = S3_SEGMENT_MIN,
                           .max_buffered = 64 * 1024,
                           .hooks = &hooks,
                           .ctx = w};

    w->log = s3_log_create(&conf);
    REQUIRE(w->log);

    w->timer.handler = on_timer;
    w->timer.ctx = w;
    w->loop->set_timer(w->loop, &w->timer, 0);
}


static void
stop(writer_t *w)
{
    if (s3_log_idle(w->log)) {
        s3_log_destroy(w->log);
        CHECK_INT(w->closed, w->opened);

    } else {
        s3_sim_kill(w->loop);
        s3_log_abandon(w->log);
    }

    free(w->items);
}


/* Scans a whole drive. */

typedef struct {
    s3_fs_t *fs;
    uint8_t seen[4096];
    uint32_t records;
    uint32_t corrupt;
    uint32_t ids;
    int rc;
} sweep_t;


static int
sweep_record(void *ctx, const s3_record_t *r)
{
    char key[16];
    static uint8_t data[20000];
    sweep_t *s = ctx;
    uint32_t number = (uint32_t) r->entry.version.time;
    s3_record_t want;

    REQUIRE(number < sizeof(s->seen));
    make(number, &want, key, data);
    CHECK(s3_str_eq(r->key, want.key) && s3_str_eq(r->data, want.data));
    CHECK(r->entry.offset % 8 == 0 && r->entry.offset > S3_SEGMENT_START);

    s->seen[number]++;
    s->records++;

    return 0;
}


static int
sweep_file(void *ctx, const char *name)
{
    int rc;
    uint32_t id;
    sweep_t *s = ctx;
    s3_scan_result_t result;

    REQUIRE(s3_segment_parse_name(name, &id) == S3_OK);

    rc = s3_segment_scan(s->fs, id, 0, sweep_record, s, &result);
    CHECK(rc == S3_OK || rc == S3_EFOREIGN);
    s->corrupt += result.corrupt;
    s->ids = s3_max(s->ids, id);

    return 0;
}


static void
sweep(s3_memfs_t *m, sweep_t *s)
{
    memset(s, 0, sizeof(*s));
    s->fs = s3_memfs_fs(m);
    s->rc = s->fs->list(s->fs, "log", sweep_file, s);
    CHECK_INT(s->rc, S3_OK);
}


static void
check_acked(const sweep_t *s, const uint8_t *acked, uint32_t n)
{
    uint32_t i, missing = 0;

    for (i = 0; i < n; i++) {
        missing += acked[i] && !s->seen[i];
    }

    CHECK_INT(missing, 0);
}


static void
test_plain(void)
{
    uint8_t acked[RECORDS] = {0};
    uint32_t next_id = 1, i;
    s3_sim_t *sim = s3_sim_create(1);
    s3_memfs_t *m = s3_memfs_create(sim, 0, 1);
    sweep_t s;
    writer_t w;
    s3_log_stat_t stat;
    s3_record_t r;
    s3_segment_t seg;
    s3_file_t *f;
    item_t *item;
    void *buf;
    uint8_t *span;
    uint64_t from;
    size_t len;

    start(&w, sim, m, &next_id, acked, 0, RECORDS);
    s3_sim_run(sim);

    CHECK_INT(w.next, RECORDS);
    CHECK(w.in_order && w.opened > 2 && w.failed == 0 && w.state == 0);
    CHECK(s3_log_idle(w.log));

    s3_log_stat(w.log, &stat);
    CHECK_INT(stat.records, RECORDS);
    CHECK(stat.batches < RECORDS);

    sweep(m, &s);
    CHECK_INT(s.records, RECORDS);
    CHECK_INT(s.corrupt, 0);

    for (i = 0; i < RECORDS; i++) {
        CHECK(acked[i] && s.seen[i] == 1);
    }

    /* one record by its place, both ways */
    item = &w.items[RECORDS / 2];
    CHECK_INT(s3_segment_open(s.fs, item->place.segment, &f, &seg), S3_OK);
    CHECK(seg.nonce == item->place.nonce);
    span = malloc(SEGMENT);
    CHECK(s.fs->pread(s.fs, f, span, SEGMENT, 0) == SEGMENT);
    len = s3_record_peek_length(span + item->place.offset, 80, seg.nonce);
    CHECK(len > 0);
    CHECK_INT(s3_segment_read(s.fs, seg.id, item->place.offset, (uint32_t) len,
                              &r, &buf),
              S3_OK);
    CHECK_INT(r.entry.version.time, RECORDS / 2);
    CHECK_INT(r.entry.offset, item->place.offset);
    free(buf);
    CHECK_INT(s3_segment_read(s.fs, seg.id, item->place.offset + 8,
                              (uint32_t) len, &r, &buf),
              S3_ECORRUPT);
    CHECK_INT(s3_segment_read(s.fs, 9999, item->place.offset, (uint32_t) len,
                              &r, &buf),
              S3_ENOENT);
    len = s3_segment_span(item->place.offset, (uint32_t) len, &from);
    CHECK(from % S3_SECTOR == 0 && len % S3_SECTOR == 0);
    s.fs->close(s.fs, f);
    free(span);

    stop(&w);
    CHECK_INT(s3_memfs_open_files(m), 0);
    s3_sim_destroy(sim);
}


/* Every I/O is the last one before a power cut. */

static void
test_cuts(uint64_t seed)
{
    uint8_t acked[3 * RECORDS];
    uint64_t io, ios = UINT64_MAX;
    uint32_t next_id;
    sweep_t s;
    s3_sim_t *sim;
    s3_memfs_t *m;
    writer_t w;

    for (io = 0; io < ios; io++) {
        memset(acked, 0, sizeof(acked));
        next_id = 1;
        sim = s3_sim_create(seed + io * 7919);
        m = s3_memfs_create(sim, 0, 1);

        start(&w, sim, m, &next_id, acked, 0, RECORDS);
        s3_sim_fault_at(sim, io, S3_FAULT_STOP);
        s3_sim_run(sim);

        if (!s3_sim_stopped(sim)) {
            ios = 0;
        }

        s3_sim_kill(w.loop);
        s3_log_abandon(w.log);
        free(w.items);
        s3_memfs_crash(m);
        s3_sim_resume(sim);
        s3_sim_fault_clear(sim);

        sweep(m, &s);
        check_acked(&s, acked, RECORDS);
        CHECK_INT(s.corrupt, 0);

        /* and on, over a segment that a former life has left */
        next_id = s.ids + 1;
        start(&w, sim, m, &next_id, acked, RECORDS, 20);
        s3_sim_run(sim);
        CHECK(w.next == w.end && w.failed == 0);
        stop(&w);

        sweep(m, &s);
        check_acked(&s, acked, RECORDS + 20);
        CHECK_INT(s3_memfs_open_files(m), 0);
        s3_sim_destroy(sim);
    }
}


/* Every I/O fails in every way, and life goes on. */

static void
test_errors(uint64_t seed)
{
    uint8_t acked[RECORDS];
    uint64_t io, ios = UINT64_MAX;
    uint32_t next_id;
    unsigned fault;
    sweep_t s;
    s3_sim_t *sim;
    s3_memfs_t *m;
    writer_t w;
    static const s3_fault_t faults[] = {S3_FAULT_EIO, S3_FAULT_ENOSPC,
                                        S3_FAULT_SHORT, S3_FAULT_TORN};

    for (io = 0; io < ios; io++) {
        for (fault = 0; fault < 4; fault++) {
            memset(acked, 0, sizeof(acked));
            next_id = 1;
            sim = s3_sim_create(seed + io * 31 + fault);
            m = s3_memfs_create(sim, 0, 1);

            start(&w, sim, m, &next_id, acked, 0, RECORDS);
            s3_sim_fault_at(sim, io, faults[fault]);
            s3_sim_run(sim);

            if (s3_sim_ios(sim) <= io) {
                ios = 0;
            }

            CHECK_INT(w.next, RECORDS);
            CHECK(w.in_order);
            s3_sim_sleep(sim, 60000000);
            s3_sim_fault_clear(sim);
            stop(&w);

            /* what failed leaves no gap */
            sweep(m, &s);
            CHECK_INT(s.corrupt, 0);
            check_acked(&s, acked, RECORDS);
            CHECK_INT(s3_memfs_open_files(m), 0);
            s3_sim_destroy(sim);
        }
    }
}


/* Many rounds of death and power cuts over one drive, with two writers at a
 * time, errors and recycled segments. */

static void
test_lives(uint64_t seed)
{
    uint8_t acked[4096] = {0};
    uint32_t next_id = 1, number = 0, left;
    unsigned life;
    s3_sim_t *sim = s3_sim_create(seed);
    s3_memfs_t *m = s3_memfs_create(sim, 0, 1);
    sweep_t s;
    writer_t w[2];

    s3_sim_fault_rate(sim, -1, S3_FAULT_EIO, 2000);
    s3_sim_fault_rate(sim, -1, S3_FAULT_TORN, 2000);

    for (life = 0; life < 8; life++) {
        start(&w[0], sim, m, &next_id, acked, number, 100);
        start(&w[1], sim, m, &next_id, acked, number + 100, 100);
        number += 200;

        left = 1 + (uint32_t) s3_sim_random(sim, 1000);

        while (left-- && s3_sim_step(sim)) {
            /* void */
        }

        s3_sim_kill(w[0].loop);
        s3_log_abandon(w[0].log);
        free(w[0].items);

        if (s3_sim_random(sim, 2)) {
            s3_sim_run(sim);
        }

        s3_sim_kill(w[1].loop);
        s3_log_abandon(w[1].log);
        free(w[1].items);

        if (s3_sim_random(sim, 2)) {
            s3_memfs_crash(m);
        }

        s3_sim_fault_clear(sim);
        sweep(m, &s);
        check_acked(&s, acked, number);
        s3_sim_fault_rate(sim, -1, S3_FAULT_EIO, 2000);
        s3_sim_fault_rate(sim, -1, S3_FAULT_TORN, 2000);
    }

    s3_sim_destroy(sim);
}


static void
test_recycle(void)
{
    uint8_t acked[2 * RECORDS] = {0};
    uint32_t next_id = 1, i;
    s3_sim_t *sim = s3_sim_create(5);
    s3_memfs_t *m = s3_memfs_create(sim, 0, 1);
    sweep_t s;
    writer_t w;

    start(&w, sim, m, &next_id, acked, 0, RECORDS);
    s3_sim_run(sim);
    stop(&w);

    /* the first file, full of old batches, becomes the next new one */
    start(&w, sim, m, &next_id, acked, RECORDS, 10);
    w.recycle = 1;
    s3_sim_run(sim);
    CHECK_INT(w.recycled, 1);
    stop(&w);

    sweep(m, &s);
    CHECK_INT(s.corrupt, 0);
    CHECK(s.records < RECORDS + 10);

    for (i = RECORDS; i < RECORDS + 10; i++) {
        CHECK_INT(s.seen[i], 1);
    }

    CHECK_INT(s.seen[0], 0);
    s3_sim_destroy(sim);
}


/* Damage at rest costs the records it hits, and the scan says so. */

static void
test_rot(uint64_t seed)
{
    uint8_t acked[RECORDS] = {0};
    uint32_t next_id = 1, i, lost = 0;
    s3_sim_t *sim = s3_sim_create(seed);
    s3_memfs_t *m = s3_memfs_create(sim, 0, 1);
    sweep_t s;
    writer_t w;
    char path[S3_SEGMENT_PATH];
    s3_segment_t seg;
    s3_file_t *f;

    start(&w, sim, m, &next_id, acked, 0, RECORDS);
    s3_sim_run(sim);

    s3_segment_path(path, 1);

    /* the first copy of the header, then a bit of a record in the middle */
    CHECK_INT(s3_memfs_rot(m, path, 100, 3), S3_OK);
    CHECK_INT(w.items[2].place.segment, 1);
    CHECK_INT(s3_memfs_rot(m, path, w.items[2].place.offset + 90, 1), S3_OK);
    /* and the length of the following one */
    CHECK_INT(s3_memfs_rot(m, path, w.items[3].place.offset + 20, 1), S3_OK);

    sweep(m, &s);

    for (i = 0; i < RECORDS; i++) {
        lost += !s.seen[i];
    }

    CHECK_INT(lost, 2);
    CHECK(!s.seen[2] && !s.seen[3]);
    CHECK_INT(s.corrupt, 2);

    /* a batch header: the rest of the segment is found */
    CHECK_INT(s3_memfs_rot(m, path, w.items[0].place.batch_offset + 9, 1),
              S3_OK);
    sweep(m, &s);
    CHECK(!s.seen[0] && s.seen[RECORDS - 1]);
    CHECK(s.corrupt >= 1);

    for (i = 0, lost = 0; i < RECORDS; i++) {
        lost +=
            !s.seen[i]
            && w.items[i].place.batch_offset != w.items[0].place.batch_offset;
    }

    CHECK(lost <= 2);

    /* both copies */
    CHECK_INT(s3_memfs_rot(m, path, S3_SEGMENT_MIN - 100, 0), S3_OK);
    CHECK_INT(s3_segment_open(s.fs, 1, &f, &seg), S3_ECORRUPT);

    stop(&w);
    s3_sim_destroy(sim);
}


static void
test_full(void)
{
    uint8_t acked[RECORDS] = {0};
    uint32_t next_id = 1;
    s3_sim_t *sim = s3_sim_create(9);
    s3_memfs_t *m = s3_memfs_create(sim, 0, 1);
    sweep_t s;
    writer_t w;

    s3_memfs_set_capacity(m, SEGMENT + 1000);
    start(&w, sim, m, &next_id, acked, 0, RECORDS);
    s3_sim_sleep(sim, 5000000);

    CHECK_INT(w.state, S3_ENOSPC);
    CHECK(w.next > 0 && w.next < RECORDS);

    s3_memfs_set_capacity(m, 0);
    s3_sim_sleep(sim, 60000000);
    CHECK_INT(w.state, S3_OK);
    CHECK_INT(w.next, RECORDS);
    CHECK_INT(w.failed, 0);

    stop(&w);
    sweep(m, &s);
    CHECK_INT(s.records, RECORDS);
    s3_sim_destroy(sim);
}


static void
test_drive_away(void)
{
    uint8_t acked[RECORDS] = {0};
    uint32_t next_id = 1;
    s3_sim_t *sim = s3_sim_create(11);
    s3_memfs_t *m = s3_memfs_create(sim, 0, 1);
    sweep_t s;
    writer_t w;

    start(&w, sim, m, &next_id, acked, 0, RECORDS);

    while (w.next < 20 && s3_sim_step(sim)) {
        /* void */
    }

    s3_memfs_set_dead(m, 1);
    s3_sim_sleep(sim, 30000000);
    CHECK_INT(w.state, S3_EIO);
    CHECK(w.next < RECORDS && w.failed > 0);

    /* it gives up trying often: seconds between attempts */
    CHECK(next_id < 60);

    s3_memfs_set_dead(m, 0);
    s3_sim_sleep(sim, 60000000);
    CHECK_INT(w.state, S3_OK);
    CHECK_INT(w.next, RECORDS);

    stop(&w);
    sweep(m, &s);
    check_acked(&s, acked, RECORDS);
    s3_sim_destroy(sim);
}


static void
test_bounds(void)
{
    uint8_t acked[8] = {0};
    uint32_t next_id = 1;
    size_t room = s3_segment_room(SEGMENT);
    s3_sim_t *sim = s3_sim_create(13);
    s3_memfs_t *m = s3_memfs_create(sim, 0, 1);
    writer_t w;
    s3_log_place_t place;
    s3_log_conf_t conf;

    memset(&conf, 0, sizeof(conf));
    conf.segment_size = S3_SECTOR;
    CHECK(s3_log_create(&conf) == NULL);
    conf.segment_size = SEGMENT + 1;
    CHECK(s3_log_create(&conf) == NULL);

    start(&w, sim, m, &next_id, acked, 0, 0);
    CHECK_INT(s3_log_reserve(w.log, 200, &place), S3_AGAIN);
    s3_sim_run(sim);

    CHECK_INT(s3_log_reserve(w.log, 0, &place), S3_EINVAL);
    CHECK_INT(s3_log_reserve(w.log, room + 1, &place), S3_EINVAL);
    CHECK_INT(s3_log_reserve(w.log, SIZE_MAX, &place), S3_EINVAL);
    /* one that fills a segment, more than may be buffered; the first one that
     * was made is too small */
    CHECK_INT(s3_log_reserve(w.log, room, &place), S3_AGAIN);
    s3_sim_run(sim);
    CHECK_INT(w.closed, 1);
    CHECK_INT(s3_log_reserve(w.log, room, &place), S3_OK);
    CHECK_INT(place.offset + room, SEGMENT - S3_SECTOR);
    memset(place.p, 0x5a, room);
    CHECK_INT(s3_log_reserve(w.log, 200, &place), S3_AGAIN);
    s3_sim_run(sim);
    CHECK(s3_log_idle(w.log));

    stop(&w);
    s3_sim_destroy(sim);
}


int
main(int argc, char **argv)
{
    uint64_t seed, first = 1, last = 40;

    if (argc > 1) {
        first = last = strtoull(argv[1], NULL, 10);
    }

    test_plain();
    test_bounds();
    test_recycle();
    test_rot(3);
    test_full();
    test_drive_away();
    test_cuts(100);
    test_errors(200);

    for (seed = first; seed <= last; seed++) {
        int before = s3_test_failed;
        test_lives(seed);
        if (s3_test_failed != before) {
            fprintf(stderr, "seed %llu\n", (unsigned long long) seed);
        }
    }

    return S3_TEST_END();
}
