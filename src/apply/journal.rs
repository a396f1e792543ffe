//! The journal of a run: what the node itself wrote down, line by line. Hostile input like everything a node sends;
//! what is not understood is kept as [`Event::Other`] and never decides anything.

use serde::Serialize;

/// One line of `journal`, without its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The node's lock is held.
    Locked,
    /// Everything that the undo needs is on disk.
    Prepared,
    /// The guard fires in so many seconds.
    Armed {
        /// Seconds.
        seconds: u32,
    },
    /// A stage began, with its own deadline.
    Stage {
        /// Its name.
        name: String,
        /// Seconds.
        seconds: u32,
    },
    /// A step began.
    Begin {
        /// Number from 1.
        step: u32,
    },
    /// A step is done.
    Done {
        /// Number from 1.
        step: u32,
    },
    /// A step failed; the undo follows.
    Fail {
        /// Number from 1, 0 outside of steps.
        step: u32,
        /// What the node said.
        why: String,
    },
    /// Something worth telling.
    Note {
        /// What.
        text: String,
    },
    /// What was written takes effect later; no proof counts before it has.
    Settling {
        /// What: firewall.
        name: String,
        /// Seconds until the guard fires.
        seconds: u32,
    },
    /// The run waits for a fresh login.
    Proof {
        /// Which proof.
        name: String,
        /// Seconds until the guard fires.
        seconds: u32,
    },
    /// The run waits for other members of its cluster.
    Gate {
        /// Which gate.
        name: String,
        /// Seconds until the guard fires.
        seconds: u32,
    },
    /// A proof was given.
    Proved {
        /// Which proof.
        name: String,
    },
    /// All stages are done; the commit window runs.
    Window {
        /// Seconds.
        seconds: u32,
    },
    /// The run is permanent.
    Committed {
        /// By whom.
        who: String,
    },
    /// The undo began.
    Undoing {
        /// guard, failure, operator, console, boot-local, boot-pve.
        by: String,
    },
    /// A step's former state is back.
    Restored {
        /// Number from 1.
        step: u32,
    },
    /// An account stays, locked, because of data of its own.
    Kept {
        /// Which and why.
        text: String,
    },
    /// Part of the undo failed.
    UndoFailed {
        /// Which and why.
        text: String,
    },
    /// An undo ended with something undone left; the guard tries again.
    GaveUp {
        /// As in [`Event::Undoing`].
        by: String,
    },
    /// Everything is as it was.
    Undone,
    /// Nothing was changed.
    Refused {
        /// busy, quorum, stale, changed, simulator, prepare, guard, broken.
        word: String,
        /// What the node said.
        why: String,
    },
    /// A line this version does not know.
    Other {
        /// As it came.
        text: String,
    },
}

impl Event {
    /// Whether the node has a guard from here on, or a new one.
    pub fn renews_guard(&self) -> bool {
        self.deadline().is_some()
    }

    /// Seconds after this line until the guard fires.
    pub fn deadline(&self) -> Option<i64> {
        match self {
            Self::Armed { seconds }
            | Self::Stage { seconds, .. }
            | Self::Settling { seconds, .. }
            | Self::Proof { seconds, .. }
            | Self::Gate { seconds, .. }
            | Self::Window { seconds } => Some(i64::from(*seconds)),
            _ => None,
        }
    }

    /// Whether the run's outcome is known after this line.
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Committed { .. } | Self::Undone | Self::Refused { .. })
    }
}

/// A line with its time by the node's clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Seconds since 1970.
    pub time: i64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// Parses one line; never fails.
pub fn parse(line: &str) -> Entry {
    let (time, rest) = line.split_once(' ').unwrap_or(("", line));
    let Ok(time) = time.parse() else {
        return Entry { time: 0, event: Event::Other { text: line.into() } };
    };
    Entry { time, event: parse_event(rest).unwrap_or_else(|| Event::Other { text: rest.into() }) }
}

fn parse_event(text: &str) -> Option<Event> {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    let (first, second) = rest.split_once(' ').unwrap_or((rest, ""));
    Some(match word {
        "locked" => Event::Locked,
        "prepared" => Event::Prepared,
        "armed" => Event::Armed { seconds: first.parse().ok()? },
        "stage" => Event::Stage { name: first.into(), seconds: second.parse().ok()? },
        "begin" => Event::Begin { step: first.parse().ok()? },
        "done" => Event::Done { step: first.parse().ok()? },
        "fail" => Event::Fail { step: first.parse().ok()?, why: second.into() },
        "note" => Event::Note { text: rest.into() },
        "settling" => Event::Settling { name: first.into(), seconds: second.parse().ok()? },
        "proof" => Event::Proof { name: first.into(), seconds: second.parse().ok()? },
        "gate" => Event::Gate { name: first.into(), seconds: second.parse().ok()? },
        "proved" => Event::Proved { name: first.into() },
        "window" => Event::Window { seconds: first.parse().ok()? },
        "committed" => Event::Committed { who: rest.into() },
        "undoing" => Event::Undoing { by: first.into() },
        "restored" => Event::Restored { step: first.parse().ok()? },
        "kept" => Event::Kept { text: rest.into() },
        "undo-failed" => Event::UndoFailed { text: rest.into() },
        "gave-up" => Event::GaveUp { by: first.into() },
        "undone" => Event::Undone,
        "refused" => Event::Refused { word: first.into(), why: second.into() },
        _ => return None,
    })
}

/// Parses a whole journal.
pub fn parse_all(text: &str) -> Vec<Entry> {
    text.lines().filter(|line| !line.is_empty()).map(parse).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_of_the_scripts_are_understood() {
        assert_eq!(parse("17 stage ssh 300").event, Event::Stage { name: "ssh".into(), seconds: 300 });
        let settling = Event::Settling { name: "firewall".into(), seconds: 150 };
        assert_eq!(parse("17 settling firewall 150").event, settling);
        assert_eq!(parse("17 fail 004 no such file").event, Event::Fail { step: 4, why: "no such file".into() });
        assert_eq!(parse("17 undone"), Entry { time: 17, event: Event::Undone });
        assert_eq!(
            parse("17 refused stale /etc/x changed").event,
            Event::Refused { word: "stale".into(), why: "/etc/x changed".into() }
        );
    }

    #[test]
    fn damaged_lines_decide_nothing() {
        for line in ["", "committed", "x committed ops", "17 commit", "17 begin x", "17 window"] {
            assert!(matches!(parse(line).event, Event::Other { .. }), "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_text_parses(text in "\\PC{0,200}") {
            let _ = parse_all(&text);
        }

        #[test]
        fn any_words_parse(time in any::<i64>(), word in "[a-z-]{1,12}", rest in "\\PC{0,40}") {
            let _ = parse(&format!("{time} {word} {rest}"));
        }
    }
}
