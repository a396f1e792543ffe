//! Tokens that `apply` makes from the list in the site, into a manifest and a program's input.

use std::path::{Path, PathBuf};

use crate::lab_tests::watch;
use crate::support::lab::Lab;

/// Names and comments that a shell, a file of colons or a YAML file could take for something else.
const SITE: &str = r#"
[[sink]]
name = "kube"
kubernetes = "FOLDER/{token}.yaml"
namespace = "crossplane-system"
secret = "pve"

[[sink]]
name = "vault"
command = ["sh", "FOLDER/vault.sh", "FOLDER", "{host} {user} {token}"]
check = ["test", "-e", "FOLDER/vault.sh"]

[[access.user]]
id = "o'neil@pve"
comment = "it's $(id) \"quoted\" & more"

[[access.acl]]
path = "/vms"
role = "PVEAuditor"
users = ["o'neil@pve"]
tokens = ["o'neil@pve!backup", "o'neil@pve!ci"]

[[access.token]]
id = "o'neil@pve!ci"
owner = "O'Neil \"the\" owner"
purpose = "CI of $(id) & `x`: 100% <b>"
sink = "kube"
days = 7

[[access.token]]
id = "o'neil@pve!backup"
owner = "O'Neil"
purpose = "two  spaces, #hash; done"
sink = "vault"
"#;

/// Stands for the client of a vault: refuses when it is told to, and keeps what it read and what it was started with.
const VAULT: &str = "umask 077\n[ ! -e \"$1/refuse\" ] || { echo sealed >&2; exit 3; }\ncat >\"$1/vault.json\"\ntr '\\0' ' ' </proc/$$/cmdline >\"$1/vault.argv\"\n";

const APPLY: [&str; 7] = ["apply", "pve1", "--yes", "--control", "accounts.*", "--control", "access.*"];

fn folder(lab: &Lab) -> PathBuf {
    lab.site.parent().unwrap().to_owned()
}

fn credentials(text: &str) -> (String, String) {
    let json: serde_json::Value = serde_json::from_str(text).unwrap();
    assert_eq!(json["username"], "o'neil@pve");
    let (id, secret) = json["token"].as_str().unwrap().rsplit_once('=').unwrap();
    (id.into(), secret.into())
}

fn manifest(file: &Path) -> (String, String) {
    let text = std::fs::read_to_string(file).unwrap();
    let scalar = text.lines().find_map(|line| line.strip_prefix("  credentials.json: ")).unwrap();
    credentials(&serde_json::from_str::<String>(scalar).unwrap())
}

fn tokens(lab: &Lab) -> String {
    lab.on("pve1", "grep ^token: /etc/pve/user.cfg || true; cat /etc/pve/priv/token.cfg 2>/dev/null || true")
}

#[test]
fn listed_tokens_are_made_after_the_run_and_a_rollback_revokes_them() {
    let Some(lab) = Lab::up("declared", &["pve1"], &[]) else { return };
    let folder = folder(&lab);
    std::fs::write(folder.join("vault.sh"), VAULT).unwrap();
    let text = SITE.replace("FOLDER", &folder.to_string_lossy());
    let site = std::fs::read_to_string(&lab.site).unwrap();
    let write = |more: &str| std::fs::write(&lab.site, format!("{site}{more}")).unwrap();
    watch::begin(&lab, "pve1");
    let mut said = String::new();

    // Without a sink for it, the plan says what is missing and a run leaves it.
    write(&text.replace("sink = \"kube\"", ""));
    let plan = lab.harden(&["plan", "pve1", "--control", "accounts.*", "--control", "access.*"]).exits(1).stdout;
    assert!(plan.contains("o'neil@pve!ci is not there: say where its secret goes"), "{plan}");
    assert!(plan.contains("+ token o'neil@pve!backup") && !plan.contains("+ token o'neil@pve!ci"), "{plan}");

    // A sink that cannot be written: nothing at all is begun.
    write(&text.replace("{token}.yaml", "missing/{token}.yaml"));
    let why = lab.harden(&APPLY).exits(2).stderr;
    assert!(why.contains("nothing was changed on pve1") && why.contains("sink kube"), "{why}");
    assert_eq!(lab.exec("pve1", "id ops").status, 1);

    // A sink that fails when it counts: the run stays, the token does not.
    write(&text);
    std::fs::write(folder.join("refuse"), "").unwrap();
    let half = lab.harden(&[&APPLY[..], &["--format", "json", "-vvv"]].concat()).exits(5);
    let json: serde_json::Value = serde_json::from_str(&half.stdout).unwrap();
    assert_eq!((&json["results"][0]["outcome"], &json["results"][0]["exit-code"]), (&"committed".into(), &5.into()));
    assert!(
        half.stderr.contains(" is confirmed on pve1; no token o'neil@pve!backup is on pve1")
            && half.stderr.contains("sealed"),
        "{}",
        half.stderr
    );
    assert_eq!(tokens(&lab), "", "neither the token nor its secret");
    said.push_str(&(half.stdout + &half.stderr));

    std::fs::remove_file(folder.join("refuse")).unwrap();
    let plan = lab.harden(&["plan", "pve1", "--control", "access.*"]).exits(1).stdout;
    assert!(
        plan.contains(
            "+ token o'neil@pve!ci: \"CI of $(id) & `x`: 100% <b>; owner O'Neil \\\"the\\\" owner\", ends after 7 days"
        ) || plan.contains(
            "+ token o'neil@pve!ci: \"CI of $(id) & `x`: 100% <b>; owner O'Neil \"the\" owner\", ends after 7 days"
        ),
        "{plan}"
    );
    assert!(plan.contains("secret to sink kube") && plan.contains("`rollback` revokes"), "{plan}");
    let json = lab.harden(&["plan", "pve1", "--control", "access.*", "--format", "json"]).exits(1).stdout;
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    let changes = value["nodes"][0]["plan"]["changes"].as_array().unwrap().clone();
    assert_eq!(changes.len(), 2);
    assert!(changes.iter().all(|change| change["stage"] == "tokens"), "{changes:?}");
    let done = lab.harden(&[&APPLY[..], &["-vvv"]].concat()).exits(0);
    assert!(done.stdout.contains("pve1: o'neil@pve!ci made"), "{}", done.stdout);
    said.push_str(&(json + &done.stdout + &done.stderr));

    let ci = manifest(&folder.join("ci.yaml"));
    let backup = credentials(&std::fs::read_to_string(folder.join("vault.json")).unwrap());
    assert_eq!((ci.0.as_str(), backup.0.as_str()), ("o'neil@pve!ci", "o'neil@pve!backup"));
    let argv = std::fs::read_to_string(folder.join("vault.argv")).unwrap();
    assert!(argv.trim_end().ends_with("pve1 o'neil@pve backup") && !argv.contains(&backup.1), "its arguments");
    let cfg = lab.on("pve1", "cat /etc/pve/user.cfg");
    for (id, secret) in [&ci, &backup] {
        assert_eq!(lab.token_status("pve1", id, secret), "200", "{id}");
        assert!(!said.contains(secret.as_str()), "printed");
    }
    let rights = cfg.lines().find(|line| line.starts_with("acl:1:/vms:")).unwrap();
    assert!(rights.contains(&ci.0) && rights.contains(&backup.0), "{cfg}");
    let again = lab.harden(&APPLY).exits(0).stdout;
    assert!(again.contains("0 changes") && again.contains("nothing to do"), "{again}");
    watch::nowhere(&lab, "pve1", &[&ci.1, &backup.1]);

    // The account goes, and with it its tokens and their secrets.
    lab.harden(&["rollback", "pve1", "--yes"]).exits(0);
    assert_eq!(tokens(&lab), "");
    assert_eq!(lab.exec("pve1", "grep -q neil@pve /etc/pve/user.cfg").status, 1);
}
