//! `audit.rules`.

use crate::controls::conf::{self, wanted};
use crate::controls::kernel::is_container;
use crate::controls::{Control, Evidence, Meta, Reference, Severity, Verdict};
use crate::facts::Facts;
use crate::facts::gather::Request;
use crate::facts::watch::Audit;
use crate::profile::policy::Policy;

/// The control.
pub struct Rules;
/// `audit.rules`.
pub const RULES: Rules = Rules;

const ID: &str = "audit.rules";
const UNIT: &str = "auditd.service";
const CONF: &str = "/etc/audit/auditd.conf";
/// auditd(8)'s answers to a full disk that end the node's work.
const DEADLY: [&str; 2] = ["single", "halt"];

static META: Meta = Meta {
    id: ID,
    title: "The kernel writes down who changes PVE's and the system's keys to the house",
    why: "PVE has no audit log of its own: a user.cfg or cluster.fw that was edited on a shell leaves no trace but its time. \
          auditd says which login did it, whatever it called itself later.",
    checked: "auditd is installed and runs, auditing is on; the rules that are loaded in the kernel (auditctl -l) watch each path \
              of the profile; auditd.conf bounds all its files together, rotates, and never stops the node over a full disk. \
              Reported only. A container has no audit trail of its own.",
    naive: "A rule on /etc/pve that is loaded at boot, before pmxcfs is mounted, watches the empty folder beneath and reports \
            nothing for ever: load it from a unit that comes after pve-cluster.service and is PartOf= it, never by restarting \
            pve-cluster. Changes that another member makes arrive without a system call: every member needs the rule. \
            max_log_file_action=keep_logs, which many roles set, fills /var/log until an HA resource fails; \
            space_left_action=single and halt stop the node.",
    references: &[
        Reference::Guide("5.1.2"),
        Reference::Cis13("6.2"),
        Reference::Cis12("6.3"),
        Reference::Man("auditctl(8)"),
        Reference::Man("auditd.conf(5)"),
    ],
    level: 2,
    severity: Severity::Low,
};

impl Control for Rules {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn enabled(&self, policy: &Policy) -> bool {
        policy.profile.audit.rules.enabled
    }

    fn reads(&self, _: &Policy) -> Vec<String> {
        vec!["/etc/audit".into(), CONF.into()]
    }

    fn ask(&self, _: &Policy, request: &mut Request) {
        request.watch.insert("audit");
        request.units.insert(UNIT.into());
    }

    fn evaluate(&self, facts: &Facts, policy: &Policy) -> Verdict {
        judge(facts, policy).unwrap_or_else(Verdict::unknown)
    }
}

fn judge(facts: &Facts, policy: &Policy) -> Result<Verdict, String> {
    let kernel = facts.os.kernel.required("the running kernel")?;
    if is_container(&kernel.virt) {
        return Ok(Verdict::not_applicable("a container's audit trail is its host's"));
    }
    let units = facts.units.required("systemd's units")?;
    let unit = units.get(UNIT).ok_or_else(|| format!("{UNIT}: the capture does not contain it"))?;
    let audit = facts.watch.audit.certain().map_err(|why| format!("the audit rules: {why}"))?;
    let Some(audit) = audit.filter(|_| unit.load != "not-found") else {
        let evidence = vec![Evidence::new(UNIT, "not installed", "active")];
        return Ok(Verdict::advise("install auditd, and load its rules as `explain audit.rules` says", evidence));
    };
    let mut found = Found::default();
    let runs = unit.active == "active" && audit.enabled;
    let state = format!("{}, auditing is {}", unit.active, if audit.enabled { "on" } else { "off" });
    found.line(UNIT, state, "active, auditing is on".into(), runs, || {
        "start auditd (`systemctl enable --now auditd`)".into()
    });
    for path in &policy.profile.audit.rules.watch {
        found.rule(audit, policy, path);
    }
    found.room(conf::text(facts, CONF)?.unwrap_or_default(), policy);
    let advice = (!found.advice.is_empty()).then(|| found.advice.join("; "));
    Ok(Verdict::outcome(Vec::new(), advice, found.evidence))
}

#[derive(Default)]
struct Found {
    evidence: Vec<Evidence>,
    advice: Vec<String>,
}

impl Found {
    fn line(&mut self, source: &str, found: String, want: String, good: bool, advice: impl FnOnce() -> String) {
        self.evidence.push(Evidence::new(source, found, want));
        if !good {
            self.advice.push(advice());
        }
    }

    fn rule(&mut self, audit: &Audit, policy: &Policy, path: &str) {
        let rule = audit.rules.iter().find(|rule| watches(rule, path));
        let want = wanted(policy, "audit.rules.watch", "a rule for writes");
        let found = rule.map_or_else(|| "no rule".to_owned(), Clone::clone);
        let late = if path.starts_with("/etc/pve") { ", from a unit after pve-cluster.service" } else { "" };
        self.line(&format!("auditctl -l, {path}"), found, want, rule.is_some(), || {
            format!("load `-w {path} -p wa -k pve-harden`{late}")
        });
    }

    fn room(&mut self, text: &str, policy: &Policy) {
        let value = |key: &str| {
            let mut values =
                text.lines().filter_map(|line| line.split_once('=').filter(|(name, _)| name.trim() == key));
            values.next_back().map_or(String::new(), |(_, value)| value.trim().to_ascii_lowercase())
        };
        let most = u64::from(policy.profile.audit.rules.max_log_mib);
        let [size, files] = ["max_log_file", "num_logs"].map(|key| value(key).parse::<u64>().ok());
        let action = value("max_log_file_action");
        let room = size.zip(files).map(|(size, files)| size.saturating_mul(files));
        let good = action == "rotate" && room.is_some_and(|room| room > 0 && room <= most);
        let found = match room {
            Some(room) if action == "rotate" => format!("{room} MiB, then rotate"),
            _ => format!("max_log_file_action = {}", action.escape_debug()),
        };
        let want = wanted(policy, "audit.rules.max-log-mib", format!("{most} MiB at most, rotate"));
        self.line(CONF, found, want, good, || {
            format!("set max_log_file_action = ROTATE, and max_log_file times num_logs to {most} or less, in {CONF}")
        });
        for key in ["space_left_action", "admin_space_left_action", "disk_full_action", "disk_error_action"] {
            let found = value(key);
            if DEADLY.contains(&found.as_str()) {
                let want = "not single, not halt".to_owned();
                self.line(&format!("{CONF} {key}"), found, want, false, || {
                    format!("set {key} = SYSLOG or ROTATE in {CONF}")
                });
            }
        }
    }
}

/// Whether a loaded rule, in either of auditctl's two forms, sees writes below a path.
fn watches(rule: &str, path: &str) -> bool {
    let words: Vec<&str> = rule.split_whitespace().collect();
    let trimmed = |word: &str| word.trim_end_matches('/').to_owned();
    let of = |flag: &str| words.windows(2).find(|pair| pair[0] == flag).map(|pair| pair[1]);
    let field = |name: &str| words.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    let place = of("-w").or_else(|| field("dir")).or_else(|| field("path")).map(trimmed);
    let access = of("-p").or_else(|| field("perm")).unwrap_or("rwxa");
    let never = words.iter().any(|word| word.starts_with("never"));
    place.is_some_and(|place| place == trimmed(path)) && access.contains('w') && !never
}

#[cfg(test)]
mod tests {
    use super::watches;

    #[test]
    fn both_forms_of_a_rule_are_read() {
        for (rule, sees) in [
            ("-w /etc/pve -p wa -k pve-config", true),
            ("-w /etc/pve/ -p wa", true),
            ("-a always,exit -S all -F dir=/etc/pve/ -F perm=wa -F key=x", true),
            ("-a always,exit -F arch=b64 -S openat -F path=/etc/pve -F perm=w", true),
            ("-w /etc/pve -p r -k x", false),
            ("-w /etc/pvelib -p wa", false),
            ("-a never,exit -F dir=/etc/pve -F perm=wa", false),
            ("No rules", false),
        ] {
            assert_eq!(watches(rule, "/etc/pve"), sees, "{rule}");
        }
    }
}
