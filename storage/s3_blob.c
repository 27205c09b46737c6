/*
 * Units and names of blobs; s3_blob.h has the layout.
 */

#include <inttypes.h>
#include <stdio.h>

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

#define XXH_STATIC_LINKING_ONLY /* for a state that is not allocated */
#include "storage/s3_xxh3.h"

#include "storage/s3_blob.h"

#pragma GCC visibility push(hidden)


#define S3_BLOB_MAGIC 0x6c623373 /* "s3bl" */
#define S3_BLOB_VERSION 1


/* All of the header but the hash, and the rest of the last sector. */

static size_t
s3_blob_unit_frame(uint8_t *buf, const s3_blob_unit_t *unit)
{
    size_t len, size;

    len = S3_BLOB_HEADER + (size_t) unit->length;
    size = s3_blob_unit_size(unit->length);

    memset(buf, 0, S3_BLOB_HEADER);
    memset(buf + len, 0, size - len);

    s3_put32(buf + 8, S3_BLOB_MAGIC);
    buf[12] = S3_BLOB_VERSION;
    buf[13] = unit->shard;
    buf[14] = unit->k;
    buf[15] = unit->n;
    memcpy(buf + 16, unit->id, 16);
    s3_put32(buf + 32, unit->block);
    s3_put32(buf + 36, unit->length);
    buf[40] = unit->last;

    return size;
}


size_t
s3_blob_unit_seal(uint8_t *buf, const s3_blob_unit_t *unit)
{
    size_t size;

    size = s3_blob_unit_frame(buf, unit);

    s3_put64(buf,
             XXH3_64bits(buf + 8, S3_BLOB_HEADER - 8 + (size_t) unit->length));

    return size;
}


/* To memory that is not read again: it need not come into the cache. */

static void
s3_blob_store(uint8_t *to, const uint8_t *from, size_t n)
{
    size_t i = 0;

#if defined(__x86_64__)

    const __m128i *in;

    for (/* void */; n - i >= 64; i += 64) {
        in = (const __m128i *) (const void *) (from + i);

        _mm_stream_si128((__m128i *) (void *) (to + i), _mm_load_si128(in));
        _mm_stream_si128((__m128i *) (void *) (to + i + 16),
                         _mm_load_si128(in + 1));
        _mm_stream_si128((__m128i *) (void *) (to + i + 32),
                         _mm_load_si128(in + 2));
        _mm_stream_si128((__m128i *) (void *) (to + i + 48),
                         _mm_load_si128(in + 3));
    }

#endif

    memcpy(to + i, from + i, n - i);
}


/*
 * Block by block, so that what is coded and hashed is read from memory once,
 * and what is computed goes there directly.
 */

int
s3_blob_stripe_seal(s3_code_t *code, uint8_t **bufs, const s3_blob_unit_t *unit,
                    uint8_t *scratch)
{
    int rc;
    size_t at, len, left;
    unsigned i;
    uint8_t *rows[S3_CODE_MAX];
    s3_blob_unit_t head;
    XXH3_state_t state[S3_CODE_MAX];

    head = *unit;

    for (i = 0; i < unit->n; i++) {
        head.shard = (uint8_t) i;
        (void) s3_blob_unit_frame(bufs[i], &head);

        (void) XXH3_64bits_reset(&state[i]);
        (void) XXH3_64bits_update(&state[i], bufs[i] + 8, S3_BLOB_HEADER - 8);

        if (i >= unit->k) {
            rows[i] = scratch + (i - unit->k) * S3_BLOB_BLOCK;
        }
    }

    at = S3_BLOB_HEADER;

    for (left = unit->length; left; left -= len, at += len) {
        len = s3_min(left, S3_BLOB_BLOCK);

        for (i = 0; i < unit->k; i++) {
            rows[i] = bufs[i] + at;
        }

        rc = s3_code_encode(code, unit->k, unit->n - unit->k, len, rows);
        if (rc != S3_OK) {
            return rc;
        }

        for (i = 0; i < unit->n; i++) {
            (void) XXH3_64bits_update(&state[i], rows[i], len);

            if (i >= unit->k) {
                s3_blob_store(bufs[i] + at, rows[i], len);
            }
        }
    }

#if defined(__x86_64__)
    _mm_sfence();
#endif

    for (i = 0; i < unit->n; i++) {
        s3_put64(bufs[i], XXH3_64bits_digest(&state[i]));
    }

    return S3_OK;
}


int
s3_blob_unit_decode(const uint8_t *buf, size_t len, s3_blob_unit_t *unit)
{
    if (len < S3_BLOB_HEADER || s3_get32(buf + 8) != S3_BLOB_MAGIC) {
        return S3_ECORRUPT;
    }

    unit->length = s3_get32(buf + 36);

    if (unit->length > S3_BLOB_PAYLOAD || unit->length > len - S3_BLOB_HEADER
        || (s3_get64(buf)
                != XXH3_64bits(buf + 8, S3_BLOB_HEADER - 8 + unit->length)
            && !s3_break(NO_UNIT_SUM)))
    {
        return S3_ECORRUPT;
    }

    if (buf[12] != S3_BLOB_VERSION) {
        return S3_EVERSION;
    }

    unit->shard = buf[13];
    unit->k = buf[14];
    unit->n = buf[15];
    memcpy(unit->id, buf + 16, 16);
    unit->block = s3_get32(buf + 32);
    unit->last = buf[40];

    return S3_OK;
}


int
s3_blob_unit_check(const uint8_t *buf, size_t len, const uint8_t *id,
                   unsigned shard, uint32_t block, size_t *payload)
{
    int rc;
    s3_blob_unit_t unit;

    rc = s3_blob_unit_decode(buf, len, &unit);
    if (rc != S3_OK) {
        return rc;
    }

    if (memcmp(unit.id, id, 16) != 0 || unit.shard != shard
        || unit.block != block) {
        return S3_ECORRUPT;
    }

    *payload = unit.length;

    return S3_OK;
}


static char *
s3_blob_hex(char *p, const uint8_t *id, size_t n)
{
    static const char hex[] = "0123456789abcdef";

    for (/* void */; n; n--, id++) {
        *p++ = hex[*id >> 4];
        *p++ = hex[*id & 15];
    }

    *p = '\0';

    return p;
}


void
s3_blob_path(char path[S3_BLOB_PATH], const uint8_t id[16])
{
    char *p = path;

    memcpy(p, "blob/", 5);
    p = s3_blob_hex(p + 5, id, 1);
    *p++ = '/';
    s3_blob_hex(p, id, 16);
}


/* n bytes of lower-case hex digits; what follows them, or NULL. */

static const char *
s3_blob_unhex(const char *p, uint8_t *out, size_t n)
{
    size_t i;
    unsigned v;

    for (i = 0; i < 2 * n; i++, p++) {
        if (*p >= '0' && *p <= '9') {
            v = (unsigned) (*p - '0');

        } else if (*p >= 'a' && *p <= 'f') {
            v = (unsigned) (*p - 'a' + 10);

        } else {
            return NULL;
        }

        out[i / 2] = (uint8_t) (i % 2 ? out[i / 2] | v : v << 4);
    }

    return p;
}


int
s3_blob_parse_name(const char *name, uint8_t id[16])
{
    name = s3_blob_unhex(name, id, 16);

    return name && *name == '\0' ? S3_OK : S3_EINVAL;
}


void
s3_blob_tmp_path(char path[S3_BLOB_TMP_PATH], const s3_blob_tmp_t *tmp)
{
    char *p = path;

    memcpy(p, "tmp/", 4);
    p = s3_blob_hex(p + 4, tmp->id, 16);
    *p++ = '.';
    p = s3_blob_hex(p, tmp->nonce, 8);
    snprintf(p, (size_t) (path + S3_BLOB_TMP_PATH - p), ".%02x%08" PRIx32,
             tmp->slot, tmp->incarnation);
}


int
s3_blob_tmp_parse(const char *name, s3_blob_tmp_t *tmp)
{
    uint8_t writer[5];

    name = s3_blob_unhex(name, tmp->id, 16);

    if (name && *name++ == '.') {
        name = s3_blob_unhex(name, tmp->nonce, 8);

    } else {
        return S3_EINVAL;
    }

    if (name && *name++ == '.') {
        name = s3_blob_unhex(name, writer, 5);

    } else {
        return S3_EINVAL;
    }

    if (name == NULL || *name != '\0') {
        return S3_EINVAL;
    }

    tmp->slot = writer[0];
    tmp->incarnation = (uint32_t) writer[1] << 24 | (uint32_t) writer[2] << 16
                       | (uint32_t) writer[3] << 8 | writer[4];

    return S3_OK;
}


static int
s3_blob_clean_one(void *ctx, const char *name)
{
    char path[280];
    int rc, n;
    s3_fs_t *fs = ctx;

    n = snprintf(path, sizeof(path), "tmp/%s", name);
    if (n < 0 || (size_t) n >= sizeof(path)) {
        return S3_EINVAL;
    }

    rc = fs->unlink(fs, path);

    return rc == S3_ENOENT ? S3_OK : rc;
}


int
s3_blob_clean_tmp(s3_fs_t *fs)
{
    return fs->list(fs, "tmp", s3_blob_clean_one, fs);
}


typedef struct {
    s3_fs_t *fs;
    int (*gone)(void *ctx, unsigned slot, uint32_t incarnation);
    void *ctx;
    unsigned removed;
    int rc; /* of the first that can't be removed */
} s3_blob_clean_t;


static int
s3_blob_clean_name(void *ctx, const char *name)
{
    int rc;
    s3_blob_tmp_t tmp;
    s3_blob_clean_t *c = ctx;

    if (s3_blob_tmp_parse(name, &tmp) != S3_OK) {
        return S3_OK;
    }

    rc = c->gone(c->ctx, tmp.slot, tmp.incarnation);
    if (rc <= 0) {
        return rc;
    }

    rc = s3_blob_clean_one(c->fs, name);

    if (rc == S3_OK) {
        c->removed++;

    } else if (c->rc == S3_OK) {
        c->rc = rc;
    }

    return S3_OK;
}


int
s3_blob_clean_gone(s3_fs_t *fs,
                   int (*gone)(void *ctx, unsigned slot, uint32_t incarnation),
                   void *ctx, unsigned *removed)
{
    int rc;
    s3_blob_clean_t c = {fs, gone, ctx, 0, S3_OK};

    rc = fs->list(fs, "tmp", s3_blob_clean_name, &c);
    *removed = c.removed;

    return rc == S3_OK ? c.rc : rc;
}

#pragma GCC visibility pop
