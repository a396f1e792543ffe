//! pve-harden: hardens Proxmox VE nodes over SSH, shows every change first, and never locks the operator out.
//!
//! `ARCHITECTURE.md` tells how a node is read, judged, changed and guarded. The rooms, and who may use whom (→ "may
//! import"); `tests/architecture/mod.rs` keeps it true:
//!
//! - [`profile`]: TOML in, [`profile::policy::Policy`] out; knows no node.
//! - [`pve`]: PVE's own file formats and names.
//! - [`facts`]: capture in, [`facts::Facts`] out; judges nothing. → `pve`, types of `transport`
//! - [`access`]: PVE's access control computed: effective permissions, wanted calls, matrix, review. → `profile`, `pve`
//! - [`controls`]: the catalogue; facts and policy in, verdicts out. → `access`, `facts`, `profile`, `pve`
//! - [`plan`]: verdicts in, one sealed and guarded plan out. → `access`, `controls`, `facts`, `profile`, `pve`
//! - [`fleet`]: many nodes: which of them are one cluster, whose turn it is, when to stop. → `facts`, `plan`, `profile`
//! - [`apply`]: the only room that changes a node. → `plan`, `controls`, `facts`, `profile`, `transport`, `event`
//! - [`sink`]: where generated secrets go: files and commands of the operator's side. → `access`, `profile`
//! - [`transport`]: connections, programs, frames.
//! - [`report`]: what a command found, as data. → `plan`, `controls`, `profile`
//! - [`render`]: models in, text out. → `access`, `report`, `plan`, `controls`, `event`, `apply::history`
//! - [`cli`]: argv, prompts, files; wires the rooms. Nothing imports it.
//!
//! Shared vocabulary: [`change`] (what can be done to a node), [`error`] (kind, exit code, hint), [`secret`],
//! [`sanitize`]; [`event`] is what a run tells while it is at work.

pub mod access;
pub mod apply;
pub mod change;
pub mod cli;
pub mod controls;
pub mod error;
pub mod event;
pub mod facts;
pub mod firewall;
pub mod fleet;
pub mod plan;
pub mod profile;
pub mod pve;
pub mod render;
pub mod report;
pub mod sanitize;
pub mod secret;
pub mod sink;
pub mod transport;
