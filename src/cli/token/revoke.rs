//! `token revoke`.

use clap::Args;

use super::Place;
use super::work::Work;
use crate::apply::tokens::Ending;
use crate::cli::output::Output;
use crate::error::{Error, Kind, Result};
use crate::sanitize;

/// `token revoke`.
#[derive(Clone, Debug, Args)]
pub(super) struct Revoke {
    /// Tokens, "user@realm!token"
    #[arg(value_name = "TOKEN", required = true)]
    tokens: Vec<String>,
    /// Also tokens that were used within the last day, or whose use cannot be told
    #[arg(long)]
    force: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    place: Place,
}

pub(super) async fn run(args: Revoke, output: Output) -> Result<u8> {
    Work::with(&args.place, output, async |work| all(&args, work).await).await
}

async fn all(args: &Revoke, work: &Work) -> Result<u8> {
    let config = work.config()?;
    let refuse = |why: String, hint: &str| Error::msg(Kind::Refused, why).untouched(work.name()).hint(hint.to_owned());
    if let Some(unknown) = args.tokens.iter().find(|id| !config.tokens.contains_key(*id)) {
        let near = crate::profile::nearest(unknown, config.tokens.keys().map(String::as_str));
        let near = near.map(|near| format!("; did you mean {}?", sanitize::line(near))).unwrap_or_default();
        return Err(refuse(
            format!("there is no token {}{near}", sanitize::line(unknown)),
            "see `pve-harden token list`",
        ));
    }
    let ids: Vec<&str> = args.tokens.iter().map(String::as_str).collect();
    let uses = work.uses(&ids).await.map_err(|error| error.untouched(work.name()))?;
    let mut in_use = Vec::new();
    for id in &ids {
        let (words, blocks) = Work::judged(&uses, id);
        work.output.result(&format!("{}: revoke {}, {words}\n", work.name(), sanitize::line(id)))?;
        if blocks {
            in_use.push(sanitize::line(id).into_owned());
        }
    }
    if !in_use.is_empty() && !args.force {
        return Err(refuse(
            format!("used within the last day, or not known: {}", in_use.join(", ")),
            "stop what uses it first, or give --force",
        ));
    }
    work.confirm(args.yes, "Revoke? A revoked token cannot be brought back.")?;
    for id in &ids {
        work.end(id, Ending::Revoked).await?;
        work.standing.replace(format!("{id} is revoked on {}", work.name()));
        work.output.result(&format!("{}: {} revoked\n", work.name(), sanitize::line(id)))?;
    }
    Ok(0)
}
