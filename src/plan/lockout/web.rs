//! Whether anybody who may do everything could still log in to PVE itself.

use std::collections::BTreeSet;

use super::{Refusal, refusal};
use crate::access::model;
use crate::change::access::AccessCall;
use crate::change::{Action, Change};
use crate::controls::access::{administrators, enforcement};
use crate::facts::{Facts, Reading};
use crate::pve::names;
use crate::pve::privileges::Catalogue;

/// Only a plan that changes PVE's users, rights or realms is judged.
pub(super) fn refusals(facts: &Facts, changes: &[Change]) -> Option<Refusal> {
    let calls: Vec<&AccessCall> = changes
        .iter()
        .filter_map(|change| match &change.action {
            Action::PveAccess { steps } => Some(steps),
            _ => None,
        })
        .flatten()
        .map(|step| &step.call)
        .collect();
    let before = facts.access.config.known().filter(|_| !calls.is_empty())?;
    let mut after = facts.clone();
    let mut config = before.clone();
    for call in calls {
        model::apply(&mut config, call);
        if let (AccessCall::RealmModify { realm, settings, .. }, Reading::Known(realms)) =
            (call, &mut after.access.realms)
            && let (Some(realm), Some(tfa)) = (realms.get_mut(realm), settings.get("tfa"))
        {
            realm.settings.insert("tfa".into(), tfa.clone());
        }
    }
    after.access.config = Reading::Known(config);
    // Who could not log in before is no reason against this plan.
    if able(facts)?.is_empty() || !able(&after)?.is_empty() {
        return None;
    }
    Some(refusal(
        "afterwards nobody with every right in PVE could log in to its web interface: root@pam and every Administrator are \
         disabled, at their end, or refused by their realm",
        "leave an Administrator who can log in, or leave `access.root-web` or the realm's `tfa` out",
    ))
}

/// Who may do everything and log in; nothing where that cannot be told, which the controls say themselves.
fn able(facts: &Facts) -> Option<BTreeSet<String>> {
    let config = facts.access.config.known()?;
    let catalogue = Catalogue::of(facts.pve.known().map_or(9, |release| release.major));
    let now = u64::try_from(facts.taken.known()?.as_second()).ok()?;
    let root = config.users.get(names::ROOT).is_none_or(|root| root.enabled).then(|| names::ROOT.to_owned());
    let all: BTreeSet<String> = administrators(config, catalogue, now).into_iter().chain(root).collect();
    let Some(realms) = facts.access.realms.known() else { return Some(all) };
    let mut refused = BTreeSet::new();
    for (name, realm) in realms {
        if let Some(kind) = realm.enforces() {
            refused.extend(enforcement::refused(facts, name, kind).ok()?.into_iter().map(|one| one.user));
        }
    }
    Some(all.difference(&refused).cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::Stage;
    use crate::facts::{Factors, PveRelease};
    use crate::pve::{domains, user_cfg};

    fn facts(users: &str, factors: &[(&str, &str)]) -> Facts {
        let mut facts = Facts::fresh_pve9();
        facts.pve = Reading::Known(PveRelease { major: 9, minor: 1, text: "9.1".into(), debian: 13 });
        facts.access.config = Reading::Known(user_cfg::parse(users, Catalogue::of(9)));
        facts.access.realms = Reading::Known(domains::parse(""));
        let one = |kind: &str| Factors { kinds: [(kind.to_owned(), 1)].into(), locked: false };
        facts.access.factors =
            Reading::Known(factors.iter().map(|(user, kind)| ((*user).to_owned(), one(kind))).collect());
        facts
    }

    fn refused(facts: &Facts, calls: Vec<AccessCall>) -> bool {
        let config = facts.access.config.known().unwrap();
        let steps = calls.into_iter().map(|call| model::step(config, call)).collect();
        let change = crate::plan::testing::change("access.x", Stage::PveAccess, Action::PveAccess { steps });
        refusals(facts, &[change]).is_some()
    }

    fn enforce(realm: &str) -> AccessCall {
        let settings = [("tfa".to_owned(), "type=oath".to_owned())].into();
        AccessCall::RealmModify { realm: realm.into(), comment: None, default: None, settings }
    }

    const ADMIN: &str = "user:root@pam:1:0::::::\nuser:adm@pve:1:0::::::\nacl:1:/:adm@pve:Administrator:\n";

    #[test]
    fn somebody_with_every_right_can_log_in_afterwards() {
        let closed = || vec![AccessCall::RootLogin { enabled: false }];
        assert!(!refused(&facts(ADMIN, &[]), closed()));
        let gone = AccessCall::UserDelete { user: "adm@pve".into() };
        assert!(refused(&facts(ADMIN, &[]), [closed(), vec![gone]].concat()), "by two controls of one plan");
        for other in [
            ADMIN.replace("adm@pve:1", "adm@pve:0"),
            ADMIN.replace("adm@pve:1:0", "adm@pve:1:7"),
            ADMIN.replace("acl:1:", "acl:0:"),
            format!("{ADMIN}acl:1:/vms:adm@pve:NoAccess:\n"),
        ] {
            assert!(refused(&facts(&other, &[]), closed()), "{other}");
        }
    }

    #[test]
    fn a_realm_that_refuses_the_last_one_is_refused() {
        let root = "user:root@pam:1:0::::::\n";
        assert!(refused(&facts(root, &[]), vec![enforce("pam")]));
        assert!(!refused(&facts(root, &[]), vec![enforce("pve")]));
        assert!(!refused(&facts(root, &[("root@pam", "totp")]), vec![enforce("pam")]));
        assert!(refused(&facts(root, &[("root@pam", "webauthn")]), vec![enforce("pam")]));
        assert!(!refused(&facts(root, &[("root@pam", "recovery")]), vec![enforce("pam")]));
        assert!(!refused(&facts(ADMIN, &[]), vec![enforce("pam")]), "adm@pve is of another realm");
        assert!(refused(&facts(ADMIN, &[]), vec![enforce("pam"), enforce("pve")]));
    }
}
