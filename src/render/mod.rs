//! Models in, text out. No clock, no environment, no decisions; whatever a node said is made harmless first.

pub mod action;
pub mod diff;
pub mod explain;
pub mod history;
pub mod json;
pub mod message;
pub mod progress;
pub mod redact;
pub mod style;
pub mod text;

pub use style::Palette;
