/*
 * Asynchronous direct I/O through libaio, whose header clashes with what nginx
 * includes where it is built --with-file-aio: so this file knows no nginx.
 *
 * Requests are gathered; ngx_s3_aio_flush(), once a turn of the loop, hands
 * them to the kernel in one io_submit().  At most `limit` requests of a drive
 * are with the kernel at a time, so that a slow drive does not fill the ring;
 * the rest wait their turn.  When the eventfd becomes readable the loop calls
 * ngx_s3_aio_reap(), which calls done().
 *
 * Threads do instead, with the same contract, what the kernel would do
 * synchronously or not at all: buffered files, everything where io_setup()
 * failed (fs.aio-max-nr), a filesystem that refuses RWF_DSYNC, one of FUSE or
 * of the network, where io_submit() itself waits for an answer.
 */

#ifndef NGX_S3_AIO_H
#define NGX_S3_AIO_H

#include "storage/s3_io.h"
#include "ngx_s3_threads.h"

#pragma GCC visibility push(hidden)


typedef struct ngx_s3_aio_s  ngx_s3_aio_t;

/*
 * depth: of the ring, over all drives.  Contexts don't survive a fork.  NULL:
 * errno.  Where only io_setup() failed there is an object which has no ring;
 * ngx_s3_aio_error() is the errno then, else 0.
 */
ngx_s3_aio_t *ngx_s3_aio_create(unsigned drives, unsigned depth,
    unsigned limit, ngx_s3_threads_t *threads);

/* Waits for what is with the kernel, and calls done() of all. */
void ngx_s3_aio_destroy(ngx_s3_aio_t *a);

int ngx_s3_aio_error(ngx_s3_aio_t *a);
int ngx_s3_aio_fd(ngx_s3_aio_t *a);

/* Only queues. */
void ngx_s3_aio_submit(ngx_s3_aio_t *a, s3_aio_t *aio);

/* S3_OK, or S3_AGAIN: call again in a moment, the kernel lacks resources. */
int ngx_s3_aio_flush(ngx_s3_aio_t *a);

/* Calls done() of what is complete; returns how many.  Flush afterwards. */
unsigned ngx_s3_aio_reap(ngx_s3_aio_t *a);

/* Submitted and not done: of a drive (either way), of all. */
unsigned ngx_s3_aio_load(ngx_s3_aio_t *a, unsigned drive);
unsigned ngx_s3_aio_pending(ngx_s3_aio_t *a);

/*
 * Milliseconds that requests of a drive are under way and none was done: one
 * with a long queue is slow, one that does nothing hangs.  Where the oldest
 * request is older than NGX_S3_AIO_STUCK, its age, whatever else was done.
 */
#define NGX_S3_AIO_STUCK  15000
uint64_t ngx_s3_aio_age(ngx_s3_aio_t *a, unsigned drive);

#pragma GCC visibility pop

#endif /* NGX_S3_AIO_H */
