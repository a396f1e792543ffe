//! Whether sshd will let an administrator in with a key: access lists, key files, permissions, the keys themselves.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use ssh_key::public::KeyData;
use ssh_key::{Algorithm, HashAlg, authorized_keys::Entry};

use super::planned::{Account, Planned};
use crate::facts::SshdSettings;

/// What sshd needs to know of the login in question.
pub struct Login<'a> {
    /// Linux name.
    pub user: &'a str,
    /// Where the operator comes from, if known.
    pub from: Option<IpAddr>,
}

/// The first reason why sshd would refuse any key login of this account, before a key is looked at.
pub fn refused(planned: &Planned<'_>, settings: &SshdSettings, login: &Login<'_>) -> Option<String> {
    let is = |keyword: &str, value: &str| settings.get(keyword).is_some_and(|found| found.eq_ignore_ascii_case(value));
    if is("pubkeyauthentication", "no") {
        return Some("sshd has `PubkeyAuthentication no`".into());
    }
    if let Some(methods) = settings.get("authenticationmethods") {
        let alone = methods.split_whitespace().any(|list| list == "any" || list == "publickey");
        if !alone {
            return Some(format!("`AuthenticationMethods {}` asks for more than a key", methods.trim()));
        }
    }
    for keyword in ["forcecommand", "chrootdirectory"] {
        if let Some(value) = settings.get(keyword).filter(|value| !value.eq_ignore_ascii_case("none")) {
            return Some(format!("sshd has `{keyword} {value}` for it"));
        }
    }
    let groups = planned.groups_of(login.user);
    let lists = |keyword: &str| settings.get(keyword).map(|value| value.split_whitespace().collect::<Vec<_>>());
    let user_in = |patterns: &[&str]| patterns.iter().any(|pattern| user_matches(pattern, login));
    let group_in =
        |patterns: &[&str]| patterns.iter().any(|pattern| groups.iter().any(|group| wildcard(pattern, group)));
    let denied = [
        ("denyusers", lists("denyusers").is_some_and(|list| user_in(&list)), "DenyUsers names it"),
        ("allowusers", lists("allowusers").is_some_and(|list| !user_in(&list)), "AllowUsers does not name it"),
        ("denygroups", lists("denygroups").is_some_and(|list| group_in(&list)), "DenyGroups names one of its groups"),
        (
            "allowgroups",
            lists("allowgroups").is_some_and(|list| !group_in(&list)),
            "AllowGroups names none of its groups",
        ),
    ];
    denied.into_iter().find(|(_, denied, _)| *denied).map(|(keyword, _, why)| {
        let value = settings.get(keyword).map(|value| value.split_whitespace().collect::<Vec<_>>().join(" "));
        format!("sshd's {why} (`{keyword} {}`)", value.unwrap_or_default())
    })
}

/// Fingerprints of the keys with which sshd will accept a login that can run commands, or why there are none.
pub fn usable_keys(
    planned: &Planned<'_>,
    settings: &SshdSettings,
    login: &Login<'_>,
    account: &Account,
) -> Result<BTreeSet<String>, String> {
    let strict = settings.get("strictmodes").is_none_or(|value| !value.eq_ignore_ascii_case("no"));
    let mut found = BTreeSet::new();
    let mut obstacles = BTreeSet::new();
    let files = key_files(settings, login.user, account);
    for path in &files {
        let lines = match planned.key_lines(login.user, path) {
            Ok(lines) => lines,
            Err(why) => {
                obstacles.insert(why);
                continue;
            }
        };
        if lines.is_empty() {
            continue;
        }
        if let Some(why) = strict.then(|| insecure(planned, path, login.user, account)).flatten() {
            obstacles.insert(why);
            continue;
        }
        for line in lines {
            match usable(line, settings, login, planned.today) {
                Ok(Some(fingerprint)) => {
                    found.insert(fingerprint);
                }
                Ok(None) => {}
                Err(why) => {
                    obstacles.insert(format!("{path}: {why}"));
                }
            }
        }
    }
    match (found.is_empty(), obstacles.is_empty()) {
        (false, _) => Ok(found),
        (true, true) if files.is_empty() => Err("sshd has `AuthorizedKeysFile none`".into()),
        (true, true) => Err(format!("it has no key in {}", files.join(", "))),
        (true, false) => Err(obstacles.into_iter().collect::<Vec<_>>().join("; ")),
    }
}

/// `AuthorizedKeysFile` with its tokens replaced (`sshd_config(5)`, TOKENS).
fn key_files(settings: &SshdSettings, user: &str, account: &Account) -> Vec<String> {
    let value = settings.get("authorizedkeysfile").map_or(".ssh/authorized_keys", String::as_str);
    value
        .split_whitespace()
        .filter(|path| *path != "none")
        .map(|path| path.replace("%h", &account.home).replace("%u", user).replace("%%", "%"))
        .map(|path| if path.starts_with('/') { path } else { format!("{}/{path}", account.home) })
        .collect()
}

/// `StrictModes`: the file and every folder from it up to the home (or the root) must belong to the user or root and
/// be writable by nobody else (OpenSSH misc.c, `safe_path`).
fn insecure(planned: &Planned<'_>, file: &str, user: &str, account: &Account) -> Option<String> {
    let mut path = file;
    loop {
        match planned.owned(path) {
            Ok(Some(owned)) if owned.mode & 0o022 != 0 => {
                return Some(format!(
                    "{path} is writable by others ({:04o}), so sshd ignores the keys (StrictModes)",
                    owned.mode
                ));
            }
            Ok(Some(owned)) if owned.owner != user && owned.owner != "root" => {
                return Some(format!("{path} belongs to {}, so sshd ignores the keys (StrictModes)", owned.owner));
            }
            Ok(Some(_)) => {}
            // useradd makes the home of a new account; folders above /etc are the system's own.
            Ok(None) if account.created => {}
            Ok(None) => return Some(format!("{path} is absent")),
            Err(_) if !path.starts_with(&account.home) => {}
            Err(why) => return Some(format!("owner and mode of {path} cannot be told: {why}")),
        }
        if path == account.home {
            return None;
        }
        path = match path.rsplit_once('/') {
            Some((parent, _)) if !parent.is_empty() => parent,
            _ => return None,
        };
    }
}

/// The fingerprint of a line's key if sshd will accept it for commands; `None` for a line that is no key.
fn usable(
    line: &str,
    settings: &SshdSettings,
    login: &Login<'_>,
    today: Option<i64>,
) -> Result<Option<String>, String> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let entry: Entry = line.parse().map_err(|_| "a line is not a key this tool can read".to_owned())?;
    for option in entry.config_opts().iter() {
        option_allows(option, login, today)?;
    }
    let key = entry.public_key();
    accepted(key.key_data(), settings)?;
    Ok(Some(key.fingerprint(HashAlg::Sha256).to_string()))
}

/// Options of `authorized_keys(5)` that would stop an administrator's commands.
fn option_allows(option: &str, login: &Login<'_>, today: Option<i64>) -> Result<(), String> {
    let (name, value) = option.split_once('=').map_or((option, ""), |(name, value)| (name, value.trim_matches('"')));
    match name.to_ascii_lowercase().as_str() {
        "command" => Err("the key may run one command only (`command=`)".into()),
        "cert-authority" => Err("the key signs certificates and is no login key (`cert-authority`)".into()),
        "from" => match login.from {
            Some(from) if host_list(value, from) => Ok(()),
            Some(from) => Err(format!("the key is not accepted from {from} (`from=\"{value}\"`)")),
            None => Err(format!("the key is bound to addresses (`from=\"{value}\"`) and the operator's is not known")),
        },
        "expiry-time" if expired(value, today) => Err(format!("the key expired (`expiry-time={value}`)")),
        _ => Ok(()),
    }
}

/// Whether `expiry-time` (YYYYMMDD…) is past; a node without a clock reading counts as past.
fn expired(value: &str, today: Option<i64>) -> bool {
    let date = value.get(..8).and_then(|date| jiff::civil::Date::strptime("%Y%m%d", date).ok());
    let days = date
        .and_then(|date| date.to_zoned(jiff::tz::TimeZone::UTC).ok())
        .map(|zoned| zoned.timestamp().as_second() / 86_400);
    !matches!((days, today), (Some(days), Some(today)) if days > today)
}

/// `PubkeyAcceptedAlgorithms` and `RequiredRSASize`.
fn accepted(key: &KeyData, settings: &SshdSettings) -> Result<(), String> {
    let algorithm = key.algorithm();
    let names: Vec<&str> = match &algorithm {
        Algorithm::Rsa { .. } => vec!["rsa-sha2-512", "rsa-sha2-256"],
        other => vec![other.as_str()],
    };
    let list = settings.get("pubkeyacceptedalgorithms").filter(|list| !list.is_empty());
    if list.is_some_and(|list| !list.split(',').any(|name| names.contains(&name))) {
        return Err(format!("sshd does not accept {algorithm} keys (PubkeyAcceptedAlgorithms)"));
    }
    let required = settings.get("requiredrsasize").and_then(|bits| bits.parse::<usize>().ok()).unwrap_or(0);
    match key {
        KeyData::Rsa(rsa) => {
            let bits = rsa.n.as_positive_bytes().map_or(0, |bytes| bytes.len() * 8);
            if bits < required {
                return Err(format!("the RSA key has {bits} bits and sshd asks for {required} (RequiredRSASize)"));
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// `USER` or `USER@HOST` of `AllowUsers` and `DenyUsers` (OpenSSH match.c, `match_user`).
fn user_matches(pattern: &str, login: &Login<'_>) -> bool {
    match pattern.rsplit_once('@') {
        None => wildcard(pattern, login.user),
        Some((user, hosts)) => wildcard(user, login.user) && login.from.is_some_and(|from| host_list(hosts, from)),
    }
}

/// A comma-separated list of addresses, networks and wildcards; a negated match decides (OpenSSH addrmatch.c). Host
/// names never match: the node's resolver is not the operator's promise.
fn host_list(list: &str, from: IpAddr) -> bool {
    let matches = |pattern: &str| match pattern.parse::<IpNet>() {
        Ok(network) => network.contains(&from),
        Err(_) => wildcard(pattern, &from.to_string()),
    };
    let mut positive = false;
    for pattern in list.split(',').map(str::trim) {
        match pattern.strip_prefix('!') {
            Some(negated) if matches(negated) => return false,
            Some(_) => {}
            None => positive |= matches(pattern),
        }
    }
    positive
}

/// `*` and `?` (OpenSSH match.c, `match_pattern`).
fn wildcard(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    p = at + 1;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FROM: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

    #[test]
    fn wildcards_match_as_sshd_matches() {
        for (pattern, text, expected) in [
            ("ops", "ops", true),
            ("op?", "ops", true),
            ("o*s", "ops", true),
            ("*", "", true),
            ("?", "", false),
            ("*a*b", "xaxbxb", true),
            ("*a*b", "xaxbx", false),
            ("op", "ops", false),
        ] {
            assert_eq!(wildcard(pattern, text), expected, "{pattern} {text}");
        }
    }

    proptest! {
        #[test]
        fn wildcards_never_panic_and_a_text_matches_itself(text in "[a-z0-9.@-]{0,20}", pattern in ".{0,20}") {
            prop_assert!(wildcard(&text, &text));
            let _ = wildcard(&pattern, &text);
        }

        #[test]
        fn any_key_line_is_judged_without_panic(line in ".{0,200}") {
            let _ = usable(&line, &SshdSettings::new(), &Login { user: "ops", from: Some(FROM) }, Some(20_000));
        }
    }

    #[test]
    fn host_lists_know_networks_and_negation() {
        for (list, expected) in [
            ("192.0.2.0/24", true),
            ("192.0.2.*", true),
            ("198.51.100.1,192.0.2.7", true),
            ("!192.0.2.7,192.0.2.0/24", false),
            ("admin.example", false),
            ("2001:db8::/32", false),
        ] {
            assert_eq!(host_list(list, FROM), expected, "{list}");
        }
    }

    #[test]
    fn user_patterns_may_name_a_host() {
        let login = Login { user: "ops", from: Some(FROM) };
        assert!(user_matches("ops@192.0.2.0/24", &login));
        assert!(!user_matches("ops@198.51.100.0/24", &login));
        assert!(!user_matches("ops@192.0.2.0/24", &Login { user: "ops", from: None }));
    }

    #[test]
    fn options_that_stop_commands_make_a_key_useless() {
        let login = Login { user: "ops", from: Some(FROM) };
        let today = Some(20_000); // 2024-10-04
        for (option, fine) in [
            ("no-pty", true),
            ("restrict", true),
            ("command=\"rrsync /\"", false),
            ("cert-authority", false),
            ("from=\"192.0.2.0/24\"", true),
            ("from=\"203.0.113.9\"", false),
            ("expiry-time=\"20301231\"", true),
            ("expiry-time=\"20200101\"", false),
            ("expiry-time=\"nonsense\"", false),
        ] {
            assert_eq!(option_allows(option, &login, today).is_ok(), fine, "{option}");
        }
    }
}
