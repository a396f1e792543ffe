//! Argv, prompts and files: wires the rooms, a file per verb. Nothing imports it.

pub mod init;
pub mod profile;
