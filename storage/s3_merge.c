/*
 * Merging of sources.
 *
 * A binary heap of the sources that have an entry, ordered by key, then by age
 * of the source.  All entries of the least key are taken from it, source by
 * source, and sorted in by version; then what the newest confirmed record
 * makes obsolete goes.  Every step can stop at an S3_AGAIN and go on.
 */

#include <stdlib.h>

#include "s3_merge.h"


int
s3_merge_init(s3_merge_t *m, s3_source_t **sources, unsigned n, unsigned flags)
{
    if (n > S3_MERGE_MAX) {
        return S3_EINVAL;
    }

    memset(m, 0, sizeof(s3_merge_t));

    m->sources = sources;
    m->n_sources = n;
    m->flags = flags;
    m->entries = m->fixed;
    m->room = sizeof(m->fixed) / sizeof(m->fixed[0]);
    m->rc = S3_EINVAL; /* until the first seek */

    return S3_OK;
}


void
s3_merge_done(s3_merge_t *m)
{
    s3_merge_into(m, m->fixed, sizeof(m->fixed) / sizeof(m->fixed[0]));
}


void
s3_merge_into(s3_merge_t *m, s3_entry_t *entries, unsigned room)
{
    free(m->grown);

    m->grown = NULL;
    m->entries = entries;
    m->room = room;
    m->n = 0;
}


int
s3_merge_seek(s3_merge_t *m, uint64_t bucket, s3_str_t key)
{
    if (key.len > S3_MAX_KEY) {
        m->rc = S3_EINVAL;
        return S3_EINVAL;
    }

    m->seek_bucket = bucket;
    m->seek_len = key.len;

    if (key.len) {
        memmove(m->seek_key, key.data, key.len);
    }

    m->forward = m->rc == S3_OK && m->n && !m->gathering && !m->pending
                 && s3_key_cmp(m->bucket, m->key, bucket, key) < 0;
    m->n = 0;

    if (m->forward) {
        return S3_OK;
    }

    m->n_heap = 0;
    m->second = 0;
    m->started = 0;
    m->gathering = 0;
    m->pending = 0;
    m->waiting = NULL;
    m->rc = S3_OK;

    return S3_OK;
}


static int
s3_merge_less(const s3_merge_t *m, uint8_t a, uint8_t b)
{
    const s3_source_t *x = m->sources[a], *y = m->sources[b];
    int cmp = s3_key_cmp(x->bucket, x->key, y->bucket, y->key);

    return cmp < 0 || (cmp == 0 && a < b);
}


static void
s3_merge_push(s3_merge_t *m, uint8_t source)
{
    unsigned i = m->n_heap++, up;

    while (i) {
        up = (i - 1) / 2;

        if (!s3_merge_less(m, source, m->heap[up])) {
            break;
        }

        m->heap[i] = m->heap[up];
        i = up;
    }

    m->heap[i] = source;
    m->second = 0;
}


/* The source at the top has another entry.  While it stays there, which of the
 * two below it comes first does not change. */

static void
s3_merge_sift(s3_merge_t *m)
{
    unsigned i = 0, down = m->second;
    uint8_t source = m->heap[0];

    for (;;) {
        if (down == 0) {
            down = 2 * i + 1;

            if (down >= m->n_heap) {
                break;
            }

            if (down + 1 < m->n_heap
                && s3_merge_less(m, m->heap[down + 1], m->heap[down])) {
                down++;
            }
        }

        if (!s3_merge_less(m, m->heap[down], source)) {
            break;
        }

        m->heap[i] = m->heap[down];
        i = down;
        down = 0;
    }

    m->heap[i] = source;
    m->second = i == 0 && m->n_heap > 1 ? down : 0;
}


/* What to do with the result of seek(), next(), resume(). */

static int
s3_merge_moved(s3_merge_t *m, uint8_t source, int rc)
{
    switch (rc) {

    case S3_OK:
        if (m->started < m->n_sources) {
            m->started++;
            s3_merge_push(m, source);

        } else {
            s3_merge_sift(m);
        }

        return S3_OK;

    case S3_DONE:
        if (m->started < m->n_sources) {
            m->started++;

        } else {
            m->heap[0] = m->heap[--m->n_heap];
            m->second = 0;

            if (m->n_heap) {
                s3_merge_sift(m);
            }
        }

        return S3_OK;

    case S3_AGAIN:
        m->pending = 1;
        m->waiting = m->sources[source];
        return S3_AGAIN;

    default:
        m->rc = rc;
        return rc;
    }
}


/* Finishes what an S3_AGAIN interrupted, positions all sources. */

static int
s3_merge_start(s3_merge_t *m)
{
    s3_source_t *src;
    s3_str_t key = s3_str(m->seek_key, m->seek_len);
    uint8_t i;
    int rc;

    if (m->pending) {
        i = m->started < m->n_sources ? (uint8_t) m->started : m->heap[0];
        src = m->sources[i];
        m->pending = 0;
        m->waiting = NULL;

        rc = s3_merge_moved(m, i, src->ops->resume(src));
        if (rc != S3_OK) {
            return rc;
        }
    }

    while (m->started < m->n_sources) {
        i = (uint8_t) m->started;
        src = m->sources[i];

        rc = s3_merge_moved(m, i, src->ops->seek(src, m->seek_bucket, key));
        if (rc != S3_OK) {
            return rc;
        }
    }

    while (m->forward && m->n_heap) {
        i = m->heap[0];
        src = m->sources[i];

        if (s3_key_cmp(src->bucket, src->key, m->seek_bucket, key) >= 0) {
            break;
        }

        rc = s3_merge_moved(m, i, src->ops->seek(src, m->seek_bucket, key));
        if (rc != S3_OK) {
            return rc;
        }
    }

    m->forward = 0;

    return S3_OK;
}


static int
s3_merge_is_record(const s3_entry_t *e)
{
    return e->kind == S3_KIND_OBJECT || e->kind == S3_KIND_TOMBSTONE;
}


static int
s3_merge_rank(const s3_entry_t *e)
{
    if (s3_merge_is_record(e)) {
        return e->flags & S3_F_CONFIRMED ? 4 : 2;
    }

    return e->kind == S3_KIND_DEAD ? 3 : 1;
}


static int
s3_merge_is_local(uint64_t bucket)
{
    return bucket == S3_BUCKET_NOTES || bucket == S3_BUCKET_CLOSED;
}


static void
s3_merge_report(s3_merge_t *m, s3_drop_t why, const s3_entry_t *e)
{
    if (m->drop) {
        m->drop(m->ctx, why, m->bucket, m->key, e);
    }
}


/* Two entries of one version: `stays` outranks `goes`, or is newer. */

static void
s3_merge_duplicate(s3_merge_t *m, const s3_entry_t *stays,
                   const s3_entry_t *goes)
{
    if (s3_merge_is_record(goes) && stays->kind == S3_KIND_DEAD) {
        s3_merge_report(m, S3_DROP_DEAD, goes);

    } else if (stays->segment != goes->segment || stays->offset != goes->offset)
    {
        s3_merge_report(
            m, s3_merge_is_local(m->bucket) ? S3_DROP_LOCAL : S3_DROP_MOVED,
            goes);
    }
}


/* Room for one more entry behind the last. */

static int
s3_merge_grow(s3_merge_t *m)
{
    s3_entry_t *p;
    unsigned room;

    if (m->n < m->room) {
        return S3_OK;
    }

    room = m->room * 2;

    p = malloc(room * sizeof(s3_entry_t));
    if (p == NULL) {
        return S3_ENOMEM;
    }

    memcpy(p, m->entries, m->n * sizeof(s3_entry_t));
    free(m->grown);

    m->grown = p;
    m->entries = p;
    m->room = room;

    return S3_OK;
}


/* Takes the entry of src.  Those of this key that are here already come from
 * it or from newer sources: they win unless they are outranked. */

static int
s3_merge_take(s3_merge_t *m, const s3_source_t *src)
{
    s3_entry_t *e, tmp;
    unsigned i;
    int cmp;

    if (s3_merge_grow(m) != S3_OK) {
        return S3_ENOMEM;
    }

    e = &m->entries[m->n];

    if (s3_entry_decode(src->raw, src->raw_len, e) < 0) {
        return S3_ECORRUPT;
    }

    for (i = m->n; i > 0; i--) {
        cmp = s3_version_cmp(&e->version, &m->entries[i - 1].version);

        if (cmp == 0) {
            if (s3_merge_rank(e) > s3_merge_rank(&m->entries[i - 1])
                && !s3_merge_is_local(m->bucket))
            {
                s3_merge_duplicate(m, e, &m->entries[i - 1]);
                m->entries[i - 1] = *e;

            } else {
                s3_merge_duplicate(m, &m->entries[i - 1], e);
            }

            return S3_OK;
        }

        if (cmp < 0) {
            break;
        }
    }

    if (i < m->n) {
        tmp = *e;
        memmove(&m->entries[i + 1], &m->entries[i],
                (m->n - i) * sizeof(s3_entry_t));
        m->entries[i] = tmp;
    }

    m->n++;

    return S3_OK;
}


/* Which of the entries, newest first, go: the reason, or 0. */

static int
s3_merge_obsolete(const s3_merge_t *m, const s3_entry_t *e, int first,
                  int confirmed)
{
    if (s3_merge_is_local(m->bucket)) {
        if (!first || (e->kind == S3_KIND_UNNOTE && m->flags & S3_MERGE_BOTTOM))
        {
            return S3_DROP_LOCAL;
        }

    } else if (confirmed && !(e->flags & S3_F_TIED)) {
        return S3_DROP_SUPERSEDED;
    }

    if (m->filter && m->filter(m->ctx, m->bucket, m->key, e)) {
        return S3_DROP_FILTERED;
    }

    return 0;
}


static void
s3_merge_settle(s3_merge_t *m)
{
    unsigned i, n = 0;
    int why, next, confirmed = 0;

    for (i = 0; i < m->n; i++) {
        next = confirmed || s3_merge_rank(&m->entries[i]) == 4;
        why = s3_merge_obsolete(m, &m->entries[i], i == 0, confirmed);
        confirmed = next;

        if (why) {
            s3_merge_report(m, (s3_drop_t) why, &m->entries[i]);
            continue;
        }

        if (n < i) {
            m->entries[n] = m->entries[i];
        }

        n++;
    }

    m->n = n;
}


/* Takes all entries of the least key. */

static int
s3_merge_gather(s3_merge_t *m)
{
    s3_source_t *src;
    uint8_t at;
    int rc;

    while (m->n_heap) {
        at = m->heap[0];
        src = m->sources[at];

        if (!m->gathering) {
            m->gathering = 1;
            m->n = 0;
            m->bucket = src->bucket;
            m->key = s3_str(m->keybuf, src->key.len);
            memcpy(m->keybuf, src->key.data, src->key.len);

        } else if (s3_key_cmp(src->bucket, src->key, m->bucket, m->key) != 0) {
            break;
        }

        rc = s3_merge_take(m, src);
        if (rc != S3_OK) {
            m->rc = rc;
            return rc;
        }

        rc = s3_merge_moved(m, at, src->ops->next(src));
        if (rc != S3_OK) {
            return rc;
        }
    }

    return m->gathering ? S3_OK : S3_DONE;
}


int
s3_merge_next(s3_merge_t *m)
{
    int rc;

    if (m->rc != S3_OK) {
        return m->rc;
    }

    rc = s3_merge_start(m);

    while (rc == S3_OK) {
        rc = s3_merge_gather(m);

        if (rc == S3_OK) {
            m->gathering = 0;
            s3_merge_settle(m);

            if (m->n) {
                break;
            }
        }
    }

    return rc;
}
