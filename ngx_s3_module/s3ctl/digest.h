/*
 * What was noted of an object when it was written, against its bytes: ETag,
 * checksum, and checksums of its parts.
 */

#ifndef S3CTL_DIGEST_H
#define S3CTL_DIGEST_H

#include "s3ctl/s3ctl.h"
#include "s3_checksum.h"
#include "s3_meta.h"
#include "storage/s3_store.h"

#pragma GCC visibility push(hidden)


typedef enum {
    S3CTL_NONE = 0, /* nothing to compare with */
    S3CTL_RIGHT,
    S3CTL_WRONG
} s3ctl_verdict_t;

typedef struct {
    const s3_object_t *object;
    s3_checksum_t full;  /* MD5 of the object */
    s3_checksum_t md5;   /* of the part */
    s3_checksum_t etag;  /* of the parts' MD5s */
    s3_checksum_t whole; /* what the object's checksum covers */
    s3_checksum_t part;
    s3_checksum_parts_t parts;
    s3_meta_checksum_t noted; /* alg S3_CHECKSUM_NONE: nothing */
    s3_str_t table;           /* of parts; empty: none */
    size_t n_parts;
    size_t at;     /* part */
    uint64_t left; /* bytes of it */
    unsigned parts_wrong;
    unsigned parts_right;
    s3ctl_verdict_t etag_verdict;
    s3ctl_verdict_t checksum_verdict;
    uint8_t md5_digest[S3_CHECKSUM_MAX];
} s3ctl_digest_t;

/* The object stays while this is used.  S3_ECORRUPT: its metadata. */
int s3ctl_digest_init(s3ctl_digest_t *d, const s3_object_t *object);
int s3ctl_digest_update(s3ctl_digest_t *d, s3_str_t data);

/* How many comparisons failed. */
unsigned s3ctl_digest_final(s3ctl_digest_t *d);
void s3ctl_digest_print(const s3ctl_digest_t *d, const s3ctl_t *ctl);
void s3ctl_digest_free(s3ctl_digest_t *d);

#pragma GCC visibility pop

#endif /* S3CTL_DIGEST_H */
