//! `/nodes`

use openssl::hash::MessageDigest;
use openssl::x509::X509;
use serde_json::{Value, json};
use sha1::{Digest as _, Sha1};

use super::node_config;
use super::{Answer, ApiError, Call, Parameters, text};
use crate::pmxcfs::membership;
use crate::tasks::{Work, fork_worker};

/// Calls on nodes.
pub fn handle(call: &Call<'_>, method: &str, path: &str, given: &Parameters) -> Answer {
    if path == "/nodes" {
        return Ok(index(call));
    }
    let node = text(given, "node");
    if node != "localhost" && node != call.host.name && !call.host.pve("nodes").join(node).is_dir() {
        return Err(ApiError::Failed {
            code: 11,
            message: format!(
                "hostname lookup '{node}' failed - failed to get address info for: {node}: Temporary failure in name resolution"
            ),
        });
    }
    match (method, path) {
        (_, path) if path.starts_with("/nodes/{node}/firewall") => super::firewall::node(call, method, path, given),
        ("GET", "/nodes/{node}/version") => Ok(call.version()),
        ("GET", "/nodes/{node}/hosts") => {
            let data = crate::files::text(&call.host.path("/etc/hosts"));
            Ok(json!({"data": data, "digest": format!("{:x}", Sha1::digest(data.as_bytes()))}))
        }
        ("GET", "/nodes/{node}/time") => {
            let now = jiff::Timestamp::now().as_second();
            Ok(json!({"localtime": now, "time": now, "timezone": "Etc/UTC"}))
        }
        ("GET", "/nodes/{node}/subscription") => Ok(json!({
            "message": "There is no subscription key", "status": "notfound",
            "url": "https://www.proxmox.com/en/proxmox-virtual-environment/pricing",
        })),
        ("GET", "/nodes/{node}/config") => Ok(node_config::read(call)),
        ("PUT", "/nodes/{node}/config") => node_config::change(call, given),
        ("GET", "/nodes/{node}/tasks") => Ok(json!([])),
        ("POST", "/nodes/{node}/services/{service}/restart") => {
            call.require(&format!("/nodes/{}", call.host.name), "Sys.Modify")?;
            let service = text(given, "service");
            let work = Work { command: &["systemctl", "restart", service], error: None };
            Ok(Value::String(fork_worker(call, "srvrestart", service, &work)?))
        }
        _ => Err(ApiError::NoHandler),
    }
}

fn index(call: &Call<'_>) -> Value {
    let members = membership::current().map_or_else(
        || vec![(call.host.name.clone(), true)],
        |cluster| cluster.nodes.into_iter().map(|node| (node.name, node.online)).collect(),
    );
    members
        .into_iter()
        .map(|(name, online)| {
            let mut row = json!({
                "id": format!("node/{name}"), "node": name, "type": "node",
                "status": if online { "online" } else { "offline" },
            });
            if let Some(print) = fingerprint(call, &name) {
                row["ssl_fingerprint"] = json!(print);
            }
            row
        })
        .collect()
}

/// SHA-256 of the certificate that a node's port 8006 shows.
fn fingerprint(call: &Call<'_>, node: &str) -> Option<String> {
    let folder = call.host.pve("nodes").join(node);
    let own = folder.join("pveproxy-ssl.pem");
    let file = if own.is_file() { own } else { folder.join("pve-ssl.pem") };
    let certificate = X509::from_pem(&std::fs::read(file).ok()?).ok()?;
    let digest = certificate.digest(MessageDigest::sha256()).ok()?;
    Some(digest.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":"))
}
