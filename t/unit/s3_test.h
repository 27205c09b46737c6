/*
 * The smallest harness that prints what failed: CHECK() counts and goes on,
 * REQUIRE() ends the program, S3_TEST_END() is what main returns.
 */

#ifndef S3_TEST_H
#define S3_TEST_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int s3_test_failed;
static int s3_test_count;

#define CHECK(cond)                                                            \
    do {                                                                       \
        s3_test_count++;                                                       \
        if (!(cond)) {                                                         \
            s3_test_failed++;                                                  \
            fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #cond); \
        }                                                                      \
    } while (0)

#define CHECK_INT(got, want)                                            \
    do {                                                                \
        long long got_ = (long long) (got), want_ = (long long) (want); \
        s3_test_count++;                                                \
        if (got_ != want_) {                                            \
            s3_test_failed++;                                           \
            fprintf(stderr, "%s:%d: %s is %lld, not %lld\n", __FILE__,  \
                    __LINE__, #got, got_, want_);                       \
        }                                                               \
    } while (0)

#define CHECK_STR(got, want)                                               \
    do {                                                                   \
        const char *got_ = (got), *want_ = (want);                         \
        s3_test_count++;                                                   \
        if (got_ == NULL || strcmp(got_, want_) != 0) {                    \
            s3_test_failed++;                                              \
            fprintf(stderr, "%s:%d: %s is \"%s\", not \"%s\"\n", __FILE__, \
                    __LINE__, #got, got_ ? got_ : "(null)", want_);        \
        }                                                                  \
    } while (0)

#define REQUIRE(cond)                                                    \
    do {                                                                 \
        s3_test_count++;                                                 \
        if (!(cond)) {                                                   \
            fprintf(stderr, "%s:%d: required: %s\n", __FILE__, __LINE__, \
                    #cond);                                              \
            exit(1);                                                     \
        }                                                                \
    } while (0)

/* Once in a program that kills processes: what was in their memory is nobody's
 * to free. */

#define S3_TEST_KILLS                         \
    const char *__asan_default_options(void); \
                                              \
    const char *__asan_default_options(void)  \
    {                                         \
        return "detect_leaks=0";              \
    }

#define S3_TEST_END()                                                 \
    (printf("%d checks, %d failed\n", s3_test_count, s3_test_failed), \
     s3_test_failed != 0 || s3_test_count == 0)

#endif /* S3_TEST_H */
