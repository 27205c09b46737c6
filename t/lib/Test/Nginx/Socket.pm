package Test::Nginx::Socket::Filter;

# The code of a test is evaluated up here, where it sees no lexical variable
# of this file.

sub evaluate
{
    no strict;
    no warnings;

    my $value = eval "package Test::Base::Filter; no strict; $_[0]";

    return $value;
}


package Test::Nginx::Socket;

# A small runner for test files in the format of Test::Nginx::Socket, in core
# Perl alone.  It knows the part of that format that the suites here use and
# dies on every section that it does not know, so that a file which passes
# here passes unchanged under the real library too:
#
#   prove -I t/lib -r t                        this runner
#   prove -I REAL/lib -I t/lib -r t            the real one
#
# Every test block gets a fresh server root, an own nginx.conf and an own
# nginx.  Environment: TEST_NGINX_BINARY, _PORT, _SERVROOT, _LOAD_MODULES,
# _TIMEOUT, _LOG_LEVEL, _NO_SHUFFLE, _VERBOSE.  Port and server root are
# chosen free and fresh if not given: several files can run side by side.

use strict;
use warnings;

use Test::More ();
use IO::Socket::INET;
use IO::Select;
use File::Path qw(make_path remove_tree);
use File::Basename qw(dirname);
use File::Temp ();
use List::Util qw(shuffle);
use Time::HiRes qw(time sleep);
use POSIX ();

our $VERSION = '0.33';

our @EXPORT = qw(
    plan blocks run_tests repeat_each workers worker_connections master_on
    master_off no_shuffle no_long_string no_root_location log_level timeout
    server_port server_root html_dir env_to_nginx add_block_preprocessor
    add_response_body_check add_cleanup_handler config_preamble bail_out is_str
    server_addr error_log_data
);

# Sections of the format, and what other modules add to them.
our %Known = map { $_ => 1 } qw(
    config http_config main_config post_main_config user_files init
    request pipelined_requests raw_request more_headers
    raw_request_middle_delay timeout wait abort ignore_response
    error_code error_code_like response_headers response_headers_like
    raw_response_headers_like raw_response_headers_unlike
    response_body response_body_like response_body_unlike
    error_log no_error_log grep_error_log grep_error_log_out
    must_die skip_nginx skip_eval log_level ONLY SKIP LAST
);

my $owner = $$;
my $binary = $ENV{TEST_NGINX_BINARY} || 'nginx';
my $verbose = $ENV{TEST_NGINX_VERBOSE};
my $timeout = $ENV{TEST_NGINX_TIMEOUT} || 3;
my $log_level = $ENV{TEST_NGINX_LOG_LEVEL} || 'debug';
my $load_modules = $ENV{TEST_NGINX_LOAD_MODULES};
my $port = $ENV{TEST_NGINX_PORT} || $ENV{TEST_NGINX_SERVER_PORT}
           || free_port();
my $servroot = $ENV{TEST_NGINX_SERVROOT};

my ($repeat_each, $workers, $connections, $master) = (1, 1, 64, 'off');
my ($shuffle, $root_location) = (!$ENV{TEST_NGINX_NO_SHUFFLE}, 1);
my ($preamble, $log_position) = ('', 0);
my (@preprocessors, @cleanup, @env, @body_checks, @tcp_ports, $blocks);
my ($server_pid, $log_text) = (undef, '');

if (!defined $servroot) {
    $servroot = File::Temp::tempdir('test-nginx-XXXXXX', TMPDIR => 1)
                . '/servroot';
    push @cleanup, sub { remove_tree(dirname($servroot)) };
}

$ENV{TEST_NGINX_SERVER_ROOT} = $servroot;
$ENV{TEST_NGINX_HTML_DIR} = "$servroot/html";
$ENV{TEST_NGINX_SERVER_PORT} = $port;
$ENV{TEST_NGINX_PORT} = $port;


sub import
{
    my ($class, @args) = @_;

    my $caller = caller;

    no strict 'refs';

    for my $name (@EXPORT) {
        *{"${caller}::$name"} = \&$name;
    }

    for my $name (@Test::More::EXPORT) {
        next if $name =~ /^\W/ || $name eq 'plan' || $name eq 'done_testing';
        *{"${caller}::$name"} = \&{"Test::More::$name"};
    }

    strict->import;
    warnings->import;

    Test::More::plan('no_plan') if @args && $args[0] eq 'no_plan';
}


sub plan              { Test::More::plan(@_) }
sub workers           { @_ ? $workers = shift : $workers }
sub worker_connections { @_ ? $connections = shift : $connections }
sub repeat_each       { @_ ? $repeat_each = shift : $repeat_each }
sub timeout           { @_ ? $timeout = shift : $timeout }
sub log_level         { @_ ? $log_level = shift : $log_level }
sub server_port       { @_ ? $port = shift : $port }
sub config_preamble   { @_ ? $preamble = shift : $preamble }
sub master_on         { $master = 'on' }
sub master_off        { $master = 'off' }
sub no_shuffle        { $shuffle = 0 }
sub no_long_string    { }
sub no_root_location  { $root_location = 0 }
sub server_root       { $servroot }
sub html_dir          { "$servroot/html" }
sub server_addr       { '127.0.0.1' }
sub error_log_data    { split /^/, $log_text }
sub env_to_nginx      { push @env, @_ }
sub add_cleanup_handler     { unshift @cleanup, shift }
sub add_block_preprocessor  { unshift @preprocessors, shift }
sub add_response_body_check { push @body_checks, shift }


sub bail_out
{
    stop_server();
    Test::More::BAIL_OUT(@_);
}


sub is_str
{
    my ($got, $expected, $name) = @_;

    return Test::More::like($got, $expected, $name)
        if ref $expected eq 'Regexp';

    Test::More::is($got, $expected, $name);
}


sub free_port
{
    my $socket = IO::Socket::INET->new(Listen => 1, Proto => 'tcp',
                                       LocalAddr => '127.0.0.1')
        or die "no free port: $!\n";

    return $socket->sockport;
}


# --- the blocks of a test file ---------------------------------------------

sub blocks
{
    $blocks ||= load_blocks();

    return wantarray ? @$blocks : scalar @$blocks;
}


sub load_blocks
{
    no warnings 'once';

    my $data = do { local $/; my $text = <main::DATA>; $text };

    defined $data or die "no __DATA__ in the test file\n";

    my (@list, $block, $section);

    for my $line (split /^/, $data) {

        if ($line =~ /^===\s*(.*?)\s*$/) {
            $block = Test::Nginx::Socket::Block->new($1);
            push @list, $block;
            undef $section;

        } elsif ($block && $line =~ /^---\s+(\S+?)(:|\s|$)(.*)$/) {
            $section = open_section($block, "$1$2$3");

        } elsif ($section) {
            $section->{text} .= $line if !$section->{inline};
        }
    }

    for my $item (@list) {
        filter_section($item, $_) for @{ $item->{sections} };
    }

    my ($only) = grep { $_->has('ONLY') } @list;
    return [$only] if $only;

    my @selected;

    for my $item (@list) {
        next if $item->has('SKIP');
        push @selected, $item;
        last if $item->has('LAST');
    }

    return \@selected;
}


sub open_section
{
    my ($block, $head) = @_;

    my ($names, $inline) = $head =~ /^([^:]*?)\s*(?::\s?(.*))?$/;
    my ($name, @filters) = split ' ', $names;

    $Known{$name}
        or die "$block->{name}: section \"$name\" is not known here\n";
    exists $block->{values}{$name}
        and die "$block->{name}: section \"$name\" is given twice\n";

    my $section = { name => $name, filters => \@filters,
                    inline => defined $inline,
                    text => defined $inline ? $inline : '' };

    $block->{values}{$name} = '';
    push @{ $block->{sections} }, $section;

    return $section;
}


sub filter_section
{
    my ($block, $section) = @_;

    my $text = $section->{text};
    my %off = map { /^-(.+)/ ? ($1 => 1) : () } @{ $section->{filters} };

    $text =~ s/\r\n?/\n/g if !$off{norm};

    if (!$off{trim}) {
        $text =~ s/\A([ \t]*\n)+//;
        $text =~ s/(?<=\n)\s*\z//;
    }

    my $value = $text;

    for my $filter (grep { !/^-/ } @{ $section->{filters} }) {

        if ($filter eq 'chomp' || $filter eq 'chop') {
            $value =~ s/\n\z// if $filter eq 'chomp';
            chop $value if $filter eq 'chop';

        } elsif ($filter eq 'unchomp') {
            $value .= "\n";

        } elsif ($filter eq 'eval') {
            $value = Test::Nginx::Socket::Filter::evaluate($value);
            die "$block->{name}: $section->{name}: $@" if $@;

        } else {
            die "$block->{name}: filter \"$filter\" is not known here\n";
        }
    }

    $block->{values}{$section->{name}} = $value;
}


# --- the run ----------------------------------------------------------------

sub run_tests
{
    my @list = blocks();

    @list = shuffle(@list) if $shuffle;

    run_block($_) for @list;
}


sub run_block
{
    my ($block) = @_;

    $_->($block) for @preprocessors;

    my ($count, $reason) = to_skip($block);

    if (defined $reason) {
        SKIP: { Test::More::skip($block->name . " - $reason", $count); }
        return;
    }

    stop_server();
    write_root($block);

    $log_position = 0;

    if ($block->has('must_die')) {
        run_must_die($block);
        return;
    }

    start_server($block);

    if ($block->has('init')) {
        Test::Nginx::Socket::Filter::evaluate($block->init);
        bail_out($block->name . " - init failed: $@") if $@;
    }

    for (1 .. $repeat_each) {
        run_requests($block);
    }

    stop_server();
}


sub to_skip
{
    my ($block) = @_;

    if ($block->has('skip_eval')) {
        my ($n, $code) = $block->skip_eval =~ /^\s*(\d+)\s*:\s*(.+)/s
            or die $block->name . ": skip_eval is \"N: expression\"\n";

        return ($n, 'skip_eval is true')
            if Test::Nginx::Socket::Filter::evaluate($code);
        die $block->name . ": skip_eval: $@" if $@;
    }

    if ($block->has('skip_nginx')) {
        my ($n, $op, $wanted, $why) = $block->skip_nginx
            =~ /^\s*(\d+)\s*:\s*([<>]=?|==)\s*([\d.]+)\s*(?::\s*(.*))?$/
            or die $block->name . ": skip_nginx is \"N: < 1.25.1\"\n";

        my $order = version_number(nginx_version()) <=> version_number($wanted);
        my $skip = ($op =~ /</ && $order < 0) || ($op =~ />/ && $order > 0)
                   || ($op =~ /=/ && $order == 0);

        return ($n, $why || "nginx $op $wanted") if $skip;
    }

    return (0, undef);
}


sub nginx_version
{
    my ($version) = `$binary -v 2>&1` =~ m{nginx/([\d.]+)};

    return $version || bail_out("$binary -v says no version");
}


sub version_number
{
    my @part = split /\./, shift;

    return ($part[0] * 1000 + ($part[1] || 0)) * 1000 + ($part[2] || 0);
}


# --- nginx: files, start, stop ----------------------------------------------

sub expand
{
    my ($block, $text) = @_;

    return '' if !defined $text;

    $text =~ s/\$(TEST_NGINX_[A-Z0-9_]+)/expand_variable($block, $1)/ge;

    return $text;
}


sub expand_variable
{
    my ($block, $name) = @_;

    if ($name =~ /^TEST_NGINX_RAND_PORT_(\d+)$/) {
        return $block->{ports}{$1} ||= free_port();
    }

    return $ENV{$name} if defined $ENV{$name};

    bail_out($block->name . ": environment variable $name is not set");
}


sub write_root
{
    my ($block) = @_;

    remove_tree($servroot, { keep_root => 0 }) if -d $servroot;
    make_path("$servroot/conf", "$servroot/logs", "$servroot/html");
    chmod 0755, dirname($servroot), $servroot;

    write_file("$servroot/html/index.html", "<html><body>It works!</body>"
               . "</html>");

    write_user_files($block) if $block->has('user_files');

    my $modules = join ' ', map { "load_module $_;" }
                            split ' ', $load_modules || '';

    my $root = $root_location
        ? "location / {\n            root $servroot/html;\n"
          . "            index index.html;\n        }"
        : '';

    my $level = $block->has('log_level') ? $block->log_level : $log_level;
    my $user = $< == 0 ? 'user root;' : '';

    $level =~ s/\s+//g;

    write_file("$servroot/conf/nginx.conf",
               expand($block, <<"CONF"
worker_processes $workers;
daemon on;
master_process $master;
error_log $servroot/logs/error.log $level;
pid $servroot/logs/nginx.pid;
$user
@{[ join "\n", map { "env $_;" } @env ]}
$modules
@{[ $block->main_config || '' ]}

http {
    access_log $servroot/logs/access.log;
    client_body_temp_path $servroot/client_body_temp;
    proxy_temp_path $servroot/proxy_temp;
    fastcgi_temp_path $servroot/fastcgi_temp;
    uwsgi_temp_path $servroot/uwsgi_temp;
    scgi_temp_path $servroot/scgi_temp;
    default_type text/plain;
    keepalive_timeout 68s;

@{[ $block->http_config || '' ]}

    server {
        listen $port;
        server_name localhost;
        client_max_body_size 30M;

        $preamble
@{[ $block->config || '' ]}

        $root
    }
}

@{[ $block->post_main_config || '' ]}

events {
    accept_mutex off;
    worker_connections $connections;
}
CONF
    ));
}


sub write_user_files
{
    my ($block) = @_;

    my $files = $block->user_files;

    if (!ref $files) {
        my @list;

        for my $line (split /^/, $files) {
            if ($line =~ /^>>>\s+(\S+)/) {
                push @list, [$1, ''];
            } elsif (@list) {
                $list[-1][1] .= $line;
            }
        }

        $files = \@list;
    }

    for my $file (@$files) {
        my ($name, $content) = @$file;
        my $path = "$servroot/html/$name";

        make_path(dirname($path));
        write_file($path, $content);
    }
}


sub write_file
{
    my ($path, $content) = @_;

    open my $out, '>:raw', $path or bail_out("$path: $!");
    print $out $content;
    close $out or bail_out("$path: $!");
}


sub command
{
    return "$binary -e $servroot/logs/error.log -p $servroot/ "
           . "-c $servroot/conf/nginx.conf > /dev/null 2>$servroot/stderr.txt";
}


sub read_file
{
    my ($path) = @_;

    open my $in, '<:raw', $path or return '';
    local $/;
    my $text = <$in>;

    return defined $text ? $text : '';
}


sub start_server
{
    my ($block) = @_;

    my ($deadline, $rc) = (time + 30);

    while (1) {
        $rc = system(command());
        last if $rc == 0;

        my $error = read_file("$servroot/stderr.txt");
        last if $error !~ /Address already in use/ || time > $deadline;
        sleep 0.2;
    }

    if ($rc != 0) {
        bail_out($block->name . ' - nginx does not start: '
                 . read_file("$servroot/stderr.txt")
                 . read_file("$servroot/logs/error.log"));
    }

    while (time < $deadline) {
        $server_pid = pid_of_server();

        if ($server_pid && is_alive($server_pid)) {
            my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                                               PeerPort => $port,
                                               Timeout => 1);
            return if $socket;
        }

        sleep 0.02;
    }

    bail_out($block->name . " - nothing listens on port $port");
}


sub pid_of_server
{
    my ($pid) = read_file("$servroot/logs/nginx.pid") =~ /^(\d+)/;

    return $pid;
}


# A zombie that waits for a lazy init is no longer alive.

sub is_alive
{
    my ($pid) = @_;

    return 0 if !kill(0, $pid);

    my ($state) = read_file("/proc/$pid/stat") =~ /^\d+ \(.*\) (\S)/s;

    return !defined $state || $state ne 'Z';
}


sub stop_server
{
    my $pid = pid_of_server() || $server_pid or return;

    for my $try (['QUIT', 10], ['TERM', 5], ['KILL', 5]) {
        my ($signal, $seconds) = @$try;
        my $deadline = time + $seconds;

        kill $signal, $pid;

        while (time < $deadline) {
            if (!is_alive($pid)) {
                undef $server_pid;
                unlink "$servroot/logs/nginx.pid";
                return;
            }

            sleep 0.01;
        }

        warn "nginx $pid does not end on SIG$signal\n";
    }
}


# so that the block below is run, and nginx does not stay behind
for my $signal (qw(TERM INT HUP)) {
    $SIG{$signal} = sub { $$ == $owner ? exit 1 : POSIX::_exit(1) };
}


END {
    if ($$ == $owner) {
        my $status = $?;

        stop_server();
        $_->() for @cleanup;
        $? = $status;
    }
}


# --- requests ---------------------------------------------------------------

sub run_requests
{
    my ($block) = @_;

    my ($requests, $pipelined) = build_requests($block);
    my $wait = seconds($block->timeout, $timeout);
    my @sent = $pipelined ? $requests : map { [$_] } @$requests;
    my $total = @$requests;
    my $index = 0;

    for my $group (@sent) {
        my @packets = map { @{ $_->{packets} } } @$group;
        my $text = exchange($block, \@packets, $wait);

        warn "response: [$text]\n" if $verbose;

        for my $request (@$group) {

            if (!$block->has('ignore_response')) {
                my $response = parse_response($block, \$text,
                                              $request->{head});
                check_response($block, $response, $index, $total > 1);
            }

            $index++;

            sleep $block->wait if $block->has('wait');
            check_error_log($block, $index - 1, $total > 1);
        }
    }
}


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


# The packets of one request: the first line and the body are the test's, the
# header block goes between them, into the packet in which the line ends.

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


# --- checks -----------------------------------------------------------------

sub expected
{
    my ($block, $section, $index, $several) = @_;

    return undef if !$block->has($section);

    my $value = $block->$section;

    if ($several) {
        ref $value eq 'ARRAY'
            or bail_out($block->name . ": with several requests, $section "
                        . 'must be an array');
        return $value->[$index];
    }

    return ref $value eq 'ARRAY' ? $value->[0] : $value;
}


sub check_response
{
    my ($block, $response, $index, $several) = @_;

    my $name = $block->name . ($several ? ", request $index" : '');
    my $want = sub { expected($block, shift, $index, $several) };
    my $value;

    if (defined($value = $want->('error_code_like'))) {
        Test::More::like($response->{status}, to_regex($value),
                         "$name - status code");
    } else {
        $value = $want->('error_code');
        $value = 200 if !defined $value || $value eq '';
        $value =~ s/\s+//g;
        Test::More::is($response->{status}, $value, "$name - status code")
            || Test::More::diag(substr $response->{body}, 0, 1000);
    }

    if (defined($value = $want->('raw_response_headers_like'))) {
        Test::More::like($response->{raw}, to_regex($value),
                         "$name - header block");
    }

    if (defined($value = $want->('raw_response_headers_unlike'))) {
        Test::More::unlike($response->{raw}, to_regex($value),
                           "$name - header block");
    }

    check_headers($response, $name, $want->('response_headers'), 0);
    check_headers($response, $name, $want->('response_headers_like'), 1);

    my $body = $response->{body};

    if (defined($value = $want->('response_body'))) {
        ref $value eq 'Regexp'
            ? Test::More::like($body, $value, "$name - body")
            : Test::More::is($body, $value, "$name - body");
    }

    if (defined($value = $want->('response_body_like'))) {
        Test::More::like($body, to_regex($value), "$name - body");
    }

    if (defined($value = $want->('response_body_unlike'))) {
        Test::More::unlike($body, to_regex($value), "$name - body");
    }

    $_->($block, $body, $index, 0, 0) for @body_checks;
}


sub to_regex
{
    my ($value) = @_;

    return $value if ref $value;

    $value =~ s/^\s+|\s+$//g;

    return qr/$value/s;
}


sub check_headers
{
    my ($response, $name, $lines, $like) = @_;

    return if !defined $lines;

    for my $line (split /\r?\n/, $lines) {
        next if $line =~ /^\s*(#|$)/;

        my ($absent, $field, $value)
            = $line =~ /^\s*(!?)\s*([^:\s]+)\s*:?\s*(.*?)\s*$/;
        my $list = $response->{headers}{lc $field};
        my $got = $list ? join(', ', @$list) : undef;

        if ($absent) {
            Test::More::is($got, undef, "$name - no header $field");

        } elsif ($like) {
            Test::More::like($got // '', qr/^(?:$value)$/,
                             "$name - header $field");

        } else {
            Test::More::is($got, $value, "$name - header $field");
        }
    }
}


sub lines_of
{
    my ($value) = @_;

    return if !defined $value;
    return $value if ref $value eq 'Regexp';
    return map { lines_of($_) } @$value if ref $value eq 'ARRAY';

    return grep { $_ ne '' } split /\n/, $value;
}


sub new_log_text
{
    my $path = "$servroot/logs/error.log";

    open my $in, '<:raw', $path or return '';
    seek $in, $log_position, 0;
    local $/;
    my $text = <$in>;
    $log_position = tell $in;

    return defined $text ? $text : '';
}


sub check_error_log
{
    my ($block, $index, $several) = @_;

    my $name = $block->name;

    $log_text = new_log_text();

    if ($block->has('grep_error_log')) {
        my $pattern = $block->grep_error_log;

        $pattern = qr/\Q$pattern\E/ if !ref $pattern;

        my $found = join '', map { "$_\n" } $log_text =~ /($pattern)/g;
        my $wanted = expected($block, 'grep_error_log_out', $index, $several);

        is_str($found, $wanted, "$name - matches in the error log");
    }

    for my $pattern (lines_of($block->error_log)) {
        my $regex = ref $pattern ? $pattern : qr/\Q$pattern\E/;

        Test::More::like($log_text, $regex, "$name - error log has $pattern");
    }

    for my $pattern (lines_of($block->no_error_log)) {
        my $regex = ref $pattern ? $pattern : qr/\Q$pattern\E/;
        my ($line) = grep { $_ =~ $regex } split /^/, $log_text;

        Test::More::is($line, undef, "$name - error log has no $pattern");
    }

    for my $line (grep { /\[(?:alert|crit|emerg)\]/ } split /^/, $log_text) {
        next if $block->has('error_log') || $block->has('no_error_log');
        warn "$name: $line";
    }
}


sub run_must_die
{
    my ($block) = @_;

    my $status = system(command());
    my $wanted = $block->must_die;

    if (defined $wanted && $wanted =~ /(\d+)/) {
        Test::More::is($status >> 8, $1, $block->name . ' - exit code');
    } else {
        Test::More::isnt($status, 0, $block->name . ' - nginx refuses');
    }

    check_error_log($block, 0, 0);
}


package Test::Nginx::Socket::Block;

use strict;
use warnings;

our $AUTOLOAD;

sub new
{
    my ($class, $name) = @_;

    return bless { name => $name, sections => [], values => {}, ports => {} },
                 $class;
}

sub name { $_[0]{name} }

sub has { exists $_[0]{values}{$_[1]} && defined $_[0]{values}{$_[1]} }

sub set_value
{
    my ($self, $section, $value) = @_;

    $Test::Nginx::Socket::Known{$section}
        or die "$self->{name}: section \"$section\" is not known here\n";

    $self->{values}{$section} = $value;
}

sub AUTOLOAD
{
    my ($self) = @_;

    (my $section = $AUTOLOAD) =~ s/.*:://;

    return if $section eq 'DESTROY';

    return $self->{values}{$section};
}


1;
