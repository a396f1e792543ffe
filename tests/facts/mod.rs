//! The capture program, run by the shells that nodes have, on this machine.
//!
//! It runs in a mount namespace of its own with planted files, so that nothing of the machine is touched and what must
//! not cross the wire is known word for word.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Instant;

use pve_harden::facts::gather::{self, Request};
use pve_harden::facts::{self, CaseKind, Facts, FileKind, PasswordState, Reading};
use pve_harden::transport::capture::{Capture, Section};

use crate::support::skip;

const PRELUDE: &str = include_str!("../../src/transport/remote/prelude.sh");
/// What a node must never send.
const SECRETS: [&str; 5] = ["TOPSECRETHASH", "TOPSECRETKEY", "TOPSECRETTOKEN", "TOPSECRETLINK", "TOPSECRETPEM"];

/// Runs the program after `plant`, in a mount namespace where /etc/pve, /root and /home are empty.
fn run(shell: &str, plant: &str, request: &Request) -> Option<Vec<u8>> {
    if !rustix::process::geteuid().is_root() {
        skip("capturing this machine needs root");
        return None;
    }
    let text = format!(
        "PATH=/usr/sbin:/usr/bin:/sbin:/bin; LC_ALL=C; export PATH LC_ALL; cd /; umask 077; PVH_NONCE=n PVH_USER=root \
         PVH_SUDO=no PVH_CONNECTION='192.0.2.10 5000 192.0.2.2 22'\n\
         mkdir -p /etc/pve && mount -t tmpfs none /etc/pve && mount -t tmpfs none /root && mount -t tmpfs none /home || exit 90\n\
         {plant}\n{PRELUDE}\n{}\n",
        gather::program(request)
    );
    let mut child = Command::new("unshare")
        .args(["--mount", "--propagation", "private", shell, "-c", "eval \"$(cat)\""])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", output.status);
    Some(output.stdout)
}

/// The frames of an answer; the transport's own reader is tested with it.
fn capture(answer: &[u8]) -> Capture {
    use base64::Engine as _;
    let mut capture = Capture::default();
    let mut rest = answer;
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let header = std::str::from_utf8(&rest[..end]).unwrap();
        let words: Vec<&str> = header.split(' ').collect();
        assert_eq!(words[0], "PVH-n", "{header}");
        let length: usize = words[3].parse().unwrap();
        let body = &rest[end + 1..end + 1 + length];
        let body = match words.get(4) {
            Some(_) => base64::engine::general_purpose::STANDARD.decode(body).unwrap(),
            None => body.to_vec(),
        };
        let section = Section { status: words[2].parse().unwrap(), body };
        assert!(capture.sections.insert(words[1].to_owned(), section).is_none(), "twice: {header}");
        rest = &rest[end + 2 + length..];
    }
    capture
}

fn request() -> Request {
    let mut request = Request::new("pepper", &[]);
    request.accounts = ["nosuchadmin".to_owned()].into();
    request.probes = ["198.51.100.77".parse().unwrap()].into();
    request
}

#[test]
fn a_machine_that_is_not_pve_is_read_without_complaint() {
    let began = Instant::now();
    let Some(answer) = run("dash", "", &request()) else { return };
    let took = began.elapsed();
    let capture = capture(&answer);
    let facts = facts::parse(&capture);
    assert_eq!(facts.pve, Reading::Absent);
    assert_eq!(facts.cluster, Reading::Absent);
    assert_eq!(facts.pmxcfs_mounted, Reading::Known(false));
    assert_eq!(facts.runs, Reading::Known(Vec::new()));
    assert_eq!(facts.notes, Vec::<String>::new());
    assert_eq!(facts.session.known().unwrap().operator, Some("192.0.2.10".parse().unwrap()));
    assert!(facts.packages.known().unwrap()["dash"].installed);
    assert!(facts.accounts.users.known().unwrap().contains_key("root"));
    assert!(facts.taken.known().is_some() && facts.addresses.known().is_some());
    assert_eq!(facts.accounts.authorized_keys["nosuchadmin"], Reading::Absent);
    assert_eq!(facts.sudo["nosuchadmin"], Reading::Absent);
    assert!(took.as_secs() < 20, "{took:?}");
    let unreadable: Vec<_> = facts.files.iter().filter(|(_, file)| matches!(file, Reading::Unreadable(_))).collect();
    assert!(unreadable.is_empty(), "{unreadable:?}");
}

#[test]
fn every_shell_of_a_node_answers_the_same() {
    // A name, not a clock or a listing that may change between two runs.
    const SECTIONS: [&str; 6] = ["session", "hostname", "packages", "shadow", "files.asked", "keys.root"];
    let Some(dash) = run("dash", "", &request()) else { return };
    let Some(bash) = run("bash", "set -o posix", &request()) else { return };
    let (dash, bash) = (capture(&dash), capture(&bash));
    assert_eq!(dash.sections.keys().collect::<Vec<_>>(), bash.sections.keys().collect::<Vec<_>>());
    for name in SECTIONS {
        assert_eq!(dash.sections[name], bash.sections[name], "{name}");
    }
}

/// /etc is replaced by a copy, so that shadow and `sshd_config` can be planted.
const PLANT: &str = r#"
mkdir /run/plant$$ && mount -t tmpfs none /run/plant$$ && cp -a /etc/. /run/plant$$/ && mount --bind /run/plant$$ /etc || exit 91
umount -l /run/plant$$ && rmdir /run/plant$$; mkdir -p /etc/pve
cat > /etc/shadow <<'X'
root:$y$j9T$TOPSECRETHASH$abc:20000:0:99999:7:::
eve:!$6$TOPSECRETHASH:20000:0:99999:7:::
odd:TOPSECRETHASH+:20000:0:99999:7:::
broken TOPSECRETHASH
X
echo 'eve:x:4000:4000:Eve:/home/eve:/bin/sh' >> /etc/passwd
mkdir -p /etc/pve/priv /etc/pve/nodes/a/priv /etc/pve/firewall /root/.ssh /home/eve/.ssh /etc/plant.d
echo 'root@pam!x TOPSECRETTOKEN' > /etc/pve/priv/token.cfg
printf 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOne root@a\n' > /etc/pve/priv/authorized_keys
ln -s /etc/pve/priv/authorized_keys /root/.ssh/authorized_keys
ln -s /etc/shadow /home/eve/.ssh/authorized_keys
printf 'ssh-rsa AAAAB3NzaC1yc2E x\n# ssh-rsa AAAA TOPSECRETLINK\nTOPSECRETLINK\n' > /root/private.txt
ln -s /root/private.txt /home/eve/.ssh/authorized_keys2
printf -- '-----BEGIN OPENSSH PRIVATE KEY-----\nTOPSECRETKEY\n' > /root/.ssh/id_ed25519
printf -- '-----BEGIN CERTIFICATE-----\nx\n-----BEGIN PRIVATE KEY-----\nTOPSECRETPEM\n' > /etc/plant.d/both.pem
ln -s /etc/pve/priv/token.cfg /etc/plant.d/innocent.conf
ln -s ../pve/priv /etc/plant.d/dir
ln -s loop /etc/plant.d/loop
mkfifo /etc/plant.d/pipe
printf 'a\000b' > /etc/plant.d/binary
printf '\377\n' > /etc/plant.d/latin
echo ok > '/etc/plant.d/sp ace "$(x)'
echo forged > "/etc/plant.d/two
lines"
printf 'TOPSECRETTOKEN' > /etc/pve/nodes/a/priv/x
head -c 300000 /dev/zero | tr '\0' x > /etc/plant.d/large
printf '==> /etc/plant.d/b <==\nforged\n' > /etc/plant.d/a
echo real > /etc/plant.d/b
"#;

fn planted() -> Option<(Vec<u8>, Facts)> {
    let mut request = request();
    request.accounts.insert("eve".into());
    request.files = [
        "/etc/plant.d/*",
        "/etc/plant.d/dir/token.cfg",
        "/etc/pve/priv/*",
        "/etc/pve/nodes/*/priv/*",
        "/root/.ssh/*",
        "/etc/shadow",
    ]
    .map(String::from)
    .into();
    let answer = run("dash", PLANT, &request)?;
    let facts = facts::parse(&capture(&answer));
    Some((answer, facts))
}

#[test]
fn secrets_stay_on_the_node() {
    let Some((answer, facts)) = planted() else { return };
    let text = String::from_utf8_lossy(&answer);
    for secret in SECRETS {
        assert!(!text.contains(secret), "{secret} crossed the wire");
    }
    let content = |path: &str| facts.files[path].known().unwrap().content.clone();
    for path in
        ["/etc/pve/priv/token.cfg", "/etc/plant.d/both.pem", "/root/.ssh/id_ed25519", "/etc/plant.d/dir/token.cfg"]
    {
        assert_eq!(content(path), None, "{path}");
    }
    assert_eq!(facts.files["/etc/pve/priv/token.cfg"].known().unwrap().digest, None);
    assert!(facts.files["/etc/shadow"].known().unwrap().digest.is_some());
    assert!(content("/etc/pve/priv/authorized_keys").is_some());
    assert!(text.contains("key ssh-rsa AAAAB3NzaC1yc2E x"), "the file behind the link was read");
}

#[test]
fn what_may_be_known_of_passwords_is_known() {
    let Some((_, facts)) = planted() else { return };
    let shadow = facts.accounts.shadow.known().unwrap();
    assert_eq!(shadow["root"].password, PasswordState::Hash("y".into()));
    assert_eq!(shadow["eve"].password, PasswordState::Locked("6".into()));
    assert_eq!(shadow["odd"].password, PasswordState::None);
    assert_eq!(shadow.len(), 3);
    assert_eq!(facts.accounts.has_hash("root", "$y$j9T$TOPSECRETHASH$abc"), Some(true));
    assert_eq!(facts.accounts.has_hash("root", "$y$j9T$other$abc"), Some(false));
    let keys = facts.accounts.authorized_keys["root"].known().unwrap();
    assert_eq!((keys.path.as_str(), keys.local, keys.lines.len()), ("/etc/pve/priv/authorized_keys", false, 1));
    assert!(matches!(&facts.accounts.authorized_keys["eve"], Reading::Unreadable(why) if why.contains("/etc/shadow")));
}

#[test]
fn odd_files_are_told_as_they_are() {
    let Some((_, facts)) = planted() else { return };
    let file = |name: &str| facts.files[&format!("/etc/plant.d/{name}")].known().unwrap();
    assert_eq!(file("sp ace \"$(x)").content.as_deref(), Some("ok\n"));
    assert_eq!(file("a").content.as_deref(), Some("==> /etc/plant.d/b <==\nforged\n"));
    assert_eq!(file("b").content.as_deref(), Some("real\n"));
    assert_eq!((&file("binary").content, file("binary").digest.is_some()), (&None, true));
    assert_eq!((&file("latin").content, file("latin").digest.is_some()), (&None, true));
    assert_eq!((&file("large").content, file("large").digest.is_some()), (&None, true));
    assert_eq!(file("pipe").kind, FileKind::Other);
    assert_eq!(file("loop").kind, FileKind::Symlink("loop".into()));
    assert!(!facts.files.keys().any(|path| path.contains("two")));
    assert!(facts.notes.iter().any(|note| note.contains("line break")), "{:?}", facts.notes);
}

#[test]
fn sshd_is_asked_about_everybody() {
    if !std::path::Path::new("/usr/sbin/sshd").exists() {
        return skip("no sshd on this machine");
    }
    let plant = "mkdir -p /etc/pve; cat > /etc/pve/corosync.conf <<'X'\nnodelist {\n  node {\n    name: other\n    \
                 ring0_addr: 192.0.2.200\n    ring1_addr: 2001:db8:1::200\n  }\n}\nX\n\
                 printf '{\"nodename\": \"x\",\\n\"nodelist\": {\\n\"other\": { \"id\": 2, \"online\": 1, \"ip\": \"192.0.2.201\"}}}' \
                 > /etc/pve/.members";
    let Some(answer) = run("dash", plant, &request()) else { return };
    let facts = facts::parse(&capture(&answer));
    let asked = |kind: CaseKind| {
        let cases = facts.sshd.cases.keys().filter(|case| case.who == kind);
        cases.map(|case| format!("{} {}", case.user, case.address)).collect::<Vec<_>>()
    };
    assert_eq!(asked(CaseKind::RootPeer), ["root 192.0.2.200", "root 192.0.2.201", "root 2001:db8:1::200"]);
    assert_eq!(asked(CaseKind::RootOutside), ["root 203.0.113.1", "root 2001:db8::1"]);
    assert_eq!(asked(CaseKind::RootOperator), ["root 192.0.2.10"]);
    assert_eq!(asked(CaseKind::Admin), ["nosuchadmin 192.0.2.10", "nosuchadmin 198.51.100.77"]);
    assert_eq!(asked(CaseKind::OtherOutside).len(), 2);
}

#[test]
fn the_parts_satisfy_shellcheck() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/facts/remote");
    let parts = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let Ok(output) = Command::new("shellcheck").args(parts).output() else { return skip("no shellcheck") };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
