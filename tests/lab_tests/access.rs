//! The shipped examples of `profiles/examples` on nodes: applied, content, and taken back.

use std::path::Path;

use crate::support::lab::Lab;

fn example(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("profiles/examples/{name}.toml")).to_string_lossy().into_owned()
}

/// user.cfg without the order of its lines.
fn user_cfg(lab: &Lab) -> Vec<String> {
    let text = lab.on("pve1", "cat /etc/pve/user.cfg");
    let mut lines: Vec<String> =
        text.lines().map(|line| line.trim_end_matches(':').to_owned()).filter(|line| !line.is_empty()).collect();
    lines.sort();
    lines
}

fn permissions(lab: &Lab, subject: &str, path: &str) -> String {
    let said = lab.on("pve1", &format!("pveum user permissions '{subject}' --path {path} --output-format json"));
    let json: serde_json::Value = serde_json::from_str(&said).unwrap();
    json[path].as_object().map(|of| of.keys().cloned().collect::<Vec<_>>().join(",")).unwrap_or_default()
}

/// What the examples name.
const SINKS: &str = r#"
[[sink]]
name = "service-accounts"
env = "{token}.env"

[[sink]]
name = "crossplane"
kubernetes = "proxmox-credentials.yaml"
namespace = "crossplane-system"
"#;

/// The tokens of an example work with what lies in their sinks, and are of the kind that was asked for.
fn tokens_work(lab: &Lab, name: &str) {
    let folder = lab.site.parent().unwrap();
    let read = |file: &str| std::fs::read_to_string(folder.join(file)).unwrap();
    let stored: Vec<(String, String)> = match name {
        "service-accounts" => ["automation", "monitoring"]
            .map(|token| {
                let text = read(&format!("{token}.env"));
                let value = |word: &str| {
                    let start = format!("PROXMOX_PVE1_TOKEN_{word}='");
                    let line = text.lines().find_map(|line| line.strip_prefix(&start)).unwrap();
                    line.trim_end_matches('\'').to_owned()
                };
                (value("ID"), value("SECRET"))
            })
            .into(),
        "crossplane" => {
            let text = read("proxmox-credentials.yaml");
            assert!(
                text.starts_with(
                    "apiVersion: v1\nkind: Secret\nmetadata:\n  name: proxmox-credentials\n  namespace: crossplane-system\n"
                ),
                "{}",
                text.replace('=', " ")
            );
            let scalar = text.lines().find_map(|line| line.strip_prefix("  credentials.json: ")).unwrap();
            let json: String = serde_json::from_str(scalar).unwrap();
            let json: serde_json::Value = serde_json::from_str(&json).unwrap();
            assert_eq!(json["username"], "svc-crossplane@pve");
            let (id, secret) = json["token"].as_str().unwrap().rsplit_once('=').unwrap();
            vec![(id.to_owned(), secret.to_owned())]
        }
        _ => Vec::new(),
    };
    let cfg = lab.on("pve1", "cat /etc/pve/priv/token.cfg 2>/dev/null || true");
    assert_eq!(cfg.lines().count(), stored.len(), "{name}");
    for (id, secret) in stored {
        assert!(cfg.contains(&format!("{id} {secret}")), "{id}: the sink has PVE's secret");
        let line = lab.on("pve1", &format!("grep -F 'token:{id}:' /etc/pve/user.cfg"));
        let fields: Vec<&str> = line.trim().split(':').collect();
        assert!(fields[2].parse::<u64>().unwrap() > 0 && fields[3] == "1", "{line}");
        assert!(fields[4].contains("owner") && !fields[4].contains("storing"), "{line}");
        assert_eq!(lab.token_status("pve1", &id, &secret), "200", "{id}");
    }
}

fn examples_come_and_go(test: &str, options: &[&str], monitor: &str) {
    let Some(lab) = Lab::up(test, &["pve1"], options) else { return };
    lab.harden(&["apply", "pve1", "--yes", "--control", "accounts.*"]).exits(0);
    lab.on("pve1", "pveum user add mine@pve --comment 'somebody'\\''s own' && pveum acl modify /vms --users mine@pve --roles PVEAuditor");
    let before = user_cfg(&lab);
    lab.add_to_site(SINKS);
    for name in ["teams", "service-accounts", "crossplane"] {
        let profile = example(name);
        let with = |verb: &[&str]| {
            let rest = ["--profile", &profile, "--control", "access.*"];
            lab.harden(&verb.iter().copied().chain(rest).collect::<Vec<_>>())
        };
        let applied = with(&["apply", "pve1", "--yes"]).exits(0);
        assert!(applied.stdout.contains("permissions: "), "{}", applied.stdout);
        assert_ne!(user_cfg(&lab), before, "{name}");
        tokens_work(&lab, name);
        let again = with(&["apply", "pve1", "--yes"]).exits(0);
        assert!(again.stdout.contains("0 changes") && !again.stdout.contains("by hand"), "{name}: {}", again.stdout);
        if name == "teams" {
            let audit = format!("Mapping.Audit,Pool.Audit{monitor}");
            assert!(permissions(&lab, "betty@pve", "/pool/ExtWebSer").contains("VM.Console"));
            assert_eq!(permissions(&lab, "betty@pve", "/pool/IntWebSer"), "");
            assert!(permissions(&lab, "nancy@pve", "/pool/IntWebSer").starts_with(&audit));
            assert!(permissions(&lab, "nancy@pve", "/pool/IntWebSer").contains("VM.PowerMgmt"));
            assert!(permissions(&lab, "bob@pve", "/vms/100").contains("Permissions.Modify"));
        }
        lab.harden(&["rollback", "pve1", "--yes"]).exits(0);
        assert_eq!(user_cfg(&lab), before, "{name}");
        assert_eq!(lab.on("pve1", "cat /etc/pve/priv/token.cfg 2>/dev/null || true"), "", "{name}: no secret is left");
    }
}

#[test]
fn examples_come_and_go_on_pve_9() {
    examples_come_and_go("access-nine", &[], ",Sys.Audit");
}

#[test]
fn examples_come_and_go_on_pve_8() {
    examples_come_and_go("access-eight", &["--pve", "8"], "");
}

/// A call that PVE refuses half way: what was done before it is taken back, and nothing else.
#[test]
fn a_call_that_fails_takes_the_others_back() {
    let Some(lab) = Lab::up("access-fails", &["pve1"], &[]) else { return };
    lab.harden(&["apply", "pve1", "--yes", "--control", "accounts.*"]).exits(0);
    let before = user_cfg(&lab);
    // The third group cannot be made: somebody else's pveum stands in the way.
    lab.on(
        "pve1",
        "printf '#!/bin/sh\\n[ \"$2 $3\" != \"add int-web-devs\" ] || { echo refused by hand >&2; exit 255; }\\nexec /usr/sbin/pveum \"$@\"\\n' >/usr/local/sbin/pveum && chmod 755 /usr/local/sbin/pveum",
    );
    let said =
        lab.harden(&["apply", "pve1", "--yes", "--profile", &example("teams"), "--control", "access.*"]).exits(5);
    assert!(
        said.stderr.contains("refused by hand") || said.stdout.contains("refused by hand"),
        "{}{}",
        said.stdout,
        said.stderr
    );
    lab.on("pve1", "rm /usr/local/sbin/pveum");
    assert_eq!(user_cfg(&lab), before);
}
