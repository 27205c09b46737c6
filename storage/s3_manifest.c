/*
 * The MANIFEST: the structure, its files.  s3_manifest_json.c has the text.
 */

#include <stdio.h>
#include <stdlib.h>

#include "s3_manifest.h"
#include "s3_table.h"


#define S3_MANIFEST_NAME S3_TABLE_DIR "/MANIFEST"
#define S3_MANIFEST_COPY S3_TABLE_DIR "/MANIFEST.copy"


void
s3_manifest_init(s3_manifest_t *m)
{
    memset(m, 0, sizeof(s3_manifest_t));

    m->version = S3_MANIFEST_VERSION;
    m->next_table_id = 1;
    m->next_segment_id = 1;
}


void
s3_manifest_free(s3_manifest_t *m)
{
    free(m->tables);
    free(m->segments);
    s3_manifest_init(m);
}


int
s3_manifest_add_table(s3_manifest_t *m, unsigned at,
                      const s3_manifest_table_t *table)
{
    s3_manifest_table_t *p;
    unsigned i;

    for (i = 0; i < m->n_tables; i++) {
        if (m->tables[i].id == table->id) {
            return S3_EEXIST;
        }
    }

    if (at > m->n_tables) {
        return S3_EINVAL;
    }

    if (m->n_tables >= S3_MANIFEST_TABLES) {
        return S3_ENOMEM;
    }

    p = realloc(m->tables, (m->n_tables + 1) * sizeof(s3_manifest_table_t));
    if (p == NULL) {
        return S3_ENOMEM;
    }

    memmove(p + at + 1, p + at,
            (m->n_tables - at) * sizeof(s3_manifest_table_t));
    p[at] = *table;

    m->tables = p;
    m->n_tables++;

    return S3_OK;
}


int
s3_manifest_add_segment(s3_manifest_t *m, const s3_manifest_segment_t *segment)
{
    s3_manifest_segment_t *p;

    if (s3_manifest_segment(m, segment->id)) {
        return S3_EEXIST;
    }

    if (m->n_segments >= S3_MANIFEST_SEGMENTS) {
        return S3_ENOMEM;
    }

    p = realloc(m->segments,
                (m->n_segments + 1) * sizeof(s3_manifest_segment_t));
    if (p == NULL) {
        return S3_ENOMEM;
    }

    p[m->n_segments++] = *segment;
    m->segments = p;

    return S3_OK;
}


void
s3_manifest_del_table(s3_manifest_t *m, uint32_t id)
{
    unsigned i;

    for (i = 0; i < m->n_tables; i++) {
        if (m->tables[i].id == id) {
            m->n_tables--;
            memmove(m->tables + i, m->tables + i + 1,
                    (m->n_tables - i) * sizeof(s3_manifest_table_t));
            return;
        }
    }
}


void
s3_manifest_del_segment(s3_manifest_t *m, uint32_t id)
{
    s3_manifest_segment_t *segment = s3_manifest_segment(m, id);

    if (segment) {
        *segment = m->segments[--m->n_segments];
    }
}


s3_manifest_segment_t *
s3_manifest_segment(s3_manifest_t *m, uint32_t id)
{
    unsigned i;

    for (i = 0; i < m->n_segments; i++) {
        if (m->segments[i].id == id) {
            return &m->segments[i];
        }
    }

    return NULL;
}


static int
s3_manifest_read(s3_fs_t *fs, const char *path, s3_manifest_t *m)
{
    s3_file_t *f;
    uint64_t size;
    ssize_t n;
    char *text;
    int rc;

    s3_manifest_init(m);

    rc = fs->open(fs, path, S3_O_READ, &f);
    if (rc != S3_OK) {
        return rc;
    }

    text = NULL;
    rc = fs->size(fs, f, &size);

    if (rc == S3_OK && (size == 0 || size > S3_MANIFEST_BYTES)) {
        rc = S3_ECORRUPT;
    }

    if (rc == S3_OK) {
        text = malloc((size_t) size);
        rc = text ? S3_OK : S3_ENOMEM;
    }

    if (rc == S3_OK) {
        n = fs->pread(fs, f, text, (size_t) size, 0);
        rc = n < 0 ? (int) n : s3_manifest_parse(text, (size_t) n, m);
    }

    free(text);
    fs->close(fs, f);

    return rc;
}


int
s3_manifest_load(s3_fs_t *fs, s3_manifest_t *m)
{
    s3_manifest_t copy, *old;
    int rc, rc_copy;

    rc = s3_manifest_read(fs, S3_MANIFEST_NAME, m);
    rc_copy = s3_manifest_read(fs, S3_MANIFEST_COPY, &copy);

    /* never act on the lesser of two where the other cannot be judged */

    if (rc == S3_EVERSION || rc_copy == S3_EVERSION || rc == S3_ENOMEM
        || rc_copy == S3_ENOMEM)
    {
        s3_manifest_free(m);
        s3_manifest_free(&copy);
        return rc == S3_ENOMEM || rc_copy == S3_ENOMEM ? S3_ENOMEM
                                                       : S3_EVERSION;
    }

    if (rc == S3_OK && rc_copy == S3_OK) {
        old = m->generation < copy.generation ? m : &copy;
        copy.repair = m->repair = m->generation != copy.generation;

    } else if (rc == S3_OK) {
        old = &copy;
        m->repair = 1;

    } else if (rc_copy == S3_OK) {
        old = m;
        copy.repair = 1;

    } else {
        if (rc == S3_ENOENT) {
            rc = rc_copy;
        }

        return rc;
    }

    s3_manifest_free(old);

    if (old == m) {
        *m = copy;
    }

    return S3_OK;
}


static int
s3_manifest_write(s3_fs_t *fs, const char *path, const char *text, size_t len)
{
    s3_file_t *f;
    char tmp[64];
    int rc;

    (void) snprintf(tmp, sizeof(tmp), "%s.tmp", path);

    rc = fs->open(fs, tmp, S3_O_READ | S3_O_WRITE | S3_O_CREATE, &f);
    if (rc != S3_OK) {
        return rc;
    }

    rc = fs->truncate(fs, f, 0);

    if (rc == S3_OK) {
        rc = fs->pwrite(fs, f, text, len, 0);
    }

    if (rc == S3_OK) {
        rc = fs->sync(fs, f);
    }

    fs->close(fs, f);

    if (rc == S3_OK) {
        rc = fs->rename(fs, tmp, path);
    }

    if (rc == S3_OK) {
        rc = fs->syncdir(fs, S3_TABLE_DIR);
    }

    return rc;
}


int
s3_manifest_save(s3_fs_t *fs, s3_manifest_t *m)
{
    size_t len;
    char *text;
    int rc;

    /* a generation is used once, whatever becomes of it */

    m->generation++;

    rc = s3_manifest_format(m, &text, &len);
    if (rc != S3_OK) {
        return rc;
    }

    rc = s3_manifest_write(fs, S3_MANIFEST_COPY, text, len);

    if (rc == S3_OK) {
        rc = s3_manifest_write(fs, S3_MANIFEST_NAME, text, len);
    }

    free(text);

    if (rc == S3_OK) {
        m->repair = 0;
    }

    return rc;
}


/* Leftovers are gathered before any is removed: a directory that changes
 * while it is read may show anything. */

typedef struct {
    const s3_manifest_t *manifest;
    char (*names)[S3_TABLE_PATH];
    size_t n;
    size_t room;
} s3_manifest_left_t;


/* Is it "%08x.tab", as the writer makes it? */

static int
s3_manifest_table_name(const char *name, uint32_t *id)
{
    char again[16];
    unsigned value;

    if (strlen(name) != 12 || strcmp(name + 8, ".tab") != 0
        || sscanf(name, "%8x", &value) != 1)
    {
        return 0;
    }

    *id = value;
    (void) snprintf(again, sizeof(again), "%08x.tab", value);

    return strcmp(name, again) == 0;
}


static int
s3_manifest_leftover(const s3_manifest_t *m, const char *name)
{
    uint32_t id;
    unsigned i;

    if (strcmp(name, "MANIFEST.tmp") == 0
        || strcmp(name, "MANIFEST.copy.tmp") == 0) {
        return 1;
    }

    if (!s3_manifest_table_name(name, &id)) {
        return 0;
    }

    for (i = 0; i < m->n_tables; i++) {
        if (m->tables[i].id == id) {
            return 0;
        }
    }

    return 1;
}


static int
s3_manifest_see(void *ctx, const char *name)
{
    s3_manifest_left_t *left = ctx;
    size_t room;
    void *p;

    if (!s3_manifest_leftover(left->manifest, name)) {
        return 0;
    }

    if (left->n == left->room) {
        room = left->room ? left->room * 2 : 16;

        p = realloc(left->names, room * sizeof(left->names[0]));
        if (p == NULL) {
            return S3_ENOMEM;
        }

        left->names = p;
        left->room = room;
    }

    (void) snprintf(left->names[left->n++], S3_TABLE_PATH, S3_TABLE_DIR "/%s",
                    name);

    return 0;
}


int
s3_manifest_clean(s3_fs_t *fs, const s3_manifest_t *m)
{
    s3_manifest_left_t left = {m, NULL, 0, 0};
    size_t i;
    int rc, err;

    rc = fs->list(fs, S3_TABLE_DIR, s3_manifest_see, &left);

    for (i = 0; i < left.n; i++) {
        err = fs->unlink(fs, left.names[i]);

        if (err != S3_OK && err != S3_ENOENT && rc == S3_OK) {
            rc = err;
        }
    }

    free(left.names);

    return rc;
}
