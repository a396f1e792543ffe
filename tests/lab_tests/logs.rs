//! What a node writes down arrives where it should.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::lab::{Lab, eventually};

const PATIENCE: Duration = Duration::from_secs(120);
const NAME: &str = "logs.example.net";

/// An authority and a certificate of its for [`NAME`], beside the site; the authority as PEM.
fn authority(lab: &Lab) -> String {
    let script = format!(
        "set -e; cd '{}'
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj '/CN=Log authority' -keyout logs-ca.key -out logs-ca.pem
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj '/CN={NAME}' -keyout logs.key -out logs.csr
        printf 'subjectAltName=DNS:{NAME}\\nextendedKeyUsage=serverAuth\\n' >logs.ext
        openssl x509 -req -in logs.csr -CA logs-ca.pem -CAkey logs-ca.key -CAcreateserial -days 2 -extfile logs.ext -out logs.pem",
        lab.site.parent().unwrap().display()
    );
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::read_to_string(lab.site.with_file_name("logs-ca.pem")).unwrap()
}

/// A TLS receiver on the host `outside` that appends to a file; ends by itself.
fn receiver_of(lab: &Lab) -> Child {
    let path = |name: &str| lab.site.with_file_name(name).display().to_string();
    let listen =
        format!("OPENSSL-LISTEN:6514,reuseaddr,fork,cert={},key={},verify=0", path("logs.pem"), path("logs.key"));
    let into = format!("OPEN:{},creat,append", path("received"));
    Command::new("nsenter")
        .arg(format!("--net={}", lab.namespace("outside").display()))
        .args(["timeout", "400", "socat", "-u", &listen, &into])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// Ends what it was given, whatever happens.
struct Ending(Child);

impl Drop for Ending {
    fn drop(&mut self) {
        // timeout(1) leads a group of its own, with a process for each connection.
        let _ = rustix::process::kill_process_group(
            rustix::process::Pid::from_child(&self.0),
            rustix::process::Signal::KILL,
        );
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Strict's controls of logs towards this receiver.
struct Forwarding {
    profile: String,
}

impl Forwarding {
    fn of(lab: &Lab) -> Self {
        let authority = authority(lab);
        let outside =
            lab.lab(["outside", "--", "sh", "-c", "ip -4 -o addr show eth0 | sed 's|.* inet ||; s|/.*||'"]).exits(0);
        let profile = lab.site.with_file_name("logs.toml");
        std::fs::write(
            &profile,
            format!(
                "extends = \"strict\"\n[logs.journal]\nmax-use-mib = 64\n[logs.forward]\nenabled = true\ntarget = \"{}:6514\"\npeer-name = \"{NAME}\"\nqueue-mib = {QUEUE_MIB}\nca = \"\"\"\n{authority}\"\"\"\n",
                outside.stdout.trim()
            ),
        )
        .unwrap();
        Self { profile: profile.display().to_string() }
    }

    fn words<'a>(&'a self, verb: &'a str) -> Vec<&'a str> {
        let mut words = vec![verb, "pve1", "--profile", &self.profile, "--control", "logs.*"];
        words.extend(["--control", "accounts.admin"]);
        words.extend((verb == "apply").then_some("--yes"));
        words
    }
}

/// The least that a profile may ask for.
const QUEUE_MIB: u64 = 16;

fn arrives(lab: &Lab, nonce: &str) {
    let received = lab.site.with_file_name("received");
    let found =
        || Command::new("grep").args(["-aqF", nonce]).arg(&received).status().is_ok_and(|status| status.success());
    eventually(PATIENCE, &format!("{nonce} arrives"), found);
}

/// The receiver goes and comes back. Meanwhile more is written than the queue holds.
fn the_receiver_may_go(lab: &Lab, receiver: Ending) {
    drop(receiver);
    lab.on("pve1", "logger -t nonce nonce-away && systemctl is-active rsyslog");
    lab.on("pve1", "head -c 30000000 /dev/zero | tr '\\0' x | fold -w 1000 >>/var/log/pve-firewall.log; echo >>/var/log/pve-firewall.log");
    let spool = || {
        let said = lab.on("pve1", "du -sk /var/spool/rsyslog | cut -f1");
        said.trim().parse::<u64>().unwrap()
    };
    eventually(PATIENCE, "the queue is on disk", || spool() > QUEUE_MIB * 1024 / 2);
    // Full or not, the node writes down what happens, and nobody waits for the receiver.
    lab.on("pve1", "timeout 20 logger -t nonce nonce-local && systemctl is-active rsyslog pveproxy ssh");
    eventually(PATIENCE, "the journal has it", || {
        lab.exec("pve1", "journalctl -q -b -t nonce -o cat | grep -q nonce-local").status == 0
    });
    assert!(spool() <= (QUEUE_MIB + 2) * 1024, "{} KiB in a queue of {QUEUE_MIB} MiB", spool());
    let _receiver = Ending(receiver_of(lab));
    arrives(lab, "nonce-away");
}

#[test]
fn what_a_node_writes_arrives_at_a_tls_receiver_and_its_journal_is_bounded() {
    let Some(lab) = Lab::up("logs", &["pve1"], &[]) else { return };
    forwarded_and_bounded(&lab);
}

#[test]
fn a_node_of_pve_8_forwards_as_well() {
    let Some(lab) = Lab::up("logs-eight", &["pve1"], &["--pve", "8"]) else { return };
    forwarded_and_bounded(&lab);
}

fn forwarded_and_bounded(lab: &Lab) {
    let forwarding = Forwarding::of(lab);
    let receiver = Ending(receiver_of(lab));
    let before = lab.on(
        "pve1",
        "mkdir -p /var/log/pve/tasks/A && touch /var/log/pve-firewall.log && ls /etc/rsyslog.d 2>/dev/null; true",
    );
    assert_eq!(before, "");
    lab.harden(&forwarding.words("apply")).exits(0);

    lab.on("pve1", "logger -t nonce nonce-journal && echo nonce-firewall >>/var/log/pve-firewall.log &&
        echo nonce-task >/var/log/pve/tasks/A/UPID:pve1:0000:0000:0000:nonce::root@pam: && curl -sk https://127.0.0.1:8006/api2/json/nonce-request");
    for nonce in ["nonce-journal", "nonce-firewall", "nonce-task", "nonce-request"] {
        arrives(lab, nonce);
    }
    eventually(PATIENCE, "the second plan finds nothing to do", || lab.harden(&forwarding.words("plan")).status == 0);
    let bound = "journalctl -q -b -o cat --output-fields=MESSAGE -n 1 MESSAGE_ID=ec387f577b844b8fa948f33cad9a75e6 'JOURNAL_NAME=System Journal'";
    assert!(lab.on("pve1", bound).contains("max 64"), "{}", lab.on("pve1", bound));
    the_receiver_may_go(lab, receiver);

    lab.harden(&["rollback", "pve1", "--yes"]).exits(0);
    let left = "find /etc/rsyslog.d /etc/systemd/journald.conf.d /etc/ssl/certs -name '*pve-harden*'; systemctl is-active rsyslog; systemctl --failed --plain --no-legend '*syslog*'; true";
    assert_eq!(lab.on("pve1", left).trim(), "inactive");
}

/// As pve-manager ships it.
const LOGROTATE: &str = "/var/log/pveproxy/access.log {\n\trotate 7\n\tdaily\n\tmissingok\n\tcompress\n\tdelaycompress\n\tnotifempty\n\tcopytruncate\n\tcreate 640 www-data www-data\n}\n";

#[test]
fn old_requests_stay_as_long_as_asked() {
    let Some(lab) = Lab::up("logs-old", &["pve1"], &[]) else { return };
    lab.on("pve1", &format!("printf '{}' >/etc/logrotate.d/pve", LOGROTATE.replace('\n', "\\n").replace('\t', "\\t")));
    // Nine requests, a rotation after each: how many are still there.
    let rotate = "rm -f /var/log/pveproxy/access.log.*; for turn in 1 2 3 4 5 6 7 8 9; do
            curl -sk https://127.0.0.1:8006/api2/json/turn-$turn && for try in $(seq 100); do [ -s /var/log/pveproxy/access.log ] && break; sleep 0.1; done
            logrotate -f /etc/logrotate.d/pve || exit 1
        done >/dev/null; ls /var/log/pveproxy/ | grep -c 'access.log.'";
    assert_eq!(lab.on("pve1", rotate).trim(), "7");
    let words = ["pve1", "--profile", "strict", "--control", "logs.retention", "--control", "accounts.admin"];
    lab.harden(&[&["apply", "--yes"][..], &words].concat()).exits(0);
    assert!(lab.on("pve1", "cat /etc/logrotate.d/pve").contains("\trotate 90\n\tdaily\n"));
    let judged = lab.on("pve1", "logrotate -d /etc/logrotate.conf 2>&1");
    assert!(!judged.contains("error:") && judged.contains("(90 rotations)"), "{judged}");
    assert_eq!(lab.on("pve1", rotate).trim(), "9");
    lab.harden(&[&["plan"][..], &words].concat()).exits(0);
    lab.harden(&["rollback", "pve1", "--yes"]).exits(0);
    assert!(lab.on("pve1", "cat /etc/logrotate.d/pve").contains("\trotate 7\n"));
}
