//! What a careful person wants to know before saying yes.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{Expect, Operator, Plan, hold, lockout, packages, permissions, reach};
use crate::change::Change;
use crate::controls::accounts::AHEAD;
use crate::facts::{CaseKind, Facts, Reading, RootLogin, RunFact};
use crate::profile::policy::{PermitRootLogin, Policy};

/// Sentences, most important first.
pub fn notes(facts: &Facts, policy: &Policy, operator: &Operator, plan: &Plan) -> Vec<String> {
    let mut notes = open_runs(facts);
    if !plan.changes.is_empty() {
        notes.extend(hold::note(facts, operator));
        notes.extend(refused_logins(facts, policy, &plan.changes));
        notes.extend(peers(facts, &plan.changes));
        notes.extend(
            lockout::shut_out(facts, policy, operator, &plan.changes)
                .into_iter()
                .map(|(name, why)| format!("{name} will not be able to log in and become root: {why}")),
        );
        notes.extend(
            lockout::soon_shut_out(facts, policy, operator, &plan.changes)
                .into_iter()
                .map(|(name, why)| format!("{name} will be locked out within {AHEAD} days: {why}")),
        );
        notes.extend(many_keys(policy, operator, &plan.changes));
        notes.extend(plan.reach.iter().flat_map(|table| reach::notes(table, operator)));
        notes.extend(interruptions(&plan.changes));
        notes.extend(packages::notes(facts, &plan.changes));
        notes.extend(permissions::notes(facts, &plan.changes));
        notes.extend(tokens(&plan.changes));
        notes.extend(other_run(facts, plan));
        notes.extend(drift(facts, plan));
    }
    notes.extend(facts.notes.iter().cloned());
    notes
}

fn of(changes: &[Change], control: &str) -> bool {
    changes.iter().any(|change| change.controls.iter().any(|id| id == control))
}

/// Root logins of the last 30 days that sshd will refuse once the plan has run.
fn refused_logins(facts: &Facts, policy: &Policy, changes: &[Change]) -> Vec<String> {
    let root = of(changes, "ssh.root-login") && !outside_says(facts, "permitrootlogin", "no");
    let passwords = of(changes, "ssh.password-auth")
        && ["passwordauthentication", "kbdinteractiveauthentication"]
            .iter()
            .any(|word| !outside_says(facts, word, "no"));
    if !root && !passwords {
        return Vec::new();
    }
    let logins = match facts.root_logins.certain() {
        Ok(logins) => logins.map(Vec::as_slice).unwrap_or_default(),
        Err(why) => return vec![format!("which root logins will be refused from now on cannot be told: {why}")],
    };
    let peers = facts.peer_addresses();
    let rule = &policy.profile.ssh.root_login;
    let refused = |login: &&RootLogin| {
        let by_key = login.method == "publickey";
        let may_use_key = peers.contains(&login.from)
            || rule.allow_key_from.iter().any(|network| network.contains(&login.from))
            || rule.permit == PermitRootLogin::ProhibitPassword
            || !root;
        !(by_key && may_use_key)
    };
    let mut notes: Vec<String> = logins.iter().filter(refused).map(describe).collect();
    if notes.is_empty() {
        notes.push("no root login of the last 30 days would be refused from now on".into());
    }
    notes
}

/// Whether sshd answers this to root from outside today, in every case that was asked.
fn outside_says(facts: &Facts, keyword: &str, value: &str) -> bool {
    let mut cases = facts.sshd.cases.iter().filter(|(case, _)| case.who == CaseKind::RootOutside).peekable();
    cases.peek().is_some()
        && cases.all(|(_, found)| {
            found.known().and_then(|settings| settings.get(keyword)).is_some_and(|found| found == value)
        })
}

fn describe(login: &RootLogin) -> String {
    let key = login.key.as_ref().map(|key| format!(" {key}")).unwrap_or_default();
    let last = Timestamp::from_second(login.last).map(|at| at.strftime("%Y-%m-%d").to_string()).unwrap_or_default();
    let times = if login.count == 1 { "once".into() } else { format!("{} times", login.count) };
    format!(
        "root logins from {} by {}{key} will be refused from now on (seen {times} in 30 days, last on {last})",
        login.from, login.method
    )
}

fn peers(facts: &Facts, changes: &[Change]) -> Option<String> {
    let cluster = facts.cluster.known().filter(|_| of(changes, "ssh.root-login"))?;
    let peers = cluster.peers.iter().map(|peer| {
        let addresses = peer.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let offline = if peer.online { "" } else { ", offline now" };
        format!("{} ({addresses}{offline})", peer.name)
    });
    Some(format!(
        "cluster members keep root logins with their key, which PVE needs for migration and its shell: {}",
        peers.collect::<Vec<_>>().join(", ")
    ))
}

/// ssh offers the agent's keys one after the other; each one counts as a try.
fn many_keys(policy: &Policy, operator: &Operator, changes: &[Change]) -> Option<String> {
    let (held, tries) = (operator.key_fingerprints.len(), policy.profile.ssh.limits.max_auth_tries);
    (of(changes, "ssh.limits") && held > tries as usize).then(|| {
        format!(
            "you hold {held} keys and sshd will end a login after {tries} tries: name the right key with `--identity`, \
             or `IdentitiesOnly yes` and `IdentityFile` in your ssh config"
        )
    })
}

fn interruptions(changes: &[Change]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let texts = changes.iter().filter_map(|change| change.interrupts.as_ref());
    texts.filter(|text| seen.insert(text.as_str())).map(|text| format!("while it runs: {text}")).collect()
}

/// A secret that is out cannot be called back, so that tokens are no part of the run.
fn tokens(changes: &[Change]) -> Option<String> {
    changes.iter().any(|change| change.action.token().is_some()).then(|| {
        "tokens are made last, once everything else is confirmed; each is proved by a request, or deleted again when its \
         sink does not take the secret. `rollback` revokes those of accounts that it takes away; the others stay until \
         `pve-harden token revoke`"
            .into()
    })
}

fn open_runs(facts: &Facts) -> Vec<String> {
    let runs = match &facts.runs {
        Reading::Known(runs) => runs.as_slice(),
        Reading::Unreadable(why) => return vec![format!("earlier runs on this node cannot be told: {why}")],
        Reading::Absent | Reading::NotAsked => &[],
    };
    runs.iter()
        .filter(|run| matches!(run.outcome.as_str(), "open" | "undoing"))
        .map(|run| {
            format!("run {} is still open on this node; nothing can be applied until it is confirmed or undone", run.id)
        })
        .collect()
}

/// What a run recorded of itself.
struct Made<'a> {
    run: &'a RunFact,
}

impl Made<'_> {
    fn text(&self, pointer: &str) -> Option<&str> {
        self.run.meta.pointer(pointer).and_then(serde_json::Value::as_str)
    }
}

/// The last committed run was made from something else: say from what, and what this plan would turn back.
fn other_run(facts: &Facts, plan: &Plan) -> Option<String> {
    let run = last_committed(facts)?;
    let made = Made { run };
    let mut differences = Vec::new();
    if made.text("/digests/site").is_some_and(|site| site != plan.digests.site) {
        differences.push("another site file".to_owned());
    }
    if made.text("/digests/profile").is_some_and(|profile| profile != plan.digests.profile) {
        differences.push("another profile".to_owned());
    }
    let ours = env!("CARGO_PKG_VERSION");
    if let Some(theirs) = made.text("/tool").filter(|theirs| newer(theirs, ours)) {
        differences.push(format!("version {theirs} of this tool, newer than this one ({ours})"));
    }
    if differences.is_empty() {
        return None;
    }
    let turned_back = left_as_is(run, plan);
    let effect = if turned_back.is_empty() {
        "this plan turns nothing of it back".to_owned()
    } else {
        format!("this plan would change what it left: {}", turned_back.join(", "))
    };
    Some(format!("the last run ({}) was made with {}; {effect}", run.id, differences.join(" and ")))
}

pub(super) fn last_committed(facts: &Facts) -> Option<&RunFact> {
    facts.runs.known()?.iter().rev().find(|run| run.outcome == "committed" && run.meta["verb"] != "rollback")
}

/// What the last run left and somebody changed since, as far as this plan changes it again.
fn drift(facts: &Facts, plan: &Plan) -> Option<String> {
    let run = last_committed(facts)?;
    let changed: Vec<&str> =
        plan.expects.keys().map(String::as_str).filter(|path| still_left(run, plan, path) == Some(false)).collect();
    (!changed.is_empty()).then(|| format!("changed on the node since run {}: {}", run.id, changed.join(", ")))
}

/// Files that are still as the run left them and that the plan changes.
fn left_as_is<'a>(run: &RunFact, plan: &'a Plan) -> Vec<&'a str> {
    plan.expects.keys().map(String::as_str).filter(|path| still_left(run, plan, path) == Some(true)).collect()
}

/// Whether a path is as the run left it (`state.json`: "DIGEST MODE OWNER GROUP" or "absent"); `None` when the run
/// did not manage it as a file.
pub(super) fn still_left(run: &RunFact, plan: &Plan, path: &str) -> Option<bool> {
    let left = run.state.as_ref()?.get("files")?.get(path)?.as_str()?;
    match plan.expects.get(path)? {
        Expect::File { digest, mode, owner, group } => Some(left == format!("{digest} {mode:o} {owner} {group}")),
        Expect::Directory { mode, owner, group } => Some(left == format!("directory {mode:o} {owner} {group}")),
        Expect::Absent => Some(left == "absent"),
    }
}

/// Compares dotted version numbers; a text that is none is not newer.
fn newer(theirs: &str, ours: &str) -> bool {
    let parts = |text: &str| -> Option<Vec<u64>> { text.split('.').map(|part| part.parse().ok()).collect() };
    matches!((parts(theirs), parts(ours)), (Some(a), Some(b)) if a > b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{Action, Stage};
    use crate::facts::{Cluster, Peer, SshdCase, SshdSettings};
    use crate::plan::testing::{change, new_file, policy};
    use crate::plan::{seal, testing};

    fn login(from: &str, method: &str, count: u32) -> RootLogin {
        RootLogin { from: from.parse().unwrap(), method: method.into(), key: None, count, last: 1_763_000_000 }
    }

    fn ssh_changes() -> Vec<Change> {
        ["ssh.root-login", "ssh.password-auth", "ssh.limits"]
            .map(|id| change(id, Stage::Ssh, new_file("/etc/ssh/sshd_config.d/x.conf", "", 0o600)))
            .into()
    }

    fn cluster(peer: &str) -> Cluster {
        Cluster {
            name: "lab".into(),
            quorate: true,
            peers: vec![Peer { name: "pve2".into(), addresses: BTreeSet::from([peer.parse().unwrap()]), online: true }],
            migration_network: None,
        }
    }

    #[test]
    fn logins_that_will_be_refused_are_named_and_peers_are_not() {
        let facts = Facts {
            cluster: Reading::Known(cluster("10.0.0.2")),
            root_logins: Reading::Known(vec![
                login("10.0.0.2", "publickey", 40),
                login("203.0.113.9", "publickey", 3),
                login("192.0.2.7", "password", 1),
            ]),
            ..Facts::default()
        };
        let notes = refused_logins(&facts, &policy(), &ssh_changes());
        insta::assert_snapshot!(notes.join("\n"), @r"
        root logins from 203.0.113.9 by publickey will be refused from now on (seen 3 times in 30 days, last on 2025-11-13)
        root logins from 192.0.2.7 by password will be refused from now on (seen once in 30 days, last on 2025-11-13)
        ");
    }

    #[test]
    fn what_is_refused_already_is_no_news() {
        let mut facts =
            Facts { root_logins: Reading::Known(vec![login("203.0.113.9", "password", 3)]), ..Facts::default() };
        let case =
            SshdCase { who: CaseKind::RootOutside, user: "root".into(), address: "203.0.113.1".parse().unwrap() };
        let says = |words: &[&str]| words.iter().map(|word| ((*word).into(), "no".into())).collect::<SshdSettings>();
        let closed = says(&["permitrootlogin", "passwordauthentication", "kbdinteractiveauthentication"]);
        facts.sshd.cases.insert(case.clone(), Reading::Known(closed));
        assert_eq!(refused_logins(&facts, &policy(), &ssh_changes()), Vec::<String>::new());
        facts.sshd.cases.insert(case, Reading::Known(says(&["passwordauthentication"])));
        assert_eq!(refused_logins(&facts, &policy(), &ssh_changes()).len(), 1);
    }

    #[test]
    fn an_unreadable_journal_is_said_and_never_reads_as_nobody() {
        let facts = Facts { root_logins: Reading::Unreadable("no journal".into()), ..Facts::default() };
        assert_eq!(
            refused_logins(&facts, &policy(), &ssh_changes()),
            ["which root logins will be refused from now on cannot be told: no journal"]
        );
    }

    #[test]
    fn prohibit_password_keeps_keys() {
        let mut policy = policy();
        policy.profile.ssh.root_login.permit = PermitRootLogin::ProhibitPassword;
        let facts =
            Facts { root_logins: Reading::Known(vec![login("203.0.113.9", "publickey", 3)]), ..Facts::default() };
        assert_eq!(
            refused_logins(&facts, &policy, &ssh_changes()),
            ["no root login of the last 30 days would be refused from now on"]
        );
    }

    #[test]
    fn more_keys_than_tries_is_said() {
        let operator =
            Operator { key_fingerprints: (0..5).map(|n| format!("SHA256:{n}")).collect(), ..Operator::default() };
        assert!(many_keys(&policy(), &operator, &ssh_changes()).unwrap().contains("5 keys"));
        assert_eq!(many_keys(&policy(), &Operator::default(), &ssh_changes()), None);
    }

    fn plan_over(path: &str, content: &str) -> Plan {
        let facts =
            Facts { files: [(path.to_owned(), testing::regular(content, 0o644, "root"))].into(), ..Facts::default() };
        let action = crate::change::FileChange {
            path: path.into(),
            before: Some(crate::change::FileImage::root(content, 0o644)),
            after: None,
            validate: None,
        };
        let fake = testing::Fake::wants("a.b", vec![change("a.b", Stage::Services, Action::File(action))]);
        crate::plan::build::build_from(
            &[&fake],
            &facts,
            &policy(),
            &crate::plan::Selection::all(),
            &Operator::default(),
        )
        .unwrap()
    }

    /// A committed run of this site unless said otherwise, which left `content` in /etc/x.
    fn committed(plan: &Plan, site: &str, content: &str) -> Facts {
        let left = format!("{} 644 root root", seal::digest(content));
        let run = RunFact {
            id: "20261120-1".into(),
            outcome: "committed".into(),
            meta: serde_json::json!({"tool": "9.0.0", "digests": {"site": site, "profile": plan.digests.profile}}),
            state: Some(serde_json::json!({"version": 1, "files": {"/etc/x": left, "/etc/y": "absent"}})),
            closed: None,
        };
        Facts { runs: Reading::Known(vec![run]), ..Facts::default() }
    }

    #[test]
    fn a_run_made_from_another_site_is_named_with_what_would_be_turned_back() {
        let plan = plan_over("/etc/x", "theirs\n");
        let facts = committed(&plan, "other", "theirs\n");
        insta::assert_snapshot!(other_run(&facts, &plan).unwrap(), @r"the last run (20261120-1) was made with another site file and version 9.0.0 of this tool, newer than this one (0.1.0); this plan would change what it left: /etc/x");
        assert_eq!(drift(&facts, &plan), None);
    }

    #[test]
    fn what_changed_since_the_last_run_is_drift() {
        let plan = plan_over("/etc/x", "somebody's\n");
        let facts = committed(&plan, &plan.digests.site, "ours\n");
        assert_eq!(drift(&facts, &plan).unwrap(), "changed on the node since run 20261120-1: /etc/x");
    }

    #[test]
    fn only_higher_numbers_are_newer() {
        assert!(newer("0.10.0", "0.9.1") && !newer("0.9.1", "0.10.0") && !newer("garbage", "0.1.0"));
    }

    #[test]
    fn an_open_run_is_said_even_without_changes() {
        let run = RunFact {
            id: "r1".into(),
            outcome: "open".into(),
            meta: serde_json::Value::Null,
            state: None,
            closed: None,
        };
        let facts = Facts { runs: Reading::Known(vec![run]), ..Facts::default() };
        assert_eq!(open_runs(&facts).len(), 1);
    }
}
