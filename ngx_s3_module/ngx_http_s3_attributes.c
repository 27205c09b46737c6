
/*
 * GetObjectAttributes.
 */


#include "ngx_http_s3_module.h"


typedef struct {
    s3_xml_attributes_t        attrs;
    s3_xml_list_t              parts;
} ngx_http_s3_attributes_t;


static ngx_int_t ngx_http_s3_attributes_names(ngx_http_s3_ctx_t *s,
    s3_str_t *names);
static void ngx_http_s3_attributes_begin(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_attributes_found(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_attributes_parts(ngx_http_s3_ctx_t *s,
    ngx_http_s3_attributes_t *op, s3_meta_checksum_t *sum);
static void ngx_http_s3_attributes_cleanup(void *data);


void
ngx_http_s3_get_attributes(ngx_http_s3_ctx_t *s)
{
    s3_str_t                   names;
    s3_xml_attributes_t       *a;
    ngx_http_s3_attributes_t  *op;

    op = ngx_pcalloc(s->pool, sizeof(ngx_http_s3_attributes_t));
    if (op == NULL || ngx_http_s3_attributes_names(s, &names) != NGX_OK) {
        ngx_http_s3_error(s, S3_ERR_SLOW_DOWN);
        return;
    }

    a = &op->attrs;

    if (s3_parse_attributes(names, &a->mask, &s->fault) != S3_ERR_NONE
        || s3_parse_limit(S3_LIMIT_ATTR_MAX_PARTS,
                          ngx_http_s3_request_header(s, "x-amz-max-parts"),
                          &a->max_parts, &s->fault)
           != S3_ERR_NONE
        || s3_parse_limit(S3_LIMIT_ATTR_PART_MARKER,
                          ngx_http_s3_request_header(s,
                                                  "x-amz-part-number-marker"),
                          &a->part_marker, &s->fault)
           != S3_ERR_NONE)
    {
        ngx_http_s3_fail(s);
        return;
    }

    s3_list_init(&op->parts, 0, S3_XML_LIMIT);

    s->op = op;
    s->op_cleanup = ngx_http_s3_attributes_cleanup;

    ngx_http_s3_with_bucket(s, ngx_http_s3_attributes_begin);
}


/* A list: in one header, or as some SDKs send it, in a header for each. */

static ngx_int_t
ngx_http_s3_attributes_names(ngx_http_s3_ctx_t *s, s3_str_t *names)
{
    size_t              len;
    u_char             *p, *data;
    ngx_uint_t          i, n;
    const s3_header_t  *h;

    static ngx_str_t  name = ngx_string("x-amz-object-attributes");

    n = 0;
    len = 0;

    for (i = 0; i < s->nheaders; i++) {
        h = &s->headers[i];

        if (h->name.len == name.len
            && ngx_strncasecmp((u_char *) h->name.data, name.data, name.len)
               == 0)
        {
            n++;
            len += h->value.len + 1;
        }
    }

    if (n < 2) {
        *names = ngx_http_s3_request_header(s, (char *) name.data);
        return NGX_OK;
    }

    data = ngx_pnalloc(s->pool, len);
    if (data == NULL) {
        return NGX_ERROR;
    }

    p = data;

    for (i = 0; i < s->nheaders; i++) {
        h = &s->headers[i];

        if (h->name.len == name.len
            && ngx_strncasecmp((u_char *) h->name.data, name.data, name.len)
               == 0)
        {
            p = ngx_cpymem(p, h->value.data, h->value.len);
            *p++ = ',';
        }
    }

    *names = s3_str(data, p - data);

    return NGX_OK;
}


static void
ngx_http_s3_attributes_cleanup(void *data)
{
    ngx_http_s3_attributes_t *op = data;

    s3_list_free(&op->parts);
}


static void
ngx_http_s3_attributes_begin(ngx_http_s3_ctx_t *s)
{
    ngx_http_s3_with_object(s, ngx_http_s3_attributes_found);
}


static void
ngx_http_s3_attributes_found(ngx_http_s3_ctx_t *s)
{
    u_char                    *p, etag[NGX_HTTP_S3_ETAG_LEN];
    s3_xml_t                   xml;
    s3_entry_t                *e;
    s3_meta_checksum_t         sum;
    s3_xml_attributes_t       *a;
    ngx_http_s3_attributes_t  *op;

    if (ngx_http_s3_check_object(s) != NGX_OK) {
        return;
    }

    op = s->op;
    a = &op->attrs;
    e = &s->object->entry;

    a->etag = ngx_http_s3_etag(e, etag);
    a->size = e->size;
    a->storage_class = ngx_http_s3_class_name(e->storage_class);
    a->parts = &op->parts;

    ngx_memzero(&sum, sizeof(s3_meta_checksum_t));

    if (s3_meta_find_checksum(s->object->record.meta, &sum) == S3_OK) {
        p = ngx_pnalloc(s->pool, S3_CHECKSUM_VALUE_SIZE);
        if (p == NULL) {
            ngx_http_s3_error(s, S3_ERR_SLOW_DOWN);
            return;
        }

        a->checksum.alg = sum.alg;
        a->checksum.type = sum.type;
        a->checksum.value = s3_str(p, s3_checksum_value(p, sum.alg,
                                                        sum.digest.data,
                                                        sum.parts));
    }

    ngx_http_s3_attributes_parts(s, op, &sum);

    s->r->headers_out.last_modified_time = e->mtime / 1000;

    s3_xml_init(&xml, S3_XML_LIMIT);
    s3_xml_attributes(&xml, a);

    ngx_http_s3_send_xml(s, NGX_HTTP_OK, &xml);
}


static void
ngx_http_s3_attributes_parts(ngx_http_s3_ctx_t *s,
    ngx_http_s3_attributes_t *op, s3_meta_checksum_t *sum)
{
    size_t                i, n, digest_len, count;
    u_char                value[S3_CHECKSUM_VALUE_SIZE];
    s3_str_t              table;
    s3_xml_part_t         xml;
    s3_meta_part_t        part;
    s3_xml_attributes_t  *a;

    a = &op->attrs;

    if (s3_meta_find(s->object->record.meta, S3_META_PARTS, &table) != S3_OK
        || s3_meta_parts(table, &n, &digest_len) != S3_OK)
    {
        return;
    }

    a->parts_count = n;
    count = 0;

    for (i = 0; i < n; i++) {

        if (s3_meta_part(table, i, &part) != S3_OK) {
            return;
        }

        if (part.number <= a->part_marker) {
            continue;
        }

        if (count == a->max_parts) {
            a->truncated = 1;
            break;
        }

        count++;
        a->next_part_marker = part.number;

        ngx_memzero(&xml, sizeof(s3_xml_part_t));

        xml.number = part.number;
        xml.size = part.size;

        if (digest_len && s3_checksum_info(sum->alg)->len == digest_len) {
            xml.checksum.alg = sum->alg;
            xml.checksum.value = s3_str(value,
                                        s3_checksum_value(value, sum->alg,
                                                     part.digest.data, 0));
        }

        s3_list_attr_part(&op->parts, &xml);
    }
}
