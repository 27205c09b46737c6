/*
 * Data that is being read stays until it has been read, though its object has
 * been overwritten or deleted meanwhile: a client that downloads for minutes
 * gets what it began with, as from S3.
 *
 * Data is known by the id of its object's first blob; what is shared are
 * counters, by process and by a hash of that id, so that those of a process that
 * died are cleared with its slot:
 *
 *   reader                               who frees
 *
 *   stamp = announced so far             CONFIRM of the newer one is durable
 *   finds the newest version             announces that it is about to free
 *   pins its data                        is the data pinned?  waits
 *   was it announced since the stamp?
 *   then it asks what is newest again
 *
 * Each says first and looks then, so one of the two sees the other.  And who
 * takes a stamp after the freeing began finds the newer version, which is
 * committed by then.  Two ids with the same hash cost a wait, or a second
 * question: with 1000 readers of different data an eighth of what is freed
 * waits for somebody else's.
 *
 * Nothing that is right depends on a pin: a unit has its checksum and the id
 * of its data, and a reader that misses one gives up.
 */

#ifndef S3_PINS_H
#define S3_PINS_H

#include "storage/s3_core.h"

#pragma GCC visibility push(hidden)


#define S3_PINS 8192
#define S3_PINS_PROCS 64

/* All atomic.  A process changes the counters of its own row alone, and whoever
 * settles it after its death. */

typedef struct {
    uint64_t announced;
    uint32_t procs;         /* rows that have ever been used come before this */
    uint64_t last[S3_PINS]; /* `announced` when it was this one's turn */
    uint16_t counts[S3_PINS_PROCS][S3_PINS];
} s3_pins_t;


/* To be drawn before one looks for the newest version; never 0. */
uint64_t s3_pins_stamp(const s3_pins_t *pins);

/*
 * Pins what bears that id.  stamp 0: nothing was found, nothing is compared.
 * Bits:
 */
#define S3_PIN_HELD 1u /* s3_unpin() is due */
#define S3_PIN_SURE 2u /* since the stamp nobody was about to free it */

unsigned
s3_pin(s3_pins_t *pins, unsigned proc, const uint8_t id[16], uint64_t stamp);
void s3_unpin(s3_pins_t *pins, unsigned proc, const uint8_t id[16]);

/* Nothing names the data any more, and the caller is about to free it, unless
 * s3_pinned() says then that somebody reads it.  Once is enough. */
void s3_pins_announce(s3_pins_t *pins, const uint8_t id[16]);
int s3_pinned(const s3_pins_t *pins, const uint8_t id[16]);

/* That process reads nothing any more. */
void s3_pins_clear(s3_pins_t *pins, unsigned proc);

#pragma GCC visibility pop

#endif /* S3_PINS_H */
