//! `/etc/pve/domains.cfg`: realms, a section each, `TYPE: NAME` and indented `KEY VALUE` lines
//! (pve-common, `SectionConfig.pm`; pve-access-control, `Auth/Plugin.pm`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A realm.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Realm {
    /// `pam`, `pve`, `ldap`, `ad`, `openid`.
    pub kind: String,
    /// Settings as they stand there, secrets never among them (they lie in /etc/pve/priv).
    pub settings: BTreeMap<String, String>,
}

impl Realm {
    /// A setting, empty when it is not there.
    pub fn setting(&self, key: &str) -> &str {
        self.settings.get(key).map(String::as_str).unwrap_or_default()
    }

    /// The second factor that everybody of the realm must have: `type=oath,digits=6` is `totp`.
    pub fn enforces(&self) -> Option<&str> {
        let kind = self.setting("tfa").split(',').find_map(|part| part.trim().strip_prefix("type="))?;
        Some(if kind == "oath" { "totp" } else { kind })
    }

    /// `mode` of a directory; `secure` is its older form (`Auth/LDAP.pm`).
    pub fn directory_mode(&self) -> &str {
        match self.setting("mode") {
            "" if self.setting("secure") == "1" => "ldaps",
            "" => "ldap",
            mode => mode,
        }
    }
}

/// Parses domains.cfg. `pam` and `pve` are always there.
pub fn parse(text: &str) -> BTreeMap<String, Realm> {
    let mut realms = BTreeMap::new();
    let mut open: Option<String> = None;
    for line in text.lines() {
        let line = line.trim_end();
        if line.is_empty() || line.trim_start().starts_with('#') {
            open = open.filter(|_| !line.is_empty());
        } else if line.starts_with([' ', '\t']) {
            let (key, value) = line.trim().split_once([' ', '\t']).unwrap_or((line.trim(), ""));
            if let Some(realm) = open.as_ref().and_then(|name| realms.get_mut(name)) {
                let Realm { settings, .. } = realm;
                settings.insert(key.to_owned(), value.trim().to_owned());
            }
        } else if let Some((kind, name)) = line.split_once(':') {
            let name = name.trim().to_owned();
            realms.insert(name.clone(), Realm { kind: kind.trim().to_owned(), settings: BTreeMap::new() });
            open = Some(name);
        }
    }
    for (name, comment) in [("pam", "Linux PAM standard authentication"), ("pve", "Proxmox VE authentication server")] {
        realms.entry(name.to_owned()).or_insert_with(|| Realm {
            kind: name.to_owned(),
            settings: [("comment".to_owned(), comment.to_owned())].into(),
        });
    }
    realms
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sections_and_the_two_that_are_always_there() {
        let realms = parse(
            "pve: pve\n\tcomment Proxmox VE authentication server\n\tdefault 1\n\ttfa type=oath\n\n\
             ldap: corp\n\tbase_dn dc=example,dc=com\n\tverify 1\n",
        );
        assert_eq!(realms["pve"].setting("tfa"), "type=oath");
        assert_eq!(realms["corp"].kind, "ldap");
        assert_eq!(realms["corp"].setting("base_dn"), "dc=example,dc=com");
        assert_eq!(realms["pam"].setting("comment"), "Linux PAM standard authentication");
        assert_eq!(parse("").len(), 2);
    }

    proptest! {
        #[test]
        fn arbitrary_text_does_not_panic(text in "(\\PC|[:\n\t ])*") {
            prop_assert!(parse(&text).contains_key("pam"));
        }
    }
}
