//! The three dialects of `key value` files, and how a setting is put into one.

/// How a file's reader understands a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syntax {
    /// `key = value`, `key value` or a bare `key`; `#` starts a comment anywhere; the last line of a key counts.
    /// faillock.conf(5), pwhistory.conf(5) and pwquality.conf(5).
    Pam,
    /// `KEY value`; `#` only at the start of a line. login.defs(5): shadow takes the last line of a key, PAM's modules
    /// the first, so all are set.
    LoginDefs,
    /// `KEY=value`; `#` only at the start of a line. /etc/default/useradd.
    Shell,
}

/// A line that sets something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting<'a> {
    /// Line number, from 1.
    pub line: usize,
    /// Name.
    pub key: &'a str,
    /// Value; empty for a bare key.
    pub value: &'a str,
}

impl Syntax {
    /// What one line sets.
    fn parse(self, line: &str) -> Option<(&str, &str)> {
        let line = match self {
            Self::Pam => line.split('#').next().unwrap_or_default(),
            Self::LoginDefs | Self::Shell if line.trim_start().starts_with('#') => return None,
            Self::LoginDefs | Self::Shell => line,
        };
        let line = line.trim();
        let end = match self {
            Self::Pam => line.find(|c: char| c.is_whitespace() || c == '='),
            Self::LoginDefs => line.find([' ', '\t']),
            Self::Shell => line.find('='),
        };
        let (key, rest) = line.split_at(end.unwrap_or(line.len()));
        let value = match self {
            Self::Pam => {
                let rest = rest.trim_start();
                rest.strip_prefix('=').unwrap_or(rest).trim()
            }
            // shadow's getdef.c ends a value at a quote and drops blanks and quotes before it.
            Self::LoginDefs => {
                rest.trim_start_matches([' ', '\t', '"']).split('"').next().unwrap_or_default().trim_end()
            }
            Self::Shell => rest.strip_prefix('=')?,
        };
        (!key.is_empty()).then_some((key, value))
    }

    /// Every line that sets something, in order.
    pub fn settings(self, text: &str) -> impl Iterator<Item = Setting<'_>> {
        text.lines()
            .enumerate()
            .filter_map(move |(at, line)| self.parse(line).map(|(key, value)| Setting { line: at + 1, key, value }))
    }

    /// The values a key is given, in order; a reader takes the last, or, in login.defs, the first or the last.
    pub fn values<'a>(self, text: &'a str, key: &str) -> Vec<&'a str> {
        self.settings(text).filter(|setting| setting.key == key).map(|setting| setting.value).collect()
    }

    /// Sets a key: every line that sets it says the new value; without one, a line is added below the commented
    /// template of the key, else at the end. An empty value writes a bare key.
    pub fn set(self, text: &str, key: &str, value: &str) -> String {
        if self.settings(text).any(|setting| setting.key == key) {
            return self.replace(text, key, |line| self.with_value(line, key, value));
        }
        let line = self.with_value("", key, value);
        let mut out = String::with_capacity(text.len() + line.len() + 1);
        let template = text.lines().enumerate().filter(|(_, line)| self.is_template(line, key)).last();
        for (at, part) in text.split_inclusive('\n').enumerate() {
            out.push_str(part);
            if template.is_some_and(|(found, _)| found == at) {
                terminate(&mut out);
                out.push_str(&line);
                out.push('\n');
            }
        }
        if template.is_none() {
            terminate(&mut out);
            out.push_str(&line);
            out.push('\n');
        }
        out
    }

    /// Turns every line that sets a key into a comment.
    pub fn comment_out(self, text: &str, key: &str) -> String {
        self.replace(text, key, |line| format!("# {line}"))
    }

    fn replace(self, text: &str, key: &str, with: impl Fn(&str) -> String) -> String {
        let mut out = String::with_capacity(text.len());
        for part in text.split_inclusive('\n') {
            let (line, end) = part.strip_suffix('\n').map_or((part, ""), |line| (line, "\n"));
            match self.parse(line) {
                Some((found, _)) if found == key => {
                    out.push_str(&with(line));
                    out.push_str(end);
                }
                _ => out.push_str(part),
            }
        }
        out
    }

    fn with_value(self, old: &str, key: &str, value: &str) -> String {
        match self {
            Self::Pam if value.is_empty() => key.to_owned(),
            Self::Pam => format!("{key} = {value}"),
            Self::Shell => format!("{key}={value}"),
            Self::LoginDefs => {
                let after = old.trim_start().strip_prefix(key).unwrap_or_default();
                let blanks = &after[..after.len() - after.trim_start_matches([' ', '\t']).len()];
                format!("{key}{}{value}", if blanks.is_empty() { "\t" } else { blanks })
            }
        }
    }

    /// The distribution's commented example of a key, as opposed to prose that begins with its name.
    fn is_template(self, line: &str, key: &str) -> bool {
        let Some(rest) = line.trim_start().strip_prefix('#') else { return false };
        let rest = if self == Self::LoginDefs { rest } else { rest.trim_start() };
        let Some(after) = rest.strip_prefix(key) else { return false };
        match self {
            Self::Pam => after.trim().is_empty() || after.trim_start().starts_with('='),
            Self::Shell => after.starts_with('='),
            Self::LoginDefs => after.starts_with([' ', '\t']),
        }
    }
}

fn terminate(text: &mut String) {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_pam_file_is_read_as_libpam_and_libpwquality_read_it() {
        let text = "# deny = 1\n  deny=3 # three\ndeny 4\neven_deny_root\nunlock_time\t=\t600\n = 7\n";
        assert_eq!(Syntax::Pam.values(text, "deny"), ["3", "4"]);
        assert_eq!(Syntax::Pam.values(text, "even_deny_root"), [""]);
        assert_eq!(Syntax::Pam.values(text, "unlock_time"), ["600"]);
    }

    #[test]
    fn a_setting_goes_below_its_template_and_not_below_prose() {
        let text = "# deny is a number.\n# deny = 3\n# The end.\n";
        assert_eq!(Syntax::Pam.set(text, "deny", "5"), "# deny is a number.\n# deny = 3\ndeny = 5\n# The end.\n");
        let text = "# UMASK is the default\n#UMASK\t022\nX y";
        assert_eq!(Syntax::LoginDefs.set(text, "UMASK", "027"), "# UMASK is the default\n#UMASK\t022\nUMASK\t027\nX y");
        assert_eq!(Syntax::Shell.set("# INACTIVE=-1", "INACTIVE", "45"), "# INACTIVE=-1\nINACTIVE=45\n");
        assert_eq!(Syntax::Pam.set("a = 1", "b", ""), "a = 1\nb\n");
    }

    #[test]
    fn replacing_keeps_columns_and_the_missing_last_newline() {
        assert_eq!(Syntax::LoginDefs.set("PASS_MAX_DAYS   99999", "PASS_MAX_DAYS", "365"), "PASS_MAX_DAYS   365");
        assert_eq!(
            Syntax::Pam.comment_out("a\r\neven_deny_root = no\n", "even_deny_root"),
            "a\r\n# even_deny_root = no\n"
        );
    }

    fn dialect() -> impl Strategy<Value = Syntax> {
        prop_oneof![Just(Syntax::Pam), Just(Syntax::LoginDefs), Just(Syntax::Shell)]
    }

    proptest! {
        #[test]
        fn what_was_set_is_read_and_the_rest_is_untouched(
            syntax in dialect(),
            text in "(#? ?(KEY|OTHER|x)[ =\t]{0,2}[a-z0-9#\"]{0,4}\r?\n?){0,8}",
        ) {
            let after = syntax.set(&text, "KEY", "17");
            let values = syntax.values(&after, "KEY");
            prop_assert!(!values.is_empty() && values.iter().all(|value| *value == "17"), "{after:?}");
            let others = |text: &str| -> Vec<String> {
                text.split_terminator('\n')
                    .filter(|line| syntax.parse(line).is_none_or(|(key, _)| key != "KEY"))
                    .map(str::to_owned)
                    .collect()
            };
            prop_assert_eq!(others(&text), others(&after));
            prop_assert_eq!(&syntax.set(&after, "KEY", "17"), &after, "setting twice changes nothing");
            prop_assert!(syntax.values(&syntax.comment_out(&text, "KEY"), "KEY").is_empty());
        }
    }
}
