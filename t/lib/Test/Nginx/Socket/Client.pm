package Test::Nginx::Socket::Client;

# Requests as the blocks have them, sent as they are; responses, taken apart.

use strict;
use warnings;

use Exporter 'import';
use IO::Select;
use IO::Socket::INET;
use Test::More ();
use Time::HiRes qw(time);

use Test::Nginx::Socket::Server qw($port bail_out);

our @EXPORT_OK = qw(build_requests seconds exchange parse_response);


sub build_requests
{
    my ($block) = @_;

    if ($block->has('raw_request')) {
        my $raw = $block->raw_request;
        my $delay = $block->raw_request_middle_delay;
        my @packets = ref $raw ? @$raw : ($raw);

        if ($delay) {
            @packets = map { ref $_ ? $_ : { value => $_,
                                             delay_before => $delay } }
                           @packets;
        }

        my $first = ref $packets[0] ? $packets[0]{value} : $packets[0];

        return ([{ packets => \@packets, head => scalar $first =~ /^\s*HEAD\s/ }],
                0);
    }

    if ($block->has('pipelined_requests')) {
        my $list = $block->pipelined_requests;
        my @built;

        for my $i (0 .. $#$list) {
            push @built, build_request($block, [$list->[$i]],
                                       item($block->more_headers, $i),
                                       $i < $#$list ? 'keep-alive' : 'close');
        }

        return (\@built, 1);
    }

    $block->has('request')
        or bail_out($block->name . ': the block has no request');

    my $request = $block->request;
    my @list = ref $request ? @$request : ($request);
    my @built;

    for my $i (0 .. $#list) {
        my $packets = ref $list[$i] eq 'ARRAY' ? $list[$i] : [$list[$i]];

        push @built, build_request($block, $packets,
                                   item($block->more_headers, $i), 'close');
    }

    return (\@built, 0);
}


sub item
{
    my ($value, $i) = @_;

    return ref $value eq 'ARRAY' ? $value->[$i] : $value;
}


sub build_request
{
    my ($block, $packets, $more, $connection) = @_;

    my @packet = map { ref $_ ? { %$_ } : { value => $_ } } @$packets;
    my $whole = join '', map { $_->{value} } @packet;

    $whole =~ /\A\s*(\S+)(?:[ ]+(\S+))?(?:[ ]+(\S+))?[ ]*(?:\n|\z)(.*)\z/s
        or bail_out($block->name . ": bad request line in \"$whole\"");

    my ($method, $url, $version, $body) = ($1, $2 // '/', $3 // 'HTTP/1.1',
                                           $4);
    my $head = "$method $url $version\r\n";

    $more = '' if !defined $more;
    $more =~ s/^\s*#.*\n?//mg;
    $more =~ s/\A\s+//;
    $more =~ s/\s+\z//;
    $more =~ s/(?<!\r)\n\s*/\r\n/g;
    $more .= "\r\n" if $more ne '';

    $head .= "Host: localhost\r\n" if $more !~ /^Host:/mi;
    $head .= "Connection: $connection\r\n" if $more !~ /^Connection:/mi;

    if ($body ne '' && $more !~ /^Transfer-Encoding:\s*chunked/mi
        && $more !~ /^Content-Length:/mi)
    {
        $body =~ s/\A\s+|\s+\z//g;
        $head .= 'Content-Length: ' . length($body) . "\r\n";
    }

    $head .= "$more\r\n";

    my $is_head = $method eq 'HEAD';

    return { packets => [$head . $body], head => $is_head } if @packet == 1;

    # the line ends in the first packet, by convention
    $packet[0]{value} =~ s/\A[^\n]*\n?//;
    $packet[0]{value} = $head . $packet[0]{value};
    $packet[-1]{value} =~ s/\s+\z// if @packet > 1;

    return { packets => \@packet, head => $is_head };
}


sub seconds
{
    my ($value, $default) = @_;

    return $default if !defined $value || $value eq '';
    return $1 / 1000 if $value =~ /^\s*([\d.]+)\s*ms\s*$/;
    return $1 if $value =~ /^\s*([\d.]+)\s*s?\s*$/;

    die "\"$value\" is not a time\n";
}


sub exchange
{
    my ($block, $packets, $wait) = @_;

    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                                       PeerPort => $port, Proto => 'tcp',
                                       Timeout => 5)
        or return bail_out($block->name . " - connect to $port: $!");

    $socket->blocking(0);
    local $SIG{PIPE} = 'IGNORE';

    my $select = IO::Select->new($socket);
    my ($answer, $out, $last, $eof) = ('', '', time, 0);
    my @queue = @$packets;
    my ($ready_at, $after) = (0, 0);

    while (!$eof) {

        if ($out eq '' && @queue && time >= $ready_at) {
            my $packet = $queue[0];

            if (ref $packet && $packet->{delay_before} && !$packet->{waited}) {
                $queue[0] = { %$packet, waited => 1 };
                $ready_at = time + $packet->{delay_before};

            } else {
                shift @queue;
                $out = ref $packet ? $packet->{value} : $packet;
                $after = ref $packet ? $packet->{delay_after} || 0 : 0;
            }
        }

        if ($out ne '' && $select->can_write(0)) {
            my $n = syswrite $socket, $out;

            if (defined $n) {
                substr $out, 0, $n, '';
                $last = time;
                $ready_at = time + $after if $out eq '';

            } elsif (!$!{EAGAIN}) {
                ($out, @queue) = ('');
            }
        }

        if ($select->can_read($out ne '' || @queue ? 0.002 : 0.1)) {
            my $n = sysread $socket, $answer, 65536, length $answer;

            $eof = 1 if defined $n ? $n == 0 : !$!{EAGAIN};
            $last = time;
        }

        if (time - $last > $wait && time >= $ready_at) {
            if (!$block->has('abort')) {
                Test::More::fail($block->name . ' - the request timed out ('
                                 . length($answer) . ' bytes received)');
            }
            last;
        }
    }

    close $socket;

    return $answer;
}


sub parse_response
{
    my ($block, $text, $is_head) = @_;

    my $name = $block->name;

    if ($$text !~ /\A(HTTP\/[\d.]+ (\d+)[^\r\n]*\r\n.*?\r\n)\r\n/s) {
        Test::More::fail("$name - no response: \"" . substr($$text, 0, 200)
                         . '"');
        return { status => 0, raw => '', headers => {}, body => '' };
    }

    my $response = { status => $2, raw => $1, headers => {}, body => '' };

    substr $$text, 0, $+[0], '';

    for my $line (split /\r\n/, $response->{raw}) {
        next if $line !~ /^([^:\s]+):\s*(.*?)\s*$/;
        push @{ $response->{headers}{lc $1} }, $2;
    }

    return $response
        if $is_head || $response->{status} =~ /^(1..|204|304)$/;

    my $header = $response->{headers};

    if (($header->{'transfer-encoding'} || [''])->[0] =~ /chunked/i) {
        $response->{body} = read_chunked($name, $text);

    } elsif ($header->{'content-length'}) {
        my $length = $header->{'content-length'}[0];

        if (length $$text < $length) {
            Test::More::fail("$name - the body has " . length($$text)
                             . " bytes of $length")
                if !$block->has('abort');
        }

        $response->{body} = substr $$text, 0, $length, '';

    } else {
        $response->{body} = $$text;
        $$text = '';
    }

    return $response;
}


sub read_chunked
{
    my ($name, $text) = @_;

    my $body = '';

    while (1) {
        if ($$text !~ /\A([0-9A-Fa-f]+)[^\r\n]*\r\n/) {
            Test::More::fail("$name - a chunked body without its end");
            return $body;
        }

        my $size = hex $1;
        substr $$text, 0, $+[0], '';
        last if $size == 0;

        $body .= substr $$text, 0, $size, '';
        $$text =~ s/\A\r\n//;
    }

    $$text =~ s/\A(?:[^\r\n]+\r\n)*\r\n//;

    return $body;
}


1;
