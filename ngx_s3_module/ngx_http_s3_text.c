
/*
 * A document in the request's body, collected in memory.
 */


#include "ngx_http_s3_module.h"


static ssize_t ngx_http_s3_body_text_sink(ngx_http_s3_ctx_t *s, s3_str_t data);


void
ngx_http_s3_body_collect(ngx_http_s3_ctx_t *s, size_t max,
    ngx_http_s3_step_pt end)
{
    off_t                length;
    size_t               size;
    ngx_http_s3_body_t  *body;

    body = &s->body;

    body->max = max;
    body->sink = ngx_http_s3_body_text_sink;
    body->end = end;

    if (ngx_http_s3_body_init(s) != NGX_OK) {
        ngx_http_s3_fail(s);
        return;
    }

    if ((s3_op_info(s->route.op)->flags & S3_OPF_CKSUM)
        && !body->has_md5 && !body->has_sum && !body->trailer_sum)
    {
        s3_fault(&s->fault, S3_ERR_INVALID_REQUEST,
                 "Missing required header for this request: Content-MD5 OR "
                 "x-amz-checksum-*");
        ngx_http_s3_fail(s);
        return;
    }

    length = s->r->headers_in.content_length_n;
    size = length > 0 && (size_t) length <= max ? (size_t) length : 4096;

    body->text = ngx_create_temp_buf(s->pool, size);
    if (body->text == NULL) {
        ngx_http_s3_error(s, S3_ERR_SLOW_DOWN);
        return;
    }

    ngx_http_s3_body_read(s);
}


static ssize_t
ngx_http_s3_body_text_sink(ngx_http_s3_ctx_t *s, s3_str_t data)
{
    size_t      used, size;
    u_char     *p;
    ngx_buf_t  *b;

    b = s->body.text;

    if ((size_t) (b->end - b->last) < data.len) {
        used = b->last - b->pos;
        size = 2 * (used + data.len);

        p = ngx_palloc(s->pool, size);
        if (p == NULL) {
            return S3_ENOMEM;
        }

        ngx_memcpy(p, b->pos, used);
        ngx_pfree(s->pool, b->start);

        b->start = p;
        b->pos = p;
        b->last = p + used;
        b->end = p + size;
    }

    b->last = ngx_cpymem(b->last, data.data, data.len);

    return data.len;
}


s3_str_t
ngx_http_s3_body_text(ngx_http_s3_ctx_t *s)
{
    ngx_buf_t  *b;

    b = s->body.text;

    return s3_str(b->pos, b->last - b->pos);
}
