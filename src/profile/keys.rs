//! Public keys of administrators: only lines that sshd will accept and that are worth accepting.

use ssh_key::PublicKey;
use ssh_key::public::KeyData;

/// Least size of an RSA key, in bits.
const MIN_RSA_BITS: usize = 3072;

/// A public key that passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// `type base64 [comment]`, one line.
    pub line: String,
    /// Key type, e.g. `ssh-ed25519`.
    pub algorithm: String,
    /// `type base64`, what makes two lines the same key.
    pub material: String,
    /// Size of an RSA key in bits.
    pub rsa_bits: Option<usize>,
}

/// What is wrong with a key line. Never contains the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub help: String,
}

fn problem(what: impl Into<String>, help: impl Into<String>) -> Problem {
    Problem { what: what.into(), help: help.into() }
}

/// Whether a text is, or holds, a private key.
pub fn is_private(text: &str) -> bool {
    (text.contains("-----BEGIN") && text.contains("PRIVATE KEY")) || text.contains("PuTTY-User-Key-File")
}

/// Reads one public key line.
pub fn parse(line: &str) -> Result<Key, Problem> {
    let line = line.trim();
    if is_private(line) {
        return Err(problem(
            "this is a private key: it must not leave its owner's machine, and counts as leaked once it was in a file that is shared",
            "remove it here and everywhere it was copied to; give the line of the .pub file",
        ));
    }
    if line.chars().any(char::is_control) {
        return Err(problem("a key is one line without control characters", "one string per key"));
    }
    if line.starts_with("----") {
        return Err(problem("this is not OpenSSH's format", "convert it: ssh-keygen -i -f FILE"));
    }
    let kind = line.split_ascii_whitespace().next().unwrap_or_default();
    if kind.contains("-cert-v01@") {
        return Err(problem("this is a certificate, not a key", "give the key it was made for"));
    }
    let key = PublicKey::from_openssh(line).map_err(|_| unreadable(line, kind))?;
    let rsa_bits = judge(&key)?;
    let material: Vec<&str> = line.split_ascii_whitespace().take(2).collect();
    Ok(Key {
        line: line.to_owned(),
        algorithm: key.algorithm().as_str().to_owned(),
        material: material.join(" "),
        rsa_bits,
    })
}

fn unreadable(line: &str, kind: &str) -> Problem {
    let has_options = line.split_ascii_whitespace().skip(1).any(|w| w.starts_with("ssh-") || w.starts_with("ecdsa-"));
    if has_options && !kind.starts_with("ssh-") {
        return problem(
            "options before the key are not supported: they could lock this person out",
            "give the key alone; networks are limited by `management`",
        );
    }
    problem("not an OpenSSH public key", "expected one line of a .pub file: ssh-ed25519 AAAA… comment")
}

/// Why a key is too weak to let anybody in, in a few words.
pub fn weakness(key: &PublicKey) -> Option<String> {
    judge(key).err().map(|problem| problem.what)
}

/// The size of an RSA key, when it is one.
fn judge(key: &PublicKey) -> Result<Option<usize>, Problem> {
    match key.key_data() {
        KeyData::Dsa(_) => Err(problem("DSA keys are refused: OpenSSH no longer accepts them", NEW_KEY)),
        KeyData::Rsa(rsa) => {
            let bits = rsa
                .n
                .as_positive_bytes()
                .map_or(0, |n| n.len() * 8 - n.first().map_or(0, |first| first.leading_zeros() as usize));
            if bits < MIN_RSA_BITS {
                return Err(problem(
                    format!("this RSA key has {bits} bits, at least {MIN_RSA_BITS} are needed"),
                    NEW_KEY,
                ));
            }
            Ok(Some(bits))
        }
        KeyData::Ed25519(_) | KeyData::SkEd25519(_) | KeyData::Ecdsa(_) | KeyData::SkEcdsaSha2NistP256(_) => Ok(None),
        _ => Err(problem(format!("sshd on a node does not know the key type {}", key.algorithm().as_str()), NEW_KEY)),
    }
}

const NEW_KEY: &str = "make a new one: ssh-keygen -t ed25519";

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ ops@example";

    /// Builds a key line from raw fields (RFC 4253 strings).
    fn line(kind: &str, fields: &[&[u8]]) -> String {
        use base64::Engine;
        let mut blob = Vec::new();
        for field in [kind.as_bytes()].iter().chain(fields) {
            blob.extend(u32::try_from(field.len()).unwrap().to_be_bytes());
            blob.extend_from_slice(field);
        }
        format!("{kind} {}", base64::engine::general_purpose::STANDARD.encode(blob))
    }

    fn rsa(bits: usize) -> String {
        let mut n = vec![0u8];
        n.extend(std::iter::repeat_n(0xC5, bits / 8));
        line("ssh-rsa", &[&[1, 0, 1], &n])
    }

    #[test]
    fn strong_keys_pass() {
        assert_eq!(parse(GOOD).unwrap().algorithm, "ssh-ed25519");
        assert_eq!(parse(&rsa(3072)).unwrap().algorithm, "ssh-rsa");
        let sk = line("sk-ssh-ed25519@openssh.com", &[&[7; 32], b"ssh:"]);
        assert_eq!(parse(&sk).unwrap().algorithm, "sk-ssh-ed25519@openssh.com");
    }

    #[test]
    fn weak_and_foreign_keys_are_refused_with_the_reason() {
        let dsa = line("ssh-dss", &[&[1; 128], &[1; 20], &[1; 128], &[1; 128]]);
        let cases = [
            (rsa(2048), "2048 bits"),
            (dsa, "DSA"),
            ("ssh-ed25519 AAAA".into(), "not an OpenSSH public key"),
            (format!("command=\"/bin/false\" {GOOD}"), "options"),
            ("---- BEGIN SSH2 PUBLIC KEY ----".into(), "not OpenSSH's format"),
            ("ssh-ed25519-cert-v01@openssh.com AAAA".into(), "certificate"),
            (format!("{GOOD}\nssh-rsa AAAA"), "one line"),
            (line("ssh-new@example.org", &[&[1; 32]]), "does not know"),
        ];
        for (text, what) in cases {
            let problem = parse(&text).unwrap_err();
            assert!(problem.what.contains(what), "{text}: {problem:?}");
        }
    }

    #[test]
    fn a_private_key_is_named_and_not_repeated() {
        for text in
            ["-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1r\n", "PuTTY-User-Key-File-3: ssh-ed25519\nb3BlbnNzaC1r"]
        {
            let problem = parse(text).unwrap_err();
            assert!(problem.what.contains("private key"));
            assert!(!format!("{problem:?}").contains("b3Blbn"));
        }
    }
}
