/*
 * "where": what each drive has of a key, and where its shards lie.
 */

#include <inttypes.h>
#include <stdlib.h>

#include "s3ctl/check.h"
#include "storage/s3_blob.h"
#include "storage/s3_store_int.h"


typedef struct {
    s3ctl_drive_t *drive; /* NULL: was not given */
    s3ctl_index_t ix;
    int rc; /* of the index */
    s3_entry_t *entries;
    unsigned n;
} s3ctl_site_t;

typedef struct {
    s3ctl_t *ctl;
    const s3_format_t *format;
    s3_place_t place;
    uint64_t bucket;
    unsigned slot;
    s3_version_t newest; /* confirmed on some drive */
    s3ctl_seen_t seen;   /* blobs shown */
    unsigned problems;
    s3ctl_site_t sites[S3_MAX_DRIVES];
} s3ctl_where_t;


static void
s3ctl_where_open(s3ctl_where_t *w)
{
    unsigned i;
    s3ctl_site_t *s;

    for (i = 0; i < w->format->drives; i++) {
        s = &w->sites[i];
        s->drive = s3ctl_place(w->ctl, i);
        s->rc = S3_EUNAVAIL;

        if (s->drive) {
            s->rc =
                s3ctl_index_open(&s->ix, s->drive->fs, w->ctl, s->drive->path);
        }
    }
}


/* By the newest record of that name on any of the drives. */

static int
s3ctl_where_bucket(s3ctl_where_t *w)
{
    int rc;
    unsigned i;
    uint64_t id;
    s3_version_t version, newest;
    const char *name = w->ctl->bucket;

    rc = s3ctl_bucket_id(name, &w->bucket);

    if (rc != S3_ENOENT) {
        return rc;
    }

    newest = s3_version_none;

    for (i = 0; i < w->format->drives; i++) {
        if (w->sites[i].rc == S3_OK
            && s3ctl_index_bucket(&w->sites[i].ix, s3_str(name, strlen(name)),
                                  &id, &version)
                   == S3_OK
            && s3_version_cmp(&version, &newest) > 0)
        {
            newest = version;
            w->bucket = id;
            rc = S3_OK;
        }
    }

    return rc;
}


static void
s3ctl_where_find(s3ctl_where_t *w)
{
    unsigned i, j;
    s3_entry_t *e;
    s3ctl_site_t *s;

    for (i = 0; i < w->format->drives; i++) {
        s = &w->sites[i];

        if (s->rc != S3_OK) {
            continue;
        }

        s->rc = s3ctl_index_find(&s->ix, w->bucket, w->ctl->key, &s->entries,
                                 &s->n);

        for (j = 0; j < s->n; j++) {
            e = &s->entries[j];

            if (e->flags & S3_F_CONFIRMED
                && s3_version_cmp(&e->version, &w->newest) > 0) {
                w->newest = e->version;
            }
        }
    }
}


/* Shards of one blob, in their order. */

static void
s3ctl_where_blob(s3ctl_where_t *w, const s3_entry_t *e, const s3_ref_t *ref)
{
    int drive, shard;
    unsigned rank, whole;
    uint64_t bytes;
    char path[S3_BLOB_PATH];
    const char *state;
    s3ctl_site_t *s;
    const s3ctl_t *ctl = w->ctl;

    if (s3ctl_seen_add(&w->seen, ref->id) == 0) {
        return;
    }

    s3_blob_path(path, ref->id);

    for (rank = 0, whole = 0;; rank++) {
        drive = s3_place_drive(&w->place, ref->slot, ref->mask, rank);

        if (drive < 0) {
            break;
        }

        s = &w->sites[drive];
        shard = s3ctl_shard(&w->place, ref, (unsigned) drive, &bytes);
        state = s->drive ? s3ctl_shard_state(s->drive->fs, ref, shard, bytes)
                         : "not-given";
        whole += strcmp(state, "whole") == 0;

        if (s->drive && strcmp(state, "whole") != 0
            && s3ctl_holds(e, (unsigned) drive)) {
            w->problems++;
        }

        s3ctl_begin(ctl, "shard");
        s3ctl_hex(ctl, "blob", ref->id, 16);
        s3ctl_number(ctl, "shard", rank);
        s3ctl_number(ctl, "drive", (unsigned) drive);
        s3ctl_text(ctl, "file", path);
        s3ctl_number(ctl, "bytes", bytes);
        s3ctl_text(ctl, "state", state);
        s3ctl_end(ctl);
    }

    s3ctl_begin(ctl, "blob");
    s3ctl_version(ctl, "of", &e->version);
    s3ctl_ref(ctl, ref);
    s3ctl_number(ctl, "shards", rank);
    s3ctl_number(ctl, "whole", whole);
    s3ctl_end(ctl);
}


static void
s3ctl_where_refs(s3ctl_where_t *w, const s3_entry_t *e, s3_str_t refs)
{
    size_t i;
    s3_ref_t ref;

    for (i = 0; i + S3_REF_SIZE <= refs.len; i += S3_REF_SIZE) {
        if (s3_ref_decode(refs.data + i, &ref) == S3_OK && ref.size) {
            s3ctl_where_blob(w, e, &ref);
        }
    }
}


/* One entry of a drive, with its record. */

static void
s3ctl_where_entry(s3ctl_where_t *w, s3ctl_site_t *s, const s3_entry_t *e)
{
    int rc;
    void *buf;
    s3_record_t r;
    s3ctl_t *ctl = w->ctl;

    rc = s3ctl_record(s->drive->fs, w->bucket, ctl->key, e, &r, &buf);

    s3ctl_begin(ctl, "entry");
    s3ctl_number(ctl, "drive", s->drive->format.position);
    s3ctl_entry(ctl, e);
    s3ctl_text(ctl, "record",
               rc == S3_OK         ? "whole"
               : rc == S3_EFOREIGN ? "another"
               : rc == S3_ENOENT   ? "missing"
               : rc == S3_ECORRUPT ? "damaged"
                                   : "unreadable");

    if (rc == S3_OK && r.data.len) {
        s3ctl_number(ctl, "data", r.data.len);
    }

    s3ctl_end(ctl);

    if (rc != S3_OK) {
        w->problems++;
        return;
    }

    if (e->kind == S3_KIND_OBJECT && e->layout == S3_LAYOUT_BLOBS) {
        s3ctl_where_refs(w, e, r.refs);
    }

    free(buf);
}


static void
s3ctl_where_site(s3ctl_where_t *w, unsigned rank)
{
    unsigned i, drive, has;
    const char *state;
    s3ctl_site_t *s;
    s3ctl_t *ctl = w->ctl;

    drive = w->place.order[w->slot][rank];
    s = &w->sites[drive];

    for (i = 0, has = 0; i < s->n; i++) {
        has |= s3_version_cmp(&s->entries[i].version, &w->newest) == 0;
    }

    state = s->drive == NULL                       ? "not-given"
            : s->rc != S3_OK && s->rc != S3_ENOENT ? "unreadable"
            : has                                  ? "has-it"
            : s3_version_is_none(&w->newest)       ? "nothing-confirmed"
                                                   : "lacks-it";

    if (s->drive && s->rc != S3_OK && s->rc != S3_ENOENT) {
        s3ctl_say("%s: %s", s->drive->path, s3_strerror(s->rc));
        w->problems++;
    }

    s3ctl_begin(ctl, "drive");
    s3ctl_number(ctl, "drive", drive);
    s3ctl_number(ctl, "rank", rank);
    s3ctl_text(ctl, "path", s->drive ? s->drive->path : "");
    s3ctl_text(ctl, "state", state);
    s3ctl_number(ctl, "entries", s->n);
    s3ctl_end(ctl);

    for (i = 0; i < s->n; i++) {
        s3ctl_where_entry(w, s, &s->entries[i]);
    }
}


static int
s3ctl_where_show(s3ctl_where_t *w)
{
    unsigned i, found;
    s3ctl_t *ctl = w->ctl;

    w->slot = s3_place_slot(&w->place, w->bucket, ctl->key);
    s3ctl_where_find(w);

    s3ctl_begin(ctl, "key");
    s3ctl_id(ctl, "bucket", w->bucket);
    s3ctl_bytes(ctl, "key", ctl->key);
    s3ctl_number(ctl, "slot", w->slot);
    s3ctl_version(ctl, "newest", &w->newest);
    s3ctl_end(ctl);

    for (i = 0, found = 0; i < w->format->drives; i++) {
        s3ctl_where_site(w, i);
        found += w->sites[i].n;
    }

    if (found == 0) {
        s3ctl_say("no drive knows this key");
    }

    return found == 0 || w->problems ? S3CTL_FOUND : S3CTL_FINE;
}


int
s3ctl_where(s3ctl_t *ctl)
{
    int rc, status;
    unsigned i;
    s3ctl_where_t *w;

    w = calloc(1, sizeof(*w));
    if (w == NULL) {
        return S3CTL_FAILED;
    }

    w->ctl = ctl;
    w->format = ctl->format;
    s3_place_init(&w->place, w->format->drives, s3_get64(w->format->store));

    s3ctl_where_open(w);
    rc = s3ctl_where_bucket(w);

    if (rc == S3_OK) {
        status = s3ctl_where_show(w);

    } else {
        s3ctl_say(rc == S3_ENOENT ? "no drive knows bucket \"%s\""
                                  : "\"%s\" is no bucket id",
                  ctl->bucket);
        status = rc == S3_ENOENT ? S3CTL_FOUND : S3CTL_FAILED;
    }

    for (i = 0; i < S3_MAX_DRIVES; i++) {
        s3ctl_index_close(&w->sites[i].ix);
        free(w->sites[i].entries);
    }

    free(w->seen.ids);
    free(w->seen.used);
    free(w);

    return status;
}
