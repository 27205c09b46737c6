/*
 * An answer, piece by piece: status, the length of the body, the body itself
 * where it is looked at.
 */

#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>


#define KEEP_MAX (64u << 20) /* the longest body that is looked at */


static const char *
field(const char *header, const char *name)
{
    const char *p = header;
    size_t n = strlen(name);

    while ((p = strchr(p, '\n')) != NULL) {
        p++;

        if (strncasecmp(p, name, n) == 0 && p[n] == ':') {
            p += n + 1;
            return p + strspn(p, " ");
        }
    }

    return NULL;
}


static int
parse_header(load_answer_t *a)
{
    const char *p;

    if (strncmp(a->header, "HTTP/1.", 7) != 0) {
        return -1;
    }

    a->status = atoi(a->header + 9);
    p = field(a->header, "Content-Length");
    a->length = p ? strtoll(p, NULL, 10) : -1;
    p = field(a->header, "Transfer-Encoding");
    a->chunked = p && strncasecmp(p, "chunked", 7) == 0;
    p = field(a->header, "Connection");
    a->closing = p && strncasecmp(p, "close", 5) == 0;
    a->has_header = 1;

    if (a->status == 204 || a->status == 304 || a->no_body) {
        a->chunked = 0;
        a->left = 0;

    } else if (a->chunked) {
        a->left = 0;

    } else if (a->length < 0) {
        return -1;

    } else {
        a->left = (uint64_t) a->length;
    }

    return 0;
}


static void
keep(load_answer_t *a, const char *data, size_t len)
{
    if (a->nkept + len + 1 > a->room) {

        if (a->nkept + len > KEEP_MAX) {
            load_die("an answer is too long");
        }

        a->room = (a->nkept + len) * 2 + 4096;
        a->kept = realloc(a->kept, a->room);

        if (a->kept == NULL) {
            load_die("out of memory");
        }
    }

    memcpy(a->kept + a->nkept, data, len);
    a->nkept += len;
    a->kept[a->nkept] = 0;
}


/*
 * Bytes of a chunked body, kept raw; it ends with an empty chunk, and no
 * trailer.  The framing is taken out when all is there.
 */

static int
chunked_end(load_answer_t *a)
{
    return a->nkept >= 5 && memcmp(a->kept + a->nkept - 5, "0\r\n\r\n", 5) == 0
           && (a->nkept == 5 || a->kept[a->nkept - 6] == '\n');
}


static void
unchunk(load_answer_t *a)
{
    char *p = a->kept, *end = a->kept + a->nkept, *line;
    size_t n, to = 0;

    while (p < end) {
        n = strtoull(p, NULL, 16);
        line = memchr(p, '\n', (size_t) (end - p));

        if (line == NULL || n == 0 || n > (size_t) (end - line - 1)) {
            break;
        }

        memmove(a->kept + to, line + 1, n);
        to += n;
        p = line + 1 + n + 2;
    }

    a->nkept = to;
    a->length = (int64_t) to;
}


int
load_answer_body(load_answer_t *a, const char *data, size_t len)
{
    if (a->chunked) {
        keep(a, data, len);

        if (!chunked_end(a)) {
            return 0;
        }

        unchunk(a);

        return 1;
    }

    if (len > a->left) {
        return -1;
    }

    if (a->look || a->status != a->expected) {
        keep(a, data, len);
    }

    a->left -= len;

    return a->left == 0;
}


int
load_answer_header(load_answer_t *a, size_t n)
{
    char *body;

    a->received += n;
    a->header[a->received] = 0;
    body = strstr(a->header, "\r\n\r\n");

    if (body == NULL) {
        return a->received < LOAD_HEADER_MAX ? 0 : -1;
    }

    body += 4;
    n = a->received - (size_t) (body - a->header);

    if (parse_header(a) != 0) {
        return -1;
    }

    body[-2] = 0;

    return load_answer_body(a, body, n);
}


int64_t
load_answer_count(const load_answer_t *a, const char *what)
{
    const char *p = a->kept, *end = a->kept + a->nkept;
    size_t n = strlen(what);
    int64_t found = 0;

    while (p && (p = memmem(p, (size_t) (end - p), what, n)) != NULL) {
        p += n;
        found++;
    }

    return found;
}
