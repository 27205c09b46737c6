/*
 * A drive that was put back as it once was: all on it fits, and is old.  The
 * others know better, by their MANIFESTs; so does the zone, of a drive that was
 * away.
 */

#include "storage/s3_recover_int.h"


/* One that is known here is behind what this one knows of it.  Where it is at
 * work it has saved more since it was read; what it had lost by then is not seen
 * if that is as much. */

static void
s3_replay_behind(s3_replay_t *rp, s3_zdrive_t *d, uint64_t generation)
{
    uint64_t known;

    s3_zone_lock(d);

    known = rp->r->gentle ? d->manifest_generation : d->manifest_found;

    if (generation > known) {
        __atomic_store_n(&d->lost, S3_ZLOST_RECORDS, __ATOMIC_RELEASE);
        d->manifest_generation = s3_max(d->manifest_generation, generation);
        d->manifest_found = generation;
    }

    s3_zone_unlock(d);
}


/* What the others are known to have come to. */

static void
s3_replay_peers(s3_replay_t *rp)
{
    unsigned i;
    uint64_t generation;
    s3_zdrive_t *d;
    const s3_manifest_peer_t *p;
    static const uint8_t none[16];

    for (i = 0; i < rp->z->n; i++) {
        d = &rp->z->drives[i];
        p = &rp->manifest.peers[i];

        if (i == rp->r->drive || p->generation == 0) {
            continue;
        }

        if (!d->known && memcmp(d->id, none, 16) == 0) {
            memcpy(d->id, p->drive, 16);
        }

        if (memcmp(d->id, p->drive, 16) != 0) {
            continue; /* it was replaced */
        }

        if (!d->known) {
            generation = s3_max(d->manifest_saved, p->generation);
            __atomic_store_n(&d->manifest_saved, generation, __ATOMIC_RELAXED);

        } else {
            s3_replay_behind(rp, d, p->generation);
        }
    }
}


int
s3_replay_older(s3_replay_t *rp)
{
    int older;
    s3_zdrive_t *d = rp->d;
    uint64_t generation = rp->manifest.generation;

    older = 0;

    if (!rp->lost) {
        s3_replay_peers(rp);
        older = generation < d->manifest_saved;
        generation = s3_max(generation, d->manifest_saved);
    }

    /* the next one is greater than all that were seen of it */
    d->manifest_generation = generation;
    __atomic_store_n(&d->manifest_saved, generation, __ATOMIC_RELAXED);
    d->manifest_found = rp->lost ? UINT64_MAX : generation;

    return older;
}
