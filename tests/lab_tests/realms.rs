//! Second factors for a whole realm, and root@pam's web login, on a node: nobody is refused without being named, and root
//! is closed only once somebody else has logged in.

use std::path::PathBuf;

use crate::support::lab::{Lab, Said};

const PASSWORD: &str = "Aho+17 ZxQ&92k.q";

/// HTTP status of a login at port 8006.
fn login(lab: &Lab, user: &str, password: &str) -> String {
    let url = format!("https://{}:8006/api2/json/access/ticket", lab.address("pve1"));
    let (user, password) = (format!("username={user}"), format!("password={password}"));
    let fixed = ["operator", "--", "curl", "-sk", "-o", "/dev/null", "-w", "%{http_code}", "--data-urlencode"];
    let mut command = fixed.to_vec();
    command.extend([user.as_str(), "--data-urlencode", password.as_str(), url.as_str()]);
    lab.lab(command).exits(0).stdout
}

fn profile(lab: &Lab, name: &str, text: &str) -> PathBuf {
    let file = lab.site.with_file_name(name);
    std::fs::write(&file, format!("extends = \"baseline\"\n{text}")).unwrap();
    file
}

/// A verb with a profile and the controls that it is about; the administrator's password in the environment.
fn with(lab: &Lab, verb: &[&str], profile: &PathBuf, control: &str, password: Option<&str>) -> Said {
    let mut command = lab.command(&[verb, &["--control", control, "--profile"]].concat());
    command.arg(profile);
    command.envs(password.map(|password| ("PVE_HARDEN_WEB_PASS", password)));
    Said::of(&command.output().unwrap())
}

fn prepared(lab: &Lab) {
    lab.harden(&["apply", "pve1", "--yes", "--control", "accounts.*"]).exits(0);
    lab.on(
        "pve1",
        &format!(
            "for user in adm bot; do pveum user add $user@pve && pvesh set /access/password --userid $user@pve --password '{PASSWORD}' || exit 1; done; \
             pveum acl modify / --users adm@pve --roles Administrator"
        ),
    );
    for user in ["adm@pve", "bot@pve"] {
        assert_eq!(login(lab, user, PASSWORD), "200", "{user}");
    }
    assert_eq!(login(lab, "root@pam", &lab.root_password()), "200");
}

/// bot@pve logs in with a password and has nothing else; adm@pve has TOTP.
fn a_realm_enforces_totp(lab: &Lab) {
    let totp = |user: &str, more: &str| {
        format!(
            r#""{user}@pve":{{"totp":[{{"id":"x","description":"d","created":1,{more}"entry":"otpauth://totp/PVE:a?secret=SENTINELSENTINEL"}}]}}"#
        )
    };
    let factors = format!(r#"{{"users":{{{},{}}}}}"#, totp("adm", ""), totp("bot", r#""enable":false,"#));
    lab.on("pve1", &format!("printf %s '{factors}' >/etc/pve/priv/tfa.cfg"));
    let all = profile(lab, "enforce.toml", "[[access.realm]]\nid = \"pve\"\ntfa = \"oath\"\n");
    let apply = |profile: &PathBuf| with(lab, &["apply", "pve1", "--yes"], profile, "access.realms", None);
    let refused = apply(&all).exits(4);
    let said = format!("{}{}", refused.stdout, refused.stderr);
    assert!(said.contains("bot@pve (has no second factor; logged in on "), "{said}");
    assert!(said.contains("never at the login page here: most likely a program"), "{said}");
    assert!(!said.contains("adm@pve (") && !said.contains("SENTINEL"), "{said}");
    assert!(!lab.on("pve1", "cat /etc/pve/domains.cfg 2>/dev/null || true").contains("tfa"));
    let named = "[[access.realm]]\nid = \"pve\"\ntfa = \"oath\"\nmay-refuse = [\"bot@pve\"]\n";
    let named = profile(lab, "named.toml", named);
    apply(&named).exits(0);
    assert!(lab.on("pve1", "cat /etc/pve/domains.cfg").contains("tfa type=oath"));
    assert_eq!(login(lab, "bot@pve", PASSWORD), "401");
    assert_eq!(login(lab, "adm@pve", PASSWORD), "200");
    assert!(apply(&named).exits(0).stdout.contains("0 changes"));
    lab.harden(&["rollback", "pve1", "--yes"]).exits(0);
    assert!(!lab.on("pve1", "cat /etc/pve/domains.cfg").contains("tfa"));
    assert_eq!(login(lab, "bot@pve", PASSWORD), "200");
}

fn root_is_closed_and_opened(lab: &Lab) {
    let close = "[access.root-web]\nenabled = true\nadministrator = \"adm@pve\"\n";
    let close = profile(lab, "close.toml", close);
    let apply = |password| with(lab, &["apply", "pve1", "--yes", "-vvv"], &close, "access.root-web", password);
    let root = || login(lab, "root@pam", &lab.root_password());
    let nobody = apply(None).exits(4);
    assert!(
        nobody.stderr.contains("nothing was changed on pve1") && nobody.stderr.contains("PVE_HARDEN_WEB_PASS"),
        "{}",
        nobody.stderr
    );
    let half = apply(Some(PASSWORD)).exits(4);
    assert!(half.stderr.contains("PVE asks adm@pve for a TOTP code, and nobody can be asked"), "{}", half.stderr);
    lab.on("pve1", "rm /etc/pve/priv/tfa.cfg");
    let wrong = apply(Some("wrong-SENTINEL")).exits(4);
    assert!(wrong.stderr.contains("PVE refuses the login of adm@pve"), "{}", wrong.stderr);
    assert!(!format!("{}{}", wrong.stdout, wrong.stderr).contains("SENTINEL"));
    assert_eq!(root(), "200");
    let closed = apply(Some(PASSWORD)).exits(0);
    assert!(!format!("{}{}", closed.stdout, closed.stderr).contains(PASSWORD));
    assert_eq!(root(), "401");
    assert_eq!(login(lab, "adm@pve", PASSWORD), "200");
    // What root does on the node itself goes on.
    let users = lab.on("pve1", "pvesh get /access/users --output-format json && pveum role list >/dev/null");
    assert!(users.contains("adm@pve"), "{users}");
    assert!(apply(None).exits(0).stdout.contains("0 changes"), "and no password is asked for");
    // Somebody opens it by hand: drift.
    lab.on("pve1", "pveum user modify root@pam --enable 1");
    with(lab, &["check", "pve1"], &close, "access.root-web", None).exits(1);
    lab.on("pve1", "pveum user modify root@pam --enable 0");
    lab.harden(&["rollback", "pve1", "--yes"]).exits(0);
    assert_eq!(root(), "200");
    // It would be the last one: another plan must not take the administrator away meanwhile.
    lab.on("pve1", "pveum user modify adm@pve --enable 0");
    let lost = apply(Some(PASSWORD)).exits(4);
    assert!(lost.stdout.contains("adm@pve, who shall administer instead of root@pam, is disabled"), "{}", lost.stdout);
    assert_eq!(root(), "200");
}

#[test]
fn nobody_is_refused_unnamed_and_root_is_closed_after_a_login() {
    let Some(lab) = Lab::up("realms", &["pve1"], &[]) else { return };
    prepared(&lab);
    a_realm_enforces_totp(&lab);
    root_is_closed_and_opened(&lab);
}
