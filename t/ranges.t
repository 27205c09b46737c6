# Range requests, on objects of each way of storing.

use Test::Nginx::S3;
use Test::Nginx::Socket 'no_plan';

our $small = join '', map { chr(32 + $_ % 90) } 1 .. 1000;
our $large = join '', map { sprintf "%07d\n", $_ } 1 .. 150000;

s3_setup();
no_shuffle();
run_tests();

__DATA__

=== TEST 1: three objects
--- init
::s3_call('PUT', '/bucket');
Test::More::is(::s3_call('PUT', '/bucket/small', [], $::small)->{status}, 200, 'small');
Test::More::is(::s3_call('PUT', '/bucket/large', [], $::large)->{status}, 200, 'large');
Test::More::is(::s3_call('PUT', '/bucket/empty', [], '')->{status}, 200, 'empty');
--- request
GET /bucket/large
--- response_body eval
$::large



=== TEST 2: first, last, both
--- request eval
[("GET /bucket/small") x 5]
--- more_headers eval
["Range: bytes=0-9", "Range: bytes=990-", "Range: bytes=-3",
 "Range: bytes=5-5", "Range: bytes=0-99999"]
--- error_code eval
[(206) x 5]
--- response_headers eval
["Content-Range: bytes 0-9/1000\nContent-Length: 10",
 "Content-Range: bytes 990-999/1000", "Content-Range: bytes 997-999/1000",
 "Content-Range: bytes 5-5/1000", "Content-Range: bytes 0-999/1000"]
--- response_body eval
[substr($::small, 0, 10), substr($::small, 990), substr($::small, -3),
 substr($::small, 5, 1), $::small]



=== TEST 3: across the blocks of a large object
--- request eval
[("GET /bucket/large") x 5]
--- more_headers eval
["Range: bytes=131070-131075", "Range: bytes=262143-524289",
 "Range: bytes=1199990-", "Range: bytes=-131073", "Range: bytes=100000-1100000"]
--- error_code eval
[(206) x 5]
--- response_body eval
[substr($::large, 131070, 6), substr($::large, 262143, 262147),
 substr($::large, 1199990), substr($::large, -131073),
 substr($::large, 100000, 1000001)]



=== TEST 4: HEAD with a range
--- request
HEAD /bucket/large
--- more_headers
Range: bytes=10-19
--- error_code: 206
--- response_headers
Content-Range: bytes 10-19/1200000
Content-Length: 10



=== TEST 5: beyond the end
--- request eval
[("GET /bucket/small") x 3]
--- more_headers eval
["Range: bytes=1000-", "Range: bytes=5000-6000", "Range: bytes=-0"]
--- error_code eval
[416, 416, 416]
--- response_body_like eval
[("<Code>InvalidRange</Code>.*<ActualObjectSize>1000</ActualObjectSize>") x 3]



=== TEST 6: of nothing, only the last bytes can be asked for
--- request eval
[("GET /bucket/empty") x 3]
--- more_headers eval
["Range: bytes=0-0", "Range: bytes=-0", "Range: bytes=-1"]
--- error_code eval
[416, 416, 200]



=== TEST 7: what is no range is no range
--- request eval
[("GET /bucket/small") x 7]
--- more_headers eval
["Range: bytes=5-2", "Range: bytes=a-b", "Range: lines=1-2", "Range: bytes",
 "Range: bytes=", "Range: bytes=0-1,5-6", "Range: bytes= -1"]
--- error_code eval
[(200) x 7]
--- response_body eval
[($::small) x 7]



=== TEST 8: numbers that do not fit
--- request eval
[("GET /bucket/small") x 2]
--- more_headers eval
["Range: bytes=0-99999999999999999999999999",
 "Range: bytes=99999999999999999999999999-"]
--- error_code_like eval
["^20[06]\$", "^(200|416)\$"]



=== TEST 9: partNumber of an object that has no parts
--- request eval
["GET /bucket/small?partNumber=1", "GET /bucket/small?partNumber=2",
 "GET /bucket/small?partNumber=0", "GET /bucket/small?partNumber=10001",
 "GET /bucket/small?partNumber=1"]
--- more_headers eval
["", "", "", "", "Range: bytes=0-1"]
--- error_code eval
[206, 416, 400, 400, 400]
