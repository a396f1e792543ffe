//! pve-harden.
fn main() {}
