//! `token rotate`.

use clap::Args;

use super::Place;
use super::new::{in_sink, item};
use super::work::Work;
use crate::access::day;
use crate::access::lifetime::{self, Listed, Question, Status};
use crate::access::matrix;
use crate::access::rotation::{self, Ask, Making, Rotation};
use crate::access::tokens::family;
use crate::apply::tokens::Ending;
use crate::cli::output::Output;
use crate::error::{Error, Kind, Result};
use crate::sanitize;
use crate::sink;

/// `token rotate`.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[derive(Clone, Debug, Args)]
pub(super) struct Rotate {
    /// Tokens, "user@realm!token"; any member of a rotated family stands for it
    #[arg(value_name = "TOKEN", required_unless_present = "due")]
    tokens: Vec<String>,
    /// Every listed token that ends soon, never ends, is older than the profile allows, or whose rotation was cut
    #[arg(long, conflicts_with = "tokens")]
    due: bool,
    /// With --due: what ends within so many days
    #[arg(long, value_name = "DAYS", default_value_t = 30)]
    within: u32,
    /// The old token works for so long, e.g. 12h or 7d; PVE itself ends it then [default: it is revoked now]
    #[arg(long, value_name = "TIME", value_parser = grace)]
    grace: Option<u64>,
    /// Revoke the old token also when it was used within the last day, or its use cannot be told
    #[arg(long)]
    force: bool,
    /// Keep the token and give it a new secret: the former one ends at once (PVE 9.1 and later)
    #[arg(long, conflicts_with = "grace")]
    in_place: bool,
    /// Put the secret into this sink instead of the one the site names
    #[arg(long, value_name = "NAME")]
    sink: Option<String>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    place: Place,
}

/// Hours or days, in seconds.
fn grace(text: &str) -> Result<u64, String> {
    let wrong = || "hours or days: 12h, 7d".to_owned();
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let unit = match unit {
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    if (1..=366 * 86_400).contains(&(number * unit)) { Ok(number * unit) } else { Err("at most a year".into()) }
}

pub(super) async fn run(args: Rotate, output: Output) -> Result<u8> {
    Work::with(&args.place, output, async |work| all(&args, work).await).await
}

async fn all(args: &Rotate, work: &Work) -> Result<u8> {
    let ids = if args.due { due(args, work).await? } else { args.tokens.clone() };
    if ids.is_empty() {
        work.output.result(&format!("{}: no token is due\n", work.name()))?;
        return Ok(0);
    }
    let mut codes = Vec::new();
    for id in &ids {
        match one(args, work, id).await {
            Ok(code) => codes.push(code),
            // The others are not this one's business.
            Err(error) if ids.len() > 1 => {
                work.output.say(crate::render::message::error(&error, work.output.stderr).trim_end());
                codes.push(error.kind.exit_code());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(codes.into_iter().max().unwrap_or(0))
}

/// Families that are due; what is over and has a successor goes.
async fn due(args: &Rotate, work: &Work) -> Result<Vec<String>> {
    let config = work.config()?;
    let accounts = matrix::matrix(config, None);
    let list = lifetime::list(&Question {
        config,
        accounts: &accounts,
        secrets: work.facts().access.secrets.known(),
        policy: &work.policy.profile.access,
        now: work.now()?,
        within_days: args.within,
    });
    let has = |token: &Listed, status: &[Status]| status.iter().any(|status| token.status.contains(status));
    for token in list.iter().filter(|token| token.listed && has(token, &[Status::Superseded])) {
        if has(token, &[Status::Expired]) {
            work.confirm(args.yes, &format!("Delete {}, which ended and has a successor?", sanitize::line(&token.id)))?;
            work.end(&token.id, Ending::Revoked).await?;
            work.output.result(&format!("{}: {} revoked: it had ended\n", work.name(), sanitize::line(&token.id)))?;
        }
    }
    let mut ids: Vec<String> = Vec::new();
    for token in list.iter().filter(|token| !has(token, &[Status::Superseded, Status::Missing, Status::Root])) {
        const DUE: [Status; 6] =
            [Status::Expired, Status::NoExpiry, Status::ExpiresSoon, Status::Old, Status::NotProved, Status::Storing];
        if !has(token, &DUE) {
            continue;
        }
        let name = family(&token.id).to_owned();
        if !token.listed {
            work.output.say(&format!("{} is due and not listed: left alone", sanitize::line(&token.id)));
        } else if !ids.contains(&name) {
            ids.push(name);
        }
    }
    Ok(ids)
}

async fn one(args: &Rotate, work: &Work, id: &str) -> Result<u8> {
    let untouched = |error: Error| work.as_it_stands(error);
    if let Some(why) = rotation::refusal(id) {
        return Err(untouched(Error::msg(Kind::Refused, why)));
    }
    let sink = work.sink(args.sink.as_deref(), id)?;
    let place = sink::prove(sink, &item(work, id)).await.map_err(untouched)?;
    let holds = place.holds();
    let in_sink = in_sink(&place, holds.as_deref());
    let policy = &work.policy.profile.access;
    let ask = Ask { config: work.config()?, policy, now: work.now()?, sink: in_sink };
    match rotation::rotation(&ask, id) {
        Rotation::Stuck(why) => {
            let why = sanitize::line(&why).into_owned();
            Err(untouched(Error::msg(Kind::Refused, why).hint("see `pve-harden token list`")))
        }
        Rotation::Finish { new, comment, old } => {
            work.output.result(&format!(
                "{}: {new} has its secret in its sink already; its rotation is finished\n",
                work.name()
            ))?;
            work.confirm(args.yes, "Go on?")?;
            work.standing.replace(format!("{new} works on {}", work.name()));
            work.in_use(&new, &comment).await?;
            match old {
                Some(old) => ended(args, work, &new, &old).await,
                None => Ok(0),
            }
        }
        Rotation::Overlap { new, old } if args.in_place => in_place(args, work, place.for_token(&old), new, &old).await,
        Rotation::Overlap { new, old } => overlap(args, work, place.for_token(&new.id), &new, &old).await,
    }
}

async fn overlap(args: &Rotate, work: &Work, place: sink::Place, new: &Making, old: &str) -> Result<u8> {
    let node = work.name();
    let uses = work.uses(&[old]).await.map_err(|error| work.as_it_stands(error))?;
    let (words, blocks) = Work::judged(&uses, old);
    let then = match args.grace {
        Some(grace) => format!("{old} ends {}", day(work.now()? + grace)),
        None => format!("{old} is revoked"),
    };
    let text = format!("{node}: {old} → {}, ends {}; then {then} ({words})\n", new.id, day(new.expires));
    work.output.result(&text)?;
    if !new.separated {
        work.output.say(&format!("warning: {old} has every right of its user, and so has the new one"));
    }
    if blocks && args.grace.is_none() && !args.force {
        let why = format!("{old}: {words}; what uses it would fail until it reads the new secret");
        return Err(work.as_it_stands(Error::msg(Kind::Refused, why)).hint("give it time: --grace 7d; or --force"));
    }
    work.confirm(args.yes, "Rotate?")?;
    work.standing.replace(format!("{old} works on {node}"));
    work.made(new, place, &format!("{old} works on {node}, as before")).await?;
    ended(args, work, &new.id, old).await
}

/// The same token with a new secret.
async fn in_place(args: &Rotate, work: &Work, place: sink::Place, new: Making, old: &str) -> Result<u8> {
    let node = work.name();
    let refuse = |why: String, hint: &str| work.as_it_stands(Error::msg(Kind::Refused, why)).hint(hint.to_owned());
    let release = work.facts().pve.known().map(|release| (release.major, release.minor));
    if release.is_none_or(|release| release < (9, 1)) {
        return Err(refuse("PVE gives a token a new secret from 9.1 on".into(), "leave --in-place out"));
    }
    let new = Making { id: old.to_owned(), rights: Vec::new(), leftovers: Vec::new(), ..new };
    let uses = work.uses(&[old]).await.map_err(|error| work.as_it_stands(error))?;
    let (words, blocks) = Work::judged(&uses, old);
    let text =
        format!("{node}: {old} gets a new secret, ends {}; the former one ends at once ({words})\n", day(new.expires));
    work.output.result(&text)?;
    if blocks && !args.force {
        let why = format!("{old}: {words}; what uses it would fail until it reads the new secret");
        return Err(refuse(why, "leave --in-place out and give it time: --grace 7d; or --force"));
    }
    work.confirm(args.yes, "Rotate?")?;
    work.regenerated(&new, place).await?;
    work.output.result(&format!("{node}: {old} has a new secret\n"))?;
    Ok(0)
}

/// What becomes of the old one.
async fn ended(args: &Rotate, work: &Work, new: &str, old: &str) -> Result<u8> {
    let node = work.name();
    let token = work.config()?.tokens.get(old);
    if let Some(grace) = args.grace {
        let at = work.now()? + grace;
        let at = token.map(|token| token.expires).filter(|end| *end != 0 && *end < at).unwrap_or(at);
        work.end(old, Ending::At(at)).await?;
        work.output.result(&format!("{node}: {new} is in use; {old} works until {}\n", day(at)))?;
        return Ok(0);
    }
    let uses = work.uses(&[old]).await.map_err(|error| error.state(work.standing.borrow().clone()))?;
    let (words, blocks) = Work::judged(&uses, old);
    if blocks && !args.force {
        let text = format!("{node}: {new} is in use; {old} stays, {words}: `pve-harden token revoke '{old}'` later\n");
        work.output.result(&text)?;
        return Ok(1);
    }
    work.end(old, Ending::Revoked).await?;
    work.output.result(&format!("{node}: {new} is in use; {old} is revoked ({words})\n"))?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grace_has_a_unit_and_an_end() {
        assert_eq!((grace("12h"), grace("7d")), (Ok(43_200), Ok(604_800)));
        for wrong in ["", "7", "d", "0d", "400d", "1w", "é", "-1d"] {
            assert!(grace(wrong).is_err(), "{wrong}");
        }
    }
}
