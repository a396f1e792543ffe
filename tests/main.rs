//! Integration tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, missing_docs)]

mod architecture;
mod cli;
mod controls;
mod docs;
mod facts;
mod firewall;
mod lab_tests;
mod support;
mod transport;
