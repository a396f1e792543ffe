//! Two members of a cluster on PVE 8: an account with external account binding, cluster-wide and made once; a staging CA
//! first; names proved at port 80 and by two DNS services, each with settings of its own.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use crate::support::lab::{Lab, Said, eventually, feed};

/// What the CA gave out.
const BINDING: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
const INSIDE: &str = "s3cret-of-inside-4711";
const OUT: &str = "s3cret-of-out-0815";
/// A DNS service as `acmeproxy` speaks to it: who may set which names, handed on to Pebble's DNS server.
const DNS_SERVICE: &str = r#"
import base64, http.server, json, urllib.request

MAY = {"inside": ("s3cret-of-inside-4711", ".inside.example."), "out": ("s3cret-of-out-0815", ".out.example.")}

class Service(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        _, _, word = self.headers.get("Authorization", "").partition(" ")
        user, _, password = base64.b64decode(word).decode().partition(":")
        wanted, zone = MAY.get(user, ("", "-"))
        if not wanted or password != wanted or not body["fqdn"].endswith(zone):
            self.send_error(403)
            return
        call = "set-txt" if self.path == "/present" else "clear-txt"
        record = json.dumps({"host": body["fqdn"], "value": body["value"]}).encode()
        urllib.request.urlopen("http://127.0.0.1:8055/" + call, record).read()
        self.send_response(200)
        self.end_headers()

http.server.ThreadingHTTPServer(("0.0.0.0", 9090), Service).serve_forever()
"#;

/// A production CA that wants accounts bound, a staging CA, their DNS, and a service that sets records in it.
fn authorities(lab: &Lab) -> String {
    let address = lab.address("ca");
    lab.on(
        "ca",
        "apt-get update >/dev/null 2>&1; apt-get install -y pebble python3 >/dev/null 2>&1; command -v pebble python3",
    );
    super::server_certificate(lab);
    feed(lab, "ca", "cat >/root/dns.py", DNS_SERVICE.as_bytes());
    let unit = "systemd-run --quiet --setenv=PEBBLE_VA_NOSLEEP=1 --setenv=PEBBLE_WFE_NONCEREJECT=0 --setenv=PEBBLE_AUTHZREUSE=0";
    let binding =
        format!("\"externalAccountBindingRequired\":true,\"externalAccountMACKeys\":{{\"kid-1\":\"{BINDING}\"}}");
    for (name, port, more) in
        [("production", 14000, binding.as_str()), ("staging", 14001, "\"externalAccountBindingRequired\":false")]
    {
        let settings = super::pebble_settings(port, port + 1000, more);
        feed(lab, "ca", &format!("umask 077; cat >/root/{name}.json"), settings.as_bytes());
        lab.on("ca", &format!("{unit} --unit={name} pebble -config /root/{name}.json -dnsserver 127.0.0.1:8053"));
    }
    lab.on(
        "ca",
        "systemd-run --quiet --unit=dns pebble-challtestsrv -defaultIPv4 '' -defaultIPv6 '' -http01 '' -https01 '' \
            -tlsalpn01 '' -management 127.0.0.1:8055 -dns01 127.0.0.1:8053
        systemd-run --quiet --unit=service python3 /root/dns.py",
    );
    for (file, port) in [("root.pem", 15000), ("staging-root.pem", 15001)] {
        let root = format!("curl -sS --fail --cacert /root/ca.pem https://{address}:{port}/roots/0 >/root/{file}");
        eventually(Duration::from_secs(120), "the authority answers", || lab.exec("ca", &root).status == 0);
    }
    let answers = "curl -sS --fail -d '{\"host\":\"x.\",\"value\":\"y\"}' http://127.0.0.1:8055/set-txt && curl -s http://127.0.0.1:9090/";
    eventually(Duration::from_secs(120), "DNS answers", || lab.exec("ca", answers).status == 0);
    std::fs::write(
        super::beside(lab, "authorities.pem"),
        lab.on("ca", "cat /root/ca.pem /root/root.pem /root/staging-root.pem"),
    )
    .unwrap();
    address
}

/// Where the CA finds a member's name.
fn point(lab: &Lab, node: &str, address: &str) {
    let record = format!("{{\"host\":\"{node}.lab.example.\",\"addresses\":[\"{address}\"]}}");
    let clear = format!("{{\"host\":\"{node}.lab.example.\"}}");
    lab.on("ca", &format!("curl -sS --fail -d '{clear}' http://127.0.0.1:8055/clear-a && curl -sS --fail -d '{record}' http://127.0.0.1:8055/add-a"));
}

fn profile(lab: &Lab, ca: &str, retired: &str) -> PathBuf {
    let path = super::beside(lab, "cluster.toml");
    let text = format!(
        r#"extends = "baseline"
[cert.acme]
enabled = true
directory = "https://{ca}:14000/dir"
rehearse = true
staging-directory = "https://{ca}:14001/dir"
ca-file = "authorities.pem"
contact = ["ops@lab.example"]
agree-to-terms = true
eab-id = "kid-1"
eab-key = "file:eab.key"
domains = ["{{node}}.lab.example"]
retired = [{retired}]

[[cert.acme.dns]]
name = "inside"
api = "acmeproxy"
data = "env:DNS_INSIDE"
domains = ["{{node}}.inside.example"]
delay = 0

[[cert.acme.dns]]
name = "out"
api = "acmeproxy"
data = "file:out.data"
domains = ["{{node}}.out.example"]
delay = 0
"#
    );
    std::fs::write(&path, text).unwrap();
    let settings = |user: &str, password: &str| {
        format!("ACMEPROXY_ENDPOINT=http://{ca}:9090\nACMEPROXY_USERNAME={user}\nACMEPROXY_PASSWORD={password}\n")
    };
    for (name, text) in [
        ("eab.key", format!("{BINDING}\n")),
        ("out.data", settings("out", OUT)),
        ("inside.data", settings("inside", INSIDE)),
    ] {
        let path = super::beside(lab, name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    }
    path
}

fn command(lab: &Lab, words: &[&str], profile: &Path) -> std::process::Command {
    let mut all = words.to_vec();
    all.extend(["--profile", profile.to_str().unwrap(), "--control", "cert.*"]);
    if words[0] == "apply" {
        all.extend(["--control", "accounts.admin", "--yes"]);
    }
    let mut command = lab.command(&all);
    command.env("DNS_INSIDE", std::fs::read_to_string(super::beside(lab, "inside.data")).unwrap());
    command
}

fn harden(lab: &Lab, words: &[&str], profile: &Path) -> Said {
    Said::of(&command(lab, words, profile).output().unwrap())
}

/// Whether the certificate that a member serves is the production CA's and for each of its names; its fingerprint.
fn served(lab: &Lab, node: &str) -> Option<String> {
    let address = lab.address(node);
    let script = format!(
        "timeout 20 openssl s_client -connect {address}:8006 -CAfile /root/root.pem </dev/null >/tmp/served 2>/dev/null
        grep -q 'Verify return code: 0 (ok)' /tmp/served || exit 1
        for name in {node}.lab.example {node}.inside.example {node}.out.example; do
            openssl x509 -noout -checkhost $name -in /tmp/served | grep -q 'does match' || exit 1
        done
        openssl x509 -noout -fingerprint -sha256 -in /tmp/served | sed 's/.*=//'"
    );
    let said = lab.exec("ca", &script);
    (said.status == 0).then(|| said.stdout.trim().to_owned())
}

fn account_of(lab: &Lab, node: &str) -> String {
    lab.on(node, "sed -n 's/^acme: account=\\([^,]*\\).*/\\1/p' /etc/pve/local/config").trim().to_owned()
}

/// Looks for the services' passwords in every command line of the node until it is stopped.
fn watch_arguments(lab: &Lab, node: &str) {
    let script = "while :; do cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n' | grep -a 's3cret-of-[io]' >>/run/leaked; sleep 0.02; done";
    lab.on(node, &format!("systemd-run --quiet --unit=watch-arguments sh -c \"{}\"", script.replace('"', "\\\"")));
}

#[test]
fn a_cluster_shares_a_bound_account_rehearses_and_proves_names_by_two_dns_services() {
    let Some(lab) = Lab::up("acmepair", &["pve1", "pve2"], &["--pve", "8", "--cluster"]) else { return };
    lab.lab(["up", "ca", "--plain"]).exits(0);
    let ca = authorities(&lab);
    for node in ["pve1", "pve2"] {
        let address = lab.address(node);
        point(&lab, node, &address);
        lab.on(node, &format!("echo '{address} {node}.lab.example' >>/etc/hosts; apt-get update >/dev/null 2>&1; apt-get install -y uacme >/dev/null 2>&1; command -v uacme"));
    }
    let plain = profile(&lab, &ca, "");
    watch_arguments(&lab, "pve1");
    let applied = harden(&lab, &["apply", "pve1", "pve2"], &plain).exits(0);
    lab.on("pve1", "systemctl stop watch-arguments");
    let first = served(&lab, "pve1").expect("pve1 serves a certificate of the production CA");
    let other = served(&lab, "pve2").expect("pve2 serves a certificate of the production CA");
    assert_ne!(first, other);
    assert_eq!(account_of(&lab, "pve1") + &account_of(&lab, "pve2"), "defaultdefault");

    // Each CA knows one account, and each member ordered at both.
    for ca in ["staging", "production"] {
        let log = lab.on("ca", &format!("journalctl -u {ca} --no-pager -o cat"));
        let count = |words: &str| log.matches(words).count();
        assert_eq!(
            count("There are now 1 accounts in memory") + count("There are now 2 accounts in memory"),
            1,
            "{ca}:\n{log}"
        );
        assert!(count("Issued certificate serial") >= 2, "{ca}:\n{log}");
    }
    nothing_leaked(&lab, &applied);
    assert!(harden(&lab, &["plan", "pve1", "pve2"], &plain).exits(0).stdout.contains("0 changes"));

    // Power goes while the staging CA thinks: the account in the node's configuration is the old one again.
    let retiring = profile(&lab, &ca, &format!("\"{first}\""));
    lab.on("ca", "systemctl kill --signal=STOP staging");
    let mut tool =
        command(&lab, &["apply", "pve1"], &retiring).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    eventually(Duration::from_secs(120), "the rehearsal has begun", || account_of(&lab, "pve1") == "default-staging");
    lab.lab(["reboot", "pve1"]).exits(0);
    let code = tool.wait().unwrap().code();
    lab.on("ca", "systemctl kill --signal=CONT staging");
    assert_eq!(code, Some(5));
    eventually(Duration::from_secs(120), "the account is put back", || account_of(&lab, "pve1") == "default");
    eventually(Duration::from_secs(120), "the old certificate is served", || {
        served(&lab, "pve1").as_ref() == Some(&first)
    });

    // The staging CA looks for the name where nobody answers, and nothing is served that was not served before.
    point(&lab, "pve1", "127.0.0.2");
    let failed = harden(&lab, &["apply", "pve1"], &retiring).exits(5);
    let said = format!("{}{}", failed.stdout, failed.stderr);
    assert!(
        said.contains(
            "at the staging CA: the CA did not issue a certificate, the old one is still served: the CA says: "
        ),
        "{said}"
    );
    assert!(said.contains("dial tcp 127.0.0.2:80: connect: connection refused"), "{said}");
    assert_eq!((account_of(&lab, "pve1").as_str(), served(&lab, "pve1")), ("default", Some(first.clone())));

    let address = lab.address("pve1");
    point(&lab, "pve1", &address);
    harden(&lab, &["apply", "pve1"], &retiring).exits(0);
    assert!(served(&lab, "pve1").is_some_and(|now| now != first));
    assert_eq!(served(&lab, "pve2"), Some(other));
}

/// The services' passwords and the binding's key are where PVE keeps them and nowhere else.
fn nothing_leaked(lab: &Lab, applied: &Said) {
    assert_eq!(lab.on("pve1", "cat /run/leaked 2>/dev/null; :"), "", "in a command line");
    for secret in [INSIDE, OUT, BINDING] {
        assert!(!applied.stdout.contains(secret) && !applied.stderr.contains(secret), "{secret} in the output");
        for node in ["pve1", "pve2"] {
            let left = lab.exec(node, &format!("grep -rlF '{secret}' /var/lib/pve-harden /etc/pve-harden /run /tmp /root /var/tmp /var/log 2>/dev/null | grep -v '^/run/log/journal'; journalctl --no-pager | grep -v watch-arguments | grep -cF '{secret}'"));
            assert_eq!(left.stdout.trim(), "0", "{secret} on {node}");
        }
    }
}
