
/*
 * ListObjects, ListObjectsV2, ListObjectVersions.
 *
 * The page is one pass over the store's ordered index; nothing is kept between
 * pages.  A continuation token is the last key or common prefix, in base64.
 */


#include "ngx_http_s3_module.h"


#define NGX_HTTP_S3_TOKEN_MAX  (2 * S3_KEY_MAX)


typedef struct {
    s3_xml_list_t              list;
    s3_list_head_t             head;
    s3_str_t                   last;
    ngx_uint_t                 owner;
    int                        url;
} ngx_http_s3_listing_t;


static ngx_int_t ngx_http_s3_list_args(ngx_http_s3_ctx_t *s,
    ngx_http_s3_listing_t *op);
static ngx_int_t ngx_http_s3_list_start(ngx_http_s3_ctx_t *s,
    ngx_http_s3_listing_t *op);
static void ngx_http_s3_list_cleanup(void *data);
static void ngx_http_s3_list_begin(ngx_http_s3_ctx_t *s);
static int ngx_http_s3_list_item(s3_list_t *list, s3_str_t key,
    const s3_entry_t *entry);
static void ngx_http_s3_list_done(s3_list_t *list);
static void ngx_http_s3_list_send(ngx_http_s3_ctx_t *s);
static s3_str_t ngx_http_s3_list_token(ngx_http_s3_ctx_t *s, s3_str_t key);


void
ngx_http_s3_list_objects(ngx_http_s3_ctx_t *s)
{
    ngx_http_s3_listing_t  *op;

    op = ngx_pcalloc(s->pool, sizeof(ngx_http_s3_listing_t));
    if (op == NULL) {
        ngx_http_s3_error(s, S3_ERR_SLOW_DOWN);
        return;
    }

    if (ngx_http_s3_list_args(s, op) != NGX_OK
        || ngx_http_s3_list_start(s, op) != NGX_OK)
    {
        ngx_http_s3_fail(s);
        return;
    }

    s3_list_init(&op->list, op->url, S3_XML_LIMIT);

    s->op = op;
    s->op_cleanup = ngx_http_s3_list_cleanup;

    ngx_http_s3_with_bucket(s, ngx_http_s3_list_begin);
}


static ngx_int_t
ngx_http_s3_list_args(ngx_http_s3_ctx_t *s, ngx_http_s3_listing_t *op)
{
    s3_list_head_t  *head;

    head = &op->head;

    head->bucket = s->route.bucket;
    head->prefix = ngx_http_s3_arg(s, "prefix");
    head->delimiter = ngx_http_s3_arg(s, "delimiter");

    if (s3_parse_encoding_type(ngx_http_s3_arg(s, "encoding-type"), &op->url,
                               &s->fault)
        != S3_ERR_NONE)
    {
        return NGX_ERROR;
    }

    if (s3_parse_limit(s->route.op == S3_OP_LIST_OBJECT_VERSIONS
                       ? S3_LIMIT_VERSIONS_MAX_KEYS : S3_LIMIT_MAX_KEYS,
                       ngx_http_s3_arg(s, "max-keys"), &head->max, &s->fault)
        != S3_ERR_NONE)
    {
        return NGX_ERROR;
    }

    if (head->prefix.len > S3_KEY_MAX || head->delimiter.len > S3_KEY_MAX) {
        s3_fault(&s->fault, S3_ERR_KEY_TOO_LONG_ERROR, NULL);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* Where the page begins: each of the three has its own word for it. */

static ngx_int_t
ngx_http_s3_list_start(ngx_http_s3_ctx_t *s, ngx_http_s3_listing_t *op)
{
    u_char          *p;
    int64_t          len;
    s3_str_t         fetch;
    s3_list_head_t  *head;

    head = &op->head;

    switch (s->route.op) {

    case S3_OP_LIST_OBJECTS:
        op->owner = 1;
        head->marker = ngx_http_s3_arg(s, "marker");
        s->list.after = head->marker;
        break;

    case S3_OP_LIST_OBJECT_VERSIONS:
        op->owner = 1;
        head->marker = ngx_http_s3_arg(s, "key-marker");
        head->version_marker = ngx_http_s3_arg(s, "version-id-marker");

        if (head->version_marker.len && head->marker.len == 0) {
            s3_fault_arg(&s->fault, "A version-id marker cannot be specified "
                         "without a key marker.", "version-id-marker",
                         head->version_marker);
            return NGX_ERROR;
        }

        s->list.after = head->marker;
        break;

    default:
        fetch = ngx_http_s3_arg(s, "fetch-owner");
        op->owner = s3_str_eq(fetch, s3_string("true"));

        head->start_after = ngx_http_s3_arg(s, "start-after");
        head->token = ngx_http_s3_arg(s, "continuation-token");

        s->list.after = head->start_after;

        if (head->token.len == 0) {
            break;
        }

        p = head->token.len <= NGX_HTTP_S3_TOKEN_MAX
            ? ngx_pnalloc(s->pool, head->token.len + 1) : NULL;

        len = p ? s3_base64_decode(p, head->token) : S3_EINVAL;

        if (len <= 0) {
            s3_fault_arg(&s->fault, "The continuation token provided is "
                         "incorrect", "continuation-token", head->token);
            return NGX_ERROR;
        }

        s->list.after = s3_str(p, len);
    }

    if (s->list.after.len > S3_MAX_KEY) {
        s3_fault(&s->fault, S3_ERR_KEY_TOO_LONG_ERROR, NULL);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_http_s3_list_cleanup(void *data)
{
    ngx_http_s3_listing_t *op = data;

    s3_list_free(&op->list);
}


static void
ngx_http_s3_list_begin(ngx_http_s3_ctx_t *s)
{
    s3_list_t              *list;
    ngx_http_s3_listing_t  *op;

    op = s->op;
    list = &s->list;

    list->store = s->store;
    list->bucket = s->bucket->id;
    list->prefix = op->head.prefix;
    list->delimiter = op->head.delimiter;
    list->max = op->head.max;
    list->item = ngx_http_s3_list_item;
    list->done = ngx_http_s3_list_done;
    list->ctx = s;

    ngx_http_s3_hold(s);
    s3_store_list(list);
}


static int
ngx_http_s3_list_item(s3_list_t *list, s3_str_t key, const s3_entry_t *entry)
{
    ngx_http_s3_ctx_t *s = list->ctx;

    u_char                  buf[NGX_HTTP_S3_ETAG_LEN];
    s3_xml_object_t         object;
    ngx_http_s3_listing_t  *op;

    op = s->op;

    if (op->last.data == NULL) {
        op->last.data = ngx_pnalloc(s->pool, S3_MAX_KEY);
        if (op->last.data == NULL) {
            return S3_ENOMEM;
        }
    }

    op->last.len = ngx_min(key.len, S3_MAX_KEY);
    ngx_memcpy((u_char *) op->last.data, key.data, op->last.len);

    if (entry == NULL) {
        s3_list_prefix(&op->list, key);
        return S3_OK;
    }

    object.key = key;
    object.mtime = entry->mtime;
    object.etag = ngx_http_s3_etag(entry, buf);
    object.size = entry->size;
    object.storage_class = ngx_http_s3_class_name(entry->storage_class);
    object.owner = op->owner ? &s->conf->owner : NULL;
    object.checksum_alg = entry->checksum & 0xf;
    object.checksum_type = entry->checksum >> 4;

    if (s->route.op == S3_OP_LIST_OBJECT_VERSIONS) {
        s3_list_version(&op->list, &object);

    } else {
        s3_list_object(&op->list, &object);
    }

    return S3_OK;
}


static void
ngx_http_s3_list_done(s3_list_t *list)
{
    ngx_http_s3_resume(list->ctx, ngx_http_s3_list_send);
}


static void
ngx_http_s3_list_send(ngx_http_s3_ctx_t *s)
{
    s3_xml_t                xml;
    s3_list_head_t         *head;
    ngx_http_s3_listing_t  *op;

    op = s->op;
    head = &op->head;

    if (s->list.rc != S3_OK) {
        ngx_http_s3_error_rc(s, s->list.rc);
        return;
    }

    head->truncated = s->list.truncated;

    s3_xml_init(&xml, S3_XML_LIMIT);

    switch (s->route.op) {

    case S3_OP_LIST_OBJECTS:
        /* without a delimiter, the last key is the next marker */

        if (head->truncated && head->delimiter.len) {
            head->next_marker = op->last;
        }

        s3_list_objects_v1(&xml, &op->list, head);
        break;

    case S3_OP_LIST_OBJECT_VERSIONS:
        if (head->truncated) {
            head->next_marker = op->last;
            head->next_version_marker = s3_string("null");
        }

        s3_list_versions(&xml, &op->list, head);
        break;

    default:
        if (head->truncated) {
            head->next_token = ngx_http_s3_list_token(s, op->last);
        }

        s3_list_objects_v2(&xml, &op->list, head);
    }

    ngx_http_s3_send_xml(s, NGX_HTTP_OK, &xml);
}


static s3_str_t
ngx_http_s3_list_token(ngx_http_s3_ctx_t *s, s3_str_t key)
{
    u_char  *p;

    p = ngx_pnalloc(s->pool, s3_base64_len(key.len) + 1);
    if (p == NULL) {
        return s3_null_str;
    }

    return s3_str(p, s3_base64_encode(p, key));
}
