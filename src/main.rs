//! pve-harden.

use std::process::ExitCode;

use pve_harden::{cli, transport::askpass};

/// ssh starts this same binary to ask its questions; then it is an askpass program and nothing else.
fn main() -> ExitCode {
    askpass::client_main().unwrap_or_else(|| cli::main(std::env::args_os()))
}
