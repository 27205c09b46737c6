# s3_status and s3_metrics: what they show, to whom, and where.

use Test::Nginx::S3;
use Test::Nginx::Socket 'no_plan';
use JSON::PP ();

our $status = <<'CONF';
set_real_ip_from 127.0.0.1;
real_ip_header X-Test-Address;
location / { s3; }
location /-/ { s3_status; s3_metrics; }
CONF

my @fields = qw(path state reason bytes_used bytes_total objects
                repairs_pending repairs_done corrupt_found scrub_done_ratio
                last_error);
my $states = qr/^(ok|missing|readonly|full|failing|hung|refilling)$/;

sub is_json
{
    my ($body) = @_;
    my $s = JSON::PP->new->utf8->decode($body);

    Test::More::is(join(' ', sort keys %$s), 'drives uptime_s version',
                   'the fields of the node');
    Test::More::like($s->{version}, qr/^\d+\.\d+\.\d+$/, 'version');
    Test::More::like($s->{uptime_s}, qr/^\d+$/, 'uptime_s');
    Test::More::is(scalar @{ $s->{drives} }, 4, 'drives');

    for my $d (@{ $s->{drives} }) {
        Test::More::is(join(' ', sort keys %$d), join(' ', sort @fields),
                       'the fields of a drive');
        Test::More::like($d->{path}, qr{^/.*/drive[1-4]$}, 'path');
        Test::More::like($d->{state}, $states, 'state');

        for my $name (qw(bytes_used bytes_total objects repairs_pending
                         repairs_done corrupt_found))
        {
            # a number, not a text that looks like one
            Test::More::like($body, qr/"$name": \d+[,\n]/, $name);
        }

        Test::More::ok($d->{scrub_done_ratio} >= 0
                       && $d->{scrub_done_ratio} <= 1, 'scrub_done_ratio');
        Test::More::ok(!ref $d->{reason} && !ref $d->{last_error}, 'texts');
    }
}

# The text format, as its description has it; the values by name and labels.

sub is_metrics
{
    my ($body) = @_;
    my (%type, %help, %value, %done, @bad, $family);
    my $name = qr/[a-zA-Z_:][a-zA-Z0-9_:]*/;
    my $label = qr/$name="(?:[^"\\\n]|\\[\\"n])*"/;

    $body =~ /\n\z/ or push @bad, 'no newline at the end';

    for my $line (split /\n/, $body) {
        if ($line =~ /^# HELP ($name) ./) {
            $help{$1}++ and push @bad, "second HELP: $1";
            $family = $1;
        } elsif ($line =~ /^# TYPE ($name) (counter|gauge|histogram)$/) {
            $type{$1} and push @bad, "second TYPE: $1";
            $1 eq $family or push @bad, "TYPE without HELP: $1";
            $type{$1} = $2;
        } elsif ($line =~ /^($name)(\{$label(?:,$label)*\})? ([0-9.]+)$/) {
            my ($n, $l, $v) = ($1, $2 || '', $3);
            my $base = $n;

            $base =~ s/_(bucket|sum|count)$// if !$type{$base};
            $base eq $family or push @bad, "$n is not of $family";
            ($type{$base} || '') eq 'counter' && $n !~ /_total$/
                and push @bad, "a counter by name: $n";
            exists $value{"$n$l"} and push @bad, "twice: $n$l";
            $value{"$n$l"} = $v;
        } else {
            push @bad, "not understood: $line";
        }
    }

    # histograms: counts that grow, the last of them as _count says
    my (%last, %edge);

    for my $line (split /\n/, $body) {
        $line =~ /^(\w+)_bucket\{(.*),le="([^"]+)"\} (\d+)$/ or next;
        my ($id, $edge, $n) = ("$1\{$2}", $3 eq '+Inf' ? 1e99 : $3, $4);

        defined $last{$id} && ($n < $last{$id} || $edge <= $edge{$id})
            and push @bad, "buckets out of order: $line";
        ($last{$id}, $edge{$id}) = ($n, $edge);
    }

    for my $id (keys %last) {
        my $count = $id;

        $count =~ s/\{/_count{/;
        $edge{$id} == 1e99 && $last{$id} == $value{$count}
            or push @bad, "the count of $id";
    }

    Test::More::is(join("\n", @bad), '', 'Prometheus text');
    return \%value;
}

sub check
{
    my ($block, $body) = @_;

    is_json($body) if $body =~ /^\{/;
    is_metrics($body) if $body =~ /^# HELP s3_/;
}

s3_setup();
add_response_body_check(\&check);
no_shuffle();
run_tests();

__DATA__

=== TEST 1: JSON
--- config eval: $::status
--- request
GET /-/status
--- s3: anonymous
--- response_headers
Content-Type: application/json
Cache-Control: no-store
--- response_body_like: "version": "\d



=== TEST 2: Prometheus text
--- config eval: $::status
--- request
GET /-/metrics
--- s3: anonymous
--- response_headers
Content-Type: text/plain; version=0.0.4; charset=utf-8
--- response_body_like: s3_drive_state\{drive="4",path="/.*/drive4",state="ok"\} 1



=== TEST 3: the page has all of it inside and forbids the rest
--- config eval: $::status
--- request
GET /-/
--- s3: anonymous
--- response_headers_like
Content-Type: text/html; charset=utf-8
Content-Security-Policy: default-src 'none'; script-src 'sha256-[A-Za-z0-9+/]{43}='; style-src 'sha256-[A-Za-z0-9+/]{43}='; connect-src 'self'; .*
--- response_body_like: <!doctype html>[\s\S]*</html>
--- response_body_unlike: (src|href)="(https?:)?//



=== TEST 4: HEAD
--- config eval: $::status
--- request eval
["HEAD /-/status", "HEAD /-/metrics", "HEAD /-/"]
--- s3: anonymous
--- error_code eval
[200, 200, 200]
--- response_body eval
["", "", ""]



=== TEST 5: nothing else than GET and HEAD
--- config eval: $::status
--- request eval
["POST /-/status\nx", "PUT /-/metrics\nx", "DELETE /-/", "OPTIONS /-/status"]
--- s3: anonymous
--- error_code eval
[405, 405, 405, 405]
--- response_headers eval
["Allow: GET, HEAD", "Allow: GET, HEAD", "Allow: GET, HEAD", "Allow: GET, HEAD"]



=== TEST 6: no such thing, and buckets beside it
--- config eval: $::status
--- request eval
["GET /-/other", "GET /-/status/more", "PUT /bucket", "GET /bucket"]
--- s3 eval
["anonymous", "anonymous", "", ""]
--- error_code eval
[404, 404, 200, 200]



=== TEST 7: this machine only
--- config eval: $::status
--- request eval
["GET /-/status", "GET /-/metrics", "GET /-/", "GET /-/other", "POST /-/status", "GET /-/status"]
--- more_headers eval
["X-Test-Address: 192.0.2.1", "X-Test-Address: 10.0.0.1", "X-Test-Address: 2001:db8::1", "X-Test-Address: 192.0.2.1", "X-Test-Address: 192.0.2.1", "X-Test-Address: ::ffff:192.0.2.1"]
--- s3: anonymous
--- error_code eval
[403, 403, 403, 403, 403, 403]
--- error_log
access forbidden



=== TEST 8: all of its addresses
--- config eval: $::status
--- request eval
["GET /-/status", "GET /-/status", "GET /-/metrics"]
--- more_headers eval
["X-Test-Address: 127.255.0.9", "X-Test-Address: ::1", "X-Test-Address: ::ffff:127.0.0.1"]
--- s3: anonymous
--- error_code eval
[200, 200, 200]



=== TEST 9: remote opens one and not the other
--- config
set_real_ip_from 127.0.0.1;
real_ip_header X-Test-Address;
location /-/ { s3_status; s3_metrics remote; }
--- request eval
["GET /-/status", "GET /-/", "GET /-/metrics"]
--- more_headers
X-Test-Address: 192.0.2.1
--- s3: anonymous
--- error_code eval
[403, 403, 200]



=== TEST 10: allow and deny count as ever
--- config
set_real_ip_from 127.0.0.1;
real_ip_header X-Test-Address;
location /-/ { allow 192.0.2.0/24; deny all; s3_status remote; }
--- request eval
["GET /-/status", "GET /-/status"]
--- more_headers eval
["X-Test-Address: 127.0.0.1", "X-Test-Address: 192.0.2.1"]
--- s3: anonymous
--- error_code eval
[403, 200]



=== TEST 11: at places of their own
--- config
location = /health { s3_status; }
location = /prometheus { s3_metrics; }
location /node { s3_status; }
location /both/ { s3_metrics; }
--- request eval
["GET /health", "GET /prometheus", "GET /node", "GET /node/", "GET /both/", "GET /both/metrics"]
--- s3: anonymous
--- error_code eval
[200, 200, 200, 200, 404, 200]
--- response_body_like eval
['^\{', '^# HELP', '^\{', '^<!doctype', '404', '^# HELP']



=== TEST 12: inside of "if" and "limit_except"
--- config
location /-/ {
    s3_status;
    if ($arg_a) { set $b 1; }
    limit_except GET { deny all; }
}
--- request eval
["GET /-/status?a=1", "GET /-/status"]
--- s3: anonymous
--- error_code eval
[200, 200]



=== TEST 13: counters move
--- config eval: $::status
--- request eval
["PUT /bucket/a\nhello", "GET /bucket/a", "GET /bucket/none", "GET /bucket/a", "GET /bucket?acl", "GET /-/metrics"]
--- s3 eval
["", "", "", "anonymous", "", "anonymous"]
--- error_code eval
[200, 200, 404, 403, 200, 200]
--- response_body_like eval
[".?", "hello", "NoSuchKey", "AccessDenied", "AccessControlPolicy",
'(?s)(?=.*s3_requests_total\{operation="PutObject",status="2xx"\} 1\n)'
. '(?=.*s3_requests_total\{operation="GetObject",status="2xx"\} 1\n)'
. '(?=.*s3_requests_total\{operation="GetObject",status="4xx"\} 2\n)'
. '(?=.*s3_requests_total\{operation="GetObject",status="5xx"\} 0\n)'
. '(?=.*s3_requests_total\{operation="other",status="2xx"\} 1\n)'
. '(?=.*s3_request_received_bytes_total\{operation="PutObject"\} [1-9]\d\d)'
. '(?=.*s3_response_sent_bytes_total\{operation="GetObject"\} [1-9]\d\d)'
. '(?=.*s3_request_duration_seconds_count\{operation="GetObject"\} 3\n)'
. '(?=.*s3_request_duration_seconds_bucket\{operation="PutObject",le="\+Inf"\} 1\n)'
. '(?!.*s3_request_duration_seconds_count\{operation="DeleteObject"\})']



=== TEST 14: s3 and s3_status in one location
--- config
location / { s3; s3_status; }
--- must_die
--- error_log
"s3_status" directive goes not with "s3" in one location



=== TEST 15: the same the other way round
--- config
location / { s3_metrics; s3; }
--- must_die
--- error_log
"s3" directive goes not with "s3_status" or "s3_metrics" in one location



=== TEST 16: a word that is not known
--- config
location / { s3_status all; }
--- must_die
--- error_log
invalid parameter "all", it must be "remote"



=== TEST 17: twice
--- config
location / { s3_metrics; s3_metrics; }
--- must_die
--- error_log
"s3_metrics" directive is duplicate



=== TEST 18: without drives
--- http_config
--- config
location / { s3_status; }
--- must_die
--- error_log
add "s3_drives" to the http block
