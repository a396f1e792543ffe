//! One service's stack, played through with `pam_faillock`.

use crate::controls::pam::{self, Answer, walk};
use crate::facts::{PamRule, PamStack};

/// What a service's stack does with passwords.
pub struct Stack<'a> {
    /// Name of the service.
    pub service: &'static str,
    /// Remark on where its rules come from.
    pub note: &'static str,
    /// What it fails to do.
    pub gaps: Vec<Gap>,
    /// The `pam_faillock` rules that run.
    pub counting: Vec<&'a PamRule>,
    /// Whether /etc/pam.d/common-auth is part of it.
    pub uses_common_auth: bool,
    /// A rule of a module that no longer exists.
    pub leftover: Option<Leftover>,
}

/// A `pam_tally` rule.
pub struct Leftover {
    /// The rule.
    pub line: String,
    /// Where it stands.
    pub file: String,
}

/// What is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    /// `authfail` does not run after a wrong password.
    NotCounted,
    /// A right password opens a locked account.
    NotRefused,
    /// `authsucc` does not run after a right password, nor is there an account rule.
    NotReset,
    /// Even the right password fails.
    NobodyPasses,
}

impl<'a> Stack<'a> {
    /// Plays the stack through.
    pub fn of(service: &'static str, note: &'static str, stack: &'a PamStack) -> Self {
        let auth = pam::rules(stack, "auth");
        let account = pam::rules(stack, "account");
        let counting: Vec<&PamRule> = auth.iter().chain(&account).copied().filter(|rule| is_faillock(rule)).collect();
        let leftover = auth
            .iter()
            .chain(&account)
            .find(|rule| rule.module.starts_with("pam_tally"))
            .map(|rule| Leftover { line: pam::line(rule), file: rule.file.clone() });
        let uses_common_auth = auth.iter().any(|rule| rule.file == "/etc/pam.d/common-auth");
        Self { service, note, gaps: gaps(&auth, &account), counting, uses_common_auth, leftover }
    }
}

fn gaps(auth: &[&PamRule], account: &[&PamRule]) -> Vec<Gap> {
    let wrong = walk(auth, |rule| answer(rule, Answer::Failure, false));
    let locked = walk(auth, |rule| answer(rule, Answer::Success, true));
    let right = walk(auth, |rule| answer(rule, Answer::Success, false));
    let ran = |at: &usize, action: &str| is_faillock(auth[*at]) && pam::flag(auth[*at], action);
    let unix = wrong.ran.iter().position(|at| auth[*at].module == "pam_unix.so");
    let counted = unix.is_some_and(|unix| wrong.ran[unix..].iter().any(|at| ran(at, "authfail")));
    let reset = right.ran.iter().any(|at| ran(at, "authsucc")) || account.iter().any(|rule| is_faillock(rule));
    let checks = [
        (Gap::NotCounted, !counted),
        (Gap::NotRefused, locked.passed),
        (Gap::NotReset, right.passed && !reset),
        (Gap::NobodyPasses, !right.passed),
    ];
    checks.into_iter().filter_map(|(gap, found)| found.then_some(gap)).collect()
}

/// What a module answers: `pam_unix` knows the password, other ways to log in know nobody, the rest does not object.
fn answer(rule: &PamRule, password: Answer, locked: bool) -> Answer {
    match rule.module.as_str() {
        "pam_unix.so" => password,
        "pam_deny.so" => Answer::Failure,
        "pam_faillock.so" if locked => Answer::Failure,
        // pam_faillock.c: `authfail` answers PAM_IGNORE after counting.
        "pam_faillock.so" if pam::flag(rule, "authfail") => Answer::Ignore,
        "pam_faillock.so" => Answer::Success,
        _ if pam::is_alternative(&rule.control) => Answer::Failure,
        _ => Answer::Success,
    }
}

fn is_faillock(rule: &PamRule) -> bool {
    rule.module == "pam_faillock.so"
}
