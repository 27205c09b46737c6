# Buckets: create, head, list, delete, location, tagging, names.

use Digest::MD5;
use Test::Nginx::S3;
use Test::Nginx::Socket 'no_plan';

s3_setup();
no_shuffle();
run_tests();

__DATA__

=== TEST 1: no buckets
--- request
GET /
--- response_headers
Content-Type: application/xml
--- response_body_like: ^<\?xml version="1.0" encoding="UTF-8"\?>\n<ListAllMyBucketsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">.*<Owner><ID>[^<]+</ID>.*<Buckets( ?/>|></Buckets>)



=== TEST 2: create, head, location
--- request eval
["PUT /bucket-one", "HEAD /bucket-one", "GET /bucket-one?location",
 "PUT /bucket-two"]
--- error_code eval
[200, 200, 200, 200]
--- response_headers eval
["Location: /bucket-one", "x-amz-bucket-region: us-east-1", "",
 "Location: /bucket-two"]
--- response_body_like eval
["^\$", "^\$",
 qr{<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/"( ?/>|></LocationConstraint>)},
 "^\$"]



=== TEST 3: list
--- request eval
["GET /", "GET /?max-buckets=1", "GET /?prefix=bucket-t"]
--- error_code eval
[200, 200, 200]
--- response_body_like eval
[qr{<Name>bucket-one</Name><CreationDate>20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z<.*<Name>bucket-two</Name>}s,
 qr{<Name>bucket-one</Name>.*<ContinuationToken>[^<]+<}s,
 qr{<Name>bucket-two</Name>}]
--- response_body_unlike eval
["ContinuationToken", "bucket-two", "bucket-one"]



=== TEST 4: absent
--- request eval
["HEAD /absent", "DELETE /absent", "GET /absent", "GET /absent?location"]
--- error_code eval
[404, 404, 404, 404]
--- response_body_like eval
["^\$", ("<Code>NoSuchBucket</Code>.*<BucketName>absent</BucketName>") x 3]



=== TEST 5: names that are none
--- request eval
[map { "PUT /$_" } "ab", "Upper", "under_score", "192.168.1.1", "a..b",
 "-a-b", "a-b-", "x" x 64, "xn--abc", "abc-s3alias"]
--- error_code eval
[(400) x 10]
--- response_body_like eval
[("<Code>InvalidBucketName</Code>") x 10]



=== TEST 6: a configuration of the bucket
--- request eval
["PUT /located\n<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><LocationConstraint>us-west-9</LocationConstraint></CreateBucketConfiguration>",
 "PUT /located\n<CreateBucketConfiguration><Locat",
 "HEAD /located"]
--- error_code eval
[400, 400, 404]
--- response_body_like eval
["<Code>(IllegalLocationConstraintException|InvalidLocationConstraint)</Code>",
 "<Code>MalformedXML</Code>", "^\$"]



=== TEST 7: bucket tagging
--- request eval
["GET /bucket-one?tagging",
 "PUT /bucket-one?tagging\n<Tagging><TagSet><Tag><Key>a</Key><Value>b + c</Value></Tag></TagSet></Tagging>",
 "GET /bucket-one?tagging", "DELETE /bucket-one?tagging",
 "GET /bucket-one?tagging"]
--- more_headers eval
["", "Content-MD5: " . ::s3_base64(Digest::MD5::md5("<Tagging><TagSet><Tag><Key>a</Key><Value>b + c</Value></Tag></TagSet></Tagging>")), "", "", ""]
--- error_code eval
[404, 204, 200, 204, 404]
--- response_body_like eval
["<Code>NoSuchTagSet</Code>", "^\$",
 "<Tagging .*<Tag><Key>a</Key><Value>b \\+ c</Value></Tag>", "^\$",
 "<Code>NoSuchTagSet</Code>"]



=== TEST 8: delete: not while something is in it
--- request eval
["PUT /bucket-one/k\nx", "DELETE /bucket-one", "DELETE /bucket-one/k",
 "DELETE /bucket-one", "HEAD /bucket-one"]
--- error_code eval
[200, 409, 204, 204, 404]
--- response_body_like eval
["^\$", "<Code>BucketNotEmpty</Code>", "^\$", "^\$", "^\$"]



=== TEST 9: made again, it is empty
--- request eval
["PUT /bucket-one", "GET /bucket-one"]
--- error_code eval
[200, 200]
--- response_body_unlike eval
["Key", "<Key>"]



=== TEST 10: virtual host style
--- http_config eval
::s3_conf() . "s3_domain s3.test;"
--- request eval
["PUT /k\nabc", "GET /k", "GET /?list-type=2", "GET /bucket-one/k",
 "GET /"]
--- more_headers eval
[("Host: bucket-one.s3.test") x 3, ("Host: s3.test") x 2]
--- error_code eval
[(200) x 5]
--- response_body_like eval
["^\$", "^abc\$", "<Name>bucket-one</Name>.*<Key>k</Key>", "^abc\$",
 "<Bucket><Name>bucket-one</Name>"]
