/*
 * Tags of objects and buckets: what is allowed, and the x-amz-tagging header.
 *
 * Rules (Amazon S3 User Guide, "Categorizing your objects using tags"): at
 * most 10 on an object and 50 on a bucket; key 1 to 128 characters, value at
 * most 256; letters, digits and white space of any script, and + - = . _ : /
 * @; keys unique and not beginning with "aws:".
 */

#ifndef S3_TAG_H
#define S3_TAG_H

#include "storage/s3_core.h"
#include "s3_error.h"

#pragma GCC visibility push(hidden)

#define S3_TAGS_OBJECT 10
#define S3_TAGS_BUCKET 50
#define S3_TAG_KEY_MAX 128
#define S3_TAG_VALUE_MAX 256

typedef struct {
    s3_str_t key;
    s3_str_t value;
} s3_tag_t;

/*
 * One tag; all of them, limit being S3_TAGS_OBJECT or S3_TAGS_BUCKET.
 * S3_ERR_INVALID_TAG with TagKey and TagValue, or S3_ERR_BAD_REQUEST for too
 * many.
 */

s3_err_t s3_tag_check(const s3_tag_t *tag, s3_fault_t *f);
s3_err_t
s3_tags_check(const s3_tag_t *tags, size_t n, size_t limit, s3_fault_t *f);

/*
 * x-amz-tagging, "k1=v1&k2=v2" percent-encoded, into at most S3_TAGS_OBJECT
 * tags, checked.  The decoded bytes go to buf (header.len bytes), which lives
 * as long as the tags.
 */

s3_err_t s3_tags_parse(s3_str_t header, uint8_t *buf,
                       s3_tag_t tags[S3_TAGS_OBJECT], size_t *n, s3_fault_t *f);

#pragma GCC visibility pop

#endif /* S3_TAG_H */
