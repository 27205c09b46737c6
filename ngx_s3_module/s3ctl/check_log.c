/*
 * "check": tables and log.
 */

#include <inttypes.h>
#include <stdlib.h>

#include "s3ctl/check.h"
#include "storage/s3_segment.h"
#include "storage/s3_table_read.h"


/* Every block by its checksum; *bad: how many do not hold. */

static int
s3ctl_table_blocks(s3ctl_check_t *c, s3_table_t *table, const char *file,
                   unsigned *bad)
{
    uint32_t i;
    ssize_t n;
    uint64_t off;
    uint8_t *buf;
    s3_table_block_t view;

    buf = malloc(S3_TABLE_BLOCK);
    if (buf == NULL) {
        return S3_ENOMEM;
    }

    for (i = 0, *bad = 0; i < table->stats.blocks; i++) {
        off = (uint64_t) i * S3_TABLE_BLOCK;
        n = c->fs->pread(c->fs, table->file, buf, S3_TABLE_BLOCK, off);

        if (n == S3_TABLE_BLOCK
            && s3_table_verify(table, buf, i, &view) == S3_OK) {
            continue;
        }

        (*bad)++;
        s3ctl_problem(c, file, (int64_t) off, "block %" PRIu32 ": %s", i,
                      n < 0                ? s3_strerror((int) n)
                      : n < S3_TABLE_BLOCK ? "is cut off"
                                           : s3_strerror(S3_ECORRUPT));
    }

    free(buf);

    return S3_OK;
}


/* All entries, in order, as many as the footer says. */

static int
s3ctl_table_entries(s3ctl_check_t *c, s3_table_t *table, const char *file)
{
    int rc, cmp;
    size_t len;
    uint64_t n, bucket;
    s3_entry_t e;
    s3_table_iter_t it;
    uint8_t key[S3_MAX_KEY];

    s3_table_iter_init(&it, table, NULL, c->fs);
    n = 0;
    bucket = 0;
    len = 0;

    for (rc = it.source.ops->seek(&it.source, 0, s3_null_str); rc == S3_OK;
         rc = it.source.ops->next(&it.source))
    {
        cmp = n ? s3_key_cmp(bucket, s3_str(key, len), it.source.bucket,
                             it.source.key)
                : -1;

        if (cmp > 0 || it.source.key.len > sizeof(key)
            || s3_entry_decode(it.source.raw, it.source.raw_len, &e) < 0)
        {
            rc = S3_ECORRUPT;
            break;
        }

        n++;
        bucket = it.source.bucket;
        len = it.source.key.len;
        memcpy(key, it.source.key.data, len);
    }

    s3_table_iter_done(&it);
    c->entries += n;

    if (rc == S3_DONE && n == table->stats.entries) {
        return S3_OK;
    }

    s3ctl_problem(c, file, -1, "after %" PRIu64 " of %" PRIu64 " entries: %s",
                  n, table->stats.entries,
                  rc == S3_DONE ? "no more" : s3_strerror(rc));

    return S3_OK;
}


static void
s3ctl_check_table(s3ctl_check_t *c, const s3_manifest_table_t *t)
{
    int rc;
    unsigned bad;
    char file[S3_TABLE_PATH];
    s3_table_t *table;

    s3_table_path(file, t->id);
    rc = s3_table_open(c->fs, t->id, &table);

    if (rc != S3_OK) {
        s3ctl_problem(c, file, -1, "%s",
                      rc == S3_ENOENT ? "is missing" : s3_strerror(rc));
        return;
    }

    c->tables++;

    if (table->stats.bytes != t->bytes || table->stats.entries != t->entries) {
        s3ctl_problem(c, file, -1,
                      "is not the one that the MANIFEST lists: other size");
    }

    rc = s3ctl_table_blocks(c, table, file, &bad);

    if (rc == S3_OK && bad == 0) {
        rc = s3ctl_table_entries(c, table, file);
    }

    if (rc != S3_OK) {
        s3ctl_problem(c, file, -1, "%s", s3_strerror(rc));
    }

    s3_table_release(table);
}


void
s3ctl_check_tables(s3ctl_check_t *c)
{
    int rc;
    unsigned i;
    size_t n, left;
    uint32_t *ids;
    char file[S3_TABLE_PATH];

    if (c->manifest_rc != S3_OK) {
        return;
    }

    for (i = 0; i < c->manifest.n_tables; i++) {
        s3ctl_check_table(c, &c->manifest.tables[i]);
    }

    rc = s3ctl_files(c->fs, S3_TABLE_DIR, &ids, &left);

    for (n = 0; rc == S3_OK && n < left; n++) {
        for (i = 0; i < c->manifest.n_tables; i++) {
            if (c->manifest.tables[i].id == ids[n]) {
                break;
            }
        }

        if (i == c->manifest.n_tables) {
            s3_table_path(file, ids[n]);
            s3ctl_note(c, file,
                       "no MANIFEST lists it: the next start "
                       "removes it");
        }
    }

    free(ids);
}


/* A segment.  Records of a batch lie behind each other, batches begin on a
 * sector: anything else between two that hold was there once. */

typedef struct {
    s3ctl_check_t *c;
    const char *file;
    uint32_t end; /* of the last record that held */
    unsigned gaps;
} s3ctl_scan_t;


static int
s3ctl_scan_record(void *ctx, const s3_record_t *r)
{
    uint32_t off, next;
    s3ctl_scan_t *scan = ctx;

    off = r->entry.offset;
    next = s3_align(scan->end, (uint32_t) S3_SECTOR) + S3_BATCH_HEADER;

    if (off != next && (off != scan->end || scan->end == S3_SEGMENT_START)) {
        scan->gaps++;
        s3ctl_problem(scan->c, scan->file, scan->end,
                      "damaged up to offset %" PRIu32, off);
    }

    scan->end = off + r->entry.length;

    return S3_OK;
}


static void
s3ctl_scan_over(s3ctl_scan_t *scan, const s3_scan_result_t *result)
{
    s3ctl_check_t *c = scan->c;

    c->batches += result->batches;
    c->records += result->records;

    if (result->corrupt && scan->gaps == 0) {
        s3ctl_problem(c, scan->file, scan->end,
                      "%" PRIu32 " records are damaged", result->corrupt);
    }

    if (result->torn) {
        s3ctl_note(c, scan->file,
                   "the last batch lacks %" PRIu32 " records, after offset "
                   "%" PRIu32 ": a write that a crash has cut, or damage",
                   result->torn, scan->end);
    }
}


static int
s3ctl_check_scan(s3ctl_check_t *c, uint32_t id, int listed)
{
    int rc;
    char file[S3_SEGMENT_PATH];
    s3ctl_scan_t scan;
    s3_scan_result_t result;

    s3_segment_path(file, id);
    memset(&scan, 0, sizeof(scan));
    scan.c = c;
    scan.file = file;
    scan.end = S3_SEGMENT_START;

    rc = s3_segment_scan(c->fs, id, 0, s3ctl_scan_record, &scan, &result);

    if (rc == S3_EFOREIGN && !listed) {
        s3ctl_note(c, file, "was made and never used");
        return rc;
    }

    c->segments++;
    s3ctl_scan_over(&scan, &result);

    if (rc != S3_OK) {
        s3ctl_problem(c, file, 0, "%s",
                      rc == S3_EFOREIGN ? "has no header of this segment"
                      : rc == S3_ENOENT ? "is missing"
                                        : s3_strerror(rc));
    }

    return rc;
}


/* The second copy of a header is needed only where the first is damaged. */

static void
s3ctl_check_headers(s3ctl_check_t *c, uint32_t id)
{
    unsigned i;
    uint64_t off[2], size;
    uint8_t *buf;
    char file[S3_SEGMENT_PATH];
    s3_file_t *f;
    s3_segment_t seg;

    s3_segment_path(file, id);
    buf = malloc(S3_SECTOR);

    if (buf == NULL || c->fs->open(c->fs, file, S3_O_READ, &f) != S3_OK) {
        free(buf);
        return;
    }

    if (c->fs->size(c->fs, f, &size) == S3_OK && size >= 2 * S3_SECTOR) {
        off[0] = 0;
        off[1] = (size - S3_SECTOR) & ~(uint64_t) (S3_SECTOR - 1);

        for (i = 0; i < 2; i++) {
            if (c->fs->pread(c->fs, f, buf, S3_SECTOR, off[i]) != S3_SECTOR
                || s3_segment_header_decode(buf, &seg) != S3_OK || seg.id != id
                || seg.size != size)
            {
                s3ctl_problem(c, file, (int64_t) off[i],
                              "this copy of the header does not hold");
            }
        }

    } else {
        s3ctl_problem(c, file, -1, "is too short");
    }

    c->fs->close(c->fs, f);
    free(buf);
}


static void
s3ctl_check_segment(s3ctl_check_t *c, uint32_t id, int listed)
{
    if (s3ctl_check_scan(c, id, listed) != S3_EFOREIGN) {
        s3ctl_check_headers(c, id);
    }
}


void
s3ctl_check_log(s3ctl_check_t *c)
{
    int rc;
    size_t i, n, at;
    unsigned j;
    uint32_t *ids;
    s3_manifest_t *m = &c->manifest;
    char file[S3_SEGMENT_PATH];

    rc = s3ctl_files(c->fs, "log", &ids, &n);

    if (rc != S3_OK) {
        if (c->manifest_rc == S3_OK) {
            s3ctl_problem(c, "log", -1, "%s", s3_strerror(rc));
        }

        return;
    }

    for (i = 0; i < n; i++) {
        if (c->manifest_rc != S3_OK) {
            s3ctl_check_segment(c, ids[i], 0);

        } else if (s3_manifest_segment(m, ids[i])) {
            s3ctl_check_segment(c, ids[i], 1);

        } else if (ids[i] >= m->next_segment_id) {
            s3ctl_check_segment(c, ids[i], 0);
        }
        /* else freed: nothing of it counts */
    }

    for (j = 0; c->manifest_rc == S3_OK && j < m->n_segments; j++) {
        for (at = 0; at < n && ids[at] != m->segments[j].id; at++) {
            /* void */
        }

        if (at == n) {
            s3_segment_path(file, m->segments[j].id);
            s3ctl_problem(c, file, -1, "is missing");
        }
    }

    free(ids);
}
