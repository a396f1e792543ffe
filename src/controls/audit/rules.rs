//! `audit.rules`.

use crate::change::{Action, Change, FileImage, Stage, UnitVerb};
use crate::controls::conf::{self, wanted};
use crate::controls::kernel::is_container;
use crate::controls::{Control, Evidence, Meta, Reference, Severity, Verdict};
use crate::facts::gather::Request;
use crate::facts::watch::Audit;
use crate::facts::{Facts, FileKind, Reading};
use crate::profile::policy::Policy;

use super::daemon;
use super::files::{self, CLOCK, FOLDERS, MODULES, PVE_RULES, Place, RULES as RULES_FILE, UNIT, UNIT_PATH, UNIT_TEXT};
use super::loaded::Rule;

/// The control.
pub struct Rules;
/// `audit.rules`.
pub const RULES: Rules = Rules;

const ID: &str = "audit.rules";
const PACKAGE: &str = "auditd";
const DAEMON: &str = "auditd.service";
const SUMMARY: &str = "who changes accounts, sudo, sshd, modules, the clock and /etc/pve is written down";

static META: Meta = Meta {
    id: ID,
    title: "The kernel writes down who changes PVE's and the system's keys to the house",
    why: "PVE has no audit log of its own: a user.cfg or cluster.fw that was edited on a shell leaves no trace but its time. \
          auditd says which login did it, whatever it called itself later: `ausearch -i -k pve-harden-pve`.",
    checked: "auditd is installed, enabled and active; the rules that are loaded in the kernel (auditctl -l), whoever wrote \
              them, watch each path of the profile that is there, modules and the clock; those of /etc/pve were loaded after \
              pmxcfs was mounted; a failure of auditing neither panics the kernel (-f 2) nor holds up who writes \
              (backlog_wait_time); auditd.conf bounds all its files together, rotates, and never stops the node or itself. A \
              container has no audit trail of its own: nothing is installed there.",
    naive: "A rule on /etc/pve that is loaded at boot watches the empty folder beneath pmxcfs for ever, and the kernel drops it \
            when pmxcfs is restarted: a unit of its own loads it at each mount, and pve-cluster knows nothing of it. What another \
            member changes arrives here without a system call, so neither this nor any watch sees it: every member needs the \
            rule, and its own trail tells. Changes through port 8006 are made by a daemon without a login; PVE's access and task \
            logs have them, and they are left out here, because the HA managers write their state every few seconds the same \
            way. CIS wants the node to halt, or to keep every log, when the disk is full: HA would fence the node. It wants \
            auid>=1000, which misses root's own logins, PVE's usual ones; `-e 2`, after which a pmxcfs that was restarted is \
            not watched before the next reboot, and that root takes out anyway; and audit=1 for the kernel, a reboot for the \
            seconds before auditd. Debian lets a full queue hold up each writer for a minute, the HA manager before its watchdog \
            too. These four are not followed.",
    references: &[
        Reference::Guide("5.1.2"),
        Reference::Cis13("6.2.1"),
        Reference::Cis13("6.2.2"),
        Reference::Cis13("6.2.3"),
        Reference::Cis12("6.2.1"),
        Reference::Cis12("6.2.2"),
        Reference::Cis12("6.2.3"),
        Reference::Man("auditctl(8)"),
        Reference::Man("auditd.conf(5)"),
        Reference::Man("augenrules(8)"),
        Reference::Source("linux kernel/audit_tree.c"),
        Reference::Source("auditd init.d/augenrules"),
    ],
    level: 2,
    severity: Severity::Low,
};

impl Control for Rules {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn enabled(&self, policy: &Policy) -> bool {
        policy.profile.audit.rules.enabled
    }

    fn reads(&self, policy: &Policy) -> Vec<String> {
        let watched = policy.profile.audit.rules.watch.iter().filter(|path| files::refused(path).is_none());
        let watched = watched.map(|path| path.trim_end_matches('/').to_owned());
        let own = FOLDERS.into_iter().chain([RULES_FILE, PVE_RULES, UNIT_PATH, daemon::PATH]);
        watched.chain(own.map(str::to_owned)).collect()
    }

    fn ask(&self, _: &Policy, request: &mut Request) {
        request.watch.insert("audit");
        request.machine_packages.insert(PACKAGE.into());
        request.units.extend([DAEMON, UNIT].map(str::to_owned));
    }

    fn packages(&self) -> &'static [&'static str] {
        &[PACKAGE]
    }

    fn evaluate(&self, facts: &Facts, policy: &Policy) -> Verdict {
        if let Some(why) = policy.profile.audit.rules.watch.iter().find_map(|path| files::refused(path)) {
            return Verdict::refused(format!("{ID}: {why}"));
        }
        judge(facts, policy).unwrap_or_else(Verdict::unknown)
    }
}

fn judge(facts: &Facts, policy: &Policy) -> Result<Verdict, String> {
    let kernel = facts.os.kernel.required("the running kernel")?;
    if is_container(&kernel.virt) {
        return Ok(Verdict::not_applicable("a container's audit trail is its host's"));
    }
    let places = files::places(facts, &policy.profile.audit.rules.watch)?;
    if let Some(file) = places.iter().find(|place| place.is_shared() && !place.is_directory) {
        let why =
            format!("{ID}: {} is replaced by every change, so that a rule loses it; watch its directory", file.path);
        return Ok(Verdict::refused(why));
    }
    let packages = facts.packages.required("installed packages")?;
    let installed = packages.get(PACKAGE).is_some_and(|package| package.installed);
    let mut found = Found::default();
    let state = if installed { "installed" } else { "missing" };
    found.evidence.push(Evidence::new(format!("package {PACKAGE}"), state, "installed"));
    let loaded = match &facts.watch.audit {
        Reading::Absent if !installed => None,
        reading => Some(reading.required("the audit rules")?),
    };
    if installed {
        found.kernel(loaded, policy, &places);
    }
    let mut changes = found.files(facts, policy, &places, installed)?;
    changes.extend(daemon::judge(facts, policy, ID, &mut found.evidence)?);
    let late = files::pve_rules(&places).is_some();
    let (daemon, pve) = (unit(facts, DAEMON)?, unit(facts, UNIT)?);
    found.evidence.push(Evidence::new(DAEMON, format!("{}, {}", daemon.0, daemon.1), "active, enabled"));
    if late {
        let source = format!("{UNIT}, loaded after pmxcfs was mounted");
        found.evidence.push(Evidence::new(source, format!("{}, {}", pve.0, pve.1), "active, enabled"));
    }
    if loaded.is_some_and(|audit| audit.locked) && !(found.right() && changes.is_empty()) {
        let advice = "the rules are locked until the next reboot (-e 2): take that line out of /etc/audit/rules.d, reboot \
                      when the guests have moved, and apply again";
        return Ok(Verdict::advise(advice, found.evidence));
    }
    let advice = (!found.right() && changes.is_empty()).then(|| {
        format!(
            "if it stays so, a file of {} that sorts after {RULES_FILE} says otherwise: see `auditctl -s`",
            FOLDERS[1]
        )
    });
    let again = !changes.is_empty() || !found.right();
    if !installed {
        let action = Action::Packages { install: vec![PACKAGE.to_owned()] };
        changes.push(change(Stage::Packages, format!("install {PACKAGE}"), action));
    }
    units(&mut changes, again, daemon == ACTIVE, !late || pve == ACTIVE);
    Ok(Verdict::outcome(changes, advice, found.evidence))
}

const ACTIVE: (&str, &str) = ("active", "enabled");

/// Active and file state; absent units are `inactive, not-found`.
fn unit<'a>(facts: &'a Facts, name: &str) -> Result<(&'a str, &'a str), String> {
    let unit = facts.unit(name)?;
    Ok((&unit.active, if unit.load == "not-found" { "not-found" } else { &unit.file_state }))
}

/// What is to be done beside the files. A restart of auditd loads all rules anew, and a full queue waits for it.
fn units(changes: &mut Vec<Change>, again: bool, daemon_runs: bool, late_runs: bool) {
    let mut unit = |name: &str, verb, words: &str| {
        changes.push(change(Stage::Services, words.to_owned(), Action::Unit { unit: name.to_owned(), verb }));
    };
    if !daemon_runs {
        unit(DAEMON, UnitVerb::EnableNow, "auditd starts, now and at every boot");
    }
    if again {
        unit(DAEMON, UnitVerb::TryRestart, "auditd reads its files and loads its rules again");
    }
    if !late_runs {
        unit(UNIT, UnitVerb::EnableNow, "the rules of /etc/pve are loaded each time that it is mounted");
    }
}

fn change(stage: Stage, summary: String, action: Action) -> Change {
    Change { controls: vec![ID.into()], stage, summary, interrupts: None, action }
}

#[derive(Default)]
struct Found {
    evidence: Vec<Evidence>,
    /// The kernel lacks a rule.
    rules_off: bool,
    /// What the kernel does when auditing fails stops the node or its daemons.
    harmful: bool,
}

impl Found {
    /// What the kernel has, whoever gave it.
    fn kernel(&mut self, audit: Option<&Audit>, policy: &Policy, places: &[Place<'_>]) {
        let none = Audit::default();
        let audit = audit.unwrap_or(&none);
        self.rules_off |= !audit.enabled;
        self.evidence.push(Evidence::new("auditing", if audit.enabled { "on" } else { "off" }, "on"));
        let (failure, wait) = (audit.failure.unwrap_or(1), audit.backlog_wait.unwrap_or(0));
        self.harmful = failure > 1 || wait > 0;
        let words = ["nothing is said", "the kernel's log says so", "the kernel panics"];
        let said = words.get(failure as usize).copied().unwrap_or("unknown");
        self.evidence.push(Evidence::new("when auditing fails", said, "no panic"));
        let held = if wait > 0 { "writers are held up" } else { "events are counted as lost" };
        self.evidence.push(Evidence::new("when the queue is full", held, "events are counted as lost"));
        let listed = &policy.profile.audit.rules;
        for place in places.iter().filter(|place| place.is_there) {
            let rule = audit.rules.iter().find(|rule| Rule::of(rule).watches(place.path));
            self.rule(place.path, rule, wanted(policy, "audit.rules.watch", "writes are written down"));
        }
        let groups = [("modules", listed.modules, &MODULES[..]), ("clock", listed.clock, &CLOCK[..])];
        for (name, _, calls) in groups.iter().filter(|(_, wanted, _)| *wanted) {
            for call in *calls {
                let rule = audit.rules.iter().find(|rule| Rule::of(rule).sees_call(call));
                self.rule(call, rule, wanted(policy, &format!("audit.rules.{name}"), "calls are written down"));
            }
        }
    }

    fn rule(&mut self, what: &str, rule: Option<&String>, want: String) {
        self.rules_off |= rule.is_none();
        let found = if rule.is_some() { "watched" } else { "no rule" };
        self.evidence.push(Evidence::new(format!("auditctl -l, {what}"), found, want));
    }

    const fn right(&self) -> bool {
        !self.rules_off && !self.harmful
    }

    /// Changes that put this tool's files right. Rules of somebody else that see all of it are enough, but for /etc/pve:
    /// when those were loaded nobody can tell.
    fn files(
        &self,
        facts: &Facts,
        policy: &Policy,
        places: &[Place<'_>],
        installed: bool,
    ) -> Result<Vec<Change>, String> {
        let mut changes = Vec::new();
        for folder in FOLDERS {
            changes.extend(directory(facts, folder)?);
        }
        let mut texts = Vec::new();
        if !installed || !self.right() || conf::text(facts, RULES_FILE)?.is_some() {
            texts.push((RULES_FILE, files::rules(places, &policy.profile.audit.rules), 0o640, SUMMARY));
        }
        if let Some(pve) = files::pve_rules(places) {
            texts.push((PVE_RULES, pve, 0o640, "which login changes /etc/pve is written down"));
            texts.push((UNIT_PATH, UNIT_TEXT.to_owned(), 0o644, "loads the rules of /etc/pve once it is mounted"));
        }
        for (path, text, mode, summary) in texts {
            changes.extend(conf::own_as(facts, ID, path, FileImage::root(text, mode), summary)?);
        }
        Ok(changes)
    }
}

/// The change that makes a folder as Debian's package does.
fn directory(facts: &Facts, path: &str) -> Result<Option<Change>, String> {
    let reading = match facts.file(path) {
        // Below a folder that is not there.
        Reading::NotAsked if matches!(facts.file(FOLDERS[0]), Reading::Absent) => None,
        other => other.certain().map_err(|why| format!("{path}: {why}"))?,
    };
    match reading.map(|fact| &fact.kind) {
        Some(FileKind::Directory) => Ok(None),
        Some(_) => Err(format!("{path} is not a directory")),
        None => {
            let (owner, group) = ("root".to_owned(), "root".to_owned());
            let action = Action::Directory { path: path.to_owned(), mode: 0o750, owner, group };
            Ok(Some(change(Stage::Services, format!("make {path}"), action)))
        }
    }
}
