/*
 * An s3_loop_t of real threads and real files for programs that play several
 * processes at once, each with a loop on a thread of its own.
 */

#ifndef RACE_LOOP_H
#define RACE_LOOP_H

#include "storage/s3_io.h"


/* For `drives` drives with two threads each; aborts where there is none. */
s3_loop_t *race_loop_create(unsigned drives, uint64_t seed);

/* Waits for what is under way; no done() is called any more.  Then destroy. */
void race_loop_kill(s3_loop_t *loop);
void race_loop_destroy(s3_loop_t *loop);

/* One turn; waits for at most `ms` if there is nothing to do. */
void race_loop_turn(s3_loop_t *loop, int ms);

uint64_t race_random(s3_loop_t *loop, uint64_t below);

#endif /* RACE_LOOP_H */
