//! Profiles and site: TOML in, [`Policy`](policy::Policy) out. Knows no node.
//!
//! A profile is a stack of layers ([`stack`]), each a TOML file ([`layer`]) that fits the [`shape`] of the types in
//! [`policy`]; the merged leaves are judged by [`lint`]. The site ([`site`]) says who and where. Everything wrong in
//! any file becomes a [`diagnostic`], all at once. Only [`disk`] touches the file system.

pub mod diagnostic;
pub mod disk;
mod folklore;
pub mod keys;
mod layer;
mod limits;
mod lint;
mod lint_access;
mod lint_ssh;
mod load;
pub mod material;
pub mod names;
pub mod network;
pub mod password;
pub mod policy;
pub mod schema;
pub mod secrets;
pub mod select;
mod shape;
pub mod site;
pub mod source;
pub mod stack;

#[cfg(test)]
mod tests;

pub use shape::nearest;

pub use load::{Loaded, Request, lint_file, load, load_with};
