package Test::Nginx::Socket::Server;

# nginx of a test: its port, its directory, its configuration, start and stop.

use strict;
use warnings;

use Exporter 'import';
use File::Basename qw(dirname);
use File::Path qw(make_path remove_tree);
use File::Temp ();
use IO::Socket::INET;
use Test::More ();
use Time::HiRes qw(time sleep);

our @EXPORT_OK = qw(
    %conf $port $servroot bail_out nginx_version write_root remove_root
    command start_server stop_server
);

my $binary = $ENV{TEST_NGINX_BINARY} || 'nginx';
my $own_root = !defined $ENV{TEST_NGINX_SERVROOT};
my $server_pid;

my @held; # ports, as long as we live

our $port = $ENV{TEST_NGINX_PORT} || $ENV{TEST_NGINX_SERVER_PORT}
            || free_port();
our $servroot = $own_root
    ? File::Temp::tempdir('test-nginx-XXXXXX', TMPDIR => 1) . '/servroot'
    : $ENV{TEST_NGINX_SERVROOT};

# of nginx.conf
our %conf = (
    workers => 1,
    connections => 64,
    master => 'off',
    preamble => '',
    root_location => 1,
    log_level => $ENV{TEST_NGINX_LOG_LEVEL} || 'debug',
    load_modules => $ENV{TEST_NGINX_LOAD_MODULES},
    env => [],
);

$ENV{TEST_NGINX_SERVER_ROOT} = $servroot;
$ENV{TEST_NGINX_HTML_DIR} = "$servroot/html";
$ENV{TEST_NGINX_SERVER_PORT} = $port;
$ENV{TEST_NGINX_PORT} = $port;


sub bail_out
{
    stop_server();
    Test::More::BAIL_OUT(@_);
}


# One that nobody else is given: it stays bound, and nginx may listen there all
# the same, since it sets SO_REUSEADDR as well.

sub free_port
{
    my $socket = IO::Socket::INET->new(Proto => 'tcp', ReuseAddr => 1,
                                       LocalAddr => '127.0.0.1')
        or die "no free port: $!\n";

    push @held, $socket;

    return $socket->sockport;
}


sub remove_root
{
    remove_tree(dirname($servroot)) if $own_root;
}


sub nginx_version
{
    my ($version) = `$binary -v 2>&1` =~ m{nginx/([\d.]+)};

    return $version || bail_out("$binary -v says no version");
}


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
                            split ' ', $conf{load_modules} || '';

    my $root = $conf{root_location}
        ? "location / {\n            root $servroot/html;\n"
          . "            index index.html;\n        }"
        : '';

    my $level = $block->has('log_level') ? $block->log_level : $conf{log_level};
    my $user = $< == 0 ? 'user root;' : '';

    $level =~ s/\s+//g;

    write_file("$servroot/conf/nginx.conf",
               expand($block, <<"CONF"
worker_processes $conf{workers};
daemon on;
master_process $conf{master};
error_log $servroot/logs/error.log $level;
pid $servroot/logs/nginx.pid;
$user
@{[ join "\n", map { "env $_;" } @{ $conf{env} } ]}
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

        $conf{preamble}
@{[ $block->config || '' ]}

        $root
    }
}

@{[ $block->post_main_config || '' ]}

events {
    accept_mutex off;
    worker_connections $conf{connections};
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


1;
