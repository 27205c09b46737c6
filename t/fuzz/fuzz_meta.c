/* Stored metadata: any bytes are read safely; what verifies can be copied. */

#include "s3_meta.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    s3_str_t blob, v;
    s3_meta_t m;
    s3_meta_checksum_t c;
    s3_meta_part_t part;
    uint64_t a;
    size_t n, digest_len;
    uint8_t without;

    blob = s3_str(data, size);

    if (s3_meta_find(blob, S3_META_PARTS, &v) == S3_OK
        && s3_meta_parts(v, &n, &digest_len) == S3_OK)
    {
        (void) s3_meta_part(v, n / 2, &part);

        if (s3_meta_part(v, n, &part) == S3_OK) {
            __builtin_trap();
        }

        (void) s3_meta_part_find(v, 3, &a, &part);
    }

    (void) s3_meta_find_checksum(blob, &c);
    (void) s3_meta_find_u64(blob, S3_META_INITIATED, &a);
    (void) s3_meta_find_user(blob, s3_string("color"), &v);
    (void) s3_meta_count(blob, S3_META_TAG);

    without = S3_META_TAG;
    s3_meta_init(&m);

    if (s3_meta_copy_except(&m, blob, &without, 1) == S3_OK
        && s3_meta_verify(blob) == S3_OK
        && s3_meta_verify(s3_meta_blob(&m)) != S3_OK)
    {
        __builtin_trap();
    }

    (void) s3_meta_check(&m, NULL);
    s3_meta_free(&m);

    return 0;
}
