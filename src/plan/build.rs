//! Facts and policy in, one plan out.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Expect, Operator, Plan, Proof, Refusal, Selection, drift, hold, lockout, merge, notes, order,
    packages as installation, reach, seal,
};
use crate::change::access::AccessCall;
use crate::change::{Action, Change, Stage};
use crate::controls::{CATALOGUE, Control, Status, Verdict};
use crate::error::{Error, Kind, Result};
use crate::facts::gather::Request;
use crate::facts::{Facts, FileKind};
use crate::profile::policy::{Policy, Waiver};

/// Judges the node with every selected control that the policy enables, and puts what they want into one ordered,
/// guarded and sealed plan.
pub fn build(facts: &Facts, policy: &Policy, selection: &Selection, operator: &Operator) -> Result<Plan> {
    build_from(CATALOGUE, facts, policy, selection, operator)
}

/// Paths a capture must hold for the controls that this policy enables, and for the guard.
pub fn reads(policy: &Policy) -> BTreeSet<String> {
    let enabled = CATALOGUE.iter().filter(|control| control.enabled(policy));
    enabled.flat_map(|control| control.reads(policy)).chain(lockout::reads(policy)).collect()
}

/// Adds what the enabled controls ask beside paths and packages.
pub fn ask(policy: &Policy, request: &mut Request) {
    for control in CATALOGUE.iter().filter(|control| control.enabled(policy)) {
        control.ask(policy, request);
    }
}

/// Packages whose installation a capture simulates: those of the controls that this policy enables and does not leave
/// out.
pub fn packages(policy: &Policy) -> BTreeSet<String> {
    let asked = CATALOGUE.iter().filter(|control| asks(policy, **control));
    asked.flat_map(|control| control.packages()).map(ToString::to_string).collect()
}

/// The policy with the controls named that the selection leaves out.
pub fn narrowed(policy: &Policy, selection: &Selection) -> Policy {
    narrowed_in(CATALOGUE, policy, selection)
}

pub(crate) fn build_from(
    catalogue: &[&dyn Control],
    facts: &Facts,
    policy: &Policy,
    selection: &Selection,
    operator: &Operator,
) -> Result<Plan> {
    let policy = &narrowed_in(catalogue, policy, selection);
    let verdicts = judge(catalogue, facts, policy, selection);
    let mut changes = merge::merge(verdicts.iter().flat_map(|(_, verdict)| wanted(verdict)).cloned())?;
    order::arrange(&mut changes);
    let mut plan = Plan {
        node: policy.host.name.clone(),
        seal: String::new(),
        brings: installation::brings(facts, &changes),
        expects: expects(facts, &changes)?,
        proofs: proofs(facts, policy, operator, &changes),
        reach: None,
        firewall_questions: Vec::new(),
        changes,
        verdicts,
        drift: Vec::new(),
        notes: Vec::new(),
        refusals: Vec::new(),
        digests: policy.digests.clone(),
    };
    plan.refusals = refusals(facts, policy, operator, &plan);
    plan.drift = drift::drift(facts, policy, &plan);
    if let Some(asked) = reach::reach(facts, policy, operator, &plan.changes) {
        let (reach, questions) = asked.map_or_else(|why| (Err(why), Vec::new()), |(reach, asked)| (Ok(reach), asked));
        plan.refusals.extend(reach::refusals(&reach, operator));
        plan.firewall_questions = questions;
        plan.reach = reach.ok();
    }
    plan.notes = notes::notes(facts, policy, operator, &plan);
    plan.seal = seal::seal(&plan)?;
    Ok(plan)
}

/// What is waived is left as it is, like what was not selected.
fn narrowed_in(catalogue: &[&dyn Control], policy: &Policy, selection: &Selection) -> Policy {
    let ids = catalogue.iter().map(|control| control.meta()).filter(|meta| !selection.takes(meta));
    let waived = catalogue.iter().map(|control| control.meta()).filter(|meta| policy.waiver(meta.id).is_some());
    Policy { left_out: ids.chain(waived).map(|meta| meta.id.to_owned()).collect(), ..policy.clone() }
}

fn asks(policy: &Policy, control: &dyn Control) -> bool {
    !policy.left_out.contains(control.meta().id) && control.enabled(policy)
}

fn judge(catalogue: &[&dyn Control], facts: &Facts, policy: &Policy, selection: &Selection) -> Vec<(String, Verdict)> {
    let meant = |control: &&&dyn Control| selection.takes(control.meta()) && control.enabled(policy);
    let judged = |control: &&dyn Control| {
        let id = control.meta().id;
        let verdict = match policy.waiver(id) {
            Some(waiver) => accepted(control.evaluate(facts, &alone(policy, id)), waiver),
            None => bounded(facts, name_changes(id, control.evaluate(facts, policy))),
        };
        (id.to_owned(), verdict)
    };
    catalogue.iter().filter(meant).map(judged).collect()
}

/// The policy in which this control is not left out.
fn alone(policy: &Policy, id: &str) -> Policy {
    let mut policy = policy.clone();
    policy.left_out.remove(id);
    policy
}

/// A deviation that is accepted. What cannot be told is no deviation, and nobody can have accepted it.
fn accepted(verdict: Verdict, waiver: &Waiver) -> Verdict {
    let deviation = match verdict.status {
        Status::Differs { changes, advice } => advice.unwrap_or_else(|| {
            let steps = changes.len();
            format!("{steps} step{} left undone", if steps == 1 { "" } else { "s" })
        }),
        Status::Refused { why } => why,
        status => return Verdict { status, ..verdict },
    };
    Verdict { status: Status::Waived { deviation, waiver: waiver.clone() }, evidence: verdict.evidence }
}

/// A change always names the control it came from.
fn name_changes(id: &str, mut verdict: Verdict) -> Verdict {
    if let Status::Differs { changes, .. } = &mut verdict.status {
        for change in changes {
            if !change.controls.iter().any(|name| name == id) {
                change.controls.push(id.to_owned());
            }
        }
    }
    verdict
}

/// A verdict whose changes touch something that was not read is no verdict: without the state before there is no
/// diff, no digest to re-check and no way back.
fn bounded(facts: &Facts, verdict: Verdict) -> Verdict {
    let Some(why) = wanted(&verdict).iter().find_map(|change| unread(facts, change)) else { return verdict };
    let why = format!("{why}; its changes are left out of the plan");
    Verdict { status: Status::Unknown { why }, evidence: verdict.evidence }
}

fn wanted(verdict: &Verdict) -> &[Change] {
    match &verdict.status {
        Status::Differs { changes, .. } => changes,
        _ => &[],
    }
}

fn unread(facts: &Facts, change: &Change) -> Option<String> {
    change.action.touches().into_iter().find_map(|path| expectation(facts, path).err())
}

pub(super) fn expectation(facts: &Facts, path: &str) -> Result<Expect, String> {
    let Some(fact) = facts.file(path).certain().map_err(|why| format!("{path}: {why}"))? else {
        return Ok(Expect::Absent);
    };
    let (mode, owner, group) = (fact.mode, fact.owner.clone(), fact.group.clone());
    match &fact.kind {
        FileKind::Directory => Ok(Expect::Directory { mode, owner, group }),
        FileKind::Regular => {
            let digest = fact
                .digest
                .clone()
                .ok_or_else(|| format!("{path}: its content was not read: it is too large, or not text in UTF-8"))?;
            Ok(Expect::File { digest, mode, owner, group })
        }
        FileKind::Symlink(target) => Err(format!("{path} is a symbolic link to {target}, which is never replaced")),
        FileKind::Other => Err(format!("{path} is neither a file nor a directory")),
    }
}

/// The state of every touched path. A change whose "before" is not what was read was made from something else.
fn expects(facts: &Facts, changes: &[Change]) -> Result<BTreeMap<String, Expect>> {
    let mut expects = BTreeMap::new();
    for change in changes {
        for path in change.action.touches() {
            let expect = expectation(facts, path).map_err(|why| Error::msg(Kind::Internal, why))?;
            expects.insert(path.to_owned(), expect);
        }
        if let Action::File(file) = &change.action {
            let claimed = file.before.as_ref().map(|image| seal::digest(&image.content));
            let read = match expects.get(&file.path) {
                Some(Expect::File { digest, .. }) => Some(digest.clone()),
                _ => None,
            };
            if claimed != read {
                let by = change.controls.join(", ");
                return Err(Error::msg(
                    Kind::Internal,
                    format!("{by}: the change of {} is not made from what was read", file.path),
                ));
            }
        }
    }
    Ok(expects)
}

fn refusals(facts: &Facts, policy: &Policy, operator: &Operator, plan: &Plan) -> Vec<Refusal> {
    let mut refusals: Vec<Refusal> = plan
        .verdicts
        .iter()
        .filter_map(|(id, verdict)| match &verdict.status {
            Status::Refused { why } => Some(Refusal {
                reason: format!("{id}: {why}"),
                way_out: format!("change the profile or the site; `pve-harden explain {id}` says why"),
            }),
            _ => None,
        })
        .collect();
    refusals.extend(installation::refusal(facts, &plan.changes));
    if !plan.changes.is_empty() {
        refusals.extend(hold::refusals(facts, operator));
    }
    refusals.extend(lockout::refusals(facts, policy, operator, &plan.changes));
    refusals
}

/// What the operator must be shown to still be able to do, given what changes.
fn proofs(facts: &Facts, policy: &Policy, operator: &Operator, changes: &[Change]) -> Vec<Proof> {
    if changes.is_empty() {
        return Vec::new();
    }
    let ways: BTreeSet<Way> = changes.iter().flat_map(ways).collect();
    let affects = |some: &[Way]| some.iter().any(|way| ways.contains(way));
    let mut proofs = Vec::new();
    if let Some(user) = lockout::proving_admin(facts, policy, operator, changes) {
        proofs.push(Proof::AdminLogin { user, after_accounts: affects(&[Way::Accounts, Way::Ssh]) });
    }
    if affects(&[Way::Pam]) {
        proofs.push(Proof::PasswordAuth);
    }
    if closes_root(changes) {
        proofs.push(Proof::WebAdministrator { user: policy.profile.access.root_web.administrator.clone() });
    }
    if facts.pve.known().is_some() && affects(&[Way::Pam, Way::Web, Way::Firewall]) {
        proofs.push(Proof::WebInterface);
    }
    let peers: Vec<_> = facts
        .cluster
        .known()
        .map(|cluster| cluster.peers.iter().filter(|peer| peer.online).map(|peer| peer.name.clone()).collect())
        .unwrap_or_default();
    if !peers.is_empty() && affects(&[Way::Ssh, Way::Pam, Way::Firewall]) {
        proofs.push(Proof::PeerSsh { peers });
    }
    proofs
}

/// A way in, or something it depends on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    Accounts,
    Ssh,
    Pam,
    Web,
    Firewall,
}

fn closes_root(changes: &[Change]) -> bool {
    let closes = |change: &Change| match &change.action {
        Action::PveAccess { steps } => {
            steps.iter().any(|step| matches!(step.call, AccessCall::RootLogin { enabled: false }))
        }
        _ => false,
    };
    changes.iter().any(closes)
}

/// The ways that a change can affect.
fn ways(change: &Change) -> impl Iterator<Item = Way> {
    let below = |prefixes: &[&str]| match &change.action {
        Action::File(file) => prefixes.iter().any(|prefix| file.path.starts_with(prefix)),
        _ => false,
    };
    let pam = match &change.action {
        Action::PamProfiles { .. } | Action::UserPassword { .. } | Action::UserAging { .. } => true,
        Action::Packages { install } => install.iter().any(|name| name.starts_with("libpam")),
        _ => below(&["/etc/pam.d/", "/etc/security/", "/usr/share/pam-configs/", "/etc/login.defs"]),
    };
    let affected = [
        (Way::Accounts, change.stage == Stage::Accounts),
        (Way::Ssh, change.stage == Stage::Ssh || below(&["/etc/ssh/"])),
        (Way::Pam, pam),
        (Way::Web, below(&["/etc/default/pveproxy", "/etc/pve/"]) || closes_root(std::slice::from_ref(change))),
        (Way::Firewall, change.stage == Stage::Firewall),
    ];
    affected.into_iter().filter(|(_, affected)| *affected).map(|(way, _)| way)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::UnitVerb;
    use crate::facts::{Cluster, Peer, PveRelease, Reading};
    use crate::plan::testing::{Fake, change, new_file, policy, regular};
    use crate::profile::policy::Scope;

    fn facts(paths: &[&str]) -> Facts {
        Facts { files: paths.iter().map(|path| ((*path).into(), Reading::Absent)).collect(), ..Facts::default() }
    }

    fn built(fakes: &[Fake], facts: &Facts, selection: &[&str]) -> Result<Plan> {
        let catalogue: Vec<&dyn Control> = fakes.iter().map(|fake| fake as &dyn Control).collect();
        let patterns: Vec<_> = selection.iter().map(ToString::to_string).collect();
        let selection = Selection::parse_in(&catalogue, &patterns)?;
        build_from(&catalogue, facts, &policy(), &selection, &Operator::default())
    }

    fn file_step(control: &str, path: &str) -> Change {
        change(control, Stage::Services, new_file(path, "x\n", 0o644))
    }

    #[test]
    fn disabled_and_unselected_controls_are_not_judged() {
        let compliant = || Verdict::compliant(vec![]);
        let fakes = [Fake::new("a.one", compliant()), Fake::disabled("a.two"), Fake::new("b.three", compliant())];
        let plan = built(&fakes, &Facts::default(), &["a.*"]).unwrap();
        assert_eq!(plan.verdicts.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["a.one"]);
    }

    #[test]
    fn a_waived_deviation_is_shown_and_left_alone_until_its_waiver_ends() {
        let built = |expires: jiff::civil::Date| {
            let mut policy = policy();
            policy.site.waivers = vec![Waiver {
                control: "a.one".into(),
                scope: Scope::Node("pve1".into()),
                owner: "o".into(),
                reason: "r".into(),
                expires,
            }];
            let fakes = [
                Fake::wants("a.one", vec![file_step("a.one", "/etc/x")]),
                Fake::wants("a.two", vec![file_step("a.two", "/etc/y")]),
            ];
            let catalogue: Vec<&dyn Control> = fakes.iter().map(|fake| fake as &dyn Control).collect();
            let facts = facts(&["/etc/x", "/etc/y"]);
            build_from(&catalogue, &facts, &policy, &Selection::all(), &Operator::default()).unwrap()
        };
        let plan = built(policy().today);
        assert_eq!(plan.changes.iter().flat_map(|change| &change.controls).collect::<Vec<_>>(), ["a.two"]);
        let Status::Waived { deviation, waiver } = &plan.verdicts[0].1.status else { panic!("{:?}", plan.verdicts) };
        assert_eq!((deviation.as_str(), waiver.owner.as_str()), ("1 step left undone", "o"));
        assert_eq!(built(policy().today.yesterday().unwrap()).changes.len(), 2, "an expired waiver waives nothing");
    }

    #[test]
    fn what_cannot_be_told_is_not_waived() {
        let mut policy = policy();
        let waiver = policy.today;
        policy.site.waivers = vec![Waiver {
            control: "a.one".into(),
            scope: Scope::Node("pve1".into()),
            owner: "o".into(),
            reason: "r".into(),
            expires: waiver,
        }];
        let fake = Fake::new("a.one", Verdict::unknown("unreadable"));
        let built = build_from(&[&fake], &Facts::default(), &policy, &Selection::all(), &Operator::default()).unwrap();
        assert!(matches!(built.verdicts[0].1.status, Status::Unknown { .. }));
    }

    #[test]
    fn a_level_holds_those_below_it() {
        let fakes =
            [Fake::new("a.one", Verdict::compliant(vec![])), Fake::new("a.two", Verdict::compliant(vec![])).level(3)];
        let judged = |level| {
            let catalogue: Vec<&dyn Control> = fakes.iter().map(|fake| fake as &dyn Control).collect();
            let selection = Selection::all().up_to(level);
            build_from(&catalogue, &Facts::default(), &policy(), &selection, &Operator::default())
                .unwrap()
                .verdicts
                .len()
        };
        assert_eq!((judged(Some(1)), judged(Some(2)), judged(Some(3)), judged(None)), (1, 1, 2, 2));
    }

    #[test]
    fn a_change_of_something_unread_makes_its_control_unknown_and_leaves_the_others() {
        let both = vec![file_step("a.one", "/etc/read"), file_step("a.one", "/etc/unread")];
        let fakes = [Fake::wants("a.one", both), Fake::wants("a.two", vec![file_step("a.two", "/etc/read")])];
        let plan = built(&fakes, &facts(&["/etc/read"]), &[]).unwrap();
        let Status::Unknown { why } = &plan.verdicts[0].1.status else { panic!("{:?}", plan.verdicts) };
        assert_eq!(why, "/etc/unread: the capture does not contain it; its changes are left out of the plan");
        assert_eq!(plan.changes.len(), 1);
        assert_eq!(plan.changes[0].controls, ["a.two"]);
    }

    #[test]
    fn a_symbolic_link_is_never_replaced() {
        let mut facts = facts(&[]);
        let Reading::Known(mut link) = regular("", 0o777, "root") else { unreachable!() };
        link.kind = FileKind::Symlink("/etc/pve/priv/authorized_keys".into());
        facts.files.insert("/root/.ssh/authorized_keys".into(), Reading::Known(link));
        let fakes = [Fake::wants("a.one", vec![file_step("a.one", "/root/.ssh/authorized_keys")])];
        let plan = built(&fakes, &facts, &[]).unwrap();
        assert!(matches!(&plan.verdicts[0].1.status, Status::Unknown { why } if why.contains("symbolic link")));
        assert!(plan.changes.is_empty());
    }

    #[test]
    fn a_change_made_from_something_else_than_what_was_read_is_a_defect() {
        let mut facts = facts(&[]);
        facts.files.insert("/etc/x".into(), regular("real\n", 0o644, "root"));
        let error = built(&[Fake::wants("a.one", vec![file_step("a.one", "/etc/x")])], &facts, &[]).unwrap_err();
        assert_eq!(error.kind, Kind::Internal);
    }

    #[test]
    fn what_is_expected_is_what_was_read() {
        let mut facts = facts(&["/etc/new"]);
        for path in ["/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow"] {
            facts.files.insert(path.into(), regular(path, 0o640, "root"));
        }
        let group = change("a.one", Stage::Accounts, Action::Group { name: "g".into(), system: false });
        let plan = built(&[Fake::wants("a.one", vec![file_step("a.one", "/etc/new"), group])], &facts, &[]).unwrap();
        assert_eq!(plan.expects.len(), 5);
        assert_eq!(plan.expects["/etc/new"], Expect::Absent);
        let digest = seal::digest("/etc/shadow");
        assert!(matches!(&plan.expects["/etc/shadow"], Expect::File { digest: found, .. } if *found == digest));
    }

    #[test]
    fn a_refusing_control_refuses_the_plan() {
        let plan = built(&[Fake::new("a.one", Verdict::refused("it would harm"))], &Facts::default(), &[]).unwrap();
        assert_eq!(plan.refusals[0].reason, "a.one: it would harm");
    }

    #[test]
    fn proofs_follow_what_is_touched() {
        let peer = |name: &str, online| Peer { name: name.into(), addresses: [].into(), online };
        let release = PveRelease { major: 9, minor: 1, text: "9.1".into(), debian: 13 };
        let mut facts = facts(&["/etc/ssh/sshd_config.d/x.conf", "/etc/security/faillock.conf", "/etc/profile.d/x.sh"]);
        facts.pve = Reading::Known(release);
        facts.cluster = Reading::Known(Cluster {
            name: "lab".into(),
            quorate: true,
            peers: vec![peer("pve2", true), peer("pve3", false)],
            migration_network: None,
        });
        let proofs = |step: Change| built(&[Fake::wants("a.one", vec![step])], &facts, &[]).unwrap().proofs;
        let peers = Proof::PeerSsh { peers: vec!["pve2".into()] };
        let ssh = change("a.one", Stage::Ssh, new_file("/etc/ssh/sshd_config.d/x.conf", "", 0o600));
        assert_eq!(proofs(ssh), std::slice::from_ref(&peers));
        let pam = file_step("a.one", "/etc/security/faillock.conf");
        assert_eq!(proofs(pam), [Proof::PasswordAuth, Proof::WebInterface, peers]);
        assert_eq!(proofs(file_step("a.one", "/etc/profile.d/x.sh")), []);
    }

    #[test]
    fn steps_name_the_control_that_wants_them_and_run_in_order() {
        let unit = Action::Unit { unit: "x.service".into(), verb: UnitVerb::TryRestart };
        let mut step = file_step("a.one", "/etc/x");
        step.controls.clear();
        let fakes = [Fake::wants("a.one", vec![change("a.one", Stage::Services, unit), step])];
        let plan = built(&fakes, &facts(&["/etc/x"]), &[]).unwrap();
        assert!(matches!(plan.changes[0].action, Action::File(_)));
        assert_eq!(plan.changes[0].controls, ["a.one"]);
        assert_eq!(plan.seal.len(), 64);
    }
}
