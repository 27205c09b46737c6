/*
 * HTTP header values: ranges, dates, entity tags, conditions, numbers.
 *
 * An absent header is a slice whose data is NULL.  Functions that judge a
 * request return an s3_err_t and tell the details through an s3_fault_t,
 * which may be NULL.  Sources: RFC 9110 (5.6.7 dates, 13 conditions, 14
 * ranges) and what the S3 API Reference says where it differs.
 */

#ifndef S3_HTTP_H
#define S3_HTTP_H

#include "storage/s3_core.h"
#include "s3_error.h"

#pragma GCC visibility push(hidden)

/* Bytes first <= i < end of an object. */

typedef struct {
    uint64_t first;
    uint64_t end;
    int partial; /* a range was asked for: 206, even if it is everything */
} s3_range_t;

/*
 * The Range header against an object of size bytes.  Absent, malformed, of
 * another unit, or more than one range: the whole object, S3_ERR_NONE.
 * Unsatisfiable: S3_ERR_INVALID_RANGE; the caller adds RangeRequested and
 * ActualObjectSize.
 */

s3_err_t s3_range_parse(s3_range_t *r, s3_str_t value, uint64_t size);

/*
 * x-amz-copy-source-range, "bytes=first-last" and no other form, wholly
 * inside the source: else S3_ERR_INVALID_ARGUMENT with AWS's text.
 */

s3_err_t s3_copy_range_parse(s3_range_t *r, s3_str_t value, uint64_t size,
                             s3_fault_t *f);

/*
 * HTTP dates, seconds since the epoch.  Parses all three forms (IMF-fixdate,
 * RFC 850, asctime), and ISO 8601 as x-amz headers have it; S3_OK or
 * S3_EINVAL.  Formats IMF-fixdate, NUL-terminated.
 */

#define S3_HTTP_DATE_LEN 29

int s3_http_date_parse(s3_str_t s, int64_t *sec);
void s3_http_date(int64_t sec, char buf[S3_HTTP_DATE_LEN + 1]);

/*
 * Does a header value name the ETag (given without quotes)?  "*" does; tags
 * may be quoted or bare, weak or strong, several with commas.
 */

int s3_etag_match(s3_str_t list, s3_str_t etag);

/* An entity tag without W/ and quotes, a slice of s; blanks trimmed. */

s3_str_t s3_etag_strip(s3_str_t s);

/* The four conditions of RFC 9110; also for the x-amz-copy-source-if-*. */

typedef struct {
    s3_str_t match;
    s3_str_t none_match;
    s3_str_t modified_since;
    s3_str_t unmodified_since;
} s3_cond_t;

/*
 * Evaluate conditions against an existing object, in the order of RFC 9110,
 * 13.2.2; mtime and now in seconds; dates that don't parse, and a future
 * modified_since, are ignored.
 *
 *   s3_cond_read   GET, HEAD: S3_ERR_NONE, S3_ERR_NOT_MODIFIED (304) or
 *                  S3_ERR_PRECONDITION_FAILED
 *   s3_cond_copy   copy source: never 304
 *
 * The fault gets the extra element Condition with the header's name.
 */

s3_err_t s3_cond_read(const s3_cond_t *c, s3_str_t etag, int64_t mtime,
                      int64_t now, s3_fault_t *f);
s3_err_t s3_cond_copy(const s3_cond_t *c, s3_str_t etag, int64_t mtime,
                      int64_t now, s3_fault_t *f);

/*
 * If-Range: does the Range header apply?  Yes when absent, when it names the
 * ETag strongly, or when its date equals mtime.
 */

int s3_if_range(s3_str_t value, s3_str_t etag, int64_t mtime);

/* The condition of a write: PUT, copy target, complete, DELETE. */

typedef enum {
    S3_WRITE_ALWAYS = 0,
    S3_WRITE_IF_ABSENT, /* If-None-Match: *; object there: 412 */
    S3_WRITE_IF_ETAG,   /* If-Match; other ETag 412, absent 404 */
    S3_WRITE_IF_EXISTS  /* If-Match: *; absent 412 or 404 */
} s3_write_cond_e;

typedef struct {
    s3_write_cond_e kind;
    s3_str_t etag; /* without quotes; a slice of the header */
} s3_write_cond_t;

/*
 * Only match and none_match of c are looked at (dates on a write are passed
 * over); del for DELETE, which knows If-Match alone.  Forms that AWS refuses:
 * S3_ERR_NOT_IMPLEMENTED with Header and additionalMessage.
 */

s3_err_t
s3_cond_write(const s3_cond_t *c, int del, s3_write_cond_t *w, s3_fault_t *f);

/*
 * Decimal digits and nothing else, at most max: S3_OK or S3_EINVAL.
 */

int s3_parse_uint(s3_str_t s, uint64_t max, uint64_t *value);

/*
 * Page sizes and numeric markers.  An absent or empty value gives the
 * default, one above the page limit is cut to it; what is not an integer,
 * negative, or (max-buckets) outside 1 to 10000 is S3_ERR_INVALID_ARGUMENT.
 */

typedef enum {
    S3_LIMIT_MAX_KEYS = 0,       /* 1000 */
    S3_LIMIT_VERSIONS_MAX_KEYS,  /* 1000, another text */
    S3_LIMIT_MAX_UPLOADS,        /* 1000 */
    S3_LIMIT_MAX_PARTS,          /* 1000 */
    S3_LIMIT_MAX_BUCKETS,        /* 10000 */
    S3_LIMIT_PART_NUMBER_MARKER, /* 0 to 2^31 - 1, default 0 */
    S3_LIMIT_ATTR_MAX_PARTS,     /* x-amz-max-parts: 1000 */
    S3_LIMIT_ATTR_PART_MARKER    /* x-amz-part-number-marker */
} s3_limit_e;

s3_err_t
s3_parse_limit(s3_limit_e limit, s3_str_t s, uint32_t *value, s3_fault_t *f);

/* partNumber: 1 to 10000, else S3_ERR_INVALID_ARGUMENT with AWS's text. */

#define S3_PART_MAX 10000

s3_err_t s3_parse_part_number(s3_str_t s, uint32_t *value, s3_fault_t *f);

/* encoding-type: absent (*url = 0) or "url"; else S3_ERR_INVALID_ARGUMENT. */

s3_err_t s3_parse_encoding_type(s3_str_t s, int *url, s3_fault_t *f);

/*
 * x-amz-object-attributes: a comma list (several headers joined by commas)
 * as a mask.  Absent or empty: S3_ERR_INVALID_REQUEST; an unknown name:
 * S3_ERR_INVALID_ARGUMENT.
 */

#define S3_ATTR_ETAG 0x01
#define S3_ATTR_CHECKSUM 0x02
#define S3_ATTR_OBJECT_PARTS 0x04
#define S3_ATTR_STORAGE_CLASS 0x08
#define S3_ATTR_OBJECT_SIZE 0x10

s3_err_t s3_parse_attributes(s3_str_t s, unsigned int *mask, s3_fault_t *f);

#pragma GCC visibility pop

#endif /* S3_HTTP_H */
