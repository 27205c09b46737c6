#include "s3_chunked.h"

#include <openssl/crypto.h>

#include "s3_checksum.h"

#pragma GCC visibility push(hidden)

/* SHA-256 of nothing: part of what a chunk's signature covers. */

#define S3_CHUNKED_EMPTY \
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

#define S3_CHUNKED_EXTENSION ";chunk-signature="
#define S3_CHUNKED_TRAILER_SIGNATURE "x-amz-trailer-signature:"

/* Algorithm, date, scope and three hashes, with their line ends. */

#define S3_CHUNKED_STRING_SIZE \
    (32 + 17 + S3_SIGV4_SCOPE_SIZE + 1 + 3 * (S3_SHA256_HEX + 1))


enum {
    S3_CHUNKED_HEADER = 0, /* the line with the size */
    S3_CHUNKED_DATA,
    S3_CHUNKED_EXCESS, /* more data than was announced, or a short chunk */
    S3_CHUNKED_CR,     /* behind the data */
    S3_CHUNKED_LF,
    S3_CHUNKED_TRAILER,
    S3_CHUNKED_MAYBE_CR, /* complete, but an empty line may follow */
    S3_CHUNKED_MAYBE_LF,
    S3_CHUNKED_DONE,
    S3_CHUNKED_FAILED,
};


static int
s3_chunked_signed(const s3_chunked_t *c)
{
    return c->payload != S3_PAYLOAD_UNSIGNED_TRAILER;
}


static int
s3_chunked_fail(s3_chunked_t *c, s3_err_t err, const char *message)
{
    (void) s3_fault(&c->fault, err, message);
    c->state = S3_CHUNKED_FAILED;

    return S3_EINVAL;
}


static int
s3_chunked_broken(s3_chunked_t *c)
{
    return s3_chunked_fail(c, S3_ERR_INCOMPLETE_BODY,
                           "The request body terminated unexpectedly");
}


static int
s3_chunked_wrong_length(s3_chunked_t *c)
{
    return s3_chunked_fail(c, S3_ERR_INCOMPLETE_BODY, NULL);
}


static int
s3_chunked_no_memory(s3_chunked_t *c)
{
    (void) s3_chunked_fail(c, S3_ERR_INTERNAL_ERROR, NULL);

    return S3_ENOMEM;
}


/* x-amz-trailer: at most one checksum, of a kind that can be computed. */

static int
s3_chunked_announced(s3_chunked_t *c, s3_str_t trailer)
{
    s3_checksum_alg_t alg;
    const s3_checksum_info_t *info;

    if (trailer.len == 0) {
        return S3_OK;
    }

    alg = s3_checksum_by_header(trailer);
    info = s3_checksum_info(alg);

    if (!info->supported || info->header.len > sizeof(c->want_name)) {
        return s3_chunked_fail(c, S3_ERR_INVALID_REQUEST,
                               "The value specified in the x-amz-trailer "
                               "header is not supported");
    }

    c->want_name_len = info->header.len;
    memcpy(c->want_name, info->header.data, info->header.len);

    return S3_OK;
}


int
s3_chunked_init(s3_chunked_t *c, const s3_auth_result_t *auth)
{
    memset(c, 0, sizeof(*c));

    c->payload = auth->payload;

    if (!s3_payload_is_chunked(auth->payload)
        || auth->scope_len > sizeof(c->scope)) {
        return s3_chunked_fail(c, S3_ERR_INVALID_REQUEST,
                               "The value of x-amz-content-sha256 header is "
                               "invalid.");
    }

    if (!auth->has_decoded_length) {
        return s3_chunked_fail(c, S3_ERR_MISSING_CONTENT_LENGTH, NULL);
    }

    c->expected = auth->decoded_length;

    memcpy(c->previous, auth->signature, S3_SHA256_HEX);
    memcpy(c->key, auth->key, S3_SHA256_LEN);
    memcpy(c->amz_date, auth->amz_date, S3_SIGV4_DATE_LEN);
    memcpy(c->scope, auth->scope, auth->scope_len);
    c->scope_len = auth->scope_len;

    if (auth->payload != S3_PAYLOAD_CHUNKED
        && s3_chunked_announced(c, auth->trailer) != S3_OK)
    {
        return S3_EINVAL;
    }

    if (s3_chunked_signed(c) && s3_sha256_init(&c->hash) != S3_OK) {
        return s3_chunked_no_memory(c);
    }

    return S3_OK;
}


void
s3_chunked_free(s3_chunked_t *c)
{
    OPENSSL_cleanse(c->key, sizeof(c->key));
}


/*
 * Collects a line up to its '\n', which is dropped.  S3_OK: it is complete,
 * *crlf tells whether a '\r' was there, which is dropped too.
 */

static int
s3_chunked_line(s3_chunked_t *c, s3_str_t *in, int *crlf)
{
    size_t n;
    const uint8_t *p;

    p = in->len ? memchr(in->data, '\n', in->len) : NULL;
    n = p ? (size_t) (p - in->data) : in->len;

    if (n > sizeof(c->line) - c->line_len) {
        return s3_chunked_broken(c);
    }

    if (n) {
        memcpy(c->line + c->line_len, in->data, n);
        c->line_len += n;
    }

    if (p == NULL) {
        *in = s3_str(in->data + n, 0);
        return S3_AGAIN;
    }

    *in = s3_str(p + 1, in->len - n - 1);
    *crlf = c->line_len && c->line[c->line_len - 1] == '\r';
    c->line_len -= (size_t) *crlf;

    return S3_OK;
}


static uint8_t *
s3_chunked_put(uint8_t *p, const void *data, size_t len)
{
    memcpy(p, data, len);
    p[len] = '\n';

    return p + len + 1;
}


/* Checks what claims to be the next signature of the chain. */

static int
s3_chunked_verify(s3_chunked_t *c, const char *algorithm,
                  const uint8_t hash[S3_SHA256_LEN], int chunk,
                  const uint8_t claimed[S3_SHA256_HEX])
{
    uint8_t *p, hex[S3_SHA256_HEX], text[S3_CHUNKED_STRING_SIZE];

    p = s3_chunked_put(text, algorithm, strlen(algorithm));
    p = s3_chunked_put(p, c->amz_date, S3_SIGV4_DATE_LEN);
    p = s3_chunked_put(p, c->scope, c->scope_len);
    p = s3_chunked_put(p, c->previous, S3_SHA256_HEX);

    if (chunk) {
        p = s3_chunked_put(p, S3_CHUNKED_EMPTY, S3_SHA256_HEX);
    }

    s3_hex(p, hash, S3_SHA256_LEN);
    p += S3_SHA256_HEX;

    if (s3_sigv4_sign(c->key, s3_str(text, (size_t) (p - text)), hex) != S3_OK)
    {
        return s3_chunked_no_memory(c);
    }

    if (!s3_sigv4_equal(s3_str(hex, S3_SHA256_HEX),
                        s3_str(claimed, S3_SHA256_HEX))) {
        return s3_chunked_fail(c, S3_ERR_SIGNATURE_DOES_NOT_MATCH, NULL);
    }

    memcpy(c->previous, hex, S3_SHA256_HEX);

    return S3_OK;
}


/* At the end of a chunk, the last and empty one too. */

static int
s3_chunked_end_chunk(s3_chunked_t *c)
{
    uint8_t hash[S3_SHA256_LEN];

    if (!s3_chunked_signed(c)) {
        return S3_OK;
    }

    if (s3_sha256_final(&c->hash, hash) != S3_OK
        || s3_sha256_init(&c->hash) != S3_OK)
    {
        return s3_chunked_no_memory(c);
    }

    return s3_chunked_verify(c, "AWS4-HMAC-SHA256-PAYLOAD", hash, 1,
                             c->signature);
}


/* "hex-size", with a signature where there has to be one. */

static int
s3_chunked_parse_header(s3_chunked_t *c, uint64_t *size)
{
    size_t i, ext;
    uint8_t b;
    uint64_t n;

    for (i = 0, n = 0; i < c->line_len; i++) {
        b = c->line[i];

        if (b >= '0' && b <= '9') {
            b = (uint8_t) (b - '0');

        } else if ((b | 0x20) >= 'a' && (b | 0x20) <= 'f') {
            b = (uint8_t) ((b | 0x20) - 'a' + 10);

        } else {
            break;
        }

        n = n << 4 | b;

        if (n > S3_CHUNKED_MAX_CHUNK) {
            return s3_chunked_broken(c);
        }
    }

    *size = n;

    if (i == 0) {
        return s3_chunked_broken(c);
    }

    if (!s3_chunked_signed(c)) {
        return i == c->line_len ? S3_OK : s3_chunked_broken(c);
    }

    ext = sizeof(S3_CHUNKED_EXTENSION) - 1;

    if (c->line_len - i != ext + S3_SHA256_HEX
        || memcmp(c->line + i, S3_CHUNKED_EXTENSION, ext) != 0)
    {
        return s3_chunked_broken(c);
    }

    memcpy(c->signature, c->line + i + ext, S3_SHA256_HEX);

    return S3_OK;
}


static int
s3_chunked_header(s3_chunked_t *c, s3_str_t *in)
{
    int rc, crlf;
    uint64_t size = 0;

    rc = s3_chunked_line(c, in, &crlf);

    if (rc != S3_OK) {
        return rc;
    }

    if (!crlf) {
        return s3_chunked_broken(c);
    }

    rc = s3_chunked_parse_header(c, &size);

    if (rc != S3_OK) {
        return rc;
    }

    c->line_len = 0;

    if (size && c->chunk && c->prev < S3_CHUNKED_MIN_CHUNK) {
        (void) s3_chunked_fail(c, S3_ERR_INVALID_CHUNK_SIZE_ERROR, NULL);
        s3_fault_add_u64(&c->fault, "Chunk", c->chunk);
        s3_fault_add_u64(&c->fault, "BadChunkSize", c->prev);
        return S3_EINVAL;
    }

    c->chunk++;
    c->prev = size;
    c->left = size;

    if (size) {
        c->state = S3_CHUNKED_DATA;
        return S3_OK;
    }

    if (c->decoded != c->expected) {
        return s3_chunked_wrong_length(c);
    }

    c->state = S3_CHUNKED_TRAILER;

    return s3_chunked_end_chunk(c);
}


static int
s3_chunked_data(s3_chunked_t *c, s3_str_t *in, s3_str_t *out)
{
    uint64_t n;

    if (c->decoded == c->expected) {
        c->state = S3_CHUNKED_EXCESS;
        return S3_OK;
    }

    n = s3_min(c->left, c->expected - c->decoded);
    n = s3_min(n, (uint64_t) in->len);

    *out = s3_str(in->data, (size_t) n);
    *in = s3_str(in->data + n, in->len - (size_t) n);

    c->left -= n;
    c->decoded += n;

    if (s3_chunked_signed(c) && s3_sha256_update(&c->hash, *out) != S3_OK) {
        return s3_chunked_no_memory(c);
    }

    if (c->left == 0) {
        c->state = S3_CHUNKED_CR;
    }

    return S3_OK;
}


/* A checksum, "name:value", that x-amz-trailer announced. */

static int
s3_chunked_checksum(s3_chunked_t *c)
{
    size_t i, n;
    uint8_t raw[S3_CHECKSUM_MAX], *p;
    s3_str_t name, value;

    p = memchr(c->line, ':', c->line_len);

    if (p == NULL) {
        return s3_chunked_fail(c, S3_ERR_MALFORMED_TRAILER_ERROR, NULL);
    }

    n = (size_t) (p - c->line);

    for (i = 0; i < n; i++) {
        if (c->line[i] >= 'A' && c->line[i] <= 'Z') {
            c->line[i] |= 0x20;
        }
    }

    name = s3_str(c->line, n);
    value = s3_sigv4_trim(s3_str(p + 1, c->line_len - n - 1));

    if (c->want_name_len == 0
        || !s3_str_eq(name, s3_str(c->want_name, c->want_name_len)))
    {
        return s3_chunked_fail(c, S3_ERR_MALFORMED_TRAILER_ERROR, NULL);
    }

    if (value.len > sizeof(c->trailer_value)
        || s3_checksum_parse(s3_checksum_by_header(name), value, raw, NULL)
               != S3_OK)
    {
        c->state = S3_CHUNKED_FAILED;
        (void) s3_faultf(&c->fault, S3_ERR_INVALID_REQUEST,
                         "Value for %.*s trailing header is invalid.",
                         (int) c->want_name_len, (const char *) c->want_name);
        return S3_EINVAL;
    }

    memcpy(c->trailer_name, name.data, name.len);
    c->trailer_name_len = name.len;
    memcpy(c->trailer_value, value.data, value.len);
    c->trailer_value_len = value.len;

    return S3_OK;
}


/* x-amz-trailer-signature, over "name:value\n" of the line before. */

static int
s3_chunked_trailer_signature(s3_chunked_t *c)
{
    size_t n;
    uint8_t *p, hash[S3_SHA256_LEN];
    uint8_t text[sizeof(c->trailer_name) + sizeof(c->trailer_value) + 2];

    n = sizeof(S3_CHUNKED_TRAILER_SIGNATURE) - 1;

    if (c->have_mac || c->line_len != n + S3_SHA256_HEX
        || memcmp(c->line, S3_CHUNKED_TRAILER_SIGNATURE, n) != 0)
    {
        return s3_chunked_broken(c);
    }

    memcpy(text, c->trailer_name, c->trailer_name_len);
    p = text + c->trailer_name_len;
    *p++ = ':';
    p = s3_chunked_put(p, c->trailer_value, c->trailer_value_len);

    if (s3_sha256(&c->mac, s3_str(text, (size_t) (p - text)), hash) != S3_OK) {
        return s3_chunked_no_memory(c);
    }

    c->have_mac = 1;

    return s3_chunked_verify(c, "AWS4-HMAC-SHA256-TRAILER", hash, 0,
                             c->line + n);
}


/* The empty line: the end, if everything is there that has to be. */

static int
s3_chunked_empty_line(s3_chunked_t *c, int crlf)
{
    if (!crlf) {
        return s3_chunked_broken(c);
    }

    if (c->payload == S3_PAYLOAD_CHUNKED) {
        c->state = S3_CHUNKED_DONE;
        return S3_OK;
    }

    if (c->trailer_name_len == 0
        && (c->want_name_len || c->payload == S3_PAYLOAD_CHUNKED_TRAILER))
    {
        return s3_chunked_fail(c, S3_ERR_MALFORMED_TRAILER_ERROR, NULL);
    }

    if (c->payload == S3_PAYLOAD_CHUNKED_TRAILER && !c->have_mac) {
        /* "\n\r\n" is one line end to old clients. */

        if (!c->bare_lf) {
            return s3_chunked_broken(c);
        }

        c->bare_lf = 0;
        return S3_OK;
    }

    c->state = c->bare_lf ? S3_CHUNKED_MAYBE_CR : S3_CHUNKED_DONE;

    return S3_OK;
}


static int
s3_chunked_trailer(s3_chunked_t *c, s3_str_t *in)
{
    int rc, crlf;

    rc = s3_chunked_line(c, in, &crlf);

    if (rc != S3_OK) {
        return rc;
    }

    if (c->line_len == 0) {
        return s3_chunked_empty_line(c, crlf);
    }

    if (c->payload == S3_PAYLOAD_CHUNKED
        || memchr(c->line, '\r', c->line_len) != NULL)
    {
        return s3_chunked_broken(c);
    }

    if (c->trailer_name_len == 0) {
        rc = s3_chunked_checksum(c);

    } else if (s3_chunked_signed(c)) {
        rc = s3_chunked_trailer_signature(c);

    } else {
        rc = s3_chunked_fail(c, S3_ERR_MALFORMED_TRAILER_ERROR, NULL);
    }

    c->line_len = 0;
    c->bare_lf = !crlf;

    return rc;
}


/* One byte that has to be there. */

static int
s3_chunked_expect(s3_chunked_t *c, s3_str_t *in, uint8_t byte, int next)
{
    if (in->data[0] != byte) {
        return s3_chunked_broken(c);
    }

    *in = s3_str(in->data + 1, in->len - 1);
    c->state = next;

    return S3_OK;
}


static int
s3_chunked_step(s3_chunked_t *c, s3_str_t *in, s3_str_t *out)
{
    int rc;

    switch (c->state) {

    case S3_CHUNKED_HEADER:
        return s3_chunked_header(c, in);

    case S3_CHUNKED_DATA:
        return s3_chunked_data(c, in, out);

    case S3_CHUNKED_EXCESS:
        return in->data[0] == '\r' ? s3_chunked_broken(c)
                                   : s3_chunked_wrong_length(c);

    case S3_CHUNKED_CR:
        return s3_chunked_expect(c, in, '\r', S3_CHUNKED_LF);

    case S3_CHUNKED_LF:
        rc = s3_chunked_expect(c, in, '\n', S3_CHUNKED_HEADER);
        return rc == S3_OK ? s3_chunked_end_chunk(c) : rc;

    case S3_CHUNKED_TRAILER:
        return s3_chunked_trailer(c, in);

    case S3_CHUNKED_MAYBE_CR:
        return s3_chunked_expect(c, in, '\r', S3_CHUNKED_MAYBE_LF);

    case S3_CHUNKED_MAYBE_LF:
        return s3_chunked_expect(c, in, '\n', S3_CHUNKED_DONE);

    case S3_CHUNKED_DONE:
        return s3_chunked_broken(c);

    default:
        return S3_EINVAL;
    }
}


int
s3_chunked_next(s3_chunked_t *c, s3_str_t *in, s3_str_t *out)
{
    int rc;

    *out = s3_null_str;

    if (c->state == S3_CHUNKED_FAILED) {
        return S3_EINVAL;
    }

    while (in->len) {
        rc = s3_chunked_step(c, in, out);

        if (rc != S3_OK) {
            *out = s3_null_str;
            return rc;
        }

        if (out->len) {
            return S3_OK;
        }

        if (c->state == S3_CHUNKED_DONE) {
            return S3_DONE;
        }
    }

    return c->state == S3_CHUNKED_DONE ? S3_DONE : S3_AGAIN;
}


uint64_t
s3_chunked_left(const s3_chunked_t *c)
{
    return c->state == S3_CHUNKED_DATA
               ? s3_min(c->left, c->expected - c->decoded)
               : 0;
}


int
s3_chunked_end(s3_chunked_t *c)
{
    if (c->state == S3_CHUNKED_DONE || c->state == S3_CHUNKED_MAYBE_CR) {
        return S3_OK;
    }

    return c->state == S3_CHUNKED_FAILED ? S3_EINVAL : s3_chunked_broken(c);
}

#pragma GCC visibility pop
