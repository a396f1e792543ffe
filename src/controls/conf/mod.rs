//! Configuration files of `key value` lines, changed in place: a setting is replaced where it stands, and every other
//! line stays byte for byte.

mod image;
mod syntax;

pub use image::{directory, own, own_as, text, write};
pub use syntax::Syntax;

use crate::profile::policy::Policy;

/// Whether a control's part of a file that several controls share is to be put right.
pub fn included(policy: &Policy, id: &str, enabled: bool) -> bool {
    enabled && !policy.left_out.contains(id)
}

/// What the policy wants and where that was said, e.g. "5 (baseline:12)".
pub fn wanted(policy: &Policy, key: &str, value: impl std::fmt::Display) -> String {
    match policy.origin(key) {
        Some(origin) => format!("{value} ({origin})"),
        None => value.to_string(),
    }
}
