//! What people do while a run is at work.

use std::io::{Read as _, Write as _};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use rustix::process::Signal;

use super::{Node, PATIENCE, end, send, start};
use crate::support::lab::{Said, eventually};

/// Something that the controls of [`super::CONTROLS`] leave to be done.
const OTHER: [&str; 2] = ["--control", "password.aging"];

#[test]
fn a_second_run_is_refused_and_the_first_unharmed() {
    let Some(node) = Node::up("faults-second") else { return };
    // While the first is still preparing: 1 "locked", 2 "prepared".
    node.hold_at(2);
    let mut first = start(node.apply_with(&super::CONTROLS, &["--yes"], &["--confirm", "manual"]));
    node.wait_until_held(&mut first);
    let second = |when: &str, controls: &[&str]| {
        let said = Said::of(&node.apply_with(controls, &["--yes"], &[]).output().unwrap()).exits(4);
        let busy =
            said.stderr.contains("another run is working") || said.stderr.contains("neither committed nor undone");
        assert!(busy && said.stderr.contains("nothing was changed on pve1"), "{when}: {}", said.stderr);
    };
    second("while it prepares", &super::CONTROLS);
    node.release();
    node.wait_for_window();
    node.on("[ -e /etc/systemd/system/pve-harden-undo-boot.service ]");
    second("while it waits", &OTHER);
    let id = node.newest_id();
    assert_eq!(node.outcome(), "open");
    let said = node.lab.exec(node.name, &format!("pve-harden-confirm {id}"));
    assert_eq!(said.status, 4, "root at the console is nobody of the site: {}", said.stderr);
    let confirm = || node.lab.ssh(node.name, &[], &format!("sudo pve-harden-confirm {id}"));
    node.on("systemctl stop pveproxy.service");
    let said = confirm().exits(4);
    assert!(said.stderr.contains("is not committed: port 8006 answered before and does not answer now"), "{said:?}");
    assert_eq!(node.outcome(), "open");
    node.on("systemctl start pveproxy.service");
    eventually(PATIENCE, "8006 answers and the run is committed", || confirm().status == 0);
    let said = end(first).exits(0);
    assert!(said.stdout.contains(&id), "{}", said.stdout);
    assert_eq!(node.assert_safe("confirmed by hand"), "committed");
}

#[test]
fn interrupted_after_the_first_change_the_node_undoes() {
    let Some(node) = Node::up("faults-interrupt") else { return };
    for (line, signal) in [(6, Signal::INT), (12, Signal::TERM), (2, Signal::HUP)] {
        node.hold_at(line);
        let mut tool = start(node.apply(&[]));
        node.wait_until_held(&mut tool);
        send(&tool, signal);
        node.release();
        let said = end(tool).exits(5);
        assert!(said.stderr.contains("interrupted"), "{}", said.stderr);
        assert_eq!(node.assert_safe(&format!("{signal:?} at line {line}")), "undone");
        assert!(node.journal().contains(" undoing operator"), "{}", node.journal());
    }
}

/// The tool at a terminal of its own; what it showed, growing.
struct Session {
    child: std::process::Child,
    shown: Arc<Mutex<String>>,
}

impl Session {
    fn start(command: &std::process::Command) -> Self {
        let words: Vec<String> = std::iter::once(command.get_program())
            .chain(command.get_args())
            .map(|word| format!("'{}'", word.to_str().unwrap()))
            .collect();
        let mut script = std::process::Command::new("script");
        script.args(["-qefc", &words.join(" "), "/dev/null"]).env("TERM", "dumb").env("HOME", "/nonexistent");
        let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let shown = Arc::new(Mutex::new(String::new()));
        let (mut out, into) = (child.stdout.take().unwrap(), Arc::clone(&shown));
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = out.read(&mut bytes) {
                into.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        });
        Self { child, shown }
    }

    fn wait_for(&self, text: &str) {
        eventually(PATIENCE, text, || self.shown.lock().unwrap().contains(text));
    }

    fn types(&mut self, keys: &str) {
        self.child.stdin.as_mut().unwrap().write_all(keys.as_bytes()).unwrap();
    }

    fn ends(mut self) -> (i32, String) {
        eventually(PATIENCE, "the session ends", || self.child.try_wait().unwrap().is_some());
        (self.child.wait().unwrap().code().unwrap_or(-1), self.shown.lock().unwrap().clone())
    }
}

#[test]
fn a_plan_that_became_stale_at_the_question_is_refused() {
    let Some(mut node) = Node::up("faults-stale") else { return };
    let question = "Apply these changes";
    let mut session = Session::start(&node.apply_with(&super::CONTROLS, &[], &[]));
    session.wait_for(question);
    node.on("echo '# mine' >/etc/sudoers.d/pve-harden-admins; chmod 440 /etc/sudoers.d/pve-harden-admins; ls /etc/sudoers.d");
    let changed = node.lab.fingerprint(node.name);
    session.types("y");
    let (status, shown) = session.ends();
    assert_eq!(status, 4, "{shown}");
    assert!(
        shown.contains("nothing was changed on pve1") && shown.contains("/etc/sudoers.d/pve-harden-admins"),
        "{shown}"
    );
    node.wait_until_settled();
    let before = std::mem::replace(&mut node.before, changed);
    node.assert_as_before("stale");
    node.on("rm /etc/sudoers.d/pve-harden-admins");
    node.before = before;

    for (keys, word) in [("n", "declined"), ("\x03", "")] {
        let mut session = Session::start(&node.apply_with(&super::CONTROLS, &[], &[]));
        session.wait_for(question);
        session.types(keys);
        let (status, shown) = session.ends();
        assert!(status == 4 || (keys != "n" && status == 130), "{keys:?} {status}: {shown}");
        assert!(shown.contains(word), "{shown}");
        node.assert_as_before("declined");
    }
}
