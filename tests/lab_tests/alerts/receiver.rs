//! A small HTTPS receiver on the operator's machine, with a certificate of an authority of its own.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::support::lab::{Lab, feed};

/// Bodies of what was posted, in order.
pub type Posted = Arc<Mutex<Vec<serde_json::Value>>>;

/// Where it listens, and who vouches for it.
pub struct Receiver {
    pub url: String,
    pub posted: Posted,
    /// PEM.
    pub authority: String,
}

impl Receiver {
    /// Listens until the test ends.
    pub fn start(lab: &Lab) -> Self {
        let address = operator(lab);
        let (authority, config) = identity(&address);
        let listener = TcpListener::bind("0.0.0.0:0").unwrap();
        let url = format!("https://{address}:{}/s3cret-hook", listener.local_addr().unwrap().port());
        let posted = Posted::default();
        let all = Arc::clone(&posted);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                let session = ServerConnection::new(Arc::clone(&config)).unwrap();
                if let Some(body) = request(StreamOwned::new(session, stream)) {
                    all.lock().unwrap().push(body);
                }
            }
        });
        Self { url, posted, authority }
    }

    /// Makes a node send here; without trust its alerts do not arrive.
    pub fn hook(&self, lab: &Lab, node: &str) {
        lab.on(
            node,
            &format!("mkdir -p /etc/pve-harden && umask 077 && echo '{}' >/etc/pve-harden/alerts-webhook", self.url),
        );
    }

    /// Makes a node trust the receiver's authority.
    pub fn trusted_by(&self, lab: &Lab, node: &str) {
        let put = "cat >/usr/local/share/ca-certificates/receiver.crt && update-ca-certificates >/dev/null 2>&1";
        feed(lab, node, put, self.authority.as_bytes());
    }

    /// Every text so far.
    pub fn texts(&self) -> String {
        let posted = self.posted.lock().unwrap();
        posted.iter().map(|body| body["message"].as_str().unwrap_or_default().to_owned() + "\n").collect()
    }

    /// How many events of a kind were told.
    pub fn told(&self, kind: &str) -> u64 {
        let start = format!("{kind} (");
        let texts = self.texts();
        let counts = texts.lines().filter_map(|line| line.strip_prefix(&start)?.strip_suffix(')')?.parse::<u64>().ok());
        counts.sum()
    }

    /// Waits until every one of these was told.
    #[track_caller]
    pub fn wait_for(&self, lab: &Lab, node: &str, wanted: &[&str], more: impl Fn() -> bool) {
        let end = std::time::Instant::now() + Duration::from_secs(300);
        loop {
            let texts = self.texts();
            let missing: Vec<_> = wanted.iter().filter(|words| !texts.contains(**words)).collect();
            if missing.is_empty() && more() {
                return;
            }
            if std::time::Instant::now() >= end {
                let log = lab.exec(node, "journalctl -u pve-harden-alerts --no-pager -n 40").stdout;
                panic!("not told: {missing:?}\n{texts}\n{log}");
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

/// The operator's address in the lab, which the node reaches: `.2` of the management network.
fn operator(lab: &Lab) -> String {
    let site = std::fs::read_to_string(&lab.site).unwrap();
    let network = site.split("management = [\"").nth(1).and_then(|rest| rest.split(".0/28").next()).unwrap();
    format!("{network}.2")
}

/// The authority's certificate (PEM), and a server with one of its certificates.
fn identity(address: &str) -> (String, Arc<ServerConfig>) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // Python 3.13 insists on what RFC 5280 asks for.
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    authority.distinguished_name.push(DnType::CommonName, "authority of the receiver");
    let authority_key = KeyPair::generate().unwrap();
    let root = authority.self_signed(&authority_key).unwrap().pem();
    let key = KeyPair::generate().unwrap();
    let issuer = Issuer::new(authority, authority_key);
    let mut leaf = CertificateParams::new([address.to_owned()]).unwrap();
    leaf.distinguished_name.push(DnType::CommonName, "receiver");
    leaf.use_authority_key_identifier_extension = true;
    let leaf = leaf.signed_by(&key, &issuer).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()));
    (root, Arc::new(config.unwrap()))
}

fn request(mut stream: impl Read + Write) -> Option<serde_json::Value> {
    let mut reader = BufReader::new(&mut stream);
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
