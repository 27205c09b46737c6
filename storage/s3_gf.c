#include "storage/s3_gf.h"

#include <isa-l.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#pragma GCC visibility push(hidden)


#if defined(__x86_64__)

#define S3_GF_WIDE "avx512f,avx512bw,gfni"
#define S3_GF_STEP 64
#define S3_GF_STEPS 4 /* of them at a time */
#define S3_GF_ROWS 4  /* computed at a time */


static int
s3_gf_is_wide(void)
{
    return __builtin_cpu_supports("avx512f")
           && __builtin_cpu_supports("avx512bw")
           && __builtin_cpu_supports("gfni");
}


/* Multiplication by c: bit i of the product is the parity of the bits of the
 * other factor that byte 7 - i has. */

static void
s3_gf_bits(uint8_t *table, uint8_t c)
{
    unsigned i, j;
    uint8_t product;

    memset(table, 0, 8);

    for (j = 0; j < 8; j++) {
        product = gf_mul(c, (uint8_t) (1u << j));

        for (i = 0; i < 8; i++) {
            table[7 - i] |= (uint8_t) ((product >> i & 1) << j);
        }
    }
}


/* `rows` and `n` are constants wherever this is inlined: n vectors of 64 bytes
 * of each row, so that a coefficient is fetched once for all of them.  Unless
 * the loops over them are unrolled the sums are kept in memory. */

__attribute__((target(S3_GF_WIDE), always_inline)) static inline void
s3_gf_rows(const uint8_t *tables, size_t at, __mmask64 mask, unsigned k,
           const unsigned rows, const unsigned n, uint8_t **in, uint8_t **out)
{
    unsigned i, j, v;
    __m512i x[S3_GF_STEPS], c, p, sum[S3_GF_ROWS][S3_GF_STEPS];

#pragma GCC unroll 4
    for (i = 0; i < rows; i++) {
#pragma GCC unroll 4
        for (v = 0; v < n; v++) {
            sum[i][v] = _mm512_setzero_si512();
        }
    }

    for (j = 0; j < k; j++) {
#pragma GCC unroll 4
        for (v = 0; v < n; v++) {
            x[v] = _mm512_maskz_loadu_epi8(mask, in[j] + at + v * S3_GF_STEP);
        }

#pragma GCC unroll 4
        for (i = 0; i < rows; i++) {
            c = _mm512_set1_epi64(
                (long long) s3_get64(tables + 8 * (k * i + j)));

#pragma GCC unroll 4
            for (v = 0; v < n; v++) {
                p = _mm512_gf2p8affine_epi64_epi8(x[v], c, 0);
                sum[i][v] = _mm512_xor_si512(sum[i][v], p);
            }
        }
    }

#pragma GCC unroll 4
    for (i = 0; i < rows; i++) {
#pragma GCC unroll 4
        for (v = 0; v < n; v++) {
            _mm512_mask_storeu_epi8(out[i] + at + v * S3_GF_STEP, mask,
                                    sum[i][v]);
        }
    }
}


__attribute__((target(S3_GF_WIDE), always_inline)) static inline void
s3_gf_all(const uint8_t *tables, size_t len, unsigned k, const unsigned rows,
          uint8_t **in, uint8_t **out)
{
    size_t at;

    for (at = 0; len - at >= S3_GF_STEPS * S3_GF_STEP;
         at += S3_GF_STEPS * S3_GF_STEP)
    {
        s3_gf_rows(tables, at, ~(__mmask64) 0, k, rows, S3_GF_STEPS, in, out);
    }

    for (/* void */; len - at >= S3_GF_STEP; at += S3_GF_STEP) {
        s3_gf_rows(tables, at, ~(__mmask64) 0, k, rows, 1, in, out);
    }

    if (at < len) {
        s3_gf_rows(tables, at, ((__mmask64) 1 << (len - at)) - 1, k, rows, 1,
                   in, out);
    }
}


__attribute__((target(S3_GF_WIDE))) static void
s3_gf_sums_wide(const uint8_t *tables, size_t len, unsigned k, unsigned rows,
                uint8_t **in, uint8_t **out)
{
    for (; rows >= S3_GF_ROWS; rows -= S3_GF_ROWS) {
        s3_gf_all(tables, len, k, S3_GF_ROWS, in, out);
        tables += 8 * k * S3_GF_ROWS;
        out += S3_GF_ROWS;
    }

    switch (rows) {

    case 3:
        s3_gf_all(tables, len, k, 3, in, out);
        break;

    case 2:
        s3_gf_all(tables, len, k, 2, in, out);
        break;

    case 1:
        s3_gf_all(tables, len, k, 1, in, out);
        break;
    }
}

#endif


void
s3_gf_tables(uint8_t *tables, unsigned k, unsigned rows, const uint8_t *coeff)
{
#if defined(__x86_64__)

    unsigned i;

    if (s3_gf_is_wide()) {
        for (i = 0; i < k * rows; i++) {
            s3_gf_bits(tables + 8 * i, coeff[i]);
        }

        return;
    }

#endif

    /* it does not write to the coefficients, in spite of its declaration */

    ec_init_tables((int) k, (int) rows, (uint8_t *) (uintptr_t) coeff, tables);
}


void
s3_gf_sums(const uint8_t *tables, size_t len, unsigned k, unsigned rows,
           uint8_t **in, uint8_t **out)
{
#if defined(__x86_64__)

    if (s3_gf_is_wide()) {
        s3_gf_sums_wide(tables, len, k, rows, in, out);
        return;
    }

#endif

    ec_encode_data((int) len, (int) k, (int) rows,
                   (uint8_t *) (uintptr_t) tables, in, out);
}

#pragma GCC visibility pop
