/* The Bloom filter: never a wrong "no", few wrong "maybe". */

#include "storage/s3_bloom.h"
#include "s3_test.h"


static uint64_t
hash(uint64_t bucket, unsigned i)
{
    char key[32];
    int len = snprintf(key, sizeof(key), "key/%u", i);

    return s3_bloom_hash(bucket, s3_str(key, (size_t) len));
}


static void
test_rates(unsigned keys, double most)
{
    size_t size = s3_bloom_size(keys);
    uint8_t *bits = calloc(1, size);
    unsigned i, lost = 0, wrong = 0, probes = 100000;

    REQUIRE(bits != NULL);
    CHECK_INT(size % S3_BLOOM_LINE, 0);

    for (i = 0; i < keys; i++) {
        s3_bloom_add(bits, size, hash(7, i));
    }

    for (i = 0; i < keys; i++) {
        lost += !s3_bloom_maybe(bits, size, hash(7, i));
    }

    /* other keys, and the same keys of another bucket */

    for (i = 0; i < probes; i++) {
        wrong +=
            s3_bloom_maybe(bits, size, i % 2 ? hash(7, keys + i) : hash(8, i));
    }

    CHECK_INT(lost, 0);
    CHECK((double) wrong / probes < most);

    free(bits);
}


int
main(void)
{
    uint8_t one[S3_BLOOM_LINE] = {0};

    CHECK_INT(s3_bloom_size(0), S3_BLOOM_LINE);
    CHECK_INT(s3_bloom_size(1), S3_BLOOM_LINE);
    CHECK_INT(s3_bloom_size(51), S3_BLOOM_LINE);
    CHECK_INT(s3_bloom_size(52), 2 * S3_BLOOM_LINE);
    CHECK(s3_bloom_size(UINT64_MAX) > 0);

    CHECK(!s3_bloom_maybe(one, sizeof(one), hash(1, 1)));
    s3_bloom_add(one, sizeof(one), hash(1, 1));
    CHECK(s3_bloom_maybe(one, sizeof(one), hash(1, 1)));
    CHECK(!s3_bloom_maybe(one, sizeof(one), hash(2, 1)));

    test_rates(10, 0.03);
    test_rates(1000, 0.02);
    test_rates(200000, 0.015);

    return S3_TEST_END();
}
