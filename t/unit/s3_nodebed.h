/*
 * Real drives in memory (s3_memfs.h) with what stands on them, for unit tests:
 * a node per process, and a store over it.
 *
 *   s3_nodebed_init()      an empty world: drives, shared memory
 *     s3_nodebed_up()        recovery, one process without a store
 *     s3_nodebed_down()
 *   or, with a bed_t of s3_testbed.h:
 *     s3_nodebed_start()     recovery, processes with a store each
 *     s3_nodebed_stop()
 *   s3_nodebed_free()
 *
 * Up and down, start and stop as often as one likes; `nc`, `sc` and `disks`
 * may be changed between them.  What cannot be done ends the program.
 */

#ifndef S3_NODEBED_H
#define S3_NODEBED_H

#include "storage/s3_node.h"
#include "storage/s3_store.h"
#include "storage/s3_zone.h"
#include "t/sim/s3_memfs.h"
#include "t/sim/s3_testbed.h"

#define S3_NODEBED_SEGMENTS 64
#define S3_NODEBED_SECOND 1000000ull


/* How processes end; 0: as they should. */
#define S3_NODEBED_KILL 1  /* kill -9 of all */
#define S3_NODEBED_POWER 2 /* then the power goes */


typedef struct {
    s3_sim_t *sim;
    bed_t *b; /* NULL: without stores */
    s3_memfs_t *disks[S3_MAX_DRIVES];
    s3_zone_t *zone;
    s3_node_conf_t nc;  /* of the next recovery */
    s3_store_conf_t sc; /* of the next start; but loop, drives, clock */

    s3_loop_t *loop[BED_COORDINATORS];
    s3_node_t *node[BED_COORDINATORS];
    int64_t pid;    /* of the process that came last */
    int64_t below;  /* those before this one are dead, */
    int64_t killed; /* and this one */

    char said[2048]; /* the last error that was logged */
} s3_nodebed_t;


/* n drives, of which m are parity, segments of that many bytes.  With b: its
 * sim, world, n, m are set, and n_stores to 2. */
void s3_nodebed_init(s3_nodebed_t *nb, bed_t *b, uint64_t seed, unsigned n,
                     unsigned m, uint64_t segment_size);
void s3_nodebed_free(s3_nodebed_t *nb);

/* Another zone in the place of the first one: nothing is up. */
void s3_nodebed_zone(s3_nodebed_t *nb, size_t size);

/* s3_node_recover(), of what s3_nodebed_drives() said is there. */
int s3_nodebed_recover(s3_nodebed_t *nb);
void s3_nodebed_drives(s3_nodebed_t *nb, uint32_t missing);

/* One process, without a store. */
void s3_nodebed_up(s3_nodebed_t *nb, uint32_t missing);
void s3_nodebed_down(s3_nodebed_t *nb);

/* b->n_stores processes with a store each, b->store[]. */
void s3_nodebed_start(s3_nodebed_t *nb, uint32_t missing);
void s3_nodebed_stop(s3_nodebed_t *nb, unsigned how);
void s3_nodebed_kill(s3_nodebed_t *nb, unsigned j); /* kill -9 of one */

/* The first store heals for so long; nobody does, and all end as they should. */
void s3_nodebed_heal(s3_nodebed_t *nb, uint64_t us);
void s3_nodebed_quit(s3_nodebed_t *nb);

/* As all see it. */
s3_drive_state_t s3_nodebed_state(const s3_nodebed_t *nb, unsigned d);

/* Process j finds the drive there: s3_node_return(), or s3_node_replace(), and
 * what comes of it. */
int s3_nodebed_come(s3_nodebed_t *nb, unsigned j, unsigned d, int replace);

/* Files below blob/ of all drives. */
unsigned s3_nodebed_blobs(const s3_nodebed_t *nb);

/* Another drive with all that this one has on it now. */
s3_memfs_t *s3_nodebed_copy(s3_nodebed_t *nb, unsigned d);

/* As s3_node_attach() wants it. */
int s3_nodebed_alive(void *nb, int64_t pid);

#endif /* S3_NODEBED_H */
