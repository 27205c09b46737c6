#include "t/unit/s3_test.h"
#include "storage/s3_heal_int.h"
#include "storage/s3_upload.h"
#include "t/sim/s3_testbed.h"


/*
 * A part whose data is gone: removed where nobody can complete it any more,
 * kept where it may still be needed.
 */


#define ID s3_string("0123456789abcdef0123456789abcdef")
#define KEY s3_string("dir/object")
#define OTHER s3_string("other")
#define TAG ((const uint8_t *) "12345678")

static bed_t b;
static s3_version_t part; /* as it was stored */


static s3_str_t
part_key(uint8_t *buf)
{
    return s3_upload_part_key(buf, KEY, ID, 7, TAG);
}


/* A part with a blob, of which there is one on each drive. */

static void
store_part(void)
{
    s3_put_t put;
    s3_writer_t *w;
    uint8_t buf[S3_MAX_KEY], *data;

    data = bed_data(5000, 1);
    w = bed_write(&b, 0, KEY, 0, data, 5000, 5000, S3_WRITER_BLOB, 5000);
    free(data);
    bed_init_put(&b, 0, &put, part_key(buf), S3_KIND_OBJECT);
    put.bucket = BED_BUCKET + S3_SPACE_PARTS;
    put.writer = w;
    REQUIRE(s3_upload_part_set(&put.entry, &w->ref, s3_null_str) == S3_OK);
    REQUIRE(bed_commit(&b, &put) == S3_OK);
    s3_writer_close(w);
    part = put.version;
}


static void
open_bed(unsigned delay)
{
    bed_open(&b, 1, 3, 1, 1, 2);
    store_part();
    bed_delay(&b, delay);
}


static void
close_bed(void)
{
    bed_down(&b, 0);
    bed_close(&b);
}


/* The upload's record: its state, and with COMPLETING what was at the key. */

static void
put_upload(s3_upload_state_t state, const s3_version_t *base,
           const s3_version_t *root)
{
    s3_put_t put;
    uint8_t buf[S3_MAX_KEY];

    bed_init_put(&b, 0, &put, s3_upload_key(buf, KEY, ID), S3_KIND_OBJECT);
    put.bucket = BED_BUCKET + S3_SPACE_UPLOADS;
    s3_upload_set_state(&put.entry, state);

    if (base) {
        s3_put_version(put.entry.extra + 1, base);
        s3_put_version(put.entry.extra + 1 + S3_VERSION_SIZE, root);
        put.entry.extra_len = 1 + 2 * S3_VERSION_SIZE;
    }

    REQUIRE(bed_commit(&b, &put) == S3_OK);
}


static void
remove_upload(void)
{
    s3_put_t put;
    uint8_t buf[S3_MAX_KEY];

    bed_init_put(&b, 0, &put, s3_upload_key(buf, KEY, ID), S3_KIND_TOMBSTONE);
    put.bucket = BED_BUCKET + S3_SPACE_UPLOADS;
    REQUIRE(bed_commit(&b, &put) == S3_OK);
}


/* What is at the object's key, as completing would note it. */

static void
note_base(s3_version_t *base, s3_version_t *root)
{
    int flag = 0;
    s3_head_t head;

    memset(&head, 0, sizeof(head));
    head.store = b.store[0];
    head.bucket = BED_BUCKET;
    head.key = KEY;
    head.done = bed_flag_head;
    head.ctx = &flag;
    s3_store_head(&head);
    REQUIRE(flag || s3_sim_until(b.sim, &flag));
    *base = head.newest;
    *root = head.root;

    if (head.object) {
        *base = s3_entry_origin(&head.object->entry);
        s3_object_release(head.object);
    }
}


static int
any_test(s3_put_t *put, const s3_entry_t *current)
{
    (void) put;
    (void) current;

    return S3_OK;
}


/* At the key, under a condition or whatever is there. */

static s3_version_t
write_key(s3_kind_t kind, int conditional)
{
    s3_put_t put;

    bed_init_put(&b, 0, &put, KEY, kind);
    put.test = conditional ? any_test : NULL;
    REQUIRE(bed_commit(&b, &put) == S3_OK);

    return put.version;
}


/* Asking. */

typedef struct {
    int rc;
    int done;
} asked_t;

static void
on_done(void *ctx, int rc)
{
    asked_t *a = ctx;

    a->rc = rc;
    a->done++;
}


static int
start(asked_t *a, const s3_version_t *version)
{
    uint8_t buf[S3_MAX_KEY];

    memset(a, 0, sizeof(*a));

    return s3_orphan_start(b.store[1], BED_BUCKET + S3_SPACE_PARTS,
                           part_key(buf), version, on_done, a);
}


static int
ask_of(const s3_version_t *version)
{
    asked_t a;

    REQUIRE(start(&a, version) == S3_OK);
    REQUIRE(a.done || s3_sim_until(b.sim, &a.done));
    s3_sim_run(b.sim);
    CHECK_INT(a.done, 1);

    return a.rc;
}


/* The part is there: 1; its record is removed: 0. */

static int
there(void)
{
    int flag = 0;
    uint8_t buf[S3_MAX_KEY];
    s3_head_t head;

    memset(&head, 0, sizeof(head));
    head.store = b.store[0];
    head.bucket = BED_BUCKET + S3_SPACE_PARTS;
    head.key = part_key(buf);
    head.brief = 1;
    head.done = bed_flag_head;
    head.ctx = &flag;
    s3_store_head(&head);
    REQUIRE(flag || s3_sim_until(b.sim, &flag));
    REQUIRE(head.rc == S3_OK || head.rc == S3_ENOENT);
    s3_object_release(head.object);

    return head.rc == S3_OK;
}


static unsigned
removed(void)
{
    s3_heal_stats_t st;

    s3_store_heal_stats(b.store[1], &st);

    return (unsigned) st.orphans;
}


/* It goes, its blobs stay: who else lists them is not known. */

static void
expect_removed(void)
{
    unsigned i;

    CHECK_INT(ask_of(&part), S3_OK);
    CHECK(!there());
    CHECK_INT(removed(), 1);

    for (i = 0; i < b.n; i++) {
        CHECK_INT(s3_mock_blobs(b.mock[i]), 1);
    }

    /* and is not removed twice */

    CHECK_INT(ask_of(&part), S3_ECONFLICT);
    CHECK_INT(removed(), 1);
    close_bed();
}


static void
expect_kept(int rc)
{
    CHECK_INT(ask_of(&part), rc);
    CHECK(there());
    CHECK_INT(removed(), 0);
    close_bed();
}


/* What is no part is not even looked at. */

static void
test_others(void)
{
    asked_t a;
    uint8_t buf[S3_MAX_KEY];
    s3_str_t key;

    open_bed(0);
    memset(&a, 0, sizeof(a));
    key = part_key(buf);

    CHECK_INT(s3_orphan_start(b.store[1], BED_BUCKET, key, &part, on_done, &a),
              S3_EINVAL);
    CHECK_INT(s3_orphan_start(b.store[1], BED_BUCKET + S3_SPACE_UPLOADS, key,
                              &part, on_done, &a),
              S3_EINVAL);
    CHECK_INT(
        s3_orphan_start(b.store[1], S3_SPACE_PARTS, key, &part, on_done, &a),
        S3_EINVAL);
    CHECK_INT(s3_orphan_start(b.store[1], BED_BUCKET + S3_SPACE_PARTS, OTHER,
                              &part, on_done, &a),
              S3_EINVAL);
    key.len--;
    CHECK_INT(s3_orphan_start(b.store[1], BED_BUCKET + S3_SPACE_PARTS, key,
                              &part, on_done, &a),
              S3_EINVAL);
    s3_sim_run(b.sim);
    CHECK_INT(a.done, 0);
    CHECK(there());
    close_bed();
}


/* By what has become of its upload. */

static void
test_upload(unsigned delay)
{
    s3_version_t base, root;

    open_bed(delay);
    expect_removed(); /* it never was */

    open_bed(delay);
    put_upload(S3_UPLOAD_OPEN, NULL, NULL);
    remove_upload();
    expect_removed();

    open_bed(delay);
    put_upload(S3_UPLOAD_ABORTING, NULL, NULL);
    expect_removed();

    open_bed(delay);
    put_upload(S3_UPLOAD_OPEN, NULL, NULL);
    expect_kept(S3_ECORRUPT);

    /* of a state that is not known, and one that lacks what it began with;
     * whatever is at the key */

    open_bed(delay);
    put_upload((s3_upload_state_t) 9, NULL, NULL);
    (void) write_key(S3_KIND_OBJECT, 0);
    expect_kept(S3_ECORRUPT);

    open_bed(delay);
    put_upload(S3_UPLOAD_COMPLETING, NULL, NULL);
    (void) write_key(S3_KIND_OBJECT, 0);
    expect_kept(S3_ECORRUPT);

    open_bed(delay);
    note_base(&base, &root);
    put_upload(S3_UPLOAD_OPEN, &base, &root);
    (void) write_key(S3_KIND_OBJECT, 0);
    expect_kept(S3_ECORRUPT);
}


/* The object is written again as it was, as the healer does it. */

static void
write_again(const s3_version_t *origin, const s3_version_t *root)
{
    s3_put_t put;

    bed_init_put(&b, 0, &put, KEY, S3_KIND_OBJECT);
    put.origin = origin;
    put.root = *root;
    put.test = any_test;
    put.blind = 1;
    REQUIRE(bed_commit(&b, &put) == S3_OK);
}


/* A bed with e at the key: nothing, an object, a deletion. */

static void
open_with(unsigned delay, int e, s3_version_t *base, s3_version_t *root)
{
    open_bed(delay);

    if (e) {
        (void) write_key(S3_KIND_OBJECT, 0);
    }

    if (e == 2) {
        (void) write_key(S3_KIND_TOMBSTONE, 0);
    }

    note_base(base, root);
}


/* COMPLETING(e): by what has become of e. */

static void
test_completing(unsigned delay)
{
    int i;
    s3_version_t base, root;

    for (i = 0; i < 3; i++) {

        /* it is there still */

        open_with(delay, i, &base, &root);
        CHECK(s3_version_is_none(&base) == (i == 0));
        put_upload(S3_UPLOAD_COMPLETING, &base, &root);
        expect_kept(S3_ECORRUPT);

        /* a write with a condition has followed: it may be completed yet */

        open_with(delay, i, &base, &root);
        put_upload(S3_UPLOAD_COMPLETING, &base, &root);
        (void) write_key(S3_KIND_OBJECT, 1);
        (void) write_key(i ? S3_KIND_TOMBSTONE : S3_KIND_OBJECT, 1);
        expect_kept(S3_ECORRUPT);

        /* one that took whatever was there: it has had its turn */

        open_with(delay, i, &base, &root);
        put_upload(S3_UPLOAD_COMPLETING, &base, &root);
        (void) write_key(S3_KIND_OBJECT, 0);
        expect_removed();
    }

    /* the object was deleted, whatever it was */

    open_bed(delay);
    (void) write_key(S3_KIND_OBJECT, 0);
    note_base(&base, &root);
    put_upload(S3_UPLOAD_COMPLETING, &base, &root);
    (void) write_key(S3_KIND_TOMBSTONE, 0);
    expect_removed();

    /* the healer has written e again, which is e still, with another root, so
     * that nothing but the origin tells */

    open_bed(delay);
    (void) write_key(S3_KIND_OBJECT, 0);
    note_base(&base, &root);
    root.time++;
    put_upload(S3_UPLOAD_COMPLETING, &base, &root);
    note_base(&base, &root);
    write_again(&base, &root);
    expect_kept(S3_ECORRUPT);
}


/* Only the record that was seen to lack its data. */

static void
test_newer(void)
{
    s3_version_t old;

    open_bed(0);
    old = part;
    store_part();
    CHECK_INT(ask_of(&old), S3_ECONFLICT);
    CHECK(there());
    CHECK_INT(removed(), 0);
    close_bed();
}


static void
on_shut(s3_shut_t *shut)
{
    *(int *) shut->ctx = 1;
}


/* That its bucket is closed does not matter. */

static void
test_closed(void)
{
    int flag = 0;
    s3_shut_t shut;

    open_bed(0);
    memset(&shut, 0, sizeof(shut));
    shut.store = b.store[0];
    shut.bucket = BED_BUCKET + S3_SPACE_PARTS;
    shut.generation = 3;
    shut.done = on_shut;
    shut.ctx = &flag;
    s3_store_close_bucket(&shut);
    REQUIRE(flag || s3_sim_until(b.sim, &flag));
    REQUIRE(shut.rc == S3_OK);
    expect_removed();
}


static void
set_down(unsigned down)
{
    unsigned i;

    for (i = 0; i < b.n; i++) {
        s3_mock_knobs(b.mock[i])->down = down & 1;
    }
}


/* Drives fail at any moment of it, and are back while it may still be under
 * way: nothing is taken for gone that was not said to be. */

typedef enum { IS_OPEN, AT_BASE, MOVED_ON } fate_t;

static void
test_unavailable(fate_t fate)
{
    asked_t a;
    s3_version_t base, root;
    unsigned us, done, failed;

    done = 0;
    failed = 0;

    for (us = 0; us < 60000; us += 250) {
        open_bed(0);
        (void) write_key(S3_KIND_OBJECT, 0);
        note_base(&base, &root);
        put_upload(fate == IS_OPEN ? S3_UPLOAD_OPEN : S3_UPLOAD_COMPLETING,
                   fate == IS_OPEN ? NULL : &base, &root);

        if (fate == MOVED_ON) {
            (void) write_key(S3_KIND_OBJECT, 0);
        }

        s3_sim_run(b.sim);
        bed_delay(&b, 4);
        REQUIRE(start(&a, &part) == S3_OK);
        s3_sim_sleep(b.sim, us);
        set_down(1);
        s3_sim_sleep(b.sim, 3000 + us % 3500);
        set_down(0);
        REQUIRE(a.done || s3_sim_until(b.sim, &a.done));
        s3_sim_run(b.sim);
        bed_delay(&b, 0);

        if (a.rc == S3_OK || a.rc == S3_ECORRUPT) {
            CHECK_INT(a.rc, fate == MOVED_ON ? S3_OK : S3_ECORRUPT);
            CHECK_INT(there(), fate != MOVED_ON);
            done++;

        } else {
            CHECK(a.rc == S3_EUNAVAIL
                  || (a.rc == S3_EDOUBT && fate == MOVED_ON));
            CHECK(fate == MOVED_ON || there());
            failed++;
        }

        CHECK_INT(removed(), a.rc == S3_OK);
        close_bed();
    }

    CHECK(done > 0 && failed > 0);
}


/* The store goes while it is asked: nothing is written any more. */

static void
test_destroyed(void)
{
    asked_t a;
    unsigned us, kept;

    kept = 0;

    for (us = 0; us < 20000; us += 500) {
        open_bed(4);
        REQUIRE(start(&a, &part) == S3_OK);
        s3_sim_sleep(b.sim, us);
        CHECK(a.done || removed() == 0);
        s3_store_destroy(b.store[1]);
        b.n_stores = 1;

        if (!a.done) {
            REQUIRE(s3_sim_until(b.sim, &a.done));
        }

        s3_sim_run(b.sim);
        CHECK_INT(a.done, 1);
        CHECK(a.rc == S3_OK || a.rc == S3_EUNAVAIL);

        if (a.rc == S3_EUNAVAIL) {
            CHECK(there());
            kept++;
        }

        close_bed();
    }

    CHECK(kept > 0);
}


int
main(void)
{
    test_others();
    test_upload(0);
    test_upload(3);
    test_completing(0);
    test_completing(3);
    test_newer();
    test_closed();
    test_unavailable(IS_OPEN);
    test_unavailable(AT_BASE);
    test_unavailable(MOVED_ON);
    test_destroyed();

    return S3_TEST_END();
}
