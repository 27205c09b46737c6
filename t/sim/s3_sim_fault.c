/*
 * What happens to drives and processes.
 *
 * The guarantee has its limits, and so have the faults: data is lost for good
 * (a drive replaced, bits flipped) on one drive at a time, and only where the
 * store has parity.  Everything else may happen at any time to any of them.
 */

#include "t/sim/s3_sim.h"

static unsigned kills, cuts, replaced;
static int loser;      /* the drive that loses data, or -1 */
static unsigned style; /* of strays */
static unsigned cut;   /* a drive, or none */


/* Three ways for votes to go astray: they come late, their answers are lost and
 * others go on meanwhile, or their senders die. */

static void
stray_profile(sim_net_knobs_t *k)
{
    switch (style) {

    case 0:
        k->stray = sim_chance(3) ? 400000 : 100000;
        k->deaf = sim_chance(3) ? 600000 : 0;
        k->late_ms = sim_chance(2) ? 10 : 200;
        k->mute = sim_chance(3) ? 0 : 300000;
        break;

    case 1:
        k->stray = sim_chance(3) ? 0 : 100000;
        k->late_ms = sim_chance(2) ? 200 : 3000;
        k->mute = sim_chance(3) ? 700000 : 300000;
        break;

    default:
        k->late = 300000;
        k->late_ms = 10;
        k->blind = sim_chance(3) ? 600000 : 0;
        k->fatal = sim_w.faults & SIM_F_KILL ? 50000 : 0;
        k->deaf = sim_chance(2) ? 600000 : 0;
    }
}


static void
net_profile(unsigned i)
{
    sim_net_knobs_t *k = &sim_net[i];

    memset(k, 0, sizeof(*k));

    if (sim_w.faults & SIM_F_STRAY) {
        stray_profile(k);
    }

    if (i == cut) {
        k->lost = 1000000;
        return;
    }

    if (!(sim_w.faults & SIM_F_NET) || sim_chance(3) == 0) {
        return;
    }

    k->late = sim_chance(3) ? 100000 : 600000;
    k->late_ms = sim_chance(3) ? 20 : 500 + sim_chance(3) * 1500;
    k->lost = sim_chance(3) ? 0 : 150000;
    k->mute = sim_chance(2) ? 0 : 200000;
    k->repeat = sim_chance(2) ? 0 : 300000;

    if (sim_w.hot) {
        k->late = 300000;
        k->late_ms = 3000;
        k->mute = 300000;
    }
}


void
sim_faults_open(void)
{
    unsigned i;

    kills = 0;
    cuts = 0;
    replaced = 0;
    loser = sim_w.m ? (int) sim_chance(sim_w.n) : -1;
    style = sim_w.faults & SIM_F_STRAY ? sim_chance(3) : 0;

    if (sim_w.faults & SIM_F_KILL && style == 1) {
        style = 2;
    }

    cut = S3_MAX_DRIVES;

    for (i = 0; i < sim_w.n; i++) {
        net_profile(i);
    }
}


static void
fault_rate(unsigned d)
{
    static const s3_fault_t faults[] = {S3_FAULT_EIO, S3_FAULT_EIO,
                                        S3_FAULT_SHORT, S3_FAULT_TORN};

    s3_sim_fault_clear(sim_w.sim);

    if (sim_chance(2)) {
        s3_sim_fault_rate(sim_w.sim, (int) d, faults[sim_chance(4)],
                          sim_chance(2) ? 5000 : 100000);
    }
}


/* An empty drive in the place of one, at a start. */

static void
maybe_replace(void)
{
    if (sim_w.faults & SIM_F_REPLACE && loser != -1 && !replaced && !sim_w.dead
        && !sim_w.hung)
    {
        replaced = 1;
        sim_replace((unsigned) loser);
    }
}


static void
power_cut(void)
{
    unsigned missing;

    if (cuts++ == 3) {
        return;
    }

    sim_power_cut();
    maybe_replace();
    missing = 0;

    if (sim_w.faults & SIM_F_AWAY && !(sim_w.faults & SIM_F_ROT)
        && sim_chance(2) && !replaced)
    {
        /* with more than m away there is no start */

        while ((unsigned) __builtin_popcount(sim_w.dead) > sim_w.m) {
            sim_away((unsigned) __builtin_ctz(sim_w.dead), 0);
        }

        missing = sim_w.dead;

    } else {
        while (sim_w.dead) {
            sim_away((unsigned) __builtin_ctz(sim_w.dead), 0);
        }
    }

    while (sim_w.hung) {
        sim_hang((unsigned) __builtin_ctz(sim_w.hung), 0);
    }

    s3_sim_fault_clear(sim_w.sim);
    sim_start(missing);
}


typedef struct {
    char path[2][64];
    unsigned n;
    const char *dir;
} files_t;


static int
on_name(void *ctx, const char *name)
{
    files_t *f = ctx;

    f->n++;

    if (sim_chance(f->n) == 0) {
        snprintf(f->path[0], sizeof(f->path[0]), "%s/%s", f->dir, name);
    }

    return S3_OK;
}


/* Both MANIFESTs, or a whole table. */

static void
lose(unsigned d, const char *path)
{
    unsigned i;
    s3_fs_t *fs = s3_memfs_fs(sim_w.disk[d]);
    static const char *both[] = {"index/MANIFEST", "index/MANIFEST.copy"};

    if (strstr(path, ".tab")) {
        (void) fs->unlink(fs, path);
        sim_say("drive %u: %s is lost", d, path);
        return;
    }

    for (i = 0; i < 2; i++) {
        if (sim_chance(2)) {
            (void) fs->unlink(fs, both[i]);

        } else {
            (void) s3_memfs_rot(sim_w.disk[d], both[i], sim_chance(64), 1);
        }
    }

    sim_say("drive %u: both MANIFESTs are damaged or lost", d);
}


/* One bit of some file of the drive that may lose data; of the index all. */

static void
rot(void)
{
    static const char *dirs[] = {"log", "index", "blob"};
    files_t f;
    char sub[64];
    uint64_t size;
    unsigned d = (unsigned) loser;
    s3_file_t *file;
    s3_fs_t *fs = s3_memfs_fs(sim_w.disk[d]);

    memset(&f, 0, sizeof(f));
    f.dir = dirs[sim_chance(3)];

    if (sim_w.dead >> d & 1 || fs->list(fs, f.dir, on_name, &f) != S3_OK
        || f.n == 0)
    {
        return;
    }

    if (f.dir == dirs[2]) {
        snprintf(sub, sizeof(sub), "%s", f.path[0]);
        memset(&f, 0, sizeof(f));
        f.dir = sub;

        if (fs->list(fs, sub, on_name, &f) != S3_OK || f.n == 0) {
            return;
        }
    }

    if (f.dir == dirs[1] && sim_chance(4) == 0) {
        lose(d, f.path[0]);
        return;
    }

    if (fs->open(fs, f.path[0], S3_O_READ, &file) != S3_OK) {
        return;
    }

    if (fs->size(fs, file, &size) == S3_OK && size) {
        size = s3_min(size, sim_chance(2) ? UINT64_MAX : (uint64_t) 24576);
        (void) s3_memfs_rot(sim_w.disk[d], f.path[0],
                            s3_sim_random(sim_w.sim, size), sim_chance(8));
        sim_say("drive %u: a bit of %s flips", d, f.path[0]);
    }

    fs->close(fs, file);
}


static void
jump(void)
{
    int64_t by;
    unsigned i;

    if (sim_chance(2)) {
        s3_sim_jump(sim_w.sim, SIM_SECOND * (1 + sim_chance(130)));
        return;
    }

    by = (int64_t) s3_sim_random(sim_w.sim, 7200 * SIM_SECOND)
         - 3600 * (int64_t) SIM_SECOND;

    for (i = 0; i < sim_w.n_procs; i++) {
        s3_sim_skew(sim_w.proc[i]->loop, by);
    }

    sim_w.drift = by;
}


static void
cut_off(unsigned d)
{
    unsigned was = cut;

    cut = d;

    if (was != S3_MAX_DRIVES) {
        net_profile(was);
    }

    if (d != S3_MAX_DRIVES) {
        net_profile(d);
    }
}


static void
one_fault(unsigned what, unsigned d)
{
    switch (what) {

    case SIM_F_NET:
        net_profile(d);
        break;

    case SIM_F_KILL:
        if (kills++ < 8) {
            if (sim_chance(2)) {
                sim_kill(sim_chance(sim_w.n_procs));

            } else {
                sim_run_doomed(
                    200 * SIM_MS,
                    1 + s3_sim_random(sim_w.sim, sim_chance(2) ? 3000 : 30000));
            }
        }
        break;

    case SIM_F_POWER:
        power_cut();
        break;

    case SIM_F_AWAY:
        sim_away(d, !(sim_w.dead >> d & 1));
        break;

    case SIM_F_HANG:
        sim_hang(d, !(sim_w.hung >> d & 1));
        break;

    case SIM_F_EIO:
        fault_rate(d);
        break;

    case SIM_F_FULL:
        s3_memfs_set_capacity(
            sim_w.disk[d],
            sim_chance(2) ? s3_memfs_used(sim_w.disk[d]) + 4096 : 0);
        break;

    case SIM_F_REPLACE:
        power_cut();
        break;

    case SIM_F_ROT:
        if (loser != -1) {
            rot();
        }
        break;

    case SIM_F_STRAY:
        net_profile(d);

        for (d = 0; d < sim_w.n && sim_chance(2); d++) {
            sim_flush(d);
        }

        break;

    case SIM_F_CUT:
        cut_off(cut == S3_MAX_DRIVES && sim_chance(3) ? d : S3_MAX_DRIVES);
        break;

    case SIM_F_CLOCK:
        jump();
        break;
    }
}


void
sim_disturb(void)
{
    unsigned what, left, n;

    n = (unsigned) __builtin_popcount(sim_w.faults);

    if (n == 0) {
        return;
    }

    left = sim_w.faults;

    for (n = sim_chance(n); n; n--) {
        left &= left - 1;
    }

    what = left & -left;

    /* some are for rarer occasions */

    if ((what & (SIM_F_POWER | SIM_F_REPLACE | SIM_F_CLOCK)) && sim_chance(4)) {
        return;
    }

    one_fault(what, sim_chance(sim_w.n));
}


void
sim_faults_over(void)
{
    unsigned i;

    sim_net_calm();
    s3_sim_fault_clear(sim_w.sim);

    for (i = 0; i < sim_w.n; i++) {
        s3_memfs_set_capacity(sim_w.disk[i], 0);

        if (sim_w.hung >> i & 1) {
            sim_hang(i, 0);
        }

        if (sim_w.dead >> i & 1) {
            sim_away(i, 0);
        }
    }
}


uint32_t
sim_fault_lost(void)
{
    return sim_w.faults & SIM_F_ROT && loser != -1 ? 1u << loser : 0;
}
