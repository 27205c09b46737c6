/*
 * Bodies, and requests with their signatures.
 *
 * Source of the signature: Amazon S3 API reference, "Signature Calculations
 * for the Authorization Header".
 */

#include "load.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ngx_s3_module/protocol/s3_base64.h"
#include "ngx_s3_module/protocol/s3_crc.h"
#include "ngx_s3_module/protocol/s3_hash.h"


#define TRAILER "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
#define EMPTY_SHA256 \
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


typedef struct {
    const load_options_t *o;
    const load_body_t *body;
    s3_sha256_t hash;
    uint8_t key[S3_SHA256_LEN];
    char date[17];
    char scope[128];
} signer_t;


static uint64_t
mix(uint64_t x)
{
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9;
    x ^= x >> 27;
    x *= 0x94d049bb133111eb;

    return x ^ x >> 31;
}


void
load_body_fill(uint8_t *data, size_t size)
{
    uint64_t v;
    size_t i, n;

    for (i = 0; i < size; i += n) {
        v = mix(i + 0x9e3779b97f4a7c15);
        n = size - i < sizeof(v) ? size - i : sizeof(v);
        memcpy(data + i, &v, n);
    }
}


static void
must(int rc)
{
    if (rc != S3_OK) {
        load_die("out of memory");
    }
}


static void
sha256_hex(s3_sha256_t *h, const void *data, size_t len, char hex[65])
{
    uint8_t sum[S3_SHA256_LEN];

    must(s3_sha256(h, s3_str(data, len), sum));
    s3_hex((uint8_t *) hex, sum, sizeof(sum));
    hex[64] = 0;
}


/* aws-chunked: "SIZE CRLF data CRLF" for each chunk, "0 CRLF", the trailer. */

static void
make_chunked(load_body_t *body, size_t chunk)
{
    size_t i, n, room;
    uint8_t *p, bytes[8], text[s3_base64_len(8)];
    uint64_t crc;

    room = body->size + (body->size / chunk + 2) * 24 + 128;
    body->wire = load_alloc(room);
    p = body->wire;

    for (i = 0; i < body->size; i += n) {
        n = s3_min(chunk, body->size - i);
        p += sprintf((char *) p, "%zx\r\n", n);
        memcpy(p, body->data + i, n);
        p += n;
        p += sprintf((char *) p, "\r\n");
    }

    crc = s3_crc64nvme(0, s3_str(body->data, body->size));

    for (i = 0; i < 8; i++) {
        bytes[i] = (uint8_t) (crc >> (56 - 8 * i));
    }

    n = s3_base64_encode(text, s3_str(bytes, sizeof(bytes)));
    p += sprintf((char *) p, "0\r\nx-amz-checksum-crc64nvme:%.*s\r\n\r\n",
                 (int) n, (char *) text);
    body->wire_size = (size_t) (p - body->wire);
}


void
load_body_make(load_body_t *body, const load_options_t *o)
{
    s3_sha256_t h;

    memset(body, 0, sizeof(*body));
    body->size = o->body_size;
    body->data = load_alloc(body->size + 1);
    load_body_fill(body->data, body->size);
    body->wire = body->data;
    body->wire_size = body->size;

    if (o->payload == LOAD_SIGNED) {
        sha256_hex(&h, body->data, body->size, body->sha256);

    } else if (o->payload == LOAD_TRAILER) {
        make_chunked(body, o->chunk_size);
    }
}


/*
 * A template: @n is the index in nine digits; @p and @q split it into 1,000
 * groups: index modulo 1,000 in three digits, index / 1,000 in nine.
 */

static size_t
expand(char *dst, size_t room, const char *t, uint64_t i)
{
    size_t n = 0;

    for (; *t != 0; t++) {

        if (n + 24 > room) {
            load_die("a path or query is too long");
        }

        if (*t != '@') {
            dst[n++] = *t;
            continue;
        }

        switch (*++t) {

        case 'n':
            n += (size_t) sprintf(dst + n, "%09llu", (unsigned long long) i);
            break;

        case 'p':
            n += (size_t) sprintf(dst + n, "%03u", (unsigned) (i % 1000));
            break;

        case 'q':
            n += (size_t) sprintf(dst + n, "%09llu",
                                  (unsigned long long) (i / 1000));
            break;

        default:
            load_die("no template: @%c", *t);
        }
    }

    dst[n] = 0;

    return n;
}


static void
signer_init(signer_t *s, const load_options_t *o, const load_body_t *body)
{
    time_t now = time(NULL);
    struct tm tm;
    char secret[256];
    const char *step[4];
    size_t i;
    int n;

    memset(s, 0, sizeof(*s));
    s->o = o;
    s->body = body;

    if (o->akid == NULL) {
        return;
    }

    gmtime_r(&now, &tm);
    strftime(s->date, sizeof(s->date), "%Y%m%dT%H%M%SZ", &tm);
    snprintf(s->scope, sizeof(s->scope), "%.8s/%s/s3/aws4_request", s->date,
             o->region);

    n = snprintf(secret, sizeof(secret), "AWS4%s", o->secret);

    if (n < 0 || (size_t) n >= sizeof(secret)) {
        load_die("the secret is too long");
    }

    step[0] = s->date;
    step[1] = o->region;
    step[2] = "s3";
    step[3] = "aws4_request";

    for (i = 0; i < 4; i++) {
        must(s3_hmac_sha256(i ? s3_str(s->key, sizeof(s->key))
                              : s3_str(secret, (size_t) n),
                            s3_str(step[i], i ? strlen(step[i]) : 8), s->key));
    }
}


/* The headers that are signed, in both forms: as sent, and canonical. */

static size_t
sign(signer_t *s, char *dst, size_t room, const char *path, const char *query)
{
    const load_options_t *o = s->o;
    const char *sha, *names, *trailer;
    char text[8192], hash[65], mac[65], extra[128];
    uint8_t sum[S3_SHA256_LEN];
    int n;

    trailer = "";
    extra[0] = 0;
    sha = s->body == NULL ? EMPTY_SHA256 : "UNSIGNED-PAYLOAD";
    names = "host;x-amz-content-sha256;x-amz-date";

    if (s->body != NULL && o->payload == LOAD_SIGNED) {
        sha = s->body->sha256;

    } else if (s->body != NULL && o->payload == LOAD_TRAILER) {
        sha = TRAILER;
        names = "host;x-amz-content-sha256;x-amz-date;"
                "x-amz-decoded-content-length;x-amz-trailer";
        trailer = "x-amz-trailer:x-amz-checksum-crc64nvme\n";
        snprintf(extra, sizeof(extra), "x-amz-decoded-content-length:%zu\n",
                 s->body->size);
    }

    n = snprintf(text, sizeof(text),
                 "%s\n%s\n%s\nhost:%s:%s\nx-amz-content-sha256:%s\n"
                 "x-amz-date:%s\n%s%s\n%s\n%s",
                 o->method, path, query, o->host, o->port, sha, s->date, extra,
                 trailer, names, sha);

    if (n < 0 || (size_t) n >= sizeof(text)) {
        load_die("a request is too long");
    }

    sha256_hex(&s->hash, text, (size_t) n, hash);
    n = snprintf(text, sizeof(text), "AWS4-HMAC-SHA256\n%s\n%s\n%s", s->date,
                 s->scope, hash);
    must(s3_hmac_sha256(s3_str(s->key, sizeof(s->key)),
                        s3_str(text, (size_t) n), sum));
    s3_hex((uint8_t *) mac, sum, sizeof(sum));
    mac[64] = 0;

    n = snprintf(dst, room,
                 "x-amz-content-sha256: %s\r\nx-amz-date: %s\r\n"
                 "Authorization: AWS4-HMAC-SHA256 Credential=%s/%s, "
                 "SignedHeaders=%s, Signature=%s\r\n",
                 sha, s->date, o->akid, s->scope, names, mac);

    if (trailer[0] != 0) {
        n += snprintf(dst + n, room - (size_t) n,
                      "x-amz-decoded-content-length: %zu\r\n"
                      "x-amz-trailer: x-amz-checksum-crc64nvme\r\n"
                      "Content-Encoding: aws-chunked\r\n",
                      s->body->size);
    }

    return (size_t) n;
}


static size_t
make_request(signer_t *s, char *dst, size_t room, uint64_t i)
{
    const load_options_t *o = s->o;
    char path[2048], query[2048];
    size_t n;

    expand(path, sizeof(path), o->path, i);
    expand(query, sizeof(query), o->query ? o->query : "", i);

    n = (size_t) snprintf(dst, room, "%s %s%s%s HTTP/1.1\r\nHost: %s:%s\r\n",
                          o->method, path, query[0] ? "?" : "", query, o->host,
                          o->port);

    if (o->akid != NULL) {
        n += sign(s, dst + n, room - n, path, query);
    }

    if (s->body != NULL) {
        n += (size_t) snprintf(dst + n, room - n, "Content-Length: %zu\r\n",
                               s->body->wire_size);
    }

    n += (size_t) snprintf(dst + n, room - n, "\r\n");

    return n;
}


void
load_requests_make(load_requests_t *r, const load_options_t *o,
                   const load_body_t *body)
{
    enum { largest = 8192 };
    signer_t s;
    uint64_t i, index;

    memset(r, 0, sizeof(*r));
    signer_init(&s, o, body);
    r->n = o->requests;
    r->body_size = body ? body->wire_size : 0;
    r->offsets = load_alloc((r->n + 1) * sizeof(r->offsets[0]));

    for (i = 0; i < r->n; i++) {

        if (r->room - r->size < largest) {
            r->room = r->room * 2 + 16 * largest;
            r->arena = realloc(r->arena, r->room);

            if (r->arena == NULL) {
                load_die("out of memory");
            }
        }

        index = o->random ? mix(o->first + i + 1) % o->random : o->first + i;
        r->offsets[i] = r->size;
        r->size += make_request(&s, r->arena + r->size, largest, index);
    }

    r->offsets[r->n] = r->size;
}
