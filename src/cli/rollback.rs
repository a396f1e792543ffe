//! `pve-harden rollback HOST [RUN]`: takes committed runs back, newest first, inside a commit window of its own.

use super::args::Rollback;
use super::committed::Committed;
use super::connect::{Connector, reason_given};
use super::output::Output;
use super::run::{self, Intent};
use super::settings::Settings;
use super::terminal::Terminal;
use crate::apply::bundle;
use crate::apply::engine::Login;
use crate::apply::history;
use crate::error::{Error, Kind, Result};
use crate::event::What;
use crate::render::history as view;

/// Shows what would come back, asks, and does it.
pub async fn run(args: Rollback, output: Output) -> Result<u8> {
    let settings = Settings::read(&args.wanted, output)?;
    let policy = settings.policy(&args.host, &args.connection)?;
    reason_given(&policy, args.reason.as_deref())?;
    let connector = Connector::new(&args.connection, &settings.loaded.secrets, output, true);
    let name = policy.host.name.clone();
    let node = Box::pin(run::before_changes(connector.reach(&policy))).await?;
    let records = super::history::records(&node.connection).await.map_err(|error| error.untouched(&name))?;
    let chosen = history::choose(&records, args.run.as_deref()).map_err(|why| {
        Error::msg(Kind::Refused, why).untouched(&name).hint(format!("see `pve-harden history {name}`"))
    })?;
    output.result(&view::rollback(&name, &chosen, output.stdout))?;
    let changed: Vec<&str> = chosen.runs.iter().flat_map(|run| run.changed.iter().map(String::as_str)).collect();
    if !changed.is_empty() && !args.force {
        return Err(Error::msg(Kind::Refused, format!("changed since the run: {}", changed.join(", ")))
            .untouched(&name)
            .hint("look at these files; with --force they become what they were before the run"));
    }
    if !args.yes {
        run::confirm(&format!("Take this back on {name}?"), &name, Terminal::is_there())?;
    }
    let intent = Intent {
        verb: "rollback",
        reason: args.reason.clone(),
        manual: false,
        commit_window: args.commit_window,
        changes: chosen.steps.iter().map(|(run, number)| format!("take back step {number} of run {run}")).collect(),
        seal: String::new(),
        undoes: chosen.runs.iter().map(|run| run.id.clone()).collect(),
    };
    let order = run::order(&policy, &node.facts, node.connection.user(), &intent)?;
    let program = bundle::rollback_program(&order, &chosen.steps, args.force)?;
    let (stop, before) = (run::Stop::listen(), Committed::default());
    let way = run::Way { stages: &[], login: Login::Anybody, sudo: None, web: true, stop: &stop, before: &before };
    let result = run::drive(&connector, &node, &policy, &program, &order, way).await;
    connector.tell(&name, What::Finished);
    let _ = node.connection.close().await;
    result?;
    output.result(&format!("{name}: rolled back and confirmed, run {}\n", order.meta.id))?;
    Ok(0)
}
