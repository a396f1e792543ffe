# What Proxmox VE's own compiler makes of files that are not in force: a line of JSON for each FOLDER with cluster.fw,
# host.fw and, where there is one, corosync.conf: {"v4":{CHAIN:[LINE]},"v6":…,"sets":{NAME:[LINE]}}. Reads only.
use strict;
use warnings;
use JSON;
use PVE::Cluster;
use PVE::Corosync;
use PVE::Firewall;

PVE::Cluster::cfs_update();
$SIG{__WARN__} = sub { };
my $json = JSON->new->canonical;
for my $folder (@ARGV) {
    my $cluster = PVE::Firewall::load_clusterfw_conf("$folder/cluster.fw");
    my $host = PVE::Firewall::load_hostfw_conf($cluster, "$folder/host.fw");
    my $links;
    if (open(my $file, '<', "$folder/corosync.conf")) {
        local $/;
        $links = PVE::Corosync::parse_conf("$folder/corosync.conf", scalar <$file>);
    }
    my ($v4, $sets, $v6) = PVE::Firewall::compile($cluster, $host, undef, $links);
    print $json->encode({ v4 => $v4->{filter} // {}, v6 => $v6->{filter} // {}, sets => $sets }), "\n";
}
