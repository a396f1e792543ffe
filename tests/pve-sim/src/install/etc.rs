//! Configuration files of a fresh node.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::{Options, below};
use crate::files::lay_out;

/// Folders of a fresh /etc/pve besides those of the node.
const PVE_FOLDERS: [&str; 10] =
    ["firewall", "ha", "mapping", "nodes", "priv", "priv/acme", "priv/lock", "sdn", "sdn/fabrics", "virtual-guest"];

const STORAGE: &str = "dir: local
\tpath /var/lib/vz
\tcontent iso,vztmpl,backup

lvmthin: local-lvm
\tthinpool data
\tvgname pve
\tcontent rootdir,images
";

const HA_MANAGER: &str = "# select watchdog module (default is softdog)\n#WATCHDOG_MODULE=ipmi_watchdog\n";

/// Writes host name and hosts, the seed of /etc/pve, /etc/default and the folders that the packages bring.
pub fn install(options: &Options) -> anyhow::Result<()> {
    let root = &options.root;
    lay_out(&below(root, "/etc/hostname"), format!("{}\n", options.node).as_bytes(), 0o644)?;
    lay_out(&below(root, "/etc/hosts"), hosts(options).as_bytes(), 0o644)?;
    lay_out(&below(root, "/etc/default/pve-ha-manager"), HA_MANAGER.as_bytes(), 0o644)?;
    for (folder, mode) in [
        ("/etc/pve", 0o755),
        ("/root/.ssh", 0o700),
        ("/var/lib/pve-cluster", 0o755),
        ("/var/lib/pve-manager", 0o755),
        ("/var/lib/pve-sim/cluster", 0o700),
        ("/var/lib/vz", 0o755),
        ("/var/log/pve/tasks", 0o755),
    ] {
        let folder = below(root, folder);
        fs::create_dir_all(&folder)?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(mode))?;
    }
    seed(options)
}

fn hosts(options: &Options) -> String {
    let Options { node, domain, address, address6, .. } = options;
    let mut text = format!("127.0.0.1 localhost.localdomain localhost\n{address} {node}.{domain} {node}\n");
    if let Some(address6) = address6 {
        let _ = writeln!(text, "{address6} {node}.{domain} {node}");
    }
    text.push_str(
        "\n# The following lines are desirable for IPv6 capable hosts\n\n\
         ::1     ip6-localhost ip6-loopback\nfe00::0 ip6-localnet\nff00::0 ip6-mcastprefix\n\
         ff02::1 ip6-allnodes\nff02::2 ip6-allrouters\nff02::3 ip6-allhosts\n",
    );
    text
}

/// What the installer writes into /etc/pve before the first boot. A fresh node has no domains.cfg.
fn seed(options: &Options) -> anyhow::Result<()> {
    let seed = below(&options.root, crate::pmxcfs::SEED);
    let _ = fs::remove_dir_all(&seed);
    for folder in PVE_FOLDERS {
        fs::create_dir_all(seed.join(folder))?;
    }
    fs::set_permissions(&seed, fs::Permissions::from_mode(0o700))?;
    let user = format!("user:root@pam:1:0:::root@{}.{}::\n", options.node, options.domain);
    lay_out(&seed.join("user.cfg"), user.as_bytes(), 0o600)?;
    lay_out(&seed.join("datacenter.cfg"), b"keyboard: en-us\n", 0o600)?;
    lay_out(&seed.join("storage.cfg"), STORAGE.as_bytes(), 0o600)
}
