
/*
 * Digests of a request body: what the headers announce, what the bytes give.
 *
 *   x-amz-content-sha256    of a signed payload
 *   Content-MD5, ETag       one MD5 serves both
 *   x-amz-checksum-*        as a header or a trailer
 */


#include "ngx_http_s3_module.h"


static ngx_int_t ngx_http_s3_digest_md5_header(ngx_http_s3_ctx_t *s);
static ngx_int_t ngx_http_s3_digest_sum_header(ngx_http_s3_ctx_t *s);
static void ngx_http_s3_digest_two_sums(ngx_http_s3_ctx_t *s);
static ngx_int_t ngx_http_s3_digest_start(ngx_http_s3_ctx_t *s);
static ngx_int_t ngx_http_s3_digest_fast(ngx_http_s3_ctx_t *s, s3_str_t data);
static int ngx_http_s3_digest_slow(ngx_http_s3_ctx_t *s, s3_str_t data);
static int ngx_http_s3_digest_job(ngx_s3_hash_t *h);
static void ngx_http_s3_digest_hold(ngx_http_s3_ctx_t *s,
    ngx_http_s3_step_pt step);
static ngx_int_t ngx_http_s3_digest_submit(ngx_http_s3_ctx_t *s,
    ngx_http_s3_step_pt step);
static void ngx_http_s3_digest_done(ngx_s3_hash_t *h);
static void ngx_http_s3_digest_step(ngx_http_s3_ctx_t *s);
static ngx_int_t ngx_http_s3_digest_trailer(ngx_http_s3_ctx_t *s);
static ngx_int_t ngx_http_s3_digest_compare(ngx_http_s3_ctx_t *s);


ngx_int_t
ngx_http_s3_digest_init(ngx_http_s3_ctx_t *s)
{
    if (ngx_http_s3_digest_md5_header(s) != NGX_OK
        || ngx_http_s3_digest_sum_header(s) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_s3_digest_start(s);
}


static ngx_int_t
ngx_http_s3_digest_md5_header(ngx_http_s3_ctx_t *s)
{
    int64_t   len;
    s3_str_t  value;
    u_char    buf[64];

    value = ngx_http_s3_request_header(s, "content-md5");

    if (value.data == NULL) {
        return NGX_OK;
    }

    len = value.len <= 64 ? s3_base64_decode(buf, value) : S3_EINVAL;

    if (len != 16) {
        s3_fault(&s->fault, S3_ERR_INVALID_DIGEST, NULL);
        s3_fault_add(&s->fault, "Content-MD5", value);
        return NGX_ERROR;
    }

    ngx_memcpy(s->body.want_md5, buf, 16);
    s->body.has_md5 = 1;

    return NGX_OK;
}


/*
 * At most one x-amz-checksum-<algorithm>, as a header or announced as a
 * trailer; x-amz-sdk-checksum-algorithm, where given, must say the same.
 */

static ngx_int_t
ngx_http_s3_digest_sum_header(ngx_http_s3_ctx_t *s)
{
    s3_str_t             found, sdk;
    s3_checksum_alg_t    alg, named;
    ngx_http_s3_body_t  *body;

    body = &s->body;

    if (body->document) {
        return NGX_OK;
    }

    if (ngx_http_s3_digest_header(s, &body->alg, &found) != NGX_OK) {
        return NGX_ERROR;
    }

    if (s->auth.trailer.len != 0) {
        alg = s3_checksum_by_header(s->auth.trailer);

        if (body->alg != S3_CHECKSUM_NONE) {
            ngx_http_s3_digest_two_sums(s);
            return NGX_ERROR;
        }

        body->alg = alg;
        body->trailer_sum = (alg != S3_CHECKSUM_NONE);
    }

    sdk = ngx_http_s3_request_header(s, "x-amz-sdk-checksum-algorithm");

    if (sdk.data != NULL) {
        named = s3_checksum_by_name(sdk);

        if (named == S3_CHECKSUM_NONE) {
            s3_fault(&s->fault, S3_ERR_INVALID_REQUEST,
                     "Value for x-amz-sdk-checksum-algorithm header is "
                     "invalid.");
            return NGX_ERROR;
        }

        if (body->alg == S3_CHECKSUM_NONE && !body->has_md5) {
            s3_fault(&s->fault, S3_ERR_INVALID_REQUEST,
                     "x-amz-sdk-checksum-algorithm specified, but no "
                     "corresponding x-amz-checksum-* or x-amz-trailer headers "
                     "were found.");
            return NGX_ERROR;
        }

        if (body->alg != S3_CHECKSUM_NONE && body->alg != named) {
            s3_fault(&s->fault, S3_ERR_INVALID_REQUEST,
                     "Value for x-amz-sdk-checksum-algorithm header is "
                     "invalid.");
            return NGX_ERROR;
        }
    }

    if (body->alg == S3_CHECKSUM_NONE) {
        body->alg = body->default_alg;
        return NGX_OK;
    }

    if (!s3_checksum_info(body->alg)->supported) {
        s3_fault(&s->fault, S3_ERR_NOT_IMPLEMENTED, NULL);
        return NGX_ERROR;
    }

    if (body->trailer_sum) {
        return NGX_OK;
    }

    if (s3_checksum_parse(body->alg, found, body->want_sum, NULL) != S3_OK) {
        s3_faultf(&s->fault, S3_ERR_INVALID_REQUEST,
                  "Value for %.*s header is invalid.",
                  (int) s3_checksum_info(body->alg)->header.len,
                  s3_checksum_info(body->alg)->header.data);
        return NGX_ERROR;
    }

    /*
     * A presigned URL cannot know the body: a checksum in its query is that
     * of the empty one which the SDK signed, and says nothing.
     */

    body->has_sum = !(s->auth.kind == S3_AUTH_PRESIGNED
                      && s3_uri_query_find_nocase(&s->query,
                             s3_checksum_info(body->alg)->header) != NULL);

    return NGX_OK;
}


ngx_int_t
ngx_http_s3_digest_header(ngx_http_s3_ctx_t *s, s3_checksum_alg_t *alg,
    s3_str_t *value)
{
    s3_str_t    found;
    ngx_uint_t  i;

    *alg = S3_CHECKSUM_NONE;
    *value = s3_null_str;

    for (i = S3_CHECKSUM_NONE + 1; i < S3_CHECKSUM_LAST; i++) {

        found = ngx_http_s3_request_header(s,
                    (const char *) s3_checksum_info(i)->header.data);

        if (found.data == NULL) {
            continue;
        }

        if (*alg != S3_CHECKSUM_NONE) {
            ngx_http_s3_digest_two_sums(s);
            return NGX_ERROR;
        }

        *alg = i;
        *value = found;
    }

    return NGX_OK;
}


static void
ngx_http_s3_digest_two_sums(ngx_http_s3_ctx_t *s)
{
    s3_fault(&s->fault, S3_ERR_INVALID_REQUEST,
             "Expecting a single x-amz-checksum- header. "
             "Multiple checksum Types are not allowed.");
}


static ngx_int_t
ngx_http_s3_digest_start(ngx_http_s3_ctx_t *s)
{
    ngx_http_s3_body_t  *body;

    body = &s->body;

    body->need_md5 |= body->has_md5;

    if (body->stored_alg == body->alg) {
        body->stored_alg = S3_CHECKSUM_NONE;
    }

    body->has_sha256 = s->auth.payload == S3_PAYLOAD_SIGNED;

    if ((body->has_sha256
         && s3_sha256_init(&body->sha256) != S3_OK)
        || (body->stored_alg != S3_CHECKSUM_NONE
            && s3_checksum_init(&body->stored, body->stored_alg) != S3_OK))
    {
        s3_fault(&s->fault, S3_ERR_SLOW_DOWN, NULL);
        return NGX_ERROR;
    }

    return ngx_http_s3_digest_init_copy(s);
}


ngx_int_t
ngx_http_s3_digest_init_copy(ngx_http_s3_ctx_t *s)
{
    ngx_http_s3_body_t  *body;

    body = &s->body;

    if (body->need_md5) {
        s3_md5x_init(&body->md5);
    }

    if (body->alg != S3_CHECKSUM_NONE
        && s3_checksum_init(&body->sum, body->alg) != S3_OK)
    {
        s3_fault(&s->fault, S3_ERR_SLOW_DOWN, NULL);
        return NGX_ERROR;
    }

    body->slow = body->has_sha256 || body->sum.ctx != NULL
                 || body->stored.ctx != NULL;

    return NGX_OK;
}


void
ngx_http_s3_digest_free(ngx_http_s3_ctx_t *s)
{
    ngx_http_s3_body_t  *body;

    body = &s->body;

    s3_checksum_free(&body->sum);
    s3_checksum_free(&body->stored);
}


/*
 * CRCs cost next to nothing and stay on the loop; SHA and MD5 go to threads
 * when there is much of them.
 */

ngx_int_t
ngx_http_s3_digest_update(ngx_http_s3_ctx_t *s, const s3_str_t *pieces,
    ngx_uint_t n, ngx_http_s3_step_pt step)
{
    size_t               size;
    ngx_uint_t           i;
    ngx_http_s3_body_t  *body;

    body = &s->body;
    size = 0;

    for (i = 0; i < n; i++) {
        size += pieces[i].len;

        if (ngx_http_s3_digest_fast(s, pieces[i]) != NGX_OK) {
            goto failed;
        }
    }

    if (size > NGX_HTTP_S3_DIGEST_LARGE && (body->slow || body->need_md5)) {
        body->hash.md5 = body->need_md5 ? &body->md5 : NULL;
        body->hash.pieces = pieces;
        body->hash.n = n;
        body->hash.run = body->slow ? ngx_http_s3_digest_job : NULL;

        if (ngx_http_s3_digest_submit(s, step) == NGX_OK) {
            return NGX_AGAIN;
        }
    }

    for (i = 0; body->slow && i < n; i++) {
        if (ngx_http_s3_digest_slow(s, pieces[i]) != S3_OK) {
            goto failed;
        }
    }

    if (body->need_md5 && size >= NGX_HTTP_S3_DIGEST_SMALL
        && size <= NGX_HTTP_S3_DIGEST_LARGE)
    {
        body->hash.md5 = &body->md5;
        body->hash.pieces = pieces;
        body->hash.n = n;

        ngx_http_s3_digest_hold(s, step);
        ngx_s3_hash_gather(&body->hash);

        return NGX_AGAIN;
    }

    for (i = 0; body->need_md5 && i < n; i++) {
        s3_md5x_update(&body->md5, pieces[i]);
    }

    return NGX_OK;

failed:

    s3_fault(&s->fault, S3_ERR_SLOW_DOWN, NULL);

    return NGX_ERROR;
}


static ngx_int_t
ngx_http_s3_digest_fast(ngx_http_s3_ctx_t *s, s3_str_t data)
{
    ngx_http_s3_body_t  *body;

    body = &s->body;

    if ((body->alg != S3_CHECKSUM_NONE && body->sum.ctx == NULL
         && s3_checksum_update(&body->sum, data) != S3_OK)
        || (body->stored_alg != S3_CHECKSUM_NONE && body->stored.ctx == NULL
            && s3_checksum_update(&body->stored, data) != S3_OK))
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* All but MD5 and CRCs; also in a thread. */

static int
ngx_http_s3_digest_slow(ngx_http_s3_ctx_t *s, s3_str_t data)
{
    ngx_http_s3_body_t  *body;

    body = &s->body;

    if ((body->has_sha256
         && s3_sha256_update(&body->sha256, data) != S3_OK)
        || (body->sum.ctx != NULL
            && s3_checksum_update(&body->sum, data) != S3_OK)
        || (body->stored.ctx != NULL
            && s3_checksum_update(&body->stored, data) != S3_OK))
    {
        return S3_ENOMEM;
    }

    return S3_OK;
}


static int
ngx_http_s3_digest_job(ngx_s3_hash_t *h)
{
    int         rc;
    ngx_uint_t  i;

    for (i = 0; i < h->n; i++) {
        rc = ngx_http_s3_digest_slow(h->data, h->pieces[i]);

        if (rc != S3_OK) {
            return rc;
        }
    }

    return S3_OK;
}


ngx_int_t
ngx_http_s3_digest_run(ngx_http_s3_ctx_t *s, int (*run)(ngx_s3_hash_t *h),
    ngx_http_s3_step_pt step)
{
    s->body.hash.md5 = NULL;
    s->body.hash.run = run;

    return ngx_http_s3_digest_submit(s, step) == NGX_OK ? NGX_AGAIN
                                                         : NGX_DECLINED;
}


/*
 * The bytes lie in memory of nginx's request: where the client leaves, nginx
 * keeps it as long as it is blocked.
 */

static void
ngx_http_s3_digest_hold(ngx_http_s3_ctx_t *s, ngx_http_s3_step_pt step)
{
    ngx_http_s3_body_t  *body;

    body = &s->body;

    body->hash.done = ngx_http_s3_digest_done;
    body->hash.data = s;
    body->hash_step = step;
    body->hashing = 1;

    s->r->main->blocked++;

    ngx_http_s3_hold(s);
}


static ngx_int_t
ngx_http_s3_digest_submit(ngx_http_s3_ctx_t *s, ngx_http_s3_step_pt step)
{
    ngx_http_s3_digest_hold(s, step);

    if (ngx_s3_hash_submit(&s->body.hash) == NGX_OK) {
        return NGX_OK;
    }

    s->body.hashing = 0;
    s->r->main->blocked--;

    ngx_http_s3_release(s);

    return NGX_ERROR;
}


static void
ngx_http_s3_digest_done(ngx_s3_hash_t *h)
{
    ngx_connection_t    *c;
    ngx_http_request_t  *r;
    ngx_http_s3_ctx_t   *s = h->data;

    r = s->r;

    s->body.hashing = 0;
    r->main->blocked--;

    if (!s->ended) {
        ngx_http_s3_resume(s, ngx_http_s3_digest_step);
        return;
    }

    /* nginx has ended the request meanwhile, and goes on with that now */

    c = r->connection;
    c->error = 1;

    r->write_event_handler(r);

    ngx_http_run_posted_requests(c);

    ngx_http_s3_release(s);
}


static void
ngx_http_s3_digest_step(ngx_http_s3_ctx_t *s)
{
    if (s->body.hash.rc != S3_OK && !s->body.failed) {
        s->body.failed = 1;
        s3_fault(&s->fault, S3_ERR_SLOW_DOWN, NULL);
    }

    s->body.hash_step(s);
}


void
ngx_http_s3_digest_final(ngx_http_s3_ctx_t *s)
{
    ngx_http_s3_body_t  *body;

    body = &s->body;

    if (body->need_md5) {
        s3_md5x_final(&body->md5, body->md5_digest);
    }

    if (body->alg != S3_CHECKSUM_NONE) {
        (void) s3_checksum_final(&body->sum, body->sum_digest);
    }

    if (body->stored_alg != S3_CHECKSUM_NONE) {
        (void) s3_checksum_final(&body->stored, body->stored_digest);
    }
}


ngx_int_t
ngx_http_s3_digest_verify(ngx_http_s3_ctx_t *s)
{
    if (ngx_http_s3_digest_trailer(s) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_s3_digest_final(s);

    return ngx_http_s3_digest_compare(s);
}


static ngx_int_t
ngx_http_s3_digest_trailer(ngx_http_s3_ctx_t *s)
{
    s3_str_t             value;
    ngx_http_s3_body_t  *body;

    body = &s->body;

    if (!body->trailer_sum) {
        return NGX_OK;
    }

    value = s3_str(body->chunked.trailer_value,
                   body->chunked.trailer_value_len);

    if (body->chunked.trailer_name_len == 0) {
        s3_fault(&s->fault, S3_ERR_MALFORMED_TRAILER_ERROR, NULL);
        return NGX_ERROR;
    }

    if (s3_checksum_parse(body->alg, value, body->want_sum, NULL) != S3_OK) {
        s3_faultf(&s->fault, S3_ERR_INVALID_REQUEST,
                  "Value for %.*s trailing header is invalid.",
                  (int) s3_checksum_info(body->alg)->header.len,
                  s3_checksum_info(body->alg)->header.data);
        return NGX_ERROR;
    }

    body->has_sum = 1;

    return NGX_OK;
}


static ngx_int_t
ngx_http_s3_digest_compare(ngx_http_s3_ctx_t *s)
{
    u_char              *p, digest[S3_SHA256_LEN], hex[S3_SHA256_HEX];
    ngx_http_s3_body_t  *body;

    body = &s->body;

    if (s->auth.payload == S3_PAYLOAD_SIGNED) {
        if (s3_sha256_final(&body->sha256, digest) != S3_OK) {
            s3_fault(&s->fault, S3_ERR_SLOW_DOWN, NULL);
            return NGX_ERROR;
        }

        s3_hex(hex, digest, S3_SHA256_LEN);

        if (s->auth.payload_sha256.len != S3_SHA256_HEX
            || ngx_memcmp(hex, s->auth.payload_sha256.data, S3_SHA256_HEX) != 0)
        {
            s3_fault(&s->fault, S3_ERR_X_AMZ_CONTENT_SHA256_MISMATCH, NULL);
            s3_fault_add(&s->fault, "ClientComputedContentSHA256",
                         s->auth.payload_sha256);
            s3_fault_add(&s->fault, "S3ComputedContentSHA256",
                         ngx_http_s3_dup(s, s3_str(hex, S3_SHA256_HEX)));
            return NGX_ERROR;
        }
    }

    if (body->has_md5
        && ngx_memcmp(body->md5_digest, body->want_md5, 16) != 0)
    {
        s3_fault(&s->fault, S3_ERR_BAD_DIGEST, NULL);

        /* AWS writes the one in hex, the other as the header has it */

        p = ngx_pnalloc(s->pool, 32 + s3_base64_len(16));
        if (p != NULL) {
            s3_hex(p, body->want_md5, 16);
            s3_fault_add(&s->fault, "ExpectedDigest", s3_str(p, 32));
            s3_base64_encode(p + 32, s3_str(body->md5_digest, 16));
            s3_fault_add(&s->fault, "CalculatedDigest", s3_str(p + 32, 24));
        }

        return NGX_ERROR;
    }

    if (body->has_sum
        && ngx_memcmp(body->sum_digest, body->want_sum,
                      s3_checksum_info(body->alg)->len) != 0)
    {
        s3_faultf(&s->fault, S3_ERR_BAD_DIGEST,
                  "The %.*s you specified did not match the calculated "
                  "checksum.", (int) s3_checksum_info(body->alg)->name.len,
                  s3_checksum_info(body->alg)->name.data);
        return NGX_ERROR;
    }

    return NGX_OK;
}
