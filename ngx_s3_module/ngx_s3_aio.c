/*
 * Asynchronous direct I/O; see ngx_s3_aio.h.
 *
 *   submit ──> queue of the drive ──> batch ──> kernel ──> reap ──> done()
 *        │        (limit a drive)  io_submit()    │
 *        └──────> thread of the drive <───────────┘ what it won't do
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <libaio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "ngx_s3_aio.h"
#include "ngx_s3_fs.h"


#define NGX_S3_AIO_EVENTS  64

/* Writes that go to the kernel as one: what 64 bytes of iovecs hold. */

#define NGX_S3_AIO_RUN     4


/*
 * Lives in s3_aio_t.impl.  A request is with the kernel or with a thread, or
 * it follows another one, whose file it goes on where that one ends: then the
 * kernel gets both as one request.  The iovecs of all lie in the first that
 * follows; the kernel copies them when it takes the request.
 */

typedef struct ngx_s3_aio_op_s  ngx_s3_aio_op_t;

struct ngx_s3_aio_op_s {
    union {
        struct iocb     iocb;
        ngx_s3_job_t    job;
        struct iovec    iov[NGX_S3_AIO_RUN];
    } u;

    ngx_s3_aio_t       *owner;
    ngx_s3_aio_op_t    *next;      /* in the drive's queue, or follows */
    ngx_s3_aio_op_t    *older;     /* in the drive's list of all */
    ngx_s3_aio_op_t    *newer;
    size_t              done;      /* bytes so far */
    uint64_t            start;
    unsigned            run;       /* how many follow, with it */
    unsigned            alone;     /* must not be one of many again */
};

_Static_assert(sizeof(ngx_s3_aio_op_t) <= sizeof(((s3_aio_t *) 0)->impl),
               "s3_aio_t.impl is too small");


typedef struct {
    ngx_s3_aio_op_t    *head;      /* queued, not yet in a batch */
    ngx_s3_aio_op_t   **last;

    ngx_s3_aio_op_t    *oldest;    /* everything not done */
    ngx_s3_aio_op_t    *newest;
    uint64_t            moved;     /* when something was done last */

    unsigned            load;
    unsigned            active;    /* in the batch or with the kernel */
} ngx_s3_aio_drive_t;


struct ngx_s3_aio_s {
    io_context_t        ctx;
    int                 fd;
    int                 error;

    unsigned            drives;
    unsigned            depth;
    unsigned            limit;
    unsigned            pending;
    unsigned            active;
    unsigned            queued;
    unsigned            turn;      /* the drive whose turn it is */

    ngx_s3_threads_t   *threads;

    struct iocb       **batch;
    unsigned            n;

    ngx_s3_aio_drive_t  d[];
};


static void ngx_s3_aio_enqueue(ngx_s3_aio_t *a, s3_aio_t *aio);
static void ngx_s3_aio_gather(ngx_s3_aio_t *a);
static ngx_s3_aio_op_t *ngx_s3_aio_dequeue(ngx_s3_aio_t *a,
    ngx_s3_aio_drive_t *d);
static void ngx_s3_aio_prepare(ngx_s3_aio_t *a, ngx_s3_aio_op_t *op);
static void ngx_s3_aio_prepare_run(ngx_s3_aio_op_t *op);
static void ngx_s3_aio_event(ngx_s3_aio_t *a, struct io_event *event);
static void ngx_s3_aio_event_run(ngx_s3_aio_t *a, ngx_s3_aio_op_t *op,
    long res);
static void ngx_s3_aio_part(ngx_s3_aio_t *a, ngx_s3_aio_op_t *op);
static void ngx_s3_aio_finish(ngx_s3_aio_t *a, s3_aio_t *aio);
static void ngx_s3_aio_thread(ngx_s3_aio_t *a, s3_aio_t *aio);
static void ngx_s3_aio_thread_run(ngx_s3_job_t *job);
static void ngx_s3_aio_thread_done(ngx_s3_job_t *job);
static ssize_t ngx_s3_aio_sync(s3_aio_t *aio, size_t done);


static inline ngx_s3_aio_op_t *
ngx_s3_aio_op(s3_aio_t *aio)
{
    return (ngx_s3_aio_op_t *) (void *) aio->impl;
}


static inline s3_aio_t *
ngx_s3_aio_of(ngx_s3_aio_op_t *op)
{
    return s3_container((void *) op, s3_aio_t, impl);
}


static uint64_t
ngx_s3_aio_now(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);

    return (uint64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}


ngx_s3_aio_t *
ngx_s3_aio_create(unsigned drives, unsigned depth, unsigned limit,
    ngx_s3_threads_t *threads)
{
    int            rc;
    unsigned       i;
    ngx_s3_aio_t  *a;

    if (drives == 0 || depth == 0 || limit == 0) {
        errno = EINVAL;
        return NULL;
    }

    a = calloc(1, sizeof(ngx_s3_aio_t) + drives * sizeof(ngx_s3_aio_drive_t));
    if (a == NULL) {
        return NULL;
    }

    a->batch = calloc(depth, sizeof(struct iocb *));
    if (a->batch == NULL) {
        free(a);
        return NULL;
    }

    a->fd = eventfd(0, EFD_NONBLOCK|EFD_CLOEXEC);
    if (a->fd == -1) {
        free(a->batch);
        free(a);
        return NULL;
    }

    rc = io_setup(depth, &a->ctx);

    if (rc < 0) {
        a->ctx = NULL;
        a->error = -rc;
    }

    a->drives = drives;
    a->depth = depth;
    a->limit = limit;
    a->threads = threads;

    for (i = 0; i < drives; i++) {
        a->d[i].last = &a->d[i].head;
    }

    return a;
}


void
ngx_s3_aio_destroy(ngx_s3_aio_t *a)
{
    unsigned  n;

    while (a->pending) {
        (void) ngx_s3_aio_flush(a);

        n = ngx_s3_aio_reap(a);
        n += ngx_s3_threads_reap(a->threads);

        if (n == 0) {
            (void) usleep(500);
        }
    }

    if (a->ctx) {
        (void) io_destroy(a->ctx);
    }

    (void) close(a->fd);

    free(a->batch);
    free(a);
}


int
ngx_s3_aio_error(ngx_s3_aio_t *a)
{
    return a->error;
}


int
ngx_s3_aio_fd(ngx_s3_aio_t *a)
{
    return a->fd;
}


unsigned
ngx_s3_aio_load(ngx_s3_aio_t *a, unsigned drive)
{
    return drive < a->drives ? a->d[drive].load : 0;
}


unsigned
ngx_s3_aio_pending(ngx_s3_aio_t *a)
{
    return a->pending;
}


uint64_t
ngx_s3_aio_age(ngx_s3_aio_t *a, unsigned drive)
{
    uint64_t             age;
    ngx_s3_aio_drive_t  *d;

    if (drive >= a->drives || a->d[drive].oldest == NULL) {
        return 0;
    }

    d = &a->d[drive];
    age = ngx_s3_aio_now() - d->oldest->start;

    if (age > NGX_S3_AIO_STUCK || d->moved < d->oldest->start) {
        return age;
    }

    return ngx_s3_aio_now() - d->moved;
}


void
ngx_s3_aio_submit(ngx_s3_aio_t *a, s3_aio_t *aio)
{
    ngx_s3_aio_op_t     *op = ngx_s3_aio_op(aio);
    ngx_s3_aio_drive_t  *d;

    if (aio->drive >= a->drives) {
        aio->drive = 0;
    }

    d = &a->d[aio->drive];

    op->owner = a;
    op->done = 0;
    op->alone = 0;
    op->start = ngx_s3_aio_now();

    op->newer = NULL;
    op->older = d->newest;

    if (d->newest) {
        d->newest->newer = op;

    } else {
        d->oldest = op;
    }

    d->newest = op;

    d->load++;
    a->pending++;

    if (a->ctx == NULL || !aio->file->direct || aio->file->slow) {
        ngx_s3_aio_thread(a, aio);
        return;
    }

    ngx_s3_aio_enqueue(a, aio);
}


static void
ngx_s3_aio_enqueue(ngx_s3_aio_t *a, s3_aio_t *aio)
{
    ngx_s3_aio_op_t     *op = ngx_s3_aio_op(aio);
    ngx_s3_aio_drive_t  *d = &a->d[aio->drive];

    op->next = NULL;

    *d->last = op;
    d->last = &op->next;

    a->queued++;
}


int
ngx_s3_aio_flush(ngx_s3_aio_t *a)
{
    int           rc;
    unsigned      i;
    struct iocb  *iocb;

    for ( ;; ) {

        ngx_s3_aio_gather(a);

        if (a->n == 0) {
            return S3_OK;
        }

        rc = io_submit(a->ctx, a->n, a->batch);

        if (rc == -EINTR) {
            continue;
        }

        if (rc == -EAGAIN || rc == 0) {
            return S3_AGAIN;
        }

        if (rc < 0) {

            /* the kernel does not take the first one: a thread will */

            iocb = a->batch[0];
            rc = 1;

        } else {
            iocb = NULL;
        }

        a->n -= rc;

        for (i = 0; i < a->n; i++) {
            a->batch[i] = a->batch[i + rc];
        }

        if (iocb) {
            ngx_s3_aio_op_t  *op = iocb->data;
            s3_aio_t         *aio = ngx_s3_aio_of(op);

            a->d[aio->drive].active--;
            a->active--;

            if (op->run > 1) {
                ngx_s3_aio_part(a, op);

            } else {
                ngx_s3_aio_thread(a, aio);
            }
        }
    }
}


/* Fills the batch, one request of each drive in turn. */

static void
ngx_s3_aio_gather(ngx_s3_aio_t *a)
{
    unsigned             idle;
    ngx_s3_aio_op_t     *op;
    ngx_s3_aio_drive_t  *d;

    idle = 0;

    while (a->queued && a->active < a->depth && idle < a->drives) {

        d = &a->d[a->turn];
        a->turn = (a->turn + 1) % a->drives;

        if (d->head == NULL || d->active >= a->limit) {
            idle++;
            continue;
        }

        idle = 0;

        op = ngx_s3_aio_dequeue(a, d);

        a->active++;
        d->active++;

        ngx_s3_aio_prepare(a, op);

        a->batch[a->n++] = &op->u.iocb;
    }
}


/* The first request, and the writes behind it that go on where it ends. */

static ngx_s3_aio_op_t *
ngx_s3_aio_dequeue(ngx_s3_aio_t *a, ngx_s3_aio_drive_t *d)
{
    s3_aio_t         *aio, *next;
    ngx_s3_aio_op_t  *op, *last;

    op = d->head;
    op->run = 1;

    last = op;
    aio = ngx_s3_aio_of(op);

    if (aio->write && op->done == 0 && !op->alone) {

        while (op->run < NGX_S3_AIO_RUN && last->next && !last->next->alone) {

            next = ngx_s3_aio_of(last->next);

            if (!next->write || next->file != aio->file
                || next->dsync != aio->dsync || next->off != aio->off + aio->len
                || last->next->done)
            {
                break;
            }

            last = last->next;
            aio = next;
            op->run++;
        }
    }

    d->head = last->next;

    if (d->head == NULL) {
        d->last = &d->head;
    }

    last->next = NULL;

    a->queued -= op->run;

    return op;
}


static void
ngx_s3_aio_prepare(ngx_s3_aio_t *a, ngx_s3_aio_op_t *op)
{
    void      *buf;
    size_t     len;
    s3_aio_t  *aio = ngx_s3_aio_of(op);

    buf = (char *) aio->buf + op->done;
    len = aio->len - op->done;

    if (op->run > 1) {
        ngx_s3_aio_prepare_run(op);

    } else if (aio->write) {
        io_prep_pwrite(&op->u.iocb, aio->file->fd, buf, len,
                       aio->off + op->done);

    } else {
        io_prep_pread(&op->u.iocb, aio->file->fd, buf, len,
                      aio->off + op->done);
    }

    if (aio->write && aio->dsync) {
        op->u.iocb.aio_rw_flags = RWF_DSYNC;
    }

    io_set_eventfd(&op->u.iocb, a->fd);

    op->u.iocb.data = op;
}


static void
ngx_s3_aio_prepare_run(ngx_s3_aio_op_t *op)
{
    unsigned          i;
    s3_aio_t         *aio;
    struct iovec     *iov;
    ngx_s3_aio_op_t  *part;

    iov = op->next->u.iov;

    for (i = 0, part = op; part; i++, part = part->next) {
        aio = ngx_s3_aio_of(part);

        iov[i].iov_base = aio->buf;
        iov[i].iov_len = aio->len;
    }

    aio = ngx_s3_aio_of(op);

    io_prep_pwritev(&op->u.iocb, aio->file->fd, iov, i, aio->off);
}


unsigned
ngx_s3_aio_reap(ngx_s3_aio_t *a)
{
    int              i, n;
    ssize_t          rc;
    uint64_t         value;
    unsigned         count;
    struct timespec  ts;
    struct io_event  events[NGX_S3_AIO_EVENTS];

    if (a->ctx == NULL) {
        return 0;
    }

    do {
        rc = read(a->fd, &value, sizeof(uint64_t));
    } while (rc == -1 && errno == EINTR);

    count = 0;

    for ( ;; ) {

        ts.tv_sec = 0;
        ts.tv_nsec = 0;

        n = io_getevents(a->ctx, 0, NGX_S3_AIO_EVENTS, events, &ts);

        if (n == -EINTR) {
            continue;
        }

        if (n <= 0) {
            return count;
        }

        for (i = 0; i < n; i++) {
            ngx_s3_aio_event(a, &events[i]);
        }

        count += n;
    }
}


static void
ngx_s3_aio_event(ngx_s3_aio_t *a, struct io_event *event)
{
    long              res;
    s3_aio_t         *aio;
    ngx_s3_aio_op_t  *op;

    op = event->data;
    res = (long) event->res;

    aio = ngx_s3_aio_of(op);

    a->d[aio->drive].active--;
    a->active--;

    if (op->run > 1) {
        ngx_s3_aio_event_run(a, op, res);
        return;
    }

    if (res == -EAGAIN || res == -EOPNOTSUPP || res == -EINVAL) {
        ngx_s3_aio_thread(a, aio);
        return;
    }

    if (res < 0) {
        aio->result = ngx_s3_fs_error((int) -res);
        ngx_s3_aio_finish(a, aio);
        return;
    }

    op->done += res;

    if (op->done < aio->len) {

        if (res > 0 && res % S3_SECTOR == 0) {
            ngx_s3_aio_enqueue(a, aio);
            return;
        }

        /* a read has met the end of the file; a write has no such excuse */

        if (aio->write) {
            aio->result = S3_EIO;
            ngx_s3_aio_finish(a, aio);
            return;
        }
    }

    aio->result = op->done;

    ngx_s3_aio_finish(a, aio);
}


/* All of them, or nobody knows which: then each once more by itself. */

static void
ngx_s3_aio_event_run(ngx_s3_aio_t *a, ngx_s3_aio_op_t *op, long res)
{
    s3_aio_t         *aio;
    ngx_s3_aio_op_t  *part, *next;

    for (part = op; part; part = part->next) {
        res -= (long) ngx_s3_aio_of(part)->len;
    }

    if (res != 0) {
        ngx_s3_aio_part(a, op);
        return;
    }

    for (part = op; part; part = next) {
        next = part->next;

        aio = ngx_s3_aio_of(part);
        aio->result = aio->len;

        ngx_s3_aio_finish(a, aio);
    }
}


static void
ngx_s3_aio_part(ngx_s3_aio_t *a, ngx_s3_aio_op_t *op)
{
    ngx_s3_aio_op_t  *next;

    for ( /* void */ ; op; op = next) {
        next = op->next;

        op->alone = 1;

        ngx_s3_aio_enqueue(a, ngx_s3_aio_of(op));
    }
}


static void
ngx_s3_aio_finish(ngx_s3_aio_t *a, s3_aio_t *aio)
{
    ngx_s3_aio_op_t     *op = ngx_s3_aio_op(aio);
    ngx_s3_aio_drive_t  *d = &a->d[aio->drive];

    if (op->older) {
        op->older->newer = op->newer;

    } else {
        d->oldest = op->newer;
    }

    if (op->newer) {
        op->newer->older = op->older;

    } else {
        d->newest = op->older;
    }

    d->moved = ngx_s3_aio_now();
    d->load--;
    a->pending--;

    aio->done(aio);
}


static void
ngx_s3_aio_thread(ngx_s3_aio_t *a, s3_aio_t *aio)
{
    ngx_s3_job_t  *job = &ngx_s3_aio_op(aio)->u.job;

    job->run = ngx_s3_aio_thread_run;
    job->done = ngx_s3_aio_thread_done;
    job->drive = aio->drive;

    ngx_s3_threads_post(a->threads, job);
}


static void
ngx_s3_aio_thread_run(ngx_s3_job_t *job)
{
    ngx_s3_aio_op_t  *op = s3_container(job, ngx_s3_aio_op_t, u.job);
    s3_aio_t         *aio = ngx_s3_aio_of(op);

    aio->result = ngx_s3_aio_sync(aio, op->done);
}


static void
ngx_s3_aio_thread_done(ngx_s3_job_t *job)
{
    ngx_s3_aio_op_t  *op = s3_container(job, ngx_s3_aio_op_t, u.job);

    ngx_s3_aio_finish(op->owner, ngx_s3_aio_of(op));
}


/* The whole request from `done` on, in a thread. */

static ssize_t
ngx_s3_aio_sync(s3_aio_t *aio, size_t done)
{
    int           flags, sync;
    ssize_t       n;
    struct iovec  iov;

    sync = 0;
    flags = aio->write && aio->dsync ? RWF_DSYNC : 0;

    while (done < aio->len) {

        iov.iov_base = (char *) aio->buf + done;
        iov.iov_len = aio->len - done;

        if (aio->write) {
            n = pwritev2(aio->file->fd, &iov, 1, aio->off + done, flags);

        } else {
            n = preadv2(aio->file->fd, &iov, 1, aio->off + done, flags);
        }

        if (n == -1) {

            if (errno == EINTR) {
                continue;
            }

            if (flags && (errno == EOPNOTSUPP || errno == ENOSYS)) {
                flags = 0;
                sync = 1;
                continue;
            }

            return ngx_s3_fs_error(errno);
        }

        done += n;

        if (n == 0
            || (aio->file->direct && n % S3_SECTOR && done < aio->len))
        {
            if (aio->write) {
                return S3_EIO;
            }

            break;
        }
    }

    if (sync) {
        do {
            n = fdatasync(aio->file->fd);
        } while (n == -1 && errno == EINTR);

        if (n == -1) {
            return ngx_s3_fs_error(errno);
        }
    }

    return done;
}
