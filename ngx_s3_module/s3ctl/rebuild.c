/*
 * "rebuild": the index again, from the log.
 *
 *   a MANIFEST without tables, all segments from their beginning
 *        │ recovery, in memory
 *        ▼
 *   index from the log ◄── compared ──► index that is there
 *        │                                   │ what is confirmed (see below)
 *        ├───────────────────────────────────┘
 *        ▼ --write
 *   tables, then MANIFEST, on the drive; then the old tables go
 *
 * What the log does not have.  Which segments count, and the floor: both are
 * in the MANIFEST; without one all segments count (an old record never hides a
 * newer one), and the floor is raised to the present, so that the drive says
 * "perhaps" of what it does not have.  That a version is confirmed, where the
 * CONFIRM lay in a segment that was cleaned: taken from the tables that can be
 * read; lost with them, it is found out again by asking the other drives.
 */

#include <inttypes.h>
#include <stdlib.h>

#include "s3ctl/loop.h"
#include "s3ctl/rebuild.h"
#include "storage/s3_segment.h"

#define S3CTL_SHOWN 100 /* differences */


/* A segment that counts, and is not there or was wiped. */

static int
s3ctl_rebuild_gone(s3ctl_rebuild_t *b, uint32_t id)
{
    int rc;
    s3_file_t *f;
    s3_segment_t seg;

    rc = s3_segment_open(b->fs, id, &f, &seg);

    if (rc == S3_OK) {
        b->fs->close(b->fs, f);
    }

    if (rc != S3_ENOENT && rc != S3_EFOREIGN) {
        return 0;
    }

    s3ctl_say("segment %08x is lost, with all records in it", (unsigned) id);
    b->lost++;

    return 1;
}


static int
s3ctl_rebuild_segments(s3ctl_rebuild_t *b, s3_manifest_t *m)
{
    int rc;
    size_t i, n;
    uint32_t *ids;
    s3_manifest_segment_t s;

    memset(&s, 0, sizeof(s));
    s.replay_from = S3_SEGMENT_START;

    if (b->was_rc == S3_OK) {
        for (i = 0, rc = S3_OK; i < b->was.n_segments && rc == S3_OK; i++) {
            s.id = b->was.segments[i].id;

            if (!s3ctl_rebuild_gone(b, s.id)) {
                rc = s3_manifest_add_segment(m, &s);
            }
        }

        return rc;
    }

    rc = s3ctl_files(b->fs, "log", &ids, &n);

    for (i = 0; i < n && rc == S3_OK; i++) {
        if (ids[i] == 0 || ids[i] >= UINT32_MAX / 2) {
            continue;
        }

        s.id = ids[i];
        rc = s3_manifest_add_segment(m, &s);
        m->next_segment_id = s3_max(m->next_segment_id, s.id + 1);
    }

    free(ids);

    return rc;
}


/* The MANIFEST to begin with, in memory. */

static int
s3ctl_rebuild_begin(s3ctl_rebuild_t *b)
{
    int rc;
    size_t i, n;
    uint32_t *ids;
    s3_manifest_t m;

    s3_manifest_init(&m);

    if (b->was_rc == S3_OK) {
        m.generation = b->was.generation;
        m.floor = b->was.floor;
        m.clock = b->was.clock;
        m.next_table_id = b->was.next_table_id;
        m.next_segment_id = b->was.next_segment_id;

    } else {
        m.generation = s3ctl_wall_us();
    }

    /* a number that a file has is not used for another one */
    rc = s3ctl_files(b->fs, S3_TABLE_DIR, &ids, &n);

    for (i = 0; i < n; i++) {
        if (ids[i] < UINT32_MAX / 2) {
            m.next_table_id = s3_max(m.next_table_id, ids[i] + 1);
        }
    }

    free(ids);

    if (rc == S3_OK || rc == S3_ENOENT) {
        rc = s3ctl_rebuild_segments(b, &m);
    }

    if (rc == S3_OK) {
        rc = s3_manifest_save(b->fs, &m);
    }

    s3_manifest_free(&m);

    return rc;
}


/* What is there: as a start would have it, or at least the tables. */

static int
s3ctl_rebuild_old(s3ctl_rebuild_t *b)
{
    int rc;
    unsigned bad;

    if (b->was_rc != S3_OK) {
        s3ctl_say("MANIFEST: %s: all segments are taken, no table is",
                  s3_strerror(b->was_rc));
        b->partial = 1;
        return S3_OK;
    }

    rc = s3ctl_index_open(&b->old, b->drive->fs, b->ctl, b->drive->path);

    if (rc == S3_OK || rc == S3_ENOMEM) {
        return rc;
    }

    b->partial = 1;

    return s3ctl_index_tables(&b->old, b->drive->fs, &b->was, &bad);
}


static int
s3ctl_rebuild_make(s3ctl_rebuild_t *b)
{
    int rc;

    b->was_rc = s3_manifest_load(b->drive->fs, &b->was);

    if (b->was_rc != S3_OK && b->was_rc != S3_ENOENT
        && b->was_rc != S3_ECORRUPT) {
        return b->was_rc;
    }

    rc = s3ctl_fs_open(b->drive->path, 0, &b->fs);

    if (rc == S3_OK) {
        rc = s3ctl_rebuild_begin(b);
    }

    if (rc == S3_OK) {
        rc = s3ctl_index_open(&b->log, b->fs, b->ctl, b->drive->path);
    }

    if (rc == S3_OK) {
        rc = s3_manifest_load(b->fs, &b->m);
    }

    return rc == S3_OK ? s3ctl_rebuild_old(b) : rc;
}


/* The end of the MANIFEST that is to be. */

static int
s3ctl_rebuild_manifest(s3ctl_rebuild_t *b, const s3_table_stats_t *added)
{
    unsigned i;
    s3_version_t now;
    s3_manifest_table_t t;

    if (added->entries) {
        t = (s3_manifest_table_t){added->id, added->bytes, added->entries};

        if (s3_manifest_add_table(&b->m, 0, &t) != S3_OK) {
            return S3_ENOMEM;
        }

        b->m.next_table_id = added->id + 1;
    }

    for (i = 0; i < b->m.n_segments; i++) {
        b->m.segments[i].live = 0;
    }

    for (i = 0; i < b->n_live; i++) {
        if (b->live[i].segment) {
            b->live[i].segment->live = b->live[i].bytes;
        }
    }

    /* what is not known to be all may have been more */

    if (b->was_rc != S3_OK || b->log.corrupt || b->lost) {
        now = (s3_version_t){s3_max(s3ctl_wall_us(), b->log.clock), UINT64_MAX,
                             UINT32_MAX};

        if (s3_version_cmp(&now, &b->m.floor) > 0) {
            b->m.floor = now;
        }
    }

    if (b->was.lost || b->log.corrupt || b->lost) {
        b->m.lost = 1;
    }

    return S3_OK;
}


/* Index against log. */

void
s3ctl_differs(s3ctl_rebuild_t *b, uint64_t bucket, s3_str_t key,
              const s3_entry_t *e, const char *what)
{
    const s3ctl_t *ctl = b->ctl;

    if (b->differences++ >= S3CTL_SHOWN) {
        return;
    }

    s3ctl_begin(ctl, "difference");
    s3ctl_text(ctl, "what", what);
    s3ctl_id(ctl, "bucket", bucket);
    s3ctl_bytes(ctl, "key", key);
    s3ctl_entry(ctl, e);
    s3ctl_end(ctl);
}


static void
s3ctl_rebuild_sum(s3ctl_rebuild_t *b)
{
    const s3ctl_t *ctl = b->ctl;

    s3ctl_begin(ctl, "rebuilt");
    s3ctl_text(ctl, "drive", b->drive->path);
    s3ctl_number(ctl, "segments", b->m.n_segments);
    s3ctl_number(ctl, "records", b->log.records);
    s3ctl_number(ctl, "damaged", b->log.corrupt);
    s3ctl_number(ctl, "lost", b->lost);
    s3ctl_number(ctl, "keys", b->keys);
    s3ctl_number(ctl, "entries", b->entries);
    s3ctl_number(ctl, "confirmed_by_tables", b->carried);
    s3ctl_number(ctl, "same", b->same);
    s3ctl_number(ctl, "lesser", b->lesser);
    s3ctl_number(ctl, "differences", b->differences);
    s3ctl_number(ctl, "tables", b->m.n_tables);
    s3ctl_text(ctl, "compared", b->partial ? "in-part" : "whole");
    s3ctl_text(ctl, "written", b->written ? "yes" : "no");
    s3ctl_end(ctl);
}


static int
s3ctl_rebuild_run(s3ctl_rebuild_t *b)
{
    int rc;
    s3_table_stats_t added;

    rc = s3ctl_rebuild_make(b);
    if (rc != S3_OK) {
        return rc;
    }

    rc = s3ctl_rebuild_compare(b, &added);

    if (rc == S3_OK) {
        rc = s3ctl_rebuild_manifest(b, &added);
    }

    if (rc == S3_OK && b->ctl->write) {
        rc = s3ctl_rebuild_write(b);
        b->written = rc == S3_OK;
    }

    if (rc == S3_OK) {
        s3ctl_rebuild_sum(b);
    }

    return rc;
}


int
s3ctl_rebuild(s3ctl_t *ctl)
{
    int rc, status;
    s3ctl_rebuild_t *b;

    if (ctl->write && ctl->drives[0].format_rc != S3_OK) {
        s3ctl_say("%s: format.json: %s: not written", ctl->drives[0].path,
                  s3_strerror(ctl->drives[0].format_rc));
        return S3CTL_FAILED;
    }

    b = calloc(1, sizeof(*b));
    if (b == NULL) {
        return S3CTL_FAILED;
    }

    b->ctl = ctl;
    b->drive = &ctl->drives[0];
    b->was_rc = S3_EIO;

    rc = s3ctl_rebuild_run(b);

    /* written anew, what was wrong is no more; damaged records still are */
    status = rc != S3_OK                                     ? S3CTL_FAILED
             : b->log.corrupt || b->lost                     ? S3CTL_FOUND
             : !b->written && (b->differences || b->partial) ? S3CTL_FOUND
                                                             : S3CTL_FINE;

    if (rc != S3_OK) {
        s3ctl_say("%s: %s", b->drive->path, s3_strerror(rc));
    }

    s3ctl_index_close(&b->old);
    s3ctl_index_close(&b->log);
    s3ctl_fs_close(b->fs);
    free(b->live);

    if (b->was_rc == S3_OK) {
        s3_manifest_free(&b->was);
    }

    if (b->m.version) {
        s3_manifest_free(&b->m);
    }

    free(b);

    return status;
}
