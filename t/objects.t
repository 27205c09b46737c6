# Objects: put, get, head, delete, headers, names, limits.

use Digest::MD5;
use Test::Nginx::S3;
use Test::Nginx::Socket 'no_plan';

s3_setup();
no_shuffle();
run_tests();

__DATA__

=== TEST 1: put and get
--- request eval
["PUT /bucket", "PUT /bucket/k\nhello", "GET /bucket/k", "HEAD /bucket/k"]
--- error_code eval
[200, 200, 200, 200]
--- response_headers eval
["", "ETag: \"5d41402abc4b2a76b9719d911017c592\"\nContent-Length: 0",
 "ETag: \"5d41402abc4b2a76b9719d911017c592\"\nContent-Type: binary/octet-stream\nAccept-Ranges: bytes\nContent-Length: 5",
 "ETag: \"5d41402abc4b2a76b9719d911017c592\"\nContent-Type: binary/octet-stream\nAccept-Ranges: bytes\nContent-Length: 5"]
--- response_body eval
["", "", "hello", ""]



=== TEST 2: Last-Modified is an HTTP date
--- request
GET /bucket/k
--- response_headers_like
Last-Modified: (Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} 20\d\d \d\d:\d\d:\d\d GMT



=== TEST 3: absent
--- request eval
["GET /bucket/none", "HEAD /bucket/none", "DELETE /bucket/none"]
--- error_code eval
[404, 404, 204]
--- response_headers eval
["Content-Type: application/xml", "", ""]
--- response_body_like eval
[qr{^<\?xml version="1.0" encoding="UTF-8"\?>\n<Error><Code>NoSuchKey</Code><Message>[^<]+</Message><Key>none</Key>.*<RequestId>[0-9A-Z]{16}</RequestId><HostId>[^<]+</HostId></Error>$}s,
 "^\$", "^\$"]



=== TEST 4: an empty object
--- request eval
["PUT /bucket/empty", "GET /bucket/empty"]
--- response_headers eval
["ETag: \"d41d8cd98f00b204e9800998ecf8427e\"", "Content-Length: 0"]
--- response_body eval
["", ""]



=== TEST 5: overwrite
--- request eval
["PUT /bucket/k\none", "GET /bucket/k", "PUT /bucket/k\nthe second", "GET /bucket/k"]
--- response_body eval
["", "one", "", "the second"]



=== TEST 6: delete
--- request eval
["DELETE /bucket/k", "GET /bucket/k", "DELETE /bucket/k"]
--- error_code eval
[204, 404, 204]



=== TEST 7: headers and user metadata come back
--- request eval
["PUT /bucket/meta\nx", "GET /bucket/meta", "HEAD /bucket/meta"]
--- more_headers eval
["Content-Type: text/x\nCache-Control: max-age=1\nContent-Disposition: inline; filename=\"a\"\nContent-Language: de\nContent-Encoding: gzip\nExpires: Thu, 01 Dec 2044 16:00:00 GMT\nx-amz-meta-One: 1\nx-amz-meta-two: b  c\nx-amz-meta-with_and.: 3",
 "", ""]
--- response_headers eval
["", ("Content-Type: text/x\nCache-Control: max-age=1\nContent-Disposition: inline; filename=\"a\"\nContent-Language: de\nContent-Encoding: gzip\nExpires: Thu, 01 Dec 2044 16:00:00 GMT\nx-amz-meta-one: 1\nx-amz-meta-with_and.: 3\n!x-amz-storage-class") x 2]



=== TEST 8: response-* overrides
--- request eval
["GET /bucket/meta?response-content-type=a%2Fb&response-cache-control=no-store&response-content-disposition=attachment&response-content-language=fr&response-content-encoding=br&response-expires=never"]
--- response_headers
Content-Type: a/b
Cache-Control: no-store
Content-Disposition: attachment
Content-Language: fr
Content-Encoding: br
Expires: never



=== TEST 9: odd names
--- request eval
[(map { "PUT /bucket/$_\n$_" } "a//b", "a/", "%2F", "a%20b", "a+b", "%C3%A4", "..x", "a%2F..%2Fb", "%25", "x%3Fy", "n%0Al"),
 (map { "GET /bucket/$_" } "a//b", "a/", "%2F", "a%20b", "a+b", "%C3%A4", "..x", "a%2F..%2Fb", "%25", "x%3Fy", "n%0Al")]
--- error_code eval
[(200) x 22]
--- response_body eval
[("") x 11, "a//b", "a/", "%2F", "a%20b", "a+b", "%C3%A4", "..x", "a%2F..%2Fb", "%25", "x%3Fy", "n%0Al"]



=== TEST 10: dots and slashes are part of the name
--- request eval
["PUT /bucket/d/../e\n1", "PUT /bucket/d/./e\n2", "PUT /bucket/d//e\n3",
 "GET /bucket/d/../e", "GET /bucket/d/./e", "GET /bucket/d//e", "GET /bucket/e"]
--- error_code eval
[(200) x 6, 404]
--- response_body_like eval
["^\$", "^\$", "^\$", "^1\$", "^2\$", "^3\$", "NoSuchKey"]



=== TEST 11: the longest name, and one byte more
--- request eval
["PUT /bucket/" . "k" x 1024 . "\nx", "GET /bucket/" . "k" x 1024,
 "PUT /bucket/" . "k" x 1025 . "\nx", "GET /bucket/" . "k" x 1025]
--- error_code eval
[200, 200, 400, 400]
--- response_body_like eval
["^\$", "^x\$", ("<Code>KeyTooLongError</Code>.*<Size>1025</Size><MaxSizeAllowed>1024<|<Code>KeyTooLongError</Code>.*<MaxSizeAllowed>1024<") x 2]



=== TEST 12: a name that is no UTF-8
--- request
PUT /bucket/%FF%FE
x
--- error_code: 400
--- response_body_like: <Code>(InvalidURI|InvalidArgument)</Code>



=== TEST 13: metadata that is too large
--- request
PUT /bucket/m
x
--- more_headers eval
"x-amz-meta-a: " . "v" x 2100
--- error_code: 400
--- response_body_like: <Code>MetadataTooLarge</Code>



=== TEST 14: storage classes
--- request eval
["PUT /bucket/rr\nx", "HEAD /bucket/rr", "PUT /bucket/bad\nx"]
--- more_headers eval
["x-amz-storage-class: REDUCED_REDUNDANCY", "", "x-amz-storage-class: CHEAP"]
--- error_code eval
[200, 200, 400]
--- response_headers eval
["", "x-amz-storage-class: REDUCED_REDUNDANCY", ""]
--- response_body_like eval
["^\$", "^\$", "<Code>InvalidStorageClass</Code>"]



=== TEST 15: no length
--- raw_request eval
my $r = ::s3_raw('PUT', '/bucket/nolength', [], 'abc');
$r =~ s/Content-Length: 3\r\n//; $r
--- error_code: 411
--- response_body_like: <Code>MissingContentLength</Code>



=== TEST 16: more than one PUT may bring
--- raw_request eval
::s3_raw('PUT', '/bucket/large', [['Content-Length', 5368709121]], '',
         { payload => 'unsigned' })
--- error_code: 400
--- response_body_like: <Code>EntityTooLarge</Code>



=== TEST 17: the client leaves in the middle of a body; nothing is stored
--- raw_request eval
::s3_raw('PUT', '/bucket/half', [['Content-Length', 1000000]], 'x' x 300000,
         { payload => 'unsigned' })
--- timeout: 1
--- abort
--- ignore_response



=== TEST 18: as one sees
--- request
GET /bucket/half
--- error_code: 404



=== TEST 19: the null version is the object
--- request eval
["PUT /bucket/v\nabc", "GET /bucket/v?versionId=null", "GET /bucket/v?versionId=nonsense",
 "DELETE /bucket/v?versionId=null", "GET /bucket/v"]
--- error_code eval
[200, 200, 400, 204, 404]
--- response_body_like eval
["^\$", "^abc\$", "<Code>InvalidArgument</Code>", "^\$", "NoSuchKey"]



=== TEST 20: several deletes in one
--- request eval
my $xml = '<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Object><Key>a//b</Key></Object><Object><Key>no&lt;ne</Key></Object></Delete>';
["POST /bucket?delete\n$xml", "GET /bucket/a//b"]
--- more_headers eval
my $xml = '<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Object><Key>a//b</Key></Object><Object><Key>no&lt;ne</Key></Object></Delete>';
["Content-MD5: " . ::s3_base64(Digest::MD5::md5($xml)), ""]
--- error_code eval
[200, 404]
--- response_body_like eval
["<DeleteResult xmlns=.*<Deleted><Key>a//b</Key></Deleted><Deleted><Key>no&lt;ne</Key></Deleted></DeleteResult>", "NoSuchKey"]



=== TEST 21: several deletes: no digest, a wrong one, no XML, nothing in it
--- request eval
[("POST /bucket?delete\n<Delete><Object><Key>k</Key></Object></Delete>") x 2, "POST /bucket?delete\n<Delete>", "POST /bucket?delete\n<Delete></Delete>"]
--- more_headers eval
["", "Content-MD5: kAFQmDzST7DWlj99KOF/cg==",
 "Content-MD5: " . ::s3_base64(Digest::MD5::md5("<Delete>")),
 "Content-MD5: " . ::s3_base64(Digest::MD5::md5("<Delete></Delete>"))]
--- error_code eval
[(400) x 4]
--- response_body_like eval
["<Code>InvalidRequest</Code>", "<Code>BadDigest</Code>", "<Code>MalformedXML</Code>", "<Code>MalformedXML</Code>"]



=== TEST 22: attributes
--- request eval
["PUT /bucket/at\nabc", "GET /bucket/at?attributes", "GET /bucket/at?attributes", "GET /bucket/none?attributes",
 "GET /bucket/at?attributes", "GET /bucket/at?attributes"]
--- more_headers eval
["", "x-amz-object-attributes: ETag,ObjectSize,StorageClass", "", "x-amz-object-attributes: ETag",
 "x-amz-object-attributes: ETag\nx-amz-object-attributes: ObjectSize",
 "x-amz-object-attributes: ETag\nx-amz-object-attributes: Colour"]
--- error_code eval
[200, 200, 400, 404, 200, 400]
--- response_body_like eval
["^\$", "<GetObjectAttributesResponse xmlns=.*<ETag>900150983cd24fb0d6963f7d28e17f72</ETag>.*<StorageClass>STANDARD</StorageClass><ObjectSize>3</ObjectSize>",
 "<Code>Invalid(Request|Argument)</Code>", "<Code>NoSuchKey</Code>",
 "<ETag>900150983cd24fb0d6963f7d28e17f72</ETag>.*<ObjectSize>3</ObjectSize>", "<Code>InvalidArgument</Code>"]



=== TEST 23: two requests on one connection
--- raw_request eval
my $one = ::s3_raw('PUT', '/bucket/ka', [['Connection', 'keep-alive']], 'abc');
[$one . ::s3_raw('GET', '/bucket/ka')]
--- ignore_response
--- no_error_log
[error]



=== TEST 24: as one sees
--- request
GET /bucket/ka
--- response_body: abc
