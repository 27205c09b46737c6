/*
 * The flexible checksums of S3: incremental, as header values, and for
 * multipart objects from those of their parts.
 *
 * Sources: Amazon S3 User Guide, "Checking object integrity"; the CRC
 * catalogue's CRC-32/ISO-HDLC, CRC-32/ISCSI and CRC-64/NVME; RFC 4648 for
 * base64.
 *
 *                 whole object       parts, COMPOSITE   parts, FULL_OBJECT
 *     CRC32       yes                yes                yes
 *     CRC32C      yes                yes                yes
 *     CRC64NVME   yes                -                  yes
 *     SHA1        yes                yes                -
 *     SHA256      yes                yes                -
 *
 * Digests are big-endian bytes.
 */

#ifndef S3_CHECKSUM_H
#define S3_CHECKSUM_H

#include <openssl/evp.h>

#include "storage/s3_core.h"

#include "s3_base64.h"

#pragma GCC visibility push(hidden)


typedef enum {
    S3_CHECKSUM_NONE = 0,
    S3_CHECKSUM_CRC32,
    S3_CHECKSUM_CRC32C,
    S3_CHECKSUM_CRC64NVME,
    S3_CHECKSUM_SHA1,
    S3_CHECKSUM_SHA256,

    /* Known by name, not computed. */
    S3_CHECKSUM_SHA512,
    S3_CHECKSUM_MD5,
    S3_CHECKSUM_XXHASH64,
    S3_CHECKSUM_XXHASH3,
    S3_CHECKSUM_XXHASH128,

    S3_CHECKSUM_LAST
} s3_checksum_alg_t;

typedef enum {
    S3_CHECKSUM_TYPE_NONE = 0,
    S3_CHECKSUM_COMPOSITE,
    S3_CHECKSUM_FULL_OBJECT,
} s3_checksum_type_t;

#define S3_CHECKSUM_MAX 64 /* longest digest of all names */

/* "CRC32C", "x-amz-checksum-crc32c", "ChecksumCRC32C", 4, whether computed */

typedef struct {
    s3_str_t name;    /* of x-amz-checksum-algorithm */
    s3_str_t header;  /* lower case */
    s3_str_t element; /* in XML */
    size_t len;       /* of the digest, bytes */
    unsigned supported : 1;
    unsigned full_object : 1; /* multipart types it allows */
    unsigned composite : 1;
} s3_checksum_info_t;

/* Never NULL; that of S3_CHECKSUM_NONE is empty. */

const s3_checksum_info_t *s3_checksum_info(s3_checksum_alg_t alg);

/* By name, case ignored; S3_CHECKSUM_NONE when unknown. */

s3_checksum_alg_t s3_checksum_by_name(s3_str_t name);
s3_checksum_alg_t s3_checksum_by_header(s3_str_t header);


/*
 * A running checksum.  SHA1, SHA256 and MD5 (S3_CHECKSUM_MD5 is allowed here
 * for ETag and Content-MD5) own an OpenSSL context until s3_checksum_free().
 * A zeroed structure may be freed.
 */

typedef struct {
    s3_checksum_alg_t alg;
    uint64_t crc;
    EVP_MD_CTX *ctx;
} s3_checksum_t;

/* S3_OK, S3_EINVAL (cannot be computed), S3_ENOMEM. */

int s3_checksum_init(s3_checksum_t *c, s3_checksum_alg_t alg);
int s3_checksum_update(s3_checksum_t *c, s3_str_t data);

/* Writes the digest and returns its length; init starts anew. */

int s3_checksum_final(s3_checksum_t *c, uint8_t out[S3_CHECKSUM_MAX]);
void s3_checksum_free(s3_checksum_t *c);


/*
 * The digest of a followed by b, from both digests and the length of b.
 * S3_OK or S3_EINVAL (not a CRC).  out may be a or b.
 */

int s3_checksum_combine(s3_checksum_alg_t alg, uint8_t *out, const uint8_t *a,
                        const uint8_t *b, uint64_t b_len);


/*
 * Parses the value of an x-amz-checksum-* header into the digest.  A
 * composite value "base64-N" is accepted when parts is not NULL, which then
 * gets N (0: not composite).  S3_OK or S3_EINVAL.
 */

int s3_checksum_parse(s3_checksum_alg_t alg, s3_str_t value,
                      uint8_t out[S3_CHECKSUM_MAX], uint32_t *parts);

/*
 * The checksum of a multipart object from those of its parts, in order.
 *
 *     COMPOSITE    alg(digest of part 1 | digest of part 2 | ...), "-N"
 *     FULL_OBJECT  what one PUT of the whole would have given
 */

typedef struct {
    s3_checksum_alg_t alg;
    s3_checksum_type_t type;
    uint32_t parts;
    s3_checksum_t hash;            /* COMPOSITE */
    uint8_t full[S3_CHECKSUM_MAX]; /* FULL_OBJECT */
} s3_checksum_parts_t;

/* S3_EINVAL: the algorithm does not go with the type. */

int s3_checksum_parts_init(s3_checksum_parts_t *p, s3_checksum_alg_t alg,
                           s3_checksum_type_t type);
int s3_checksum_parts_add(s3_checksum_parts_t *p, const uint8_t *digest,
                          uint64_t part_len);
int
s3_checksum_parts_final(s3_checksum_parts_t *p, uint8_t out[S3_CHECKSUM_MAX]);
void s3_checksum_parts_free(s3_checksum_parts_t *p);

/*
 * The value as S3 writes it: base64, and "-N" when parts is not 0.  dst has
 * room for S3_CHECKSUM_VALUE_SIZE bytes; returns the length.
 */

#define S3_CHECKSUM_VALUE_SIZE (s3_base64_len(S3_CHECKSUM_MAX) + 11)

size_t s3_checksum_value(uint8_t *dst, s3_checksum_alg_t alg,
                         const uint8_t *digest, uint32_t parts);

#pragma GCC visibility pop

#endif /* S3_CHECKSUM_H */
