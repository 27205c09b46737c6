/*
 * What a dead process left pending: settled from its log, never guessed.
 *
 * Its segments are synced and read; an entry whose record is there whole is
 * DURABLE, one whose record is not is REMOVED (nobody was told about it).
 * Segments that cannot be read leave their entries FAILED and the drive
 * FAILING.
 *
 * Where the process that settles cannot use the drive, what is pending on it
 * belongs to nobody any more as soon as the dead one's slot is free; whoever
 * maintains the drive settles these orphans.
 *
 * A living process does the same with its own FAILED entries when a drive is
 * back that had gone away: its log has closed all that it wrote to by then.
 */

#ifndef S3_SETTLE_H
#define S3_SETTLE_H

#include "storage/s3_local_int.h"

#pragma GCC visibility push(hidden)


/* done(ctx) once, on the loop, maybe before the return. */
void s3_local_settle(s3_local_t *l, unsigned slot, uint32_t incarnation,
                     void (*done)(void *ctx), void *ctx);

/* S3_OK: done(ctx) will be called; S3_AGAIN: there may be some, but not now;
 * S3_DONE: there are none; S3_ENOMEM. */
int s3_local_settle_orphans(s3_local_t *l, void (*done)(void *ctx), void *ctx);

#pragma GCC visibility pop

#endif /* S3_SETTLE_H */
