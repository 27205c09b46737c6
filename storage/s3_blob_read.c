/*
 * Reading and removing blobs: a small cache of open files.
 *
 * What is read once comes directly from the disk, asynchronously and as deep
 * as its queue goes, and leaves the page cache alone.  What is read again is
 * worth keeping: a thread reads it through the page cache, and from then on
 * the loop takes it from there, without a wait, an interrupt or a seek.
 *
 * A file is pinned by the reads under way.  Files that nobody has read for a
 * while are closed, because another process may have removed them and their
 * space would not come back.
 */

#include <stdlib.h>

#include "storage/s3_blob_impl.h"

#pragma GCC visibility push(hidden)


#define S3_BLOBS_OPEN 128
#define S3_BLOBS_SWEEP 10000 /* ms */
#define S3_BLOBS_UNUSED 30000


static void s3_blobs_sweep(s3_timer_t *timer);


int
s3_blobs_files_init(s3_blobs_t *blobs)
{
    unsigned n = 16;

    if (blobs->conf.max_open == 0) {
        blobs->conf.max_open = S3_BLOBS_OPEN;
    }

    while (n < blobs->conf.max_open && n < 65536) {
        n *= 2;
    }

    blobs->table = calloc(n, sizeof(*blobs->table));
    blobs->mask = n - 1;
    blobs->timer.handler = s3_blobs_sweep;
    blobs->timer.ctx = blobs;
    blobs->timer.background = 1;

    return blobs->table ? S3_OK : S3_ENOMEM;
}


static void
s3_blob_file_close(s3_blob_file_t *f)
{
    s3_fs_t *fs = f->blobs->conf.fs;

    if (f->file) {
        fs->close(fs, f->file);
        f->file = NULL;
    }

    if (f->buffered) {
        fs->close(fs, f->buffered);
        f->buffered = NULL;
    }
}


void
s3_blobs_files_free(s3_blobs_t *blobs)
{
    s3_blob_file_t *f;

    if (blobs->timer_set) {
        blobs->conf.loop->del_timer(blobs->conf.loop, &blobs->timer);
    }

    while ((f = blobs->oldest)) {
        blobs->oldest = f->newer;

        s3_blob_file_close(f);
        free(f);
    }

    free(blobs->table);
}


static s3_blob_file_t **
s3_blobs_slot(s3_blobs_t *blobs, const uint8_t *id)
{
    s3_blob_file_t **p;

    for (p = &blobs->table[s3_get32(id) & blobs->mask]; *p;
         p = &(*p)->hash_next) {
        if (memcmp((*p)->id, id, 16) == 0) {
            break;
        }
    }

    return p;
}


static void
s3_blobs_list_remove(s3_blobs_t *blobs, s3_blob_file_t *f)
{
    *(f->newer ? &f->newer->older : &blobs->newest) = f->older;
    *(f->older ? &f->older->newer : &blobs->oldest) = f->newer;
}


static void
s3_blobs_list_add(s3_blobs_t *blobs, s3_blob_file_t *f)
{
    f->newer = NULL;
    f->older = blobs->newest;
    *(f->older ? &f->older->newer : &blobs->oldest) = f;
    blobs->newest = f;
}


static void
s3_blob_file_free(s3_blob_file_t *f)
{
    s3_blobs_list_remove(f->blobs, f);
    f->blobs->n_files--;
    free(f);
}


static void
s3_blob_close_run(s3_task_t *task)
{
    s3_blob_file_close(task->ctx);
}


static void
s3_blob_close_done(s3_task_t *task)
{
    s3_blob_file_t *f = task->ctx;

    f->blobs->busy--;
    s3_blob_file_free(f);
}


static void
s3_blob_file_post(s3_blob_file_t *f, void (*run)(s3_task_t *task),
                  void (*done)(s3_task_t *task))
{
    f->task.run = run;
    f->task.done = done;
    f->task.ctx = f;
    f->task.drive = f->blobs->conf.drive;
    f->blobs->busy++;

    f->blobs->conf.loop->post(f->blobs->conf.loop, &f->task);
}


/* Out of the table; closed when nobody reads it. */

static void
s3_blob_file_drop(s3_blob_file_t *f)
{
    if (!f->gone) {
        *s3_blobs_slot(f->blobs, f->id) = f->hash_next;
        f->gone = 1;
    }

    if (f->pins == 0 && !f->opening && !f->closing) {
        f->closing = 1;
        s3_blob_file_post(f, s3_blob_close_run, s3_blob_close_done);
    }
}


static void
s3_blobs_sweep(s3_timer_t *timer)
{
    uint64_t now;
    s3_blobs_t *blobs = timer->ctx;
    s3_blob_file_t *f;

    now = blobs->conf.loop->mono_ms(blobs->conf.loop);

    for (f = blobs->oldest; f && now - f->used >= S3_BLOBS_UNUSED; f = f->newer)
    {
        if (f->pins == 0 && !f->gone) {
            s3_blob_file_drop(f);
        }
    }

    blobs->timer_set = blobs->n_files != 0;

    if (blobs->timer_set) {
        blobs->conf.loop->set_timer(blobs->conf.loop, timer, S3_BLOBS_SWEEP);
    }
}


static void
s3_blobs_evict(s3_blobs_t *blobs)
{
    s3_blob_file_t *f;

    if (blobs->n_files < blobs->conf.max_open) {
        return;
    }

    for (f = blobs->oldest; f; f = f->newer) {
        if (f->pins == 0 && !f->gone) {
            s3_blob_file_drop(f);
            return;
        }
    }
}


/* A read is over. */

static void
s3_blob_read_end(s3_blob_io_t *io, ssize_t result)
{
    int rc = result < 0 ? (int) result : S3_OK;
    s3_unit_t *unit = io->unit;
    s3_blob_file_t *f = io->file;

    unit->done_len = rc == S3_OK ? (size_t) result : 0;

    if (io->blobs->conf.read_ended) {
        io->blobs->conf.read_ended(io->blobs->conf.ctx, rc);
    }

    s3_blob_io_put(io);

    if (--f->pins == 0 && f->gone && f->file) {
        s3_blob_file_drop(f);
    }

    s3_blob_answer(&unit->req, rc);
}


static void
s3_blob_read_done(s3_aio_t *aio)
{
    s3_blob_read_end(aio->ctx, aio->result);
}


static void
s3_blob_read_submit(s3_blob_io_t *io)
{
    io->aio.file = io->file->file;
    io->aio.done = s3_blob_read_done;

    io->blobs->conf.loop->submit(io->blobs->conf.loop, &io->aio);
}


static void
s3_blob_buffered_run(s3_task_t *task)
{
    s3_blob_io_t *io = task->ctx;
    s3_fs_t *fs = io->blobs->conf.fs;

    io->aio.result = fs->pread(fs, io->file->buffered, io->aio.buf, io->aio.len,
                               io->aio.off);
}


static void
s3_blob_buffered_done(s3_task_t *task)
{
    s3_blob_io_t *io = task->ctx;

    s3_blob_read_end(io, io->aio.result);
}


/* A unit that lies behind all that were read has not been read before. */

static void
s3_blob_read_start(s3_blob_io_t *io)
{
    int again;
    s3_loop_t *loop = io->blobs->conf.loop;
    s3_unit_t *unit = io->unit;
    s3_blob_file_t *f = io->file;

    again = unit->block < f->next;
    f->next = s3_max(f->next, unit->block + 1);

    if (!unit->cached || f->buffered == NULL) {
        s3_blob_read_submit(io);
        return;
    }

    if (loop->read_now(loop, f->buffered, io->aio.buf, io->aio.len, io->aio.off)
        == (ssize_t) io->aio.len)
    {
        s3_blob_read_end(io, (ssize_t) io->aio.len);
        return;
    }

    if (!again) {
        s3_blob_read_submit(io);
        return;
    }

    io->task.run = s3_blob_buffered_run;
    io->task.done = s3_blob_buffered_done;
    io->task.ctx = io;
    io->task.drive = io->blobs->conf.drive;

    loop->post(loop, &io->task);
}


static void
s3_blob_file_open_run(s3_task_t *task)
{
    char path[S3_BLOB_PATH];
    s3_blob_file_t *f = task->ctx;
    s3_fs_t *fs = f->blobs->conf.fs;

    s3_blob_path(path, f->id);

    f->rc = fs->open(fs, path, S3_O_READ | S3_O_DIRECT, &f->file);

    if (f->rc != S3_OK) {
        f->file = NULL;
        return;
    }

    if (fs->open(fs, path, S3_O_READ, &f->buffered) != S3_OK) {
        f->buffered = NULL;
    }
}


static void
s3_blob_file_open_done(s3_task_t *task)
{
    s3_blob_file_t *f = task->ctx;
    s3_blob_io_t *io;
    s3_blob_queue_t q;

    f->blobs->busy--;
    f->opening = 0;

    q = f->waiting;
    f->waiting.first = NULL;

    if (f->rc == S3_OK) {
        while ((io = s3_blob_queue_pop(&q))) {
            s3_blob_read_start(io);
        }

        return;
    }

    /* a later read has to try again */
    if (!f->gone) {
        *s3_blobs_slot(f->blobs, f->id) = f->hash_next;
        f->gone = 1;
    }

    while ((io = s3_blob_queue_pop(&q))) {
        s3_blob_read_end(io, f->rc);
    }

    s3_blob_file_free(f);
}


static s3_blob_file_t *
s3_blob_file_get(s3_blobs_t *blobs, const uint8_t *id)
{
    s3_blob_file_t *f, **slot;

    slot = s3_blobs_slot(blobs, id);
    f = *slot;

    if (f) {
        s3_blobs_list_remove(blobs, f);

    } else {
        f = calloc(1, sizeof(*f));
        if (f == NULL) {
            return NULL;
        }

        *slot = f;
        f->blobs = blobs;
        memcpy(f->id, id, 16);

        s3_blobs_evict(blobs);
        blobs->n_files++;

        f->opening = 1;
        s3_blob_file_post(f, s3_blob_file_open_run, s3_blob_file_open_done);
    }

    f->used = blobs->conf.loop->mono_ms(blobs->conf.loop);
    s3_blobs_list_add(blobs, f);

    if (!blobs->timer_set) {
        blobs->timer_set = 1;
        blobs->conf.loop->set_timer(blobs->conf.loop, &blobs->timer,
                                    S3_BLOBS_SWEEP);
    }

    return f;
}


void
s3_blobs_read(s3_blobs_t *blobs, s3_unit_t *unit)
{
    s3_blob_io_t *io;
    s3_blob_file_t *f;

    unit->done_len = 0;

    if (!s3_blob_unit_fits(unit)) {
        s3_blob_answer(&unit->req, S3_EINVAL);
        return;
    }

    io = s3_blob_io_get(blobs, unit);
    if (io == NULL) {
        s3_blob_answer(&unit->req, S3_ENOMEM);
        return;
    }

    f = s3_blob_file_get(blobs, unit->id);
    if (f == NULL) {
        s3_blob_io_put(io);
        s3_blob_answer(&unit->req, S3_ENOMEM);
        return;
    }

    io->file = f;
    f->pins++;

    if (f->opening) {
        s3_blob_queue_push(&f->waiting, io);
        return;
    }

    s3_blob_read_start(io);
}


void
s3_blobs_forget(s3_blobs_t *blobs, const uint8_t id[16])
{
    s3_blob_file_t *f = *s3_blobs_slot(blobs, id);

    if (f) {
        s3_blob_file_drop(f);
    }
}


/* Remove. */

typedef struct {
    s3_task_t task;
    s3_blobs_t *blobs;
    s3_blob_req_t *req;
    uint8_t id[16];
    int rc;
} s3_blob_remove_t;


static void
s3_blob_remove_run(s3_task_t *task)
{
    char path[S3_BLOB_PATH];
    s3_blob_remove_t *r = task->ctx;
    s3_fs_t *fs = r->blobs->conf.fs;

    s3_blob_path(path, r->id);

    r->rc = fs->unlink(fs, path);

    if (r->rc == S3_ENOENT) {
        r->rc = S3_OK;
    }
}


static void
s3_blob_remove_done(s3_task_t *task)
{
    s3_blob_remove_t *r = task->ctx;
    s3_blob_req_t *req = r->req;
    int rc = r->rc;

    r->blobs->busy--;
    free(r);
    s3_blob_answer(&req->req, rc);
}


void
s3_blobs_remove(s3_blobs_t *blobs, s3_blob_req_t *req)
{
    s3_blob_remove_t *r;

    s3_blobs_forget(blobs, req->id);

    r = calloc(1, sizeof(*r));
    if (r == NULL) {
        s3_blob_answer(&req->req, S3_ENOMEM);
        return;
    }

    r->blobs = blobs;
    r->req = req;
    memcpy(r->id, req->id, 16);
    r->task.run = s3_blob_remove_run;
    r->task.done = s3_blob_remove_done;
    r->task.ctx = r;
    r->task.drive = blobs->conf.drive;
    blobs->busy++;

    blobs->conf.loop->post_background(blobs->conf.loop, &r->task);
}

#pragma GCC visibility pop
