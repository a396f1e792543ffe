//! `pve-harden profile lint|show|list|schema`.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::Value as Json;

use super::output::Output;
use super::settings::default_site;
use crate::error::{Error, Kind, Result};
use crate::profile::diagnostic::Diagnostics;
use crate::profile::secrets::process_environment;
use crate::profile::{Loaded, lint_file, load, schema, stack};
use crate::report::document;

/// `profile`.
#[derive(Debug, Args)]
pub struct ProfileArgs {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What `profile` can do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Check profile and site files: all errors, with place and remedy (exit 2 when there are any)
    Lint {
        /// Profile or site files
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Print the merged profile, as it will be used
    Show {
        /// Shipped profile or file, repeatable, later ones win [default: the site's, else baseline]
        #[arg(long, value_name = "NAME|FILE")]
        profile: Vec<String>,
        /// Site file whose profiles are meant
        #[arg(long, value_name = "FILE")]
        site: Option<PathBuf>,
        /// Output format
        #[arg(long, value_enum, default_value_t = Format::Toml)]
        format: Format,
        /// Say for each value which file and line set it
        #[arg(long)]
        origins: bool,
    },
    /// List the shipped profiles
    List,
    /// Print the JSON Schema of profile files, for editors
    Schema {
        /// Of site files instead
        #[arg(long)]
        site: bool,
        /// Of the JSON document of `check` instead
        #[arg(long, conflicts_with = "site")]
        report: bool,
    },
}

/// How `show` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A profile file.
    Toml,
    /// One JSON document with a version.
    Json,
}

/// Runs the verb.
pub fn run(args: &ProfileArgs, output: Output) -> Result<u8> {
    let text = match &args.verb {
        Verb::Lint { files } => {
            let found = lint(files);
            if !found.is_empty() {
                output.say(&found.render(output.stderr.is_on()));
            }
            output.result(&count(files.len(), &found))?;
            return Ok(if found.errors() > 0 { Kind::Usage.exit_code() } else { 0 });
        }
        Verb::Show { profile, site, format, origins } => {
            let site = site.clone().or_else(default_site);
            let loaded = load(profile, site.as_deref()).map_err(|e| Error::from(e).state("nothing was contacted"))?;
            show(&loaded, *format, *origins)?
        }
        Verb::List => list(),
        Verb::Schema { report: true, .. } => format!("{:#}\n", document::schema()),
        Verb::Schema { site, .. } => {
            let schema = if *site { schema::site_schema() } else { schema::layer_schema() };
            format!("{schema:#}\n")
        }
    };
    output.result(&text).map(|()| 0)
}

fn lint(files: &[PathBuf]) -> Diagnostics {
    let mut all = Diagnostics::default();
    for file in files {
        all.append(lint_file(file, process_environment()));
    }
    all.dedup();
    all
}

fn count(files: usize, found: &Diagnostics) -> String {
    let plural = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
    let (errors, warnings) = (found.errors(), found.warnings());
    format!("{}: {}, {}\n", plural(files, "file"), plural(errors, "error"), plural(warnings, "warning"))
}

fn show(loaded: &Loaded, format: Format, origins: bool) -> Result<String> {
    if format == Format::Json {
        let mut document = serde_json::json!({
            "version": 1,
            "profiles": loaded.profile_names,
            "digest": loaded.digests.profile,
            "profile": loaded.values,
        });
        if origins {
            document["origins"] = serde_json::to_value(&loaded.origins).map_err(|e| Error::new(Kind::Internal, e))?;
        }
        return Ok(format!("{document:#}\n"));
    }
    let mut text = format!("# {}\n", loaded.profile_names.join(" + "));
    table(&mut text, &loaded.values, "", loaded, origins);
    Ok(text)
}

/// A table as TOML: values first, then the tables below.
fn table(text: &mut String, value: &Json, path: &str, loaded: &Loaded, origins: bool) {
    let Some(entries) = value.as_object() else { return };
    let name = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    let mut leaves: Vec<_> = entries.iter().filter(|(_, v)| !v.is_object()).collect();
    leaves.sort_by_key(|(key, _)| (*key != "enabled", *key));
    if !leaves.is_empty() && !path.is_empty() {
        let _ = write!(text, "\n[{path}]\n");
    }
    let shown: Vec<(String, String, String)> = leaves
        .iter()
        .map(|(key, value)| {
            let (line, more) = entry(key, value);
            (line, more, name(key))
        })
        .collect();
    let width = shown.iter().map(|(line, ..)| line.len()).filter(|w| *w <= 60).max().unwrap_or(0);
    for (line, more, key) in &shown {
        let _ = match loaded.origins.get(key).filter(|_| origins) {
            Some(origin) => writeln!(text, "{line:width$}  # {origin}"),
            None => writeln!(text, "{line}"),
        };
        text.push_str(more);
    }
    for (key, inner) in entries.iter().filter(|(_, v)| v.is_object()) {
        table(text, inner, &name(key), loaded, origins);
    }
}

/// The first line of an entry and what follows it: long arrays get a line per element.
fn entry(key: &str, value: &Json) -> (String, String) {
    let line = format!("{key} = {value}");
    match value.as_array() {
        Some(items) if line.len() > 100 => {
            let items: Vec<String> = items.iter().map(|item| format!("    {item},\n")).collect();
            (format!("{key} = ["), format!("{}]\n", items.concat()))
        }
        _ => (line, String::new()),
    }
}

fn list() -> String {
    let width = stack::SHIPPED.iter().map(|s| s.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for shipped in stack::SHIPPED {
        let _ = writeln!(text, "{:width$}  {}", shipped.name, shipped.description());
    }
    text
}
