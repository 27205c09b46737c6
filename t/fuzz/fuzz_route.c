/*
 * Requests: "METHOD target\nhost\ncopy-source\ntagging", later lines
 * optional; host is matched against two domains.
 */

#include <stdlib.h>

#include "s3_route.h"
#include "s3_tag.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static s3_str_t
fuzz_line(s3_str_t *rest, int sep)
{
    const uint8_t *end;
    s3_str_t line;

    line = *rest;
    end = rest->len ? memchr(rest->data, sep, rest->len) : NULL;

    if (end == NULL) {
        *rest = s3_null_str;
        return line;
    }

    line.len = (size_t) (end - rest->data);
    rest->data += line.len + 1;
    rest->len -= line.len + 1;

    return line;
}


/* What the router lets through has good names. */

static void
fuzz_accepted(const s3_route_t *r)
{
    const s3_op_info_t *o = s3_op_info(r->op);

    if (r->op == S3_OP_NONE
        || ((o->flags & (S3_OPF_BUCKET | S3_OPF_OBJECT))
            && r->op != S3_OP_PREFLIGHT && !s3_bucket_name_valid(r->bucket))
        || ((o->flags & S3_OPF_OBJECT)
            && (r->key.len == 0 || r->key.len > S3_KEY_MAX)))
    {
        __builtin_trap();
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const s3_str_t domains[] = {s3_string("s3.test"), s3_string("localhost")};
    s3_str_t rest, target, host, path, query, tagging;
    s3_uri_query_t q;
    s3_route_in_t in;
    s3_route_t r;
    s3_copy_source_t cs;
    s3_tag_t tags[S3_TAGS_OBJECT];
    s3_fault_t f;
    uint8_t *buf, *qbuf;
    int64_t n;
    size_t ntags;

    if (size > 65536) {
        return 0;
    }

    memset(&in, 0, sizeof(in));

    rest = s3_str(data, size);
    in.method = fuzz_line(&rest, ' ');
    target = fuzz_line(&rest, '\n');
    host = fuzz_line(&rest, '\n');
    in.copy_source = fuzz_line(&rest, '\n');
    tagging = rest;
    in.request_route = tagging.len & 1;
    in.s3express = (tagging.len >> 1) & 1;

    if (in.copy_source.len == 0) {
        in.copy_source = s3_null_str;
    }

    buf = malloc(size + 1);
    qbuf = malloc(size + 1);

    if (buf == NULL || qbuf == NULL) {
        abort();
    }

    s3_uri_split(target, &path, &query);
    n = s3_uri_decode(buf, path, 0);

    if (n >= 0 && s3_uri_query_parse(&q, query, qbuf) == S3_OK) {
        in.path = s3_str(buf, (size_t) n);
        in.query = &q;

        (void) s3_host_bucket(host, domains, 2, &in.host_bucket);

        if (s3_route(&r, &in, &f) == S3_ERR_NONE) {
            fuzz_accepted(&r);
        }
    }

    if (in.copy_source.data != NULL
        && s3_copy_source_parse(&cs, in.copy_source, buf, &f) == S3_ERR_NONE
        && (!s3_bucket_name_valid(cs.bucket) || cs.key.len == 0))
    {
        __builtin_trap();
    }

    if (s3_tags_parse(tagging, buf, tags, &ntags, &f) == S3_ERR_NONE
        && s3_tags_check(tags, ntags, S3_TAGS_OBJECT, &f) != S3_ERR_NONE)
    {
        __builtin_trap();
    }

    free(buf);
    free(qbuf);

    return 0;
}
