#include "storage/s3_code.h"

#include <limits.h>
#include <stdlib.h>

#include <isa-l.h>

#include "storage/s3_gf.h"


#define S3_CODE_LRU 32


typedef struct {
    uint64_t used; /* 0: free */
    unsigned k;
    uint32_t from; /* the k shards it computes from */
    uint32_t want;
    uint8_t *tables;
} s3_code_decode_t;


struct s3_code_s {
    uint64_t tick;
    uint8_t *encode[S3_CODE_MAX + 1][S3_CODE_MAX + 1];
    s3_code_decode_t decode[S3_CODE_LRU];
};


s3_code_t *
s3_code_create(void)
{
    return calloc(1, sizeof(s3_code_t));
}


void
s3_code_destroy(s3_code_t *code)
{
    unsigned k, m;

    if (code == NULL) {
        return;
    }

    for (k = 0; k <= S3_CODE_MAX; k++) {
        for (m = 0; m <= S3_CODE_MAX; m++) {
            free(code->encode[k][m]);
        }
    }

    for (k = 0; k < S3_CODE_LRU; k++) {
        free(code->decode[k].tables);
    }

    free(code);
}


static int
s3_code_valid(unsigned k, unsigned m, size_t len)
{
    return k >= 1 && k <= S3_CODE_MAX && m <= S3_CODE_MAX - k && len <= INT_MAX;
}


int
s3_code_encode(s3_code_t *code, unsigned k, unsigned m, size_t len,
               uint8_t **shards)
{
    uint8_t matrix[S3_CODE_MAX * S3_CODE_MAX], *tables;

    if (!s3_code_valid(k, m, len)) {
        return S3_EINVAL;
    }

    if (m == 0 || len == 0) {
        return S3_OK;
    }

    tables = code->encode[k][m];

    if (tables == NULL) {
        tables = malloc(S3_GF_TABLE * k * m);
        if (tables == NULL) {
            return S3_ENOMEM;
        }

        gf_gen_cauchy1_matrix(matrix, (int) (k + m), (int) k);
        s3_gf_tables(tables, k, m, matrix + k * k);
        code->encode[k][m] = tables;
    }

    s3_gf_sums(tables, len, k, m, shards, shards + k);

    return S3_OK;
}


/* Rows of the matrix that yields the wanted shards from those of `from`. */

static int
s3_code_matrix(unsigned k, unsigned m, uint32_t from, uint32_t want,
               uint8_t *rows)
{
    unsigned i, j, l, row;
    uint8_t code[S3_CODE_MAX * S3_CODE_MAX], sum;
    uint8_t have[S3_CODE_MAX * S3_CODE_MAX], inverse[S3_CODE_MAX * S3_CODE_MAX];

    gf_gen_cauchy1_matrix(code, (int) (k + m), (int) k);

    row = 0;

    for (i = 0; i < k + m; i++) {
        if (from >> i & 1) {
            memcpy(have + k * row++, code + k * i, k);
        }
    }

    if (gf_invert_matrix(have, inverse, (int) k) != 0) {
        return S3_EINVAL;
    }

    row = 0;

    for (i = 0; i < k + m; i++) {
        if (!(want >> i & 1)) {
            continue;
        }

        for (j = 0; j < k; j++) {
            sum = 0;

            for (l = 0; l < k; l++) {
                sum ^= gf_mul(code[k * i + l], inverse[k * l + j]);
            }

            rows[k * row + j] = sum;
        }

        row++;
    }

    return S3_OK;
}


static uint8_t *
s3_code_tables(s3_code_t *code, unsigned k, unsigned m, uint32_t from,
               uint32_t want)
{
    unsigned i, count;
    uint8_t rows[S3_CODE_MAX * S3_CODE_MAX], *tables;
    s3_code_decode_t *d, *oldest;

    oldest = &code->decode[0];

    for (i = 0; i < S3_CODE_LRU; i++) {
        d = &code->decode[i];

        if (d->used && d->k == k && d->from == from && d->want == want) {
            d->used = ++code->tick;
            return d->tables;
        }

        if (d->used < oldest->used) {
            oldest = d;
        }
    }

    if (s3_code_matrix(k, m, from, want, rows) != S3_OK) {
        return NULL;
    }

    count = (unsigned) __builtin_popcount(want);

    tables = malloc(S3_GF_TABLE * k * count);
    if (tables == NULL) {
        return NULL;
    }

    s3_gf_tables(tables, k, count, rows);

    free(oldest->tables);
    *oldest = (s3_code_decode_t){++code->tick, k, from, want, tables};

    return tables;
}


int
s3_code_rebuild(s3_code_t *code, unsigned k, unsigned m, size_t len,
                uint8_t **shards, uint32_t present, uint32_t want)
{
    unsigned i, n_in, n_out;
    uint8_t *in[S3_CODE_MAX], *out[S3_CODE_MAX], *tables;
    uint32_t from;

    if (!s3_code_valid(k, m, len)) {
        return S3_EINVAL;
    }

    want &= ~present;

    if (want == 0 || len == 0) {
        return S3_OK;
    }

    n_in = n_out = 0;
    from = 0;

    for (i = 0; i < k + m; i++) {
        if ((present >> i & 1) && n_in < k) {
            in[n_in++] = shards[i];
            from |= (uint32_t) 1 << i;

        } else if (want >> i & 1) {
            out[n_out++] = shards[i];
        }
    }

    if (n_in < k || n_out != (unsigned) __builtin_popcount(want)) {
        return S3_EINVAL;
    }

    tables = s3_code_tables(code, k, m, from, want);
    if (tables == NULL) {
        return S3_ENOMEM;
    }

    s3_gf_sums(tables, len, k, n_out, in, out);

    return S3_OK;
}
