//! The cluster's certificate authority and the certificate of a node.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use anyhow::Context as _;
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::x509::extension::{BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAlternativeName};
use openssl::x509::{X509, X509Builder, X509NameBuilder};

use crate::files::write_atomic;
use crate::host::Host;

const DAY: i64 = 24 * 60 * 60;
const YEAR: i64 = 365 * DAY;

/// Makes what is missing of the cluster's keys and of this node's certificate; with `force` the certificate anew.
pub fn make_missing(host: &Host, address: IpAddr, force: bool) -> anyhow::Result<()> {
    authkey(host)?;
    private_key(&host.pve("pve-www.key"), 2048)?;
    let node_key = private_key(&host.own("pve-ssl.key"), 2048)?;
    let new_authority = authority(host)?;
    if force || new_authority || !host.own("pve-ssl.pem").is_file() {
        node_certificate(host, &node_key, address)?;
    }
    Ok(())
}

/// The key that signs tickets, and its public half.
fn authkey(host: &Host) -> anyhow::Result<()> {
    let private = host.pve("priv/authkey.key");
    if private.is_file() {
        return Ok(());
    }
    let key = PKey::from_rsa(Rsa::generate(2048)?)?;
    write_atomic(&private, &key.private_key_to_pem_pkcs8()?, 0o600)?;
    write_atomic(&host.pve("authkey.pub"), &key.public_key_to_pem()?, 0o640)
}

fn private_key(path: &Path, bits: u32) -> anyhow::Result<PKey<Private>> {
    if path.is_file() {
        return PKey::private_key_from_pem(crate::files::text(path).as_bytes())
            .with_context(|| path.display().to_string());
    }
    let key = PKey::from_rsa(Rsa::generate(bits)?)?;
    write_atomic(path, &key.private_key_to_pem_pkcs8()?, 0o640)?;
    Ok(key)
}

/// Makes the authority; whether it was made now.
fn authority(host: &Host) -> anyhow::Result<bool> {
    let key_file = host.pve("priv/pve-root-ca.key");
    let file = host.pve("pve-root-ca.pem");
    if key_file.is_file() && file.is_file() {
        return Ok(false);
    }
    let key = private_key(&key_file, 4096)?;
    let unit = crate::random::uuid()?;
    let mut name = X509NameBuilder::new()?;
    name.append_entry_by_text("CN", "Proxmox Virtual Environment")?;
    name.append_entry_by_text("OU", &unit)?;
    name.append_entry_by_text("O", "PVE Cluster Manager CA")?;
    let name = name.build();
    let mut builder = started(&key, 10 * YEAR)?;
    builder.set_subject_name(&name)?;
    builder.set_issuer_name(&name)?;
    builder.append_extension(BasicConstraints::new().critical().ca().build()?)?;
    builder.append_extension(KeyUsage::new().critical().key_cert_sign().crl_sign().build()?)?;
    builder.sign(&key, MessageDigest::sha256())?;
    write_atomic(&file, &builder.build().to_pem()?, 0o640)?;
    Ok(true)
}

fn node_certificate(host: &Host, key: &PKey<Private>, address: IpAddr) -> anyhow::Result<()> {
    let authority = X509::from_pem(&fs::read(host.pve("pve-root-ca.pem"))?)?;
    let authority_key = PKey::private_key_from_pem(&fs::read(host.pve("priv/pve-root-ca.key"))?)?;
    let full_name = full_name(host);
    let mut name = X509NameBuilder::new()?;
    name.append_entry_by_text("OU", "PVE Cluster Node")?;
    name.append_entry_by_text("O", "Proxmox Virtual Environment")?;
    name.append_entry_by_text("CN", &full_name)?;
    let name = name.build();
    let mut builder = started(key, 2 * YEAR)?;
    builder.set_subject_name(&name)?;
    builder.set_issuer_name(authority.subject_name())?;
    let mut names = SubjectAlternativeName::new();
    names.ip("127.0.0.1").ip("::1").dns("localhost").ip(&address.to_string()).dns(&host.name);
    if full_name != host.name {
        names.dns(&full_name);
    }
    let names = names.build(&builder.x509v3_context(Some(&authority), None))?;
    builder.append_extension(BasicConstraints::new().build()?)?;
    builder.append_extension(ExtendedKeyUsage::new().server_auth().build()?)?;
    builder.append_extension(names)?;
    builder.sign(&authority_key, MessageDigest::sha256())?;
    write_atomic(&host.own("pve-ssl.pem"), &builder.build().to_pem()?, 0o640)
}

/// A certificate that began yesterday.
fn started(key: &PKey<Private>, lifetime: i64) -> anyhow::Result<X509Builder> {
    let now = jiff::Timestamp::now().as_second();
    let mut serial = BigNum::new()?;
    serial.rand(127, openssl::bn::MsbOption::MAYBE_ZERO, false)?;
    let mut builder = X509Builder::new()?;
    builder.set_version(2)?;
    builder.set_serial_number(serial.to_asn1_integer()?.as_ref())?;
    builder.set_pubkey(key)?;
    builder.set_not_before(Asn1Time::from_unix(now - DAY)?.as_ref())?;
    builder.set_not_after(Asn1Time::from_unix(now - DAY + lifetime)?.as_ref())?;
    Ok(builder)
}

/// The node's name with the search domain of resolv.conf.
fn full_name(host: &Host) -> String {
    let text = crate::files::text(&host.path("/etc/resolv.conf"));
    let domain = text
        .lines()
        .find_map(|line| line.strip_prefix("search ").or_else(|| line.strip_prefix("domain ")))
        .and_then(|rest| rest.split_whitespace().next());
    domain.map_or_else(|| host.name.clone(), |domain| format!("{}.{domain}", host.name))
}
