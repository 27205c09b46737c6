/*
 * "check": what the index has, down to the last unit of a blob.
 */

#include <inttypes.h>
#include <stdlib.h>

#include "s3ctl/check.h"
#include "storage/s3_blob.h"
#include "storage/s3_store_int.h"


int
s3ctl_shard(const s3_place_t *place, const s3_ref_t *ref, unsigned drive,
            uint64_t *bytes)
{
    uint64_t stripes, size;

    *bytes = 0;

    if (ref->k == 0 || ref->size == 0) {
        return -1;
    }

    size = s3_stripe_size(ref->k);
    stripes = (ref->size - 1) / size;
    *bytes = stripes * S3_BLOB_PAYLOAD
             + s3_stripe_unit(ref->k, ref->size - stripes * size);

    return s3_place_rank(place, ref->slot, ref->mask, drive);
}


static void
s3ctl_blob_problem(s3ctl_blob_t *b, uint64_t off, const char *why)
{
    b->bad++;

    if (b->problem) {
        b->problem(b->ctx, off, why);
    }
}


/* Unit `number` of the file; 0: it was the last one. */

static int
s3ctl_blob_unit(s3ctl_blob_t *b, const uint8_t id[16], uint64_t number,
                const uint8_t *buf, size_t len)
{
    int rc;
    uint64_t off;
    s3_blob_unit_t unit;

    off = number * S3_BLOB_UNIT;
    rc = s3_blob_unit_decode(buf, len, &unit);

    if (rc != S3_OK) {
        s3ctl_blob_problem(b, off,
                           rc == S3_EVERSION
                               ? s3_strerror(rc)
                               : "the unit's checksum does not hold");
        return off + len < b->size;
    }

    if (memcmp(unit.id, id, 16) != 0) {
        s3ctl_blob_problem(b, off, "the unit is of another blob");

    } else if (unit.block != number) {
        s3ctl_blob_problem(b, off, "the unit belongs elsewhere in the blob");

    } else if (b->shard >= 0 && unit.shard != b->shard) {
        s3ctl_blob_problem(b, off, "the unit is of another shard");

    } else {
        b->shard = unit.shard;
        b->k = unit.k;
    }

    b->units++;
    b->bytes += unit.length;

    if (!unit.last) {
        if (off + S3_BLOB_UNIT >= b->size) {
            s3ctl_blob_problem(b, off, "units are missing after this one");
        }

        return 1;
    }

    if (off + s3_blob_unit_size(unit.length) != b->size) {
        s3ctl_blob_problem(b, off,
                           "the file goes on after the last unit, or "
                           "ends in it");
    }

    return 0;
}


int
s3ctl_blob(s3_fs_t *fs, const uint8_t id[16], s3ctl_blob_t *b)
{
    int rc;
    ssize_t n;
    uint8_t *buf;
    uint64_t number, off;
    char path[S3_BLOB_PATH];
    s3_file_t *f;

    b->shard = -1;
    b->size = b->units = b->bytes = 0;
    b->k = b->bad = 0;

    s3_blob_path(path, id);
    rc = fs->open(fs, path, S3_O_READ, &f);
    if (rc != S3_OK) {
        return rc;
    }

    buf = malloc(S3_BLOB_UNIT);
    rc = buf ? fs->size(fs, f, &b->size) : S3_ENOMEM;

    if (rc == S3_OK && b->size == 0) {
        s3ctl_blob_problem(b, 0, "the file is empty");
    }

    for (number = 0; rc == S3_OK; number++) {
        off = number * S3_BLOB_UNIT;

        if (off >= b->size) {
            break;
        }

        n = fs->pread(fs, f, buf, S3_BLOB_UNIT, off);

        if (n < 0) {
            s3ctl_blob_problem(b, off, s3_strerror((int) n));
            continue;
        }

        if (!s3ctl_blob_unit(b, id, number, buf, (size_t) n)) {
            break;
        }
    }

    fs->close(fs, f);
    free(buf);

    return rc;
}


const char *
s3ctl_shard_state(s3_fs_t *fs, const s3_ref_t *ref, int shard, uint64_t bytes)
{
    int rc;
    s3ctl_blob_t b;

    memset(&b, 0, sizeof(b));
    rc = s3ctl_blob(fs, ref->id, &b);

    return rc == S3_ENOENT                                 ? "missing"
           : rc != S3_OK                                   ? "unreadable"
           : b.bad || b.shard != shard || b.bytes != bytes ? "damaged"
                                                           : "whole";
}


/* Ids are random: their bytes are the hash. */

int
s3ctl_seen_add(s3ctl_seen_t *seen, const uint8_t id[16])
{
    size_t i, room;
    s3ctl_seen_t grown;

    if (2 * seen->n >= seen->room) {
        room = seen->room ? seen->room * 2 : 1024;
        memset(&grown, 0, sizeof(grown));
        grown.room = room;
        grown.ids = calloc(room, sizeof(*grown.ids));
        grown.used = calloc(room, 1);

        if (grown.ids == NULL || grown.used == NULL) {
            free(grown.ids);
            free(grown.used);
            return S3_ENOMEM;
        }

        for (i = 0; i < seen->room; i++) {
            if (seen->used[i]) {
                (void) s3ctl_seen_add(&grown, seen->ids[i]);
            }
        }

        free(seen->ids);
        free(seen->used);
        *seen = grown;
    }

    i = (size_t) s3_get64(id) & (seen->room - 1);

    while (seen->used[i]) {
        if (memcmp(seen->ids[i], id, 16) == 0) {
            return 0;
        }

        i = (i + 1) & (seen->room - 1);
    }

    memcpy(seen->ids[i], id, 16);
    seen->used[i] = 1;
    seen->n++;

    return 1;
}


static void
s3ctl_check_unit(void *ctx, uint64_t off, const char *why)
{
    s3ctl_check_t *c = ctx;

    s3ctl_problem(c, c->file, (int64_t) off, "%s", why);
}


static int
s3ctl_check_file(s3ctl_check_t *c, const uint8_t id[16], s3ctl_blob_t *b)
{
    int rc;
    char path[S3_BLOB_PATH];

    s3_blob_path(path, id);
    snprintf(c->file, sizeof(c->file), "%s", path);

    memset(b, 0, sizeof(*b));
    b->problem = s3ctl_check_unit;
    b->ctx = c;
    rc = s3ctl_blob(c->fs, id, b);

    if (rc == S3_OK) {
        c->blobs++;
        c->units += b->units;
        c->bytes += b->bytes;
    }

    return rc;
}


/* A blob that a record lists. */

static void
s3ctl_check_ref(s3ctl_check_t *c, const s3_entry_t *e, s3_str_t key,
                const s3_ref_t *ref)
{
    int rc, shard;
    uint64_t bytes;
    char name[160];
    s3ctl_blob_t b;
    unsigned drive = c->drive->format.position;

    shard = s3ctl_shard(&c->place, ref, drive, &bytes);

    if (shard < 0 || s3ctl_seen_add(&c->seen, ref->id) == 0) {
        return;
    }

    rc = s3ctl_check_file(c, ref->id, &b);
    s3ctl_escape(name, sizeof(name), key);

    if (rc == S3_ENOENT && !s3ctl_holds(e, drive)) {
        s3ctl_note(c, c->file,
                   "not here: the drive was away when \"%s\" was "
                   "written",
                   name);

    } else if (rc != S3_OK) {
        s3ctl_problem(c, c->file, -1, "%s; shard %d of \"%s\"",
                      rc == S3_ENOENT ? "is missing" : s3_strerror(rc), shard,
                      name);

    } else if (b.bad == 0 && (b.shard != shard || b.bytes != bytes)) {
        s3ctl_problem(c, c->file, -1,
                      "has %" PRIu64 " bytes of shard %d, not %" PRIu64
                      " of shard %d of \"%s\"",
                      b.bytes, b.shard, bytes, shard, name);
    }
}


static void
s3ctl_check_entry(s3ctl_check_t *c, uint64_t bucket, s3_str_t key,
                  const s3_entry_t *e)
{
    int rc;
    size_t i;
    void *buf;
    char name[160], file[32];
    s3_ref_t ref;
    s3_record_t r;

    rc = s3ctl_record(c->fs, bucket, key, e, &r, &buf);

    if (rc != S3_OK) {
        snprintf(file, sizeof(file), "log/%08x.seg", (unsigned) e->segment);
        s3ctl_problem(c, file, e->offset,
                      "record of \"%s\" in bucket id:%" PRIx64 " (%s): %s",
                      s3ctl_escape(name, sizeof(name), key), bucket,
                      s3ctl_kind(e->kind),
                      rc == S3_EFOREIGN ? "another record is there"
                      : rc == S3_ENOENT ? "the segment is missing"
                                        : s3_strerror(rc));
        return;
    }

    c->live++;

    for (i = 0;
         c->placed && e->kind == S3_KIND_OBJECT && e->layout == S3_LAYOUT_BLOBS
         && i + S3_REF_SIZE <= r.refs.len;
         i += S3_REF_SIZE)
    {
        if (s3_ref_decode(r.refs.data + i, &ref) == S3_OK) {
            s3ctl_check_ref(c, e, key, &ref);
        }
    }

    free(buf);
}


void
s3ctl_check_index(s3ctl_check_t *c)
{
    int rc;
    unsigned i;
    s3_merge_t m;
    s3ctl_index_t ix;

    if (c->manifest_rc != S3_OK) {
        return;
    }

    rc = s3ctl_index_open(&ix, c->fs, c->ctl, c->drive->path);

    if (rc != S3_OK) {
        s3ctl_problem(c, "index", -1,
                      "cannot be used: %s; what the log has "
                      "for its entries was not looked at",
                      s3_strerror(rc));
        return;
    }

    rc = s3ctl_index_merge(&ix, &m, 0, s3_null_str);

    while (rc == S3_OK && (rc = s3_merge_next(&m)) == S3_OK) {
        for (i = 0; i < m.n; i++) {
            s3ctl_check_entry(c, m.bucket, m.key, &m.entries[i]);
        }
    }

    s3_merge_done(&m);
    s3ctl_index_close(&ix);

    if (rc != S3_DONE) {
        s3ctl_problem(c, "index", -1, "cannot be read to its end: %s",
                      s3_strerror(rc));
    }
}


/* One directory of blob/. */

static int
s3ctl_check_name(void *ctx, const char *name)
{
    int rc;
    uint8_t id[16];
    char path[S3_BLOB_PATH];
    s3ctl_blob_t b;
    s3ctl_check_t *c = ctx;

    if (s3_blob_parse_name(name, id) != S3_OK) {
        return S3_OK;
    }

    s3_blob_path(path, id);

    if (strncmp(path, c->file, 7) != 0) {
        return S3_OK; /* in a directory where nobody looks for it */
    }

    rc = s3ctl_seen_add(&c->seen, id);

    if (rc == 1) {
        c->unlisted++;
        rc = s3ctl_check_file(c, id, &b);
        c->file[7] = '\0'; /* the directory again */

        if (rc != S3_OK) {
            s3ctl_problem(c, path, -1, "%s", s3_strerror(rc));
        }
    }

    return rc == S3_ENOMEM ? rc : S3_OK;
}


void
s3ctl_check_blobs(s3ctl_check_t *c)
{
    int rc;
    unsigned i;
    char dir[16];

    for (i = 0; i < 256; i++) {
        snprintf(dir, sizeof(dir), "blob/%02x", i);
        snprintf(c->file, sizeof(c->file), "%s", dir);
        rc = c->fs->list(c->fs, dir, s3ctl_check_name, c);

        if (rc != S3_OK && rc != S3_ENOENT) {
            s3ctl_problem(c, dir, -1, "%s", s3_strerror(rc));
        }
    }
}
