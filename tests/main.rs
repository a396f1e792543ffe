//! Integration tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, missing_docs)]

mod controls;
mod lab_tests;
mod facts;
mod support;
mod transport;
