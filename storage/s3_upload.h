/*
 * Multipart uploads: where they live, how they end.
 *
 *   objects   key                    ◄── made by completing
 *   uploads   key NUL id             state in extra[0], metadata of the object
 *   parts     key NUL id NUL number tag   reference, checksum in extra
 *
 *              e = what is at the key
 *   create ─ OPEN ─────► COMPLETING(e) ─ object committed ─┐
 *              │                │                          ▼
 *              └────────────────┴─────────────────► ABORTING ─ parts, upload
 *                                                             removed
 *
 * The parts' blobs become the object's: its record lists them, and the parts
 * are removed without their data (S3_F_KEEP).  No blob is freed while a
 * committed record lists it.
 *
 * Why it is safe to go on after a crash, and from two sides at once.
 *
 *  - Every step of the upload's record is a conditional write on the version
 *    before; no state comes back.
 *  - The object is committed under the condition that the newest at its key
 *    (a tombstone, too) is still e.  So: something else, and this attempt had
 *    its turn, be it as the object that is there, as one already overwritten,
 *    or not at all, and never gets another; still e, and it was not
 *    committed, and the next attempt may.  Versions are only compared for
 *    being the same: clocks of coordinators may differ.
 *  - Something else that has the root of e (s3_entry_root()) has followed it
 *    through writes with conditions alone.  The object without a condition
 *    begins a root of its own, so it is not among them and has not been
 *    overwritten: COMPLETING(what is there now), and once more.  With another
 *    root it has been, or counts as if it had, by a write that took whatever
 *    was there.
 *  - Parts are removed in state ABORTING alone, and never while the object
 *    can still be committed: completing gets there after the key has moved on
 *    from e, aborting writes the key again as it is if it has not (it keeps
 *    its root, for other uploads of the key).
 *  - Completing claims success for something else at the key only if it then
 *    moves the upload from COMPLETING itself: an abort, which makes something
 *    else, too, moves it first.
 *
 *  - A part that is uploaded again does not replace the older one, which a
 *    completion under way may have listed: its key has a tag of its own, the
 *    newest version of a number is the part, and all of them are removed in
 *    the end.
 *
 * What it needs of others.  Tombstones stay while an upload of their key is
 * COMPLETING.  Who writes a part's record again with another blob keeps the
 * older one's (S3_F_KEEP), for the same reason.  A part leaks that is stored
 * when ABORTING has seen the last of the parts; s3_orphan_start() removes it
 * when its data has gone with an object that listed it.  A crash in ABORTING
 * leaves parts and the upload to the next abort of it, or to the deletion of
 * the bucket.
 *
 * This replaces the tied record of the commit protocol's description: it needs
 * no second fate to be remembered, and costs a read and a conditional put.
 */

#ifndef S3_UPLOAD_H
#define S3_UPLOAD_H

#include "storage/s3_store.h"

#pragma GCC visibility push(hidden)


#define S3_UPLOAD_ID_LEN 32 /* lower-case hex */
#define S3_UPLOAD_TAG_LEN 8

typedef enum {
    S3_UPLOAD_OPEN = 1,
    S3_UPLOAD_COMPLETING = 2,
    S3_UPLOAD_ABORTING = 3 /* over, be it completed: only cleaned up */
} s3_upload_state_t;

/* Of an entry of the uploads' space; 0: not one.  extra: state 1, then e where
 * there is one, then its root. */
s3_upload_state_t s3_upload_state(const s3_entry_t *e);
void s3_upload_set_state(s3_entry_t *e, s3_upload_state_t state);

/* COMPLETING(e): e, and its root.  0: they are not in the entry. */
int s3_upload_base(const s3_entry_t *e, s3_version_t *base, s3_version_t *root);

/* Of the newest at the object's key, a tombstone, too: what e is made of.  An
 * object that the healer has written again is still the same. */
s3_version_t s3_upload_at(const s3_entry_t *newest);

/* Keys into buf of S3_MAX_KEY bytes.  The prefix of all parts of an upload is
 * the upload's key and a NUL. */
s3_str_t s3_upload_key(uint8_t *buf, s3_str_t key, s3_str_t id);
s3_str_t s3_upload_parts_prefix(uint8_t *buf, s3_str_t key, s3_str_t id);
/* tag: S3_UPLOAD_TAG_LEN random bytes; NULL: a key past all of this number */
s3_str_t s3_upload_part_key(uint8_t *buf, s3_str_t key, s3_str_t id,
                            unsigned number, const uint8_t *tag);

/* The other way; S3_EINVAL for what is none.  Slices of upload_key. */
int s3_upload_split(s3_str_t upload_key, s3_str_t *key, s3_str_t *id);

/* Part number of a part's key, 0: not one. */
unsigned s3_upload_part_number(s3_str_t part_key);

/* A part's entry: reference, then up to 40 bytes of checksum.  A part without
 * data has a reference of size 0. */
int s3_upload_part_set(s3_entry_t *e, const s3_ref_t *ref, s3_str_t digest);
int s3_upload_part_get(const s3_entry_t *e, s3_ref_t *ref, s3_str_t *digest);

/* Drives of the reference that got no shard when the part was stored.  There is
 * a note about that, but of the part: what comes of it needs one of its own. */
uint32_t s3_upload_part_lack(const s3_entry_t *e, const s3_ref_t *ref);

/* The part's data has been coded anew, e is that of the record so far.  Which
 * part of a number is the newest is told by part_version(), not by the
 * entry's. */
int s3_upload_part_again(s3_entry_t *e, const s3_ref_t *ref);
s3_version_t s3_upload_part_version(const s3_entry_t *e);


typedef struct s3_upload_op_s s3_upload_op_t;

struct s3_upload_op_s {
    s3_store_t *store;
    uint64_t bucket;
    uint32_t generation;
    s3_str_t key;
    s3_str_t id;
    s3_object_t *upload; /* the record, as head found it, not brief; the
                          * caller's */

    /* complete: the object; test as for s3_put_t, NULL: none */
    s3_entry_t entry;
    s3_str_t meta;
    const s3_ref_t *refs;
    unsigned n_refs;
    uint32_t lack; /* s3_upload_part_lack() of all of them */
    int (*test)(s3_upload_op_t *op, const s3_entry_t *current);

    void (*done)(s3_upload_op_t *op);
    void *ctx;
    int rc;
    void *impl;
};

/*
 * S3_OK: the object is there, or was and has been overwritten.  What test()
 * returned: nothing happened.  S3_ECONFLICT: somebody else wrote the key
 * meanwhile and there was a condition; the upload is gone, as with AWS.
 * S3_ENOENT: the upload is over, maybe completed by somebody else; what is at
 * the key tells.  S3_EDOUBT and S3_EUNAVAIL: ask again, with the same parts.
 * test() may run several times.
 */
void s3_upload_complete(s3_upload_op_t *op);

/* S3_OK: gone with all its parts.  S3_ENOENT: was gone.  Else: ask again.  An
 * object that was committed before stays. */
void s3_upload_abort(s3_upload_op_t *op);

#pragma GCC visibility pop

#endif /* S3_UPLOAD_H */
