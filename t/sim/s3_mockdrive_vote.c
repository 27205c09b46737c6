#include "t/sim/s3_mockdrive_int.h"

#include <stdlib.h>


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


void
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


void
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


void
s3_mock_do_status(s3_mock_t *m, s3_req_t *req)
{
    s3_mark_t *mark = s3_container(req, s3_mark_t, req);

    req->answer =
        s3_mock_standing(m, s3_mock_find(m, mark->bucket, mark->key), mark);
}


void
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


void
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


void
s3_mock_do_dead(s3_mock_t *m, s3_req_t *req)
{
    s3_mark_t *mark = s3_container(req, s3_mark_t, req);

    s3_mock_kill(m, s3_mock_make(m, mark->bucket, mark->key), &mark->version);
    req->answer = S3_ANSWER_NO;
}


/* READ, FETCH */

unsigned
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


void
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


void
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


/* CLOSE, notes */

void
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


void
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


void
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
