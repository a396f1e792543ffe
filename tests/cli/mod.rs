//! The binary as a person or a script meets it.

mod check;
mod formats;
mod plan;
mod profile;
mod usage;
mod verbs;
