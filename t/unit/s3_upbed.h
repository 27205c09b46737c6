/*
 * An upload with three parts over a store of mock drives (s3_testbed.h), ended
 * by four processes in whatever order: what is at its key before, and after.
 */

#ifndef S3_UPBED_H
#define S3_UPBED_H

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


static inline int
up_flag_is(bed_t *b, int *flag)
{
    return *flag || s3_sim_until(b->sim, flag);
}


static inline void
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


static inline void
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


static inline void
up_close(up_t *u)
{
    bed_close(&u->b);
    free(u->whole);
    free(u->old);
    free(u->fresh);
}


static inline void
up_head(up_t *u, unsigned store, unsigned space, s3_str_t key, s3_head_t *head)
{
    int flag;

    flag = 0;
    memset(head, 0, sizeof(*head));
    head->store = u->b.store[store];
    head->bucket = BED_BUCKET + space;
    head->key = key;
    head->brief = space == 0;
    head->done = bed_flag_head;
    head->ctx = &flag;
    s3_store_head(head);
    REQUIRE(up_flag_is(&u->b, &flag));
}


/* The record of the upload of that id. */

static inline s3_object_t *
up_load(up_t *u, unsigned store, s3_str_t id, int want)
{
    uint8_t key[S3_MAX_KEY];
    s3_head_t head;

    up_head(u, store, S3_SPACE_UPLOADS, s3_upload_key(key, UP_KEY, id), &head);

    if (want) {
        REQUIRE(head.rc == S3_OK);
    }

    return head.object;
}


typedef struct {
    s3_upload_op_t op;
    int done;
} up_run_t;


static inline void
up_done(s3_upload_op_t *op)
{
    ((up_run_t *) op->ctx)->done = 1;
}


static inline int
up_if_absent(s3_upload_op_t *op, const s3_entry_t *current)
{
    (void) op;

    return current ? S3_EPRECOND : S3_OK;
}


/* Takes the reference. */

static inline void
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


static inline int
up_wait(up_t *u, up_run_t *r)
{
    REQUIRE(up_flag_is(&u->b, &r->done));
    s3_object_release(r->op.upload);
    r->op.upload = NULL;

    return r->op.rc;
}


/* To the end: what leaves the outcome open is asked again. */

static inline int
up_finish(up_t *u, unsigned store, int abort, int conditional)
{
    int rc;
    unsigned i;
    up_run_t r;
    s3_object_t *upload;

    for (i = 0; i < 20; i++) {
        upload = up_load(u, store, UP_ID, 0);

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

static inline unsigned
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


static inline unsigned
up_is_before(up_t *u)
{
    return u->before == UP_SMALL || u->before == UP_LARGE ? UP_IS_OLD
                                                          : UP_IS_ABSENT;
}


static inline int
up_count(s3_list_t *list, s3_str_t key, const s3_entry_t *entry)
{
    (void) key;
    (void) entry;
    ((int *) list->ctx)[0]++;

    return 0;
}


static inline void
up_list_done(s3_list_t *list)
{
    ((int *) list->ctx)[1] = 1;
}


static inline unsigned
up_left(up_t *u, unsigned space)
{
    int n[2] = {0, 0};
    s3_list_t list;

    memset(&list, 0, sizeof(list));
    list.store = u->b.store[3];
    list.bucket = BED_BUCKET + space;
    list.max = 1000;
    list.item = up_count;
    list.done = up_list_done;
    list.ctx = n;
    s3_store_list(&list);
    REQUIRE(up_flag_is(&u->b, &n[1]));
    REQUIRE(list.rc == S3_OK);

    return (unsigned) n[0];
}


static inline unsigned
up_blobs(up_t *u)
{
    unsigned i, n;

    s3_sim_run(u->b.sim);

    for (i = 0, n = 0; i < u->b.n; i++) {
        n += s3_mock_blobs(u->b.mock[i]);
    }

    return n;
}


static inline void
up_gone(up_t *u)
{
    CHECK_INT(up_left(u, S3_SPACE_PARTS), 0);
    CHECK_INT(up_left(u, S3_SPACE_UPLOADS), 0);
}


/* Nothing leaked: with the object, every blob goes. */

static inline void
up_no_leak(up_t *u)
{
    s3_sim_run(u->b.sim);
    CHECK_INT(bed_delete(&u->b, 3, UP_KEY), S3_OK);
    CHECK_INT(up_blobs(u), 0);
}

#endif /* S3_UPBED_H */
