//! What a command line means here: files read, names resolved, everything judged before a node is contacted.

use std::path::{Path, PathBuf};

use super::args;
use super::output::Output;
use crate::error::{Error, Kind, Result};
use crate::plan::Selection;
use crate::profile::policy::{Host, Policy, Site};
use crate::profile::{self, Loaded};

/// The site file that is used when none is named.
pub const DEFAULT_SITE: &str = "site.toml";

/// Profile, site and selection, read and judged.
#[derive(Debug)]
pub struct Settings {
    /// Profile and site.
    pub loaded: Loaded,
    /// The controls this command is about.
    pub selection: Selection,
}

impl Settings {
    /// Reads the files a command names; prints their warnings.
    pub fn read(wanted: &args::Wanted, output: Output) -> Result<Self> {
        let selection = Selection::parse(&wanted.control)?;
        let site = wanted.site.clone().or_else(default_site);
        let loaded = profile::load(&wanted.profile, site.as_deref())
            .map_err(|found| Error::from(found).state("nothing was contacted"))?;
        if !loaded.warnings.is_empty() {
            output.say(&loaded.warnings.render(output.stderr.is_on()));
        }
        let settings = Self { loaded, selection };
        settings.selection.require_enabled(&settings.loaded.policy_for(&Host::default()))?;
        Ok(settings)
    }

    /// The policy of every node that is meant, in the order given, each node once.
    pub fn policies(&self, nodes: &args::Nodes, connection: &args::Connection) -> Result<Vec<Policy>> {
        let mut hosts: Vec<Host> = Vec::new();
        for host in self.hosts(nodes)? {
            let host = with_options(host, connection);
            if !hosts.iter().any(|other| other.name == host.name && other.user == host.user) {
                hosts.push(host);
            }
        }
        Ok(hosts.iter().map(|host| self.loaded.policy_for(host)).collect())
    }

    /// The policy of one node.
    pub fn policy(&self, word: &str, connection: &args::Connection) -> Result<Policy> {
        let host = with_options(resolve(word, &self.loaded.site)?, connection);
        Ok(self.loaded.policy_for(&host))
    }

    fn hosts(&self, nodes: &args::Nodes) -> Result<Vec<Host>> {
        let site = &self.loaded.site;
        if !nodes.hosts.is_empty() {
            return nodes.hosts.iter().map(|word| resolve(word, site)).collect();
        }
        for group in &nodes.limit {
            if !site.hosts.iter().any(|host| host.groups.contains(group)) {
                return Err(Error::msg(Kind::Usage, format!("no node of the site is in group `{group}`"))
                    .hint("groups are set per [[host]] in the site file"));
            }
        }
        let meant =
            |host: &&Host| nodes.limit.is_empty() || host.groups.iter().any(|group| nodes.limit.contains(group));
        let hosts: Vec<Host> = site.hosts.iter().filter(meant).cloned().collect();
        if hosts.is_empty() {
            return Err(Error::msg(Kind::Usage, "no HOST is given and the site names none")
                .hint("name a node (`[user@]address`), or list your nodes in a site file: `pve-harden init`"));
        }
        Ok(hosts)
    }
}

/// `./site.toml`, when it is there.
pub fn default_site() -> Option<PathBuf> {
    let path = Path::new(DEFAULT_SITE);
    path.exists().then(|| path.to_owned())
}

/// `[user@]name-or-address`; a node of the site is known by either.
fn resolve(word: &str, site: &Site) -> Result<Host> {
    let (user, place) = match word.split_once('@') {
        Some((user, place)) => (Some(user), place),
        None => (None, word),
    };
    if place.is_empty() || place.starts_with('-') || user.is_some_and(|user| user.is_empty() || user.starts_with('-')) {
        return Err(Error::msg(Kind::Usage, format!("`{word}` is not a HOST"))
            .hint("write `[user@]address` or a name from the site"));
    }
    let known = site.hosts.iter().find(|host| host.name == place || host.address == place).cloned();
    let mut host =
        known.unwrap_or_else(|| Host { name: place.to_owned(), address: place.to_owned(), ..Host::default() });
    if let Some(user) = user {
        host.user = Some(user.to_owned());
    }
    Ok(host)
}

/// Options of the command line win over the site.
fn with_options(mut host: Host, connection: &args::Connection) -> Host {
    let args::Connection { user, identity, port, ssh_config: _, known_hosts: _, accept_new: _ } = connection;
    host.user = user.clone().or(host.user);
    host.identity = identity.clone().or(host.identity);
    host.port = port.or(host.port);
    host
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site() -> Site {
        let host = Host {
            name: "pve1".into(),
            address: "192.0.2.11".into(),
            user: Some("ops".into()),
            port: Some(2222),
            ..Host::default()
        };
        Site { hosts: vec![host], ..Site::default() }
    }

    #[test]
    fn a_node_of_the_site_is_found_by_name_and_by_address() {
        for word in ["pve1", "192.0.2.11"] {
            let host = resolve(word, &site()).unwrap();
            assert_eq!((host.name.as_str(), host.port, host.user.as_deref()), ("pve1", Some(2222), Some("ops")));
        }
        assert_eq!(resolve("root@pve1", &site()).unwrap().user.as_deref(), Some("root"));
    }

    #[test]
    fn anything_else_is_taken_as_an_address() {
        let host = resolve("root@2001:db8::1", &site()).unwrap();
        assert_eq!((host.address.as_str(), host.user.as_deref()), ("2001:db8::1", Some("root")));
    }

    #[test]
    fn words_that_could_become_options_are_refused() {
        for word in ["-oProxyCommand=x", "root@-x", "@pve1", "root@", "-x@pve1"] {
            assert_eq!(resolve(word, &site()).unwrap_err().kind, Kind::Usage, "{word}");
        }
    }

    #[test]
    fn the_command_line_wins_over_the_site() {
        let connection = args::Connection { user: Some("root".into()), port: Some(22), ..args::Connection::default() };
        let host = with_options(resolve("pve1", &site()).unwrap(), &connection);
        assert_eq!((host.user.as_deref(), host.port), (Some("root"), Some(22)));
    }
}
