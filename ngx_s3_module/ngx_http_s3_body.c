
/*
 * The request body, piece by piece:
 *
 *                                                    ┌── digests
 *   client ── nginx's body filters ── aws-chunked ──┤
 *                                                    └── sink
 *
 * One buffer of client_body_buffer_size is all that is held: it is decoded
 * into pieces, which are hashed, in a thread where there is much to hash, and
 * meanwhile handed to the sink.  Nothing is read before both are done with
 * them: the client's window closes.
 *
 * What no thread hashes is read to where the writer wants it, if it lies in
 * one piece for long enough (ngx_http_s3_body_direct.c): then nothing is copied
 * on the way.
 *
 * Nothing that was handed to a sink counts before end() is called: then every
 * signature, digest and length has been found right.
 */


#include "ngx_http_s3_module.h"


/* What is taken in one turn of the event loop before others have theirs. */

#define NGX_HTTP_S3_BODY_TURN  (256 * 1024)


static ngx_int_t ngx_http_s3_body_lengths(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_body_threads(ngx_http_s3_ctx_t *s);
static s3_err_t ngx_http_s3_body_fault(ngx_int_t rc);
static void ngx_http_s3_body_handler(ngx_http_request_t *r);
static void ngx_http_s3_body_event(ngx_http_request_t *r);
static void ngx_http_s3_body_yield(ngx_event_t *ev);
static void ngx_http_s3_body_process(ngx_http_s3_ctx_t *s);
static ngx_uint_t ngx_http_s3_body_partial(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_body_pause(ngx_http_s3_ctx_t *s);
static ngx_int_t ngx_http_s3_body_pieces(ngx_http_s3_ctx_t *s);
static int ngx_http_s3_body_decode(ngx_http_s3_body_t *body);
static int ngx_http_s3_body_decode_job(ngx_s3_hash_t *h);
static void ngx_http_s3_body_decoded(ngx_http_s3_ctx_t *s);
static ngx_int_t ngx_http_s3_body_take(ngx_http_s3_ctx_t *s);
static ngx_int_t ngx_http_s3_body_data(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_body_hashed(ngx_http_s3_ctx_t *s);
static ngx_int_t ngx_http_s3_body_drain(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_body_fail(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_body_done(ngx_http_s3_ctx_t *s);


ngx_int_t
ngx_http_s3_body_init(ngx_http_s3_ctx_t *s)
{
    if (ngx_http_s3_body_lengths(s) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_s3_digest_init(s);
}


static ngx_int_t
ngx_http_s3_body_lengths(ngx_http_s3_ctx_t *s)
{
    ngx_http_request_t   *r;
    ngx_http_s3_body_t   *body;

    r = s->r;
    body = &s->body;

    body->is_chunked = s3_payload_is_chunked(s->auth.payload);

    if (body->is_chunked) {
        if (s3_chunked_init(&body->chunked, &s->auth) != S3_OK) {
            s->fault = body->chunked.fault;
            return NGX_ERROR;
        }

        if (body->max && s->auth.has_decoded_length
            && s->auth.decoded_length > body->max)
        {
            goto too_large;
        }

        return NGX_OK;
    }

    if (r->headers_in.content_length_n < 0 && !r->headers_in.chunked
#if (NGX_HTTP_V2)
        && r->stream == NULL
#endif
       )
    {
        /* a document may be absent, an object's data may not */

        if (s3_op_info(s->route.op)->flags & S3_OPF_RAW) {
            s3_fault(&s->fault, S3_ERR_MISSING_CONTENT_LENGTH, NULL);
            return NGX_ERROR;
        }
    }

    if (body->max && r->headers_in.content_length_n > 0
        && (uint64_t) r->headers_in.content_length_n > body->max)
    {
        goto too_large;
    }

    return NGX_OK;

too_large:

    if (s3_op_info(s->route.op)->flags & S3_OPF_XML) {
        s3_fault(&s->fault, S3_ERR_MALFORMED_XML, NULL);

    } else {
        s3_fault(&s->fault, S3_ERR_ENTITY_TOO_LARGE, NULL);
    }

    return NGX_ERROR;
}


void
ngx_http_s3_body_cleanup(ngx_http_s3_ctx_t *s)
{
    if (s->body.is_chunked) {
        s3_chunked_free(&s->body.chunked);
    }

    ngx_http_s3_digest_free(s);
}


void
ngx_http_s3_body_read(ngx_http_s3_ctx_t *s)
{
    ngx_int_t            rc;
    ngx_http_request_t  *r;

    r = s->r;

    s->body.yield.handler = ngx_http_s3_body_yield;
    s->body.yield.data = s;
    s->body.yield.log = r->connection->log;

    r->request_body_no_buffering = 1;

    ngx_http_s3_body_threads(s);

    ngx_http_s3_hold(s);
    s->inside++;

    rc = ngx_http_read_client_request_body(r, ngx_http_s3_body_handler);

    s->inside--;

    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        /* where the body ends and the next request begins is not known */

        r->keepalive = 0;
        r->lingering_close = 1;

        ngx_http_s3_error(s, ngx_http_s3_body_fault(rc));

    } else {
        /* the reference that the reading took; ours goes on */
        ngx_http_finalize_request(r, NGX_DONE);
    }

    ngx_http_s3_release(s);
}


/* What nginx says of a body that it could not read; 500: it has no memory. */

static s3_err_t
ngx_http_s3_body_fault(ngx_int_t rc)
{
    switch (rc) {

    case NGX_HTTP_REQUEST_ENTITY_TOO_LARGE:
        return S3_ERR_ENTITY_TOO_LARGE;

    case NGX_HTTP_INTERNAL_SERVER_ERROR:
        return S3_ERR_SLOW_DOWN;

    default:
        return S3_ERR_INCOMPLETE_BODY;
    }
}


/* Will there be so much to hash that it goes to threads?  How is it read? */

static void
ngx_http_s3_body_threads(ngx_http_s3_ctx_t *s)
{
    off_t                length;
    ngx_http_s3_body_t  *body;

    body = &s->body;
    length = s->r->headers_in.content_length_n;

    body->chunk_signed = body->is_chunked
                         && s->auth.payload != S3_PAYLOAD_UNSIGNED_TRAILER;

    body->threads = (length < 0 || length > NGX_HTTP_S3_DIGEST_LARGE)
                    && (body->need_md5 || body->slow || body->chunk_signed);

    /* HTTP/2 and HTTP/3 have the data in buffers of their own */

    body->direct = length > NGX_HTTP_S3_BODY_LARGE && !body->threads
                   && s->r->http_version < NGX_HTTP_VERSION_20
                   && body->sink == ngx_http_s3_writer_sink;

    if (length > NGX_HTTP_S3_BODY_LARGE
        && s->r->http_version < NGX_HTTP_VERSION_20)
    {
        ngx_http_s3_body_window(s);
    }
}


static void
ngx_http_s3_body_handler(ngx_http_request_t *r)
{
    ngx_http_s3_ctx_t  *s;

    s = ngx_http_get_module_ctx(r, ngx_http_s3_module);

    if (s == NULL) {
        return;
    }

    r->read_event_handler = ngx_http_s3_body_event;

    ngx_http_s3_hold(s);
    s->inside++;

    ngx_http_s3_body_process(s);

    s->inside--;

    ngx_http_s3_release(s);
}


static void
ngx_http_s3_body_event(ngx_http_request_t *r)
{
    ngx_http_s3_ctx_t  *s;

    s = ngx_http_get_module_ctx(r, ngx_http_s3_module);

    if (s == NULL) {
        return;
    }

    ngx_http_s3_hold(s);
    s->inside++;

    if (s->body.paused || s->body.hashing || s->body.finished) {
        /* it is not the client who is late */
        r->connection->read->timedout = 0;

    } else if (r->connection->read->timedout) {
        r->connection->timedout = 1;
        r->keepalive = 0;
        ngx_http_s3_error(s, S3_ERR_REQUEST_TIMEOUT);

    } else {
        ngx_http_s3_body_process(s);
    }

    s->inside--;

    ngx_http_s3_release(s);
}


static void
ngx_http_s3_body_yield(ngx_event_t *ev)
{
    ngx_http_s3_ctx_t *s = ev->data;

    ngx_http_s3_hold(s);
    ngx_http_s3_resume(s, ngx_http_s3_body_process);
}


void
ngx_http_s3_body_continue(ngx_http_s3_ctx_t *s)
{
    if (!s->body.paused) {
        return;
    }

    s->body.paused = 0;

    ngx_http_s3_body_process(s);
}


/*
 * Consumes what is there and reads on, until the body has ended, the sink is
 * full, a thread hashes, the client has to send more, or it is somebody else's
 * turn.
 */

static void
ngx_http_s3_body_process(ngx_http_s3_ctx_t *s)
{
    ngx_int_t                  rc;
    ngx_http_request_t        *r;
    ngx_http_request_body_t   *rb;

    if (s->ended || s->body.finished || s->body.decoding) {
        return;
    }

    r = s->r;
    rb = r->request_body;

    s->body.turn = 0;

    for ( ;; ) {

        rc = ngx_http_s3_body_drain(s);

        if (rc == NGX_ERROR || s->body.failed) {
            ngx_http_s3_body_fail(s);
            return;
        }

        if (rc == NGX_AGAIN) {
            ngx_http_s3_body_pause(s);
            return;
        }

        if (s->body.hashing) {
            return;
        }

        if (rb != NULL && rb->bufs != NULL && !ngx_http_s3_body_partial(s)) {

            rc = ngx_http_s3_body_pieces(s);

            if (rc == NGX_ERROR) {
                ngx_http_s3_body_fail(s);
                return;
            }

            if (rc == NGX_AGAIN) {
                return;
            }

            continue;
        }

        if (!r->reading_body) {
            ngx_http_s3_body_done(s);
            return;
        }

        if (s->body.turn >= NGX_HTTP_S3_BODY_TURN) {
            ngx_post_event(&s->body.yield, &ngx_posted_next_events);
            return;
        }

        if (s->body.direct && ngx_http_s3_body_aim(s) == NGX_AGAIN) {
            ngx_http_s3_body_pause(s);
            return;
        }

        rc = ngx_http_s3_body_receive(s);

        if (rc == NGX_ERROR || rc >= NGX_HTTP_SPECIAL_RESPONSE) {
            r->keepalive = 0;
            ngx_http_s3_error(s, ngx_http_s3_body_fault(rc));
            return;
        }

        if (r->reading_body
            && (rb->bufs == NULL || ngx_http_s3_body_partial(s)))
        {
            return;
        }
    }
}


/* Until the sink has room again; meanwhile it is not the client who is late. */

static void
ngx_http_s3_body_pause(ngx_http_s3_ctx_t *s)
{
    ngx_event_t  *rev;

    s->body.paused = 1;

    rev = s->r->connection->read;

    if (rev->timer_set) {
        ngx_del_timer(rev);
    }
}


/*
 * What goes to threads goes in whole buffers, so that it is worth the way.
 * HTTP/2 and HTTP/3 have windows that may be smaller than the buffer.
 */

static ngx_uint_t
ngx_http_s3_body_partial(ngx_http_s3_ctx_t *s)
{
    ngx_buf_t           *b;
    ngx_http_request_t  *r;

    r = s->r;
    b = r->request_body->buf;

    return s->body.threads && r->reading_body
           && r->http_version < NGX_HTTP_VERSION_20
           && b != NULL && b->last != b->end;
}


/*
 * Decodes and hashes as many pieces as there is room for.  NGX_OK, NGX_AGAIN:
 * a thread decodes and goes on from there, NGX_ERROR with s->fault.
 */

static ngx_int_t
ngx_http_s3_body_pieces(ngx_http_s3_ctx_t *s)
{
    ngx_int_t                 rc;
    ngx_buf_t                *b;
    ngx_http_s3_body_t       *body;
    ngx_http_request_body_t  *rb;

    body = &s->body;
    rb = s->r->request_body;

    body->n = 0;
    body->piece = 0;

    while (rb->bufs != NULL && body->n < NGX_HTTP_S3_PIECES) {

        b = rb->bufs->buf;

        if (b->in_file && !ngx_buf_in_memory(b)) {
            s3_fault(&s->fault, S3_ERR_INTERNAL_ERROR, NULL);
            return NGX_ERROR;
        }

        body->in = s3_str(b->pos, b->last - b->pos);

        /* each signed chunk has a SHA-256 of its own, made by the decoder */

        if (body->chunk_signed && body->in.len > NGX_HTTP_S3_DIGEST_LARGE) {

            if (body->n) {
                break;
            }

            rc = ngx_http_s3_digest_run(s, ngx_http_s3_body_decode_job,
                                        ngx_http_s3_body_decoded);

            if (rc == NGX_AGAIN) {
                body->decoding = 1;
                return NGX_AGAIN;
            }
        }

        body->rc = ngx_http_s3_body_decode(body);

        if (ngx_http_s3_body_take(s) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return ngx_http_s3_body_data(s);
}


/* Pieces of body->in, until it or the room for them is used up. */

static int
ngx_http_s3_body_decode(ngx_http_s3_body_t *body)
{
    int        rc;
    s3_str_t   out, *last;

    while (body->in.len && body->n < NGX_HTTP_S3_PIECES) {

        if (body->is_chunked) {
            rc = s3_chunked_next(&body->chunked, &body->in, &out);

            if (rc == S3_AGAIN || rc == S3_DONE) {
                continue;
            }

            if (rc != S3_OK) {
                return rc;
            }

        } else {
            out = body->in;
            body->in.len = 0;
        }

        last = body->n ? &body->pieces[body->n - 1] : NULL;

        if (last != NULL && last->data + last->len == out.data) {
            last->len += out.len;

        } else {
            body->pieces[body->n++] = out;
        }
    }

    return S3_OK;
}


static int
ngx_http_s3_body_decode_job(ngx_s3_hash_t *h)
{
    ngx_http_s3_ctx_t *s = h->data;

    s->body.rc = ngx_http_s3_body_decode(&s->body);

    return S3_OK;
}


static void
ngx_http_s3_body_decoded(ngx_http_s3_ctx_t *s)
{
    s->body.decoding = 0;

    if (ngx_http_s3_body_take(s) != NGX_OK
        || ngx_http_s3_body_data(s) != NGX_OK)
    {
        ngx_http_s3_body_fail(s);
        return;
    }

    ngx_http_s3_body_process(s);
}


/*
 * The first buffer after it was decoded.  nginx uses its memory again only
 * when it reads, which is not before the pieces are done with.
 */

static ngx_int_t
ngx_http_s3_body_take(ngx_http_s3_ctx_t *s)
{
    ngx_chain_t              *cl;
    ngx_http_request_body_t  *rb;

    if (s->body.rc != S3_OK) {
        s->fault = s->body.chunked.fault;
        return NGX_ERROR;
    }

    rb = s->r->request_body;
    cl = rb->bufs;

    cl->buf->pos = cl->buf->last - s->body.in.len;

    if (s->body.in.len == 0) {
        rb->bufs = cl->next;
        ngx_free_chain(s->r->pool, cl);
    }

    return NGX_OK;
}


/* Counts the pieces, and has them hashed. */

static ngx_int_t
ngx_http_s3_body_data(ngx_http_s3_ctx_t *s)
{
    ngx_uint_t           i;
    ngx_http_s3_body_t  *body;

    body = &s->body;

    for (i = 0; i < body->n; i++) {
        body->received += body->pieces[i].len;
        body->turn += body->pieces[i].len;
    }

    if (body->max && body->received > body->max) {
        s3_fault(&s->fault,
                 s3_op_info(s->route.op)->flags & S3_OPF_XML
                 ? S3_ERR_MALFORMED_XML : S3_ERR_ENTITY_TOO_LARGE, NULL);
        return NGX_ERROR;
    }

    return ngx_http_s3_digest_update(s, body->pieces, body->n,
                                     ngx_http_s3_body_hashed)
           == NGX_ERROR ? NGX_ERROR : NGX_OK;
}


static void
ngx_http_s3_body_hashed(ngx_http_s3_ctx_t *s)
{
    if (!s->body.paused || s->body.failed) {
        ngx_http_s3_body_process(s);
    }
}


/* Hands pieces to the sink: NGX_OK when none is left, NGX_AGAIN: it is full. */

static ngx_int_t
ngx_http_s3_body_drain(ngx_http_s3_ctx_t *s)
{
    ssize_t              n;
    ngx_http_s3_body_t  *body;

    body = &s->body;

    if (body->failed) {
        return NGX_ERROR;
    }

    for ( ;; ) {

        while (body->rest.len) {
            n = body->sink(s, body->rest);

            if (n < 0) {
                if (s->fault.err == S3_ERR_NONE) {
                    s3_fault(&s->fault, s3_err_from_rc((int) n), NULL);
                }

                return NGX_ERROR;
            }

            body->rest.data += n;
            body->rest.len -= n;

            if (n == 0) {
                return NGX_AGAIN;
            }
        }

        if (body->piece == body->n) {
            return NGX_OK;
        }

        body->rest = body->pieces[body->piece++];
    }
}


/* Answers s->fault, as soon as no thread needs the request any more. */

static void
ngx_http_s3_body_fail(ngx_http_s3_ctx_t *s)
{
    s->body.failed = 1;

    if (!s->body.hashing) {
        ngx_http_s3_fail(s);
    }
}


static void
ngx_http_s3_body_done(ngx_http_s3_ctx_t *s)
{
    ngx_http_s3_body_t  *body;

    body = &s->body;

    body->finished = 1;

    /* from now on, reading would mean that the client has left */

    s->r->read_event_handler = ngx_http_test_reading;

    if (body->is_chunked && s3_chunked_end(&body->chunked) != S3_OK) {
        s->fault = body->chunked.fault;
        ngx_http_s3_fail(s);
        return;
    }

    if (ngx_http_s3_digest_verify(s) != NGX_OK) {
        ngx_http_s3_fail(s);
        return;
    }

    body->end(s);
}
