#include "t/sim/s3_mockdrive_int.h"

#include <stdlib.h>


void *
s3_mock_need(void *p)
{
    if (p == NULL) {
        abort();
    }

    return p;
}


size_t
s3_mock_at(s3_mock_t *m, uint64_t bucket, s3_str_t key, int *found)
{
    int rc;
    size_t lo = 0, hi = m->n_keys, mid;
    s3_mock_key_t *k;

    while (lo < hi) {
        mid = lo + (hi - lo) / 2;
        k = &m->keys[mid];
        rc = k->bucket != bucket ? (k->bucket < bucket ? -1 : 1)
                                 : s3_str_cmp(s3_str(k->key, k->len), key);
        if (rc == 0) {
            *found = 1;
            return mid;
        }

        if (rc < 0) {
            lo = mid + 1;

        } else {
            hi = mid;
        }
    }

    *found = 0;
    return lo;
}


s3_mock_key_t *
s3_mock_find(s3_mock_t *m, uint64_t bucket, s3_str_t key)
{
    int found;
    size_t i;

    i = s3_mock_at(m, bucket, key, &found);

    return found ? &m->keys[i] : NULL;
}


s3_mock_key_t *
s3_mock_make(s3_mock_t *m, uint64_t bucket, s3_str_t key)
{
    int found;
    size_t i;
    s3_mock_key_t *k;

    i = s3_mock_at(m, bucket, key, &found);

    if (found) {
        return &m->keys[i];
    }

    if (m->n_keys == m->room) {
        m->room = m->room ? 2 * m->room : 64;
        m->keys = s3_mock_need(realloc(m->keys, m->room * sizeof(*k)));
    }

    memmove(&m->keys[i + 1], &m->keys[i], (m->n_keys - i) * sizeof(*k));
    m->n_keys++;
    k = &m->keys[i];
    memset(k, 0, sizeof(*k));
    k->bucket = bucket;
    k->len = key.len;
    k->key = s3_mock_need(malloc(key.len + 1));

    if (key.len) {
        memcpy(k->key, key.data, key.len);
    }

    return k;
}


s3_mock_entry_t *
s3_mock_version(s3_mock_key_t *k, const s3_version_t *v)
{
    unsigned i;

    for (i = 0; k && i < k->n; i++) {
        if (s3_version_cmp(&k->e[i].rec.entry.version, v) == 0) {
            return &k->e[i];
        }
    }

    return NULL;
}


int
s3_mock_live(const s3_mock_entry_t *e)
{
    return e->rec.entry.kind == S3_KIND_OBJECT
           || e->rec.entry.kind == S3_KIND_TOMBSTONE;
}


s3_mock_entry_t *
s3_mock_confirmed(s3_mock_key_t *k)
{
    unsigned i;

    for (i = 0; k && i < k->n; i++) {
        if (s3_mock_live(&k->e[i])
            && (k->e[i].rec.entry.flags & S3_F_CONFIRMED)) {
            return &k->e[i];
        }
    }

    return NULL;
}


void
s3_mock_remove(s3_mock_key_t *k, unsigned i)
{
    free(k->e[i].mem);
    memmove(&k->e[i], &k->e[i + 1], (k->n - i - 1) * sizeof(k->e[0]));
    k->n--;
}


void
s3_mock_insert(s3_mock_t *m, s3_mock_key_t *k, const s3_record_t *rec)
{
    unsigned i;
    uint8_t *p;
    s3_mock_entry_t *e;

    e = s3_mock_version(k, &rec->entry.version);

    if (e) {
        s3_mock_remove(k, (unsigned) (e - k->e));
    }

    for (i = 0; i < k->n; i++) {
        if (s3_version_cmp(&k->e[i].rec.entry.version, &rec->entry.version) < 0)
        {
            break;
        }
    }

    k->e = s3_mock_need(realloc(k->e, (k->n + 1) * sizeof(k->e[0])));
    memmove(&k->e[i + 1], &k->e[i], (k->n - i) * sizeof(k->e[0]));
    k->n++;
    e = &k->e[i];

    e->rec = *rec;
    p = e->mem = s3_mock_need(malloc(rec->key.len + rec->refs.len
                                     + rec->meta.len + rec->data.len + 1));

#define s3_mock_copy(field)                         \
    if (rec->field.len) {                           \
        memcpy(p, rec->field.data, rec->field.len); \
    }                                               \
    e->rec.field.data = p;                          \
    p += rec->field.len

    s3_mock_copy(key);
    s3_mock_copy(refs);
    s3_mock_copy(meta);
    s3_mock_copy(data);

    e->rec.entry.segment = m->index + 1;
}


void
s3_mock_mark(s3_mock_t *m, s3_mock_key_t *k, const s3_version_t *v,
             s3_kind_t kind)
{
    s3_record_t rec;

    memset(&rec, 0, sizeof(rec));
    rec.bucket = k->bucket;
    rec.key = s3_str(k->key, k->len);
    rec.entry.version = *v;
    rec.entry.kind = (uint8_t) kind;
    s3_mock_insert(m, k, &rec);
}


int
s3_mock_dropped(s3_mock_key_t *k, const s3_version_t *v)
{
    unsigned i;

    for (i = 0; k && i < k->n_ring; i++) {
        if (s3_version_cmp(&k->ring[i], v) == 0) {
            return 1;
        }
    }

    return 0;
}


static int
s3_mock_lists(s3_mock_key_t *k, const uint8_t *id)
{
    unsigned i;
    size_t j;

    for (i = 0; i < k->n; i++) {
        for (j = 0; j < k->e[i].rec.refs.len; j += S3_REF_SIZE) {
            if (memcmp(k->e[i].rec.refs.data + j, id, 16) == 0) {
                return 1;
            }
        }
    }

    return 0;
}


void
s3_mock_drop_older(s3_mock_t *m, s3_mock_key_t *k, int keep)
{
    size_t j;
    s3_blob_t *b;
    s3_mock_entry_t *c, *e, last;

    c = s3_mock_confirmed(k);

    while (c && k->n && (e = &k->e[k->n - 1]) != c) {
        last = *e;
        k->n--;

        if (s3_mock_live(&last)) {
            k->ring = s3_mock_need(
                realloc(k->ring, (k->n_ring + 1) * sizeof(k->ring[0])));
            k->ring[k->n_ring++] = last.rec.entry.version;
        }

        if (!keep && (last.rec.entry.flags & S3_F_CONFIRMED)) {
            for (j = 0; j < last.rec.refs.len; j += S3_REF_SIZE) {
                b = s3_mock_blob(m, last.rec.refs.data + j);

                if (b && !s3_mock_lists(k, b->id)) {
                    s3_mock_blob_free(m, b);
                }
            }
        }

        free(last.mem);
    }
}
