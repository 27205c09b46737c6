/*
 * The MANIFEST of a drive: which tables are its index, where the replay of
 * each log segment begins, and the few numbers that must not go back.
 *
 * <drive>/index/MANIFEST       JSON, then a line "#" XXH3-64 in hex of all
 * <drive>/index/MANIFEST.copy  before it
 *
 * Saving writes the copy first (temporary file, sync, rename, sync of the
 * directory), then in the same way the MANIFEST itself.  Loading takes the
 * valid one with the greater generation.  So a flipped bit in one of them
 * costs nothing, and neither does a crash at any point:
 *
 *   copy g+1, MANIFEST g   save() has not returned: nothing that g needs has
 *                          been freed, and all that g+1 names was durable
 *                          before save() began: either is right
 *   copy g+1, MANIFEST g+1 the normal state
 *   MANIFEST newer         never happens
 *
 * A copy of the *previous* generation is not kept as a fallback: segments and
 * tables that only it names may have been freed or used again, and a drive
 * that goes back in time forgets votes that it has cast.  Where both are
 * corrupt the drive does not answer until they are made anew from all of its
 * log, with a floor that is raised to the present (s3_recover.h).
 *
 * A whole drive that was put back as it once was has MANIFESTs that fit.  So
 * each says how far those of the other drives had come, and one that is behind
 * that is an older copy of itself: it lacks what was promised since.
 */

#ifndef S3_MANIFEST_H
#define S3_MANIFEST_H

#include "storage/s3_core.h"
#include "storage/s3_entry.h"
#include "storage/s3_io.h"

#pragma GCC visibility push(hidden)


#define S3_MANIFEST_VERSION 1 /* format; a greater one: S3_EVERSION */
#define S3_MANIFEST_TABLES 1024
#define S3_MANIFEST_SEGMENTS 1000000
#define S3_MANIFEST_BYTES (64 * 1024 * 1024)

typedef struct {
    uint32_t id; /* less than next_table_id */
    uint64_t bytes;
    uint64_t entries;
} s3_manifest_table_t;

typedef struct {
    uint32_t id;          /* less than next_segment_id */
    uint32_t replay_from; /* offset; all before it is in tables */
    uint64_t live;        /* bytes, an estimate */
    unsigned sealed : 1;  /* and nothing comes after replay_from */
} s3_manifest_segment_t;

typedef struct {
    uint8_t drive[16];   /* its id, as in format.json */
    uint64_t generation; /* it has reached it, durably; 0: nothing is known */
} s3_manifest_peer_t;

typedef struct {
    uint32_t version;    /* S3_MANIFEST_VERSION */
    uint64_t generation; /* counts the saves; begins with the time in
                          * microseconds where none was left to go on from */

    s3_manifest_table_t *tables; /* newest first */
    unsigned n_tables;
    s3_manifest_segment_t *segments; /* in any order */
    unsigned n_segments;

    s3_version_t floor;
    uint64_t clock; /* greatest logical time seen, microseconds */
    uint32_t next_table_id;
    uint32_t next_segment_id;
    s3_manifest_peer_t peers[S3_MAX_DRIVES]; /* by position */

    unsigned lost : 1;   /* records that were promised: to be filled */
    unsigned repair : 1; /* load(): one of the two files is bad or old: save()
                          * soon */
} s3_manifest_t;

/* An empty one: next ids are 1, nothing else set. */
void s3_manifest_init(s3_manifest_t *m);

/* Frees the arrays (malloc()ed), then as init.  All zero is fine, too. */
void s3_manifest_free(s3_manifest_t *m);

/*
 * Blocking.  *m is overwritten (no init needed); on an error it is empty.
 * S3_ENOENT: neither file exists, a new drive.  S3_ECORRUPT: there is none
 * that is whole.  S3_EVERSION: written by a newer version.  S3_EIO, S3_ENOMEM.
 */
int s3_manifest_load(s3_fs_t *fs, s3_manifest_t *m);

/* Blocking.  Raises m->generation.  Once it returns S3_OK what the previous
 * one named may be freed; after an error either of the two may be found. */
int s3_manifest_save(s3_fs_t *fs, s3_manifest_t *m);

/* Blocking, at the start: removes temporary files and tables that are not
 * listed from index/.  Names it does not know are left alone. */
int s3_manifest_clean(s3_fs_t *fs, const s3_manifest_t *m);


/* Text form, for save, load, tools and tests.  `out` is malloc()ed. */
int s3_manifest_format(const s3_manifest_t *m, char **out, size_t *len);
int s3_manifest_parse(const char *text, size_t len, s3_manifest_t *m);


/* Both arrays grow by one; S3_ENOMEM, S3_EEXIST where the id is there.
 * A table goes in front (newest) or at `at`. */
int s3_manifest_add_table(s3_manifest_t *m, unsigned at,
                          const s3_manifest_table_t *table);
int
s3_manifest_add_segment(s3_manifest_t *m, const s3_manifest_segment_t *segment);
void s3_manifest_del_table(s3_manifest_t *m, uint32_t id);
void s3_manifest_del_segment(s3_manifest_t *m, uint32_t id);
s3_manifest_segment_t *s3_manifest_segment(s3_manifest_t *m, uint32_t id);

#pragma GCC visibility pop

#endif /* S3_MANIFEST_H */
