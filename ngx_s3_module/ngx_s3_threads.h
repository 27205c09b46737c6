/*
 * Threads for what blocks: some for every drive, so that a dying disk starves
 * nobody but itself.  Knows no nginx, which may be built without threads.
 *
 * A job is queued by the loop, run() by a thread of its drive, and handed back
 * to the loop through a list whose eventfd becomes readable; the loop then
 * calls ngx_s3_threads_reap(), which calls done().  Jobs of one drive start in
 * the order they were posted.  Threads are started when they are first needed,
 * so always after the fork, with all signals blocked.
 *
 * All calls but the jobs' run() belong to the loop's thread.
 */

#ifndef NGX_S3_THREADS_H
#define NGX_S3_THREADS_H

#include <stddef.h>

#pragma GCC visibility push(hidden)


typedef struct ngx_s3_job_s      ngx_s3_job_t;
typedef struct ngx_s3_threads_s  ngx_s3_threads_t;

struct ngx_s3_job_s {
    void          (*run)(ngx_s3_job_t *job);     /* in a thread */
    void          (*done)(ngx_s3_job_t *job);    /* on the loop */
    ngx_s3_job_t   *next;
    unsigned        drive;
};


#define NGX_S3_THREADS_MAX  16


/* `n` threads at most, 1..NGX_S3_THREADS_MAX, for each drive; NULL: errno */
ngx_s3_threads_t *ngx_s3_threads_create(unsigned drives, unsigned n);

/* Runs what is queued to its end, joins, and calls the done() of all. */
void ngx_s3_threads_destroy(ngx_s3_threads_t *t);

int ngx_s3_threads_fd(ngx_s3_threads_t *t);
void ngx_s3_threads_post(ngx_s3_threads_t *t, ngx_s3_job_t *job);

/* Calls done() of all that have finished; returns how many. */
unsigned ngx_s3_threads_reap(ngx_s3_threads_t *t);

/* Posted and not yet done: of a drive, of all. */
unsigned ngx_s3_threads_load(ngx_s3_threads_t *t, unsigned drive);
unsigned ngx_s3_threads_pending(ngx_s3_threads_t *t);

#pragma GCC visibility pop

#endif /* NGX_S3_THREADS_H */
