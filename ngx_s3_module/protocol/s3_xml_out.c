#include "s3_xml_out.h"

#include <stdlib.h>

#include "s3_uri.h"

#pragma GCC visibility push(hidden)

#define S3_XML_FIRST 4096


void
s3_xml_init(s3_xml_t *x, size_t limit)
{
    memset(x, 0, sizeof(*x));
    x->limit = limit;
}


void
s3_xml_free(s3_xml_t *x)
{
    free(x->data);
    x->data = NULL;
    x->len = 0;
    x->cap = 0;
}


int
s3_xml_rc(const s3_xml_t *x)
{
    return x->rc;
}


/* What does not fit: more memory, or NULL and the sticky error.  Pages of a
 * listing are large, and each growth may copy all: so there are few, and
 * what follows a large piece fits behind it. */

static uint8_t *
s3_xml_grow(s3_xml_t *x, size_t n)
{
    size_t cap;
    uint8_t *p;

    if (x->rc != S3_OK) {
        return NULL;
    }

    if (n > x->limit || x->len > x->limit - n) {
        x->rc = S3_ENOSPC;
        x->cap = x->len; /* no room for anything after it */
        return NULL;
    }

    cap = s3_max(x->cap * 4, x->len + n + S3_XML_FIRST);
    cap = s3_min(cap, x->limit);
    p = realloc(x->data, cap);

    if (p == NULL) {
        x->rc = S3_ENOMEM;
        x->cap = x->len;
        return NULL;
    }

    x->data = p;
    x->cap = cap;

    return x->data + x->len;
}


uint8_t *
s3_xml_room(s3_xml_t *x, size_t n)
{
    return n <= x->cap - x->len && x->data ? x->data + x->len
                                           : s3_xml_grow(x, n);
}


static uint8_t *
s3_xml_copy(uint8_t *p, const void *data, size_t n)
{
    if (n != 0) {
        memcpy(p, data, n);
    }

    return p + n;
}


void
s3_xml_raw(s3_xml_t *x, s3_str_t s)
{
    uint8_t *p;

    if (s.len == 0) {
        return;
    }

    p = s3_xml_room(x, s.len);

    if (p != NULL) {
        memcpy(p, s.data, s.len);
        x->len += s.len;
    }
}


/*
 * The length of the well-formed UTF-8 sequence at p that is a character of
 * XML 1.0, or 0.  RFC 3629, section 4; XML 1.0, production 2.
 */

static size_t
s3_xml_char(const uint8_t *p, size_t n)
{
    size_t i, len;
    uint32_t c;

    if (p[0] < 0x80) {
        return p[0] >= 0x20 || p[0] == '\t' || p[0] == '\n';
    }

    if (p[0] >= 0xc2 && p[0] <= 0xdf) {
        len = 2;
        c = p[0] & 0x1f;

    } else if (p[0] >= 0xe0 && p[0] <= 0xef) {
        len = 3;
        c = p[0] & 0x0f;

    } else if (p[0] >= 0xf0 && p[0] <= 0xf4) {
        len = 4;
        c = p[0] & 0x07;

    } else {
        return 0;
    }

    if (len > n) {
        return 0;
    }

    for (i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }

        c = c << 6 | (p[i] & 0x3f);
    }

    if ((len == 3 && c < 0x800) || (len == 4 && c < 0x10000) || c > 0x10ffff
        || (c >= 0xd800 && c <= 0xdfff) || c == 0xfffe || c == 0xffff)
    {
        return 0;
    }

    return len;
}


/* What stands for a byte that cannot stand for itself; NULL: it can. */

static const char *
s3_xml_escape(uint8_t c)
{
    switch (c) {

    case '&':
        return "&amp;";

    case '<':
        return "&lt;";

    case '>':
        return "&gt;";

    case '"':
        return "&quot;";

    case '\r':
        return "&#13;";

    default:
        return NULL;
    }
}


/* Bytes of ASCII that stand for themselves. */

static const uint8_t s3_xml_plain[256] = {
    ['\t'] = 1,         ['\n'] = 1, [' ' ... '!'] = 1,  ['#' ... '%'] = 1,
    ['\'' ... ';'] = 1, ['='] = 1,  ['?' ... 0x7f] = 1,
};


/*
 * Eight bytes of them at once, none of the control characters.  A byte of x is
 * less than n, for n up to 128, where subtracting n borrows into its top bit.
 */

#define S3_XML_EACH(n) (0x0101010101010101ULL * (n))


static uint64_t
s3_xml_less(uint64_t x, uint64_t n)
{
    return (x - S3_XML_EACH(n)) & ~x & S3_XML_EACH(0x80);
}


static int
s3_xml_plain_word(const uint8_t *p)
{
    uint64_t x, quote, angle;

    memcpy(&x, p, sizeof(x));

    /* '"' and '&' differ in one bit, and so do '<' and '>' */

    quote = (x & ~S3_XML_EACH(0x04)) ^ S3_XML_EACH('"');
    angle = (x & ~S3_XML_EACH(0x02)) ^ S3_XML_EACH('<');

    return ((x & S3_XML_EACH(0x80)) | s3_xml_less(x, 0x20)
            | s3_xml_less(quote, 1) | s3_xml_less(angle, 1))
           == 0;
}


static size_t
s3_xml_run(s3_str_t s, size_t i)
{
    while (i + 8 <= s.len && s3_xml_plain_word(s.data + i)) {
        i += 8;
    }

    while (i < s.len && s3_xml_plain[s.data[i]]) {
        i++;
    }

    return i;
}


void
s3_xml_text(s3_xml_t *x, s3_str_t s)
{
    size_t i, n, run;
    const char *esc;

    i = s3_xml_run(s, 0);

    for (run = 0; i < s.len; i = s3_xml_run(s, i + n)) {
        esc = s3_xml_escape(s.data[i]);
        n = 1;

        if (esc == NULL) {
            n = s3_xml_char(s.data + i, s.len - i);

            if (n != 0) {
                continue;
            }

            esc = "\xef\xbf\xbd";
            n = 1;
        }

        s3_xml_raw(x, s3_str(s.data + run, i - run));
        s3_xml_lit(x, esc);
        run = i + n;
    }

    if (s.len > run) {
        s3_xml_raw(x, s3_str(s.data + run, s.len - run));
    }
}


/* A tag: what comes before its name, and behind it. */

static void
s3_xml_tag(s3_xml_t *x, s3_str_t before, const char *name, s3_str_t after)
{
    size_t n = strlen(name);
    uint8_t *p = s3_xml_room(x, before.len + n + after.len);

    if (p != NULL) {
        p = s3_xml_copy(p, before.data, before.len);
        p = s3_xml_copy(p, name, n);
        p = s3_xml_copy(p, after.data, after.len);
        x->len = (size_t) (p - x->data);
    }
}


void
s3_xml_open(s3_xml_t *x, const char *name)
{
    s3_xml_tag(x, s3_string("<"), name, s3_string(">"));
}


void
s3_xml_close(s3_xml_t *x, const char *name)
{
    s3_xml_tag(x, s3_string("</"), name, s3_string(">"));
}


void
s3_xml_empty(s3_xml_t *x, const char *name)
{
    s3_xml_tag(x, s3_string("<"), name, s3_string("/>"));
}


void
s3_xml_root(s3_xml_t *x, const char *name)
{
    s3_xml_lit(x, S3_XML_DECL "<");
    s3_xml_lit(x, name);
    s3_xml_lit(x, " xmlns=\"" S3_XML_NS "\">");
}


void
s3_xml_str(s3_xml_t *x, const char *name, s3_str_t value)
{
    size_t n;
    uint8_t *p;

    if (value.len == 0) {
        s3_xml_empty(x, name);
        return;
    }

    if (s3_xml_run(value, 0) < value.len) {
        s3_xml_open(x, name);
        s3_xml_text(x, value);
        s3_xml_close(x, name);
        return;
    }

    n = strlen(name);
    p = s3_xml_room(x, 2 * n + value.len + sizeof("<></>") - 1);

    if (p != NULL) {
        *p++ = '<';
        p = s3_xml_copy(p, name, n);
        *p++ = '>';
        p = s3_xml_copy(p, value.data, value.len);
        *p++ = '<';
        *p++ = '/';
        p = s3_xml_copy(p, name, n);
        *p++ = '>';
        x->len = (size_t) (p - x->data);
    }
}


void
s3_xml_str_opt(s3_xml_t *x, const char *name, s3_str_t value)
{
    if (value.data != NULL) {
        s3_xml_str(x, name, value);
    }
}


void
s3_xml_cstr(s3_xml_t *x, const char *name, const char *value)
{
    s3_xml_str(x, name, s3_str(value, strlen(value)));
}


uint8_t *
s3_xml_digits(uint8_t *p, uint64_t value)
{
    uint8_t buf[S3_XML_DIGITS];
    size_t at = sizeof(buf);

    do {
        buf[--at] = (uint8_t) ('0' + value % 10);
        value /= 10;
    } while (value);

    return s3_xml_copy(p, buf + at, sizeof(buf) - at);
}


void
s3_xml_u64(s3_xml_t *x, const char *name, uint64_t value)
{
    uint8_t buf[S3_XML_DIGITS];

    s3_xml_str(x, name, s3_str(buf, s3_xml_digits(buf, value) - buf));
}


void
s3_xml_bool(s3_xml_t *x, const char *name, int value)
{
    s3_xml_cstr(x, name, value ? "true" : "false");
}


void
s3_xml_time(s3_xml_t *x, const char *name, int64_t ms)
{
    char buf[S3_ISO_TIME_LEN + 1];

    s3_iso_time(ms, buf);
    s3_xml_str(x, name, s3_str(buf, S3_ISO_TIME_LEN));
}


void
s3_xml_etag(s3_xml_t *x, const char *name, s3_str_t etag)
{
    s3_xml_open(x, name);
    s3_xml_lit(x, "&quot;");
    s3_xml_text(x, etag);
    s3_xml_lit(x, "&quot;");
    s3_xml_close(x, name);
}


void
s3_xml_key(s3_xml_t *x, const char *name, s3_str_t value)
{
    uint8_t *p;

    if (!x->url || value.len == 0) {
        s3_xml_str(x, name, value);
        return;
    }

    s3_xml_open(x, name);

    p = s3_xml_room(x, 3 * value.len);

    if (p != NULL) {
        x->len += s3_uri_encode(p, value, 1);
    }

    s3_xml_close(x, name);
}


void
s3_xml_key_opt(s3_xml_t *x, const char *name, s3_str_t value)
{
    if (value.data != NULL) {
        s3_xml_key(x, name, value);
    }
}


int64_t
s3_days_from_civil(int64_t year, unsigned int mon, unsigned int day)
{
    int64_t y, era, yoe, doy, doe;

    y = mon <= 2 ? year - 1 : year;
    era = (y >= 0 ? y : y - 399) / 400;
    yoe = y - era * 400;
    doy = (153 * ((int64_t) mon + (mon > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;

    return era * 146097 + doe - 719468;
}


void
s3_civil_from_days(int64_t days, int64_t *year, unsigned int *mon,
                   unsigned int *day)
{
    int64_t z, era, doe, yoe, doy, mp;

    z = days + 719468;
    era = (z >= 0 ? z : z - 146096) / 146097;
    doe = z - era * 146097;
    yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    mp = (5 * doy + 2) / 153;

    *day = (unsigned int) (doy - (153 * mp + 2) / 5 + 1);
    *mon = (unsigned int) (mp < 10 ? mp + 3 : mp - 9);
    *year = yoe + era * 400 + (*mon <= 2);
}


static void
s3_iso_pair(char *p, unsigned int value)
{
    p[0] = (char) ('0' + value / 10);
    p[1] = (char) ('0' + value % 10);
}


void
s3_iso_time(int64_t ms, char buf[S3_ISO_TIME_LEN + 1])
{
    int64_t days, year;
    unsigned int mon, day, rest;

    /* 0000-01-01 and 9999-12-31 */

    ms = s3_max(ms, -62167219200000LL);
    ms = s3_min(ms, 253402300799999LL);

    days = ms / 86400000;
    ms %= 86400000;

    if (ms < 0) {
        ms += 86400000;
        days--;
    }

    s3_civil_from_days(days, &year, &mon, &day);

    memcpy(buf, "0000-00-00T00:00:00.000Z", S3_ISO_TIME_LEN + 1);

    s3_iso_pair(buf, (unsigned int) year / 100);
    s3_iso_pair(buf + 2, (unsigned int) year % 100);
    s3_iso_pair(buf + 5, mon);
    s3_iso_pair(buf + 8, day);

    rest = (unsigned int) ms;

    s3_iso_pair(buf + 11, rest / 3600000);
    s3_iso_pair(buf + 14, rest / 60000 % 60);
    s3_iso_pair(buf + 17, rest / 1000 % 60);
    s3_iso_pair(buf + 20, rest / 10 % 100);
    buf[22] = (char) ('0' + rest % 10);
}


static int
s3_iso_digits(s3_str_t s, size_t at, size_t n, unsigned int *value)
{
    size_t i;

    *value = 0;

    for (i = at; i < at + n; i++) {
        if (i >= s.len || s.data[i] < '0' || s.data[i] > '9') {
            return S3_EINVAL;
        }

        *value = *value * 10 + (s.data[i] - '0');
    }

    return S3_OK;
}


int
s3_iso_time_parse(s3_str_t s, int64_t *ms)
{
    unsigned int y, mon, d, h, min, sec, frac, scale;
    size_t i;

    if (s3_iso_digits(s, 0, 4, &y) || s3_iso_digits(s, 5, 2, &mon)
        || s3_iso_digits(s, 8, 2, &d) || s3_iso_digits(s, 11, 2, &h)
        || s3_iso_digits(s, 14, 2, &min) || s3_iso_digits(s, 17, 2, &sec)
        || s.data[4] != '-' || s.data[7] != '-' || s.data[10] != 'T'
        || s.data[13] != ':' || s.data[16] != ':' || mon < 1 || mon > 12
        || d < 1 || d > 31 || h > 23 || min > 59 || sec > 60)
    {
        return S3_EINVAL;
    }

    i = 19;
    frac = 0;

    if (i < s.len && s.data[i] == '.') {
        for (i++, scale = 100; i < s.len; i++, scale /= 10) {
            if (s.data[i] < '0' || s.data[i] > '9') {
                break;
            }

            frac += scale * (s.data[i] - '0');
        }
    }

    if (i < s.len && s.data[i] == 'Z') {
        i++;
    }

    if (i != s.len) {
        return S3_EINVAL;
    }

    *ms = s3_days_from_civil(y, mon, d) * 86400000
          + ((int64_t) h * 3600 + min * 60 + sec) * 1000 + frac;

    return S3_OK;
}

#pragma GCC visibility pop
