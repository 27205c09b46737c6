/*
 * A drive that was put back as it once was: all on it fits, and is old.  The
 * others know better, by their MANIFESTs; so does the zone, of a drive that was
 * away.
 */

#include "storage/s3_recover_int.h"


/* What the others are known to have come to.  One that was read before this one
 * and is behind that has lost records.  Where others are at work it is too late
 * to say so: the scrub finds what it lacks. */

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

        } else if (p->generation > d->manifest_found && !rp->r->gentle) {
            d->lost = S3_ZLOST_RECORDS;
            d->manifest_generation =
                s3_max(d->manifest_generation, p->generation);
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
