//! `pve-harden apply [HOST…]`: plan, show, ask, carry out, prove, commit.

use std::collections::BTreeMap;

use super::args::{Apply, Confirm, PlanFormat};
use super::committed::Committed;
use super::connect::{Connector, Node, reason_given};
use super::fleet;
use super::nodes::{self, Reached};
use super::output::Output;
use super::passwords::Passwords;
use super::rolling::{self, Prepared, Ready, Work};
use super::run::{self, Intent};
use super::settings::Settings;
use super::terminal::Terminal;
use super::together;
use super::token::declared;
use super::token::work::Messages;
use super::web_login;
use crate::apply::bundle;
use crate::apply::engine::Login;
use crate::error::{Kind, Result};
use crate::event::What;
use crate::fleet::{Lane, Last, Seen};
use crate::plan::{self, OnTasks, Plan};
use crate::profile::policy::Policy;
use crate::profile::secrets::Secrets;
use crate::render::{fleet as table, json, text};
use crate::report::{Command, Failure, Judged, NodeReport, NodeResult, Report};

/// Plans for every node, shows it, and carries out what was shown.
pub async fn run(args: Apply, output: Output) -> Result<u8> {
    let settings = Settings::read(&args.wanted, output)?;
    let policies = settings.policies(&args.nodes, &args.connection)?;
    for policy in &policies {
        reason_given(policy, args.reason.as_deref())?;
    }
    let connector = Connector::new(&args.connection, &settings.loaded.secrets, output, true);
    let (report, fleet) = planned(&connector, &settings, &args, policies).await?;
    nodes::say_failures(&report.nodes, output);
    if args.format == PlanFormat::Text {
        output.result(&text::report(&report, output.stdout))?;
    }
    let mut results = BTreeMap::new();
    let worst =
        Box::pin(after_the_plan(&connector, &settings.loaded.secrets, &args, &report, fleet, output, &mut results))
            .await;
    match args.format {
        PlanFormat::Text if report.nodes.len() > 1 => {
            output.result(&table::outcomes(&report, &results, output.stdout))?;
        }
        PlanFormat::Text => {}
        PlanFormat::Json => {
            let results: Vec<NodeResult> = results.into_values().collect();
            output.result(&json::applied(&report, &results))?;
        }
    }
    worst
}

/// The nodes that could be planned for, by their place in the command, and their lanes.
struct Fleet {
    ready: BTreeMap<usize, Ready>,
    lanes: Vec<Lane>,
}

async fn planned(
    connector: &Connector,
    settings: &Settings,
    args: &Apply,
    policies: Vec<Policy>,
) -> Result<(Report, Fleet)> {
    let manual = args.confirm == Some(Confirm::Manual);
    let on_tasks = if args.despite_tasks { OnTasks::Despite } else { OnTasks::Refuse };
    let guests = args.accept_guest_firewall;
    let (of_work, selection) = (connector.clone(), settings.selection.clone());
    let work = move |policy: Policy| {
        let (connector, selection) = (of_work.clone(), selection.clone());
        async move {
            let mut node = connector.reach(&plan::narrowed(&policy, &selection)).await?;
            node.operator.confirm_manual = manual;
            node.operator.on_tasks = on_tasks;
            node.operator.accept_guest_firewall = guests;
            let plan = plan::build(&node.facts, &policy, &selection, &node.operator)?;
            Ok((Seen::of(&node.facts), (node, plan)))
        }
    };
    let all = async { Ok(fleet::reach(settings, policies, &args.nodes, work).await) };
    let reached: Vec<Reached<(Node, Plan)>> = run::before_changes(all).await?;
    let named = fleet::named(&reached);
    let lanes = crate::fleet::lanes(&named);
    let mut plans: Vec<Option<Plan>> =
        reached.iter().map(|node| node.result.as_ref().ok().map(|(_, (_, plan))| plan.clone())).collect();
    fleet::settle(&lanes, &named, &mut plans, true)?;
    let shown = plans.clone();
    let mut tokens = declared::apart(&mut plans)?;
    let mut parts = together::part_plans(&lanes, &reached, &mut plans)?;
    let mut report = Report { command: Command::Plan, nodes: Vec::new() };
    let mut ready = BTreeMap::new();
    for (place, (Reached { policy, result }, (shown, plan))) in
        reached.into_iter().zip(shown.into_iter().zip(plans)).enumerate()
    {
        let result = result.map(|(seen, (node, _))| {
            let (plan, shown) = (plan.unwrap_or_default(), shown.unwrap_or_default());
            let lane = lanes.iter().find(|lane| lane.nodes.contains(&place));
            let part = parts.remove(&place);
            let is_admitted =
                lane.zip(part.as_ref()).is_some_and(|(lane, part)| together::is_admitted(lane, place, part));
            let login = together::proving_login(&shown, &policy, node.connection.user(), is_admitted);
            let judged = Judged::new(shown, &policy, nodes::release(&node.facts));
            let cluster = lane.and_then(|lane| lane.cluster.clone());
            let done = seen.last.filter(|last| last.digests == policy.digests);
            let policy = policy.clone();
            let tokens = tokens.remove(&place).unwrap_or_default();
            let committed = Committed::default();
            ready.insert(
                place,
                Ready { node, plan, policy, cluster, done, part, is_admitted, login, sudo: None, tokens, committed },
            );
            judged
        });
        let result = result.map_err(|error| Failure::of(&error, &policy.host.name));
        report.nodes.push(NodeReport { node: policy.host.name, address: policy.host.address, result });
    }
    Ok((report, Fleet { ready, lanes }))
}

/// Everything after the plan was made; says what became of each node in `results`, by its place.
async fn after_the_plan(
    connector: &Connector,
    secrets: &Secrets,
    args: &Apply,
    report: &Report,
    Fleet { ready, lanes }: Fleet,
    output: Output,
    results: &mut BTreeMap<usize, NodeResult>,
) -> Result<u8> {
    let failures = report.nodes.iter().filter_map(|node| node.result.as_ref().err());
    let mut worst = failures.map(|failure| failure.exit_code).max().unwrap_or(0);
    let mut busy = BTreeMap::new();
    let mut finished = false;
    for (place, ready) in ready {
        if !ready.plan.refusals.is_empty() {
            worst = worst.max(Kind::Refused.exit_code());
            results.insert(place, ready.result("refused", Kind::Refused.exit_code()));
            farewell(connector, ready).await;
        } else if ready.plan.changes.is_empty() && ready.part.is_none() && ready.tokens.is_empty() {
            finished |= ready.done.is_some();
            if args.format == PlanFormat::Text {
                output.result(&idle(&ready, args.resume))?;
            }
            let run = ready.done.as_ref().map(|last| last.run.clone());
            results.insert(place, NodeResult { run, ..ready.result("nothing-to-do", 0) });
            farewell(connector, ready).await;
        } else {
            busy.insert(place, ready);
        }
    }
    if busy.is_empty() {
        return Ok(worst);
    }
    if args.resume && !finished {
        output.say("no node was finished with this profile and site before: everything begins anew");
    }
    together::allowed(&busy, args)?;
    for ready in busy.values() {
        declared::provable(&ready.policy, &ready.tokens).await?;
    }
    ask(&busy, args.yes)?;
    run::before_changes(web_login::prove(busy.values(), secrets)).await?;
    let (alone, others): (BTreeMap<_, _>, BTreeMap<_, _>) =
        busy.into_iter().partition(|(_, ready)| !ready.plan.changes.is_empty());
    let prepared = prepare(alone, args)?;
    let of_prepared = prepared.iter().map(|(place, prepared)| (*place, &prepared.ready));
    let to_make = declared::all(of_prepared.chain(others.iter().map(|(place, ready)| (*place, ready))));
    let (partners, idle): (BTreeMap<_, _>, BTreeMap<_, _>) =
        others.into_iter().partition(|(_, ready)| ready.part.is_some());
    for ready in idle.into_values() {
        farewell(connector, ready).await;
    }
    let order = rolling::Order {
        lanes,
        serial: args.serial.map(usize::from),
        parallel: usize::from(args.nodes.parallel),
        canary: !(args.resume && finished),
    };
    let stop = run::Stop::listen();
    let work = Work { prepared, partners };
    worst = worst.max(Box::pin(rolling::carry_out_all(connector, work, &order, args, &stop, output, results)).await);
    let messages = Messages { output, results: args.format == PlanFormat::Text };
    Ok(worst.max(Box::pin(declared::make(connector, secrets, to_make, &stop, messages, results)).await))
}

/// With `--resume` the run that finished it is named.
fn idle(ready: &Ready, resume: bool) -> String {
    match &ready.done {
        Some(Last { run, .. }) if resume => format!("{}: finished before, in run {run}\n", ready.plan.node),
        _ => format!("{}: nothing to do\n", ready.plan.node),
    }
}

/// The answer is complete; how the connection ends changes nothing.
async fn farewell(connector: &Connector, ready: Ready) {
    connector.tell(&ready.plan.node, What::Finished);
    let _ = ready.node.connection.close().await;
}

/// Everything a person must decide is decided here, before any node holds a lock.
fn ask(busy: &BTreeMap<usize, Ready>, yes: bool) -> Result<()> {
    let names: Vec<&str> = busy.values().map(|ready| ready.plan.node.as_str()).collect();
    let names = names.join(", ");
    if yes {
        return Ok(());
    }
    let question = format!(
        "Should a node ever be out of reach: at its console, as root, /usr/local/sbin/pve-harden-undo takes the run back.\nApply these changes to {names}?"
    );
    run::confirm(&question, &names, Terminal::is_there())
}

/// Makes every run before the first one is sent: passwords are typed or generated here.
fn prepare(busy: BTreeMap<usize, Ready>, args: &Apply) -> Result<BTreeMap<usize, Prepared>> {
    let mut passwords = Passwords::default();
    let manual = args.confirm == Some(Confirm::Manual);
    busy.into_iter()
        .map(|(place, mut ready)| {
            let Ready { node, plan, policy, .. } = &ready;
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
            ready.sudo.clone_from(&sudo);
            Ok((place, Prepared { ready, order, filled: plan, program, login, sudo }))
        })
        .collect()
}
