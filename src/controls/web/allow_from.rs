//! `web.allow-from`.

use ipnet::IpNet;

use crate::controls::conf::{included, wanted};
use crate::controls::{Control, Evidence, Meta, Reference, Severity, Verdict};
use crate::facts::Facts;
use crate::profile::policy::Policy;
use crate::pve::pveproxy::{PATH, aggregate};

use super::file::{self, File, Part};

/// The control.
pub struct AllowFrom;
/// `web.allow-from`.
pub const ALLOW_FROM: AllowFrom = AllowFrom;

const ID: &str = "web.allow-from";
const KEY: &str = "web.allow-from.enabled";

static META: Meta = Meta {
    id: ID,
    title: "pveproxy answers management networks and cluster members only",
    why: "Port 8006 is the whole cluster. @pve users are never locked out after wrong passwords, so whoever reaches the \
          port may guess on. The firewall guards it first; this is the second lock, for the day somebody turns the \
          firewall off to look for something else.",
    checked: "ALLOW_FROM, DENY_FROM and POLICY as bash reads them out of /etc/default/pveproxy, resolved into the set of \
              addresses that get in; whether www-data may read the file; whether pveproxy has read it since it was \
              changed.",
    naive: "A list of the administrators' networks alone breaks a cluster: nodes pass each other's requests on through \
            8006. So does a loopback that is missing: `ssh -L 8006:localhost:8006` comes from 127.0.0.1. The file is \
            shell: an unclosed quote silently loses the list and everybody gets in. pveproxy reads it as www-data: mode \
            0600 loses it, too. A network with host bits, like 10.0.0.5/24, keeps pveproxy from starting. DENY_FROM=all \
            with POLICY=deny shuts everybody out, since a client on both lists gets the policy.",
    references: &[
        Reference::Man("pveproxy(8)"),
        Reference::Source("pve-http-server src/PVE/APIServer/Utils.pm read_proxy_config"),
        Reference::Source("pve-http-server src/PVE/APIServer/AnyEvent.pm check_host_access"),
        Reference::Source("pve-common src/PVE/Daemon.pm setup"),
    ],
    level: 2,
    severity: Severity::Medium,
};

impl Control for AllowFrom {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn enabled(&self, policy: &Policy) -> bool {
        policy.profile.web.allow_from.enabled
    }

    fn evaluate(&self, facts: &Facts, policy: &Policy) -> Verdict {
        judge(facts, policy).unwrap_or_else(Verdict::unknown)
    }

    fn reads(&self, _: &Policy) -> Vec<String> {
        vec![PATH.into()]
    }
}

/// Everybody who is to get in: the node itself, the cluster's members, the management networks, and `also`.
fn everybody(facts: &Facts, policy: &Policy) -> Result<Vec<IpNet>, String> {
    facts.cluster.certain().map_err(|why| format!("the cluster's members: {why}"))?;
    let loopback: [IpNet; 2] = [std::net::Ipv4Addr::LOCALHOST.into(), std::net::Ipv6Addr::LOCALHOST.into()]
        .map(|address: std::net::IpAddr| address.into());
    let members = facts.peer_addresses().into_iter().chain(facts.network.node_address.known().copied());
    let nets = policy.site.management.iter().chain(&policy.profile.web.allow_from.also).copied();
    Ok(aggregate(&loopback.into_iter().chain(members.map(IpNet::from)).chain(nets).collect::<Vec<_>>()))
}

/// The settings of the file that this control wants changed in this run.
pub(super) fn part(facts: &Facts, policy: &Policy) -> Option<Part> {
    let active = included(policy, ID, policy.profile.web.allow_from.enabled);
    if !active || !policy_fits(facts, policy) {
        return None;
    }
    let (file, nets) = (File::read(facts).ok()?, everybody(facts, policy).ok()?);
    (present(&file) != Ok(Some(nets.clone()))).then(|| {
        vec![("ALLOW_FROM", Some(list(&nets))), ("DENY_FROM", Some("all".into())), ("POLICY", Some("allow".into()))]
    })
}

/// Whether the site names management networks and the operator comes from an address that will get in.
fn policy_fits(facts: &Facts, policy: &Policy) -> bool {
    !policy.site.management.is_empty() && outsider(facts, policy).is_none()
}

/// The operator's address, when it would be turned away.
fn outsider(facts: &Facts, policy: &Policy) -> Option<std::net::IpAddr> {
    let operator = facts.session.known()?.operator?;
    let nets = everybody(facts, policy).ok()?;
    (!nets.iter().any(|net| net.contains(&operator))).then_some(operator)
}

/// Who alone gets in now; `None`: others, too.
fn present(file: &File<'_>) -> Result<Option<Vec<IpNet>>, String> {
    Ok(file.settings.access()?.only())
}

fn judge(facts: &Facts, policy: &Policy) -> Result<Verdict, String> {
    let file = File::read(facts)?;
    let nets = everybody(facts, policy)?;
    let present = present(&file);
    let found = match &present {
        Ok(None) => "others get in, too".to_owned(),
        Ok(Some(found)) => list(found),
        Err(why) => why.clone(),
    };
    let mut evidence = vec![Evidence::new(format!("who gets in by {PATH}"), found, wanted(policy, KEY, list(&nets)))];
    if let Some(repair) = file.repair() {
        return Ok(Verdict::advise(repair, evidence));
    }
    if policy.site.management.is_empty() {
        let advice = "name the networks you administer from in the site file: management = [\"192.0.2.0/24\"]";
        return Ok(Verdict::advise(advice, evidence));
    }
    if let Some(operator) = outsider(facts, policy) {
        return Ok(Verdict::refused(format!(
            "you come from {operator}, which would no longer reach port 8006; add it to the site's management networks \
             or to web.allow-from.also"
        )));
    }
    evidence.extend(cut(facts, &nets));
    let unread = file.is_unread(facts)?;
    if file.is_hidden() {
        evidence.push(Evidence::new(format!("mode of {PATH}"), "www-data may not read it", "readable by www-data"));
    }
    if unread {
        evidence.push(Evidence::new(
            "pveproxy.service",
            format!("has not read {PATH} since it was changed"),
            "reloaded",
        ));
    }
    if present == Ok(Some(nets)) && !file.is_hidden() && !unread {
        return Ok(Verdict::compliant(evidence));
    }
    Ok(Verdict::differs(file::changes(facts, policy, ID)?, evidence))
}

/// Connections to 8006 that would be turned away.
fn cut(facts: &Facts, nets: &[IpNet]) -> Vec<Evidence> {
    let flows =
        facts.network.flows.known().into_iter().flatten().filter(|flow| flow.protocol == "tcp" && flow.port == 8006);
    flows
        .filter(|flow| !nets.iter().any(|net| net.contains(&flow.peer)))
        .map(|flow| Evidence::new("connected to 8006 now", flow.peer.to_string(), "would be turned away"))
        .collect()
}

fn list(nets: &[IpNet]) -> String {
    let word =
        |net: &IpNet| if net.prefix_len() == net.max_prefix_len() { net.addr().to_string() } else { net.to_string() };
    nets.iter().map(word).collect::<Vec<_>>().join(",")
}
