#include "t/unit/s3_test.h"
#include "t/sim/s3_testbed.h"
#include "storage/s3_commit.h"


S3_TEST_KILLS


static s3_entry_t
entry(uint32_t voters, uint32_t holders, uint8_t need)
{
    s3_entry_t e;

    memset(&e, 0, sizeof(e));
    e.kind = S3_KIND_OBJECT;
    e.voters = voters;
    e.holders = holders;
    e.need = need;

    return e;
}


static void
test_predicates(void)
{
    unsigned i;
    s3_entry_t e;
    bed_t b;
    static const struct {
        unsigned n, m, w, r;
    } table[] = {{1, 0, 1, 1}, {2, 1, 2, 1}, {3, 1, 2, 2}, {4, 2, 3, 2},
                 {5, 2, 3, 3}, {6, 3, 4, 3}, {8, 4, 5, 4}, {4, 1, 3, 2},
                 {4, 0, 4, 1}, {5, 1, 4, 2}};

    for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        bed_open(&b, 1, table[i].n, table[i].m, 0, 1);
        CHECK_INT(b.store[0]->w, table[i].w);
        CHECK_INT(b.store[0]->r, table[i].r);
        bed_close(&b);
    }

    /* n 3, k 2: W is 2, data needs three */

    bed_open(&b, 1, 3, 1, 1, 1);
    e = entry(7, 7, 2);
    CHECK(!s3_committed(b.store[0], &e, 3));
    CHECK(s3_committed(b.store[0], &e, 7));
    CHECK(!s3_possible(b.store[0], &e, 1));
    CHECK(s3_possible(b.store[0], &e, 0));
    CHECK(s3_readable(&e, 6));
    CHECK(!s3_readable(&e, 4));

    /* voters 0 and 2 only: the other's YES does not count, nor its NO */

    e = entry(5, 5, 1);
    CHECK(!s3_committed(b.store[0], &e, 3));
    CHECK(s3_committed(b.store[0], &e, 5));
    CHECK(s3_possible(b.store[0], &e, 2));
    CHECK(!s3_possible(b.store[0], &e, 1));

    /* no data, no parity */

    e = entry(7, 0, 0);
    CHECK(s3_committed(b.store[0], &e, 6));
    CHECK_INT(s3_need(&e), 0);
    e = entry(7, 7, 3);
    CHECK_INT(s3_need(&e), 3);
    bed_close(&b);
}


/* Two writers at once on one condition. */

typedef struct {
    bed_t *b;
    s3_put_t put;
    uint32_t expect;
    int flag;
} race_t;


static uint32_t
tag(const s3_entry_t *e)
{
    return e ? s3_get32(e->etag) : 0;
}


static int
race_test(s3_put_t *put, const s3_entry_t *current)
{
    race_t *r = put->ctx;

    return tag(current) == r->expect ? S3_OK : S3_EPRECOND;
}


/* Who is told that nothing was written: no drive has it any more, or more of
 * them than may be lost know that it is dead. */

static void
race_refused(race_t *r)
{
    unsigned i, d, dead;
    const s3_entry_t *e, *x;

    for (i = 0; i < r->b->n; i++) {
        e = s3_mock_newest(r->b->mock[i], BED_BUCKET, r->put.key);

        if (e == NULL || e->kind != S3_KIND_OBJECT || e->flags & S3_F_CONFIRMED
            || tag(e) != tag(&r->put.entry))
        {
            continue;
        }

        for (d = 0, dead = 0; d < r->b->n; d++) {
            x = s3_mock_entry(r->b->mock[d], BED_BUCKET, r->put.key,
                              &e->version);
            dead += x && x->kind == S3_KIND_DEAD;
        }

        CHECK(dead > r->b->m);
    }
}


static void
race_done(s3_put_t *put)
{
    race_t *r = put->ctx;

    r->flag = 1;

    if (put->rc != S3_OK && put->rc != S3_EDOUBT) {
        race_refused(r);
    }
}


static void
race_start(bed_t *b, unsigned store, race_t *r, uint32_t expect, uint32_t value)
{
    memset(r, 0, sizeof(*r));
    r->b = b;
    bed_init_put(b, store, &r->put, s3_string("race"), S3_KIND_OBJECT);
    s3_put32(r->put.entry.etag, value);
    r->expect = expect;
    r->put.test = race_test;
    r->put.done = race_done;
    r->put.ctx = r;
    s3_store_put(&r->put);
}


static void
test_race(unsigned n, unsigned m, int lose, uint64_t seed)
{
    unsigned i, round, wins, won, none;
    uint32_t now;
    race_t r[3];
    s3_object_t *object;
    bed_t b;

    bed_open(&b, seed, n, m, m, 3);
    bed_delay(&b, 8);
    now = 0;
    none = 0;

    for (round = 0; round < 40; round++) {
        if (lose) {
            bed_down(&b, round % 3 ? 1u << round % n : 0);
        }

        for (i = 0; i < 3; i++) {
            race_start(&b, i, &r[i], now, 3 * round + i + 1);
        }

        wins = won = 0;

        for (i = 0; i < 3; i++) {
            if (!r[i].flag) {
                REQUIRE(s3_sim_until(b.sim, &r[i].flag));
            }

            CHECK(r[i].put.rc == S3_OK || r[i].put.rc == S3_EPRECOND
                  || r[i].put.rc == S3_ECONFLICT || r[i].put.rc == S3_EUNAVAIL
                  || (lose && r[i].put.rc == S3_EDOUBT));

            if (r[i].put.rc == S3_OK) {
                wins++;
                won = i;
            }
        }

        CHECK(wins <= 1);

        if (!lose) {
            CHECK(wins == 1
                  || (r[0].put.rc == S3_ECONFLICT || r[1].put.rc == S3_ECONFLICT
                      || r[2].put.rc == S3_ECONFLICT));
        }

        bed_down(&b, 0);

        CHECK_INT(bed_head(&b, round % 3, s3_string("race"), &object),
                  now || wins ? S3_OK : S3_ENOENT);

        if (object == NULL) {
            continue;
        }

        if (wins) {
            CHECK_INT(tag(&object->entry), 3 * round + won + 1);

        } else {
            none++;
            CHECK(lose || tag(&object->entry) == now);
        }

        now = tag(&object->entry);
        s3_object_release(object);
    }

    CHECK(none < 20);
    bed_close(&b);
}


/* A coordinator dies after any number of events; what the others then read,
 * they all read, and go on reading. */

static void
test_death(unsigned n, unsigned m, unsigned kind, uint64_t seed)
{
    int rc, first;
    unsigned us, i, d, old;
    size_t len;
    uint32_t value;
    uint8_t *data;
    s3_put_t put;
    s3_writer_t *w;
    s3_object_t *object;
    bed_t b;
    static const size_t sizes[] = {100, 20000, 300000, 0};
    unsigned saw_old, saw_new;

    saw_old = saw_new = 0;

    for (us = 0; us < 40000; us += 700) {
        bed_open(&b, seed + us, n, m, m, 3);
        bed_delay(&b, 6);
        len = sizes[kind % 4];
        data = bed_data(len, us);

        CHECK_INT(
            bed_put(&b, 1, s3_string("dead"), 0, (uint8_t *) "old", 3, 0, 3),
            S3_OK);

        /* the flag of a dead coordinator is never set: not waited for */

        w = NULL;
        bed_init_put(&b, 0, &put, s3_string("dead"),
                     kind == 3 ? S3_KIND_TOMBSTONE : S3_KIND_OBJECT);

        if (kind != 3) {
            w = bed_write(&b, 0, s3_string("dead"), 0, data, len, -1, 0, 9999);
            put.writer = w;
        }

        int flag = 0;
        put.done = bed_flag_put;
        put.ctx = &flag;

        for (i = 0; i < n; i++) {
            s3_mock_knobs(b.mock[i])->lost = us % 1400 ? 400000 : 0;
        }

        s3_store_put(&put);
        s3_sim_sleep(b.sim, us);
        s3_sim_kill(b.loop[0]);

        for (i = 0; i < n; i++) {
            s3_mock_knobs(b.mock[i])->lost = 0;
        }

        if (us % 1400 == 0) {
            d = (unsigned) s3_sim_random(b.sim, n);
            bed_state(&b, d, S3_DRIVE_MISSING);
        }

        first = 1;
        old = 0;

        for (i = 0; i < 6; i++) {
            rc = bed_head(&b, 1 + i % 2, s3_string("dead"), &object);

            if (i == 3) {
                bed_down(&b, 0);
                s3_sim_sleep(b.sim, 100000);
            }

            if (rc == S3_EUNAVAIL) {
                CHECK(i <= 3);
                continue;
            }

            CHECK(rc == S3_OK || (kind == 3 && rc == S3_ENOENT));
            value = rc == S3_OK ? object->entry.size != 3 || kind == 3 : 1;

            if (kind == 3) {
                value = rc == S3_ENOENT;
            }

            if (flag) {
                CHECK_INT(value, 1); /* it was acknowledged */
            }

            /* once it was seen, it stays; the old one may become the new one
             * as long as the dead one's votes are on their way */

            if (!first && !old) {
                CHECK_INT(value, 1);
            }

            first = 0;
            old = value == 0;

            if (rc == S3_OK) {
                s3_object_release(object);
            }
        }

        saw_old += old;
        saw_new += !old;

        rc = bed_get(&b, 1, s3_string("dead"), old ? (uint8_t *) "old" : data,
                     old ? 3 : len);
        CHECK_INT(rc, !old && kind == 3 ? S3_ENOENT : S3_OK);

        /* whatever became of it, it is over: others write and read */

        CHECK_INT(
            bed_put(&b, 2, s3_string("dead"), 0, (uint8_t *) "next", 4, 0, 4),
            S3_OK);
        CHECK_INT(bed_get(&b, 1, s3_string("dead"), (uint8_t *) "next", 4),
                  S3_OK);
        free(data);
    }

    CHECK(saw_old > 0);
    CHECK(saw_new > 0);
}


/* Drives that hang do not keep an answer; what they missed is put down first. */

static void
test_straggler(void)
{
    unsigned i, d, notes;
    bed_t b;

    bed_open(&b, 8, 4, 2, 2, 2);

    for (d = 0; d < 4; d++) {
        s3_mock_knobs(b.mock[d])->hung = 1;
        CHECK_INT(bed_put(&b, 0, s3_string("s"), 0, (uint8_t *) "abc", 3, 0, 3),
                  S3_OK);

        for (i = 0, notes = 0; i < 4; i++) {
            notes += s3_mock_notes(b.mock[i]);
        }

        CHECK(notes >= 2);
        CHECK_INT(bed_get(&b, 1, s3_string("s"), (uint8_t *) "abc", 3), S3_OK);
        s3_mock_unhang(b.mock[d]);
        s3_sim_run(b.sim);
        s3_store_heal(b.store[0], 1);
        s3_sim_sleep(b.sim, 20000000);
        s3_store_heal(b.store[0], 0);

        for (i = 0; i < 4; i++) {
            CHECK_INT(s3_mock_notes(b.mock[i]), 0);
        }
    }

    /* too many: in doubt, and nothing is promised */

    s3_mock_knobs(b.mock[0])->hung = 1;
    s3_mock_knobs(b.mock[1])->hung = 1;
    CHECK_INT(bed_put(&b, 0, s3_string("t"), 0, (uint8_t *) "abc", 3, 0, 3),
              S3_EDOUBT);
    bed_close(&b);
}


static void
shut_done(s3_shut_t *shut)
{
    *(int *) shut->ctx = 1;
}


/* A writer dies before what has missed its version is noted; who settles it
 * notes that before it is confirmed anywhere. */

static int settled_flag;


static void
settled(s3_settle_t *st)
{
    (void) st;
    settled_flag = 1;
}


/* 1: all is well. */

static int
settled_noted(bed_t *b, const s3_version_t *version, int large)
{
    unsigned i, notes, confirmed;
    const s3_entry_t *e;

    for (i = 0, notes = 0, confirmed = 0; i < 4; i++) {
        e = s3_mock_entry(b->mock[i], BED_BUCKET, s3_string("k"), version);
        confirmed += e && e->flags & S3_F_CONFIRMED;
        notes += s3_mock_notes(b->mock[i]) != 0;
        large |= i == 3 && (e == NULL || e->kind != S3_KIND_OBJECT);
    }

    return !confirmed || !large || notes > 1;
}


static int
settled_after(unsigned steps, int large)
{
    int over, flag;
    unsigned i;
    s3_version_t version;
    const s3_entry_t *e;
    s3_writer_t *w;
    s3_put_t put;
    uint8_t *data;
    bed_t b;

    bed_open(&b, 5 + steps % 3, 4, 2, 2, 2);
    bed_delay(&b, 4);
    flag = 0;
    w = NULL;
    data = bed_data(300000, 1);
    bed_init_put(&b, 0, &put, s3_string("k"), S3_KIND_OBJECT);
    put.done = bed_flag_put;
    put.ctx = &flag;

    if (large) {
        s3_mock_knobs(b.mock[3])->nospace = 1;
        w = bed_write(&b, 0, put.key, 0, data, 300000, -1, 0, 65536);
        s3_mock_knobs(b.mock[3])->nospace = 0;
        REQUIRE(w->rc == S3_OK);
        put.writer = w;

    } else {
        s3_mock_knobs(b.mock[3])->lost = 1000000;
    }

    s3_store_put(&put);

    for (i = 0; i < steps && !flag; i++) {
        (void) s3_sim_step(b.sim);
    }

    over = flag;
    s3_sim_kill(b.loop[0]);
    s3_mock_knobs(b.mock[3])->lost = 0;
    e = s3_mock_newest(b.mock[0], BED_BUCKET, s3_string("k"));

    if (e && e->kind == S3_KIND_OBJECT) {
        version = e->version;
        settled_flag = 0;
        REQUIRE(s3_settle_start(b.store[1], BED_BUCKET, s3_string("k"),
                                &version, NULL, S3_SETTLE_READ, settled, NULL)
                == S3_OK);

        while (s3_sim_step(b.sim)) {
            CHECK(settled_noted(&b, &version, large));
        }

        CHECK(settled_flag);
    }

    free(data);
    s3_sim_run(b.sim);

    return over;
}


static void
test_settled(int large)
{
    unsigned steps;

    for (steps = 0; steps < 300 && !settled_after(steps, large); steps++) {
        /* void */
    }

    CHECK(steps > 5 && steps < 300);
}


static void
test_close(void)
{
    int flag;
    s3_put_t put;
    s3_shut_t shut;
    bed_t b;

    bed_open(&b, 8, 4, 2, 2, 2);
    bed_delay(&b, 3);
    flag = 0;
    memset(&shut, 0, sizeof(shut));
    shut.store = b.store[0];
    shut.bucket = BED_BUCKET;
    shut.generation = 3;
    shut.done = shut_done;
    shut.ctx = &flag;
    bed_down(&b, 3); /* R of them are enough */
    s3_store_close_bucket(&shut);
    REQUIRE(flag || s3_sim_until(b.sim, &flag));
    CHECK_INT(shut.rc, S3_OK);
    bed_down(&b, 0);

    bed_init_put(&b, 1, &put, s3_string("x"), S3_KIND_OBJECT);
    put.generation = 3;
    CHECK_INT(bed_commit(&b, &put), S3_ESTALE);

    bed_init_put(&b, 1, &put, s3_string("x"), S3_KIND_OBJECT);
    put.generation = 4;
    CHECK_INT(bed_commit(&b, &put), S3_OK);

    bed_down(&b, 7);
    flag = 0;
    s3_store_close_bucket(&shut);
    REQUIRE(flag || s3_sim_until(b.sim, &flag));
    CHECK_INT(shut.rc, S3_EUNAVAIL);
    bed_close(&b);
}


/* A deletion of nothing writes nothing. */

static void
test_delete_absent(void)
{
    unsigned d;
    bed_t b;

    bed_open(&b, 8, 4, 2, 2, 1);
    CHECK_INT(bed_delete(&b, 0, s3_string("gone")), S3_OK);

    for (d = 0; d < 4; d++) {
        CHECK(s3_mock_newest(b.mock[d], BED_BUCKET, s3_string("gone")) == NULL);
    }

    CHECK_INT(bed_put(&b, 0, s3_string("gone"), 0, (uint8_t *) "1", 1, 0, 1),
              S3_OK);
    CHECK_INT(bed_delete(&b, 0, s3_string("gone")), S3_OK);
    CHECK_INT(bed_get(&b, 0, s3_string("gone"), NULL, 0), S3_ENOENT);
    CHECK_INT(s3_mock_collect(b.mock, 4, BED_BUCKET, s3_string("gone"), 5), 1);
    CHECK_INT(bed_get(&b, 0, s3_string("gone"), NULL, 0), S3_ENOENT);

    /* above the floor, over half a collected tombstone */

    CHECK_INT(bed_put(&b, 0, s3_string("gone"), 0, (uint8_t *) "2", 1, 0, 1),
              S3_OK);
    CHECK_INT(bed_get(&b, 0, s3_string("gone"), (uint8_t *) "2", 1), S3_OK);

    /* no key, overlong key */

    CHECK_INT(bed_delete(&b, 0, s3_null_str), S3_EINVAL);
    bed_close(&b);
}


/* A drive that is being refilled is no voter and its answers do not count. */

static void
test_refilling(void)
{
    unsigned i, d;
    char name[16];
    s3_str_t key;
    bed_t b;

    for (d = 0; d < 4; d++) {
        bed_open(&b, 8, 4, 2, 2, 1);

        /* keys are found by their bucket */
        CHECK_INT(bed_put_bucket(&b), S3_OK);

        for (i = 0; i < 20; i++) {
            key = s3_str(name, (size_t) snprintf(name, 16, "k%u", i));
            bed_down(&b, 1u << (d + 1) % 4);
            CHECK_INT(bed_put(&b, 0, key, 0, (uint8_t *) name, key.len, 0, 9),
                      S3_OK);
        }

        bed_down(&b, 0);
        s3_mock_wipe(b.mock[d]);
        bed_state(&b, d, S3_DRIVE_REFILLING);

        for (i = 0; i < 20; i++) {
            key = s3_str(name, (size_t) snprintf(name, 16, "k%u", i));
            CHECK_INT(bed_get(&b, 0, key, (uint8_t *) name, key.len), S3_OK);
        }

        CHECK_INT(bed_put(&b, 0, s3_string("new"), 0, (uint8_t *) "x", 1, 0, 1),
                  S3_OK);
        s3_store_heal(b.store[0], 1);
        s3_sim_sleep(b.sim, 30000000);
        s3_store_heal(b.store[0], 0);
        CHECK(s3_mock_newest(b.mock[d], BED_BUCKET, s3_string("new")) != NULL);
        bed_close(&b);
    }
}


/* Two that expected nothing: the older one went to drives 0 and 2, the newer one
 * to drive 1, and drive 2 is lost, which would decide both. */

static void
rival_done(s3_req_t *req)
{
    (void) req; /* the mock drive answers at once */
}


static void
rival_vote(bed_t *b, uint64_t time, unsigned drive)
{
    s3_record_t rec;
    s3_vote_t vote;

    memset(&rec, 0, sizeof(rec));
    rec.bucket = BED_BUCKET;
    rec.key = s3_string("k");
    rec.conditional = 1;
    rec.entry = entry(7, 0, 0);
    rec.entry.version.time = time;

    memset(&vote, 0, sizeof(vote));
    vote.record = &rec;
    vote.req.done = rival_done;
    b->drive[0][drive]->ops->vote(b->drive[0][drive], &vote);
    CHECK_INT(vote.req.answer, S3_ANSWER_YES);
}


static void
rival_settled(s3_settle_t *st)
{
    *(int *) st->ctx = st->rc;
}


static int
rival_settle(bed_t *b, uint64_t time)
{
    int rc = 1;
    s3_version_t v = {time, 0, 0};

    REQUIRE(s3_settle_start(b->store[0], BED_BUCKET, s3_string("k"), &v, NULL,
                            0, rival_settled, &rc)
            == S3_OK);
    s3_sim_sleep(b->sim, 1000000);

    return rc;
}


static void
test_rivals(int confirmed)
{
    s3_mark_t mark;
    bed_t b;

    bed_open(&b, 9, 3, 1, 2, 1);
    rival_vote(&b, 1000, 0);
    rival_vote(&b, 1000, 2);
    rival_vote(&b, 2000, 1);

    if (confirmed) {
        memset(&mark, 0, sizeof(mark));
        mark.bucket = BED_BUCKET;
        mark.key = s3_string("k");
        mark.version.time = 1000;
        mark.req.done = rival_done;
        b.drive[0][0]->ops->confirm(b.drive[0][0], &mark);
        CHECK_INT(mark.req.answer, S3_ANSWER_YES);
    }

    s3_mock_wipe(b.mock[2]);
    bed_state(&b, 2, S3_DRIVE_REFILLING);

    if (confirmed) {
        /* its client was told so, perhaps, and that of the other one not */
        CHECK_INT(rival_settle(&b, 2000), S3_ENOENT);
        CHECK_INT(rival_settle(&b, 1000), S3_OK);

    } else {
        /* the newer one first, whoever is asked for */
        CHECK_INT(rival_settle(&b, 1000), S3_OK);
        CHECK(s3_mock_newest(b.mock[1], BED_BUCKET, s3_string("k"))->flags
              & S3_F_CONFIRMED);
        CHECK_INT(rival_settle(&b, 2000), S3_OK);
    }

    bed_close(&b);
}


int
main(void)
{
    unsigned i;

    test_predicates();
    test_delete_absent();
    test_close();
    test_straggler();
    test_settled(0);
    test_settled(1);
    test_refilling();
    test_rivals(0);
    test_rivals(1);

    for (i = 0; i < 4; i++) {
        test_race(3, 1, 0, 100 + i);
        test_race(4, 2, 0, 200 + i);
        test_race(4, 2, 1, 300 + i);
        test_race(5, 2, 1, 400 + i);
        test_death(3, 1, i, 500);
        test_death(4, 2, i, 600);
    }

    return S3_TEST_END();
}
