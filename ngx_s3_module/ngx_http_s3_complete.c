
/*
 * CompleteMultipartUpload.
 *
 *   document ── upload's record ── parts, page by page ── checked ── committed
 *
 * A repeated request finds no upload any more; if the object that is there came
 * from it, the answer is the same again.
 */


#include "ngx_http_s3_module.h"


#define NGX_HTTP_S3_MIN_PART  (5 * 1024 * 1024)


typedef struct {
    unsigned                   found:1;
    s3_version_t               version;
    uint64_t                   size;
    s3_ref_t                   ref;
    uint32_t                   lack;
    u_char                     etag[16];
    u_char                     digest[32];
    uint8_t                    digest_len;
    uint8_t                    alg;
} ngx_http_s3_stored_part_t;


typedef struct {
    s3_checksum_alg_t           want_alg;     /* x-amz-checksum-* */
    s3_str_t                    want;

    s3_complete_t               doc;
    ngx_http_s3_part_walk_t     walk;
    ngx_http_s3_stored_part_t  *parts;        /* by index in doc */
    size_t                      next;         /* first not looked for yet */

    s3_ref_t                   *refs;
    s3_meta_part_t             *table;

    s3_upload_op_t              up;
    s3_checksum_parts_t         sum;
    u_char                      sum_digest[S3_CHECKSUM_MAX];
    s3_checksum_alg_t           alg;
    s3_checksum_type_t          type;
    uint32_t                    sum_parts;
    unsigned                    refused:1;    /* by the client's condition */
} ngx_http_s3_complete_t;


static void ngx_http_s3_complete_parsed(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_complete_cleanup(void *data);
static void ngx_http_s3_complete_found(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_complete_again(ngx_http_s3_ctx_t *s);
static int ngx_http_s3_complete_item(ngx_http_s3_ctx_t *s, uint32_t number,
    const s3_entry_t *entry);
static void ngx_http_s3_complete_check(ngx_http_s3_ctx_t *s);
static ngx_int_t ngx_http_s3_complete_part(ngx_http_s3_ctx_t *s, size_t i);
static ngx_int_t ngx_http_s3_complete_checksum(ngx_http_s3_ctx_t *s);
static ngx_int_t ngx_http_s3_complete_expected(ngx_http_s3_ctx_t *s);
static ngx_int_t ngx_http_s3_complete_etag(ngx_http_s3_ctx_t *s,
    s3_entry_t *e);
static ngx_int_t ngx_http_s3_complete_meta(ngx_http_s3_ctx_t *s);
static int ngx_http_s3_complete_test(s3_upload_op_t *up,
    const s3_entry_t *current);
static void ngx_http_s3_complete_done(s3_upload_op_t *up);
static void ngx_http_s3_complete_committed(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_complete_answer(ngx_http_s3_ctx_t *s,
    const s3_entry_t *e, s3_meta_checksum_t *sum);


void
ngx_http_s3_complete_upload(ngx_http_s3_ctx_t *s)
{
    ngx_http_s3_complete_t  *op;

    op = ngx_pcalloc(s->pool, sizeof(ngx_http_s3_complete_t));
    if (op == NULL) {
        ngx_http_s3_error(s, S3_ERR_SLOW_DOWN);
        return;
    }

    s->op = op;
    s->op_cleanup = ngx_http_s3_complete_cleanup;

    if (ngx_http_s3_write_condition(s, 0) != NGX_OK
        || ngx_http_s3_digest_header(s, &op->want_alg, &op->want) != NGX_OK)
    {
        ngx_http_s3_fail(s);
        return;
    }

    /* x-amz-checksum-* here are of the object, not of the document */

    s->body.document = 1;

    ngx_http_s3_body_collect(s, s3_op_info(s->route.op)->max_body,
                             ngx_http_s3_complete_parsed);
}


static void
ngx_http_s3_complete_parsed(ngx_http_s3_ctx_t *s)
{
    ngx_http_s3_complete_t  *op;

    op = s->op;

    if (s3_complete_parse(&op->doc, ngx_http_s3_body_text(s), &s->fault)
        != S3_ERR_NONE)
    {
        ngx_http_s3_fail(s);
        return;
    }

    ngx_http_s3_with_upload(s, 1, ngx_http_s3_complete_found);
}


static void
ngx_http_s3_complete_cleanup(void *data)
{
    ngx_http_s3_complete_t *op = data;

    s3_complete_free(&op->doc);
    s3_checksum_parts_free(&op->sum);
}


static void
ngx_http_s3_complete_found(ngx_http_s3_ctx_t *s)
{
    size_t                   n;
    ngx_http_s3_complete_t  *op;

    op = s->op;

    if (s->upload == NULL
        || s3_upload_state(&s->upload->entry) == S3_UPLOAD_ABORTING)
    {
        ngx_http_s3_with_object(s, ngx_http_s3_complete_again);
        return;
    }

    if (!op->doc.ordered) {
        ngx_http_s3_error(s, S3_ERR_INVALID_PART_ORDER);
        return;
    }

    n = op->doc.n;

    op->parts = ngx_pcalloc(s->pool, n * sizeof(ngx_http_s3_stored_part_t));
    op->refs = ngx_pcalloc(s->pool, n * sizeof(s3_ref_t));
    op->table = ngx_pcalloc(s->pool, n * sizeof(s3_meta_part_t));

    if (op->parts == NULL || op->refs == NULL || op->table == NULL) {
        ngx_http_s3_error(s, S3_ERR_SLOW_DOWN);
        return;
    }

    op->walk.item = ngx_http_s3_complete_item;
    op->walk.step = ngx_http_s3_complete_check;

    ngx_http_s3_walk_parts(s, &op->walk, 0);
}


static void
ngx_http_s3_complete_again(ngx_http_s3_ctx_t *s)
{
    s3_str_t             id;
    s3_meta_checksum_t   sum;

    if (s->head.rc == S3_OK
        && s3_meta_find(s->object->record.meta, S3_META_UPLOAD_ID, &id)
           == S3_OK
        && s3_str_eq(id, s->upload_id))
    {
        ngx_memzero(&sum, sizeof(s3_meta_checksum_t));
        (void) s3_meta_find_checksum(s->object->record.meta, &sum);

        ngx_http_s3_complete_answer(s, &s->object->entry, &sum);
        return;
    }

    if (s->head.rc != S3_OK && s->head.rc != S3_ENOENT) {
        ngx_http_s3_error_rc(s, s->head.rc);
        return;
    }

    ngx_http_s3_no_such_upload(s);
}


static int
ngx_http_s3_complete_item(ngx_http_s3_ctx_t *s, uint32_t number,
    const s3_entry_t *entry)
{
    s3_str_t                    digest;
    s3_version_t                version;
    ngx_http_s3_complete_t     *op;
    ngx_http_s3_stored_part_t  *part;

    op = s->op;

    while (op->next < op->doc.n && op->doc.parts[op->next].number < number) {
        op->next++;
    }

    if (op->next == op->doc.n || op->doc.parts[op->next].number != number) {
        return S3_OK;
    }

    part = &op->parts[op->next];

    version = s3_upload_part_version(entry);

    if (part->found && s3_version_cmp(&part->version, &version) > 0) {
        return S3_OK;
    }

    if (s3_upload_part_get(entry, &part->ref, &digest) != S3_OK
        || digest.len > sizeof(part->digest))
    {
        return S3_ECORRUPT;
    }

    part->found = 1;
    part->version = version;
    part->lack = s3_upload_part_lack(entry, &part->ref);
    part->size = entry->size;
    part->alg = entry->checksum & 0xf;
    part->digest_len = (uint8_t) digest.len;
    ngx_memcpy(part->digest, digest.data, digest.len);
    ngx_memcpy(part->etag, entry->etag, 16);

    return S3_OK;
}


static void
ngx_http_s3_complete_check(ngx_http_s3_ctx_t *s)
{
    size_t                   i;
    uint32_t                 lack;
    uint64_t                 size, want;
    s3_str_t                 value;
    s3_put_t                *put;
    s3_upload_op_t          *up;
    ngx_http_s3_complete_t  *op;

    op = s->op;
    size = 0;
    lack = 0;

    for (i = 0; i < op->doc.n; i++) {
        if (ngx_http_s3_complete_part(s, i) != NGX_OK) {
            ngx_http_s3_fail(s);
            return;
        }

        size += op->parts[i].size;
        lack |= op->parts[i].lack;
    }

    value = ngx_http_s3_request_header(s, "x-amz-mp-object-size");

    if (value.data != NULL
        && (s3_parse_uint(value, UINT64_MAX, &want) != S3_OK || want != size))
    {
        s3_fault(&s->fault, S3_ERR_INVALID_REQUEST,
                 "The provided 'x-amz-mp-object-size' header value does not "
                 "match what was computed.");
        ngx_http_s3_fail(s);
        return;
    }

    put = ngx_http_s3_put_init(s);
    put->entry.size = size;
    put->entry.storage_class = s->upload->entry.storage_class;

    if (ngx_http_s3_complete_checksum(s) != NGX_OK
        || ngx_http_s3_complete_etag(s, &put->entry) != NGX_OK
        || ngx_http_s3_complete_meta(s) != NGX_OK)
    {
        ngx_http_s3_fail(s);
        return;
    }

    if (op->alg != S3_CHECKSUM_NONE) {
        put->entry.checksum = (uint8_t) (op->alg | op->type << 4);
    }

    up = &op->up;

    up->store = s->store;
    up->bucket = s->bucket->id;
    up->generation = s->bucket->generation;
    up->key = s->route.key;
    up->id = s->upload_id;
    up->upload = s->upload;
    up->entry = put->entry;
    up->meta = s3_meta_blob(&s->meta);
    up->refs = op->refs;
    up->n_refs = op->doc.n;
    up->lack = lack;
    up->test = s->cond.kind == S3_WRITE_ALWAYS ? NULL
                                               : ngx_http_s3_complete_test;
    up->done = ngx_http_s3_complete_done;
    up->ctx = s;

    ngx_http_s3_hold(s);
    s3_upload_complete(up);
}


static ngx_int_t
ngx_http_s3_complete_part(ngx_http_s3_ctx_t *s, size_t i)
{
    u_char                     *p, etag[32];
    s3_complete_part_t         *want;
    ngx_http_s3_complete_t     *op;
    ngx_http_s3_stored_part_t  *part;

    op = s->op;
    want = &op->doc.parts[i];
    part = &op->parts[i];

    if (part->found) {
        s3_hex(etag, part->etag, 16);
    }

    if (!part->found
        || (want->etag.data != NULL
            && !s3_str_eq(want->etag, s3_str(etag, 32)))
        || (want->alg != S3_CHECKSUM_NONE
            && (want->alg != part->alg
                || !s3_str_eq(want->digest,
                              s3_str(part->digest, part->digest_len)))))
    {
        s3_fault(&s->fault, S3_ERR_INVALID_PART, NULL);
        s3_fault_add(&s->fault, "UploadId", s->upload_id);

        p = ngx_pnalloc(s->pool, NGX_INT32_LEN);
        if (p != NULL) {
            s3_fault_add(&s->fault, "PartNumber",
                         s3_str(p, ngx_sprintf(p, "%uD", want->number) - p));
        }

        s3_fault_add(&s->fault, "ETag", want->etag);
        return NGX_ERROR;
    }

    if (i + 1 < op->doc.n && part->size < NGX_HTTP_S3_MIN_PART) {
        s3_fault(&s->fault, S3_ERR_ENTITY_TOO_SMALL, NULL);

        p = ngx_pnalloc(s->pool, NGX_INT64_LEN + NGX_INT32_LEN);
        if (p != NULL) {
            s3_fault_add(&s->fault, "ProposedSize",
                         s3_str(p, ngx_sprintf(p, "%uL", part->size) - p));
            s3_fault_add(&s->fault, "MinSizeAllowed", s3_string("5242880"));
            p += NGX_INT64_LEN;
            s3_fault_add(&s->fault, "PartNumber",
                         s3_str(p, ngx_sprintf(p, "%uD", want->number) - p));
        }

        s3_fault_add(&s->fault, "ETag", want->etag);
        return NGX_ERROR;
    }

    op->refs[i] = part->ref;
    op->table[i].number = want->number;
    op->table[i].size = part->size;
    op->table[i].digest = s3_str(part->digest, part->digest_len);

    return NGX_OK;
}


/* Of the whole, from those of the parts, where all have the upload's. */

static ngx_int_t
ngx_http_s3_complete_checksum(ngx_http_s3_ctx_t *s)
{
    size_t                     i, k;
    u_char                     name[16];
    uint8_t                    checksum;
    ngx_http_s3_complete_t    *op;
    const s3_checksum_info_t  *info;

    op = s->op;
    checksum = s->upload->entry.checksum;

    op->alg = checksum & 0xf;
    op->type = (checksum >> 4) & 0x3;

    for (i = 0; i < op->doc.n; i++) {
        if (op->parts[i].alg != op->alg
            || op->parts[i].digest_len != s3_checksum_info(op->alg)->len)
        {
            op->alg = S3_CHECKSUM_NONE;
            op->type = S3_CHECKSUM_TYPE_NONE;
            break;
        }

        if (op->type == S3_CHECKSUM_COMPOSITE
            && op->doc.parts[i].number != i + 1)
        {
            s3_fault(&s->fault, S3_ERR_INVALID_PART_ORDER, NULL);
            return NGX_ERROR;
        }

        if (op->type == S3_CHECKSUM_COMPOSITE
            && op->doc.parts[i].alg == S3_CHECKSUM_NONE)
        {
            info = s3_checksum_info(op->alg);

            for (k = 0; k < info->name.len; k++) {
                name[k] = ngx_tolower(info->name.data[k]);
            }

            s3_faultf(&s->fault, S3_ERR_INVALID_REQUEST,
                      "The upload was created using a %.*s checksum. The "
                      "complete request must include the checksum for each "
                      "part. It was missing for part %u in the request.",
                      (int) info->name.len, (char *) name,
                      (unsigned int) op->doc.parts[i].number);
            return NGX_ERROR;
        }
    }

    if (op->alg == S3_CHECKSUM_NONE) {
        return ngx_http_s3_complete_expected(s);
    }

    if (s3_checksum_parts_init(&op->sum, op->alg, op->type) != S3_OK) {
        s3_fault(&s->fault, S3_ERR_SLOW_DOWN, NULL);
        return NGX_ERROR;
    }

    for (i = 0; i < op->doc.n; i++) {
        if (s3_checksum_parts_add(&op->sum, op->parts[i].digest,
                                  op->parts[i].size)
            != S3_OK)
        {
            s3_fault(&s->fault, S3_ERR_INTERNAL_ERROR, NULL);
            return NGX_ERROR;
        }
    }

    (void) s3_checksum_parts_final(&op->sum, op->sum_digest);

    op->sum_parts = op->type == S3_CHECKSUM_COMPOSITE ? op->doc.n : 0;

    return ngx_http_s3_complete_expected(s);
}


/* What the client says of the whole must hold. */

static ngx_int_t
ngx_http_s3_complete_expected(ngx_http_s3_ctx_t *s)
{
    u_char                      digest[S3_CHECKSUM_MAX];
    uint32_t                    parts;
    s3_str_t                    value;
    const s3_checksum_info_t   *info;
    ngx_http_s3_complete_t     *op;

    op = s->op;

    value = ngx_http_s3_request_header(s, "x-amz-checksum-type");

    if (value.data != NULL
        && op->type != S3_CHECKSUM_TYPE_NONE
        && !s3_str_eq(value, op->type == S3_CHECKSUM_COMPOSITE
                             ? s3_string("COMPOSITE")
                             : s3_string("FULL_OBJECT")))
    {
        s3_faultf(&s->fault, S3_ERR_INVALID_REQUEST,
                  "The upload was created using the %s checksum mode. The "
                  "complete request must use the same checksum mode.",
                  op->type == S3_CHECKSUM_COMPOSITE ? "COMPOSITE"
                                                    : "FULL_OBJECT");
        return NGX_ERROR;
    }

    if (op->want_alg == S3_CHECKSUM_NONE) {
        return NGX_OK;
    }

    info = s3_checksum_info(op->want_alg);

    if (op->want_alg != op->alg
        || s3_checksum_parse(op->alg, op->want, digest, &parts) != S3_OK)
    {
        s3_faultf(&s->fault, S3_ERR_INVALID_REQUEST,
                  "Value for %.*s header is invalid.",
                  (int) info->header.len, info->header.data);
        return NGX_ERROR;
    }

    if (ngx_memcmp(digest, op->sum_digest, info->len) != 0
        || (parts != 0 && parts != op->sum_parts))
    {
        s3_faultf(&s->fault, S3_ERR_BAD_DIGEST,
                  "The %.*s you specified did not match the calculated "
                  "checksum.", (int) info->name.len, info->name.data);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* MD5 over the MD5s of the parts, and their number. */

static ngx_int_t
ngx_http_s3_complete_etag(ngx_http_s3_ctx_t *s, s3_entry_t *e)
{
    size_t                   i;
    u_char                   digest[S3_CHECKSUM_MAX];
    s3_checksum_t            md5;
    ngx_http_s3_complete_t  *op;

    op = s->op;

    ngx_memzero(&md5, sizeof(s3_checksum_t));

    if (s3_checksum_init(&md5, S3_CHECKSUM_MD5) != S3_OK) {
        s3_fault(&s->fault, S3_ERR_SLOW_DOWN, NULL);
        return NGX_ERROR;
    }

    for (i = 0; i < op->doc.n; i++) {
        (void) s3_checksum_update(&md5, s3_str(op->parts[i].etag, 16));
    }

    (void) s3_checksum_final(&md5, digest);
    s3_checksum_free(&md5);

    ngx_memcpy(e->etag, digest, 16);
    e->etag_parts = op->doc.n;

    return NGX_OK;
}


static ngx_int_t
ngx_http_s3_complete_meta(ngx_http_s3_ctx_t *s)
{
    size_t                   i;
    s3_meta_checksum_t       sum;
    ngx_http_s3_complete_t  *op;

    op = s->op;

    (void) s3_meta_copy_except(&s->meta, s->upload->record.meta, NULL, 0);
    s3_meta_add(&s->meta, S3_META_UPLOAD_ID, s->upload_id);

    if (op->alg != S3_CHECKSUM_NONE) {
        sum.alg = op->alg;
        sum.type = op->type;
        sum.parts = op->sum_parts;
        sum.digest = s3_str(op->sum_digest, s3_checksum_info(op->alg)->len);
        s3_meta_add_checksum(&s->meta, &sum);

        s3_meta_add_parts(&s->meta, op->table, op->doc.n,
                          s3_checksum_info(op->alg)->len);

    } else {
        for (i = 0; i < op->doc.n; i++) {
            op->table[i].digest = s3_null_str;
        }

        s3_meta_add_parts(&s->meta, op->table, op->doc.n, 0);
    }

    if (s->meta.rc != S3_OK) {
        s3_fault(&s->fault, s3_err_from_rc(s->meta.rc), NULL);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static int
ngx_http_s3_complete_test(s3_upload_op_t *up, const s3_entry_t *current)
{
    ngx_http_s3_ctx_t *s = up->ctx;

    int                      rc;
    ngx_http_s3_complete_t  *op;

    op = s->op;

    rc = ngx_http_s3_test(&s->put, current);

    op->refused = (rc != S3_OK);

    return rc;
}


static void
ngx_http_s3_complete_done(s3_upload_op_t *up)
{
    ngx_http_s3_resume(up->ctx, ngx_http_s3_complete_committed);
}


static void
ngx_http_s3_complete_committed(ngx_http_s3_ctx_t *s)
{
    s3_meta_checksum_t       sum;
    ngx_http_s3_complete_t  *op;

    op = s->op;

    if (op->up.rc == S3_ENOENT && !op->refused) {
        ngx_http_s3_with_object(s, ngx_http_s3_complete_again);
        return;
    }

    if (op->up.rc != S3_OK) {
        ngx_http_s3_put_error(s, op->up.rc);
        return;
    }

    ngx_memzero(&sum, sizeof(s3_meta_checksum_t));

    sum.alg = op->alg;
    sum.type = op->type;
    sum.parts = op->sum_parts;
    sum.digest = s3_str(op->sum_digest, s3_checksum_info(op->alg)->len);

    ngx_http_s3_complete_answer(s, &op->up.entry, &sum);
}


static void
ngx_http_s3_complete_answer(ngx_http_s3_ctx_t *s, const s3_entry_t *e,
    s3_meta_checksum_t *sum)
{
    u_char              *p, etag[NGX_HTTP_S3_ETAG_LEN];
    u_char               value[S3_CHECKSUM_VALUE_SIZE];
    s3_str_t             host, location;
    s3_xml_t             xml;
    s3_xml_checksum_t    x;

    host = ngx_http_s3_request_header(s, "host");

    p = ngx_pnalloc(s->pool, sizeof("https://") + host.len + s->path.len);
    if (p == NULL) {
        ngx_http_s3_finish(s, NGX_ERROR);
        return;
    }

    location = s3_str(p, ngx_sprintf(p, "%s%*s%*s",
#if (NGX_HTTP_SSL)
                                     s->r->connection->ssl ? "https://" :
#endif
                                     "http://", host.len, host.data,
                                     s->path.len, s->path.data) - p);

    ngx_memzero(&x, sizeof(s3_xml_checksum_t));

    if (sum->alg != S3_CHECKSUM_NONE) {
        x.alg = sum->alg;
        x.type = sum->type;
        x.value = s3_str(value, s3_checksum_value(value, sum->alg,
                                                  sum->digest.data,
                                                  sum->parts));
    }

    s3_xml_init(&xml, 64 * 1024);
    s3_xml_complete(&xml, location, s->route.bucket, s->route.key,
                    ngx_http_s3_etag(e, etag), &x);

    ngx_http_s3_send_xml(s, NGX_HTTP_OK, &xml);
}
