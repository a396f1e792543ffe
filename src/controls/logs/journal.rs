//! `logs.journal`.

use crate::change::{Action, Change, Stage, UnitVerb};
use crate::controls::conf::{self, wanted};
use crate::controls::{Control, Evidence, Meta, Reference, Severity, Verdict};
use crate::facts::Facts;
use crate::facts::gather::Request;
use crate::facts::watch::Journald;
use crate::profile::policy::Policy;

/// The control.
pub struct Journal;
/// `logs.journal`.
pub const JOURNAL: Journal = Journal;

const ID: &str = "logs.journal";
/// Folder of journald's drop-ins.
pub const FOLDER: &str = "/etc/systemd/journald.conf.d";
/// Sorts last: of one setting in several files the last counts.
const PATH: &str = "/etc/systemd/journald.conf.d/zz-pve-harden.conf";
/// The daemon; its sockets keep what is logged while it restarts (systemd-journald.service(8)).
pub const UNIT: &str = "systemd-journald.service";
const MIB: u64 = 1 << 20;
/// What journald takes at most where nothing is set: a tenth of the disk, and never more than this (journald.conf(5)).
const DEFAULT_MAX: u64 = 4096 * MIB;

static META: Meta = Meta {
    id: ID,
    title: "The journal survives a reboot, is bounded, and complete",
    why: "Who logged in, what pvedaemon refused and why a node was fenced stands in the journal and nowhere else: a PVE node \
          has no rsyslog. A journal in memory is gone with the reboot that ends an incident; one without a bound fills \
          the disk that guests and corosync's database lie on.",
    checked: "journald's settings after all its files (systemd-analyze cat-config), the last one counting; whether the \
              journal of this machine lies on disk; the bound that the running journald told at its start.",
    naive: "Scripts that quiet a node set MaxLevelStore=warning: successful logins are `info`, and gone. A bound that journald \
            has not read is none. SystemKeepFree larger than what is free deletes old entries at once. /var/log/journal \
            made by hand lacks the group that may read it; journald makes it itself where Storage=persistent.",
    references: &[
        Reference::Cis13("6.1.1.1"),
        Reference::Cis12("6.1.1"),
        Reference::Man("journald.conf(5)"),
        Reference::Man("systemd-journald.service(8)"),
    ],
    level: 1,
    severity: Severity::Medium,
};

impl Control for Journal {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn enabled(&self, policy: &Policy) -> bool {
        policy.profile.logs.journal.enabled
    }

    fn reads(&self, _: &Policy) -> Vec<String> {
        vec![FOLDER.into(), PATH.into()]
    }

    fn ask(&self, _: &Policy, request: &mut Request) {
        request.watch.insert("journald");
    }

    fn evaluate(&self, facts: &Facts, policy: &Policy) -> Verdict {
        judge(facts, policy).unwrap_or_else(Verdict::unknown)
    }
}

/// Bytes of a size as journald.conf(5) has it: a number with K, M, G or T behind.
pub fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let shift = match unit.trim() {
        "" | "B" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

fn judge(facts: &Facts, policy: &Policy) -> Result<Verdict, String> {
    let journald = facts.watch.journald.required("journald's settings")?;
    let most = u64::from(policy.profile.logs.journal.max_use_mib) * MIB;
    let mut evidence = Vec::new();
    let storage = journald.value("Storage").unwrap_or("auto");
    let lasts = journald.on_disk && matches!(storage, "persistent" | "auto");
    let place = if journald.on_disk { "on disk" } else { "in memory" };
    evidence.push(Evidence::new(
        journald.source("Storage"),
        format!("{storage}, the journal lies {place}"),
        wanted(policy, "logs.journal.enabled", "on disk"),
    ));
    let set = journald.value("SystemMaxUse");
    let bound = set.map_or(journald.max_use.or(Some(DEFAULT_MAX)), bytes);
    let bounded = bound.is_some_and(|bound| bound <= most && bound > 0);
    let shown = bound.map_or_else(
        || set.unwrap_or_default().escape_debug().to_string(),
        |bound| format!("{} MiB{}", bound / MIB, if set.is_none() { ", its own choice" } else { "" }),
    );
    let want = wanted(policy, "logs.journal.max-use-mib", format!("{} MiB at most", most / MIB));
    evidence.push(Evidence::new(journald.source("SystemMaxUse"), shown, want));
    let level = journald.value("MaxLevelStore").unwrap_or("debug");
    let complete = matches!(level, "debug" | "info" | "7" | "6");
    evidence.push(Evidence::new(journald.source("MaxLevelStore"), level, "info or debug"));

    let settings =
        ["Storage=persistent".to_owned(), format!("SystemMaxUse={}M", most / MIB), "MaxLevelStore=debug".into()];
    let right = lasts && bounded && complete;
    let mut changes = Vec::new();
    if !right || conf::text(facts, PATH)?.is_some() {
        changes.extend(file(facts, ID, PATH, &settings, "journald: on disk, bounded, complete")?);
    }
    let unread = unread(journald, bound.filter(|_| set.is_some()));
    if let Some(running) = unread {
        evidence.push(Evidence::new("running journald", format!("{} MiB at most", running / MIB), "as configured"));
    }
    if changes.is_empty() && right && unread.is_none() {
        return Ok(Verdict::compliant(evidence));
    }
    // On disk but for a restart: the file says so, journald has not read it.
    let pending = !journald.on_disk && matches!(storage, "persistent");
    if changes.is_empty() && unread.is_none() && !pending {
        return Ok(Verdict::advise("a file that sorts after zz-pve-harden.conf says otherwise", evidence));
    }
    changes.push(restart(ID));
    Ok(Verdict::differs(changes, evidence))
}

/// The bound that the running journald has, where it is not the configured one.
fn unread(journald: &Journald, configured: Option<u64>) -> Option<u64> {
    let (running, configured) = (journald.max_use?, configured?);
    // Very small ones are raised, all are rounded to pages (journald-server, `journal_reset_metrics`).
    (configured >= 64 * MIB && running.abs_diff(configured) > MIB).then_some(running)
}

/// The drop-in with these lines, and the folder for it.
pub fn file(facts: &Facts, id: &str, path: &str, settings: &[String], summary: &str) -> Result<Vec<Change>, String> {
    let text = format!("# Written by pve-harden ({id}).\n[Journal]\n{}\n", settings.join("\n"));
    let mut changes: Vec<Change> = conf::directory(facts, id, FOLDER)?.into_iter().collect();
    changes.extend(conf::own(facts, id, path, &text, summary)?);
    Ok(changes)
}

/// journald reads its files at its start alone.
pub fn restart(id: &str) -> Change {
    Change {
        controls: vec![id.into()],
        stage: Stage::Services,
        summary: "journald reads its settings; nothing that is logged meanwhile is lost".into(),
        interrupts: None,
        action: Action::Unit { unit: UNIT.into(), verb: UnitVerb::TryRestart },
    }
}
