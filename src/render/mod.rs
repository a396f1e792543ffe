//! Models in, text out. No clock, no environment, no decisions; whatever a node said is made harmless first.

mod access;
pub mod action;
pub mod check;
pub mod diff;
pub mod explain;
pub mod fleet;
pub mod history;
pub mod html;
pub mod json;
pub mod junit;
pub mod manual;
pub mod message;
pub mod permissions;
pub mod progress;
pub mod qr;
mod reach;
pub mod sarif;
pub mod style;
#[cfg(test)]
mod testing;
pub mod text;
pub mod tokens;

pub use style::Palette;

use crate::report::redact;
