#include "storage/s3_heal_int.h"
#include "storage/s3_upload.h"

#include <stdlib.h>


/*
 * An object written while drives were away has less parity than it should, and
 * what a version says of drives and shards never changes.  So it is written
 * again, as a new version that shows the same:
 *
 *   ref 0 ──► keeps
 *   ref 1 ──► reader ──► writer ──► new ref 1'     one at a time
 *   ref 2 ──► keeps
 *             put (entry, meta, [0, 1', 2]), if the old version is the newest
 *
 * The old blobs go as those of any predecessor do.  A part's old blob stays,
 * for a completion under way may have listed it; it is found as a leak later.
 *
 * The put does not ask whether the bucket's generation is closed: it replaces
 * a live object and can't make an empty bucket hold one.
 */

/* No record lists the new blobs before the end: they must not get as old as
 * what the scrub takes for a leak.  What takes longer would the next time,
 * too: that is no failure, and the scrub alone tries it again. */
#define S3_RECODE_MAX (12 * 60 * 60 * 1000ULL) /* ms */


struct s3_recode_s {
    s3_store_t *store;
    s3_object_t *object;
    void (*done)(void *ctx, int rc, const s3_version_t *made);
    void *ctx;

    s3_ref_t *refs;
    unsigned n_refs;
    unsigned ref;   /* the one being copied */
    uint32_t *made; /* by ref: drives of its new blob, 0 where it stays */
    s3_version_t origin;
    s3_version_t version; /* what has come of it */
    uint64_t began;       /* ms */

    s3_object_t *part; /* of the reader: one reference */
    s3_reader_t *reader;
    s3_writer_t *writer;
    unsigned slice;
    size_t taken; /* of the slice */
    unsigned pumping : 1;
    unsigned waiting : 1; /* for the reader, or the writer */

    s3_put_t put;
};


static void s3_recode_next(s3_recode_t *rec);
static void s3_recode_pump(s3_recode_t *rec);


/* Shards that may be lost of what is written now; k of them hold it. */

static unsigned
s3_recode_spare(s3_store_t *store, unsigned storage_class)
{
    unsigned m, up;

    m = s3_store_parity(store, storage_class);
    up = s3_count(s3_store_voters(store, 0));

    if (m == 0 || up < store->w || up < 2) {
        return 0;
    }

    return up - s3_min(store->n - m, up - 1);
}


/* A drive that failed while the blob was written is in its mask, but not among
 * those that the version counts on, whatever is repaired there. */

static int
s3_recode_ref_gain(s3_store_t *store, unsigned spare, const s3_entry_t *e,
                   const s3_ref_t *ref)
{
    unsigned have = s3_count(ref->mask & e->holders);

    if (have < ref->k) {
        have = s3_count(ref->mask);
    }

    return ref->size && s3_ref_stripes(store, ref) && spare > have - ref->k;
}


int
s3_recode_gain(s3_store_t *store, const s3_entry_t *e, s3_str_t refs)
{
    size_t i;
    unsigned spare;
    s3_ref_t ref;

    if (e->kind != S3_KIND_OBJECT || e->flags & S3_F_TIED) {
        return 0;
    }

    spare = s3_recode_spare(store, e->storage_class);

    switch (e->layout) {

    case S3_LAYOUT_COPIES:
        return spare && spare + 1 > s3_count(e->holders)
               && s3_count(e->holders)
                      < s3_store_parity(store, e->storage_class) + 1;

    case S3_LAYOUT_INLINE:
        return s3_count(e->holders) >= e->need
               && spare > s3_count(e->holders) - e->need;

    case S3_LAYOUT_BLOBS:
        for (i = 0; i + S3_REF_SIZE <= refs.len; i += S3_REF_SIZE) {
            if (s3_ref_decode(refs.data + i, &ref) == S3_OK
                && s3_recode_ref_gain(store, spare, e, &ref))
            {
                return 1;
            }
        }

        return 0;

    default:
        return 0;
    }
}


static void
s3_recode_free(s3_recode_t *rec, int rc)
{
    void (*done)(void *ctx, int rc, const s3_version_t *made) = rec->done;
    void *ctx = rec->ctx;
    s3_version_t made = rec->version;

    s3_object_release(rec->object);
    s3_store_release(rec->store);
    free(rec->refs);
    free(rec->made);
    free(rec);

    done(ctx, rc, &made);
}


/* New blobs that no record lists are taken back; nobody waits for that. */

static void
s3_recode_removed(s3_req_t *req)
{
    s3_blob_req_t *blob = s3_container(req, s3_blob_req_t, req);
    s3_store_t *store = req->ctx;

    free(blob);
    s3_store_release(store);
}


static void
s3_recode_remove(s3_recode_t *rec)
{
    unsigned i, d;
    uint32_t left;
    s3_drive_t *drive;
    s3_blob_req_t *blob;

    for (i = 0; i < rec->n_refs; i++) {
        for (left = rec->made[i]; left; left &= left - 1) {
            d = s3_lowest(left);

            blob = calloc(1, sizeof(s3_blob_req_t));
            if (blob == NULL) {
                continue;
            }

            rec->store->refs++;
            blob->req.done = s3_recode_removed;
            blob->req.ctx = rec->store;
            blob->req.drive = d;
            memcpy(blob->id, rec->refs[i].id, 16);
            drive = rec->store->conf.drives[d];
            drive->ops->blob_remove(drive, blob);
        }
    }
}


static void
s3_recode_end(s3_recode_t *rec, int rc)
{
    if (rec->reader) {
        s3_reader_close(rec->reader);
    }

    if (rec->writer) {
        s3_writer_close(rec->writer);
    }

    s3_object_release(rec->part);

    if (rc != S3_OK && rc != S3_EDOUBT) {
        s3_recode_remove(rec);
    }

    s3_recode_free(rec, rc);
}


/* The new version. */

static int
s3_recode_all_made(const s3_recode_t *rec)
{
    unsigned i;

    for (i = 0; i < rec->n_refs; i++) {
        if (rec->refs[i].size && rec->made[i] == 0) {
            return 0;
        }
    }

    return 1;
}


static void
s3_recode_put_done(s3_put_t *put)
{
    s3_recode_t *rec = put->ctx;

    if (put->rc == S3_OK && s3_recode_all_made(rec)) {
        rec->version = put->version;
    }

    s3_recode_end(rec, put->rc == S3_EPRECOND ? S3_ECONFLICT : put->rc);
}


static int
s3_recode_test(s3_put_t *put, const s3_entry_t *current)
{
    s3_recode_t *rec = put->ctx;

    return current
                   && s3_version_cmp(&current->version,
                                     &rec->object->entry.version)
                          == 0
               ? S3_OK
               : S3_EPRECOND;
}


static void
s3_recode_put(s3_recode_t *rec)
{
    s3_put_t *put;
    const s3_record_t *r;

    r = &rec->object->record;
    put = &rec->put;
    put->store = rec->store;
    put->bucket = r->bucket;
    put->generation = S3_ANY_GENERATION;
    put->key = r->key;
    put->entry = rec->object->entry;
    put->entry.flags = 0;
    put->meta = r->meta;
    put->test = s3_recode_test;
    put->done = s3_recode_put_done;
    put->ctx = rec;

    if (put->bucket >= S3_BUCKET_FIRST) {

        if ((put->bucket & 3) == S3_SPACE_OBJECTS) {
            rec->origin = s3_entry_origin(&rec->object->entry);
            put->origin = &rec->origin;
        }

        if ((put->bucket & 3) == S3_SPACE_PARTS) {
            put->entry.flags = S3_F_KEEP;

            if (rec->n_refs != 1
                || s3_upload_part_again(&put->entry, &rec->refs[0]) != S3_OK)
            {
                s3_recode_end(rec, S3_ECORRUPT);
                return;
            }
        }
    }

    if (rec->object->entry.layout != S3_LAYOUT_BLOBS) {
        put->object = rec->object;

    } else {
        put->refs = rec->refs;
        put->n_refs = rec->n_refs;
    }

    s3_store_put(put);
}


/* One reference: bytes from the reader to the writer. */

static void
s3_recode_finished(s3_writer_t *w)
{
    s3_recode_t *rec = w->ctx;
    s3_writer_result_t result;

    if (w->rc != S3_OK) {
        s3_recode_end(rec, w->rc);
        return;
    }

    s3_writer_result(w, &result);

    /* a drive that was lost on the way: what comes of it gains nothing */

    if (result.alive != w->ref.mask || w->ref.size != rec->refs[rec->ref].size)
    {
        s3_recode_end(rec, S3_EUNAVAIL);
        return;
    }

    rec->refs[rec->ref] = w->ref;
    rec->made[rec->ref] = w->ref.mask;
    rec->writer = NULL;

    s3_writer_pin(w);
    s3_writer_unpin(w, 1);
    s3_writer_close(w);

    s3_reader_close(rec->reader);
    rec->reader = NULL;
    s3_object_release(rec->part);
    rec->part = NULL;

    rec->ref++;
    s3_recode_next(rec);
}


static void
s3_recode_ready(s3_reader_t *reader)
{
    s3_recode_t *rec = reader->ctx;

    rec->slice = 0;
    rec->taken = 0;
    rec->waiting = 0;
    s3_recode_pump(rec);
}


static void
s3_recode_writable(s3_writer_t *w)
{
    s3_recode_t *rec = w->ctx;

    rec->waiting = 0;
    s3_recode_pump(rec);
}


/* Slices at hand go to the writer: 1 all, 0 it has to be waited for. */

static int
s3_recode_feed(s3_recode_t *rec)
{
    ssize_t n;
    s3_str_t *s;

    while (rec->slice < rec->reader->n) {
        s = &rec->reader->slices[rec->slice];

        if (rec->taken == s->len) {
            rec->slice++;
            rec->taken = 0;
            continue;
        }

        rec->waiting = 1;
        n = s3_writer_write(rec->writer, s->data + rec->taken,
                            s->len - rec->taken);
        if (n < 0) {
            return (int) n;
        }

        rec->taken += (size_t) n;

        if (rec->taken < s->len) {
            return 0;
        }

        rec->waiting = 0;
    }

    return 1;
}


/* Answers may come inside of the calls: they only clear `waiting` then. */

static void
s3_recode_pump(s3_recode_t *rec)
{
    int rc;

    if (rec->pumping) {
        return;
    }

    rec->pumping = 1;
    rc = S3_OK;

    while (!rec->waiting && rc == S3_OK) {
        if (rec->store->closed) {
            rc = S3_EUNAVAIL;
            break;
        }

        if (rec->reader->rc != S3_OK) {
            rc = rec->reader->rc;
            break;
        }

        rc = s3_recode_feed(rec);

        if (rc == 1) {
            rec->waiting = 1;
            rec->reader->n = 0;
            s3_reader_next(rec->reader);
            rc = S3_OK;
        }
    }

    rec->pumping = 0;

    if (rc == S3_DONE) {
        s3_writer_finish(rec->writer);

    } else if (rc != S3_OK) {
        s3_recode_end(rec, rc);
    }
}


static int
s3_recode_copy(s3_recode_t *rec)
{
    s3_ref_t *ref;
    s3_object_t *part;
    const s3_record_t *r;

    ref = &rec->refs[rec->ref];
    r = &rec->object->record;

    part = calloc(1, sizeof(s3_object_t));
    if (part == NULL) {
        return S3_ENOMEM;
    }

    part->refs = 1;
    part->bucket = r->bucket;
    part->entry = rec->object->entry;
    part->entry.size = ref->size;
    part->record.key = r->key;
    part->record.refs =
        s3_str(r->refs.data + (size_t) rec->ref * S3_REF_SIZE, S3_REF_SIZE);
    rec->part = part;

    rec->reader = s3_reader_open(rec->store, part, 0, ref->size);
    rec->writer = s3_writer_open(rec->store, r->bucket, r->key,
                                 rec->object->entry.storage_class,
                                 (int64_t) ref->size, S3_WRITER_BLOB);

    if (rec->reader == NULL || rec->writer == NULL) {
        return S3_ENOMEM;
    }

    rec->reader->ready = s3_recode_ready;
    rec->reader->ctx = rec;
    rec->writer->writable = s3_recode_writable;
    rec->writer->finished = s3_recode_finished;
    rec->writer->ctx = rec;

    rec->waiting = 0;
    s3_recode_pump(rec);

    return S3_OK;
}


static void
s3_recode_next(s3_recode_t *rec)
{
    int rc;
    unsigned spare;

    spare = s3_recode_spare(rec->store, rec->object->entry.storage_class);

    while (rec->ref < rec->n_refs
           && !s3_recode_ref_gain(rec->store, spare, &rec->object->entry,
                                  &rec->refs[rec->ref]))
    {
        rec->ref++;
    }

    if (rec->store->closed) {
        s3_recode_end(rec, S3_EUNAVAIL);
        return;
    }

    if (rec->store->loop->mono_ms(rec->store->loop) - rec->began
        > S3_RECODE_MAX) {
        s3_recode_end(rec, S3_DONE);
        return;
    }

    if (rec->ref == rec->n_refs) {
        s3_recode_put(rec);
        return;
    }

    rc = s3_recode_copy(rec);

    if (rc != S3_OK) {
        s3_recode_end(rec, rc);
    }
}


int
s3_recode_start(s3_store_t *store, s3_object_t *object,
                void (*done)(void *ctx, int rc, const s3_version_t *made),
                void *ctx)
{
    unsigned i;
    s3_recode_t *rec;
    const s3_record_t *r;

    rec = calloc(1, sizeof(s3_recode_t));
    if (rec == NULL) {
        return S3_ENOMEM;
    }

    r = &object->record;

    if (object->entry.layout == S3_LAYOUT_BLOBS) {
        rec->n_refs = (unsigned) (r->refs.len / S3_REF_SIZE);
    }

    rec->refs = calloc(rec->n_refs + 1, sizeof(s3_ref_t));
    rec->made = calloc(rec->n_refs + 1, sizeof(uint32_t));

    if (rec->refs == NULL || rec->made == NULL) {
        free(rec->refs);
        free(rec->made);
        free(rec);
        return S3_ENOMEM;
    }

    store->refs++;
    object->refs++;
    rec->store = store;
    rec->object = object;
    rec->done = done;
    rec->ctx = ctx;
    rec->began = store->loop->mono_ms(store->loop);

    for (i = 0; i < rec->n_refs; i++) {
        if (s3_ref_decode(r->refs.data + (size_t) i * S3_REF_SIZE,
                          &rec->refs[i])
            != S3_OK)
        {
            s3_recode_end(rec, S3_ECORRUPT);
            return S3_OK;
        }
    }

    s3_recode_next(rec);

    return S3_OK;
}
