/*
 * Checks that any thread may make; see t/unit/s3_test.h.
 */

#ifndef RACE_H
#define RACE_H

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static unsigned long race_checks, race_failed;

#define CHECK(cond)                                                            \
    do {                                                                       \
        __atomic_fetch_add(&race_checks, 1, __ATOMIC_RELAXED);                 \
        if (!(cond)) {                                                         \
            __atomic_fetch_add(&race_failed, 1, __ATOMIC_RELAXED);             \
            fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #cond); \
        }                                                                      \
    } while (0)

/* ends the program at once: others may be at anything */
#define REQUIRE(cond)                                                    \
    do {                                                                 \
        __atomic_fetch_add(&race_checks, 1, __ATOMIC_RELAXED);           \
        if (!(cond)) {                                                   \
            fprintf(stderr, "%s:%d: required: %s\n", __FILE__, __LINE__, \
                    #cond);                                              \
            _exit(1);                                                    \
        }                                                                \
    } while (0)

#define RACE_END()                                                 \
    (printf("%lu checks, %lu failed\n", race_checks, race_failed), \
     race_failed != 0 || race_checks == 0)


static inline uint64_t
race_now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000 + (uint64_t) ts.tv_nsec / 1000000;
}

#endif /* RACE_H */
