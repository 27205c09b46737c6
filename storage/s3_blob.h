/*
 * Blobs of one drive: files of units under blob/, written in tmp/ first.
 *
 * Unit header, 64 bytes, little-endian:
 *
 *   0      8       12        13      14  15  16        32      36       40
 *   ┌──────┬───────┬─────────┬───────┬───┬───┬─────────┬───────┬────────┬─────
 *   │ XXH3 │ magic │ version │ shard │ k │ n │ data id │ block │ length │ last
 *   │  -64 │   4   │    1    │   1   │ 1 │ 1 │   16    │   4   │   4    │  1, 0
 *   └──────┴───────┴─────────┴───────┴───┴───┴─────────┴───────┴────────┴─────
 *
 * The hash covers the rest of the header and the payload.
 *
 * s3_blobs_t is what one process has of one drive's blobs: writers, and open
 * files for reading.  Requests are those of s3_drive.h, with the same rules:
 * done() once, on the loop, perhaps before the call returns.
 */

#ifndef S3_BLOB_H
#define S3_BLOB_H

#include "storage/s3_code.h"
#include "storage/s3_core.h"
#include "storage/s3_io.h"
#include "storage/s3_drive.h"

#pragma GCC visibility push(hidden)


typedef struct {
    uint8_t id[16];
    uint32_t block;
    uint32_t length; /* of the payload, up to S3_BLOB_PAYLOAD */
    uint8_t shard;
    uint8_t k;
    uint8_t n;
    uint8_t last; /* no unit follows */
} s3_blob_unit_t;

/* Bytes on disk of a unit with that much payload. */

static inline size_t
s3_blob_unit_size(size_t payload)
{
    return s3_align(S3_BLOB_HEADER + payload, (size_t) S3_SECTOR);
}

/* Payload lies at buf + S3_BLOB_HEADER already.  Writes the header, zeroes the
 * rest of the last sector; returns the bytes to write. */
size_t s3_blob_unit_seal(uint8_t *buf, const s3_blob_unit_t *unit);

/* The same for all units of a stripe, n of them with payloads of the same
 * length: those of shard k and above are computed.  unit->shard is ignored;
 * scratch has room for S3_BLOB_BLOCK bytes of each of these.  Errors: those of
 * s3_code_encode(). */
#define S3_BLOB_BLOCK ((size_t) 4096)
int s3_blob_stripe_seal(s3_code_t *code, uint8_t **bufs,
                        const s3_blob_unit_t *unit, uint8_t *scratch);

/* Does buf hold unit `block` of that shard?  S3_ECORRUPT, S3_EVERSION. */
int s3_blob_unit_check(const uint8_t *buf, size_t len, const uint8_t *id,
                       unsigned shard, uint32_t block, size_t *payload);

/* Header and checksum whoever it belongs to (scrub, offline tools). */
int s3_blob_unit_decode(const uint8_t *buf, size_t len, s3_blob_unit_t *unit);


#define S3_BLOB_PATH 56
#define S3_BLOB_TMP_PATH 72

void s3_blob_path(char path[S3_BLOB_PATH], const uint8_t id[16]);

/* 32 lower-case hex digits, else S3_EINVAL. */
int s3_blob_parse_name(const char *name, uint8_t id[16]);

/*
 * A blob being written: tmp/<id>.<nonce>.<slot><incarnation>, lower-case hex.
 * The last two say which process of the zone writes it.  The nonce tells it
 * from another attempt at the same blob, and from a file of an earlier zone.
 */

typedef struct {
    uint8_t id[16];
    uint8_t nonce[8];
    uint8_t slot;
    uint32_t incarnation;
} s3_blob_tmp_t;

void s3_blob_tmp_path(char path[S3_BLOB_TMP_PATH], const s3_blob_tmp_t *tmp);
int s3_blob_tmp_parse(const char *name, s3_blob_tmp_t *tmp); /* S3_EINVAL */

/* Removes all that is in tmp/.  Blocking, before the drive is used. */
int s3_blob_clean_tmp(s3_fs_t *fs);

/*
 * Removes what is in tmp/ of processes that are gone: will never write, rename
 * or remove anything again.  gone: 1, 0, or an error, which ends it.  A name
 * that is none of the above stays, and so does a file that can't be removed:
 * the others go, then that error is returned.  Blocking.
 */
int
s3_blob_clean_gone(s3_fs_t *fs,
                   int (*gone)(void *ctx, unsigned slot, uint32_t incarnation),
                   void *ctx, unsigned *removed);


typedef struct s3_blobs_s s3_blobs_t;

typedef struct {
    s3_loop_t *loop;
    s3_fs_t *fs;
    unsigned drive;
    unsigned slot; /* of this process, and its incarnation */
    uint32_t incarnation;
    unsigned max_open; /* files kept open for reading; 0: 128 */
    void (*read_ended)(void *ctx, int rc); /* each read; or NULL */
    void *ctx;
} s3_blobs_conf_t;

s3_blobs_t *s3_blobs_create(const s3_blobs_conf_t *conf);

/* Idle, or never to hear from its loop again (simulated death). */
void s3_blobs_destroy(s3_blobs_t *blobs);
int s3_blobs_idle(const s3_blobs_t *blobs);


/*
 * Writing.  create: opens a file in tmp/, reserves space.  write: unit->blob,
 * any number in flight, any order.  finish: waits for what is in flight, then
 * cuts to what was written, syncs, renames and makes the name durable; if any
 * write had failed it removes the file and gives that error.  abort: waits and
 * removes.  finish and abort take the blob in any case and set req->blob to
 * NULL; abort of NULL does nothing.
 */

void s3_blobs_open(s3_blobs_t *blobs, s3_blob_req_t *req);
void s3_blobs_write(s3_blobs_t *blobs, s3_unit_t *unit);
void s3_blobs_finish(s3_blobs_t *blobs, s3_blob_req_t *req);
void s3_blobs_abort(s3_blobs_t *blobs, s3_blob_req_t *req);

/* unit->id, block, buf, len; S3_ENOENT: no such blob.  done_len 0: the blob
 * ends before this unit.  The bytes are not verified. */
void s3_blobs_read(s3_blobs_t *blobs, s3_unit_t *unit);

/* S3_OK when it wasn't there.  Durable at the drive's leisure. */
void s3_blobs_remove(s3_blobs_t *blobs, s3_blob_req_t *req);

/* Forgets an open file of a blob that some other process has removed. */
void s3_blobs_forget(s3_blobs_t *blobs, const uint8_t id[16]);

#pragma GCC visibility pop

#endif /* S3_BLOB_H */
