//! `pve-harden plan [HOST…]`.

use super::args::{Plan, PlanFormat};
use super::nodes;
use super::output::Output;
use super::settings::Settings;
use crate::error::Result;
use crate::render::{json, text};
use crate::report::{Command, Report};

/// Shows what would change; changes nothing.
pub async fn run(args: Plan, output: Output) -> Result<u8> {
    let Plan { nodes, wanted, connection, capture, accept_guest_firewall, format } = args;
    let settings = Settings { accept_guest_firewall, ..Settings::read(&wanted, output)? };
    let nodes = nodes::judge(settings, &nodes, &connection, &capture, output).await?;
    nodes::say_failures(&nodes, output);
    let report = Report { command: Command::Plan, nodes };
    output.result(&match format {
        PlanFormat::Text => text::report(&report, output.stdout),
        PlanFormat::Json => json::document(&report),
    })?;
    Ok(report.exit_code())
}
