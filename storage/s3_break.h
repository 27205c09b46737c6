/*
 * Deliberate damage, for tests of the tests: a build with S3_BREAKS can leave
 * out, one at a time, what the store's promises rest on, and the simulator
 * must find out.  In any other build s3_break() is 0 and nothing of it is
 * there.
 *
 *   if (!s3_break(NO_SYNC)) {
 *       aio->dsync = 1;
 *   }
 */

#ifndef S3_BREAK_H
#define S3_BREAK_H

#define S3_BREAK_LIST(X) \
    X(NONE)              \
    X(NO_SYNC)           \
    X(NO_BLOB_SYNC)      \
    X(EARLY_YES)         \
    X(NO_UNIT_SUM)       \
    X(NO_RECORD_SUM)     \
    X(LOCK_LOST)         \
    X(DROP_EARLY)        \
    X(ACK_AT_W)          \
    X(COMPLETE_AT_W)     \
    X(RETRY)             \
    X(NO_NOTES)          \
    X(WEAK_KILL)         \
    X(READ_RAW)          \
    X(SKIP_UNCONFIRMED)  \
    X(SKIP_UNKNOWN)      \
    X(NO_FENCE)          \
    X(CAS_BLIND)         \
    X(NO_ORDER)          \
    X(REFUSE_PENDING)    \
    X(NO_RING)           \
    X(AMNESIA)           \
    X(HALF_QUORUM)       \
    X(SILENCE_IS_NO)     \
    X(PENDING_KEPT)      \
    X(PENDING_LEFT)      \
    X(PARTS_TAKEN)       \
    X(BUCKET_OPEN)       \
    X(BUCKET_KNOWN)      \
    X(EARLY_PURGE)       \
    X(DOUBT_IS_EMPTY)

#ifdef S3_BREAKS

#define S3_BREAK_ENUM(name) S3_BREAK_##name,

typedef enum { S3_BREAK_LIST(S3_BREAK_ENUM) S3_BREAK_COUNT } s3_break_t;

extern s3_break_t s3_broken;

#define s3_break(name) (s3_broken == S3_BREAK_##name)

#else

#define s3_break(name) 0

#endif

#endif /* S3_BREAK_H */
