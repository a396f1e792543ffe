//! Keys that a fresh node already has: root's SSH key, and the certificate authority of its cluster.

use std::path::Path;

use anyhow::Context as _;
use base64::Engine as _;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;

use super::{Options, below};
use crate::files::{lay_out, write_atomic};

/// Puts root's SSH key and client configuration into the image, and the authority's key into the seed of /etc/pve.
pub fn install(options: &Options) -> anyhow::Result<()> {
    let cache = options.key_cache.as_deref();
    let key = rsa(cache, &format!("root-{}", options.node), 4096)?;
    let folder = below(&options.root, "/root/.ssh");
    lay_out(&folder.join("id_rsa"), &key.private_key_to_pem_pkcs8()?, 0o600)?;
    let public = openssh_public(&key.rsa()?, &format!("root@{}", options.node));
    lay_out(&folder.join("id_rsa.pub"), public.as_bytes(), 0o644)?;

    let authority = options.cluster.as_deref().unwrap_or(&options.node);
    let key = rsa(cache, &format!("ca-{authority}"), 4096)?;
    let seed = below(&options.root, crate::pmxcfs::SEED);
    lay_out(&seed.join("priv/pve-root-ca.key"), &key.private_key_to_pem_pkcs8()?, 0o600)
}

/// The key that corosync's members share.
pub fn cluster_key(name: &str, cache: Option<&Path>) -> anyhow::Result<Vec<u8>> {
    cached(cache, &format!("corosync-{name}"), || {
        let mut key = vec![0_u8; 256];
        openssl::rand::rand_bytes(&mut key)?;
        Ok(key)
    })
}

fn rsa(cache: Option<&Path>, name: &str, bits: u32) -> anyhow::Result<PKey<Private>> {
    let pem = cached(cache, name, || Ok(PKey::from_rsa(Rsa::generate(bits)?)?.private_key_to_pem_pkcs8()?))?;
    PKey::private_key_from_pem(&pem).with_context(|| format!("key {name} of the cache"))
}

fn cached(
    cache: Option<&Path>,
    name: &str,
    generate: impl FnOnce() -> anyhow::Result<Vec<u8>>,
) -> anyhow::Result<Vec<u8>> {
    let Some(cache) = cache else { return generate() };
    let file = cache.join(name);
    if let Ok(known) = std::fs::read(&file) {
        return Ok(known);
    }
    let made = generate()?;
    std::fs::create_dir_all(cache)?;
    write_atomic(&file, &made, 0o600)?;
    Ok(made)
}

/// The line for `authorized_keys`.
pub fn openssh_public(key: &Rsa<Private>, comment: &str) -> String {
    let mut blob = Vec::new();
    field(&mut blob, b"ssh-rsa");
    integer(&mut blob, &key.e().to_vec());
    integer(&mut blob, &key.n().to_vec());
    format!("ssh-rsa {} {comment}\n", base64::engine::general_purpose::STANDARD.encode(blob))
}

fn field(blob: &mut Vec<u8>, bytes: &[u8]) {
    blob.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    blob.extend(bytes);
}

/// A positive number: a leading zero where the highest bit is set.
fn integer(blob: &mut Vec<u8>, bytes: &[u8]) {
    let mut padded = Vec::new();
    if bytes.first().is_some_and(|first| first & 0x80 != 0) {
        padded.push(0);
    }
    padded.extend(bytes);
    field(blob, &padded);
}
