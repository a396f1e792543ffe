//! X.509 certificates as they lie in PVE's PEM files and come from port 8006.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use x509_parser::extensions::GeneralName;
use x509_parser::pem::Pem;
use x509_parser::prelude::X509Certificate;

/// Certificates that are read of one file; a chain has three.
const LIMIT: usize = 16;

/// What is to be known of a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// Distinguished name, e.g. `CN=pve1.example.com`.
    pub subject: String,
    /// Distinguished name of who signed it.
    pub issuer: String,
    /// DNS names in lower case and addresses it is for (subjectAltName; browsers read nothing else).
    pub names: BTreeSet<String>,
    /// Seconds since 1970.
    pub not_before: i64,
    /// Seconds since 1970.
    pub not_after: i64,
    /// SHA-256 of the DER as PVE shows it: `AB:CD:…`.
    pub fingerprint: String,
}

impl Certificate {
    /// Whole days from a moment until it ends; negative once it has ended.
    pub fn days_left(&self, now: i64) -> i64 {
        self.not_after.saturating_sub(now).div_euclid(86_400)
    }

    /// Whether a browser that asks for this name takes it (RFC 6125: `*` stands for one whole first label).
    pub fn covers(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        let wildcard = name.split_once('.').map(|(_, rest)| format!("*.{rest}"));
        self.names.contains(&name) || wildcard.is_some_and(|wildcard| self.names.contains(&wildcard))
    }

    /// Whether PVE's own authority made it (pve-cluster src/PVE/Cluster/Setup.pm `gen_pveca_cert`).
    pub fn is_of_pve(&self) -> bool {
        self.issuer.contains("CN=Proxmox Virtual Environment")
    }
}

/// The certificates of a PEM text in order; what is between them is left out.
pub fn chain(pem: &str) -> Result<Vec<Certificate>, String> {
    blocks(pem)?.iter().map(|block| Ok(certificate(&parsed(block)?, &block.contents))).collect()
}

/// What is wrong with a chain that a server shall send: each one is signed by the next, none is missing before one that
/// `trusted`, the authority's own certificates in PEM, has signed; without them the last one is at least an authority's.
pub fn incomplete(pem: &str, trusted: Option<&str>) -> Result<Option<String>, String> {
    let sent = blocks(pem)?;
    let sent: Vec<X509Certificate<'_>> = sent.iter().map(parsed).collect::<Result<_, _>>()?;
    for (one, next) in sent.iter().zip(sent.iter().skip(1)) {
        if one.issuer() != next.subject() || one.verify_signature(Some(next.public_key())).is_err() {
            return Ok(Some(format!(
                "{} is not signed by the certificate after it, {}",
                one.subject(),
                next.subject()
            )));
        }
    }
    let Some(last) = sent.last() else { return Ok(Some("it holds no certificate".into())) };
    let missing = || Some(format!("the certificate of {} is missing in the chain", last.issuer()));
    let Some(trusted) = trusted else {
        let authority = last.is_ca() || last.issuer() == last.subject();
        return Ok(if authority { None } else { missing() });
    };
    let anchors = blocks(trusted).map_err(|why| format!("the authority's file: {why}"))?;
    let anchors: Vec<X509Certificate<'_>> = anchors.iter().map(parsed).collect::<Result<_, _>>()?;
    let signed = anchors
        .iter()
        .any(|anchor| last.issuer() == anchor.subject() && last.verify_signature(Some(anchor.public_key())).is_ok());
    Ok(if signed { None } else { missing() })
}

/// Each certificate of a PEM text alone, as PEM; whatever else is in the text, a key above all, is left out.
pub fn split(pem: &str) -> Result<Vec<String>, String> {
    blocks(pem)?
        .iter()
        .map(|block| {
            parsed(block)?;
            let base64 = STANDARD.encode(&block.contents);
            let mut text = "-----BEGIN CERTIFICATE-----\n".to_owned();
            for line in base64.as_bytes().chunks(64) {
                text.push_str(&String::from_utf8_lossy(line));
                text.push('\n');
            }
            text.push_str("-----END CERTIFICATE-----\n");
            Ok(text)
        })
        .collect()
}

/// Whether a private key (PEM, not encrypted) belongs to a PEM text's first certificate. Never repeats the key.
pub fn belongs(key: &str, pem: &str) -> Result<(), String> {
    if key.contains("ENCRYPTED") {
        return Err("the key is encrypted: PVE keeps it without a passphrase; take it off with openssl pkey".into());
    }
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| "it is no private key in PEM".to_owned())?;
    let key = any_supported_type(&key)
        .map_err(|_| "a key of this kind is not supported: use RSA, P-256, P-384 or Ed25519")?;
    let blocks = blocks(pem)?;
    let first = parsed(blocks.first().ok_or("it holds no certificate")?)?;
    match key.public_key() {
        Some(public) if public.as_ref() == first.public_key().raw => Ok(()),
        Some(_) => Err("the key does not belong to the certificate".into()),
        None => Err("the key does not tell its public half".into()),
    }
}

fn blocks(pem: &str) -> Result<Vec<Pem>, String> {
    let mut found = Vec::new();
    for block in Pem::iter_from_buffer(pem.as_bytes()) {
        let block = block.map_err(|_| "it is damaged PEM".to_owned())?;
        if block.label == "CERTIFICATE" {
            found.push(block);
        }
        if found.len() > LIMIT {
            return Err(format!("it holds more than {LIMIT} certificates"));
        }
    }
    if found.is_empty() { Err("it holds no certificate".into()) } else { Ok(found) }
}

fn parsed(block: &Pem) -> Result<X509Certificate<'_>, String> {
    block.parse_x509().map_err(|_| "it holds no X.509 certificate".to_owned())
}

fn certificate(parsed: &X509Certificate<'_>, der: &[u8]) -> Certificate {
    let names = parsed.subject_alternative_name().ok().flatten().map(|extension| {
        extension.value.general_names.iter().filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            GeneralName::IPAddress(bytes) => address(bytes).map(|address| address.to_string()),
            _ => None,
        })
    });
    Certificate {
        subject: parsed.subject().to_string(),
        issuer: parsed.issuer().to_string(),
        names: names.into_iter().flatten().collect(),
        not_before: parsed.validity().not_before.timestamp(),
        not_after: parsed.validity().not_after.timestamp(),
        fingerprint: fingerprint(der),
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}

fn fingerprint(der: &[u8]) -> String {
    let mut text = String::new();
    for byte in Sha256::digest(der) {
        // Writing to a String cannot fail.
        let _ = write!(text, "{}{byte:02X}", if text.is_empty() { "" } else { ":" });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Made with openssl(1): an authority, what it signed for `pve1.example.com`, and a stranger.
    const AUTHORITY: &str = include_str!("../../tests/certificates/authority.pem");
    const NODE: &str = include_str!("../../tests/certificates/node.pem");
    const STRANGER: &str = include_str!("../../tests/certificates/stranger.pem");

    #[test]
    fn a_certificate_says_whom_it_is_for_and_until_when() {
        let chain = chain(&format!("some words\n{NODE}{AUTHORITY}")).unwrap();
        assert_eq!(chain.len(), 2);
        assert_eq!(chain[0].subject, "CN=pve1.example.com");
        assert_eq!(chain[0].issuer, chain[1].subject);
        assert_eq!(chain[0].names, ["10.77.0.2", "pve1.example.com", "*.lab.example.com"].map(String::from).into());
        assert!(chain[0].covers("PVE1.example.com") && chain[0].covers("x.lab.example.com"));
        assert!(!chain[0].covers("a.b.lab.example.com") && !chain[0].covers("example.com"));
        assert_eq!(chain[0].fingerprint.len(), 95);
        assert_eq!(chain[0].days_left(chain[0].not_after - 86_399), 0);
        assert_eq!(chain[0].days_left(chain[0].not_after + 1), -1);
    }

    #[test]
    fn what_is_missing_in_a_chain_is_named() {
        let wrong = |pem: &str, trusted| incomplete(pem, trusted).unwrap();
        assert_eq!(wrong(&format!("{NODE}{AUTHORITY}"), None), None);
        assert_eq!(wrong(NODE, Some(AUTHORITY)), None);
        assert_eq!(wrong(STRANGER, None), None, "self-signed: nothing is missing");
        assert!(wrong(NODE, None).unwrap().contains("is missing"));
        assert!(wrong(NODE, Some(STRANGER)).unwrap().contains("is missing"));
        assert!(wrong(&format!("{NODE}{STRANGER}"), None).unwrap().contains("not signed by"));
        assert!(incomplete("nothing", None).is_err());
    }

    #[test]
    fn a_key_is_known_by_its_public_half() {
        for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519] {
            let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
            let made = rcgen::CertificateParams::new(["a.example.com".to_owned()]).unwrap().self_signed(&key).unwrap();
            let other = rcgen::KeyPair::generate_for(algorithm).unwrap();
            assert_eq!(belongs(&key.serialize_pem(), &made.pem()), Ok(()));
            let why = belongs(&other.serialize_pem(), &made.pem()).unwrap_err();
            assert!(why.contains("does not belong"), "{why}");
        }
        assert!(belongs("-----BEGIN ENCRYPTED PRIVATE KEY-----", NODE).unwrap_err().contains("encrypted"));
        assert!(belongs(NODE, NODE).is_err());
    }

    #[test]
    fn only_certificates_are_split_off() {
        let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
        let parts = split(&format!("{key}text\n{NODE}{AUTHORITY}")).unwrap();
        assert_eq!(parts.len(), 2);
        assert_eq!(chain(&parts.concat()).unwrap(), chain(&format!("{NODE}{AUTHORITY}")).unwrap());
        assert!(!parts.concat().contains("PRIVATE"));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(?s).{0,200}") {
            let _ = (chain(&text), incomplete(&text, Some(&text)), split(&text), belongs(&text, &text));
        }

        #[test]
        fn nor_does_a_damaged_certificate(at in 0usize..800, with in any::<u8>()) {
            let mut bytes = NODE.as_bytes().to_vec();
            let at = at % bytes.len();
            bytes[at] = with;
            let text = String::from_utf8_lossy(&bytes);
            let _ = (chain(&text), incomplete(&text, None), split(&text));
        }
    }
}
