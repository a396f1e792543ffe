//! Which nodes a command is about: names of the site, groups, and addresses typed on the command line.

use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;

use super::disk;
use super::load::Loaded;
use super::names;
use super::policy::{Host, Site};
use super::shape::nearest;
use super::source::printable;
use crate::error::{Error, Kind, Result};

/// `--user`, `--port`, `--identity`: they win over the site.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Login name.
    pub user: Option<String>,
    /// Port.
    pub port: Option<u16>,
    /// Private key file.
    pub identity: Option<PathBuf>,
}

/// A HOST argument: `[user@]address`, with `:port` after a name, an IPv4 address or a bracketed IPv6 address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Login name.
    pub user: Option<String>,
    /// Name of the site, address or ssh alias.
    pub address: String,
    /// Port.
    pub port: Option<u16>,
}

impl Target {
    /// Reads one argument.
    pub fn parse(text: &str) -> Result<Self> {
        let refuse =
            |why: String| Error::msg(Kind::Usage, format!("host `{}`: {why}", printable(text))).hint(HOST_HINT);
        let (user, rest) = text.rsplit_once('@').map_or((None, text), |(user, rest)| (Some(user), rest));
        if let Some(why) = user.and_then(names::ssh_user_problem) {
            return Err(refuse(why));
        }
        let (address, port) =
            split_port(rest).ok_or_else(|| refuse("the port is not a number from 1 to 65535".into()))?;
        match names::address_problem(address) {
            Some(why) => Err(refuse(why)),
            None => Ok(Self { user: user.map(str::to_owned), address: address.to_owned(), port }),
        }
    }
}

const HOST_HINT: &str =
    "a HOST is a name of the site, or [user@]address, e.g. root@192.0.2.10 or root@[2001:db8::10]:22";

/// `None` when there is a port that is none.
fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    let number = |port: &str| port.parse::<u16>().ok().filter(|p| *p > 0);
    if let Some((address, after)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let v6 = address.split('%').next().is_some_and(|ip| ip.parse::<Ipv6Addr>().is_ok());
        return match after.strip_prefix(':') {
            Some(port) if v6 => Some((address, Some(number(port)?))),
            None if after.is_empty() && v6 => Some((address, None)),
            _ => Some((text, None)),
        };
    }
    match text.split_once(':') {
        Some((name, port)) if !port.contains(':') => Some((name, Some(number(port)?))),
        _ => Some((text, None)),
    }
}

impl Loaded {
    /// The nodes named by `hosts` (all of the site when there are none), limited to `limits`: groups or names.
    pub fn select(&self, hosts: &[String], limits: &[String], overrides: &Overrides) -> Result<Vec<Host>> {
        let mut chosen: Vec<Host> = Vec::new();
        if hosts.is_empty() {
            chosen.clone_from(&self.site.hosts);
        }
        for text in hosts {
            let host = resolve(&self.site, &Target::parse(text)?);
            if !chosen.iter().any(|c| c.name == host.name && c.address == host.address && c.port == host.port) {
                chosen.push(host);
            }
        }
        limit(&self.site, &mut chosen, limits)?;
        if chosen.is_empty() {
            let error = Error::msg(Kind::Usage, "no HOST is given and the site names none");
            return Err(
                error.hint("name a node (`[user@]address`), or list your nodes in a site file: `pve-harden init`")
            );
        }
        for host in &mut chosen {
            override_with(host, overrides)?;
        }
        Ok(chosen)
    }
}

fn resolve(site: &Site, target: &Target) -> Host {
    let by_name = site.hosts.iter().find(|h| h.name == target.address);
    let same_port = |h: &&Host| target.port.is_none() || h.port.unwrap_or(22) == target.port.unwrap_or(22);
    let by_address = || site.hosts.iter().filter(same_port).find(|h| same_address(&h.address, &target.address));
    let mut host = by_name.or_else(by_address).cloned().unwrap_or_else(|| Host {
        name: target.address.clone(),
        address: target.address.clone(),
        ..Host::default()
    });
    host.user = target.user.clone().or(host.user);
    host.port = target.port.or(host.port);
    host
}

/// Addresses are compared by value, names without regard to case.
fn same_address(a: &str, b: &str) -> bool {
    match (a.parse::<IpAddr>(), b.parse::<IpAddr>()) {
        (Ok(a), Ok(b)) => a == b,
        _ => a.eq_ignore_ascii_case(b),
    }
}

fn limit(site: &Site, chosen: &mut Vec<Host>, limits: &[String]) -> Result<()> {
    for word in limits {
        let words = || site.hosts.iter().flat_map(|h| h.groups.iter().chain([&h.name]));
        if !words().any(|w| w == word) {
            let error =
                Error::msg(Kind::Usage, format!("no host or group of the site is called `{}`", printable(word)));
            return Err(match nearest(word, words().map(String::as_str)) {
                Some(near) => error.hint(format!("did you mean `{near}`?")),
                None => error.hint("groups are set per [[host]] in the site file"),
            });
        }
    }
    if !limits.is_empty() {
        chosen.retain(|host| limits.iter().any(|word| host.name == *word || host.groups.contains(word)));
    }
    Ok(())
}

fn override_with(host: &mut Host, overrides: &Overrides) -> Result<()> {
    if let Some(user) = &overrides.user {
        if let Some(why) = names::ssh_user_problem(user) {
            return Err(Error::msg(Kind::Usage, format!("--user `{}`: {why}", printable(user))).hint(HOST_HINT));
        }
        host.user = Some(user.clone());
    }
    host.port = overrides.port.or(host.port);
    host.identity = overrides.identity.clone().or_else(|| host.identity.take());
    let Some(identity) = &host.identity else { return Ok(()) };
    let Some((why, hint)) = disk::identity_problem(identity) else { return Ok(()) };
    let shown = printable(&identity.to_string_lossy());
    Err(Error::msg(Kind::Usage, format!("the identity {shown} {why}")).untouched(&host.name).hint(hint))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::load;

    fn target(user: Option<&str>, address: &str, port: Option<u16>) -> Target {
        Target { user: user.map(str::to_owned), address: address.to_owned(), port }
    }

    fn loaded() -> Loaded {
        let mut loaded = load(&[], None).unwrap();
        let host = |name: &str, address: &str, groups: &[&str]| Host {
            name: name.into(),
            address: address.into(),
            groups: groups.iter().map(|g| (*g).to_owned()).collect(),
            ..Host::default()
        };
        loaded.site.hosts = vec![
            host("pve1", "192.0.2.1", &["prod"]),
            host("pve2", "2001:db8::2", &["prod", "edge"]),
            host("pve3", "pve3.example.org", &[]),
        ];
        loaded
    }

    #[test]
    fn arguments_are_read_as_ssh_would() {
        let cases = [
            ("pve1", target(None, "pve1", None)),
            ("root@pve1", target(Some("root"), "pve1", None)),
            ("root@192.0.2.1:2222", target(Some("root"), "192.0.2.1", Some(2222))),
            ("2001:db8::1", target(None, "2001:db8::1", None)),
            ("root@2001:db8::1", target(Some("root"), "2001:db8::1", None)),
            ("[2001:db8::1]", target(None, "2001:db8::1", None)),
            ("a@[2001:db8::1]:22", target(Some("a"), "2001:db8::1", Some(22))),
            ("[fe80::1%eth0]:22", target(None, "fe80::1%eth0", Some(22))),
        ];
        for (text, expected) in cases {
            assert_eq!(Target::parse(text).unwrap(), expected, "{text}");
        }
        for text in
            ["", "-oProxyCommand=x", "root@", "@pve1", "a:0", "a:x", "a:99999", "[::1]x", "[pve1]", "a b", "ro ot@a"]
        {
            let error = Target::parse(text).unwrap_err();
            assert_eq!(error.kind, Kind::Usage, "{text}");
        }
    }

    #[test]
    fn the_site_knows_its_hosts_by_name_and_address() {
        let loaded = loaded();
        let names = |hosts: &[&str], limits: &[&str]| {
            let own = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
            let chosen = loaded.select(&own(hosts), &own(limits), &Overrides::default()).unwrap();
            chosen.into_iter().map(|h| h.name).collect::<Vec<_>>()
        };
        assert_eq!(names(&[], &[]), ["pve1", "pve2", "pve3"]);
        assert_eq!(names(&["192.0.2.1", "pve1"], &[]), ["pve1"], "one node once");
        assert_eq!(names(&["2001:db8:0::2"], &[]), ["pve2"], "compared by value");
        assert_eq!(names(&["PVE3.example.org", "192.0.2.9"], &[]), ["pve3", "192.0.2.9"]);
        assert_eq!(names(&[], &["prod"]), ["pve1", "pve2"]);
        assert_eq!(names(&[], &["edge", "pve3"]), ["pve2", "pve3"]);
    }

    #[test]
    fn what_is_typed_wins() {
        let loaded = loaded();
        let overrides = Overrides { user: Some("ops".into()), port: Some(2222), identity: None };
        let host = loaded.select(&["root@pve1".into()], &[], &overrides).unwrap().remove(0);
        assert_eq!((host.user.as_deref(), host.port), (Some("ops"), Some(2222)));
    }

    #[test]
    fn slips_are_named() {
        let loaded = loaded();
        let error = loaded.select(&[], &["prd".into()], &Overrides::default()).unwrap_err();
        assert_eq!(error.hint_text(), "did you mean `prod`?");
        let overrides = Overrides { identity: Some("/nonexistent/key".into()), ..Overrides::default() };
        let error = loaded.select(&["pve1".into()], &[], &overrides).unwrap_err();
        assert_eq!(error.to_string(), "nothing was changed on pve1: the identity /nonexistent/key does not exist");
        let empty = load(&[], None).unwrap().select(&[], &[], &Overrides::default()).unwrap_err();
        assert!(empty.hint_text().contains("pve-harden init"));
    }
}
