# Puts questions to Proxmox VE's own firewall compiler and simulator about files that are not in force yet. Reads only.
#
#   perl questions.pl FOLDER
#
# `pve-firewall simulate` knows the live files only, and pmxcfs hands it those over a socket, so that no mount puts others
# in their place. The functions below it take a path or what was read from one: load_clusterfw_conf, load_hostfw_conf and
# compile as the daemon calls them at each tick, simulate_firewall as the command does (pve-firewall src/PVE/Firewall.pm,
# FirewallSimulator.pm; the same since pve-firewall 4.1, which is older than PVE 8).
#
# FOLDER/cluster.fw     what will be in force; where there is none, the live file counts
# FOLDER/host.fw        likewise
# FOLDER/corosync.conf  likewise
# FOLDER/questions      lines of words: EXPECTED FROM TO PROTOCOL SOURCE DESTINATION PORT; zones as the command has them
#
# Output: a word for each question, in order: ACCEPT, DROP, REJECT, or ? with the reason on stderr.
# Exit status: 0 answered, 3 there is no such compiler here, 4 it does not take the files.

use strict;
use warnings;
use POSIX ();
use Socket ();

my $folder = shift // die "no folder\n";

eval {
    require PVE::Cluster;
    require PVE::Corosync;
    require PVE::Firewall;
    require PVE::FirewallSimulator;
    PVE::Cluster::cfs_update();
    for my $name (qw(load_clusterfw_conf load_hostfw_conf compile)) {
        PVE::Firewall->can($name) or die "PVE::Firewall has no $name\n";
    }
    PVE::FirewallSimulator->can('simulate_firewall') or die "PVE::FirewallSimulator has no simulate_firewall\n";
    1;
} or do {
    print STDERR $@;
    POSIX::_exit(3);
};
$SIG{__WARN__} = sub { };

my ($rules, $sets) = eval { compiled() };
if ($@) {
    print STDERR $@;
    POSIX::_exit(4);
}
$rules->{$_} = [map { playable($_) } @{ $rules->{$_} }] for keys %$rules;
$sets->{$_} = without_exceptions($sets->{$_}) for keys %$sets;

$| = 1;
open(my $questions, '<', "$folder/questions") or die "questions: $!\n";
while (my $line = <$questions>) {
    my (undef, $from, $to, $protocol, $source, $dest, $port) = split ' ', $line;
    my $packet = { from => $from, to => $to, proto => $protocol, source => $source, dest => $dest, dport => $port };
    print answer($packet), "\n";
}
POSIX::_exit(0);

sub planned {
    my $path = "$folder/$_[0]";
    return -e $path ? $path : undef;
}

sub compiled {
    my $cluster = PVE::Firewall::load_clusterfw_conf(planned('cluster.fw'));
    my $host = PVE::Firewall::load_hostfw_conf($cluster, planned('host.fw'));
    my $links;
    if (my $path = planned('corosync.conf')) {
        open(my $file, '<', $path) or die "$path: $!\n";
        local $/;
        $links = PVE::Corosync::parse_conf($path, scalar <$file>);
    }
    my ($tables, $compiled_sets) = PVE::Firewall::compile($cluster, $host, undef, $links);
    return ($tables->{filter} // {}, $compiled_sets);
}

# The simulator dies of some rules that decide nothing or that it could play in other words: log rules, those for packets
# that begin no connection, and lists of ports or addresses, which are as many rules with one.
sub playable {
    my ($rule) = @_;
    return if $rule =~ m/ -j NFLOG /;
    return if $rule =~ m/ -p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN -j /;
    if ($rule =~ m/^(.*) --match multiport --dports (\S+)(.*)$/) {
        my ($before, $ports, $after) = ($1, $2, $3);
        return map { playable("$before --dport $_$after") } split(/,/, $ports);
    }
    if ($rule =~ m/^(.*) -([sd]) ([^ ]+,[^ ]+)(.*)$/) {
        my ($before, $side, $addresses, $after) = ($1, $2, $3, $4);
        return map { playable("$before -$side $_$after") } split(/,/, $addresses);
    }
    return $rule;
}

# The simulator takes the first network of a set that holds the address, and dies where it meets an exception (`nomatch`)
# before; the kernel lets the smallest network decide. The same set in its words: each network without the exceptions in it.
sub without_exceptions {
    my ($lines) = @_;
    my @exceptions = map { m/^add \S+ (\S+) nomatch$/ ? $1 : () } @$lines;
    return $lines if !@exceptions || $lines->[0] !~ m/ hash:net family inet /;
    @exceptions = map { [range($_)] } @exceptions;
    return [
        map {
            my ($add, $network) = m/^(add \S+) (\S+)$/;
            m/ nomatch$/ ? () : $network ? map { "$add $_" } parts([range($network)], @exceptions) : $_;
        } @$lines
    ];
}

# First address and prefix length of an IPv4 network.
sub range {
    my ($address, $length) = split(m{/}, $_[0]);
    my $first = unpack('N', Socket::inet_aton($address));
    $length //= 32;
    return ($length ? $first & (0xffffffff << (32 - $length) & 0xffffffff) : 0, $length);
}

sub holds {
    my ($outer, $inner) = @_;
    return $outer->[1] <= $inner->[1] && (range(text(@$inner[0], $outer->[1])))[0] == $outer->[0];
}

sub text { return Socket::inet_ntoa(pack('N', $_[0])) . "/$_[1]" }

sub parts {
    my ($network, @exceptions) = @_;
    my ($first, $length) = @$network;
    @exceptions = grep { holds($network, $_) } @exceptions;
    return text($first, $length) if !@exceptions;
    return if grep { $_->[1] == $length } @exceptions;
    return map { parts([$first | $_ << (31 - $length), $length + 1], @exceptions) } (0, 1);
}

# A process for each: the simulator keeps a packet's mark for the next one.
sub answer {
    my ($packet) = @_;
    return 'ACCEPT' if !%$rules;
    my $pid = open(my $pipe, '-|') // return '?';
    if (!$pid) {
        my $said = eval {
            PVE::FirewallSimulator::simulate_firewall(
                $rules, $sets, $packet->{dest}, { qemu => {}, lxc => {} }, { %$packet, action => 'QUERY' },
            );
        };
        print STDERR $@ if $@;
        print $said // '?';
        close(STDOUT);
        POSIX::_exit(0);
    }
    my $said = <$pipe> // '?';
    close($pipe);
    return $said =~ m/^(ACCEPT|DROP|REJECT)$/ ? $said : '?';
}
