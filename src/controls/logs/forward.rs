//! `logs.forward`.

use std::fmt::Write as _;

use crate::change::{Action, Change, Stage, UnitVerb};
use crate::controls::conf::{self, wanted};
use crate::controls::{Control, Evidence, Meta, Reference, Severity, Verdict};
use crate::facts::Facts;
use crate::facts::gather::Request;
use crate::profile::policy::{ForwardPolicy, Policy};

use super::journal::{self, FOLDER};

/// The control.
pub struct Forward;
/// `logs.forward`.
pub const FORWARD: Forward = Forward;

const ID: &str = "logs.forward";
const UNIT: &str = "rsyslog.service";
const PACKAGES: [&str; 2] = ["rsyslog", "rsyslog-gnutls"];
const RSYSLOG_FOLDER: &str = "/etc/rsyslog.d";
const PATH: &str = "/etc/rsyslog.d/40-pve-harden-forward.conf";
const CA_PATH: &str = "/etc/ssl/certs/pve-harden-logs.pem";
const SYSTEM_CA: &str = "/etc/ssl/certs/ca-certificates.crt";
const JOURNALD_PATH: &str = "/etc/systemd/journald.conf.d/zz-pve-harden-forward.conf";
/// Logs that the journal does not have: path, and the name they get.
const FILES: [(&str, &str); 4] = [
    ("/var/log/pveproxy/access.log", "pveproxy-access"),
    ("/var/log/pve-firewall.log", "pve-firewall"),
    ("/var/log/pve/tasks/index", "pve-tasks"),
    ("/var/log/pve/tasks/*/UPID*", "pve-task"),
];

static META: Meta = Meta {
    id: ID,
    title: "Logs go to another machine as well, encrypted",
    why: "Who has become root of a node deletes what the node wrote about it. What another machine has already received \
          stays.",
    checked: "rsyslog and its TLS driver, this tool's file and the authority's certificate it trusts; that journald passes \
              messages on to it; that the service is enabled and active and holds a connection to the receiver's port.",
    naive: "Guides forward what is in /var/log: on a PVE node without rsyslog that is neither sshd nor pvedaemon, which are in \
            the journal, and what is in neither of both, pveproxy's requests and the tasks' own logs, is forgotten. Without an \
            authority and a name for the receiver TLS encrypts to whoever answers. A receiver that is down must not stop the \
            node: the queue lies on disk and is bounded. With `policy-out = \"DROP\"` the port needs a rule. \
            systemd-journal-upload is not offered beside it: it carries the journal alone, without requests and tasks, to a \
            receiver of systemd's only.",
    references: &[
        Reference::Guide("5.1.1"),
        Reference::Cis13("6.1.2"),
        Reference::Cis12("6.1.3"),
        Reference::Man("rsyslog.conf(5)"),
        Reference::Source("rsyslog doc/source/configuration/modules/omfwd.rst"),
        Reference::Source("pve-manager PVE/RESTEnvironment.pm"),
    ],
    level: 2,
    severity: Severity::Medium,
};

impl Control for Forward {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn enabled(&self, policy: &Policy) -> bool {
        policy.profile.logs.forward.enabled
    }

    fn reads(&self, _: &Policy) -> Vec<String> {
        [RSYSLOG_FOLDER, PATH, CA_PATH, SYSTEM_CA, FOLDER, JOURNALD_PATH, "/etc/ssl/certs"].map(str::to_owned).into()
    }

    fn ask(&self, _: &Policy, request: &mut Request) {
        request.watch.extend(["journald", "forward"]);
        request.units.insert(UNIT.into());
    }

    fn packages(&self) -> &'static [&'static str] {
        &PACKAGES
    }

    fn evaluate(&self, facts: &Facts, policy: &Policy) -> Verdict {
        match Receiver::of(&policy.profile.logs.forward) {
            Err(why) => Verdict::refused(format!("{ID}: {why}")),
            Ok(receiver) => judge(facts, policy, &receiver).unwrap_or_else(Verdict::unknown),
        }
    }
}

/// Where the logs go, checked: its parts become part of rsyslog's configuration.
struct Receiver<'a> {
    host: &'a str,
    port: u16,
    name: &'a str,
    /// Certificates in PEM; empty for those the system trusts.
    authority: String,
}

impl<'a> Receiver<'a> {
    fn of(want: &'a ForwardPolicy) -> Result<Self, String> {
        let bad =
            || format!("\"{}\" is no receiver; write target = \"logs.example.net:6514\"", want.target.escape_debug());
        let (host, port) = want.target.rsplit_once(':').ok_or_else(bad)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let plain = |text: &str| {
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:*".contains(&byte))
        };
        let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(bad)?;
        let name = if want.peer_name.is_empty() { host } else { &want.peer_name };
        if !plain(host) || !plain(name) {
            return Err(bad());
        }
        let authority = want.ca.trim();
        let is_pem = authority.starts_with("-----BEGIN CERTIFICATE-----") && !authority.contains("PRIVATE KEY");
        if !authority.is_empty() && !is_pem {
            return Err("`ca` is the receiver's authority as PEM text, a certificate and no key".into());
        }
        Ok(Self { host, port, name, authority: authority.to_owned() })
    }

    fn ca_path(&self) -> &'static str {
        if self.authority.is_empty() { SYSTEM_CA } else { CA_PATH }
    }

    /// rsyslog's file. The queue takes over what the receiver does not take, on disk and bounded.
    fn text(&self, queue_mib: u32) -> String {
        let mut text = format!("# Written by pve-harden ({ID}).\nmodule(load=\"imfile\")\n");
        text.push_str("ruleset(name=\"pve-harden-forward\") {\n    action(type=\"omfwd\" protocol=\"tcp\"\n");
        let lines = [
            format!("target=\"{}\" port=\"{}\" template=\"RSYSLOG_SyslogProtocol23Format\"", self.host, self.port),
            "StreamDriver=\"gtls\" StreamDriverMode=\"1\" StreamDriverAuthMode=\"x509/name\"".to_owned(),
            format!("StreamDriverPermittedPeers=\"{}\" StreamDriver.CAFile=\"{}\"", self.name, self.ca_path()),
            "queue.type=\"LinkedList\" queue.filename=\"pve-harden-forward\" queue.saveOnShutdown=\"on\"".to_owned(),
            format!("queue.maxDiskSpace=\"{queue_mib}m\" action.resumeRetryCount=\"-1\" action.resumeInterval=\"10\")"),
        ];
        for line in lines {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "        {line}");
        }
        text.push_str("}\n");
        for (path, tag) in FILES {
            let input = format!("File=\"{path}\" Tag=\"{tag}\" Facility=\"local6\" Severity=\"info\"");
            let _ = writeln!(
                text,
                "input(type=\"imfile\" {input} freshStartTail=\"on\"\n    ruleset=\"pve-harden-forward\")"
            );
        }
        text.push_str("call pve-harden-forward\n");
        text
    }
}

fn judge(facts: &Facts, policy: &Policy, receiver: &Receiver<'_>) -> Result<Verdict, String> {
    let packages = facts.packages.required("installed packages")?;
    let missing: Vec<String> = PACKAGES
        .iter()
        .filter(|name| !packages.get(**name).is_some_and(|package| package.installed))
        .map(|name| (*name).to_owned())
        .collect();
    let mut evidence = Vec::new();
    let state = if missing.is_empty() { "installed".to_owned() } else { format!("{} missing", missing.join(", ")) };
    evidence.push(Evidence::new(format!("packages {}", PACKAGES.join(", ")), state, "installed"));
    let mut changes = files(facts, policy, receiver, &mut evidence)?;
    let unit = facts.unit(UNIT)?;
    let runs = unit.active == "active" && unit.file_state == "enabled";
    evidence.push(Evidence::new(UNIT, format!("{}, {}", unit.active, unit.file_state), "active, enabled"));
    if receiver.authority.is_empty() && facts.file(SYSTEM_CA).certain()?.is_none() {
        let advice = "install ca-certificates, or give the receiver's authority as `ca` in logs.forward";
        return Ok(Verdict::advise(advice, evidence));
    }
    let written = !changes.is_empty() || !missing.is_empty();
    if !missing.is_empty() {
        let summary = format!("install {}", missing.join(", "));
        changes.push(change(Stage::Packages, summary, Action::Packages { install: missing }));
    }
    if !runs {
        let action = Action::Unit { unit: UNIT.into(), verb: UnitVerb::EnableNow };
        changes.push(change(Stage::Services, "rsyslog starts, now and at every boot".into(), action));
    }
    if written {
        let action = Action::Unit { unit: UNIT.into(), verb: UnitVerb::TryRestart };
        changes.push(change(Stage::Services, "rsyslog reads its files".into(), action));
        return Ok(Verdict::differs(changes, evidence));
    }
    if !runs {
        return Ok(Verdict::differs(changes, evidence));
    }
    let ports = facts.watch.forward.required("rsyslog's connections")?;
    let found = if ports.contains(&receiver.port) { "connected" } else { "no connection" };
    let target = format!("{}:{}", receiver.host, receiver.port);
    evidence.push(Evidence::new(
        format!("rsyslog to {target}"),
        found,
        wanted(policy, "logs.forward.target", "connected"),
    ));
    let advice = (!ports.contains(&receiver.port)).then(|| {
        format!(
            "rsyslog does not reach {target}: see `journalctl -u rsyslog` for the reason (name, certificate, firewall)"
        )
    });
    Ok(Verdict::outcome(Vec::new(), advice, evidence))
}

fn files(
    facts: &Facts,
    policy: &Policy,
    receiver: &Receiver<'_>,
    evidence: &mut Vec<Evidence>,
) -> Result<Vec<Change>, String> {
    let mut changes: Vec<Change> = conf::directory(facts, ID, RSYSLOG_FOLDER)?.into_iter().collect();
    if !receiver.authority.is_empty() {
        changes.extend(conf::directory(facts, ID, "/etc/ssl/certs")?);
        let text = format!("{}\n", receiver.authority);
        changes.extend(conf::own(facts, ID, CA_PATH, &text, "the authority of the log receiver")?);
    }
    let text = receiver.text(policy.profile.logs.forward.queue_mib);
    let target = format!("{}:{}", receiver.host, receiver.port);
    let summary = format!("the journal, web requests, tasks and the firewall's log go to {target}");
    let file = conf::own(facts, ID, PATH, &text, &summary)?;
    let found = if file.is_none() { "as wanted" } else { "not as wanted" };
    evidence.push(Evidence::new(PATH, found, wanted(policy, "logs.forward.target", format!("logs go to {target}"))));
    changes.extend(file);
    let journald = facts.watch.journald.required("journald's settings")?;
    let passes = journald.value("ForwardToSyslog").is_none_or(|value| matches!(value, "yes" | "true" | "1" | "on"));
    if !passes || conf::text(facts, JOURNALD_PATH)?.is_some() {
        let settings = ["ForwardToSyslog=yes".to_owned()];
        let ours = journal::file(facts, ID, JOURNALD_PATH, &settings, "journald passes messages on to rsyslog")?;
        let written = !ours.is_empty();
        changes.extend(ours);
        changes.extend(written.then(|| journal::restart(ID)));
    }
    if !passes {
        evidence.push(Evidence::new(journald.source("ForwardToSyslog"), "no", "yes"));
    }
    Ok(changes)
}

fn change(stage: Stage, summary: String, action: Action) -> Change {
    Change { controls: vec![ID.into()], stage, summary, interrupts: None, action }
}
