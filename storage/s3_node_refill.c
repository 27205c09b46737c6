/*
 * A drive that was new at its place has been filled: format.json says so
 * before the zone does, for what counts must count after a restart, too.
 */

#include "storage/s3_node_int.h"
#include "storage/s3_format.h"
#include <stdlib.h>


typedef struct {
    s3_node_t *node;
    unsigned drive;
    s3_fs_t *fs;
    uint8_t id[16];
    int rc;
    s3_task_t task;
} s3_node_refill_t;


static void
s3_node_refilled_run(s3_task_t *task)
{
    s3_node_refill_t *rf = task->ctx;
    s3_fs_t *fs;
    s3_format_t f;

    fs = rf->fs;

    rf->rc = fs ? s3_format_load(fs, &f) : S3_EUNAVAIL;

    if (rf->rc == S3_OK
        && (f.state < S3_FORMAT_READY || memcmp(f.drive, rf->id, 16) != 0))
    {
        rf->rc = S3_EFOREIGN;
    }

    if (rf->rc == S3_OK && f.state == S3_FORMAT_REFILL) {
        f.state = S3_FORMAT_READY;
        rf->rc = s3_format_save(fs, &f);
    }
}


/* What was damaged in the log is made up for: the next start need not look. */

static void
s3_node_forgive(s3_zone_t *z, unsigned drive)
{
    unsigned i;
    uint32_t lost;
    s3_zseg_t *s;
    s3_zdrive_t *d = &z->drives[drive];

    s3_zone_lock(d);
    lost = __atomic_load_n(&d->lost, __ATOMIC_ACQUIRE);

    for (i = 0; lost && i < z->max_segments; i++) {
        s = &s3_zone_segments(z, drive)[i];

        if (s->id && s->state == S3_SEG_SEALED && s->flags & S3_ZSEG_NOCLEAN) {
            s->replay_from = s3_max(s->replay_from, s->end);
        }
    }

    __atomic_store_n(&d->lost,
                     lost == S3_ZLOST_RECORDS ? S3_ZLOST_FILLED : S3_ZLOST_NONE,
                     __ATOMIC_RELEASE);
    s3_zone_unlock(d);
}


static void
s3_node_refilled_done(s3_task_t *task)
{
    uint32_t from;
    s3_node_refill_t *rf = task->ctx;
    s3_node_t *node = rf->node;
    s3_zdrive_t *d = &node->zone->drives[rf->drive];

    if (rf->rc == S3_OK) {
        s3_node_forgive(node->zone, rf->drive);
        __atomic_store_n(&d->refilling, 0, __ATOMIC_RELEASE);

        from = S3_DRIVE_REFILLING;
        (void) __atomic_compare_exchange_n(&d->state, &from, S3_DRIVE_OK, 0,
                                           __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);

        s3_node_drive(node, rf->drive)->state =
            (s3_drive_state_t) s3_zone_state(d);

        node->loop->log(node->loop, S3_LOG_NOTICE, "drive %u: is in use",
                        rf->drive + 1);

    } else {
        node->loop->log(node->loop, S3_LOG_ERR,
                        "drive %u: format.json cannot be written: %s",
                        rf->drive + 1, s3_strerror(rf->rc));
    }

    s3_zone_unclaim(node->zone, &d->returning, node->slot);
    node->filled &= ~((uint32_t) 1 << rf->drive);
    node->returning--;
    free(rf);
}


void
s3_node_refilled(s3_node_t *node, unsigned drive)
{
    s3_zdrive_t *d;
    s3_node_refill_t *rf;

    if (drive >= node->n || node->quiet) {
        return;
    }

    d = &node->zone->drives[drive];

    if (s3_zone_state(d) != S3_DRIVE_REFILLING || node->filled >> drive & 1
        || !s3_zone_claim(node->zone, &d->returning, node->slot))
    {
        return;
    }

    rf = calloc(1, sizeof(*rf));
    if (rf == NULL) {
        s3_zone_unclaim(node->zone, &d->returning, node->slot);
        return;
    }

    rf->node = node;
    rf->drive = drive;
    rf->fs = s3_local_fs(node->locals[drive]);
    memcpy(rf->id, d->id, 16);
    node->filled |= (uint32_t) 1 << drive;
    rf->task.run = s3_node_refilled_run;
    rf->task.done = s3_node_refilled_done;
    rf->task.ctx = rf;
    rf->task.drive = drive;
    node->returning++;
    node->loop->post_background(node->loop, &rf->task);
}
