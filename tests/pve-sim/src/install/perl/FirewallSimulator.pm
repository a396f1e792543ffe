package PVE::FirewallSimulator;

# Stand-in: pve-sim walks the rules it is given, and gives up where the real module does.

use strict;
use warnings;

my $PROGRAM = '/usr/lib/pve-sim/pve-sim';

sub simulate_firewall {
    my ($ruleset, $ipset_ruleset, $host_ip, $vmdata, $test) = @_;
    my $from = $test->{from} || die "missing 'from' field";
    my $to = $test->{to} || die "missing 'to' field";
    my %words = (proto => 'tcp', %$test, dport => $test->{dport} // '-');
    pipe(my $in, my $out) or die "pve-sim: $!\n";
    my $pid = open(my $said, '-|') // die "pve-sim: $!\n";
    if (!$pid) {
        close($out);
        open(STDIN, '<&', $in) or die "pve-sim: $!\n";
        exec($PROGRAM, 'pve-firewall-module', 'simulate', map { $_ // '-' } @words{qw(from to proto source dest dport)})
            or die "pve-sim: $!\n";
    }
    close($in);
    for my $table ([filter => $ruleset], [sets => $ipset_ruleset]) {
        my ($name, $chains) = @$table;
        for my $chain (sort keys %$chains) {
            print $out join("\t", $name, $chain, $_), "\n" for '', @{ $chains->{$chain} };
        }
    }
    close($out);
    my $answer = <$said> // '';
    close($said);
    chomp $answer;
    $answer =~ m/^ACTION: (\w+)$/ or die "$answer\n";
    return $1;
}

1;
