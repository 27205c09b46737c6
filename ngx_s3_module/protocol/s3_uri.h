/*
 * Request targets: percent coding, paths and queries, and the forms of both
 * that SigV4 signs.
 *
 * Sources: RFC 3986 sections 2.1 and 2.3; Amazon S3 API reference, "Create a
 * signed request" (canonical URI and canonical query string); RFC 3629 for
 * UTF-8.
 *
 *     /bucket/a%20b?list-type=2&prefix=x%2F
 *     \___________/ \_____________________/
 *         path               query
 *
 * Nothing here allocates.  Every function bounds what it writes by what it
 * reads, as stated, or by a size that the caller gives.
 */

#ifndef S3_URI_H
#define S3_URI_H

#include "storage/s3_core.h"

#pragma GCC visibility push(hidden)


/* More parameters than this in one query are refused. */

#define S3_URI_MAX_PAIRS 128


/* One decoded query parameter; "?acl" has an empty value, as "?acl=" has. */

typedef struct {
    s3_str_t name;
    s3_str_t value;
} s3_uri_pair_t;

typedef struct {
    size_t n;
    s3_uri_pair_t pair[S3_URI_MAX_PAIRS];
} s3_uri_query_t;


/* Flags of s3_uri_decode(). */

#define S3_URI_PLUS 1 /* '+' is a space: queries, never paths */

/*
 * Decodes %XX.  Writes at most src.len bytes to dst, which may be src.data
 * itself.  Returns the decoded length, or S3_EINVAL for a '%' that two hex
 * digits don't follow, and for a NUL byte, raw or encoded.
 */

int64_t s3_uri_decode(uint8_t *dst, s3_str_t src, unsigned flags);

/*
 * Encodes all but the unreserved characters A-Z a-z 0-9 - . _ ~ as %XX with
 * upper-case digits; '/' stays when keep_slash is set.  dst has room for
 * s3_uri_encoded_len() bytes (at most 3 * src.len).  Returns the length.
 */

size_t s3_uri_encode(uint8_t *dst, s3_str_t src, int keep_slash);
size_t s3_uri_encoded_len(s3_str_t src, int keep_slash);

/*
 * Splits a raw request target at its first '?'.  A fragment, which has no
 * business in a request, stays where it is.  An empty path becomes "/".
 */

void s3_uri_split(s3_str_t target, s3_str_t *path, s3_str_t *query);

/*
 * Parses a raw query (without its '?') into decoded pairs, in their order.
 * Empty parameters ("a&&b") are skipped.  The decoded bytes go to buf, which
 * has room for raw.len bytes and must live as long as the pairs.  S3_EINVAL:
 * bad coding, a NUL byte, an empty name with a value, or too many pairs.
 */

int s3_uri_query_parse(s3_uri_query_t *q, s3_str_t raw, uint8_t *buf);

/*
 * The first parameter of that exact name; NULL when there is none.  The
 * nocase form ignores the case of ASCII letters.
 */

const s3_uri_pair_t *s3_uri_query_find(const s3_uri_query_t *q, s3_str_t name);
const s3_uri_pair_t *
s3_uri_query_find_nocase(const s3_uri_query_t *q, s3_str_t name);

/* Whether s is well-formed UTF-8: no overlong form, no surrogate. */

int s3_utf8_valid(s3_str_t s);

/*
 * The canonical URI of SigV4 as S3 wants it: the raw path decoded once and
 * encoded once, slashes kept; no dot segment removed, no slash merged.
 * dst has room for 3 * raw.len + 1 bytes.  Returns the length or S3_EINVAL.
 */

int64_t s3_uri_canonical_path(uint8_t *dst, s3_str_t raw);

/*
 * The canonical query of SigV4: every pair encoded ('/' too), sorted by
 * encoded name, then by encoded value, "name=" where there is no value;
 * pairs named skip (exactly; pass s3_null_str for none) are left out.
 * dst has room for s3_uri_canonical_query_size(q) bytes.  Returns the length.
 */

size_t s3_uri_canonical_query_size(const s3_uri_query_t *q);
size_t
s3_uri_canonical_query(uint8_t *dst, const s3_uri_query_t *q, s3_str_t skip);

#pragma GCC visibility pop

#endif /* S3_URI_H */
