//! `firewall.services`.

use std::collections::BTreeSet;

use ipnet::IpNet;

use crate::controls::conf::wanted;
use crate::controls::{Evidence, Meta, Reference, Severity, Status};
use crate::profile::policy::Policy;
use crate::pve::ceph;
use crate::pve::firewall::{Backend, ClusterFw, Entries, HostFw, NewMember, Place, RuleSection};

use super::node::{Files, Node};
use super::{Firewall, FirewallControl, management, outbound, rule};

/// The control.
pub const SERVICES: Firewall = Firewall(&Services);

struct Services;

pub(super) const ID: &str = "firewall.services";
/// Addresses of the cluster's members.
pub(super) const MEMBERS: &str = "pve-harden-members";

static META: Meta = Meta {
    id: ID,
    title: "What the node serves passes the firewall, and only from where it is needed",
    why: "Migration over a network of its own, Ceph, a backup server on the same machine and certificates by http-01 come \
          in on ports that PVE's automatic rules do not know, or from networks that are not the management's. What is \
          forgotten here fails at night.",
    checked: "datacenter.cfg (migration and replication networks), ceph.conf (public and cluster network), the listening \
              sockets (a backup server on 8007), storage.cfg where outgoing connections are dropped, and the rules the \
              profile names; each as a rule marked with this control's id in cluster.fw or host.fw.",
    naive: "Rules made through the API without `enable` are stored disabled, and each goes to the top, so that a list ends \
            up reversed. Port 80 is often left open for ACME although certificates come by DNS. Ports opened from \
            everywhere \"for Ceph\" give every neighbour the cluster's disks.",
    references: &[
        Reference::Source("pve-firewall src/PVE/API2/Firewall/Rules.pm create_rule"),
        Reference::Source("pve-docs pve-firewall.adoc \"Ports used by Proxmox VE\""),
        Reference::Source("pve-docs pvecm.adoc \"Guest Migration\""),
    ],
    level: 1,
    severity: Severity::Medium,
};

impl FirewallControl for Services {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn enabled(&self, policy: &Policy) -> bool {
        policy.profile.firewall.services.enabled
    }

    fn edit_cluster(&self, node: &Node<'_>, file: &mut ClusterFw) {
        let needs = needs(node).unwrap_or_default();
        if needs.iter().any(|need| need.body.contains(MEMBERS)) {
            let all = node.member_addresses();
            let members: Vec<NewMember> = all.iter().map(|address| NewMember::of(address.to_string())).collect();
            file.set_ipset(MEMBERS, &members, Entries::Exact);
        }
        let rules: Vec<String> = needs.iter().filter(|need| !need.own).map(Need::rule).collect();
        file.set_managed_rules(&RuleSection::Rules, ID, Place::Last, &rules);
    }

    fn edit_host(&self, node: &Node<'_>, file: &mut HostFw) {
        let needs = needs(node).unwrap_or_default();
        let rules: Vec<String> = needs.iter().filter(|need| need.own).map(Need::rule).collect();
        file.set_managed_rules(&RuleSection::Rules, ID, Place::Last, &rules);
    }

    fn obstacle(&self, node: &Node<'_>) -> Option<Status> {
        let bad = node.policy.profile.firewall.services.rules.iter().find_map(|text| Some((text, mistake(text)?)));
        if let Some((text, why)) = bad {
            return Some(Status::Refused { why: format!("firewall.services.rules: {text:?}: {why}") });
        }
        needs(node).err().map(|why| Status::Unknown { why })
    }

    fn evidence(&self, node: &Node<'_>) -> Vec<Evidence> {
        let here = [node.files.cluster.print(), node.files.host.print()].concat();
        let line = |need: Need| {
            let found = if here.lines().any(|line| line.trim() == need.rule()) { "there" } else { "missing" };
            let want = wanted(node.policy, need.key, &need.body);
            Evidence::new(format!("rule for {}", need.words), found, want)
        };
        let mut evidence: Vec<Evidence> = needs(node).unwrap_or_default().into_iter().map(line).collect();
        if evidence.is_empty() {
            let found = "nothing beyond PVE's own rules".to_owned();
            evidence.push(Evidence { source: "services of this node".into(), found, wanted: None });
        }
        evidence
    }

    fn advice(&self, node: &Node<'_>, _: &Files) -> Option<String> {
        use crate::facts::network::NfsUse;
        let uses = node.facts.network.nfs.known()?;
        let export = uses.iter().find_map(|it| if let NfsUse::Export(path) = it { Some(path) } else { None })?;
        let ruled = node
            .policy
            .profile
            .firewall
            .services
            .rules
            .iter()
            .any(|rule| rule.contains("2049") || rule.contains("NFS"));
        (!ruled).then(|| {
            format!("{export} is exported by NFS: name its clients, firewall.services.rules = [\"IN ACCEPT -source … -p tcp -dport 2049\"]")
        })
    }
}

/// A rule that something needs.
pub(super) struct Need {
    pub words: String,
    pub body: String,
    /// Dotted key that asks for it.
    pub key: &'static str,
    /// For this node alone.
    pub own: bool,
}

impl Need {
    pub fn shared(words: &str, body: String) -> Self {
        Self { words: words.into(), body, key: "firewall.services.enabled", own: false }
    }

    fn rule(&self) -> String {
        rule(ID, &self.words, &self.body)
    }
}

/// Every rule, in order; an error when it cannot be told what is needed.
fn needs(node: &Node<'_>) -> Result<Vec<Need>, String> {
    let mut needs = Vec::new();
    let known = management::networks(node);
    for net in node.peer_networks().into_iter().filter(|net| !known.iter().any(|it| it.contains(net))) {
        let body = format!("IN ACCEPT -source {net} -dest {net} -p tcp -dport 22,60000:60050");
        needs.push(Need::shared("migration network", body));
    }
    needs.extend(ceph_needs(node, "IN", "-source")?);
    let services = &node.policy.profile.firewall.services;
    if services.acme_http {
        let body = "IN ACCEPT -p tcp -dport 80".to_owned();
        needs.push(Need { key: "firewall.services.acme-http", ..Need::shared("ACME http-01", body) });
    }
    let listeners = node.facts.listeners.required("listening sockets")?;
    if listeners.iter().any(|it| it.protocol == "tcp" && it.port == 8007 && !it.address.is_loopback()) {
        let body = "IN ACCEPT -source +dc/management -p tcp -dport 8007".to_owned();
        needs.push(Need { own: true, ..Need::shared("backup server on this node", body) });
    }
    if node.closed_outwards() {
        needs.extend(outbound::needs(node)?);
        needs.extend(ceph_needs(node, "OUT", "-dest")?);
    }
    for text in &services.rules {
        let (body, words) = text.split_once('#').map_or((text.as_str(), ""), |(body, words)| (body, words.trim()));
        let need = Need::shared(words, body.trim().to_owned());
        needs.push(Need { key: "firewall.services.rules", ..need });
    }
    Ok(needs)
}

/// Ceph between the networks it says it uses; without any, between the members.
fn ceph_needs(node: &Node<'_>, direction: &str, side: &str) -> Result<Vec<Need>, String> {
    let text = node.facts.text("/etc/pve/ceph.conf");
    let Some(text) = text.certain().map_err(|why| format!("/etc/pve/ceph.conf: {why}"))? else { return Ok(Vec::new()) };
    let ceph = ceph::parse(text)?;
    let nets: BTreeSet<IpNet> = ceph.public.into_iter().chain(ceph.cluster).collect();
    let rule = |who: String| Need::shared("Ceph", format!("{direction} Ceph(ACCEPT) {side} {who}"));
    if nets.is_empty() {
        return Ok(vec![rule(format!("+dc/{MEMBERS}"))]);
    }
    Ok(nets.into_iter().map(|net| rule(net.to_string())).collect())
}

/// Why a rule of the profile is none that both of PVE's firewalls understand.
fn mistake(text: &str) -> Option<String> {
    if text.contains(|c: char| c.is_control()) {
        return Some("a rule is one line".into());
    }
    [Backend::Iptables, Backend::Nftables].into_iter().find_map(|backend| {
        let file =
            ClusterFw::parse(&format!("[IPSET management]\n\n[IPSET {MEMBERS}]\n\n[RULES]\n\n{text}\n"), backend);
        if let Some(problem) = file.problems().first() {
            return Some(problem.message.clone());
        }
        (file.config().rules.len() != 1).then(|| "this is no rule".into())
    })
}
