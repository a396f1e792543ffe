//! Tokens on nodes: made into a sink, rotated with overlap, cut at each step; no secret anywhere else.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use crate::lab_tests::{cut_call, watch};
use crate::support::lab::{Lab, Said, eventually};

const MORE: &str = r#"
[[sink]]
name = "env"
env = "tokens.env"

[[sink]]
name = "broken"
command = ["false"]

[[access.user]]
id = "svc@pve"

[[access.acl]]
path = "/vms"
role = "PVEAuditor"
users = ["svc@pve"]
tokens = ["svc@pve!ci"]

[[access.token]]
id = "svc@pve!ci"
owner = "Olga"
purpose = "CI"
sink = "env"
"#;

const PATIENCE: Duration = Duration::from_secs(120);

fn up(test: &str) -> Option<Lab> {
    let lab = Lab::up(test, &["pve1"], &[])?;
    let site = std::fs::read_to_string(&lab.site).unwrap();
    std::fs::write(&lab.site, site + MORE).unwrap();
    lab.on("pve1", "pveum user add svc@pve && pveum acl modify /vms --users svc@pve --roles PVEAuditor");
    Some(lab)
}

fn sink(lab: &Lab) -> PathBuf {
    lab.site.with_file_name("tokens.env")
}

/// Id and secret in the sink.
fn stored(lab: &Lab) -> (String, String) {
    let text = std::fs::read_to_string(sink(lab)).unwrap();
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("PROXMOX_PVE1_TOKEN_{name}='"))).unwrap();
        line.trim_end_matches('\'').to_owned()
    };
    (value("ID"), value("SECRET"))
}

/// The status of a request that a client makes with what is in the sink.
fn used(lab: &Lab) -> String {
    let (id, secret) = stored(lab);
    lab.on(
        "pve1",
        &format!("curl -sk -o /dev/null -w '%{{http_code}}' -H 'Authorization: PVEAPIToken={id}={secret}' https://127.0.0.1:8006/api2/json/version"),
    )
}

fn tokens(lab: &Lab) -> Vec<String> {
    let text = lab.on("pve1", "grep ^token: /etc/pve/user.cfg || true");
    let mut ids: Vec<String> = text.lines().map(|line| line.split(':').nth(1).unwrap().to_owned()).collect();
    ids.sort();
    ids
}

#[test]
fn a_token_is_made_rotated_and_revoked_and_its_secret_is_in_its_sink_only() {
    let Some(lab) = up("tokens") else { return };
    watch::begin(&lab, "pve1");
    let mut said = Vec::new();
    let mut token = |arguments: &[&str], status: i32| -> Said {
        let done = lab.harden(&[&["token"], arguments].concat().into_iter().chain(["-vvv"]).collect::<Vec<_>>());
        said.push(format!("{}{}", done.stdout, done.stderr));
        done.exits(status)
    };
    // A sink that cannot keep it: the token is deleted again.
    let failed = token(&["new", "--yes", "--sink", "broken"], 5);
    assert!(failed.stderr.contains("no token svc@pve!ci is on pve1"), "{}", failed.stderr);
    assert!(tokens(&lab).is_empty());

    token(&["new", "--yes"], 0);
    let first = stored(&lab);
    assert_eq!(first.0, "svc@pve!ci");
    let cfg = lab.on("pve1", "cat /etc/pve/priv/token.cfg");
    assert!(cfg.contains(&format!("{} {}", first.0, first.1)), "the sink has PVE's secret");
    assert_eq!(used(&lab), "200");
    let user_cfg = lab.on("pve1", "cat /etc/pve/user.cfg");
    assert!(user_cfg.contains("acl:1:/vms:") && user_cfg.contains("svc@pve!ci"), "{user_cfg}");
    assert!(token(&["new", "--yes"], 0).stdout.contains("every listed token is there"));

    // Somebody uses it: it is not taken away under them.
    let refused = token(&["rotate", "svc@pve!ci", "--yes"], 4);
    assert!(
        refused.stderr.contains("last used") && refused.stderr.contains("nothing was changed"),
        "{}",
        refused.stderr
    );
    assert_eq!(stored(&lab), first);
    let rotated = token(&["rotate", "svc@pve!ci", "--yes", "--grace", "1d"], 0);
    assert!(rotated.stdout.contains("svc@pve!ci works until"), "{}", rotated.stdout);
    let second = stored(&lab);
    assert!(second.0.starts_with("svc@pve!ci-") && second.1 != first.1, "{second:?}");
    assert_eq!(used(&lab), "200");
    let listed = token(&["list", "--format", "json"], 0);
    let list: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
    let of = |id: &str| list["tokens"].as_array().unwrap().iter().find(|token| token["id"] == id).unwrap().clone();
    assert!(of("svc@pve!ci")["status"].as_array().unwrap().iter().any(|status| status == "superseded"), "{list}");
    assert_eq!(
        (of(&second.0)["status"].to_string(), of(&second.0)["scope"][0]["path"].as_str()),
        ("[]".into(), Some("/vms"))
    );

    token(&["revoke", "svc@pve!ci", "--yes"], 4);
    token(&["revoke", "svc@pve!ci", "--yes", "--force"], 0);
    assert_eq!(tokens(&lab), std::slice::from_ref(&second.0));
    token(&["rotate", "svc@pve!ci", "--in-place", "--force", "--yes"], 0);
    let third = stored(&lab);
    assert!(third.0 == second.0 && third.1 != second.1);
    assert_eq!(used(&lab), "200");
    // The plan takes the rotated one for the listed one.
    let plan = lab.harden(&["plan", "pve1", "--control", "access.tokens", "--format", "json"]);
    assert!(!plan.stdout.contains("is not there"), "{}", plan.stdout);

    let events = lab.on("pve1", "cat /var/lib/pve-harden/events; stat -c %a /var/lib/pve-harden/events");
    assert!(
        events.contains("token svc@pve!ci made by ")
            && events.contains("token svc@pve!ci revoked by ")
            && events.ends_with("600\n"),
        "{events}"
    );
    lab.on("pve1", "systemctl stop watch");
    let history = lab.harden(&["history", "pve1"]).exits(0);
    assert!(history.stdout.contains("token svc@pve!ci revoked by "), "{}", history.stdout);
    for secret in [&first.1, &second.1, &third.1] {
        assert!(!said.iter().any(|said| said.contains(secret)), "printed");
        assert!(!plan.stdout.contains(secret));
        // curl of this test has it in its arguments; our own calls have not.
        let seen =
            lab.on("pve1", &format!("tr ' ' '\\n' </run/seen | grep -F '{secret}' | grep -v '^PVEAPIToken=' || true"));
        assert_eq!(seen, "", "in an argument");
        let files = lab.on(
            "pve1",
            &format!("grep -rlF --exclude-dir=pve --exclude=seen '{secret}' /etc /root /var /tmp /run/pve-harden* 2>/dev/null | grep -v -e ^/var/lib/pve-cluster -e ^/var/log/journal || true; journalctl --no-pager | grep -F '{secret}' | grep -v curl || true"),
        );
        assert_eq!(files, "", "on the node");
    }
}

/// A manifest and a program's input in a cluster of PVE 8.
const CLUSTER: &str = r#"
[[sink]]
name = "kube"
kubernetes = "FOLDER/credentials.yaml"
namespace = "ci"

[[sink]]
name = "vault"
command = ["sh", "-c", "umask 077; cat >FOLDER/vault"]
format = "value"

[[access.user]]
id = "svc@pve"

[[access.acl]]
path = "/vms"
role = "PVEAuditor"
users = ["svc@pve"]
tokens = ["svc@pve!ci", "svc@pve!cd"]

[[access.token]]
id = "svc@pve!ci"
owner = "Olga"
purpose = "CI"
sink = "kube"

[[access.token]]
id = "svc@pve!cd"
owner = "Olga"
purpose = "CD"
sink = "vault"
"#;

#[test]
fn tokens_of_a_cluster_on_pve_8() {
    let Some(lab) = Lab::up("token-cluster", &["pve1", "pve2"], &["--cluster", "--pve", "8"]) else { return };
    let folder = lab.site.parent().unwrap().to_owned();
    lab.add_to_site(&CLUSTER.replace("FOLDER", &folder.to_string_lossy()));
    let pair = |text: &str| {
        let (id, secret) = text.trim().rsplit_once('=').unwrap();
        (id.to_owned(), secret.to_owned())
    };
    let kube = || {
        let text = std::fs::read_to_string(folder.join("credentials.yaml")).unwrap();
        let scalar = text.lines().find_map(|line| line.strip_prefix("  credentials.json: ")).unwrap();
        let json: String = serde_json::from_str(scalar).unwrap();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        pair(json["token"].as_str().unwrap())
    };
    let vault = || pair(&std::fs::read_to_string(folder.join("vault")).unwrap());
    let controls = ["--control", "accounts.*", "--control", "access.*"];
    let harden = |words: &[&str]| lab.harden(&words.iter().copied().chain(controls).collect::<Vec<_>>());

    // Once for the cluster, after the run of its first member; every member takes them.
    let applied = harden(&["apply", "pve1", "pve2", "--yes"]).exits(0);
    assert_eq!(applied.stdout.matches("svc@pve!ci made").count(), 1, "{}", applied.stdout);
    let (ci, cd) = (kube(), vault());
    for node in ["pve1", "pve2"] {
        for (id, secret) in [&ci, &cd] {
            assert_eq!(lab.token_status(node, id, secret), "200", "{id} on {node}");
        }
    }
    let again = harden(&["apply", "pve1", "pve2", "--yes"]).exits(0);
    assert!(
        again.stdout.contains("pve1: nothing to do") && again.stdout.contains("pve2: nothing to do"),
        "{}",
        again.stdout
    );

    // The last use stands in the other member's log.
    lab.on("pve1", ": >/var/log/pveproxy/access.log");
    let refused = lab.harden(&["token", "rotate", "svc@pve!ci", "--yes"]).exits(4);
    assert!(
        refused.stderr.contains(" on pve2") && refused.stderr.contains("nothing was changed"),
        "{}",
        refused.stderr
    );
    let refused = lab.harden(&["token", "rotate", "svc@pve!ci", "--in-place", "--yes"]).exits(4);
    assert!(refused.stderr.contains("9.1"), "{}", refused.stderr);
    assert_eq!(kube(), ci);
    let revoked = lab.harden(&["token", "revoke", "svc@pve!ci", "--yes"]).exits(4);
    assert!(revoked.stderr.contains("used within the last day"), "{}", revoked.stderr);

    // Only what is due: the other one, whose secret goes to a program.
    lab.on("pve2", "pveum user token modify svc@pve cd --expire $(($(date +%s) + 432000))");
    let due = lab.harden(&["token", "rotate", "--due", "--grace", "1d", "--yes"]).exits(0);
    let new = vault();
    assert!(new.0.starts_with("svc@pve!cd-") && kube() == ci, "{}", due.stdout);
    for (id, secret) in [&new, &cd, &ci] {
        assert_eq!(lab.token_status("pve2", id, secret), "200", "{id}");
    }
    let none = lab.harden(&["token", "rotate", "--due", "--yes"]).exits(0);
    assert!(none.stdout.contains("no token is due"), "{}", none.stdout);

    lab.harden(&["token", "rotate", "svc@pve!ci", "--force", "--yes"]).exits(0);
    let rotated = kube();
    assert_ne!(rotated.0, ci.0);
    assert_eq!(lab.token_status("pve2", &rotated.0, &rotated.1), "200");
    assert_eq!(lab.token_status("pve2", &ci.0, &ci.1), "401");
    // PVE drops the rights of a deleted token with its next write.
    lab.on("pve2", "pveum user modify svc@pve --comment written");
    let rights = lab.on("pve2", "grep ^acl:1:/vms: /etc/pve/user.cfg");
    assert!(rights.contains(&rotated.0) && !rights.contains("svc@pve!ci,"), "{rights}");
    harden(&["plan", "pve1", "pve2"]).exits(0);
}

#[test]
fn a_rotation_cut_at_any_step_leaves_a_token_that_works() {
    let Some(lab) = up("token-cuts") else { return };
    lab.harden(&["token", "new", "--yes"]).exits(0);
    lab.on("pve1", &cut_call::wrapped("pveum"));
    let mut cuts = 0;
    // Calls of a rotation: add, rights, storing, in use, end of the old one.
    for (call, when) in
        [(1, "after"), (2, "after"), (3, "before"), (3, "after"), (4, "before"), (4, "after"), (5, "before")]
    {
        lab.on("pve1", &format!("rm -f /run/cut; printf '{call}\\n{when}\\n' >/run/count"));
        let mut tool = lab.command(&["token", "rotate", "svc@pve!ci", "--yes"]);
        let mut tool = tool.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut ended = false;
        eventually(PATIENCE, "the cut", || {
            ended = tool.try_wait().unwrap().is_some();
            ended || lab.exec("pve1", "test -s /run/cut").status == 0
        });
        if !ended {
            cuts += 1;
            tool.kill().unwrap();
            tool.wait().unwrap();
            lab.on(
                "pve1",
                "kill -9 $(cat /run/cut); while fuser -s /run/pve-harden.lock; do sleep 0.1; done; rm -f /run/count",
            );
        }
        lab.on("pve1", "rm -f /run/count");
        // Asked of PVE, as a client would: what lies in the sink works.
        let (id, secret) = stored(&lab);
        let cfg = lab.on("pve1", "cat /etc/pve/priv/token.cfg");
        assert!(cfg.contains(&format!("{id} {secret}")), "{call} {when}: {id} does not work");
        assert!(tokens(&lab).contains(&id), "{call} {when}");
    }
    assert!(cuts >= 5, "only {cuts} rotations were cut");
    let done = lab.harden(&["token", "rotate", "svc@pve!ci", "--yes"]).exits(0);
    let left = tokens(&lab);
    assert_eq!(left, [stored(&lab).0], "{}", done.stdout);
    assert_eq!(used(&lab), "200");
}

#[test]
fn a_password_is_set_and_is_nowhere_but_in_its_sink() {
    const SENTINEL: &str = "Sentinel-4711-of-root";
    let Some(lab) = up("passwd") else { return };
    lab.on("pve1", "useradd -m nancy && pveum user add nancy@pam");
    watch::begin(&lab, "pve1");
    let done = lab.harden(&["access", "passwd", "svc@pve", "--sink", "env", "--yes", "-vvv"]).exits(0);
    assert!(done.stdout.contains("PVE takes it"), "{}", done.stdout);
    let text = std::fs::read_to_string(sink(&lab)).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("PROXMOX_PVE1_SVC_PVE_PASSWORD='")).unwrap();
    let generated = line.trim_end_matches('\'').to_owned();
    assert!((20..=32).contains(&generated.len()));
    let expired = lab.harden(&["access", "passwd", "nancy@pam", "--expire", "--yes"]).exits(0);
    assert!(expired.stdout.contains("at the next login"), "{}", expired.stdout);
    assert_eq!(lab.on("pve1", "getent shadow nancy | cut -d: -f3").trim(), "0");
    let why = lab.harden(&["access", "passwd", "root@pam", "--expire", "--yes"]).exits(4).stderr;
    assert!(why.contains("logs in by key"), "{why}");
    lab.harden(&["access", "passwd", "nobody@pve", "--sink", "env", "--yes"]).exits(4);

    // Last: with it, the password that this lab logs in with is gone.
    let mut root = lab.command(&["access", "passwd", "root@pam", "--from-env", "NEW", "--yes", "-vvv"]);
    let root = Said::of(&root.env("NEW", SENTINEL).output().unwrap()).exits(0);
    assert_ne!(lab.root_password_login("pve1").status, 0, "the former password");
    let hash = lab.on("pve1", "getent shadow root | cut -d: -f2");
    assert_eq!(watch::in_arguments(&lab, "pve1", hash.trim()), 0, "not even its hash");
    for secret in [generated.as_str(), SENTINEL] {
        assert!(!format!("{}{}{}{}", done.stdout, done.stderr, root.stdout, root.stderr).contains(secret));
    }
    watch::nowhere(&lab, "pve1", &[&generated, SENTINEL]);
}
