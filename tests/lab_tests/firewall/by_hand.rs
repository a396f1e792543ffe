//! Runs driven through the library: a plan made here, carried out by the shipped scripts on a lab node.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use pve_harden::apply::SshNode;
use pve_harden::apply::bundle::{self, Meta, Order, Windows};
use pve_harden::apply::engine::{self, Login, Outcome, Run};
use pve_harden::apply::journal::Event;
use pve_harden::change::{Action, Change, FileChange, FileImage, Stage, UnitVerb};
use pve_harden::plan::{Plan, Proof};
use pve_harden::profile::policy::Digests;
use pve_harden::secret::Secret;
use pve_harden::transport::{Connection, Credentials, Operator, Target};

use crate::support::lab::{Lab, eventually};

pub const PATIENCE: Duration = Duration::from_secs(120);
pub const CLUSTER_FW: &str = "/etc/pve/firewall/cluster.fw";

/// Enabled, with the operator's network in `management`.
pub fn good_rules(lab: &Lab) -> String {
    let operator = operator_network(lab);
    format!("[OPTIONS]\n\nenable: 1\npolicy_in: DROP\n\n[IPSET management]\n\n{operator}\n\n")
}

/// As [`good_rules`], but nobody gets in on 22 and 8006.
pub fn locking_rules(lab: &Lab) -> String {
    format!("{}[RULES]\n\nIN DROP -p tcp -dport 22\nIN DROP -p tcp -dport 8006\n\n", good_rules(lab))
}

/// The /28 that holds the operator and nobody else.
fn operator_network(lab: &Lab) -> String {
    let address = lab.address("pve1");
    let (net, _) = address.rsplit_once('.').unwrap();
    format!("{net}.0/28")
}

pub fn change(action: Action) -> Change {
    Change { controls: vec!["test".into()], stage: Stage::Firewall, summary: "test".into(), interrupts: None, action }
}

/// Writes a file of /etc/pve, or removes it.
pub fn pve_file(path: &str, content: Option<&str>) -> Change {
    let image = |content: &str| FileImage {
        content: content.into(),
        mode: 0o640,
        owner: "root".into(),
        group: "www-data".into(),
    };
    change(Action::File(FileChange { path: path.into(), before: None, after: content.map(image), validate: None }))
}

pub fn local_file(path: &str, content: &str) -> Change {
    let after = Some(FileImage::root(content, 0o644));
    change(Action::File(FileChange { path: path.into(), before: None, after, validate: None }))
}

pub fn unit(unit: &str, verb: UnitVerb) -> Change {
    change(Action::Unit { unit: unit.into(), verb })
}

pub fn plan(node: &str, changes: Vec<Change>) -> Plan {
    Plan {
        node: node.into(),
        seal: "test".into(),
        changes,
        brings: Vec::new(),
        expects: BTreeMap::new(),
        verdicts: Vec::new(),
        drift: Vec::new(),
        notes: Vec::new(),
        refusals: Vec::new(),
        proofs: vec![Proof::WebInterface],
        reach: None,
        firewall_questions: Vec::new(),
        digests: Digests::default(),
    }
}

pub fn order(node: &str, number: u32, commit: u32, manual: bool) -> Order {
    Order {
        meta: Meta {
            version: 1,
            id: format!("20260101T0000{number:02}Z-0001"),
            verb: "apply".into(),
            node: node.into(),
            operator: "test".into(),
            from: None,
            login: "root".into(),
            tool: "test".into(),
            profiles: Vec::new(),
            digests: Digests::default(),
            seal: "test".into(),
            reason: None,
            started: Timestamp::now(),
            changes: Vec::new(),
            undoes: Vec::new(),
            locked: None,
        },
        windows: Windows { stage: 120, packages: 120, commit, manual },
        admins: vec!["ops".into()],
        peers: Vec::new(),
    }
}

/// An open connection to a node as root.
pub struct Way {
    connection: Connection,
    candidates: Vec<(Target, Credentials)>,
    operator: Arc<Operator>,
}

impl Way {
    pub async fn to(lab: &Lab, node: &str) -> Self {
        let operator = Arc::new(Operator::absent().through(env!("CARGO_BIN_EXE_pve-harden")));
        let target = Target {
            user: Some("root".into()),
            ssh_config: Some(lab.ssh_config.clone()),
            ..Target::new(lab.address(node))
        };
        let root = Credentials { password: Some(Secret::new(lab.root_password())), ..Credentials::default() };
        let candidates = vec![(target, root)];
        let (_, connection) = Connection::open_first(&candidates, &operator).await.unwrap();
        Self { connection, candidates, operator }
    }

    pub fn node(&self) -> SshNode<'_> {
        SshNode {
            connection: &self.connection,
            candidates: self.candidates.clone(),
            operator: Arc::clone(&self.operator),
        }
    }

    /// Carries the plan out; `seen` is told each event as it comes.
    pub async fn drive(&self, plan: &Plan, order: &Order, mut seen: impl FnMut(&Event)) -> Outcome {
        let program = bundle::program(plan, order).unwrap();
        let run = Run { id: order.meta.id.clone(), login: Login::Anybody, manual: order.windows.manual, web: true };
        Box::pin(engine::drive(&self.node(), &program, &run, std::future::pending(), |entry| seen(&entry.event))).await
    }
}

/// Everything of PVE's firewall and of 8006 that an undo must bring back.
pub fn state(lab: &Lab, node: &str) -> String {
    lab.on(
        node,
        "cd /etc/pve && { find firewall nodes -name '*.fw' -exec sha256sum {} + | sort -k2; ls /etc/pve/firewall; \
         sha256sum /etc/default/pveproxy 2>/dev/null; ls -A /run/systemd/system | grep firewall; \
         systemctl is-active pve-firewall pveproxy; ls -d /run/motd.d/pve-harden /run/pve-harden.firewall-off \
         /etc/systemd/system/pve-harden* 2>/dev/null; true; }",
    )
}

pub fn journal(lab: &Lab, node: &str) -> String {
    lab.exec(node, "cat \"$(ls -d /var/lib/pve-harden/runs/*/ | tail -n 1)/journal\"").stdout
}

/// The newest run is decided and nothing of it is running.
#[track_caller]
pub fn settles(lab: &Lab, node: &str) {
    let done = || {
        lab.exec(
            node,
            "cd /var/lib/pve-harden/runs && ! ls -d */new */open */undoing 2>/dev/null | grep -q . &&
                [ -z \"$(systemctl list-units --plain --no-legend 'pve-harden*')\" ]",
        )
        .status
            == 0
    };
    eventually(PATIENCE, "the run is decided", done);
}

/// A new login as root and 8006 from the operator, after everything is as before.
#[track_caller]
pub fn assert_as_before(lab: &Lab, node: &str, before: &str) {
    settles(lab, node);
    assert_eq!(before, state(lab, node), "{}", journal(lab, node));
    let login = lab.root_password_login(node);
    assert_eq!(login.status, 0, "{}\n{}", login.stderr, journal(lab, node));
    assert!(web(lab, &["operator", "--"], &lab.address(node)), "8006\n{}", journal(lab, node));
}

/// Whether 8006 answers whoever `from` says (`lab …` words).
pub fn web(lab: &Lab, from: &[&str], address: &str) -> bool {
    let curl = ["curl", "-sk", "-m", "5", "-o", "/dev/null"];
    let url = format!("https://{address}:8006/");
    lab.lab(from.iter().chain(&curl).copied().chain([url.as_str()])).status == 0
}
