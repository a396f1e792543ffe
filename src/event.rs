//! What happens while a command runs, as values; drawing them is `render::progress`.

use jiff::Timestamp;

use crate::change::Stage;

/// Something happened on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Name of the node.
    pub node: String,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A login is tried.
    Connecting,
    /// Logged in as `user@host`.
    Connected {
        /// `user@host`.
        account: String,
    },
    /// The node was read.
    Captured {
        /// Milliseconds.
        milliseconds: u128,
    },
    /// A stage begins.
    StageBegun {
        /// Which one.
        stage: Stage,
        /// Number of its steps.
        steps: usize,
    },
    /// A step is done.
    StepDone {
        /// From 1.
        n: usize,
        /// Steps of the whole run.
        total: usize,
        /// The step's line.
        summary: String,
    },
    /// A fresh login is tried.
    WaitingForProof {
        /// What is to be shown.
        what: String,
    },
    /// Something was shown.
    Proved {
        /// What.
        what: String,
    },
    /// The node will undo everything at this time unless it is confirmed.
    Window {
        /// By this machine's clock.
        until: Timestamp,
    },
    /// The run is permanent.
    Committed,
    /// The node is undoing the run.
    Undoing {
        /// Why.
        why: String,
    },
    /// The node is as it was.
    Undone,
    /// Something to know.
    Note {
        /// One line.
        text: String,
    },
    /// Nothing more will happen on this node.
    Finished,
}

/// Takes events from several nodes at once.
pub trait Sink: Send + Sync {
    /// Takes one.
    fn emit(&self, event: Event);
}

/// Ignores everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Sink for Silent {
    fn emit(&self, _: Event) {}
}
