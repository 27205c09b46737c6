#include "t/unit/s3_test.h"
#include "t/unit/s3_nodebed.h"
#include "storage/s3_bucket.h"


/*
 * A bucket that a worker has read is not read again as long as no worker of
 * the node has changed one; and never is an old one taken for the newest.
 */

S3_TEST_KILLS


#define NAME s3_string("my-bucket")

typedef void (*call_t)(s3_bucket_op_t *op);

static bed_t b;
static s3_nodebed_t nb;
static s3_buckets_t *buckets[2];


static void
start(void)
{
    unsigned j;

    s3_nodebed_start(&nb, 0);

    for (j = 0; j < 2; j++) {
        buckets[j] = s3_buckets_create(b.store[j], b.loop[j]);
        REQUIRE(buckets[j] != NULL);
    }
}


static void
stop(void)
{
    unsigned j;

    s3_sim_sleep(b.sim, S3_NODEBED_SECOND);

    for (j = 0; j < 2; j++) {
        if (nb.node[j]) {
            s3_buckets_destroy(buckets[j]);
        }
    }

    s3_nodebed_stop(&nb, 0);
}


static void
make(uint64_t seed)
{
    s3_nodebed_init(&nb, &b, seed, 4, 2, 1024 * 1024);
    start();
}


static void
unmake(void)
{
    stop();
    s3_nodebed_free(&nb);
}


static void
finished(s3_bucket_op_t *op)
{
    *(int *) op->ctx = 1;
}


/* Of n tags, the value of the first says which they are. */

static void
begin(s3_bucket_op_t *op, unsigned worker, call_t call, int *flag,
      const char *value)
{
    static s3_bucket_tag_t tag;

    memset(op, 0, sizeof(*op));
    op->buckets = buckets[worker];
    op->name = NAME;
    op->region = s3_string("eu-central-1");
    op->done = finished;
    op->ctx = flag;

    if (value) {
        tag.key = s3_string("key");
        tag.value = s3_str(value, strlen(value));
        op->tags = &tag;
        op->n_tags = 1;
    }

    *flag = 0;
    call(op);
}


static int
make_so(unsigned worker, call_t call, const char *value)
{
    int flag;
    s3_bucket_op_t op;

    begin(&op, worker, call, &flag, value);
    REQUIRE(flag || s3_sim_until(b.sim, &flag));
    s3_bucket_release(op.bucket);

    return op.rc;
}


/* The value of its tag, "" without one; NULL: no bucket. */

static const char *
tag_of(s3_bucket_op_t *op)
{
    static char value[32];

    if (op->rc != S3_OK) {
        CHECK_INT(op->rc, S3_ENOENT);
        return NULL;
    }

    REQUIRE(op->bucket != NULL && op->bucket->n_tags <= 1);
    value[0] = '\0';

    if (op->bucket->n_tags) {
        snprintf(value, sizeof(value), "%.*s",
                 (int) op->bucket->tags[0].value.len,
                 (const char *) op->bucket->tags[0].value.data);
    }

    s3_bucket_release(op->bucket);

    return value;
}


static const char *
look(unsigned worker)
{
    int flag;
    s3_bucket_op_t op;

    begin(&op, worker, s3_bucket_get, &flag, NULL);
    REQUIRE(flag || s3_sim_until(b.sim, &flag));

    return tag_of(&op);
}


/* Whether it is known without a drive. */

static int
known(unsigned worker)
{
    unsigned i;
    int rc;
    uint32_t states[S3_MAX_DRIVES];

    for (i = 0; i < b.n; i++) {
        states[i] = nb.zone->drives[i].state;
        nb.zone->drives[i].state = S3_DRIVE_MISSING;
        b.drive[worker][i]->state = S3_DRIVE_MISSING;
    }

    rc = make_so(worker, s3_bucket_get, NULL);

    for (i = 0; i < b.n; i++) {
        nb.zone->drives[i].state = states[i];
        b.drive[worker][i]->state = S3_DRIVE_OK;
    }

    return rc == S3_OK;
}


static void
test_known(void)
{
    make(1);
    CHECK_INT(make_so(0, s3_bucket_create, NULL), S3_OK);
    s3_sim_sleep(b.sim, S3_NODEBED_SECOND);
    CHECK(!known(1));
    CHECK_STR(look(0), "");
    CHECK_STR(look(1), "");
    CHECK(known(0));
    CHECK(known(1));

    /* objects change nothing of it */
    CHECK_INT(
        bed_put(&b, 0, s3_string("k"), 0, (const uint8_t *) "abc", 3, 0, 100),
        S3_OK);
    s3_sim_sleep(b.sim, S3_NODEBED_SECOND);
    CHECK(known(0));

    /* nobody who comes new knows it */
    stop();
    start();
    CHECK(!known(0));
    CHECK_STR(look(0), "");
    s3_sim_sleep(b.sim, S3_NODEBED_SECOND);
    CHECK_STR(look(0), "");
    CHECK(known(0));
    unmake();
}


/* Changed by the other one, by itself. */

static void
test_changed(unsigned other)
{
    make(2 + other);
    CHECK_INT(make_so(0, s3_bucket_create, NULL), S3_OK);
    CHECK_STR(look(0), "");

    CHECK_INT(make_so(other, s3_bucket_set_tags, "one"), S3_OK);
    CHECK(!known(0));
    CHECK_STR(look(0), "one");
    CHECK_INT(make_so(other, s3_bucket_set_tags, "two"), S3_OK);
    CHECK_STR(look(0), "two");

    CHECK_INT(make_so(other, s3_bucket_delete, NULL), S3_OK);
    CHECK(look(0) == NULL);
    CHECK(look(0) == NULL);
    CHECK(!known(0));

    CHECK_INT(make_so(other, s3_bucket_create, NULL), S3_OK);
    CHECK_STR(look(0), "");
    CHECK_INT(make_so(0, s3_bucket_create, NULL), S3_EEXIST);
    s3_sim_sleep(b.sim, S3_NODEBED_SECOND);
    CHECK_STR(look(0), "");
    CHECK(known(0));
    unmake();
}


/* Read at any point of a change: what is read after it is new.  The change's
 * process may be killed at that point: then what was new once stays so. */

static void
test_race(call_t change, const char *was, const char *is)
{
    int changing, looking, over;
    unsigned steps, i;
    const char *got;
    s3_bucket_op_t op, get;

    for (steps = 0, over = 0; !over; steps++) {
        make(100 + steps);
        CHECK_INT(make_so(1, s3_bucket_create, NULL), S3_OK);
        CHECK_INT(make_so(1, s3_bucket_set_tags, was), S3_OK);
        CHECK_STR(look(0), was);

        begin(&op, 1, change, &changing, is);

        for (i = 0; i < steps && !changing; i++) {
            REQUIRE(s3_sim_step(b.sim));
        }

        over = changing;
        begin(&get, 0, s3_bucket_get, &looking, NULL);
        REQUIRE(changing || s3_sim_until(b.sim, &changing));
        CHECK_INT(op.rc, S3_OK);
        got = look(0);
        CHECK(got == is || (got && is && strcmp(got, is) == 0));
        REQUIRE(looking || s3_sim_until(b.sim, &looking));
        got = tag_of(&get);
        CHECK(got == is || (got && is && strcmp(got, is) == 0)
              || (!over && got && strcmp(got, was) == 0));
        got = look(0);
        CHECK(got == is || (got && is && strcmp(got, is) == 0));
        unmake();
    }

    CHECK(steps > 3);
}


static void
test_killed(void)
{
    int changing, seen, over;
    unsigned steps, i;
    const char *got;
    s3_bucket_op_t op;

    for (steps = 0, over = 0; !over; steps++) {
        make(200 + steps);
        CHECK_INT(make_so(1, s3_bucket_create, NULL), S3_OK);
        CHECK_INT(make_so(1, s3_bucket_set_tags, "old"), S3_OK);
        CHECK_STR(look(0), "old");

        begin(&op, 1, s3_bucket_set_tags, &changing, "new");

        for (i = 0; i < steps && !changing; i++) {
            REQUIRE(s3_sim_step(b.sim));
        }

        over = seen = changing;
        s3_nodebed_kill(&nb, 1);

        for (i = 0; i < 20; i++) {
            got = look(0);
            REQUIRE(got != NULL);
            CHECK(strcmp(got, "new") == 0
                  || (!seen && strcmp(got, "old") == 0));
            seen = strcmp(got, "new") == 0;
            s3_sim_sleep(b.sim, S3_NODEBED_SECOND / 10);
        }

        /* whatever it is: what is known is what a new one reads */
        CHECK(known(0));
        stop();
        start();
        CHECK_STR(look(0), seen ? "new" : "old");
        unmake();
    }

    CHECK(steps > 3);
}


int
main(void)
{
    test_known();
    test_changed(0);
    test_changed(1);
    test_race(s3_bucket_set_tags, "old", "new");
    test_race(s3_bucket_delete, "old", NULL);
    test_killed();

    return S3_TEST_END();
}
