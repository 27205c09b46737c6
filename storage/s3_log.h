/*
 * The log writer of one drive in one process.
 *
 * All records of one turn of the event loop gather in one batch; at the end of
 * the turn it goes out as one direct, synchronous (dsync) write.  One write is
 * in flight; batches gather behind it, up to max_buffered bytes.
 *
 *   reserve ─► encode into place.p ─► end of turn ─► write ─► waiters, in order
 *              (same turn)                           └─ failed: S3_EIO to all
 *
 * A segment belongs to one writer.  The next one is made ready by a task ahead
 * of need.  After a failed write nothing more is put behind what failed: the
 * segment is closed and another one used, after a pause that doubles.  What
 * was in the failed batch may or may not be found by a later scan.
 *
 * Not thread safe; everything runs on the loop.  Callbacks may reserve.
 */

#ifndef S3_LOG_H
#define S3_LOG_H

#include "storage/s3_core.h"
#include "storage/s3_io.h"
#include "storage/s3_record.h"
#include "storage/s3_segment.h"

#pragma GCC visibility push(hidden)


typedef struct s3_log_s s3_log_t;
typedef struct s3_log_batch_s s3_log_batch_t;
typedef struct s3_log_waiter_s s3_log_waiter_t;


/* Never called from inside the calls below: the caller may hold locks
 * then that these take. */

typedef struct {
    /* The id of the next segment, and in *recycle one that nobody needs any
     * more, or 0.  *size is what is wanted, and may become greater, up to
     * segment_size.  Any other result than S3_OK is tried again later. */
    int (*new_segment)(void *ctx, uint32_t *size, uint32_t *id,
                       uint32_t *recycle);

    /* It could not be made; files of both ids may exist. */
    void (*segment_failed)(void *ctx, uint32_t id, uint32_t recycle);

    /* It is ready: records may appear in it from now on. */
    void (*segment_opened)(void *ctx, const s3_segment_t *seg);

    /* Nothing in flight and nothing more to come; end as a scan finds it,
     * S3_SEGMENT_START where it was never used. */
    void (*segment_closed)(void *ctx, uint32_t id, uint32_t end);

    /* A write or the making of a segment failed (rc < 0), or works again
     * (S3_OK).  Called on change only. */
    void (*state)(void *ctx, int rc);
} s3_log_hooks_t;

#define S3_LOG_GROWTH 4

typedef struct {
    s3_loop_t *loop;
    s3_fs_t *fs;
    unsigned drive;        /* for aio and tasks */
    uint32_t segment_size; /* S3_SEGMENT_MIN..MAX, of S3_SECTOR; 0: default */
    /* Of the first one, as is segment_size; 0, or too large: the same.  Each
     * next one is S3_LOG_GROWTH times as large as the one before. */
    uint32_t first_size;
    size_t max_buffered;         /* bytes not yet durable; 0: 8 MiB.  One record
                            * alone always passes */
    const s3_log_hooks_t *hooks; /* all of them set */
    void *ctx;
} s3_log_conf_t;


/* Where a record will lie. */

typedef struct {
    s3_log_batch_t *batch;
    uint8_t *p; /* `size` bytes, to be filled before the turn ends */
    uint64_t nonce;
    uint32_t segment;
    uint32_t offset;
    uint32_t batch_offset; /* a scan from here on finds it */
} s3_log_place_t;

struct s3_log_waiter_s {
    void (*done)(s3_log_waiter_t *w, int rc);
    void *ctx;
    s3_log_waiter_t *next; /* the log's */
};


/* NULL: out of memory, or a bad size.  Starts to prepare a segment. */
s3_log_t *s3_log_create(const s3_log_conf_t *conf);

/* Idle.  Closes its files (blocking; the end of a process may) and calls
 * segment_closed() for what is open. */
void s3_log_destroy(s3_log_t *log);

/* After the simulated death of its process: frees, calls nobody. */
void s3_log_abandon(s3_log_t *log);

/* Nothing is gathered, written or prepared. */
int s3_log_idle(const s3_log_t *log);

/* done() as soon as it is idle, maybe at once; it may destroy the log. */
void s3_log_wait_idle(s3_log_t *log, s3_log_waiter_t *w);


/*
 * Room for a record of `size` bytes (s3_record_size()).
 *   S3_AGAIN   no segment is ready, or too much is buffered: s3_log_wait()
 *   S3_EIO, S3_ENOSPC, S3_EROFS   the drive fails; later attempts may work
 *   S3_EINVAL  can't fit a segment, or 0
 *   S3_ENOMEM
 * After S3_OK the caller must encode before it returns to the loop.
 */
int s3_log_reserve(s3_log_t *log, size_t size, s3_log_place_t *place);

/* One call back, with S3_OK when there may be room, else what reserve would
 * return.  Never from inside this call. */
void s3_log_wait(s3_log_t *log, s3_log_waiter_t *w);

/* In the turn of the reservation only.  done(): the batch is durable (S3_OK)
 * or its write failed (negative). */
void s3_log_on_durable(s3_log_t *log, const s3_log_place_t *place,
                       s3_log_waiter_t *w);


typedef struct {
    uint64_t records;
    uint64_t batches; /* one write each */
    uint64_t bytes;   /* written, padding included */
    uint64_t failed;  /* batches */
} s3_log_stat_t;

void s3_log_stat(const s3_log_t *log, s3_log_stat_t *stat);

#pragma GCC visibility pop

#endif /* S3_LOG_H */
