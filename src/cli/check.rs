//! `pve-harden check [HOST…]`.

use std::collections::BTreeSet;

use clap::CommandFactory as _;
use jiff::Timestamp;

use super::args::{Check, CheckFormat, Cli, FailOn};
use super::nodes;
use super::output::{Output, write_shared};
use super::settings::Settings;
use crate::error::{Error, Kind, Result};
use crate::render::{Palette, check, html, json, junit, sarif};
use crate::report::document::{Context, Document};
use crate::report::framework;
use crate::report::{Command, Report};

/// Reports how the nodes stand; changes nothing.
pub async fn run(args: Check, output: Output) -> Result<u8> {
    let Check { nodes, wanted, level, connection, capture, format, against, framework, output: file, fail_on } = args;
    let FailOn(fail_on) = fail_on;
    let settings = Settings::read(&wanted, output)?.up_to(level)?.against(against);
    let context = Context {
        generated: Timestamp::now(),
        profiles: settings.loaded.profile_names.clone(),
        digests: settings.loaded.digests.clone(),
        emergency_contact: settings.loaded.site.emergency_contact.clone(),
    };
    let nodes = nodes::judge(settings, &nodes, &connection, &capture, output).await?;
    nodes::say_failures(&nodes, output);
    let report = Report { command: Command::Check { fail_on }, nodes };
    let mut document = Document::new(&report, Some(&context));
    if let Some(name) = framework {
        document.framework = Some(framework::shipped(&name)?.view(&name, &document.nodes, &commands()));
    }
    let palette = if file.is_some() { Palette::PLAIN } else { output.stdout };
    let text = match format {
        CheckFormat::Text => check::report(&document, palette),
        CheckFormat::Json => json::checked(&document),
        CheckFormat::Junit => junit::document(&document).map_err(|error| Error::new(Kind::Internal, error))?,
        CheckFormat::Sarif => sarif::document(&document).map_err(|error| Error::new(Kind::Internal, error))?,
        CheckFormat::Html => html::document(&document),
    };
    match file.filter(|file| file.as_os_str() != "-") {
        Some(file) => write_shared(&file, text.as_bytes())?,
        None => output.result(&text)?,
    }
    Ok(report.exit_code())
}

/// Every command of this program: `check`, `profile lint`, ….
fn commands() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for verb in Cli::command().get_subcommands() {
        names.insert(verb.get_name().to_owned());
        names.extend(verb.get_subcommands().map(|inner| format!("{} {}", verb.get_name(), inner.get_name())));
    }
    names
}
