package PVE::Corosync;

use strict;
use warnings;

# What is parsed here is parsed again by the stand-in, which gets the text.
sub parse_conf {
    my ($filename, $raw) = @_;
    return { digest => $filename, raw => $raw };
}

1;
