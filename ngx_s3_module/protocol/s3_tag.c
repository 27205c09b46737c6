#include "s3_tag.h"

#include "s3_uri.h"

#pragma GCC visibility push(hidden)

/*
 * What beyond ASCII is not a letter, a digit or a space.  Not the whole
 * Unicode table: the blocks of controls, punctuation, symbols, private use
 * and pictographs, so that text in any script passes and the rest does not.
 * Both ends belong to the range.
 */

static const struct {
    uint32_t first;
    uint32_t last;
} s3_tag_refused[] = {
    {0x0080, 0x009f},   {0x00a1, 0x00a9},    {0x00ab, 0x00b1},
    {0x00b4, 0x00b4},   {0x00b6, 0x00b8},    {0x00bb, 0x00bb},
    {0x00bf, 0x00bf},   {0x00d7, 0x00d7},    {0x00f7, 0x00f7},
    {0x200b, 0x2027},   {0x202a, 0x202e},    {0x2030, 0x205e},
    {0x2060, 0x206f},   {0x207a, 0x207e},    {0x208a, 0x208e},
    {0x20a0, 0x20ff},   {0x2190, 0x245f},    {0x249c, 0x24e9},
    {0x2500, 0x2775},   {0x2794, 0x2bff},    {0x2e00, 0x2e2e},
    {0x2e30, 0x2fff},   {0x3001, 0x3004},    {0x3008, 0x3020},
    {0xe000, 0xf8ff},   {0xfe00, 0xfe6f},    {0xff01, 0xff0f},
    {0xff1a, 0xff20},   {0xfff0, 0xffff},    {0x1f000, 0x1f0ff},
    {0x1f110, 0x1faff}, {0xe0000, 0x10ffff},
};


/* Decodes one character of valid UTF-8; returns its length, 0 on error. */

static size_t
s3_tag_char(s3_str_t s, size_t i, uint32_t *c)
{
    size_t len, k;
    uint8_t b;

    b = s.data[i];
    len = b < 0x80 ? 1 : b < 0xc0 ? 0 : b < 0xe0 ? 2 : b < 0xf0 ? 3 : 4;

    if (len == 0 || len > s.len - i) {
        return 0;
    }

    *c = len == 1 ? b : b & (0x7fu >> len);

    for (k = 1; k < len; k++) {
        *c = *c << 6 | (s.data[i + k] & 0x3f);
    }

    return len;
}


static int
s3_tag_allowed(uint32_t c)
{
    size_t i;

    if (c < 0x80) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
               || (c >= '0' && c <= '9')
               || (c != 0 && strchr(" +-=._:/@", (int) c) != NULL);
    }

    for (i = 0; i < sizeof(s3_tag_refused) / sizeof(s3_tag_refused[0]); i++) {
        if (c >= s3_tag_refused[i].first && c <= s3_tag_refused[i].last) {
            return 0;
        }
    }

    return 1;
}


/* At most max characters, all allowed. */

static int
s3_tag_text(s3_str_t s, size_t max)
{
    size_t i, n, len;
    uint32_t c;

    if (s.len == 0) {
        return 1;
    }

    if (s.len > max * 4 || !s3_utf8_valid(s)) {
        return 0;
    }

    for (i = 0, n = 0; i < s.len; i += len, n++) {
        len = s3_tag_char(s, i, &c);

        if (len == 0 || n == max || !s3_tag_allowed(c)) {
            return 0;
        }
    }

    return 1;
}


static s3_err_t
s3_tag_fault(s3_fault_t *f, const char *message, s3_str_t key,
             const s3_str_t *value)
{
    s3_fault(f, S3_ERR_INVALID_TAG, message);
    s3_fault_add(f, "TagKey", key);

    if (value != NULL) {
        s3_fault_add(f, "TagValue", *value);
    }

    return S3_ERR_INVALID_TAG;
}


s3_err_t
s3_tag_check(const s3_tag_t *tag, s3_fault_t *f)
{
    static const char aws[] = "aws:";
    size_t i;

    if (tag->key.len == 0 || !s3_tag_text(tag->key, S3_TAG_KEY_MAX)) {
        return s3_tag_fault(f, "The TagKey you have provided is invalid",
                            tag->key, NULL);
    }

    if (!s3_tag_text(tag->value, S3_TAG_VALUE_MAX)) {
        return s3_tag_fault(f, "The TagValue you have provided is invalid",
                            tag->key, &tag->value);
    }

    for (i = 0; i < 4 && i < tag->key.len; i++) {
        if ((tag->key.data[i] | (i < 3 ? 0x20 : 0)) != (uint8_t) aws[i]) {
            return S3_ERR_NONE;
        }
    }

    if (i < 4) {
        return S3_ERR_NONE;
    }

    return s3_tag_fault(f, "System tags cannot be added/updated by requester",
                        tag->key, NULL);
}


s3_err_t
s3_tags_check(const s3_tag_t *tags, size_t n, size_t limit, s3_fault_t *f)
{
    size_t i, k;
    s3_err_t err;

    if (n > limit) {
        return s3_fault(f, S3_ERR_BAD_REQUEST,
                        limit == S3_TAGS_BUCKET
                            ? "Bucket tag count cannot be greater than 50"
                            : "Object tags cannot be greater than 10");
    }

    for (i = 0; i < n; i++) {
        err = s3_tag_check(&tags[i], f);

        if (err != S3_ERR_NONE) {
            return err;
        }

        for (k = 0; k < i; k++) {
            if (s3_str_eq(tags[i].key, tags[k].key)) {
                return s3_tag_fault(
                    f, "Cannot provide multiple Tags with the same key",
                    tags[i].key, NULL);
            }
        }
    }

    return S3_ERR_NONE;
}


static s3_err_t
s3_tags_encoding(s3_fault_t *f, s3_str_t header)
{
    return s3_fault_arg(f,
                        "The header 'x-amz-tagging' shall be encoded as UTF-8 "
                        "then URLEncoded URL query parameters without tag "
                        "name duplicates.",
                        "x-amz-tagging", header);
}


s3_err_t
s3_tags_parse(s3_str_t header, uint8_t *buf, s3_tag_t tags[S3_TAGS_OBJECT],
              size_t *n, s3_fault_t *f)
{
    size_t i, from, k, used;
    int64_t kl, vl;
    s3_str_t one, value;
    const uint8_t *eq;
    s3_tag_t *t;
    s3_err_t err;

    *n = 0;

    for (i = 0, from = 0, used = 0; i <= header.len; i++) {
        if (i < header.len && header.data[i] != '&') {
            continue;
        }

        one = header.len ? s3_str(header.data + from, i - from) : s3_null_str;
        from = i + 1;

        if (one.len == 0) {
            continue;
        }

        if (*n == S3_TAGS_OBJECT) {
            return s3_tags_check(tags, S3_TAGS_OBJECT + 1, S3_TAGS_OBJECT, f);
        }

        eq = memchr(one.data, '=', one.len);
        value = s3_str(one.data + one.len, 0);

        if (eq != NULL) {
            value = s3_str(eq + 1, (size_t) (one.data + one.len - eq - 1));
            one.len = (size_t) (eq - one.data);
        }

        kl = s3_uri_decode(buf + used, one, S3_URI_PLUS);

        if (kl <= 0) {
            return s3_tags_encoding(f, header);
        }

        t = &tags[*n];
        t->key = s3_str(buf + used, (size_t) kl);
        used += (size_t) kl;

        vl = s3_uri_decode(buf + used, value, S3_URI_PLUS);

        if (vl < 0) {
            return s3_tags_encoding(f, header);
        }

        t->value = s3_str(buf + used, (size_t) vl);
        used += (size_t) vl;

        err = s3_tag_check(t, f);

        if (err != S3_ERR_NONE) {
            return err;
        }

        for (k = 0; k < *n; k++) {
            if (s3_str_eq(t->key, tags[k].key)) {
                return s3_tags_encoding(f, header);
            }
        }

        (*n)++;
    }

    return S3_ERR_NONE;
}

#pragma GCC visibility pop
