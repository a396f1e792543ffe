//! `audit.*`: the kernel's audit trail.

mod rules;

pub use rules::RULES;
