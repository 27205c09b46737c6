# Who may come in: SigV4 in the header and in the URL, and every wrong form.

use Test::Nginx::S3;
use Test::Nginx::Socket 'no_plan';

s3_setup();
no_shuffle();
run_tests();

__DATA__

=== TEST 1: create the bucket and an object
--- request eval
["PUT /bucket", "PUT /bucket/k\nsecret"]
--- error_code eval
[200, 200]



=== TEST 2: the request ids are there
--- request
GET /bucket/k
--- response_body: secret
--- response_headers_like
x-amz-request-id: [0-9A-Z]{16}
x-amz-id-2: \S{16,}



=== TEST 3: anonymous
--- request eval
["GET /", "GET /bucket", "GET /bucket/k", "PUT /bucket/k\nx",
 "DELETE /bucket/k", "POST /bucket?delete\nx", "PUT /other"]
--- s3 eval
[("anonymous") x 7]
--- error_code eval
[(403) x 7]
--- response_body_like eval
[("<Code>AccessDenied</Code>") x 7]



=== TEST 4: the second credential has the same access
--- request
GET /bucket/k
--- s3: key=second
--- response_body: secret



=== TEST 5: unknown key
--- request
GET /bucket/k
--- s3: key=AKIDNOSUCHKEY0000009
--- error_code: 403
--- response_body_like: <Code>InvalidAccessKeyId</Code>.*<AWSAccessKeyId>AKIDNOSUCHKEY0000009<



=== TEST 6: wrong secret, changed signature
--- request eval
["GET /bucket/k", "GET /bucket/k"]
--- s3 eval
["secret=wrong", "tamper"]
--- error_code eval
[403, 403]
--- response_body_like eval
[("<Code>SignatureDoesNotMatch</Code>.*<SignatureProvided>.*<StringToSign>AWS4-HMAC-SHA256|<Code>SignatureDoesNotMatch</Code>.*<StringToSign>AWS4-HMAC-SHA256") x 2]
--- response_body_unlike eval
[("root-secret", "root-secret")]



=== TEST 7: wrong region, with the right one named
--- request
GET /bucket/k
--- s3: region=eu-west-1
--- error_code: 400
--- response_body_like: <Code>AuthorizationHeaderMalformed</Code>.*<Region>us-east-1</Region>



=== TEST 8: wrong service
--- request
GET /bucket/k
--- s3: service=ec2
--- error_code: 400
--- response_body_like: <Code>AuthorizationHeaderMalformed</Code>



=== TEST 9: the clock, 16 minutes off in both directions
--- request eval
["GET /bucket/k", "GET /bucket/k"]
--- s3 eval
["skew=-960", "skew=960"]
--- error_code eval
[403, 403]
--- response_body_like eval
[("<Code>RequestTimeTooSkewed</Code>.*<MaxAllowedSkewMilliseconds>900000<") x 2]



=== TEST 10: the clock, 14 minutes off
--- request eval
["GET /bucket/k", "GET /bucket/k"]
--- s3 eval
["skew=-840", "skew=840"]
--- response_body eval
["secret", "secret"]



=== TEST 11: the day of the scope is not that of the date
--- request
GET /bucket/k
--- s3: scope_date=20200101
--- error_code: 400
--- response_body_like: <Code>AuthorizationHeaderMalformed</Code>



=== TEST 12: an x-amz- header that is not signed
--- request
PUT /bucket/new
body
--- more_headers
x-amz-meta-a: b
--- s3: unsigned=x-amz-meta-a
--- error_code: 403
--- response_body_like: <Code>AccessDenied</Code>.*<HeadersNotSigned>x-amz-meta-a<



=== TEST 13: the host is not signed
--- request
GET /bucket/k
--- s3: unsigned=host
--- error_code: 403
--- response_body_like: <Code>(AccessDenied|SignatureDoesNotMatch)</Code>



=== TEST 14: no x-amz-content-sha256
--- request
GET /bucket/k
--- s3: payload=none
--- error_code: 400
--- response_body_like: <Code>InvalidRequest</Code>.*x-amz-content-sha256



=== TEST 15: an x-amz-content-sha256 that is nothing
--- request
PUT /bucket/new
body
--- s3: payload=NONSENSE
--- error_code: 400
--- response_body_like: <Code>InvalidArgument</Code>



=== TEST 16: the body is not the signed one; nothing is stored
--- request eval
["PUT /bucket/k\nother", "GET /bucket/k"]
--- s3 eval
["payload=" . "0" x 64, ""]
--- error_code eval
[400, 200]
--- response_body_like eval
["<Code>XAmzContentSHA256Mismatch</Code>", "^secret\$"]



=== TEST 17: other kinds of Authorization
--- request eval
["GET /bucket/k", "GET /bucket/k", "GET /bucket/k", "GET /bucket/k",
 "GET /bucket/k"]
--- s3 eval
[("anonymous") x 5]
--- more_headers eval
my $date = "x-amz-date: " . POSIX::strftime('%Y%m%dT%H%M%SZ', gmtime) . "\n"
           . "x-amz-content-sha256: UNSIGNED-PAYLOAD\n";
["${date}Authorization: Bearer abcdef",
 "${date}Authorization: AWS AKID:c2lnbmF0dXJl",
 "${date}Authorization: AWS4-HMAC-SHA256",
 "${date}Authorization: AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=00",
 "${date}Authorization: AWS4-HMAC-SHA256 Credential=AKIDTESTROOT00000001/20260101/us-east-1/s3/aws4_request, SignedHeaders=host"]
--- error_code eval
[400, 400, 400, 400, 400]
--- response_body_like eval
["<Code>InvalidArgument</Code>.*Unsupported Authorization Type",
 "<Code>InvalidRequest</Code>.*AWS4-HMAC-SHA256",
 "<Code>(InvalidArgument|AuthorizationHeaderMalformed)</Code>",
 "<Code>AuthorizationHeaderMalformed</Code>",
 "<Code>AuthorizationHeaderMalformed</Code>"]



=== TEST 18: two Authorization headers
--- raw_request eval
my $r = ::s3_raw('GET', '/bucket/k');
$r =~ s/(Authorization: .*\r\n)/$1$1/; $r
--- error_code: 400
--- response_body_unlike: secret



=== TEST 19: header and query at once
--- raw_request eval
::s3_raw('GET', ::s3_presign('GET', '/bucket/k', 3600))
--- error_code: 400
--- response_body_like: <Code>InvalidArgument</Code>



=== TEST 20: presigned
--- request eval
["GET /bucket/k", "HEAD /bucket/k", "GET /bucket/k?response-content-type=text/css"]
--- s3 eval
["presign=60", "presign=604800", "presign=20"]
--- response_body eval
["secret", "", "secret"]
--- response_headers eval
["", "", "Content-Type: text/css"]



=== TEST 21: presigned, expired and not yet valid
--- request eval
["GET /bucket/k", "GET /bucket/k"]
--- s3 eval
["presign=60 skew=-61", "presign=60 skew=1000"]
--- error_code eval
[403, 403]
--- response_body_like eval
["<Code>AccessDenied</Code>.*Request has expired",
 "<Code>AccessDenied</Code>.*Request is not valid yet"]



=== TEST 22: presigned, bad life times
--- request eval
["GET /bucket/k", "GET /bucket/k", "GET /bucket/k"]
--- s3 eval
["presign=604801", "presign=-5", "presign=abc"]
--- error_code eval
[400, 400, 400]
--- response_body_like eval
[("<Code>AuthorizationQueryParametersError</Code>") x 3]



=== TEST 23: presigned, a parameter is missing
--- raw_request eval
my $u = ::s3_presign('GET', '/bucket/k', 3600);
$u =~ s/&X-Amz-Date=[^&]*//; "GET $u HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
--- error_code: 400
--- response_body_like: <Code>AuthorizationQueryParametersError</Code>



=== TEST 24: presigned for another method
--- raw_request eval
my $u = ::s3_presign('GET', '/bucket/k', 3600);
"DELETE $u HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
--- error_code: 403
--- response_body_like: <Code>SignatureDoesNotMatch</Code>



=== TEST 25: presigned, changed signature
--- request
GET /bucket/k
--- s3: presign=60 tamper
--- error_code: 403
--- response_body_like: <Code>SignatureDoesNotMatch</Code>



=== TEST 26: a signature of version 2 in the query
--- request
GET /bucket/k?AWSAccessKeyId=a&Expires=99999999999&Signature=abc
--- s3: anonymous
--- error_code: 400
--- response_body_like: <Code>InvalidRequest</Code>



=== TEST 27: HEAD: the status alone
--- request
HEAD /bucket/k
--- s3: secret=wrong
--- error_code: 403
--- response_body:



=== TEST 28: names that clients leave unencoded, or encode
--- request eval
["PUT /bucket/a%2Ab(c)!'d:e\@f=g+h;i,j~k%7El\n1", "GET /bucket/a*b%28c%29%21%27d%3Ae%40f%3Dg%2Bh%3Bi%2Cj~k~l"]
--- error_code eval
[200, 200]
--- response_body eval
["", "1"]



=== TEST 29: no secret in the log
--- request
GET /bucket/k
--- s3: secret=wrong
--- error_code: 403
--- no_error_log
root-secret-for-tests
second-secret-for-tests
[alert]



=== TEST 30: credentials that others can read are refused
--- http_config eval
system("install -m 644 " . ::s3_dir() . "/credentials " . ::s3_dir() . "/open");
my $c = ::s3_conf(); $c =~ s{/credentials;}{/open;}; $c
--- must_die
--- error_log
open



=== TEST 31: credentials that are not there are refused
--- http_config eval
my $c = ::s3_conf(); $c =~ s{/credentials;}{/missing;}; $c
--- must_die
--- error_log
missing
