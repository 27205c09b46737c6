/*
 * s3_loop_t of a program that does one thing at a time: what is submitted is
 * done in the next turn, blocking.
 */

#ifndef S3CTL_LOOP_H
#define S3CTL_LOOP_H

#include "storage/s3_io.h"

#pragma GCC visibility push(hidden)


/* fs: one for each drive, NULL where it is missing; the caller's array. */
s3_loop_t *s3ctl_loop_create(s3_fs_t *const *fs, unsigned n, int verbose);
void s3ctl_loop_destroy(s3_loop_t *loop);

/* Turns until *flag is not zero; S3_EIO: nothing is left that could set it, or
 * it took longer than so many seconds without a read. */
int s3ctl_loop_run(s3_loop_t *loop, const int *flag, unsigned seconds);

uint64_t s3ctl_wall_us(void);
void s3ctl_random(void *buf, size_t len);

#pragma GCC visibility pop

#endif /* S3CTL_LOOP_H */
