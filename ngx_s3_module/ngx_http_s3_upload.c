
/*
 * Multipart uploads: CreateMultipartUpload, AbortMultipartUpload,
 * ListMultipartUploads, and finding the upload that a request names.
 */


#include "ngx_http_s3_module.h"


typedef struct {
    s3_xml_list_t              list;
    s3_list_head_t             head;
    s3_str_t                   last_key;
    s3_str_t                   last_id;
    int                        url;
} ngx_http_s3_uploads_t;


static void ngx_http_s3_upload_created(ngx_http_s3_ctx_t *s);
static ngx_int_t ngx_http_s3_upload_checksum(ngx_http_s3_ctx_t *s,
    uint8_t *checksum);
static void ngx_http_s3_create_upload_bucket(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_create_upload_done(s3_put_t *put);
static void ngx_http_s3_upload_bucket(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_upload_head_done(s3_head_t *head);
static void ngx_http_s3_upload_found(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_abort_found(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_abort_done(s3_upload_op_t *up);
static void ngx_http_s3_abort_answer(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_list_uploads_bucket(ngx_http_s3_ctx_t *s);
static int ngx_http_s3_list_uploads_item(s3_list_t *list, s3_str_t key,
    const s3_entry_t *entry);
static void ngx_http_s3_list_uploads_done(s3_list_t *list);
static void ngx_http_s3_list_uploads_send(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_list_uploads_cleanup(void *data);


void
ngx_http_s3_create_upload(ngx_http_s3_ctx_t *s)
{
    if (ngx_http_s3_check_unsupported(s) != NGX_OK
        || ngx_http_s3_storage_class(s, &s->put.entry.storage_class) != NGX_OK
        || ngx_http_s3_upload_checksum(s, &s->put.entry.checksum) != NGX_OK
        || ngx_http_s3_meta_from_request(s) != NGX_OK
        || ngx_http_s3_tags_from_request(s) != NGX_OK)
    {
        ngx_http_s3_fail(s);
        return;
    }

    ngx_http_s3_with_bucket(s, ngx_http_s3_create_upload_bucket);
}


/*
 * Algorithm and type of the upload.  Where the client names none, the object
 * gets CRC64NVME over the whole, as with AWS; bit 7 remembers that.
 */

static ngx_int_t
ngx_http_s3_upload_checksum(ngx_http_s3_ctx_t *s, uint8_t *checksum)
{
    s3_str_t                    name, kind;
    s3_checksum_alg_t           alg;
    s3_checksum_type_t          type;
    const s3_checksum_info_t   *info;

    name = ngx_http_s3_request_header(s, "x-amz-checksum-algorithm");
    kind = ngx_http_s3_request_header(s, "x-amz-checksum-type");

    if (name.data == NULL) {
        if (kind.data != NULL) {
            s3_fault(&s->fault, S3_ERR_INVALID_REQUEST,
                     "The x-amz-checksum-type header can only be used with "
                     "the x-amz-checksum-algorithm header.");
            return NGX_ERROR;
        }

        *checksum = S3_CHECKSUM_CRC64NVME | S3_CHECKSUM_FULL_OBJECT << 4
                    | 0x80;
        return NGX_OK;
    }

    alg = s3_checksum_by_name(name);
    info = s3_checksum_info(alg);

    if (alg == S3_CHECKSUM_NONE || !info->supported) {
        s3_fault(&s->fault, S3_ERR_INVALID_REQUEST,
                 "Checksum algorithm provided is unsupported. Please try again "
                 "with any of the valid types: [CRC32, CRC32C, CRC64NVME, "
                 "SHA1, SHA256]");
        return NGX_ERROR;
    }

    type = info->composite ? S3_CHECKSUM_COMPOSITE : S3_CHECKSUM_FULL_OBJECT;

    if (kind.data != NULL) {
        if (s3_str_eq(kind, s3_string("COMPOSITE"))) {
            type = S3_CHECKSUM_COMPOSITE;

        } else if (s3_str_eq(kind, s3_string("FULL_OBJECT"))) {
            type = S3_CHECKSUM_FULL_OBJECT;

        } else {
            s3_fault(&s->fault, S3_ERR_INVALID_REQUEST,
                     "Value for x-amz-checksum-type header is invalid.");
            return NGX_ERROR;
        }
    }

    if (!(type == S3_CHECKSUM_COMPOSITE ? info->composite
                                        : info->full_object))
    {
        s3_faultf(&s->fault, S3_ERR_INVALID_REQUEST,
                  "The %s checksum type cannot be used with the %.*s checksum "
                  "algorithm.", type == S3_CHECKSUM_COMPOSITE ? "COMPOSITE"
                                                              : "FULL_OBJECT",
                  (int) name.len, name.data);
        return NGX_ERROR;
    }

    *checksum = (uint8_t) (alg | type << 4);

    return NGX_OK;
}


static void
ngx_http_s3_create_upload_bucket(ngx_http_s3_ctx_t *s)
{
    u_char      *id, *key, random[16];
    uint8_t      checksum;
    uint64_t     ms;
    s3_put_t    *put;
    s3_loop_t   *loop;
    ngx_uint_t   i;

    loop = ngx_s3_store_loop();

    id = ngx_pnalloc(s->pool, S3_UPLOAD_ID_LEN);
    key = ngx_pnalloc(s->pool, S3_MAX_KEY);

    if (id == NULL || key == NULL) {
        ngx_http_s3_error(s, S3_ERR_SLOW_DOWN);
        return;
    }

    /* a time, so that ids of one key sort by age, then what nobody guesses */

    loop->random(loop, random, 16);

    ms = loop->wall_us(loop) / 1000;

    for (i = 0; i < 6; i++) {
        random[i] = (u_char) (ms >> (40 - 8 * i));
    }

    s3_hex(id, random, 16);

    s->upload_id = s3_str(id, S3_UPLOAD_ID_LEN);

    checksum = s->put.entry.checksum;

    put = ngx_http_s3_put_init(s);

    put->bucket = s->bucket->id + S3_SPACE_UPLOADS;
    put->key = s3_upload_key(key, s->route.key, s->upload_id);
    put->entry.checksum = checksum;
    put->meta = s3_meta_blob(&s->meta);
    put->done = ngx_http_s3_create_upload_done;

    s3_upload_set_state(&put->entry, S3_UPLOAD_OPEN);

    ngx_http_s3_hold(s);
    s3_store_put(put);
}


static void
ngx_http_s3_create_upload_done(s3_put_t *put)
{
    ngx_http_s3_resume(put->ctx, ngx_http_s3_upload_created);
}


static void
ngx_http_s3_upload_created(ngx_http_s3_ctx_t *s)
{
    uint8_t      checksum;
    ngx_int_t    rc;
    s3_xml_t     xml;

    if (s->put.rc != S3_OK) {
        ngx_http_s3_put_error(s, s->put.rc);
        return;
    }

    checksum = s->put.entry.checksum;

    if (!(checksum & 0x80)) {
        rc = ngx_http_s3_set_header(s, "x-amz-checksum-algorithm",
                                    s3_checksum_info(checksum & 0xf)->name);
        if (rc == NGX_OK) {
            rc = ngx_http_s3_set_header_cstr(s, "x-amz-checksum-type",
                                  checksum >> 4 == S3_CHECKSUM_COMPOSITE
                                  ? "COMPOSITE" : "FULL_OBJECT");
        }

        if (rc != NGX_OK) {
            ngx_http_s3_finish(s, NGX_ERROR);
            return;
        }
    }

    s3_xml_init(&xml, 64 * 1024);
    s3_xml_initiate(&xml, s->route.bucket, s->route.key, s->upload_id);

    ngx_http_s3_send_xml(s, NGX_HTTP_OK, &xml);
}


void
ngx_http_s3_no_such_upload(ngx_http_s3_ctx_t *s)
{
    s3_fault(&s->fault, S3_ERR_NO_SUCH_UPLOAD, NULL);
    s3_fault_add(&s->fault, "UploadId", s->upload_id);
    ngx_http_s3_fail(s);
}


void
ngx_http_s3_with_upload(ngx_http_s3_ctx_t *s, ngx_uint_t any,
    ngx_http_s3_step_pt step)
{
    s->upload_id = ngx_http_s3_arg(s, "uploadId");
    s->upload_any = any;
    s->upload_step = step;

    ngx_http_s3_with_bucket(s, ngx_http_s3_upload_bucket);
}


static void
ngx_http_s3_upload_bucket(ngx_http_s3_ctx_t *s)
{
    u_char      *key;
    size_t       i;
    s3_head_t   *head;

    for (i = 0; i < s->upload_id.len; i++) {
        if (s->upload_id.data[i] == '\0') {
            break;
        }
    }

    if (s->upload_id.len != S3_UPLOAD_ID_LEN || i != S3_UPLOAD_ID_LEN) {
        ngx_http_s3_no_such_upload(s);
        return;
    }

    key = ngx_pnalloc(s->pool, S3_MAX_KEY);
    if (key == NULL) {
        ngx_http_s3_error(s, S3_ERR_SLOW_DOWN);
        return;
    }

    s->upload_key = s3_upload_key(key, s->route.key, s->upload_id);

    s3_object_release(s->upload);
    s->upload = NULL;

    head = &s->head;

    ngx_memzero(head, sizeof(s3_head_t));

    head->store = s->store;
    head->bucket = s->bucket->id + S3_SPACE_UPLOADS;
    head->key = s->upload_key;
    head->done = ngx_http_s3_upload_head_done;
    head->ctx = s;

    ngx_http_s3_hold(s);
    s3_store_head(head);
}


static void
ngx_http_s3_upload_head_done(s3_head_t *head)
{
    ngx_http_s3_ctx_t *s = head->ctx;

    s->upload = head->object;

    ngx_http_s3_resume(s, ngx_http_s3_upload_found);
}


static void
ngx_http_s3_upload_found(ngx_http_s3_ctx_t *s)
{
    s3_upload_state_t  state;

    if (s->head.rc == S3_ENOENT) {
        if (s->upload_any) {
            s->upload_step(s);
            return;
        }

        ngx_http_s3_no_such_upload(s);
        return;
    }

    if (s->head.rc != S3_OK) {
        ngx_http_s3_error_rc(s, s->head.rc);
        return;
    }

    state = s3_upload_state(&s->upload->entry);

    if (state != S3_UPLOAD_OPEN && !s->upload_any) {
        ngx_http_s3_no_such_upload(s);
        return;
    }

    s->upload_step(s);
}


void
ngx_http_s3_abort_upload(ngx_http_s3_ctx_t *s)
{
    if (ngx_http_s3_request_header(s, "x-amz-if-match-initiated-time").data) {
        /* directory buckets have this condition, others don't */
        ngx_http_s3_error(s, S3_ERR_NOT_IMPLEMENTED);
        return;
    }

    ngx_http_s3_with_upload(s, 1, ngx_http_s3_abort_found);
}


static void
ngx_http_s3_abort_found(ngx_http_s3_ctx_t *s)
{
    s3_upload_op_t  *up;

    if (s->upload == NULL) {
        ngx_http_s3_no_such_upload(s);
        return;
    }

    up = ngx_pcalloc(s->pool, sizeof(s3_upload_op_t));
    if (up == NULL) {
        ngx_http_s3_error(s, S3_ERR_SLOW_DOWN);
        return;
    }

    s->op = up;

    up->store = s->store;
    up->bucket = s->bucket->id;
    up->generation = s->bucket->generation;
    up->key = s->route.key;
    up->id = s->upload_id;
    up->upload = s->upload;
    up->done = ngx_http_s3_abort_done;
    up->ctx = s;

    ngx_http_s3_hold(s);
    s3_upload_abort(up);
}


static void
ngx_http_s3_abort_done(s3_upload_op_t *up)
{
    ngx_http_s3_resume(up->ctx, ngx_http_s3_abort_answer);
}


static void
ngx_http_s3_abort_answer(ngx_http_s3_ctx_t *s)
{
    s3_upload_op_t  *up;

    up = s->op;

    switch (up->rc) {

    case S3_OK:
        ngx_http_s3_send_empty(s, NGX_HTTP_NO_CONTENT);
        return;

    case S3_ENOENT:
    case S3_ECONFLICT:
        ngx_http_s3_no_such_upload(s);
        return;

    default:
        ngx_http_s3_error_rc(s, up->rc);
    }
}


/*
 * ListMultipartUploads.  The index holds "key NUL id", which is the order that
 * AWS lists in: by key, then by age.
 */

void
ngx_http_s3_list_uploads(ngx_http_s3_ctx_t *s)
{
    s3_list_head_t         *head;
    ngx_http_s3_uploads_t  *op;

    op = ngx_pcalloc(s->pool, sizeof(ngx_http_s3_uploads_t));
    if (op == NULL) {
        ngx_http_s3_error(s, S3_ERR_SLOW_DOWN);
        return;
    }

    head = &op->head;

    head->bucket = s->route.bucket;
    head->prefix = ngx_http_s3_arg(s, "prefix");
    head->delimiter = ngx_http_s3_arg(s, "delimiter");
    head->marker = ngx_http_s3_arg(s, "key-marker");
    head->upload_marker = ngx_http_s3_arg(s, "upload-id-marker");

    if (s3_parse_encoding_type(ngx_http_s3_arg(s, "encoding-type"), &op->url,
                               &s->fault)
        != S3_ERR_NONE
        || s3_parse_limit(S3_LIMIT_MAX_UPLOADS,
                          ngx_http_s3_arg(s, "max-uploads"), &head->max,
                          &s->fault)
           != S3_ERR_NONE)
    {
        ngx_http_s3_fail(s);
        return;
    }

    if (head->prefix.len > S3_KEY_MAX || head->delimiter.len > S3_KEY_MAX
        || head->marker.len > S3_KEY_MAX
        || head->upload_marker.len > S3_UPLOAD_ID_LEN)
    {
        s3_fault_arg(&s->fault, "Invalid uploadId marker", "upload-id-marker",
                     head->upload_marker);
        ngx_http_s3_fail(s);
        return;
    }

    s3_list_init(&op->list, op->url, S3_XML_LIMIT);

    s->op = op;
    s->op_cleanup = ngx_http_s3_list_uploads_cleanup;

    ngx_http_s3_with_bucket(s, ngx_http_s3_list_uploads_bucket);
}


static void
ngx_http_s3_list_uploads_cleanup(void *data)
{
    ngx_http_s3_uploads_t *op = data;

    s3_list_free(&op->list);
}


static void
ngx_http_s3_list_uploads_bucket(ngx_http_s3_ctx_t *s)
{
    u_char                 *after;
    s3_list_t              *list;
    s3_list_head_t         *head;
    ngx_http_s3_uploads_t  *op;

    op = s->op;
    head = &op->head;
    list = &s->list;

    list->store = s->store;
    list->bucket = s->bucket->id + S3_SPACE_UPLOADS;
    list->prefix = head->prefix;
    list->delimiter = head->delimiter;
    list->max = head->max;
    list->item = ngx_http_s3_list_uploads_item;
    list->done = ngx_http_s3_list_uploads_done;
    list->ctx = s;

    if (head->marker.len) {
        after = ngx_pnalloc(s->pool, head->marker.len + 2 + S3_UPLOAD_ID_LEN);
        if (after == NULL) {
            ngx_http_s3_error(s, S3_ERR_SLOW_DOWN);
            return;
        }

        /* no id: past all uploads of the key, "\1" being past "\0 id" */

        ngx_memcpy(after, head->marker.data, head->marker.len);

        if (head->upload_marker.len) {
            after[head->marker.len] = '\0';
            ngx_memcpy(after + head->marker.len + 1, head->upload_marker.data,
                       head->upload_marker.len);
            list->after = s3_str(after, head->marker.len + 1
                                        + head->upload_marker.len);

        } else {
            after[head->marker.len] = '\1';
            list->after = s3_str(after, head->marker.len + 1);
            list->inclusive = 1;
        }
    }

    ngx_http_s3_hold(s);
    s3_store_list(list);
}


static int
ngx_http_s3_list_uploads_item(s3_list_t *list, s3_str_t key,
    const s3_entry_t *entry)
{
    ngx_http_s3_ctx_t *s = list->ctx;

    s3_str_t                object, id, copy;
    s3_xml_upload_t         upload;
    ngx_http_s3_uploads_t  *op;

    op = s->op;

    copy = ngx_http_s3_dup(s, key);
    if (copy.data == NULL) {
        return S3_ENOMEM;
    }

    if (entry == NULL) {
        op->last_key = copy;
        op->last_id = s3_null_str;
        s3_list_prefix(&op->list, copy);
        return S3_OK;
    }

    if (s3_upload_split(copy, &object, &id) != S3_OK) {
        return S3_OK;
    }

    op->last_key = object;
    op->last_id = id;

    if (s3_upload_state(entry) == S3_UPLOAD_ABORTING) {
        return S3_OK;
    }

    ngx_memzero(&upload, sizeof(s3_xml_upload_t));

    upload.key = object;
    upload.upload_id = id;
    upload.initiator = &s->conf->owner;
    upload.owner = &s->conf->owner;
    upload.storage_class = ngx_http_s3_class_name(entry->storage_class);
    upload.initiated = entry->mtime;

    if (!(entry->checksum & 0x80)) {
        upload.checksum_alg = entry->checksum & 0xf;
        upload.checksum_type = entry->checksum >> 4;
    }

    s3_list_upload(&op->list, &upload);

    return S3_OK;
}


static void
ngx_http_s3_list_uploads_done(s3_list_t *list)
{
    ngx_http_s3_resume(list->ctx, ngx_http_s3_list_uploads_send);
}


static void
ngx_http_s3_list_uploads_send(ngx_http_s3_ctx_t *s)
{
    s3_xml_t                xml;
    ngx_http_s3_uploads_t  *op;

    op = s->op;

    if (s->list.rc != S3_OK) {
        ngx_http_s3_error_rc(s, s->list.rc);
        return;
    }

    op->head.truncated = s->list.truncated;

    if (s->list.truncated) {
        op->head.next_marker = op->last_key;
        op->head.next_upload_marker = op->last_id;
    }

    s3_xml_init(&xml, S3_XML_LIMIT);
    s3_list_uploads(&xml, &op->list, &op->head);

    ngx_http_s3_send_xml(s, NGX_HTTP_OK, &xml);
}
