/*
 * Types that every pure room shares: slices, error codes, versions.
 *
 * storage/ and ngx_s3_module/protocol/ know neither nginx nor the operating
 * system: what they need of the world (files, time, randomness, threads)
 * reaches them through the tables in s3_io.h.  That is what lets the very
 * same code run inside nginx, in unit tests, under a fuzzer and in the
 * simulator.
 */

#ifndef S3_CORE_H
#define S3_CORE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

#include "storage/s3_break.h"

#pragma GCC visibility push(hidden)


/*
 * Results.  Zero or positive is success; a function that yields a length
 * yields it as a positive number.  s3_strerror() gives a word for the log;
 * protocol/s3_error.h maps them to S3 error codes.
 */

#define S3_OK 0
#define S3_AGAIN (-1)      /* not now: waits for I/O, a reply, or more input */
#define S3_DONE (-2)       /* nothing more to come */
#define S3_EINVAL (-3)     /* malformed or out of bounds */
#define S3_ENOMEM (-4)     /* allocation failed, or a table is full */
#define S3_EIO (-5)        /* the drive failed the operation */
#define S3_ECORRUPT (-6)   /* a checksum or a structure does not hold */
#define S3_ENOENT (-7)     /* no such file, key, version */
#define S3_EEXIST (-8)     /* is there already */
#define S3_ENOSPC (-9)     /* the drive is full */
#define S3_EPRECOND (-10)  /* the condition of a write is false */
#define S3_ECONFLICT (-11) /* lost every race; nothing was written */
#define S3_EUNAVAIL (-12)  /* too few drives; nothing was written */
#define S3_EDOUBT (-13)    /* outcome unknown: may take effect later */
#define S3_ESTALE (-14)    /* bucket closed, or an old epoch */
#define S3_ECLOCK (-15)    /* the sender's clock is too far ahead */
#define S3_EVERSION (-16)  /* written by a newer format version */
#define S3_EFOREIGN (-17)  /* belongs to another store, drive or instance */
#define S3_EROFS (-18)     /* the drive is read-only */
#define S3_EBUSY (-19)     /* in use by somebody else */

const char *s3_strerror(int rc);


/* A slice of bytes that somebody else owns; never NUL-terminated. */

typedef struct {
    size_t len;
    const uint8_t *data;
} s3_str_t;

#define s3_string(lit) ((s3_str_t){sizeof(lit) - 1, (const uint8_t *) (lit)})
#define s3_null_str ((s3_str_t){0, NULL})

static inline s3_str_t
s3_str(const void *data, size_t len)
{
    return (s3_str_t){len, (const uint8_t *) data};
}

static inline int
s3_str_eq(s3_str_t a, s3_str_t b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/* The case of ASCII letters ignored. */

static inline uint8_t
s3_lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

static inline int
s3_str_caseeq(s3_str_t a, s3_str_t b)
{
    size_t i;

    if (a.len != b.len) {
        return 0;
    }

    if (s3_str_eq(a, b)) {
        return 1;
    }

    for (i = 0; i < a.len; i++) {
        if (a.data[i] != b.data[i]
            && s3_lower(a.data[i]) != s3_lower(b.data[i])) {
            return 0;
        }
    }

    return 1;
}

/* Byte order, the shorter first where one is a prefix: S3's key order. */

static inline int
s3_str_cmp(s3_str_t a, s3_str_t b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int rc = n ? memcmp(a.data, b.data, n) : 0;

    return rc ? rc : (a.len > b.len) - (a.len < b.len);
}


#define s3_min(a, b) ((a) < (b) ? (a) : (b))
#define s3_max(a, b) ((a) > (b) ? (a) : (b))
#define s3_align(n, a) (((n) + ((a) -1)) & ~((__typeof__(n)) (a) -1))
#define s3_container(p, type, member) \
    ((type *) ((char *) (p) -offsetof(type, member)))


/*
 * A version orders the writes of one key.  Hybrid logical time in
 * microseconds, then the node that drew it, then random bits drawn for every
 * attempt, so that a clock set back can never make one version twice.
 * Compared as a tuple, by this function alone.  All zero: "nothing was ever
 * written".
 */

typedef struct {
    uint64_t time;
    uint64_t rand;
    uint32_t node;
} s3_version_t;

#define s3_version_none ((s3_version_t){0, 0, 0})
#define s3_version_last ((s3_version_t){UINT64_MAX, UINT64_MAX, UINT32_MAX})

static inline int
s3_version_cmp(const s3_version_t *a, const s3_version_t *b)
{
    if (a->time != b->time) {
        return a->time < b->time ? -1 : 1;
    }

    if (a->node != b->node) {
        return a->node < b->node ? -1 : 1;
    }

    return (a->rand > b->rand) - (a->rand < b->rand);
}

static inline int
s3_version_is_none(const s3_version_t *v)
{
    return (v->time | v->rand | v->node) == 0;
}


/* Little-endian fields of everything that is stored. */

static inline void
s3_put16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t) v;
    p[1] = (uint8_t) (v >> 8);
}

static inline void
s3_put32(uint8_t *p, uint32_t v)
{
    s3_put16(p, (uint16_t) v);
    s3_put16(p + 2, (uint16_t) (v >> 16));
}

static inline void
s3_put64(uint8_t *p, uint64_t v)
{
    s3_put32(p, (uint32_t) v);
    s3_put32(p + 4, (uint32_t) (v >> 32));
}

static inline uint16_t
s3_get16(const uint8_t *p)
{
    return (uint16_t) (p[0] | p[1] << 8);
}

static inline uint32_t
s3_get32(const uint8_t *p)
{
    return s3_get16(p) | (uint32_t) s3_get16(p + 2) << 16;
}

static inline uint64_t
s3_get64(const uint8_t *p)
{
    return s3_get32(p) | (uint64_t) s3_get32(p + 4) << 32;
}

/* A version is 20 bytes wherever it is stored: time, rand, node. */

#define S3_VERSION_SIZE 20

static inline void
s3_put_version(uint8_t *p, const s3_version_t *v)
{
    s3_put64(p, v->time);
    s3_put64(p + 8, v->rand);
    s3_put32(p + 16, v->node);
}

static inline s3_version_t
s3_get_version(const uint8_t *p)
{
    return (s3_version_t){s3_get64(p), s3_get64(p + 8), s3_get32(p + 16)};
}

#pragma GCC visibility pop

#endif /* S3_CORE_H */
