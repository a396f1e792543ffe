//! `pve-harden apply [HOST…]`: plan, show, ask, carry out, prove, commit; one node after the other.

use futures_util::future::join_all;

use super::args::{Apply, Confirm, PlanFormat};
use super::connect::{Connector, Node, reason_given};
use super::nodes;
use super::output::Output;
use super::passwords::Passwords;
use super::run::{self, Intent};
use super::settings::Settings;
use super::terminal::Terminal;
use crate::apply::bundle::{self, Order};
use crate::apply::engine::Login;
use crate::error::{Kind, Result};
use crate::event::What;
use crate::plan::{self, Plan, Proof, Selection};
use crate::profile::policy::Policy;
use crate::render::{json, message, text};
use crate::report::{Command, Failure, Judged, NodeReport, NodeResult, Report};
use crate::secret::Secret;
use crate::transport::Program;

/// A node that was read and planned for, its connection still open.
struct Ready {
    node: Node,
    plan: Plan,
    policy: Policy,
}

impl NodeResult {
    fn new(ready: &Ready, outcome: &'static str, exit_code: u8) -> Self {
        Self { node: ready.plan.node.clone(), outcome, run: None, exit_code }
    }
}

/// Plans for every node, shows it, and carries out what was shown.
pub async fn run(args: Apply, output: Output) -> Result<u8> {
    let settings = Settings::read(&args.wanted, output)?;
    let policies = settings.policies(&args.nodes, &args.connection)?;
    for policy in &policies {
        reason_given(policy, args.reason.as_deref())?;
    }
    let connector = Connector::new(&args.connection, &settings.loaded.secrets, output, true);
    let manual = args.confirm == Some(Confirm::Manual);
    let planned = run::before_changes(plan_all(&connector, policies, &settings.selection, manual)).await?;

    let mut report = Report { command: Command::Plan, nodes: Vec::new() };
    let mut ready = Vec::new();
    for (policy, result) in planned {
        let result = result.map(|(node, plan)| {
            let release = node.facts.pve.known().map(|pve| pve.text.clone());
            let judged = Judged::new(plan.clone(), &policy, release);
            ready.push(Ready { node, plan, policy: policy.clone() });
            judged
        });
        let result = result.map_err(|error| Failure::of(&error, &policy.host.name));
        report.nodes.push(NodeReport { node: policy.host.name.clone(), address: policy.host.address.clone(), result });
    }
    nodes::say_failures(&report.nodes, output);
    if args.format == PlanFormat::Text {
        output.result(&text::report(&report, output.stdout))?;
    }
    let mut results = Vec::new();
    let worst = after_the_plan(&connector, &args, &report, ready, output, &mut results).await;
    if args.format == PlanFormat::Json {
        output.result(&json::applied(&report, &results))?;
    }
    worst
}

/// Everything after the plan was made; says what became of each node in `results`.
async fn after_the_plan(
    connector: &Connector,
    args: &Apply,
    report: &Report,
    ready: Vec<Ready>,
    output: Output,
    results: &mut Vec<NodeResult>,
) -> Result<u8> {
    let failures = report.nodes.iter().filter_map(|node| node.result.as_ref().err());
    let mut worst = failures.map(|failure| failure.exit_code).max().unwrap_or(0);
    let (refused, willing): (Vec<Ready>, Vec<Ready>) =
        ready.into_iter().partition(|ready| !ready.plan.refusals.is_empty());
    for ready in refused {
        worst = worst.max(Kind::Refused.exit_code());
        results.push(NodeResult::new(&ready, "refused", Kind::Refused.exit_code()));
        farewell(connector, ready).await;
    }
    let (idle, busy): (Vec<Ready>, Vec<Ready>) = willing.into_iter().partition(|ready| ready.plan.changes.is_empty());
    for ready in idle {
        if args.format == PlanFormat::Text {
            output.result(&format!("{}: nothing to do\n", ready.plan.node))?;
        }
        results.push(NodeResult::new(&ready, "nothing-to-do", 0));
        farewell(connector, ready).await;
    }
    if busy.is_empty() {
        return Ok(worst);
    }
    ask(&busy, args.yes)?;
    let prepared = prepare(busy, args)?;
    Ok(worst.max(carry_out_all(connector, prepared, args, output, results).await))
}

/// The answer is complete; how the connection ends changes nothing.
async fn farewell(connector: &Connector, ready: Ready) {
    connector.tell(&ready.plan.node, What::Finished);
    let _ = ready.node.connection.close().await;
}

async fn plan_all(
    connector: &Connector,
    policies: Vec<Policy>,
    selection: &Selection,
    manual: bool,
) -> Result<Vec<(Policy, Result<(Node, Plan)>)>> {
    let (connector, selection) = (connector.clone(), selection.clone());
    let work = move |policy: Policy| {
        let (connector, selection) = (connector.clone(), selection.clone());
        async move {
            let mut node = connector.reach(&plan::narrowed(&policy, &selection)).await?;
            node.operator.confirm_manual = manual;
            let plan = plan::build(&node.facts, &policy, &selection, &node.operator)?;
            Ok((node, plan))
        }
    };
    Ok(nodes::each(policies, work).await)
}

/// Everything a person must decide is decided here, before any node holds a lock.
fn ask(busy: &[Ready], yes: bool) -> Result<()> {
    let names: Vec<&str> = busy.iter().map(|ready| ready.plan.node.as_str()).collect();
    let names = names.join(", ");
    if yes {
        return Ok(());
    }
    let question = format!(
        "Should a node ever be out of reach: at its console, as root, /usr/local/sbin/pve-harden-undo takes the run back.\nApply these changes to {names}?"
    );
    run::confirm(&question, &names, Terminal::is_there())
}

/// A run that is ready to be sent.
struct Prepared {
    ready: Ready,
    order: Order,
    program: Program,
    login: Login,
    /// The proving administrator's new password, which sudo will ask for.
    sudo: Option<Secret>,
}

/// Makes every run before the first one is sent: passwords are typed or generated here.
fn prepare(busy: Vec<Ready>, args: &Apply) -> Result<Vec<Prepared>> {
    let mut passwords = Passwords::default();
    let manual = args.confirm == Some(Confirm::Manual);
    busy.into_iter()
        .map(|ready| {
            let Ready { node, plan, policy } = &ready;
            let intent = Intent {
                verb: "apply",
                reason: args.reason.clone(),
                manual,
                commit_window: args.commit_window,
                changes: plan.changes.iter().map(|change| change.summary.clone()).collect(),
                seal: plan.seal.clone(),
                undoes: Vec::new(),
            };
            let order = run::order(policy, &node.facts, node.connection.user(), &intent)?;
            let plan = passwords.fill_in(plan, policy)?;
            let program = bundle::program(&plan, &order)?;
            let login = run::proving_login(&plan, manual);
            let sudo = match &login {
                Login::Admin(user) => passwords.of(user).cloned(),
                Login::Anybody => None,
            };
            Ok(Prepared { ready, order, program, login, sudo })
        })
        .collect()
}

/// `--serial` nodes at a time; the first group in which one does not end as wanted is the last.
async fn carry_out_all(
    connector: &Connector,
    prepared: Vec<Prepared>,
    args: &Apply,
    output: Output,
    results: &mut Vec<NodeResult>,
) -> u8 {
    let mut worst = 0;
    let stop = run::Stop::listen();
    let mut waiting = prepared.into_iter();
    loop {
        let group: Vec<Prepared> = waiting.by_ref().take(usize::from(args.serial)).collect();
        if group.is_empty() {
            return worst;
        }
        if worst != 0 || stop.came() {
            worst = worst.max(Kind::Refused.exit_code());
            for Prepared { ready, .. } in group {
                let why = if stop.came() { "interrupted" } else { "a node before it did not end as wanted" };
                output.say(&format!("nothing was changed on {}: {why}", ready.plan.node));
                results.push(NodeResult::new(&ready, "not-begun", 0));
                farewell(connector, ready).await;
            }
            continue;
        }
        let ended = join_all(group.into_iter().map(|prepared| Box::pin(carry_out(connector, prepared, &stop)))).await;
        for (ready, result) in ended {
            let code = tell_result(&ready, &result, args, output);
            worst = worst.max(code);
            let word = if code == 0 { "committed" } else { "failed" };
            results.push(NodeResult { run: result.ok(), ..NodeResult::new(&ready, word, code) });
            farewell(connector, ready).await;
        }
    }
}

async fn carry_out(connector: &Connector, prepared: Prepared, stop: &run::Stop) -> (Ready, Result<String>) {
    let Prepared { ready, order, program, login, sudo } = prepared;
    let stages: Vec<_> = ready.plan.changes.iter().map(|change| change.stage).collect();
    let web = ready.plan.proofs.contains(&Proof::WebInterface);
    let way = run::Way { stages: &stages, login, sudo, web, stop };
    let driven = run::drive(connector, &ready.node, &ready.policy, &program, &order, way).await;
    (ready, driven.map(|()| order.meta.id))
}

fn tell_result(ready: &Ready, result: &Result<String>, args: &Apply, output: Output) -> u8 {
    let name = &ready.plan.node;
    match result {
        Ok(id) => {
            if args.format == PlanFormat::Text {
                // A reader that went away does not undo what was done.
                let _ = output.result(&format!(
                    "{name}: applied and confirmed, run {id}\n  to take it back: pve-harden rollback {name} {id}, or at its console /usr/local/sbin/pve-harden-undo\n"
                ));
            }
            0
        }
        Err(error) => {
            output.say(message::error(error, output.stderr).trim_end());
            error.kind.exit_code()
        }
    }
}
