/*
 * One local drive against a trivial model.
 *
 *   drive_model [seed] [count] [-v]
 *
 * One to three processes vote, fence, confirm, push, read, list, write blobs
 * and notes on a drive in memory; processes are killed, the power is cut
 * between and inside I/Os, writes fail or tear.  The model knows of each
 * version what was promised.  After each crash the drive is recovered and
 * asked about everything: a YES is still a YES, a NO has not become a YES,
 * what is read is whole, blobs are there.  The first fault ends the program
 * with its seed.
 */

#include "drive_model.h"

#define PROCS 3
#define ZONE_SEGMENTS 96


const char *__asan_default_options(void);


uint64_t model_seed;
s3_sim_t *model_sim;
s3_memfs_t *model_disk;
s3_fs_t *model_fs;
model_key_t model_keys[KEYS];
model_op_t *model_ops;
unsigned model_n_ops, model_n_done, model_n_yes, model_n_no, model_n_reads;
int model_tight;            /* little space */
int model_faulty;           /* I/O may fail now */
unsigned model_notes[KEYS]; /* 1: noted for certain, 2: maybe */
uint64_t model_lived;       /* raises what versions are made of */
static int verbose;
static void *zone;
static size_t zone_size;
static model_proc_t procs[PROCS];
static unsigned n_procs;
static int64_t next_pid;
static int64_t dead_pids[4096];
static unsigned n_dead, n_crashes;
static uint64_t n_flushes, n_merges, n_cleaned, n_freed;
static uint64_t armed; /* where a fault was put */
static int armed_rc;   /* it is an error and not the end of the world */


int
model_below_floor(const s3_version_t *v)
{
    return s3_version_cmp(v, &((s3_zone_t *) zone)->drives[0].floor) <= 0;
}


/* What a killed process had in memory is nobody's to free. */

const char *
__asan_default_options(void)
{
    return "detect_leaks=0";
}


static uint64_t
conf_wall(void *ctx)
{
    (void) ctx;
    return 1700000000000000ULL + s3_sim_now(model_sim) + model_lived;
}


static void
conf_log(void *ctx, int level, const char *message)
{
    (void) ctx;

    if (verbose) {
        fprintf(stderr, "[%d] %s\n", level, message);
    }
}


static int
alive(void *ctx, int64_t pid)
{
    unsigned i;

    (void) ctx;

    for (i = 0; i < n_dead; i++) {
        if (dead_pids[i] == pid) {
            return 0;
        }
    }

    return 1;
}


static void
make_conf(s3_node_conf_t *conf)
{
    memset(conf, 0, sizeof(*conf));
    conf->n = 1;
    conf->fs[0] = model_fs;
    conf->zone = zone;
    conf->zone_size = zone_size;
    conf->fresh = 1;
    conf->segment_size = 64 * 1024;
    conf->max_segments = ZONE_SEGMENTS;
    conf->wall_us = conf_wall;
    conf->random = model_conf_random;
    conf->log = conf_log;
    memset(conf->instance, 7, 16);
}


/* Processes. */

static void
attach(model_proc_t *p)
{
    int rc;
    s3_node_conf_t conf;

    make_conf(&conf);
    p->loop = s3_sim_loop(model_sim);
    p->pid = ++next_pid;

    rc = s3_node_attach(&conf, p->loop, S3_NODE_ANY_SLOT, p->pid, alive,
                        &p->node);
    if (rc != S3_OK) {
        if (model_faulty) {
            p->alive = 0;
            p->node = NULL;
            s3_sim_kill(p->loop);
            dead_pids[n_dead++] = p->pid;
            return;
        }

        model_fail(s3_strerror(rc), NULL, NULL);
    }

    p->drive = s3_node_drive(p->node, 0);
    p->alive = 1;
}


static void
forget_ops(int64_t pid)
{
    model_op_t *op, **at;

    for (at = &model_ops; *at; /* void */) {
        op = *at;

        if (op->done || pid == 0 || op->pid == pid) {
            *at = op->next;
            free(op->data);
            free(op);

        } else {
            at = &op->next;
        }
    }
}


static void
kill_proc(model_proc_t *p)
{
    s3_sim_kill(p->loop);
    p->alive = 0;

    /* what the kernel has of it comes to its end before it counts as dead */
    s3_sim_sleep(model_sim, 20000);

    if (p->node) {
        s3_node_abandon(p->node);
        p->node = NULL;
    }

    forget_ops(p->pid);
    dead_pids[n_dead++] = p->pid;
}


/* A fault that was put somewhere and has not happened: lets it pass; 1: the
 * power was cut. */

static int
burn(void)
{
    int cut = 0;
    uint64_t a, b;

    while (s3_sim_ios(model_sim) <= armed) {
        model_fs->space(model_fs, &a, &b);

        if (s3_sim_stopped(model_sim)) {
            s3_memfs_crash(model_disk);
            s3_sim_resume(model_sim);
            cut = 1;
        }
    }

    return cut;
}


static void
start_all(void)
{
    int rc;
    unsigned i;
    s3_node_conf_t conf;

    if (armed_rc || model_rnd(2)) {
        burn();
    }

    for (;;) {
        memset(zone, 0xee, 64);
        make_conf(&conf);

        rc = s3_node_recover(&conf);

        if (rc == S3_OK && !s3_sim_stopped(model_sim)) {
            if (!burn()) {
                break;
            }

            continue; /* the power was cut before anybody came up */
        }

        if (!s3_sim_stopped(model_sim)) {
            fprintf(stderr, "recover: %s\n", s3_strerror(rc));
            model_fail("recovery refused", NULL, NULL);
        }

        /* the power was cut during recovery */
        s3_memfs_crash(model_disk);
        s3_sim_resume(model_sim);
    }

    for (i = 0; i < n_procs; i++) {
        attach(&procs[i]);
    }
}


static void
stop_all(int power)
{
    unsigned i;
    model_proc_t *p;
    s3_zdrive_t *d = ((s3_zone_t *) zone)->drives;

    n_flushes += d->flushes;
    n_merges += d->merges;
    n_cleaned += d->cleaned;
    n_freed += d->freed_count;

    for (i = 0; i < n_procs; i++) {
        p = &procs[i];

        if (p->alive) {
            s3_sim_kill(p->loop);
            p->alive = 0;
            dead_pids[n_dead++] = p->pid;
        }
    }

    if (power) {
        s3_memfs_crash(model_disk);
    }

    s3_sim_resume(model_sim);

    if (!power) {
        s3_sim_sleep(model_sim, 20000);
    }

    for (i = 0; i < n_procs; i++) {
        if (procs[i].node) {
            s3_node_abandon(procs[i].node);
            procs[i].node = NULL;
        }
    }

    forget_ops(0);
    n_crashes++;
}


/* In good order: nothing outstanding, detach. */

static void
leave(model_proc_t *p)
{
    unsigned spins;

    s3_node_quiesce(p->node);

    for (spins = 0; s3_node_busy(p->node); spins++) {
        if (s3_sim_stopped(model_sim)) {
            return;
        }

        if (!s3_sim_step(model_sim)) {
            s3_sim_sleep(model_sim, 1000);
        }

        if (spins > 1000000) {
            model_fail("a process does not come to rest", NULL, NULL);
        }
    }

    s3_node_detach(p->node);
    s3_sim_kill(p->loop);
    forget_ops(p->pid);
    p->node = NULL;
    p->alive = 0;
    dead_pids[n_dead++] = p->pid;
}


static unsigned
new_version(model_proc_t *p, model_key_t *k)
{
    model_version_t *v;

    if (k->n == VERSIONS) {
        return model_rnd(VERSIONS);
    }

    v = &k->v[k->n];
    memset(v, 0, sizeof(*v));
    v->version.time = s3_node_clock(p->node);

    if (model_rnd(6) == 0 && k->n) {
        v->version.time = k->v[model_rnd(k->n)].version.time + model_rnd(3) - 1;
    }

    v->version.node = 1 + model_rnd(3);
    model_conf_random(NULL, &v->version.rand, 8);

    v->kind = model_rnd(5) ? S3_KIND_OBJECT : S3_KIND_TOMBSTONE;
    v->outside = model_rnd(30) == 0;

    if (v->kind == S3_KIND_OBJECT && model_rnd(8)) {
        v->layout =
            model_rnd(5) || model_faulty ? S3_LAYOUT_COPIES : S3_LAYOUT_BLOBS;
        v->len = 1 + model_rnd(model_rnd(8) ? 300 : 8000);
    }

    return k->n++;
}


static void
act_note(model_proc_t *p, model_key_t *k)
{
    model_op_t *op = model_op_new(p, k, 0);

    /* one at a time for a key, so that the model knows */
    op->type = model_notes[k - model_keys] == 1 && model_rnd(2) ? 2 : 1;
    model_notes[k - model_keys] = 2;
    op->note.req.done = model_note_done;
    op->note.req.ctx = op;
    op->note.target = 3;
    op->note.bucket = k->bucket;
    op->note.key = model_key_of(k);
    op->note.version = (s3_version_t){++model_lived + 5, 1, 1};

    if (op->type == 1) {
        p->drive->ops->note(p->drive, &op->note);

    } else {
        p->drive->ops->unnote(p->drive, &op->note);
    }

    model_await(op);
}


static void
act_close(model_proc_t *p, model_key_t *k)
{
    model_op_t *op = model_op_new(p, k, 0);

    op->close.req.done = model_close_done;
    op->close.req.ctx = op;
    op->close.bucket = k->bucket;
    op->close.generation = k->closed + model_rnd(2);
    p->drive->ops->close_bucket(p->drive, &op->close);
    model_await(op);
}


static void
act_bulk(model_proc_t *p)
{
    unsigned i, n = 20 + model_rnd(200);
    model_op_t *op;
    static s3_record_t r[256];
    static char names[256][32];
    static s3_vote_t votes[256];

    for (i = 0; i < n; i++) {
        snprintf(names[i], sizeof(names[i]), "bulk-%u", model_rnd(400));
        memset(&r[i], 0, sizeof(r[i]));
        r[i].bucket = BUCKET;
        r[i].generation = 1;
        r[i].key = s3_str(names[i], strlen(names[i]));
        r[i].entry.version.time = s3_node_clock(p->node);
        r[i].entry.version.node = 9;
        r[i].entry.version.rand = i;
        r[i].entry.kind = S3_KIND_TOMBSTONE;
        r[i].entry.voters = 1;
        op = model_op_new(p, &model_keys[0], 0);
        memset(&votes[i], 0, sizeof(votes[i]));
        votes[i].req.done = model_keep_done;
        votes[i].req.ctx = op;
        votes[i].record = &r[i];

        if (model_rnd(2)) {
            p->drive->ops->push(p->drive, &votes[i]);

        } else {
            p->drive->ops->vote(p->drive, &votes[i]);
        }

        if (model_rnd(3) == 0) {
            s3_sim_step(model_sim);
        }
    }

    /* statics: all of them must be over */
    for (op = model_ops; op; op = op->next) {
        if (op->pid == p->pid && !op->done && !model_await(op)) {
            return;
        }
    }
}


static uint32_t
any_generation(const model_key_t *k)
{
    return k->bucket >= CLOSABLE ? model_rnd(k->closed + 2) : 1;
}


static void
act_new(model_proc_t *p, model_key_t *k)
{
    unsigned i = new_version(p, k);
    model_version_t *v = &k->v[i];

    if (v->layout == S3_LAYOUT_BLOBS && !v->issued
        && !model_write_blob(p, k, v)) {
        v->layout = S3_LAYOUT_NONE;
        v->len = 0;
    }

    if (p->alive && !s3_sim_stopped(model_sim)) {
        model_send_vote(p, k, i, any_generation(k));
    }
}


/* Types as of model_send_mark(): fence, status, dead, confirm. */

static void
act_mark(model_proc_t *p, model_key_t *k, int type)
{
    unsigned i;
    model_version_t *v;

    if (k->n == 0) {
        return;
    }

    switch (type) {
    case 0:
        i = k->n - 1 - model_rnd(s3_min(k->n, 3u));
        break;
    case 3:
        i = k->n - 1 - model_rnd(s3_min(k->n, 4u));
        break;
    default:
        i = model_rnd(k->n);
    }

    v = &k->v[i];

    if ((type == 2 && (v->confirm || v->pushed))
        || (type == 3 && (!v->yes || v->dead)))
    {
        return;
    }

    model_send_mark(p, k, i, type);
}


static void
act_push(model_proc_t *p, model_key_t *k)
{
    unsigned i = k->n && model_rnd(2) ? model_rnd(k->n) : new_version(p, k);
    model_version_t *v = &k->v[i];

    if (!v->dead && v->layout != S3_LAYOUT_BLOBS) {
        model_send_push(p, k, i);
    }
}


static void
act_read(model_proc_t *p, model_key_t *k)
{
    model_op_t *op = model_op_new(p, k, 0);

    op->lookup.req.done = model_read_done;
    op->lookup.req.ctx = op;
    op->lookup.bucket = k->bucket;
    op->lookup.key = model_key_of(k);
    p->drive->ops->read(p->drive, &op->lookup);
}


static void
act_list(model_proc_t *p, model_key_t *k)
{
    model_op_t *op = model_op_new(p, k, 0);

    op->scan.req.done = model_scan_done;
    op->scan.req.ctx = op;
    op->scan.bucket = BUCKET;
    op->scan.delimiter = model_rnd(2) ? s3_string("/") : s3_null_str;
    op->scan.max = model_rnd(40);
    p->drive->ops->list(p->drive, &op->scan);
}


static void
act(model_proc_t *p)
{
    unsigned i;
    model_key_t *k = &model_keys[model_rnd(model_rnd(3) ? 6 : KEYS)];

    switch (model_rnd(24)) {

    case 0:
    case 1:
    case 2:
    case 3:
    case 4:
    case 5:
        act_new(p, k);
        break;

    case 6:
    case 7:
        if (k->n) {
            model_send_vote(p, k, model_rnd(k->n), any_generation(k));
        }
        break;

    case 8:
    case 9:
        act_mark(p, k, 0);
        break;

    case 10:
        act_mark(p, k, 1);
        break;

    case 11:
        act_mark(p, k, 2);
        break;

    case 12:
    case 13:
    case 14:
    case 15:
        act_mark(p, k, 3);
        break;

    case 16:
        act_push(p, k);
        break;

    case 17:
    case 18:
        act_read(p, k);
        break;

    case 19:
        act_list(p, k);
        break;

    case 20:
        act_note(p, k);
        break;

    case 21:
        if (k->bucket >= CLOSABLE) {
            act_close(p, k);
        }
        break;

    case 22:
        if (model_rnd(2) == 0) {
            act_bulk(p);
        }
        break;

    default:
        s3_sim_sleep(model_sim,
                     model_rnd(20) ? model_rnd(3000) : 1000 * model_rnd(4000));
    }

    if (model_rnd(3) == 0) {
        for (i = model_rnd(10); i; i--) {
            s3_sim_step(model_sim);
        }
    }
}


static void
settle_ops(void)
{
    model_op_t *op;

    for (op = model_ops; op; op = op->next) {
        if (!op->done && op->proc->alive && op->proc->pid == op->pid) {
            model_await(op);
        }
    }

    forget_ops(-1);
}


static void
round_of(unsigned steps)
{
    unsigned i, what;
    model_proc_t *p;

    for (i = 0; i < steps && !s3_sim_stopped(model_sim); i++) {
        p = &procs[model_rnd(n_procs)];

        if (!p->alive) {
            attach(p);
            continue;
        }

        what = model_rnd(300);

        if (what == 0 && n_procs > 1) {
            kill_proc(p);

        } else if (what == 1) {
            leave(p);

        } else {
            act(p);
        }

        if (i % 64 == 0) {
            forget_ops(-1);
        }
    }
}


static void
run(void)
{
    unsigned i, rounds;
    uint64_t at;

    model_sim = s3_sim_create(model_seed);
    s3_sim_verbose(model_sim, verbose);
    model_disk = s3_memfs_create(model_sim, 0, 0);
    model_fs = s3_memfs_fs(model_disk);
    zone_size = s3_node_zone_min(1, ZONE_SEGMENTS) + model_rnd(2) * 256 * 1024;
    zone = aligned_alloc(4096, s3_align(zone_size, (size_t) 4096));
    memset(model_keys, 0, sizeof(model_keys));
    memset(model_notes, 0, sizeof(model_notes));
    n_dead = 0;
    next_pid = 100;
    model_lived = 0;
    armed = 0;
    armed_rc = 0;
    model_faulty = 0;
    model_tight = 0;
    n_procs = 1 + model_rnd(PROCS);

    for (i = 0; i < KEYS; i++) {
        model_keys[i].bucket = i % 4 == 3 ? CLOSABLE + 4 * i : BUCKET;
        snprintf(model_keys[i].name, sizeof(model_keys[i].name), "%s%02u",
                 i % 5 ? "key-" : "dir/key-", i);
    }

    start_all();
    rounds = 2 + model_rnd(3);

    while (rounds--) {
        model_faulty = 0;
        model_tight = model_rnd(8) == 0;

        if (model_tight) {
            s3_memfs_set_capacity(model_disk, s3_memfs_used(model_disk)
                                                  + model_rnd(1000000));
        }

        switch (model_rnd(6)) {
        case 0: /* the world stops inside some I/O */
        case 1:
            at = 1
                 + s3_sim_random(model_sim, 1 + s3_sim_random(model_sim, 1500));
            armed = s3_sim_ios(model_sim) + at;
            armed_rc = 0;
            s3_sim_fault_at(model_sim, armed, S3_FAULT_STOP);
            break;
        case 2:
            model_faulty = 1;
            armed = s3_sim_ios(model_sim) + 1 + model_rnd(300);
            armed_rc = 1;
            s3_sim_fault_at(model_sim, armed,
                            model_rnd(2) ? S3_FAULT_EIO : S3_FAULT_TORN);
            break;
        default:
            break;
        }

        round_of(30 + model_rnd(250));

        if (!model_faulty && !model_tight && !s3_sim_stopped(model_sim)
            && model_rnd(2)) {
            settle_ops();

            for (i = 0; i < n_procs && !s3_sim_stopped(model_sim); i++) {
                if (procs[i].alive) {
                    model_verify(&procs[i]);
                }
            }
        }

        /* a fault that did not happen must not happen during recovery */
        stop_all(s3_sim_stopped(model_sim) || model_rnd(2));
        model_faulty = 0;
        model_tight = 0;
        s3_memfs_set_capacity(model_disk, UINT64_MAX / 2);
        model_lived += model_rnd(3) ? 0 : 2 * 3600 * 1000000ULL;

        start_all();

        for (i = 0; i < n_procs && !s3_sim_stopped(model_sim); i++) {
            model_verify(&procs[i]);
        }

        if (s3_sim_stopped(model_sim)) {
            stop_all(1);
            start_all();
            model_verify(&procs[0]);
        }
    }

    stop_all(0);
    s3_sim_destroy(model_sim);
    free(zone);
}


int
main(int argc, char **argv)
{
    uint64_t first, count, i;

    setvbuf(stderr, NULL, _IOLBF, 0);
    first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    count = argc > 2 ? strtoull(argv[2], NULL, 10) : 400;
    verbose = argc > 3 && strcmp(argv[3], "-v") == 0;

    for (i = 0; i < count; i++) {
        model_seed = first + i;
        run();
    }

    printf("drive_model: %llu seeds, %u operations, %u yes, %u no, %u reads, "
           "%u crashes, %llu flushes, %llu merges, %llu segments cleaned, "
           "%llu blobs freed: ok\n",
           (unsigned long long) count, model_n_ops, model_n_yes, model_n_no,
           model_n_reads, n_crashes, (unsigned long long) n_flushes,
           (unsigned long long) n_merges, (unsigned long long) n_cleaned,
           (unsigned long long) n_freed);

    /* a model in which nothing happens proves nothing */
    return model_n_yes == 0 || model_n_no == 0
           || (count >= 100
               && (n_flushes == 0 || n_merges == 0 || n_cleaned == 0
                   || n_freed == 0));
}
