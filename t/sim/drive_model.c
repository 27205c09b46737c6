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

#include "storage/s3_node.h"
#include "storage/s3_blob.h"
#include "storage/s3_zone.h"
#include "s3_memfs.h"
#include <stdio.h>
#include <stdlib.h>

#define KEYS 24
#define VERSIONS 400
#define PROCS 3
#define BUCKET 1024
#define CLOSABLE 2048 /* buckets that get closed */
#define ZONE_SEGMENTS 96


const char *__asan_default_options(void);


typedef struct {
    s3_version_t version;
    uint8_t kind;
    uint8_t layout;
    uint32_t len; /* of data */
    uint8_t blob[16];
    unsigned issued : 1;
    unsigned yes : 1;     /* promised */
    unsigned no : 1;      /* promised */
    unsigned pushed : 1;  /* PUSH was sent */
    unsigned push_yes : 1;
    unsigned dead : 1;    /* DEAD was sent */
    unsigned dead_yes : 1; /* ... and answered */
    unsigned confirm : 1; /* CONFIRM was sent */
    unsigned blob_gone : 1; /* may be freed */
    unsigned outside : 1; /* voters leave this drive out */
} version_t;

typedef struct {
    uint64_t bucket;
    char name[24];
    version_t v[VERSIONS];
    unsigned n;
    unsigned closed; /* generation + 1, answered */
} mkey_t;

typedef struct {
    s3_loop_t *loop;
    s3_node_t *node;
    s3_drive_t *drive;
    int64_t pid;
    int alive;
} proc_t;

typedef struct op_s op_t;

struct op_s {
    op_t *next;
    int type;
    proc_t *proc;
    int64_t pid;
    mkey_t *key;
    unsigned v;
    unsigned closed; /* of the bucket when it was sent */
    int blocked;     /* something newer was promised before */
    int done;
    s3_vote_t vote;
    s3_mark_t mark;
    s3_lookup_t lookup;
    s3_scan_t scan;
    s3_fetch_t fetch;
    s3_note_t note;
    s3_close_t close;
    s3_record_t record;
    s3_version_t deads[2];
    uint8_t *data;
    uint8_t refs[S3_REF_SIZE];
};

/* What a killed process had in memory is nobody's to free. */

const char *
__asan_default_options(void)
{
    return "detect_leaks=0";
}


static uint64_t seed;
static int verbose;
static s3_sim_t *sim;
static s3_memfs_t *disk;
static s3_fs_t *fs;
static void *zone;
static size_t zone_size;
static proc_t procs[PROCS];
static unsigned n_procs;
static int64_t next_pid;
static int64_t dead_pids[4096];
static unsigned n_dead;
static mkey_t keys[KEYS];
static op_t *ops;
static unsigned n_ops, n_done, n_yes, n_no, n_crashes, n_reads;
static int faulty; /* I/O may fail now */
static unsigned notes[KEYS]; /* 1: noted for certain, 2: maybe */
static uint64_t armed; /* where a fault was put */
static int armed_rc;   /* it is an error and not the end of the world */
static uint64_t lived; /* raises what versions are made of */


static void
fail(const char *what, const mkey_t *k, const version_t *v)
{
    fprintf(stderr, "drive_model: seed %llu: %s", (unsigned long long) seed,
            what);

    if (k) {
        fprintf(stderr, ", key %s", k->name);
    }

    if (v) {
        fprintf(stderr, ", version %u (time %llu): yes %u no %u pushed %u "
                        "dead %u confirm %u",
                (unsigned) (v - k->v), (unsigned long long) v->version.time,
                v->yes, v->no, v->pushed, v->dead, v->confirm);
    }

    fprintf(stderr, "\nrun: drive_model %llu 1 -v\n",
            (unsigned long long) seed);
    exit(1);
}

#define MUST(cond, k, v)               \
    do {                               \
        if (!(cond)) {                 \
            fail("not: " #cond, k, v); \
        }                              \
    } while (0)

/* No answer is fine where I/O fails. */

static void
silent(int rc, const mkey_t *k, const version_t *v)
{
    if (!faulty && !s3_sim_stopped(sim)) {
        fprintf(stderr, "%s\n", s3_strerror(rc));
        fail("no answer", k, v);
    }
}


static unsigned
rnd(unsigned n)
{
    return n ? (unsigned) s3_sim_random(sim, n) : 0;
}


static uint64_t
conf_wall(void *ctx)
{
    (void) ctx;
    return 1700000000000000ULL + s3_sim_now(sim) + lived;
}

static void
conf_random(void *ctx, void *buf, size_t len)
{
    size_t i;

    (void) ctx;

    for (i = 0; i < len; i++) {
        ((uint8_t *) buf)[i] = (uint8_t) s3_sim_random(sim, 256);
    }
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
    conf->fs[0] = fs;
    conf->zone = zone;
    conf->zone_size = zone_size;
    conf->fresh = 1;
    conf->segment_size = 64 * 1024;
    conf->max_segments = ZONE_SEGMENTS;
    conf->wall_us = conf_wall;
    conf->random = conf_random;
    conf->log = conf_log;
    memset(conf->instance, 7, 16);
}


/* What the version holds: any drive or test can say it again. */

static void
content(const mkey_t *k, const version_t *v, uint8_t *p, size_t len)
{
    size_t i;
    uint64_t x = v->version.time * 0x9e3779b97f4a7c15ULL ^ v->version.rand
                 ^ (uint64_t) (k - keys);

    for (i = 0; i < len; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        p[i] = (uint8_t) x;
    }
}


static version_t *
by_version(mkey_t *k, const s3_version_t *v)
{
    unsigned i;

    for (i = 0; i < k->n; i++) {
        if (s3_version_cmp(&k->v[i].version, v) == 0) {
            return &k->v[i];
        }
    }

    return NULL;
}


/* Greatest version that is confirmed for certain: PUSH was answered. */

static version_t *
floor_of(mkey_t *k)
{
    unsigned i;
    version_t *best = NULL;

    for (i = 0; i < k->n; i++) {
        if (k->v[i].push_yes
            && (best == NULL
                || s3_version_cmp(&k->v[i].version, &best->version) > 0))
        {
            best = &k->v[i];
        }
    }

    return best;
}


static op_t *
op_new(proc_t *p, mkey_t *k, unsigned v)
{
    op_t *op = calloc(1, sizeof(*op));

    op->next = ops;
    ops = op;
    op->proc = p;
    op->pid = p->pid;
    op->key = k;
    op->v = v;
    n_ops++;

    return op;
}


static s3_str_t
key_of(const mkey_t *k)
{
    return s3_str(k->name, strlen(k->name));
}


/* Answers. */

static void
said_yes(mkey_t *k, version_t *v)
{
    /* a dead version stays dead whatever this drive says of it: the DEAD may
     * be dropped before the RECORD that it replaced */
    MUST(!v->no || v->pushed || v->dead, k, v);
    v->yes = 1;
    n_yes++;
}

static void
said_no(mkey_t *k, version_t *v)
{
    /* a PUSH over a FENCE may be dropped before the FENCE: v is committed,
     * and the NO is the old one */
    MUST(!v->yes || v->dead || v->pushed, k, v);
    v->no = 1;
    n_no++;
}


static void
vote_done(s3_req_t *req)
{
    op_t *op = req->ctx;
    mkey_t *k = op->key;
    version_t *v = &k->v[op->v];

    op->done = 1;
    n_done++;

    if (req->rc != S3_OK) {
        silent(req->rc, k, v);
        return;
    }

    switch (req->answer) {
    case S3_ANSWER_YES:
        MUST(!op->blocked || v->pushed, k, v);
        MUST(!v->outside || v->pushed, k, v);
        said_yes(k, v);
        break;
    case S3_ANSWER_NO:
        said_no(k, v);
        break;
    case S3_ANSWER_STALE:
        MUST(k->bucket >= CLOSABLE, k, v);
        break;
    case S3_ANSWER_GONE:
    case S3_ANSWER_BUSY:
    case S3_ANSWER_NODATA:
        break;
    default:
        fail("strange answer to a vote", k, v);
    }
}


static void
push_done(s3_req_t *req)
{
    op_t *op = req->ctx;
    mkey_t *k = op->key;
    version_t *v = &k->v[op->v];

    op->done = 1;
    n_done++;

    if (req->rc != S3_OK) {
        silent(req->rc, k, v);
        return;
    }

    if (req->answer == S3_ANSWER_YES) {
        v->yes = 1;
        v->push_yes = 1;
        return;
    }

    MUST(req->answer == S3_ANSWER_GONE || req->answer == S3_ANSWER_NODATA, k,
         v);
}


static void
fence_done(s3_req_t *req)
{
    op_t *op = req->ctx;
    mkey_t *k = op->key;
    version_t *v = &k->v[op->v];

    op->done = 1;
    n_done++;

    if (req->rc != S3_OK) {
        silent(req->rc, k, v);
        return;
    }

    if (req->answer == S3_ANSWER_YES) {
        said_yes(k, v);

    } else if (req->answer == S3_ANSWER_NO) {
        said_no(k, v);

    } else {
        MUST(req->answer == S3_ANSWER_GONE && op->mark.newer_confirmed, k, v);
    }
}


static void
status_done(s3_req_t *req)
{
    op_t *op = req->ctx;
    mkey_t *k = op->key;
    version_t *v = &k->v[op->v];

    op->done = 1;
    n_done++;

    if (req->rc != S3_OK) {
        silent(req->rc, k, v);
        return;
    }

    switch (req->answer) {
    case S3_ANSWER_YES:
        said_yes(k, v);
        break;
    case S3_ANSWER_NO:
        said_no(k, v);
        break;
    case S3_ANSWER_NOT_HELD:
        MUST(!v->yes || v->dead, k, v);
        break;
    case S3_ANSWER_GONE:
        MUST(op->mark.newer_confirmed, k, v);
        break;
    default:
        fail("strange answer to STATUS", k, v);
    }
}


static void
dead_done(s3_req_t *req)
{
    op_t *op = req->ctx;
    version_t *v = &op->key->v[op->v];

    op->done = 1;
    n_done++;

    if (req->rc != S3_OK) {
        silent(req->rc, op->key, v);
        return;
    }

    if (req->answer == S3_ANSWER_NO) {
        v->dead_yes = 1;
        v->no = 1;
    }
}


static void
confirm_done(s3_req_t *req)
{
    op_t *op = req->ctx;

    op->done = 1;
    n_done++;

    if (req->rc != S3_OK) {
        silent(req->rc, op->key, NULL);
    }
}


static void
check_entries(mkey_t *k, const s3_entry_t *e, unsigned n)
{
    unsigned i, j;
    version_t *v, *f;
    const s3_entry_t *last = NULL;

    for (i = 0; i < n; i++) {
        v = by_version(k, &e[i].version);
        MUST(v != NULL, k, NULL);

        if (i) {
            MUST(s3_version_cmp(&e[i - 1].version, &e[i].version) > 0, k, v);
            MUST(!(e[i - 1].flags & S3_F_CONFIRMED), k, v);
        }

        if (e[i].kind == S3_KIND_DEAD) {
            MUST(v->dead, k, v);
            continue;
        }

        MUST(v->issued || v->pushed, k, v);
        MUST(e[i].kind == v->kind && e[i].size == v->len, k, v);

        if (e[i].flags & S3_F_CONFIRMED) {
            MUST(v->confirm || v->pushed, k, v);
            last = &e[i];
        }
    }

    f = floor_of(k);

    if (f) {
        MUST(last && s3_version_cmp(&last->version, &f->version) >= 0, k, f);
    }

    /* every promise newer than what is confirmed is there */
    for (j = 0; j < k->n; j++) {
        v = &k->v[j];

        if (!v->yes || (last && s3_version_cmp(&v->version, &last->version) < 0))
        {
            continue;
        }

        for (i = 0; i < n; i++) {
            if (s3_version_cmp(&e[i].version, &v->version) == 0) {
                break;
            }
        }

        MUST(i < n, k, v);
        MUST(e[i].kind != S3_KIND_DEAD || v->dead, k, v);
    }
}


static void
read_done(s3_req_t *req)
{
    op_t *op = req->ctx;

    op->done = 1;
    n_done++;
    n_reads++;

    if (req->rc != S3_OK) {
        silent(req->rc, op->key, NULL);
    }

    /* what was promised meanwhile may be missing: verify() looks at rest */
    s3_lookup_release(&op->lookup);
}


static void
scan_done(s3_req_t *req)
{
    op_t *op = req->ctx;

    op->done = 1;
    n_done++;

    if (req->rc != S3_OK) {
        silent(req->rc, NULL, NULL);
    }

    s3_scan_release(&op->scan);
}


static void
note_done(s3_req_t *req)
{
    op_t *op = req->ctx;

    op->done = 1;
    n_done++;

    if (req->rc != S3_OK) {
        silent(req->rc, op->key, NULL);
        return;
    }

    notes[op->key - keys] = op->type == 1 ? 1 : 0;
}


static void
close_done(s3_req_t *req)
{
    op_t *op = req->ctx;

    op->done = 1;
    n_done++;

    if (req->rc != S3_OK) {
        silent(req->rc, op->key, NULL);
        return;
    }

    if (op->close.generation + 1 > op->key->closed) {
        op->key->closed = op->close.generation + 1;
    }
}


/* Waits for an operation; 0: its process died, or the world stopped. */

static int
await(op_t *op)
{
    unsigned spins = 0;

    while (!op->done) {
        if (s3_sim_stopped(sim) || !op->proc->alive || op->proc->pid != op->pid)
        {
            return 0;
        }

        if (!s3_sim_step(sim)) {
            s3_sim_sleep(sim, 1000);
        }

        if (++spins > 2000000) {
            fail("an operation hangs", op->key, &op->key->v[op->v]);
        }
    }

    return !s3_sim_stopped(sim);
}


static void
make_record(op_t *op, unsigned generation)
{
    s3_ref_t ref;
    mkey_t *k = op->key;
    version_t *v = &k->v[op->v];
    s3_record_t *r = &op->record;

    memset(r, 0, sizeof(*r));
    r->bucket = k->bucket;
    r->generation = generation;
    r->key = key_of(k);
    r->entry.version = v->version;
    r->entry.kind = v->kind;
    r->entry.voters = v->outside ? 2 : 1;
    r->entry.size = v->len;
    r->entry.mtime = v->version.time / 1000;
    r->entry.layout = v->layout;

    if (v->kind == S3_KIND_OBJECT && v->layout != S3_LAYOUT_NONE) {
        r->entry.holders = r->entry.voters;
        r->entry.need = 1;
    }

    if (v->layout == S3_LAYOUT_COPIES) {
        op->data = malloc(v->len + 1);
        content(k, v, op->data, v->len);
        r->data = s3_str(op->data, v->len);
    }

    if (v->layout == S3_LAYOUT_BLOBS) {
        memset(&ref, 0, sizeof(ref));
        memcpy(ref.id, v->blob, 16);
        ref.size = v->len;
        ref.mask = 1;
        ref.k = 1;
        s3_ref_encode(op->refs, &ref);
        r->refs = s3_str(op->refs, S3_REF_SIZE);
    }
}


/* Is something newer promised (held, for certain)? */

static int
blocked(mkey_t *k, const version_t *v)
{
    unsigned i;

    if (v->yes || v->issued || v->pushed) {
        return 0; /* may be held already */
    }

    for (i = 0; i < k->n; i++) {
        if (k->v[i].yes
            && s3_version_cmp(&k->v[i].version, &v->version) > 0)
        {
            return 1;
        }
    }

    return 0;
}


static void
send_vote(proc_t *p, mkey_t *k, unsigned i, unsigned generation)
{
    unsigned j;
    version_t *v = &k->v[i];
    op_t *op = op_new(p, k, i);

    make_record(op, generation);
    op->blocked = blocked(k, v) || (k->closed && generation < k->closed
                                    && !v->issued && !v->pushed);

    if (rnd(4) == 0) {
        op->record.conditional = 1;
        j = rnd(k->n + 1);
        op->record.expects =
            j < k->n
                    && s3_version_cmp(&k->v[j].version, &v->version) < 0
                ? k->v[j].version
                : s3_version_none;
    }

    /* what is declared dead here, too */
    if (rnd(8) == 0) {
        for (j = 0; j < k->n && op->vote.n_dead < 2; j++) {
            if (k->v[j].dead) {
                op->deads[op->vote.n_dead++] = k->v[j].version;
            }
        }

        op->vote.dead = op->deads;
    }

    v->issued = 1;
    op->vote.req.done = vote_done;
    op->vote.req.ctx = op;
    op->vote.record = &op->record;
    p->drive->ops->vote(p->drive, &op->vote);
}


static void
send_push(proc_t *p, mkey_t *k, unsigned i)
{
    op_t *op = op_new(p, k, i);

    make_record(op, 1);
    k->v[i].pushed = 1;
    op->vote.req.done = push_done;
    op->vote.req.ctx = op;
    op->vote.record = &op->record;
    p->drive->ops->push(p->drive, &op->vote);
}


static op_t *
send_mark(proc_t *p, mkey_t *k, unsigned i, int type)
{
    op_t *op = op_new(p, k, i);
    s3_mark_t *m = &op->mark;

    m->bucket = k->bucket;
    m->key = key_of(k);
    m->version = k->v[i].version;
    m->req.ctx = op;
    op->type = type;

    switch (type) {
    case 0:
        m->req.done = fence_done;
        p->drive->ops->fence(p->drive, m);
        break;
    case 1:
        m->req.done = status_done;
        p->drive->ops->status(p->drive, m);
        break;
    case 2:
        k->v[i].dead = 1;
        m->req.done = dead_done;
        p->drive->ops->dead(p->drive, m);
        break;
    default:
        k->v[i].confirm = 1;
        m->req.done = confirm_done;
        p->drive->ops->confirm(p->drive, m);
    }

    return op;
}


/* Blobs: written and finished before the vote. */

static void
blob_done(s3_req_t *req)
{
    op_t *op = req->ctx;

    op->done = 1;
}


static int
write_blob(proc_t *p, mkey_t *k, version_t *v)
{
    int ok;
    size_t len;
    uint8_t *buf;
    op_t *op;
    s3_blob_t *blob;
    s3_blob_req_t create, finish;
    s3_blob_unit_t unit;
    s3_unit_t w;

    conf_random(NULL, v->blob, 16);
    memset(&create, 0, sizeof(create));
    memcpy(create.id, v->blob, 16);
    create.size = s3_blob_unit_size(v->len);
    op = op_new(p, k, (unsigned) (v - k->v));
    create.req.done = blob_done;
    create.req.ctx = op;
    p->drive->ops->blob_create(p->drive, &create);

    /* a process that dies leaves requests behind: they are on this stack */
    if (!await(op) || create.req.rc != S3_OK) {
        return 0;
    }

    blob = create.blob;
    buf = aligned_alloc(S3_SECTOR, S3_BLOB_UNIT);
    memset(buf, 0, S3_BLOB_UNIT);
    content(k, v, buf + S3_BLOB_HEADER, v->len);
    memset(&unit, 0, sizeof(unit));
    memcpy(unit.id, v->blob, 16);
    unit.length = v->len;
    unit.k = 1;
    unit.n = 1;
    unit.last = 1;
    len = s3_blob_unit_seal(buf, &unit);

    memset(&w, 0, sizeof(w));
    w.blob = blob;
    w.buf = buf;
    w.len = len;
    op = op_new(p, k, (unsigned) (v - k->v));
    w.req.done = blob_done;
    w.req.ctx = op;
    p->drive->ops->blob_write(p->drive, &w);
    ok = await(op);

    if (!ok) {
        return 0; /* buf is leaked: a dead process had it */
    }

    memset(&finish, 0, sizeof(finish));
    memcpy(finish.id, v->blob, 16);
    finish.blob = blob;
    op = op_new(p, k, (unsigned) (v - k->v));
    finish.req.done = blob_done;
    finish.req.ctx = op;
    p->drive->ops->blob_finish(p->drive, &finish);
    ok = await(op);

    if (ok) {
        free(buf);
    }

    return ok && finish.req.rc == S3_OK;
}


/* Is the blob of v whole? */

static int
read_blob(proc_t *p, mkey_t *k, version_t *v)
{
    int rc;
    size_t payload;
    uint8_t *buf, *want;
    op_t *op = op_new(p, k, (unsigned) (v - k->v));
    s3_unit_t r;

    buf = aligned_alloc(S3_SECTOR, S3_BLOB_UNIT);
    memset(&r, 0, sizeof(r));
    memcpy(r.id, v->blob, 16);
    r.buf = buf;
    r.len = S3_BLOB_UNIT;
    r.req.done = blob_done;
    r.req.ctx = op;
    p->drive->ops->blob_read(p->drive, &r);

    if (!await(op)) {
        return 1;
    }

    if (r.req.rc != S3_OK) {
        free(buf);
        return faulty && r.req.rc != S3_ENOENT;
    }

    rc = s3_blob_unit_check(buf, r.done_len, v->blob, 0, 0, &payload);

    if (rc == S3_OK) {
        want = malloc(v->len + 1);
        content(k, v, want, v->len);
        rc = payload == v->len && memcmp(want, buf + S3_BLOB_HEADER, v->len) == 0
                 ? S3_OK
                 : S3_ECORRUPT;
        free(want);
    }

    free(buf);

    return rc == S3_OK;
}


static void
fetch_done(s3_req_t *req)
{
    op_t *op = req->ctx;

    op->done = 1;
}


static void
check_record(proc_t *p, mkey_t *k, const s3_entry_t *e)
{
    op_t *op;
    uint8_t *want;
    version_t *v = by_version(k, &e->version);
    s3_entry_t hint = *e;

    if (e->kind == S3_KIND_DEAD) {
        return;
    }

    op = op_new(p, k, (unsigned) (v - k->v));
    op->fetch.req.done = fetch_done;
    op->fetch.req.ctx = op;
    op->fetch.bucket = k->bucket;
    op->fetch.key = key_of(k);
    op->fetch.version = e->version;
    op->fetch.hint = rnd(2) ? &hint : NULL;
    p->drive->ops->fetch(p->drive, &op->fetch);

    if (!await(op)) {
        return;
    }

    MUST(op->fetch.req.rc == S3_OK, k, v);

    if (v->layout == S3_LAYOUT_COPIES) {
        want = malloc(v->len + 1);
        content(k, v, want, v->len);
        MUST(s3_str_eq(op->fetch.record.data, s3_str(want, v->len)), k, v);
        free(want);
    }

    free(op->fetch.buf);

    if (v->layout == S3_LAYOUT_BLOBS) {
        MUST(read_blob(p, k, v), k, v);
    }
}


static void
keep_done(s3_req_t *req)
{
    op_t *op = req->ctx;

    op->done = 1;
}


static int
same_entries(const s3_entry_t *a, unsigned n, const s3_item_t *item)
{
    unsigned i;

    if (item == NULL || item->n != n) {
        return n == 0 && item == NULL;
    }

    for (i = 0; i < n; i++) {
        if (s3_version_cmp(&a[i].version, &item->entries[i].version) != 0
            || a[i].kind != item->entries[i].kind
            || a[i].flags != item->entries[i].flags)
        {
            return 0;
        }
    }

    return 1;
}


/* LIST says what READ says. */

static void
check_list(proc_t *p, uint64_t bucket)
{
    char after[32];
    unsigned i, j, seen[KEYS];
    op_t *op, *rd;
    const s3_item_t *item;

    memset(seen, 0, sizeof(seen));
    after[0] = '\0';

    for ( ;; ) {
        op = op_new(p, &keys[0], 0);
        op->scan.req.done = keep_done;
        op->scan.req.ctx = op;
        op->scan.bucket = bucket;
        op->scan.from = s3_str(after, strlen(after));
        op->scan.after = after[0] != '\0';
        op->scan.max = 1 + rnd(5);
        p->drive->ops->list(p->drive, &op->scan);

        if (!await(op)) {
            return;
        }

        MUST(op->scan.req.rc == S3_OK, NULL, NULL);

        for (i = 0; i < op->scan.n; i++) {
            item = &op->scan.items[i];

            for (j = 0; j < KEYS; j++) {
                if (keys[j].bucket == bucket
                    && s3_str_eq(item->key, key_of(&keys[j])))
                {
                    break;
                }
            }

            if (j == KEYS) {
                if (item->key.len > 5 && memcmp(item->key.data, "bulk-", 5) == 0)
                {
                    continue;
                }

                fail("LIST shows a key that nobody made", NULL, NULL);
            }

            MUST(!seen[j], &keys[j], NULL);
            seen[j] = 1;

            rd = op_new(p, &keys[j], 0);
            rd->lookup.req.done = keep_done;
            rd->lookup.req.ctx = rd;
            rd->lookup.bucket = bucket;
            rd->lookup.key = key_of(&keys[j]);
            p->drive->ops->read(p->drive, &rd->lookup);

            if (!await(rd)) {
                return;
            }

            MUST(rd->lookup.req.rc == S3_OK, &keys[j], NULL);
            MUST(same_entries(rd->lookup.entries, rd->lookup.n, item), &keys[j],
                 NULL);
            s3_lookup_release(&rd->lookup);
        }

        if (op->scan.n) {
            item = &op->scan.items[op->scan.n - 1];
            memcpy(after, item->key.data, item->key.len);
            after[item->key.len] = '\0';
        }

        i = op->scan.end;
        s3_scan_release(&op->scan);

        if (i) {
            break;
        }
    }

    for (j = 0; j < KEYS; j++) {
        if (keys[j].bucket == bucket && floor_of(&keys[j])) {
            MUST(seen[j], &keys[j], NULL);
        }
    }
}


/* Every promise, asked again. */

static void
verify(proc_t *p)
{
    unsigned i, j;
    mkey_t *k;
    op_t *op;
    version_t *v;

    for (i = 0; i < KEYS; i++) {
        k = &keys[i];

        op = op_new(p, k, 0);
        op->lookup.req.done = keep_done;
        op->lookup.req.ctx = op;
        op->lookup.bucket = k->bucket;
        op->lookup.key = key_of(k);
        p->drive->ops->read(p->drive, &op->lookup);

        if (!await(op)) {
            return;
        }

        MUST(op->lookup.req.rc == S3_OK, k, NULL);
        check_entries(k, op->lookup.entries, op->lookup.n);

        for (j = 0; j < op->lookup.n; j++) {
            check_record(p, k, &op->lookup.entries[j]);
        }

        s3_lookup_release(&op->lookup);

        for (j = 0; j < k->n; j++) {
            v = &k->v[j];

            if (!v->yes && !v->no && rnd(3)) {
                continue;
            }

            op = send_mark(p, k, j, 1);
            if (!await(op)) {
                return;
            }

            if (op->mark.req.answer == S3_ANSWER_YES && v->yes) {
                continue;
            }

            /* forgotten only where something newer is confirmed */
            MUST(!v->yes || v->dead || op->mark.newer_confirmed, k, v);
        }
    }

    check_list(p, BUCKET);

    for (i = 0; i < KEYS; i++) {
        if (notes[i] != 1) {
            continue;
        }

        uint8_t name[64] = {3};

        s3_put64(name + 1, __builtin_bswap64(keys[i].bucket));
        memcpy(name + 9, keys[i].name, strlen(keys[i].name));

        op = op_new(p, &keys[i], 0);
        op->lookup.req.done = keep_done;
        op->lookup.req.ctx = op;
        op->lookup.bucket = S3_BUCKET_NOTES;
        op->lookup.key = s3_str(name, 9 + strlen(keys[i].name));
        p->drive->ops->read(p->drive, &op->lookup);

        if (!await(op)) {
            return;
        }

        MUST(op->lookup.n == 1 && op->lookup.entries[0].kind == S3_KIND_NOTE,
             &keys[i], NULL);
        s3_lookup_release(&op->lookup);
    }
}


/* Processes. */

static void
attach(proc_t *p)
{
    int rc;
    s3_node_conf_t conf;

    make_conf(&conf);
    p->loop = s3_sim_loop(sim);
    p->pid = ++next_pid;

    rc = s3_node_attach(&conf, p->loop, S3_NODE_ANY_SLOT, p->pid, alive,
                        &p->node);
    if (rc != S3_OK) {
        if (faulty) {
            p->alive = 0;
            p->node = NULL;
            s3_sim_kill(p->loop);
            dead_pids[n_dead++] = p->pid;
            return;
        }

        fail(s3_strerror(rc), NULL, NULL);
    }

    p->drive = s3_node_drive(p->node, 0);
    p->alive = 1;
}


static void
forget_ops(int64_t pid)
{
    op_t *op, **at;

    for (at = &ops; *at; /* void */) {
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
kill_proc(proc_t *p)
{
    s3_sim_kill(p->loop);
    p->alive = 0;

    /* what the kernel has of it comes to its end before it counts as dead */
    s3_sim_sleep(sim, 20000);

    if (p->node) {
        s3_node_abandon(p->node);
        p->node = NULL;
    }

    forget_ops(p->pid);
    dead_pids[n_dead++] = p->pid;
}


/* A fault that was put somewhere and has not happened: lets it pass. */

static void
burn(void)
{
    uint64_t a, b;

    while (s3_sim_ios(sim) <= armed) {
        fs->space(fs, &a, &b);

        if (s3_sim_stopped(sim)) {
            s3_memfs_crash(disk);
            s3_sim_resume(sim);
        }
    }
}


static void
start_all(void)
{
    int rc;
    unsigned i;
    s3_node_conf_t conf;

    if (armed_rc || rnd(2)) {
        burn();
    }

    for ( ;; ) {
        memset(zone, 0xee, 64);
        make_conf(&conf);

        rc = s3_node_recover(&conf);

        if (rc == S3_OK && !s3_sim_stopped(sim)) {
            break;
        }

        if (!s3_sim_stopped(sim)) {
            fprintf(stderr, "recover: %s\n", s3_strerror(rc));
            fail("recovery refused", NULL, NULL);
        }

        /* the power was cut during recovery */
        s3_memfs_crash(disk);
        s3_sim_resume(sim);
    }

    burn();

    for (i = 0; i < n_procs; i++) {
        attach(&procs[i]);
    }
}


static void
stop_all(int power)
{
    unsigned i;
    proc_t *p;

    for (i = 0; i < n_procs; i++) {
        p = &procs[i];

        if (p->alive) {
            s3_sim_kill(p->loop);
            p->alive = 0;
            dead_pids[n_dead++] = p->pid;
        }
    }

    if (power) {
        s3_memfs_crash(disk);
    }

    s3_sim_resume(sim);

    if (!power) {
        s3_sim_sleep(sim, 20000);
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
leave(proc_t *p)
{
    unsigned spins;

    s3_node_quiesce(p->node);

    for (spins = 0; s3_node_busy(p->node); spins++) {
        if (s3_sim_stopped(sim)) {
            return;
        }

        if (!s3_sim_step(sim)) {
            s3_sim_sleep(sim, 1000);
        }

        if (spins > 1000000) {
            fail("a process does not come to rest", NULL, NULL);
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
new_version(proc_t *p, mkey_t *k)
{
    version_t *v;

    if (k->n == VERSIONS) {
        return rnd(VERSIONS);
    }

    v = &k->v[k->n];
    memset(v, 0, sizeof(*v));
    v->version.time = s3_node_clock(p->node);

    if (rnd(6) == 0 && k->n) {
        v->version.time = k->v[rnd(k->n)].version.time + rnd(3) - 1;
    }

    v->version.node = 1 + rnd(3);
    conf_random(NULL, &v->version.rand, 8);

    v->kind = rnd(5) ? S3_KIND_OBJECT : S3_KIND_TOMBSTONE;
    v->outside = rnd(30) == 0;

    if (v->kind == S3_KIND_OBJECT && rnd(8)) {
        v->layout = rnd(5) || faulty ? S3_LAYOUT_COPIES : S3_LAYOUT_BLOBS;
        v->len = 1 + rnd(rnd(8) ? 300 : 8000);
    }

    return k->n++;
}


static void
act_note(proc_t *p, mkey_t *k)
{
    op_t *op = op_new(p, k, 0);

    /* one at a time for a key, so that the model knows */
    op->type = notes[k - keys] == 1 && rnd(2) ? 2 : 1;
    notes[k - keys] = 2;
    op->note.req.done = note_done;
    op->note.req.ctx = op;
    op->note.target = 3;
    op->note.bucket = k->bucket;
    op->note.key = key_of(k);
    op->note.version = (s3_version_t){++lived + 5, 1, 1};

    if (op->type == 1) {
        p->drive->ops->note(p->drive, &op->note);

    } else {
        p->drive->ops->unnote(p->drive, &op->note);
    }

    await(op);
}


static void
act_close(proc_t *p, mkey_t *k)
{
    op_t *op = op_new(p, k, 0);

    op->close.req.done = close_done;
    op->close.req.ctx = op;
    op->close.bucket = k->bucket;
    op->close.generation = k->closed + rnd(2);
    p->drive->ops->close_bucket(p->drive, &op->close);
    await(op);
}


static void
act_bulk(proc_t *p)
{
    unsigned i, n = 20 + rnd(200);
    op_t *op;
    static s3_record_t r[256];
    static char names[256][32];
    static s3_vote_t votes[256];

    for (i = 0; i < n; i++) {
        snprintf(names[i], sizeof(names[i]), "bulk-%u", rnd(400));
        memset(&r[i], 0, sizeof(r[i]));
        r[i].bucket = BUCKET;
        r[i].generation = 1;
        r[i].key = s3_str(names[i], strlen(names[i]));
        r[i].entry.version.time = s3_node_clock(p->node);
        r[i].entry.version.node = 9;
        r[i].entry.version.rand = i;
        r[i].entry.kind = S3_KIND_TOMBSTONE;
        r[i].entry.voters = 1;
        op = op_new(p, &keys[0], 0);
        memset(&votes[i], 0, sizeof(votes[i]));
        votes[i].req.done = keep_done;
        votes[i].req.ctx = op;
        votes[i].record = &r[i];

        if (rnd(2)) {
            p->drive->ops->push(p->drive, &votes[i]);

        } else {
            p->drive->ops->vote(p->drive, &votes[i]);
        }

        if (rnd(3) == 0) {
            s3_sim_step(sim);
        }
    }

    /* statics: all of them must be over */
    for (op = ops; op; op = op->next) {
        if (op->pid == p->pid && !op->done && !await(op)) {
            return;
        }
    }
}


static void
act(proc_t *p)
{
    unsigned i;
    op_t *op;
    version_t *v;
    mkey_t *k = &keys[rnd(rnd(3) ? 6 : KEYS)];

    switch (rnd(24)) {

    case 0: case 1: case 2: case 3: case 4: case 5:
        i = new_version(p, k);
        v = &k->v[i];

        if (v->layout == S3_LAYOUT_BLOBS && !v->issued
            && !write_blob(p, k, v))
        {
            v->layout = S3_LAYOUT_NONE;
            v->len = 0;
        }

        if (p->alive && !s3_sim_stopped(sim)) {
            send_vote(p, k, i, k->bucket >= CLOSABLE ? rnd(k->closed + 2) : 1);
        }

        break;

    case 6: case 7:
        if (k->n) {
            send_vote(p, k, rnd(k->n),
                      k->bucket >= CLOSABLE ? rnd(k->closed + 2) : 1);
        }
        break;

    case 8: case 9:
        if (k->n) {
            send_mark(p, k, k->n - 1 - rnd(s3_min(k->n, 3u)), 0);
        }
        break;

    case 10:
        if (k->n) {
            send_mark(p, k, rnd(k->n), 1);
        }
        break;

    case 11:
        if (k->n) {
            i = rnd(k->n);
            v = &k->v[i];

            if (!v->confirm && !v->pushed) {
                send_mark(p, k, i, 2);
            }
        }
        break;

    case 12: case 13: case 14: case 15:
        if (k->n) {
            i = k->n - 1 - rnd(s3_min(k->n, 4u));
            v = &k->v[i];

            if (v->yes && !v->dead) {
                send_mark(p, k, i, 3);
            }
        }
        break;

    case 16:
        i = k->n && rnd(2) ? rnd(k->n) : new_version(p, k);
        v = &k->v[i];

        if (!v->dead && v->layout != S3_LAYOUT_BLOBS) {
            send_push(p, k, i);
        }
        break;

    case 17: case 18:
        op = op_new(p, k, 0);
        op->lookup.req.done = read_done;
        op->lookup.req.ctx = op;
        op->lookup.bucket = k->bucket;
        op->lookup.key = key_of(k);
        p->drive->ops->read(p->drive, &op->lookup);
        break;

    case 19:
        op = op_new(p, k, 0);
        op->scan.req.done = scan_done;
        op->scan.req.ctx = op;
        op->scan.bucket = BUCKET;
        op->scan.delimiter = rnd(2) ? s3_string("/") : s3_null_str;
        op->scan.max = rnd(40);
        p->drive->ops->list(p->drive, &op->scan);
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
        if (rnd(4) == 0) {
            act_bulk(p);
        }
        break;

    default:
        s3_sim_sleep(sim, rnd(20) ? rnd(3000) : 1000 * rnd(4000));
    }

    if (rnd(3) == 0) {
        for (i = rnd(10); i; i--) {
            s3_sim_step(sim);
        }
    }
}


static void
settle_ops(void)
{
    op_t *op;

    for (op = ops; op; op = op->next) {
        if (!op->done && op->proc->alive && op->proc->pid == op->pid) {
            await(op);
        }
    }

    forget_ops(-1);
}


static void
round_of(unsigned steps)
{
    unsigned i, what;
    proc_t *p;

    for (i = 0; i < steps && !s3_sim_stopped(sim); i++) {
        p = &procs[rnd(n_procs)];

        if (!p->alive) {
            attach(p);
            continue;
        }

        what = rnd(300);

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

    sim = s3_sim_create(seed);
    s3_sim_verbose(sim, verbose);
    disk = s3_memfs_create(sim, 0, 0);
    fs = s3_memfs_fs(disk);
    zone_size = s3_node_zone_min(1, ZONE_SEGMENTS) + rnd(2) * 256 * 1024;
    zone = aligned_alloc(4096, s3_align(zone_size, (size_t) 4096));
    memset(keys, 0, sizeof(keys));
    memset(notes, 0, sizeof(notes));
    n_dead = 0;
    next_pid = 100;
    lived = 0;
    armed = 0;
    armed_rc = 0;
    faulty = 0;
    n_procs = 1 + rnd(PROCS);

    for (i = 0; i < KEYS; i++) {
        keys[i].bucket = i % 4 == 3 ? CLOSABLE + 4 * i : BUCKET;
        snprintf(keys[i].name, sizeof(keys[i].name), "%s%02u",
                 i % 5 ? "key-" : "dir/key-", i);
    }

    start_all();
    rounds = 2 + rnd(3);

    while (rounds--) {
        faulty = 0;

        switch (rnd(6)) {
        case 0: /* the world stops inside some I/O */
        case 1:
            at = 1 + s3_sim_random(sim, 1 + s3_sim_random(sim, 1500));
            armed = s3_sim_ios(sim) + at;
            armed_rc = 0;
            s3_sim_fault_at(sim, armed, S3_FAULT_STOP);
            break;
        case 2:
            faulty = 1;
            armed = s3_sim_ios(sim) + 1 + rnd(300);
            armed_rc = 1;
            s3_sim_fault_at(sim, armed, rnd(2) ? S3_FAULT_EIO : S3_FAULT_TORN);
            break;
        default:
            break;
        }

        round_of(30 + rnd(250));

        if (!faulty && !s3_sim_stopped(sim) && rnd(2)) {
            settle_ops();

            for (i = 0; i < n_procs && !s3_sim_stopped(sim); i++) {
                if (procs[i].alive) {
                    verify(&procs[i]);
                }
            }
        }

        /* a fault that did not happen must not happen during recovery */
        stop_all(s3_sim_stopped(sim) || rnd(2));
        faulty = 0;
        lived += rnd(3) ? 0 : 2 * 3600 * 1000000ULL;

        start_all();

        for (i = 0; i < n_procs && !s3_sim_stopped(sim); i++) {
            verify(&procs[i]);
        }

        if (s3_sim_stopped(sim)) {
            stop_all(1);
            start_all();
            verify(&procs[0]);
        }
    }

    stop_all(0);
    s3_sim_destroy(sim);
    free(zone);
}


int
main(int argc, char **argv)
{
    uint64_t first, count, i;

    setvbuf(stderr, NULL, _IOLBF, 0);
    first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    count = argc > 2 ? strtoull(argv[2], NULL, 10) : 1000;
    verbose = argc > 3 && strcmp(argv[3], "-v") == 0;

    for (i = 0; i < count; i++) {
        seed = first + i;
        run();
    }

    printf("drive_model: %llu seeds, %u operations, %u yes, %u no, %u reads, "
           "%u crashes: ok\n",
           (unsigned long long) count, n_ops, n_yes, n_no, n_reads, n_crashes);

    return n_yes == 0 || n_no == 0;
}
