#include "s3_route.h"

#pragma GCC visibility push(hidden)


int
s3_host_bucket(s3_str_t host, const s3_str_t *domains, size_t n,
               s3_str_t *bucket)
{
    size_t i, best;
    const s3_str_t *d;

    *bucket = s3_null_str;

    /* the port; an IPv6 literal ends with a bracket and fits no domain */

    for (i = host.len; i > 0; i--) {
        if (host.data[i - 1] == ':') {
            host.len = i - 1;
            break;
        }

        if (host.data[i - 1] < '0' || host.data[i - 1] > '9') {
            break;
        }
    }

    if (host.len != 0 && host.data[host.len - 1] == '.') {
        host.len--;
    }

    for (i = 0, best = 0; i < n; i++) {
        d = &domains[i];

        if (d->len == 0 || d->len > host.len
            || !s3_str_caseeq(s3_str(host.data + host.len - d->len, d->len),
                              *d))
        {
            continue;
        }

        if (d->len == host.len) {
            *bucket = s3_null_str;
            return S3_ENOENT;
        }

        if (d->len > best && host.len >= d->len + 2
            && host.data[host.len - d->len - 1] == '.')
        {
            best = d->len;
            *bucket = s3_str(host.data, host.len - d->len - 1);
        }
    }

    return best ? S3_OK : S3_ENOENT;
}


/* Four groups of one to three digits, whatever their value. */

static int
s3_name_ipv4(s3_str_t s)
{
    size_t i;
    unsigned int dots, digits;

    for (i = 0, dots = 0, digits = 0; i < s.len; i++) {
        if (s.data[i] == '.') {
            if (digits == 0) {
                return 0;
            }

            dots++;
            digits = 0;

        } else if (s.data[i] >= '0' && s.data[i] <= '9') {
            if (++digits > 3) {
                return 0;
            }

        } else {
            return 0;
        }
    }

    return dots == 3 && digits != 0;
}


int
s3_bucket_name_valid(s3_str_t s)
{
    size_t i;
    uint8_t c, prev;

    if (s.len < 3 || s.len > 63) {
        return 0;
    }

    for (i = 0, prev = '.'; i < s.len; i++) {
        c = s.data[i];

        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) {
            /* void */

        } else if (c == '.') {
            /* every label is one of DNS: not empty, no hyphen at its end */
            if (prev == '.' || prev == '-') {
                return 0;
            }

        } else if (c == '-') {
            if (prev == '.') {
                return 0;
            }

        } else {
            return 0;
        }

        prev = c;
    }

    return prev != '.' && prev != '-' && !s3_name_ipv4(s);
}


static int
s3_name_affix(s3_str_t s, const char *affix, int suffix)
{
    size_t n = strlen(affix);

    return s.len >= n
           && memcmp(s.data + (suffix ? s.len - n : 0), affix, n) == 0;
}


int
s3_bucket_name_reserved(s3_str_t s)
{
    return s3_name_affix(s, "xn--", 0) || s3_name_affix(s, "sthree-", 0)
           || s3_name_affix(s, "amzn-s3-demo-", 0)
           || s3_name_affix(s, "-s3alias", 1) || s3_name_affix(s, "--ol-s3", 1)
           || s3_name_affix(s, ".mrap", 1) || s3_name_affix(s, "--x-s3", 1)
           || s3_name_affix(s, "--xa-s3", 1)
           || s3_name_affix(s, "--table-s3", 1);
}


/* Do the ".." segments, read from the left, ever leave the bucket? */

static int
s3_key_escapes(s3_str_t key)
{
    size_t i, from;
    long depth;
    s3_str_t seg;

    for (i = 0, from = 0, depth = 0; i <= key.len; i++) {
        if (i < key.len && key.data[i] != '/') {
            continue;
        }

        seg = s3_str(key.data + from, i - from);
        from = i + 1;

        if (s3_str_eq(seg, s3_string(".."))) {
            if (--depth < 0) {
                return 1;
            }

        } else if (seg.len != 0 && !s3_str_eq(seg, s3_string("."))) {
            depth++;
        }
    }

    return 0;
}


s3_err_t
s3_key_check(s3_str_t key, s3_fault_t *f)
{
    if (key.len > S3_KEY_MAX) {
        s3_fault(f, S3_ERR_KEY_TOO_LONG_ERROR, NULL);
        s3_fault_add_u64(f, "Size", key.len);
        s3_fault_add_u64(f, "MaxSizeAllowed", S3_KEY_MAX);
        return S3_ERR_KEY_TOO_LONG_ERROR;
    }

    if (key.len == 0 || memchr(key.data, '\0', key.len) != NULL
        || !s3_utf8_valid(key) || s3_key_escapes(key))
    {
        return s3_fault(f, S3_ERR_INVALID_URI, NULL);
    }

    return S3_ERR_NONE;
}


static s3_err_t
s3_copy_source_fault(s3_fault_t *f, const char *message, s3_str_t header)
{
    return s3_fault_arg(f, message, "x-amz-copy-source", header);
}


s3_err_t
s3_copy_source_parse(s3_copy_source_t *cs, s3_str_t header, uint8_t *buf,
                     s3_fault_t *f)
{
    static const char mark[] = "?versionId=";
    const size_t mlen = sizeof(mark) - 1;
    s3_str_t name, version, path;
    const uint8_t *slash;
    int64_t n, vn;
    size_t i;

    memset(cs, 0, sizeof(*cs));

    name = header;
    version = s3_null_str;

    for (i = header.len; i >= mlen; i--) {
        if (memcmp(header.data + i - mlen, mark, mlen) == 0) {
            name.len = i - mlen;
            version = s3_str(header.data + i, header.len - i);
            break;
        }
    }

    n = s3_uri_decode(buf, name, S3_URI_PLUS);

    if (n < 0) {
        return s3_copy_source_fault(f, "Invalid copy source encoding", header);
    }

    path = s3_str(buf, (size_t) n);

    if (version.data != NULL) {
        vn = s3_uri_decode(buf + n, version, S3_URI_PLUS);

        if (vn < 0) {
            return s3_copy_source_fault(f, "Invalid copy source encoding",
                                        header);
        }

        cs->version_id = s3_str(buf + n, (size_t) vn);
    }

    if (path.len != 0 && path.data[0] == '/') {
        path.data++;
        path.len--;
    }

    slash = path.len ? memchr(path.data, '/', path.len) : NULL;

    cs->bucket = path;

    if (slash != NULL) {
        cs->bucket.len = (size_t) (slash - path.data);
        cs->key = s3_str(slash + 1, path.len - cs->bucket.len - 1);
    }

    if (!s3_bucket_name_valid(cs->bucket)) {
        return s3_copy_source_fault(f, "Invalid copy source bucket name",
                                    header);
    }

    if (cs->key.len == 0 || s3_key_check(cs->key, NULL) != S3_ERR_NONE) {
        return s3_copy_source_fault(f, "Invalid copy source object key",
                                    header);
    }

    return S3_ERR_NONE;
}

#pragma GCC visibility pop
