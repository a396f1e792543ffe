//! `access.*` on a recorded node: what the shipped examples want of it, and that they are content afterwards.

use std::path::Path;

use pve_harden::change::Change;
use pve_harden::controls::{Status, Verdict};
use pve_harden::facts::{Factors, Facts, Reading, WebLogin};
use pve_harden::profile::policy::{AccessMode, Policy, RealmFactor, RootWebPolicy, WantedRealm};
use pve_harden::pve::privileges::Catalogue;
use pve_harden::pve::{domains, user_cfg};

use super::fixtures::{refused, snapshot, three_states};
use super::{asked, changes, control, model, policy, refusal, show};

/// A shipped example with the site of the other tests.
pub fn example(name: &str) -> Policy {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("profiles/examples/{name}.toml"));
    let loaded = pve_harden::profile::load(&[file.to_string_lossy().into_owned()], None).unwrap();
    let mut policy = policy("baseline");
    policy.profile = loaded.profile;
    policy
}

/// A fresh node whose realms were read, too.
pub fn node(major: u32) -> Facts {
    let mut facts = if major == 8 { Facts::fresh_pve8() } else { Facts::fresh_pve9() };
    facts.access.realms = Reading::Known(domains::parse(""));
    facts.access.secrets = Reading::Known([].into());
    facts
}

/// The same with this user.cfg.
fn with(text: &str) -> Facts {
    let mut facts = node(9);
    facts.access.config = Reading::Known(user_cfg::parse(text, Catalogue::of(9)));
    facts
}

fn blind(facts: &mut Facts) {
    facts.access.config = refused();
}

#[test]
fn roles_of_the_teams_example() {
    three_states("access.roles", node(9), &example("teams"), blind);
}

#[test]
fn groups_of_the_teams_example() {
    three_states("access.groups", node(9), &example("teams"), blind);
}

#[test]
fn users_of_the_teams_example() {
    let mut facts = node(9);
    facts = model::apply(&facts, changes(&control("access.groups").evaluate(&facts, &example("teams"))));
    three_states("access.users", facts, &example("teams"), blind);
}

#[test]
fn pools_of_the_teams_example() {
    let mut policy = example("teams");
    policy.profile.access.pool[0].guests = vec![100, 101];
    three_states("access.pools", node(9), &policy, blind);
}

#[test]
fn rights_of_the_teams_example() {
    three_states("access.acls", node(9), &example("teams"), blind);
}

#[test]
fn a_listed_token_that_never_ends() {
    let mut facts = with(
        "user:svc-pve-automation@pve:1:0::::::\ntoken:svc-pve-automation@pve!automation:0:0:x:\n\
         user:svc-pve-monitoring@pve:1:0::::::\ntoken:svc-pve-monitoring@pve!monitoring:0:1:Metrics exporter; owner DevOps team:\n",
    );
    facts.access.secrets = Reading::NotAsked;
    three_states("access.tokens", facts, &example("service-accounts"), blind);
}

#[test]
fn a_realm_that_is_offered_first() {
    let mut policy = policy("baseline");
    policy.profile.access.realm = vec![WantedRealm {
        id: "pve".into(),
        comment: Some("Services and teams".into()),
        default: Some(true),
        ..WantedRealm::default()
    }];
    three_states("access.realms", node(9), &policy, |facts| facts.access.realms = refused());
}

/// Four people of the realm pve, who differ in their factors, and root.
fn enrolled() -> Facts {
    let mut facts = with(
        "user:root@pam:1:0::::::\nuser:ann@pve:1:0::::::\nuser:key@pve:1:0::::::\nuser:lost@pve:1:0::::::\nuser:bot@pve:1:0::::::\n\
         token:bot@pve!ci:0:1::\nuser:svc@pve:1:0::::::\nuser:off@pve:0:0::::::\nuser:gone@pve:1:7::::::\nuser:new@pve:1:0::::::\n\
         acl:1:/:ann@pve:Administrator:\n",
    );
    let of = |kind: &str, locked: bool| Factors { kinds: [(kind.to_owned(), 1)].into(), locked };
    let factors = [
        ("ann@pve", of("totp", false)),
        ("key@pve", of("webauthn", false)),
        ("lost@pve", of("totp", true)),
        ("new@pve", of("recovery", false)),
    ];
    facts.access.factors = Reading::Known(factors.map(|(user, factors)| (user.to_owned(), factors)).into());
    let passwords = ["ann@pve", "key@pve", "lost@pve", "bot@pve", "new@pve"].map(str::to_owned);
    facts.access.passwords = Reading::Known(passwords.into());
    let login = |last, page, api| WebLogin { last, page, api };
    let logins = [
        ("bot@pve", login(1_795_302_170, false, true)),
        ("key@pve", login(1_795_302_065, true, true)),
        ("root@pam", login(1_795_302_065, false, false)),
    ];
    facts.access.web_logins = Reading::Known(logins.map(|(user, login)| (user.to_owned(), login)).into());
    facts
}

fn enforcing(realm: &str, may_refuse: &[&str]) -> Policy {
    let mut policy = policy("baseline");
    let may_refuse = may_refuse.iter().map(ToString::to_string).collect();
    policy.profile.access.realm =
        vec![WantedRealm { id: realm.into(), tfa: Some(RealmFactor::Oath), may_refuse, ..WantedRealm::default() }];
    policy
}

#[test]
fn nobody_is_refused_by_a_realm_without_being_named() {
    let judged = |policy: &Policy| control("access.realms").evaluate(&enrolled(), policy);
    snapshot("access.realms", "would-refuse", &show::verdict(&judged(&enforcing("pve", &[]))));
    assert_eq!(
        refusal(&judged(&enforcing("pam", &[]))),
        "realm pam: with TOTP for everybody PVE would refuse root@pam (has no second factor; logged in on 2026-11-21): \
         they enrol TOTP or recovery keys, use tokens, or are named in may-refuse"
    );
    let two = refusal(&judged(&enforcing("pve", &["bot@pve"]))).to_owned();
    assert!(!two.contains("bot@pve") && two.contains("key@pve") && two.contains("lost@pve"), "{two}");
    let named = enforcing("pve", &["bot@pve", "key@pve", "lost@pve"]);
    let enforced = judged(&named);
    snapshot("access.realms", "enforces", &show::verdict(&enforced));
    let after = model::apply(&enrolled(), changes(&enforced));
    assert_eq!(control("access.realms").evaluate(&after, &named).status, Status::Compliant);
}

#[test]
fn what_is_not_known_of_somebody_counts_as_refused() {
    let mut facts = enrolled();
    facts.access.passwords = refused();
    facts.access.web_logins = Reading::NotAsked;
    let said = refusal(&control("access.realms").evaluate(&facts, &enforcing("pve", &[]))).to_owned();
    assert!(said.contains("svc@pve (has no second factor; whether a program logs in so is not known)"), "{said}");
    facts.access.factors = refused();
    let unknown = control("access.realms").evaluate(&facts, &enforcing("pve", &[]));
    assert!(matches!(unknown.status, Status::Unknown { .. }), "{unknown:?}");
}

fn closing(administrator: &str) -> Policy {
    let mut policy = policy("baseline");
    policy.profile.access.root_web = RootWebPolicy { enabled: true, administrator: administrator.into() };
    policy
}

#[test]
fn the_web_login_of_root() {
    three_states("access.root-web", enrolled(), &closing("ann@pve"), blind);
}

#[test]
fn root_is_not_closed_before_somebody_else_administers() {
    let judged =
        |facts: &Facts, name: &str| refusal(&control("access.root-web").evaluate(facts, &closing(name))).to_owned();
    for (name, why) in [
        ("", "`administrator` names nobody who administers instead of root@pam"),
        ("root@pam", "root@pam, who shall administer instead of root@pam, is root@pam"),
        ("nobody@pve", "nobody@pve, who shall administer instead of root@pam, is not there"),
        ("off@pve", "off@pve, who shall administer instead of root@pam, is disabled"),
        ("gone@pve", "gone@pve, who shall administer instead of root@pam, ends on 1970-01-01"),
        ("key@pve", "key@pve, who shall administer instead of root@pam, is not Administrator on / and below"),
    ] {
        assert_eq!(judged(&enrolled(), name), format!("{why}; Administrators are ann@pve"));
    }
    let base = "user:root@pam:1:0::::::\nuser:ann@pve:1:0::::::\nuser:ben@pve:1:0::::::\n";
    for (rights, path) in [
        ("acl:0:/:ann@pve:Administrator:\n", "/"),
        ("acl:1:/:ann@pve:PVEAdmin:\n", "/"),
        ("acl:1:/:ann@pve:Administrator:\nacl:1:/access:ann@pve:PVEAuditor:\n", "/access"),
        ("acl:1:/:ann@pve:Administrator:\nacl:1:/vms:ann@pve:NoAccess:\n", "/vms"),
    ] {
        let said = judged(&with(&format!("{base}{rights}")), "ann@pve");
        assert!(said.ends_with(&format!("is not Administrator on {path} and below")), "{rights}{said}");
    }
    let by_group = "group:g:ann@pve::\nacl:1:/:@g:Administrator:\n";
    let tokens = format!("{base}{by_group}token:root@pam!backup:0:1::\ntoken:root@pam!old:7:1::\n");
    assert_eq!(
        judged(&with(&tokens), "ann@pve"),
        "the tokens root@pam!backup would stop with root@pam: give their users others, then `pveum user token delete`"
    );
    let mut enforced = with(&format!("{base}{by_group}"));
    enforced.access.realms = Reading::Known(domains::parse("pve: pve\n\ttfa type=oath\n"));
    enforced.access.factors = Reading::Known([].into());
    let said = judged(&enforced, "ann@pve");
    assert!(said.contains("is refused by the realm pve: has no second factor"), "{said}");
}

/// Closed already, and the one who administers cannot any more: said, and left to a person.
#[test]
fn an_administrator_who_is_lost_after_root_was_closed_is_said() {
    let facts = with("user:root@pam:0:0::::::\nuser:ann@pve:0:0::::::\nacl:1:/:ann@pve:Administrator:\n");
    let verdict = control("access.root-web").evaluate(&facts, &closing("ann@pve"));
    assert_eq!(
        super::advice(&verdict),
        "root@pam is closed and ann@pve, who shall administer instead of root@pam, is disabled"
    );
    assert!(changes(&verdict).is_empty());
}

/// Wants nothing: what PVE ignores is a finding, and its next write removes it.
#[test]
fn leftovers() {
    let (id, policy) = ("access.leftovers", policy("baseline"));
    let text = "# by hand\nuser:root@pam:1:0::::::\nuser:mon@pve:1:0::::::\nrole:Old:VM.Monitor,VM.Audit:\n\
                acl:1:/:@nogroup:Old:\nacl:1:/:mon@pve:PVEPowerAdmin:\nminpwlen:12:\n";
    let found = control(id).evaluate(&with(text), &policy);
    snapshot(id, "differs", &show::verdict(&found));
    assert!(changes(&found).is_empty());
    let clean = control(id).evaluate(&node(9), &policy);
    snapshot(id, "compliant", &show::verdict(&clean));
    assert_eq!(clean.status, Status::Compliant);
}

#[test]
fn every_example_is_content_with_its_own_changes_on_both_releases_and_its_undo_leads_back() {
    for name in ["teams", "service-accounts", "crossplane"] {
        for major in [8, 9] {
            let policy = example(name);
            let start = asked(node(major), &policy);
            let mut facts = start.clone();
            let mut steps = Vec::new();
            for id in ["access.roles", "access.groups", "access.pools", "access.users", "access.acls"] {
                let verdict = control(id).evaluate(&facts, &policy);
                let wanted = steps_of(&verdict);
                facts = model::apply(&facts, &wanted);
                steps.extend(wanted);
                let again = control(id).evaluate(&facts, &policy);
                let waits = matches!(&again.status, Status::Differs { changes, .. } if changes.is_empty());
                let settled = again.status == Status::Compliant
                    || matches!(verdict.status, Status::NotApplicable { .. }) && again.status == verdict.status;
                assert!(settled || waits, "{name} on {major}: {id} {:?}", again.status);
            }
            let mut config = facts.access.config.known().unwrap().clone();
            for change in steps.iter().rev() {
                let pve_harden::change::Action::PveAccess { steps } = &change.action else { panic!("{change:?}") };
                for step in steps.iter().rev() {
                    step.undo.iter().for_each(|call| pve_harden::access::model::apply(&mut config, call));
                }
            }
            assert_eq!(Some(&config), start.access.config.known(), "{name} on {major}");
        }
    }
}

/// The changes of a verdict; an example that lists nothing of a kind has none.
pub fn steps_of(verdict: &Verdict) -> Vec<Change> {
    match &verdict.status {
        Status::Compliant | Status::NotApplicable { .. } => Vec::new(),
        _ => changes(verdict).to_vec(),
    }
}

#[test]
fn near_misses_are_named() {
    let mut policy = example("teams");
    policy.profile.access.acl[1].role = "WebDve".into();
    assert_eq!(
        refusal(&control("access.acls").evaluate(&node(9), &policy)),
        "right on /pool/ExtWebSer: there is no role WebDve; did you mean WebDev?"
    );
    let mut policy = example("teams");
    policy.profile.access.user[0].id = "bob@pvee".into();
    assert_eq!(
        refusal(&control("access.users").evaluate(&node(9), &policy)),
        "user bob@pvee: there is no realm pvee, nobody could log in; did you mean pve?"
    );
    let mut policy = example("teams");
    policy.profile.access.role[0].privileges = vec!["VM.GuestAgent.Audit".into()];
    assert_eq!(
        refusal(&control("access.roles").evaluate(&node(8), &policy)),
        "role WebDev: PVE 8 has no privilege VM.GuestAgent.Audit; VM.Monitor is what it has instead"
    );
}

#[test]
fn a_role_in_use_is_not_dropped_and_people_who_must_stay_stay() {
    let text = "user:root@pam:1:0::::::\nuser:ops@pam:1:0::::::\nuser:old@pve:1:0::::::\nrole:Used:VM.Audit:\n\
                role:Idle:VM.Audit:\nacl:1:/:old@pve:Used:\nacl:1:/:ops@pam:Administrator:\n";
    let mut policy = example("teams");
    policy.profile.access.roles.mode = AccessMode::Exact;
    let verdict = control("access.roles").evaluate(&with(text), &policy);
    let Status::Differs { changes, advice: Some(advice) } = &verdict.status else { panic!("{verdict:?}") };
    assert_eq!(advice, "role Used is not listed and stays, because old@pve on / has it: take the right away first");
    let calls = serde_json::to_string(changes).unwrap();
    assert!(calls.contains("\"Idle\"") && !calls.contains("\"role\":\"Used\""), "{calls}");

    policy.profile.access.users.mode = AccessMode::Exact;
    policy.profile.access.acls.mode = AccessMode::Exact;
    policy.profile.access.user.iter_mut().for_each(|user| user.groups.clear());
    let verdict = control("access.users").evaluate(&with(text), &policy);
    let removed = serde_json::to_string(&changes_of_removal(&verdict)).unwrap();
    assert!(
        removed.contains("old@pve") && !removed.contains("ops@pam") && !removed.contains("\"root@pam"),
        "{removed}"
    );
}

fn changes_of_removal(verdict: &Verdict) -> Vec<Change> {
    changes(verdict).iter().filter(|change| change.summary.starts_with("removed")).cloned().collect()
}

#[test]
fn what_is_over_goes_even_when_everything_else_stays() {
    let text = "user:nancy@pve:1:0::::::\ngroup:pve-operators:nancy@pve::\ngroup:web-managers:nancy@pve::\n\
                acl:1:/vms:nancy@pve:PVEVMAdmin:\nacl:1:/storage:nancy@pve:PVEAuditor:\n";
    let mut policy = example("teams");
    let nancy = policy.profile.access.user.iter_mut().find(|user| user.id == "nancy@pve").unwrap();
    nancy.temporary_groups =
        toml::from_str::<toml::Table>("m = [{ group = \"pve-operators\", until = \"2020-01-31\" }]").unwrap()["m"]
            .clone()
            .try_into()
            .unwrap();
    policy.profile.access.acl = toml::from_str::<toml::Table>(
        "a = [{ path = \"/vms\", role = \"PVEVMAdmin\", users = [\"nancy@pve\"], until = \"2020-01-31\" }]",
    )
    .unwrap()["a"]
        .clone()
        .try_into()
        .unwrap();
    let facts = with(text);
    let after = model::apply(&facts, changes(&control("access.acls").evaluate(&facts, &policy)));
    let config = after.access.config.known().unwrap();
    assert_eq!(config.acl.keys().map(|grant| grant.path.as_str()).collect::<Vec<_>>(), ["/storage"]);

    let facts = model::apply(&facts, changes(&control("access.groups").evaluate(&facts, &policy)));
    let verdict = control("access.users").evaluate(&facts, &policy);
    let after = model::apply(&facts, changes(&verdict));
    assert_eq!(after.access.config.known().unwrap().groups_of("nancy@pve"), ["web-managers".to_owned()].into());
    assert!(changes(&verdict)[0].summary.contains("leaves pve-operators: it was until 2020-01-31"));
}

/// Made by hand from the description of the example's teams.
#[test]
fn the_matrix_of_the_teams_is_the_table_of_its_description() {
    let policy = example("teams");
    let mut facts = asked(node(9), &policy);
    for id in ["access.roles", "access.groups", "access.pools", "access.users", "access.acls"] {
        facts = model::apply(&facts, &steps_of(&control(id).evaluate(&facts, &policy)));
    }
    let accounts = pve_harden::access::matrix::matrix(facts.access.config.known().unwrap(), None);
    let rows: Vec<(&str, &str, &str)> = accounts
        .iter()
        .flat_map(|account| {
            account.grants.iter().map(move |held| (account.account.as_str(), held.role.as_str(), held.path.as_str()))
        })
        .collect();
    assert_eq!(
        rows,
        [
            ("betty@pve", "WebDev", "/pool/ExtWebSer"),
            ("bob@pve", "Administrator", "/"),
            ("jim@pve", "WebDev", "/pool/IntWebSer"),
            ("nancy@pve", "WebAppManager", "/pool/ExtWebSer"),
            ("nancy@pve", "WebAppManager", "/pool/IntWebSer"),
            ("root@pam", "Administrator", "/"),
        ]
    );
}

/// Wants nothing: nobody can be enrolled from outside.
#[test]
fn second_factors() {
    let id = "access.second-factors";
    let mut policy = policy("baseline");
    policy.profile.access.second_factors.enabled = true;
    policy.profile.access.second_factors.except = vec!["svc@pve".into()];
    let text = "user:root@pam:1:0::::::\nuser:amy@pve:1:0::::::\nuser:key@pve:1:0::::::\nuser:svc@pve:1:0::::::\n\
                user:off@pve:0:0::::::\nuser:past@pve:1:5::::::\nuser:paper@pve:1:0::::::\n";
    let mut facts = with(text);
    facts.access.realms = Reading::Known(domains::parse("pve: pve\n\ttfa type=oath\n"));
    let factors =
        |kinds: &[&str]| Factors { kinds: kinds.iter().map(|kind| ((*kind).to_owned(), 1)).collect(), locked: false };
    let mut all: std::collections::BTreeMap<String, Factors> = [
        ("amy@pve", factors(&["totp", "recovery"])),
        ("key@pve", factors(&["webauthn"])),
        ("paper@pve", factors(&["recovery"])),
    ]
    .into_iter()
    .map(|(name, factors)| (name.to_owned(), factors))
    .collect();
    facts.access.factors = Reading::Known(all.clone());
    let found = control(id).evaluate(&facts, &policy);
    snapshot(id, "differs", &show::verdict(&found));
    assert!(changes(&found).is_empty());

    for name in ["root@pam", "key@pve", "paper@pve"] {
        all.insert(name.into(), factors(&["totp"]));
    }
    facts.access.factors = Reading::Known(all);
    let right = control(id).evaluate(&facts, &policy);
    snapshot(id, "compliant", &show::verdict(&right));
    assert_eq!(right.status, Status::Compliant);

    facts.access.factors = refused();
    let blind = control(id).evaluate(&facts, &policy);
    snapshot(id, "unreadable", &show::verdict(&blind));
    assert!(matches!(blind.status, Status::Unknown { .. }));
}

/// A lock and what gives it back, as the words of calls that PVE's schema knows.
#[test]
fn locking_is_made_of_calls_that_pve_takes() {
    let text = "user:root@pam:1:0::::::\nuser:it's eve!@pve:1:0::::::\nuser:o'neil!x@pve:1:0::::::\ntoken:o'neil!x@pve!ci:0:1::\n\
                group:ops:o'neil!x@pve::\nacl:1:/:o'neil!x@pve:Administrator:\nacl:0:/vms:o'neil!x@pve!ci:PVEAuditor:\n";
    let config = user_cfg::parse(text, Catalogue::of(9));
    let (steps, locked) = pve_harden::access::lock::lock(&config, Catalogue::of(9), "o'neil!x@pve", 10).unwrap();
    let mut after = config.clone();
    for step in &steps {
        pve_harden::access::model::apply(&mut after, &step.call);
    }
    let (back, _) = pve_harden::access::lock::unlock(&after, &locked).unwrap();
    let calls = steps.iter().chain(&back).flat_map(|step| std::iter::once(&step.call).chain(&step.undo));
    super::access_calls::all_taken(calls);
}
