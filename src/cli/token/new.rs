//! `token new`.

use clap::Args;

use super::Place;
use super::work::Work;
use crate::access::coming::Coming;
use crate::access::day;
use crate::access::lifetime::current;
use crate::access::rotation::{self, Beginning, InSink};
use crate::access::tokens::family;
use crate::access::wanted::Target;
use crate::cli::output::Output;
use crate::controls::access::protected;
use crate::error::{Error, Kind, Result};
use crate::profile::policy::Sink;
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
    let mut beginnings: Vec<(Beginning, &Sink)> = Vec::new();
    for id in &wanted {
        decided(work, id, InSink::Holds(None))?;
        let sink = work.sink(args.sink.as_deref(), id)?;
        // Every sink is looked at before the first token is made.
        let place = sink::prove(sink, &item(work, id)).await.map_err(|error| error.untouched(work.name()))?;
        let shared = |other: &&String| *other != id && sink.kind.is_one_place(family(other), family(id));
        let same = |other: &&String| work.sink(args.sink.as_deref(), other).is_ok_and(|it| it.name == sink.name);
        if let Some(other) = wanted.iter().filter(same).find(shared) {
            let why = format!("sink {} has room for one secret, and {other} would go there, too", sink.name);
            let hint = "write {token} in its path, or name a sink of its own";
            return Err(Error::msg(Kind::Usage, why).untouched(work.name()).hint(hint));
        }
        let beginning = decided(work, id, in_sink(&place, place.holds().as_deref()))?;
        drop(place);
        announce(work, &beginning, sink)?;
        beginnings.push((beginning, sink));
    }
    work.confirm(args.yes, &format!("Make {} on {}?", counted(beginnings.len()), work.name()))?;
    for (beginning, sink) in beginnings {
        begin(work, beginning, sink, "").await?;
    }
    Ok(0)
}

fn announce(work: &Work, beginning: &Beginning, sink: &Sink) -> Result<()> {
    match beginning {
        Beginning::Make(making) => {
            let (node, id, end) = (work.name(), &making.id, day(making.expires));
            work.output.result(&format!("{node}: make {id}, ends {end}, secret to sink {}\n", sink.name))?;
            if making.rights.is_empty() && making.separated {
                work.output.say(&format!("warning: no [[access.acl]] names {id}: it will be able to do nothing"));
            }
        }
        Beginning::Finish { id, .. } => {
            work.output.result(&format!("{}: {id} has its secret in its sink already\n", work.name()))?;
        }
    }
    Ok(())
}

/// What is to be done for a listed token that is not there, by what lies in its sink.
pub(super) fn decided(work: &Work, id: &str, sink: InSink<'_>) -> Result<Beginning> {
    let protected = protected(&work.policy);
    let target = Target {
        config: work.config()?,
        catalogue: Catalogue::of(work.facts().pve.known().map_or(9, |release| release.major)),
        policy: &work.policy.profile.access,
        now: work.now()?,
        protected: &protected,
        rights_are_exact: false,
        coming: &Coming::new(),
    };
    rotation::making(&target, id, sink).map_err(|why| {
        let why = Error::msg(Kind::Refused, sanitize::line(&why).into_owned());
        work.as_it_stands(why).hint("see `pve-harden token list`")
    })
}

/// Makes a token; `before` is what was done on the node before it.
pub(super) async fn begin(work: &Work, beginning: Beginning, sink: &Sink, before: &str) -> Result<()> {
    match beginning {
        Beginning::Make(making) => {
            let place = sink::prove(sink, &item(work, &making.id)).await.map_err(|error| work.as_it_stands(error))?;
            work.made(&making, place, &format!("{before}no token {} is on {}", making.id, work.name())).await?;
            work.said(&format!("{}: {} made\n", work.name(), making.id))
        }
        Beginning::Finish { id, comment } => {
            work.standing.replace(format!("{before}{id} works on {}", work.name()));
            work.in_use(&id, &comment).await?;
            work.said(&format!("{}: {id} is in use\n", work.name()))
        }
    }
}

/// What lies in a place that holds this.
pub(super) const fn in_sink<'a>(place: &sink::Place, holds: Option<&'a str>) -> InSink<'a> {
    if place.is_readable() { InSink::Holds(holds) } else { InSink::Unknown }
}

fn counted(count: usize) -> String {
    if count == 1 { "this token".into() } else { format!("these {count} tokens") }
}

pub(super) fn item(work: &Work, id: &str) -> Item {
    Item { host: work.name().to_owned(), what: What::Token { id: id.to_owned() } }
}
