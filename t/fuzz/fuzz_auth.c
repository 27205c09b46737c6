/*
 * The authentication gate.  Input: method, target and headers, a line each:
 *
 *     GET\n/bucket/key?x=1\nHost: h\nAuthorization: ...\n
 */

#include <stdlib.h>

#include "s3_auth.h"

#define MUST(cond)     \
    do {               \
        if (!(cond)) { \
            abort();   \
        }              \
    } while (0)

#define MAX_BLOCKS 64

static void *blocks[MAX_BLOCKS];
static int nblocks;
static s3_sigv4_cache_t *cache;


static void *
alloc(void *data, size_t size)
{
    (void) data;
    MUST(nblocks < MAX_BLOCKS);

    return blocks[nblocks++] = malloc(size);
}


/* Every key exists; one has a token. */

static int
credential(void *data, s3_str_t akid, s3_credential_t *c)
{
    (void) data;
    c->secret = s3_string("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");

    if (akid.len == 1) {
        c->token = s3_string("token");
    }

    return S3_OK;
}


static int
line(s3_str_t *in, s3_str_t *out)
{
    const uint8_t *p;

    if (in->len == 0) {
        return 0;
    }

    p = memchr(in->data, '\n', in->len);

    if (p == NULL) {
        *out = *in;
        *in = s3_null_str;
        return 1;
    }

    *out = s3_str(in->data, (size_t) (p - in->data));
    *in = s3_str(p + 1, in->len - out->len - 1);

    return 1;
}


static unsigned
touch(s3_str_t s)
{
    size_t i;
    unsigned sum = 0;

    for (i = 0; i < s.len; i++) {
        sum += s.data[i];
    }

    return sum;
}


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static s3_header_t headers[S3_AUTH_MAX_HEADERS + 1];
    s3_auth_request_t req;
    s3_auth_result_t res;
    s3_str_t in, s;
    const uint8_t *p;
    unsigned i;
    int rc;

    if (cache == NULL) {
        cache = s3_sigv4_cache_create();
        MUST(cache != NULL);
    }

    memset(&req, 0, sizeof(req));
    in = s3_str(data, size);
    s = s3_null_str;
    (void) line(&in, &req.method);
    (void) line(&in, &s);
    s3_uri_split(s, &req.path, &req.query);

    while (req.nheaders <= S3_AUTH_MAX_HEADERS && line(&in, &s)) {
        p = s.len ? memchr(s.data, ':', s.len) : NULL;

        if (p == NULL) {
            continue;
        }

        headers[req.nheaders].name = s3_str(s.data, (size_t) (p - s.data));
        headers[req.nheaders++].value =
            s3_str(p + 1, s.len - (size_t) (p - s.data) - 1);
    }

    req.headers = headers;
    req.now = 1369353600;
    req.region = s3_string("us-east-1");
    req.credential = credential;
    req.cache = cache;
    req.alloc = alloc;
    req.express = size & 1;

    rc = s3_auth_verify(&req, &res);

    MUST((rc == S3_OK) == (res.fault.err == S3_ERR_NONE));
    MUST(rc != S3_OK || (res.kind != S3_AUTH_ANONYMOUS && res.akid.len));
    MUST(strlen(s3_fault_message(&res.fault)) < 1024);

    MUST(touch(res.akid) <= 255 * res.akid.len);

    for (i = 0; i < res.fault.nextra; i++) {
        s = res.fault.extra[i].value;
        MUST(touch(s) <= 255 * s.len);
    }

    while (nblocks) {
        free(blocks[--nblocks]);
    }

    return 0;
}
