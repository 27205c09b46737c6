
/*
 * The state of a request: made with it, and gone when both the request and
 * the last callback of the store are.
 */


#include "ngx_http_s3_module.h"


/* Past this, an operation that has not ended is worth a line in the log. */

#define NGX_HTTP_S3_GUARD  60000

/*
 * States that are kept for the next request, with their pools: malloc() would
 * split and join what is so large each time.  AddressSanitizer shall see each
 * use of one that has gone.
 */

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define NGX_HTTP_S3_SPARES  0
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define NGX_HTTP_S3_SPARES  0
#endif

#ifndef NGX_HTTP_S3_SPARES
#define NGX_HTTP_S3_SPARES  32
#endif

#define NGX_HTTP_S3_POOL    8192


static ngx_http_s3_ctx_t *ngx_http_s3_ctx_get(void);
static void ngx_http_s3_ctx_put(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_request_ended(void *data);
static void ngx_http_s3_request_gone(void *data);
static void ngx_http_s3_guard_handler(ngx_event_t *ev);
static void ngx_http_s3_bucket_done(s3_bucket_op_t *op);
static void ngx_http_s3_bucket_step(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_head_done(s3_head_t *head);
static void ngx_http_s3_head_step(ngx_http_s3_ctx_t *s);


static ngx_uint_t          ngx_http_s3_nspares;
static ngx_http_s3_ctx_t  *ngx_http_s3_spares[NGX_HTTP_S3_SPARES + 1];


ngx_http_s3_ctx_t *
ngx_http_s3_ctx_create(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t  *cln;
    ngx_http_cleanup_t  *end;
    ngx_http_s3_ctx_t   *s;

    /* the state itself outlives the request's cleanups, which run before the
     * access log; they only stop it from going on */

    cln = ngx_pool_cleanup_add(r->pool, 0);
    end = ngx_http_cleanup_add(r, 0);

    if (cln == NULL || end == NULL) {
        return NULL;
    }

    s = ngx_http_s3_ctx_get();
    if (s == NULL) {
        return NULL;
    }

    s->r = r;
    s->refs = 1;
    s->conf = ngx_http_get_module_loc_conf(r, ngx_http_s3_module);
    s->store = ngx_s3_store_get();
    s->began = ngx_http_s3_metrics_now();

    s3_meta_init(&s->meta);

    cln->handler = ngx_http_s3_request_gone;
    cln->data = s;

    end->handler = ngx_http_s3_request_ended;
    end->data = s;

    ngx_http_set_ctx(r, s, ngx_http_s3_module);

    /* conditions have been judged by the time that headers are sent: for a
     * write, nginx would judge them by the object that it has made */

    r->disable_not_modified = 1;

    return s;
}


static ngx_http_s3_ctx_t *
ngx_http_s3_ctx_get(void)
{
    ngx_pool_t         *pool;
    ngx_http_s3_ctx_t  *s;

    if (ngx_http_s3_nspares) {
        s = ngx_http_s3_spares[--ngx_http_s3_nspares];
        pool = s->pool;
        pool->log = ngx_cycle->log;

    } else {
        s = ngx_alloc(sizeof(ngx_http_s3_ctx_t), ngx_cycle->log);
        if (s == NULL) {
            return NULL;
        }

        pool = ngx_create_pool(NGX_HTTP_S3_POOL, ngx_cycle->log);
        if (pool == NULL) {
            ngx_free(s);
            return NULL;
        }
    }

    ngx_memzero(s, offsetof(ngx_http_s3_ctx_t, body.chunked));
    s->query.n = 0;
    s->pool = pool;

    return s;
}


/* A pool that has grown is not kept, nor one whose cleanups have to run. */

static void
ngx_http_s3_ctx_put(ngx_http_s3_ctx_t *s)
{
    if (ngx_http_s3_nspares == NGX_HTTP_S3_SPARES
        || s->pool->d.next != NULL || s->pool->cleanup != NULL)
    {
        ngx_destroy_pool(s->pool);
        ngx_free(s);
        return;
    }

    ngx_reset_pool(s->pool);
    ngx_http_s3_spares[ngx_http_s3_nspares++] = s;
}


/* A worker that is told to stop waits for timers, not for the store. */

void
ngx_http_s3_watch(ngx_http_s3_ctx_t *s)
{
    if (s->ended && s->refs == 2) {
        /* only the request is left, and the handler itself */
        return;
    }

    s->guard.handler = ngx_http_s3_guard_handler;
    s->guard.data = s;
    s->guard.log = ngx_cycle->log;

    ngx_add_timer(&s->guard, NGX_HTTP_S3_GUARD);
}


/* The request may still wait for its connection to be rid of it. */

static void
ngx_http_s3_request_ended(void *data)
{
    ngx_http_s3_ctx_t *s = data;

    s->ended = 1;
}


static void
ngx_http_s3_request_gone(void *data)
{
    ngx_http_s3_ctx_t *s = data;

    s->r = NULL;

    ngx_http_s3_close_reader(s);

    if (s->body.yield.posted) {
        ngx_delete_posted_event(&s->body.yield);
    }

    ngx_http_s3_release(s);
}


void
ngx_http_s3_release(ngx_http_s3_ctx_t *s)
{
    if (--s->refs != 0) {
        return;
    }

    if (s->guard.timer_set) {
        ngx_del_timer(&s->guard);
    }

    if (s->op_cleanup != NULL) {
        s->op_cleanup(s->op);
    }

    ngx_http_s3_body_cleanup(s);

    if (s->writer != NULL) {
        s3_writer_close(s->writer);
    }

    s3_object_release(s->object);
    s3_object_release(s->upload);
    s3_bucket_release(s->bucket);
    s3_bucket_release(s->source_bucket);
    s3_meta_free(&s->meta);

    ngx_explicit_memzero(s->auth.key, sizeof(s->auth.key));
    ngx_http_s3_ctx_put(s);
}


static void
ngx_http_s3_guard_handler(ngx_event_t *ev)
{
    ngx_http_s3_ctx_t *s = ev->data;

    if (s->r == NULL) {
        ngx_log_error(NGX_LOG_WARN, ev->log, 0,
                      "s3: %s still waits for a drive after its client left",
                      s3_op_info(s->route.op)->name);
    }

    ngx_add_timer(ev, NGX_HTTP_S3_GUARD);
}


void
ngx_http_s3_resume(ngx_http_s3_ctx_t *s, ngx_http_s3_step_pt step)
{
    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    r = s->r;

    if (r == NULL || s->ended) {
        ngx_http_s3_release(s);
        return;
    }

    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    step(s);

    if (s->inside == 0) {
        ngx_http_run_posted_requests(c);
    }

    ngx_http_s3_release(s);
}


void
ngx_http_s3_finish(ngx_http_s3_ctx_t *s, ngx_int_t rc)
{
    if (s->ended) {
        return;
    }

    s->ended = 1;

    ngx_http_finalize_request(s->r, rc);
}


s3_str_t
ngx_http_s3_find_header(ngx_http_s3_ctx_t *s, s3_str_t name)
{
    ngx_uint_t            i;
    const s3_header_t    *h;
    const s3_uri_pair_t  *pair;

    for (i = 0; i < s->nheaders; i++) {
        h = &s->headers[i];

        if (h->name.len == name.len
            && ngx_strncasecmp((u_char *) h->name.data, (u_char *) name.data,
                               name.len)
               == 0)
        {
            return h->value;
        }
    }

    if (s->auth.kind == S3_AUTH_PRESIGNED
        && name.len > 6 && ngx_memcmp(name.data, "x-amz-", 6) == 0)
    {
        pair = s3_uri_query_find_nocase(&s->query, name);

        if (pair != NULL) {
            return pair->value;
        }
    }

    return s3_null_str;
}


s3_str_t
ngx_http_s3_arg(ngx_http_s3_ctx_t *s, const char *name)
{
    s3_str_t              value;
    const s3_uri_pair_t  *pair;

    if (s->query.n == 0) {
        return s3_null_str;
    }

    pair = s3_uri_query_find(&s->query, s3_str(name, ngx_strlen(name)));

    if (pair == NULL) {
        return s3_null_str;
    }

    value = pair->value;

    if (value.data == NULL) {
        value.data = (const uint8_t *) "";
    }

    return value;
}


s3_str_t
ngx_http_s3_dup(ngx_http_s3_ctx_t *s, s3_str_t str)
{
    u_char  *p;

    p = ngx_pnalloc(s->pool, str.len ? str.len : 1);
    if (p == NULL) {
        return s3_null_str;
    }

    if (str.len) {
        ngx_memcpy(p, str.data, str.len);
    }

    return s3_str(p, str.len);
}


ngx_int_t
ngx_http_s3_check_owner(ngx_http_s3_ctx_t *s, const char *header)
{
    size_t    i;
    s3_str_t  value;

    value = ngx_http_s3_request_header(s, header);

    if (value.data == NULL) {
        return NGX_OK;
    }

    for (i = 0; i < value.len; i++) {
        if (value.data[i] < '0' || value.data[i] > '9') {
            break;
        }
    }

    if (value.len == 0 || i != value.len) {
        s3_fault(&s->fault, S3_ERR_INVALID_BUCKET_OWNER_AWS_ACCOUNT_ID, NULL);
        return NGX_ERROR;
    }

    /* this store has one account, and it has no number */

    s3_fault(&s->fault, S3_ERR_ACCESS_DENIED, NULL);

    return NGX_ERROR;
}


void
ngx_http_s3_with_bucket(ngx_http_s3_ctx_t *s, ngx_http_s3_step_pt step)
{
    s3_bucket_op_t  *op;

    s3_bucket_release(s->bucket);
    s->bucket = NULL;

    op = &s->bucket_op;

    ngx_memzero(op, sizeof(s3_bucket_op_t));

    op->buckets = ngx_http_s3_buckets();
    op->name = s->route.bucket;
    op->done = ngx_http_s3_bucket_done;
    op->ctx = s;

    s->bucket_step = step;

    ngx_http_s3_hold(s);
    s3_bucket_get(op);
}


static void
ngx_http_s3_bucket_done(s3_bucket_op_t *op)
{
    ngx_http_s3_ctx_t *s = op->ctx;

    s->bucket = op->bucket;

    ngx_http_s3_resume(s, ngx_http_s3_bucket_step);
}


static void
ngx_http_s3_bucket_step(ngx_http_s3_ctx_t *s)
{
    if (s->bucket_op.rc == S3_ENOENT) {
        s3_fault(&s->fault, S3_ERR_NO_SUCH_BUCKET, NULL);
        s3_fault_add(&s->fault, "BucketName", s->route.bucket);
        ngx_http_s3_fail(s);
        return;
    }

    if (s->bucket_op.rc != S3_OK) {
        ngx_http_s3_error_rc(s, s->bucket_op.rc);
        return;
    }

    if (s->bucket->state != S3_BUCKET_ACTIVE
        && (s3_op_info(s->route.op)->flags & S3_OPF_WRITE))
    {
        ngx_http_s3_error(s, S3_ERR_OPERATION_ABORTED);
        return;
    }

    s->bucket_step(s);
}


void
ngx_http_s3_with_object(ngx_http_s3_ctx_t *s, ngx_http_s3_step_pt step)
{
    s3_head_t  *head;

    s3_object_release(s->object);
    s->object = NULL;

    head = &s->head;

    ngx_memzero(head, sizeof(s3_head_t));

    head->store = s->store;
    head->bucket = s->bucket->id;
    head->key = s->route.key;
    head->data = (s->route.op == S3_OP_GET_OBJECT);
    head->meta = (s->route.op == S3_OP_HEAD_OBJECT);
    head->done = ngx_http_s3_head_done;
    head->ctx = s;

    s->head_step = step;

    ngx_http_s3_hold(s);
    s3_store_head(head);
}


ngx_int_t
ngx_http_s3_check_object(ngx_http_s3_ctx_t *s)
{
    if (s->head.rc == S3_OK) {
        return NGX_OK;
    }

    if (s->head.rc == S3_ENOENT) {
        s3_fault(&s->fault, S3_ERR_NO_SUCH_KEY, NULL);
        s3_fault_add(&s->fault, "Key", s->route.key);
        ngx_http_s3_fail(s);

    } else {
        ngx_http_s3_error_rc(s, s->head.rc);
    }

    return NGX_ERROR;
}


static void
ngx_http_s3_head_done(s3_head_t *head)
{
    ngx_http_s3_ctx_t *s = head->ctx;

    s->object = head->object;

    ngx_http_s3_resume(s, ngx_http_s3_head_step);
}


static void
ngx_http_s3_head_step(ngx_http_s3_ctx_t *s)
{
    s->head_step(s);
}
