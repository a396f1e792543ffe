//! Files and secrets that a profile names and a node gets: certificates, keys, data of DNS services.

use std::collections::BTreeMap;
use std::path::Path;

use super::disk;
use super::policy::{Host, Profile, Site};
use super::secrets::{self, Secrets};
use crate::secret::Secret;

/// Largest file.
const MAX_FILE: u64 = 256 * 1024;

/// Dotted key of the profile → what it names, or why that cannot be had. Keys without a value are not there.
pub type Material = BTreeMap<String, Result<Secret, String>>;

/// A key, its value, and whether it names a secret.
fn sources(profile: &Profile) -> Vec<(String, &str, bool)> {
    let (acme, custom) = (&profile.cert.acme, &profile.cert.custom);
    let mut found = Vec::new();
    let mut add = |key: &str, value, secret| found.push((key.to_owned(), value, secret));
    if acme.enabled {
        add("cert.acme.ca-file", acme.ca_file.as_str(), false);
        add("cert.acme.eab-key", &acme.eab_key, true);
        add("cert.acme.dns-data", &acme.dns_data, true);
        for service in &acme.dns {
            add(&service.material(), &service.data, true);
        }
    }
    if custom.enabled {
        add("cert.custom.certificate", &custom.certificate, false);
        add("cert.custom.ca-file", &custom.ca_file, false);
        add("cert.custom.key", &custom.key, true);
    }
    found.retain(|(_, value, _)| !value.is_empty());
    found
}

/// Names of variables that the profile reads.
pub fn variables(profile: &Profile, hosts: &[Host]) -> Vec<String> {
    let named = |host: &Host| {
        let of = |value: &str| expand(value, host).strip_prefix("env:").map(str::to_owned);
        sources(profile)
            .into_iter()
            .filter(|(.., secret)| *secret)
            .filter_map(|(_, value, _)| of(value))
            .collect::<Vec<_>>()
    };
    hosts.iter().flat_map(named).collect()
}

/// Reads everything for one node.
pub fn read(profile: &Profile, site: &Site, host: &Host, secrets: &Secrets) -> Material {
    let folder = site.path.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
    let one = |(key, value, secret): (String, &str, bool)| {
        let value = expand(value, host);
        let read = if secret { of_secret(&value, folder, secrets) } else { of_file(&folder.join(&value)) };
        let read = read.map_err(|why| format!("{key}: {why}"));
        (key, read)
    };
    sources(profile).into_iter().map(one).collect()
}

/// `{node}` is the node's name in the site.
pub fn expand(value: &str, host: &Host) -> String {
    value.replace("{node}", &host.name)
}

fn of_secret(value: &str, folder: &Path, secrets: &Secrets) -> Result<Secret, String> {
    if let Some(name) = value.strip_prefix("env:") {
        return secrets.get(name).ok_or_else(|| format!("neither the environment nor .env sets {name}"));
    }
    let Some(path) = value.strip_prefix("file:") else {
        return Err("a secret is named as env:NAME or file:PATH, and never written into a profile".into());
    };
    match secrets::read_private(&folder.join(path)) {
        Ok(Some(text)) => Ok(Secret::new(text.as_str())),
        Ok(None) => Err(format!("there is no file {path}")),
        Err(refusal) => Err(refusal.message.clone()),
    }
}

fn of_file(path: &Path) -> Result<Secret, String> {
    disk::read_text(path, MAX_FILE)
        .map(Secret::new)
        .map_err(|_| format!("{} cannot be read", super::source::printable(&path.to_string_lossy())))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::profile::diagnostic::Diagnostics;
    use crate::profile::policy::Policy;

    fn host() -> Host {
        Host { name: "pve1".into(), address: "192.0.2.1".into(), ..Host::default() }
    }

    #[test]
    fn secrets_come_from_the_environment_or_a_private_file_and_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        let site = Site { path: Some(folder.path().join("site.toml")), hosts: vec![host()], ..Site::default() };
        let mut profile = Policy::from_embedded("baseline", site.clone()).unwrap().profile;
        profile.cert.custom.enabled = true;
        profile.cert.custom.certificate = "{node}.pem".into();
        profile.cert.custom.key = "file:{node}.key".into();
        profile.cert.acme.enabled = true;
        profile.cert.acme.eab_key = "env:PVE_EAB_{node}".into();
        profile.cert.acme.dns_data = "CF_Token=x".into();
        fs::write(folder.path().join("pve1.pem"), "PEM").unwrap();
        let key = folder.path().join("pve1.key");
        fs::write(&key, "KEY").unwrap();
        fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
        let environment = [("PVE_EAB_pve1".to_owned(), Secret::new("hunter2"))].into();
        let secrets = Secrets::beside(None, environment, &mut Diagnostics::default());
        let found = read(&profile, &site, &host(), &secrets);
        assert_eq!(found["cert.custom.certificate"], Ok(Secret::new("PEM")));
        assert_eq!(found["cert.acme.eab-key"], Ok(Secret::new("hunter2")));
        assert!(found["cert.acme.dns-data"].as_ref().unwrap_err().contains("env:NAME"));
        assert!(found["cert.custom.key"].as_ref().unwrap_err().contains("read by others"));
        assert!(!format!("{found:?}").contains("hunter2"));
        assert_eq!(variables(&profile, &[host()]), ["PVE_EAB_pve1"]);
        fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
        assert_eq!(read(&profile, &site, &host(), &secrets)["cert.custom.key"], Ok(Secret::new("KEY")));
    }
}
