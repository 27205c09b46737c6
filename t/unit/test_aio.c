/*
 * libaio on real files: batches, limits, ends of files, errors, the threads in
 * its place.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "ngx_s3_module/ngx_s3_fs.c"
#include "ngx_s3_module/ngx_s3_fs_probe.c"
#include "ngx_s3_module/ngx_s3_fs_time.c"
#include "ngx_s3_module/ngx_s3_threads.c"
#include "ngx_s3_module/ngx_s3_aio.c"

#include <poll.h>

#include "s3_test.h"


#define N 300
#define DRIVES 3

static char root[64];
static ngx_s3_threads_t *threads;
static ngx_s3_aio_t *aio;
static s3_aio_t reqs[N];
static unsigned finished;
static s3_fs_t *fs;


static void
done(s3_aio_t *a)
{
    (*(unsigned *) a->ctx)++;
    finished++;
}


static void
wait_all(void)
{
    unsigned i;
    struct pollfd p[2] = {{ngx_s3_aio_fd(aio), POLLIN, 0},
                          {ngx_s3_threads_fd(threads), POLLIN, 0}};

    for (i = 0; ngx_s3_aio_pending(aio); i++) {
        REQUIRE(i < 100000);
        (void) ngx_s3_aio_flush(aio);

        for (unsigned d = 0; d < DRIVES; d++) {
            REQUIRE(aio->d[d].active <= aio->limit);
        }

        REQUIRE(poll(p, 2, 5000) > 0);
        (void) ngx_s3_aio_reap(aio);
        (void) ngx_s3_threads_reap(threads);
    }
}


static void
submit(s3_aio_t *a, s3_file_t *f, int write, void *buf, size_t len,
       uint64_t off, unsigned drive, unsigned *count)
{
    memset(a, 0, sizeof(s3_aio_t));
    a->file = f;
    a->write = write != 0;
    a->dsync = write == 2;
    a->buf = buf;
    a->len = len;
    a->off = off;
    a->drive = drive;
    a->done = done;
    a->ctx = count;
    a->result = -100;

    ngx_s3_aio_submit(aio, a);
}


static void
test_files(unsigned flags)
{
    unsigned i, counts[N];
    uint8_t *buf;
    s3_file_t *f, *r;

    REQUIRE(posix_memalign((void **) &buf, S3_SECTOR, N * S3_SECTOR) == 0);

    REQUIRE(
        fs->open(fs, "data", S3_O_READ | S3_O_WRITE | S3_O_CREATE | flags, &f)
        == S3_OK);
    REQUIRE(fs->truncate(fs, f, 0) == S3_OK);
    REQUIRE(fs->allocate(fs, f, N * S3_SECTOR) == S3_OK);

    memset(counts, 0, sizeof(counts));
    finished = 0;

    for (i = 0; i < N; i++) {
        memset(buf + i * S3_SECTOR, (int) i, S3_SECTOR);
        submit(&reqs[i], f, 1 + i % 2, buf + i * S3_SECTOR, S3_SECTOR,
               (uint64_t) i * S3_SECTOR, i % (DRIVES + 1), &counts[i]);
    }

    CHECK_INT(finished, 0);
    CHECK_INT(ngx_s3_aio_pending(aio), N);
    wait_all();
    CHECK_INT(finished, N);

    for (i = 0; i < N; i++) {
        REQUIRE(counts[i] == 1);
        REQUIRE(reqs[i].result == S3_SECTOR);
    }

    /* back again, the end of the file in the middle of the last */
    REQUIRE(fs->truncate(fs, f, (N - 1) * S3_SECTOR + 1000) == S3_OK);
    memset(buf, 0, N * S3_SECTOR);

    for (i = 0; i < N; i++) {
        submit(&reqs[i], f, 0, buf + i * S3_SECTOR, S3_SECTOR,
               (uint64_t) i * S3_SECTOR, i % DRIVES, &counts[i]);
    }

    wait_all();

    for (i = 0; i < N; i++) {
        CHECK_INT(reqs[i].result, i == N - 1 ? 1000 : S3_SECTOR);
        REQUIRE(buf[i * S3_SECTOR + 999] == (uint8_t) i);
    }

    /* wholly behind the end */
    submit(&reqs[0], f, 0, buf, S3_SECTOR, (N + 5) * S3_SECTOR, 0, &counts[0]);
    wait_all();
    CHECK_INT(reqs[0].result, 0);

    /* one larger than what is there: what there is */
    submit(&reqs[0], f, 0, buf, 4 * S3_SECTOR, (N - 2) * S3_SECTOR, 0,
           &counts[0]);
    wait_all();
    CHECK_INT(reqs[0].result, S3_SECTOR + 1000);

    /* a bad one among good ones fails alone */
    REQUIRE(fs->open(fs, "data", S3_O_READ | flags, &r) == S3_OK);
    submit(&reqs[0], f, 1, buf, S3_SECTOR, 0, 0, &counts[0]);
    submit(&reqs[1], r, 1, buf, S3_SECTOR, 0, 0, &counts[0]);
    submit(&reqs[2], f, 2, buf, S3_SECTOR, S3_SECTOR, 0, &counts[0]);
    wait_all();
    CHECK_INT(reqs[0].result, S3_SECTOR);
    CHECK(reqs[1].result < 0);
    CHECK_INT(reqs[2].result, S3_SECTOR);

    if (f->direct) {
        submit(&reqs[0], f, 1, buf + 1, S3_SECTOR, 0, 0, &counts[0]);
        wait_all();
        CHECK(reqs[0].result == S3_EIO || reqs[0].result == S3_SECTOR);
    }

    CHECK_INT(ngx_s3_aio_age(aio, 0), 0);
    CHECK_INT(ngx_s3_aio_load(aio, 0), 0);

    /* destroy() waits for what has been submitted only */
    finished = 0;

    for (i = 0; i < 50; i++) {
        submit(&reqs[i], f, 1, buf, S3_SECTOR, 0, i % DRIVES, &counts[0]);
    }

    CHECK(ngx_s3_aio_load(aio, 0) > 0);
    ngx_s3_aio_destroy(aio);
    CHECK_INT(finished, 50);

    fs->close(fs, r);
    fs->close(fs, f);
    free(buf);
}


/* Writes of which each goes on where the one before ends, and some that don't:
 * few requests for the kernel, the same results. */

static void
test_runs(void)
{
    unsigned i, counts[N], ring;
    uint8_t *buf, *back;
    s3_file_t *f, *r;

    ring = aio->ctx != NULL;
    REQUIRE(posix_memalign((void **) &buf, S3_SECTOR, N * S3_SECTOR) == 0);
    REQUIRE(posix_memalign((void **) &back, S3_SECTOR, N * S3_SECTOR) == 0);
    REQUIRE(fs->open(fs, "runs",
                     S3_O_READ | S3_O_WRITE | S3_O_CREATE | S3_O_DIRECT, &f)
            == S3_OK);
    REQUIRE(fs->truncate(fs, f, 0) == S3_OK);
    REQUIRE(fs->allocate(fs, f, N * S3_SECTOR) == S3_OK);

    memset(counts, 0, sizeof(counts));

    for (i = 0; i < 48; i++) {
        memset(buf + i * S3_SECTOR, (int) i + 1, S3_SECTOR);

        /* 0 .. 11 in pairs the wrong way round, 12 .. 47 as they lie, of which
         * 30 is durable and the others are not */

        submit(&reqs[i], f, 1 + (i == 30), buf + i * S3_SECTOR, S3_SECTOR,
               (uint64_t) (i < 12 ? i ^ 1 : i) * S3_SECTOR, 0, &counts[i]);
    }

    CHECK_INT(ngx_s3_aio_load(aio, 0), 48);

    if (ring && aio->limit == 16) {
        (void) ngx_s3_aio_flush(aio);
        CHECK_INT(aio->d[0].active, 16);
        CHECK_INT(aio->queued, 48 - 12 - 4 * NGX_S3_AIO_RUN);
    }

    wait_all();

    for (i = 0; i < 48; i++) {
        CHECK_INT(counts[i], 1);
        CHECK_INT(reqs[i].result, S3_SECTOR);
    }

    CHECK_INT(fs->pread(fs, f, back, 48 * S3_SECTOR, 0), 48 * S3_SECTOR);

    for (i = 0; i < 48; i++) {
        CHECK(memcmp(back + (i < 12 ? i ^ 1 : i) * S3_SECTOR,
                     buf + i * S3_SECTOR, S3_SECTOR)
              == 0);
    }

    /* one in the middle cannot be written, the others can */

    for (i = 0; i < 4; i++) {
        memset(buf + i * S3_SECTOR, 77, S3_SECTOR);
        submit(&reqs[i], f, 1, i == 2 ? NULL : buf + i * S3_SECTOR, S3_SECTOR,
               (uint64_t) i * S3_SECTOR, 0, &counts[i]);
    }

    wait_all();

    for (i = 0; i < 4; i++) {
        CHECK_INT(counts[i], 2);
        CHECK_INT(reqs[i].result, i == 2 ? S3_EIO : S3_SECTOR);
    }

    CHECK_INT(fs->pread(fs, f, back, 4 * S3_SECTOR, 0), 4 * S3_SECTOR);
    CHECK(back[0] == 77 && back[S3_SECTOR] == 77 && back[3 * S3_SECTOR] == 77);

    /* none of them can */

    REQUIRE(fs->open(fs, "runs", S3_O_READ | S3_O_DIRECT, &r) == S3_OK);

    for (i = 0; i < 6; i++) {
        submit(&reqs[i], r, 1, buf, S3_SECTOR, (uint64_t) i * S3_SECTOR, 0,
               &counts[i]);
    }

    wait_all();

    for (i = 0; i < 6; i++) {
        CHECK(reqs[i].result < 0);
    }

    CHECK_INT(ngx_s3_aio_load(aio, 0), 0);

    fs->close(fs, r);
    fs->close(fs, f);
    free(back);
    free(buf);
}


int
main(void)
{
    int i;
    char cmd[128];

    strcpy(root, "/var/tmp/s3_test_aio.XXXXXX");
    REQUIRE(mkdtemp(root) != NULL);

    fs = ngx_s3_fs_create(root, 0);
    REQUIRE(fs != NULL && ngx_s3_fs_attach(fs) == S3_OK);

    threads = ngx_s3_threads_create(DRIVES, 2);
    REQUIRE(threads != NULL);

    CHECK(ngx_s3_aio_create(0, 1, 1, threads) == NULL);

    for (i = 0; i < 4; i++) {

        /* a ring smaller than what is wanted, a limit below it */
        aio = ngx_s3_aio_create(DRIVES, i == 1 ? 4 : 64, i == 1 ? 2 : 16,
                                threads);
        REQUIRE(aio != NULL);

        if (i == 3) {

            /* as if fs.aio-max-nr had been reached */
            (void) io_destroy(aio->ctx);
            aio->ctx = NULL;
        }

        test_runs();
        test_files(i == 2 ? 0 : S3_O_DIRECT);
    }

    ngx_s3_threads_destroy(threads);
    ngx_s3_fs_destroy(fs);

    snprintf(cmd, sizeof(cmd), "rm -rf %s", root);
    CHECK_INT(system(cmd), 0);

    return S3_TEST_END();
}
