//! Alerts of a lab node arrive at a webhook and at PVE's notifications, each from the real act.

mod flood;
mod pair;
mod receiver;

use std::time::Duration;

use crate::support::lab::{Lab, eventually};
use receiver::Receiver;

const CONTROLS: [&str; 6] = ["pve1", "--profile", "strict", "--control", "alerts.*", "--yes"];
const STATE: &str = "/var/lib/pve-harden-alerts";

/// The event of a login with root's password.
const fn root_login_words() -> &'static str {
    "root logged in by SSH (password) from"
}

/// Debian's Postfix, which PVE brings along, with a mailbox for root; and somebody whose second factor will go.
fn prepare(lab: &Lab) {
    lab.on(
        "pve1",
        "echo 'postfix postfix/main_mailer_type select Local only' | debconf-set-selections
        apt-get update >/dev/null 2>&1; DEBIAN_FRONTEND=noninteractive apt-get install -y postfix >/dev/null 2>&1
        postconf -e 'mydestination = $myhostname, pve1.lab.example, localhost' 'inet_interfaces = loopback-only' && systemctl restart postfix
        pveum user modify root@pam --email root@pve1.lab.example
        pveum user add zoe@pve && pvesh create /access/tfa/zoe@pve --type recovery >/dev/null
        mkdir -p /usr/share/pve-manager/templates/default && : >/etc/pve/qemu-server/100.conf",
    );
}

/// Three wrong passwords of root, through PAM, from a host beside the node.
fn guess(lab: &Lab) {
    let folder = tempfile::tempdir().unwrap();
    let askpass = folder.path().join("askpass");
    std::fs::write(&askpass, "#!/bin/sh\necho wrong\n").unwrap();
    std::fs::set_permissions(&askpass, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let script = format!(
        "SSH_ASKPASS={} SSH_ASKPASS_REQUIRE=force ssh -F /dev/null -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
         -o PubkeyAuthentication=no -o PreferredAuthentications=password -o NumberOfPasswordPrompts=3 root@{} true",
        askpass.display(),
        lab.address("pve1")
    );
    let said = lab.lab(["neighbour", "--", "sh", "-c", &script]);
    assert!(said.stderr.contains("Permission denied"), "{}", said.stderr);
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
        as_root() {{
            curl -sk -o /dev/null -w '%{{http_code}} ' -b "PVEAuthCookie=$ticket" -H "CSRFPreventionToken: $csrf" "$@"
        }}
        as_root -X PUT -d description=mine $api/nodes/pve1/config
        as_root -X POST $api/nodes/pve1/qemu/100/status/start
        pveum user token add eve@pve old --comment "CI [made $(date -d '100 days ago' +%F)]" >/dev/null
        pvesh delete /access/tfa/zoe@pve/recovery
        openssl req -x509 -newkey rsa:2048 -nodes -keyout /root/short.key -out /root/short.pem -days 10 \
            -subj /CN=pve1.lab.example 2>/dev/null
        pvenode cert set /root/short.pem /root/short.key >/dev/null
        echo "$secret""#,
        password = lab.root_password(),
    );
    let said = lab.on("pve1", &script);
    let (codes, secret) = said.trim().rsplit_once(' ').unwrap();
    assert_eq!(codes, "200 200");
    let use_it = format!(
        "curl -sk -H 'Authorization: PVEAPIToken=eve@pve!ci={secret}' https://{address}:8006/api2/json/version"
    );
    lab.lab(["neighbour", "--", "sh", "-c", &use_it]).exits(0);
    guess(lab);
    lab.on("pve1", "chmod 0600 /etc/pve-harden/alerts.json && systemctl restart pve-harden-alerts");
}

/// Tasks of root's that no line of the access log tells of, and one that PVE's scheduler began.
fn tasks(lab: &Lab) {
    lab.on(
        "pve1",
        "systemd-run --quiet pvesh create /nodes/pve1/qemu/100/status/shutdown --timeout 600
        pvesh create /nodes/localhost/services/pvestatd/restart
        mkdir -p /etc/systemd/system/pvescheduler.service.d
        printf '[Service]\\n%s\\nExecReload=\\nExecReload=%s\\n' Environment=PVE_LOG_ID=pvescheduler \
            '/usr/bin/pvesh create /nodes/pve1/services/spiceproxy/restart' >/etc/systemd/system/pvescheduler.service.d/job.conf
        systemctl daemon-reload && systemctl reload pvescheduler
        grep -q srvrestart:spiceproxy /var/log/pve/tasks/index",
    );
}

/// Each way by itself: a receiver nobody vouches for gets nothing; without PVE's templates it is a plain mail to root.
fn ways_out(lab: &Lab, receiver: &Receiver) {
    let test = "pve-harden-alerts --test-alert 2>&1";
    let said = lab.exec("pve1", test).exits(1).stdout;
    assert!(said.contains("PVE's notifications: sent\nwebhook: the webhook was not reached (URLError)\n"), "{said}");
    receiver.trusted_by(lab, "pve1");
    let templates = "/usr/share/pve-manager/templates/default";
    let said = lab.on("pve1", &format!("mv {templates} {templates}.away; {test}; mv {templates}.away {templates}"));
    assert!(
        said.contains("mail to root: sent\nwebhook: sent\nan alert was sent\n") && !said.contains("s3cret-hook"),
        "{said}"
    );
    assert!(receiver.texts().contains("this is a test: alerts of pve-harden arrive here"));
    let mails = "grep -c 'this is a test: alerts of pve-harden arrive here' /var/mail/root";
    eventually(Duration::from_secs(60), "Postfix delivered both", || lab.exec("pve1", mails).stdout.trim() == "2");
}

#[test]
fn what_somebody_does_is_told() {
    let Some(lab) = Lab::up("alerts", &["pve1"], &[]) else { return };
    let receiver = Receiver::start(&lab);
    receiver.hook(&lab, "pve1");
    prepare(&lab);
    lab.harden(&["apply", "pve1", "--control", "accounts.admin", "--yes"]).exits(0);
    let applied = lab.harden(&[&["apply"], &CONTROLS[..]].concat()).exits(0);
    assert!(!applied.stdout.contains("s3cret-hook"), "{}", applied.stdout);
    eventually(Duration::from_secs(120), "the service has looked around", || {
        lab.exec("pve1", &format!("grep -q '\"users\"' {STATE}/state.json")).status == 0
    });
    ways_out(&lab, &receiver);

    tasks(&lab);
    act(&lab);
    let address = lab.address("pve1");
    let neighbour = format!("{}.200", address.rsplit_once('.').unwrap().0);
    let (guesses, elsewhere) = (
        format!("failed logins from {neighbour}: 3 within 15 minutes, the last for root"),
        format!("token eve@pve!ci is used from a new address: {neighbour}"),
    );
    let wanted = [
        root_login_words(),
        "root@pam logged in to the web interface",
        "failed logins from",
        guesses.as_str(),
        "%3Cb%3E%22eve@pve",
        "new user eve@pve",
        "new token eve@pve!ci, with all rights of its user",
        "new right: eve@pve has PVEAuditor on / and below",
        "token eve@pve!ci is used for the first time",
        elsewhere.as_str(),
        "token eve@pve!ci expires in 10 days",
        "a token was refused",
        "second factor (recovery keys) removed from zoe@pve",
        "certificate /etc/pve/local/pveproxy-ssl.pem expires in 10 days",
        "token eve@pve!old is due for rotation: the same secret for ",
        "root@pam: PUT /nodes/pve1/config",
        "root@pam: POST /nodes/pve1/qemu/100/status/start from",
        "task of root@pam: qmshutdown 100, running",
        "task of root@pam: srvrestart pvestatd, OK",
        "drift: /etc/pve-harden/alerts.json has another mode",
    ];
    receiver.wait_for(&lab, "pve1", &wanted, || true);
    let texts = receiver.texts();
    // The access log told of it; PVE's own; new; hidden by the sandbox.
    for quiet in ["qmstart", "spiceproxy", "eve@pve!ci is due", "authorized_keys"] {
        assert!(!texts.contains(quiet), "{quiet}: {texts}");
    }
    for text in receiver.posted.lock().unwrap().iter().map(|body| body["message"].as_str().unwrap().to_owned()) {
        assert!(text.len() < 8000 && !text.contains(['<', '>', '"', '\u{1b}']), "{text}");
    }
    // The same through PVE's notifications, from within the sandbox: its target is a mail, which Postfix delivers.
    let mails = lab.on("pve1", "cat /var/mail/root");
    assert!(mails.contains("X-Fields: hostname=pve1 type=pve-harden\nX-Severity: error\n"), "{mails}");
    assert!(mails.contains("  second factor (recovery keys) removed from zoe@pve"), "{mails}");
    assert_eq!(lab.exec("pve1", "journalctl --no-pager | grep -v ' audit' | grep s3cret-hook").stdout, "");

    lab.on("pve1", "chmod 0644 /etc/pve-harden/alerts.json");
    lab.harden(&["plan", "pve1", "--profile", "strict", "--control", "alerts.events"]).exits(0);
    lab.harden(&["rollback", "pve1", "--yes"]).exits(0);
    let left = "systemctl is-active pve-harden-alerts; ls -d /usr/local/lib/pve-harden /usr/local/sbin/pve-harden-alerts \
        /etc/systemd/system/pve-harden-alerts.service /etc/systemd/system/multi-user.target.wants/pve-harden-alerts.service \
        /etc/pve-harden/alerts.json 2>/dev/null";
    assert_eq!(lab.exec("pve1", left).stdout.trim(), "inactive");
}
