//! The folder of a run as it is sent to the node: constant scripts, the steps, their data, and what the run was made
//! from. Pure; the same order gives the same bytes.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::questions;
use super::steps::{self, Steps, Stops};
use crate::change::access::Locked;
use crate::change::{Action, FileChange};
use crate::error::{Error, Kind, Result};
use crate::plan::{Expect, FirewallPart, Plan, Proof};
use crate::profile::policy::Digests;
use crate::transport::Program;
use crate::transport::quote;

const SCRIPTS: [(&str, &str); 12] = [
    ("lib.sh", concat!(include_str!("remote/lib.sh"), include_str!("remote/state.sh"))),
    ("access.sh", include_str!("remote/access.sh")),
    ("cert.sh", include_str!("remote/cert.sh")),
    ("proofs.sh", include_str!("remote/proofs.sh")),
    ("firewall.sh", include_str!("remote/firewall.sh")),
    ("questions.sh", include_str!("remote/questions.sh")),
    ("questions.pl", include_str!("remote/questions.pl")),
    ("units.sh", include_str!("remote/units.sh")),
    ("apply.sh", include_str!("remote/apply.sh")),
    ("undo.sh", include_str!("remote/undo.sh")),
    ("pve-harden-undo", include_str!("remote/pve-harden-undo")),
    ("pve-harden-confirm", include_str!("remote/pve-harden-confirm")),
];
/// Seconds in which a firewall must take its new rules up and a cluster must hold on flows that they judge.
const SETTLE_WINDOW: u32 = 180;
/// As long as the engine waits for anything.
const LONGEST_GATE: u32 = 7200;
const BEGIN: &str = include_str!("remote/begin.sh");

/// Who changes what with what: kept on the node as `meta.json` and shown by `history`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// Format of this file.
    pub version: u32,
    /// Run id; sorts by time.
    pub id: String,
    /// "apply" or "rollback".
    pub verb: String,
    /// Name of the node in the site.
    pub node: String,
    /// Login name on the operator's machine, and that machine's name.
    pub operator: String,
    /// The operator's address as the node sees it.
    pub from: Option<String>,
    /// Login name on the node.
    pub login: String,
    /// Version of this tool.
    pub tool: String,
    /// Profiles in the order they were merged.
    pub profiles: Vec<String>,
    /// What the plan was made from.
    pub digests: Digests,
    /// Seal of the plan.
    pub seal: String,
    /// `--reason`.
    pub reason: Option<String>,
    /// When the operator's side made the run.
    pub started: Timestamp,
    /// One line per change.
    pub changes: Vec<String>,
    /// Runs this one undoes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undoes: Vec<String>,
    /// What `access lock` found of the user it locks, and what `access unlock` gave back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locked: Option<Locked>,
}

/// How long the node waits before it undoes the run by itself, and for whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Seconds for one stage.
    pub stage: u32,
    /// Seconds for the packages stage.
    pub packages: u32,
    /// Seconds for a fresh login after the last stage.
    pub commit: u32,
    /// The operator's key is not where the tool runs: an administrator confirms on the node.
    pub manual: bool,
}

/// A peer whose root login must survive, and this node as that peer calls it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerPair {
    /// Peer's node name.
    pub name: String,
    /// Peer's address.
    pub address: String,
    /// This node's name.
    pub own_name: String,
    /// This node's address.
    pub own_address: String,
}

/// Everything that is not in the plan but belongs to the run.
#[derive(Clone, Debug)]
pub struct Order {
    /// Who, what, when.
    pub meta: Meta,
    /// Deadlines.
    pub windows: Windows,
    /// Names that may confirm by hand.
    pub admins: Vec<String>,
    /// Peers to prove.
    pub peers: Vec<PeerPair>,
}

/// The program that starts a run on the node: `remote/begin.sh` with the run's folder as payload.
pub fn program(plan: &Plan, order: &Order) -> Result<Program> {
    for change in &plan.changes {
        if let Some(why) = steps::forbidden(&change.action) {
            return Err(Error::msg(Kind::Internal, why).untouched(&plan.node));
        }
    }
    let accounts = plan.proofs.iter().any(|p| matches!(p, Proof::AdminLogin { after_accounts: true, .. }));
    let waits =
        Stops { accounts: accounts && !order.windows.manual, password: plan.proofs.contains(&Proof::PasswordAuth) };
    let steps = steps::render(&plan.changes, waits);
    let mut files = common_files(order, &steps);
    files.insert("expect".into(), expected(&plan.expects));
    files.insert("plan.json".into(), json(plan)?);
    let firewall = plan.changes.iter().filter_map(|change| match &change.action {
        Action::File(file) => Some((file.path.as_str(), file.after.as_ref())),
        _ => None,
    });
    files.extend(questions::files(&plan.firewall_questions, firewall));
    assemble(&order.meta, &files)
}

/// The program of one of so many members that take one change of cluster.fw up together.
pub fn part_program(part: &FirewallPart, order: &Order, members: usize) -> Result<Program> {
    let change =
        |path: &str| Action::File(FileChange { path: path.to_owned(), before: None, after: None, validate: None });
    for action in [change(&part.cluster.path), change(&part.host_path)] {
        if let Some(why) = steps::forbidden(&action) {
            return Err(Error::msg(Kind::Internal, why).untouched(&order.meta.node));
        }
    }
    let steps = steps::render_part(part);
    let mut files = common_files(order, &steps);
    let settings = files.entry("settings.sh".into()).or_default();
    // Writing to a String cannot fail.
    let _ = writeln!(settings, "GATE_WINDOW={}", gate_window(members));
    files.insert("expect".into(), expected(&part.expects));
    let firewall =
        [(part.cluster.path.as_str(), part.cluster.after.as_ref()), (&part.host_path, part.host_after.as_ref())];
    files.extend(questions::files(&part.questions, firewall));
    assemble(&order.meta, &files)
}

/// Seconds at a gate: every member before this one may take its turn. Who waits there is either shielded or was proved.
fn gate_window(members: usize) -> u32 {
    u32::try_from(members).unwrap_or(u32::MAX).saturating_mul(SETTLE_WINDOW).saturating_add(120).min(LONGEST_GATE)
}

/// One step of a committed run that a rollback takes back.
pub type Undone = (String, String);

/// The program of a rollback: `undone` is newest first; with `force`, files that changed since are overwritten.
pub fn rollback_program(order: &Order, undone: &[Undone], force: bool) -> Result<Program> {
    let steps = Steps { script: steps::render_rollback(undone), data: Vec::new() };
    let mut files = common_files(order, &steps);
    let mut expect = String::new();
    for run in &order.meta.undoes {
        // Writing to a String cannot fail.
        let _ = writeln!(expect, "rollback\t{run}\t{}", if force { "force" } else { "-" });
    }
    files.insert("expect".into(), expect);
    files.insert("undoes".into(), lines(&order.meta.undoes));
    assemble(&order.meta, &files)
}

fn common_files(order: &Order, steps: &Steps) -> BTreeMap<String, String> {
    let mut files: BTreeMap<String, String> =
        SCRIPTS.iter().map(|(name, text)| ((*name).into(), (*text).into())).collect();
    let Windows { stage, packages, commit, manual } = &order.windows;
    let confirm = if *manual { "manual" } else { "login" };
    files.insert(
        "settings.sh".into(),
        format!(
            "STAGE_WINDOW={stage}\nPACKAGES_WINDOW={packages}\nSETTLE_WINDOW={SETTLE_WINDOW}\nCOMMIT_WINDOW={commit}\nCONFIRM={confirm}\n"
        ),
    );
    files.insert("steps.sh".into(), steps.script.clone());
    files.insert("admins".into(), lines(&order.admins));
    files.insert("peers".into(), order.peers.iter().map(peer_line).collect());
    for (name, content) in &steps.data {
        files.insert(format!("data/{name}"), content.clone());
    }
    files
}

fn lines(words: &[String]) -> String {
    words.iter().flat_map(|word| [word.as_str(), "\n"]).collect()
}

/// Words that a shell `read` splits at blanks; what could be more than one word is left out, and then not proved.
fn peer_line(peer: &PeerPair) -> String {
    let words = [&peer.name, &peer.address, &peer.own_name, &peer.own_address];
    let plain = |word: &&String| {
        !word.is_empty()
            && !word.starts_with('-')
            && word.chars().all(|c| c.is_ascii_alphanumeric() || ".:-".contains(c))
    };
    if words.iter().all(plain) {
        format!("{} {} {} {}\n", peer.name, peer.address, peer.own_name, peer.own_address)
    } else {
        String::new()
    }
}

fn expected(expects: &BTreeMap<String, Expect>) -> String {
    let mut text = String::new();
    for (path, state) in expects {
        let _ = match state {
            Expect::Absent => writeln!(text, "absent\t{path}"),
            Expect::Directory { mode, owner, group } => writeln!(text, "directory\t{path}\t{mode:o}\t{owner}\t{group}"),
            Expect::File { digest, mode, owner, group } => {
                writeln!(text, "file\t{path}\t{mode:o}\t{owner}\t{group}\t{digest}")
            }
        };
    }
    text
}

fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string_pretty(value).map_err(|error| Error::new(Kind::Internal, error))
}

fn assemble(meta: &Meta, files: &BTreeMap<String, String>) -> Result<Program> {
    let mut archive = tar::Builder::new(Vec::new());
    let pack = |archive: &mut tar::Builder<Vec<u8>>, name: &str, content: &[u8], mode: u32| {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(mode);
        header.set_mtime(u64::try_from(meta.started.as_second()).unwrap_or(0));
        header.set_uid(0);
        header.set_gid(0);
        archive.append_data(&mut header, name, content)
    };
    let mut folder = tar::Header::new_gnu();
    folder.set_entry_type(tar::EntryType::Directory);
    folder.set_size(0);
    folder.set_mode(0o700);
    let meta_json = json(meta)?;
    let packed: std::io::Result<Vec<u8>> = (|| {
        archive.append_data(&mut folder, "data/", std::io::empty())?;
        for (name, content) in files {
            pack(&mut archive, name, content.as_bytes(), 0o600)?;
        }
        pack(&mut archive, "meta.json", meta_json.as_bytes(), 0o600)?;
        archive.into_inner()
    })();
    let payload = packed.map_err(|error| Error::new(Kind::Internal, error))?;
    Ok(Program::new(&format!("RUN={}\n{BEGIN}", quote::shell(&meta.id))).payload(payload))
}

/// A run id: UTC time, then random letters so that two operators in one second differ.
pub fn run_id(now: Timestamp, random: u32) -> String {
    format!("{}-{:04x}", now.strftime("%Y%m%dT%H%M%SZ"), random & 0xffff)
}
