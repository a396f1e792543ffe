//! `session.notice`, and the text that `ssh.banner` and `web.consent` show as well.

use crate::change::Change;
use crate::controls::conf::{self, wanted};
use crate::controls::{Control, Evidence, Meta, Reference, Severity, Verdict};
use crate::facts::Facts;
use crate::profile::policy::{NoticePolicy, Policy};

/// The control.
pub struct Notice;
/// `session.notice`.
pub const NOTICE: Notice = Notice;

const ID: &str = "session.notice";
/// The key of the text in a profile.
pub const KEY: &str = "session.notice.text";
/// What is shown to those who come over the network (issue.net(5)).
pub const NETWORK: &str = "/etc/issue.net";
const FOLDER: &str = "/etc/issue.d";
const CONSOLE: &str = "/etc/issue.d/pve-harden.issue";

static META: Meta = Meta {
    id: ID,
    title: "Consoles say before a login whom this system is for",
    why: "In many countries who was not told that a system is private can say that he did not know; auditors ask for the notice \
          in writing. At the console of a PVE host only the address of the web interface stands.",
    checked: "/etc/issue.d/pve-harden.issue, which agetty shows on every console, serial ones included, after what PVE writes; \
              and /etc/issue.net, which is to say the same to whatever shows it: on a fresh node it names the release of Debian.",
    naive: "A text in /etc/issue is gone after the next boot: pvebanner writes the file anew each time. /etc/issue.net belongs to \
            Debian's base-files, whose next release asks what to do with it: keep it (N), or apply again afterwards. Codes such as \
            \\m and \\r would tell strangers what system this is; a text with a backslash is refused.",
    references: &[
        Reference::Cis13("1.6.2"),
        Reference::Cis13("1.6.3"),
        Reference::Cis12("1.6.2"),
        Reference::Cis12("1.6.3"),
        Reference::Man("agetty(8)"),
        Reference::Man("issue.net(5)"),
        Reference::Source("pve-manager bin/pvebanner"),
    ],
    level: 2,
    severity: Severity::Low,
};

impl Control for Notice {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn enabled(&self, policy: &Policy) -> bool {
        policy.profile.session.notice.enabled
    }

    fn reads(&self, _: &Policy) -> Vec<String> {
        vec![NETWORK.into(), FOLDER.into(), CONSOLE.into()]
    }

    fn evaluate(&self, facts: &Facts, policy: &Policy) -> Verdict {
        match text(policy) {
            Ok(text) => judge(facts, policy, &text).unwrap_or_else(Verdict::unknown),
            Err(why) => Verdict::refused(why),
        }
    }
}

/// The text, with one line end after its last line; an error, for a refusal, where it is no notice.
pub fn text(policy: &Policy) -> Result<String, String> {
    let text = &policy.profile.session.notice.text;
    match NoticePolicy::problem(text) {
        Some(problem) => Err(format!("{KEY}: {problem}")),
        None => Ok(format!("{}\n", text.trim())),
    }
}

fn judge(facts: &Facts, policy: &Policy, text: &str) -> Result<Verdict, String> {
    // agetty asks for the name right below it.
    let console = format!("{text}\n");
    let (network, network_change) = network(facts, policy, ID, text)?;
    let evidence = vec![shown(facts, policy, CONSOLE, &console)?, network];
    let changes = [
        conf::directory(facts, ID, FOLDER)?,
        conf::own(facts, ID, CONSOLE, &console, "the notice before a login on consoles")?,
        network_change,
    ];
    Ok(Verdict::outcome(changes.into_iter().flatten().collect(), None, evidence))
}

/// What stands in /etc/issue.net, and the change that makes it this text; the same for every control that wants it.
pub fn network(facts: &Facts, policy: &Policy, id: &str, text: &str) -> Result<(Evidence, Option<Change>), String> {
    let change = conf::own(facts, id, NETWORK, text, "the notice before a login over the network")?;
    Ok((shown(facts, policy, NETWORK, text)?, change))
}

fn shown(facts: &Facts, policy: &Policy, path: &str, text: &str) -> Result<Evidence, String> {
    let found = match conf::text(facts, path)? {
        None => "not there".into(),
        Some(found) if found == text => "the notice".into(),
        Some(found) => brief(found),
    };
    Ok(Evidence::new(path, found, wanted(policy, KEY, "the notice")))
}

/// The first line of a text, for one line of a report.
pub fn brief(text: &str) -> String {
    const LONGEST: usize = 60;
    let line = text.trim().lines().next().unwrap_or("an empty text").trim();
    let short: String = line.chars().take(LONGEST).collect();
    if short.len() < text.trim().len() { format!("{short} …") } else { short }
}
