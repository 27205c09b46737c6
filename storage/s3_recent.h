/*
 * What recently read records say of their objects, without the data: in one
 * process, so that who asks for the head of an object again is answered
 * without reading a drive.
 *
 *            ┌──────┬──────┬──────┐       oldest          newest
 *   version ─┤ slot │ slot │ slot │ ───► ┌──────┬──────┬──────┬─ ─ ─┐
 *            └──────┴──────┴──────┘      │ item │ item │ item │     │ ring
 *                                        └──────┴──────┴──────┴─ ─ ─┘
 *
 * A version of a key never changes, and which one is the newest the quorum has
 * said before anything is looked up here: so nothing has to be invalidated,
 * and nothing found is ever stale.  Records were verified when they were read.
 * New items overwrite the oldest.  For the loop alone.
 */

#ifndef S3_RECENT_H
#define S3_RECENT_H

#include "storage/s3_store_int.h"

#pragma GCC visibility push(hidden)


#define S3_RECENT_ITEM 4096 /* larger ones are not kept */

/* Takes up to `size` bytes (at least four items), and a sixteenth more for the
 * slots; memory that was never used is not taken.  NULL: out of memory. */
s3_recent_t *s3_recent_create(size_t size);
void s3_recent_destroy(s3_recent_t *recent); /* NULL is fine */

/*
 * The object that `entry`, the newest of this key, stands for: with its
 * metadata and references, and without data.  The caller releases it.  NULL:
 * not here, or no memory.
 */
s3_object_t *s3_recent_find(s3_recent_t *recent, uint64_t bucket, s3_str_t key,
                            const s3_entry_t *entry);

/* Copies what is not data of the object's record. */
void s3_recent_keep(s3_recent_t *recent, const s3_object_t *object);

#pragma GCC visibility pop

#endif /* S3_RECENT_H */
