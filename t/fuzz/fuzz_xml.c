/*
 * XML bodies: the first byte selects the document, the rest is the body.
 * What was parsed is written out again, so the writer sees every text, too.
 */

#include "s3_xml_in.h"
#include "s3_xml_out.h"
#include "s3_xml_results.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static void
fuzz_delete(s3_str_t body, s3_xml_t *x)
{
    s3_delete_t d;
    s3_fault_t f;
    size_t i;

    if (s3_delete_parse(&d, body, &f) == S3_ERR_NONE) {
        s3_xml_delete_begin(x);

        for (i = 0; i < d.n; i++) {
            s3_xml_deleted(x, d.objects[i].key, d.objects[i].version_id);
            s3_xml_key(x, "Key", d.objects[i].key);
        }

        s3_xml_delete_end(x);

    } else {
        s3_xml_error(x, &f, s3_null_str, s3_string("r"), s3_string("h"));
    }

    s3_delete_free(&d);
}


static void
fuzz_complete(s3_str_t body, s3_xml_t *x)
{
    s3_complete_t c;
    s3_fault_t f;
    size_t i;

    if (s3_complete_parse(&c, body, &f) == S3_ERR_NONE) {
        for (i = 0; i < c.n; i++) {
            s3_xml_etag(x, "ETag", c.parts[i].etag);
            s3_xml_str_opt(x, "Digest", c.parts[i].digest);

            if (c.parts[i].number == 0 || c.parts[i].etag.len == 0) {
                __builtin_trap();
            }
        }
    }

    s3_complete_free(&c);
}


static void
fuzz_tagging(s3_str_t body, size_t limit, s3_xml_t *x)
{
    s3_tagging_t t;
    s3_fault_t f;

    if (s3_tagging_parse(&t, body, limit, &f) == S3_ERR_NONE) {
        if (t.n > limit) {
            __builtin_trap();
        }

        s3_xml_tagging(x, t.tags, t.n);

    } else {
        s3_xml_error(x, &f, s3_null_str, s3_string("r"), s3_string("h"));
    }

    s3_tagging_free(&t);
}


/* A document that we wrote is one that we can read. */

static void
fuzz_again(s3_xml_t *x, int mode)
{
    s3_tagging_t t;
    s3_err_t err;

    if (mode != 2 || s3_xml_rc(x) != S3_OK || x->len < 60
        || memcmp(x->data + sizeof(S3_XML_DECL) - 1, "<Tagging", 8) != 0)
    {
        return;
    }

    err = s3_tagging_parse(&t, s3_str(x->data, x->len), S3_TAGS_OBJECT, NULL);

    if (err != S3_ERR_NONE) {
        __builtin_trap();
    }

    s3_tagging_free(&t);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    s3_xml_t x;
    s3_str_t body;
    s3_create_bucket_t b;
    int mode;

    if (size == 0) {
        return 0;
    }

    mode = data[0] & 7;
    body = s3_str(data + 1, size - 1);
    s3_xml_init(&x, S3_XML_LIMIT);
    x.url = data[0] & 8;

    switch (mode) {

    case 0:
        fuzz_delete(body, &x);
        break;

    case 1:
        fuzz_complete(body, &x);
        break;

    case 2:
        fuzz_tagging(body, S3_TAGS_OBJECT, &x);
        fuzz_again(&x, mode);
        break;

    case 3:
        fuzz_tagging(body, S3_TAGS_BUCKET, &x);
        break;

    case 4:
        (void) s3_create_bucket_parse(&b, body, NULL);
        s3_create_bucket_free(&b);
        break;

    default:
        s3_xml_key(&x, "Key", body);
        s3_xml_text(&x, body);
    }

    s3_xml_free(&x);

    return 0;
}
