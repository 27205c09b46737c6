/*
 * The segments of a log writer: one in use, one spare made ready by a task,
 * and those given up or full whose last batches are still under way.
 */

#include <stdlib.h>

#include "storage/s3_log_impl.h"

#pragma GCC visibility push(hidden)


#define S3_LOG_RETRY_MIN 100 /* ms, doubles with each failure */
#define S3_LOG_RETRY_MAX 10000


int
s3_log_failing(const s3_log_t *log)
{
    return log->write_rc ? log->write_rc : log->prepare_rc;
}


void
s3_log_report(s3_log_t *log)
{
    int rc = s3_log_failing(log);

    if (rc != log->reported) {
        log->reported = rc;
        log->conf.hooks->state(log->conf.ctx, rc);
    }
}


static void
s3_log_later(s3_log_t *log, unsigned failures)
{
    uint64_t ms;

    log->retry = 1;
    ms = (uint64_t) S3_LOG_RETRY_MIN << s3_min(failures - 1, 10u);

    log->conf.loop->set_timer(log->conf.loop, &log->timer,
                              s3_min(ms, (uint64_t) S3_LOG_RETRY_MAX));
}


void
s3_log_retry(s3_timer_t *timer)
{
    s3_log_t *log = timer->ctx;

    log->retry = 0;
    log->hold = 0;
    log->wake = 1;

    s3_log_turn(log);
}


static void
s3_log_unlink(s3_log_t *log, s3_log_segment_t *s)
{
    s3_log_segment_t **p;

    for (p = &log->segments; *p != s; p = &(*p)->next) {
        /* void */
    }

    *p = s->next;

    free(s);
}


/* In a thread. */

static void
s3_log_make_run(s3_task_t *task)
{
    char path[S3_SEGMENT_PATH];
    s3_log_segment_t *s = task->ctx;
    s3_fs_t *fs = s->log->conf.fs;

    s->rc = s3_segment_create(fs, &s->seg, s->recycle);

    if (s->rc == S3_OK) {
        s3_segment_path(path, s->seg.id);
        s->rc =
            fs->open(fs, path, S3_O_READ | S3_O_WRITE | S3_O_DIRECT, &s->file);
    }

    if (s->rc != S3_OK) {
        s->file = NULL;
    }
}


static void
s3_log_make_done(s3_task_t *task)
{
    s3_log_segment_t *s = task->ctx;
    s3_log_t *log = s->log;

    s->task_set = 0;
    log->tasks--;
    log->preparing = 0;
    log->prepare_rc = s->rc;
    log->busy = 1;

    if (s->rc == S3_OK) {
        log->prepare_failures = 0;
        log->spare = s;
        log->next_size = s->seg.size < log->conf.segment_size / S3_LOG_GROWTH
                             ? s->seg.size * S3_LOG_GROWTH
                             : log->conf.segment_size;
        log->conf.hooks->segment_opened(log->conf.ctx, &s->seg);

    } else {
        log->conf.hooks->segment_failed(log->conf.ctx, s->seg.id, s->recycle);
        s3_log_unlink(log, s);
        s3_log_later(log, ++log->prepare_failures);
    }

    s3_log_report(log);

    log->busy = 0;
    log->wake = 1;
    s3_log_turn(log);
}


void
s3_log_prepare(s3_log_t *log)
{
    int rc;
    uint32_t id, size, recycle;
    s3_log_segment_t *s;

    if (log->spare || log->preparing || log->retry) {
        return;
    }

    id = 0;
    size = log->next_size;
    recycle = 0;
    s = calloc(1, sizeof(*s));

    rc = s ? log->conf.hooks->new_segment(log->conf.ctx, &size, &id, &recycle)
           : S3_ENOMEM;

    if (rc != S3_OK) {
        free(s);
        log->prepare_rc = rc;
        s3_log_later(log, ++log->prepare_failures);
        s3_log_report(log);
        log->wake = 1;
        s3_log_turn(log);
        return;
    }

    s->log = log;
    s->recycle = recycle;
    s->end = S3_SEGMENT_START;
    s->written = S3_SEGMENT_START;
    s->seg.id = id;
    s->seg.size = size;
    log->conf.loop->random(log->conf.loop, &s->seg.nonce, sizeof(uint64_t));

    s->task.run = s3_log_make_run;
    s->task.done = s3_log_make_done;
    s->task.ctx = s;
    s->task.drive = log->conf.drive;
    s->task_set = 1;

    s->next = log->segments;
    log->segments = s;
    log->preparing = 1;
    log->tasks++;

    log->conf.loop->post(log->conf.loop, &s->task);
}


static void
s3_log_close_run(s3_task_t *task)
{
    s3_log_segment_t *s = task->ctx;

    s->log->conf.fs->close(s->log->conf.fs, s->file);
    s->file = NULL;
}


static void
s3_log_close_done(s3_task_t *task)
{
    uint32_t id, end;
    s3_log_segment_t *s = task->ctx;
    s3_log_t *log = s->log;

    id = s->seg.id;
    end = s->written;

    log->tasks--;
    s3_log_unlink(log, s);

    log->busy = 1;
    log->conf.hooks->segment_closed(log->conf.ctx, id, end);
    log->busy = 0;

    s3_log_check_idle(log);
}


/* Closes it when nothing is under way in it any more. */

void
s3_log_segment_release(s3_log_t *log, s3_log_segment_t *s)
{
    if (!s->closing || s->batches || s->task_set) {
        return;
    }

    s->task.run = s3_log_close_run;
    s->task.done = s3_log_close_done;
    s->task_set = 1;
    log->tasks++;

    log->conf.loop->post_background(log->conf.loop, &s->task);
}


static void
s3_log_retire(s3_log_t *log, s3_log_segment_t **place)
{
    s3_log_segment_t *s = *place;

    if (s) {
        *place = NULL;
        s->closing = 1;
        s3_log_segment_release(log, s);
    }
}


/* A write succeeded: whatever failed before it, the drive works. */

void
s3_log_works(s3_log_t *log)
{
    log->write_failures = 0;
    log->write_rc = S3_OK;

    if (!log->hold) {
        return;
    }

    log->hold = 0;

    if (log->prepare_rc == S3_OK) {
        log->retry = 0;
        log->conf.loop->del_timer(log->conf.loop, &log->timer);
    }
}


/* A write to s failed. */

void
s3_log_give_up(s3_log_t *log, s3_log_segment_t *s)
{
    s->failed = 1;

    if (s == log->current) {
        s3_log_seal(log);
        s3_log_retire(log, &log->current);
    }

    log->hold = 1;
    s3_log_later(log, ++log->write_failures);
}


static int
s3_log_fits(const s3_log_segment_t *s, size_t need)
{
    return s && need <= s->seg.size - S3_SECTOR - s->end;
}


int
s3_log_room(s3_log_t *log, size_t len)
{
    size_t need = s3_align(len, (size_t) S3_SECTOR);

    if (s3_log_fits(log->current, need)) {
        return S3_OK;
    }

    if (log->hold) {
        return s3_log_failing(log);
    }

    if (log->spare && !s3_log_fits(log->spare, need)) {
        s3_log_retire(log, &log->spare);
        log->next_size = log->conf.segment_size;
    }

    if (log->spare == NULL) {
        s3_log_turn(log);

        return log->retry ? s3_log_failing(log) : S3_AGAIN;
    }

    s3_log_retire(log, &log->current);

    log->current = log->spare;
    log->spare = NULL;

    return S3_OK;
}


void
s3_log_drop_segments(s3_log_t *log)
{
    s3_log_segment_t *s, *next;

    for (s = log->segments; s; s = next) {
        next = s->next;

        if (s->file) {
            log->conf.fs->close(log->conf.fs, s->file);

            if (log->tell) {
                log->conf.hooks->segment_closed(log->conf.ctx, s->seg.id,
                                                s->written);
            }
        }

        free(s);
    }
}

#pragma GCC visibility pop
