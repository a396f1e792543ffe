//! The only room that changes a node. It decides nothing new: a sealed [`Plan`](crate::plan::Plan) goes in, the node
//! carries it out by itself under a guard, and what comes back is an [`Outcome`](engine::Outcome).
//!
//! On the node: `begin.sh` receives the run's folder and starts `apply.sh` as a transient unit; `undo.sh` puts
//! everything back from the folder alone. On this side: [`engine`] follows the node's journal, gives the proofs by
//! fresh logins, and learns the outcome when the link was cut. [`cluster`] has several members take one change of
//! cluster.fw up together. [`calls`] are what a plan cannot show or undo: those that give or carry a secret.

mod access;
pub mod bundle;
pub mod calls;
mod certificate;
pub mod cluster;
pub mod engine;
pub mod factors;
pub mod history;
pub mod journal;
mod over_ssh;
pub mod passwords;
pub mod questions;
mod steps;
pub mod tokens;
pub mod web_login;

pub use over_ssh::SshNode;
