/*
 * What a start makes of a drive: recovery runs over it, its writes stay in
 * memory, and what it arrives at is read.
 */

#include <stdlib.h>
#include <sys/mman.h>

#include "s3ctl/loop.h"
#include "s3ctl/s3ctl.h"
#include "storage/s3_bucket.h"
#include "storage/s3_recover.h"
#include "storage/s3_segment.h"

#define S3CTL_ARENAS ((size_t) 64 << 20)


typedef struct {
    uint32_t *ids;
    size_t n;
    size_t room;
    int tables;
} s3ctl_files_t;


/* "0000002a" and the ending that such files have. */

static int
s3ctl_files_name(void *ctx, const char *name)
{
    size_t room;
    uint32_t id, *p;
    char path[S3_TABLE_PATH];
    s3ctl_files_t *files = ctx;

    if (files->tables) {
        id = (uint32_t) strtoul(name, NULL, 16);
        s3_table_path(path, id);

        if (strcmp(path + sizeof(S3_TABLE_DIR), name) != 0) {
            return S3_OK;
        }

    } else if (s3_segment_parse_name(name, &id) != S3_OK) {
        return S3_OK;
    }

    if (files->n == files->room) {
        room = files->room * 2 + 64;
        p = realloc(files->ids, room * sizeof(*p));
        if (p == NULL) {
            return S3_ENOMEM;
        }

        files->ids = p;
        files->room = room;
    }

    files->ids[files->n++] = id;

    return S3_OK;
}


static int
s3ctl_files_cmp(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *) a, y = *(const uint32_t *) b;

    return (x > y) - (x < y);
}


int
s3ctl_files(s3_fs_t *fs, const char *dir, uint32_t **ids, size_t *n)
{
    int rc;
    s3ctl_files_t files;

    memset(&files, 0, sizeof(files));
    files.tables = strcmp(dir, S3_TABLE_DIR) == 0;

    rc = fs->list(fs, dir, s3ctl_files_name, &files);

    if (rc != S3_OK) {
        free(files.ids);
        files.ids = NULL;
        files.n = 0;
    }

    if (files.n) {
        qsort(files.ids, files.n, sizeof(*files.ids), s3ctl_files_cmp);
    }

    *ids = files.ids;
    *n = files.n;

    return rc;
}


static int
s3ctl_index_table(s3ctl_index_t *ix, uint32_t id)
{
    int rc;

    if (ix->n == S3_MERGE_MAX) {
        return S3_ENOMEM;
    }

    rc = s3_table_open(ix->fs, id, &ix->tables[ix->n]);

    if (rc == S3_OK) {
        s3_table_iter_init(&ix->iters[ix->n], ix->tables[ix->n], NULL, ix->fs);
        ix->sources[ix->n] = &ix->iters[ix->n].source;
        ix->n++;
    }

    return rc;
}


/* Recovery of this one drive, in a zone of its own. */

static int
s3ctl_index_recover(s3ctl_index_t *ix, s3ctl_t *ctl, const char *name)
{
    int rc;
    size_t n;
    uint32_t *ids;
    unsigned segments;
    uint8_t id[16];
    s3_recover_t r;

    rc = s3ctl_files(ix->fs, "log", &ids, &n);

    if (rc != S3_OK && rc != S3_ENOENT) {
        return rc;
    }

    free(ids);
    segments = S3_ZONE_SEGMENTS;

    if (n > segments / 2) {
        segments = (unsigned) s3_min(2 * n, (size_t) UINT32_MAX / 2);
    }

    ix->size = s3_align(s3_zone_min(1, segments) + S3CTL_ARENAS, (size_t) 4096);
    ix->base = mmap(NULL, ix->size, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (ix->base == MAP_FAILED) {
        ix->base = NULL;
        return S3_ENOMEM;
    }

    memset(id, 0, sizeof(id));
    rc = s3_zone_init(ix->base, ix->size, 1, segments, id, id);
    if (rc != S3_OK) {
        return rc;
    }

    memset(&r, 0, sizeof(r));
    r.zone = ix->base;
    r.fs = ix->fs;
    r.name = name;
    r.log = s3ctl_log;
    r.ctx = ctl;

    rc = s3_recover_drive(&r);

    ix->zd = &r.zone->drives[0];
    ix->clock = s3_zone_time(r.zone);
    ix->records = r.records;
    ix->corrupt = r.corrupt;

    if (rc == S3_OK && r.unsaved) {
        rc = S3_ENOMEM;
    }

    return rc;
}


int
s3ctl_index_open(s3ctl_index_t *ix, s3_fs_t *fs, s3ctl_t *ctl, const char *name)
{
    int rc;
    unsigned i;
    const s3_ztables_t *list;

    memset(ix, 0, sizeof(*ix));
    ix->fs = fs;

    rc = s3ctl_index_recover(ix, ctl, name);

    if (rc == S3_OK) {
        list = s3_zone_tables(ix->zd);

        for (i = 0; i < list->n && rc == S3_OK; i++) {
            rc = s3ctl_index_table(ix, list->tables[i].id);
        }
    }

    if (rc != S3_OK) {
        s3ctl_index_close(ix);
    }

    return rc;
}


int
s3ctl_index_tables(s3ctl_index_t *ix, s3_fs_t *fs, const s3_manifest_t *m,
                   unsigned *bad)
{
    int rc;
    unsigned i;

    memset(ix, 0, sizeof(*ix));
    ix->fs = fs;
    *bad = 0;

    for (i = 0; i < m->n_tables; i++) {
        rc = s3ctl_index_table(ix, m->tables[i].id);

        if (rc != S3_OK) {
            s3ctl_say("table %08x: %s", (unsigned) m->tables[i].id,
                      s3_strerror(rc));
            (*bad)++;
        }
    }

    return S3_OK;
}


void
s3ctl_index_close(s3ctl_index_t *ix)
{
    while (ix->n) {
        ix->n--;
        s3_table_iter_done(&ix->iters[ix->n]);
        s3_table_release(ix->tables[ix->n]);
    }

    if (ix->base) {
        (void) munmap(ix->base, ix->size);
    }

    memset(ix, 0, sizeof(*ix));
}


int
s3ctl_index_merge(s3ctl_index_t *ix, s3_merge_t *m, uint64_t bucket,
                  s3_str_t key)
{
    int rc;

    memset(m, 0, sizeof(*m));
    rc = s3_merge_init(m, ix->sources, ix->n, 0);

    return rc == S3_OK ? s3_merge_seek(m, bucket, key) : rc;
}


int
s3ctl_index_find(s3ctl_index_t *ix, uint64_t bucket, s3_str_t key,
                 s3_entry_t **entries, unsigned *n)
{
    int rc;
    s3_merge_t m;

    *entries = NULL;
    *n = 0;

    rc = s3ctl_index_merge(ix, &m, bucket, key);

    if (rc == S3_OK) {
        rc = s3_merge_next(&m);
    }

    if (rc == S3_DONE
        || (rc == S3_OK && (m.bucket != bucket || !s3_str_eq(m.key, key))))
    {
        rc = S3_ENOENT;
    }

    if (rc == S3_OK) {
        *entries = malloc((m.n + 1) * sizeof(s3_entry_t));
        rc = *entries ? S3_OK : S3_ENOMEM;
    }

    if (rc == S3_OK) {
        memcpy(*entries, m.entries, m.n * sizeof(s3_entry_t));
        *n = m.n;
    }

    s3_merge_done(&m);

    return rc;
}


int
s3ctl_index_bucket(s3ctl_index_t *ix, s3_str_t name, uint64_t *id,
                   s3_version_t *version)
{
    int rc;
    unsigned i, n;
    s3_str_t region;
    s3_entry_t *entries;

    rc = s3ctl_index_find(ix, S3_BUCKET_BUCKETS, name, &entries, &n);

    if (rc == S3_OK) {
        rc = S3_ENOENT;
    }

    for (i = 0; i < n && rc == S3_ENOENT; i++) {
        if (entries[i].kind == S3_KIND_OBJECT
            && s3_bucket_entry(&entries[i], id, &region) == S3_OK)
        {
            *version = entries[i].version;
            rc = S3_OK;

        } else if (entries[i].kind == S3_KIND_TOMBSTONE) {
            break;
        }
    }

    free(entries);

    return rc;
}


int
s3ctl_record(s3_fs_t *fs, uint64_t bucket, s3_str_t key, const s3_entry_t *e,
             s3_record_t *r, void **buf)
{
    int rc;

    *buf = NULL;
    rc = s3_segment_read(fs, e->segment, e->offset, e->length, r, buf);

    if (rc == S3_OK
        && (r->bucket != bucket || !s3_str_eq(r->key, key)
            || s3_version_cmp(&r->entry.version, &e->version) != 0
            || r->entry.kind != e->kind))
    {
        free(*buf);
        *buf = NULL;
        rc = S3_EFOREIGN;
    }

    return rc;
}


/* The command. */

static void
s3ctl_index_print(s3ctl_t *ctl, const s3_merge_t *m)
{
    unsigned i;

    for (i = 0; i < m->n; i++) {
        s3ctl_begin(ctl, "entry");
        s3ctl_id(ctl, "bucket", m->bucket);
        s3ctl_bytes(ctl, "key", m->key);
        s3ctl_entry(ctl, &m->entries[i]);
        s3ctl_end(ctl);
    }
}


/* The buckets of that name first: they come before everything else. */

static int
s3ctl_index_walk(s3ctl_t *ctl, s3ctl_index_t *ix)
{
    int rc;
    unsigned i;
    s3_merge_t m;
    s3ctl_filter_t filter;

    rc = s3ctl_filter_init(&filter, ctl);
    if (rc != S3_OK) {
        return rc;
    }

    rc = s3ctl_index_merge(ix, &m, 0, s3_null_str);

    while (rc == S3_OK) {
        rc = s3_merge_next(&m);
        if (rc != S3_OK) {
            break;
        }

        for (i = 0; i < m.n; i++) {
            s3ctl_filter_see(&filter, m.bucket, m.key, &m.entries[i]);
        }

        if (s3ctl_filter_match(&filter, m.bucket, m.key)) {
            s3ctl_index_print(ctl, &m);
        }
    }

    s3_merge_done(&m);

    return rc == S3_DONE ? S3_OK : rc;
}


int
s3ctl_index(s3ctl_t *ctl)
{
    int rc;
    s3ctl_index_t ix;
    s3ctl_drive_t *d = &ctl->drives[0];

    rc = s3ctl_index_open(&ix, d->fs, ctl, d->path);

    if (rc == S3_OK) {
        rc = s3ctl_index_walk(ctl, &ix);
        s3ctl_index_close(&ix);
    }

    if (rc != S3_OK) {
        s3ctl_say("%s: the index cannot be read: %s; \"check\" says where, "
                  "\"rebuild\" makes it from the log",
                  d->path, s3_strerror(rc));
    }

    return rc == S3_OK ? S3CTL_FINE : S3CTL_FOUND;
}
