/*
 * What the scrub's files share: s3_scrub.c, the pass; s3_scrub_check.c, one
 * key of one drive.
 */

#ifndef S3_SCRUB_INT_H
#define S3_SCRUB_INT_H

#include "storage/s3_heal_int.h"

#pragma GCC visibility push(hidden)


typedef enum {
    S3_SCRUB_COUNTING,
    S3_SCRUB_READING,
    S3_SCRUB_LEAKS,
    S3_SCRUB_RESTING
} s3_scrub_phase_t;


struct s3_scrub_s {
    s3_store_t *store;
    unsigned refs;
    unsigned on : 1;
    unsigned going : 1;
    unsigned again : 1;
    unsigned torn : 1; /* a record could not be read: leaks can't be told */

    s3_scrub_phase_t phase;
    unsigned drive;
    unsigned turn; /* drives done in this pass */
    s3_walk_t *walk;
    unsigned jobs;
    unsigned burst;

    uint64_t since; /* ms */
    uint64_t share; /* ms of the period for this drive */
    uint64_t total; /* weight */
    uint64_t done;
    uint64_t blobs;
    uint64_t began; /* seconds, wall clock */
    uint64_t rest;

    s3_known_t known;
    s3_leaks_t leaks;
    s3_timer_t timer;
};


/* Moves on what can be moved on. */
void s3_scrub_go(s3_scrub_t *s);
void s3_scrub_release(s3_scrub_t *s);

/* Counts as one of scrub->jobs until it is over. */
void s3_scrub_check(s3_scrub_t *s, uint64_t bucket, const s3_item_t *item);

#pragma GCC visibility pop

#endif /* S3_SCRUB_INT_H */
