/*
 * The log writer: batches and their way to the drive.  Segments are made and
 * closed in s3_log_segment.c.
 *
 *   head ──► [in flight] ──► [sealed] ──► [gathering] ◄── tail
 *
 * Only the last batch may be open for reservations.  Batches of a segment that
 * was given up fail, too: behind a gap a scan would take what failed for
 * something that was durable once.
 */

#include <stdlib.h>

#include "storage/s3_log_impl.h"

#pragma GCC visibility push(hidden)


#define S3_LOG_BUFFER (256 * 1024)
#define S3_LOG_KEEP 4 /* spare buffers */
#define S3_LOG_BUFFERED (8 * 1024 * 1024)


static void s3_log_written(s3_aio_t *aio);


s3_log_t *
s3_log_create(const s3_log_conf_t *conf)
{
    s3_log_t *log;

    log = calloc(1, sizeof(*log));
    if (log == NULL) {
        return NULL;
    }

    log->conf = *conf;

    if (log->conf.segment_size == 0) {
        log->conf.segment_size = S3_SEGMENT_DEFAULT;
    }

    if (log->conf.max_buffered == 0) {
        log->conf.max_buffered = S3_LOG_BUFFERED;
    }

    if (log->conf.segment_size % S3_SECTOR
        || log->conf.segment_size < S3_SEGMENT_MIN
        || log->conf.segment_size > S3_SEGMENT_MAX
        || log->conf.first_size % S3_SECTOR
        || (log->conf.first_size && log->conf.first_size < S3_SEGMENT_MIN))
    {
        free(log);
        return NULL;
    }

    log->next_size = log->conf.segment_size;

    if (log->conf.first_size) {
        log->next_size = s3_min(log->next_size, log->conf.first_size);
    }

    log->defer.handler = s3_log_turn_end;
    log->defer.ctx = log;
    log->timer.handler = s3_log_retry;
    log->timer.ctx = log;
    log->timer.background = 1;

    s3_log_turn(log);

    return log;
}


static void
s3_log_free_batches(s3_log_batch_t *b)
{
    s3_log_batch_t *next;

    for (/* void */; b; b = next) {
        next = b->next;
        free(b->buf);
        free(b);
    }
}


void
s3_log_abandon(s3_log_t *log)
{
    s3_log_free_batches(log->head);
    s3_log_free_batches(log->free);
    s3_log_drop_segments(log);

    free(log);
}


void
s3_log_destroy(s3_log_t *log)
{
    if (log->retry) {
        log->conf.loop->del_timer(log->conf.loop, &log->timer);
    }

    log->tell = 1;
    s3_log_abandon(log);
}


void
s3_log_stat(const s3_log_t *log, s3_log_stat_t *stat)
{
    *stat = log->stat;
}


int
s3_log_idle(const s3_log_t *log)
{
    return log->head == NULL && log->tasks == 0 && log->waiters.first == NULL
           && !log->defer.queued && !log->busy;
}


void
s3_log_queue_push(s3_log_queue_t *q, s3_log_waiter_t *w)
{
    w->next = NULL;

    if (q->first) {
        q->last->next = w;

    } else {
        q->first = w;
    }

    q->last = w;
}


/* Whatever the called do to the log, this does not look at it again. */

void
s3_log_queue_call(s3_log_queue_t *q, int rc)
{
    s3_log_waiter_t *w, *next;

    w = q->first;
    q->first = NULL;

    for (/* void */; w; w = next) {
        next = w->next;
        w->done(w, rc);
    }
}


void
s3_log_wait_idle(s3_log_t *log, s3_log_waiter_t *w)
{
    s3_log_queue_push(&log->idlers, w);
    s3_log_check_idle(log);
}


/* The last thing a handler does: the log may be gone after it. */

void
s3_log_check_idle(s3_log_t *log)
{
    if (log->idlers.first && s3_log_idle(log)) {
        s3_log_queue_call(&log->idlers, S3_OK);
    }
}


void
s3_log_turn(s3_log_t *log)
{
    log->conf.loop->defer(log->conf.loop, &log->defer);
}


/* Batches. */

static s3_log_batch_t *
s3_log_batch_new(s3_log_t *log, size_t room)
{
    s3_log_batch_t *b;

    room = s3_max(room, (size_t) S3_LOG_BUFFER);

    b = log->free;

    if (b && b->size >= room) {
        log->free = b->next;
        log->n_free--;

    } else {
        b = malloc(sizeof(*b));
        if (b == NULL) {
            return NULL;
        }

        b->size = room;
        b->buf = aligned_alloc(S3_SECTOR, room);

        if (b->buf == NULL) {
            free(b);
            return NULL;
        }
    }

    b->segment = log->current;
    b->offset = log->current->end;
    b->used = S3_BATCH_HEADER;
    b->records = 0;
    b->sealed = 0;
    b->waiters.first = NULL;
    b->next = NULL;

    log->current->batches++;

    if (log->head) {
        log->tail->next = b;

    } else {
        log->head = b;
    }

    log->tail = b;

    return b;
}


static void
s3_log_batch_free(s3_log_t *log, s3_log_batch_t *b)
{
    if (b->size == S3_LOG_BUFFER && log->n_free < S3_LOG_KEEP) {
        b->next = log->free;
        log->free = b;
        log->n_free++;
        return;
    }

    free(b->buf);
    free(b);
}


static s3_log_batch_t *
s3_log_gathering(s3_log_t *log)
{
    return log->head && !log->tail->sealed ? log->tail : NULL;
}


/* Nothing more goes in: its length, and so where the next begins, is known. */

void
s3_log_seal(s3_log_t *log)
{
    size_t len;
    s3_log_batch_t *b;
    s3_batch_header_t h;

    b = s3_log_gathering(log);
    if (b == NULL) {
        return;
    }

    len = s3_align(b->used, (size_t) S3_SECTOR);
    memset(b->buf + b->used, 0, len - b->used);

    h.segment = b->segment->seg.id;
    h.offset = b->offset;
    h.length = (uint32_t) len;
    h.records = b->records;
    h.sequence = ++b->segment->sequence;

    s3_batch_header_encode(b->buf, &h, b->segment->seg.nonce);

    b->sealed = 1;
    b->segment->end = b->offset + (uint32_t) len;
}


/* The first one is done with. */

static void
s3_log_batch_end(s3_log_t *log, int rc)
{
    s3_log_batch_t *b = log->head;
    s3_log_segment_t *s = b->segment;

    log->head = b->next;
    log->buffered -= b->used - S3_BATCH_HEADER;

    s3_log_queue_call(&b->waiters, rc);
    s3_log_batch_free(log, b);

    s->batches--;
    s3_log_segment_release(log, s);

    log->wake = 1;
    s3_log_turn(log);
}


static void
s3_log_submit(s3_log_t *log)
{
    s3_log_batch_t *b;

    if (log->in_flight) {
        return;
    }

    while (log->head && log->head->segment->failed) {
        log->stat.failed++;
        s3_log_batch_end(log, log->write_rc);
    }

    b = log->head;

    if (b == NULL) {
        return;
    }

    if (!b->sealed) {
        s3_log_seal(log);
    }

    memset(&b->aio, 0, sizeof(b->aio));
    b->aio.file = b->segment->file;
    b->aio.buf = b->buf;
    b->aio.len = s3_align(b->used, (size_t) S3_SECTOR);
    b->aio.off = b->offset;
    b->aio.drive = log->conf.drive;
    b->aio.write = 1;
    b->aio.dsync = !s3_break(NO_SYNC);
    b->aio.done = s3_log_written;
    b->aio.ctx = log;

    log->in_flight = 1;
    log->stat.batches++;

    log->conf.loop->submit(log->conf.loop, &b->aio);
}


void
s3_log_turn_end(s3_defer_t *defer)
{
    int rc;
    s3_log_t *log = defer->ctx;

    log->busy = 1;

    s3_log_prepare(log);

    if (log->wake) {
        log->wake = 0;
        rc = log->current || (log->spare && !log->hold) ? S3_OK
                                                        : s3_log_failing(log);
        s3_log_queue_call(&log->waiters, rc);
    }

    s3_log_submit(log);

    log->busy = 0;
    s3_log_check_idle(log);
}


static void
s3_log_written(s3_aio_t *aio)
{
    int rc;
    s3_log_t *log = aio->ctx;
    s3_log_batch_t *b = log->head;

    rc = aio->result == (ssize_t) aio->len ? S3_OK
         : aio->result < 0                 ? (int) aio->result
                                           : S3_EIO;

    log->in_flight = 0;

    if (rc == S3_OK) {
        log->stat.bytes += aio->len;
        b->segment->written = b->offset + (uint32_t) aio->len;
        s3_log_works(log);

    } else {
        log->stat.failed++;
        log->write_rc = rc;
        s3_log_give_up(log, b->segment);
    }

    log->busy = 1;
    s3_log_report(log);
    s3_log_batch_end(log, rc);
    log->busy = 0;
}


int
s3_log_reserve(s3_log_t *log, size_t size, s3_log_place_t *place)
{
    int rc;
    size_t left = 0;
    uint8_t *p;
    s3_log_batch_t *b;

    if (size < S3_RECORD_HEADER
        || size > s3_segment_room(log->conf.segment_size)) {
        return S3_EINVAL;
    }

    size = s3_align(size, (size_t) 8);

    if (log->buffered
        && size > log->conf.max_buffered
                      - s3_min(log->buffered, log->conf.max_buffered))
    {
        return S3_AGAIN;
    }

    b = s3_log_gathering(log);

    if (b) {
        left = s3_min(b->size,
                      (size_t) (b->segment->seg.size - S3_SECTOR - b->offset));
    }

    if (b == NULL || b->segment != log->current || size > left - b->used) {
        s3_log_seal(log);

        rc = s3_log_room(log, S3_BATCH_HEADER + size);
        if (rc != S3_OK) {
            return rc;
        }

        b = s3_log_batch_new(
            log, s3_align(S3_BATCH_HEADER + size, (size_t) S3_SECTOR));
        if (b == NULL) {
            return S3_ENOMEM;
        }
    }

    p = b->buf + b->used;

    /* what the buffer held before must not be a record here */
    memset(p, 0, S3_RECORD_HEADER);

    place->batch = b;
    place->p = p;
    place->nonce = b->segment->seg.nonce;
    place->segment = b->segment->seg.id;
    place->offset = b->offset + (uint32_t) b->used;
    place->batch_offset = b->offset;

    b->used += size;
    b->records++;
    log->buffered += size;
    log->stat.records++;

    s3_log_turn(log);

    return S3_OK;
}


void
s3_log_wait(s3_log_t *log, s3_log_waiter_t *w)
{
    s3_log_queue_push(&log->waiters, w);

    /* nothing under way that would call it */
    if (!log->preparing && log->head == NULL) {
        log->wake = 1;
        s3_log_turn(log);
    }
}


void
s3_log_on_durable(s3_log_t *log, const s3_log_place_t *place,
                  s3_log_waiter_t *w)
{
    (void) log;

    s3_log_queue_push(&place->batch->waiters, w);
}

#pragma GCC visibility pop
