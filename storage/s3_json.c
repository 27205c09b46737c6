/*
 * JSON as text; see s3_json.h.
 */

#include "storage/s3_json.h"

#include <stdlib.h>


char *
s3_json_text(const json_t *root, size_t flags, size_t spare, size_t *len)
{
    char *text;
    size_t n;

    /* 0: an error, for there is no empty JSON */

    n = root ? json_dumpb(root, NULL, 0, flags) : 0;
    text = n ? malloc(n + 1 + spare) : NULL;

    if (text == NULL) {
        return NULL;
    }

    if (json_dumpb(root, text, n, flags) != n) {
        free(text);
        return NULL;
    }

    text[n] = '\0';
    *len = n;

    return text;
}
