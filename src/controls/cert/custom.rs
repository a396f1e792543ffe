//! `cert.custom`.

use crate::change::certificate::CertStep;
use crate::change::{Action, Stage, UnitVerb};
use crate::controls::conf::wanted;
use crate::controls::{Control, Evidence, Meta, Reference, Severity, Verdict};
use crate::facts::Facts;
use crate::facts::gather::Request;
use crate::profile::policy::Policy;
use crate::pve::certificate::{self, Certificate};
use crate::pve::node_config;
use crate::sanitize;
use crate::secret::Secret;

use super::change;

/// The control.
pub struct Custom;
/// `cert.custom`.
pub const CUSTOM: Custom = Custom;

pub(super) const ID: &str = "cert.custom";

static META: Meta = Meta {
    id: ID,
    title: "Port 8006 has the certificate of your own authority",
    why: "Where no ACME authority is at hand, a certificate of the company's own authority does the same: browsers that \
          trust it show no warning, so that a warning means something.",
    checked: "Before anything is sent: the key belongs to the certificate, the chain is whole, the names fit, it has not \
              ended. Then the installed file's fingerprint, and what a new TLS connection to 8006 is shown.",
    naive: "A certificate without its intermediates works in the browser that has seen them elsewhere and fails in every \
            script. A key that does not belong to it makes PVE delete both files. Copied with scp, the key lies in a \
            shell history, a home and a backup; here it travels as data of the run and is removed once PVE has it. PVE \
            renews none of it: cert.renewal counts the days.",
    references: &[
        Reference::Guide("2.3.1"),
        Reference::Source("pve-manager PVE/CertHelpers.pm"),
        Reference::Source("pve-manager PVE/API2/Certificates.pm"),
        Reference::Source("pve-docs certificate-management.adoc"),
    ],
    level: 1,
    severity: Severity::Medium,
};

impl Control for Custom {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn enabled(&self, policy: &Policy) -> bool {
        policy.profile.cert.custom.enabled
    }

    fn reads(&self, _: &Policy) -> Vec<String> {
        super::files()
    }

    fn ask(&self, _: &Policy, request: &mut Request) {
        super::ask(request);
    }

    fn evaluate(&self, facts: &Facts, policy: &Policy) -> Verdict {
        match Own::of(policy) {
            Ok(own) => judge(&own, facts, policy).unwrap_or_else(Verdict::unknown),
            Err(why) => Verdict::refused(why),
        }
    }
}

/// Certificate and key as the profile names them, checked.
struct Own {
    chain: String,
    key: Secret,
    leaf: Certificate,
    names: Vec<String>,
}

impl Own {
    fn of(policy: &Policy) -> Result<Self, String> {
        let custom = &policy.profile.cert.custom;
        let chain =
            super::material(policy, "cert.custom.certificate")?.ok_or("cert.custom.certificate names no file")?;
        let key = super::material(policy, "cert.custom.key")?.ok_or("cert.custom.key names no key")?;
        let authority = super::material(policy, "cert.custom.ca-file")?;
        let wrong = |why: String| format!("{}: {why}", custom.certificate);
        // Nothing but certificates goes to the node: a file with the key in it is read for its certificates alone.
        let text = certificate::split(chain.expose()).map_err(wrong)?.concat();
        let leaf = certificate::chain(&text).map_err(wrong)?.into_iter().next().ok_or("no certificate")?;
        if let Some(why) = certificate::incomplete(&text, authority.map(Secret::expose)).map_err(wrong)? {
            return Err(format!("{}: {why}; put it behind the certificate", custom.certificate));
        }
        certificate::belongs(key.expose(), &text).map_err(|why| format!("cert.custom.key: {why}"))?;
        let names = super::names(policy, &custom.names);
        if let Some(name) = names.iter().find(|name| !leaf.covers(name)) {
            return Err(format!("{}: it is not for {name}", custom.certificate));
        }
        Ok(Self { chain: text, key: key.clone(), leaf, names })
    }
}

fn judge(own: &Own, facts: &Facts, policy: &Policy) -> Result<Verdict, String> {
    let now = facts.taken.required("the node's time")?.as_second();
    if own.leaf.not_after <= now || own.leaf.not_before > now {
        let (from, to) = (super::day(own.leaf.not_before), super::day(own.leaf.not_after));
        return Ok(Verdict::refused(format!(
            "the certificate is for the time from {from} to {to}, by the node's clock"
        )));
    }
    let installed = facts.cert.installed.certain().map_err(|why| format!("the installed certificate: {why}"))?;
    let installed = installed.and_then(|chain| chain.first());
    let served = super::served(facts)?;
    let want = wanted(policy, "cert.custom.certificate", &own.leaf.fingerprint);
    let found = installed.map_or("none, PVE's own is served".into(), |it| sanitize::line(&it.fingerprint).into_owned());
    let mut evidence = vec![Evidence::new("installed certificate", found, want)];
    let days = own.leaf.days_left(now);
    let until = format!("{} ({days} days)", super::day(own.leaf.not_after));
    evidence.push(Evidence { source: "your certificate lasts until".into(), found: until, wanted: None });
    if installed.is_none_or(|it| it.fingerprint != own.leaf.fingerprint) {
        let acme = node_config::acme(&super::node_config(facts)?)?;
        if !acme.domains.is_empty() {
            let domains = acme.domains.keys().cloned().collect::<Vec<_>>().join(", ");
            evidence.push(Evidence::new("the node's ACME domains", sanitize::line(&domains), "none"));
            let advice =
                "PVE would replace it at the next renewal: pvenode config set --delete acme, and acmedomain0 … 5";
            return Ok(Verdict::advise(advice, evidence));
        }
        let node = facts.node_name.required("the node's name")?.clone();
        let (chain, key, names) = (own.chain.clone(), own.key.clone(), own.names.clone());
        let names = names.into_iter().filter(|name| !name.starts_with('*')).collect();
        let path = CertStep::certificate(&node);
        let step = CertStep::Upload { path, chain, key, names };
        let change = change(ID, Stage::Firewall, "install your certificate", Action::Certificate { step });
        return Ok(Verdict::differs(vec![change], evidence));
    }
    evidence.push(Evidence::new("served on 8006", sanitize::line(&served.fingerprint), &own.leaf.fingerprint));
    if served.fingerprint == own.leaf.fingerprint {
        return Ok(Verdict::compliant(evidence));
    }
    let action = Action::Unit { unit: "pveproxy.service".into(), verb: UnitVerb::Reload };
    let summary = "pveproxy reads its certificate again; open consoles stay";
    Ok(Verdict::differs(vec![change(ID, Stage::Firewall, summary, action)], evidence))
}
