//! What a command line means here: files read, names resolved, everything judged before a node is contacted.

use std::path::{Path, PathBuf};

use super::args;
use super::output::Output;
use crate::error::{Error, Kind, Result};
use crate::plan::Selection;
use crate::profile::policy::{Host, Policy};
use crate::profile::select::Overrides;
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
    /// The release whose differences are wanted.
    pub against: Option<args::Against>,
    /// Guests' own firewalls may begin to work with the datacenter's.
    pub accept_guest_firewall: bool,
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
        let settings = Self { loaded, selection, against: None, accept_guest_firewall: false };
        settings.selection.require_enabled(&settings.loaded.policy_for(&Host::default()))?;
        Ok(settings)
    }

    /// Asks for what changes meaning with a release.
    #[must_use]
    pub const fn against(mut self, release: Option<args::Against>) -> Self {
        self.against = release;
        self
    }

    /// Narrows the command to controls of at most this level.
    pub fn up_to(mut self, level: Option<u8>) -> Result<Self> {
        self.selection = self.selection.up_to(level);
        self.selection.require_enabled(&self.loaded.policy_for(&Host::default()))?;
        Ok(self)
    }

    /// The policy of every node that is meant, in the order given, each node once.
    pub fn policies(&self, nodes: &args::Nodes, connection: &args::Connection) -> Result<Vec<Policy>> {
        let hosts = self.loaded.select(&nodes.hosts, &nodes.limit, &overrides(connection))?;
        Ok(hosts.iter().map(|host| self.loaded.policy_for(host)).collect())
    }

    /// The policy of one node.
    pub fn policy(&self, word: &str, connection: &args::Connection) -> Result<Policy> {
        let hosts = self.loaded.select(&[word.to_owned()], &[], &overrides(connection))?;
        let host = hosts.first().ok_or_else(|| Error::msg(Kind::Internal, "a named host was not selected"))?;
        Ok(self.loaded.policy_for(host))
    }
}

/// `./site.toml`, when it is there.
pub fn default_site() -> Option<PathBuf> {
    let path = Path::new(DEFAULT_SITE);
    path.exists().then(|| path.to_owned())
}

/// Options of the command line win over the site.
fn overrides(connection: &args::Connection) -> Overrides {
    let args::Connection { user, identity, port, ssh_config: _, known_hosts: _, accept_new: _ } = connection;
    Overrides { user: user.clone(), port: *port, identity: identity.clone() }
}
