//! Names of pve-access-control: what `AccessControl.pm` and `Auth/Plugin.pm` accept.

/// The user who can do everything and whose rights PVE never stores.
pub const ROOT: &str = "root@pam";

const LONGEST_USER: usize = 64;

/// `[A-Za-z0-9._-]+`, which groups, roles and parts of pools are.
pub fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// `[A-Za-z][A-Za-z0-9._-]+`: realms and token names need two characters.
pub fn is_realm(text: &str) -> bool {
    text.len() >= 2 && text.starts_with(|first: char| first.is_ascii_alphabetic()) && is_word(text)
}

/// `NAME@REALM`, no white space, colon or slash in the name (`verify_username`).
pub fn is_user(text: &str) -> bool {
    let Some((name, realm)) = text.rsplit_once('@') else { return false };
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && c != ':' && c != '/';
    (3..=LONGEST_USER).contains(&text.len()) && !name.is_empty() && name.chars().all(plain) && is_realm(realm)
}

/// `USER!TOKEN` in its parts.
pub fn token(text: &str) -> Option<(&str, &str)> {
    let (user, name) = text.rsplit_once('!')?;
    (is_user(user) && is_realm(name)).then_some((user, name))
}

/// One to three words with slashes between (`verify_poolname`).
pub fn is_pool(text: &str) -> bool {
    text.split('/').count() <= 3 && text.split('/').all(is_word)
}

/// A storage id (`parse_user_config`).
pub fn is_storage(text: &str) -> bool {
    text.len() >= 2
        && is_word(text)
        && text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.ends_with(|last: char| last.is_ascii_alphanumeric())
}

/// `normalize_path`: one slash between words, one in front, none behind; `None` with characters no path has.
pub fn normalized(path: &str) -> Option<String> {
    if path.is_empty() {
        return None;
    }
    let words: Vec<&str> = path.split('/').filter(|word| !word.is_empty()).collect();
    words.iter().all(|word| is_word(word)).then(|| format!("/{}", words.join("/")))
}

/// Whether PVE takes a path for a new ACL entry (`check_path`); SDN's newest paths are of release 9 only.
pub fn is_acl_path(path: &str, major: u32) -> bool {
    let words: Vec<&str> = path.split('/').skip(1).collect();
    let sdn_word = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric());
    match words.as_slice() {
        _ if !path.starts_with('/') => false,
        ["" | "access" | "nodes" | "pool" | "sdn" | "storage" | "vms" | "mapping"]
        | ["access", "groups" | "realm"]
        | ["sdn", "controllers" | "dns" | "ipams" | "zones"] => true,
        ["access", "groups" | "realm", word] | ["nodes" | "storage" | "mapping", word] | ["mapping", word, _] => {
            is_word(word) && words.last().is_some_and(|last| is_word(last))
        }
        ["pool", pool @ ..] => pool.len() <= 3 && pool.iter().all(|word| is_word(word)),
        ["sdn", "fabrics" | "prefix-lists" | "route-maps"] => major >= 9,
        ["sdn", "controllers", word] => is_word(word) && !word.contains('.'),
        ["sdn", "dns" | "ipams", word] => sdn_word(word),
        ["sdn", "fabrics" | "prefix-lists" | "route-maps", word] => major >= 9 && sdn_word(word),
        ["sdn", "zones", word] => is_word(word),
        ["sdn", "zones", zone, net] => is_word(zone) && is_word(net),
        ["sdn", "zones", zone, net, tag] => is_word(zone) && is_word(net) && number(tag, 1, 4),
        ["vms", id] => number(id, 3, 20),
        _ => false,
    }
}

/// Digits without a leading zero.
fn number(text: &str, least: usize, most: usize) -> bool {
    (least..=most).contains(&text.len()) && !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn users_and_tokens() {
        for good in ["root@pam", "a@pve", "first.last@corp-ad", "x@y@pve", "o'neil@pve", "a!b@pve"] {
            assert!(is_user(good), "{good}");
        }
        for bad in ["alice", "@pve", "a b@pve", "a:b@pve", "a/b@pve", "a@p", "a@1p", "a\n@pve", "", "a@"] {
            assert!(!is_user(bad), "{bad:?}");
        }
        assert!(!is_user(&format!("{}@pve", "a".repeat(61))));
        assert_eq!(token("svc@pve!ci"), Some(("svc@pve", "ci")));
        assert_eq!(token("a!b@pve!ci"), Some(("a!b@pve", "ci")));
        for bad in ["nosuch@pve!x", "svc@pve", "svc@pve!bad id", "svc@pve!1a", "svc@pve=ci"] {
            assert_eq!(token(bad), None, "{bad}");
        }
    }

    /// Paths that the recorded `pveum acl modify` took and refused, and those of `check_path`.
    #[test]
    fn paths() {
        for good in [
            "/",
            "/vms/9999",
            "/storage/nosuch",
            "/nodes/pve1",
            "/access/groups",
            "/pool/prod/web",
            "/mapping/pci/a",
            "/sdn/zones/z/vnet/100",
            "/access/realm/pve",
        ] {
            assert!(is_acl_path(good, 8) && is_acl_path(good, 9), "{good}");
        }
        for bad in
            ["/bogus", "/access/users", "/vms/99", "/vms/0100", "/pool/a/b/c/d", "vms", "/vms/", "/sdn/dns/a.b", ""]
        {
            assert!(!is_acl_path(bad, 9), "{bad}");
        }
        assert!(is_acl_path("/sdn/fabrics/f", 9) && !is_acl_path("/sdn/fabrics/f", 8));
        assert_eq!(normalized("access/groups/").as_deref(), Some("/access/groups"));
        assert_eq!(normalized("//vms//100").as_deref(), Some("/vms/100"));
        assert_eq!(normalized("/").as_deref(), Some("/"));
        assert_eq!(normalized("/vms/1 0"), None);
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing(path in "[/a-z0-9._-]{1,20}") {
            let once = normalized(&path);
            prop_assert_eq!(once.as_deref().and_then(normalized), once);
        }

        #[test]
        fn arbitrary_names_do_not_panic(text in "\\PC*") {
            let _ = (is_user(&text), token(&text), is_pool(&text), is_storage(&text), is_acl_path(&text, 9));
        }
    }
}
