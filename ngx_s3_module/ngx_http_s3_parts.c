
/*
 * The stored parts of an upload: a walk through them, ListParts.
 */


#include "ngx_http_s3_module.h"


#define NGX_HTTP_S3_PARTS_PAGE  1000


typedef struct {
    s3_xml_list_t              list;
    s3_list_head_t             head;

    ngx_http_s3_part_walk_t    walk;
    s3_entry_t                 best;          /* of number, so far */
    uint32_t                   number;
    uint32_t                   last;          /* number shown last */
    ngx_uint_t                 count;
} ngx_http_s3_parts_t;


static void ngx_http_s3_walk_page(ngx_http_s3_ctx_t *s);
static int ngx_http_s3_walk_item(s3_list_t *list, s3_str_t key,
    const s3_entry_t *entry);
static void ngx_http_s3_walk_done(s3_list_t *list);
static void ngx_http_s3_walk_next(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_list_parts_found(ngx_http_s3_ctx_t *s);
static int ngx_http_s3_list_parts_item(ngx_http_s3_ctx_t *s, uint32_t number,
    const s3_entry_t *entry);
static void ngx_http_s3_list_parts_show(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_list_parts_end(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_list_parts_send(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_list_parts_cleanup(void *data);


void
ngx_http_s3_walk_parts(ngx_http_s3_ctx_t *s, ngx_http_s3_part_walk_t *walk,
    ngx_uint_t from)
{
    s->walk = walk;

    walk->after_len = s3_upload_part_key(walk->after, s->route.key,
                                         s->upload_id, ngx_min(from, 65535),
                                         NULL).len;
    ngx_http_s3_walk_page(s);
}


static void
ngx_http_s3_walk_page(ngx_http_s3_ctx_t *s)
{
    s3_list_t                *list;
    ngx_http_s3_part_walk_t  *walk;

    walk = s->walk;
    list = &s->list;

    ngx_memzero(list, sizeof(s3_list_t));

    list->store = s->store;
    list->bucket = s->bucket->id + S3_SPACE_PARTS;
    list->prefix = s3_upload_parts_prefix(walk->prefix, s->route.key,
                                          s->upload_id);
    list->after = s3_str(walk->after, walk->after_len);
    list->max = NGX_HTTP_S3_PARTS_PAGE;
    list->item = ngx_http_s3_walk_item;
    list->done = ngx_http_s3_walk_done;
    list->ctx = s;

    ngx_http_s3_hold(s);
    s3_store_list(list);
}


static int
ngx_http_s3_walk_item(s3_list_t *list, s3_str_t key, const s3_entry_t *entry)
{
    ngx_http_s3_ctx_t *s = list->ctx;

    uint32_t                  number;
    ngx_http_s3_part_walk_t  *walk;

    walk = s->walk;

    if (entry == NULL || key.len > S3_MAX_KEY) {
        walk->rc = S3_ECORRUPT;
        return walk->rc;
    }

    walk->after_len = key.len;
    ngx_memcpy(walk->after, key.data, key.len);

    number = s3_upload_part_number(key);

    if (number) {
        walk->rc = walk->item(s, number, entry);
    }

    return walk->rc;
}


static void
ngx_http_s3_walk_done(s3_list_t *list)
{
    ngx_http_s3_resume(list->ctx, ngx_http_s3_walk_next);
}


static void
ngx_http_s3_walk_next(ngx_http_s3_ctx_t *s)
{
    int                       rc;
    ngx_http_s3_part_walk_t  *walk;

    walk = s->walk;
    rc = s->list.rc;

    if (rc == S3_OK && walk->rc != S3_DONE) {
        rc = walk->rc;
    }

    if (rc != S3_OK) {
        ngx_http_s3_error_rc(s, rc);
        return;
    }

    if (s->list.truncated && walk->rc == S3_OK) {
        ngx_http_s3_walk_page(s);
        return;
    }

    walk->step(s);
}


void
ngx_http_s3_list_parts(ngx_http_s3_ctx_t *s)
{
    ngx_http_s3_parts_t  *op;

    op = ngx_pcalloc(s->pool, sizeof(ngx_http_s3_parts_t));
    if (op == NULL) {
        ngx_http_s3_error(s, S3_ERR_SLOW_DOWN);
        return;
    }

    if (s3_parse_limit(S3_LIMIT_MAX_PARTS, ngx_http_s3_arg(s, "max-parts"),
                       &op->head.max, &s->fault)
        != S3_ERR_NONE
        || s3_parse_limit(S3_LIMIT_PART_NUMBER_MARKER,
                          ngx_http_s3_arg(s, "part-number-marker"),
                          &op->head.part_marker, &s->fault)
           != S3_ERR_NONE)
    {
        ngx_http_s3_fail(s);
        return;
    }

    s3_list_init(&op->list, 0, S3_XML_LIMIT);

    s->op = op;
    s->op_cleanup = ngx_http_s3_list_parts_cleanup;

    ngx_http_s3_with_upload(s, 0, ngx_http_s3_list_parts_found);
}


static void
ngx_http_s3_list_parts_cleanup(void *data)
{
    ngx_http_s3_parts_t *op = data;

    s3_list_free(&op->list);
}


static void
ngx_http_s3_list_parts_found(ngx_http_s3_ctx_t *s)
{
    ngx_http_s3_parts_t  *op;

    op = s->op;

    if (op->head.max == 0) {
        ngx_http_s3_list_parts_send(s);
        return;
    }

    op->walk.item = ngx_http_s3_list_parts_item;
    op->walk.step = ngx_http_s3_list_parts_end;

    ngx_http_s3_walk_parts(s, &op->walk, op->head.part_marker);
}


static int
ngx_http_s3_list_parts_item(ngx_http_s3_ctx_t *s, uint32_t number,
    const s3_entry_t *entry)
{
    s3_version_t          version, best;
    ngx_http_s3_parts_t  *op;

    op = s->op;

    if (number != op->number) {
        ngx_http_s3_list_parts_show(s);

        if (op->count == op->head.max) {
            op->head.truncated = 1;
            return S3_DONE;
        }

        op->number = number;
        op->best = *entry;

    } else {
        version = s3_upload_part_version(entry);
        best = s3_upload_part_version(&op->best);

        if (s3_version_cmp(&version, &best) > 0) {
            op->best = *entry;
        }
    }

    return S3_OK;
}


/* The number before is complete: one line of the page. */

static void
ngx_http_s3_list_parts_show(ngx_http_s3_ctx_t *s)
{
    u_char                etag[NGX_HTTP_S3_ETAG_LEN];
    u_char                value[S3_CHECKSUM_VALUE_SIZE];
    s3_ref_t              ref;
    s3_str_t              digest;
    s3_entry_t           *e;
    s3_xml_part_t         part;
    ngx_http_s3_parts_t  *op;

    op = s->op;
    e = &op->best;

    if (op->number == 0 || s3_upload_part_get(e, &ref, &digest) != S3_OK) {
        return;
    }

    ngx_memzero(&part, sizeof(s3_xml_part_t));

    part.number = op->number;
    part.mtime = e->mtime;
    part.etag = ngx_http_s3_etag(e, etag);
    part.size = e->size;

    if (!(s->upload->entry.checksum & 0x80)
        && digest.len == s3_checksum_info(e->checksum & 0xf)->len)
    {
        part.checksum.alg = e->checksum & 0xf;
        part.checksum.value = s3_str(value,
                                     s3_checksum_value(value, part.checksum.alg,
                                                       digest.data, 0));
    }

    op->last = op->number;
    op->number = 0;
    op->count++;

    s3_list_part(&op->list, &part);
}


static void
ngx_http_s3_list_parts_end(ngx_http_s3_ctx_t *s)
{
    ngx_http_s3_parts_t  *op;

    op = s->op;

    if (!op->head.truncated) {
        ngx_http_s3_list_parts_show(s);
    }

    ngx_http_s3_list_parts_send(s);
}


static void
ngx_http_s3_list_parts_send(ngx_http_s3_ctx_t *s)
{
    s3_xml_t              xml;
    s3_list_head_t       *head;
    ngx_http_s3_parts_t  *op;

    op = s->op;
    head = &op->head;

    head->bucket = s->route.bucket;
    head->key = s->route.key;
    head->upload_id = s->upload_id;
    head->initiator = &s->conf->owner;
    head->owner = &s->conf->owner;
    head->storage_class = ngx_http_s3_class_name(
                                             s->upload->entry.storage_class);
    head->next_part_marker = op->last;

    if (!(s->upload->entry.checksum & 0x80)) {
        head->checksum_alg = s->upload->entry.checksum & 0xf;
        head->checksum_type = s->upload->entry.checksum >> 4;
    }

    s3_xml_init(&xml, S3_XML_LIMIT);
    s3_list_parts(&xml, &op->list, head);

    ngx_http_s3_send_xml(s, NGX_HTTP_OK, &xml);
}
