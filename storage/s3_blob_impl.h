/*
 * Inside of s3_blobs_t: shared by s3_blob_write.c and s3_blob_read.c only.
 */

#ifndef S3_BLOB_IMPL_H
#define S3_BLOB_IMPL_H

#include "storage/s3_blob.h"

#pragma GCC visibility push(hidden)


typedef struct s3_blob_io_s s3_blob_io_t;
typedef struct s3_blob_file_s s3_blob_file_t;


/* One read or write of a unit, in flight or waiting. */

struct s3_blob_io_s {
    s3_aio_t aio;
    s3_blobs_t *blobs;
    s3_blob_io_t *next; /* waiting, or free */
    s3_blob_io_t *all;
    s3_blob_t *blob;
    s3_blob_file_t *file;
    s3_unit_t *unit;
    s3_task_t task; /* read through the page cache */
};

typedef struct {
    s3_blob_io_t *first;
    s3_blob_io_t *last;
} s3_blob_queue_t;


#define S3_BLOB_ENDING_FINISH 1
#define S3_BLOB_ENDING_ABORT 2

struct s3_blob_s {
    s3_blobs_t *blobs;
    s3_blob_t *next;
    s3_blob_t **prev;
    s3_file_t *file;
    s3_blob_req_t *req; /* to be answered by the task */
    s3_blob_queue_t waiting;
    unsigned inflight;   /* waiting ones included */
    unsigned busy : 1;   /* the task is under way */
    unsigned ending : 2; /* waits for what is in flight */
    unsigned dir_known : 1;
    s3_blob_tmp_t tmp; /* its id, its name until it is finished */
    uint64_t expected;
    uint64_t allocated;
    uint64_t target; /* of the allocation under way */
    uint64_t end;    /* of what was written */
    int rc;          /* first failure */
    int task_rc;
    s3_task_t task;
};


/* A file open for reading. */

struct s3_blob_file_s {
    s3_blobs_t *blobs;
    s3_blob_file_t *hash_next;
    s3_blob_file_t *newer; /* by use; all files are in this list */
    s3_blob_file_t *older;
    s3_file_t *file;     /* direct */
    s3_file_t *buffered; /* or NULL: could not be opened */
    s3_blob_queue_t waiting;
    uint32_t next; /* unit behind the last one that was read */
    unsigned pins;
    unsigned opening : 1;
    unsigned gone : 1; /* not in the table any more */
    unsigned closing : 1;
    uint8_t id[16];
    uint64_t used; /* mono_ms */
    int rc;
    s3_task_t task;
};


struct s3_blobs_s {
    s3_blobs_conf_t conf;
    s3_blob_t *writers;
    s3_blob_io_t *ios;  /* all */
    s3_blob_io_t *free; /* not in use */
    unsigned busy;      /* ios, tasks */

    s3_blob_file_t **table;
    unsigned mask;
    s3_blob_file_t *newest;
    s3_blob_file_t *oldest;
    unsigned n_files;
    s3_timer_t timer;
    unsigned timer_set : 1;

    uint8_t dirs[256]; /* blob/xx is there, durably */
};


s3_blob_io_t *s3_blob_io_get(s3_blobs_t *blobs, s3_unit_t *unit);
void s3_blob_io_put(s3_blob_io_t *io);
void s3_blob_queue_push(s3_blob_queue_t *q, s3_blob_io_t *io);
s3_blob_io_t *s3_blob_queue_pop(s3_blob_queue_t *q);
void s3_blob_answer(s3_req_t *req, int rc);
int s3_blob_unit_fits(const s3_unit_t *unit);

int s3_blobs_files_init(s3_blobs_t *blobs);
void s3_blobs_files_free(s3_blobs_t *blobs);

#pragma GCC visibility pop

#endif /* S3_BLOB_IMPL_H */
