
/*
 * Tags of objects.  They live in the object's metadata: a change writes the
 * record again, under the condition that the object is still the same.
 */


#include "ngx_http_s3_module.h"


#define NGX_HTTP_S3_TAG_ATTEMPTS  5


static void ngx_http_s3_otag_bucket(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_otag_body(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_otag_load(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_otag_found(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_otag_get(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_otag_write(ngx_http_s3_ctx_t *s);
static int ngx_http_s3_otag_test(s3_put_t *put, const s3_entry_t *current);
static void ngx_http_s3_otag_done(s3_put_t *put);
static void ngx_http_s3_otag_written(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_otag_cleanup(void *data);


void
ngx_http_s3_object_tagging(ngx_http_s3_ctx_t *s)
{
    s3_str_t  id;

    id = ngx_http_s3_arg(s, "versionId");

    if (id.data != NULL && !s3_str_eq(id, s3_string("null"))) {
        s3_fault_arg(&s->fault, "Invalid version id specified", "versionId",
                     id);
        ngx_http_s3_fail(s);
        return;
    }

    ngx_http_s3_with_bucket(s, ngx_http_s3_otag_bucket);
}


static void
ngx_http_s3_otag_bucket(ngx_http_s3_ctx_t *s)
{
    if (s->route.op == S3_OP_PUT_OBJECT_TAGGING) {
        ngx_http_s3_body_collect(s, s3_op_info(s->route.op)->max_body,
                                 ngx_http_s3_otag_body);
        return;
    }

    ngx_http_s3_otag_load(s);
}


static void
ngx_http_s3_otag_body(ngx_http_s3_ctx_t *s)
{
    s3_tagging_t  *doc;

    doc = ngx_pcalloc(s->pool, sizeof(s3_tagging_t));
    if (doc == NULL) {
        ngx_http_s3_error(s, S3_ERR_SLOW_DOWN);
        return;
    }

    s->op = doc;
    s->op_cleanup = ngx_http_s3_otag_cleanup;

    if (s3_tagging_parse(doc, ngx_http_s3_body_text(s), S3_TAGS_OBJECT,
                         &s->fault)
        != S3_ERR_NONE)
    {
        ngx_http_s3_fail(s);
        return;
    }

    ngx_http_s3_otag_load(s);
}


static void
ngx_http_s3_otag_cleanup(void *data)
{
    s3_tagging_free(data);
}


static void
ngx_http_s3_otag_load(ngx_http_s3_ctx_t *s)
{
    ngx_http_s3_with_object(s, ngx_http_s3_otag_found);
}


static void
ngx_http_s3_otag_found(ngx_http_s3_ctx_t *s)
{
    if (ngx_http_s3_check_object(s) != NGX_OK) {
        return;
    }

    if (s->route.op == S3_OP_GET_OBJECT_TAGGING) {
        ngx_http_s3_otag_get(s);

    } else {
        ngx_http_s3_otag_write(s);
    }
}


static void
ngx_http_s3_otag_get(ngx_http_s3_ctx_t *s)
{
    s3_xml_t          xml;
    s3_meta_iter_t    it;
    s3_meta_field_t   field;

    s3_xml_init(&xml, S3_XML_LIMIT);
    s3_xml_tagging_begin(&xml);

    if (s3_meta_iter(&it, s->object->record.meta) == S3_OK) {
        while (s3_meta_next(&it, &field) == 1) {
            if (field.type == S3_META_TAG) {
                s3_xml_tagging_tag(&xml, field.name, field.value);
            }
        }
    }

    s3_xml_tagging_end(&xml);

    ngx_http_s3_send_xml(s, NGX_HTTP_OK, &xml);
}


static void
ngx_http_s3_otag_write(ngx_http_s3_ctx_t *s)
{
    size_t          i;
    s3_put_t       *put;
    s3_entry_t     *e;
    s3_tagging_t   *doc;

    static const uint8_t  tags[] = { S3_META_TAG };

    doc = s->op;
    e = &s->object->entry;

    s3_meta_free(&s->meta);
    s3_meta_init(&s->meta);

    (void) s3_meta_copy_except(&s->meta, s->object->record.meta, tags, 1);

    if (doc != NULL) {
        for (i = 0; i < doc->n; i++) {
            s3_meta_add_tag(&s->meta, doc->tags[i].key, doc->tags[i].value);
        }
    }

    put = ngx_http_s3_put_init(s);

    put->entry = *e;
    put->entry.kind = S3_KIND_OBJECT;
    put->entry.flags = 0;
    put->object = s->object;
    put->test = ngx_http_s3_otag_test;

    ngx_http_s3_put_with_meta(s, ngx_http_s3_otag_done);
}


static int
ngx_http_s3_otag_test(s3_put_t *put, const s3_entry_t *current)
{
    ngx_http_s3_ctx_t *s = put->ctx;

    if (current == NULL) {
        return S3_ENOENT;
    }

    return s3_version_cmp(&current->version, &s->object->entry.version) == 0
           ? S3_OK : S3_ECONFLICT;
}


static void
ngx_http_s3_otag_done(s3_put_t *put)
{
    ngx_http_s3_resume(put->ctx, ngx_http_s3_otag_written);
}


static void
ngx_http_s3_otag_written(ngx_http_s3_ctx_t *s)
{
    if (s->put.rc == S3_ECONFLICT
        && s->attempts++ < NGX_HTTP_S3_TAG_ATTEMPTS)
    {
        ngx_http_s3_otag_load(s);
        return;
    }

    if (s->put.rc != S3_OK) {
        ngx_http_s3_put_error(s, s->put.rc);
        return;
    }

    ngx_http_s3_send_empty(s, s->route.op == S3_OP_PUT_OBJECT_TAGGING
                              ? NGX_HTTP_OK : NGX_HTTP_NO_CONTENT);
}
