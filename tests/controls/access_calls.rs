//! Every call of `pveum` that the program can make, held against PVE's own API schema.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use pve_harden::change::Action;
use pve_harden::change::access::{AccessCall, Grants, UserSettings};
use serde_json::Value;

use super::access::{example, node, steps_of};
use super::{asked, control, model};

const SCHEMA: &str = include_str!("../pve-sim/data/api-schema-9.1.json");

/// `pveum` words → method, path, positional parameters (pve-access-control, `src/PVE/CLI/pveum.pm`).
const COMMANDS: &[(&str, &str, &str, &[&str])] = &[
    ("role add", "POST", "/access/roles", &["roleid"]),
    ("role modify", "PUT", "/access/roles/{roleid}", &["roleid"]),
    ("role delete", "DELETE", "/access/roles/{roleid}", &["roleid"]),
    ("group add", "POST", "/access/groups", &["groupid"]),
    ("group modify", "PUT", "/access/groups/{groupid}", &["groupid"]),
    ("group delete", "DELETE", "/access/groups/{groupid}", &["groupid"]),
    ("pool add", "POST", "/pools", &["poolid"]),
    ("pool modify", "PUT", "/pools/{poolid}", &["poolid"]),
    ("pool delete", "DELETE", "/pools/{poolid}", &["poolid"]),
    ("user add", "POST", "/access/users", &["userid"]),
    ("user modify", "PUT", "/access/users/{userid}", &["userid"]),
    ("user delete", "DELETE", "/access/users/{userid}", &["userid"]),
    ("user token add", "POST", "/access/users/{userid}/token/{tokenid}", &["userid", "tokenid"]),
    ("user token modify", "PUT", "/access/users/{userid}/token/{tokenid}", &["userid", "tokenid"]),
    ("user token delete", "DELETE", "/access/users/{userid}/token/{tokenid}", &["userid", "tokenid"]),
    ("acl modify", "PUT", "/access/acl", &["path"]),
    ("acl delete", "PUT", "/access/acl", &["path"]),
    ("realm modify", "PUT", "/access/domains/{realm}", &["realm"]),
];

/// Why PVE's schema would refuse a call.
fn refused(schema: &Value, call: &AccessCall) -> Option<String> {
    refused_words(schema, &call.words())
}

fn refused_words(schema: &Value, words: &[String]) -> Option<String> {
    let line = words.join(" ");
    let Some((command, method, path, places)) =
        COMMANDS.iter().find(|(command, ..)| line.starts_with(&format!("{command} ")))
    else {
        return Some(format!("no such command: {line}"));
    };
    let properties = &schema["paths"][path][method]["parameters"]["properties"];
    let mut given: BTreeMap<String, String> = BTreeMap::new();
    let rest = &words[command.split(' ').count()..];
    for (place, word) in places.iter().zip(rest) {
        given.insert((*place).into(), word.clone());
    }
    for option in &rest[places.len()..] {
        let Some((name, value)) = option.strip_prefix("--").and_then(|option| option.split_once('=')) else {
            return Some(format!("no option: {option}"));
        };
        // Of the command line, not of the API.
        if name == "output-format" {
            continue;
        }
        if given.insert(name.into(), value.into()).is_some() {
            return Some(format!("{name} twice"));
        }
    }
    let missing =
        properties.as_object()?.iter().find(|(name, property)| property["optional"] != 1 && !given.contains_key(*name));
    if let Some((name, _)) = missing {
        return Some(format!("{line}: {name} is missing"));
    }
    given.iter().find_map(|(name, value)| unfit(&properties[name], value).map(|why| format!("{line}: {name}: {why}")))
}

fn unfit(property: &Value, value: &str) -> Option<String> {
    match property["type"].as_str() {
        None => return Some("no such parameter".into()),
        Some("boolean") if !["0", "1"].contains(&value) => return Some("no boolean".into()),
        Some("integer") => match value.parse::<i64>() {
            Ok(number) if number >= property["minimum"].as_i64().unwrap_or(i64::MIN) => {}
            _ => return Some("no such integer".into()),
        },
        _ => {}
    }
    let longest = property["maxLength"].as_u64().unwrap_or(u64::MAX);
    (value.chars().count() as u64 > longest).then(|| "too long".to_owned())
}

/// Panics with the first call that PVE's schema would refuse.
pub fn all_taken<'a>(calls: impl IntoIterator<Item = &'a AccessCall>) {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let refused: Vec<String> = calls.into_iter().filter_map(|call| refused(&schema, call)).collect();
    assert!(refused.is_empty(), "{refused:?}");
}

fn words(words: &[&str]) -> BTreeSet<String> {
    words.iter().map(ToString::to_string).collect()
}

/// One of each kind, with everything it can carry.
fn one_of_each() -> Vec<AccessCall> {
    let text = |word: &str| word.to_owned();
    let settings = || UserSettings {
        enabled: Some(true),
        expires: Some(1),
        first_name: Some(text("A")),
        last_name: Some(text("B")),
        email: Some(text("a@example.com")),
        comment: Some(text("c")),
        groups: Some(words(&["g", "h"])),
        append: false,
    };
    let grants = || Grants { path: text("/vms"), roles: words(&["R"]), subjects: words(&["a@pve", "@g", "a@pve!ci"]) };
    let appended = UserSettings { append: true, groups: Some(words(&["g"])), ..UserSettings::default() };
    vec![
        AccessCall::RoleAdd { role: text("R"), privileges: words(&["VM.Audit"]) },
        AccessCall::RoleModify { role: text("R"), privileges: words(&[]) },
        AccessCall::RoleDelete { role: text("R") },
        AccessCall::GroupAdd { group: text("g"), comment: text("c") },
        AccessCall::GroupModify { group: text("g"), comment: text("") },
        AccessCall::GroupDelete { group: text("g") },
        AccessCall::PoolAdd { pool: text("p/q"), comment: text("c") },
        AccessCall::PoolModify { pool: text("p"), comment: text("") },
        AccessCall::PoolJoin { pool: text("p"), guests: [100, 101].into(), storages: words(&["s1"]) },
        AccessCall::PoolLeave { pool: text("p"), guests: [100].into(), storages: words(&[]) },
        AccessCall::PoolDelete { pool: text("p") },
        AccessCall::UserAdd { user: text("a@pve"), settings: settings() },
        AccessCall::UserModify { user: text("a@pve"), settings: settings() },
        AccessCall::UserModify { user: text("a@pve"), settings: appended },
        AccessCall::UserDelete { user: text("a@pve") },
        AccessCall::TokenModify {
            token: text("a@pve!ci"),
            expires: Some(9),
            separated: Some(true),
            comment: Some(text("c")),
        },
        AccessCall::TokenDelete { token: text("a@pve!ci") },
        AccessCall::AclSet { grants: grants(), propagate: false },
        AccessCall::AclDelete { grants: grants() },
        AccessCall::RealmModify {
            realm: text("corp"),
            comment: Some(text("c")),
            default: Some(true),
            settings: [
                ("tfa", "type=oath"),
                ("mode", "ldaps"),
                ("verify", "1"),
                ("check-connection", "1"),
                ("autocreate", "0"),
            ]
            .map(|(name, value)| (text(name), text(value)))
            .into(),
        },
        AccessCall::RealmModify {
            realm: text("pve"),
            comment: Some(text("")),
            default: None,
            settings: [(text("tfa"), text(""))].into(),
        },
        AccessCall::RootLogin { enabled: false },
        AccessCall::RootLogin { enabled: true },
    ]
}

/// Fails to compile when a call is added that the walk does not know.
fn kind(call: &AccessCall) -> u8 {
    match call {
        AccessCall::RoleAdd { .. } => 0,
        AccessCall::RoleModify { .. } => 1,
        AccessCall::RoleDelete { .. } => 2,
        AccessCall::GroupAdd { .. } => 3,
        AccessCall::GroupModify { .. } => 4,
        AccessCall::GroupDelete { .. } => 5,
        AccessCall::PoolAdd { .. } => 6,
        AccessCall::PoolModify { .. } => 7,
        AccessCall::PoolJoin { .. } => 8,
        AccessCall::PoolLeave { .. } => 9,
        AccessCall::PoolDelete { .. } => 10,
        AccessCall::UserAdd { .. } => 11,
        AccessCall::UserModify { .. } => 12,
        AccessCall::UserDelete { .. } => 13,
        AccessCall::TokenModify { .. } => 14,
        AccessCall::TokenDelete { .. } => 15,
        AccessCall::AclSet { .. } => 16,
        AccessCall::AclDelete { .. } => 17,
        AccessCall::RealmModify { .. } => 18,
        AccessCall::RootLogin { .. } => 19,
    }
}

#[test]
fn every_kind_of_call_is_one_that_pve_takes() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let calls = one_of_each();
    assert_eq!(calls.iter().map(kind).collect::<BTreeSet<_>>().len(), 20);
    for call in calls {
        assert_eq!(refused(&schema, &call), None);
    }
    let wrong = AccessCall::RoleModify { role: "x".repeat(3), privileges: words(&["a"]) };
    let mut broken = schema.clone();
    broken["paths"]["/access/roles/{roleid}"]["PUT"]["parameters"]["properties"] =
        serde_json::json!({"roleid": {"type": "string"}});
    assert!(refused(&broken, &wrong).is_some(), "the walk can fail");
}

#[test]
fn every_call_of_the_examples_and_every_undo_is_one_that_pve_takes() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let mut seen = 0;
    for name in ["teams", "service-accounts", "crossplane"] {
        let policy = example(name);
        let mut facts = asked(node(9), &policy);
        for id in ["access.roles", "access.groups", "access.pools", "access.users", "access.acls"] {
            let wanted = steps_of(&control(id).evaluate(&facts, &policy));
            facts = model::apply(&facts, &wanted);
            for change in wanted {
                let Action::PveAccess { steps } = change.action else { panic!("{change:?}") };
                for call in steps.iter().flat_map(|step| std::iter::once(&step.call).chain(&step.undo)) {
                    assert_eq!(refused(&schema, call), None, "{name}");
                    seen += 1;
                }
            }
        }
    }
    assert!(seen > 60, "{seen}");
}

/// What the verbs that give or carry a secret say to PVE.
#[test]
fn every_call_of_a_token_is_one_that_pve_takes() {
    use pve_harden::access::rotation::Making;
    use pve_harden::apply::tokens::{self, Ending};
    let mut schema: Value = serde_json::from_str(SCHEMA).unwrap();
    // Came with PVE 9.1, after the schema was taken (pve-access-control, `update_token_info`).
    schema["paths"]["/access/users/{userid}/token/{tokenid}"]["PUT"]["parameters"]["properties"]["regenerate"] =
        serde_json::json!({"type": "boolean", "optional": 1});
    let new = Making {
        id: "svc@pve!ci-20261122".into(),
        expires: 1,
        days: 90,
        separated: true,
        purpose: "p; owner o".into(),
        made: None,
        rotated: "2026-11-22".parse().ok(),
        rights: vec![AccessCall::AclSet {
            grants: Grants { path: "/vms".into(), roles: words(&["R"]), subjects: words(&["svc@pve!ci-20261122"]) },
            propagate: true,
        }],
        leftovers: vec!["svc@pve!ci-20261121".into()],
    };
    let secret = pve_harden::secret::Secret::new("5625fe8e-cb54-44dc-9930-286b5d4770ce");
    let all = [
        tokens::make(&new, "o"),
        tokens::prove(&new, &secret),
        tokens::regenerate(&new, "o"),
        tokens::in_use(&new.id, "c", "o"),
        tokens::end(&new.id, Ending::Revoked, "o"),
        tokens::end(&new.id, Ending::At(1), "o"),
    ];
    let lines: Vec<Vec<String>> =
        all.iter().flat_map(pve_harden::apply::calls::Calls::words).map(|(_, words)| words).collect();
    assert_eq!(lines.len(), 8, "{lines:?}");
    let passwords = pve_harden::apply::passwords::of_user("svc@pve", &secret, "o").words();
    for (_, words) in &passwords {
        let (method, rest) = (if words[0] == "set" { "PUT" } else { "POST" }, &words[2..]);
        let properties = &schema["paths"][&words[1]][method]["parameters"]["properties"];
        for option in rest {
            let (name, value) = option.strip_prefix("--").unwrap().split_once('=').unwrap();
            assert_eq!(unfit(&properties[name], value), None, "{option}");
        }
    }
    assert!(passwords.len() == 2 && !format!("{passwords:?}").contains("5625fe8e"));
    for words in &lines {
        assert_eq!(refused_words(&schema, words), None);
    }
    assert!(!format!("{all:?}{lines:?}").contains("5625fe8e"));
}

/// Why PVE's schema would refuse words of `pvesh`.
fn refused_pvesh(schema: &Value, words: &[String]) -> Option<String> {
    let method = match words[0].as_str() {
        "get" => "GET",
        "set" => "PUT",
        "create" => "POST",
        "delete" => "DELETE",
        other => return Some(format!("no such verb: {other}")),
    };
    let parts = |path: &str| path.split('/').map(str::to_owned).collect::<Vec<_>>();
    let asked = parts(&words[1]);
    let is_place = |part: &str| part.starts_with('{');
    let fits = |path: &&String| {
        let known = parts(path);
        known.len() == asked.len() && known.iter().zip(&asked).all(|(known, asked)| is_place(known) || known == asked)
    };
    let Some(path) = schema["paths"].as_object()?.keys().find(fits) else {
        return Some(format!("no such path: {}", words[1]));
    };
    let properties = &schema["paths"][path][method]["parameters"]["properties"];
    let mut given: BTreeMap<String, String> = BTreeMap::new();
    for (known, asked) in parts(path).iter().zip(&asked).filter(|(known, _)| is_place(known)) {
        given.insert(known.trim_matches(['{', '}']).to_owned(), asked.clone());
    }
    for option in &words[2..] {
        let (name, value) = option.strip_prefix("--")?.split_once('=')?;
        if name != "output-format" {
            given.insert(name.into(), value.into());
        }
    }
    let missing =
        properties.as_object()?.iter().find(|(name, rules)| rules["optional"] != 1 && !given.contains_key(*name));
    if let Some((name, _)) = missing {
        return Some(format!("{words:?}: {name} is missing"));
    }
    given.iter().find_map(|(name, value)| {
        let rules = &properties[name];
        let listed = rules["enum"].as_array().is_none_or(|all| all.iter().any(|one| one == value.as_str()));
        let why = unfit(rules, value).or_else(|| (!listed).then(|| "not one of the list".to_owned()));
        why.map(|why| format!("{words:?}: {name}: {why}"))
    })
}

/// What an enrolment says to PVE.
#[test]
fn every_call_of_an_enrolment_is_one_that_pve_takes() {
    use pve_harden::access::enrolment::{Factor, LONGEST, UNFINISHED};
    use pve_harden::apply::{calls::Calls, factors};
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let secret = |text: &str| pve_harden::secret::Secret::new(text);
    let (uri, code) = (secret("otpauth://totp/x?secret=SENTINEL"), secret("471147"));
    let words = "x".repeat(LONGEST);
    let factor = Factor {
        id: "ad6c054c-dcba-41ad-bc54-7a41fc88f50e".into(),
        kind: "totp".into(),
        description: words.clone(),
        created: 1,
        enable: true,
    };
    let marked = [(factor.id.clone(), words.clone())];
    let all = [
        factors::list("a@pve"),
        factors::add("a@pve", &format!("{words}{UNFINISHED}"), &uri, &code, "me"),
        factors::end("a@pve", &[&factor.id], "me"),
        factors::recovery("a@pve", Some(&factor), true, "me"),
        factors::finish("a@pve", &marked, "me"),
        factors::discard("a@pve", &marked, "me"),
    ];
    let calls: Vec<(&str, Vec<String>)> = all.iter().flat_map(Calls::words).collect();
    assert_eq!(calls.len(), 12, "{calls:?}");
    for (program, words) in &calls {
        assert_eq!((*program, refused_pvesh(&schema, words)), ("pvesh", None));
    }
    let unmark = factors::unmark("a@pve").words();
    assert_eq!(refused_words(&schema, &unmark[0].1), None, "{unmark:?}");
    let shown = format!("{all:?}{calls:?}");
    assert!(!shown.contains("SENTINEL") && !shown.contains("471147"), "{shown}");
    let wrong = |words: &[&str]| refused_pvesh(&schema, &words.iter().map(ToString::to_string).collect::<Vec<_>>());
    assert!(wrong(&["create", "/access/tfa/a@pve", "--type=oath"]).is_some(), "the walk can fail");
    assert!(wrong(&["create", "/access/tfa/a@pve"]).is_some() && wrong(&["get", "/access/2fa"]).is_some());
}

proptest! {
    /// A POSIX shell gives `pveum` exactly the words that were meant, whatever stands in them.
    #[test]
    fn words_reach_a_program_as_they_are(comment in "[ -~\\n\\t'\"!$`\\\\ü]{0,40}") {
        let call = AccessCall::GroupAdd { group: "g".into(), comment: comment.clone() };
        let line: Vec<String> = call.words().iter().map(|word| pve_harden::transport::quote::shell(word)).collect();
        let said = std::process::Command::new("sh").arg("-c").arg(format!("printf '%s\\0' {}", line.join(" "))).output().unwrap();
        let words: Vec<String> = said.stdout.split(|byte| *byte == 0).map(|word| String::from_utf8(word.to_vec()).unwrap()).collect();
        prop_assert_eq!(&words[..words.len() - 1], call.words());
    }
}
