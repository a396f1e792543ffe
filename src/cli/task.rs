//! One plan on one node that a verb made, not a profile: shown, asked for, carried out like any run.

use super::committed::Committed;
use super::connect::{Connector, Node};
use super::output::Output;
use super::run::{self, Intent};
use super::terminal::Terminal;
use crate::apply::bundle;
use crate::apply::engine::Login;
use crate::change::Stage;
use crate::change::access::Locked;
use crate::error::{Error, Kind, Result};
use crate::plan::{Plan, Proof};
use crate::profile::policy::Policy;
use crate::render::text;
use crate::report::{Command, Judged, NodeReport, Report};

/// What a person said, beside the plan.
pub struct Asked<'a> {
    /// Kept in the node's history as the run's verb.
    pub verb: &'static str,
    /// Without asking.
    pub yes: bool,
    /// What is asked.
    pub question: String,
    /// `--reason`.
    pub reason: Option<String>,
    /// Who must prove; else whoever the plan names.
    pub login: Option<&'a str>,
    /// What is kept with the run, so that it can be brought back later.
    pub locked: Option<Locked>,
}

/// Shows the plan; refused plans are an error, and a plan without changes asks nothing. The value is whether there is
/// something to do.
pub fn show(node: &Node, policy: &Policy, plan: &Plan, output: Output) -> Result<bool> {
    let judged = Judged::new(plan.clone(), policy, super::nodes::release(&node.facts));
    let (name, address) = (policy.host.name.clone(), policy.host.address.clone());
    let report =
        Report { command: Command::Plan, nodes: vec![NodeReport { node: name.clone(), address, result: Ok(judged) }] };
    output.result(&text::report(&report, output.stdout))?;
    if let Some(refusal) = plan.refusals.first() {
        return Err(Error::msg(Kind::Refused, refusal.reason.clone()).untouched(&name).hint(refusal.way_out.clone()));
    }
    Ok(!plan.changes.is_empty())
}

/// Asks and carries out what was shown; the value is the run's id.
pub async fn carry_out(
    connector: &Connector,
    node: &Node,
    policy: &Policy,
    plan: &Plan,
    asked: Asked<'_>,
) -> Result<String> {
    let name = policy.host.name.clone();
    if !asked.yes {
        run::confirm(&asked.question, &name, Terminal::is_there())?;
    }
    let intent = Intent {
        verb: asked.verb,
        reason: asked.reason,
        manual: false,
        commit_window: None,
        changes: plan.changes.iter().map(|change| change.summary.clone()).collect(),
        seal: plan.seal.clone(),
        undoes: Vec::new(),
    };
    let mut order = run::order(policy, &node.facts, node.connection.user(), &intent)?;
    order.meta.locked = asked.locked;
    let program = bundle::program(plan, &order)?;
    let login = asked.login.map_or_else(|| run::proving_login(plan, false), |user| Login::Admin(user.to_owned()));
    let stages: Vec<Stage> = plan.changes.iter().map(|change| change.stage).collect();
    let stop = run::Stop::listen();
    let web = plan.proofs.contains(&Proof::WebInterface);
    let way = run::Way { stages: &stages, login, sudo: None, web, stop: &stop, before: &Committed::default() };
    run::drive(connector, node, policy, &program, &order, way).await?;
    Ok(order.meta.id)
}
