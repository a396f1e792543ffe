//! `alerts.events`: a service on the node. What it does is in `node/`; here is judged whether it is there and runs.

use serde_json::json;

use crate::change::{Action, Change, FileImage, Stage, UnitVerb};
use crate::controls::conf;
use crate::controls::{Control, Evidence, Meta, Reference, Severity, Verdict};
use crate::facts::gather::Request;
use crate::facts::{Facts, FileKind, Reading};
use crate::profile::policy::Policy;

/// The control.
pub struct Events;
/// `alerts.events`.
pub const EVENTS: Events = Events;

const ID: &str = "alerts.events";
const PACKAGE: &str = "python3";
const UNIT: &str = "pve-harden-alerts.service";
const SETTINGS: &str = "/etc/pve-harden/alerts.json";
const WEBHOOK: &str = "/etc/pve-harden/alerts-webhook";
/// PVE's own templates lie here since 8.2; files that belong to no package survive its upgrades.
const TEMPLATES: &str = "/usr/share/pve-manager/templates/default";
const DIRECTORIES: [&str; 3] = ["/etc/pve-harden", "/usr/local/lib/pve-harden", "/usr/local/lib/pve-harden/alerts"];
/// Path, content, mode.
const FILES: [(&str, &str, u32); 9] = [
    ("/usr/local/lib/pve-harden/alerts/events.py", include_str!("node/events.py"), 0o644),
    ("/usr/local/lib/pve-harden/alerts/tasks.py", include_str!("node/tasks.py"), 0o644),
    ("/usr/local/lib/pve-harden/alerts/watch.py", include_str!("node/watch.py"), 0o644),
    ("/usr/local/lib/pve-harden/alerts/digest.py", include_str!("node/digest.py"), 0o644),
    ("/usr/local/lib/pve-harden/alerts/deliver.py", include_str!("node/deliver.py"), 0o644),
    ("/usr/local/lib/pve-harden/alerts/notify.pl", include_str!("node/notify.pl"), 0o644),
    ("/usr/local/lib/pve-harden/alerts/__main__.py", include_str!("node/__main__.py"), 0o644),
    ("/usr/local/sbin/pve-harden-alerts", include_str!("node/pve-harden-alerts"), 0o755),
    ("/etc/systemd/system/pve-harden-alerts.service", include_str!("node/pve-harden-alerts.service"), 0o644),
];
const TEMPLATE_FILES: [(&str, &str); 3] = [
    ("/usr/share/pve-manager/templates/default/pve-harden-subject.txt.hbs", include_str!("node/subject.txt.hbs")),
    ("/usr/share/pve-manager/templates/default/pve-harden-body.txt.hbs", include_str!("node/body.txt.hbs")),
    ("/usr/share/pve-manager/templates/default/pve-harden-body.html.hbs", include_str!("node/body.html.hbs")),
];

static META: Meta = Meta {
    id: ID,
    title: "Logins of root, new rights, tokens and other signs of an intrusion are told",
    why: "PVE tells of backups, replication, updates and fencing, and of nothing else: who logs in as root, makes a user or a \
          token, or takes a second factor away leaves a line in a log that nobody reads.",
    checked: "The service's files byte for byte, its settings, that its unit is enabled and running. It reads the journal, \
              pveproxy's access log, the task index, user.cfg, token.cfg, tfa.cfg, the certificates, and the digests that runs \
              of this tool left. It tells through PVE's notifications (type pve-harden, 8.2 and later), else by mail to root, \
              and to a webhook whose address is in /etc/pve-harden/alerts-webhook.",
    naive: "A rule per log line floods the mailbox on the first night of wrong passwords, and is switched off on the second: \
            events come together, an hour has a most, and strangers can use up half of it. Lines with root's logins from other \
            members are everyday. Log lines are believed by the sender's user id, since `logger` writes any name; and what \
            an attacker typed as a login name is made plain before it stands in a mail. `pve-harden-alerts --test-alert` tells \
            whether anything arrives.",
    references: &[
        Reference::Guide("5.2.2"),
        Reference::Source("libpve-notify-perl PVE/Notify.pm"),
        Reference::Source("pve-http-server PVE/APIServer/AnyEvent.pm"),
        Reference::Man("systemd.exec(5)"),
    ],
    level: 2,
    severity: Severity::Medium,
};

impl Control for Events {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn enabled(&self, policy: &Policy) -> bool {
        policy.profile.alerts.events.enabled
    }

    fn reads(&self, _: &Policy) -> Vec<String> {
        let files = FILES.iter().map(|(path, ..)| *path).chain(TEMPLATE_FILES.iter().map(|(path, _)| *path));
        let others = DIRECTORIES.into_iter().chain([TEMPLATES, SETTINGS, WEBHOOK]);
        files.chain(others).map(str::to_owned).collect()
    }

    fn ask(&self, _: &Policy, request: &mut Request) {
        request.units.insert(UNIT.to_owned());
    }

    fn packages(&self) -> &'static [&'static str] {
        &[PACKAGE]
    }

    fn evaluate(&self, facts: &Facts, policy: &Policy) -> Verdict {
        judge(facts, policy).unwrap_or_else(Verdict::unknown)
    }
}

fn judge(facts: &Facts, policy: &Policy) -> Result<Verdict, String> {
    if matches!(facts.pve, Reading::Absent) {
        return Ok(Verdict::not_applicable("this host is not PVE"));
    }
    facts.pve.required("the release of PVE")?;
    let (mut evidence, mut changes) = (Vec::new(), Vec::new());
    interpreter(facts, &mut changes)?;
    files(facts, policy, &mut evidence, &mut changes)?;
    unit(facts, &mut evidence, &mut changes)?;
    let advice = webhook(facts, &mut evidence)?;
    Ok(Verdict::outcome(changes, advice, evidence))
}

/// Every PVE node has it (ifupdown2 and ceph-common depend on it).
fn interpreter(facts: &Facts, changes: &mut Vec<Change>) -> Result<(), String> {
    let packages = facts.packages.required("installed packages")?;
    if !packages.get(PACKAGE).is_some_and(|package| package.installed) {
        let action = Action::Packages { install: vec![PACKAGE.into()] };
        changes.push(change(Stage::Packages, format!("install {PACKAGE}"), action));
    }
    Ok(())
}

fn files(
    facts: &Facts,
    policy: &Policy,
    evidence: &mut Vec<Evidence>,
    changes: &mut Vec<Change>,
) -> Result<(), String> {
    let before = changes.len();
    for path in DIRECTORIES {
        changes.extend(conf::directory(facts, ID, path)?);
    }
    for (path, content, mode) in FILES {
        let image = FileImage::root(content, mode);
        changes.extend(conf::own_as(facts, ID, path, image, "service that tells of logins, rights and tokens")?);
    }
    changes.extend(conf::own(facts, ID, SETTINGS, &settings(policy), "what is told, and how often")?);
    let templates = facts.file(TEMPLATES).certain().map_err(|why| format!("{TEMPLATES}: {why}"))?.is_some();
    let found = if templates {
        for (path, content) in TEMPLATE_FILES {
            changes.extend(conf::own(facts, ID, path, content, "text of PVE's notifications of alerts")?);
        }
        "PVE's notifications (type pve-harden), else mail to root"
    } else {
        "mail to root: this PVE has no templates of notifications"
    };
    let state = if changes.len() > before { "missing or different" } else { "as they should be" };
    evidence.push(Evidence::new("files of the service", state, "as this version of the tool has them"));
    evidence.push(Evidence { source: "told through".into(), found: found.into(), wanted: None });
    Ok(())
}

fn settings(policy: &Policy) -> String {
    let events = &policy.profile.alerts.events;
    let settings = json!({
        "version": 1,
        "kinds": events.kinds,
        "failed-logins": events.failed_logins,
        "window-minutes": events.window_minutes,
        "token-days": events.token_days,
        "rotate-days": events.rotate_days,
        "certificate-days": events.certificate_days,
        "most-per-hour": events.most_per_hour,
    });
    format!("{settings:#}\n")
}

fn unit(facts: &Facts, evidence: &mut Vec<Evidence>, changes: &mut Vec<Change>) -> Result<(), String> {
    let unit = facts.unit(UNIT)?;
    let on = unit.active == "active" && unit.file_state == "enabled";
    evidence.push(Evidence::new(UNIT, format!("{}, {}", unit.active, unit.file_state), "active, enabled"));
    if !on {
        let action = Action::Unit { unit: UNIT.into(), verb: UnitVerb::EnableNow };
        changes.push(change(Stage::Services, format!("enable and start {UNIT}"), action));
    } else if !changes.is_empty() {
        let action = Action::Unit { unit: UNIT.into(), verb: UnitVerb::TryRestart };
        changes.push(change(Stage::Services, format!("restart {UNIT}"), action));
    }
    Ok(())
}

/// Its content is a secret: only that it is there, and for root alone, is looked at.
fn webhook(facts: &Facts, evidence: &mut Vec<Evidence>) -> Result<Option<String>, String> {
    let file = match facts.file(WEBHOOK) {
        Reading::NotAsked if matches!(facts.file(DIRECTORIES[0]), Reading::Absent) => None,
        other => other.certain().map_err(|why| format!("{WEBHOOK}: {why}"))?,
    };
    let source = format!("webhook ({WEBHOOK})");
    let Some(file) = file else {
        evidence.push(Evidence { source, found: "none".into(), wanted: None });
        return Ok(None);
    };
    let found = format!("mode {:04o}, {}:{}", file.mode, file.owner, file.group);
    if file.kind == FileKind::Regular && file.owner == "root" && file.mode.trailing_zeros() >= 6 {
        evidence.push(Evidence { source, found, wanted: None });
        return Ok(None);
    }
    evidence.push(Evidence::new(source, found, "a file of root's, mode 0600"));
    Ok(Some(format!(
        "chown root {WEBHOOK}; chmod 600 {WEBHOOK}: the service does not use an address that others can read"
    )))
}

fn change(stage: Stage, summary: String, action: Action) -> Change {
    Change { controls: vec![ID.into()], stage, summary, interrupts: None, action }
}
