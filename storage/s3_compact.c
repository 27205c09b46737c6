/*
 * Sources into a table, and which tables to merge.
 */

#include <stdlib.h>

#include "s3_merge.h"


static int
s3_compact_run(s3_compact_t *c, s3_merge_t *m, s3_table_writer_t *w)
{
    unsigned i;
    int rc;

    rc = s3_merge_seek(m, 0, s3_null_str);

    while (rc == S3_OK) {
        if (c->cancelled && __atomic_load_n(c->cancelled, __ATOMIC_RELAXED)) {
            return S3_DONE;
        }

        rc = s3_merge_next(m);

        for (i = 0; rc == S3_OK && i < m->n; i++) {
            rc = s3_table_writer_add(w, m->bucket, m->key, &m->entries[i]);
        }

        if (rc == S3_DONE) {
            return S3_OK;
        }
    }

    /* a source that makes a task wait is the caller's mistake */

    return rc == S3_AGAIN ? S3_EINVAL : rc;
}


int
s3_compact(s3_compact_t *c, s3_source_t **sources, unsigned n)
{
    s3_table_writer_t *w = NULL;
    s3_merge_t *m;
    int rc;

    memset(&c->stats, 0, sizeof(s3_table_stats_t));

    m = malloc(sizeof(s3_merge_t));
    if (m == NULL) {
        return S3_ENOMEM;
    }

    rc = s3_merge_init(m, sources, n, c->flags);

    if (rc == S3_OK) {
        rc = s3_table_writer_create(c->fs, c->id, c->estimate, &w);
    }

    if (rc != S3_OK) {
        free(m);
        return rc;
    }

    m->drop = c->drop;
    m->filter = c->filter;
    m->ctx = c->ctx;

    rc = s3_compact_run(c, m, w);

    if (rc == S3_OK) {
        rc = s3_table_writer_finish(w, &c->stats);

    } else {
        s3_table_writer_abort(w);
    }

    s3_merge_done(m);
    free(m);

    return rc;
}


int
s3_compact_tables(s3_compact_t *c, s3_table_t **tables, unsigned n)
{
    s3_source_t *sources[S3_MERGE_MAX];
    s3_table_iter_t *iters;
    unsigned i;
    int rc;

    if (n == 0 || n > S3_MERGE_MAX) {
        return S3_EINVAL;
    }

    iters = malloc(n * sizeof(s3_table_iter_t));
    if (iters == NULL) {
        return S3_ENOMEM;
    }

    c->estimate = 0;

    for (i = 0; i < n; i++) {
        s3_table_iter_init(&iters[i], tables[i], NULL, c->fs);
        sources[i] = &iters[i].source;
        c->estimate += tables[i]->stats.keys;
    }

    rc = s3_compact(c, sources, n);

    for (i = 0; i < n; i++) {
        s3_table_iter_done(&iters[i]);
    }

    free(iters);

    return rc;
}


/* The neighbours, so many, that are the least work. */

static unsigned
s3_compact_cheapest(const uint64_t *bytes, unsigned n, unsigned count)
{
    uint64_t sum, least = UINT64_MAX;
    unsigned i, j, best = 0;

    for (i = 0; i + count <= n; i++) {
        sum = 0;

        for (j = i; j < i + count; j++) {
            sum += bytes[j];
        }

        if (sum < least) {
            least = sum;
            best = i;
        }
    }

    return best;
}


unsigned
s3_compact_pick(const uint64_t *bytes, unsigned n, unsigned *first)
{
    uint64_t sum, most;
    unsigned count, begin;

    /*
     * Beginning with the newest: a table joins while what is before it weighs
     * as much, so that each rewrite doubles the size of where an entry lies.
     * The first few, flushes mostly, need only be about alike.  Where the
     * newest ones do not add up a run of older ones may.
     */

    for (begin = 0; begin < n; begin++) {
        sum = bytes[begin];

        for (count = 1; begin + count < n; count++) {
            most = count < S3_COMPACT_MIN - 1 ? 2 * sum : sum;

            if (bytes[begin + count] > most) {
                break;
            }

            sum += bytes[begin + count];
        }

        if (count >= S3_COMPACT_MIN) {
            *first = begin;
            return s3_min(count, S3_MERGE_MAX);
        }
    }

    if (n <= S3_COMPACT_TABLES) {
        return 0;
    }

    count = s3_min(n - S3_COMPACT_TABLES + 1, S3_MERGE_MAX);
    count = s3_max(count, 2);
    *first = s3_compact_cheapest(bytes, n, count);

    return count;
}


unsigned
s3_compact_pick_rest(const uint64_t *bytes, unsigned n)
{
    uint64_t sum;
    unsigned count;

    if (n < 2) {
        return 0;
    }

    sum = bytes[0];

    for (count = 1; count < s3_min(n, S3_MERGE_MAX); count++) {
        if (bytes[count] / S3_COMPACT_REST > sum) {
            break;
        }

        sum += bytes[count];
    }

    return count < 2 ? 0 : count;
}
