
/*
 * GetObject, HeadObject.
 *
 *   newest version ── conditions ── range or part ── headers ── stripes
 *
 * One stripe is with the client, the next one is being read; a client that is
 * slow costs no more than that.
 */


#include "ngx_http_s3_module.h"


#define NGX_HTTP_S3_GET_ATTEMPTS  3
#define NGX_HTTP_S3_GET_BURST     4  /* stripes sent in one turn */


static void ngx_http_s3_get_begin(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_get_found(ngx_http_s3_ctx_t *s);
static ngx_int_t ngx_http_s3_get_version(ngx_http_s3_ctx_t *s);
static ngx_int_t ngx_http_s3_get_conditions(ngx_http_s3_ctx_t *s);
static ngx_int_t ngx_http_s3_get_range(ngx_http_s3_ctx_t *s);
static ngx_int_t ngx_http_s3_get_part(ngx_http_s3_ctx_t *s);
static ngx_int_t ngx_http_s3_get_headers(ngx_http_s3_ctx_t *s);
static ngx_int_t ngx_http_s3_get_start(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_get_body(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_get_failed(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_get_ready(s3_reader_t *reader);
static void ngx_http_s3_get_send(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_get_next(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_get_write_event(ngx_http_request_t *r);
static void ngx_http_s3_get_flush(ngx_http_s3_ctx_t *s);


void
ngx_http_s3_get_object(ngx_http_s3_ctx_t *s)
{
    s3_str_t  number;

    number = ngx_http_s3_arg(s, "partNumber");

    if (ngx_http_s3_check_unsupported(s) != NGX_OK
        || (number.data != NULL
            && s3_parse_part_number(number, &s->part_number, &s->fault)
               != S3_ERR_NONE))
    {
        ngx_http_s3_fail(s);
        return;
    }

    ngx_http_s3_with_bucket(s, ngx_http_s3_get_begin);
}


static void
ngx_http_s3_get_begin(ngx_http_s3_ctx_t *s)
{
    ngx_http_s3_with_object(s, ngx_http_s3_get_found);
}


static void
ngx_http_s3_get_found(ngx_http_s3_ctx_t *s)
{
    if (ngx_http_s3_get_version(s) != NGX_OK) {
        ngx_http_s3_fail(s);
        return;
    }

    if (ngx_http_s3_check_object(s) != NGX_OK) {
        return;
    }

    s->parts = 0;
    s->part_digest = s3_null_str;

    if (ngx_http_s3_get_conditions(s) != NGX_OK
        || ngx_http_s3_get_range(s) != NGX_OK)
    {
        ngx_http_s3_fail(s);
        return;
    }

    if (s->r->method == NGX_HTTP_HEAD || s->range.end == s->range.first) {
        if (ngx_http_s3_get_start(s) == NGX_OK) {
            ngx_http_s3_finish(s, ngx_http_send_special(s->r, NGX_HTTP_LAST));
        }

        return;
    }

    ngx_http_s3_get_body(s);
}


/* The headers; NGX_OK: a body follows.  Else the request has ended. */

static ngx_int_t
ngx_http_s3_get_start(ngx_http_s3_ctx_t *s)
{
    ngx_int_t  rc;

    if (ngx_http_s3_get_headers(s) != NGX_OK) {
        ngx_http_s3_finish(s, NGX_ERROR);
        return NGX_ERROR;
    }

    rc = ngx_http_send_header(s->r);

    if (rc == NGX_ERROR || rc > NGX_OK || s->r->header_only) {
        ngx_http_s3_finish(s, rc);
        return NGX_ERROR;
    }

    s->started = 1;

    return NGX_OK;
}


/* An unversioned bucket has the version "null" of each key, and no other. */

static ngx_int_t
ngx_http_s3_get_version(ngx_http_s3_ctx_t *s)
{
    s3_str_t  id;

    id = ngx_http_s3_arg(s, "versionId");

    if (id.data == NULL) {
        return NGX_OK;
    }

    if (id.len == 0) {
        s3_fault_arg(&s->fault, "Version id cannot be the empty string",
                     "versionId", id);
        return NGX_ERROR;
    }

    if (!s3_str_eq(id, s3_string("null"))) {
        s3_fault_arg(&s->fault, "Invalid version id specified", "versionId",
                     id);
        return NGX_ERROR;
    }

    if (s->head.rc == S3_ENOENT) {
        s3_fault(&s->fault, S3_ERR_NO_SUCH_VERSION, NULL);
        s3_fault_add(&s->fault, "Key", s->route.key);
        s3_fault_add(&s->fault, "VersionId", id);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_s3_get_conditions(ngx_http_s3_ctx_t *s)
{
    u_char       buf[NGX_HTTP_S3_ETAG_LEN];
    s3_err_t     err;
    s3_cond_t    cond;
    s3_entry_t  *e;

    e = &s->object->entry;

    cond.match = ngx_http_s3_request_header(s, "if-match");
    cond.none_match = ngx_http_s3_request_header(s, "if-none-match");
    cond.modified_since = ngx_http_s3_request_header(s, "if-modified-since");
    cond.unmodified_since = ngx_http_s3_request_header(s,
                                                       "if-unmodified-since");

    if (cond.match.data == NULL && cond.none_match.data == NULL
        && cond.modified_since.data == NULL
        && cond.unmodified_since.data == NULL)
    {
        return NGX_OK;
    }

    err = s3_cond_read(&cond, ngx_http_s3_etag(e, buf), e->mtime / 1000,
                       ngx_time(), &s->fault);

    if (err == S3_ERR_NONE) {
        return NGX_OK;
    }

    if (err == S3_ERR_NOT_MODIFIED) {
        (void) ngx_http_s3_set_etag(s, e);
        s->r->headers_out.last_modified_time = e->mtime / 1000;
    }

    return NGX_ERROR;
}


static ngx_int_t
ngx_http_s3_get_range(ngx_http_s3_ctx_t *s)
{
    u_char      *p, buf[NGX_HTTP_S3_ETAG_LEN];
    s3_str_t     value;
    s3_entry_t  *e;

    e = &s->object->entry;

    value = ngx_http_s3_request_header(s, "range");

    if (s->part_number) {
        if (value.data != NULL) {
            s3_fault(&s->fault, S3_ERR_INVALID_REQUEST,
                     "Cannot specify both Range header and partNumber query "
                     "parameter");
            return NGX_ERROR;
        }

        return ngx_http_s3_get_part(s);
    }

    if (value.data != NULL
        && !s3_if_range(ngx_http_s3_request_header(s, "if-range"),
                        ngx_http_s3_etag(e, buf), e->mtime / 1000))
    {
        value = s3_null_str;
    }

    if (s3_range_parse(&s->range, value, e->size) == S3_ERR_NONE) {
        return NGX_OK;
    }

    s3_fault(&s->fault, S3_ERR_INVALID_RANGE, NULL);
    s3_fault_add(&s->fault, "RangeRequested", value);

    p = ngx_pnalloc(s->pool, 2 * NGX_INT64_LEN);

    if (p != NULL) {
        s3_fault_add(&s->fault, "ActualObjectSize",
                     s3_str(p, ngx_sprintf(p, "%uL", e->size) - p));
        p += NGX_INT64_LEN;
        (void) ngx_http_s3_set_header(s, "Content-Range",
                   s3_str(p, ngx_sprintf(p, "bytes */%uL", e->size) - p));
    }

    return NGX_ERROR;
}


static ngx_int_t
ngx_http_s3_get_part(ngx_http_s3_ctx_t *s)
{
    size_t           n, digest_len;
    uint64_t         first;
    s3_str_t         table;
    s3_range_t      *range;
    s3_meta_part_t   part;

    range = &s->range;

    range->first = 0;
    range->end = s->object->entry.size;
    range->partial = 1;

    if (s3_meta_find(s->object->record.meta, S3_META_PARTS, &table) != S3_OK) {
        if (s->part_number == 1) {
            range->partial = range->end != 0;
            return NGX_OK;
        }

    } else if (s3_meta_parts(table, &n, &digest_len) == S3_OK
               && s3_meta_part_find(table, s->part_number, &first, &part)
                  == S3_OK)
    {
        range->first = first;
        range->end = first + part.size;
        s->parts = n;
        s->part_digest = part.digest;

        return NGX_OK;
    }

    s3_fault(&s->fault, S3_ERR_INVALID_PART_NUMBER, NULL);
    s3_fault_add(&s->fault, "PartNumberRequested",
                 ngx_http_s3_arg(s, "partNumber"));

    return NGX_ERROR;
}


static ngx_int_t
ngx_http_s3_get_headers(ngx_http_s3_ctx_t *s)
{
    u_char               buf[sizeof("bytes -/") + 3 * NGX_INT64_LEN];
    s3_str_t             mode;
    s3_entry_t          *e;
    s3_range_t          *range;
    ngx_uint_t           checksum;
    s3_meta_checksum_t   sum;
    ngx_http_request_t  *r;

    r = s->r;
    e = &s->object->entry;
    range = &s->range;

    mode = ngx_http_s3_request_header(s, "x-amz-checksum-mode");
    checksum = mode.len == 7
               && ngx_strncasecmp((u_char *) mode.data, (u_char *) "ENABLED",
                                  7) == 0;

    /* of a range there is none, of a part its own */

    if (checksum && s->part_digest.len
        && s3_meta_find_checksum(s->object->record.meta, &sum) == S3_OK
        && s3_checksum_info(sum.alg)->len == s->part_digest.len)
    {
        if (ngx_http_s3_set_checksum(s, sum.alg, s->part_digest.data, 0,
                                     sum.type)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    checksum = checksum && s->part_digest.len == 0
               && range->end - range->first == e->size;

    if (ngx_http_s3_common_headers(s) != NGX_OK
        || ngx_http_s3_set_etag(s, e) != NGX_OK
        || ngx_http_s3_set_last_modified(s, e) != NGX_OK
        || ngx_http_s3_set_header_cstr(s, "Accept-Ranges", "bytes") != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* a filter that changes the body takes it away */

    r->headers_out.accept_ranges = s->header;

    if (ngx_http_s3_meta_to_response(s, s->object, checksum) != NGX_OK) {
        return NGX_ERROR;
    }

    if (s->parts
        && ngx_http_s3_set_header(s, "x-amz-mp-parts-count",
               s3_str(buf, ngx_sprintf(buf, "%ui", s->parts) - buf))
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = range->end - range->first;

    if (range->partial) {
        r->headers_out.status = NGX_HTTP_PARTIAL_CONTENT;

        return ngx_http_s3_set_header(s, "Content-Range",
                   s3_str(buf, ngx_sprintf(buf, "bytes %uL-%uL/%uL",
                                           range->first, range->end - 1,
                                           e->size)
                               - buf));
    }

    return NGX_OK;
}


static void
ngx_http_s3_get_body(ngx_http_s3_ctx_t *s)
{
    ngx_http_request_t  *r;

    r = s->r;

    s->reader = s3_reader_open(s->store, s->object, s->range.first,
                               s->range.end - s->range.first);
    if (s->reader == NULL) {
        ngx_http_s3_error(s, S3_ERR_SLOW_DOWN);
        return;
    }

    s->reader->ready = ngx_http_s3_get_ready;
    s->reader->ctx = s;

    if (!r->discard_body) {
        r->read_event_handler = ngx_http_test_reading;
    }

    ngx_http_s3_get_next(s);
}


static void
ngx_http_s3_get_next(ngx_http_s3_ctx_t *s)
{
    s->waiting = 1;
    s3_reader_next(s->reader);
}


static void
ngx_http_s3_get_ready(s3_reader_t *reader)
{
    ngx_http_s3_ctx_t *s = reader->ctx;

    ngx_http_s3_hold(s);
    ngx_http_s3_resume(s, ngx_http_s3_get_send);
}


/*
 * The data may be gone because the object was overwritten meanwhile.  As long
 * as nothing was sent, what is there now is as good an answer; afterwards two
 * versions must not be mixed, and the connection is all that can be cut.
 */

static void
ngx_http_s3_get_failed(ngx_http_s3_ctx_t *s)
{
    int  rc;

    rc = s->reader->rc;

    if (s->started) {
        ngx_log_error(NGX_LOG_ERR, s->r->connection->log, 0,
                      "s3: reading an object: %s", s3_strerror(rc));
        ngx_http_s3_finish(s, NGX_ERROR);
        return;
    }

    ngx_http_s3_close_reader(s);

    if (s->attempts++ < NGX_HTTP_S3_GET_ATTEMPTS) {
        ngx_http_s3_with_object(s, ngx_http_s3_get_found);
        return;
    }

    ngx_http_s3_error_rc(s, rc);
}


/* What the reader has goes to the client; then on, or wait for the client. */

static void
ngx_http_s3_get_send(ngx_http_s3_ctx_t *s)
{
    ngx_int_t            rc;
    ngx_buf_t           *b;
    ngx_uint_t           i;
    ngx_chain_t         *out, **ll, *cl;
    s3_reader_t         *reader;
    ngx_http_request_t  *r;

    r = s->r;
    reader = s->reader;

    s->waiting = 0;

    if (reader->rc != S3_OK) {
        ngx_http_s3_get_failed(s);
        return;
    }

    if (!s->started) {
        r->write_event_handler = ngx_http_s3_get_write_event;

        if (ngx_http_s3_get_start(s) != NGX_OK) {
            return;
        }
    }

    out = NULL;
    ll = &out;

    for (i = 0; i < reader->n; i++) {

        if (reader->slices[i].len == 0) {
            continue;
        }

        cl = ngx_chain_get_free_buf(r->pool, &s->free);
        if (cl == NULL) {
            ngx_http_s3_finish(s, NGX_ERROR);
            return;
        }

        b = cl->buf;

        ngx_memzero(b, sizeof(ngx_buf_t));

        b->pos = (u_char *) reader->slices[i].data;
        b->last = b->pos + reader->slices[i].len;
        b->start = b->pos;
        b->end = b->last;
        b->memory = 1;
        b->flush = 1;
        b->tag = (ngx_buf_tag_t) &ngx_http_s3_module;

        s->bytes_sent += reader->slices[i].len;

        if (s->bytes_sent == s->range.end - s->range.first) {
            b->last_buf = 1;
            b->last_in_chain = 1;
        }

        *ll = cl;
        ll = &cl->next;
    }

    *ll = NULL;

    rc = ngx_http_output_filter(r, out);

    if (rc == NGX_ERROR) {
        ngx_http_s3_finish(s, NGX_ERROR);
        return;
    }

    ngx_chain_update_chains(r->pool, &s->free, &s->busy, &out,
                            (ngx_buf_tag_t) &ngx_http_s3_module);

    ngx_http_s3_get_flush(s);
}


static void
ngx_http_s3_get_write_event(ngx_http_request_t *r)
{
    ngx_http_s3_ctx_t  *s;

    s = ngx_http_get_module_ctx(r, ngx_http_s3_module);

    if (s == NULL || s->ended) {
        return;
    }

    s->burst = 0;

    ngx_http_s3_get_flush(s);
}


/*
 * Data from the page cache and a client that reads as fast would go round here
 * without end, on a deeper stack each time: after a few stripes the others
 * have their turn.
 */

static void
ngx_http_s3_get_flush(ngx_http_s3_ctx_t *s)
{
    ngx_int_t                  rc;
    ngx_chain_t               *out;
    ngx_event_t               *wev;
    ngx_connection_t          *c;
    ngx_http_request_t        *r;
    ngx_http_core_loc_conf_t  *clcf;

    r = s->r;
    c = r->connection;
    wev = c->write;

    if (wev->timedout) {
        c->timedout = 1;
        ngx_http_s3_finish(s, NGX_HTTP_REQUEST_TIME_OUT);
        return;
    }

    if (s->busy != NULL) {
        rc = ngx_http_output_filter(r, NULL);

        if (rc == NGX_ERROR) {
            ngx_http_s3_finish(s, NGX_ERROR);
            return;
        }

        out = NULL;
        ngx_chain_update_chains(r->pool, &s->free, &s->busy, &out,
                                (ngx_buf_tag_t) &ngx_http_s3_module);
    }

    if (s->busy == NULL) {
        /* with limit_rate the timer is what ends a delay */

        if (wev->timer_set && !wev->delayed) {
            ngx_del_timer(wev);
        }

        if (s->waiting) {
            return;
        }

        if (s->bytes_sent == s->range.end - s->range.first) {
            ngx_http_s3_finish(s, NGX_OK);
            return;
        }

        if (s->burst++ == NGX_HTTP_S3_GET_BURST) {
            ngx_post_event(wev, &ngx_posted_next_events);
            return;
        }

        ngx_http_s3_get_next(s);

        return;
    }

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (!wev->delayed) {
        ngx_add_timer(wev, clcf->send_timeout);
    }

    if (ngx_handle_write_event(wev, clcf->send_lowat) != NGX_OK) {
        ngx_http_s3_finish(s, NGX_ERROR);
    }
}
