
/*
 * Memory that the C library keeps; see ngx_s3_memory.h.
 */


#include <malloc.h>
#include <sys/resource.h>

#include "ngx_s3_memory.h"


#define NGX_S3_MEMORY_ARENAS  2

/*
 * CPU time, ms: what makes giving back worth it at once, and what after a
 * pause; what counts as quiet.  Little work may free much: a thousand requests
 * that come to their end.
 */

#define NGX_S3_MEMORY_WORK    200
#define NGX_S3_MEMORY_LITTLE  20
#define NGX_S3_MEMORY_QUIET   20

#define NGX_S3_MEMORY_PAUSE   3000   /* ms */


static long ngx_s3_memory_cpu(void);
static void ngx_s3_memory_run(s3_task_t *task);
static void ngx_s3_memory_done(s3_task_t *task);


static s3_task_t  ngx_s3_memory_task;
static long       ngx_s3_memory_last;     /* at the last tick */
static long       ngx_s3_memory_trimmed;
static uint64_t   ngx_s3_memory_when;     /* that was, ms */
static int        ngx_s3_memory_busy;


void
ngx_s3_memory_init(void)
{
#ifdef M_ARENA_MAX
    (void) mallopt(M_ARENA_MAX, NGX_S3_MEMORY_ARENAS);
#endif
}


void
ngx_s3_memory_tick(s3_loop_t *loop)
{
    long      now, used, work;
    uint64_t  ms;

    now = ngx_s3_memory_cpu();
    used = now - ngx_s3_memory_last;
    work = now - ngx_s3_memory_trimmed;
    ngx_s3_memory_last = now;

    /* under load what is free is soon used again */

    if (ngx_s3_memory_busy || used > NGX_S3_MEMORY_QUIET
        || work < NGX_S3_MEMORY_LITTLE)
    {
        return;
    }

    ms = loop->mono_ms(loop);

    if (work < NGX_S3_MEMORY_WORK
        && ms - ngx_s3_memory_when < NGX_S3_MEMORY_PAUSE)
    {
        return;
    }

    ngx_s3_memory_busy = 1;
    ngx_s3_memory_when = ms;

    ngx_s3_memory_task.run = ngx_s3_memory_run;
    ngx_s3_memory_task.done = ngx_s3_memory_done;
    ngx_s3_memory_task.drive = 0;

    loop->post_background(loop, &ngx_s3_memory_task);
}


static long
ngx_s3_memory_cpu(void)
{
    struct rusage  ru;

    if (getrusage(RUSAGE_SELF, &ru) != 0) {
        return 0;
    }

    return (ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) * 1000
           + (ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1000;
}


static void
ngx_s3_memory_run(s3_task_t *task)
{
    (void) task;

#ifdef __GLIBC__
    (void) malloc_trim(0);
#endif
}


static void
ngx_s3_memory_done(s3_task_t *task)
{
    (void) task;

    ngx_s3_memory_trimmed = ngx_s3_memory_cpu();
    ngx_s3_memory_busy = 0;
}
