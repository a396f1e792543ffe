//! Plans of what somebody asks for once, and no profile wants: the same order, guard, proofs and seal.

use super::build::build_from;
use super::{Operator, Plan, Selection, seal};
use crate::controls::{Control, Meta, Verdict};
use crate::error::Result;
use crate::facts::Facts;
use crate::profile::policy::Policy;

/// The plan of one task. Its changes name `meta.id`, which is none of the catalogue's.
pub fn task(
    meta: &'static Meta,
    verdict: Verdict,
    facts: &Facts,
    policy: &Policy,
    operator: &Operator,
) -> Result<Plan> {
    let mut plan = build_from(&[&Task { meta, verdict }], facts, policy, &Selection::all(), operator)?;
    // Nothing drifted: somebody wants something else from now on.
    plan.drift.clear();
    plan.seal = seal::seal(&plan)?;
    Ok(plan)
}

struct Task {
    meta: &'static Meta,
    verdict: Verdict,
}

impl Control for Task {
    fn meta(&self) -> &'static Meta {
        self.meta
    }

    fn enabled(&self, _: &Policy) -> bool {
        true
    }

    fn evaluate(&self, _: &Facts, _: &Policy) -> Verdict {
        self.verdict.clone()
    }
}
