//! Settings of realms that are there (pve-access-control, `API2/Domains.pm` and `Auth/*.pm`, `options`).

use std::collections::BTreeMap;

use super::{Outcome, meant};
use crate::change::access::{AccessCall, AccessStep};
use crate::profile::policy::{AccessPolicy, DirectoryMode, RealmFactor, WantedRealm};
use crate::pve::domains::Realm;

type Settings = BTreeMap<String, String>;

pub(super) fn realms(policy: &AccessPolicy, realms: &BTreeMap<String, Realm>) -> Outcome {
    let mut outcome = Outcome::default();
    let first = realms.iter().find(|(_, realm)| realm.setting("default") == "1").map(|(name, _)| name);
    for wanted in &policy.realm {
        let Some(found) = realms.get(&wanted.id) else {
            let near = meant(&wanted.id, realms.keys());
            outcome.refusals.push(format!("there is no realm {}{near}", wanted.id));
            continue;
        };
        match settings(wanted, found) {
            Ok(settings) => realm(wanted, found, first, settings, &mut outcome),
            Err(why) => outcome.refusals.push(format!("realm {}: {why}", wanted.id)),
        }
    }
    outcome
}

fn realm(wanted: &WantedRealm, found: &Realm, first: Option<&String>, settings: Settings, outcome: &mut Outcome) {
    let comment = wanted.comment.clone().filter(|comment| comment != found.setting("comment"));
    let is_default = found.setting("default") == "1";
    let default = wanted.default.filter(|default| *default != is_default);
    let mut after = found.clone();
    after.settings.extend(settings.clone());
    outcome.finding(
        format!("domains.cfg: realm {}", wanted.id),
        described(found, found.setting("comment"), is_default),
        described(
            &after,
            wanted.comment.as_deref().unwrap_or(found.setting("comment")),
            wanted.default.unwrap_or(is_default),
        ),
    );
    if comment.is_none() && default.is_none() && settings.is_empty() {
        return;
    }
    let back = |realm: &str, comment: Option<String>, default: Option<bool>, settings: Settings| {
        AccessCall::RealmModify { realm: realm.to_owned(), comment, default, settings }
    };
    let before = settings.keys().map(|name| (name.clone(), found.setting(name).to_owned())).collect();
    let mut undo = vec![back(
        &wanted.id,
        comment.as_ref().map(|_| found.setting("comment").to_owned()),
        default.map(|_| is_default),
        before,
    )];
    // Making one realm the default takes it from another.
    undo.extend(
        first
            .filter(|first| default == Some(true) && **first != wanted.id)
            .map(|first| back(first, None, Some(true), Settings::new())),
    );
    let mut settings = settings;
    // Only for the change: the way back must not depend on a server.
    if ["mode", "verify"].iter().any(|name| settings.contains_key(*name)) {
        settings.insert("check-connection".into(), "1".into());
    }
    outcome.build.push(AccessStep { call: back(&wanted.id, comment, default, settings), undo, lost: None });
}

/// What becomes different, by PVE's names; empty takes a setting away. An error tells why a realm cannot be as wanted.
fn settings(wanted: &WantedRealm, found: &Realm) -> Result<Settings, String> {
    let mut settings = Settings::new();
    let mut set = |name: &str, value: &str| settings.insert(name.to_owned(), value.to_owned());
    let of = |kinds: &[&str], what: &str| {
        let fits = kinds.contains(&found.kind.as_str());
        if fits { Ok(()) } else { Err(format!("a realm of type {} has no {what}", found.kind)) }
    };
    if let Some(tfa) = wanted.tfa {
        of(&["pam", "pve", "ldap", "ad"], "second factor of PVE's: its provider asks for one")?;
        match (tfa, found.enforces()) {
            (RealmFactor::Oath, Some("totp")) | (RealmFactor::None, None) => {}
            (RealmFactor::Oath, None) => {
                set("tfa", "type=oath");
            }
            (RealmFactor::None, Some("totp")) => {
                set("tfa", "");
            }
            // Its API key would have to come back as an argument of a process.
            (_, Some(other)) => {
                return Err(format!(
                    "it enforces {other}, whose key this tool does not handle: change it in the web interface"
                ));
            }
        }
    }
    let directory = &["ldap", "ad"];
    if let Some(mode) = wanted.mode.map(DirectoryMode::word) {
        of(directory, "mode")?;
        if found.directory_mode() != mode {
            set("mode", mode);
        }
    }
    if let Some(verify) = wanted.verify {
        of(directory, "certificate to verify")?;
        if (found.setting("verify") == "1") != verify {
            set("verify", if verify { "1" } else { "0" });
        }
    }
    if let Some(autocreate) = wanted.autocreate {
        of(&["openid"], "autocreate")?;
        if (found.setting("autocreate") == "1") != autocreate {
            set("autocreate", if autocreate { "1" } else { "0" });
        }
    }
    Ok(settings)
}

fn described(realm: &Realm, comment: &str, default: bool) -> String {
    let mut words = vec![format!("comment \"{comment}\"")];
    if default {
        words.push("default".into());
    }
    words.extend(realm.enforces().map(|kind| format!("enforces {kind}")));
    if ["ldap", "ad"].contains(&realm.kind.as_str()) {
        words.push(realm.directory_mode().to_owned());
        let verified = if realm.setting("verify") == "1" { "verified" } else { "not verified" };
        words.push(format!("certificate {verified}"));
    }
    if realm.kind == "openid" {
        words.push(if realm.setting("autocreate") == "1" { "makes users" } else { "makes no users" }.into());
    }
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::policy::{DirectoryMode, Policy, Site};
    use crate::pve::domains::parse;

    const REALMS: &str = "pve: pve\n\tcomment c\n\ttfa type=oath,digits=8\n\nldap: corp\n\tsecure 1\n\nad: old\n\tmode ldap\n\n\
        openid: sso\n\tautocreate 1\n\npam: pam\n\ttfa type=yubico,id=1,key=x\n";

    fn outcome(wanted: WantedRealm) -> Outcome {
        let mut policy = Policy::from_embedded("baseline", Site::default()).unwrap().profile.access;
        policy.realm = vec![wanted];
        realms(&policy, &parse(REALMS))
    }

    fn calls(wanted: WantedRealm) -> Vec<Vec<String>> {
        let outcome = outcome(wanted);
        assert_eq!(outcome.refusals, Vec::<String>::new());
        let words = |call: &AccessCall| call.words()[3..].to_vec();
        outcome
            .build
            .iter()
            .flat_map(|step| std::iter::once(words(&step.call)).chain(step.undo.iter().map(words)))
            .collect()
    }

    fn wanted(id: &str) -> WantedRealm {
        WantedRealm { id: id.into(), ..WantedRealm::default() }
    }

    #[test]
    fn a_factor_that_is_taken_away_comes_back_as_it_was() {
        let found = calls(WantedRealm { tfa: Some(RealmFactor::None), ..wanted("pve") });
        assert_eq!(found, [["--delete=tfa"], ["--tfa=type=oath,digits=8"]]);
        assert!(calls(WantedRealm { tfa: Some(RealmFactor::Oath), ..wanted("pve") }).is_empty());
        let found = calls(WantedRealm { tfa: Some(RealmFactor::Oath), ..wanted("corp") });
        assert_eq!(found, [["--tfa=type=oath"], ["--delete=tfa"]]);
    }

    #[test]
    fn a_directory_is_tried_before_it_is_changed_and_not_when_it_is_put_back() {
        let found = calls(WantedRealm { mode: Some(DirectoryMode::StartTls), verify: Some(true), ..wanted("old") });
        let change = vec!["--check-connection=1", "--mode=ldap+starttls", "--verify=1"];
        assert_eq!(found, [change, vec!["--mode=ldap", "--delete=verify"]]);
        assert!(calls(WantedRealm { mode: Some(DirectoryMode::Ldaps), ..wanted("corp") }).is_empty(), "secure 1");
        assert_eq!(
            calls(WantedRealm { autocreate: Some(false), ..wanted("sso") }),
            [["--autocreate=0"], ["--autocreate=1"]]
        );
    }

    #[test]
    fn what_a_type_does_not_have_is_refused() {
        for (wanted, why) in [
            (
                WantedRealm { tfa: Some(RealmFactor::Oath), ..wanted("sso") },
                "realm sso: a realm of type openid has no second factor of PVE's: its provider asks for one",
            ),
            (
                WantedRealm { verify: Some(true), ..wanted("pve") },
                "realm pve: a realm of type pve has no certificate to verify",
            ),
            (
                WantedRealm { tfa: Some(RealmFactor::None), ..wanted("pam") },
                "realm pam: it enforces yubico, whose key this tool does not handle: change it in the web interface",
            ),
        ] {
            let outcome = outcome(wanted);
            assert_eq!((outcome.refusals, outcome.build.len()), (vec![why.to_owned()], 0));
        }
    }
}
