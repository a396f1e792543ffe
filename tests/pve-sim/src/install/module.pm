package PVE::CLI::PROGRAM;

# As PVE's own module: the words in @ARGV, none of them an argument of a process.
use strict;
use warnings;

sub run_cli_handler {
    open(my $program, '|-', '/usr/lib/pve-sim/pve-sim', 'read-words', 'PROGRAM') or die "no pve-sim\n";
    binmode $program;
    print {$program} map { "$_\0" } @ARGV;
    close($program);
    exit($? >> 8);
}

1;
