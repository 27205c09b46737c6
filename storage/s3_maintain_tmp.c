/*
 * Blobs that were being written when their process was killed: nobody but it
 * knew of them.  What is in tmp/ says whose it is, so a look finds all of
 * them: when a process was settled here, also one whose settler was without
 * the drive; when the lease has a new holder, or the drive was opened anew;
 * and from time to time, for what could not be removed.
 *
 * Who is gone renames nothing any more.  One that has left had no blob under
 * way (s3_blobs_idle()); one that was found dead was so to the kernel, which
 * keeps a process for as long as any of its threads is in a call, at a drive
 * that hangs, too.  And a slot's incarnation is not that of the newcomer before
 * the newcomer creates a file.
 *
 * Slots and incarnations are the zone's, and begin anew with it; then tmp/ is
 * emptied.  Where it could not be (a drive that is read-only then) an older
 * file may seem to be a living process', and stays as long as that lives.
 */

#include "storage/s3_maintain.h"

#define S3_TMP_MS 60000 /* between looks, at most */


static int
s3_tmp_gone(void *ctx, unsigned slot, uint32_t incarnation)
{
    s3_maintain_t *m = ctx;

    if (__atomic_load_n(&m->l->quiet, __ATOMIC_RELAXED)) {
        return S3_AGAIN; /* another process goes on */
    }

    /* no zone of ours has such a slot: not our file */
    if (slot >= S3_ZONE_PROCS) {
        return 0;
    }

    return s3_zone_proc_gone(m->l->zone, slot, incarnation);
}


static void
s3_tmp_run(s3_task_t *task)
{
    s3_maintain_t *m = task->ctx;

    m->tmp_rc = s3_blob_clean_gone(m->l->fs, s3_tmp_gone, m, &m->tmp_removed);
}


static void
s3_tmp_done(s3_task_t *task)
{
    s3_maintain_t *m = task->ctx;
    s3_local_t *l = m->l;

    m->sweeping = 0;

    if (m->tmp_removed) {
        l->loop->log(l->loop, S3_LOG_NOTICE,
                     "drive %u: removed %u unfinished blobs of processes that "
                     "are gone",
                     l->index + 1, m->tmp_removed);
    }

    if (m->tmp_rc != S3_OK && m->tmp_rc != S3_AGAIN) {
        s3_zone_count(&l->zd->errors);
        l->loop->log(l->loop, S3_LOG_WARN, "drive %u: tmp/: %s", l->index + 1,
                     s3_strerror(m->tmp_rc));
    }
}


void
s3_maintain_tmp(s3_maintain_t *m, uint64_t now)
{
    uint64_t settled;
    s3_local_t *l = m->l;

    settled = __atomic_load_n(&l->zd->settled, __ATOMIC_ACQUIRE) + 1;

    if (m->sweeping || l->quiet
        || (now < m->tmp_next && settled == m->tmp_settled)) {
        return;
    }

    m->sweeping = 1;
    m->tmp_settled = settled;
    m->tmp_next = now + S3_TMP_MS;

    m->tmp_task.run = s3_tmp_run;
    m->tmp_task.done = s3_tmp_done;
    m->tmp_task.ctx = m;
    m->tmp_task.drive = l->index;
    l->loop->post_background(l->loop, &m->tmp_task);
}
