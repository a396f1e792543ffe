//! Several nodes at once, results in the order in which the nodes were named.

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, LocalSet};

use super::connect::{Connector, Node, is_pve};
use super::fleet;
use super::settings::Settings;
use super::{args, output::Output};
use crate::access::matrix::{self, Account, Factors};
use crate::controls::CATALOGUE;
use crate::error::{Error, Kind, Result};
use crate::event::What;
use crate::facts::{self, Facts};
use crate::fleet::{Seen, lanes};
use crate::plan::{self, Operator, Plan, Selection};
use crate::profile::policy::{Host, Policy};
use crate::render::message;
use crate::report::{Failure, Judged, NodeReport};
use crate::transport::capture::Capture;

/// Largest recorded node that is read.
const LARGEST_ARCHIVE: u64 = 64 << 20;

/// A node of a command, and what became of contacting it.
pub struct Reached<T> {
    /// Who it is.
    pub policy: Policy,
    /// What was seen and made of it.
    pub result: Result<(Seen, T)>,
}

/// Does `work` for every policy, `at_once` of them at a time. A task that dies is an error of its node alone.
pub async fn each<T, F, W>(policies: Vec<Policy>, at_once: usize, work: &W) -> Vec<Reached<T>>
where
    T: 'static,
    F: Future<Output = Result<(Seen, T)>> + 'static,
    W: Fn(Policy) -> F,
{
    let permits = Arc::new(Semaphore::new(at_once));
    let mut results: Vec<Option<Result<(Seen, T)>>> = policies.iter().map(|_| None).collect();
    let local = LocalSet::new();
    let mut tasks = JoinSet::new();
    for (place, policy) in policies.iter().enumerate() {
        let (work, permits) = (work(policy.clone()), Arc::clone(&permits));
        let task = async move {
            let _permit = permits.acquire_owned().await;
            (place, work.await)
        };
        tasks.spawn_local_on(task, &local);
    }
    local
        .run_until(async {
            while let Some(done) = tasks.join_next().await {
                if let Ok((place, result)) = done {
                    results[place] = Some(result);
                }
            }
        })
        .await;
    let lost = || Err(Error::msg(Kind::Internal, "the work on this node ended without a result"));
    let results = results.into_iter().map(|result| result.unwrap_or_else(lost));
    policies.into_iter().zip(results).map(|(policy, result)| Reached { policy, result }).collect()
}

/// Reads and judges every node a command is about: recorded ones, or those it reaches.
pub async fn judge(
    settings: Settings,
    nodes: &args::Nodes,
    connection: &args::Connection,
    captures: &[std::path::PathBuf],
    output: Output,
) -> Result<Vec<NodeReport>> {
    if !captures.is_empty() {
        return settled(captures.iter().map(|file| recorded(&settings, file)).collect());
    }
    let policies = settings.policies(nodes, connection)?;
    let connector = Connector::new(connection, &settings.loaded.secrets, output, false);
    let selection = settings.selection.clone();
    let (against, guests) = (settings.against, settings.accept_guest_firewall);
    let work = move |policy: Policy| {
        let (connector, selection) = (connector.clone(), selection.clone());
        async move { reached(&connector, &policy, &selection, against, guests).await }
    };
    settled(fleet::reach(&settings, policies, nodes, work).await)
}

/// Reports of nodes whose plans were put in relation.
fn settled(mut reached: Vec<Reached<Judged>>) -> Result<Vec<NodeReport>> {
    let mut plans: Vec<Option<Plan>> = reached
        .iter_mut()
        .map(|node| node.result.as_mut().ok().map(|(_, judged)| std::mem::take(&mut judged.plan)))
        .collect();
    let named = fleet::named(&reached);
    fleet::settle(&lanes(&named), &named, &mut plans, false)?;
    let reports = reached.into_iter().zip(plans).map(|(Reached { policy, result }, plan)| {
        let result = result.map(|(_, judged)| Judged { plan: plan.unwrap_or_default(), ..judged });
        report(&policy.host, result)
    });
    Ok(reports.collect())
}

/// Says on standard error which nodes failed and why.
pub fn say_failures(nodes: &[NodeReport], output: Output) {
    for failure in nodes.iter().filter_map(|node| node.result.as_ref().err()) {
        output.say(message::failure(failure, output.stderr).trim_end());
    }
}

fn judged(plan: Plan, policy: &Policy, facts: &Facts, selection: &Selection, against: Option<args::Against>) -> Judged {
    let mut judged = Judged::new(plan, policy, release(facts));
    if CATALOGUE.iter().map(|control| control.meta().id).any(|id| id.starts_with("access.") && selection.contains(id)) {
        judged.access = accounts(facts).ok();
    }
    if against == Some(args::Against::Pve9) {
        judged.upgrade = plan::upgrade::to_nine(facts, policy);
        judged.upgrade_note = plan::upgrade::nothing_to_say(facts, &policy.host.name);
    }
    judged
}

async fn reached(
    connector: &Connector,
    policy: &Policy,
    selection: &Selection,
    against: Option<args::Against>,
    accept_guest_firewall: bool,
) -> Result<(Seen, Judged)> {
    // Of many nodes that end at the same time only what was made of them is kept while their connections close.
    let Node { connection, capture, facts, mut operator } = connector.reach(&plan::narrowed(policy, selection)).await?;
    drop(capture);
    operator.accept_guest_firewall = accept_guest_firewall;
    let plan = plan::build(&facts, policy, selection, &operator);
    let judged = plan.map(|plan| (Seen::of(&facts), judged(plan, policy, &facts, selection, against)));
    drop(facts);
    // The answer is complete; how the connection ends changes nothing.
    let _ = connection.close().await;
    connector.tell(&policy.host.name, What::Finished);
    judged
}

/// PVE's accounts and what they may do; why not, when user.cfg was not read.
pub fn accounts(facts: &Facts) -> std::result::Result<Vec<Account>, String> {
    let config = facts.access.config.required("/etc/pve/user.cfg")?;
    let factors: Option<Factors> = facts
        .access
        .factors
        .known()
        .map(|all| all.iter().map(|(user, factors)| (user.clone(), factors.kinds.clone())).collect());
    Ok(matrix::matrix(config, factors.as_ref()))
}

/// PVE's release as the node says it.
pub fn release(facts: &Facts) -> Option<String> {
    facts.pve.known().map(|pve| pve.text.clone())
}

fn report(host: &Host, result: Result<Judged>) -> NodeReport {
    let result = result.map_err(|error| Failure::of(&error, &host.name));
    NodeReport { node: host.name.clone(), address: host.address.clone(), result }
}

/// A recorded node, on disk.
#[derive(Debug, Serialize, Deserialize)]
pub struct Archive {
    /// Version of this file.
    #[serde(default = "first")]
    pub version: u32,
    /// What wrote it.
    #[serde(default)]
    pub tool: String,
    /// The sections.
    #[serde(flatten)]
    pub capture: Capture,
}

const fn first() -> u32 {
    Archive::VERSION
}

impl Archive {
    /// The version that is written and read.
    pub const VERSION: u32 = 1;

    /// A new one.
    pub fn new(capture: Capture) -> Self {
        Self { version: Self::VERSION, tool: format!("pve-harden {}", env!("CARGO_PKG_VERSION")), capture }
    }

    /// Reads one.
    pub fn read(path: &Path) -> Result<Self> {
        let shown = path.display();
        let fail = |why: String| {
            Error::msg(Kind::Usage, format!("{shown}: {why}"))
                .state("nothing was contacted")
                .hint("record the node again: `pve-harden capture HOST -o FILE`")
        };
        let size = std::fs::metadata(path).map_err(|error| fail(error.to_string()))?.len();
        if size > LARGEST_ARCHIVE {
            return Err(fail(format!("is larger than {} MiB", LARGEST_ARCHIVE >> 20)));
        }
        let text = std::fs::read(path).map_err(|error| fail(error.to_string()))?;
        let archive: Self =
            serde_json::from_slice(&text).map_err(|error| fail(format!("is not a recorded node: {error}")))?;
        if archive.version != Self::VERSION {
            return Err(fail(format!("has version {}, this tool reads version {}", archive.version, Self::VERSION)));
        }
        Ok(archive)
    }
}

/// A recorded node, judged. Nothing can be applied from it, so that whether this operator holds a key is not asked.
fn recorded(settings: &Settings, file: &Path) -> Reached<Judged> {
    let address = file.display().to_string();
    let mut host = Host { name: address.clone(), address: address.clone(), ..Host::default() };
    let mut judged = || -> Result<(Seen, Judged)> {
        let facts = facts::parse(&Archive::read(file)?.capture);
        if let Some(name) = facts.node_name.known() {
            let known = settings.loaded.site.hosts.iter().find(|host| host.name == *name);
            host = known.cloned().unwrap_or_else(|| Host { name: name.clone(), ..host.clone() });
        }
        is_pve(&facts)?;
        let policy = settings.loaded.policy_for(&host);
        let accept_guest_firewall = settings.accept_guest_firewall;
        let operator = Operator { confirm_manual: true, accept_guest_firewall, ..Operator::default() };
        let plan = plan::build(&facts, &policy, &settings.selection, &operator)?;
        Ok((Seen::of(&facts), judged(plan, &policy, &facts, &settings.selection, settings.against)))
    };
    let result = judged();
    host.address = address;
    Reached { policy: settings.loaded.policy_for(&host), result }
}
