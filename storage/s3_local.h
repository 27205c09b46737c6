/*
 * A local drive: s3_drive_ops_t over this machine's disk, by section 3 of the
 * commit protocol.
 *
 *   request ─► find (tables, may wait) ─► lock ─► view ─► decide ─► insert
 *              PENDING, reserve log space ─► unlock ─► encode ─► batch durable
 *              ─► node DURABLE ─► answer
 *
 * Answers beyond what s3_drive.h says:
 *
 *   vote      YES, NO (cause: what caused it, where something did), BUSY
 *             (cause), BEHIND, GONE, STALE, NODATA, CLOCK
 *   push      YES: held and durable; GONE: something newer is confirmed here
 *             (cause), nothing was stored; a record of the very version that
 *             is confirmed is stored again: it replaces a damaged one
 *   fence     YES (entry), NO, GONE
 *   status    YES (entry), NO: fenced or dead here; NOT_HELD, GONE
 *   confirm   YES: held; NOT_HELD: a hint to push it here.  Not durable yet
 *   dead      NO: is dead here, durably; YES: it is confirmed here, ignored;
 *             GONE: something newer is confirmed, ignored
 *   close     YES, durable, and no earlier vote of that bucket is pending
 *   note, unnote   YES, durable
 *
 * rc: S3_EUNAVAIL missing, S3_EROFS read-only, S3_ENOSPC full (votes for
 * tombstones, fences, confirms, deads, notes go on), S3_EIO failing (reads go
 * on), S3_ECORRUPT.  After a failed write nobody can know whether the record
 * is on the drive: its entry is FAILED, what depends on it gets S3_EIO, and
 * the drive takes no more writes until a restart has looked.
 *
 * Blobs of a superseded record are removed when its successor's CONFIRM is
 * durable, if the record had itself been confirmed (else an attempt that is
 * still on its way might refer to them) and neither the newest confirmed nor
 * any newer record of the key lists them.  What a crash leaves behind, the
 * cleaning of the segment finds (s3_maintain.h).
 */

#ifndef S3_LOCAL_H
#define S3_LOCAL_H

#include "storage/s3_core.h"
#include "storage/s3_io.h"
#include "storage/s3_drive.h"
#include "storage/s3_zone.h"

#pragma GCC visibility push(hidden)


#define S3_LOCAL_AHEAD_US (7 * 86400ULL * 1000000) /* votes further: CLOCK */
#define S3_LOCAL_CONFIRM_MS 50

typedef struct s3_local_s s3_local_t;

typedef struct {
    s3_loop_t *loop;
    s3_fs_t *fs; /* NULL: missing */
    s3_zone_t *zone;
    unsigned drive;
    unsigned slot; /* joined */
    unsigned parity;
    uint32_t segment_size;
} s3_local_conf_t;

/* Blocking (opens the tables).  A drive that the zone knows as MISSING or HUNG,
 * or without fs, becomes one that answers S3_EUNAVAIL. */
int s3_local_create(const s3_local_conf_t *conf, s3_local_t **local);

/* One that was made without fs, for it could not be opened: that is tried again
 * now and then, unless it is MISSING. */
void s3_local_later(s3_local_t *l, s3_fs_t *fs);

/* Idle; or `died`, in tests: what a killed process has in memory goes, and the
 * zone is not touched. */
void s3_local_destroy(s3_local_t *l, int died);

s3_drive_t *s3_local_drive(s3_local_t *l);
s3_fs_t *s3_local_fs(const s3_local_t *l); /* NULL: missing */
unsigned s3_local_busy(const s3_local_t *l);

/* Requests wait for what somebody has pending, a dead process perhaps. */
int s3_local_waits(const s3_local_t *l);

/* Every 50 to 100 ms: state, new tables, maintenance. */
void s3_local_tick(s3_local_t *l);

/* No more background work. */
void s3_local_quiesce(s3_local_t *l);

/* See s3_node_mend(). */
int s3_local_mend(s3_local_t *l, s3_drive_state_t from);

/* A drive that was missing is in the zone now: take it up, in a task.  S3_OK:
 * done() will be called; S3_EEXIST: has been taken up; S3_EBUSY: at it. */
int s3_local_arrive(s3_local_t *l, s3_fs_t *fs, void (*done)(void *ctx, int rc),
                    void *ctx);

#pragma GCC visibility pop

#endif /* S3_LOCAL_H */
