#include "t/unit/s3_test.h"
#include "storage/s3_code.h"


/*
 * A plain implementation to compare with: GF(2^8) by logarithm tables over
 * x^8 + x^4 + x^3 + x^2 + 1, Cauchy rows 1 / (i ^ j), decoding by Gauss.
 */

static uint8_t gf_exp[512];
static uint8_t gf_log[256];


static void
gf_init(void)
{
    unsigned i, x = 1;

    for (i = 0; i < 255; i++) {
        gf_exp[i] = gf_exp[i + 255] = (uint8_t) x;
        gf_log[x] = (uint8_t) i;
        x <<= 1;

        if (x & 256) {
            x ^= 0x11d;
        }
    }
}


static uint8_t
mul(uint8_t a, uint8_t b)
{
    return a && b ? gf_exp[gf_log[a] + gf_log[b]] : 0;
}


static uint8_t
inv(uint8_t a)
{
    return gf_exp[255 - gf_log[a]];
}


static uint8_t
coefficient(unsigned k, unsigned i, unsigned j)
{
    return i < k ? i == j : inv((uint8_t) (i ^ j));
}


static uint8_t
plain_byte(unsigned k, unsigned row, uint8_t **data, size_t at)
{
    unsigned j;
    uint8_t sum = 0;

    for (j = 0; j < k; j++) {
        sum ^= mul(coefficient(k, row, j), data[j][at]);
    }

    return sum;
}


/* Data bytes at one place from the shards in `from`, by Gauss-Jordan. */

static void
plain_decode(unsigned k, const unsigned *from, const uint8_t *have,
             uint8_t *data)
{
    unsigned i, j, row, p;
    uint8_t a[32][33], f, t;

    for (i = 0; i < k; i++) {
        for (j = 0; j < k; j++) {
            a[i][j] = coefficient(k, from[i], j);
        }

        a[i][k] = have[i];
    }

    for (p = 0; p < k; p++) {
        for (row = p; row < k && a[row][p] == 0; row++) {
            /* void */
        }

        REQUIRE(row < k);

        for (j = 0; j <= k; j++) {
            t = a[p][j];
            a[p][j] = a[row][j];
            a[row][j] = t;
        }

        f = inv(a[p][p]);

        for (j = 0; j <= k; j++) {
            a[p][j] = mul(a[p][j], f);
        }

        for (i = 0; i < k; i++) {
            f = a[i][p];

            for (j = 0; i != p && j <= k; j++) {
                a[i][j] ^= mul(f, a[p][j]);
            }
        }
    }

    for (i = 0; i < k; i++) {
        data[i] = a[i][k];
    }
}


static uint32_t state = 1;


static uint32_t
rnd(void)
{
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;

    return state;
}


static void
check(s3_code_t *code, unsigned k, unsigned m, size_t len, unsigned rounds)
{
    unsigned i, j, n, from[32];
    size_t at;
    uint8_t *shards[32], *kept[32], have[32], data[32];
    uint32_t present, want, bit;

    for (i = 0; i < k + m; i++) {
        shards[i] = malloc(len + 1);
        kept[i] = malloc(len + 1);
        shards[i][len] = 0xa5;

        for (at = 0; at < len; at++) {
            shards[i][at] = (uint8_t) rnd();
        }
    }

    CHECK_INT(s3_code_encode(code, k, m, len, shards), S3_OK);

    for (i = k; i < k + m; i++) {
        for (at = 0; at < len; at++) {
            if (shards[i][at] != plain_byte(k, i, shards, at)) {
                CHECK(0);
                break;
            }
        }
    }

    for (i = 0; i < k + m; i++) {
        memcpy(kept[i], shards[i], len);
    }

    while (rounds--) {
        present = k + m == 32 ? UINT32_MAX : ((uint32_t) 1 << (k + m)) - 1;

        while ((unsigned) __builtin_popcount(present) > k) {
            present &= ~((uint32_t) 1 << rnd() % (k + m));

            if (rnd() % 8 == 0) {
                break;
            }
        }

        want = 0;

        for (i = 0; i < k + m; i++) {
            bit = (uint32_t) 1 << i;

            if (!(present & bit)) {
                memset(shards[i], 0xee, len);

                if (rnd() % 4) {
                    want |= bit;
                }
            }
        }

        CHECK_INT(s3_code_rebuild(code, k, m, len, shards, present, want),
                  S3_OK);

        for (i = 0; i < k + m; i++) {
            if ((present | want) >> i & 1) {
                CHECK(memcmp(shards[i], kept[i], len) == 0);
            }
        }

        /* the plain way agrees from the same survivors */

        for (i = 0, n = 0; i < k + m && n < k; i++) {
            if (present >> i & 1) {
                from[n++] = i;
            }
        }

        for (at = 0; at < len; at += 1 + len / 3) {
            for (i = 0; i < k; i++) {
                have[i] = kept[from[i]][at];
            }

            plain_decode(k, from, have, data);

            for (j = 0; j < k; j++) {
                CHECK_INT(data[j], kept[j][at]);
            }
        }

        for (i = 0; i < k + m; i++) {
            memcpy(shards[i], kept[i], len);
        }
    }

    for (i = 0; i < k + m; i++) {
        CHECK_INT(shards[i][len], 0xa5);
        free(shards[i]);
        free(kept[i]);
    }
}


int
main(void)
{
    unsigned k, m;
    uint8_t a[16], b[16], c[16], *shards[3] = {a, b, c};
    s3_code_t *code;
    static const size_t lens[] = {0, 1, 2, 15, 31, 32, 33, 64, 100, 257, 4099};

    gf_init();
    code = s3_code_create();
    REQUIRE(code != NULL);

    /* known by hand: rows 2 and 3 of k = 2 are 1/2, 1/3 and 1/3, 1/2 */

    CHECK_INT(mul(2, 0x8e), 1);
    CHECK_INT(mul(3, 0xf4), 1);
    memset(a, 1, 16);
    memset(b, 0, 16);
    CHECK_INT(s3_code_encode(code, 2, 1, 16, shards), S3_OK);
    CHECK_INT(c[7], 0x8e);
    memset(b, 1, 16);
    CHECK_INT(s3_code_encode(code, 2, 1, 16, shards), S3_OK);
    CHECK_INT(c[0], 0x8e ^ 0xf4);

    for (k = 1; k <= 32; k++) {
        for (m = 0; k + m <= 32; m += k > 8 ? 3 : 1) {
            check(code, k, m, lens[(k + m) % 11], m ? 6 : 1);
        }
    }

    for (k = 0; k < 11; k++) {
        check(code, 4, 2, lens[k], 60); /* more sets than are kept */
        check(code, 6, 6, lens[k], 60);
    }

    CHECK_INT(s3_code_encode(code, 0, 1, 16, shards), S3_EINVAL);
    CHECK_INT(s3_code_encode(code, 31, 2, 16, shards), S3_EINVAL);
    CHECK_INT(s3_code_encode(code, 33, 0, 16, shards), S3_EINVAL);
    CHECK_INT(s3_code_rebuild(code, 2, 1, 16, shards, 1, 2), S3_EINVAL);
    CHECK_INT(s3_code_rebuild(code, 2, 1, 16, shards, 3, 8), S3_EINVAL);
    CHECK_INT(s3_code_rebuild(code, 2, 1, 16, shards, 3, 1), S3_OK);

    s3_code_destroy(code);

    return S3_TEST_END();
}
