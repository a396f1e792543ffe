//! Runs driven through the library with plans made by hand: what the node does by itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use pve_harden::apply::bundle::{self, Meta, Order, Windows};
use pve_harden::apply::engine::{self, Login, Outcome, Run};
use pve_harden::apply::journal::Entry;
use pve_harden::apply::{SshNode, history};
use pve_harden::change::{Action, Change, FileChange, FileImage, SshdExpectation, Stage, UnitVerb, Validate};
use pve_harden::plan::{Plan, Proof};
use pve_harden::secret::Secret;
use pve_harden::transport::{Connection, Credentials, Limits, Methods, Operator, Target};

use crate::support::lab::Lab;

fn change(stage: Stage, action: Action) -> Change {
    Change { controls: vec!["test".into()], stage, summary: "test".into(), interrupts: None, action }
}

fn file(path: &str, content: &str, mode: u32, owner: &str, validate: Option<Validate>) -> Action {
    let after = FileImage { content: content.into(), mode, owner: owner.into(), group: owner.into() };
    Action::File(FileChange { path: path.into(), before: None, after: Some(after), validate })
}

/// The spine by hand: sudo, an admin, a drop-in that closes root's door.
fn spine(lab: &Lab, drop_in: &str) -> Plan {
    let key = std::fs::read_to_string(lab.admin_key().with_extension("pub")).unwrap();
    let expect = SshdExpectation {
        case: "user=root,host=203.0.113.1,addr=203.0.113.1".into(),
        settings: BTreeMap::from([("permitrootlogin".into(), "no".into())]),
    };
    let home =
        |path: &str, mode| Action::Directory { path: path.into(), mode, owner: "ops".into(), group: "ops".into() };
    Plan {
        node: "pve1".into(),
        seal: "test".into(),
        changes: vec![
            change(Stage::Packages, Action::Packages { install: vec!["sudo".into()] }),
            change(Stage::Accounts, Action::Group { name: "pve-admins".into(), system: true }),
            change(
                Stage::Accounts,
                Action::User {
                    name: "ops".into(),
                    full_name: "Operator's test".into(),
                    shell: "/bin/bash".into(),
                    home: "/home/ops".into(),
                    groups: vec!["pve-admins".into()],
                },
            ),
            change(Stage::Accounts, home("/home/ops/.ssh", 0o700)),
            change(Stage::Accounts, file("/home/ops/.ssh/authorized_keys", &key, 0o600, "ops", None)),
            change(
                Stage::Accounts,
                Action::UserPassword {
                    name: "ops".into(),
                    hash: Secret::new("$y$j9T$abcdefghijklmnop$0123456789012345678901234567890123456789012"),
                },
            ),
            change(
                Stage::Accounts,
                file(
                    "/etc/sudoers.d/pve-harden-admins",
                    "%pve-admins ALL=(ALL:ALL) NOPASSWD: ALL\n",
                    0o440,
                    "root",
                    Some(Validate::Sudoers),
                ),
            ),
            change(
                Stage::Ssh,
                file(
                    "/etc/ssh/sshd_config.d/00-pve-harden.conf",
                    drop_in,
                    0o600,
                    "root",
                    Some(Validate::Sshd { expect: vec![expect] }),
                ),
            ),
            change(Stage::Ssh, Action::Unit { unit: "ssh.service".into(), verb: UnitVerb::Reload }),
        ],
        brings: Vec::new(),
        expects: BTreeMap::new(),
        verdicts: Vec::new(),
        drift: Vec::new(),
        notes: Vec::new(),
        refusals: Vec::new(),
        proofs: vec![
            Proof::AdminLogin { user: "ops".into(), after_accounts: true },
            Proof::PasswordAuth,
            Proof::WebInterface,
        ],
        digests: pve_harden::profile::policy::Digests::default(),
        reach: None,
        firewall_questions: Vec::new(),
    }
}

fn order(id: &str, verb: &str, commit: u32) -> Order {
    Order {
        meta: Meta {
            version: 1,
            id: id.into(),
            verb: verb.into(),
            node: "pve1".into(),
            operator: "test".into(),
            from: None,
            login: "root".into(),
            tool: "test".into(),
            profiles: Vec::new(),
            digests: pve_harden::profile::policy::Digests::default(),
            seal: "test".into(),
            reason: None,
            started: Timestamp::now(),
            changes: Vec::new(),
            undoes: Vec::new(),
            locked: None,
        },
        windows: Windows { stage: 60, packages: 120, commit, manual: false },
        admins: vec!["ops".into()],
        peers: Vec::new(),
    }
}

struct Ways {
    connection: Connection,
    candidates: Vec<(Target, Credentials)>,
    operator: Arc<Operator>,
}

async fn ways(lab: &Lab) -> Ways {
    let operator = Arc::new(Operator::absent().through(env!("CARGO_BIN_EXE_pve-harden")));
    let target = |user: &str| Target {
        user: Some(user.into()),
        ssh_config: Some(lab.ssh_config.clone()),
        ..Target::new(lab.address("pve1"))
    };
    let root = Credentials { password: Some(Secret::new(lab.root_password())), ..Credentials::default() };
    let candidates = vec![
        (target("ops"), Credentials { methods: Methods::KeyOnly, ..Credentials::default() }),
        (target("root"), root),
    ];
    let (_, connection) = Connection::open_first(&candidates, &operator).await.unwrap();
    Ways { connection, candidates, operator }
}

impl Ways {
    fn node(&self) -> SshNode<'_> {
        SshNode {
            connection: &self.connection,
            candidates: self.candidates.clone(),
            operator: Arc::clone(&self.operator),
        }
    }

    async fn drive(&self, program: &pve_harden::transport::Program, id: &str, login: Login) -> (Outcome, Vec<Entry>) {
        let mut entries = Vec::new();
        let run = Run { id: id.into(), login, manual: false, web: false };
        let outcome = Box::pin(engine::drive(&self.node(), program, &run, std::future::pending(), |entry| {
            entries.push(entry.clone());
        }))
        .await;
        (outcome, entries)
    }
}

const CLOSED: &str = "PermitRootLogin no\nPasswordAuthentication no\n";

#[tokio::test]
async fn a_confirmed_run_stays_and_a_rollback_brings_everything_back() {
    let Some(lab) = Lab::up("runs-commit", &["pve1"], &[]) else { return };
    let before = lab.fingerprint("pve1");
    let ways = ways(&lab).await;
    let id = "20260101T000000Z-0001";
    let program = bundle::program(&spine(&lab, CLOSED), &order(id, "apply", 60)).unwrap();
    let (outcome, entries) = ways.drive(&program, id, Login::Admin("ops".into())).await;
    assert_eq!(outcome, Outcome::Committed, "{}", told(&entries));
    lab.ssh("pve1", &[], "sudo id -u").exits(0);
    assert_ne!(lab.root_password_login("pve1").status, 0);
    assert_eq!(lab.on("pve1", "ls /etc/systemd/system | grep -c pve-harden || true").trim(), "0");
    assert_eq!(lab.on("pve1", "systemctl list-units --all --plain --no-legend 'pve-harden*'").trim(), "");

    let records = history::parse(&ways.connection.run(&history::program(), Limits::default()).await.unwrap());
    let rollback = history::choose(&records, None).unwrap();
    let back = "20260101T000001Z-0002";
    let mut order = order(back, "rollback", 60);
    order.meta.undoes = vec![id.into()];
    let program = bundle::rollback_program(&order, &rollback.steps, false).unwrap();
    let (outcome, entries) = ways.drive(&program, back, Login::Anybody).await;
    assert_eq!(outcome, Outcome::Committed, "{}", told(&entries));
    lab.root_password_login("pve1").exits(0);
    similar_asserts(&before, &lab.fingerprint("pve1"));
}

#[tokio::test]
async fn an_unconfirmed_run_is_undone_by_the_node_itself() {
    let Some(lab) = Lab::up("runs-undo", &["pve1"], &[]) else { return };
    let before = lab.fingerprint("pve1");
    let ways = ways(&lab).await;
    let id = "20260101T000000Z-0001";
    let program = bundle::program(&spine(&lab, CLOSED), &order(id, "apply", 5)).unwrap();
    // Nobody who could confirm: the accounts proof never comes.
    let (outcome, entries) = ways.drive(&program, id, Login::Admin("nobody".into())).await;
    assert!(matches!(outcome, Outcome::RolledBack { .. }), "{outcome:?} {}", told(&entries));
    lab.root_password_login("pve1").exits(0);
    similar_asserts(&before, &lab.fingerprint("pve1"));
}

/// One unit that starts with another and has a second name, one that does not start.
const UNITS: &str = "cd /etc/systemd/system
for name in one two off; do
    printf '[Service]\\nExecStart=/bin/sleep infinity\\n[Install]\\nWantedBy=lab-%s.target\\n' $name >lab-$name.service
done
printf 'Also=lab-two.service\\nAlias=lab-alias.service\\n' >>lab-one.service
systemctl daemon-reload
systemctl -q enable --now lab-one.service lab-two.service";

fn units(lab: &Lab) -> String {
    let units = "lab-one.service lab-two.service lab-off.service";
    lab.on("pve1", &format!("systemctl is-enabled {units}; systemctl is-active {units}; true")).replace('\n', " ")
}

#[tokio::test]
async fn units_run_and_start_as_before() {
    let Some(lab) = Lab::up("runs-units", &["pve1"], &[]) else { return };
    lab.on("pve1", UNITS);
    let before = (units(&lab), lab.fingerprint("pve1"));
    assert_eq!(before.0, "enabled enabled disabled active active inactive ");
    let ways = ways(&lab).await;
    let mut plan = spine(&lab, CLOSED);
    for (unit, verb) in [("lab-one.service", UnitVerb::DisableNow), ("lab-off.service", UnitVerb::EnableNow)] {
        plan.changes.push(change(Stage::Services, Action::Unit { unit: unit.into(), verb }));
    }
    plan.changes.sort_by_key(|change| change.stage);
    let changed = "disabled disabled enabled inactive active active ";

    let undone = "20260101T000000Z-0001";
    let program = bundle::program(&plan, &order(undone, "apply", 20)).unwrap();
    let (outcome, entries) = ways.drive(&program, undone, Login::Admin("nobody".into())).await;
    assert!(matches!(outcome, Outcome::RolledBack { .. }), "{outcome:?} {}", told(&entries));
    assert_eq!(units(&lab), before.0);
    similar_asserts(&before.1, &lab.fingerprint("pve1"));

    // Committed, then a rollback that nobody confirms, then one that somebody does.
    let id = "20260101T000001Z-0002";
    let program = bundle::program(&plan, &order(id, "apply", 60)).unwrap();
    let (outcome, entries) = ways.drive(&program, id, Login::Admin("ops".into())).await;
    assert_eq!(outcome, Outcome::Committed, "{}", told(&entries));
    assert_eq!(units(&lab), changed);
    let after = lab.fingerprint("pve1");
    for (back, login) in
        [("20260101T000002Z-0003", Login::Admin("nobody".into())), ("20260101T000003Z-0004", Login::Anybody)]
    {
        let records = history::parse(&ways.connection.run(&history::program(), Limits::default()).await.unwrap());
        let rollback = history::choose(&records, None).unwrap();
        let mut order = order(back, "rollback", 20);
        order.meta.undoes = vec![id.into()];
        let program = bundle::rollback_program(&order, &rollback.steps, false).unwrap();
        let (outcome, entries) = ways.drive(&program, back, login.clone()).await;
        if login == Login::Anybody {
            assert_eq!(outcome, Outcome::Committed, "{}", told(&entries));
            assert_eq!(units(&lab), before.0);
            similar_asserts(&before.1, &lab.fingerprint("pve1"));
        } else {
            assert!(matches!(outcome, Outcome::RolledBack { .. }), "{outcome:?} {}", told(&entries));
            assert_eq!(units(&lab), changed, "{}", told(&entries));
            similar_asserts(&after, &lab.fingerprint("pve1"));
        }
    }
}

fn told(entries: &[Entry]) -> String {
    let lines: Vec<String> = entries.iter().map(|entry| format!("{} {:?}", entry.time, entry.event)).collect();
    lines.join("\n")
}

fn similar_asserts(before: &str, after: &str) {
    let gone: Vec<&str> = before.lines().filter(|line| !after.contains(line)).collect();
    let new: Vec<&str> = after.lines().filter(|line| !before.contains(line)).filter(|line| !from_sudo(line)).collect();
    assert!(gone.is_empty() && new.is_empty(), "gone: {gone:#?}\nnew: {new:#?}");
}

/// Packages stay after an undo, and so do the files they brought.
fn from_sudo(line: &str) -> bool {
    ["etc/sudo", "etc/pam.d/sudo", "etc/init.d/sudo", "/init.d/sudo"].iter().any(|prefix| line.contains(prefix))
}
