//! `/etc/default/pveproxy`: a shell fragment, evaluated by bash as the real program does.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;

use ipnet::IpNet;

const NAMES: [&str; 10] = [
    "LISTEN_IP",
    "ALLOW_FROM",
    "DENY_FROM",
    "POLICY",
    "CIPHERS",
    "CIPHERSUITES",
    "TLS_KEY_FILE",
    "HONOR_CIPHER_ORDER",
    "DISABLE_TLS_1_2",
    "DISABLE_TLS_1_3",
];

/// What the file asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Address to listen on instead of all.
    pub listen: Option<String>,
    /// Who may connect.
    pub access: Access,
    /// TLS 1.2 ciphers.
    pub ciphers: Option<String>,
    /// TLS 1.3 cipher suites.
    pub suites: Option<String>,
    /// Key of an own certificate.
    pub key_file: Option<String>,
    /// Whether the server's order of ciphers counts.
    pub client_order: bool,
    /// TLS 1.2 off.
    pub no_tls_1_2: bool,
    /// TLS 1.3 off.
    pub no_tls_1_3: bool,
}

/// Who may connect: a list that allows, one that denies, and what counts when both or neither match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    allow: Vec<Range>,
    deny: Vec<Range>,
    refuse_by_default: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Range {
    first: IpAddr,
    last: IpAddr,
}

impl Access {
    /// Whether a client may connect.
    pub fn permits(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        let within = |ranges: &[Range]| {
            ranges
                .iter()
                .any(|range| range.first.is_ipv4() == client.is_ipv4() && range.first <= client && client <= range.last)
        };
        let (allowed, denied) = (within(&self.allow), within(&self.deny));
        if allowed == denied { !self.refuse_by_default } else { allowed }
    }
}

impl Settings {
    /// Reads the file; without one, everything is as built in.
    ///
    /// # Errors
    /// The sentence that the real program dies with.
    pub fn load(file: &Path) -> Result<Self, String> {
        if !file.is_file() {
            return Ok(Self::default());
        }
        let mut script = format!(". {}\n", file.display());
        for name in NAMES {
            let _ = write!(script, "echo \"{name}:${name}\";");
        }
        let output = Command::new("bash").arg("-c").arg(script).output().map_err(|error| error.to_string())?;
        Self::parse(&String::from_utf8_lossy(&output.stdout))
    }

    /// Reads `NAME:VALUE` lines.
    fn parse(text: &str) -> Result<Self, String> {
        let mut settings = Self::default();
        for (name, value) in text.lines().filter_map(|line| line.split_once(':')) {
            if value.is_empty() {
                continue;
            }
            match name {
                "LISTEN_IP" => settings.listen = Some(value.to_owned()),
                "ALLOW_FROM" => settings.access.allow = ranges(value)?,
                "DENY_FROM" => settings.access.deny = ranges(value)?,
                "POLICY" => {
                    settings.access.refuse_by_default = match value {
                        "allow" => false,
                        "deny" => true,
                        _ => return Err(format!("unknown policy '{value}'")),
                    }
                }
                "CIPHERS" => settings.ciphers = Some(value.to_owned()),
                "CIPHERSUITES" => settings.suites = Some(value.to_owned()),
                "TLS_KEY_FILE" => settings.key_file = Some(value.to_owned()),
                "HONOR_CIPHER_ORDER" => settings.client_order = !switch(value)?,
                "DISABLE_TLS_1_2" => settings.no_tls_1_2 = switch(value)?,
                "DISABLE_TLS_1_3" => settings.no_tls_1_3 = switch(value)?,
                _ => {}
            }
        }
        Ok(settings)
    }
}

fn switch(value: &str) -> Result<bool, String> {
    match value {
        "1" => Ok(true),
        "0" => Ok(false),
        _ => Err(format!("unknown value '{value}' - use 0 or 1")),
    }
}

fn ranges(text: &str) -> Result<Vec<Range>, String> {
    let mut found = Vec::new();
    for part in text.split(',') {
        if part == "all" {
            found.extend(network("0.0.0.0/0"));
            found.extend(network("::/0"));
        } else {
            found.push(range(part)?);
        }
    }
    Ok(found)
}

fn network(text: &str) -> Option<Range> {
    let net: IpNet = text.parse().ok()?;
    Some(Range { first: net.network(), last: net.broadcast() })
}

/// An address, a network, or `FIRST-LAST`.
fn range(text: &str) -> Result<Range, String> {
    let bounds = |first: &str, last: &str| -> Option<Range> {
        Some(Range {
            first: first.trim().parse::<IpAddr>().ok()?.to_canonical(),
            last: last.trim().parse::<IpAddr>().ok()?.to_canonical(),
        })
    };
    let found = match text.split_once('-') {
        Some((first, last)) => bounds(first, last),
        None => network(text).or_else(|| bounds(text, text)),
    };
    found.ok_or_else(|| wrong(text))
}

fn wrong(text: &str) -> String {
    let bare = text.split('/').next().unwrap_or_default();
    let quad = bare.split('.').find(|quad| quad.parse::<u8>().is_err());
    match quad {
        Some(quad) if !bare.contains(':') => format!("Invalid quad in IP address {bare} - {quad}"),
        _ => format!("Invalid IP address {bare}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permits(text: &str, client: &str) -> bool {
        let client = client.parse().unwrap_or(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED));
        Settings::parse(text).is_ok_and(|settings| settings.access.permits(client))
    }

    #[test]
    fn without_lists_everybody_may_connect() {
        assert!(permits("", "::ffff:10.0.0.1"));
        assert!(!permits("POLICY:deny\n", "10.0.0.1"));
    }

    #[test]
    fn a_client_on_both_lists_gets_the_policy() {
        let text = "ALLOW_FROM:10.9.9.0/24,fd00::/64\nDENY_FROM:all\nPOLICY:allow\n";
        assert!(permits(text, "10.9.9.1"));
        assert!(permits(text, "::ffff:10.9.9.1"));
        assert!(permits(text, "fd00::5"));
        assert!(!permits(text, "10.77.0.2"));
        assert!(!permits("ALLOW_FROM:10.9.9.1-10.9.9.4\nDENY_FROM:all\n", "10.9.9.5"));
    }

    #[test]
    fn wrong_values_stop_the_start_in_the_recorded_words() {
        for (text, message) in [
            ("POLICY:block\n", "unknown policy 'block'"),
            ("DISABLE_TLS_1_2:yes\n", "unknown value 'yes' - use 0 or 1"),
            ("ALLOW_FROM:10.77.0.300\n", "Invalid quad in IP address 10.77.0.300 - 300"),
        ] {
            assert_eq!(Settings::parse(text), Err(message.to_owned()));
        }
        assert_eq!(Settings::parse("NOSUCHKEY:1\n"), Ok(Settings::default()));
    }
}
