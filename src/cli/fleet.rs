//! The nodes of one command as a whole: members that nobody named, what a cluster shares, who must wait for whom.

use std::net::IpAddr;

use super::nodes::{self, Reached};
use super::settings::Settings;
use crate::error::Result;
use crate::facts::Peer;
use crate::fleet::{self, Lane, Named, Seen};
use crate::plan::{Asleep, Plan, Refusal};
use crate::profile::policy::{Host, Policy};

/// Contacts every node of `policies`, and with `--cluster` the members of their clusters that these name.
pub async fn reach<T, F, W>(
    settings: &Settings,
    policies: Vec<Policy>,
    arguments: &super::args::Nodes,
    work: W,
) -> Vec<Reached<T>>
where
    T: 'static,
    F: Future<Output = Result<(Seen, T)>> + 'static,
    W: Fn(Policy) -> F,
{
    let at_once = usize::from(arguments.parallel);
    let mut reached = nodes::each(policies, at_once, &work).await;
    if arguments.cluster {
        let more = members(settings, &reached);
        reached.extend(nodes::each(more, at_once, &work).await);
    }
    reached
}

/// What the grouping must know of the nodes of a command.
pub fn named<T>(reached: &[Reached<T>]) -> Vec<Named<'_>> {
    reached
        .iter()
        .map(|Reached { policy, result }| Named {
            name: &policy.host.name,
            address: &policy.host.address,
            seen: result.as_ref().ok().map(|(seen, _)| seen),
        })
        .collect()
}

/// Policies of the members that were not named, reached as the member that named them.
fn members<T>(settings: &Settings, reached: &[Reached<T>]) -> Vec<Policy> {
    let named = named(reached);
    let mut found = Vec::new();
    for lane in fleet::lanes(&named) {
        let Some(first) = lane.nodes.first() else { continue };
        let Some(seen) = named[*first].seen else { continue };
        let like = &reached[*first].policy.host;
        for peer in &lane.missing {
            if let Some(address) = seen.way_to(peer) {
                found.push(settings.loaded.policy_for(&member(&settings.loaded.site.hosts, like, peer, address)));
            }
        }
    }
    found
}

/// The site's own word of a member, else the discovered address with the login settings of the one that named it. A
/// pinned host key is of one node alone.
fn member(site: &[Host], like: &Host, peer: &Peer, address: IpAddr) -> Host {
    let is_peer = |host: &&Host| {
        let same = host.address.parse().is_ok_and(|address: IpAddr| peer.addresses.contains(&address));
        same || (host.name == peer.name && host.address.parse::<IpAddr>().is_err())
    };
    site.iter().find(is_peer).cloned().unwrap_or_else(|| Host {
        name: peer.name.clone(),
        address: address.to_string(),
        host_key: None,
        groups: Vec::new(),
        ..like.clone()
    })
}

/// Puts the plans of one command in relation: what a cluster shares stays with the first member alone, members that
/// were not named are told, and where something is to begin (`begins`) a member that cannot go along holds the others.
pub fn settle(lanes: &[Lane], named: &[Named<'_>], plans: &mut [Option<Plan>], begins: bool) -> Result<()> {
    for lane in lanes.iter().filter(|lane| lane.cluster.is_some()) {
        let places: Vec<usize> = lane.nodes.iter().copied().filter(|place| plans[*place].is_some()).collect();
        let own: Vec<Plan> = places.iter().filter_map(|place| plans[*place].take()).collect();
        for (place, plan) in places.into_iter().zip(settled(lane, named, own, begins)?) {
            plans[place] = Some(plan);
        }
    }
    Ok(())
}

fn settled(lane: &Lane, named: &[Named<'_>], mut plans: Vec<Plan>, begins: bool) -> Result<Vec<Plan>> {
    if let Some(why) = fleet::differing(&plans.iter().collect::<Vec<_>>()) {
        let refusal = Refusal {
            reason: why,
            way_out: "plan again; where it stays, the members' part of site and profile must agree".into(),
        };
        return plans.into_iter().map(|plan| plan.refused(refusal.clone())).collect();
    }
    plans = fleet::share(plans)?;
    let asleep = asleep(lane, named);
    if let Some(why) = held_by(lane, named, &plans).or_else(|| unshielded(lane, asleep, &plans)).filter(|_| begins) {
        let refuse = |plan: Plan| {
            if plan.refusals.is_empty() && !plan.changes.is_empty() { plan.refused(why.clone()) } else { Ok(plan) }
        };
        plans = plans.into_iter().map(refuse).collect::<Result<_>>()?;
    }
    if let Some(first) = plans.first_mut() {
        *first = std::mem::take(first).keeping_out(asleep)?;
    }
    if let Some(note) = left_out(lane)
        && let Some(first) = plans.first_mut()
    {
        *first = first.clone().with_note(note)?;
    }
    Ok(plans)
}

/// A cluster is changed as a whole or not at all: the member that cannot go along.
fn held_by(lane: &Lane, named: &[Named<'_>], plans: &[Plan]) -> Option<Refusal> {
    let unread = lane.unread.first().map(|place| format!("{} could not be read", named[*place].name));
    let refused =
        || plans.iter().find(|plan| !plan.refusals.is_empty()).map(|plan| format!("{} is refused", plan.node));
    let why = unread.or_else(refused)?;
    Some(Refusal {
        reason: format!("{why}, and is a member of the same cluster"),
        way_out: "put that right, or name the other members alone".into(),
    })
}

/// What the first member knows of those that are offline.
fn asleep<'a>(lane: &Lane, named: &[Named<'a>]) -> &'a [Asleep] {
    lane.nodes.first().and_then(|first| named[*first].seen).map_or(&[], |seen| &seen.asleep)
}

/// A change of cluster.fw binds every member at the same moment, so every member must be guarded, or kept out of it: an
/// offline one takes it up when it comes back, and nobody is there then.
fn unshielded(lane: &Lane, asleep: &[Asleep], plans: &[Plan]) -> Option<Refusal> {
    let first = plans.first().filter(|plan| changes_cluster_fw(plan))?;
    let refusal = |why: String, way_out: &str| Refusal {
        reason: format!("cluster.fw binds every member of the cluster at the same moment, and {why}"),
        way_out: way_out.into(),
    };
    let left_out: Vec<&str> = lane.missing.iter().map(|peer| peer.name.as_str()).collect();
    let left_out: Vec<&str> =
        left_out.into_iter().filter(|name| !lane.asleep.iter().any(|other| other == name)).collect();
    if !left_out.is_empty() {
        return Some(refusal(
            format!("this command leaves out {}", left_out.join(", ")),
            "apply to the whole cluster with `--cluster`; what does not concern the firewall can go first: `--control 'ssh.*'`",
        ));
    }
    let bound = |name: &&String| match asleep.iter().find(|member| member.name == **name) {
        Some(member) => !first.enables_firewall() && !member.is_kept_out(),
        None => true,
    };
    let bound: Vec<&str> = lane.asleep.iter().filter(bound).map(String::as_str).collect();
    (!bound.is_empty()).then(|| {
        refusal(
            format!("{} would take it up alone, when it comes back from being offline", bound.join(", ")),
            "start it, or take it out of the cluster (`pvecm delnode`); what does not concern the firewall can go first: \
             `--control 'ssh.*'`",
        )
    })
}

/// Whether a plan changes the firewall of the whole cluster.
pub fn changes_cluster_fw(plan: &Plan) -> bool {
    plan.changes.iter().any(|change| change.action.touches().contains(&"/etc/pve/firewall/cluster.fw"))
}

fn left_out(lane: &Lane) -> Option<String> {
    let names = lane.missing.iter().map(|peer| {
        let address = peer.addresses.first().map(|address| format!(" ({address})")).unwrap_or_default();
        format!("{}{address}{}", peer.name, if peer.online { "" } else { ", offline" })
    });
    let names: Vec<String> = names.collect();
    (!names.is_empty()).then(|| {
        format!(
            "the cluster {} has members that this command leaves out: {}; `--cluster` includes them",
            lane.cluster.as_deref().unwrap_or_default(),
            names.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{Action, FileImage, Stage};
    use crate::facts::{Cluster, Facts, Reading};
    use crate::plan::testing::{change, empty_plan, new_file};

    fn lane(missing: &[&str]) -> Lane {
        let peer = |name: &&str| Peer {
            name: (*name).to_owned(),
            addresses: ["192.0.2.3".parse().unwrap()].into(),
            online: false,
        };
        Lane {
            cluster: Some("lab".into()),
            nodes: vec![1, 0],
            unread: vec![],
            joined: vec![],
            missing: missing.iter().map(peer).collect(),
            asleep: vec![],
        }
    }

    fn plans() -> Vec<Option<Plan>> {
        let plan = |node: &str| Plan {
            node: node.into(),
            changes: vec![
                change("x", Stage::Firewall, new_file("/etc/pve/user.cfg", "a", 0o640)),
                change("x", Stage::Services, new_file("/etc/x", "a", 0o640)),
            ],
            ..empty_plan()
        };
        vec![Some(plan("pve1")), Some(plan("pve2")), None]
    }

    fn names() -> Vec<Named<'static>> {
        ["pve1", "pve2", "pve3"].map(|name| Named { name, address: name, seen: None }).to_vec()
    }

    #[test]
    fn the_first_in_order_makes_what_is_shared_and_names_who_is_left_out() {
        let mut plans = plans();
        settle(&[lane(&["pve3"])], &names(), &mut plans, true).unwrap();
        let [Some(pve1), Some(pve2), None] = &plans[..] else { panic!("{plans:?}") };
        assert_eq!((pve1.changes.len(), pve2.changes.len()), (1, 2));
        assert_eq!(
            pve2.notes,
            [
                "shared by the cluster and changed once, for all of pve2, pve1: /etc/pve/user.cfg",
                "the cluster lab has members that this command leaves out: pve3 (192.0.2.3), offline; `--cluster` includes them"
            ]
        );
        assert!(pve1.refusals.is_empty() && pve2.refusals.is_empty());
    }

    #[test]
    fn the_firewall_of_a_cluster_is_changed_on_all_members_or_none() {
        let firewall = |plan: Plan| Plan {
            changes: vec![change("x", Stage::Firewall, new_file("/etc/pve/firewall/cluster.fw", "a", 0o640))],
            ..plan
        };
        let mut two: Vec<Option<Plan>> = plans().into_iter().map(|plan| plan.map(firewall)).collect();
        settle(&[lane(&["pve3"])], &names(), &mut two, true).unwrap();
        let refused = two[1].as_ref().unwrap().refusals[0].reason.as_str();
        assert!(refused.ends_with("and this command leaves out pve3"), "{refused}");
        let mut all: Vec<Option<Plan>> = plans().into_iter().map(|plan| plan.map(firewall)).collect();
        settle(&[lane(&[])], &names(), &mut all, true).unwrap();
        assert!(all.iter().flatten().all(|plan| plan.refusals.is_empty()));
    }

    /// pve1 and pve2 with a change of cluster.fw, pve3 offline; what speaks against it.
    fn beside_one_offline(before: Option<&str>, host: Option<&str>) -> Vec<String> {
        let (path, host_path) = ("/etc/pve/firewall/cluster.fw", "/etc/pve/nodes/pve3/host.fw");
        let mut facts = Facts::default();
        let regular = |text: &str| crate::plan::testing::regular(text, 0o640, "root");
        facts.files.insert(host_path.into(), host.map_or(Reading::Absent, regular));
        let peer = Peer { name: "pve3".into(), addresses: [].into(), online: false };
        facts.cluster =
            Reading::Known(Cluster { name: "lab".into(), quorate: true, peers: vec![peer], migration_network: None });
        let seen = Seen::of(&facts);
        let mut named = names();
        named[1].seen = Some(&seen);
        let Action::File(mut file) = new_file(path, "[OPTIONS]\nenable: 1\n", 0o640) else { panic!() };
        file.before =
            before.zip(file.after.clone()).map(|(content, after)| FileImage { content: content.into(), ..after });
        let firewall =
            |plan: Plan| Plan { changes: vec![change("x", Stage::Firewall, Action::File(file.clone()))], ..plan };
        let mut all: Vec<Option<Plan>> = plans().into_iter().map(|plan| plan.map(firewall)).collect();
        let lane = Lane { asleep: vec!["pve3".into()], ..lane(&[]) };
        settle(&[lane], &named, &mut all, true).unwrap();
        let writer = all[1].as_ref().unwrap();
        let reasons = writer.refusals.iter().map(|refusal| refusal.reason.clone());
        let touched = writer.changes.iter().flat_map(|change| change.action.touches()).map(str::to_owned);
        reasons.chain(touched).collect()
    }

    #[test]
    fn a_member_that_is_offline_is_kept_out_of_a_firewall_that_is_enabled_and_holds_another_change() {
        let (path, host_path) = ("/etc/pve/firewall/cluster.fw", "/etc/pve/nodes/pve3/host.fw");
        assert_eq!(beside_one_offline(None, None), [host_path, path]);
        let refusal = "cluster.fw binds every member of the cluster at the same moment, and pve3 would take it up alone, \
                       when it comes back from being offline";
        assert_eq!(beside_one_offline(Some("[OPTIONS]\nenable: 1\n#\n"), None), [refusal, path]);
        let out = Some("[OPTIONS]\nenable: 0\n");
        assert_eq!(beside_one_offline(Some("[OPTIONS]\nenable: 1\n#\n"), out), [path]);
        assert_eq!(beside_one_offline(None, out), [path]);
    }

    #[test]
    fn a_member_that_does_not_answer_holds_the_others_when_something_begins() {
        let mut lane = lane(&[]);
        lane.unread = vec![2];
        for begins in [false, true] {
            let mut plans = plans();
            settle(&[lane.clone()], &names(), &mut plans, begins).unwrap();
            for plan in plans.iter().flatten() {
                let reasons: Vec<_> = plan.refusals.iter().map(|refusal| refusal.reason.as_str()).collect();
                let wanted: &[&str] =
                    if begins { &["pve3 could not be read, and is a member of the same cluster"] } else { &[] };
                assert_eq!(reasons, wanted);
            }
        }
    }

    #[test]
    fn a_discovered_member_is_the_sites_own_where_it_knows_it() {
        let like = Host {
            name: "pve1".into(),
            address: "192.0.2.1".into(),
            user: Some("ops".into()),
            jump: Some("gate".into()),
            host_key: Some("SHA256:x".into()),
            ..Host::default()
        };
        let site = [like.clone(), Host { name: "two".into(), address: "192.0.2.2".into(), ..Host::default() }];
        let peer = |last: u8| {
            let address: IpAddr = format!("192.0.2.{last}").parse().unwrap();
            (Peer { name: format!("pve{last}"), addresses: [address].into(), online: true }, address)
        };
        let ((two, at_two), (three, at_three)) = (peer(2), peer(3));
        assert_eq!(member(&site, &like, &two, at_two).name, "two");
        let found = member(&site, &like, &three, at_three);
        assert_eq!((found.name.as_str(), found.address.as_str()), ("pve3", "192.0.2.3"));
        assert_eq!((found.user.as_deref(), found.jump.as_deref()), (Some("ops"), Some("gate")));
        assert_eq!(found.host_key, None);
    }
}
