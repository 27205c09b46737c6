/*
 * Segments: the files of a drive's log, log/%08x.seg.
 *
 *   0        4096                                            size - 4096
 *   ┌────────┬──────────────┬─────────┬───────────────────────┬────────┐
 *   │ header │ batch        │ batch   │ never used            │ header │
 *   └────────┴──────────────┴─────────┴───────────────────────┴────────┘
 *             └► header 64 | record | record | ... | zeros to 4096
 *
 * The header is there twice because the nonce in it opens all the rest.  A
 * batch is what one direct write has put there.  Batches follow each other
 * without gaps; after damage the next valid batch header on a sector boundary
 * with a greater sequence number is taken.
 *
 * All functions here block: for start, tasks and offline tools.
 */

#ifndef S3_SEGMENT_H
#define S3_SEGMENT_H

#include "storage/s3_core.h"
#include "storage/s3_io.h"
#include "storage/s3_entry.h"
#include "storage/s3_record.h"

#pragma GCC visibility push(hidden)


#define S3_SEGMENT_PATH 24         /* bytes with the NUL */
#define S3_SEGMENT_MIN (64 * 1024) /* bytes; production uses megabytes */
#define S3_SEGMENT_DEFAULT (16 * 1024 * 1024)
#define S3_SEGMENT_MAX (1024 * 1024 * 1024)
#define S3_SEGMENT_START S3_SECTOR /* offset of the first batch */
#define S3_BATCH_HEADER 64

typedef struct {
    uint32_t id; /* from 1 */
    uint32_t size;
    uint64_t nonce;
} s3_segment_t;

/* Longest record that fits a segment of that size, a multiple of 8. */

static inline size_t
s3_segment_room(uint32_t size)
{
    return (size_t) size - 2 * S3_SECTOR - S3_BATCH_HEADER;
}

void s3_segment_path(char path[S3_SEGMENT_PATH], uint32_t id);

/* The id of "0000002a.seg"; S3_EINVAL for any other name. */
int s3_segment_parse_name(const char *name, uint32_t *id);

/* One sector each way.  S3_ECORRUPT, S3_EVERSION. */
void s3_segment_header_encode(uint8_t p[S3_SECTOR], const s3_segment_t *seg);
int s3_segment_header_decode(const uint8_t p[S3_SECTOR], s3_segment_t *seg);

/*
 * Makes a segment ready to be written: every block allocated and written, so
 * that later writes change no metadata; durable, name and all.  recycle: the
 * id of a segment that nobody needs, whose file is taken (its size has to be
 * the same, else it is removed and a new file made); 0 for none.  A file of
 * that id that is there already: S3_EEXIST.
 */
int s3_segment_create(s3_fs_t *fs, const s3_segment_t *seg, uint32_t recycle);

/*
 * Opens for reading and reads the header; f is not open where it fails.
 * S3_ENOENT, S3_EIO, S3_ENOMEM, S3_EVERSION;
 *   S3_EFOREIGN  the making of it was interrupted: never used, may be removed
 *   S3_ECORRUPT  both copies of the header are damaged
 */
int s3_segment_open(s3_fs_t *fs, uint32_t id, s3_file_t **f, s3_segment_t *seg);
int s3_segment_open_direct(s3_fs_t *fs, uint32_t id, s3_file_t **f,
                           s3_segment_t *seg);


/* The header of a batch. */

typedef struct {
    uint32_t segment;
    uint32_t offset; /* of the batch */
    uint32_t length; /* header and padding included */
    uint32_t records;
    uint64_t sequence; /* from 1 in each segment */
} s3_batch_header_t;

void s3_batch_header_encode(uint8_t p[S3_BATCH_HEADER],
                            const s3_batch_header_t *h, uint64_t nonce);

/* S3_ECORRUPT where it isn't one of this segment at this offset. */
int s3_batch_header_decode(const uint8_t p[S3_BATCH_HEADER], uint64_t nonce,
                           const s3_segment_t *seg, uint32_t offset,
                           s3_batch_header_t *h);


/*
 * Scan.  record() is called for every record that holds, in order; its
 * entry's segment, offset and length are set and its slices valid during the
 * call.  A non-zero return stops the scan and is returned.
 *
 * from: where a batch begins, or 0.  Memory: one batch, or record, at most.
 */

typedef struct {
    s3_segment_t seg;
    uint32_t end;      /* after the last valid batch */
    uint32_t batches;  /* seen */
    uint32_t records;  /* delivered */
    uint32_t corrupt;  /* records lost that were durable once, at least 1 for
                        * every gap between batches */
    uint32_t torn;     /* records lost of the last batch: a power cut before
                        * anybody was told, or damage */
    uint64_t sequence; /* of the last batch */
} s3_scan_result_t;

typedef int (*s3_segment_record_pt)(void *ctx, const s3_record_t *r);

/* As s3_segment_open(), or S3_EIO: too much could not be read, result holds
 * what was seen.  A few unreadable sectors count as corrupt. */
int s3_segment_scan(s3_fs_t *fs, uint32_t id, uint32_t from,
                    s3_segment_record_pt record, void *ctx,
                    s3_scan_result_t *result);

/* The same over an open file. */
int s3_segment_scan_file(s3_fs_t *fs, s3_file_t *f, const s3_segment_t *seg,
                         uint32_t from, s3_segment_record_pt record, void *ctx,
                         s3_scan_result_t *result);

/*
 * One record.  *buf is allocated, the caller free()s it; the slices of r point
 * into it.  S3_ECORRUPT, S3_EIO, S3_ENOMEM, and those of open.
 */
int s3_segment_read(s3_fs_t *fs, uint32_t id, uint32_t offset, uint32_t length,
                    s3_record_t *r, void **buf);

/*
 * For asynchronous reads: the sectors [*from, *from + returned length) that
 * hold a record, to be read into an aligned buffer; then
 *   s3_segment_pick(buf, bytes read, offset, length, seg, &record).
 */

static inline size_t
s3_segment_span(uint32_t offset, uint32_t length, uint64_t *from)
{
    *from = offset & ~(uint64_t) (S3_SECTOR - 1);
    return (size_t) (s3_align((uint64_t) offset + length, (uint64_t) S3_SECTOR)
                     - *from);
}

int s3_segment_pick(const uint8_t *buf, size_t len, uint32_t offset,
                    uint32_t length, const s3_segment_t *seg, s3_record_t *r);

#pragma GCC visibility pop

#endif /* S3_SEGMENT_H */
