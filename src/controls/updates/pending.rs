//! `updates.pending`.

use crate::controls::conf::wanted;
use crate::controls::{Control, Evidence, Meta, Reference, Severity, Verdict};
use crate::facts::Facts;
use crate::facts::gather::Request;
use crate::profile::policy::Policy;
use crate::sanitize;

/// The control.
pub struct Pending;
/// `updates.pending`.
pub const PENDING: Pending = Pending;

const ID: &str = "updates.pending";
/// Names that are shown; the rest is counted.
const SHOWN: usize = 8;

static META: Meta = Meta {
    id: ID,
    title: "No update waits",
    why: "What unattended-upgrades leaves, Proxmox' own packages and new kernels above all, waits for a person.",
    checked: "apt-get -s dist-upgrade with the lists the node has, and how old these lists are: without fresh lists \
              nothing ever seems to wait.",
    naive: "`apt upgrade` holds back what needs a new package, such as every new kernel: PVE wants dist-upgrade. Old lists \
            say that all is well. Upgrading is left to a person: it restarts daemons, and in a cluster one node goes \
            after the other.",
    references: &[
        Reference::Guide("1.1.3"),
        Reference::Cis13("1.2.2"),
        Reference::Cis12("1.2.2"),
        Reference::Source("pve-docs sysadmin.adoc, System Software Updates"),
    ],
    level: 1,
    severity: Severity::Medium,
};

impl Control for Pending {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn enabled(&self, policy: &Policy) -> bool {
        policy.profile.updates.pending.enabled
    }

    fn ask(&self, _: &Policy, request: &mut Request) {
        request.pending = true;
    }

    fn evaluate(&self, facts: &Facts, policy: &Policy) -> Verdict {
        judge(facts, policy).unwrap_or_else(Verdict::unknown)
    }
}

fn judge(facts: &Facts, policy: &Policy) -> Result<Verdict, String> {
    let pending = facts.os.pending.required("what an upgrade would bring")?;
    let now = facts.taken.required("the node's time")?.as_second();
    let lists = pending.lists.ok_or("the node has no package lists: run apt-get update")?;
    let days = (now - lists).max(0) / 86_400;
    let limit = i64::from(policy.profile.updates.pending.max_list_age_days);
    let security = pending.packages.values().filter(|origin| origin.contains("-security")).count();
    let want = wanted(policy, "updates.pending.max-list-age-days", format!("at most {limit} days old"));
    let mut evidence = vec![Evidence::new("package lists", format!("{days} days old"), want)];
    let mut names: Vec<String> =
        pending.packages.keys().take(SHOWN).map(|name| sanitize::line(name).into_owned()).collect();
    if pending.packages.len() > SHOWN {
        names.push("…".into());
    }
    let found = match pending.packages.len() {
        0 => "none".to_owned(),
        count => format!("{count}, {security} of them security updates: {}", names.join(", ")),
    };
    evidence.push(Evidence::new("apt-get -s dist-upgrade", found, "none"));
    let mut advice = Vec::new();
    if days > limit {
        advice.push("run apt-get update".to_owned());
    }
    if !pending.packages.is_empty() {
        advice.push("run apt-get dist-upgrade, in a cluster node by node".to_owned());
    }
    Ok(Verdict::outcome(Vec::new(), (!advice.is_empty()).then(|| advice.join("; ")), evidence))
}
