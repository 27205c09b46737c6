# Multipart uploads.

use Test::Nginx::S3;
use Test::Nginx::Socket 'no_plan';

our $five = join '', map { sprintf "%07d\n", $_ } 1 .. 655360;
our $md5 = do { require Digest::MD5; Digest::MD5::md5_hex($five) };
our $whole = Digest::MD5::md5_hex(Digest::MD5::md5($five)
                                  . Digest::MD5::md5('last'));

s3_setup();
no_shuffle();
run_tests();

__DATA__

=== TEST 1: begin
--- request eval
["PUT /bucket", "POST /bucket/k?uploads"]
--- more_headers eval
["", "x-amz-meta-a: b\nContent-Type: text/m"]
--- response_body_like eval
["^\$", "<InitiateMultipartUploadResult xmlns=.*<Bucket>bucket</Bucket><Key>k</Key><UploadId>[^<]+</UploadId>"]
--- s3_save
upload=<UploadId>([^<]+)<



=== TEST 2: two parts
--- init
my $one = ::s3_call('PUT', "/bucket/k?partNumber=1&uploadId={{upload}}", [], $::five);
Test::More::is($one->{headers}{etag}, "\"$::md5\"", 'part 1');
my $two = ::s3_call('PUT', "/bucket/k?partNumber=2&uploadId={{upload}}", [], 'last');
Test::More::is($two->{headers}{etag}, '"' . Digest::MD5::md5_hex('last') . '"', 'part 2');
--- request
GET /bucket/k?uploadId={{upload}}
--- response_body_like: <ListPartsResult xmlns=.*<UploadId>{{upload}}</UploadId>.*<Part>.*<PartNumber>1</PartNumber>.*<Size>5242880</Size>.*<Part>.*<PartNumber>2</PartNumber>.*<Size>4</Size>



=== TEST 3: it is listed, the object is not there
--- request eval
["GET /bucket?uploads", "GET /bucket/k", "GET /bucket?list-type=2"]
--- error_code eval
[200, 404, 200]
--- response_body_like eval
["<ListMultipartUploadsResult xmlns=.*<Upload>.*<Key>k</Key>", "NoSuchKey", "<KeyCount>0</KeyCount>"]



=== TEST 4: parts one at a time
--- request
GET /bucket/k?uploadId={{upload}}&max-parts=1
--- response_body_like: <NextPartNumberMarker>1</NextPartNumberMarker>.*<IsTruncated>true</IsTruncated>.*<PartNumber>1</PartNumber>
--- response_body_unlike: <PartNumber>2</PartNumber>



=== TEST 5: completions that are refused
--- request eval
my $part = sub { "<Part><PartNumber>$_[0]</PartNumber><ETag>$_[1]</ETag></Part>" };
my $last = Digest::MD5::md5_hex('last');
[map { "POST /bucket/k?uploadId={{upload}}\n<CompleteMultipartUpload>$_</CompleteMultipartUpload>" }
 "", $part->(2, $last) . $part->(1, $::md5), $part->(1, $last), $part->(3, $last), "<Part>", $part->(0, $last)]
--- error_code eval
[(400) x 6]
--- response_body_like eval
["<Code>MalformedXML</Code>", "<Code>InvalidPartOrder</Code>", "<Code>InvalidPart</Code>", "<Code>InvalidPart</Code>", "<Code>MalformedXML</Code>", "<Code>(InvalidPart|MalformedXML|InvalidArgument|InvalidPartOrder)</Code>"]



=== TEST 6: complete, twice
--- request eval
my $part = sub { "<Part><PartNumber>$_[0]</PartNumber><ETag>$_[1]</ETag></Part>" };
my $last = Digest::MD5::md5_hex('last');
[("POST /bucket/k?uploadId={{upload}}\n<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">" . $part->(1, "&quot;$::md5&quot;") . $part->(2, $last) . "</CompleteMultipartUpload>") x 2]
--- error_code eval
[200, 200]
--- response_body_like eval
[("<CompleteMultipartUploadResult xmlns=.*<Location>http://[^<]*</Location><Bucket>bucket</Bucket><Key>k</Key><ETag>(\"|&quot;|&#34;)$::whole-2") x 2]



=== TEST 7: the object
--- request
GET /bucket/k
--- response_headers eval
"ETag: \"$::whole-2\"\nContent-Type: text/m\nx-amz-meta-a: b\nContent-Length: 5242884"
--- response_body eval
$::five . "last"



=== TEST 8: a part of it
--- request
GET /bucket/k?partNumber=2
--- error_code: 206
--- response_headers
x-amz-mp-parts-count: 2
Content-Range: bytes 5242880-5242883/5242884
--- response_body: last



=== TEST 9: the upload is over
--- request eval
["PUT /bucket/k?partNumber=3&uploadId={{upload}}\nx", "GET /bucket/k?uploadId={{upload}}", "GET /bucket?uploads"]
--- error_code eval
[404, 404, 200]
--- response_body_like eval
["<Code>NoSuchUpload</Code>", "<Code>NoSuchUpload</Code>", "<IsTruncated>false</IsTruncated>"]
--- response_body_unlike eval
["<Upload>", "<Upload>", "<Upload>"]



=== TEST 10: a second upload
--- request
POST /bucket/k?uploads
--- response_body_like: UploadId
--- s3_save
upload=<UploadId>([^<]+)<



=== TEST 11: part numbers that are none, ids that are none
--- request eval
["PUT /bucket/k?partNumber=0&uploadId={{upload}}\nx", "PUT /bucket/k?partNumber=10001&uploadId={{upload}}\nx",
 "PUT /bucket/k?partNumber=a&uploadId={{upload}}\nx", "PUT /bucket/k?partNumber=1&uploadId=nonsense\nx",
 "PUT /bucket/other?partNumber=1&uploadId={{upload}}\nx", "PUT /bucket/k?partNumber=99999999999999999999&uploadId={{upload}}\nx"]
--- error_code eval
[400, 400, 400, 404, 404, 400]
--- response_body_like eval
[("<Code>InvalidArgument</Code>") x 3, ("<Code>NoSuchUpload</Code>") x 2, "<Code>InvalidArgument</Code>"]



=== TEST 12: copy into a part
--- request
PUT /bucket/k?partNumber=1&uploadId={{upload}}
--- more_headers
x-amz-copy-source: /bucket/k
x-amz-copy-source-range: bytes=5242879-5242883
--- error_code: 200
--- response_body_like: <CopyPartResult.*<ETag>



=== TEST 13: copy ranges that are none
--- request eval
[("PUT /bucket/k?partNumber=1&uploadId={{upload}}") x 3]
--- more_headers eval
[map { "x-amz-copy-source: /bucket/k\nx-amz-copy-source-range: bytes=$_" } "5-", "0-99999999", "9-5"]
--- error_code_like eval
["^400\$", "^4(00|16)\$", "^4(00|16)\$"]



=== TEST 14: a part that is too small
--- request eval
my $tag = Digest::MD5::md5_hex("\nlast");
["PUT /bucket/k?partNumber=2&uploadId={{upload}}\nx", "POST /bucket/k?uploadId={{upload}}\n<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>$tag</ETag></Part><Part><PartNumber>2</PartNumber><ETag>9dd4e461268c8034f5c8564e155c67a6</ETag></Part></CompleteMultipartUpload>"]
--- error_code eval
[200, 400]
--- response_body_like eval
["^\$", "<Code>EntityTooSmall</Code>"]



=== TEST 15: abort
--- request eval
["DELETE /bucket/k?uploadId={{upload}}", "GET /bucket/k?uploadId={{upload}}", "DELETE /bucket/k?uploadId={{upload}}", "HEAD /bucket/k"]
--- error_code eval
[204, 404, 404, 200]
