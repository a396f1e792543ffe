//! `password.*`: what passwords must be, how long they last, how they are stored.

mod aging;
mod hash;
mod history;
mod quality;
mod rulebook;
mod shared;
#[cfg(test)]
mod tests;

pub use aging::AGING;
pub use hash::HASH;
pub use history::HISTORY;
pub use quality::QUALITY;

use crate::change::Change;
use crate::controls::pam::{self, Answer, walk};
use crate::controls::{Evidence, Verdict};
use crate::facts::{Facts, PamRule, PamStack};

/// The service of passwd(1); chpasswd, sshd and login use the same rules through common-password.
fn stack(facts: &Facts) -> Result<&PamStack, String> {
    pam::service(facts, "passwd")?.map(|(stack, _)| stack).ok_or_else(|| "PAM service passwd is absent".into())
}

/// Whether a module that refuses a new password decides: with its refusal nothing is stored, without it something is.
fn decides(rules: &[&PamRule], module: &str) -> Decides {
    let asked = |verdict: Answer| {
        walk(rules, |rule| match rule.module.as_str() {
            name if name == module => verdict,
            "pam_unix.so" => Answer::Success,
            "pam_deny.so" => Answer::Failure,
            _ if pam::is_alternative(&rule.control) => Answer::Failure,
            _ => Answer::Success,
        })
    };
    let refused = asked(Answer::Failure);
    // pam_unix may not have run: in the first pass nothing is stored yet, but a later success would be.
    Decides { refuses: !refused.passed, accepts: asked(Answer::Success).passed }
}

/// What [`decides`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Decides {
    /// Its refusal holds.
    refuses: bool,
    /// A password it accepts is accepted.
    accepts: bool,
}

/// Gathers what is to be done.
#[derive(Default)]
struct Repair {
    changes: Vec<Change>,
    advice: Vec<String>,
    evidence: Vec<Evidence>,
}

impl Repair {
    fn advise(&mut self, advice: impl Into<String>) {
        self.advice.push(advice.into());
    }

    fn verdict(self) -> Verdict {
        let advice = (!self.advice.is_empty()).then(|| self.advice.join("; "));
        Verdict::outcome(self.changes, advice, self.evidence)
    }
}
