//! A change of cluster.fw binds every member of a cluster at the same moment, so it is no step of one node's run: here
//! it becomes one part for each member, carried out together after everything else.

use std::collections::BTreeMap;

use super::reach::FirewallQuestion;
use super::{Expect, Plan, build, seal};
use crate::change::{Action, Change, FileChange, FileImage, Stage};
use crate::error::{Error, Kind, Result};
use crate::facts::Facts;
use crate::pve::firewall::{ClusterFw, HostFw};

const CLUSTER_FW: &str = "/etc/pve/firewall/cluster.fw";

/// One member's part in a change of cluster.fw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirewallPart {
    /// Name of the node in the site.
    pub node: String,
    /// cluster.fw as it was read and as it will be; the same for every member.
    pub cluster: FileChange,
    /// Writes it, and takes it up first: one member of the cluster.
    pub writer: bool,
    /// This member's host.fw.
    pub host_path: String,
    /// host.fw that keeps the node out (`enable: 0`) until its turn comes; `None` where the datacenter's firewall is
    /// enforced already, so that all members take the new rules up together.
    pub shield: Option<FileImage>,
    /// host.fw afterwards; `None` removes it.
    pub host_after: Option<FileImage>,
    /// Whether it differs from what was read.
    pub host_changes: bool,
    /// Both files as they were read.
    pub expects: BTreeMap<String, Expect>,
    /// What the member's own firewall simulator is asked first.
    pub questions: Vec<FirewallQuestion>,
    /// host.fw of members that are offline, which the writer makes before cluster.fw; see [`Asleep`].
    pub asleep: Vec<FileChange>,
}

/// A member that the cluster knows to be offline. Nobody guards it when it comes back, and pmxcfs hands it the files of
/// the others then; so before the datacenter's firewall is enabled, its host.fw is made to keep it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asleep {
    /// Its name.
    pub name: String,
    /// Its host.fw as it was read; none where there is no such file.
    before: Option<FileImage>,
    /// The same, for the run to compare.
    expect: Expect,
}

impl Asleep {
    /// The offline members whose host.fw could be read.
    pub fn of(facts: &Facts) -> Vec<Self> {
        let peers = facts.cluster.known().into_iter().flat_map(|cluster| &cluster.peers).filter(|peer| !peer.online);
        let asleep = |name: &str| {
            let path = host_path(name);
            let before = facts.file(&path).certain().ok()?.and_then(|file| file.content.as_deref());
            let (before, expect) = (before.map(image), build::expectation(facts, &path).ok()?);
            Some(Self { name: name.to_owned(), before, expect })
        };
        peers.filter_map(|peer| asleep(&peer.name)).collect()
    }

    fn content(&self) -> &str {
        self.before.as_ref().map_or("", |before| &before.content)
    }

    /// Whether it takes no part in the datacenter's firewall.
    pub fn is_kept_out(&self) -> bool {
        let none = ClusterFw::parse("", HostFw::backend_of(self.content()));
        HostFw::parse(self.content(), &none).config().number("enable") == Some(0)
    }
}

impl Plan {
    /// Whether it enables the datacenter's firewall.
    pub fn enables_firewall(&self) -> bool {
        file_change(self, CLUSTER_FW).is_some_and(|cluster| enables(&cluster))
    }

    /// Keeps these members out of a datacenter's firewall that this plan enables; sealed anew.
    pub fn keeping_out(mut self, asleep: &[Asleep]) -> Result<Self> {
        let Some(cluster) = file_change(&self, CLUSTER_FW).filter(enables) else { return Ok(self) };
        let place = |change: &Change| matches!(&change.action, Action::File(file) if file.path == CLUSTER_FW);
        for member in asleep.iter().filter(|member| !member.is_kept_out()) {
            let path = host_path(&member.name);
            let after = Some(image(&kept_out(member.content(), &cluster)));
            self.expects.insert(path.clone(), member.expect.clone());
            let at = self.changes.iter().position(place).unwrap_or_default();
            let change = Change {
                controls: vec!["firewall.enable".into()],
                stage: Stage::Firewall,
                summary: format!("keep {}, which is offline, out of the datacenter's firewall", member.name),
                interrupts: None,
                action: Action::File(FileChange { path, before: member.before.clone(), after, validate: None }),
            };
            self.changes.insert(at, change);
            self.notes.push(format!(
                "{0} is offline and cannot prove that it is still reached: it will come back without the firewall; \
                 `apply` once more when it is there",
                member.name
            ));
        }
        self.seal = seal::seal(&self)?;
        Ok(self)
    }
}

fn host_path(name: &str) -> String {
    format!("/etc/pve/nodes/{name}/host.fw")
}

impl FirewallPart {
    /// One line per step, for people.
    pub fn lines(&self) -> Vec<String> {
        let keep_out = self.shield.as_ref().map(|_| format!("keep {} out of the datacenter's firewall", self.node));
        let write = if self.writer {
            format!("write {CLUSTER_FW} for all members")
        } else {
            format!("take up {CLUSTER_FW} as written for all members")
        };
        let lift = match (&self.shield, self.host_changes) {
            (Some(_), _) => Some(format!("let {} enforce the rules", self.node)),
            (None, true) => Some(format!("write {}", self.host_path)),
            (None, false) => None,
        };
        let asleep = self.asleep.iter().filter_map(|file| file.path.split('/').nth(4));
        let asleep = asleep.map(|name| format!("keep {name}, which is offline, out of the datacenter's firewall"));
        asleep.chain(keep_out).chain([write]).chain(lift).collect()
    }
}

/// Takes cluster.fw, and where it changes every member's host.fw, out of the plans of one cluster. The first member
/// writes. No parts when cluster.fw stays as it is.
pub fn firewall_parts(members: Vec<(Plan, &Facts)>) -> Result<(Vec<Plan>, Vec<FirewallPart>)> {
    let Some(cluster) = members.iter().find_map(|(plan, _)| file_change(plan, CLUSTER_FW)) else {
        return Ok((members.into_iter().map(|(plan, _)| plan).collect(), Vec::new()));
    };
    let mut plans = Vec::new();
    let mut parts = Vec::new();
    for (place, (plan, facts)) in members.into_iter().enumerate() {
        let part = part(&plan, facts, &cluster, place == 0)?;
        let asleep = part.asleep.iter().map(|file| file.path.as_str());
        let paths: Vec<&str> = asleep.chain([CLUSTER_FW, &part.host_path]).collect();
        plans.push(without(plan, &paths)?);
        parts.push(part);
    }
    Ok((plans, parts))
}

fn part(plan: &Plan, facts: &Facts, cluster: &FileChange, writer: bool) -> Result<FirewallPart> {
    let refused = |why: String| Error::msg(Kind::Refused, why).untouched(&plan.node);
    let name = facts.node_name.known().ok_or_else(|| refused("the node's own name is not known".into()))?;
    let host_path = host_path(name);
    let asleep: Vec<FileChange> = plan.changes.iter().filter_map(|change| of_another(change, &host_path)).collect();
    let expect = |path: &str| build::expectation(facts, path).map(|state| (path.to_owned(), state));
    let asleep_paths = asleep.iter().map(|file| file.path.as_str());
    let expects =
        asleep_paths.chain([CLUSTER_FW, &host_path]).map(expect).collect::<Result<_, _>>().map_err(refused)?;
    let before = facts.file(&host_path).certain().map_err(|why| refused(format!("{host_path}: {why}")))?;
    let before = before.and_then(|file| file.content.clone());
    let host_after = match file_change(plan, &host_path) {
        Some(change) => change.after,
        None => before.as_deref().map(image),
    };
    let host_changes = host_after.as_ref().map(|after| after.content.as_str()) != before.as_deref();
    let shield = enables(cluster).then(|| image(&kept_out(before.as_deref().unwrap_or_default(), cluster)));
    Ok(FirewallPart {
        node: plan.node.clone(),
        cluster: cluster.clone(),
        writer,
        host_path,
        shield,
        host_after,
        host_changes,
        expects,
        questions: plan.firewall_questions.clone(),
        asleep,
    })
}

/// Whether the datacenter's firewall is off before and on after.
fn enables(cluster: &FileChange) -> bool {
    let on = |image: Option<&FileImage>| {
        image.is_some_and(|image| {
            let file = ClusterFw::parse(&image.content, crate::pve::firewall::Backend::Iptables);
            file.config().number("enable").is_some_and(|enable| enable > 0)
        })
    };
    on(cluster.after.as_ref()) && !on(cluster.before.as_ref())
}

fn kept_out(host: &str, cluster: &FileChange) -> String {
    let rules = cluster.after.as_ref().map_or("", |after| after.content.as_str());
    let mut file = HostFw::parse(host, &ClusterFw::parse(rules, HostFw::backend_of(host)));
    file.set_option("enable", "0");
    file.print()
}

/// As pmxcfs has it.
fn image(content: &str) -> FileImage {
    FileImage { content: content.to_owned(), mode: 0o640, owner: "root".into(), group: "www-data".into() }
}

/// host.fw of another member.
fn of_another(change: &Change, own: &str) -> Option<FileChange> {
    match &change.action {
        Action::File(file) if file.path != own && file.path.ends_with("/host.fw") => Some(file.clone()),
        _ => None,
    }
}

fn file_change(plan: &Plan, path: &str) -> Option<FileChange> {
    plan.changes.iter().find_map(|change| match &change.action {
        Action::File(file) if file.path == path => Some(file.clone()),
        _ => None,
    })
}

fn without(mut plan: Plan, paths: &[&str]) -> Result<Plan> {
    let is_out = |action: &Action| matches!(action, Action::File(file) if paths.contains(&file.path.as_str()));
    plan.changes.retain(|change| !is_out(&change.action));
    plan.expects.retain(|path, _| !paths.contains(&path.as_str()));
    plan.firewall_questions.clear();
    if plan.changes.is_empty() {
        plan.proofs.clear();
        plan.brings.clear();
    }
    plan.seal = seal::seal(&plan)?;
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{Cluster, Peer, Reading};
    use crate::plan::testing::{change, empty_plan, regular};

    fn facts(name: &str, host: Option<&str>) -> Facts {
        let host = host.map_or(Reading::Absent, |text| regular(text, 0o640, "root"));
        let files = [(CLUSTER_FW.to_owned(), Reading::Absent), (format!("/etc/pve/nodes/{name}/host.fw"), host)];
        Facts { node_name: Reading::Known(name.into()), files: files.into(), ..Facts::default() }
    }

    fn writes(path: &str, before: Option<&str>, after: &str) -> Change {
        let file =
            FileChange { path: path.into(), before: before.map(image), after: Some(image(after)), validate: None };
        change("firewall.enable", Stage::Firewall, Action::File(file))
    }

    fn plan(node: &str, changes: Vec<Change>) -> Plan {
        Plan { node: node.into(), changes, ..empty_plan() }
    }

    const ON: &str = "[OPTIONS]\nenable: 1\n";

    #[test]
    fn every_member_is_kept_out_before_the_datacenter_is_enabled() {
        let own = "[OPTIONS]\nlog_level_in: info\n";
        let (one, two) = (facts("pve1", None), facts("pve2", Some(own)));
        let first = plan("pve1", vec![writes(CLUSTER_FW, None, ON), writes("/etc/x", None, "x")]);
        let second = plan("pve2", vec![writes("/etc/pve/nodes/pve2/host.fw", Some(own), "[OPTIONS]\nndp: 1\n")]);
        let (plans, parts) = firewall_parts(vec![(first, &one), (second, &two)]).unwrap();
        assert_eq!(plans.iter().map(|plan| plan.changes.len()).collect::<Vec<_>>(), [1, 0]);
        assert_eq!(parts.iter().map(|part| part.writer).collect::<Vec<_>>(), [true, false]);
        let shields: Vec<_> = parts.iter().map(|part| part.shield.as_ref().unwrap().content.as_str()).collect();
        assert_eq!(shields, ["[OPTIONS]\n\nenable: 0\n", "[OPTIONS]\nlog_level_in: info\nenable: 0\n"]);
        assert_eq!(parts[0].host_after, None);
        assert_eq!(parts[1].host_after.as_ref().unwrap().content, "[OPTIONS]\nndp: 1\n");
        assert_eq!(parts[0].cluster, parts[1].cluster);
        assert_eq!(parts[1].expects.len(), 2);
    }

    /// The facts of pve1, with these members offline.
    fn beside(offline: &[(&str, Option<&str>)]) -> Facts {
        let mut all = facts("pve1", None);
        for (name, host) in offline {
            all.files.extend(facts(name, *host).files);
        }
        let peer = |name: &str| Peer { name: name.into(), addresses: [].into(), online: false };
        let peers = offline.iter().map(|(name, _)| peer(name)).chain([peer("pve9")]).collect();
        all.cluster = Reading::Known(Cluster { name: "lab".into(), quorate: true, peers, migration_network: None });
        all
    }

    #[test]
    fn who_is_offline_comes_back_without_the_rules() {
        let out = "[OPTIONS]\nenable: 0\n";
        let facts = beside(&[("pve3", Some("[RULES]\nIN ACCEPT -p icmp\n")), ("pve4", Some(out)), ("pve5", None)]);
        let asleep = Asleep::of(&facts);
        // Of pve9 nothing was read.
        let kept: Vec<_> = asleep.iter().map(|member| (member.name.as_str(), member.is_kept_out())).collect();
        assert_eq!(kept, [("pve3", false), ("pve4", true), ("pve5", false)]);

        let enables = plan("pve1", vec![writes("/etc/x", None, "x"), writes(CLUSTER_FW, None, ON)]);
        assert!(enables.enables_firewall());
        let kept = enables.clone().keeping_out(&asleep).unwrap();
        assert_ne!(kept.seal, enables.seal);
        let touched: Vec<_> = kept.changes.iter().flat_map(|change| change.action.touches()).collect();
        let nodes = "/etc/pve/nodes";
        let (pve3, pve5) = (format!("{nodes}/pve3/host.fw"), format!("{nodes}/pve5/host.fw"));
        assert_eq!(touched, ["/etc/x", &pve3, &pve5, CLUSTER_FW]);
        assert_eq!(kept.notes.len(), 2);
        let Some(Action::File(file)) = kept.changes.get(1).map(|change| &change.action) else { panic!() };
        let rules = "[OPTIONS]\n\nenable: 0\n\n[RULES]\nIN ACCEPT -p icmp\n";
        assert_eq!(file.after.as_ref().unwrap().content, rules);

        let (plans, parts) = firewall_parts(vec![(kept, &facts)]).unwrap();
        assert_eq!(plans[0].changes.len(), 1);
        assert_eq!(parts[0].asleep.iter().map(|file| &file.path).collect::<Vec<_>>(), [&pve3, &pve5]);
        assert!(parts[0].expects.contains_key(&pve3) && parts[0].expects.contains_key(&pve5));
        assert_eq!(parts[0].lines()[0], "keep pve3, which is offline, out of the datacenter's firewall");
        assert_eq!(parts[0].lines().len(), 5);
    }

    #[test]
    fn who_is_offline_stays_as_it_is_when_nothing_is_enabled() {
        let asleep = Asleep::of(&beside(&[("pve3", None)]));
        let changes = plan("pve1", vec![writes(CLUSTER_FW, Some(ON), "[OPTIONS]\nenable: 1\npolicy_in: DROP\n")]);
        assert_eq!(changes.clone().keeping_out(&asleep).unwrap(), changes);
    }

    #[test]
    fn a_firewall_that_is_enforced_already_stays_enforced() {
        let first = plan("pve1", vec![writes(CLUSTER_FW, Some(ON), "[OPTIONS]\nenable: 1\npolicy_in: DROP\n")]);
        let (one, two) = (facts("pve1", None), facts("pve2", Some("[OPTIONS]\nndp: 1\n")));
        let (_, parts) = firewall_parts(vec![(first, &one), (plan("pve2", vec![]), &two)]).unwrap();
        assert!(parts.iter().all(|part| part.shield.is_none()));
        assert_eq!(parts[1].host_after.as_ref().unwrap().content, "[OPTIONS]\nndp: 1\n");
        assert!(parts.iter().all(|part| !part.host_changes && part.lines().len() == 1));
    }

    #[test]
    fn without_cluster_fw_every_plan_stays_whole() {
        let own = plan("pve1", vec![writes("/etc/pve/nodes/pve1/host.fw", None, ON)]);
        let (plans, parts) = firewall_parts(vec![(own.clone(), &facts("pve1", None))]).unwrap();
        assert_eq!((plans, parts), (vec![own], vec![]));
    }

    #[test]
    fn an_unread_host_fw_stops_the_cluster() {
        let mut two = facts("pve2", None);
        two.files.remove("/etc/pve/nodes/pve2/host.fw");
        let first = plan("pve1", vec![writes(CLUSTER_FW, None, ON)]);
        let error = firewall_parts(vec![(first, &facts("pve1", None)), (plan("pve2", vec![]), &two)]).unwrap_err();
        assert_eq!(error.kind, Kind::Refused);
        assert!(error.to_string().contains("/etc/pve/nodes/pve2/host.fw"), "{error}");
    }
}
