/*
 * The stored form of a record: fixed header, entry, key, references, metadata,
 * data, zero padding to a multiple of 8.
 *
 *   0    16    20     24                                   76     80
 *   ┌────┬─────┬──────┬────────────────────────────────────┬──────┬───────────
 *   │hash│magic│length│ bucket 8 | generation 4 | epoch 4 | │ head │ entry, key
 *   │ 16 │  4  │  4   │ expects 20 | key_len 2 | entry_len 1│ check│ refs, meta
 *   │    │     │      │ conditional 1 | refs 4 meta 4 data 4│  4   │ data, pad
 *   └────┴─────┴──────┴────────────────────────────────────┴──────┴───────────
 *
 * hash is XXH3-128 over all that follows it, head the low half of XXH3-64 over
 * the bytes from magic to itself; both are seeded with the random nonce of the
 * segment, which no client knows, so neither bytes left from an earlier use of
 * the file nor bytes chosen by a client pass for a record.  head lets a scan
 * step over a record whose body is damaged.
 *
 * The place of the record (entry.segment, .offset, .length) is not stored;
 * who reads the record knows it.
 */

#ifndef S3_RECORD_H
#define S3_RECORD_H

#include "storage/s3_core.h"
#include "storage/s3_entry.h"

#pragma GCC visibility push(hidden)


#define S3_RECORD_HEADER 80
#define S3_MAX_DATA (256 * 1024) /* what a record may carry of an object */

/* No record is longer. */
#define S3_RECORD_MAX                                                   \
    s3_align((size_t) S3_RECORD_HEADER + S3_ENTRY_FIXED + S3_MAX_EXTRA  \
                 + S3_MAX_KEY + S3_MAX_REFS * S3_REF_SIZE + S3_MAX_META \
                 + S3_MAX_DATA,                                         \
             (size_t) 8)


/* Bytes that the record takes in the log (a multiple of 8), or 0 where a part
 * of it is too long. */
size_t s3_record_size(const s3_record_t *r);

/* Writes s3_record_size() bytes to p; S3_EINVAL where they don't fit len or a
 * field is out of range. */
int
s3_record_encode(uint8_t *p, size_t len, const s3_record_t *r, uint64_t nonce);

/*
 * Checks everything.  The slices of `out` point into p; entry.length is set,
 * entry.segment and entry.offset are zero.  len may be more than the record.
 * S3_ECORRUPT.
 */
int s3_record_decode(const uint8_t *p, size_t len, uint64_t nonce,
                     s3_record_t *out);

/* Length of the record whose first S3_RECORD_HEADER bytes are at p, by its
 * header's own check; 0 where that fails. */
size_t s3_record_peek_length(const uint8_t *p, size_t len, uint64_t nonce);

#pragma GCC visibility pop

#endif /* S3_RECORD_H */
