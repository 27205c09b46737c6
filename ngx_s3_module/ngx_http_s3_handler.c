
/*
 * From a request to its operation.
 *
 *   target ── route ──┐
 *                     ├── authenticate ── 501? ── owner? ── operation
 *   headers ──────────┘
 *
 * There is one way in, and it goes through s3_auth_verify(): what an
 * unauthenticated client gets to know is that it is not authenticated.
 */


#include "ngx_http_s3_module.h"


typedef struct {
    s3_op_t                    op;
    ngx_http_s3_step_pt        handler;
} ngx_http_s3_op_t;


static void ngx_http_s3_make_ids(ngx_http_s3_ctx_t *s);
static ngx_int_t ngx_http_s3_parse(ngx_http_s3_ctx_t *s);
static ngx_int_t ngx_http_s3_gather_headers(ngx_http_s3_ctx_t *s);
static s3_err_t ngx_http_s3_find_route(ngx_http_s3_ctx_t *s, s3_fault_t *f);
static ngx_int_t ngx_http_s3_authenticate(ngx_http_s3_ctx_t *s);
static int ngx_http_s3_find_credential(void *data, s3_str_t akid,
    s3_credential_t *c);
static void *ngx_http_s3_auth_alloc(void *data, size_t size);
static void ngx_http_s3_dispatch(ngx_http_s3_ctx_t *s);


/* In the order of how often they are called. */

static ngx_http_s3_op_t  ngx_http_s3_ops[] = {
    { S3_OP_GET_OBJECT, ngx_http_s3_get_object },
    { S3_OP_HEAD_OBJECT, ngx_http_s3_get_object },
    { S3_OP_PUT_OBJECT, ngx_http_s3_put_object },
    { S3_OP_LIST_OBJECTS_V2, ngx_http_s3_list_objects },
    { S3_OP_LIST_OBJECTS, ngx_http_s3_list_objects },
    { S3_OP_LIST_OBJECT_VERSIONS, ngx_http_s3_list_objects },
    { S3_OP_DELETE_OBJECT, ngx_http_s3_delete_object },
    { S3_OP_DELETE_OBJECTS, ngx_http_s3_delete_objects },
    { S3_OP_UPLOAD_PART, ngx_http_s3_upload_part },
    { S3_OP_UPLOAD_PART_COPY, ngx_http_s3_upload_part_copy },
    { S3_OP_CREATE_MULTIPART_UPLOAD, ngx_http_s3_create_upload },
    { S3_OP_COMPLETE_MULTIPART_UPLOAD, ngx_http_s3_complete_upload },
    { S3_OP_ABORT_MULTIPART_UPLOAD, ngx_http_s3_abort_upload },
    { S3_OP_LIST_PARTS, ngx_http_s3_list_parts },
    { S3_OP_LIST_MULTIPART_UPLOADS, ngx_http_s3_list_uploads },
    { S3_OP_COPY_OBJECT, ngx_http_s3_copy_object },
    { S3_OP_GET_OBJECT_ATTRIBUTES, ngx_http_s3_get_attributes },
    { S3_OP_GET_OBJECT_TAGGING, ngx_http_s3_object_tagging },
    { S3_OP_PUT_OBJECT_TAGGING, ngx_http_s3_object_tagging },
    { S3_OP_DELETE_OBJECT_TAGGING, ngx_http_s3_object_tagging },
    { S3_OP_HEAD_BUCKET, ngx_http_s3_head_bucket },
    { S3_OP_LIST_BUCKETS, ngx_http_s3_list_buckets },
    { S3_OP_CREATE_BUCKET, ngx_http_s3_create_bucket },
    { S3_OP_DELETE_BUCKET, ngx_http_s3_delete_bucket },
    { S3_OP_GET_BUCKET_LOCATION, ngx_http_s3_bucket_location },
    { S3_OP_GET_BUCKET_TAGGING, ngx_http_s3_bucket_tagging },
    { S3_OP_PUT_BUCKET_TAGGING, ngx_http_s3_bucket_tagging },
    { S3_OP_DELETE_BUCKET_TAGGING, ngx_http_s3_bucket_tagging },
    { S3_OP_NONE, NULL }
};


ngx_int_t
ngx_http_s3_handler(ngx_http_request_t *r)
{
    ngx_http_s3_ctx_t  *s;

    if (r != r->main || r->post_action) {
        /* it would do again what its parent does, or what is done already */
        return NGX_HTTP_FORBIDDEN;
    }

    s = ngx_http_s3_ctx_create(r);
    if (s == NULL) {
        /* no memory, not even for an error; the connection is closed */
        return NGX_ERROR;
    }

    ngx_http_s3_make_ids(s);

    /* from here on the request ends in a step, now or later */

    r->main->count++;

    ngx_http_s3_hold(s);
    s->inside++;

    if (s->store == NULL) {
        ngx_http_s3_error(s, S3_ERR_SERVICE_UNAVAILABLE);

    } else if (ngx_http_s3_parse(s) == NGX_OK) {
        ngx_http_s3_dispatch(s);

    } else {
        ngx_http_s3_fail(s);
    }

    s->inside--;
    ngx_http_s3_watch(s);
    ngx_http_s3_release(s);

    return NGX_DONE;
}


/* Ids are unique enough to find a line in a log: random start, counting. */

static void
ngx_http_s3_make_ids(ngx_http_s3_ctx_t *s)
{
    u_char            bytes[16];
    uint64_t          id[2];
    s3_loop_t        *loop;

    static uint64_t   seed[2];
    static ngx_pid_t  pid;

    loop = ngx_s3_store_loop();

    if (pid != ngx_pid && loop != NULL) {
        loop->random(loop, seed, sizeof(seed));
        pid = ngx_pid;
    }

    id[0] = ++seed[0] * 0x9e3779b97f4a7c15ULL;
    id[1] = id[0] ^ seed[1];

    s3_put64(bytes, id[1]);
    s3_put64(bytes + 8, id[0]);

    s3_hex_upper(s->request_id, bytes + 8, NGX_HTTP_S3_ID_LEN / 2);
    s3_hex_upper(s->host_id, bytes, NGX_HTTP_S3_HOST_ID_LEN / 2);
}


/* NGX_ERROR: s->fault is the answer. */

static ngx_int_t
ngx_http_s3_parse(ngx_http_s3_ctx_t *s)
{
    u_char              *p;
    s3_err_t             err;
    s3_str_t             target, query;
    s3_fault_t           fault;
    ngx_http_request_t  *r;

    r = s->r;

    target = s3_str(r->unparsed_uri.data, r->unparsed_uri.len);

    s3_uri_split(target, &s->path, &query);

    p = ngx_pnalloc(s->pool, query.len + 1);
    if (p == NULL) {
        s3_fault(&s->fault, S3_ERR_SLOW_DOWN, NULL);
        return NGX_ERROR;
    }

    if (s3_uri_query_parse(&s->query, query, p) != S3_OK) {
        s3_fault(&s->fault, S3_ERR_INVALID_URI, NULL);
        return NGX_ERROR;
    }

    if (ngx_http_s3_gather_headers(s) != NGX_OK) {
        return NGX_ERROR;
    }

    /* the error of the route waits for the one of the signature */

    ngx_memzero(&fault, sizeof(s3_fault_t));

    err = ngx_http_s3_find_route(s, &fault);

    if (ngx_http_s3_authenticate(s) != NGX_OK) {
        return NGX_ERROR;
    }

    if (err != S3_ERR_NONE) {
        s->fault = fault;
        return NGX_ERROR;
    }

    s->routed = 1;

    if (!(s3_op_info(s->route.op)->flags & S3_OPF_DONE)) {
        s3_fault(&s->fault, S3_ERR_NOT_IMPLEMENTED, NULL);
        return NGX_ERROR;
    }

    return ngx_http_s3_check_owner(s, "x-amz-expected-bucket-owner");
}


static ngx_int_t
ngx_http_s3_gather_headers(ngx_http_s3_ctx_t *s)
{
    size_t            n;
    s3_header_t      *out;
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    n = 0;

    for (part = &s->r->headers_in.headers.part; part; part = part->next) {
        n += part->nelts;
    }

    if (n > S3_AUTH_MAX_HEADERS) {
        s3_fault(&s->fault, S3_ERR_INVALID_URI, NULL);
        return NGX_ERROR;
    }

    out = ngx_palloc(s->pool, (n + 1) * sizeof(s3_header_t));
    if (out == NULL) {
        s3_fault(&s->fault, S3_ERR_SLOW_DOWN, NULL);
        return NGX_ERROR;
    }

    s->headers = out;
    s->nheaders = n;

    for (part = &s->r->headers_in.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            out->name = s3_str(h[i].key.data, h[i].key.len);
            out->value = s3_str(h[i].value.data, h[i].value.len);
            s->lengths |= (uint64_t) 1 << (h[i].key.len & 63);
            out++;
        }
    }

    return NGX_OK;
}


static s3_err_t
ngx_http_s3_find_route(ngx_http_s3_ctx_t *s, s3_fault_t *f)
{
    u_char         *p;
    int64_t         len;
    s3_str_t        host, bucket;
    ngx_array_t    *domains;
    s3_route_in_t   in;

    ngx_memzero(&in, sizeof(s3_route_in_t));

    p = ngx_pnalloc(s->pool, s->path.len + 1);
    if (p == NULL) {
        return s3_fault(f, S3_ERR_SLOW_DOWN, NULL);
    }

    len = s3_uri_decode(p, s->path, 0);

    if (len < 0) {
        return s3_fault(f, S3_ERR_INVALID_URI, NULL);
    }

    host = ngx_http_s3_request_header(s, "host");
    domains = s->conf->domains;

    if (domains != NULL && host.data != NULL
        && s3_host_bucket(host, domains->elts, domains->nelts, &bucket)
           == S3_OK)
    {
        in.host_bucket = ngx_http_s3_dup(s, bucket);
    }

    in.method = s3_str(s->r->method_name.data, s->r->method_name.len);
    in.path = s3_str(p, len);
    in.query = &s->query;
    in.copy_source = ngx_http_s3_request_header(s, "x-amz-copy-source");
    in.request_route = ngx_http_s3_request_header(s, "x-amz-request-route").data
                       != NULL;

    return s3_route(&s->route, &in, f);
}


static ngx_int_t
ngx_http_s3_authenticate(ngx_http_s3_ctx_t *s)
{
    s3_str_t            target;
    s3_auth_request_t   req;

    ngx_memzero(&req, sizeof(s3_auth_request_t));

    target = s3_str(s->r->unparsed_uri.data, s->r->unparsed_uri.len);

    req.method = s3_str(s->r->method_name.data, s->r->method_name.len);
    s3_uri_split(target, &req.path, &req.query);
    req.headers = s->headers;
    req.nheaders = s->nheaders;
    req.now = ngx_time();
    req.region = s3_str(s->conf->region.data, s->conf->region.len);
    req.credential = ngx_http_s3_find_credential;
    req.credential_data = s->conf->credentials;
    req.cache = ngx_http_s3_keys();
    req.alloc = ngx_http_s3_auth_alloc;
    req.alloc_data = s->pool;

    if (s3_auth_verify(&req, &s->auth) == S3_OK) {
        return NGX_OK;
    }

    s->fault = s->auth.fault;

    if (s->fault.err == S3_ERR_NONE) {
        s3_fault(&s->fault, S3_ERR_ACCESS_DENIED, NULL);
    }

    return NGX_ERROR;
}


static int
ngx_http_s3_find_credential(void *data, s3_str_t akid, s3_credential_t *c)
{
    ngx_array_t  *credentials = data;

    ngx_uint_t                i;
    ngx_http_s3_credential_t *list;

    list = credentials->elts;

    for (i = 0; i < credentials->nelts; i++) {
        if (list[i].access_key.len == akid.len
            && ngx_memcmp(list[i].access_key.data, akid.data, akid.len) == 0)
        {
            c->secret = s3_str(list[i].secret_key.data,
                               list[i].secret_key.len);
            c->token = s3_null_str;
            return S3_OK;
        }
    }

    return S3_ENOENT;
}


static void *
ngx_http_s3_auth_alloc(void *data, size_t size)
{
    return ngx_palloc(data, size);
}


static void
ngx_http_s3_dispatch(ngx_http_s3_ctx_t *s)
{
    ngx_int_t            rc;
    ngx_http_s3_op_t    *op;
    ngx_http_request_t  *r;

    r = s->r;

    if (s3_op_info(s->route.op)->flags & (S3_OPF_RAW|S3_OPF_XML)) {

        if ((r->request_body != NULL || r->discard_body)
            && r->headers_in.content_length_n != 0)
        {
            /* who has read it may have used it up */

            ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                          "s3: another module has read the request body");
            ngx_http_s3_error(s, S3_ERR_INTERNAL_ERROR);
            return;
        }

    } else {
        rc = ngx_http_discard_request_body(r);

        if (rc != NGX_OK) {
            /* where the next request begins is not known */
            r->keepalive = 0;

            ngx_http_s3_error(s, rc == NGX_HTTP_INTERNAL_SERVER_ERROR
                                 ? S3_ERR_SLOW_DOWN : S3_ERR_INCOMPLETE_BODY);
            return;
        }
    }

    for (op = ngx_http_s3_ops; op->handler != NULL; op++) {
        if (op->op == s->route.op) {
            op->handler(s);
            return;
        }
    }

    /* what is left are the configurations that no bucket here has */

    ngx_http_s3_probe(s);
}
