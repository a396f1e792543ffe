//! Errors as people read them: the state of the node, the cause, one thing to do.

use super::style::{Palette, Tone};
use crate::error::Error;
use crate::profile::diagnostic::Diagnostics;
use crate::report::Failure;
use crate::sanitize;

/// Lines for standard error, with a final newline.
pub fn error(error: &Error, palette: Palette) -> String {
    let cause = match error.cause.downcast_ref::<Diagnostics>() {
        // Excerpts of the operator's own files, made safe where they are drawn.
        Some(found) => format!("\n{}", found.render(palette.is_on())),
        None => sanitize::text(&format!("{:#}", error.cause)).into_owned(),
    };
    lines(&error.state, &cause, error.hint_text(), palette)
}

/// The same of a node's result.
pub fn failure(failure: &Failure, palette: Palette) -> String {
    lines(&failure.state, &sanitize::text(&failure.cause), &failure.hint, palette)
}

fn lines(state: &str, cause: &str, hint: &str, palette: Palette) -> String {
    let label = |tone, word: &str| palette.paint(tone, word);
    let hint = format!("{} {}\n", label(Tone::Place, "hint:"), sanitize::text(hint));
    let cause = cause.trim_end();
    if state.is_empty() {
        return format!("{} {cause}\n{hint}", label(Tone::Bad, "error:"));
    }
    let between = if cause.starts_with('\n') { "" } else { " " };
    let (error, because) = (label(Tone::Bad, "error:"), label(Tone::Bad, "cause:"));
    format!("{error} {}\n{because}{between}{cause}\n{hint}", sanitize::text(state))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn state_cause_hint() {
        let failed = Error::new(Kind::Unreachable, anyhow::anyhow!("no route\x1b[2J").context("ssh")).untouched("pve1");
        insta::assert_snapshot!(error(&failed, Palette::PLAIN), @r"
        error: nothing was changed on pve1
        cause: ssh: no route\x1b[2J
        hint: check address, port and jump host with `ssh -v`, then run the same command again
        ");
    }

    #[test]
    fn without_a_node_the_cause_comes_first() {
        insta::assert_snapshot!(error(&Error::msg(Kind::Usage, "no such thing").hint("try another"), Palette::PLAIN), @r"
        error: no such thing
        hint: try another
        ");
    }
}
