# ListObjects, ListObjectsV2, ListObjectVersions.

use Test::Nginx::S3;
use Test::Nginx::Socket 'no_plan';

s3_setup();
no_shuffle();
run_tests();

__DATA__

=== TEST 1: an empty bucket
--- request eval
["PUT /bucket", "GET /bucket", "GET /bucket?list-type=2", "GET /bucket?versions"]
--- error_code eval
[(200) x 4]
--- response_body_like eval
["^\$",
 qr{^<\?xml version="1.0" encoding="UTF-8"\?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>bucket</Name><Prefix( ?/>|></Prefix>).*<MaxKeys>1000</MaxKeys>.*<IsTruncated>false</IsTruncated>}s,
 qr{<KeyCount>0</KeyCount>.*<MaxKeys>1000</MaxKeys>|<MaxKeys>1000</MaxKeys>.*<KeyCount>0</KeyCount>}s,
 "<ListVersionsResult xmlns=.*<IsTruncated>false</IsTruncated>"]



=== TEST 2: some keys, in the order of their bytes
--- init
::s3_call('PUT', "/bucket/$_", [], 'x')
    for 'b', 'a/1', 'a', '%C3%A4', 'a-b', 'a/2', 'a/sub/x', 'z%26%3C%3E', 'B';
--- request
GET /bucket?list-type=2
--- response_body_like: <Key>B</Key>.*<Key>a</Key>.*<Key>a-b</Key>.*<Key>a/1</Key>.*<Key>a/2</Key>.*<Key>a/sub/x</Key>.*<Key>b</Key>.*<Key>z&amp;&lt;&gt;</Key>.*<Key>ä</Key>



=== TEST 3: the fields of an entry
--- request eval
["GET /bucket?list-type=2&prefix=b", "GET /bucket?list-type=2&prefix=b&fetch-owner=true", "GET /bucket?prefix=b"]
--- response_body_like eval
["<Contents>.*<Key>b</Key>.*<LastModified>20[^<]*Z</LastModified><ETag>(\"|&quot;|&#34;)9dd4e461268c8034f5c8564e155c67a6(\"|&quot;|&#34;)</ETag>.*<Size>1</Size>.*<StorageClass>STANDARD</StorageClass></Contents>",
 "<Owner><ID>[^<]+</ID>", "<Owner><ID>[^<]+</ID>"]



=== TEST 4: prefix and delimiter
--- request eval
["GET /bucket?list-type=2&delimiter=/", "GET /bucket?list-type=2&delimiter=/&prefix=a/", "GET /bucket?list-type=2&delimiter=sub/"]
--- response_body_like eval
["<KeyCount>7</KeyCount>", "<Key>a/1</Key>.*<Key>a/2</Key>.*<CommonPrefixes><Prefix>a/sub/</Prefix></CommonPrefixes>", "<Prefix>a/sub/</Prefix></CommonPrefixes>"]
--- response_body_unlike eval
["<Key>a/1</Key>", "a/sub/x", "a/sub/x"]



=== TEST 5: pages: keys and prefixes count alike
--- request
GET /bucket?list-type=2&delimiter=/&max-keys=3
--- response_body_like: <KeyCount>3</KeyCount>
--- s3_save
token=<NextContinuationToken>([^<]+)<



=== TEST 6: the next page begins with the common prefix
--- request
GET /bucket?list-type=2&delimiter=/&max-keys=3&continuation-token={{token}}
--- response_body_like: <CommonPrefixes><Prefix>a/</Prefix></CommonPrefixes>
--- response_body_unlike: <Key>a-b</Key>
--- s3_save
token=<NextContinuationToken>([^<]+)<



=== TEST 7: the last page
--- request
GET /bucket?list-type=2&delimiter=/&max-keys=3&continuation-token={{token}}
--- response_body_like: <IsTruncated>false</IsTruncated>
--- response_body_unlike: NextContinuationToken|<Prefix>a/</Prefix>



=== TEST 8: version 1: marker and NextMarker
--- request eval
["GET /bucket?max-keys=2", "GET /bucket?max-keys=2&marker=a", "GET /bucket?max-keys=3&delimiter=/"]
--- response_body_like eval
["<Key>B</Key>.*<Key>a</Key>", "<Marker>a</Marker>.*<Key>a-b</Key>.*<Key>a/1</Key>", "<NextMarker>a-b</NextMarker>"]
--- response_body_unlike eval
["NextMarker|a-b", "NextMarker|<Key>a</Key>", "<Key>b</Key>"]



=== TEST 9: start-after
--- request eval
["GET /bucket?list-type=2&start-after=a/1", "GET /bucket?list-type=2&start-after=zzzz"]
--- response_body_like eval
["<StartAfter>a/1</StartAfter>.*<Key>a/2</Key>|<Key>a/2</Key>.*<StartAfter>a/1</StartAfter>", "<Key>ä</Key>"]
--- response_body_unlike eval
["<Key>a/1</Key>", "<Key>z&amp;"]



=== TEST 10: encoding-type=url
--- request
GET /bucket?list-type=2&encoding-type=url&prefix=z%26&delimiter=%3E
--- response_body_like: <EncodingType>url</EncodingType>
--- response_body_unlike: z&amp;



=== TEST 11: max-keys
--- request eval
[map { "GET /bucket?list-type=2&max-keys=$_" } "0", "-1", "x", "100000", "99999999999999999999"]
--- error_code eval
[200, 400, 400, 200, 400]
--- response_body_like eval
["<KeyCount>0</KeyCount>", "<Code>InvalidArgument</Code>", "<Code>InvalidArgument</Code>", "<MaxKeys>1000</MaxKeys>", "<Code>InvalidArgument</Code>"]



=== TEST 12: bad arguments
--- request eval
["GET /bucket?list-type=2&continuation-token=%21%21", "GET /bucket?list-type=2&encoding-type=base64", "GET /bucket?list-type=3"]
--- error_code_like eval
["^400\$", "^400\$", "^(200|400|501)\$"]



=== TEST 13: versions of a bucket without versioning
--- request
GET /bucket?versions&prefix=a/&max-keys=1
--- response_body_like: <NextKeyMarker>a/1</NextKeyMarker><NextVersionIdMarker>null</NextVersionIdMarker>.*<Version><Key>a/1</Key><VersionId>null</VersionId><IsLatest>true</IsLatest>



=== TEST 14: after a delete it is gone at once
--- request eval
["DELETE /bucket/b", "GET /bucket?list-type=2&prefix=b"]
--- error_code eval
[204, 200]
--- response_body_unlike eval
["x", "<Key>b</Key>"]



=== TEST 15: a key with what XML can not hold
--- request eval
["PUT /bucket/ctl%01x\ny", "GET /bucket?list-type=2&prefix=ctl&encoding-type=url"]
--- response_body_like eval
["^\$", "<Key>ctl%01x</Key>"]
