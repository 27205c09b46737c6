/*
 * What the upload files share: the state of one operation while it runs.
 */

#ifndef S3_UPLOAD_INT_H
#define S3_UPLOAD_INT_H

#include "storage/s3_upload.h"

#pragma GCC visibility push(hidden)


#define S3_UPLOAD_TRIES 4 /* of one operation against others at the upload */

typedef struct s3_upload_work_s s3_upload_work_t;

typedef struct {
    s3_put_t put;
    uint8_t key[S3_MAX_KEY];
} s3_upload_part_t;

/* What the last test of the object's condition said. */

typedef enum {
    S3_UPLOAD_PASSED = 0,
    S3_UPLOAD_MOVED,    /* the key is not as COMPLETING found it, */
    S3_UPLOAD_FOLLOWED, /* ... but this attempt has not been overwritten */
    S3_UPLOAD_RECODED,  /* the key is, but its blobs are others */
    S3_UPLOAD_REFUSED   /* the client's condition */
} s3_upload_verdict_t;

struct s3_upload_work_s {
    s3_upload_op_t *op;

    s3_head_t head;
    s3_put_t put;
    s3_list_t list;
    s3_object_t *upload; /* the newest record of the upload that we know */
    s3_object_t *object; /* at the key, while it is fenced */

    uint8_t key[S3_MAX_KEY]; /* the upload's */
    s3_str_t upload_key;
    uint8_t prefix_buf[S3_MAX_KEY];
    s3_str_t prefix;

    s3_version_t known;  /* of the upload's record */
    s3_version_t base;   /* what was at the key when COMPLETING was written */
    s3_version_t root;   /* ... its root */
    unsigned based : 1;  /* there is a base */
    unsigned rooted : 1; /* its root is known */
    unsigned made : 1;   /* this operation committed the object */
    unsigned strict : 1; /* what can't be cleaned up is an error */
    unsigned swept : 1;  /* this pass over the parts has removed some */
    unsigned tries;
    s3_upload_verdict_t verdict;

    int result;    /* what is answered after cleaning up */
    uint8_t *kept; /* ids of the blobs that must stay, sorted */
    unsigned n_kept;

    s3_upload_part_t *parts;
    unsigned n_parts;
    uint8_t after_buf[S3_MAX_KEY]; /* last key that was listed */
    uint8_t list_from[S3_MAX_KEY];
    size_t after_len;
    unsigned running;
    int sweep_rc;
};


/* What is at the object's key, then done(). */
void s3_upload_head(s3_upload_work_t *w, int brief, void (*done)(s3_head_t *));

/* Every operation ends here, exactly once; frees w. */
void s3_upload_end(s3_upload_work_t *w, int rc);

/* Removes parts and upload, in state ABORTING; then answers result. */
void s3_upload_clean(s3_upload_work_t *w, int result);

#pragma GCC visibility pop

#endif /* S3_UPLOAD_INT_H */
