/*
 * A world in memory, for tests: drives (s3_fs_t), processes (s3_loop_t) that
 * share them, virtual time, and everything that can go wrong, all from one
 * seed.  The same seed and the same calls give the same run.
 *
 *   s3_sim_t ──┬── s3_memfs_t  drive 0   ◄── files, directories
 *              ├── s3_memfs_t  drive 1
 *              ├── s3_loop_t   a process: aio, tasks, timers, defers
 *              └── s3_loop_t   another one
 *
 * What a power cut leaves (s3_memfs_crash):
 *   - file data that was synced, or written with dsync and completed;
 *   - of all other writes a random subset of 512-byte pieces, be they written
 *     and not synced or still in flight;
 *   - names that syncdir() of their directory has covered; of later changes a
 *     random number, in order, the rest undone.  A rename is atomic.
 *
 * I/O counter: every call of s3_fs_t but close, and every aio, counts one
 * (an aio when it takes effect).  Faults are put at a count, or drawn with a
 * probability.
 */

#ifndef S3_MEMFS_H
#define S3_MEMFS_H

#include "storage/s3_core.h"
#include "storage/s3_io.h"


typedef struct s3_sim_s s3_sim_t;
typedef struct s3_memfs_s s3_memfs_t;


typedef enum {
    S3_FAULT_NONE = 0,
    S3_FAULT_EIO,
    S3_FAULT_ENOSPC, /* writes, allocate, create; EIO elsewhere */
    S3_FAULT_SHORT,  /* read: fewer bytes; write: a part, then S3_EIO */
    S3_FAULT_FLIP,   /* one bit of what is read or written; rc is S3_OK */
    S3_FAULT_TORN,   /* write: a random subset, S3_EIO */
    S3_FAULT_STOP    /* the world stops before this I/O: no further event
                      * happens, every call fails; then crash the drives */
} s3_fault_t;

s3_sim_t *s3_sim_create(uint64_t seed);
void s3_sim_destroy(s3_sim_t *sim); /* with drives and loops */

uint64_t s3_sim_random(s3_sim_t *sim, uint64_t below); /* 0..below-1 */
uint64_t s3_sim_now(const s3_sim_t *sim);              /* microseconds */


/* Drives.  Empty, or with a store's directories (log, index, blob, tmp). */

s3_memfs_t *s3_memfs_create(s3_sim_t *sim, unsigned drive, int dirs);
s3_fs_t *s3_memfs_fs(s3_memfs_t *m);
void s3_memfs_set_capacity(s3_memfs_t *m, uint64_t bytes); /* then ENOSPC */

/* Power cut of this drive, now; it is usable again at once.  Open files stay
 * valid handles that fail; kill the processes. */
void s3_memfs_crash(s3_memfs_t *m);

/* Everything fails with S3_EIO while it is set. */
void s3_memfs_set_dead(s3_memfs_t *m, int dead);

/* What is asked of it happens only when it goes on. */
void s3_memfs_set_hung(s3_memfs_t *m, int hung);

/* Flips one bit at rest.  S3_ENOENT, S3_EINVAL. */
int s3_memfs_rot(s3_memfs_t *m, const char *path, uint64_t off, unsigned bit);

unsigned s3_memfs_open_files(const s3_memfs_t *m);
uint64_t s3_memfs_used(const s3_memfs_t *m); /* bytes of all files */


/* Faults.  drive -1: any. */

uint64_t s3_sim_ios(const s3_sim_t *sim);
void s3_sim_fault_at(s3_sim_t *sim, uint64_t io, s3_fault_t fault); /* one */
void s3_sim_fault_rate(s3_sim_t *sim, int drive, s3_fault_t fault,
                       unsigned per_million); /* 0: none any more */
void s3_sim_fault_clear(s3_sim_t *sim);       /* all of them */
int s3_sim_stopped(const s3_sim_t *sim);
void s3_sim_resume(s3_sim_t *sim); /* after S3_FAULT_STOP and the crashes */


/* Processes. */

s3_loop_t *s3_sim_loop(s3_sim_t *sim);
void s3_sim_skew(s3_loop_t *loop, int64_t us); /* its wall clock is off */

/* kill -9: nothing of it is called any more.  Writes it has submitted reach
 * the drive some time, or not; a task that has not run never does.  What the
 * process had in memory is the caller's to free after this. */
void s3_sim_kill(s3_loop_t *loop);

/* Whose turn or task it is, or was: a test may end the thread that runs the
 * world in the middle of a call, and then kill that process. */
s3_loop_t *s3_sim_running(s3_sim_t *sim);


/* One turn of one loop; 0 when nothing is left to do (background timers do
 * not count) or the world has stopped. */
int s3_sim_step(s3_sim_t *sim);
void s3_sim_run(s3_sim_t *sim);                /* until 0 */
int s3_sim_until(s3_sim_t *sim, int *flag);    /* until *flag; 0: never came */
void s3_sim_sleep(s3_sim_t *sim, uint64_t us); /* runs all that is due */
void s3_sim_slow(s3_sim_t *sim, unsigned factor); /* drives; 1: not */
void s3_sim_jump(s3_sim_t *sim, uint64_t us);     /* everybody stood still */
void s3_sim_verbose(s3_sim_t *sim, int on);       /* loop->log() to stderr */

#endif /* S3_MEMFS_H */
