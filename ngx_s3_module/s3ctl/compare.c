/*
 * "rebuild": the index that is there against what the log says, key by key.
 */

#include <stdlib.h>

#include "s3ctl/rebuild.h"
#include "storage/s3_index.h"


typedef struct {
    s3_merge_t merge;
    int rc; /* of the last next() */
} s3ctl_side_t;


static int
s3ctl_live_cmp(const void *a, const void *b)
{
    const s3ctl_live_t *x = a, *y = b;

    return (x->id > y->id) - (x->id < y->id);
}


static int
s3ctl_live_init(s3ctl_rebuild_t *b)
{
    unsigned i;

    b->live = calloc(b->m.n_segments + 1, sizeof(*b->live));
    if (b->live == NULL) {
        return S3_ENOMEM;
    }

    for (i = 0; i < b->m.n_segments; i++) {
        b->live[i].id = b->m.segments[i].id;
        b->live[i].segment = &b->m.segments[i];
    }

    b->n_live = b->m.n_segments;
    qsort(b->live, b->n_live, sizeof(*b->live), s3ctl_live_cmp);

    return S3_OK;
}


static void
s3ctl_live_add(s3ctl_rebuild_t *b, const s3_entry_t *e)
{
    s3ctl_live_t *live, want;

    want.id = e->segment;
    live = bsearch(&want, b->live, b->n_live, sizeof(want), s3ctl_live_cmp);

    if (live) {
        live->bytes += e->length;
    }
}


/* What the index has of a version, or NULL. */

static const s3_entry_t *
s3ctl_version_of(const s3_merge_t *m, const s3_entry_t *e)
{
    unsigned i;

    for (i = 0; m && i < m->n; i++) {
        if (s3_version_cmp(&m->entries[i].version, &e->version) == 0) {
            return &m->entries[i];
        }
    }

    return NULL;
}


static int
s3ctl_is_lesser(const s3_entry_t *e)
{
    return e->kind == S3_KIND_FENCE || e->kind == S3_KIND_NOTE
           || e->kind == S3_KIND_UNNOTE;
}


static int
s3ctl_entry_same(const s3_entry_t *a, const s3_entry_t *b)
{
    return a->kind == b->kind && ((a->flags ^ b->flags) & S3_F_CONFIRMED) == 0
           && a->need == b->need && a->layout == b->layout
           && a->voters == b->voters && a->holders == b->holders
           && a->size == b->size && a->mtime == b->mtime
           && memcmp(a->etag, b->etag, 16) == 0 && a->extra_len == b->extra_len
           && memcmp(a->extra, b->extra, a->extra_len) == 0;
}


/* The key as the log has it, with what tables alone confirm; *changed: such an
 * entry is among them.  Older than what is confirmed then goes, as it does in
 * every merge. */

static unsigned
s3ctl_confirm(s3ctl_rebuild_t *b, s3_merge_t *log, const s3_merge_t *old,
              int *changed)
{
    unsigned i, n;
    s3_entry_t *e;
    const s3_entry_t *was;

    *changed = 0;

    for (i = 0; i < log->n; i++) {
        e = &log->entries[i];
        was = s3ctl_version_of(old, e);

        if (was && was->flags & S3_F_CONFIRMED && was->kind == e->kind
            && s3_entry_is_record(e) && !(e->flags & S3_F_CONFIRMED))
        {
            e->flags |= was->flags & (S3_F_CONFIRMED | S3_F_KEEP);
            b->carried++;
            *changed = 1;
        }
    }

    for (i = 0, n = 0; i < log->n; i++) {
        e = &log->entries[i];
        log->entries[n++] = *e;

        if (s3_entry_is_record(e) && e->flags & S3_F_CONFIRMED) {
            for (i++; i < log->n; i++) {
                if (log->entries[i].flags & S3_F_TIED) {
                    log->entries[n++] = log->entries[i];
                }
            }
        }
    }

    return n;
}


static void
s3ctl_compare_old(s3ctl_rebuild_t *b, const s3_merge_t *old,
                  const s3_merge_t *log)
{
    unsigned i;
    const s3_entry_t *e, *other;

    for (i = 0; i < old->n; i++) {
        e = &old->entries[i];
        other = s3ctl_version_of(log, e);

        if (other == NULL && s3ctl_is_lesser(e)) {
            b->lesser++;

        } else if (other == NULL) {
            b->lost++;
            s3ctl_differs(b, old->bucket, old->key, e, "not-in-the-log");

        } else if (!s3ctl_entry_same(e, other)) {
            s3ctl_differs(b, old->bucket, old->key, e, "other-in-the-log");

        } else {
            b->same++;
        }
    }
}


static void
s3ctl_compare_log(s3ctl_rebuild_t *b, const s3_merge_t *old,
                  const s3_merge_t *log)
{
    unsigned i;
    const s3_entry_t *e;

    for (i = 0; i < log->n; i++) {
        e = &log->entries[i];

        if (b->partial || s3ctl_version_of(old, e)) {
            continue;
        }

        if (s3ctl_is_lesser(e)) {
            b->lesser++;

        } else {
            s3ctl_differs(b, log->bucket, log->key, e, "not-in-the-index");
        }
    }
}


/* One key; a side is NULL where it does not have it. */

static int
s3ctl_compare_key(s3ctl_rebuild_t *b, s3_merge_t *old, s3_merge_t *log,
                  s3_table_writer_t *w)
{
    int rc, changed;
    unsigned i;

    rc = S3_OK;

    if (log) {
        b->keys++;
        log->n = s3ctl_confirm(b, log, old, &changed);
        b->entries += log->n;

        for (i = 0; i < log->n; i++) {
            s3ctl_live_add(b, &log->entries[i]);

            if (changed && rc == S3_OK) {
                rc = s3_table_writer_add(w, log->bucket, log->key,
                                         &log->entries[i]);
            }
        }
    }

    if (old) {
        s3ctl_compare_old(b, old, log);
    }

    if (log) {
        s3ctl_compare_log(b, old, log);
    }

    return rc;
}


static int
s3ctl_compare_keys(s3ctl_rebuild_t *b, s3ctl_side_t *old, s3ctl_side_t *log,
                   s3_table_writer_t *w)
{
    int rc, cmp;

    rc = S3_OK;
    old->rc = s3_merge_next(&old->merge);
    log->rc = s3_merge_next(&log->merge);

    while (rc == S3_OK && log->rc != S3_DONE) {
        if (log->rc != S3_OK) {
            return log->rc;
        }

        if (old->rc != S3_OK && old->rc != S3_DONE) {
            s3ctl_say("the index that is there: %s; it is compared, and used, "
                      "up to there",
                      s3_strerror(old->rc));
            b->partial = 1;
            old->rc = S3_DONE;
        }

        cmp = old->rc == S3_OK ? s3_key_cmp(old->merge.bucket, old->merge.key,
                                            log->merge.bucket, log->merge.key)
                               : 1;

        rc = s3ctl_compare_key(b, cmp <= 0 ? &old->merge : NULL,
                               cmp >= 0 ? &log->merge : NULL, w);

        if (cmp <= 0) {
            old->rc = s3_merge_next(&old->merge);
        }

        if (cmp >= 0) {
            log->rc = s3_merge_next(&log->merge);
        }
    }

    while (rc == S3_OK && old->rc == S3_OK) {
        s3ctl_compare_old(b, &old->merge, NULL);
        old->rc = s3_merge_next(&old->merge);
    }

    if (old->rc != S3_OK && old->rc != S3_DONE) {
        b->partial = 1;
    }

    return rc;
}


int
s3ctl_rebuild_compare(s3ctl_rebuild_t *b, s3_table_stats_t *added)
{
    int rc;
    unsigned i;
    uint64_t estimate;
    s3ctl_side_t *old, *log;
    s3_table_writer_t *w;

    memset(added, 0, sizeof(*added));
    old = calloc(1, sizeof(*old));
    log = calloc(1, sizeof(*log));
    w = NULL;
    estimate = 1;

    for (i = 0; i < b->old.n; i++) {
        estimate += b->old.tables[i]->stats.keys;
    }

    rc = old && log ? s3ctl_live_init(b) : S3_ENOMEM;

    if (rc == S3_OK) {
        rc = s3_table_writer_create(b->fs, b->m.next_table_id, estimate, &w);
    }

    if (rc == S3_OK) {
        rc = s3ctl_index_merge(&b->old, &old->merge, 0, s3_null_str);
    }

    if (rc == S3_OK) {
        rc = s3ctl_index_merge(&b->log, &log->merge, 0, s3_null_str);
    }

    if (rc == S3_OK) {
        rc = s3ctl_compare_keys(b, old, log, w);
    }

    if (old) {
        s3_merge_done(&old->merge);
    }

    if (log) {
        s3_merge_done(&log->merge);
    }

    if (rc == S3_OK) {
        rc = s3_table_writer_finish(w, added);

    } else if (w) {
        s3_table_writer_abort(w);
    }

    free(old);
    free(log);

    return rc;
}
