/*
 * MD5 in lanes: the test suite of RFC 1321, then everything against OpenSSL,
 * with every kind of register that the processor has.
 */

#include <openssl/evp.h>

#include "s3_md5x.h"
#include "s3_test.h"


#define STREAMS 40
#define PIECES 8
#define BYTES (64 * 1024)

static const unsigned kinds[] = {1, 4, 8, 16};
static uint8_t bytes[BYTES];
static uint64_t seed = 1;


static unsigned
below(unsigned n)
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;

    return (unsigned) (seed >> 33) % n;
}


static void
hex(char out[33], const uint8_t digest[16])
{
    int i;

    for (i = 0; i < 16; i++) {
        (void) sprintf(out + 2 * i, "%02x", digest[i]);
    }
}


static void
test_rfc(void)
{
    unsigned i, k;
    char got[33];
    uint8_t digest[16];
    s3_str_t text[7];
    s3_md5x_t ctx[7];
    s3_md5x_job_t jobs[7];

    static const char *const suite[7][2] = {
        {"", "d41d8cd98f00b204e9800998ecf8427e"},
        {"a", "0cc175b9c0f1b6a831c399e269772661"},
        {"abc", "900150983cd24fb0d6963f7d28e17f72"},
        {"message digest", "f96b697d7cb7938d525a2f31aaf161d0"},
        {"abcdefghijklmnopqrstuvwxyz", "c3fcd3d76192e4007dfb496cca67e13b"},
        {"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
         "d174ab98d277d9f5a5611c2c9f419d9f"},
        {"1234567890123456789012345678901234567890123456789012345678901234567"
         "8901234567890",
         "57edf4a22be3c955ac49da2e2107b67a"},
    };

    for (i = 0; i < 7; i++) {
        text[i] = s3_str((const uint8_t *) suite[i][0], strlen(suite[i][0]));

        s3_md5x_init(&ctx[i]);
        s3_md5x_update(&ctx[i], text[i]);
        s3_md5x_final(&ctx[i], digest);
        hex(got, digest);
        CHECK_STR(got, suite[i][1]);
    }

    for (k = 0; k < 4; k++) {
        for (i = 0; i < 7; i++) {
            s3_md5x_init(&ctx[i]);
            jobs[i] = (s3_md5x_job_t){&ctx[i], &text[i], 1};
        }

        s3_md5x_update_lanes(jobs, 7, kinds[k]);

        for (i = 0; i < 7; i++) {
            s3_md5x_final(&ctx[i], digest);
            hex(got, digest);
            CHECK_STR(got, suite[i][1]);
        }
    }
}


/* Lengths that are likely to go wrong, and others. */

static size_t
length(void)
{
    switch (below(4)) {

    case 0:
        return below(3) * 64 + below(3);

    case 1:
        return below(200);

    case 2:
        return below(64) * 64;

    default:
        return below(BYTES / 4);
    }
}


/* One length in one piece, without and with lanes: every padding. */

static void
test_lengths(void)
{
    size_t len;
    s3_str_t piece;
    s3_md5x_t ctx[2];
    s3_md5x_job_t jobs[2];
    uint8_t want[16], got[16];

    for (len = 0; len < 300; len++) {
        REQUIRE(EVP_Digest(bytes, len, want, NULL, EVP_md5(), NULL) == 1);

        s3_md5x_init(&ctx[0]);
        s3_md5x_update(&ctx[0], s3_str(bytes, len));
        s3_md5x_final(&ctx[0], got);
        CHECK(memcmp(got, want, 16) == 0);

        s3_md5x_init(&ctx[0]);
        s3_md5x_init(&ctx[1]);
        piece = s3_str(bytes, len);
        jobs[0] = (s3_md5x_job_t){&ctx[0], &piece, 1};
        jobs[1] = (s3_md5x_job_t){&ctx[1], &piece, 1};
        s3_md5x_update_many(jobs, 2);
        s3_md5x_final(&ctx[0], got);
        CHECK(memcmp(got, want, 16) == 0);
        s3_md5x_final(&ctx[1], got);
        CHECK(memcmp(got, want, 16) == 0);
    }
}


/*
 * n streams, fed in rounds of a few pieces each, some of which are empty, and
 * in some rounds not all streams take part.
 */

static void
run_streams(unsigned n, unsigned lanes, unsigned rounds)
{
    unsigned i, k, r, m;
    uint8_t want[16], got[16];
    EVP_MD_CTX *ref[STREAMS];
    s3_md5x_t ctx[STREAMS];
    s3_md5x_job_t jobs[STREAMS];
    s3_str_t pieces[STREAMS][PIECES];

    for (i = 0; i < n; i++) {
        s3_md5x_init(&ctx[i]);
        ref[i] = EVP_MD_CTX_new();
        REQUIRE(ref[i] && EVP_DigestInit_ex(ref[i], EVP_md5(), NULL) == 1);
    }

    for (r = 0; r < rounds; r++) {
        for (i = 0, m = 0; i < n; i++) {
            if (r && below(4) == 0) {
                continue;
            }

            jobs[m] = (s3_md5x_job_t){&ctx[i], pieces[i], below(PIECES + 1)};

            for (k = 0; k < jobs[m].n; k++) {
                /* at any alignment */
                pieces[i][k].len = length();
                pieces[i][k].data =
                    bytes + below(BYTES - (unsigned) pieces[i][k].len);
                REQUIRE(EVP_DigestUpdate(ref[i], pieces[i][k].data,
                                         pieces[i][k].len)
                        == 1);
            }

            m++;
        }

        s3_md5x_update_lanes(jobs, m, lanes);
    }

    for (i = 0; i < n; i++) {
        REQUIRE(EVP_DigestFinal_ex(ref[i], want, NULL) == 1);
        s3_md5x_final(&ctx[i], got);
        CHECK(memcmp(got, want, 16) == 0);
        EVP_MD_CTX_free(ref[i]);
    }
}


int
main(void)
{
    unsigned i, k, n;

    for (i = 0; i < BYTES; i++) {
        bytes[i] = (uint8_t) below(256);
    }

    test_rfc();
    test_lengths();

    for (k = 0; k < 4; k++) {
        for (n = 0; n <= STREAMS; n++) {
            run_streams(n, kinds[k], 3);
        }
    }

    CHECK(s3_md5x_lanes() >= 1 && s3_md5x_lanes() <= S3_MD5X_LANES);

    return S3_TEST_END();
}
