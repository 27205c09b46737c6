# Object tagging.

use Digest::MD5;
use Test::Nginx::S3;
use Test::Nginx::Socket 'no_plan';

sub tags
{
    my $tags = join '', map { "<Tag><Key>$_->[0]</Key><Value>$_->[1]</Value>"
                              . "</Tag>" } @_;

    return "<Tagging><TagSet>$tags</TagSet></Tagging>";
}

sub md5
{
    return 'Content-MD5: ' . s3_base64(Digest::MD5::md5($_[0])) . "\n";
}

s3_setup();
no_shuffle();
run_tests();

__DATA__

=== TEST 1: none, put, get, delete
--- request eval
["PUT /bucket", "PUT /bucket/k\nabc", "GET /bucket/k?tagging", "PUT /bucket/k?tagging\n" . ::tags(['a', '1 + 2']), "GET /bucket/k?tagging", "GET /bucket/k", "DELETE /bucket/k?tagging", "GET /bucket/k?tagging", "HEAD /bucket/k"]
--- more_headers eval
["", "", "", ::md5(::tags(['a', '1 + 2'])), "", "", "", "", ""]
--- error_code eval
[200, 200, 200, 200, 200, 200, 204, 200, 200]
--- response_body_like eval
["^\$", "^\$", "<Tagging xmlns=.*<TagSet( ?/>|></TagSet>)", "^\$", "<Tag><Key>a</Key><Value>1 \\+ 2</Value></Tag>", "^abc\$", "^\$", "<TagSet( ?/>|></TagSet>)", "^\$"]
--- response_headers eval
["", "", "", "", "", "x-amz-tagging-count: 1", "", "", "!x-amz-tagging-count"]



=== TEST 2: with the object
--- request eval
["PUT /bucket/h\nx", "GET /bucket/h?tagging", "PUT /bucket/h\nx", "GET /bucket/h?tagging"]
--- more_headers eval
["x-amz-tagging: a=b%20c&d=", "", "", ""]
--- response_body_like eval
["^\$", "<Tag><Key>a</Key><Value>b c</Value></Tag><Tag><Key>d</Key><Value( ?/>|></Value>)</Tag>", "^\$", "<TagSet( ?/>|></TagSet>)"]



=== TEST 3: refused
--- request eval
[map { "PUT /bucket/k?tagging\n$_" }
 ::tags(['a' x 129, '']), ::tags(['a', 'b' x 257]), ::tags(['a', 1], ['a', 2]),
 ::tags(map { [$_, $_] } 1 .. 11), "<Tagging>", "<Other/>"]
--- more_headers eval
[map { ::md5($_) }
 ::tags(['a' x 129, '']), ::tags(['a', 'b' x 257]), ::tags(['a', 1], ['a', 2]),
 ::tags(map { [$_, $_] } 1 .. 11), "<Tagging>", "<Other/>"]
--- error_code eval
[(400) x 6]
--- response_body_like eval
[("<Code>InvalidTag</Code>") x 3, "<Code>(BadRequest|InvalidTag)</Code>", ("<Code>MalformedXML</Code>") x 2]



=== TEST 4: refused in the header
--- request eval
["PUT /bucket/x\n1", "PUT /bucket/x\n1", "HEAD /bucket/x"]
--- more_headers eval
["x-amz-tagging: a=1&a=2", "x-amz-tagging: " . join('&', map { "k$_=v" } 1 .. 11), ""]
--- error_code eval
[400, 400, 404]



=== TEST 5: of nothing
--- request eval
["GET /bucket/none?tagging", "PUT /bucket/none?tagging\n" . ::tags(), "DELETE /bucket/none?tagging"]
--- more_headers eval
["", ::md5(::tags()), ""]
--- error_code eval
[404, 404, 404]
--- response_body_like eval
[("<Code>NoSuchKey</Code>") x 3]
