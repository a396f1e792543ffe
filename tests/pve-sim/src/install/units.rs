//! systemd units with the names and the order of the real ones.

use std::fmt::Write as _;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::Context as _;

use super::below;
use crate::files::lay_out;

/// How a unit starts.
#[derive(Clone, Copy)]
enum Start {
    /// `start`, `stop` and `restart` as words of the program.
    Daemon {
        program: &'static str,
        pid_file: &'static str,
        /// Further lines of the `[Service]` section.
        more: &'static [&'static str],
    },
    /// Lines of the `[Service]` section.
    Lines(&'static [&'static str]),
}

struct Unit {
    name: &'static str,
    description: &'static str,
    /// Lines of the `[Unit]` section.
    order: &'static [&'static str],
    start: Start,
    target: &'static str,
}

const MULTI_USER: &str = "multi-user.target";

const UNITS: &[Unit] = &[
    Unit {
        name: "pve-cluster",
        description: "The Proxmox VE cluster filesystem",
        order: &[
            "ConditionFileIsExecutable=/usr/bin/pmxcfs",
            "DefaultDependencies=no",
            "Wants=corosync.service rrdcached.service",
            "Before=corosync.service cron.service shutdown.target",
            "After=network.target sys-fs-fuse-connections.mount time-sync.target rrdcached.service",
            "Conflicts=shutdown.target",
        ],
        start: Start::Lines(&[
            "Type=forking",
            "PIDFile=/run/pve-cluster.pid",
            "ExecStart=/usr/bin/pmxcfs",
            "KillMode=mixed",
            "Restart=on-failure",
            "TimeoutStopSec=10",
        ]),
        target: MULTI_USER,
    },
    Unit {
        name: "corosync",
        description: "Corosync Cluster Engine",
        order: &[
            "Documentation=man:corosync man:corosync.conf man:corosync_overview",
            "ConditionKernelCommandLine=!nocluster",
            "ConditionPathExists=/etc/corosync/corosync.conf",
            "Requires=network-online.target",
            "After=network-online.target",
        ],
        start: Start::Lines(&["Type=notify", "ExecStart=/usr/sbin/corosync -f", "StandardError=null"]),
        target: MULTI_USER,
    },
    Unit {
        name: "pvedaemon",
        description: "PVE API Daemon",
        order: &[
            "ConditionPathExists=/usr/bin/pvedaemon",
            "Wants=corosync.service pve-cluster.service",
            "After=corosync.service pve-cluster.service",
        ],
        start: Start::Daemon {
            program: "/usr/bin/pvedaemon",
            pid_file: "/run/pvedaemon.pid",
            more: &["Restart=on-failure"],
        },
        target: MULTI_USER,
    },
    Unit {
        name: "pveproxy",
        description: "PVE API Proxy Server",
        order: &[
            "ConditionPathExists=/usr/bin/pveproxy",
            "Wants=pve-cluster.service pvedaemon.service ssh.service pve-storage.target",
            "After=pve-storage.target pve-cluster.service pvedaemon.service ssh.service",
        ],
        start: Start::Daemon {
            program: "/usr/bin/pveproxy",
            pid_file: "/run/pveproxy/pveproxy.pid",
            more: &["ExecStartPre=-/usr/bin/pvecm updatecerts --silent", "Restart=on-failure"],
        },
        target: MULTI_USER,
    },
    Unit {
        name: "spiceproxy",
        description: "PVE SPICE Proxy Server",
        order: &["ConditionPathExists=/usr/bin/spiceproxy", "Wants=pveproxy.service", "After=pveproxy.service"],
        start: Start::Daemon { program: "/usr/bin/spiceproxy", pid_file: "/run/pveproxy/spiceproxy.pid", more: &[] },
        target: MULTI_USER,
    },
    Unit {
        name: "pvestatd",
        description: "PVE Status Daemon",
        order: &[
            "ConditionPathExists=/usr/bin/pvestatd",
            "Wants=pve-cluster.service",
            "After=pve-cluster.service pvenetcommit.service",
        ],
        start: Start::Daemon { program: "/usr/bin/pvestatd", pid_file: "/run/pvestatd.pid", more: &[] },
        target: MULTI_USER,
    },
    Unit {
        name: "pvescheduler",
        description: "Proxmox VE scheduler",
        order: &[
            "ConditionPathExists=/usr/bin/pvescheduler",
            "Wants=pve-cluster.service",
            "After=pve-cluster.service pve-guests.service pve-storage.target",
        ],
        start: Start::Daemon {
            program: "/usr/bin/pvescheduler",
            pid_file: "/run/pvescheduler.pid",
            more: &["KillMode=process"],
        },
        target: MULTI_USER,
    },
    Unit {
        name: "pve-firewall",
        description: "Proxmox VE firewall",
        order: &[
            "ConditionPathExists=/usr/sbin/pve-firewall",
            "DefaultDependencies=no",
            "Wants=pve-cluster.service pvefw-logger.service",
            "After=pvefw-logger.service pve-cluster.service network.target systemd-modules-load.service",
            "Before=shutdown.target",
            "Conflicts=shutdown.target",
        ],
        start: Start::Daemon {
            program: "/usr/sbin/pve-firewall",
            pid_file: "/run/pve-firewall.pid",
            more: &[
                "ExecStartPre=-/usr/bin/update-alternatives --set iptables /usr/sbin/iptables-legacy",
                "ExecStartPre=-/usr/bin/update-alternatives --set ip6tables /usr/sbin/ip6tables-legacy",
            ],
        },
        target: MULTI_USER,
    },
    Unit {
        name: "pvefw-logger",
        description: "Proxmox VE firewall logger",
        order: &[
            "ConditionPathExists=/usr/sbin/pvefw-logger",
            "DefaultDependencies=no",
            "After=local-fs.target",
            "Before=shutdown.target",
            "Conflicts=shutdown.target",
        ],
        start: Start::Daemon { program: "/usr/sbin/pvefw-logger", pid_file: "/run/pvefw-logger.pid", more: &[] },
        target: "",
    },
    Unit {
        name: "pve-ha-lrm",
        description: "PVE Local HA Resource Manager Daemon",
        order: &[
            "ConditionPathExists=/usr/sbin/pve-ha-lrm",
            "Wants=pve-cluster.service watchdog-mux.service pvedaemon.service pve-ha-crm.service lxc.service ssh.service",
            "After=pve-cluster.service watchdog-mux.service pvedaemon.service pve-ha-crm.service lxc.service ssh.service pveproxy.service corosync.service",
        ],
        start: Start::Daemon {
            program: "/usr/sbin/pve-ha-lrm",
            pid_file: "/run/pve-ha-lrm.pid",
            more: &["TimeoutStopSec=infinity"],
        },
        target: MULTI_USER,
    },
    Unit {
        name: "pve-ha-crm",
        description: "PVE Cluster HA Resource Manager Daemon",
        order: &[
            "ConditionPathExists=/usr/sbin/pve-ha-crm",
            "Wants=pve-cluster.service watchdog-mux.service",
            "After=pve-cluster.service watchdog-mux.service corosync.service",
        ],
        start: Start::Daemon {
            program: "/usr/sbin/pve-ha-crm",
            pid_file: "/run/pve-ha-crm.pid",
            more: &["TimeoutStopSec=65"],
        },
        target: MULTI_USER,
    },
    Unit {
        name: "watchdog-mux",
        description: "Proxmox VE watchdog multiplexer",
        order: &[],
        start: Start::Lines(&["ExecStart=/usr/sbin/watchdog-mux", "OOMScoreAdjust=-1000", "Restart=no"]),
        target: MULTI_USER,
    },
    Unit {
        name: "pvebanner",
        description: "Proxmox VE Login Banner",
        order: &[
            "ConditionPathExists=/usr/bin/pvebanner",
            "DefaultDependencies=no",
            "After=local-fs.target",
            "Before=console-getty.service",
        ],
        start: Start::Lines(&["Type=oneshot", "RemainAfterExit=yes", "ExecStart=/usr/bin/pvebanner"]),
        target: "getty.target",
    },
    Unit {
        name: "pve-guests",
        description: "PVE guests",
        order: &[
            "RefuseManualStart=true",
            "RefuseManualStop=true",
            "Wants=pvestatd.service pveproxy.service spiceproxy.service pve-firewall.service",
            "After=pveproxy.service pvestatd.service spiceproxy.service pve-firewall.service pve-ha-crm.service pve-ha-lrm.service",
        ],
        start: Start::Lines(&["Type=oneshot", "RemainAfterExit=yes", "ExecStart=/usr/bin/true"]),
        target: MULTI_USER,
    },
    Unit {
        name: "pve-daily-update",
        description: "Daily PVE download activities",
        order: &["Wants=network-online.target pve-cluster.service", "After=network-online.target pve-cluster.service"],
        start: Start::Lines(&["Type=oneshot", "ExecStart=/usr/bin/pveupdate"]),
        target: "",
    },
];

const PROXMOX_FIREWALL: Unit = Unit {
    name: "proxmox-firewall",
    description: "Proxmox nftables firewall",
    order: &[
        "Wants=pve-cluster.service pvefw-logger.service",
        "After=pvefw-logger.service pve-cluster.service network.target systemd-modules-load.service",
    ],
    start: Start::Lines(&["Type=simple", "ExecStart=/usr/libexec/proxmox/proxmox-firewall start"]),
    target: MULTI_USER,
};

const TIMER: &str = "[Unit]
Description=Daily PVE download activities

[Timer]
OnCalendar=*-*-* 1:00
RandomizedDelaySec=5h
Persistent=true

[Install]
WantedBy=timers.target
";

const STORAGE: &str = "[Unit]
Description=PVE Storage Target
Wants=remote-fs.target
After=remote-fs.target ceph.target open-iscsi.service
";

const FOLDER: &str = "/usr/lib/systemd/system";

/// Writes the units and enables those that a fresh node starts.
pub fn install(root: &Path) -> anyhow::Result<()> {
    for unit in UNITS {
        install_one(root, unit)?;
    }
    lay_out(&below(root, &format!("{FOLDER}/pve-daily-update.timer")), TIMER.as_bytes(), 0o644)?;
    enable(root, "pve-daily-update.timer", "timers.target")?;
    lay_out(&below(root, &format!("{FOLDER}/pve-storage.target")), STORAGE.as_bytes(), 0o644)
}

/// The unit of a program that not every node has.
pub fn install_proxmox_firewall(root: &Path) -> anyhow::Result<()> {
    install_one(root, &PROXMOX_FIREWALL)
}

fn install_one(root: &Path, unit: &Unit) -> anyhow::Result<()> {
    let file = format!("{}.service", unit.name);
    lay_out(&below(root, &format!("{FOLDER}/{file}")), text(unit).as_bytes(), 0o644)?;
    if unit.target.is_empty() { Ok(()) } else { enable(root, &file, unit.target) }
}

fn enable(root: &Path, unit: &str, target: &str) -> anyhow::Result<()> {
    let folder = below(root, &format!("/etc/systemd/system/{target}.wants"));
    std::fs::create_dir_all(&folder)?;
    let link = folder.join(unit);
    let _ = std::fs::remove_file(&link);
    symlink(format!("{FOLDER}/{unit}"), &link).with_context(|| format!("enabling {unit}"))
}

fn text(unit: &Unit) -> String {
    let mut text = format!("[Unit]\nDescription={}\n", unit.description);
    for line in unit.order {
        let _ = writeln!(text, "{line}");
    }
    text.push_str("\n[Service]\n");
    match unit.start {
        Start::Lines(lines) => {
            for line in lines {
                let _ = writeln!(text, "{line}");
            }
        }
        Start::Daemon { program, pid_file, more } => {
            let _ = write!(
                text,
                "Type=forking\nPIDFile={pid_file}\nExecStart={program} start\nExecStop={program} stop\nExecReload={program} restart\n"
            );
            for line in more {
                let _ = writeln!(text, "{line}");
            }
        }
    }
    if !unit.target.is_empty() {
        let _ = write!(text, "\n[Install]\nWantedBy={}\n", unit.target);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cluster_file_system_starts_before_corosync_and_needs_no_basic_target() {
        let unit = UNITS.iter().find(|unit| unit.name == "pve-cluster").map(text).unwrap_or_default();
        for line in ["Before=corosync.service", "DefaultDependencies=no", "Type=forking"] {
            assert!(unit.contains(line), "{line} in {unit}");
        }
    }
}
