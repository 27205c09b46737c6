/*
 * The MANIFEST's text.  The checksum line is made right, so that what is
 * behind it gets its share; what parses must format and parse to the same.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "storage/s3_manifest.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    s3_manifest_t m, again;
    size_t len, len2;
    char *text, *out, *out2;

    if (s3_manifest_parse((const char *) data, size, &m) == S3_OK) {
        s3_manifest_free(&m);
    }

    text = malloc(size + 32);
    if (text == NULL) {
        return 0;
    }

    memcpy(text, data, size);
    text[size] = '\n';
    (void) snprintf(text + size + 1, 31, "#%016llx\n",
                    (unsigned long long) XXH3_64bits(text, size + 1));

    if (s3_manifest_parse(text, size + 1 + 18, &m) == S3_OK) {
        if (s3_manifest_format(&m, &out, &len) != S3_OK
            || s3_manifest_parse(out, len, &again) != S3_OK
            || s3_manifest_format(&again, &out2, &len2) != S3_OK || len != len2
            || memcmp(out, out2, len) != 0)
        {
            abort();
        }

        free(out);
        free(out2);
        s3_manifest_free(&again);
        s3_manifest_free(&m);
    }

    free(text);

    return 0;
}
