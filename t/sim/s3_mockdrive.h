/*
 * A drive in memory that follows section 3 of the commit protocol to the
 * letter and as plainly as possible: what the coordinator's side is tested
 * against, and what a real drive can be compared with.
 *
 *   coordinator 1 ── s3_mock_attach() ──┐
 *   coordinator 2 ── s3_mock_attach() ──┴── s3_mock_t, one drive
 *
 * With `delay` 0 every request completes before the call returns.  Else it
 * arrives after a random time, takes effect, and the answer comes after
 * another: requests overtake each other.  A coordinator whose loop was killed
 * leaves its requests behind; they still arrive.
 */

#ifndef S3_MOCKDRIVE_H
#define S3_MOCKDRIVE_H

#include "storage/s3_drive.h"
#include "t/sim/s3_memfs.h"


typedef struct s3_mock_s s3_mock_t;

typedef struct {
    unsigned delay;  /* ms at most, each way; 0: at once */
    unsigned lost;   /* per million: the request never arrives, and silence */
    unsigned mute;   /* per million: takes effect, and silence */
    unsigned errors; /* per million: S3_EIO without effect */
    unsigned silence_ms; /* after which silence becomes S3_EIO */
    unsigned down : 1;   /* S3_EUNAVAIL */
    unsigned hung : 1;   /* nothing completes until it is cleared */
    unsigned nospace : 1;
    unsigned rotten : 1; /* fetch(): S3_ECORRUPT */
} s3_mock_knobs_t;

/* world: a loop that is never killed. */
s3_mock_t *s3_mock_create(s3_sim_t *sim, s3_loop_t *world, unsigned index);
void s3_mock_destroy(s3_mock_t *m);
s3_mock_knobs_t *s3_mock_knobs(s3_mock_t *m);

/* A process' handle; the test owns state. */
s3_drive_t *s3_mock_attach(s3_mock_t *m, s3_loop_t *loop);

/* Requests held by `hung` go on. */
void s3_mock_unhang(s3_mock_t *m);

/* An empty disk in its place. */
void s3_mock_wipe(s3_mock_t *m);

/* Damage.  0: there is no such blob or unit. */
int s3_mock_rot_unit(s3_mock_t *m, const uint8_t id[16], uint32_t block);
int s3_mock_lose_blob(s3_mock_t *m, const uint8_t id[16]);
unsigned s3_mock_blobs(s3_mock_t *m);
unsigned s3_mock_notes(s3_mock_t *m);

/* The entry of a version, or NULL. */
const s3_entry_t *s3_mock_entry(s3_mock_t *m, uint64_t bucket, s3_str_t key,
                                const s3_version_t *version);
/* The newest entry of a key, or NULL. */
const s3_entry_t *s3_mock_newest(s3_mock_t *m, uint64_t bucket, s3_str_t key);

/* What a drive has of a key, to stdout. */
void s3_mock_dump(s3_mock_t *m, uint64_t bucket, s3_str_t key);

/* Tombstone collection: where all n drives have the same confirmed tombstone
 * as their newest entry, raises all floors, then drops it on those of `mask`.
 * 1: it was so. */
int s3_mock_collect(s3_mock_t **drives, unsigned n, uint64_t bucket,
                    s3_str_t key, uint32_t mask);

#endif /* S3_MOCKDRIVE_H */
