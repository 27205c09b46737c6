/*
 * Threads per drive: order, isolation, completion, a clean end.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "ngx_s3_module/ngx_s3_threads.c"

#include <poll.h>
#include <string.h>

#include "s3_test.h"


#define JOBS 2000

typedef struct {
    ngx_s3_job_t job;
    unsigned id;
    unsigned ran;
    unsigned done;
    int wait;    /* reads a byte before it ends */
    int blocked; /* signals were blocked */
    pthread_t tid;
} item_t;

static ngx_s3_threads_t *threads;
static unsigned finished, reposted;
static item_t items[JOBS];


static void
run(ngx_s3_job_t *job)
{
    char c;
    sigset_t set;
    item_t *it = (item_t *) job;

    if (it->wait) {
        while (read(it->wait, &c, 1) == -1 && errno == EINTR) {
        }
    }

    pthread_sigmask(SIG_BLOCK, NULL, &set);
    it->blocked = sigismember(&set, SIGTERM);
    it->tid = pthread_self();
    it->ran++;
}


static void
done(ngx_s3_job_t *job)
{
    item_t *it = (item_t *) job;

    it->done++;
    finished++;

    if (reposted && it->done == 1) {
        reposted--;
        ngx_s3_threads_post(threads, job);
    }
}


static int
ready(int ms)
{
    struct pollfd p = {ngx_s3_threads_fd(threads), POLLIN, 0};

    return poll(&p, 1, ms) == 1;
}


static void
post(unsigned i, unsigned drive, int wait)
{
    memset(&items[i], 0, sizeof(item_t));
    items[i].id = i;
    items[i].wait = wait;
    items[i].job.run = run;
    items[i].job.done = done;
    items[i].job.drive = drive;

    ngx_s3_threads_post(threads, &items[i].job);
}


static void
test_many(void)
{
    unsigned i, twice;

    threads = ngx_s3_threads_create(4, 3);
    REQUIRE(threads != NULL);
    CHECK_INT(ngx_s3_threads_reap(threads), 0);
    CHECK(!ready(0));

    finished = 0;
    reposted = 100;

    for (i = 0; i < JOBS; i++) {
        post(i, i % 5, 0); /* drive 4 does not exist: any thread will do */
    }

    CHECK_INT(ngx_s3_threads_pending(threads), JOBS);
    CHECK_INT(finished, 0); /* never from inside the call */

    while (ngx_s3_threads_pending(threads)) {
        REQUIRE(ready(5000));
        (void) ngx_s3_threads_reap(threads);
    }

    CHECK_INT(finished, JOBS + 100);
    CHECK_INT(ngx_s3_threads_load(threads, 0), 0);

    twice = 0;

    for (i = 0; i < JOBS; i++) {
        REQUIRE(items[i].ran == items[i].done);
        REQUIRE(items[i].ran == 1 || items[i].ran == 2);
        twice += items[i].ran - 1;
        REQUIRE(items[i].blocked == 1);
        REQUIRE(!pthread_equal(items[i].tid, pthread_self()));
    }

    CHECK_INT(twice, 100);

    ngx_s3_threads_destroy(threads);
}


/* One drive hangs with all of its threads; the others go on. */

static void
test_hang(void)
{
    int fds[2];
    unsigned i;

    REQUIRE(pipe(fds) == 0);
    threads = ngx_s3_threads_create(2, 2);
    REQUIRE(threads != NULL);
    finished = 0;
    reposted = 0;

    for (i = 0; i < 5; i++) {
        post(i, 0, fds[0]);
    }

    post(5, 1, 0);
    REQUIRE(ready(5000));
    CHECK_INT(ngx_s3_threads_reap(threads), 1);
    CHECK_INT(items[5].done, 1);
    CHECK_INT(ngx_s3_threads_load(threads, 0), 5);
    CHECK(!ready(20));

    REQUIRE(write(fds[1], "xxxxx", 5) == 5);

    /* destroy finishes what is queued, done() of all is called */
    ngx_s3_threads_destroy(threads);
    CHECK_INT(finished, 6);

    close(fds[0]);
    close(fds[1]);
}


int
main(void)
{
    CHECK(ngx_s3_threads_create(0, 1) == NULL);
    CHECK(ngx_s3_threads_create(1, NGX_S3_THREADS_MAX + 1) == NULL);

    test_many();
    test_hang();

    return S3_TEST_END();
}
