/*
 * Operations of a local drive: what each waits for, and when it runs again.
 */

#include "storage/s3_local_int.h"
#include <stdlib.h>

#define S3_LOCAL_POLL_MS 1
#define S3_LOCAL_STALL_MS 5
#define S3_LOCAL_FREE_OPS 64


static void s3_op_find(s3_op_t *op);
static void s3_op_decide(s3_op_t *op);


s3_op_t *
s3_op_create(s3_local_t *l, uint64_t bucket, s3_str_t key,
             int (*decide)(s3_op_t *), void (*finish)(s3_op_t *), void *req)
{
    s3_op_t *op;

    op = l->free_ops;

    if (op) {
        l->free_ops = op->next;
        l->n_free_ops--;

    } else {
        op = malloc(sizeof(*op));
        if (op == NULL) {
            return NULL;
        }
    }

    memset(op, 0, offsetof(s3_op_t, find));
    op->find.set = NULL;
    op->closed.set = NULL;
    op->l = l;
    op->decide = decide;
    op->finish = finish;
    op->req = req;
    op->bucket = bucket;
    op->key = key;

    l->ops++;

    return op;
}


void
s3_op_free(s3_op_t *op)
{
    s3_local_t *l = op->l;

    s3_find_end(&op->find);
    s3_find_end(&op->closed);
    l->ops--;

    if (l->n_free_ops < S3_LOCAL_FREE_OPS) {
        op->next = l->free_ops;
        l->free_ops = op;
        l->n_free_ops++;
        return;
    }

    free(op);
}


int
s3_op_answer(s3_op_t *op, int rc, s3_answer_t answer)
{
    op->rc = rc;
    op->answer = answer;

    return S3_OP_ANSWERED;
}


static void
s3_op_found(s3_find_t *find, int rc)
{
    s3_op_t *op = find->ctx;

    if (rc != S3_OK) {
        op->rc = rc;
    }

    op->phase++;
    s3_op_find(op);
}


/*
 * Every vote asks, and hardly ever is a bucket closed: what the tables of a
 * generation have said of the bucket of the last vote is remembered.
 */

static int
s3_op_unclosed(s3_op_t *op)
{
    s3_local_t *l = op->l;

    if (op->closed.set && op->closed.n == 0) {
        l->unclosed = op->bucket;
        l->unclosed_generation = op->closed.set->generation;
    }

    return op->find.set && l->unclosed == op->bucket
           && l->unclosed_generation == op->find.set->generation;
}


static void
s3_op_find(s3_op_t *op)
{
    int rc;
    s3_find_t *find;

    while (op->phase < 2 && op->rc == S3_OK) {

        if (op->phase == 0) {
            find = &op->find;
            find->done = s3_op_found;
            find->ctx = op;
            rc = s3_find_start(find, &op->l->ix, op->bucket, op->key);

        } else if (op->check && !s3_op_unclosed(op)) {
            find = &op->closed;
            find->done = s3_op_found;
            find->ctx = op;
            rc = s3_find_start(find, &op->l->ix, S3_BUCKET_CLOSED,
                               s3_str(op->closed_key, 8));

        } else {
            break;
        }

        if (rc == S3_AGAIN) {
            return;
        }

        if (rc != S3_OK) {
            op->rc = rc;
        }

        op->phase++;
    }

    if (op->check && op->rc == S3_OK) {
        (void) s3_op_unclosed(op);
    }

    s3_op_decide(op);
}


/* From the start: finds are as of now. */

void
s3_op_run(s3_op_t *op)
{
    s3_find_end(&op->find);
    s3_find_end(&op->closed);

    op->phase = 0;
    op->node = NULL;

    s3_op_find(op);
}


static void
s3_local_stall(s3_local_t *l, s3_op_t *op)
{
    s3_op_t **p;

    for (p = &l->stalled; *p; p = &(*p)->next) {
        /* void */
    }

    op->next = NULL;
    *p = op;

    if (!l->stall.set) {
        l->loop->set_timer(l->loop, &l->stall, S3_LOCAL_STALL_MS);
    }

    if (l->log_full && !l->room_set) {
        l->room_set = 1;
        s3_log_wait(l->log, &l->room);
    }
}


/* Does it wait for another process? */

static int
s3_op_foreign(const s3_op_t *op)
{
    return op->node->owner != op->l->slot
           || op->node->incarnation != op->l->incarnation;
}


static void
s3_op_decided(s3_op_t *op)
{
    op->decided = 1;

    if (op->writes == 0) {
        op->finish(op);
    }
}


static void
s3_op_decide(s3_op_t *op)
{
    int rc, decided;
    s3_local_t *l = op->l;

    if (op->rc != S3_OK) {
        decided = S3_OP_ANSWERED;

    } else if (op->shared) {
        decided = op->decide(op);
        s3_find_end(&op->find);

    } else {
        s3_local_lock(l);
        decided = op->decide(op);

        if (decided != S3_OP_ASYNC) {
            /* a set that is held keeps memtables from being reused */
            s3_find_end(&op->find);
            s3_find_end(&op->closed);
        }

        s3_local_unlock(l);
    }

    switch (decided) {

    case S3_OP_ANSWERED:
        s3_op_decided(op);
        break;

    case S3_OP_WAIT:
        op->next = l->waiting;
        l->waiting = op;

        if (s3_op_foreign(op) && !l->poll.set) {
            l->loop->set_timer(l->loop, &l->poll, S3_LOCAL_POLL_MS);
        }

        break;

    case S3_OP_STALL:
        rc = s3_local_may_write(l, 1);

        if (rc != S3_OK) {
            op->rc = rc;
            s3_op_decided(op);
            break;
        }

        s3_local_stall(l, op);
        break;

    default: /* S3_OP_ASYNC */
        break;
    }
}


int
s3_op_wait(s3_op_t *op, const s3_item_state_t *item)
{
    if (item->pending == NULL) {
        /* a write of it failed: neither yes nor no can be said */
        return s3_op_answer(op, S3_EIO, S3_ANSWER_NONE);
    }

    op->node = item->pending;
    op->arena = item->pending_arena;
    op->arena_seq = item->pending_seq;

    return S3_OP_WAIT;
}


/* Runs again whoever waits for a node that is pending no more. */

void
s3_local_wake(s3_local_t *l)
{
    int foreign;
    s3_op_t *op, *next, *ready, **last;
    s3_zarena_t *a;

    op = l->waiting;
    l->waiting = NULL;
    ready = NULL;
    last = &ready;
    foreign = 0;

    for (/* void */; op; op = next) {
        next = op->next;
        a = &l->zd->arenas[op->arena];

        if (a->used && a->seq == op->arena_seq
            && s3_memnode_state(op->node) == S3_MEM_PENDING)
        {
            op->next = l->waiting;
            l->waiting = op;

            foreign |= s3_op_foreign(op);

            continue;
        }

        op->next = NULL;
        *last = op;
        last = &op->next;
    }

    if (foreign && !l->poll.set) {
        l->loop->set_timer(l->loop, &l->poll, S3_LOCAL_POLL_MS);
    }

    for (op = ready; op; op = next) {
        next = op->next;
        s3_op_run(op);
    }
}


void
s3_local_wait_no_more(s3_local_t *l)
{
    s3_op_t *op, *next;

    op = l->waiting;
    l->waiting = NULL;

    for (/* void */; op; op = next) {
        next = op->next;

        if (!s3_op_foreign(op)) {
            op->next = l->waiting;
            l->waiting = op;
            continue;
        }

        op->rc = S3_EUNAVAIL;
        s3_op_decided(op);
    }
}


static void
s3_local_poll(s3_timer_t *timer)
{
    s3_local_wake(timer->ctx);
}


static void
s3_local_wake_deferred(s3_defer_t *defer)
{
    s3_local_wake(defer->ctx);
}


static void
s3_local_drop_deferred(s3_defer_t *defer)
{
    s3_local_next_drop(defer->ctx);
}


static void
s3_local_unstall(s3_local_t *l)
{
    s3_op_t *op, *next;

    l->log_full = 0;

    op = l->stalled;
    l->stalled = NULL;

    for (/* void */; op; op = next) {
        next = op->next;
        s3_op_run(op);
    }
}


static void
s3_local_stall_timer(s3_timer_t *timer)
{
    s3_local_t *l = timer->ctx;

    if (l->maintain) {
        /* even on the way out: what is stalled waits for a table */
        l->ix.quiet = 0;
        s3_index_refresh(&l->ix);
        s3_maintain_tick(l->maintain);
    }

    s3_local_unstall(l);
}


static void
s3_local_log_room(s3_log_waiter_t *w, int rc)
{
    s3_local_t *l = w->ctx;

    l->room_set = 0;

    (void) rc; /* whoever tries again finds out */

    s3_local_unstall(l);
}


/* Timers, defers and the waiter of that drive. */

static void
s3_local_timer(s3_timer_t *t, void (*handler)(s3_timer_t *), s3_local_t *l)
{
    t->handler = handler;
    t->ctx = l;
}


void
s3_local_init_waits(s3_local_t *l)
{
    s3_local_timer(&l->poll, s3_local_poll, l);
    s3_local_timer(&l->stall, s3_local_stall_timer, l);
    s3_local_timer(&l->confirm_timer, s3_local_confirm_timer, l);
    l->wake.handler = s3_local_wake_deferred;
    l->wake.ctx = l;
    l->confirm_defer.handler = s3_local_drop_deferred;
    l->confirm_defer.ctx = l;
    l->room.done = s3_local_log_room;
    l->room.ctx = l;
}
