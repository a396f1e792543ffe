//! PVE's API: the same calls behind `pvesh`, `pveum` and port 8006.

mod acl;
mod cluster;
pub mod error;
mod firewall;
mod groups;
mod guests;
mod node_config;
mod nodes;
mod passwords;
mod pools;
mod realms;
mod roles;
pub mod schema;
pub mod tfa;
mod tokens;
mod users;

use serde_json::{Value, json};

use crate::access;
use crate::access::permissions::Judge;
use crate::access::roles::Catalogue;
use crate::access::user_cfg::{ROOT, UserCfg};
use crate::cfs_lock::locked;
use crate::files::write_atomic;
use crate::host::Host;

pub use error::ApiError;
pub use schema::Parameters;

/// A call.
pub struct Call<'a> {
    /// The node that answers.
    pub host: &'a Host,
    /// User or token id that asks.
    pub user: &'a str,
    /// Address of the asker, from the web.
    pub remote: Option<&'a str>,
}

/// What a call gives.
pub type Answer = Result<Value, ApiError>;

impl Call<'_> {
    /// Runs `method` (GET, POST, PUT, DELETE) on a path such as `/access/users`.
    pub fn run(&self, method: &str, path: &str, mut given: Parameters) -> Answer {
        let (pattern, places) = schema::pattern(path).ok_or(ApiError::NoHandler)?;
        given.extend(places);
        self.run_pattern(method, pattern, given)
    }

    /// Runs `method` on a pattern such as `/access/users/{userid}` whose places are among the parameters.
    pub fn run_pattern(&self, method: &str, pattern: &str, mut given: Parameters) -> Answer {
        let properties = schema::properties(pattern, method, self.host.release).ok_or(ApiError::NoHandler)?;
        schema::check(&properties, &mut given, self.host.release)?;
        self.handle(method, pattern, &given)
    }

    fn handle(&self, method: &str, pattern: &str, given: &Parameters) -> Answer {
        match (method, pattern) {
            ("GET", "/version") => Ok(self.version()),
            ("GET", "/access") => Ok(json!([
                {"subdir": "users"}, {"subdir": "groups"}, {"subdir": "roles"}, {"subdir": "acl"},
                {"subdir": "domains"}, {"subdir": "openid"}, {"subdir": "tfa"}, {"subdir": "ticket"},
                {"subdir": "password"}
            ])),
            (_, path) if path.starts_with("/access/users") => users::handle(self, method, path, given),
            (_, path) if path.starts_with("/access/groups") => groups::handle(self, method, path, given),
            (_, path) if path.starts_with("/access/roles") => roles::handle(self, method, path, given),
            (_, "/access/acl" | "/access/permissions") => acl::handle(self, method, pattern, given),
            (_, "/access/domains" | "/access/domains/{realm}") => realms::handle(self, method, pattern, given),
            (_, "/access/password" | "/access/ticket") => passwords::handle(self, method, pattern, given),
            (_, path) if path.starts_with("/access/tfa") => tfa::handle(self, method, path, given),
            (_, path) if path.starts_with("/pools") => pools::handle(self, method, path, given),
            (_, path) if path.starts_with("/cluster/firewall") => firewall::cluster(self, method, path, given),
            (_, path) if path.starts_with("/cluster") => cluster::handle(self, method, path, given),
            (_, path) if path.starts_with("/nodes/{node}/qemu/") => guests::handle(self, method, path, given),
            (_, path) if path.starts_with("/nodes") => nodes::handle(self, method, path, given),
            _ => Err(ApiError::NoHandler),
        }
    }

    fn version(&self) -> Value {
        let release = self.host.release;
        json!({"release": release.short(), "repoid": release.repoid(), "version": release.version()})
    }

    /// The present configuration.
    pub fn cfg(&self) -> UserCfg {
        access::user_cfg(self.host)
    }

    /// Roles and privileges of the release.
    pub fn catalogue(&self) -> Catalogue {
        Catalogue::of(self.host.release)
    }

    /// Refuses unless the asker has a privilege on a path.
    pub fn require(&self, path: &str, privilege: &str) -> Result<(), ApiError> {
        if self.has(path, privilege) {
            return Ok(());
        }
        Err(ApiError::Permission(format!("Permission check failed ({path}, {privilege})")))
    }

    /// Whether the asker has a privilege on a path.
    pub fn has(&self, path: &str, privilege: &str) -> bool {
        if self.user == ROOT {
            return true;
        }
        let (cfg, catalogue) = (self.cfg(), self.catalogue());
        Judge { cfg: &cfg, catalogue: &catalogue }.may(self.user, path, privilege)
    }

    /// Changes `user.cfg` under the cluster's lock. `what` begins the message of a failure.
    pub fn change(
        &self,
        what: &str,
        edit: impl FnOnce(&mut UserCfg, &Catalogue) -> Result<(), ApiError>,
    ) -> Result<(), ApiError> {
        let outcome = locked(self.host, "user.cfg", || {
            let (mut cfg, catalogue) = (self.cfg(), self.catalogue());
            edit(&mut cfg, &catalogue)?;
            write_atomic(&self.host.pve("user.cfg"), cfg.written().as_bytes(), 0o640)
        });
        outcome.map_err(|error| match ApiError::from(error) {
            ApiError::Failed { code, message } => {
                ApiError::Failed { code, message: if what.is_empty() { message } else { format!("{what}: {message}") } }
            }
            other => other,
        })
    }
}

/// Rows in an order that nobody may rely on: the real programs list what lies in a hash.
fn in_any_order(mut rows: Vec<Value>) -> Value {
    let mut random = [0_u8; 1];
    if !rows.is_empty() && openssl::rand::rand_bytes(&mut random).is_ok() {
        let turn = usize::from(random[0]) % rows.len();
        rows.rotate_left(turn);
    }
    Value::Array(rows)
}

/// A text parameter; empty when it was not given.
fn text<'g>(given: &'g Parameters, name: &str) -> &'g str {
    given.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// A text parameter that was given.
fn given_text<'g>(given: &'g Parameters, name: &str) -> Option<&'g str> {
    given.get(name).and_then(Value::as_str)
}

/// A switch; none when it was not given.
fn switch(given: &Parameters, name: &str) -> Option<bool> {
    given.get(name).map(|value| value != &Value::from(0))
}

/// A number, from the web or the command line.
fn number(given: &Parameters, name: &str) -> Option<u64> {
    match given.get(name)? {
        Value::String(text) => text.parse().ok(),
        other => other.as_u64(),
    }
}
