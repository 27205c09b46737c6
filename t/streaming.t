# Bodies in aws-chunked coding, and checksums at the end of a body.

use Test::Nginx::S3;
use Test::Nginx::Socket 'no_plan';

our $data = join '', map { sprintf "%07d\n", $_ } 1 .. 20000;
our $small = "123456789";

our %sum = (crc32 => "y/Q5Jg==", crc32c => "4waSgw==",
            crc64nvme => "rosUhgp5mIg=",
            sha1 => ::s3_base64(Digest::SHA::sha1($small)),
            sha256 => ::s3_base64(Digest::SHA::sha256($small)));

s3_setup();
no_shuffle();
run_tests();

__DATA__

=== TEST 1: create the bucket and an object
--- request eval
["PUT /bucket", "PUT /bucket/k\nbefore"]
--- error_code eval
[200, 200]



=== TEST 2: signed chunks
--- raw_request eval
::s3_chunked('/bucket/signed', $::data, signed => 1, chunk => 9000)



=== TEST 3: what was stored
--- request
GET /bucket/signed
--- response_body eval
$::data
--- response_headers
!Content-Encoding



=== TEST 4: signed chunks with a signed trailer
--- raw_request eval
::s3_chunked('/bucket/trailer', $::small, signed => 1,
             trailer => ['x-amz-checksum-crc32c', $::sum{crc32c}])
--- response_headers eval
"x-amz-checksum-crc32c: $::sum{crc32c}"



=== TEST 5: unsigned chunks, all five checksums
--- init
for my $name (sort keys %::sum) {
    my $text = ::s3_chunked("/bucket/u-$name", $::small,
                            trailer => ["x-amz-checksum-$name",
                                        $::sum{$name}]);
    my $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                                  PeerPort => ::server_port());
    print $s $text;
    local $/;
    my $answer = <$s>;
    Test::More::like($answer, qr/\AHTTP\/1.1 200 /, "unsigned, $name");
    my $got = ::s3_call('GET', "/bucket/u-$name",
                        [['x-amz-checksum-mode', 'ENABLED']]);
    Test::More::is($got->{body}, $::small, "unsigned, $name: body");
    Test::More::is($got->{headers}{"x-amz-checksum-$name"}, $::sum{$name},
         "unsigned, $name: value");
}
--- request
GET /bucket/k
--- response_body: before



=== TEST 6: a trailer with the wrong value
--- raw_request eval
::s3_chunked('/bucket/k', $::small,
             trailer => ['x-amz-checksum-crc32', 'AAAAAA=='])
--- error_code: 400
--- response_body_like: <Code>BadDigest</Code>



=== TEST 7: the first chunk has a wrong signature
--- raw_request eval
::s3_chunked('/bucket/k', $::data, signed => 1, bad_chunk => 0)
--- error_code: 403
--- response_body_like: <Code>SignatureDoesNotMatch</Code>



=== TEST 8: the last, empty chunk has a wrong signature
--- raw_request eval
::s3_chunked('/bucket/k', $::data, signed => 1, chunk => 200000,
             bad_chunk => 1)
--- error_code: 403
--- response_body_like: <Code>SignatureDoesNotMatch</Code>



=== TEST 9: the trailer has a wrong signature
--- raw_request eval
::s3_chunked('/bucket/k', $::small, signed => 1, bad_trailer => 1,
             trailer => ['x-amz-checksum-crc32c', $::sum{crc32c}])
--- error_code: 403
--- response_body_like: <Code>SignatureDoesNotMatch</Code>



=== TEST 10: more or fewer bytes than announced
--- raw_request eval
::s3_chunked('/bucket/k', $::small, signed => 1, decoded => 8)
--- error_code: 400
--- response_body_like: <Code>IncompleteBody</Code>



=== TEST 11: fewer
--- raw_request eval
::s3_chunked('/bucket/k', $::small, signed => 1, decoded => 10)
--- error_code: 400
--- response_body_like: <Code>IncompleteBody</Code>



=== TEST 12: nothing announced
--- raw_request eval
::s3_chunked('/bucket/k', $::small, signed => 1, decoded => 'none')
--- error_code: 411
--- response_body_like: <Code>MissingContentLength</Code>



=== TEST 13: the end is missing
--- raw_request eval
::s3_chunked('/bucket/k', $::small, signed => 1, no_end => 1)
--- error_code: 400
--- response_body_like: <Code>IncompleteBody</Code>



=== TEST 14: chunks that are too small
--- raw_request eval
::s3_chunked('/bucket/k', $::data, signed => 1, chunk => 4096)
--- error_code: 400
--- response_body_like: <Code>InvalidChunkSizeError</Code>



=== TEST 15: an announced trailer that never comes
--- raw_request eval
my $r = ::s3_chunked('/bucket/k', $::small,
                     trailer => ['x-amz-checksum-crc32', $::sum{crc32}]);
$r =~ s/x-amz-checksum-crc32:\S+\r\n\r\n\z/\r\n/;
$r =~ s/(Content-Length: )(\d+)/$1 . ($2 - 31)/e; $r
--- error_code: 400
--- response_body_like: <Code>(MalformedTrailerError|IncompleteBody|InvalidRequest)</Code>



=== TEST 16: an unknown trailer
--- raw_request eval
::s3_chunked('/bucket/k', $::small, trailer => ['x-amz-checksum-none', 'x'])
--- error_code: 400
--- response_body_like: <Code>InvalidRequest</Code>



=== TEST 17: garbage instead of chunks
--- raw_request eval
my $body = "this is no chunk at all\r\n" x 20;
my ($u, $h) = ::s3_sign('PUT', '/bucket/k',
    [['x-amz-decoded-content-length', 400]], '',
    { payload => 'STREAMING-UNSIGNED-PAYLOAD-TRAILER' });
"PUT $u HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
. join('', map { "$_->[0]: $_->[1]\r\n" } @$h)
. 'Content-Length: ' . length($body) . "\r\n\r\n$body"
--- error_code: 400



=== TEST 18: after all of this the object is what it was
--- request
GET /bucket/k
--- response_body: before



=== TEST 19: checksums in headers, right ones
--- request eval
[map { "PUT /bucket/h\n$::small" } 1 .. 5]
--- more_headers eval
[map { "x-amz-checksum-$_: $::sum{$_}" } sort keys %::sum]
--- error_code eval
[(200) x 5]
--- response_headers eval
[map { "x-amz-checksum-$_: $::sum{$_}" } sort keys %::sum]



=== TEST 20: checksums in headers, wrong ones
--- request eval
[map { "PUT /bucket/k\n12345678" } 1 .. 5]
--- more_headers eval
[map { "x-amz-checksum-$_: $::sum{$_}" } sort keys %::sum]
--- error_code eval
[(400) x 5]
--- response_body_like eval
[("<Code>BadDigest</Code>") x 5]



=== TEST 21: a checksum that is no checksum; two at once
--- request eval
["PUT /bucket/k\n12345678", "PUT /bucket/k\n12345678"]
--- more_headers eval
["x-amz-checksum-crc32: abc",
 "x-amz-checksum-crc32: y/Q5Jg==\nx-amz-checksum-crc32c: 4waSgw=="]
--- error_code eval
[400, 400]
--- response_body_like eval
["<Code>InvalidRequest</Code>", "<Code>InvalidRequest</Code>"]



=== TEST 22: Content-MD5: right, wrong, nonsense
--- request eval
["PUT /bucket/m\nabc", "PUT /bucket/k\nabd", "PUT /bucket/k\nabc"]
--- more_headers eval
["Content-MD5: kAFQmDzST7DWlj99KOF/cg==",
 "Content-MD5: kAFQmDzST7DWlj99KOF/cg==", "Content-MD5: abc"]
--- error_code eval
[200, 400, 400]
--- response_body_like eval
["^\$", "<Code>BadDigest</Code>", "<Code>InvalidDigest</Code>"]



=== TEST 23: the object still is what it was; Expect: 100-continue
--- init
my $put = ::s3_call('PUT', '/bucket/e', [['Expect', '100-continue']], 'abc');
Test::More::is($put->{status}, 200, 'Expect: 100-continue');
--- request eval
["GET /bucket/k", "GET /bucket/e"]
--- response_body eval
["before", "abc"]



=== TEST 24: refused at once, without 100, when the signature is wrong
--- raw_request eval
my $r = ::s3_raw('PUT', '/bucket/e', [['Expect', '100-continue']], 'abc',
                 { secret => 'wrong' });
$r =~ s/abc\z//; $r
--- error_code: 403
--- response_body_like: <Code>SignatureDoesNotMatch</Code>



=== TEST 25: HTTP chunks around aws-chunks
--- raw_request eval
my $r = ::s3_chunked('/bucket/both', $::small,
                     trailer => ['x-amz-checksum-crc32', $::sum{crc32}]);
$r =~ s/Content-Length: \d+\r\n/Transfer-Encoding: chunked\r\n/;
my ($head, $body) = split /\r\n\r\n/, $r, 2;
[ "$head\r\n\r\n", map({ sprintf "%x\r\n%s\r\n", length $_, $_ } $body =~ /(.{1,7})/gs), "0\r\n\r\n" ]



=== TEST 26: what was stored
--- request
GET /bucket/both
--- response_body: 123456789



=== TEST 27: Content-Encoding besides aws-chunked is kept
--- raw_request eval
my $r = ::s3_chunked('/bucket/gz', $::small, headers => [],
                     trailer => ['x-amz-checksum-crc32', $::sum{crc32}]);
$r =~ s/Content-Encoding: aws-chunked/Content-Encoding: gzip,aws-chunked/; $r



=== TEST 28: as one sees
--- request
HEAD /bucket/gz
--- response_headers
Content-Encoding: gzip
Content-Length: 9
