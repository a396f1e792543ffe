//! `lockout.*`: wrong passwords lock an account for a while.

mod options;
mod profiles;
mod stack;
#[cfg(test)]
mod tests;

use crate::change::Change;
use crate::controls::conf::{self, Syntax, wanted};
use crate::controls::pam::{self, Managed};
use crate::controls::{Control, Evidence, Meta, Reference, Severity, Verdict};
use crate::facts::Facts;
use crate::profile::policy::{FaillockPolicy, Policy};

use options::{CONF, Options};
use stack::{Gap, Stack};

/// `lockout.pam`.
pub const PAM: Lockout = Lockout;

const ID: &str = "lockout.pam";
/// Where passwords are asked for on a PVE node. `proxmox-ve-auth` is the login of @pam users on port 8006
/// (pve-access-control, src/PVE/Auth/PAM.pm).
const SERVICES: [&str; 4] = ["sshd", "sudo", "login", "proxmox-ve-auth"];

/// The control.
pub struct Lockout;

static META: Meta = Meta {
    id: ID,
    title: "Wrong passwords lock an account for a while (pam_faillock)",
    why: "PVE's web interface has no limit on password guesses: a wrong password for a @pam user costs an attacker \
          three seconds. pam_faillock counts failures per account, whether they come through port 8006, sudo, the \
          console or SSH, and refuses the account for a while.",
    checked: "The PAM stacks of sshd, sudo, login and proxmox-ve-auth, played through with a wrong password and with \
              a locked account: the failure must be counted, the locked account refused, a success must reset the \
              count. Then the options each pam_faillock rule ends up with: /etc/security/faillock.conf, overridden by \
              the rule's own arguments. As strict or stricter passes.",
    naive: "faillock.conf alone does nothing: Debian ships the module, but no profile that puts it into the stack. \
            There is no faillock.conf.d; files there are never read. even_deny_root is a bare flag: \"even_deny_root = \
            no\" switches it on, and then anybody who reaches port 8006 can lock root@pam out. admin_group exempts \
            its members from locking unless even_deny_root is set. An account rule instead of `authsucc` lets every \
            cron job of the user reset the count. [default=die] alone on `authfail` turns a wrong password into \
            \"permission denied\", which some programs do not treat as a failed login. pam_tally2 is gone since Debian \
            11: a leftover rule refuses everybody. @pve users never pass through PAM; a lock does not stop key logins.",
    references: &[
        Reference::Cis13("5.3.3.1"),
        Reference::Cis12("5.3.3.1"),
        Reference::Man("pam_faillock(8)"),
        Reference::Man("faillock.conf(5)"),
        Reference::Man("pam-auth-update(8)"),
        Reference::Source("pve-access-control src/PVE/Auth/PAM.pm"),
        Reference::Source("linux-pam modules/pam_faillock/faillock_config.c"),
    ],
    level: 1,
    severity: Severity::Medium,
};

impl Control for Lockout {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn enabled(&self, policy: &Policy) -> bool {
        policy.profile.lockout.pam.enabled
    }

    fn reads(&self, _: &Policy) -> Vec<String> {
        let mut paths = vec![CONF.to_owned()];
        paths.extend(profiles::ALL.iter().map(profiles::Profile::path));
        paths.extend(pam::files());
        paths.extend(SERVICES.map(|service| format!("/etc/pam.d/{service}")));
        paths
    }

    fn evaluate(&self, facts: &Facts, policy: &Policy) -> Verdict {
        let want = &policy.profile.lockout.pam;
        let never_unlocks = want.unlock_time == 0 || (want.even_deny_root && want.root_unlock_time == 0);
        if never_unlocks || want.deny == 0 {
            return Verdict::refused(
                "lockout.pam: deny = 0 never locks, and an unlock time of 0 never unlocks: a stranger at port 8006 could \
                 shut out every administrator for good; set deny, unlock-time and root-unlock-time to 1 or more",
            );
        }
        judge(facts, policy).unwrap_or_else(Verdict::unknown)
    }
}

fn judge(facts: &Facts, policy: &Policy) -> Result<Verdict, String> {
    let text = conf::text(facts, CONF)?.unwrap_or_default();
    let stacks = stacks(facts)?;
    let mut evidence: Vec<Evidence> = stacks.iter().map(|stack| stack.evidence(policy)).collect();
    evidence.extend(options::evidence(text, &stacks, policy));
    let mut repair = Repair::default();
    repair.stack(facts, &stacks)?;
    repair.options(facts, text, &stacks, &policy.profile.lockout.pam)?;
    Ok(repair.verdict(evidence))
}

/// The services that exist, each played through.
fn stacks(facts: &Facts) -> Result<Vec<Stack<'_>>, String> {
    let mut stacks = Vec::new();
    for name in SERVICES {
        match pam::service(facts, name)? {
            // Without sudo there is no file for it, and nobody can use it.
            Some((_, note)) if name == "sudo" && !note.is_empty() => {}
            Some((stack, note)) => stacks.push(Stack::of(name, note, stack)),
            None => return Err(format!("PAM service {name}: neither it nor \"other\" is there")),
        }
    }
    Ok(stacks)
}

/// What is to be done, gathered.
#[derive(Default)]
struct Repair {
    changes: Vec<Change>,
    advice: Vec<String>,
}

impl Repair {
    /// Puts the module into the stack, when a service lacks it.
    fn stack(&mut self, facts: &Facts, stacks: &[Stack<'_>]) -> Result<(), String> {
        for leftover in stacks.iter().filter_map(|stack| stack.leftover.as_ref()) {
            self.advise(format!("remove \"{}\" from {}: the module does not exist", leftover.line, leftover.file));
        }
        let broken: Vec<&Stack<'_>> = stacks.iter().filter(|stack| !stack.gaps.is_empty()).collect();
        if broken.is_empty() {
            return Ok(());
        }
        for stack in broken.iter().filter(|stack| !stack.uses_common_auth) {
            self.advise(format!(
                "/etc/pam.d/{} does not include common-auth: add pam_faillock there by hand, or \"@include common-auth\"",
                stack.service
            ));
        }
        if broken.iter().any(|stack| stack.uses_common_auth) {
            self.common_auth(facts)?;
        }
        Ok(())
    }

    fn common_auth(&mut self, facts: &Facts) -> Result<(), String> {
        let enabled = match pam::managed(facts)? {
            Managed::Yes(enabled) => enabled,
            Managed::No(why) => {
                let by_hand = "preauth above pam_unix, authfail below it, authsucc at the end";
                self.advise(Managed::advice(&why, by_hand));
                return Ok(());
            }
        };
        let mut files = Vec::new();
        for profile in &profiles::ALL {
            let summary = format!("PAM profile: {}", profile.title);
            files.extend(conf::own(facts, ID, &profile.path(), &profile.text(), &summary)?);
        }
        let ours_are_on = profiles::ALL.iter().all(|profile| enabled.contains(profile.name));
        let ours = profiles::ALL.map(|profile| profile.name);
        let foreign = pam::rivals(facts, "auth", "pam_faillock.so", &ours)?;
        if ours_are_on && files.is_empty() && foreign.is_empty() {
            self.advise(
                "the profiles are enabled, yet the stack does not count failures: another rule in \
                 /etc/pam.d/common-auth comes between them; look at it and at the evidence",
            );
            return Ok(());
        }
        self.changes.append(&mut files);
        let summary = "count wrong passwords in every PAM service, and refuse locked accounts";
        self.changes.push(pam::enable(ID, summary, &ours, foreign));
        Ok(())
    }

    /// Sets what is weaker than wanted in faillock.conf, and names arguments that override it.
    fn options(
        &mut self,
        facts: &Facts,
        text: &str,
        stacks: &[Stack<'_>],
        want: &FaillockPolicy,
    ) -> Result<(), String> {
        let mut after = text.to_owned();
        for (key, value) in Options::of(text).to_write(want) {
            after = match value {
                Some(value) => Syntax::Pam.set(&after, key, &value),
                None => Syntax::Pam.comment_out(&after, key),
            };
        }
        let summary = format!("lock an account for {} s after {} wrong passwords", want.unlock_time, want.deny);
        self.changes.extend(conf::write(facts, ID, CONF, after.clone(), &summary)?.filter(|_| after != text));
        let mut told = Vec::new();
        for rule in stacks.iter().flat_map(|stack| &stack.counting) {
            let overridden = options::overridden(&after, rule, want);
            if !overridden.is_empty() && !told.contains(&(&rule.file, &rule.arguments)) {
                told.push((&rule.file, &rule.arguments));
                let names = overridden.join(", ");
                self.advise(format!(
                    "take {names} out of \"{}\" in {}: it overrides {CONF}",
                    pam::line(rule),
                    rule.file
                ));
            }
        }
        Ok(())
    }

    fn advise(&mut self, advice: impl Into<String>) {
        let advice = advice.into();
        if !self.advice.contains(&advice) {
            self.advice.push(advice);
        }
    }

    fn verdict(self, evidence: Vec<Evidence>) -> Verdict {
        let advice = (!self.advice.is_empty()).then(|| self.advice.join("; "));
        Verdict::outcome(self.changes, advice, evidence)
    }
}

impl Stack<'_> {
    fn evidence(&self, policy: &Policy) -> Evidence {
        let found = if self.gaps.is_empty() {
            "wrong passwords are counted, a locked account is refused, success resets the count".to_owned()
        } else {
            self.gaps.iter().map(|gap| gap.words()).collect::<Vec<_>>().join("; ")
        };
        let source = format!("PAM service {}{}", self.service, self.note);
        Evidence::new(source, found, wanted(policy, "lockout.pam.enabled", "pam_faillock in the stack"))
    }
}

impl Gap {
    const fn words(self) -> &'static str {
        match self {
            Self::NotCounted => "a wrong password is not counted",
            Self::NotRefused => "a locked account gets in with its password",
            Self::NotReset => "a right password does not reset the count",
            Self::NobodyPasses => "no password gets in at all",
        }
    }
}
