# Large bodies, which are hashed in threads: MD5 in lanes, SHA one by one.

use Digest::MD5 ();
use Digest::SHA ();
use POSIX ();
use Socket ();
use Test::Nginx::S3;
use Test::Nginx::Socket 'no_plan';

# around what is hashed at once (64 KiB), and around a buffer (128 KiB)

our @lengths = (65535, 65536, 65537, 131071, 131072, 131073, 200000, 262144,
                400001, 1048576, 3000017);

# bytes that no two objects and no two blocks of one have in common

sub data
{
    my ($length, $salt) = @_;

    return substr join('', map { Digest::SHA::sha512("$salt $_") }
                               0 .. $length / 64), 0, $length;
}

our $data = data(1500007, 'data');
our $other = data(1500007, 'other');
our $md5 = Digest::MD5::md5_hex($data);

sub md5_64 { s3_base64(Digest::MD5::md5($_[0])) }

sub code
{
    my ($answer) = @_;

    return $answer->{status} . ($answer->{body} =~ /<Code>(\w+)</ ? " $1" : '');
}

sub put
{
    my ($key, $header, $body, $option) = @_;

    return code(s3_call('PUT', "/bucket/$key", $header, $body, $option));
}

# A connection with a request on it, or a part of one.

sub begin
{
    my ($text) = @_;
    my $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                                  PeerPort => server_port(), Timeout => 5);

    for (my $at = 0; $at < length $text; ) {
        $at += syswrite($s, $text, 65536, $at) || last;
    }

    return $s;
}

sub finish
{
    my ($s) = @_;
    my $answer = '';

    while (sysread $s, $answer, 65536, length $answer) { }

    return $answer;
}

# The answer to a request of s3_chunked().

sub chunked { finish(begin(s3_chunked(@_))) }

s3_setup();
master_on();
workers(1);
no_shuffle();
run_tests();

__DATA__

=== TEST 1: create the bucket
--- request
PUT /bucket



=== TEST 2: lengths, signed and unsigned
--- init
for my $payload ('signed', 'unsigned') {
    for my $length (@::lengths) {
        my $body = ::data($length, $payload);
        my $answer = ::s3_call('PUT', '/bucket/k', [], $body, { payload => $payload });
        Test::More::is($answer->{headers}{etag}, '"' . Digest::MD5::md5_hex($body) . '"', "$length, $payload");
        Test::More::ok(::s3_call('GET', '/bucket/k')->{body} eq $body, 'it is all there');
    }
}
--- request
HEAD /bucket/k
--- response_headers
Content-Length: 3000017



=== TEST 3: Content-MD5 and the SHA-256 of the payload, right and wrong
--- init
my $is = \&Test::More::is;
my $length = length $::data;
for my $payload ('signed', 'unsigned') {
    my $o = { payload => $payload };
    $is->(::put('a', [['Content-MD5', ::md5_64($::data)]], $::data, $o), '200', "MD5, $payload");
    $is->(::put('b', [['Content-MD5', ::md5_64($::other)]], $::data, $o), '400 BadDigest', "wrong MD5, $payload");
}
my $one = $::data;
substr($one, 1400000, 1) ^= "\1";
$is->(::put('b', [], $::data, { hash_of => $::other }), '400 XAmzContentSHA256Mismatch', 'SHA-256');
$is->(::put('b', [], $one, { hash_of => $::data }), '400 XAmzContentSHA256Mismatch', 'one bit');
$is->(::put('b', [['Content-MD5', ::md5_64($::data)]], $one, { payload => 'unsigned' }), '400 BadDigest', 'one bit');
--- request eval
["GET /bucket/b", "HEAD /bucket/a"]
--- error_code eval
[404, 200]
--- response_headers eval
["", "ETag: \"$::md5\""]



=== TEST 4: checksums, right and wrong
--- init
my %sum = (sha1 => ::s3_base64(Digest::SHA::sha1($::data)),
           sha256 => ::s3_base64(Digest::SHA::sha256($::data)),
           crc32 => ::s3_crc('crc32', $::data));
my %bad = (sha1 => ::s3_base64(Digest::SHA::sha1($::other)),
           sha256 => ::s3_base64(Digest::SHA::sha256($::other)),
           crc32 => 'AAAAAA==');
for my $name (sort keys %sum) {
    my $header = "x-amz-checksum-$name";
    Test::More::is(::put("s-$name", [[$header, $sum{$name}]], $::data), '200', $name);
    Test::More::is(::put('none', [[$header, $bad{$name}]], $::data), '400 BadDigest', "$name, wrong");
    Test::More::like(::chunked("/bucket/t-$name", $::data, trailer => [$header, $sum{$name}]),
                     qr/\A\S+ 200 .*ETag: "$::md5"/s, "$name in a trailer");
    Test::More::like(::chunked('/bucket/none', $::data, trailer => [$header, $bad{$name}]),
                     qr/<Code>BadDigest</, "$name in a trailer, wrong");
}
--- request eval
["GET /bucket/none", "GET /bucket/t-sha1"]
--- error_code eval
[404, 200]
--- response_body_like eval
["NoSuchKey", qr/\A\Q$::data\E\z/]



=== TEST 5: signed chunks, whose signatures are made in threads as well
--- init
for my $size (8192, 9000, 65536, 131072, 500000) {
    Test::More::like(::chunked("/bucket/c-$size", $::data, signed => 1, chunk => $size),
                     qr/\A\S+ 200 .*ETag: "$::md5"/s, "chunks of $size");
    Test::More::ok(::s3_call('GET', "/bucket/c-$size")->{body} eq $::data, 'it is all there');
    Test::More::like(::chunked('/bucket/none', $::data, signed => 1, chunk => $size, bad_chunk => 2),
                     qr/<Code>SignatureDoesNotMatch</, "chunks of $size, one wrong");
}
Test::More::like(::chunked('/bucket/c', $::data, signed => 1, chunk => 100000,
                           trailer => ['x-amz-checksum-sha256', ::s3_base64(Digest::SHA::sha256($::data))]),
                 qr/\A\S+ 200 .*ETag: "$::md5"/s, 'and a trailer');
Test::More::like(::chunked('/bucket/none', $::data, signed => 1, chunk => 65536, decoded => 1500008),
                 qr/\A\S+ 400 /, 'too short');
--- request
GET /bucket/none
--- error_code: 404



=== TEST 6: small chunks without signatures
--- init
my $sum = ['x-amz-checksum-sha1', ::s3_base64(Digest::SHA::sha1($::data))];
Test::More::like(::chunked('/bucket/8k', $::data, chunk => 8192, trailer => $sum),
                 qr/\A\S+ 200 .*ETag: "$::md5"/s, 'chunks of 8 KiB');
--- request
GET /bucket/8k
--- response_body eval
$::data



=== TEST 7: chunked by HTTP, of unknown length
--- init
my $body = join '', map { my $piece = substr $::data, $_ * 70001, 70001;
                          $piece eq '' ? '' : sprintf("%x\r\n%s\r\n", length $piece, $piece) } 0 .. 21;
my $text = ::s3_raw('PUT', '/bucket/te', [['Transfer-Encoding', 'chunked']], "${body}0\r\n\r\n", { hash_of => $::data });
Test::More::like(::finish(::begin($text)), qr/\A\S+ 200 .*ETag: "$::md5"/s, 'right');
$text = ::s3_raw('PUT', '/bucket/none', [['Transfer-Encoding', 'chunked']], "${body}0\r\n\r\n", { hash_of => $::other });
Test::More::like(::finish(::begin($text)), qr/XAmzContentSHA256Mismatch/, 'wrong');
--- request
GET /bucket/te
--- response_body eval
$::data



=== TEST 8: a slow client
--- raw_request eval
my $text = ::s3_raw('PUT', '/bucket/slow', [], $::data);
[map { { value => substr($text, $_ * 190000, 190000), delay_before => $_ ? 0.05 : 0 } } 0 .. int((length $text) / 190000)]
--- response_headers eval
"ETag: \"$::md5\""



=== TEST 9: the connection goes on
--- init
my $text = ::s3_raw('PUT', '/bucket/one', [['Connection', 'keep-alive']], $::data)
           . ::s3_raw('PUT', '/bucket/two', [['Connection', 'keep-alive'], ['Content-MD5', ::md5_64($::data)]], $::other)
           . ::s3_raw('PUT', '/bucket/three', [], $::other);
my $answer = ::finish(::begin($text));
my @etag = $answer =~ /ETag: "(\w+)"/g;
Test::More::is("@etag", "$::md5 " . Digest::MD5::md5_hex($::other), 'two were stored');
Test::More::like($answer, qr/ 200 .* 400 .*BadDigest.* 200 /s, 'one was not');
--- request
GET /bucket/two
--- error_code: 404



=== TEST 10: after a chunk that is none no request is seen
--- init
my $next = ::s3_raw('GET', '/bucket/one');
for (['GET', '/bucket/one'], ['GET', '/bucket/none'], ['PUT', '/bucket/none'], ['PUT', '/none/none']) {
    my $text = ::s3_raw(@$_, [['Transfer-Encoding', 'chunked'], ['Connection', 'keep-alive']], $next, { hash_of => '' });
    my @status = ::finish(::begin($text)) =~ m{HTTP/1.1 (\d+)}g;
    Test::More::like("@status", qr/^40\d$/, "$$_[0] $$_[1]");
}
--- request
GET /bucket/none
--- error_code: 404



=== TEST 11: many at once, of different lengths, some of them wrong
--- init
my $path = ::s3_dir() . '/many';
my $clients = 20;
for my $n (1 .. $clients) {
    next if fork();
    my $wrong = 0;
    for my $i (1 .. 4) {
        my $body = ::data(100000 + 77777 * (($n * $i) % 13), "$n/$i");
        my $key = "/bucket/many/$n";
        my $o = { payload => $n % 2 ? 'signed' : 'unsigned' };
        my $answer = ::s3_call('PUT', $key, [['Content-MD5', ::md5_64($body)]], $body, $o);
        $wrong++ if ($answer->{headers}{etag} || '') ne '"' . Digest::MD5::md5_hex($body) . '"';
        substr($body, -1) ^= "\1";
        $wrong++ if ::code(::s3_call('PUT', $key, [['Content-MD5', ::md5_64($body . 'x')]], $body, $o)) ne '400 BadDigest';
        $wrong++ if Digest::MD5::md5_hex(::s3_call('GET', $key)->{body}) ne ($answer->{headers}{etag} || '') =~ s/"//gr;
    }
    open my $out, '>>', $path;
    syswrite $out, "$n $wrong\n";
    POSIX::_exit(0);
}
1 while wait() > 0;
open my $in, '<', $path;
my @lines = <$in>;
Test::More::is(scalar(@lines), $clients, 'all clients ended');
Test::More::is(join('', grep { !/ 0$/ } @lines), '', 'every answer was right');
--- request
HEAD /bucket
--- timeout: 90



=== TEST 12: clients that leave in the middle
--- init
for my $round (1 .. 4) {
    my @s;
    for my $n (1 .. 12) {
        my $text = $n % 3 ? ::s3_raw('PUT', '/bucket/left', [], $::data)
                          : ::s3_chunked('/bucket/left', $::data, signed => 1, chunk => 50000);
        push @s, ::begin(substr $text, 0, 120000 * $n - $n * $round);
    }
    for my $n (0 .. $#s) {
        # half of them with a reset
        setsockopt $s[$n], Socket::SOL_SOCKET, Socket::SO_LINGER, pack 'ii', 1, 0 if $n % 2;
        close $s[$n];
    }
}
Test::More::is(::put('after', [], $::data), '200', 'others go on');
--- request
GET /bucket/left
--- error_code: 404



=== TEST 13: a reload in the middle
--- init
my $text = ::s3_raw('PUT', '/bucket/reload', [], $::data);
my @s = map { ::begin(substr $text, 0, 600000) } 1 .. 3;
my %old = map { $_ => 1 } ::s3_worker_pids();
kill 'HUP', ::s3_master_pid();
Test::More::ok(::s3_until(15, sub { grep { !$old{$_} } ::s3_worker_pids() }), 'a new worker');
syswrite $_, substr $text, 600000 for @s;
Test::More::like(::finish($_), qr/\A\S+ 200 .*ETag: "$::md5"/s, 'stored by the old one') for @s;
--- request
GET /bucket/reload
--- response_body eval
$::data



=== TEST 14: an upload of parts
--- request
POST /bucket/parts?uploads
--- s3_save
upload=<UploadId>([^<]+)<



=== TEST 15: its parts, one wrong, one copied
--- request eval
["PUT /bucket/parts?partNumber=1&uploadId={{upload}}\n" . $::other,
 "PUT /bucket/parts?partNumber=1&uploadId={{upload}}\n" . $::data x 4,
 "PUT /bucket/parts?partNumber=2&uploadId={{upload}}"]
--- more_headers eval
["Content-MD5: " . ::md5_64($::data), "", "x-amz-copy-source: bucket/a\nx-amz-copy-source-range: bytes=7-1400000"]
--- error_code eval
[400, 200, 200]
--- response_body_like eval
["BadDigest", "^\$", '<ETag>&quot;' . Digest::MD5::md5_hex(substr $::data, 7, 1400000 - 6) . '&quot;</ETag>']



=== TEST 16: completed, and copied: the copy has an MD5 of all
--- request eval
["POST /bucket/parts?uploadId={{upload}}\n<CompleteMultipartUpload>"
 . "<Part><PartNumber>1</PartNumber><ETag>" . Digest::MD5::md5_hex($::data x 4) . "</ETag></Part>"
 . "<Part><PartNumber>2</PartNumber><ETag>" . Digest::MD5::md5_hex(substr $::data, 7, 1400000 - 6) . "</ETag></Part>"
 . "</CompleteMultipartUpload>",
 "PUT /bucket/copy",
 "GET /bucket/copy"]
--- more_headers eval
["", "x-amz-copy-source: bucket/parts\nx-amz-checksum-algorithm: SHA256", "x-amz-checksum-mode: ENABLED"]
--- response_headers eval
["", "", 'ETag: "' . Digest::MD5::md5_hex($::data x 4 . substr $::data, 7, 1400000 - 6) . "\"\n"
         . 'x-amz-checksum-sha256: ' . ::s3_base64(Digest::SHA::sha256($::data x 4 . substr $::data, 7, 1400000 - 6))]
--- response_body_like eval
["<ETag>", "<ETag>", qr/\A\Q@{[$::data x 4 . substr $::data, 7, 1400000 - 6]}\E\z/]
