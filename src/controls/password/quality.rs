//! `password.quality`.

use crate::change::{Action, Change, Stage};
use crate::controls::conf::{self, wanted as asked};
use crate::controls::pam::{self, Managed};
use crate::controls::{Control, Evidence, Meta, Reference, Severity, Verdict};
use crate::facts::{Facts, PamRule};
use crate::profile::policy::Policy;

use super::rulebook::{self, DIRECTORY, MAIN, OURS, Wanted};
use super::{Repair, decides, stack};

/// The control.
pub struct Quality;
/// `password.quality`.
pub const QUALITY: Quality = Quality;

const ID: &str = "password.quality";
const MODULE: &str = "pam_pwquality.so";
/// The module, and the dictionary it asks: without cracklib-runtime, which is only recommended, every password "fails
/// the dictionary check - error loading dictionary", root's included.
const PACKAGES: [&str; 2] = ["libpam-pwquality", "cracklib-runtime"];

static META: Meta = Meta {
    id: ID,
    title: "New passwords are long enough and in no dictionary (libpwquality)",
    why: "A @pam password opens the web interface, and with it every console and disk of every guest. Debian alone \
          accepts six characters.",
    checked: "The packages libpam-pwquality and cracklib-runtime; the PAM stack of passwd, played through with a \
              password that pam_pwquality refuses: nothing may be stored; and the settings in force over \
              /etc/security/pwquality.conf.d/*.conf, pwquality.conf (read last) and the rule's arguments. As strict \
              or stricter passes.",
    naive: "Without cracklib-runtime, which apt installs only with recommends, every new password is refused \
            (\"error loading dictionary\"). Editing pwquality.conf makes dpkg ask at upgrades; settings there override \
            every drop-in, so a drop-in alone may do nothing. enforce_for_root is a bare flag: \"= 0\" switches it \
            on. PVE changes @pam passwords in the web interface with usermod -p, past PAM: quality and history hold \
            for passwd and chpasswd only. @pve passwords know eight characters and nothing else.",
    references: &[
        Reference::Cis13("5.3.3.2"),
        Reference::Cis12("5.3.3.2"),
        Reference::Man("pwquality.conf(5)"),
        Reference::Man("pam_pwquality(8)"),
        Reference::Source("pve-access-control src/PVE/Auth/PAM.pm"),
    ],
    level: 1,
    severity: Severity::Medium,
};

impl Control for Quality {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn enabled(&self, policy: &Policy) -> bool {
        policy.profile.password.quality.enabled
    }

    fn reads(&self, _: &Policy) -> Vec<String> {
        let mut paths: Vec<String> = [MAIN, DIRECTORY].map(str::to_owned).into();
        paths.push(format!("{DIRECTORY}/*"));
        paths.push("/etc/pam.d/passwd".into());
        paths.extend(pam::files());
        paths
    }

    fn packages(&self) -> &'static [&'static str] {
        &PACKAGES
    }

    fn evaluate(&self, facts: &Facts, policy: &Policy) -> Verdict {
        judge(facts, policy).unwrap_or_else(Verdict::unknown)
    }
}

/// Whether `pam_pwquality` has its place in the stack already.
pub fn in_place(facts: &Facts) -> Result<bool, String> {
    let rules = pam::rules(stack(facts)?, "password");
    let found = decides(&rules, MODULE);
    Ok(found.refuses && found.accepts && token_is_passed_on(&rules))
}

/// `pam_unix` must take the password that was checked, and not ask for another.
fn token_is_passed_on(rules: &[&PamRule]) -> bool {
    let mut after = rules.iter().skip_while(|rule| rule.module != MODULE);
    after.find(|rule| rule.module == "pam_unix.so").is_some_and(|unix| pam::flag(unix, "use_authtok"))
}

fn judge(facts: &Facts, policy: &Policy) -> Result<Verdict, String> {
    let wanted = rulebook::wanted(&policy.profile.password.quality);
    let mut repair = Repair::default();
    packages(&mut repair, facts, policy)?;
    module(&mut repair, facts, policy)?;
    settings(&mut repair, facts, policy, &wanted)?;
    for rule in pam::rules(stack(facts)?, "password").iter().filter(|rule| rule.module == MODULE) {
        for argument in rulebook::weakening(&wanted, rule) {
            let line = pam::line(rule);
            repair.advise(format!("take {argument} out of \"{line}\" in {}: it overrides {MAIN}", rule.file));
        }
    }
    Ok(repair.verdict())
}

fn packages(repair: &mut Repair, facts: &Facts, policy: &Policy) -> Result<(), String> {
    let packages = facts.packages.required("the list of packages")?;
    let missing: Vec<String> = PACKAGES
        .iter()
        .filter(|name| !packages.get(**name).is_some_and(|package| package.installed))
        .map(ToString::to_string)
        .collect();
    for name in PACKAGES {
        let found = if missing.iter().any(|missing| missing == name) { "not installed" } else { "installed" };
        repair.evidence.push(Evidence::new(
            format!("package {name}"),
            found,
            asked(policy, "password.quality.enabled", "installed"),
        ));
    }
    if !missing.is_empty() {
        repair.changes.push(Change {
            controls: vec![ID.into()],
            stage: Stage::Packages,
            summary: format!("install {}", missing.join(", ")),
            interrupts: None,
            action: Action::Packages { install: missing },
        });
    }
    Ok(())
}

fn module(repair: &mut Repair, facts: &Facts, policy: &Policy) -> Result<(), String> {
    let good = in_place(facts)?;
    let found = if good {
        "a password that pam_pwquality refuses is not stored"
    } else {
        "new passwords are not checked by pam_pwquality"
    };
    let wanted = asked(policy, "password.quality.enabled", "pam_pwquality decides, pam_unix stores what it saw");
    repair.evidence.push(Evidence::new("PAM service passwd", found, wanted));
    if good {
        return Ok(());
    }
    match pam::managed(facts)? {
        // The package's own profile; enabled by its installation only where pam-auth-update has not seen it before.
        Managed::Yes(enabled) if !enabled.contains("pwquality") => {
            repair.changes.push(pam::enable(ID, "ask pam_pwquality about new passwords", &["pwquality"], Vec::new()));
        }
        Managed::Yes(_) => repair.advise(
            "the profile pwquality is enabled, yet it does not decide: look at /etc/pam.d/passwd and \
             /etc/pam.d/common-password; pam_unix there must have use_authtok",
        ),
        Managed::No(why) => {
            let by_hand = "\"requisite pam_pwquality.so retry=3\" above pam_unix, and use_authtok on pam_unix";
            repair.advise(Managed::advice(&why, by_hand));
        }
    }
    Ok(())
}

fn settings(repair: &mut Repair, facts: &Facts, policy: &Policy, wanted: &[Wanted]) -> Result<(), String> {
    let sources = rulebook::sources(facts)?;
    let in_force = rulebook::in_force(&sources);
    for wanted in wanted {
        let found = in_force.get(wanted.key).map_or_else(
            || format!("{} {}", wanted.key, wanted.silent()),
            |(value, path)| format!("{} {value} ({path})", wanted.key).replace("  ", " "),
        );
        repair.evidence.push(Evidence::new("pwquality settings", found, asked(policy, wanted.origin, wanted.words())));
    }
    if wanted.iter().all(|wanted| rulebook::good(wanted, &in_force)) {
        return Ok(());
    }
    repair.changes.extend(conf::directory(facts, ID, DIRECTORY)?);
    let summary = format!("new passwords have at least {} characters", policy.profile.password.quality.min_length);
    repair.changes.extend(conf::own(facts, ID, OURS, &rulebook::text(wanted), &summary)?);
    for source in sources.iter().filter(|source| source.path != OURS) {
        let after = rulebook::strengthened(wanted, source.text);
        if after != source.text {
            let summary = "take back weaker settings that override the policy's";
            repair.changes.extend(conf::write(facts, ID, &source.path, after, summary)?);
        }
    }
    Ok(())
}
