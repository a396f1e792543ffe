//! DNS services that PVE's ACME client can set records in (pve-manager `challenge-schema`, PVE 9.2), and their settings.

/// PVE's names of them.
#[rustfmt::skip]
pub const APIS: &[&str] = &[
    "1984hosting", "acmedns", "acmeproxy", "active24", "ad", "ali", "anx", "arvan", "autodns", "aws", "azure",
    "cf", "clouddns", "cloudns", "cn", "conoha", "constellix", "cx", "cyon", "da", "ddnss", "desec", "df",
    "dgon", "dnsimple", "do", "doapi", "domeneshop", "dp", "dpi", "dreamhost", "duckdns", "durabledns", "dyn",
    "dynu", "dynv6", "easydns", "edgedns", "euserv", "exoscale", "freedns", "gandi_livedns", "gcloud", "gd",
    "gdnsdk", "he", "hetzner", "hexonet", "hostingde", "huaweicloud", "infoblox", "infomaniak", "internetbs",
    "inwx", "ionos", "ispconfig", "jd", "joker", "kappernet", "kas", "kinghost", "knot", "leaseweb", "lexicon",
    "linode", "linode_v4", "loopia", "lua", "maradns", "me", "miab", "misaka", "myapi", "mydevil", "mydnsjp",
    "namecheap", "namecom", "namesilo", "nederhost", "neodigit", "netcup", "netlify", "nic", "njalla", "nm",
    "nsd", "nsone", "nsupdate", "nw", "one", "online", "openprovider", "openstack", "opnsense", "ovh", "pdns",
    "pleskxml", "pointhq", "rackcorp", "rackspace", "rcode0", "regru", "scaleway", "schlundtech", "selectel",
    "servercow", "simply", "tele3", "transip", "ultra", "unoeuro", "variomedia", "vscale", "vultr", "world4you",
    "yandex", "zilore", "zone", "zonomi",
];

/// What is wrong with a plugin's data: lines `NAME=value`, as acme.sh's scripts read them. Never repeats a value.
pub fn check(data: &str) -> Result<(), String> {
    let mut lines = 0;
    for (number, line) in data.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let name = line.split_once('=').map(|(name, _)| name);
        let fits = |name: &str| {
            name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        if !name.is_some_and(fits) {
            return Err(format!("line {} is not NAME=value", number + 1));
        }
        lines += 1;
    }
    if lines == 0 { Err("it is empty".into()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_lines_of_settings() {
        assert_eq!(check("CF_Token=a=b\n\nCF_Account_ID=1\n"), Ok(()));
        assert_eq!(check("\n"), Err("it is empty".into()));
        for bad in ["hunter2", "CF Token=hunter2", "=hunter2", "export A=hunter2"] {
            let why = check(&format!("A=1\n{bad}\n")).unwrap_err();
            assert!(why.starts_with("line 2") && !why.contains("hunter2"), "{why}");
        }
        assert!(APIS.is_sorted() && APIS.contains(&"cf"));
    }
}
