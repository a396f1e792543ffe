//! Many nodes: which of them are one cluster, in which order they are changed, and when to stop. Pure; the effects are
//! in `cli`.
//!
//! A *lane* is what is changed in order: one cluster, or all the standalone nodes of a command. Members of a cluster are
//! changed one after the other, standalone nodes side by side.

mod lanes;
mod rolling;
mod shared;

pub use lanes::{Lane, Last, Named, Seen, lanes};
pub use rolling::{Queue, Rolling};
pub use shared::{differing, share};
