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


package Test::Nginx::Socket::Parser;

# parse(): the blocks of a test file, as far as they are to be run.

use strict;
use warnings;

use Test::Nginx::Socket::Block;


sub parse
{
    my ($data) = @_;

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

    $Test::Nginx::Socket::Known{$name}
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


1;
