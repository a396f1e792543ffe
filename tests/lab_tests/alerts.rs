//! Alerts of a lab node arrive at a webhook and at PVE's notifications, each from the real act; a flood is a few of them.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::lab::{Lab, eventually};

const CONTROLS: [&str; 6] = ["pve1", "--profile", "strict", "--control", "alerts.*", "--yes"];
const STATE: &str = "/var/lib/pve-harden-alerts";
/// Stands for PVE's own module; writes down what it is called with.
const NOTIFY: &str = "package PVE::Notify; sub notify { my ($severity, $template, $data, $fields) = @_; \
    open(my $out, '>>', \"$ENV{STATE_DIRECTORY}/notified\") or die; \
    print $out \"$severity $template $fields->{type} $fields->{hostname} $data->{title}\\n\" } 1;";

/// Bodies of what was posted, in order.
type Posted = Arc<Mutex<Vec<serde_json::Value>>>;

/// A small HTTP receiver on the operator's machine; gives its port.
fn receiver() -> (u16, Posted) {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let posted = Posted::default();
    let all = Arc::clone(&posted);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            if let Some(body) = request(&stream) {
                all.lock().unwrap().push(body);
            }
        }
    });
    (port, posted)
}

fn request(mut stream: &TcpStream) -> Option<serde_json::Value> {
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    let mut reader = BufReader::new(stream);
    let (mut length, mut line) = (0, String::new());
    while reader.read_line(&mut line).ok()? > 2 {
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().ok()?;
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").ok()?;
    serde_json::from_slice(&body).ok()
}

/// Every text so far.
fn texts(posted: &Posted) -> String {
    posted.lock().unwrap().iter().fold(String::new(), |mut all, body| {
        let _ = writeln!(all, "{}", body["message"].as_str().unwrap_or_default());
        all
    })
}

/// How many events of a kind were told.
fn told(posted: &Posted, kind: &str) -> u64 {
    let start = format!("{kind} (");
    let texts = texts(posted);
    let counts = texts.lines().filter_map(|line| line.strip_prefix(&start)?.strip_suffix(')')?.parse::<u64>().ok());
    counts.sum()
}

/// The operator's address in the lab, which the node reaches: `.2` of the management network.
fn operator(lab: &Lab) -> String {
    let site = std::fs::read_to_string(&lab.site).unwrap();
    let network = site.split("management = [\"").nth(1).and_then(|rest| rest.split(".0/28").next()).unwrap();
    format!("{network}.2")
}

/// What somebody does on a node that wants to stay: by ssh, by 8006, by pveum.
fn act(lab: &Lab) {
    assert_eq!(lab.root_password_login("pve1").stdout.trim(), "0");
    let address = lab.address("pve1");
    let script = format!(
        r#"set -eu
        api=https://{address}:8006/api2/json
        pveum user add eve@pve
        secret=$(pveum user token add eve@pve ci --privsep 0 --expire $(($(date +%s) + 864000)) --output-format json |
            sed 's/.*"value" *: *"\([^"]*\)".*/\1/')
        pveum acl modify / --users eve@pve --roles PVEAuditor
        curl -sk -H "Authorization: PVEAPIToken=eve@pve!ci=$secret" $api/version >/dev/null
        curl -sk -H "Authorization: PVEAPIToken=eve@pve!ci=00000000-0000-0000-0000-000000000000" $api/version >/dev/null &
        for try in 1 2 3; do
            curl -sk --data-urlencode 'username=<b>"eve@pve' -d password=wrong-password $api/access/ticket >/dev/null &
        done
        wait
        curl -sk --data-urlencode 'username=root@pam' --data-urlencode 'password={password}' $api/access/ticket >/tmp/login
        ticket=$(sed 's/.*"ticket" *: *"\([^"]*\)".*/\1/' /tmp/login)
        csrf=$(sed 's/.*"CSRFPreventionToken" *: *"\([^"]*\)".*/\1/' /tmp/login)
        curl -sk -o /dev/null -w '%{{http_code}}' -X PUT -b "PVEAuthCookie=$ticket" -H "CSRFPreventionToken: $csrf" \
            -d description=mine $api/nodes/pve1/config"#,
        password = lab.root_password(),
    );
    assert_eq!(lab.on("pve1", &script).trim(), "200");
    lab.on("pve1", "chmod 0600 /etc/pve-harden/alerts.json && systemctl restart pve-harden-alerts");
}

#[test]
fn what_somebody_does_is_told_and_a_flood_is_a_few_alerts() {
    let Some(lab) = Lab::up("alerts", &["pve1"], &[]) else { return };
    let (port, posted) = receiver();
    let hook = format!("http://{}:{port}/s3cret-hook", operator(&lab));
    lab.on("pve1", &format!("mkdir -p /etc/pve-harden && umask 077 && echo '{hook}' >/etc/pve-harden/alerts-webhook"));
    lab.on("pve1", "mkdir -p /usr/share/pve-manager/templates/default /usr/share/perl5/PVE");
    lab.on("pve1", &format!("cat >/usr/share/perl5/PVE/Notify.pm <<'END'\n{NOTIFY}\nEND"));
    lab.harden(&["apply", "pve1", "--control", "accounts.admin", "--yes"]).exits(0);
    let applied = lab.harden(&[&["apply"], &CONTROLS[..]].concat()).exits(0);
    assert!(!applied.stdout.contains("s3cret-hook"), "{}", applied.stdout);
    eventually(Duration::from_secs(60), "the service has looked around", || {
        lab.exec("pve1", &format!("grep -q '\"users\"' {STATE}/state.json")).status == 0
    });

    act(&lab);
    let flood = "i=0; while [ $i -lt 10000 ]; do echo \"::ffff:192.0.2.9 - root@pam [01/01/2026:00:00:00 +0000] \\\"POST \
        /api2/json/nodes/pve1/qemu/$i/status/start HTTP/1.1\\\" 200 9\"; i=$((i + 1)); done >>/var/log/pveproxy/access.log";
    lab.on("pve1", flood);
    let wanted = [
        "root logged in by SSH (password) from",
        "root@pam logged in to the web interface",
        "failed logins from",
        "%3Cb%3E%22eve@pve",
        "new user eve@pve",
        "new token eve@pve!ci, with all rights of its user",
        "new right: eve@pve has PVEAuditor on / and below",
        "token eve@pve!ci is used for the first time",
        "token eve@pve!ci expires in 10 days",
        "a token was refused",
        "root@pam: PUT /nodes/pve1/config",
        "drift: /etc/pve-harden/alerts.json has another mode",
    ];
    let end = std::time::Instant::now() + Duration::from_secs(240);
    loop {
        let missing: Vec<_> = wanted.iter().filter(|words| !texts(&posted).contains(**words)).collect();
        if missing.is_empty() && told(&posted, "root-operations") >= 10_000 {
            break;
        }
        let log = || lab.on("pve1", "journalctl -u pve-harden-alerts --no-pager -n 40");
        assert!(std::time::Instant::now() < end, "not told: {missing:?}\n{}\n{}", texts(&posted), log());
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(told(&posted, "root-operations") <= 10_010);
    let count = posted.lock().unwrap().len();
    assert!(count <= 8, "{count} alerts");
    for text in posted.lock().unwrap().iter().map(|body| body["message"].as_str().unwrap().to_owned()) {
        assert!(text.len() < 8000 && !text.contains(['<', '>', '"', '\u{1b}']), "{text}");
    }
    assert!(!texts(&posted).contains("authorized_keys"), "what the sandbox hides is no drift");
    let notified = lab.on("pve1", &format!("cat {STATE}/notified"));
    assert!(notified.contains("warning pve-harden pve-harden pve1 pve1: "), "{notified}");
    assert_eq!(lab.exec("pve1", "journalctl --no-pager | grep -v ' audit' | grep s3cret-hook").stdout, "");

    let before = posted.lock().unwrap().len();
    let test = lab.exec("pve1", &format!("STATE_DIRECTORY={STATE} pve-harden-alerts --test-alert")).exits(0);
    assert!(test.stderr.contains("webhook: sent") && test.stderr.contains("notifications: sent"), "{}", test.stderr);
    assert!(texts(&posted).contains("this is a test") && posted.lock().unwrap().len() > before);

    lab.on("pve1", "chmod 0644 /etc/pve-harden/alerts.json");
    lab.harden(&["plan", "pve1", "--profile", "strict", "--control", "alerts.events"]).exits(0);
    lab.harden(&["rollback", "pve1", "--yes"]).exits(0);
    let left = "systemctl is-active pve-harden-alerts; ls -d /usr/local/lib/pve-harden /usr/local/sbin/pve-harden-alerts \
        /etc/systemd/system/pve-harden-alerts.service /etc/systemd/system/multi-user.target.wants/pve-harden-alerts.service \
        /etc/pve-harden/alerts.json 2>/dev/null";
    assert_eq!(lab.exec("pve1", left).stdout.trim(), "inactive");
}
