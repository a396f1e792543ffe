//! Changes in apt's files of sources: what is not meant stays byte for byte.

use super::sources::{Source, deb822, one_line};

/// The two forms of sources.list(5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `.list`.
    OneLine,
    /// `.sources`.
    Deb822,
}

impl Form {
    /// By a file's name.
    pub fn of(path: &str) -> Option<Self> {
        match std::path::Path::new(path).extension()?.to_str()? {
            "list" => Some(Self::OneLine),
            "sources" => Some(Self::Deb822),
            _ => None,
        }
    }

    /// The sources that are on.
    pub fn parse(self, text: &str) -> Vec<Source> {
        match self {
            Self::OneLine => one_line(text),
            Self::Deb822 => deb822(text),
        }
    }

    /// Takes components out of the sources that are on: a source of which nothing would be left is switched off, as the
    /// web interface does it (a `#` before the line, `Enabled: no`).
    pub fn without(self, text: &str, unwanted: impl Fn(&Source, &str) -> bool) -> String {
        match self {
            Self::OneLine => text.split_inclusive('\n').map(|line| line_without(line, &unwanted)).collect(),
            Self::Deb822 => stanzas(text).map(|part| stanza_without(part, &unwanted)).collect(),
        }
    }
}

/// What is left of a source's components; `None` when it has no unwanted one.
fn left<'a>(source: &'a Source, unwanted: &impl Fn(&Source, &str) -> bool) -> Option<Vec<&'a str>> {
    let left: Vec<&str> =
        source.components.iter().map(String::as_str).filter(|component| !unwanted(source, component)).collect();
    (left.len() < source.components.len()).then_some(left)
}

fn line_without(line: &str, unwanted: &impl Fn(&Source, &str) -> bool) -> String {
    let found = one_line(line).pop();
    let Some(left) = found.as_ref().and_then(|source| left(source, unwanted)) else {
        return line.to_owned();
    };
    if left.is_empty() {
        return format!("# {line}");
    }
    let (said, comment) = line.split_at(line.find('#').unwrap_or(line.len()));
    let (head, tail) = said.split_at(components_begin(said));
    let blank = &tail[tail.trim_end().len()..];
    format!("{head}{}{blank}{comment}", left.join(" "))
}

/// Where the components of a one-line source begin: behind options, address and suite.
fn components_begin(line: &str) -> usize {
    let options = line.find(']').filter(|_| line.trim_start()[3..].trim_start().starts_with('['));
    let mut at = options.map_or_else(|| line.find("deb").map_or(0, |at| at + 3), |at| at + 1);
    for _ in 0..2 {
        at += line[at..].len() - line[at..].trim_start().len();
        at += line[at..].find(char::is_whitespace).unwrap_or(line[at..].len());
    }
    at + line[at..].len() - line[at..].trim_start().len()
}

/// Stanzas with the empty lines behind them.
fn stanzas(text: &str) -> impl Iterator<Item = String> {
    let mut parts: Vec<String> = Vec::new();
    let mut ended = true;
    for line in text.split_inclusive('\n') {
        let empty = line.trim().is_empty();
        if ended && !empty {
            parts.push(String::new());
        }
        match parts.last_mut() {
            Some(part) => part.push_str(line),
            None => parts.push(line.to_owned()),
        }
        ended = empty;
    }
    parts.into_iter()
}

fn stanza_without(stanza: String, unwanted: &impl Fn(&Source, &str) -> bool) -> String {
    let Some(source) = deb822(&stanza).pop() else { return stanza };
    let Some(left) = left(&source, unwanted) else { return stanza };
    if left.is_empty() {
        with_field(&stanza, "Enabled", "no")
    } else {
        with_field(&stanza, "Components", &left.join(" "))
    }
}

/// A field's value, its continued lines included; a new one goes behind the last line that is not empty.
fn with_field(stanza: &str, name: &str, value: &str) -> String {
    let mut out = String::new();
    let field = format!("{name}: {value}\n");
    let (mut done, mut inside) = (false, false);
    for line in stanza.split_inclusive('\n') {
        if !line.starts_with('#') {
            if line.starts_with([' ', '\t']) && inside && !line.trim().is_empty() {
                continue;
            }
            inside = line.split_once(':').is_some_and(|(found, _)| found.trim().eq_ignore_ascii_case(name));
            if inside {
                if !done {
                    out.push_str(&field);
                }
                done = true;
                continue;
            }
            if line.trim().is_empty() && !done {
                out.push_str(&field);
                done = true;
            }
        }
        out.push_str(line);
    }
    if !done {
        if !out.ends_with('\n') {
            out.push('\n');
        }
        out.push_str(&field);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn test_or_enterprise(_: &Source, component: &str) -> bool {
        ["pve-enterprise", "pvetest", "pve-test"].contains(&component)
    }

    #[test]
    fn one_line_sources_are_switched_off_or_shortened() {
        let text = "# kept\ndeb https://a/pve bookworm pve-enterprise\ndeb [arch=amd64] http://b/pve bookworm pve-no-subscription pvetest # c\n\
                    #deb http://c bookworm pvetest\ndeb http://d bookworm main\n";
        let after = Form::OneLine.without(text, test_or_enterprise);
        assert_eq!(
            after,
            "# kept\n# deb https://a/pve bookworm pve-enterprise\ndeb [arch=amd64] http://b/pve bookworm pve-no-subscription # c\n\
             #deb http://c bookworm pvetest\ndeb http://d bookworm main\n"
        );
        assert_eq!(Form::OneLine.without(&after, test_or_enterprise), after);
    }

    #[test]
    fn stanzas_are_switched_off_or_shortened() {
        let text = "Types: deb\nURIs: https://a\nSuites: trixie\nComponents: pve-enterprise\nSigned-By: /k\n\n\
                    # mixed\nTypes: deb\nURIs: http://b\nSuites: trixie\nComponents: pve-no-subscription\n pve-test\nEnabled: yes\n\n\n\
                    Types: deb\nURIs: http://d\nSuites: trixie\nEnabled: yes\nComponents: pve-test";
        let after = Form::Deb822.without(text, test_or_enterprise);
        assert_eq!(
            after,
            "Types: deb\nURIs: https://a\nSuites: trixie\nComponents: pve-enterprise\nSigned-By: /k\nEnabled: no\n\n\
             # mixed\nTypes: deb\nURIs: http://b\nSuites: trixie\nComponents: pve-no-subscription\nEnabled: yes\n\n\n\
             Types: deb\nURIs: http://d\nSuites: trixie\nEnabled: no\nComponents: pve-test"
        );
        assert_eq!(Form::Deb822.without(&after, test_or_enterprise), after);
    }

    proptest! {
        /// Nothing unwanted is left, and what was wanted is.
        #[test]
        fn only_what_is_unwanted_goes(words in proptest::collection::vec(
            "(deb |Types: deb\n|URIs: http://a\n|Suites: x\n|Components: |pve-test |pve-no-subscription |main\n|\n| |#|http://a x |Enabled: yes\n|[a-z:\\[\\]]{1,3})", 0..24,
        )) {
            let text = words.concat();
            for form in [Form::OneLine, Form::Deb822] {
                let after = form.without(&text, test_or_enterprise);
                let wanted = |text: &str| -> Vec<String> {
                    form.parse(text).into_iter().flat_map(|source| source.components).filter(|it| !test_or_enterprise(&Source::default(), it)).collect()
                };
                prop_assert!(form.parse(&after).iter().all(|source| source.components.iter().all(|it| !test_or_enterprise(source, it))), "{:?} {after:?}", text);
                prop_assert_eq!(wanted(&text), wanted(&after), "{:?} {:?}", text, after);
            }
        }
    }
}
