//! Second factors on nodes: enrolled with a code, logged in with, cut at each step; no secret anywhere else.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use data_encoding::BASE32_NOPAD;
use serde_json::Value;

use crate::lab_tests::{cut_call, watch};
use crate::support::lab::{Lab, Said, eventually};

const MORE: &str = r#"
[[sink]]
name = "env"
env = "secrets.env"

[[sink]]
name = "apps"
file = "{user}.{token}"

[[sink]]
name = "broken"
command = ["false"]
"#;

const PATIENCE: Duration = Duration::from_secs(120);
const PASSWORD: &str = "Sentinel-of-nancy-1";

fn up(test: &str, users: &[&str]) -> Option<Lab> {
    let lab = Lab::up(test, &["pve1"], &[])?;
    let site = std::fs::read_to_string(&lab.site).unwrap();
    std::fs::write(&lab.site, site + MORE).unwrap();
    for user in users {
        lab.on("pve1", &format!("pveum user add {user} --password {PASSWORD}"));
    }
    Some(lab)
}

fn app_file(lab: &Lab, user: &str) -> PathBuf {
    lab.site.with_file_name(format!("{user}.totp"))
}

/// The app's secret in its sink, in base32; none while it is not there.
fn secret(lab: &Lab, user: &str) -> Option<String> {
    let uri = std::fs::read_to_string(app_file(lab, user)).ok().filter(|text| text.ends_with('\n'))?;
    assert!(uri.starts_with("otpauth://totp/PVE%20pve1:"), "{uri}");
    Some(uri.split("secret=").nth(1)?.split('&').next()?.trim().to_owned())
}

/// The code that an app shows so many steps of half a minute from now.
fn code(secret: &str, steps: i64) -> String {
    let key: [u8; 20] = BASE32_NOPAD.decode(secret.as_bytes()).unwrap().try_into().unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let totp = totp_rs::Builder::new().with_secret(totp_rs::Secret::new_stack(key)).build().unwrap();
    totp.generate(now.checked_add_signed(steps * 30).unwrap()).to_string()
}

/// A code of no step near now.
fn wrong_code(secret: &str) -> String {
    let near: Vec<String> = (-30..=30).map(|steps| code(secret, steps)).collect();
    (0..100).map(|number| format!("{number:06}")).find(|code| !near.contains(code)).unwrap()
}

/// An enrolment that has put its secret into the sink `apps` and waits for a code.
fn begun(lab: &Lab, user: &str, more: &[&str]) -> Child {
    let arguments = [&["access", "enroll", user, "--sink", "apps", "--yes", "-vvv"], more].concat();
    let mut command = lab.command(&arguments);
    let mut tool = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    eventually(PATIENCE, "the secret in its sink", || {
        assert!(tool.try_wait().unwrap().is_none(), "{}", Said::of(&take(&mut tool)).exits(0).stderr);
        secret(lab, user).is_some()
    });
    tool
}

/// What a program that has ended said.
fn take(tool: &mut Child) -> std::process::Output {
    let mut output = std::process::Output { status: tool.wait().unwrap(), stdout: Vec::new(), stderr: Vec::new() };
    std::io::Read::read_to_end(&mut tool.stdout.take().unwrap(), &mut output.stdout).unwrap();
    std::io::Read::read_to_end(&mut tool.stderr.take().unwrap(), &mut output.stderr).unwrap();
    output
}

/// Gives lines of standard input and waits for the end.
fn given(mut tool: Child, lines: &[String]) -> Said {
    tool.stdin.take().unwrap().write_all((lines.join("\n") + "\n").as_bytes()).unwrap();
    Said::of(&tool.wait_with_output().unwrap())
}

/// An answer of /access/ticket; none when the login was refused.
fn asked(lab: &Lab, user: &str, form: &[(&str, &str)]) -> Option<Value> {
    let fields: Vec<String> = form.iter().map(|(name, value)| format!("--data-urlencode '{name}={value}'")).collect();
    let line = format!(
        "curl -sk --data-urlencode 'username={user}' {} https://127.0.0.1:8006/api2/json/access/ticket",
        fields.join(" ")
    );
    let answer: Value = serde_json::from_str(&lab.on("pve1", &line)).unwrap_or_default();
    answer.get("data").filter(|data| !data.is_null()).cloned()
}

/// Logs in as a browser does: the password, then what is asked for besides.
fn login(lab: &Lab, user: &str, second: Option<&str>) -> bool {
    let first = asked(lab, user, &[("password", PASSWORD)]).expect("the password is right");
    let ticket = first["ticket"].as_str().unwrap();
    if first["NeedTFA"] != 1 {
        return true;
    }
    assert!(ticket.starts_with("PVE:!tfa!{"), "{ticket}");
    let Some(second) = second else { return false };
    let whole = asked(lab, user, &[("password", second), ("tfa-challenge", ticket)]);
    whole.is_some_and(|data| data["ticket"].as_str().unwrap().starts_with(&format!("PVE:{user}:")))
}

fn factors(lab: &Lab, user: &str) -> Vec<Value> {
    serde_json::from_str(&lab.on("pve1", &format!("pvesh get /access/tfa/{user} --output-format json"))).unwrap()
}

fn of_kind<'a>(factors: &'a [Value], kind: &str) -> Vec<&'a Value> {
    factors.iter().filter(|factor| factor["type"] == kind).collect()
}

fn recovery_keys(lab: &Lab, user: &str) -> Vec<String> {
    let text = std::fs::read_to_string(lab.site.with_file_name("secrets.env")).unwrap();
    let name = user.replace(['@', '-'], "_").to_uppercase();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("PROXMOX_PVE1_{name}_RECOVERY_KEYS='")));
    line.unwrap().trim_end_matches('\'').split(' ').map(str::to_owned).collect()
}

#[test]
fn somebody_is_enrolled_with_a_code_and_the_secrets_are_in_their_sinks_only() {
    let user = "nancy@pve";
    let Some(lab) = up("enroll", &[user]) else { return };
    watch::begin(&lab, "pve1");
    let mut said: Vec<String> = Vec::new();
    let mut kept = |done: Said| -> Said {
        said.push(format!("{}{}", done.stdout, done.stderr));
        done
    };
    let why = lab.harden(&["access", "enroll", user, "--recovery-sink", "env", "--yes"]).exits(2).stderr;
    assert!(why.contains("no terminal to show a QR code at"), "{why}");
    let why = lab.harden(&["access", "enroll", "nobody@pve", "--sink", "apps", "--yes"]).exits(4).stderr;
    assert!(why.contains("there is no user nobody@pve"), "{why}");

    // A wrong code: PVE keeps nothing, not even its mark.
    let tool = begun(&lab, user, &["--recovery-sink", "env"]);
    let first = secret(&lab, user).unwrap();
    let done = kept(given(tool, &[wrong_code(&first), "12345".into(), code(&first, -10)])).exits(4);
    assert!(done.stdout.contains("pve1: nancy@pve has no second factor\n"), "{}", done.stdout);
    assert!(done.stderr.contains("the code is wrong") && done.stderr.contains("six digits"), "{}", done.stderr);
    assert!(done.stderr.contains("nothing was changed on pve1") && done.stderr.contains(" s ago"), "{}", done.stderr);
    assert!(done.stderr.contains("has a secret that opens nothing"), "{}", done.stderr);
    assert!(factors(&lab, user).is_empty() && login(&lab, user, None));
    assert!(!lab.on("pve1", "grep nancy /etc/pve/user.cfg").contains(":x:"));
    let taken = lab.harden(&["access", "enroll", user, "--sink", "apps", "--no-recovery", "--yes"]).exits(2);
    assert!(taken.stderr.contains("which is not replaced"), "{}", taken.stderr);
    std::fs::remove_file(app_file(&lab, user)).unwrap();

    // A right one.
    let tool = begun(&lab, user, &["--recovery-sink", "env"]);
    let second = secret(&lab, user).unwrap();
    let given_code = code(&second, 0);
    let done = kept(given(tool, &[wrong_code(&second), given_code.clone()])).exits(0);
    assert!(done.stdout.contains("app enrolled; PVE lists it"), "{}", done.stdout);
    assert!(done.stderr.contains("PVE refuses nancy@pve's password without a code"), "{}", done.stderr);
    let keys = recovery_keys(&lab, user);
    assert_eq!(keys.len(), 10);
    let listed = factors(&lab, user);
    let apps = of_kind(&listed, "totp");
    assert!(apps.len() == 1 && of_kind(&listed, "recovery").len() == 1, "{listed:?}");
    assert!(apps[0]["description"].as_str().unwrap().starts_with("authenticator app, 20"), "{apps:?}");
    assert!(!apps[0]["description"].as_str().unwrap().contains('['), "{apps:?}");
    assert!(lab.on("pve1", "cat /etc/pve/priv/tfa.cfg").contains(&second), "the sink has PVE's secret");
    let again = lab.harden(&["access", "enroll", user, "--yes"]).exits(0);
    assert!(again.stdout.contains("nothing to do"), "{}", again.stdout);
    let plan = lab.harden(&["plan", "pve1", "--control", "access.second-factors", "--format", "json"]);

    // A new app in place of the old one, and keys that cannot be stored: they are deleted again.
    std::fs::remove_file(app_file(&lab, user)).unwrap();
    let tool = begun(&lab, user, &["--replace", "--recovery-sink", "broken"]);
    let third = secret(&lab, user).unwrap();
    let done = kept(given(tool, &[code(&third, 0)])).exits(5);
    assert!(
        done.stderr.contains("nancy@pve has the new app on pve1; nancy@pve has no recovery keys"),
        "{}",
        done.stderr
    );
    let listed = factors(&lab, user);
    assert!(listed.len() == 1 && !listed[0]["description"].as_str().unwrap().contains('['), "{listed:?}");
    kept(lab.harden(&["access", "enroll", user, "--recovery-sink", "env", "--yes", "-vvv"])).exits(0);
    let new_keys = recovery_keys(&lab, user);
    assert!(new_keys.len() == 10 && new_keys != keys);

    let events = lab.on("pve1", "cat /var/lib/pve-harden/events");
    assert!(
        events.contains("TOTP of nancy@pve enrolled by ") && events.contains("recovery keys of nancy@pve stored by "),
        "{events}"
    );
    assert_eq!(watch::in_arguments(&lab, "pve1", &format!("--value={given_code}")), 0, "the code");
    let secrets = [&first, &second, &third, &keys[0], &keys[9], &new_keys[0]].map(String::as_str);
    for secret in secrets {
        assert!(!said.iter().any(|said| said.contains(secret)), "printed");
        assert!(!plan.stdout.contains(secret));
    }
    watch::nowhere(&lab, "pve1", &secrets);

    // What PVE makes of it at a login.
    assert!(!login(&lab, user, None) && !login(&lab, user, Some("totp:000")), "a password alone");
    assert!(!login(&lab, user, Some(&format!("totp:{}", code(&second, 0)))), "the former app");
    assert!(login(&lab, user, Some(&format!("totp:{}", code(&third, 0)))), "the app");
    assert!(!login(&lab, user, Some(&format!("recovery:{}", keys[1]))), "a former key");
    assert!(login(&lab, user, Some(&format!("recovery:{}", new_keys[1]))), "a recovery key");
    assert!(!login(&lab, user, Some(&format!("recovery:{}", new_keys[1]))), "a key that was used");
}

/// Who is cut.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Cut {
    /// This program, by SIGKILL.
    Tool,
    /// The call on the node; the status is how this program ends then.
    Call(i32),
    /// The link, at the node's end; the status is how this program ends then.
    Link(i32),
}

#[test]
fn an_enrolment_cut_at_any_step_leaves_a_way_in_and_goes_on() {
    // Calls of an enrolment: list, add, list, recovery keys, mark away, list.
    let cuts = [
        ("u1@pve", 2, "before", Cut::Tool),
        ("u3@pve", 2, "after", Cut::Call(0)),
        ("u5@pve", 4, "after", Cut::Call(5)),
        ("u6@pve", 5, "before", Cut::Tool),
        ("u7@pve", 4, "after", Cut::Link(6)),
    ];
    let users: Vec<&str> = cuts.iter().map(|(user, ..)| *user).collect();
    let Some(lab) = up("enroll-cuts", &users) else { return };
    lab.on("pve1", &cut_call::wrapped("pvesh"));
    for (user, call, when, cut) in cuts {
        lab.on("pve1", &format!("rm -f /run/cut; printf '{call}\\n{when}\\n' >/run/count"));
        let mut tool = begun(&lab, user, &["--recovery-sink", "env"]);
        let secret_of = secret(&lab, user).unwrap();
        tool.stdin.take().unwrap().write_all(format!("{}\n", code(&secret_of, 0)).as_bytes()).unwrap();
        eventually(PATIENCE, "the cut", || lab.exec("pve1", "test -s /run/cut").status == 0);
        if cut == Cut::Tool {
            tool.kill().unwrap();
        }
        let ends = match cut {
            Cut::Link(_) => "kill -9 $(pgrep -x sshd-session)",
            _ => "true",
        };
        lab.on("pve1", &format!("rm -f /run/count; {ends}; kill -9 $(cat /run/cut)"));
        let done = Said::of(&take(&mut tool));
        lab.on("pve1", "while fuser -s /run/pve-harden.lock; do sleep 0.1; done");
        if let Cut::Call(status) | Cut::Link(status) = cut {
            assert_eq!(done.status, status, "{user}: {}{}", done.stdout, done.stderr);
        }
        if let Cut::Link(_) = cut {
            assert!(done.stderr.contains("that nobody has"), "{}", done.stderr);
        }
        // Whatever was reached: the user gets in, with the app whose code was right if PVE asks for one.
        let listed = factors(&lab, user);
        let is_stored = !of_kind(&listed, "totp").is_empty();
        assert_eq!(is_stored, (call, when) != (2, "before"), "{user}: {listed:?}");
        assert!(login(&lab, user, Some(&format!("totp:{}", code(&secret_of, 0)))), "{user}: {listed:?}");
        // The same command goes on from there.
        if is_stored {
            lab.harden(&["access", "enroll", user, "--recovery-sink", "env", "--yes"]).exits(0);
        } else {
            std::fs::remove_file(app_file(&lab, user)).unwrap();
            let tool = begun(&lab, user, &["--recovery-sink", "env"]);
            let right = code(&secret(&lab, user).unwrap(), 0);
            given(tool, &[right]).exits(0);
        }
        let listed = factors(&lab, user);
        assert!(of_kind(&listed, "totp").len() == 1 && of_kind(&listed, "recovery").len() == 1, "{user}: {listed:?}");
        assert!(!listed.iter().any(|factor| factor["description"].to_string().contains("not stored")), "{listed:?}");
        let key = recovery_keys(&lab, user).swap_remove(0);
        assert!(login(&lab, user, Some(&format!("recovery:{key}"))), "{user}: the keys in the sink are those of PVE");
    }
}
