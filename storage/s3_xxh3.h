/*
 * XXH3, the checksum of everything on disk, in the widest vectors that this
 * processor has.
 *
 * The functions of <xxhash.h> use what the compiler may take for granted, SSE2
 * on x86; libxxhash also has them for AVX2 and AVX-512 and chooses at run time.
 * The values are the same.
 */

#ifndef S3_XXH3_H
#define S3_XXH3_H

#if defined(__x86_64__)
#include <xxh_x86dispatch.h>
#else
#include <xxhash.h>
#endif

#endif /* S3_XXH3_H */
