/*
 * The node: all local drives of one store, as the nginx side sees them.
 *
 *        master, blocking, before the fork          worker, on its loop
 *   ┌──────────────────────────────────────┐   ┌──────────────────────────┐
 *   │ s3_node_recover()                    │   │ s3_node_attach()         │
 *   │   format.json: create or check       │   │   own log per drive      │
 *   │   MANIFEST, tables, log -> zone      │   │   settles dead processes │
 *   └──────────────────────────────────────┘   │   drives[0..n-1]         │
 *                                              │ s3_node_detach()         │
 *                                              └──────────────────────────┘
 *
 * What a caller must know
 *
 *  - The zone is one mapping of zone_size bytes, shared (MAP_SHARED) by every
 *    process that serves the store, at any address, aligned to 4096.  It
 *    holds robust process-shared mutexes: it must be mapped before, and
 *    outlive, every s3_node_t.  s3_node_zone_min() is the least size that
 *    works; what is above goes to the memtables (64 to 256 MiB is good).
 *  - `fresh`: no other process uses the mapping (the caller holds the owner
 *    lock), so its content is worthless and is made anew from the drives.
 *    Not fresh: another generation of workers (reload, binary upgrade) is at
 *    work in it; recover() then joins: it checks layout, store and instance
 *    and touches neither the zone's data nor the drives.
 *  - recover() is run with each drive's fs usable; NULL is a drive that is
 *    not there, or an empty directory that may not be taken for a new one.  It
 *    may read much; it blocks.
 *  - attach() needs a slot (0..S3_NODE_PROCS-1) that no living process has.
 *    A worker that nginx starts again may take the slot of the one that
 *    died, or any other.  Slots are the caller's to give out, except
 *    S3_NODE_ANY_SLOT: then the node finds a free one.  Where the slot's
 *    last process is dead and not settled yet another slot is taken: see
 *    s3_node_slot().
 *  - alive(pid) says whether the process that had attached as `pid` may
 *    still run or have I/O in the kernel (kill(pid, 0) is right: a zombie
 *    counts as alive until reaped).
 *  - drives[i] is never NULL; a missing one has state S3_DRIVE_MISSING and
 *    answers rc S3_EUNAVAIL.
 *  - Each fs of the worker must reach the same directory as the one that
 *    recover() saw, and its tasks must run while the loop runs.
 *  - Going away: stop sending requests, wait until s3_node_busy() is 0 (it
 *    counts requests, log batches, tables and segments being written),
 *    s3_node_quiesce() beforehand makes background work end soon.  A process
 *    may also simply die at any instruction: nothing that was answered is
 *    lost.
 *  - One process at a time does the maintenance of a drive (lease in the
 *    zone); nothing to start or stop.
 *
 * Errors: S3_EFOREIGN (format or zone of another store, wrong order),
 * S3_EVERSION (newer format or layout), S3_EINVAL (conf), S3_ENOMEM,
 * S3_ECORRUPT, S3_EIO, S3_EBUSY (slot in use).  The log function has been
 * told which drive and why before an error is returned.
 */

#ifndef S3_NODE_H
#define S3_NODE_H

#include "storage/s3_core.h"
#include "storage/s3_io.h"
#include "storage/s3_entry.h"
#include "storage/s3_drive.h"
#include "storage/s3_pins.h"

#pragma GCC visibility push(hidden)


#define S3_NODE_PROCS 64
#define S3_NODE_ANY_SLOT S3_NODE_PROCS
#define S3_SEGMENT_SIZE (16 * 1024 * 1024)

typedef struct s3_node_s s3_node_t;


typedef struct {
    unsigned n;                      /* drives of the store, 1..S3_MAX_DRIVES */
    s3_fs_t *fs[S3_MAX_DRIVES];      /* NULL: missing */
    const char *name[S3_MAX_DRIVES]; /* for messages: the directory */

    void *zone;
    size_t zone_size;
    unsigned fresh : 1;
    unsigned partial : 1; /* recover(): go on with too few drives, or none */
    uint8_t instance[16]; /* who may join the zone: same for one nginx */

    unsigned parity;       /* noted in format.json; not checked later */
    uint32_t node;         /* id of this node in versions */
    uint64_t segment_size; /* 0: S3_SEGMENT_SIZE; of new segments; a
                            * multiple of 4096, 1 MiB to 1 GiB */
    unsigned max_segments; /* per drive; 0: by the drives' size, 8192 at
                            * least, more as far as the zone has room */

    /* recover() only; a worker uses its loop */
    uint64_t (*wall_us)(void *ctx);
    void (*random)(void *ctx, void *buf, size_t len);
    /* recover() and attach(); level as S3_LOG_* */
    void (*log)(void *ctx, int level, const char *message);
    /* attach() of a zone that was recovered without any drive: called once, on
     * the loop, before one of them is used; may be NULL */
    void (*named)(void *ctx, const uint8_t id[16]);
    void *ctx;
} s3_node_conf_t;


/* Least zone_size for n drives and max_segments (0: the default). */
size_t s3_node_zone_min(unsigned n, unsigned max_segments);

int s3_node_recover(const s3_node_conf_t *conf);

/* The id of the store that a recovered zone belongs to: seeds placement.  All
 * zero where no drive has been there yet (`partial`). */
void s3_node_store_id(const s3_node_conf_t *conf, uint8_t id[16]);


/* `slot` may be S3_NODE_ANY_SLOT.  Returns S3_OK and *node, or an error.
 * Settling of dead processes goes on asynchronously: requests that depend on
 * what they left wait for it. */
int s3_node_attach(const s3_node_conf_t *conf, s3_loop_t *loop, unsigned slot,
                   int64_t pid, int (*alive)(void *ctx, int64_t pid),
                   s3_node_t **node);

s3_drive_t *s3_node_drive(s3_node_t *node, unsigned i);
unsigned s3_node_slot(s3_node_t *node);

/* Draws a hybrid logical time, greater than all drawn or seen before by any
 * process: fits s3_store_conf_t.clock with the node as ctx. */
uint64_t s3_node_clock(void *node);

/* Fits s3_store_conf_t.bucket_changes where all drives are this node's. */
const uint64_t *s3_node_bucket_changes(s3_node_t *node);

/* Fits s3_store_conf_t.pins, with s3_node_slot() as `proc`. */
s3_pins_t *s3_node_pins(s3_node_t *node);

/* A logical time seen elsewhere: later draws are greater. */
void s3_node_saw(s3_node_t *node, uint64_t time);

/* Requests, batches, tasks outstanding; 0: detach is possible. */
unsigned s3_node_busy(s3_node_t *node);

/* No new background work; what runs comes to its end. */
void s3_node_quiesce(s3_node_t *node);

/* Frees everything; the slot becomes free.  Only when not busy. */
void s3_node_detach(s3_node_t *node);

/* For tests: frees what a process has in memory that was killed; the zone is
 * left as the dead leave it.  Its loop must call nothing of it any more. */
void s3_node_abandon(s3_node_t *node);

/*
 * A drive that was missing is back: checks its format.json, and where it was
 * away since the start replays it into the zone, in a task; then sets its
 * state.  Every process calls this with its own fs.  S3_OK: done(ctx, rc) will
 * be called on the loop.  S3_EBUSY: somebody is at it; S3_EEXIST: it is not
 * missing (any more), and in use here; S3_AGAIN: see s3_node_forget().  A drive
 * that went away while running and is back: the files that each process has
 * open are opened anew at the next tick; until then it answers S3_EUNAVAIL.
 * done() gets S3_ENOENT of an empty directory.
 */
int s3_node_return(s3_node_t *node, unsigned drive, s3_fs_t *fs,
                   void (*done)(void *ctx, int rc), void *ctx);

/*
 * Another drive is at the place of one that is missing: nothing counts any more
 * of what the zone has of it, and every process closes what it has open there.
 * S3_OK: all have; S3_AGAIN: not yet, call it again a little later; S3_EEXIST:
 * it is not missing.  Who comes back afterwards, be it the old one, is replayed
 * from its log.
 */
int s3_node_forget(s3_node_t *node, unsigned drive);

/*
 * As s3_node_return(), after s3_node_forget(): and an empty directory becomes
 * the drive, as a new one in state REFILLING.  Whether that is what it is for,
 * and not the place where the drive is to be mounted, is for the caller to
 * know.  done() gets S3_EUNAVAIL where so few of the other drives are there
 * that more than the parity would be without data.
 */
int s3_node_replace(s3_node_t *node, unsigned drive, s3_fs_t *fs,
                    void (*done)(void *ctx, int rc), void *ctx);


/*
 * A FAILING drive can be written and read again: every process opens its files
 * anew, and finds out from the log what became of writes whose outcome nobody
 * knew.  Then it is OK, or stays FAILING.
 */
void s3_node_recheck(s3_node_t *node, unsigned drive);

/* A drive that was in state `from`, and usable by every process all the time,
 * works again.  S3_OK; S3_EEXIST: it was not in that state; S3_EIO: FAILING
 * now, there are writes of unknown outcome. */
int s3_node_mend(s3_node_t *node, unsigned drive, s3_drive_state_t from);


/*
 * A drive in state REFILLING has all that the others have: it becomes "ready"
 * in format.json, then OK in the zone.  Asynchronous, may be called again at
 * any time: where it fails, or somebody is at it, nothing changes.
 */
void s3_node_refilled(s3_node_t *node, unsigned drive);

#pragma GCC visibility pop

#endif /* S3_NODE_H */
