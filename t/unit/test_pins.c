#include "t/unit/s3_test.h"
#include "t/unit/s3_nodebed.h"
#include "storage/s3_blob.h"
#include "storage/s3_pins.h"


/*
 * What is being read stays: the counters, and then two processes, of which one
 * reads while the other overwrites and deletes.
 */

S3_TEST_KILLS


#define SIZE ((size_t) 9 << 20)
#define KEY s3_string("key")

static bed_t b;
static s3_nodebed_t nb;
static uint8_t *first, *second; /* SIZE bytes each */


static void
counters(void)
{
    unsigned i, both = S3_PIN_HELD | S3_PIN_SURE;
    uint64_t stamp;
    s3_pins_t *pins = calloc(1, sizeof(*pins));
    const uint8_t id[16] = {1}, other[16] = {2};

    REQUIRE(pins != NULL);
    stamp = s3_pins_stamp(pins);
    CHECK(stamp != 0);

    /* by two, and by one of them twice */
    CHECK_INT(s3_pin(pins, 0, id, stamp), both);
    CHECK_INT(s3_pin(pins, 63, id, stamp), both);
    CHECK_INT(s3_pin(pins, 63, id, 0), both);
    s3_pins_announce(pins, id);
    CHECK_INT(s3_pinned(pins, id), 1);
    s3_pins_announce(pins, other);
    CHECK_INT(s3_pinned(pins, other), 0);
    s3_unpin(pins, 0, id);
    s3_unpin(pins, 63, id);
    CHECK_INT(s3_pinned(pins, id), 1);
    s3_unpin(pins, 63, id);
    CHECK_INT(s3_pinned(pins, id), 0);

    /* looked for before it was about to go, and after */
    CHECK_INT(s3_pin(pins, 0, id, stamp), S3_PIN_HELD);
    CHECK_INT(s3_pinned(pins, id), 1);
    CHECK_INT(s3_pin(pins, 0, id, s3_pins_stamp(pins)), both);
    CHECK_INT(s3_pin(pins, 1, id, 0), both);

    /* what a dead one had */
    s3_pins_clear(pins, 0);
    CHECK_INT(s3_pinned(pins, id), 1);
    s3_pins_clear(pins, 1);
    CHECK_INT(s3_pinned(pins, id), 0);

    /* more than can be counted */
    for (i = 0; i < UINT16_MAX; i++) {
        REQUIRE(s3_pin(pins, 1, id, 0) == both);
    }

    CHECK_INT(s3_pin(pins, 1, id, 0), S3_PIN_SURE);

    for (i = 0; i < UINT16_MAX; i++) {
        CHECK(s3_pinned(pins, id));
        s3_unpin(pins, 1, id);
    }

    CHECK_INT(s3_pinned(pins, id), 0);
    free(pins);
}


static void
seconds(unsigned n)
{
    s3_sim_sleep(b.sim, n * S3_NODEBED_SECOND);
}


static void
ready(s3_reader_t *r)
{
    *(int *) r->ctx = 1;
}


/* The next run of bytes is that of `data` at *done; returns its rc. */

static int
next(s3_reader_t *r, const uint8_t *data, size_t *done)
{
    int flag = 0;
    unsigned i;

    r->ctx = &flag;
    s3_reader_next(r);
    REQUIRE(flag || s3_sim_until(b.sim, &flag));

    for (i = 0; r->rc == S3_OK && i < r->n; i++) {
        CHECK(memcmp(r->slices[i].data, data + *done, r->slices[i].len) == 0);
        *done += r->slices[i].len;
    }

    return r->rc;
}


static s3_reader_t *
open_reader(unsigned store, s3_object_t *object)
{
    s3_reader_t *r = s3_reader_open(b.store[store], object, 0, SIZE);

    REQUIRE(r != NULL);
    r->ready = ready;

    return r;
}


static void
make(void)
{
    s3_nodebed_init(&nb, &b, 3, 4, 2, 1024 * 1024);
    s3_nodebed_start(&nb, 0);
    REQUIRE(bed_put(&b, 0, KEY, 0, first, SIZE, 0, 65536) == S3_OK);
    seconds(1);
    CHECK_INT(s3_nodebed_blobs(&nb), 4);
}


static void
unmake(void)
{
    s3_nodebed_stop(&nb, 0);
    s3_nodebed_free(&nb);
}


/* A world, and the first bytes of its object; done: how many. */

static s3_reader_t *
begin(unsigned store, s3_object_t **object, size_t *done)
{
    s3_reader_t *r;

    make();
    REQUIRE(bed_head(&b, store, KEY, object) == S3_OK);
    r = open_reader(store, *object);
    CHECK_INT(next(r, first, done), S3_OK);

    return r;
}


static void
end(s3_reader_t *r, s3_object_t *object)
{
    s3_reader_close(r);
    s3_object_release(object);
}


/* Overwritten (`again`), or deleted, by another process than reads it. */

static void
read_on(int again)
{
    size_t done = 0;
    s3_object_t *object;
    s3_reader_t *r;

    r = begin(0, &object, &done);

    if (again) {
        CHECK_INT(bed_put(&b, 1, KEY, 0, second, SIZE, 0, 65536), S3_OK);
        CHECK_INT(bed_get_for(&b, 0, KEY, 0, second, SIZE), S3_OK);
    } else {
        CHECK_INT(bed_delete(&b, 1, KEY), S3_OK);
    }

    seconds(300);
    CHECK_INT(s3_nodebed_blobs(&nb), again ? 8 : 4);

    while (next(r, first, &done) == S3_OK) {
        seconds(10);
    }

    CHECK_INT(r->rc, S3_DONE);
    CHECK_INT(done, SIZE);
    end(r, object);

    seconds(5);
    CHECK_INT(s3_nodebed_blobs(&nb), again ? 4 : 0);
    unmake();
}


/* Not for ever, be the reader as slow as it may. */

static void
read_no_more(void)
{
    size_t done = 0;
    s3_object_t *object;
    s3_reader_t *r;

    r = begin(0, &object, &done);
    CHECK_INT(bed_delete(&b, 1, KEY), S3_OK);
    seconds(3500);
    CHECK_INT(s3_nodebed_blobs(&nb), 4);
    seconds(200);
    CHECK_INT(s3_nodebed_blobs(&nb), 0);

    end(r, object);
    unmake();
}


/* What the dead read, nobody reads. */

static void
reader_dies(void)
{
    size_t done = 0;
    s3_object_t *object;

    (void) begin(1, &object, &done);
    CHECK_INT(bed_delete(&b, 0, KEY), S3_OK);
    seconds(5);
    CHECK_INT(s3_nodebed_blobs(&nb), 4);

    s3_nodebed_kill(&nb, 1);
    seconds(10);
    CHECK_INT(s3_nodebed_blobs(&nb), 0);
    unmake();
}


/* Found before it was overwritten, opened after: it begins again. */

static void
open_late(void)
{
    size_t done = 0;
    s3_object_t *object;
    s3_reader_t *r;

    make();
    REQUIRE(bed_head(&b, 0, KEY, &object) == S3_OK);
    CHECK_INT(bed_delete(&b, 1, KEY), S3_OK);
    seconds(5);
    CHECK_INT(s3_nodebed_blobs(&nb), 0);
    r = open_reader(0, object);
    CHECK_INT(next(r, first, &done), S3_EUNAVAIL);
    end(r, object);
    unmake();
}


/* Something else of the same hash went: no more than a second look. */

static void
false_alarm(void)
{
    size_t done = 0;
    s3_object_t *object;
    s3_reader_t *r;

    make();
    REQUIRE(bed_head(&b, 0, KEY, &object) == S3_OK);
    s3_pins_announce(&nb.zone->pins, object->record.refs.data);
    r = open_reader(0, object);

    while (next(r, first, &done) == S3_OK) {
        seconds(1);
    }

    CHECK_INT(r->rc, S3_DONE);
    CHECK_INT(done, SIZE);
    end(r, object);
    unmake();
}


/* Where a drive is full it gets the space at once. */

static void
full(void)
{
    size_t done = 0;
    unsigned i;
    s3_object_t *object;
    s3_reader_t *r;

    r = begin(0, &object, &done);
    CHECK_INT(bed_delete(&b, 1, KEY), S3_OK);
    seconds(10);
    CHECK_INT(s3_nodebed_blobs(&nb), 4);

    for (i = 0; i < 4; i++) {
        nb.zone->drives[i].state = S3_DRIVE_FULL;
    }

    seconds(5);
    CHECK_INT(s3_nodebed_blobs(&nb), 0);
    end(r, object);
    unmake();
}


int
main(void)
{
    size_t i;

    first = malloc(SIZE);
    second = malloc(SIZE);
    REQUIRE(first != NULL && second != NULL);

    for (i = 0; i < SIZE; i++) {
        first[i] = (uint8_t) (i * 7 + (i >> 12));
        second[i] = (uint8_t) (i * 5 + (i >> 13));
    }

    counters();
    read_on(0);
    read_on(1);
    read_no_more();
    reader_dies();
    open_late();
    false_alarm();
    full();

    free(first);
    free(second);

    return S3_TEST_END();
}
