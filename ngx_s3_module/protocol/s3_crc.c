#include "s3_crc.h"

#include <isa-l.h>

#include <openssl/crypto.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#pragma GCC visibility push(hidden)

/* Polynomials, reflected; those of 32 bits in the upper half. */

#define S3_CRC_32 (0xedb88320ull << 32)
#define S3_CRC_32C (0x82f63b78ull << 32)
#define S3_CRC_64NVME 0x9a6c9329ac4bc9b5ull

#define S3_CRC_ISAL_MAX (1u << 30) /* it counts in ints */

enum { S3_CRC_POLYS = 3, S3_CRC_POWERS = 64 };


/*
 * Everything here is polynomials over GF(2), reflected: the top bit is the
 * coefficient of x^0.  power[p][i] is x^(2^i) mod the polynomial p.
 */

static uint64_t s3_crc_power[S3_CRC_POLYS][S3_CRC_POWERS];
static uint64_t s3_crc64_table[8][256];
static int s3_crc64_clmul;
static int s3_crc64_wide;
static uint64_t s3_crc64_fold[6]; /* x^2111, 2047, 575, 511, 191, 127 */
static CRYPTO_ONCE s3_crc_once = CRYPTO_ONCE_STATIC_INIT;

static const uint64_t s3_crc_poly[S3_CRC_POLYS] = {S3_CRC_32, S3_CRC_32C,
                                                   S3_CRC_64NVME};


/*
 * a * b mod poly.  A polynomial of degree 32 that stands in the upper half
 * reduces as one of 64 bits would, since products by x run out of bit 32
 * then: width tells where.
 */

static uint64_t
s3_crc_mul(uint64_t a, uint64_t b, uint64_t poly, int width)
{
    int i;
    uint64_t sum, low;

    sum = 0;
    low = 1ull << (64 - width);

    for (i = 63; i >= 64 - width; i--) {
        if (a >> i & 1) {
            sum ^= b;
        }

        b = b & low ? (b >> 1) ^ poly : b >> 1;

        /* What was shifted below the width went into poly. */

        b &= ~(low - 1);
    }

    return sum;
}


static int
s3_crc_width(int p)
{
    return p == 2 ? 64 : 32;
}


/* x^n mod the polynomial p. */

static uint64_t
s3_crc_xpow(int p, uint64_t n)
{
    int i;
    uint64_t r;

    r = 1ull << 63;

    for (i = 0; n; i++, n >>= 1) {
        if (n & 1) {
            r = s3_crc_mul(s3_crc_power[p][i], r, s3_crc_poly[p],
                           s3_crc_width(p));
        }
    }

    return r;
}


static void
s3_crc_setup(void)
{
    int i, j, p;
    uint64_t c;

    for (p = 0; p < S3_CRC_POLYS; p++) {
        c = 1ull << 62; /* x */

        for (i = 0; i < S3_CRC_POWERS; i++) {
            s3_crc_power[p][i] = c;
            c = s3_crc_mul(c, c, s3_crc_poly[p], s3_crc_width(p));
        }
    }

    for (i = 0; i < 256; i++) {
        c = (uint64_t) i;

        for (j = 0; j < 8; j++) {
            c = c & 1 ? (c >> 1) ^ S3_CRC_64NVME : c >> 1;
        }

        s3_crc64_table[0][i] = c;
    }

    for (j = 1; j < 8; j++) {
        for (i = 0; i < 256; i++) {
            c = s3_crc64_table[j - 1][i];
            s3_crc64_table[j][i] = s3_crc64_table[0][c & 255] ^ (c >> 8);
        }
    }

    s3_crc64_fold[0] = s3_crc_xpow(2, 2048 + 64 - 1);
    s3_crc64_fold[1] = s3_crc_xpow(2, 2048 - 1);
    s3_crc64_fold[2] = s3_crc_xpow(2, 512 + 64 - 1);
    s3_crc64_fold[3] = s3_crc_xpow(2, 512 - 1);
    s3_crc64_fold[4] = s3_crc_xpow(2, 128 + 64 - 1);
    s3_crc64_fold[5] = s3_crc_xpow(2, 128 - 1);

#if defined(__x86_64__)
    __builtin_cpu_init();
    s3_crc64_clmul =
        __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1");
    s3_crc64_wide = s3_crc64_clmul && __builtin_cpu_supports("avx512f")
                    && __builtin_cpu_supports("vpclmulqdq");
#endif
}


/* Running the once is all: it cannot fail after that. */

static void
s3_crc_init(void)
{
    (void) CRYPTO_THREAD_run_once(&s3_crc_once, s3_crc_setup);
}


/* Bytes through the tables; c is the inner state, not inverted. */

static uint64_t
s3_crc64_bytes(uint64_t c, const uint8_t *p, size_t n)
{
    uint64_t v;

    for (; n >= 8; p += 8, n -= 8) {
        v = c ^ s3_get64(p);
        c = s3_crc64_table[7][v & 255] ^ s3_crc64_table[6][v >> 8 & 255]
            ^ s3_crc64_table[5][v >> 16 & 255]
            ^ s3_crc64_table[4][v >> 24 & 255]
            ^ s3_crc64_table[3][v >> 32 & 255]
            ^ s3_crc64_table[2][v >> 40 & 255]
            ^ s3_crc64_table[1][v >> 48 & 255] ^ s3_crc64_table[0][v >> 56];
    }

    while (n--) {
        c = s3_crc64_table[0][(c ^ *p++) & 255] ^ (c >> 8);
    }

    return c;
}


#if defined(__x86_64__)

/*
 * Moves 128 bits of the message forward by the distance that k is for: the
 * first 8 bytes are the upper half of the polynomial, and a product of two
 * reflected numbers is one x too high, for which the constants make up.
 *
 *     H x^64 + L   ->   H (x^(64+d) mod P) + L (x^d mod P)
 */

__attribute__((target("pclmul,sse4.1"))) static inline __m128i
s3_crc64_move(__m128i x, __m128i k)
{
    return _mm_xor_si128(_mm_clmulepi64_si128(x, k, 0x00),
                         _mm_clmulepi64_si128(x, k, 0x11));
}


__attribute__((target("pclmul,sse4.1"))) static inline __m128i
s3_crc64_distance(int i)
{
    return _mm_set_epi64x((long long) s3_crc64_fold[i + 1],
                          (long long) s3_crc64_fold[i]);
}


/* n is a multiple of 16, at least 64. */

__attribute__((target("pclmul,sse4.1"))) static uint64_t
s3_crc64_folded(uint64_t c, const uint8_t *p, size_t n)
{
    int i;
    uint8_t last[16];
    __m128i k, x[4];
    const __m128i *in;

    in = (const __m128i *) (const void *) p;

    for (i = 0; i < 4; i++) {
        x[i] = _mm_loadu_si128(in++);
    }

    x[0] = _mm_xor_si128(x[0], _mm_set_epi64x(0, (long long) c));
    n -= 64;

    k = s3_crc64_distance(2);

    for (; n >= 64; n -= 64) {
        for (i = 0; i < 4; i++) {
            x[i] = _mm_xor_si128(s3_crc64_move(x[i], k), _mm_loadu_si128(in++));
        }
    }

    k = s3_crc64_distance(4);

    for (i = 1; i < 4; i++) {
        x[0] = _mm_xor_si128(s3_crc64_move(x[0], k), x[i]);
    }

    for (; n >= 16; n -= 16) {
        x[0] = _mm_xor_si128(s3_crc64_move(x[0], k), _mm_loadu_si128(in++));
    }

    /* What is left is congruent to the whole, so the tables can end it. */

    _mm_storeu_si128((__m128i *) (void *) last, x[0]);

    return s3_crc64_bytes(0, last, 16);
}


#define S3_CRC64_WIDE "avx512f,vpclmulqdq,pclmul,sse4.1"

__attribute__((target(S3_CRC64_WIDE))) static inline __m512i
s3_crc64_move_wide(__m512i x, __m512i k, __m512i y)
{
    return _mm512_ternarylogic_epi64(_mm512_clmulepi64_epi128(x, k, 0x00),
                                     _mm512_clmulepi64_epi128(x, k, 0x11), y,
                                     0x96); /* exclusive or of all three */
}


/* The same with 16 times 128 bits at once; n is a multiple of 256, not 0. */

__attribute__((target(S3_CRC64_WIDE))) static uint64_t
s3_crc64_folded_wide(uint64_t c, const uint8_t *p, size_t n)
{
    int i;
    uint8_t last[64];
    __m512i k, x[4];

    for (i = 0; i < 4; i++) {
        x[i] = _mm512_loadu_si512(p + 64 * i);
    }

    x[0] = _mm512_xor_si512(
        x[0], _mm512_zextsi128_si512(_mm_set_epi64x(0, (long long) c)));

    k = _mm512_broadcast_i32x4(s3_crc64_distance(0));

    for (p += 256, n -= 256; n; p += 256, n -= 256) {
        for (i = 0; i < 4; i++) {
            x[i] = s3_crc64_move_wide(x[i], k, _mm512_loadu_si512(p + 64 * i));
        }
    }

    k = _mm512_broadcast_i32x4(s3_crc64_distance(2));

    for (i = 1; i < 4; i++) {
        x[0] = s3_crc64_move_wide(x[0], k, x[i]);
    }

    _mm512_storeu_si512(last, x[0]);

    return s3_crc64_folded(0, last, sizeof(last));
}

#endif


uint64_t
s3_crc64nvme_base(uint64_t crc, s3_str_t data)
{
    s3_crc_init();

    return ~s3_crc64_bytes(~crc, data.data, data.len);
}


uint64_t
s3_crc64nvme(uint64_t crc, s3_str_t data)
{
    uint64_t c;

    s3_crc_init();

    c = ~crc;

#if defined(__x86_64__)

    size_t n;

    if (s3_crc64_wide && data.len >= 512) {
        n = data.len & ~(size_t) 255;
        c = s3_crc64_folded_wide(c, data.data, n);
        data = s3_str(data.data + n, data.len - n);
    }

    if (s3_crc64_clmul && data.len >= 128) {
        n = data.len & ~(size_t) 15;
        c = s3_crc64_folded(c, data.data, n);
        data = s3_str(data.data + n, data.len - n);
    }

#endif

    return ~s3_crc64_bytes(c, data.data, data.len);
}


uint32_t
s3_crc32(uint32_t crc, s3_str_t data)
{
    size_t n;

    for (; data.len; data = s3_str(data.data + n, data.len - n)) {
        n = s3_min(data.len, (size_t) S3_CRC_ISAL_MAX);
        crc = crc32_gzip_refl(crc, data.data, n);
    }

    return crc;
}


uint32_t
s3_crc32c(uint32_t crc, s3_str_t data)
{
    size_t n;

    crc = ~crc;

    for (; data.len; data = s3_str(data.data + n, data.len - n)) {
        n = s3_min(data.len, (size_t) S3_CRC_ISAL_MAX);

        /* It does not write, in spite of its declaration. */

        crc =
            crc32_iscsi((unsigned char *) (uintptr_t) data.data, (int) n, crc);
    }

    return ~crc;
}


/*
 * a x^(8 len) + b: the initial ones and the final inversion of both CRCs
 * cancel each other.
 */

static uint64_t
s3_crc_join(int p, uint64_t a, uint64_t b, uint64_t len)
{
    uint64_t x;

    s3_crc_init();

    /* x^(8 len) = (x^len)^8; 8 len itself could overflow. */

    x = s3_crc_xpow(p, len & (UINT64_MAX >> 3));
    x = s3_crc_mul(x, x, s3_crc_poly[p], s3_crc_width(p));
    x = s3_crc_mul(x, x, s3_crc_poly[p], s3_crc_width(p));
    x = s3_crc_mul(x, x, s3_crc_poly[p], s3_crc_width(p));

    return s3_crc_mul(a, x, s3_crc_poly[p], s3_crc_width(p)) ^ b;
}


uint32_t
s3_crc32_combine(uint32_t a, uint32_t b, uint64_t b_len)
{
    return (
        uint32_t) (s3_crc_join(0, (uint64_t) a << 32, (uint64_t) b << 32, b_len)
                   >> 32);
}


uint32_t
s3_crc32c_combine(uint32_t a, uint32_t b, uint64_t b_len)
{
    return (
        uint32_t) (s3_crc_join(1, (uint64_t) a << 32, (uint64_t) b << 32, b_len)
                   >> 32);
}


uint64_t
s3_crc64nvme_combine(uint64_t a, uint64_t b, uint64_t b_len)
{
    return s3_crc_join(2, a, b, b_len);
}

#pragma GCC visibility pop
