/*
 * The world in memory itself: what a power cut keeps, and what it may not.
 */

#include "s3_test.h"

#include "t/sim/s3_memfs.h"


static uint8_t buf[8192];


static s3_file_t *
open_new(s3_fs_t *fs, const char *path)
{
    s3_file_t *f;

    REQUIRE(fs->open(fs, path, S3_O_READ | S3_O_WRITE | S3_O_CREATE, &f)
            == S3_OK);

    return f;
}


/* Bytes of the file that are v; -1: no such file. */

static int
count(s3_fs_t *fs, const char *path, uint8_t v)
{
    int n = 0;
    ssize_t i, len;
    s3_file_t *f;

    if (fs->open(fs, path, S3_O_READ, &f) != S3_OK) {
        return -1;
    }

    len = fs->pread(fs, f, buf, sizeof(buf), 0);
    fs->close(fs, f);

    for (i = 0; i < len; i++) {
        n += buf[i] == v;
    }

    return n;
}


static void
test_cut(void)
{
    int n, names = 0, no_name = 0, old = 0, moved = 0, torn = 0, all = 0;
    uint64_t seed;
    s3_sim_t *sim;
    s3_memfs_t *m;
    s3_fs_t *fs;
    s3_file_t *f;

    for (seed = 0; seed < 200; seed++) {
        sim = s3_sim_create(seed);
        m = s3_memfs_create(sim, 0, 1);
        fs = s3_memfs_fs(m);

        /* synced and named: stays, whatever comes after */
        f = open_new(fs, "log/a");
        memset(buf, 1, 4096);
        CHECK_INT(fs->pwrite(fs, f, buf, 4096, 0), S3_OK);
        CHECK_INT(fs->sync(fs, f), S3_OK);
        CHECK_INT(fs->syncdir(fs, "log"), S3_OK);
        memset(buf, 2, 4096);
        CHECK_INT(fs->pwrite(fs, f, buf, 4096, 0), S3_OK);
        fs->close(fs, f);

        /* not named durably */
        f = open_new(fs, "log/b");
        CHECK_INT(fs->pwrite(fs, f, buf, 100, 0), S3_OK);
        CHECK_INT(fs->sync(fs, f), S3_OK);
        fs->close(fs, f);

        /* renamed, the new directory synced, then back without */
        f = open_new(fs, "tmp/c");
        CHECK_INT(fs->sync(fs, f), S3_OK);
        fs->close(fs, f);
        CHECK_INT(fs->rename(fs, "tmp/c", "blob/c"), S3_OK);
        CHECK_INT(fs->syncdir(fs, "blob"), S3_OK);
        CHECK_INT(fs->rename(fs, "blob/c", "index/c"), S3_OK);

        s3_memfs_crash(m);

        n = count(fs, "log/a", 2);
        CHECK_INT(count(fs, "log/a", 1) + n, 4096);
        CHECK_INT(n % 512, 0);
        torn += n > 0 && n < 4096;
        all += n == 4096;

        n = count(fs, "log/b", 2);
        names += n >= 0;
        no_name += n < 0;

        CHECK_INT(count(fs, "tmp/c", 0), -1);
        CHECK((count(fs, "blob/c", 0) < 0) != (count(fs, "index/c", 0) < 0));
        old += count(fs, "blob/c", 0) >= 0;
        moved += count(fs, "index/c", 0) >= 0;

        CHECK_INT(s3_memfs_open_files(m), 0);
        s3_sim_destroy(sim);
    }

    /* each outcome comes up */
    CHECK(torn && all && torn + all < 200);
    CHECK(names && no_name && old && moved);
}


typedef struct {
    s3_aio_t aio;
    s3_task_t task;
    s3_timer_t timer;
    s3_defer_t defer;
    int aio_done, ran, task_done, fired, deferred;
} proc_t;


static void
on_aio(s3_aio_t *aio)
{
    ((proc_t *) aio->ctx)->aio_done++;
}


static void
on_run(s3_task_t *task)
{
    ((proc_t *) task->ctx)->ran++;
}


static void
on_done(s3_task_t *task)
{
    proc_t *p = task->ctx;

    CHECK_INT(p->ran, 1);
    p->task_done++;
}


static void
on_timer(s3_timer_t *timer)
{
    ((proc_t *) timer->ctx)->fired++;
}


static void
on_defer(s3_defer_t *defer)
{
    ((proc_t *) defer->ctx)->deferred++;
}


static void
submit_all(proc_t *p, s3_loop_t *loop, s3_file_t *f, uint8_t *page)
{
    memset(p, 0, sizeof(*p));
    p->aio.file = f;
    p->aio.buf = page;
    p->aio.len = S3_SECTOR;
    p->aio.write = 1;
    p->aio.dsync = 1;
    p->aio.done = on_aio;
    p->aio.ctx = p;
    p->task.run = on_run;
    p->task.done = on_done;
    p->task.ctx = p;
    p->timer.handler = on_timer;
    p->timer.ctx = p;
    p->defer.handler = on_defer;
    p->defer.ctx = p;

    loop->submit(loop, &p->aio);
    loop->post(loop, &p->task);
    loop->set_timer(loop, &p->timer, 50);
    loop->set_timer(loop, &p->timer, 20);
    loop->defer(loop, &p->defer);
    loop->defer(loop, &p->defer);
}


static void
test_loop(void)
{
    int written = 0, n;
    uint8_t *page = aligned_alloc(S3_SECTOR, S3_SECTOR);
    uint64_t seed;
    proc_t p;
    s3_sim_t *sim;
    s3_memfs_t *m;
    s3_fs_t *fs;
    s3_loop_t *loop;
    s3_file_t *f;

    REQUIRE(page);
    memset(page, 3, S3_SECTOR);

    for (seed = 0; seed < 50; seed++) {
        sim = s3_sim_create(seed);
        m = s3_memfs_create(sim, 0, 1);
        fs = s3_memfs_fs(m);
        loop = s3_sim_loop(sim);
        REQUIRE(fs->open(fs, "log/a",
                         S3_O_READ | S3_O_WRITE | S3_O_CREATE | S3_O_DIRECT, &f)
                == S3_OK);
        CHECK_INT(fs->syncdir(fs, "log"), S3_OK);

        submit_all(&p, loop, f, page);
        CHECK_INT(p.aio_done + p.ran + p.fired + p.deferred, 0);
        s3_sim_run(sim);
        CHECK(p.aio_done == 1 && p.task_done == 1 && p.fired == 1
              && p.deferred == 1);
        CHECK_INT(p.aio.result, S3_SECTOR);
        CHECK(s3_sim_now(sim) >= 20000 && s3_sim_now(sim) < 30000);

        /* durable at completion */
        s3_memfs_crash(m);
        CHECK_INT(count(fs, "log/a", 3), S3_SECTOR);
        fs->close(fs, f);

        /* a dead process is not called; its write may still arrive */
        REQUIRE(fs->open(fs, "log/b",
                         S3_O_READ | S3_O_WRITE | S3_O_CREATE | S3_O_DIRECT, &f)
                == S3_OK);
        submit_all(&p, loop, f, page);
        s3_sim_kill(loop);
        fs->close(fs, f);
        s3_sim_run(sim);
        CHECK_INT(p.aio_done + p.ran + p.fired + p.deferred, 0);
        n = count(fs, "log/b", 3);
        CHECK(n == 0 || n == S3_SECTOR);
        written += n != 0;

        s3_sim_destroy(sim);
    }

    CHECK(written > 0 && written < 50);
    free(page);
}


static void
test_faults(void)
{
    uint64_t free_bytes, total, before;
    s3_sim_t *sim = s3_sim_create(1);
    s3_memfs_t *m = s3_memfs_create(sim, 3, 0);
    s3_fs_t *fs = s3_memfs_fs(m);
    s3_file_t *f;

    CHECK_INT(fs->open(fs, "log/a", S3_O_CREATE | S3_O_WRITE, &f), S3_ENOENT);
    CHECK_INT(fs->mkdir(fs, "log"), S3_OK);
    CHECK_INT(fs->mkdir(fs, "log"), S3_OK);
    f = open_new(fs, "log/a");
    fs->close(fs, f);
    CHECK_INT(fs->open(fs, "log/a", S3_O_CREATE | S3_O_EXCL, &f), S3_EEXIST);

    before = s3_sim_ios(sim);
    s3_sim_fault_at(sim, before + 1, S3_FAULT_EIO);
    f = open_new(fs, "log/a");
    CHECK_INT(fs->pwrite(fs, f, buf, 10, 0), S3_EIO);
    CHECK_INT(fs->pwrite(fs, f, buf, 10, 0), S3_OK);
    CHECK_INT(s3_sim_ios(sim), before + 3);

    s3_sim_fault_rate(sim, 2, S3_FAULT_EIO, 1000000);
    CHECK_INT(fs->sync(fs, f), S3_OK);
    s3_sim_fault_rate(sim, 3, S3_FAULT_EIO, 1000000);
    CHECK_INT(fs->sync(fs, f), S3_EIO);
    s3_sim_fault_clear(sim);

    s3_memfs_set_capacity(m, 1000);
    CHECK_INT(fs->allocate(fs, f, 1001), S3_ENOSPC);
    CHECK_INT(fs->pwrite(fs, f, buf, 1001, 0), S3_ENOSPC);
    CHECK_INT(fs->pwrite(fs, f, buf, 1000, 0), S3_OK);
    CHECK_INT(fs->space(fs, &free_bytes, &total), S3_OK);
    CHECK(free_bytes == 0 && total == 1000);

    s3_sim_fault_at(sim, s3_sim_ios(sim), S3_FAULT_STOP);
    CHECK_INT(fs->sync(fs, f), S3_EIO);
    CHECK(s3_sim_stopped(sim));
    CHECK_INT(fs->unlink(fs, "log/a"), S3_EIO);
    s3_sim_resume(sim);
    CHECK_INT(fs->unlink(fs, "log/a"), S3_OK);
    CHECK_INT(fs->unlink(fs, "log/a"), S3_ENOENT);
    fs->close(fs, f);

    s3_sim_destroy(sim);
}


int
main(void)
{
    test_cut();
    test_loop();
    test_faults();

    return S3_TEST_END();
}
