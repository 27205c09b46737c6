/*
 * Reading the XML bodies of requests into plain structures.
 *
 * One expat pass, no tree.  A document type declaration is refused (so there
 * are no entities but XML's own five), as are more than S3_XML_DEPTH levels
 * and a text longer than S3_XML_TEXT.  Elements are taken with or without
 * the S3 namespace; ones that we don't know are passed over, since newer SDKs
 * send newer elements.  Text comes out as UTF-8.
 *
 * What a parser fills owns its memory until the matching s3_..._free(), also
 * after an error; slices point into it, never into the body.  An absent
 * element has data NULL.
 *
 * Errors: S3_ERR_MALFORMED_XML for everything that is not well-formed or not
 * the document; S3_ERR_MISSING_REQUEST_BODY_ERROR for an empty body where AWS
 * says so (Delete, Tagging); S3_ERR_SLOW_DOWN without memory; others as noted.
 */

#ifndef S3_XML_IN_H
#define S3_XML_IN_H

#include "storage/s3_core.h"
#include "s3_checksum.h"
#include "s3_error.h"
#include "s3_tag.h"

#pragma GCC visibility push(hidden)

#define S3_XML_DEPTH 8
#define S3_XML_TEXT 16384

#define S3_DELETE_MAX 1000
#define S3_COMPLETE_MAX 10000

/* Memory of a parsed document: chunks that are freed together. */

typedef struct s3_xml_chunk_s s3_xml_chunk_t;

typedef struct {
    s3_xml_chunk_t *chunks;
} s3_xml_arena_t;


/* DeleteObjects: <Delete>, 1 to 1000 objects. */

typedef struct {
    s3_str_t key; /* not empty */
    s3_str_t version_id;
    s3_str_t etag; /* without quotes; "*" is itself */
    s3_str_t last_modified;
    s3_str_t size;
} s3_delete_object_t;

typedef struct {
    s3_delete_object_t *objects;
    size_t n;
    int quiet;
    s3_xml_arena_t arena;
} s3_delete_t;

s3_err_t s3_delete_parse(s3_delete_t *d, s3_str_t body, s3_fault_t *f);
void s3_delete_free(s3_delete_t *d);


/*
 * CompleteMultipartUpload: 1 to 10000 parts, as listed by the client.
 * S3_ERR_INVALID_ARGUMENT for a part number below 1 and for a checksum that
 * does not decode or is not alone.
 */

typedef struct {
    uint32_t number;       /* 1 ... 2^31 - 1 */
    s3_str_t etag;         /* without quotes */
    s3_checksum_alg_t alg; /* S3_CHECKSUM_NONE: none given */
    s3_str_t digest;       /* raw bytes */
} s3_complete_part_t;

typedef struct {
    s3_complete_part_t *parts;
    size_t n;
    int ordered; /* numbers strictly ascend; else InvalidPartOrder */
    s3_xml_arena_t arena;
} s3_complete_t;

s3_err_t s3_complete_parse(s3_complete_t *c, s3_str_t body, s3_fault_t *f);
void s3_complete_free(s3_complete_t *c);


/* PutObjectTagging, PutBucketTagging; limit as for s3_tags_check(). */

typedef struct {
    s3_tag_t *tags;
    size_t n;
    s3_xml_arena_t arena;
} s3_tagging_t;

s3_err_t
s3_tagging_parse(s3_tagging_t *t, s3_str_t body, size_t limit, s3_fault_t *f);
void s3_tagging_free(s3_tagging_t *t);


/*
 * CreateBucket: an empty body is an empty document.  Location and Bucket are
 * those of directory buckets.
 */

typedef struct {
    s3_str_t location_constraint;
    s3_str_t location_type;
    s3_str_t location_name;
    s3_str_t bucket_type;
    s3_str_t data_redundancy;
    s3_tag_t *tags; /* at most S3_TAGS_BUCKET, checked */
    size_t ntags;
    s3_xml_arena_t arena;
} s3_create_bucket_t;

s3_err_t
s3_create_bucket_parse(s3_create_bucket_t *b, s3_str_t body, s3_fault_t *f);
void s3_create_bucket_free(s3_create_bucket_t *b);

#pragma GCC visibility pop

#endif /* S3_XML_IN_H */
