/*
 * Inside of the log writer: shared by s3_log.c and s3_log_segment.c only.
 */

#ifndef S3_LOG_IMPL_H
#define S3_LOG_IMPL_H

#include "storage/s3_log.h"

#pragma GCC visibility push(hidden)


typedef struct s3_log_segment_s s3_log_segment_t;

typedef struct {
    s3_log_waiter_t *first;
    s3_log_waiter_t *last; /* where first is set */
} s3_log_queue_t;


struct s3_log_segment_s {
    s3_log_t *log;
    s3_log_segment_t *next;
    s3_segment_t seg;
    s3_file_t *file;
    uint32_t recycle;
    uint32_t end;     /* where the next batch begins */
    uint32_t written; /* end of the last batch that is durable */
    uint64_t sequence;
    unsigned batches; /* not yet written */
    unsigned closing : 1;
    unsigned failed : 1; /* a write: what is behind it is not written */
    unsigned task_set : 1;
    int rc; /* of the task */
    s3_task_t task;
};


struct s3_log_batch_s {
    s3_aio_t aio;
    s3_log_segment_t *segment;
    s3_log_batch_t *next;
    s3_log_queue_t waiters;
    uint8_t *buf;
    size_t size;
    size_t used;
    uint32_t offset;
    uint32_t records;
    unsigned sealed : 1;
};


struct s3_log_s {
    s3_log_conf_t conf;

    s3_log_batch_t *head; /* in flight, sealed ..., gathering */
    s3_log_batch_t *tail; /* where head is set */
    s3_log_batch_t *free;
    unsigned n_free;
    size_t buffered;
    uint32_t next_size; /* of the segment that is made next */

    s3_log_segment_t *segments; /* all */
    s3_log_segment_t *current;
    s3_log_segment_t *spare;

    s3_log_queue_t waiters; /* for room */
    s3_log_queue_t idlers;
    s3_defer_t defer;
    s3_timer_t timer;

    unsigned in_flight : 1;
    unsigned preparing : 1;
    unsigned hold : 1;  /* after a failed write, until the timer */
    unsigned retry : 1; /* the timer is set */
    unsigned tell : 1;  /* segment_closed() when destroyed */
    unsigned wake : 1;  /* call the waiters at the end of the turn */
    unsigned busy : 1;  /* inside callbacks */
    unsigned tasks;

    int write_rc;
    int prepare_rc;
    int reported;
    unsigned write_failures; /* in a row */
    unsigned prepare_failures;

    s3_log_stat_t stat;
};


void s3_log_queue_push(s3_log_queue_t *q, s3_log_waiter_t *w);
void s3_log_queue_call(s3_log_queue_t *q, int rc);
void s3_log_check_idle(s3_log_t *log);
void s3_log_turn(s3_log_t *log); /* asks for turn_end */
void s3_log_turn_end(s3_defer_t *defer);
void s3_log_seal(s3_log_t *log);

/* s3_log_segment.c */

/* What reserve says while nothing can be reserved for failures. */
int s3_log_failing(const s3_log_t *log);
void s3_log_report(s3_log_t *log);
void s3_log_retry(s3_timer_t *timer);
void s3_log_prepare(s3_log_t *log);

/* Makes log->current have len bytes left. */
int s3_log_room(s3_log_t *log, size_t len);
void s3_log_works(s3_log_t *log);
void s3_log_give_up(s3_log_t *log, s3_log_segment_t *s);
void s3_log_segment_release(s3_log_t *log, s3_log_segment_t *s);
void s3_log_drop_segments(s3_log_t *log);

#pragma GCC visibility pop

#endif /* S3_LOG_IMPL_H */
