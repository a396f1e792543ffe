//! pve-harden.
