/*
 * The model: votes, fences, confirms, blobs; what the answers mean.
 */

#include "drive_model.h"


void
model_fail(const char *what, const model_key_t *k, const model_version_t *v)
{
    fprintf(stderr, "drive_model: seed %llu: %s",
            (unsigned long long) model_seed, what);

    if (k) {
        fprintf(stderr, ", key %s", k->name);
    }

    if (v) {
        fprintf(stderr,
                ", version %u (time %llu): yes %u no %u pushed %u "
                "dead %u confirm %u",
                (unsigned) (v - k->v), (unsigned long long) v->version.time,
                v->yes, v->no, v->pushed, v->dead, v->confirm);
    }

    fprintf(stderr, "\nrun: drive_model %llu 1 -v\n",
            (unsigned long long) model_seed);
    exit(1);
}


/* No answer is fine where I/O fails. */

void
model_silent(int rc, const model_key_t *k, const model_version_t *v)
{
    if (!model_faulty && !s3_sim_stopped(model_sim)
        && !(model_tight && rc == S3_ENOSPC))
    {
        fprintf(stderr, "%s\n", s3_strerror(rc));
        model_fail("no answer", k, v);
    }
}


unsigned
model_rnd(unsigned n)
{
    return n ? (unsigned) s3_sim_random(model_sim, n) : 0;
}


void
model_conf_random(void *ctx, void *buf, size_t len)
{
    size_t i;

    (void) ctx;

    for (i = 0; i < len; i++) {
        ((uint8_t *) buf)[i] = (uint8_t) s3_sim_random(model_sim, 256);
    }
}


/* What the version holds: any drive or test can say it again. */

void
model_content(const model_key_t *k, const model_version_t *v, uint8_t *p,
              size_t len)
{
    size_t i;
    uint64_t x = v->version.time * 0x9e3779b97f4a7c15ULL ^ v->version.rand
                 ^ (uint64_t) (k - model_keys);

    for (i = 0; i < len; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        p[i] = (uint8_t) x;
    }
}


model_version_t *
model_by_version(model_key_t *k, const s3_version_t *v)
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

model_version_t *
model_floor_of(model_key_t *k)
{
    unsigned i;
    model_version_t *best = NULL;

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


model_op_t *
model_op_new(model_proc_t *p, model_key_t *k, unsigned v)
{
    model_op_t *op = calloc(1, sizeof(*op));

    op->next = model_ops;
    model_ops = op;
    op->proc = p;
    op->pid = p->pid;
    op->key = k;
    op->v = v;
    model_n_ops++;

    return op;
}


s3_str_t
model_key_of(const model_key_t *k)
{
    return s3_str(k->name, strlen(k->name));
}


/* Waits for an operation; 0: its process died, or the world stopped. */

int
model_await(model_op_t *op)
{
    unsigned spins = 0;

    while (!op->done) {
        if (s3_sim_stopped(model_sim) || !op->proc->alive
            || op->proc->pid != op->pid) {
            return 0;
        }

        if (!s3_sim_step(model_sim)) {
            s3_sim_sleep(model_sim, 1000);
        }

        if (++spins > 2000000) {
            model_fail("an operation hangs", op->key, &op->key->v[op->v]);
        }
    }

    return !s3_sim_stopped(model_sim);
}


/* Answers. */

static void
said_yes(model_key_t *k, model_version_t *v)
{
    /* a dead version stays dead whatever this drive says of it: the DEAD may
     * be dropped before the RECORD that it replaced */
    MODEL_MUST(!v->no || v->pushed || v->dead, k, v);
    v->yes = 1;
    model_n_yes++;
}


static void
said_no(model_key_t *k, model_version_t *v)
{
    /* a PUSH over a FENCE may be dropped before the FENCE: v is committed,
     * and the NO is the old one */
    MODEL_MUST(!v->yes || v->dead || v->pushed, k, v);
    v->no = 1;
    model_n_no++;
}


static void
vote_done(s3_req_t *req)
{
    model_op_t *op = req->ctx;
    model_key_t *k = op->key;
    model_version_t *v = &k->v[op->v];

    op->done = 1;
    model_n_done++;

    if (req->rc != S3_OK) {
        model_silent(req->rc, k, v);
        return;
    }

    switch (req->answer) {
    case S3_ANSWER_YES:
        MODEL_MUST(!op->blocked || v->pushed, k, v);
        MODEL_MUST(!v->outside || v->pushed, k, v);
        said_yes(k, v);
        break;
    case S3_ANSWER_NO:
        said_no(k, v);
        break;
    case S3_ANSWER_STALE:
        MODEL_MUST(k->bucket >= CLOSABLE, k, v);
        break;
    case S3_ANSWER_GONE:
    case S3_ANSWER_BUSY:
    case S3_ANSWER_NODATA:
        break;
    case S3_ANSWER_BEHIND:
        MODEL_MUST(model_below_floor(&op->record.expects), k, v);
        break;
    default:
        model_fail("strange answer to a vote", k, v);
    }
}


static void
push_done(s3_req_t *req)
{
    model_op_t *op = req->ctx;
    model_key_t *k = op->key;
    model_version_t *v = &k->v[op->v];

    op->done = 1;
    model_n_done++;

    if (req->rc != S3_OK) {
        model_silent(req->rc, k, v);
        return;
    }

    if (req->answer == S3_ANSWER_YES) {
        v->yes = 1;
        v->push_yes = 1;
        return;
    }

    MODEL_MUST(req->answer == S3_ANSWER_GONE || req->answer == S3_ANSWER_NODATA,
               k, v);
}


static void
fence_done(s3_req_t *req)
{
    model_op_t *op = req->ctx;
    model_key_t *k = op->key;
    model_version_t *v = &k->v[op->v];

    op->done = 1;
    model_n_done++;

    if (req->rc != S3_OK) {
        model_silent(req->rc, k, v);
        return;
    }

    if (req->answer == S3_ANSWER_YES) {
        said_yes(k, v);

    } else if (req->answer == S3_ANSWER_NO) {
        said_no(k, v);

    } else {
        MODEL_MUST(req->answer == S3_ANSWER_GONE, k, v);
        MODEL_MUST(op->mark.newer_confirmed || model_below_floor(&v->version),
                   k, v);
    }
}


static void
status_done(s3_req_t *req)
{
    model_op_t *op = req->ctx;
    model_key_t *k = op->key;
    model_version_t *v = &k->v[op->v];

    op->done = 1;
    model_n_done++;

    if (req->rc != S3_OK) {
        model_silent(req->rc, k, v);
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
        MODEL_MUST(!v->yes || v->dead, k, v);
        break;
    case S3_ANSWER_GONE:
        MODEL_MUST(op->mark.newer_confirmed || model_below_floor(&v->version),
                   k, v);
        break;
    default:
        model_fail("strange answer to STATUS", k, v);
    }
}


static void
dead_done(s3_req_t *req)
{
    model_op_t *op = req->ctx;
    model_version_t *v = &op->key->v[op->v];

    op->done = 1;
    model_n_done++;

    if (req->rc != S3_OK) {
        model_silent(req->rc, op->key, v);
        return;
    }

    if (req->answer == S3_ANSWER_NO) {
        v->no = 1;
    }
}


static void
confirm_done(s3_req_t *req)
{
    model_op_t *op = req->ctx;

    op->done = 1;
    model_n_done++;

    if (req->rc != S3_OK) {
        model_silent(req->rc, op->key, NULL);
    }
}


static void
make_record(model_op_t *op, unsigned generation)
{
    s3_ref_t ref;
    model_key_t *k = op->key;
    model_version_t *v = &k->v[op->v];
    s3_record_t *r = &op->record;

    memset(r, 0, sizeof(*r));
    r->bucket = k->bucket;
    r->generation = generation;
    r->key = model_key_of(k);
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
        model_content(k, v, op->data, v->len);
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
blocked(model_key_t *k, const model_version_t *v)
{
    unsigned i;

    if (v->yes || v->issued || v->pushed) {
        return 0; /* may be held already */
    }

    for (i = 0; i < k->n; i++) {
        if (k->v[i].yes && s3_version_cmp(&k->v[i].version, &v->version) > 0) {
            return 1;
        }
    }

    return 0;
}


void
model_send_vote(model_proc_t *p, model_key_t *k, unsigned i,
                unsigned generation)
{
    unsigned j;
    model_version_t *v = &k->v[i];
    model_op_t *op = model_op_new(p, k, i);

    make_record(op, generation);
    op->blocked =
        blocked(k, v)
        || (k->closed && generation < k->closed && !v->issued && !v->pushed);

    if (model_rnd(4) == 0) {
        op->record.conditional = 1;
        j = model_rnd(k->n + 1);
        op->record.expects =
            j < k->n && s3_version_cmp(&k->v[j].version, &v->version) < 0
                ? k->v[j].version
                : s3_version_none;
    }

    /* what is declared dead here, too */
    if (model_rnd(8) == 0) {
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


void
model_send_push(model_proc_t *p, model_key_t *k, unsigned i)
{
    model_op_t *op = model_op_new(p, k, i);

    make_record(op, 1);
    k->v[i].pushed = 1;
    op->vote.req.done = push_done;
    op->vote.req.ctx = op;
    op->vote.record = &op->record;
    p->drive->ops->push(p->drive, &op->vote);
}


model_op_t *
model_send_mark(model_proc_t *p, model_key_t *k, unsigned i, int type)
{
    model_op_t *op = model_op_new(p, k, i);
    s3_mark_t *m = &op->mark;

    m->bucket = k->bucket;
    m->key = model_key_of(k);
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

void
model_blob_done(s3_req_t *req)
{
    model_op_t *op = req->ctx;

    op->done = 1;
}


int
model_write_blob(model_proc_t *p, model_key_t *k, model_version_t *v)
{
    int ok;
    size_t len;
    uint8_t *buf;
    model_op_t *op;
    s3_blob_t *blob;
    s3_blob_req_t create, finish;
    s3_blob_unit_t unit;
    s3_unit_t w;

    model_conf_random(NULL, v->blob, 16);
    memset(&create, 0, sizeof(create));
    memcpy(create.id, v->blob, 16);
    create.size = s3_blob_unit_size(v->len);
    op = model_op_new(p, k, (unsigned) (v - k->v));
    create.req.done = model_blob_done;
    create.req.ctx = op;
    p->drive->ops->blob_create(p->drive, &create);

    /* a process that dies leaves requests behind: they are on this stack */
    if (!model_await(op) || create.req.rc != S3_OK) {
        return 0;
    }

    blob = create.blob;
    buf = aligned_alloc(S3_SECTOR, S3_BLOB_UNIT);
    memset(buf, 0, S3_BLOB_UNIT);
    model_content(k, v, buf + S3_BLOB_HEADER, v->len);
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
    op = model_op_new(p, k, (unsigned) (v - k->v));
    w.req.done = model_blob_done;
    w.req.ctx = op;
    p->drive->ops->blob_write(p->drive, &w);
    ok = model_await(op);

    if (!ok) {
        return 0; /* buf is leaked: a dead process had it */
    }

    memset(&finish, 0, sizeof(finish));
    memcpy(finish.id, v->blob, 16);
    finish.blob = blob;
    op = model_op_new(p, k, (unsigned) (v - k->v));
    finish.req.done = model_blob_done;
    finish.req.ctx = op;
    p->drive->ops->blob_finish(p->drive, &finish);
    ok = model_await(op);

    if (ok) {
        free(buf);
    }

    return ok && finish.req.rc == S3_OK;
}


void
model_read_done(s3_req_t *req)
{
    model_op_t *op = req->ctx;

    op->done = 1;
    model_n_done++;
    model_n_reads++;

    if (req->rc != S3_OK) {
        model_silent(req->rc, op->key, NULL);
    }

    /* what was promised meanwhile may be missing: verify() looks at rest */
    s3_lookup_release(&op->lookup);
}


void
model_scan_done(s3_req_t *req)
{
    model_op_t *op = req->ctx;

    op->done = 1;
    model_n_done++;

    if (req->rc != S3_OK) {
        model_silent(req->rc, NULL, NULL);
    }

    s3_scan_release(&op->scan);
}


void
model_note_done(s3_req_t *req)
{
    model_op_t *op = req->ctx;

    op->done = 1;
    model_n_done++;

    if (req->rc != S3_OK) {
        model_silent(req->rc, op->key, NULL);
        return;
    }

    model_notes[op->key - model_keys] = op->type == 1 ? 1 : 0;
}


void
model_close_done(s3_req_t *req)
{
    model_op_t *op = req->ctx;

    op->done = 1;
    model_n_done++;

    if (req->rc != S3_OK) {
        model_silent(req->rc, op->key, NULL);
        return;
    }

    if (op->close.generation + 1 > op->key->closed) {
        op->key->closed = op->close.generation + 1;
    }
}
