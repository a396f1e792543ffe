//! `ssh.*`: sshd, through one drop-in that sorts first, judged by what sshd makes of all its files in each case.
//!
//! Every control says what must be effective per login ([`SshControl::wants`]) and which lines make it so
//! ([`SshControl::section`]). The rest is shared: the drop-in is rendered from the sections of all controls of the
//! run, so that each of them emits the same file change.

mod banner;
mod crypto;
mod dropin;
mod forwarding;
mod judge;
mod keys;
mod limits;
mod node;
mod password_auth;
mod root_login;
mod section;
mod setter;
mod target;
#[cfg(test)]
mod tests;
mod want;

pub use banner::BANNER;
pub use crypto::CRYPTO;
pub use forwarding::FORWARDING;
pub use keys::KEYS;
pub use limits::LIMITS;
pub use password_auth::PASSWORD_AUTH;
pub use root_login::ROOT_LOGIN;

use crate::change::Change;
use crate::controls::{Control, Evidence, Meta, Status, Verdict};
use crate::facts::{Facts, SshdCase};
use crate::profile::policy::Policy;

use node::Node;
use section::Section;
use want::Want;

/// What differs between the SSH controls.
trait SshControl: Sync {
    fn meta(&self) -> &'static Meta;

    fn enabled(&self, policy: &Policy) -> bool;

    /// What must be effective for this login.
    fn wants(&self, node: &Node, case: &SshdCase) -> Vec<Want>;

    /// The lines that make it so.
    fn section(&self, node: &Node) -> Section;

    /// Anything that forbids, or makes it impossible to tell.
    fn obstacle(&self, node: &Node) -> Option<Status> {
        let _ = node;
        None
    }

    /// Files needed besides sshd's own.
    fn reads(&self) -> &'static [&'static str] {
        &[]
    }

    /// A file that the lines name: what was found there, and what puts it right. Fails when that cannot be told.
    fn named_file(&self, node: &Node) -> Result<Option<(Evidence, Option<Change>)>, String> {
        let _ = node;
        Ok(None)
    }
}

/// An SSH control as the catalogue sees it.
pub struct Ssh(&'static dyn SshControl);

impl Control for Ssh {
    fn meta(&self) -> &'static Meta {
        self.0.meta()
    }

    fn enabled(&self, policy: &Policy) -> bool {
        self.0.enabled(policy)
    }

    fn evaluate(&self, facts: &Facts, policy: &Policy) -> Verdict {
        judge::evaluate(self.0, facts, policy)
    }

    fn reads(&self, _: &Policy) -> Vec<String> {
        let own = [setter::MAIN, dropin::FOLDER, dropin::PATH];
        own.iter().chain(self.0.reads()).map(ToString::to_string).collect()
    }
}

/// Every SSH control, in the order of the catalogue and of the drop-in.
const FAMILY: [&dyn SshControl; 6] = [ROOT_LOGIN.0, PASSWORD_AUTH.0, LIMITS.0, FORWARDING.0, CRYPTO.0, BANNER.0];

/// Their ids.
fn ids() -> Vec<&'static str> {
    FAMILY.iter().map(|control| control.meta().id).collect()
}

/// Those whose lines this run decides: enabled by the profile and not left out by the command.
fn active(policy: &Policy) -> impl Iterator<Item = &'static dyn SshControl> {
    FAMILY.into_iter().filter(|control| control.enabled(policy) && !policy.left_out.contains(control.meta().id))
}
