//! `token list`.

use clap::{Args, ValueEnum};

use crate::access::lifetime::{self, Question};
use crate::cli::access::{self, Source};
use crate::cli::output::Output;
use crate::error::Result;
use crate::render::tokens as view;

/// `token list`.
#[derive(Clone, Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    source: Source,
    /// Name tokens that end within so many days
    #[arg(long, value_name = "DAYS", default_value_t = 30)]
    within: u32,
    /// As people read it, a table for a spreadsheet, or one JSON document
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    #[default]
    Text,
    Csv,
    Json,
}

pub(super) async fn run(args: List, output: Output) -> Result<u8> {
    let read = access::read(&args.source, output).await?;
    let tokens = lifetime::list(&Question {
        config: read.config()?,
        accounts: &read.accounts,
        secrets: read.facts.access.secrets.known(),
        policy: &read.policy.profile.access,
        now: read.now()?,
        within_days: args.within,
    });
    let node = &read.policy.host.name;
    output.result(&match args.format {
        Format::Text => view::text(node, &tokens, output.stdout),
        Format::Csv => view::csv(&tokens),
        Format::Json => view::json(node, &tokens),
    })?;
    Ok(0)
}
