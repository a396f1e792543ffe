//! What would make an order fail, asked before one is placed.

use crate::controls::Evidence;
use crate::controls::conf::included;
use crate::controls::firewall::lets_in;
use crate::facts::Facts;
use crate::profile::policy::{AcmeReached, Policy};
use crate::sanitize;

use super::dns;

/// Somebody on the Internet (RFC 5737).
const CA: std::net::IpAddr = std::net::IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 80));

/// What a person must do first; what was found is evidence.
pub(super) fn obstacle(facts: &Facts, policy: &Policy, evidence: &mut Vec<Evidence>) -> Result<Option<String>, String> {
    let acme = &policy.profile.cert.acme;
    let by_http = dns::by_http(policy, acme);
    if by_http.is_empty() {
        return Ok(None);
    }
    let names = facts.cert.names.required("what the node resolves the names to")?;
    let own = facts.addresses.required("the node's addresses")?;
    for name in by_http {
        let addresses =
            names.get(&name).ok_or("the node was asked for other names: read it again with this profile")?;
        let found = addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let found = if found.is_empty() { "nothing".to_owned() } else { found };
        let direct = acme.reached == AcmeReached::Directly;
        let want = if direct { "an address of the node" } else { "an address" };
        evidence.push(Evidence::new(format!("{name} resolves to"), &found, want));
        if addresses.is_empty() {
            return Ok(Some(format!(
                "{name} does not resolve on the node: the CA would not find it either; add it to DNS"
            )));
        }
        let strange = addresses.iter().find(|address| !own.iter().any(|net| net.addr() == **address));
        if let Some(strange) = strange.filter(|_| direct) {
            return Ok(Some(format!(
                "{name} leads to {strange}, which is no address of the node; if port 80 is passed on from there, set \
                 cert.acme.reached = \"forwarded\""
            )));
        }
    }
    let listeners = facts.listeners.required("listening sockets")?;
    if let Some(other) = listeners.iter().find(|it| it.protocol == "tcp" && it.port == 80 && !it.address.is_loopback())
    {
        let who = sanitize::line(other.process.as_deref().unwrap_or("something")).into_owned();
        evidence.push(Evidence::new("port 80", &who, "free during an order"));
        return Ok(Some(format!("{who} listens on port 80, where PVE must answer the CA: stop it, or use DNS")));
    }
    let planned = included(policy, "firewall.services", policy.profile.firewall.services.enabled)
        && policy.profile.firewall.services.acme_http;
    if !planned && !lets_in(facts, policy, CA, 80)? {
        evidence.push(Evidence::new("port 80 from outside", "dropped by the firewall", "accepted"));
        return Ok(Some(
            "the node's firewall keeps the CA from port 80: enable firewall.services with acme-http = true, or \
                        use DNS"
                .into(),
        ));
    }
    Ok(None)
}
