#include "t/unit/s3_upbed.h"


/* Uploads that are completed and aborted one after the other; nobody dies. */


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

        upload = up_load(&u, 0, UP_ID, 1);
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
            upload = up_load(&u, 1, UP_ID, 1);
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

    up_init(&u, &r, 0, up_load(&u, 0, UP_ID, 1));
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


int
main(void)
{
    test_keys();
    test_bounds();
    test_plain(0);
    test_plain(3);
    test_condition();
    test_some_parts();
    test_many_parts();

    return S3_TEST_END();
}
