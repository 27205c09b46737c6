# Conditional reads, writes and deletes.

use Test::Nginx::S3;
use Test::Nginx::Socket 'no_plan';

our $etag = '"900150983cd24fb0d6963f7d28e17f72"';
our $past = 'Sat, 01 Jan 2000 00:00:00 GMT';

s3_setup();
no_shuffle();
run_tests();

__DATA__

=== TEST 1: an object
--- request eval
["PUT /bucket", "PUT /bucket/k\nabc"]
--- error_code eval
[200, 200]



=== TEST 2: If-Match, If-None-Match
--- request eval
[("GET /bucket/k") x 6]
--- more_headers eval
["If-Match: $::etag", "If-Match: \"x\"", "If-Match: *",
 "If-None-Match: $::etag", "If-None-Match: \"x\"", "If-None-Match: *"]
--- error_code eval
[200, 412, 200, 304, 200, 304]
--- response_headers eval
["", "", "", "ETag: $::etag", "", "ETag: $::etag"]
--- response_body_like eval
["^abc\$", "<Code>PreconditionFailed</Code>.*<Condition>If-Match</Condition>",
 "^abc\$", "^\$", "^abc\$", "^\$"]



=== TEST 3: dates
--- request eval
[("HEAD /bucket/k") x 4]
--- more_headers eval
["If-Modified-Since: $::past", "If-Unmodified-Since: $::past",
 "If-Modified-Since: nonsense", "If-Unmodified-Since: nonsense"]
--- error_code eval
[200, 412, 200, 200]



=== TEST 4: the tag goes before the date
--- request eval
[("GET /bucket/k") x 2]
--- more_headers eval
["If-Match: $::etag\nIf-Unmodified-Since: $::past",
 "If-None-Match: $::etag\nIf-Modified-Since: $::past"]
--- error_code eval
[200, 304]



=== TEST 5: put only what is new
--- request eval
["PUT /bucket/new\n1", "PUT /bucket/new\n2", "GET /bucket/new"]
--- more_headers eval
["If-None-Match: *", "If-None-Match: *", ""]
--- error_code eval
[200, 412, 200]
--- response_body_like eval
["^\$", "<Code>PreconditionFailed</Code>", "^1\$"]



=== TEST 6: put only over what one knows
--- request eval
["PUT /bucket/k\ndef", "PUT /bucket/k\nabc", "GET /bucket/k", "PUT /bucket/none\nx", "HEAD /bucket/none"]
--- more_headers eval
["If-Match: \"x\"", "If-Match: $::etag", "", "If-Match: $::etag", ""]
--- error_code eval
[412, 200, 200, 404, 404]
--- response_body_like eval
["<Code>PreconditionFailed</Code>", "^\$", "^abc\$", "<Code>NoSuchKey</Code>", "^\$"]



=== TEST 7: conditions that a write does not know
--- request
PUT /bucket/k
xyz
--- more_headers
If-None-Match: "abc"
--- error_code: 501
--- response_body_like: <Code>NotImplemented</Code>



=== TEST 8: delete only what one knows
--- request eval
["DELETE /bucket/k", "DELETE /bucket/k", "HEAD /bucket/k"]
--- more_headers eval
["If-Match: \"x\"", "If-Match: $::etag", ""]
--- error_code eval
[412, 204, 404]



=== TEST 9: the same with a large object
--- init
our $large = 'x' x 700000;
Test::More::is(::s3_call('PUT', '/bucket/l', [['If-None-Match', '*']], $large)->{status},
     200, 'first');
Test::More::is(::s3_call('PUT', '/bucket/l', [['If-None-Match', '*']], $large)->{status},
     412, 'second');
--- request
HEAD /bucket/l
--- response_headers
Content-Length: 700000
