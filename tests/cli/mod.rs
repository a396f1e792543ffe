//! The binary as a person or a script meets it.

mod check;
mod formats;
mod key;
mod page;
mod plan;
mod profile;
mod token;
mod usage;
mod verbs;
