#include <sanitizer/lsan_interface.h>

#include "t/unit/s3_upbed.h"


/* Uploads that several end at the same time, or that somebody dies over. */


/* Clocks of the processes differ by hours, in every way. */

static void
up_skew(up_t *u, uint64_t seed)
{
    unsigned i;

    for (i = 0; i < 3; i++) {
        s3_sim_skew(u->b.loop[i],
                    ((int64_t) ((seed + i) % 3) - 1) * 7200000000LL);
    }
}


/* The coordinator dies after every single step of the world; another one does
 * something to the key, and ends the upload one way or the other. */

typedef enum { UP_NOTHING, UP_PUT, UP_DELETE } up_meanwhile_t;


static int
up_die(uint64_t seed, unsigned steps, up_before_t before, int first_aborts,
       int then_aborts, int conditional, up_meanwhile_t meanwhile)
{
    int rc, over;
    up_t u;
    unsigned what, allowed, i;
    up_run_t *r;

    up_open(&u, seed, before);
    bed_delay(&u.b, seed % 2 ? 60 : 2); /* its last words come late */
    up_skew(&u, seed);

    r = malloc(sizeof(*r));
    up_init(&u, r, 0, up_load(&u, 0, UP_ID, 1));
    r->op.test = conditional ? up_if_absent : NULL;

    if (first_aborts) {
        s3_upload_abort(&r->op);

    } else {
        s3_upload_complete(&r->op);
    }

    for (i = 0; i < steps && !r->done; i++) {
        (void) s3_sim_step(u.b.sim);
    }

    over = r->done;
    s3_sim_kill(u.b.loop[0]);
    bed_delay(&u.b, 1);

    if (meanwhile == UP_PUT) {
        rc = bed_put(&u.b, 2, UP_KEY, 0, u.fresh, UP_NEW, 0, 65536);
        CHECK_INT(rc, S3_OK);

    } else if (meanwhile == UP_DELETE) {
        CHECK_INT(bed_delete(&u.b, 2, UP_KEY), S3_OK);
    }

    rc = up_finish(&u, 1, then_aborts, conditional);
    what = up_what(&u);

    allowed = meanwhile == UP_PUT      ? UP_IS_FRESH
              : meanwhile == UP_DELETE ? UP_IS_ABSENT
                                       : up_is_before(&u);

    if (!first_aborts && (meanwhile == UP_NOTHING || !then_aborts)) {
        allowed |= UP_IS_OBJECT;
    }

    if (first_aborts && !then_aborts) {
        allowed |= UP_IS_OBJECT;
    }

    /* nothing to delete then; what the dead one had sent came after it */

    if (meanwhile == UP_DELETE && up_is_before(&u) == UP_IS_ABSENT) {
        allowed |= UP_IS_OBJECT;
    }

    CHECK((what & allowed) != 0);

    if (then_aborts) {
        CHECK(rc == S3_OK || rc == S3_ENOENT);

    } else if (rc == S3_OK) {
        CHECK(what == UP_IS_OBJECT
              || (!first_aborts && meanwhile != UP_NOTHING));

    } else if (rc == S3_ENOENT && !first_aborts && meanwhile == UP_NOTHING) {
        CHECK_INT(what, UP_IS_OBJECT);

    } else {
        CHECK(rc == S3_ENOENT || (conditional && rc == S3_ECONFLICT)
              || (conditional && rc == S3_EPRECOND));
    }

    /* what is left of it can be cleared, and the object stays */

    rc = up_finish(&u, 2, 1, 0);
    CHECK(rc == S3_OK || rc == S3_ENOENT);
    up_gone(&u);
    CHECK_INT(up_what(&u), what);

    if (s3_test_failed) {
        fprintf(stderr,
                "seed %u steps %u before %u first %d then %d cond %d mean %u "
                "what %u rc %d\n",
                (unsigned) seed, steps, before, first_aborts, then_aborts,
                conditional, meanwhile, what, rc);
        exit(1);
    }

    up_close(&u);

    return over;
}


static void
test_die(int first_aborts, int then_aborts, int conditional,
         up_meanwhile_t meanwhile, up_before_t before)
{
    unsigned steps;

    /* a dead process' memory is nobody's to free */

    __lsan_disable();

    for (steps = 0; steps < 2000; steps++) {
        if (up_die(1000 + steps % 2 * 3 + steps % 3, steps, before,
                   first_aborts, then_aborts, conditional, meanwhile))
        {
            break;
        }
    }

    __lsan_enable();
    CHECK(steps > 3 && steps < 2000);
}


/* At the same time. */

typedef struct {
    unsigned complete;
    unsigned conditional; /* of them */
    unsigned abort;
    unsigned put;
    unsigned remove;
} up_mix_t;


typedef struct {
    up_t u;
    unsigned n;
    up_run_t run[4];
    s3_put_t put;
    s3_put_t removal;
    s3_writer_t *writer;
    int put_done;
    int removed;
} up_race_t;


/* Starts all of it within some milliseconds, and waits. */

static void
up_race(up_race_t *c, const up_mix_t *mix, up_before_t before, uint64_t seed)
{
    unsigned i;
    up_t *u;
    s3_object_t *uploads[4];

    memset(c, 0, sizeof(*c));
    u = &c->u;
    up_open(u, seed, before);
    bed_delay(&u->b, 1 + seed % 7);
    up_skew(u, seed);

    c->n = mix->complete + mix->abort;
    c->put_done = c->removed = 1;

    for (i = 0; i < c->n; i++) {
        uploads[i] = up_load(u, i % 3, UP_ID, 1);
        up_init(u, &c->run[i], i % 3, uploads[i]);
        c->run[i].op.test = i < mix->conditional ? up_if_absent : NULL;
    }

    if (mix->put) {
        c->writer =
            bed_write(&u->b, 2, UP_KEY, 0, u->fresh, UP_NEW, -1, 0, 65536);
        bed_init_put(&u->b, 2, &c->put, UP_KEY, S3_KIND_OBJECT);
        c->put.writer = c->writer;
        c->put.done = bed_flag_put;
        c->put.ctx = &c->put_done;
        c->put_done = 0;
    }

    if (mix->remove) {
        bed_init_put(&u->b, 1, &c->removal, UP_KEY, S3_KIND_TOMBSTONE);
        c->removal.done = bed_flag_put;
        c->removal.ctx = &c->removed;
        c->removed = 0;
    }

    for (i = 0; i < c->n; i++) {
        if (i < mix->complete) {
            s3_upload_complete(&c->run[i].op);

        } else {
            s3_upload_abort(&c->run[i].op);
        }

        s3_sim_sleep(u->b.sim, s3_sim_random(u->b.sim, 30000));
    }

    if (mix->put) {
        s3_sim_sleep(u->b.sim, s3_sim_random(u->b.sim, 30000));
        s3_store_put(&c->put);
    }

    if (mix->remove) {
        s3_sim_sleep(u->b.sim, s3_sim_random(u->b.sim, 30000));
        s3_store_put(&c->removal);
    }

    for (i = 0; i < c->n; i++) {
        (void) up_wait(u, &c->run[i]);
    }

    REQUIRE(up_flag_is(&u->b, &c->put_done));
    REQUIRE(up_flag_is(&u->b, &c->removed));

    if (c->writer) {
        s3_writer_close(c->writer);
    }
}


static void
test_race(const up_mix_t *mix, up_before_t before, uint64_t seed)
{
    int rc;
    unsigned i, what, again, made, open;
    up_race_t c;
    up_t *u;

    up_race(&c, mix, before, seed);
    u = &c.u;
    what = up_what(u);
    made = open = 0;

    CHECK(what != 0);
    CHECK(!mix->put || c.put.rc == S3_OK);
    CHECK(!mix->remove || c.removal.rc == S3_OK);

    for (i = 0; i < c.n; i++) {
        rc = c.run[i].op.rc;

        if (rc == S3_EUNAVAIL || rc == S3_EDOUBT) {
            open = 1;

        } else if (i < mix->complete) {
            made |= rc == S3_OK;
            CHECK(rc == S3_OK || rc == S3_ENOENT
                  || (i < mix->conditional
                      && (rc == S3_EPRECOND || rc == S3_ECONFLICT)));

        } else {
            CHECK(rc == S3_OK || rc == S3_ENOENT);
        }
    }

    if (made && !mix->put && !mix->remove) {
        CHECK_INT(what, UP_IS_OBJECT);
    }

    if (made) {
        CHECK(what == UP_IS_OBJECT || (mix->put && what == UP_IS_FRESH)
              || (mix->remove && what == UP_IS_ABSENT));
    }

    if (!made && !open && !mix->abort && !mix->conditional) {
        CHECK(0 && "nobody completed it");
    }

    /* where somebody gave up, somebody else goes on */

    rc = up_finish(u, 1, 0, 0);
    CHECK(rc == S3_OK || rc == S3_ENOENT);
    again = up_what(u);
    CHECK(again != 0);

    if (made) {
        CHECK_INT(again, what);
    }

    rc = up_finish(u, 1, 1, 0);
    CHECK(rc == S3_OK || rc == S3_ENOENT);
    CHECK_INT(up_what(u), again);
    up_gone(u);

    if (s3_test_failed) {
        fprintf(stderr, "seed %u before %u mix %u %u %u %u %u what %u %u:",
                (unsigned) seed, before, mix->complete, mix->conditional,
                mix->abort, mix->put, mix->remove, what, again);

        for (i = 0; i < c.n; i++) {
            fprintf(stderr, " %d", c.run[i].op.rc);
        }

        fprintf(stderr, "\n");
        exit(1);
    }

    up_close(u);
}


/* A write with a condition that comes in between was not overwritten by the
 * object: either it has followed it, or the object follows.  So with an abort
 * of another upload, which writes what is there again. */

typedef enum { UP_ONE, UP_TWO, UP_FENCE } up_follow_t;

#define UP_OTHER s3_string("fedcba9876543210fedcba9876543210")


static int
up_follow_test(s3_put_t *put, const s3_entry_t *current)
{
    up_t *u = s3_container(put->ctx, up_t, followed);

    u->sees = current && current->etag_parts == u->n_refs;

    return S3_OK;
}


static void
up_follow_put(up_t *u)
{
    s3_put_t put;
    s3_writer_t *w;

    w = bed_write(&u->b, 2, UP_KEY, 0, u->fresh, UP_NEW, -1, 0, 65536);
    bed_init_put(&u->b, 2, &put, UP_KEY, S3_KIND_OBJECT);
    put.writer = w;
    put.test = up_follow_test;
    put.done = bed_flag_put;
    put.ctx = &u->followed;
    u->followed = 0;
    s3_store_put(&put);
    REQUIRE(up_flag_is(&u->b, &u->followed));
    CHECK(put.rc == S3_OK || put.rc == S3_ECONFLICT);
    u->saw |= u->sees && put.rc == S3_OK;
    s3_writer_close(w);
}


/* Another upload of the key that somebody has begun to complete. */

static void
up_follow_open(up_t *u)
{
    uint8_t key[S3_MAX_KEY];
    s3_put_t put;
    s3_head_t head;

    up_head(u, 1, 0, UP_KEY, &head);
    s3_object_release(head.object);

    bed_init_put(&u->b, 1, &put, s3_upload_key(key, UP_KEY, UP_OTHER),
                 S3_KIND_OBJECT);
    put.bucket = BED_BUCKET + S3_SPACE_UPLOADS;
    s3_upload_set_state(&put.entry, S3_UPLOAD_COMPLETING);
    s3_put_version(put.entry.extra + 1, &head.newest);
    put.entry.extra_len = 1 + S3_VERSION_SIZE;
    CHECK_INT(bed_commit(&u->b, &put), S3_OK);
}


static void
up_follow_abort(up_t *u)
{
    up_run_t run;

    up_init(u, &run, 1, up_load(u, 1, UP_OTHER, 1));
    run.op.id = UP_OTHER;
    s3_upload_abort(&run.op);
    (void) up_wait(u, &run);
}


static int
up_follow(uint64_t seed, unsigned steps, up_before_t before, up_follow_t how)
{
    int rc, over;
    up_t u;
    unsigned i, what;
    up_run_t run;

    up_open(&u, seed, before);
    bed_delay(&u.b, 1 + seed % 3);
    up_skew(&u, seed);

    if (how == UP_FENCE) {
        up_follow_open(&u);
    }

    up_init(&u, &run, 0, up_load(&u, 0, UP_ID, 1));
    s3_upload_complete(&run.op);

    for (i = 0; i < steps && !run.done; i++) {
        (void) s3_sim_step(u.b.sim);
    }

    over = run.done;

    if (how == UP_FENCE) {
        up_follow_abort(&u);

    } else {
        up_follow_put(&u);

        if (how == UP_TWO) {
            up_follow_put(&u);
        }
    }

    rc = up_wait(&u, &run);

    if (rc != S3_OK) {
        CHECK(rc == S3_EUNAVAIL || rc == S3_EDOUBT);
        rc = up_finish(&u, 1, 0, 0);
        CHECK(rc == S3_OK || rc == S3_ENOENT);
    }

    what = up_what(&u);
    CHECK_INT(what, u.saw ? UP_IS_FRESH : UP_IS_OBJECT);

    if (s3_test_failed) {
        fprintf(stderr, "seed %u steps %u before %u how %u what %u rc %d\n",
                (unsigned) seed, steps, before, how, what, rc);
        exit(1);
    }

    up_close(&u);

    return over;
}


static void
test_follow(up_before_t before, up_follow_t how)
{
    unsigned steps;

    for (steps = 0; steps < 2000; steps++) {
        if (up_follow(1 + steps % 5, steps, before, how)) {
            break;
        }
    }

    CHECK(steps > 3 && steps < 2000);
}


int
main(void)
{
    unsigned i, a, seed;
    static const up_mix_t mixes[] = {
        {2, 0, 0, 0, 0}, {3, 0, 0, 0, 0}, {2, 1, 0, 0, 0}, {2, 2, 0, 0, 0},
        {1, 0, 1, 0, 0}, {2, 0, 1, 0, 0}, {1, 1, 1, 0, 0}, {1, 0, 2, 0, 0},
        {1, 0, 0, 1, 0}, {2, 0, 0, 1, 0}, {1, 1, 0, 1, 0}, {2, 1, 0, 1, 0},
        {1, 0, 0, 0, 1}, {2, 0, 0, 0, 1}, {2, 1, 0, 0, 1}, {1, 0, 1, 1, 0},
        {2, 0, 1, 1, 1}, {2, 1, 2, 1, 1}};

    for (i = 0; i < UP_BEFORE; i++) {
        test_die(0, 0, 0, UP_NOTHING, i);
        test_die(0, 1, 0, UP_NOTHING, i);
        test_die(1, 1, 0, UP_NOTHING, i);
        test_die(1, 0, 0, UP_NOTHING, i);
        test_die(0, 0, 1, UP_NOTHING, i);

        for (a = 0; a < 2; a++) {
            test_die(0, (int) a, 0, UP_PUT, i);
            test_die(0, (int) a, 0, UP_DELETE, i);
        }
    }

    for (i = UP_ONE; i <= UP_FENCE; i++) {
        test_follow(i == UP_TWO ? UP_DELETED : UP_LARGE, (up_follow_t) i);
        test_follow(UP_ABSENT, (up_follow_t) i);
    }

    for (i = 0; i < sizeof(mixes) / sizeof(mixes[0]); i++) {
        for (seed = 1; seed <= 40; seed++) {
            test_race(&mixes[i], (up_before_t) (seed % UP_BEFORE), seed);
        }
    }

    return S3_TEST_END();
}
