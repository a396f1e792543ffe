# Hands an alert to PVE's notification system. Standard input: severity, title, and the text.
use strict;
use warnings;
use POSIX ();

# Before PVE 8.2 the templates were part of the call; mail to root takes its place there.
my $templates = '/usr/share/pve-manager/templates/default';
-e "$templates/pve-harden-subject.txt.hbs" or die "no templates in $templates\n";

require PVE::Notify;

chomp(my $severity = <STDIN> // '');
chomp(my $title = <STDIN> // '');
my $text = do { local $/; <STDIN> } // '';
$severity =~ /^(?:info|notice|warning|error)$/ or die "no severity\n";
my ($node) = split /\./, (POSIX::uname())[1];

PVE::Notify::notify(
    $severity, 'pve-harden', { title => $title, message => $text }, { type => 'pve-harden', hostname => $node },
);
