package Test::Nginx::S3;

# What the test files need to talk S3, under both runners (see Socket.pm).
#
#   use Test::Nginx::S3;
#   use Test::Nginx::Socket 'no_plan';
#   s3_setup(drives => 4);
#   no_shuffle();
#   run_tests();
#
# The store of a file lies in a temporary directory and lives as long as the
# file runs: what one block writes, the next one reads.  Every block gets the
# configuration of the store (unless it has its own) and every request is
# signed, with SigV4 and the root key.  Sections of our own:
#
#   s3       words that change the signature: anonymous, key=KEY, secret=S,
#            region=R, service=S, skew=SECONDS, payload=unsigned|signed|TEXT,
#            unsigned=HEADER, presign=SECONDS, scope_date=YYYYMMDD, tamper
#   s3_save  NAME=REGEX: the capture in a response body; {{NAME}} stands for
#            it in the sections of later blocks

use strict;
use warnings;

use Digest::SHA qw(sha256_hex hmac_sha256 hmac_sha256_hex);
use Exporter 'import';
use File::Basename qw(dirname);
use File::Path qw(make_path remove_tree);
use File::Temp ();
use IO::Socket::INET;
use MIME::Base64 qw(encode_base64);
use POSIX qw(strftime);
use Test::More ();
use Time::HiRes ();

our @EXPORT = qw(
    s3_setup s3_conf s3_location s3_dir s3_call s3_raw s3_presign s3_chunked
    s3_crc s3_base64 s3_encode s3_worker_pids s3_master_pid s3_reload s3_until
    s3_sign s3_wait_up
);

use constant {
    REGION => 'us-east-1',
    ROOT_KEY => 'AKIDTESTROOT00000001',
    ROOT_SECRET => 'root-secret-for-tests-0123456789abcdef',
    SECOND_KEY => 'AKIDTESTSECOND000002',
    SECOND_SECRET => 'second-secret-for-tests-0123456789abcd',
};

my %secret = (ROOT_KEY, ROOT_SECRET, SECOND_KEY, SECOND_SECRET);
my $owner = $$;
my ($dir, %saved, %setup);

BEGIN {
    if (!defined $ENV{TEST_NGINX_LOAD_MODULES}) {
        my $top = __FILE__;

        $top = dirname($top) for 1 .. 5;
        $top = POSIX::getcwd() . "/$top" if $top !~ m{^/};
        $ENV{TEST_NGINX_LOAD_MODULES} = "$top/build/ngx_http_s3_module.so";
    }
}


# --- the store ----------------------------------------------------------------

# drives, parity, conf (more http directives), location (more directives of
# the location), server (more of the server)

sub s3_setup
{
    %setup = (drives => 4, conf => '', location => '', server => '', @_);

    $dir = File::Temp::tempdir('s3-test-XXXXXX', TMPDIR => 1);
    chmod 0755, $dir;
    make_path(map { "$dir/drive$_" } 1 .. $setup{drives});

    open my $out, '>', "$dir/credentials" or die "$dir/credentials: $!\n";
    chmod 0600, "$dir/credentials";
    print $out ROOT_KEY . ':' . ROOT_SECRET . "\n"
               . SECOND_KEY . ':' . SECOND_SECRET . "\n";
    close $out;

    if (%Test::Nginx::Socket::Known) {
        $Test::Nginx::Socket::Known{$_} = 1 for qw(s3 s3_save);
    }

    main::add_block_preprocessor(\&prepare_block);
    main::add_response_body_check(\&save_values);
    main::log_level($ENV{TEST_NGINX_LOG_LEVEL} || 'info');
    main::worker_connections(1024);
    main::timeout(20);
}


sub s3_dir { $dir }


# The one place with the names of the directives.

sub s3_conf
{
    my $n = $setup{drives};
    my $parity = defined $setup{parity} ? "s3_parity $setup{parity};" : '';

    return <<"CONF";
    s3_drives "$dir/drive{1...$n}";
    $parity
    s3_credentials $dir/credentials;
    s3_region @{[ REGION ]};
    $setup{conf}
CONF
}


sub s3_location
{
    return <<"CONF";
        $setup{server}
        location / {
            client_max_body_size 0;
            s3;
            $setup{location}
        }
CONF
}


END {
    if (defined $dir && $$ == $owner) {
        my $status = $?;

        # the server must be gone before its drives are: the runner's own END
        # block was compiled later and ran already
        $ENV{TEST_NGINX_S3_KEEP} ? warn "store kept in $dir\n"
                                 : remove_tree($dir);
        $? = $status;
    }
}


# --- blocks -------------------------------------------------------------------

sub prepare_block
{
    my ($block) = @_;

    main::no_root_location();

    $block->set_value('http_config', s3_conf())
        if !defined $block->http_config;
    $block->set_value('config', s3_location()) if !defined $block->config;

    if (!defined $block->no_error_log && !defined $block->error_log
        && !defined $block->must_die)
    {
        $block->set_value('no_error_log', "[alert]\n[crit]\n[emerg]\n");
    }

    for my $section (qw(request more_headers response_body init s3 raw_request
                        response_headers response_body_like
                        response_headers_like))
    {
        my $value = $block->$section;

        $block->set_value($section, fill_in($value)) if defined $value;
    }

    sign_block($block) if defined $block->request;
}


sub fill_in
{
    my ($value) = @_;

    return [map { fill_in($_) } @$value] if ref $value eq 'ARRAY';
    return $value if ref $value;

    $value =~ s/\{\{(\w+)\}\}/exists $saved{$1} ? $saved{$1} : "{{$1}}"/ge;

    return $value;
}


sub save_values
{
    my ($block, $body) = @_;

    return if !defined $block->s3_save;

    for my $line (split /\n/, $block->s3_save) {
        my ($name, $regex) = $line =~ /^\s*(\w+)=(.*\S)/ or next;

        $saved{$name} = $1 if $body =~ /$regex/s;
    }
}


sub sign_block
{
    my ($block) = @_;

    my $request = $block->request;
    my $more = $block->more_headers;
    my $words = $block->s3;
    my $several = ref $request eq 'ARRAY';
    my @list = $several ? @$request : ($request);
    my (@requests, @headers);

    for my $i (0 .. $#list) {
        my $text = ref $list[$i] eq 'ARRAY' ? join('', @{ $list[$i] })
                                            : $list[$i];
        my $given = ref $more eq 'ARRAY' ? $more->[$i] : $more;
        my $how = ref $words eq 'ARRAY' ? $words->[$i] : $words;

        my ($method, $url, $body)
            = $text =~ /\A\s*(\S+)[ ]+(\S+)[^\n]*\n?(.*)\z/s
            or die $block->name . ": bad request line\n";

        $body =~ s/\A\s+|\s+\z//g;

        my @pairs = map { /^([^:\s]+):\s*(.*?)\s*$/ ? [$1, $2] : () }
                        split /\r?\n/, defined $given ? $given : '';
        my ($new_url, $new_pairs) = s3_sign($method, $url, \@pairs, $body,
                                            parse_words($how));

        if ($new_url ne $url) {
            if (ref $list[$i]) {
                die $block->name . ": a presigned request in packets\n";
            }
            $list[$i] =~ s/\Q$url\E/$new_url/;
        }

        if ($body eq '' && $method =~ /^(PUT|POST)$/
            && !grep { $_->[0] =~ /^(content-length|transfer-encoding)$/i }
                     @$new_pairs)
        {
            push @$new_pairs, ['Content-Length', 0];
        }

        push @requests, $list[$i];
        push @headers, join '', map { "$_->[0]: $_->[1]\n" } @$new_pairs;
    }

    $block->set_value('request', $several ? \@requests : $requests[0]);
    $block->set_value('more_headers', $several ? \@headers : $headers[0]);
}


sub parse_words
{
    my ($text) = @_;

    return { map { /^(\w+)=(.*)$/ ? ($1 => $2) : ($_ => 1) }
                 split ' ', defined $text ? $text : '' };
}


# --- signing ------------------------------------------------------------------

sub s3_encode
{
    my ($text, $keep) = @_;

    $keep = '' if !defined $keep;
    $text =~ s/([^A-Za-z0-9\-._~\Q$keep\E])/sprintf '%%%02X', ord $1/ge;

    return $text;
}


sub decode
{
    my ($text) = @_;

    $text =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ge;

    return $text;
}


sub canonical_query
{
    my ($query) = @_;

    return join '&', map { "$_->[0]=$_->[1]" }
        sort { $a->[0] cmp $b->[0] || $a->[1] cmp $b->[1] }
        map { my ($n, $v) = split /=/, $_, 2;
              [s3_encode(decode($n)), s3_encode(decode(defined $v ? $v : ''))] }
        split /&/, $query;
}


sub signing_key
{
    my ($secret, $date, $region, $service) = @_;

    my $key = "AWS4$secret";

    $key = hmac_sha256($_, $key) for $date, $region, $service, 'aws4_request';

    return $key;
}


# The url and the headers (a list of pairs) to send.  Options: the words of
# the section s3, and time (seconds since 1970).

sub s3_sign
{
    my ($method, $url, $pairs, $body, $option) = @_;

    my %opt = (region => REGION, service => 's3', key => ROOT_KEY,
               payload => 'signed', skew => 0, %{ $option || {} });

    $opt{key} = SECOND_KEY if $opt{key} eq 'second';

    my @header = @$pairs;

    return ($url, \@header) if $opt{anonymous};

    my $secret = defined $opt{secret} ? $opt{secret}
               : defined $secret{$opt{key}} ? $secret{$opt{key}} : 'none';
    my $now = (defined $opt{time} ? $opt{time} : time) + $opt{skew};
    my $stamp = strftime('%Y%m%dT%H%M%SZ', gmtime $now);
    my $date = $opt{scope_date} || substr $stamp, 0, 8;
    my $scope = "$date/$opt{region}/$opt{service}/aws4_request";
    my %has = map { lc $_->[0] => 1 } @header;

    my $host = $has{host} ? (grep { lc $_->[0] eq 'host' } @header)[0][1]
                          : 'localhost';

    my $payload = $opt{payload} eq 'signed' ? sha256_hex($body)
                : $opt{payload} eq 'unsigned' ? 'UNSIGNED-PAYLOAD'
                : $opt{payload};

    if (!defined $opt{presign}) {
        push @header, ['x-amz-date', $stamp] if !$has{'x-amz-date'};
        push @header, ['x-amz-content-sha256', $payload]
            if !$has{'x-amz-content-sha256'} && $payload ne 'none';
    } else {
        $payload = 'UNSIGNED-PAYLOAD';
    }

    my %skip = map { lc $_ => 1 } split /,/, $opt{unsigned} || '';
    my %value;

    for my $pair (@header, $has{host} ? () : ['host', $host]) {
        my ($name, $value) = (lc $pair->[0], $pair->[1]);

        next if $skip{$name};
        next if $name !~ /^(host|content-md5|content-type|range|x-amz-.*)$/;

        $value =~ s/^\s+|\s+$//g;
        $value =~ s/\s+/ /g;
        $value{$name} = defined $value{$name} ? "$value{$name},$value"
                                              : $value;
    }

    my $signed = join ';', sort keys %value;
    my ($path, $query) = split /\?/, $url, 2;

    $query = '' if !defined $query;

    if (defined $opt{presign}) {
        my @auth = (['X-Amz-Algorithm', 'AWS4-HMAC-SHA256'],
                    ['X-Amz-Credential', "$opt{key}/$scope"],
                    ['X-Amz-Date', $stamp],
                    ['X-Amz-Expires', $opt{presign}],
                    ['X-Amz-SignedHeaders', $signed]);

        $query = join '&', ($query eq '' ? () : $query),
                           map { "$_->[0]=" . s3_encode($_->[1]) } @auth;
    }

    my $canonical = join "\n", $method, s3_encode(decode($path), '/'),
        canonical_query($query),
        (map { "$_:$value{$_}" } sort keys %value), '', $signed, $payload;
    my $to_sign = join "\n", 'AWS4-HMAC-SHA256', $stamp, $scope,
        sha256_hex($canonical);
    my $key = signing_key($secret, $date, $opt{region}, $opt{service});
    my $signature = hmac_sha256_hex($to_sign, $key);

    $signature =~ tr/0-9a-f/1-9a-f0/ if $opt{tamper};

    %{ $option->{result} } = (key => $key, stamp => $stamp, scope => $scope,
                              signature => $signature)
        if ref $option->{result};

    return ("$path?$query&X-Amz-Signature=$signature", \@header)
        if defined $opt{presign};

    push @header, ['Authorization',
        "AWS4-HMAC-SHA256 Credential=$opt{key}/$scope, "
        . "SignedHeaders=$signed, Signature=$signature"];

    return ($path . ($url =~ /\?/ ? "?$query" : ''), \@header);
}


sub s3_presign
{
    my ($method, $url, $expires, $option) = @_;

    return (s3_sign($method, $url, [], '',
                    { %{ $option || {} }, presign => $expires }))[0];
}


# A whole signed request, byte for byte, for raw_request.

sub s3_raw
{
    my ($method, $url, $pairs, $body, $option) = @_;

    $pairs = [map { [@$_] } @{ $pairs || [] }];
    $body = '' if !defined $body;

    my ($new_url, $header) = s3_sign($method, $url, $pairs,
                                     $option && defined $option->{hash_of}
                                         ? $option->{hash_of} : $body,
                                     $option);
    my %has = map { lc $_->[0] => 1 } @$header;

    unshift @$header, ['Host', 'localhost'] if !$has{host};
    push @$header, ['Connection', 'close'] if !$has{connection};
    push @$header, ['Content-Length', length $body]
        if !$has{'content-length'} && !$has{'transfer-encoding'}
           && ($body ne '' || $method =~ /^(PUT|POST)$/);

    return "$method $new_url HTTP/1.1\r\n"
           . join('', map { "$_->[0]: $_->[1]\r\n" } @$header)
           . "\r\n$body";
}


# An upload in aws-chunked coding.  Options: chunk (size), signed, trailer
# ([name, value]), bad_chunk (number of the chunk with a wrong signature),
# bad_trailer, decoded (the announced length), headers, no_end.

sub s3_chunked
{
    my ($url, $data, %opt) = @_;

    my $size = $opt{chunk} || 65536;
    my $mode = ($opt{signed} ? 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD'
                             : 'STREAMING-UNSIGNED-PAYLOAD')
               . ($opt{trailer} ? '-TRAILER' : '');
    my %result;
    my $decoded = defined $opt{decoded} ? $opt{decoded} : length $data;

    my @header = (@{ $opt{headers} || [] },
                  ['Content-Encoding', 'aws-chunked']);

    push @header, ['x-amz-decoded-content-length', $decoded]
        if $decoded ne 'none';
    push @header, ['x-amz-trailer', $opt{trailer}[0]] if $opt{trailer};

    my $option = { payload => $mode, result => \%result };
    my ($new_url, $signed) = s3_sign('PUT', $url, \@header, '', $option);

    my ($previous, $body, $number) = ($result{signature}, '', 0);

    my @chunks = map { substr $data, $_ * $size, $size }
                     0 .. (length($data) + $size - 1) / $size - 1;

    for my $chunk (@chunks, '') {
        my $line = sprintf '%x', length $chunk;

        if ($opt{signed}) {
            $previous = hmac_sha256_hex(
                join("\n", 'AWS4-HMAC-SHA256-PAYLOAD', $result{stamp},
                     $result{scope}, $previous, sha256_hex(''),
                     sha256_hex($chunk)), $result{key});

            my $shown = $previous;

            $shown =~ tr/0-9a-f/1-9a-f0/
                if defined $opt{bad_chunk} && $opt{bad_chunk} == $number;
            $line .= ";chunk-signature=$shown";
        }

        $number++;
        last if $chunk eq '' && $opt{no_end};
        $body .= "$line\r\n$chunk" . ($chunk eq '' ? '' : "\r\n");
    }

    if ($opt{trailer} && !$opt{no_end}) {
        my ($name, $value) = @{ $opt{trailer} };

        $body .= "$name:$value\r\n";

        if ($opt{signed}) {
            my $signature = hmac_sha256_hex(
                join("\n", 'AWS4-HMAC-SHA256-TRAILER', $result{stamp},
                     $result{scope}, $previous, sha256_hex("$name:$value\n")),
                $result{key});

            $signature =~ tr/0-9a-f/1-9a-f0/ if $opt{bad_trailer};
            $body .= "x-amz-trailer-signature:$signature\r\n";
        }
    }

    $body .= "\r\n" if !$opt{no_end};

    return "PUT $new_url HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
           . join('', map { "$_->[0]: $_->[1]\r\n" } @$signed)
           . 'Content-Length: ' . length($body) . "\r\n\r\n$body";
}


sub s3_base64 { encode_base64($_[0], '') }


# The flexible checksums that no core module has, bit by bit: crc32, crc32c,
# crc64nvme, as base64 of the big-endian value.

sub s3_crc
{
    my ($kind, $data) = @_;

    no warnings 'portable';

    my ($poly, $mask) = @{ {
        crc32 => [0xEDB88320, 0xFFFFFFFF],
        crc32c => [0x82F63B78, 0xFFFFFFFF],
        crc64nvme => [0x9A6C9329AC4BC9B5, 0xFFFFFFFFFFFFFFFF] }->{$kind} };
    my $crc = $mask;

    for my $byte (unpack 'C*', $data) {
        $crc ^= $byte;
        $crc = $crc & 1 ? ($crc >> 1) ^ $poly : $crc >> 1 for 1 .. 8;
    }

    return s3_base64(pack $mask == 0xFFFFFFFF ? 'N' : 'Q>', $crc ^ $mask);
}


# --- a client of its own, for the work inside init ------------------------------

# Returns status (0: the connection broke), headers and body.

sub s3_call
{
    my ($method, $url, $pairs, $body, $option) = @_;

    my $port = $option && $option->{port} || main::server_port();
    my $text = s3_raw($method, $url, $pairs, $body, $option);
    my %failed = (status => 0, headers => {}, body => '');

    local $SIG{PIPE} = 'IGNORE';

    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                                       PeerPort => $port, Timeout => 5)
        or return \%failed;

    my $offset = 0;

    while ($offset < length $text) {
        my $n = syswrite $socket, $text, 65536, $offset;

        last if !$n;
        $offset += $n;
    }

    my $answer = '';

    eval {
        local $SIG{ALRM} = sub { die "timeout\n" };
        alarm 30;
        while (sysread $socket, $answer, 65536, length $answer) { }
        alarm 0;
    };

    $answer =~ s/\A(?:HTTP\/1\.1 100 [^\n]*\n\r\n)+//;
    $answer =~ s/\A(HTTP\/1\.1 (\d+).*?\r\n)\r\n//s or return \%failed;

    my ($head, $status) = ($1, $2);
    my %header = map { /^([^:\s]+):\s*(.*?)\s*$/ ? (lc $1 => $2) : () }
                     split /\r\n/, $head;

    if (($header{'transfer-encoding'} || '') eq 'chunked') {
        my $data = '';

        while ($answer =~ s/\A([0-9a-fA-F]+)\r\n//) {
            my $size = hex $1 or last;
            $data .= substr $answer, 0, $size, '';
            $answer =~ s/\A\r\n//;
        }

        $answer = $data;

    } elsif ($method ne 'HEAD' && ($header{'content-length'} || 0)
             > length $answer)
    {
        return \%failed;
    }

    return { status => $status, headers => \%header, body => $answer };
}


sub s3_master_pid
{
    open my $in, '<', main::server_root() . '/logs/nginx.pid' or return;
    my ($pid) = <$in> =~ /(\d+)/;

    return $pid;
}


# The workers that serve, not those that are shutting down.  Under valgrind a
# process cannot show which of them it is.

sub s3_worker_pids
{
    my $master = s3_master_pid() or return;
    my @pids;

    for my $path (glob '/proc/[0-9]*/stat') {
        open my $in, '<', $path or next;
        my $line = <$in>;
        next if !defined $line;
        next if $line !~ /^(\d+) \(.*\) \S (\d+)/ || $2 != $master;

        my $pid = $1;
        open my $cmd, '<', "/proc/$pid/cmdline" or next;
        my $name = <$cmd>;
        push @pids, $pid
            if defined $name && ($name =~ /worker process(?! is shutting)/
                                 || $ENV{VALGRIND_REPORT});
    }

    @pids = sort { $a <=> $b } @pids;

    return @pids;
}


# A process whose first thread has ended has its files open, and locked, as long
# as one of the others is there.

sub is_alive
{
    my ($pid) = @_;

    for my $path (glob "/proc/$pid/task/[0-9]*/stat") {
        open my $in, '<', $path or next;
        my $line = <$in>;

        return 1 if defined $line && $line !~ /\) [ZX]/;
    }

    return 0;
}


sub s3_until
{
    my ($seconds, $condition) = @_;

    my $deadline = Time::HiRes::time() + $seconds;

    while (Time::HiRes::time() < $deadline) {
        return 1 if $condition->();
        Time::HiRes::sleep(0.02);
    }

    return $condition->() ? 1 : 0;
}


sub s3_wait_up
{
    return s3_until($_[0] || 10,
                    sub { s3_call('GET', '/')->{status} == 200 });
}


# HUP, and wait until only new workers serve.

sub s3_reload
{
    my %old = map { $_ => 1 } s3_worker_pids();

    kill 'HUP', s3_master_pid();

    return s3_until(15, sub {
        my @now = s3_worker_pids();
        return @now && !grep { $old{$_} } @now;
    });
}


1;
