//! The part of a plan that one node of a cluster carries out alone.

use std::collections::BTreeSet;

use super::{Plan, seal};
use crate::change::Scope;
use crate::change::token::NewToken;
use crate::error::Result;

impl Plan {
    /// Paths and names of what reaches the whole cluster.
    pub fn shared(&self) -> Vec<&crate::change::Change> {
        self.changes.iter().filter(|change| change.scope() == Scope::Cluster).collect()
    }

    /// This plan without what reaches the whole cluster, which `leader` carries out; sealed anew.
    pub fn without_shared(mut self, leader: &str) -> Result<Self> {
        let shared = self.shared().len();
        if shared == 0 {
            return Ok(self);
        }
        self.changes.retain(|change| change.scope() == Scope::Node);
        let touched: BTreeSet<String> =
            self.changes.iter().flat_map(|change| change.action.touches()).map(str::to_owned).collect();
        self.expects.retain(|path, _| touched.contains(path));
        if self.changes.is_empty() {
            self.proofs.clear();
            self.brings.clear();
        }
        let plural = if shared == 1 { "change" } else { "changes" };
        self.notes.push(format!("{shared} {plural} of what the cluster shares: made once, on {leader}"));
        self.seal = seal::seal(&self)?;
        Ok(self)
    }

    /// This plan without the tokens that are made once its run is confirmed, and these; sealed anew.
    pub fn without_tokens(mut self) -> Result<(Self, Vec<NewToken>)> {
        let tokens: Vec<NewToken> = self.changes.iter().filter_map(|change| change.action.token().cloned()).collect();
        if !tokens.is_empty() {
            self.changes.retain(|change| change.action.token().is_none());
            self.seal = seal::seal(&self)?;
        }
        Ok((self, tokens))
    }

    /// Adds what a person should know, and seals anew.
    pub fn with_note(mut self, note: String) -> Result<Self> {
        self.notes.push(note);
        self.seal = seal::seal(&self)?;
        Ok(self)
    }

    /// Adds a reason not to begin, and seals anew.
    pub fn refused(mut self, refusal: super::Refusal) -> Result<Self> {
        self.refusals.push(refusal);
        self.seal = seal::seal(&self)?;
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use crate::change::Stage;
    use crate::plan::Expect;
    use crate::plan::testing::{change, empty_plan, new_file};

    #[test]
    fn what_the_cluster_shares_leaves_with_its_expectation() {
        let mut plan = empty_plan();
        for path in ["/etc/pve/firewall/cluster.fw", "/etc/default/pveproxy"] {
            plan.changes.push(change("x", Stage::Firewall, new_file(path, "", 0o640)));
            plan.expects.insert(path.into(), Expect::Absent);
        }
        let part = plan.clone().without_shared("pve1").unwrap();
        assert_eq!(part.changes.len(), 1);
        assert_eq!(part.expects.keys().collect::<Vec<_>>(), ["/etc/default/pveproxy"]);
        assert_eq!(part.notes, ["1 change of what the cluster shares: made once, on pve1"]);
        assert_ne!(part.seal, plan.seal);
    }

    #[test]
    fn a_plan_of_the_node_alone_stays_as_it_is() {
        let mut plan = empty_plan();
        plan.changes.push(change("x", Stage::Services, new_file("/etc/x", "", 0o640)));
        assert_eq!(plan.clone().without_shared("pve1").unwrap(), plan);
    }
}
