/*
 * The 64 steps of MD5, RFC 1321 section 3.4, over any type that has +, &, |,
 * ^, ~ and shifts: uint32_t, or a vector of them.  S3_MD5X_STEPS(word) uses
 * and changes the variables a, b, c, d; word(i) is word i of the block.
 *
 * For s3_md5x.c and s3_md5x_lanes.h alone.
 */

#ifndef S3_MD5X_STEPS_H
#define S3_MD5X_STEPS_H


#define S3_MD5X_ROTATE(x, s) (((x) << (s)) | ((x) >> (32 - (s))))

#define S3_MD5X_STEP(a, b, x, s, k, f) \
    a += (x) + (k);                    \
    a += (f);                          \
    a = S3_MD5X_ROTATE(a, s) + b

#define S3_MD5X_FF(a, b, c, d, x, s, k) \
    S3_MD5X_STEP(a, b, x, s, k, ((c ^ d) & b) ^ d)

/* Its terms have no bit in common: they add up, and the one without b, which
 * is known last, is early. */

#define S3_MD5X_GG(a, b, c, d, x, s, k) \
    a += (c & ~d);                      \
    S3_MD5X_STEP(a, b, x, s, k, (b & d))

#define S3_MD5X_HH(a, b, c, d, x, s, k) S3_MD5X_STEP(a, b, x, s, k, b ^ (c ^ d))

#define S3_MD5X_II(a, b, c, d, x, s, k) \
    S3_MD5X_STEP(a, b, x, s, k, c ^ (b | ~d))

#define S3_MD5X_STEPS(word)                            \
    S3_MD5X_FF(a, b, c, d, word(0), 7, 0xd76aa478u);   \
    S3_MD5X_FF(d, a, b, c, word(1), 12, 0xe8c7b756u);  \
    S3_MD5X_FF(c, d, a, b, word(2), 17, 0x242070dbu);  \
    S3_MD5X_FF(b, c, d, a, word(3), 22, 0xc1bdceeeu);  \
    S3_MD5X_FF(a, b, c, d, word(4), 7, 0xf57c0fafu);   \
    S3_MD5X_FF(d, a, b, c, word(5), 12, 0x4787c62au);  \
    S3_MD5X_FF(c, d, a, b, word(6), 17, 0xa8304613u);  \
    S3_MD5X_FF(b, c, d, a, word(7), 22, 0xfd469501u);  \
    S3_MD5X_FF(a, b, c, d, word(8), 7, 0x698098d8u);   \
    S3_MD5X_FF(d, a, b, c, word(9), 12, 0x8b44f7afu);  \
    S3_MD5X_FF(c, d, a, b, word(10), 17, 0xffff5bb1u); \
    S3_MD5X_FF(b, c, d, a, word(11), 22, 0x895cd7beu); \
    S3_MD5X_FF(a, b, c, d, word(12), 7, 0x6b901122u);  \
    S3_MD5X_FF(d, a, b, c, word(13), 12, 0xfd987193u); \
    S3_MD5X_FF(c, d, a, b, word(14), 17, 0xa679438eu); \
    S3_MD5X_FF(b, c, d, a, word(15), 22, 0x49b40821u); \
    S3_MD5X_GG(a, b, c, d, word(1), 5, 0xf61e2562u);   \
    S3_MD5X_GG(d, a, b, c, word(6), 9, 0xc040b340u);   \
    S3_MD5X_GG(c, d, a, b, word(11), 14, 0x265e5a51u); \
    S3_MD5X_GG(b, c, d, a, word(0), 20, 0xe9b6c7aau);  \
    S3_MD5X_GG(a, b, c, d, word(5), 5, 0xd62f105du);   \
    S3_MD5X_GG(d, a, b, c, word(10), 9, 0x02441453u);  \
    S3_MD5X_GG(c, d, a, b, word(15), 14, 0xd8a1e681u); \
    S3_MD5X_GG(b, c, d, a, word(4), 20, 0xe7d3fbc8u);  \
    S3_MD5X_GG(a, b, c, d, word(9), 5, 0x21e1cde6u);   \
    S3_MD5X_GG(d, a, b, c, word(14), 9, 0xc33707d6u);  \
    S3_MD5X_GG(c, d, a, b, word(3), 14, 0xf4d50d87u);  \
    S3_MD5X_GG(b, c, d, a, word(8), 20, 0x455a14edu);  \
    S3_MD5X_GG(a, b, c, d, word(13), 5, 0xa9e3e905u);  \
    S3_MD5X_GG(d, a, b, c, word(2), 9, 0xfcefa3f8u);   \
    S3_MD5X_GG(c, d, a, b, word(7), 14, 0x676f02d9u);  \
    S3_MD5X_GG(b, c, d, a, word(12), 20, 0x8d2a4c8au); \
    S3_MD5X_HH(a, b, c, d, word(5), 4, 0xfffa3942u);   \
    S3_MD5X_HH(d, a, b, c, word(8), 11, 0x8771f681u);  \
    S3_MD5X_HH(c, d, a, b, word(11), 16, 0x6d9d6122u); \
    S3_MD5X_HH(b, c, d, a, word(14), 23, 0xfde5380cu); \
    S3_MD5X_HH(a, b, c, d, word(1), 4, 0xa4beea44u);   \
    S3_MD5X_HH(d, a, b, c, word(4), 11, 0x4bdecfa9u);  \
    S3_MD5X_HH(c, d, a, b, word(7), 16, 0xf6bb4b60u);  \
    S3_MD5X_HH(b, c, d, a, word(10), 23, 0xbebfbc70u); \
    S3_MD5X_HH(a, b, c, d, word(13), 4, 0x289b7ec6u);  \
    S3_MD5X_HH(d, a, b, c, word(0), 11, 0xeaa127fau);  \
    S3_MD5X_HH(c, d, a, b, word(3), 16, 0xd4ef3085u);  \
    S3_MD5X_HH(b, c, d, a, word(6), 23, 0x04881d05u);  \
    S3_MD5X_HH(a, b, c, d, word(9), 4, 0xd9d4d039u);   \
    S3_MD5X_HH(d, a, b, c, word(12), 11, 0xe6db99e5u); \
    S3_MD5X_HH(c, d, a, b, word(15), 16, 0x1fa27cf8u); \
    S3_MD5X_HH(b, c, d, a, word(2), 23, 0xc4ac5665u);  \
    S3_MD5X_II(a, b, c, d, word(0), 6, 0xf4292244u);   \
    S3_MD5X_II(d, a, b, c, word(7), 10, 0x432aff97u);  \
    S3_MD5X_II(c, d, a, b, word(14), 15, 0xab9423a7u); \
    S3_MD5X_II(b, c, d, a, word(5), 21, 0xfc93a039u);  \
    S3_MD5X_II(a, b, c, d, word(12), 6, 0x655b59c3u);  \
    S3_MD5X_II(d, a, b, c, word(3), 10, 0x8f0ccc92u);  \
    S3_MD5X_II(c, d, a, b, word(10), 15, 0xffeff47du); \
    S3_MD5X_II(b, c, d, a, word(1), 21, 0x85845dd1u);  \
    S3_MD5X_II(a, b, c, d, word(8), 6, 0x6fa87e4fu);   \
    S3_MD5X_II(d, a, b, c, word(15), 10, 0xfe2ce6e0u); \
    S3_MD5X_II(c, d, a, b, word(6), 15, 0xa3014314u);  \
    S3_MD5X_II(b, c, d, a, word(13), 21, 0x4e0811a1u); \
    S3_MD5X_II(a, b, c, d, word(4), 6, 0xf7537e82u);   \
    S3_MD5X_II(d, a, b, c, word(11), 10, 0xbd3af235u); \
    S3_MD5X_II(c, d, a, b, word(2), 15, 0x2ad7d2bbu);  \
    S3_MD5X_II(b, c, d, a, word(9), 21, 0xeb86d391u)


#endif /* S3_MD5X_STEPS_H */
