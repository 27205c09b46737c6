/*
 * "records": everything that the log has, and what the tables have of it.
 */

#include <stdlib.h>

#include "s3ctl/s3ctl.h"
#include "storage/s3_segment.h"


typedef struct {
    s3ctl_t *ctl;
    s3ctl_filter_t filter;
    unsigned looking : 1; /* for the bucket's ids */
    const char *state;
} s3ctl_dump_t;


static void
s3ctl_dump_record(s3ctl_dump_t *d, const s3_record_t *r)
{
    size_t i;
    s3_ref_t ref;
    s3ctl_t *ctl = d->ctl;

    s3ctl_begin(ctl, "record");
    s3ctl_text(ctl, "state", d->state);
    s3ctl_id(ctl, "bucket", r->bucket);
    s3ctl_number(ctl, "generation", r->generation);
    s3ctl_bytes(ctl, "key", r->key);
    s3ctl_entry(ctl, &r->entry);

    if (r->conditional) {
        s3ctl_version(ctl, "expects", &r->expects);
    }

    s3ctl_number(ctl, "refs", r->refs.len / S3_REF_SIZE);
    s3ctl_number(ctl, "data", r->data.len);
    s3ctl_hex(ctl, "meta", r->meta.data, r->meta.len);
    s3ctl_end(ctl);

    for (i = 0; i + S3_REF_SIZE <= r->refs.len; i += S3_REF_SIZE) {
        if (s3_ref_decode(r->refs.data + i, &ref) != S3_OK) {
            continue;
        }

        s3ctl_begin(ctl, "ref");
        s3ctl_version(ctl, "of", &r->entry.version);
        s3ctl_number(ctl, "number", i / S3_REF_SIZE);
        s3ctl_ref(ctl, &ref);
        s3ctl_end(ctl);
    }
}


static int
s3ctl_dump_see(void *ctx, const s3_record_t *r)
{
    s3ctl_dump_t *d = ctx;

    if (d->looking) {
        s3ctl_filter_see(&d->filter, r->bucket, r->key, &r->entry);

    } else if (s3ctl_filter_match(&d->filter, r->bucket, r->key)) {
        s3ctl_dump_record(d, r);
    }

    return S3_OK;
}


/* 1: something could not be read. */

static int
s3ctl_dump_log(s3ctl_dump_t *d, s3_fs_t *fs, s3_manifest_t *m)
{
    int rc, bad;
    size_t i, n;
    uint32_t *ids;
    s3_scan_result_t result;

    rc = s3ctl_files(fs, "log", &ids, &n);

    if (rc != S3_OK) {
        s3ctl_say("log: %s", s3_strerror(rc));
        return 1;
    }

    for (i = 0, bad = 0; i < n; i++) {
        d->state = m == NULL                        ? "unknown"
                   : s3_manifest_segment(m, ids[i]) ? "log"
                   : ids[i] >= m->next_segment_id   ? "new"
                                                    : "freed";

        rc = s3_segment_scan(fs, ids[i], 0, s3ctl_dump_see, d, &result);

        if (rc == S3_EFOREIGN) {
            continue; /* never used */
        }

        if (!d->looking && (rc != S3_OK || result.corrupt)) {
            bad = 1;
            s3ctl_say("log/%08x.seg: %s", (unsigned) ids[i],
                      rc == S3_OK ? "records are damaged" : s3_strerror(rc));
        }
    }

    free(ids);

    return bad;
}


static int
s3ctl_dump_table(s3ctl_dump_t *d, s3_fs_t *fs, uint32_t id)
{
    int rc;
    s3_entry_t e;
    s3_table_t *table;
    s3_table_iter_t it;
    s3ctl_t *ctl = d->ctl;

    rc = s3_table_open(fs, id, &table);
    if (rc != S3_OK) {
        return rc;
    }

    s3_table_iter_init(&it, table, NULL, fs);

    for (rc = it.source.ops->seek(&it.source, 0, s3_null_str); rc == S3_OK;
         rc = it.source.ops->next(&it.source))
    {
        if (!s3ctl_filter_match(&d->filter, it.source.bucket, it.source.key)) {
            continue;
        }

        if (s3_entry_decode(it.source.raw, it.source.raw_len, &e) < 0) {
            rc = S3_ECORRUPT;
            break;
        }

        s3ctl_begin(ctl, "table");
        s3ctl_number(ctl, "table", id);
        s3ctl_id(ctl, "bucket", it.source.bucket);
        s3ctl_bytes(ctl, "key", it.source.key);
        s3ctl_entry(ctl, &e);
        s3ctl_end(ctl);
    }

    s3_table_iter_done(&it);
    s3_table_release(table);

    return rc == S3_DONE ? S3_OK : rc;
}


static int
s3ctl_dump_tables(s3ctl_dump_t *d, s3_fs_t *fs)
{
    int rc, bad;
    size_t i, n;
    uint32_t *ids;

    rc = s3ctl_files(fs, S3_TABLE_DIR, &ids, &n);

    if (rc != S3_OK) {
        s3ctl_say("index: %s", s3_strerror(rc));
        return 1;
    }

    for (i = 0, bad = 0; i < n; i++) {
        rc = s3ctl_dump_table(d, fs, ids[i]);

        if (rc != S3_OK) {
            bad = 1;
            s3ctl_say("index/%08x.tab: %s", (unsigned) ids[i], s3_strerror(rc));
        }
    }

    free(ids);

    return bad;
}


int
s3ctl_records(s3ctl_t *ctl)
{
    int rc, bad;
    s3ctl_dump_t d;
    s3_manifest_t m;
    s3_fs_t *fs = ctl->drives[0].fs;

    memset(&d, 0, sizeof(d));
    d.ctl = ctl;

    rc = s3ctl_filter_init(&d.filter, ctl);
    if (rc != S3_OK) {
        return S3CTL_FAILED;
    }

    rc = s3_manifest_load(fs, &m);
    bad = rc != S3_OK;

    if (bad) {
        s3ctl_say("MANIFEST: %s; what counts is not known", s3_strerror(rc));
    }

    if (ctl->bucket && !d.filter.exact) {
        d.looking = 1;
        (void) s3ctl_dump_log(&d, fs, bad ? NULL : &m);
        d.looking = 0;

        if (d.filter.n == 0) {
            s3ctl_say("no record is of a bucket \"%s\"", ctl->bucket);
        }
    }

    bad |= s3ctl_dump_log(&d, fs, rc == S3_OK ? &m : NULL);
    bad |= s3ctl_dump_tables(&d, fs);

    s3_manifest_free(&m);

    return bad ? S3CTL_FOUND : S3CTL_FINE;
}
