
/*
 * UploadPart, UploadPartCopy.
 *
 * A part is a record of its own whose data is always in blobs: when the upload
 * completes, the object's record lists them and no byte is moved.
 */


#include "ngx_http_s3_module.h"


typedef struct {
    uint32_t                   number;
    s3_range_t                 range;         /* of a copy */
    s3_head_t                  check;
} ngx_http_s3_part_t;


static ngx_int_t ngx_http_s3_part_number(ngx_http_s3_ctx_t *s);
static ngx_int_t ngx_http_s3_part_checksum(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_part_found(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_part_received(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_part_commit(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_part_done(s3_put_t *put);
static void ngx_http_s3_part_committed(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_part_checked(s3_head_t *head);
static void ngx_http_s3_part_answer(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_part_withdrawn(s3_put_t *put);
static void ngx_http_s3_part_copy_upload(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_part_copy_source(ngx_http_s3_ctx_t *s);


void
ngx_http_s3_upload_part(ngx_http_s3_ctx_t *s)
{
    s->body.max = NGX_HTTP_S3_MAX_PUT;
    s->body.sink = ngx_http_s3_writer_sink;
    s->body.end = ngx_http_s3_part_received;

    if (ngx_http_s3_part_number(s) != NGX_OK
        || ngx_http_s3_check_unsupported(s) != NGX_OK)
    {
        ngx_http_s3_fail(s);
        return;
    }

    ngx_http_s3_with_upload(s, 0, ngx_http_s3_part_found);
}


static ngx_int_t
ngx_http_s3_part_number(ngx_http_s3_ctx_t *s)
{
    ngx_http_s3_part_t  *op;

    op = ngx_pcalloc(s->pool, sizeof(ngx_http_s3_part_t));
    if (op == NULL) {
        s3_fault(&s->fault, S3_ERR_SLOW_DOWN, NULL);
        return NGX_ERROR;
    }

    s->op = op;

    return s3_parse_part_number(ngx_http_s3_arg(s, "partNumber"), &op->number,
                                &s->fault)
           == S3_ERR_NONE ? NGX_OK : NGX_ERROR;
}


static void
ngx_http_s3_part_found(ngx_http_s3_ctx_t *s)
{
    int64_t  size;
    uint8_t  checksum;

    checksum = s->upload->entry.checksum;

    s->body.default_alg = checksum & 0xf;
    s->body.stored_alg = checksum & 0xf;
    s->body.need_md5 = (s->conf->etag == NGX_HTTP_S3_ETAG_MD5);

    if (ngx_http_s3_body_init(s) != NGX_OK
        || ngx_http_s3_part_checksum(s) != NGX_OK)
    {
        ngx_http_s3_fail(s);
        return;
    }

    size = s->auth.has_decoded_length ? (int64_t) s->auth.decoded_length
                                      : s->r->headers_in.content_length_n;

    if (ngx_http_s3_writer_open(s, s->bucket->id, s->route.key,
                                s->upload->entry.storage_class, size,
                                S3_WRITER_BLOB)
        != NGX_OK)
    {
        ngx_http_s3_fail(s);
        return;
    }

    ngx_http_s3_body_read(s);
}


/*
 * A part's checksum is of the upload's algorithm.  An upload without one takes
 * any; what is kept then is CRC64NVME.  The client vouches for each part of a
 * composite checksum; where the whole has one, it is made here if need be.
 */

static ngx_int_t
ngx_http_s3_part_checksum(ngx_http_s3_ctx_t *s)
{
    uint8_t                    checksum;
    ngx_uint_t                 given;
    const s3_checksum_info_t  *want, *got;

    checksum = s->upload->entry.checksum;

    if (checksum & 0x80) {
        return NGX_OK;
    }

    given = s->body.has_sum || s->body.trailer_sum;

    if (s->body.alg == (checksum & 0xf)
        && (given || ((checksum >> 4) & 0x3) != S3_CHECKSUM_COMPOSITE))
    {
        return NGX_OK;
    }

    want = s3_checksum_info(checksum & 0xf);

    if (!given) {
        s3_faultf(&s->fault, S3_ERR_INVALID_REQUEST,
                  "Checksum Type mismatch occurred, expected checksum Type: "
                  "%.*s, actual checksum Type: null",
                  (int) (want->header.len - 15), want->header.data + 15);
        return NGX_ERROR;
    }

    got = s3_checksum_info(s->body.alg);

    s3_faultf(&s->fault, S3_ERR_INVALID_REQUEST,
              "Checksum Type mismatch occurred, expected checksum Type: %.*s, "
              "actual checksum Type: %.*s",
              (int) (want->header.len - 15), want->header.data + 15,
              (int) (got->header.len - 15), got->header.data + 15);

    return NGX_ERROR;
}


static void
ngx_http_s3_part_received(ngx_http_s3_ctx_t *s)
{
    ngx_http_s3_writer_finish(s, ngx_http_s3_part_commit);
}


static void
ngx_http_s3_part_commit(ngx_http_s3_ctx_t *s)
{
    u_char              *key, tag[S3_UPLOAD_TAG_LEN];
    s3_put_t            *put;
    s3_str_t             digest;
    s3_loop_t           *loop;
    ngx_http_s3_part_t  *op;

    op = s->op;
    loop = ngx_s3_store_loop();

    if (s->writer->rc != S3_OK) {
        ngx_http_s3_error_rc(s, s->writer->rc);
        return;
    }

    key = ngx_pnalloc(s->pool, S3_MAX_KEY);
    if (key == NULL) {
        ngx_http_s3_error(s, S3_ERR_SLOW_DOWN);
        return;
    }

    loop->random(loop, tag, S3_UPLOAD_TAG_LEN);

    put = ngx_http_s3_put_init(s);

    put->bucket = s->bucket->id + S3_SPACE_PARTS;
    put->key = s3_upload_part_key(key, s->route.key, s->upload_id, op->number,
                                  tag);
    put->writer = s->writer;
    put->entry.size = s->writer->size;
    put->entry.storage_class = s->upload->entry.storage_class;

    if (s->conf->etag == NGX_HTTP_S3_ETAG_MD5) {
        ngx_memcpy(put->entry.etag, s->body.md5_digest, 16);

    } else {
        loop->random(loop, put->entry.etag, 16);
    }

    put->entry.checksum = s->upload->entry.checksum & 0xf;
    digest = s3_str(s->body.stored_alg != S3_CHECKSUM_NONE
                    ? s->body.stored_digest : s->body.sum_digest,
                    s3_checksum_info(put->entry.checksum)->len);

    if (s3_upload_part_set(&put->entry, &s->writer->ref, digest) != S3_OK) {
        ngx_http_s3_error(s, S3_ERR_INTERNAL_ERROR);
        return;
    }

    put->meta = s3_meta_blob(&s->meta);
    put->done = ngx_http_s3_part_done;

    ngx_http_s3_hold(s);
    s3_store_put(put);
}


static void
ngx_http_s3_part_done(s3_put_t *put)
{
    ngx_http_s3_resume(put->ctx, ngx_http_s3_part_committed);
}


/*
 * The upload may have ended while the part came in; nobody would ever remove
 * the part then.
 */

static void
ngx_http_s3_part_committed(ngx_http_s3_ctx_t *s)
{
    s3_head_t           *head;
    ngx_http_s3_part_t  *op;

    if (s->put.rc != S3_OK) {
        ngx_http_s3_put_error(s, s->put.rc);
        return;
    }

    op = s->op;
    head = &op->check;

    head->store = s->store;
    head->bucket = s->bucket->id + S3_SPACE_UPLOADS;
    head->key = s->upload_key;
    head->brief = 1;
    head->done = ngx_http_s3_part_checked;
    head->ctx = s;

    ngx_http_s3_hold(s);
    s3_store_head(head);
}


static void
ngx_http_s3_part_checked(s3_head_t *head)
{
    s3_object_release(head->object);

    ngx_http_s3_resume(head->ctx, ngx_http_s3_part_answer);
}


static void
ngx_http_s3_part_answer(ngx_http_s3_ctx_t *s)
{
    u_char               etag[NGX_HTTP_S3_ETAG_LEN];
    u_char               value[S3_CHECKSUM_VALUE_SIZE];
    uint64_t             bucket;
    s3_put_t            *put;
    s3_str_t             key;
    s3_xml_t             xml;
    s3_xml_checksum_t    sum;
    ngx_http_s3_part_t  *op;

    op = s->op;

    if (op->check.rc == S3_ENOENT) {
        put = &s->put;
        bucket = put->bucket;
        key = put->key;

        (void) ngx_http_s3_put_init(s);

        put->bucket = bucket;
        put->key = key;
        put->entry.kind = S3_KIND_TOMBSTONE;
        put->done = ngx_http_s3_part_withdrawn;

        ngx_http_s3_hold(s);
        s3_store_put(put);
        return;
    }

    if (s->route.op == S3_OP_UPLOAD_PART_COPY) {
        ngx_memzero(&sum, sizeof(s3_xml_checksum_t));

        if (!(s->upload->entry.checksum & 0x80)) {
            sum.alg = s->body.alg;
            sum.value = s3_str(value, s3_checksum_value(value, s->body.alg,
                                                   s->body.sum_digest, 0));
        }

        s3_xml_init(&xml, 64 * 1024);
        s3_xml_copy_part(&xml, ngx_http_s3_etag(&s->put.entry, etag),
                         s->put.entry.mtime, &sum);

        ngx_http_s3_send_xml(s, NGX_HTTP_OK, &xml);
        return;
    }

    if (ngx_http_s3_set_etag(s, &s->put.entry) != NGX_OK) {
        ngx_http_s3_finish(s, NGX_ERROR);
        return;
    }

    if (s->body.has_sum || !(s->upload->entry.checksum & 0x80)) {
        if (ngx_http_s3_set_header(s, (char *)
                           s3_checksum_info(s->body.alg)->header.data,
                           s3_str(value, s3_checksum_value(value, s->body.alg,
                                                     s->body.sum_digest, 0)))
            != NGX_OK)
        {
            ngx_http_s3_finish(s, NGX_ERROR);
            return;
        }
    }

    ngx_http_s3_send_empty(s, NGX_HTTP_OK);
}


static void
ngx_http_s3_part_withdrawn(s3_put_t *put)
{
    ngx_http_s3_resume(put->ctx, ngx_http_s3_no_such_upload);
}


/* UploadPartCopy */

void
ngx_http_s3_upload_part_copy(ngx_http_s3_ctx_t *s)
{
    if (ngx_http_s3_part_number(s) != NGX_OK
        || ngx_http_s3_check_unsupported(s) != NGX_OK)
    {
        ngx_http_s3_fail(s);
        return;
    }

    ngx_http_s3_with_upload(s, 0, ngx_http_s3_part_copy_upload);
}


static void
ngx_http_s3_part_copy_upload(ngx_http_s3_ctx_t *s)
{
    ngx_http_s3_with_source(s, ngx_http_s3_part_copy_source);
}


static void
ngx_http_s3_part_copy_source(ngx_http_s3_ctx_t *s)
{
    s3_str_t             value;
    uint64_t             size;
    s3_range_t          *range;
    ngx_http_s3_part_t  *op;

    op = s->op;
    range = &op->range;
    size = s->object->entry.size;

    value = ngx_http_s3_request_header(s, "x-amz-copy-source-range");

    if (value.data != NULL) {
        if (s3_copy_range_parse(range, value, size, &s->fault)
            != S3_ERR_NONE)
        {
            ngx_http_s3_fail(s);
            return;
        }

    } else {
        range->first = 0;
        range->end = size;
    }

    if (range->end - range->first > NGX_HTTP_S3_MAX_PUT) {
        s3_fault(&s->fault, S3_ERR_INVALID_REQUEST,
                 "The specified copy source is larger than the maximum "
                 "allowable size for a copy source: 5368709120");
        ngx_http_s3_fail(s);
        return;
    }

    s->body.alg = s->upload->entry.checksum & 0xf;
    s->body.need_md5 = (s->conf->etag == NGX_HTTP_S3_ETAG_MD5);

    if (ngx_http_s3_digest_init_copy(s) != NGX_OK) {
        ngx_http_s3_fail(s);
        return;
    }

    if (ngx_http_s3_writer_open(s, s->bucket->id, s->route.key,
                                s->upload->entry.storage_class,
                                range->end - range->first, S3_WRITER_BLOB)
        != NGX_OK)
    {
        ngx_http_s3_fail(s);
        return;
    }

    ngx_http_s3_pump(s, range->first, range->end - range->first,
                     ngx_http_s3_part_commit);
}
