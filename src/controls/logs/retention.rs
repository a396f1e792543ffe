//! `logs.retention`.

use crate::change::{Action, Change, Stage, UnitVerb};
use crate::controls::conf::{self, wanted};
use crate::controls::{Control, Evidence, Meta, Reference, Severity, Verdict};
use crate::facts::gather::Request;
use crate::facts::{Facts, FileKind};
use crate::profile::policy::Policy;

use super::journal::{self, FOLDER};
use super::logrotate::{self, Section};

/// The control.
pub struct Retention;
/// `logs.retention`.
pub const RETENTION: Retention = Retention;

const ID: &str = "logs.retention";
const PATH: &str = "/etc/systemd/journald.conf.d/zz-pve-harden-retention.conf";
const MAIN: &str = "/etc/logrotate.conf";
const SECTIONS: &str = "/etc/logrotate.d";
const TIMER: &str = "logrotate.timer";
const DAY: u64 = 86_400;
/// Logs that say who did what and are not in the journal. rsyslog's are copies of it.
const LOGS: [&str; 2] = ["/var/log/pveproxy/access.log", "/var/log/pve-firewall.log"];

static META: Meta = Meta {
    id: ID,
    title: "Logs stay long enough to look back",
    why: "An intrusion is found weeks after it began. PVE keeps its own requests (pveproxy's access log, the only place that \
          says who called the API from where) for a week.",
    checked: "MaxRetentionSec of journald after all its files, and the age of its oldest entry; for the logs that \
              PVE writes beside the journal the section of logrotate that has it: number of versions times the time between them, and \
              maxage; that logrotate's timer runs.",
    naive: "A second section for a log that PVE's file has already makes logrotate refuse the whole later file and fail every \
            night: the number is changed where it stands, in PVE's own conffile, and apt asks at the next upgrade that \
            changes that file; keep yours. The journal's size bound (logs.journal) may end before its days do.",
    references: &[
        Reference::Cis13("6.1.1.1.3"),
        Reference::Cis13("6.1.2.8"),
        Reference::Cis12("6.1.1.3"),
        Reference::Cis12("6.1.3.8"),
        Reference::Man("journald.conf(5)"),
        Reference::Man("logrotate(8)"),
        Reference::Source("pve-manager debian/pve.logrotate"),
    ],
    level: 2,
    severity: Severity::Low,
};

impl Control for Retention {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn enabled(&self, policy: &Policy) -> bool {
        policy.profile.logs.retention.enabled
    }

    fn reads(&self, _: &Policy) -> Vec<String> {
        [FOLDER, PATH, MAIN, SECTIONS, "/etc/logrotate.d/*"].map(str::to_owned).into()
    }

    fn ask(&self, _: &Policy, request: &mut Request) {
        request.watch.insert("journald");
        request.units.insert(TIMER.into());
    }

    fn evaluate(&self, facts: &Facts, policy: &Policy) -> Verdict {
        let want = &policy.profile.logs.retention;
        if want.max_days > 0 && want.max_days < want.min_days {
            return Verdict::refused(format!(
                "{ID}: the journal would forget after {} days what is to stay {}; raise max-days, or 0 for no end",
                want.max_days, want.min_days
            ));
        }
        judge(facts, policy).unwrap_or_else(Verdict::unknown)
    }
}

/// Seconds of a time span in the one form that people write here: a number with a unit (systemd.time(7)).
pub fn seconds(text: &str) -> Option<u64> {
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let unit = match unit.trim() {
        "" | "s" | "sec" | "second" | "seconds" => 1,
        "m" | "min" | "minute" | "minutes" => 60,
        "h" | "hr" | "hour" | "hours" => 3600,
        "d" | "day" | "days" => DAY,
        "w" | "week" | "weeks" => 7 * DAY,
        "M" | "month" | "months" => 2_629_800,
        "y" | "year" | "years" => 31_557_600,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

fn judge(facts: &Facts, policy: &Policy) -> Result<Verdict, String> {
    let mut found = Found::default();
    found.journal(facts, policy)?;
    found.timer(facts)?;
    found.files(facts, policy)?;
    let advice = (!found.advice.is_empty()).then(|| found.advice.join("; "));
    Ok(Verdict::outcome(found.changes, advice, found.evidence))
}

#[derive(Default)]
struct Found {
    evidence: Vec<Evidence>,
    changes: Vec<Change>,
    advice: Vec<String>,
}

impl Found {
    fn journal(&mut self, facts: &Facts, policy: &Policy) -> Result<(), String> {
        let journald = facts.watch.journald.required("journald's settings")?;
        let want = &policy.profile.logs.retention;
        let [least, most] = [want.min_days, want.max_days].map(|days| u64::from(days) * DAY);
        let set = journald.value("MaxRetentionSec");
        let ends = set.map_or(Some(0), seconds);
        let right = ends.is_some_and(|ends| match (ends, most) {
            (0, most) => most == 0,
            (ends, 0) => ends >= least,
            (ends, most) => (least..=most).contains(&ends),
        });
        let words = if want.max_days == 0 {
            format!("{} days or no end", want.min_days)
        } else {
            format!("{} to {} days", want.min_days, want.max_days)
        };
        let shown = match ends {
            Some(0) => "no end but the journal's size".to_owned(),
            Some(ends) => format!("{} days", ends / DAY),
            None => set.unwrap_or_default().escape_debug().to_string(),
        };
        let origin = wanted(policy, "logs.retention.min-days", words);
        self.evidence.push(Evidence::new(journald.source("MaxRetentionSec"), shown, origin));
        let now = facts.taken.known().map(|taken| taken.as_second());
        if let (Some(oldest), Some(now)) = (journald.oldest, now) {
            let age = format!("{} days old", (now - oldest).max(0) / 86_400);
            self.evidence.push(Evidence { source: "the journal's oldest entry".into(), found: age, wanted: None });
        }
        if right && conf::text(facts, PATH)?.is_none() {
            return Ok(());
        }
        let value = if want.max_days == 0 { "0".to_owned() } else { format!("{}day", want.max_days) };
        let settings = [format!("MaxRetentionSec={value}")];
        let changes = journal::file(facts, ID, PATH, &settings, "how long the journal stays")?;
        if changes.is_empty() && !right {
            self.advice.push("a file that sorts after zz-pve-harden-retention.conf sets MaxRetentionSec".into());
        }
        let written = !changes.is_empty();
        self.changes.extend(changes);
        self.changes.extend(written.then(|| journal::restart(ID)));
        Ok(())
    }

    fn timer(&mut self, facts: &Facts) -> Result<(), String> {
        let unit = facts.unit(TIMER)?;
        if unit.load == "not-found" {
            let source = TIMER.to_owned();
            self.evidence.push(Evidence { source, found: "logrotate is not installed".into(), wanted: None });
            return Ok(());
        }
        let on = unit.active == "active" && unit.file_state == "enabled";
        self.evidence.push(Evidence::new(TIMER, format!("{}, {}", unit.active, unit.file_state), "active, enabled"));
        if !on {
            self.changes.push(Change {
                controls: vec![ID.into()],
                stage: Stage::Services,
                summary: format!("enable and start {TIMER}"),
                interrupts: None,
                action: Action::Unit { unit: TIMER.into(), verb: UnitVerb::EnableNow },
            });
        }
        Ok(())
    }

    fn files(&mut self, facts: &Facts, policy: &Policy) -> Result<(), String> {
        let least = policy.profile.logs.retention.min_days;
        let defaults = logrotate::defaults(conf::text(facts, MAIN)?.unwrap_or_default());
        facts.file(SECTIONS).certain().map_err(|why| format!("{SECTIONS}: {why}"))?;
        let below = format!("{SECTIONS}/");
        let paths = facts.files.iter().filter(|(path, _)| path.starts_with(&below));
        for (path, reading) in paths {
            let Some(fact) = reading.certain().map_err(|why| format!("{path}: {why}"))? else { continue };
            let (FileKind::Regular, Some(text)) = (&fact.kind, &fact.content) else { continue };
            let mut after = text.clone();
            for section in logrotate::sections(text, defaults) {
                let Some(log) = section.logs.iter().find(|log| LOGS.contains(&log.as_str())) else { continue };
                after = self.section(path, log, &section, least, after);
            }
            let summary = format!("{path}: keep old logs for {least} days");
            self.changes.extend(conf::write(facts, ID, path, after, &summary)?);
        }
        Ok(())
    }

    /// Judges one section; the file's text with what it needs.
    fn section(&mut self, path: &str, log: &str, section: &Section, least: u32, text: String) -> String {
        let Some(days) = section.days() else {
            let found = "its size decides how long it stays".into();
            self.evidence.push(Evidence { source: log.into(), found, wanted: None });
            return text;
        };
        self.evidence.push(Evidence::new(log, format!("{days} days ({path})"), format!("{least} days or more")));
        if days >= least {
            return text;
        }
        let every = section.every.unwrap_or(1).max(1);
        match section.line {
            _ if section.max_age.is_some_and(|age| age < least) => {
                self.advice.push(format!("take maxage out of {path}: it deletes {log} too early"));
                text
            }
            Some(line) => logrotate::with_rotate(&text, line, least.div_ceil(every)),
            None => {
                self.advice
                    .push(format!("write `rotate {}` into the section of {log} in {path}", least.div_ceil(every)));
                text
            }
        }
    }
}
