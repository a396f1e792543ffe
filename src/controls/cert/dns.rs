//! DNS services of `cert.acme`: one for `cert.acme.domains`, and one for each `[[cert.acme.dns]]`.

use std::collections::BTreeSet;

use crate::change::Action;
use crate::change::certificate::CertStep;
use crate::change::{Change, Stage};
use crate::controls::Evidence;
use crate::facts::Facts;
use crate::profile::policy::{CertAcme, Policy};
use crate::pve::acme_dns;
use crate::pve::node_config::{Domain, MAX_DNS_DOMAINS, is_config_id, is_domain_name};

use super::acme::ID;
use super::change;

/// Id of the DNS plugin that is ours.
const PLUGIN: &str = "pve-harden";
/// PVE's default of `validation-delay`, in seconds.
const USUAL_DELAY: &str = "30";
/// The most it takes: two days.
const MOST_DELAY: u32 = 172_800;

/// A service that sets records for names.
pub(super) struct Service<'a> {
    /// Id of PVE's plugin.
    pub plugin: String,
    /// PVE's name of it.
    api: &'a str,
    /// Dotted key of its settings.
    key: String,
    alias: &'a str,
    /// Seconds until DNS has spread.
    pub delay: u32,
    /// Names for this node.
    pub names: Vec<String>,
}

/// Every service of the profile.
pub(super) fn services<'a>(policy: &Policy, acme: &'a CertAcme) -> Vec<Service<'a>> {
    let mut found = Vec::new();
    if !acme.dns_api.is_empty() {
        found.push(Service {
            plugin: PLUGIN.into(),
            api: &acme.dns_api,
            key: "cert.acme.dns-data".into(),
            alias: &acme.dns_alias,
            delay: acme.dns_delay,
            names: super::names(policy, &acme.domains),
        });
    }
    found.extend(acme.dns.iter().map(|one| Service {
        plugin: format!("{PLUGIN}-{}", one.name),
        api: &one.api,
        key: one.material(),
        alias: &one.alias,
        delay: one.delay,
        names: super::names(policy, &one.domains),
    }));
    found
}

/// Names that the CA asks for at the node's port 80.
pub(super) fn by_http(policy: &Policy, acme: &CertAcme) -> Vec<String> {
    if acme.dns_api.is_empty() { super::names(policy, &acme.domains) } else { Vec::new() }
}

/// Every name of the certificate, sorted.
pub(super) fn names(policy: &Policy, acme: &CertAcme) -> Vec<String> {
    let mut all = by_http(policy, acme);
    all.extend(services(policy, acme).into_iter().flat_map(|service| service.names));
    all.sort();
    all
}

/// Whether PVE could work with these services.
pub(super) fn possible(policy: &Policy, acme: &CertAcme) -> Result<(), String> {
    let services = services(policy, acme);
    let mut ids = BTreeSet::new();
    for service in &services {
        service.possible(policy)?;
        if !ids.insert(&service.plugin) {
            return Err(format!("two of cert.acme.dns have the name {}", service.plugin));
        }
    }
    let all = names(policy, acme);
    if let Some(twice) = all.iter().zip(all.iter().skip(1)).find(|(one, next)| one == next) {
        return Err(format!("{} is to be proved in two ways: name it once", twice.0));
    }
    if services.iter().map(|service| service.names.len()).sum::<usize>() > MAX_DNS_DOMAINS {
        return Err(format!("PVE takes {MAX_DNS_DOMAINS} names by DNS on a node, and no more"));
    }
    Ok(())
}

impl Service<'_> {
    fn possible(&self, policy: &Policy) -> Result<(), String> {
        if !is_config_id(&self.plugin) {
            return Err(format!("{:?} is no name for one of cert.acme.dns: letters, digits, - and _", self.plugin));
        }
        if self.names.is_empty() {
            return Err(format!("{} proves no names: set domains", self.plugin));
        }
        if !acme_dns::APIS.contains(&self.api) {
            return Err(format!("PVE has no DNS plugin {:?}: see pvenode help acme plugin add", self.api));
        }
        if self.delay > MOST_DELAY {
            return Err(format!("the delay of {} is at most {MOST_DELAY} seconds (two days)", self.plugin));
        }
        if !self.alias.is_empty() && !is_domain_name(self.alias.trim_start_matches('_')) {
            return Err(format!("{:?} is no name for an alias of {}", self.alias, self.plugin));
        }
        let data = super::material(policy, &self.key)?.ok_or_else(|| format!("{} names no settings", self.key))?;
        acme_dns::check(data.expose()).map_err(|why| format!("{}: {why}", self.key))
    }

    /// What the node's configuration shall say of its names.
    pub(super) fn domain(&self) -> Domain {
        Domain { plugin: self.plugin.clone(), alias: (!self.alias.is_empty()).then(|| self.alias.to_owned()) }
    }

    /// The change to the plugin, where it is not as wanted. Its data are compared by digest.
    pub(super) fn plan(
        &self,
        facts: &Facts,
        policy: &Policy,
        evidence: &mut Vec<Evidence>,
    ) -> Result<Option<Change>, String> {
        let plugins = facts.cert.plugins.required("the node's ACME plugins")?;
        let there = plugins.get(&self.plugin);
        let data = super::material(policy, &self.key)?.ok_or_else(|| format!("{} names no settings", self.key))?;
        let same = match there {
            None => false,
            Some(plugin) => {
                let setting = |name: &str| plugin.settings.get(name).map_or("", String::as_str);
                let delay = setting("validation-delay");
                setting("api") == self.api
                    && (if delay.is_empty() { USUAL_DELAY } else { delay }) == self.delay.to_string()
                    && facts.cert.is_data(plugin, data.expose()).ok_or("the plugin's data cannot be compared")?
            }
        };
        let found = there.map_or("none", |_| if same { "as wanted" } else { "with other settings or data" });
        evidence.push(Evidence::new(format!("DNS plugin {}", self.plugin), found, format!("api {}", self.api)));
        Ok((!same).then(|| {
            let step = CertStep::Plugin {
                id: self.plugin.clone(),
                api: self.api.to_owned(),
                data: data.clone(),
                delay: self.delay,
                known: there.is_some(),
            };
            change(ID, Stage::Services, "PVE may set records in your DNS", Action::Certificate { step })
        }))
    }
}
