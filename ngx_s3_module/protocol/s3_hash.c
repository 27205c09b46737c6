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
    const EVP_MD *md;

    md = s3_hash_sha256();

    if (md == NULL) {
        return S3_ENOMEM;
    }

    if (h->ctx == NULL) {
        h->ctx = EVP_MD_CTX_new();

        if (h->ctx == NULL) {
            return S3_ENOMEM;
        }
    }

    return EVP_DigestInit_ex2(h->ctx, md, NULL) == 1 ? S3_OK : S3_ENOMEM;
}


int
s3_sha256_update(s3_sha256_t *h, s3_str_t data)
{
    if (data.len == 0) {
        return S3_OK;
    }

    return EVP_DigestUpdate(h->ctx, data.data, data.len) == 1 ? S3_OK
                                                              : S3_ENOMEM;
}


int
s3_sha256_final(s3_sha256_t *h, uint8_t out[S3_SHA256_LEN])
{
    return EVP_DigestFinal_ex(h->ctx, out, NULL) == 1 ? S3_OK : S3_ENOMEM;
}


void
s3_sha256_free(s3_sha256_t *h)
{
    EVP_MD_CTX_free(h->ctx);
    h->ctx = NULL;
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


/* H((key ^ pad) | data): one of the two rounds of RFC 2104. */

static int
s3_hmac_round(s3_sha256_t *h, const uint8_t *key, uint8_t pad, s3_str_t data,
              uint8_t out[S3_SHA256_LEN])
{
    int i, rc;
    uint8_t block[S3_SHA256_BLOCK];

    for (i = 0; i < S3_SHA256_BLOCK; i++) {
        block[i] = key[i] ^ pad;
    }

    rc = s3_sha256_init(h);

    if (rc == S3_OK) {
        rc = s3_sha256_update(h, s3_str(block, S3_SHA256_BLOCK));
    }

    if (rc == S3_OK) {
        rc = s3_sha256_update(h, data);
    }

    OPENSSL_cleanse(block, sizeof(block));

    return rc == S3_OK ? s3_sha256_final(h, out) : rc;
}


int
s3_hmac_sha256(s3_sha256_t *h, s3_str_t key, s3_str_t data,
               uint8_t out[S3_SHA256_LEN])
{
    int rc;
    uint8_t block[S3_SHA256_BLOCK], inner[S3_SHA256_LEN];

    memset(block, 0, sizeof(block));
    rc = S3_OK;

    if (key.len > S3_SHA256_BLOCK) {
        rc = s3_sha256(h, key, block);

    } else if (key.len) {
        memcpy(block, key.data, key.len);
    }

    if (rc == S3_OK) {
        rc = s3_hmac_round(h, block, 0x36, data, inner);
    }

    if (rc == S3_OK) {
        rc = s3_hmac_round(h, block, 0x5c, s3_str(inner, S3_SHA256_LEN), out);
    }

    OPENSSL_cleanse(block, sizeof(block));

    return rc;
}


void
s3_hex(uint8_t *dst, const uint8_t *src, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    size_t i;

    for (i = 0; i < len; i++) {
        dst[2 * i] = (uint8_t) digits[src[i] >> 4];
        dst[2 * i + 1] = (uint8_t) digits[src[i] & 15];
    }
}

#pragma GCC visibility pop
