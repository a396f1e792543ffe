//! `token new`.

use clap::Args;

use super::Place;
use super::work::Work;
use crate::access::day;
use crate::access::lifetime::current;
use crate::access::rotation;
use crate::access::wanted::Target;
use crate::cli::output::Output;
use crate::controls::access::protected;
use crate::error::{Error, Kind, Result};
use crate::pve::privileges::Catalogue;
use crate::sanitize;
use crate::sink::{self, Item, What};

/// `token new`.
#[derive(Clone, Debug, Args)]
pub(super) struct New {
    /// Tokens of the site or profile, "user@realm!token" [default: every one that is not there]
    #[arg(value_name = "TOKEN")]
    tokens: Vec<String>,
    /// Put the secret into this sink instead of the one the site names
    #[arg(long, value_name = "NAME")]
    sink: Option<String>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    place: Place,
}

pub(super) async fn run(args: New, output: Output) -> Result<u8> {
    Work::with(&args.place, output, async |work| all(&args, work).await).await
}

async fn all(args: &New, work: &Work) -> Result<u8> {
    let config = work.config()?;
    let policy = &work.policy.profile.access;
    let listed = policy.token.iter().map(|token| token.id.clone());
    let wanted: Vec<String> = if args.tokens.is_empty() {
        listed.filter(|id| current(config, id).is_none()).collect()
    } else {
        args.tokens.clone()
    };
    if wanted.is_empty() {
        work.output.result(&format!("{}: every listed token is there\n", work.name()))?;
        return Ok(0);
    }
    let protected = protected(&work.policy);
    let target = Target {
        config,
        catalogue: Catalogue::of(work.facts().pve.known().map_or(9, |release| release.major)),
        policy,
        now: work.now()?,
        protected: &protected,
        rights_are_exact: false,
    };
    let mut makings = Vec::new();
    for id in &wanted {
        let making = rotation::making(&target, id);
        let making = making.map_err(|why| {
            let why = sanitize::line(&why).into_owned();
            Error::msg(Kind::Refused, why).untouched(work.name()).hint("see `pve-harden token list`")
        })?;
        // Every sink is looked at before the first token is made.
        let sink = work.sink(args.sink.as_deref(), id)?;
        drop(sink::prove(sink, &item(work, id)).await.map_err(|error| error.untouched(work.name()))?);
        let text = format!("{}: make {id}, ends {}, secret to sink {}\n", work.name(), day(making.expires), sink.name);
        work.output.result(&text)?;
        if making.rights.is_empty() && making.separated {
            work.output.say(&format!("warning: no [[access.acl]] names {id}: it will be able to do nothing"));
        }
        makings.push((making, sink));
    }
    work.confirm(args.yes, &format!("Make {} on {}?", counted(makings.len()), work.name()))?;
    for (making, sink) in makings {
        let place = sink::prove(sink, &item(work, &making.id)).await.map_err(|error| work.as_it_stands(error))?;
        work.made(&making, place, &format!("no token {} is on {}", making.id, work.name())).await?;
        work.output.result(&format!("{}: {} made\n", work.name(), making.id))?;
    }
    Ok(0)
}

fn counted(count: usize) -> String {
    if count == 1 { "this token".into() } else { format!("these {count} tokens") }
}

pub(super) fn item(work: &Work, id: &str) -> Item {
    Item { host: work.name().to_owned(), what: What::Token { id: id.to_owned() } }
}
