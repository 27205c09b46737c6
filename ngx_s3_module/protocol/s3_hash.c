/* The low-level functions of SHA-256 are deprecated, and there to stay. */

#define OPENSSL_SUPPRESS_DEPRECATED

#include "s3_hash.h"

#include <openssl/crypto.h>

#pragma GCC visibility push(hidden)

#define S3_SHA256_BLOCK 64


static EVP_MD *s3_hash_algs[3];
static CRYPTO_ONCE s3_hash_once = CRYPTO_ONCE_STATIC_INIT;


static void
s3_hash_fetch(void)
{
    s3_hash_algs[0] = EVP_MD_fetch(NULL, "MD5", NULL);
    s3_hash_algs[1] = EVP_MD_fetch(NULL, "SHA1", NULL);
    s3_hash_algs[2] = EVP_MD_fetch(NULL, "SHA256", NULL);
}


static const EVP_MD *
s3_hash_alg(int i)
{
    if (!CRYPTO_THREAD_run_once(&s3_hash_once, s3_hash_fetch)) {
        return NULL;
    }

    return s3_hash_algs[i];
}


const EVP_MD *
s3_hash_md5(void)
{
    return s3_hash_alg(0);
}


const EVP_MD *
s3_hash_sha1(void)
{
    return s3_hash_alg(1);
}


const EVP_MD *
s3_hash_sha256(void)
{
    return s3_hash_alg(2);
}


int
s3_sha256_init(s3_sha256_t *h)
{
    return SHA256_Init(&h->ctx) == 1 ? S3_OK : S3_ENOMEM;
}


int
s3_sha256_update(s3_sha256_t *h, s3_str_t data)
{
    if (data.len == 0) {
        return S3_OK;
    }

    return SHA256_Update(&h->ctx, data.data, data.len) == 1 ? S3_OK : S3_ENOMEM;
}


int
s3_sha256_final(s3_sha256_t *h, uint8_t out[S3_SHA256_LEN])
{
    return SHA256_Final(out, &h->ctx) == 1 ? S3_OK : S3_ENOMEM;
}


int
s3_sha256(s3_sha256_t *h, s3_str_t data, uint8_t out[S3_SHA256_LEN])
{
    int rc;

    rc = s3_sha256_init(h);

    if (rc == S3_OK) {
        rc = s3_sha256_update(h, data);
    }

    return rc == S3_OK ? s3_sha256_final(h, out) : rc;
}


/* The state after key ^ pad: how one of the two rounds of RFC 2104 begins. */

static int
s3_hmac_pad(SHA256_CTX *ctx, const uint8_t *key, uint8_t pad)
{
    int i, rc;
    uint8_t block[S3_SHA256_BLOCK];

    for (i = 0; i < S3_SHA256_BLOCK; i++) {
        block[i] = key[i] ^ pad;
    }

    rc = SHA256_Init(ctx) == 1 && SHA256_Update(ctx, block, sizeof(block)) == 1;

    OPENSSL_cleanse(block, sizeof(block));

    return rc ? S3_OK : S3_ENOMEM;
}


int
s3_hmac_init(s3_hmac_t *m, s3_str_t key)
{
    int rc;
    uint8_t block[S3_SHA256_BLOCK];
    s3_sha256_t h;

    memset(block, 0, sizeof(block));
    rc = S3_OK;

    if (key.len > S3_SHA256_BLOCK) {
        rc = s3_sha256(&h, key, block);

    } else if (key.len) {
        memcpy(block, key.data, key.len);
    }

    if (rc == S3_OK) {
        rc = s3_hmac_pad(&m->inner, block, 0x36);
    }

    if (rc == S3_OK) {
        rc = s3_hmac_pad(&m->outer, block, 0x5c);
    }

    OPENSSL_cleanse(block, sizeof(block));

    return rc;
}


int
s3_hmac(const s3_hmac_t *m, s3_str_t data, uint8_t out[S3_SHA256_LEN])
{
    int rc;
    s3_sha256_t h;

    h.ctx = m->inner;
    rc = s3_sha256_update(&h, data);

    if (rc == S3_OK) {
        rc = s3_sha256_final(&h, out);
    }

    if (rc == S3_OK) {
        h.ctx = m->outer;
        rc = s3_sha256_update(&h, s3_str(out, S3_SHA256_LEN));
    }

    return rc == S3_OK ? s3_sha256_final(&h, out) : rc;
}


int
s3_hmac_sha256(s3_str_t key, s3_str_t data, uint8_t out[S3_SHA256_LEN])
{
    int rc;
    s3_hmac_t m;

    rc = s3_hmac_init(&m, key);

    if (rc == S3_OK) {
        rc = s3_hmac(&m, data, out);
    }

    OPENSSL_cleanse(&m, sizeof(m));

    return rc;
}


/*
 * Four bytes make eight digits, all at once in a word; what is above 9 becomes
 * a letter, `letters` beyond where the digits would go on.
 */

static inline void
s3_hex_digits(uint8_t *dst, const uint8_t *src, size_t len, unsigned letters)
{
    unsigned i, v;
    uint64_t x;

    for (; len >= 4; len -= 4, src += 4, dst += 8) {
        x = s3_get32(src);
        x = (x | x << 16) & 0x0000ffff0000ffffull;
        x = (x | x << 8) & 0x00ff00ff00ff00ffull;
        x = (x >> 4 & 0x000f000f000f000full) | (x & 0x000f000f000f000full) << 8;
        x += 0x3030303030303030ull
             + ((x + 0x0606060606060606ull) >> 4 & 0x0101010101010101ull)
                   * letters;
        s3_put64(dst, x);
    }

    for (i = 0; i < 2 * len; i++) {
        v = src[i / 2] >> (i & 1 ? 0 : 4) & 15;
        *dst++ = (uint8_t) ('0' + v + (v > 9 ? letters : 0));
    }
}


void
s3_hex(uint8_t *dst, const uint8_t *src, size_t len)
{
    s3_hex_digits(dst, src, len, 'a' - '9' - 1);
}


void
s3_hex_upper(uint8_t *dst, const uint8_t *src, size_t len)
{
    s3_hex_digits(dst, src, len, 'A' - '9' - 1);
}

#pragma GCC visibility pop
