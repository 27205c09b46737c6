/*
 * CONFIRM records: a version is known to be committed, first by memory, then by
 * the log, lazily and many together.
 */

#include "storage/s3_local_int.h"
#include <stdlib.h>

#define S3_CONFIRM_BATCH 256 /* logged with one batch */
#define S3_CONFIRM_MAX 20000 /* waiting; more of them are forgotten */


s3_confirm_t *
s3_confirm_create(s3_local_t *l, uint64_t bucket, s3_str_t key,
                  const s3_version_t *v)
{
    s3_confirm_t *c;

    c = malloc(sizeof(*c) + key.len);
    if (c == NULL) {
        return NULL;
    }

    memset(c, 0, sizeof(*c));
    c->l = l;
    c->bucket = bucket;
    c->version = *v;
    c->key_len = (uint16_t) key.len;
    memcpy(c->key, key.data, key.len);

    return c;
}


static void
s3_confirm_push(s3_local_t *l, s3_confirm_t *c)
{
    c->next = NULL;
    *l->confirms_last = c;
    l->confirms_last = &c->next;
    l->n_confirms++;

    if (!l->confirm_timer.set) {
        l->loop->set_timer(l->loop, &l->confirm_timer, S3_LOCAL_CONFIRM_MS);
    }
}


void
s3_local_queue_confirm(s3_local_t *l, uint64_t bucket, s3_str_t key,
                       const s3_version_t *v, int keep, s3_memnode_t *node,
                       const s3_reminder_t *reminder)
{
    s3_confirm_t *c;

    c = l->n_confirms < S3_CONFIRM_MAX ? s3_confirm_create(l, bucket, key, v)
                                       : NULL;
    if (c == NULL) {
        l->unsure = 1; /* may be late without harm */
        return;
    }

    c->keep = keep != 0;

    if (node) {
        c->node = node;
        c->arena = (uint8_t) reminder->arena;
        c->arena_seq = reminder->seq;
        c->segment = reminder->segment;
        c->length = reminder->length;
    }

    s3_confirm_push(l, c);
}


static void
s3_confirm_pop(s3_local_t *l)
{
    s3_confirm_t *c = l->confirms;

    l->confirms = c->next;

    if (l->confirms == NULL) {
        l->confirms_last = &l->confirms;
    }
}


static void
s3_confirm_logged(s3_write_t *w, int rc)
{
    s3_confirm_t *c = w->ctx;
    s3_local_t *l = c->l;

    l->n_confirms--;

    if (rc != S3_OK) {
        l->unsure = 1;
        free(c);
        return;
    }

    s3_confirm_drop(l, c);
}


void
s3_local_flush_confirms(s3_local_t *l)
{
    int rc;
    unsigned n;
    s3_record_t r;
    s3_confirm_t *c;

    for (n = 0; l->confirms && n < S3_CONFIRM_BATCH; n++) {
        c = l->confirms;

        s3_record_of(&r, c->bucket, s3_str(c->key, c->key_len), &c->version,
                     S3_KIND_CONFIRM);
        r.entry.flags = S3_F_CONFIRMED | (c->keep ? S3_F_KEEP : 0);

        rc = s3_local_may_write(l, 1);

        if (rc == S3_OK) {
            rc = s3_local_append_log(l, &r, s3_confirm_logged, c);
        }

        if (rc == S3_AGAIN) {
            break;
        }

        s3_confirm_pop(l);

        if (rc != S3_OK) {
            l->unsure = 1;
            l->n_confirms--;
            free(c);
        }
    }
}


/*
 * Whoever was to put a CONFIRM into the log has died, or could not write.  It
 * is known to all until a restart: then only R answers show it.  So all that is
 * known by memory alone is queued once more; a task finds it, for a walk over
 * memtables takes its time.
 */

typedef struct {
    s3_local_t *l;
    s3_memtables_t mem;
    s3_task_t task;
    s3_confirm_t *found;
    unsigned n;
    unsigned more : 1;
} s3_unsure_t;


static void
s3_unsure_add(s3_unsure_t *u, const s3_memnode_t *n)
{
    s3_entry_t e;
    s3_confirm_t *c;

    if (s3_memnode_state(n) != S3_MEM_DURABLE
        || __atomic_load_n(&n->flags, __ATOMIC_ACQUIRE) & S3_MEM_SURE
        || s3_memnode_entry(n, &e) != S3_OK || !s3_entry_is_record(&e)
        || !(e.flags & S3_F_CONFIRMED))
    {
        return;
    }

    c = u->n < S3_CONFIRM_MAX
            ? s3_confirm_create(u->l, n->bucket, s3_memnode_key(n), &e.version)
            : NULL;
    if (c == NULL) {
        u->more = 1;
        return;
    }

    c->keep = (e.flags & S3_F_KEEP) != 0;
    c->next = u->found;
    u->found = c;
    u->n++;
}


static void
s3_unsure_run(s3_task_t *task)
{
    unsigned i;
    const s3_memnode_t *n;
    s3_unsure_t *u = task->ctx;

    for (i = 0; i < u->mem.n; i++) {
        for (n = s3_memtable_first(u->mem.tables[i]); n;
             n = s3_memtable_next(u->mem.tables[i], n))
        {
            s3_unsure_add(u, n);
        }
    }
}


static void
s3_unsure_done(s3_task_t *task)
{
    s3_unsure_t *u = task->ctx;
    s3_local_t *l = u->l;
    s3_confirm_t *c;

    while (u->found) {
        c = u->found;
        u->found = c->next;

        if (l->n_confirms >= S3_CONFIRM_MAX) {
            u->more = 1;
            free(c);
            continue;
        }

        s3_confirm_push(l, c);
    }

    l->unsure |= u->more;
    l->confirming = 0;
    s3_memtables_release(&l->ix, &u->mem);
    l->ops--;
    free(u);
}


void
s3_local_confirm_again(s3_local_t *l)
{
    s3_unsure_t *u;

    if (l->confirming || s3_local_may_write(l, 1) != S3_OK) {
        return;
    }

    u = calloc(1, sizeof(*u));
    if (u == NULL) {
        return;
    }

    l->unsure = 0;
    l->confirming = 1;
    l->ops++;

    u->l = l;
    s3_memtables_hold(&l->ix, &u->mem);
    u->task.run = s3_unsure_run;
    u->task.done = s3_unsure_done;
    u->task.ctx = u;
    u->task.drive = l->index;
    l->loop->post_background(l->loop, &u->task);
}


void
s3_local_confirm_timer(s3_timer_t *timer)
{
    s3_local_t *l = timer->ctx;

    if (l->confirms) {
        s3_local_lock(l);
        s3_local_flush_confirms(l);
        s3_local_unlock(l);
    }

    if (l->confirms && !l->confirm_timer.set) {
        l->loop->set_timer(l->loop, &l->confirm_timer, S3_LOCAL_CONFIRM_MS);
    }
}


void
s3_local_confirm_free(s3_local_t *l)
{
    s3_confirm_t *c;

    while (l->confirms) {
        c = l->confirms;
        s3_confirm_pop(l);
        free(c);
    }
}
