//! Printing a result: text, JSON in two manners, YAML.

use serde_json::{Map, Value};

use super::options::Format;
use super::table::{Column, cell, draw};
use crate::console::put;

/// Columns of the lists that have recorded text output, by the path of the call.
const COLUMNS: &[(&str, &[Column])] = &[
    (
        "/access/users",
        &[
            ("userid", false),
            ("comment", false),
            ("email", false),
            ("enable", false),
            ("expire", true),
            ("firstname", false),
            ("groups", false),
            ("keys", false),
            ("lastname", false),
            ("realm-type", false),
            ("tfa-locked-until", true),
            ("tokens", false),
            ("totp-locked", false),
        ],
    ),
    ("/access/users/{userid}/token", &[("tokenid", false), ("comment", false), ("expire", true), ("privsep", false)]),
    ("/access/groups", &[("groupid", false), ("comment", false), ("users", false)]),
    ("/access/roles", &[("roleid", false), ("privs", false), ("special", false)]),
    ("/access/acl", &[("path", false), ("roleid", false), ("type", false), ("ugid", false), ("propagate", false)]),
    ("/access/domains", &[("realm", false), ("type", false), ("comment", false), ("tfa", false)]),
    ("/pools", &[("poolid", false), ("comment", false)]),
];

/// Prints the result of a call on `path`.
pub fn print(path: &str, value: &Value, format: &Format) {
    if format.quiet || value.is_null() {
        return;
    }
    put(text(path, value, format, unicode()));
}

/// Whether the locale has box letters.
fn unicode() -> bool {
    let named = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    named.is_some_and(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}

fn text(path: &str, value: &Value, format: &Format, unicode: bool) -> String {
    match (format.kind.as_str(), value) {
        ("json", _) => format!("{value}\n"),
        ("json-pretty", _) => pretty(value, 0) + "\n",
        ("yaml", _) => format!("---\n{}", yaml(value)),
        (_, Value::Array(rows)) => list(path, rows, format, unicode),
        (_, Value::Object(map)) => pairs(map, format, unicode),
        (_, other) => cell(Some(other)) + "\n",
    }
}

fn list(path: &str, rows: &[Value], format: &Format, unicode: bool) -> String {
    let known = COLUMNS.iter().find(|(known, _)| *known == path).map(|(_, columns)| columns.to_vec());
    let columns = known.unwrap_or_else(|| found_columns(rows));
    if columns.is_empty() {
        return rows.iter().map(|row| cell(Some(row)) + "\n").collect();
    }
    let mut cells: Vec<Vec<String>> =
        rows.iter().map(|row| columns.iter().map(|(name, _)| cell(row.get(*name))).collect()).collect();
    if path != "/access/acl" {
        cells.sort();
    }
    draw(&columns, &cells, format, unicode)
}

/// All keys of all rows; names live as long as the program, which prints once and ends.
fn found_columns(rows: &[Value]) -> Vec<Column> {
    let mut names: Vec<String> = rows.iter().filter_map(Value::as_object).flat_map(|row| row.keys().cloned()).collect();
    names.sort();
    names.dedup();
    names.into_iter().map(|name| (&*name.leak(), false)).collect()
}

fn pairs(map: &Map<String, Value>, format: &Format, unicode: bool) -> String {
    let rows: Vec<Vec<String>> = map.iter().map(|(key, value)| vec![key.clone(), cell(Some(value))]).collect();
    draw(&[("key", false), ("value", false)], &rows, format, unicode)
}

/// JSON as Perl's pretty printer writes it: three spaces a level, a space on both sides of the colon.
fn pretty(value: &Value, depth: usize) -> String {
    let (outer, inner) = ("   ".repeat(depth), "   ".repeat(depth + 1));
    match value {
        Value::Array(items) if !items.is_empty() => {
            let lines: Vec<String> = items.iter().map(|item| format!("{inner}{}", pretty(item, depth + 1))).collect();
            format!("[\n{}\n{outer}]", lines.join(",\n"))
        }
        Value::Object(map) if !map.is_empty() => {
            let lines: Vec<String> = map
                .iter()
                .map(|(key, item)| format!("{inner}{} : {}", Value::from(key.as_str()), pretty(item, depth + 1)))
                .collect();
            format!("{{\n{}\n{outer}}}", lines.join(",\n"))
        }
        other => other.to_string(),
    }
}

/// Enough YAML for lists of flat objects and for objects.
fn yaml(value: &Value) -> String {
    let flat = |map: &Map<String, Value>, first: &str| {
        let lines = map.iter().enumerate().map(|(index, (key, item))| {
            let lead = if index == 0 { first } else { "  " };
            let lead = if first.is_empty() { "" } else { lead };
            format!("{lead}{key}: {}\n", cell(Some(item)))
        });
        lines.collect::<String>()
    };
    match value {
        Value::Array(items) if items.is_empty() => "[]\n".to_owned(),
        Value::Array(items) => items
            .iter()
            .map(|item| item.as_object().map_or_else(|| format!("- {}\n", cell(Some(item))), |map| flat(map, "- ")))
            .collect(),
        Value::Object(map) => flat(map, ""),
        other => cell(Some(other)) + "\n",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_table_is_drawn_as_recorded() {
        let groups = json!([{"groupid": "admins", "comment": "new", "users": ""}]);
        insta::assert_snapshot!(text("/access/groups", &groups, &Format::default(), false), @r"
        +---------+---------+-------+
        | groupid | comment | users |
        +=========+=========+=======+
        | admins  | new     |       |
        +---------+---------+-------+
        ");
        let token =
            json!({"full-tokenid": "alice@pve!past", "info": {"expire": "1000", "privsep": 1}, "value": "ad35594a"});
        insta::assert_snapshot!(text("", &token, &Format::default(), true), @r#"
        ┌──────────────┬───────────────────────────────┐
        │ key          │ value                         │
        ╞══════════════╪═══════════════════════════════╡
        │ full-tokenid │ alice@pve!past                │
        ├──────────────┼───────────────────────────────┤
        │ info         │ {"expire":"1000","privsep":1} │
        ├──────────────┼───────────────────────────────┤
        │ value        │ ad35594a                      │
        └──────────────┴───────────────────────────────┘
        "#);
    }

    #[test]
    fn pretty_json_is_perls() {
        let value = json!({"full-tokenid": "alice@pve!ci2", "info": {"privsep": "0"}});
        insta::assert_snapshot!(pretty(&value, 0), @r#"
        {
           "full-tokenid" : "alice@pve!ci2",
           "info" : {
              "privsep" : "0"
           }
        }
        "#);
    }

    #[test]
    fn yaml_is_flat() {
        let value = json!([{"enable": 1, "userid": "root@pam"}]);
        assert_eq!(
            text("", &value, &Format { kind: "yaml".to_owned(), ..Format::default() }, false),
            "---\n- enable: 1\n  userid: root@pam\n"
        );
    }
}
