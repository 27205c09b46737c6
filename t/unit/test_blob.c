/*
 * Blob units, names, writers and readers; power cuts and errors at every I/O.
 */

#include "s3_test.h"

#include "storage/s3_blob.h"
#include "t/sim/s3_memfs.h"

#define UNITS 20
#define SMALL 3000 /* payload of the last unit */


typedef struct {
    s3_unit_t unit;
    int *left;
} op_t;


static void
on_unit(s3_req_t *req)
{
    op_t *op = req->ctx;

    (*op->left)--;
}


static void
on_blob(s3_req_t *req)
{
    int *flag = req->ctx;

    *flag = 1;
}


static void *
sector_alloc(size_t n)
{
    void *p = aligned_alloc(S3_SECTOR, n);

    REQUIRE(p);

    return p;
}


static size_t
fill(uint8_t *buf, const uint8_t *id, uint32_t block, int last)
{
    size_t i;
    s3_blob_unit_t u;

    memset(&u, 0, sizeof(u));
    memcpy(u.id, id, 16);
    u.block = block;
    u.length = last ? SMALL : S3_BLOB_PAYLOAD;
    u.shard = 2;
    u.k = 3;
    u.n = 5;
    u.last = (uint8_t) last;

    for (i = 0; i < u.length; i++) {
        buf[S3_BLOB_HEADER + i] = (uint8_t) (block * 31 + i);
    }

    return s3_blob_unit_seal(buf, &u);
}


static void
test_unit(void)
{
    uint8_t id[16], other[16], *buf = sector_alloc(S3_BLOB_UNIT);
    size_t size, payload, i;
    unsigned passed = 0;
    s3_blob_unit_t u;

    memset(id, 7, 16);
    memset(other, 8, 16);
    memset(buf, 0xff, S3_BLOB_UNIT);

    size = fill(buf, id, 9, 1);
    CHECK_INT(size, S3_SECTOR);
    CHECK_INT(buf[S3_SECTOR - 1], 0);
    CHECK_INT(s3_blob_unit_check(buf, size, id, 2, 9, &payload), S3_OK);
    CHECK_INT(payload, SMALL);
    CHECK_INT(s3_blob_unit_check(buf, size, other, 2, 9, &payload),
              S3_ECORRUPT);
    CHECK_INT(s3_blob_unit_check(buf, size, id, 1, 9, &payload), S3_ECORRUPT);
    CHECK_INT(s3_blob_unit_check(buf, size, id, 2, 8, &payload), S3_ECORRUPT);
    CHECK_INT(
        s3_blob_unit_check(buf, S3_BLOB_HEADER + SMALL - 1, id, 2, 9, &payload),
        S3_ECORRUPT);
    CHECK_INT(s3_blob_unit_check(buf, 63, id, 2, 9, &payload), S3_ECORRUPT);

    CHECK_INT(s3_blob_unit_decode(buf, size, &u), S3_OK);
    CHECK(u.k == 3 && u.n == 5 && u.last == 1 && u.shard == 2);

    for (i = 0; i < S3_BLOB_HEADER + SMALL; i++) {
        buf[i] ^= 4;
        passed += s3_blob_unit_check(buf, size, id, 2, 9, &payload) == S3_OK;
        buf[i] ^= 4;
    }

    CHECK_INT(passed, 0);

    size = fill(buf, id, 0, 0);
    CHECK_INT(size, S3_BLOB_UNIT);
    CHECK_INT(s3_blob_unit_check(buf, size, id, 2, 0, &payload), S3_OK);
    CHECK_INT(payload, S3_BLOB_PAYLOAD);

    free(buf);
}


/* A stripe in one pass is what coding and sealing it one by one gives. */

static void
test_stripe(unsigned k, unsigned n, size_t length)
{
    unsigned i;
    size_t size, at;
    uint8_t *a[S3_CODE_MAX], *b[S3_CODE_MAX], *rows[S3_CODE_MAX], *scratch;
    s3_code_t *code = s3_code_create();
    s3_blob_unit_t u;

    memset(&u, 0, sizeof(u));
    memset(u.id, 5, 16);
    u.block = 3;
    u.length = (uint32_t) length;
    u.k = (uint8_t) k;
    u.n = (uint8_t) n;

    size = s3_blob_unit_size(length);
    scratch = sector_alloc(S3_CODE_MAX * S3_BLOB_BLOCK);

    for (i = 0; i < n; i++) {
        a[i] = sector_alloc(size);
        b[i] = sector_alloc(size);
        memset(a[i], 0xee, size);
        memset(b[i], 0xdd, size);

        for (at = 0; i < k && at < length; at++) {
            a[i][S3_BLOB_HEADER + at] = b[i][S3_BLOB_HEADER + at] =
                (uint8_t) (at * (i + 3) >> 3);
        }

        rows[i] = b[i] + S3_BLOB_HEADER;
    }

    CHECK_INT(s3_blob_stripe_seal(code, a, &u, scratch), S3_OK);
    CHECK_INT(s3_code_encode(code, k, n - k, length, rows), S3_OK);

    for (i = 0; i < n; i++) {
        u.shard = (uint8_t) i;
        CHECK_INT(s3_blob_unit_seal(b[i], &u), size);
        CHECK(memcmp(a[i], b[i], size) == 0);
        free(a[i]);
        free(b[i]);
    }

    free(scratch);
    s3_code_destroy(code);
}


#define TMP "0a1b2c3d4e5f708192a3b4c5d6e7f809.92a3b4c5d6e7f809.3fdeadbe0f"

static void
test_tmp_names(void)
{
    size_t i;
    char path[S3_BLOB_TMP_PATH], name[sizeof(TMP)];
    s3_blob_tmp_t tmp, out;
    static const char *const wrong[] = {
        "",
        ".",
        "probe-17",
        "0a1b2c3d4e5f708192a3b4c5d6e7f809",
        "0a1b2c3d4e5f708192a3b4c5d6e7f809.92a3b4c5d6e7f809",
        TMP "0",
        TMP ".",
    };

    memset(&tmp, 0, sizeof(tmp));
    memset(&out, 0, sizeof(out));

    for (i = 0; i < 16; i++) {
        tmp.id[i] = (uint8_t) (i * 17 + 10);
    }

    memcpy(tmp.nonce, tmp.id + 8, 8);
    tmp.slot = 0x3f;
    tmp.incarnation = 0xdeadbe0f;

    s3_blob_tmp_path(path, &tmp);
    CHECK_STR(path, "tmp/" TMP);
    CHECK_INT(s3_blob_tmp_parse(path + 4, &out), S3_OK);
    CHECK(memcmp(&tmp, &out, sizeof(tmp)) == 0);

    for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        CHECK_INT(s3_blob_tmp_parse(wrong[i], &out), S3_EINVAL);
    }

    /* cut off anywhere, and with each byte another one */
    for (i = 0; i < sizeof(TMP) - 1; i++) {
        memcpy(name, TMP, sizeof(TMP));
        name[i] = name[i] == '.' ? '0' : 'F';
        CHECK_INT(s3_blob_tmp_parse(name, &out), S3_EINVAL);
        name[i] = '\0';
        CHECK_INT(s3_blob_tmp_parse(name, &out), S3_EINVAL);
    }
}


static void
test_names(void)
{
    char path[S3_BLOB_PATH];
    uint8_t id[16], out[16];
    unsigned i;

    for (i = 0; i < 16; i++) {
        id[i] = (uint8_t) (i * 17 + 10);
    }

    s3_blob_path(path, id);
    CHECK_STR(path, "blob/0a/0a1b2c3d4e5f708192a3b4c5d6e7f809");
    CHECK_INT(s3_blob_parse_name(path + 8, out), S3_OK);
    CHECK(memcmp(id, out, 16) == 0);
    CHECK_INT(s3_blob_parse_name("", out), S3_EINVAL);
    CHECK_INT(s3_blob_parse_name("0a1b2c3d4e5f708192a3b4c5d6e7f80", out),
              S3_EINVAL);
    CHECK_INT(s3_blob_parse_name("0a1b2c3d4e5f708192a3b4c5d6e7f8099", out),
              S3_EINVAL);
    CHECK_INT(s3_blob_parse_name("0A1b2c3d4e5f708192a3b4c5d6e7f809", out),
              S3_EINVAL);
}


/* What was in flight when the world stopped: the power cut tears it. */

static op_t *limbo;
static unsigned n_limbo;


static void
free_limbo(void)
{
    while (n_limbo) {
        free(limbo[--n_limbo].unit.buf);
    }

    free(limbo);
    limbo = NULL;
}


/* Writing a blob of n units in random order; its result. */

static int
write_blob(s3_sim_t *sim, s3_blobs_t *blobs, uint8_t seed, unsigned n,
           uint64_t size, int abort_it)
{
    int flag = 0, left = (int) n, rc;
    unsigned i;
    op_t *ops;
    s3_blob_req_t req;

    memset(&req, 0, sizeof(req));
    memset(req.id, seed, 16);
    req.size = size;
    req.req.done = on_blob;
    req.req.ctx = &flag;
    s3_blobs_open(blobs, &req);

    if (!s3_sim_until(sim, &flag)) {
        return S3_AGAIN;
    }

    if (req.req.rc != S3_OK) {
        CHECK(req.blob == NULL);
        return req.req.rc;
    }

    ops = calloc(n, sizeof(op_t));

    for (i = 0; i < n; i++) {
        ops[i].left = &left;
        ops[i].unit.req.done = on_unit;
        ops[i].unit.req.ctx = &ops[i];
        ops[i].unit.blob = req.blob;
        ops[i].unit.block = n - 1 - i;
        ops[i].unit.buf = sector_alloc(S3_BLOB_UNIT);
        ops[i].unit.len = fill(ops[i].unit.buf, req.id, n - 1 - i, i == 0);
        s3_blobs_write(blobs, &ops[i].unit);
    }

    flag = 0;

    if (abort_it) {
        s3_blobs_abort(blobs, &req);

    } else {
        s3_blobs_finish(blobs, &req);
    }

    rc = s3_sim_until(sim, &flag) ? req.req.rc : S3_AGAIN;

    if (rc != S3_AGAIN) {
        CHECK(req.blob == NULL);
        CHECK_INT(left, 0);
    }

    if (rc == S3_OK && !abort_it) {
        for (i = 0; i < n; i++) {
            CHECK_INT(ops[i].unit.req.rc, S3_OK);
        }
    }

    /* a write in flight keeps its buffer; nobody is called after a stop */
    if (rc == S3_AGAIN) {
        CHECK(s3_sim_stopped(sim));
    }

    limbo = ops;
    n_limbo = n;

    if (rc != S3_AGAIN) {
        free_limbo();
    }

    return rc;
}


/* Reads all and verifies; units that were good, or the first error. */

static int
read_blob(s3_sim_t *sim, s3_blobs_t *blobs, uint8_t seed, unsigned n)
{
    int left = (int) n, good = 0, rc = 0, zero;
    size_t payload;
    unsigned i;
    op_t *ops = calloc(n, sizeof(op_t));
    s3_unit_t *u;

    for (i = 0; i < n; i++) {
        u = &ops[i].unit;
        ops[i].left = &left;
        u->req.done = on_unit;
        u->req.ctx = &ops[i];
        memset(u->id, seed, 16);
        u->block = i;
        u->buf = sector_alloc(S3_BLOB_UNIT);
        u->len = S3_BLOB_UNIT;
        u->cached = seed % 2;
        s3_blobs_read(blobs, u);
    }

    while (left && s3_sim_step(sim)) {
        /* void */
    }

    CHECK_INT(left, 0);

    for (i = 0; i < n; i++) {
        u = &ops[i].unit;

        if (u->req.rc != S3_OK) {
            rc = rc ? rc : u->req.rc;

        } else {
            zero =
                s3_blob_unit_check(u->buf, u->done_len, u->id, 2, i, &payload);

            if (zero == S3_OK
                && payload
                       == (i == n - 1 ? (size_t) SMALL
                                      : (size_t) S3_BLOB_PAYLOAD)
                && ((uint8_t *) u->buf)[S3_BLOB_HEADER + 5]
                       == (uint8_t) (i * 31 + 5))
            {
                good++;
            }
        }

        free(u->buf);
    }

    free(ops);

    return rc ? rc : good;
}


static int
remove_blob(s3_sim_t *sim, s3_blobs_t *blobs, uint8_t seed)
{
    int flag = 0;
    s3_blob_req_t req;

    memset(&req, 0, sizeof(req));
    memset(req.id, seed, 16);
    req.req.done = on_blob;
    req.req.ctx = &flag;
    s3_blobs_remove(blobs, &req);
    CHECK(s3_sim_until(sim, &flag));

    return req.req.rc;
}


static int
count_name(void *ctx, const char *name)
{
    (void) name;

    ++*(int *) ctx;

    return 0;
}


static int
count(s3_memfs_t *m, const char *dir)
{
    int n = 0;
    s3_fs_t *fs = s3_memfs_fs(m);

    return fs->list(fs, dir, count_name, &n) == S3_OK ? n : -1;
}


static s3_blobs_t *
blobs_of(s3_sim_t *sim, s3_memfs_t *m, s3_loop_t **loop)
{
    s3_blobs_conf_t conf;
    s3_blobs_t *blobs;

    *loop = s3_sim_loop(sim);
    memset(&conf, 0, sizeof(conf));
    conf.loop = *loop;
    conf.fs = s3_memfs_fs(m);
    conf.max_open = 3;
    blobs = s3_blobs_create(&conf);
    REQUIRE(blobs);

    return blobs;
}


static void
test_life(void)
{
    unsigned i;
    uint64_t used;
    s3_sim_t *sim = s3_sim_create(3);
    s3_memfs_t *m = s3_memfs_create(sim, 0, 1);
    s3_loop_t *loop, *loop2;
    s3_blobs_t *blobs = blobs_of(sim, m, &loop);
    s3_blobs_t *blobs2 = blobs_of(sim, m, &loop2);
    s3_unit_t bad;
    int flag = 0;

    /* known, unknown, wrongly announced size */
    CHECK_INT(write_blob(sim, blobs, 1, UNITS,
                         (UNITS - 1) * S3_BLOB_UNIT + S3_SECTOR, 0),
              S3_OK);
    used = (UNITS - 1) * S3_BLOB_UNIT + S3_SECTOR;
    CHECK_INT(s3_memfs_used(m), used);
    CHECK_INT(write_blob(sim, blobs, 2, UNITS, 0, 0), S3_OK);
    CHECK_INT(s3_memfs_used(m), 2 * used);
    CHECK_INT(write_blob(sim, blobs, 3, UNITS, 5000, 0), S3_OK);
    CHECK_INT(write_blob(sim, blobs, 4, 2, 1ull << 45, 0), S3_OK);
    CHECK_INT(s3_memfs_used(m), 3 * used + S3_BLOB_UNIT + S3_SECTOR);
    CHECK_INT(write_blob(sim, blobs, 5, 5, 0, 1), S3_OK);
    CHECK_INT(count(m, "tmp"), 0);

    for (i = 1; i <= 3; i++) {
        CHECK_INT(read_blob(sim, blobs, (uint8_t) i, UNITS), UNITS);
        CHECK_INT(read_blob(sim, blobs2, (uint8_t) i, UNITS), UNITS);
    }

    CHECK_INT(read_blob(sim, blobs, 4, 2), 2);
    CHECK_INT(read_blob(sim, blobs, 4, 7), 1); /* beyond the end */
    CHECK_INT(read_blob(sim, blobs, 5, 1), S3_ENOENT);
    CHECK_INT(read_blob(sim, blobs, 99, 3), S3_ENOENT);
    s3_sim_run(sim);
    CHECK(s3_memfs_open_files(m) <= 12); /* direct and buffered */

    /* the other process lets go of a removed one after a while */
    CHECK_INT(read_blob(sim, blobs2, 1, UNITS), UNITS);
    CHECK_INT(remove_blob(sim, blobs, 1), S3_OK);
    CHECK_INT(remove_blob(sim, blobs, 1), S3_OK);
    CHECK_INT(read_blob(sim, blobs, 1, 1), S3_ENOENT);
    CHECK_INT(read_blob(sim, blobs2, 1, UNITS), UNITS);
    s3_sim_sleep(sim, 60000000);
    CHECK_INT(s3_memfs_open_files(m), 0);
    CHECK_INT(read_blob(sim, blobs2, 1, 1), S3_ENOENT);

    /* what does not fit direct I/O is refused */
    memset(&bad, 0, sizeof(bad));
    memset(bad.id, 2, 16);
    bad.req.done = on_blob;
    bad.req.ctx = &flag;
    bad.buf = (void *) 4096;
    bad.len = 100;
    s3_blobs_read(blobs, &bad);
    CHECK(flag == 1 && bad.req.rc == S3_EINVAL);

    CHECK_INT(read_blob(sim, blobs, 2, UNITS), UNITS);
    s3_sim_run(sim);
    CHECK(s3_blobs_idle(blobs) && s3_blobs_idle(blobs2));
    s3_blobs_destroy(blobs);
    s3_blobs_destroy(blobs2);
    CHECK_INT(s3_memfs_open_files(m), 0);
    s3_sim_destroy(sim);
}


static void
test_full(void)
{
    s3_sim_t *sim = s3_sim_create(4);
    s3_memfs_t *m = s3_memfs_create(sim, 0, 1);
    s3_loop_t *loop;
    s3_blobs_t *blobs = blobs_of(sim, m, &loop);

    s3_memfs_set_capacity(m, 10 * S3_BLOB_UNIT);
    CHECK_INT(write_blob(sim, blobs, 1, UNITS, UNITS * S3_BLOB_UNIT, 0),
              S3_ENOSPC);
    CHECK_INT(write_blob(sim, blobs, 2, UNITS, 0, 0), S3_ENOSPC);
    CHECK_INT(s3_memfs_used(m), 0);
    CHECK_INT(write_blob(sim, blobs, 2, 5, 0, 0), S3_OK);

    s3_blobs_destroy(blobs);
    s3_sim_destroy(sim);
}


/* A finished blob is there after a power cut, whole; another one is there or
 * not, and if it is, it is whole, too. */

static void
test_cuts(uint64_t seed)
{
    int rc1, rc2, got;
    uint64_t io, ios = UINT64_MAX;
    s3_sim_t *sim;
    s3_memfs_t *m;
    s3_loop_t *loop;
    s3_blobs_t *blobs;

    for (io = 0; io < ios; io++) {
        sim = s3_sim_create(seed + io);
        m = s3_memfs_create(sim, 0, 1);
        blobs = blobs_of(sim, m, &loop);

        s3_sim_fault_at(sim, io, S3_FAULT_STOP);
        rc1 = write_blob(sim, blobs, 1, 3, io % 2 ? 3 * S3_BLOB_UNIT : 0, 0);
        rc2 = rc1 == S3_OK ? write_blob(sim, blobs, 2, 12, 0, 0) : S3_AGAIN;

        if (!s3_sim_stopped(sim)) {
            ios = 0;
        }

        s3_memfs_crash(m);
        s3_sim_kill(loop);
        s3_blobs_destroy(blobs);
        free_limbo();
        s3_sim_resume(sim);
        s3_sim_fault_clear(sim);

        CHECK_INT(s3_blob_clean_tmp(s3_memfs_fs(m)), S3_OK);
        CHECK_INT(count(m, "tmp"), 0);
        CHECK_INT(s3_memfs_open_files(m), 0);

        blobs = blobs_of(sim, m, &loop);
        got = read_blob(sim, blobs, 1, 3);
        CHECK(got == 3 || (rc1 != S3_OK && got == S3_ENOENT));
        got = read_blob(sim, blobs, 2, 12);
        CHECK(got == 12 || (rc2 != S3_OK && got == S3_ENOENT));

        s3_sim_run(sim);
        s3_blobs_destroy(blobs);
        s3_sim_destroy(sim);
    }
}


/* Every I/O fails; no handle and no file is left behind. */

static void
test_errors(uint64_t seed)
{
    int rc, got;
    unsigned fault;
    uint64_t io, ios = UINT64_MAX;
    s3_sim_t *sim;
    s3_memfs_t *m;
    s3_loop_t *loop;
    s3_blobs_t *blobs;
    static const s3_fault_t faults[] = {S3_FAULT_EIO, S3_FAULT_ENOSPC,
                                        S3_FAULT_TORN};

    for (io = 0; io < ios; io++) {
        for (fault = 0; fault < 3; fault++) {
            sim = s3_sim_create(seed + io * 3 + fault);
            m = s3_memfs_create(sim, 0, 1);
            blobs = blobs_of(sim, m, &loop);

            s3_sim_fault_at(sim, io, faults[fault]);
            rc = write_blob(sim, blobs, 1, 12, 0, 0);

            if (s3_sim_ios(sim) <= io) {
                ios = 0;
            }

            s3_sim_fault_clear(sim);
            got = read_blob(sim, blobs, 1, 12);
            CHECK(rc == S3_OK ? got == 12 : got == S3_ENOENT);
            CHECK_INT(count(m, "tmp"), 0);

            CHECK_INT(write_blob(sim, blobs, 2, 1, 0, 0), S3_OK);
            s3_sim_run(sim);
            CHECK(s3_blobs_idle(blobs));
            s3_blobs_destroy(blobs);
            CHECK_INT(s3_memfs_open_files(m), 0);
            s3_sim_destroy(sim);
        }
    }
}


int
main(void)
{
    test_unit();
    test_stripe(2, 4, S3_BLOB_PAYLOAD);
    test_stripe(2, 4, 1);
    test_stripe(1, 1, 4096);
    test_stripe(3, 4, 4097);
    test_stripe(20, 32, 12345);
    test_names();
    test_tmp_names();
    test_life();
    test_full();
    test_cuts(10);
    test_errors(20);

    return S3_TEST_END();
}
