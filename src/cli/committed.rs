//! What one `apply` has already made permanent on a node when something before its next run fails.

use crate::error::Error;

/// The runs of this command that were confirmed on a node. With nothing confirmed it is as it was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Committed {
    /// The id of its own run.
    pub run: Option<String>,
    /// Its part in a change of the cluster's firewall.
    pub firewall: bool,
}

impl Committed {
    /// The state of these nodes when what comes next changes nothing on them.
    pub fn state(&self, nodes: &str) -> String {
        match (&self.run, self.firewall) {
            (None, false) => format!("nothing was changed on {nodes}"),
            (None, true) => format!("nothing but the cluster's firewall was changed on {nodes}"),
            (Some(run), false) => format!("run {run} was confirmed on {nodes}, and nothing else was changed"),
            (Some(run), true) => {
                format!("run {run} and the cluster's firewall were confirmed on {nodes}, and nothing else was changed")
            }
        }
    }

    /// [`Committed::state`] in place of whatever the error says of the node: its author knew of no run before.
    pub fn untouched(&self, error: Error, node: &str) -> Error {
        error.state(self.state(node))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apply::engine::Outcome;
    use crate::cli::run;
    use crate::error::Kind;

    const RUN: &str = "20251112T000000Z-0badcafe";

    fn all() -> [Committed; 4] {
        [(None, false), (None, true), (Some(RUN), false), (Some(RUN), true)]
            .map(|(run, firewall)| Committed { run: run.map(str::to_owned), firewall })
    }

    #[test]
    fn what_was_confirmed_before_is_said() {
        insta::assert_snapshot!(all().map(|before| before.state("pve1")).join("\n"), @"
        nothing was changed on pve1
        nothing but the cluster's firewall was changed on pve1
        run 20251112T000000Z-0badcafe was confirmed on pve1, and nothing else was changed
        run 20251112T000000Z-0badcafe and the cluster's firewall were confirmed on pve1, and nothing else was changed
        ");
    }

    #[test]
    fn an_error_that_knew_less_is_corrected() {
        for before in all() {
            let error = Error::msg(Kind::Internal, "no program").untouched("pve1");
            let error = before.untouched(error, "pve1");
            assert_eq!(error.to_string(), format!("{}: no program", before.state("pve1")));
        }
    }

    #[test]
    fn a_run_that_the_node_refuses_leaves_the_ones_before() {
        for before in all() {
            for word in ["busy", "stale", "changed", "lost", "simulator", "quorum"] {
                let outcome = Outcome::Refused { word: word.into(), why: "why".into() };
                assert_eq!(run::failure(outcome, &before, "pve1", RUN).state, before.state("pve1"), "{word}");
            }
        }
    }
}
