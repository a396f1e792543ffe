//! `domains.cfg`: the realms that users log in to.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A realm.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Realm {
    /// `pam`, `pve`, `ldap`, `ad`, `openid`.
    pub kind: String,
    /// Its other settings.
    pub settings: BTreeMap<String, String>,
}

/// The realms by name, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Domains {
    /// Name and realm.
    pub realms: Vec<(String, Realm)>,
}

impl Domains {
    /// Reads a file: `TYPE: NAME` and indented settings. The realms `pam` and `pve` are always there.
    pub fn parse(text: &str) -> Self {
        let mut realms: Vec<(String, Realm)> = Vec::new();
        for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
            if line.starts_with([' ', '\t']) {
                let (key, value) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
                if let Some((_, realm)) = realms.last_mut() {
                    realm.settings.insert(key.to_owned(), value.trim().to_owned());
                }
            } else if let Some((kind, name)) = line.split_once(':') {
                realms.push((name.trim().to_owned(), Realm { kind: kind.trim().to_owned(), ..Realm::default() }));
            }
        }
        let mut domains = Self { realms };
        for (name, comment) in
            [("pve", "Proxmox VE authentication server"), ("pam", "Linux PAM standard authentication")]
        {
            if domains.get(name).is_none() {
                let settings = BTreeMap::from([("comment".to_owned(), comment.to_owned())]);
                domains.realms.push((name.to_owned(), Realm { kind: name.to_owned(), settings }));
            }
        }
        domains
    }

    /// A realm by name.
    pub fn get(&self, name: &str) -> Option<&Realm> {
        self.realms.iter().find(|(known, _)| known == name).map(|(_, realm)| realm)
    }

    /// A realm by name, to change it.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Realm> {
        self.realms.iter_mut().find(|(known, _)| known == name).map(|(_, realm)| realm)
    }

    /// The file as it is written.
    pub fn written(&self) -> String {
        let mut sections = Vec::new();
        for (name, realm) in &self.realms {
            let mut text = format!("{}: {name}\n", realm.kind);
            for (key, value) in &realm.settings {
                let _ = writeln!(text, "\t{key} {value}");
            }
            sections.push(text);
        }
        sections.join("\n") + "\n"
    }
}
