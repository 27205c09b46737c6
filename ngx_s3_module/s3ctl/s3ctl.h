/*
 * s3ctl: looks at drives of a store that no server is using.
 *
 * It runs the code of storage/ over a file system of its own (fs.h), whose
 * writes stay in memory: what a start would do to a drive can be looked at
 * without doing it.  `rebuild --write` alone writes to a drive, through
 * ngx_s3_fs.c.
 *
 *   main.c     options, drives, locks
 *   fs.c       s3_fs_t: the drive, and what was written, in memory
 *   loop.c     s3_loop_t, blocking
 *   out.c      lines of output, as text or as JSON
 *   index.c    what a start makes of a drive; "index"
 *   check*.c   "check"
 *   records.c  "records"
 *   rebuild.c  "rebuild"
 *   where.c    "where"
 *   verify.c   "verify"
 *
 * Nothing that is read is trusted: the decoders of storage/ check it all.
 */

#ifndef S3CTL_H
#define S3CTL_H

#include <stdio.h>

#include "storage/s3_core.h"
#include "storage/s3_entry.h"
#include "storage/s3_format.h"
#include "storage/s3_manifest.h"
#include "storage/s3_table.h"
#include "storage/s3_merge.h"
#include "storage/s3_place.h"
#include "storage/s3_zone.h"
#include "s3ctl/fs.h"

#pragma GCC visibility push(hidden)


/* Exit status. */
#define S3CTL_FINE 0
#define S3CTL_FOUND 1  /* something is not as it should be */
#define S3CTL_FAILED 2 /* could not be done, or was asked for wrongly */

#define S3CTL_BUCKETS 64 /* ids that one name had, one after the other */

typedef struct {
    const char *path;
    s3_fs_t *fs;
    int lock; /* descriptor, or -1 */
    int format_rc;
    s3_format_t format; /* valid where format_rc is S3_OK */
} s3ctl_drive_t;

typedef struct s3ctl_s s3ctl_t;

struct s3ctl_s {
    int (*run)(s3ctl_t *ctl);
    s3ctl_drive_t drives[S3_MAX_DRIVES];
    unsigned n;
    const s3_format_t *format; /* of the store, for commands that need one */

    const char *bucket; /* a name, or id:HEX; NULL: all */
    s3_str_t key;       /* key.data NULL: all */
    s3_str_t prefix;
    const char *out;
    unsigned json : 1;
    unsigned write : 1;
    unsigned live : 1;
    unsigned verbose : 1;
};

int s3ctl_check(s3ctl_t *ctl);
int s3ctl_records(s3ctl_t *ctl);
int s3ctl_index(s3ctl_t *ctl);
int s3ctl_rebuild(s3ctl_t *ctl);
int s3ctl_where(s3ctl_t *ctl);
int s3ctl_verify(s3ctl_t *ctl);

/* To stderr, with the name of the program. */
void s3ctl_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* What storage/ reports, for tables of callbacks; ctx: s3ctl_t. */
void s3ctl_log(void *ctx, int level, const char *message);

/* The drive in place `i` of the store, or NULL where it was not given. */
s3ctl_drive_t *s3ctl_place(s3ctl_t *ctl, unsigned i);

/* All drives given are of one store, each in a place of its own: the place of
 * the first in the list, or -1 after a message. */
int s3ctl_one_store(s3ctl_t *ctl);


/* The number in id:HEX.  S3_ENOENT: it is a name; S3_EINVAL. */
int s3ctl_bucket_id(const char *bucket, uint64_t *id);

/* Which keys are meant.  A name stands for the ids that bucket had: objects,
 * uploads and parts of each. */

typedef struct {
    const s3ctl_t *ctl;
    uint64_t ids[S3CTL_BUCKETS];
    unsigned n;
    unsigned exact : 1; /* id:HEX: that one alone */
} s3ctl_filter_t;

/* S3_EINVAL: id:HEX is none. */
int s3ctl_filter_init(s3ctl_filter_t *f, const s3ctl_t *ctl);

/* Shows it an entry of the list of buckets. */
void s3ctl_filter_see(s3ctl_filter_t *f, uint64_t bucket, s3_str_t key,
                      const s3_entry_t *e);
int s3ctl_filter_match(const s3ctl_filter_t *f, uint64_t bucket, s3_str_t key);


/* Output: one line a thing, fields "name=value", or one JSON object a line.
 * Bytes that a client chose are percent-encoded. */

void s3ctl_begin(const s3ctl_t *ctl, const char *what);
void s3ctl_text(const s3ctl_t *ctl, const char *name, const char *value);
void s3ctl_bytes(const s3ctl_t *ctl, const char *name, s3_str_t value);
void
s3ctl_hex(const s3ctl_t *ctl, const char *name, const uint8_t *p, size_t len);
void s3ctl_id(const s3ctl_t *ctl, const char *name, uint64_t id);
void s3ctl_number(const s3ctl_t *ctl, const char *name, uint64_t value);
void s3ctl_mask(const s3ctl_t *ctl, const char *name, uint32_t mask);
void s3ctl_version(const s3ctl_t *ctl, const char *name,
                   const s3_version_t *version);
void s3ctl_entry(const s3ctl_t *ctl, const s3_entry_t *e);
void s3ctl_ref(const s3ctl_t *ctl, const s3_ref_t *ref);
void s3ctl_end(const s3ctl_t *ctl);

/* For messages: at most len bytes with the NUL, "..." where it is longer. */
const char *s3ctl_escape(char *buf, size_t len, s3_str_t value);
const char *s3ctl_kind(unsigned kind);

/* Decodes %XX in place; -1 where two hex digits don't follow. */
ssize_t s3ctl_unescape(char *s);


/* The index of a drive as a start would have it, all in tables. */

typedef struct {
    s3_fs_t *fs;
    void *base; /* the zone: one drive, 0 */
    size_t size;
    s3_zdrive_t *zd;
    uint64_t clock;
    unsigned records; /* replayed */
    unsigned corrupt;
    s3_table_t *tables[S3_MERGE_MAX];
    s3_table_iter_t iters[S3_MERGE_MAX];
    s3_source_t *sources[S3_MERGE_MAX];
    unsigned n;
} s3ctl_index_t;

/* S3_OK, or what the start would give; *ix need not be closed then. */
int s3ctl_index_open(s3ctl_index_t *ix, s3_fs_t *fs, s3ctl_t *ctl,
                     const char *name);

/* Without the log, and of the tables those that can be opened; *bad: how many
 * can't. */
int s3ctl_index_tables(s3ctl_index_t *ix, s3_fs_t *fs, const s3_manifest_t *m,
                       unsigned *bad);
void s3ctl_index_close(s3ctl_index_t *ix);

/* A merge over all of it, positioned; s3_merge_done() it.  One at a time. */
int s3ctl_index_merge(s3ctl_index_t *ix, s3_merge_t *m, uint64_t bucket,
                      s3_str_t key);

/* All entries of one key; *entries is malloc()ed.  S3_ENOENT. */
int s3ctl_index_find(s3ctl_index_t *ix, uint64_t bucket, s3_str_t key,
                     s3_entry_t **entries, unsigned *n);

/* The id of the bucket of that name, by its newest record. */
int s3ctl_index_bucket(s3ctl_index_t *ix, s3_str_t name, uint64_t *id,
                       s3_version_t *version);


/* A record by its place in the log; *buf is malloc()ed. */
int s3ctl_record(s3_fs_t *fs, uint64_t bucket, s3_str_t key,
                 const s3_entry_t *e, s3_record_t *r, void **buf);

/* One file of blob/, unit by unit. */

typedef struct {
    uint64_t size; /* of the file */
    uint64_t units;
    uint64_t bytes; /* payload */
    int shard;      /* -1: no unit holds */
    unsigned k;
    unsigned bad;                                              /* problems */
    void (*problem)(void *ctx, uint64_t off, const char *why); /* or NULL */
    void *ctx;
} s3ctl_blob_t;

/* S3_OK: could be read, whatever is in it; S3_ENOENT, S3_EIO, S3_ENOMEM. */
int s3ctl_blob(s3_fs_t *fs, const uint8_t id[16], s3ctl_blob_t *b);

/* Was the drive's shard there when the record was written?  A completed upload
 * names no holders: the records of its parts did. */

static inline int
s3ctl_holds(const s3_entry_t *e, unsigned drive)
{
    return e->need == 0 || (e->holders >> drive & 1);
}

/* Payload that the shard of a reference has, and its number: -1 where the
 * drive has none. */
int s3ctl_shard(const s3_place_t *place, const s3_ref_t *ref, unsigned drive,
                uint64_t *bytes);

/* What a drive has of it: "whole", "damaged", "missing" or "unreadable". */
const char *
s3ctl_shard_state(s3_fs_t *fs, const s3_ref_t *ref, int shard, uint64_t bytes);

/* Numbers of the segments in log/, of the tables in index/; sorted. */
int s3ctl_files(s3_fs_t *fs, const char *dir, uint32_t **ids, size_t *n);

#pragma GCC visibility pop

#endif /* S3CTL_H */
