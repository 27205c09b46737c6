
/*
 * Large bodies, received to where they will be written from.
 *
 *     nginx's buffer ──> unit │ unit │ ...     what the writer fills next
 *                        recv() of nginx
 *                        └──── one readv() ────┘
 *
 * Before each read nginx's buffer is aimed at the first unit.  While nginx
 * reads, its recv() is replaced by one that fills the next units in the same
 * call: each call makes TCP acknowledge, which over loopback costs more than
 * the bytes.  What is ahead of nginx is given to it, already in its place, when
 * it asks again.
 */


#include "ngx_http_s3_module.h"


/* What is read at a time of that which frames the data. */

#define NGX_HTTP_S3_BODY_FRAME   64

/* What a client may have sent before it is read: a part of the usual size. */

#define NGX_HTTP_S3_BODY_WINDOW  (8 * 1024 * 1024)


static ssize_t ngx_http_s3_body_recv(ngx_connection_t *c, u_char *buf,
    size_t size);
static ssize_t ngx_http_s3_body_recv_ahead(ngx_http_s3_body_t *body,
    u_char *buf, size_t size);


/*
 * Opens TCP's window at once.  The kernel does so by and by, as it sees how
 * fast is read; until then the client is stopped again and again, and it is our
 * reading that makes it go on.  Who wants to be woken only by much data gets a
 * window for that, at most half of the third number of tcp_rmem, and unlike
 * with SO_RCVBUF the kernel may still make it larger (tcp_set_rcvlowat() of
 * Linux 4.18).  After that any data wakes again.
 */

void
ngx_http_s3_body_window(ngx_http_s3_ctx_t *s)
{
    int  fd, size, any;

    fd = s->r->connection->fd;

    size = ngx_min(s->r->headers_in.content_length_n, NGX_HTTP_S3_BODY_WINDOW);
    any = 1;

    (void) setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &size, sizeof(int));
    (void) setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &any, sizeof(int));
}


/*
 * Where to read to: all that was read before is used up, so that nginx's
 * buffer may lie elsewhere.  NGX_AGAIN: the sink is full.
 */

ngx_int_t
ngx_http_s3_body_aim(ngx_http_s3_ctx_t *s)
{
    int                       n;
    size_t                    size;
    u_char                   *p;
    uint64_t                  left;
    ngx_buf_t                *b;
    ngx_http_s3_body_t       *body;
    ngx_http_request_body_t  *rb;

    body = &s->body;
    rb = s->r->request_body;

    body->n_spaces = 0;

    if (rb == NULL || rb->buf == NULL || rb->bufs != NULL) {
        return NGX_OK;
    }

    b = rb->buf;

    if (body->own == NULL) {
        body->own = b->start;
        body->own_end = b->end;
    }

    if (body->ahead) {
        p = body->spaces[body->space].data;
        size = ngx_min(body->ahead, body->spaces[body->space].len);

        goto done;
    }

    left = rb->rest;

    if (body->is_chunked) {
        left = ngx_min(left, s3_chunked_left(&body->chunked));
    }

    if (left >= NGX_HTTP_S3_BODY_LARGE) {
        body->large = 1;
    }

    p = body->own;
    size = body->own_end - p;

    if (body->large) {
        size = ngx_min(size, NGX_HTTP_S3_BODY_FRAME);

        if (left) {
            n = s3_writer_space(s->writer, body->spaces,
                                NGX_HTTP_S3_BODY_SPACES);

            if (n == 0) {
                return NGX_AGAIN;
            }

            /* an error: the sink will say it */

            if (n > 0) {
                p = body->spaces[0].data;
                size = ngx_min((uint64_t) body->spaces[0].len, left);

                body->n_spaces = n;
                body->beyond = left - size;
            }
        }
    }

done:

    b->start = p;
    b->pos = p;
    b->last = p;
    b->end = p + size;

    return NGX_OK;
}


ngx_int_t
ngx_http_s3_body_receive(ngx_http_s3_ctx_t *s)
{
    ngx_int_t          rc;
    ngx_recv_pt        recv;
    ngx_connection_t  *c;

    c = s->r->connection;

    if (!s->body.direct || (s->body.n_spaces < 2 && s->body.ahead == 0)) {
        return ngx_http_read_unbuffered_request_body(s->r);
    }

    recv = c->recv;
    c->recv = ngx_http_s3_body_recv;

    rc = ngx_http_read_unbuffered_request_body(s->r);

    c->recv = recv;

    return rc;
}


static ssize_t
ngx_http_s3_body_recv(ngx_connection_t *c, u_char *buf, size_t size)
{
    off_t                left;
    ssize_t              n;
    ngx_buf_t            bufs[NGX_HTTP_S3_BODY_SPACES];
    ngx_uint_t           i;
    ngx_chain_t          chain[NGX_HTTP_S3_BODY_SPACES];
    ngx_http_s3_ctx_t   *s;
    ngx_http_request_t  *r;
    ngx_http_s3_body_t  *body;

    r = c->data;
    s = ngx_http_get_module_ctx(r, ngx_http_s3_module);
    body = &s->body;

    if (body->ahead) {
        return ngx_http_s3_body_recv_ahead(body, buf, size);
    }

    left = body->beyond;

    ngx_memzero(bufs, sizeof(bufs));

    bufs[0].last = buf;
    bufs[0].end = buf + size;
    chain[0].buf = &bufs[0];

    for (i = 1; i < body->n_spaces && left; i++) {
        bufs[i].last = body->spaces[i].data;
        bufs[i].end = bufs[i].last
                      + ngx_min(left, (off_t) body->spaces[i].len);
        left -= bufs[i].end - bufs[i].last;

        chain[i].buf = &bufs[i];
        chain[i - 1].next = &chain[i];
    }

    chain[i - 1].next = NULL;

    n = c->recv_chain(c, chain, 0);

    if (n <= (ssize_t) size) {
        return n;
    }

    body->space = 1;
    body->ahead = n - size;

    return size;
}


static ssize_t
ngx_http_s3_body_recv_ahead(ngx_http_s3_body_t *body, u_char *buf, size_t size)
{
    s3_space_t  *space;

    space = &body->spaces[body->space];

    size = ngx_min(size, ngx_min(body->ahead, space->len));

    if (buf != space->data) {
        ngx_memmove(buf, space->data, size);
    }

    body->ahead -= size;

    space->data += size;
    space->len -= size;

    if (space->len == 0) {
        body->space++;
    }

    return size;
}
