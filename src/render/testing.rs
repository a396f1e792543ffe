//! A document with one of everything, for the tests of every format.

use jiff::civil::date;

use crate::access::matrix::{Account, matrix};
use crate::controls::{Evidence, Severity, Status, Verdict};
use crate::error::{Error, Kind};
use crate::plan::testing::{change, empty_plan, new_file};
use crate::plan::upgrade::Meaning;
use crate::profile::policy::{Digests, Scope, Waiver};
use crate::pve::privileges::Catalogue;
use crate::pve::user_cfg;
use crate::report::document::{Context, Document};
use crate::report::{Command, ControlResult, Failure, Judged, NodeReport, Report, WaiverResult};

/// What a node may say to harm its reader.
pub const HOSTILE: &str = "<script>alert(1)</script>\"'>]]>&amp;\x1b[2J\u{202e}\u{0}\u{fffe}</td>{\"a\":1}\n-- END";

fn control(id: &str, severity: Severity, verdict: Verdict) -> ControlResult {
    let (title, origins) = ("what is required", "baseline:3-5".into());
    ControlResult { id: id.into(), title, severity, level: 1, origins, verdict }
}

fn waiver(control: &str, expires: jiff::civil::Date) -> Waiver {
    Waiver {
        control: control.into(),
        scope: Scope::Node("pve1".into()),
        owner: "Olga".into(),
        reason: "legacy backup client".into(),
        expires,
    }
}

/// A person through a group, with a token of its own rights and an end; and root.
fn accounts() -> Vec<Account> {
    let text = "user:olga@pve:1:0:Olga:P:::\ntoken:olga@pve!ci:1780617600:1:nightly $6$saltsalt$secretsecret:\n\
        group:admins:olga@pve::\nacl:1:/:@admins:Administrator:\nacl:0:/vms/100:olga@pve!ci:PVEAuditor:\n";
    let factors = [("olga@pve".to_owned(), [("totp".to_owned(), 1)].into())].into();
    matrix(&user_cfg::parse(text, Catalogue::of(9)), Some(&factors))
}

/// pve1 with every state, and pve2 that could not be reached.
pub fn report() -> Report {
    let today = date(2026, 6, 1);
    let step = change("ssh.root-login", crate::change::Stage::Ssh, new_file("/etc/ssh/x.conf", "a\n", 0o600));
    let seen = |found: &str| vec![Evidence::new("sshd -T", found, "no")];
    let accepted = waiver("ssh.forwarding", date(2026, 6, 20));
    let waived = Status::Waived { deviation: "1 step left undone".into(), waiver: accepted.clone() };
    let advice = "set a new one: $6$saltsalt$secretsecret";
    let controls = vec![
        control("ssh.limits", Severity::Medium, Verdict::compliant(seen("no"))),
        control(
            "ssh.root-login",
            Severity::High,
            Verdict::differs(vec![step.clone(), step], seen("permitrootlogin yes\x1b[2J")),
        ),
        control("ssh.crypto", Severity::High, Verdict::unknown("sshd -T failed")),
        control("accounts.root-password", Severity::Low, Verdict::advise(advice, seen(HOSTILE))),
        control("password.hash", Severity::Low, Verdict::not_applicable("no such file")),
        control("ssh.forwarding", Severity::Medium, Verdict { status: waived, evidence: seen("yes") }),
        control("ssh.password-auth", Severity::Medium, Verdict::refused("nobody could log in")),
    ];
    let expired = waiver("ssh.limits", date(2026, 5, 1));
    let waivers = [(accepted, true), (expired, false)].map(|(waiver, needed)| WaiverResult {
        standing: waiver.standing(today),
        waiver,
        needed,
    });
    let release = Some("9.1.2".into());
    let access = Some(accounts());
    let judged = Judged {
        release,
        plan: empty_plan(),
        controls,
        waivers: waivers.into(),
        upgrade: Vec::new(),
        upgrade_note: None,
        access,
    };
    let error = Error::msg(Kind::Unreachable, "no route to host").untouched("pve2");
    let node = |name: &str, result| NodeReport { node: name.into(), address: "192.0.2.11".into(), result };
    let nodes = vec![node("pve1", Ok(judged)), node("pve2", Err(Failure::of(&error, "pve2")))];
    Report { command: Command::Check { fail_on: Some(Severity::Low) }, nodes }
}

/// What an upgrade changes, one of it in a node's own words.
pub fn upgrade() -> Vec<Meaning> {
    let meaning = |subject: &str| Meaning {
        subject: subject.into(),
        change: "VM.Monitor does not exist on PVE 9".into(),
        todo: "add Sys.Audit".into(),
    };
    vec![meaning("role WebDev"), meaning(&format!("role {}", HOSTILE.replace('\n', " ")))]
}

/// The document of [`report`].
pub fn document() -> Document {
    let digests = Digests { profile: "ab".repeat(32), site: "cd".repeat(32) };
    let generated = date(2026, 6, 1).at(12, 0, 0, 0).in_tz("UTC").unwrap().timestamp();
    let profiles = vec!["baseline".into()];
    let emergency_contact = Some("on call: +1 555 0100".into());
    Document::new(&report(), Some(&Context { generated, profiles, digests, emergency_contact }))
}

/// As [`document`], with a node whose every word is an attack.
pub fn hostile() -> Document {
    let mut document = document();
    document.emergency_contact = Some(HOSTILE.into());
    for (number, node) in document.nodes.iter_mut().enumerate() {
        node.node = format!("{HOSTILE}{number}");
        node.address = HOSTILE.into();
        node.release = node.release.as_ref().map(|_| HOSTILE.into());
        if let Some(failure) = &mut node.failure {
            failure.cause = HOSTILE.into();
        }
        for account in node.access.iter_mut().flatten() {
            for text in [&mut account.account, &mut account.purpose] {
                *text = HOSTILE.into();
            }
            account.groups = account.groups.iter().map(|_| HOSTILE.to_owned()).collect();
            for held in &mut account.grants {
                (held.path, held.role) = (HOSTILE.into(), HOSTILE.into());
                held.via = held.via.as_ref().map(|_| HOSTILE.into());
            }
        }
        for control in &mut node.controls {
            control.why = control.why.as_ref().map(|_| HOSTILE.into());
            control.evidence = control
                .evidence
                .iter()
                .cloned()
                .map(|mut seen| {
                    seen.found = HOSTILE.into();
                    seen.source = HOSTILE.into();
                    seen
                })
                .collect();
            if let Some(fix) = &mut control.fix {
                fix.hint = HOSTILE.into();
                fix.steps.iter_mut().for_each(|step| *step = HOSTILE.into());
            }
        }
    }
    document
}
