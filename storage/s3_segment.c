/*
 * Segment files: making, opening, reading; s3_segment.h has the layout.
 *
 * Segment header, little-endian, one sector, zero after byte 32:
 *   hash 8 (XXH3-64 of the rest of the sector) | magic 4 | version 4 | id 4 |
 *   size 4 | nonce 8
 *
 * Batch header, 64 bytes, zero after byte 36:
 *   hash 8 (XXH3-64 of the rest, seeded with the nonce) | magic 4 | segment 4 |
 *   sequence 8 | length 4 | records 4 | offset 4
 */

#include <stdio.h>
#include <stdlib.h>
#include "storage/s3_xxh3.h"

#include "storage/s3_segment.h"

#pragma GCC visibility push(hidden)


#define S3_SEGMENT_MAGIC 0x67733373 /* "s3sg" */
#define S3_SEGMENT_VERSION 1
#define S3_BATCH_MAGIC 0x62613373 /* "s3ab" */
#define S3_SEGMENT_CHUNK (1024 * 1024)


void
s3_segment_path(char path[S3_SEGMENT_PATH], uint32_t id)
{
    snprintf(path, S3_SEGMENT_PATH, "log/%08x.seg", id);
}


int
s3_segment_parse_name(const char *name, uint32_t *id)
{
    unsigned i;
    uint32_t v = 0;

    for (i = 0; i < 8; i++) {
        if (name[i] >= '0' && name[i] <= '9') {
            v = v << 4 | (uint32_t) (name[i] - '0');

        } else if (name[i] >= 'a' && name[i] <= 'f') {
            v = v << 4 | (uint32_t) (name[i] - 'a' + 10);

        } else {
            return S3_EINVAL;
        }
    }

    if (strcmp(name + 8, ".seg") != 0 || v == 0) {
        return S3_EINVAL;
    }

    *id = v;

    return S3_OK;
}


void
s3_segment_header_encode(uint8_t p[S3_SECTOR], const s3_segment_t *seg)
{
    memset(p, 0, S3_SECTOR);
    s3_put32(p + 8, S3_SEGMENT_MAGIC);
    s3_put32(p + 12, S3_SEGMENT_VERSION);
    s3_put32(p + 16, seg->id);
    s3_put32(p + 20, seg->size);
    s3_put64(p + 24, seg->nonce);
    s3_put64(p, XXH3_64bits(p + 8, S3_SECTOR - 8));
}


int
s3_segment_header_decode(const uint8_t p[S3_SECTOR], s3_segment_t *seg)
{
    if (s3_get32(p + 8) != S3_SEGMENT_MAGIC
        || s3_get64(p) != XXH3_64bits(p + 8, S3_SECTOR - 8))
    {
        return S3_ECORRUPT;
    }

    if (s3_get32(p + 12) != S3_SEGMENT_VERSION) {
        return S3_EVERSION;
    }

    seg->id = s3_get32(p + 16);
    seg->size = s3_get32(p + 20);
    seg->nonce = s3_get64(p + 24);

    if (seg->id == 0 || seg->size % S3_SECTOR || seg->size < S3_SEGMENT_MIN
        || seg->size > S3_SEGMENT_MAX)
    {
        return S3_ECORRUPT;
    }

    return S3_OK;
}


void
s3_batch_header_encode(uint8_t p[S3_BATCH_HEADER], const s3_batch_header_t *h,
                       uint64_t nonce)
{
    memset(p, 0, S3_BATCH_HEADER);
    s3_put32(p + 8, S3_BATCH_MAGIC);
    s3_put32(p + 12, h->segment);
    s3_put64(p + 16, h->sequence);
    s3_put32(p + 24, h->length);
    s3_put32(p + 28, h->records);
    s3_put32(p + 32, h->offset);
    s3_put64(p, XXH3_64bits_withSeed(p + 8, S3_BATCH_HEADER - 8, nonce));
}


int
s3_batch_header_decode(const uint8_t p[S3_BATCH_HEADER], uint64_t nonce,
                       const s3_segment_t *seg, uint32_t offset,
                       s3_batch_header_t *h)
{
    if (s3_get32(p + 8) != S3_BATCH_MAGIC
        || s3_get64(p)
               != XXH3_64bits_withSeed(p + 8, S3_BATCH_HEADER - 8, nonce))
    {
        return S3_ECORRUPT;
    }

    h->segment = s3_get32(p + 12);
    h->sequence = s3_get64(p + 16);
    h->length = s3_get32(p + 24);
    h->records = s3_get32(p + 28);
    h->offset = s3_get32(p + 32);

    if (h->segment != seg->id || h->offset != offset || h->length == 0
        || h->length % S3_SECTOR
        || h->length > seg->size - S3_SECTOR - (uint64_t) offset)
    {
        return S3_ECORRUPT;
    }

    return S3_OK;
}


/* Opens the file of a segment nobody needs under its new name. */

static int
s3_segment_take(s3_fs_t *fs, const char *path, uint32_t recycle, uint32_t size,
                s3_file_t **f)
{
    char old[S3_SEGMENT_PATH];
    int rc;
    uint64_t have;

    s3_segment_path(old, recycle);

    rc = fs->open(fs, old, S3_O_READ | S3_O_WRITE | S3_O_DIRECT, f);
    if (rc != S3_OK) {
        return rc;
    }

    rc = fs->size(fs, *f, &have);

    if (rc == S3_OK && have == size) {
        rc = fs->rename(fs, old, path);

        if (rc == S3_OK) {
            return S3_OK;
        }

    } else if (rc == S3_OK) {
        rc = fs->unlink(fs, old);

        if (rc == S3_OK) {
            rc = S3_ENOENT;
        }
    }

    fs->close(fs, *f);

    return rc;
}


static int
s3_segment_zero(s3_fs_t *fs, s3_file_t *f, uint8_t *chunk, uint32_t size)
{
    int rc;
    uint32_t off, n;

    rc = fs->allocate(fs, f, size);

    for (off = 0; off < size && rc == S3_OK; off += n) {
        n = s3_min(size - off, (uint32_t) S3_SEGMENT_CHUNK);
        rc = fs->pwrite(fs, f, chunk, n, off);
    }

    return rc;
}


static int
s3_segment_write_headers(s3_fs_t *fs, s3_file_t *f, uint8_t *chunk,
                         const s3_segment_t *seg)
{
    int rc;

    s3_segment_header_encode(chunk, seg);

    rc = fs->pwrite(fs, f, chunk, S3_SECTOR, seg->size - S3_SECTOR);

    if (rc == S3_OK) {
        rc = fs->pwrite(fs, f, chunk, S3_SECTOR, 0);
    }

    if (rc == S3_OK) {
        rc = fs->sync(fs, f);
    }

    return rc;
}


int
s3_segment_create(s3_fs_t *fs, const s3_segment_t *seg, uint32_t recycle)
{
    char path[S3_SEGMENT_PATH];
    int rc, fresh = 1;
    uint8_t *chunk;
    uint32_t room;
    s3_file_t *f;

    if (seg->id == 0 || seg->id == recycle || seg->size % S3_SECTOR
        || seg->size < S3_SEGMENT_MIN || seg->size > S3_SEGMENT_MAX)
    {
        return S3_EINVAL;
    }

    s3_segment_path(path, seg->id);

    rc = fs->open(fs, path, S3_O_READ, &f);
    if (rc != S3_ENOENT) {
        if (rc == S3_OK) {
            fs->close(fs, f);
            rc = S3_EEXIST;
        }

        return rc;
    }

    room = s3_min(seg->size, (uint32_t) S3_SEGMENT_CHUNK);
    chunk = aligned_alloc(S3_SECTOR, room);
    if (chunk == NULL) {
        return S3_ENOMEM;
    }

    memset(chunk, 0, room);

    if (recycle) {
        rc = s3_segment_take(fs, path, recycle, seg->size, &f);

        if (rc == S3_OK) {
            fresh = 0;

        } else if (rc != S3_ENOENT) {
            free(chunk);
            return rc;
        }
    }

    if (fresh) {
        rc = fs->open(
            fs, path,
            S3_O_READ | S3_O_WRITE | S3_O_CREATE | S3_O_EXCL | S3_O_DIRECT, &f);
        if (rc != S3_OK) {
            free(chunk);
            return rc;
        }

        rc = s3_segment_zero(fs, f, chunk, seg->size);
    }

    if (rc == S3_OK) {
        rc = s3_segment_write_headers(fs, f, chunk, seg);
    }

    fs->close(fs, f);
    free(chunk);

    if (rc == S3_OK) {
        rc = fs->syncdir(fs, "log");
    }

    if (rc != S3_OK) {
        (void) fs->unlink(fs, path);
    }

    return rc;
}


/* One copy of the header: S3_EFOREIGN where it says "never used as id". */

static int
s3_segment_header_read(s3_fs_t *fs, s3_file_t *f, uint8_t *buf, uint64_t off,
                       uint64_t size, uint32_t id, s3_segment_t *seg)
{
    int rc;
    ssize_t n;

    n = fs->pread(fs, f, buf, S3_SECTOR, off);
    if (n < 0) {
        return (int) n;
    }

    if (n < S3_SECTOR) {
        return S3_EFOREIGN;
    }

    if (buf[0] == 0 && memcmp(buf, buf + 1, S3_SECTOR - 1) == 0) {
        return S3_EFOREIGN;
    }

    rc = s3_segment_header_decode(buf, seg);

    if (rc == S3_OK && seg->id != id) {
        return S3_EFOREIGN;
    }

    if (rc == S3_OK && seg->size > size) {
        return S3_ECORRUPT;
    }

    return rc;
}


static int
s3_segment_open_how(s3_fs_t *fs, uint32_t id, unsigned how, s3_file_t **f,
                    s3_segment_t *seg)
{
    char path[S3_SEGMENT_PATH];
    int rc, rc2;
    uint8_t *buf;
    uint64_t size, last;

    s3_segment_path(path, id);

    rc = fs->open(fs, path, how, f);
    if (rc != S3_OK) {
        return rc;
    }

    buf = aligned_alloc(S3_SECTOR, S3_SECTOR);
    if (buf == NULL) {
        fs->close(fs, *f);
        return S3_ENOMEM;
    }

    rc = fs->size(fs, *f, &size);

    if (rc == S3_OK) {
        rc = s3_segment_header_read(fs, *f, buf, 0, size, id, seg);

        if (rc != S3_OK && rc != S3_EVERSION) {
            last = size >= S3_SECTOR
                       ? (size - S3_SECTOR) & ~(uint64_t) (S3_SECTOR - 1)
                       : 0;
            rc2 = s3_segment_header_read(fs, *f, buf, last, size, id, seg);

            /* unused only where both say so */
            if (rc2 != S3_EFOREIGN) {
                rc = rc2;
            }
        }
    }

    free(buf);

    if (rc != S3_OK) {
        fs->close(fs, *f);
    }

    return rc;
}


int
s3_segment_open(s3_fs_t *fs, uint32_t id, s3_file_t **f, s3_segment_t *seg)
{
    return s3_segment_open_how(fs, id, S3_O_READ, f, seg);
}


int
s3_segment_open_direct(s3_fs_t *fs, uint32_t id, s3_file_t **f,
                       s3_segment_t *seg)
{
    return s3_segment_open_how(fs, id, S3_O_READ | S3_O_DIRECT, f, seg);
}


int
s3_segment_pick(const uint8_t *buf, size_t len, uint32_t offset,
                uint32_t length, const s3_segment_t *seg, s3_record_t *r)
{
    int rc;
    size_t skip = offset & (S3_SECTOR - 1);

    if (len < skip || len - skip < length) {
        return S3_ECORRUPT;
    }

    rc = s3_record_decode(buf + skip, length, seg->nonce, r);

    if (rc == S3_OK && r->entry.length != length) {
        rc = S3_ECORRUPT;
    }

    if (rc == S3_OK) {
        r->entry.segment = seg->id;
        r->entry.offset = offset;
    }

    return rc;
}


int
s3_segment_read(s3_fs_t *fs, uint32_t id, uint32_t offset, uint32_t length,
                s3_record_t *r, void **buf)
{
    int rc;
    size_t span;
    ssize_t n;
    uint8_t *p;
    uint64_t from;
    s3_file_t *f;
    s3_segment_t seg;

    if (length < S3_RECORD_HEADER || length > S3_RECORD_MAX) {
        return S3_ECORRUPT;
    }

    rc = s3_segment_open(fs, id, &f, &seg);
    if (rc != S3_OK) {
        return rc;
    }

    span = s3_segment_span(offset, length, &from);

    p = aligned_alloc(S3_SECTOR, span);
    if (p == NULL) {
        fs->close(fs, f);
        return S3_ENOMEM;
    }

    n = fs->pread(fs, f, p, span, from);

    fs->close(fs, f);

    rc = n < 0 ? (int) n
               : s3_segment_pick(p, (size_t) n, offset, length, &seg, r);

    if (rc != S3_OK) {
        free(p);
        return rc;
    }

    *buf = p;

    return S3_OK;
}

#pragma GCC visibility pop
