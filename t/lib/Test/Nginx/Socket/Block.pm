package Test::Nginx::Socket::Block;

# A test: its name and its sections, $block->SECTION.

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
