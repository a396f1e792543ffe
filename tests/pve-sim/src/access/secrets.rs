//! `priv/shadow.cfg` with the passwords of the realm pve, and `priv/token.cfg` with the secrets of tokens.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::anyhow;

/// Passwords by user name without realm, hashed with SHA-256 crypt.
pub fn parse_shadow(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.trim().split(':');
            Some((fields.next()?.to_owned(), fields.next()?.to_owned()))
        })
        .filter(|(user, hash)| !user.is_empty() && !hash.is_empty())
        .collect()
}

/// The file of passwords.
pub fn write_shadow(passwords: &BTreeMap<String, String>) -> String {
    passwords.iter().fold(String::new(), |mut text, (user, hash)| {
        let _ = writeln!(text, "{user}:{hash}:");
        text
    })
}

/// Secrets by token id.
pub fn parse_tokens(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter_map(|line| line.trim().split_once(' '))
        .map(|(id, secret)| (id.to_owned(), secret.to_owned()))
        .collect()
}

/// The file of secrets.
pub fn write_tokens(tokens: &BTreeMap<String, String>) -> String {
    tokens.iter().fold(String::new(), |mut text, (id, secret)| {
        let _ = writeln!(text, "{id} {secret}");
        text
    })
}

/// Hashes a password the way PVE stores it: `$5$` and eight characters of salt.
pub fn hash(password: &str) -> anyhow::Result<String> {
    const LETTERS: &[u8] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut random = [0_u8; 8];
    openssl::rand::rand_bytes(&mut random)?;
    let salt: String = random.iter().map(|byte| char::from(LETTERS[usize::from(byte % 64)])).collect();
    let parameters = sha_crypt::Sha256Params::new(5000).map_err(|error| anyhow!("{error:?}"))?;
    let hash = sha_crypt::sha256_crypt_b64(password.as_bytes(), salt.as_bytes(), &parameters)
        .map_err(|error| anyhow!("{error:?}"))?;
    Ok(format!("$5${salt}${hash}"))
}

/// Whether a password fits a hash.
pub fn fits(password: &str, hash: &str) -> bool {
    sha_crypt::sha256_check(password, hash).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorded_hash_is_understood() {
        let shadow = parse_shadow("carol:$5$FL2LWyAi$CqArKblndeEiaF8iKB1JjGW4PFjsUk11vbberrvwNC.:\n");
        assert!(fits("12345678", &shadow["carol"]));
        assert!(!fits("12345679", &shadow["carol"]));
        assert_eq!(write_shadow(&shadow), "carol:$5$FL2LWyAi$CqArKblndeEiaF8iKB1JjGW4PFjsUk11vbberrvwNC.:\n");
    }

    #[test]
    fn a_new_hash_fits_its_password() -> anyhow::Result<()> {
        let made = hash("longenough12")?;
        assert!(made.starts_with("$5$") && fits("longenough12", &made) && !fits("longenough13", &made));
        Ok(())
    }
}
