/*
 * Keys in doubt: one look at the memtables, in a task.
 *
 * Of each key the newest version that is not dead counts:
 *
 *   newest ── dead ── not confirmed ── confirmed ── ...
 *                          │
 *                          └─ whose writer is gone, or which is old
 *
 * A memtable alone does not know all of a key, so some that are told are in
 * no doubt; none is left out.
 */

#include "storage/s3_local_int.h"
#include <stdlib.h>


typedef struct {
    s3_local_t *l;
    s3_in_doubt_t *in;
    s3_memtables_t mem;
    s3_task_t task;
    uint64_t seen;
    int rc;
} s3_doubting_t;


/* What a key's nodes of one version say together. */

typedef struct {
    s3_version_t version;
    unsigned record : 1;
    unsigned dead : 1;
    unsigned confirmed : 1;
    unsigned left : 1; /* by who wrote it */
} s3_doubted_t;


void
s3_in_doubt_release(s3_in_doubt_t *in)
{
    unsigned i;

    for (i = 0; i < in->n; i++) {
        free((void *) in->keys[i].key.data);
    }

    free(in->keys);
    in->keys = NULL;
    in->n = 0;
}


static int
s3_doubting_add(s3_in_doubt_t *in, const s3_memnode_t *n)
{
    uint8_t *p;
    s3_str_t key;

    if (in->n == S3_IN_DOUBT_MAX) {
        in->more = 1;
        return S3_DONE;
    }

    key = s3_memnode_key(n);
    p = malloc(key.len + 1);

    if (p == NULL) {
        return S3_ENOMEM;
    }

    if (key.len) {
        memcpy(p, key.data, key.len);
    }

    in->keys[in->n].bucket = n->bucket;
    in->keys[in->n].key = s3_str(p, key.len);
    in->keys[in->n].version = s3_memnode_version(n);
    in->n++;

    return S3_OK;
}


/* Adds what the nodes from n on say that are of the same key and version; the
 * node after them, or NULL. */

static const s3_memnode_t *
s3_doubting_version(s3_doubting_t *k, const s3_memtable_t *m,
                    const s3_memnode_t *n, s3_doubted_t *v)
{
    s3_entry_t e;
    s3_version_t version;
    const s3_zone_t *z = k->l->zone;
    const s3_memnode_t *first = n;

    memset(v, 0, sizeof(*v));
    v->version = s3_memnode_version(n);

    for (; n; n = s3_memtable_next(m, n)) {

        if (n != first) {
            version = s3_memnode_version(n);

            if (s3_version_cmp(&version, &v->version) != 0
                || !s3_memnode_is(n, first->bucket, s3_memnode_key(first)))
            {
                break;
            }
        }

        if (s3_memnode_state(n) != S3_MEM_DURABLE
            || s3_memnode_entry(n, &e) != S3_OK) {
            continue;
        }

        v->record |= s3_entry_is_record(&e);
        v->dead |= e.kind == S3_KIND_DEAD;
        v->confirmed |= (e.flags & S3_F_CONFIRMED) != 0;
        v->left |=
            s3_zone_proc_gone(z, n->owner % S3_ZONE_PROCS, n->incarnation);
    }

    return n;
}


static const s3_memnode_t *
s3_doubting_skip(const s3_memtable_t *m, const s3_memnode_t *key,
                 const s3_memnode_t *n)
{
    while (n && s3_memnode_is(n, key->bucket, s3_memnode_key(key))) {
        n = s3_memtable_next(m, n);
    }

    return n;
}


static int
s3_doubting_table(s3_doubting_t *k, const s3_memtable_t *m)
{
    int rc;
    s3_doubted_t v;
    const s3_memnode_t *n, *key;

    for (n = s3_memtable_first(m); n;) {
        key = n;
        n = s3_doubting_version(k, m, n, &v);

        if (v.dead || !(v.record || v.confirmed)) {
            continue;
        }

        if (!v.confirmed && (v.left || v.version.time < k->in->before)) {
            rc = s3_doubting_add(k->in, key);
            if (rc != S3_OK) {
                return rc;
            }
        }

        n = s3_doubting_skip(m, key, n);
    }

    return S3_OK;
}


static void
s3_doubting_run(s3_task_t *task)
{
    int rc;
    unsigned i;
    s3_doubting_t *k = task->ctx;

    rc = S3_OK;

    for (i = 0; i < k->mem.n && rc == S3_OK; i++) {
        rc = s3_doubting_table(k, k->mem.tables[i]);
    }

    k->rc = rc == S3_DONE ? S3_OK : rc;
}


static void
s3_doubting_answer(s3_in_doubt_t *in, int rc)
{
    in->req.rc = rc;
    in->req.answer = rc == S3_OK ? S3_ANSWER_YES : S3_ANSWER_NONE;
    in->req.done(&in->req);
}


static void
s3_doubting_done(s3_task_t *task)
{
    int rc;
    s3_doubting_t *k = task->ctx;
    s3_in_doubt_t *in = k->in;
    s3_local_t *l = k->l;

    rc = k->rc;

    if (rc != S3_OK) {
        s3_in_doubt_release(in);

    } else if (!in->more) {
        in->seen = k->seen;
    }

    s3_memtables_release(&l->ix, &k->mem);
    l->ops--;
    free(k);
    s3_doubting_answer(in, rc);
}


void
s3_local_in_doubt(s3_drive_t *d, s3_in_doubt_t *in)
{
    int rc;
    uint64_t seen;
    s3_local_t *l = d->impl;
    s3_doubting_t *k;

    in->keys = NULL;
    in->n = 0;
    in->more = 0;
    rc = s3_local_may_read(l);

    /* never 0; before the look, which may miss what comes after this */
    seen = __atomic_load_n(&l->zd->settled, __ATOMIC_ACQUIRE) + 1;

    if (rc != S3_OK || (seen == in->seen && in->before == 0)) {
        s3_doubting_answer(in, rc);
        return;
    }

    k = calloc(1, sizeof(*k));
    in->keys = malloc(S3_IN_DOUBT_MAX * sizeof(*in->keys));

    if (k == NULL || in->keys == NULL) {
        free(k);
        s3_in_doubt_release(in);
        s3_doubting_answer(in, S3_ENOMEM);
        return;
    }

    k->l = l;
    k->in = in;
    k->seen = seen;
    s3_memtables_hold(&l->ix, &k->mem);
    k->task.run = s3_doubting_run;
    k->task.done = s3_doubting_done;
    k->task.ctx = k;
    k->task.drive = l->index;
    l->ops++;

    l->loop->post_background(l->loop, &k->task);
}
