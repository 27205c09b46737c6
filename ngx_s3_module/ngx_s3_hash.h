
/*
 * Digests of large bodies, off the loop.
 *
 *   submit ──┬── MD5     waits for others, then all of them in lanes, at once
 *            └── run()   anything else, one after the other
 *                                              both done ── done() on the loop
 *
 * A thread for each of the two, started when the first body needs it.
 *
 * A stream whose last piece was done a moment ago is expected to bring the
 * next one.  A batch starts when the lanes are full, when nobody is expected
 * any more, or after some milliseconds.  So one stream alone never waits, and
 * of many that are on their way none is hashed alone.
 */

#ifndef _NGX_S3_HASH_H_INCLUDED_
#define _NGX_S3_HASH_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_s3_threads.h"
#include "protocol/s3_md5x.h"

#pragma GCC visibility push(hidden)


typedef struct ngx_s3_hash_s  ngx_s3_hash_t;

/*
 * One for each stream, zeroed at first.  Stays put until done() is called,
 * which is never before submit returns; likewise the pieces, their bytes, the
 * MD5, and all that run() touches.
 */

struct ngx_s3_hash_s {
    s3_md5x_t          *md5;                  /* of pieces; NULL: none */
    const s3_str_t     *pieces;
    ngx_uint_t          n;

    int               (*run)(ngx_s3_hash_t *h);    /* in a thread, or NULL */
    void              (*done)(ngx_s3_hash_t *h);
    void               *data;

    int                 rc;                   /* what run() returned */

    /* private */

    ngx_s3_job_t        job;
    ngx_s3_hash_t      *next;
    ngx_uint_t          left;
    ngx_msec_t          when;                 /* its last MD5 was done */
    unsigned            expected:1;           /* then, and not here again */
};


/* md5 or run is set.  NGX_ERROR: there can be no thread, nothing was done. */
ngx_int_t ngx_s3_hash_submit(ngx_s3_hash_t *h);

/*
 * For a small body, whose MD5 is not worth a thread: it is made at the end of
 * this turn of the loop, on the loop, in lanes with those of all other bodies
 * that came in it.  Only the MD5, which is set.
 */
void ngx_s3_hash_gather(ngx_s3_hash_t *h);

/* The end of the process: waits for the threads, calls no done() any more. */
void ngx_s3_hash_exit(void);


#pragma GCC visibility pop

#endif /* _NGX_S3_HASH_H_INCLUDED_ */
