//! `pve-harden profile lint|show|list|schema`.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::Value as Json;

use crate::error::{Error, Kind, Result};
use crate::profile::diagnostic::Diagnostics;
use crate::profile::secrets::process_environment;
use crate::profile::{Loaded, lint_file, load, schema, stack};

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

/// Runs the verb; the value is the exit code. `color` is for diagnostics on `err`.
pub fn run(args: &ProfileArgs, color: bool, out: &mut dyn Write, err: &mut dyn Write) -> Result<u8> {
    match &args.verb {
        Verb::Lint { files } => lint(files, color, out, err),
        Verb::Show { profile, site, format, origins } => {
            let site = site.clone().or_else(default_site);
            let loaded = load(profile, site.as_deref()).map_err(|found| refused(&found, color))?;
            write(out, &show(&loaded, *format, *origins)?)
        }
        Verb::List => write(out, &list()),
        Verb::Schema { site } => {
            let schema = if *site { schema::site_schema() } else { schema::layer_schema() };
            write(out, &format!("{schema:#}\n"))
        }
    }
}

/// `./site.toml`, when it is there.
pub fn default_site() -> Option<PathBuf> {
    let path = PathBuf::from("site.toml");
    path.exists().then_some(path)
}

/// Diagnostics as the error of a command that cannot go on.
pub fn refused(found: &Diagnostics, color: bool) -> Error {
    let errors = found.errors();
    let counted = if errors == 1 { "1 error".to_owned() } else { format!("{errors} errors") };
    Error::msg(Kind::Usage, format!("{counted} in profile or site\n\n{}", found.render(color)))
        .state("nothing was contacted")
        .hint("correct the lines above; `pve-harden profile lint FILE` checks again")
}

fn lint(files: &[PathBuf], color: bool, out: &mut dyn Write, err: &mut dyn Write) -> Result<u8> {
    let mut all = Diagnostics::default();
    for file in files {
        all.append(lint_file(file, process_environment()));
    }
    all.dedup();
    if !all.is_empty() {
        writeln!(err, "{}", all.render(color)).map_err(unwritten)?;
    }
    let (errors, warnings) = (all.errors(), all.warnings());
    let plural = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
    write(
        out,
        &format!("{}: {}, {}\n", plural(files.len(), "file"), plural(errors, "error"), plural(warnings, "warning")),
    )?;
    Ok(if errors > 0 { Kind::Usage.exit_code() } else { 0 })
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

fn write(out: &mut dyn Write, text: &str) -> Result<u8> {
    out.write_all(text.as_bytes()).map_err(unwritten)?;
    Ok(0)
}

fn unwritten(why: io::Error) -> Error {
    Error::new(Kind::Internal, anyhow::Error::new(why).context("the output could not be written"))
        .hint("make room, or write to another place")
}
