//! `pve-harden token list|new|rotate|revoke`: API tokens, their secrets straight into their sinks.

pub(super) mod declared;
mod list;
mod new;
mod revoke;
mod rotate;
pub(super) mod work;

use clap::{Args, Subcommand, ValueHint};

use super::args::{Connection, Wanted};
use super::output::Output;
use crate::error::Result;

/// `token`.
#[derive(Clone, Debug, Args)]
pub struct TokenArgs {
    /// What to do.
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Clone, Debug, Subcommand)]
enum Verb {
    /// List tokens: created, expires, last rotated, purpose, scope, status; changes nothing
    List(list::List),
    /// Make tokens that the site lists and that are not there; each secret goes to its sink
    New(new::New),
    /// Give a token's clients a new secret: a second token next to the old one, proved, then the old one ends
    Rotate(rotate::Rotate),
    /// Delete tokens, after a look at when they were last used
    Revoke(revoke::Revoke),
}

/// Which node answers for its cluster, and how it is reached.
#[derive(Clone, Debug, Args)]
pub(super) struct Place {
    /// Node: `[user@]address`, or a name from the site [default: the site's first node]
    #[arg(long, value_name = "HOST", value_hint = ValueHint::Hostname)]
    host: Option<String>,
    /// Where the site and the wanted state are.
    #[command(flatten)]
    wanted: Wanted,
    /// How the node is reached.
    #[command(flatten)]
    connection: Connection,
}

impl TokenArgs {
    /// Whether a node may be changed.
    pub const fn changes(&self) -> bool {
        !matches!(self.verb, Verb::List(_))
    }
}

/// Runs the verb.
pub async fn run(args: TokenArgs, output: Output) -> Result<u8> {
    match args.verb {
        Verb::List(args) => list::run(args, output).await,
        Verb::New(args) => Box::pin(new::run(args, output)).await,
        Verb::Rotate(args) => Box::pin(rotate::run(args, output)).await,
        Verb::Revoke(args) => Box::pin(revoke::run(args, output)).await,
    }
}
