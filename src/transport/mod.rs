//! Bytes and exit codes: one connection to a node, one program on its standard input, frames back. Knows nothing of
//! hardening.

pub mod capture;
