//! `/cluster`

use serde_json::{Map, Value, json};

use super::{Answer, ApiError, Call, Parameters};
use crate::corosync::conf::Configuration;
use crate::pmxcfs::membership;

/// Calls on the cluster.
pub fn handle(call: &Call<'_>, method: &str, path: &str, _given: &Parameters) -> Answer {
    match (method, path) {
        ("GET", "/cluster/status") => {
            call.require("/", "Sys.Audit")?;
            Ok(status(call))
        }
        ("GET", "/cluster/config/nodes") => {
            call.require("/", "Sys.Audit")?;
            Ok(members(call))
        }
        ("GET", "/cluster/config/apiversion") => Ok(json!(1)),
        ("GET", "/cluster/options") => Ok(options(call)),
        ("GET", "/cluster/resources") => Ok(resources()),
        ("GET", "/cluster/backup" | "/cluster/jobs/realm-sync" | "/cluster/log") => Ok(json!([])),
        _ => Err(ApiError::NoHandler),
    }
}

fn status(call: &Call<'_>) -> Value {
    let own = &call.host.name;
    let Some(cluster) = membership::current() else {
        let ip = call.host.address().map(|ip| ip.to_string());
        return json!([{
            "id": format!("node/{own}"), "ip": ip, "level": "", "local": 1, "name": own, "nodeid": 0,
            "online": 1, "type": "node",
        }]);
    };
    let mut rows = vec![json!({
        "id": "cluster", "name": cluster.name, "nodes": cluster.nodes.len(),
        "quorate": u8::from(cluster.quorate), "type": "cluster", "version": cluster.config_version,
    })];
    for node in cluster.nodes {
        let mut row = json!({
            "id": format!("node/{}", node.name), "level": "", "local": u8::from(node.name == *own),
            "name": node.name, "nodeid": node.id, "online": u8::from(node.online), "type": "node",
        });
        if let Some(ip) = node.ip {
            row["ip"] = json!(ip);
        }
        rows.push(row);
    }
    Value::Array(rows)
}

/// Guests, storages and pools are not played; the nodes are.
fn resources() -> Value {
    let nodes = membership::current().map(|cluster| cluster.nodes).unwrap_or_default();
    nodes
        .into_iter()
        .map(|node| {
            json!({
                "id": format!("node/{}", node.name), "node": node.name, "type": "node",
                "status": if node.online { "online" } else { "offline" },
            })
        })
        .collect()
}

fn members(call: &Call<'_>) -> Value {
    let conf = Configuration::parse(&crate::files::text(&call.host.pve("corosync.conf"))).unwrap_or_default();
    conf.nodes
        .iter()
        .map(|node| {
            let mut row = json!({
                "name": node.name, "node": node.name, "nodeid": node.id.to_string(),
                "quorum_votes": node.votes.to_string(),
            });
            for (link, address) in &node.rings {
                row[format!("ring{link}_addr")] = json!(address);
            }
            row
        })
        .collect()
}

/// datacenter.cfg: `key: value` lines, comments in front as the description.
fn options(call: &Call<'_>) -> Value {
    let mut row =
        Map::from_iter([("allowed-tags".to_owned(), json!([])), ("mac_prefix".to_owned(), json!("BC:24:11"))]);
    let mut description = String::new();
    for line in crate::files::text(&call.host.pve("datacenter.cfg")).lines() {
        if let Some(comment) = line.strip_prefix('#') {
            description.push_str(comment);
            description.push('\n');
        } else if let Some((key, value)) = line.split_once(':') {
            row.insert(key.trim().to_owned(), parts(key.trim(), value.trim()));
        }
    }
    row.insert("description".to_owned(), json!(description));
    Value::Object(row)
}

/// Settings with parts come back as an object.
fn parts(key: &str, value: &str) -> Value {
    if !matches!(key, "migration" | "u2f" | "webauthn" | "ha" | "crs" | "bwlimit" | "next-id" | "notify") {
        return json!(value);
    }
    let pairs = value.split(',').map(|part| match part.split_once('=') {
        Some((name, value)) => (name.to_owned(), json!(value)),
        None => ("type".to_owned(), json!(part)),
    });
    let mut parts: Map<String, Value> = pairs.collect();
    if key == "migration"
        && let Some(kind @ ("secure" | "insecure")) = value.split(',').next()
    {
        parts.insert("type".to_owned(), json!(kind));
    }
    Value::Object(parts)
}
