/*
 * The documents that S3 answers, element by element as AWS orders them.
 *
 * Every writer appends one whole document, or what its comment says, to an
 * s3_xml_t; whether memory was enough is asked once, with s3_xml_rc().
 * Optional slices are left out when data is NULL.  Times are milliseconds
 * since the epoch, ETags have no quotes, keys obey x->url.
 *
 * Lists are fed entry by entry; what is known only at the end (truncated, the
 * next marker) stands at the head of the document, so the entries are
 * gathered beside it:
 *
 *     s3_list_init(&l, url, limit);
 *     for (...) { s3_list_object(&l, &o); or s3_list_prefix(&l, p); }
 *     s3_list_objects_v2(&x, &l, &head);
 *     s3_list_free(&l);
 */

#ifndef S3_XML_RESULTS_H
#define S3_XML_RESULTS_H

#include "storage/s3_core.h"
#include "s3_checksum.h"
#include "s3_error.h"
#include "s3_route.h"
#include "s3_tag.h"
#include "s3_xml_out.h"

#pragma GCC visibility push(hidden)

typedef struct {
    s3_str_t id;
    s3_str_t name; /* DisplayName */
} s3_owner_t;

/* A checksum as it is shown; alg S3_CHECKSUM_NONE: none. */

typedef struct {
    s3_checksum_alg_t alg;
    s3_checksum_type_t type; /* S3_CHECKSUM_TYPE_NONE: no ChecksumType */
    s3_str_t value;          /* base64, "-N" included */
} s3_xml_checksum_t;

/*
 * <Error>: Code, Message, the extras, Resource, RequestId, HostId; nothing
 * after "</Error>".  Resource is the path; data NULL leaves it out.
 */

void s3_xml_error(s3_xml_t *x, const s3_fault_t *f, s3_str_t resource,
                  s3_str_t request_id, s3_str_t host_id);


/* Entries of lists. */

typedef struct {
    s3_str_t key;
    int64_t mtime;
    s3_str_t etag;
    uint64_t size;
    s3_str_t storage_class;  /* data NULL: STANDARD */
    const s3_owner_t *owner; /* NULL: left out */
    s3_checksum_alg_t checksum_alg;
    s3_checksum_type_t checksum_type;
} s3_xml_object_t;

typedef struct {
    s3_xml_t items;
    s3_xml_t prefixes;
    uint32_t count; /* entries and prefixes */
} s3_xml_list_t;

void s3_list_init(s3_xml_list_t *l, int url, size_t limit);
void s3_list_free(s3_xml_list_t *l);

/* Bytes gathered so far, for callers that bound a page by its size. */

size_t s3_list_size(const s3_xml_list_t *l);

void s3_list_object(s3_xml_list_t *l, const s3_xml_object_t *o);
void s3_list_prefix(s3_xml_list_t *l, s3_str_t prefix);

/* <Version> of an unversioned bucket: VersionId null, IsLatest true. */

void s3_list_version(s3_xml_list_t *l, const s3_xml_object_t *o);

typedef struct {
    s3_str_t key;
    s3_str_t upload_id;
    const s3_owner_t *initiator;
    const s3_owner_t *owner;
    s3_str_t storage_class;
    int64_t initiated;
    s3_checksum_alg_t checksum_alg;
    s3_checksum_type_t checksum_type;
} s3_xml_upload_t;

void s3_list_upload(s3_xml_list_t *l, const s3_xml_upload_t *u);

typedef struct {
    uint32_t number;
    int64_t mtime;
    s3_str_t etag;
    uint64_t size;
    s3_xml_checksum_t checksum;
} s3_xml_part_t;

void s3_list_part(s3_xml_list_t *l, const s3_xml_part_t *p);

typedef struct {
    s3_str_t name;
    int64_t created;
    s3_str_t region; /* data NULL: left out, as AWS does without paging */
} s3_xml_bucket_t;

void s3_list_bucket(s3_xml_list_t *l, const s3_xml_bucket_t *b);


/*
 * The documents around them.  Fields that a list does not have are ignored;
 * what is echoed from the request may have data NULL.
 */

typedef struct {
    s3_str_t bucket;
    s3_str_t prefix;
    s3_str_t delimiter;
    uint32_t max; /* max-keys, max-uploads, max-parts */
    int truncated;

    s3_str_t marker;         /* v1 marker; KeyMarker */
    s3_str_t next_marker;    /* NextMarker; NextKeyMarker */
    s3_str_t version_marker; /* VersionIdMarker */
    s3_str_t next_version_marker;
    s3_str_t upload_marker; /* UploadIdMarker */
    s3_str_t next_upload_marker;
    s3_str_t start_after; /* v2 */
    s3_str_t token;
    s3_str_t next_token;

    /* ListParts */
    s3_str_t key;
    s3_str_t upload_id;
    const s3_owner_t *initiator;
    const s3_owner_t *owner; /* and ListBuckets */
    s3_str_t storage_class;
    uint32_t part_marker;
    uint32_t next_part_marker;
    s3_checksum_alg_t checksum_alg;
    s3_checksum_type_t checksum_type;
} s3_list_head_t;

void s3_list_objects_v1(s3_xml_t *x, const s3_xml_list_t *l,
                        const s3_list_head_t *h);
void s3_list_objects_v2(s3_xml_t *x, const s3_xml_list_t *l,
                        const s3_list_head_t *h);
void
s3_list_versions(s3_xml_t *x, const s3_xml_list_t *l, const s3_list_head_t *h);
void
s3_list_uploads(s3_xml_t *x, const s3_xml_list_t *l, const s3_list_head_t *h);
void
s3_list_parts(s3_xml_t *x, const s3_xml_list_t *l, const s3_list_head_t *h);
void
s3_list_buckets(s3_xml_t *x, const s3_xml_list_t *l, const s3_list_head_t *h);


/* Single results. */

void s3_xml_location(s3_xml_t *x, s3_str_t region); /* us-east-1 is empty */
void s3_xml_copy_object(s3_xml_t *x, s3_str_t etag, int64_t mtime,
                        const s3_xml_checksum_t *c);
void s3_xml_copy_part(s3_xml_t *x, s3_str_t etag, int64_t mtime,
                      const s3_xml_checksum_t *c);
void
s3_xml_initiate(s3_xml_t *x, s3_str_t bucket, s3_str_t key, s3_str_t upload_id);
void s3_xml_complete(s3_xml_t *x, s3_str_t location, s3_str_t bucket,
                     s3_str_t key, s3_str_t etag, const s3_xml_checksum_t *c);
void s3_xml_tagging(s3_xml_t *x, const s3_tag_t *tags, size_t n);
void s3_xml_acl(s3_xml_t *x, const s3_owner_t *owner);

/*
 * The same for tags that are read one at a time: begin, tag..., end.
 */

void s3_xml_tagging_begin(s3_xml_t *x);
void s3_xml_tagging_tag(s3_xml_t *x, s3_str_t key, s3_str_t value);
void s3_xml_tagging_end(s3_xml_t *x);

/* DeleteResult: begin, then one call for each key, then end. */

void s3_xml_delete_begin(s3_xml_t *x);
void s3_xml_deleted(s3_xml_t *x, s3_str_t key, s3_str_t version_id);
void s3_xml_delete_error(s3_xml_t *x, s3_str_t key, s3_str_t version_id,
                         const s3_fault_t *f);
void s3_xml_delete_end(s3_xml_t *x);

/*
 * GetObjectAttributesResponse: mask of S3_ATTR_* in s3_http.h.  parts gathers
 * the entries of ObjectParts (s3_list_attr_part) and may be NULL or empty;
 * parts_count 0 leaves ObjectParts out: the object is not multipart.
 */

typedef struct {
    unsigned int mask;
    s3_str_t etag;
    uint64_t size;
    s3_str_t storage_class; /* data NULL: STANDARD */
    s3_xml_checksum_t checksum;
    uint32_t parts_count;
    uint32_t part_marker;
    uint32_t next_part_marker;
    uint32_t max_parts;
    int truncated;
    const s3_xml_list_t *parts;
} s3_xml_attributes_t;

void s3_list_attr_part(s3_xml_list_t *l, const s3_xml_part_t *p);
void s3_xml_attributes(s3_xml_t *x, const s3_xml_attributes_t *a);


/*
 * The configuration calls (Get... and List...Configurations of a bucket or
 * an object), answered as for a bucket that has none: S3_ERR_NONE and a
 * document in x, or the error that AWS sends for it, with its extras (bucket
 * must outlive f).  S3_ERR_NOT_IMPLEMENTED for every other operation.
 */

s3_err_t s3_xml_unset(s3_xml_t *x, s3_op_t op, s3_str_t bucket,
                      const s3_owner_t *owner, s3_fault_t *f);

#pragma GCC visibility pop

#endif /* S3_XML_RESULTS_H */
