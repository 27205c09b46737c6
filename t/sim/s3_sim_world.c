/*
 * Drives, processes, starts and ends of them; what nginx's side does.
 */

#include "storage/s3_memtable.h"
#include "t/sim/s3_sim.h"

#define SEGMENTS 128
#define SEGMENT_SIZE (64 * 1024)
#define WATCH_MS 200

sim_world_t sim_w;


static uint64_t
conf_wall(void *ctx)
{
    (void) ctx;

    return 1700000000000000ull + s3_sim_now(sim_w.sim) + (uint64_t) sim_w.drift;
}


static void
conf_random(void *ctx, void *buf, size_t len)
{
    (void) ctx;
    sim_w.world->random(sim_w.world, buf, len);
}


static void
conf_log(void *ctx, int level, const char *message)
{
    (void) ctx;
    sim_say("node %d: %s", level, message);
}


static int
is_alive(void *ctx, int64_t pid)
{
    unsigned i;

    (void) ctx;

    for (i = 0; i < sim_w.n_procs; i++) {
        if (sim_w.proc[i] && sim_w.proc[i]->alive && sim_w.proc[i]->pid == pid)
        {
            return 1;
        }
    }

    return 0;
}


s3_str_t
sim_key(unsigned k)
{
    static const char *names[SIM_KEYS] = {"one", "dir/two", "dir/three"};

    k %= SIM_KEYS;

    return s3_str(names[k], strlen(names[k]));
}


int
sim_key_index(s3_str_t key)
{
    unsigned k;

    for (k = 0; k < SIM_KEYS; k++) {
        if (s3_str_eq(sim_key(k), key)) {
            return (int) k;
        }
    }

    return -1;
}


s3_drive_state_t
sim_state(unsigned d)
{
    s3_zone_t *z = sim_w.zone;

    return (s3_drive_state_t) s3_zone_state(&z->drives[d]);
}


static void
set_state(unsigned d, s3_drive_state_t state)
{
    s3_zone_t *z = sim_w.zone;

    __atomic_store_n(&z->drives[d].state, (uint32_t) state, __ATOMIC_RELEASE);
}


unsigned
sim_pick_alive(void)
{
    return sim_chance(sim_w.n_procs);
}


/* What ngx_s3_watch.c does: one process heals; drives that have gone are
 * MISSING, and return. */

static void
watch_returned(void *ctx, int rc)
{
    unsigned d;
    sim_proc_t *p = ctx;

    for (d = 0; d < sim_w.n; d++) {
        if (p->returning >> d & 1) {
            p->returning &= ~(1u << d);

            if (rc == S3_OK || rc == S3_EEXIST) {
                p->absent &= ~(1u << d);
            }
        }
    }
}


static void
watch_drive(sim_proc_t *p, unsigned d)
{
    int rc;
    s3_drive_state_t state = sim_state(d);
    s3_zone_t *z = sim_w.zone;
    uint32_t bit = 1u << d;

    s3_node_drive(p->node, d)->state = state;

    if (sim_w.dead & bit) {
        if (state != S3_DRIVE_MISSING && (int) p->index == sim_w.guardian) {
            sim_say("drive %u is missing", d);
            set_state(d, S3_DRIVE_MISSING);
        }

        return;
    }

    if ((int) p->index == sim_w.guardian) {
        if (sim_w.hung & bit) {
            if ((state == S3_DRIVE_OK || state == S3_DRIVE_REFILLING)
                && s3_sim_random(sim_w.sim, 20) == 0)
            {
                set_state(d, S3_DRIVE_HUNG);
            }

            return;
        }

        if (state == S3_DRIVE_HUNG) {
            set_state(d, z->drives[d].failed      ? S3_DRIVE_FAILING
                         : z->drives[d].refilling ? S3_DRIVE_REFILLING
                                                  : S3_DRIVE_OK);
        }
    }

    /* one return at a time: its callback does not say which */

    if (p->returning
        || !(state == S3_DRIVE_MISSING ? (int) p->index == sim_w.guardian
                                       : p->absent >> d & 1))
    {
        return;
    }

    p->returning |= bit;
    rc = s3_node_return(p->node, d, s3_memfs_fs(sim_w.disk[d]), watch_returned,
                        p);
    if (rc != S3_OK) {
        watch_returned(p, rc);
    }
}


static void
watch(s3_timer_t *timer)
{
    unsigned d;
    sim_proc_t *p = timer->ctx;

    if (sim_w.guardian == -1
        || (!p->healing && (int) p->index == sim_w.guardian)) {
        sim_w.guardian = (int) p->index;
        p->healing = 1;
        s3_store_heal(p->store, 1);
    }

    for (d = 0; d < sim_w.n; d++) {
        watch_drive(p, d);
    }

    p->loop->set_timer(p->loop, &p->watch, WATCH_MS);
}


static void
refilled(void *ctx, unsigned drive)
{
    s3_node_refilled(ctx, drive);
}


/* As if it were on a machine of its own. */

static uint64_t
own_clock(void *ctx)
{
    sim_proc_t *p = ctx;
    uint64_t now = p->loop->wall_us(p->loop) + (uint64_t) p->skew;

    p->drew = s3_max(p->drew + 1, now);

    return p->drew;
}


static void
node_conf(s3_node_conf_t *nc, uint32_t missing)
{
    unsigned i;

    memset(nc, 0, sizeof(*nc));
    nc->n = sim_w.n;
    nc->zone = sim_w.zone;
    nc->zone_size = sim_w.zone_size;
    nc->parity = sim_w.m;
    nc->node = 1;
    nc->segment_size = SEGMENT_SIZE;
    nc->max_segments = SEGMENTS;
    nc->wall_us = conf_wall;
    nc->random = conf_random;
    nc->log = conf_log;

    for (i = 0; i < sim_w.n; i++) {
        nc->fs[i] = missing >> i & 1 ? NULL : s3_memfs_fs(sim_w.disk[i]);
        nc->name[i] = "drive";
    }
}


static void
proc_start(unsigned j)
{
    int rc;
    unsigned i;
    sim_proc_t *p;
    s3_node_conf_t nc;
    s3_store_conf_t conf;

    p = calloc(1, sizeof(*p));
    sim_w.proc[j] = p;
    p->index = j;
    p->pid = ++sim_w.next_pid;
    p->alive = 1;
    p->loop = s3_sim_loop(sim_w.sim);
    s3_sim_skew(p->loop, sim_w.drift);

    for (i = 0; i < sim_w.n; i++) {
        if (sim_state(i) == S3_DRIVE_MISSING) {
            p->absent |= 1u << i;
        }
    }

    node_conf(&nc, p->absent);
    rc = s3_node_attach(&nc, p->loop, S3_NODE_ANY_SLOT, p->pid, is_alive,
                        &p->node);
    if (rc != S3_OK) {
        sim_fail("process %u cannot attach: %s", j, s3_strerror(rc));
        exit(1);
    }

    memset(&conf, 0, sizeof(conf));
    conf.loop = p->loop;
    conf.n = sim_w.n;
    conf.parity[0] = sim_w.m;
    conf.parity[1] = s3_min(sim_w.m, 1u);
    conf.node = 1;
    conf.seed = 42;
    conf.hedge_ms = 200;
    conf.clock = s3_node_clock;
    conf.clock_ctx = p->node;

    if (sim_w.apart) {
        p->skew = (int64_t) s3_sim_random(sim_w.sim, 7200 * SIM_SECOND)
                  - 3600 * (int64_t) SIM_SECOND;
        conf.node = 1 + j;
        conf.clock = own_clock;
        conf.clock_ctx = p;
    }

    conf.bucket_changes = s3_node_bucket_changes(p->node);
    conf.pins = s3_node_pins(p->node);
    conf.proc = s3_node_slot(p->node);
    conf.scrub_period = SIM_SCRUB;
    conf.refilled = refilled;
    conf.refilled_ctx = p->node;

    for (i = 0; i < sim_w.n; i++) {
        conf.drives[i] = s3_node_drive(p->node, i);
    }

    sim_net_attach(p);
    p->store = s3_store_create(&conf);
    p->buckets = s3_buckets_create(p->store, p->loop);
    p->watch.handler = watch;
    p->watch.ctx = p;
    p->watch.background = 1;
    p->loop->set_timer(p->loop, &p->watch, 1 + s3_sim_random(sim_w.sim, 100));
}


void
sim_start(uint32_t missing)
{
    int rc;
    unsigned j;
    s3_node_conf_t nc;

    sim_w.guardian = -1;
    node_conf(&nc, missing);
    nc.fresh = 1;
    rc = s3_node_recover(&nc);

    if (rc != S3_OK) {
        sim_fail("no start with drives %x missing: %s", missing,
                 s3_strerror(rc));
        exit(1);
    }

    for (j = 0; j < sim_w.n_procs; j++) {
        proc_start(j);
        sim_clients_restart(j);
    }
}


void
sim_stop(void)
{
    unsigned j, spins;
    sim_proc_t *p;

    for (j = 0; j < sim_w.n_procs; j++) {
        p = sim_w.proc[j];
        p->loop->del_timer(p->loop, &p->watch);
        s3_store_heal(p->store, 0);
    }

    s3_sim_sleep(sim_w.sim, SIM_SECOND);

    for (j = 0; j < sim_w.n_procs; j++) {
        for (spins = 0; sim_w.proc[j]->held; spins++) {
            if (spins == 3000) {
                sim_fail("process %u: requests without answers", j);
                exit(1);
            }

            s3_sim_sleep(sim_w.sim, 20 * SIM_MS);
        }
    }

    for (j = 0; j < sim_w.n_procs; j++) {
        s3_buckets_destroy(sim_w.proc[j]->buckets);
        s3_store_destroy(sim_w.proc[j]->store);
    }

    s3_sim_sleep(sim_w.sim, SIM_SECOND);

    for (j = 0; j < sim_w.n_procs; j++) {
        p = sim_w.proc[j];
        s3_node_quiesce(p->node);

        for (spins = 0; s3_node_busy(p->node); spins++) {
            if (spins == 3000) {
                sim_fail("process %u does not come to its end", j);
                exit(1);
            }

            s3_sim_sleep(sim_w.sim, 20 * SIM_MS);
        }

        s3_node_detach(p->node);
        s3_sim_kill(p->loop);
        p->alive = 0;
    }
}


/* Only what can be freed without trusting what was being changed. */

static void
proc_died(unsigned j, int whole)
{
    sim_proc_t *p = sim_w.proc[j];

    s3_sim_kill(p->loop);
    p->alive = 0;
    sim_clients_died(j);

    if (sim_w.guardian == (int) j) {
        sim_w.guardian = -1;
    }

    if (whole) {
        s3_node_abandon(p->node);
    }
}


void
sim_kill(unsigned j)
{
    sim_say("process %u is killed", j);
    proc_died(j, 1);
    proc_start(j);
    sim_clients_restart(j);
}


void
sim_power_cut(void)
{
    unsigned i, j;

    sim_say("power cut");

    for (j = 0; j < sim_w.n_procs; j++) {
        proc_died(j, 1);
    }

    for (i = 0; i < sim_w.n; i++) {
        s3_memfs_crash(sim_w.disk[i]);
    }
}


void
sim_replace(unsigned d)
{
    sim_say("drive %u is replaced by an empty one", d);
    sim_w.disk[d] = s3_memfs_create(sim_w.sim, d, 0);
}


void
sim_away(unsigned d, int away)
{
    sim_say("drive %u %s", d, away ? "goes away" : "is back");
    s3_memfs_set_dead(sim_w.disk[d], away);
    sim_w.dead = away ? sim_w.dead | 1u << d : sim_w.dead & ~(1u << d);
}


void
sim_hang(unsigned d, int hung)
{
    sim_say("drive %u %s", d, hung ? "hangs" : "goes on");
    s3_memfs_set_hung(sim_w.disk[d], hung);
    sim_w.hung = hung ? sim_w.hung | 1u << d : sim_w.hung & ~(1u << d);
}


/* As if the drive's memtable were full: it is written as a table, and what was
 * dropped is remembered by the ring alone. */

void
sim_flush(unsigned d)
{
    int next;
    s3_zone_t *z = sim_w.zone;
    s3_zdrive_t *zd = &z->drives[d];

    if (sim_state(d) != S3_DRIVE_OK) {
        return;
    }

    s3_zone_lock(zd);
    next = s3_zone_free_arena(z, d);

    if (next >= 0 && s3_zone_oldest(zd) < 0
        && s3_memtable_count(s3_zone_arena(z, d, zd->active)))
    {
        s3_memtable_reset(s3_zone_arena(z, d, (unsigned) next), z->arena_size);
        s3_zone_freeze(z, d, (unsigned) next);
    }

    s3_zone_unlock(zd);
}


void
sim_run(uint64_t us)
{
    unsigned j;
    uint64_t step, end = s3_sim_now(sim_w.sim) + us;

    /* those who are to die do so soon */

    step =
        sim_w.faults & SIM_F_STRAY && sim_w.faults & SIM_F_KILL ? SIM_MS : us;

    while (s3_sim_now(sim_w.sim) < end) {
        s3_sim_sleep(sim_w.sim, s3_min(step, end - s3_sim_now(sim_w.sim)));

        for (j = 0; j < sim_w.n_procs; j++) {
            if (sim_w.doomed >> j & 1) {
                sim_kill(j);
            }
        }

        sim_w.doomed = 0;
    }
}


static void
sleep_in_thread(void *ctx)
{
    s3_sim_sleep(sim_w.sim, *(uint64_t *) ctx);
}


void
sim_run_doomed(uint64_t us, uint64_t blocks)
{
    unsigned j;
    s3_loop_t *loop;

    if (!sim_doomed(sleep_in_thread, &us, blocks, sim_chance(2) == 0)) {
        return;
    }

    loop = s3_sim_running(sim_w.sim);

    for (j = 0; j < sim_w.n_procs; j++) {
        if (sim_w.proc[j]->loop == loop) {
            sim_say("process %u dies at an instruction", j);
            proc_died(j, 0);
            proc_start(j);
            sim_clients_restart(j);
            return;
        }
    }

    sim_fail("nobody died");
}


void
sim_open(uint64_t seed, unsigned n, unsigned m, unsigned faults)
{
    unsigned i;
    static void *zone;
    static size_t room;

    memset(&sim_w, 0, sizeof(sim_w));
    memset(sim_clients, 0, sizeof(sim_clients));
    sim_w.seed = seed;
    sim_w.sim = s3_sim_create(seed);
    s3_sim_verbose(sim_w.sim, sim_verbose);
    sim_w.world = s3_sim_loop(sim_w.sim);
    sim_w.n = n;
    sim_w.m = m;
    sim_w.faults = faults;
    sim_w.n_procs = SIM_PROCS;
    sim_w.classes = m > 1 && sim_chance(4) == 0;
    sim_w.brief = faults & SIM_F_BRIEF
                  || (!(faults & SIM_F_DUEL)
                      && (seed * 0xd6e8feb86659fd93ull >> 32) % 4 == 0);
    sim_w.apart = faults & (SIM_F_NET | SIM_F_CLOCK) && sim_chance(3) == 0;
    sim_w.hot = faults & SIM_F_NET && sim_chance(4) == 0;
    s3_sim_slow(sim_w.sim,
                faults && sim_chance(faults & SIM_F_STRAY ? 2 : 4) == 0 ? 20
                                                                        : 1);

    for (i = 0; i < n; i++) {
        sim_w.disk[i] = s3_memfs_create(sim_w.sim, i, 0);
    }

    sim_w.zone_size = s3_align(s3_node_zone_min(n, SEGMENTS), (size_t) 4096);

    if (room < sim_w.zone_size) {
        free(zone);
        room = sim_w.zone_size;
        zone = aligned_alloc(4096, room);
        memset(zone, 0, room);
    }

    sim_w.zone = zone;
}


void
sim_close(void)
{
    s3_sim_destroy(sim_w.sim);
}
