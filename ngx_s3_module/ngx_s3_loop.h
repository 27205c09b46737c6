
/*
 * s3_loop_t over nginx's event loop: direct I/O and threads behind two
 * eventfds, nginx's timers, its posted events, its time, its log.
 *
 * Completions are called from the eventfds' handlers, outside of any request:
 * a callback that touches one ends with ngx_http_run_posted_requests() itself.
 */

#ifndef _NGX_S3_LOOP_H_INCLUDED_
#define _NGX_S3_LOOP_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "storage/s3_io.h"

#pragma GCC visibility push(hidden)


typedef struct {
    ngx_uint_t   drives;
    ngx_uint_t   depth;           /* of the AIO ring */
    ngx_uint_t   limit;           /* of a drive within it */
    ngx_uint_t   threads;         /* of a drive */
    char       **paths;           /* of the drives, for messages */
} ngx_s3_loop_conf_t;


/* In the process that runs the loop, after the fork; NULL: was logged. */
s3_loop_t *ngx_s3_loop_create(ngx_cycle_t *cycle, ngx_s3_loop_conf_t *conf);

/* Waits for all I/O and all tasks and calls their done(). */
void ngx_s3_loop_destroy(s3_loop_t *loop);

/* I/O and tasks under way: all; those of a drive; age of the oldest I/O */
ngx_uint_t ngx_s3_loop_pending(s3_loop_t *loop);
ngx_uint_t ngx_s3_loop_load(s3_loop_t *loop, ngx_uint_t drive);
ngx_msec_t ngx_s3_loop_age(s3_loop_t *loop, ngx_uint_t drive);

/*
 * Without the event loop: carries out deferred calls, I/O and tasks until
 * nothing is pending or `timeout` has passed.  NGX_OK or NGX_AGAIN.
 */
ngx_int_t ngx_s3_loop_drain(s3_loop_t *loop, ngx_msec_t timeout);

/*
 * Calls handler when an eventfd becomes readable; data is its connection's.
 * NULL: was logged.  Disconnected after its owner has closed it.
 */
ngx_connection_t *ngx_s3_loop_connection(void *data, ngx_socket_t fd,
    ngx_event_handler_pt handler, ngx_log_t *log);
void ngx_s3_loop_disconnect(ngx_connection_t *c);


#pragma GCC visibility pop

#endif /* _NGX_S3_LOOP_H_INCLUDED_ */
