//! The one routine through which a value reaches a shell, and the one for ssh's own option syntax.

use std::borrow::Cow;
use std::path::Path;

/// One word of a POSIX shell command line, whatever the value holds. Single quotes only: they mean the same to every
/// login shell a node may have. NUL bytes cannot be part of a command line and are dropped.
pub fn shell(value: &str) -> String {
    let mut quoted = String::with_capacity(value.len() + 2);
    quoted.push('\'');
    for character in value.chars() {
        match character {
            '\'' => quoted.push_str(r"'\''"),
            '\0' => {}
            other => quoted.push(other),
        }
    }
    quoted.push('\'');
    quoted
}

/// A file name as value of an ssh option that ssh splits into words and expands (`%` tokens, `${}` cannot be escaped
/// and is refused by [`super::Target::check`]).
pub(super) fn ssh_option_path(path: &Path) -> String {
    let text = expand_safe(path);
    format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\""))
}

/// A file name for an ssh argument that is expanded but not split (`-i`, `-S`).
pub(super) fn expand_safe(path: &Path) -> Cow<'_, str> {
    let text = path.to_string_lossy();
    let text: Cow<'_, str> = if text.contains('%') { Cow::Owned(text.replace('%', "%%")) } else { text };
    // A leading tilde would be expanded, too.
    if text.starts_with('~') { Cow::Owned(format!("./{text}")) } else { text }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_shell_gives_back_what_was_quoted(value in "[^\0]{0,40}") {
            let output = Command::new("sh").arg("-c").arg(format!("printf %s {}", shell(&value))).output().unwrap();
            prop_assert_eq!(output.stdout, value.into_bytes());
        }
    }

    #[test]
    fn hostile_words_stay_one_word() {
        for value in ["$(reboot)", "a b", "'; reboot; '", "\\", "`id`", "-x", "", "\n", "!!"] {
            assert_eq!(shlex::split(&shell(value)).unwrap(), [value]);
        }
    }

    #[test]
    fn ssh_option_paths_survive_spaces_quotes_and_tokens() {
        assert_eq!(ssh_option_path(Path::new("/a b/%h\"x")), r#""/a b/%%h\"x""#);
        assert_eq!(expand_safe(Path::new("~x/%d")), "./~x/%%d");
    }
}
