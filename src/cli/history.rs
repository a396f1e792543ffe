//! `pve-harden history HOST`: the runs a node remembers.

use super::args::{History, PlanFormat};
use super::connect::Connector;
use super::output::Output;
use super::settings::Settings;
use crate::apply::history::{self, Record};
use crate::error::{Error, Kind, Result};
use crate::event::What;
use crate::render::history as view;
use crate::transport::{Connection, Limits};

/// Lists the runs, oldest first; changes nothing.
pub async fn run(args: History, output: Output) -> Result<u8> {
    let settings = Settings::read(&args.wanted, output)?;
    let policy = settings.policy(&args.host, &args.connection)?;
    let connector = Connector::new(&args.connection, &settings.loaded.secrets, output, false);
    let node = &policy.host.name;
    let held = connector.held(&policy).await;
    connector.tell(node, What::Connecting);
    let connection = connector.open(&policy, &held).await.map_err(|error| error.untouched(node))?;
    let (records, events) = all(&connection).await.map_err(|error| error.untouched(node))?;
    let _ = connection.close().await;
    connector.tell(node, What::Finished);
    let text = match args.format {
        PlanFormat::Text => view::text(node, &records, &events, output.stdout),
        PlanFormat::Json => view::json(node, &records, &events),
    };
    output.result(&text)?;
    Ok(0)
}

/// The node's runs, read over an open connection.
pub async fn records(connection: &Connection) -> Result<Vec<Record>> {
    all(connection).await.map(|(records, _)| records)
}

/// The runs, and what was done outside of them.
async fn all(connection: &Connection) -> Result<(Vec<Record>, Vec<String>)> {
    let frames = connection.run(&history::program(), Limits::default()).await.map_err(Error::from)?;
    if frames.iter().any(|frame| frame.name == "run" && frame.status != 0) {
        return Err(Error::msg(Kind::Unreadable, "the folder of runs cannot be read"));
    }
    Ok((history::parse(&frames), history::events(&frames)))
}
