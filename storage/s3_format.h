/*
 * format.json: what makes a directory a drive of a store.
 *
 *   {"format": 1, "store": "<32 hex>", "drive": "<32 hex>", "position": 2,
 *    "drives": 4, "parity": 2, "created": 1700000000, "state": "ready"}
 *
 * store and drive are random ids.  A new store is made in two steps: all
 * drives get "new", then all get "ready"; a crash between leaves nothing that
 * could be mistaken for a store with data.  A directory that came back empty
 * gets a new drive id and the state "refill": it must never answer under the
 * old id, for it has forgotten what it promised.
 *
 * Refused, with a message that says which drive and why: another store,
 * another position, a newer format, two directories of one drive, a directory
 * that is not empty and holds no store.  Nothing is written then.
 */

#ifndef S3_FORMAT_H
#define S3_FORMAT_H

#include "storage/s3_core.h"
#include "storage/s3_io.h"
#include "storage/s3_entry.h"

#pragma GCC visibility push(hidden)


#define S3_FORMAT_VERSION 1

/* An empty file of this name tells that a directory is meant to be a drive. */
#define S3_FORMAT_MARK "s3-replace"

typedef enum {
    S3_FORMAT_MISSING = 0, /* no fs */
    S3_FORMAT_EMPTY,
    S3_FORMAT_NEW,
    S3_FORMAT_READY,
    S3_FORMAT_REFILL
} s3_format_state_t;

typedef struct {
    s3_format_state_t state;
    uint8_t store[16];
    uint8_t drive[16];
    unsigned position;
    unsigned drives;
    unsigned parity;
    uint64_t created; /* seconds */
    int readonly;     /* the directory takes no writes */
} s3_format_t;

typedef struct {
    unsigned n;
    s3_fs_t *const *fs;       /* NULL: missing */
    const char *const *names; /* or NULL */
    unsigned parity;          /* so many may be missing or new */
    unsigned partial : 1;     /* more of them missing are no error */
    uint64_t created;         /* now, seconds */
    void (*random)(void *ctx, void *buf, size_t len);
    void (*log)(void *ctx, int level, const char *message);
    void *ctx;
} s3_format_conf_t;

/*
 * Blocking.  Reads all of them, decides, writes what is new.  out[n]: what
 * each drive is now; *fresh: a new store was made.  S3_EFOREIGN, S3_EVERSION,
 * S3_ECORRUPT, S3_EUNAVAIL (too many missing), or what writing gave.
 *
 * `partial`: with too many missing nothing is written, and what stays EMPTY or
 * NEW is not in use.  So a directory gets to be a drive only where all of them
 * are empty, a new store, or where so many drives with data are there that the
 * others are within the parity.
 */
int s3_format_check(const s3_format_conf_t *conf, s3_format_t *out, int *fresh);

/* The same as far as it is about drives that are wrong: nothing is written. */
int s3_format_survey(const s3_format_conf_t *conf, s3_format_t *out);

/* One drive alone.  load: S3_ENOENT: none there; S3_EEXIST: none, and the
 * directory is not empty. */
int s3_format_load(s3_fs_t *fs, s3_format_t *f);
int s3_format_save(s3_fs_t *fs, const s3_format_t *f);

/* 0: a directory with a file of that name may still count as empty. */
int s3_format_stranger(const char *name);

/* Text form, for tests and fuzzers. */
int s3_format_parse(const char *text, size_t len, s3_format_t *f);

#pragma GCC visibility pop

#endif /* S3_FORMAT_H */
