//! Perl modules of PVE, as far as other programs call them. The real ones do the work; these
//! hand it to this binary (`firewall::module`, `acme`), or write down what they were called with.

use std::path::Path;

use super::below;
use crate::files::lay_out;

const FOLDER: &str = "/usr/share/perl5/PVE";
const MODULES: [(&str, &str); 6] = [
    ("ACME.pm", include_str!("perl/ACME.pm")),
    ("Cluster.pm", include_str!("perl/Cluster.pm")),
    ("Corosync.pm", include_str!("perl/Corosync.pm")),
    ("Firewall.pm", include_str!("perl/Firewall.pm")),
    ("FirewallSimulator.pm", include_str!("perl/FirewallSimulator.pm")),
    ("Notify.pm", include_str!("perl/Notify.pm")),
];

/// Lays them out.
pub fn install(root: &Path) -> anyhow::Result<()> {
    for (name, text) in MODULES {
        lay_out(&below(root, &format!("{FOLDER}/{name}")), text.as_bytes(), 0o644)?;
    }
    Ok(())
}
