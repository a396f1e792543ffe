//! Questions to the person at the terminal. Without one every question is declined.

use std::io::{self, IsTerminal as _};
use std::sync::Arc;

use dialoguer::{Confirm, Password};

use crate::render::progress::Spinners;
use crate::secret::Secret;
use crate::transport::{Ask, HostKeyOffer, Question};

/// Asks on standard error, reads from the terminal, keeps progress off the screen meanwhile.
pub struct Terminal {
    spinners: Option<Arc<Spinners>>,
}

impl Terminal {
    /// With the spinners that are drawn, if any.
    pub const fn new(spinners: Option<Arc<Spinners>>) -> Self {
        Self { spinners }
    }

    /// Whether somebody can be asked.
    pub fn is_there() -> bool {
        io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    /// A yes or no; anything but y is no.
    pub fn yes(question: &str) -> bool {
        Confirm::new().with_prompt(question).default(false).show_default(true).interact().unwrap_or(false)
    }

    /// A new password, typed twice; `None` without a terminal.
    pub fn new_password(prompt: &str) -> Option<Secret> {
        if !Self::is_there() {
            return None;
        }
        let prompt = Password::new().with_prompt(prompt).with_confirmation("Once more", "They differ; again");
        prompt.interact().ok().map(Secret::new)
    }

    /// Runs a question with nothing else on the screen.
    pub fn alone<T>(&self, question: impl FnOnce() -> T) -> T {
        match &self.spinners {
            Some(spinners) => spinners.suspended(question),
            None => question(),
        }
    }
}

impl Ask for Terminal {
    fn secret(&self, question: &Question) -> Option<Secret> {
        if !Self::is_there() {
            return None;
        }
        let prompt = match question {
            Question::Password { account } => format!("Password of {account}"),
            Question::HopPassword { prompt } | Question::Other { prompt } => {
                prompt.trim_end_matches([':', ' ']).to_owned()
            }
            Question::Passphrase { key } => format!("Passphrase of {key}"),
            Question::Sudo { account } => format!("Password of {account} for sudo"),
        };
        let answer = self.alone(|| Password::new().with_prompt(prompt).allow_empty_password(true).interact());
        answer.ok().filter(|answer| !answer.is_empty()).map(Secret::new)
    }

    fn host_key(&self, offer: &HostKeyOffer) -> bool {
        if !Self::is_there() {
            return false;
        }
        let HostKeyOffer { host, key_type, fingerprint, hop } = offer;
        let role = if *hop { "the machine on the way" } else { "the node" };
        let prompt = format!(
            "{host} ({role}) shows an unknown {key_type} host key:\n  {fingerprint}\n\
             Compare it at its console with `ssh-keygen -lf /etc/ssh/ssh_host_{}_key.pub`. Is it right?",
            key_type.to_ascii_lowercase()
        );
        let answer = self.alone(|| Confirm::new().with_prompt(prompt).default(false).show_default(true).interact());
        answer.unwrap_or(false)
    }

    fn notice(&self, text: &str) {
        self.alone(|| super::output::say(text));
    }
}
