//! `alerts.contact`.

use crate::access::model;
use crate::change::access::{AccessCall, UserSettings};
use crate::change::{Action, Change, Stage};
use crate::controls::conf::wanted;
use crate::controls::{Control, Evidence, Meta, Reference, Severity, Verdict};
use crate::facts::{Facts, Reading};
use crate::profile::policy::Policy;
use crate::pve::names;
use crate::pve::notifications::{self, Target};
use crate::pve::user_cfg::UserConfig;

/// The control.
pub struct Contact;
/// `alerts.contact`.
pub const CONTACT: Contact = Contact;

const ID: &str = "alerts.contact";
const USERS: &str = "/etc/pve/user.cfg";
const TARGETS: &str = "/etc/pve/notifications.cfg";

static META: Meta = Meta {
    id: ID,
    title: "Somebody is told: root@pam has an address, notifications have a way out",
    why: "Failed backups, full disks, fencing and alerts of intrusion are mails to root. Without an address, or with every \
          target switched off, PVE drops them and says nothing.",
    checked: "root@pam's address in user.cfg; notifications.cfg with PVE's own target laid under it: a target that is on, \
              that an enabled matcher sends to, and that has somebody to reach. Mail to a user counts only if that user has an \
              address. The site's emergency-contact is shown in the report.",
    naive: "PVE's own target mail-to-root exists on every node and looks like a configuration: without root's address it \
            sends nothing. Whether a mail arrives is the relay's matter; `pve-harden-alerts --test-alert` on the node, or Test \
            in the web interface, tells.",
    references: &[
        Reference::Guide("5.2.2"),
        Reference::Source("pve-docs notifications.adoc"),
        Reference::Man("pveum(1)"),
    ],
    level: 1,
    severity: Severity::Medium,
};

impl Control for Contact {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn enabled(&self, policy: &Policy) -> bool {
        policy.profile.alerts.contact.enabled
    }

    fn reads(&self, _: &Policy) -> Vec<String> {
        vec![USERS.into(), TARGETS.into()]
    }

    fn evaluate(&self, facts: &Facts, policy: &Policy) -> Verdict {
        judge(facts, policy).unwrap_or_else(Verdict::unknown)
    }
}

fn judge(facts: &Facts, policy: &Policy) -> Result<Verdict, String> {
    if matches!(facts.pve, Reading::Absent) {
        return Ok(Verdict::not_applicable("this host is not PVE"));
    }
    let release = facts.pve.required("the release of PVE")?;
    let users = facts.access.config.required(USERS)?;
    let (mut evidence, mut changes, mut advice) = (Vec::new(), Vec::new(), Vec::new());
    let address = root_address(users, policy, &mut evidence, &mut changes, &mut advice);
    if (release.major, release.minor) >= notifications::SINCE {
        let text = match facts.text(TARGETS) {
            Reading::Absent => String::new(),
            other => other.required(TARGETS)?.clone(),
        };
        targets(&text, users, address.is_some(), &mut evidence, &mut advice);
    } else {
        let found = "PVE before 8.1: everything is a mail to root@pam".into();
        evidence.push(Evidence { source: "notifications".into(), found, wanted: None });
    }
    emergency(policy, &mut evidence, &mut advice);
    Ok(Verdict::outcome(changes, (!advice.is_empty()).then(|| advice.join("; ")), evidence))
}

/// The address root@pam will have.
fn root_address(
    users: &UserConfig,
    policy: &Policy,
    evidence: &mut Vec<Evidence>,
    changes: &mut Vec<Change>,
    advice: &mut Vec<String>,
) -> Option<String> {
    let found = users.users.get(names::ROOT).map(|root| root.email.clone()).unwrap_or_default();
    let listed = policy.profile.access.user.iter().any(|user| user.id == names::ROOT);
    let site = policy.site.contact.as_ref().filter(|_| !listed);
    let shown = if found.is_empty() { "none" } else { &found };
    match site {
        Some(contact) if *contact != found => {
            evidence.push(Evidence::new("mail address of root@pam", shown, format!("{contact} (site: contact)")));
            changes.push(set_address(users, contact));
            Some(contact.clone())
        }
        _ if is_address(&found) => {
            evidence.push(Evidence { source: "mail address of root@pam".into(), found: found.clone(), wanted: None });
            Some(found)
        }
        _ => {
            evidence.push(Evidence::new("mail address of root@pam", shown, "an address that somebody reads"));
            advice.push("give root@pam an address: contact = \"you@example.org\" in the site".into());
            None
        }
    }
}

/// An address that can be reached: RFC 2606's `.invalid` is what installers fill in, `localhost` is nobody's.
fn is_address(text: &str) -> bool {
    text.split_once('@').is_some_and(|(local, domain)| {
        let domain = domain.to_ascii_lowercase();
        !local.is_empty() && !domain.is_empty() && !domain.ends_with("invalid") && domain != "localhost"
    })
}

fn set_address(users: &UserConfig, address: &str) -> Change {
    let settings = UserSettings { email: Some(address.to_owned()), ..UserSettings::default() };
    let call = AccessCall::UserModify { user: names::ROOT.into(), settings };
    Change {
        controls: vec![ID.into()],
        stage: Stage::PveAccess,
        summary: "mail address of root@pam".into(),
        interrupts: None,
        action: Action::PveAccess { steps: vec![model::step(users, call)] },
    }
}

fn targets(
    text: &str,
    users: &UserConfig,
    root_has_address: bool,
    evidence: &mut Vec<Evidence>,
    advice: &mut Vec<String>,
) {
    let all = notifications::parse(text);
    let mut reached = false;
    for (name, target, matched) in all.enabled() {
        let who = recipient(target, users, root_has_address);
        reached |= matched && who.is_some();
        let found = match (&who, matched) {
            (_, false) => format!("{}, no matcher sends anything there", target.kind),
            (None, true) => format!("{}, to nobody with an address", target.kind),
            (Some(who), true) => format!("{}, {who}", target.kind),
        };
        let wanted = (who.is_none() || !matched).then(|| "a matcher, and somebody to reach".to_owned());
        evidence.push(Evidence { source: format!("notification target {name}"), found, wanted });
    }
    if !reached {
        if all.enabled().next().is_none() {
            evidence.push(Evidence::new("notification targets", "all are switched off", "one that is on"));
        }
        advice.push(
            "no notification target reaches anybody: Datacenter → Notifications, or /cluster/notifications".into(),
        );
    }
}

fn recipient(target: &Target, users: &UserConfig, root_has_address: bool) -> Option<String> {
    if !target.is_mail() {
        return Some("with an address of its own".into());
    }
    let has_address = |user: &&String| match user.as_str() {
        names::ROOT => root_has_address,
        other => users.users.get(other).is_some_and(|user| is_address(&user.email)),
    };
    let people = target.users.iter().filter(has_address);
    let people: Vec<&str> = target.mailto.iter().chain(people).map(String::as_str).collect();
    (!people.is_empty()).then(|| format!("to {}", people.join(", ")))
}

fn emergency(policy: &Policy, evidence: &mut Vec<Evidence>, advice: &mut Vec<String>) {
    let named = policy.site.emergency_contact.clone();
    let missing = named.is_none() && policy.profile.alerts.contact.emergency_contact;
    evidence.push(Evidence {
        source: "emergency contact".into(),
        found: named.unwrap_or_else(|| "the site names none".into()),
        wanted: missing.then(|| wanted(policy, "alerts.contact.emergency-contact", "one that is on paper, too")),
    });
    if missing {
        advice
            .push("add emergency-contact = \"who, and how to reach them when mail does not work\" to the site".into());
    }
}
