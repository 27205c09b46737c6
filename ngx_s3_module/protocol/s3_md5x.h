/*
 * MD5 (RFC 1321) of many streams at once: each stream has a lane of a SIMD
 * register to itself, and one pass over the rounds does a block of each.
 *
 *              lane 0    lane 1    lane 2   ...
 *   state a   [ a of 0 | a of 1 | a of 2 | ... ]     four such registers
 *   word 0..15 of the block, likewise, transposed while they are loaded
 *
 * The rounds of one MD5 are a chain in which each step waits for the one
 * before, so a processor is mostly idle with one stream; a pass over 16 lanes
 * takes hardly longer than a block of one.  Lanes are chosen at run time: 16
 * with AVX-512, 8 with AVX2, 4 elsewhere; one stream alone takes plain code.
 *
 * Not for anything that needs collision resistance: ETag and Content-MD5 are
 * what S3 has it for.
 */

#ifndef S3_MD5X_H
#define S3_MD5X_H

#include "storage/s3_core.h"

#pragma GCC visibility push(hidden)


#define S3_MD5X_LEN 16
#define S3_MD5X_BLOCK 64
#define S3_MD5X_LANES 16 /* the most there are */


/* A running MD5.  Owns nothing: it may be copied, moved and thrown away. */

typedef struct {
    uint32_t state[4];
    uint64_t len;                /* bytes taken */
    uint8_t tail[S3_MD5X_BLOCK]; /* of a block that is not complete yet */
} s3_md5x_t;

void s3_md5x_init(s3_md5x_t *c);
void s3_md5x_update(s3_md5x_t *c, s3_str_t data);

/* Afterwards c has to be initialized again. */

void s3_md5x_final(s3_md5x_t *c, uint8_t out[S3_MD5X_LEN]);


/*
 * Updates n streams, each with its own pieces of data in order, of any number
 * and length.  A lane whose stream has ended takes the next one.  No stream
 * may be there twice.  Touches nothing but the contexts; safe in any thread.
 */

typedef struct {
    s3_md5x_t *ctx;
    const s3_str_t *data;
    unsigned n;
} s3_md5x_job_t;

void s3_md5x_update_many(const s3_md5x_job_t *jobs, unsigned n);

/* The same with at most so many lanes: 1, 4, 8 or 16.  For comparisons. */

void
s3_md5x_update_lanes(const s3_md5x_job_t *jobs, unsigned n, unsigned lanes);

/* Lanes that s3_md5x_update_many() uses on this processor. */

unsigned s3_md5x_lanes(void);

#pragma GCC visibility pop

#endif /* S3_MD5X_H */
