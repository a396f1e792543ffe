//! `pve-harden access matrix|review`: who may do what, and what must be looked at. Changes nothing.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum, ValueHint};
use jiff::Timestamp;

use super::args::{Connection, Wanted};
use super::connect::{Connector, is_pve};
use super::enroll::{self, Enroll};
use super::incident;
use super::nodes::{self, Archive};
use super::output::{Output, write_private};
use super::passwd::{self, Passwd};
use super::settings::Settings;
use crate::access::matrix::Account;
use crate::access::review::{self, Finding, Question};
use crate::error::{Error, Kind, Result};
use crate::event::What;
use crate::facts::{self, Facts};
use crate::profile::policy::Policy;
use crate::pve::user_cfg::UserConfig;
use crate::render::permissions as view;

/// `access`.
#[derive(Clone, Debug, Args)]
pub struct AccessArgs {
    /// What to do.
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Clone, Debug, Subcommand)]
enum Verb {
    /// Show accounts, purpose, roles, paths, tokens and second factors
    Matrix(Matrix),
    /// Name what must be looked at; exit 1 when there is something
    Review(Review),
    /// Take away at once what a user may do, and write down what was done with the account
    Lock(Box<incident::Lock>),
    /// Give a locked user back what can be given back
    Unlock(Box<incident::Unlock>),
    /// Give a user a second factor: TOTP, confirmed by a code before PVE stores it, and recovery keys into a sink
    Enroll(Box<Enroll>),
    /// Set a user's password, generated into a sink, typed, or from the environment; or expire it
    Passwd(Box<Passwd>),
}

#[derive(Clone, Debug, Args)]
pub(super) struct Source {
    /// Node: `[user@]address`, or a name from the site [default: the site's first node]
    #[arg(value_name = "HOST", value_hint = ValueHint::Hostname)]
    host: Option<String>,
    /// A recorded node instead of a HOST
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "host")]
    capture: Option<PathBuf>,
    /// Where the site and the wanted state are.
    #[command(flatten)]
    wanted: Wanted,
    /// How the node is reached.
    #[command(flatten)]
    connection: Connection,
}

#[derive(Clone, Debug, Args)]
struct Matrix {
    #[command(flatten)]
    source: Source,
    /// As people read it, a table for a spreadsheet, or one JSON document
    #[arg(long, value_enum, default_value_t)]
    format: MatrixFormat,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum MatrixFormat {
    #[default]
    Text,
    Csv,
    Json,
}

#[derive(Clone, Debug, Args)]
struct Review {
    #[command(flatten)]
    source: Source,
    /// Name accounts and tokens that end within so many days
    #[arg(long, value_name = "DAYS", default_value_t = 30)]
    within: u32,
    /// As people read it, or one JSON document
    #[arg(long, value_enum, default_value_t)]
    format: ReviewFormat,
    /// Write a dated record of this review, with every account, in this name
    #[arg(long, value_name = "NAME")]
    attest: Option<String>,
    /// File of the record [default: access-review-NODE-DATE.json]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "attest")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum ReviewFormat {
    #[default]
    Text,
    Json,
}

impl AccessArgs {
    /// Whether the verb changes a node: a run follows its own signals.
    pub const fn changes(&self) -> bool {
        matches!(self.verb, Verb::Enroll(_) | Verb::Lock(_) | Verb::Passwd(_) | Verb::Unlock(_))
    }
}

/// Runs the verb.
pub async fn run(args: AccessArgs, output: Output) -> Result<u8> {
    match args.verb {
        Verb::Enroll(args) => Box::pin(enroll::run(*args, output)).await,
        Verb::Passwd(args) => Box::pin(passwd::run(*args, output)).await,
        Verb::Matrix(matrix) => {
            let read = read(&matrix.source, output).await?;
            let node = &read.policy.host.name;
            output.result(&match matrix.format {
                MatrixFormat::Text => view::matrix_text(node, &read.accounts, output.stdout),
                MatrixFormat::Csv => view::matrix_csv(&read.accounts),
                MatrixFormat::Json => view::matrix_json(node, &read.accounts),
            })?;
            Ok(0)
        }
        Verb::Review(args) => {
            let read = read(&args.source, output).await?;
            review(&args, &read, output)
        }
        Verb::Lock(args) => Box::pin(incident::lock(*args, output)).await,
        Verb::Unlock(args) => Box::pin(incident::unlock(*args, output)).await,
    }
}

fn review(args: &Review, read: &Read, output: Output) -> Result<u8> {
    let node = &read.policy.host.name;
    let findings = read.findings(args.within)?;
    output.result(&match args.format {
        ReviewFormat::Text => view::review_text(node, &findings, output.stdout),
        ReviewFormat::Json => view::review_json(node, &findings, &read.accounts, None),
    })?;
    if let Some(name) = &args.attest {
        let now = Timestamp::now();
        let at = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let plain: String = node.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let file = args.output.clone().unwrap_or_else(|| format!("access-review-{plain}-{}.json", &at[..10]).into());
        let record = view::review_json(node, &findings, &read.accounts, Some((name, &at)));
        write_private(&file, record.as_bytes())?;
        output.say(&format!("the record is in {}", file.display()));
    }
    Ok(u8::from(!findings.is_empty()))
}

/// A node's accounts.
pub(super) struct Read {
    pub(super) facts: Facts,
    pub(super) policy: Policy,
    pub(super) accounts: Vec<Account>,
}

impl Read {
    fn new(facts: Facts, policy: Policy) -> Result<Self> {
        let unread = |why: String| Error::msg(Kind::Unreadable, why).untouched(&policy.host.name);
        let accounts = nodes::accounts(&facts).map_err(unread)?;
        Ok(Self { facts, policy, accounts })
    }

    /// user.cfg.
    pub(super) fn config(&self) -> Result<&UserConfig> {
        let unread = |why: String| Error::msg(Kind::Unreadable, why).untouched(&self.policy.host.name);
        self.facts.access.config.required("/etc/pve/user.cfg").map_err(unread)
    }

    /// The node's clock, seconds since 1970.
    pub(super) fn now(&self) -> Result<u64> {
        let unread = |why: String| Error::msg(Kind::Unreadable, why).untouched(&self.policy.host.name);
        let taken = self.facts.taken.required("the node's clock").map_err(unread)?;
        Ok(u64::try_from(taken.as_second()).unwrap_or(0))
    }

    fn findings(&self, within_days: u32) -> Result<Vec<Finding>> {
        let (config, policy, now) = (self.config()?, &self.policy.profile.access, self.now()?);
        let mut found = review::review(&Question { config, accounts: &self.accounts, policy, now, within_days });
        if let Err(why) = self.facts.access.factors.certain() {
            let text = format!("second factors could not be read: {why}");
            found.push(Finding { about: "every user".into(), kind: "unknown", text });
        }
        Ok(found)
    }
}

pub(super) async fn read(source: &Source, output: Output) -> Result<Read> {
    let settings = Settings::read(&source.wanted, output)?;
    if let Some(file) = &source.capture {
        let facts = facts::parse(&Archive::read(file)?.capture);
        is_pve(&facts)?;
        let mut policy = settings.loaded.policy_for(&crate::profile::policy::Host::default());
        policy.host.name = facts.node_name.known().cloned().unwrap_or_else(|| file.display().to_string());
        return Read::new(facts, policy);
    }
    let policy = match &source.host {
        Some(host) => settings.policy(host, &source.connection)?,
        None => first(&settings, &source.connection)?,
    };
    let connector = Connector::new(&source.connection, &settings.loaded.secrets, output, false);
    let node = connector.reach(&policy).await?;
    let _ = node.connection.close().await;
    connector.tell(&policy.host.name, What::Finished);
    Read::new(node.facts, policy)
}

pub(super) fn first(settings: &Settings, connection: &Connection) -> Result<Policy> {
    let host = settings.loaded.site.hosts.first().ok_or_else(|| {
        Error::msg(Kind::Usage, "neither a HOST nor a site names a node").state("nothing was contacted")
    })?;
    settings.policy(&host.name, connection)
}
