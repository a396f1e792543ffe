//! The command line as typed. Nothing is resolved or read here.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;

use super::access::AccessArgs;
use super::init::InitArgs;
use super::key::KeyArgs;
use super::profile::ProfileArgs;
use super::token::TokenArgs;
use super::words::ControlName;
use crate::controls::Severity;
use crate::report::framework::SHIPPED;

/// Hardens Proxmox VE nodes over SSH, shows every change first, and never locks you out.
#[derive(Debug, Parser)]
#[command(name = "pve-harden", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = EXIT_CODES)]
pub struct Cli {
    /// Options of every verb.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  in the desired state, or applied and confirmed
  1  `plan` or `check` found differences, or something they could not tell
  2  wrong usage, profile or site file; nothing was contacted
  3  a node could not be reached or read; nothing was changed on it
  4  refused: lock-out guard, no quorum, stale plan, declined; nothing was changed
  5  a change failed and the node was rolled back
  6  a node needs hands
With several nodes the highest code wins.";

/// Options of every verb.
#[derive(Clone, Debug, Default, Args)]
pub struct Global {
    /// Say more on standard error
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = "General")]
    pub verbose: u8,
    /// Never use colour (as the environment variable `NO_COLOR`)
    #[arg(long, global = true, help_heading = "General")]
    pub no_color: bool,
}

/// One verb, one file in this folder.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Show what would change, as diffs; contacts the nodes, changes nothing
    Plan(Plan),
    /// Plan, ask, apply inside a commit window, prove by a fresh login, commit
    Apply(Apply),
    /// Report how the nodes stand, control by control; changes nothing
    Check(Check),
    /// Take a committed run back, newest first, inside a commit window of its own
    Rollback(Rollback),
    /// List the runs a node remembers
    History(History),
    /// Show who may do what in PVE, and what must be looked at
    Access(AccessArgs),
    /// List, make, rotate and revoke API tokens; their secrets go straight into sinks
    Token(TokenArgs),
    /// Make SSH keys for people, and put a new one in place of an old one
    Key(KeyArgs),
    /// Record what a node says, without secrets, for `plan --capture` and `check --capture`
    Capture(Capture),
    /// Judge, show and list profiles, and print schemas
    Profile(ProfileArgs),
    /// Write a first site file: nodes, management networks, administrators
    Init(InitArgs),
    /// Explain a control: what, why, how it is checked, what breaks when it is done naively
    Explain(Explain),
    /// Write a completion script for a shell to standard output
    Completions(Completions),
    /// Write manual pages into a folder
    Man(Man),
}

/// What the nodes shall be.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Policy")]
pub struct Wanted {
    /// Site file: nodes, management networks, administrators [default: ./site.toml when it is there]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub site: Option<PathBuf>,
    /// Profile, shipped or a file; repeatable, later wins [default: the site's, else baseline]
    #[arg(long, value_name = "NAME|FILE", value_hint = ValueHint::AnyPath)]
    pub profile: Vec<String>,
    /// Only controls that match, e.g. `ssh.*`; repeatable
    #[arg(long, value_name = "GLOB", value_parser = ControlName, hide_possible_values = true)]
    pub control: Vec<String>,
}

/// How nodes are reached. What is not given is left to the site file and the ssh configuration.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Connection")]
pub struct Connection {
    /// Log in as this user only
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// Private key file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub identity: Option<PathBuf>,
    /// Port
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,
    /// Use this ssh configuration instead of your own
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub ssh_config: Option<PathBuf>,
    /// Use this `known_hosts` file instead of your own
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub known_hosts: Option<PathBuf>,
    /// Accept and remember unknown host keys without asking; a changed key is always refused
    #[arg(long)]
    pub accept_new: bool,
}

/// Which nodes.
#[derive(Clone, Debug, Args)]
pub struct Nodes {
    /// Nodes: `[user@]address`, or names from the site [default: every node of the site]
    #[arg(value_name = "HOST", value_hint = ValueHint::Hostname)]
    pub hosts: Vec<String>,
    /// Only nodes of this group of the site; repeatable
    #[arg(long, value_name = "GROUP", conflicts_with = "hosts")]
    pub limit: Vec<String>,
    /// Also the members of their clusters that are not named, at the addresses the cluster knows, logged in to alike
    #[arg(long)]
    pub cluster: bool,
    /// So many nodes are contacted at a time
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub parallel: u16,
}

/// `plan`.
#[derive(Clone, Debug, Args)]
pub struct Plan {
    /// Which nodes.
    #[command(flatten)]
    pub nodes: Nodes,
    /// What they shall be.
    #[command(flatten)]
    pub wanted: Wanted,
    /// How they are reached.
    #[command(flatten)]
    pub connection: Connection,
    /// Plan for a recorded node instead of a HOST; repeatable
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with_all = ["hosts", "limit"])]
    pub capture: Vec<PathBuf>,
    /// Plan as with `apply --accept-guest-firewall`
    #[arg(long)]
    pub accept_guest_firewall: bool,
    /// As people read it, or one JSON document
    #[arg(long, value_enum, default_value_t)]
    pub format: PlanFormat,
}

/// Formats of `plan`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum PlanFormat {
    /// Diffs and readable lines.
    #[default]
    Text,
    /// One versioned JSON document.
    Json,
}

/// `apply`.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[derive(Clone, Debug, Args)]
pub struct Apply {
    /// Which nodes.
    #[command(flatten)]
    pub nodes: Nodes,
    /// What they shall be.
    #[command(flatten)]
    pub wanted: Wanted,
    /// How they are reached.
    #[command(flatten)]
    pub connection: Connection,
    /// Apply what is shown without asking; the lock-out guard still refuses
    #[arg(short, long)]
    pub yes: bool,
    /// Time in which a fresh login must confirm, e.g. 120s or 5m [default: the profile's]
    #[arg(long, value_name = "TIME", value_parser = window)]
    pub commit_window: Option<u32>,
    /// Change so many nodes at a time once the first one went well; a failure stops those that have not begun [default:
    /// 1 of a cluster, as many standalone nodes as `--parallel`]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub serial: Option<u16>,
    /// Go on where an interrupted command stopped: nodes it finished are named and count as the first that went well
    #[arg(long)]
    pub resume: bool,
    /// Begin although a backup, a migration or a restore runs
    #[arg(long)]
    pub despite_tasks: bool,
    /// Switch the datacenter firewall on although guests' own firewalls begin to work with it
    #[arg(long)]
    pub accept_guest_firewall: bool,
    /// How the run is confirmed; `manual` when your key is not here: an administrator calls pve-harden-confirm on the node
    #[arg(long, value_enum, value_name = "HOW")]
    pub confirm: Option<Confirm>,
    /// Why, kept in the node's history; a profile can require it
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// As people read it, or one JSON document
    #[arg(long, value_enum, default_value_t)]
    pub format: PlanFormat,
}

/// Who confirms a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Confirm {
    /// This tool, by a fresh login with your key.
    Login,
    /// An administrator on the node.
    Manual,
}

/// Seconds from "90", "90s" or "5m".
fn window(text: &str) -> Result<u32, String> {
    let (digits, factor) = match text.as_bytes().last() {
        Some(b's') => (&text[..text.len() - 1], 1),
        Some(b'm') => (&text[..text.len() - 1], 60),
        _ => (text, 1),
    };
    let seconds = digits.parse::<u32>().ok().and_then(|number| number.checked_mul(factor));
    match seconds {
        Some(seconds @ 10..=3600) => Ok(seconds),
        _ => Err("a time between 10s and 60m, e.g. 120s".into()),
    }
}

/// `rollback`.
#[derive(Clone, Debug, Args)]
pub struct Rollback {
    /// Node: `[user@]address`, or a name from the site
    #[arg(value_name = "HOST", value_hint = ValueHint::Hostname)]
    pub host: String,
    /// Take back every run down to this one [default: the newest]
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
    /// Whose settings decide windows and logins.
    #[command(flatten)]
    pub wanted: Wanted,
    /// How it is reached.
    #[command(flatten)]
    pub connection: Connection,
    /// Take back what is shown without asking
    #[arg(short, long)]
    pub yes: bool,
    /// Also files that changed since the run
    #[arg(long)]
    pub force: bool,
    /// Time in which a fresh login must confirm, e.g. 120s or 5m [default: the profile's]
    #[arg(long, value_name = "TIME", value_parser = window)]
    pub commit_window: Option<u32>,
    /// Why, kept in the node's history; a profile can require it
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// `history`.
#[derive(Clone, Debug, Args)]
pub struct History {
    /// Node: `[user@]address`, or a name from the site
    #[arg(value_name = "HOST", value_hint = ValueHint::Hostname)]
    pub host: String,
    /// Where the site is.
    #[command(flatten)]
    pub wanted: Wanted,
    /// How it is reached.
    #[command(flatten)]
    pub connection: Connection,
    /// As people read it, or one JSON document
    #[arg(long, value_enum, default_value_t)]
    pub format: PlanFormat,
}

/// `check`.
#[derive(Clone, Debug, Args)]
pub struct Check {
    /// Which nodes.
    #[command(flatten)]
    pub nodes: Nodes,
    /// What they shall be.
    #[command(flatten)]
    pub wanted: Wanted,
    /// How they are reached.
    #[command(flatten)]
    pub connection: Connection,
    /// Check a recorded node instead of a HOST; repeatable
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with_all = ["hosts", "limit"])]
    pub capture: Vec<PathBuf>,
    /// Only controls up to this level: 1 everyone, 2 stricter too, 3 everything
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=3))]
    pub level: Option<u8>,
    /// On a PVE 8 node: also what changes meaning with this release
    #[arg(long, value_enum, value_name = "RELEASE")]
    pub against: Option<Against>,
    /// Show the requirements of a framework instead of the controls: covered, in part, outside
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(SHIPPED.iter().map(|(name, _)| *name)))]
    pub framework: Option<String>,
    /// How the report is written
    #[arg(long, value_enum, default_value_t)]
    pub format: CheckFormat,
    /// Write the report to this file, whole or not at all, instead of standard output
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
    /// Exit 1 for differences of at least this severity (low, medium, high, never); what cannot be told always counts
    #[arg(long, value_name = "LEVEL", default_value = "low", value_parser = fail_on())]
    pub fail_on: FailOn,
}

/// Releases a node can be looked at as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Against {
    /// Proxmox VE 9, Debian 13.
    Pve9,
}

/// Formats of `check`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum CheckFormat {
    /// A table, worst first.
    #[default]
    Text,
    /// One versioned JSON document (`pve-harden profile schema --report`).
    Json,
    /// `JUnit` XML for CI: a suite per node, a case per control.
    Junit,
    /// SARIF 2.1.0 for code scanning.
    Sarif,
    /// One self-contained page.
    Html,
}

/// `--fail-on`; `None` lets no difference fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailOn(pub Option<Severity>);

fn fail_on() -> impl TypedValueParser<Value = FailOn> {
    PossibleValuesParser::new(["low", "medium", "high", "never"]).map(|word| {
        FailOn(match word.as_str() {
            "low" => Some(Severity::Low),
            "medium" => Some(Severity::Medium),
            "high" => Some(Severity::High),
            _ => None,
        })
    })
}

/// `capture`.
#[derive(Clone, Debug, Args)]
pub struct Capture {
    /// Node: `[user@]address`, or a name from the site
    #[arg(value_name = "HOST", value_hint = ValueHint::Hostname)]
    pub host: String,
    /// File to write, readable by you alone; `-` for standard output
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: PathBuf,
    /// What the node shall be; decides what is asked.
    #[command(flatten)]
    pub wanted: Wanted,
    /// How it is reached.
    #[command(flatten)]
    pub connection: Connection,
}

/// `explain`.
#[derive(Clone, Debug, Args)]
pub struct Explain {
    /// Id of a control, e.g. `ssh.root-login`; without it every control is listed
    #[arg(value_name = "CONTROL", value_parser = ControlName, hide_possible_values = true)]
    pub control: Option<String>,
}

/// `completions`.
#[derive(Clone, Debug, Args)]
pub struct Completions {
    /// Shell
    pub shell: Shell,
}

/// `man`.
#[derive(Clone, Debug, Args)]
pub struct Man {
    /// Folder; made when it is not there
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub dir: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_option_has_a_help_text() {
        for verb in Cli::command().get_subcommands() {
            for argument in verb.get_arguments() {
                assert!(argument.get_help().is_some(), "{} {}", verb.get_name(), argument.get_id());
            }
        }
    }

    #[test]
    fn recorded_nodes_and_hosts_exclude_each_other() {
        assert!(Cli::try_parse_from(["pve-harden", "plan", "pve1", "--capture", "x.json"]).is_err());
        assert!(Cli::try_parse_from(["pve-harden", "plan", "--capture", "x.json", "--capture", "y.json"]).is_ok());
    }
}
