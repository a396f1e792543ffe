//! Tickets and the token against forged requests, both signed by the cluster.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::{Signer, Verifier};

use crate::host::Host;

/// Seconds that a ticket is good for.
const LIFETIME: i64 = 2 * 60 * 60;
/// What a ticket begins with that lacks the second factor.
const TFA: &str = "!tfa!";

/// `PVE:USER:TIME::SIGNATURE`, the time in hexadecimal.
pub fn make(host: &Host, user: &str) -> anyhow::Result<String> {
    signed(host, user, "")
}

/// `PVE:!tfa!CHALLENGE:TIME::SIGNATURE`: the password was right; signed with the user's name, which it does not show.
pub fn half(host: &Host, user: &str, challenge: &str) -> anyhow::Result<String> {
    signed(host, &format!("{TFA}{}", challenge.replace(':', "%3A")), &format!(":{user}"))
}

fn signed(host: &Host, data: &str, unseen: &str) -> anyhow::Result<String> {
    let key = PKey::private_key_from_pem(&std::fs::read(host.pve("priv/authkey.key"))?)?;
    let plain = format!("PVE:{data}:{:08X}", jiff::Timestamp::now().as_second());
    let mut signer = Signer::new(MessageDigest::sha1(), &key)?;
    signer.update(plain.as_bytes())?;
    signer.update(unseen.as_bytes())?;
    Ok(format!("{plain}::{}", STANDARD.encode(signer.sign_to_vec()?)))
}

/// The user of a ticket that this cluster signed and that is not too old.
pub fn user(host: &Host, ticket: &str) -> Option<String> {
    data(host, ticket, "").filter(|data| !data.starts_with(TFA))
}

/// Whether it is a ticket of [`half`] for this user.
pub fn is_half(host: &Host, user: &str, ticket: &str) -> bool {
    data(host, ticket, &format!(":{user}")).is_some_and(|data| data.starts_with(TFA))
}

fn data(host: &Host, ticket: &str, unseen: &str) -> Option<String> {
    let (plain, signature) = ticket.split_once("::")?;
    let key = PKey::public_key_from_pem(&std::fs::read(host.pve("authkey.pub")).ok()?).ok()?;
    let mut verifier = Verifier::new(MessageDigest::sha1(), &key).ok()?;
    verifier.update(plain.as_bytes()).ok()?;
    verifier.update(unseen.as_bytes()).ok()?;
    if !verifier.verify(&STANDARD.decode(signature).ok()?).ok()? {
        return None;
    }
    let (data, time) = plain.strip_prefix("PVE:")?.rsplit_once(':')?;
    let age = jiff::Timestamp::now().as_second() - i64::from_str_radix(time, 16).ok()?;
    (-300..LIFETIME).contains(&age).then(|| data.to_owned())
}

/// `TIME:DIGEST` for the header `CSRFPreventionToken` of a user.
pub fn csrf(host: &Host, user: &str) -> anyhow::Result<String> {
    let time = format!("{:08X}", jiff::Timestamp::now().as_second());
    Ok(format!("{time}:{}", csrf_digest(host, user, &time)?))
}

/// Whether a token against forged requests is the user's.
pub fn csrf_fits(host: &Host, user: &str, token: &str) -> bool {
    token.split_once(':').is_some_and(|(time, digest)| csrf_digest(host, user, time).is_ok_and(|right| right == digest))
}

fn csrf_digest(host: &Host, user: &str, time: &str) -> anyhow::Result<String> {
    let secret = std::fs::read(host.pve("pve-www.key"))?;
    let key = PKey::hmac(&secret)?;
    let mut signer = Signer::new(MessageDigest::sha256(), &key)?;
    signer.update(format!("{time}:{user}").as_bytes())?;
    Ok(STANDARD.encode(signer.sign_to_vec()?).trim_end_matches('=').to_owned())
}
