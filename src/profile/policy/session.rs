//! `session.*`: idle shells, the umask, and the notice before a login.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[session]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SessionPolicy {
    /// `TMOUT`.
    pub timeout: TimeoutPolicy,
    /// umask of people's shells.
    pub umask: UmaskPolicy,
    /// What is said before a login.
    pub notice: NoticePolicy,
}

/// `[session.timeout]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TimeoutPolicy {
    /// Part of the policy.
    pub enabled: bool,
    /// `TMOUT` of interactive shells, seconds.
    pub seconds: u32,
}

/// `[session.umask]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct UmaskPolicy {
    /// Part of the policy.
    pub enabled: bool,
    /// Octal, for interactive shells of people; root keeps 022 (LXC roots made under 027 do not start).
    pub umask: String,
}

/// `[session.notice]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NoticePolicy {
    /// Part of the policy: consoles show the text.
    pub enabled: bool,
    /// The text, also of `ssh.banner` and `web.consent`: one or several lines.
    pub text: String,
}

/// Longest text of a notice, in bytes.
pub const LONGEST_NOTICE: usize = 4096;

impl NoticePolicy {
    /// Why the text is no notice.
    pub fn problem(text: &str) -> Option<&'static str> {
        if text.trim().is_empty() {
            Some("a notice that says nothing")
        } else if text.len() > LONGEST_NOTICE {
            Some("a notice is at most 4096 bytes long")
        } else if text.split('\n').any(|line| crate::sanitize::line(line) != line) {
            Some("a notice is made of lines of text, without tabs, control and formatting characters")
        } else if text.contains('\\') {
            Some("a backslash begins a code for the console, which tells what system this is (agetty(8))")
        } else {
            None
        }
    }
}
