/*
 * The model of one drive: what was promised, and who asks.  See
 * drive_model.c; shared by drive_model*.c only.
 */

#ifndef DRIVE_MODEL_H
#define DRIVE_MODEL_H

#include "storage/s3_node.h"
#include "storage/s3_blob.h"
#include "storage/s3_zone.h"
#include "s3_memfs.h"
#include <stdio.h>
#include <stdlib.h>

#define KEYS 24
#define VERSIONS 400
#define BUCKET 1024
#define CLOSABLE 2048 /* buckets that get closed */


typedef struct {
    s3_version_t version;
    uint8_t kind;
    uint8_t layout;
    uint32_t len; /* of data */
    uint8_t blob[16];
    unsigned issued : 1;
    unsigned yes : 1;    /* promised */
    unsigned no : 1;     /* promised */
    unsigned pushed : 1; /* PUSH was sent */
    unsigned push_yes : 1;
    unsigned dead : 1;    /* DEAD was sent */
    unsigned confirm : 1; /* CONFIRM was sent */
    unsigned outside : 1; /* voters leave this drive out */
} model_version_t;

typedef struct {
    uint64_t bucket;
    char name[24];
    model_version_t v[VERSIONS];
    unsigned n;
    unsigned closed; /* generation + 1, answered */
} model_key_t;

typedef struct {
    s3_loop_t *loop;
    s3_node_t *node;
    s3_drive_t *drive;
    int64_t pid;
    int alive;
} model_proc_t;

typedef struct model_op_s model_op_t;

struct model_op_s {
    model_op_t *next;
    int type;
    model_proc_t *proc;
    int64_t pid;
    model_key_t *key;
    unsigned v;
    int blocked; /* something newer was promised before */
    int done;
    s3_vote_t vote;
    s3_mark_t mark;
    s3_lookup_t lookup;
    s3_scan_t scan;
    s3_fetch_t fetch;
    s3_note_t note;
    s3_close_t close;
    s3_record_t record;
    s3_version_t deads[2];
    uint8_t *data;
    uint8_t refs[S3_REF_SIZE];
};


#define MODEL_MUST(cond, k, v)               \
    do {                                     \
        if (!(cond)) {                       \
            model_fail("not: " #cond, k, v); \
        }                                    \
    } while (0)


extern uint64_t model_seed;
extern s3_sim_t *model_sim;
extern s3_memfs_t *model_disk;
extern s3_fs_t *model_fs;
extern model_key_t model_keys[KEYS];
extern model_op_t *model_ops;
extern unsigned model_n_ops, model_n_done, model_n_yes, model_n_no,
    model_n_reads;
extern int model_tight;            /* little space */
extern int model_faulty;           /* I/O may fail now */
extern unsigned model_notes[KEYS]; /* 1: noted for certain, 2: maybe */
extern uint64_t model_lived;       /* raises what versions are made of */


/* drive_model_ask.c */

/* Ends the program, with the seed. */
void
model_fail(const char *what, const model_key_t *k, const model_version_t *v);
/* No answer is fine where I/O fails. */
void model_silent(int rc, const model_key_t *k, const model_version_t *v);
unsigned model_rnd(unsigned n);
void model_conf_random(void *ctx, void *buf, size_t len);
/* What the version holds: any drive or test can say it again. */
void model_content(const model_key_t *k, const model_version_t *v, uint8_t *p,
                   size_t len);
model_version_t *model_by_version(model_key_t *k, const s3_version_t *v);
/* Greatest version that is confirmed for certain: PUSH was answered. */
model_version_t *model_floor_of(model_key_t *k);
model_op_t *model_op_new(model_proc_t *p, model_key_t *k, unsigned v);
s3_str_t model_key_of(const model_key_t *k);
/* Waits for an operation; 0: its process died, or the world stopped. */
int model_await(model_op_t *op);
void model_send_vote(model_proc_t *p, model_key_t *k, unsigned i,
                     unsigned generation);
void model_send_push(model_proc_t *p, model_key_t *k, unsigned i);
model_op_t *
model_send_mark(model_proc_t *p, model_key_t *k, unsigned i, int type);
/* Blobs: written and finished before the vote. */
void model_blob_done(s3_req_t *req);
int model_write_blob(model_proc_t *p, model_key_t *k, model_version_t *v);
void model_read_done(s3_req_t *req);
void model_scan_done(s3_req_t *req);
void model_note_done(s3_req_t *req);
void model_close_done(s3_req_t *req);

/* drive_model.c */

/* A hole in the log (a batch that failed before one that did not) looks like
 * damage: what is not newer than the floor of then may be said to be GONE. */
int model_below_floor(const s3_version_t *v);

/* drive_model_check.c */
/* Is the blob of v whole? */
int model_read_blob(model_proc_t *p, model_key_t *k, model_version_t *v);
void model_keep_done(s3_req_t *req);
void model_check_entries(model_key_t *k, const s3_entry_t *e, unsigned n);
/* Every promise, asked again. */
void model_verify(model_proc_t *p);

#endif /* DRIVE_MODEL_H */
