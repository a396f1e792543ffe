//! ssh's questions, read. The wording is that of OpenSSH 8.4 to 10 (sshconnect.c, sshconnect2.c, ssh-sk.c).

use super::operator::HostKeyOffer;
use super::sanitize;

/// One call of the askpass program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Prompt {
    /// "The authenticity of host … can't be established."
    HostKey { host: String, key_type: String, fingerprint: String },
    /// The answer to the question above was not understood.
    HostKeyAgain,
    /// The login password of `account` (`user@host`); `text` is shown when it is another machine's.
    Password { account: String, text: String },
    /// Passphrase of a private key.
    Passphrase { key: String },
    /// Yes or no, by exit status.
    Confirm { text: String },
    /// Nothing to answer.
    Notice { text: String },
    /// PINs, one-time codes and all else.
    Other { text: String },
}

impl Prompt {
    /// `kind` is `SSH_ASKPASS_PROMPT`, `text` the argument.
    pub(super) fn read(kind: &str, text: &str) -> Self {
        let shown = || sanitize::line(text.trim_end()).into_owned();
        match kind {
            "none" => return Self::Notice { text: shown() },
            "confirm" => return Self::Confirm { text: shown() },
            _ => {}
        }
        if let Some(prompt) = host_key(text) {
            return prompt;
        }
        if let Some(account) = password_account(text) {
            return Self::Password { account: account.into(), text: shown() };
        }
        let key = text.strip_prefix("Enter passphrase for ").and_then(|rest| rest.strip_suffix(": "));
        if let Some(key) = key {
            let key = key.strip_prefix("key ").unwrap_or(key);
            return Self::Passphrase { key: sanitize::line(key.trim_matches('\'')).into_owned() };
        }
        Self::Other { text: shown() }
    }
}

/// `user@host's password: ` (password) or `(user@host) Password: ` (keyboard-interactive). ssh writes the account
/// itself; only what follows comes from the server, so anything but exactly this is another question.
fn password_account(text: &str) -> Option<&str> {
    let account = text
        .strip_suffix("'s password: ")
        .or_else(|| text.strip_prefix('(').and_then(|rest| rest.strip_suffix(") Password: ")))?;
    let plain =
        account.contains('@') && !account.chars().any(|c| c.is_whitespace() || c.is_control() || "()'".contains(c));
    plain.then_some(account)
}

fn host_key(text: &str) -> Option<Prompt> {
    if text.starts_with("Please type 'yes', 'no' or the fingerprint") {
        return Some(Prompt::HostKeyAgain);
    }
    let rest = text.strip_prefix("The authenticity of host '")?;
    let (host, rest) = rest.split_once("' can't be established")?;
    let (key_type, fingerprint) = rest.lines().find_map(|line| {
        let (key_type, told) = line.split_once(" key fingerprint is")?;
        Some((key_type, told.trim_start_matches(':').trim().trim_end_matches('.')))
    })?;
    // "name (address)"; known_hosts is looked up by the name.
    let host = host.split_once(" (").map_or(host, |(name, _)| name);
    let safe = |value: &str| sanitize::line(value).into_owned();
    Some(Prompt::HostKey { host: safe(host), key_type: safe(key_type), fingerprint: safe(fingerprint) })
}

impl HostKeyOffer {
    pub(super) fn describe(&self) -> String {
        format!("{} {}", self.key_type, self.fingerprint)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(host: &str, key_type: &str, fingerprint: &str) -> Prompt {
        Prompt::HostKey { host: host.into(), key_type: key_type.into(), fingerprint: fingerprint.into() }
    }

    #[test]
    fn host_key_questions_of_all_releases() {
        let old = "The authenticity of host '[10.0.0.1]:2222 ([10.0.0.1]:2222)' can't be established.\n\
                   ED25519 key fingerprint is SHA256:47DEQpj8HBSa.\n\
                   This key is not known by any other names.\n\
                   Are you sure you want to continue connecting (yes/no/[fingerprint])? ";
        assert_eq!(Prompt::read("", old), key("[10.0.0.1]:2222", "ED25519", "SHA256:47DEQpj8HBSa"));
        let new = "The authenticity of host 'pve1 (<no hostip for proxy command>)' can't be established.\n\
                   ED25519 key fingerprint is: SHA256:47DEQpj8HBSa\n\
                   This host key is known by the following other names/addresses:\n    ~/.ssh/known_hosts:1: x\n\
                   Are you sure you want to continue connecting (yes/no/[fingerprint])? ";
        assert_eq!(Prompt::read("", new), key("pve1", "ED25519", "SHA256:47DEQpj8HBSa"));
        assert_eq!(Prompt::read("", "Please type 'yes', 'no' or the fingerprint: "), Prompt::HostKeyAgain);
    }

    #[test]
    fn only_the_exact_password_prompts_are_password_prompts() {
        for text in ["root@10.0.0.1's password: ", "(root@10.0.0.1) Password: "] {
            let prompt = Prompt::read("", text);
            assert!(matches!(&prompt, Prompt::Password { account, .. } if account == "root@10.0.0.1"), "{prompt:?}");
        }
        for text in [
            "(root@10.0.0.1) Verification code: ",
            "(root@10.0.0.1) Password for root@10.0.0.1's password: ",
            "(evil@jump) x\n(root@10.0.0.1) Password: ",
            "(evil@jump) root@10.0.0.1's password: ",
            "root@10.0.0.1's password: \n",
            "(root@10.0.0.1) New password: ",
            "Password: ",
        ] {
            assert!(matches!(Prompt::read("", text), Prompt::Other { .. }), "{text}");
        }
    }

    #[test]
    fn passphrases_pins_and_touches() {
        assert_eq!(Prompt::read("", "Enter passphrase for key '/k/id': "), Prompt::Passphrase { key: "/k/id".into() });
        assert!(matches!(Prompt::read("", "Enter PIN for ED25519-SK key /k/id: "), Prompt::Other { .. }));
        let touch = Prompt::read("none", "Confirm user presence for key ED25519-SK SHA256:x");
        assert!(matches!(touch, Prompt::Notice { .. }));
        assert!(matches!(Prompt::read("confirm", "Allow use of key?"), Prompt::Confirm { .. }));
    }

    proptest! {
        #[test]
        fn any_prompt_is_read_and_made_safe(kind in "(none|confirm|)", text in any::<String>()) {
            let shown = format!("{:?}", Prompt::read(&kind, &text));
            prop_assert!(!shown.contains('\x1b'));
        }
    }
}
