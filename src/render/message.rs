//! Errors as people read them: the state of the node, the cause, one thing to do.

use super::style::{Palette, Tone};
use crate::error::Error;
use crate::sanitize;

/// Lines for standard error, with a final newline.
pub fn error(error: &Error, palette: Palette) -> String {
    let cause = sanitize::text(&format!("{:#}", error.cause)).into_owned();
    let label = |tone, word: &str| palette.paint(tone, word);
    let hint = format!("{} {}\n", label(Tone::Place, "hint:"), sanitize::text(error.hint_text()));
    if error.state.is_empty() {
        return format!("{} {cause}\n{hint}", label(Tone::Bad, "error:"));
    }
    let state = sanitize::text(&error.state);
    format!("{} {state}\n{} {cause}\n{hint}", label(Tone::Bad, "error:"), label(Tone::Bad, "cause:"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn state_cause_hint() {
        let failed = Error::new(Kind::Unreachable, anyhow::anyhow!("no route\x1b[2J").context("ssh")).untouched("pve1");
        insta::assert_snapshot!(error(&failed, Palette::PLAIN), @"");
    }

    #[test]
    fn without_a_node_the_cause_comes_first() {
        insta::assert_snapshot!(error(&Error::msg(Kind::Usage, "no such thing").hint("try another"), Palette::PLAIN), @"");
    }
}
