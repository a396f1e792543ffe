//! `os.integrity`: AIDE and debsums, started by a timer. What they do is in `node/`; here is judged whether it is there
//! and ran.

use jiff::civil::Date;

use crate::change::{Action, Change, FileImage, Stage, UnitVerb};
use crate::controls::conf::{self, wanted};
use crate::controls::{Control, Evidence, Meta, Reference, Severity, Verdict};
use crate::facts::Facts;
use crate::facts::gather::Request;
use crate::profile::policy::Policy;

/// The control.
pub struct Integrity;
/// `os.integrity`.
pub const INTEGRITY: Integrity = Integrity;

const ID: &str = "os.integrity";
const PACKAGES: [&str; 2] = ["aide", "debsums"];
const TIMER: &str = "pve-harden-integrity.timer";
const SERVICE: &str = "pve-harden-integrity.service";
/// Debian's own timer, of the package aide-common.
const DEBIANS: &str = "dailyaidecheck.timer";
const CONFIG: &str = "/etc/aide/aide.conf";
const MARK: &str = "# Written by pve-harden (os.integrity)";
/// Day, result and digest of the last check.
const LAST: &str = "/var/lib/aide/pve-harden.last";
/// Without a check for so many days the timer does not do its work.
const STALE_DAYS: i32 = 3;
const DIRECTORIES: [&str; 2] = ["/etc/aide", "/usr/local/lib/pve-harden"];
/// Path, content, mode.
const FILES: [(&str, &str, u32); 3] = [
    ("/usr/local/lib/pve-harden/integrity", include_str!("node/integrity"), 0o755),
    ("/etc/systemd/system/pve-harden-integrity.service", include_str!("node/pve-harden-integrity.service"), 0o644),
    ("/etc/systemd/system/pve-harden-integrity.timer", include_str!("node/pve-harden-integrity.timer"), 0o644),
];

static META: Meta = Meta {
    id: ID,
    title: "Changed programs and configuration are found every night",
    why: "Who has become root replaces programs and leaves keys, units and cron jobs behind. This tool's own report knows the \
          files it manages; the other fifty thousand of a node nobody looks at.",
    checked: "The packages aide and debsums, this tool's files byte for byte, that the timer is enabled and active, and that the \
              last check is no older than three days. AIDE compares /boot, /etc, /usr, /opt, cron's tables and the start files \
              and keys in /root and /home: content, owner, mode, links, access lists, capabilities. debsums says whether what is \
              recorded first is what the packages brought. Differences are told once, by mail to root (which PVE passes to its \
              notifications) and in the journal, together with what dpkg and this tool did since; the journal gets the digest of \
              each reference, so that with `logs.forward` a reference that somebody exchanged shows.",
    naive: "Debian's aide-common reads all of / : guests' disks under /var/lib/vz and mounted storages, for hours, and /etc/pve, \
            which every click in the web interface changes. Its mail says the same each night until somebody runs aideinit, so \
            it is filtered away by the first week. PVE rewrites files with the same content, so times and inodes are not \
            compared, and LVM's archive, zpool.cache and grubenv are left out. The check runs with the lowest priority for CPU \
            and disk. A reference on the node is evidence against mistakes and ordinary intruders, not against one who knows \
            this service: that is what the other machine's journal is for. With Debian's own timer active (aide-common) this \
            control leaves AIDE to it.",
    references: &[
        Reference::Cis13("6.3"),
        Reference::Cis12("6.3"),
        Reference::Man("aide.conf(5)"),
        Reference::Man("debsums(1)"),
        Reference::Source("lvm2 lib/format_text/archive.c"),
    ],
    level: 2,
    severity: Severity::Low,
};

impl Control for Integrity {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn enabled(&self, policy: &Policy) -> bool {
        policy.profile.os.integrity.enabled
    }

    fn reads(&self, _: &Policy) -> Vec<String> {
        let files = FILES.iter().map(|(path, ..)| *path);
        files.chain(DIRECTORIES).chain([CONFIG, LAST, "/var/lib/aide"]).map(str::to_owned).collect()
    }

    fn ask(&self, _: &Policy, request: &mut Request) {
        request.units.extend([TIMER, SERVICE, DEBIANS].map(str::to_owned));
    }

    fn packages(&self) -> &'static [&'static str] {
        &PACKAGES
    }

    fn evaluate(&self, facts: &Facts, policy: &Policy) -> Verdict {
        if let Some(path) = policy.profile.os.integrity.leave_out.iter().find(|path| !plain(path)) {
            return Verdict::refused(format!(
                "os.integrity.leave-out: \"{}\" is no path; write it from / on, of letters, digits and . _ - + @ : /",
                path.escape_debug()
            ));
        }
        judge(facts, policy).unwrap_or_else(Verdict::unknown)
    }
}

/// A path that stands for itself in aide.conf(5), dots and plus signs apart.
fn plain(path: &str) -> bool {
    let named = path.strip_prefix('/').is_some_and(|rest| !rest.is_empty() && !path.ends_with('/'));
    named && path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-+@:/".contains(&byte))
}

fn judge(facts: &Facts, policy: &Policy) -> Result<Verdict, String> {
    let debians = facts.unit(DEBIANS)?;
    if debians.active == "active" {
        let found = format!("{}, {}", debians.active, debians.file_state);
        return Ok(Verdict::compliant(vec![Evidence::new(
            DEBIANS,
            found,
            "AIDE runs, by this timer or by this tool's",
        )]));
    }
    let (mut evidence, mut changes) = (Vec::new(), Vec::new());
    if let Some(advice) = foreign(facts, &mut evidence)? {
        return Ok(Verdict::advise(advice, evidence));
    }
    packages(facts, &mut evidence, &mut changes)?;
    files(facts, policy, &mut evidence, &mut changes)?;
    timer(facts, &mut evidence, &mut changes)?;
    let advice = if changes.is_empty() { last(facts, policy, &mut evidence)? } else { None };
    Ok(Verdict::outcome(changes, advice, evidence))
}

/// A configuration that somebody else wrote is theirs.
fn foreign(facts: &Facts, evidence: &mut Vec<Evidence>) -> Result<Option<String>, String> {
    let Some(text) = conf::text(facts, CONFIG)? else { return Ok(None) };
    if text.starts_with(MARK) {
        return Ok(None);
    }
    evidence.push(Evidence::new(CONFIG, "not written by this tool", format!("this tool's, or {DEBIANS} active")));
    Ok(Some(format!(
        "either `systemctl enable --now {DEBIANS}` (package aide-common), or waive {ID} where another timer runs AIDE, or move \
         {CONFIG} away and apply again"
    )))
}

fn packages(facts: &Facts, evidence: &mut Vec<Evidence>, changes: &mut Vec<Change>) -> Result<(), String> {
    let installed = facts.packages.required("installed packages")?;
    let has = |name: &&str| installed.get(*name).is_some_and(|package| package.installed);
    let missing: Vec<String> = PACKAGES.iter().filter(|name| !has(name)).map(ToString::to_string).collect();
    let found = if missing.is_empty() { "installed".into() } else { format!("missing: {}", missing.join(", ")) };
    evidence.push(Evidence::new("packages aide and debsums", found, "installed"));
    if !missing.is_empty() {
        let summary = format!("install {}", missing.join(" and "));
        changes.push(change(Stage::Packages, summary, Action::Packages { install: missing }));
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
    changes.extend(conf::own(facts, ID, CONFIG, &config(policy), "what AIDE compares, and what not")?);
    for (path, content, mode) in FILES {
        let image = FileImage::root(content, mode);
        changes.extend(conf::own_as(facts, ID, path, image, "nightly comparison of programs and configuration")?);
    }
    let state = if changes.len() > before { "missing or different" } else { "as they should be" };
    let want = wanted(policy, "os.integrity.leave-out", "as this version of the tool has them");
    evidence.push(Evidence::new("files of the check", state, want));
    Ok(())
}

fn config(policy: &Policy) -> String {
    let mut text = include_str!("node/aide.conf").to_owned();
    for path in &policy.profile.os.integrity.leave_out {
        text.push('!');
        for letter in path.chars() {
            if matches!(letter, '.' | '+') {
                text.push('\\');
            }
            text.push(letter);
        }
        text.push_str("(/.*)?$\n");
    }
    text
}

fn timer(facts: &Facts, evidence: &mut Vec<Evidence>, changes: &mut Vec<Change>) -> Result<(), String> {
    let timer = facts.unit(TIMER)?;
    let on = timer.active == "active" && timer.file_state == "enabled";
    evidence.push(Evidence::new(TIMER, format!("{}, {}", timer.active, timer.file_state), "active, enabled"));
    if !on {
        let action = Action::Unit { unit: TIMER.into(), verb: UnitVerb::EnableNow };
        changes.push(change(Stage::Services, format!("enable and start {TIMER}"), action));
    } else if changes.iter().any(|change| matches!(change.action, Action::File(_))) {
        let action = Action::Unit { unit: TIMER.into(), verb: UnitVerb::TryRestart };
        changes.push(change(Stage::Services, format!("restart {TIMER}"), action));
    }
    Ok(())
}

/// Whether the check does its work; before the first one there is nothing to say.
fn last(facts: &Facts, policy: &Policy, evidence: &mut Vec<Evidence>) -> Result<Option<String>, String> {
    let look = format!("look at `journalctl -u {SERVICE}`");
    let Some(text) = conf::text(facts, LAST)? else {
        let failed = facts.unit(SERVICE)?.active == "failed";
        let found = if failed { "none, and the first one failed" } else { "none yet" };
        evidence.push(Evidence { source: "last check".into(), found: found.into(), wanted: None });
        return Ok(failed.then_some(look));
    };
    let mut words = text.split_whitespace();
    let day = words.next().and_then(|word| word.parse::<Date>().ok());
    let result = words.next().unwrap_or_default();
    let fresh = day.and_then(|day| (policy.today - day).get_days().into()).is_some_and(|age: i32| age <= STALE_DAYS);
    let good = fresh && matches!(result, "first" | "nothing" | "differences");
    let found = day.map_or_else(|| "a day that cannot be read".into(), |day| format!("{day}: {}", shown(result)));
    evidence.push(Evidence::new(
        format!("last check ({LAST})"),
        found,
        format!("within {STALE_DAYS} days, no failure"),
    ));
    Ok((!good).then_some(look))
}

fn shown(result: &str) -> &str {
    match result {
        "first" => "reference recorded",
        "nothing" => "no difference",
        "differences" => "differences, told by mail and in the journal",
        _ => "failed",
    }
}

fn change(stage: Stage, summary: String, action: Action) -> Change {
    Change { controls: vec![ID.into()], stage, summary, interrupts: None, action }
}
