# CopyObject.

use Test::Nginx::S3;
use Test::Nginx::Socket 'no_plan';

sub connection
{
    return IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                                 PeerPort => server_port(), Timeout => 5);
}

our $large = join '', map { sprintf "%07d\n", $_ } 1 .. 100000;

s3_setup();
no_shuffle();
run_tests();

__DATA__

=== TEST 1: copy
--- request eval
["PUT /bucket", "PUT /other", "PUT /bucket/s\nabc", "PUT /other/d", "GET /other/d"]
--- more_headers eval
["", "", "x-amz-meta-a: b\nContent-Type: text/a\nx-amz-tagging: t=1", "x-amz-copy-source: /bucket/s", ""]
--- error_code eval
[(200) x 5]
--- response_headers eval
["", "", "", "Content-Type: application/xml", "Content-Type: text/a\nx-amz-meta-a: b\nx-amz-tagging-count: 1"]
--- response_body_like eval
["^\$", "^\$", "^\$", "<CopyObjectResult.*<LastModified>20\\d\\d-[^<]*Z</LastModified>.*(\"|&quot;|&#34;)900150983cd24fb0d6963f7d28e17f72|<CopyObjectResult.*900150983cd24fb0d6963f7d28e17f72", "^abc\$"]



=== TEST 2: a large one, with an encoded name
--- init
::s3_call('PUT', '/bucket/l%20%C3%A4', [], $::large);
--- request eval
["PUT /bucket/l2", "GET /bucket/l2"]
--- more_headers eval
["x-amz-copy-source: bucket/l%20%C3%A4", ""]
--- response_body_like eval
["<CopyObjectResult", qr/\A\Q$::large\E\z/]



=== TEST 3: REPLACE
--- request eval
["PUT /bucket/r", "HEAD /bucket/r"]
--- more_headers eval
["x-amz-copy-source: /bucket/s\nx-amz-metadata-directive: REPLACE\nx-amz-meta-c: d\nContent-Type: text/r", ""]
--- error_code eval
[200, 200]
--- response_headers eval
["", "x-amz-meta-c: d\n!x-amz-meta-a\nContent-Type: text/r"]



=== TEST 4: to itself: only with a change
--- request eval
["PUT /bucket/s", "PUT /bucket/s", "HEAD /bucket/s"]
--- more_headers eval
["x-amz-copy-source: /bucket/s", "x-amz-copy-source: /bucket/s\nx-amz-metadata-directive: REPLACE\nx-amz-meta-new: 1", ""]
--- error_code eval
[400, 200, 200]
--- response_headers eval
["", "", "x-amz-meta-new: 1\n!x-amz-meta-a"]
--- response_body_like eval
["<Code>InvalidRequest</Code>", "<CopyObjectResult", "^\$"]



=== TEST 5: wrong directive, wrong source, absent source
--- request eval
[("PUT /bucket/x") x 4]
--- more_headers eval
["x-amz-copy-source: /bucket/s\nx-amz-metadata-directive: KEEP", "x-amz-copy-source: bucket",
 "x-amz-copy-source: /bucket/none", "x-amz-copy-source: /none-bucket/k"]
--- error_code eval
[400, 400, 404, 404]
--- response_body_like eval
["<Code>InvalidArgument</Code>", "<Code>InvalidArgument</Code>", "<Code>NoSuchKey</Code>", "<Code>NoSuchBucket</Code>"]



=== TEST 6: conditions on the source
--- request eval
[("PUT /bucket/y") x 4, "HEAD /bucket/y"]
--- more_headers eval
[(map { "x-amz-copy-source: /bucket/s\nx-amz-copy-source-$_" } "if-match: \"x\"", "if-none-match: \"900150983cd24fb0d6963f7d28e17f72\"", "if-unmodified-since: Sat, 01 Jan 2000 00:00:00 GMT", "if-modified-since: Sat, 01 Jan 2044 00:00:00 GMT"), ""]
--- error_code_like eval
["^412\$", "^412\$", "^412\$", "^(200|412)\$", "^(200|404)\$"]



=== TEST 7: the copy stands on its own
--- request eval
["DELETE /bucket/l%20%C3%A4", "GET /bucket/l2"]
--- error_code eval
[204, 200]
--- response_body_like eval
["^\$", qr/\A\Q$::large\E\z/]



=== TEST 8: the source is overwritten while it is copied
--- init
my @text = map { $_ x (32 << 20) } 'a', 'b';
my ($sock, $copy) = map { ::connection() } 1, 2;
Test::More::is(::s3_call('PUT', '/bucket/changing', [], $text[0])->{status}, 200, 'before');
my $put = ::s3_raw('PUT', '/bucket/changing', [], $text[1]);
print $sock substr($put, 0, -1);
$sock->flush;
select undef, undef, undef, 0.5;
print $copy ::s3_raw('PUT', '/bucket/copied', [['x-amz-copy-source', '/bucket/changing']], '');
$copy->flush;
select undef, undef, undef, 0.02;
print $sock substr($put, -1);
$sock->flush;
Test::More::like(do { local $/; <$copy> }, qr/ 200 .*CopyObjectResult/s, 'copied');
Test::More::like(do { local $/; <$sock> }, qr/ 200 /, 'overwritten');
my $body = ::s3_call('GET', '/bucket/copied')->{body};
Test::More::ok($body eq $text[0] || $body eq $text[1], 'one of the two');
--- request
DELETE /bucket/copied
--- error_code: 204
