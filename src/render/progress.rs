//! Progress on standard error: one spinner per node on a terminal, one line per event elsewhere.

use std::collections::{BTreeMap, VecDeque};
use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::event::{Event, Sink, What};
use crate::sanitize;

/// The line of an event, without the node's name; `None` for those that have nothing to say.
pub fn line(what: &What) -> Option<String> {
    let text = match what {
        What::Connecting => "connecting".to_owned(),
        What::Connected { account } => format!("logged in as {account}"),
        What::Captured { milliseconds } => format!("read in {milliseconds} ms"),
        What::StageBegun { stage, steps } => format!("{stage}: {steps} step{}", if *steps == 1 { "" } else { "s" }),
        What::StepDone { n, total, summary } => format!("[{n}/{total}] {summary}"),
        What::WaitingForProof { what } => format!("waiting for proof: {what}"),
        What::Proved { what } => format!("proved: {what}"),
        What::Window { until } => {
            format!("the node undoes everything at {} unless it is confirmed", clock(*until, TimeZone::system()))
        }
        What::Committed => "committed".to_owned(),
        What::Undoing { why } => format!("undoing: {why}"),
        What::Undone => "everything is as it was".to_owned(),
        What::Note { text } => text.clone(),
        What::Finished => return None,
    };
    Some(sanitize::line(&text).into_owned())
}

/// Time of day.
fn clock(time: Timestamp, zone: TimeZone) -> String {
    time.to_zoned(zone).strftime("%H:%M:%S").to_string()
}

/// One line per event.
pub struct Lines<W: Write + Send> {
    to: Mutex<W>,
}

impl<W: Write + Send> Lines<W> {
    /// Writes to `to`.
    pub const fn new(to: W) -> Self {
        Self { to: Mutex::new(to) }
    }
}

impl<W: Write + Send> Sink for Lines<W> {
    fn emit(&self, event: Event) {
        let Some(line) = line(&event.what) else { return };
        let mut to = self.to.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = writeln!(to, "{}: {line}", sanitize::line(&event.node));
    }
}

/// Remembers the last lines of each node, for the end, and passes everything on.
pub struct Tail {
    next: std::sync::Arc<dyn Sink>,
    lines: Mutex<BTreeMap<String, VecDeque<String>>>,
}

impl Tail {
    /// Lines that are kept of a node.
    const KEPT: usize = 12;

    /// Before `next`.
    pub const fn new(next: std::sync::Arc<dyn Sink>) -> Self {
        Self { next, lines: Mutex::new(BTreeMap::new()) }
    }

    /// A node's last lines, indented under its name; empty when nothing was said.
    pub fn of(&self, node: &str) -> String {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(lines) = lines.get(node) else { return String::new() };
        let mut text = format!("{}, last lines:", sanitize::line(node));
        for line in lines {
            text.push_str("\n  ");
            text.push_str(line);
        }
        text
    }
}

impl Sink for Tail {
    fn emit(&self, event: Event) {
        if let Some(line) = line(&event.what) {
            let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            let lines = lines.entry(event.node.clone()).or_default();
            if lines.len() == Self::KEPT {
                lines.pop_front();
            }
            lines.push_back(line);
        }
        self.next.emit(event);
    }
}

/// One spinner per node; steps and outcomes stay above as lines.
#[derive(Clone)]
pub struct Spinners {
    all: MultiProgress,
    nodes: std::sync::Arc<Mutex<BTreeMap<String, ProgressBar>>>,
}

impl Spinners {
    /// On standard error.
    pub fn new() -> Self {
        Self { all: MultiProgress::new(), nodes: std::sync::Arc::default() }
    }

    /// Runs `question` with nothing else on the screen.
    pub fn suspended<T>(&self, question: impl FnOnce() -> T) -> T {
        self.all.suspend(question)
    }

    fn bar(&self, node: &str) -> ProgressBar {
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || {
            let bar = self.all.add(ProgressBar::new_spinner());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix}: {msg} ({elapsed})") {
                bar.set_style(style);
            }
            bar.set_prefix(sanitize::line(node).into_owned());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        };
        nodes.entry(node.to_owned()).or_insert_with(make).clone()
    }
}

impl Default for Spinners {
    fn default() -> Self {
        Self::new()
    }
}

impl Sink for Spinners {
    fn emit(&self, event: Event) {
        let bar = self.bar(&event.node);
        let Some(line) = line(&event.what) else {
            bar.finish_and_clear();
            return;
        };
        let stays = matches!(
            event.what,
            What::StepDone { .. }
                | What::Proved { .. }
                | What::Window { .. }
                | What::Committed
                | What::Undoing { .. }
                | What::Undone
                | What::Note { .. }
        );
        if stays {
            let _ = self.all.println(format!("{}: {line}", sanitize::line(&event.node)));
        }
        bar.set_message(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::Stage;

    #[test]
    fn times_are_shown_without_fractions() {
        let time = Timestamp::new(1_763_000_000, 987_654_321).unwrap();
        assert_eq!(clock(time, TimeZone::UTC), "02:13:20");
    }

    #[test]
    fn the_last_lines_are_kept_and_everything_is_passed_on() {
        let seen = std::sync::Arc::new(Count::default());
        let tail = Tail::new(std::sync::Arc::clone(&seen) as std::sync::Arc<dyn Sink>);
        for n in 1..=20 {
            tail.emit(Event { node: "pve1".into(), what: What::Note { text: format!("line {n}") } });
        }
        tail.emit(Event { node: "pve2".into(), what: What::Finished });
        assert_eq!(seen.0.load(std::sync::atomic::Ordering::Relaxed), 21);
        let text = tail.of("pve1");
        assert!(text.starts_with("pve1, last lines:\n  line 9\n") && text.ends_with("line 20"), "{text}");
        assert_eq!(tail.of("pve2"), "");
    }

    #[derive(Default)]
    struct Count(std::sync::atomic::AtomicUsize);

    impl Sink for Count {
        fn emit(&self, _: Event) {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }

    #[test]
    fn plain_lines_name_the_node_and_are_harmless() {
        let mut text = Vec::new();
        let lines = Lines::new(&mut text);
        for what in [
            What::Connected { account: "root@192.0.2.11".into() },
            What::StageBegun { stage: Stage::Accounts, steps: 1 },
            What::StepDone { n: 1, total: 9, summary: "make group \x1b[2Jx".into() },
            What::Committed,
            What::Finished,
        ] {
            lines.emit(Event { node: "pve1".into(), what });
        }
        insta::assert_snapshot!(String::from_utf8(text).unwrap(), @r"
        pve1: logged in as root@192.0.2.11
        pve1: accounts: 1 step
        pve1: [1/9] make group \x1b[2Jx
        pve1: committed
        ");
    }
}
