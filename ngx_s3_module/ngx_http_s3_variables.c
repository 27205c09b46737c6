
/*
 * Variables for the access log and for conditions: what the request was to S3.
 */


#include "ngx_http_s3_module.h"


enum {
    NGX_HTTP_S3_VAR_OPERATION = 0,
    NGX_HTTP_S3_VAR_BUCKET,
    NGX_HTTP_S3_VAR_KEY,
    NGX_HTTP_S3_VAR_REQUESTER,
    NGX_HTTP_S3_VAR_ERROR_CODE,
    NGX_HTTP_S3_VAR_REQUEST_ID,
    NGX_HTTP_S3_VAR_RECEIVED,
    NGX_HTTP_S3_VAR_SENT
};


static ngx_int_t ngx_http_s3_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_s3_variable_number(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);


static ngx_http_variable_t  ngx_http_s3_vars[] = {

    { ngx_string("s3_operation"), NULL, ngx_http_s3_variable,
      NGX_HTTP_S3_VAR_OPERATION, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("s3_bucket"), NULL, ngx_http_s3_variable,
      NGX_HTTP_S3_VAR_BUCKET, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("s3_key"), NULL, ngx_http_s3_variable,
      NGX_HTTP_S3_VAR_KEY, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("s3_requester"), NULL, ngx_http_s3_variable,
      NGX_HTTP_S3_VAR_REQUESTER, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("s3_error_code"), NULL, ngx_http_s3_variable,
      NGX_HTTP_S3_VAR_ERROR_CODE, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("s3_request_id"), NULL, ngx_http_s3_variable,
      NGX_HTTP_S3_VAR_REQUEST_ID, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("s3_bytes_received"), NULL, ngx_http_s3_variable_number,
      NGX_HTTP_S3_VAR_RECEIVED, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("s3_bytes_sent"), NULL, ngx_http_s3_variable_number,
      NGX_HTTP_S3_VAR_SENT, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    ngx_http_null_variable
};


ngx_int_t
ngx_http_s3_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var, *v;

    for (v = ngx_http_s3_vars; v->name.len; v++) {
        var = ngx_http_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_s3_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v,
    uintptr_t data)
{
    s3_str_t            value;
    const char         *text;
    ngx_http_s3_ctx_t  *s;

    s = ngx_http_get_module_ctx(r, ngx_http_s3_module);

    value = s3_null_str;
    text = NULL;

    if (s != NULL) {
        switch (data) {

        case NGX_HTTP_S3_VAR_OPERATION:
            text = s3_op_info(s->route.op)->name;
            break;

        case NGX_HTTP_S3_VAR_BUCKET:
            value = s->route.bucket;
            break;

        case NGX_HTTP_S3_VAR_KEY:
            value = s->route.key;
            break;

        case NGX_HTTP_S3_VAR_REQUESTER:
            value = s->auth.akid;
            break;

        case NGX_HTTP_S3_VAR_ERROR_CODE:
            text = s3_err_code(s->fault.err);
            break;

        default: /* NGX_HTTP_S3_VAR_REQUEST_ID */
            value = s3_str(s->request_id, NGX_HTTP_S3_ID_LEN);
        }
    }

    if (text != NULL) {
        value = s3_str(text, ngx_strlen(text));
    }

    if (value.len == 0) {
        v->not_found = 1;
        return NGX_OK;
    }

    v->data = (u_char *) value.data;
    v->len = value.len;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}


static ngx_int_t
ngx_http_s3_variable_number(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char             *p;
    uint64_t            n;
    ngx_http_s3_ctx_t  *s;

    s = ngx_http_get_module_ctx(r, ngx_http_s3_module);

    if (s == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    n = data == NGX_HTTP_S3_VAR_RECEIVED ? s->body.received : s->bytes_sent;

    p = ngx_pnalloc(r->pool, NGX_INT64_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    v->len = ngx_sprintf(p, "%uL", n) - p;
    v->data = p;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}
