//! What a cluster's members share is changed once, by the first of them.

use crate::change::Change;
use crate::error::Result;
use crate::plan::Plan;

/// Leaves the cluster-wide changes with the first plan, which says for whom it makes them, and takes them out of the
/// others. `plans` are those of one cluster, in the order in which they run.
pub fn share(plans: Vec<Plan>) -> Result<Vec<Plan>> {
    let names: Vec<String> = plans.iter().map(|plan| plan.node.clone()).collect();
    let mut shared = Vec::with_capacity(plans.len());
    for (place, plan) in plans.into_iter().enumerate() {
        shared.push(match (place, names.len()) {
            (_, 0 | 1) => plan,
            (0, _) => match paths(&plan) {
                paths if paths.is_empty() => plan,
                paths => {
                    let note = format!("for all of {}: {}", names.join(", "), paths.join(", "));
                    plan.with_note(format!("shared by the cluster and changed once, {note}"))?
                }
            },
            _ => plan.without_shared(&names[0])?,
        });
    }
    Ok(shared)
}

fn paths(plan: &Plan) -> Vec<String> {
    plan.shared().iter().map(|change| object(change)).collect()
}

fn object(change: &Change) -> String {
    change.action.touches().first().map_or_else(|| change.summary.clone(), ToString::to_string)
}

/// A cluster-wide change that one member's plan holds and another's does not, or in another form. They read the same
/// files, so one of them was read in between two hands, or their policies differ.
pub fn differing(plans: &[&Plan]) -> Option<String> {
    let first = plans.first()?;
    let actions = |plan: &Plan| plan.shared().iter().map(|change| change.action.clone()).collect::<Vec<_>>();
    let wanted = actions(first);
    plans[1..].iter().find(|plan| actions(plan) != wanted).map(|other| {
        let theirs = other.shared();
        let changed = first.shared().into_iter().chain(theirs).find(|change| {
            let has = |plan: &Plan| plan.shared().iter().any(|own| own.action == change.action);
            !has(first) || !has(other)
        });
        let what = changed.map_or_else(|| "what the cluster shares".to_owned(), object);
        format!("{} and {} want {what} differently, and the cluster shares it", first.node, other.node)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{Action, FileChange, FileImage, Stage};

    fn change(path: &str, content: &str) -> Change {
        Change {
            controls: vec!["x".into()],
            stage: Stage::Firewall,
            summary: String::new(),
            interrupts: None,
            action: Action::File(FileChange {
                path: path.into(),
                before: None,
                after: Some(FileImage::root(content, 0o640)),
                validate: None,
            }),
        }
    }

    fn plan(node: &str, changes: Vec<Change>) -> Plan {
        Plan {
            node: node.into(),
            seal: String::new(),
            changes,
            brings: vec![],
            expects: std::collections::BTreeMap::new(),
            verdicts: vec![],
            drift: Vec::new(),
            notes: vec![],
            refusals: vec![],
            proofs: vec![],
            reach: None,
            firewall_questions: Vec::new(),
            digests: crate::profile::policy::Digests::default(),
        }
    }

    const SHARED: &str = "/etc/pve/firewall/cluster.fw";

    #[test]
    fn one_member_changes_what_all_share() {
        let own = |node: &str| format!("/etc/pve/nodes/{node}/host.fw");
        let plans = ["pve1", "pve2", "pve3"].map(|node| plan(node, vec![change(SHARED, "a"), change(&own(node), "b")]));
        let shared = share(plans.to_vec()).unwrap();
        let counts: Vec<_> = shared.iter().map(|plan| plan.changes.len()).collect();
        assert_eq!(counts, [2, 1, 1]);
        assert_eq!(
            shared[0].notes,
            ["shared by the cluster and changed once, for all of pve1, pve2, pve3: /etc/pve/firewall/cluster.fw"]
        );
        assert_eq!(shared[2].notes, ["1 change of what the cluster shares: made once, on pve1"]);
    }

    #[test]
    fn members_must_agree() {
        let a = plan("pve1", vec![change(SHARED, "a")]);
        let b = plan("pve2", vec![change(SHARED, "b")]);
        let none = plan("pve3", vec![]);
        assert_eq!(differing(&[&a, &a]), None);
        let reason = "pve1 and pve2 want /etc/pve/firewall/cluster.fw differently, and the cluster shares it";
        assert_eq!(differing(&[&a, &b]).as_deref(), Some(reason));
        assert!(differing(&[&a, &none]).is_some() && differing(&[&none, &a]).is_some());
    }
}
