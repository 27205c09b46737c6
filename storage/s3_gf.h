/*
 * Sums of products over GF(2^8), polynomial 0x11d: what the erasure code is
 * made of.
 *
 *     out[i][x] = coeff[i][0] in[0][x] + ... + coeff[i][k-1] in[k-1][x]
 *
 * ISA-L's tables and code, or where the processor has them GFNI and AVX-512:
 * there a product by a constant is one instruction, an 8 x 8 matrix of bits
 * (Intel, "Galois Field New Instructions", 2018), for 64 bytes at once.
 */

#ifndef S3_GF_H
#define S3_GF_H

#include "storage/s3_core.h"

#pragma GCC visibility push(hidden)


#define S3_GF_TABLE 32 /* bytes of a table for one coefficient */

/* Tables for a matrix of coefficients, row after row: k * rows of them. */
void
s3_gf_tables(uint8_t *tables, unsigned k, unsigned rows, const uint8_t *coeff);

/* len at most INT_MAX.  No output may overlap with an input or another one. */
void s3_gf_sums(const uint8_t *tables, size_t len, unsigned k, unsigned rows,
                uint8_t **in, uint8_t **out);

#pragma GCC visibility pop

#endif /* S3_GF_H */
