/* Header values: the first byte selects the parser, the next a size. */

#include "s3_http.h"
#include "s3_xml_out.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static void
fuzz_range(s3_str_t v, uint64_t size)
{
    s3_range_t r;
    s3_fault_t f;

    if (s3_range_parse(&r, v, size) == S3_ERR_NONE
        && (r.end > size || r.first > r.end || (r.partial && r.first == r.end)))
    {
        __builtin_trap();
    }

    if (s3_copy_range_parse(&r, v, size, &f) == S3_ERR_NONE
        && (r.end > size || r.first > r.end))
    {
        __builtin_trap();
    }
}


static void
fuzz_date(s3_str_t v)
{
    char buf[S3_HTTP_DATE_LEN + 1];
    int64_t sec, again;

    if (s3_http_date_parse(v, &sec) != S3_OK) {
        return;
    }

    /* a leap second or a year past 9999 does not come back as itself */

    s3_http_date(sec, buf);

    if (s3_http_date_parse(s3_str(buf, S3_HTTP_DATE_LEN), &again) != S3_OK) {
        __builtin_trap();
    }

    if (sec != again && sec < 253402300800LL && sec >= -62167219200LL) {
        __builtin_trap();
    }
}


static void
fuzz_numbers(s3_str_t v)
{
    s3_fault_t f;
    uint32_t n;
    uint64_t u;
    unsigned int mask, i;
    int url;

    for (i = 0; i <= S3_LIMIT_ATTR_PART_MARKER; i++) {
        n = 0;

        if (s3_parse_limit((s3_limit_e) i, v, &n, &f) == S3_ERR_NONE
            && n > 0x7fffffff) {
            __builtin_trap();
        }
    }

    if (s3_parse_part_number(v, &n, &f) == S3_ERR_NONE
        && (n < 1 || n > S3_PART_MAX))
    {
        __builtin_trap();
    }

    (void) s3_parse_encoding_type(v, &url, &f);
    (void) s3_parse_attributes(v, &mask, &f);
    (void) s3_parse_uint(v, UINT64_MAX, &u);
}


static void
fuzz_conditions(s3_str_t v, unsigned int how)
{
    s3_cond_t c;
    s3_write_cond_t w;
    s3_fault_t f;

    c.match = how & 1 ? v : s3_null_str;
    c.none_match = how & 2 ? v : s3_null_str;
    c.modified_since = how & 4 ? v : s3_null_str;
    c.unmodified_since = how & 8 ? v : s3_null_str;

    (void) s3_cond_read(&c, s3_string("e,t"), 784111777, 1700000000, &f);
    (void) s3_cond_copy(&c, s3_string("etag"), 784111777, 1700000000, &f);
    (void) s3_cond_write(&c, (how >> 4) & 1, &w, &f);
    (void) s3_if_range(v, s3_string("etag"), 784111777);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    s3_str_t v;
    int64_t ms;

    if (size < 2) {
        return 0;
    }

    v = s3_str(data + 2, size - 2);

    switch (data[0] % 5) {

    case 0:
        fuzz_range(v, data[1] & 1 ? (uint64_t) data[1] << 40 : data[1]);
        break;

    case 1:
        fuzz_date(v);
        break;

    case 2:
        fuzz_numbers(v);
        break;

    case 3:
        fuzz_conditions(v, data[1]);
        break;

    default:
        (void) s3_iso_time_parse(v, &ms);
    }

    return 0;
}
