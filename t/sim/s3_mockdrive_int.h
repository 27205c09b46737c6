/*
 * Inside the drive in memory: what it remembers, and its parts.
 *
 *   s3_mockdrive.c        requests on their way, faults, the test's side
 *   s3_mockdrive_vote.c   what each request but those of blobs does
 *   s3_mockdrive_list.c   LIST
 *   s3_mockdrive_key.c    keys, and the entries of each
 *   s3_mockdrive_blob.c   blobs, and their requests
 */

#ifndef S3_MOCKDRIVE_INT_H
#define S3_MOCKDRIVE_INT_H

#include "t/sim/s3_mockdrive.h"


typedef struct {
    s3_record_t rec; /* slices into mem */
    uint8_t *mem;
} s3_mock_entry_t;

typedef struct {
    uint64_t bucket;
    size_t len;
    uint8_t *key;
    s3_mock_entry_t *e; /* newest first */
    unsigned n;
    s3_version_t *ring; /* dropped records */
    unsigned n_ring;
} s3_mock_key_t;

struct s3_blob_s {
    s3_blob_t *next;
    uint8_t id[16];
    uint8_t **units;
    size_t *lens;
    uint32_t n;
    int finished;
};

typedef struct s3_mock_op_s s3_mock_op_t;

typedef struct {
    s3_drive_t drive;
    s3_mock_t *m;
    s3_loop_t *loop;
} s3_mock_handle_t;

struct s3_mock_op_s {
    s3_mock_op_t *next;
    s3_mock_handle_t *h;
    s3_req_t *req;
    void (*apply)(s3_mock_t *m, s3_req_t *req);
    s3_timer_t timer;
    int silent;
};

struct s3_mock_s {
    s3_sim_t *sim;
    s3_loop_t *world;
    unsigned index;
    s3_mock_knobs_t knobs;
    s3_mock_key_t *keys;
    size_t n_keys;
    size_t room;
    s3_blob_t *blobs;
    s3_version_t floor;
    struct {
        uint64_t bucket;
        uint32_t generation;
    } closed[64];
    unsigned n_closed;
    s3_mock_op_t *held;
    s3_mock_handle_t *handles[16];
    unsigned n_handles;
};


/* p, or the end of the test where there is no memory. */
void *s3_mock_need(void *p);

/* Where a key is, or would be. */
size_t s3_mock_at(s3_mock_t *m, uint64_t bucket, s3_str_t key, int *found);
s3_mock_key_t *s3_mock_find(s3_mock_t *m, uint64_t bucket, s3_str_t key);
/* Found, or made without an entry. */
s3_mock_key_t *s3_mock_make(s3_mock_t *m, uint64_t bucket, s3_str_t key);

/* Of a key, which may be NULL: the entry of a version, the newest confirmed. */
s3_mock_entry_t *s3_mock_version(s3_mock_key_t *k, const s3_version_t *v);
s3_mock_entry_t *s3_mock_confirmed(s3_mock_key_t *k);

/* Is it a write, not a mark? */
int s3_mock_live(const s3_mock_entry_t *e);

/* Instead of the same version, if it is there; copied. */
void s3_mock_insert(s3_mock_t *m, s3_mock_key_t *k, const s3_record_t *rec);
/* A mark of this kind. */
void s3_mock_mark(s3_mock_t *m, s3_mock_key_t *k, const s3_version_t *v,
                  s3_kind_t kind);
/* The i'th entry goes. */
void s3_mock_remove(s3_mock_key_t *k, unsigned i);

/* Whether a version was here and was dropped for a newer one. */
int s3_mock_dropped(s3_mock_key_t *k, const s3_version_t *v);

/* Everything older than the newest confirmed goes; unless keep, its blobs
 * too, where they were committed data that no record lists any more. */
void s3_mock_drop_older(s3_mock_t *m, s3_mock_key_t *k, int keep);

/* What READ and LIST give of a key; out has room for all.  Returns how many. */
unsigned s3_mock_entries(s3_mock_key_t *k, s3_entry_t *out);

/* A finished blob, or NULL. */
s3_blob_t *s3_mock_blob(s3_mock_t *m, const uint8_t *id);
void s3_mock_blob_free(s3_mock_t *m, s3_blob_t *blob);

/* The requests, at the moment they take effect. */
void s3_mock_do_vote(s3_mock_t *m, s3_req_t *req);
void s3_mock_do_push(s3_mock_t *m, s3_req_t *req);
void s3_mock_do_fence(s3_mock_t *m, s3_req_t *req);
void s3_mock_do_status(s3_mock_t *m, s3_req_t *req);
void s3_mock_do_confirm(s3_mock_t *m, s3_req_t *req);
void s3_mock_do_dead(s3_mock_t *m, s3_req_t *req);
void s3_mock_do_read(s3_mock_t *m, s3_req_t *req);
void s3_mock_do_fetch(s3_mock_t *m, s3_req_t *req);
void s3_mock_do_list(s3_mock_t *m, s3_req_t *req);
void s3_mock_do_create(s3_mock_t *m, s3_req_t *req);
void s3_mock_do_write(s3_mock_t *m, s3_req_t *req);
void s3_mock_do_finish(s3_mock_t *m, s3_req_t *req);
void s3_mock_do_abort(s3_mock_t *m, s3_req_t *req);
void s3_mock_do_unit(s3_mock_t *m, s3_req_t *req);
void s3_mock_do_blob_remove(s3_mock_t *m, s3_req_t *req);
void s3_mock_do_close(s3_mock_t *m, s3_req_t *req);
void s3_mock_do_note(s3_mock_t *m, s3_req_t *req);
void s3_mock_do_unnote(s3_mock_t *m, s3_req_t *req);

#endif /* S3_MOCKDRIVE_INT_H */
