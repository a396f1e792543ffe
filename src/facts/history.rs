//! What happened before: root's logins out of the journal, and runs of this tool.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Zoned;

use super::sections::{Sections, shown};
use super::system::address;
use super::{FileFact, Login, PackageEvent, Reading, RootLogin, RunFact};

const RUNS: &str = "/var/lib/pve-harden/runs/";
/// Names of the one file that says how a run stands (`apply/remote/lib.sh`).
const OUTCOMES: [&str; 7] = ["new", "open", "undoing", "undone", "committed", "refused", "rolled-back"];

/// Lines of `root_logins` (`remote/system.sh`), the most recent first.
pub(super) fn root_logins(sections: Sections<'_>, notes: &mut Vec<String>) -> Reading<Vec<RootLogin>> {
    sections.parse("root-logins", |text| {
        let mut logins = Vec::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            let fields: Vec<&str> = line.split('\t').collect();
            if let ["more", count] = fields.as_slice() {
                notes.push(format!("{} further logins of root are not listed", shown(count)));
                continue;
            }
            if fields.first() == Some(&"login") {
                continue;
            }
            logins.push(login(&fields).ok_or_else(|| format!("no login: {}", shown(line)))?);
        }
        logins.sort_by(|a: &RootLogin, b| b.last.cmp(&a.last).then_with(|| a.from.cmp(&b.from)));
        Ok(logins)
    })
}

fn login(fields: &[&str]) -> Option<RootLogin> {
    let &[from, method, key, count, last] = fields else { return None };
    Some(RootLogin {
        from: address(from)?,
        method: method.to_owned(),
        key: (!key.is_empty()).then(|| key.to_owned()),
        count: count.parse().ok()?,
        last: last.parse().ok()?,
    })
}

/// Logins of others than root, from the same section; a line that is none is passed over, as the section is judged above.
pub(super) fn logins(sections: Sections<'_>) -> Reading<Vec<Login>> {
    sections.parse("root-logins", |text| {
        let line = |line: &str| match line.split('\t').collect::<Vec<_>>().as_slice() {
            ["login", user, from, at] => {
                Some(Login { user: (*user).to_owned(), from: address(from)?, at: at.parse().ok()? })
            }
            _ => None,
        };
        Ok(text.lines().filter_map(line).collect())
    })
}

/// `zone +0200`, then dpkg's own lines in local time: `DATE TIME VERB PACKAGE:ARCH FROM TO`.
pub(super) fn package_events(sections: Sections<'_>) -> Reading<Vec<PackageEvent>> {
    let apt = sections.parse("apt-history", |text| Ok(apt_runs(text)));
    let apt = apt.known().map(Vec::as_slice).unwrap_or_default();
    sections.parse("dpkg-log", |text| {
        let (zone, lines) = zoned(text).ok_or("no time zone")?;
        let event = |line: &str| {
            let fields: Vec<&str> = line.split(' ').collect();
            let &[date, time, verb, package, from, to] = fields.as_slice() else { return None };
            let at = seconds(&format!("{date} {time}"), zone)?;
            let package = package.split(':').next()?.to_owned();
            let run = apt.iter().rfind(|run| run.start <= at && at <= run.end);
            let (command, by) = run.map(|run| (run.command.clone(), run.by.clone())).unwrap_or_default();
            Some(PackageEvent { at, verb: verb.into(), package, from: from.into(), to: to.into(), command, by })
        };
        Ok(lines.filter_map(event).collect())
    })
}

/// A run of apt.
struct AptRun {
    start: i64,
    end: i64,
    by: Option<String>,
    command: Option<String>,
}

/// `zone +0200`, then `START\tEND\tWHO\tCOMMAND`; a line that is none is passed over, as dpkg's log has the same events.
fn apt_runs(text: &str) -> Vec<AptRun> {
    let Some((zone, lines)) = zoned(text) else { return Vec::new() };
    let run = |line: &str| {
        let mut fields = line.splitn(4, '\t');
        let (start, end) = (seconds(fields.next()?, zone)?, seconds(fields.next()?, zone)?);
        let mut word = || fields.next().filter(|word| !word.is_empty()).map(str::to_owned);
        Some(AptRun { start, end, by: word(), command: word() })
    };
    lines.filter_map(run).collect()
}

fn zoned(text: &str) -> Option<(&str, std::str::Lines<'_>)> {
    let mut lines = text.lines();
    Some((lines.next()?.strip_prefix("zone ")?, lines))
}

fn seconds(local: &str, zone: &str) -> Option<i64> {
    let at = Zoned::strptime("%Y-%m-%d %H:%M:%S %z", format!("{local} {zone}")).ok()?;
    Some(at.timestamp().as_second())
}

/// Runs by id; ids sort by time. Their files are taken out of `files`, as nothing else asks for them.
pub(super) fn runs(files: &mut BTreeMap<String, Reading<FileFact>>) -> Reading<Vec<RunFact>> {
    let (of_runs, others) = std::mem::take(files).into_iter().partition(|(path, _)| path.starts_with(RUNS));
    *files = others;
    let of_runs: BTreeMap<String, Reading<FileFact>> = of_runs;
    if of_runs.is_empty() {
        return Reading::NotAsked;
    }
    let ids: BTreeSet<&str> = of_runs
        .iter()
        .filter(|(_, reading)| !matches!(reading, Reading::Absent))
        .filter_map(|(path, _)| path.strip_prefix(RUNS)?.split('/').next())
        .filter(|id| !id.contains('*'))
        .collect();
    let mut runs = Vec::new();
    for id in ids {
        match run(&of_runs, id) {
            Ok(run) => runs.extend(run),
            Err(why) => return Reading::Unreadable(why),
        }
    }
    Reading::Known(runs)
}

fn run(files: &BTreeMap<String, Reading<FileFact>>, id: &str) -> Result<Option<RunFact>, String> {
    let text = |name: &str| match super::text_of(files, &format!("{RUNS}{id}/{name}")) {
        Reading::NotAsked => Ok(None),
        reading => reading.certain().map(Option::<&String>::cloned),
    };
    let json = |name: &str| -> Result<Option<serde_json::Value>, String> {
        let parse = |text: String| serde_json::from_str(&text).map_err(|error| format!("{RUNS}{id}/{name}: {error}"));
        text(name)?.map(parse).transpose()
    };
    // A run that was prepared and never began has no meta.json.
    let Some(meta) = json("meta.json")? else { return Ok(None) };
    let there = |outcome: &&&str| {
        matches!(files.get(&format!("{RUNS}{id}/{outcome}")), Some(Reading::Known(_) | Reading::Unreadable(_)))
    };
    // Without a name the run is between two of them, or its folder is broken: nothing is over.
    let outcome = (*OUTCOMES.iter().find(there).unwrap_or(&"open")).to_owned();
    let closed = files.get(&format!("{RUNS}{id}/state.json")).and_then(Reading::known).and_then(|file| file.modified);
    Ok(Some(RunFact { id: id.to_owned(), outcome, meta, state: json("state.json")?, closed }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apts_history_is_times_people_and_command_lines() {
        let text = "zone +0200\n2026-06-01 02:00:00\t2026-06-01 02:00:09\teve\tapt-get remove a\tb\nnonsense\n\
            2026-06-01 03:00:00\t2026-06-01 03:00:01\t\tapt upgrade\n";
        let runs = apt_runs(text);
        assert_eq!(runs.len(), 2);
        assert_eq!((runs[0].start, runs[0].end - runs[0].start), (1_780_272_000, 9));
        assert_eq!((runs[0].by.as_deref(), runs[0].command.as_deref()), (Some("eve"), Some("apt-get remove a\tb")));
        assert_eq!((runs[1].by.as_deref(), runs[1].command.as_deref()), (None, Some("apt upgrade")));
        assert!(apt_runs("").is_empty() && apt_runs("zone\n").is_empty());
    }
}
