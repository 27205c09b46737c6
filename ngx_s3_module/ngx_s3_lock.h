/*
 * Who owns a drive, and the memory that the owners share.  Knows no nginx.
 *
 * <drive>/lock is locked (flock) by every process of one nginx, and names the
 * instance: a random number drawn when the store was opened.
 *
 *   first start      exclusive; after recovery shared
 *   fork             workers inherit the lock with the descriptor
 *   binary upgrade   so does the new master: the descriptors are not
 *                    close-on-exec in the master, and are found again by
 *                    looking through /proc/self/fd.  Nobody else can have one.
 *   a drive returns  the first process takes it exclusively and writes the
 *                    instance, the others join with a shared lock
 *
 * The shared memory is an anonymous file on tmpfs (memfd) with the instance in
 * its name, inherited and found in the same way.  So nothing is left behind
 * however nginx ends: the kernel drops lock and memory with the last process.
 *
 * All return S3_OK or a negative code.
 */

#ifndef NGX_S3_LOCK_H
#define NGX_S3_LOCK_H

#include "storage/s3_core.h"

#pragma GCC visibility push(hidden)


typedef struct {
    uint8_t  instance[16];
    int64_t  pid;
    char     nginx[512];         /* its pid file, for messages */
} ngx_s3_owner_t;


/* The descriptor of <dir>/lock that was inherited through exec, or -1. */
int ngx_s3_lock_inherited(const char *dir);

/*
 * Exclusively.  S3_EBUSY: `owner` says who has it (all zero: unknown).  The
 * file is created where missing and given to uid unless that is -1.
 */
int ngx_s3_lock_take(const char *dir, uid_t uid, gid_t gid, int *fd,
    ngx_s3_owner_t *owner);

/* Writes the owner into a file that is locked exclusively; shares the lock. */
int ngx_s3_lock_share(int fd, const ngx_s3_owner_t *owner);

/* Writes the owner; who calls has the lock, of either kind. */
int ngx_s3_lock_write(int fd, const ngx_s3_owner_t *owner);

/* A shared lock, if the owner is this instance; else S3_EBUSY, S3_EFOREIGN */
int ngx_s3_lock_join(const char *dir, const uint8_t instance[16], int *fd);

/* S3_ECORRUPT: nothing readable in it */
int ngx_s3_lock_read(int fd, ngx_s3_owner_t *owner);

/* Inherited over exec or not. */
void ngx_s3_lock_inherit(int fd, int on);


int ngx_s3_memory_create(const uint8_t instance[16], size_t size, int *fd);
int ngx_s3_memory_inherited(const uint8_t instance[16], size_t *size);

/*
 * A name of a process that is never used twice (pid and start time), and
 * whether the process so named still is there, be it as a zombie.
 */
int64_t ngx_s3_process_self(void);
int ngx_s3_process_alive(int64_t process);

#pragma GCC visibility pop

#endif /* NGX_S3_LOCK_H */
