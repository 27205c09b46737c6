/*
 * The aws-chunked body, decoded and verified as it arrives.
 *
 * Source: Amazon S3 API reference, "Transferring Payload in Multiple Chunks"
 * and "... with trailing headers".
 *
 *     400;chunk-signature=<64 hex>\r\n      (unsigned: 400\r\n)
 *     <1024 bytes>\r\n
 *     0;chunk-signature=<64 hex>\r\n
 *     x-amz-checksum-crc32c:sOO8/Q==\r\n    (forms with a trailer only)
 *     x-amz-trailer-signature:<64 hex>\r\n  (signed form only)
 *     \r\n
 *
 * Exactly the checksum that x-amz-trailer announced may follow; old clients
 * end its line with \n\r\n.
 *
 * Each signature covers the one before, the first the request's own; so
 * the chain shows that no chunk is missing, added or out of order.
 *
 * Data is handed out before the signature of its chunk has been seen whole
 * and is not to be trusted before S3_DONE: commit only then.
 */

#ifndef S3_CHUNKED_H
#define S3_CHUNKED_H

#include "storage/s3_core.h"

#include "s3_auth.h"
#include "s3_error.h"
#include "s3_hash.h"

#pragma GCC visibility push(hidden)


#define S3_CHUNKED_MAX_LINE 1024  /* chunk header or trailer line */
#define S3_CHUNKED_MIN_CHUNK 8192 /* all but the last */
#define S3_CHUNKED_MAX_CHUNK (5ull << 30)


typedef struct {
    /* For the caller to read. */

    s3_fault_t fault; /* with S3_EINVAL: what to answer; lives in here */
    uint64_t decoded; /* bytes handed out */

    /* The trailing checksum, after S3_DONE; empty without one. */

    size_t trailer_name_len;
    size_t trailer_value_len;
    uint8_t trailer_name[64];   /* lower case */
    uint8_t trailer_value[128]; /* trimmed */

    /* Private. */

    s3_payload_t payload;
    uint64_t expected; /* x-amz-decoded-content-length */
    uint64_t left;     /* of the current chunk */
    uint64_t chunk;    /* its number, from 1 */
    uint64_t prev;     /* its size */

    int state;
    int bare_lf;  /* the last trailer line ended without CR */
    int have_mac; /* x-amz-trailer-signature seen, and right */

    size_t want_name_len;
    uint8_t want_name[64]; /* as x-amz-trailer announced it */

    size_t line_len;
    uint8_t line[S3_CHUNKED_MAX_LINE];

    uint8_t signature[S3_SHA256_HEX]; /* of this chunk, as it claims */
    uint8_t previous[S3_SHA256_HEX];  /* verified */
    uint8_t key[S3_SHA256_LEN];
    uint8_t amz_date[S3_SIGV4_DATE_LEN];
    size_t scope_len;
    uint8_t scope[S3_SIGV4_SCOPE_SIZE];

    s3_sha256_t hash; /* of this chunk's data */
    s3_sha256_t mac;
} s3_chunked_t;


/*
 * Takes from auth, which it does not keep: mode, key, seed, date, scope,
 * decoded length and announced trailer.  S3_OK; S3_EINVAL with c->fault set:
 * not a chunked mode, no decoded length (MissingContentLength), or
 * x-amz-trailer does not name a checksum that can be computed; S3_ENOMEM.
 * s3_chunked_free() is right after every result, and wipes the key.
 */

int s3_chunked_init(s3_chunked_t *c, const s3_auth_result_t *auth);
void s3_chunked_free(s3_chunked_t *c);

/*
 * One step.  Takes what it can from *in, advancing it.
 *
 *   S3_OK       *out, not empty, is the next piece of decoded data; it lies
 *               inside the input
 *   S3_AGAIN    *in is used up, more has to come
 *   S3_DONE     the body is complete and every signature held; whatever is
 *               left in *in lies behind it and makes the next call fail
 *   S3_EINVAL   see c->fault; stays so
 *   S3_ENOMEM   OpenSSL failed
 *
 * Hashes what it hands out (signed forms), so the size of *in bounds the
 * time of a call; touches nothing but c, so that it may run in any thread.
 */

int s3_chunked_next(s3_chunked_t *c, s3_str_t *in, s3_str_t *out);

/* Bytes of data that come next, before the next line of the framing. */

uint64_t s3_chunked_left(const s3_chunked_t *c);

/*
 * At the end of the input: S3_OK when the body is complete, or S3_EINVAL with
 * IncompleteBody.  The form of trailer that old clients send ends where the
 * input ends, so only this call tells, not S3_DONE.
 */

int s3_chunked_end(s3_chunked_t *c);

#pragma GCC visibility pop

#endif /* S3_CHUNKED_H */
