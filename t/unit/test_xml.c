/* XML out and in, tags, and the result documents. */

#include "s3_http.h"
#include "s3_xml_in.h"
#include "s3_xml_out.h"
#include "s3_xml_results.h"

#include "s3_test.h"

#define STR(lit) s3_string(lit)

static s3_fault_t fault;


/* What a document looks like; ends the use of x. */

static const char *
text_of(s3_xml_t *x)
{
    static char buf[65536];

    REQUIRE(s3_xml_rc(x) == S3_OK);
    REQUIRE(x->len < sizeof(buf));
    memcpy(buf, x->len ? (char *) x->data : "", x->len);
    buf[x->len] = '\0';
    s3_xml_free(x);
    s3_xml_init(x, S3_XML_LIMIT);

    return buf;
}


static void
test_escape(void)
{
    s3_xml_t x;

    s3_xml_init(&x, S3_XML_LIMIT);

    s3_xml_str(&x, "K", STR("a<b>&\"c'\r\n\t"));
    CHECK_STR(text_of(&x), "<K>a&lt;b&gt;&amp;&quot;c'&#13;\n\t</K>");

    s3_xml_str(&x, "K", STR("\x01x\x1f"));
    CHECK_STR(text_of(&x), "<K>\xef\xbf\xbdx\xef\xbf\xbd</K>");

    /* broken UTF-8, a surrogate, overlong, U+FFFF; then good ones */
    s3_xml_str(&x, "K", STR("\xff\xc3"));
    CHECK_STR(text_of(&x), "<K>\xef\xbf\xbd\xef\xbf\xbd</K>");
    s3_xml_str(&x, "K", STR("\xed\xa0\x80"));
    CHECK_STR(text_of(&x), "<K>\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd</K>");
    s3_xml_str(&x, "K", STR("\xc0\xaf"));
    CHECK_STR(text_of(&x), "<K>\xef\xbf\xbd\xef\xbf\xbd</K>");
    s3_xml_str(&x, "K", STR("\xef\xbf\xbf"));
    CHECK_STR(text_of(&x), "<K>\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd</K>");
    s3_xml_str(&x, "K", STR("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"));
    CHECK_STR(text_of(&x), "<K>\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80</K>");

    s3_xml_str(&x, "K", s3_null_str);
    s3_xml_str_opt(&x, "L", s3_null_str);
    s3_xml_str_opt(&x, "M", STR(""));
    CHECK_STR(text_of(&x), "<K/><M/>");

    s3_xml_etag(&x, "ETag", STR("abc"));
    s3_xml_u64(&x, "N", UINT64_MAX);
    s3_xml_bool(&x, "B", 1);
    s3_xml_time(&x, "T", 1138985109000LL);
    CHECK_STR(text_of(&x), "<ETag>&quot;abc&quot;</ETag>"
                           "<N>18446744073709551615</N><B>true</B>"
                           "<T>2006-02-03T16:45:09.000Z</T>");

    s3_xml_key(&x, "K", STR("a b/\x01+"));
    x.url = 1;
    s3_xml_key(&x, "K", STR("a b/\x01+"));
    s3_xml_str(&x, "K", STR("a b"));
    CHECK_STR(text_of(&x), "<K>a b/\xef\xbf\xbd+</K>"
                           "<K>a%20b/%01%2B</K><K>a b</K>");

    s3_xml_free(&x);
}


static void
test_limit(void)
{
    s3_xml_t x;

    s3_xml_init(&x, 10);
    s3_xml_lit(&x, "0123456789");
    CHECK_INT(s3_xml_rc(&x), S3_OK);
    s3_xml_lit(&x, "0");
    CHECK_INT(s3_xml_rc(&x), S3_ENOSPC);
    CHECK_INT(x.len, 10);
    s3_xml_lit(&x, "");
    CHECK_INT(s3_xml_rc(&x), S3_ENOSPC);
    s3_xml_free(&x);
    s3_xml_free(&x);
}


static void
test_error_document(void)
{
    s3_xml_t x;

    s3_xml_init(&x, S3_XML_LIMIT);

    s3_fault(&fault, S3_ERR_NO_SUCH_KEY, NULL);
    s3_fault_add(&fault, "Key", STR("a&b"));
    s3_fault_add_u64(&fault, "N", 7);
    s3_xml_error(&x, &fault, s3_null_str, STR("REQ"), STR("HOST"));

    CHECK_STR(text_of(&x),
              "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
              "<Error><Code>NoSuchKey</Code>"
              "<Message>The specified key does not exist.</Message>"
              "<Key>a&amp;b</Key><N>7</N>"
              "<RequestId>REQ</RequestId><HostId>HOST</HostId></Error>");
    s3_xml_free(&x);
}


static void
test_lists(void)
{
    s3_xml_t x;
    s3_xml_list_t l;
    s3_list_head_t h;
    s3_owner_t owner = {STR("id"), STR("me")};
    s3_xml_object_t o;
    const char *doc;

    s3_xml_init(&x, S3_XML_LIMIT);
    s3_list_init(&l, 1, S3_XML_LIMIT);
    memset(&o, 0, sizeof(o));
    memset(&h, 0, sizeof(h));

    o.key = STR("a b");
    o.mtime = 1138985109000LL;
    o.etag = STR("e");
    o.size = 5;
    o.owner = &owner;
    o.checksum_alg = S3_CHECKSUM_CRC32;
    o.checksum_type = S3_CHECKSUM_FULL_OBJECT;

    s3_list_prefix(&l, STR("p q/"));
    s3_list_object(&l, &o);

    h.bucket = STR("bkt");
    h.delimiter = STR("/");
    h.max = 2;
    h.truncated = 1;
    h.next_token = STR("tok");

    s3_list_objects_v2(&x, &l, &h);
    doc = text_of(&x);
    CHECK_STR(doc, S3_XML_DECL
              "<ListBucketResult xmlns=\"" S3_XML_NS "\">"
              "<Name>bkt</Name><Prefix/>"
              "<NextContinuationToken>tok</NextContinuationToken>"
              "<KeyCount>2</KeyCount><MaxKeys>2</MaxKeys>"
              "<Delimiter>/</Delimiter><EncodingType>url</EncodingType>"
              "<IsTruncated>true</IsTruncated>"
              "<Contents><Key>a%20b</Key>"
              "<LastModified>2006-02-03T16:45:09.000Z</LastModified>"
              "<ETag>&quot;e&quot;</ETag>"
              "<ChecksumAlgorithm>CRC32</ChecksumAlgorithm>"
              "<ChecksumType>FULL_OBJECT</ChecksumType><Size>5</Size>"
              "<Owner><ID>id</ID><DisplayName>me</DisplayName></Owner>"
              "<StorageClass>STANDARD</StorageClass></Contents>"
              "<CommonPrefixes><Prefix>p%20q/</Prefix></CommonPrefixes>"
              "</ListBucketResult>");

    h.delimiter = STR("");
    h.marker = STR("m");
    s3_list_objects_v1(&x, &l, &h);
    doc = text_of(&x);
    CHECK(strstr(doc, "<Marker>m</Marker>") != NULL);
    CHECK(strstr(doc, "Delimiter") == NULL);
    CHECK(strstr(doc, "KeyCount") == NULL);

    s3_list_version(&l, &o);
    s3_list_versions(&x, &l, &h);
    doc = text_of(&x);
    CHECK(strstr(doc, "<VersionId>null</VersionId><IsLatest>true</IsLatest>")
          != NULL);
    CHECK(strstr(doc, "<VersionIdMarker/>") != NULL);

    /* an error while gathering is an error of the document */
    l.items.rc = S3_ENOSPC;
    s3_list_objects_v2(&x, &l, &h);
    CHECK_INT(s3_xml_rc(&x), S3_ENOSPC);

    s3_list_free(&l);
    s3_xml_free(&x);
}


static void
test_results(void)
{
    s3_xml_t x;
    s3_xml_list_t l;
    s3_list_head_t h;
    s3_owner_t owner = {STR("id"), STR("me")};
    s3_xml_checksum_t c = {S3_CHECKSUM_CRC32C, S3_CHECKSUM_COMPOSITE,
                           STR("AAAAAA==-2")};
    s3_xml_part_t part = {3, 0, STR("pe"), 9, c};
    s3_xml_upload_t up = {
        STR("k"),    STR("u"), &owner,           &owner,
        s3_null_str, 0,        S3_CHECKSUM_NONE, S3_CHECKSUM_TYPE_NONE};
    s3_xml_bucket_t b = {STR("bkt"), 0, STR("eu-x-1")};
    s3_xml_attributes_t a;
    const char *doc;

    s3_xml_init(&x, S3_XML_LIMIT);
    memset(&h, 0, sizeof(h));

    s3_xml_location(&x, STR("us-east-1"));
    CHECK_STR(text_of(&x),
              S3_XML_DECL "<LocationConstraint xmlns=\"" S3_XML_NS "\"/>");
    s3_xml_location(&x, STR("eu-1"));
    CHECK(strstr(text_of(&x), ">eu-1</LocationConstraint>") != NULL);

    s3_xml_copy_object(&x, STR("e"), 0, &c);
    doc = text_of(&x);
    CHECK(strstr(doc, "<ChecksumCRC32C>AAAAAA==-2</ChecksumCRC32C>"
                      "<ChecksumType>COMPOSITE</ChecksumType>")
          != NULL);
    s3_xml_copy_part(&x, STR("e"), 0, NULL);
    CHECK(strstr(text_of(&x), "Checksum") == NULL);

    s3_xml_complete(&x, STR("http://h/b/k"), STR("b"), STR("k"), STR("e-2"),
                    NULL);
    CHECK(strstr(text_of(&x), "<ETag>&quot;e-2&quot;</ETag>") != NULL);

    s3_list_init(&l, 0, S3_XML_LIMIT);
    s3_list_part(&l, &part);
    s3_list_parts(&x, &l, &h);
    CHECK(strstr(text_of(&x), "<Part><PartNumber>3</PartNumber>") != NULL);
    s3_list_free(&l);

    s3_list_init(&l, 0, S3_XML_LIMIT);
    s3_list_upload(&l, &up);
    s3_list_uploads(&x, &l, &h);
    CHECK(strstr(text_of(&x), "<UploadId>u</UploadId><Initiator>") != NULL);
    s3_list_free(&l);

    s3_list_init(&l, 0, S3_XML_LIMIT);
    h.owner = &owner;
    s3_list_buckets(&x, &l, &h);
    CHECK(strstr(text_of(&x), "<Buckets/>") != NULL);
    s3_list_bucket(&l, &b);
    s3_list_buckets(&x, &l, &h);
    CHECK(strstr(text_of(&x), "<BucketRegion>eu-x-1</BucketRegion></Bucket>")
          != NULL);
    s3_list_free(&l);

    s3_xml_delete_begin(&x);
    s3_xml_deleted(&x, STR("a"), s3_null_str);
    s3_fault(&fault, S3_ERR_ACCESS_DENIED, NULL);
    s3_xml_delete_error(&x, STR("b"), STR("null"), &fault);
    s3_xml_delete_end(&x);
    CHECK(strstr(text_of(&x),
                 "<Deleted><Key>a</Key></Deleted><Error><Key>b</Key>"
                 "<VersionId>null</VersionId><Code>AccessDenied</Code>")
          != NULL);

    memset(&a, 0, sizeof(a));
    a.mask = 0x1f;
    a.etag = STR("e");
    a.checksum = c;
    a.parts_count = 2;
    s3_xml_attributes(&x, &a);
    doc = text_of(&x);
    CHECK(strstr(doc, "<ETag>e</ETag>") != NULL);
    CHECK(strstr(doc, "<ObjectParts><PartsCount>2</PartsCount></ObjectParts>")
          != NULL);

    a.mask = S3_ATTR_OBJECT_SIZE;
    s3_xml_attributes(&x, &a);
    doc = text_of(&x);
    CHECK(strstr(doc, "ETag") == NULL);
    CHECK(strstr(doc, "<ObjectSize>0</ObjectSize>") != NULL);

    s3_xml_free(&x);
}


/* Every read-only configuration call that is called done has an answer. */

static void
test_unset(void)
{
    s3_xml_t x;
    s3_owner_t owner = {STR("id"), STR("me")};
    s3_err_t err;
    int i, docs, errs;
    const s3_op_info_t *o;

    s3_xml_init(&x, S3_XML_LIMIT);
    docs = errs = 0;

    for (i = 1; i < S3_OP_MAX; i++) {
        o = s3_op_info((s3_op_t) i);
        err = s3_xml_unset(&x, (s3_op_t) i, STR("bkt"), &owner, &fault);

        if (err == S3_ERR_NOT_IMPLEMENTED) {
            continue;
        }

        CHECK(o->flags & S3_OPF_DONE);
        CHECK(!(o->flags & S3_OPF_WRITE));

        if (err == S3_ERR_NONE) {
            CHECK(x.len > 60);
            (void) text_of(&x);
            docs++;

        } else {
            CHECK_INT(x.len, 0);
            CHECK_INT(fault.err, err);
            errs++;
        }
    }

    CHECK_INT(docs, 14);
    CHECK_INT(errs, 13);
    CHECK_INT(s3_xml_unset(&x, S3_OP_GET_BUCKET_CORS, STR("b"), &owner, NULL),
              S3_ERR_NO_SUCH_CORS_CONFIGURATION);
    s3_xml_free(&x);
}


static void
test_delete(void)
{
    static const char *const bad[] = {
        "<Delete>",
        "<Delete/>",
        "<Delete><Object/></Delete>",
        "<Delete><Object><Key></Key></Object></Delete>",
        "<Delete><Object><VersionId>x</VersionId></Object></Delete>",
        "<delete><Object><Key>a</Key></Object></delete>",
        "<!DOCTYPE d [<!ENTITY e \"x\">]>"
        "<Delete><Object><Key>&e;</Key></Object></Delete>",
        "<!DOCTYPE d><Delete><Object><Key>a</Key></Object></Delete>",
        "<Delete><Object><Key>&undefined;</Key></Object></Delete>",
        "<Delete><Object><Key>a</Key></Object></Delete><x/>",
        "<Delete><a><b><c><d><e><f><g><h/></g></f></e></d></c></b></a>"
        "</Delete>",
        "not xml",
        " ",
    };
    s3_delete_t d;
    size_t i;
    char *big;
    size_t n;

    CHECK_INT(s3_delete_parse(
                  &d,
                  STR("<?xml version=\"1.0\"?>\n"
                      "<Delete xmlns=\"" S3_XML_NS "\">"
                      "<Object><Key> a&amp;\"&#13;&#x20AC;</Key>"
                      "<VersionId>null</VersionId><ETag>&quot;e&quot;</ETag>"
                      "<Size>5</Size><New><x/></New></Object>"
                      "<Object><Key>b</Key></Object>"
                      "<Quiet>true</Quiet></Delete>"),
                  &fault),
              S3_ERR_NONE);
    CHECK_INT(d.n, 2);
    CHECK_INT(d.quiet, 1);
    CHECK(s3_str_eq(d.objects[0].key, STR(" a&\"\r\xe2\x82\xac")));
    CHECK(s3_str_eq(d.objects[0].version_id, STR("null")));
    CHECK(s3_str_eq(d.objects[0].etag, STR("e")));
    CHECK(s3_str_eq(d.objects[0].size, STR("5")));
    CHECK(d.objects[0].last_modified.data == NULL);
    CHECK(d.objects[1].version_id.data == NULL);
    s3_delete_free(&d);

    CHECK_INT(s3_delete_parse(&d,
                              STR("<s:Delete xmlns:s=\"" S3_XML_NS "\">"
                                  "<s:Object><s:Key>b</s:Key></s:Object>"
                                  "</s:Delete>"),
                              &fault),
              S3_ERR_NONE);
    CHECK_INT(d.n, 1);
    CHECK_INT(d.quiet, 0);
    s3_delete_free(&d);

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        fault.err = S3_ERR_NONE;
        CHECK_INT(s3_delete_parse(&d, s3_str(bad[i], strlen(bad[i])), &fault),
                  S3_ERR_MALFORMED_XML);
        CHECK_INT(fault.err, S3_ERR_MALFORMED_XML);
        s3_delete_free(&d);
    }

    CHECK_INT(s3_delete_parse(&d, s3_null_str, NULL),
              S3_ERR_MISSING_REQUEST_BODY_ERROR);
    s3_delete_free(&d);

    /* 1000 objects are the most, 1001 too many; a text has its bound */

    big = malloc(64 * 1024);
    REQUIRE(big != NULL);

    for (i = 1000; i <= 1001; i++) {
        size_t k;

        n = (size_t) sprintf(big, "<Delete>");

        for (k = 0; k < i; k++) {
            n +=
                (size_t) sprintf(big + n, "<Object><Key>%zu</Key></Object>", k);
        }

        n += (size_t) sprintf(big + n, "</Delete>");
        CHECK_INT(s3_delete_parse(&d, s3_str(big, n), &fault),
                  i == 1000 ? S3_ERR_NONE : S3_ERR_MALFORMED_XML);
        CHECK_INT(d.n, 1000);
        s3_delete_free(&d);
    }

    n = (size_t) sprintf(big, "<Delete><Object><Key>");
    memset(big + n, 'k', S3_XML_TEXT + 1);
    n += S3_XML_TEXT + 1;
    n += (size_t) sprintf(big + n, "</Key></Object></Delete>");
    CHECK_INT(s3_delete_parse(&d, s3_str(big, n), &fault),
              S3_ERR_MALFORMED_XML);
    s3_delete_free(&d);
    free(big);
}


#define PART(n, e) "<Part><PartNumber>" n "</PartNumber><ETag>" e "</ETag>"
#define CMU(body) "<CompleteMultipartUpload>" body "</CompleteMultipartUpload>"

static void
test_complete(void)
{
    static const struct {
        const char *doc;
        s3_err_t err;
        int ordered;
    } t[] = {
        {CMU(PART("1", "a") "</Part>" PART("2", "b") "</Part>"), 0, 1},
        {CMU(PART("2", "a") "</Part>" PART("1", "b") "</Part>"), 0, 0},
        {CMU(PART("1", "a") "</Part>" PART("1", "b") "</Part>"), 0, 0},
        {CMU(PART("20000", "a") "</Part>"), 0, 1},
        {CMU(""), S3_ERR_MALFORMED_XML, 1},
        {CMU(PART("x", "a") "</Part>"), S3_ERR_MALFORMED_XML, 1},
        {CMU(PART("0", "a") "</Part>"), S3_ERR_INVALID_ARGUMENT, 1},
        {CMU(PART("-1", "a") "</Part>"), S3_ERR_INVALID_ARGUMENT, 1},
        {CMU(PART("99999999999", "a") "</Part>"), S3_ERR_MALFORMED_XML, 1},
        {CMU(PART("1", "") "</Part>"), S3_ERR_MALFORMED_XML, 1},
        {CMU("<Part><ETag>a</ETag></Part>"), S3_ERR_MALFORMED_XML, 1},
        {CMU(PART("1", "a") "<ChecksumCRC32>AAAAAA==</ChecksumCRC32></Part>"),
         0, 1},
        {CMU(PART("1", "a") "<ChecksumCRC32>AAAAA</ChecksumCRC32></Part>"),
         S3_ERR_INVALID_ARGUMENT, 1},
        {CMU(PART("1", "a") "<ChecksumCRC32>AAAAAA==</ChecksumCRC32>"
                            "<ChecksumCRC32C>AAAAAA==</ChecksumCRC32C></Part>"),
         S3_ERR_INVALID_ARGUMENT, 1},
        {CMU(PART("1", "a") "<ChecksumNEW>AAAAAA==</ChecksumNEW></Part>"
                            "<PartX><ChecksumCRC32>!</ChecksumCRC32></PartX>"),
         0, 1},
    };
    size_t i;
    s3_complete_t c;

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        CHECK_INT(
            s3_complete_parse(&c, s3_str(t[i].doc, strlen(t[i].doc)), &fault),
            t[i].err);

        if (t[i].err == S3_ERR_NONE) {
            CHECK_INT(c.ordered, t[i].ordered);
        }

        s3_complete_free(&c);
    }

    CHECK_INT(
        s3_complete_parse(
            &c,
            STR(CMU(PART("3", "&quot;abc&quot;") "<ChecksumCRC32>AQIDBA==</"
                                                 "ChecksumCRC32></Part>")),
            &fault),
        S3_ERR_NONE);
    REQUIRE(c.n == 1);
    CHECK_INT(c.parts[0].number, 3);
    CHECK(s3_str_eq(c.parts[0].etag, STR("abc")));
    CHECK_INT(c.parts[0].alg, S3_CHECKSUM_CRC32);
    CHECK(s3_str_eq(c.parts[0].digest, STR("\x01\x02\x03\x04")));
    s3_complete_free(&c);

    CHECK_INT(s3_complete_parse(&c, s3_null_str, &fault), S3_ERR_MALFORMED_XML);
    s3_complete_free(&c);
}


#define TAG(k, v) "<Tag><Key>" k "</Key><Value>" v "</Value></Tag>"
#define TAGS(body) "<Tagging><TagSet>" body "</TagSet></Tagging>"
#define TEN                                                               \
    TAG("0", "v")                                                         \
    TAG("1", "v")                                                         \
    TAG("2", "v")                                                         \
    TAG("3", "v") TAG("4", "v") TAG("5", "v") TAG("6", "v") TAG("7", "v") \
        TAG("8", "v") TAG("9", "v")

static void
test_tagging(void)
{
    static const struct {
        const char *doc;
        s3_err_t err;
    } t[] = {
        {TAGS(""), S3_ERR_NONE},
        {TAGS(TEN), S3_ERR_NONE},
        {TAGS(TEN TAG("10", "v")), S3_ERR_BAD_REQUEST},
        {TAGS(TAG("a", "")), S3_ERR_NONE},
        {TAGS(TAG("a b_.:/=+-@", "\xc3\xa4\xe4\xb8\xad")), S3_ERR_NONE},
        {TAGS(TAG("", "v")), S3_ERR_INVALID_TAG},
        {TAGS(TAG("a", "v") TAG("a", "w")), S3_ERR_INVALID_TAG},
        {TAGS(TAG("aws:x", "v")), S3_ERR_INVALID_TAG},
        {TAGS(TAG("AWS:x", "v")), S3_ERR_INVALID_TAG},
        {TAGS(TAG("aws", "v")), S3_ERR_NONE},
        {TAGS(TAG("a*", "v")), S3_ERR_INVALID_TAG},
        {TAGS(TAG("a", "v!")), S3_ERR_INVALID_TAG},
        {TAGS(TAG("a", "\xf0\x9f\x98\x80")), S3_ERR_INVALID_TAG},
        {"<Tagging/>", S3_ERR_MALFORMED_XML},
        {"<Tagging><TagSet/><TagSet>" TAG("a", "v") "</TagSet></Tagging>",
         S3_ERR_NONE},
        {TAGS("<Tag><Key>a</Key></Tag>"), S3_ERR_MALFORMED_XML},
        {TAGS("<Tag><Value>a</Value></Tag>"), S3_ERR_MALFORMED_XML},
        {"", S3_ERR_MISSING_REQUEST_BODY_ERROR},
    };
    size_t i;
    s3_tagging_t g;
    s3_tag_t tag;
    uint8_t long_[300];

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        CHECK_INT(s3_tagging_parse(&g, s3_str(t[i].doc, strlen(t[i].doc)),
                                   S3_TAGS_OBJECT, &fault),
                  t[i].err);
        s3_tagging_free(&g);
    }

    memset(long_, 'x', sizeof(long_));
    tag.key = s3_str(long_, 128);
    tag.value = s3_str(long_, 256);
    CHECK_INT(s3_tag_check(&tag, &fault), S3_ERR_NONE);
    tag.key.len = 129;
    CHECK_INT(s3_tag_check(&tag, &fault), S3_ERR_INVALID_TAG);
    tag.key.len = 1;
    tag.value.len = 257;
    CHECK_INT(s3_tag_check(&tag, &fault), S3_ERR_INVALID_TAG);
    CHECK_INT(fault.nextra, 2);
}


static void
test_tag_header(void)
{
    static const struct {
        const char *s;
        s3_err_t err;
        size_t n;
    } t[] = {
        {"", S3_ERR_NONE, 0},
        {"a=b", S3_ERR_NONE, 1},
        {"a=b&c=d", S3_ERR_NONE, 2},
        {"a", S3_ERR_NONE, 1},
        {"&&a=b&", S3_ERR_NONE, 1},
        {"a=b=c", S3_ERR_NONE, 1},
        {"=b", S3_ERR_INVALID_ARGUMENT, 0},
        {"a=%zz", S3_ERR_INVALID_ARGUMENT, 0},
        {"a=1&a=2", S3_ERR_INVALID_ARGUMENT, 0},
        {"a%2A=1", S3_ERR_INVALID_TAG, 0},
        {"aws%3Ax=1", S3_ERR_INVALID_TAG, 0},
        {"0=&1=&2=&3=&4=&5=&6=&7=&8=&9=", S3_ERR_NONE, 10},
        {"0=&1=&2=&3=&4=&5=&6=&7=&8=&9=&a=", S3_ERR_BAD_REQUEST, 0},
    };
    size_t i, n;
    uint8_t buf[256];
    s3_tag_t tags[S3_TAGS_OBJECT];

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        CHECK_INT(s3_tags_parse(s3_str(t[i].s, strlen(t[i].s)), buf, tags, &n,
                                &fault),
                  t[i].err);

        if (t[i].err == S3_ERR_NONE) {
            CHECK_INT(n, t[i].n);
        }
    }

    CHECK_INT(s3_tags_parse(STR("k+1=v%20%3D"), buf, tags, &n, &fault), 0);
    CHECK(s3_str_eq(tags[0].key, STR("k 1")));
    CHECK(s3_str_eq(tags[0].value, STR("v =")));
}


static void
test_create(void)
{
    s3_create_bucket_t b;

    CHECK_INT(s3_create_bucket_parse(&b, s3_null_str, &fault), S3_ERR_NONE);
    CHECK(b.location_constraint.data == NULL);
    s3_create_bucket_free(&b);

    CHECK_INT(s3_create_bucket_parse(
                  &b,
                  STR("<CreateBucketConfiguration xmlns=\"" S3_XML_NS "\">"
                      "<LocationConstraint> eu-1 </LocationConstraint>"
                      "<Location><Type>AvailabilityZone</Type></Location>"
                      "<Whatever>1</Whatever>"
                      "<Tags>" TAG("a", "b") "</Tags>"
                                             "</CreateBucketConfiguration>"),
                  &fault),
              S3_ERR_NONE);
    CHECK(s3_str_eq(b.location_constraint, STR("eu-1")));
    CHECK(s3_str_eq(b.location_type, STR("AvailabilityZone")));
    CHECK_INT(b.ntags, 1);
    s3_create_bucket_free(&b);

    CHECK_INT(s3_create_bucket_parse(&b, STR("<Other/>"), &fault),
              S3_ERR_MALFORMED_XML);
    s3_create_bucket_free(&b);
    CHECK_INT(s3_create_bucket_parse(&b, STR("junk"), &fault),
              S3_ERR_MALFORMED_XML);
    s3_create_bucket_free(&b);
}


int
main(void)
{
    test_escape();
    test_limit();
    test_error_document();
    test_lists();
    test_results();
    test_unset();
    test_delete();
    test_complete();
    test_tagging();
    test_tag_header();
    test_create();

    return S3_TEST_END();
}
