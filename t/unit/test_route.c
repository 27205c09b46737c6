/* From a request to its operation; names of buckets, keys, copy sources. */

#include "s3_route.h"

#include "s3_test.h"

#define STR(lit) s3_string(lit)


/* "METHOD target" in path style, with a copy source if copy is not NULL. */

typedef struct {
    s3_route_t r;
    s3_fault_t f;
    s3_uri_query_t q;
    uint8_t path[4096];
    uint8_t query[4096];
} result_t;

static result_t res;


static s3_err_t
route(const char *method, const char *target, const char *vhost,
      const char *copy)
{
    s3_route_in_t in;
    s3_str_t p, q;
    int64_t n;

    memset(&in, 0, sizeof(in));
    memset(&res, 0, sizeof(res));

    s3_uri_split(s3_str(target, strlen(target)), &p, &q);

    n = s3_uri_decode(res.path, p, 0);
    REQUIRE(n >= 0);
    REQUIRE(s3_uri_query_parse(&res.q, q, res.query) == S3_OK);

    in.method = s3_str(method, strlen(method));
    in.path = s3_str(res.path, (size_t) n);
    in.query = &res.q;

    if (vhost != NULL) {
        in.host_bucket = s3_str(vhost, strlen(vhost));
    }

    if (copy != NULL) {
        in.copy_source = s3_str(copy, strlen(copy));
    }

    return s3_route(&res.r, &in, &res.f);
}


static void
test_every_operation(void)
{
    static const struct {
        const char *method, *target;
        const char *op;
    } t[] = {
        {"GET", "/", "ListBuckets"},
        {"GET", "/?x-id=ListBuckets", "ListBuckets"},
        {"PUT", "/bkt", "CreateBucket"},
        {"PUT", "/bkt/", "CreateBucket"},
        {"HEAD", "/bkt/", "HeadBucket"},
        {"DELETE", "/bkt", "DeleteBucket"},
        {"GET", "/bkt", "ListObjects"},
        {"GET", "/bkt?list-type=1", "ListObjects"},
        {"GET", "/bkt?list-type=2&prefix=a", "ListObjectsV2"},
        {"GET", "/bkt/?list-type=2", "ListObjectsV2"},
        {"GET", "/bkt?versions", "ListObjectVersions"},
        {"GET", "/bkt?uploads=", "ListMultipartUploads"},
        {"GET", "/bkt?uploads", "ListMultipartUploads"},
        {"POST", "/bkt?delete", "DeleteObjects"},
        {"POST", "/bkt/?delete=&x-id=DeleteObjects", "DeleteObjects"},
        {"POST", "/bkt", "PostObject"},
        {"OPTIONS", "/bkt/key", "Preflight"},
        {"GET", "/bkt?session", "CreateSession"},
        {"GET", "/bkt?location", "GetBucketLocation"},
        {"GET", "/bkt?versioning", "GetBucketVersioning"},
        {"PUT", "/bkt?versioning", "PutBucketVersioning"},
        {"GET", "/bkt?acl", "GetBucketAcl"},
        {"PUT", "/bkt?acl", "PutBucketAcl"},
        {"GET", "/bkt?analytics", "ListBucketAnalyticsConfigurations"},
        {"GET", "/bkt?analytics&id=1", "GetBucketAnalyticsConfiguration"},
        {"GET", "/bkt?metrics", "ListBucketMetricsConfigurations"},
        {"GET", "/bkt?metrics&id=x", "GetBucketMetricsConfiguration"},
        {"GET", "/bkt?inventory", "ListBucketInventoryConfigurations"},
        {"DELETE", "/bkt?inventory&id=x", "DeleteBucketInventoryConfiguration"},
        {"GET", "/bkt?intelligent-tiering",
         "ListBucketIntelligentTieringConfigurations"},
        {"GET", "/bkt?intelligent-tiering&id=a",
         "GetBucketIntelligentTieringConfiguration"},
        {"GET", "/bkt?lifecycle", "GetBucketLifecycleConfiguration"},
        {"PUT", "/bkt?lifecycle", "PutBucketLifecycleConfiguration"},
        {"GET", "/bkt?notification", "GetBucketNotificationConfiguration"},
        {"GET", "/bkt?encryption", "GetBucketEncryption"},
        {"PUT", "/bkt?encryption", "PutBucketEncryption"},
        {"PUT", "/bkt/k?encryption", "UpdateObjectEncryption"},
        {"GET", "/bkt?tagging", "GetBucketTagging"},
        {"PUT", "/bkt?tagging", "PutBucketTagging"},
        {"DELETE", "/bkt?tagging", "DeleteBucketTagging"},
        {"GET", "/bkt?object-lock", "GetObjectLockConfiguration"},
        {"GET", "/bkt?publicAccessBlock", "GetPublicAccessBlock"},
        {"GET", "/bkt?ownershipControls", "GetBucketOwnershipControls"},
        {"GET", "/bkt?policyStatus", "GetBucketPolicyStatus"},
        {"GET", "/bkt?requestPayment", "GetBucketRequestPayment"},
        {"GET", "/bkt/k", "GetObject"},
        {"GET", "/bkt/k?versionId=null&partNumber=3", "GetObject"},
        {"GET", "/bkt/k?response-content-type=a&x-id=GetObject", "GetObject"},
        {"GET", "/bkt/k?unknown", "GetObject"},
        {"GET", "/bkt//k", "GetObject"},
        {"HEAD", "/bkt/k", "HeadObject"},
        {"PUT", "/bkt/k", "PutObject"},
        {"PUT", "/bkt/k/", "PutObject"},
        {"DELETE", "/bkt/k", "DeleteObject"},
        {"DELETE", "/bkt/k?versionId=x", "DeleteObject"},
        {"GET", "/bkt/k?acl", "GetObjectAcl"},
        {"GET", "/bkt/k?attributes", "GetObjectAttributes"},
        {"GET", "/bkt/k?tagging", "GetObjectTagging"},
        {"PUT", "/bkt/k?tagging", "PutObjectTagging"},
        {"DELETE", "/bkt/k?tagging", "DeleteObjectTagging"},
        {"GET", "/bkt/k?legal-hold", "GetObjectLegalHold"},
        {"GET", "/bkt/k?retention", "GetObjectRetention"},
        {"GET", "/bkt/k?torrent", "GetObjectTorrent"},
        {"GET", "/bkt/k?annotation", "ListObjectAnnotations"},
        {"GET", "/bkt/k?annotation&annotationName=a", "GetObjectAnnotation"},
        {"POST", "/bkt/k?uploads", "CreateMultipartUpload"},
        {"PUT", "/bkt/k?partNumber=1&uploadId=u", "UploadPart"},
        {"GET", "/bkt/k?uploadId=u", "ListParts"},
        {"POST", "/bkt/k?uploadId=u", "CompleteMultipartUpload"},
        {"DELETE", "/bkt/k?uploadId=u", "AbortMultipartUpload"},
        {"POST", "/bkt/k?restore", "RestoreObject"},
        {"POST", "/bkt/k?select&select-type=2", "SelectObjectContent"},
        {"PUT", "/bkt/k?renameObject", "RenameObject"},
    };
    size_t i;

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        CHECK_INT(route(t[i].method, t[i].target, NULL, NULL), S3_ERR_NONE);
        CHECK_STR(s3_op_info(res.r.op)->name, t[i].op);
    }
}


static void
test_errors(void)
{
    static const struct {
        const char *method, *target;
        s3_err_t err;
    } t[] = {
        {"PUT", "/", S3_ERR_METHOD_NOT_ALLOWED},
        {"HEAD", "/", S3_ERR_METHOD_NOT_ALLOWED},
        {"POST", "/bkt/k", S3_ERR_METHOD_NOT_ALLOWED},
        {"PATCH", "/bkt/k", S3_ERR_METHOD_NOT_ALLOWED},
        {"get", "/bkt/k", S3_ERR_METHOD_NOT_ALLOWED},
        {"PUT", "/bkt?location", S3_ERR_METHOD_NOT_ALLOWED},
        {"DELETE", "/bkt?acl", S3_ERR_METHOD_NOT_ALLOWED},
        {"HEAD", "/bkt/k?acl", S3_ERR_METHOD_NOT_ALLOWED},
        {"GET", "/bkt?delete", S3_ERR_METHOD_NOT_ALLOWED},
        {"PUT", "/bkt/k?uploadId=u", S3_ERR_METHOD_NOT_ALLOWED},
        {"PUT", "/bkt/k?partNumber=1", S3_ERR_INVALID_ARGUMENT},
        {"GET", "/bkt/k?uploads", S3_ERR_INVALID_REQUEST},
        {"GET", "/bkt/k?versions", S3_ERR_INVALID_REQUEST},
        {"GET", "/bkt/k?logging", S3_ERR_NO_LOGGING_STATUS_FOR_KEY},
        {"POST", "/bkt?uploadId=x", S3_ERR_INVALID_REQUEST},
        {"GET", "/bkt?torrent", S3_ERR_REQUEST_TORRENT_OF_BUCKET_ERROR},
        {"GET", "/bkt?acl&policy", S3_ERR_INVALID_ARGUMENT},
        {"GET", "/BKT/k", S3_ERR_INVALID_BUCKET_NAME},
        {"GET", "/b", S3_ERR_INVALID_BUCKET_NAME},
        {"GET", "//k", S3_ERR_INVALID_BUCKET_NAME},
        {"GET", "/.internal/k", S3_ERR_INVALID_BUCKET_NAME},
        {"GET", "/bkt/../x", S3_ERR_INVALID_URI},
        {"GET", "/bkt/a/../../x", S3_ERR_INVALID_URI},
        {"GET", "/bkt/%ff", S3_ERR_INVALID_URI},
        {"POST", "/WriteGetObjectResponse", S3_ERR_INVALID_BUCKET_NAME},
    };
    size_t i;

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        res.f.err = S3_ERR_NONE;
        CHECK_INT(route(t[i].method, t[i].target, NULL, NULL), t[i].err);
        CHECK_INT(res.f.err, t[i].err);
        CHECK_INT(res.r.op, S3_OP_NONE);
    }

    (void) route("POST", "/bkt/k", NULL, NULL);
    CHECK_STR(res.r.allow, "GET, HEAD, PUT, DELETE");
    CHECK(s3_str_eq(res.f.extra[1].value, STR("OBJECT")));

    (void) route("PATCH", "/bkt", NULL, NULL);
    CHECK_STR(res.r.allow, "GET, HEAD, PUT, POST, DELETE");

    (void) route("PUT", "/bkt/k?uploadId=u", NULL, NULL);
    CHECK(s3_str_eq(res.f.extra[1].value, STR("UPLOAD")));

    (void) route("GET", "/bkt?acl&policy", NULL, NULL);
    CHECK_STR(s3_fault_message(&res.f),
              "Conflicting query string parameters: acl, policy");

    (void) route("GET", "/bkt/k?uploads", NULL, NULL);
    CHECK_STR(s3_fault_message(&res.f),
              "Key is not expected for the GET method ?uploads subresource");
}


static void
test_copy_and_hosts(void)
{
    s3_route_in_t in;

    CHECK_INT(route("PUT", "/bkt/k", NULL, "/src/k"), S3_ERR_NONE);
    CHECK_INT(res.r.op, S3_OP_COPY_OBJECT);
    CHECK_INT(route("PUT", "/bkt/k?partNumber=1&uploadId=u", NULL, "/src/k"),
              S3_ERR_NONE);
    CHECK_INT(res.r.op, S3_OP_UPLOAD_PART_COPY);
    CHECK_INT(route("GET", "/bkt/k", NULL, "/src/k"), S3_ERR_INVALID_ARGUMENT);
    CHECK_INT(route("PUT", "/bkt/k?tagging", NULL, "/src/k"),
              S3_ERR_INVALID_ARGUMENT);

    CHECK_INT(route("GET", "/", "bkt", NULL), S3_ERR_NONE);
    CHECK_INT(res.r.op, S3_OP_LIST_OBJECTS);
    CHECK_INT(route("GET", "/a/b%20c", "bkt", NULL), S3_ERR_NONE);
    CHECK_INT(res.r.op, S3_OP_GET_OBJECT);
    CHECK(s3_str_eq(res.r.bucket, STR("bkt")));
    CHECK(s3_str_eq(res.r.key, STR("a/b c")));
    CHECK_INT(route("GET", "//a", "bkt", NULL), S3_ERR_NONE);
    CHECK(s3_str_eq(res.r.key, STR("/a")));
    CHECK_INT(route("GET", "/", "BKT", NULL), S3_ERR_INVALID_BUCKET_NAME);

    CHECK_INT(route("GET", "/bkt//a//", NULL, NULL), S3_ERR_NONE);
    CHECK(s3_str_eq(res.r.bucket, STR("bkt")));
    CHECK(s3_str_eq(res.r.key, STR("/a//")));
    CHECK_INT(route("GET", "/bkt/a/../b", NULL, NULL), S3_ERR_NONE);
    CHECK(s3_str_eq(res.r.key, STR("a/../b")));

    memset(&in, 0, sizeof(in));
    in.method = STR("GET");
    in.path = STR("/");
    in.s3express = 1;
    CHECK_INT(s3_route(&res.r, &in, &res.f), S3_ERR_NONE);
    CHECK_INT(res.r.op, S3_OP_LIST_DIRECTORY_BUCKETS);

    in.path = s3_null_str;
    in.s3express = 0;
    CHECK_INT(s3_route(&res.r, &in, NULL), S3_ERR_NONE);
    CHECK_INT(res.r.op, S3_OP_LIST_BUCKETS);

    in.method = STR("POST");
    in.path = STR("/WriteGetObjectResponse");
    in.request_route = 1;
    CHECK_INT(s3_route(&res.r, &in, &res.f), S3_ERR_NONE);
    CHECK_INT(res.r.op, S3_OP_WRITE_GET_OBJECT_RESPONSE);
}


static void
test_host(void)
{
    static const struct {
        const char *host, *bucket; /* NULL: path style */
    } t[] = {
        {"bkt.s3.example.com", "bkt"},
        {"bkt.s3.example.com:9000", "bkt"},
        {"bkt.S3.Example.COM", "bkt"},
        {"bkt.s3.example.com.", "bkt"},
        {"a.b.s3.example.com", "a.b"},
        {"s3.example.com", NULL},
        {"s3.example.com:80", NULL},
        {".s3.example.com", NULL},
        {"xs3.example.com", NULL},
        {"other.org", NULL},
        {"bkt.localhost", "bkt"},
        {"bkt.eu.s3.example.com", "bkt"},
        {"eu.s3.example.com", NULL},
        {"127.0.0.1:9000", NULL},
        {"[::1]:9000", NULL},
        {"[::1]", NULL},
        {"", NULL},
        {":9000", NULL},
    };
    const s3_str_t domains[] = {STR("s3.example.com"), STR("localhost"),
                                STR("eu.s3.example.com")};
    size_t i;
    s3_str_t b;
    int rc;

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        rc = s3_host_bucket(s3_str(t[i].host, strlen(t[i].host)), domains, 3,
                            &b);

        if (t[i].bucket == NULL) {
            CHECK_INT(rc, S3_ENOENT);
            CHECK(b.data == NULL);

        } else {
            CHECK_INT(rc, S3_OK);
            CHECK(s3_str_eq(b, s3_str(t[i].bucket, strlen(t[i].bucket))));
        }
    }

    CHECK_INT(s3_host_bucket(STR("a.b"), NULL, 0, &b), S3_ENOENT);
}


static void
test_names(void)
{
    static const char *const good[] = {
        "abc",
        "a-b.c",
        "123",
        "a1b",
        "1.2.3",
        "1.2.3.4.5",
        "1.2.3.4444",
        "a--b",
        ("012345678901234567890123456789012345678901234567890123456"
         "789012")};
    static const char *const bad[] = {
        "ab",
        "-ab",
        "ab-",
        ".ab",
        "ab.",
        "a..b",
        "a_b",
        "Abc",
        "a/b",
        "1.2.3.4",
        "192.168.5.123",
        "a.-b",
        "a-.b",
        "ab c",
        "",
        ("012345678901234567890123456789012345678901234567890123456"
         "7890123")};
    static const char *const reserved[] = {
        "xn--a",    "sthree-a", "amzn-s3-demo-a", "a-s3alias",
        "a--ol-s3", "abc.mrap", "a--z--x-s3",     "a--table-s3"};
    size_t i;
    uint8_t key[1100];
    s3_fault_t f;

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        CHECK(s3_bucket_name_valid(s3_str(good[i], strlen(good[i]))));
        CHECK(!s3_bucket_name_reserved(s3_str(good[i], strlen(good[i]))));
    }

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CHECK(!s3_bucket_name_valid(s3_str(bad[i], strlen(bad[i]))));
    }

    for (i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++) {
        CHECK(
            s3_bucket_name_reserved(s3_str(reserved[i], strlen(reserved[i]))));
    }

    memset(key, 'k', sizeof(key));
    CHECK_INT(s3_key_check(s3_str(key, 1024), &f), S3_ERR_NONE);
    CHECK_INT(s3_key_check(s3_str(key, 1025), &f), S3_ERR_KEY_TOO_LONG_ERROR);
    CHECK_INT(f.extra[0].number, 1025);
    CHECK_INT(s3_key_check(s3_null_str, &f), S3_ERR_INVALID_URI);
    CHECK_INT(s3_key_check(STR("."), &f), S3_ERR_NONE);
    CHECK_INT(s3_key_check(STR(".."), &f), S3_ERR_INVALID_URI);
    CHECK_INT(s3_key_check(STR("a/.."), &f), S3_ERR_NONE);
    CHECK_INT(s3_key_check(STR("./../a"), &f), S3_ERR_INVALID_URI);
    CHECK_INT(s3_key_check(STR("//../a"), &f), S3_ERR_INVALID_URI);
    CHECK_INT(s3_key_check(STR("a\0b"), &f), S3_ERR_INVALID_URI);
    CHECK_INT(s3_key_check(STR("\xc3\xa4"), &f), S3_ERR_NONE);
}


static void
test_copy_source(void)
{
    static const struct {
        const char *s;
        s3_err_t err;
        const char *bucket, *key, *version;
    } t[] = {
        {"bkt/key", S3_ERR_NONE, "bkt", "key", NULL},
        {"/bkt/key", S3_ERR_NONE, "bkt", "key", NULL},
        {"/bkt//key", S3_ERR_NONE, "bkt", "/key", NULL},
        {"bkt%2Fkey", S3_ERR_NONE, "bkt", "key", NULL},
        {"bkt/a%20b", S3_ERR_NONE, "bkt", "a b", NULL},
        {"bkt/a b", S3_ERR_NONE, "bkt", "a b", NULL},
        {"bkt/a+b", S3_ERR_NONE, "bkt", "a b", NULL},
        {"bkt/a%2Bb", S3_ERR_NONE, "bkt", "a+b", NULL},
        {"bkt/key?versionId=null", S3_ERR_NONE, "bkt", "key", "null"},
        {"bkt/key?versionId=", S3_ERR_NONE, "bkt", "key", ""},
        {"bkt/k%3FversionId=1", S3_ERR_NONE, "bkt", "k?versionId=1", NULL},
        {"bkt/a?b", S3_ERR_NONE, "bkt", "a?b", NULL},
        {"", S3_ERR_INVALID_ARGUMENT, NULL, NULL, NULL},
        {"/", S3_ERR_INVALID_ARGUMENT, NULL, NULL, NULL},
        {"bkt", S3_ERR_INVALID_ARGUMENT, NULL, NULL, NULL},
        {"bkt/", S3_ERR_INVALID_ARGUMENT, NULL, NULL, NULL},
        {"B/key", S3_ERR_INVALID_ARGUMENT, NULL, NULL, NULL},
        {"bkt/%zz", S3_ERR_INVALID_ARGUMENT, NULL, NULL, NULL},
        {"bkt/%ff", S3_ERR_INVALID_ARGUMENT, NULL, NULL, NULL},
        {"bkt/../x", S3_ERR_INVALID_ARGUMENT, NULL, NULL, NULL},
        {"bkt/k?versionId=%", S3_ERR_INVALID_ARGUMENT, NULL, NULL, NULL},
    };
    size_t i;
    uint8_t buf[256];
    s3_copy_source_t cs;
    s3_fault_t f;

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        CHECK_INT(
            s3_copy_source_parse(&cs, s3_str(t[i].s, strlen(t[i].s)), buf, &f),
            t[i].err);

        if (t[i].err != S3_ERR_NONE) {
            CHECK(s3_str_eq(f.extra[0].value, STR("x-amz-copy-source")));
            continue;
        }

        CHECK(s3_str_eq(cs.bucket, s3_str(t[i].bucket, strlen(t[i].bucket))));
        CHECK(s3_str_eq(cs.key, s3_str(t[i].key, strlen(t[i].key))));
        CHECK((cs.version_id.data == NULL) == (t[i].version == NULL));

        if (t[i].version != NULL) {
            CHECK(s3_str_eq(cs.version_id,
                            s3_str(t[i].version, strlen(t[i].version))));
        }
    }
}


static void
test_table(void)
{
    int i, reached;
    const s3_op_info_t *o;
    unsigned int level;

    for (i = 1, reached = 0; i < S3_OP_MAX; i++) {
        o = s3_op_info((s3_op_t) i);
        level = o->flags & (S3_OPF_SERVICE | S3_OPF_BUCKET | S3_OPF_OBJECT);

        CHECK(o->name[0] != '\0');
        CHECK(level == S3_OPF_SERVICE || level == S3_OPF_BUCKET
              || level == S3_OPF_OBJECT);
        CHECK(!(o->flags & S3_OPF_XML) == (o->max_body == 0));
        reached += (o->flags & S3_OPF_DONE) != 0;
    }

    CHECK_INT(S3_OP_MAX - 1, 118);
    CHECK(reached > 29);
    CHECK_STR(s3_op_info(S3_OP_NONE)->name, "");
    CHECK_STR(s3_op_info((s3_op_t) 5000)->name, "");
    CHECK(s3_op_info(S3_OP_DELETE_OBJECTS)->flags & S3_OPF_CKSUM);
    CHECK(s3_op_info(S3_OP_PUT_OBJECT)->flags & S3_OPF_RAW);
    CHECK(!(s3_op_info(S3_OP_GET_OBJECT)->flags & S3_OPF_WRITE));
    CHECK(!(s3_op_info(S3_OP_RENAME_OBJECT)->flags & S3_OPF_DONE));
}


int
main(void)
{
    test_table();
    test_every_operation();
    test_errors();
    test_copy_and_hosts();
    test_host();
    test_names();
    test_copy_source();

    return S3_TEST_END();
}
