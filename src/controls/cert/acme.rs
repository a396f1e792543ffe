//! `cert.acme`.

use crate::change::certificate::{Binding, CertStep};
use crate::change::{Action, Change, FileChange, FileImage, Stage, UnitVerb};
use crate::controls::conf::{included, wanted};
use crate::controls::{Control, Evidence, Meta, Reference, Severity, Verdict};
use crate::facts::Facts;
use crate::facts::gather::Request;
use crate::profile::policy::{CertAcme, Policy};
use crate::pve::certificate;
use crate::pve::node_config::{self, Acme as Configured, Domain, is_config_id, is_domain_name};
use crate::sanitize;
use crate::secret::Secret;

use super::{change, dns, preflight};

/// The control.
pub struct Acme;
/// `cert.acme`.
pub const ACME: Acme = Acme;

pub(super) const ID: &str = "cert.acme";
/// PVE renews by itself 30 days ahead; this many are left only when that fails.
const ORDER_DAYS: i64 = 20;
const PRODUCTION: &str = "https://acme-v02.api.letsencrypt.org/directory";
const STAGING: &str = "https://acme-staging-v02.api.letsencrypt.org/directory";

static META: Meta = Meta {
    id: ID,
    title: "Port 8006 has a certificate of an ACME authority",
    why: "Only a certificate that browsers and scripts trust makes a warning mean something. PVE's own ACME client orders \
          and renews it: nothing to install, nothing to copy, and the key never leaves the node.",
    checked: "The account at the CA's directory, the node's configuration (acme, acmedomain), the DNS plugin by a digest of \
              its data, the installed certificate, and what a new TLS connection to 8006 is shown: names, chain, days \
              left, fingerprint. Before an order: the names lead to the node, nothing else listens on port 80 and the \
              firewall lets the CA in.",
    naive: "A port 80 that only the operator reaches gives an order that fails in production and counts against the CA's \
            limits: five failures an hour. A firewall opened for the order alone is closed at the renewal 60 days later. A \
            success of the order says nothing about what is served. A wildcard needs DNS, and PVE's domains take none. A \
            DNS token with rights on the whole zone lies in /etc/pve/priv of every member.",
    references: &[
        Reference::Guide("2.3.1"),
        Reference::Source("pve-manager PVE/API2/ACME.pm"),
        Reference::Source("pve-manager PVE/API2/ACMEAccount.pm"),
        Reference::Source("pve-manager PVE/NodeConfig.pm"),
        Reference::Source("RFC 8555"),
    ],
    level: 1,
    severity: Severity::Medium,
};

impl Control for Acme {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn enabled(&self, policy: &Policy) -> bool {
        policy.profile.cert.acme.enabled
    }

    fn reads(&self, _: &Policy) -> Vec<String> {
        let authorities = (1..=8).map(CertStep::authority);
        super::files().into_iter().chain(authorities).collect()
    }

    fn ask(&self, policy: &Policy, request: &mut Request) {
        super::ask(request);
        let acme = &policy.profile.cert.acme;
        request.acme_accounts.insert(acme.account.clone());
        if acme.rehearse {
            request.acme_accounts.insert(rehearsal(acme));
        }
        request.acme_names.extend(dns::names(policy, acme));
    }

    fn evaluate(&self, facts: &Facts, policy: &Policy) -> Verdict {
        // The certificate is one: two controls would replace each other's for ever.
        if included(policy, super::custom::ID, policy.profile.cert.custom.enabled) {
            return Verdict::refused("cert.acme and cert.custom both want to decide on 8006's certificate: enable one");
        }
        if let Err(why) = possible(policy) {
            return Verdict::refused(why);
        }
        Judge { facts, policy, acme: &policy.profile.cert.acme }.judge().unwrap_or_else(Verdict::unknown)
    }
}

/// The directory's URL.
fn directory(acme: &CertAcme) -> &str {
    match acme.directory.as_str() {
        "production" => PRODUCTION,
        "staging" => STAGING,
        url => url,
    }
}

/// The staging CA's, for `rehearse`.
fn staging(acme: &CertAcme) -> &str {
    if acme.staging_directory.is_empty() { STAGING } else { &acme.staging_directory }
}

fn is_url(url: &str) -> bool {
    url.starts_with("https://") && !url.chars().any(|c| !c.is_ascii_graphic() || "'\"\\`$".contains(c))
}

/// The account of the staging CA.
fn rehearsal(acme: &CertAcme) -> String {
    format!("{}-staging", acme.account)
}

/// Whether PVE could work with these values.
fn possible(policy: &Policy) -> Result<(), String> {
    let acme = &policy.profile.cert.acme;
    let names = dns::names(policy, acme);
    if names.is_empty() {
        return Err("cert.acme.domains names nothing: a certificate is for a name, e.g. \"{node}.example.com\"".into());
    }
    if let Some(name) = names.iter().find(|name| !is_domain_name(name)) {
        let wildcard = if name.starts_with('*') { "; PVE's own client orders no wildcards" } else { "" };
        return Err(format!("PVE does not take {name:?} for a domain{wildcard}"));
    }
    if !is_config_id(&acme.account) {
        return Err(format!(
            "PVE does not take {:?} for an account: letters, digits, - and _, a letter first",
            acme.account
        ));
    }
    if !is_url(directory(acme)) {
        return Err("cert.acme.directory is \"production\", \"staging\" or a URL that begins with https://".into());
    }
    let address =
        |one: &String| one.contains('@') && one.chars().all(|c| c.is_ascii_alphanumeric() || "@._+-".contains(c));
    if acme.contact.is_empty() || !acme.contact.iter().all(address) {
        return Err(
            "cert.acme.contact is a list of e-mail addresses, one at least: PVE registers no account without".into()
        );
    }
    if !acme.agree_to_terms {
        return Err("read the CA's terms of service and set cert.acme.agree-to-terms = true".into());
    }
    rehearsal_possible(acme)?;
    if acme.eab_id.is_empty() != acme.eab_key.is_empty() {
        return Err("cert.acme.eab-id and eab-key go together".into());
    }
    dns::possible(policy, acme)?;
    let firewall = &policy.profile.firewall;
    let closes = included(policy, "firewall.enable", firewall.enable.enabled);
    if !dns::by_http(policy, acme).is_empty() && closes && !firewall.services.acme_http {
        return Err("firewall.enable closes port 80, which the CA asks at every order and renewal: set \
                    firewall.services.acme-http = true, or use DNS"
            .into());
    }
    for key in ["cert.acme.ca-file", "cert.acme.eab-key"] {
        super::material(policy, key)?;
    }
    Ok(())
}

fn rehearsal_possible(acme: &CertAcme) -> Result<(), String> {
    if acme.rehearse && acme.staging_directory.is_empty() && acme.directory != "production" {
        return Err(
            "cert.acme.rehearse needs a staging CA: set cert.acme.staging-directory to its URL, or directory = \
                    \"production\" for Let's Encrypt, whose is known"
                .into(),
        );
    }
    if acme.rehearse && (!is_url(staging(acme)) || staging(acme) == directory(acme)) {
        return Err("cert.acme.staging-directory is the URL of another CA's directory that begins with https://".into());
    }
    if !acme.rehearse && !acme.staging_directory.is_empty() {
        return Err("cert.acme.staging-directory is for cert.acme.rehearse = true".into());
    }
    Ok(())
}

struct Judge<'a> {
    facts: &'a Facts,
    policy: &'a Policy,
    acme: &'a CertAcme,
}

impl Judge<'_> {
    fn judge(&self) -> Result<Verdict, String> {
        let (mut evidence, mut changes) = (Vec::new(), Vec::new());
        self.trust(&mut changes)?;
        if let Some(advice) = self.accounts(&mut evidence, &mut changes)? {
            return Ok(Verdict::advise(advice, evidence));
        }
        for service in dns::services(self.policy, self.acme) {
            changes.extend(service.plan(self.facts, self.policy, &mut evidence)?);
        }
        let configured = self.config(&mut evidence, &mut changes)?;
        let why = self.certificate(&configured, &mut evidence)?;
        let Some(why) = why else {
            let advice = self.served(&mut evidence, &mut changes)?;
            return Ok(Verdict::outcome(changes, advice, evidence));
        };
        let owned = self.facts.cert.installed.known().is_some() && configured.domains.is_empty();
        if owned && !self.acme.replace_own {
            let advice =
                "an administrator's own certificate is installed: set cert.acme.replace-own = true to replace it";
            return Ok(Verdict::advise(advice, evidence));
        }
        if let Some(advice) = preflight::obstacle(self.facts, self.policy, &mut evidence)? {
            return Ok(Verdict::advise(advice, evidence));
        }
        changes.push(self.order(&why)?);
        Ok(Verdict::outcome(changes, None, evidence))
    }

    fn node(&self) -> Result<String, String> {
        self.facts.node_name.required("the node's name").cloned()
    }

    fn names(&self) -> Vec<String> {
        dns::names(self.policy, self.acme)
    }

    /// The authorities that the node does not have yet.
    fn trust(&self, changes: &mut Vec<Change>) -> Result<(), String> {
        let Some(text) = super::material(self.policy, "cert.acme.ca-file")? else { return Ok(()) };
        let authorities = certificate::split(text.expose()).map_err(|why| format!("cert.acme.ca-file: {why}"))?;
        for (index, pem) in authorities.into_iter().enumerate() {
            let path = CertStep::authority(index + 1);
            let there = self.facts.text(&path);
            let there = there.certain().map_err(|why| format!("{path}: {why}"))?;
            if there.map(String::as_str) != Some(pem.as_str()) {
                let who = certificate::chain(&pem).ok().and_then(|chain| chain.into_iter().next());
                let who = who.map_or_else(String::new, |who| sanitize::line(&who.subject).into_owned());
                let step = CertStep::Trust { path, pem };
                changes.push(change(
                    ID,
                    Stage::Services,
                    &format!("the node trusts {who}"),
                    Action::Certificate { step },
                ));
            }
        }
        Ok(())
    }

    /// The accounts; advice where one stands in the way.
    fn accounts(&self, evidence: &mut Vec<Evidence>, changes: &mut Vec<Change>) -> Result<Option<String>, String> {
        let mut wanted_ones = vec![(self.acme.account.clone(), directory(self.acme))];
        if self.acme.rehearse {
            wanted_ones.insert(0, (rehearsal(self.acme), staging(self.acme)));
        }
        let accounts = self.facts.cert.accounts.required("the node's ACME accounts")?;
        let contact = self.acme.contact.join(",");
        for (name, url) in wanted_ones {
            let there =
                accounts.get(&name).ok_or("the node was asked for other accounts: read it again with this profile")?;
            let found = there.as_ref().map_or("none", |account| account.directory.as_str());
            let want = wanted(self.policy, "cert.acme.directory", url);
            evidence.push(Evidence::new(format!("ACME account {name}"), sanitize::line(found), want));
            let known = match there {
                Some(account) if account.directory != url => {
                    return Ok(Some(format!(
                        "the account {name} is one of another CA, and is not replaced: choose another cert.acme.account"
                    )));
                }
                Some(account) if account.contact == sorted(&self.acme.contact) => continue,
                Some(_) => true,
                None => false,
            };
            let binding = super::material(self.policy, "cert.acme.eab-key")?.filter(|_| url == directory(self.acme));
            let binding =
                binding.map(|key| Binding { id: self.acme.eab_id.clone(), key: Secret::new(key.expose().trim()) });
            let summary = if known { "tell the CA who to write to" } else { "an account at the CA" };
            let step = CertStep::Account { name, directory: url.to_owned(), contact: contact.clone(), binding, known };
            changes.push(change(ID, Stage::Services, summary, Action::Certificate { step }));
        }
        Ok(None)
    }

    /// What the node's configuration says now; the change to what it should say.
    fn config(&self, evidence: &mut Vec<Evidence>, changes: &mut Vec<Change>) -> Result<Configured, String> {
        let text = super::node_config(self.facts)?;
        let found = node_config::acme(&text)?;
        let standalone = Domain { plugin: "standalone".into(), alias: None };
        let by_http = dns::by_http(self.policy, self.acme).into_iter().map(|name| (name, standalone.clone()));
        let services = dns::services(self.policy, self.acme);
        let by_dns = services.iter().flat_map(|one| one.names.iter().map(|name| (name.clone(), one.domain())));
        let domains = by_http.chain(by_dns).collect();
        let want = Configured { account: self.acme.account.clone(), domains };
        let list = |acme: &Configured| acme.domains.keys().cloned().collect::<Vec<_>>().join(", ");
        let shown = if found.domains.is_empty() { "none".into() } else { sanitize::line(&list(&found)).into_owned() };
        evidence.push(Evidence::new(
            "the node's ACME domains",
            shown,
            wanted(self.policy, "cert.acme.domains", list(&want)),
        ));
        if found != want {
            let path = format!("/etc/pve/nodes/{}/config", self.node()?);
            let after = node_config::with_acme(&text, &want);
            let of_pve = |content| FileImage { content, mode: 0o640, owner: "root".into(), group: "www-data".into() };
            let before = self.facts.file(&path).certain().map_err(|why| format!("{path}: {why}"))?.is_some();
            let before = before.then(|| of_pve(text));
            let file = FileChange { path, before, after: Some(of_pve(after)), validate: None };
            changes.push(change(ID, Stage::Services, "what PVE orders and renews", Action::File(file)));
        }
        Ok(found)
    }

    /// Why a certificate is ordered; nothing when the installed one will do.
    fn certificate(&self, configured: &Configured, evidence: &mut Vec<Evidence>) -> Result<Option<String>, String> {
        let installed =
            self.facts.cert.installed.certain().map_err(|why| format!("the installed certificate: {why}"))?;
        let Some(installed) = installed.and_then(|chain| chain.first()) else {
            evidence.push(Evidence::new("installed certificate", "none, PVE's own is served", "one of the CA"));
            return Ok(Some("there is none".into()));
        };
        let days = installed.days_left(self.facts.taken.required("the node's time")?.as_second());
        let missing: Vec<String> = self.names().into_iter().filter(|name| !installed.covers(name)).collect();
        let retired = self.acme.retired.iter().any(|one| super::same_fingerprint(one, &installed.fingerprint));
        let issuer = sanitize::line(&installed.issuer).into_owned();
        let until = format!("{issuer}, until {} ({days} days)", super::day(installed.not_after));
        evidence.push(Evidence::new("installed certificate", until, format!("for {}", self.names().join(", "))));
        Ok(if configured.domains.is_empty() {
            Some("the installed one is not of this CA".into())
        } else if configured.account != self.acme.account {
            Some("it came by another account".into())
        } else if !missing.is_empty() {
            Some(format!("it is not for {}", missing.join(", ")))
        } else if retired {
            Some("it is retired".into())
        } else if days < ORDER_DAYS {
            Some(format!("it has {days} days left, so PVE's own renewal failed"))
        } else {
            None
        })
    }

    /// What 8006 shows; advice for what no order would change.
    fn served(&self, evidence: &mut Vec<Evidence>, changes: &mut Vec<Change>) -> Result<Option<String>, String> {
        let served = self.facts.cert.served.required("the certificate that 8006 serves")?;
        let leaf = super::served(self.facts)?;
        let disk = super::on_disk(self.facts)?;
        if disk.is_some_and(|disk| disk.fingerprint != leaf.fingerprint) {
            evidence.push(Evidence::new("served on 8006", &leaf.fingerprint, "the installed certificate"));
            let action = Action::Unit { unit: "pveproxy.service".into(), verb: UnitVerb::Reload };
            changes.push(change(
                ID,
                Stage::Firewall,
                "pveproxy reads its certificate again; open consoles stay",
                action,
            ));
            return Ok(None);
        }
        let (code, words) = &served.verify;
        let holds = *code == 0 || self.acme.directory == "staging";
        let chain = if *code == 0 { "holds".to_owned() } else { format!("{code} {}", sanitize::line(words)) };
        evidence.push(Evidence::new("chain served on 8006", chain, "holds"));
        Ok((!holds).then(|| {
            "the node does not trust who issued it: name that authority in cert.acme.ca-file as well".to_owned()
        }))
    }

    fn order(&self, why: &str) -> Result<Change, String> {
        let names = self.names();
        let dns = dns::services(self.policy, self.acme);
        let delays = dns.iter().map(|one| one.delay.saturating_mul(u32::try_from(one.names.len()).unwrap_or(u32::MAX)));
        let each = u32::try_from(names.len()).unwrap_or(u32::MAX).saturating_mul(60);
        let patience = delays.fold(each.saturating_add(240), u32::saturating_add);
        let step = CertStep::Order {
            path: CertStep::certificate(&self.node()?),
            rehearsal: self.acme.rehearse.then(|| rehearsal(self.acme)),
            names,
            trusted: self.acme.directory != "staging",
            patience: patience.min(3600),
        };
        let summary = format!("order a certificate: {why}");
        Ok(change(ID, Stage::Firewall, &summary, Action::Certificate { step }))
    }
}

fn sorted(words: &[String]) -> std::collections::BTreeSet<String> {
    words.iter().cloned().collect()
}
