//! What the password, lockout and session controls plan, carried out on nodes and tried with the real programs.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pve_harden::change::{Action, Change, FileImage};
use pve_harden::controls::{CATALOGUE, Status};
use pve_harden::facts::Facts;
use pve_harden::profile::policy::{Policy, Site};

use crate::controls::asked;
use crate::support::lab::Lab;

const FAMILIES: [&str; 3] = ["password.", "lockout.", "session."];
const PASSWORD: &str = "Start-77-Qwv.k-x";

/// Everything the three families plan for a fresh node of this release.
fn planned(facts: &Facts, policy: &Policy) -> Vec<Change> {
    let facts = asked(facts.clone(), policy);
    let mut changes = Vec::new();
    for control in CATALOGUE.iter().filter(|c| FAMILIES.iter().any(|family| c.meta().id.starts_with(family))) {
        match control.evaluate(&facts, policy).status {
            Status::Differs { changes: more, advice: None } => changes.extend(more),
            Status::Compliant => {}
            other => panic!("{}: {other:?}", control.meta().id),
        }
    }
    changes
}

/// Carries the plan out the plain way: the subject here is what was planned, not how it gets onto a node.
fn carry_out(lab: &Lab, changes: &[Change]) {
    let mut files: BTreeMap<&str, &FileImage> = BTreeMap::new();
    let (mut install, mut directories, mut profiles) = (vec!["sudo"], Vec::new(), Vec::new());
    for change in changes {
        match &change.action {
            Action::Packages { install: names } => install.extend(names.iter().map(String::as_str)),
            Action::Directory { path, .. } => directories.push(path.as_str()),
            Action::File(file) => {
                let image = file.after.as_ref().unwrap();
                assert_eq!(*files.entry(&file.path).or_insert(image), image, "{} is planned differently", file.path);
            }
            Action::PamProfiles { enable, .. } => profiles.extend(enable.iter().map(String::as_str)),
            other => panic!("{other:?}"),
        }
    }
    let install = install.join(" ");
    lab.on("pve1", &format!("apt-get update >/dev/null 2>&1; apt-get install -qy --no-install-recommends {install}"));
    for path in directories {
        lab.on("pve1", &format!("install -d -m 755 {path}"));
    }
    for (path, image) in files {
        let content = STANDARD.encode(&image.content);
        lab.on("pve1", &format!("echo {content} | base64 -d > {path} && chmod {:o} {path}", image.mode));
    }
    let profiles = profiles.join(" ");
    lab.on("pve1", &format!("DEBIAN_FRONTEND=noninteractive pam-auth-update --package --enable {profiles}"));
}

fn node(test: &str, options: &[&str], facts: &Facts) -> Option<Lab> {
    let lab = Lab::up(test, &["pve1"], options)?;
    let mut policy = Policy::from_embedded("baseline", Site::default()).unwrap();
    policy.profile.session.timeout.seconds = 2;
    policy.profile.password.aging.min_days = 0;
    carry_out(&lab, &planned(facts, &policy));
    lab.on(
        "pve1",
        &format!(
            "useradd -m -s /bin/bash ops && echo 'ops:{PASSWORD}' | chpasswd && echo 'ops ALL=(ALL:ALL) ALL' > \
             /etc/sudoers.d/ops && chmod 440 /etc/sudoers.d/ops && pveum user add ops@pam"
        ),
    );
    Some(lab)
}

fn failures(lab: &Lab, user: &str) -> usize {
    lab.on("pve1", &format!("faillock --user {user}")).lines().filter(|line| line.trim_end().ends_with('V')).count()
}

/// Tries sudo with each password in a call of its own; tells whether the last one got root.
fn sudo(lab: &Lab, passwords: &[&str]) -> bool {
    let mut last = false;
    for password in passwords {
        let script = format!("su ops -c \"echo '{password}' | sudo -S -k -p '' id -u\"");
        last = lab.exec("pve1", &script).stdout.trim() == "0";
    }
    last
}

/// HTTP status of a login at port 8006.
fn web(lab: &Lab, user: &str, password: &str) -> String {
    let url = format!("https://{}:8006/api2/json/access/ticket", lab.address("pve1"));
    let (user, password) = (format!("username={user}@pam"), format!("password={password}"));
    let arguments = ["-sk", "-o", "/dev/null", "-w", "%{http_code}", "--data-urlencode", &user, "--data-urlencode"];
    let mut command = vec!["operator", "--", "curl"];
    command.extend(arguments);
    command.extend([password.as_str(), url.as_str()]);
    lab.lab(command).exits(0).stdout
}

fn wrong_passwords_lock(lab: &Lab) {
    assert!(sudo(lab, &["wrong", "wrong", PASSWORD]), "two are forgiven");
    assert_eq!(failures(lab, "ops"), 0, "and forgotten after a right one");
    assert!(!sudo(lab, &["wrong", "wrong", "wrong", "wrong", "wrong", PASSWORD]), "five lock");
    assert_eq!(failures(lab, "ops"), 5);
    assert_eq!(web(lab, "ops", PASSWORD), "401", "everywhere");
    lab.on("pve1", "faillock --user ops --reset");
    assert!(sudo(lab, &[PASSWORD]));
    assert_eq!(web(lab, "ops", PASSWORD), "200");
    for _ in 0..5 {
        assert_eq!(web(lab, "ops", "wrong"), "401");
    }
    assert_eq!(failures(lab, "ops"), 5);
    assert!(!sudo(lab, &[PASSWORD]));
    lab.on("pve1", "faillock --user ops --reset");
    for _ in 0..6 {
        assert_eq!(web(lab, "root", "wrong"), "401");
    }
    assert_eq!(web(lab, "root", &lab.root_password()), "200", "nobody locks root out from outside");
}

/// What passwd says to a person who changes the password.
fn passwd(lab: &Lab, old: &str, new: &str) -> String {
    let said = lab
        .exec("pve1", &format!("su ops -c \"printf '%s\\n' '{old}' '{new}' '{new}' '{new}' '{new}' | passwd\" 2>&1"));
    said.stdout
}

fn weak_and_old_passwords_are_refused(lab: &Lab) {
    let next = "Aho+17ZxQ92k.qJw";
    for (weak, why) in [
        ("Short-1x", "shorter than 14"),
        ("sunshine12345A", "BAD PASSWORD"),
        ("Qwaaaaxz-19kLp", "more than 3 same characters"),
    ] {
        let said = passwd(lab, PASSWORD, weak);
        assert!(said.contains(why), "{weak}: {said}");
    }
    assert!(passwd(lab, PASSWORD, next).contains("updated successfully"));
    let said = passwd(lab, next, PASSWORD);
    assert!(said.contains("already used"), "{said}");
    let root = lab.exec("pve1", "echo 'ops:password1' | chpasswd");
    assert_ne!(root.status, 0, "root is asked, too");
    let hash = lab.on("pve1", "grep ^ops: /etc/shadow");
    assert!(hash.starts_with("ops:$y$"), "{hash}");
    assert_eq!(hash.split(':').nth(4), Some("365"), "useradd gave a new account the site's maximum: {hash}");
}

fn people_s_files_are_their_own_and_root_s_are_not(lab: &Lab) {
    let umask = |script: &str| lab.on("pve1", script).trim().to_owned();
    for shell in ["su - ops -c 'bash -ic umask'", "su - ops -c 'bash -lic umask'", "su ops -c 'bash -ic umask'"] {
        assert_eq!(umask(&format!("{shell} 2>/dev/null")), "0027", "{shell}");
    }
    assert_eq!(umask("bash -ic umask 2>/dev/null"), "0022");
    lab.on("pve1", "echo 'ops ALL=(ALL:ALL) NOPASSWD: ALL' > /etc/sudoers.d/ops");
    let tree = "su ops -c 'umask 027; sudo mkdir -p /tmp/tree/etc; sudo touch /tmp/tree/etc/f' && stat -c %a /tmp/tree /tmp/tree/etc /tmp/tree/etc/f";
    assert_eq!(lab.on("pve1", tree), "755\n755\n644\n");
    for command in ["su - root -c umask", "su root -c umask", "runuser -u ops -- sudo -i sh -c umask"] {
        assert_eq!(umask(&format!("umask 077; {command}")), "0022", "{command}");
    }
}

fn idle_shells_end_and_scripts_do_not(lab: &Lab) {
    let idle = |shell: &str| {
        let script = format!(
            "rm -f /tmp/idle; mkfifo /tmp/idle; sleep 40 > /tmp/idle & timeout 30 script -qec '{shell}' /dev/null < \
             /tmp/idle; status=$?; kill $!; exit $status"
        );
        let said = lab.exec("pve1", &script);
        assert!(said.stdout.contains("auto-logout"), "{shell}: {} {}", said.status, said.stdout);
        assert_ne!(said.status, 124, "{shell} had to be ended");
    };
    for shell in ["su - ops", "su ops", "login -f root"] {
        idle(shell);
    }
    let script = "su - ops -c 'bash -c \"read -t 8 x < <(sleep 4; echo patient); echo \\$x\\$TMOUT\"'";
    assert_eq!(lab.on("pve1", script), "patient\n");
}

fn everything(lab: &Lab) {
    wrong_passwords_lock(lab);
    weak_and_old_passwords_are_refused(lab);
    people_s_files_are_their_own_and_root_s_are_not(lab);
    idle_shells_end_and_scripts_do_not(lab);
}

#[test]
fn people_on_pve_9() {
    let Some(lab) = node("people9", &[], &Facts::fresh_pve9()) else { return };
    everything(&lab);
}

#[test]
fn people_on_pve_8() {
    let Some(lab) = node("people8", &["--pve", "8"], &Facts::fresh_pve8()) else { return };
    everything(&lab);
}
