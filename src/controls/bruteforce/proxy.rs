//! Whether web logins come through a reverse proxy: then pvedaemon sees the proxy's address whoever guesses, and a ban
//! shuts everybody out (pve-http-server, AnyEvent.pm: `PROXY_REAL_IP_HEADER` reaches the access log alone).

use std::collections::BTreeSet;

use ipnet::IpNet;

use crate::facts::Facts;
use crate::pve::pveproxy::{PATH, Settings};

/// Programs that pass web requests on.
const PROGRAMS: [&str; 8] = ["nginx", "haproxy", "apache2", "caddy", "traefik", "envoy", "lighttpd", "hitch"];

/// What speaks for a reverse proxy whose address is not among the exempt ones.
pub fn suspected(facts: &Facts, exempt: &[IpNet]) -> Result<Option<String>, String> {
    let text = facts.text(PATH);
    let settings = text.certain().map_err(|why| format!("{PATH}: {why}"))?;
    let settings = settings.map(|text| Settings::parse(text)).unwrap_or_default();
    if let Some(header) = settings.value("PROXY_REAL_IP_HEADER") {
        return Ok(Some(format!("PROXY_REAL_IP_HEADER={} in {PATH}", header.escape_debug())));
    }
    let listeners = facts.listeners.required("listening sockets")?;
    let program = listeners.iter().find_map(|listener| {
        let process = listener.process.as_deref().filter(|process| PROGRAMS.contains(process))?;
        (listener.protocol == "tcp" && !listener.address.is_loopback())
            .then(|| format!("{process} listens on port {} of this node", listener.port))
    });
    Ok(program.or_else(|| one_for_all(facts, exempt)))
}

/// One address from which several people work, peers (which pass requests on) and what is never banned left out.
fn one_for_all(facts: &Facts, exempt: &[IpNet]) -> Option<String> {
    let users = facts.watch.web_users.known()?;
    let peers = facts.peer_addresses();
    let is_exempt = |address: &std::net::IpAddr| exempt.iter().any(|net| net.contains(address));
    let mut people: Vec<_> = users.iter().filter(|(address, _)| !peers.contains(address)).collect();
    let everybody: BTreeSet<&String> = people.iter().flat_map(|(_, users)| users.iter()).collect();
    let (address, users) = people.pop()?;
    (people.is_empty() && users.len() >= 2 && everybody.len() == users.len() && !is_exempt(address)).then(|| {
        let names = users.iter().take(4).map(|name| name.escape_debug().to_string()).collect::<Vec<_>>().join(", ");
        format!("every web login comes from {address} ({names})")
    })
}
