/*
 * SHA-256, HMAC-SHA-256 and the other digests of OpenSSL, without the cost
 * of looking the algorithm up in a provider for every use.
 *
 * Algorithms are fetched once per process (safe from any thread, survives
 * fork) and live until it ends.
 */

#ifndef S3_HASH_H
#define S3_HASH_H

#include <openssl/evp.h>
#include <openssl/sha.h>

#include "storage/s3_core.h"

#pragma GCC visibility push(hidden)


#define S3_SHA256_LEN 32
#define S3_SHA256_HEX 64

/* The fetched algorithm, or NULL when OpenSSL does not offer it. */

const EVP_MD *s3_hash_md5(void);
const EVP_MD *s3_hash_sha1(void);
const EVP_MD *s3_hash_sha256(void);


/*
 * A running SHA-256, of OpenSSL's low-level functions: a signature takes two
 * short digests and an HMAC, of which the way through a provider would be half.
 * S3_ENOMEM from any of them: OpenSSL failed.
 */

typedef struct {
    SHA256_CTX ctx;
} s3_sha256_t;

int s3_sha256_init(s3_sha256_t *h); /* starts, or starts again */
int s3_sha256_update(s3_sha256_t *h, s3_str_t data);
int s3_sha256_final(s3_sha256_t *h, uint8_t out[S3_SHA256_LEN]);

/* In one go; h is overwritten. */

int s3_sha256(s3_sha256_t *h, s3_str_t data, uint8_t out[S3_SHA256_LEN]);
int s3_hmac_sha256(s3_str_t key, s3_str_t data, uint8_t out[S3_SHA256_LEN]);

/*
 * A key of HMAC-SHA-256 (RFC 2104), prepared: what depends on the key alone is
 * hashed once.  As secret as the key.
 */

typedef struct {
    SHA256_CTX inner;
    SHA256_CTX outer;
} s3_hmac_t;

int s3_hmac_init(s3_hmac_t *m, s3_str_t key);
int s3_hmac(const s3_hmac_t *m, s3_str_t data, uint8_t out[S3_SHA256_LEN]);

/* Hex, lower-case or upper-case: 2 * len characters, no NUL. */

void s3_hex(uint8_t *dst, const uint8_t *src, size_t len);
void s3_hex_upper(uint8_t *dst, const uint8_t *src, size_t len);

#pragma GCC visibility pop

#endif /* S3_HASH_H */
