//! Port 8006's certificate and what the node knows of ACME (`remote/cert.sh`).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::files::hex;
use super::sections::{Sections, shown};
use super::system::address;
use super::{FileFact, Reading};
use crate::pve::certificate::{self, Certificate};

/// Certificates and ACME.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertFacts {
    /// What a new connection to 8006 is shown.
    pub served: Reading<Served>,
    /// pveproxy-ssl.pem: the certificate of ACME or of the administrator; absent while PVE's own is used.
    pub installed: Reading<Vec<Certificate>>,
    /// pve-ssl.pem: the one of PVE's own authority.
    pub own: Reading<Vec<Certificate>>,
    /// ACME accounts that were asked for; one that is not there is none.
    pub accounts: Reading<BTreeMap<String, Option<Account>>>,
    /// DNS plugins by id.
    pub plugins: Reading<BTreeMap<String, Plugin>>,
    /// What the node resolves names to.
    pub names: Reading<BTreeMap<String, BTreeSet<IpAddr>>>,
    /// What [`Plugin::data`] is salted with.
    pub salt: Reading<String>,
}

/// The chain that 8006 sends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Served {
    /// Where it was asked.
    pub address: String,
    /// The certificate first, then who signed it.
    pub chain: Vec<Certificate>,
    /// What openssl says of it by the authorities the node trusts: 0, or an error and its words.
    pub verify: (u32, String),
}

/// An ACME account as PVE tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// URL of the CA's directory.
    pub directory: String,
    /// Without `mailto:`.
    pub contact: BTreeSet<String>,
    /// e.g. `valid`.
    pub status: Option<String>,
}

/// A DNS plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plugin {
    /// `dns` or `standalone`.
    pub kind: String,
    /// api, nodes, disable, validation-delay.
    pub settings: BTreeMap<String, String>,
    /// SHA-256 (lower-case hex) of the salt and the data in base64url without padding.
    pub data: Option<String>,
}

impl CertFacts {
    /// Whether the plugin's data is this text; cannot be told without a salt.
    pub fn is_data(&self, plugin: &Plugin, text: &str) -> Option<bool> {
        let salt = self.salt.known()?;
        let digest = Sha256::new().chain_update(salt).chain_update(URL_SAFE_NO_PAD.encode(text)).finalize();
        Some(plugin.data.as_deref() == Some(hex(&digest).as_str()))
    }
}

pub(super) fn parse(
    sections: Sections<'_>,
    files: &BTreeMap<String, Reading<FileFact>>,
    node_name: Option<&str>,
) -> CertFacts {
    let file = |name: &str| match node_name {
        Some(node) => {
            let path = format!("/etc/pve/nodes/{node}/{name}");
            super::text_of(files, &path)
                .and_then(|text| certificate::chain(&text).map_err(|why| format!("{path}: {why}")))
        }
        None => Reading::NotAsked,
    };
    CertFacts {
        served: sections.parse("cert.served", served),
        installed: file("pveproxy-ssl.pem"),
        own: file("pve-ssl.pem"),
        accounts: sections.parse("acme.accounts", accounts),
        plugins: sections.parse("acme.plugins", plugins),
        names: sections.parse("acme.names", |text| Ok(names(text))),
        salt: sections.text("salt").map(str::to_owned),
    }
}

fn served(text: &str) -> Result<Served, String> {
    let value = |word: &str| text.lines().find_map(|line| line.strip_prefix(word)?.strip_prefix(' '));
    let verify = value("verify").unwrap_or("1 (not told)");
    let (code, words) = verify.split_once(' ').unwrap_or((verify, ""));
    Ok(Served {
        address: shown(value("address").unwrap_or_default()),
        chain: certificate::chain(text)?,
        verify: (code.parse().map_err(|_| format!("no answer of openssl: {}", shown(verify)))?, shown(words)),
    })
}

fn accounts(text: &str) -> Result<BTreeMap<String, Option<Account>>, String> {
    let mut found = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let (name, told) = line.split_once('\t').ok_or_else(|| format!("no account: {}", shown(line)))?;
        let account = if told == "-" { None } else { Some(account(name, told)?) };
        found.insert(name.to_owned(), account);
    }
    Ok(found)
}

fn account(name: &str, told: &str) -> Result<Account, String> {
    let unreadable = || format!("pvenode does not tell of the ACME account {}", shown(name));
    let told: serde_json::Value = serde_json::from_str(told).map_err(|_| unreadable())?;
    let words = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    let contact = told["account"]["contact"].as_array().into_iter().flatten().filter_map(words);
    Ok(Account {
        directory: words(&told["directory"]).ok_or_else(unreadable)?,
        contact: contact.map(|one| one.strip_prefix("mailto:").map_or(one.clone(), str::to_owned)).collect(),
        status: words(&told["account"]["status"]),
    })
}

fn plugins(text: &str) -> Result<BTreeMap<String, Plugin>, String> {
    let mut found: BTreeMap<String, Plugin> = BTreeMap::new();
    let mut last = None;
    for line in text.lines().filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.splitn(3, ' ').collect();
        match (words.as_slice(), &last) {
            (["plugin", kind, id], _) => {
                found.insert((*id).to_owned(), Plugin { kind: (*kind).to_owned(), ..Plugin::default() });
                last = Some((*id).to_owned());
            }
            (["set", name, rest @ ..], Some(id)) => {
                let value = rest.first().map_or("", |value| value.trim());
                if let Some(plugin) = found.get_mut(id) {
                    plugin.settings.insert((*name).to_owned(), value.to_owned());
                }
            }
            (["data", digest], Some(id)) => {
                if let Some(plugin) = found.get_mut(id) {
                    plugin.data = Some((*digest).to_owned());
                }
            }
            _ => return Err(format!("no plugin: {}", shown(line))),
        }
    }
    Ok(found)
}

fn names(text: &str) -> BTreeMap<String, BTreeSet<IpAddr>> {
    let line = |line: &str| {
        let (name, addresses) = line.split_once('\t')?;
        Some((name.to_owned(), addresses.split_whitespace().filter_map(address).collect()))
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NODE: &str = include_str!("../../tests/certificates/node.pem");

    #[test]
    fn what_8006_sends_is_read() {
        let found =
            served(&format!("address 127.0.0.1\n{NODE}verify 20 (unable to get local issuer certificate)\n")).unwrap();
        assert_eq!((found.address.as_str(), found.chain.len(), found.verify.0), ("127.0.0.1", 1, 20));
        assert!(served("address 127.0.0.1\n").is_err());
    }

    #[test]
    fn an_account_tells_its_directory_and_who_is_asked() {
        let told = r#"{"account":{"contact":["mailto:a@example.com"],"status":"valid","key":{"n":"x"}},"directory":"https://ca/dir","location":"l"}"#;
        let found = accounts(&format!("default\t{told}\nother\t-\n")).unwrap();
        assert_eq!(found["other"], None);
        let account = found["default"].clone().unwrap();
        assert_eq!((account.directory.as_str(), account.status.as_deref()), ("https://ca/dir", Some("valid")));
        assert_eq!(account.contact, ["a@example.com".to_owned()].into());
        assert!(accounts("default\tunreadable\n").is_err());
    }

    #[test]
    fn the_data_of_a_plugin_is_known_by_its_digest() {
        let digest = hex(&Sha256::digest("saltQ0ZfVG9rZW49eA"));
        let text = format!("plugin standalone standalone\nplugin dns cf\nset api cf\nset disable\ndata {digest}\n");
        let plugins = plugins(&text).unwrap();
        let facts = CertFacts { salt: Reading::Known("salt".into()), ..CertFacts::default() };
        assert_eq!(facts.is_data(&plugins["cf"], "CF_Token=x"), Some(true));
        assert_eq!(facts.is_data(&plugins["cf"], "CF_Token=y"), Some(false));
        assert_eq!(CertFacts::default().is_data(&plugins["cf"], "CF_Token=x"), None);
        assert_eq!((plugins["cf"].settings["api"].as_str(), plugins["standalone"].kind.as_str()), ("cf", "standalone"));
    }

    #[test]
    fn names_without_an_address_are_kept() {
        let found = names("a.example.com\t10.0.0.1 fd77::1 \nb.example.com\t\n");
        assert_eq!((found["a.example.com"].len(), found["b.example.com"].len()), (2, 0));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(text in "(?s).{0,200}") {
            let _ = (served(&text), accounts(&text), plugins(&text), names(&text));
        }

        #[test]
        fn nor_do_nearly_right_lines(text in "((plugin|set|data|verify|address|x\t)[ a-z0-9{}\":\t]{0,12}\n){0,6}") {
            let _ = (served(&text), accounts(&text), plugins(&text), names(&text));
        }
    }
}
