
/*
 * Watching over the drives while nginx runs.
 *
 * One process, the guardian, looks at every drive once a second in one of the
 * drive's threads: is the path still the directory that was opened, can it be
 * written?  What it finds goes into the zone, where all processes see it:
 *
 *   OK ──gone, or another mount──> MISSING ──format and lock hold──> replayed
 *   MISSING ──a new drive is there──> forgotten by all ──> REFILLING
 *   OK ──read-only──> READONLY ──writable──> OK
 *   OK ──an I/O of any process takes too long──> HUNG ──none does──> OK
 *   OK ──writes or reads fail──> FAILING ──they work──> log read, OK
 *
 * What does not look well is tried with a small file before it is OK again.
 * The watch has threads of its own: those of the drives may all be busy.
 *
 * The guardian also does the store's healing.  When it goes or dies another
 * worker takes over within a second.
 */

#ifndef _NGX_S3_WATCH_H_INCLUDED_
#define _NGX_S3_WATCH_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "storage/s3_zone.h"
#include "ngx_s3_instance.h"

#pragma GCC visibility push(hidden)


typedef struct ngx_s3_process_s  ngx_s3_process_t;

typedef struct {
    s3_task_t           task;
    ngx_s3_process_t   *process;
    ngx_uint_t          drive;

    int                 rc;           /* of the task */
    int                 probe;        /* of a write and a read */
    uint32_t            state;        /* of the drive, when it was posted */
    int                 lock;         /* that it took */
    uint64_t            since;        /* when it was posted */
    uint64_t            retry;        /* no attempt to return before this */
    int                 told;         /* rc that was logged last */
    ngx_s3_site_t       site;         /* what the task has found */

    unsigned            absent:1;     /* not taken up by this process */
    unsigned            busy:1;
    unsigned            returns:1;    /* the task: try to return, */
    unsigned            replace:1;    /* as a new drive */
    unsigned            hinted:1;     /* it was said how it can be replaced */
    unsigned            returning:1;  /* the node replays it */
} ngx_s3_watch_t;


/* The store in a worker. */

struct ngx_s3_process_s {
    ngx_s3_instance_t  *in;
    ngx_log_t          *log;
    int64_t             self;

    s3_zone_t          *zone;
    s3_loop_t          *loop;
    s3_node_t          *node;
    s3_store_t         *store;

    ngx_event_t         tick;
    ngx_s3_watch_t      watch[S3_MAX_DRIVES];

    unsigned            guardian:1;
};


/* At start, before the node is joined: which drives can be used here? */
void ngx_s3_watch_init(ngx_s3_process_t *ps);

/* Once a second. */
void ngx_s3_watch(ngx_s3_process_t *ps);

/* Leaves guarding to somebody else. */
void ngx_s3_watch_resign(ngx_s3_process_t *ps);


#pragma GCC visibility pop

#endif /* _NGX_S3_WATCH_H_INCLUDED_ */
