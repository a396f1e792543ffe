//! /etc/pve/datacenter.cfg (datacenter.cfg(5)): `key: value` lines; structured values are property strings.

use std::collections::BTreeMap;

use ipnet::IpNet;

/// Top-level keys of datacenter.cfg; the last of a repeated key counts, as in PVE's parser. Lines above the first key
/// that start with `#` are the datacenter's description.
pub fn parse(text: &str) -> BTreeMap<String, String> {
    text.lines().filter_map(setting).map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// Key and value of a line, as `^(\S+?):\s*(.*)$` takes them; PVE passes over `key : value` (pve-common, JSONSchema.pm
/// `parse_config`).
fn setting(line: &str) -> Option<(&str, &str)> {
    let line = line.trim();
    let (key, value) = line.split_once(':').filter(|_| !line.starts_with('#'))?;
    (!key.is_empty() && !key.contains(char::is_whitespace)).then(|| (key, value.trim()))
}

/// The text with this key set: at its last line, which counted, else at the end. Every other line stays byte for byte.
pub fn set(text: &str, key: &str, value: &str) -> String {
    let names = |line: &str| setting(line).is_some_and(|(name, _)| name == key);
    let line = format!("{key}: {value}\n");
    let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
    match lines.iter().rposition(|line| names(line)) {
        Some(at) => lines[at] = &line,
        None if text.is_empty() || text.ends_with('\n') => lines.push(&line),
        None => lines.extend(["\n", &line]),
    }
    lines.concat()
}

/// The `network` of a `migration` or `replication` property string, e.g. `type=secure,network=10.0.0.0/24`. A network
/// that cannot be parsed is an error: peers may come from there.
pub fn network(property: &str) -> Result<Option<IpNet>, String> {
    property
        .split(',')
        .filter_map(|part| part.split_once('='))
        .find(|(key, _)| key.trim() == "network")
        .map(|(_, value)| {
            value.trim().parse().map_err(|_| format!("datacenter.cfg: no network: {}", value.trim().escape_debug()))
        })
        .transpose()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_migration_network_is_found_in_any_order() {
        let wanted = Some("10.1.0.0/24".parse().unwrap());
        for value in
            ["type=secure,network=10.1.0.0/24", "network=10.1.0.0/24,type=insecure", "secure,network=10.1.0.0/24"]
        {
            let parsed = parse(&format!("keyboard: de\nmigration: {value}\n"));
            assert_eq!(network(&parsed["migration"]), Ok(wanted));
        }
        assert_eq!(network("secure"), Ok(None));
        assert!(network("network=vmbr1").is_err());
    }

    #[test]
    fn the_description_is_no_setting() {
        assert!(parse("# migration: network=10.0.0.0/8\n").is_empty());
    }

    #[test]
    fn a_key_is_set_where_it_stands_or_at_the_end() {
        assert_eq!(set("", "console", "html5"), "console: html5\n");
        let text = "#console: a note\n\nconsole: vv\nkeyboard: de\n console:xtermjs\nconsole : vv\n";
        assert_eq!(
            set(text, "console", "html5"),
            "#console: a note\n\nconsole: vv\nkeyboard: de\nconsole: html5\nconsole : vv\n"
        );
        assert_eq!(parse(text)["console"], "xtermjs");
        assert_eq!(set("keyboard: de", "console", "html5"), "keyboard: de\nconsole: html5\n");
        assert_eq!(set("a: b\r\nconsole: vv\r\n", "console", "html5"), "a: b\r\nconsole: html5\n");
    }

    proptest! {
        #[test]
        fn what_is_set_is_read_back_and_nothing_else_changes(
            lines in prop::collection::vec("(#|)[a-z]{0,3} ?:? ?[a-z:=,]{0,6}", 0..8),
            value in "[A-Za-z0-9+/]{1,20}={0,2}",
        ) {
            let text = lines.join("\n");
            let mut wanted = parse(&text);
            wanted.insert("ab".into(), value.clone());
            let once = set(&text, "ab", &value);
            prop_assert_eq!(parse(&once), wanted);
            prop_assert_eq!(set(&once, "ab", &value), once);
        }

        #[test]
        fn arbitrary_text_does_not_panic(text in "\\PC*") {
            for value in parse(&text).values() {
                let _ = network(value);
            }
            let _ = network(&text);
        }
    }
}
