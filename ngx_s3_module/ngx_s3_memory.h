
/*
 * Memory that the C library keeps for a worker.
 *
 * Threads that merge tables, and many connections at once, leave free memory
 * behind that malloc() does not return by itself: each thread has an arena of
 * its own, and what is free in the middle of a heap stays.  So threads share
 * one arena, and when a worker has become quiet what is free is given back.
 */

#ifndef _NGX_S3_MEMORY_H_INCLUDED_
#define _NGX_S3_MEMORY_H_INCLUDED_


#include "storage/s3_io.h"

#pragma GCC visibility push(hidden)


/* Before any thread is started. */

void ngx_s3_memory_init(void);

/* Every second or so, with the loop of the process. */

void ngx_s3_memory_tick(s3_loop_t *loop);


#pragma GCC visibility pop

#endif /* _NGX_S3_MEMORY_H_INCLUDED_ */
