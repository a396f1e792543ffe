//! `pve-harden key new|rotate`: one SSH key per person and node, and the way from the old one to the new one.

mod new;
mod rotate;

use clap::{Args, Subcommand};

use super::output::Output;
use crate::error::Result;

/// `key`.
#[derive(Clone, Debug, Args)]
pub struct KeyArgs {
    /// What to do.
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Clone, Debug, Subcommand)]
enum Verb {
    /// Make a key with a passphrase for a person on a node; contacts nobody
    New(new::New),
    /// Add the new key on a node, prove it by a login, then take the old one away
    Rotate(Box<rotate::Rotate>),
}

/// Runs the verb.
pub async fn run(args: KeyArgs, output: Output) -> Result<u8> {
    match args.verb {
        Verb::New(args) => new::run(&args, output),
        Verb::Rotate(args) => Box::pin(rotate::run(*args, output)).await,
    }
}
