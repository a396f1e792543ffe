//! `pve-harden check [HOST…]`.

use super::args::{Check, FailOn, PlanFormat};
use super::nodes;
use super::output::{Output, write_private};
use super::settings::Settings;
use crate::error::Result;
use crate::render::{Palette, json, text};
use crate::report::{Command, Report};

/// Reports how the nodes stand; changes nothing.
pub async fn run(args: Check, output: Output) -> Result<u8> {
    let Check { nodes, wanted, connection, capture, format, output: file, fail_on: FailOn(fail_on) } = args;
    let settings = Settings::read(&wanted, output)?;
    let nodes = nodes::judge(settings, &nodes, &connection, &capture, output).await?;
    nodes::say_failures(&nodes, output);
    let report = Report { command: Command::Check { fail_on }, nodes };
    let palette = if file.is_some() { Palette::PLAIN } else { output.stdout };
    let document = match format {
        PlanFormat::Text => text::report(&report, palette),
        PlanFormat::Json => json::document(&report),
    };
    match file {
        Some(file) => write_private(&file, document.as_bytes())?,
        None => output.result(&document)?,
    }
    Ok(report.exit_code())
}
