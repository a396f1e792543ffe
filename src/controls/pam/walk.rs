//! What libpam does with a stack, given what each module would answer (`_pam_dispatch_aux` in Linux-PAM's
//! `pam_dispatch.c`). It lets a control ask "is a wrong password counted, and is a locked account refused?" instead of
//! looking for lines.

use crate::facts::PamRule;

/// What a module answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// `PAM_SUCCESS`.
    Success,
    /// `PAM_AUTH_ERR`.
    Failure,
    /// `PAM_IGNORE`.
    Ignore,
}

/// How a stack went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walk {
    /// Whether the stack as a whole succeeds.
    pub passed: bool,
    /// Indices of the rules that ran, in order.
    pub ran: Vec<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Ignore,
    Ok,
    Done,
    Bad,
    Die,
    Reset,
    Jump(usize),
}

/// Runs the rules of one facility.
pub fn walk(rules: &[&PamRule], answer: impl Fn(&PamRule) -> Answer) -> Walk {
    let mut ran = Vec::new();
    let (mut positive, mut negative) = (false, false);
    let mut at = 0;
    while let Some(rule) = rules.get(at) {
        ran.push(at);
        at += 1;
        let answer = answer(rule);
        let step = step(&rule.control, answer);
        match step {
            Step::Ignore => {}
            // An `ok` for anything but success would let that answer stand as the result.
            Step::Ok | Step::Done if answer == Answer::Success => positive |= !negative,
            Step::Ok | Step::Done | Step::Bad | Step::Die => negative = true,
            Step::Reset => (positive, negative) = (false, false),
            Step::Jump(count) if at + count > rules.len() => negative = true,
            Step::Jump(count) => at += count,
        }
        if step == Step::Die || (step == Step::Done && positive && !negative) {
            break;
        }
    }
    Walk { passed: positive && !negative, ran }
}

fn step(control: &str, answer: Answer) -> Step {
    let Some(inner) = control.strip_prefix('[') else { return keyword(control, answer) };
    let name = match answer {
        Answer::Success => "success",
        Answer::Failure => "auth_err",
        Answer::Ignore => "ignore",
    };
    let mut fallback = None;
    for pair in inner.trim_end_matches(']').split_whitespace() {
        let Some((value, action)) = pair.split_once('=') else { continue };
        if value.eq_ignore_ascii_case(name) {
            return action_named(action);
        }
        if value.eq_ignore_ascii_case("default") {
            fallback = Some(action_named(action));
        }
    }
    fallback.unwrap_or(Step::Bad)
}

fn action_named(action: &str) -> Step {
    match action {
        "ignore" => Step::Ignore,
        "ok" => Step::Ok,
        "done" => Step::Done,
        "die" => Step::Die,
        "reset" => Step::Reset,
        number => number.parse().map_or(Step::Bad, Step::Jump),
    }
}

fn keyword(control: &str, answer: Answer) -> Step {
    match (control.to_ascii_lowercase().as_str(), answer) {
        ("required" | "requisite", Answer::Ignore) | ("sufficient" | "optional", Answer::Failure | Answer::Ignore) => {
            Step::Ignore
        }
        ("required" | "requisite" | "optional", Answer::Success) => Step::Ok,
        ("sufficient", Answer::Success) => Step::Done,
        ("requisite", Answer::Failure) => Step::Die,
        _ => Step::Bad,
    }
}

/// Whether success of this rule would end or shorten the stack, as another way to log in does.
pub fn is_alternative(control: &str) -> bool {
    control.eq_ignore_ascii_case("sufficient")
        || control.strip_prefix('[').is_some_and(|inner| {
            inner
                .trim_end_matches(']')
                .split_whitespace()
                .filter_map(|pair| pair.strip_prefix("success="))
                .any(|action| action == "done" || action.parse::<usize>().is_ok())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(line: &str) -> PamRule {
        let (control, module) = line.rsplit_once(' ').unwrap_or(("", line));
        PamRule {
            facility: "auth".into(),
            control: control.into(),
            module: module.into(),
            arguments: vec![],
            file: "/etc/pam.d/common-auth".into(),
        }
    }

    fn run(lines: &[&str], unix: Answer) -> Walk {
        let rules: Vec<PamRule> = lines.iter().map(|line| rule(line)).collect();
        walk(&rules.iter().collect::<Vec<_>>(), |rule| match rule.module.as_str() {
            "unix" => unix,
            "deny" => Answer::Failure,
            _ => Answer::Success,
        })
    }

    const DEBIAN: [&str; 3] = ["[success=1 default=ignore] unix", "requisite deny", "required permit"];

    #[test]
    fn debian_s_block_passes_only_with_the_password() {
        assert_eq!(run(&DEBIAN, Answer::Success), Walk { passed: true, ran: vec![0, 2] });
        assert_eq!(run(&DEBIAN, Answer::Failure), Walk { passed: false, ran: vec![0, 1] });
    }

    #[test]
    fn a_required_failure_is_remembered_and_a_jump_off_the_end_fails() {
        assert!(!run(&["required unix", "sufficient permit"], Answer::Failure).passed);
        assert!(!run(&["[success=2 default=ignore] unix", "required permit"], Answer::Success).passed);
        assert!(run(&["sufficient unix", "requisite deny"], Answer::Success).passed);
        assert!(!run(&[], Answer::Success).passed, "an empty stack lets nobody in");
    }
}
