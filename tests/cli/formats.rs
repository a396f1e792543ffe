//! Every format of `check` against its own definition, also for a node whose every word is an attack.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::support::run::{Run, SITE, recorded};

/// What a node may say to harm its reader.
const HOSTILE: &str = "<script>alert(1)</script>\"'>]]>&amp;\u{1b}[2J\u{202e}\u{fffe}</td>{\"a\":1} -- END";

/// A waiver, so that suppressions are part of what is judged.
const WAIVER: &str = "\n[[waiver]]\ncontrol = \"ssh.limits\"\nnode = \"fresh9\"\nowner = \"O <b>\"\nreason = \"r & ]]>\"\nexpires = 2099-01-01\n";

fn schema(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schemas").join(name)
}

/// The recorded node with banners, names and file contents replaced by attacks wherever they are text.
fn hostile_capture() -> String {
    let mut capture: Value = serde_json::from_slice(&std::fs::read(recorded("fresh9.json")).unwrap()).unwrap();
    let mut spoiled = 0;
    for (name, section) in capture["sections"].as_object_mut().unwrap() {
        let text = section["body"]["text"].as_str().unwrap();
        if name.starts_with("sshd.case.") || name == "sshd.global" || name == "sshd.version" {
            let hostile = text.lines().map(|line| format!("{line} {HOSTILE}\n")).collect::<Vec<_>>().concat();
            section["body"]["text"] = hostile.into();
            spoiled += 1;
        }
    }
    assert!(spoiled > 2, "too little was spoiled");
    capture.to_string()
}

fn check(format: &str, capture: Option<&str>) -> String {
    check_with(&["check", "--format", format], capture)
}

fn check_with(arguments: &[&str], capture: Option<&str>) -> String {
    let run = Run::new(arguments).file("site.toml", format!("{SITE}{WAIVER}"));
    let done = match capture {
        None => run.capture("fresh9.json").done(),
        Some(content) => {
            let run = Run::new(&[arguments, &["--capture", "node.json"]].concat());
            run.file("site.toml", format!("{SITE}{WAIVER}")).file("node.json", content).done()
        }
    };
    assert_eq!(done.code, Some(1), "{}", done.shown());
    done.stdout
}

/// A PVE 8 node with `--against pve9`, with a role in an attacker's words among what changes meaning.
fn against(format: &str) -> String {
    const PATH: &str = "/etc/pve/user.cfg";
    let mut capture: Value = serde_json::from_slice(&std::fs::read(recorded("fresh8.json")).unwrap()).unwrap();
    let mut text = |section: &str, change: &dyn Fn(&str) -> String| {
        let text = &mut capture["sections"][section]["body"]["text"];
        let changed = change(text.as_str().unwrap());
        assert_ne!(Some(changed.as_str()), text.as_str(), "{section}");
        *text = changed.into();
    };
    let old = "user:root@pam:1:0:::root@fresh8.lab.test::\n";
    let new = format!("role:{}:VM.Monitor:\n{old}", HOSTILE.replace(':', ""));
    text("files.text", &|all| all.replacen(old, &new, 1));
    let lines = |all: &str, change: &dyn Fn(&str) -> String| {
        let line = |line: &str| if line.contains(PATH) { change(line) } else { line.to_owned() };
        all.lines().map(|one| line(one) + "\n").collect::<String>()
    };
    let (was, is) = (format!("\t{}\t", old.len()), format!("\t{}\t", new.len()));
    text("files.list", &|all| lines(all, &|line| line.replacen(&was, &is, 1)));
    let digest = Sha256::digest(new.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
    text("files.digests", &|all| lines(all, &|_| format!("{digest}  {PATH}")));
    check_with(&["check", "--against", "pve9", "--format", format], Some(&capture.to_string()))
}

fn assert_valid(schema: &Value, document: &str) {
    let validator = jsonschema::validator_for(schema).unwrap();
    let document: Value = serde_json::from_str(document).unwrap();
    let errors: Vec<String> =
        validator.iter_errors(&document).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}");
}

#[test]
fn json_is_what_its_published_schema_says() {
    let schema: Value = serde_json::from_str(&Run::new(&["profile", "schema", "--report"]).done().stdout).unwrap();
    assert_valid(&schema, &check("json", None));
    assert_valid(&schema, &check("json", Some(&hostile_capture())));
    assert_valid(&schema, &against("json"));
}

#[test]
fn sarif_is_valid() {
    let mut schema: Value = serde_json::from_slice(&std::fs::read(schema("sarif-2.1.0.json")).unwrap()).unwrap();
    // Its pattern for `language` is no regular expression of ECMA 262; we do not write that property.
    for owner in ["run", "toolComponent"] {
        let language = &mut schema["definitions"][owner]["properties"]["language"];
        assert_eq!(language["pattern"], "^[a-zA-Z]{2}|^[a-zA-Z]{2}-[a-zA-Z]{2}]?$");
        language.as_object_mut().unwrap().remove("pattern");
    }
    assert_valid(&schema, &check("sarif", None));
    assert_valid(&schema, &check("sarif", Some(&hostile_capture())));
    let upgrade = against("sarif");
    assert_valid(&schema, &upgrade);
    assert!(upgrade.contains("role <script>") && upgrade.contains("\"ruleId\": \"upgrade.pve9\""), "{upgrade}");
    // With a framework every reference to a requirement leads to the requirement.
    let text = check_with(&["check", "--format", "sarif", "--framework", "cis"], None);
    assert_valid(&schema, &text);
    let log: Value = serde_json::from_str(&text).unwrap();
    let run = &log["runs"][0];
    assert_eq!(run["tool"]["driver"]["supportedTaxonomies"][0]["name"], run["taxonomies"][0]["name"]);
    let mut referred = 0;
    for result in run["results"].as_array().unwrap() {
        for taxon in result["taxa"].as_array().into_iter().flatten() {
            let index = usize::try_from(taxon["index"].as_u64().unwrap()).unwrap();
            let meant = &run["taxonomies"][0]["taxa"][index];
            assert_eq!(meant["id"], taxon["id"]);
            assert!(meant["properties"]["nodes"]["fresh9"].is_string(), "{meant}");
            referred += 1;
        }
    }
    assert!(referred > 20, "{referred}");
}

#[test]
fn junit_is_valid() {
    if Command::new("xmllint").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "xmllint is missing (package libxml2-utils)");
        eprintln!("SKIPPED: xmllint is missing (package libxml2-utils)");
        return;
    }
    let framework = check_with(&["check", "--format", "junit", "--framework", "checklist"], None);
    let rows = framework.matches("classname=\"fresh9.checklist\"").count();
    assert!(rows > 20 && framework.contains("<skipped message=\"outside: "), "{rows} rows\n{framework}");
    let upgrade = against("junit");
    let suite = "<testsuite name=\"fresh8: what PVE 9 makes of it\"";
    assert!(upgrade.contains(suite) && upgrade.contains("name=\"role &lt;script&gt;"), "{upgrade}");
    for xml in [check("junit", None), check("junit", Some(&hostile_capture())), framework, upgrade] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("report.xml");
        std::fs::write(&file, &xml).unwrap();
        let lint = Command::new("xmllint")
            .args(["--noout", "--nonet", "--schema"])
            .arg(schema("junit-10.xsd"))
            .arg(&file)
            .output()
            .unwrap();
        assert!(lint.status.success(), "{}\n{xml}", String::from_utf8_lossy(&lint.stderr));
    }
}

#[test]
fn a_hostile_node_changes_nothing_but_its_own_text() {
    let capture = hostile_capture();
    for format in ["text", "html", "junit", "sarif"] {
        let report = check(format, Some(&capture));
        for forbidden in ["\u{1b}", "\u{202e}", "\u{fffe}"] {
            assert!(!report.contains(forbidden), "{format} holds {forbidden:?}");
        }
        if format == "html" || format == "junit" {
            assert!(!report.contains("<script>alert"), "{format}");
        }
    }
}
