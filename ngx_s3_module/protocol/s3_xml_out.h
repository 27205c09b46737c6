/*
 * Writing XML documents: a growing, bounded buffer and helpers for elements.
 *
 * Errors are sticky: after the first (S3_ENOMEM: no memory; S3_ENOSPC: over
 * the limit) every call is without effect, and the writer asks s3_xml_rc()
 * once, at the end.  Nothing is inserted for looks: no newline but the one
 * after the XML declaration, since the JavaScript SDK looks for "</Error>" as
 * the very last bytes of a body.
 *
 * Text is escaped so that the document stays well-formed whatever the bytes
 * are (XML 1.0, 2.2 and 2.11): & < > " become entities, CR becomes &#13;,
 * characters that XML 1.0 cannot carry and bytes that are not UTF-8 become
 * U+FFFD.  A client that has such keys asks for encoding-type=url, which
 * the s3_xml_key() family obeys.
 */

#ifndef S3_XML_OUT_H
#define S3_XML_OUT_H

#include "storage/s3_core.h"

#pragma GCC visibility push(hidden)

#define S3_XML_NS "http://s3.amazonaws.com/doc/2006-03-01/"
#define S3_XML_DECL "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"

/* The largest document that a full page of keys makes stays below this. */

#define S3_XML_LIMIT (32 * 1024 * 1024)

typedef struct {
    uint8_t *data; /* malloc'd, owned; NULL while empty */
    size_t len;
    size_t cap;
    size_t limit;
    int rc;  /* S3_OK or the first error */
    int url; /* the keys are percent-encoded (encoding-type=url) */
} s3_xml_t;

/* limit bounds len; init allocates nothing; free may be called twice. */

void s3_xml_init(s3_xml_t *x, size_t limit);
void s3_xml_free(s3_xml_t *x);

/* S3_OK or the first error. */

int s3_xml_rc(const s3_xml_t *x);

/* Bytes as they are. */

void s3_xml_raw(s3_xml_t *x, s3_str_t s);

static inline void
s3_xml_lit(s3_xml_t *x, const char *s)
{
    s3_xml_raw(x, s3_str(s, strlen(s)));
}

/* Room for n more bytes, which the caller writes and adds to len; NULL after
 * an error. */

uint8_t *s3_xml_room(s3_xml_t *x, size_t n);

/* Decimal, at most S3_XML_DIGITS bytes; where they end. */

#define S3_XML_DIGITS 20

uint8_t *s3_xml_digits(uint8_t *p, uint64_t value);

/* Escaped text without an element around it. */

void s3_xml_text(s3_xml_t *x, s3_str_t s);

/*
 * The declaration and the root with the S3 namespace; a tag; its end; an
 * element without content as AWS sends it ("<Name/>").
 */

void s3_xml_root(s3_xml_t *x, const char *name);
void s3_xml_open(s3_xml_t *x, const char *name);
void s3_xml_close(s3_xml_t *x, const char *name);
void s3_xml_empty(s3_xml_t *x, const char *name);

/*
 * <name>value</name>.  An empty value makes "<name></name>" or "<name/>",
 * which is one thing to a parser; _opt writes nothing when data is NULL.
 * Times are milliseconds since the epoch ("2006-02-03T16:45:09.000Z"); AWS
 * sends whole seconds for objects, so that LIST and HEAD agree.  An ETag is
 * given without quotes and comes out as &quot;...&quot;.
 */

void s3_xml_str(s3_xml_t *x, const char *name, s3_str_t value);
void s3_xml_str_opt(s3_xml_t *x, const char *name, s3_str_t value);
void s3_xml_cstr(s3_xml_t *x, const char *name, const char *value);
void s3_xml_u64(s3_xml_t *x, const char *name, uint64_t value);
void s3_xml_bool(s3_xml_t *x, const char *name, int value);
void s3_xml_time(s3_xml_t *x, const char *name, int64_t ms);
void s3_xml_etag(s3_xml_t *x, const char *name, s3_str_t etag);

/* Keys, prefixes, delimiters and markers: percent-encoded when x->url. */

void s3_xml_key(s3_xml_t *x, const char *name, s3_str_t value);
void s3_xml_key_opt(s3_xml_t *x, const char *name, s3_str_t value);

/*
 * An ISO 8601 time in UTC with milliseconds and its NUL; years outside 0 to
 * 9999 are clamped.
 */

#define S3_ISO_TIME_LEN 24

void s3_iso_time(int64_t ms, char buf[S3_ISO_TIME_LEN + 1]);

/* The other way; fractions and "Z" are optional.  S3_OK or S3_EINVAL. */

int s3_iso_time_parse(s3_str_t s, int64_t *ms);

/*
 * Calendar arithmetic of the proleptic Gregorian calendar (Hinnant, "chrono-
 * Compatible Low-Level Date Algorithms"): days since 1970-01-01.
 */

int64_t s3_days_from_civil(int64_t year, unsigned int mon, unsigned int day);
void s3_civil_from_days(int64_t days, int64_t *year, unsigned int *mon,
                        unsigned int *day);

#pragma GCC visibility pop

#endif /* S3_XML_OUT_H */
