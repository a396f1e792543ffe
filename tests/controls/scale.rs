//! Many users and rights.

#[path = "../bench/access_scale.rs"]
mod access_scale;

use std::io::Write as _;
use std::time::Duration;

use access_scale::{EACH, Measured, USERS, measure};
use pve_harden::change::Action;

#[test]
fn a_thousand_users_with_ten_thousand_rights_are_planned_rightly() {
    let Measured { parsed, without, with, plan } = measure();
    let steps = plan.changes.iter().flat_map(|change| match &change.action {
        Action::PveAccess { steps } => steps.iter(),
        other => panic!("{other:?}"),
    });
    let words = |call: &pve_harden::change::access::AccessCall| call.words().join(" ");
    let calls: Vec<String> = steps
        .map(|step| format!("{} | {}", words(&step.call), step.undo.iter().map(words).collect::<Vec<_>>().join(" ; ")))
        .collect();
    assert_eq!(
        calls,
        [
            "user modify u002@pve --comment=person | user modify u002@pve --comment=other",
            "acl modify /vms/109 --roles=R1 --users=u500@pve --propagate=1 | acl delete /vms/109 --roles=R1 --users=u500@pve",
            "acl delete /nodes --roles=R0 --users=u001@pve | acl modify /nodes --roles=R0 --users=u001@pve --propagate=1",
        ]
    );
    let _ = writeln!(
        std::io::stderr(),
        "{USERS} users, {} rights, a build without optimization: read in {parsed:?}, planned in {:?}",
        USERS * EACH,
        with.saturating_sub(without)
    );
    assert!(with < Duration::from_secs(60), "{with:?}: not a matter of a slow machine");
}
