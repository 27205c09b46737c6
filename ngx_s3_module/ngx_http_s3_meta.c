
/*
 * Request headers to stored metadata, and back.
 */


#include "ngx_http_s3_module.h"


typedef struct {
    const char                *name;
    ngx_uint_t                 type;
    const char                *override;      /* query parameter of a GET */
} ngx_http_s3_field_t;


static ngx_http_s3_field_t  ngx_http_s3_fields[] = {
    { "Content-Type", S3_META_CONTENT_TYPE, "response-content-type" },
    { "Cache-Control", S3_META_CACHE_CONTROL, "response-cache-control" },
    { "Content-Disposition", S3_META_CONTENT_DISPOSITION,
      "response-content-disposition" },
    { "Content-Encoding", S3_META_CONTENT_ENCODING,
      "response-content-encoding" },
    { "Content-Language", S3_META_CONTENT_LANGUAGE,
      "response-content-language" },
    { "Expires", S3_META_EXPIRES, "response-expires" },
    { "x-amz-website-redirect-location", S3_META_WEBSITE_REDIRECT, NULL },
    { NULL, 0, NULL }
};


/* Headers that ask for what this store does not do. */

static const s3_str_t  ngx_http_s3_unsupported[] = {
    s3_string("x-amz-server-side-encryption-customer-algorithm"),
    s3_string("x-amz-server-side-encryption-customer-key"),
    s3_string("x-amz-server-side-encryption-aws-kms-key-id"),
    s3_string("x-amz-server-side-encryption-context"),
    s3_string("x-amz-server-side-encryption"),
    s3_string("x-amz-copy-source-server-side-encryption-customer-algorithm"),
    s3_string("x-amz-write-offset-bytes"),
    s3_string("x-amz-object-lock-mode"),
    s3_string("x-amz-object-lock-retain-until-date"),
    s3_string("x-amz-object-lock-legal-hold"),
    s3_string("x-amz-mfa"),
    { 0, NULL }
};

static const s3_str_t  ngx_http_s3_grants[] = {
    s3_string("x-amz-grant-full-control"),
    s3_string("x-amz-grant-read"),
    s3_string("x-amz-grant-read-acp"),
    s3_string("x-amz-grant-write"),
    s3_string("x-amz-grant-write-acp"),
    { 0, NULL }
};


static s3_str_t ngx_http_s3_content_encoding(ngx_http_s3_ctx_t *s,
    s3_str_t value);
static void ngx_http_s3_add_user(ngx_http_s3_ctx_t *s);
static ngx_int_t ngx_http_s3_set_field(ngx_http_s3_ctx_t *s,
    ngx_http_s3_field_t *field, s3_str_t value);
static ngx_int_t ngx_http_s3_set_user(ngx_http_s3_ctx_t *s,
    s3_meta_field_t *field);


ngx_int_t
ngx_http_s3_check_unsupported(ngx_http_s3_ctx_t *s)
{
    s3_str_t     value;
    ngx_uint_t   i;

    for (i = 0; ngx_http_s3_unsupported[i].len; i++) {
        value = ngx_http_s3_request_header_str(s, ngx_http_s3_unsupported[i]);

        if (value.data != NULL) {
            s3_fault(&s->fault, S3_ERR_NOT_IMPLEMENTED, NULL);
            s3_fault_add(&s->fault, "Header", ngx_http_s3_unsupported[i]);
            return NGX_ERROR;
        }
    }

    /* the owner has everything, as with AWS's BucketOwnerEnforced */

    value = ngx_http_s3_request_header(s, "x-amz-acl");

    if (value.data != NULL
        && !s3_str_eq(value, s3_string("private"))
        && !s3_str_eq(value, s3_string("bucket-owner-full-control")))
    {
        s3_fault(&s->fault, S3_ERR_ACCESS_CONTROL_LIST_NOT_SUPPORTED, NULL);
        return NGX_ERROR;
    }

    for (i = 0; ngx_http_s3_grants[i].len; i++) {
        value = ngx_http_s3_request_header_str(s, ngx_http_s3_grants[i]);

        if (value.data != NULL) {
            s3_fault(&s->fault, S3_ERR_ACCESS_CONTROL_LIST_NOT_SUPPORTED, NULL);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_s3_storage_class(ngx_http_s3_ctx_t *s, uint8_t *class)
{
    s3_str_t  value;

    value = ngx_http_s3_request_header(s, "x-amz-storage-class");

    if (value.data == NULL || s3_str_eq(value, s3_string("STANDARD"))) {
        *class = 0;
        return NGX_OK;
    }

    if (s3_str_eq(value, s3_string("REDUCED_REDUNDANCY"))) {
        *class = 1;
        return NGX_OK;
    }

    s3_fault(&s->fault, S3_ERR_INVALID_STORAGE_CLASS, NULL);
    s3_fault_add(&s->fault, "StorageClassRequested", value);

    return NGX_ERROR;
}


ngx_int_t
ngx_http_s3_meta_from_request(ngx_http_s3_ctx_t *s)
{
    u_char                name[64];
    s3_str_t              value;
    ngx_http_s3_field_t  *field;

    for (field = ngx_http_s3_fields; field->name != NULL; field++) {
        ngx_strlow(name, (u_char *) field->name, ngx_strlen(field->name) + 1);

        value = ngx_http_s3_request_header(s, (char *) name);

        if (value.data == NULL) {
            continue;
        }

        if (field->type == S3_META_CONTENT_ENCODING) {
            value = ngx_http_s3_content_encoding(s, value);

            if (value.data == NULL) {
                s3_fault(&s->fault, S3_ERR_SLOW_DOWN, NULL);
                return NGX_ERROR;
            }

            if (value.len == 0) {
                continue;
            }
        }

        if (field->type == S3_META_WEBSITE_REDIRECT
            && ngx_http_s3_check_redirect(s, value) != NGX_OK)
        {
            return NGX_ERROR;
        }

        s3_meta_add(&s->meta, field->type, value);
    }

    ngx_http_s3_add_user(s);

    return s3_meta_check(&s->meta, &s->fault) == S3_ERR_NONE
           ? NGX_OK : NGX_ERROR;
}


/* x-amz-website-redirect-location: in the same bucket, or an http(s) URL. */

ngx_int_t
ngx_http_s3_check_redirect(ngx_http_s3_ctx_t *s, s3_str_t value)
{
    if ((value.len >= 1 && value.data[0] == '/')
        || (value.len >= 7 && ngx_memcmp(value.data, "http://", 7) == 0)
        || (value.len >= 8 && ngx_memcmp(value.data, "https://", 8) == 0))
    {
        return NGX_OK;
    }

    s3_fault(&s->fault, S3_ERR_INVALID_REDIRECT_LOCATION, NULL);

    return NGX_ERROR;
}


/* "aws-chunked" is a matter of the request, not of the object. */

static s3_str_t
ngx_http_s3_content_encoding(ngx_http_s3_ctx_t *s, s3_str_t value)
{
    size_t          len;
    u_char         *out, *w;
    const uint8_t  *p, *end, *comma, *last;

    /* a blank after each comma: at most twice as long */

    out = ngx_pnalloc(s->pool, 2 * value.len + 1);
    if (out == NULL) {
        return s3_null_str;
    }

    w = out;
    p = value.data;
    end = p + value.len;

    while (p < end) {
        comma = memchr(p, ',', end - p);
        last = comma ? comma : end;

        while (p < last && (*p == ' ' || *p == '\t')) {
            p++;
        }

        len = last - p;

        while (len && (p[len - 1] == ' ' || p[len - 1] == '\t')) {
            len--;
        }

        if (len && !(len == sizeof("aws-chunked") - 1
                     && ngx_strncasecmp((u_char *) p, (u_char *) "aws-chunked",
                                        len) == 0))
        {
            if (w != out) {
                *w++ = ',';
                *w++ = ' ';
            }

            w = ngx_cpymem(w, p, len);
        }

        p = comma ? comma + 1 : end;
    }

    return s3_str(out, w - out);
}


static void
ngx_http_s3_add_user(ngx_http_s3_ctx_t *s)
{
    size_t                 i, len;
    const s3_header_t     *h;
    const s3_uri_pair_t   *pair;

    len = sizeof("x-amz-meta-") - 1;

    for (i = 0; i < s->nheaders; i++) {
        h = &s->headers[i];

        if (h->name.len > len
            && ngx_strncasecmp((u_char *) h->name.data,
                               (u_char *) "x-amz-meta-", len) == 0)
        {
            s3_meta_add_user(&s->meta,
                             s3_str(h->name.data + len, h->name.len - len),
                             h->value);
        }
    }

    if (s->auth.kind != S3_AUTH_PRESIGNED) {
        return;
    }

    for (i = 0; i < s->query.n; i++) {
        pair = &s->query.pair[i];

        if (pair->name.len > len
            && ngx_strncasecmp((u_char *) pair->name.data,
                               (u_char *) "x-amz-meta-", len) == 0)
        {
            s3_meta_add_user(&s->meta,
                             s3_str(pair->name.data + len,
                                    pair->name.len - len),
                             pair->value);
        }
    }
}


ngx_int_t
ngx_http_s3_tags_from_request(ngx_http_s3_ctx_t *s)
{
    u_char    *buf;
    size_t     i, k, n;
    s3_str_t   value;
    s3_tag_t   tag, tags[S3_TAGS_OBJECT];

    value = ngx_http_s3_request_header(s, "x-amz-tagging");

    if (value.data == NULL) {
        return NGX_OK;
    }

    buf = ngx_pnalloc(s->pool, value.len + 1);
    if (buf == NULL) {
        s3_fault(&s->fault, S3_ERR_SLOW_DOWN, NULL);
        return NGX_ERROR;
    }

    if (s3_tags_parse(value, buf, tags, &n, &s->fault) != S3_ERR_NONE) {
        return NGX_ERROR;
    }

    /* AWS answers the tags of a header in the order of their keys */

    for (i = 1; i < n; i++) {
        tag = tags[i];

        for (k = i; k > 0 && s3_str_cmp(tags[k - 1].key, tag.key) > 0; k--) {
            tags[k] = tags[k - 1];
        }

        tags[k] = tag;
    }

    for (i = 0; i < n; i++) {
        s3_meta_add_tag(&s->meta, tags[i].key, tags[i].value);
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_s3_meta_to_response(ngx_http_s3_ctx_t *s, s3_object_t *object,
    ngx_uint_t checksum)
{
    int                   tags;
    u_char                buf[NGX_INT64_LEN];
    s3_str_t              meta, value, stored[S3_META_WEBSITE_REDIRECT + 1];
    s3_meta_iter_t        it;
    s3_meta_field_t       mf;
    s3_meta_checksum_t    sum;
    ngx_http_s3_field_t  *field;

    tags = 0;
    meta = object->record.meta;
    ngx_memzero(stored, sizeof(stored));

    if (s3_meta_iter(&it, meta) == S3_OK) {
        while (s3_meta_next(&it, &mf) == 1) {

            if (mf.type <= S3_META_WEBSITE_REDIRECT
                && stored[mf.type].data == NULL)
            {
                stored[mf.type] = mf.value;

            } else if (mf.type == S3_META_TAG) {
                tags++;

            } else if (mf.type == S3_META_USER
                       && ngx_http_s3_set_user(s, &mf) != NGX_OK)
            {
                return NGX_ERROR;
            }
        }
    }

    for (field = ngx_http_s3_fields; field->name != NULL; field++) {

        value = field->override ? ngx_http_s3_arg(s, field->override)
                                : s3_null_str;

        if (value.data == NULL) {
            value = stored[field->type];
        }

        if (value.data == NULL) {
            if (field->type != S3_META_CONTENT_TYPE) {
                continue;
            }

            value = s3_string("binary/octet-stream");
        }

        if (ngx_http_s3_set_field(s, field, value) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    if (tags > 0
        && ngx_http_s3_set_header(s, "x-amz-tagging-count",
               s3_str(buf, ngx_sprintf(buf, "%d", tags) - buf))
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (object->entry.storage_class != 0
        && ngx_http_s3_set_header(s, "x-amz-storage-class",
               ngx_http_s3_class_name(object->entry.storage_class))
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (checksum && s3_meta_find_checksum(meta, &sum) == S3_OK) {
        return ngx_http_s3_set_checksum(s, sum.alg, sum.digest.data, sum.parts,
                                        sum.type);
    }

    return NGX_OK;
}


/* nginx itself writes Content-Type, and knows Expires and Cache-Control. */

static ngx_int_t
ngx_http_s3_set_field(ngx_http_s3_ctx_t *s, ngx_http_s3_field_t *field,
    s3_str_t value)
{
    u_char              *p;
    ngx_http_request_t  *r;

    r = s->r;

    if (field->type != S3_META_CONTENT_TYPE) {
        if (ngx_http_s3_set_header(s, field->name, value) != NGX_OK) {
            return NGX_ERROR;
        }

        if (field->type == S3_META_CONTENT_ENCODING) {
            /* or gzip would do it again */
            r->headers_out.content_encoding = s->header;
        }

        return NGX_OK;
    }

    p = ngx_pnalloc(s->pool, value.len + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    r->headers_out.content_type.data = p;

    for (r->headers_out.content_type.len = 0;
         r->headers_out.content_type.len < value.len;
         r->headers_out.content_type.len++)
    {
        *p = value.data[r->headers_out.content_type.len];

        if (*p < ' ' || *p == 0x7f) {
            *p = ' ';
        }

        p++;
    }

    r->headers_out.content_type_len = value.len;
    r->headers_out.content_type_lowcase = NULL;

    return NGX_OK;
}


static ngx_int_t
ngx_http_s3_set_user(ngx_http_s3_ctx_t *s, s3_meta_field_t *field)
{
    size_t   i;
    u_char  *name, ch;

    /* a name from a presigned URL may be anything; a header's may not */

    for (i = 0; i < field->name.len; i++) {
        ch = field->name.data[i];

        if (ch <= ' ' || ch >= 0x7f || ch == ':') {
            return NGX_OK;
        }
    }

    name = ngx_pnalloc(s->pool, sizeof("x-amz-meta-") + field->name.len);
    if (name == NULL) {
        return NGX_ERROR;
    }

    ngx_sprintf(name, "x-amz-meta-%*s%Z", field->name.len, field->name.data);

    return ngx_http_s3_set_header(s, (char *) name, field->value);
}


ngx_int_t
ngx_http_s3_set_checksum(ngx_http_s3_ctx_t *s, s3_checksum_alg_t alg,
    const u_char *digest, uint32_t parts, s3_checksum_type_t type)
{
    size_t  len;
    u_char  buf[S3_CHECKSUM_VALUE_SIZE];

    len = s3_checksum_value(buf, alg, digest, parts);

    if (ngx_http_s3_set_header(s,
                               (char *) s3_checksum_info(alg)->header.data,
                               s3_str(buf, len))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_s3_set_header_cstr(s, "x-amz-checksum-type",
                                       type == S3_CHECKSUM_COMPOSITE
                                       ? "COMPOSITE" : "FULL_OBJECT");
}
