#include "t/sim/s3_mockdrive.h"

#include <stdio.h>
#include <stdlib.h>


typedef struct {
    s3_record_t rec; /* slices into mem */
    uint8_t *mem;
} s3_mock_entry_t;

typedef struct {
    uint64_t bucket;
    size_t len;
    uint8_t *key;
    s3_mock_entry_t *e; /* newest first */
    unsigned n;
    s3_version_t *ring; /* dropped records */
    unsigned n_ring;
} s3_mock_key_t;

struct s3_blob_s {
    s3_blob_t *next;
    uint8_t id[16];
    uint8_t **units;
    size_t *lens;
    uint32_t n;
    int finished;
};

typedef struct s3_mock_op_s s3_mock_op_t;

typedef struct {
    s3_drive_t drive;
    s3_mock_t *m;
    s3_loop_t *loop;
} s3_mock_handle_t;

struct s3_mock_op_s {
    s3_mock_op_t *next;
    s3_mock_handle_t *h;
    s3_req_t *req;
    void (*apply)(s3_mock_t *m, s3_req_t *req);
    s3_timer_t timer;
    int silent;
};

struct s3_mock_s {
    s3_sim_t *sim;
    s3_loop_t *world;
    unsigned index;
    s3_mock_knobs_t knobs;
    s3_mock_key_t *keys;
    size_t n_keys;
    size_t room;
    s3_blob_t *blobs;
    s3_version_t floor;
    struct {
        uint64_t bucket;
        uint32_t generation;
    } closed[64];
    unsigned n_closed;
    s3_mock_op_t *held;
    s3_mock_handle_t *handles[16];
    unsigned n_handles;
};


static void *
s3_mock_need(void *p)
{
    if (p == NULL) {
        abort();
    }

    return p;
}


/* Keys and entries */

static size_t
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


static s3_mock_key_t *
s3_mock_find(s3_mock_t *m, uint64_t bucket, s3_str_t key)
{
    int found;
    size_t i;

    i = s3_mock_at(m, bucket, key, &found);

    return found ? &m->keys[i] : NULL;
}


static s3_mock_key_t *
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


static s3_mock_entry_t *
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


static int
s3_mock_live(const s3_mock_entry_t *e)
{
    return e->rec.entry.kind == S3_KIND_OBJECT
           || e->rec.entry.kind == S3_KIND_TOMBSTONE;
}


static s3_mock_entry_t *
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


static void
s3_mock_remove(s3_mock_key_t *k, unsigned i)
{
    free(k->e[i].mem);
    memmove(&k->e[i], &k->e[i + 1], (k->n - i - 1) * sizeof(k->e[0]));
    k->n--;
}


static void
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


static void
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


static int
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


/* Blobs */

static s3_blob_t *
s3_mock_blob(s3_mock_t *m, const uint8_t *id)
{
    s3_blob_t *b;

    for (b = m->blobs; b; b = b->next) {
        if (b->finished && memcmp(b->id, id, 16) == 0) {
            return b;
        }
    }

    return NULL;
}


static void
s3_mock_blob_free(s3_mock_t *m, s3_blob_t *blob)
{
    uint32_t i;
    s3_blob_t **p;

    for (p = &m->blobs; *p; p = &(*p)->next) {
        if (*p == blob) {
            *p = blob->next;
            break;
        }
    }

    for (i = 0; i < blob->n; i++) {
        free(blob->units[i]);
    }

    free(blob->units);
    free(blob->lens);
    free(blob);
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


/* Everything older than the newest confirmed goes; its blobs too, where they
 * were committed data that no record lists any more. */

static void
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


/* VOTE, PUSH */

static int
s3_mock_closed(s3_mock_t *m, uint64_t bucket, uint32_t generation)
{
    unsigned i;

    for (i = 0; i < m->n_closed; i++) {
        if (m->closed[i].bucket == bucket
            && generation <= m->closed[i].generation) {
            return 1;
        }
    }

    return 0;
}


static void
s3_mock_kill(s3_mock_t *m, s3_mock_key_t *k, const s3_version_t *v)
{
    s3_mock_entry_t *c;

    c = s3_mock_confirmed(k);

    if (c == NULL || s3_version_cmp(&c->rec.entry.version, v) < 0) {
        s3_mock_mark(m, k, v, S3_KIND_DEAD);
    }
}


static int
s3_mock_has_data(s3_mock_t *m, const s3_record_t *rec)
{
    size_t j;
    s3_ref_t ref;

    if (!(rec->entry.holders & 1u << m->index)) {
        return 1;
    }

    for (j = 0; j + S3_REF_SIZE <= rec->refs.len; j += S3_REF_SIZE) {
        if (s3_ref_decode(rec->refs.data + j, &ref) != S3_OK) {
            return 0;
        }

        if ((ref.mask & 1u << m->index) && ref.size
            && s3_mock_blob(m, ref.id) == NULL) {
            return 0;
        }
    }

    return 1;
}


static s3_answer_t
s3_mock_judge(s3_mock_t *m, s3_mock_key_t *k, s3_vote_t *vote)
{
    unsigned i;
    const s3_record_t *rec = vote->record;
    const s3_version_t *v = &rec->entry.version, *e;
    s3_mock_entry_t *x, *c;

    x = s3_mock_version(k, v);

    if (x) {
        return s3_mock_live(x) ? S3_ANSWER_YES : S3_ANSWER_NO;
    }

    if (!(rec->entry.voters & 1u << m->index)) {
        return S3_ANSWER_NO;
    }

    c = s3_mock_confirmed(k);

    if ((c && s3_version_cmp(v, &c->rec.entry.version) < 0)
        || s3_version_cmp(v, &m->floor) <= 0)
    {
        if (c) {
            vote->cause = c->rec.entry;
        }

        vote->cause.version =
            s3_version_cmp(&vote->cause.version, &m->floor) < 0
                ? m->floor
                : vote->cause.version;

        return s3_mock_dropped(k, v) ? S3_ANSWER_YES : S3_ANSWER_NO;
    }

    if (k->n && s3_version_cmp(&k->e[0].rec.entry.version, v) > 0) {
        vote->cause = k->e[0].rec.entry;
        return S3_ANSWER_NO;
    }

    if (rec->conditional) {
        e = &rec->expects;

        for (i = 0; i < k->n; i++) {
            x = &k->e[i];

            if (!s3_mock_live(x)
                || s3_version_cmp(&x->rec.entry.version, e) <= 0) {
                continue;
            }

            vote->cause = x->rec.entry;

            if (x->rec.entry.flags & S3_F_CONFIRMED) {
                s3_mock_mark(m, k, v, S3_KIND_FENCE);
                return S3_ANSWER_NO;
            }

            return S3_ANSWER_BUSY;
        }

        if (!s3_version_is_none(e) && s3_mock_version(k, e) == NULL
            && s3_version_cmp(e, &m->floor) < 0)
        {
            return S3_ANSWER_BEHIND;
        }
    }

    if (!s3_mock_has_data(m, rec)) {
        return S3_ANSWER_NODATA;
    }

    return S3_ANSWER_NONE;
}


static void
s3_mock_do_vote(s3_mock_t *m, s3_req_t *req)
{
    unsigned i;
    s3_record_t rec;
    s3_vote_t *vote = s3_container(req, s3_vote_t, req);
    s3_mock_key_t *k;

    memset(&vote->cause, 0, sizeof(vote->cause));

    if (s3_mock_closed(m, vote->record->bucket, vote->record->generation)) {
        req->answer = S3_ANSWER_STALE;
        return;
    }

    if (m->knobs.nospace && vote->record->entry.kind != S3_KIND_TOMBSTONE) {
        req->rc = S3_ENOSPC;
        return;
    }

    k = s3_mock_make(m, vote->record->bucket, vote->record->key);

    for (i = 0; i < vote->n_dead; i++) {
        s3_mock_kill(m, k, &vote->dead[i]);
    }

    req->answer = s3_mock_judge(m, k, vote);

    if (req->answer == S3_ANSWER_NONE) {
        rec = *vote->record;
        rec.entry.flags &= S3_F_TIED | S3_F_KEEP;
        s3_mock_insert(m, k, &rec);
        req->answer = S3_ANSWER_YES;
    }
}


static void
s3_mock_do_push(s3_mock_t *m, s3_req_t *req)
{
    s3_record_t rec;
    s3_vote_t *vote = s3_container(req, s3_vote_t, req);
    const s3_version_t *v = &vote->record->entry.version;
    s3_mock_key_t *k;
    s3_mock_entry_t *c;

    k = s3_mock_make(m, vote->record->bucket, vote->record->key);
    c = s3_mock_confirmed(k);

    if ((c && s3_version_cmp(v, &c->rec.entry.version) < 0)
        || s3_version_cmp(v, &m->floor) <= 0)
    {
        req->answer = S3_ANSWER_GONE;
        return;
    }

    rec = *vote->record;
    rec.entry.flags &= S3_F_TIED | S3_F_KEEP;
    rec.entry.flags |= S3_F_CONFIRMED | S3_F_PUSHED;
    s3_mock_insert(m, k, &rec);
    s3_mock_drop_older(m, k, rec.entry.flags & S3_F_KEEP);
    m->knobs.rotten = 0;
    req->answer = S3_ANSWER_YES;
}


/* FENCE, STATUS, CONFIRM, DEAD */

static int
s3_mock_standing(s3_mock_t *m, s3_mock_key_t *k, s3_mark_t *mark)
{
    s3_mock_entry_t *x, *c;
    const s3_version_t *v = &mark->version;

    x = s3_mock_version(k, v);
    c = s3_mock_confirmed(k);
    mark->newer_confirmed = c && s3_version_cmp(v, &c->rec.entry.version) < 0;

    if (x) {
        if (s3_mock_live(x)) {
            mark->entry = x->rec.entry;
            mark->confirmed = (x->rec.entry.flags & S3_F_CONFIRMED) != 0;
            return S3_ANSWER_YES;
        }

        return S3_ANSWER_NO;
    }

    if (s3_mock_dropped(k, v)) {
        return S3_ANSWER_YES;
    }

    if (mark->newer_confirmed || s3_version_cmp(v, &m->floor) <= 0) {
        return S3_ANSWER_NO;
    }

    return S3_ANSWER_NOT_HELD;
}


static void
s3_mock_do_status(s3_mock_t *m, s3_req_t *req)
{
    s3_mark_t *mark = s3_container(req, s3_mark_t, req);

    req->answer =
        s3_mock_standing(m, s3_mock_find(m, mark->bucket, mark->key), mark);
}


static void
s3_mock_do_fence(s3_mock_t *m, s3_req_t *req)
{
    s3_mark_t *mark = s3_container(req, s3_mark_t, req);
    s3_mock_key_t *k;

    k = s3_mock_make(m, mark->bucket, mark->key);
    req->answer = s3_mock_standing(m, k, mark);

    if (req->answer == S3_ANSWER_NOT_HELD) {
        s3_mock_mark(m, k, &mark->version, S3_KIND_FENCE);
        req->answer = S3_ANSWER_NO;
    }
}


static void
s3_mock_do_confirm(s3_mock_t *m, s3_req_t *req)
{
    s3_mark_t *mark = s3_container(req, s3_mark_t, req);
    s3_mock_key_t *k;
    s3_mock_entry_t *x;

    k = s3_mock_find(m, mark->bucket, mark->key);
    x = s3_mock_version(k, &mark->version);
    req->answer = S3_ANSWER_NOT_HELD;

    if (x && s3_mock_live(x)) {
        x->rec.entry.flags |= S3_F_CONFIRMED;
        s3_mock_drop_older(m, k, mark->keep);
        req->answer = S3_ANSWER_YES;
    }
}


static void
s3_mock_do_dead(s3_mock_t *m, s3_req_t *req)
{
    s3_mark_t *mark = s3_container(req, s3_mark_t, req);

    s3_mock_kill(m, s3_mock_make(m, mark->bucket, mark->key), &mark->version);
    req->answer = S3_ANSWER_NO;
}


/* READ, FETCH */

static unsigned
s3_mock_entries(s3_mock_key_t *k, s3_entry_t *out)
{
    unsigned i, n;
    s3_mock_entry_t *c;

    n = 0;
    c = s3_mock_confirmed(k);

    for (i = 0; k && i < k->n; i++) {
        if (k->e[i].rec.entry.kind != S3_KIND_FENCE) {
            out[n++] = k->e[i].rec.entry;
        }

        if (&k->e[i] == c) {
            break;
        }
    }

    return n;
}


static void
s3_mock_do_read(s3_mock_t *m, s3_req_t *req)
{
    s3_lookup_t *l = s3_container(req, s3_lookup_t, req);
    s3_mock_key_t *k;

    k = s3_mock_find(m, l->bucket, l->key);
    l->entries = l->fixed;
    l->n = 0;
    l->floor = m->floor;

    if (k) {
        if (k->n > S3_LOOKUP_INLINE) {
            l->entries = s3_mock_need(malloc(k->n * sizeof(s3_entry_t)));
        }

        l->n = s3_mock_entries(k, l->entries);
    }
}


static void
s3_mock_do_fetch(s3_mock_t *m, s3_req_t *req)
{
    uint8_t *p;
    s3_fetch_t *f = s3_container(req, s3_fetch_t, req);
    s3_mock_entry_t *e;

    e = s3_mock_version(s3_mock_find(m, f->bucket, f->key), &f->version);

    if (e == NULL || !s3_mock_live(e)) {
        req->rc = S3_ENOENT;
        return;
    }

    if (m->knobs.rotten) {
        req->rc = S3_ECORRUPT;
        return;
    }

    f->record = e->rec;
    p = f->buf = s3_mock_need(malloc(e->rec.key.len + e->rec.refs.len
                                     + e->rec.meta.len + e->rec.data.len + 1));

#define s3_mock_give(field)                             \
    if (e->rec.field.len) {                             \
        memcpy(p, e->rec.field.data, e->rec.field.len); \
    }                                                   \
    f->record.field.data = p;                           \
    p += e->rec.field.len

    s3_mock_give(key);
    s3_mock_give(refs);
    s3_mock_give(meta);
    s3_mock_give(data);
}


/* LIST.  A page is a chain of blocks, as a real drive gives it. */

typedef struct s3_mock_block_s s3_mock_block_t;

struct s3_mock_block_s {
    s3_mock_block_t *next;
    uint64_t align;
};


static void *
s3_mock_block(s3_scan_t *scan, size_t size)
{
    s3_mock_block_t *b;

    b = s3_mock_need(calloc(1, sizeof(*b) + size));
    b->next = scan->mem;
    scan->mem = b;

    return b + 1;
}


/* Where no real drive is linked. */

__attribute__((weak)) void
s3_scan_release(s3_scan_t *scan)
{
    s3_mock_block_t *b, *next;

    for (b = scan->mem; b; b = next) {
        next = b->next;
        free(b);
    }

    scan->mem = NULL;
    scan->items = NULL;
    scan->n = 0;
}


static size_t
s3_mock_common(s3_scan_t *scan, const uint8_t *key, size_t len)
{
    size_t i;

    if (scan->delimiter.len == 0) {
        return 0;
    }

    for (i = scan->prefix.len; i + scan->delimiter.len <= len; i++) {
        if (memcmp(key + i, scan->delimiter.data, scan->delimiter.len) == 0) {
            return i + scan->delimiter.len;
        }
    }

    return 0;
}


static void
s3_mock_do_list(s3_mock_t *m, s3_req_t *req)
{
    int found;
    size_t i, common;
    uint8_t *copy;
    unsigned max;
    s3_scan_t *scan = s3_container(req, s3_scan_t, req);
    s3_mock_key_t *k;
    s3_item_t *item;
    s3_entry_t *entries;

    max = s3_min(scan->max, (unsigned) S3_SCAN_MAX);
    max = s3_max(max, 1u);

    /* now and then less than asked for, as the contract allows */

    if (max > 2 && s3_sim_random(m->sim, 4) == 0) {
        max = 1 + (unsigned) s3_sim_random(m->sim, max);
    }

    scan->mem = NULL;
    scan->items = s3_mock_block(scan, max * sizeof(s3_item_t));
    scan->n = 0;
    scan->end = 0;
    scan->following = 0;
    scan->floor = m->floor;
    common = 0;

    i = s3_mock_at(m, scan->bucket, scan->from, &found);

    if (found && scan->after) {
        i++;
    }

    for (;; i++) {
        k = &m->keys[i];

        if (i == m->n_keys || k->bucket != scan->bucket) {
            scan->end = 1;
            scan->following = i == m->n_keys ? 0 : k->bucket;
            break;
        }

        if (k->len < scan->prefix.len
            || (scan->prefix.len
                && memcmp(k->key, scan->prefix.data, scan->prefix.len) != 0))
        {
            if (s3_str_cmp(s3_str(k->key, k->len), scan->prefix) > 0) {
                scan->end = 1;
                break;
            }

            continue;
        }

        if (scan->n && common && k->len >= common
            && memcmp(k->key, scan->items[scan->n - 1].key.data, common) == 0)
        {
            continue;
        }

        if (k->n == 0) {
            continue;
        }

        if (scan->n == max) {
            break;
        }

        entries = s3_mock_block(scan, k->n * sizeof(s3_entry_t));
        item = &scan->items[scan->n];
        item->n = s3_mock_entries(k, entries);

        if (item->n == 0) {
            continue;
        }

        copy = s3_mock_block(scan, k->len + 1);
        memcpy(copy, k->key, k->len);
        item->key = s3_str(copy, k->len);
        item->entries = entries;
        scan->n++;

        common = s3_mock_common(scan, k->key, k->len);

        if (entries[0].kind != S3_KIND_OBJECT
            || !(entries[0].flags & S3_F_CONFIRMED)) {
            common = 0;
        }

        item->common = (uint32_t) common;
    }
}


/* Blob requests */

static void
s3_mock_do_create(s3_mock_t *m, s3_req_t *req)
{
    s3_blob_req_t *r = s3_container(req, s3_blob_req_t, req);

    if (m->knobs.nospace) {
        req->rc = S3_ENOSPC;
        return;
    }

    r->blob = s3_mock_need(calloc(1, sizeof(s3_blob_t)));
    memcpy(r->blob->id, r->id, 16);
    r->blob->next = m->blobs;
    m->blobs = r->blob;
}


static void
s3_mock_do_write(s3_mock_t *m, s3_req_t *req)
{
    s3_unit_t *u = s3_container(req, s3_unit_t, req);
    s3_blob_t *b = u->blob;

    if (m->knobs.nospace) {
        req->rc = S3_ENOSPC;
        return;
    }

    if (u->block >= b->n) {
        b->units = s3_mock_need(
            realloc(b->units, (u->block + 1) * sizeof(b->units[0])));
        b->lens =
            s3_mock_need(realloc(b->lens, (u->block + 1) * sizeof(b->lens[0])));

        while (b->n <= u->block) {
            b->lens[b->n] = 0;
            b->units[b->n++] = NULL;
        }
    }

    free(b->units[u->block]);
    b->units[u->block] = s3_mock_need(malloc(u->len));
    memcpy(b->units[u->block], u->buf, u->len);
    b->lens[u->block] = u->len;
}


static void
s3_mock_do_finish(s3_mock_t *m, s3_req_t *req)
{
    s3_blob_req_t *r = s3_container(req, s3_blob_req_t, req);
    s3_blob_t *old;

    old = s3_mock_blob(m, r->blob->id);

    if (old) {
        s3_mock_blob_free(m, old);
    }

    r->blob->finished = 1;
    r->blob = NULL;
}


static void
s3_mock_do_abort(s3_mock_t *m, s3_req_t *req)
{
    s3_blob_req_t *r = s3_container(req, s3_blob_req_t, req);

    if (r->blob) {
        s3_mock_blob_free(m, r->blob);
        r->blob = NULL;
    }
}


static void
s3_mock_do_unit(s3_mock_t *m, s3_req_t *req)
{
    s3_unit_t *u = s3_container(req, s3_unit_t, req);
    s3_blob_t *b;

    b = s3_mock_blob(m, u->id);

    if (b == NULL) {
        req->rc = S3_ENOENT;
        return;
    }

    u->done_len = 0;

    if (u->block < b->n && b->units[u->block]) {
        u->done_len = s3_min(u->len, b->lens[u->block]);
        memcpy(u->buf, b->units[u->block], u->done_len);
    }
}


static void
s3_mock_do_blob_remove(s3_mock_t *m, s3_req_t *req)
{
    s3_blob_req_t *r = s3_container(req, s3_blob_req_t, req);
    s3_blob_t *b;

    b = s3_mock_blob(m, r->id);

    if (b) {
        s3_mock_blob_free(m, b);
    }
}


/* CLOSE, notes */

static void
s3_mock_do_close(s3_mock_t *m, s3_req_t *req)
{
    s3_close_t *c = s3_container(req, s3_close_t, req);

    if (m->n_closed == 64) {
        abort();
    }

    m->closed[m->n_closed].bucket = c->bucket;
    m->closed[m->n_closed++].generation = c->generation;
    req->answer = S3_ANSWER_YES;
}


static size_t
s3_mock_note_key(s3_note_t *note, uint8_t *p)
{
    int i;

    p[0] = (uint8_t) note->target;

    for (i = 0; i < 8; i++) {
        p[1 + i] = (uint8_t) (note->bucket >> (56 - 8 * i));
    }

    if (note->key.len) {
        memcpy(p + 9, note->key.data, note->key.len);
    }

    return 9 + note->key.len;
}


static void
s3_mock_do_note(s3_mock_t *m, s3_req_t *req)
{
    uint8_t key[S3_MAX_KEY + 16];
    s3_note_t *note = s3_container(req, s3_note_t, req);
    s3_mock_key_t *k;
    s3_record_t rec;

    k = s3_mock_make(m, S3_BUCKET_NOTES,
                     s3_str(key, s3_mock_note_key(note, key)));

    if (k->n && s3_version_cmp(&k->e[0].rec.entry.version, &note->version) >= 0)
    {
        return;
    }

    while (k->n) {
        s3_mock_remove(k, 0);
    }

    memset(&rec, 0, sizeof(rec));
    rec.bucket = k->bucket;
    rec.key = s3_str(k->key, k->len);
    rec.entry.kind = S3_KIND_NOTE;
    rec.entry.version = note->version;
    s3_mock_insert(m, k, &rec);
}


static void
s3_mock_do_unnote(s3_mock_t *m, s3_req_t *req)
{
    uint8_t key[S3_MAX_KEY + 16];
    s3_note_t *note = s3_container(req, s3_note_t, req);
    s3_mock_key_t *k;

    k = s3_mock_find(m, S3_BUCKET_NOTES,
                     s3_str(key, s3_mock_note_key(note, key)));

    if (k && k->n
        && s3_version_cmp(&k->e[0].rec.entry.version, &note->version) <= 0)
    {
        s3_mock_remove(k, 0);
    }
}


/* The way there and back */

static void s3_mock_arrive(s3_timer_t *timer);


static void
s3_mock_done(s3_timer_t *timer)
{
    s3_mock_op_t *op = timer->ctx;
    s3_req_t *req = op->req;

    free(op);
    req->done(req);
}


static uint64_t
s3_mock_delay(s3_mock_t *m)
{
    return s3_sim_random(m->sim, m->knobs.delay + 1);
}


static int
s3_mock_chance(s3_mock_t *m, unsigned per_million)
{
    return per_million && s3_sim_random(m->sim, 1000000) < per_million;
}


static void
s3_mock_reply(s3_mock_op_t *op, uint64_t delay)
{
    op->timer.handler = s3_mock_done;
    op->h->loop->set_timer(op->h->loop, &op->timer, delay);
}


static void
s3_mock_apply(s3_mock_t *m, s3_req_t *req,
              void (*apply)(s3_mock_t *m, s3_req_t *req))
{
    req->rc = S3_OK;
    req->answer = S3_ANSWER_NONE;

    if (m->knobs.down) {
        req->rc = S3_EUNAVAIL;

    } else if (s3_mock_chance(m, m->knobs.errors)) {
        req->rc = S3_EIO;

    } else {
        apply(m, req);
    }
}


static void
s3_mock_arrive(s3_timer_t *timer)
{
    s3_mock_op_t *op = timer->ctx;
    s3_mock_t *m = op->h->m;

    if (m->knobs.hung) {
        op->next = m->held;
        m->held = op;
        return;
    }

    s3_mock_apply(m, op->req, op->apply);
    s3_mock_reply(op, s3_mock_delay(m));
}


static int
s3_mock_is_blob(void (*apply)(s3_mock_t *m, s3_req_t *req))
{
    return apply == s3_mock_do_create || apply == s3_mock_do_write
           || apply == s3_mock_do_finish || apply == s3_mock_do_abort
           || apply == s3_mock_do_read || apply == s3_mock_do_fetch
           || apply == s3_mock_do_list;
}


static void
s3_mock_submit(s3_drive_t *d, s3_req_t *req,
               void (*apply)(s3_mock_t *m, s3_req_t *req))
{
    s3_mock_handle_t *h = d->impl;
    s3_mock_t *m = h->m;
    s3_mock_op_t *op;

    if (m->knobs.delay == 0 && !m->knobs.hung) {
        s3_mock_apply(m, req, apply);
        req->done(req);
        return;
    }

    op = s3_mock_need(calloc(1, sizeof(*op)));
    op->h = h;
    op->req = req;
    op->apply = apply;
    op->timer.ctx = op;

    /* silence: an error at last, long after everybody went on without it */

    if (s3_mock_chance(m, m->knobs.lost)) {
        req->rc = S3_EIO;
        req->answer = S3_ANSWER_NONE;
        s3_mock_reply(op, m->knobs.silence_ms);
        return;
    }

    if (s3_mock_chance(m, m->knobs.mute) && !s3_mock_is_blob(apply)) {
        s3_mock_apply(m, req, apply);
        req->rc = S3_EIO;
        req->answer = S3_ANSWER_NONE;
        s3_mock_reply(op, m->knobs.silence_ms);
        return;
    }

    op->timer.handler = s3_mock_arrive;
    m->world->set_timer(m->world, &op->timer, s3_mock_delay(m));
}


void
s3_mock_unhang(s3_mock_t *m)
{
    s3_mock_op_t *op;

    m->knobs.hung = 0;

    while ((op = m->held) != NULL) {
        m->held = op->next;
        op->timer.handler = s3_mock_arrive;
        m->world->set_timer(m->world, &op->timer, s3_mock_delay(m));
    }
}


/* ends where a semicolon is wanted */
#define s3_mock_op(name, type, apply)                  \
    static void s3_mock_##name(s3_drive_t *d, type *r) \
    {                                                  \
        s3_mock_submit(d, &r->req, apply);             \
    }                                                  \
    struct s3_mock_s

s3_mock_op(vote, s3_vote_t, s3_mock_do_vote);
s3_mock_op(push, s3_vote_t, s3_mock_do_push);
s3_mock_op(fence, s3_mark_t, s3_mock_do_fence);
s3_mock_op(status, s3_mark_t, s3_mock_do_status);
s3_mock_op(confirm, s3_mark_t, s3_mock_do_confirm);
s3_mock_op(dead, s3_mark_t, s3_mock_do_dead);
s3_mock_op(read, s3_lookup_t, s3_mock_do_read);
s3_mock_op(fetch, s3_fetch_t, s3_mock_do_fetch);
s3_mock_op(list, s3_scan_t, s3_mock_do_list);
s3_mock_op(blob_create, s3_blob_req_t, s3_mock_do_create);
s3_mock_op(blob_write, s3_unit_t, s3_mock_do_write);
s3_mock_op(blob_finish, s3_blob_req_t, s3_mock_do_finish);
s3_mock_op(blob_abort, s3_blob_req_t, s3_mock_do_abort);
s3_mock_op(blob_read, s3_unit_t, s3_mock_do_unit);
s3_mock_op(blob_remove, s3_blob_req_t, s3_mock_do_blob_remove);
s3_mock_op(close_bucket, s3_close_t, s3_mock_do_close);
s3_mock_op(note, s3_note_t, s3_mock_do_note);
s3_mock_op(unnote, s3_note_t, s3_mock_do_unnote);

static const s3_drive_ops_t s3_mock_ops = {
    .vote = s3_mock_vote,
    .push = s3_mock_push,
    .fence = s3_mock_fence,
    .status = s3_mock_status,
    .confirm = s3_mock_confirm,
    .dead = s3_mock_dead,
    .read = s3_mock_read,
    .fetch = s3_mock_fetch,
    .list = s3_mock_list,
    .blob_create = s3_mock_blob_create,
    .blob_write = s3_mock_blob_write,
    .blob_finish = s3_mock_blob_finish,
    .blob_abort = s3_mock_blob_abort,
    .blob_read = s3_mock_blob_read,
    .blob_remove = s3_mock_blob_remove,
    .close_bucket = s3_mock_close_bucket,
    .note = s3_mock_note,
    .unnote = s3_mock_unnote,
};


/* The test's side */

s3_mock_t *
s3_mock_create(s3_sim_t *sim, s3_loop_t *world, unsigned index)
{
    s3_mock_t *m;

    m = s3_mock_need(calloc(1, sizeof(*m)));
    m->sim = sim;
    m->world = world;
    m->index = index;
    m->knobs.silence_ms = 20000;

    return m;
}


void
s3_mock_wipe(s3_mock_t *m)
{
    size_t i;

    for (i = 0; i < m->n_keys; i++) {
        while (m->keys[i].n) {
            s3_mock_remove(&m->keys[i], m->keys[i].n - 1);
        }

        free(m->keys[i].e);
        free(m->keys[i].ring);
        free(m->keys[i].key);
    }

    m->n_keys = 0;

    while (m->blobs) {
        s3_mock_blob_free(m, m->blobs);
    }
}


void
s3_mock_destroy(s3_mock_t *m)
{
    unsigned i;

    s3_mock_wipe(m);

    for (i = 0; i < m->n_handles; i++) {
        free(m->handles[i]);
    }

    free(m->keys);
    free(m);
}


s3_mock_knobs_t *
s3_mock_knobs(s3_mock_t *m)
{
    return &m->knobs;
}


s3_drive_t *
s3_mock_attach(s3_mock_t *m, s3_loop_t *loop)
{
    s3_mock_handle_t *h;

    if (m->n_handles == 16) {
        abort();
    }

    h = s3_mock_need(calloc(1, sizeof(*h)));
    h->m = m;
    h->loop = loop;
    h->drive.ops = &s3_mock_ops;
    h->drive.impl = h;
    h->drive.index = m->index;
    m->handles[m->n_handles++] = h;

    return &h->drive;
}


int
s3_mock_rot_unit(s3_mock_t *m, const uint8_t id[16], uint32_t block)
{
    s3_blob_t *b;

    b = s3_mock_blob(m, id);

    if (b == NULL || block >= b->n || b->units[block] == NULL) {
        return 0;
    }

    b->units[block][S3_BLOB_HEADER] ^= 1;

    return 1;
}


int
s3_mock_lose_blob(s3_mock_t *m, const uint8_t id[16])
{
    s3_blob_t *b;

    b = s3_mock_blob(m, id);

    if (b) {
        s3_mock_blob_free(m, b);
    }

    return b != NULL;
}


unsigned
s3_mock_blobs(s3_mock_t *m)
{
    unsigned n = 0;
    s3_blob_t *b;

    for (b = m->blobs; b; b = b->next) {
        n++;
    }

    return n;
}


unsigned
s3_mock_notes(s3_mock_t *m)
{
    size_t i;
    unsigned n = 0;

    for (i = 0; i < m->n_keys; i++) {
        n += m->keys[i].bucket == S3_BUCKET_NOTES && m->keys[i].n;
    }

    return n;
}


const s3_entry_t *
s3_mock_entry(s3_mock_t *m, uint64_t bucket, s3_str_t key,
              const s3_version_t *version)
{
    s3_mock_entry_t *e;

    e = s3_mock_version(s3_mock_find(m, bucket, key), version);

    return e ? &e->rec.entry : NULL;
}


const s3_entry_t *
s3_mock_newest(s3_mock_t *m, uint64_t bucket, s3_str_t key)
{
    s3_mock_key_t *k;

    k = s3_mock_find(m, bucket, key);

    return k && k->n ? &k->e[0].rec.entry : NULL;
}


void
s3_mock_dump(s3_mock_t *m, uint64_t bucket, s3_str_t key)
{
    unsigned i;
    const s3_entry_t *e;
    s3_mock_key_t *k;

    k = s3_mock_find(m, bucket, key);
    printf("drive %u, floor %llu:", m->index,
           (unsigned long long) m->floor.time);

    for (i = 0; k && i < k->n; i++) {
        e = &k->e[i].rec.entry;
        printf(" [kind %u %llu/%08x%s voters %x holders %x need %u]", e->kind,
               (unsigned long long) e->version.time, (unsigned) e->version.rand,
               e->flags & S3_F_CONFIRMED ? " confirmed" : "", e->voters,
               e->holders, e->need);
    }

    for (i = 0; k && i < k->n_ring; i++) {
        printf(" (%llu/%08x)", (unsigned long long) k->ring[i].time,
               (unsigned) k->ring[i].rand);
    }

    printf("\n");
}


int
s3_mock_collect(s3_mock_t **drives, unsigned n, uint64_t bucket, s3_str_t key,
                uint32_t mask)
{
    unsigned i;
    s3_version_t v;
    s3_mock_key_t *k;
    s3_mock_entry_t *e;

    memset(&v, 0, sizeof(v));

    for (i = 0; i < n; i++) {
        k = s3_mock_find(drives[i], bucket, key);

        if (k == NULL || k->n == 0) {
            return 0;
        }

        e = &k->e[0];

        if (e->rec.entry.kind != S3_KIND_TOMBSTONE
            || !(e->rec.entry.flags & S3_F_CONFIRMED)
            || (i && s3_version_cmp(&v, &e->rec.entry.version) != 0))
        {
            return 0;
        }

        v = e->rec.entry.version;
    }

    for (i = 0; i < n; i++) {
        if (s3_version_cmp(&drives[i]->floor, &v) < 0) {
            drives[i]->floor = v;
        }
    }

    for (i = 0; i < n; i++) {
        if (!(mask & 1u << i)) {
            continue;
        }

        k = s3_mock_find(drives[i], bucket, key);
        k->ring = s3_mock_need(
            realloc(k->ring, (k->n_ring + 1) * sizeof(k->ring[0])));
        k->ring[k->n_ring++] = v;

        while (k->n) {
            s3_mock_remove(k, 0);
        }
    }

    return 1;
}
