/*
 * The two tables through which storage/ reaches the world.
 *
 *   s3_fs_t     blocking file calls, rooted at one drive's directory.  Used
 *               at start (before the event loop runs) and inside tasks on the
 *               drive's threads; never on the loop.
 *   s3_loop_t   what the event loop of this process offers: asynchronous
 *               reads and writes, tasks, timers, deferred calls, time.
 *
 * nginx implements both with POSIX, libaio and thread pools; tests and the
 * simulator with memory, and with every fault they can think of.
 *
 * Completion rule: `done` is called exactly once for every submitted request,
 * on the loop, and never from inside the call that submitted it.
 */

#ifndef S3_IO_H
#define S3_IO_H

#include "storage/s3_core.h"

#pragma GCC visibility push(hidden)


/* Direct I/O: memory, offset and length are multiples of this. */

#define S3_SECTOR 4096


typedef struct s3_file_s s3_file_t;
typedef struct s3_fs_s s3_fs_t;
typedef struct s3_aio_s s3_aio_t;
typedef struct s3_task_s s3_task_t;
typedef struct s3_timer_s s3_timer_t;
typedef struct s3_defer_s s3_defer_t;
typedef struct s3_loop_s s3_loop_t;


#define S3_O_READ 1
#define S3_O_WRITE 2
#define S3_O_CREATE 4
#define S3_O_EXCL 8
#define S3_O_DIRECT 16 /* falls back to buffered where unsupported */


/*
 * Paths are relative to the drive ("log/00000001.seg").  Every call returns
 * S3_OK or a negative code: S3_ENOENT, S3_EEXIST, S3_ENOSPC, S3_EROFS, else
 * S3_EIO.  A file opened by any thread may be used by the loop and the other
 * way round; close() is the owner's business.
 */

struct s3_fs_s {
    int (*open)(s3_fs_t *fs, const char *path, unsigned flags, s3_file_t **f);
    void (*close)(s3_fs_t *fs, s3_file_t *f);

    /* bytes read, less than len only at the end of the file */
    ssize_t (*pread)(s3_fs_t *fs, s3_file_t *f, void *buf, size_t len,
                     uint64_t off);
    /* all of it or an error; durable only after sync() */
    int (*pwrite)(s3_fs_t *fs, s3_file_t *f, const void *buf, size_t len,
                  uint64_t off);
    /* size grows to `size`, space is allocated; what was there stays.  Direct
     * writes that the kernel has, be it of a dead process, are waited for */
    int (*allocate)(s3_fs_t *fs, s3_file_t *f, uint64_t size);
    int (*truncate)(s3_fs_t *fs, s3_file_t *f, uint64_t size);
    int (*size)(s3_fs_t *fs, s3_file_t *f, uint64_t *size);
    int (*sync)(s3_fs_t *fs, s3_file_t *f);

    int (*rename)(s3_fs_t *fs, const char *from, const char *to);
    int (*unlink)(s3_fs_t *fs, const char *path);
    int (*mkdir)(s3_fs_t *fs, const char *path); /* S3_OK if there already */
    int (*syncdir)(s3_fs_t *fs, const char *path);

    /* every name but "." and ".."; a non-zero return of cb stops and is
     * returned */
    int (*list)(s3_fs_t *fs, const char *path,
                int (*cb)(void *ctx, const char *name), void *ctx);
    int (*space)(s3_fs_t *fs, uint64_t *bytes_free, uint64_t *bytes_total);
    /* when the file was last written, seconds since 1970; may be NULL */
    int (*mtime)(s3_fs_t *fs, const char *path, uint64_t *seconds);
    /* another drive may be at the place of the one that was found there: look
     * for it anew; no file is open.  May be NULL */
    void (*forget)(s3_fs_t *fs);
    /* in a task: leaves the drive to others for a while; may be NULL */
    void (*pause)(s3_fs_t *fs, unsigned ms);

    void *impl;
    unsigned drive; /* index in the store */
};


/*
 * One asynchronous read or write.  buf, off and len are multiples of
 * S3_SECTOR where the file was opened S3_O_DIRECT.  The caller keeps the
 * structure and the buffer until done() is called; kernel writes cannot be
 * cancelled.
 */

struct s3_aio_s {
    s3_file_t *file;
    void *buf;
    size_t len;
    uint64_t off;
    unsigned drive;
    unsigned write : 1;
    unsigned dsync : 1; /* durable before done() (RWF_DSYNC) */

    ssize_t result; /* bytes, or a negative S3_E code; a write is whole */
    void (*done)(s3_aio_t *aio);
    void *ctx;

    uint64_t impl[16]; /* the implementation's: iocb, links */
};


/*
 * A blocking piece of work for one of the drive's threads.  run() must touch
 * nothing that the loop may change meanwhile.
 */

struct s3_task_s {
    void (*run)(s3_task_t *task);  /* in the thread */
    void (*done)(s3_task_t *task); /* on the loop */
    void *ctx;
    unsigned drive;

    uint64_t impl[32];
};


struct s3_timer_s {
    void (*handler)(s3_timer_t *timer);
    void *ctx;
    unsigned background : 1; /* does not keep a stopping process alive */
    unsigned set : 1;

    uint64_t impl[16];
};


struct s3_defer_s {
    void (*handler)(s3_defer_t *defer);
    void *ctx;
    s3_defer_t *next;
    unsigned queued : 1;
};


#define S3_LOG_ERR 4 /* as nginx's levels */
#define S3_LOG_WARN 5
#define S3_LOG_NOTICE 6
#define S3_LOG_INFO 7
#define S3_LOG_DEBUG 8


struct s3_loop_s {
    /*
     * What can be had without waiting (page cache): bytes read, or S3_AGAIN
     * where it would block, else an error.  Buffered files only.
     */
    ssize_t (*read_now)(s3_loop_t *loop, s3_file_t *f, void *buf, size_t len,
                        uint64_t off);

    void (*submit)(s3_loop_t *loop, s3_aio_t *aio);
    void (*post)(s3_loop_t *loop, s3_task_t *task);

    /* work that no request waits for: it never stands before one that does */
    void (*post_background)(s3_loop_t *loop, s3_task_t *task);

    /* milliseconds from now; setting a set timer moves it */
    void (*set_timer)(s3_loop_t *loop, s3_timer_t *timer, uint64_t ms);
    void (*del_timer)(s3_loop_t *loop, s3_timer_t *timer);

    /* once, at the end of this turn of the loop; a queued one stays queued */
    void (*defer)(s3_loop_t *loop, s3_defer_t *defer);

    uint64_t (*wall_us)(s3_loop_t *loop); /* may jump */
    uint64_t (*mono_ms)(s3_loop_t *loop);
    void (*random)(s3_loop_t *loop, void *buf, size_t len);
    /* what is about a drive begins with "drive N: ", N from 1: the loop may put
     * the drive's path there */
    void (*log)(s3_loop_t *loop, int level, const char *fmt, ...)
        __attribute__((format(printf, 3, 4)));

    void *impl;
};

#pragma GCC visibility pop

#endif /* S3_IO_H */
