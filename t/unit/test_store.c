#include "t/unit/s3_test.h"
#include "t/sim/s3_testbed.h"
#include "storage/s3_units.h"


/* Round trips at the boundaries of the layouts, with every set of up to m
 * drives away. */

static const size_t sizes[] = {
    0,      1,      2,      100,    4095,   16383,  16384,   16385,
    65536,  131007, 131008, 131009, 131071, 131072, 131073,  262016,
    262017, 393024, 400000, 524287, 786048, 786049, 1048576, 1500001};


static void
test_round_trip(unsigned n, unsigned m, unsigned rrs, unsigned class,
                unsigned delay, unsigned flags)
{
    char name[32];
    unsigned i, away;
    uint32_t mask;
    uint8_t *data;
    s3_str_t key;
    bed_t b;

    bed_open(&b, 7 + n, n, m, rrs, 1);
    bed_delay(&b, delay);
    away = class ? rrs : m;

    for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        key = s3_str(name, (size_t) snprintf(name, sizeof(name), "k%u", i));
        data = bed_data(sizes[i], i);

        CHECK_INT(bed_put(&b, 0, key, class, data, sizes[i], flags,
                          i % 3 ? 70001 : 16384 + i),
                  S3_OK);

        for (mask = 0; mask < 1u << n; mask++) {
            if ((unsigned) __builtin_popcount(mask) > away) {
                continue;
            }

            /* reads need R drives, too */

            if (n - (unsigned) __builtin_popcount(mask)
                < n - s3_max(n - m, n / 2 + 1) + 1) {
                continue;
            }

            if (n > 5 && mask && s3_sim_random(b.sim, 8)) {
                continue;
            }

            bed_down(&b, mask);
            CHECK_INT(bed_get(&b, 0, key, data, sizes[i]), S3_OK);
        }

        bed_down(&b, 0);
        free(data);
    }

    s3_sim_run(b.sim);

    for (i = 0; i < n; i++) {
        CHECK_INT(s3_mock_notes(b.mock[i]), 0);
    }

    bed_close(&b);
}


/* Written with drives away: what is left still bears one loss more. */

static void
test_degraded_write(unsigned n, unsigned m)
{
    char name[32];
    unsigned i, w, d, v;
    uint32_t mask;
    uint8_t *data;
    s3_str_t key;
    bed_t b;

    bed_open(&b, 99, n, m, m, 1);
    w = s3_max(n - m, n / 2 + 1);

    for (mask = 0; mask < 1u << n; mask++) {
        v = (unsigned) __builtin_popcount(mask);

        if (n - v < w) {
            bed_down(&b, mask);
            CHECK_INT(
                bed_put(&b, 0, s3_string("no"), 0, (uint8_t *) "x", 1, 0, 1),
                S3_EUNAVAIL);
            continue;
        }

        for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i += 3) {
            bed_down(&b, mask);
            key = s3_str(
                name, (size_t) snprintf(name, sizeof(name), "%x/%u", mask, i));
            data = bed_data(sizes[i], mask + i);
            CHECK_INT(bed_put(&b, 0, key, 0, data, sizes[i], 0, 50000), S3_OK);
            CHECK_INT(bed_get(&b, 0, key, data, sizes[i]), S3_OK);

            for (d = 0; d < n && m; d++) {
                if ((mask >> d & 1) || n - v - 1 < n - w + 1) {
                    continue;
                }

                bed_down(&b, mask | 1u << d);
                CHECK_INT(bed_get(&b, 0, key, data, sizes[i]), S3_OK);
            }

            free(data);
        }
    }

    bed_close(&b);
}


static void
test_ranges(size_t len, int what)
{
    size_t off, part;
    unsigned i;
    ssize_t n;
    uint8_t *data, *out;
    s3_object_t *object;
    bed_t b;

    bed_open(&b, 3, 5, 2, 1, 1);
    data = bed_data(len, 5);
    out = malloc(len);
    CHECK_INT(bed_put(&b, 0, s3_string("r"), 0, data, len, 0, 65536), S3_OK);
    CHECK_INT(bed_head_for(&b, 0, s3_string("r"), what, &object), S3_OK);

    for (i = 0; i < 300; i++) {
        off = s3_sim_random(b.sim, len + 10);
        part = s3_sim_random(b.sim, i % 2 ? 1000 : len + 10);
        bed_down(&b, i % 3 ? 0 : 1u << i % 5 | 1u << (i / 5) % 5);
        n = bed_read(&b, 0, object, off, part, out, len);

        if (off > len) {
            CHECK_INT(n, 0);
            continue;
        }

        part = s3_min(part, len - off);
        CHECK_INT(n, part);
        CHECK(memcmp(out, data + off, part) == 0);
    }

    s3_object_release(object);
    free(data);
    free(out);
    bed_close(&b);
}


/* Metadata that was kept is that of the newest version, whoever wrote it. */

static void
test_head_meta(void)
{
    char meta[16];
    unsigned i, k, writer;
    size_t len;
    uint8_t *data;
    s3_str_t key;
    s3_put_t put;
    s3_object_t *object;
    bed_t b;

    bed_open(&b, 11, 4, 2, 1, 2);
    data = bed_data(200000, 1);
    key = s3_string("head");

    for (i = 0; i < 60; i++) {
        writer = i % 2;
        len = (const size_t[]){0, 100, 50000, 200000}[i % 4];
        snprintf(meta, sizeof(meta), "meta %u", i);
        CHECK_INT(bed_put(&b, writer, key, 0, data, len, 0, 65536), S3_OK);
        CHECK_INT(bed_head(&b, writer, key, &object), S3_OK);

        bed_init_put(&b, writer, &put, key, S3_KIND_OBJECT);
        put.object = object;
        put.meta = s3_str(meta, strlen(meta));
        CHECK_INT(bed_commit(&b, &put), S3_OK);
        s3_object_release(object);

        for (k = 0; k < 6; k++) {
            CHECK_INT(bed_head_for(&b, k % 2, key, BED_META, &object), S3_OK);
            CHECK(s3_str_eq(object->record.meta, put.meta));
            CHECK(s3_str_eq(object->record.key, key));
            CHECK_INT(object->entry.size, len);
            CHECK_INT(object->record.refs.len, len > 131072 ? S3_REF_SIZE : 0);
            CHECK_INT(object->record.data.len, 0);
            s3_object_release(object);
        }

        if (i % 5 == 0) {
            bed_init_put(&b, !writer, &put, key, S3_KIND_TOMBSTONE);
            CHECK_INT(bed_commit(&b, &put), S3_OK);
            CHECK_INT(bed_head_for(&b, writer, key, BED_META, &object),
                      S3_ENOENT);
        }
    }

    free(data);
    bed_close(&b);
}


/* Parts: several references, ranges across them; a copy under new metadata. */

static void
test_parts(void)
{
    size_t lens[5] = {300000, 131008 * 2, 1, 0, 700001}, all, off, part;
    unsigned i;
    ssize_t n;
    uint8_t *data[5], *whole, *out;
    s3_ref_t refs[5];
    s3_put_t put;
    s3_writer_t *w;
    s3_object_t *object;
    bed_t b;

    bed_open(&b, 4, 4, 2, 1, 1);
    whole = malloc(2000000);
    out = malloc(2000000);
    all = 0;

    for (i = 0; i < 5; i++) {
        data[i] = bed_data(lens[i], i);
        memcpy(whole + all, data[i], lens[i]);
        all += lens[i];

        w = bed_write(&b, 0, s3_string("o\0u\0p"), 0, data[i], lens[i], -1,
                      S3_WRITER_BLOB, 100000);
        CHECK_INT(w->rc, S3_OK);
        CHECK_INT(w->layout, lens[i] ? S3_LAYOUT_BLOBS : S3_LAYOUT_NONE);
        refs[i] = w->ref;

        bed_init_put(&b, 0, &put, s3_string("o\0u\0p"), S3_KIND_OBJECT);
        put.bucket = BED_BUCKET + S3_SPACE_PARTS;
        put.key.data = (const uint8_t *) "o\0u\0pabcdef";
        put.key.len = 5 + i;
        put.writer = w;
        CHECK_INT(bed_commit(&b, &put), S3_OK);
        s3_writer_close(w);
        free(data[i]);
    }

    bed_init_put(&b, 0, &put, s3_string("o"), S3_KIND_OBJECT);
    put.refs = refs;
    put.n_refs = 5;
    CHECK_INT(bed_commit(&b, &put), S3_OK);
    CHECK_INT(bed_get(&b, 0, s3_string("o"), whole, all), S3_OK);

    CHECK_INT(bed_head(&b, 0, s3_string("o"), &object), S3_OK);

    for (i = 0; i < 200; i++) {
        off = s3_sim_random(b.sim, all);
        part = s3_sim_random(b.sim, all - off + 1);
        bed_down(&b, i % 3 ? 0 : 1u << i % 4);
        n = bed_read(&b, 0, object, off, part, out, all);
        CHECK_INT(n, part);
        CHECK(memcmp(out, whole + off, part) == 0);
    }

    bed_down(&b, 0);
    bed_init_put(&b, 0, &put, s3_string("o"), S3_KIND_OBJECT);
    put.object = object;
    put.meta = s3_string("new");
    CHECK_INT(bed_commit(&b, &put), S3_OK);
    s3_object_release(object);
    s3_sim_run(b.sim);

    CHECK_INT(bed_get(&b, 0, s3_string("o"), whole, all), S3_OK);
    CHECK_INT(bed_head(&b, 0, s3_string("o"), &object), S3_OK);
    CHECK(s3_str_eq(object->record.meta, s3_string("new")));
    s3_object_release(object);

    free(whole);
    free(out);
    bed_close(&b);
}


/* The same with data in records, coded and copied. */

static void
test_same_data(void)
{
    size_t len;
    uint8_t *data;
    s3_put_t put;
    s3_object_t *object;
    bed_t b;

    bed_open(&b, 4, 4, 2, 1, 1);

    for (len = 500; len < 130000; len += 60000) {
        data = bed_data(len, 9);
        CHECK_INT(bed_put(&b, 0, s3_string("s"), 0, data, len, 0, 4000), S3_OK);
        CHECK_INT(bed_head(&b, 0, s3_string("s"), &object), S3_OK);
        bed_init_put(&b, 0, &put, s3_string("s"), S3_KIND_OBJECT);
        put.object = object;
        bed_down(&b, 2);
        CHECK_INT(bed_commit(&b, &put), S3_OK);
        s3_object_release(object);
        CHECK_INT(bed_get(&b, 0, s3_string("s"), data, len), S3_OK);
        bed_down(&b, 0);
        free(data);
    }

    bed_close(&b);
}


/* A damaged unit is never handed out; it is decoded around and repaired. */

static void
test_corruption(void)
{
    size_t len;
    unsigned i, notes, t;
    uint8_t *data;
    s3_ref_t ref;
    s3_object_t *object;
    bed_t b;

    bed_open(&b, 11, 4, 2, 1, 1);
    len = 2 * 131008 * 3 + 77;
    data = bed_data(len, 1);

    for (t = 0; t < 12; t++) {
        CHECK_INT(bed_put(&b, 0, s3_string("c"), 0, data, len, 0, 99999),
                  S3_OK);
        CHECK_INT(bed_head(&b, 0, s3_string("c"), &object), S3_OK);
        CHECK_INT(s3_ref_decode(object->record.refs.data, &ref), S3_OK);
        s3_object_release(object);

        if (t < 8) {
            CHECK(s3_mock_rot_unit(b.mock[t % 4], ref.id, t % 3));
            CHECK(s3_mock_rot_unit(b.mock[(t + 1) % 4], ref.id, t % 3));

        } else {
            CHECK(s3_mock_lose_blob(b.mock[t % 4], ref.id));
        }

        CHECK_INT(bed_get(&b, 0, s3_string("c"), data, len), S3_OK);

        if (t == 2) {
            CHECK(s3_mock_rot_unit(b.mock[0], ref.id, t % 3));
            CHECK_INT(bed_get(&b, 0, s3_string("c"), data, len), S3_ECORRUPT);
            CHECK(s3_mock_rot_unit(b.mock[0], ref.id, t % 3));
        }

        s3_store_heal(b.store[0], 1);
        s3_sim_sleep(b.sim, 20000000);
        s3_store_heal(b.store[0], 0);

        for (i = 0, notes = 0; i < 4; i++) {
            notes += s3_mock_notes(b.mock[i]);
        }

        CHECK_INT(notes, 0);

        /* parity that no read met may still be damaged; what was met is whole
         * again, so two other drives may go */

        bed_down(&b, 0);
        CHECK_INT(bed_get(&b, 0, s3_string("c"), data, len), S3_OK);
    }

    free(data);
    bed_close(&b);
}


/* What a drive missed is brought to it. */

static void
test_repair(void)
{
    char name[16];
    unsigned i, round, d;
    uint8_t *data;
    s3_str_t key;
    bed_t b;

    bed_open(&b, 21, 4, 2, 1, 1);

    for (round = 0; round < 3; round++) {
        bed_delay(&b, round == 1 ? 3 : 0);

        for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            s3_sim_run(b.sim); /* a CONFIRM on its way may be lost */
            bed_down(&b, 1u << i % 4);
            key = s3_str(name, (size_t) snprintf(name, 16, "k%u", i));
            data = bed_data(sizes[i], i);

            if (round == 2) {
                CHECK_INT(bed_delete(&b, 0, key), S3_OK);

            } else {
                CHECK_INT(bed_put(&b, 0, key, 0, data, sizes[i], 0, 50000),
                          S3_OK);
            }

            free(data);
        }

        bed_down(&b, 0);
        s3_store_heal(b.store[0], 1);
        s3_sim_sleep(b.sim, 60000000);
        s3_store_heal(b.store[0], 0);
        s3_sim_run(b.sim);

        for (d = 0; d < 4; d++) {
            CHECK_INT(s3_mock_notes(b.mock[d]), 0);
            CHECK(round != 2 || s3_mock_blobs(b.mock[d]) == 0);
        }

        for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            key = s3_str(name, (size_t) snprintf(name, 16, "k%u", i));
            data = bed_data(sizes[i], i);

            for (d = 0; d < 4; d++) {
                const s3_entry_t *e =
                    s3_mock_newest(b.mock[d], BED_BUCKET, key);
                CHECK(e && (e->flags & S3_F_CONFIRMED));
            }

            CHECK_INT(bed_get(&b, 0, key, data, sizes[i]),
                      round == 2 ? S3_ENOENT : S3_OK);
            free(data);
        }
    }

    bed_close(&b);
}


/* A shard lost while writing (one drive full) leaves the rest. */

static void
test_drop_drive(void)
{
    size_t len;
    uint8_t *data;
    unsigned d;
    bed_t b;

    bed_open(&b, 31, 4, 2, 1, 1);
    len = 2 * 131008 * 4;
    data = bed_data(len, 3);

    for (d = 0; d < 4; d++) {
        s3_mock_knobs(b.mock[d])->nospace = 1;
        CHECK_INT(bed_put(&b, 0, s3_string("d"), 0, data, len, 0, 65536),
                  S3_OK);
        s3_mock_knobs(b.mock[d])->nospace = 0;
        CHECK_INT(bed_get(&b, 0, s3_string("d"), data, len), S3_OK);
        bed_down(&b, 1u << (d + 1) % 4);
        CHECK_INT(bed_get(&b, 0, s3_string("d"), data, len), S3_OK);
        bed_down(&b, 0);
    }

    s3_mock_knobs(b.mock[0])->nospace = 1;
    s3_mock_knobs(b.mock[1])->nospace = 1;
    CHECK_INT(bed_put(&b, 0, s3_string("d"), 0, data, len, 0, 65536),
              S3_ENOSPC);
    CHECK_INT(bed_get(&b, 0, s3_string("d"), data, len), S3_OK);

    /* known to be full: the same, but where others are away, too */

    b.drive[0][0]->state = S3_DRIVE_FULL;
    b.drive[0][1]->state = S3_DRIVE_FULL;
    CHECK_INT(bed_put(&b, 0, s3_string("d"), 0, data, len, 0, 65536),
              S3_ENOSPC);
    CHECK_INT(bed_put(&b, 0, s3_string("s"), 0, data, 100, 0, 100), S3_ENOSPC);
    b.drive[0][2]->state = S3_DRIVE_MISSING;
    b.drive[0][3]->state = S3_DRIVE_MISSING;
    CHECK_INT(bed_put(&b, 0, s3_string("s"), 0, data, 100, 0, 100),
              S3_EUNAVAIL);
    b.drive[0][0]->state = S3_DRIVE_MISSING;
    b.drive[0][1]->state = S3_DRIVE_OK;
    b.drive[0][2]->state = S3_DRIVE_OK;
    b.drive[0][3]->state = S3_DRIVE_OK;
    s3_mock_knobs(b.mock[1])->nospace = 0;
    CHECK_INT(bed_put(&b, 0, s3_string("s"), 0, data, 100, 0, 100), S3_OK);
    bed_down(&b, 0);

    free(data);
    bed_close(&b);
}


/* Data that no record lists goes away with its writer. */

static void
test_abandoned(void)
{
    unsigned i, d;
    uint8_t *data;
    s3_writer_t *w;
    bed_t b;

    bed_open(&b, 32, 4, 2, 1, 1);
    data = bed_data(2000000, 3);

    for (i = 0; i < 8; i++) {
        bed_delay(&b, i % 2 ? 5 : 0);

        if (i < 4) {
            w = bed_write(&b, 0, s3_string("a"), 0, data, 2000000, -1, 0,
                          65536);
            CHECK_INT(w->rc, S3_OK);

        } else {
            int flag = 0;

            w = s3_writer_open(b.store[0], BED_BUCKET, s3_string("a"), 0, -1,
                               0);
            w->writable = bed_flag_writer;
            w->finished = bed_flag_writer;
            w->ctx = &flag;
            CHECK(s3_writer_write(w, data, 2000000) > 0);
        }

        s3_writer_close(w);
        s3_sim_run(b.sim);

        for (d = 0; d < 4; d++) {
            CHECK_INT(s3_mock_blobs(b.mock[d]), 0);
        }
    }

    free(data);
    bed_close(&b);
}


/* Bytes put where the writer wants them, mixed with bytes that it copies. */

static void
test_space(int64_t said, size_t size)
{
    bed_t b;
    int flag, tries, i, found;
    size_t done, n;
    ssize_t rc;
    uint8_t *data;
    s3_put_t put;
    s3_space_t spaces[3];
    s3_writer_t *w;

    bed_open(&b, 41, 4, 2, 1, 1);
    data = bed_data(size, 5);

    w = s3_writer_open(b.store[0], BED_BUCKET, s3_string("a"), 0, said, 0);
    w->writable = bed_flag_writer;
    w->finished = bed_flag_writer;
    w->ctx = &flag;

    for (done = 0, tries = 0; done < size && w->rc == S3_OK; tries++) {
        flag = 0;
        found = s3_writer_space(w, spaces, tries % 2 ? 3 : 1);

        if (found == 0) {
            CHECK(flag || s3_sim_until(b.sim, &flag));
            continue;
        }

        if (found < 0 || tries % 3 == 2) {
            n = s3_min((size_t) 5000, size - done);
            rc = s3_writer_write(w, data + done, n);
            done += rc > 0 ? (size_t) rc : 0;
            continue;
        }

        CHECK(found <= (tries % 2 ? 2 : 1)); /* k of them in a stripe */

        for (i = 0; i < found && done < size; i++) {
            n = s3_min(spaces[i].len, size - done);
            n = tries % 3 || i + 1 < found ? n : s3_min(n, (size_t) 70001);
            memcpy(spaces[i].data, data + done, n);
            CHECK_INT(s3_writer_write(w, spaces[i].data, n), (ssize_t) n);
            done += n;
        }
    }

    flag = 0;
    s3_writer_finish(w);
    CHECK(flag || s3_sim_until(b.sim, &flag));

    if (said > (int64_t) size) {
        CHECK_INT(w->rc, S3_EINVAL);

    } else {
        CHECK_INT(w->rc, S3_OK);
        bed_init_put(&b, 0, &put, s3_string("a"), S3_KIND_OBJECT);
        put.writer = w;
        CHECK_INT(bed_commit(&b, &put), S3_OK);
        CHECK_INT(bed_get(&b, 0, s3_string("a"), data, size), S3_OK);
    }

    s3_writer_close(w);
    s3_sim_run(b.sim);
    free(data);
    bed_close(&b);
}


static void
trim(s3_units_t *units)
{
    unsigned i, n = units->n;

    for (i = 1; i < S3_UNITS_QUIET; i++) {
        s3_units_trim(units);
        CHECK_INT(units->n, n);
    }

    s3_units_trim(units);
}


/* Units are apart, aligned, used again; slabs do not pile up. */

static void
test_units(void)
{
    unsigned i, j;
    s3_units_t units;
    uint8_t *u[100];

    memset(&units, 0, sizeof(units));

    for (j = 0; j < 3; j++) {
        for (i = 0; i < 100; i++) {
            u[i] = s3_units_get(&units);
            CHECK(u[i] && (uintptr_t) u[i] % S3_SECTOR == 0);
            memset(u[i], (int) i, S3_UNITS_SIZE);
        }

        CHECK_INT(units.n, 7);
        CHECK_INT(units.empty, 0);

        for (i = 0; i < 100; i++) {
            CHECK(u[i][0] == i && u[i][S3_UNITS_SIZE - 1] == i);
            s3_units_put(&units, u[i]);
        }

        CHECK_INT(units.n, 7);
        CHECK_INT(units.empty, 7);

        /* the first time all were in use a moment ago */

        trim(&units);
        CHECK_INT(units.n, 7);
        trim(&units);
        CHECK_INT(units.n, 4);
        trim(&units);
        CHECK_INT(units.n, 4);
    }

    /* one of five that is in use keeps itself and the few */

    for (i = 0; i < 80; i++) {
        u[i] = s3_units_get(&units);
    }

    for (i = 1; i < 80; i++) {
        s3_units_put(&units, u[i]);
    }

    trim(&units);
    trim(&units);
    CHECK_INT(units.n, 5);
    CHECK_INT(units.empty, 4);
    s3_units_put(&units, u[0]);

    s3_units_free(&units);
    CHECK_INT(units.n, 0);
}


int
main(void)
{
    test_units();
    test_round_trip(1, 0, 0, 0, 0, 0);
    test_round_trip(1, 0, 0, 0, 2, S3_WRITER_BLOB);
    test_round_trip(2, 1, 1, 0, 0, 0);
    test_round_trip(3, 1, 1, 0, 2, 0);
    test_round_trip(3, 0, 0, 0, 0, 0);
    test_round_trip(4, 2, 1, 0, 0, 0);
    test_round_trip(4, 2, 1, 1, 2, 0);
    test_round_trip(4, 2, 1, 0, 2, S3_WRITER_BLOB);
    test_round_trip(5, 2, 1, 0, 1, 0);
    test_round_trip(8, 4, 2, 0, 0, 0);
    test_degraded_write(3, 1);
    test_degraded_write(4, 2);
    test_degraded_write(5, 2);
    test_ranges(3 * 131008 * 3 + 12345, 0);
    test_ranges(100003, 0);
    test_ranges(100003, BED_META);
    test_ranges(100003, BED_DATA);
    test_ranges(9999, BED_DATA);
    test_head_meta();
    test_parts();
    test_same_data();
    test_corruption();
    test_repair();
    test_drop_drive();
    test_abandoned();
    test_space(2000000, 2000000);
    test_space(4 * S3_BLOB_PAYLOAD, 4 * S3_BLOB_PAYLOAD);
    test_space(-1, 700000);
    test_space(2000001, 2000000);

    return S3_TEST_END();
}
