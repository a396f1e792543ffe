//! The lines of an `authorized_keys` file while one key takes another's place: every other byte stays.

use std::str::FromStr as _;

use ssh_key::authorized_keys::Entry;
use ssh_key::{HashAlg, PublicKey};

use crate::change::FileImage;

/// A person's `authorized_keys`.
#[derive(Clone, Debug)]
pub struct Keys {
    /// Absolute path.
    pub path: String,
    /// As it is on the node.
    pub image: FileImage,
}

impl Keys {
    /// Whether a key with this fingerprint (`SHA256:…`) is there.
    pub fn has(&self, fingerprint: &str) -> bool {
        self.image.content.lines().any(|line| is(line, fingerprint))
    }

    /// The keys that are not this one, each once.
    pub fn others(&self, fingerprint: &str) -> Vec<PublicKey> {
        let mut found: Vec<PublicKey> = Vec::new();
        for key in self.image.content.lines().filter_map(key) {
            let known = found.iter().any(|other| other.key_data() == key.key_data());
            if !known && key.fingerprint(HashAlg::Sha256).to_string() != fingerprint {
                found.push(key);
            }
        }
        found
    }

    /// The content with one more line.
    pub fn with(&self, line: &str) -> String {
        let content = &self.image.content;
        let gap = if content.is_empty() || content.ends_with('\n') { "" } else { "\n" };
        format!("{content}{gap}{line}\n")
    }

    /// The content without the lines of a key, whatever their options.
    pub fn without(&self, fingerprint: &str) -> String {
        self.image.content.split_inclusive('\n').filter(|line| !is(line, fingerprint)).collect()
    }
}

/// A key for a person who must tell it from others.
pub fn shown(key: &PublicKey) -> String {
    format!("{} ({})", key.fingerprint(HashAlg::Sha256), key.comment())
}

fn key(line: &str) -> Option<PublicKey> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    Entry::from_str(line).ok().map(|entry| entry.public_key().clone())
}

fn is(line: &str, fingerprint: &str) -> bool {
    key(line).is_some_and(|key| key.fingerprint(HashAlg::Sha256).to_string() == fingerprint)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ a";
    const B: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti b";

    fn keys(content: &str) -> Keys {
        Keys { path: "/home/ops/.ssh/authorized_keys".into(), image: FileImage::root(content, 0o600) }
    }

    fn fingerprint(line: &str) -> String {
        PublicKey::from_openssh(line).unwrap().fingerprint(HashAlg::Sha256).to_string()
    }

    #[test]
    fn one_key_comes_and_another_goes_and_the_rest_stays() {
        let before = format!("# ours\n\nfrom=\"192.0.2.1\" {A}\nnonsense line");
        let keys = keys(&before);
        assert!(keys.has(&fingerprint(A)) && !keys.has(&fingerprint(B)));
        let both = self::keys(&keys.with(B));
        assert_eq!(both.image.content, format!("{before}\n{B}\n"));
        assert_eq!(both.others(&fingerprint(B)).iter().map(PublicKey::comment).collect::<Vec<_>>(), ["a"]);
        assert_eq!(both.without(&fingerprint(A)), format!("# ours\n\nnonsense line\n{B}\n"));
    }

    proptest::proptest! {
        #[test]
        fn what_was_added_is_taken_away_again(text in "(\\PC|[ \n#\"=,])*") {
            let keys = keys(&text);
            let added = self::keys(&keys.with(B));
            proptest::prop_assert!(added.has(&fingerprint(B)));
            let back = added.without(&fingerprint(B));
            let ended = text.clone() + "\n";
            proptest::prop_assert!(back == text || back == ended);
        }
    }
}
