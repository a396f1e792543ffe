//! `cert.*`: the certificate of port 8006.

mod renewal;

pub use renewal::RENEWAL;

use jiff::Timestamp;

use crate::facts::Facts;
use crate::facts::gather::Request;
use crate::pve::certificate::Certificate;

/// Files of the node that every control of the family reads.
fn files() -> Vec<String> {
    ["config", "pveproxy-ssl.pem", "pve-ssl.pem"].map(|name| format!("/etc/pve/nodes/*/{name}")).into()
}

/// What every control of the family asks.
fn ask(request: &mut Request) {
    request.certificate = true;
}

/// The node's configuration; empty where there is none.
fn node_config(facts: &Facts) -> Result<String, String> {
    let node = facts.node_name.required("the node's name")?;
    let path = format!("/etc/pve/nodes/{node}/config");
    let text = facts.text(&path);
    Ok(text.certain().map_err(|why| format!("{path}: {why}"))?.cloned().unwrap_or_default())
}

/// What 8006 serves.
fn served(facts: &Facts) -> Result<&Certificate, String> {
    let served = facts.cert.served.required("the certificate that 8006 serves")?;
    served.chain.first().ok_or_else(|| "8006 sends no certificate".into())
}

/// What it should serve: the installed one where there is one, else the node's own (pve-manager
/// PVE/Service/pveproxy.pm).
fn on_disk(facts: &Facts) -> Result<Option<&Certificate>, String> {
    let installed = facts.cert.installed.certain().map_err(|why| format!("the installed certificate: {why}"))?;
    match installed {
        Some(chain) => Ok(chain.first()),
        None => Ok(facts
            .cert
            .own
            .certain()
            .map_err(|why| format!("the node's own certificate: {why}"))?
            .and_then(|chain| chain.first())),
    }
}

/// A day for people.
fn day(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(|_| "?".into(), |at| at.strftime("%Y-%m-%d").to_string())
}
