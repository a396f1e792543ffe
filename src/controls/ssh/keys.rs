//! `ssh.keys`: what stands in the `authorized_keys` of people. Reported, never taken away: it may be the only key of
//! somebody whom nobody asked.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr as _;

use jiff::civil::Date;
use ssh_key::HashAlg;
use ssh_key::authorized_keys::Entry;

use crate::controls::conf::wanted;
use crate::controls::{Control, Evidence, Meta, Reference, Severity, Verdict};
use crate::facts::gather::Request;
use crate::facts::{AuthorizedKeys, Facts, Reading};
use crate::profile::keys::weakness;
use crate::profile::policy::Policy;

/// The control.
pub const KEYS: Keys = Keys;

/// `ssh.keys`.
pub struct Keys;

const META: Meta = Meta {
    id: "ssh.keys",
    title: "Each person's SSH keys are strong, their own, there once, and not too old",
    why: "A key lets in for as long as its line is there, whoever holds it by now. A key of two people says of no login \
          whose it was; one that is in a file twice is still there after it was taken away; RSA below 3072 bits and DSA \
          can be had by somebody who never saw the private half.",
    checked: "Every key line that sshd would read for root and for every account with a uid of 1000 to 59999, whatever \
              its shell. Keys of root with the comment root@NODE are the cluster's own and left out. The age is \
              known from a date (YYYY-MM-DD) in the comment, or is at least that of the file's last change; else it \
              is unknown, which is said and is no finding.",
    naive: "`ssh-keygen -l` of one's own file shows neither other people's files nor that two of them hold the same key. \
            Deleting old lines locks out whoever had only that one: `pve-harden key rotate` adds the new key, proves it by \
            a login, and only then takes the old one away. The age of the file is no age of a key: adding a line makes it \
            young again.",
    references: &[
        Reference::Guide("1.1.1"),
        Reference::Man("sshd(8) AUTHORIZED_KEYS FILE FORMAT"),
        Reference::Source("NIST SP 800-57 part 1, table 2"),
        Reference::Source("pve-cluster src/PVE/Cluster/Setup.pm ssh_merge_keys"),
    ],
    level: 1,
    severity: Severity::High,
};

/// Debian's range of ordinary accounts (`FIRST_UID` and `LAST_UID` of adduser.conf).
const PEOPLE: std::ops::RangeInclusive<u32> = 1000..=59999;

impl Control for Keys {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn enabled(&self, policy: &Policy) -> bool {
        policy.profile.ssh.keys.enabled
    }

    fn ask(&self, _: &Policy, request: &mut Request) {
        request.people = true;
    }

    fn evaluate(&self, facts: &Facts, policy: &Policy) -> Verdict {
        judge(facts, policy).unwrap_or_else(Verdict::unknown)
    }
}

/// One key line of one account.
struct Held {
    account: String,
    path: String,
    /// `SHA256:…`; none when the line is no key that can be read.
    fingerprint: Option<String>,
    /// The comment, or what is known of the line.
    name: String,
    weakness: Option<String>,
    /// Days, at least.
    age: Option<i64>,
}

fn judge(facts: &Facts, policy: &Policy) -> Result<Verdict, String> {
    let users = facts.accounts.users.required("/etc/passwd")?;
    let today = facts.taken.required("the node's clock")?.as_second().div_euclid(86_400);
    let nodes = node_names(facts);
    let mut evidence = Vec::new();
    let mut all: Vec<Held> = Vec::new();
    let people = users.values().filter(|user| user.uid == 0 || PEOPLE.contains(&user.uid));
    for user in people {
        let name = &user.name;
        let what = format!("authorized_keys of {name}");
        let reading = facts.accounts.authorized_keys.get(name).unwrap_or(&Reading::NotAsked);
        if *reading == Reading::Absent {
            evidence.push(Evidence { source: what, found: "none".into(), wanted: None });
            continue;
        }
        let keys = reading.required(&what)?;
        let own = keys.lines.iter().filter(|line| user.uid != 0 || !is_of_a_node(line, &nodes));
        let held: Vec<Held> = own.map(|line| held(name, keys, line, today)).collect();
        evidence.push(Evidence { source: keys.path.clone(), found: told(&held, keys.lines.len()), wanted: None });
        all.extend(held);
    }
    let findings = findings(&all, policy);
    let advice = (!findings.is_empty()).then(|| {
        "give everybody a key of their own (`pve-harden key new`), prove it by a login, then take the named lines out \
         (`pve-harden key rotate` does both; keys of the site's administrators change in the site)"
            .to_owned()
    });
    evidence.extend(findings);
    Ok(Verdict::outcome(Vec::new(), advice, evidence))
}

/// Nodes whose own keys PVE keeps in root's file.
fn node_names(facts: &Facts) -> BTreeSet<String> {
    let peers = facts.cluster.known().into_iter().flat_map(|cluster| cluster.peers.iter().map(|peer| &peer.name));
    facts.node_name.known().into_iter().chain(peers).map(|name| format!("root@{name}")).collect()
}

fn is_of_a_node(line: &str, nodes: &BTreeSet<String>) -> bool {
    Entry::from_str(line).is_ok_and(|entry| nodes.contains(entry.public_key().comment()))
}

fn held(account: &str, keys: &AuthorizedKeys, line: &str, today: i64) -> Held {
    let (account, path) = (account.to_owned(), keys.path.clone());
    // A file from the future says nothing.
    let of_file = keys.changed.map(|at| today - at.div_euclid(86_400)).filter(|age| *age >= 0);
    let Ok(entry) = Entry::from_str(line) else {
        let weakness = Some("this line cannot be read as a key".to_owned());
        return Held { account, path, fingerprint: None, name: "a line".into(), weakness, age: of_file };
    };
    let key = entry.public_key();
    let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
    let comment = key.comment();
    let of_comment = date_in(comment).map(|date| today - days(date));
    let kind = key.algorithm().as_str().to_owned();
    let name = if comment.is_empty() { format!("{kind} {fingerprint}") } else { format!("{kind} {comment}") };
    Held {
        account,
        path,
        fingerprint: Some(fingerprint),
        name,
        weakness: weakness(key),
        age: of_comment.into_iter().chain(of_file).max().filter(|age| *age >= 0),
    }
}

/// The last date in a comment: what was made later says so later.
fn date_in(comment: &str) -> Option<Date> {
    let word = |word: &str| if word.len() == 10 { word.parse::<Date>().ok() } else { None };
    comment
        .split(|c: char| c.is_whitespace() || matches!(c, '@' | '(' | ')' | ',' | '_' | '/'))
        .filter_map(word)
        .next_back()
}

fn days(date: Date) -> i64 {
    let start = Date::constant(1970, 1, 1);
    date.since(start).map_or(0, |span| i64::from(span.get_days()))
}

/// What a file holds, for the evidence.
fn told(held: &[Held], lines: usize) -> String {
    let mut text = if held.len() == 1 { "1 key".to_owned() } else { format!("{} keys", held.len()) };
    if lines > held.len() {
        text.extend([" beside ", &(lines - held.len()).to_string(), " of the cluster's nodes"]);
    }
    let unknown = held.iter().filter(|key| key.age.is_none()).count();
    if unknown > 0 {
        text.extend([", age of ", &unknown.to_string(), " unknown"]);
    }
    text
}

fn findings(all: &[Held], policy: &Policy) -> Vec<Evidence> {
    let mut found = Vec::new();
    for key in all {
        if let Some(weakness) = &key.weakness {
            found.push(finding(key, weakness, "ed25519, or RSA of at least 3072 bits"));
        }
    }
    let mut by_key: BTreeMap<&str, Vec<&Held>> = BTreeMap::new();
    for key in all {
        if let Some(fingerprint) = &key.fingerprint {
            by_key.entry(fingerprint).or_default().push(key);
        }
    }
    for holders in by_key.values() {
        found.extend(same(holders));
    }
    let limit = i64::from(policy.profile.ssh.keys.max_age_days);
    let want = wanted(policy, "ssh.keys.max-age-days", format!("{limit} days at most"));
    for key in all.iter().filter(|_| limit > 0) {
        if let Some(age) = key.age.filter(|age| *age > limit) {
            found.push(finding(key, &format!("at least {age} days old"), &want));
        }
    }
    found
}

/// A key that is there more than once. root is nobody: a person's key in root's file as well is not shared.
fn same(holders: &[&Held]) -> Vec<Evidence> {
    let mut found = Vec::new();
    let mut by_account: BTreeMap<&str, Vec<&Held>> = BTreeMap::new();
    for key in holders {
        by_account.entry(&key.account).or_default().push(key);
    }
    for (_, lines) in by_account.iter().filter(|(_, lines)| lines.len() > 1) {
        found.push(finding(lines[0], &format!("there {} times", lines.len()), "once"));
    }
    let people: Vec<&str> = by_account.keys().copied().filter(|name| *name != "root").collect();
    if let (Some(first), true) = (holders.iter().find(|key| key.account != "root"), people.len() > 1) {
        found.push(finding(first, &format!("lets {} in", people.join(", ")), "one person's"));
    }
    found
}

fn finding(key: &Held, found: &str, want: &str) -> Evidence {
    Evidence::new(format!("{}, {}", key.path, key.name), found, want)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_in_a_comment_is_found() {
        for (comment, expected) in [
            ("ops@laptop 2025-11-22", Some((2025, 11, 22))),
            ("ops@2024-02-29", Some((2024, 2, 29))),
            ("made 2020-01-01, moved (2023-05-06)", Some((2023, 5, 6))),
            ("ops@example", None),
            ("2025-13-40", None),
            ("id-2025-01-01-x", None),
        ] {
            let date = date_in(comment).map(|date| (date.year(), date.month(), date.day()));
            assert_eq!(date, expected, "{comment}");
        }
        assert_eq!(days(Date::constant(1970, 1, 11)), 10);
        assert_eq!(days(Date::constant(2025, 11, 22)), 20_414);
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_lines_do_not_panic(line in "(\\PC|[ @/,()0-9-]|ssh-rsa|AAAA){0,60}", changed: Option<i64>) {
            let changed = changed.map(|at| at / 1024);
            let keys = AuthorizedKeys { path: "/x".into(), local: true, lines: vec![line.clone()], changed };
            let key = held("x", &keys, &line, 20_000);
            proptest::prop_assert!(key.age.is_none_or(|age| age >= 0));
        }
    }
}
