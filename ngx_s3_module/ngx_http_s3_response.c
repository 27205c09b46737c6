
/*
 * Answers: headers, error documents, result documents.
 */


#include "ngx_http_s3_module.h"


/* What a failure leaves unread of a body is read and thrown away up to here;
 * beyond, the connection is closed instead. */

#define NGX_HTTP_S3_DISCARD  (4 * 1024 * 1024)


static void ngx_http_s3_refuse_body(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_xml_cleanup(void *data);


ngx_int_t
ngx_http_s3_set_header(ngx_http_s3_ctx_t *s, const char *name, s3_str_t value)
{
    u_char      *p;
    ngx_uint_t   i;

    p = ngx_pnalloc(s->pool, value.len + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    /* what was stored may be anything; a header is one line */

    for (i = 0; i < value.len; i++) {
        p[i] = (value.data[i] < ' ' && value.data[i] != '\t')
               || value.data[i] == 0x7f ? ' ' : value.data[i];
    }

    p[i] = '\0';

    return ngx_http_s3_set_header_plain(s, name, s3_str(p, value.len));
}


ngx_int_t
ngx_http_s3_set_header_plain(ngx_http_s3_ctx_t *s, const char *name,
    s3_str_t value)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&s->r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    h->hash = 1;
    h->key.data = (u_char *) name;
    h->key.len = ngx_strlen(name);
    h->value.data = (u_char *) value.data;
    h->value.len = value.len;
    ngx_s3_header_end(h);

    s->header = h;

    return NGX_OK;
}


ngx_int_t
ngx_http_s3_set_header_cstr(ngx_http_s3_ctx_t *s, const char *name,
    const char *value)
{
    return ngx_http_s3_set_header_plain(s, name,
                                        s3_str(value, ngx_strlen(value)));
}


s3_str_t
ngx_http_s3_etag(const s3_entry_t *e, u_char *buf)
{
    u_char  *p;

    s3_hex(buf, e->etag, 16);
    p = buf + 32;

    if (e->etag_parts) {
        p = ngx_sprintf(p, "-%uD", e->etag_parts);
    }

    return s3_str(buf, p - buf);
}


ngx_int_t
ngx_http_s3_set_etag(ngx_http_s3_ctx_t *s, const s3_entry_t *e)
{
    s3_str_t  etag;

    etag = ngx_http_s3_etag(e, s->etag + 1);

    s->etag[0] = '"';
    s->etag[1 + etag.len] = '"';

    if (ngx_http_s3_set_header_plain(s, "ETag", s3_str(s->etag, etag.len + 2))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* a filter that changes the body makes it weak, or takes it away */

    s->r->headers_out.etag = s->header;

    return NGX_OK;
}


/* nginx would write it, too, through its printf(). */

ngx_int_t
ngx_http_s3_set_last_modified(ngx_http_s3_ctx_t *s, const s3_entry_t *e)
{
    char                *p;
    ngx_http_request_t  *r;

    r = s->r;

    p = ngx_pnalloc(s->pool, S3_HTTP_DATE_LEN + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    s3_http_date(e->mtime / 1000, p);

    if (ngx_http_s3_set_header_plain(s, "Last-Modified",
                                     s3_str(p, S3_HTTP_DATE_LEN))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    r->headers_out.last_modified = s->header;
    r->headers_out.last_modified_time = e->mtime / 1000;

    return NGX_OK;
}


s3_str_t
ngx_http_s3_class_name(ngx_uint_t storage_class)
{
    return storage_class == 1 ? s3_string("REDUCED_REDUNDANCY")
                              : s3_string("STANDARD");
}


ngx_int_t
ngx_http_s3_common_headers(ngx_http_s3_ctx_t *s)
{
    if (s->responded) {
        return NGX_OK;
    }

    s->responded = 1;

    if (ngx_http_s3_set_header_plain(s, "x-amz-request-id",
                                     s3_str(s->request_id, NGX_HTTP_S3_ID_LEN))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_s3_set_header_plain(s, "x-amz-id-2",
                                        s3_str(s->host_id,
                                               NGX_HTTP_S3_HOST_ID_LEN));
}


/*
 * The body of a request that is answered early.  A client that waits for "100
 * Continue" gets its answer instead, on a connection that then closes: whether
 * it still sends the body is its choice.
 */

static void
ngx_http_s3_refuse_body(ngx_http_s3_ctx_t *s)
{
    ngx_http_request_t  *r;

    r = s->r;

    if (r->request_body != NULL) {
        if (r->reading_body) {
            r->keepalive = 0;
            r->lingering_close = 1;
            r->read_event_handler = ngx_http_block_reading;
        }

        s->body.finished = 1;

        return;
    }

    if ((r->headers_in.expect && !r->expect_tested
         && (r->headers_in.content_length_n > 0 || r->headers_in.chunked))
        || r->headers_in.content_length_n > NGX_HTTP_S3_DISCARD)
    {
        r->expect_tested = 1;
        r->keepalive = 0;

        if (!r->headers_in.expect) {
            r->lingering_close = 1;
        }

        return;
    }

    if (ngx_http_discard_request_body(r) != NGX_OK) {
        r->keepalive = 0;
    }
}


void
ngx_http_s3_error(ngx_http_s3_ctx_t *s, s3_err_t err)
{
    s3_fault(&s->fault, err, NULL);
    ngx_http_s3_fail(s);
}


void
ngx_http_s3_error_rc(ngx_http_s3_ctx_t *s, int rc)
{
    s3_err_t  err;

    err = s3_err_from_rc(rc);

    if (s3_err_status(err) >= 500) {
        ngx_log_error(NGX_LOG_ERR, s->r->connection->log, 0,
                      "s3: %s: %s", s3_op_info(s->route.op)->name,
                      s3_strerror(rc));
    }

    ngx_http_s3_error(s, err);
}


void
ngx_http_s3_fail(ngx_http_s3_ctx_t *s)
{
    s3_str_t   resource;
    s3_xml_t   xml;
    ngx_int_t  status;

    status = s3_err_status(s->fault.err);

    if (status == NGX_HTTP_NOT_MODIFIED) {
        ngx_http_s3_send_empty(s, status);
        return;
    }

    ngx_http_s3_refuse_body(s);

    if (s->fault.err == S3_ERR_METHOD_NOT_ALLOWED && s->route.allow != NULL) {
        (void) ngx_http_s3_set_header_cstr(s, "Allow", s->route.allow);
    }

    if (s->fault.err == S3_ERR_SLOW_DOWN
        || s->fault.err == S3_ERR_SERVICE_UNAVAILABLE)
    {
        (void) ngx_http_s3_set_header_cstr(s, "Retry-After", "1");
    }

    if (s->r->method == NGX_HTTP_HEAD) {
        ngx_http_s3_send_empty(s, status);
        return;
    }

    s3_xml_init(&xml, 64 * 1024);

    resource = s->path;

    s3_xml_error(&xml, &s->fault, resource,
                 s3_str(s->request_id, NGX_HTTP_S3_ID_LEN),
                 s3_str(s->host_id, NGX_HTTP_S3_HOST_ID_LEN));

    ngx_http_s3_send_xml(s, status, &xml);
}


void
ngx_http_s3_send_empty(ngx_http_s3_ctx_t *s, ngx_uint_t status)
{
    ngx_int_t            rc;
    ngx_http_request_t  *r;

    r = s->r;

    if (ngx_http_s3_common_headers(s) != NGX_OK) {
        ngx_http_s3_finish(s, NGX_ERROR);
        return;
    }

    r->headers_out.status = status;

    if (status == NGX_HTTP_NO_CONTENT || status == NGX_HTTP_NOT_MODIFIED) {
        r->header_only = 1;

    } else if (r->method != NGX_HTTP_HEAD) {
        r->headers_out.content_length_n = 0;
    }

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        ngx_http_s3_finish(s, rc);
        return;
    }

    ngx_http_s3_finish(s, ngx_http_send_special(r, NGX_HTTP_LAST));
}


static void
ngx_http_s3_xml_cleanup(void *data)
{
    free(data);
}


void
ngx_http_s3_send_xml(ngx_http_s3_ctx_t *s, ngx_uint_t status, s3_xml_t *xml)
{
    ngx_int_t            rc;
    ngx_buf_t           *b;
    ngx_chain_t          out;
    ngx_pool_cleanup_t  *cln;
    ngx_http_request_t  *r;

    r = s->r;

    cln = ngx_pool_cleanup_add(r->pool, 0);

    if (cln == NULL || s3_xml_rc(xml) != S3_OK
        || ngx_http_s3_common_headers(s) != NGX_OK)
    {
        s3_xml_free(xml);
        ngx_http_s3_finish(s, NGX_ERROR);
        return;
    }

    cln->handler = ngx_http_s3_xml_cleanup;
    cln->data = xml->data;

    r->headers_out.status = status;
    r->headers_out.content_length_n = xml->len;
    ngx_str_set(&r->headers_out.content_type, "application/xml");
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        ngx_http_s3_finish(s, rc);
        return;
    }

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        ngx_http_s3_finish(s, NGX_ERROR);
        return;
    }

    b->pos = xml->data;
    b->last = xml->data + xml->len;
    b->memory = xml->len ? 1 : 0;
    b->last_buf = 1;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    ngx_http_s3_finish(s, ngx_http_output_filter(r, &out));
}
