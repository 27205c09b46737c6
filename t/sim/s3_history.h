/*
 * What clients did to a bucket and its keys, what they saw of them, and
 * whether it can have been.
 *
 * A history is linearizable where all operations that are known to have taken
 * effect, and any of those that may have, can be put in an order in which each
 * lies between its beginning and its end and sees what it saw (Herlihy and
 * Wing, "Linearizability", 1990; the search with the states that were seen
 * before is that of Lowe, "Testing for linearizability", 2017).
 *
 * The state is a bucket, or none, and in it a value, or none, for each of its
 * keys: an operation on a key of a bucket that is not there any more fits
 * nowhere, nor does the removal of a bucket that has a key.  Keys of which
 * nobody makes or removes the bucket have a history each.
 *
 * Values are numbers that are written once, from 1 on; so are buckets.
 */

#ifndef S3_HISTORY_H
#define S3_HISTORY_H

#include <stdint.h>

#define HIST_EVENTS 256
#define HIST_KEYS 2
#define HIST_FOREVER UINT64_MAX
#define HIST_SAME 1        /* the bucket that is always there */
#define HIST_VALUE_BITS 20 /* of a value or bucket */


/* Those that change something are before HIST_GET. */

typedef enum {
    HIST_PUT,
    HIST_CAS,
    HIST_DELETE,
    HIST_MAKE, /* a bucket */
    HIST_DROP, /* it, if it is empty */
    HIST_GET,
    HIST_LIST /* what a listing says of one key */
} hist_kind_t;


typedef struct {
    hist_kind_t kind;
    unsigned key;
    /* written, or read; 0: absent.  HIST_MAKE: the bucket that is made, with
     * S3_EEXIST that which was found */
    uint32_t value;
    uint32_t expect; /* HIST_CAS */
    /* of a key's: where; 0: the answer was that there is no bucket, or it was
     * not even looked for */
    uint32_t bucket;
    int rc;
    uint64_t from;
    uint64_t to;         /* HIST_FOREVER: no answer, or in doubt */
    unsigned maybe : 1;  /* may have taken effect */
    unsigned failed : 1; /* no effect, says nothing */
    unsigned client : 8;
} hist_event_t;


typedef struct {
    uint32_t bucket; /* in the beginning: HIST_SAME, or 0: none */
    unsigned n;
    hist_event_t events[HIST_EVENTS];
    uint32_t values[HIST_EVENTS];
} hist_t;


/* The memory of the search, once a process. */
void hist_open(void);

void hist_reset(hist_t *h, uint32_t bucket);

/* An operation that has begun and of which nothing is known yet: its index. */
int hist_begin(hist_t *h, hist_kind_t kind, unsigned key, unsigned client);

/* rc: S3_OK, S3_ENOENT: as `value` and `bucket` say; S3_EPRECOND; S3_EEXIST of
 * a bucket: is there, has keys; S3_EDOUBT: may take effect for ever; anything
 * else: had no effect. */
void hist_end(hist_t *h, int i, int rc);

/* It has taken effect by now, or never will. */
void hist_end_maybe(hist_t *h, int i);

int hist_check(hist_t *h); /* 1: linearizable */
void hist_print(const hist_t *h);

#endif /* S3_HISTORY_H */
