#include <sanitizer/lsan_interface.h>

#include "storage/s3_upload.h"
#include "t/unit/s3_test.h"
#include "t/sim/s3_testbed.h"


#define UP_PARTS 3
#define UP_KEY s3_string("dir/object")
#define UP_ID s3_string("0123456789abcdef0123456789abcdef")

/* What is at the key before. */

typedef enum {
    UP_ABSENT = 0,
    UP_SMALL,
    UP_LARGE,
    UP_DELETED,
    UP_BEFORE
} up_before_t;

#define UP_OLD_SMALL 900
#define UP_OLD_LARGE 300000
#define UP_NEW 777

typedef struct {
    bed_t b;
    up_before_t before;
    s3_ref_t refs[UP_PARTS + 1];
    unsigned n_refs;
    uint8_t *whole; /* of the parts together */
    size_t size;
    uint8_t *old;
    size_t old_size;
    uint8_t *fresh; /* what an overwriting client puts */
    int followed;   /* its conditional put is done, */
    int sees;       /* of the object, */
    int saw;        /* which one has replaced */
} up_t;


static const size_t up_sizes[UP_PARTS] = {5000, 140000, 77};


static int
up_flag_is(bed_t *b, int *flag)
{
    return *flag || s3_sim_until(b->sim, flag);
}


static void
up_part(up_t *u, unsigned store, unsigned number, const uint8_t *data,
        size_t len, s3_ref_t *ref)
{
    uint8_t key[S3_MAX_KEY];
    s3_put_t put;
    s3_writer_t *w;

    w = bed_write(&u->b, store, UP_KEY, 0, data, len, -1, S3_WRITER_BLOB,
                  60000);
    REQUIRE(w->rc == S3_OK);
    *ref = w->ref;

    bed_init_put(&u->b, store, &put,
                 s3_upload_part_key(key, UP_KEY, UP_ID, number,
                                    (const uint8_t *) "tag tag "),
                 S3_KIND_OBJECT);
    put.bucket = BED_BUCKET + S3_SPACE_PARTS;
    put.writer = w;
    REQUIRE(s3_upload_part_set(&put.entry, ref, s3_string("digest")) == S3_OK);
    CHECK_INT(bed_commit(&u->b, &put), S3_OK);
    s3_writer_close(w);
}


static void
up_open(up_t *u, uint64_t seed, up_before_t before)
{
    uint8_t key[S3_MAX_KEY];
    size_t at;
    unsigned i;
    s3_put_t put;

    memset(u, 0, sizeof(*u));
    bed_open(&u->b, seed, 3, 1, 1, 4);
    u->before = before;

    for (i = 0; i < UP_PARTS; i++) {
        u->size += up_sizes[i];
    }

    u->whole = bed_data(u->size, 5);
    u->old_size = before == UP_LARGE ? UP_OLD_LARGE : UP_OLD_SMALL;
    u->old = bed_data(u->old_size, 6);
    u->fresh = bed_data(UP_NEW, 7);

    if (before != UP_ABSENT) {
        CHECK_INT(bed_put(&u->b, 0, UP_KEY, 0, u->old, u->old_size, 0, 65536),
                  S3_OK);
    }

    if (before == UP_DELETED) {
        CHECK_INT(bed_delete(&u->b, 0, UP_KEY), S3_OK);
    }

    bed_init_put(&u->b, 0, &put, s3_upload_key(key, UP_KEY, UP_ID),
                 S3_KIND_OBJECT);
    put.bucket = BED_BUCKET + S3_SPACE_UPLOADS;
    put.meta = s3_string("of the upload");
    s3_upload_set_state(&put.entry, S3_UPLOAD_OPEN);
    CHECK_INT(bed_commit(&u->b, &put), S3_OK);

    for (i = 0, at = 0; i < UP_PARTS; at += up_sizes[i++]) {
        up_part(u, 0, i + 1, u->whole + at, up_sizes[i], &u->refs[i]);
    }

    u->n_refs = UP_PARTS;
    s3_sim_run(u->b.sim);
}


static void
up_close(up_t *u)
{
    bed_close(&u->b);
    free(u->whole);
    free(u->old);
    free(u->fresh);
}


static s3_object_t *
up_load(up_t *u, unsigned store, int want)
{
    int flag;
    uint8_t key[S3_MAX_KEY];
    s3_head_t head;

    flag = 0;
    memset(&head, 0, sizeof(head));
    head.store = u->b.store[store];
    head.bucket = BED_BUCKET + S3_SPACE_UPLOADS;
    head.key = s3_upload_key(key, UP_KEY, UP_ID);
    head.done = bed_flag_head;
    head.ctx = &flag;
    s3_store_head(&head);
    REQUIRE(up_flag_is(&u->b, &flag));

    if (want) {
        REQUIRE(head.rc == S3_OK);
    }

    return head.object;
}


typedef struct {
    s3_upload_op_t op;
    int done;
} up_run_t;


static void
up_done(s3_upload_op_t *op)
{
    ((up_run_t *) op->ctx)->done = 1;
}


static int
up_if_absent(s3_upload_op_t *op, const s3_entry_t *current)
{
    (void) op;

    return current ? S3_EPRECOND : S3_OK;
}


/* Takes the reference. */

static void
up_init(up_t *u, up_run_t *r, unsigned store, s3_object_t *upload)
{
    memset(r, 0, sizeof(*r));
    r->op.store = u->b.store[store];
    r->op.bucket = BED_BUCKET;
    r->op.key = UP_KEY;
    r->op.id = UP_ID;
    r->op.upload = upload;
    r->op.entry.kind = S3_KIND_OBJECT;
    r->op.entry.mtime = 1234;
    r->op.entry.etag_parts = u->n_refs;
    r->op.meta = s3_string("of the object");
    r->op.refs = u->refs;
    r->op.n_refs = u->n_refs;
    r->op.done = up_done;
    r->op.ctx = r;
}


static int
up_wait(up_t *u, up_run_t *r)
{
    REQUIRE(up_flag_is(&u->b, &r->done));
    s3_object_release(r->op.upload);
    r->op.upload = NULL;

    return r->op.rc;
}


/* To the end: what leaves the outcome open is asked again. */

static int
up_finish(up_t *u, unsigned store, int abort, int conditional)
{
    int rc;
    unsigned i;
    up_run_t r;
    s3_object_t *upload;

    for (i = 0; i < 20; i++) {
        upload = up_load(u, store, 0);

        if (upload == NULL) {
            return S3_ENOENT;
        }

        up_init(u, &r, store, upload);
        r.op.test = conditional ? up_if_absent : NULL;

        if (abort) {
            s3_upload_abort(&r.op);

        } else {
            s3_upload_complete(&r.op);
        }

        rc = up_wait(u, &r);

        if (rc != S3_EUNAVAIL && rc != S3_EDOUBT) {
            return rc;
        }

        s3_sim_sleep(u->b.sim, 100000);
    }

    return rc;
}


#define UP_IS_OBJECT 1
#define UP_IS_OLD 2
#define UP_IS_FRESH 4
#define UP_IS_ABSENT 8

/* What is at the key, whole, with every drive away in turn; 0: lost. */

static unsigned
up_what(up_t *u)
{
    int rc;
    unsigned i, what;

    s3_sim_run(u->b.sim);
    what = 0;

    for (i = 0; i <= u->b.n; i++) {
        bed_down(&u->b, i < u->b.n ? 1u << i : 0);

        rc = bed_get(&u->b, 3, UP_KEY, u->whole, u->size);

        if (rc == S3_ENOENT) {
            what |= UP_IS_ABSENT;

        } else if (rc == S3_OK) {
            what |= UP_IS_OBJECT;

        } else if (bed_get(&u->b, 3, UP_KEY, u->old, u->old_size) == S3_OK) {
            what |= UP_IS_OLD;

        } else if (bed_get(&u->b, 3, UP_KEY, u->fresh, UP_NEW) == S3_OK) {
            what |= UP_IS_FRESH;

        } else {
            bed_down(&u->b, 0);
            return 0;
        }
    }

    return __builtin_popcount(what) == 1 ? what : 0;
}


static unsigned
up_is_before(up_t *u)
{
    return u->before == UP_SMALL || u->before == UP_LARGE ? UP_IS_OLD
                                                          : UP_IS_ABSENT;
}


static int
up_count(s3_list_t *list, s3_str_t key, const s3_entry_t *entry)
{
    (void) key;
    (void) entry;
    (*(unsigned *) list->ctx)++;

    return 0;
}


static int up_listed;


static void
up_list_done(s3_list_t *list)
{
    (void) list;
    up_listed = 1;
}


static unsigned
up_left(up_t *u, unsigned space)
{
    unsigned n;
    s3_list_t list;

    n = 0;
    up_listed = 0;
    memset(&list, 0, sizeof(list));
    list.store = u->b.store[3];
    list.bucket = BED_BUCKET + space;
    list.max = 1000;
    list.item = up_count;
    list.done = up_list_done;
    list.ctx = &n;
    s3_store_list(&list);
    REQUIRE(up_flag_is(&u->b, &up_listed));
    REQUIRE(list.rc == S3_OK);

    return n;
}


static unsigned
up_blobs(up_t *u)
{
    unsigned i, n;

    s3_sim_run(u->b.sim);

    for (i = 0, n = 0; i < u->b.n; i++) {
        n += s3_mock_blobs(u->b.mock[i]);
    }

    return n;
}


static void
up_gone(up_t *u)
{
    CHECK_INT(up_left(u, S3_SPACE_PARTS), 0);
    CHECK_INT(up_left(u, S3_SPACE_UPLOADS), 0);
}


/* Nothing leaked: with the object, every blob goes. */

static void
up_no_leak(up_t *u)
{
    s3_sim_run(u->b.sim);
    CHECK_INT(bed_delete(&u->b, 3, UP_KEY), S3_OK);
    CHECK_INT(up_blobs(u), 0);
}


/* Keys and entries. */

static void
test_keys(void)
{
    uint8_t buf[S3_MAX_KEY];
    unsigned i;
    s3_ref_t ref, got;
    s3_str_t s, key, id, digest;
    s3_entry_t e;

    s = s3_upload_key(buf, s3_string("a/b"), UP_ID);
    CHECK_INT(s.len, 3 + 1 + 32);
    CHECK_INT(s3_upload_split(s, &key, &id), S3_OK);
    CHECK(s3_str_eq(key, s3_string("a/b")) && s3_str_eq(id, UP_ID));

    for (i = 0; i < 34; i++) {
        CHECK_INT(s3_upload_split(s3_str(buf, i), &key, &id), S3_EINVAL);
    }

    buf[3] = 'x';
    CHECK_INT(s3_upload_split(s3_str(buf, 36), &key, &id), S3_EINVAL);

    for (i = 1; i <= 10000; i += 37) {
        s = s3_upload_part_key(buf, s3_string("a/b"), UP_ID, i,
                               (const uint8_t *) "\0\0\0\0\0\0\0");
        CHECK_INT(s.len, 3 + 1 + 32 + 1 + 2 + S3_UPLOAD_TAG_LEN);
        CHECK_INT(s3_upload_part_number(s), i);
    }

    CHECK_INT(s3_upload_part_number(s3_str(buf, s.len - 1)), 0);
    CHECK_INT(s3_upload_part_number(s3_str(buf, 5)), 0);
    CHECK_INT(s3_upload_part_number(s3_null_str), 0);

    s = s3_upload_part_key(buf, s3_string("k"), UP_ID, 9, NULL);
    CHECK_INT(s3_upload_part_number(s), 9);

    memset(&e, 0, sizeof(e));
    CHECK_INT(s3_upload_state(&e), 0);
    s3_upload_set_state(&e, S3_UPLOAD_COMPLETING);
    CHECK_INT(s3_upload_state(&e), S3_UPLOAD_COMPLETING);
    e.extra[0] = 9;
    CHECK_INT(s3_upload_state(&e), 0);
    e.extra[0] = S3_UPLOAD_OPEN;
    e.extra_len = 2;
    CHECK_INT(s3_upload_state(&e), 0);

    memset(&ref, 0, sizeof(ref));
    memcpy(ref.id, "0123456789abcdef", 16);
    ref.size = 77;
    ref.mask = 7;
    ref.slot = 12;
    ref.k = 2;
    CHECK_INT(s3_upload_part_set(&e, &ref, s3_string("sum")), S3_OK);
    CHECK_INT(s3_upload_part_get(&e, &got, &digest), S3_OK);
    CHECK(memcmp(ref.id, got.id, 16) == 0 && got.size == 77 && got.mask == 7);
    CHECK(s3_str_eq(digest, s3_string("sum")));
    e.extra[31] = 1;
    CHECK_INT(s3_upload_part_get(&e, &got, &digest), S3_ECORRUPT);
    e.extra_len = S3_REF_SIZE - 1;
    CHECK_INT(s3_upload_part_get(&e, &got, &digest), S3_ECORRUPT);
    CHECK_INT(s3_upload_part_set(&e, &ref, s3_str(buf, 41)), S3_EINVAL);
    CHECK_INT(s3_upload_part_set(&e, &ref, s3_str(buf, 40)), S3_OK);

    memset(&ref, 0, sizeof(ref));
    CHECK_INT(s3_upload_part_set(&e, &ref, s3_null_str), S3_OK);
    CHECK_INT(s3_upload_part_get(&e, &got, &digest), S3_OK);
    CHECK(got.size == 0 && got.k == 0 && digest.len == 0);
}


/* One after the other, nobody dies. */

static void
test_plain(unsigned delay)
{
    up_t u;
    up_run_t r;
    unsigned before;
    s3_object_t *upload, *object;

    for (before = 0; before < UP_BEFORE; before++) {
        up_open(&u, 1 + before, before);
        bed_delay(&u.b, delay);

        upload = up_load(&u, 0, 1);
        upload->refs++;
        CHECK_INT(up_finish(&u, 0, 0, 0), S3_OK);
        CHECK_INT(up_what(&u), UP_IS_OBJECT);
        up_gone(&u);

        CHECK_INT(bed_head(&u.b, 0, UP_KEY, &object), S3_OK);
        CHECK(s3_str_eq(object->record.meta, s3_string("of the object")));
        CHECK_INT(object->entry.etag_parts, UP_PARTS);
        CHECK_INT(object->entry.mtime, 1234);
        s3_object_release(object);

        /* somebody still has the record of before */

        up_init(&u, &r, 1, upload);
        s3_upload_complete(&r.op);
        CHECK_INT(r.done ? r.op.rc : up_wait(&u, &r), S3_ENOENT);

        if (r.op.upload) {
            s3_object_release(r.op.upload);
        }

        up_init(&u, &r, 1, upload);
        s3_upload_abort(&r.op);
        CHECK_INT(up_wait(&u, &r), S3_ENOENT);
        CHECK_INT(up_what(&u), UP_IS_OBJECT);
        up_no_leak(&u);
        up_close(&u);

        up_open(&u, 1 + before, before);
        bed_delay(&u.b, delay);
        CHECK_INT(up_finish(&u, 0, 1, 0), S3_OK);
        CHECK_INT(up_what(&u), up_is_before(&u));
        up_gone(&u);
        up_no_leak(&u);
        up_close(&u);
    }
}


/* A false condition changes nothing; the upload can still be completed. */

static void
test_condition(void)
{
    up_t u;
    unsigned before;
    s3_object_t *upload;

    for (before = 0; before < UP_BEFORE; before++) {
        up_open(&u, 30 + before, before);
        bed_delay(&u.b, before % 2);

        if (up_is_before(&u) == UP_IS_OLD) {
            CHECK_INT(up_finish(&u, 0, 0, 1), S3_EPRECOND);
            CHECK_INT(up_what(&u), UP_IS_OLD);
            CHECK_INT(up_left(&u, S3_SPACE_PARTS), UP_PARTS);
            upload = up_load(&u, 1, 1);
            CHECK_INT(s3_upload_state(&upload->entry), S3_UPLOAD_OPEN);
            s3_object_release(upload);
            CHECK_INT(bed_delete(&u.b, 1, UP_KEY), S3_OK);
        }

        CHECK_INT(up_finish(&u, 0, 0, 1), S3_OK);
        CHECK_INT(up_what(&u), UP_IS_OBJECT);
        up_gone(&u);
        up_no_leak(&u);
        up_close(&u);
    }
}


/* Parts that were not listed go with their data; one without data; another
 * upload of a key that begins like this one's parts stays. */

static void
test_some_parts(void)
{
    up_t u;
    uint8_t key[S3_MAX_KEY], *data;
    s3_put_t put;

    up_open(&u, 40, UP_ABSENT);
    up_part(&u, 0, 4, u.whole, 0, &u.refs[3]);
    u.n_refs = 4;
    data = bed_data(40000, 3);
    s3_ref_t other;
    up_part(&u, 0, 5, data, 40000, &other);
    up_part(&u, 0, 10000, data, 40000, &other);

    bed_init_put(
        &u.b, 0, &put,
        s3_str(key, s3_upload_parts_prefix(key, UP_KEY, UP_ID).len + 9),
        S3_KIND_OBJECT);
    memcpy(key + put.key.len - 9, "\1not mine", 9);
    put.bucket = BED_BUCKET + S3_SPACE_PARTS;
    CHECK_INT(bed_commit(&u.b, &put), S3_OK);

    CHECK_INT(up_finish(&u, 0, 0, 0), S3_OK);
    CHECK_INT(up_what(&u), UP_IS_OBJECT);
    CHECK_INT(up_left(&u, S3_SPACE_PARTS), 1);
    CHECK_INT(up_left(&u, S3_SPACE_UPLOADS), 0);
    up_no_leak(&u);
    free(data);
    up_close(&u);
}


/* More parts than are removed at once. */

static void
test_many_parts(void)
{
    up_t u;
    unsigned i, round;
    s3_ref_t ref;

    for (round = 0; round < 2; round++) {
        up_open(&u, 50, UP_ABSENT);

        for (i = 10; i < 210; i++) {
            up_part(&u, 0, i, u.whole, 3, &ref);
        }

        CHECK_INT(up_finish(&u, 0, (int) round, 0), S3_OK);
        CHECK_INT(up_what(&u), round ? UP_IS_ABSENT : UP_IS_OBJECT);
        up_gone(&u);
        up_no_leak(&u);
        up_close(&u);
    }
}


static void
test_bounds(void)
{
    up_t u;
    up_run_t r;
    uint8_t *key;

    up_open(&u, 60, UP_ABSENT);
    key = bed_data(S3_MAX_KEY, 1);

    up_init(&u, &r, 0, up_load(&u, 0, 1));
    r.op.key = s3_str(key, S3_MAX_KEY - S3_UPLOAD_ID_LEN - 3);
    s3_upload_complete(&r.op);
    CHECK_INT(r.op.rc, S3_EINVAL);
    r.op.key = UP_KEY;
    r.op.id.len = 31;
    s3_upload_abort(&r.op);
    CHECK_INT(up_wait(&u, &r), S3_EINVAL);

    CHECK_INT(up_finish(&u, 0, 1, 0), S3_OK);
    free(key);
    up_close(&u);
}


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
    up_init(&u, r, 0, up_load(&u, 0, 1));
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
        uploads[i] = up_load(u, i % 3, 1);
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
up_follow_open(up_t *u, uint8_t *key)
{
    int flag;
    s3_put_t put;
    s3_head_t head;

    flag = 0;
    memset(&head, 0, sizeof(head));
    head.store = u->b.store[1];
    head.bucket = BED_BUCKET;
    head.key = UP_KEY;
    head.brief = 1;
    head.done = bed_flag_head;
    head.ctx = &flag;
    s3_store_head(&head);
    REQUIRE(up_flag_is(&u->b, &flag));
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
up_follow_abort(up_t *u, uint8_t *key)
{
    int flag;
    up_run_t run;
    s3_head_t head;

    flag = 0;
    memset(&head, 0, sizeof(head));
    head.store = u->b.store[1];
    head.bucket = BED_BUCKET + S3_SPACE_UPLOADS;
    head.key = s3_upload_key(key, UP_KEY, UP_OTHER);
    head.done = bed_flag_head;
    head.ctx = &flag;
    s3_store_head(&head);
    REQUIRE(up_flag_is(&u->b, &flag));
    REQUIRE(head.rc == S3_OK);

    up_init(u, &run, 1, head.object);
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
    uint8_t key[S3_MAX_KEY];

    up_open(&u, seed, before);
    bed_delay(&u.b, 1 + seed % 3);
    up_skew(&u, seed);

    if (how == UP_FENCE) {
        up_follow_open(&u, key);
    }

    up_init(&u, &run, 0, up_load(&u, 0, 1));
    s3_upload_complete(&run.op);

    for (i = 0; i < steps && !run.done; i++) {
        (void) s3_sim_step(u.b.sim);
    }

    over = run.done;

    if (how == UP_FENCE) {
        up_follow_abort(&u, key);

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

    test_keys();
    test_bounds();
    test_plain(0);
    test_plain(3);
    test_condition();
    test_some_parts();
    test_many_parts();

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
