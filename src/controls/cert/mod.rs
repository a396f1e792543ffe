//! `cert.*`: the certificate of port 8006.

mod acme;
mod custom;
mod dns;
mod preflight;
mod renewal;

pub use acme::ACME;
pub use custom::CUSTOM;
pub use renewal::RENEWAL;

use jiff::Timestamp;

use crate::change::{Action, Change, Stage};
use crate::facts::Facts;
use crate::facts::gather::Request;
use crate::profile::policy::Policy;
use crate::pve::certificate::Certificate;
use crate::secret::Secret;

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

fn change(id: &str, stage: Stage, summary: &str, action: Action) -> Change {
    Change { controls: vec![id.to_owned()], stage, summary: summary.to_owned(), interrupts: None, action }
}

/// What the profile names under a key; nothing where it names nothing.
fn material<'a>(policy: &'a Policy, key: &str) -> Result<Option<&'a Secret>, String> {
    match policy.material.get(key) {
        None => Ok(None),
        Some(Ok(found)) => Ok(Some(found)),
        Some(Err(why)) => Err(why.clone()),
    }
}

/// Names for this node, in lower case: `{node}` stands for its name in the site.
fn names(policy: &Policy, names: &[String]) -> Vec<String> {
    let mut found: Vec<String> =
        names.iter().map(|name| name.replace("{node}", &policy.host.name).to_ascii_lowercase()).collect();
    found.sort();
    found.dedup();
    found
}

/// Fingerprints with or without colons, in either case.
fn same_fingerprint(a: &str, b: &str) -> bool {
    let bare =
        |text: &str| text.chars().filter(char::is_ascii_hexdigit).map(|c| c.to_ascii_lowercase()).collect::<String>();
    !bare(a).is_empty() && bare(a) == bare(b)
}
