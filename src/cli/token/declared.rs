//! The tokens that `apply` makes: after everything else of their node is confirmed, from what the node says then.

use std::collections::BTreeMap;

use super::new::{begin, decided, in_sink, item};
use super::work::{Messages, Work};
use crate::access::rotation::{Beginning, InSink};
use crate::change::token::NewToken;
use crate::cli::connect::Connector;
use crate::cli::rolling::Ready;
use crate::cli::run::Stop;
use crate::error::{Error, Kind, Result};
use crate::plan::Plan;
use crate::profile::policy::{Policy, Sink};
use crate::profile::secrets::Secrets;
use crate::render::message;
use crate::report::NodeResult;
use crate::secret::Secret;
use crate::sink::{self, Item, What};

/// What is to be made on one node.
pub(in crate::cli) struct Declared {
    policy: Policy,
    tokens: Vec<NewToken>,
    sudo: Option<Secret>,
}

/// Takes the tokens out of the plans, by the plans' places; what is left is what runs.
pub(in crate::cli) fn apart(plans: &mut [Option<Plan>]) -> Result<BTreeMap<usize, Vec<NewToken>>> {
    let mut all = BTreeMap::new();
    for (place, slot) in plans.iter_mut().enumerate() {
        if let Some(plan) = slot.take() {
            let (plan, tokens) = plan.without_tokens()?;
            *slot = Some(plan);
            all.insert(place, tokens);
        }
    }
    Ok(all)
}

/// The tokens of nodes whose turn will come.
pub(in crate::cli) fn all<'a>(ready: impl Iterator<Item = (usize, &'a Ready)>) -> BTreeMap<usize, Declared> {
    let with = ready.filter(|(_, ready)| !ready.tokens.is_empty());
    with.map(|(place, ready)| {
        let Ready { policy, tokens, sudo, .. } = ready;
        (place, Declared { policy: policy.clone(), tokens: tokens.clone(), sudo: sudo.clone() })
    })
    .collect()
}

/// Proves that every sink can be written, before anything is changed.
pub(in crate::cli) async fn provable(policy: &Policy, tokens: &[NewToken]) -> Result<()> {
    for token in tokens {
        let item = Item { host: policy.host.name.clone(), what: What::Token { id: token.id.clone() } };
        let place = sink::prove(of(policy, token)?, &item).await;
        drop(place.map_err(|error| error.untouched(&policy.host.name))?);
    }
    Ok(())
}

fn of<'a>(policy: &'a Policy, token: &NewToken) -> Result<&'a Sink> {
    let sink = policy.site.sinks.iter().find(|sink| sink.name == token.sink);
    sink.ok_or_else(|| {
        Error::msg(Kind::Usage, format!("the site has no sink {}", token.sink)).untouched(&policy.host.name)
    })
}

/// Makes them where the node's own run ended well; says what failed and gives the worst code.
pub(in crate::cli) async fn make(
    connector: &Connector,
    secrets: &Secrets,
    all: BTreeMap<usize, Declared>,
    stop: &Stop,
    messages: Messages,
    results: &mut BTreeMap<usize, NodeResult>,
) -> u8 {
    let mut worst = 0;
    for (place, declared) in all {
        let node = declared.policy.host.name.clone();
        let ids: Vec<&str> = declared.tokens.iter().map(|token| token.id.as_str()).collect();
        let ids = ids.join(", ");
        let before = results.get(&place);
        if before.is_some_and(|result| result.outcome != "committed" || result.exit_code != 0) || stop.came() {
            worst = worst.max(Kind::Refused.exit_code());
            messages.output.say(&format!("{node}: not made, because of what went before: {ids}"));
            results.entry(place).or_insert_with(|| NodeResult {
                node,
                outcome: "not-begun",
                run: None,
                tokens: Vec::new(),
                exit_code: 0,
            });
            continue;
        }
        let run = before.and_then(|result| result.run.clone());
        let mut made = Vec::new();
        let result = Box::pin(on_node(connector, secrets, &declared, run.as_deref(), messages, &mut made)).await;
        let code = result.as_ref().err().map_or(0, |error| error.kind.exit_code());
        if let Err(error) = result {
            messages.output.say(message::error(&error, messages.output.stderr).trim_end());
        }
        worst = worst.max(code);
        let outcome = if code == 0 || run.is_some() || !made.is_empty() { "committed" } else { "failed" };
        results.insert(place, NodeResult { node, outcome, run, tokens: made, exit_code: code });
    }
    worst
}

async fn on_node(
    connector: &Connector,
    secrets: &Secrets,
    declared: &Declared,
    run: Option<&str>,
    messages: Messages,
    made: &mut Vec<String>,
) -> Result<()> {
    let Declared { policy, tokens, sudo } = declared;
    let connector = connector.clone().with_sudo(sudo.clone());
    let name = &policy.host.name;
    let start = match run {
        Some(run) => format!("run {run} is confirmed on {name}"),
        None => format!("nothing was changed on {name}"),
    };
    let before = run.map(|_| format!("{start}; ")).unwrap_or_default();
    let work = Work::on(connector, policy.clone(), secrets.clone(), messages, start).await?;
    let result = work.interruptible(Box::pin(in_order(&work, tokens, &before, made))).await;
    work.close().await;
    result
}

async fn in_order(work: &Work, tokens: &[NewToken], before: &str, made: &mut Vec<String>) -> Result<()> {
    for token in tokens {
        let sink = of(&work.policy, token)?;
        let place = sink::prove(sink, &item(work, &token.id)).await.map_err(|error| work.as_it_stands(error))?;
        let holds = place.holds();
        let beginning = decided(work, &token.id, in_sink(&place, holds.as_deref()))?;
        drop(place);
        as_shown(work, token)?;
        begin(work, beginning, sink, before).await?;
        made.push(token.id.clone());
    }
    Ok(())
}

/// Somebody may have changed roles or rights since the plan was shown.
fn as_shown(work: &Work, token: &NewToken) -> Result<()> {
    let Beginning::Make(now) = decided(work, &token.id, InSink::Holds(None))? else { return Ok(()) };
    let same = now.rights == token.rights && now.separated == token.separated && now.purpose == token.comment;
    if same {
        return Ok(());
    }
    let why = format!("what {} would be is not what was shown", token.id);
    Err(work.as_it_stands(Error::msg(Kind::Stale, why)))
}
