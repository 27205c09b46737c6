/*
 * The erasure code: systematic Cauchy Reed-Solomon over GF(2^8), polynomial
 * 0x11d, as ISA-L computes it.  Any k of the k + m shards give back the rest.
 *
 *   shard 0 .. k-1     the data itself
 *   shard k .. k+m-1   row i, column j of the code: 1 / (i ^ j)
 *
 * Row i does not depend on m, so a code with less parity is a prefix of one
 * with more.  Tables are kept per (k, m), decode tables for the sets of
 * survivors seen last.  One s3_code_t per process: no locking.
 */

#ifndef S3_CODE_H
#define S3_CODE_H

#include "storage/s3_core.h"

#pragma GCC visibility push(hidden)


#define S3_CODE_MAX 32 /* k + m */

typedef struct s3_code_s s3_code_t;

s3_code_t *s3_code_create(void); /* NULL: out of memory */
void s3_code_destroy(s3_code_t *code);

/*
 * Parity of k shards of len bytes each: shards[0..k-1] are read,
 * shards[k..k+m-1] written.  S3_EINVAL where k, m are out of range, S3_ENOMEM.
 */

int s3_code_encode(s3_code_t *code, unsigned k, unsigned m, size_t len,
                   uint8_t **shards);

/*
 * Computes the shards of `want` (bits, data or parity) from those of
 * `present`, at least k of them.  Shards in both are left alone.  S3_EINVAL
 * where it cannot be done, S3_ENOMEM.
 */

int s3_code_rebuild(s3_code_t *code, unsigned k, unsigned m, size_t len,
                    uint8_t **shards, uint32_t present, uint32_t want);

#pragma GCC visibility pop

#endif /* S3_CODE_H */
