
/*
 * CopyObject: data is read and written anew, coded for its new place; a copy
 * onto itself writes new metadata over the same data.
 */


#include "ngx_http_s3_module.h"


static ngx_int_t ngx_http_s3_copy_directive(ngx_http_s3_ctx_t *s,
    const char *header, ngx_uint_t *replace);
static void ngx_http_s3_copy_bucket(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_copy_found(ngx_http_s3_ctx_t *s);
static ngx_int_t ngx_http_s3_copy_meta(ngx_http_s3_ctx_t *s);
static ngx_int_t ngx_http_s3_copy_digests(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_copy_in_place(ngx_http_s3_ctx_t *s);
static int ngx_http_s3_copy_test(s3_put_t *put, const s3_entry_t *current);
static void ngx_http_s3_copy_commit(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_copy_done(s3_put_t *put);
static void ngx_http_s3_copy_committed(ngx_http_s3_ctx_t *s);


typedef struct {
    ngx_uint_t                 replace_meta;
    ngx_uint_t                 replace_tags;
    ngx_uint_t                 class_given;
    ngx_uint_t                 in_place;
    uint8_t                    storage_class;
    s3_checksum_alg_t          alg;           /* asked for */
    unsigned                   keep_etag:1;
    unsigned                   keep_sum:1;
    s3_meta_checksum_t         sum;
} ngx_http_s3_copy_t;


void
ngx_http_s3_copy_object(ngx_http_s3_ctx_t *s)
{
    s3_str_t             value;
    ngx_http_s3_copy_t  *op;

    op = ngx_pcalloc(s->pool, sizeof(ngx_http_s3_copy_t));
    if (op == NULL) {
        ngx_http_s3_error(s, S3_ERR_SLOW_DOWN);
        return;
    }

    s->op = op;

    if (ngx_http_s3_check_unsupported(s) != NGX_OK
        || ngx_http_s3_copy_directive(s, "x-amz-metadata-directive",
                                      &op->replace_meta) != NGX_OK
        || ngx_http_s3_copy_directive(s, "x-amz-tagging-directive",
                                      &op->replace_tags) != NGX_OK
        || ngx_http_s3_storage_class(s, &op->storage_class) != NGX_OK
        || ngx_http_s3_write_condition(s, 0) != NGX_OK)
    {
        ngx_http_s3_fail(s);
        return;
    }

    op->class_given = ngx_http_s3_request_header(s, "x-amz-storage-class").data
                      != NULL;

    value = ngx_http_s3_request_header(s, "x-amz-checksum-algorithm");

    if (value.data != NULL) {
        op->alg = s3_checksum_by_name(value);

        if (op->alg == S3_CHECKSUM_NONE
            || !s3_checksum_info(op->alg)->supported)
        {
            s3_fault(&s->fault, S3_ERR_INVALID_REQUEST,
                     "Checksum algorithm provided is unsupported. Please try "
                     "again with any of the valid types: [CRC32, CRC32C, "
                     "CRC64NVME, SHA1, SHA256]");
            ngx_http_s3_fail(s);
            return;
        }
    }

    ngx_http_s3_with_bucket(s, ngx_http_s3_copy_bucket);
}


static ngx_int_t
ngx_http_s3_copy_directive(ngx_http_s3_ctx_t *s, const char *header,
    ngx_uint_t *replace)
{
    s3_str_t  value;

    value = ngx_http_s3_request_header(s, header);

    *replace = 0;

    if (value.data == NULL || s3_str_eq(value, s3_string("COPY"))) {
        return NGX_OK;
    }

    if (s3_str_eq(value, s3_string("REPLACE"))) {
        *replace = 1;
        return NGX_OK;
    }

    s3_fault_arg(&s->fault, ngx_strcmp(header, "x-amz-metadata-directive") == 0
                            ? "Unknown metadata directive."
                            : "Unknown tagging directive.",
                 header, value);

    return NGX_ERROR;
}


static void
ngx_http_s3_copy_bucket(ngx_http_s3_ctx_t *s)
{
    ngx_http_s3_with_source(s, ngx_http_s3_copy_found);
}


static void
ngx_http_s3_copy_found(ngx_http_s3_ctx_t *s)
{
    s3_entry_t          *e;
    ngx_http_s3_copy_t  *op;

    op = s->op;
    e = &s->object->entry;

    op->in_place = s->bucket->id == s->source_bucket->id
                   && s3_str_eq(s->route.key, s->copy_source.key);

    if (op->in_place && !op->replace_meta
        && (!op->class_given || op->storage_class == e->storage_class)
        && op->alg == S3_CHECKSUM_NONE
        && ngx_http_s3_request_header(s, "x-amz-website-redirect-location").data
           == NULL)
    {
        s3_fault(&s->fault, S3_ERR_INVALID_REQUEST,
                 "This copy request is illegal because it is trying to copy "
                 "an object to itself without changing the object's metadata, "
                 "storage class, website redirect location or encryption "
                 "attributes.");
        ngx_http_s3_fail(s);
        return;
    }

    if (e->size > NGX_HTTP_S3_MAX_PUT) {
        s3_fault(&s->fault, S3_ERR_INVALID_REQUEST,
                 "The specified copy source is larger than the maximum "
                 "allowable size for a copy source: 5368709120");
        ngx_http_s3_fail(s);
        return;
    }

    if (!op->class_given) {
        op->storage_class = 0;
    }

    if (ngx_http_s3_copy_digests(s) != NGX_OK
        || ngx_http_s3_copy_meta(s) != NGX_OK)
    {
        ngx_http_s3_fail(s);
        return;
    }

    if (op->in_place && op->storage_class == e->storage_class && op->keep_sum
        && (op->keep_etag || e->etag_parts))
    {
        ngx_http_s3_copy_in_place(s);
        return;
    }

    if (ngx_http_s3_writer_open(s, s->bucket->id, s->route.key,
                                op->storage_class, e->size, 0)
        != NGX_OK)
    {
        ngx_http_s3_fail(s);
        return;
    }

    ngx_http_s3_pump(s, 0, e->size, ngx_http_s3_copy_commit);
}


/*
 * ETag and checksum of one PUT hold for the copy, too; those of a multipart
 * upload don't and are made anew, as is a checksum that was asked for.
 */

static ngx_int_t
ngx_http_s3_copy_digests(ngx_http_s3_ctx_t *s)
{
    s3_entry_t          *e;
    ngx_http_s3_copy_t  *op;

    op = s->op;
    e = &s->object->entry;

    op->keep_etag = e->etag_parts == 0;
    op->keep_sum = 0;
    s->body.alg = S3_CHECKSUM_NONE;

    if (s3_meta_find_checksum(s->object->record.meta, &op->sum) == S3_OK
        && op->sum.type == S3_CHECKSUM_FULL_OBJECT
        && (op->alg == S3_CHECKSUM_NONE || op->alg == op->sum.alg))
    {
        op->keep_sum = 1;

    } else {
        s->body.alg = op->alg != S3_CHECKSUM_NONE ? op->alg
                                                  : S3_CHECKSUM_CRC64NVME;
    }

    s->body.need_md5 = !op->keep_etag;

    return ngx_http_s3_digest_init_copy(s);
}


static ngx_int_t
ngx_http_s3_copy_meta(ngx_http_s3_ctx_t *s)
{
    s3_str_t             meta, redirect;
    ngx_http_s3_copy_t  *op;

    static const uint8_t  own[] = {
        S3_META_TAG, S3_META_CHECKSUM, S3_META_PARTS, S3_META_UPLOAD_ID,
        S3_META_WEBSITE_REDIRECT
    };

    op = s->op;
    meta = s->object->record.meta;

    if (op->replace_meta) {
        if (ngx_http_s3_meta_from_request(s) != NGX_OK) {
            return NGX_ERROR;
        }

    } else {
        (void) s3_meta_copy_except(&s->meta, meta, own, sizeof(own));

        redirect = ngx_http_s3_request_header(s,
                                            "x-amz-website-redirect-location");

        if (redirect.data != NULL) {
            if (ngx_http_s3_check_redirect(s, redirect) != NGX_OK) {
                return NGX_ERROR;
            }

            s3_meta_add(&s->meta, S3_META_WEBSITE_REDIRECT, redirect);
        }
    }

    if (op->replace_tags) {
        if (ngx_http_s3_tags_from_request(s) != NGX_OK) {
            return NGX_ERROR;
        }

    } else {
        (void) s3_meta_copy(&s->meta, meta, S3_META_TAG);
    }

    if (s->meta.rc != S3_OK) {
        s3_fault(&s->fault, s3_err_from_rc(s->meta.rc), NULL);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* New metadata, same data: parts, checksum and ETag stay what they are. */

static void
ngx_http_s3_copy_in_place(ngx_http_s3_ctx_t *s)
{
    uint64_t      mtime;
    s3_put_t     *put;
    s3_str_t      meta;

    meta = s->object->record.meta;

    (void) s3_meta_copy(&s->meta, meta, S3_META_CHECKSUM);
    (void) s3_meta_copy(&s->meta, meta, S3_META_PARTS);
    (void) s3_meta_copy(&s->meta, meta, S3_META_UPLOAD_ID);

    put = ngx_http_s3_put_init(s);

    mtime = put->entry.mtime;

    put->entry = s->object->entry;
    put->entry.kind = S3_KIND_OBJECT;
    put->entry.flags = 0;
    put->entry.mtime = mtime;
    put->object = s->object;
    put->test = ngx_http_s3_copy_test;

    ngx_http_s3_put_with_meta(s, ngx_http_s3_copy_done);
}


static int
ngx_http_s3_copy_test(s3_put_t *put, const s3_entry_t *current)
{
    int                  rc;
    ngx_http_s3_ctx_t   *s;

    s = put->ctx;

    rc = ngx_http_s3_test(put, current);

    if (rc != S3_OK) {
        return rc;
    }

    return current != NULL
           && s3_version_cmp(&current->version, &s->object->entry.version) == 0
           ? S3_OK : S3_ECONFLICT;
}


static void
ngx_http_s3_copy_commit(ngx_http_s3_ctx_t *s)
{
    s3_put_t            *put;
    s3_entry_t          *e;
    ngx_http_s3_copy_t  *op;

    op = s->op;
    e = &s->object->entry;

    if (s->writer->rc != S3_OK) {
        ngx_http_s3_error_rc(s, s->writer->rc);
        return;
    }

    put = ngx_http_s3_put_init(s);

    put->writer = s->writer;
    put->entry.size = s->writer->size;
    put->entry.storage_class = op->storage_class;

    if (op->keep_etag) {
        ngx_memcpy(put->entry.etag, e->etag, 16);

    } else {
        ngx_memcpy(put->entry.etag, s->body.md5_digest, 16);
    }

    if (!op->keep_sum) {
        op->sum.alg = s->body.alg;
        op->sum.type = S3_CHECKSUM_FULL_OBJECT;
        op->sum.parts = 0;
        op->sum.digest = s3_str(s->body.sum_digest,
                                s3_checksum_info(s->body.alg)->len);
    }

    s3_meta_add_checksum(&s->meta, &op->sum);
    put->entry.checksum = (uint8_t) (op->sum.alg | op->sum.type << 4);

    put->test = s->cond.kind == S3_WRITE_ALWAYS ? NULL : ngx_http_s3_test;

    ngx_http_s3_put_with_meta(s, ngx_http_s3_copy_done);
}


static void
ngx_http_s3_copy_done(s3_put_t *put)
{
    ngx_http_s3_resume(put->ctx, ngx_http_s3_copy_committed);
}


static void
ngx_http_s3_copy_committed(ngx_http_s3_ctx_t *s)
{
    u_char               etag[NGX_HTTP_S3_ETAG_LEN];
    u_char               value[S3_CHECKSUM_VALUE_SIZE];
    s3_xml_t             xml;
    s3_xml_checksum_t    sum;
    ngx_http_s3_copy_t  *op;

    op = s->op;

    if (s->put.rc == S3_ECONFLICT && op->in_place && s->attempts++ < 5) {
        ngx_http_s3_source_again(s);
        return;
    }

    if (s->put.rc != S3_OK) {
        ngx_http_s3_put_error(s, s->put.rc);
        return;
    }

    ngx_memzero(&sum, sizeof(s3_xml_checksum_t));

    if (op->sum.alg != S3_CHECKSUM_NONE) {
        sum.alg = op->sum.alg;
        sum.type = op->sum.type;
        sum.value = s3_str(value, s3_checksum_value(value, sum.alg,
                                                    op->sum.digest.data,
                                                    op->sum.parts));
    }

    s3_xml_init(&xml, 64 * 1024);
    s3_xml_copy_object(&xml, ngx_http_s3_etag(&s->put.entry, etag),
                       s->put.entry.mtime, &sum);

    ngx_http_s3_send_xml(s, NGX_HTTP_OK, &xml);
}
