//! `cert.renewal`.

use crate::change::{Action, Stage, UnitVerb};
use crate::controls::conf::wanted;
use crate::controls::{Control, Evidence, Meta, Reference, Severity, Verdict};
use crate::facts::Facts;
use crate::facts::gather::Request;
use crate::profile::policy::Policy;
use crate::pve::node_config;
use crate::sanitize;

/// The control.
pub struct Renewal;
/// `cert.renewal`.
pub const RENEWAL: Renewal = Renewal;

const ID: &str = "cert.renewal";
const TIMER: &str = "pve-daily-update.timer";
const PROXY: &str = "pveproxy.service";

static META: Meta = Meta {
    id: ID,
    title: "Port 8006's certificate is renewed in time",
    why: "A certificate that ended teaches everybody to click warnings away, and the next warning is an attacker's. \
          Scripts that check it stop working on that day.",
    checked: "A new TLS connection to 8006 from the node: days left and fingerprint of what is served, compared with the \
              file that pveproxy should serve; pve-daily-update.timer, which renews ACME's certificate 30 days ahead and \
              PVE's own 14 days; whether anything renews an administrator's own certificate (nothing does).",
    naive: "A look at the file says nothing about what is served: pveproxy reads it when it starts or is reloaded. A \
            certbot of one's own that copies files into /etc/pve does not reload it either, and is not there when the \
            node is replaced. Disabling pve-daily-update.timer, which guides do to silence the subscription mail, ends \
            every renewal.",
    references: &[
        Reference::Guide("2.3.2"),
        Reference::Source("pve-manager bin/pveupdate"),
        Reference::Source("pve-manager PVE/Service/pveproxy.pm"),
        Reference::Source("pve-docs certificate-management.adoc"),
    ],
    level: 1,
    severity: Severity::Medium,
};

impl Control for Renewal {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn enabled(&self, policy: &Policy) -> bool {
        policy.profile.cert.renewal.enabled
    }

    fn reads(&self, _: &Policy) -> Vec<String> {
        super::files()
    }

    fn ask(&self, _: &Policy, request: &mut Request) {
        super::ask(request);
        request.units.insert(TIMER.into());
    }

    fn evaluate(&self, facts: &Facts, policy: &Policy) -> Verdict {
        judge(facts, policy).unwrap_or_else(Verdict::unknown)
    }
}

/// Who will renew what is served.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Acme,
    Pve,
    Nobody,
}

fn judge(facts: &Facts, policy: &Policy) -> Result<Verdict, String> {
    let served = super::served(facts)?;
    let disk = super::on_disk(facts)?;
    let now = facts.taken.required("the node's time")?.as_second();
    let acme = node_config::acme(&super::node_config(facts)?)?;
    let by = match (facts.cert.installed.known(), acme.domains.is_empty()) {
        (None, _) => By::Pve,
        (Some(_), false) => By::Acme,
        (Some(_), true) => By::Nobody,
    };
    let (mut evidence, mut changes, mut advice) = (Vec::new(), Vec::new(), Vec::new());
    let limit = i64::from(policy.profile.cert.renewal.min_days);
    let days = served.days_left(now);
    let want = wanted(policy, "cert.renewal.min-days", format!("at least {limit} days left"));
    let found = format!(
        "{}, issued by {}, until {} ({days} days)",
        sanitize::line(&served.subject),
        sanitize::line(&served.issuer),
        super::day(served.not_after)
    );
    evidence.push(Evidence::new("certificate served on 8006", found, want));
    evidence.push(Evidence { source: "renewed by".into(), found: renewed_by(by, &acme.account), wanted: None });
    if let Some(disk) = disk.filter(|disk| disk.fingerprint != served.fingerprint) {
        let (found, want) = (served.fingerprint.clone(), format!("{}, the file's", disk.fingerprint));
        evidence.push(Evidence::new("fingerprint served on 8006", found, want));
        let action = Action::Unit { unit: PROXY.into(), verb: UnitVerb::Reload };
        changes.push(super::change(
            ID,
            Stage::Firewall,
            "pveproxy reads its certificate again; open consoles stay",
            action,
        ));
    } else if days < limit {
        advice.push(match by {
            By::Acme => "renewal fails: see journalctl -u pve-daily-update.service, then pvenode acme cert renew",
            By::Pve => {
                "PVE makes a new one each day when fewer than 14 are left: see journalctl -u pve-daily-update.service"
            }
            By::Nobody => "install a new certificate (cert.custom), or let ACME do it (cert.acme)",
        });
    }
    let timer = facts.unit(TIMER)?;
    evidence.push(Evidence::new(TIMER, format!("{}, {}", timer.active, timer.file_state), "active, enabled"));
    if timer.active != "active" || timer.file_state != "enabled" {
        let action = Action::Unit { unit: TIMER.into(), verb: UnitVerb::EnableNow };
        changes.push(super::change(ID, Stage::Services, "the daily timer that renews certificates runs", action));
    }
    Ok(Verdict::outcome(changes, (!advice.is_empty()).then(|| advice.join("; ")), evidence))
}

fn renewed_by(by: By, account: &str) -> String {
    match by {
        By::Acme => format!("ACME, account {}", sanitize::line(account)),
        By::Pve => "PVE's own authority".into(),
        By::Nobody => "nobody: it is an administrator's own".into(),
    }
}
