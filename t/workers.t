# Several workers: one answer from all of them, at every moment; reload under
# load; workers killed under load.

use Test::Nginx::S3;
use Test::Nginx::Socket 'no_plan';
use POSIX ();
use Time::HiRes qw(time sleep);

# Writes in children until told to stop; what was acknowledged is in files.

our (@children, $log);

sub load_start
{
    my ($name) = @_;

    $log = s3_dir() . "/load-$name";
    mkdir $log;
    @children = ();

    for my $n (1 .. 4) {
        my $pid = fork();

        defined $pid or die "fork: $!";

        if ($pid) {
            push @children, $pid;
            next;
        }

        open my $out, '>>', "$log/$n";
        $out->autoflush(1);

        for (my $i = 1; !-e "$log/stop"; $i++) {
            my $key = "$name/$n/$i";
            my $size = (10, 3000, 60000, 400000)[$i % 4];
            my $answer = s3_call('PUT', "/bucket/$key", [],
                                 substr("$key;" x (1 + $size / 4), 0, $size));

            print $out "$key $size $answer->{status}\n";
            sleep 0.02 if $answer->{status} != 200;
        }

        close $out;
        POSIX::_exit(0);
    }
}

# Every acknowledged object is there, whole; returns how many there are, and
# how many requests were not answered with 200.

sub load_stop
{
    open my $stop, '>', "$log/stop";
    waitpid $_, 0 for @children;

    my ($good, $bad, $other) = (0, 0, 0);

    for my $n (1 .. 4) {
        open my $in, '<', "$log/$n" or next;

        while (my $line = <$in>) {
            my ($key, $size, $status) = split ' ', $line;

            if ($status != 200) {
                $other++;
                next;
            }

            my $got = s3_call('GET', "/bucket/$key");
            my $want = substr("$key;" x (1 + $size / 4), 0, $size);

            if ($got->{status} == 200 && $got->{body} eq $want) {
                $good++;
            } else {
                $bad++;
                Test::More::diag("$key: $got->{status}, "
                                 . length($got->{body}) . " of $size bytes");
            }
        }
    }

    Test::More::is($bad, 0, 'nothing that was acknowledged is lost');
    Test::More::cmp_ok($good, '>', 10, 'something was written');

    return ($good, $other);
}

master_on();
workers(2);
s3_setup();
no_shuffle();
run_tests();

__DATA__

=== TEST 1: one worker writes, another one reads and lists
--- init
Test::More::ok(::s3_until(5, sub { ::s3_worker_pids() == 2 }), 'two workers');
Test::More::is(::s3_call('PUT', '/bucket')->{status}, 200, 'create');
my $wrong = 0;
for my $i (1 .. 200) {
    my $key = sprintf 'k%03d', $i;
    $wrong++ if ::s3_call('PUT', "/bucket/$key", [], "body $i")->{status} != 200;
    $wrong++ if ::s3_call('GET', "/bucket/$key")->{body} ne "body $i";
    $wrong++ if ::s3_call('GET', "/bucket?list-type=2&prefix=$key")->{body}
                !~ /<Key>$key</;
    next if $i % 3;
    $wrong++ if ::s3_call('DELETE', "/bucket/$key")->{status} != 204;
    $wrong++ if ::s3_call('GET', "/bucket/$key")->{status} != 404;
    $wrong++ if ::s3_call('GET', "/bucket?list-type=2&prefix=$key")->{body}
                =~ /<Key>$key</;
}
Test::More::is($wrong, 0, 'read after write, list after write');
--- request
HEAD /bucket



=== TEST 2: reload under load: not one request fails
--- init
::load_start('reload');
for (1 .. 3) {
    Time::HiRes::sleep(0.7);
    Test::More::ok(::s3_reload(), 'new workers serve');
}
my ($good, $other) = ::load_stop();
Test::More::is($other, 0, 'every request was answered with 200');
--- request
HEAD /bucket
--- timeout: 60



=== TEST 3: kill -9 of a worker under load
--- init
::load_start('kill');
for my $i (0 .. 5) {
    Time::HiRes::sleep(0.5);
    my @pid = ::s3_worker_pids();
    kill 'KILL', $pid[$i % @pid];
    Test::More::ok(::s3_until(10, sub {
        scalar(::s3_worker_pids()) == 2
        && ::s3_call('GET', '/bucket?list-type=2&max-keys=1')->{status} == 200
    }), 'another worker is there, and serves');
}
::load_stop();
--- request
HEAD /bucket
--- no_error_log
[emerg]



=== TEST 4: all workers at once
--- init
::load_start('all');
for (1 .. 3) {
    Time::HiRes::sleep(0.5);
    kill 'KILL', ::s3_worker_pids();
    Test::More::ok(::s3_wait_up(15), 'it serves again');
}
::load_stop();
--- request
HEAD /bucket
--- no_error_log
[emerg]



=== TEST 5: kill -9 of the master and the workers; the next start finds all
--- init
::load_start('master');
Time::HiRes::sleep(1.5);
my @pids = (::s3_master_pid(), ::s3_worker_pids());
kill 'KILL', @pids;
::s3_until(10, sub { !grep { Test::Nginx::S3::is_alive($_) } @pids });
open my $stop, '>', "$::log/stop";
waitpid $_, 0 for @::children;
my $root = ::server_root();
my $nginx = $ENV{TEST_NGINX_BINARY} || 'nginx';
system("$nginx -e $root/logs/error.log -p $root/ -c $root/conf/nginx.conf");
Test::More::ok(::s3_wait_up(15), 'it serves again');
::load_stop();
--- request
HEAD /bucket
--- no_error_log
[emerg]



=== TEST 6: two workers create the same key
--- init
my $path = ::s3_dir() . '/won';
for my $n (1 .. 4) {
    next if fork();
    open my $out, '>>', $path;
    $out->autoflush(1);
    for my $i (1 .. 50) {
        my $status = ::s3_call('PUT', "/bucket/once/$i", [['If-None-Match', '*']], "by $n")->{status};
        syswrite $out, "$i $status\n";
    }
    POSIX::_exit(0);
}
1 while wait() > 0;
open my $in, '<', $path;
my (%won, %other);
while (<$in>) {
    my ($i, $status) = split;
    $status == 200 ? $won{$i}++ : $other{$status}++;
}
Test::More::is(scalar(grep { ($won{$_} || 0) == 1 } 1 .. 50), 50, 'each was created once');
Test::More::is(join(',', grep { $_ != 412 && $_ != 409 } keys %other), '', 'the others were told');
--- request
HEAD /bucket
