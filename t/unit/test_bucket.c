#include <sanitizer/lsan_interface.h>

#include "storage/s3_bucket.h"
#include "t/unit/s3_test.h"
#include "t/sim/s3_testbed.h"


#define BK_NAME s3_string("my-bucket")

typedef struct {
    bed_t b;
    s3_buckets_t *buckets[3];
} bk_t;

typedef void (*bk_call_t)(s3_bucket_op_t *op);


static void
bk_open(bk_t *k, uint64_t seed, unsigned delay)
{
    unsigned i;

    bed_open(&k->b, seed, 3, 1, 1, 3);
    bed_delay(&k->b, delay);

    for (i = 0; i < 3; i++) {
        k->buckets[i] = s3_buckets_create(k->b.store[i], k->b.loop[i]);
        REQUIRE(k->buckets[i] != NULL);
    }
}


static void
bk_close(bk_t *k)
{
    unsigned i;

    s3_sim_run(k->b.sim);

    for (i = 0; i < 3; i++) {
        s3_buckets_destroy(k->buckets[i]);
    }

    bed_close(&k->b);
}


static void
bk_done(s3_bucket_op_t *op)
{
    *(int *) op->ctx = 1;
}


static void
bk_init(bk_t *k, s3_bucket_op_t *op, unsigned store, int *flag)
{
    memset(op, 0, sizeof(*op));
    op->buckets = k->buckets[store];
    op->name = BK_NAME;
    op->region = s3_string("eu-central-1");
    op->done = bk_done;
    op->ctx = flag;
    *flag = 0;
}


static void
bk_wait(bk_t *k, int *flag)
{
    REQUIRE(*flag || s3_sim_until(k->b.sim, flag));
}


/* The bucket is given back where `out` is. */

static int
bk_do(bk_t *k, unsigned store, bk_call_t call, s3_bucket_t **out)
{
    int flag;
    s3_bucket_op_t op;

    bk_init(k, &op, store, &flag);
    call(&op);
    bk_wait(k, &flag);

    if (out) {
        *out = op.bucket;

    } else {
        s3_bucket_release(op.bucket);
    }

    return op.rc;
}


static int
bk_tags(bk_t *k, unsigned store, const s3_bucket_tag_t *tags, unsigned n)
{
    int flag;
    s3_bucket_op_t op;

    bk_init(k, &op, store, &flag);
    op.tags = tags;
    op.n_tags = n;
    s3_bucket_set_tags(&op);
    bk_wait(k, &flag);
    CHECK(op.bucket == NULL);

    return op.rc;
}


static int
bk_put(bk_t *k, unsigned store, const s3_bucket_t *bucket, unsigned space,
       s3_str_t key, s3_kind_t kind, int blob)
{
    int rc;
    uint8_t *data;
    s3_put_t put;
    s3_writer_t *w;

    bed_init_put(&k->b, store, &put, key, kind);
    put.bucket = bucket->id + space;
    put.generation = bucket->generation;
    w = NULL;

    if (blob) {
        data = bed_data(5000, 1);
        w = bed_write(&k->b, store, key, 0, data, 5000, -1, S3_WRITER_BLOB,
                      4000);
        free(data);
        put.writer = w;
    }

    rc = bed_commit(&k->b, &put);

    if (w) {
        s3_writer_close(w);
    }

    return rc;
}


static int
bk_count_item(s3_list_t *list, s3_str_t key, const s3_entry_t *entry)
{
    (void) key;
    CHECK(entry != NULL);
    (*(int *) list->ctx) += 2;

    return 0;
}


static void
bk_count_done(s3_list_t *list)
{
    *(int *) list->ctx |= 1;
}


static unsigned
bk_count(bk_t *k, unsigned store, uint64_t bucket)
{
    int n;
    s3_list_t list;

    n = 0;
    memset(&list, 0, sizeof(list));
    list.store = k->b.store[store];
    list.bucket = bucket;
    list.max = 1000;
    list.item = bk_count_item;
    list.done = bk_count_done;
    list.ctx = &n;
    s3_store_list(&list);

    while (!(n & 1)) {
        REQUIRE(s3_sim_step(k->b.sim));
    }

    REQUIRE(list.rc == S3_OK);

    return (unsigned) n >> 1;
}


static unsigned
bk_blobs(bk_t *k)
{
    unsigned i, n;

    s3_sim_run(k->b.sim);

    for (i = 0, n = 0; i < k->b.n; i++) {
        n += s3_mock_blobs(k->b.mock[i]);
    }

    return n;
}


static void
test_life(unsigned delay)
{
    bk_t k;
    uint64_t id;
    s3_bucket_t *bucket, *again;

    bk_open(&k, 1, delay);
    CHECK_INT(bk_do(&k, 0, s3_bucket_get, NULL), S3_ENOENT);
    CHECK_INT(bk_do(&k, 0, s3_bucket_delete, NULL), S3_ENOENT);
    CHECK_INT(bk_tags(&k, 0, NULL, 0), S3_ENOENT);
    CHECK_INT(bk_count(&k, 0, S3_BUCKET_BUCKETS), 0);

    CHECK_INT(bk_do(&k, 0, s3_bucket_create, &bucket), S3_OK);
    REQUIRE(bucket != NULL);
    id = bucket->id;
    CHECK(id >= S3_BUCKET_FIRST && (id & 3) == 0 && id >> 62 == 0);
    CHECK_INT(bucket->generation, 1);
    CHECK_INT(bucket->state, S3_BUCKET_ACTIVE);
    CHECK(s3_str_eq(bucket->name, BK_NAME));
    CHECK(s3_str_eq(bucket->region, s3_string("eu-central-1")));
    CHECK_INT(bk_count(&k, 1, S3_BUCKET_BUCKETS), 1);

    /* the same for the process that made it, and for another one */

    CHECK_INT(bk_do(&k, 0, s3_bucket_get, &again), S3_OK);
    CHECK(again == bucket);
    s3_bucket_release(again);
    CHECK_INT(bk_do(&k, 1, s3_bucket_get, &again), S3_OK);
    CHECK(again != bucket && again->id == id);
    CHECK_INT(again->created, bucket->created);
    CHECK(s3_str_eq(again->region, bucket->region));
    CHECK(s3_version_cmp(&again->version, &bucket->version) == 0);
    s3_bucket_release(again);

    CHECK_INT(bk_do(&k, 1, s3_bucket_create, &again), S3_EEXIST);
    REQUIRE(again != NULL);
    CHECK(again->id == id);
    s3_bucket_release(again);

    CHECK_INT(bk_do(&k, 1, s3_bucket_delete, NULL), S3_OK);
    CHECK_INT(bk_do(&k, 0, s3_bucket_get, NULL), S3_ENOENT);
    CHECK_INT(bk_count(&k, 1, S3_BUCKET_BUCKETS), 0);

    /* a new one is another one; nobody writes into the old */

    CHECK_INT(bk_do(&k, 2, s3_bucket_create, &again), S3_OK);
    CHECK(again->id != id);
    CHECK_INT(bk_put(&k, 0, bucket, 0, s3_string("o"), S3_KIND_OBJECT, 0),
              S3_ESTALE);
    CHECK_INT(bk_put(&k, 0, bucket, S3_SPACE_UPLOADS, s3_string("o"),
                     S3_KIND_OBJECT, 0),
              S3_ESTALE);
    CHECK_INT(bk_put(&k, 0, bucket, S3_SPACE_PARTS, s3_string("o"),
                     S3_KIND_OBJECT, 1),
              S3_ESTALE);
    CHECK_INT(bk_put(&k, 0, again, 0, s3_string("o"), S3_KIND_OBJECT, 0),
              S3_OK);
    CHECK_INT(bk_count(&k, 1, again->id), 1);
    CHECK_INT(bk_count(&k, 1, id), 0);
    CHECK_INT(bk_blobs(&k), 0);
    s3_bucket_release(again);
    s3_bucket_release(bucket);
    bk_close(&k);
}


static void
test_not_empty(unsigned delay)
{
    bk_t k;
    s3_bucket_t *bucket, *again;

    bk_open(&k, 2, delay);
    CHECK_INT(bk_do(&k, 0, s3_bucket_create, &bucket), S3_OK);
    CHECK_INT(bk_put(&k, 0, bucket, 0, s3_string("o"), S3_KIND_OBJECT, 1),
              S3_OK);
    CHECK_INT(bk_do(&k, 1, s3_bucket_delete, NULL), S3_EEXIST);

    /* found before anything was closed: nothing has changed */

    CHECK_INT(bk_do(&k, 0, s3_bucket_get, &again), S3_OK);
    CHECK_INT(again->state, S3_BUCKET_ACTIVE);
    CHECK_INT(again->generation, 1);
    s3_bucket_release(again);

    CHECK_INT(bk_put(&k, 0, bucket, 0, s3_string("o"), S3_KIND_TOMBSTONE, 0),
              S3_OK);
    CHECK_INT(bk_do(&k, 1, s3_bucket_delete, NULL), S3_OK);
    CHECK_INT(bk_blobs(&k), 0);
    s3_bucket_release(bucket);
    bk_close(&k);
}


static void
test_tags(unsigned delay)
{
    bk_t k;
    unsigned i;
    s3_bucket_t *bucket, *again;
    s3_bucket_tag_t tags[S3_BUCKET_TAGS_MAX + 1];

    for (i = 0; i <= S3_BUCKET_TAGS_MAX; i++) {
        tags[i].key = s3_string("\xc3\xa4 \"key\"\\");
        tags[i].value = i % 2 ? s3_null_str : s3_string("a\nvalue%s");
    }

    bk_open(&k, 3, delay);
    CHECK_INT(bk_do(&k, 0, s3_bucket_create, &bucket), S3_OK);
    CHECK_INT(bk_tags(&k, 0, tags, 2), S3_OK);

    /* what is held does not change, what is cached is not used */

    CHECK_INT(bucket->n_tags, 0);
    CHECK_INT(bk_do(&k, 0, s3_bucket_get, &again), S3_OK);
    CHECK_INT(again->n_tags, 2);
    CHECK(again->id == bucket->id && again->generation == bucket->generation);
    CHECK(s3_str_eq(again->region, bucket->region));
    CHECK_INT(again->created, bucket->created);
    CHECK(s3_str_eq(again->tags[0].key, tags[0].key));
    CHECK(s3_str_eq(again->tags[0].value, tags[0].value));
    CHECK_INT(again->tags[1].value.len, 0);
    s3_bucket_release(again);

    CHECK_INT(bk_tags(&k, 1, tags, S3_BUCKET_TAGS_MAX), S3_OK);
    CHECK_INT(bk_tags(&k, 1, tags, S3_BUCKET_TAGS_MAX + 1), S3_EINVAL);
    CHECK_INT(bk_do(&k, 2, s3_bucket_get, &again), S3_OK);
    CHECK_INT(again->n_tags, S3_BUCKET_TAGS_MAX);
    s3_bucket_release(again);

    CHECK_INT(bk_tags(&k, 1, NULL, 0), S3_OK);
    CHECK_INT(bk_do(&k, 0, s3_bucket_get, &again), S3_OK);
    CHECK_INT(again->n_tags, 0);
    s3_bucket_release(again);
    CHECK_INT(bk_do(&k, 0, s3_bucket_delete, NULL), S3_OK);
    CHECK_INT(bk_tags(&k, 1, tags, 1), S3_ENOENT);
    s3_bucket_release(bucket);
    bk_close(&k);
}


/* Open uploads do not count, and go with their data. */

static void
bk_fill(bk_t *k, const s3_bucket_t *bucket, unsigned n)
{
    char name[32];
    unsigned i;
    s3_str_t key;

    for (i = 0; i < n; i++) {
        key = s3_str(name, (size_t) snprintf(name, sizeof(name), "k%u", i));
        REQUIRE(bk_put(k, 0, bucket, S3_SPACE_UPLOADS, key, S3_KIND_OBJECT, 0)
                == S3_OK);
        REQUIRE(bk_put(k, 0, bucket, S3_SPACE_PARTS, key, S3_KIND_OBJECT, 1)
                == S3_OK);
    }
}


static void
test_purge(unsigned delay)
{
    bk_t k;
    s3_bucket_t *bucket;

    bk_open(&k, 4, delay);
    CHECK_INT(bk_do(&k, 0, s3_bucket_create, &bucket), S3_OK);
    bk_fill(&k, bucket, 40);
    CHECK(bk_blobs(&k) > 0);
    CHECK_INT(bk_do(&k, 1, s3_bucket_delete, NULL), S3_OK);
    CHECK_INT(bk_count(&k, 0, bucket->id + S3_SPACE_UPLOADS), 0);
    CHECK_INT(bk_count(&k, 0, bucket->id + S3_SPACE_PARTS), 0);
    CHECK_INT(bk_blobs(&k), 0);
    s3_bucket_release(bucket);
    bk_close(&k);
}


/* A record that is none is an error, not a crash. */

static void
test_bad_record(void)
{
    bk_t k;
    unsigned i;
    s3_put_t put;
    static const char *const bad[] = {
        "",
        "{}",
        "[1]",
        "{\"id\":1024,\"generation\":1,\"state\":7,\"created\":1}",
        "{\"id\":1025,\"generation\":1,\"state\":1,\"created\":1}",
        "{\"id\":4,\"generation\":1,\"state\":1,\"created\":1}",
        "{\"id\":\"1024\",\"generation\":1,\"state\":1,\"created\":1}"};

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        bk_open(&k, 5, 0);
        bed_init_put(&k.b, 0, &put, BK_NAME, S3_KIND_OBJECT);
        put.bucket = S3_BUCKET_BUCKETS;
        put.meta = s3_str(bad[i], strlen(bad[i]));
        CHECK_INT(bed_commit(&k.b, &put), S3_OK);
        CHECK_INT(bk_do(&k, 0, s3_bucket_get, NULL), S3_ECORRUPT);
        CHECK_INT(bk_do(&k, 0, s3_bucket_create, NULL), S3_ECORRUPT);
        CHECK_INT(bk_do(&k, 0, s3_bucket_delete, NULL), S3_ECORRUPT);
        bk_close(&k);
    }
}


/* Two at once. */

static void
test_race(uint64_t seed)
{
    int flag[3], stored;
    bk_t k;
    unsigned i, n;
    s3_bucket_op_t op[3];
    s3_bucket_t *bucket, *again;
    s3_put_t put;

    bk_open(&k, seed, 1 + seed % 6);

    /* create and create: one of them, and both know which */

    for (i = 0; i < 2; i++) {
        bk_init(&k, &op[i], i, &flag[i]);
        s3_bucket_create(&op[i]);
        s3_sim_sleep(k.b.sim, s3_sim_random(k.b.sim, 20000));
    }

    bk_wait(&k, &flag[0]);
    bk_wait(&k, &flag[1]);
    n = (op[0].rc == S3_OK) + (op[1].rc == S3_OK);
    CHECK_INT(n, 1);
    CHECK(op[0].rc == S3_EEXIST || op[1].rc == S3_EEXIST);
    REQUIRE(op[0].bucket && op[1].bucket);
    CHECK(op[0].bucket->id == op[1].bucket->id);
    s3_bucket_release(op[1].bucket);
    bucket = op[0].bucket;

    /* delete, delete and a PUT: what is acknowledged is never lost */

    bk_init(&k, &op[0], 0, &flag[0]);
    bk_init(&k, &op[1], 1, &flag[1]);
    s3_bucket_delete(&op[0]);
    s3_sim_sleep(k.b.sim, s3_sim_random(k.b.sim, 30000));

    if (seed % 2) {
        s3_bucket_delete(&op[1]);

    } else {
        flag[1] = 1;
        op[1].rc = S3_ECONFLICT;
    }

    s3_sim_sleep(k.b.sim, s3_sim_random(k.b.sim, 30000));
    bed_init_put(&k.b, 2, &put, s3_string("o"), S3_KIND_OBJECT);
    put.bucket = bucket->id;
    put.generation = bucket->generation;
    put.done = bed_flag_put;
    put.ctx = &flag[2];
    flag[2] = 0;
    s3_store_put(&put);

    for (i = 0; i < 3; i++) {
        bk_wait(&k, &flag[i]);
    }

    stored = put.rc == S3_OK;
    CHECK(stored || put.rc == S3_ESTALE || put.rc == S3_EDOUBT);

    if (stored) {
        CHECK(op[0].rc != S3_OK && op[1].rc != S3_OK);
        CHECK_INT(bk_count(&k, 2, bucket->id), 1);
        CHECK_INT(bk_do(&k, 2, s3_bucket_get, &again), S3_OK);
        CHECK(again->id == bucket->id);
        s3_bucket_release(again);
    }

    /* whatever state it is in, the next one goes on */

    i = (unsigned) bk_do(&k, 2, s3_bucket_delete, NULL);
    CHECK((int) i == (stored ? S3_EEXIST : S3_ENOENT) || (!stored && i == 0)
          || (put.rc == S3_EDOUBT && (int) i == S3_EEXIST));

    if (stored) {
        CHECK_INT(bk_do(&k, 2, s3_bucket_get, &again), S3_OK);
        CHECK_INT(again->state, S3_BUCKET_ACTIVE);
        CHECK_INT(bk_put(&k, 1, again, 0, s3_string("p"), S3_KIND_OBJECT, 0),
                  S3_OK);
        s3_bucket_release(again);
    }

    if (s3_test_failed) {
        fprintf(stderr, "seed %u: %d %d put %d then %d\n", (unsigned) seed,
                op[0].rc, op[1].rc, put.rc, (int) i);
        exit(1);
    }

    s3_bucket_release(bucket);
    bk_close(&k);
}


/* The process dies after every step of a deletion; another goes on. */

static int
bk_die(unsigned steps, bk_call_t call, int full)
{
    int *flag, over, rc, exists, retries = 0;
    bk_t k;
    unsigned i;
    s3_bucket_t *bucket, *again;
    s3_bucket_op_t *op;

    bk_open(&k, 100 + steps % 3, 2);
    bucket = NULL;

    if (call == s3_bucket_delete) {
        CHECK_INT(bk_do(&k, 1, s3_bucket_create, &bucket), S3_OK);
        bk_fill(&k, bucket, 2);

        if (full) {
            CHECK_INT(
                bk_put(&k, 1, bucket, 0, s3_string("o"), S3_KIND_OBJECT, 0),
                S3_OK);
        }

        s3_sim_run(k.b.sim);
    }

    op = malloc(sizeof(*op));
    flag = malloc(sizeof(*flag));
    bk_init(&k, op, 0, flag);
    call(op);

    for (i = 0; i < steps && !*flag; i++) {
        (void) s3_sim_step(k.b.sim);
    }

    over = *flag;
    s3_sim_kill(k.b.loop[0]);

    if (call == s3_bucket_create) {
        i = (unsigned) bk_do(&k, 1, s3_bucket_create, &again);
        CHECK((int) i == S3_OK || (int) i == S3_EEXIST);
        s3_bucket_release(again);
        CHECK_INT(bk_do(&k, 2, s3_bucket_get, &bucket), S3_OK);
        CHECK_INT(bk_put(&k, 2, bucket, 0, s3_string("o"), S3_KIND_OBJECT, 0),
                  S3_OK);

    } else {
        exists = bk_do(&k, 2, s3_bucket_get, NULL);

        /* a write of the dead one may still come in between */

        do {
            rc = bk_do(&k, 1, s3_bucket_delete, NULL);
        } while (rc == S3_ECONFLICT && retries++ < 5);

        CHECK(rc == (full ? S3_EEXIST : exists)
              || (rc == S3_ENOENT && !full && retries));
    }

    if (full) {
        CHECK_INT(bk_count(&k, 1, bucket->id), 1);
        CHECK_INT(bk_do(&k, 2, s3_bucket_get, &again), S3_OK);
        CHECK_INT(bk_put(&k, 2, again, 0, s3_string("p"), S3_KIND_OBJECT, 0),
                  S3_OK);

    } else if (call == s3_bucket_delete) {
        CHECK_INT(bk_do(&k, 2, s3_bucket_get, NULL), S3_ENOENT);
        CHECK_INT(bk_count(&k, 1, bucket->id + S3_SPACE_PARTS), 0);
        CHECK_INT(bk_count(&k, 1, bucket->id + S3_SPACE_UPLOADS), 0);
        CHECK_INT(bk_do(&k, 2, s3_bucket_create, &again), S3_OK);
        CHECK(again->id != bucket->id);
        CHECK_INT(bk_put(&k, 1, bucket, 0, s3_string("o"), S3_KIND_OBJECT, 0),
                  S3_ESTALE);
    }

    if (s3_test_failed) {
        fprintf(stderr, "died after %u steps, full %d\n", steps, full);
        exit(1);
    }

    bk_close(&k);

    return over;
}


static void
test_die(bk_call_t call, int full)
{
    unsigned steps;

    /* a dead process' memory is nobody's to free */

    __lsan_disable();

    for (steps = 0; steps < 3000 && !bk_die(steps, call, full); steps++) {
        /* void */
    }

    __lsan_enable();
    CHECK(steps > 3 && steps < 3000);
}


int
main(void)
{
    unsigned seed;

    test_life(0);
    test_life(3);
    test_not_empty(0);
    test_not_empty(3);
    test_tags(0);
    test_tags(3);
    test_purge(0);
    test_purge(2);
    test_bad_record();

    for (seed = 1; seed <= 300; seed++) {
        test_race(seed);
    }

    test_die(s3_bucket_create, 0);
    test_die(s3_bucket_delete, 0);
    test_die(s3_bucket_delete, 1);

    return S3_TEST_END();
}
