/*
 * Inside of the local drive: shared by s3_local*.c and s3_maintain*.c only.
 */

#ifndef S3_LOCAL_INT_H
#define S3_LOCAL_INT_H

#include "storage/s3_local.h"
#include "storage/s3_index.h"
#include "storage/s3_log.h"
#include "storage/s3_blob.h"
#include "storage/s3_segment.h"

#pragma GCC visibility push(hidden)


typedef struct s3_op_s s3_op_t;
typedef struct s3_write_s s3_write_t;
typedef struct s3_segfile_s s3_segfile_t;
typedef struct s3_pick_s s3_pick_t;
typedef struct s3_confirm_s s3_confirm_t;
typedef struct s3_freeing_s s3_freeing_t;
typedef struct s3_maintain_s s3_maintain_t;


/* What decide() of an operation returns. */

#define S3_OP_ANSWERED 1 /* op->answer, rc; durable once its writes are */
#define S3_OP_WAIT 2     /* for the node in op->node */
#define S3_OP_STALL 3    /* no room in memtables or log */
#define S3_OP_ASYNC 4    /* something else will run it again */


/*
 * One request on its way, or a piece of background work that writes.  Run
 * again from the start whenever what it waited for has changed.
 */

struct s3_op_s {
    s3_op_t *next;
    s3_local_t *l;
    int (*decide)(s3_op_t *op); /* under the lock, or `shared` */
    void (*finish)(s3_op_t *op);
    void *req; /* the request's structure */
    uint64_t bucket;
    s3_str_t key;

    /* votes look whether the bucket is closed, too */
    uint8_t closed_key[8];

    s3_memnode_t *node; /* waited for */
    unsigned arena;
    uint64_t arena_seq;

    unsigned writes;     /* not durable yet */
    unsigned check : 1;  /* look whether the bucket is closed */
    unsigned shared : 1; /* changes nothing: takes no lock */
    unsigned decided : 1;
    unsigned blobs : 1;     /* their presence was checked */
    unsigned phase : 2;     /* finds done */
    unsigned tombstone : 1; /* allowed while the drive is full */

    int rc;
    s3_answer_t answer;
    s3_version_t version;
    int64_t aux;
    s3_entry_t cause;

    /* large, and not cleared as a whole */
    s3_find_t find;
    s3_find_t closed;
    s3_task_t task;
};


/* A record on its way into the log. */

struct s3_write_s {
    s3_log_waiter_t waiter;
    s3_write_t *next;
    s3_local_t *l;
    s3_op_t *op;                         /* or NULL */
    s3_memnode_t *node;                  /* or NULL */
    void (*done)(s3_write_t *w, int rc); /* or NULL */
    void *ctx;
    s3_log_place_t place;
    size_t size;
    int rc;             /* of the encoding */
    s3_record_t record; /* until it is encoded */
};


/* A segment that is open for reading. */

#define S3_SEGFILES 128

struct s3_segfile_s {
    s3_segment_t seg;
    s3_file_t *file;
    unsigned refs;
    unsigned cached : 1;
};


/* Reading of one record: s3_pick_start(). */

struct s3_pick_s {
    s3_local_t *l;
    uint32_t segment;
    uint32_t offset;
    uint32_t length;
    s3_segfile_t *file;
    uint64_t from;
    size_t span;
    s3_record_t record; /* slices into buf */
    void *buf;          /* the caller's after success */
    int rc;
    s3_task_t task;
    void (*done)(s3_pick_t *pick, int rc);
    void *ctx;
};


/* CONFIRM records wait here until a batch goes out. */

struct s3_confirm_s {
    s3_confirm_t *next;
    s3_local_t *l;
    uint64_t bucket;
    s3_version_t version;
    uint8_t keep;
    uint8_t arena;
    uint64_t arena_seq;
    s3_memnode_t *node; /* its only one, as long as the arena is that one, and
                         * what it replaces is known; NULL: not known */
    uint32_t segment;   /* place and length of the record it replaces */
    uint32_t length;    /* 0: none */
    uint8_t late;       /* what follows it was confirmed before it */
    uint8_t logged;
    uint8_t tries;
    uint16_t key_len;
    uint8_t key[];
};


struct s3_local_s {
    s3_drive_t drive;
    s3_loop_t *loop;
    s3_fs_t *fs;
    s3_zone_t *zone;
    s3_zdrive_t *zd;
    unsigned index;
    unsigned slot;
    uint32_t incarnation;
    unsigned parity;
    uint32_t segment_size;

    s3_index_t ix;
    s3_log_t *log;
    s3_blobs_t *blobs;
    s3_segfile_t *segfiles[S3_SEGFILES];

    unsigned locked;
    s3_write_t *encode; /* reserved under the lock, to be filled after it */
    s3_write_t **encode_last;

    s3_op_t *waiting; /* for somebody's pending node */
    s3_op_t *stalled; /* for room */
    s3_timer_t poll;
    s3_timer_t stall;
    s3_defer_t wake;
    s3_log_waiter_t room;
    unsigned room_set : 1;
    unsigned log_full : 1;   /* what stalled did so for the log */
    unsigned char quiet;     /* atomic: tasks look at it */
    unsigned dead : 1;       /* being destroyed */
    unsigned unsure : 1;     /* a CONFIRM did not get into the log */
    unsigned confirming : 1; /* those are looked for */
    uint32_t arrival;        /* of the drive, for which files are open here */
    unsigned missed;         /* ticks without it */
    unsigned unread;         /* reads in a row that failed */
    uint32_t opening;        /* the arrival that is being opened */

    /* of that bucket the tables of that generation do not say "closed" */
    uint64_t unclosed;
    uint64_t unclosed_generation;
    uint32_t part; /* of the drive, that fs is known to lead to */

    s3_task_t open_task;
    unsigned open_set : 1;
    int open_rc;
    void (*open_done)(void *ctx, int rc); /* or NULL */
    void *open_ctx;

    s3_confirm_t *confirms;
    s3_confirm_t **confirms_last;
    unsigned n_confirms;
    s3_timer_t confirm_timer;
    s3_defer_t confirm_defer;

    s3_confirm_t *drops; /* confirmed durably; predecessors may go */
    s3_confirm_t **drops_last;
    unsigned n_drops;
    unsigned n_known; /* of them, what they replace: a look is worth it */
    unsigned dropping;

    s3_freeing_t *held; /* blobs that go when nobody reads them any more */
    s3_freeing_t **held_last;
    unsigned n_held;
    size_t held_ids;

    uint64_t freed_seen;
    unsigned ops; /* outstanding */
    unsigned writes;
    unsigned picks;

    s3_op_t *free_ops;
    unsigned n_free_ops;
    s3_write_t *free_writes;
    unsigned n_free_writes;

    s3_maintain_t *maintain;
};


/* s3_local.c, s3_local_op.c, s3_local_log.c */

void s3_local_lock(s3_local_t *l);
void s3_local_unlock(s3_local_t *l); /* the last one encodes what is reserved */

s3_op_t *
s3_op_create(s3_local_t *l, uint64_t bucket, s3_str_t key,
             int (*decide)(s3_op_t *), void (*finish)(s3_op_t *), void *req);
void s3_op_run(s3_op_t *op);
void s3_op_free(s3_op_t *op);

/* What a request that writes gets to hear, or S3_OK. */
int s3_local_may_write(s3_local_t *l, int essential);
int s3_local_may_read(s3_local_t *l);
void
s3_local_fail(s3_local_t *l, s3_drive_state_t state, const char *why, int rc);

/* What a drive is that works: FAILING as long as there are writes of unknown
 * outcome, REFILLING, or OK. */
s3_drive_state_t s3_local_good(const s3_zdrive_t *zd);

/* ctx: s3_local_t; told of each read of a blob or a record. */
void s3_local_read_ended(void *ctx, int rc);

/*
 * A record into the log, its entry into the memtable; under the lock.  The
 * slices of r stay until the lock is released.  place: where a view found the
 * key, or NULL.  S3_OK, S3_AGAIN (stall), or an error.
 */
int s3_local_append(s3_local_t *l, s3_op_t *op, const s3_record_t *r,
                    const s3_memplace_t *place, s3_write_t **out);

/* The same without an entry: CONFIRM. */
int s3_local_append_log(s3_local_t *l, const s3_record_t *r,
                        void (*done)(s3_write_t *w, int rc), void *ctx);

/* An entry into the memtable alone: what it says is durable already.  Under
 * the lock; S3_AGAIN. */
int s3_local_copy(s3_local_t *l, uint64_t bucket, s3_str_t key,
                  const s3_entry_t *e);

/* Room for a node in the active memtable; freezes it where it is full. */
int s3_local_room(s3_local_t *l, size_t key_len, size_t extra_len);
int s3_local_freeze(s3_local_t *l);

int s3_op_wait(s3_op_t *op, const s3_item_state_t *item);
int s3_op_answer(s3_op_t *op, int rc, s3_answer_t answer);
void s3_local_wake(s3_local_t *l);

/* Who waits for another process gets S3_EUNAVAIL. */
void s3_local_wait_no_more(s3_local_t *l);

void s3_record_of(s3_record_t *r, uint64_t bucket, s3_str_t key,
                  const s3_version_t *version, s3_kind_t kind);

void s3_local_init_waits(s3_local_t *l);

extern const s3_log_hooks_t s3_local_log_hooks;

/* s3_local_vote.c */
void s3_local_vote(s3_drive_t *d, s3_vote_t *vote);
void s3_local_push(s3_drive_t *d, s3_vote_t *push);

/* s3_local_mark.c */
void s3_local_fence(s3_drive_t *d, s3_mark_t *mark);
void s3_local_status(s3_drive_t *d, s3_mark_t *mark);
void s3_local_dead(s3_drive_t *d, s3_mark_t *mark);
void s3_local_confirm(s3_drive_t *d, s3_mark_t *mark);
int s3_local_put_dead(s3_op_t *op, s3_view_t *view, const s3_version_t *v);

/* s3_local_confirm.c */
/* NULL: out of memory. */
s3_confirm_t *s3_confirm_create(s3_local_t *l, uint64_t bucket, s3_str_t key,
                                const s3_version_t *v);
/* node: v's in the active memtable, where `reminder` knows what it replaces; or
 * NULL, and then it may be NULL, too. */
void s3_local_queue_confirm(s3_local_t *l, uint64_t bucket, s3_str_t key,
                            const s3_version_t *v, int keep, s3_memnode_t *node,
                            const s3_reminder_t *reminder);
/* All versions that are known to be committed by memory alone, once more, if
 * anything can be written. */
void s3_local_confirm_again(s3_local_t *l);
void s3_local_flush_confirms(s3_local_t *l); /* under the lock */
void s3_local_confirm_timer(s3_timer_t *timer);
void s3_local_confirm_free(s3_local_t *l);

/* s3_local_drop.c */
/* The CONFIRM is durable: looked after at the end of the turn. */
void s3_confirm_drop(s3_local_t *l, s3_confirm_t *c);
/* late: v is committed, and a newer one had been confirmed before that was
 * known: whose drop has left v's blobs alone. */
void s3_local_queue_drop(s3_local_t *l, uint64_t bucket, s3_str_t key,
                         const s3_version_t *v, int late);
void s3_local_drop_free(s3_local_t *l);
void s3_local_next_drop(s3_local_t *l);

/* s3_local_free.c */
/*
 * Removes the blobs that `old` lists on this drive and none of the records of
 * the key from version `from` on.  done(ctx) once, maybe before the return: when
 * they are gone, or are held because somebody reads them.  cleaning: they were
 * superseded long ago, and if somebody reads them they stay.
 */
void s3_local_free_blobs(s3_local_t *l, uint64_t bucket, s3_str_t key,
                         const s3_version_t *from, const s3_entry_t *old,
                         int cleaning, void (*done)(void *ctx), void *ctx);
void s3_local_held(s3_local_t *l); /* each tick */
void s3_local_held_free(s3_local_t *l);

/* s3_local_read.c */
void s3_local_read(s3_drive_t *d, s3_lookup_t *lookup);
void s3_local_fetch(s3_drive_t *d, s3_fetch_t *fetch);
int s3_pick_start(s3_pick_t *pick, s3_local_t *l, uint32_t segment,
                  uint32_t offset, uint32_t length);
void s3_local_close_segments(s3_local_t *l);
void s3_local_forget_segment(s3_local_t *l, uint32_t id);

/* s3_local_list.c */
void s3_local_list(s3_drive_t *d, s3_scan_t *scan);

/* s3_local_doubt.c */
void s3_local_in_doubt(s3_drive_t *d, s3_in_doubt_t *in);

/* s3_local_blob.c */
void s3_local_blob_create(s3_drive_t *d, s3_blob_req_t *blob);
void s3_local_blob_write(s3_drive_t *d, s3_unit_t *unit);
void s3_local_blob_finish(s3_drive_t *d, s3_blob_req_t *blob);
void s3_local_blob_abort(s3_drive_t *d, s3_blob_req_t *blob);
void s3_local_blob_read(s3_drive_t *d, s3_unit_t *unit);
void s3_local_blob_remove(s3_drive_t *d, s3_blob_req_t *blob);
void s3_local_close_bucket(s3_drive_t *d, s3_close_t *close);
void s3_local_note(s3_drive_t *d, s3_note_t *note);
void s3_local_unnote(s3_drive_t *d, s3_note_t *note);
void s3_local_leaks(s3_drive_t *d, s3_leaks_t *leaks);
void s3_local_forget_freed(s3_local_t *l);

/* s3_maintain.c */
s3_maintain_t *s3_maintain_create(s3_local_t *l);
void s3_maintain_destroy(s3_maintain_t *m);
int s3_maintain_busy(const s3_maintain_t *m);
void s3_maintain_tick(s3_maintain_t *m);
void s3_maintain_quiesce(s3_maintain_t *m);

#pragma GCC visibility pop

#endif /* S3_LOCAL_INT_H */
