//! Proxmox's packages in dpkg's books, so that dpkg and apt know a hypervisor lies here.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;

use super::below;
use crate::files::lay_out;
use crate::release::Release;

const STATUS: &str = "/var/lib/dpkg/status";

/// Adds the packages to dpkg's status file; those it has are left alone.
pub fn install(root: &Path, release: Release) -> anyhow::Result<()> {
    let path = below(root, STATUS);
    let mut status = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    for (name, version) in release.packages() {
        if status.lines().any(|line| line.strip_prefix("Package: ") == Some(*name)) {
            continue;
        }
        if !status.ends_with("\n\n") {
            status.push('\n');
        }
        let _ = write!(
            status,
            "Package: {name}\nStatus: install ok installed\nPriority: optional\nSection: admin\n\
             Maintainer: Lab <root@localhost>\nArchitecture: all\nVersion: {version}\n\
             Description: stand-in of the test lab\n\n"
        );
        lay_out(&below(root, &format!("/var/lib/dpkg/info/{name}.list")), b"/.\n", 0o644)?;
    }
    std::fs::write(&path, status).with_context(|| format!("writing {}", path.display()))
}
