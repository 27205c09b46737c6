/*
 * Between a store and its drives: requests and answers that are late, lost or
 * come twice.  A lost one is an error without an effect, or with one that the
 * asker does not hear of; it is told after a while, as by a broken connection.
 *
 * Strays are votes that were lost, or refused, or just come again, long after
 * they were sent and whether their sender lives or not: best once the drive has
 * said something else about the same version.
 */

#include <sys/mman.h>

#include "t/sim/s3_sim.h"

#define ANSWERS (S3_ANSWER_CLOCK + 2) /* the last: an error */
#define STRAYS 64

typedef enum {
    NET_VOTE,
    NET_PUSH,
    NET_FENCE,
    NET_STATUS,
    NET_CONFIRM,
    NET_DEAD,
    NET_READ,
    NET_FETCH,
    NET_LIST,
    NET_CREATE,
    NET_WRITE,
    NET_FINISH,
    NET_ABORT,
    NET_UNIT,
    NET_REMOVE,
    NET_CLOSE,
    NET_NOTE,
    NET_UNNOTE,
    NET_LEAKS,
    NET_KINDS
} kind_t;

typedef struct {
    s3_drive_t *d;
    sim_proc_t *proc;
    kind_t kind;
    s3_req_t *req;
    void (*done)(s3_req_t *req);
    void *ctx;
    unsigned fail : 1;
    unsigned sent : 1;
    s3_timer_t timer;
} call_t;

/* A request that comes once more: all of it is a copy. */

typedef struct {
    call_t call;
    union {
        s3_vote_t vote;
        s3_mark_t mark;
    } u;
    s3_record_t record;
    uint8_t bytes[];
} again_t;

sim_net_knobs_t sim_net[S3_MAX_DRIVES];

static again_t *strays[STRAYS];
static const s3_drive_ops_t *real;
static uint64_t (*counts)[ANSWERS];


void
sim_net_open(void)
{
    counts = mmap(NULL, NET_KINDS * sizeof(*counts), PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (counts == MAP_FAILED) {
        abort();
    }
}


static void
forward(s3_drive_t *d, kind_t kind, void *req)
{
    switch (kind) {
    case NET_VOTE:
        real->vote(d, req);
        break;
    case NET_PUSH:
        real->push(d, req);
        break;
    case NET_FENCE:
        real->fence(d, req);
        break;
    case NET_STATUS:
        real->status(d, req);
        break;
    case NET_CONFIRM:
        real->confirm(d, req);
        break;
    case NET_DEAD:
        real->dead(d, req);
        break;
    case NET_READ:
        real->read(d, req);
        break;
    case NET_FETCH:
        real->fetch(d, req);
        break;
    case NET_LIST:
        real->list(d, req);
        break;
    case NET_CREATE:
        real->blob_create(d, req);
        break;
    case NET_WRITE:
        real->blob_write(d, req);
        break;
    case NET_FINISH:
        real->blob_finish(d, req);
        break;
    case NET_ABORT:
        real->blob_abort(d, req);
        break;
    case NET_UNIT:
        real->blob_read(d, req);
        break;
    case NET_REMOVE:
        real->blob_remove(d, req);
        break;
    case NET_CLOSE:
        real->close_bucket(d, req);
        break;
    case NET_NOTE:
        real->note(d, req);
        break;
    case NET_UNNOTE:
        real->unnote(d, req);
        break;
    default:
        real->leaks(d, req);
    }
}


static void
deliver(call_t *c)
{
    s3_req_t *req = c->req;

    c->proc->held--;
    __atomic_fetch_add(
        &counts[c->kind][req->rc == S3_OK ? req->answer : ANSWERS - 1], 1,
        __ATOMIC_RELAXED);
    req->done = c->done;
    req->ctx = c->ctx;
    free(c);
    req->done(req);
}


static int
hits(unsigned per_million)
{
    return per_million && sim_chance(1000000) < per_million;
}


/* Only what gives the asker nothing to keep may lose its answer. */

static int
may_mute(kind_t kind)
{
    return kind <= NET_DEAD || kind == NET_NOTE || kind == NET_UNNOTE
           || kind == NET_CLOSE;
}


static int
may_lose(kind_t kind)
{
    return may_mute(kind) || kind == NET_READ || kind == NET_FETCH
           || kind == NET_LIST || kind == NET_CREATE || kind == NET_WRITE
           || kind == NET_UNIT;
}


static void
hold(call_t *c, unsigned ms, void (*handler)(s3_timer_t *timer))
{
    c->timer.handler = handler;
    c->timer.ctx = c;
    c->proc->loop->set_timer(c->proc->loop, &c->timer, ms);
}


static void
late_answer(s3_timer_t *timer)
{
    deliver(timer->ctx);
}


/* The same request again. */

static void
again_done(s3_req_t *req)
{
    again_t *a = req->ctx;

    a->call.proc->held--;
    free(a);
}


static void
again_now(s3_timer_t *timer)
{
    again_t *a = timer->ctx;

    a->u.vote.req.done = again_done;
    a->u.vote.req.ctx = a;
    forward(a->call.d, a->call.kind, &a->u);
}


static uint8_t *
keep(uint8_t *p, s3_str_t *s)
{
    if (s->len) {
        memcpy(p, s->data, s->len);
    }

    s->data = p;

    return p + s->len;
}


static again_t *
copy(s3_drive_t *d, kind_t kind, void *req)
{
    uint8_t *p;
    again_t *a;
    const s3_record_t *r;

    if (kind == NET_VOTE) {
        r = ((s3_vote_t *) req)->record;
        a = calloc(1, sizeof(*a) + r->key.len + r->refs.len + r->meta.len
                          + r->data.len);
        a->record = *r;
        p = keep(a->bytes, &a->record.key);
        p = keep(p, &a->record.refs);
        p = keep(p, &a->record.meta);
        keep(p, &a->record.data);
        a->u.vote.req.drive = d->index;
        a->u.vote.record = &a->record;

    } else {
        a = calloc(1, sizeof(*a) + ((s3_mark_t *) req)->key.len);
        a->u.mark = *(s3_mark_t *) req;
        keep(a->bytes, &a->u.mark.key);
    }

    a->call.kind = kind;
    a->call.timer.ctx = a;

    return a;
}


static void
send_by(sim_proc_t *proc, again_t *a, unsigned drive)
{
    a->call.proc = proc;
    a->call.d = s3_node_drive(proc->node, drive);
    proc->held++;
}


static void
repeat(s3_drive_t *d, kind_t kind, void *req)
{
    again_t *a = copy(d, kind, req);
    sim_proc_t *proc = sim_w.proc[sim_pick_alive()];

    send_by(proc, a, d->index);
    a->call.timer.handler = again_now;
    proc->loop->set_timer(proc->loop, &a->call.timer,
                          sim_chance(sim_chance(2) ? 30 : 4000));
}


/* Strays are on the world's loop: nobody's death ends them. */

static void
stray_comes(s3_timer_t *timer)
{
    unsigned i;
    uint64_t doom;
    again_t *a = timer->ctx;
    sim_proc_t *proc = sim_w.proc[sim_pick_alive()];

    for (i = 0; i < STRAYS; i++) {
        if (strays[i] == a) {
            strays[i] = NULL;
        }
    }

    if (!proc->alive) {
        free(a);
        return;
    }

    /* it is nobody's turn: nobody dies of it */

    doom = sim_doom;
    sim_doom = UINT64_MAX;
    send_by(proc, a, a->u.vote.req.drive);
    sim_doom = doom;
    a->call.timer.handler = again_now;
    proc->loop->set_timer(proc->loop, &a->call.timer, 0);
}


static void
stray(s3_drive_t *d, void *req)
{
    unsigned i;
    again_t *a;

    for (i = 0; i < STRAYS && strays[i]; i++) {
        /* void */
    }

    if (i < STRAYS) {
        a = copy(d, NET_VOTE, req);
        strays[i] = a;
        a->call.timer.handler = stray_comes;
        a->call.timer.background = 1;
        sim_w.world->set_timer(sim_w.world, &a->call.timer,
                               sim_chance(sim_chance(2) ? 300 : 10000));
    }
}


/* The drive has said what it thinks of that version. */

static void
rouse(unsigned drive, const s3_version_t *version)
{
    unsigned i;
    again_t *a;

    for (i = 0; i < STRAYS; i++) {
        a = strays[i];

        if (a && a->u.vote.req.drive == drive
            && s3_version_cmp(&a->record.entry.version, version) == 0
            && sim_chance(2))
        {
            sim_w.world->set_timer(sim_w.world, &a->call.timer, sim_chance(15));
        }
    }
}


static void
answered(s3_req_t *req)
{
    call_t *c = req->ctx;
    s3_vote_t *vote = (s3_vote_t *) req;
    sim_net_knobs_t *k = &sim_net[c->d->index];

    /* who is refused learns the time: it may be below the drive's floor */

    if (c->kind == NET_VOTE && req->rc == S3_OK && req->answer != S3_ANSWER_YES)
    {
        c->proc->drew = s3_max(c->proc->drew, vote->clock);
    }

    if (req->rc == S3_OK) {
        if (c->kind == NET_VOTE && req->answer == S3_ANSWER_NO
            && (k->fatal || hits(k->stray)))
        {
            stray(c->d, req);
        }

        if (c->kind >= NET_FENCE && c->kind <= NET_DEAD) {
            rouse(c->d->index, &((s3_mark_t *) req)->version);
        }
    }

    if (may_mute(c->kind) && hits(k->mute)) {
        req->rc = S3_EIO;
        req->answer = S3_ANSWER_NONE;
        hold(c, 1 + sim_chance(k->late_ms + 1), late_answer);

    } else if (hits(k->late)) {
        hold(c, 1 + sim_chance(k->late_ms + 1), late_answer);

    } else {
        deliver(c);
    }
}


static void
late_request(s3_timer_t *timer)
{
    call_t *c = timer->ctx;

    if (c->fail) {
        c->req->rc = S3_EIO;
        c->req->answer = S3_ANSWER_NONE;
        deliver(c);

    } else {
        forward(c->d, c->kind, c->req);
    }
}


static void
call(s3_drive_t *d, kind_t kind, void *data)
{
    call_t *c;
    unsigned i;
    s3_req_t *req = data;
    sim_net_knobs_t *k = &sim_net[d->index];

    c = calloc(1, sizeof(*c));
    c->d = d;
    c->kind = kind;
    c->req = req;
    c->done = req->done;
    c->ctx = req->ctx;

    for (i = 0; i < sim_w.n_procs; i++) {
        if (sim_w.proc[i]->alive
            && s3_node_drive(sim_w.proc[i]->node, d->index) == d) {
            c->proc = sim_w.proc[i];
        }
    }

    req->done = answered;
    req->ctx = c;
    c->proc->held++;

    if ((kind == NET_VOTE || kind == NET_FENCE || kind == NET_CONFIRM
         || kind == NET_DEAD)
        && hits(k->repeat))
    {
        repeat(d, kind, req);
    }

    if (kind == NET_VOTE && hits(k->stray)) {
        stray(d, req);
        c->fail = sim_chance(3) != 0;
    }

    if (kind == NET_VOTE && hits(k->fatal)) {
        sim_w.doomed |= 1u << c->proc->index;
    }

    c->fail |= may_lose(kind) && hits(k->lost);
    c->fail |= kind == NET_READ && hits(k->blind);
    c->fail |= (kind == NET_CONFIRM || kind == NET_DEAD) && hits(k->deaf);

    if (c->fail) {
        hold(c, 1 + sim_chance(k->late_ms + 1), late_request);

    } else if (hits(k->late)) {
        hold(c, 1 + sim_chance(k->late_ms + 1), late_request);

    } else {
        forward(d, kind, req);
    }
}


#define OP(name, type, kind)                         \
    static void net_##name(s3_drive_t *d, type *req) \
    {                                                \
        call(d, kind, req);                          \
    }

OP(vote, s3_vote_t, NET_VOTE)
OP(push, s3_vote_t, NET_PUSH)
OP(fence, s3_mark_t, NET_FENCE)
OP(status, s3_mark_t, NET_STATUS)
OP(confirm, s3_mark_t, NET_CONFIRM)
OP(dead, s3_mark_t, NET_DEAD)
OP(read, s3_lookup_t, NET_READ)
OP(fetch, s3_fetch_t, NET_FETCH)
OP(list, s3_scan_t, NET_LIST)
OP(create, s3_blob_req_t, NET_CREATE)
OP(write, s3_unit_t, NET_WRITE)
OP(finish, s3_blob_req_t, NET_FINISH)
OP(abort, s3_blob_req_t, NET_ABORT)
OP(unit, s3_unit_t, NET_UNIT)
OP(remove, s3_blob_req_t, NET_REMOVE)
OP(close, s3_close_t, NET_CLOSE)
OP(note, s3_note_t, NET_NOTE)
OP(unnote, s3_note_t, NET_UNNOTE)
OP(leaks, s3_leaks_t, NET_LEAKS)


static void
net_verify(s3_drive_t *d)
{
    real->verify(d);
}


/* A hint that goes no further than the process. */

static void
net_in_doubt(s3_drive_t *d, s3_in_doubt_t *in)
{
    real->in_doubt(d, in);
}


static const s3_drive_ops_t net_ops = {
    .vote = net_vote,
    .push = net_push,
    .fence = net_fence,
    .status = net_status,
    .confirm = net_confirm,
    .dead = net_dead,
    .read = net_read,
    .fetch = net_fetch,
    .list = net_list,
    .in_doubt = net_in_doubt,
    .blob_create = net_create,
    .blob_write = net_write,
    .blob_finish = net_finish,
    .blob_abort = net_abort,
    .blob_read = net_unit,
    .blob_remove = net_remove,
    .close_bucket = net_close,
    .note = net_note,
    .unnote = net_unnote,
    .leaks = net_leaks,
    .verify = net_verify,
};


void
sim_net_attach(sim_proc_t *p)
{
    unsigned i;
    s3_drive_t *d;

    for (i = 0; i < sim_w.n; i++) {
        d = s3_node_drive(p->node, i);
        real = d->ops;
        d->ops = &net_ops;
    }
}


void
sim_net_calm(void)
{
    unsigned i;

    memset(sim_net, 0, sizeof(sim_net));

    for (i = 0; i < STRAYS; i++) {
        if (strays[i]) {
            sim_w.world->del_timer(sim_w.world, &strays[i]->call.timer);
            free(strays[i]);
            strays[i] = NULL;
        }
    }
}


void
sim_net_report(FILE *f)
{
    static const char *kinds[NET_KINDS] = {
        "vote",   "push",  "fence",  "status", "confirm", "dead",  "read",
        "fetch",  "list",  "create", "write",  "finish",  "abort", "unit",
        "remove", "close", "note",   "unnote", "leaks"};
    static const char *answers[ANSWERS] = {
        "done", "yes",   "no",      "not held", "busy", "behind",
        "gone", "stale", "no data", "clock",    "error"};
    unsigned i, j;

    for (i = 0; i < NET_KINDS; i++) {
        fprintf(f, "  %-8s", kinds[i]);

        for (j = 0; j < ANSWERS; j++) {
            if (counts[i][j]) {
                fprintf(f, " %s %llu", answers[j],
                        (unsigned long long) counts[i][j]);
            }
        }

        fputc('\n', f);
    }
}
