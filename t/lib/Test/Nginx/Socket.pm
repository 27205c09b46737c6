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
#
#   Parser, Block   the test file
#   Server          nginx and its configuration
#   Client          requests and responses
#   Check           what is expected

use strict;
use warnings;

use List::Util qw(shuffle);
use POSIX ();
use Test::More ();
use Time::HiRes qw(sleep);

use Test::Nginx::Socket::Check qw(
    @body_checks is_str check_response check_error_log error_log_data new_log
);
use Test::Nginx::Socket::Client qw(
    build_requests seconds exchange parse_response
);
use Test::Nginx::Socket::Parser;
use Test::Nginx::Socket::Server qw(
    %conf $port $servroot bail_out nginx_version write_root remove_root
    command start_server stop_server
);

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
my $verbose = $ENV{TEST_NGINX_VERBOSE};
my $timeout = $ENV{TEST_NGINX_TIMEOUT} || 3;
my ($repeat_each, $shuffle) = (1, !$ENV{TEST_NGINX_NO_SHUFFLE});
my (@preprocessors, $blocks);
my @cleanup = (\&remove_root);


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
sub workers           { @_ ? $conf{workers} = shift : $conf{workers} }
sub worker_connections { @_ ? $conf{connections} = shift : $conf{connections} }
sub repeat_each       { @_ ? $repeat_each = shift : $repeat_each }
sub timeout           { @_ ? $timeout = shift : $timeout }
sub log_level         { @_ ? $conf{log_level} = shift : $conf{log_level} }
sub server_port       { @_ ? $port = shift : $port }
sub config_preamble   { @_ ? $conf{preamble} = shift : $conf{preamble} }
sub master_on         { $conf{master} = 'on' }
sub master_off        { $conf{master} = 'off' }
sub no_shuffle        { $shuffle = 0 }
sub no_long_string    { }
sub no_root_location  { $conf{root_location} = 0 }
sub server_root       { $servroot }
sub html_dir          { "$servroot/html" }
sub server_addr       { '127.0.0.1' }
sub env_to_nginx      { push @{ $conf{env} }, @_ }
sub add_cleanup_handler     { unshift @cleanup, shift }
sub add_block_preprocessor  { unshift @preprocessors, shift }
sub add_response_body_check { push @body_checks, shift }


sub blocks
{
    $blocks ||= Test::Nginx::Socket::Parser::parse(test_data());

    return wantarray ? @$blocks : scalar @$blocks;
}


sub test_data
{
    no warnings 'once';

    my $data = do { local $/; my $text = <main::DATA>; $text };

    defined $data or die "no __DATA__ in the test file\n";

    return $data;
}


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

    new_log();

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


sub version_number
{
    my @part = split /\./, shift;

    return ($part[0] * 1000 + ($part[1] || 0)) * 1000 + ($part[2] || 0);
}


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


1;
