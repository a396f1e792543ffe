//! Port 8006's certificate from a real ACME authority (Pebble, which asks the node's port 80), and from one's own.

mod cluster;

use std::path::PathBuf;
use std::time::Duration;

use crate::support::lab::{Lab, Said, eventually, feed};

const NAME: &str = "pve1.lab.example";

/// An authority on a node of its own; `authorities.pem` beside the site holds whom the node shall trust.
fn authority(lab: &Lab) -> String {
    let address = lab.address("ca");
    lab.on("ca", "apt-get update >/dev/null 2>&1; apt-get install -y pebble >/dev/null 2>&1; command -v pebble");
    server_certificate(lab);
    let settings = pebble_settings(14000, 15000, "\"externalAccountBindingRequired\":false");
    feed(lab, "ca", "umask 077; cat >/root/pebble.json", settings.as_bytes());
    lab.on(
        "ca",
        "systemd-run --quiet --unit=pebble --setenv=PEBBLE_VA_NOSLEEP=1 --setenv=PEBBLE_WFE_NONCEREJECT=0 \
            --setenv=PEBBLE_AUTHZREUSE=0 pebble -config /root/pebble.json",
    );
    let root = format!("curl -sS --fail --cacert /root/ca.pem https://{address}:15000/roots/0 >/root/root.pem");
    eventually(Duration::from_secs(120), "the authority answers", || lab.exec("ca", &root).status == 0);
    std::fs::write(beside(lab, "authorities.pem"), lab.on("ca", "cat /root/ca.pem /root/root.pem")).unwrap();
    address
}

/// The one that Pebble shows its clients, of an authority of its own: /root/server.pem and /root/ca.pem.
fn server_certificate(lab: &Lab) {
    let make = format!(
        "cd /root && umask 077 &&
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 30 \
            -subj '/CN=Lab CA' 2>/dev/null &&
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout server.key -out server.csr -subj '/CN=ca' 2>/dev/null &&
        printf 'subjectAltName=IP:{}\\nbasicConstraints=CA:FALSE\\n' >ext &&
        openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile ext -out server.pem 2>/dev/null",
        lab.address("ca")
    );
    lab.on("ca", &make);
}

/// Pebble's configuration; `more` says who may register.
fn pebble_settings(port: u16, management: u16, more: &str) -> String {
    format!(
        "{{\"pebble\":{{\"listenAddress\":\"0.0.0.0:{port}\",\"managementListenAddress\":\"0.0.0.0:{management}\",\
         \"certificate\":\"/root/server.pem\",\"privateKey\":\"/root/server.key\",\"httpPort\":80,\"tlsPort\":443,\
         \"ocspResponderURL\":\"\",{more}}}}}"
    )
}

fn beside(lab: &Lab, name: &str) -> PathBuf {
    lab.site.with_file_name(name)
}

/// Where the authority finds the node's name.
fn point_name_at(lab: &Lab, address: &str) {
    lab.on("ca", &format!("sed -i '/{NAME}/d' /etc/hosts; echo '{address} {NAME}' >>/etc/hosts"));
}

/// What a new connection to 8006 is shown, judged by the authority's root alone.
fn served(lab: &Lab) -> (String, String) {
    let address = lab.address("pve1");
    let script = format!(
        "timeout 20 openssl s_client -connect {address}:8006 -CAfile /root/root.pem -verify_hostname {NAME} </dev/null \
         >/tmp/served 2>/dev/null; sed -n 's/^ *Verify return code: //p' /tmp/served | head -n 1; \
         openssl x509 -noout -fingerprint -sha256 -in /tmp/served | sed 's/.*=//'"
    );
    let said = lab.on("ca", &script);
    let mut lines = said.lines().map(str::to_owned);
    (lines.next().unwrap_or_default(), lines.next().unwrap_or_default())
}

fn profile(lab: &Lab, ca: &str, retired: &str) -> PathBuf {
    let path = beside(lab, "acme.toml");
    let text = format!(
        "extends = \"baseline\"\n[cert.acme]\nenabled = true\ndirectory = \"https://{ca}:14000/dir\"\n\
         ca-file = \"authorities.pem\"\ncontact = [\"ops@lab.example\"]\nagree-to-terms = true\n\
         domains = [\"{{node}}.lab.example\"]\nretired = [{retired}]\n"
    );
    std::fs::write(&path, text).unwrap();
    path
}

fn harden(lab: &Lab, verb: &str, profile: &std::path::Path) -> Said {
    let mut arguments = vec![verb, "pve1", "--profile", profile.to_str().unwrap(), "--control", "cert.*"];
    if verb == "apply" {
        arguments.extend(["--control", "accounts.admin", "--yes"]);
    }
    lab.harden(&arguments)
}

#[test]
fn pebble_issues_and_8006_serves_it() {
    let Some(lab) = Lab::up("acme", &["pve1"], &[]) else { return };
    lab.lab(["up", "ca", "--plain"]).exits(0);
    let ca = authority(&lab);
    let node = lab.address("pve1");
    point_name_at(&lab, &node);
    lab.on("pve1", &format!("echo '{node} {NAME}' >>/etc/hosts"));
    lab.on("pve1", "apt-get update >/dev/null 2>&1; apt-get install -y uacme >/dev/null 2>&1; command -v uacme");

    let plain = profile(&lab, &ca, "");
    let applied = harden(&lab, "apply", &plain).exits(0);
    assert!(!applied.stdout.contains("PRIVATE KEY") && !applied.stderr.contains("PRIVATE KEY"));
    let (verified, first) = served(&lab);
    assert_eq!(verified, "0 (ok)");
    let again = harden(&lab, "plan", &plain).exits(0);
    assert!(again.stdout.contains("0 changes"), "{}", again.stdout);

    // PVE's own renewal, and ours of a certificate that must go.
    lab.on("pve1", "pvenode acme cert renew --force 1");
    eventually(Duration::from_secs(60), "the renewed one is served", || served(&lab).1 != first);
    harden(&lab, "plan", &plain).exits(0);
    let (_, second) = served(&lab);
    let retiring = profile(&lab, &ca, &format!("\"{second}\""));
    harden(&lab, "apply", &retiring).exits(0);
    let (verified, third) = served(&lab);
    assert_eq!(verified, "0 (ok)");
    assert!(third != second && third != first);
    harden(&lab, "plan", &retiring).exits(0);

    // The authority looks for the name where nobody answers.
    point_name_at(&lab, "127.0.0.2");
    let retiring = profile(&lab, &ca, &format!("\"{third}\""));
    let failed = harden(&lab, "apply", &retiring).exits(5);
    let said = format!("{}{}", failed.stdout, failed.stderr);
    assert!(said.contains("the CA did not issue a certificate, the old one is still served: the CA says: "), "{said}");
    assert!(said.contains("dial tcp 127.0.0.2:80: connect: connection refused"), "{said}");
    assert_eq!(served(&lab), ("0 (ok)".to_owned(), third));
}

#[test]
fn an_own_certificate_is_served_and_taken_back() {
    let Some(lab) = Lab::up("owncert", &["pve1"], &[]) else { return };
    let key = rcgen::KeyPair::generate().unwrap();
    let made = rcgen::CertificateParams::new([NAME.to_owned()]).unwrap().self_signed(&key).unwrap();
    std::fs::write(beside(&lab, "own.pem"), made.pem()).unwrap();
    let secret = beside(&lab, "own.key");
    std::fs::write(&secret, key.serialize_pem()).unwrap();
    std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let path = beside(&lab, "own.toml");
    let text = format!(
        "extends = \"baseline\"\n[cert.custom]\nenabled = true\ncertificate = \"own.pem\"\nkey = \"file:own.key\"\n\
         names = [\"{NAME}\"]\n"
    );
    std::fs::write(&path, text).unwrap();
    let shown = "timeout 20 openssl s_client -connect 127.0.0.1:8006 </dev/null 2>/dev/null | openssl x509 -noout -fingerprint -sha256";
    let before = lab.on("pve1", shown);
    harden(&lab, "apply", &path).exits(0);
    let after = lab.on("pve1", shown);
    assert_ne!(before, after);
    assert!(harden(&lab, "plan", &path).exits(0).stdout.contains("0 changes"));
    let body: String = key.serialize_pem().lines().nth(1).unwrap_or_default().into();
    let left = lab.exec("pve1", &format!("grep -rlF '{body}' /var/lib/pve-harden /tmp /root 2>/dev/null"));
    assert_eq!(left.stdout, "", "the key is where PVE keeps it and nowhere else");
    lab.harden(&["rollback", "pve1", "--yes"]).exits(0);
    eventually(Duration::from_secs(60), "PVE's own is served again", || lab.on("pve1", shown) == before);
    lab.on("pve1", "[ ! -e /etc/pve/local/pveproxy-ssl.key ]");
}
