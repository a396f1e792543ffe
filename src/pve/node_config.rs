//! /etc/pve/nodes/NODE/config: a description as comment lines, then `key: value` (pve-manager PVE/NodeConfig.pm).

use std::collections::BTreeMap;

/// Names of a node that a plugin proves: keys `acmedomain0` … `acmedomain5`.
pub const MAX_DNS_DOMAINS: usize = 6;

/// What a node's configuration says of ACME, as PVE's `get_acme_conf` reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acme {
    /// Account; PVE's default is `default`.
    pub account: String,
    /// Name in lower case → plugin and alias.
    pub domains: BTreeMap<String, Domain>,
}

/// How a name is proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    /// `standalone` for http-01, else the id of a DNS plugin.
    pub plugin: String,
    /// Another name whose DNS holds the proof.
    pub alias: Option<String>,
}

/// Reads what concerns ACME; an error where PVE refuses the file.
pub fn acme(text: &str) -> Result<Acme, String> {
    let mut found = Acme { account: "default".into(), domains: BTreeMap::new() };
    for (key, value) in settings(text) {
        if key == "acme" {
            for (name, value) in properties(value) {
                match name {
                    Some("account") => value.clone_into(&mut found.account),
                    Some("domains") => {
                        for domain in value.split(';').filter(|domain| !domain.is_empty()) {
                            add(&mut found, domain, Domain { plugin: "standalone".into(), alias: None })?;
                        }
                    }
                    _ => return Err(format!("acme: {value} is no setting")),
                }
            }
        } else if is_domain(key) {
            let (mut domain, mut plugin, mut alias) = (None, "standalone".to_owned(), None);
            for (name, value) in properties(value) {
                match name {
                    None | Some("domain") => domain = Some(value),
                    Some("plugin") => value.clone_into(&mut plugin),
                    Some("alias") => alias = Some(value.to_owned()),
                    Some(_) => return Err(format!("{key}: {value} is no setting")),
                }
            }
            let domain = domain.ok_or_else(|| format!("{key} names no domain"))?;
            add(&mut found, domain, Domain { plugin, alias })?;
        }
    }
    Ok(found)
}

/// The file with what it says of ACME replaced, every other line as it is. PVE writes its keys sorted below the
/// description; so do we, among each other.
pub fn with_acme(text: &str, acme: &Acme) -> String {
    let mut lines: Vec<String> = text
        .lines()
        .filter(|line| key(line).is_none_or(|key| key != "acme" && !is_domain(key)))
        .map(str::to_owned)
        .collect();
    let standalone: Vec<&str> = acme
        .domains
        .iter()
        .filter(|(_, domain)| domain.plugin == "standalone")
        .map(|(name, _)| name.as_str())
        .collect();
    let mut added = Vec::new();
    let domains = if standalone.is_empty() { String::new() } else { format!(",domains={}", standalone.join(";")) };
    added.push(format!("acme: account={}{domains}", acme.account));
    let by_plugin = acme.domains.iter().filter(|(_, domain)| domain.plugin != "standalone");
    for (index, (name, domain)) in by_plugin.enumerate() {
        let alias = domain.alias.as_ref().map(|alias| format!(",alias={alias}")).unwrap_or_default();
        added.push(format!("acmedomain{index}: {name}{alias},plugin={}", domain.plugin));
    }
    let at = lines.iter().position(|line| key(line).is_some_and(|key| key > "acme")).unwrap_or(lines.len());
    lines.splice(at..at, added);
    let mut text = lines.join("\n");
    text.push('\n');
    text
}

fn add(acme: &mut Acme, name: &str, domain: Domain) -> Result<(), String> {
    let name = name.to_ascii_lowercase();
    if acme.domains.insert(name.clone(), domain).is_some() {
        return Err(format!("the domain {name} stands there twice"));
    }
    Ok(())
}

fn settings(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter_map(|line| Some((key(line)?, line.split_once(':')?.1.trim())))
}

fn key(line: &str) -> Option<&str> {
    if line.starts_with('#') { None } else { line.split_once(':').map(|(key, _)| key.trim()) }
}

fn is_domain(key: &str) -> bool {
    let number = key.strip_prefix("acmedomain").and_then(|number| number.parse::<usize>().ok());
    number.is_some_and(|number| number < MAX_DNS_DOMAINS)
}

/// `name=value,value`: the parts of a property string.
fn properties(value: &str) -> impl Iterator<Item = (Option<&str>, &str)> {
    value.split(',').map(str::trim).filter(|part| !part.is_empty()).map(|part| match part.split_once('=') {
        Some((name, value)) => (Some(name), value),
        None => (None, part),
    })
}

/// Whether PVE takes a name for a domain: labels of letters, digits, `_` and `-`, two or more.
pub fn is_domain_name(name: &str) -> bool {
    let label = |label: &str| {
        label.starts_with(|c: char| c.is_ascii_alphanumeric())
            && label.len() < 64
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    name.len() < 254 && name.contains('.') && name.split('.').all(label)
}

/// Whether PVE takes a word for the id of an account or plugin (`pve-configid`).
pub fn is_config_id(id: &str) -> bool {
    id.len() > 1
        && id.starts_with(|c: char| c.is_ascii_alphabetic())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn both_ways_of_naming_domains_are_read() {
        let text = "#notes: acme: no\nacme: domains=A.example.com;b.example.com,account=prod\n\
                    acmedomain0: c.example.com,plugin=cf,alias=x.example.net\nacmedomain1: domain=d.example.com\nwakeonlan: 00:11\n";
        let found = acme(text).unwrap();
        assert_eq!(found.account, "prod");
        let names: Vec<&str> = found.domains.keys().map(String::as_str).collect();
        assert_eq!(names, ["a.example.com", "b.example.com", "c.example.com", "d.example.com"]);
        assert_eq!(found.domains["c.example.com"], Domain { plugin: "cf".into(), alias: Some("x.example.net".into()) });
        assert_eq!(acme("").unwrap(), Acme { account: "default".into(), domains: BTreeMap::new() });
        assert!(acme("acme: domains=a.b;A.b\n").is_err());
        assert!(acme("acmedomain0: plugin=cf\n").is_err());
    }

    #[test]
    fn other_lines_stay() {
        let text = "#hardened\nacmedomain3: old.example.com\nstartall-onboot-delay: 5\n";
        let mut wanted = Acme { account: "default".into(), domains: BTreeMap::new() };
        for name in ["pve1.example.com", "a.example.com"] {
            wanted.domains.insert(name.into(), Domain { plugin: "standalone".into(), alias: None });
        }
        wanted.domains.insert("z.example.com".into(), Domain { plugin: "cf".into(), alias: None });
        let after = with_acme(text, &wanted);
        assert_eq!(
            after,
            "#hardened\nacme: account=default,domains=a.example.com;pve1.example.com\n\
             acmedomain0: z.example.com,plugin=cf\nstartall-onboot-delay: 5\n"
        );
        assert_eq!(acme(&after).unwrap(), wanted);
        assert_eq!(with_acme(&after, &wanted), after);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "((acme|acmedomain[0-9]|#|x)[: =,;a-z.]{0,16}\n){0,5}") {
            if let Ok(found) = acme(&text) {
                prop_assert_eq!(acme(&with_acme(&text, &found)).map(|again| again.account), Ok(found.account));
            }
        }
    }
}
