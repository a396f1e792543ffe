//! pve-harden: hardens Proxmox VE nodes over SSH, shows every change first, and never locks the operator out.
//!
//! The rooms, and who may use whom (→ "may import"); `tests/architecture/mod.rs` keeps it true:
//!
//! - [`profile`]: TOML in, [`profile::policy::Policy`] out; knows no node.
//! - [`facts`]: capture in, [`facts::Facts`] out; judges nothing. → `pve`, `transport::capture` types
//! - [`pve`]: PVE's own file formats and names.
//! - [`controls`]: the catalogue; facts and policy in, verdicts out. → `facts`, `profile`, `pve`, `change`
//! - [`plan`]: verdicts in, one sealed and guarded plan out. → `controls`, `facts`, `profile`, `change`
//! - [`apply`]: the only room that changes a node. → `plan`, `change`, `transport`
//! - [`transport`]: connections, programs, frames.
//! - [`report`]: what a command found, node by node, as values. → `controls`, `plan`, `profile`
//! - [`event`]: what happens while a command runs, as values.
//! - [`render`]: models in, text out. → `plan`, `controls`, `change`, `report`, `event`, `apply::history` types
//! - [`cli`]: argv, prompts, files; wires the rooms. Nothing imports it.

pub mod apply;
pub mod change;
pub mod cli;
pub mod controls;
pub mod error;
pub mod event;
pub mod facts;
pub mod plan;
pub mod profile;
pub mod pve;
pub mod render;
pub mod report;
pub mod sanitize;
pub mod secret;
pub mod transport;
