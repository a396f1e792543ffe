//! Names and paths that PVE accepts.

/// The user and the realm of `user@realm`, when the whole looks like a user id.
pub fn user_parts(id: &str) -> Option<(&str, &str)> {
    if !(3..=64).contains(&id.len()) {
        return None;
    }
    let (user, realm) = id.rsplit_once('@')?;
    let user_ok = !user.is_empty() && !user.contains([':', '/']) && !user.contains(char::is_whitespace);
    (user_ok && is_realm(realm)).then_some((user, realm))
}

/// What is wrong with a user id, in PVE's words.
pub fn user_error(id: &str) -> Option<String> {
    if user_parts(id).is_some() {
        None
    } else if id.len() < 3 {
        Some(format!("user name '{id}' is too short"))
    } else if id.len() > 64 {
        Some(format!("user name '{id}' is too long ({} > 64)", id.len()))
    } else {
        Some(format!("value '{id}' does not look like a valid user name"))
    }
}

/// A letter, then at least one of letters, digits, `.`, `-`, `_`.
pub fn is_realm(text: &str) -> bool {
    let mut letters = text.chars();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic()) && text.len() > 1 && letters.all(is_word)
}

/// The name part of a token id follows the same rule as a realm.
pub fn is_token_name(text: &str) -> bool {
    is_realm(text)
}

/// The user and the token name of `user@realm!name`.
pub fn token_parts(id: &str) -> Option<(&str, &str)> {
    let (user, name) = id.rsplit_once('!')?;
    (user_parts(user).is_some() && is_token_name(name)).then_some((user, name))
}

/// Name of a group or a role.
pub fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_word)
}

/// Name of a pool: up to three plain names with slashes between.
pub fn is_pool(text: &str) -> bool {
    let parts: Vec<&str> = text.split('/').collect();
    parts.len() <= 3 && parts.iter().all(|part| is_plain(part))
}

fn is_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '_')
}

/// A path of the permission tree in its normal form; none when it holds other characters.
pub fn normal_path(path: &str) -> Option<String> {
    if path.is_empty() {
        return None;
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    parts.iter().all(|part| is_plain(part)).then(|| format!("/{}", parts.join("/")))
}

/// Whether the permission tree has such a path.
pub fn is_acl_path(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').skip(1).filter(|part| !part.is_empty()).collect();
    let number = |text: &str, digits: std::ops::RangeInclusive<usize>| {
        digits.contains(&text.len()) && !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    match parts.as_slice() {
        []
        | ["access" | "nodes" | "pool" | "sdn" | "storage" | "vms" | "mapping"]
        | ["access", "groups" | "realm"]
        | ["access", "groups" | "realm", _]
        | ["nodes" | "storage" | "mapping", _]
        | ["mapping", _, _]
        | ["sdn", "zones" | "controllers" | "dns" | "fabrics" | "ipams" | "prefix-lists" | "route-maps"]
        | ["sdn", "zones" | "controllers", _]
        | ["sdn", "zones", _, _] => true,
        ["pool", rest @ ..] => rest.len() <= 3,
        ["sdn", "dns" | "fabrics" | "ipams" | "prefix-lists" | "route-maps", name] => {
            name.chars().all(|letter| letter.is_ascii_alphanumeric())
        }
        ["sdn", "zones", _, _, tag] => number(tag, 1..=4),
        ["vms", id] => number(id, 3..=9),
        _ => false,
    }
}

/// A list as PVE's options take it: separated by commas, semicolons, spaces or zero bytes.
pub fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', ';', ' ', '\t', '\n', '\0']).filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_the_recordings() {
        for path in ["/", "/vms/9999", "/storage/nosuch", "/pool/prod/web", "/access/groups", "/nodes/pve1"] {
            assert!(is_acl_path(path), "{path}");
        }
        for path in ["/bogus", "/access/users", "/vms/99"] {
            assert!(!is_acl_path(path), "{path}");
        }
        assert_eq!(normal_path("access/groups/").as_deref(), Some("/access/groups"));
        assert_eq!(normal_path("/a b"), None);
    }

    #[test]
    fn token_names_need_two_characters() {
        assert!(token_parts("alice@pve!ci").is_some());
        assert!(token_parts("alice@pve!x").is_none());
        assert!(user_parts("alice").is_none());
        assert!(user_parts("bad user@pve").is_none());
    }
}
