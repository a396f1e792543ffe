//! The node itself: session, clock, release, addresses, packages, units, sockets.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use jiff::Timestamp;

use super::sections::{Sections, shown};
use super::{FileFact, Listener, Package, PveRelease, Reading, Session, Unit};
use crate::pve;

pub(super) fn session(sections: Sections<'_>) -> Reading<Session> {
    sections.parse("session", |text| {
        let values: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once('=')).collect();
        if values.get("uid") != Some(&"0") {
            return Err("the node was not read as root".into());
        }
        let user = values.get("user").filter(|user| !user.is_empty()).ok_or("no login name")?;
        let connection: Vec<&str> = values.get("connection").map_or_else(Vec::new, |c| c.split_whitespace().collect());
        let address = |index: usize| connection.get(index).and_then(|word| address(word));
        Ok(Session {
            user: (*user).to_owned(),
            through_sudo: values.get("sudo") == Some(&"yes"),
            operator: address(0),
            server: address(2),
            server_port: connection.get(3).and_then(|port| port.parse().ok()),
        })
    })
}

/// An address without its zone (`fe80::1%eth0`); an IPv4 address mapped into IPv6 is an IPv4 address.
pub(super) fn address(word: &str) -> Option<IpAddr> {
    let word = word.split('%').next().unwrap_or(word);
    word.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

pub(super) fn taken(sections: Sections<'_>) -> Reading<Timestamp> {
    sections.parse("date", |text| {
        let seconds = text.trim().parse().map_err(|_| format!("no time: {}", shown(text)))?;
        Timestamp::from_second(seconds).map_err(|error| error.to_string())
    })
}

/// The node name as PVE takes it: `uname -n` up to the first dot (`PVE::INotify::nodename`).
pub(super) fn node_name(sections: Sections<'_>) -> Reading<String> {
    sections.parse("hostname", |text| {
        let name = text.trim().split('.').next().unwrap_or_default();
        let valid = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        valid.then(|| name.to_owned()).ok_or_else(|| format!("no host name: {}", shown(text)))
    })
}

/// Whether the last mount on /etc/pve is a FUSE file system.
pub(super) fn pmxcfs_mounted(sections: Sections<'_>) -> Reading<bool> {
    match sections.0.sections.get("mounts") {
        None => Reading::NotAsked,
        // grep found no line.
        Some(section) if section.status == 1 => Reading::Known(false),
        Some(_) => sections.text("mounts").map(|text| {
            let last = text.lines().filter_map(|line| line.split(' ').nth(2)).next_back();
            last.is_some_and(|kind| kind == "fuse" || kind.starts_with("fuse."))
        }),
    }
}

/// The package pve-manager tells the release, os-release tells Debian's.
pub(super) fn release(
    packages: &Reading<BTreeMap<String, Package>>,
    files: &BTreeMap<String, Reading<FileFact>>,
) -> Reading<PveRelease> {
    let package = match packages {
        Reading::Known(packages) => packages.get("pve-manager").filter(|package| package.installed),
        Reading::Unreadable(why) => return Reading::Unreadable(why.clone()),
        Reading::Absent => None,
        Reading::NotAsked => return Reading::NotAsked,
    };
    let Some(package) = package else { return Reading::Absent };
    let Some((major, minor, text)) = pve::version::release(&package.version) else {
        return Reading::Unreadable(format!("pve-manager: no release: {}", shown(&package.version)));
    };
    let os_release = super::text_of(files, "/usr/lib/os-release");
    let os_release = if os_release.known().is_some() { os_release } else { super::text_of(files, "/etc/os-release") };
    match os_release.required("/etc/os-release").map(|text| debian(text)) {
        Ok(Some(debian)) => Reading::Known(PveRelease { major, minor, text, debian }),
        Ok(None) => Reading::Unreadable("/etc/os-release: no VERSION_ID".into()),
        Err(why) => Reading::Unreadable(why),
    }
}

fn debian(os_release: &str) -> Option<u32> {
    let value = os_release.lines().find_map(|line| line.strip_prefix("VERSION_ID="))?;
    value.trim().trim_matches(['"', '\'']).split('.').next()?.parse().ok()
}

/// `ip -o addr show`.
pub(super) fn addresses(sections: Sections<'_>) -> Reading<Vec<IpNet>> {
    sections.parse("addresses", |text| {
        let mut found = Vec::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            let mut words = line.split_whitespace();
            let Some(word) = words.by_ref().find(|word| matches!(*word, "inet" | "inet6")).and_then(|_| words.next())
            else {
                continue;
            };
            // A point-to-point address is printed without a length.
            let net = word.parse().ok().or_else(|| address(word).map(IpNet::from));
            found.push(net.ok_or_else(|| format!("no address: {}", shown(line)))?);
        }
        Ok(found)
    })
}

/// `dpkg-query -W`; of one package in two architectures the installed one counts.
pub(super) fn packages(sections: Sections<'_>) -> Reading<BTreeMap<String, Package>> {
    sections.parse("packages", |text| {
        let mut packages: BTreeMap<String, Package> = BTreeMap::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            let fields: Vec<&str> = line.split('\t').collect();
            let &[name, version, state] = fields.as_slice() else {
                return Err(format!("no package: {}", shown(line)));
            };
            let installed = state.as_bytes().get(1) == Some(&b'i');
            let package =
                packages.entry(name.to_owned()).or_insert_with(|| Package { version: String::new(), installed: false });
            if installed || !package.installed {
                *package = Package { version: version.to_owned(), installed };
            }
        }
        Ok(packages)
    })
}

/// `asked UNIT` lines, then a block of `systemctl show` per unit in the same order.
pub(super) fn units(sections: Sections<'_>) -> Reading<BTreeMap<String, Unit>> {
    sections.parse("units", |text| {
        let mut lines = text.lines().peekable();
        let mut asked = Vec::new();
        while let Some(name) = lines.peek().and_then(|line| line.strip_prefix("asked ")) {
            asked.push(name);
            lines.next();
        }
        let rest: Vec<&str> = lines.collect();
        let blocks: Vec<&[&str]> = rest.split(|line| line.is_empty()).filter(|block| !block.is_empty()).collect();
        if blocks.len() != asked.len() {
            return Err(format!("{} units asked, {} answered", asked.len(), blocks.len()));
        }
        Ok(asked.into_iter().zip(blocks).map(|(name, block)| (name.to_owned(), unit(block))).collect())
    })
}

fn unit(block: &[&str]) -> Unit {
    let value = |key: &str| {
        let found = block.iter().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        found.unwrap_or_default().to_owned()
    };
    Unit { load: value("LoadState"), active: value("ActiveState"), file_state: value("UnitFileState") }
}

/// `ss -tulpnH`.
pub(super) fn listeners(sections: Sections<'_>) -> Reading<Vec<Listener>> {
    sections.parse("listeners", |text| {
        text.lines()
            .filter(|line| !line.trim().is_empty())
            .map(|line| listener(line).ok_or_else(|| format!("no socket: {}", shown(line))))
            .collect()
    })
}

fn listener(line: &str) -> Option<Listener> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (host, port) = words.get(4)?.rsplit_once(':')?;
    let process = line.split_once("users:((\"").and_then(|(_, rest)| rest.split('"').next());
    let (host, interface) = match host.split_once('%') {
        Some((host, interface)) => (format!("{host}{}", if host.starts_with('[') { "]" } else { "" }), {
            Some(interface.trim_end_matches(']').to_owned())
        }),
        None => (host.to_owned(), None),
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    // `*` is a socket that takes both families.
    let address = if bare == "*" { "::".parse().ok()? } else { bare.parse().ok()? };
    Some(Listener {
        protocol: (*words.first()?).to_owned(),
        address,
        interface,
        port: port.parse().ok()?,
        process: process.map(str::to_owned),
    })
}
