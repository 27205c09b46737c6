
/*
 * The life of the store in nginx.
 *
 *   master, init_module    finds the drives, takes their locks, makes or joins
 *                          the mapping, recovers (before any worker runs)
 *   worker, init_process   joins the mapping, starts the loop, makes s3_store_t
 *   worker, exit_process   finishes what is under way, leaves the mapping
 *
 * Reload: the new cycle and its workers use the mapping that the master holds.
 * Binary upgrade: the new master joins it by the store's id.  Both generations
 * of workers serve the drives at the same time.  Any other nginx is refused by
 * the lock on <drive>/lock.
 */

#ifndef _NGX_S3_STORE_H_INCLUDED_
#define _NGX_S3_STORE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "storage/s3_store.h"
#include "storage/s3_zone.h"

#pragma GCC visibility push(hidden)


/*
 * Filled by the directives, lives in the cycle's pool.  Zero means default for
 * all but paths; a parity that is NGX_CONF_UNSET_UINT is the default for the
 * number of drives (ngx_s3_store_parity()).
 */

typedef struct {
    ngx_array_t  *paths;                  /* of ngx_str_t, full, in order */
    ngx_uint_t    parity[S3_CLASSES];
    size_t        zone_size;              /* default 64m */
    size_t        segment_size;           /* default 16m */
    uint32_t      node;                   /* default 1 */
    ngx_uint_t    threads;                /* of a drive and worker, 3 */
    ngx_uint_t    aio_depth;              /* of a worker, 256 */
    ngx_msec_t    hedge;                  /* default 1000 */
    time_t        scrub;                  /* seconds, 0: off; no default */
} ngx_s3_store_conf_t;


/* 2-3 drives: 1, 4-5: 2, 6-7: 3, 8 and more: 4; reduced: one less, 1 at
 * least where there are two drives */
ngx_uint_t ngx_s3_store_parity(ngx_uint_t drives, ngx_uint_t storage_class);

/*
 * Wanted between the two, so that a reload with what cannot be done is refused
 * and the old configuration goes on: an error in init_module is the end of
 * nginx.  Call it at the end of the http{} block (init_main_conf or
 * postconfiguration).  It checks conf, and arranges for the store to be
 * opened when all of nginx.conf has been read: drives, locks, recovery.
 * conf must live as long as the cycle.  NGX_CONF_ERROR was logged.
 */
char *ngx_s3_store_configure(ngx_conf_t *cf, ngx_s3_store_conf_t *conf);

/*
 * Appends what `arg` names to `paths` (ngx_str_t, NUL after each): a path, or
 * with any number of groups {1...8}, {01...16}: the last group runs fastest.
 * In nginx.conf such an argument has to be quoted, since "{" begins a block.
 * Relative paths are taken from nginx's prefix.  NGX_CONF_OK, or an error that
 * nginx prints after the directive's name; NGX_CONF_ERROR was logged.
 */
char *ngx_s3_store_expand_drives(ngx_conf_t *cf, ngx_str_t *arg,
    ngx_array_t *paths);

/*
 * From the module's init_module: this configuration is in force now; NGX_ERROR
 * was logged.  conf == NULL: it has no store.
 */
ngx_int_t ngx_s3_store_init_module(ngx_cycle_t *cycle,
    ngx_s3_store_conf_t *conf);

/* From init_process; in helper processes they do nothing. */
ngx_int_t ngx_s3_store_init_process(ngx_cycle_t *cycle);
void ngx_s3_store_exit_process(ngx_cycle_t *cycle);
void ngx_s3_store_exit_master(ngx_cycle_t *cycle);

/* NULL outside of a worker with a store. */
s3_store_t *ngx_s3_store_get(void);
s3_loop_t *ngx_s3_store_loop(void);

/*
 * The node as every worker sees it.  Counters are memory for those who handle
 * requests, zero at first: NGX_S3_COUNTERS bytes of each process, which alone
 * writes there; NGX_S3_COUNTERS_SLOTS of them.
 */

#define NGX_S3_COUNTERS        8192
#define NGX_S3_COUNTERS_SLOTS  S3_ZONE_PROCS

typedef struct {
    const s3_zone_t     *zone;
    char               **path;        /* of the drives */
    uint64_t             uptime;      /* seconds, of the store */
    const u_char        *counters;    /* of all slots */
} ngx_s3_store_view_t;

/* NGX_DECLINED outside of a worker with a store. */
ngx_int_t ngx_s3_store_view(ngx_s3_store_view_t *view);

/* Those of this process, aligned to 4096; NULL likewise. */
void *ngx_s3_store_counters(void);

/* Seed for request ids and the like: the store's 16-byte id; NULL: no store */
const u_char *ngx_s3_store_id(void);


#pragma GCC visibility pop

#endif /* _NGX_S3_STORE_H_INCLUDED_ */
