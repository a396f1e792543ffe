//! `audit.*`: the kernel's audit trail.

mod daemon;
mod files;
mod loaded;
mod rules;

pub use rules::RULES;
