//! The runs a node remembers, and which of their steps a rollback takes back.

use serde::Serialize;

use super::bundle::{Meta, Undone};
use super::journal::{self, Entry, Event};
use crate::transport::Frame;
use crate::transport::Program;

/// The program that lists the runs.
pub fn program() -> Program {
    Program::new(concat!(include_str!("remote/state.sh"), include_str!("remote/history.sh")))
}

/// One run as the node has it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Record {
    /// Run id.
    pub id: String,
    /// new, open, committed, undoing, undone, refused, rolled-back, unknown.
    pub outcome: String,
    /// `meta.json`; absent when it cannot be read.
    pub meta: Option<Meta>,
    /// The journal.
    pub journal: Vec<Entry>,
    /// Saved steps in the order they ran.
    pub steps: Vec<SavedStep>,
    /// Paths that changed since the commit.
    pub changed: Vec<String>,
}

/// A step whose former state the node keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SavedStep {
    /// Three digits.
    pub number: String,
    /// Kind of step.
    pub kind: String,
    /// Path or arguments.
    pub subject: String,
}

impl Record {
    /// Whether the step with this number was begun.
    fn begun(&self, number: &str) -> bool {
        let Ok(number) = number.parse::<u32>() else { return false };
        self.journal.iter().any(|entry| entry.event == Event::Begin { step: number })
    }

    /// Packages the run installed; they stay after an undo.
    pub fn installed(&self) -> Vec<&str> {
        self.journal
            .iter()
            .filter_map(|entry| match &entry.event {
                Event::Note { text } => text.strip_prefix("installs "),
                _ => None,
            })
            .flat_map(str::split_whitespace)
            .collect()
    }
}

/// Reads the answer of [`program`].
pub fn parse(frames: &[Frame]) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    for frame in frames {
        let text = String::from_utf8_lossy(&frame.body);
        let text = text.trim_end();
        if frame.name == "run" {
            records.push(Record {
                id: text.to_owned(),
                outcome: "unknown".into(),
                meta: None,
                journal: Vec::new(),
                steps: Vec::new(),
                changed: Vec::new(),
            });
            continue;
        }
        let Some(record) = records.last_mut() else { continue };
        match frame.name.as_str() {
            "outcome" => text.clone_into(&mut record.outcome),
            "meta" if frame.status == 0 => record.meta = serde_json::from_str(text).ok(),
            "journal" if frame.status == 0 => record.journal = journal::parse_all(text),
            "steps" => record.steps = text.lines().filter_map(saved_step).collect(),
            "changed" => record.changed = text.lines().map(str::to_owned).collect(),
            _ => {}
        }
    }
    records.retain(|record| plain_id(&record.id));
    records
}

/// What was done outside of runs, a line each: time, login, event.
pub fn events(frames: &[Frame]) -> Vec<String> {
    let frame = frames.iter().find(|frame| frame.name == "events");
    let text = frame.map(|frame| String::from_utf8_lossy(&frame.body).into_owned()).unwrap_or_default();
    text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

fn saved_step(line: &str) -> Option<SavedStep> {
    let mut words = line.splitn(3, ' ');
    let number = words.next().filter(|n| n.len() == 3 && n.bytes().all(|b| b.is_ascii_digit()))?;
    let kind = words.next()?;
    Some(SavedStep { number: number.into(), kind: kind.into(), subject: words.next().unwrap_or("").trim().into() })
}

/// Ids become parts of paths and units.
fn plain_id(id: &str) -> bool {
    !id.is_empty() && id.len() < 64 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// What a rollback would take back.
#[derive(Clone, Debug, PartialEq)]
pub struct Rollback<'a> {
    /// Runs, newest first.
    pub runs: Vec<&'a Record>,
    /// Their steps, newest first.
    pub steps: Vec<Undone>,
}

/// Chooses the runs: the newest committed one, or newest-first down to the one named. The reason when there is none.
pub fn choose<'a>(records: &'a [Record], named: Option<&str>) -> Result<Rollback<'a>, String> {
    if let Some(open) = records.iter().find(|r| matches!(r.outcome.as_str(), "open" | "undoing")) {
        return Err(format!("run {} is neither committed nor undone yet", open.id));
    }
    let committed: Vec<&Record> = records
        .iter()
        .rev()
        .filter(|record| {
            record.outcome == "committed" && record.meta.as_ref().is_none_or(|meta| meta.verb != "rollback")
        })
        .collect();
    let count = match named {
        None if committed.is_empty() => return Err("no committed run is left to undo".into()),
        None => 1,
        Some(id) => committed.iter().position(|record| record.id == id).ok_or_else(|| not_committed(records, id))? + 1,
    };
    let runs: Vec<&Record> = committed.into_iter().take(count).collect();
    let steps = runs.iter().flat_map(|run| newest_first(run)).collect();
    Ok(Rollback { runs, steps })
}

/// Files before the services that read them; but what the run started stops while its unit, with the commands of its end,
/// and its files are still there.
fn newest_first(run: &Record) -> Vec<Undone> {
    let reads_files = |step: &&SavedStep| step.kind == "unit" && !step.subject.ends_with(" enable-now");
    let (units, others): (Vec<&SavedStep>, Vec<&SavedStep>) =
        run.steps.iter().rev().filter(|step| run.begun(&step.number)).partition(reads_files);
    others.into_iter().chain(units).map(|step| (run.id.clone(), step.number.clone())).collect()
}

fn not_committed(records: &[Record], id: &str) -> String {
    records
        .iter()
        .find(|record| record.id == id)
        .map_or_else(|| format!("there is no run {id}"), |record| format!("run {id} is {}", record.outcome))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(name: &str, body: &str) -> Frame {
        Frame { name: name.into(), status: 0, body: body.into() }
    }

    fn two_runs() -> Vec<Record> {
        parse(&[
            frame("run", "20260101T000000Z-0001"),
            frame("outcome", "committed"),
            frame("journal", "1 begin 001\n2 done 001\n2 begin 002\n3 note installs sudo=1.9 libx=2\n"),
            frame("steps", "001 file /etc/a\n002 unit ssh.service reload\n003 file /etc/never\n"),
            frame("run", "20260102T000000Z-0002"),
            frame("outcome", "committed"),
            frame("journal", "1 begin 001\n"),
            frame("steps", "001 file /etc/b\n"),
        ])
    }

    #[test]
    fn the_newest_run_is_taken_back_only_begun_steps_and_services_last() {
        let records = two_runs();
        assert_eq!(choose(&records, None).unwrap().steps, [(records[1].id.clone(), "001".to_owned())]);
        assert_eq!(records[0].installed(), ["sudo=1.9", "libx=2"]);
        let all = choose(&records, Some("20260101T000000Z-0001")).unwrap();
        assert_eq!(all.steps.iter().map(|(_, number)| number.as_str()).collect::<Vec<_>>(), ["001", "001", "002"]);
    }

    #[test]
    fn what_a_run_started_stops_before_its_files_go_and_what_it_reloaded_reads_them_again() {
        let records = parse(&[
            frame("run", "20260101T000000Z-0001"),
            frame("outcome", "committed"),
            frame("journal", "1 begin 001\n1 begin 002\n1 begin 003\n1 begin 004\n"),
            frame(
                "steps",
                "001 file /etc/systemd/system/a.service\n002 unit a.service enable-now \n003 unit b.service disable-now \n004 unit c.service try-restart \n",
            ),
        ]);
        let steps = choose(&records, None).unwrap().steps;
        assert_eq!(steps.iter().map(|(_, number)| number.as_str()).collect::<Vec<_>>(), ["002", "001", "004", "003"]);
    }

    #[test]
    fn an_open_run_or_an_unknown_one_stops_a_rollback() {
        let mut records = two_runs();
        assert_eq!(choose(&records, Some("x")).unwrap_err(), "there is no run x");
        records[1].outcome = "open".into();
        assert!(choose(&records, None).is_err());
    }

    proptest! {
        #[test]
        fn any_answer_parses(frames in proptest::collection::vec(("run|outcome|meta|journal|steps|changed", 0..3i32, proptest::collection::vec(any::<u8>(), 0..80)), 0..20)) {
            let frames: Vec<Frame> = frames.into_iter().map(|(name, status, body)| Frame { name, status, body }).collect();
            let records = parse(&frames);
            let _ = choose(&records, None);
        }
    }
}
