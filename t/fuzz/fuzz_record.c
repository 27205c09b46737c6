/*
 * Records, entries, references, blob units and whole segments from bytes that
 * anybody may have written.  The first byte chooses what is repaired on the
 * way (hashes, magic numbers), so that the checks behind the hash are reached.
 */

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "storage/s3_blob.h"
#include "storage/s3_segment.h"

#define NONCE 0x0123456789abcdefull
#define SIZE S3_SEGMENT_MIN

#define FIX_CHECK 1 /* of record headers */
#define FIX_HASH 2  /* of records */
#define FIX_BATCH 4

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


typedef struct {
    s3_fs_t fs;
    const uint8_t *data;
    size_t len;
} image_t;


static volatile uint8_t sink;


static void
need(int ok)
{
    if (!ok) {
        abort();
    }
}


static void
touch(s3_str_t s)
{
    size_t i;

    for (i = 0; i < s.len; i++) {
        sink ^= s.data[i];
    }
}


static void
use(const s3_record_t *r)
{
    size_t i;
    s3_ref_t ref;

    touch(r->key);
    touch(r->refs);
    touch(r->meta);
    touch(r->data);
    need(r->key.len <= S3_MAX_KEY && r->entry.extra_len <= S3_MAX_EXTRA);
    need(s3_record_size(r) == r->entry.length);

    for (i = 0; i + S3_REF_SIZE <= r->refs.len; i += S3_REF_SIZE) {
        if (s3_ref_decode(r->refs.data + i, &ref) == S3_OK) {
            need(ref.k > 0);
        }
    }
}


/* Makes what lies at p a record as far as asked for; its length. */

static size_t
repair(uint8_t *p, size_t len, unsigned what)
{
    size_t size;
    XXH128_hash_t h;

    if (len < S3_RECORD_HEADER) {
        return 0;
    }

    size = s3_get32(p + 20) & 0x1fff & ~7u;
    size = s3_max(size, (size_t) S3_RECORD_HEADER);
    size = s3_min(size, len & ~(size_t) 7);

    if (what & FIX_CHECK) {
        memcpy(p + 16, "s3rc", 4);
        s3_put32(p + 20, (uint32_t) size);
        s3_put32(p + 76, (uint32_t) XXH3_64bits_withSeed(p + 16, 60, NONCE));
    }

    if (what & FIX_HASH) {
        h = XXH3_128bits_withSeed(p + 16, size - 16, NONCE);
        s3_put64(p, h.low64);
        s3_put64(p + 8, h.high64);
    }

    return size;
}


static int
image_open(s3_fs_t *fs, const char *path, unsigned flags, s3_file_t **f)
{
    (void) path;
    (void) flags;
    *f = (s3_file_t *) fs;

    return S3_OK;
}


static void
image_close(s3_fs_t *fs, s3_file_t *f)
{
    (void) fs;
    (void) f;
}


static ssize_t
image_pread(s3_fs_t *fs, s3_file_t *f, void *buf, size_t len, uint64_t off)
{
    image_t *im = fs->impl;

    (void) f;

    if (off >= im->len) {
        return 0;
    }

    len = s3_min(len, im->len - (size_t) off);
    memcpy(buf, im->data + off, len);

    return (ssize_t) len;
}


static int
image_size(s3_fs_t *fs, s3_file_t *f, uint64_t *size)
{
    image_t *im = fs->impl;

    (void) f;
    *size = im->len;

    return S3_OK;
}


static int
on_record(void *ctx, const s3_record_t *r)
{
    unsigned *n = ctx;

    use(r);
    need(r->entry.offset + r->entry.length <= SIZE - S3_SECTOR);
    ++*n;

    return 0;
}


static void
fuzz_segment(const uint8_t *data, size_t size, unsigned what)
{
    size_t n, off, end, step;
    unsigned found = 0;
    uint8_t *p;
    image_t im;
    s3_segment_t seg = {.id = 1, .size = SIZE, .nonce = NONCE};
    s3_scan_result_t result;

    p = calloc(1, SIZE);
    need(p != NULL);

    size = s3_min(size, (size_t) SIZE - 2 * S3_SECTOR);
    memcpy(p + S3_SECTOR, data, size);

    for (n = S3_SECTOR; n < SIZE - S3_SECTOR && what & FIX_BATCH;
         n += s3_max(end, (size_t) S3_SECTOR))
    {
        end = s3_get32(p + n + 24) & 0xf000;
        s3_put32(p + n + 8, 0x62613373);
        s3_put32(p + n + 12, seg.id);
        s3_put32(p + n + 24, (uint32_t) end);
        s3_put32(p + n + 32, (uint32_t) n);

        for (off = n + S3_BATCH_HEADER; off < n + end && off < SIZE;
             off += step) {
            step = repair(p + off, s3_min(n + end, (size_t) SIZE) - off, what);
            step = s3_max(step, (size_t) 8);
        }

        s3_put64(p + n, XXH3_64bits_withSeed(p + n + 8, 56, NONCE));
    }

    s3_segment_header_encode(p, &seg);

    memset(&im, 0, sizeof(im));
    im.fs.open = image_open;
    im.fs.close = image_close;
    im.fs.pread = image_pread;
    im.fs.size = image_size;
    im.fs.impl = &im;
    im.data = p;
    im.len = SIZE;

    need(s3_segment_scan(&im.fs, 1, 0, on_record, &found, &result) == S3_OK);
    need(result.records == found && result.end <= SIZE - S3_SECTOR);

    /* a shorter file, and bytes as they come */
    im.len = SIZE / 2;
    (void) s3_segment_scan(&im.fs, 1, 0, on_record, &found, &result);
    im.data = data;
    im.len = size;
    (void) s3_segment_scan(&im.fs, 1, 0, on_record, &found, &result);

    free(p);
}


static void
fuzz_record(const uint8_t *data, size_t size, unsigned what)
{
    size_t payload;
    uint8_t *p, id[16] = {0};
    s3_entry_t e;
    s3_record_t r;
    s3_segment_t seg;
    s3_blob_unit_t unit;

    p = malloc(size + 1);
    need(p != NULL);
    memcpy(p, data, size);

    if (s3_entry_decode(p, size, &e) > 0) {
        need(e.extra_len <= S3_MAX_EXTRA);
    }

    (void) s3_blob_unit_decode(p, size, &unit);
    (void) s3_blob_unit_check(p, size, id, 0, 0, &payload);

    if (size >= S3_SECTOR) {
        (void) s3_segment_header_decode(p, &seg);
    }

    (void) repair(p, size, what);

    if (s3_record_decode(p, size, NONCE, &r) == S3_OK) {
        use(&r);
    }

    if (size >= S3_BLOB_HEADER && what & FIX_HASH) {
        memcpy(p + 8, "s3bl", 4);
        payload = s3_min(s3_get32(p + 36), (uint32_t) S3_BLOB_PAYLOAD);
        payload = s3_min(payload, size - S3_BLOB_HEADER);
        s3_put64(p, XXH3_64bits(p + 8, S3_BLOB_HEADER - 8 + payload));

        if (s3_blob_unit_decode(p, size, &unit) == S3_OK) {
            need(unit.length == payload);
        }
    }

    free(p);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) {
        return 0;
    }

    fuzz_record(data + 1, size - 1, data[0]);
    fuzz_segment(data + 1, size - 1, data[0]);

    return 0;
}
