#include "s3_md5x.h"

#include "s3_md5x_steps.h"

#pragma GCC visibility push(hidden)


/* The state of all lanes: word by word, as the registers have it. */

typedef struct {
    uint32_t word[4][S3_MD5X_LANES];
} s3_md5x_state_t;


static void
s3_md5x_blocks(uint32_t state[4], const uint8_t *p, size_t blocks)
{
    uint32_t a, b, c, d, before[4];

    a = state[0];
    b = state[1];
    c = state[2];
    d = state[3];

    for (; blocks; blocks--, p += S3_MD5X_BLOCK) {
        before[0] = a;
        before[1] = b;
        before[2] = c;
        before[3] = d;

#define S3_MD5X_WORD(i) s3_get32(p + 4 * (i))
        S3_MD5X_STEPS(S3_MD5X_WORD);
#undef S3_MD5X_WORD

        a += before[0];
        b += before[1];
        c += before[2];
        d += before[3];
    }

    state[0] = a;
    state[1] = b;
    state[2] = c;
    state[3] = d;
}


/* Vectors are loaded as they lie: only where words lie as RFC 1321 has them. */

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define S3_MD5X_SIMD 1

#define S3_MD5X_W 4
#define S3_MD5X_NAME(x) s3_md5x_4_##x
#define S3_MD5X_TARGET
#include "s3_md5x_lanes.h"

#if defined(__x86_64__)

#define S3_MD5X_W 8
#define S3_MD5X_NAME(x) s3_md5x_8_##x
#define S3_MD5X_TARGET __attribute__((target("avx2")))
#include "s3_md5x_lanes.h"

#define S3_MD5X_W 16
#define S3_MD5X_NAME(x) s3_md5x_16_##x
#define S3_MD5X_TARGET __attribute__((target("avx512f")))
#include "s3_md5x_lanes.h"

#endif
#endif


/* The lanes there are, at most so many. */

static unsigned
s3_md5x_limit(unsigned lanes)
{
#ifdef S3_MD5X_SIMD
#if defined(__x86_64__)
    if (lanes >= 16 && __builtin_cpu_supports("avx512f")) {
        return 16;
    }

    if (lanes >= 8 && __builtin_cpu_supports("avx2")) {
        return 8;
    }
#endif

    if (lanes >= 4) {
        return 4;
    }
#endif

    return 1;
}


unsigned
s3_md5x_lanes(void)
{
    return s3_md5x_limit(S3_MD5X_LANES);
}


void
s3_md5x_init(s3_md5x_t *c)
{
    c->state[0] = 0x67452301u;
    c->state[1] = 0xefcdab89u;
    c->state[2] = 0x98badcfeu;
    c->state[3] = 0x10325476u;
    c->len = 0;
}


/*
 * What of data does not go by whole blocks: completes the block that was begun
 * before, and keeps what will be left.  Returns the blocks in between.
 */

static s3_str_t
s3_md5x_edges(s3_md5x_t *c, s3_str_t data)
{
    size_t fill, n;

    fill = c->len % S3_MD5X_BLOCK;
    c->len += data.len;

    if (fill && data.len) {
        n = s3_min(data.len, S3_MD5X_BLOCK - fill);
        memcpy(c->tail + fill, data.data, n);
        data.data += n;
        data.len -= n;

        if (fill + n < S3_MD5X_BLOCK) {
            return data;
        }

        s3_md5x_blocks(c->state, c->tail, 1);
    }

    n = data.len % S3_MD5X_BLOCK;
    data.len -= n;

    if (n) {
        memcpy(c->tail, data.data + data.len, n);
    }

    return data;
}


void
s3_md5x_update(s3_md5x_t *c, s3_str_t data)
{
    data = s3_md5x_edges(c, data);

    s3_md5x_blocks(c->state, data.data, data.len / S3_MD5X_BLOCK);
}


void
s3_md5x_final(s3_md5x_t *c, uint8_t out[S3_MD5X_LEN])
{
    int i;
    size_t fill;

    fill = c->len % S3_MD5X_BLOCK;
    c->tail[fill++] = 0x80;

    if (fill > S3_MD5X_BLOCK - 8) {
        memset(c->tail + fill, 0, S3_MD5X_BLOCK - fill);
        s3_md5x_blocks(c->state, c->tail, 1);
        fill = 0;
    }

    memset(c->tail + fill, 0, S3_MD5X_BLOCK - 8 - fill);
    s3_put64(c->tail + S3_MD5X_BLOCK - 8, c->len * 8);
    s3_md5x_blocks(c->state, c->tail, 1);

    for (i = 0; i < 4; i++) {
        s3_put32(out + 4 * i, c->state[i]);
    }
}


/* The state of a lane, from and to its context. */

static void
s3_md5x_enter(s3_md5x_state_t *s, unsigned lane, const uint32_t state[4])
{
    int i;

    for (i = 0; i < 4; i++) {
        s->word[i][lane] = state[i];
    }
}


static void
s3_md5x_leave(const s3_md5x_state_t *s, unsigned lane, uint32_t state[4])
{
    int i;

    for (i = 0; i < 4; i++) {
        state[i] = s->word[i][lane];
    }
}


/* The stream's next piece with a whole block into rest; 0: it has none. */

static int
s3_md5x_piece(s3_md5x_job_t *job, s3_str_t *rest)
{
    while (job->n) {
        job->n--;
        *rest = s3_md5x_edges(job->ctx, *job->data++);

        if (rest->len) {
            return 1;
        }
    }

    return 0;
}


/*
 * As many blocks of each busy lane, in the narrowest registers with room for
 * all: wider ones take longer.  The lanes left over go along with the data of
 * the first, and what comes out of them is nobody's.
 */

static void
s3_md5x_pass(s3_md5x_state_t *s, const uint8_t **data, unsigned busy,
             size_t blocks)
{
    uint32_t one[4];

#ifdef S3_MD5X_SIMD
    unsigned i;

    for (i = busy; i < S3_MD5X_LANES; i++) {
        data[i] = data[0];
    }

#if defined(__x86_64__)
    if (busy > 8) {
        s3_md5x_16_run(s, data, blocks);
        return;
    }

    if (busy > 4) {
        s3_md5x_8_run(s, data, blocks);
        return;
    }
#endif

    if (busy > 1) {
        s3_md5x_4_run(s, data, blocks);
        return;
    }
#else
    (void) busy;
#endif

    s3_md5x_leave(s, 0, one);
    s3_md5x_blocks(one, data[0], blocks);
    s3_md5x_enter(s, 0, one);
}


/* Busy lanes are always the first ones. */

void
s3_md5x_update_lanes(const s3_md5x_job_t *jobs, unsigned n, unsigned lanes)
{
    size_t blocks;
    unsigned i, busy;
    s3_str_t rest[S3_MD5X_LANES];
    s3_md5x_job_t job[S3_MD5X_LANES];
    s3_md5x_state_t state;
    const uint8_t *data[S3_MD5X_LANES];

    lanes = s3_md5x_limit(lanes);
    memset(&state, 0, sizeof(state));
    busy = 0;

    for (;;) {
        while (busy < lanes && n) {
            job[busy] = *jobs++;
            n--;

            if (s3_md5x_piece(&job[busy], &rest[busy])) {
                s3_md5x_enter(&state, busy, job[busy].ctx->state);
                busy++;
            }
        }

        if (busy == 0) {
            return;
        }

        blocks = SIZE_MAX;

        for (i = 0; i < busy; i++) {
            data[i] = rest[i].data;
            blocks = s3_min(blocks, rest[i].len / S3_MD5X_BLOCK);
        }

        s3_md5x_pass(&state, data, busy, blocks);

        for (i = busy; i--;) {
            rest[i].data += blocks * S3_MD5X_BLOCK;
            rest[i].len -= blocks * S3_MD5X_BLOCK;

            if (rest[i].len) {
                continue;
            }

            s3_md5x_leave(&state, i, job[i].ctx->state);

            if (!s3_md5x_piece(&job[i], &rest[i])) {
                /* the last of the busy ones takes its place */

                if (i == --busy) {
                    continue;
                }

                s3_md5x_leave(&state, busy, job[busy].ctx->state);
                job[i] = job[busy];
                rest[i] = rest[busy];
            }

            s3_md5x_enter(&state, i, job[i].ctx->state);
        }
    }
}


void
s3_md5x_update_many(const s3_md5x_job_t *jobs, unsigned n)
{
    s3_md5x_update_lanes(jobs, n, S3_MD5X_LANES);
}

#pragma GCC visibility pop
