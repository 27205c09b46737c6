#include "s3_xml_in.h"

#include <stdlib.h>

#include <expat.h>

#include "s3_http.h"

#pragma GCC visibility push(hidden)

#define S3_XML_CHUNK 16384
#define S3_XML_PATH 512

struct s3_xml_chunk_s {
    s3_xml_chunk_t *next;
    size_t used;
    size_t size;
    uint8_t data[];
};


/*
 * One parse.  path is that of the open elements, "Delete/Object/Key"; every
 * document is a pair of functions that look at it: start (may be NULL) when
 * an element opens, end when it closes, with its text.
 */

typedef struct s3_xml_parser_s s3_xml_parser_t;

typedef struct {
    const char *root;
    void (*start)(s3_xml_parser_t *p);
    void (*end)(s3_xml_parser_t *p, s3_str_t text);
} s3_xml_doc_t;

struct s3_xml_parser_s {
    XML_Parser expat;
    const s3_xml_doc_t *doc;
    void *out;
    s3_xml_arena_t *arena;
    s3_fault_t *fault;
    s3_err_t err;
    unsigned int depth;
    int seen; /* an element that must be there was */
    size_t text_len;
    size_t path_len;
    size_t cap; /* of the document's array */
    size_t limit;
    char path[S3_XML_PATH];
    uint8_t text[S3_XML_TEXT];
};


static void
s3_xml_stop(s3_xml_parser_t *p, s3_err_t err, const char *message)
{
    if (p->err == S3_ERR_NONE) {
        p->err = s3_fault(p->fault, err, message);
        XML_StopParser(p->expat, XML_FALSE);
    }
}


static void
s3_xml_malformed(s3_xml_parser_t *p)
{
    s3_xml_stop(p, S3_ERR_MALFORMED_XML, NULL);
}


static uint8_t *
s3_arena_alloc(s3_xml_arena_t *a, size_t n)
{
    s3_xml_chunk_t *c;
    size_t size;

    c = a->chunks;

    if (c == NULL || n > c->size - c->used) {
        size = s3_max(n, (size_t) S3_XML_CHUNK);
        c = malloc(sizeof(*c) + size);

        if (c == NULL) {
            return NULL;
        }

        c->next = a->chunks;
        c->used = 0;
        c->size = size;
        a->chunks = c;
    }

    c->used += n;

    return c->data + c->used - n;
}


static void
s3_arena_free(s3_xml_arena_t *a)
{
    s3_xml_chunk_t *c, *next;

    for (c = a->chunks; c != NULL; c = next) {
        next = c->next;
        free(c);
    }

    a->chunks = NULL;
}


/* A copy in the arena; data is not NULL even when empty. */

static s3_str_t
s3_xml_keep(s3_xml_parser_t *p, s3_str_t s)
{
    uint8_t *d;

    d = s3_arena_alloc(p->arena, s3_max(s.len, (size_t) 1));

    if (d == NULL) {
        s3_xml_stop(p, S3_ERR_SLOW_DOWN, NULL);
        return s3_string("");
    }

    if (s.len != 0) {
        memcpy(d, s.data, s.len);
    }

    return s3_str(d, s.len);
}


/* One element more in an array of the result, zeroed; NULL after an error. */

static void *
s3_xml_push(s3_xml_parser_t *p, void **array, size_t *n, size_t size)
{
    size_t cap;
    void *a;

    if (p->err != S3_ERR_NONE) {
        return NULL;
    }

    if (*n == p->limit) {
        s3_xml_malformed(p);
        return NULL;
    }

    if (*n == p->cap) {
        cap = s3_min(s3_max(p->cap * 2, (size_t) 16), p->limit);
        a = realloc(*array, cap * size);

        if (a == NULL) {
            s3_xml_stop(p, S3_ERR_SLOW_DOWN, NULL);
            return NULL;
        }

        *array = a;
        p->cap = cap;
    }

    a = (char *) *array + *n * size;
    memset(a, 0, size);
    (*n)++;

    return a;
}


static int
s3_xml_at(const s3_xml_parser_t *p, const char *path)
{
    return strcmp(p->path, path) == 0;
}


/* The name behind the namespace that expat puts in front of it. */

static const char *
s3_xml_local(const char *name)
{
    const char *bar;

    bar = strrchr(name, '|');

    return bar != NULL ? bar + 1 : name;
}


static void XMLCALL
s3_xml_on_start(void *data, const XML_Char *name, const XML_Char **attrs)
{
    s3_xml_parser_t *p = data;
    size_t n;

    (void) attrs;

    name = s3_xml_local(name);
    n = strlen(name);

    if (p->err != S3_ERR_NONE) {
        return;
    }

    if (p->depth == S3_XML_DEPTH || n + 2 > S3_XML_PATH - p->path_len
        || (p->depth == 0 && strcmp(name, p->doc->root) != 0))
    {
        s3_xml_malformed(p);
        return;
    }

    if (p->depth != 0) {
        p->path[p->path_len++] = '/';
    }

    memcpy(p->path + p->path_len, name, n + 1);
    p->path_len += n;
    p->depth++;
    p->text_len = 0;

    if (p->doc->start != NULL) {
        p->doc->start(p);
    }
}


static void XMLCALL
s3_xml_on_end(void *data, const XML_Char *name)
{
    s3_xml_parser_t *p = data;
    size_t n;

    if (p->err != S3_ERR_NONE) {
        return;
    }

    p->doc->end(p, s3_str(p->text, p->text_len));

    n = strlen(s3_xml_local(name));
    p->depth--;
    p->path_len -= n + (p->depth != 0);
    p->path[p->path_len] = '\0';
    p->text_len = 0;
}


static void XMLCALL
s3_xml_on_text(void *data, const XML_Char *s, int len)
{
    s3_xml_parser_t *p = data;

    if (p->err != S3_ERR_NONE || len <= 0) {
        return;
    }

    if ((size_t) len > S3_XML_TEXT - p->text_len) {
        s3_xml_malformed(p);
        return;
    }

    memcpy(p->text + p->text_len, s, (size_t) len);
    p->text_len += (size_t) len;
}


static void XMLCALL
s3_xml_on_doctype(void *data, const XML_Char *name, const XML_Char *sysid,
                  const XML_Char *pubid, int internal)
{
    (void) name;
    (void) sysid;
    (void) pubid;
    (void) internal;

    s3_xml_malformed(data);
}


static s3_err_t
s3_xml_parse(const s3_xml_doc_t *doc, void *out, s3_xml_arena_t *arena,
             size_t limit, s3_str_t body, s3_fault_t *f)
{
    s3_xml_parser_t *p;
    s3_err_t err;

    p = malloc(sizeof(*p));

    if (p == NULL) {
        return s3_fault(f, S3_ERR_SLOW_DOWN, NULL);
    }

    memset(p, 0, offsetof(s3_xml_parser_t, text));
    p->path[0] = '\0';
    p->doc = doc;
    p->out = out;
    p->arena = arena;
    p->limit = limit;
    p->fault = f;
    p->expat = XML_ParserCreateNS(NULL, '|');

    if (p->expat == NULL) {
        free(p);
        return s3_fault(f, S3_ERR_SLOW_DOWN, NULL);
    }

    XML_SetUserData(p->expat, p);
    XML_SetElementHandler(p->expat, s3_xml_on_start, s3_xml_on_end);
    XML_SetCharacterDataHandler(p->expat, s3_xml_on_text);
    XML_SetStartDoctypeDeclHandler(p->expat, s3_xml_on_doctype);

    if (body.len > INT32_MAX
        || XML_Parse(p->expat, (const char *) body.data, (int) body.len, 1)
               != XML_STATUS_OK)
    {
        if (p->err == S3_ERR_NONE) {
            p->err = s3_fault(f,
                              XML_GetErrorCode(p->expat) == XML_ERROR_NO_MEMORY
                                  ? S3_ERR_SLOW_DOWN
                                  : S3_ERR_MALFORMED_XML,
                              NULL);
        }
    }

    err = p->err;

    XML_ParserFree(p->expat);
    free(p);

    return err;
}


static s3_str_t
s3_xml_trim(s3_str_t s)
{
    while (s.len && strchr(" \t\r\n", s.data[0]) && s.data[0] != '\0') {
        s.data++;
        s.len--;
    }

    while (s.len && strchr(" \t\r\n", s.data[s.len - 1])
           && s.data[s.len - 1] != '\0')
    {
        s.len--;
    }

    return s;
}


static void
s3_delete_on_start(s3_xml_parser_t *p)
{
    s3_delete_t *d = p->out;

    if (s3_xml_at(p, "Delete/Object")) {
        (void) s3_xml_push(p, (void **) &d->objects, &d->n,
                           sizeof(*d->objects));
    }
}


static void
s3_delete_on_end(s3_xml_parser_t *p, s3_str_t text)
{
    s3_delete_t *d = p->out;
    s3_delete_object_t *o;

    if (s3_xml_at(p, "Delete/Quiet")) {
        d->quiet = s3_str_eq(s3_xml_trim(text), s3_string("true"));
        return;
    }

    o = d->n ? &d->objects[d->n - 1] : NULL;

    if (o == NULL || strncmp(p->path, "Delete/Object", 13) != 0) {
        return;
    }

    if (s3_xml_at(p, "Delete/Object")) {
        if (o->key.len == 0) {
            s3_xml_malformed(p);
        }

    } else if (s3_xml_at(p, "Delete/Object/Key")) {
        o->key = s3_xml_keep(p, text);

    } else if (s3_xml_at(p, "Delete/Object/VersionId")) {
        o->version_id = s3_xml_keep(p, s3_xml_trim(text));

    } else if (s3_xml_at(p, "Delete/Object/ETag")) {
        o->etag = s3_xml_keep(p, s3_etag_strip(s3_xml_trim(text)));

    } else if (s3_xml_at(p, "Delete/Object/LastModifiedTime")) {
        o->last_modified = s3_xml_keep(p, s3_xml_trim(text));

    } else if (s3_xml_at(p, "Delete/Object/Size")) {
        o->size = s3_xml_keep(p, s3_xml_trim(text));
    }
}


s3_err_t
s3_delete_parse(s3_delete_t *d, s3_str_t body, s3_fault_t *f)
{
    static const s3_xml_doc_t doc = {"Delete", s3_delete_on_start,
                                     s3_delete_on_end};
    s3_err_t err;

    memset(d, 0, sizeof(*d));

    if (body.len == 0) {
        return s3_fault(f, S3_ERR_MISSING_REQUEST_BODY_ERROR, NULL);
    }

    err = s3_xml_parse(&doc, d, &d->arena, S3_DELETE_MAX, body, f);

    if (err == S3_ERR_NONE && d->n == 0) {
        err = s3_fault(f, S3_ERR_MALFORMED_XML, NULL);
    }

    return err;
}


void
s3_delete_free(s3_delete_t *d)
{
    free(d->objects);
    s3_arena_free(&d->arena);
    memset(d, 0, sizeof(*d));
}


static void
s3_complete_on_start(s3_xml_parser_t *p)
{
    s3_complete_t *c = p->out;

    if (s3_xml_at(p, "CompleteMultipartUpload/Part")) {
        (void) s3_xml_push(p, (void **) &c->parts, &c->n, sizeof(*c->parts));
    }
}


static void
s3_complete_checksum(s3_xml_parser_t *p, s3_complete_part_t *part,
                     s3_str_t text)
{
    static const char message[] =
        "Invalid Base64 or multiple checksums present in request";
    uint8_t digest[S3_CHECKSUM_MAX];
    const char *name;
    int alg;

    name = strrchr(p->path, '/') + 1;

    for (alg = 1; alg < S3_CHECKSUM_LAST; alg++) {
        if (s3_str_eq(s3_checksum_info((s3_checksum_alg_t) alg)->element,
                      s3_str(name, strlen(name))))
        {
            break;
        }
    }

    if (alg == S3_CHECKSUM_LAST) {
        return;
    }

    if (part->alg != S3_CHECKSUM_NONE
        || s3_checksum_parse((s3_checksum_alg_t) alg, text, digest, NULL)
               != S3_OK)
    {
        s3_xml_stop(p, S3_ERR_INVALID_ARGUMENT, message);
        s3_fault_add(p->fault, "ArgumentName", s3_string("Checksum"));
        return;
    }

    part->alg = (s3_checksum_alg_t) alg;
    part->digest =
        s3_xml_keep(p, s3_str(digest, s3_checksum_info(part->alg)->len));
}


static void
s3_complete_number(s3_xml_parser_t *p, s3_complete_part_t *part, s3_str_t text)
{
    uint64_t v;
    int negative;

    negative = text.len != 0 && text.data[0] == '-';

    if (s3_parse_uint(negative ? s3_str(text.data + 1, text.len - 1) : text,
                      INT32_MAX, &v)
        != S3_OK)
    {
        s3_xml_malformed(p);
        return;
    }

    if (negative || v == 0) {
        s3_xml_stop(p, S3_ERR_INVALID_ARGUMENT, "PartNumber must be >= 1");
        s3_fault_add(p->fault, "ArgumentName", s3_string("PartNumber"));
        return;
    }

    part->number = (uint32_t) v;
}


static void
s3_complete_on_end(s3_xml_parser_t *p, s3_str_t text)
{
    s3_complete_t *c = p->out;
    s3_complete_part_t *part;

    part = c->n ? &c->parts[c->n - 1] : NULL;

    if (part == NULL
        || strncmp(p->path, "CompleteMultipartUpload/Part", 28) != 0) {
        return;
    }

    if (s3_xml_at(p, "CompleteMultipartUpload/Part")) {
        if (part->number == 0 || part->etag.len == 0) {
            s3_xml_malformed(p);
        }

        if (c->n > 1 && part->number <= part[-1].number) {
            c->ordered = 0;
        }

        return;
    }

    text = s3_xml_trim(text);

    if (s3_xml_at(p, "CompleteMultipartUpload/Part/PartNumber")) {
        s3_complete_number(p, part, text);

    } else if (s3_xml_at(p, "CompleteMultipartUpload/Part/ETag")) {
        part->etag = s3_xml_keep(p, s3_etag_strip(text));

    } else if (p->depth == 3 && p->path[28] == '/') {
        s3_complete_checksum(p, part, text);
    }
}


s3_err_t
s3_complete_parse(s3_complete_t *c, s3_str_t body, s3_fault_t *f)
{
    static const s3_xml_doc_t doc = {"CompleteMultipartUpload",
                                     s3_complete_on_start, s3_complete_on_end};
    s3_err_t err;

    memset(c, 0, sizeof(*c));
    c->ordered = 1;

    err = s3_xml_parse(&doc, c, &c->arena, S3_COMPLETE_MAX, body, f);

    if (err == S3_ERR_NONE && c->n == 0) {
        err = s3_fault(f, S3_ERR_MALFORMED_XML, NULL);
    }

    return err;
}


void
s3_complete_free(s3_complete_t *c)
{
    free(c->parts);
    s3_arena_free(&c->arena);
    memset(c, 0, sizeof(*c));
}


/* A <Tag> under some parent: opened, and what closes in it. */

static void
s3_tag_on_start(s3_xml_parser_t *p, const char *path, s3_tag_t **tags,
                size_t *n)
{
    if (s3_xml_at(p, path)) {
        (void) s3_xml_push(p, (void **) tags, n, sizeof(**tags));
    }
}


static void
s3_tag_on_end(s3_xml_parser_t *p, const char *path, s3_tag_t *tags, size_t n,
              s3_str_t text)
{
    size_t len;
    s3_tag_t *t;

    len = strlen(path);

    if (n == 0 || strncmp(p->path, path, len) != 0) {
        return;
    }

    t = &tags[n - 1];

    if (p->path[len] == '\0') {
        if (t->key.data == NULL || t->value.data == NULL) {
            s3_xml_malformed(p);
        }

    } else if (strcmp(p->path + len, "/Key") == 0) {
        t->key = s3_xml_keep(p, text);

    } else if (strcmp(p->path + len, "/Value") == 0) {
        t->value = s3_xml_keep(p, text);
    }
}


/*
 * More than this is malformed; up to it, too many tags are told as such, and
 * the duplicate check stays cheap.
 */

#define S3_TAGGING_MAX 256


static void
s3_tagging_on_start(s3_xml_parser_t *p)
{
    s3_tagging_t *t = p->out;

    s3_tag_on_start(p, "Tagging/TagSet/Tag", &t->tags, &t->n);
}


static void
s3_tagging_on_end(s3_xml_parser_t *p, s3_str_t text)
{
    s3_tagging_t *t = p->out;

    if (s3_xml_at(p, "Tagging/TagSet")) {
        p->seen = 1;
    }

    if (s3_xml_at(p, "Tagging") && !p->seen) {
        s3_xml_malformed(p);
        return;
    }

    s3_tag_on_end(p, "Tagging/TagSet/Tag", t->tags, t->n, text);
}


s3_err_t
s3_tagging_parse(s3_tagging_t *t, s3_str_t body, size_t limit, s3_fault_t *f)
{
    static const s3_xml_doc_t doc = {"Tagging", s3_tagging_on_start,
                                     s3_tagging_on_end};
    s3_err_t err;

    memset(t, 0, sizeof(*t));

    if (body.len == 0) {
        return s3_fault(f, S3_ERR_MISSING_REQUEST_BODY_ERROR, NULL);
    }

    err = s3_xml_parse(&doc, t, &t->arena, S3_TAGGING_MAX, body, f);

    return err != S3_ERR_NONE ? err : s3_tags_check(t->tags, t->n, limit, f);
}


void
s3_tagging_free(s3_tagging_t *t)
{
    free(t->tags);
    s3_arena_free(&t->arena);
    memset(t, 0, sizeof(*t));
}


static void
s3_create_on_start(s3_xml_parser_t *p)
{
    s3_create_bucket_t *b = p->out;

    s3_tag_on_start(p, "CreateBucketConfiguration/Tags/Tag", &b->tags,
                    &b->ntags);
}


static void
s3_create_on_end(s3_xml_parser_t *p, s3_str_t text)
{
    s3_create_bucket_t *b = p->out;
    s3_str_t *slot;

    slot = NULL;

    if (s3_xml_at(p, "CreateBucketConfiguration/LocationConstraint")) {
        slot = &b->location_constraint;

    } else if (s3_xml_at(p, "CreateBucketConfiguration/Location/Type")) {
        slot = &b->location_type;

    } else if (s3_xml_at(p, "CreateBucketConfiguration/Location/Name")) {
        slot = &b->location_name;

    } else if (s3_xml_at(p, "CreateBucketConfiguration/Bucket/Type")) {
        slot = &b->bucket_type;

    } else if (s3_xml_at(p, "CreateBucketConfiguration/Bucket/DataRedundancy"))
    {
        slot = &b->data_redundancy;
    }

    if (slot != NULL) {
        *slot = s3_xml_keep(p, s3_xml_trim(text));
        return;
    }

    s3_tag_on_end(p, "CreateBucketConfiguration/Tags/Tag", b->tags, b->ntags,
                  text);
}


s3_err_t
s3_create_bucket_parse(s3_create_bucket_t *b, s3_str_t body, s3_fault_t *f)
{
    static const s3_xml_doc_t doc = {"CreateBucketConfiguration",
                                     s3_create_on_start, s3_create_on_end};
    s3_err_t err;

    memset(b, 0, sizeof(*b));

    if (body.len == 0) {
        return S3_ERR_NONE;
    }

    err = s3_xml_parse(&doc, b, &b->arena, S3_TAGGING_MAX, body, f);

    return err != S3_ERR_NONE
               ? err
               : s3_tags_check(b->tags, b->ntags, S3_TAGS_BUCKET, f);
}


void
s3_create_bucket_free(s3_create_bucket_t *b)
{
    free(b->tags);
    s3_arena_free(&b->arena);
    memset(b, 0, sizeof(*b));
}

#pragma GCC visibility pop
