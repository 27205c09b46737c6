/*
 * Words for the result codes.
 */

#include "storage/s3_core.h"

#pragma GCC visibility push(hidden)


static const char *const s3_words[] = {
    [-S3_OK] = "ok",
    [-S3_AGAIN] = "not yet",
    [-S3_DONE] = "nothing more",
    [-S3_EINVAL] = "malformed or out of bounds",
    [-S3_ENOMEM] = "out of memory",
    [-S3_EIO] = "drive error",
    [-S3_ECORRUPT] = "damaged data",
    [-S3_ENOENT] = "not found",
    [-S3_EEXIST] = "exists already",
    [-S3_ENOSPC] = "no space left",
    [-S3_EPRECOND] = "condition is false",
    [-S3_ECONFLICT] = "lost to other writers",
    [-S3_EUNAVAIL] = "too few drives",
    [-S3_EDOUBT] = "outcome unknown",
    [-S3_ESTALE] = "bucket closed or old epoch",
    [-S3_ECLOCK] = "clock too far ahead",
    [-S3_EVERSION] = "written by a newer version",
    [-S3_EFOREIGN] = "belongs to another store",
    [-S3_EROFS] = "read-only",
    [-S3_EBUSY] = "in use",
};


const char *
s3_strerror(int rc)
{
    if (rc > 0) {
        return s3_words[0];
    }

    if (rc <= -(int) (sizeof(s3_words) / sizeof(s3_words[0]))) {
        return "unknown error";
    }

    return s3_words[-rc];
}

#pragma GCC visibility pop
