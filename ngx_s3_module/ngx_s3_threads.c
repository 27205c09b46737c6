/*
 * Threads for what blocks; see ngx_s3_threads.h.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "ngx_s3_threads.h"


typedef struct {
    ngx_s3_threads_t  *owner;
    pthread_mutex_t    mutex;
    pthread_cond_t     cond;

    ngx_s3_job_t      *head;        /* under the mutex */
    ngx_s3_job_t     **last;
    unsigned           idle;
    unsigned           stop;

    unsigned           load;        /* the loop's alone */
    unsigned           started;
    pthread_t          tids[NGX_S3_THREADS_MAX];
} ngx_s3_pool_t;


struct ngx_s3_threads_s {
    int                fd;
    unsigned           drives;
    unsigned           max;
    unsigned           pending;

    pthread_mutex_t    mutex;       /* of the list of finished jobs */
    ngx_s3_job_t      *done;
    ngx_s3_job_t     **last;

    ngx_s3_pool_t      pools[];
};


static void ngx_s3_threads_start(ngx_s3_pool_t *pool);
static void *ngx_s3_threads_cycle(void *data);
static void ngx_s3_threads_finish(ngx_s3_threads_t *t, ngx_s3_job_t *job);


ngx_s3_threads_t *
ngx_s3_threads_create(unsigned drives, unsigned n)
{
    unsigned           i;
    ngx_s3_pool_t     *pool;
    ngx_s3_threads_t  *t;

    if (drives == 0 || n == 0 || n > NGX_S3_THREADS_MAX) {
        errno = EINVAL;
        return NULL;
    }

    t = calloc(1, sizeof(ngx_s3_threads_t) + drives * sizeof(ngx_s3_pool_t));
    if (t == NULL) {
        return NULL;
    }

    t->fd = eventfd(0, EFD_NONBLOCK|EFD_CLOEXEC);
    if (t->fd == -1) {
        free(t);
        return NULL;
    }

    t->drives = drives;
    t->max = n;
    t->last = &t->done;

    (void) pthread_mutex_init(&t->mutex, NULL);

    for (i = 0; i < drives; i++) {
        pool = &t->pools[i];

        pool->owner = t;
        pool->last = &pool->head;

        (void) pthread_mutex_init(&pool->mutex, NULL);
        (void) pthread_cond_init(&pool->cond, NULL);
    }

    return t;
}


void
ngx_s3_threads_destroy(ngx_s3_threads_t *t)
{
    unsigned        i, k;
    ngx_s3_pool_t  *pool;

    /* a done() may post again, while threads are there to take it */

    while (t->pending) {
        if (ngx_s3_threads_reap(t) == 0) {
            (void) usleep(1000);
        }
    }

    for (i = 0; i < t->drives; i++) {
        pool = &t->pools[i];

        (void) pthread_mutex_lock(&pool->mutex);
        pool->stop = 1;
        (void) pthread_cond_broadcast(&pool->cond);
        (void) pthread_mutex_unlock(&pool->mutex);
    }

    for (i = 0; i < t->drives; i++) {
        pool = &t->pools[i];

        for (k = 0; k < pool->started; k++) {
            (void) pthread_join(pool->tids[k], NULL);
        }

        (void) pthread_cond_destroy(&pool->cond);
        (void) pthread_mutex_destroy(&pool->mutex);
    }

    (void) pthread_mutex_destroy(&t->mutex);
    (void) close(t->fd);

    free(t);
}


int
ngx_s3_threads_fd(ngx_s3_threads_t *t)
{
    return t->fd;
}


unsigned
ngx_s3_threads_load(ngx_s3_threads_t *t, unsigned drive)
{
    return drive < t->drives ? t->pools[drive].load : 0;
}


unsigned
ngx_s3_threads_pending(ngx_s3_threads_t *t)
{
    return t->pending;
}


void
ngx_s3_threads_post(ngx_s3_threads_t *t, ngx_s3_job_t *job)
{
    unsigned        idle;
    ngx_s3_pool_t  *pool;

    /* work of no drive in particular shares the first one's threads */

    if (job->drive >= t->drives) {
        job->drive = 0;
    }

    pool = &t->pools[job->drive];

    pool->load++;
    t->pending++;

    job->next = NULL;

    if (pool->started < t->max && pool->load > pool->started) {
        ngx_s3_threads_start(pool);
    }

    if (pool->started == 0) {

        /* not a single thread can be had: slow is better than never */

        job->run(job);
        ngx_s3_threads_finish(t, job);
        return;
    }

    (void) pthread_mutex_lock(&pool->mutex);

    *pool->last = job;
    pool->last = &job->next;

    idle = pool->idle;

    (void) pthread_mutex_unlock(&pool->mutex);

    /* not under the lock, which is the first thing that the other one wants */

    if (idle) {
        (void) pthread_cond_signal(&pool->cond);
    }
}


static void
ngx_s3_threads_start(ngx_s3_pool_t *pool)
{
    int       rc;
    sigset_t  all, old;

    (void) sigfillset(&all);

    /* signals are for the loop's thread */

    if (pthread_sigmask(SIG_BLOCK, &all, &old) != 0) {
        return;
    }

    rc = pthread_create(&pool->tids[pool->started], NULL,
                        ngx_s3_threads_cycle, pool);

    (void) pthread_sigmask(SIG_SETMASK, &old, NULL);

    if (rc == 0) {
        pool->started++;
    }
}


static void *
ngx_s3_threads_cycle(void *data)
{
    ngx_s3_job_t   *job;
    ngx_s3_pool_t  *pool = data;

    (void) pthread_mutex_lock(&pool->mutex);

    for ( ;; ) {

        while (pool->head == NULL && !pool->stop) {
            pool->idle++;
            (void) pthread_cond_wait(&pool->cond, &pool->mutex);
            pool->idle--;
        }

        job = pool->head;

        if (job == NULL) {
            break;
        }

        pool->head = job->next;

        if (pool->head == NULL) {
            pool->last = &pool->head;
        }

        (void) pthread_mutex_unlock(&pool->mutex);

        job->run(job);
        ngx_s3_threads_finish(pool->owner, job);

        (void) pthread_mutex_lock(&pool->mutex);
    }

    (void) pthread_mutex_unlock(&pool->mutex);

    return NULL;
}


static void
ngx_s3_threads_finish(ngx_s3_threads_t *t, ngx_s3_job_t *job)
{
    int       first;
    ssize_t   n;
    uint64_t  one;

    job->next = NULL;

    (void) pthread_mutex_lock(&t->mutex);

    first = (t->done == NULL);

    *t->last = job;
    t->last = &job->next;

    (void) pthread_mutex_unlock(&t->mutex);

    /*
     * The reaper empties the eventfd before it takes the list, so the one
     * who makes the list non-empty is the one who has to wake it.
     */

    if (first) {
        one = 1;

        do {
            n = write(t->fd, &one, sizeof(uint64_t));
        } while (n == -1 && errno == EINTR);
    }
}


unsigned
ngx_s3_threads_reap(ngx_s3_threads_t *t)
{
    ssize_t        n;
    unsigned       count;
    uint64_t       value;
    ngx_s3_job_t  *job, *next;

    do {
        n = read(t->fd, &value, sizeof(uint64_t));
    } while (n == -1 && errno == EINTR);

    (void) pthread_mutex_lock(&t->mutex);

    job = t->done;
    t->done = NULL;
    t->last = &t->done;

    (void) pthread_mutex_unlock(&t->mutex);

    for (count = 0; job; job = next, count++) {
        next = job->next;

        t->pools[job->drive].load--;
        t->pending--;

        job->done(job);
    }

    return count;
}
