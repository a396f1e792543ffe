//! A cluster with 1,000 users and 10,000 ACL entries: what planning them adds. Prints milliseconds: `access_scale`.
#![allow(clippy::print_stdout, clippy::unwrap_used, dead_code, missing_docs, reason = "a test asks the same")]

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use pve_harden::facts::{Facts, Reading};
use pve_harden::plan::{Operator, Plan, Selection, build};
use pve_harden::profile::policy::{AccessMode, Policy, Site, WantedAcl, WantedUser};
use pve_harden::pve::privileges::Catalogue;
use pve_harden::pve::{domains, user_cfg};

pub const USERS: usize = 1_000;
pub const EACH: usize = 10;

pub struct Measured {
    /// Reading user.cfg.
    pub parsed: Duration,
    /// A plan that lists nobody.
    pub without: Duration,
    /// A plan that lists everybody.
    pub with: Duration,
    pub plan: Plan,
}

fn user(n: usize) -> String {
    format!("u{n:03}@pve")
}

/// Path and role of somebody's right.
fn right(n: usize, k: usize) -> (String, String) {
    (format!("/vms/{}", 100 + (n * EACH + k) % 5_000), format!("R{}", k % 4))
}

/// The last right of u500 is missing, u001 has one more, and u002 has another comment.
fn node() -> String {
    let mut text = String::from("user:root@pam:1:0::::::\n");
    for n in 0..USERS {
        let comment = if n == 2 { "other" } else { "person" };
        let _ = writeln!(text, "user:{}:1:0::::{comment}::", user(n));
    }
    for k in 0..4 {
        let _ = writeln!(text, "role:R{k}:VM.Audit,VM.Console:");
    }
    for n in 0..USERS {
        for (path, role) in (0..EACH).filter(|k| (n, *k) != (500, EACH - 1)).map(|k| right(n, k)) {
            let _ = writeln!(text, "acl:1:{path}:{}:{role}:", user(n));
        }
    }
    let _ = writeln!(text, "acl:1:/nodes:{}:R0:", user(1));
    text
}

fn wanted() -> Policy {
    let mut policy = Policy::from_embedded("baseline", Site::default()).unwrap();
    let access = &mut policy.profile.access;
    (access.users.mode, access.acls.mode) = (AccessMode::Exact, AccessMode::Exact);
    for n in 0..USERS {
        access.user.push(WantedUser { id: user(n), comment: Some("person".into()), ..WantedUser::default() });
        for (path, role) in (0..EACH).map(|k| right(n, k)) {
            access.acl.push(WantedAcl { path, role, users: vec![user(n)], ..WantedAcl::default() });
        }
    }
    policy
}

fn planned(facts: &Facts, policy: &Policy) -> (Duration, Plan) {
    let selection = Selection::parse(&["access.users".into(), "access.acls".into()]).unwrap();
    let mut best = Duration::MAX;
    let mut plan = Plan::default();
    for _ in 0..3 {
        let begun = Instant::now();
        plan = build(facts, policy, &selection, &Operator::default()).unwrap();
        best = best.min(begun.elapsed());
    }
    (best, plan)
}

/// Plans with and without the users, each the fastest of three.
///
/// # Panics
/// When a plan cannot be made.
pub fn measure() -> Measured {
    let text = node();
    let begun = Instant::now();
    let config = user_cfg::parse(&text, Catalogue::of(9));
    let parsed = begun.elapsed();
    let mut facts = Facts::fresh_pve9();
    facts.access.config = Reading::Known(config);
    facts.access.realms = Reading::Known(domains::parse(""));
    let (without, _) = planned(&facts, &Policy::from_embedded("baseline", Site::default()).unwrap());
    let (with, plan) = planned(&facts, &wanted());
    Measured { parsed, without, with, plan }
}

fn main() {
    let Measured { parsed, without, with, .. } = measure();
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    println!(
        "{USERS} users, {} rights: read in {:.1} ms; a plan that lists them takes {:.1} ms longer",
        USERS * EACH,
        milliseconds(parsed),
        milliseconds(with.saturating_sub(without))
    );
}
