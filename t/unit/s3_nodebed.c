#include "t/unit/s3_nodebed.h"
#include "storage/s3_blob.h"

#include <stdio.h>


static void
must(int done, const char *what)
{
    if (!done) {
        fprintf(stderr, "nodebed: %s\n", what);
        exit(1);
    }
}


static uint64_t
wall(void *ctx)
{
    s3_nodebed_t *nb = ctx;

    return 1700000000000000ull + s3_sim_now(nb->sim);
}


static void
fill(void *ctx, void *buf, size_t len)
{
    size_t i;
    s3_nodebed_t *nb = ctx;

    for (i = 0; i < len; i++) {
        ((uint8_t *) buf)[i] = (uint8_t) s3_sim_random(nb->sim, 256);
    }
}


static void
say(void *ctx, int level, const char *message)
{
    s3_nodebed_t *nb = ctx;

    if (level <= S3_LOG_ERR) {
        snprintf(nb->said, sizeof(nb->said), "%s", message);
    }
}


static void
refilled(void *ctx, unsigned drive)
{
    s3_node_refilled(ctx, drive);
}


void
s3_nodebed_zone(s3_nodebed_t *nb, size_t size)
{
    free(nb->zone);
    nb->nc.zone_size = s3_align(size, (size_t) 4096);
    nb->nc.zone = nb->zone = aligned_alloc(4096, nb->nc.zone_size);
    must(nb->zone != NULL, "no memory for the zone");
    memset(nb->zone, 0, nb->nc.zone_size);
}


void
s3_nodebed_init(s3_nodebed_t *nb, bed_t *b, uint64_t seed, unsigned n,
                unsigned m, uint64_t segment_size)
{
    unsigned i;

    memset(nb, 0, sizeof(*nb));
    nb->sim = s3_sim_create(seed);
    nb->b = b;
    nb->below = 1;

    for (i = 0; i < n; i++) {
        nb->disks[i] = s3_memfs_create(nb->sim, i, 0);
    }

    nb->nc.n = n;
    nb->nc.fresh = 1;
    nb->nc.parity = m;
    nb->nc.node = 1;
    nb->nc.segment_size = segment_size;
    nb->nc.max_segments = S3_NODEBED_SEGMENTS;
    nb->nc.wall_us = wall;
    nb->nc.random = fill;
    nb->nc.log = say;
    nb->nc.ctx = nb;
    s3_nodebed_drives(nb, 0);
    s3_nodebed_zone(nb, s3_node_zone_min(n, S3_NODEBED_SEGMENTS)
                            + (b ? 4 * 1024 * 1024 : 0));

    nb->sc.n = n;
    nb->sc.parity[0] = m;
    nb->sc.parity[1] = s3_min(m, 1u);
    nb->sc.node = 1;
    nb->sc.seed = 42;
    nb->sc.clock = s3_node_clock;
    nb->sc.refilled = refilled;

    if (b) {
        memset(b, 0, sizeof(*b));
        b->sim = nb->sim;
        b->world = s3_sim_loop(nb->sim);
        b->n = n;
        b->m = m;
        b->n_stores = 2;
    }
}


void
s3_nodebed_free(s3_nodebed_t *nb)
{
    s3_sim_destroy(nb->sim);
    free(nb->zone);
}


void
s3_nodebed_drives(s3_nodebed_t *nb, uint32_t missing)
{
    unsigned i;

    for (i = 0; i < nb->nc.n; i++) {
        nb->nc.fs[i] = missing >> i & 1 ? NULL : s3_memfs_fs(nb->disks[i]);
    }
}


int
s3_nodebed_recover(s3_nodebed_t *nb)
{
    return s3_node_recover(&nb->nc);
}


int
s3_nodebed_alive(void *ctx, int64_t pid)
{
    s3_nodebed_t *nb = ctx;

    return pid >= nb->below && pid != nb->killed;
}


static void
attach(s3_nodebed_t *nb, unsigned j)
{
    nb->loop[j] = s3_sim_loop(nb->sim);
    must(s3_node_attach(&nb->nc, nb->loop[j], S3_NODE_ANY_SLOT, ++nb->pid,
                        s3_nodebed_alive, &nb->node[j])
             == S3_OK,
         "cannot attach");
}


static void
detach(s3_nodebed_t *nb, unsigned j)
{
    unsigned spins;

    s3_node_quiesce(nb->node[j]);

    for (spins = 0; s3_node_busy(nb->node[j]); spins++) {
        must(spins < 10000, "the node stays busy");
        s3_sim_sleep(nb->sim, 10000);
    }

    s3_node_detach(nb->node[j]);
    s3_sim_kill(nb->loop[j]);
}


void
s3_nodebed_up(s3_nodebed_t *nb, uint32_t missing)
{
    s3_nodebed_drives(nb, missing);
    must(s3_nodebed_recover(nb) == S3_OK, "cannot recover");
    attach(nb, 0);
}


void
s3_nodebed_down(s3_nodebed_t *nb)
{
    detach(nb, 0);
    nb->below = nb->pid + 1;
}


void
s3_nodebed_start(s3_nodebed_t *nb, uint32_t missing)
{
    unsigned i, j;
    bed_t *b = nb->b;
    s3_store_conf_t *sc = &nb->sc;

    s3_nodebed_drives(nb, missing);
    must(s3_nodebed_recover(nb) == S3_OK, "cannot recover");

    for (j = 0; j < b->n_stores; j++) {
        attach(nb, j);
        sc->loop = b->loop[j] = nb->loop[j];
        sc->clock_ctx = nb->node[j];
        sc->refilled_ctx = nb->node[j];
        sc->bucket_changes = s3_node_bucket_changes(nb->node[j]);
        sc->pins = s3_node_pins(nb->node[j]);
        sc->proc = s3_node_slot(nb->node[j]);

        for (i = 0; i < b->n; i++) {
            sc->drives[i] = b->drive[j][i] = s3_node_drive(nb->node[j], i);
        }

        b->store[j] = s3_store_create(sc);
        must(b->store[j] != NULL, "no store");
    }
}


void
s3_nodebed_kill(s3_nodebed_t *nb, unsigned j)
{
    s3_sim_kill(nb->loop[j]);
    s3_node_abandon(nb->node[j]);
    nb->node[j] = NULL;
    nb->killed = nb->pid - nb->b->n_stores + 1 + j;
}


void
s3_nodebed_stop(s3_nodebed_t *nb, unsigned how)
{
    unsigned i, j;
    bed_t *b = nb->b;

    for (j = 0; j < b->n_stores; j++) {
        if (nb->node[j] == NULL) {
            continue;
        }

        if (how & S3_NODEBED_KILL) {
            s3_nodebed_kill(nb, j);

        } else {
            s3_store_destroy(b->store[j]);
            detach(nb, j);
        }
    }

    for (i = 0; i < b->n && how & S3_NODEBED_POWER; i++) {
        s3_memfs_crash(nb->disks[i]);
    }

    nb->below = nb->pid + 1;
}


void
s3_nodebed_heal(s3_nodebed_t *nb, uint64_t us)
{
    s3_store_heal(nb->b->store[0], 1);
    s3_sim_sleep(nb->sim, us);
    s3_store_heal(nb->b->store[0], 0);
    s3_sim_sleep(nb->sim, S3_NODEBED_SECOND);
}


void
s3_nodebed_quit(s3_nodebed_t *nb)
{
    unsigned j;

    for (j = 0; j < nb->b->n_stores; j++) {
        s3_store_heal(nb->b->store[j], 0);
    }

    s3_sim_sleep(nb->sim, nb->b->n_stores * S3_NODEBED_SECOND);
    s3_nodebed_stop(nb, 0);
}


typedef struct {
    s3_fs_t *from;
    s3_fs_t *to;
    char path[128];
} copy_t;


static void
copy_file(copy_t *c, s3_file_t *from)
{
    uint8_t *data;
    uint64_t size;
    s3_file_t *to;

    must(c->from->size(c->from, from, &size) == S3_OK, "cannot copy");
    data = malloc(size + 1);
    must(data && c->from->pread(c->from, from, data, size, 0) == (ssize_t) size,
         "cannot copy");
    must(c->to->open(c->to, c->path, S3_O_READ | S3_O_WRITE | S3_O_CREATE, &to)
             == S3_OK,
         "cannot copy");
    must(c->to->pwrite(c->to, to, data, size, 0) == S3_OK, "cannot copy");
    must(c->to->sync(c->to, to) == S3_OK, "cannot copy");
    c->to->close(c->to, to);
    c->from->close(c->from, from);
    free(data);
}


static int
copy_name(void *ctx, const char *name)
{
    copy_t *c = ctx;
    size_t len = strlen(c->path);
    s3_file_t *from;

    snprintf(c->path + len, sizeof(c->path) - len, "%s%s", len ? "/" : "",
             name);

    if (c->from->open(c->from, c->path, S3_O_READ, &from) == S3_OK) {
        copy_file(c, from);

    } else {
        must(c->to->mkdir(c->to, c->path) == S3_OK, "cannot copy");
        must(c->from->list(c->from, c->path, copy_name, c) == S3_OK,
             "cannot copy");
        must(c->to->syncdir(c->to, c->path) == S3_OK, "cannot copy");
    }

    c->path[len] = 0;

    return S3_OK;
}


s3_memfs_t *
s3_nodebed_copy(s3_nodebed_t *nb, unsigned d)
{
    s3_memfs_t *disk;
    copy_t c;

    disk = s3_memfs_create(nb->sim, d, 0);
    memset(&c, 0, sizeof(c));
    c.from = s3_memfs_fs(nb->disks[d]);
    c.to = s3_memfs_fs(disk);
    must(c.from->list(c.from, "", copy_name, &c) == S3_OK, "cannot copy");
    must(c.to->syncdir(c.to, "") == S3_OK, "cannot copy");

    return disk;
}


s3_drive_state_t
s3_nodebed_state(const s3_nodebed_t *nb, unsigned d)
{
    return (s3_drive_state_t) s3_zone_state(&nb->zone->drives[d]);
}


typedef struct {
    int flag;
    int rc;
} s3_nodebed_come_t;


static void
s3_nodebed_came(void *ctx, int rc)
{
    s3_nodebed_come_t *c = ctx;

    c->rc = rc;
    c->flag = 1;
}


int
s3_nodebed_come(s3_nodebed_t *nb, unsigned j, unsigned d, int replace)
{
    int rc;
    unsigned i;
    s3_nodebed_come_t c = {0, 0};
    s3_fs_t *fs = s3_memfs_fs(nb->disks[d]);

    for (i = 0; i < 100; i++) {
        rc = replace ? s3_node_replace(nb->node[j], d, fs, s3_nodebed_came, &c)
                     : s3_node_return(nb->node[j], d, fs, s3_nodebed_came, &c);

        if (rc == S3_EEXIST) {
            return S3_OK;
        }

        if (rc == S3_OK) {
            return s3_sim_until(nb->sim, &c.flag) ? c.rc : S3_EBUSY;
        }

        if (rc != S3_AGAIN && rc != S3_EBUSY) {
            return rc;
        }

        s3_sim_sleep(nb->sim, S3_NODEBED_SECOND / 20);
    }

    return S3_AGAIN;
}


static int
s3_nodebed_blob(void *ctx, const char *name)
{
    uint8_t id[16];

    *(unsigned *) ctx += s3_blob_parse_name(name, id) == S3_OK;

    return S3_OK;
}


unsigned
s3_nodebed_blobs(const s3_nodebed_t *nb)
{
    char dir[16];
    s3_fs_t *fs;
    unsigned i, j, n = 0;

    for (i = 0; i < nb->nc.n; i++) {
        fs = s3_memfs_fs(nb->disks[i]);

        for (j = 0; j < 256; j++) {
            snprintf(dir, sizeof(dir), "blob/%02x", j);
            (void) fs->list(fs, dir, s3_nodebed_blob, &n);
        }
    }

    return n;
}
