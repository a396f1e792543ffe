//! `pve-harden apply [HOST…]`: plan, show, ask, carry out, prove, commit; one node after the other.

use super::args::{Apply, Confirm};
use super::connect::{Connector, Node, reason_given};
use super::nodes;
use super::output::Output;
use super::passwords::Passwords;
use super::run::{self, Intent};
use super::settings::Settings;
use super::terminal::Terminal;
use crate::apply::bundle;
use crate::apply::engine::Login;
use crate::error::{Kind, Result};
use crate::event::What;
use crate::plan::{self, Plan, Selection};
use crate::profile::policy::Policy;
use crate::render::{json, message, text};
use crate::report::{Command, Failure, Judged, NodeReport, Report};

/// A node that was read and planned for, its connection still open.
struct Ready {
    node: Node,
    plan: Plan,
    policy: Policy,
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
    let shown = match args.format {
        super::args::PlanFormat::Text => text::report(&report, output.stdout),
        super::args::PlanFormat::Json => json::document(&report),
    };
    output.result(&shown)?;

    let mut worst =
        report.nodes.iter().filter_map(|node| node.result.as_ref().err()).map(|failure| failure.exit_code).max();
    let (refused, willing): (Vec<Ready>, Vec<Ready>) =
        ready.into_iter().partition(|ready| !ready.plan.refusals.is_empty());
    for ready in refused {
        worst = worst.max(Some(Kind::Refused.exit_code()));
        connector.tell(&ready.plan.node, What::Finished);
        let _ = ready.node.connection.close().await;
    }
    let (idle, busy): (Vec<Ready>, Vec<Ready>) = willing.into_iter().partition(|ready| ready.plan.changes.is_empty());
    for ready in idle {
        connector.tell(&ready.plan.node, What::Finished);
        let _ = ready.node.connection.close().await;
    }
    if busy.is_empty() {
        return Ok(worst.unwrap_or(0));
    }
    ask(&busy, args.yes)?;
    let code = carry_out_all(&connector, busy, &args, output).await;
    Ok(worst.unwrap_or(0).max(code))
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
            let mut node = connector.reach(&policy).await?;
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

/// Node after node; the first that does not end as wanted stops the rest.
async fn carry_out_all(connector: &Connector, busy: Vec<Ready>, args: &Apply, output: Output) -> u8 {
    let mut worst = 0;
    let mut passwords = Passwords::default();
    for ready in busy {
        let name = ready.plan.node.clone();
        if worst != 0 {
            output.say(&format!("{name}: not begun, because a node before it did not end as wanted"));
            continue;
        }
        match carry_out(connector, &ready, args, &mut passwords).await {
            Ok(id) => {
                let line = format!(
                    "{name}: applied and confirmed, run {id}\n  to take it back: pve-harden rollback {name} {id}, or at its console /usr/local/sbin/pve-harden-undo\n"
                );
                let _ = output.result(&line);
            }
            Err(error) => {
                output.say(message::error(&error, output.stderr).trim_end());
                worst = worst.max(error.kind.exit_code());
            }
        }
        connector.tell(&name, What::Finished);
        let _ = ready.node.connection.close().await;
    }
    worst
}

async fn carry_out(connector: &Connector, ready: &Ready, args: &Apply, passwords: &mut Passwords) -> Result<String> {
    let Ready { node, plan, policy } = ready;
    let manual = args.confirm == Some(Confirm::Manual);
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
    run::drive(connector, node, policy, &program, &order, (login, sudo)).await?;
    Ok(order.meta.id)
}
