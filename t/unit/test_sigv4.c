/*
 * protocol/s3_sigv4, s3_canonical, s3_auth: the examples of the Amazon S3
 * API reference, and every way to be refused.
 */

#include "s3_test.h"

#include "s3_auth.h"

#define S(lit) s3_str((lit), sizeof(lit) - 1)

#define AKID "AKIAIOSFODNN7EXAMPLE"
#define SECRET "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
#define SCOPE "20130524/us-east-1/s3/aws4_request"
#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define NOW 1369353600 /* 20130524T000000Z */

/* Authorization as an example has it, in two spellings. */

#define AUTH(names, sig)                                                  \
    "AWS4-HMAC-SHA256 Credential=" AKID "/" SCOPE ",SignedHeaders=" names \
    ",Signature=" sig
#define AUTH_SPACED(names, sig)                                \
    "AWS4-HMAC-SHA256 Signature=" sig ", SignedHeaders=" names \
    ",  Credential=" AKID "/" SCOPE

#define SIG64 "0000000000000000000000000000000000000000000000000000000000000000"


static void *chunks[64];
static int nchunks;
static s3_sigv4_cache_t *cache;
static s3_header_t headers[300];
static s3_auth_request_t req;
static s3_auth_result_t res;


/* Exact blocks, so that the sanitizer sees their ends. */

static void *
alloc(void *data, size_t size)
{
    (void) data;

    if (nchunks == 64) {
        return NULL;
    }

    return chunks[nchunks++] = malloc(size);
}


static void *
alloc_none(void *data, size_t size)
{
    (void) data;
    (void) size;

    return NULL;
}


static int
credential(void *data, s3_str_t akid, s3_credential_t *c)
{
    (void) data;

    if (s3_str_eq(akid, S(AKID)) || s3_str_eq(akid, S("team/a"))) {
        c->secret = S(SECRET);
        return S3_OK;
    }

    if (s3_str_eq(akid, S("temporary"))) {
        c->secret = S(SECRET);
        c->token = S("token");
        return S3_OK;
    }

    if (s3_str_eq(akid, S("nosecret"))) {
        return S3_OK;
    }

    return S3_ENOENT;
}


/* A new request; the strings live on. */

static void
begin(const char *method, const char *path, const char *query)
{
    memset(&req, 0, sizeof(req));
    req.method = s3_str(method, strlen(method));
    req.path = s3_str(path, strlen(path));
    req.query = s3_str(query, strlen(query));
    req.headers = headers;
    req.now = NOW;
    req.region = S("us-east-1");
    req.credential = credential;
    req.cache = cache;
    req.alloc = alloc;
}


static void
header(const char *name, const char *value)
{
    headers[req.nheaders].name = s3_str(name, strlen(name));
    headers[req.nheaders++].value = s3_str(value, strlen(value));
}


static s3_err_t
verify(void)
{
    int rc;

    while (nchunks) {
        free(chunks[--nchunks]);
    }

    memset(&res, 0xa5, sizeof(res));
    rc = s3_auth_verify(&req, &res);
    CHECK((rc == S3_OK) == (res.fault.err == S3_ERR_NONE));

    return res.fault.err;
}


static const char *
extra(const char *name)
{
    static char text[8192];
    unsigned i;

    for (i = 0; i < res.fault.nextra; i++) {
        if (strcmp(res.fault.extra[i].name, name) == 0) {
            memcpy(text, res.fault.extra[i].value.data,
                   res.fault.extra[i].value.len);
            text[res.fault.extra[i].value.len] = '\0';
            return text;
        }
    }

    return NULL;
}


#define CHECK_ERR(want, part)                                     \
    do {                                                          \
        CHECK_INT(verify(), want);                                \
        if (strstr(s3_fault_message(&res.fault), part) == NULL) { \
            CHECK_STR(s3_fault_message(&res.fault), part);        \
        }                                                         \
    } while (0)


static void
test_examples(void)
{
    begin("GET", "/test.txt", "");
    header("Host", "examplebucket.s3.amazonaws.com");
    header("Authorization", AUTH("host;range;x-amz-content-sha256;x-amz-date",
                                 "f0e8bdb87c964420e857bd35b5d6ed31"
                                 "0bd44f0170aba48dd91039c6036bdb41"));
    header("Range", "bytes=0-9");
    header("x-amz-content-sha256", EMPTY);
    header("x-amz-date", "20130524T000000Z");
    CHECK_INT(verify(), S3_ERR_NONE);
    CHECK_INT(res.kind, S3_AUTH_HEADER);
    CHECK_INT(res.payload, S3_PAYLOAD_SIGNED);
    CHECK(s3_str_eq(res.payload_sha256, S(EMPTY)));
    CHECK(s3_str_eq(res.akid, S(AKID)));
    CHECK(s3_str_eq(res.region, S("us-east-1")));
    CHECK(s3_str_eq(s3_str(res.scope, res.scope_len), S(SCOPE)));
    CHECK_INT(res.date, NOW);

    /* Any change is noticed, and the answer shows what was signed. */

    headers[2].value = S("bytes=0-8");
    CHECK_INT(verify(), S3_ERR_SIGNATURE_DOES_NOT_MATCH);
    CHECK_STR(extra("AWSAccessKeyId"), AKID);
    CHECK_STR(extra("CanonicalRequest"),
              "GET\n/test.txt\n\nhost:examplebucket.s3.amazonaws.com\n"
              "range:bytes=0-8\nx-amz-content-sha256:" EMPTY
              "\nx-amz-date:20130524T000000Z\n\n"
              "host;range;x-amz-content-sha256;x-amz-date\n" EMPTY);
    REQUIRE(extra("StringToSign") != NULL);
    CHECK(strncmp(extra("StringToSign"),
                  "AWS4-HMAC-SHA256\n20130524T000000Z\n" SCOPE "\n", 69)
          == 0);
    CHECK(strncmp(extra("StringToSignBytes"), "41 57 53 34 2d", 14) == 0);
    CHECK(strncmp(extra("CanonicalRequestBytes"), "47 45 54 0a", 11) == 0);

    begin("PUT", "/test$file.text", "");
    header("host", "examplebucket.s3.amazonaws.com");
    header("date", "Fri, 24 May 2013 00:00:00 GMT");
    header("authorization",
           AUTH_SPACED("date;host;x-amz-content-sha256;x-amz-date;"
                       "x-amz-storage-class",
                       "98ad721746da40c64f1a55b78f14c238"
                       "d841ea1380cd77a1b5971af0ece108bd"));
    header("x-amz-date", "20130524T000000Z");
    header("x-amz-storage-class", "  REDUCED_REDUNDANCY ");
    header("x-amz-content-sha256",
           "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072");
    CHECK_INT(verify(), S3_ERR_NONE);

    begin("GET", "/", "lifecycle");
    header("host", "examplebucket.s3.amazonaws.com");
    header("authorization", AUTH("host;x-amz-content-sha256;x-amz-date",
                                 "fea454ca298b7da1c68078a5d1bdbfbb"
                                 "e0d65c699e0f91ac7a200a0136783543"));
    header("x-amz-date", "20130524T000000Z");
    header("x-amz-content-sha256", EMPTY);
    CHECK_INT(verify(), S3_ERR_NONE);

    req.query = S("max-keys=2&prefix=J");
    headers[1].value = S(AUTH("host;x-amz-content-sha256;x-amz-date",
                              "34b48302e7b5fa45bde8084f4b7868a8"
                              "6f0a534bc59db6670ed5711ef69dc6f7"));
    CHECK_INT(verify(), S3_ERR_NONE);
    req.query = S("prefix=J&max-keys=2");
    CHECK_INT(verify(), S3_ERR_NONE);
    req.query = S("max-keys=2&prefix=K");
    CHECK_INT(verify(), S3_ERR_SIGNATURE_DOES_NOT_MATCH);
}


#define PRESIGNED                                                    \
    "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=" AKID        \
    "%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date="        \
    "20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&" \
    "X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835"               \
    "f995330da4c265957d157751f604d404"


static void
test_presigned(void)
{
    begin("GET", "/test.txt", PRESIGNED);
    header("host", "examplebucket.s3.amazonaws.com");
    CHECK_INT(verify(), S3_ERR_NONE);
    CHECK_INT(res.kind, S3_AUTH_PRESIGNED);
    CHECK_INT(res.payload, S3_PAYLOAD_UNSIGNED);

    req.now = NOW + 86400;
    CHECK_INT(verify(), S3_ERR_NONE);
    req.now = NOW + 86401;
    CHECK_ERR(S3_ERR_ACCESS_DENIED, "Request has expired");
    CHECK_INT(res.kind, S3_AUTH_PRESIGNED);
    CHECK_STR(extra("Expires"), "2013-05-25T00:00:00Z");
    CHECK_STR(extra("ServerTime"), "2013-05-25T00:00:01Z");

    req.now = NOW - 900;
    CHECK_INT(verify(), S3_ERR_NONE);
    req.now = NOW - 901;
    CHECK_ERR(S3_ERR_ACCESS_DENIED, "Request is not valid yet");

    req.now = NOW;
    req.method = S("PUT");
    CHECK_INT(verify(), S3_ERR_SIGNATURE_DOES_NOT_MATCH);
    req.method = S("GET");
    req.path = S("/test.txt2");
    CHECK_INT(verify(), S3_ERR_SIGNATURE_DOES_NOT_MATCH);
    req.path = S("/test.txt");
    req.query = S(PRESIGNED "&x-id=GetObject");
    CHECK_INT(verify(), S3_ERR_SIGNATURE_DOES_NOT_MATCH);
    req.query = S(PRESIGNED "&X-Amz-Signature=00");
    CHECK_ERR(S3_ERR_AUTHORIZATION_QUERY_PARAMETERS_ERROR, "requires");
    req.query = S(PRESIGNED "&X-Amz-Credential=x");
    CHECK_ERR(S3_ERR_AUTHORIZATION_QUERY_PARAMETERS_ERROR, "requires");
    req.query = S(PRESIGNED "&X-Amz-Security-Token=x");
    CHECK_INT(verify(), S3_ERR_INVALID_TOKEN);

    req.query = S(PRESIGNED);
    header("x-amz-acl", "public-read");
    CHECK_ERR(S3_ERR_ACCESS_DENIED, "not signed");
    CHECK_STR(extra("HeadersNotSigned"), "x-amz-acl");
}


/* The presigned example with one part exchanged. */

static void
presigned_with(const char *from, const char *to)
{
    static char q[1024];
    const char *p;

    p = strstr(PRESIGNED, from);
    REQUIRE(p != NULL);
    snprintf(q, sizeof(q), "%.*s%s%s", (int) (p - PRESIGNED), PRESIGNED, to,
             p + strlen(from));

    begin("GET", "/test.txt", q);
    header("host", "examplebucket.s3.amazonaws.com");
}


static void
test_presigned_errors(void)
{
    static const struct {
        const char *from, *to, *message;
    } t[] = {
        {"X-Amz-Algorithm=AWS4-HMAC-SHA256", "a=b", "requires"},
        {"X-Amz-Signature=", "a=", "requires"},
        {"X-Amz-Credential=", "a=", "requires"},
        {"X-Amz-Date=20130524T000000Z", "X-Amz-Date=", "requires"},
        {"X-Amz-SignedHeaders=host", "X-Amz-SignedHeaders=", "requires"},
        {"X-Amz-Expires=86400", "b=c", "requires"},
        {"AWS4-HMAC-SHA256", "AWS4-SHA256", "and AWS4-ECDSA"},
        {"AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256",
         "only supports \"AWS4-HMAC-SHA256\""},
        {"AWS4-HMAC-SHA256", "AWS", "only supports"},
        {"86400", "x", "should be a number"},
        {"86400", "1.5", "should be a number"},
        {"86400", "-", "should be a number"},
        {"86400", "-3", "non-negative"},
        {"86400", "604801", "less than a week"},
        {"86400", "99999999999999999999999", "less than a week"},
        {"20130524T000000Z", "20130524", "ISO8601"},
        {"20130524T000000Z", "20130524T240000Z", "ISO8601"},
        {"20130524T000000Z", "20130525T000000Z", "Invalid credential date"},
        {"20130524%2F", "2013052%2F", "incorrect date format \"2013052\""},
        {"20130524%2F", "20130230%2F", "incorrect date format"},
        {"%2Fs3%2F", "%2Fsns%2F", "incorrect service \"sns\""},
        {"aws4_request", "aws5_request", "incorrect terminal \"aws5_request\""},
        {"us-east-1", "eu-west-1", "expecting \"us-east-1\""},
        {"%2Faws4_request", "", "mal-formed"},
        {"%2Fs3%2F", "%2F%2F", "incorrect service"},
        {"us-east-1%2F", "%2F", "mal-formed"},
        {"X-Amz-SignedHeaders=host", "X-Amz-SignedHeaders=host;HOST",
         "requires"},
    };
    size_t i;

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        presigned_with(t[i].from, t[i].to);
        CHECK_ERR(S3_ERR_AUTHORIZATION_QUERY_PARAMETERS_ERROR, t[i].message);
    }

    presigned_with("86400", "604800");
    CHECK_INT(verify(), S3_ERR_SIGNATURE_DOES_NOT_MATCH);
    presigned_with(AKID, "NOBODY");
    CHECK_INT(verify(), S3_ERR_INVALID_ACCESS_KEY_ID);
    CHECK_STR(extra("AWSAccessKeyId"), "NOBODY");
    presigned_with("aeeed9bb", "beeed9bb");
    CHECK_INT(verify(), S3_ERR_SIGNATURE_DOES_NOT_MATCH);
    presigned_with("X-Amz-SignedHeaders=host", "X-Amz-SignedHeaders=date");
    CHECK_ERR(S3_ERR_ACCESS_DENIED, "not signed");
    CHECK_STR(extra("HeadersNotSigned"), "host");

    begin("GET", "/b/k",
          "AWSAccessKeyId=" AKID "&Expires=1&Signature=my-signature");
    CHECK_ERR(S3_ERR_INVALID_REQUEST, "Please use AWS4-HMAC-SHA256");
}


/* A signed request with a header exchanged or left out. */

static void
signed_request(const char *name, const char *value)
{
    size_t i, j;

    begin("GET", "/", "lifecycle");
    header("host", "examplebucket.s3.amazonaws.com");
    header("authorization", AUTH("host;x-amz-content-sha256;x-amz-date",
                                 "fea454ca298b7da1c68078a5d1bdbfbb"
                                 "e0d65c699e0f91ac7a200a0136783543"));
    header("x-amz-date", "20130524T000000Z");
    header("x-amz-content-sha256", EMPTY);

    for (i = 0, j = 0; i < req.nheaders; i++) {
        headers[j] = headers[i];

        if (s3_str_eq(headers[i].name, s3_str(name, strlen(name)))) {
            if (value == NULL) {
                continue;
            }

            headers[j].value = s3_str(value, strlen(value));
        }

        j++;
    }

    req.nheaders = j;
}


static void
test_header_errors(void)
{
    static const struct {
        const char *value;
        s3_err_t err;
        const char *message;
    } t[] = {
        {"", S3_ERR_INVALID_ARGUMENT, "one and only one ' '"},
        {"invalid_header", S3_ERR_INVALID_ARGUMENT, "one and only one ' '"},
        {"Bearer abc", S3_ERR_INVALID_ARGUMENT, "Unsupported Authorization"},
        {"AWS4-ECDSA-P256-SHA256 a", S3_ERR_INVALID_ARGUMENT, "Unsupported"},
        {"AWS " AKID ":frJIUN8DYpKDtOLCwo//yllqDzg=", S3_ERR_INVALID_REQUEST,
         "mechanism"},
        {"AWS4-HMAC-SHA256 Credential=a/" SCOPE ",Signature=" SIG64,
         S3_ERR_AUTHORIZATION_HEADER_MALFORMED, "three components"},
        {"AWS4-HMAC-SHA256 a=b,c=d,e=f,g=h",
         S3_ERR_AUTHORIZATION_HEADER_MALFORMED, "three components"},
        {"AWS4-HMAC-SHA256 Signature=a,Signature=b,Signature=c",
         S3_ERR_AUTHORIZATION_HEADER_MALFORMED, "three components"},
        {"AWS4-HMAC-SHA256 Credential=a/" SCOPE
         ",SignedHeaders-host,Signature=s",
         S3_ERR_AUTHORIZATION_HEADER_MALFORMED,
         "component \"SignedHeaders-host\" is malformed"},
        {"AWS4-HMAC-SHA256 ,,", S3_ERR_AUTHORIZATION_HEADER_MALFORMED,
         "component \"\" is malformed"},
        {"AWS4-HMAC-SHA256 creds=a/" SCOPE ",SignedHeaders=host,Signature=s",
         S3_ERR_AUTHORIZATION_HEADER_MALFORMED, "missing Credential."},
        {"AWS4-HMAC-SHA256 Credential=a/" SCOPE ",missing=host,Signature=s",
         S3_ERR_AUTHORIZATION_HEADER_MALFORMED, "missing SignedHeaders."},
        {"AWS4-HMAC-SHA256 Credential=a/" SCOPE
         ",SignedHeaders=host;;date,Signature=s",
         S3_ERR_AUTHORIZATION_HEADER_MALFORMED, "missing SignedHeaders."},
        {"AWS4-HMAC-SHA256 Credential=a/" SCOPE ",SignedHeaders=host,missing=s",
         S3_ERR_AUTHORIZATION_HEADER_MALFORMED, "missing Signature."},
        {"AWS4-HMAC-SHA256 Credential=a,SignedHeaders=host,Signature=s",
         S3_ERR_AUTHORIZATION_HEADER_MALFORMED, "Credential is mal-formed"},
        {"AWS4-HMAC-SHA256 Credential=/" SCOPE
         ",SignedHeaders=host,Signature=s",
         S3_ERR_AUTHORIZATION_HEADER_MALFORMED, "Credential is mal-formed"},
        {"AWS4-HMAC-SHA256 Credential=access/32234/us-east-1/s3/extra/things,"
         "SignedHeaders=host,Signature=s",
         S3_ERR_AUTHORIZATION_HEADER_MALFORMED, "Credential is mal-formed"},
        {"AWS4-HMAC-SHA256 Credential=access/32234/us-east-1/s3/aws_request,"
         "SignedHeaders=host,Signature=s",
         S3_ERR_AUTHORIZATION_HEADER_MALFORMED,
         "incorrect terminal \"aws_request\""},
        {"AWS4-HMAC-SHA256 Credential=access/32234/us-east-1/ec2/aws4_request,"
         "SignedHeaders=host,Signature=s",
         S3_ERR_AUTHORIZATION_HEADER_MALFORMED, "incorrect service \"ec2\""},
        {"AWS4-HMAC-SHA256 Credential=access/3223423234/us-east-1/s3/"
         "aws4_request,SignedHeaders=host,Signature=s",
         S3_ERR_AUTHORIZATION_HEADER_MALFORMED,
         "incorrect date format \"3223423234\""},
        {"AWS4-HMAC-SHA256 Credential=" AKID "/20130524/eu-west-1/s3/"
         "aws4_request,SignedHeaders=host,Signature=s",
         S3_ERR_AUTHORIZATION_HEADER_MALFORMED,
         "the region \"eu-west-1\" is wrong; expecting \"us-east-1\""},
        {"AWS4-HMAC-SHA256 Credential=NOBODY/20130524/us-east-1/s3/"
         "aws4_request,SignedHeaders=host,Signature=s",
         S3_ERR_INVALID_ACCESS_KEY_ID, "does not exist"},
        {"AWS4-HMAC-SHA256 Credential=nosecret/20130524/us-east-1/s3/"
         "aws4_request,SignedHeaders=host,Signature=s",
         S3_ERR_INVALID_ACCESS_KEY_ID, "does not exist"},
        {"AWS4-HMAC-SHA256 Credential=temporary/20130524/us-east-1/s3/"
         "aws4_request,SignedHeaders=host,Signature=s",
         S3_ERR_INVALID_TOKEN, "token"},
        {"AWS4-HMAC-SHA256 Credential=" AKID "/20130523/us-east-1/s3/"
         "aws4_request,SignedHeaders=host,Signature=s",
         S3_ERR_AUTHORIZATION_HEADER_MALFORMED, "Invalid credential date"},
        {AUTH("host", "s"), S3_ERR_ACCESS_DENIED, "not signed"},
        {AUTH("host;x-amz-date;x-amz-content-sha256", SIG64),
         S3_ERR_SIGNATURE_DOES_NOT_MATCH, "does not match"},
        {AUTH("host;x-amz-date;x-amz-content-sha256", "short"),
         S3_ERR_SIGNATURE_DOES_NOT_MATCH, "does not match"},
        {"AWS4-HMAC-SHA256 Credential=" AKID "/20130524/us-east-1/s3express/"
         "aws4_request,SignedHeaders=host,Signature=s",
         S3_ERR_AUTHORIZATION_HEADER_MALFORMED, "incorrect service"},
    };
    size_t i;

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        signed_request("authorization", t[i].value);
        CHECK_ERR(t[i].err, t[i].message);
        CHECK_INT(res.kind, S3_AUTH_HEADER);
    }

    /* The key that was refused does not stay behind. */

    for (i = 0; i < S3_SHA256_LEN; i++) {
        CHECK_INT(res.key[i], 0);
    }

    signed_request("authorization", t[20].value);
    (void) verify();
    CHECK_STR(extra("Region"), "us-east-1");

    signed_request("authorization",
                   AUTH("x-amz-date;x-amz-content-sha256", SIG64));
    header("X-Amz-Tagging", "a=b");
    CHECK_ERR(S3_ERR_ACCESS_DENIED, "not signed");
    CHECK_STR(extra("HeadersNotSigned"), "host, x-amz-tagging");

    /* host is signed even where none came. */

    signed_request("host", NULL);
    headers[0].value = S(AUTH("x-amz-date;x-amz-content-sha256", SIG64));
    CHECK_ERR(S3_ERR_ACCESS_DENIED, "not signed");
    CHECK_STR(extra("HeadersNotSigned"), "host");

    signed_request("none", NULL);
    header("content-type", "text/plain");
    header("x-custom", "1");
    CHECK_INT(verify(), S3_ERR_NONE);
}


static void
test_dates(void)
{
    signed_request("x-amz-date", NULL);
    CHECK_ERR(S3_ERR_ACCESS_DENIED, "valid Date or x-amz-date");
    signed_request("x-amz-date", "24 May 2013");
    CHECK_ERR(S3_ERR_ACCESS_DENIED, "valid Date or x-amz-date");
    signed_request("x-amz-date", "03:17:34 PM");
    CHECK_ERR(S3_ERR_ACCESS_DENIED, "valid Date or x-amz-date");

    signed_request("none", NULL);
    req.now = NOW + 900;
    CHECK_INT(verify(), S3_ERR_NONE);
    req.now = NOW - 900;
    CHECK_INT(verify(), S3_ERR_NONE);
    req.now = NOW + 901;
    CHECK_INT(verify(), S3_ERR_REQUEST_TIME_TOO_SKEWED);
    CHECK_STR(extra("RequestTime"), "20130524T000000Z");
    CHECK_STR(extra("ServerTime"), "2013-05-24T00:15:01Z");
    req.now = NOW - 901;
    CHECK_INT(verify(), S3_ERR_REQUEST_TIME_TOO_SKEWED);

    /* Date stands in for x-amz-date; then the signature is another. */

    signed_request("x-amz-date", NULL);
    header("date", "Fri, 24 May 2013 00:00:00 GMT");
    CHECK_INT(verify(), S3_ERR_SIGNATURE_DOES_NOT_MATCH);
    CHECK(strstr(extra("StringToSign"), "20130524T000000Z") != NULL);

    CHECK_INT(s3_sigv4_date(S("19700101T000000Z")), 0);
    CHECK_INT(s3_sigv4_date(S("20240229T235959Z")), 1709251199);
    CHECK_INT(s3_sigv4_date(S("20230229T000000Z")), S3_EINVAL);
    CHECK_INT(s3_sigv4_date(S("21000229T000000Z")), S3_EINVAL);
    CHECK_INT(s3_sigv4_date(S("20230101T000060Z")), S3_EINVAL);
    CHECK_INT(s3_sigv4_date(S("20231301T000000Z")), S3_EINVAL);
    CHECK_INT(s3_sigv4_date(S("20230001T000000Z")), S3_EINVAL);
    CHECK_INT(s3_sigv4_date(S("19691231T235959Z")), S3_EINVAL);
    CHECK_INT(s3_sigv4_date(S("20230101 000000Z")), S3_EINVAL);
}


static void
test_date_round_trip(void)
{
    int bad = 0;
    int64_t t;
    uint8_t d[S3_SIGV4_DATE_LEN];

    for (t = 0; t < 253402300800; t += 86400 * 13 + 4567) {
        s3_sigv4_format_date(d, t);
        bad += s3_sigv4_date(s3_str(d, sizeof(d))) != t;
    }

    CHECK_INT(bad, 0);
    s3_sigv4_format_date(d, INT64_MAX);
    CHECK(memcmp(d, "99991231T235959Z", 16) == 0);
}


static void
test_payload(void)
{
    static const struct {
        const char *value;
        s3_err_t err;
        s3_payload_t payload;
    } t[] = {
        {"UNSIGNED-PAYLOAD", S3_ERR_NONE, S3_PAYLOAD_UNSIGNED},
        {"STREAMING-UNSIGNED-PAYLOAD-TRAILER", S3_ERR_NONE,
         S3_PAYLOAD_UNSIGNED_TRAILER},
        {EMPTY, S3_ERR_NONE, S3_PAYLOAD_SIGNED},
        {"STREAMING-AWS4-HMAC-SHA256-PAYLOAD", S3_ERR_INVALID_REQUEST, 0},
        {"STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", S3_ERR_INVALID_REQUEST,
         0},
        {"STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD", S3_ERR_NOT_IMPLEMENTED, 0},
        {"invalid_sha256", S3_ERR_INVALID_ARGUMENT, 0},
    };
    size_t i;

    /* Anonymous: the same forms, but none goes through by itself. */

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        begin("PUT", "/b/k", "");
        header("host", "h");
        header("x-amz-content-sha256", t[i].value);
        CHECK_INT(verify(),
                  t[i].err == S3_ERR_NONE ? S3_ERR_ACCESS_DENIED : t[i].err);
        CHECK_INT(res.kind, S3_AUTH_ANONYMOUS);

        if (t[i].err == S3_ERR_NONE) {
            CHECK_INT(res.payload, t[i].payload);
        }
    }

    signed_request("x-amz-content-sha256", NULL);
    CHECK_ERR(S3_ERR_INVALID_REQUEST, "x-amz-content-sha256");
    signed_request("x-amz-content-sha256", "invalid_sha256");
    CHECK_ERR(S3_ERR_INVALID_ARGUMENT, "must be UNSIGNED-PAYLOAD");
    CHECK_STR(extra("ArgumentValue"), "invalid_sha256");
    signed_request("x-amz-content-sha256",
                   "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER");
    CHECK_INT(verify(), S3_ERR_NOT_IMPLEMENTED);

    begin("GET", "/", "");
    CHECK_INT(verify(), S3_ERR_ACCESS_DENIED);
    CHECK_INT(res.kind, S3_AUTH_ANONYMOUS);
}


static void
test_doubled(void)
{
    size_t i;

    begin("GET", "/test.txt", PRESIGNED);
    header("host", "examplebucket.s3.amazonaws.com");
    header("authorization", "AWS4-HMAC-SHA256 x");
    CHECK_ERR(S3_ERR_INVALID_ARGUMENT, "Only one auth mechanism");

    begin("GET", "/test.txt", PRESIGNED "&Signature=x&AWSAccessKeyId=y");
    header("host", "examplebucket.s3.amazonaws.com");
    CHECK_ERR(S3_ERR_INVALID_ARGUMENT, "Only one auth mechanism");

    for (i = 0; i < 4; i++) {
        signed_request("none", NULL);
        headers[req.nheaders++] = headers[i];
        CHECK_ERR(S3_ERR_INVALID_ARGUMENT, "more than once");
    }

    signed_request("none", NULL);

    for (i = 0; i < 256; i++) {
        header("x-a", "b");
    }

    CHECK_INT(verify(), S3_ERR_REQUEST_HEADER_SECTION_TOO_LARGE);

    signed_request("none", NULL);
    req.query = S("lifecycle=%zz");
    CHECK_INT(verify(), S3_ERR_INVALID_URI);
    req.query = S("lifecycle");
    req.path = S("/%0");
    CHECK_INT(verify(), S3_ERR_INVALID_URI);

    signed_request("none", NULL);
    req.alloc = alloc_none;
    CHECK_INT(verify(), S3_ERR_INTERNAL_ERROR);
}


/* Signs what is there with the parts under test. */

static void
sign(const char *names, s3_str_t payload, const char *akid)
{
    static char line[1024];
    static uint8_t buf[8192], text[S3_SIGV4_STRING_SIZE];
    char value[256];
    uint8_t key[S3_SHA256_LEN], hex[S3_SHA256_HEX];
    int64_t n;
    s3_sha256_t *h;
    s3_uri_query_t q;
    s3_sigv4_auth_t a;
    s3_sigv4_canonical_t c;
    static uint8_t qbuf[1024];

    h = s3_sigv4_cache_hash(cache);
    snprintf(value, sizeof(value), "%s/" SCOPE, akid);
    REQUIRE(s3_sigv4_parse_credential(&a, s3_str(value, strlen(value)), 0)
            == S3_SIGV4_OK);
    REQUIRE(s3_uri_query_parse(&q, req.query, qbuf) == S3_OK);

    memset(&c, 0, sizeof(c));
    c.method = req.method;
    c.path = req.path;
    c.query = &q;
    c.headers = headers;
    c.nheaders = req.nheaders;
    c.signed_headers = s3_str(names, strlen(names));
    c.payload = payload;
    REQUIRE(s3_sigv4_canonical_size(&c) <= sizeof(buf));
    n = s3_sigv4_canonical(buf, &c);
    REQUIRE(n > 0);
    n = s3_sigv4_string_to_sign(text, h, (const uint8_t *) "20130524T000000Z",
                                a.credential.scope, s3_str(buf, (size_t) n));
    REQUIRE(n > 0);
    REQUIRE(s3_sigv4_key(cache, S(SECRET), &a.credential, key, NULL) == S3_OK);
    REQUIRE(s3_sigv4_sign(key, s3_str(text, (size_t) n), hex) == S3_OK);

    snprintf(line, sizeof(line),
             "AWS4-HMAC-SHA256 Credential=%s, SignedHeaders=%s, "
             "Signature=%.64s",
             value, names, hex);
    header("Authorization", line);
}


static void
test_own(void)
{
    /* All the odd ends at once; spaces inside a value count once. */

    begin("PUT", "/b/%2e%2e/a+b%20*", "partNumber=1&uploadId=a/b%2Bc+d&x");
    header("Host", "localhost:9000");
    header("X-Amz-Date", "20130524T000000Z");
    header("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD");
    header("X-Amz-Meta-A", "  a   b ");
    header("x-amz-meta-a", "c");
    header("x-amz-decoded-content-length", "66560");
    header("x-amz-trailer", " x-amz-checksum-crc32c ");
    sign("host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;"
         "x-amz-meta-a;x-amz-trailer",
         S("UNSIGNED-PAYLOAD"), "team/a");
    CHECK_INT(verify(), S3_ERR_NONE);
    CHECK(s3_str_eq(res.akid, S("team/a")));
    CHECK_INT(res.has_decoded_length, 1);
    CHECK_INT(res.decoded_length, 66560);
    CHECK(s3_str_eq(res.trailer, S("x-amz-checksum-crc32c")));

    headers[3].value = S("a b");
    CHECK_INT(verify(), S3_ERR_NONE);
    headers[3].value = S("ab");
    CHECK_INT(verify(), S3_ERR_SIGNATURE_DOES_NOT_MATCH);
    CHECK(strstr(extra("CanonicalRequest"), "\nx-amz-meta-a:ab,c\n") != NULL);
    CHECK(strncmp(extra("CanonicalRequest"),
                  "PUT\n/b/../a%2Bb%20%2A\npartNumber=1&"
                  "uploadId=a%2Fb%2Bc%20d&x=\n",
                  61)
          == 0);

    headers[3].value = S("a b");
    headers[5].value = S("12x");
    CHECK_INT(verify(), S3_ERR_SIGNATURE_DOES_NOT_MATCH);

    /* A token has to be the one that belongs to the key. */

    begin("GET", "/", "");
    header("host", "h");
    header("x-amz-date", "20130524T000000Z");
    header("x-amz-content-sha256", EMPTY);
    header("x-amz-security-token", "token");
    sign("host;x-amz-content-sha256;x-amz-date;x-amz-security-token", S(EMPTY),
         "temporary");
    CHECK_INT(verify(), S3_ERR_NONE);
    headers[3].value = S("tokem");
    CHECK_INT(verify(), S3_ERR_INVALID_TOKEN);

    begin("GET", "/", "");
    header("host", "h");
    header("x-amz-date", "20130524T000000Z");
    header("x-amz-content-sha256", EMPTY);
    header("x-amz-security-token", "token");
    sign("host;x-amz-content-sha256;x-amz-date;x-amz-security-token", S(EMPTY),
         AKID);
    CHECK_INT(verify(), S3_ERR_INVALID_TOKEN);

    begin("GET", "/", "");
    header("host", "h");
    header("x-amz-date", "20130524T000000Z");
    header("x-amz-content-sha256", EMPTY);
    header("x-amz-decoded-content-length", "12x");
    sign("host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length",
         S(EMPTY), AKID);
    CHECK_INT(verify(), S3_ERR_NONE);
    CHECK_INT(res.has_decoded_length, 0);
}


/* More scopes than entries; a changed secret never meets an old key. */

static void
test_cache(void)
{
    int i, bad;
    char value[128];
    s3_sigv4_auth_t a;
    s3_sigv4_cache_t *fresh;
    uint8_t key[S3_SHA256_LEN], want[S3_SHA256_LEN];

    for (i = 0, bad = 0; i < 1000; i++) {
        snprintf(value, sizeof(value), "key%d/" SCOPE, i % 150);
        REQUIRE(s3_sigv4_parse_credential(&a, s3_str(value, strlen(value)), 0)
                == S3_SIGV4_OK);
        fresh = s3_sigv4_cache_create();
        REQUIRE(fresh != NULL);
        REQUIRE(s3_sigv4_key(fresh, s3_str(SECRET, 10u + i % 3), &a.credential,
                             want, NULL)
                == S3_OK);
        s3_sigv4_cache_destroy(fresh);
        REQUIRE(s3_sigv4_key(cache, s3_str(SECRET, 10u + i % 3), &a.credential,
                             key, NULL)
                == S3_OK);
        bad += memcmp(key, want, sizeof(key)) != 0;
    }

    CHECK_INT(bad, 0);

    /* The signing key of the documentation's example. */

    REQUIRE(s3_sigv4_parse_credential(&a,
                                      S("a/20150830/us-east-1/s3/"
                                        "aws4_request"),
                                      0)
            == S3_SIGV4_OK);
    a.credential.service = S("iam");
    REQUIRE(s3_sigv4_key(cache, S("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
                         &a.credential, key, NULL)
            == S3_OK);
    CHECK(memcmp(key,
                 "\xc4\xaf\xb1\xcc\x57\x71\xd8\x71\x76\x3a\x39\x3e\x44\xb7\x03"
                 "\x57\x1b\x55\xcc\x28\x42\x4d\x1a\x5e\x86\xda\x6e\xd3\xc1\x54"
                 "\xa4\xb9",
                 32)
          == 0);
}


static void
test_express(void)
{
    signed_request("authorization",
                   "AWS4-HMAC-SHA256 Credential=" AKID
                   "/20130524/us-east-1/s3express/aws4_request,SignedHeaders="
                   "host;x-amz-date;x-amz-content-sha256,Signature=" SIG64);
    req.express = 1;
    CHECK_INT(verify(), S3_ERR_SIGNATURE_DOES_NOT_MATCH);
}


int
main(void)
{
    cache = s3_sigv4_cache_create();
    REQUIRE(cache != NULL);

    test_examples();
    test_presigned();
    test_presigned_errors();
    test_header_errors();
    test_dates();
    test_date_round_trip();
    test_payload();
    test_doubled();
    test_own();
    test_cache();
    test_express();

    s3_sigv4_cache_destroy(cache);

    while (nchunks) {
        free(chunks[--nchunks]);
    }

    return S3_TEST_END();
}
