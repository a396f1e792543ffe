//! The programs that this binary stands in for, and where a real node has them.

use anyhow::Result;

use crate::{cli, corosync, firewall, idle, pmxcfs, pvecm, pvedaemon, pveproxy};

/// What a program gets: the words after its name.
pub type Arguments = Vec<String>;

/// One stand-in.
pub struct Applet {
    /// Name of the command.
    pub name: &'static str,
    /// Folder that the real package installs it in.
    pub folder: &'static str,
    /// The program: its exit status, or an error that is printed and exits 255 as in Perl's `die`.
    pub run: fn(&Arguments) -> Result<u8>,
}

impl Applet {
    /// Where the command lies on a node.
    pub fn path(&self) -> String {
        format!("{}/{}", self.folder, self.name)
    }
}

const fn applet(name: &'static str, folder: &'static str, run: fn(&Arguments) -> Result<u8>) -> Applet {
    Applet { name, folder, run }
}

/// Every program, by name.
pub const APPLETS: &[Applet] = &[
    applet("pmxcfs", "/usr/bin", pmxcfs::run),
    applet("pvecm", "/usr/bin", pvecm::run),
    applet("corosync", "/usr/sbin", corosync::run),
    applet("corosync-quorumtool", "/usr/sbin", corosync::tools::quorumtool),
    applet("corosync-cfgtool", "/usr/sbin", corosync::tools::cfgtool),
    applet("pvedaemon", "/usr/bin", pvedaemon::run),
    applet("pveproxy", "/usr/bin", pveproxy::run),
    applet("pvesh", "/usr/bin", cli::pvesh),
    applet("pveum", "/usr/sbin", cli::pveum),
    applet("pvenode", "/usr/bin", cli::pvenode),
    applet("pveversion", "/usr/bin", cli::pveversion),
    applet("pvesubscription", "/usr/bin", cli::pvesubscription),
    applet("pveupdate", "/usr/bin", cli::pveupdate),
    applet("pvebanner", "/usr/bin", cli::pvebanner),
    applet("pve-firewall", "/usr/sbin", cli::pve_firewall),
    applet("ha-manager", "/usr/sbin", cli::ha_manager),
    applet("pvestatd", "/usr/bin", idle::pvestatd),
    applet("pvescheduler", "/usr/bin", idle::pvescheduler),
    applet("spiceproxy", "/usr/bin", idle::spiceproxy),
    applet("pve-ha-crm", "/usr/sbin", idle::pve_ha_crm),
    applet("pve-ha-lrm", "/usr/sbin", idle::pve_ha_lrm),
    applet("pvefw-logger", "/usr/sbin", idle::pvefw_logger),
    applet("watchdog-mux", "/usr/sbin", idle::watchdog_mux),
];

/// A program that a node has only when `install-proxmox-firewall` was run on it.
pub const PROXMOX_FIREWALL: Applet = applet("proxmox-firewall", "/usr/libexec/proxmox", firewall::nft::run);

/// The applet of that name.
pub fn find(name: &str) -> Option<&'static Applet> {
    APPLETS.iter().chain([&PROXMOX_FIREWALL]).find(|applet| applet.name == name)
}
