/*
 * Data that is being read stays until it has been read, though its object has
 * been overwritten or deleted meanwhile: a client that downloads for minutes
 * gets what it began with, as from S3.
 *
 * Data is known by the id of its object's first blob; what is shared are
 * counters, by a hash of that id and by process, so that those of a process
 * that died are cleared with its slot:
 *
 *   reader                               who frees
 *
 *   stamp = freed so far                 CONFIRM of the newer one is durable
 *   finds the newest version             says that it is about to free
 *   pins its data                        is the data pinned?  waits
 *   was it about to go since the stamp?
 *   then it begins again
 *
 * Each says first and looks then, so one of the two sees the other.  And who
 * takes a stamp after the freeing began finds the newer version, which is
 * committed by then.  Two ids with the same hash cost a wait, or a second
 * look, and nothing else.
 *
 * Nothing that is right depends on a pin: a unit has its checksum and the id
 * of its data, and a reader that misses one gives up.
 */

#ifndef S3_PINS_H
#define S3_PINS_H

#include "storage/s3_core.h"

#pragma GCC visibility push(hidden)


#define S3_PINS 1024
#define S3_PINS_PROCS 64

typedef struct {
    uint64_t freed;         /* [A] times that somebody was about to */
    uint64_t last[S3_PINS]; /* [A] `freed` when it was this one's turn */
    uint32_t counts[S3_PINS][S3_PINS_PROCS]; /* [A] each by its process alone */
} s3_pins_t;


/* To be drawn before one looks for the newest version; never 0. */
uint64_t s3_pins_stamp(const s3_pins_t *pins);

/* 1: what bears that id stays until s3_unpin().  0: it may be gone already, and
 * is not pinned.  stamp 0: pinned in any case. */
int
s3_pin(s3_pins_t *pins, unsigned proc, const uint8_t id[16], uint64_t stamp);
void s3_unpin(s3_pins_t *pins, unsigned proc, const uint8_t id[16]);

/* Nothing names the data any more, and the caller is about to free it.  1: not
 * yet, it is being read; from now on it is enough to ask s3_pinned(). */
int s3_pins_free(s3_pins_t *pins, const uint8_t id[16]);
int s3_pinned(const s3_pins_t *pins, const uint8_t id[16]);

/* That process reads nothing any more. */
void s3_pins_clear(s3_pins_t *pins, unsigned proc);

#pragma GCC visibility pop

#endif /* S3_PINS_H */
