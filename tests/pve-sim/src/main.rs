//! Stand-in for Proxmox VE programs, for the test lab only.
fn main() {}
