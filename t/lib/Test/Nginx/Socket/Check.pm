package Test::Nginx::Socket::Check;

# What a block expects of a response and of the error log.

use strict;
use warnings;

use Exporter 'import';
use Test::More ();

use Test::Nginx::Socket::Server qw($servroot bail_out);

our @EXPORT_OK = qw(
    @body_checks is_str check_response check_error_log error_log_data new_log
);

our @body_checks;

my ($log_position, $log_text) = (0, '');


# There is a new error log.

sub new_log
{
    $log_position = 0;
}


sub error_log_data
{
    return split /^/, $log_text;
}


sub is_str
{
    my ($got, $expected, $name) = @_;

    return Test::More::like($got, $expected, $name)
        if ref $expected eq 'Regexp';

    Test::More::is($got, $expected, $name);
}


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


1;
