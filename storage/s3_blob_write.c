/*
 * Blobs being written, and what readers and writers share.
 *
 * Space is allocated ahead of the writes by a task: a direct write that makes
 * a file longer would block the loop.
 */

#include <stdlib.h>

#include "storage/s3_blob_impl.h"

#pragma GCC visibility push(hidden)


#define S3_BLOB_STEP_MIN (8 * (uint64_t) S3_BLOB_UNIT)
#define S3_BLOB_STEP_MAX (512 * (uint64_t) S3_BLOB_UNIT)


s3_blobs_t *
s3_blobs_create(const s3_blobs_conf_t *conf)
{
    s3_blobs_t *blobs;

    blobs = calloc(1, sizeof(*blobs));
    if (blobs == NULL) {
        return NULL;
    }

    blobs->conf = *conf;

    if (s3_blobs_files_init(blobs) != S3_OK) {
        free(blobs);
        return NULL;
    }

    return blobs;
}


void
s3_blobs_destroy(s3_blobs_t *blobs)
{
    s3_blob_t *b;
    s3_blob_io_t *io;

    s3_blobs_files_free(blobs);

    while ((b = blobs->writers)) {
        blobs->writers = b->next;

        if (b->file) {
            blobs->conf.fs->close(blobs->conf.fs, b->file);
        }

        free(b);
    }

    while ((io = blobs->ios)) {
        blobs->ios = io->all;
        free(io);
    }

    free(blobs);
}


int
s3_blobs_idle(const s3_blobs_t *blobs)
{
    return blobs->busy == 0 && blobs->writers == NULL;
}


s3_blob_io_t *
s3_blob_io_get(s3_blobs_t *blobs, s3_unit_t *unit)
{
    s3_blob_io_t *io = blobs->free;

    if (io) {
        blobs->free = io->next;

    } else {
        io = malloc(sizeof(*io));
        if (io == NULL) {
            return NULL;
        }

        io->blobs = blobs;
        io->all = blobs->ios;
        blobs->ios = io;
    }

    memset(&io->aio, 0, sizeof(io->aio));
    io->aio.buf = unit->buf;
    io->aio.len = unit->len;
    io->aio.off = (uint64_t) unit->block * S3_BLOB_UNIT;
    io->aio.drive = blobs->conf.drive;
    io->aio.ctx = io;
    io->blob = NULL;
    io->file = NULL;
    io->next = NULL;
    io->unit = unit;
    blobs->busy++;

    return io;
}


void
s3_blob_io_put(s3_blob_io_t *io)
{
    io->next = io->blobs->free;
    io->blobs->free = io;
    io->blobs->busy--;
}


void
s3_blob_queue_push(s3_blob_queue_t *q, s3_blob_io_t *io)
{
    io->next = NULL;

    if (q->first) {
        q->last->next = io;

    } else {
        q->first = io;
    }

    q->last = io;
}


s3_blob_io_t *
s3_blob_queue_pop(s3_blob_queue_t *q)
{
    s3_blob_io_t *io = q->first;

    if (io) {
        q->first = io->next;
    }

    return io;
}


void
s3_blob_answer(s3_req_t *req, int rc)
{
    req->rc = rc;
    req->answer = rc == S3_OK ? S3_ANSWER_YES : S3_ANSWER_NONE;
    req->done(req);
}


int
s3_blob_unit_fits(const s3_unit_t *unit)
{
    return unit->len && unit->len <= S3_BLOB_UNIT && unit->len % S3_SECTOR == 0
           && ((uintptr_t) unit->buf & (S3_SECTOR - 1)) == 0;
}


static void
s3_blob_post(s3_blob_t *b, void (*run)(s3_task_t *task),
             void (*done)(s3_task_t *task))
{
    b->task.run = run;
    b->task.done = done;
    b->task.ctx = b;
    b->task.drive = b->blobs->conf.drive;
    b->busy = 1;
    b->blobs->busy++;

    b->blobs->conf.loop->post(b->blobs->conf.loop, &b->task);
}


static void
s3_blob_free(s3_blob_t *b)
{
    *b->prev = b->next;

    if (b->next) {
        b->next->prev = b->prev;
    }

    free(b);
}


/* Create. */

static void
s3_blob_open_run(s3_task_t *task)
{
    char path[S3_BLOB_TMP_PATH];
    s3_blob_t *b = task->ctx;
    s3_fs_t *fs = b->blobs->conf.fs;
    s3_file_t *f;

    s3_blob_tmp_path(path, &b->tmp);

    b->task_rc = fs->open(
        fs, path, S3_O_WRITE | S3_O_CREATE | S3_O_EXCL | S3_O_DIRECT, &f);
    if (b->task_rc != S3_OK) {
        return;
    }

    b->task_rc = fs->allocate(fs, f, b->target);

    if (b->task_rc == S3_OK) {
        b->file = f;
        return;
    }

    fs->close(fs, f);
    (void) fs->unlink(fs, path);
}


static void
s3_blob_open_done(s3_task_t *task)
{
    int rc;
    s3_blob_t *b = task->ctx;
    s3_blob_req_t *req = b->req;

    b->busy = 0;
    b->blobs->busy--;
    b->req = NULL;
    b->allocated = b->target;
    rc = b->task_rc;

    if (rc == S3_OK) {
        req->blob = b;

    } else {
        s3_blob_free(b);
    }

    s3_blob_answer(&req->req, rc);
}


void
s3_blobs_open(s3_blobs_t *blobs, s3_blob_req_t *req)
{
    s3_blob_t *b;

    req->blob = NULL;

    b = calloc(1, sizeof(*b));
    if (b == NULL) {
        s3_blob_answer(&req->req, S3_ENOMEM);
        return;
    }

    b->blobs = blobs;
    b->req = req;
    b->expected = s3_align(req->size, (uint64_t) S3_SECTOR);
    b->target =
        b->expected ? s3_min(b->expected, S3_BLOB_STEP_MAX) : S3_BLOB_STEP_MIN;
    memcpy(b->tmp.id, req->id, 16);
    b->tmp.slot = (uint8_t) blobs->conf.slot;
    b->tmp.incarnation = blobs->conf.incarnation;
    blobs->conf.loop->random(blobs->conf.loop, b->tmp.nonce,
                             sizeof(b->tmp.nonce));

    b->next = blobs->writers;
    b->prev = &blobs->writers;
    blobs->writers = b;

    if (b->next) {
        b->next->prev = &b->next;
    }

    s3_blob_post(b, s3_blob_open_run, s3_blob_open_done);
}


/* Write. */

static void s3_blob_try_end(s3_blob_t *b);
static void s3_blob_grow(s3_blob_t *b);


static void
s3_blob_wrote(s3_blob_io_t *io, int rc)
{
    s3_blob_t *b = io->blob;
    s3_unit_t *unit = io->unit;

    if (rc == S3_OK) {
        b->end = s3_max(b->end, io->aio.off + io->aio.len);

    } else if (b->rc == S3_OK) {
        b->rc = rc;
    }

    s3_blob_io_put(io);
    s3_blob_answer(&unit->req, rc);

    /* only now: b stays until the last of them was answered */
    b->inflight--;
    s3_blob_try_end(b);
}


static void
s3_blob_write_done(s3_aio_t *aio)
{
    s3_blob_wrote(aio->ctx, aio->result == (ssize_t) aio->len ? S3_OK
                            : aio->result < 0 ? (int) aio->result
                                              : S3_EIO);
}


static void
s3_blob_submit(s3_blob_io_t *io)
{
    io->aio.file = io->blob->file;
    io->aio.write = 1;
    io->aio.done = s3_blob_write_done;

    io->blobs->conf.loop->submit(io->blobs->conf.loop, &io->aio);
}


static void
s3_blob_grow_run(s3_task_t *task)
{
    s3_blob_t *b = task->ctx;
    s3_fs_t *fs = b->blobs->conf.fs;

    b->task_rc = fs->allocate(fs, b->file, b->target);
}


static void
s3_blob_grow_done(s3_task_t *task)
{
    s3_blob_t *b = task->ctx;
    s3_blob_io_t *io;
    s3_blob_queue_t q;

    b->busy = 0;
    b->blobs->busy--;

    q = b->waiting;
    b->waiting.first = NULL;

    /* answering the last write could free the blob */
    b->inflight++;

    if (b->task_rc == S3_OK) {
        b->allocated = b->target;
    }

    while ((io = s3_blob_queue_pop(&q))) {
        if (b->task_rc != S3_OK) {
            s3_blob_wrote(io, b->task_rc);

        } else if (io->aio.off + io->aio.len > b->allocated) {
            s3_blob_queue_push(&b->waiting, io);

        } else {
            s3_blob_submit(io);
        }
    }

    s3_blob_grow(b);

    b->inflight--;
    s3_blob_try_end(b);
}


/* Makes room for what waits. */

static void
s3_blob_grow(s3_blob_t *b)
{
    uint64_t need = 0, step;
    s3_blob_io_t *io;

    if (b->busy || b->waiting.first == NULL) {
        return;
    }

    for (io = b->waiting.first; io; io = io->next) {
        need = s3_max(need, io->aio.off + io->aio.len);
    }

    step = s3_max(b->allocated, S3_BLOB_STEP_MIN);
    b->target = b->allocated + s3_min(step, S3_BLOB_STEP_MAX);

    if (b->expected > b->allocated) {
        b->target = s3_min(b->target, b->expected);
    }

    b->target = s3_max(b->target, need);

    s3_blob_post(b, s3_blob_grow_run, s3_blob_grow_done);
}


void
s3_blobs_write(s3_blobs_t *blobs, s3_unit_t *unit)
{
    s3_blob_t *b = unit->blob;
    s3_blob_io_t *io;

    if (b->rc != S3_OK || !s3_blob_unit_fits(unit)) {
        s3_blob_answer(&unit->req, b->rc != S3_OK ? b->rc : S3_EINVAL);
        return;
    }

    io = s3_blob_io_get(blobs, unit);
    if (io == NULL) {
        b->rc = S3_ENOMEM;
        s3_blob_answer(&unit->req, S3_ENOMEM);
        return;
    }

    io->blob = b;
    b->inflight++;

    if (io->aio.off + io->aio.len <= b->allocated) {
        s3_blob_submit(io);
        return;
    }

    s3_blob_queue_push(&b->waiting, io);
    s3_blob_grow(b);
}


/* Finish and abort. */

static int
s3_blob_publish(s3_blob_t *b, const char *tmp, const char *path)
{
    int rc;
    char dir[8];
    s3_fs_t *fs = b->blobs->conf.fs;

    memcpy(dir, path, 7);
    dir[7] = '\0';

    /* that it is there does not say that its name is durable */
    if (!b->dir_known) {
        rc = fs->mkdir(fs, dir);

        if (rc == S3_OK) {
            rc = fs->syncdir(fs, "blob");
        }

        if (rc != S3_OK) {
            return rc;
        }
    }

    rc = fs->rename(fs, tmp, path);
    if (rc != S3_OK) {
        return rc;
    }

    rc = fs->syncdir(fs, dir);

    if (rc != S3_OK) {
        (void) fs->unlink(fs, path);
    }

    return rc;
}


static void
s3_blob_end_run(s3_task_t *task)
{
    int rc;
    char tmp[S3_BLOB_TMP_PATH], path[S3_BLOB_PATH];
    s3_blob_t *b = task->ctx;
    s3_fs_t *fs = b->blobs->conf.fs;

    s3_blob_tmp_path(tmp, &b->tmp);
    s3_blob_path(path, b->tmp.id);

    rc = b->ending == S3_BLOB_ENDING_ABORT ? S3_DONE : b->rc;

    if (rc == S3_OK && b->end != b->allocated) {
        rc = fs->truncate(fs, b->file, b->end);
    }

    if (rc == S3_OK && !s3_break(NO_BLOB_SYNC)) {
        rc = fs->sync(fs, b->file);
    }

    fs->close(fs, b->file);
    b->file = NULL;

    if (rc == S3_OK) {
        rc = s3_blob_publish(b, tmp, path);
    }

    if (rc != S3_OK) {
        (void) fs->unlink(fs, tmp);
    }

    b->task_rc = rc == S3_DONE ? S3_OK : rc;
}


static void
s3_blob_end_done(s3_task_t *task)
{
    int rc;
    s3_blob_t *b = task->ctx;
    s3_blob_req_t *req = b->req;

    b->blobs->busy--;
    rc = b->task_rc;

    if (rc == S3_OK && b->ending == S3_BLOB_ENDING_FINISH) {
        b->blobs->dirs[b->tmp.id[0]] = 1;
    }

    s3_blob_free(b);
    s3_blob_answer(&req->req, rc);
}


static void
s3_blob_try_end(s3_blob_t *b)
{
    if (b->ending && !b->busy && b->inflight == 0) {
        b->dir_known = b->blobs->dirs[b->tmp.id[0]];
        s3_blob_post(b, s3_blob_end_run, s3_blob_end_done);
    }
}


static void
s3_blob_end(s3_blob_req_t *req, unsigned ending)
{
    s3_blob_t *b = req->blob;

    req->blob = NULL;

    if (b == NULL) {
        s3_blob_answer(&req->req,
                       ending == S3_BLOB_ENDING_ABORT ? S3_OK : S3_EINVAL);
        return;
    }

    b->req = req;
    b->ending = ending;
    s3_blob_try_end(b);
}


void
s3_blobs_finish(s3_blobs_t *blobs, s3_blob_req_t *req)
{
    (void) blobs;

    s3_blob_end(req, S3_BLOB_ENDING_FINISH);
}


void
s3_blobs_abort(s3_blobs_t *blobs, s3_blob_req_t *req)
{
    (void) blobs;

    s3_blob_end(req, S3_BLOB_ENDING_ABORT);
}

#pragma GCC visibility pop
