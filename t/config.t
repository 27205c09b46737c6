# Directives, what nginx -t says of wrong ones, variables, other locations.

use Test::Nginx::S3;
use Test::Nginx::Socket 'no_plan';

# the configuration with one line changed
sub with
{
    my ($from, $to) = @_;

    my $conf = s3_conf();

    $conf =~ s/$from/$to/ or die "no $from in the configuration";

    return $conf;
}

s3_setup();
no_shuffle();
run_tests();

__DATA__

=== TEST 1: no drives
--- http_config eval
::with('s3_drives.*?;', '')
--- must_die
--- error_log
s3_drives



=== TEST 2: no credentials
--- http_config eval
::with('s3_credentials.*?;', '')
--- must_die
--- error_log
s3_credentials



=== TEST 3: a notation of drives that is none
--- http_config eval
::with('\{1\.\.\.4\}', '{4...1}')
--- must_die
--- error_log
s3_drives



=== TEST 4: more parity than drives allow
--- http_config eval
::s3_conf() . "s3_parity 3;"
--- must_die
--- error_log
parity 3 is too much for 4 drives



=== TEST 5: the same drive twice
--- http_config eval
my $d = ::s3_dir();
::with('s3_drives.*?;', "s3_drives $d/drive1 $d/drive1;")
--- must_die
--- error_log
drive1



=== TEST 6: s3 takes no argument
--- config
location / { s3 on; }
--- must_die
--- error_log
invalid number of arguments in "s3" directive



=== TEST 7: drives given one by one, other locations beside it, variables
--- http_config eval
my $d = ::s3_dir();
::with('s3_drives.*?;', "s3_drives $d/drive1 $d/drive2 $d/drive3 $d/drive4;")
. 'log_format s3 "$s3_operation|$s3_bucket|$s3_key|$s3_requester|$s3_error_code|$status";'
. "access_log $d/s3.log s3;"
--- config
location = /healthy { return 200 "yes"; }
location / { s3; }
--- request eval
["GET /healthy", "PUT /bucket", "PUT /bucket/a%20b\nx", "GET /bucket/none", "GET /bucket/k"]
--- s3 eval
["", "", "", "", "anonymous"]
--- error_code eval
[200, 200, 200, 404, 403]



=== TEST 8: what was logged
--- init
open my $in, '<', ::s3_dir() . '/s3.log';
my @line = <$in>;
my $key = Test::Nginx::S3::ROOT_KEY;
Test::More::like($line[1], qr/^CreateBucket\|bucket\|-?\|$key\|-?\|200$/, 'CreateBucket');
Test::More::like($line[2], qr/^PutObject\|bucket\|a( |%20|\\x20)b\|$key\|-?\|200$/, 'PutObject');
Test::More::like($line[3], qr/^GetObject\|bucket\|none\|$key\|NoSuchKey\|404$/, 'GetObject');
Test::More::like($line[4], qr/^GetObject\|bucket\|k\|-?\|AccessDenied\|403$/, 'anonymous');
--- request
GET /bucket/a%20b
--- response_body: x



=== TEST 9: limit_except and deny come before
--- config
location / { deny all; s3; }
--- request
GET /bucket
--- error_code: 403
--- error_log
access forbidden by rule



=== TEST 10: client_max_body_size holds
--- config
location / { client_max_body_size 10; s3; }
--- request
PUT /bucket/long
12345678901
--- error_code_like: ^4(00|13)$
--- error_log
client intended to send too large body



=== TEST 11: a body that another module has read is not taken for what is left of it
--- config
location = /copy { internal; return 200; }
location /bucket/k { mirror /copy; s3; }
location / { s3; }
--- request
PUT /bucket/k
x
--- error_code: 500
--- error_log
another module has read the request body



=== TEST 12: what is done is not done again after the answer
--- config
location = /after { s3; }
location / { s3; post_action /after; }
--- request eval
["GET /bucket/k", "PUT /bucket/k\nx", "PUT /bucket/next\ny", "GET /bucket/k"]
--- error_code eval
[404, 200, 200, 200]
--- response_body_like eval
["NoSuchKey", '^$', '^$', '^x$']



=== TEST 13: what gzip makes of an object has no ranges, and a weak ETag
--- config
location / { gzip on; gzip_min_length 1; gzip_types text/a; s3; }
--- request eval
["PUT /bucket/text\naaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "GET /bucket/text", "GET /bucket/text"]
--- more_headers eval
["Content-Type: text/a", "", "Accept-Encoding: gzip"]
--- response_headers eval
["", "Accept-Ranges: bytes", "Content-Encoding: gzip\n!Accept-Ranges"]
--- raw_response_headers_like eval
["", 'ETag: "', 'ETag: W/"']
--- response_body_like eval
["^\$", "^a{32}\$", "^\x1f"]



=== TEST 14: the drives of another store
--- http_config eval
my $d = ::s3_dir();
mkdir "$d/foreign$_" for 1 .. 4;
::with('drive\{', 'foreign{')
--- request
PUT /bucket
--- error_code: 200



=== TEST 15: drives in the wrong order
--- http_config eval
my $d = ::s3_dir();
::with('s3_drives.*?;', "s3_drives $d/drive2 $d/drive1 $d/drive3 $d/drive4;")
--- must_die
--- error_log
drive



=== TEST 16: drives of two stores
--- http_config eval
my $d = ::s3_dir();
::with('s3_drives.*?;', "s3_drives $d/drive1 $d/drive2 $d/foreign3 $d/drive4;")
--- must_die
--- error_log
foreign3



=== TEST 17: the format of a drive is made newer than we are
--- init
my $f = ::s3_dir() . '/foreign1/format.json';
open my $in, '<', $f or die;
my $text = do { local $/; <$in> };
$text =~ s/("format"\s*:\s*)\d+/${1}999/ or die "no format in $text";
open my $out, '>', $f;
print $out $text;
close $out;
--- request
GET /bucket/a%20b
--- response_body: x



=== TEST 18: a store that is newer than we are
--- http_config eval
::with('drive\{', 'foreign{')
--- must_die
--- error_log
foreign1
