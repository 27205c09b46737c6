#include "s3_auth_fault.h"

#pragma GCC visibility push(hidden)

/* Beyond this, what a message quotes is cut. */

#define S3_AUTH_MAX_QUOTE 64

/* What "%.*s" takes to quote s. */

#define s3_auth_quote(s)                               \
    (int) s3_min((s).len, (size_t) S3_AUTH_MAX_QUOTE), \
        (s).data ? (const char *) (s).data : ""

#define S3_AUTH_QUERY S3_ERR_AUTHORIZATION_QUERY_PARAMETERS_ERROR
#define S3_AUTH_HEADER_FAULT S3_ERR_AUTHORIZATION_HEADER_MALFORMED


/* A reason about the credential, in words that fit both mechanisms. */

static void
s3_auth_fault_credential(s3_fault_t *f, int presigned, s3_str_t bad,
                         s3_sigv4_reason_t reason)
{
    s3_err_t err;
    const char *intro;

    err = presigned ? S3_AUTH_QUERY : S3_AUTH_HEADER_FAULT;
    intro = presigned ? "Error parsing the X-Amz-Credential parameter"
                      : "The authorization header is malformed";

    switch (reason) {

    case S3_SIGV4_SERVICE:
        (void) s3_faultf(f, err,
                         "%s; incorrect service \"%.*s\". This endpoint "
                         "belongs to \"s3\".",
                         intro, s3_auth_quote(bad));
        break;

    case S3_SIGV4_TERMINAL:
        (void) s3_faultf(f, err,
                         "%s; incorrect terminal \"%.*s\". This endpoint uses "
                         "\"aws4_request\".",
                         intro, s3_auth_quote(bad));
        break;

    case S3_SIGV4_CREDENTIAL_DATE:
        (void) s3_faultf(f, err,
                         "%s; incorrect date format \"%.*s\". This date in "
                         "the credential must be in the format \"yyyyMMdd\".",
                         intro, s3_auth_quote(bad));
        break;

    default:
        (void) s3_faultf(f, err,
                         "%s; the Credential is mal-formed; expecting "
                         "\"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/"
                         "aws4_request\".",
                         intro);
        break;
    }
}


static void
s3_auth_fault_header(s3_fault_t *f, s3_str_t bad, s3_sigv4_reason_t reason)
{
    const char *text;

    switch (reason) {

    case S3_SIGV4_SPACE:
        (void) s3_fault_arg(f,
                            "Authorization header is invalid -- one and only "
                            "one ' ' (space) required.",
                            "Authorization", bad);
        return;

    case S3_SIGV4_V4A:
    case S3_SIGV4_SCHEME:
        (void) s3_fault_arg(f, "Unsupported Authorization Type",
                            "Authorization", bad);
        return;

    case S3_SIGV4_COMPONENT:
        (void) s3_faultf(f, S3_AUTH_HEADER_FAULT,
                         "The authorization header is malformed; the "
                         "authorization component \"%.*s\" is malformed.",
                         s3_auth_quote(bad));
        return;

    case S3_SIGV4_COMPONENTS:
        text = "The authorization header is malformed; the authorization "
               "header requires three components: Credential, "
               "SignedHeaders, and Signature.";
        break;

    case S3_SIGV4_NO_CREDENTIAL:
        text = "The authorization header is malformed; missing Credential.";
        break;

    case S3_SIGV4_NO_SIGNED_HEADERS:
        text = "The authorization header is malformed; missing "
               "SignedHeaders.";
        break;

    case S3_SIGV4_NO_SIGNATURE:
        text = "The authorization header is malformed; missing Signature.";
        break;

    default:
        s3_auth_fault_credential(f, 0, bad, reason);
        return;
    }

    (void) s3_fault(f, S3_AUTH_HEADER_FAULT, text);
}


static void
s3_auth_fault_query(s3_fault_t *f, s3_str_t bad, s3_sigv4_reason_t reason)
{
    const char *text;

    switch (reason) {

    case S3_SIGV4_PARAMETER:
        text = "Query-string authentication version 4 requires the "
               "X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, "
               "X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires "
               "parameters.";
        break;

    case S3_SIGV4_V4A:
        text = "X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256\"";
        break;

    case S3_SIGV4_SCHEME:
        text = "X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256 and "
               "AWS4-ECDSA-P256-SHA256\"";
        break;

    case S3_SIGV4_DATE:
        text = "X-Amz-Date must be in the ISO8601 Long Format "
               "\"yyyyMMdd'T'HHmmss'Z'\"";
        break;

    case S3_SIGV4_EXPIRES:
        text = "X-Amz-Expires should be a number";
        break;

    case S3_SIGV4_EXPIRES_NEGATIVE:
        text = "X-Amz-Expires must be non-negative";
        break;

    case S3_SIGV4_EXPIRES_TOO_LONG:
        text = "X-Amz-Expires must be less than a week (in seconds); that "
               "is, the given X-Amz-Expires must be less than 604800 "
               "seconds";
        break;

    default:
        s3_auth_fault_credential(f, 1, bad, reason);
        return;
    }

    (void) s3_fault(f, S3_AUTH_QUERY, text);
}


void
s3_auth_fault(s3_fault_t *f, int presigned, const s3_sigv4_auth_t *a,
              s3_sigv4_reason_t reason)
{
    if (reason == S3_SIGV4_V2) {
        (void) s3_fault(f, S3_ERR_INVALID_REQUEST,
                        "The authorization mechanism you have provided is not "
                        "supported. Please use AWS4-HMAC-SHA256.");

    } else if (presigned) {
        s3_auth_fault_query(f, a->bad, reason);

    } else {
        s3_auth_fault_header(f, a->bad, reason);
    }
}


void
s3_auth_fault_region(s3_fault_t *f, int presigned, s3_str_t got, s3_str_t want)
{
    (void) s3_faultf(f, presigned ? S3_AUTH_QUERY : S3_AUTH_HEADER_FAULT,
                     "%s; the region \"%.*s\" is wrong; expecting \"%.*s\"",
                     presigned ? "Error parsing the X-Amz-Credential parameter"
                               : "The authorization header is malformed",
                     s3_auth_quote(got), s3_auth_quote(want));
    s3_fault_add(f, "Region", want);
}


void
s3_auth_fault_day(s3_fault_t *f, int presigned, s3_str_t got, s3_str_t want)
{
    if (presigned) {
        (void) s3_faultf(f, S3_AUTH_QUERY,
                         "Invalid credential date \"%.*s\". This date is not "
                         "the same as X-Amz-Date: \"%.*s\".",
                         s3_auth_quote(got), s3_auth_quote(want));

    } else {
        (void) s3_fault(f, S3_AUTH_HEADER_FAULT,
                        "The authorization header is malformed; The "
                        "authorization header is malformed; Invalid "
                        "credential date. Date is not the same as "
                        "X-Amz-Date.");
    }
}


s3_str_t
s3_auth_fault_time(uint8_t dst[S3_AUTH_TIME_LEN], int64_t sec)
{
    uint8_t d[S3_SIGV4_DATE_LEN];

    s3_sigv4_format_date(d, sec);

    memcpy(dst, d, 4);
    dst[4] = '-';
    memcpy(dst + 5, d + 4, 2);
    dst[7] = '-';
    memcpy(dst + 8, d + 6, 5);
    dst[13] = ':';
    memcpy(dst + 14, d + 11, 2);
    dst[16] = ':';
    memcpy(dst + 17, d + 13, 3);

    return s3_str(dst, S3_AUTH_TIME_LEN);
}


s3_str_t
s3_auth_fault_bytes(uint8_t *dst, s3_str_t s)
{
    size_t i;

    for (i = 0; i < s.len; i++) {
        s3_hex(dst + 3 * i, s.data + i, 1);
        dst[3 * i + 2] = ' ';
    }

    return s3_str(dst, s.len ? 3 * s.len - 1 : 0);
}

#pragma GCC visibility pop
