//! Where to, as whom, and how the host key is judged; and the ssh arguments that say so.

use std::ffi::OsString;
use std::path::PathBuf;

use super::error::Error;
use super::quote;

/// One login. Empty fields are left to the operator's `ssh_config`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// Address, name, or alias of the ssh config.
    pub address: String,
    /// Login name.
    pub user: Option<String>,
    /// Port.
    pub port: Option<u16>,
    /// Private key file; no other key is then offered.
    pub identity: Option<PathBuf>,
    /// `ProxyJump`.
    pub jump: Option<String>,
    /// Used instead of the operator's and the system's `ssh_config`.
    pub ssh_config: Option<PathBuf>,
    /// Used instead of the operator's and the system's `known_hosts`.
    pub known_hosts: Option<PathBuf>,
    /// How an unknown host key is judged; a changed one is always refused.
    pub host_keys: HostKeyPolicy,
}

/// How an unknown host key is judged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HostKeyPolicy {
    /// Show it and ask.
    #[default]
    Ask,
    /// Accept and remember it.
    AcceptNew,
    /// Accept this fingerprint (`SHA256:…`) and nothing else, whatever `known_hosts` says.
    Pinned(String),
}

impl Target {
    /// A target by address alone.
    pub fn new(address: impl Into<String>) -> Self {
        Self { address: address.into(), ..Self::default() }
    }

    /// As another user.
    #[must_use]
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// Refuses what ssh or a shell between could read as something else, and files that are not there.
    pub fn check(&self) -> Result<(), Error> {
        plain("address", &self.address, "")?;
        if let Some(user) = &self.user {
            plain("user", user, "")?;
        }
        if let Some(jump) = &self.jump {
            plain("jump host", jump, "@,[]/")?;
        }
        if let HostKeyPolicy::Pinned(pin) = &self.host_keys {
            let digest = pin.strip_prefix("SHA256:").unwrap_or_default();
            if digest.len() != 43 || !digest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(&byte)) {
                let pin = super::sanitize::line(pin);
                return Err(Error::Target(format!("the host key fingerprint \"{pin}\" is not of the form SHA256:…")));
            }
        }
        for (what, path) in
            [("identity", &self.identity), ("ssh config", &self.ssh_config), ("known_hosts", &self.known_hosts)]
        {
            let Some(path) = path else { continue };
            if path.to_str().is_none_or(|text| text.contains("${") || text.chars().any(char::is_control)) {
                return Err(Error::Target(format!("the {what} file name {} cannot be handed to ssh", path.display())));
            }
            // known_hosts may be a file ssh will make.
            if what != "known_hosts" {
                std::fs::File::open(path)
                    .map_err(|error| Error::Target(format!("the {what} {} cannot be read: {error}", path.display())))?;
            }
        }
        Ok(())
    }

    /// `address` without the brackets of an IPv6 literal.
    pub(super) fn destination(&self) -> &str {
        self.address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(&self.address)
    }

    /// Options common to every ssh this tool starts for this target, up to but without the destination.
    pub(super) fn arguments(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = Vec::new();
        if let Some(path) = &self.ssh_config {
            arguments.extend(["-F".into(), path.into()]);
        }
        if let Some(user) = &self.user {
            arguments.extend(["-l".into(), user.into()]);
        }
        if let Some(port) = self.port {
            arguments.extend(["-p".into(), port.to_string().into()]);
        }
        if let Some(path) = &self.identity {
            arguments.extend(["-i".into(), quote::expand_safe(path).as_ref().into()]);
            arguments.extend(["-o".into(), "IdentitiesOnly=yes".into()]);
        }
        if let Some(jump) = &self.jump {
            arguments.extend(["-J".into(), jump.into()]);
        }
        if let Some(path) = &self.known_hosts {
            arguments.extend(["-o".into(), format!("UserKnownHostsFile={}", quote::ssh_option_path(path)).into()]);
            arguments.extend(["-o".into(), "GlobalKnownHostsFile=/dev/null".into()]);
        }
        arguments
    }

    /// For messages.
    pub(super) fn host(&self) -> String {
        super::sanitize::line(&self.address).into_owned()
    }
}

/// Letters, digits and the punctuation of names and addresses; never an option.
fn plain(what: &str, value: &str, also: &str) -> Result<(), Error> {
    let fits =
        |character: char| character.is_alphanumeric() || "._-:%@\\[]+".contains(character) || also.contains(character);
    if value.is_empty() || value.starts_with('-') || !value.chars().all(fits) || value.len() > 255 {
        let value = super::sanitize::line(value);
        return Err(Error::Target(format!("\"{value}\" cannot be used as {what}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_ssh_would_read_as_options_or_commands_are_refused() {
        for address in ["-oProxyCommand=reboot", "", "a b", "$(x)", "a;b", "a\nb", "a`b`"] {
            assert!(matches!(Target::new(address).check(), Err(Error::Target(_))), "{address}");
        }
        for address in ["pve1", "10.0.0.1", "fd00::1", "[fd00::1]", "fe80::1%eth0", "node.example.org"] {
            assert_eq!(Target::new(address).check(), Ok(()), "{address}");
        }
        assert!(Target { jump: Some("a|b".into()), ..Target::new("x") }.check().is_err());
        assert!(Target { jump: Some("u@a:22,[fd00::2]:23".into()), ..Target::new("x") }.check().is_ok());
        assert!(Target::new("x").user("-v").check().is_err());
    }

    #[test]
    fn an_unreadable_identity_is_named() {
        let target = Target { identity: Some("/nonexistent/key".into()), ..Target::new("x") };
        let message = target.check().unwrap_err().to_string();
        assert!(message.starts_with("the identity /nonexistent/key cannot be read: "), "{message}");
    }

    #[test]
    fn pins_are_fingerprints() {
        let pinned = |pin: &str| Target { host_keys: HostKeyPolicy::Pinned(pin.into()), ..Target::new("x") };
        assert!(pinned("SHA256:short").check().is_err());
        assert!(pinned("yes").check().is_err());
        assert_eq!(pinned("SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU").check(), Ok(()));
    }
}
