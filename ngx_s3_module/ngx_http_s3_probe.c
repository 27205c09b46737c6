
/*
 * The configurations that tools ask a bucket or an object for, answered as
 * for one that has none.
 */


#include "ngx_http_s3_module.h"


static void ngx_http_s3_probe_bucket(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_probe_object(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_probe_answer(ngx_http_s3_ctx_t *s);


void
ngx_http_s3_probe(ngx_http_s3_ctx_t *s)
{
    ngx_http_s3_with_bucket(s, ngx_http_s3_probe_bucket);
}


static void
ngx_http_s3_probe_bucket(ngx_http_s3_ctx_t *s)
{
    if (s3_op_info(s->route.op)->flags & S3_OPF_OBJECT) {
        ngx_http_s3_with_object(s, ngx_http_s3_probe_object);
        return;
    }

    ngx_http_s3_probe_answer(s);
}


static void
ngx_http_s3_probe_object(ngx_http_s3_ctx_t *s)
{
    if (ngx_http_s3_check_object(s) != NGX_OK) {
        return;
    }

    ngx_http_s3_probe_answer(s);
}


static void
ngx_http_s3_probe_answer(ngx_http_s3_ctx_t *s)
{
    s3_xml_t  xml;

    s3_xml_init(&xml, S3_XML_LIMIT);

    if (s3_xml_unset(&xml, s->route.op, s->route.bucket, &s->conf->owner,
                     &s->fault)
        != S3_ERR_NONE)
    {
        s3_xml_free(&xml);
        ngx_http_s3_fail(s);
        return;
    }

    ngx_http_s3_send_xml(s, NGX_HTTP_OK, &xml);
}
