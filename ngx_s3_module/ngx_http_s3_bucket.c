
/*
 * Operations on buckets: list, create, head, delete, location, tagging.
 */


#include "ngx_http_s3_module.h"


typedef struct {
    s3_xml_list_t              list;
    s3_list_head_t             head;
    u_char                    *last;          /* name of the last one */
    size_t                     last_len;
    unsigned                   regions:1;
} ngx_http_s3_buckets_t;


static int ngx_http_s3_list_buckets_item(s3_list_t *list, s3_str_t key,
    const s3_entry_t *entry);
static void ngx_http_s3_list_buckets_done(s3_list_t *list);
static void ngx_http_s3_list_buckets_send(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_list_buckets_cleanup(void *op);
static void ngx_http_s3_create_bucket_parsed(ngx_http_s3_ctx_t *s);
static ngx_int_t ngx_http_s3_check_location(ngx_http_s3_ctx_t *s,
    s3_create_bucket_t *doc);
static void ngx_http_s3_bucket_start(ngx_http_s3_ctx_t *s,
    void (*start)(s3_bucket_op_t *op), ngx_http_s3_step_pt step);
static void ngx_http_s3_bucket_op_done(s3_bucket_op_t *op);
static void ngx_http_s3_bucket_op_step(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_bucket_created(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_head_bucket_found(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_bucket_deleted(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_location_found(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_get_tagging(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_put_tagging(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_tagging_body(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_delete_tagging(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_tagging_stored(ngx_http_s3_ctx_t *s);
static ngx_int_t ngx_http_s3_dup_tags(ngx_http_s3_ctx_t *s,
    const s3_tag_t *tags, size_t n);


void
ngx_http_s3_list_buckets(ngx_http_s3_ctx_t *s)
{
    uint32_t                max;
    s3_str_t                arg, prefix, token;
    s3_list_t              *list;
    ngx_http_s3_buckets_t  *op;

    op = ngx_pcalloc(s->pool, sizeof(ngx_http_s3_buckets_t));
    if (op == NULL) {
        ngx_http_s3_error(s, S3_ERR_SLOW_DOWN);
        return;
    }

    arg = ngx_http_s3_arg(s, "max-buckets");
    prefix = ngx_http_s3_arg(s, "prefix");
    token = ngx_http_s3_arg(s, "continuation-token");

    if (s3_parse_limit(S3_LIMIT_MAX_BUCKETS, arg, &max, &s->fault)
        != S3_ERR_NONE)
    {
        ngx_http_s3_fail(s);
        return;
    }

    if (prefix.len > S3_KEY_MAX || token.len > S3_KEY_MAX) {
        s3_fault_arg(&s->fault, "The continuation token provided is incorrect",
                     "continuation-token", token);
        ngx_http_s3_fail(s);
        return;
    }

    op->regions = arg.data != NULL || prefix.data != NULL || token.data != NULL;
    op->head.prefix = prefix;
    op->head.owner = &s->conf->owner;

    s3_list_init(&op->list, 0, S3_XML_LIMIT);

    s->op = op;
    s->op_cleanup = ngx_http_s3_list_buckets_cleanup;

    list = &s->list;

    list->store = s->store;
    list->bucket = S3_BUCKET_BUCKETS;
    list->prefix = prefix;
    list->after = token;
    list->max = max;
    list->item = ngx_http_s3_list_buckets_item;
    list->done = ngx_http_s3_list_buckets_done;
    list->ctx = s;

    ngx_http_s3_hold(s);
    s3_store_list(list);
}


static void
ngx_http_s3_list_buckets_cleanup(void *op)
{
    ngx_http_s3_buckets_t *b = op;

    s3_list_free(&b->list);
}


static int
ngx_http_s3_list_buckets_item(s3_list_t *list, s3_str_t key,
    const s3_entry_t *entry)
{
    ngx_http_s3_ctx_t *s = list->ctx;

    uint64_t                id;
    s3_str_t                name, region;
    s3_xml_bucket_t         bucket;
    ngx_http_s3_buckets_t  *op;

    op = s->op;

    name = ngx_http_s3_dup(s, key);

    if (entry == NULL || name.data == NULL) {
        return S3_ENOMEM;
    }

    op->last = (u_char *) name.data;
    op->last_len = name.len;

    bucket.name = key;
    bucket.created = entry->mtime;
    bucket.region = s3_null_str;

    if (op->regions && s3_bucket_entry(entry, &id, &region) == S3_OK) {
        bucket.region = region;
    }

    s3_list_bucket(&op->list, &bucket);

    return S3_OK;
}


static void
ngx_http_s3_list_buckets_done(s3_list_t *list)
{
    ngx_http_s3_resume(list->ctx, ngx_http_s3_list_buckets_send);
}


static void
ngx_http_s3_list_buckets_send(ngx_http_s3_ctx_t *s)
{
    s3_xml_t                xml;
    ngx_http_s3_buckets_t  *op;

    op = s->op;

    if (s->list.rc != S3_OK) {
        ngx_http_s3_error_rc(s, s->list.rc);
        return;
    }

    if (s->list.truncated) {
        op->head.next_token = s3_str(op->last, op->last_len);
    }

    s3_xml_init(&xml, S3_XML_LIMIT);
    s3_list_buckets(&xml, &op->list, &op->head);

    ngx_http_s3_send_xml(s, NGX_HTTP_OK, &xml);
}


void
ngx_http_s3_create_bucket(ngx_http_s3_ctx_t *s)
{
    s3_str_t  value;

    if (ngx_http_s3_check_unsupported(s) != NGX_OK) {
        ngx_http_s3_fail(s);
        return;
    }

    if (s3_bucket_name_reserved(s->route.bucket)) {
        s3_fault(&s->fault, S3_ERR_INVALID_BUCKET_NAME, NULL);
        s3_fault_add(&s->fault, "BucketName", s->route.bucket);
        ngx_http_s3_fail(s);
        return;
    }

    value = ngx_http_s3_request_header(s, "x-amz-bucket-object-lock-enabled");

    if (value.len == 4
        && ngx_strncasecmp((u_char *) value.data, (u_char *) "true", 4) == 0)
    {
        ngx_http_s3_error(s, S3_ERR_NOT_IMPLEMENTED);
        return;
    }

    value = ngx_http_s3_request_header(s, "x-amz-object-ownership");

    if (value.data != NULL
        && !s3_str_eq(value, s3_string("BucketOwnerEnforced")))
    {
        if (s3_str_eq(value, s3_string("BucketOwnerPreferred"))
            || s3_str_eq(value, s3_string("ObjectWriter")))
        {
            ngx_http_s3_error(s, S3_ERR_NOT_IMPLEMENTED);
            return;
        }

        s3_fault_arg(&s->fault, "Invalid x-amz-object-ownership header",
                     "x-amz-object-ownership", value);
        ngx_http_s3_fail(s);
        return;
    }

    ngx_http_s3_body_collect(s, s3_op_info(s->route.op)->max_body,
                             ngx_http_s3_create_bucket_parsed);
}


static void
ngx_http_s3_create_bucket_parsed(ngx_http_s3_ctx_t *s)
{
    ngx_int_t            rc;
    s3_create_bucket_t   doc;

    rc = NGX_ERROR;

    if (s3_create_bucket_parse(&doc, ngx_http_s3_body_text(s), &s->fault)
        == S3_ERR_NONE)
    {
        rc = ngx_http_s3_check_location(s, &doc);

        if (rc == NGX_OK) {
            rc = ngx_http_s3_dup_tags(s, doc.tags, doc.ntags);
        }
    }

    /* the fault may quote the document */

    if (rc != NGX_OK) {
        ngx_http_s3_fail(s);
    }

    s3_create_bucket_free(&doc);

    if (rc != NGX_OK) {
        return;
    }

    s->bucket_op.region = s3_str(s->conf->region.data, s->conf->region.len);

    ngx_http_s3_bucket_start(s, s3_bucket_create, ngx_http_s3_bucket_created);
}


static ngx_int_t
ngx_http_s3_check_location(ngx_http_s3_ctx_t *s, s3_create_bucket_t *doc)
{
    s3_str_t  region, location;

    region = s3_str(s->conf->region.data, s->conf->region.len);
    location = doc->location_constraint;

    if (doc->bucket_type.data != NULL || doc->location_type.data != NULL) {
        s3_fault(&s->fault, S3_ERR_NOT_IMPLEMENTED, NULL);
        return NGX_ERROR;
    }

    if (location.len == 0 || s3_str_eq(location, region)) {
        return NGX_OK;
    }

    s3_faultf(&s->fault, S3_ERR_INVALID_LOCATION_CONSTRAINT,
              "The specified location-constraint is not valid");
    s3_fault_add(&s->fault, "LocationConstraint",
                 ngx_http_s3_dup(s, location));

    return NGX_ERROR;
}


/* Tags outlive the document that they were parsed from. */

static ngx_int_t
ngx_http_s3_dup_tags(ngx_http_s3_ctx_t *s, const s3_tag_t *tags, size_t n)
{
    size_t            i;
    s3_bucket_tag_t  *copy;

    copy = ngx_palloc(s->pool, (n + 1) * sizeof(s3_bucket_tag_t));
    if (copy == NULL) {
        s3_fault(&s->fault, S3_ERR_SLOW_DOWN, NULL);
        return NGX_ERROR;
    }

    for (i = 0; i < n; i++) {
        copy[i].key = ngx_http_s3_dup(s, tags[i].key);
        copy[i].value = ngx_http_s3_dup(s, tags[i].value);

        if (copy[i].key.data == NULL || copy[i].value.data == NULL) {
            s3_fault(&s->fault, S3_ERR_SLOW_DOWN, NULL);
            return NGX_ERROR;
        }
    }

    s->bucket_op.tags = copy;
    s->bucket_op.n_tags = n;

    return NGX_OK;
}


static void
ngx_http_s3_bucket_start(ngx_http_s3_ctx_t *s,
    void (*start)(s3_bucket_op_t *op), ngx_http_s3_step_pt step)
{
    s3_bucket_op_t  *op;

    op = &s->bucket_op;

    op->buckets = ngx_http_s3_buckets();
    op->name = s->route.bucket;
    op->done = ngx_http_s3_bucket_op_done;
    op->ctx = s;

    s->bucket_step = step;

    ngx_http_s3_hold(s);
    start(op);
}


static void
ngx_http_s3_bucket_op_done(s3_bucket_op_t *op)
{
    ngx_http_s3_ctx_t *s = op->ctx;

    s3_bucket_release(s->bucket);
    s->bucket = op->bucket;

    ngx_http_s3_resume(s, ngx_http_s3_bucket_op_step);
}


static void
ngx_http_s3_bucket_op_step(ngx_http_s3_ctx_t *s)
{
    s->bucket_step(s);
}


static void
ngx_http_s3_bucket_created(ngx_http_s3_ctx_t *s)
{
    u_char  *p;

    switch (s->bucket_op.rc) {

    case S3_OK:
        break;

    case S3_EEXIST:
        /* us-east-1 answers the owner's second attempt with 200 */

        if (s->conf->region.len == sizeof("us-east-1") - 1
            && ngx_strncmp(s->conf->region.data, "us-east-1",
                           sizeof("us-east-1") - 1) == 0)
        {
            break;
        }

        s3_fault(&s->fault, S3_ERR_BUCKET_ALREADY_OWNED_BY_YOU, NULL);
        s3_fault_add(&s->fault, "BucketName", s->route.bucket);
        ngx_http_s3_fail(s);
        return;

    case S3_ECONFLICT:
        ngx_http_s3_error(s, S3_ERR_OPERATION_ABORTED);
        return;

    default:
        ngx_http_s3_error_rc(s, s->bucket_op.rc);
        return;
    }

    p = ngx_pnalloc(s->pool, s->route.bucket.len + 1);
    if (p == NULL) {
        ngx_http_s3_finish(s, NGX_ERROR);
        return;
    }

    p[0] = '/';
    ngx_memcpy(p + 1, s->route.bucket.data, s->route.bucket.len);

    if (ngx_http_s3_set_header(s, "Location",
                               s3_str(p, s->route.bucket.len + 1))
        != NGX_OK)
    {
        ngx_http_s3_finish(s, NGX_ERROR);
        return;
    }

    ngx_http_s3_send_empty(s, NGX_HTTP_OK);
}


void
ngx_http_s3_head_bucket(ngx_http_s3_ctx_t *s)
{
    ngx_http_s3_with_bucket(s, ngx_http_s3_head_bucket_found);
}


static void
ngx_http_s3_head_bucket_found(ngx_http_s3_ctx_t *s)
{
    if (ngx_http_s3_set_header(s, "x-amz-bucket-region", s->bucket->region)
        != NGX_OK)
    {
        ngx_http_s3_finish(s, NGX_ERROR);
        return;
    }

    ngx_str_set(&s->r->headers_out.content_type, "application/xml");
    s->r->headers_out.content_type_len = s->r->headers_out.content_type.len;

    ngx_http_s3_send_empty(s, NGX_HTTP_OK);
}


void
ngx_http_s3_delete_bucket(ngx_http_s3_ctx_t *s)
{
    ngx_http_s3_bucket_start(s, s3_bucket_delete, ngx_http_s3_bucket_deleted);
}


static void
ngx_http_s3_bucket_deleted(ngx_http_s3_ctx_t *s)
{
    switch (s->bucket_op.rc) {

    case S3_OK:
        ngx_http_s3_send_empty(s, NGX_HTTP_NO_CONTENT);
        return;

    case S3_ENOENT:
        s3_fault(&s->fault, S3_ERR_NO_SUCH_BUCKET, NULL);
        break;

    case S3_EEXIST:
        s3_fault(&s->fault, S3_ERR_BUCKET_NOT_EMPTY, NULL);
        break;

    case S3_ECONFLICT:
        ngx_http_s3_error(s, S3_ERR_OPERATION_ABORTED);
        return;

    default:
        ngx_http_s3_error_rc(s, s->bucket_op.rc);
        return;
    }

    s3_fault_add(&s->fault, "BucketName", s->route.bucket);
    ngx_http_s3_fail(s);
}


void
ngx_http_s3_bucket_location(ngx_http_s3_ctx_t *s)
{
    ngx_http_s3_with_bucket(s, ngx_http_s3_location_found);
}


static void
ngx_http_s3_location_found(ngx_http_s3_ctx_t *s)
{
    s3_xml_t  xml;

    s3_xml_init(&xml, 4096);
    s3_xml_location(&xml, s->bucket->region);

    ngx_http_s3_send_xml(s, NGX_HTTP_OK, &xml);
}


void
ngx_http_s3_bucket_tagging(ngx_http_s3_ctx_t *s)
{
    switch (s->route.op) {

    case S3_OP_GET_BUCKET_TAGGING:
        ngx_http_s3_with_bucket(s, ngx_http_s3_get_tagging);
        return;

    case S3_OP_PUT_BUCKET_TAGGING:
        ngx_http_s3_with_bucket(s, ngx_http_s3_put_tagging);
        return;

    default:
        ngx_http_s3_with_bucket(s, ngx_http_s3_delete_tagging);
    }
}


static void
ngx_http_s3_get_tagging(ngx_http_s3_ctx_t *s)
{
    s3_xml_t    xml;
    ngx_uint_t  i;

    if (s->bucket->n_tags == 0) {
        s3_fault(&s->fault, S3_ERR_NO_SUCH_TAG_SET, NULL);
        s3_fault_add(&s->fault, "BucketName", s->route.bucket);
        ngx_http_s3_fail(s);
        return;
    }

    s3_xml_init(&xml, S3_XML_LIMIT);
    s3_xml_tagging_begin(&xml);

    for (i = 0; i < s->bucket->n_tags; i++) {
        s3_xml_tagging_tag(&xml, s->bucket->tags[i].key,
                           s->bucket->tags[i].value);
    }

    s3_xml_tagging_end(&xml);

    ngx_http_s3_send_xml(s, NGX_HTTP_OK, &xml);
}


static void
ngx_http_s3_put_tagging(ngx_http_s3_ctx_t *s)
{
    ngx_http_s3_body_collect(s, s3_op_info(s->route.op)->max_body,
                             ngx_http_s3_tagging_body);
}


static void
ngx_http_s3_tagging_body(ngx_http_s3_ctx_t *s)
{
    ngx_int_t      rc;
    s3_tagging_t   doc;

    rc = NGX_ERROR;

    if (s3_tagging_parse(&doc, ngx_http_s3_body_text(s), S3_TAGS_BUCKET,
                         &s->fault)
        == S3_ERR_NONE)
    {
        rc = ngx_http_s3_dup_tags(s, doc.tags, doc.n);
    }

    /* the fault may quote the document */

    if (rc != NGX_OK) {
        ngx_http_s3_fail(s);
    }

    s3_tagging_free(&doc);

    if (rc != NGX_OK) {
        return;
    }

    ngx_http_s3_bucket_start(s, s3_bucket_set_tags,
                             ngx_http_s3_tagging_stored);
}


static void
ngx_http_s3_delete_tagging(ngx_http_s3_ctx_t *s)
{
    ngx_http_s3_bucket_start(s, s3_bucket_set_tags,
                             ngx_http_s3_tagging_stored);
}


static void
ngx_http_s3_tagging_stored(ngx_http_s3_ctx_t *s)
{
    if (s->bucket_op.rc != S3_OK) {
        ngx_http_s3_error_rc(s, s->bucket_op.rc);
        return;
    }

    /* AWS answers 204 to a PUT of tags on a bucket, too */

    ngx_http_s3_send_empty(s, NGX_HTTP_NO_CONTENT);
}
