//! `corosync`: members hear each other over UDP and count votes. It speaks to nobody but the members.

pub mod conf;
mod heartbeat;
pub mod tools;

use crate::applet::Arguments;

/// corosync's own copy of the cluster configuration.
pub const CONF: &str = "/etc/corosync/corosync.conf";

/// Runs `corosync -f`.
pub fn run(_arguments: &Arguments) -> anyhow::Result<u8> {
    heartbeat::run()
}
