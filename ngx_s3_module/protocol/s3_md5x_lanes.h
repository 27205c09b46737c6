/*
 * One pass of MD5 over the lanes of one kind of register; included by
 * s3_md5x.c for each, with
 *
 *   S3_MD5X_W         lanes: 4, 8 or 16
 *   S3_MD5X_NAME(x)   x with a suffix of its own
 *   S3_MD5X_TARGET    attribute for the instructions, or nothing
 *
 * A block is loaded a register at a time and transposed: first 4 by 4 words
 * within each 128 bits, for every four lanes, then the 128-bit parts.
 */

typedef uint32_t S3_MD5X_NAME(v) __attribute__((vector_size(4 * S3_MD5X_W)));

/* in memory, with no alignment */

typedef uint32_t S3_MD5X_NAME(u)
    __attribute__((vector_size(4 * S3_MD5X_W), aligned(1), may_alias));


#define S3_MD5X_V S3_MD5X_NAME(v)
#define S3_MD5X_SHUFFLE(...) ((S3_MD5X_V) __builtin_shufflevector(__VA_ARGS__))

#if S3_MD5X_W == 4

#define S3_MD5X_LO32(x, y) S3_MD5X_SHUFFLE(x, y, 0, 4, 1, 5)
#define S3_MD5X_HI32(x, y) S3_MD5X_SHUFFLE(x, y, 2, 6, 3, 7)
#define S3_MD5X_LO64(x, y) S3_MD5X_SHUFFLE(x, y, 0, 1, 4, 5)
#define S3_MD5X_HI64(x, y) S3_MD5X_SHUFFLE(x, y, 2, 3, 6, 7)

#elif S3_MD5X_W == 8

#define S3_MD5X_LO32(x, y) S3_MD5X_SHUFFLE(x, y, 0, 8, 1, 9, 4, 12, 5, 13)
#define S3_MD5X_HI32(x, y) S3_MD5X_SHUFFLE(x, y, 2, 10, 3, 11, 6, 14, 7, 15)
#define S3_MD5X_LO64(x, y) S3_MD5X_SHUFFLE(x, y, 0, 1, 8, 9, 4, 5, 12, 13)
#define S3_MD5X_HI64(x, y) S3_MD5X_SHUFFLE(x, y, 2, 3, 10, 11, 6, 7, 14, 15)
#define S3_MD5X_EVEN(x, y) S3_MD5X_SHUFFLE(x, y, 0, 1, 2, 3, 8, 9, 10, 11)
#define S3_MD5X_ODD(x, y) S3_MD5X_SHUFFLE(x, y, 4, 5, 6, 7, 12, 13, 14, 15)

#else

#define S3_MD5X_LO32(x, y)                                                  \
    S3_MD5X_SHUFFLE(x, y, 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, \
                    13, 29)
#define S3_MD5X_HI32(x, y)                                                    \
    S3_MD5X_SHUFFLE(x, y, 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, \
                    15, 31)
#define S3_MD5X_LO64(x, y)                                                  \
    S3_MD5X_SHUFFLE(x, y, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, \
                    28, 29)
#define S3_MD5X_HI64(x, y)                                                    \
    S3_MD5X_SHUFFLE(x, y, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, \
                    30, 31)
#define S3_MD5X_EVEN(x, y)                                                  \
    S3_MD5X_SHUFFLE(x, y, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, \
                    26, 27)
#define S3_MD5X_ODD(x, y)                                                     \
    S3_MD5X_SHUFFLE(x, y, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, \
                    30, 31)

#endif


/* Words of the part of a block at off, as many as lanes, into m[]. */

S3_MD5X_TARGET static inline void
S3_MD5X_NAME(load)(S3_MD5X_V *m, const uint8_t *const *data, size_t off)
{
    int g, i;
    S3_MD5X_V r[4], t[4], c[S3_MD5X_W];

    for (g = 0; g < S3_MD5X_W; g += 4) {
        for (i = 0; i < 4; i++) {
            r[i] = *(const S3_MD5X_NAME(u) *) (data[g + i] + off);
        }

        t[0] = S3_MD5X_LO32(r[0], r[1]);
        t[1] = S3_MD5X_HI32(r[0], r[1]);
        t[2] = S3_MD5X_LO32(r[2], r[3]);
        t[3] = S3_MD5X_HI32(r[2], r[3]);

        c[g] = S3_MD5X_LO64(t[0], t[2]);
        c[g + 1] = S3_MD5X_HI64(t[0], t[2]);
        c[g + 2] = S3_MD5X_LO64(t[1], t[3]);
        c[g + 3] = S3_MD5X_HI64(t[1], t[3]);
    }

    for (i = 0; i < 4; i++) {
#if S3_MD5X_W == 4
        m[i] = c[i];

#elif S3_MD5X_W == 8
        m[i] = S3_MD5X_EVEN(c[i], c[4 + i]);
        m[4 + i] = S3_MD5X_ODD(c[i], c[4 + i]);

#else
        t[0] = S3_MD5X_EVEN(c[i], c[4 + i]);
        t[1] = S3_MD5X_EVEN(c[8 + i], c[12 + i]);
        t[2] = S3_MD5X_ODD(c[i], c[4 + i]);
        t[3] = S3_MD5X_ODD(c[8 + i], c[12 + i]);

        m[i] = S3_MD5X_EVEN(t[0], t[1]);
        m[4 + i] = S3_MD5X_EVEN(t[2], t[3]);
        m[8 + i] = S3_MD5X_ODD(t[0], t[1]);
        m[12 + i] = S3_MD5X_ODD(t[2], t[3]);
#endif
    }
}


/* As many whole blocks of each lane. */

S3_MD5X_TARGET static void
S3_MD5X_NAME(run)(s3_md5x_state_t *s, const uint8_t *const *data, size_t blocks)
{
    int i;
    size_t off;
    S3_MD5X_V a, b, c, d, before[4], m[16];

    a = *(const S3_MD5X_NAME(u) *) s->word[0];
    b = *(const S3_MD5X_NAME(u) *) s->word[1];
    c = *(const S3_MD5X_NAME(u) *) s->word[2];
    d = *(const S3_MD5X_NAME(u) *) s->word[3];

    for (off = 0; blocks; blocks--, off += S3_MD5X_BLOCK) {
        for (i = 0; i < 16; i += S3_MD5X_W) {
            S3_MD5X_NAME(load)(m + i, data, off + 4 * (size_t) i);
        }

        before[0] = a;
        before[1] = b;
        before[2] = c;
        before[3] = d;

#define S3_MD5X_WORD(i) m[i]
        S3_MD5X_STEPS(S3_MD5X_WORD);
#undef S3_MD5X_WORD

        a += before[0];
        b += before[1];
        c += before[2];
        d += before[3];
    }

    *(S3_MD5X_NAME(u) *) s->word[0] = a;
    *(S3_MD5X_NAME(u) *) s->word[1] = b;
    *(S3_MD5X_NAME(u) *) s->word[2] = c;
    *(S3_MD5X_NAME(u) *) s->word[3] = d;
}


#undef S3_MD5X_V
#undef S3_MD5X_SHUFFLE
#undef S3_MD5X_LO32
#undef S3_MD5X_HI32
#undef S3_MD5X_LO64
#undef S3_MD5X_HI64
#undef S3_MD5X_EVEN
#undef S3_MD5X_ODD
#undef S3_MD5X_W
#undef S3_MD5X_NAME
#undef S3_MD5X_TARGET
