
/*
 * DeleteObject and DeleteObjects.
 */


#include "ngx_http_s3_module.h"


/* Keys of one DeleteObjects that are under way at the same time. */

#define NGX_HTTP_S3_DELETES  32


typedef struct ngx_http_s3_deletes_s  ngx_http_s3_deletes_t;

typedef struct {
    s3_put_t                   put;           /* first: callbacks cast */
    ngx_http_s3_deletes_t     *op;
    ngx_uint_t                 index;
    unsigned                   submitting:1;
    unsigned                   answered:1;
} ngx_http_s3_deleting_t;


struct ngx_http_s3_deletes_s {
    ngx_http_s3_ctx_t         *s;
    s3_delete_t                doc;
    int                       *results;       /* by object of doc */
    uint64_t                   mtime;
    ngx_uint_t                 next;
    ngx_uint_t                 running;
    ngx_http_s3_deleting_t     slots[NGX_HTTP_S3_DELETES];
};


static void ngx_http_s3_delete_begin(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_delete_done(s3_put_t *put);
static void ngx_http_s3_delete_answer(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_deletes_bucket(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_deletes_parsed(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_deletes_run(ngx_http_s3_deletes_t *op,
    ngx_http_s3_deleting_t *slot);
static int ngx_http_s3_deletes_test(s3_put_t *put, const s3_entry_t *current);
static void ngx_http_s3_deletes_done(s3_put_t *put);
static void ngx_http_s3_deletes_answer(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_deletes_cleanup(void *data);


void
ngx_http_s3_delete_object(ngx_http_s3_ctx_t *s)
{
    s3_str_t  id;

    id = ngx_http_s3_arg(s, "versionId");

    if (id.data != NULL && !s3_str_eq(id, s3_string("null"))) {
        s3_fault_arg(&s->fault, "Invalid version id specified", "versionId",
                     id);
        ngx_http_s3_fail(s);
        return;
    }

    if (ngx_http_s3_request_header(s, "x-amz-if-match-last-modified-time").data
        || ngx_http_s3_request_header(s, "x-amz-if-match-size").data)
    {
        /* directory buckets have these conditions, others don't */
        ngx_http_s3_error(s, S3_ERR_NOT_IMPLEMENTED);
        return;
    }

    if (ngx_http_s3_write_condition(s, 1) != NGX_OK) {
        ngx_http_s3_fail(s);
        return;
    }

    ngx_http_s3_with_bucket(s, ngx_http_s3_delete_begin);
}


static void
ngx_http_s3_delete_begin(ngx_http_s3_ctx_t *s)
{
    s3_put_t  *put;

    put = ngx_http_s3_put_init(s);

    put->entry.kind = S3_KIND_TOMBSTONE;
    put->test = s->cond.kind == S3_WRITE_ALWAYS ? NULL : ngx_http_s3_test;
    put->done = ngx_http_s3_delete_done;

    ngx_http_s3_hold(s);
    s3_store_put(put);
}


static void
ngx_http_s3_delete_done(s3_put_t *put)
{
    ngx_http_s3_resume(put->ctx, ngx_http_s3_delete_answer);
}


static void
ngx_http_s3_delete_answer(ngx_http_s3_ctx_t *s)
{
    if (s->put.rc != S3_OK
        && !(s->put.rc == S3_ENOENT && s->cond.kind == S3_WRITE_ALWAYS))
    {
        ngx_http_s3_put_error(s, s->put.rc);
        return;
    }

    ngx_http_s3_send_empty(s, NGX_HTTP_NO_CONTENT);
}


void
ngx_http_s3_delete_objects(ngx_http_s3_ctx_t *s)
{
    ngx_http_s3_with_bucket(s, ngx_http_s3_deletes_bucket);
}


static void
ngx_http_s3_deletes_bucket(ngx_http_s3_ctx_t *s)
{
    ngx_http_s3_body_collect(s, s3_op_info(s->route.op)->max_body,
                             ngx_http_s3_deletes_parsed);
}


static void
ngx_http_s3_deletes_parsed(ngx_http_s3_ctx_t *s)
{
    ngx_uint_t              i;
    ngx_http_s3_deletes_t  *op;

    op = ngx_pcalloc(s->pool, sizeof(ngx_http_s3_deletes_t));
    if (op == NULL) {
        ngx_http_s3_error(s, S3_ERR_SLOW_DOWN);
        return;
    }

    op->s = s;
    op->mtime = ngx_s3_store_loop()->wall_us(ngx_s3_store_loop()) / 1000;

    s->op = op;
    s->op_cleanup = ngx_http_s3_deletes_cleanup;

    if (s3_delete_parse(&op->doc, ngx_http_s3_body_text(s), &s->fault)
        != S3_ERR_NONE)
    {
        ngx_http_s3_fail(s);
        return;
    }

    op->results = ngx_pcalloc(s->pool, op->doc.n * sizeof(int) + 1);
    if (op->results == NULL) {
        ngx_http_s3_error(s, S3_ERR_SLOW_DOWN);
        return;
    }

    /* one for this loop, so that answers at once do not end it early */

    op->running = 1;

    ngx_http_s3_hold(s);

    for (i = 0; i < NGX_HTTP_S3_DELETES && op->next < op->doc.n; i++) {
        op->slots[i].op = op;
        op->running++;
        ngx_http_s3_deletes_run(op, &op->slots[i]);
    }

    if (--op->running == 0) {
        ngx_http_s3_resume(s, ngx_http_s3_deletes_answer);
    }
}


/* Works off keys through one slot until none is left. */

static void
ngx_http_s3_deletes_run(ngx_http_s3_deletes_t *op, ngx_http_s3_deleting_t *slot)
{
    s3_put_t             *put;
    s3_delete_object_t   *object;

    while (op->next < op->doc.n) {

        slot->index = op->next++;
        object = &op->doc.objects[slot->index];

        if (object->version_id.len
            && !s3_str_eq(object->version_id, s3_string("null")))
        {
            op->results[slot->index] = S3_EVERSION;
            continue;
        }

        if (object->key.len > S3_KEY_MAX) {
            op->results[slot->index] = S3_EINVAL;
            continue;
        }

        if (object->last_modified.data != NULL || object->size.data != NULL) {
            op->results[slot->index] = S3_EFOREIGN;
            continue;
        }

        put = &slot->put;
        ngx_memzero(put, sizeof(s3_put_t));

        put->store = op->s->store;
        put->bucket = op->s->bucket->id;
        put->generation = op->s->bucket->generation;
        put->key = object->key;
        put->entry.kind = S3_KIND_TOMBSTONE;
        put->entry.mtime = op->mtime;
        put->test = object->etag.len ? ngx_http_s3_deletes_test : NULL;
        put->done = ngx_http_s3_deletes_done;
        put->ctx = op;

        /* an answer that comes at once must not nest, there may be 1000 */

        slot->answered = 0;
        slot->submitting = 1;

        s3_store_put(put);

        slot->submitting = 0;

        if (!slot->answered) {
            return;
        }
    }

    if (--op->running == 0) {
        ngx_http_s3_resume(op->s, ngx_http_s3_deletes_answer);
    }
}


static int
ngx_http_s3_deletes_test(s3_put_t *put, const s3_entry_t *current)
{
    ngx_http_s3_deleting_t *slot = (ngx_http_s3_deleting_t *) put;

    u_char    buf[NGX_HTTP_S3_ETAG_LEN];
    s3_str_t  etag;

    etag = slot->op->doc.objects[slot->index].etag;

    if (current == NULL) {
        return S3_ENOENT;
    }

    return s3_str_eq(etag, s3_string("*"))
           || s3_str_eq(etag, ngx_http_s3_etag(current, buf))
           ? S3_OK : S3_EPRECOND;
}


static void
ngx_http_s3_deletes_done(s3_put_t *put)
{
    ngx_http_s3_deleting_t *slot = (ngx_http_s3_deleting_t *) put;

    slot->op->results[slot->index] = put->rc;
    slot->answered = 1;

    if (slot->submitting) {
        return;
    }

    ngx_http_s3_deletes_run(slot->op, slot);
}


static void
ngx_http_s3_deletes_answer(ngx_http_s3_ctx_t *s)
{
    s3_xml_t                xml;
    ngx_uint_t              i;
    s3_fault_t              fault;
    s3_delete_object_t     *object;
    ngx_http_s3_deletes_t  *op;

    op = s->op;

    s3_xml_init(&xml, S3_XML_LIMIT);
    s3_xml_delete_begin(&xml);

    for (i = 0; i < op->doc.n; i++) {
        object = &op->doc.objects[i];

        ngx_memzero(&fault, sizeof(s3_fault_t));

        switch (op->results[i]) {

        case S3_OK:
            if (!op->doc.quiet) {
                s3_xml_deleted(&xml, object->key, object->version_id);
            }

            continue;

        case S3_EVERSION:
            s3_fault(&fault, S3_ERR_NO_SUCH_VERSION, NULL);
            break;

        case S3_EINVAL:
            s3_fault(&fault, S3_ERR_KEY_TOO_LONG_ERROR, NULL);
            break;

        case S3_EFOREIGN:
            s3_fault(&fault, S3_ERR_NOT_IMPLEMENTED, NULL);
            break;

        default:
            s3_fault(&fault, s3_err_from_rc(op->results[i]), NULL);
        }

        s3_xml_delete_error(&xml, object->key, object->version_id, &fault);
    }

    s3_xml_delete_end(&xml);

    ngx_http_s3_send_xml(s, NGX_HTTP_OK, &xml);
}


static void
ngx_http_s3_deletes_cleanup(void *data)
{
    ngx_http_s3_deletes_t *op = data;

    s3_delete_free(&op->doc);
}
