/*
 * "check": every byte of a drive that has a checksum.
 */

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>

#include "s3ctl/check.h"


static void
s3ctl_check_line(s3ctl_check_t *c, const char *what, const char *file,
                 int64_t off, const char *text)
{
    const s3ctl_t *ctl = c->ctl;

    if (ctl->json) {
        s3ctl_begin(ctl, what);
        s3ctl_text(ctl, "drive", c->drive->path);
        s3ctl_text(ctl, "file", file);

        if (off >= 0) {
            s3ctl_number(ctl, "offset", (uint64_t) off);
        }

        s3ctl_text(ctl, "reason", text);
        s3ctl_end(ctl);

    } else if (off >= 0) {
        printf("%s: %s/%s: offset %" PRIi64 ": %s\n", what, c->drive->path,
               file, off, text);

    } else {
        printf("%s: %s/%s: %s\n", what, c->drive->path, file, text);
    }
}


void
s3ctl_problem(s3ctl_check_t *c, const char *file, int64_t off, const char *fmt,
              ...)
{
    char text[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);

    c->problems++;
    s3ctl_check_line(c, "problem", file, off, text);
}


void
s3ctl_note(s3ctl_check_t *c, const char *file, const char *fmt, ...)
{
    char text[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);

    c->notes++;
    s3ctl_check_line(c, "note", file, -1, text);
}


static void
s3ctl_check_format(s3ctl_check_t *c)
{
    s3ctl_drive_t *d = c->drive;
    const s3_format_t *f = &d->format;

    static const char *const states[] = {"missing", "empty", "new", "ready",
                                         "refill"};

    if (d->format_rc != S3_OK) {
        s3ctl_problem(c, "format.json", -1, "%s",
                      d->format_rc == S3_ENOENT   ? "there is none"
                      : d->format_rc == S3_EEXIST ? "there is none, and the "
                                                    "directory is not empty"
                                                  : s3_strerror(d->format_rc));
        return;
    }

    s3_place_init(&c->place, f->drives, s3_get64(f->store));
    c->placed = 1;

    if (f->state != S3_FORMAT_READY) {
        s3ctl_note(c, "format.json", "the drive is \"%s\"",
                   f->state <= S3_FORMAT_REFILL ? states[f->state] : "?");
    }
}


/* One of the two; S3_OK, and its generation. */

static int
s3ctl_check_copy(s3ctl_check_t *c, const char *file, uint64_t *generation)
{
    int rc;
    size_t len;
    uint8_t *text;
    s3_manifest_t m;

    rc = s3ctl_fs_load(c->fs, file, S3_MANIFEST_BYTES, &text, &len);

    if (rc == S3_OK) {
        rc = s3_manifest_parse((const char *) text, len, &m);
        free(text);
    }

    if (rc != S3_OK) {
        s3ctl_problem(c, file, -1, "%s",
                      rc == S3_ENOENT ? "is missing" : s3_strerror(rc));
        return rc;
    }

    *generation = m.generation;
    s3_manifest_free(&m);

    return S3_OK;
}


static void
s3ctl_check_manifest(s3ctl_check_t *c)
{
    int rc;
    unsigned i;
    size_t n;
    uint32_t *ids;
    uint64_t one, two;

    rc = s3ctl_files(c->fs, "log", &ids, &n);
    free(ids);
    c->manifest_rc = s3_manifest_load(c->fs, &c->manifest);

    if (c->manifest_rc == S3_ENOENT && (rc == S3_ENOENT || n == 0)) {
        s3ctl_note(c, "index/MANIFEST", "the drive was never used");
        return;
    }

    if (s3ctl_check_copy(c, "index/MANIFEST", &one) == S3_OK
        && s3ctl_check_copy(c, "index/MANIFEST.copy", &two) == S3_OK
        && one != two)
    {
        s3ctl_note(c, "index/MANIFEST",
                   "generation %" PRIu64 ", the copy has %" PRIu64, one, two);
    }

    if (c->manifest_rc != S3_OK) {
        s3ctl_problem(c, "index/MANIFEST", -1,
                      "no copy is whole (%s): a server will not use the drive",
                      s3_strerror(c->manifest_rc));
        return;
    }

    if (c->manifest.lost) {
        s3ctl_note(c, "index/MANIFEST",
                   "records were lost: a server fills the drive");
    }

    for (i = 0; i < c->manifest.n_segments; i++) {
        if (c->manifest.segments[i].id >= c->manifest.next_segment_id) {
            s3ctl_problem(c, "index/MANIFEST", -1, "lists segment %08x",
                          (unsigned) c->manifest.segments[i].id);
        }
    }
}


static void
s3ctl_check_sum(s3ctl_check_t *c)
{
    const s3ctl_t *ctl = c->ctl;

    s3ctl_begin(ctl, "checked");
    s3ctl_text(ctl, "drive", c->drive->path);

    if (c->placed) {
        s3ctl_number(ctl, "position", c->drive->format.position);
    }

    s3ctl_number(ctl, "tables", c->tables);
    s3ctl_number(ctl, "entries", c->entries);
    s3ctl_number(ctl, "segments", c->segments);
    s3ctl_number(ctl, "batches", c->batches);
    s3ctl_number(ctl, "records", c->records);
    s3ctl_number(ctl, "live", c->live);
    s3ctl_number(ctl, "blobs", c->blobs);
    s3ctl_number(ctl, "units", c->units);
    s3ctl_number(ctl, "bytes", c->bytes);
    s3ctl_number(ctl, "unlisted", c->unlisted);
    s3ctl_number(ctl, "notes", c->notes);
    s3ctl_number(ctl, "problems", c->problems);
    s3ctl_end(ctl);
}


/* Returns the number of problems. */

static uint64_t
s3ctl_check_drive(s3ctl_t *ctl, s3ctl_drive_t *d)
{
    uint64_t problems;
    s3ctl_check_t *c;

    c = calloc(1, sizeof(*c));

    if (c == NULL) {
        s3ctl_say("out of memory");
        return 1;
    }

    c->ctl = ctl;
    c->drive = d;
    c->fs = d->fs;

    s3ctl_check_format(c);
    s3ctl_check_manifest(c);
    s3ctl_check_tables(c);
    s3ctl_check_log(c);
    s3ctl_check_index(c);
    s3ctl_check_blobs(c);
    s3ctl_check_sum(c);

    problems = c->problems;

    if (c->manifest_rc == S3_OK) {
        s3_manifest_free(&c->manifest);
    }

    free(c->seen.ids);
    free(c->seen.used);
    free(c);

    return problems;
}


int
s3ctl_check(s3ctl_t *ctl)
{
    unsigned i;
    uint64_t problems;

    problems = 0;

    if (ctl->n > 1 && s3ctl_one_store(ctl) < 0) {
        problems++;
    }

    for (i = 0; i < ctl->n; i++) {
        problems += s3ctl_check_drive(ctl, &ctl->drives[i]);
    }

    return problems ? S3CTL_FOUND : S3CTL_FINE;
}
