//! Calls of `pveum` as lines that `remote/access.sh` reads.

use crate::change::access::{AccessCall, AccessStep};
use crate::transport::quote;

/// `NUMBER.calls` and `NUMBER.undo`: a line per call, the undo newest first; the second word counts the calls of
/// the step, so that only what was begun is taken back.
pub(super) fn data(number: &str, steps: &[AccessStep]) -> Vec<(String, String)> {
    let mut calls = String::new();
    let mut undo: Vec<String> = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        calls.push_str(&line("call", index + 1, &step.call));
        undo.push(step.undo.iter().map(|call| line("uncall", index + 1, call)).collect());
    }
    undo.reverse();
    vec![(format!("{number}.calls"), calls), (format!("{number}.undo"), undo.concat())]
}

fn line(function: &str, number: usize, call: &AccessCall) -> String {
    let words: Vec<String> = call.words().iter().map(|word| quote::shell(word)).collect();
    format!("{function} {number} {}\n", words.join(" "))
}

/// Why a call must not be made, whatever made the plan.
pub(super) fn forbidden(call: &AccessCall) -> Option<String> {
    let names = call.names();
    let odd = names.iter().find(|name| odd_name(name));
    if let Some(name) = odd {
        return Some(format!("{name:?} is not a name this tool hands to pveum"));
    }
    let root =
        matches!(call, AccessCall::UserDelete { user } | AccessCall::UserModify { user, .. } if user == "root@pam");
    root.then(|| "root@pam is never changed".into())
}

/// A word that PVE could take for an option, or that is none.
pub(super) fn odd_name(name: &str) -> bool {
    name.is_empty() || name.starts_with('-') || name.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::access::UserSettings;

    #[test]
    fn what_was_done_last_is_undone_first_and_quotes_do_not_end_a_word() {
        let add = |group: &str| AccessStep {
            call: AccessCall::GroupAdd { group: group.into(), comment: "it's $(x)\n;y".into() },
            undo: vec![AccessCall::GroupDelete { group: group.into() }],
            lost: None,
        };
        let data = data("007", &[add("a"), add("b")]);
        assert_eq!(data[0].0, "007.calls");
        assert!(
            data[0].1.starts_with("call 1 'group' 'add' 'a' '--comment=it'\\''s $(x)\n;y'\ncall 2 "),
            "{}",
            data[0].1
        );
        assert_eq!(
            data[1],
            ("007.undo".into(), "uncall 2 'group' 'delete' 'b'\nuncall 1 'group' 'delete' 'a'\n".into())
        );
    }

    #[test]
    fn root_and_names_that_pass_for_options_are_refused() {
        let settings = UserSettings::default;
        for user in ["root@pam", "-x@pve", "", "a\n@pve"] {
            let call = AccessCall::UserModify { user: user.into(), settings: settings() };
            assert!(forbidden(&call).is_some(), "{user:?}");
        }
        assert_eq!(forbidden(&AccessCall::UserModify { user: "o'neil@pve".into(), settings: settings() }), None);
    }
}
