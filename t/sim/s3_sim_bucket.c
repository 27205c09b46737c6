/*
 * A bucket that is made, used, removed and made again, and the way to its keys:
 * as the server goes it, through what each process remembers of buckets.
 *
 * Which of the buckets of that name one is tells its region, "v1", "v2", and so
 * on.  What an operation sees is that of one bucket: a key of it when it is
 * gone, or of its predecessor, fits nowhere in the history (s3_history.h).
 */

#include "t/sim/s3_sim.h"

static unsigned made; /* numbers given to buckets */


static uint32_t
number_of(const s3_bucket_t *bucket)
{
    size_t i;
    uint32_t n = 0;

    for (i = 1; i < bucket->region.len; i++) {
        n = 10 * n + (bucket->region.data[i] - '0');
    }

    if (n == 0 || n > made) {
        sim_fail("a bucket that nobody made: %u", n);
    }

    return n;
}


void
sim_buckets_reset(void)
{
    made = 0;
}


static void
home_of(sim_home_t *home, s3_bucket_t *bucket)
{
    home->id = bucket->id;
    home->generation = bucket->generation;
    home->number = number_of(bucket);
    home->half = bucket->state != S3_BUCKET_ACTIVE;
    s3_bucket_release(bucket);
}


/* The bucket of a client's key. */

static void
on_get(s3_bucket_op_t *op)
{
    sim_client_t *c = op->ctx;

    if (op->rc == S3_OK) {
        home_of(&c->home, op->bucket);
    }

    c->housed(c, op->rc);
}


static s3_bucket_op_t *
operation(s3_bucket_op_t *op, unsigned p, void (*done)(s3_bucket_op_t *op),
          void *ctx)
{
    memset(op, 0, sizeof(*op));
    op->buckets = sim_w.proc[p]->buckets;
    op->name = SIM_SHORT;
    op->done = done;
    op->ctx = ctx;

    return op;
}


void
sim_client_home(sim_client_t *c, unsigned key,
                void (*housed)(sim_client_t *c, int rc))
{
    memset(&c->home, 0, sizeof(c->home));
    c->housed = housed;

    if (key < SIM_KEYS) {
        c->home.id = SIM_BUCKET;
        c->home.number = HIST_SAME;
        housed(c, S3_OK);
        return;
    }

    s3_bucket_get(operation(&c->bucket, c->proc, on_get, c));
}


/* Making and removing it. */

static void
on_made(s3_bucket_op_t *op)
{
    sim_client_t *c = op->ctx;
    hist_event_t *e = sim_event(SIM_KEYS, c->event);
    uint32_t number;

    sim_say("client %u: bucket %u: made: %d", c->id, e->value, op->rc);

    if (op->bucket) {
        number = number_of(op->bucket);

        if (op->rc == S3_OK && number != e->value) {
            sim_fail("bucket %u was made, not %u", number, e->value);
        }

        e->value = number;
        s3_bucket_release(op->bucket);
    }

    sim_end(SIM_KEYS, c->event, op->rc);
    sim_client_rest(c);
}


static void
on_dropped(s3_bucket_op_t *op)
{
    sim_client_t *c = op->ctx;

    sim_say("client %u: the bucket is removed: %d", c->id, op->rc);
    sim_end(SIM_KEYS, c->event, op->rc);
    sim_client_rest(c);
}


void
sim_bucket_make(sim_client_t *c)
{
    hist_event_t *e;

    c->event = sim_begin(SIM_KEYS, HIST_MAKE, c->id);
    e = sim_event(SIM_KEYS, c->event);
    e->value = ++made;
    (void) operation(&c->bucket, c->proc, on_made, c);
    c->bucket.region =
        s3_str(c->region, (size_t) snprintf(c->region, sizeof(c->region), "v%u",
                                            e->value));
    s3_bucket_create(&c->bucket);
}


void
sim_bucket_drop(sim_client_t *c)
{
    c->event = sim_begin(SIM_KEYS, HIST_DROP, c->id);
    s3_bucket_delete(operation(&c->bucket, c->proc, on_dropped, c));
}


/* What is left of uploads in a bucket may only be gone if it was being removed:
 * asked when they were found missing. */

static void
on_verified(s3_bucket_op_t *op)
{
    sim_client_t *c = op->ctx;

    if (op->rc == S3_OK) {
        if (op->bucket->state == S3_BUCKET_ACTIVE
            && number_of(op->bucket) == c->home.number)
        {
            sim_fail("bucket %u lost an upload, or parts of it",
                     c->home.number);
        }

        s3_bucket_release(op->bucket);
    }

    c->housed(c, S3_ENOENT);
}


void
sim_bucket_verify(sim_client_t *c, void (*verified)(sim_client_t *c, int rc))
{
    c->housed = verified;
    s3_bucket_get(operation(&c->bucket, c->proc, on_verified, c));
}


/* By the end. */

static void
flag_done(s3_bucket_op_t *op)
{
    *(int *) op->ctx = 1;
}


int
sim_home_now(unsigned p, unsigned key, sim_home_t *home)
{
    int flag = 0;
    static s3_bucket_op_t op;

    memset(home, 0, sizeof(*home));

    if (key < SIM_KEYS) {
        home->id = SIM_BUCKET;
        home->number = HIST_SAME;
        return S3_OK;
    }

    s3_bucket_get(operation(&op, p, flag_done, &flag));

    if (!sim_wait(&flag, "a bucket")) {
        return S3_EBUSY;
    }

    if (op.rc == S3_OK) {
        home_of(home, op.bucket);
    }

    return op.rc;
}


static void
put_done(s3_put_t *put)
{
    *(int *) put->ctx = 1;
}


static int
remove_now(unsigned p, unsigned key)
{
    int rc, event, flag = 0;
    sim_home_t home;
    static s3_put_t put;

    event = sim_begin(key, HIST_DELETE, SIM_CLIENTS + p);
    rc = sim_home_now(p, key, &home);

    if (rc == S3_OK) {
        sim_event(key, event)->bucket = home.number;
        memset(&put, 0, sizeof(put));
        put.store = sim_w.proc[p]->store;
        put.bucket = home.id;
        put.generation = home.generation;
        put.key = sim_key(key);
        put.entry.kind = S3_KIND_TOMBSTONE;
        put.done = put_done;
        put.ctx = &flag;
        s3_store_put(&put);
        rc = sim_wait(&flag, "a deletion") ? put.rc : S3_EBUSY;
    }

    sim_end(key, event, rc);

    return rc;
}


static int
drop_now(unsigned p)
{
    int event, flag = 0;
    static s3_bucket_op_t op;

    event = sim_begin(SIM_KEYS, HIST_DROP, SIM_CLIENTS + p);
    s3_bucket_delete(operation(&op, p, flag_done, &flag));

    if (!sim_wait(&flag, "the removal of a bucket")) {
        return S3_EBUSY;
    }

    sim_end(SIM_KEYS, event, op.rc);

    return op.rc;
}


/* Nothing can be written to it until then. */

void
sim_bucket_settle(void)
{
    unsigned tries;
    sim_home_t home;

    for (tries = 0; tries < 40; tries++) {
        if (sim_home_now(0, SIM_KEYS, &home) != S3_OK || !home.half) {
            return;
        }

        (void) drop_now(0);
        sim_run(SIM_SECOND / 2);
    }

    sim_fail("the bucket stays half removed");
}


void
sim_bucket_end(void)
{
    int rc = S3_OK;
    unsigned k, p, tries;

    if (sim_chance(2)) {
        return;
    }

    for (tries = 0; tries < 10 && !sim_failures; tries++) {
        p = sim_chance(sim_w.n_procs);
        rc = drop_now(p);

        if (rc == S3_OK || rc == S3_ENOENT) {
            return;
        }

        for (k = SIM_KEYS; k < SIM_ALL_KEYS; k++) {
            (void) remove_now(p, k);
        }

        sim_run(SIM_SECOND / 2);
    }

    if (!sim_failures) {
        sim_fail("the bucket cannot be removed: %s", s3_strerror(rc));
    }
}
