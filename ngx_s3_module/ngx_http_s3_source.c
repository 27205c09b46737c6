
/*
 * The source of a copy: found, judged, and pumped into a writer.
 *
 *   reader ── slices ── digests ── writer
 *
 * The reader waits for the writer and the writer for the drives: memory is
 * that of one GET and one PUT.
 */


#include "ngx_http_s3_module.h"


#define NGX_HTTP_S3_SOURCE_ATTEMPTS  3


static void ngx_http_s3_source_bucket_done(s3_bucket_op_t *op);
static void ngx_http_s3_source_bucket(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_source_head_done(s3_head_t *head);
static void ngx_http_s3_source_found(ngx_http_s3_ctx_t *s);
static ngx_int_t ngx_http_s3_source_conditions(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_pump_ready(s3_reader_t *reader);
static void ngx_http_s3_pump_fetched(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_pump_step(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_pump_failed(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_pump_end(ngx_http_s3_ctx_t *s);


/* The object that x-amz-copy-source names, in s->source, then step. */

void
ngx_http_s3_with_source(ngx_http_s3_ctx_t *s, ngx_http_s3_step_pt step)
{
    u_char          *p;
    s3_str_t         value;
    s3_bucket_op_t  *op;

    value = ngx_http_s3_request_header(s, "x-amz-copy-source");

    p = ngx_pnalloc(s->pool, value.len + 1);
    if (p == NULL) {
        ngx_http_s3_error(s, S3_ERR_SLOW_DOWN);
        return;
    }

    if (s3_copy_source_parse(&s->copy_source, value, p, &s->fault)
        != S3_ERR_NONE
        || ngx_http_s3_check_owner(s, "x-amz-source-expected-bucket-owner")
           != NGX_OK)
    {
        ngx_http_s3_fail(s);
        return;
    }

    if (s->copy_source.version_id.data != NULL
        && !s3_str_eq(s->copy_source.version_id, s3_string("null")))
    {
        s3_fault_arg(&s->fault, "Invalid version id specified", "versionId",
                     s->copy_source.version_id);
        ngx_http_s3_fail(s);
        return;
    }

    s->source_step = step;

    op = &s->source_op;

    ngx_memzero(op, sizeof(s3_bucket_op_t));

    op->buckets = ngx_http_s3_buckets();
    op->name = s->copy_source.bucket;
    op->done = ngx_http_s3_source_bucket_done;
    op->ctx = s;

    ngx_http_s3_hold(s);
    s3_bucket_get(op);
}


static void
ngx_http_s3_source_bucket_done(s3_bucket_op_t *op)
{
    ngx_http_s3_ctx_t *s = op->ctx;

    s->source_bucket = op->bucket;

    ngx_http_s3_resume(s, ngx_http_s3_source_bucket);
}


static void
ngx_http_s3_source_bucket(ngx_http_s3_ctx_t *s)
{
    s3_head_t  *head;

    if (s->source_op.rc == S3_ENOENT) {
        s3_fault(&s->fault, S3_ERR_NO_SUCH_BUCKET, NULL);
        s3_fault_add(&s->fault, "BucketName", s->copy_source.bucket);
        ngx_http_s3_fail(s);
        return;
    }

    if (s->source_op.rc != S3_OK) {
        ngx_http_s3_error_rc(s, s->source_op.rc);
        return;
    }

    head = &s->head;

    ngx_memzero(head, sizeof(s3_head_t));

    head->store = s->store;
    head->bucket = s->source_bucket->id;
    head->key = s->copy_source.key;
    head->done = ngx_http_s3_source_head_done;
    head->ctx = s;

    ngx_http_s3_hold(s);
    s3_store_head(head);
}


static void
ngx_http_s3_source_head_done(s3_head_t *head)
{
    ngx_http_s3_ctx_t *s = head->ctx;

    s3_object_release(s->object);
    s->object = head->object;

    ngx_http_s3_resume(s, ngx_http_s3_source_found);
}


static void
ngx_http_s3_source_found(ngx_http_s3_ctx_t *s)
{
    if (s->head.rc == S3_ENOENT) {
        s3_fault(&s->fault, S3_ERR_NO_SUCH_KEY, NULL);
        s3_fault_add(&s->fault, "Key", s->copy_source.key);
        ngx_http_s3_fail(s);
        return;
    }

    if (s->head.rc != S3_OK) {
        ngx_http_s3_error_rc(s, s->head.rc);
        return;
    }

    if (ngx_http_s3_source_conditions(s) != NGX_OK) {
        ngx_http_s3_fail(s);
        return;
    }

    s->source_step(s);
}


static ngx_int_t
ngx_http_s3_source_conditions(ngx_http_s3_ctx_t *s)
{
    u_char       buf[NGX_HTTP_S3_ETAG_LEN];
    s3_cond_t    cond;
    s3_entry_t  *e;

    e = &s->object->entry;

    cond.match = ngx_http_s3_request_header(s, "x-amz-copy-source-if-match");
    cond.none_match = ngx_http_s3_request_header(s,
                                        "x-amz-copy-source-if-none-match");
    cond.modified_since = ngx_http_s3_request_header(s,
                                        "x-amz-copy-source-if-modified-since");
    cond.unmodified_since = ngx_http_s3_request_header(s,
                                      "x-amz-copy-source-if-unmodified-since");

    return s3_cond_copy(&cond, ngx_http_s3_etag(e, buf), e->mtime / 1000,
                        ngx_time(), &s->fault)
           == S3_ERR_NONE ? NGX_OK : NGX_ERROR;
}


void
ngx_http_s3_close_reader(ngx_http_s3_ctx_t *s)
{
    if (s->reader != NULL) {
        s3_reader_close(s->reader);
        s->reader = NULL;
    }
}


/* Once more from the beginning, with what the source is now. */

void
ngx_http_s3_source_again(ngx_http_s3_ctx_t *s)
{
    ngx_http_s3_close_reader(s);

    if (s->writer != NULL) {
        s3_writer_close(s->writer);
        s->writer = NULL;
    }

    s3_meta_free(&s->meta);
    s3_meta_init(&s->meta);
    ngx_http_s3_digest_free(s);

    s3_bucket_release(s->source_bucket);
    s->source_bucket = NULL;

    ngx_http_s3_with_source(s, s->source_step);
}


/*
 * Bytes of s->object into s->writer, hashing as s->body asks; the writer is
 * finished, then step.
 */

void
ngx_http_s3_pump(ngx_http_s3_ctx_t *s, uint64_t off, uint64_t len,
    ngx_http_s3_step_pt step)
{
    s->pump = ngx_http_s3_pump_step;
    s->pump_end = step;
    s->slice = 0;

    if (!s->r->discard_body) {
        s->r->read_event_handler = ngx_http_test_reading;
    }

    if (len == 0) {
        ngx_http_s3_pump_end(s);
        return;
    }

    s->reader = s3_reader_open(s->store, s->object, off, len);
    if (s->reader == NULL) {
        ngx_http_s3_error(s, S3_ERR_SLOW_DOWN);
        return;
    }

    s->reader->ready = ngx_http_s3_pump_ready;
    s->reader->ctx = s;
    s->reader->n = 0;
    s->waiting = 1;

    s3_reader_next(s->reader);
}


static void
ngx_http_s3_pump_ready(s3_reader_t *reader)
{
    ngx_http_s3_ctx_t *s = reader->ctx;

    s->waiting = 0;
    s->slice = 0;

    ngx_http_s3_hold(s);
    ngx_http_s3_resume(s, ngx_http_s3_pump_fetched);
}


static void
ngx_http_s3_pump_fetched(ngx_http_s3_ctx_t *s)
{
    ngx_int_t     rc;
    s3_reader_t  *reader;

    reader = s->reader;

    if (reader->rc == S3_OK) {

        rc = ngx_http_s3_digest_update(s, reader->slices, reader->n,
                                       ngx_http_s3_pump_step);

        if (rc == NGX_AGAIN) {
            return;
        }

        if (rc != NGX_OK) {
            ngx_http_s3_fail(s);
            return;
        }
    }

    ngx_http_s3_pump_step(s);
}


static void
ngx_http_s3_pump_step(ngx_http_s3_ctx_t *s)
{
    ssize_t       n;
    s3_str_t     *slice;
    s3_reader_t  *reader;

    reader = s->reader;

    if (s->waiting || s->body.hashing) {
        return;
    }

    if (s->body.failed) {
        ngx_http_s3_fail(s);
        return;
    }

    if (reader->rc == S3_DONE) {
        ngx_http_s3_pump_end(s);
        return;
    }

    if (reader->rc != S3_OK) {
        ngx_http_s3_pump_failed(s);
        return;
    }

    while (s->slice < reader->n) {
        slice = &reader->slices[s->slice];

        n = s3_writer_write(s->writer, slice->data, slice->len);

        if (n < 0) {
            ngx_http_s3_error_rc(s, n);
            return;
        }

        slice->data += n;
        slice->len -= n;

        if (slice->len) {
            return;
        }

        s->slice++;
    }

    s->waiting = 1;
    s3_reader_next(reader);
}


/* The data may be gone because the source was overwritten meanwhile. */

static void
ngx_http_s3_pump_failed(ngx_http_s3_ctx_t *s)
{
    int  rc;

    rc = s->reader->rc;

    if (s->attempts++ >= NGX_HTTP_S3_SOURCE_ATTEMPTS) {
        ngx_http_s3_error_rc(s, rc);
        return;
    }

    ngx_http_s3_source_again(s);
}


static void
ngx_http_s3_pump_end(ngx_http_s3_ctx_t *s)
{
    ngx_http_s3_close_reader(s);

    ngx_http_s3_digest_final(s);

    ngx_http_s3_writer_finish(s, s->pump_end);
}
