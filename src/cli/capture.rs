//! `pve-harden capture HOST -o FILE`.

use super::args::Capture;
use super::connect::Connector;
use super::nodes::Archive;
use super::output::{Output, write_private};
use super::settings::Settings;
use crate::error::{Error, Kind, Result};
use crate::event::What;

/// Records a node.
pub async fn run(args: Capture, output: Output) -> Result<u8> {
    let Capture { host, output: file, wanted, connection } = args;
    let settings = Settings::read(&wanted, output)?;
    let policy = settings.policy(&host, &connection)?;
    let connector = Connector::new(&connection, &settings.loaded.secrets, output, false);
    let node = connector.reach(&policy).await?;
    let _ = node.connection.close().await;
    connector.tell(&policy.host.name, What::Finished);
    let mut text =
        serde_json::to_string_pretty(&Archive::new(node.capture)).map_err(|error| Error::new(Kind::Internal, error))?;
    text.push('\n');
    if file.as_os_str() == "-" {
        output.result(&text)?;
    } else {
        write_private(&file, text.as_bytes())?;
    }
    Ok(0)
}
