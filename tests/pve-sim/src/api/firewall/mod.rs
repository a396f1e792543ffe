//! `/cluster/firewall` and `/nodes/{node}/firewall`.

mod aliases;
mod groups;
mod options;
mod rules;
mod sets;

use serde_json::{Map, Value, json};
use sha1::{Digest as _, Sha1};

use super::{Answer, ApiError, Call, Parameters, number, text};
use crate::cfs_lock::locked;
use crate::files::write_atomic;
use crate::firewall::command::tell;
use crate::firewall::config::{Config, Scope};
use crate::firewall::macros;
use crate::firewall::node::cluster_config;
use crate::firewall::written::written;

/// Calls on the datacenter's firewall.
pub fn cluster(call: &Call<'_>, method: &str, path: &str, given: &Parameters) -> Answer {
    let below = path.strip_prefix("/cluster/firewall").unwrap_or_default();
    if method != "GET" {
        call.require("/", "Sys.Modify")?;
    } else if !matches!(below, "" | "/macros" | "/groups") {
        call.require("/", "Sys.Audit")?;
    }
    let file = File::cluster();
    match (method, below) {
        ("GET", "") => {
            let names = ["aliases", "rules", "options", "groups", "ipset", "macros", "refs"];
            Ok(names.map(|name| json!({"name": name})).to_vec().into())
        }
        (_, "/options") => options::handle(call, &file, method, path, given),
        ("GET", "/macros") => {
            Ok(super::in_any_order(macros::names().map(|name| json!({"macro": name, "descr": name})).collect()))
        }
        ("GET", "/refs") => Ok(references(call, given)),
        (_, "/rules" | "/rules/{pos}") => rules::handle(call, &file, &rules::Place::File, method, given),
        (_, "/ipset" | "/ipset/{name}" | "/ipset/{name}/{cidr}") => sets::handle(call, &file, method, below, given),
        (_, "/aliases" | "/aliases/{name}") => aliases::handle(call, &file, method, below, given),
        (_, "/groups") => groups::handle(call, &file, method, given),
        ("DELETE", "/groups/{group}") => groups::delete(call, &file, given),
        (_, "/groups/{group}" | "/groups/{group}/{pos}") => {
            let place = rules::Place::Group(text(given, "group").to_owned());
            rules::handle(call, &file, &place, method, given)
        }
        _ => Err(ApiError::NoHandler),
    }
}

/// Calls on a node's firewall.
pub fn node(call: &Call<'_>, method: &str, path: &str, given: &Parameters) -> Answer {
    let below = path.strip_prefix("/nodes/{node}/firewall").unwrap_or_default();
    let node = match text(given, "node") {
        "localhost" => call.host.name.clone(),
        name => name.to_owned(),
    };
    let privilege = match (method, below) {
        ("GET", "/log") => "Sys.Syslog",
        ("GET", _) => "Sys.Audit",
        _ => "Sys.Modify",
    };
    call.require(&format!("/nodes/{node}"), privilege)?;
    let file = File::of_node(node);
    match (method, below) {
        ("GET", "") => Ok(json!([{"name": "rules"}, {"name": "options"}, {"name": "log"}])),
        (_, "/options") => options::handle(call, &file, method, path, given),
        (_, "/rules" | "/rules/{pos}") => rules::handle(call, &file, &rules::Place::File, method, given),
        ("GET", "/log") => Ok(log(call, given)),
        _ => Err(ApiError::NoHandler),
    }
}

/// A firewall file behind the API.
struct File {
    /// None for cluster.fw.
    node: Option<String>,
}

impl File {
    const fn cluster() -> Self {
        Self { node: None }
    }

    const fn of_node(node: String) -> Self {
        Self { node: Some(node) }
    }

    fn path(&self, call: &Call<'_>) -> std::path::PathBuf {
        match &self.node {
            None => call.host.pve("firewall/cluster.fw"),
            Some(node) => call.host.pve(&format!("nodes/{node}/host.fw")),
        }
    }

    /// The datacenter's configuration and, for a node, its own. Perl's complaints go to stderr.
    fn load(&self, call: &Call<'_>) -> (Config, Option<Config>) {
        let (cluster, notices) = cluster_config(call.host);
        tell(&notices, false);
        let own = self.node.as_ref().map(|node| {
            let shown = format!("/etc/pve/nodes/{node}/host.fw");
            let (own, notices) = crate::firewall::config::load(&self.path(call), &shown, Scope::Host, Some(&cluster));
            tell(&notices, false);
            own
        });
        (cluster, own)
    }

    /// The file's own configuration.
    fn config(&self, call: &Call<'_>) -> Config {
        let (cluster, own) = self.load(call);
        own.unwrap_or(cluster)
    }

    /// Reads, edits and writes under the cluster's lock. What could not be read is gone afterwards.
    fn change(
        &self,
        call: &Call<'_>,
        edit: impl FnOnce(&mut Config, Option<&Config>) -> Result<(), ApiError>,
    ) -> Result<(), ApiError> {
        let lock =
            self.node.as_ref().map_or_else(|| "firewall-cluster".to_owned(), |node| format!("firewall-host-{node}"));
        let outcome = locked(call.host, &lock, || {
            let (mut cluster, own) = self.load(call);
            let Some(mut own) = own else {
                edit(&mut cluster, None)?;
                return self.save(call, &cluster);
            };
            edit(&mut own, Some(&cluster))?;
            self.save(call, &own)
        });
        outcome.map_err(ApiError::from)
    }

    fn save(&self, call: &Call<'_>, config: &Config) -> anyhow::Result<()> {
        let (text, notices) = written(config).map_err(ApiError::failed)?;
        tell(&notices, false);
        let path = self.path(call);
        if text.is_empty() {
            let _ = std::fs::remove_file(path);
            return Ok(());
        }
        if self.node.is_none() {
            let _ = std::fs::create_dir(call.host.pve("firewall"));
        }
        write_atomic(&path, text.as_bytes(), 0o640)
    }
}

/// SHA-1 over `name:value` lines, as PVE makes it for an object or for each entry of a list.
fn digest<'r>(rows: impl IntoIterator<Item = &'r Map<String, Value>>) -> String {
    let mut hash = Sha1::new();
    for row in rows {
        for (name, value) in row {
            match value {
                Value::String(text) => hash.update(format!("{name}:{text}\n").as_bytes()),
                Value::Number(number) => hash.update(format!("{name}:{number}\n").as_bytes()),
                _ => {}
            }
        }
    }
    format!("{:x}", hash.finalize())
}

/// A list in which every row carries the digest of all.
fn with_digest(mut rows: Vec<Map<String, Value>>) -> Value {
    let digest = digest(&rows);
    for row in &mut rows {
        row.insert("digest".to_owned(), json!(digest));
    }
    Value::Array(rows.into_iter().map(Value::Object).collect())
}

/// Refuses a change that was made against another state.
fn check_digest(given: &Parameters, rows: &[Map<String, Value>]) -> Result<(), ApiError> {
    let wanted = text(given, "digest");
    if wanted.is_empty() || wanted == digest(rows) {
        return Ok(());
    }
    Err(ApiError::failed("detected modified configuration - file changed by other user? Try again."))
}

fn row<const N: usize>(pairs: [(&str, &str); N]) -> Map<String, Value> {
    let set = pairs.into_iter().filter(|(_, value)| !value.is_empty());
    set.map(|(name, value)| (name.to_owned(), json!(value))).collect()
}

/// What `source` and `dest` may name.
fn references(call: &Call<'_>, given: &Parameters) -> Value {
    let config = File::cluster().config(call);
    let wanted = text(given, "type");
    let sets = config.ipsets.iter().filter(|_| wanted != "alias").map(|(name, set)| {
        let reference = format!("+{name}");
        row([("type", "ipset"), ("name", name), ("ref", &reference), ("scope", "dc"), ("comment", &set.comment)])
    });
    let aliases = config.aliases.iter().filter(|_| wanted != "ipset").map(|(name, alias)| {
        row([("type", "alias"), ("name", name), ("ref", name), ("scope", "dc"), ("comment", &alias.comment)])
    });
    Value::Array(sets.chain(aliases).map(Value::Object).collect())
}

/// Lines of the firewall's log.
fn log(call: &Call<'_>, given: &Parameters) -> Value {
    let Ok(bytes) = std::fs::read(call.host.path("/var/log/pve-firewall.log")) else {
        return json!([{"n": 1, "t": "unable to open file - No such file or directory"}]);
    };
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let start = usize::try_from(number(given, "start").unwrap_or(0)).unwrap_or(usize::MAX);
    let limit = usize::try_from(number(given, "limit").unwrap_or(50)).unwrap_or(usize::MAX);
    let limit = if limit == 0 { usize::MAX } else { limit };
    let lines: Vec<Value> = text
        .lines()
        .enumerate()
        .skip(start)
        .take(limit)
        .map(|(index, line)| json!({"n": index + 1, "t": line}))
        .collect();
    if text.is_empty() { json!([{"n": 1, "t": "no content"}]) } else { Value::Array(lines) }
}
