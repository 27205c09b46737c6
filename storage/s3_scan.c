/*
 * The scan of a segment (s3_segment.h): what recovery, the take-over of a dead
 * process' tail, the cleaner and the offline tool read the log with.
 *
 * The file is seen through a window that moves forward; it is as large as one
 * chunk, or as the longest record met.
 */

#include <stdlib.h>

#include "storage/s3_segment.h"

#pragma GCC visibility push(hidden)


#define S3_SCAN_CHUNK (256 * 1024)
#define S3_SCAN_ERRORS 16 /* unreadable sectors, then the drive is given up */


typedef struct {
    s3_fs_t *fs;
    s3_file_t *f;
    const s3_segment_t *seg;
    uint32_t limit; /* batches end here */
    unsigned errors;
    int rc; /* S3_ENOMEM */

    uint8_t *buf;
    size_t size;  /* allocated */
    uint32_t off; /* of what is in buf, a multiple of S3_SECTOR */
    size_t len;
} s3_window_t;


/* len bytes at off, or NULL: unreadable, or beyond the end of the file. */

static const uint8_t *
s3_window_get(s3_window_t *w, uint32_t off, size_t len)
{
    size_t want;
    ssize_t n;
    uint8_t *p;
    uint32_t start;

    if (off >= w->off && off - w->off <= w->len
        && w->len - (off - w->off) >= len) {
        return w->buf + (off - w->off);
    }

    if (off > w->limit || len > w->limit - off) {
        return NULL;
    }

    start = off & ~(uint32_t) (S3_SECTOR - 1);
    want = s3_align(len + (off - start), (size_t) S3_SECTOR);

    if (want > w->size) {
        p = aligned_alloc(S3_SECTOR, s3_max(want, (size_t) S3_SCAN_CHUNK));
        if (p == NULL) {
            w->rc = S3_ENOMEM;
            return NULL;
        }

        free(w->buf);
        w->buf = p;
        w->size = s3_max(want, (size_t) S3_SCAN_CHUNK);
    }

    w->off = start;
    w->len = 0;

    n = w->fs->pread(w->fs, w->f, w->buf,
                     s3_min(w->size, (size_t) (w->limit - start)), start);

    if (n < 0 && want < w->size) {
        /* a bad sector further on need not hide this one */
        n = w->fs->pread(w->fs, w->f, w->buf, want, start);
    }

    if (n < 0) {
        w->errors++;
        return NULL;
    }

    w->len = (size_t) n;

    return w->len >= off - start + len ? w->buf + (off - start) : NULL;
}


/* The next place after off, before end, where a record header holds. */

static uint32_t
s3_scan_resync(s3_window_t *w, uint32_t off, uint32_t end)
{
    const uint8_t *p;

    while (off < end && w->rc == S3_OK) {
        p = off + S3_RECORD_HEADER <= end
                ? s3_window_get(w, off, S3_RECORD_HEADER)
                : NULL;

        if (p == NULL) {
            return end;
        }

        if (s3_record_peek_length(p, S3_RECORD_HEADER, w->seg->nonce)) {
            return off;
        }

        off += 8;
    }

    return end;
}


/* The records of one batch; *found is how many held. */

static int
s3_scan_batch(s3_window_t *w, const s3_batch_header_t *h,
              s3_segment_record_pt record, void *ctx, uint32_t *found)
{
    int rc;
    size_t size;
    uint32_t off, end;
    const uint8_t *p;
    s3_record_t r;

    off = h->offset + S3_BATCH_HEADER;
    end = h->offset + h->length;

    for (*found = 0; *found < h->records; off += (uint32_t) size) {
        off = s3_scan_resync(w, off, end);
        if (off == end || w->rc != S3_OK) {
            break;
        }

        p = s3_window_get(w, off, S3_RECORD_HEADER);
        if (p == NULL) {
            break;
        }

        size = s3_record_peek_length(p, S3_RECORD_HEADER, w->seg->nonce);
        if (size > end - off) {
            size = 8;
            continue;
        }

        p = s3_window_get(w, off, size);

        if (p == NULL || s3_record_decode(p, size, w->seg->nonce, &r) != S3_OK)
        {
            continue;
        }

        (*found)++;
        r.entry.segment = w->seg->id;
        r.entry.offset = off;

        rc = record(ctx, &r);
        if (rc != 0) {
            return rc;
        }
    }

    return w->rc;
}


int
s3_segment_scan_file(s3_fs_t *fs, s3_file_t *f, const s3_segment_t *seg,
                     uint32_t from, s3_segment_record_pt record, void *ctx,
                     s3_scan_result_t *result)
{
    int rc = S3_OK;
    uint32_t off, found;
    const uint8_t *p;
    s3_window_t w;
    s3_batch_header_t h;

    memset(result, 0, sizeof(*result));
    memset(&w, 0, sizeof(w));

    w.fs = fs;
    w.f = f;
    w.seg = seg;
    w.limit = seg->size - S3_SECTOR;

    off =
        s3_max(from & ~(uint32_t) (S3_SECTOR - 1), (uint32_t) S3_SEGMENT_START);

    result->seg = *seg;
    result->end = off;

    while (off < w.limit && w.errors < S3_SCAN_ERRORS) {
        p = s3_window_get(&w, off, S3_BATCH_HEADER);

        if (w.rc != S3_OK) {
            rc = w.rc;
            break;
        }

        if (p == NULL
            || s3_batch_header_decode(p, seg->nonce, seg, off, &h) != S3_OK
            || h.sequence <= result->sequence)
        {
            off += S3_SECTOR;
            continue;
        }

        /* what is missing of the one before was durable: this one followed */
        result->corrupt += result->torn;
        result->torn = 0;

        if (off != result->end) {
            result->corrupt++;
        }

        rc = s3_scan_batch(&w, &h, record, ctx, &found);

        result->batches++;
        result->records += found;
        result->torn = h.records - found;
        result->sequence = h.sequence;
        off += h.length;
        result->end = off;

        if (rc != S3_OK) {
            break;
        }
    }

    if (rc == S3_OK && w.errors >= S3_SCAN_ERRORS) {
        rc = S3_EIO;
    }

    free(w.buf);

    return rc;
}


int
s3_segment_scan(s3_fs_t *fs, uint32_t id, uint32_t from,
                s3_segment_record_pt record, void *ctx,
                s3_scan_result_t *result)
{
    int rc;
    s3_file_t *f;
    s3_segment_t seg;

    memset(result, 0, sizeof(*result));

    /* it was written past the page cache, and is read once */
    rc = s3_segment_open_direct(fs, id, &f, &seg);
    if (rc != S3_OK) {
        return rc;
    }

    rc = s3_segment_scan_file(fs, f, &seg, from, record, ctx, result);

    fs->close(fs, f);

    return rc;
}

#pragma GCC visibility pop
