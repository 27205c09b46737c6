/*
 * The metadata of an object as one byte string, stored with its record.
 *
 *     +---------+------+--------+-------+------+--------+-------+----
 *     | version | type | length | value | type | length | value | ...
 *     +---------+------+--------+-------+------+--------+-------+----
 *       1 byte    1     LEB128            1
 *
 * Fields come in any order; USER and TAG may repeat.  A reader passes over
 * types that it does not know.  Values:
 *
 *     header fields        the text as the client sent it
 *     USER, TAG            LEB128 length of the name, name, value
 *     CHECKSUM             algorithm, type (1 byte each), LEB128 number of
 *                          parts ("-N"; 0: none), digest
 *     PARTS                digest length (1 byte), then for every part:
 *                          number (2), size (8), digest; little-endian
 *
 * The reading side trusts nothing: what it is given may come from a damaged
 * drive.
 */

#ifndef S3_META_H
#define S3_META_H

#include "storage/s3_core.h"
#include "s3_checksum.h"
#include "s3_error.h"

#pragma GCC visibility push(hidden)

#define S3_META_VERSION 1
#define S3_META_USER_MAX 2048         /* names and values of USER */
#define S3_META_MAX (2 * 1024 * 1024) /* everything */

/* Types are stored: never renumber. */

typedef enum {
    S3_META_CONTENT_TYPE = 1,
    S3_META_CACHE_CONTROL = 2,
    S3_META_CONTENT_DISPOSITION = 3,
    S3_META_CONTENT_ENCODING = 4,
    S3_META_CONTENT_LANGUAGE = 5,
    S3_META_EXPIRES = 6,
    S3_META_WEBSITE_REDIRECT = 7,
    S3_META_USER = 8,
    S3_META_TAG = 9,
    S3_META_CHECKSUM = 10,
    S3_META_PARTS = 11,
    S3_META_STORAGE_CLASS = 12,
    S3_META_OWNER = 13,
    S3_META_UPLOAD_ID = 14,
    S3_META_ETAG = 15, /* without quotes */
    S3_META_OWNER_NAME = 16,
    S3_META_INITIATED = 17, /* u64, ms since the epoch */
    S3_META_PRIVATE = 64    /* from here on: the caller's own types */
} s3_meta_type_t;


/*
 * Building.  Errors are sticky: S3_ENOMEM, S3_EINVAL (a name or a value out
 * of bounds, S3_META_MAX).  data is malloc'd; s3_meta_blob() is what to store
 * (S3_META_VERSION alone when nothing was added) and belongs to the builder.
 */

typedef struct {
    uint8_t *data;
    size_t len;
    size_t cap;
    size_t user_bytes;
    unsigned int user_count;
    unsigned int tag_count;
    int rc;
} s3_meta_t;

void s3_meta_init(s3_meta_t *m);
void s3_meta_free(s3_meta_t *m);
s3_str_t s3_meta_blob(const s3_meta_t *m);

void s3_meta_add(s3_meta_t *m, unsigned int type, s3_str_t value);
void s3_meta_add_u64(s3_meta_t *m, unsigned int type, uint64_t value);

/*
 * name without "x-amz-meta-", stored in lower case; a name that is there
 * already gets ",value" appended, as AWS joins repeated headers.
 */

void s3_meta_add_user(s3_meta_t *m, s3_str_t name, s3_str_t value);
void s3_meta_add_tag(s3_meta_t *m, s3_str_t key, s3_str_t value);

typedef struct {
    s3_checksum_alg_t alg;
    s3_checksum_type_t type;
    uint32_t parts;  /* of a composite value; else 0 */
    s3_str_t digest; /* raw bytes, alg's length */
} s3_meta_checksum_t;

void s3_meta_add_checksum(s3_meta_t *m, const s3_meta_checksum_t *c);

typedef struct {
    uint32_t number; /* 1 ... 10000 */
    uint64_t size;
    s3_str_t digest; /* the length that the table has; none: empty */
} s3_meta_part_t;

void s3_meta_add_parts(s3_meta_t *m, const s3_meta_part_t *parts, size_t n,
                       size_t digest_len);

/* S3_ERR_NONE, S3_ERR_METADATA_TOO_LARGE (Size, MaxSizeAllowed), or by rc. */

s3_err_t s3_meta_check(const s3_meta_t *m, s3_fault_t *f);

/* Copies every field of that type, or all but, from a blob: CopyObject. */

int s3_meta_copy(s3_meta_t *m, s3_str_t blob, unsigned int type);
int s3_meta_copy_except(s3_meta_t *m, s3_str_t blob, const uint8_t *types,
                        size_t ntypes);


/* Reading. */

typedef struct {
    unsigned int type;
    s3_str_t name; /* USER, TAG */
    s3_str_t value;
} s3_meta_field_t;

typedef struct {
    const uint8_t *p;
    const uint8_t *end;
} s3_meta_iter_t;

/*
 * S3_OK, S3_ECORRUPT, S3_EVERSION.  next: 1 with a field, S3_DONE at the end,
 * S3_ECORRUPT.  An empty blob has no fields.
 */

int s3_meta_iter(s3_meta_iter_t *it, s3_str_t blob);
int s3_meta_next(s3_meta_iter_t *it, s3_meta_field_t *field);

/* Walks all of it, and into checksums and part tables. */

int s3_meta_verify(s3_str_t blob);

/*
 * The first field of a type: S3_OK, S3_ENOENT, S3_ECORRUPT; *value is null
 * unless it was found.
 */

int s3_meta_find(s3_str_t blob, unsigned int type, s3_str_t *value);
int s3_meta_find_u64(s3_str_t blob, unsigned int type, uint64_t *value);
int s3_meta_find_user(s3_str_t blob, s3_str_t name, s3_str_t *value);
int s3_meta_find_checksum(s3_str_t blob, s3_meta_checksum_t *c);

/* How many fields of a type there are, or an error. */

int s3_meta_count(s3_str_t blob, unsigned int type);

/*
 * Part tables: the number of parts and the digest length of a PARTS value
 * (S3_OK or S3_ECORRUPT); the i-th part (i < n, checked); the part with that
 * number and where in the object it begins (S3_OK, S3_ENOENT, S3_ECORRUPT).
 */

int s3_meta_parts(s3_str_t value, size_t *n, size_t *digest_len);
int s3_meta_part(s3_str_t value, size_t i, s3_meta_part_t *part);
int s3_meta_part_find(s3_str_t value, uint32_t number, uint64_t *first,
                      s3_meta_part_t *part);

#pragma GCC visibility pop

#endif /* S3_META_H */
