
/*
 * PutObject, and what every write shares: conditions, the writer, the record.
 *
 *   headers checked ── bucket ── writer ◄── body ── digests right? ── durable
 *                                                        ── record ── 200
 *
 * A crash before the record leaves blobs that no record lists, and the object
 * as it was.
 */


#include "ngx_http_s3_module.h"


static void ngx_http_s3_put_begin(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_put_received(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_put_commit(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_put_done(s3_put_t *put);
static void ngx_http_s3_put_committed(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_writer_writable(s3_writer_t *w);
static void ngx_http_s3_writer_finished(s3_writer_t *w);
static void ngx_http_s3_writer_step(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_put_stale(ngx_http_s3_ctx_t *s);


void
ngx_http_s3_put_object(ngx_http_s3_ctx_t *s)
{
    s->body.max = NGX_HTTP_S3_MAX_PUT;
    s->body.default_alg = S3_CHECKSUM_CRC64NVME;
    s->body.need_md5 = (s->conf->etag == NGX_HTTP_S3_ETAG_MD5);
    s->body.sink = ngx_http_s3_writer_sink;
    s->body.end = ngx_http_s3_put_received;

    if (ngx_http_s3_check_unsupported(s) != NGX_OK
        || ngx_http_s3_storage_class(s, &s->put.entry.storage_class) != NGX_OK
        || ngx_http_s3_write_condition(s, 0) != NGX_OK
        || ngx_http_s3_meta_from_request(s) != NGX_OK
        || ngx_http_s3_tags_from_request(s) != NGX_OK
        || ngx_http_s3_body_init(s) != NGX_OK)
    {
        ngx_http_s3_fail(s);
        return;
    }

    ngx_http_s3_with_bucket(s, ngx_http_s3_put_begin);
}


static void
ngx_http_s3_put_begin(ngx_http_s3_ctx_t *s)
{
    int64_t  size;

    size = s->auth.has_decoded_length ? (int64_t) s->auth.decoded_length
                                      : s->r->headers_in.content_length_n;

    if (ngx_http_s3_writer_open(s, s->bucket->id, s->route.key,
                                s->put.entry.storage_class, size, 0)
        != NGX_OK)
    {
        ngx_http_s3_fail(s);
        return;
    }

    ngx_http_s3_body_read(s);
}


static void
ngx_http_s3_put_received(ngx_http_s3_ctx_t *s)
{
    ngx_http_s3_writer_finish(s, ngx_http_s3_put_commit);
}


static void
ngx_http_s3_put_commit(ngx_http_s3_ctx_t *s)
{
    s3_put_t            *put;
    s3_meta_checksum_t   sum;

    if (s->writer->rc != S3_OK) {
        ngx_http_s3_error_rc(s, s->writer->rc);
        return;
    }

    put = ngx_http_s3_put_init(s);

    put->writer = s->writer;
    put->entry.size = s->writer->size;

    if (s->conf->etag == NGX_HTTP_S3_ETAG_MD5) {
        ngx_memcpy(put->entry.etag, s->body.md5_digest, 16);

    } else {
        ngx_s3_store_loop()->random(ngx_s3_store_loop(), put->entry.etag, 16);
    }

    if (s->body.alg != S3_CHECKSUM_NONE) {
        sum.alg = s->body.alg;
        sum.type = S3_CHECKSUM_FULL_OBJECT;
        sum.parts = 0;
        sum.digest = s3_str(s->body.sum_digest,
                            s3_checksum_info(sum.alg)->len);

        s3_meta_add_checksum(&s->meta, &sum);
        put->entry.checksum = (uint8_t) (sum.alg | sum.type << 4);
    }

    put->test = s->cond.kind == S3_WRITE_ALWAYS ? NULL : ngx_http_s3_test;

    ngx_http_s3_put_with_meta(s, ngx_http_s3_put_done);
}


static void
ngx_http_s3_put_done(s3_put_t *put)
{
    ngx_http_s3_resume(put->ctx, ngx_http_s3_put_committed);
}


static void
ngx_http_s3_put_committed(ngx_http_s3_ctx_t *s)
{
    if (s->put.rc != S3_OK) {
        ngx_http_s3_put_error(s, s->put.rc);
        return;
    }

    if (ngx_http_s3_set_etag(s, &s->put.entry) != NGX_OK
        || (s->body.alg != S3_CHECKSUM_NONE
            && ngx_http_s3_set_checksum(s, s->body.alg, s->body.sum_digest, 0,
                                        S3_CHECKSUM_FULL_OBJECT)
               != NGX_OK))
    {
        ngx_http_s3_finish(s, NGX_ERROR);
        return;
    }

    ngx_http_s3_send_empty(s, NGX_HTTP_OK);
}


/* Shared by every write. */

ngx_int_t
ngx_http_s3_write_condition(ngx_http_s3_ctx_t *s, ngx_uint_t del)
{
    s3_cond_t  cond;

    ngx_memzero(&cond, sizeof(s3_cond_t));

    cond.match = ngx_http_s3_request_header(s, "if-match");
    cond.none_match = ngx_http_s3_request_header(s, "if-none-match");

    return s3_cond_write(&cond, del, &s->cond, &s->fault) == S3_ERR_NONE
           ? NGX_OK : NGX_ERROR;
}


/* S3_ENOENT: If-Match on what is not there; AWS answers 404, not 412 */

int
ngx_http_s3_test(s3_put_t *put, const s3_entry_t *current)
{
    ngx_http_s3_ctx_t *s = put->ctx;

    u_char  buf[NGX_HTTP_S3_ETAG_LEN];

    switch (s->cond.kind) {

    case S3_WRITE_IF_ABSENT:
        return current == NULL ? S3_OK : S3_EPRECOND;

    case S3_WRITE_IF_EXISTS:
        return current == NULL ? S3_ENOENT : S3_OK;

    case S3_WRITE_IF_ETAG:
        if (current == NULL) {
            return S3_ENOENT;
        }

        return s3_str_eq(ngx_http_s3_etag(current, buf), s->cond.etag)
               ? S3_OK : S3_EPRECOND;

    default:
        return S3_OK;
    }
}


s3_put_t *
ngx_http_s3_put_init(ngx_http_s3_ctx_t *s)
{
    uint8_t     storage_class;
    s3_put_t   *put;
    s3_loop_t  *loop;

    put = &s->put;
    loop = ngx_s3_store_loop();
    storage_class = put->entry.storage_class;

    ngx_memzero(put, sizeof(s3_put_t));

    put->store = s->store;
    put->bucket = s->bucket->id;
    put->generation = s->bucket->generation;
    put->key = s->route.key;
    put->entry.kind = S3_KIND_OBJECT;
    put->entry.mtime = loop->wall_us(loop) / 1000;
    put->entry.storage_class = storage_class;
    put->ctx = s;

    return put;
}


void
ngx_http_s3_put_with_meta(ngx_http_s3_ctx_t *s, void (*done)(s3_put_t *put))
{
    if (s->meta.rc != S3_OK) {
        ngx_http_s3_error_rc(s, s->meta.rc);
        return;
    }

    s->put.meta = s3_meta_blob(&s->meta);
    s->put.done = done;

    ngx_http_s3_hold(s);
    s3_store_put(&s->put);
}


void
ngx_http_s3_put_error(ngx_http_s3_ctx_t *s, int rc)
{
    switch (rc) {

    case S3_EPRECOND:
        s3_fault(&s->fault, S3_ERR_PRECONDITION_FAILED, NULL);
        s3_fault_add(&s->fault, "Condition",
                     s->cond.kind == S3_WRITE_IF_ABSENT
                     ? s3_string("If-None-Match") : s3_string("If-Match"));
        ngx_http_s3_fail(s);
        return;

    case S3_ENOENT:
        s3_fault(&s->fault, S3_ERR_NO_SUCH_KEY, NULL);
        s3_fault_add(&s->fault, "Key", s->route.key);
        ngx_http_s3_fail(s);
        return;

    case S3_ESTALE:
        /* the bucket is being deleted, was, or was made anew */
        ngx_http_s3_with_bucket(s, ngx_http_s3_put_stale);
        return;

    default:
        ngx_http_s3_error_rc(s, rc);
    }
}


static void
ngx_http_s3_put_stale(ngx_http_s3_ctx_t *s)
{
    ngx_http_s3_error(s, S3_ERR_OPERATION_ABORTED);
}


/* The writer between body and drives. */

ngx_int_t
ngx_http_s3_writer_open(ngx_http_s3_ctx_t *s, uint64_t bucket, s3_str_t key,
    ngx_uint_t storage_class, int64_t size, ngx_uint_t flags)
{
    s3_writer_t  *w;

    w = s3_writer_open(s->store, bucket, key, storage_class, size, flags);

    if (w == NULL) {
        s3_fault(&s->fault, S3_ERR_SLOW_DOWN, NULL);
        return NGX_ERROR;
    }

    if (w->rc != S3_OK) {
        s3_fault(&s->fault, s3_err_from_rc(w->rc), NULL);
        s3_writer_close(w);
        return NGX_ERROR;
    }

    w->writable = ngx_http_s3_writer_writable;
    w->finished = ngx_http_s3_writer_finished;
    w->ctx = s;

    s->writer = w;

    return NGX_OK;
}


ssize_t
ngx_http_s3_writer_sink(ngx_http_s3_ctx_t *s, s3_str_t data)
{
    return s3_writer_write(s->writer, data.data, data.len);
}


static void
ngx_http_s3_writer_writable(s3_writer_t *w)
{
    ngx_http_s3_ctx_t *s = w->ctx;

    if (s->r == NULL || s->writer_step != NULL) {
        return;
    }

    ngx_http_s3_hold(s);
    ngx_http_s3_resume(s, s->pump ? s->pump : ngx_http_s3_body_continue);
}


void
ngx_http_s3_writer_finish(ngx_http_s3_ctx_t *s, ngx_http_s3_step_pt step)
{
    s->writer_step = step;

    ngx_http_s3_hold(s);
    s3_writer_finish(s->writer);
}


static void
ngx_http_s3_writer_finished(s3_writer_t *w)
{
    ngx_http_s3_resume(w->ctx, ngx_http_s3_writer_step);
}


static void
ngx_http_s3_writer_step(ngx_http_s3_ctx_t *s)
{
    ngx_http_s3_step_pt  step;

    step = s->writer_step;
    s->writer_step = NULL;

    step(s);
}
