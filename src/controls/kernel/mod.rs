//! `kernel.*`: settings and modules of the running kernel.

mod modules;
mod sysctl;

pub use modules::MODULES;
pub use sysctl::SYSCTL;

/// What `systemd-detect-virt` calls systems that share their kernel with others.
const CONTAINERS: [&str; 10] =
    ["systemd-nspawn", "lxc", "lxc-libvirt", "docker", "podman", "openvz", "rkt", "wsl", "proot", "container-other"];

/// Whether the node's kernel is somebody else's.
pub fn is_container(virt: &str) -> bool {
    CONTAINERS.contains(&virt)
}
