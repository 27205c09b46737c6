/*
 * MD5 in lanes: MB/s of all streams together, 128 KiB of each at a time from
 * buffers that do not fit into the first caches; OpenSSL with one stream, then
 * 1 to 16 streams with each kind of register.
 *
 *   cc -O2 -std=gnu11 -I. -Ingx_s3_module/protocol bench/md5x.c \
 *      ngx_s3_module/protocol/s3_md5x.c -lcrypto -o /tmp/bench_md5x
 *   /tmp/bench_md5x
 */

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "s3_md5x.h"


#define PIECE (128 * 1024)
#define SECONDS 0.1


static double
now(void)
{
    struct timespec ts;

    (void) clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);

    return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}


static double
openssl(const uint8_t *data)
{
    long rounds;
    double start, t;
    EVP_MD *md = EVP_MD_fetch(NULL, "MD5", NULL);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    (void) EVP_DigestInit_ex2(ctx, md, NULL);
    start = now();

    for (rounds = 1;; rounds++) {
        (void) EVP_DigestUpdate(ctx, data + rounds % 16 * PIECE, PIECE);
        t = now() - start;

        if (t > SECONDS) {
            break;
        }
    }

    EVP_MD_CTX_free(ctx);
    EVP_MD_free(md);

    return (double) rounds * PIECE / t / 1e6;
}


static double
many(const uint8_t *data, unsigned n, unsigned lanes)
{
    long rounds;
    unsigned i;
    double start, t;
    s3_str_t piece[S3_MD5X_LANES];
    s3_md5x_t ctx[S3_MD5X_LANES];
    s3_md5x_job_t jobs[S3_MD5X_LANES];

    for (i = 0; i < n; i++) {
        s3_md5x_init(&ctx[i]);
        piece[i] = s3_str(data + i * PIECE, PIECE);
        jobs[i] = (s3_md5x_job_t){&ctx[i], &piece[i], 1};
    }

    start = now();

    for (rounds = 1;; rounds++) {
        s3_md5x_update_lanes(jobs, n, lanes);
        t = now() - start;

        if (t > SECONDS) {
            return (double) rounds * n * PIECE / t / 1e6;
        }
    }
}


int
main(void)
{
    unsigned n, lanes, widest;
    uint8_t *data;

    data = malloc(S3_MD5X_LANES * PIECE);
    if (data == NULL) {
        return 1;
    }

    for (n = 0; n < S3_MD5X_LANES * PIECE; n++) {
        data[n] = (uint8_t) (n * 2654435761u >> 24);
    }

    widest = s3_md5x_lanes();

    printf("OpenSSL, one stream: %.0f MB/s\n\nstreams", openssl(data));

    for (lanes = 1; lanes <= widest; lanes = lanes == 1 ? 4 : 2 * lanes) {
        printf("%6u lane%s", lanes, lanes == 1 ? " " : "s");
    }

    printf("\n");

    for (n = 1; n <= S3_MD5X_LANES; n++) {
        printf("%7u", n);

        for (lanes = 1; lanes <= widest; lanes = lanes == 1 ? 4 : 2 * lanes) {
            printf("%12.0f", many(data, n, lanes));
        }

        printf("\n");
    }

    free(data);

    return 0;
}
