package PVE::Firewall;

# Stand-in: the files are read and compiled by pve-sim; here its lines become the structures of the real module.

use strict;
use warnings;

my $PROGRAM = '/usr/lib/pve-sim/pve-sim';

sub load_clusterfw_conf {
    my ($filename) = @_;
    return { path => $filename };
}

sub load_hostfw_conf {
    my ($cluster_conf, $filename) = @_;
    return { path => $filename };
}

sub compile {
    my ($cluster_conf, $hostfw_conf, $vmdata, $corosync_conf) = @_;
    my @words = map { $_ // '-' } $cluster_conf->{path}, $hostfw_conf->{path},
        $corosync_conf ? $corosync_conf->{digest} : undef;
    open(my $lines, '-|', $PROGRAM, 'pve-firewall-module', 'compile', @words) or die "pve-sim: $!\n";
    my %found;
    while (my $line = <$lines>) {
        chomp $line;
        my ($table, $chain, $rule) = split /\t/, $line, 3;
        $found{$table}->{$chain} //= [];
        push @{ $found{$table}->{$chain} }, $rule if length($rule // '');
    }
    close($lines) or die "the files cannot be compiled\n";
    my $sets = delete $found{sets} // {};
    return (\%found, $sets, {}, {});
}

1;
