#include "s3_http.h"

#include "s3_xml_out.h"

#pragma GCC visibility push(hidden)

static const char s3_months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
static const char s3_weekdays[] = "ThuFriSatSunMonTueWed";


/*
 * The three forms by their patterns, after the name of the day:
 *
 *     IMF-fixdate   Sun, 06 Nov 1994 08:49:37 GMT
 *     RFC 850       Sunday, 06-Nov-94 08:49:37 GMT
 *     asctime       Sun Nov  6 08:49:37 1994
 *
 * In a pattern D, Y, h, m, s are digits of day, year and time (D also a
 * blank in front), N the three letters of a month; all else is itself.
 */

typedef struct {
    unsigned int year, mon, day, hour, min, sec;
} s3_http_tm_t;


static int
s3_date_digit(unsigned int *v, uint8_t c)
{
    if (c < '0' || c > '9') {
        return S3_EINVAL;
    }

    *v = *v * 10 + (c - '0');

    return S3_OK;
}


static int
s3_date_month(s3_http_tm_t *t, const uint8_t *p)
{
    unsigned int i;

    for (i = 0; i < 12; i++) {
        if (memcmp(p, s3_months + i * 3, 3) == 0) {
            t->mon = i + 1;
            return S3_OK;
        }
    }

    return S3_EINVAL;
}


static int
s3_date_match(s3_str_t s, const char *pattern, s3_http_tm_t *t)
{
    size_t i;
    int rc;

    memset(t, 0, sizeof(*t));

    if (s.len != strlen(pattern)) {
        return S3_EINVAL;
    }

    for (i = 0; i < s.len; i++) {
        rc = S3_OK;

        switch (pattern[i]) {

        case 'D':
            if (s.data[i] != ' ' || t->day != 0) {
                rc = s3_date_digit(&t->day, s.data[i]);
            }

            break;

        case 'Y':
            rc = s3_date_digit(&t->year, s.data[i]);
            break;

        case 'h':
            rc = s3_date_digit(&t->hour, s.data[i]);
            break;

        case 'm':
            rc = s3_date_digit(&t->min, s.data[i]);
            break;

        case 's':
            rc = s3_date_digit(&t->sec, s.data[i]);
            break;

        case 'N':
            /* the pattern has three of them, and the lengths are equal */
            rc = s3_date_month(t, s.data + i);
            i += 2;
            break;

        default:
            rc = s.data[i] == (uint8_t) pattern[i] ? S3_OK : S3_EINVAL;
        }

        if (rc != S3_OK) {
            return rc;
        }
    }

    return S3_OK;
}


int
s3_http_date_parse(s3_str_t s, int64_t *sec)
{
    static const uint8_t days[] = {31, 29, 31, 30, 31, 30,
                                   31, 31, 30, 31, 30, 31};
    const uint8_t *comma;
    s3_http_tm_t t;
    s3_str_t rest;
    int64_t ms;

    if (s.data == NULL) {
        return S3_EINVAL;
    }

    while (s.len && s.data[0] == ' ') {
        s.data++;
        s.len--;
    }

    while (s.len && s.data[s.len - 1] == ' ') {
        s.len--;
    }

    if (s3_iso_time_parse(s, &ms) == S3_OK) {
        *sec = ms >= 0 ? ms / 1000 : -((999 - ms) / 1000);
        return S3_OK;
    }

    comma = s.len ? memchr(s.data, ',', s.len) : NULL;

    if (comma != NULL) {
        rest = s3_str(comma + 1, (size_t) (s.data + s.len - comma - 1));

        if (s3_date_match(rest, " DD NNN YYYY hh:mm:ss GMT", &t) != S3_OK) {
            if (s3_date_match(rest, " DD-NNN-YY hh:mm:ss GMT", &t) != S3_OK) {
                return S3_EINVAL;
            }

            /* RFC 9110, 5.6.7, with a fixed window instead of a clock */
            t.year += t.year < 70 ? 2000 : 1900;
        }

    } else {
        if (s.len < 3
            || s3_date_match(s3_str(s.data + 3, s.len - 3),
                             " NNN DD hh:mm:ss YYYY", &t)
                   != S3_OK)
        {
            return S3_EINVAL;
        }
    }

    if (t.day < 1 || t.day > days[t.mon - 1] || t.hour > 23 || t.min > 59
        || t.sec > 60)
    {
        return S3_EINVAL;
    }

    *sec = s3_days_from_civil(t.year, t.mon, t.day) * 86400
           + (int64_t) t.hour * 3600 + t.min * 60 + t.sec;

    return S3_OK;
}


static char *
s3_date_put(char *p, unsigned int v, unsigned int width)
{
    unsigned int i;

    for (i = width; i > 0; i--, v /= 10) {
        p[i - 1] = (char) ('0' + v % 10);
    }

    return p + width;
}


void
s3_http_date(int64_t sec, char buf[S3_HTTP_DATE_LEN + 1])
{
    int64_t days, rest, year;
    unsigned int mon, day;
    char *p;

    sec = s3_max(sec, -62167219200LL);
    sec = s3_min(sec, 253402300799LL);

    days = sec / 86400;
    rest = sec % 86400;

    if (rest < 0) {
        rest += 86400;
        days--;
    }

    s3_civil_from_days(days, &year, &mon, &day);

    p = buf;
    memcpy(p, s3_weekdays + ((days % 7 + 7) % 7) * 3, 3);
    p += 3;
    *p++ = ',';
    *p++ = ' ';
    p = s3_date_put(p, day, 2);
    *p++ = ' ';
    memcpy(p, s3_months + (mon - 1) * 3, 3);
    p += 3;
    *p++ = ' ';
    p = s3_date_put(p, (unsigned int) year, 4);
    *p++ = ' ';
    p = s3_date_put(p, (unsigned int) (rest / 3600), 2);
    *p++ = ':';
    p = s3_date_put(p, (unsigned int) (rest / 60 % 60), 2);
    *p++ = ':';
    p = s3_date_put(p, (unsigned int) (rest % 60), 2);
    memcpy(p, " GMT", 5);
}

#pragma GCC visibility pop
