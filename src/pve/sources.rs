//! apt's sources, one-line and deb822 (sources.list(5)): PVE 8 writes the former, PVE 9 the latter.

/// One enabled source of binary packages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// Where from.
    pub uris: Vec<String>,
    /// e.g. `trixie-security`.
    pub suites: Vec<String>,
    /// e.g. `pve-enterprise`.
    pub components: Vec<String>,
    /// Signatures are not asked for.
    pub trusted: bool,
}

/// `deb [options] uri suite component…` lines; source packages are left out.
pub fn one_line(text: &str) -> Vec<Source> {
    text.lines().filter_map(line).collect()
}

fn line(line: &str) -> Option<Source> {
    let line = line.split('#').next().unwrap_or_default().trim();
    let rest = line.strip_prefix("deb").filter(|rest| rest.starts_with([' ', '\t', '[']))?.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(inside) => inside.split_once(']')?,
        None => ("", rest),
    };
    let mut words = rest.split_whitespace().map(str::to_owned);
    let (uri, suite) = (words.next()?, words.next()?);
    let trusted = options.split_whitespace().any(|option| option.eq_ignore_ascii_case("trusted=yes"));
    Some(Source { uris: vec![uri], suites: vec![suite], components: words.collect(), trusted })
}

/// Stanzas of fields; a line that begins with a blank continues the one before.
pub fn deb822(text: &str) -> Vec<Source> {
    let mut found = Vec::new();
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in text.lines().chain([""]) {
        if line.starts_with('#') {
            continue;
        }
        if line.trim().is_empty() {
            found.extend(stanza(&fields));
            fields.clear();
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            fields.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    found
}

fn stanza(fields: &[(String, String)]) -> Option<Source> {
    let field = |name: &str| fields.iter().rev().find(|(found, _)| found == name).map(|(_, value)| value.as_str());
    let words =
        |name: &str| -> Vec<String> { field(name).unwrap_or_default().split_whitespace().map(str::to_owned).collect() };
    let no =
        |value: &str| ["no", "false", "without", "off", "disable"].iter().any(|word| value.eq_ignore_ascii_case(word));
    if field("enabled").is_some_and(no) || !words("types").iter().any(|kind| kind == "deb") {
        return None;
    }
    let trusted = field("trusted").is_some_and(|value| value.eq_ignore_ascii_case("yes"));
    Some(Source { uris: words("uris"), suites: words("suites"), components: words("components"), trusted })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_line_sources_are_read() {
        let text = "deb http://a/debian trixie main contrib # c\n# deb http://b x pvetest\ndeb-src http://a s main\n\
                    deb [arch=amd64 trusted=yes] http://c d pve-no-subscription\n";
        let found = one_line(text);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].components, ["main", "contrib"]);
        assert!(!found[0].trusted && found[1].trusted);
        assert_eq!(found[1].components, ["pve-no-subscription"]);
    }

    #[test]
    fn stanzas_are_read_unless_they_are_off() {
        let text = "Types: deb\nURIs: http://a\nSuites: trixie trixie-security\nComponents: main\n non-free-firmware\n\n\
                    # off\nTypes: deb\nURIs: http://b\nSuites: trixie\nComponents: pve-enterprise\nEnabled: no\n\n\
                    Types: deb-src\nURIs: http://c\nSuites: x\n";
        let found = deb822(text);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].suites, ["trixie", "trixie-security"]);
        assert_eq!(found[0].components, ["main", "non-free-firmware"]);
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "(?s).{0,200}") {
            let _ = (one_line(&text), deb822(&text));
        }
    }
}
