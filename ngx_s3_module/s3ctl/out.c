/*
 * Lines of output, and which keys are wanted.
 */

#include <inttypes.h>
#include <stdlib.h>

#include "s3ctl/s3ctl.h"
#include "storage/s3_bucket.h"


static const char *const s3ctl_kinds[] = {
    "none",    "object", "tombstone", "fence",  "dead",
    "confirm", "floor",  "note",      "unnote", "drop"};

static const char *const s3ctl_layouts[] = {"none", "copies", "inline",
                                            "blobs"};


const char *
s3ctl_kind(unsigned kind)
{
    return kind < sizeof(s3ctl_kinds) / sizeof(s3ctl_kinds[0])
               ? s3ctl_kinds[kind]
               : "unknown";
}


/* Printable ASCII but what would end a field, a line or a string. */

static int
s3ctl_plain(uint8_t c)
{
    return c > ' ' && c < 0x7f && c != '%' && c != '"' && c != '\\';
}


static void
s3ctl_encode(FILE *f, s3_str_t value)
{
    size_t i;

    for (i = 0; i < value.len; i++) {
        if (s3ctl_plain(value.data[i])) {
            putc(value.data[i], f);

        } else {
            fprintf(f, "%%%02X", value.data[i]);
        }
    }
}


const char *
s3ctl_escape(char *buf, size_t len, s3_str_t value)
{
    size_t i, n;

    for (i = 0, n = 0; i < value.len; i++) {
        if (n + 3 + 4 > len) {
            memcpy(buf + n, "...", 4);
            return buf;
        }

        if (s3ctl_plain(value.data[i])) {
            buf[n++] = (char) value.data[i];

        } else {
            n += (size_t) snprintf(buf + n, 4, "%%%02X", value.data[i]);
        }
    }

    buf[n] = '\0';

    return buf;
}


static int
s3ctl_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}


ssize_t
s3ctl_unescape(char *s)
{
    char *from, *to;

    for (from = s, to = s; *from; from++) {
        if (*from != '%') {
            *to++ = *from;
            continue;
        }

        if (s3ctl_digit(from[1]) < 0 || s3ctl_digit(from[2]) < 0) {
            return -1;
        }

        *to++ = (char) (s3ctl_digit(from[1]) << 4 | s3ctl_digit(from[2]));
        from += 2;
    }

    return to - s;
}


void
s3ctl_begin(const s3ctl_t *ctl, const char *what)
{
    printf(ctl->json ? "{\"what\":\"%s\"" : "%s", what);
}


void
s3ctl_end(const s3ctl_t *ctl)
{
    fputs(ctl->json ? "}\n" : "\n", stdout);
}


static void
s3ctl_name(const s3ctl_t *ctl, const char *name)
{
    printf(ctl->json ? ",\"%s\":" : " %s=", name);
}


static const char *
s3ctl_quote(const s3ctl_t *ctl)
{
    return ctl->json ? "\"" : "";
}


void
s3ctl_bytes(const s3ctl_t *ctl, const char *name, s3_str_t value)
{
    s3ctl_name(ctl, name);
    fputs(s3ctl_quote(ctl), stdout);
    s3ctl_encode(stdout, value);
    fputs(s3ctl_quote(ctl), stdout);
}


void
s3ctl_text(const s3ctl_t *ctl, const char *name, const char *value)
{
    s3ctl_bytes(ctl, name, s3_str(value, strlen(value)));
}


void
s3ctl_hex(const s3ctl_t *ctl, const char *name, const uint8_t *p, size_t len)
{
    s3ctl_name(ctl, name);
    fputs(s3ctl_quote(ctl), stdout);

    for (; len; len--, p++) {
        printf("%02x", *p);
    }

    fputs(s3ctl_quote(ctl), stdout);
}


void
s3ctl_id(const s3ctl_t *ctl, const char *name, uint64_t id)
{
    s3ctl_name(ctl, name);
    printf("%sid:%" PRIx64 "%s", s3ctl_quote(ctl), id, s3ctl_quote(ctl));
}


void
s3ctl_number(const s3ctl_t *ctl, const char *name, uint64_t value)
{
    s3ctl_name(ctl, name);
    printf("%" PRIu64, value);
}


void
s3ctl_mask(const s3ctl_t *ctl, const char *name, uint32_t mask)
{
    unsigned i;
    const char *comma = "";

    s3ctl_name(ctl, name);

    if (ctl->json) {
        putchar('[');
    }

    for (i = 0; i < S3_MAX_DRIVES; i++) {
        if (mask >> i & 1) {
            printf("%s%u", comma, i);
            comma = ",";
        }
    }

    if (ctl->json) {
        putchar(']');
    }
}


void
s3ctl_version(const s3ctl_t *ctl, const char *name, const s3_version_t *v)
{
    s3ctl_name(ctl, name);
    printf("%s%" PRIu64 ".%" PRIu32 ".%016" PRIx64 "%s", s3ctl_quote(ctl),
           v->time, v->node, v->rand, s3ctl_quote(ctl));
}


void
s3ctl_entry(const s3ctl_t *ctl, const s3_entry_t *e)
{
    s3ctl_text(ctl, "kind", s3ctl_kind(e->kind));
    s3ctl_version(ctl, "version", &e->version);
    s3ctl_number(ctl, "confirmed", e->flags & S3_F_CONFIRMED ? 1 : 0);

    if (e->flags & S3_F_KEEP) {
        s3ctl_number(ctl, "keep", 1);
    }

    if (e->flags & S3_F_PUSHED) {
        s3ctl_number(ctl, "pushed", 1);
    }

    if (e->kind == S3_KIND_OBJECT || e->kind == S3_KIND_TOMBSTONE) {
        s3ctl_mask(ctl, "voters", e->voters);
    }

    if (e->kind == S3_KIND_OBJECT) {
        s3ctl_mask(ctl, "holders", e->holders);
        s3ctl_number(ctl, "need", e->need);
        s3ctl_text(ctl, "layout",
                   e->layout < 4 ? s3ctl_layouts[e->layout] : "unknown");
        s3ctl_number(ctl, "size", e->size);
        s3ctl_number(ctl, "mtime", e->mtime);
        s3ctl_hex(ctl, "etag", e->etag, 16);

        if (e->etag_parts) {
            s3ctl_number(ctl, "parts", e->etag_parts);
        }

        if (e->storage_class) {
            s3ctl_number(ctl, "class", e->storage_class);
        }
    }

    if (e->extra_len) {
        s3ctl_hex(ctl, "extra", e->extra,
                  s3_min((size_t) e->extra_len, sizeof(e->extra)));
    }

    s3ctl_number(ctl, "segment", e->segment);
    s3ctl_number(ctl, "offset", e->offset);
    s3ctl_number(ctl, "length", e->length);
}


void
s3ctl_ref(const s3ctl_t *ctl, const s3_ref_t *ref)
{
    s3ctl_hex(ctl, "blob", ref->id, 16);
    s3ctl_number(ctl, "bytes", ref->size);
    s3ctl_number(ctl, "k", ref->k);
    s3ctl_number(ctl, "slot", ref->slot);
    s3ctl_mask(ctl, "drives", ref->mask);
}


/* Which keys. */

int
s3ctl_bucket_id(const char *bucket, uint64_t *id)
{
    char *end;

    if (strncmp(bucket, "id:", 3) != 0) {
        return S3_ENOENT;
    }

    *id = strtoull(bucket + 3, &end, 16);

    return *end || end == bucket + 3 ? S3_EINVAL : S3_OK;
}


int
s3ctl_filter_init(s3ctl_filter_t *f, const s3ctl_t *ctl)
{
    int rc;

    memset(f, 0, sizeof(*f));
    f->ctl = ctl;

    rc = ctl->bucket ? s3ctl_bucket_id(ctl->bucket, &f->ids[0]) : S3_ENOENT;

    if (rc == S3_ENOENT) {
        return S3_OK;
    }

    f->n = 1;
    f->exact = 1;

    if (rc != S3_OK) {
        s3ctl_say("\"%s\" is no bucket id", ctl->bucket);
    }

    return rc;
}


void
s3ctl_filter_see(s3ctl_filter_t *f, uint64_t bucket, s3_str_t key,
                 const s3_entry_t *e)
{
    unsigned i;
    uint64_t id;
    s3_str_t region, name;

    if (f->ctl->bucket == NULL || f->exact || bucket != S3_BUCKET_BUCKETS
        || e->kind != S3_KIND_OBJECT
        || s3_bucket_entry(e, &id, &region) != S3_OK)
    {
        return;
    }

    name = s3_str(f->ctl->bucket, strlen(f->ctl->bucket));

    if (!s3_str_eq(key, name)) {
        return;
    }

    for (i = 0; i < f->n; i++) {
        if (f->ids[i] == id) {
            return;
        }
    }

    if (f->n < S3CTL_BUCKETS) {
        f->ids[f->n++] = id;
    }
}


int
s3ctl_filter_match(const s3ctl_filter_t *f, uint64_t bucket, s3_str_t key)
{
    unsigned i;
    const s3ctl_t *ctl = f->ctl;

    if (ctl->key.data && !s3_str_eq(ctl->key, key)) {
        return 0;
    }

    if (ctl->prefix.len
        && (key.len < ctl->prefix.len
            || memcmp(key.data, ctl->prefix.data, ctl->prefix.len) != 0))
    {
        return 0;
    }

    if (ctl->bucket == NULL) {
        return 1;
    }

    for (i = 0; i < f->n; i++) {
        if (f->ids[i] == bucket
            || (!f->exact && bucket > f->ids[i] && bucket - f->ids[i] < 3))
        {
            return 1;
        }
    }

    return 0;
}
