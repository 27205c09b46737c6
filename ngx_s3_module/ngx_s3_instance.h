
/*
 * What ngx_s3_store.c (opens the store, in the master), ngx_s3_store_conf.c
 * and ngx_s3_store_process.c (workers) share: the store of this process.
 */

#ifndef _NGX_S3_INSTANCE_H_INCLUDED_
#define _NGX_S3_INSTANCE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "storage/s3_node.h"
#include "ngx_s3_store.h"

#pragma GCC visibility push(hidden)


/*
 * The shared memory:
 *
 *   0                 NGX_S3_SHARED_HEAD    NGX_S3_SHARED_SIZE
 *   ┌─────────────────┬─────────────────────┬─────────────────────────────┐
 *   │ ngx_s3_shared_t │ counters, 8k of     │ the zone of                 │
 *   │                 │ each process        │ storage/s3_node.h           │
 *   └─────────────────┴─────────────────────┴─────────────────────────────┘
 *
 * Counters: of the process that has that slot of the node, which goes on where
 * the one before it ended or died; the sum of all is what counts.
 */

#define NGX_S3_SHARED_HEAD   4096
#define NGX_S3_SHARED_SIZE                                                    \
    (NGX_S3_SHARED_HEAD + S3_NODE_PROCS * NGX_S3_COUNTERS)
#define NGX_S3_SHARED_MAGIC  0x3265726168733373ULL

typedef struct {
    uint64_t            magic;
    uint64_t            size;         /* of all of it */
    uint8_t             instance[16];
    uint32_t            drives;
    uint32_t            paths;        /* CRC32 of all, in order */
    uint32_t            parity;       /* of S3_CLASS STANDARD: W hangs on it */
    uint32_t            node;

    int64_t             master;       /* pid that the locks tell */
    int64_t             guardian;     /* process that heals and watches */
    uint64_t            started;      /* seconds, since boot */
    uint64_t            hung[S3_MAX_DRIVES];   /* until then, in ms */
} ngx_s3_shared_t;


typedef struct {
    ngx_uint_t          n;
    char               *path[S3_MAX_DRIVES];
    s3_fs_t            *fs[S3_MAX_DRIVES];
    int                 lock[S3_MAX_DRIVES];    /* -1: not held */
    unsigned            present[S3_MAX_DRIVES]; /* at the start */
    unsigned            hung[S3_MAX_DRIVES];    /* then */
    unsigned            empty[S3_MAX_DRIVES];   /* then, and not to be used */

    int                 fd;
    size_t              size;
    ngx_s3_shared_t    *shared;

    uint8_t             instance[16];
    uint8_t             id[16];

    uint32_t            node;
    ngx_uint_t          standard;     /* parity that cannot change */
    uid_t               user;
    gid_t               group;

    /* of the configuration in force */
    ngx_uint_t          parity[S3_CLASSES];
    size_t              segment_size;
    ngx_uint_t          threads;
    ngx_uint_t          aio_depth;
    ngx_msec_t          hedge;
    time_t              scrub;

    unsigned            opened:1;
    unsigned            active:1;     /* the configuration has a store */
} ngx_s3_instance_t;


extern ngx_s3_instance_t  ngx_s3_instance;


/* Seconds since the machine was started. */
uint64_t ngx_s3_store_boottime(void);

/* Opens it if it is not, or checks that conf goes with what is open. */
ngx_int_t ngx_s3_instance_open(ngx_cycle_t *cycle, ngx_s3_store_conf_t *conf);

/* What does not go with an open store, logged; NGX_OK or NGX_ERROR. */
ngx_int_t ngx_s3_instance_check(ngx_s3_store_conf_t *conf, ngx_log_t *log);

/* For recover and attach; fs of drives that are not there is NULL. */
void ngx_s3_instance_node_conf(ngx_s3_instance_t *in, s3_node_conf_t *nc,
    ngx_log_t *log);

void ngx_s3_instance_owner(ngx_s3_instance_t *in, ngx_cycle_t *cycle,
    void *owner);


/* Which drives answer at all?  Sets in->hung.  probe: with a small file. */
void ngx_s3_drives_ask(ngx_s3_instance_t *in, ngx_uint_t probe,
    ngx_log_t *log);

/* Are those that are in->present what the configuration says?  A server may be
 * at work on them: nothing is written. */
ngx_int_t ngx_s3_drives_look(ngx_s3_instance_t *in, ngx_log_t *log);

/* Which drives are there?  Sets in->present and in->empty. */
void ngx_s3_drives_find(ngx_s3_instance_t *in, ngx_log_t *log);

/* Opens them, and gives them to the workers' user. */
ngx_int_t ngx_s3_drives_attach(ngx_cycle_t *cycle, ngx_s3_instance_t *in);

ngx_uint_t ngx_s3_drives_formatted(const char *path);

/*
 * What is at the place of a drive.  An empty directory may be the place where
 * a drive is to be mounted that is merely away: it is taken for a new one only
 * where
 *
 *   - it has the file S3_FORMAT_MARK, or
 *   - something is mounted there, or
 *   - of the drives in the mask `others` that have data none is a mount point
 *     and one is on the same file system, and /etc/fstab mounts nothing there.
 *
 * Blocking; touches drives in the mask and the one in question.
 */

typedef enum {
    NGX_S3_SITE_ABSENT = 0,    /* no directory, or not to be looked at */
    NGX_S3_SITE_DRIVE,         /* format.json */
    NGX_S3_SITE_OTHER,         /* something else is in it */
    NGX_S3_SITE_EMPTY,         /* not to be used */
    NGX_S3_SITE_NEW            /* empty, to be used */
} ngx_s3_site_t;

ngx_s3_site_t ngx_s3_drives_site(ngx_s3_instance_t *in, ngx_uint_t drive,
    uint32_t others);


static ngx_inline void *
ngx_s3_instance_zone(ngx_s3_instance_t *in)
{
    return (u_char *) in->shared + NGX_S3_SHARED_SIZE;
}


#pragma GCC visibility pop

#endif /* _NGX_S3_INSTANCE_H_INCLUDED_ */
