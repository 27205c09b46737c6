/*
 * The store over the drives that were given; see store.h.
 */

#include <sys/mman.h>

#include "s3ctl/store.h"

#define S3CTL_SEGMENT ((uint64_t) 4 << 20) /* those in memory */
#define S3CTL_MEMTABLES ((size_t) 32 << 20)


static uint64_t
s3ctl_store_wall(void *ctx)
{
    (void) ctx;

    return s3ctl_wall_us();
}


static void
s3ctl_store_random(void *ctx, void *buf, size_t len)
{
    (void) ctx;

    s3ctl_random(buf, len);
}


static int
s3ctl_store_alive(void *ctx, int64_t pid)
{
    (void) ctx;
    (void) pid;

    return 1;
}


static int
s3ctl_store_node(s3ctl_store_t *s, s3ctl_t *ctl, const s3_format_t *format)
{
    int rc;
    unsigned i;
    s3ctl_drive_t *d;
    s3_node_conf_t *nc = &s->conf;

    nc->n = format->drives;
    nc->zone_size = s3_align(
        s3_node_zone_min(nc->n, 0) + S3CTL_MEMTABLES * nc->n, (size_t) 4096);
    nc->fresh = 1;
    nc->parity = format->parity;
    nc->node = 1;
    nc->segment_size = S3CTL_SEGMENT;
    nc->wall_us = s3ctl_store_wall;
    nc->random = s3ctl_store_random;
    nc->log = s3ctl_log;
    nc->ctx = ctl;

    for (i = 0; i < nc->n; i++) {
        d = s3ctl_place(ctl, i);
        nc->fs[i] = s->fs[i] = d ? d->fs : NULL;
        nc->name[i] = d ? d->path : NULL;
    }

    nc->zone = mmap(NULL, nc->zone_size, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (nc->zone == MAP_FAILED) {
        nc->zone = NULL;
        return S3_ENOMEM;
    }

    s->loop = s3ctl_loop_create(s->fs, nc->n, (int) ctl->verbose);
    rc = s->loop ? s3_node_recover(nc) : S3_ENOMEM;

    return rc == S3_OK ? s3_node_attach(nc, s->loop, S3_NODE_ANY_SLOT, 1,
                                        s3ctl_store_alive, &s->node)
                       : rc;
}


static int
s3ctl_store_make(s3ctl_store_t *s, const s3_format_t *format)
{
    unsigned i;
    s3_store_conf_t sc;

    memset(&sc, 0, sizeof(sc));
    sc.loop = s->loop;
    sc.n = s->conf.n;
    sc.parity[0] = format->parity;
    sc.parity[1] = s3_min(format->parity, 1u);
    sc.node = 1;
    sc.seed = s3_get64(format->store);
    sc.hedge_ms = S3CTL_PATIENCE * 1000 / 8; /* drives are read in turn */
    sc.clock = s3_node_clock;
    sc.clock_ctx = s->node;

    for (i = 0; i < sc.n; i++) {
        sc.drives[i] = s3_node_drive(s->node, i);
    }

    s->store = s3_store_create(&sc);

    if (s->store) {
        s->buckets = s3_buckets_create(s->store, s->loop);
    }

    return s->buckets ? S3_OK : S3_ENOMEM;
}


int
s3ctl_store_open(s3ctl_store_t *s, s3ctl_t *ctl, const s3_format_t *format)
{
    int rc;

    memset(s, 0, sizeof(*s));
    rc = s3ctl_store_node(s, ctl, format);

    return rc == S3_OK ? s3ctl_store_make(s, format) : rc;
}


/* What is under way comes to its end first. */

void
s3ctl_store_close(s3ctl_store_t *s)
{
    unsigned i;
    int never = 0;

    if (s->buckets) {
        s3_buckets_destroy(s->buckets);
    }

    if (s->store) {
        s3_store_destroy(s->store);
    }

    if (s->node) {
        s3_node_quiesce(s->node);

        for (i = 0; i < 100 && s3_node_busy(s->node); i++) {
            (void) s3ctl_loop_run(s->loop, &never, 0);
        }

        if (s3_node_busy(s->node) == 0) {
            s3_node_detach(s->node);
        }
    }

    s3ctl_loop_destroy(s->loop);

    if (s->conf.zone) {
        (void) munmap(s->conf.zone, s->conf.zone_size);
    }
}
