//! pve-harden.

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(code) = pve_harden::transport::askpass::client_main() {
        return code;
    }
    ExitCode::SUCCESS
}
