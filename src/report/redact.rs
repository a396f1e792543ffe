//! What must not be shown even when a control asks for it: secret files by path, secrets in text by their form.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::path::Path;

/// Whether the content of this file is never shown.
pub fn is_secret_path(path: &str) -> bool {
    const EXACT: [&str; 7] = [
        "/etc/shadow",
        "/etc/shadow-",
        "/etc/gshadow",
        "/etc/gshadow-",
        "/etc/security/opasswd",
        "/etc/pve/pve-www.key",
        "/etc/corosync/authkey",
    ];
    const PUBLIC_IN_PRIV: [&str; 2] = ["/etc/pve/priv/authorized_keys", "/etc/pve/priv/known_hosts"];
    let extension = Path::new(path).extension().and_then(OsStr::to_str);
    let private_half = |marker: &str| path.contains(marker) && extension != Some("pub");
    EXACT.contains(&path)
        || private_half("/etc/ssh/ssh_host_")
        || private_half("/.ssh/id_")
        || (path.starts_with("/etc/pve/priv/") && !PUBLIC_IN_PRIV.contains(&path))
        || extension == Some("key")
}

/// Whether a text is a private key or contains one.
pub fn has_private_key(text: &str) -> bool {
    text.contains("PRIVATE KEY-----")
}

/// The text with every crypt(5) hash replaced by `***`.
pub fn secrets(text: &str) -> Cow<'_, str> {
    let mut rest = text;
    let mut shown = String::new();
    while let Some((start, length)) = first_hash(rest) {
        shown.push_str(&rest[..start]);
        shown.push_str("***");
        rest = &rest[start + length..];
    }
    if rest.len() == text.len() {
        return Cow::Borrowed(text);
    }
    shown.push_str(rest);
    Cow::Owned(shown)
}

/// Byte offset and length of the first `$id$…` whose id crypt(5) knows.
fn first_hash(text: &str) -> Option<(usize, usize)> {
    const IDS: [&str; 12] = ["y", "gy", "7", "2a", "2b", "2x", "2y", "6", "5", "1", "sha1", "md5"];
    text.match_indices('$').find_map(|(start, _)| {
        let (id, tail) = text[start + 1..].split_once('$')?;
        let body = tail.find(|c: char| !(c.is_ascii_alphanumeric() || "./$=,".contains(c))).unwrap_or(tail.len());
        (IDS.contains(&id) && body >= 8).then_some((start, id.len() + 2 + body))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hashes_disappear_and_the_rest_stays() {
        for (text, shown) in [
            ("ops:$y$j9T$abcdefgh$0123456789:19000:0", "ops:***:19000:0"),
            ("$6$rounds=5000$saltsalt$hash/hash end", "*** end"),
            ("a $1$salt$hashhash b $5$salt$hashhash c", "a *** b *** c"),
            ("price: $5 and $6$", "price: $5 and $6$"),
            ("PATH=$HOME/bin:$PATH", "PATH=$HOME/bin:$PATH"),
        ] {
            assert_eq!(secrets(text), shown);
        }
    }

    #[test]
    fn secret_files_are_known_by_path() {
        for path in
            ["/etc/shadow", "/etc/pve/priv/token.cfg", "/etc/ssh/ssh_host_rsa_key", "/root/.ssh/id_rsa", "/x/tls.key"]
        {
            assert!(is_secret_path(path), "{path}");
        }
        for path in
            ["/etc/passwd", "/etc/ssh/ssh_host_rsa_key.pub", "/root/.ssh/id_rsa.pub", "/etc/pve/priv/authorized_keys"]
        {
            assert!(!is_secret_path(path), "{path}");
        }
    }

    proptest! {
        #[test]
        fn a_hash_in_any_text_is_not_shown(
            before in "[^$]{0,20}", after in "[ :\n][^$]{0,20}", body in "[a-zA-Z0-9./]{22}"
        ) {
            let text = format!("{before}$y$j9T${body}{after}");
            prop_assert_eq!(secrets(&text).into_owned(), format!("{before}***{after}"));
        }

        #[test]
        fn any_text_is_taken(text in any::<String>()) {
            let _ = secrets(&text);
        }
    }
}
